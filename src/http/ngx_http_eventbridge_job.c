
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The life of a batch: parsed, routed, claimed, sent, settled.  A job owns all
 * its memory, so that it can outlive the request that brought it.
 */


#include "ngx_http_eventbridge_destination.h"


/* of a job's memory; see ngx_http_eventbridge_pool_get() */
#define NGX_HTTP_EVENTBRIDGE_POOL         (128 * 1024)

/* subrequests of one job at a time, with "single"; half for a destination */
#define NGX_HTTP_EVENTBRIDGE_MAX_SINGLE   16

/* milliseconds between looks at an event that another delivery holds */
#define NGX_HTTP_EVENTBRIDGE_BUSY_FIRST   5
#define NGX_HTTP_EVENTBRIDGE_BUSY_LAST    100


static ngx_pool_t *ngx_http_eventbridge_pool_get(
    ngx_http_eventbridge_worker_t *w);
static void ngx_http_eventbridge_pool_put(ngx_http_eventbridge_worker_t *w,
    ngx_pool_t *pool);
static void ngx_http_eventbridge_job_claim(ngx_http_eventbridge_job_t *job);
static void ngx_http_eventbridge_job_claimed(void *data, ngx_int_t rc);
static void ngx_http_eventbridge_job_apply(ngx_http_eventbridge_job_t *job,
    ngx_int_t rc);
static void ngx_http_eventbridge_job_already(ngx_http_eventbridge_job_t *job,
    ngx_uint_t i);
static ngx_uint_t ngx_http_eventbridge_job_plan_item(
    ngx_http_eventbridge_job_t *job, ngx_uint_t i);
static ngx_int_t ngx_http_eventbridge_job_group(
    ngx_http_eventbridge_job_t *job);
static ngx_uint_t ngx_http_eventbridge_job_saturated(
    ngx_http_eventbridge_job_t *job,
    ngx_http_eventbridge_destination_t *d);
static void ngx_http_eventbridge_job_condemn(ngx_http_eventbridge_job_t *job);
static void ngx_http_eventbridge_job_run(ngx_http_eventbridge_job_t *job);
static void ngx_http_eventbridge_job_drop(ngx_http_eventbridge_job_t *job);
static ngx_http_eventbridge_send_t *ngx_http_eventbridge_job_next(
    ngx_http_eventbridge_job_t *job);
static void ngx_http_eventbridge_job_wait(ngx_http_eventbridge_send_t *send,
    ngx_uint_t first);
static void ngx_http_eventbridge_job_send_begin(
    ngx_http_eventbridge_send_t *send);
static void ngx_http_eventbridge_job_send_end(
    ngx_http_eventbridge_send_t *send);
static void ngx_http_eventbridge_job_give_up(ngx_http_eventbridge_job_t *job);
static void ngx_http_eventbridge_job_busy(ngx_event_t *ev);
static void ngx_http_eventbridge_job_wake(ngx_event_t *ev);
static void ngx_http_eventbridge_job_progress(ngx_http_eventbridge_job_t *job);


