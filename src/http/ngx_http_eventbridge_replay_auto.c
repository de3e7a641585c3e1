
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * After an outage: what eventbridge_unavailable put into the dead letter is
 * delivered by the worker itself, and taken out of the file.  One worker does
 * it, from time to time.  Each pass reads the file from its start, in a
 * thread; a destination that refuses its first request is left alone for the
 * rest of the pass.
 */


#include "ngx_http_eventbridge_replay.h"


#define NGX_HTTP_EVENTBRIDGE_OUTAGE_TICK   1000     /* ms */
#define NGX_HTTP_EVENTBRIDGE_OUTAGE_PACE   20       /* between two requests */
#define NGX_HTTP_EVENTBRIDGE_OUTAGE_WAIT   (60 * 1000)  /* at most */
#define NGX_HTTP_EVENTBRIDGE_OUTAGE_NEW    (10 * 1000)  /* when lines come */

/* seconds after which a silent worker has lost its office */
#define NGX_HTTP_EVENTBRIDGE_OUTAGE_LEASE  5

/* lines of one pass: what is remembered of it until the file is rewritten */
#define NGX_HTTP_EVENTBRIDGE_OUTAGE_LINES  100000

/* quotes inside of a member are escaped: this is never part of an event */
#define NGX_HTTP_EVENTBRIDGE_OUTAGE_MARK   "\"reason\":\"unavailable\""


typedef enum {
    NGX_HTTP_EVENTBRIDGE_OUTAGE_IDLE = 0,
    NGX_HTTP_EVENTBRIDGE_OUTAGE_READING,
    NGX_HTTP_EVENTBRIDGE_OUTAGE_SENDING,
    NGX_HTTP_EVENTBRIDGE_OUTAGE_COMPACTING
} ngx_http_eventbridge_outage_e;


typedef struct {
    ngx_eb_log_t             *log;
    ngx_http_eventbridge_main_conf_t  *emcf;
    ngx_event_t               tick;         /* found again by its address */
    ngx_http_eventbridge_outage_e  state;
    ngx_msec_t                wait;         /* until the next pass */
    ngx_msec_t                last;         /* end of the one before */
    u_char                   *down;         /* by index of the destination */
    unsigned                  refused:1;    /* by the directory: was said */

    /* of the thread while it reads */
    off_t                     offset;
    dev_t                     dev;
    ino_t                     ino;
    u_char                   *buf;
    size_t                    len;
    size_t                    size;
    ngx_uint_t                nlines;
    ngx_uint_t                end;          /* of the file */
    ngx_err_t                 err;

    ngx_http_eventbridge_replay_t  replay;

    /* checks of lines that were delivered; the thread's while it rewrites */
    uint64_t                 *done;
    ngx_uint_t                ndone;
    ngx_uint_t                seen;         /* lines of outages in this pass */
    uint64_t                  records;      /* of the file, at its end */
} ngx_http_eventbridge_outage_t;


static void ngx_http_eventbridge_outage_tick(ngx_event_t *ev);
static ngx_uint_t ngx_http_eventbridge_outage_mine(
    ngx_http_eventbridge_outage_t *o);
static ngx_uint_t ngx_http_eventbridge_outage_due(
    ngx_http_eventbridge_outage_t *o);
static ngx_uint_t ngx_http_eventbridge_outage_writable(
    ngx_http_eventbridge_outage_t *o);
static ngx_msec_t ngx_http_eventbridge_outage_begin(
    ngx_http_eventbridge_outage_t *o);
static void ngx_http_eventbridge_outage_read(void *data);
static ngx_int_t ngx_http_eventbridge_outage_keep(
    ngx_http_eventbridge_outage_t *o, ngx_eb_log_line_t *line);
static void ngx_http_eventbridge_outage_was_read(void *data);
static ngx_msec_t ngx_http_eventbridge_outage_send(
    ngx_http_eventbridge_outage_t *o);
static ngx_uint_t ngx_http_eventbridge_outage_wanted(
    ngx_http_eventbridge_replay_t *replay,
    ngx_http_eventbridge_replay_line_t *line);
static ngx_int_t ngx_http_eventbridge_outage_invalid(
    ngx_http_eventbridge_replay_t *replay,
    ngx_http_eventbridge_replay_line_t *line, const char *why);
static void ngx_http_eventbridge_outage_sent(
    ngx_http_eventbridge_replay_t *replay);
static ngx_msec_t ngx_http_eventbridge_outage_end(
    ngx_http_eventbridge_outage_t *o);
