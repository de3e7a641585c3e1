
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The durable state of a lifecycle, in the event loop: what is captured is
 * written, read back, decided on, and written again; see the header.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_lifecycle_state.h"


/* lines that are taken, and decisions, before other work has its turn */
#define NGX_EB_LIFECYCLE_TURN       1000

/* waits, ms: nothing to do; an error */
#define NGX_EB_LIFECYCLE_IDLE       1000
#define NGX_EB_LIFECYCLE_RETRY      500


static void ngx_eb_lifecycle_batch_handler(ngx_eb_log_record_t *record);
static void ngx_eb_lifecycle_run(void *data);
static void ngx_eb_lifecycle_recovered(void *data);
static void ngx_eb_lifecycle_read_run(void *data);
static void ngx_eb_lifecycle_read_done(void *data);
static void ngx_eb_lifecycle_report(ngx_eb_lifecycle_state_t *st);
static ngx_uint_t ngx_eb_lifecycle_take(ngx_eb_lifecycle_state_t *st,
    int64_t now);
static ngx_uint_t ngx_eb_lifecycle_decide(ngx_eb_lifecycle_state_t *st,
    int64_t now);
static void ngx_eb_lifecycle_flag(ngx_eb_lifecycle_state_t *st,
    ngx_eb_lifecycle_decision_t *d);
static void ngx_eb_lifecycle_line(ngx_eb_lifecycle_pending_t *pending,
    ngx_eb_lifecycle_record_e type, ngx_eb_log_handler_pt handler);
static ngx_int_t ngx_eb_lifecycle_append(ngx_eb_lifecycle_pending_t *pending);
static void ngx_eb_lifecycle_transition_handler(ngx_eb_log_record_t *record);
static void ngx_eb_lifecycle_flag_handler(ngx_eb_log_record_t *record);
static void ngx_eb_lifecycle_done_handler(ngx_eb_log_record_t *record);
static void ngx_eb_lifecycle_tell(ngx_eb_lifecycle_state_t *st);
static void ngx_eb_lifecycle_again(ngx_eb_lifecycle_state_t *st);


ngx_int_t
ngx_eb_lifecycle_capture(ngx_eb_log_t *log, ngx_eb_lifecycle_states_t *states,
    ngx_eb_lifecycle_event_t *events, ngx_uint_t n,
    ngx_eb_lifecycle_handler_pt handler, void *data, ngx_log_t *errlog)
{
    u_char                     *p, *last;
    size_t                      size;
    ngx_uint_t                  i;
    ngx_eb_lifecycle_batch_t   *batch;
    ngx_eb_lifecycle_record_t   record;

    record.type = NGX_EB_LIFECYCLE_R_EVENT;

    size = sizeof(ngx_eb_lifecycle_batch_t) + n * sizeof(ngx_eb_log_record_t);

    batch = ngx_alloc(size + n * ngx_eb_lifecycle_record_size(&record),
                      errlog);

    if (batch == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(batch, size);

    batch->handler = handler;
    batch->data = data;
    batch->log = errlog;
    batch->path = ngx_eb_log_path(log);

    p = (u_char *) batch + size;

    for (i = 0; i < n; i++) {
        record.event = events[i];
        last = ngx_eb_lifecycle_record_write(p, states, &record);

        batch->records[i].payload.data = p;
        batch->records[i].payload.len = last - p;

        p = last;
    }

    return ngx_eb_lifecycle_state_batch(log, batch, n);
}


ngx_int_t
ngx_eb_lifecycle_state_batch(ngx_eb_log_t *log,
    ngx_eb_lifecycle_batch_t *batch, ngx_uint_t n)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    rc = NGX_ERROR;

    for (i = 0; i < n; i++) {
        batch->records[i].handler = ngx_eb_lifecycle_batch_handler;
        batch->records[i].data = batch;

        rc = ngx_eb_log_append(log, &batch->records[i]);

        if (rc != NGX_AGAIN) {
            batch->err = batch->records[i].err ? batch->records[i].err
                                               : NGX_EAGAIN;
            break;
        }

        batch->n++;
    }

    if (batch->n) {
        return NGX_AGAIN;
    }

    if (rc == NGX_ERROR) {
        ngx_log_error(NGX_LOG_ERR, batch->log, batch->err,
                      "a line of \"%V\" could not be written", batch->path);
    }

    ngx_free(batch);

    return rc;
}


