
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_genesys.h"
#include "ngx_eb_genesys_body.h"
#include "ngx_eb_genesys_endpoint.h"
#include "ngx_eb_genesys_endpoint_doc.h"
#include "ngx_eb_genesys_list.h"
#include "ngx_eb_genesys_op.h"
#include "ngx_eb_genesys_patch.h"


/* how often one operation looks a name up, creates, and writes */
#define NGX_EB_GENESYS_ENDPOINT_SEARCHES   6
#define NGX_EB_GENESYS_ENDPOINT_POSTS      3
#define NGX_EB_GENESYS_ENDPOINT_PUTS       4

/*
 * What was just created may be missing from a list for a moment: how long a
 * search waits, in ms
 */

#define NGX_EB_GENESYS_ENDPOINT_TAKEN      500
#define NGX_EB_GENESYS_ENDPOINT_AMBIGUOUS  1000


typedef enum {
    NGX_EB_GENESYS_FOR_SEARCH = 0,
    NGX_EB_GENESYS_FOR_READ,
    NGX_EB_GENESYS_FOR_POST,
    NGX_EB_GENESYS_FOR_PUT
} ngx_eb_genesys_for_e;


typedef struct {
    ngx_eb_genesys_endpoint_t        what;

    ngx_eb_genesys_endpoint_conf_t  *conf;
    ngx_eb_genesys_member_t         *members;
    ngx_eb_genesys_for_e             at;    /* of whose request the reply is */

    ngx_eb_genesys_body_t            body;
    ngx_eb_genesys_doc_t            *ours;
    ngx_eb_genesys_doc_t            *theirs;
    ngx_eb_genesys_list_t            list;

    ngx_str_t                        document;      /* as the API has it */
    ngx_eb_genesys_reply_t           ambiguous;     /* to the last POST */
    ngx_msec_t                       start;
    ngx_uint_t                       searches;
    ngx_uint_t                       posts;
    ngx_uint_t                       puts;

    unsigned                         confirm:1;     /* created, but no id */
} ngx_eb_genesys_endpoint_ctx_t;