static uint64_t ngx_http_eventbridge_outage_check(u_char *text, size_t len);
static int ngx_libc_cdecl ngx_http_eventbridge_outage_order(const void *one,
    const void *two);
static ngx_uint_t ngx_http_eventbridge_outage_stays(ngx_eb_log_line_t *line,
    void *data);
static void ngx_http_eventbridge_outage_compacted(void *data, ngx_err_t err,
    ngx_eb_log_compacted_t *result);


ngx_int_t
ngx_http_eventbridge_outage_add(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf, ngx_eb_log_t *log)
{
    ngx_uint_t                       i;
    ngx_http_eventbridge_outage_t  **outages, *o;

    outages = emcf->outages.elts;

    for (i = 0; i < emcf->outages.nelts; i++) {
        if (outages[i]->log == log) {
            return NGX_OK;
        }
    }

    o = ngx_pcalloc(cf->pool, sizeof(ngx_http_eventbridge_outage_t));
    outages = ngx_array_push(&emcf->outages);

    if (o == NULL || outages == NULL) {
        return NGX_ERROR;
    }

    *outages = o;

    o->log = log;
    o->emcf = emcf;

    return NGX_OK;
}


void
ngx_http_eventbridge_outage_init_process(ngx_cycle_t *cycle,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_uint_t                       i;
    ngx_http_eventbridge_outage_t  **outages, *o;

    outages = emcf->outages.elts;

    for (i = 0; i < emcf->outages.nelts; i++) {
        o = outages[i];

        o->down = ngx_pcalloc(cycle->pool, emcf->ndestinations + 1);
        if (o->down == NULL) {
            continue;
        }

        o->replay.emcf = emcf;
        o->replay.log = cycle->log;
        o->replay.wanted = ngx_http_eventbridge_outage_wanted;
        o->replay.invalid = ngx_http_eventbridge_outage_invalid;
        o->replay.done = ngx_http_eventbridge_outage_sent;
        o->replay.data = o;

        o->tick.handler = ngx_http_eventbridge_outage_tick;
        o->tick.data = &emcf->worker->dummy;
        o->tick.log = cycle->log;
        o->tick.cancelable = 1;

        ngx_add_timer(&o->tick, NGX_HTTP_EVENTBRIDGE_OUTAGE_TICK);
    }
}


void
ngx_http_eventbridge_outage_exit_process(
    ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_uint_t                       i;
    ngx_http_eventbridge_outage_t  **outages, *o;

    outages = emcf->outages.elts;

    for (i = 0; i < emcf->outages.nelts; i++) {
        o = outages[i];

        ngx_http_eventbridge_replay_stop(&o->replay);

        if (o->state != NGX_HTTP_EVENTBRIDGE_OUTAGE_READING
            && o->state != NGX_HTTP_EVENTBRIDGE_OUTAGE_COMPACTING)
        {
            free(o->buf);
            free(o->done);
        }
    }

    if (emcf->outages.nelts
        && emcf->cells[NGX_EB_STATS_N_LEASE] == (int64_t) ngx_pid)
    {
        emcf->cells[NGX_EB_STATS_N_LEASE_TIME] = 0;
    }
}


static void
ngx_http_eventbridge_outage_tick(ngx_event_t *ev)
{
    ngx_msec_t                      wait;
    ngx_http_eventbridge_outage_t  *o;

    o = (ngx_http_eventbridge_outage_t *)
            ((u_char *) ev - offsetof(ngx_http_eventbridge_outage_t, tick));

    if (ngx_exiting) {
        return;
    }

    wait = NGX_HTTP_EVENTBRIDGE_OUTAGE_TICK;

    if (ngx_http_eventbridge_outage_mine(o)) {

        switch (o->state) {

        case NGX_HTTP_EVENTBRIDGE_OUTAGE_IDLE:
            wait = ngx_http_eventbridge_outage_begin(o);
            break;

        case NGX_HTTP_EVENTBRIDGE_OUTAGE_SENDING:
            wait = ngx_http_eventbridge_outage_send(o);
            break;

        default:
            /* a thread is at it */
            break;
        }
    }

    /* whoever ends it may have set it already */

    if (!ev->timer_set) {
        ngx_add_timer(ev, wait);
    }
}


/* is this the worker that does it?  Marks forgive when for a moment two are */

