
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Locations that manage what is at the API of Genesys Cloud: which operation
 * a request is, and what its client and the audit log hear of it.
 */


#include "ngx_http_eventbridge_genesys.h"
#include "ngx_http_eventbridge_auth.h"
#include "ngx_http_eventbridge_endpoints.h"
#include "ngx_http_eventbridge_outbox.h"
#include "ngx_eb_genesys_filter.h"
#include "ngx_eb_genesys_retention.h"


/* a document that is sent to the API may have 512,000 bytes */
#define NGX_HTTP_EVENTBRIDGE_CONTROL_BODY   (512 * 1000)

#define NGX_HTTP_EVENTBRIDGE_CONTROL_PARTS  4
#define NGX_HTTP_EVENTBRIDGE_CONTROL_LINE   4000


/* a request that is under way */

typedef struct {
    ngx_http_request_t               *request;  /* NULL: the client left */
    ngx_http_eventbridge_api_t       *api;
} ngx_http_eventbridge_waiter_t;


/* what goes on when the client has left */

typedef struct {
    ngx_http_eventbridge_control_t   *control;
    ngx_http_eventbridge_waiter_t    *waiter;   /* NULL then */
    ngx_str_t                         method;
    ngx_str_t                         sender;
    ngx_str_t                         id;       /* of the path */
    ngx_http_eventbridge_api_t       *api;
    ngx_http_eventbridge_outbox_t    *outbox;   /* NULL: there is none */
    ngx_eb_outbox_intent_t           *intent;   /* once a change was begun */
    ngx_str_t                         subscription;
    ngx_str_t                         attribute;
    unsigned                          retention:1;
    unsigned                          endpoints:1;  /* they are resolved */
    unsigned                          state:1;  /* theirs has changed */
} ngx_http_eventbridge_action_t;


static ngx_int_t ngx_http_eventbridge_control_parts(ngx_http_request_t *r,
    ngx_http_eventbridge_control_t *control, ngx_str_t *parts);
static ngx_int_t ngx_http_eventbridge_control_allowed(ngx_http_request_t *r,
    ngx_http_eventbridge_control_t *control, ngx_str_t *parts, ngx_uint_t n);
static void ngx_http_eventbridge_control_body(ngx_http_request_t *r);
static ngx_int_t ngx_http_eventbridge_control_start(ngx_http_request_t *r);
static void ngx_http_eventbridge_control_run(void *data);
static ngx_int_t ngx_http_eventbridge_control_op(ngx_http_request_t *r,
    ngx_http_eventbridge_control_t *control,
    ngx_http_eventbridge_action_t *action, ngx_eb_genesys_op_t *op,
    ngx_str_t *body);
static ngx_int_t ngx_http_eventbridge_control_filter(ngx_http_request_t *r,
    ngx_http_eventbridge_control_t *control, ngx_eb_genesys_op_t *op,
    ngx_str_t *parts, ngx_str_t *body);
static ngx_int_t ngx_http_eventbridge_control_retention(
    ngx_http_request_t *r, ngx_http_eventbridge_control_t *control,
    ngx_http_eventbridge_action_t *action, ngx_eb_genesys_op_t *op,
    ngx_str_t *parts, ngx_str_t *body);
static ngx_uint_t ngx_http_eventbridge_control_dry(ngx_http_request_t *r);
static ngx_msec_t ngx_http_eventbridge_control_clock(void);
static ngx_str_t *ngx_http_eventbridge_control_callback(
    ngx_http_eventbridge_action_t *action);
static ngx_int_t ngx_http_eventbridge_control_before(void *data,
    ngx_eb_genesys_request_t *request);
static void ngx_http_eventbridge_control_intended(void *data, ngx_int_t rc);
static ngx_int_t ngx_http_eventbridge_control_record(
    ngx_http_eventbridge_action_t *action, ngx_str_t *record);
static void ngx_http_eventbridge_control_left(void *data);
static void ngx_http_eventbridge_control_done(ngx_http_eventbridge_api_t *api,
    void *data, ngx_int_t rc);
