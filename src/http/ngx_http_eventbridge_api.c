
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * An operation at the API of Genesys Cloud.  The requests of one that a client
 * waits for go as subrequests of a carrier, so that nginx's upstreams, TLS and
 * connections serve them, and so that the operation ends as it should when the
 * client has left.  Those of a job that nobody waits for go by the background
 * client.
 */


#include "ngx_http_eventbridge_genesys.h"
#include "ngx_eb_client.h"


/* bound of the first wait before a request is sent again, ms */
#define NGX_HTTP_EVENTBRIDGE_API_BASE  250


/* who sends one request */

typedef struct {
    ngx_http_eventbridge_sub_t        sub;      /* the first, see there */
    ngx_http_eventbridge_api_t       *api;
    ngx_http_eventbridge_carrier_t   *carrier;
    ngx_eb_client_transfer_t         *transfer; /* of a job, while it runs */
    ngx_eb_genesys_reply_t            reply;
    size_t                            room;     /* of reply.body */
    unsigned                          headed:1;
    unsigned                          large:1;
    unsigned                          whole:1;  /* the body has ended */
    unsigned                          done:1;
    unsigned                          seen:1;
} ngx_http_eventbridge_call_t;


struct ngx_http_eventbridge_api_s {
    /* debug builds take a timer's data for a connection and log its fd */
    void                             *unused[3];
    ngx_socket_t                      fd;

    ngx_pool_t                       *pool;
    ngx_log_t                        *log;
    ngx_eb_stats_t                   *stats;
    ngx_http_eventbridge_org_t       *org;
    ngx_http_eventbridge_control_t   *control;  /* NULL: of a job */
    ngx_http_eventbridge_facts_t      facts;

    ngx_eb_genesys_op_t               op;
    ngx_eb_genesys_request_t          request;
    ngx_eb_genesys_retry_policy_t     policy;
    ngx_eb_genesys_retry_t            retry;
    ngx_http_eventbridge_bearer_t     bearer;
    ngx_str_t                         authorization;
    ngx_http_eventbridge_call_t      *call;     /* that runs, or has ended */
    ngx_http_eventbridge_carrier_t   *keeper;   /* hears of the worker's end
                                                   while no call does */

    ngx_event_t                       wake;     /* posted: look at it */
    ngx_event_t                       timer;    /* a delay, or a deadline */
    ngx_msec_t                        start;
    ngx_msec_t                        sent;

    void                            (*done)(ngx_http_eventbridge_api_t *api,
        void *data, ngx_int_t rc);
    void                             *data;

    unsigned                          cut:1;    /* by the worker's end */
};


static void ngx_http_eventbridge_api_step(ngx_http_eventbridge_api_t *api,
    ngx_eb_genesys_reply_t *reply);
static void ngx_http_eventbridge_api_send(ngx_http_eventbridge_api_t *api);
static void ngx_http_eventbridge_api_wait(ngx_http_eventbridge_api_t *api,
    ngx_msec_t msec);
static ngx_msec_t ngx_http_eventbridge_api_left(
    ngx_http_eventbridge_api_t *api);
static void ngx_http_eventbridge_api_call(ngx_http_eventbridge_api_t *api);
static void ngx_http_eventbridge_api_no_answer(
    ngx_http_eventbridge_api_t *api, const char *why, ngx_str_t *more,
    ngx_uint_t timed_out);
static ngx_int_t ngx_http_eventbridge_call_start(
    ngx_http_eventbridge_call_t *call);
static void ngx_http_eventbridge_call_free(
    ngx_http_eventbridge_call_t *call);
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
static void ngx_http_eventbridge_api_cut(
    ngx_http_eventbridge_carrier_t *carrier);
static void ngx_http_eventbridge_api_wake(ngx_event_t *ev);
static void ngx_http_eventbridge_api_timer(ngx_event_t *ev);
static void ngx_http_eventbridge_api_ended(ngx_http_eventbridge_api_t *api);
static void ngx_http_eventbridge_api_token(void *data);
static ngx_eb_stats_cell_t *ngx_http_eventbridge_api_count(
    ngx_http_eventbridge_api_t *api, ngx_uint_t status);
