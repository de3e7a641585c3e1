
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The journal of a lifecycle as a file: what a start finds in it, and what
 * others append to it.  All of this blocks.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_log_file.h"
#include "ngx_eb_lifecycle_state.h"


/* names that are tried for a file that is put aside */
#define NGX_EB_LIFECYCLE_ASIDE    100

/* bytes of lines that are read at a time */
#define NGX_EB_LIFECYCLE_CHUNK    (1024 * 1024)

#define NGX_EB_LIFECYCLE_TEMP     4096

/* lines for which memory is kept */
#define NGX_EB_LIFECYCLE_LINES    256

/* transitions that memory is got for at a time */
#define NGX_EB_LIFECYCLE_BLOCK    64

/* lists of these, by their ids */
#define NGX_EB_LIFECYCLE_IDS      1024


typedef struct {
    ngx_queue_t                   queue;
    ngx_eb_lifecycle_pending_t    pending[NGX_EB_LIFECYCLE_BLOCK];
} ngx_eb_lifecycle_block_t;


typedef struct {
    ngx_eb_lifecycle_state_t     *state;
    off_t                         dropped;  /* bytes in front of the offset */
} ngx_eb_lifecycle_repair_t;


static ngx_int_t ngx_eb_lifecycle_aside(u_char *path, u_char *aside,
    ngx_uint_t copy);
static ngx_int_t ngx_eb_lifecycle_copy(u_char *path, u_char *aside);
static ngx_int_t ngx_eb_lifecycle_arrange(ngx_eb_lifecycle_state_t *st);
static int ngx_libc_cdecl ngx_eb_lifecycle_earlier(const void *one,
    const void *two);
static ngx_int_t ngx_eb_lifecycle_apply(ngx_eb_lifecycle_state_t *st,
    ngx_eb_log_line_t *line, off_t *resume);
static ngx_int_t ngx_eb_lifecycle_repair(ngx_eb_lifecycle_state_t *st,
    u_char *path);
static ngx_uint_t ngx_eb_lifecycle_repair_keep(ngx_eb_log_line_t *line,
    void *data);
static ngx_int_t ngx_eb_lifecycle_fail(ngx_eb_lifecycle_state_t *st,
    const char *what, ngx_err_t err);
static ngx_eb_lifecycle_pending_t *ngx_eb_lifecycle_lookup(
    ngx_eb_lifecycle_state_t *st, u_char *id);
static ngx_queue_t *ngx_eb_lifecycle_bucket(ngx_eb_lifecycle_state_t *st,
    u_char *id);
static ngx_uint_t ngx_eb_lifecycle_begins(ngx_eb_log_line_t *line,
    const char *text);


ngx_int_t
ngx_eb_lifecycle_state_check(u_char *path, uid_t user, gid_t group,
    ngx_log_t *log, ngx_eb_lifecycle_report_t *report)
{
    ngx_err_t          err;
    ngx_eb_log_file_t  file;

    ngx_memzero(report, sizeof(ngx_eb_lifecycle_report_t));

    ngx_eb_log_file_init(&file, path, user, group, log);

    err = ngx_eb_log_file_recover(&file);

    /* its own errno for a file that never was a log */

    if (err == NGX_EINVAL) {
        ngx_eb_log_file_close(&file);

        if (ngx_eb_lifecycle_aside(path, report->aside, 0) != NGX_OK) {
            ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                          "\"%s\" is not a lifecycle's journal, and it could "
                          "not be put aside", path);
            return NGX_ERROR;
        }

        ngx_log_error(NGX_LOG_ALERT, log, 0,
                      "\"%s\" is not a lifecycle's journal: it was renamed to "
                      "\"%s\", and the lifecycle begins anew",
                      path, report->aside);

        ngx_eb_log_file_init(&file, path, user, group, log);

        err = ngx_eb_log_file_recover(&file);
    }

    report->cut = file.cut;
    ngx_eb_log_file_close(&file);

    if (err) {
        ngx_log_error(NGX_LOG_EMERG, log, err,
                      "%s \"%s\" failed", file.failed, path);
        return NGX_ERROR;
    }

    if (report->cut) {
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "%O damaged bytes were cut from the end of \"%s\"",
                      report->cut, path);
    }

    return NGX_OK;
}


