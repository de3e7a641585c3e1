
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_out.h"
#include "ngx_eb_genesys_filter_answer.h"
#include "ngx_eb_genesys_op.h"


/* of someone else's texts in an answer */
#define NGX_EB_GENESYS_FILTER_MAX_WORDS   1024
#define NGX_EB_GENESYS_FILTER_MAX_SPLICE  (64 * 1024)
#define NGX_EB_GENESYS_FILTER_MAX_NAMES   20


/* a text that grows */

typedef struct {
    ngx_pool_t               *pool;
    u_char                   *start;
    u_char                   *pos;
    u_char                   *end;
    unsigned                  failed:1;
} ngx_eb_genesys_filter_text_t;


static void ngx_eb_genesys_filter_room(ngx_eb_genesys_filter_text_t *t,
    size_t len);
static void ngx_eb_genesys_filter_put(ngx_eb_genesys_filter_text_t *t,
    const void *data, size_t len);
static void ngx_eb_genesys_filter_string(ngx_eb_genesys_filter_text_t *t,
    ngx_str_t *value, size_t max);
static void ngx_eb_genesys_filter_int(ngx_eb_genesys_filter_text_t *t,
    int64_t value);
static void ngx_eb_genesys_filter_node(ngx_eb_genesys_filter_text_t *t,
    ngx_eb_json_t *json, ngx_eb_json_node_t node);
static void ngx_eb_genesys_filter_who(ngx_eb_genesys_filter_text_t *t,
    ngx_eb_genesys_filter_t *fl);
static void ngx_eb_genesys_filter_are(ngx_eb_genesys_filter_text_t *t,
    ngx_eb_json_t *json, ngx_eb_genesys_filter_place_t *place);
static ngx_int_t ngx_eb_genesys_filter_end(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_text_t *t, ngx_uint_t status);
static const char *ngx_eb_genesys_filter_title(ngx_uint_t status);
static const char *ngx_eb_genesys_filter_cure(ngx_eb_genesys_filter_t *fl,
    ngx_uint_t status);


#define ngx_eb_genesys_filter_text_init(t, p)                                \
    ngx_memzero(t, sizeof(ngx_eb_genesys_filter_text_t));                    \
    (t)->pool = p

#define ngx_eb_genesys_filter_lit(t, s)                                      \
    ngx_eb_genesys_filter_put(t, s, sizeof(s) - 1)

#define ngx_eb_genesys_filter_word(t, s)                                     \
    ngx_eb_genesys_filter_put(t, s, ngx_strlen(s))


static void
ngx_eb_genesys_filter_room(ngx_eb_genesys_filter_text_t *t, size_t len)
{
    size_t   size, used;
    u_char  *p;

    if (t->failed || (size_t) (t->end - t->pos) >= len) {
        return;
    }

    used = t->pos - t->start;
    size = ngx_max(2 * used, 1024) + len;

    p = ngx_pnalloc(t->pool, size);

    if (p == NULL) {
        t->failed = 1;
        return;
    }

    if (used) {
        ngx_memcpy(p, t->start, used);
        (void) ngx_pfree(t->pool, t->start);
    }

    t->start = p;
    t->pos = p + used;
    t->end = p + size;
}


static void
ngx_eb_genesys_filter_put(ngx_eb_genesys_filter_text_t *t, const void *data,
    size_t len)
{
    ngx_eb_genesys_filter_room(t, len);

    if (!t->failed && len) {
        t->pos = ngx_cpymem(t->pos, data, len);
    }
}


static void
ngx_eb_genesys_filter_string(ngx_eb_genesys_filter_text_t *t,
    ngx_str_t *value, size_t max)
{
    ngx_eb_out_t  out;

    /* an escape has six bytes, and what is cut off leaves three */

    ngx_eb_genesys_filter_room(t, ngx_min(value->len, max) * 6 + 5);

    if (t->failed) {
        return;
    }

    ngx_eb_out_init(&out, t->pos, t->end - t->pos);
    ngx_eb_out_string(&out, value, max);

    t->pos = out.pos;
}


static void
ngx_eb_genesys_filter_int(ngx_eb_genesys_filter_text_t *t, int64_t value)
{
    u_char  buf[NGX_INT64_LEN + 1];

    ngx_eb_genesys_filter_put(t, buf, ngx_sprintf(buf, "%L", value) - buf);
}


/* as it is in the text, or null */