ngx_http_eventbridge_job_t *
ngx_http_eventbridge_job_create(ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_loc_conf_t *conf)
{
    ngx_log_t                   *log;
    ngx_pool_t                  *pool;
    ngx_http_eventbridge_job_t  *job;

    log = ngx_cycle->log;

    pool = ngx_http_eventbridge_pool_get(emcf->worker);
    if (pool == NULL) {
        return NULL;
    }

    job = ngx_pcalloc(pool, sizeof(ngx_http_eventbridge_job_t));
    if (job == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    job->fd = (ngx_socket_t) -1;
    job->pool = pool;
    job->log = log;
    job->emcf = emcf;
    job->conf = conf;
    job->ingest = conf->ingest;

    job->wake.handler = ngx_http_eventbridge_job_wake;
    job->wake.data = job;
    job->wake.log = log;

    job->timer.handler = ngx_http_eventbridge_job_busy;
    job->timer.data = job;
    job->timer.log = log;

    if (ngx_array_init(&job->sends, pool, 4,
                       sizeof(ngx_http_eventbridge_send_t *))
        != NGX_OK
        || ngx_array_init(&job->carriers, pool, 2,
                          sizeof(ngx_http_eventbridge_carrier_t *))
           != NGX_OK)
    {
        ngx_destroy_pool(pool);
        return NULL;
    }

    return job;
}


void
ngx_http_eventbridge_job_destroy(ngx_http_eventbridge_job_t *job)
{
    ngx_http_eventbridge_worker_t  *w;

    w = job->emcf->worker;

    ngx_http_eventbridge_count_flush(job);

    if (job->delivering) {
        w->deliveries--;
        w->bytes -= job->body.len;
    }

    if (job->wake.posted) {
        ngx_delete_posted_event(&job->wake);
    }

    if (job->timer.timer_set) {
        ngx_del_timer(&job->timer);
    }

    ngx_http_eventbridge_pool_put(w, job->pool);
}


/*
 * Pools are used again: a batch of usual size then costs no malloc(), and no
 * page fault for memory that free() has just given back to the system.  The
 * block of such a pool takes what nginx would allocate apart.
 */

static ngx_pool_t *
ngx_http_eventbridge_pool_get(ngx_http_eventbridge_worker_t *w)
{
    ngx_pool_t  *pool;

    if (w->npools) {
        return w->pools[--w->npools];
    }

    pool = ngx_create_pool(NGX_HTTP_EVENTBRIDGE_POOL, ngx_cycle->log);
    if (pool) {
        pool->max = NGX_HTTP_EVENTBRIDGE_POOL / 2;
    }

    return pool;
}


static void
ngx_http_eventbridge_pool_put(ngx_http_eventbridge_worker_t *w,
    ngx_pool_t *pool)
{
    /* one that grew, or that somebody relies on being destroyed, is not kept */

    if (w->npools == NGX_HTTP_EVENTBRIDGE_POOLS
        || pool->d.next
        || pool->cleanup)
    {
        ngx_destroy_pool(pool);
        return;
    }

    ngx_reset_pool(pool);
    w->pools[w->npools++] = pool;
}


ngx_int_t
ngx_http_eventbridge_job_start(ngx_http_eventbridge_job_t *job,
    ngx_http_eventbridge_error_t *err)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    rc = ngx_http_eventbridge_batch_parse(job, err);

    if (rc != NGX_OK) {
        return rc;
    }

    job->form = ngx_http_eventbridge_form(job->conf, job->batch.shape);
    job->deadline = job->client->deadline.timer.key;

    if (ngx_http_eventbridge_key_scope(job) != NGX_OK) {
        return NGX_ERROR;
    }

    if (job->batch.nevents
        && (ngx_http_eventbridge_job_prepare(job) != NGX_OK
            || (job->conf->zone
                && ngx_http_eventbridge_batch_keys(job) != NGX_OK)))
    {
        return NGX_ERROR;
    }

    /* from here on the job looks after itself */

    ngx_eb_stats_observe_batch(job->ingest->cells, job->batch.nevents);
    ngx_eb_stats_add(job->ingest->cells, NGX_EB_STATS_L_RECEIVED,
                     job->batch.nevents);

    for (i = 0; i < job->batch.nevents; i++) {
        if (job->batch.events[i].invalid && job->conf->dead_letter
            && job->put == NULL)
        {
            /* rule 14: the others come first */

            job->items[i].state = NGX_HTTP_EVENTBRIDGE_CONDEMNED;
            job->condemned++;

        } else if (job->batch.events[i].invalid) {
            ngx_http_eventbridge_settle(job, i,
                                                NGX_HTTP_EVENTBRIDGE_INVALID);

        } else if (job->items[i].nhits == 0) {
            ngx_http_eventbridge_settle(job, i,
                (job->conf->unrouted == NGX_HTTP_EVENTBRIDGE_UNROUTED_REJECT)
                    ? NGX_HTTP_EVENTBRIDGE_UNROUTED
                    : NGX_HTTP_EVENTBRIDGE_DROPPED);
        }
    }

    ngx_http_eventbridge_job_begin(job);

    return NGX_OK;
}


ngx_int_t
ngx_http_eventbridge_job_prepare(ngx_http_eventbridge_job_t *job)
{
    ngx_uint_t  i, n;

    n = job->ingest->ndestinations + 1;

    job->hit_states = ngx_pcalloc(job->pool, job->hits.nelts + 1);
    job->hit_status = ngx_pcalloc(job->pool, (job->hits.nelts + 1)
                                             * sizeof(uint16_t));
    job->dest_sends = ngx_pcalloc(job->pool, n * sizeof(ngx_uint_t));
    job->waiting = ngx_palloc(job->pool, n * sizeof(ngx_queue_t));

    if (job->hit_states == NULL || job->hit_status == NULL
        || job->dest_sends == NULL || job->waiting == NULL)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        ngx_queue_init(&job->waiting[i]);
    }

    return ngx_http_eventbridge_destination_prepare(job);
}