/* aside: NGX_MAX_PATH bytes; an existing file is never overwritten */

static ngx_int_t
ngx_eb_lifecycle_aside(u_char *path, u_char *aside, ngx_uint_t copy)
{
    time_t       now;
    ngx_tm_t     tm;
    ngx_int_t    rc;
    ngx_uint_t   i;
    struct stat  st;

    /* a device, or what else a mistake may name, stays where it is */

    if (lstat((char *) path, &st) == -1 || !S_ISREG(st.st_mode)) {
        return NGX_ERROR;
    }

    if (ngx_strlen(path) + sizeof(".corrupt-20260101000000-99")
        > NGX_MAX_PATH)
    {
        ngx_set_errno(NGX_ENAMETOOLONG);
        return NGX_ERROR;
    }

    now = time(NULL);
    (void) gmtime_r(&now, &tm);

    for (i = 0; i < NGX_EB_LIFECYCLE_ASIDE; i++) {

        (void) ngx_sprintf(aside, "%s.corrupt-%04d%02d%02d%02d%02d%02d%Z",
                           path, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                           tm.tm_hour, tm.tm_min, tm.tm_sec);

        if (i) {
            (void) ngx_sprintf(aside + ngx_strlen(aside), "-%ui%Z", i);
        }

        rc = copy ? ngx_eb_lifecycle_copy(path, aside)
                  : link((char *) path, (char *) aside);

        if (rc == 0) {
            return (copy || unlink((char *) path) == 0) ? NGX_OK : NGX_ERROR;
        }

        if (ngx_errno != NGX_EEXIST) {
            break;
        }
    }

    *aside = '\0';

    return NGX_ERROR;
}


/* 0, or -1 with errno, as link() */

static ngx_int_t
ngx_eb_lifecycle_copy(u_char *path, u_char *aside)
{
    u_char    *buf;
    ssize_t    n;
    ngx_fd_t   from, to;
    ngx_err_t  err;

    from = open((char *) path, O_RDONLY|O_CLOEXEC|O_NOFOLLOW);

    if (from == NGX_INVALID_FILE) {
        return -1;
    }

    to = open((char *) aside, O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC|O_NOFOLLOW,
              NGX_EB_LOG_MODE);

    if (to == NGX_INVALID_FILE) {
        err = ngx_errno;
        (void) close(from);
        ngx_set_errno(err);
        return -1;
    }

    err = 0;
    buf = malloc(NGX_EB_LOG_READ);

    if (buf == NULL) {
        err = NGX_ENOMEM;
    }

    while (err == 0) {
        n = read(from, buf, NGX_EB_LOG_READ);

        if (n == 0) {
            err = fsync(to) == 0 ? 0 : ngx_errno;
            break;
        }

        /* to a file it is all, or an error the next time */

        if (n < 0 || write(to, buf, n) != n) {
            err = ngx_errno ? ngx_errno : NGX_ENOSPC;
        }
    }

    free(buf);
    (void) close(from);
    (void) close(to);

    if (err) {
        (void) unlink((char *) aside);
        ngx_set_errno(err);
        return -1;
    }

    return 0;
}


