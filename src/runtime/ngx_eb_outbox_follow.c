
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The outbox: what the worker that has the lease reads of its file.  Only ids,
 * places and states are kept in memory; the payload of an entry is read when
 * it is needed.
 */


#include "ngx_eb_outbox.h"
#include "ngx_eb_lease.h"


/* how often the file and the lease are looked at, ms */
#define NGX_EB_OUTBOX_TICK      500

/* lines that a thread reads in one go */
#define NGX_EB_OUTBOX_BATCH     512

/* lines of no use that are worth a compaction, if they are the most */
#define NGX_EB_OUTBOX_USELESS   100

/* after a compaction that failed, ms */
#define NGX_EB_OUTBOX_PAUSE     60000


/* what a thread has seen of a line */

typedef struct {
    ngx_eb_outbox_kind_e      kind;
    u_char                    id[NGX_EB_OUTBOX_ID];
    int64_t                   created;
    ngx_int_t                 webhook;      /* -1: none, -2: unknown */
    ngx_int_t                 audit;
    off_t                     offset;
    size_t                    len;
} ngx_eb_outbox_item_t;


typedef struct {
    off_t                     offset;
    dev_t                     dev;
    ino_t                     ino;
    ngx_uint_t                lines;        /* all of them */
    ngx_uint_t                n;            /* items */
    ngx_err_t                 err;
    unsigned                  another:1;    /* file: nothing was read */
    unsigned                  end:1;
    ngx_eb_outbox_item_t      items[NGX_EB_OUTBOX_BATCH];
} ngx_eb_outbox_read_t;


static ngx_uint_t ngx_eb_outbox_mine(ngx_eb_outbox_t *ob);
static void ngx_eb_outbox_gauges(ngx_eb_outbox_t *ob);
static void ngx_eb_outbox_read(ngx_eb_outbox_t *ob);
static void ngx_eb_outbox_read_run(void *data);
static void ngx_eb_outbox_read_item(ngx_eb_outbox_t *ob,
    ngx_eb_outbox_line_t *line, ngx_eb_outbox_item_t *item);
static void ngx_eb_outbox_read_done(void *data);
static void ngx_eb_outbox_anew(ngx_eb_outbox_t *ob);
static void ngx_eb_outbox_sweep(ngx_eb_outbox_t *ob);
static void ngx_eb_outbox_apply(ngx_eb_outbox_t *ob,
    ngx_eb_outbox_item_t *item);
static ngx_eb_outbox_entry_t *ngx_eb_outbox_find(ngx_eb_outbox_t *ob,
    u_char *id);
static ngx_eb_outbox_entry_t *ngx_eb_outbox_add(ngx_eb_outbox_t *ob,
    u_char *id);
static void ngx_eb_outbox_describe(ngx_eb_outbox_entry_t *e,
    ngx_eb_outbox_item_t *item);
static void ngx_eb_outbox_forget(ngx_eb_outbox_entry_t *e);
static void ngx_eb_outbox_timer(ngx_event_t *ev);
static void ngx_eb_outbox_orphans(ngx_eb_outbox_t *ob);
static void ngx_eb_outbox_resolved(void *data, ngx_int_t rc);
static void ngx_eb_outbox_compact(ngx_eb_outbox_t *ob);
static ngx_uint_t ngx_eb_outbox_keep(ngx_eb_log_line_t *line, void *data);
static int ngx_libc_cdecl ngx_eb_outbox_order(const void *one,
    const void *two);
static void ngx_eb_outbox_compacted(void *data, ngx_err_t err,
    ngx_eb_log_compacted_t *result);


/* the cancelable timer goes on in an exiting worker as long as others do */

