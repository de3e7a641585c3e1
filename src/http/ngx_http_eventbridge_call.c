
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * One request to the API of Genesys Cloud: a subrequest of a carrier, or a
 * transfer of the background client.
 */


#include "ngx_http_eventbridge_api.h"


static ngx_int_t ngx_http_eventbridge_call_background(
    ngx_http_eventbridge_call_t *call);
static void ngx_http_eventbridge_call_reply(void *data,
    ngx_eb_client_reply_t *answer);
static ngx_int_t ngx_http_eventbridge_call_uri(
    ngx_http_eventbridge_call_t *call, ngx_str_t *uri, ngx_str_t *args);
static ngx_int_t ngx_http_eventbridge_call_request(
    ngx_http_eventbridge_call_t *call, ngx_http_request_t *sr,
    ngx_str_t *args);
static void ngx_http_eventbridge_call_header(ngx_http_eventbridge_sub_t *sub,
    ngx_http_request_t *r, ngx_uint_t inside);
static void ngx_http_eventbridge_call_copy(ngx_http_eventbridge_call_t *call,
    ngx_http_request_t *r, const char *name, ngx_str_t *value);
static void ngx_http_eventbridge_call_body(ngx_http_eventbridge_sub_t *sub,
    ngx_http_request_t *r, ngx_chain_t *in);
static void ngx_http_eventbridge_call_end(ngx_http_eventbridge_sub_t *sub,
    ngx_http_request_t *r, ngx_int_t rc);
static void ngx_http_eventbridge_call_cut(
    ngx_http_eventbridge_carrier_t *carrier);


static ngx_str_t  ngx_http_eventbridge_api_json =
    ngx_string("application/json");


ngx_int_t
ngx_http_eventbridge_call_start(ngx_http_eventbridge_call_t *call)
{
    ngx_int_t                        rc;
    ngx_str_t                        uri, args;
    ngx_uint_t                       failed;
    ngx_http_request_t              *sr;
    ngx_http_eventbridge_api_t      *api;
    ngx_http_eventbridge_carrier_t  *carrier;

    api = call->api;

    if (api->control == NULL) {
        return ngx_http_eventbridge_call_background(call);
    }

    if (ngx_http_eventbridge_call_uri(call, &uri, &args) != NGX_OK) {
        return NGX_ERROR;
    }

    carrier = ngx_http_eventbridge_carrier_create(api->pool, api->log,
                                                  api->control->cscf->ctx,
                                                  &api->facts,
                                                  &api->control->name);
    if (carrier == NULL) {
        return NGX_ERROR;
    }

    carrier->log.action = "calling the Genesys Cloud API";
    carrier->cut = ngx_http_eventbridge_call_cut;
    carrier->data = call;

    /* at this level nginx logs whole headers, the token among them */

    if (carrier->log.log_level > NGX_LOG_DEBUG) {
        carrier->log.log_level = NGX_LOG_INFO;
    }

    call->carrier = carrier;
    call->sub.clcf = api->control->pass;
    call->sub.header = ngx_http_eventbridge_call_header;
    call->sub.body = ngx_http_eventbridge_call_body;
    call->sub.end = ngx_http_eventbridge_call_end;

    rc = ngx_http_eventbridge_subrequest(carrier, &call->sub, &uri, &sr);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    failed = (rc != NGX_OK
              || ngx_http_eventbridge_call_request(call, sr, &args) != NGX_OK);

    ngx_http_eventbridge_sub_run(sr, failed);

    return NGX_OK;
}


void
ngx_http_eventbridge_call_free(ngx_http_eventbridge_call_t *call)
{
    if (call->carrier) {
        ngx_http_eventbridge_carrier_free(call->carrier);
        call->carrier = NULL;
    }

    if (call->transfer) {
        ngx_eb_client_cancel(call->transfer);
        call->transfer = NULL;
    }
}


/* a job's: the API itself, by the background client */