static ngx_uint_t
ngx_http_eventbridge_outage_mine(ngx_http_eventbridge_outage_t *o)
{
    int64_t               owner, now, beat;
    ngx_eb_stats_cell_t  *cells;

    cells = o->emcf->cells;

    now = (int64_t) ngx_time();
    owner = cells[NGX_EB_STATS_N_LEASE];
    beat = cells[NGX_EB_STATS_N_LEASE_TIME];

    if (owner != (int64_t) ngx_pid) {

        if (beat <= now && now - beat <= NGX_HTTP_EVENTBRIDGE_OUTAGE_LEASE) {
            return 0;
        }

        if (!__sync_bool_compare_and_swap(&cells[NGX_EB_STATS_N_LEASE], owner,
                                          (int64_t) ngx_pid))
        {
            return 0;
        }
    }

    cells[NGX_EB_STATS_N_LEASE_TIME] = now;

    return 1;
}


/* a pass over the file, if there is anything to be hoped for */

static ngx_msec_t
ngx_http_eventbridge_outage_begin(ngx_http_eventbridge_outage_t *o)
{
    if (!ngx_http_eventbridge_outage_due(o)
        || !ngx_http_eventbridge_outage_writable(o))
    {
        return NGX_HTTP_EVENTBRIDGE_OUTAGE_TICK;
    }

    if (o->done == NULL) {
        o->done = malloc(NGX_HTTP_EVENTBRIDGE_OUTAGE_LINES
                         * sizeof(uint64_t));
        if (o->done == NULL) {
            return NGX_HTTP_EVENTBRIDGE_OUTAGE_TICK;
        }
    }

    o->offset = 0;
    o->ndone = 0;
    o->seen = 0;

    ngx_memzero(o->down, o->emcf->ndestinations);

    o->state = NGX_HTTP_EVENTBRIDGE_OUTAGE_READING;

    if (ngx_eb_log_run(o->log, ngx_http_eventbridge_outage_read,
                       ngx_http_eventbridge_outage_was_read, o)
        != NGX_OK)
    {
        o->state = NGX_HTTP_EVENTBRIDGE_OUTAGE_IDLE;
    }

    return NGX_HTTP_EVENTBRIDGE_OUTAGE_TICK;
}


static ngx_uint_t
ngx_http_eventbridge_outage_due(ngx_http_eventbridge_outage_t *o)
{
    ngx_eb_log_figures_t  figures;

    /* asked for again and again, the figures are a second old at most */

    if (ngx_eb_log_figures(o->log, &figures) != NGX_OK
        || figures.records == 0)
    {
        o->emcf->cells[NGX_EB_STATS_N_REPLAY_LEFT] = 0;
        return 0;
    }

    /* what is new has not been tried in vain */

    if (figures.records > o->records) {
        o->wait = ngx_min(o->wait, NGX_HTTP_EVENTBRIDGE_OUTAGE_NEW);
    }

    o->records = figures.records;

    return o->wait == 0
           || (ngx_msec_t) (ngx_current_msec - o->last) >= o->wait;
}


/*
 * Where the file cannot be rewritten, delivered lines would stay in it, and
 * would be delivered again when their marks are forgotten.
 */

static ngx_uint_t
ngx_http_eventbridge_outage_writable(ngx_http_eventbridge_outage_t *o)
{
    u_char       dir[NGX_MAX_PATH];
    ngx_str_t   *path;
    ngx_uint_t   i;

    path = ngx_eb_log_path(o->log);

    for (i = path->len; i > 0 && path->data[i - 1] != '/'; i--) { /* void */ }

    if (i == 0 || i >= NGX_MAX_PATH) {
        return 0;
    }

    ngx_cpystrn(dir, path->data, i + 1);

    if (access((char *) dir, W_OK|X_OK) == 0) {
        o->refused = 0;
        return 1;
    }

    if (!o->refused) {
        o->refused = 1;
        ngx_log_error(NGX_LOG_ERR, o->tick.log, ngx_errno,
                      "eventbridge: dead letter \"%V\" is not replayed: its "
                      "directory is not writable for workers", path);
    }

    return 0;
}


/* in a thread: some lines of outages, as many as fit into one job */