void
ngx_eb_outbox_tick(ngx_event_t *ev)
{
    ngx_connection_t *c = ev->data;

    ngx_eb_outbox_t  *ob;

    ob = c->data;

    if (ngx_terminate || (ngx_exiting && !ob->holder)) {
        return;
    }

    if (ngx_exiting) {

        /* what is under way ends here, the rest is a successor's */

        if (ob->running == 0 && !ob->reading && !ob->compacting) {
            ob->holder = 0;
            ngx_eb_lease_release(ob->lock, &ob->lease);
            return;
        }

        ngx_add_timer(ev, 50);
        return;
    }

    if (ngx_eb_outbox_mine(ob)) {

        if (!ob->reading && !ob->compacting) {
            ngx_eb_outbox_read(ob);
        }

        ngx_eb_outbox_orphans(ob);
        ngx_eb_outbox_gauges(ob);
        ngx_eb_outbox_pump(ob);
    }

    if (!ev->timer_set) {
        ngx_add_timer(ev, NGX_EB_OUTBOX_TICK);
    }
}


void
ngx_eb_outbox_soon(ngx_eb_outbox_t *ob)
{
    if (ngx_exiting || ngx_terminate) {
        return;
    }

    /* nginx would leave a timer that differs by little as it is */

    if (ob->tick.timer_set) {
        ngx_del_timer(&ob->tick);
    }

    ngx_add_timer(&ob->tick, 1);
}


static ngx_uint_t
ngx_eb_outbox_mine(ngx_eb_outbox_t *ob)
{
    if (ob->holder) {
        return 1;
    }

    if (ngx_eb_lease_try(ob->lock, &ob->lease) != NGX_OK) {
        return 0;
    }

    ob->read = ngx_alloc(sizeof(ngx_eb_outbox_read_t), ob->errlog);

    if (ob->read == NULL) {
        ngx_eb_lease_release(ob->lock, &ob->lease);
        return 0;
    }

    ob->holder = 1;
    ob->anew = 1;
    ob->offset = 0;

    return 1;
}


static void
ngx_eb_outbox_gauges(ngx_eb_outbox_t *ob)
{
    ngx_queue_t            *q;
    ngx_eb_outbox_entry_t  *e;

    /* while it is read anew the figures are those of before */

    if (ob->anew) {
        return;
    }

    *ob->figures.depth = (int64_t) ob->nopen;
    *ob->figures.buried = (int64_t) ob->nburied;

    if (ngx_queue_empty(&ob->open)) {
        *ob->figures.oldest = 0;
        return;
    }

    q = ngx_queue_head(&ob->open);
    e = ngx_queue_data(q, ngx_eb_outbox_entry_t, queue);

    *ob->figures.oldest = e->created;
}


static void
ngx_eb_outbox_read(ngx_eb_outbox_t *ob)
{
    ngx_eb_outbox_read_t  *r;

    r = ob->read;

    r->offset = ob->offset;
    r->dev = ob->dev;
    r->ino = ob->ino;

    ob->hurry = 0;

    if (ngx_eb_log_run(ob->log, ngx_eb_outbox_read_run,
                       ngx_eb_outbox_read_done, ob)
        == NGX_OK)
    {
        ob->reading = 1;
        ob->begun++;
    }
}


/* in a thread; the configuration is read only */

static void
ngx_eb_outbox_read_run(void *data)
{
    ngx_eb_outbox_t *ob = data;

    ngx_int_t              rc;
    ngx_eb_log_line_t      line;
    ngx_eb_log_reader_t    reader;
    ngx_eb_outbox_line_t   parsed;
    ngx_eb_outbox_item_t  *item;
    ngx_eb_outbox_read_t  *r;

    r = ob->read;

    r->lines = 0;
    r->n = 0;
    r->err = 0;
    r->another = 0;
    r->end = 0;

    if (ngx_eb_log_reader_open(&reader, ngx_eb_log_path(ob->log)->data,
                               r->offset, 0, ngx_cycle->log)
        != NGX_OK)
    {
        r->err = reader.err;
        return;
    }

    if (r->offset && (reader.dev != r->dev || reader.ino != r->ino)) {
        r->another = 1;
        ngx_eb_log_reader_close(&reader);
        return;
    }

    r->dev = reader.dev;
    r->ino = reader.ino;

    while (r->n < NGX_EB_OUTBOX_BATCH) {

        rc = ngx_eb_log_reader_next(&reader, &line);

        if (rc != NGX_OK) {
            r->end = (rc == NGX_DONE);
            r->err = r->end ? 0 : reader.err;
            break;
        }

        r->offset = line.next;
        r->lines++;

        if (line.state != NGX_EB_LOG_VALID
            || ngx_eb_outbox_parse(line.start, line.payload, &parsed)
               != NGX_OK)
        {
            continue;
        }

        item = &r->items[r->n++];

        item->offset = line.offset;
        item->len = line.len;

        ngx_eb_outbox_read_item(ob, &parsed, item);
    }

    ngx_eb_log_reader_close(&reader);
}


