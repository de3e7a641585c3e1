
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The journal of a lifecycle is kept short: where all interactions stand is
 * written to its end, and what is in front of that is dropped.
 *
 *   1  a line marks the beginning
 *   2  what others have captured in front of it is taken by the engine, until
 *      that line is read back
 *   3  position, transitions to be published, interactions, held events
 *   4  a line at the end; then all in front of the first one is dropped
 *
 * Whatever is written meanwhile is behind the first line, and knows more.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_lifecycle_state.h"


/* of interactions that are written at a time: bytes, lines, looks */
#define NGX_EB_LIFECYCLE_SNAPSHOT_SIZE   (256 * 1024)
#define NGX_EB_LIFECYCLE_SNAPSHOT_LINES  1024
#define NGX_EB_LIFECYCLE_SNAPSHOT_LOOKS  16384


typedef enum {
    NGX_EB_LIFECYCLE_SNAPSHOT_NONE = 0,
    NGX_EB_LIFECYCLE_SNAPSHOT_MARK,
    NGX_EB_LIFECYCLE_SNAPSHOT_ENTRIES,
    NGX_EB_LIFECYCLE_SNAPSHOT_END,
    NGX_EB_LIFECYCLE_SNAPSHOT_COMPACT
} ngx_eb_lifecycle_snapshot_e;


/* lines, one behind the other */

typedef struct {
    ngx_eb_lifecycle_state_t  *state;
    ngx_eb_lifecycle_batch_t  *batch;
    ngx_uint_t                 n;
    ngx_uint_t                 max;
    u_char                    *p;
    u_char                    *end;
} ngx_eb_lifecycle_writer_t;


static ngx_uint_t ngx_eb_lifecycle_snapshot_due(ngx_eb_lifecycle_state_t *st);
static ngx_int_t ngx_eb_lifecycle_snapshot_mark(ngx_eb_lifecycle_state_t *st,
    ngx_eb_lifecycle_record_e type);
static ngx_int_t ngx_eb_lifecycle_snapshot_first(
    ngx_eb_lifecycle_state_t *st);
static ngx_int_t ngx_eb_lifecycle_snapshot_entries(
    ngx_eb_lifecycle_state_t *st);
static void ngx_eb_lifecycle_snapshot_entry(ngx_eb_lifecycle_writer_t *w,
    uint32_t i);
static ngx_int_t ngx_eb_lifecycle_snapshot_open(ngx_eb_lifecycle_state_t *st,
    ngx_eb_lifecycle_writer_t *w, ngx_uint_t max, size_t size);
static void ngx_eb_lifecycle_snapshot_line(ngx_eb_lifecycle_writer_t *w,
    ngx_eb_lifecycle_record_t *record);
static ngx_int_t ngx_eb_lifecycle_snapshot_write(
    ngx_eb_lifecycle_writer_t *w);
static void ngx_eb_lifecycle_snapshot_written(void *data, ngx_int_t rc);
static void ngx_eb_lifecycle_snapshot_over(ngx_eb_lifecycle_state_t *st);
static ngx_uint_t ngx_eb_lifecycle_snapshot_keep(ngx_eb_log_line_t *line,
    void *data);
static void ngx_eb_lifecycle_snapshot_done(void *data, ngx_err_t err,
    ngx_eb_log_compacted_t *result);


