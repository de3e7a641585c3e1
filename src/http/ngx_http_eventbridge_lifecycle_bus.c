
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Transitions go to the event bus: those of one interaction one after the
 * other, different ones in parallel.
 */


#include "ngx_http_eventbridge_lifecycle.h"
#include "ngx_http_eventbridge_outbox.h"
#include "ngx_eb_sigv4.h"


/* calls of the bus at a time */
#define NGX_HTTP_EVENTBRIDGE_BUS_CALLS   8

/* bounds of the wait after a failure, ms */
#define NGX_HTTP_EVENTBRIDGE_BUS_BASE    200
#define NGX_HTTP_EVENTBRIDGE_BUS_CAP     30000

/* of an answer that is read */
#define NGX_HTTP_EVENTBRIDGE_BUS_ANSWER  (256 * 1024)


typedef struct {
    ngx_queue_t               queue;
    ngx_http_eventbridge_keeper_t  *keeper;
    ngx_pool_t               *pool;
    ngx_eb_client_transfer_t *transfer;
    ngx_uint_t                n;
    ngx_http_eventbridge_lifecycle_item_t
                             *items[NGX_EB_BUS_GENERIC_ENTRIES];
} ngx_http_eventbridge_bus_call_t;


/* an item on its way to the dead letter, or its callbacks to the outbox */

typedef struct {
    ngx_eb_log_record_t       record;
    ngx_http_eventbridge_lifecycle_item_t  *item;
    ngx_uint_t                pending;
    ngx_uint_t                failed;
} ngx_http_eventbridge_bus_end_t;


static void ngx_http_eventbridge_bus_pump(ngx_http_eventbridge_keeper_t *k);
static void ngx_http_eventbridge_bus_resume(ngx_event_t *ev);
static ngx_uint_t ngx_http_eventbridge_bus_entries(
    ngx_http_eventbridge_keeper_t *k);
static ngx_int_t ngx_http_eventbridge_bus_call(
    ngx_http_eventbridge_keeper_t *k);
static ngx_int_t ngx_http_eventbridge_bus_send(
    ngx_http_eventbridge_bus_call_t *call);
static ngx_int_t ngx_http_eventbridge_bus_sign(
    ngx_http_eventbridge_bus_call_t *call, ngx_str_t *body,
    ngx_keyval_t *headers, ngx_uint_t n, ngx_array_t *more);
static void ngx_http_eventbridge_bus_reply(void *data,
    ngx_eb_client_reply_t *reply);
static ngx_msec_t ngx_http_eventbridge_bus_backoff(ngx_uint_t failures);
static void ngx_http_eventbridge_bus_again(
    ngx_http_eventbridge_lifecycle_item_t *item, ngx_msec_t wait);
static void ngx_http_eventbridge_bus_taken(
    ngx_http_eventbridge_lifecycle_item_t *item);
static void ngx_http_eventbridge_bus_refused(
    ngx_http_eventbridge_lifecycle_item_t *item, ngx_str_t *why);
static void ngx_http_eventbridge_bus_called(void *data, ngx_int_t rc);
static void ngx_http_eventbridge_bus_buried(ngx_eb_log_record_t *record);
static void ngx_http_eventbridge_bus_settled(
    ngx_http_eventbridge_lifecycle_item_t *item);
static void ngx_http_eventbridge_bus_busy(ngx_http_eventbridge_keeper_t *k);
static void ngx_http_eventbridge_bus_done(
    ngx_http_eventbridge_lifecycle_item_t *item, ngx_uint_t published);
static void ngx_http_eventbridge_bus_timer(ngx_http_eventbridge_keeper_t *k,
    ngx_msec_t msec);


void
ngx_http_eventbridge_lifecycle_bus_start(ngx_http_eventbridge_keeper_t *k)
{
    ngx_rbtree_init(&k->lanes, &k->sentinel, ngx_rbtree_insert_value);

    ngx_queue_init(&k->ready);
    ngx_queue_init(&k->waiting);
    ngx_queue_init(&k->calls);

    k->ncalls = 0;
    k->nentries = 0;
    k->unsettled = 0;
    k->failures = 0;
    k->pause = ngx_current_msec;

    k->resume_dummy.fd = (ngx_socket_t) -1;
    k->resume_dummy.data = k;

    k->resume.handler = ngx_http_eventbridge_bus_resume;
    k->resume.data = &k->resume_dummy;
    k->resume.log = k->log;
    k->resume.cancelable = 1;
}