static void
ngx_eb_outbox_read_item(ngx_eb_outbox_t *ob, ngx_eb_outbox_line_t *line,
    ngx_eb_outbox_item_t *item)
{
    ngx_uint_t               i;
    ngx_eb_webhook_t       **webhooks;
    ngx_eb_outbox_audit_t   *audits;

    item->kind = line->kind;
    item->created = line->created;
    item->webhook = line->webhook.len ? -2 : -1;
    item->audit = line->audit.len ? -2 : -1;

    ngx_memcpy(item->id, line->id.data, NGX_EB_OUTBOX_ID);

    webhooks = ob->webhooks.elts;

    for (i = 0; line->webhook.len && i < ob->webhooks.nelts; i++) {
        if (webhooks[i]->name.len == line->webhook.len
            && ngx_memcmp(webhooks[i]->name.data, line->webhook.data,
                          line->webhook.len)
               == 0)
        {
            item->webhook = (ngx_int_t) i;
            break;
        }
    }

    audits = ob->audits.elts;

    for (i = 0; line->audit.len && i < ob->audits.nelts; i++) {
        if (audits[i].name.len == line->audit.len
            && ngx_memcmp(audits[i].name.data, line->audit.data,
                          line->audit.len)
               == 0)
        {
            item->audit = (ngx_int_t) i;
            break;
        }
    }
}


/* and back in the event loop */

static void
ngx_eb_outbox_read_done(void *data)
{
    ngx_eb_outbox_t *ob = data;

    ngx_uint_t             i;
    ngx_eb_outbox_read_t  *r;

    r = ob->read;
    ob->reading = 0;

    if (r->err) {

        /* not there: renamed, and nobody has appended since */

        if (r->err != NGX_ENOENT && !ob->unreadable) {
            ob->unreadable = 1;
            ngx_log_error(NGX_LOG_ERR, ob->errlog, r->err,
                          "eventbridge: outbox \"%V\" cannot be read",
                          ngx_eb_log_path(ob->log));
        }

        return;
    }

    ob->unreadable = 0;

    if (r->another) {
        ngx_eb_outbox_anew(ob);
        ob->hurry = 1;

    } else {
        ob->dev = r->dev;
        ob->ino = r->ino;
        ob->offset = r->offset;
        ob->lines += r->lines;

        for (i = 0; i < r->n; i++) {
            ngx_eb_outbox_apply(ob, &r->items[i]);
        }

        if (r->end) {
            ob->whole = ob->begun;

            if (ob->anew) {
                ob->anew = 0;
                ngx_eb_outbox_sweep(ob);
            }

            ngx_eb_outbox_compact(ob);

        } else {
            ob->hurry = 1;
        }
    }

    if (ngx_exiting) {
        return;
    }

    if (ob->hurry) {
        ngx_eb_outbox_soon(ob);
    }

    ngx_eb_outbox_orphans(ob);
    ngx_eb_outbox_gauges(ob);
    ngx_eb_outbox_pump(ob);
}


/* the file was rewritten or replaced: what is not in it is forgotten */

