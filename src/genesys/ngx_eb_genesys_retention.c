
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_genesys.h"
#include "ngx_eb_genesys_body.h"
#include "ngx_eb_genesys_duration.h"
#include "ngx_eb_genesys_list.h"
#include "ngx_eb_genesys_op.h"
#include "ngx_eb_genesys_patch.h"
#include "ngx_eb_genesys_policy.h"
#include "ngx_eb_genesys_retention.h"


/* of a policy's tags that are looked at: nobody has as many */
#define NGX_EB_GENESYS_SEEN_TAGS   1024

/* of a status that is repeated */
#define NGX_EB_GENESYS_MAX_STATUS  64


typedef enum {
    NGX_EB_GENESYS_ON_READ = 0,
    NGX_EB_GENESYS_ON_PUT,
    NGX_EB_GENESYS_ON_POLL
} ngx_eb_genesys_on_e;


typedef struct {
    ngx_eb_genesys_retention_t        what;

    ngx_eb_genesys_retention_conf_t  *conf;
    ngx_eb_genesys_policy_t           policy;
    ngx_eb_genesys_member_t          *members;
    ngx_eb_genesys_on_e               on;       /* whose reply comes next */

    ngx_eb_genesys_body_t             body;
    ngx_eb_genesys_doc_t             *ours;
    ngx_eb_genesys_doc_t             *theirs;

    ngx_str_t                         document; /* as it was read last */
    ngx_msec_t                        start;
    ngx_uint_t                        conflicts;
    ngx_uint_t                        polls;
    ngx_uint_t                        scheduled;

    unsigned                          running:1;
    unsigned                          get:1;
    unsigned                          dry:1;
} ngx_eb_genesys_retention_ctx_t;


static ngx_eb_genesys_retention_ctx_t *ngx_eb_genesys_retention_ctx(
    ngx_eb_genesys_op_t *op, ngx_eb_genesys_retention_conf_t *conf,
    ngx_str_t *id);
static ngx_int_t ngx_eb_genesys_retention_body(ngx_eb_genesys_op_t *op,
    ngx_str_t *body, ngx_str_t *id);
