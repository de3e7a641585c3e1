
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What a batch is made of: its events, where each goes, and its key.
 */


#include "ngx_http_eventbridge_module.h"


static ngx_int_t ngx_http_eventbridge_batch_route(
    ngx_http_eventbridge_job_t *job, ngx_eb_json_t *json,
    ngx_http_eventbridge_error_t *err);
static ngx_int_t ngx_http_eventbridge_batch_items(
    ngx_http_eventbridge_job_t *job);
static ngx_int_t ngx_http_eventbridge_batch_unrouted(
    ngx_http_eventbridge_job_t *job, ngx_array_t *routed);
static ngx_int_t ngx_http_eventbridge_batch_key(
    ngx_http_eventbridge_job_t *job, ngx_uint_t i);


ngx_int_t
ngx_http_eventbridge_batch_parse(ngx_http_eventbridge_job_t *job,
    ngx_http_eventbridge_error_t *err)
{
    ngx_int_t                       rc;
    ngx_eb_json_t                   json;
    ngx_eb_json_error_t             jerr;
    ngx_http_eventbridge_worker_t  *w;

    w = job->emcf->worker;

    rc = ngx_eb_json_parse(w->parser, job->body.data, job->body.len,
                           job->conf->max_depth, &json, &jerr);

    if (rc != NGX_OK) {

        if (jerr.code == NGX_EB_JSON_E_NOMEM) {
            return NGX_ERROR;
        }

        err->status = NGX_HTTP_BAD_REQUEST;
        err->message = ngx_eb_json_strerror(jerr.code);
        err->offset = jerr.offset - (job->cloudevents ? job->room : 0);

        switch (jerr.code) {

        case NGX_EB_JSON_E_EMPTY:
            err->error = "empty_body";
            err->offset = -1;
            break;

        case NGX_EB_JSON_E_DEPTH:
            err->error = "too_deep";
            break;

        default:
            err->error = "invalid_json";
        }

        rc = NGX_DECLINED;
        goto done;
    }

    if (job->cloudevents) {
        rc = ngx_http_eventbridge_cloudevent_batch(job, &json, err);

        if (rc == NGX_DECLINED) {
            goto done;
        }

    } else {
        rc = job->conf->event
                 ? ngx_http_eventbridge_event_batch(job, &json)
                 : ngx_eb_batch_split(&json, job->pool, job->conf->max_events,
                                      &job->batch);

        if (rc == NGX_OK && job->put) {
            rc = ngx_http_eventbridge_putevents_batch(job, &json);
        }
    }

    if (rc == NGX_DECLINED) {
        rc = ngx_http_eventbridge_event_signed(job, &json);
    }

    if (rc == NGX_BUSY) {
        err->status = NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
        err->error = "too_many_events";
        err->message = "the batch has more events than eventbridge_max_events";
        err->offset = -1;

        rc = NGX_DECLINED;
        goto done;
    }

    if (rc == NGX_DECLINED) {
        err->status = NGX_HTTP_BAD_REQUEST;
        err->error = "not_a_batch";
        err->message = job->batch.error;
        err->offset = job->batch.offset;
        goto done;
    }

    if (rc == NGX_OK) {
        /* rule 19: before it costs or counts anything else */
        rc = ngx_http_eventbridge_rate_charge(job, err);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_eventbridge_batch_route(job, &json, err);
    }

done:

    ngx_eb_json_parser_trim(w->parser, NGX_HTTP_EVENTBRIDGE_KEEP_INDEX);

    return rc;
}


/* the parser's index is valid only here: all that is needed later is a slice */

