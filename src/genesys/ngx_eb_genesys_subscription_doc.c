
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_genesys.h"
#include "ngx_eb_genesys_body.h"
#include "ngx_eb_genesys_list.h"
#include "ngx_eb_genesys_op.h"
#include "ngx_eb_genesys_patch.h"
#include "ngx_eb_genesys_settings.h"
#include "ngx_eb_genesys_subscription.h"
#include "ngx_eb_genesys_subscription_ctx.h"


/* how often one operation writes, each time after a conflict */
#define NGX_EB_GENESYS_PUTS  4


static ngx_int_t ngx_eb_genesys_recognize(ngx_eb_genesys_op_t *op);
static ngx_int_t ngx_eb_genesys_no_config(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_compare(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_put(ngx_eb_genesys_op_t *op,
    ngx_str_t *body, ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_configured(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_state(ngx_eb_genesys_ctx_t *ctx);
static ngx_int_t ngx_eb_genesys_integration_body(ngx_eb_genesys_ctx_t *ctx,
    ngx_str_t *text);
static ngx_int_t ngx_eb_genesys_unreadable(ngx_eb_genesys_op_t *op,
    ngx_int_t rc);


ngx_int_t
ngx_eb_genesys_sub_item(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request)
{
    ngx_int_t              rc;
    ngx_eb_genesys_ctx_t  *ctx;

    ctx = op->data;

    /* deleted at run time, perhaps between the list and now */

    if (ctx->verb == NGX_EB_GENESYS_SUB_ENSURE && ngx_eb_genesys_gone(reply)) {
        return ngx_eb_genesys_sub_search(op, 0, request);
    }

    if (!ngx_eb_genesys_ok(reply)) {
        return ngx_eb_genesys_op_refused(op, reply,
                                         ngx_eb_genesys_sub_instead(ctx));
    }

    ctx->item = reply->body;
    ctx->etag = reply->etag;

    rc = ngx_eb_genesys_doc_object(ctx->theirs, &ctx->item);

    if (rc != NGX_OK) {
        return ngx_eb_genesys_unreadable(op, rc);
    }

    rc = ngx_eb_genesys_recognize(op);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {

        if (ctx->verb == NGX_EB_GENESYS_SUB_ENSURE) {
            return ngx_eb_genesys_sub_search(op, 0, request);
        }

        return ngx_eb_genesys_op_problem(op, 404, "the integration \"%V\" is "
                                         "of another type than "
                                         NGX_EB_GENESYS_INTEGRATION,
                                         &ctx->id);
    }

    if (ctx->api->integration) {

        if (ctx->verb == NGX_EB_GENESYS_SUB_DELETE) {
            return ngx_eb_genesys_sub_send(op, NGX_EB_GENESYS_AT_DELETE,
                                           request);
        }

        return ngx_eb_genesys_sub_send(op, NGX_EB_GENESYS_AT_CONFIG, request);
    }

    if (ctx->verb == NGX_EB_GENESYS_SUB_GET) {
        return ngx_eb_genesys_sub_finish(op);
    }

    ctx->config = ctx->item;

    return ngx_eb_genesys_compare(op, request);
}


/*
 * Is it what is meant?  An integration of our type; and for a name, one that
 * has it still.  The index of the item is in ctx->theirs.
 */

static ngx_int_t
ngx_eb_genesys_recognize(ngx_eb_genesys_op_t *op)
{
    ngx_int_t              rc;
    ngx_str_t              value;
    ngx_eb_json_node_t     node;
    ngx_eb_genesys_ctx_t  *ctx;

    static ngx_str_t  type = ngx_string("integrationType");

    ctx = op->data;

    if (ctx->api->integration) {
        node = ngx_eb_json_member(&ctx->theirs->json, 0, &type);

        if (node == NGX_EB_JSON_NONE) {
            return NGX_DECLINED;
        }

        rc = ngx_eb_genesys_doc_string(ctx->theirs, node, "id", &value);

        if (rc != NGX_OK) {
            return rc;
        }

        if (value.len != ngx_eb_genesys_integration_type.len
            || ngx_memcmp(value.data, ngx_eb_genesys_integration_type.data,
                          value.len) != 0)
        {
            return NGX_DECLINED;
        }
    }

    if (ctx->verb != NGX_EB_GENESYS_SUB_ENSURE) {
        return NGX_OK;
    }

    rc = ngx_eb_genesys_doc_string(ctx->theirs, 0, "name", &value);

    if (rc != NGX_OK) {
        return rc;
    }

    return (value.len == ctx->settings->name.len
            && ngx_memcmp(value.data, ctx->settings->name.data, value.len)
               == 0)
           ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_eb_genesys_sub_config(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request)
{
    ngx_int_t              rc;
    ngx_eb_genesys_ctx_t  *ctx;

    ctx = op->data;

    if (reply->status == 404) {
        return ngx_eb_genesys_no_config(op, request);
    }

    if (!ngx_eb_genesys_ok(reply)) {
        return ngx_eb_genesys_op_refused(op, reply, NULL);
    }

    ctx->config = reply->body;
    ctx->etag = reply->etag;

    rc = ngx_eb_genesys_doc_object(ctx->theirs, &ctx->config);

    if (rc != NGX_OK) {
        return ngx_eb_genesys_unreadable(op, rc);
    }

    if (ctx->verb == NGX_EB_GENESYS_SUB_GET) {
        return ngx_eb_genesys_sub_finish(op);
    }

    return ngx_eb_genesys_compare(op, request);
}


/* a new integration may have no configuration yet: we write the first one */

static ngx_int_t
ngx_eb_genesys_no_config(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_request_t *request)
{
    ngx_str_t              text, out, differs;
    ngx_eb_genesys_ctx_t  *ctx;

    ctx = op->data;

    if (ctx->verb == NGX_EB_GENESYS_SUB_GET) {
        ngx_str_set(&ctx->config, "null");
        return ngx_eb_genesys_sub_finish(op);
    }

    ngx_str_set(&text, "{\"advanced\":{},\"notes\":\"\",\"credentials\":{}}");
    ngx_str_null(&ctx->etag);

    if (ngx_eb_genesys_patch(ctx->ours, ctx->theirs, ctx->members, &text,
                             &out, &differs)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_eb_genesys_put(op, &out, request);
}


static ngx_int_t
ngx_eb_genesys_compare(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_request_t *request)
{
    ngx_int_t              rc;
    ngx_str_t              out, differs;
    ngx_eb_genesys_ctx_t  *ctx;

    ctx = op->data;

    rc = ngx_eb_genesys_patch(ctx->ours, ctx->theirs, ctx->members,
                              &ctx->config, &out, &differs);

    if (rc != NGX_OK) {
        return ngx_eb_genesys_unreadable(op, rc);
    }

    /* what an ambiguous POST left is as it was sent, or is not ours */

    if (ctx->ambiguous || ctx->confirm) {

        if (differs.len == 0 || ctx->api->integration) {
            ctx->result.created = 1;
            op->answer.changed = 1;

        } else if (ctx->verb == NGX_EB_GENESYS_SUB_CREATE && ctx->puts == 0) {
            return ngx_eb_genesys_op_problem(op, 409, "the name is taken: "
                                             "\"%V\" has it, and it is "
                                             "different", &ctx->id);
        }
    }

    if (differs.len == 0) {

        /* after a conflict: it may be that a lost reply was of our own PUT */

        if (ctx->puts) {
            op->answer.changed = 1;
        }

        return ngx_eb_genesys_configured(op, request);
    }

    /* a sender who says which version it read wants to replace no other */

    if (ctx->verb == NGX_EB_GENESYS_SUB_REPLACE
        && !ngx_eb_genesys_doc_version(ctx->theirs, ctx->settings->version))
    {
        return ngx_eb_genesys_op_problem(op, 409, "it has another version "
                                         "than %L by now",
                                         ctx->settings->version);
    }

    if (!ctx->result.created && !ctx->result.drift) {
        ctx->result.drift = 1;
        ctx->result.differs = differs;
    }

    return ngx_eb_genesys_put(op, &out, request);
}


static ngx_int_t
ngx_eb_genesys_put(ngx_eb_genesys_op_t *op, ngx_str_t *body,
    ngx_eb_genesys_request_t *request)
{
    ngx_eb_genesys_ctx_t  *ctx;

    ctx = op->data;

    ctx->puts++;

    request->body = *body;
    request->if_match = ctx->etag;

    return ngx_eb_genesys_sub_send(op, NGX_EB_GENESYS_AT_PUT, request);
}


ngx_int_t
ngx_eb_genesys_sub_written(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request)
{
    ngx_int_t              rc;
    ngx_str_t              out, differs;
    ngx_eb_genesys_ctx_t  *ctx;

    ctx = op->data;

    if (ngx_eb_genesys_conflict(reply)
        && ctx->puts < NGX_EB_GENESYS_PUTS
        && !(ctx->verb == NGX_EB_GENESYS_SUB_REPLACE
             && ctx->settings->version >= 0))
    {
        return ngx_eb_genesys_sub_send(op, ctx->api->integration
                                           ? NGX_EB_GENESYS_AT_CONFIG
                                           : NGX_EB_GENESYS_AT_ITEM,
                                       request);
    }

    if (ctx->verb == NGX_EB_GENESYS_SUB_ENSURE && ngx_eb_genesys_gone(reply)) {
        return ngx_eb_genesys_sub_search(op, 0, request);
    }

    if (!ngx_eb_genesys_ok(reply)) {
        return ngx_eb_genesys_op_refused(op, reply, NULL);
    }

    op->answer.changed = 1;

    /* a reply that shows it all saves a look */

    rc = ngx_eb_genesys_patch(ctx->ours, ctx->theirs, ctx->members,
                              &reply->body, &out, &differs);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_OK && differs.len == 0) {
        ctx->config = reply->body;
        return ngx_eb_genesys_configured(op, request);
    }

    return ngx_eb_genesys_sub_send(op, NGX_EB_GENESYS_AT_READ_BACK, request);
}


ngx_int_t
ngx_eb_genesys_sub_back(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request)
{
    ngx_int_t              rc;
    ngx_str_t              out, differs;
    ngx_eb_genesys_ctx_t  *ctx;

    ctx = op->data;

    if (!ngx_eb_genesys_ok(reply)) {
        return ngx_eb_genesys_op_refused(op, reply, NULL);
    }

    rc = ngx_eb_genesys_patch(ctx->ours, ctx->theirs, ctx->members,
                              &reply->body, &out, &differs);

    if (rc != NGX_OK) {
        return ngx_eb_genesys_unreadable(op, rc);
    }

    /* nobody is served by writing it again at every check */

    if (differs.len) {
        return ngx_eb_genesys_op_problem(op, 502, "the API accepted the "
                                         "change, but \"%V\" is not as it was "
                                         "sent", &differs);
    }

    ctx->config = reply->body;

    return ngx_eb_genesys_configured(op, request);
}


static ngx_int_t
ngx_eb_genesys_configured(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_request_t *request)
{
    ngx_int_t              rc;
    ngx_str_t              state;
    ngx_eb_genesys_ctx_t  *ctx;

    ctx = op->data;

    if (!ctx->api->integration) {
        ctx->item = ctx->config;
        return ngx_eb_genesys_sub_finish(op);
    }

    rc = ngx_eb_genesys_doc_object(ctx->theirs, &ctx->item);

    if (rc == NGX_OK) {
        rc = ngx_eb_genesys_doc_string(ctx->theirs, 0, "intendedState",
                                       &state);
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_OK && state.len == 7
        && ngx_memcmp(state.data, "ENABLED", 7) == 0)
    {
        return ngx_eb_genesys_sub_finish(op);
    }

    if (!ctx->result.created && !ctx->result.drift) {
        ctx->result.drift = 1;
        ngx_str_set(&ctx->result.differs, "intendedState");
    }

    return ngx_eb_genesys_sub_send(op, NGX_EB_GENESYS_AT_ENABLE, request);
}


ngx_int_t
ngx_eb_genesys_sub_enabled(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply)
{
    ngx_int_t              rc;
    ngx_eb_genesys_ctx_t  *ctx;

    ctx = op->data;

    if (!ngx_eb_genesys_ok(reply)) {
        return ngx_eb_genesys_op_refused(op, reply, NULL);
    }

    op->answer.changed = 1;

    rc = ngx_eb_genesys_doc_object(ctx->theirs, &reply->body);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_OK) {
        ctx->item = reply->body;
    }

    return ngx_eb_genesys_sub_finish(op);
}


ngx_int_t
ngx_eb_genesys_sub_finish(ngx_eb_genesys_op_t *op)
{
    ngx_str_t              text;
    ngx_eb_genesys_ctx_t  *ctx;

    ctx = op->data;

    if (ngx_eb_genesys_state(ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    ctx->result.id = ctx->id;
    text = ctx->item;

    if (ctx->api->integration
        && ngx_eb_genesys_integration_body(ctx, &text) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->verb == NGX_EB_GENESYS_SUB_GET) {
        return ngx_eb_genesys_op_done(op, 200, &text);
    }

    if (ctx->result.created) {
        ngx_str_set(&op->answer.action, "subscription_created");
        return ngx_eb_genesys_op_done(op, 201, &text);
    }

    if (op->answer.changed) {
        ngx_str_set(&op->answer.action, "subscription_updated");

    } else {
        ngx_str_set(&op->answer.action, "subscription_unchanged");
    }

    return ngx_eb_genesys_op_done(op, 200, &text);
}


/* what the API says of its state */

static ngx_int_t
ngx_eb_genesys_state(ngx_eb_genesys_ctx_t *ctx)
{
    ngx_int_t           rc;
    ngx_str_t          *status;
    ngx_eb_json_node_t  node;

    static ngx_str_t  reported = ngx_string("reportedState");

    status = &ctx->result.status;
    ngx_str_null(status);

    rc = ngx_eb_genesys_doc_object(ctx->theirs, &ctx->item);

    if (rc != NGX_OK) {
        return (rc == NGX_ERROR) ? NGX_ERROR : NGX_OK;
    }

    if (!ctx->api->integration) {
        rc = ngx_eb_genesys_doc_string(ctx->theirs, 0, "status", status);

    } else {
        node = ngx_eb_json_member(&ctx->theirs->json, 0, &reported);

        if (node != NGX_EB_JSON_NONE) {
            rc = ngx_eb_genesys_doc_string(ctx->theirs, node, "code", status);
        }
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    ctx->result.active = (status->len == 6
                          && ngx_strncasecmp(status->data,
                                             (u_char *) "active", 6) == 0);
    return NGX_OK;
}


/* an integration is two documents */

static ngx_int_t
ngx_eb_genesys_integration_body(ngx_eb_genesys_ctx_t *ctx, ngx_str_t *text)
{
    ngx_pool_t               *pool;
    ngx_eb_genesys_member_t  *first;

    pool = ctx->theirs->pool;
    first = NULL;

    if (ngx_eb_genesys_member_string(pool, &first, "id", &ctx->id) == NULL
        || ngx_eb_genesys_member(pool, &first, "integration", &ctx->item)
           == NULL
        || ngx_eb_genesys_member(pool, &first, "config", &ctx->config) == NULL)
    {
        return NGX_ERROR;
    }

    return ngx_eb_genesys_members_write(pool, first, text);
}


static ngx_int_t
ngx_eb_genesys_unreadable(ngx_eb_genesys_op_t *op, ngx_int_t rc)
{
    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    return ngx_eb_genesys_op_problem(op, 502, "the API's reply is no JSON "
                                     "object");
}