void
ngx_http_eventbridge_job_begin(ngx_http_eventbridge_job_t *job)
{
    ngx_http_eventbridge_worker_t  *w;

    /* what is held counts, whether it is sent, waits, or is written down */

    if (job->open) {
        w = job->emcf->worker;
        job->delivering = 1;
        w->deliveries++;
        w->bytes += job->body.len;
    }

    if (job->open > job->condemned) {
        ngx_http_eventbridge_job_claim(job);
    }

    ngx_http_eventbridge_job_progress(job);
}


/* asks the store for all keys that are new or were busy */

static void
ngx_http_eventbridge_job_claim(ngx_http_eventbridge_job_t *job)
{
    ngx_int_t                            rc;
    ngx_uint_t                           i, j, n;
    ngx_http_eventbridge_item_t         *item;
    ngx_http_eventbridge_destination_t  *d;

    rc = NGX_OK;
    d = job->ingest->destinations;

    ngx_http_eventbridge_destination_forget(job);

    if (job->store) {

        /* what only goes where there is no room is not even claimed */

        for (i = 0; i < job->batch.nevents; i++) {
            item = &job->items[i];

            if (job->keys[i].status != NGX_EB_KEY_NEW) {
                continue;
            }

            n = 0;

            for (j = item->hit; j < item->hit + (ngx_uint_t) item->nhits;
                 j++)
            {
                n += ngx_http_eventbridge_job_saturated(job,
                       &d[ngx_http_eventbridge_destination_target(job, j, 0)]);
            }

            if (n == item->nhits) {
                job->keys[i].status = NGX_EB_KEY_SKIP;

                for (j = item->hit; j < item->hit + (ngx_uint_t) item->nhits;
                     j++)
                {
                    job->hit_states[j] = NGX_HTTP_EVENTBRIDGE_HIT_FAILED;
                    job->saturated = 1;
                    ngx_eb_stats_add(
                        d[ngx_http_eventbridge_destination_target(job, j, 0)]
                            .cells, NGX_EB_STATS_D_SATURATED, 1);
                }

                ngx_http_eventbridge_settle(job, i,
                                                 NGX_HTTP_EVENTBRIDGE_FAILED);
            }
        }

        if (!job->has_token) {
            job->has_token = 1;
            job->token = job->store->token(job->store);
        }

        rc = job->store->claim(job->store, job->token, job->keys,
                               job->batch.nevents,
                               ngx_http_eventbridge_job_claimed, job);

        if (rc == NGX_AGAIN) {
            job->ops++;
            return;
        }

    }

    ngx_http_eventbridge_job_apply(job, rc);
}


static void
ngx_http_eventbridge_job_claimed(void *data, ngx_int_t rc)
{
    ngx_http_eventbridge_job_t *job = data;

    job->ops--;

    ngx_http_eventbridge_job_apply(job, rc);
    ngx_post_event(&job->wake, &ngx_posted_events);
}


/* what the store said: each item is settled, sent, or waited for */