static void ngx_http_eventbridge_control_audit(
    ngx_http_eventbridge_action_t *action, ngx_http_eventbridge_api_t *api,
    ngx_str_t *record, ngx_int_t rc);
static void ngx_http_eventbridge_control_outcome(
    ngx_http_eventbridge_action_t *action, ngx_str_t *record);
static void ngx_http_eventbridge_control_count(
    ngx_http_eventbridge_action_t *action, ngx_eb_genesys_op_t *op,
    ngx_str_t *record);
static ngx_int_t ngx_http_eventbridge_control_answer(ngx_http_request_t *r,
    ngx_eb_genesys_answer_t *answer);


static ngx_str_t  ngx_http_eventbridge_control_json =
    ngx_string("application/json");
static ngx_str_t  ngx_http_eventbridge_control_problem =
    ngx_string("application/problem+json");


ngx_int_t
ngx_http_eventbridge_control_handler(ngx_http_request_t *r)
{
    ngx_int_t                         rc;
    ngx_str_t                         parts[NGX_HTTP_EVENTBRIDGE_CONTROL_PARTS];
    ngx_http_eventbridge_loc_conf_t  *elcf;

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "eventbridge control handler");

    if (r != r->main) {
        return NGX_HTTP_NOT_FOUND;
    }

    rc = ngx_http_eventbridge_control_access(r);

    if (rc != NGX_OK) {
        return rc;
    }

    elcf = ngx_http_get_module_loc_conf(r, ngx_http_eventbridge_module);

    rc = ngx_http_eventbridge_control_parts(r, elcf->control, parts);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_NOT_FOUND;
    }

    rc = ngx_http_eventbridge_control_allowed(r, elcf->control, parts, rc);

    if (rc != NGX_OK) {
        return rc;
    }

    r->request_body_no_buffering = 0;

    rc = ngx_http_read_client_request_body(r,
                                           ngx_http_eventbridge_control_body);

    return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
}


/* what follows the location's name, at its slashes; their number */

static ngx_int_t
ngx_http_eventbridge_control_parts(ngx_http_request_t *r,
    ngx_http_eventbridge_control_t *control, ngx_str_t *parts)
{
    u_char     *p, *last, *slash;
    ngx_uint_t  n;

    p = r->uri.data + control->name.len;
    last = r->uri.data + r->uri.len;

    if (r->uri.len < control->name.len) {
        return NGX_ERROR;
    }

    /* location /x is that of /xy, too */

    if (p < last && p[-1] != '/' && *p++ != '/') {
        return NGX_ERROR;
    }

    for (n = 0; p < last; n++) {

        if (n == NGX_HTTP_EVENTBRIDGE_CONTROL_PARTS) {
            return NGX_ERROR;
        }

        slash = ngx_strlchr(p, last, '/');

        parts[n].data = p;
        parts[n].len = (slash ? slash : last) - p;

        p += parts[n].len + 1;
    }

    return n;
}


/* NGX_OK, or 404 or 405 */

