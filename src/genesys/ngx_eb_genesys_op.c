
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


#define NGX_EB_GENESYS_MAX_DETAIL   1024

/* of the API's words, and of its details, that a problem repeats */
#define NGX_EB_GENESYS_MAX_WORDS    1024
#define NGX_EB_GENESYS_MAX_DETAILS  8192

/* milliseconds: a quota of a day is over by then, most are of a minute */
#define NGX_EB_GENESYS_MAX_WAIT     86400000
#define NGX_EB_GENESYS_WAIT         60000


static ngx_eb_genesys_member_t *ngx_eb_genesys_problem_members(
    ngx_pool_t *pool, ngx_uint_t status, ngx_str_t *detail);
static ngx_int_t ngx_eb_genesys_problem_end(ngx_eb_genesys_op_t *op,
    ngx_uint_t status, ngx_eb_genesys_member_t *first);
static ngx_int_t ngx_eb_genesys_violations_write(ngx_pool_t *pool,
    ngx_array_t *violations, ngx_str_t *text);
static ngx_uint_t ngx_eb_genesys_refused_status(ngx_eb_genesys_reply_t *reply,
    const char **words);
static ngx_int_t ngx_eb_genesys_refused_members(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_member_t **first);
static const char *ngx_eb_genesys_title(ngx_uint_t status);
static u_char *ngx_eb_genesys_find(ngx_str_t *text, const char *words);


ngx_int_t
ngx_eb_genesys_op_done(ngx_eb_genesys_op_t *op, ngx_uint_t status,
    ngx_str_t *body)
{
    op->answer.status = status;
    op->answer.body = *body;

    return NGX_DONE;
}


void
ngx_eb_genesys_op_reply(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply)
{
    op->answer.api_status = reply->status;
    op->answer.correlation_id = reply->correlation_id;
}


ngx_int_t
ngx_eb_genesys_op_page(ngx_eb_genesys_op_t *op, ngx_eb_genesys_list_t *list,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request)
{
    ngx_int_t  rc;

    rc = ngx_eb_genesys_list_page(list, &reply->body);

    if (rc == NGX_AGAIN
        && ngx_eb_genesys_list_request(list, request) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        return ngx_eb_genesys_op_problem(op, 502, "the API's list cannot be "
                                         "understood: %s", list->error);
    }

    return rc;
}


ngx_int_t
ngx_eb_genesys_op_violations(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_body_t *body)
{
    ngx_str_t                 detail, text;
    ngx_eb_genesys_member_t  *first;

    ngx_str_set(&detail, "the request does not keep the rules");

    first = ngx_eb_genesys_problem_members(op->pool, 400, &detail);

    if (first == NULL
        || ngx_eb_genesys_violations_write(op->pool, &body->violations, &text)
           != NGX_OK
        || ngx_eb_genesys_member(op->pool, &first, "errors", &text) == NULL)
    {
        return NGX_ERROR;
    }

    return ngx_eb_genesys_problem_end(op, 400, first);
}


ngx_int_t
ngx_eb_genesys_op_problem(ngx_eb_genesys_op_t *op, ngx_uint_t status,
    const char *fmt, ...)
{
    va_list                   args;
    ngx_str_t                 detail;
    ngx_eb_genesys_member_t  *first;

    detail.data = ngx_pnalloc(op->pool, NGX_EB_GENESYS_MAX_DETAIL);
    if (detail.data == NULL) {
        return NGX_ERROR;
    }

    va_start(args, fmt);
    detail.len = (size_t) (ngx_vslprintf(detail.data,
                               detail.data + NGX_EB_GENESYS_MAX_DETAIL, fmt,
                               args)
                           - detail.data);
    va_end(args);

    first = ngx_eb_genesys_problem_members(op->pool, status, &detail);
    if (first == NULL) {
        return NGX_ERROR;
    }

    if (op->answer.correlation_id.len
        && ngx_eb_genesys_member_string(op->pool, &first, "correlationId",
                                        &op->answer.correlation_id)
           == NULL)
    {
        return NGX_ERROR;
    }

    return ngx_eb_genesys_problem_end(op, status, first);
}