static ngx_int_t ngx_eb_genesys_retention_step(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_retention_start(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_retention_send(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_on_e on, ngx_msec_t delay,
    ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_retention_read(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_retention_written(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_retention_later(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_retention_poll(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_retention_polled(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_retention_look(
    ngx_eb_genesys_retention_ctx_t *ctx, ngx_str_t *text);
static ngx_int_t ngx_eb_genesys_retention_status(
    ngx_eb_genesys_retention_ctx_t *ctx);
static ngx_int_t ngx_eb_genesys_retention_tags(
    ngx_eb_genesys_retention_ctx_t *ctx);
static ngx_uint_t ngx_eb_genesys_retention_failed(ngx_str_t *status);
static ngx_int_t ngx_eb_genesys_retention_finish(ngx_eb_genesys_op_t *op);
static ngx_int_t ngx_eb_genesys_retention_dry(ngx_eb_genesys_op_t *op);
static void ngx_eb_genesys_retention_latency(
    ngx_eb_genesys_retention_ctx_t *ctx);


static const char  ngx_eb_genesys_retention_alternative[] =
    "The public Genesys Cloud API has no event bridge retention policies: "
    "what it has are /api/v2/recording/mediaretentionpolicies for recordings "
    "and /api/v2/analytics/dataretention/settings for analytics; at AWS, an "
    "archive has RetentionDays.";

static ngx_str_t  ngx_eb_genesys_true = ngx_string("true");
static ngx_str_t  ngx_eb_genesys_false = ngx_string("false");


ngx_int_t
ngx_eb_genesys_retention_adjust(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_retention_conf_t *conf, ngx_str_t *id, ngx_str_t *body)
{
    if (ngx_eb_genesys_retention_ctx(op, conf, id) == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&op->answer.action, "retention_policy_update");

    return ngx_eb_genesys_retention_body(op, body, id);
}


ngx_int_t
ngx_eb_genesys_retention_get(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_retention_conf_t *conf, ngx_str_t *id)
{
    ngx_eb_genesys_retention_ctx_t  *ctx;

    ctx = ngx_eb_genesys_retention_ctx(op, conf, id);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    ctx->get = 1;
    ngx_str_set(&op->answer.action, "retention_policy_read");

    return NGX_OK;
}


ngx_int_t
ngx_eb_genesys_retention_validate(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_retention_conf_t *conf, ngx_str_t *body)
{
    ngx_eb_genesys_retention_ctx_t  *ctx;

    ctx = ngx_eb_genesys_retention_ctx(op, conf, NULL);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    ctx->dry = 1;
    ngx_str_set(&op->answer.action, "retention_policy_validated");

    return ngx_eb_genesys_retention_body(op, body, NULL);
}


ngx_eb_genesys_retention_t *
ngx_eb_genesys_retention(ngx_eb_genesys_op_t *op)
{
    ngx_eb_genesys_retention_ctx_t  *ctx;

    ctx = op->data;

    return &ctx->what;
}


static ngx_eb_genesys_retention_ctx_t *
ngx_eb_genesys_retention_ctx(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_retention_conf_t *conf, ngx_str_t *id)
{
    ngx_eb_genesys_retention_ctx_t  *ctx;

    ctx = ngx_pcalloc(op->pool, sizeof(ngx_eb_genesys_retention_ctx_t));
    if (ctx == NULL) {
        return NULL;
    }

    ctx->conf = conf;
    ngx_str_set(&ctx->what.cost, "0.00");

    ctx->ours = ngx_eb_genesys_doc_create(op->pool);
    ctx->theirs = ngx_eb_genesys_doc_create(op->pool);

    if (ctx->ours == NULL
        || ctx->theirs == NULL
        || ngx_eb_genesys_body_init(&ctx->body, op->pool, ctx->ours)
           != NGX_OK)
    {
        return NULL;
    }

    if (id) {
        ctx->what.id = *id;

        if (!ngx_eb_genesys_is_id(id)) {
            ngx_eb_genesys_body_bad(&ctx->body, "id", "path",
                                    "1 to 128 letters, digits, hyphens, "
                                    "points, underscores and tildes are "
                                    "expected");
            if (ctx->body.failed) {
                return NULL;
            }
        }
    }

    op->step = ngx_eb_genesys_retention_step;
    op->data = ctx;

    ngx_memzero(&op->answer, sizeof(ngx_eb_genesys_answer_t));

    return ctx;
}


static ngx_int_t
ngx_eb_genesys_retention_body(ngx_eb_genesys_op_t *op, ngx_str_t *body,
    ngx_str_t *id)
{
    ngx_str_t                        *cost, none;
    ngx_eb_genesys_retention_ctx_t   *ctx;
    ngx_eb_genesys_retention_conf_t  *conf;

    ctx = op->data;
    conf = ctx->conf;
    cost = &ctx->what.cost;

    ngx_eb_genesys_policy_read(&ctx->policy, &ctx->body, body, id);

    if (ctx->body.failed) {
        return NGX_ERROR;
    }

    if (ctx->body.violations.nelts) {
        return NGX_OK;
    }

    ctx->what.id = ctx->policy.id;
    ctx->what.days = ctx->policy.days;

    cost->data = ngx_pnalloc(op->pool, NGX_EB_GENESYS_COST_LEN);
    if (cost->data == NULL) {
        return NGX_ERROR;
    }

    cost->len = (size_t) (ngx_eb_genesys_cost(cost->data, &conf->gb,
                                              &conf->price, ctx->what.days)
                          - cost->data);

    ngx_str_null(&none);

    ctx->members = ngx_eb_genesys_policy_members(op->pool, &ctx->policy,
                                                 conf->send_cost ? cost
                                                                 : &none);

    return ctx->members ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_eb_genesys_retention_step(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request)
{
    ngx_int_t                        rc;
    ngx_eb_genesys_retention_ctx_t  *ctx;

    ctx = op->data;
    ngx_memzero(request, sizeof(ngx_eb_genesys_request_t));

    op->answer.id = ctx->what.id;

    if (reply == NULL) {
        rc = ngx_eb_genesys_retention_start(op, request);

    } else {
        ngx_eb_genesys_op_reply(op, reply);

        switch (ctx->on) {

        case NGX_EB_GENESYS_ON_READ:
            rc = ngx_eb_genesys_retention_read(op, reply, request);
            break;

        case NGX_EB_GENESYS_ON_PUT:
            rc = ngx_eb_genesys_retention_written(op, reply, request);
            break;

        default: /* NGX_EB_GENESYS_ON_POLL */
            rc = ngx_eb_genesys_retention_polled(op, reply, request);
            break;
        }
    }

    if (rc == NGX_DONE) {
        ngx_eb_genesys_retention_latency(ctx);
    }

    return rc;
}


static ngx_int_t
ngx_eb_genesys_retention_start(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_request_t *request)
{
    ngx_eb_genesys_retention_ctx_t  *ctx;

    ctx = op->data;

    if (ctx->conf->clock) {
        ctx->start = ctx->conf->clock();
    }

    ctx->running = 1;

    if (ctx->body.violations.nelts) {
        return ngx_eb_genesys_op_violations(op, &ctx->body);
    }

    if (ctx->dry) {
        return ngx_eb_genesys_retention_dry(op);
    }

    return ngx_eb_genesys_retention_send(op, NGX_EB_GENESYS_ON_READ, 0,
                                         request);
}


static ngx_int_t
ngx_eb_genesys_retention_send(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_on_e on, ngx_msec_t delay,
    ngx_eb_genesys_request_t *request)
{
    ngx_eb_genesys_retention_ctx_t  *ctx;

    ctx = op->data;
    ctx->on = on;

    if (ngx_eb_genesys_path(op->pool, &ctx->conf->path, &ctx->what.id,
                            &request->uri)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    request->delay = delay;
    request->idempotent = 1;

    if (on == NGX_EB_GENESYS_ON_PUT) {
        ngx_str_set(&request->operation, NGX_EB_GENESYS_RETENTION_UPDATE);
        ngx_str_set(&request->method, "PUT");

    } else {
        ngx_str_set(&request->operation, "retention_get");
        ngx_str_set(&request->method, "GET");
    }

    return NGX_AGAIN;
}


static ngx_int_t
ngx_eb_genesys_retention_read(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request)
{
    ngx_int_t                        rc;
    ngx_str_t                        out, differs;
    ngx_eb_genesys_retention_ctx_t  *ctx;

    ctx = op->data;

    if (!ngx_eb_genesys_ok(reply)) {

        /* after a change that failed, its API may still be ill */

        if (ctx->what.puts && ngx_eb_genesys_ambiguous(reply)) {
            return ngx_eb_genesys_retention_later(op, reply, request);
        }

        return ngx_eb_genesys_op_refused(op, reply,
                                         ngx_eb_genesys_retention_alternative);
    }

    rc = ngx_eb_genesys_doc_object(ctx->theirs, &reply->body);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc != NGX_OK) {
        return ngx_eb_genesys_op_problem(op, 502, "the API's reply is no JSON "
                                         "object");
    }

    if (ctx->get) {
        return ngx_eb_genesys_op_done(op, 200, &reply->body);
    }

    rc = ngx_eb_genesys_patch(ctx->ours, ctx->theirs, ctx->members,
                              &reply->body, &out, &differs);

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    if (differs.len == 0) {

        /* there is nothing to write; it may be that we did, see puts */

        if (ctx->what.puts) {
            op->answer.changed = 1;
            ctx->what.written = 1;
        }

        return ngx_eb_genesys_retention_polled(op, reply, request);
    }

    /* a sender who says which version it read wants to change no other */

    if (!ngx_eb_genesys_doc_version(ctx->theirs, ctx->policy.version)) {
        return ngx_eb_genesys_op_problem(op, 409, "the policy has another "
                                         "version than %L by now",
                                         ctx->policy.version);
    }

    request->body = out;
    request->if_match = reply->etag;

    ctx->what.puts++;

    return ngx_eb_genesys_retention_send(op, NGX_EB_GENESYS_ON_PUT, 0,
                                         request);
}


static ngx_int_t
ngx_eb_genesys_retention_written(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request)
{
    ngx_eb_genesys_retention_ctx_t  *ctx;

    ctx = op->data;

    if (ngx_eb_genesys_ok(reply)) {
        op->answer.changed = 1;
        ctx->what.written = 1;

        /* what it says of the state counts until there is newer word */

        if (ngx_eb_genesys_doc_object(ctx->theirs, &reply->body) == NGX_OK
            && ngx_eb_genesys_retention_status(ctx) != NGX_OK)
        {
            return NGX_ERROR;
        }

        return ngx_eb_genesys_retention_poll(op, request);
    }

    if (ngx_eb_genesys_conflict(reply)
        && ctx->policy.version < 0
        && ctx->conflicts < ctx->conf->conflicts)
    {
        ctx->conflicts++;
        return ngx_eb_genesys_retention_send(op, NGX_EB_GENESYS_ON_READ, 0,
                                             request);
    }

    if (ngx_eb_genesys_ambiguous(reply)) {
        return ngx_eb_genesys_retention_later(op, reply, request);
    }

    return ngx_eb_genesys_op_refused(op, reply,
                                     ngx_eb_genesys_retention_alternative);
}


/* the change failed, or may have: on schedule, look and try again */

static ngx_int_t
ngx_eb_genesys_retention_later(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request)
{
    ngx_msec_t                       delay;
    ngx_eb_genesys_retention_ctx_t  *ctx;

    ctx = op->data;

    if (reply->late || ctx->scheduled == ctx->conf->nschedule) {
        return ngx_eb_genesys_op_refused(op, reply, NULL);
    }

    delay = ctx->conf->schedule[ctx->scheduled++];

    return ngx_eb_genesys_retention_send(op, NGX_EB_GENESYS_ON_READ,
                                         ngx_max(delay, reply->wait),
                                         request);
}


static ngx_int_t
ngx_eb_genesys_retention_poll(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_request_t *request)
{
    ngx_eb_genesys_retention_ctx_t  *ctx;

    ctx = op->data;

    /* the first look is at once: it reads back what was written */

    return ngx_eb_genesys_retention_send(op, NGX_EB_GENESYS_ON_POLL,
                                         ctx->polls ? ctx->conf->interval : 0,
                                         request);
}


static ngx_int_t
ngx_eb_genesys_retention_polled(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request)
{
    ngx_int_t                        rc;
    ngx_eb_genesys_retention_ctx_t  *ctx;

    ctx = op->data;
    ctx->polls++;

    if (ngx_eb_genesys_ok(reply)) {
        rc = ngx_eb_genesys_retention_look(ctx, &reply->body);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_OK && ctx->what.migrated && ctx->what.differs.len == 0) {
            return ngx_eb_genesys_retention_finish(op);
        }

        /* nothing was written, and there is no state that could change */

        if (!ctx->what.written && ctx->what.status.len == 0) {
            return ngx_eb_genesys_retention_finish(op);
        }

        if (ngx_eb_genesys_retention_failed(&ctx->what.status)) {
            return ngx_eb_genesys_retention_finish(op);
        }
    }

    /* at the bound, what is known is the answer: the write did happen */

    if (ctx->polls >= ctx->conf->polls) {
        return ngx_eb_genesys_retention_finish(op);
    }

    return ngx_eb_genesys_retention_poll(op, request);
}


/* reads the policy back.  NGX_OK; NGX_DECLINED: it is no object; NGX_ERROR */

static ngx_int_t
ngx_eb_genesys_retention_look(ngx_eb_genesys_retention_ctx_t *ctx,
    ngx_str_t *text)
{
    ngx_int_t  rc;
    ngx_str_t  out;

    ctx->what.verified = 0;

    rc = ngx_eb_genesys_patch(ctx->ours, ctx->theirs, ctx->members, text, &out,
                              &ctx->what.differs);

    if (rc != NGX_OK) {
        return rc;
    }

    ctx->document = *text;

    if (ngx_eb_genesys_retention_status(ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->what.differs.len) {
        return NGX_OK;
    }

    rc = ngx_eb_genesys_retention_tags(ctx);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    ctx->what.verified = (rc == NGX_OK);

    return NGX_OK;
}


/* of the document that ctx->theirs has; one without a status says nothing */

static ngx_int_t
ngx_eb_genesys_retention_status(ngx_eb_genesys_retention_ctx_t *ctx)
{
    ngx_int_t  rc;
    ngx_str_t  status;

    rc = ngx_eb_genesys_doc_string(ctx->theirs, 0, "status", &status);

    if (rc != NGX_OK) {
        return (rc == NGX_DECLINED) ? NGX_OK : NGX_ERROR;
    }

    status.len = ngx_min(status.len, NGX_EB_GENESYS_MAX_STATUS);

    ctx->what.status = status;
    ctx->what.migrated = (status.len == 6
                          && ngx_strncasecmp(status.data,
                                             (u_char *) "active", 6) == 0);

    return NGX_OK;
}


/* does it have all tags that it must have?  NGX_OK, NGX_DECLINED, NGX_ERROR */

static ngx_int_t
ngx_eb_genesys_retention_tags(ngx_eb_genesys_retention_ctx_t *ctx)
{
    ngx_str_t           *tag;
    ngx_uint_t           i, n;
    ngx_eb_json_t       *json;
    ngx_eb_json_node_t   array, node;

    static ngx_str_t  name = ngx_string("complianceTags");

    if (ctx->conf->tags == NULL || ctx->conf->tags->nelts == 0) {
        return NGX_OK;
    }

    json = &ctx->theirs->json;
    array = ngx_eb_json_member(json, 0, &name);

    if (array == NGX_EB_JSON_NONE || ngx_eb_json_type(json, array) != '[') {
        return NGX_DECLINED;
    }

    tag = ctx->conf->tags->elts;

    for (i = 0; i < ctx->conf->tags->nelts; i++) {

        n = 0;

        for (node = ngx_eb_json_first(json, array);
             node != NGX_EB_JSON_NONE;
             node = ngx_eb_json_after(json, node))
        {
            if (n++ == NGX_EB_GENESYS_SEEN_TAGS) {
                return NGX_DECLINED;
            }

            if (ngx_eb_json_type(json, node) == '"'
                && ngx_eb_json_string_eq(json, node, &tag[i]))
            {
                break;
            }
        }

        if (node == NGX_EB_JSON_NONE) {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


/* "failed", "MIGRATION_FAILED", "error": it will not become active */

static ngx_uint_t
ngx_eb_genesys_retention_failed(ngx_str_t *status)
{
    size_t  i;

    for (i = 0; i + 4 <= status->len; i++) {

        if (ngx_strncasecmp(status->data + i, (u_char *) "fail", 4) == 0
            || (i + 5 <= status->len
                && ngx_strncasecmp(status->data + i, (u_char *) "error", 5)
                   == 0))
        {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_eb_genesys_retention_finish(ngx_eb_genesys_op_t *op)
{
    ngx_str_t                        text, status;
    ngx_pool_t                      *pool;
    ngx_eb_genesys_member_t         *first;
    ngx_eb_genesys_retention_t      *what;
    ngx_eb_genesys_retention_ctx_t  *ctx;

    ctx = op->data;
    what = &ctx->what;
    pool = op->pool;
    first = NULL;

    ngx_eb_genesys_retention_latency(ctx);

    what->pending = (!what->migrated
                     && (what->written || what->status.len)
                     && !ngx_eb_genesys_retention_failed(&what->status));

    status = what->status;

    if (status.len == 0) {
        ngx_str_set(&status, "unknown");
    }

    if (!op->answer.changed) {
        ngx_str_set(&op->answer.action, "retention_policy_unchanged");
    }

    if (ngx_eb_genesys_member_string(pool, &first, "policyId", &what->id)
        == NULL
        || ngx_eb_genesys_member_string(pool, &first, "status", &status)
           == NULL
        || ngx_eb_genesys_member_number(pool, &first, "retentionDays",
                                        what->days)
           == NULL
        || ngx_eb_genesys_member(pool, &first, "costEstimateUSD", &what->cost)
           == NULL
        || ngx_eb_genesys_member(pool, &first, "changed",
                                 op->answer.changed ? &ngx_eb_genesys_true
                                                    : &ngx_eb_genesys_false)
           == NULL
        || ngx_eb_genesys_member(pool, &first, "migrationSuccess",
                                 what->migrated ? &ngx_eb_genesys_true
                                                : &ngx_eb_genesys_false)
           == NULL
        || ngx_eb_genesys_member(pool, &first, "complianceVerified",
                                 what->verified ? &ngx_eb_genesys_true
                                                : &ngx_eb_genesys_false)
           == NULL)
    {
        return NGX_ERROR;
    }

    if (ctx->conf->clock
        && ngx_eb_genesys_member_number(pool, &first, "latencyMs",
                                        what->latency)
           == NULL)
    {
        return NGX_ERROR;
    }

    if (what->differs.len
        && ngx_eb_genesys_member_string(pool, &first, "differs",
                                        &what->differs)
           == NULL)
    {
        return NGX_ERROR;
    }

    text = ctx->document;

    if (text.len == 0) {
        ngx_str_set(&text, "null");
    }

    if (ngx_eb_genesys_member(pool, &first, "policy", &text) == NULL
        || ngx_eb_genesys_members_write(pool, first, &text) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_eb_genesys_op_done(op, what->pending ? 202 : 200, &text);
}


static ngx_int_t
ngx_eb_genesys_retention_dry(ngx_eb_genesys_op_t *op)
{
    ngx_str_t                        text;
    ngx_pool_t                      *pool;
    ngx_eb_genesys_member_t         *first, *policy;
    ngx_eb_genesys_retention_ctx_t  *ctx;

    ctx = op->data;
    pool = op->pool;
    first = NULL;

    if (ngx_eb_genesys_member(pool, &first, "valid", &ngx_eb_genesys_true)
        == NULL
        || ngx_eb_genesys_member_number(pool, &first, "retentionDays",
                                        ctx->what.days)
           == NULL
        || ngx_eb_genesys_member(pool, &first, "costEstimateUSD",
                                 &ctx->what.cost)
           == NULL)
    {
        return NGX_ERROR;
    }

    policy = ngx_eb_genesys_member(pool, &first, "policy", NULL);
    if (policy == NULL) {
        return NGX_ERROR;
    }

    policy->child = ctx->members;

    if (ngx_eb_genesys_members_write(pool, first, &text) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_eb_genesys_op_done(op, 200, &text);
}


static void
ngx_eb_genesys_retention_latency(ngx_eb_genesys_retention_ctx_t *ctx)
{
    /* once: the answer tells it, too */

    if (ctx->conf->clock && ctx->running) {
        ctx->what.latency = ctx->conf->clock() - ctx->start;
    }

    ctx->running = 0;
}
