
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * One delivery: a subrequest to a destination, and what its answer says.
 */


#include "ngx_http_eventbridge_module.h"
#include "ngx_http_eventbridge_lifecycle.h"
#include <openssl/evp.h>


/* a subrequest's memory is freed with its carrier only */
#define NGX_HTTP_EVENTBRIDGE_CARRIER_SENDS  256

/* a longer answer is not worth a kept connection */
#define NGX_HTTP_EVENTBRIDGE_MAX_ANSWER     (1024 * 1024)


static ngx_http_eventbridge_carrier_t *ngx_http_eventbridge_send_carrier(
    ngx_http_eventbridge_job_t *job);
static void ngx_http_eventbridge_send_cut(
    ngx_http_eventbridge_carrier_t *carrier);
static ngx_int_t ngx_http_eventbridge_send_headers(
    ngx_http_eventbridge_send_t *send, ngx_http_request_t *sr, off_t len);
static ngx_int_t ngx_http_eventbridge_send_key(
    ngx_http_eventbridge_send_t *send, ngx_http_request_t *sr);
static void ngx_http_eventbridge_send_header(ngx_http_eventbridge_sub_t *sub,
    ngx_http_request_t *r, ngx_uint_t inside);
static void ngx_http_eventbridge_send_answer(ngx_http_eventbridge_sub_t *sub,
    ngx_http_request_t *r, ngx_chain_t *in);
static void ngx_http_eventbridge_send_end(ngx_http_eventbridge_sub_t *sub,
    ngx_http_request_t *r, ngx_int_t rc);


static ngx_str_t  ngx_http_eventbridge_json = ngx_string("application/json");


ngx_int_t
ngx_http_eventbridge_send(ngx_http_eventbridge_send_t *send)
{
    off_t                            len;
    ngx_int_t                        rc;
    ngx_uint_t                       failed;
    ngx_http_request_t              *sr;
    ngx_http_eventbridge_job_t      *job;
    ngx_http_eventbridge_carrier_t  *carrier;

    job = send->job;
    carrier = job->carrier;

    send->started = 1;
    send->start = ngx_current_msec;

    if (send->destination->lifecycle) {
        return ngx_http_eventbridge_lifecycle_send(send);
    }

    if (carrier == NULL
        || carrier->started == NGX_HTTP_EVENTBRIDGE_CARRIER_SENDS)
    {
        carrier = ngx_http_eventbridge_send_carrier(job);
        job->carrier = carrier;

        if (carrier == NULL) {
            return NGX_ERROR;
        }
    }

    send->sub.clcf = send->destination->clcf;
    send->sub.header = ngx_http_eventbridge_send_header;
    send->sub.body = ngx_http_eventbridge_send_answer;
    send->sub.end = ngx_http_eventbridge_send_end;

    rc = ngx_http_eventbridge_subrequest(carrier, &send->sub,
                                         &send->destination->path, &sr);
    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    job->running++;

    failed = (rc != NGX_OK
              || ngx_http_eventbridge_send_body(send, sr, &len) != NGX_OK
              || ngx_http_eventbridge_send_headers(send, sr, len) != NGX_OK);

    ngx_http_eventbridge_sub_run(sr, failed);

    return NGX_OK;
}


static ngx_http_eventbridge_carrier_t *
ngx_http_eventbridge_send_carrier(ngx_http_eventbridge_job_t *job)
{
    ngx_http_eventbridge_carrier_t  *carrier, **slot;

    slot = ngx_array_push(&job->carriers);
    if (slot == NULL) {
        return NULL;
    }

    carrier = ngx_http_eventbridge_carrier_create(job->pool, job->log,
                                                  job->ingest->ctx,
                                                  &job->facts,
                                                  &job->ingest->name);
    if (carrier == NULL) {
        job->carriers.nelts--;
        return NULL;
    }

    carrier->log.action = "delivering events";
    carrier->cut = ngx_http_eventbridge_send_cut;
    carrier->data = job;

    *slot = carrier;

    return carrier;
}


void
ngx_http_eventbridge_send_release(ngx_http_eventbridge_job_t *job,
    ngx_uint_t carrier)
{
    ngx_http_eventbridge_carrier_t  **carriers;

    carriers = job->carriers.elts;

    if (job->carrier == carriers[carrier]) {
        job->carrier = NULL;
    }

    ngx_http_eventbridge_carrier_free(carriers[carrier]);

    carriers[carrier] = carriers[--job->carriers.nelts];
}