static void
ngx_http_eventbridge_job_apply(ngx_http_eventbridge_job_t *job, ngx_int_t rc)
{
    ngx_uint_t                    i, j, busy, sending;
    ngx_http_eventbridge_item_t  *item;

    busy = 0;
    sending = 0;

    for (i = 0; i < job->batch.nevents; i++) {
        item = &job->items[i];

        if (item->state != NGX_HTTP_EVENTBRIDGE_NEW
            && item->state != NGX_HTTP_EVENTBRIDGE_BUSY)
        {
            continue;
        }

        if (rc != NGX_OK) {
            job->store_error = 1;
            ngx_http_eventbridge_settle(job, i,
                                                 NGX_HTTP_EVENTBRIDGE_FAILED);
            continue;
        }

        switch (job->keys ? (ngx_uint_t) job->keys[i].status
                          : NGX_EB_KEY_CLAIMED)
        {

        case NGX_EB_KEY_BUSY:
            item->state = NGX_HTTP_EVENTBRIDGE_BUSY;
            busy++;
            break;

        case NGX_EB_KEY_FULL:
            job->store_error = 1;
            job->keys[i].status = NGX_EB_KEY_SKIP;
            ngx_http_eventbridge_settle(job, i,
                                                 NGX_HTTP_EVENTBRIDGE_FAILED);
            break;

        case NGX_EB_KEY_DUPLICATE:
            job->keys[i].status = NGX_EB_KEY_SKIP;
            ngx_http_eventbridge_job_already(job, i);
            break;

        default: /* claimed, or without a key */
            sending += ngx_http_eventbridge_job_plan_item(job, i);
        }
    }

    if (sending && ngx_http_eventbridge_job_group(job) != NGX_OK) {

        /* no memory: what has no send is given back */

        for (i = 0; i < job->batch.nevents; i++) {
            item = &job->items[i];

            if (item->state != NGX_HTTP_EVENTBRIDGE_SENDING) {
                continue;
            }

            for (j = item->hit; j < item->hit + (ngx_uint_t) item->nhits;
                 j++)
            {
                if (job->hit_states[j] == NGX_HTTP_EVENTBRIDGE_HIT_IDLE) {
                    job->hit_states[j] = NGX_HTTP_EVENTBRIDGE_HIT_FAILED;
                    item->pending--;
                }
            }

            if (item->pending == 0) {
                if (job->keys) {
                    job->keys[i].done = 0;
                    job->keys[i].final = 1;
                    ngx_http_eventbridge_commit(job, &job->keys[i], 1);
                }

                ngx_http_eventbridge_settle(job, i,
                                                 NGX_HTTP_EVENTBRIDGE_FAILED);
            }
        }
    }

    if (busy) {

        if (job->client == NULL || ngx_exiting) {
            ngx_http_eventbridge_job_give_up(job);

        } else {
            job->busy_delay = (job->busy_delay == 0)
                                  ? NGX_HTTP_EVENTBRIDGE_BUSY_FIRST
                                  : ngx_min(job->busy_delay * 2,
                                            NGX_HTTP_EVENTBRIDGE_BUSY_LAST);
            ngx_add_timer(&job->timer, job->busy_delay);
        }
    }
}


/*
 * All the bits that its destinations have are set: a duplicate, unless there
 * is a destination without a bit, which nobody can say anything of.
 */

static void
ngx_http_eventbridge_job_already(ngx_http_eventbridge_job_t *job,
    ngx_uint_t i)
{
    ngx_uint_t                    j, state;
    ngx_eb_route_hit_t           *hits;
    ngx_http_eventbridge_item_t  *item;

    item = &job->items[i];
    hits = job->hits.elts;
    state = NGX_HTTP_EVENTBRIDGE_DUPLICATE;

    for (j = item->hit; j < item->hit + (ngx_uint_t) item->nhits; j++) {

        if (job->ingest->destinations[hits[j].destination].bit >= 0) {
            job->hit_states[j] = NGX_HTTP_EVENTBRIDGE_HIT_ALREADY;
            continue;
        }

        job->hit_states[j] = NGX_HTTP_EVENTBRIDGE_HIT_FAILED;
        job->store_error = 1;
        state = NGX_HTTP_EVENTBRIDGE_FAILED;
    }

    ngx_http_eventbridge_settle(job, i, state);
}


/* which hits of a claimed item are to be sent; their number */