static void
ngx_eb_outbox_anew(ngx_eb_outbox_t *ob)
{
    ngx_uint_t              i;
    ngx_queue_t            *q, *queues[2];
    ngx_eb_outbox_entry_t  *e;

    ob->anew = 1;
    ob->offset = 0;
    ob->lines = 0;
    ob->useless = 0;

    queues[0] = &ob->open;
    queues[1] = &ob->closed;

    for (i = 0; i < 2; i++) {
        for (q = ngx_queue_head(queues[i]);
             q != ngx_queue_sentinel(queues[i]);
             q = ngx_queue_next(q))
        {
            e = ngx_queue_data(q, ngx_eb_outbox_entry_t, queue);
            e->seen = 0;
            e->lines = 0;
            e->resolved = 0;
        }
    }
}


static void
ngx_eb_outbox_sweep(ngx_eb_outbox_t *ob)
{
    ngx_uint_t              i;
    ngx_queue_t            *q, *next, *queues[2];
    ngx_eb_outbox_entry_t  *e;

    queues[0] = &ob->open;
    queues[1] = &ob->closed;

    for (i = 0; i < 2; i++) {
        for (q = ngx_queue_head(queues[i]);
             q != ngx_queue_sentinel(queues[i]);
             q = next)
        {
            next = ngx_queue_next(q);
            e = ngx_queue_data(q, ngx_eb_outbox_entry_t, queue);

            /* what is handled just now is forgotten when that ends */

            if (!e->seen && e->state != NGX_EB_OUTBOX_RUNNING
                && !e->resolving)
            {
                ngx_eb_outbox_forget(e);
                continue;
            }

            /* nothing began before all marks were known */

            ngx_eb_outbox_settle(e);

            if (!e->closed && !e->intent && e->known
                && e->state == NGX_EB_OUTBOX_WAITING && !e->timer.timer_set)
            {
                ngx_eb_outbox_ready(e);
            }
        }
    }
}


static void
ngx_eb_outbox_apply(ngx_eb_outbox_t *ob, ngx_eb_outbox_item_t *item)
{
    ngx_eb_outbox_entry_t  *e;

    e = ngx_eb_outbox_find(ob, item->id);

    if (e == NULL) {
        e = ngx_eb_outbox_add(ob, item->id);
        if (e == NULL) {
            return;
        }

        e->created = item->created;
    }

    e->seen = 1;
    e->lines++;

    if (e->closed && !e->buried) {
        ob->useless++;
    }

    switch (item->kind) {

    case NGX_EB_OUTBOX_INTENT:

        if (!e->known) {
            e->intent = 1;
        }

        /* that of the outcome may have come before, and counts */

        if (!e->known || e->intent) {
            ngx_eb_outbox_describe(e, item);
        }

        break;

    case NGX_EB_OUTBOX_CALLBACK:
        e->intent = 0;
        ngx_eb_outbox_describe(e, item);
        break;

    case NGX_EB_OUTBOX_UNKNOWN:
        e->intent = 0;
        break;

    case NGX_EB_OUTBOX_AUDITED:
        e->audited = 1;
        break;

    case NGX_EB_OUTBOX_DEAD:

        if (!e->buried) {
            e->buried = 1;
            ob->nburied++;
        }

        /* fall through */

    default: /* NGX_EB_OUTBOX_DONE */
        e->sent = 1;
        e->marked = 1;
    }

    if (!e->intent && e->held) {
        e->held = 0;
        ngx_eb_lease_release(ob->lock, &e->sn.str);
    }

    ngx_eb_outbox_settle(e);

    if (!ob->anew && !e->closed && !e->intent && e->known
        && e->state == NGX_EB_OUTBOX_WAITING && !e->timer.timer_set)
    {
        ngx_eb_outbox_ready(e);
    }
}


static ngx_eb_outbox_entry_t *
ngx_eb_outbox_find(ngx_eb_outbox_t *ob, u_char *id)
{
    ngx_str_t  text;

    text.data = id;
    text.len = NGX_EB_OUTBOX_ID;

    return (ngx_eb_outbox_entry_t *) ngx_str_rbtree_lookup(&ob->entries,
                                   &text, ngx_crc32_short(id, text.len));
}