static void
ngx_http_eventbridge_outage_read(void *data)
{
    ngx_http_eventbridge_outage_t *o = data;

    ngx_int_t             rc;
    ngx_eb_log_line_t     line;
    ngx_eb_log_reader_t   reader;

    o->len = 0;
    o->nlines = 0;
    o->end = 0;
    o->err = 0;

    if (ngx_eb_log_reader_open(&reader, ngx_eb_log_path(o->log)->data,
                               o->offset, 0, ngx_cycle->log)
        != NGX_OK)
    {
        o->err = reader.err;
        return;
    }

    if (o->offset && (reader.dev != o->dev || reader.ino != o->ino)) {

        /* another file: the next pass begins with its first line */

        o->end = 1;
        ngx_eb_log_reader_close(&reader);
        return;
    }

    o->dev = reader.dev;
    o->ino = reader.ino;

    while (o->nlines < NGX_HTTP_EVENTBRIDGE_REPLAY_LINES
           && o->len < NGX_HTTP_EVENTBRIDGE_REPLAY_BYTES)
    {
        rc = ngx_eb_log_reader_next(&reader, &line);

        if (rc != NGX_OK) {
            o->end = (rc == NGX_DONE);
            o->err = o->end ? 0 : reader.err;
            break;
        }

        o->offset = line.next;

        if (line.state == NGX_EB_LOG_VALID
            && memmem(line.start, line.len, NGX_HTTP_EVENTBRIDGE_OUTAGE_MARK,
                      sizeof(NGX_HTTP_EVENTBRIDGE_OUTAGE_MARK) - 1)
            && ngx_http_eventbridge_outage_keep(o, &line) != NGX_OK)
        {
            o->err = NGX_ENOMEM;
            break;
        }
    }

    ngx_eb_log_reader_close(&reader);
}


static ngx_int_t
ngx_http_eventbridge_outage_keep(ngx_http_eventbridge_outage_t *o,
    ngx_eb_log_line_t *line)
{
    u_char  *buf;
    size_t   size;

    if (o->len + line->len + 1 > o->size) {
        size = ngx_max(o->size * 2, o->len + line->len + 1);

        buf = realloc(o->buf, size);
        if (buf == NULL) {
            return NGX_ERROR;
        }

        o->buf = buf;
        o->size = size;
    }

    ngx_memcpy(o->buf + o->len, line->start, line->len);
    o->len += line->len;
    o->buf[o->len++] = '\n';
    o->nlines++;

    return NGX_OK;
}


/* and back in the event loop */

static void
ngx_http_eventbridge_outage_was_read(void *data)
{
    ngx_http_eventbridge_outage_t *o = data;

    if (o->err) {
        ngx_log_error(NGX_LOG_ERR, o->tick.log, o->err,
                      "eventbridge: dead letter \"%V\" cannot be read",
                      ngx_eb_log_path(o->log));

        o->end = 1;
    }

    o->seen += o->nlines;

    o->replay.pos = o->buf;
    o->replay.last = o->buf + o->len;
    o->state = NGX_HTTP_EVENTBRIDGE_OUTAGE_SENDING;

    if (!ngx_exiting) {
        ngx_add_timer(&o->tick, 1);
    }
}


static ngx_msec_t
ngx_http_eventbridge_outage_send(ngx_http_eventbridge_outage_t *o)
{
    ngx_int_t  rc;

    if (o->replay.job) {
        return NGX_HTTP_EVENTBRIDGE_OUTAGE_TICK;
    }

    rc = (o->len == 0) ? NGX_DONE
                       : ngx_http_eventbridge_replay_next(&o->replay);

    switch (rc) {

    case NGX_OK:
        return NGX_HTTP_EVENTBRIDGE_OUTAGE_TICK;

    case NGX_AGAIN:
        return 1;

    case NGX_DONE:
        break;

    default:
        o->end = 1;
    }

    if (o->end || o->ndone + NGX_HTTP_EVENTBRIDGE_REPLAY_LINES
                  > NGX_HTTP_EVENTBRIDGE_OUTAGE_LINES)
    {
        return ngx_http_eventbridge_outage_end(o);
    }

    o->state = NGX_HTTP_EVENTBRIDGE_OUTAGE_READING;

    if (ngx_eb_log_run(o->log, ngx_http_eventbridge_outage_read,
                       ngx_http_eventbridge_outage_was_read, o)
        != NGX_OK)
    {
        return ngx_http_eventbridge_outage_end(o);
    }

    return NGX_HTTP_EVENTBRIDGE_OUTAGE_TICK;
}


static ngx_uint_t
ngx_http_eventbridge_outage_wanted(ngx_http_eventbridge_replay_t *replay,
    ngx_http_eventbridge_replay_line_t *line)
{
    ngx_http_eventbridge_outage_t *o = replay->data;

    return !o->down[line->ingest->destinations[line->destination].index];
}


/* it stays where it is, for somebody to look at it */

static ngx_int_t
ngx_http_eventbridge_outage_invalid(ngx_http_eventbridge_replay_t *replay,
    ngx_http_eventbridge_replay_line_t *line, const char *why)
{
    return NGX_OK;
}