static ngx_uint_t
ngx_http_eventbridge_job_plan_item(ngx_http_eventbridge_job_t *job,
    ngx_uint_t i)
{
    uint64_t                             done, bit;
    ngx_uint_t                           j, to, failed;
    ngx_eb_route_hit_t                  *hits;
    ngx_http_eventbridge_item_t         *item;
    ngx_http_eventbridge_destination_t  *d;

    item = &job->items[i];
    hits = job->hits.elts;
    done = job->keys ? job->keys[i].done : 0;
    bit = 0;
    failed = 0;

    item->state = NGX_HTTP_EVENTBRIDGE_SENDING;
    item->pending = 0;

    for (j = item->hit; j < item->hit + (ngx_uint_t) item->nhits; j++) {
        d = &job->ingest->destinations[hits[j].destination];

        if (job->keys && job->keys[i].status == NGX_EB_KEY_CLAIMED) {

            if (d->bit < 0) {
                job->hit_states[j] = NGX_HTTP_EVENTBRIDGE_HIT_FAILED;
                job->store_error = 1;
                failed++;
                continue;
            }

            if (done & ((uint64_t) 1 << d->bit)) {
                job->hit_states[j] = NGX_HTTP_EVENTBRIDGE_HIT_ALREADY;
                continue;
            }
        }

        to = ngx_http_eventbridge_destination_target(job, j, 1);

        if (to != hits[j].destination) {

            job->hit_to[j] = to;

            /* the alternate may have it, for a reason of its own: then it
               has taken the event for both */

            if (job->keys && job->keys[i].status == NGX_EB_KEY_CLAIMED
                && job->ingest->destinations[to].bit >= 0
                && (done & ((uint64_t) 1 << job->ingest->destinations[to].bit)))
            {
                job->hit_states[j] = NGX_HTTP_EVENTBRIDGE_HIT_ALREADY;
                bit |= (uint64_t) 1 << d->bit;
                continue;
            }

            d = &job->ingest->destinations[to];
        }

        if (ngx_http_eventbridge_job_saturated(job, d)) {
            job->hit_states[j] = NGX_HTTP_EVENTBRIDGE_HIT_FAILED;
            job->saturated = 1;
            ngx_eb_stats_add(d->cells, NGX_EB_STATS_D_SATURATED, 1);
            failed++;
            continue;
        }

        job->hit_states[j] = NGX_HTTP_EVENTBRIDGE_HIT_IDLE;
        item->pending++;
    }

    if (job->keys && job->keys[i].status == NGX_EB_KEY_CLAIMED
        && (bit || item->pending == 0))
    {
        job->keys[i].done = bit;
        job->keys[i].final = (item->pending == 0);
        ngx_http_eventbridge_commit(job, &job->keys[i], 1);
    }

    if (item->pending) {
        return item->pending;
    }

    ngx_http_eventbridge_settle(job, i,
                                         failed ? NGX_HTTP_EVENTBRIDGE_FAILED
                                            : NGX_HTTP_EVENTBRIDGE_DUPLICATE);
    return 0;
}


/* one send for each destination, or with "single" for each event */