static ngx_eb_outbox_entry_t *
ngx_eb_outbox_add(ngx_eb_outbox_t *ob, u_char *id)
{
    ngx_eb_outbox_entry_t  *e;

    e = ngx_calloc(sizeof(ngx_eb_outbox_entry_t), ob->errlog);
    if (e == NULL) {
        return NULL;
    }

    e->ob = ob;
    e->webhook = &ob->none;
    e->audit = -1;
    e->audited = 1;

    ngx_memcpy(e->id, id, NGX_EB_OUTBOX_ID);

    e->dummy.fd = (ngx_socket_t) -1;
    e->dummy.data = e;

    e->timer.handler = ngx_eb_outbox_timer;
    e->timer.data = &e->dummy;
    e->timer.log = ob->errlog;
    e->timer.cancelable = 1;

    e->sn.str.data = e->id;
    e->sn.str.len = NGX_EB_OUTBOX_ID;
    e->sn.node.key = ngx_crc32_short(id, NGX_EB_OUTBOX_ID);

    ngx_rbtree_insert(&ob->entries, &e->sn.node);
    ngx_queue_insert_tail(&ob->open, &e->queue);

    ob->nopen++;

    return e;
}


/* its first line, or one with another payload, or the same line elsewhere */

static void
ngx_eb_outbox_describe(ngx_eb_outbox_entry_t *e, ngx_eb_outbox_item_t *item)
{
    ngx_eb_outbox_t   *ob;
    ngx_eb_webhook_t **webhooks;

    ob = e->ob;

    e->offset = item->offset;
    e->len = item->len;

    if (e->known) {
        return;
    }

    e->known = 1;
    e->created = item->created;
    e->callback = (item->webhook != -1);

    if (item->webhook >= 0) {
        webhooks = ob->webhooks.elts;
        e->webhook = webhooks[item->webhook];

    } else if (e->callback) {
        ngx_log_error(NGX_LOG_WARN, ob->errlog, 0,
                      "eventbridge: callback %*s of outbox \"%V\" is for a "
                      "webhook that is not configured",
                      (size_t) NGX_EB_OUTBOX_ID, e->id,
                      ngx_eb_log_path(ob->log));
    }

    if (item->audit >= 0) {
        e->audit = item->audit;
        e->audited = 0;

    } else if (item->audit == -2) {
        ngx_log_error(NGX_LOG_WARN, ob->errlog, 0,
                      "eventbridge: the audit log of callback %*s of outbox "
                      "\"%V\" is not configured: its record stays there",
                      (size_t) NGX_EB_OUTBOX_ID, e->id,
                      ngx_eb_log_path(ob->log));
    }
}


void
ngx_eb_outbox_settle(ngx_eb_outbox_entry_t *e)
{
    ngx_eb_outbox_t  *ob;

    if (e->closed || !e->audited || e->intent
        || (e->callback && !(e->sent && e->marked)))
    {
        return;
    }

    ob = e->ob;

    e->closed = 1;

    if (e->timer.timer_set) {
        ngx_del_timer(&e->timer);
    }

    if (e->state == NGX_EB_OUTBOX_READY) {
        e->state = NGX_EB_OUTBOX_WAITING;
        ngx_queue_remove(&e->ready);
    }

    ngx_queue_remove(&e->queue);
    ngx_queue_insert_tail(&ob->closed, &e->queue);

    ob->nopen--;

    if (!e->buried) {
        ob->nclosed++;
        ob->useless += e->lines;
    }
}