static void
ngx_eb_lifecycle_batch_handler(ngx_eb_log_record_t *record)
{
    ngx_eb_lifecycle_batch_t  *batch;

    batch = record->data;

    if (record->err) {
        batch->err = record->err;
    }

    if (--batch->n) {
        return;
    }

    if (batch->err) {
        ngx_log_error(NGX_LOG_ERR, batch->log, batch->err,
                      "lines of \"%V\" could not be written", batch->path);
    }

    if (batch->handler) {
        batch->handler(batch->data, batch->err ? NGX_ERROR : NGX_OK);
    }

    ngx_free(batch);
}


ngx_int_t
ngx_eb_lifecycle_state_start(ngx_eb_lifecycle_state_t *st)
{
    if (st->running || st->lent) {
        return NGX_BUSY;
    }

    if (ngx_eb_lifecycle_state_init(st) != NGX_OK) {
        return NGX_ERROR;
    }

    st->compacted = ngx_current_msec - NGX_EB_LIFECYCLE_PAUSE;
    st->looked = ngx_current_msec - NGX_EB_LIFECYCLE_FOLLOW;
    st->unreadable = 0;
    st->running = 1;
    st->err = 0;

    if (ngx_eb_log_run(st->log, ngx_eb_lifecycle_run,
                       ngx_eb_lifecycle_recovered, st)
        != NGX_OK)
    {
        st->running = 0;
        ngx_eb_lifecycle_state_clear(st);
        return NGX_ERROR;
    }

    return NGX_AGAIN;
}


/* in a thread: the engine is not used meanwhile */

static void
ngx_eb_lifecycle_run(void *data)
{
    ngx_eb_lifecycle_state_t  *st = data;

    st->err = 0;
    st->failed = NULL;

    st->rc = ngx_eb_lifecycle_state_recover(st,
                                            ngx_eb_log_path(st->log)->data);
}


static void
ngx_eb_lifecycle_recovered(void *data)
{
    ngx_eb_lifecycle_state_t  *st = data;

    ngx_str_t  *path;

    if (ngx_eb_lifecycle_state_ended(st)) {
        return;
    }

    path = ngx_eb_log_path(st->log);

    if (st->rc != NGX_OK) {
        ngx_log_error(NGX_LOG_ALERT, st->errlog, st->err, "%s \"%V\" failed",
                      st->failed, path);

        st->stopped = 1;
        ngx_eb_lifecycle_state_clear(st);

        st->handlers.recovered(st->handlers.data, NGX_ERROR, &st->report);
        return;
    }

    ngx_eb_lifecycle_report(st);
    ngx_eb_lifecycle_open(st->lc);

    st->ready = 1;

    st->handlers.recovered(st->handlers.data, NGX_OK, &st->report);

    ngx_eb_lifecycle_tell(st);
}


static void
ngx_eb_lifecycle_report(ngx_eb_lifecycle_state_t *st)
{
    ngx_str_t                  *path;
    ngx_eb_lifecycle_report_t  *report;

    path = ngx_eb_log_path(st->log);
    report = &st->report;

    if (report->damaged) {
        ngx_log_error(NGX_LOG_ALERT, st->errlog, 0,
                      "%uL of %uL lines of \"%V\" are damaged and left out; "
                      "polling goes back to the position in front of them",
                      report->damaged, report->lines, path);

        if (report->aside[0]) {
            ngx_log_error(NGX_LOG_ALERT, st->errlog, 0,
                          "the damaged file was copied to \"%s\"",
                          report->aside);

        } else {
            ngx_log_error(NGX_LOG_ALERT, st->errlog, st->err,
                          "\"%V\" could not be put aside: %s failed",
                          path, st->failed ? st->failed : "copy()");
        }
    }

    if (report->foreign) {
        ngx_log_error(NGX_LOG_WARN, st->errlog, 0,
                      "%uL of %uL lines of \"%V\" are not known, or name a "
                      "state that is not configured",
                      report->foreign, report->lines, path);
    }

    ngx_log_error(NGX_LOG_NOTICE, st->errlog, 0,
                  "lifecycle recovered from %uL lines of \"%V\": "
                  "%uL events are held, %uL transitions are to be published",
                  report->lines, path, report->held, report->pending);
}


ngx_uint_t
ngx_eb_lifecycle_state_ended(ngx_eb_lifecycle_state_t *st)
{
    st->running = 0;

    if (st->stopped) {
        if (st->lent == 0) {
            ngx_eb_lifecycle_state_clear(st);
        }

        return 1;
    }

    return 0;
}


