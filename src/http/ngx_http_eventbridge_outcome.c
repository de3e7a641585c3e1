
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What a destination's answer means for the events that it was sent: marks
 * are set, requests are split in search of what it refuses, and what it will
 * never take goes to the dead letter.
 */


#include "ngx_http_eventbridge_destination.h"


/* a destination cannot send senders away for longer */
#define NGX_HTTP_EVENTBRIDGE_MAX_RETRY    300


static void ngx_http_eventbridge_outcome_stats(
    ngx_http_eventbridge_send_t *send);
static void ngx_http_eventbridge_outcome_up(
    ngx_http_eventbridge_destination_t *d);
static ngx_uint_t ngx_http_eventbridge_outcome_down(
    ngx_http_eventbridge_send_t *send);
static ngx_int_t ngx_http_eventbridge_bisect(
    ngx_http_eventbridge_send_t *send);
static void ngx_http_eventbridge_outcome_item(
    ngx_http_eventbridge_job_t *job, ngx_uint_t i);
static void ngx_http_eventbridge_committed(void *data, ngx_int_t rc);


/* the destination has answered, or never will: its events follow */

void
ngx_http_eventbridge_outcome(ngx_http_eventbridge_send_t *send)
{
    ngx_uint_t                        i;
    const char                       *reason;
    ngx_http_eventbridge_job_t       *job;
    ngx_http_eventbridge_loc_conf_t  *conf;

    job = send->job;
    conf = job->conf;

    if (!send->local) {
        ngx_http_eventbridge_outcome_stats(send);
        ngx_http_eventbridge_destination_sent(send);
    }

    for (i = 0; i < send->nhits; i++) {
        job->hit_status[send->hits[i]] = send->status;
    }

    if (send->delivered) {
        ngx_eb_stats_add(send->destination->cells, NGX_EB_STATS_D_FORWARDED,
                         send->nevents);
        ngx_http_eventbridge_destination_delivered(send);
        ngx_http_eventbridge_outcome_up(send->destination);
        ngx_http_eventbridge_finish_hits(job, send->hits, send->nhits,
                                         NGX_HTTP_EVENTBRIDGE_HIT_DELIVERED);
        return;
    }

    job->refused = 1;

    if (send->retry_after > job->retry_after) {
        job->retry_after = ngx_min(send->retry_after,
                                   NGX_HTTP_EVENTBRIDGE_MAX_RETRY);
    }

    reason = NULL;

    if (ngx_http_eventbridge_permanent_status(conf, send->status)) {

        /* whoever refuses an event is there to take another one */

        ngx_http_eventbridge_outcome_up(send->destination);

        if (send->nevents > 1) {
            if (ngx_http_eventbridge_bisect(send) == NGX_OK) {
                return;
            }

        } else {
            reason = "permanent";
        }

    } else if ((!send->local || send->refused)
               && ngx_http_eventbridge_outcome_down(send))
    {
        reason = "unavailable";
    }

    ngx_eb_stats_add(send->destination->cells, NGX_EB_STATS_D_FAILED,
                     send->nevents);

    /* what comes from a dead letter stays there: rule 15 */

    if (reason && conf->dead_letter && !job->replay
        && ngx_http_eventbridge_dead_hits(job, send->hits, send->nhits, reason)
           == NGX_OK)
    {
        return;
    }

    ngx_http_eventbridge_finish_hits(job, send->hits, send->nhits,
                                     NGX_HTTP_EVENTBRIDGE_HIT_FAILED);
}