static void
ngx_eb_outbox_forget(ngx_eb_outbox_entry_t *e)
{
    ngx_eb_outbox_t  *ob;

    ob = e->ob;

    if (e->timer.timer_set) {
        ngx_del_timer(&e->timer);
    }

    if (e->state == NGX_EB_OUTBOX_READY) {
        ngx_queue_remove(&e->ready);
    }

    if (e->held) {
        ngx_eb_lease_release(ob->lock, &e->sn.str);
    }

    if (e->buried) {
        ob->nburied--;
    }

    if (!e->closed) {
        ob->nopen--;

    } else if (!e->buried) {
        ob->nclosed--;
    }

    ngx_queue_remove(&e->queue);
    ngx_rbtree_delete(&ob->entries, &e->sn.node);

    ngx_free(e);
}


void
ngx_eb_outbox_ready(ngx_eb_outbox_entry_t *e)
{
    e->state = NGX_EB_OUTBOX_READY;
    ngx_queue_insert_tail(&e->webhook->ready, &e->ready);
}


void
ngx_eb_outbox_later(ngx_eb_outbox_entry_t *e, ngx_msec_t wait)
{
    /* its line is gone */

    if (!e->seen && !e->ob->anew) {
        ngx_eb_outbox_forget(e);
        return;
    }

    ngx_add_timer(&e->timer, ngx_max(wait, 1));
}


static void
ngx_eb_outbox_timer(ngx_event_t *ev)
{
    ngx_connection_t *c = ev->data;

    ngx_eb_outbox_entry_t  *e;

    e = c->data;

    if (ngx_exiting || e->state != NGX_EB_OUTBOX_WAITING || e->closed) {
        return;
    }

    ngx_eb_outbox_ready(e);
    ngx_eb_outbox_pump(e->ob);
}


/*
 * Intents of processes that are gone: their leases can be had.  The outcome
 * may have been appended just before the end; so the file is read to its end
 * once more before it is taken for lost.
 */

static void
ngx_eb_outbox_orphans(ngx_eb_outbox_t *ob)
{
    ngx_queue_t            *q;
    ngx_eb_outbox_entry_t  *e;

    if (ob->anew) {
        return;
    }

    for (q = ngx_queue_head(&ob->open);
         q != ngx_queue_sentinel(&ob->open);
         q = ngx_queue_next(q))
    {
        e = ngx_queue_data(q, ngx_eb_outbox_entry_t, queue);

        if (!e->intent || e->resolving || e->resolved) {
            continue;
        }

        if (e->held) {

            if (ob->whole > e->held
                && ngx_eb_outbox_mark(ob, e->id, NGX_EB_OUTBOX_UNKNOWN, 0, 0,
                                      NULL, ngx_eb_outbox_resolved, e)
                   == NGX_AGAIN)
            {
                e->resolving = 1;
            }

            continue;
        }

        /* our own lease we would get, too */

        if (!ngx_eb_outbox_own(ob, e->id)
            && ngx_eb_lease_try(ob->lock, &e->sn.str) == NGX_OK)
        {
            e->held = ob->begun;
        }
    }
}


static void
ngx_eb_outbox_resolved(void *data, ngx_int_t rc)
{
    ngx_eb_outbox_entry_t *e = data;

    e->resolving = 0;

    if (rc != NGX_OK) {
        return;
    }

    e->resolved = 1;

    ngx_log_error(NGX_LOG_WARN, e->ob->errlog, 0,
                  "eventbridge: the outcome of %*s in outbox \"%V\" is not "
                  "known: the process that was to tell it has ended",
                  (size_t) NGX_EB_OUTBOX_ID, e->id,
                  ngx_eb_log_path(e->ob->log));
}


/* when most lines are of no use any more */

