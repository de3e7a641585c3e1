
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The outbox: what a worker appends to its file.
 */


#include "ngx_eb_outbox.h"
#include "ngx_eb_lease.h"
#include <openssl/rand.h>


/* an outcome that the disk does not take, ms, and how often */
#define NGX_EB_OUTBOX_PATIENCE  1000
#define NGX_EB_OUTBOX_TRIES     10


/* one line on its way to the disk, with its text behind it */

typedef struct {
    ngx_eb_log_record_t       record;
    ngx_eb_outbox_t          *ob;
    ngx_eb_outbox_handler_pt  handler;
    void                     *data;
    u_char                    text[1];
} ngx_eb_outbox_record_t;


struct ngx_eb_outbox_intent_s {
    ngx_queue_t               queue;
    ngx_eb_outbox_t          *ob;
    ngx_str_t                 lease;        /* is its id */
    ngx_str_t                 webhook;
    ngx_str_t                 audit;
    ngx_str_t                 payload;      /* of the outcome */
    ngx_eb_outbox_handler_pt  handler;
    void                     *data;
    ngx_event_t               timer;
    ngx_connection_t          dummy;
    ngx_uint_t                tries;
    u_char                    id[NGX_EB_OUTBOX_ID];
};


static ngx_int_t ngx_eb_outbox_put(ngx_eb_outbox_t *ob,
    ngx_eb_outbox_line_t *line, ngx_eb_outbox_handler_pt handler, void *data);
static void ngx_eb_outbox_on_disk(ngx_eb_log_record_t *record);
static ngx_int_t ngx_eb_outbox_make_id(ngx_eb_outbox_t *ob, u_char *id);
static void ngx_eb_outbox_intended(void *data, ngx_int_t rc);
static void ngx_eb_outbox_put_outcome(ngx_eb_outbox_intent_t *intent);
static void ngx_eb_outbox_outcome_put(void *data, ngx_int_t rc);
static void ngx_eb_outbox_outcome_timer(ngx_event_t *ev);
static void ngx_eb_outbox_intent_free(ngx_eb_outbox_intent_t *intent);


void
ngx_eb_outbox_init(ngx_eb_outbox_t *ob)
{
    ob->lock = NGX_INVALID_FILE;

    ngx_queue_init(&ob->intents);
    ngx_queue_init(&ob->open);
    ngx_queue_init(&ob->closed);
    ngx_queue_init(&ob->none.ready);

    ngx_rbtree_init(&ob->entries, &ob->sentinel, ngx_str_rbtree_insert_value);

    /* of what has no webhook, or one that is configured no more */

    ngx_str_set(&ob->none.name, "(none)");
    ob->none.parallel = NGX_EB_OUTBOX_EACH;
    ob->none.max_age = 24 * 3600;
}


ngx_int_t
ngx_eb_outbox_start(ngx_eb_outbox_t *ob, ngx_cycle_t *cycle)
{
    ngx_str_t         *path;
    ngx_uint_t         i;
    ngx_eb_webhook_t **webhooks;

    ob->errlog = cycle->log;

    path = ngx_eb_log_path(ob->log);

    ob->lease.len = sizeof("outbox ") - 1 + path->len;
    ob->lease.data = ngx_pnalloc(cycle->pool, ob->lease.len);
    if (ob->lease.data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(ob->lease.data, "outbox %V", path);

    webhooks = ob->webhooks.elts;

    for (i = 0; i < ob->webhooks.nelts; i++) {
        ngx_queue_init(&webhooks[i]->ready);
    }

    ob->dummy.fd = (ngx_socket_t) -1;
    ob->dummy.data = ob;

    ob->tick.handler = ngx_eb_outbox_tick;
    ob->tick.data = &ob->dummy;
    ob->tick.log = cycle->log;
    ob->tick.cancelable = 1;

    ngx_add_timer(&ob->tick, 1);

    return NGX_OK;
}


/* no handler runs any more; threads may, which the log waits for */

void
ngx_eb_outbox_stop(ngx_eb_outbox_t *ob)
{
    ngx_queue_t             *q, *next;
    ngx_eb_outbox_intent_t  *intent;

    for (q = ngx_queue_head(&ob->intents);
         q != ngx_queue_sentinel(&ob->intents);
         q = next)
    {
        next = ngx_queue_next(q);
        intent = ngx_queue_data(q, ngx_eb_outbox_intent_t, queue);

        if (intent->timer.timer_set) {
            ngx_del_timer(&intent->timer);
        }

        ngx_eb_outbox_intent_free(intent);
    }

    ngx_eb_outbox_clear(ob);

    if (ob->tick.timer_set) {
        ngx_del_timer(&ob->tick);
    }
}


ngx_eb_webhook_t *
ngx_eb_outbox_webhook(ngx_eb_outbox_t *ob, ngx_str_t *name)
{
    ngx_uint_t         i;
    ngx_eb_webhook_t **webhooks;

    webhooks = ob->webhooks.elts;

    for (i = 0; i < ob->webhooks.nelts; i++) {
        if (webhooks[i]->name.len == name->len
            && ngx_memcmp(webhooks[i]->name.data, name->data, name->len) == 0)
        {
            return webhooks[i];
        }
    }

    return NULL;
}


int64_t
ngx_eb_outbox_now(void)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (int64_t) tp->sec * 1000 + tp->msec;
}