static ngx_int_t
ngx_http_eventbridge_control_allowed(ngx_http_request_t *r,
    ngx_http_eventbridge_control_t *control, ngx_str_t *parts, ngx_uint_t n)
{
    ngx_str_t    allow;
    ngx_uint_t   methods;

    ngx_str_null(&allow);
    methods = 0;

    switch (control->kind) {

    case NGX_HTTP_EVENTBRIDGE_SUBSCRIPTIONS:

        if (n == 0) {
            methods = NGX_HTTP_GET|NGX_HTTP_POST;
            ngx_str_set(&allow, "GET, POST");

        } else if (n == 1) {
            methods = NGX_HTTP_GET|NGX_HTTP_PUT|NGX_HTTP_DELETE;
            ngx_str_set(&allow, "GET, PUT, DELETE");
        }

        break;

    case NGX_HTTP_EVENTBRIDGE_RETENTION:

        if (n == 1 && parts[0].len == sizeof("validate") - 1
            && ngx_strncmp(parts[0].data, "validate", parts[0].len) == 0)
        {
            methods = NGX_HTTP_POST;
            ngx_str_set(&allow, "POST");

        } else if (n == 1) {
            methods = NGX_HTTP_GET|NGX_HTTP_PUT;
            ngx_str_set(&allow, "GET, PUT");
        }

        break;

    case NGX_HTTP_EVENTBRIDGE_ENDPOINTS:

        if (n == 0) {
            methods = NGX_HTTP_GET|NGX_HTTP_POST;
            ngx_str_set(&allow, "GET, POST");
        }

        break;

    default: /* NGX_HTTP_EVENTBRIDGE_FILTERS */

        if (control->org->integrations ? (n == 1 || n == 2) : (n == 3)) {
            methods = NGX_HTTP_GET|NGX_HTTP_PUT|NGX_HTTP_DELETE;
            ngx_str_set(&allow, "GET, PUT, DELETE");

        } else if (n == 1 || n == 2) {
            methods = NGX_HTTP_GET;
            ngx_str_set(&allow, "GET");
        }
    }

    if (methods == 0) {
        return NGX_HTTP_NOT_FOUND;
    }

    if (r->method & methods) {
        return NGX_OK;
    }

    if (ngx_http_eventbridge_out_header(r, "Allow", &allow) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_HTTP_NOT_ALLOWED;
}


static void
ngx_http_eventbridge_control_body(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    rc = ngx_http_eventbridge_control_start(r);

    if (rc != NGX_OK) {
        ngx_http_finalize_request(r, rc);
    }
}


static ngx_int_t
ngx_http_eventbridge_control_start(ngx_http_request_t *r)
{
    ngx_int_t                          rc;
    ngx_str_t                          body;
    ngx_pool_cleanup_t                *cln;
    ngx_eb_genesys_op_t               *op;
    ngx_http_eventbridge_api_t        *api;
    ngx_http_eventbridge_ctx_t        *ctx;
    ngx_http_eventbridge_action_t     *action;
    ngx_http_eventbridge_waiter_t     *waiter;
    ngx_http_eventbridge_control_t    *control;
    ngx_http_eventbridge_loc_conf_t   *elcf;
    ngx_http_eventbridge_main_conf_t  *emcf;

    elcf = ngx_http_get_module_loc_conf(r, ngx_http_eventbridge_module);
    control = elcf->control;

    api = ngx_http_eventbridge_api_create(control, r);
    if (api == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    op = ngx_http_eventbridge_api_op(api);

    action = ngx_pcalloc(op->pool, sizeof(ngx_http_eventbridge_action_t));
    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_eventbridge_waiter_t));

    if (action == NULL || cln == NULL
        || ngx_http_eventbridge_body(r, op->pool, 0, &body) != NGX_OK)
    {
        goto failed;
    }

    if (body.len > NGX_HTTP_EVENTBRIDGE_CONTROL_BODY) {
        ngx_http_eventbridge_api_destroy(api);
        return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
    }

    action->control = control;

    if (ngx_http_eventbridge_copy(op->pool, &action->method, &r->method_name)
        != NGX_OK)
    {
        goto failed;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_eventbridge_module);

    if (ctx
        && ngx_http_eventbridge_copy(op->pool, &action->sender, &ctx->sender)
           != NGX_OK)
    {
        goto failed;
    }

    if (ngx_http_eventbridge_control_op(r, control, action, op, &body)
        != NGX_OK)
    {
        goto failed;
    }

    waiter = cln->data;
    waiter->request = r;
    waiter->api = api;
    action->waiter = waiter;
    action->api = api;

    if (action->retention || action->endpoints) {
        emcf = ngx_http_get_module_main_conf(r, ngx_http_eventbridge_module);
        action->outbox = emcf->outbox;
        ngx_http_eventbridge_api_before(api,
                                        ngx_http_eventbridge_control_before);
    }

    cln->handler = ngx_http_eventbridge_control_left;
    cln->data = action;

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    rc = action->endpoints
         ? ngx_http_eventbridge_endpoints_probe(control, op,
                                            ngx_http_eventbridge_api_facts(api),
                                            ngx_http_eventbridge_control_run,
                                            action)
         : NGX_OK;

    if (rc == NGX_ERROR) {
        cln->handler = NULL;
        goto failed;
    }

    if (rc == NGX_OK) {
        ngx_http_eventbridge_control_run(action);
    }

    return NGX_OK;

failed:

    ngx_http_eventbridge_api_destroy(api);

    return NGX_HTTP_INTERNAL_SERVER_ERROR;
}