static void
ngx_eb_outbox_compact(ngx_eb_outbox_t *ob)
{
    u_char                 *p;
    ngx_queue_t            *q;
    ngx_eb_outbox_entry_t  *e;

    if (ngx_exiting || ob->compacting
        || ob->useless < NGX_EB_OUTBOX_USELESS
        || ob->useless * 2 <= ob->lines
        || (ob->tried
            && (ngx_msec_t) (ngx_current_msec - ob->compacted)
               < NGX_EB_OUTBOX_PAUSE))
    {
        return;
    }

    ob->tried = 1;
    ob->compacted = ngx_current_msec;

    ob->drop = ngx_alloc(ob->nclosed * NGX_EB_OUTBOX_ID + 1, ob->errlog);
    if (ob->drop == NULL) {
        return;
    }

    p = ob->drop;

    for (q = ngx_queue_head(&ob->closed);
         q != ngx_queue_sentinel(&ob->closed);
         q = ngx_queue_next(q))
    {
        e = ngx_queue_data(q, ngx_eb_outbox_entry_t, queue);

        if (!e->buried) {
            p = ngx_cpymem(p, e->id, NGX_EB_OUTBOX_ID);
        }
    }

    ob->ndrop = (p - ob->drop) / NGX_EB_OUTBOX_ID;

    qsort(ob->drop, ob->ndrop, NGX_EB_OUTBOX_ID, ngx_eb_outbox_order);

    if (ngx_eb_log_compact(ob->log, ngx_eb_outbox_keep,
                           ngx_eb_outbox_compacted, ob)
        == NGX_OK)
    {
        ob->compacting = 1;
        return;
    }

    ngx_free(ob->drop);
    ob->drop = NULL;
}


/* in a thread; what was appended meanwhile is in no list */

static ngx_uint_t
ngx_eb_outbox_keep(ngx_eb_log_line_t *line, void *data)
{
    ngx_eb_outbox_t *ob = data;

    ngx_eb_outbox_line_t  parsed;

    return line->state != NGX_EB_LOG_VALID
           || ngx_eb_outbox_parse(line->start, line->payload, &parsed)
              != NGX_OK
           || bsearch(parsed.id.data, ob->drop, ob->ndrop, NGX_EB_OUTBOX_ID,
                      ngx_eb_outbox_order)
              == NULL;
}


static int ngx_libc_cdecl
ngx_eb_outbox_order(const void *one, const void *two)
{
    return ngx_memcmp(one, two, NGX_EB_OUTBOX_ID);
}


static void
ngx_eb_outbox_compacted(void *data, ngx_err_t err,
    ngx_eb_log_compacted_t *result)
{
    ngx_eb_outbox_t *ob = data;

    ob->compacting = 0;

    ngx_free(ob->drop);
    ob->drop = NULL;

    if (err) {
        ngx_log_error(NGX_LOG_WARN, ob->errlog, err,
                      "eventbridge: delivered callbacks were not removed from "
                      "outbox \"%V\"", ngx_eb_log_path(ob->log));
        return;
    }

    ob->tried = 0;

    ngx_eb_outbox_soon(ob);
}


void
ngx_eb_outbox_clear(ngx_eb_outbox_t *ob)
{
    ngx_uint_t              i;
    ngx_queue_t            *q, *next, *queues[2];
    ngx_eb_outbox_entry_t  *e;

    queues[0] = &ob->open;
    queues[1] = &ob->closed;

    for (i = 0; i < 2; i++) {
        for (q = ngx_queue_head(queues[i]);
             q != ngx_queue_sentinel(queues[i]);
             q = next)
        {
            next = ngx_queue_next(q);
            e = ngx_queue_data(q, ngx_eb_outbox_entry_t, queue);

            if (e->transfer) {
                ngx_eb_client_cancel(e->transfer);
            }

            if (e->timer.timer_set) {
                ngx_del_timer(&e->timer);
            }

            ngx_free(e);
        }

        ngx_queue_init(queues[i]);
    }

    /* nobody looks for them any more; leases end with the process */

    ngx_rbtree_init(&ob->entries, &ob->sentinel, ngx_str_rbtree_insert_value);

    /* a thread may use these */

    if (!ob->reading && ob->read) {
        ngx_free(ob->read);
        ob->read = NULL;
    }

    if (!ob->compacting && ob->drop) {
        ngx_free(ob->drop);
        ob->drop = NULL;
    }
}