static ngx_int_t
ngx_http_eventbridge_job_group(ngx_http_eventbridge_job_t *job)
{
    uint32_t                     *list, *next[NGX_EB_ROUTE_MAX_DESTINATIONS];
    ngx_uint_t                    i, n, d, total, last;
    ngx_uint_t                    count[NGX_EB_ROUTE_MAX_DESTINATIONS];
    ngx_eb_route_hit_t           *hits;
    ngx_http_eventbridge_item_t  *item;

    hits = job->hits.elts;
    last = job->ingest->ndestinations;
    total = 0;

    ngx_memzero(count, sizeof(count));
    ngx_memzero(next, sizeof(next));

    for (i = 0; i < job->hits.nelts; i++) {
        item = &job->items[hits[i].event];

        if (item->state == NGX_HTTP_EVENTBRIDGE_SENDING
            && job->hit_states[i] == NGX_HTTP_EVENTBRIDGE_HIT_IDLE)
        {
            count[ngx_http_eventbridge_hit_to(job, i)]++;
            total++;
        }
    }

    list = ngx_palloc(job->pool, total * sizeof(uint32_t));
    if (list == NULL) {
        return NGX_ERROR;
    }

    for (d = 0; d < last; d++) {
        next[d] = list;
        list += count[d];
    }

    for (i = 0; i < job->hits.nelts; i++) {
        item = &job->items[hits[i].event];

        if (item->state == NGX_HTTP_EVENTBRIDGE_SENDING
            && job->hit_states[i] == NGX_HTTP_EVENTBRIDGE_HIT_IDLE)
        {
            *next[ngx_http_eventbridge_hit_to(job, i)]++ = i;
        }
    }

    for (d = 0; d < last; d++) {

        if (count[d] == 0) {
            continue;
        }

        list = next[d] - count[d];

        if (!ngx_http_eventbridge_form_single(job->form)) {
            if (ngx_http_eventbridge_job_add_send(job, d, list, count[d])
                == NULL)
            {
                return NGX_ERROR;
            }

            continue;
        }

        for (i = 0; i < count[d]; i += n) {

            for (n = 1; i + n < count[d]; n++) {
                if (hits[list[i + n]].event != hits[list[i]].event) {
                    break;
                }
            }

            if (ngx_http_eventbridge_job_add_send(job, d, &list[i], n)
                == NULL)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


ngx_http_eventbridge_send_t *
ngx_http_eventbridge_job_add_send(ngx_http_eventbridge_job_t *job,
    ngx_uint_t destination, uint32_t *hits, ngx_uint_t nhits)
{
    ngx_uint_t                     i;
    ngx_eb_route_hit_t            *all;
    ngx_http_eventbridge_send_t   *send, **slot;

    send = ngx_pcalloc(job->pool, sizeof(ngx_http_eventbridge_send_t));
    if (send == NULL) {
        return NULL;
    }

    slot = ngx_array_push(&job->sends);
    if (slot == NULL) {
        return NULL;
    }

    *slot = send;

    send->job = job;
    send->destination = &job->ingest->destinations[destination];

    ngx_http_eventbridge_job_wait(send, 0);

    send->hits = hits;
    send->nhits = nhits;

    all = job->hits.elts;

    for (i = 0; i < nhits; i++) {
        job->hit_states[hits[i]] = NGX_HTTP_EVENTBRIDGE_HIT_SENT;

        if (i == 0 || all[hits[i]].event != all[hits[i - 1]].event) {
            send->nevents++;
            send->bytes += job->batch.events[all[hits[i]].event].raw.len;
        }
    }

    return send;
}


/*
 * One destination may use half of what may be in flight: rule 19a.  A job keeps
 * its whole body in memory, however little of it a destination is waited for.
 */

static ngx_uint_t
ngx_http_eventbridge_job_saturated(ngx_http_eventbridge_job_t *job,
    ngx_http_eventbridge_destination_t *d)
{
    size_t                          bytes, half;
    ngx_uint_t                      limit;
    ngx_http_eventbridge_worker_t  *w;

    if (job->dest_sends[d - job->ingest->destinations]
        || ngx_http_eventbridge_destination_refused(job,
                                           d - job->ingest->destinations, 0))
    {
        /* the job has its place already, or will need none */
        return 0;
    }

    w = job->emcf->worker;

    limit = job->conf->inflight_deliveries;

    if (limit == 0) {
        limit = ngx_max(ngx_cycle->connection_n / 8, 2);
    }

    bytes = w->dest_bytes[d->index];
    half = job->conf->inflight_size / 2;

    /* a body that is larger than that passes alone */

    return w->dest_deliveries[d->index] >= ngx_max(limit / 2, 1)
           || (bytes && (bytes >= half || job->body.len > half - bytes));
}


/*
 * All others have their outcome: the invalid ones get theirs.  Where some have
 * to be sent again, so will these be: they need not be kept yet.
 */

static void
ngx_http_eventbridge_job_condemn(ngx_http_eventbridge_job_t *job)
{
    ngx_uint_t  i;

    if (job->failed == 0 && job->busy == 0
        && ngx_http_eventbridge_dead_invalid(job) == NGX_OK)
    {
        job->condemned = 0;
        return;
    }

    job->condemned = 0;

    for (i = 0; i < job->batch.nevents; i++) {
        if (job->items[i].state == NGX_HTTP_EVENTBRIDGE_CONDEMNED) {
            ngx_http_eventbridge_settle(job, i, NGX_HTTP_EVENTBRIDGE_FAILED);
        }
    }
}


/* starts what may run now; the first next_send of sends have been started */

static void
ngx_http_eventbridge_job_run(ngx_http_eventbridge_job_t *job)
{
    ngx_uint_t                     n;
    ngx_http_eventbridge_send_t   *send, **sends;

    for (n = 0; job->next_send < job->sends.nelts; n++) {

        if (job->cut) {
            ngx_http_eventbridge_job_drop(job);
            return;
        }

        send = ngx_http_eventbridge_job_next(job);

        if (send == NULL) {
            return;
        }

        sends = job->sends.elts;
        sends[job->next_send++] = send;

        if (ngx_http_eventbridge_destination_refuse(send)) {
            goto next;
        }

        ngx_http_eventbridge_job_send_begin(send);

        if (ngx_http_eventbridge_send(send) != NGX_OK) {

            /* it is tried again when one of those that run has ended */

            ngx_http_eventbridge_job_send_end(send);
            ngx_http_eventbridge_job_wait(send, 1);
            send->started = 0;
            job->next_send--;

            if (job->running) {
                return;
            }

            job->cut = 1;
        }

    next:

        /* those that fail at once must not keep the worker to themselves */

        if (n == NGX_HTTP_EVENTBRIDGE_MAX_SINGLE) {
            ngx_post_event(&job->wake, &ngx_posted_next_events);
            return;
        }
    }
}


/* what is not started yet never will be: the sender has it still */

static void
ngx_http_eventbridge_job_drop(ngx_http_eventbridge_job_t *job)
{
    ngx_uint_t                     d;
    ngx_queue_t                   *q;
    ngx_http_eventbridge_send_t   *send, **sends;

    ngx_log_error(NGX_LOG_ERR, job->log, 0,
                  "eventbridge: %ui requests to destinations were not "
                  "started, location \"%V\", request id %V",
                  job->sends.nelts - job->next_send, &job->ingest->name,
                  &job->facts.request_id);

    sends = job->sends.elts;

    for (d = 0; d < job->ingest->ndestinations; d++) {

        for (q = ngx_queue_head(&job->waiting[d]);
             q != ngx_queue_sentinel(&job->waiting[d]);
             q = ngx_queue_next(q))
        {
            send = ngx_queue_data(q, ngx_http_eventbridge_send_t, queue);
            send->settled = 1;
            send->done = 1;
            send->local = 1;

            sends[job->next_send++] = send;
        }

        ngx_queue_init(&job->waiting[d]);
    }

    ngx_post_event(&job->wake, &ngx_posted_events);
}


/*
 * Destinations take turns, and where only so many sends may run, none has more
 * than half of them while another has something to be sent: one that hangs
 * must not hold up the others.
 */

static ngx_http_eventbridge_send_t *
ngx_http_eventbridge_job_next(ngx_http_eventbridge_job_t *job)
{
    ngx_uint_t    i, d, n, single, full;
    ngx_queue_t  *q;

    single = (ngx_http_eventbridge_form_single(job->form)
              || job->bisecting);

    if (single && job->running >= NGX_HTTP_EVENTBRIDGE_MAX_SINGLE) {
        return NULL;
    }

    n = job->ingest->ndestinations;
    full = n;

    for (i = 0; i < n; i++) {
        d = (job->turn + i) % n;

        if (ngx_queue_empty(&job->waiting[d])) {
            continue;
        }

        if (!single
            || job->dest_sends[d] < NGX_HTTP_EVENTBRIDGE_MAX_SINGLE / 2)
        {
            goto found;
        }

        if (full != n) {
            /* together they have all */
            return NULL;
        }

        full = d;
    }

    /* no other needs the rest */

    d = full;

found:

    job->turn = d + 1;

    q = ngx_queue_head(&job->waiting[d]);
    ngx_queue_remove(q);

    return ngx_queue_data(q, ngx_http_eventbridge_send_t, queue);
}


static void
ngx_http_eventbridge_job_wait(ngx_http_eventbridge_send_t *send,
    ngx_uint_t first)
{
    ngx_queue_t  *queue;

    queue = &send->job->waiting[send->destination
                                - send->job->ingest->destinations];
    if (first) {
        ngx_queue_insert_head(queue, &send->queue);

    } else {
        ngx_queue_insert_tail(queue, &send->queue);
    }
}


static void
ngx_http_eventbridge_job_send_begin(ngx_http_eventbridge_send_t *send)
{
    ngx_http_eventbridge_job_t     *job;
    ngx_http_eventbridge_worker_t  *w;

    job = send->job;
    w = job->emcf->worker;

    if (job->dest_sends[send->destination - job->ingest->destinations]++ == 0)
    {
        w->dest_deliveries[send->destination->index]++;
        w->dest_bytes[send->destination->index] += job->body.len;
    }
}


static void
ngx_http_eventbridge_job_send_end(ngx_http_eventbridge_send_t *send)
{
    ngx_http_eventbridge_job_t     *job;
    ngx_http_eventbridge_worker_t  *w;

    job = send->job;
    w = job->emcf->worker;

    if (--job->dest_sends[send->destination - job->ingest->destinations] == 0)
    {
        w->dest_deliveries[send->destination->index]--;
        w->dest_bytes[send->destination->index] -= job->body.len;
    }
}


/* nobody waits for the busy ones any more: whoever holds them settles them */

static void
ngx_http_eventbridge_job_give_up(ngx_http_eventbridge_job_t *job)
{
    ngx_uint_t  i;

    if (job->timer.timer_set) {
        ngx_del_timer(&job->timer);
    }

    for (i = 0; i < job->batch.nevents; i++) {
        if (job->items[i].state == NGX_HTTP_EVENTBRIDGE_BUSY) {
            job->keys[i].status = NGX_EB_KEY_SKIP;
            ngx_http_eventbridge_settle(job, i,
                                                NGX_HTTP_EVENTBRIDGE_GAVE_UP);
        }
    }
}


/* is what others held settled by now? */

static void
ngx_http_eventbridge_job_busy(ngx_event_t *ev)
{
    ngx_http_eventbridge_job_t *job = ev->data;

    ngx_uint_t  i;

    for (i = 0; i < job->batch.nevents; i++) {
        if (job->items[i].state == NGX_HTTP_EVENTBRIDGE_BUSY) {
            job->keys[i].status = NGX_EB_KEY_NEW;
        }
    }

    ngx_http_eventbridge_job_claim(job);
    ngx_http_eventbridge_job_progress(job);
}


void
ngx_http_eventbridge_job_detach(ngx_http_eventbridge_job_t *job)
{
    job->client = NULL;

    /* a claim under way decides on the busy ones when it ends */

    if (job->timer.timer_set) {
        ngx_http_eventbridge_job_give_up(job);
    }

    /* the job may end, but not under its caller */
    ngx_post_event(&job->wake, &ngx_posted_events);
}


static void
ngx_http_eventbridge_job_wake(ngx_event_t *ev)
{
    ngx_http_eventbridge_job_progress(ev->data);
}


/*
 * Takes in what has happened, starts what may start, answers, ends.  Called
 * from the event loop only, never from inside a subrequest: it frees carriers.
 */

static void
ngx_http_eventbridge_job_progress(ngx_http_eventbridge_job_t *job)
{
    ngx_uint_t                        i;
    ngx_http_eventbridge_send_t      *send, **sends;
    ngx_http_eventbridge_carrier_t  **carriers;

    void  (*done)(ngx_http_eventbridge_job_t *job);

    sends = job->sends.elts;

    for (i = job->first_send; i < job->next_send; i++) {
        send = sends[i];

        if (send->counted) {
            continue;
        }

        if (send->stale && !send->retried && !ngx_exiting) {

            /*
             * the destination closed a kept connection just as we used it:
             * nginx does not repeat a POST by itself
             */

            send->stale = 0;
            send->settled = 0;
            send->done = 0;
            send->retried = 1;

            if (ngx_http_eventbridge_send(send) != NGX_OK) {
                send->settled = 1;
                send->done = 1;
                send->local = 1;
            }

            /* a second look at it comes by itself, or at the next line */
        }

        if (send->settled) {
            send->counted = 1;
            ngx_http_eventbridge_outcome(send);

            /* it may have added some */
            sends = job->sends.elts;
        }
    }

    for (i = job->first_send; i < job->next_send; i++) {

        if (sends[i]->done && sends[i]->counted && sends[i]->started) {
            sends[i]->started = 0;
            ngx_http_eventbridge_job_send_end(sends[i]);
        }

        if (i == job->first_send && !sends[i]->started) {
            job->first_send++;
        }
    }

    ngx_http_eventbridge_job_run(job);

    for (i = job->carriers.nelts; i-- > 0; /* void */ ) {
        carriers = job->carriers.elts;

        if (carriers[i]->running == 0
            && (carriers[i] != job->carrier
                || job->next_send == job->sends.nelts))
        {
            ngx_http_eventbridge_send_release(job, i);
        }
    }

    if (job->condemned && job->open == job->condemned && job->ops == 0) {
        ngx_http_eventbridge_job_condemn(job);
    }

    /* who has the answer may look at the figures */

    ngx_http_eventbridge_count_flush(job);

    if (job->open == 0 && job->ops == 0 && job->client) {
        ngx_http_eventbridge_answer(job);
    }

    if (job->open == 0 && job->ops == 0 && job->done) {
        done = job->done;
        job->done = NULL;
        done(job);
    }

    if (job->open == 0 && job->ops == 0 && job->client == NULL
        && job->carriers.nelts == 0 && job->running == 0 && !job->wake.posted)
    {
        ngx_http_eventbridge_job_destroy(job);
    }
}