void
ngx_http_eventbridge_lifecycle_bus_stop(ngx_http_eventbridge_keeper_t *k)
{
    ngx_queue_t                            *q, *next;
    ngx_rbtree_node_t                      *node;
    ngx_http_eventbridge_bus_end_t         *end;
    ngx_http_eventbridge_bus_call_t        *call;
    ngx_http_eventbridge_lifecycle_item_t  *item;
    ngx_http_eventbridge_lifecycle_lane_t  *lane;

    for (q = ngx_queue_head(&k->calls);
         q != ngx_queue_sentinel(&k->calls);
         q = next)
    {
        next = ngx_queue_next(q);
        call = ngx_queue_data(q, ngx_http_eventbridge_bus_call_t, queue);

        if (call->transfer) {
            ngx_eb_client_cancel(call->transfer);
        }

        ngx_destroy_pool(call->pool);
    }

    while (k->lanes.root != &k->sentinel) {
        node = ngx_rbtree_min(k->lanes.root, &k->sentinel);
        lane = (ngx_http_eventbridge_lifecycle_lane_t *) node;

        for (q = ngx_queue_head(&lane->items);
             q != ngx_queue_sentinel(&lane->items);
             q = next)
        {
            next = ngx_queue_next(q);
            item = ngx_queue_data(q, ngx_http_eventbridge_lifecycle_item_t,
                                  queue);

            /* the log holds on to it, and says when it has ended */

            if (item->end) {
                end = item->end;
                end->item = NULL;
            }

            ngx_free(item);
        }

        ngx_rbtree_delete(&k->lanes, node);
        ngx_free(lane);
    }

    ngx_queue_init(&k->calls);
    ngx_queue_init(&k->ready);
    ngx_queue_init(&k->waiting);

    if (k->resume.timer_set) {
        ngx_del_timer(&k->resume);
    }

    if (k->resume.posted) {
        ngx_delete_posted_event(&k->resume);
    }

    k->ncalls = 0;
    k->nentries = 0;
    k->unsettled = 0;
    ngx_http_eventbridge_bus_busy(k);
}


void
ngx_http_eventbridge_lifecycle_publish(ngx_http_eventbridge_keeper_t *k,
    ngx_eb_lifecycle_pending_t *pending)
{
    ngx_rbtree_key_t                        key;
    ngx_rbtree_node_t                      *node;
    ngx_http_eventbridge_lifecycle_item_t  *item;
    ngx_http_eventbridge_lifecycle_lane_t  *lane;

    item = ngx_calloc(sizeof(ngx_http_eventbridge_lifecycle_item_t), k->log);

    if (item == NULL) {
        goto nomem;
    }

    item->pending = pending;
    item->keeper = k;
    pending->data = item;

    key = pending->decision.entry;

    for (node = k->lanes.root; node != &k->sentinel; /* void */) {
        if (key == node->key) {
            break;
        }

        node = (key < node->key) ? node->left : node->right;
    }

    lane = (ngx_http_eventbridge_lifecycle_lane_t *) node;

    if (node == &k->sentinel) {

        lane = ngx_calloc(sizeof(ngx_http_eventbridge_lifecycle_lane_t),
                          k->log);
        if (lane == NULL) {
            ngx_free(item);
            goto nomem;
        }

        ngx_queue_init(&lane->items);

        lane->node.key = key;
        ngx_rbtree_insert(&k->lanes, &lane->node);

        ngx_queue_insert_tail(&k->ready, &lane->queue);
    }

    ngx_queue_insert_tail(&lane->items, &item->queue);

    ngx_post_event(&k->resume, &ngx_posted_events);

    return;

nomem:

    /* it stays where it is; who has the file next finds it there */

    ngx_log_error(NGX_LOG_CRIT, k->log, 0,
                  "eventbridge: lifecycle \"%V\" has no memory for a "
                  "transition, it goes out after a restart",
                  &k->lifecycle->name);
}