static ngx_int_t
ngx_eb_outbox_put(ngx_eb_outbox_t *ob, ngx_eb_outbox_line_t *line,
    ngx_eb_outbox_handler_pt handler, void *data)
{
    ngx_int_t                rc;
    ngx_eb_outbox_record_t  *r;

    r = ngx_alloc(sizeof(ngx_eb_outbox_record_t) + ngx_eb_outbox_size(line),
                  ob->errlog);
    if (r == NULL) {
        return NGX_ERROR;
    }

    r->ob = ob;
    r->handler = handler;
    r->data = data;

    r->record.payload.data = r->text;
    r->record.payload.len = ngx_eb_outbox_format(r->text, line) - r->text;
    r->record.handler = ngx_eb_outbox_on_disk;
    r->record.data = r;

    rc = ngx_eb_log_append(ob->log, &r->record);

    if (rc == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    ngx_log_error(NGX_LOG_ERR, ob->errlog, r->record.err,
                  "eventbridge: a line could not be appended to outbox \"%V\"",
                  ngx_eb_log_path(ob->log));

    ngx_free(r);

    return NGX_ERROR;
}


static void
ngx_eb_outbox_on_disk(ngx_eb_log_record_t *record)
{
    ngx_eb_outbox_record_t *r = record->data;

    ngx_int_t         rc;
    ngx_eb_outbox_t  *ob;

    ob = r->ob;
    rc = record->err ? NGX_ERROR : NGX_OK;

    /* what this worker has written it need not wait for */

    if (rc == NGX_OK && ob->holder) {
        ngx_eb_outbox_soon(ob);
    }

    if (r->handler) {
        r->handler(r->data, rc);
    }

    ngx_free(r);
}


ngx_int_t
ngx_eb_outbox_mark(ngx_eb_outbox_t *ob, u_char *id, ngx_eb_outbox_kind_e kind,
    ngx_uint_t status, ngx_uint_t tries, const char *reason,
    ngx_eb_outbox_handler_pt handler, void *data)
{
    ngx_eb_outbox_line_t  line;

    ngx_memzero(&line, sizeof(ngx_eb_outbox_line_t));

    line.kind = kind;
    line.id.data = id;
    line.id.len = NGX_EB_OUTBOX_ID;
    line.created = ngx_eb_outbox_now();
    line.status = status;
    line.tries = tries;
    line.reason = reason;

    return ngx_eb_outbox_put(ob, &line, handler, data);
}


static ngx_int_t
ngx_eb_outbox_make_id(ngx_eb_outbox_t *ob, u_char *id)
{
    u_char  random[16];

    if (RAND_bytes(random, sizeof(random)) != 1) {
        ngx_log_error(NGX_LOG_ERR, ob->errlog, 0,
                      "eventbridge: RAND_bytes() failed");
        return NGX_ERROR;
    }

    ngx_eb_outbox_id(id, random);

    return NGX_OK;
}


ngx_int_t
ngx_eb_outbox_append(ngx_eb_outbox_t *ob, ngx_str_t *webhook,
    ngx_str_t *payload, ngx_eb_outbox_handler_pt handler, void *data)
{
    u_char                id[NGX_EB_OUTBOX_ID];
    ngx_eb_outbox_line_t  line;

    if (payload->len > NGX_EB_OUTBOX_MAX
        || ngx_eb_outbox_make_id(ob, id) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_memzero(&line, sizeof(ngx_eb_outbox_line_t));

    line.kind = NGX_EB_OUTBOX_CALLBACK;
    line.id.data = id;
    line.id.len = NGX_EB_OUTBOX_ID;
    line.created = ngx_eb_outbox_now();
    line.webhook = *webhook;
    line.payload = *payload;

    return ngx_eb_outbox_put(ob, &line, handler, data);
}


ngx_eb_outbox_intent_t *
ngx_eb_outbox_intend(ngx_eb_outbox_t *ob, ngx_str_t *webhook,
    ngx_str_t *audit, ngx_str_t *payload, ngx_eb_outbox_handler_pt handler,
    void *data)
{
    ngx_eb_outbox_line_t     line;
    ngx_eb_outbox_intent_t  *intent;

    intent = ngx_calloc(sizeof(ngx_eb_outbox_intent_t), ob->errlog);
    if (intent == NULL) {
        return NULL;
    }

    intent->ob = ob;
    intent->webhook = *webhook;
    intent->audit = *audit;
    intent->handler = handler;
    intent->data = data;

    if (payload->len > NGX_EB_OUTBOX_MAX
        || ngx_eb_outbox_make_id(ob, intent->id) != NGX_OK)
    {
        ngx_free(intent);
        return NULL;
    }

    intent->lease.data = intent->id;
    intent->lease.len = NGX_EB_OUTBOX_ID;

    ngx_queue_insert_tail(&ob->intents, &intent->queue);

    ngx_memzero(&line, sizeof(ngx_eb_outbox_line_t));

    line.kind = NGX_EB_OUTBOX_INTENT;
    line.id = intent->lease;
    line.created = ngx_eb_outbox_now();
    line.webhook = *webhook;
    line.audit = *audit;
    line.payload = *payload;

    /*
     * The lease comes before the line: whoever reads that, and gets the lease,
     * knows that we are no more.
     */

    if (ngx_eb_lease_try(ob->lock, &intent->lease) != NGX_OK
        || ngx_eb_outbox_put(ob, &line, ngx_eb_outbox_intended, intent)
           != NGX_AGAIN)
    {
        ngx_eb_outbox_intent_free(intent);
        return NULL;
    }

    return intent;
}


static void
ngx_eb_outbox_intended(void *data, ngx_int_t rc)
{
    ngx_eb_outbox_intent_t *intent = data;

    void                      *who;
    ngx_eb_outbox_handler_pt   handler;

    who = intent->data;
    handler = intent->handler;

    if (rc != NGX_OK) {
        ngx_eb_outbox_intent_free(intent);
    }

    handler(who, rc);
}


void
ngx_eb_outbox_outcome(ngx_eb_outbox_intent_t *intent, ngx_str_t *payload)
{
    u_char  *p;

    p = NULL;

    if (payload && payload->len <= NGX_EB_OUTBOX_MAX) {
        p = ngx_alloc(payload->len, intent->ob->errlog);
    }

    if (p == NULL) {

        /* without us it is as if we had died: the outcome is unknown */

        ngx_eb_outbox_intent_free(intent);
        return;
    }

    ngx_memcpy(p, payload->data, payload->len);

    intent->payload.data = p;
    intent->payload.len = payload->len;

    intent->dummy.fd = (ngx_socket_t) -1;
    intent->dummy.data = intent;

    intent->timer.handler = ngx_eb_outbox_outcome_timer;
    intent->timer.data = &intent->dummy;
    intent->timer.log = intent->ob->errlog;

    ngx_eb_outbox_put_outcome(intent);
}


static void
ngx_eb_outbox_put_outcome(ngx_eb_outbox_intent_t *intent)
{
    ngx_eb_outbox_line_t  line;

    ngx_memzero(&line, sizeof(ngx_eb_outbox_line_t));

    line.kind = NGX_EB_OUTBOX_CALLBACK;
    line.id = intent->lease;
    line.created = ngx_eb_outbox_now();
    line.webhook = intent->webhook;
    line.audit = intent->audit;
    line.payload = intent->payload;

    if (ngx_eb_outbox_put(intent->ob, &line, ngx_eb_outbox_outcome_put, intent)
        != NGX_AGAIN)
    {
        ngx_eb_outbox_outcome_put(intent, NGX_ERROR);
    }
}


static void
ngx_eb_outbox_outcome_put(void *data, ngx_int_t rc)
{
    ngx_eb_outbox_intent_t *intent = data;

    if (rc == NGX_OK || ++intent->tries == NGX_EB_OUTBOX_TRIES) {
        ngx_eb_outbox_intent_free(intent);
        return;
    }

    ngx_add_timer(&intent->timer, NGX_EB_OUTBOX_PATIENCE);
}


static void
ngx_eb_outbox_outcome_timer(ngx_event_t *ev)
{
    ngx_connection_t *c = ev->data;

    ngx_eb_outbox_put_outcome(c->data);
}


static void
ngx_eb_outbox_intent_free(ngx_eb_outbox_intent_t *intent)
{
    ngx_eb_lease_release(intent->ob->lock, &intent->lease);

    ngx_queue_remove(&intent->queue);

    ngx_free(intent->payload.data);
    ngx_free(intent);
}


ngx_uint_t
ngx_eb_outbox_own(ngx_eb_outbox_t *ob, u_char *id)
{
    ngx_queue_t             *q;
    ngx_eb_outbox_intent_t  *intent;

    for (q = ngx_queue_head(&ob->intents);
         q != ngx_queue_sentinel(&ob->intents);
         q = ngx_queue_next(q))
    {
        intent = ngx_queue_data(q, ngx_eb_outbox_intent_t, queue);

        if (ngx_memcmp(intent->id, id, NGX_EB_OUTBOX_ID) == 0) {
            return 1;
        }
    }

    return 0;
}
