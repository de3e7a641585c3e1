
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


/*
 * How often one operation looks a name up and creates.  It is enough for
 * other writers of flesh and blood; the bounds are for an API that never
 * comes to rest.
 */

#define NGX_EB_GENESYS_SEARCHES        6
#define NGX_EB_GENESYS_POSTS           3

/*
 * What was just created may be missing from a list for a moment: how long a
 * search waits, in ms
 */

#define NGX_EB_GENESYS_TAKEN_DELAY      500
#define NGX_EB_GENESYS_AMBIGUOUS_DELAY  1000


static ngx_eb_genesys_ctx_t *ngx_eb_genesys_ctx(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_sub_api_t *api, ngx_eb_genesys_sub_verb_e verb,
    ngx_str_t *id);
static ngx_int_t ngx_eb_genesys_subscription_step(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_start(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_searched(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_found(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_post(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_posted(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_deleted(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply);


ngx_eb_genesys_sub_api_t  ngx_eb_genesys_reference_api = {
    ngx_string("/api/v2/eventbridge/subscriptions"),
    ngx_string("/api/v2/eventbridge/subscriptions/{id}"),
    ngx_null_string,
    0
};


ngx_eb_genesys_sub_api_t  ngx_eb_genesys_integrations_api = {
    ngx_string("/api/v2/integrations"),
    ngx_string("/api/v2/integrations/{id}"),
    ngx_string("/api/v2/integrations/{id}/config/current"),
    1
};


ngx_str_t  ngx_eb_genesys_integration_type =
    ngx_string(NGX_EB_GENESYS_INTEGRATION);


/* by verb; what succeeds has a name of its own */

static ngx_str_t  ngx_eb_genesys_actions[] = {
    ngx_string("subscription_create"),
    ngx_string("subscriptions_listed"),
    ngx_string("subscription_read"),
    ngx_string("subscription_replace"),
    ngx_string("subscription_delete"),
    ngx_string("subscription_ensure")
};


ngx_int_t
ngx_eb_genesys_subscription_init(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_sub_api_t *api, ngx_eb_genesys_sub_verb_e verb,
    ngx_str_t *id, ngx_eb_genesys_settings_t *settings)
{
    ngx_eb_genesys_ctx_t  *ctx;

    ctx = ngx_eb_genesys_ctx(op, api, verb, id);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    if (settings == NULL) {
        return NGX_OK;
    }

    ctx->settings = settings;

    ctx->members = ngx_eb_genesys_settings_members(op->pool, settings);

    return ctx->members ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_eb_genesys_subscription_init_body(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_sub_api_t *api, ngx_eb_genesys_sub_verb_e verb,
    ngx_str_t *id, ngx_str_t *body)
{
    ngx_eb_genesys_ctx_t       *ctx;
    ngx_eb_genesys_settings_t  *settings;

    ctx = ngx_eb_genesys_ctx(op, api, verb, id);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    settings = ngx_pcalloc(op->pool, sizeof(ngx_eb_genesys_settings_t));
    if (settings == NULL) {
        return NGX_ERROR;
    }

    settings->integration = api->integration;
    ctx->settings = settings;

    ngx_eb_genesys_settings_read(settings, &ctx->body, body,
                                 (verb == NGX_EB_GENESYS_SUB_REPLACE) ? id
                                                                      : NULL);
    if (ctx->body.failed) {
        return NGX_ERROR;
    }

    if (ctx->body.violations.nelts) {
        return NGX_OK;
    }

    ctx->members = ngx_eb_genesys_settings_members(op->pool, settings);

    return ctx->members ? NGX_OK : NGX_ERROR;
}


ngx_eb_genesys_subscription_t *
ngx_eb_genesys_subscription(ngx_eb_genesys_op_t *op)
{
    ngx_eb_genesys_ctx_t  *ctx;

    ctx = op->data;

    return &ctx->result;
}


static ngx_eb_genesys_ctx_t *
ngx_eb_genesys_ctx(ngx_eb_genesys_op_t *op, ngx_eb_genesys_sub_api_t *api,
    ngx_eb_genesys_sub_verb_e verb, ngx_str_t *id)
{
    ngx_eb_genesys_ctx_t  *ctx;

    ctx = ngx_pcalloc(op->pool, sizeof(ngx_eb_genesys_ctx_t));
    if (ctx == NULL) {
        return NULL;
    }

    ctx->api = api;
    ctx->verb = verb;

    ctx->ours = ngx_eb_genesys_doc_create(op->pool);
    ctx->theirs = ngx_eb_genesys_doc_create(op->pool);

    if (ctx->ours == NULL
        || ctx->theirs == NULL
        || ngx_eb_genesys_body_init(&ctx->body, op->pool, ctx->ours)
           != NGX_OK)
    {
        return NULL;
    }

    if (id && ngx_eb_genesys_is_id(id)) {
        ctx->id = *id;

    } else if (id && verb != NGX_EB_GENESYS_SUB_ENSURE) {
        ngx_eb_genesys_body_bad(&ctx->body, "id", "path",
                                "1 to 128 letters, digits, hyphens, points, "
                                "underscores and tildes are expected");
        if (ctx->body.failed) {
            return NULL;
        }
    }

    op->step = ngx_eb_genesys_subscription_step;
    op->data = ctx;

    ngx_memzero(&op->answer, sizeof(ngx_eb_genesys_answer_t));
    op->answer.action = ngx_eb_genesys_actions[verb];

    return ctx;
}


static ngx_int_t
ngx_eb_genesys_subscription_step(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request)
{
    ngx_int_t              rc;
    ngx_eb_genesys_ctx_t  *ctx;

    ctx = op->data;
    ngx_memzero(request, sizeof(ngx_eb_genesys_request_t));

    if (reply == NULL) {
        rc = ngx_eb_genesys_start(op, request);

    } else {
        ngx_eb_genesys_op_reply(op, reply);

        switch (ctx->at) {

        case NGX_EB_GENESYS_AT_SEARCH:
            rc = ngx_eb_genesys_searched(op, reply, request);
            break;

        case NGX_EB_GENESYS_AT_POST:
            rc = ngx_eb_genesys_posted(op, reply, request);
            break;

        case NGX_EB_GENESYS_AT_ITEM:
            rc = ngx_eb_genesys_sub_item(op, reply, request);
            break;

        case NGX_EB_GENESYS_AT_CONFIG:
            rc = ngx_eb_genesys_sub_config(op, reply, request);
            break;

        case NGX_EB_GENESYS_AT_PUT:
            rc = ngx_eb_genesys_sub_written(op, reply, request);
            break;

        case NGX_EB_GENESYS_AT_READ_BACK:
            rc = ngx_eb_genesys_sub_back(op, reply, request);
            break;

        case NGX_EB_GENESYS_AT_ENABLE:
            rc = ngx_eb_genesys_sub_enabled(op, reply);
            break;

        default: /* NGX_EB_GENESYS_AT_DELETE */
            rc = ngx_eb_genesys_deleted(op, reply);
            break;
        }
    }

    op->answer.id = ctx->id;

    return rc;
}


static ngx_int_t
ngx_eb_genesys_start(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_request_t *request)
{
    ngx_eb_genesys_ctx_t  *ctx;

    ctx = op->data;

    if (ctx->body.violations.nelts) {
        return ngx_eb_genesys_op_violations(op, &ctx->body);
    }

    switch (ctx->verb) {

    case NGX_EB_GENESYS_SUB_GET:
    case NGX_EB_GENESYS_SUB_REPLACE:
        return ngx_eb_genesys_sub_send(op, NGX_EB_GENESYS_AT_ITEM, request);

    case NGX_EB_GENESYS_SUB_DELETE:

        /* an integration of another kind is none of ours to delete */

        return ngx_eb_genesys_sub_send(op, ctx->api->integration
                                           ? NGX_EB_GENESYS_AT_ITEM
                                           : NGX_EB_GENESYS_AT_DELETE,
                                       request);

    case NGX_EB_GENESYS_SUB_ENSURE:

        if (ctx->id.len) {
            return ngx_eb_genesys_sub_send(op, NGX_EB_GENESYS_AT_ITEM, request);
        }

        /* fall through */

    default: /* NGX_EB_GENESYS_SUB_CREATE, NGX_EB_GENESYS_SUB_LIST */
        return ngx_eb_genesys_sub_search(op, 0, request);
    }
}


/* a request without a body to the path of the thing, or of its config */

ngx_int_t
ngx_eb_genesys_sub_send(ngx_eb_genesys_op_t *op, ngx_eb_genesys_at_e at,
    ngx_eb_genesys_request_t *request)
{
    ngx_str_t             *template;
    ngx_eb_genesys_ctx_t  *ctx;

    ctx = op->data;
    ctx->at = at;

    template = &ctx->api->item;

    ngx_str_set(&request->operation, "subscription_get");
    ngx_str_set(&request->method, "GET");
    request->idempotent = 1;

    switch (at) {

    case NGX_EB_GENESYS_AT_CONFIG:
    case NGX_EB_GENESYS_AT_READ_BACK:

        if (ctx->api->integration) {
            ngx_str_set(&request->operation, "integration_config_get");
            template = &ctx->api->config;
        }

        break;

    case NGX_EB_GENESYS_AT_PUT:
        ngx_str_set(&request->operation, "subscription_update");
        ngx_str_set(&request->method, "PUT");

        if (ctx->api->integration) {
            ngx_str_set(&request->operation, "integration_config_update");
            template = &ctx->api->config;
        }

        break;

    case NGX_EB_GENESYS_AT_ENABLE:
        ngx_str_set(&request->operation, "integration_enable");
        ngx_str_set(&request->method, "PATCH");
        ngx_str_set(&request->body, "{\"intendedState\":\"ENABLED\"}");
        break;

    case NGX_EB_GENESYS_AT_DELETE:
        ngx_str_set(&request->operation, "subscription_delete");
        ngx_str_set(&request->method, "DELETE");
        break;

    default:
        break;
    }

    if (ngx_eb_genesys_path(op->pool, template, &ctx->id, &request->uri)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_AGAIN;
}


/* for the name, or for all there are */

ngx_int_t
ngx_eb_genesys_sub_search(ngx_eb_genesys_op_t *op, ngx_msec_t delay,
    ngx_eb_genesys_request_t *request)
{
    ngx_str_t              name, type;
    ngx_eb_genesys_ctx_t  *ctx;

    ctx = op->data;

    if (ctx->searches++ == NGX_EB_GENESYS_SEARCHES) {
        return ngx_eb_genesys_op_problem(op, 502, "what has the name keeps "
                                         "appearing and vanishing");
    }

    ngx_str_null(&ctx->id);
    ngx_str_null(&name);
    ngx_str_null(&type);

    if (ctx->verb != NGX_EB_GENESYS_SUB_LIST) {
        name = ctx->settings->name;
    }

    if (ctx->api->integration) {
        type = ngx_eb_genesys_integration_type;
    }

    if (ngx_eb_genesys_list_init(&ctx->list, ctx->theirs, &ctx->api->list,
                                 &name, &type)
        != NGX_OK
        || ngx_eb_genesys_list_request(&ctx->list, request) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_str_set(&request->operation, "subscription_list");
    request->delay = delay;
    ctx->at = NGX_EB_GENESYS_AT_SEARCH;

    return NGX_AGAIN;
}


static ngx_int_t
ngx_eb_genesys_searched(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request)
{
    ngx_int_t              rc;
    ngx_str_t              text;
    ngx_eb_genesys_ctx_t  *ctx;

    ctx = op->data;

    if (!ngx_eb_genesys_ok(reply)) {
        return ngx_eb_genesys_op_refused(op, reply,
                                         ngx_eb_genesys_sub_instead(ctx));
    }

    rc = ngx_eb_genesys_op_page(op, &ctx->list, reply, request);

    if (rc != NGX_OK) {
        ngx_str_set(&request->operation, "subscription_list");
        return rc;
    }

    if (ctx->verb == NGX_EB_GENESYS_SUB_LIST) {

        if (ngx_eb_genesys_list_write(&ctx->list, &text) != NGX_OK) {
            return NGX_ERROR;
        }

        return ngx_eb_genesys_op_done(op, 200, &text);
    }

    if (ctx->list.entity.len) {
        ctx->id = ctx->list.id;
        return ngx_eb_genesys_found(op, request);
    }

    if (ctx->confirm) {
        return ngx_eb_genesys_op_problem(op, 502, "the API said that it "
                                         "created it, but told no id, and "
                                         "does not list the name");
    }

    /* after a POST that may have been carried out, and was not */

    if (ctx->posts == NGX_EB_GENESYS_POSTS) {
        return ngx_eb_genesys_op_refused(op, &ctx->ambiguous_reply, NULL);
    }

    return ngx_eb_genesys_post(op, request);
}


static ngx_int_t
ngx_eb_genesys_found(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_request_t *request)
{
    ngx_eb_genesys_ctx_t  *ctx;

    ctx = op->data;

    if (ctx->verb == NGX_EB_GENESYS_SUB_CREATE
        && !ctx->ambiguous && !ctx->confirm)
    {
        return ngx_eb_genesys_op_problem(op, 409, "the name is taken: \"%V\" "
                                         "has it", &ctx->id);
    }

    /* lists may show less than the whole */

    return ngx_eb_genesys_sub_send(op, NGX_EB_GENESYS_AT_ITEM, request);
}


static ngx_int_t
ngx_eb_genesys_post(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_request_t *request)
{
    ngx_eb_genesys_ctx_t     *ctx;
    ngx_eb_genesys_member_t  *first, *m;

    ctx = op->data;
    first = ctx->members;

    if (ctx->api->integration) {
        first = NULL;

        if (ngx_eb_genesys_member_string(op->pool, &first, "name",
                                         &ctx->settings->name)
            == NULL)
        {
            return NGX_ERROR;
        }

        m = ngx_eb_genesys_member(op->pool, &first, "integrationType", NULL);

        if (m == NULL
            || ngx_eb_genesys_member_string(op->pool, &m->child, "id",
                                            &ngx_eb_genesys_integration_type)
               == NULL)
        {
            return NGX_ERROR;
        }
    }

    if (ngx_eb_genesys_members_write(op->pool, first, &request->body)
        != NGX_OK
        || ngx_eb_genesys_path(op->pool, &ctx->api->list, NULL, &request->uri)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_str_set(&request->operation, "subscription_create");
    ngx_str_set(&request->method, "POST");

    ctx->at = NGX_EB_GENESYS_AT_POST;
    ctx->posts++;

    return NGX_AGAIN;
}


static ngx_int_t
ngx_eb_genesys_posted(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request)
{
    ngx_int_t              rc;
    ngx_str_t              id;
    ngx_msec_t             delay;
    ngx_eb_genesys_ctx_t  *ctx;

    ctx = op->data;

    if (ngx_eb_genesys_ambiguous(reply) && !reply->late) {
        ctx->ambiguous = 1;
        ctx->ambiguous_reply = *reply;

        delay = ctx->posts * NGX_EB_GENESYS_AMBIGUOUS_DELAY;

        return ngx_eb_genesys_sub_search(op, ngx_max(delay, reply->wait),
                                         request);
    }

    /* someone was faster; or, after an ambiguous one, we were */

    if (reply->status == 409
        && ctx->posts < NGX_EB_GENESYS_POSTS
        && (ctx->verb == NGX_EB_GENESYS_SUB_ENSURE || ctx->ambiguous))
    {
        return ngx_eb_genesys_sub_search(op, NGX_EB_GENESYS_TAKEN_DELAY,
                                         request);
    }

    if (!ngx_eb_genesys_ok(reply)) {
        return ngx_eb_genesys_op_refused(op, reply,
                                         ngx_eb_genesys_sub_instead(ctx));
    }

    ctx->result.created = 1;
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
        return ngx_eb_genesys_sub_search(op, NGX_EB_GENESYS_TAKEN_DELAY,
                                         request);
    }

    ctx->id = id;
    ctx->item = reply->body;

    if (ctx->api->integration) {
        return ngx_eb_genesys_sub_send(op, NGX_EB_GENESYS_AT_CONFIG, request);
    }

    return ngx_eb_genesys_sub_finish(op);
}


static ngx_int_t
ngx_eb_genesys_deleted(ngx_eb_genesys_op_t *op, ngx_eb_genesys_reply_t *reply)
{
    ngx_str_t              text;
    ngx_eb_genesys_ctx_t  *ctx;

    ctx = op->data;

    if (!ngx_eb_genesys_ok(reply)) {
        return ngx_eb_genesys_op_refused(op, reply,
                                         ngx_eb_genesys_sub_instead(ctx));
    }

    ngx_str_set(&op->answer.action, "subscription_deleted");
    op->answer.changed = 1;

    ngx_str_null(&text);

    return ngx_eb_genesys_op_done(op, 204, &text);
}


const char *
ngx_eb_genesys_sub_instead(ngx_eb_genesys_ctx_t *ctx)
{
    if (ctx->api->integration) {
        return NULL;
    }

    return "The public Genesys Cloud API has no event bridge subscriptions: "
           "what it has are the Amazon EventBridge integrations (\"api "
           "integrations\" manages them), /api/v2/notifications/channels and "
           "/api/v2/processautomation/triggers.";
}