void
ngx_eb_lifecycle_state_snapshot(ngx_eb_lifecycle_state_t *st)
{
    ngx_int_t  rc;

    if (st->writes) {
        return;
    }

    rc = NGX_OK;

    switch (st->broken ? NGX_EB_LIFECYCLE_SNAPSHOT_COMPACT : st->snapshot) {

    case NGX_EB_LIFECYCLE_SNAPSHOT_NONE:

        if (!ngx_eb_lifecycle_snapshot_due(st)) {
            return;
        }

        st->id = (uint64_t) ngx_random() << 32 ^ (uint64_t) ngx_random()
                 ^ (uint64_t) ngx_pid << 40;
        st->begin = -1;

        rc = ngx_eb_lifecycle_snapshot_mark(st, NGX_EB_LIFECYCLE_R_SNAPSHOT);
        st->snapshot = NGX_EB_LIFECYCLE_SNAPSHOT_MARK;
        break;

    case NGX_EB_LIFECYCLE_SNAPSHOT_MARK:

        if (st->begin == -1) {
            return;
        }

        st->next = 0;

        rc = ngx_eb_lifecycle_snapshot_first(st);
        st->snapshot = NGX_EB_LIFECYCLE_SNAPSHOT_ENTRIES;
        break;

    case NGX_EB_LIFECYCLE_SNAPSHOT_ENTRIES:

        if (st->next < ngx_eb_lifecycle_entries(st->lc)) {
            rc = ngx_eb_lifecycle_snapshot_entries(st);

        } else {
            rc = ngx_eb_lifecycle_snapshot_mark(st, NGX_EB_LIFECYCLE_R_END);
            st->snapshot = NGX_EB_LIFECYCLE_SNAPSHOT_END;
        }

        break;

    case NGX_EB_LIFECYCLE_SNAPSHOT_END:
        st->snapshot = NGX_EB_LIFECYCLE_SNAPSHOT_COMPACT;
        st->running = 1;

        rc = ngx_eb_log_compact(st->log, ngx_eb_lifecycle_snapshot_keep,
                                ngx_eb_lifecycle_snapshot_done, st);

        if (rc != NGX_OK) {
            st->running = 0;
        }

        break;

    default: /* COMPACT is called back */
        break;
    }

    if (rc != NGX_OK || st->broken) {
        ngx_eb_lifecycle_snapshot_over(st);
    }
}


static ngx_uint_t
ngx_eb_lifecycle_snapshot_due(ngx_eb_lifecycle_state_t *st)
{
    ngx_eb_log_figures_t  figures;

    if (ngx_current_msec - st->compacted < NGX_EB_LIFECYCLE_PAUSE
        || ngx_eb_log_figures(st->log, &figures) != NGX_OK)
    {
        return 0;
    }

    return figures.size >= NGX_EB_LIFECYCLE_COMPACT
           && figures.size / NGX_EB_LIFECYCLE_GROWTH >= st->size;
}