ngx_msec_t
ngx_eb_lifecycle_state_tick(ngx_eb_lifecycle_state_t *st, int64_t now)
{
    int64_t     wait;
    ngx_uint_t  more, full;

    if (!st->ready) {
        return NGX_EB_LIFECYCLE_IDLE;
    }

    ngx_eb_lifecycle_again(st);

    more = 0;

    if (!st->running) {
        more = ngx_eb_lifecycle_take(st, now);
    }

    more |= ngx_eb_lifecycle_decide(st, now);

    if (!st->running && st->lines.pos == st->lines.len) {
        ngx_eb_lifecycle_state_snapshot(st);

        if (!st->running
            && (st->more
                || ngx_current_msec - st->looked >= NGX_EB_LIFECYCLE_FOLLOW))
        {
            st->looked = ngx_current_msec;
            st->running = 1;

            if (ngx_eb_log_run(st->log, ngx_eb_lifecycle_read_run,
                               ngx_eb_lifecycle_read_done, st)
                != NGX_OK)
            {
                st->running = 0;
                return NGX_EB_LIFECYCLE_RETRY;
            }
        }
    }

    if (more) {
        return 1;
    }

    full = (st->npending >= st->max_pending);
    wait = full ? -1 : ngx_eb_lifecycle_wait(st->lc, now);

    return (wait == -1 || wait > NGX_EB_LIFECYCLE_FOLLOW)
           ? NGX_EB_LIFECYCLE_FOLLOW : (ngx_msec_t) wait;
}


static void
ngx_eb_lifecycle_read_run(void *data)
{
    ngx_eb_lifecycle_state_t  *st = data;

    st->err = 0;
    (void) ngx_eb_lifecycle_state_read(st, ngx_eb_log_path(st->log)->data);
}


static void
ngx_eb_lifecycle_read_done(void *data)
{
    ngx_eb_lifecycle_state_t  *st = data;

    if (ngx_eb_lifecycle_state_ended(st)) {
        return;
    }

    if (st->err == 0) {
        st->unreadable = 0;

    } else if (!st->unreadable) {
        st->unreadable = 1;

        ngx_log_error(NGX_LOG_ERR, st->errlog, st->err, "%s \"%V\" failed",
                      st->failed, ngx_eb_log_path(st->log));
    }

    st->handlers.woken(st->handlers.data);
}


/* is there more to be taken, that nothing but time is missing for? */

static ngx_uint_t
ngx_eb_lifecycle_take(ngx_eb_lifecycle_state_t *st, int64_t now)
{
    u_char                     *p, *last;
    ngx_int_t                   rc;
    ngx_uint_t                  n;
    const char                 *reason;
    ngx_eb_lifecycle_lines_t   *lines;
    ngx_eb_lifecycle_record_t   record;

    lines = &st->lines;

    for (n = 0; lines->pos < lines->len; n++) {

        if (n == NGX_EB_LIFECYCLE_TURN) {
            return 1;
        }

        p = lines->data + lines->pos;
        last = memchr(p, LF, lines->len - lines->pos);

        rc = ngx_eb_lifecycle_record_read(st->parser, st->lc->conf->states, p,
                                          last - p, st->temp, &record,
                                          &reason);

        if (rc == NGX_OK) {
            rc = ngx_eb_lifecycle_event(st->lc, &record.event);

            if (rc == NGX_BUSY) {
                (void) ngx_eb_lifecycle_decide(st, now);
                rc = ngx_eb_lifecycle_event(st->lc, &record.event);
            }

            if (rc == NGX_BUSY) {
                break;
            }

        } else if (rc == NGX_DECLINED) {
            st->report.foreign++;

        } else {
            break;
        }

        lines->pos += last + 1 - p;
    }

    ngx_reset_pool(st->temp);

    return 0;
}