static ngx_int_t
ngx_http_eventbridge_batch_route(ngx_http_eventbridge_job_t *job,
    ngx_eb_json_t *json, ngx_http_eventbridge_error_t *err)
{
    ngx_int_t                       rc;
    ngx_uint_t                      errors;
    ngx_http_eventbridge_worker_t  *w;

    w = job->emcf->worker;

    if (job->batch.nevents == 0) {
        return NGX_OK;
    }

    if (job->conf->zone
        && ngx_http_eventbridge_key_ids(job, json) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_array_init(&job->hits, job->pool, job->batch.nevents,
                       sizeof(ngx_eb_route_hit_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    errors = 0;

    rc = ngx_eb_route_batch(&job->ingest->router,
                            w->memos[job->ingest->index], w->regex, json,
                            &job->batch, &job->hits, &errors);
    if (errors) {
        ngx_eb_stats_add(job->ingest->cells, NGX_EB_STATS_L_REGEX_ERRORS,
                         errors);
    }

    if (rc == NGX_BUSY) {
        err->status = NGX_HTTP_BAD_REQUEST;
        err->error = "too_complex";
        err->message = "too many sources or types are too much for the "
                       "expressions of the routes";
        err->offset = -1;

        return NGX_DECLINED;
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_eventbridge_batch_items(job);
}


static ngx_int_t
ngx_http_eventbridge_batch_items(ngx_http_eventbridge_job_t *job)
{
    ngx_uint_t                    i;
    ngx_array_t                   routed;
    ngx_eb_route_hit_t           *hits;
    ngx_http_eventbridge_item_t  *item;

    job->items = ngx_pcalloc(job->pool, job->batch.nevents
                                        * sizeof(ngx_http_eventbridge_item_t));
    if (job->items == NULL) {
        return NGX_ERROR;
    }

    job->open = job->batch.nevents;

    if (job->conf->unrouted == NGX_HTTP_EVENTBRIDGE_UNROUTED_SEND) {
        routed = job->hits;

        if (ngx_http_eventbridge_batch_unrouted(job, &routed) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    for (i = 0; i < job->batch.nevents; i++) {
        job->items[i].repeat = NGX_HTTP_EVENTBRIDGE_NO_ITEM;
    }

    hits = job->hits.elts;

    for (i = 0; i < job->hits.nelts; i++) {
        item = &job->items[hits[i].event];

        if (item->nhits++ == 0) {
            item->hit = i;
        }

        ngx_http_eventbridge_count_route(job, hits[i].route,
                                             NGX_EB_STATS_R_MATCHED);
    }

    return NGX_OK;
}


/* events that no route took get a hit of their own, in their place */

static ngx_int_t
ngx_http_eventbridge_batch_unrouted(ngx_http_eventbridge_job_t *job,
    ngx_array_t *routed)
{
    ngx_uint_t           i, n;
    ngx_eb_route_hit_t  *from, *to;

    if (ngx_array_init(&job->hits, job->pool,
                       routed->nelts + job->batch.nevents,
                       sizeof(ngx_eb_route_hit_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    from = routed->elts;
    to = job->hits.elts;
    n = 0;

    for (i = 0; i < job->batch.nevents; i++) {

        if (job->batch.events[i].invalid) {
            continue;
        }

        if (n == routed->nelts || from[n].event != i) {
            to->event = i;
            to->destination = job->ingest->unrouted;
            to->route = job->ingest->router.routes.nelts;
            to++;
            continue;
        }

        while (n < routed->nelts && from[n].event == i) {
            *to++ = from[n++];
        }
    }

    job->hits.nelts = to - (ngx_eb_route_hit_t *) job->hits.elts;

    return NGX_OK;
}


/* the keys of routed events, and which of them repeat an earlier one */

ngx_int_t
ngx_http_eventbridge_batch_keys(ngx_http_eventbridge_job_t *job)
{
    uint32_t                     *table, *slot;
    ngx_uint_t                    i, j, size;
    ngx_eb_route_hit_t           *hits;
    ngx_eb_store_key_t           *key;
    ngx_http_eventbridge_item_t  *item;

    job->store = ngx_eb_checkpoint_store(job->conf->zone->checkpoint);

    job->keys = ngx_pcalloc(job->pool, job->batch.nevents
                                       * sizeof(ngx_eb_store_key_t));
    if (job->keys == NULL) {
        return NGX_ERROR;
    }

    for (size = 16; size < job->batch.nevents * 2; size *= 2) { /* void */ }

    table = ngx_palloc(job->pool, size * sizeof(uint32_t));
    if (table == NULL) {
        return NGX_ERROR;
    }

    ngx_memset(table, 0xff, size * sizeof(uint32_t));

    hits = job->hits.elts;

    for (i = 0; i < job->batch.nevents; i++) {
        item = &job->items[i];
        key = &job->keys[i];

        if (item->nhits == 0) {
            continue;
        }

        if (ngx_http_eventbridge_batch_key(job, i) != NGX_OK) {
            return NGX_ERROR;
        }

        if (key->status != NGX_EB_KEY_NEW) {
            continue;
        }

        for (j = item->hit; j < item->hit + (ngx_uint_t) item->nhits; j++) {
            if (job->ingest->destinations[hits[j].destination].bit >= 0) {
                key->want |= (uint64_t) 1
                       << job->ingest->destinations[hits[j].destination].bit;
            }
        }

        for (j = key->lo & (size - 1); /* void */; j = (j + 1) & (size - 1)) {
            slot = &table[j];

            if (*slot == NGX_HTTP_EVENTBRIDGE_NO_ITEM) {
                *slot = i;
                break;
            }

            if (job->keys[*slot].lo == key->lo
                && job->keys[*slot].hi == key->hi)
            {
                /* rule 3: it shares the first copy's outcome */
                key->status = NGX_EB_KEY_SKIP;
                item->state = NGX_HTTP_EVENTBRIDGE_REPEAT;
                item->repeat = job->items[*slot].repeat;
                job->items[*slot].repeat = i;
                break;
            }
        }
    }

    return NGX_OK;
}


/* length-prefixed, so that no two identities run together */

static ngx_int_t
ngx_http_eventbridge_batch_key(ngx_http_eventbridge_job_t *job, ngx_uint_t i)
{
    u_char               buf[1024], *start, *p;
    size_t               len;
    uint32_t             n;
    ngx_str_t           *parts[4], *id, none;
    ngx_uint_t           k;
    ngx_eb_event_t      *event;
    ngx_eb_store_key_t  *key;

    event = &job->batch.events[i];
    key = &job->keys[i];

    ngx_str_null(&none);

    parts[0] = &job->scope;
    parts[3] = &event->replay_name;

    id = ngx_http_eventbridge_key_id(job, i);

    if (id->len) {
        parts[1] = (job->conf->key == NGX_HTTP_EVENTBRIDGE_KEY_SOURCE_ID)
                       ? &event->source : &none;
        parts[2] = id;

    } else {
        job->items[i].no_id = 1;

        job->counts[NGX_EB_STATS_L_NO_ID]++;

        if (job->conf->no_id == NGX_HTTP_EVENTBRIDGE_NO_ID_PASS) {
            return NGX_OK;
        }

        parts[1] = &event->raw;
        parts[2] = &none;
        parts[3] = &none;
    }

    len = 0;

    for (k = 0; k < 4; k++) {
        len += sizeof(uint32_t) + parts[k]->len;
    }

    start = buf;

    if (len > sizeof(buf)) {
        start = ngx_pnalloc(job->pool, len);
        if (start == NULL) {
            return NGX_ERROR;
        }
    }

    p = start;

    for (k = 0; k < 4; k++) {
        n = (uint32_t) parts[k]->len;
        p = ngx_cpymem(p, &n, sizeof(uint32_t));

        if (n) {
            p = ngx_cpymem(p, parts[k]->data, n);
        }
    }

    job->store->hash(job->store, start, len, key);

    key->status = NGX_EB_KEY_NEW;

    if (start != buf) {
        ngx_pfree(job->pool, start);
    }

    return NGX_OK;
}