static void
ngx_eb_genesys_filter_node(ngx_eb_genesys_filter_text_t *t,
    ngx_eb_json_t *json, ngx_eb_json_node_t node)
{
    ngx_str_t  raw;

    if (node == NGX_EB_JSON_NONE) {
        ngx_eb_genesys_filter_lit(t, "null");
        return;
    }

    ngx_eb_json_raw(json, node, &raw);
    ngx_eb_genesys_filter_put(t, raw.data, raw.len);
}


/* the first members of an object */

static void
ngx_eb_genesys_filter_who(ngx_eb_genesys_filter_text_t *t,
    ngx_eb_genesys_filter_t *fl)
{
    ngx_eb_genesys_filter_lit(t, "{\"integration\":");
    ngx_eb_genesys_filter_string(t, &fl->args.integration,
                                 fl->args.integration.len);

    if (fl->args.topics) {
        return;
    }

    if (fl->args.subscription.len) {
        ngx_eb_genesys_filter_lit(t, ",\"subscription\":");
        ngx_eb_genesys_filter_string(t, &fl->args.subscription,
                                     fl->args.subscription.len);
    }

    if (fl->args.attribute.len) {
        ngx_eb_genesys_filter_lit(t, ",\"attribute\":");
        ngx_eb_genesys_filter_string(t, &fl->args.attribute,
                                     fl->args.attribute.len);
    }
}


/* an array of the attribute's filters, or of the topics */

static void
ngx_eb_genesys_filter_are(ngx_eb_genesys_filter_text_t *t,
    ngx_eb_json_t *json, ngx_eb_genesys_filter_place_t *place)
{
    ngx_uint_t           i;
    ngx_eb_json_node_t  *node;

    node = place->found.elts;

    ngx_eb_genesys_filter_lit(t, "[");

    for (i = 0; i < place->found.nelts; i++) {

        if (i) {
            ngx_eb_genesys_filter_lit(t, ",");
        }

        ngx_eb_genesys_filter_node(t, json, node[i]);
    }

    ngx_eb_genesys_filter_lit(t, "]");
}


ngx_int_t
ngx_eb_genesys_filter_stored(ngx_eb_genesys_op_t *op, ngx_eb_json_t *json,
    ngx_eb_genesys_filter_place_t *place, ngx_str_t *text)
{
    ngx_eb_genesys_filter_text_t  t;

    ngx_eb_genesys_filter_text_init(&t, op->pool);
    ngx_eb_genesys_filter_are(&t, json, place);

    text->data = t.start;
    text->len = t.pos - t.start;

    return t.failed ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
ngx_eb_genesys_filter_end(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_text_t *t, ngx_uint_t status)
{
    if (t->failed) {
        return NGX_ERROR;
    }

    op->answer.status = status;
    op->answer.body.data = t->start;
    op->answer.body.len = t->pos - t->start;

    return NGX_DONE;
}


ngx_int_t
ngx_eb_genesys_filter_problem(ngx_eb_genesys_op_t *op, ngx_uint_t status,
    ngx_str_t *detail, ngx_str_t *extra)
{
    ngx_eb_genesys_filter_text_t  t;

    ngx_eb_genesys_filter_text_init(&t, op->pool);

    ngx_eb_genesys_filter_lit(&t, "{\"type\":\"about:blank\",\"title\":\"");
    ngx_eb_genesys_filter_word(&t, ngx_eb_genesys_filter_title(status));
    ngx_eb_genesys_filter_lit(&t, "\",\"status\":");
    ngx_eb_genesys_filter_int(&t, (int64_t) status);
    ngx_eb_genesys_filter_lit(&t, ",\"detail\":");
    ngx_eb_genesys_filter_string(&t, detail, detail->len);

    if (op->answer.correlation_id.len) {
        ngx_eb_genesys_filter_lit(&t, ",\"correlationId\":");
        ngx_eb_genesys_filter_string(&t, &op->answer.correlation_id, 256);
    }

    if (extra) {
        ngx_eb_genesys_filter_put(&t, extra->data, extra->len);
    }

    ngx_eb_genesys_filter_lit(&t, "}");

    return ngx_eb_genesys_filter_end(op, &t, status);
}


static const char *
ngx_eb_genesys_filter_title(ngx_uint_t status)
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

    case 503:
        return "Service Unavailable";

    case 504:
        return "Gateway Timeout";

    default:
        return "Bad Gateway";
    }
}