static ngx_uint_t
ngx_eb_lifecycle_decide(ngx_eb_lifecycle_state_t *st, int64_t now)
{
    ngx_uint_t                    n;
    ngx_eb_lifecycle_decision_t   d;
    ngx_eb_lifecycle_pending_t   *pending;

    for (n = 0; st->npending < st->max_pending; n++) {

        if (n == NGX_EB_LIFECYCLE_TURN) {
            return 1;
        }

        /* what is decided cannot be taken back: memory comes first */

        pending = ngx_eb_lifecycle_state_get(st);

        if (pending == NULL) {
            return 0;
        }

        ngx_eb_lifecycle_state_put(pending);

        if (ngx_eb_lifecycle_next(st->lc, now, &d) != NGX_OK) {
            return 0;
        }

        if (d.kind != NGX_EB_LIFECYCLE_PUBLISH) {

            if (d.kind != NGX_EB_LIFECYCLE_EVICT) {
                ngx_eb_lifecycle_flag(st, &d);
            }

            st->handlers.decided(st->handlers.data, &d);
            continue;
        }

        pending = ngx_eb_lifecycle_state_add(st, &d);

        ngx_queue_insert_tail(&st->writing, &pending->write);
        ngx_eb_lifecycle_line(pending, NGX_EB_LIFECYCLE_R_TRANSITION,
                              ngx_eb_lifecycle_transition_handler);

        if (ngx_eb_lifecycle_append(pending) != NGX_AGAIN) {
            pending->failed = 1;
        }
    }

    return 0;
}


/* if that is not written, it is flagged once more after a recovery */

static void
ngx_eb_lifecycle_flag(ngx_eb_lifecycle_state_t *st,
    ngx_eb_lifecycle_decision_t *d)
{
    ngx_eb_lifecycle_pending_t  *pending;

    pending = ngx_eb_lifecycle_state_get(st);

    if (pending == NULL) {
        return;
    }

    pending->decision = *d;

    ngx_eb_lifecycle_line(pending, NGX_EB_LIFECYCLE_R_FLAG,
                          ngx_eb_lifecycle_flag_handler);

    if (ngx_eb_lifecycle_append(pending) != NGX_AGAIN) {
        ngx_eb_lifecycle_state_put(pending);
    }
}


static void
ngx_eb_lifecycle_line(ngx_eb_lifecycle_pending_t *pending,
    ngx_eb_lifecycle_record_e type, ngx_eb_log_handler_pt handler)
{
    ngx_eb_lifecycle_record_t  record;

    record.type = type;
    record.decision = pending->decision;
    record.published = pending->published;

    pending->record.payload.data = pending->payload;
    pending->record.payload.len =
        ngx_eb_lifecycle_record_write(pending->payload,
                                      pending->state->lc->conf->states,
                                      &record)
        - pending->payload;
    pending->record.handler = handler;
    pending->record.data = pending;
}


static ngx_int_t
ngx_eb_lifecycle_append(ngx_eb_lifecycle_pending_t *pending)
{
    ngx_int_t  rc;

    rc = ngx_eb_log_append(pending->state->log, &pending->record);

    if (rc == NGX_AGAIN) {
        pending->state->lent++;
    }

    return rc;
}


ngx_uint_t
ngx_eb_lifecycle_state_back(ngx_eb_lifecycle_state_t *st)
{
    st->lent--;

    if (!st->stopped) {
        return 0;
    }

    if (st->lent == 0 && !st->running) {
        ngx_eb_lifecycle_state_clear(st);
    }

    return 1;
}


static void
ngx_eb_lifecycle_transition_handler(ngx_eb_log_record_t *record)
{
    ngx_eb_lifecycle_pending_t  *pending;

    pending = record->data;

    if (ngx_eb_lifecycle_state_back(pending->state)) {
        return;
    }

    if (record->err) {
        pending->failed = 1;
        return;
    }

    pending->durable = 1;

    ngx_eb_lifecycle_tell(pending->state);
}


/* in the order of acceptance, so that no interaction sees another one */

static void
ngx_eb_lifecycle_tell(ngx_eb_lifecycle_state_t *st)
{
    ngx_queue_t                 *q;
    ngx_eb_lifecycle_pending_t  *pending;

    while (!st->stopped && !ngx_queue_empty(&st->writing)) {
        q = ngx_queue_head(&st->writing);
        pending = ngx_queue_data(q, ngx_eb_lifecycle_pending_t, write);

        if (!pending->durable) {
            return;
        }

        ngx_queue_remove(q);

        st->handlers.accepted(st->handlers.data, pending);
    }
}


static void
ngx_eb_lifecycle_flag_handler(ngx_eb_log_record_t *record)
{
    ngx_eb_lifecycle_pending_t  *pending;

    pending = record->data;

    if (!ngx_eb_lifecycle_state_back(pending->state)) {
        ngx_eb_lifecycle_state_put(pending);
    }
}