ngx_int_t
ngx_eb_lifecycle_state_init(ngx_eb_lifecycle_state_t *st)
{
    ngx_uint_t  i;

    ngx_queue_init(&st->pending);
    ngx_queue_init(&st->writing);
    ngx_queue_init(&st->again);
    ngx_queue_init(&st->free);
    ngx_queue_init(&st->blocks);

    ngx_memzero(&st->position, sizeof(ngx_eb_lifecycle_position_t));
    ngx_memzero(&st->report, sizeof(ngx_eb_lifecycle_report_t));

    st->pool = NULL;
    st->npending = 0;
    st->nending = 0;
    st->ready = 0;
    st->offset = 0;
    st->size = 0;
    st->begin = -1;
    st->snapshot = 0;
    st->writes = 0;
    st->lent = 0;
    st->more = 0;
    st->anew = 1;
    st->broken = 0;
    st->stopped = 0;

    st->lines.len = 0;
    st->lines.pos = 0;
    st->lines.size = NGX_EB_LIFECYCLE_CHUNK;
    st->lines.data = ngx_alloc(NGX_EB_LIFECYCLE_CHUNK, st->errlog);

    st->parser = ngx_eb_json_parser_create();
    st->temp = ngx_create_pool(NGX_EB_LIFECYCLE_TEMP, st->errlog);

    st->buckets = ngx_alloc(NGX_EB_LIFECYCLE_IDS * sizeof(ngx_queue_t),
                            st->errlog);

    if (st->lines.data == NULL || st->parser == NULL || st->temp == NULL
        || st->buckets == NULL)
    {
        ngx_eb_lifecycle_state_clear(st);
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_EB_LIFECYCLE_IDS; i++) {
        ngx_queue_init(&st->buckets[i]);
    }

    return NGX_OK;
}


void
ngx_eb_lifecycle_state_clear(ngx_eb_lifecycle_state_t *st)
{
    ngx_queue_t               *q;
    ngx_eb_lifecycle_block_t  *block;

    while (!ngx_queue_empty(&st->blocks)) {
        q = ngx_queue_head(&st->blocks);
        block = ngx_queue_data(q, ngx_eb_lifecycle_block_t, queue);

        ngx_queue_remove(q);
        ngx_free(block);
    }

    ngx_queue_init(&st->pending);
    ngx_queue_init(&st->writing);
    ngx_queue_init(&st->again);
    ngx_queue_init(&st->free);

    st->npending = 0;
    st->ready = 0;

    if (st->buckets) {
        ngx_free(st->buckets);
        st->buckets = NULL;
    }

    if (st->lines.data) {
        ngx_free(st->lines.data);
        st->lines.data = NULL;
    }

    if (st->parser) {
        ngx_eb_json_parser_destroy(st->parser);
        st->parser = NULL;
    }

    if (st->temp) {
        ngx_destroy_pool(st->temp);
        st->temp = NULL;
    }

    if (st->pool) {
        ngx_destroy_pool(st->pool);
        st->pool = NULL;
    }

    ngx_memzero(&st->position, sizeof(ngx_eb_lifecycle_position_t));
}


ngx_int_t
ngx_eb_lifecycle_state_recover(ngx_eb_lifecycle_state_t *st, u_char *path)
{
    off_t                        resume;
    ngx_int_t                    rc;
    ngx_uint_t                   n;
    ngx_queue_t                 *q;
    ngx_eb_log_line_t            line;
    ngx_eb_log_reader_t          reader;
    ngx_eb_lifecycle_pending_t  *pending;
    ngx_eb_lifecycle_counters_t  counters;

    ngx_eb_lifecycle_reset(st->lc);

    if (ngx_eb_log_reader_open(&reader, path, 0, 0, st->errlog) != NGX_OK) {
        return ngx_eb_lifecycle_fail(st, "open()", reader.err);
    }

    resume = -1;
    rc = NGX_OK;

    for (n = 0; /* void */ ; n++) {

        if (n % NGX_EB_LIFECYCLE_LINES == 0) {
            ngx_reset_pool(st->temp);
        }

        rc = ngx_eb_log_reader_next(&reader, &line);

        if (rc != NGX_OK) {
            break;
        }

        st->report.lines++;

        if (line.state != NGX_EB_LOG_VALID) {
            st->report.damaged++;
            continue;
        }

        rc = ngx_eb_lifecycle_apply(st, &line, &resume);

        if (rc != NGX_OK) {
            reader.err = NGX_ENOMEM;
            break;
        }
    }

    st->dev = reader.dev;
    st->ino = reader.ino;
    st->offset = reader.offset;
    st->anew = 0;

    ngx_eb_log_reader_close(&reader);
    ngx_reset_pool(st->temp);

    if (rc != NGX_DONE) {
        return ngx_eb_lifecycle_fail(st, "read()", reader.err);
    }

    if (resume != -1) {
        st->offset = resume;
    }

    if (ngx_eb_lifecycle_arrange(st) != NGX_OK) {
        return ngx_eb_lifecycle_fail(st, "malloc()", NGX_ENOMEM);
    }

    for (q = ngx_queue_head(&st->pending);
         q != ngx_queue_sentinel(&st->pending);
         q = ngx_queue_next(q))
    {
        pending = ngx_queue_data(q, ngx_eb_lifecycle_pending_t, queue);

        pending->durable = 1;
        ngx_queue_insert_tail(&st->writing, &pending->write);

        ngx_eb_lifecycle_reclaim(st->lc, &pending->decision);
    }

    st->report.pending = st->npending;

    ngx_eb_lifecycle_counters(st->lc, &counters);
    st->report.held = counters.held;

    return st->report.damaged ? ngx_eb_lifecycle_repair(st, path) : NGX_OK;
}