ngx_int_t
ngx_eb_genesys_filter_invalid(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_uint_t status)
{
    ngx_str_t                       detail, rule, extra;
    ngx_uint_t                      i;
    ngx_eb_genesys_filter_text_t    t;
    ngx_eb_genesys_filter_error_t  *error;

    ngx_eb_genesys_filter_text_init(&t, op->pool);
    ngx_eb_genesys_filter_lit(&t, ",\"errors\":[");

    error = fl->errors.elts;

    for (i = 0; i < fl->errors.nelts; i++) {

        if (i) {
            ngx_eb_genesys_filter_lit(&t, ",");
        }

        rule.data = (u_char *) error[i].rule;
        rule.len = ngx_strlen(error[i].rule);

        ngx_eb_genesys_filter_lit(&t, "{\"field\":");
        ngx_eb_genesys_filter_string(&t, &error[i].field,
                                     NGX_EB_GENESYS_FILTER_MAX_WORDS);
        ngx_eb_genesys_filter_lit(&t, ",\"rule\":");
        ngx_eb_genesys_filter_string(&t, &rule, rule.len);
        ngx_eb_genesys_filter_lit(&t, ",\"message\":");
        ngx_eb_genesys_filter_string(&t, &error[i].message,
                                     NGX_EB_GENESYS_FILTER_MAX_WORDS);

        if (error[i].offset >= 0) {
            ngx_eb_genesys_filter_lit(&t, ",\"offset\":");
            ngx_eb_genesys_filter_int(&t, error[i].offset);
        }

        ngx_eb_genesys_filter_lit(&t, "}");
    }

    ngx_eb_genesys_filter_lit(&t, "]");

    if (t.failed) {
        return NGX_ERROR;
    }

    extra.data = t.start;
    extra.len = t.pos - t.start;

    if (status == 422) {
        ngx_str_set(&detail, "a regular expression is not valid; nothing was "
                             "sent to the API");

    } else {
        ngx_str_set(&detail, "the request is not valid; nothing was sent to "
                             "the API");
    }

    return ngx_eb_genesys_filter_problem(op, status, &detail, &extra);
}


/* what the API says, as what it means to the caller */

static const char *
ngx_eb_genesys_filter_cure(ngx_eb_genesys_filter_t *fl, ngx_uint_t status)
{
    switch (status) {

    case 401:
        return "; the token was not accepted: check client_id and the client "
               "secret, and that the OAuth client is enabled";

    case 403:
        return "; the OAuth client needs a role with the permissions "
               "integrations:integration:view and "
               "integrations:integration:edit";

    case 404:
    case 410:
        if (fl->args.topics) {
            return "; there is no integration of this id";
        }

        return "; either there is no integration of this id, or this "
               "organization has no API for filters of attributes, as the "
               "public Genesys Cloud API has none: use \"api integrations\" "
               "for topics (/api/v2/integrations/{id}/config/current), and "
               "event patterns of AWS EventBridge rules for attributes";

    case 409:
    case 412:
        return "; others change this integration all the time: try again";

    default:
        return "";
    }
}