static void
ngx_http_eventbridge_outcome_stats(ngx_http_eventbridge_send_t *send)
{
    ngx_uint_t            cell;
    ngx_eb_stats_cell_t  *cells;

    cells = send->destination->cells;

    cell = (send->status >= 500) ? NGX_EB_STATS_D_5XX
           : (send->status >= 400) ? NGX_EB_STATS_D_4XX
           : (send->status >= 300) ? NGX_EB_STATS_D_3XX
           : (send->status >= 200) ? NGX_EB_STATS_D_2XX
           : NGX_EB_STATS_D_NO_STATUS;

    ngx_eb_stats_add(cells, cell, 1);
    ngx_eb_stats_add(cells, NGX_EB_STATS_D_BYTES, send->bytes);
    ngx_eb_stats_observe_latency(cells, (int64_t) (ngx_msec_t)
                                        (ngx_current_msec - send->start));

    if (send->delivered) {
        return;
    }

    if (!send->local) {
        cells[NGX_EB_STATS_D_FAILED_AT] = (int64_t) ngx_time();
        cells[NGX_EB_STATS_D_FAILED_STATUS] = (int64_t) send->status;
    }

    ngx_log_error(NGX_LOG_ERR, send->job->log, 0,
                  "eventbridge: delivery of %ui events to \"%V\" failed, "
                  "status %ui, location \"%V\", request id %V",
                  send->nevents, &send->destination->uri, send->status,
                  &send->job->ingest->name, &send->job->facts.request_id);
}


/* since when a destination has failed is shared by all workers */

static void
ngx_http_eventbridge_outcome_up(ngx_http_eventbridge_destination_t *d)
{
    if (d->cells[NGX_EB_STATS_D_DOWN_SINCE]) {
        d->cells[NGX_EB_STATS_D_DOWN_SINCE] = 0;
    }
}


/* has it been down for so long that its events are not to wait? */

static ngx_uint_t
ngx_http_eventbridge_outcome_down(ngx_http_eventbridge_send_t *send)
{
    int64_t                           since, known, now;
    ngx_eb_stats_cell_t              *cell;
    ngx_http_eventbridge_loc_conf_t  *conf;

    conf = send->job->conf;
    cell = &send->destination->cells[NGX_EB_STATS_D_DOWN_SINCE];

    now = (int64_t) ngx_time();
    since = *cell;

    /* a clock that was set back must not make it last longer */

    if (!send->refused && (since == 0 || since > now)) {
        *cell = now;
        since = now;
    }

    /* probes may know it for longer; who was refused has not tried */

    known = ngx_http_eventbridge_destination_since(send->destination);

    if (known && (since == 0 || known < since)) {
        since = known;
    }

    return conf->unavailable == NGX_HTTP_EVENTBRIDGE_UNAVAILABLE_DEAD
           && since && now - since >= (int64_t) conf->unavailable_after;
}


/* rule 12 */

ngx_uint_t
ngx_http_eventbridge_permanent_status(ngx_http_eventbridge_loc_conf_t *conf,
    ngx_uint_t status)
{
    ngx_uint_t  i, *codes;

    /* several events may be too much at once, each of them is not */

    if (status == NGX_HTTP_REQUEST_ENTITY_TOO_LARGE) {
        return 1;
    }

    codes = conf->permanent->elts;

    for (i = 0; i < conf->permanent->nelts; i++) {
        if (codes[i] == status) {
            return 1;
        }
    }

    return 0;
}


/*
 * Each half is sent by itself, so that only the culprits are condemned.
 * NGX_ERROR: there is no time for it (what was found is marked, and the
 * sender's next try goes on from there), or no memory.
 */

static ngx_int_t
ngx_http_eventbridge_bisect(ngx_http_eventbridge_send_t *send)
{
    ngx_uint_t                   n, d;
    ngx_eb_route_hit_t          *hits;
    ngx_http_eventbridge_job_t  *job;

    job = send->job;
    hits = job->hits.elts;

    if (ngx_exiting
        || job->cut
        || (ngx_msec_int_t) (ngx_current_msec - job->deadline) >= 0)
    {
        return NGX_ERROR;
    }

    n = send->nhits / 2;
    d = send->destination - job->ingest->destinations;

    /* hits of one event stay together; there are two events */

    while (hits[send->hits[n]].event == hits[send->hits[n - 1]].event) {
        if (++n == send->nhits) {
            n = send->nhits / 2;

            do {
                n--;
            } while (hits[send->hits[n]].event
                     == hits[send->hits[n - 1]].event);

            break;
        }
    }

    if (ngx_http_eventbridge_job_add_send(job, d, send->hits, n) == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_eventbridge_job_add_send(job, d, send->hits + n,
                                          send->nhits - n)
        == NULL)
    {
        /* the first half is on its way */

        ngx_http_eventbridge_finish_hits(job, send->hits + n, send->nhits - n,
                                         NGX_HTTP_EVENTBRIDGE_HIT_FAILED);
    }

    job->bisecting = 1;

    return NGX_OK;
}