ngx_int_t
ngx_eb_genesys_op_refused(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, const char *alternative)
{
    u_char      *p;
    ngx_str_t    detail;
    const char  *words;

    (void) ngx_eb_genesys_refused_status(reply, &words);

    detail.data = (u_char *) words;
    detail.len = ngx_strlen(words);

    if (reply->status == 404 && alternative) {
        p = ngx_pnalloc(op->pool, NGX_EB_GENESYS_MAX_DETAIL);
        if (p == NULL) {
            return NGX_ERROR;
        }

        detail.data = p;
        detail.len = (size_t) (ngx_slprintf(p, p + NGX_EB_GENESYS_MAX_DETAIL,
                                            "%s. %s", words, alternative)
                               - p);

        if (op->log) {
            ngx_log_error(NGX_LOG_WARN, op->log, 0,
                          "eventbridge: Genesys Cloud answered 404: %V",
                          &detail);
        }
    }

    return ngx_eb_genesys_op_refused_for(op, reply, &detail);
}


ngx_int_t
ngx_eb_genesys_op_refused_for(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_str_t *detail)
{
    const char               *words;
    ngx_uint_t                status;
    ngx_eb_genesys_member_t  *first;

    status = ngx_eb_genesys_refused_status(reply, &words);

    if (reply->status == 429) {
        op->answer.retry_after = reply->wait
                                 ? ngx_min(reply->wait,
                                           NGX_EB_GENESYS_MAX_WAIT)
                                 : NGX_EB_GENESYS_WAIT;

    } else if (reply->held) {
        op->answer.retry_after = ngx_min(reply->wait, NGX_EB_GENESYS_MAX_WAIT);
    }

    first = ngx_eb_genesys_problem_members(op->pool, status, detail);

    if (first == NULL
        || ngx_eb_genesys_refused_members(op, reply, &first) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_eb_genesys_problem_end(op, status, first);
}


static ngx_eb_genesys_member_t *
ngx_eb_genesys_problem_members(ngx_pool_t *pool, ngx_uint_t status,
    ngx_str_t *detail)
{
    ngx_str_t                 title;
    ngx_eb_genesys_member_t  *first;

    static ngx_str_t  type = ngx_string("\"about:blank\"");

    title.data = (u_char *) ngx_eb_genesys_title(status);
    title.len = ngx_strlen(title.data);

    first = NULL;

    if (ngx_eb_genesys_member(pool, &first, "type", &type) == NULL
        || ngx_eb_genesys_member_string(pool, &first, "title", &title) == NULL
        || ngx_eb_genesys_member_number(pool, &first, "status", status) == NULL
        || ngx_eb_genesys_member_string(pool, &first, "detail", detail)
           == NULL)
    {
        return NULL;
    }

    return first;
}


static ngx_int_t
ngx_eb_genesys_problem_end(ngx_eb_genesys_op_t *op, ngx_uint_t status,
    ngx_eb_genesys_member_t *first)
{
    ngx_str_t  text;

    if (ngx_eb_genesys_members_write(op->pool, first, &text) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_eb_genesys_op_done(op, status, &text);
}


static ngx_int_t
ngx_eb_genesys_violations_write(ngx_pool_t *pool, ngx_array_t *violations,
    ngx_str_t *text)
{
    ngx_str_t                   *object;
    ngx_uint_t                   i;
    ngx_eb_genesys_member_t     *first;
    ngx_eb_genesys_violation_t  *violation;

    violation = violations->elts;

    object = ngx_palloc(pool, violations->nelts * sizeof(ngx_str_t));
    if (object == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < violations->nelts; i++) {
        first = NULL;

        if (ngx_eb_genesys_member_string(pool, &first, "field",
                                         &violation[i].field)
            == NULL
            || ngx_eb_genesys_member_string(pool, &first, "rule",
                                            &violation[i].rule)
               == NULL
            || ngx_eb_genesys_member_string(pool, &first, "message",
                                            &violation[i].message)
               == NULL
            || ngx_eb_genesys_members_write(pool, first, &object[i])
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_eb_genesys_array_write(pool, object, violations->nelts, text);
}


static ngx_uint_t
ngx_eb_genesys_refused_status(ngx_eb_genesys_reply_t *reply,
    const char **words)
{
    switch (reply->status) {

    case 0:

        if (reply->held) {
            *words = "the API has not answered for some time, and is not "
                     "asked";
            return 503;
        }

        *words = "the API did not answer";
        return reply->timed_out ? 504 : 502;

    case 401:
        *words = "the API did not accept the token: the administrator should "
                 "check client_id, client_secret_file and region";
        return 502;

    case 403:
        *words = "the OAuth client lacks a permission: the administrator "
                 "should give it a role that has it";
        return 502;

    case 404:
    case 410:
        *words = "the API does not have it, or does not know the path";
        return 404;

    case 408:
    case 504:
        *words = "the API did not answer in time";
        return 504;

    case 409:
    case 412:
        *words = "the API says that this is in conflict with what it has";
        return 409;

    case 429:
        *words = "the API accepts no more requests for now";
        return 503;
    }

    if (reply->status >= 400 && reply->status < 500) {
        *words = "the API refused the request";
        return 422;
    }

    *words = "the API failed";

    return 502;
}


/* what the API itself says */

static ngx_int_t
ngx_eb_genesys_refused_members(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_member_t **first)
{
    ngx_int_t                  rc;
    ngx_str_t                  value;
    ngx_uint_t                 i;
    ngx_eb_json_node_t         node;
    ngx_eb_genesys_doc_t      *doc;
    ngx_eb_genesys_member_t  **child, *m;

    static const char *names[] = { "code", "message", "contextId" };
    static ngx_str_t   details = ngx_string("details");

    m = ngx_eb_genesys_member(op->pool, first, "upstream", NULL);

    if (m == NULL
        || ngx_eb_genesys_member_number(op->pool, &m->child, "status",
                                        reply->status)
           == NULL)
    {
        return NGX_ERROR;
    }

    child = &m->child;

    if (reply->correlation_id.len
        && ngx_eb_genesys_member_string(op->pool, first, "correlationId",
                                        &reply->correlation_id)
           == NULL)
    {
        return NGX_ERROR;
    }

    if (reply->status == 0) {

        /* what there is of a body is not all of it */

        value = reply->error;
        value.len = ngx_min(value.len, NGX_EB_GENESYS_MAX_WORDS);

        return ngx_eb_genesys_member_string(op->pool, child, "message", &value)
               ? NGX_OK : NGX_ERROR;
    }

    doc = ngx_eb_genesys_doc_create(op->pool);
    if (doc == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_eb_genesys_doc_object(doc, &reply->body);

    if (rc != NGX_OK) {
        return (rc == NGX_ERROR) ? NGX_ERROR : NGX_OK;
    }

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        rc = ngx_eb_genesys_doc_string(doc, 0, names[i], &value);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_DECLINED) {
            continue;
        }

        value.len = ngx_min(value.len, NGX_EB_GENESYS_MAX_WORDS);

        if (ngx_eb_genesys_member_string(op->pool, child, names[i], &value)
            == NULL)
        {
            return NGX_ERROR;
        }
    }

    node = ngx_eb_json_member(&doc->json, 0, &details);

    if (node == NGX_EB_JSON_NONE
        || ngx_eb_json_type(&doc->json, node) != '[')
    {
        return NGX_OK;
    }

    ngx_eb_json_raw(&doc->json, node, &value);

    if (value.len > NGX_EB_GENESYS_MAX_DETAILS) {
        return NGX_OK;
    }

    return ngx_eb_genesys_member(op->pool, child, "details", &value)
           ? NGX_OK : NGX_ERROR;
}


static const char *
ngx_eb_genesys_title(ngx_uint_t status)
{
    switch (status) {

    case 400:
        return "Bad Request";

    case 404:
        return "Not Found";

    case 409:
        return "Conflict";

    case 422:
        return "Unprocessable Content";

    case 502:
        return "Bad Gateway";

    case 503:
        return "Service Unavailable";

    case 504:
        return "Gateway Timeout";

    default:
        return "Error";
    }
}


ngx_uint_t
ngx_eb_genesys_conflict(ngx_eb_genesys_reply_t *reply)
{
    return reply->status == 409
           || reply->status == 412
           || (reply->status == 400
               && ngx_eb_genesys_find(&reply->body,
                                      "does not match the current version"));
}


ngx_uint_t
ngx_eb_genesys_ambiguous(ngx_eb_genesys_reply_t *reply)
{
    if (reply->status == 0) {
        return !reply->unsent;
    }

    return reply->status == 408
           || (reply->status >= 500 && reply->status != 501);
}


static u_char *
ngx_eb_genesys_find(ngx_str_t *text, const char *words)
{
    u_char  *p, *last;
    size_t   len;

    len = ngx_strlen(words);

    if (text->len < len) {
        return NULL;
    }

    p = text->data;
    last = p + text->len - len;

    for ( /* void */ ; p <= last; p++) {

        p = memchr(p, words[0], (size_t) (last - p) + 1);

        if (p == NULL) {
            return NULL;
        }

        if (ngx_memcmp(p, words, len) == 0) {
            return p;
        }
    }

    return NULL;
}
