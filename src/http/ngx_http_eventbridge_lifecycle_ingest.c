
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * "lifecycle:NAME" as a destination: what is received goes to the file that
 * the tracker reads, and counts as delivered when it is on the disk.
 */


#include "ngx_http_eventbridge_lifecycle.h"


static ngx_int_t ngx_http_eventbridge_lifecycle_event(
    ngx_http_eventbridge_send_t *send, ngx_eb_event_t *event, int64_t now,
    ngx_array_t *events, const char **reason);
static void ngx_http_eventbridge_lifecycle_captured(void *data, ngx_int_t rc);


ngx_int_t
ngx_http_eventbridge_lifecycle_destination(ngx_conf_t *cf,
    ngx_http_eventbridge_ingest_t *ingest, const char *directive,
    ngx_str_t *uri, u_char *file, ngx_uint_t line)
{
    ngx_str_t                            name;
    ngx_http_eventbridge_main_conf_t    *emcf;
    ngx_http_eventbridge_destination_t  *d;

    emcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_eventbridge_module);

    name.data = uri->data + sizeof("lifecycle:") - 1;
    name.len = uri->len - (sizeof("lifecycle:") - 1);

    d = &ingest->destinations[ingest->ndestinations];

    d->uri = *uri;
    d->bit = -1;
    d->lifecycle = ngx_http_eventbridge_lifecycle_find(emcf, &name);

    if (d->lifecycle == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "unknown tracker in \"%V\" of \"%s\": add "
                      "\"eventbridge_lifecycle %V { ... }\" in %s:%ui",
                      uri, directive, &name, file, line);
        return NGX_ERROR;
    }

    return ingest->ndestinations++;
}


ngx_int_t
ngx_http_eventbridge_lifecycle_send(ngx_http_eventbridge_send_t *send)
{
    int64_t                            now;
    ngx_int_t                          rc;
    ngx_uint_t                         i;
    const char                        *reason;
    ngx_array_t                        events;
    ngx_eb_event_t                    *event;
    ngx_eb_route_hit_t                *hits;
    ngx_http_eventbridge_job_t        *job;
    ngx_http_eventbridge_lifecycle_t  *lifecycle;

    job = send->job;
    lifecycle = send->destination->lifecycle;
    hits = job->hits.elts;
    now = ngx_http_eventbridge_lifecycle_now();

    if (ngx_array_init(&events, job->pool, send->nhits + 1,
                       sizeof(ngx_eb_lifecycle_event_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < send->nhits; i++) {
        event = &job->batch.events[hits[send->hits[i]].event];
        reason = NULL;

        /* by its own route, and as the alternate of another: once */

        if (i && hits[send->hits[i]].event == hits[send->hits[i - 1]].event) {
            continue;
        }

        rc = ngx_http_eventbridge_lifecycle_event(send, event, now, &events,
                                                  &reason);
        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_DECLINED && reason) {

            /* as a destination that refuses it: alone it is a dead letter */

            if (send->nhits == 1) {
                ngx_eb_stats_add(lifecycle->cells, NGX_EB_STATS_T_INVALID, 1);

                ngx_log_error(NGX_LOG_ERR, job->log, 0,
                              "eventbridge: lifecycle \"%V\" cannot use an "
                              "event: %s, request id %V", &lifecycle->name,
                              reason, &job->facts.request_id);
            }

            send->status = 422;
            goto done;
        }

        if (rc == NGX_DECLINED) {
            ngx_eb_stats_add(lifecycle->cells, NGX_EB_STATS_T_IGNORED, 1);
        }
    }

    if (events.nelts == 0) {
        send->status = NGX_HTTP_OK;
        send->delivered = 1;
        goto done;
    }

    rc = ngx_eb_lifecycle_capture(lifecycle->log, &lifecycle->states,
                                  events.elts, events.nelts,
                                  ngx_http_eventbridge_lifecycle_captured,
                                  send, job->log);
    if (rc == NGX_AGAIN) {
        job->running++;
        return NGX_OK;
    }

    send->status = NGX_HTTP_SERVICE_UNAVAILABLE;

done:

    send->settled = 1;
    send->done = 1;

    ngx_post_event(&job->wake, &ngx_posted_events);

    return NGX_OK;
}


/* the batch's index is gone by now, so each event is looked at again */

static ngx_int_t
ngx_http_eventbridge_lifecycle_event(ngx_http_eventbridge_send_t *send,
    ngx_eb_event_t *event, int64_t now, ngx_array_t *events,
    const char **reason)
{
    ngx_int_t                          rc;
    ngx_uint_t                         i, n;
    ngx_eb_json_t                      json;
    ngx_eb_batch_t                     batch;
    ngx_eb_event_t                     received;
    ngx_eb_json_error_t                err;
    ngx_eb_lifecycle_event_t          *slot;
    ngx_eb_lifecycle_event_t           found[NGX_EB_LIFECYCLE_MAP_MAX];
    ngx_http_eventbridge_lifecycle_t  *lifecycle;

    lifecycle = send->destination->lifecycle;

    if (ngx_eb_json_parse(lifecycle->parser, event->raw.data, event->raw.len,
                          send->job->conf->max_depth, &json, &err)
        != NGX_OK)
    {
        *reason = "it is no JSON";
        return NGX_DECLINED;
    }

    received = *event;
    received.node = 0;

    if (event->kind == NGX_EB_EVENT_WRAPPED) {

        if (ngx_eb_batch_split(&json, send->job->pool, 1, &batch) != NGX_OK
            || batch.nevents != 1)
        {
            return NGX_DECLINED;
        }

        received.node = batch.events[0].node;
    }

    rc = ngx_eb_lifecycle_map(&lifecycle->states, &json, &received, now,
                              send->job->pool, found, &n, reason);
    if (rc != NGX_OK) {
        return rc;
    }

    for (i = 0; i < n; i++) {
        slot = ngx_array_push(events);
        if (slot == NULL) {
            return NGX_ERROR;
        }

        *slot = found[i];
    }

    return NGX_OK;
}


static void
ngx_http_eventbridge_lifecycle_captured(void *data, ngx_int_t rc)
{
    ngx_http_eventbridge_send_t *send = data;

    ngx_http_eventbridge_keeper_t  *keeper;

    if (rc == NGX_OK) {
        send->status = NGX_HTTP_OK;
        send->delivered = 1;

        /* if this is the worker that has the lease, it need not look for it */

        keeper = send->destination->lifecycle->keeper;
        ngx_http_eventbridge_lifecycle_wake(keeper);

    } else {
        send->status = NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    send->settled = 1;
    send->done = 1;
    send->job->running--;

    ngx_post_event(&send->job->wake, &ngx_posted_events);
}