void
ngx_http_eventbridge_finish_hits(ngx_http_eventbridge_job_t *job,
    uint32_t *list, ngx_uint_t nlist, ngx_uint_t state)
{
    uint64_t                      bit;
    ngx_uint_t                    i, n;
    ngx_eb_store_key_t           *keys, *key;
    ngx_eb_route_hit_t           *hits, *hit;
    ngx_http_eventbridge_item_t  *item;

    hits = job->hits.elts;
    keys = NULL;
    n = 0;

    /* on failure each is committed alone, and a lost mark is a repeat */

    if (job->keys && nlist > 1) {
        keys = ngx_palloc(job->pool, nlist * sizeof(ngx_eb_store_key_t));
    }

    for (i = 0; i < nlist; i++) {
        hit = &hits[list[i]];
        item = &job->items[hit->event];

        item->pending--;

        job->hit_states[list[i]] = (uint8_t) state;

        if (job->keys == NULL) {
            continue;
        }

        key = &job->keys[hit->event];

        if (key->status != NGX_EB_KEY_CLAIMED
            || (state == NGX_HTTP_EVENTBRIDGE_HIT_FAILED && item->pending))
        {
            continue;
        }

        bit = (uint64_t) 1 << job->ingest->destinations[hit->destination].bit;

        if (state == NGX_HTTP_EVENTBRIDGE_HIT_DELIVERED) {
            bit |= ngx_http_eventbridge_destination_bit(job, list[i]);
        }

        key->done = (state == NGX_HTTP_EVENTBRIDGE_HIT_FAILED) ? 0 : bit;
        key->final = (item->pending == 0);

        if (keys) {
            keys[n++] = *key;

        } else {
            ngx_http_eventbridge_commit(job, key, 1);
        }

        if (item->pending == 0) {
            key->status = NGX_EB_KEY_SKIP;
        }
    }

    if (n) {
        ngx_http_eventbridge_commit(job, keys, n);
    }

    /* marks first, then figures, audit, and the answer */

    for (i = 0; i < nlist; i++) {

        /* its hits stand side by side */

        if (i == 0 || hits[list[i]].event != hits[list[i - 1]].event) {
            ngx_http_eventbridge_outcome_item(job, hits[list[i]].event);
        }
    }
}


/* settles an event for which nothing is pending any more */

static void
ngx_http_eventbridge_outcome_item(ngx_http_eventbridge_job_t *job,
    ngx_uint_t i)
{
    ngx_uint_t                    j, state;
    ngx_http_eventbridge_item_t  *item;

    item = &job->items[i];

    if (item->pending) {
        return;
    }

    state = NGX_HTTP_EVENTBRIDGE_FORWARDED;

    for (j = item->hit; j < item->hit + (ngx_uint_t) item->nhits; j++) {

        if (job->hit_states[j] == NGX_HTTP_EVENTBRIDGE_HIT_FAILED) {
            state = NGX_HTTP_EVENTBRIDGE_FAILED;
            break;
        }

        if (job->hit_states[j] == NGX_HTTP_EVENTBRIDGE_HIT_DEAD) {
            state = NGX_HTTP_EVENTBRIDGE_DEAD;
        }
    }

    ngx_http_eventbridge_settle(job, i, state);
}


/* keys must live until the job ends */

void
ngx_http_eventbridge_commit(ngx_http_eventbridge_job_t *job,
    ngx_eb_store_key_t *keys, ngx_uint_t n)
{
    ngx_int_t  rc;

    if (job->store == NULL) {
        return;
    }

    rc = job->store->commit(job->store, job->token, keys, n,
                            ngx_http_eventbridge_committed, job);

    if (rc == NGX_AGAIN) {
        job->ops++;
    }

    /* NGX_ERROR was logged: the delivery is a fact, its mark is missing */
}


static void
ngx_http_eventbridge_committed(void *data, ngx_int_t rc)
{
    ngx_http_eventbridge_job_t *job = data;

    job->ops--;
    ngx_post_event(&job->wake, &ngx_posted_events);
}