static ngx_int_t
ngx_eb_lifecycle_snapshot_mark(ngx_eb_lifecycle_state_t *st,
    ngx_eb_lifecycle_record_e type)
{
    ngx_eb_lifecycle_record_t  record;
    ngx_eb_lifecycle_writer_t  w;

    record.type = type;
    record.id = st->id;

    if (ngx_eb_lifecycle_snapshot_open(st, &w, 1,
                                       ngx_eb_lifecycle_record_size(&record))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_eb_lifecycle_snapshot_line(&w, &record);

    return ngx_eb_lifecycle_snapshot_write(&w);
}


static ngx_int_t
ngx_eb_lifecycle_snapshot_first(ngx_eb_lifecycle_state_t *st)
{
    ngx_queue_t                 *q;
    ngx_eb_lifecycle_record_t    record;
    ngx_eb_lifecycle_writer_t    w;
    ngx_eb_lifecycle_pending_t  *pending;

    record.type = NGX_EB_LIFECYCLE_R_POSITION;
    record.position = st->position;

    if (ngx_eb_lifecycle_snapshot_open(st, &w, st->npending + 1,
                                       ngx_eb_lifecycle_record_size(&record)
                                       + st->npending
                                         * NGX_EB_LIFECYCLE_RECORD)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_eb_lifecycle_snapshot_line(&w, &record);

    record.type = NGX_EB_LIFECYCLE_R_TRANSITION;

    for (q = ngx_queue_head(&st->pending);
         q != ngx_queue_sentinel(&st->pending);
         q = ngx_queue_next(q))
    {
        pending = ngx_queue_data(q, ngx_eb_lifecycle_pending_t, queue);

        record.decision = pending->decision;
        ngx_eb_lifecycle_snapshot_line(&w, &record);
    }

    return ngx_eb_lifecycle_snapshot_write(&w);
}


static ngx_int_t
ngx_eb_lifecycle_snapshot_entries(ngx_eb_lifecycle_state_t *st)
{
    uint32_t                   last, looks;
    ngx_eb_lifecycle_writer_t  w;

    /* room for the lines of one more interaction is left each time */

    if (ngx_eb_lifecycle_snapshot_open(st, &w, NGX_EB_LIFECYCLE_SNAPSHOT_LINES,
                                       2 * NGX_EB_LIFECYCLE_SNAPSHOT_SIZE)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    last = ngx_eb_lifecycle_entries(st->lc);

    for (looks = 0;
         st->next < last
         && looks < NGX_EB_LIFECYCLE_SNAPSHOT_LOOKS
         && w.max - w.n > 2 * NGX_EB_LIFECYCLE_HELD
         && w.end - w.p > NGX_EB_LIFECYCLE_SNAPSHOT_SIZE;
         looks++)
    {
        ngx_eb_lifecycle_snapshot_entry(&w, st->next++);
    }

    if (w.n == 0) {
        ngx_free(w.batch);
        return NGX_OK;
    }

    return ngx_eb_lifecycle_snapshot_write(&w);
}


static void
ngx_eb_lifecycle_snapshot_entry(ngx_eb_lifecycle_writer_t *w, uint32_t i)
{
    uint32_t                   held;
    ngx_eb_lifecycle_record_t  record;

    if (ngx_eb_lifecycle_peek(w->state->lc, i, &record.view, record.flagged,
                              &record.nflagged)
        != NGX_OK)
    {
        return;
    }

    record.type = NGX_EB_LIFECYCLE_R_ENTRY;
    ngx_eb_lifecycle_snapshot_line(w, &record);

    record.type = NGX_EB_LIFECYCLE_R_HELD;
    held = 0;

    while (ngx_eb_lifecycle_peek_held(w->state->lc, i, &held, &record.event)
           == NGX_OK)
    {
        ngx_eb_lifecycle_snapshot_line(w, &record);
    }
}


static ngx_int_t
ngx_eb_lifecycle_snapshot_open(ngx_eb_lifecycle_state_t *st,
    ngx_eb_lifecycle_writer_t *w, ngx_uint_t max, size_t size)
{
    size_t  head;

    head = sizeof(ngx_eb_lifecycle_batch_t)
           + max * sizeof(ngx_eb_log_record_t);

    w->batch = ngx_alloc(head + size, st->errlog);

    if (w->batch == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(w->batch, head);

    w->batch->handler = ngx_eb_lifecycle_snapshot_written;
    w->batch->data = st;
    w->batch->log = st->errlog;
    w->batch->path = ngx_eb_log_path(st->log);

    w->state = st;
    w->n = 0;
    w->max = max;
    w->p = (u_char *) w->batch + head;
    w->end = w->p + size;

    return NGX_OK;
}


static void
ngx_eb_lifecycle_snapshot_line(ngx_eb_lifecycle_writer_t *w,
    ngx_eb_lifecycle_record_t *record)
{
    ngx_str_t  *payload;

    payload = &w->batch->records[w->n++].payload;

    payload->data = w->p;
    w->p = ngx_eb_lifecycle_record_write(w->p, w->state->lc->conf->states,
                                         record);
    payload->len = w->p - payload->data;
}


static ngx_int_t
ngx_eb_lifecycle_snapshot_write(ngx_eb_lifecycle_writer_t *w)
{
    if (ngx_eb_lifecycle_state_batch(w->state->log, w->batch, w->n)
        != NGX_AGAIN)
    {
        return NGX_ERROR;
    }

    w->state->writes++;
    w->state->lent++;

    return NGX_OK;
}


static void
ngx_eb_lifecycle_snapshot_written(void *data, ngx_int_t rc)
{
    ngx_eb_lifecycle_state_t  *st = data;

    st->writes--;

    if (ngx_eb_lifecycle_state_back(st)) {
        return;
    }

    if (rc != NGX_OK) {
        st->broken = 1;
    }

    st->handlers.woken(st->handlers.data);
}


static void
ngx_eb_lifecycle_snapshot_over(ngx_eb_lifecycle_state_t *st)
{
    st->snapshot = NGX_EB_LIFECYCLE_SNAPSHOT_NONE;
    st->broken = 0;
    st->begin = -1;
    st->compacted = ngx_current_msec;
}


/* in a thread, while nothing is read */

static ngx_uint_t
ngx_eb_lifecycle_snapshot_keep(ngx_eb_log_line_t *line, void *data)
{
    ngx_eb_lifecycle_state_t  *st = data;

    return line->offset >= st->begin;
}


static void
ngx_eb_lifecycle_snapshot_done(void *data, ngx_err_t err,
    ngx_eb_log_compacted_t *result)
{
    ngx_eb_lifecycle_state_t  *st = data;

    if (ngx_eb_lifecycle_state_ended(st)) {
        return;
    }

    if (err) {
        ngx_log_error(NGX_LOG_ERR, st->errlog, err,
                      "\"%V\" could not be compacted",
                      ngx_eb_log_path(st->log));

    } else {
        st->offset -= st->begin;
        st->anew = 1;
        st->size = result->after;
    }

    ngx_eb_lifecycle_snapshot_over(st);
}