static ngx_int_t ngx_eb_genesys_endpoint_step(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_endpoint_listed(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_endpoint_start(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_endpoint_probed(ngx_eb_genesys_op_t *op);
static ngx_int_t ngx_eb_genesys_endpoint_search(ngx_eb_genesys_op_t *op,
    ngx_msec_t delay, ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_endpoint_searched(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_endpoint_send(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_for_e at, ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_endpoint_read(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_endpoint_posted(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_endpoint_put(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_endpoint_finish(ngx_eb_genesys_op_t *op);
static ngx_int_t ngx_eb_genesys_endpoint_refused(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply);
static ngx_int_t ngx_eb_genesys_endpoint_end(ngx_eb_genesys_op_t *op,
    ngx_int_t rc);


static const char  ngx_eb_genesys_endpoint_alternative[] =
    "The public Genesys Cloud API has no outbound webhook integrations: what "
    "it has are triggers (/api/v2/processautomation/triggers) with workflows "
    "and web services data actions (/api/v2/integrations/actions); at AWS, "
    "an API destination of Amazon EventBridge does it.";

static ngx_str_t  ngx_eb_genesys_states[] = {
    ngx_string("invalid"),
    ngx_string("unknown"),
    ngx_string("unreachable"),
    ngx_string("failed"),
    ngx_string("validated"),
    ngx_string("deployed")
};


ngx_int_t
ngx_eb_genesys_endpoint_resolve(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_endpoint_conf_t *conf, ngx_str_t *body)
{
    ngx_eb_genesys_endpoint_ctx_t  *ctx;

    ctx = ngx_pcalloc(op->pool, sizeof(ngx_eb_genesys_endpoint_ctx_t));
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    ctx->conf = conf;
    ctx->what.dry_run = conf->dry_run;

    if (conf->clock) {
        ctx->start = conf->clock();
    }

    ctx->ours = ngx_eb_genesys_doc_create(op->pool);
    ctx->theirs = ngx_eb_genesys_doc_create(op->pool);

    if (ctx->ours == NULL
        || ctx->theirs == NULL
        || ngx_eb_genesys_body_init(&ctx->body, op->pool, ctx->ours)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    op->step = ngx_eb_genesys_endpoint_step;
    op->data = ctx;

    ngx_memzero(&op->answer, sizeof(ngx_eb_genesys_answer_t));
    ngx_str_set(&op->answer.action, "endpoint_resolve");

    ngx_eb_genesys_integration_read(&ctx->what.doc, &ctx->body, body);

    if (ctx->body.failed) {
        return NGX_ERROR;
    }

    ctx->what.id = ctx->what.doc.id;

    if (ctx->body.violations.nelts) {
        ngx_str_set(&ctx->what.error, "the request does not keep the rules");
        return NGX_OK;
    }

    ctx->what.valid = 1;
    ctx->what.state = NGX_EB_GENESYS_STATE_UNKNOWN;

    ctx->members = ngx_eb_genesys_integration_members(op->pool,
                                                      &ctx->what.doc);

    return ctx->members ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_eb_genesys_endpoint_list(ngx_eb_genesys_op_t *op, ngx_str_t *body)
{
    ngx_memzero(&op->answer, sizeof(ngx_eb_genesys_answer_t));
    ngx_str_set(&op->answer.action, "endpoints_listed");

    op->step = ngx_eb_genesys_endpoint_listed;
    op->data = body;

    return NGX_OK;
}


static ngx_int_t
ngx_eb_genesys_endpoint_listed(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request)
{
    return ngx_eb_genesys_op_done(op, 200, op->data);
}


ngx_eb_genesys_endpoint_t *
ngx_eb_genesys_endpoint(ngx_eb_genesys_op_t *op)
{
    ngx_eb_genesys_endpoint_ctx_t  *ctx;

    ctx = op->data;

    return &ctx->what;
}


ngx_str_t *
ngx_eb_genesys_state(ngx_eb_genesys_state_e state)
{
    return &ngx_eb_genesys_states[state];
}


static ngx_int_t
ngx_eb_genesys_endpoint_step(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request)
{
    ngx_int_t                       rc;
    ngx_eb_genesys_endpoint_ctx_t  *ctx;

    ctx = op->data;
    ngx_memzero(request, sizeof(ngx_eb_genesys_request_t));

    if (reply == NULL) {
        rc = ngx_eb_genesys_endpoint_start(op, request);

    } else {
        ngx_eb_genesys_op_reply(op, reply);

        switch (ctx->at) {

        case NGX_EB_GENESYS_FOR_SEARCH:
            rc = ngx_eb_genesys_endpoint_searched(op, reply, request);
            break;

        case NGX_EB_GENESYS_FOR_READ:
            rc = ngx_eb_genesys_endpoint_read(op, reply, request);
            break;

        case NGX_EB_GENESYS_FOR_POST:
            rc = ngx_eb_genesys_endpoint_posted(op, reply, request);
            break;

        default: /* NGX_EB_GENESYS_FOR_PUT */
            rc = ngx_eb_genesys_endpoint_put(op, reply, request);
            break;
        }
    }

    op->answer.id = ctx->what.id;

    return (rc == NGX_AGAIN) ? rc : ngx_eb_genesys_endpoint_end(op, rc);
}


static ngx_int_t
ngx_eb_genesys_endpoint_start(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_request_t *request)
{
    ngx_uint_t                      i;
    ngx_eb_genesys_uri_t           *endpoint;
    ngx_eb_genesys_endpoint_ctx_t  *ctx;

    ctx = op->data;

    if (!ctx->what.valid) {
        return ngx_eb_genesys_op_violations(op, &ctx->body);
    }

    endpoint = ctx->what.doc.endpoints.elts;

    for (i = 0; i < ctx->what.doc.endpoints.nelts; i++) {
        ctx->what.reachable += endpoint[i].reachable;
    }

    if (ctx->what.reachable < i || ctx->what.dry_run) {
        return ngx_eb_genesys_endpoint_probed(op);
    }

    if (ctx->what.id.len) {
        return ngx_eb_genesys_endpoint_send(op, NGX_EB_GENESYS_FOR_READ,
                                            request);
    }

    return ngx_eb_genesys_endpoint_search(op, 0, request);
}


/* not everything is reachable, or nobody wanted to know more */

static ngx_int_t
ngx_eb_genesys_endpoint_probed(ngx_eb_genesys_op_t *op)
{
    u_char                         *p;
    size_t                          len;
    ngx_str_t                       text;
    ngx_uint_t                      i, n;
    ngx_eb_genesys_uri_t           *endpoint;
    ngx_eb_genesys_member_t        *first;
    ngx_eb_genesys_endpoint_ctx_t  *ctx;

    static ngx_str_t  yes = ngx_string("true");

    ctx = op->data;
    n = ctx->what.doc.endpoints.nelts;

    if (ctx->what.reachable == n) {
        ctx->what.state = NGX_EB_GENESYS_STATE_VALIDATED;
        ngx_str_set(&op->answer.action, "endpoint_validated");

        first = NULL;

        if (ngx_eb_genesys_member(op->pool, &first, "valid", &yes) == NULL
            || ngx_eb_genesys_members_write(op->pool, first, &text) != NGX_OK)
        {
            return NGX_ERROR;
        }

        return ngx_eb_genesys_op_done(op, 200, &text);
    }

    ctx->what.state = NGX_EB_GENESYS_STATE_UNREACHABLE;

    endpoint = ctx->what.doc.endpoints.elts;

    for (i = 0; endpoint[i].reachable; i++) { /* void */ }

    len = sizeof(": : ") - 1 + endpoint[i].shown.len + endpoint[i].phase.len
          + endpoint[i].words.len;

    p = ngx_pnalloc(op->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->what.error.data = p;
    ctx->what.error.len = (size_t) (ngx_sprintf(p, "%V: %V: %V",
                                                &endpoint[i].shown,
                                                &endpoint[i].phase,
                                                &endpoint[i].words)
                                    - p);

    /* a long URI must not hide what is wrong with it */

    return ngx_eb_genesys_op_problem(op, 502, "%ui of %ui endpoints cannot be "
                                     "used, the first for this reason: %V: "
                                     "%V", n - ctx->what.reachable, n,
                                     &endpoint[i].phase, &endpoint[i].words);
}


static ngx_int_t
ngx_eb_genesys_endpoint_search(ngx_eb_genesys_op_t *op, ngx_msec_t delay,
    ngx_eb_genesys_request_t *request)
{
    ngx_str_t                       type;
    ngx_eb_genesys_endpoint_ctx_t  *ctx;

    ctx = op->data;

    if (ctx->searches++ == NGX_EB_GENESYS_ENDPOINT_SEARCHES) {
        return ngx_eb_genesys_op_problem(op, 502, "what has the name keeps "
                                         "appearing and vanishing");
    }

    ngx_str_null(&type);

    if (ngx_eb_genesys_list_init(&ctx->list, ctx->theirs, &ctx->conf->list,
                                 &ctx->what.doc.name, &type)
        != NGX_OK
        || ngx_eb_genesys_list_request(&ctx->list, request) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_str_set(&request->operation, "endpoint_list");
    request->delay = delay;
    ctx->at = NGX_EB_GENESYS_FOR_SEARCH;

    return NGX_AGAIN;
}


static ngx_int_t
ngx_eb_genesys_endpoint_searched(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request)
{
    ngx_int_t                       rc;
    ngx_eb_genesys_endpoint_ctx_t  *ctx;

    ctx = op->data;

    if (!ngx_eb_genesys_ok(reply)) {
        return ngx_eb_genesys_endpoint_refused(op, reply);
    }

    rc = ngx_eb_genesys_op_page(op, &ctx->list, reply, request);

    if (rc != NGX_OK) {
        ngx_str_set(&request->operation, "endpoint_list");
        return rc;
    }

    if (ctx->list.entity.len) {
        ctx->what.id = ctx->list.id;

        /* lists may show less than the whole */

        return ngx_eb_genesys_endpoint_send(op, NGX_EB_GENESYS_FOR_READ,
                                            request);
    }

    if (ctx->confirm) {
        return ngx_eb_genesys_op_problem(op, 502, "the API said that it "
                                         "created it, but told no id, and "
                                         "does not list the name");
    }

    if (ctx->what.doc.version >= 0) {
        return ngx_eb_genesys_op_problem(op, 409, "there is no integration of "
                                         "this name, let alone of version "
                                         "%L", ctx->what.doc.version);
    }

    /* after POSTs that may have been carried out, and were not */

    if (ctx->posts == NGX_EB_GENESYS_ENDPOINT_POSTS) {
        return ngx_eb_genesys_endpoint_refused(op, &ctx->ambiguous);
    }

    if (ngx_eb_genesys_members_write(op->pool, ctx->members, &request->body)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx->posts++;

    return ngx_eb_genesys_endpoint_send(op, NGX_EB_GENESYS_FOR_POST, request);
}


static ngx_int_t
ngx_eb_genesys_endpoint_send(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_for_e at, ngx_eb_genesys_request_t *request)
{
    ngx_str_t                      *id;
    ngx_eb_genesys_endpoint_ctx_t  *ctx;

    ctx = op->data;
    ctx->at = at;

    id = &ctx->what.id;
    request->idempotent = 1;

    switch (at) {

    case NGX_EB_GENESYS_FOR_POST:
        ngx_str_set(&request->operation, "endpoint_create");
        ngx_str_set(&request->method, "POST");
        request->idempotent = 0;
        id = NULL;
        break;

    case NGX_EB_GENESYS_FOR_PUT:
        ngx_str_set(&request->operation, "endpoint_update");
        ngx_str_set(&request->method, "PUT");
        break;

    default:
        ngx_str_set(&request->operation, "endpoint_get");
        ngx_str_set(&request->method, "GET");
    }

    if (ngx_eb_genesys_path(op->pool, id ? &ctx->conf->item
                                         : &ctx->conf->list, id,
                            &request->uri)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_AGAIN;
}


static ngx_int_t
ngx_eb_genesys_endpoint_read(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request)
{
    ngx_int_t                       rc;
    ngx_str_t                       out, differs;
    ngx_eb_genesys_member_t        *members;
    ngx_eb_genesys_endpoint_ctx_t  *ctx;

    ctx = op->data;

    /* found by its name, and deleted since */

    if (ngx_eb_genesys_gone(reply) && ctx->what.doc.id.len == 0) {
        ngx_str_null(&ctx->what.id);
        return ngx_eb_genesys_endpoint_search(op, 0, request);
    }

    if (!ngx_eb_genesys_ok(reply)) {
        return ngx_eb_genesys_endpoint_refused(op, reply);
    }

    rc = ngx_eb_genesys_doc_object(ctx->theirs, &reply->body);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc != NGX_OK) {
        return ngx_eb_genesys_op_problem(op, 502, "the API's reply is no JSON "
                                         "object");
    }

    ctx->document = reply->body;

    members = ngx_eb_genesys_integration_over(ctx->theirs, &ctx->what.doc);

    if (members == NULL
        || ngx_eb_genesys_patch(ctx->ours, ctx->theirs, members,
                                &reply->body, &out, &differs)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (differs.len == 0) {

        /* a lost reply may have been that of our own POST, or PUT */

        if (ctx->posts && ctx->puts == 0) {
            ctx->what.created = 1;
        }

        if (ctx->posts || ctx->puts) {
            op->answer.changed = 1;
        }

        return ngx_eb_genesys_endpoint_finish(op);
    }

    /* a sender who says which version it read wants to replace no other */

    if (!ngx_eb_genesys_doc_version(ctx->theirs, ctx->what.doc.version)) {
        return ngx_eb_genesys_op_problem(op, 409, "the integration has "
                                         "another version than %L by now",
                                         ctx->what.doc.version);
    }

    request->body = out;
    request->if_match = reply->etag;

    ctx->puts++;

    return ngx_eb_genesys_endpoint_send(op, NGX_EB_GENESYS_FOR_PUT, request);
}


static ngx_int_t
ngx_eb_genesys_endpoint_posted(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request)
{
    ngx_int_t                       rc;
    ngx_str_t                       id;
    ngx_msec_t                      delay;
    ngx_eb_genesys_endpoint_ctx_t  *ctx;

    ctx = op->data;

    /* it is never sent again blindly: it may be there already */

    if (ngx_eb_genesys_ambiguous(reply) && !reply->late) {
        ctx->ambiguous = *reply;

        delay = ctx->posts * NGX_EB_GENESYS_ENDPOINT_AMBIGUOUS;

        return ngx_eb_genesys_endpoint_search(op, ngx_max(delay, reply->wait),
                                              request);
    }

    /* someone was faster */

    if (reply->status == 409 && ctx->posts < NGX_EB_GENESYS_ENDPOINT_POSTS) {
        ctx->ambiguous = *reply;
        return ngx_eb_genesys_endpoint_search(op,
                                              NGX_EB_GENESYS_ENDPOINT_TAKEN,
                                              request);
    }

    if (!ngx_eb_genesys_ok(reply)) {
        return ngx_eb_genesys_endpoint_refused(op, reply);
    }

    ctx->what.created = 1;
    op->answer.changed = 1;

    rc = ngx_eb_genesys_doc_object(ctx->theirs, &reply->body);

    if (rc == NGX_OK) {
        rc = ngx_eb_genesys_doc_string(ctx->theirs, 0, "id", &id);
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc != NGX_OK || !ngx_eb_genesys_is_id(&id)) {
        ctx->confirm = 1;
        return ngx_eb_genesys_endpoint_search(op,
                                              NGX_EB_GENESYS_ENDPOINT_TAKEN,
                                              request);
    }

    ctx->what.id = id;
    ctx->document = reply->body;

    return ngx_eb_genesys_endpoint_finish(op);
}


static ngx_int_t
ngx_eb_genesys_endpoint_put(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request)
{
    ngx_int_t                       rc;
    ngx_eb_genesys_endpoint_ctx_t  *ctx;

    ctx = op->data;

    if (ngx_eb_genesys_conflict(reply)
        && ctx->what.doc.version < 0
        && ctx->puts < NGX_EB_GENESYS_ENDPOINT_PUTS)
    {
        return ngx_eb_genesys_endpoint_send(op, NGX_EB_GENESYS_FOR_READ,
                                            request);
    }

    if (ngx_eb_genesys_gone(reply) && ctx->what.doc.id.len == 0) {
        ngx_str_null(&ctx->what.id);
        return ngx_eb_genesys_endpoint_search(op, 0, request);
    }

    if (!ngx_eb_genesys_ok(reply)) {
        return ngx_eb_genesys_endpoint_refused(op, reply);
    }

    op->answer.changed = 1;

    rc = ngx_eb_genesys_doc_object(ctx->theirs, &reply->body);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_OK) {
        ctx->document = reply->body;
    }

    return ngx_eb_genesys_endpoint_finish(op);
}


static ngx_int_t
ngx_eb_genesys_endpoint_finish(ngx_eb_genesys_op_t *op)
{
    ngx_str_t                       text, flag;
    ngx_pool_t                     *pool;
    ngx_eb_genesys_member_t        *first;
    ngx_eb_genesys_endpoint_ctx_t  *ctx;

    ctx = op->data;
    pool = op->pool;
    first = NULL;

    ctx->what.state = NGX_EB_GENESYS_STATE_DEPLOYED;

    if (ctx->what.created) {
        ngx_str_set(&op->answer.action, "endpoint_created");

    } else if (op->answer.changed) {
        ngx_str_set(&op->answer.action, "endpoint_updated");

    } else {
        ngx_str_set(&op->answer.action, "endpoint_unchanged");
    }

    if (op->answer.changed) {
        ngx_str_set(&flag, "true");

    } else {
        ngx_str_set(&flag, "false");
    }

    if (ngx_eb_genesys_member_string(pool, &first, "id", &ctx->what.id) == NULL
        || ngx_eb_genesys_member_string(pool, &first, "name",
                                        &ctx->what.doc.name)
           == NULL
        || ngx_eb_genesys_member_string(pool, &first, "state",
                                  ngx_eb_genesys_state(ctx->what.state))
           == NULL
        || ngx_eb_genesys_member(pool, &first, "changed", &flag) == NULL
        || ngx_eb_genesys_member(pool, &first, "integration", &ctx->document)
           == NULL
        || ngx_eb_genesys_members_write(pool, first, &text) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_eb_genesys_op_done(op, ctx->what.created ? 201 : 200, &text);
}


static ngx_int_t
ngx_eb_genesys_endpoint_refused(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply)
{
    return ngx_eb_genesys_op_refused(op, reply,
                                     ngx_eb_genesys_endpoint_alternative);
}


/* whatever it is, the answer has the endpoints, too */

static ngx_int_t
ngx_eb_genesys_endpoint_end(ngx_eb_genesys_op_t *op, ngx_int_t rc)
{
    u_char                         *p;
    size_t                          len;
    ngx_int_t                       n;
    ngx_str_t                       results, *body;
    ngx_eb_genesys_endpoint_ctx_t  *ctx;

    ctx = op->data;

    if (ctx->conf->clock) {
        ctx->what.latency = ctx->conf->clock() - ctx->start;
    }

    if (rc != NGX_DONE || !ctx->what.valid) {
        return rc;
    }

    body = &op->answer.body;

    if (ctx->what.state == NGX_EB_GENESYS_STATE_UNKNOWN) {
        ctx->what.state = NGX_EB_GENESYS_STATE_FAILED;

        n = ngx_eb_genesys_doc_object(ctx->ours, body);

        if (n == NGX_OK) {
            n = ngx_eb_genesys_doc_string(ctx->ours, 0, "detail",
                                          &ctx->what.error);
        }

        if (n == NGX_ERROR) {
            return NGX_ERROR;
        }
    }

    if (ngx_eb_genesys_endpoint_results(op->pool, &ctx->what, &results)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    len = sizeof(",\"endpoints\":,\"latencyMs\":}") - 1 + results.len
          + NGX_INT_T_LEN;

    p = ngx_pnalloc(op->pool, body->len + len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    /* all of them are objects, and not empty: before the last brace */

    results.len = (size_t) (ngx_sprintf(ngx_cpymem(p, body->data,
                                                   body->len - 1),
                                        ",\"endpoints\":%V,\"latencyMs\":%M}",
                                        &results, ctx->what.latency)
                            - p);
    body->data = p;
    body->len = results.len;

    return NGX_DONE;
}