/*
 * Lines do not stand in the order of acceptance: what is accepted while a
 * snapshot is written stands in front of what was pending already.
 */

static ngx_int_t
ngx_eb_lifecycle_arrange(ngx_eb_lifecycle_state_t *st)
{
    ngx_uint_t                    i, n;
    ngx_queue_t                  *q;
    ngx_eb_lifecycle_pending_t  **all;

    if (ngx_queue_empty(&st->pending)) {
        return NGX_OK;
    }

    all = ngx_alloc(st->npending * sizeof(ngx_eb_lifecycle_pending_t *),
                    st->errlog);
    if (all == NULL) {
        return NGX_ERROR;
    }

    n = 0;

    for (q = ngx_queue_head(&st->pending);
         q != ngx_queue_sentinel(&st->pending);
         q = ngx_queue_next(q))
    {
        all[n++] = ngx_queue_data(q, ngx_eb_lifecycle_pending_t, queue);
    }

    ngx_qsort(all, n, sizeof(ngx_eb_lifecycle_pending_t *),
              ngx_eb_lifecycle_earlier);

    ngx_queue_init(&st->pending);

    for (i = 0; i < n; i++) {
        ngx_queue_insert_tail(&st->pending, &all[i]->queue);
    }

    ngx_free(all);

    return NGX_OK;
}


/* of one interaction; that of different ones does not matter */

static int ngx_libc_cdecl
ngx_eb_lifecycle_earlier(const void *one, const void *two)
{
    ngx_eb_lifecycle_decision_t  *a, *b;

    a = &(*(ngx_eb_lifecycle_pending_t *const *) one)->decision;
    b = &(*(ngx_eb_lifecycle_pending_t *const *) two)->decision;

    if (a->time != b->time) {
        return (a->time < b->time) ? -1 : 1;
    }

    return (int) a->stage - (int) b->stage;
}


/* resume: the first event that found no room: what follows it is taken later */