static ngx_int_t
ngx_http_eventbridge_call_background(ngx_http_eventbridge_call_t *call)
{
    ngx_str_t                   *line, lines[4], *authorization;
    ngx_http_eventbridge_api_t  *api;
    ngx_http_eventbridge_org_t  *org;
    ngx_eb_client_request_t      request;

    api = call->api;
    org = api->org;
    line = lines;

    ngx_memzero(&request, sizeof(ngx_eb_client_request_t));

    authorization = line++;

    authorization->len = sizeof("Authorization: ") - 1
                         + api->authorization.len;
    authorization->data = ngx_pnalloc(api->pool, authorization->len);

    request.url.len = org->api_url.len + api->request.uri.len;
    request.url.data = ngx_pnalloc(api->pool, request.url.len);

    if (authorization->data == NULL || request.url.data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(authorization->data, "Authorization: %V",
                       &api->authorization);
    (void) ngx_sprintf(request.url.data, "%V%V", &org->api_url,
                       &api->request.uri);

    ngx_str_set(line, "Accept: application/json");
    line++;

    if (api->request.body.len) {
        ngx_str_set(line, "Content-Type: application/json");
        line++;
    }

    if (api->request.if_match.len) {
        line->len = sizeof("If-Match: ") - 1 + api->request.if_match.len;
        line->data = ngx_pnalloc(api->pool, line->len);
        if (line->data == NULL) {
            return NGX_ERROR;
        }

        (void) ngx_sprintf(line->data, "If-Match: %V",
                           &api->request.if_match);
        line++;
    }

    request.method = api->request.method;
    request.headers = lines;
    request.nheaders = line - lines;
    request.body = api->request.body;
    request.trusted_certificate = org->trusted_certificate;
    request.connect_timeout = org->connect_timeout;
    request.timeout = ngx_http_eventbridge_api_left(api);
    request.max_body = NGX_EB_GENESYS_MAX_BODY;
    request.resolver = org->resolver;
    request.resolver_timeout = org->resolver_timeout;
    request.handler = ngx_http_eventbridge_call_reply;
    request.data = call;

    call->transfer = ngx_eb_client_send(&request);

    ngx_explicit_memzero(authorization->data, authorization->len);

    return call->transfer ? NGX_OK : NGX_ERROR;
}


static void
ngx_http_eventbridge_call_reply(void *data, ngx_eb_client_reply_t *answer)
{
    ngx_http_eventbridge_call_t *call = data;

    ngx_pool_t              *pool;
    ngx_eb_genesys_reply_t  *reply;

    pool = call->api->pool;
    reply = &call->reply;

    call->transfer = NULL;
    call->done = 1;

    reply->status = answer->status;
    reply->unsent = answer->unsent;
    reply->timed_out = answer->timed_out;

    if (ngx_http_eventbridge_copy(pool, &reply->error, &answer->error)
        != NGX_OK
        || ngx_http_eventbridge_copy(pool, &reply->body, &answer->body)
           != NGX_OK
        || ngx_http_eventbridge_copy(pool, &reply->retry_after,
                                     &answer->retry_after)
           != NGX_OK
        || ngx_http_eventbridge_copy(pool, &reply->correlation_id,
                                     &answer->correlation_id)
           != NGX_OK
        || ngx_http_eventbridge_copy(pool, &reply->etag, &answer->etag)
           != NGX_OK)
    {
        reply->status = 0;
        ngx_str_set(&reply->error, "out of memory");
    }

    ngx_post_event(&call->api->wake, &ngx_posted_events);
}


/* the location's URI and then the API's path, which needs no decoding */

static ngx_int_t
ngx_http_eventbridge_call_uri(ngx_http_eventbridge_call_t *call,
    ngx_str_t *uri, ngx_str_t *args)
{
    u_char                      *p, *q;
    ngx_str_t                   *prefix, path;
    ngx_http_eventbridge_api_t  *api;

    api = call->api;
    path = api->request.uri;
    prefix = &api->control->pass_uri;

    ngx_str_null(args);

    q = ngx_strlchr(path.data, path.data + path.len, '?');

    if (q) {
        args->data = q + 1;
        args->len = path.data + path.len - args->data;
        path.len = q - path.data;
    }

    p = ngx_pnalloc(api->pool, prefix->len + path.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    uri->data = p;
    p = ngx_cpymem(p, prefix->data, prefix->len);

    /* nginx will encode what is not to be in a path */

    q = path.data;
    ngx_unescape_uri(&p, &q, path.len, 0);

    uri->len = p - uri->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_call_request(ngx_http_eventbridge_call_t *call,
    ngx_http_request_t *sr, ngx_str_t *args)
{
    ngx_buf_t                   *b;
    ngx_str_t                   *value;
    ngx_uint_t                   i;
    ngx_http_request_body_t     *rb;
    ngx_eb_genesys_request_t    *request;

    static struct {
        ngx_str_t                name;
        ngx_uint_t               method;
    } methods[] = {
        { ngx_string("GET"), NGX_HTTP_GET },
        { ngx_string("POST"), NGX_HTTP_POST },
        { ngx_string("PUT"), NGX_HTTP_PUT },
        { ngx_string("PATCH"), NGX_HTTP_PATCH },
        { ngx_string("DELETE"), NGX_HTTP_DELETE }
    };

    request = &call->api->request;

    sr->args = *args;

    for (i = 0; /* void */; i++) {

        if (i == sizeof(methods) / sizeof(methods[0])) {
            return NGX_ERROR;
        }

        if (ngx_http_eventbridge_same(&request->method, &methods[i].name)) {
            sr->method = methods[i].method;
            sr->method_name = methods[i].name;
            break;
        }
    }

    if (ngx_http_eventbridge_header(sr, "Accept",
                                    &ngx_http_eventbridge_api_json)
        == NULL)
    {
        return NGX_ERROR;
    }

    value = &request->if_match;

    if (value->len
        && ngx_http_eventbridge_header(sr, "If-Match", value) == NULL)
    {
        return NGX_ERROR;
    }

    rb = ngx_pcalloc(sr->pool, sizeof(ngx_http_request_body_t));
    if (rb == NULL) {
        return NGX_ERROR;
    }

    sr->request_body = rb;

    if (request->body.len == 0) {
        return (sr->method == NGX_HTTP_GET) ? NGX_OK
                                  : ngx_http_eventbridge_sub_length(sr, 0);
    }

    sr->headers_in.content_type = ngx_http_eventbridge_header(sr,
                                                              "Content-Type",
                                               &ngx_http_eventbridge_api_json);
    rb->bufs = ngx_alloc_chain_link(sr->pool);
    b = ngx_calloc_buf(sr->pool);

    if (sr->headers_in.content_type == NULL || rb->bufs == NULL || b == NULL) {
        return NGX_ERROR;
    }

    b->pos = request->body.data;
    b->last = b->pos + request->body.len;
    b->start = b->pos;
    b->end = b->last;
    b->memory = 1;
    b->last_buf = 1;

    rb->bufs->buf = b;
    rb->bufs->next = NULL;
    rb->buf = b;

    return ngx_http_eventbridge_sub_length(sr, request->body.len);
}


static void
ngx_http_eventbridge_call_header(ngx_http_eventbridge_sub_t *sub,
    ngx_http_request_t *r, ngx_uint_t inside)
{
    ngx_http_eventbridge_call_t *call = (ngx_http_eventbridge_call_t *) sub;

    ngx_eb_genesys_reply_t  *reply;

    if (call->done || call->headed) {
        return;
    }

    call->headed = 1;
    reply = &call->reply;

    if (!inside) {
        call->local = 1;
        ngx_str_set(&reply->error, "the request was redirected inside nginx");
        return;
    }

    if (r->upstream == NULL) {
        call->local = 1;
        ngx_str_set(&reply->error,
                    "the location of \"eventbridge_genesys_pass\" did not "
                    "pass the request on");
        return;
    }

    reply->status = ngx_http_eventbridge_sub_status(r);

    ngx_http_eventbridge_call_copy(call, r, "Retry-After",
                                   &reply->retry_after);
    ngx_http_eventbridge_call_copy(call, r, "ETag", &reply->etag);
    ngx_http_eventbridge_call_copy(call, r, "ININ-Correlation-Id",
                                   &reply->correlation_id);
}


/* out of memory it is as if there were no such header */

static void
ngx_http_eventbridge_call_copy(ngx_http_eventbridge_call_t *call,
    ngx_http_request_t *r, const char *name, ngx_str_t *value)
{
    ngx_str_t  *header;

    header = ngx_http_eventbridge_sub_header(r, name);

    if (header
        && ngx_http_eventbridge_copy(call->api->pool, value, header)
           != NGX_OK)
    {
        ngx_str_null(value);
    }
}


static void
ngx_http_eventbridge_call_body(ngx_http_eventbridge_sub_t *sub,
    ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_eventbridge_call_t *call = (ngx_http_eventbridge_call_t *) sub;

    u_char     *p;
    size_t      size, room;
    ngx_str_t  *body;

    body = &call->reply.body;

    for ( /* void */ ; in; in = in->next) {

        if (in->buf->last_buf || in->buf->last_in_chain) {
            call->whole = 1;
        }

        if (!ngx_buf_in_memory(in->buf) || call->large || call->done) {
            continue;
        }

        size = in->buf->last - in->buf->pos;

        if (size > NGX_EB_GENESYS_MAX_BODY - body->len) {

            /* as if it ended here; the connection cannot be used again */

            call->large = 1;
            r->upstream->length = 0;
            r->upstream->keepalive = 0;
            continue;
        }

        if (body->len + size > call->room) {

            room = ngx_max(2 * call->room, body->len + size);
            room = ngx_max(room, 4096);

            p = ngx_palloc(call->api->pool, room);
            if (p == NULL) {
                call->large = 1;
                continue;
            }

            if (body->len) {
                ngx_memcpy(p, body->data, body->len);
            }

            /* large blocks go back, small ones with the pool */

            if (body->data) {
                (void) ngx_pfree(call->api->pool, body->data);
            }

            body->data = p;
            call->room = room;
        }

        if (size) {
            ngx_memcpy(body->data + body->len, in->buf->pos, size);
            body->len += size;
        }
    }
}


static void
ngx_http_eventbridge_call_end(ngx_http_eventbridge_sub_t *sub,
    ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_http_eventbridge_call_t *call = (ngx_http_eventbridge_call_t *) sub;

    ngx_eb_genesys_reply_t  *reply;

    if (call->done) {
        return;
    }

    call->done = 1;
    sub->carrier->running--;
    reply = &call->reply;

    /* an upstream that breaks off later ends well, but without an end */

    if (reply->status && (rc != NGX_OK || call->large || !call->whole)) {
        reply->status = 0;

        if (call->large) {
            call->local = 1;
            ngx_str_set(&reply->error, "the answer is too long");

        } else {
            ngx_str_set(&reply->error, "the answer was cut");
        }
    }

    if (reply->status == 0 && reply->error.len == 0) {

        reply->unsent = (r->upstream && !r->upstream->request_sent);

        if (rc == NGX_HTTP_GATEWAY_TIME_OUT) {
            reply->timed_out = 1;
            ngx_str_set(&reply->error, "no answer came in time");

        } else {
            ngx_str_set(&reply->error,
                        "the connection could not be made, or broke");
        }
    }

    ngx_post_event(&call->api->wake, &ngx_posted_events);
}


/* worker_shutdown_timeout has ended the subrequest */

static void
ngx_http_eventbridge_call_cut(ngx_http_eventbridge_carrier_t *carrier)
{
    ngx_http_eventbridge_call_t  *call;

    call = carrier->data;
    call->api->cut = 1;

    if (!call->done) {
        call->done = 1;
        call->reply.status = 0;
        ngx_str_set(&call->reply.error, "the server is shutting down");
    }

    ngx_post_event(&call->api->wake, &ngx_posted_events);
}


ngx_str_t *
ngx_http_eventbridge_api_bearer(ngx_http_request_t *r)
{
    ngx_http_eventbridge_sub_t  *sub;

    sub = ngx_http_eventbridge_request_sub(r);

    if (sub == NULL || sub->end != ngx_http_eventbridge_call_end) {
        return NULL;
    }

    return &((ngx_http_eventbridge_call_t *) sub)->api->authorization;
}