void
ngx_http_eventbridge_lifecycle_bus_wake(ngx_http_eventbridge_keeper_t *k)
{
    if (!ngx_queue_empty(&k->ready)) {
        ngx_post_event(&k->resume, &ngx_posted_events);
    }
}


static void
ngx_http_eventbridge_bus_resume(ngx_event_t *ev)
{
    ngx_connection_t *c = ev->data;

    ngx_http_eventbridge_bus_pump(c->data);
}


static void
ngx_http_eventbridge_bus_pump(ngx_http_eventbridge_keeper_t *k)
{
    ngx_uint_t                              max;
    ngx_msec_t                              next;
    ngx_msec_int_t                          left;
    ngx_queue_t                            *q, *prev;
    ngx_http_eventbridge_lifecycle_lane_t  *lane;

    if (ngx_exiting) {
        return;
    }

    next = NGX_HTTP_EVENTBRIDGE_BUS_CAP;

    for (q = ngx_queue_head(&k->waiting);
         q != ngx_queue_sentinel(&k->waiting);
         q = ngx_queue_next(q))
    {
        lane = ngx_queue_data(q, ngx_http_eventbridge_lifecycle_lane_t, queue);
        left = (ngx_msec_int_t) (lane->next - ngx_current_msec);

        if (left > 0) {
            next = ngx_min(next, (ngx_msec_t) left);
            continue;
        }

        prev = ngx_queue_prev(q);
        ngx_queue_remove(q);
        ngx_queue_insert_tail(&k->ready, q);
        q = prev;
    }

    left = (ngx_msec_int_t) (k->pause - ngx_current_msec);

    if (left > 0) {
        next = ngx_min(next, (ngx_msec_t) left);

    } else {
        max = ngx_http_eventbridge_bus_entries(k);

        /* a kill makes no more come twice than all calls have */

        while (!ngx_queue_empty(&k->ready)
               && k->ncalls < (k->failures ? 1
                                           : NGX_HTTP_EVENTBRIDGE_BUS_CALLS)
               && k->nentries + k->unsettled + k->state.nending + max
                  <= NGX_HTTP_EVENTBRIDGE_BUS_CALLS * max)
        {
            if (ngx_http_eventbridge_bus_call(k) != NGX_OK) {
                k->pause = ngx_current_msec + NGX_HTTP_EVENTBRIDGE_BUS_BASE;
                next = NGX_HTTP_EVENTBRIDGE_BUS_BASE;
                break;
            }
        }
    }

    if (!ngx_queue_empty(&k->ready) || !ngx_queue_empty(&k->waiting)) {
        ngx_http_eventbridge_bus_timer(k, next);
    }
}


static void
ngx_http_eventbridge_bus_timer(ngx_http_eventbridge_keeper_t *k,
    ngx_msec_t msec)
{
    if (k->resume.timer_set) {
        ngx_del_timer(&k->resume);
    }

    ngx_add_timer(&k->resume, ngx_max(msec, 1));
}


/* of a call */

static ngx_uint_t
ngx_http_eventbridge_bus_entries(ngx_http_eventbridge_keeper_t *k)
{
    return k->lifecycle->bus_conf.aws ? NGX_EB_BUS_AWS_ENTRIES
                                      : NGX_EB_BUS_GENERIC_ENTRIES;
}


/* the first of each of so many interactions */