static ngx_int_t
ngx_eb_lifecycle_apply(ngx_eb_lifecycle_state_t *st, ngx_eb_log_line_t *line,
    off_t *resume)
{
    ngx_int_t                    rc;
    const char                  *reason;
    ngx_eb_lifecycle_record_t    record;
    ngx_eb_lifecycle_pending_t  *pending;

    rc = ngx_eb_lifecycle_record_read(st->parser, st->lc->conf->states,
                                      line->start, line->len, st->temp,
                                      &record, &reason);

    if (rc == NGX_DECLINED) {
        st->report.foreign++;
        return NGX_OK;
    }

    if (rc != NGX_OK) {
        return rc;
    }

    switch (record.type) {

    case NGX_EB_LIFECYCLE_R_EVENT:
    case NGX_EB_LIFECYCLE_R_HELD:

        if (*resume == -1
            && ngx_eb_lifecycle_event(st->lc, &record.event) == NGX_BUSY)
        {
            *resume = line->offset;
        }

        break;

    case NGX_EB_LIFECYCLE_R_TRANSITION:
        (void) ngx_eb_lifecycle_redo(st->lc, &record.decision);

        if (ngx_eb_lifecycle_lookup(st, record.decision.id) == NULL
            && ngx_eb_lifecycle_state_add(st, &record.decision) == NULL)
        {
            return NGX_ERROR;
        }

        break;

    case NGX_EB_LIFECYCLE_R_FLAG:
        (void) ngx_eb_lifecycle_redo(st->lc, &record.decision);
        break;

    case NGX_EB_LIFECYCLE_R_DONE:
        pending = ngx_eb_lifecycle_lookup(st, record.decision.id);

        if (pending) {
            ngx_eb_lifecycle_state_remove(pending);
            ngx_eb_lifecycle_state_put(pending);
        }

        break;

    case NGX_EB_LIFECYCLE_R_POSITION:

        /* what is behind damage may be behind events that are lost */

        if (st->report.damaged == 0) {
            return ngx_eb_lifecycle_state_keep(st, &record.position);
        }

        break;

    case NGX_EB_LIFECYCLE_R_ENTRY:
        (void) ngx_eb_lifecycle_restore(st->lc, &record.view, record.flagged,
                                        record.nflagged);
        break;

    default: /* SNAPSHOT, END */
        break;
    }

    return NGX_OK;
}


/*
 * Lines that are damaged: the file as it is, is put aside, and goes on without
 * them.  The position to which the poller goes back is written once more, so
 * that it is the last one.
 */