static void
ngx_http_eventbridge_send_cut(ngx_http_eventbridge_carrier_t *carrier)
{
    ngx_uint_t                     i;
    ngx_http_eventbridge_job_t    *job;
    ngx_http_eventbridge_send_t  **sends;

    job = carrier->data;
    job->cut = 1;

    sends = job->sends.elts;

    for (i = 0; i < job->sends.nelts; i++) {
        if (sends[i]->sub.carrier == carrier && !sends[i]->done) {
            sends[i]->settled = 1;
            sends[i]->done = 1;
            sends[i]->local = 1;
            job->running--;
        }
    }

    ngx_post_event(&job->wake, &ngx_posted_events);
}


static ngx_int_t
ngx_http_eventbridge_send_headers(ngx_http_eventbridge_send_t *send,
    ngx_http_request_t *sr, off_t len)
{
    ngx_str_t                    value, empty, *type;
    ngx_table_elt_t             *h;
    ngx_http_eventbridge_job_t  *job;

    job = send->job;

    type = (job->form >= NGX_HTTP_EVENTBRIDGE_FORWARD_CE_BATCH)
               ? ngx_http_eventbridge_cloudevent_type(job->form)
               : &ngx_http_eventbridge_json;

    if (type) {
        h = ngx_http_eventbridge_header(sr, "Content-Type", type);
        if (h == NULL) {
            return NGX_ERROR;
        }

        sr->headers_in.content_type = h;
    }

    if (ngx_http_eventbridge_sub_length(sr, len) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_eventbridge_header(sr, "X-Request-Id", &job->facts.request_id)
        == NULL)
    {
        return NGX_ERROR;
    }

    if (ngx_http_eventbridge_send_routes(send, sr->pool, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_eventbridge_header(sr, "X-EventBridge-Route", &value)
        == NULL)
    {
        return NGX_ERROR;
    }

    value.data = ngx_pnalloc(sr->pool, NGX_INT_T_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_sprintf(value.data, "%ui", send->nevents) - value.data;

    h = ngx_http_eventbridge_header(sr, "X-EventBridge-Count", &value);
    if (h == NULL) {
        return NGX_ERROR;
    }

    if (job->headers && ngx_http_eventbridge_headers_pass(job, sr) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_str_null(&empty);
    sr->args = empty;

    if (ngx_http_eventbridge_form_single(job->form)) {
        return ngx_http_eventbridge_send_key(send, sr);
    }

    return NGX_OK;
}


/*
 * Idempotency-Key: the same for the same event whenever and by whomever it is
 * sent again.  The id itself may hold any byte, so it is hashed; SHA-256, for
 * nobody may craft an event that a destination takes for another.
 */

static ngx_int_t
ngx_http_eventbridge_send_key(ngx_http_eventbridge_send_t *send,
    ngx_http_request_t *sr)
{
    u_char                       digest[EVP_MAX_MD_SIZE];
    uint32_t                     len;
    ngx_str_t                    value, *parts[4], *id, none;
    ngx_int_t                    rc;
    ngx_uint_t                   i;
    EVP_MD_CTX                  *md;
    ngx_eb_event_t              *event;
    ngx_eb_route_hit_t          *hits;
    ngx_http_eventbridge_job_t  *job;

    job = send->job;
    hits = job->hits.elts;
    event = &job->batch.events[hits[send->hits[0]].event];

    ngx_str_null(&none);

    id = ngx_http_eventbridge_key_id(job, hits[send->hits[0]].event);

    parts[0] = &job->scope;
    parts[1] = (job->conf->key == NGX_HTTP_EVENTBRIDGE_KEY_SOURCE_ID)
                   ? &event->source : &none;
    parts[2] = id->len ? id : &event->raw;
    parts[3] = &event->replay_name;

    value.len = 32;
    value.data = ngx_pnalloc(sr->pool, value.len);
    md = EVP_MD_CTX_new();

    if (value.data == NULL || md == NULL) {
        EVP_MD_CTX_free(md);
        return NGX_ERROR;
    }

    rc = NGX_ERROR;

    if (EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1) {
        goto done;
    }

    for (i = 0; i < 4; i++) {
        len = (uint32_t) parts[i]->len;

        if (EVP_DigestUpdate(md, &len, sizeof(len)) != 1
            || EVP_DigestUpdate(md, parts[i]->data, len) != 1)
        {
            goto done;
        }
    }

    if (EVP_DigestFinal_ex(md, digest, NULL) != 1) {
        goto done;
    }

    ngx_hex_dump(value.data, digest, 16);

    rc = ngx_http_eventbridge_header(sr, "Idempotency-Key", &value) ? NGX_OK
                                                                 : NGX_ERROR;
done:

    EVP_MD_CTX_free(md);

    return rc;
}


ngx_int_t
ngx_http_eventbridge_send_routes(ngx_http_eventbridge_send_t *send,
    ngx_pool_t *pool, ngx_str_t *names)
{
    u_char                        *p;
    size_t                         len;
    ngx_uint_t                     i, j, n, last;
    ngx_uint_t                     seen[8];
    ngx_eb_route_hit_t            *hits;
    ngx_http_eventbridge_route_t  *routes;

    hits = send->job->hits.elts;
    routes = send->job->ingest->routes;

    /* most often it is one; beyond eight the rest is left out */

    n = 0;
    len = 0;
    last = (ngx_uint_t) -1;

    for (i = 0; i < send->nhits && n < 8; i++) {

        if (hits[send->hits[i]].route == last) {
            continue;
        }

        last = hits[send->hits[i]].route;

        for (j = 0; j < n && seen[j] != last; j++) { /* void */ }

        if (j == n) {
            seen[n++] = last;
            len += routes[last].name.len + 1;
        }
    }

    if (n == 1) {
        *names = routes[seen[0]].name;
        return NGX_OK;
    }

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    names->data = p;

    for (i = 0; i < n; i++) {
        if (i) {
            *p++ = ',';
        }

        p = ngx_cpymem(p, routes[seen[i]].name.data, routes[seen[i]].name.len);
    }

    names->len = p - names->data;

    return NGX_OK;
}


/*
 * The status line decides: a destination that says 200 vouches for all events
 * of the request, whatever becomes of the answer's body.
 */

static void
ngx_http_eventbridge_send_header(ngx_http_eventbridge_sub_t *sub,
    ngx_http_request_t *r, ngx_uint_t inside)
{
    ngx_http_eventbridge_send_t *send = (ngx_http_eventbridge_send_t *) sub;

    time_t      after;
    ngx_str_t  *value;

    if (send->settled) {
        return;
    }

    send->settled = 1;

    if (!inside) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "eventbridge: destination \"%V\" was redirected inside "
                      "nginx to \"%V\", which does not count as delivery",
                      &send->destination->uri, &r->uri);

    } else {
        send->status = ngx_http_eventbridge_sub_status(r);
        send->delivered = (send->status >= 200 && send->status <= 205);

        if (!send->delivered) {

            value = ngx_http_eventbridge_sub_header(r, "Retry-After");
            after = value ? ngx_eb_time_retry_after(value, ngx_time()) : 0;
            send->retry_after = (after > 0) ? (ngx_uint_t) after : 0;
        }
    }

    ngx_post_event(&send->job->wake, &ngx_posted_events);
}


/* the answer's body is read, so that the connection can be kept, and dropped */

static void
ngx_http_eventbridge_send_answer(ngx_http_eventbridge_sub_t *sub,
    ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_eventbridge_send_t *send = (ngx_http_eventbridge_send_t *) sub;

    for ( /* void */ ; in; in = in->next) {
        send->received += ngx_buf_size(in->buf);
    }

    if (send->received > NGX_HTTP_EVENTBRIDGE_MAX_ANSWER && r->upstream) {
        /* as if it ended here; the connection cannot be used again */
        r->upstream->length = 0;
        r->upstream->keepalive = 0;
    }
}


static void
ngx_http_eventbridge_send_end(ngx_http_eventbridge_sub_t *sub,
    ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_http_eventbridge_send_t *send = (ngx_http_eventbridge_send_t *) sub;

    ngx_log_debug4(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "eventbridge send to \"%V\" done: %i, status %ui, body %O",
                   &send->destination->uri, rc, send->status, send->received);

    if (send->done) {
        return;
    }

    if (!send->settled) {
        send->settled = 1;

        if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
            send->status = (r->upstream && r->upstream->headers_in.status_n)
                               ? r->upstream->headers_in.status_n : 0;

            send->stale = (send->status == 0 && rc == NGX_HTTP_BAD_GATEWAY
                           && r->upstream && r->upstream->request_sent
                           && r->upstream->peer.cached);
        }
    }

    send->done = 1;
    sub->carrier->running--;
    send->job->running--;

    ngx_post_event(&send->job->wake, &ngx_posted_events);
}


ngx_http_eventbridge_send_t *
ngx_http_eventbridge_request_send(ngx_http_request_t *r)
{
    ngx_http_eventbridge_sub_t  *sub;

    sub = ngx_http_eventbridge_request_sub(r);

    return (sub && sub->end == ngx_http_eventbridge_send_end)
           ? (ngx_http_eventbridge_send_t *) sub : NULL;
}