void
ngx_eb_lifecycle_state_done(ngx_eb_lifecycle_state_t *st,
    ngx_eb_lifecycle_pending_t *pending, int64_t now, ngx_uint_t published)
{
    ngx_eb_lifecycle_done(st->lc, &pending->decision, now, published);

    ngx_eb_lifecycle_state_remove(pending);

    st->nending++;
    pending->ended = 1;
    pending->published = (published != 0);
    pending->decision.at = now;

    ngx_eb_lifecycle_line(pending, NGX_EB_LIFECYCLE_R_DONE,
                          ngx_eb_lifecycle_done_handler);

    if (ngx_eb_lifecycle_append(pending) != NGX_AGAIN) {
        ngx_queue_insert_tail(&st->again, &pending->write);
    }
}


static void
ngx_eb_lifecycle_done_handler(ngx_eb_log_record_t *record)
{
    ngx_eb_lifecycle_pending_t  *pending;

    pending = record->data;

    if (ngx_eb_lifecycle_state_back(pending->state)) {
        return;
    }

    if (record->err) {
        ngx_queue_insert_tail(&pending->state->again, &pending->write);
        return;
    }

    pending->state->nending--;
    pending->state->handlers.woken(pending->state->handlers.data);

    ngx_eb_lifecycle_state_put(pending);
}


/* what could not be written, in the order of acceptance */

static void
ngx_eb_lifecycle_again(ngx_eb_lifecycle_state_t *st)
{
    ngx_queue_t                 *q;
    ngx_eb_lifecycle_pending_t  *pending;

    for (q = ngx_queue_head(&st->writing);
         q != ngx_queue_sentinel(&st->writing);
         q = ngx_queue_next(q))
    {
        pending = ngx_queue_data(q, ngx_eb_lifecycle_pending_t, write);

        if (!pending->failed) {
            continue;
        }

        if (ngx_eb_lifecycle_append(pending) != NGX_AGAIN) {
            return;
        }

        pending->failed = 0;
    }

    while (!ngx_queue_empty(&st->again)) {
        q = ngx_queue_head(&st->again);
        pending = ngx_queue_data(q, ngx_eb_lifecycle_pending_t, write);

        if (ngx_eb_lifecycle_append(pending) != NGX_AGAIN) {
            return;
        }

        ngx_queue_remove(q);
    }
}


ngx_int_t
ngx_eb_lifecycle_state_position(ngx_eb_lifecycle_state_t *st,
    ngx_eb_lifecycle_position_t *position, ngx_eb_lifecycle_handler_pt handler,
    void *data)
{
    u_char                     *p;
    ngx_eb_lifecycle_batch_t   *batch;
    ngx_eb_lifecycle_record_t   record;

    if (!st->ready || position->cursor.len > NGX_EB_LIFECYCLE_CURSOR
        || position->n > NGX_EB_LIFECYCLE_DONE)
    {
        ngx_log_error(NGX_LOG_ALERT, st->errlog, 0,
                      "a position cannot be written to \"%V\"",
                      ngx_eb_log_path(st->log));
        return NGX_ERROR;
    }

    if (ngx_eb_lifecycle_state_keep(st, position) != NGX_OK) {
        return NGX_ERROR;
    }

    record.type = NGX_EB_LIFECYCLE_R_POSITION;
    record.position = st->position;

    batch = ngx_alloc(sizeof(ngx_eb_lifecycle_batch_t)
                      + ngx_eb_lifecycle_record_size(&record), st->errlog);

    if (batch == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(batch, sizeof(ngx_eb_lifecycle_batch_t));

    batch->handler = handler;
    batch->data = data;
    batch->log = st->errlog;
    batch->path = ngx_eb_log_path(st->log);

    p = (u_char *) (batch + 1);

    batch->records[0].payload.data = p;
    batch->records[0].payload.len =
        ngx_eb_lifecycle_record_write(p, st->lc->conf->states, &record) - p;

    return ngx_eb_lifecycle_state_batch(st->log, batch, 1);
}


void
ngx_eb_lifecycle_state_stop(ngx_eb_lifecycle_state_t *st)
{
    if (st->stopped || st->parser == NULL) {
        return;
    }

    st->stopped = 1;
    st->ready = 0;

    if (!st->running && st->lent == 0) {
        ngx_eb_lifecycle_state_clear(st);
    }
}