static ngx_int_t
ngx_http_eventbridge_bus_call(ngx_http_eventbridge_keeper_t *k)
{
    ngx_uint_t                              i, max;
    ngx_pool_t                             *pool;
    ngx_queue_t                            *q, *next;
    ngx_http_eventbridge_bus_call_t        *call;
    ngx_http_eventbridge_lifecycle_t       *lifecycle;
    ngx_http_eventbridge_lifecycle_item_t  *item;
    ngx_http_eventbridge_lifecycle_lane_t  *lane;

    lifecycle = k->lifecycle;

    pool = ngx_create_pool(4096, k->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    call = ngx_pcalloc(pool, sizeof(ngx_http_eventbridge_bus_call_t));
    if (call == NULL) {
        ngx_destroy_pool(pool);
        return NGX_ERROR;
    }

    call->pool = pool;
    call->keeper = k;

    max = ngx_http_eventbridge_bus_entries(k);

    for (q = ngx_queue_head(&k->ready);
         q != ngx_queue_sentinel(&k->ready) && call->n < max;
         q = next)
    {
        next = ngx_queue_next(q);
        lane = ngx_queue_data(q, ngx_http_eventbridge_lifecycle_lane_t, queue);
        item = ngx_queue_data(ngx_queue_head(&lane->items),
                              ngx_http_eventbridge_lifecycle_item_t, queue);

        if (item->alone && call->n) {
            break;
        }

        ngx_queue_remove(q);

        call->items[call->n++] = item;

        if (item->alone) {
            break;
        }
    }

    k->ncalls++;
    k->nentries += call->n;
    ngx_queue_insert_tail(&k->calls, &call->queue);

    /* nobody hears of it but those who ask, and webhooks */

    if (lifecycle->bus.len == 0) {

        ngx_queue_remove(&call->queue);
        k->ncalls--;
        k->nentries -= call->n;

        for (i = 0; i < call->n; i++) {
            ngx_http_eventbridge_bus_taken(call->items[i]);
        }

        ngx_destroy_pool(pool);
        return NGX_OK;
    }

    if (ngx_http_eventbridge_bus_send(call) == NGX_OK) {
        ngx_http_eventbridge_bus_busy(k);
        return NGX_OK;
    }

    ngx_queue_remove(&call->queue);
    k->ncalls--;
    k->nentries -= call->n;

    for (i = call->n; i-- > 0; /* void */) {
        ngx_http_eventbridge_bus_again(call->items[i],
                                       NGX_HTTP_EVENTBRIDGE_BUS_BASE);
    }

    ngx_destroy_pool(pool);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_eventbridge_bus_send(ngx_http_eventbridge_bus_call_t *call)
{
    ngx_str_t                          body, *lines;
    ngx_uint_t                         i, n;
    ngx_array_t                        more;
    ngx_keyval_t                       headers[2], *kv;
    ngx_eb_client_request_t            request;
    ngx_eb_lifecycle_decision_t       *decisions[NGX_EB_BUS_GENERIC_ENTRIES];
    ngx_http_eventbridge_lifecycle_t  *lifecycle;

    lifecycle = call->keeper->lifecycle;

    for (i = 0; i < call->n; i++) {
        decisions[i] = &call->items[i]->pending->decision;
    }

    if (ngx_eb_bus_body(call->pool, &lifecycle->bus_conf, decisions, call->n,
                        &body)
        != NGX_OK
        || ngx_array_init(&more, call->pool, 4, sizeof(ngx_keyval_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_str_set(&headers[0].key, "Content-Type");
    n = 1;

    if (lifecycle->bus_conf.aws) {
        ngx_str_set(&headers[0].value, "application/x-amz-json-1.1");
        ngx_str_set(&headers[1].key, "X-Amz-Target");
        ngx_str_set(&headers[1].value, "AWSEvents.PutEvents");
        n = 2;

        if (ngx_http_eventbridge_bus_sign(call, &body, headers, n, &more)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

    } else {
        ngx_str_set(&headers[0].value, "application/json");
    }

    lines = ngx_palloc(call->pool, (n + more.nelts) * sizeof(ngx_str_t));
    if (lines == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n + more.nelts; i++) {
        kv = (i < n) ? &headers[i] : (ngx_keyval_t *) more.elts + (i - n);

        lines[i].len = kv->key.len + 2 + kv->value.len;
        lines[i].data = ngx_pnalloc(call->pool, lines[i].len);
        if (lines[i].data == NULL) {
            return NGX_ERROR;
        }

        (void) ngx_sprintf(lines[i].data, "%V: %V", &kv->key, &kv->value);
    }

    ngx_memzero(&request, sizeof(ngx_eb_client_request_t));

    ngx_str_set(&request.method, "POST");
    request.url = lifecycle->bus;
    request.headers = lines;
    request.nheaders = n + more.nelts;
    request.body = body;
    request.trusted_certificate = lifecycle->trusted_certificate;
    request.connect_timeout = ngx_min(lifecycle->bus_timeout, 5000);
    request.timeout = lifecycle->bus_timeout;
    request.max_body = NGX_HTTP_EVENTBRIDGE_BUS_ANSWER;
    request.repeatable = 1;
    request.resolver = lifecycle->resolver;
    request.resolver_timeout = lifecycle->resolver_timeout;
    request.handler = ngx_http_eventbridge_bus_reply;
    request.data = call;

    call->transfer = ngx_eb_client_send(&request);

    return call->transfer ? NGX_OK : NGX_ERROR;
}


/* ID:SECRET[:TOKEN] */

static ngx_int_t
ngx_http_eventbridge_bus_sign(ngx_http_eventbridge_bus_call_t *call,
    ngx_str_t *body, ngx_keyval_t *headers, ngx_uint_t n, ngx_array_t *more)
{
    u_char                            *p, *last;
    ngx_str_t                         *value;
    ngx_eb_sigv4_keys_t                keys;
    ngx_eb_sigv4_request_t             request;
    ngx_http_eventbridge_lifecycle_t  *lifecycle;

    lifecycle = call->keeper->lifecycle;
    value = &lifecycle->environment;

    if (lifecycle->credentials) {
        ngx_eb_secrets_refresh(lifecycle->credentials, call->keeper->log);
        value = ngx_eb_secrets_value(lifecycle->credentials);
    }

    ngx_memzero(&keys, sizeof(ngx_eb_sigv4_keys_t));

    last = value->data + value->len;
    p = ngx_strlchr(value->data, last, ':');

    if (p == NULL) {
        ngx_log_error(NGX_LOG_ERR, call->keeper->log, 0,
                      "eventbridge: \"aws_credentials_file\" of lifecycle "
                      "\"%V\" has no ID:SECRET", &lifecycle->name);
        return NGX_ERROR;
    }

    keys.key_id.data = value->data;
    keys.key_id.len = p - value->data;
    keys.secret.data = ++p;

    p = ngx_strlchr(p, last, ':');

    keys.secret.len = (p ? p : last) - keys.secret.data;

    if (p) {
        keys.token.data = p + 1;
        keys.token.len = last - p - 1;
    }

    keys.region = lifecycle->bus_region;
    ngx_str_set(&keys.service, "events");

    ngx_memzero(&request, sizeof(ngx_eb_sigv4_request_t));

    ngx_str_set(&request.method, "POST");
    request.path = lifecycle->bus_path;
    request.headers = headers;
    request.nheaders = n;
    request.body = *body;

    return ngx_eb_sigv4_sign(call->pool, &request, &lifecycle->bus_host, &keys,
                             ngx_time(), more);
}


static void
ngx_http_eventbridge_bus_reply(void *data, ngx_eb_client_reply_t *reply)
{
    ngx_http_eventbridge_bus_call_t *call = data;

    time_t                                  after;
    ngx_str_t                               why;
    ngx_uint_t                              i, again, level;
    ngx_msec_t                              wait;
    ngx_eb_bus_verdict_e                    verdicts[
                                                   NGX_EB_BUS_GENERIC_ENTRIES];
    ngx_http_eventbridge_keeper_t          *k;
    ngx_http_eventbridge_lifecycle_item_t  *item;

    k = call->keeper;
    call->transfer = NULL;

    ngx_queue_remove(&call->queue);
    k->ncalls--;
    k->nentries -= call->n;
    ngx_http_eventbridge_bus_busy(k);

    ngx_eb_bus_answer(k->lifecycle->parser, reply->status, &reply->body,
                      call->n, verdicts, &why);

    if (reply->status == 0) {
        why = reply->error;
    }

    again = 0;

    for (i = 0; i < call->n; i++) {
        again += (verdicts[i] == NGX_EB_BUS_AGAIN);
    }

    /* the bus as a whole is not well */

    if (again == call->n) {

        level = k->failures ? NGX_LOG_INFO : NGX_LOG_ERR;

        ngx_log_error(level, k->log, 0,
                      "eventbridge: the bus of lifecycle \"%V\" took none of "
                      "%ui entries, they are sent again: status %ui %V",
                      &k->lifecycle->name, call->n, reply->status, &why);

        wait = ngx_http_eventbridge_bus_backoff(k->failures++);
        after = ngx_eb_time_retry_after(&reply->retry_after, ngx_time());

        if (after > 0) {
            after = ngx_min(after, 180) * 1000;
            wait = ngx_max(wait, (ngx_msec_t) after);
        }

        k->pause = ngx_current_msec + wait;

    } else {

        if (k->failures) {
            ngx_log_error(NGX_LOG_NOTICE, k->log, 0,
                          "eventbridge: the bus of lifecycle \"%V\" takes "
                          "entries again", &k->lifecycle->name);
        }

        k->failures = 0;
    }

    /* backwards: what goes back to the front keeps its order */

    for (i = call->n; i-- > 0; /* void */) {
        item = call->items[i];

        switch (verdicts[i]) {

        case NGX_EB_BUS_TAKEN:
            ngx_http_eventbridge_bus_taken(item);
            break;

        case NGX_EB_BUS_REFUSED:
            ngx_http_eventbridge_bus_refused(item, &why);
            break;

        case NGX_EB_BUS_ALONE:
            item->alone = 1;
            ngx_http_eventbridge_bus_again(item, 0);
            break;

        case NGX_EB_BUS_AGAIN:
        default:

            if (ngx_http_eventbridge_lifecycle_now()
                - item->pending->decision.at
                > (int64_t) k->lifecycle->bus_max_age)
            {
                ngx_http_eventbridge_bus_refused(item, &why);
                break;
            }

            wait = (again == call->n) ? 0
                   : ngx_http_eventbridge_bus_backoff(item->tries++);

            ngx_http_eventbridge_bus_again(item, wait);
        }
    }

    ngx_destroy_pool(call->pool);

    ngx_post_event(&k->resume, &ngx_posted_events);
}


/* half of it at random */

static ngx_msec_t
ngx_http_eventbridge_bus_backoff(ngx_uint_t failures)
{
    ngx_msec_t  wait;

    wait = (ngx_msec_t) NGX_HTTP_EVENTBRIDGE_BUS_BASE << ngx_min(failures, 10);
    wait = ngx_min(wait, NGX_HTTP_EVENTBRIDGE_BUS_CAP);

    return wait / 2 + (ngx_msec_t) ngx_random() % (wait / 2 + 1);
}


static ngx_http_eventbridge_lifecycle_lane_t *
ngx_http_eventbridge_bus_lane(ngx_http_eventbridge_lifecycle_item_t *item)
{
    ngx_rbtree_key_t                key;
    ngx_rbtree_node_t              *node;
    ngx_http_eventbridge_keeper_t  *k;

    k = item->keeper;
    key = item->pending->decision.entry;

    for (node = k->lanes.root; key != node->key; /* void */) {
        node = (key < node->key) ? node->left : node->right;
    }

    return (ngx_http_eventbridge_lifecycle_lane_t *) node;
}


static void
ngx_http_eventbridge_bus_again(ngx_http_eventbridge_lifecycle_item_t *item,
    ngx_msec_t wait)
{
    ngx_http_eventbridge_keeper_t          *k;
    ngx_http_eventbridge_lifecycle_lane_t  *lane;

    k = item->keeper;
    lane = ngx_http_eventbridge_bus_lane(item);

    if (wait == 0) {
        ngx_queue_insert_head(&k->ready, &lane->queue);

    } else {
        lane->next = ngx_current_msec + wait;
        ngx_queue_insert_tail(&k->waiting, &lane->queue);
    }

    ngx_post_event(&k->resume, &ngx_posted_events);
}


/* it is done when its webhooks are certain to hear of it */

static void
ngx_http_eventbridge_bus_taken(ngx_http_eventbridge_lifecycle_item_t *item)
{
    u_char                                  detail[NGX_EB_BUS_ENTRY];
    ngx_int_t                               rc;
    ngx_str_t                               payload;
    ngx_uint_t                              i;
    ngx_eb_lifecycle_decision_t            *decision;
    ngx_http_eventbridge_keeper_t          *k;
    ngx_http_eventbridge_bus_end_t         *end;
    ngx_http_eventbridge_lifecycle_call_t  *calls;

    k = item->keeper;
    decision = &item->pending->decision;
    calls = k->lifecycle->calls.elts;
    end = NULL;

    for (i = 0; i < k->lifecycle->calls.nelts; i++) {

        if (!(calls[i].states & ngx_eb_lifecycle_bit(decision->current))) {
            continue;
        }

        if (end == NULL) {
            end = ngx_calloc(sizeof(ngx_http_eventbridge_bus_end_t), k->log);
            if (end == NULL) {
                ngx_http_eventbridge_bus_again(item,
                                               NGX_HTTP_EVENTBRIDGE_BUS_BASE);
                return;
            }

            end->item = item;
        }

        payload.data = detail;
        payload.len = ngx_eb_bus_detail(detail, &k->lifecycle->bus_conf,
                                        decision)
                      - detail;

        rc = ngx_eb_outbox_append(&k->emcf->outbox->outbox, &calls[i].webhook,
                                  &payload, ngx_http_eventbridge_bus_called,
                                  end);
        if (rc == NGX_AGAIN) {
            end->pending++;

        } else {
            end->failed = 1;
        }
    }

    if (end == NULL) {
        ngx_http_eventbridge_bus_done(item, 1);
        return;
    }

    if (end->pending) {
        item->end = end;
        k->unsettled++;
        ngx_http_eventbridge_bus_busy(k);
        return;
    }

    ngx_free(end);
    ngx_http_eventbridge_bus_again(item, NGX_HTTP_EVENTBRIDGE_BUS_CAP / 10);
}


static void
ngx_http_eventbridge_bus_called(void *data, ngx_int_t rc)
{
    ngx_http_eventbridge_bus_end_t *end = data;

    ngx_http_eventbridge_lifecycle_item_t  *item;

    end->failed |= (rc != NGX_OK);

    if (--end->pending) {
        return;
    }

    item = end->item;

    if (item == NULL) {
        ngx_free(end);
        return;
    }

    ngx_http_eventbridge_bus_settled(item);

    if (end->failed) {

        /* the bus knows the id: what it gets once more is no second one */

        ngx_http_eventbridge_bus_again(item,
                                       NGX_HTTP_EVENTBRIDGE_BUS_CAP / 10);

    } else {
        ngx_http_eventbridge_bus_done(item, 1);
    }

    ngx_free(end);
}


/* first to the dead letter, then the position may pass it: row 4.10 */

static void
ngx_http_eventbridge_bus_refused(ngx_http_eventbridge_lifecycle_item_t *item,
    ngx_str_t *why)
{
    u_char                            *p, detail[NGX_EB_BUS_ENTRY];
    size_t                             size;
    ngx_eb_out_t                       out;
    ngx_http_eventbridge_keeper_t     *k;
    ngx_http_eventbridge_bus_end_t    *end;
    ngx_http_eventbridge_lifecycle_t  *lifecycle;

    k = item->keeper;
    lifecycle = k->lifecycle;

    p = ngx_eb_bus_detail(detail, &lifecycle->bus_conf,
                          &item->pending->decision);

    size = 1024 + (p - detail);

    end = ngx_calloc(sizeof(ngx_http_eventbridge_bus_end_t) + size, k->log);

    if (end == NULL) {
        ngx_http_eventbridge_bus_again(item, NGX_HTTP_EVENTBRIDGE_BUS_CAP);
        return;
    }

    end->item = item;
    end->record.payload.data = (u_char *) (end + 1);

    ngx_eb_out_init(&out, end->record.payload.data, size);

    ngx_eb_out_lit(&out, "{\"v\":1,\"kind\":\"transition\",\"time\":");
    ngx_eb_out_time(&out, ngx_http_eventbridge_lifecycle_now());
    ngx_eb_out_lit(&out, ",\"lifecycle\":");
    ngx_eb_out_string(&out, &lifecycle->name, 64);
    ngx_eb_out_lit(&out, ",\"reason\":");
    ngx_eb_out_string(&out, why, 64);
    ngx_eb_out_lit(&out, ",\"detail\":");
    ngx_eb_out_raw(&out, detail, p - detail);

    /* the log closes the brace */

    end->record.payload.len = out.pos - end->record.payload.data;
    end->record.handler = ngx_http_eventbridge_bus_buried;
    end->record.data = end;

    ngx_log_error(NGX_LOG_ERR, k->log, 0,
                  "eventbridge: the bus of lifecycle \"%V\" does not take a "
                  "transition of interaction \"%*s\": %V; it goes to \"%V\"",
                  &lifecycle->name,
                  (size_t) item->pending->decision.interaction_len,
                  item->pending->decision.interaction, why,
                  ngx_eb_log_path(lifecycle->dead));

    if (ngx_eb_log_append(lifecycle->dead, &end->record) == NGX_AGAIN) {
        item->end = end;
        k->unsettled++;
        ngx_http_eventbridge_bus_busy(k);
        return;
    }

    ngx_free(end);
    ngx_http_eventbridge_bus_again(item, NGX_HTTP_EVENTBRIDGE_BUS_CAP);
}


static void
ngx_http_eventbridge_bus_buried(ngx_eb_log_record_t *record)
{
    ngx_http_eventbridge_bus_end_t         *end;
    ngx_http_eventbridge_lifecycle_item_t  *item;

    end = record->data;
    item = end->item;

    if (item == NULL) {
        ngx_free(end);
        return;
    }

    ngx_http_eventbridge_bus_settled(item);

    if (record->err) {
        ngx_http_eventbridge_bus_again(item, NGX_HTTP_EVENTBRIDGE_BUS_CAP);

    } else {
        ngx_http_eventbridge_bus_done(item, 0);
    }

    ngx_free(end);
}


static void
ngx_http_eventbridge_bus_settled(ngx_http_eventbridge_lifecycle_item_t *item)
{
    item->end = NULL;
    item->keeper->unsettled--;

    ngx_http_eventbridge_bus_busy(item->keeper);
}


/* an exiting worker waits for what is under way */

static void
ngx_http_eventbridge_bus_busy(ngx_http_eventbridge_keeper_t *k)
{
    k->timer.cancelable = (k->ncalls == 0 && k->unsettled == 0);
}


static void
ngx_http_eventbridge_bus_done(ngx_http_eventbridge_lifecycle_item_t *item,
    ngx_uint_t published)
{
    int64_t                                 now;
    ngx_eb_lifecycle_pending_t             *pending;
    ngx_http_eventbridge_keeper_t          *k;
    ngx_http_eventbridge_lifecycle_lane_t  *lane;

    k = item->keeper;
    pending = item->pending;
    lane = ngx_http_eventbridge_bus_lane(item);
    now = ngx_http_eventbridge_lifecycle_now();

    ngx_http_eventbridge_lifecycle_audit(k->lifecycle, &pending->decision,
                                         published ? "propagated" : "failed",
                                         now - pending->decision.at);

    ngx_queue_remove(&item->queue);
    ngx_free(item);

    pending->data = NULL;
    ngx_eb_lifecycle_state_done(&k->state, pending, now, published);

    if (ngx_queue_empty(&lane->items)) {
        ngx_rbtree_delete(&k->lanes, &lane->node);
        ngx_free(lane);

    } else {
        ngx_queue_insert_tail(&k->ready, &lane->queue);
        ngx_post_event(&k->resume, &ngx_posted_events);
    }

    ngx_http_eventbridge_lifecycle_wake(k);
}