ngx_int_t
ngx_eb_genesys_filter_refused(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_eb_genesys_reply_t *reply,
    const char *done)
{
    u_char      *p;
    size_t       len;
    ngx_str_t    detail, error;
    const char  *cure;

    /* of one before the last, perhaps */

    op->answer.api_status = reply->status;
    op->answer.correlation_id = reply->correlation_id;

    cure = ngx_eb_genesys_filter_cure(fl, reply->status);

    error = reply->error;

    if (error.len > NGX_EB_GENESYS_FILTER_MAX_WORDS) {
        error.len = NGX_EB_GENESYS_FILTER_MAX_WORDS;
    }

    len = ngx_strlen(done) + sizeof(": the API answered ") + NGX_INT_T_LEN
          + ngx_strlen(cure) + error.len;

    p = ngx_pnalloc(op->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    detail.data = p;

    if (reply->status) {
        p = ngx_slprintf(p, p + len, "%s: the API answered %ui%s", done,
                         reply->status, cure);

    } else {
        p = ngx_slprintf(p, p + len, "%s: %V", done, &error);
    }

    detail.len = p - detail.data;

    if (reply->status == 404 || reply->status == 410) {
        ngx_log_error(NGX_LOG_ERR, op->log, 0,
                      "eventbridge: Genesys Cloud API answered %ui to \"%V\"%s",
                      reply->status, &fl->uri, cure);
    }

    return ngx_eb_genesys_op_refused_for(op, reply, &detail);
}


ngx_int_t
ngx_eb_genesys_filter_odd(ngx_eb_genesys_op_t *op, const char *error)
{
    u_char     *p;
    size_t      len;
    ngx_str_t   detail;

    len = sizeof("the API's document cannot be used: ") + ngx_strlen(error);

    p = ngx_pnalloc(op->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    detail.data = p;
    detail.len = ngx_slprintf(p, p + len,
                              "the API's document cannot be used: %s", error)
                 - p;

    return ngx_eb_genesys_filter_problem(op, 502, &detail, NULL);
}


/* with those that there are, as the name is probably misspelled */

ngx_int_t
ngx_eb_genesys_filter_unknown(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_eb_genesys_filter_place_t *place)
{
    ngx_str_t                      detail, extra, name;
    ngx_uint_t                     n;
    const char                    *error;
    ngx_eb_json_node_t             list, node, value;
    ngx_eb_genesys_filter_text_t   t;

    if (place->owners > 1) {
        ngx_str_set(&detail, "the integration has several subscriptions of "
                             "this name; nothing was changed");

        return ngx_eb_genesys_filter_problem(op, 409, &detail, NULL);
    }

    ngx_eb_genesys_filter_text_init(&t, op->pool);
    ngx_eb_genesys_filter_lit(&t, ",\"subscriptions\":[");

    n = 0;

    (void) ngx_eb_genesys_filter_subscriptions(&fl->json, &list, &error);

    node = (list == NGX_EB_JSON_NONE) ? list
                                      : ngx_eb_json_first(&fl->json, list);

    for ( /* void */ ;
         node != NGX_EB_JSON_NONE;
         node = ngx_eb_json_after(&fl->json, node))
    {
        value = (ngx_eb_json_type(&fl->json, node) == '{')
                ? ngx_eb_genesys_filter_member(&fl->json, node, "name")
                : NGX_EB_JSON_NONE;

        if (value == NGX_EB_JSON_NONE
            || ngx_eb_json_type(&fl->json, value) != '"')
        {
            continue;
        }

        if (n++ >= NGX_EB_GENESYS_FILTER_MAX_NAMES) {
            continue;
        }

        if (ngx_eb_json_string(&fl->json, value, op->pool, &name) != NGX_OK) {
            return NGX_ERROR;
        }

        if (n > 1) {
            ngx_eb_genesys_filter_lit(&t, ",");
        }

        ngx_eb_genesys_filter_string(&t, &name, 256);
    }

    ngx_eb_genesys_filter_lit(&t, "],\"subscriptionsTotal\":");
    ngx_eb_genesys_filter_int(&t, (int64_t) n);

    if (t.failed) {
        return NGX_ERROR;
    }

    extra.data = t.start;
    extra.len = t.pos - t.start;

    ngx_str_set(&detail, "the integration has no subscription of this name");

    return ngx_eb_genesys_filter_problem(op, 404, &detail, &extra);
}


ngx_int_t
ngx_eb_genesys_filter_shown(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_eb_genesys_filter_place_t *place)
{
    ngx_str_t                      detail;
    ngx_eb_json_node_t            *node;
    ngx_eb_genesys_filter_text_t   t;

    ngx_eb_genesys_filter_text_init(&t, op->pool);
    ngx_eb_genesys_filter_who(&t, fl);

    if (place->topics) {
        ngx_eb_genesys_filter_lit(&t, ",\"topics\":");
        ngx_eb_genesys_filter_are(&t, &fl->json, place);

    } else if (place->found.nelts == 0) {
        ngx_str_set(&detail, "the subscription has no filter for this "
                             "attribute");

        return ngx_eb_genesys_filter_problem(op, 404, &detail, NULL);

    } else {
        node = place->found.elts;

        /* the first one is that which a change would keep */

        ngx_eb_genesys_filter_lit(&t, ",\"filter\":");
        ngx_eb_genesys_filter_node(&t, &fl->json, node[0]);

        if (place->found.nelts > 1) {
            ngx_eb_genesys_filter_lit(&t, ",\"filters\":");
            ngx_eb_genesys_filter_are(&t, &fl->json, place);
        }
    }

    ngx_eb_genesys_filter_lit(&t, "}");

    return ngx_eb_genesys_filter_end(op, &t, 200);
}


ngx_int_t
ngx_eb_genesys_filter_listed(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl)
{
    ngx_uint_t                     n;
    const char                    *error;
    ngx_eb_json_node_t             list, node, name, outer, attributes;
    ngx_eb_genesys_filter_text_t   t;
    ngx_eb_genesys_filter_place_t  place;

    if (ngx_eb_genesys_filter_subscriptions(&fl->json, &list, &error)
        != NGX_OK)
    {
        return ngx_eb_genesys_filter_odd(op, error);
    }

    ngx_eb_genesys_filter_text_init(&t, op->pool);
    ngx_eb_genesys_filter_who(&t, fl);
    ngx_eb_genesys_filter_lit(&t, ",\"subscriptions\":[");

    n = 0;

    node = (list == NGX_EB_JSON_NONE) ? list
                                      : ngx_eb_json_first(&fl->json, list);

    for ( /* void */ ;
         node != NGX_EB_JSON_NONE;
         node = ngx_eb_json_after(&fl->json, node))
    {
        if (ngx_eb_json_type(&fl->json, node) != '{') {
            continue;
        }

        name = ngx_eb_genesys_filter_member(&fl->json, node, "name");

        if (fl->args.subscription.len
            && (name == NGX_EB_JSON_NONE
                || ngx_eb_json_type(&fl->json, name) != '"'
                || !ngx_eb_json_string_eq(&fl->json, name,
                                          &fl->args.subscription)))
        {
            continue;
        }

        outer = ngx_eb_genesys_filter_member(&fl->json, node,
                                             "filterCriteria");
        attributes = NGX_EB_JSON_NONE;

        if (outer != NGX_EB_JSON_NONE
            && ngx_eb_json_type(&fl->json, outer) == '{')
        {
            attributes = ngx_eb_genesys_filter_member(&fl->json, outer,
                                                      "attributes");
        }

        if (n++) {
            ngx_eb_genesys_filter_lit(&t, ",");
        }

        ngx_eb_genesys_filter_lit(&t, "{\"name\":");
        ngx_eb_genesys_filter_node(&t, &fl->json, name);
        ngx_eb_genesys_filter_lit(&t, ",\"attributes\":");

        if (attributes == NGX_EB_JSON_NONE) {
            ngx_eb_genesys_filter_lit(&t, "[]");

        } else {
            ngx_eb_genesys_filter_node(&t, &fl->json, attributes);
        }

        ngx_eb_genesys_filter_lit(&t, "}");
    }

    if (n == 0 && fl->args.subscription.len) {
        place.owners = 0;
        return ngx_eb_genesys_filter_unknown(op, fl, &place);
    }

    ngx_eb_genesys_filter_lit(&t, "]}");

    return ngx_eb_genesys_filter_end(op, &t, 200);
}


ngx_int_t
ngx_eb_genesys_filter_done(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_eb_genesys_filter_place_t *place,
    const char *unverified)
{
    ngx_str_t                      reason;
    ngx_eb_json_node_t            *node;
    ngx_eb_genesys_filter_text_t   t;

    ngx_eb_genesys_filter_text_init(&t, op->pool);
    ngx_eb_genesys_filter_who(&t, fl);

    ngx_eb_genesys_filter_lit(&t, ",\"changed\":");

    if (op->answer.changed) {
        ngx_eb_genesys_filter_lit(&t, "true");

    } else {
        ngx_eb_genesys_filter_lit(&t, "false");
    }

    if (unverified) {
        reason.data = (u_char *) unverified;
        reason.len = ngx_strlen(unverified);

        ngx_eb_genesys_filter_lit(&t, ",\"verified\":false,\"reason\":");
        ngx_eb_genesys_filter_string(&t, &reason, reason.len);

    } else {
        ngx_eb_genesys_filter_lit(&t, ",\"verified\":true");
    }

    if (place->topics) {
        ngx_eb_genesys_filter_lit(&t, ",\"topics\":");
        ngx_eb_genesys_filter_are(&t, &fl->json, place);

    } else {
        node = place->found.elts;

        ngx_eb_genesys_filter_lit(&t, ",\"filter\":");
        ngx_eb_genesys_filter_node(&t, &fl->json,
                                   place->found.nelts ? node[0]
                                                      : NGX_EB_JSON_NONE);
    }

    if (op->answer.changed) {
        ngx_eb_genesys_filter_lit(&t, ",\"previous\":");
        ngx_eb_genesys_filter_put(&t, fl->previous.data, fl->previous.len);
    }

    ngx_eb_genesys_filter_lit(&t, "}");

    return ngx_eb_genesys_filter_end(op, &t, 200);
}


ngx_int_t
ngx_eb_genesys_filter_previewed(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_eb_genesys_filter_place_t *place,
    ngx_str_t *old, ngx_array_t *splices, ngx_str_t *if_match)
{
    ngx_str_t                      removed;
    ngx_uint_t                     i;
    ngx_eb_json_node_t            *node;
    ngx_eb_json_splice_t          *splice;
    ngx_eb_genesys_filter_text_t   t;

    ngx_eb_genesys_filter_text_init(&t, op->pool);
    ngx_eb_genesys_filter_who(&t, fl);

    ngx_eb_genesys_filter_lit(&t, ",\"dryRun\":true,\"wouldChange\":");

    if (splices) {
        ngx_eb_genesys_filter_lit(&t, "true");

    } else {
        ngx_eb_genesys_filter_lit(&t, "false");
    }

    if (place->topics) {
        ngx_eb_genesys_filter_lit(&t, ",\"topics\":");
        ngx_eb_genesys_filter_are(&t, &fl->json, place);

    } else {
        node = place->found.elts;

        ngx_eb_genesys_filter_lit(&t, ",\"filter\":");
        ngx_eb_genesys_filter_node(&t, &fl->json,
                                   place->found.nelts ? node[0]
                                                      : NGX_EB_JSON_NONE);
    }

    if (splices == NULL) {
        ngx_eb_genesys_filter_lit(&t, "}");
        return ngx_eb_genesys_filter_end(op, &t, 200);
    }

    ngx_eb_genesys_filter_lit(&t, ",\"previous\":");
    ngx_eb_genesys_filter_put(&t, fl->previous.data, fl->previous.len);

    ngx_eb_genesys_filter_lit(&t, ",\"request\":{\"method\":\"PUT\",\"uri\":");
    ngx_eb_genesys_filter_string(&t, &fl->uri, fl->uri.len);

    if (if_match->len) {
        ngx_eb_genesys_filter_lit(&t, ",\"ifMatch\":");
        ngx_eb_genesys_filter_string(&t, if_match, if_match->len);
    }

    ngx_eb_genesys_filter_lit(&t, ",\"length\":");
    ngx_eb_genesys_filter_int(&t, (int64_t) fl->sent.len);
    ngx_eb_genesys_filter_lit(&t, "},\"difference\":[");

    splice = splices->elts;

    for (i = 0; i < splices->nelts; i++) {

        if (i) {
            ngx_eb_genesys_filter_lit(&t, ",");
        }

        removed.data = old->data + splice[i].offset;
        removed.len = splice[i].len;

        ngx_eb_genesys_filter_lit(&t, "{\"offset\":");
        ngx_eb_genesys_filter_int(&t, (int64_t) splice[i].offset);
        ngx_eb_genesys_filter_lit(&t, ",\"removed\":");
        ngx_eb_genesys_filter_string(&t, &removed,
                                     NGX_EB_GENESYS_FILTER_MAX_SPLICE);
        ngx_eb_genesys_filter_lit(&t, ",\"inserted\":");
        ngx_eb_genesys_filter_string(&t, &splice[i].text,
                                     splice[i].text.len);
        ngx_eb_genesys_filter_lit(&t, "}");
    }

    ngx_eb_genesys_filter_lit(&t, "]}");

    return ngx_eb_genesys_filter_end(op, &t, 200);
}


ngx_int_t
ngx_eb_genesys_filter_mismatch(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_eb_genesys_filter_place_t *place)
{
    ngx_str_t                      detail, extra;
    ngx_eb_genesys_filter_text_t   t;

    ngx_eb_genesys_filter_text_init(&t, op->pool);

    ngx_eb_genesys_filter_lit(&t, ",\"stored\":");

    if (place == NULL || place->owners != 1) {
        ngx_eb_genesys_filter_lit(&t, "null");

    } else {
        ngx_eb_genesys_filter_are(&t, &fl->json, place);
    }

    ngx_eb_genesys_filter_lit(&t, ",\"previous\":");
    ngx_eb_genesys_filter_put(&t, fl->previous.data, fl->previous.len);

    if (t.failed) {
        return NGX_ERROR;
    }

    extra.data = t.start;
    extra.len = t.pos - t.start;

    if (fl->args.topics) {
        ngx_str_set(&detail, "the API accepted the change, but read back, the "
                             "topics are not what was sent");

    } else {
        ngx_str_set(&detail, "the API accepted the change, but read back, the "
                             "filter is not what was sent");
    }

    return ngx_eb_genesys_filter_problem(op, 502, &detail, &extra);
}
