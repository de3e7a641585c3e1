
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What would become of events: each route with the first condition that
 * fails, destinations, key, and what the checkpoint knows.  Nothing is
 * delivered, claimed or counted.
 */


#include "ngx_http_eventbridge_destination.h"
#include "ngx_http_eventbridge_auth.h"
#include "ngx_http_eventbridge_condition.h"


/* events and routes that one request may keep the worker busy with */
#define NGX_HTTP_EVENTBRIDGE_EXPLAIN_EVENTS  1000
#define NGX_HTTP_EVENTBRIDGE_EXPLAIN_ROUTES  100000

/* a text of the sender, and one inside of a sentence */
#define NGX_HTTP_EVENTBRIDGE_EXPLAIN_TEXT    256
#define NGX_HTTP_EVENTBRIDGE_EXPLAIN_SHORT   128

/* what is written at once fits into a unit, each byte as six */
#define NGX_HTTP_EVENTBRIDGE_EXPLAIN_UNIT    16384
#define NGX_HTTP_EVENTBRIDGE_EXPLAIN_BLOCK   65536


typedef struct {
    ngx_http_request_t       *request;
    ngx_http_eventbridge_job_t  *job;
    ngx_http_eventbridge_ctx_t   ctx;       /* of the job */
    ngx_http_eventbridge_ingest_t  ingest;  /* counts for nobody */
    ngx_eb_json_t             json;
    ngx_uint_t                unknown;      /* the checkpoint cannot be asked */
    ngx_eb_out_t              out;
    ngx_buf_t                *block;
    ngx_chain_t              *chain;
    ngx_chain_t             **last;
    off_t                     size;
    ngx_eb_stats_cell_t       cells[NGX_EB_STATS_L_END];
    ngx_eb_stats_cell_t       route_cells[NGX_EB_STATS_R_END];
} ngx_http_eventbridge_explain_t;


static void ngx_http_eventbridge_explain_body(ngx_http_request_t *r);
static ngx_http_eventbridge_ingest_t *ngx_http_eventbridge_explain_location(
    ngx_http_request_t *r, ngx_int_t *rc);
static ngx_int_t ngx_http_eventbridge_explain_no_location(
    ngx_http_request_t *r, ngx_uint_t status, const char *error,
    const char *message);
static ngx_int_t ngx_http_eventbridge_explain_start(
    ngx_http_eventbridge_explain_t *e, ngx_http_eventbridge_ingest_t *ingest);
static ngx_int_t ngx_http_eventbridge_explain_batch(
    ngx_http_eventbridge_explain_t *e, ngx_http_eventbridge_error_t *err);
static ngx_int_t ngx_http_eventbridge_explain_write(
    ngx_http_eventbridge_explain_t *e);
static void ngx_http_eventbridge_explain_head(
    ngx_http_eventbridge_explain_t *e, ngx_uint_t n);
static ngx_int_t ngx_http_eventbridge_explain_event(
    ngx_http_eventbridge_explain_t *e, ngx_uint_t i);
static ngx_int_t ngx_http_eventbridge_explain_route(
    ngx_http_eventbridge_explain_t *e, ngx_uint_t n, ngx_eb_event_t *event);
static void ngx_http_eventbridge_explain_regex(
    ngx_http_eventbridge_explain_t *e, const char *name, ngx_str_t *subject,
    ngx_eb_regex_t *re, ngx_uint_t given_up);
static ngx_int_t ngx_http_eventbridge_explain_lifecycle(
    ngx_http_eventbridge_explain_t *e, ngx_eb_route_t *route,
    ngx_eb_event_t *event);
static ngx_int_t ngx_http_eventbridge_explain_metadata(
    ngx_http_eventbridge_explain_t *e, ngx_eb_route_verdict_t *verdict);
static ngx_int_t ngx_http_eventbridge_explain_pattern(
    ngx_http_eventbridge_explain_t *e, ngx_eb_route_verdict_t *verdict);
static ngx_int_t ngx_http_eventbridge_explain_destinations(
    ngx_http_eventbridge_explain_t *e, ngx_uint_t i);