static void
ngx_http_eventbridge_control_run(void *data)
{
    ngx_http_eventbridge_action_t *action = data;

    ngx_http_eventbridge_api_run(action->api,
                                 ngx_http_eventbridge_control_done, action);
}


static ngx_int_t
ngx_http_eventbridge_control_op(ngx_http_request_t *r,
    ngx_http_eventbridge_control_t *control,
    ngx_http_eventbridge_action_t *action, ngx_eb_genesys_op_t *op,
    ngx_str_t *body)
{
    ngx_int_t                   n, i;
    ngx_str_t                   parts[NGX_HTTP_EVENTBRIDGE_CONTROL_PARTS];
    ngx_str_t                  *copies;
    ngx_eb_genesys_sub_api_t   *api;
    ngx_eb_genesys_sub_verb_e   verb;

    copies = ngx_pcalloc(op->pool, NGX_HTTP_EVENTBRIDGE_CONTROL_PARTS
                                   * sizeof(ngx_str_t));
    if (copies == NULL) {
        return NGX_ERROR;
    }

    n = ngx_http_eventbridge_control_parts(r, control, parts);

    for (i = 0; i < n; i++) {
        if (ngx_http_eventbridge_copy(op->pool, &copies[i], &parts[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    action->id = copies[0];

    if (control->kind == NGX_HTTP_EVENTBRIDGE_FILTERS) {

        if (control->org->integrations) {
            action->attribute = copies[1];

        } else {
            action->subscription = copies[1];
            action->attribute = copies[2];
        }

        return ngx_http_eventbridge_control_filter(r, control, op, copies,
                                                   body);
    }

    if (control->kind == NGX_HTTP_EVENTBRIDGE_RETENTION) {
        return ngx_http_eventbridge_control_retention(r, control, action, op,
                                                      copies, body);
    }

    if (control->kind == NGX_HTTP_EVENTBRIDGE_ENDPOINTS) {
        action->endpoints = (r->method == NGX_HTTP_POST);

        return ngx_http_eventbridge_endpoints_op(control, op,
                                         action->endpoints ? body : NULL,
                                         ngx_http_eventbridge_control_dry(r));
    }

    api = &control->org->subscriptions;

    switch (r->method) {

    case NGX_HTTP_POST:
    case NGX_HTTP_PUT:
        verb = (r->method == NGX_HTTP_POST) ? NGX_EB_GENESYS_SUB_CREATE
                                            : NGX_EB_GENESYS_SUB_REPLACE;

        return ngx_eb_genesys_subscription_init_body(op, api, verb,
                                                     n ? &copies[0] : NULL,
                                                     body);
    case NGX_HTTP_DELETE:
        verb = NGX_EB_GENESYS_SUB_DELETE;
        break;

    default:
        verb = n ? NGX_EB_GENESYS_SUB_GET : NGX_EB_GENESYS_SUB_LIST;
    }

    return ngx_eb_genesys_subscription_init(op, api, verb,
                                            n ? &copies[0] : NULL, NULL);
}


/* {integration}[/{subscription}[/{attribute}]], or /{topic} */

static ngx_int_t
ngx_http_eventbridge_control_filter(ngx_http_request_t *r,
    ngx_http_eventbridge_control_t *control, ngx_eb_genesys_op_t *op,
    ngx_str_t *parts, ngx_str_t *body)
{
    ngx_eb_genesys_filter_args_t  *args;

    args = ngx_pcalloc(op->pool, sizeof(ngx_eb_genesys_filter_args_t));
    if (args == NULL) {
        return NGX_ERROR;
    }

    args->verb = (r->method == NGX_HTTP_PUT) ? NGX_EB_GENESYS_FILTER_SET
               : (r->method == NGX_HTTP_DELETE) ? NGX_EB_GENESYS_FILTER_REMOVE
               : NGX_EB_GENESYS_FILTER_SHOW;

    args->path = control->org->filters;
    args->integration = parts[0];
    args->topics = control->org->integrations;

    if (args->topics) {
        args->attribute = parts[1];

    } else {
        args->subscription = parts[1];
        args->attribute = parts[2];
    }

    args->body = *body;

    args->dry_run = ngx_http_eventbridge_control_dry(r);

    return ngx_eb_genesys_filter(op, args);
}


/* "dry_run" in any words but "dry_run=0": it must not turn into a change */

static ngx_uint_t
ngx_http_eventbridge_control_dry(ngx_http_request_t *r)
{
    size_t   n;
    u_char  *p, *last, *end;

    n = sizeof("dry_run") - 1;
    last = r->args.data + r->args.len;

    for (p = r->args.data; p < last; p = end + 1) {

        end = ngx_strlchr(p, last, '&');

        if (end == NULL) {
            end = last;
        }

        if ((size_t) (end - p) < n
            || ngx_strncasecmp(p, (u_char *) "dry_run", n) != 0)
        {
            continue;
        }

        p += n;

        if (p == end) {
            return 1;
        }

        if (*p == '=') {
            return (end - p != 2 || p[1] != '0');
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_eventbridge_control_retention(ngx_http_request_t *r,
    ngx_http_eventbridge_control_t *control,
    ngx_http_eventbridge_action_t *action, ngx_eb_genesys_op_t *op,
    ngx_str_t *parts, ngx_str_t *body)
{
    ngx_eb_genesys_retention_conf_t  *conf;

    static ngx_msec_t                 schedule[] = { 1000, 2000, 4000 };

    conf = ngx_pcalloc(op->pool, sizeof(ngx_eb_genesys_retention_conf_t));
    if (conf == NULL) {
        return NGX_ERROR;
    }

    conf->path = control->org->retention;
    conf->gb = control->conf->cost->gb;
    conf->price = control->conf->cost->price;
    conf->tags = control->tags;
    conf->send_cost = control->send_cost;
    conf->conflicts = 3;
    conf->interval = 1000;
    conf->polls = 5;
    conf->schedule = schedule;
    conf->nschedule = sizeof(schedule) / sizeof(schedule[0]);
    conf->clock = ngx_http_eventbridge_control_clock;

    if (r->method == NGX_HTTP_POST) {
        return ngx_eb_genesys_retention_validate(op, conf, body);
    }

    if (r->method == NGX_HTTP_PUT) {
        action->retention = 1;
        return ngx_eb_genesys_retention_adjust(op, conf, &parts[0], body);
    }

    return ngx_eb_genesys_retention_get(op, conf, &parts[0]);
}


static ngx_msec_t
ngx_http_eventbridge_control_clock(void)
{
    return ngx_current_msec;
}


/* who hears of what has happened; it may be nobody */

static ngx_str_t *
ngx_http_eventbridge_control_callback(ngx_http_eventbridge_action_t *action)
{
    return action->endpoints ? &action->control->endpoints->callback
                             : &action->control->conf->cost->callback;
}


/*
 * The first change of a policy, or of an integration, is not sent before it is
 * on the disk that it is to be: if nobody lives to tell how it ended, that is
 * what will be told.
 */

static ngx_int_t
ngx_http_eventbridge_control_before(void *data,
    ngx_eb_genesys_request_t *request)
{
    ngx_http_eventbridge_action_t *action = data;

    ngx_str_t                         record, none, *audit, *callback;
    ngx_http_eventbridge_loc_conf_t  *conf;

    static ngx_str_t  get = ngx_string("GET");

    conf = action->control->conf;
    callback = ngx_http_eventbridge_control_callback(action);

    if (action->outbox == NULL || action->intent
        || (conf->audit == NULL && callback->len == 0)
        || ngx_http_eventbridge_same(&request->method, &get))
    {
        return NGX_OK;
    }

    if (ngx_http_eventbridge_control_record(action, &record) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_str_null(&none);

    audit = conf->audit ? ngx_http_eventbridge_outbox_audit(action->outbox,
                                                            conf->audit)
                        : &none;

    action->intent = ngx_eb_outbox_intend(&action->outbox->outbox,
                                          callback, audit, &record,
                                        ngx_http_eventbridge_control_intended,
                                        action);

    return action->intent ? NGX_AGAIN : NGX_ERROR;
}


static void
ngx_http_eventbridge_control_intended(void *data, ngx_int_t rc)
{
    ngx_http_eventbridge_action_t *action = data;

    if (rc != NGX_OK) {
        action->intent = NULL;
    }

    ngx_http_eventbridge_api_resume(action->api, rc);
}


static ngx_int_t
ngx_http_eventbridge_control_record(ngx_http_eventbridge_action_t *action,
    ngx_str_t *record)
{
    ngx_time_t           *tp;
    ngx_eb_genesys_op_t  *op;

    tp = ngx_timeofday();
    op = ngx_http_eventbridge_api_op(action->api);

    if (action->endpoints) {
        return ngx_http_eventbridge_endpoints_record(action->control, op,
                                                     record);
    }

    return ngx_eb_genesys_retention_record(op->pool,
                                           ngx_eb_genesys_retention(op),
                                           (int64_t) tp->sec * 1000 + tp->msec,
                                           record);
}


/* the client's request ends; the operation goes on */

static void
ngx_http_eventbridge_control_left(void *data)
{
    ngx_http_eventbridge_action_t *action = data;

    action->waiter = NULL;
}


static void
ngx_http_eventbridge_control_done(ngx_http_eventbridge_api_t *api, void *data,
    ngx_int_t rc)
{
    ngx_http_eventbridge_action_t *action = data;

    ngx_str_t             text, *record;
    ngx_connection_t     *c;
    ngx_pool_cleanup_t   *cln;
    ngx_http_request_t   *r;
    ngx_eb_genesys_op_t  *op;

    op = ngx_http_eventbridge_api_op(api);
    record = NULL;

    if ((action->retention || action->endpoints)
        && ngx_http_eventbridge_control_record(action, &text) == NGX_OK)
    {
        record = &text;
    }

    ngx_http_eventbridge_control_audit(action, api, record, rc);
    ngx_http_eventbridge_control_count(action, op, record);
    ngx_http_eventbridge_control_outcome(action, record);

    if (action->waiter == NULL) {
        return;
    }

    r = action->waiter->request;
    c = r->connection;

    /* action is gone before the request is */

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_eventbridge_control_left) {
            cln->handler = NULL;
        }
    }

    ngx_http_set_log_request(c->log, r);

    rc = (rc == NGX_OK) ? ngx_http_eventbridge_control_answer(r, &op->answer)
                        : NGX_HTTP_INTERNAL_SERVER_ERROR;

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


/* record is NULL when there is no memory for it */

static void
ngx_http_eventbridge_control_outcome(ngx_http_eventbridge_action_t *action,
    ngx_str_t *record)
{
    ngx_str_t  *callback;

    if (action->intent) {
        ngx_eb_outbox_outcome(action->intent, record);
        action->intent = NULL;
        return;
    }

    /* nothing was written at the API, but what is known has changed */

    if (!action->endpoints || !action->state || record == NULL) {
        return;
    }

    callback = ngx_http_eventbridge_control_callback(action);

    if (action->outbox && callback->len) {
        (void) ngx_eb_outbox_append(&action->outbox->outbox, callback, record,
                                    NULL, NULL);
    }
}


/* what becomes of retention policies and integrations */

static void
ngx_http_eventbridge_control_count(ngx_http_eventbridge_action_t *action,
    ngx_eb_genesys_op_t *op, ngx_str_t *record)
{
    u_char                            *point;
    ngx_int_t                          cost;
    ngx_str_t                          labels;
    ngx_eb_stats_cell_t               *cells;
    ngx_eb_genesys_retention_t        *retention;
    ngx_http_eventbridge_main_conf_t  *emcf;

    if (action->endpoints) {
        action->state = ngx_http_eventbridge_endpoints_end(action->control, op,
                                                           record);
    }

    if (!action->retention) {
        return;
    }

    emcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_eventbridge_module);
    retention = ngx_eb_genesys_retention(op);

    if (emcf == NULL || retention->puts == 0) {
        return;
    }

    cells = ngx_http_eventbridge_org_cells(emcf->stats, action->control->org);

    ngx_eb_stats_add(cells, NGX_EB_STATS_O_ADJUSTMENTS, 1);
    ngx_eb_stats_add(cells, NGX_EB_STATS_O_MIGRATIONS, retention->migrated);
    ngx_eb_stats_add(cells, NGX_EB_STATS_O_ADJUST_MSEC, retention->latency);

    /* its digits after the third one are not counted */

    labels = retention->cost;
    point = ngx_strlchr(labels.data, labels.data + labels.len, '.');

    if (point) {
        labels.len = ngx_min(labels.len, (size_t) (point - labels.data) + 4);
    }

    cost = ngx_atofp(labels.data, labels.len, 3);

    if (cost > 0) {
        ngx_eb_stats_add(cells, NGX_EB_STATS_O_COST, cost);
    }
}


/* one line for each operation, however it ended */

static void
ngx_http_eventbridge_control_audit(ngx_http_eventbridge_action_t *action,
    ngx_http_eventbridge_api_t *api, ngx_str_t *record, ngx_int_t rc)
{
    u_char                           line[NGX_HTTP_EVENTBRIDGE_CONTROL_LINE];
    size_t                           max;
    int64_t                          now;
    ngx_str_t                        text;
    ngx_time_t                      *tp;
    ngx_eb_out_t                     out;
    ngx_eb_audit_t                  *audit;
    ngx_eb_genesys_op_t             *op;
    ngx_http_eventbridge_facts_t    *facts;
    ngx_http_eventbridge_control_t  *control;

    control = action->control;
    audit = control->conf->audit;

    if (audit == NULL) {
        return;
    }

    op = ngx_http_eventbridge_api_op(api);
    facts = ngx_http_eventbridge_api_facts(api);

    tp = ngx_timeofday();
    now = (int64_t) tp->sec * 1000 + tp->msec;

    max = 256;

again:

    ngx_eb_out_init(&out, line, sizeof(line));

    ngx_eb_out_lit(&out, "{\"timestamp\":");
    ngx_eb_out_time(&out, now);
    ngx_eb_out_lit(&out, ",\"requestId\":");
    ngx_eb_out_string(&out, &facts->request_id, 64);
    ngx_eb_out_lit(&out, ",\"location\":");
    ngx_eb_out_string(&out, &control->name, max);
    ngx_eb_out_lit(&out, ",\"organisation\":");
    ngx_eb_out_string(&out, &control->org->name, 64);

    if (action->sender.len) {
        ngx_eb_out_lit(&out, ",\"sender\":");
        ngx_eb_out_string(&out, &action->sender, max / 2);
    }

    ngx_eb_out_lit(&out, ",\"method\":");
    ngx_eb_out_string(&out, &action->method, 16);

    text = op->answer.id.len ? op->answer.id : action->id;

    if (text.len) {
        ngx_eb_out_lit(&out, ",\"id\":");
        ngx_eb_out_string(&out, &text, max);
    }

    if (action->subscription.len) {
        ngx_eb_out_lit(&out, ",\"subscription\":");
        ngx_eb_out_string(&out, &action->subscription, max);
    }

    if (action->attribute.len) {
        ngx_eb_out_lit(&out, ",\"attribute\":");
        ngx_eb_out_string(&out, &action->attribute, max);
    }

    ngx_http_eventbridge_api_audit(api, rc, &out);

    /* escapes may be six times as long as what they stand for */

    if (out.truncated && max > 32) {
        max = 32;
        goto again;
    }

    text.data = line;
    text.len = out.pos - line;

    ngx_eb_audit_text(audit, &text);

    /* that of a change goes by way of the outbox, where there is one */

    if (record && action->intent == NULL) {
        ngx_eb_audit_text(audit, record);
    }
}


static ngx_int_t
ngx_http_eventbridge_control_answer(ngx_http_request_t *r,
    ngx_eb_genesys_answer_t *answer)
{
    ngx_str_t                    body, retry, id;
    ngx_str_t                   *type;
    ngx_http_eventbridge_ctx_t  *ctx;

    /* the answer's memory goes when this returns, and the client may be slow */

    if (ngx_http_eventbridge_copy(r->pool, &body, &answer->body) != NGX_OK
        || ngx_http_eventbridge_copy(r->pool, &id, &answer->correlation_id)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (answer->retry_after) {
        retry.data = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
        if (retry.data == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        retry.len = ngx_sprintf(retry.data, "%M",
                                (answer->retry_after + 999) / 1000)
                    - retry.data;

        if (ngx_http_eventbridge_out_header(r, "Retry-After", &retry)
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    if (id.len
        && ngx_http_eventbridge_out_header(r, "ININ-Correlation-Id", &id)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (body.len == 0) {
        r->header_only = 1;
    }

    ctx = ngx_http_eventbridge_get_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* it is not to be replaced */
    ctx->answered = 1;

    type = (answer->status >= NGX_HTTP_BAD_REQUEST)
           ? &ngx_http_eventbridge_control_problem
           : &ngx_http_eventbridge_control_json;

    return ngx_http_eventbridge_respond(r, answer->status, type, &body);
}


ngx_str_t *
ngx_http_eventbridge_control_error(ngx_uint_t status)
{
    ngx_uint_t  i;

#define ngx_http_eventbridge_problem(status, title, detail)                   \
    { status, ngx_string("{\"type\":\"about:blank\",\"title\":\"" title        \
                         "\",\"status\":" #status ",\"detail\":\"" detail     \
                         "\"}\n") }

    static struct {
        ngx_uint_t               status;
        ngx_str_t                text;
    } problems[] = {
        ngx_http_eventbridge_problem(400, "Bad Request",
            "the request is not valid HTTP"),
        ngx_http_eventbridge_problem(401, "Unauthorized",
            "the request has no valid credentials"),
        ngx_http_eventbridge_problem(403, "Forbidden",
            "this is for local clients only, or for others"),
        ngx_http_eventbridge_problem(404, "Not Found",
            "there is nothing of that path in this location"),
        ngx_http_eventbridge_problem(405, "Method Not Allowed",
            "the header Allow says which methods there are"),
        ngx_http_eventbridge_problem(408, "Request Timeout",
            "the body did not arrive in time"),
        ngx_http_eventbridge_problem(413, "Content Too Large",
            "the body is larger than client_max_body_size or 512000 bytes"),
        ngx_http_eventbridge_problem(500, "Internal Server Error",
            "the request could not be processed")
    };

    static ngx_str_t  other = ngx_string(
        "{\"type\":\"about:blank\",\"title\":\"Refused by nginx\"}\n");

    for (i = 0; i < sizeof(problems) / sizeof(problems[0]); i++) {
        if (problems[i].status == status) {
            return &problems[i].text;
        }
    }

    return &other;
}