static void
ngx_http_eventbridge_outage_sent(ngx_http_eventbridge_replay_t *replay)
{
    ngx_http_eventbridge_outage_t *o = replay->data;

    ngx_uint_t                           i, state;
    ngx_http_eventbridge_replay_line_t  *line;

    for (i = 0; i < replay->nlines; i++) {
        line = &replay->lines[i];
        state = replay->job->items[i].state;

        if (state == NGX_HTTP_EVENTBRIDGE_FORWARDED
            || state == NGX_HTTP_EVENTBRIDGE_DUPLICATE)
        {
            o->done[o->ndone++] = ngx_http_eventbridge_outage_check(
                                            line->text.data, line->text.len);
            continue;
        }

        /* one that refuses an event for good takes others */

        if (!ngx_http_eventbridge_permanent_status(replay->job->conf,
                                              replay->job->hit_status[i]))
        {
            o->down[line->ingest->destinations[line->destination].index] = 1;
        }
    }

    if (!ngx_exiting) {
        ngx_add_timer(&o->tick, NGX_HTTP_EVENTBRIDGE_OUTAGE_PACE);
    }
}


/* what was delivered leaves the file */

static ngx_msec_t
ngx_http_eventbridge_outage_end(ngx_http_eventbridge_outage_t *o)
{
    ngx_uint_t  left;

    left = o->seen - ngx_min(o->seen, o->ndone);

    o->emcf->cells[NGX_EB_STATS_N_REPLAY_LEFT] = (int64_t) left;
    o->last = ngx_current_msec;
    o->state = NGX_HTTP_EVENTBRIDGE_OUTAGE_IDLE;

    if (o->ndone == 0) {
        o->wait = ngx_max(o->wait * 2, NGX_HTTP_EVENTBRIDGE_OUTAGE_TICK);
        o->wait = ngx_min(o->wait, NGX_HTTP_EVENTBRIDGE_OUTAGE_WAIT);
        return NGX_HTTP_EVENTBRIDGE_OUTAGE_TICK;
    }

    o->wait = NGX_HTTP_EVENTBRIDGE_OUTAGE_TICK;

    ngx_log_error(NGX_LOG_NOTICE, o->tick.log, 0,
                  "eventbridge: %ui dead letters of \"%V\" were delivered "
                  "after an outage, %ui are left", o->ndone,
                  ngx_eb_log_path(o->log), left);

    qsort(o->done, o->ndone, sizeof(uint64_t),
          ngx_http_eventbridge_outage_order);

    if (ngx_eb_log_compact(o->log, ngx_http_eventbridge_outage_stays,
                           ngx_http_eventbridge_outage_compacted, o)
        == NGX_OK)
    {
        o->state = NGX_HTTP_EVENTBRIDGE_OUTAGE_COMPACTING;
    }

    return NGX_HTTP_EVENTBRIDGE_OUTAGE_TICK;
}


/* the check that the log gave the line: sixteen digits before its end */

static uint64_t
ngx_http_eventbridge_outage_check(u_char *text, size_t len)
{
    u_char      ch, *p;
    uint64_t    check;

    check = 0;

    if (len < 18) {
        return 0;
    }

    for (p = text + len - 18; p < text + len - 2; p++) {
        ch = (u_char) (*p | 0x20);
        check = check << 4 | (uint64_t) (ch <= '9' ? ch - '0' : ch - 'a' + 10);
    }

    return check;
}


static int ngx_libc_cdecl
ngx_http_eventbridge_outage_order(const void *one, const void *two)
{
    uint64_t  a, b;

    a = *(const uint64_t *) one;
    b = *(const uint64_t *) two;

    return (a > b) - (a < b);
}


/* in a thread: lines that nobody has delivered, and all others */

static ngx_uint_t
ngx_http_eventbridge_outage_stays(ngx_eb_log_line_t *line, void *data)
{
    ngx_http_eventbridge_outage_t *o = data;

    uint64_t  check;

    if (line->state != NGX_EB_LOG_VALID) {
        return 1;
    }

    check = ngx_http_eventbridge_outage_check(line->start, line->len);

    return bsearch(&check, o->done, o->ndone, sizeof(uint64_t),
                   ngx_http_eventbridge_outage_order)
           == NULL;
}


static void
ngx_http_eventbridge_outage_compacted(void *data, ngx_err_t err,
    ngx_eb_log_compacted_t *result)
{
    ngx_http_eventbridge_outage_t *o = data;

    o->state = NGX_HTTP_EVENTBRIDGE_OUTAGE_IDLE;

    /* the next pass finds them delivered, and tries again */

    if (err) {
        ngx_log_error(NGX_LOG_ERR, o->tick.log, err,
                      "eventbridge: delivered lines were not removed from "
                      "dead letter \"%V\"", ngx_eb_log_path(o->log));
    }
}
