
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * An event has its outcome: it is counted, and written to the audit log.
 */


#include "ngx_http_eventbridge_module.h"


static void ngx_http_eventbridge_settle_count(
    ngx_http_eventbridge_job_t *job, ngx_uint_t i);


/* an item, and those that repeat it, have their outcome */

void
ngx_http_eventbridge_settle(ngx_http_eventbridge_job_t *job,
    ngx_uint_t i, ngx_uint_t state)
{
    uint32_t  next, n;

    job->items[i].state = state;
    ngx_http_eventbridge_settle_count(job, i);

    if (state == NGX_HTTP_EVENTBRIDGE_FORWARDED
        || state == NGX_HTTP_EVENTBRIDGE_DEAD)
    {
        state = NGX_HTTP_EVENTBRIDGE_DUPLICATE;
    }

    for (n = job->items[i].repeat;
         n != NGX_HTTP_EVENTBRIDGE_NO_ITEM;
         n = next)
    {
        next = job->items[n].repeat;

        job->items[n].state = state;
        ngx_http_eventbridge_settle_count(job, n);
    }
}


static void
ngx_http_eventbridge_settle_count(ngx_http_eventbridge_job_t *job,
    ngx_uint_t i)
{
    int64_t                             lag;
    ngx_uint_t                          j, cell;
    ngx_time_t                         *tp;
    ngx_eb_route_hit_t                 *hits;
    ngx_http_eventbridge_item_t        *item;

    item = &job->items[i];

    job->open--;

    switch (item->state) {

    case NGX_HTTP_EVENTBRIDGE_FORWARDED:
        job->forwarded++;
        cell = NGX_EB_STATS_L_FORWARDED;
        break;

    case NGX_HTTP_EVENTBRIDGE_DUPLICATE:
        job->duplicates++;
        cell = NGX_EB_STATS_L_DUPLICATES;
        break;

    case NGX_HTTP_EVENTBRIDGE_DROPPED:
        job->dropped++;
        cell = NGX_EB_STATS_L_DROPPED;
        break;

    case NGX_HTTP_EVENTBRIDGE_DEAD:
        job->dead++;
        cell = NGX_EB_STATS_L_DEAD;
        break;

    case NGX_HTTP_EVENTBRIDGE_INVALID:
        job->invalid++;
        cell = NGX_EB_STATS_L_INVALID;
        break;

    case NGX_HTTP_EVENTBRIDGE_UNROUTED:
        job->unrouted++;
        cell = NGX_EB_STATS_L_UNROUTED;
        break;

    case NGX_HTTP_EVENTBRIDGE_GAVE_UP:
        job->busy++;
        cell = NGX_EB_STATS_L_BUSY;
        break;

    default: /* NGX_HTTP_EVENTBRIDGE_FAILED */
        job->failed++;
        cell = NGX_EB_STATS_L_FAILED;
    }

    job->counts[cell]++;

    /* of a dead letter all but its delivery was counted when it died */

    if (job->replay) {
        job->counts[cell]--;

        if (cell == NGX_EB_STATS_L_FORWARDED) {
            job->counts[NGX_EB_STATS_L_REPLAYED]++;
        }

    } else if (cell == NGX_EB_STATS_L_FORWARDED
        || cell == NGX_EB_STATS_L_DUPLICATES
        || cell == NGX_EB_STATS_L_DROPPED || cell == NGX_EB_STATS_L_DEAD)
    {
        job->counts[NGX_EB_STATS_L_PROCESSED]++;
    }

    if (cell == NGX_EB_STATS_L_FORWARDED && !job->replay
        && job->batch.events[i].time != NGX_EB_TIME_UNKNOWN)
    {
        tp = ngx_timeofday();
        lag = (int64_t) tp->sec * 1000 + tp->msec - job->batch.events[i].time;
        lag = ngx_max(lag, 0);

        job->ingest->cells[NGX_EB_STATS_L_LAG] = lag;
        ngx_eb_stats_count_lag(job->counts, lag);
    }

    hits = job->hits.elts;

    for (j = item->hit; j < item->hit + (ngx_uint_t) item->nhits; j++) {

        if (item->state == NGX_HTTP_EVENTBRIDGE_DUPLICATE) {
            cell = NGX_EB_STATS_R_DUPLICATES;

        } else {

            switch (job->hit_states[j]) {

            case NGX_HTTP_EVENTBRIDGE_HIT_ALREADY:
                cell = NGX_EB_STATS_R_DUPLICATES;
                break;

            case NGX_HTTP_EVENTBRIDGE_HIT_DELIVERED:
                cell = NGX_EB_STATS_R_FORWARDED;
                break;

            case NGX_HTTP_EVENTBRIDGE_HIT_DEAD:
            case NGX_HTTP_EVENTBRIDGE_HIT_FAILED:
                cell = NGX_EB_STATS_R_FAILED;
                break;

            default:
                /* nobody has asked the destination */
                continue;
            }
        }

        ngx_http_eventbridge_count_route(job, hits[j].route, cell);
    }

    if (job->conf->audit) {
        ngx_http_eventbridge_audit(job, i);
    }
}


/*
 * Figures of single events are summed up here, and reach the shared cells by
 * ngx_http_eventbridge_count_flush(): an atomic operation for each would cost
 * more than its routing.  Neighbors mostly take the same route.
 */

void
ngx_http_eventbridge_count_route(ngx_http_eventbridge_job_t *job,
    ngx_uint_t route, ngx_uint_t cell)
{
    ngx_uint_t  i;

    if (job->counted_route != route) {

        for (i = 0; i < NGX_EB_STATS_R_END; i++) {
            if (job->route_counts[i]) {
                ngx_eb_stats_add(job->ingest->routes[job->counted_route].cells,
                                 i, job->route_counts[i]);
                job->route_counts[i] = 0;
            }
        }

        job->counted_route = route;
    }

    job->route_counts[cell]++;
}


void
ngx_http_eventbridge_count_flush(ngx_http_eventbridge_job_t *job)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_EB_STATS_L_END; i++) {
        if (job->counts[i]) {
            ngx_eb_stats_add(job->ingest->cells, i, job->counts[i]);
            job->counts[i] = 0;
        }
    }

    for (i = 0; i < NGX_EB_STATS_R_END; i++) {
        if (job->route_counts[i]) {
            ngx_eb_stats_add(job->ingest->routes[job->counted_route].cells, i,
                             job->route_counts[i]);
            job->route_counts[i] = 0;
        }
    }
}