static void ngx_http_eventbridge_explain_key(
    ngx_http_eventbridge_explain_t *e, ngx_uint_t i, ngx_uint_t first);
static ngx_uint_t ngx_http_eventbridge_explain_first(
    ngx_http_eventbridge_job_t *job, ngx_uint_t i);
static void ngx_http_eventbridge_explain_name(
    ngx_http_eventbridge_explain_t *e, const char *name, ngx_str_t *value);
static void ngx_http_eventbridge_explain_text(
    ngx_http_eventbridge_explain_t *e, const char *name, const char *value);
static ngx_int_t ngx_http_eventbridge_explain_room(
    ngx_http_eventbridge_explain_t *e);
static void ngx_http_eventbridge_explain_close(
    ngx_http_eventbridge_explain_t *e);
static ngx_int_t ngx_http_eventbridge_explain_send(
    ngx_http_eventbridge_explain_t *e);


static ngx_str_t  ngx_http_eventbridge_explain_type =
    ngx_string("application/json");


ngx_int_t
ngx_http_eventbridge_explain_handler(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "eventbridge explain handler");

    if (r != r->main) {
        return NGX_HTTP_NOT_FOUND;
    }

    rc = ngx_http_eventbridge_control_access(r);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_eventbridge_check(r);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    r->request_body_no_buffering = 0;

    rc = ngx_http_read_client_request_body(r,
                                           ngx_http_eventbridge_explain_body);

    return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
}