static ngx_int_t
ngx_eb_lifecycle_repair(ngx_eb_lifecycle_state_t *st, u_char *path)
{
    u_char                     *payload;
    ngx_err_t                   err;
    ngx_eb_log_file_t           file;
    ngx_eb_log_record_t         line;
    ngx_eb_log_compacted_t      result;
    ngx_eb_lifecycle_record_t   record;
    ngx_eb_lifecycle_repair_t   repair;

    if (ngx_eb_lifecycle_aside(path, st->report.aside, 1) != NGX_OK) {
        st->err = ngx_errno;
        st->failed = "copy()";
        return NGX_OK;
    }

    record.type = NGX_EB_LIFECYCLE_R_POSITION;
    record.position = st->position;

    payload = ngx_alloc(ngx_eb_lifecycle_record_size(&record), st->errlog);

    if (payload == NULL) {
        return ngx_eb_lifecycle_fail(st, "malloc()", NGX_ENOMEM);
    }

    ngx_memzero(&line, sizeof(ngx_eb_log_record_t));

    line.payload.data = payload;
    line.payload.len = ngx_eb_lifecycle_record_write(payload,
                                                     st->lc->conf->states,
                                                     &record)
                       - payload;

    repair.state = st;
    repair.dropped = 0;

    ngx_eb_log_file_init(&file, path, -1, -1, st->errlog);

    err = ngx_eb_log_file_append(&file, &line);

    if (err == 0) {
        err = ngx_eb_log_file_compact(&file, ngx_eb_lifecycle_repair_keep,
                                      &repair, &result);
    }

    ngx_eb_log_file_close(&file);
    ngx_free(payload);

    if (err) {
        /* it is not changed: a copy at each start would fill the disk */
        (void) unlink((char *) st->report.aside);
        st->report.aside[0] = '\0';

        st->err = err;
        st->failed = file.failed;

    } else {
        st->offset -= repair.dropped;
        st->anew = 1;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_eb_lifecycle_repair_keep(ngx_eb_log_line_t *line, void *data)
{
    ngx_eb_lifecycle_repair_t  *repair = data;

    if (line->state == NGX_EB_LOG_VALID) {
        return 1;
    }

    if (line->offset < repair->state->offset) {
        repair->dropped += line->next - line->offset;
    }

    return 0;
}


ngx_int_t
ngx_eb_lifecycle_state_read(ngx_eb_lifecycle_state_t *st, u_char *path)
{
    u_char                    *p;
    ngx_int_t                  rc;
    const char                *reason;
    ngx_eb_log_line_t          line;
    ngx_eb_log_reader_t        reader;
    ngx_eb_lifecycle_lines_t  *lines;
    ngx_eb_lifecycle_record_t  record;

    lines = &st->lines;
    lines->len = 0;
    lines->pos = 0;
    st->more = 0;

    if (ngx_eb_log_reader_open(&reader, path, st->offset, 0, st->errlog)
        != NGX_OK)
    {
        return ngx_eb_lifecycle_fail(st, "open()", reader.err);
    }

    /* a file that somebody else has put there is read from its beginning */

    if ((!st->anew && (reader.dev != st->dev || reader.ino != st->ino))
        || reader.end < st->offset)
    {
        reader.offset = 0;
        reader.at = 0;
    }

    st->anew = 0;
    st->dev = reader.dev;
    st->ino = reader.ino;
    st->offset = reader.offset;

    while ((rc = ngx_eb_log_reader_next(&reader, &line)) == NGX_OK) {

        if (line.state != NGX_EB_LOG_VALID) {
            st->report.damaged++;

        } else if (ngx_eb_lifecycle_begins(&line,
                                           NGX_EB_LIFECYCLE_BEGIN_EVENT))
        {
            if (line.len >= lines->size) {
                st->report.foreign++;

            } else if (lines->size - lines->len <= line.len) {
                st->more = 1;
                break;

            } else {
                p = ngx_cpymem(lines->data + lines->len, line.start, line.len);
                *p++ = LF;
                lines->len = p - lines->data;
            }

        } else if (st->snapshot && st->begin == -1
                   && ngx_eb_lifecycle_begins(&line,
                                              NGX_EB_LIFECYCLE_BEGIN_SNAPSHOT))
        {
            ngx_reset_pool(st->temp);

            if (ngx_eb_lifecycle_record_read(st->parser,
                                             st->lc->conf->states, line.start,
                                             line.len, st->temp, &record,
                                             &reason)
                == NGX_OK
                && record.id == st->id)
            {
                /* what is in front of it is to be taken first */

                st->begin = line.offset;
                st->offset = line.next;
                st->more = 1;
                break;
            }
        }

        st->offset = line.next;
    }

    ngx_eb_log_reader_close(&reader);

    return rc == NGX_ERROR ? ngx_eb_lifecycle_fail(st, "read()", reader.err)
                           : NGX_OK;
}


static ngx_uint_t
ngx_eb_lifecycle_begins(ngx_eb_log_line_t *line, const char *text)
{
    size_t  len;

    len = ngx_strlen(text);

    return line->len >= len && ngx_memcmp(line->start, text, len) == 0;
}


static ngx_int_t
ngx_eb_lifecycle_fail(ngx_eb_lifecycle_state_t *st, const char *what,
    ngx_err_t err)
{
    st->failed = what;
    st->err = err;

    return NGX_ERROR;
}


ngx_eb_lifecycle_pending_t *
ngx_eb_lifecycle_state_get(ngx_eb_lifecycle_state_t *st)
{
    ngx_uint_t                   i;
    ngx_queue_t                 *q;
    ngx_eb_lifecycle_block_t    *block;
    ngx_eb_lifecycle_pending_t  *pending;

    if (ngx_queue_empty(&st->free)) {
        block = ngx_alloc(sizeof(ngx_eb_lifecycle_block_t), st->errlog);

        if (block == NULL) {
            return NULL;
        }

        ngx_queue_insert_tail(&st->blocks, &block->queue);

        for (i = 0; i < NGX_EB_LIFECYCLE_BLOCK; i++) {
            ngx_queue_insert_tail(&st->free, &block->pending[i].queue);
        }
    }

    q = ngx_queue_head(&st->free);
    ngx_queue_remove(q);

    pending = ngx_queue_data(q, ngx_eb_lifecycle_pending_t, queue);

    ngx_memzero(pending, offsetof(ngx_eb_lifecycle_pending_t, payload));

    pending->state = st;
    ngx_queue_init(&pending->queue);
    ngx_queue_init(&pending->write);

    return pending;
}


void
ngx_eb_lifecycle_state_put(ngx_eb_lifecycle_pending_t *pending)
{
    ngx_queue_insert_head(&pending->state->free, &pending->queue);
}


ngx_eb_lifecycle_pending_t *
ngx_eb_lifecycle_state_add(ngx_eb_lifecycle_state_t *st,
    ngx_eb_lifecycle_decision_t *decision)
{
    ngx_eb_lifecycle_pending_t  *pending;

    pending = ngx_eb_lifecycle_state_get(st);

    if (pending == NULL) {
        return NULL;
    }

    pending->decision = *decision;

    ngx_queue_insert_tail(ngx_eb_lifecycle_bucket(st, decision->id),
                          &pending->chain);
    ngx_queue_insert_tail(&st->pending, &pending->queue);
    st->npending++;

    return pending;
}


void
ngx_eb_lifecycle_state_remove(ngx_eb_lifecycle_pending_t *pending)
{
    ngx_eb_lifecycle_state_t  *st;

    st = pending->state;

    ngx_queue_remove(&pending->chain);
    ngx_queue_remove(&pending->queue);
    st->npending--;
}


static ngx_eb_lifecycle_pending_t *
ngx_eb_lifecycle_lookup(ngx_eb_lifecycle_state_t *st, u_char *id)
{
    ngx_queue_t                 *q, *bucket;
    ngx_eb_lifecycle_pending_t  *pending;

    bucket = ngx_eb_lifecycle_bucket(st, id);

    for (q = ngx_queue_head(bucket);
         q != ngx_queue_sentinel(bucket);
         q = ngx_queue_next(q))
    {
        pending = ngx_queue_data(q, ngx_eb_lifecycle_pending_t, chain);

        if (ngx_memcmp(pending->decision.id, id, NGX_EB_LIFECYCLE_DIGEST)
            == 0)
        {
            return pending;
        }
    }

    return NULL;
}


/* an id is a digest: any of its bytes are as good as others */

static ngx_queue_t *
ngx_eb_lifecycle_bucket(ngx_eb_lifecycle_state_t *st, u_char *id)
{
    return &st->buckets[(id[0] | id[1] << 8) % NGX_EB_LIFECYCLE_IDS];
}


ngx_int_t
ngx_eb_lifecycle_state_keep(ngx_eb_lifecycle_state_t *st,
    ngx_eb_lifecycle_position_t *position)
{
    ngx_pool_t                   *pool;
    ngx_uint_t                    i;
    ngx_eb_lifecycle_position_t   copy;

    pool = ngx_create_pool(NGX_EB_LIFECYCLE_TEMP, st->errlog);

    if (pool == NULL) {
        return NGX_ERROR;
    }

    copy = *position;
    copy.cursor.data = ngx_pstrdup(pool, &position->cursor);
    copy.ids = ngx_palloc(pool, (position->n + 1) * sizeof(ngx_str_t));

    if (copy.cursor.data == NULL || copy.ids == NULL) {
        ngx_destroy_pool(pool);
        return NGX_ERROR;
    }

    for (i = 0; i < position->n; i++) {
        copy.ids[i].len = position->ids[i].len;
        copy.ids[i].data = ngx_pstrdup(pool, &position->ids[i]);

        if (copy.ids[i].data == NULL) {
            ngx_destroy_pool(pool);
            return NGX_ERROR;
        }
    }

    if (st->pool) {
        ngx_destroy_pool(st->pool);
    }

    st->pool = pool;
    st->position = copy;

    return NGX_OK;
}