static void ngx_http_eventbridge_api_finish(ngx_http_eventbridge_api_t *api,
    ngx_int_t rc);


static ngx_str_t  ngx_http_eventbridge_api_json =
    ngx_string("application/json");


ngx_http_eventbridge_api_t *
ngx_http_eventbridge_api_create(ngx_http_eventbridge_control_t *control,
    ngx_http_request_t *r)
{
    ngx_http_eventbridge_api_t        *api;
    ngx_http_eventbridge_main_conf_t  *emcf;

    emcf = ngx_http_get_module_main_conf(r, ngx_http_eventbridge_module);

    api = ngx_http_eventbridge_api_job(control->org, emcf);

    if (api == NULL) {
        return NULL;
    }

    api->control = control;
    api->timer.cancelable = 0;

    if (ngx_http_eventbridge_facts(&api->facts, api->pool, emcf, r)
        != NGX_OK)
    {
        ngx_http_eventbridge_api_destroy(api);
        return NULL;
    }

    return api;
}


ngx_http_eventbridge_api_t *
ngx_http_eventbridge_api_job(ngx_http_eventbridge_org_t *org,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_log_t                   *log;
    ngx_pool_t                  *pool;
    ngx_http_eventbridge_api_t  *api;

    log = ngx_cycle->log;

    pool = ngx_create_pool(4096, log);
    if (pool == NULL) {
        return NULL;
    }

    api = ngx_pcalloc(pool, sizeof(ngx_http_eventbridge_api_t));
    if (api == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    api->pool = pool;
    api->log = log;
    api->org = org;
    api->stats = emcf->stats;
    api->fd = (ngx_socket_t) -1;
    api->start = ngx_current_msec;

    api->op.pool = pool;
    api->op.log = log;

    api->wake.handler = ngx_http_eventbridge_api_wake;
    api->wake.data = api;
    api->wake.log = log;

    api->timer.handler = ngx_http_eventbridge_api_timer;
    api->timer.data = api;
    api->timer.log = log;
    api->timer.cancelable = 1;

    api->bearer.handler = ngx_http_eventbridge_api_token;
    api->bearer.data = api;

    /* "Bearer ", and then what token_get() has copied */

    api->authorization.data = ngx_pnalloc(pool, sizeof("Bearer ") - 1
                                                + NGX_HTTP_EVENTBRIDGE_TOKEN);
    if (api->authorization.data == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    api->bearer.token.data = ngx_cpymem(api->authorization.data, "Bearer ",
                                        sizeof("Bearer ") - 1);
    return api;
}


ngx_eb_genesys_op_t *
ngx_http_eventbridge_api_op(ngx_http_eventbridge_api_t *api)
{
    return &api->op;
}


ngx_http_eventbridge_facts_t *
ngx_http_eventbridge_api_facts(ngx_http_eventbridge_api_t *api)
{
    return &api->facts;
}


ngx_msec_t
ngx_http_eventbridge_api_elapsed(ngx_http_eventbridge_api_t *api)
{
    return ngx_current_msec - api->start;
}


void
ngx_http_eventbridge_api_run(ngx_http_eventbridge_api_t *api,
    void (*done)(ngx_http_eventbridge_api_t *api, void *data, ngx_int_t rc),
    void *data)
{
    api->done = done;
    api->data = data;

    /* from the event loop, as everything that follows */

    ngx_post_event(&api->wake, &ngx_posted_events);
}


void
ngx_http_eventbridge_api_destroy(ngx_http_eventbridge_api_t *api)
{
    ngx_http_eventbridge_token_leave(&api->bearer);

    if (api->call) {
        ngx_http_eventbridge_call_free(api->call);
    }

    if (api->keeper) {
        ngx_http_eventbridge_carrier_free(api->keeper);
    }

    if (api->timer.timer_set) {
        ngx_del_timer(&api->timer);
    }

    if (api->wake.posted) {
        ngx_delete_posted_event(&api->wake);
    }

    ngx_explicit_memzero(api->authorization.data,
                         sizeof("Bearer ") - 1 + NGX_HTTP_EVENTBRIDGE_TOKEN);

    ngx_destroy_pool(api->pool);
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


/* what the operation wants next */

static void
ngx_http_eventbridge_api_step(ngx_http_eventbridge_api_t *api,
    ngx_eb_genesys_reply_t *reply)
{
    ngx_int_t                    rc;
    ngx_http_eventbridge_org_t  *org;

    org = api->org;

    ngx_memzero(&api->request, sizeof(ngx_eb_genesys_request_t));

    rc = api->op.step(&api->op, reply, &api->request);

    if (rc != NGX_AGAIN) {
        ngx_http_eventbridge_api_finish(api, (rc == NGX_DONE) ? NGX_OK : rc);
        return;
    }

    /* each request has its tries, and all of them share the time */

    api->policy.tries = org->retries + 1;
    api->policy.base = NGX_HTTP_EVENTBRIDGE_API_BASE;
    api->policy.cap = org->retry_cap;
    api->policy.deadline = org->timeout;

    ngx_memzero(&api->retry, sizeof(ngx_eb_genesys_retry_t));
    api->retry.started = api->start;

    if (api->request.delay && !api->cut) {
        ngx_http_eventbridge_api_wait(api, api->request.delay);
        return;
    }

    ngx_http_eventbridge_api_send(api);
}


/* a request goes out as soon as there is a token for it */

static void
ngx_http_eventbridge_api_send(ngx_http_eventbridge_api_t *api)
{
    if (api->cut) {
        ngx_http_eventbridge_api_no_answer(api, "the server is shutting down",
                                           NULL, 0);
        return;
    }

    switch (ngx_http_eventbridge_token_get(api->org, &api->bearer)) {

    case NGX_OK:
        ngx_http_eventbridge_api_call(api);
        return;

    case NGX_DECLINED:
        ngx_http_eventbridge_api_no_answer(api, "there is no token: ",
                                           &api->bearer.why, 0);
        return;
    }

    ngx_http_eventbridge_api_wait(api, ngx_http_eventbridge_api_left(api));
}


/* worker_shutdown_timeout knows connections only, and ends this by one */

static void
ngx_http_eventbridge_api_wait(ngx_http_eventbridge_api_t *api,
    ngx_msec_t msec)
{
    ngx_http_eventbridge_carrier_t  *keeper;

    ngx_add_timer(&api->timer, msec);

    if (api->keeper || api->control == NULL) {
        return;
    }

    keeper = ngx_http_eventbridge_carrier_create(api->pool, api->log,
                                                 api->control->cscf->ctx,
                                                 &api->facts,
                                                 &api->control->name);

    /* without one it takes as long as it takes */

    if (keeper) {
        keeper->cut = ngx_http_eventbridge_api_cut;
        keeper->data = api;
        api->keeper = keeper;
    }
}


/* of the time that the operation may take */

static ngx_msec_t
ngx_http_eventbridge_api_left(ngx_http_eventbridge_api_t *api)
{
    ngx_msec_t  elapsed;

    elapsed = ngx_current_msec - api->start;

    return (elapsed < api->org->timeout)
           ? api->org->timeout - elapsed : 1;
}


static void
ngx_http_eventbridge_api_token(void *data)
{
    ngx_http_eventbridge_api_t *api = data;

    if (api->timer.timer_set) {
        ngx_del_timer(&api->timer);
    }

    if (api->bearer.rc == NGX_OK) {
        ngx_http_eventbridge_api_call(api);

    } else {
        ngx_http_eventbridge_api_no_answer(api, "there is no token: ",
                                           &api->bearer.why, 0);
    }
}


static void
ngx_http_eventbridge_api_call(ngx_http_eventbridge_api_t *api)
{
    ngx_http_eventbridge_call_t  *call;

    call = ngx_pcalloc(api->pool, sizeof(ngx_http_eventbridge_call_t));
    if (call == NULL) {
        ngx_http_eventbridge_api_finish(api, NGX_ERROR);
        return;
    }

    call->api = api;
    api->call = call;
    api->sent = ngx_current_msec;
    api->authorization.len = sizeof("Bearer ") - 1 + api->bearer.token.len;

    if (ngx_http_eventbridge_call_start(call) != NGX_OK) {
        call->done = 1;
        call->reply.unsent = 1;
        ngx_str_set(&call->reply.error,
                    "no memory or no connection is left in this worker");
        ngx_post_event(&api->wake, &ngx_posted_events);
        return;
    }

    ngx_add_timer(&api->timer, ngx_http_eventbridge_api_left(api));
}


/* the operation is told that there is no answer, and will not be one */

static void
ngx_http_eventbridge_api_no_answer(ngx_http_eventbridge_api_t *api,
    const char *why, ngx_str_t *more, ngx_uint_t timed_out)
{
    u_char                  *p;
    size_t                   len;
    ngx_eb_genesys_reply_t   reply;

    ngx_memzero(&reply, sizeof(ngx_eb_genesys_reply_t));

    len = ngx_strlen(why);

    p = ngx_pnalloc(api->pool, len + (more ? more->len : 0));
    if (p == NULL) {
        ngx_http_eventbridge_api_finish(api, NGX_ERROR);
        return;
    }

    reply.error.data = p;
    p = ngx_cpymem(p, why, len);

    if (more) {
        p = ngx_cpymem(p, more->data, more->len);
    }

    reply.error.len = p - reply.error.data;
    reply.unsent = 1;
    reply.timed_out = timed_out;

    ngx_http_eventbridge_api_step(api, &reply);
}


static ngx_int_t
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


static void
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
        ngx_str_set(&reply->error, "the request was redirected inside nginx");
        return;
    }

    if (r->upstream == NULL) {
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


/* the same, while nothing but time or a token is waited for */

static void
ngx_http_eventbridge_api_cut(ngx_http_eventbridge_carrier_t *carrier)
{
    ngx_http_eventbridge_api_t  *api;

    api = carrier->data;
    api->cut = 1;

    ngx_post_event(&api->wake, &ngx_posted_events);
}


static void
ngx_http_eventbridge_api_wake(ngx_event_t *ev)
{
    ngx_http_eventbridge_api_t *api = ev->data;

    if (api->cut && api->timer.timer_set
        && (api->call == NULL || api->call->seen))
    {
        ngx_del_timer(&api->timer);
        ngx_http_eventbridge_token_leave(&api->bearer);
        ngx_http_eventbridge_api_no_answer(api, "the server is shutting down",
                                           NULL, 0);
        return;
    }

    if (api->call == NULL) {
        ngx_http_eventbridge_api_step(api, NULL);
        return;
    }

    if (api->call->done && !api->call->seen) {
        api->call->seen = 1;
        ngx_http_eventbridge_api_ended(api);
    }
}


/* a delay is over, or the time to wait for a token or an answer */

static void
ngx_http_eventbridge_api_timer(ngx_event_t *ev)
{
    ngx_http_eventbridge_api_t *api = ev->data;

    ngx_http_eventbridge_call_t  *call;

    if (api->bearer.waiting) {
        ngx_http_eventbridge_token_leave(&api->bearer);
        ngx_http_eventbridge_token_why(api->org, &api->bearer);

        if (api->bearer.why.len) {
            ngx_http_eventbridge_api_no_answer(api, "no token came in "
                                               "time: ",
                                               &api->bearer.why, 1);

        } else {
            ngx_http_eventbridge_api_no_answer(api, "no token came in "
                                               "time", NULL, 1);
        }

        return;
    }

    call = api->call;

    if (call && !call->seen) {

        if (!call->done) {
            call->done = 1;
            call->reply.status = 0;
            call->reply.timed_out = 1;
            ngx_str_set(&call->reply.error, "the operation took too long");
        }

        call->seen = 1;
        ngx_http_eventbridge_api_ended(api);
        return;
    }

    ngx_http_eventbridge_api_send(api);
}


/* an attempt has ended: again, or is that it? */

static void
ngx_http_eventbridge_api_ended(ngx_http_eventbridge_api_t *api)
{
    ngx_eb_stats_cell_t          *cells;
    ngx_eb_genesys_reply_t        reply;
    ngx_eb_genesys_moment_t       moment;
    ngx_eb_genesys_decision_t     decision;
    ngx_http_eventbridge_call_t  *call;

    call = api->call;

    if (api->timer.timer_set) {
        ngx_del_timer(&api->timer);
    }

    ngx_http_eventbridge_call_free(call);

    reply = call->reply;

    if (api->cut) {
        ngx_http_eventbridge_api_step(api, &reply);
        return;
    }

    cells = ngx_http_eventbridge_api_count(api, reply.status);

    moment.msec = ngx_current_msec;
    moment.sec = ngx_time();
    moment.random = (ngx_uint_t) ngx_random();

    ngx_eb_genesys_retry(&api->policy, &api->retry, &api->request, &reply,
                         &moment, &decision);

    switch (decision.what) {

    case NGX_EB_GENESYS_RETRY_REFRESH:
        ngx_http_eventbridge_token_refused(api->org,
                                           api->bearer.number);
        ngx_http_eventbridge_api_send(api);
        return;

    case NGX_EB_GENESYS_RETRY_AGAIN:
        ngx_eb_stats_add(cells, NGX_EB_STATS_C_RETRIES, 1);

        ngx_log_error(NGX_LOG_NOTICE, api->log, 0,
                      "eventbridge: %V %V of organisation \"%V\" is sent "
                      "again in %Mms, after status %ui %V",
                      &api->request.method, &api->request.uri,
                      &api->org->name, decision.wait,
                      reply.status,
                      &reply.error);

        ngx_http_eventbridge_api_wait(api, ngx_max(decision.wait, 1));
        return;

    default:
        reply.wait = decision.wait;
        ngx_http_eventbridge_api_step(api, &reply);
    }
}


/* calls are few: their series is looked up for each */

static ngx_eb_stats_cell_t *
ngx_http_eventbridge_api_count(ngx_http_eventbridge_api_t *api,
    ngx_uint_t status)
{
    u_char                buf[512];
    ngx_str_t             labels;
    ngx_uint_t            cell;
    ngx_eb_out_t          out;
    ngx_eb_stats_cell_t  *cells;

    ngx_eb_out_init(&out, buf, sizeof(buf));

    ngx_eb_out_lit(&out, "organisation=");
    ngx_eb_out_label(&out, &api->org->name, 64);
    ngx_eb_out_lit(&out, ",operation=");
    ngx_eb_out_label(&out, &api->request.operation, 64);

    labels.data = buf;
    labels.len = out.pos - buf;

    cells = ngx_eb_stats_series(api->stats, NGX_EB_STATS_CALL, &labels);

    cell = (status == 0) ? NGX_EB_STATS_C_NO_STATUS
         : (status == NGX_HTTP_TOO_MANY_REQUESTS) ? NGX_EB_STATS_C_429
         : (status / 100 == 2) ? NGX_EB_STATS_C_2XX
         : (status / 100 == 4) ? NGX_EB_STATS_C_4XX
         : NGX_EB_STATS_C_5XX;

    ngx_eb_stats_add(cells, cell, 1);
    ngx_eb_stats_observe_call(cells, ngx_current_msec - api->sent);

    return cells;
}


static void
ngx_http_eventbridge_api_finish(ngx_http_eventbridge_api_t *api, ngx_int_t rc)
{
    api->done(api, api->data, rc);

    ngx_http_eventbridge_api_destroy(api);
}