static void
ngx_http_eventbridge_explain_body(ngx_http_request_t *r)
{
    ngx_int_t                        rc;
    ngx_http_eventbridge_error_t     err;
    ngx_http_eventbridge_ingest_t   *ingest;
    ngx_http_eventbridge_explain_t  *e;

    ingest = ngx_http_eventbridge_explain_location(r, &rc);

    if (ingest == NULL) {
        ngx_http_finalize_request(r, rc);
        return;
    }

    ngx_memzero(&err, sizeof(ngx_http_eventbridge_error_t));

    e = ngx_pcalloc(r->pool, sizeof(ngx_http_eventbridge_explain_t));
    if (e == NULL) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    e->request = r;
    e->last = &e->chain;

    rc = ngx_http_eventbridge_explain_start(e, ingest);

    if (rc == NGX_OK) {
        rc = ngx_http_eventbridge_explain_batch(e, &err);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_eventbridge_explain_write(e);
    }

    if (e->job) {
        e->job->client = NULL;
        ngx_http_eventbridge_job_destroy(e->job);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_eventbridge_explain_send(e);

    } else if (rc == NGX_DECLINED && err.message) {
        rc = ngx_http_eventbridge_refuse_request(r, err.status, err.error,
                                                 err.message, err.offset);

    } else {
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_finalize_request(r, rc);
}


/* ?location=NAME, or the only one of the server; NULL: answered by *rc */

static ngx_http_eventbridge_ingest_t *
ngx_http_eventbridge_explain_location(ngx_http_request_t *r, ngx_int_t *rc)
{
    u_char                             *src, *dst;
    ngx_str_t                           value, name;
    ngx_uint_t                          i, n;
    ngx_http_core_srv_conf_t           *cscf;
    ngx_http_eventbridge_ingest_t     **ingests, *only;
    ngx_http_eventbridge_main_conf_t   *emcf;

    *rc = NGX_HTTP_INTERNAL_SERVER_ERROR;

    emcf = ngx_http_get_module_main_conf(r, ngx_http_eventbridge_module);
    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

    ngx_str_null(&name);

    if (ngx_http_arg(r, (u_char *) "location", sizeof("location") - 1, &value)
        == NGX_OK)
    {
        name.data = ngx_pnalloc(r->pool, value.len + 1);
        if (name.data == NULL) {
            return NULL;
        }

        src = value.data;
        dst = name.data;

        ngx_unescape_uri(&dst, &src, value.len, 0);

        name.len = dst - name.data;
    }

    ingests = emcf->ingests.elts;
    only = NULL;
    n = 0;

    for (i = 0; i < emcf->ingests.nelts; i++) {

        if (ingests[i]->ctx != cscf->ctx) {
            continue;
        }

        if (name.len == 0) {
            only = ingests[i];
            n++;
            continue;
        }

        if (ingests[i]->name.len == name.len
            && ngx_strncmp(ingests[i]->name.data, name.data, name.len) == 0)
        {
            return ingests[i];
        }
    }

    if (n == 1) {
        return only;
    }

    *rc = n ? ngx_http_eventbridge_explain_no_location(r,
                                       NGX_HTTP_BAD_REQUEST,
                                       "no_location",
                                       "there are several: add ?location=NAME")
            : ngx_http_eventbridge_explain_no_location(r, NGX_HTTP_NOT_FOUND,
                                       "unknown_location",
                                       "no such location receives events");
    return NULL;
}


static ngx_int_t
ngx_http_eventbridge_explain_no_location(ngx_http_request_t *r,
    ngx_uint_t status, const char *error, const char *message)
{
    ngx_str_t                           body;
    ngx_uint_t                          i, n;
    ngx_http_core_srv_conf_t           *cscf;
    ngx_http_eventbridge_ingest_t     **ingests;
    ngx_http_eventbridge_explain_t      e;
    ngx_http_eventbridge_main_conf_t   *emcf;

    emcf = ngx_http_get_module_main_conf(r, ngx_http_eventbridge_module);
    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

    body.data = ngx_pnalloc(r->pool, NGX_HTTP_EVENTBRIDGE_EXPLAIN_BLOCK);
    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_eb_out_init(&e.out, body.data, NGX_HTTP_EVENTBRIDGE_EXPLAIN_BLOCK - 3);

    ngx_http_eventbridge_explain_text(&e, "{\"error\":", error);
    ngx_http_eventbridge_explain_text(&e, ",\"message\":", message);
    ngx_eb_out_lit(&e.out, ",\"locations\":[");

    ingests = emcf->ingests.elts;
    n = 0;

    for (i = 0; i < emcf->ingests.nelts; i++) {

        if (ingests[i]->ctx != cscf->ctx) {
            continue;
        }

        /* as many as there is room for */

        if (e.out.end - e.out.pos < NGX_HTTP_EVENTBRIDGE_EXPLAIN_TEXT * 6 + 8)
        {
            break;
        }

        ngx_http_eventbridge_explain_name(&e, n++ ? "," : "",
                                          &ingests[i]->name);
    }

    e.out.end += 3;
    ngx_eb_out_lit(&e.out, "]}\n");

    body.len = e.out.pos - body.data;

    return ngx_http_eventbridge_respond(r, status,
                                        &ngx_http_eventbridge_explain_type,
                                        &body);
}


/*
 * A job that never starts.  Its location is a copy whose figures nobody reads,
 * and that has no rate, so that all that is asked here is the very code that
 * serves senders.
 */

static ngx_int_t
ngx_http_eventbridge_explain_start(ngx_http_eventbridge_explain_t *e,
    ngx_http_eventbridge_ingest_t *ingest)
{
    ngx_uint_t                         i, n;
    ngx_http_eventbridge_route_t      *routes;
    ngx_http_eventbridge_main_conf_t  *emcf;

    emcf = ngx_http_get_module_main_conf(e->request,
                                         ngx_http_eventbridge_module);

    n = ingest->router.routes.nelts + 1;

    routes = ngx_palloc(e->request->pool,
                        n * sizeof(ngx_http_eventbridge_route_t));
    if (routes == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        routes[i] = ingest->routes[i];
        routes[i].cells = e->route_cells;
    }

    e->ingest = *ingest;
    e->ingest.bucket = NULL;
    e->ingest.cells = e->cells;
    e->ingest.routes = routes;

    e->job = ngx_http_eventbridge_job_create(emcf, ingest->conf);
    if (e->job == NULL) {
        return NGX_ERROR;
    }

    e->ctx.request = e->request;

    e->job->ingest = &e->ingest;
    e->job->client = &e->ctx;

    return NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_explain_batch(ngx_http_eventbridge_explain_t *e,
    ngx_http_eventbridge_error_t *err)
{
    ngx_int_t                    rc;
    ngx_eb_json_error_t          jerr;
    ngx_http_eventbridge_job_t  *job;

    job = e->job;

    rc = ngx_http_eventbridge_body(e->request, job->pool, 0, &job->body);

    if (rc == NGX_OK && ngx_http_eventbridge_encoding(e->request) == 1) {
        rc = ngx_http_eventbridge_inflate(e->request, job->pool, &job->body,
                                          err);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_eventbridge_putevents_request(job, e->request, err);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_eventbridge_batch_parse(job, err);
    }

    if (rc != NGX_OK || job->batch.nevents == 0) {
        return rc;
    }

    if (job->conf->zone) {

        if (ngx_http_eventbridge_key_scope(job) != NGX_OK
            || ngx_http_eventbridge_batch_keys(job) != NGX_OK)
        {
            return NGX_ERROR;
        }

        e->unknown = (job->store->lookup(job->store, job->keys,
                                         job->batch.nevents)
                      != NGX_OK);
    }

    /* the same index once more: the nodes in events are numbers in it */

    return (ngx_eb_json_parse(job->emcf->worker->parser, job->body.data,
                              job->body.len, job->conf->max_depth, &e->json,
                              &jerr)
            == NGX_OK)
               ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_eventbridge_explain_write(ngx_http_eventbridge_explain_t *e)
{
    ngx_uint_t  i, n;

    n = ngx_min(e->job->batch.nevents, NGX_HTTP_EVENTBRIDGE_EXPLAIN_EVENTS);
    n = ngx_min(n, NGX_HTTP_EVENTBRIDGE_EXPLAIN_ROUTES
                   / (e->ingest.router.routes.nelts + 1) + 1);

    if (ngx_http_eventbridge_explain_room(e) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_eventbridge_explain_head(e, n);

    for (i = 0; i < n; i++) {

        if (ngx_http_eventbridge_explain_room(e) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_eb_out_raw(&e->out, ",", i ? 1 : 0);

        if (ngx_http_eventbridge_explain_event(e, i) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (ngx_http_eventbridge_explain_room(e) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_eb_out_lit(&e->out, "]}\n");

    ngx_http_eventbridge_explain_close(e);

    return NGX_OK;
}


static void
ngx_http_eventbridge_explain_head(ngx_http_eventbridge_explain_t *e,
    ngx_uint_t n)
{
    ngx_http_eventbridge_job_t  *job;

    static const char  *shapes[] = {
        "single", "array", "events",
        "cloudevents_structured", "cloudevents_batch", "cloudevents_binary"
    };
    static const char  *unrouted[] = { "drop", "reject" };

    job = e->job;

    ngx_http_eventbridge_explain_name(e, "{\"server\":", &e->ingest.server);
    ngx_http_eventbridge_explain_name(e, ",\"location\":", &e->ingest.name);
    ngx_http_eventbridge_explain_text(e, ",\"shape\":",
                                      shapes[job->batch.shape]);
    ngx_http_eventbridge_explain_text(e, ",\"policy\":",
                                      e->ingest.router.all ? "all" : "first");

    if (job->conf->unrouted == NGX_HTTP_EVENTBRIDGE_UNROUTED_SEND) {
        ngx_http_eventbridge_explain_name(e, ",\"unrouted\":",
                                          &job->conf->unrouted_uri);

    } else {
        ngx_http_eventbridge_explain_text(e, ",\"unrouted\":",
                                          unrouted[job->conf->unrouted]);
    }

    if (job->conf->zone) {
        ngx_http_eventbridge_explain_name(e, ",\"checkpoint\":",
                                          &job->conf->zone->conf.name);
        ngx_http_eventbridge_explain_name(e, ",\"scope\":", &job->scope);

    } else {
        ngx_eb_out_lit(&e->out, ",\"checkpoint\":null");
    }

    ngx_eb_out_lit(&e->out, ",\"received\":");
    ngx_eb_out_int(&e->out, job->batch.nevents);
    ngx_eb_out_lit(&e->out, ",\"explained\":");
    ngx_eb_out_int(&e->out, n);
    ngx_eb_out_lit(&e->out, ",\"events\":[");
}


static ngx_int_t
ngx_http_eventbridge_explain_event(ngx_http_eventbridge_explain_t *e,
    ngx_uint_t i)
{
    ngx_uint_t                   n;
    ngx_eb_event_t              *event;
    ngx_http_eventbridge_job_t  *job;

    static const char  *kinds[] = {
        "bare", "envelope", "wrapped", "body", "cloudevent"
    };

    job = e->job;
    event = &job->batch.events[i];

    ngx_eb_out_lit(&e->out, "{\"index\":");
    ngx_eb_out_int(&e->out, i);
    ngx_http_eventbridge_explain_text(e, ",\"kind\":", kinds[event->kind]);
    ngx_http_eventbridge_explain_name(e, ",\"id\":", &event->id);
    ngx_http_eventbridge_explain_name(e, ",\"source\":", &event->source);
    ngx_http_eventbridge_explain_name(e, ",\"type\":", &event->type);

    if (event->invalid) {
        ngx_http_eventbridge_explain_text(e, ",\"action\":", "invalid");
        ngx_http_eventbridge_explain_text(e, ",\"reason\":", event->invalid);
        ngx_eb_out_lit(&e->out, ",\"routes\":[],\"destinations\":[],"
                       "\"key\":null}");
        return NGX_OK;
    }

    ngx_eb_out_lit(&e->out, ",\"routes\":[");

    for (n = 0; n < e->ingest.router.routes.nelts; n++) {

        if (ngx_http_eventbridge_explain_room(e) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_eb_out_raw(&e->out, ",", n ? 1 : 0);

        if (ngx_http_eventbridge_explain_route(e, n, event) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    ngx_eb_out_lit(&e->out, "]");

    return ngx_http_eventbridge_explain_destinations(e, i);
}


static ngx_int_t
ngx_http_eventbridge_explain_route(ngx_http_eventbridge_explain_t *e,
    ngx_uint_t n, ngx_eb_event_t *event)
{
    ngx_int_t                rc;
    ngx_eb_route_t          *route;
    ngx_eb_route_verdict_t   verdict;

    route = e->ingest.router.routes.elts;
    route = &route[n];

    ngx_eb_route_explain(route, e->job->emcf->worker->memos[e->ingest.index],
                         e->job->emcf->worker->regex, &e->json, event,
                         &verdict);

    ngx_http_eventbridge_explain_name(e, "{\"route\":", &route->name);
    ngx_http_eventbridge_explain_name(e, ",\"destination\":",
                           &e->ingest.destinations[route->destination].uri);

    rc = NGX_OK;

    switch (verdict.failed) {

    case NGX_EB_ROUTE_MATCHES:
        rc = ngx_http_eventbridge_explain_lifecycle(e, route, event);
        break;

    case NGX_EB_ROUTE_SOURCE:
        ngx_http_eventbridge_explain_regex(e, "source", &event->source,
                                           route->source, verdict.given_up);
        break;

    case NGX_EB_ROUTE_TYPE:
        ngx_http_eventbridge_explain_regex(e, "type", &event->type,
                                           route->type, verdict.given_up);
        break;

    case NGX_EB_ROUTE_METADATA:
        rc = ngx_http_eventbridge_explain_metadata(e, &verdict);
        break;

    default: /* NGX_EB_ROUTE_PATTERN */
        rc = ngx_http_eventbridge_explain_pattern(e, &verdict);
    }

    ngx_eb_out_lit(&e->out, "}");

    return rc;
}


static void
ngx_http_eventbridge_explain_regex(ngx_http_eventbridge_explain_t *e,
    const char *name, ngx_str_t *subject, ngx_eb_regex_t *re,
    ngx_uint_t given_up)
{
    u_char      buf[64 + 2 * NGX_HTTP_EVENTBRIDGE_EXPLAIN_SHORT];
    ngx_str_t   reason, *pattern;

    pattern = ngx_eb_regex_pattern(re);

    ngx_http_eventbridge_explain_text(e, ",\"matched\":false,\"condition\":",
                                      name);

    reason.data = buf;
    reason.len = ngx_snprintf(buf, sizeof(buf), "%s \"%*s\" %s \"%*s\"", name,
                              ngx_min(subject->len,
                                      NGX_HTTP_EVENTBRIDGE_EXPLAIN_SHORT),
                              subject->data,
                              given_up ? "took too long to match"
                                       : "does not match",
                              ngx_min(pattern->len,
                                      NGX_HTTP_EVENTBRIDGE_EXPLAIN_SHORT),
                              pattern->data)
                 - buf;

    ngx_http_eventbridge_explain_name(e, ",\"reason\":", &reason);
}


static ngx_int_t
ngx_http_eventbridge_explain_metadata(ngx_http_eventbridge_explain_t *e,
    ngx_eb_route_verdict_t *verdict)
{
    u_char      buf[64 + 3 * NGX_HTTP_EVENTBRIDGE_EXPLAIN_SHORT];
    size_t      len;
    ngx_str_t   got, text, *name, *value;

    name = &verdict->metadata->name;
    value = &verdict->metadata->value;
    len = ngx_min(name->len, NGX_HTTP_EVENTBRIDGE_EXPLAIN_SHORT);

    ngx_str_set(&got, "nothing");

    if (verdict->node != NGX_EB_JSON_NONE) {

        if (ngx_eb_json_type(&e->json, verdict->node) != '"') {
            ngx_eb_json_raw(&e->json, verdict->node, &got);

        } else if (ngx_eb_json_string(&e->json, verdict->node,
                                      e->job->pool, &got)
                   != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    text.data = buf;
    text.len = ngx_snprintf(buf, sizeof(buf), "metadata.%*s", len, name->data)
               - buf;

    ngx_http_eventbridge_explain_name(e, ",\"matched\":false,\"condition\":",
                                      &text);

    text.len = ngx_snprintf(buf, sizeof(buf),
                            "metadata.%*s: expected %*s, got %*s", len,
                            name->data,
                            ngx_min(value->len,
                                    NGX_HTTP_EVENTBRIDGE_EXPLAIN_SHORT),
                            value->data,
                            ngx_min(got.len,
                                    NGX_HTTP_EVENTBRIDGE_EXPLAIN_SHORT),
                            got.data)
               - buf;

    ngx_http_eventbridge_explain_name(e, ",\"reason\":", &text);

    return NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_explain_pattern(ngx_http_eventbridge_explain_t *e,
    ngx_eb_route_verdict_t *verdict)
{
    u_char      buf[64 + NGX_HTTP_EVENTBRIDGE_EXPLAIN_SHORT];
    ngx_str_t   text, reason;

    text.data = buf;
    text.len = ngx_snprintf(buf, sizeof(buf), "pattern %*s",
                            ngx_min(verdict->miss.field.len,
                                    NGX_HTTP_EVENTBRIDGE_EXPLAIN_SHORT),
                            verdict->miss.field.data)
               - buf;

    if (ngx_eb_pattern_sentence(e->job->pool, &e->json, &verdict->miss,
                                &reason)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_eventbridge_explain_name(e, ",\"matched\":false,\"condition\":",
                                      &text);
    ngx_http_eventbridge_explain_name(e, ",\"reason\":", &reason);

    return NGX_OK;
}


/* the last condition, if it has one */

static ngx_int_t
ngx_http_eventbridge_explain_lifecycle(ngx_http_eventbridge_explain_t *e,
    ngx_eb_route_t *route, ngx_eb_event_t *event)
{
    u_char                             buf[256];
    ngx_int_t                          rc;
    ngx_str_t                          nowhere, text, *got;
    ngx_uint_t                         state;
    ngx_http_eventbridge_condition_t  *condition;

    condition = route->data;
    state = 0;
    rc = NGX_OK;

    if (condition) {
        rc = ngx_http_eventbridge_condition_state(condition, &e->json, event,
                                                  e->job->pool, &state);
        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }
    }

    if (condition == NULL || (rc == NGX_OK && state == condition->number)) {
        ngx_eb_out_lit(&e->out, ",\"matched\":true");
        return NGX_OK;
    }

    ngx_str_set(&nowhere, "nothing");

    got = ngx_http_eventbridge_condition_name(condition, state);

    if (got == NULL) {
        got = &nowhere;
    }

    ngx_http_eventbridge_explain_text(e, ",\"matched\":false,\"condition\":",
                                      "lifecycle");

    text.data = buf;
    text.len = ngx_snprintf(buf, sizeof(buf),
                            "lifecycle %V: expected %V, got %V",
                            &condition->name, &condition->state, got)
               - buf;

    ngx_http_eventbridge_explain_name(e, ",\"reason\":", &text);

    return NGX_OK;
}


/* what would be done, where to, and what the checkpoint says of it */

static ngx_int_t
ngx_http_eventbridge_explain_destinations(ngx_http_eventbridge_explain_t *e,
    ngx_uint_t i)
{
    ngx_int_t                            alternate;
    ngx_uint_t                           j, first;
    const char                          *action, *mark;
    ngx_eb_store_key_t                  *key;
    ngx_eb_route_hit_t                  *hits;
    ngx_http_eventbridge_job_t          *job;
    ngx_http_eventbridge_item_t         *item;
    ngx_http_eventbridge_destination_t  *d;

    if (ngx_http_eventbridge_explain_room(e) != NGX_OK) {
        return NGX_ERROR;
    }

    job = e->job;
    item = &job->items[i];
    hits = job->hits.elts;

    first = ngx_http_eventbridge_explain_first(job, i);
    key = NULL;

    /* without an id it has a key only if that is the hash of its bytes */

    if (job->keys && item->nhits
        && (!item->no_id
            || job->conf->no_id == NGX_HTTP_EVENTBRIDGE_NO_ID_HASH))
    {
        key = &job->keys[first];
    }

    if (item->nhits == 0) {
        action = (job->conf->unrouted == NGX_HTTP_EVENTBRIDGE_UNROUTED_REJECT)
                     ? "reject" : "drop";

    } else if (first != i) {
        action = "repeat";

    } else if (key && key->status == NGX_EB_KEY_DUPLICATE) {
        action = "duplicate";

        /* it says nothing of a destination that found no bit */

        for (j = item->hit; j < item->hit + (ngx_uint_t) item->nhits; j++) {
            if (e->ingest.destinations[hits[j].destination].bit < 0) {
                action = "fail";
            }
        }

    } else if (key && key->status == NGX_EB_KEY_BUSY) {
        action = "busy";

    } else {
        action = "deliver";
    }

    ngx_http_eventbridge_explain_text(e, ",\"action\":", action);
    ngx_eb_out_lit(&e->out, ",\"destinations\":[");

    for (j = item->hit; j < item->hit + (ngx_uint_t) item->nhits; j++) {

        if (ngx_http_eventbridge_explain_room(e) != NGX_OK) {
            return NGX_ERROR;
        }

        d = &e->ingest.destinations[hits[j].destination];

        ngx_eb_out_raw(&e->out, ",", (j == item->hit) ? 0 : 1);
        ngx_http_eventbridge_explain_name(e, "{\"destination\":", &d->uri);
        ngx_http_eventbridge_explain_name(e, ",\"route\":",
                                          &e->ingest.routes[hits[j].route]
                                          .name);

        if (job->keys) {

            if (key == NULL) {
                mark = "none";

            } else if (e->unknown) {
                mark = "unknown";

            } else if (d->bit < 0) {
                mark = "impossible";

            } else if (key->done & ((uint64_t) 1 << d->bit)) {
                mark = "delivered";

            } else if (key->status == NGX_EB_KEY_BUSY) {
                mark = "claimed";

            } else {
                mark = "none";
            }

            ngx_http_eventbridge_explain_text(e, ",\"mark\":", mark);
        }

        if (d->health) {
            ngx_http_eventbridge_explain_text(e, ",\"state\":",
                           ngx_eb_health_name(d->health->sh->health.state));
        }

        alternate = e->ingest.routes[hits[j].route].alternate;

        if (alternate >= 0) {
            ngx_http_eventbridge_explain_name(e, ",\"alternate\":",
                                     &e->ingest.destinations[alternate].uri);
        }

        ngx_eb_out_lit(&e->out, "}");
    }

    ngx_eb_out_lit(&e->out, "]");

    if (key) {
        ngx_http_eventbridge_explain_key(e, i, first);

    } else {
        ngx_eb_out_lit(&e->out, ",\"key\":null");
    }

    ngx_eb_out_lit(&e->out, "}");

    return NGX_OK;
}


/* as in a dead letter, and what it is made of */

static void
ngx_http_eventbridge_explain_key(ngx_http_eventbridge_explain_t *e,
    ngx_uint_t i, ngx_uint_t first)
{
    u_char               buf[32];
    ngx_str_t            text;
    ngx_eb_store_key_t  *key;

    static const char  *made[] = { "source+id", "id", "path" };

    key = &e->job->keys[i];

    text.data = buf;
    text.len = ngx_snprintf(buf, sizeof(buf), "%016xL%016xL", key->hi, key->lo)
               - buf;

    ngx_http_eventbridge_explain_name(e, ",\"key\":", &text);
    ngx_http_eventbridge_explain_text(e, ",\"keyOf\":",
                                      e->job->items[i].no_id ? "hash"
                                          : made[e->job->conf->key]);

    if (first != i) {
        ngx_eb_out_lit(&e->out, ",\"repeats\":");
        ngx_eb_out_int(&e->out, first);
    }
}


/* the event that event i repeats, or i */

static ngx_uint_t
ngx_http_eventbridge_explain_first(ngx_http_eventbridge_job_t *job,
    ngx_uint_t i)
{
    ngx_uint_t  j;

    if (job->items[i].state != NGX_HTTP_EVENTBRIDGE_REPEAT) {
        return i;
    }

    for (j = 0; j < i; j++) {
        if (job->keys[j].hi == job->keys[i].hi
            && job->keys[j].lo == job->keys[i].lo)
        {
            return j;
        }
    }

    return i;
}


/* an empty value is none */

static void
ngx_http_eventbridge_explain_name(ngx_http_eventbridge_explain_t *e,
    const char *name, ngx_str_t *value)
{
    ngx_eb_out_raw(&e->out, name, ngx_strlen(name));

    if (value->len) {
        ngx_eb_out_string(&e->out, value, NGX_HTTP_EVENTBRIDGE_EXPLAIN_TEXT);

    } else {
        ngx_eb_out_lit(&e->out, "null");
    }
}


static void
ngx_http_eventbridge_explain_text(ngx_http_eventbridge_explain_t *e,
    const char *name, const char *value)
{
    ngx_str_t  text;

    text.data = (u_char *) value;
    text.len = ngx_strlen(value);

    ngx_http_eventbridge_explain_name(e, name, &text);
}


/* for one unit more */

static ngx_int_t
ngx_http_eventbridge_explain_room(ngx_http_eventbridge_explain_t *e)
{
    ngx_chain_t  *cl;

    if (e->block) {

        if (e->out.end - e->out.pos >= NGX_HTTP_EVENTBRIDGE_EXPLAIN_UNIT) {
            return NGX_OK;
        }

        ngx_http_eventbridge_explain_close(e);
    }

    e->block = ngx_create_temp_buf(e->request->pool,
                                   NGX_HTTP_EVENTBRIDGE_EXPLAIN_BLOCK);
    cl = ngx_alloc_chain_link(e->request->pool);

    if (e->block == NULL || cl == NULL) {
        return NGX_ERROR;
    }

    cl->buf = e->block;
    cl->next = NULL;

    *e->last = cl;
    e->last = &cl->next;

    ngx_eb_out_init(&e->out, e->block->pos,
                    NGX_HTTP_EVENTBRIDGE_EXPLAIN_BLOCK);

    return NGX_OK;
}


static void
ngx_http_eventbridge_explain_close(ngx_http_eventbridge_explain_t *e)
{
    e->block->last = e->out.pos;
    e->size += e->block->last - e->block->pos;
}


static ngx_int_t
ngx_http_eventbridge_explain_send(ngx_http_eventbridge_explain_t *e)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = e->request;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = e->size;
    r->headers_out.content_type = ngx_http_eventbridge_explain_type;
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    e->block->last_buf = 1;
    e->block->last_in_chain = 1;

    return ngx_http_output_filter(r, e->chain);
}
