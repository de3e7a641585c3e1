
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The document is read, changed in its text, written with the version that
 * was read, and read again: that a filter was set is known only when the API
 * says that it is.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_genesys_filter.h"
#include "ngx_eb_genesys_filter_answer.h"


#define NGX_EB_GENESYS_FILTER_DEPTH       64

/* what the API takes in one request */
#define NGX_EB_GENESYS_FILTER_MAX_SENT    512000

/* of one change, when others are faster each time */
#define NGX_EB_GENESYS_FILTER_MAX_WRITES  4
#define NGX_EB_GENESYS_FILTER_PAUSE       200

/* the API may need a moment until it tells what it was told */
#define NGX_EB_GENESYS_FILTER_MAX_READS   3
#define NGX_EB_GENESYS_FILTER_SETTLE      500


#define NGX_EB_GENESYS_FILTER_READ        0
#define NGX_EB_GENESYS_FILTER_WRITE       1
#define NGX_EB_GENESYS_FILTER_VERIFY      2


static void ngx_eb_genesys_filter_cleanup(void *data);
static ngx_int_t ngx_eb_genesys_filter_step(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_filter_start(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_filter_uri(ngx_pool_t *pool,
    ngx_eb_genesys_filter_t *fl);
static ngx_int_t ngx_eb_genesys_filter_get(ngx_eb_genesys_filter_t *fl,
    ngx_eb_genesys_request_t *request, ngx_uint_t state, ngx_msec_t delay);
static ngx_int_t ngx_eb_genesys_filter_put_request(
    ngx_eb_genesys_filter_t *fl, ngx_eb_genesys_request_t *request,
    ngx_str_t *if_match);
static ngx_int_t ngx_eb_genesys_filter_read(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_eb_genesys_reply_t *reply,
    ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_filter_locate(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_str_t *text,
    ngx_eb_genesys_filter_place_t *place, const char **error);
static ngx_int_t ngx_eb_genesys_filter_edit(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_eb_genesys_filter_place_t *place,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request);
static void ngx_eb_genesys_filter_tag(ngx_str_t *etag, ngx_str_t *if_match);
static ngx_int_t ngx_eb_genesys_filter_write(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_eb_genesys_reply_t *reply,
    ngx_eb_genesys_request_t *request);
static ngx_uint_t ngx_eb_genesys_filter_conflict(
    ngx_eb_genesys_reply_t *reply);
static ngx_int_t ngx_eb_genesys_filter_verify(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_eb_genesys_reply_t *reply,
    ngx_eb_genesys_request_t *request);
static ngx_int_t ngx_eb_genesys_filter_unverified(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, const char *reason);
static void ngx_eb_genesys_filter_changed(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl);


#define ngx_eb_genesys_filter_ok(reply)                                      \
    ((reply)->status >= 200 && (reply)->status < 300)


ngx_int_t
ngx_eb_genesys_filter(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_args_t *args)
{
    ngx_pool_cleanup_t       *cln;
    ngx_eb_genesys_filter_t  *fl;

    fl = ngx_pcalloc(op->pool, sizeof(ngx_eb_genesys_filter_t));
    if (fl == NULL) {
        return NGX_ERROR;
    }

    cln = ngx_pool_cleanup_add(op->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    fl->parser = ngx_eb_json_parser_create();
    if (fl->parser == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_eb_genesys_filter_cleanup;
    cln->data = fl->parser;

    fl->args = *args;

    /* names that are not given are compared with others as empty ones */

    if (fl->args.subscription.len == 0) {
        ngx_str_set(&fl->args.subscription, "");
    }

    if (fl->args.attribute.len == 0) {
        ngx_str_set(&fl->args.attribute, "");
    }

    ngx_memzero(&op->answer, sizeof(ngx_eb_genesys_answer_t));

    op->step = ngx_eb_genesys_filter_step;
    op->data = fl;

    return NGX_OK;
}


static void
ngx_eb_genesys_filter_cleanup(void *data)
{
    ngx_eb_json_parser_destroy(data);
}


static ngx_int_t
ngx_eb_genesys_filter_step(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request)
{
    ngx_eb_genesys_filter_t  *fl;

    fl = op->data;

    if (reply == NULL) {
        return ngx_eb_genesys_filter_start(op, fl, request);
    }

    op->answer.api_status = reply->status;
    op->answer.correlation_id = reply->correlation_id;

    switch (fl->state) {

    case NGX_EB_GENESYS_FILTER_READ:
        return ngx_eb_genesys_filter_read(op, fl, reply, request);

    case NGX_EB_GENESYS_FILTER_WRITE:
        return ngx_eb_genesys_filter_write(op, fl, reply, request);

    default: /* NGX_EB_GENESYS_FILTER_VERIFY */
        return ngx_eb_genesys_filter_verify(op, fl, reply, request);
    }
}


static ngx_int_t
ngx_eb_genesys_filter_start(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_eb_genesys_request_t *request)
{
    ngx_int_t   rc;
    ngx_uint_t  status;

    ngx_str_set(&op->answer.action, "filter_refused");

    rc = ngx_eb_genesys_filter_check(op->pool, fl->parser, &fl->args,
                                     &fl->want, &fl->errors, &status);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        return ngx_eb_genesys_filter_invalid(op, fl, status);
    }

    op->answer.id = fl->args.integration;

    ngx_str_set(&op->answer.action, "filter_failed");

    if (ngx_eb_genesys_filter_uri(op->pool, fl) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_eb_genesys_filter_get(fl, request, NGX_EB_GENESYS_FILTER_READ,
                                     0);
}


/*
 * An id has been checked to consist of unreserved characters: these are their
 * own percent-encoding, so it is one segment of the path as it is.
 */

static ngx_int_t
ngx_eb_genesys_filter_uri(ngx_pool_t *pool, ngx_eb_genesys_filter_t *fl)
{
    size_t      n;
    u_char     *p, *s, *last;
    ngx_str_t   path, *id;

    path = fl->args.path;

    if (path.len == 0) {
        if (fl->args.topics) {
            ngx_str_set(&path, NGX_EB_GENESYS_TOPICS_PATH);

        } else {
            ngx_str_set(&path, NGX_EB_GENESYS_FILTER_PATH);
        }
    }

    id = &fl->args.integration;

    /* each place of the id has four bytes of the template at least */

    p = ngx_pnalloc(pool, path.len + path.len / 4 * id->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    fl->uri.data = p;

    s = path.data;
    last = s + path.len;

    while (s < last) {
        n = 0;

        if (last - s >= 4 && ngx_memcmp(s, "{id}", 4) == 0) {
            n = 4;

        } else if (last - s >= 13 && ngx_memcmp(s, "{integration}", 13) == 0)
        {
            n = 13;
        }

        if (n == 0) {
            *p++ = *s++;
            continue;
        }

        s += n;
        p = ngx_cpymem(p, id->data, id->len);
    }

    fl->uri.len = p - fl->uri.data;

    return NGX_OK;
}


static ngx_int_t
ngx_eb_genesys_filter_get(ngx_eb_genesys_filter_t *fl,
    ngx_eb_genesys_request_t *request, ngx_uint_t state, ngx_msec_t delay)
{
    ngx_memzero(request, sizeof(ngx_eb_genesys_request_t));

    ngx_str_set(&request->operation, "filter_get");
    ngx_str_set(&request->method, "GET");

    request->uri = fl->uri;
    request->delay = delay;
    request->idempotent = 1;

    fl->state = state;

    return NGX_AGAIN;
}


/*
 * The whole document, and with the version that it was read with: sent twice
 * it is the same, or the second time it is refused.
 */

static ngx_int_t
ngx_eb_genesys_filter_put_request(ngx_eb_genesys_filter_t *fl,
    ngx_eb_genesys_request_t *request, ngx_str_t *if_match)
{
    ngx_memzero(request, sizeof(ngx_eb_genesys_request_t));

    ngx_str_set(&request->operation, "filter_put");
    ngx_str_set(&request->method, "PUT");

    request->uri = fl->uri;
    request->body = fl->sent;
    request->if_match = *if_match;
    request->idempotent = 1;

    fl->state = NGX_EB_GENESYS_FILTER_WRITE;
    fl->writes++;
    fl->reads = 0;

    return NGX_AGAIN;
}


static ngx_int_t
ngx_eb_genesys_filter_read(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_eb_genesys_reply_t *reply,
    ngx_eb_genesys_request_t *request)
{
    ngx_int_t                       rc;
    ngx_str_t                       none;
    const char                     *error;
    ngx_eb_genesys_filter_place_t   place;

    if (!ngx_eb_genesys_filter_ok(reply)) {
        return ngx_eb_genesys_filter_refused(op, fl, reply,
                                           "the integration was not read");
    }

    rc = ngx_eb_genesys_filter_locate(op, fl, &reply->body, &place, &error);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        return ngx_eb_genesys_filter_odd(op, error);
    }

    if (fl->args.verb == NGX_EB_GENESYS_FILTER_SHOW) {
        ngx_str_set(&op->answer.action, "filter_shown");

        if (!fl->args.topics && fl->args.attribute.len == 0) {
            return ngx_eb_genesys_filter_listed(op, fl);
        }

        if (place.owners == 1) {
            return ngx_eb_genesys_filter_shown(op, fl, &place);
        }
    }

    if (place.owners != 1) {
        return ngx_eb_genesys_filter_unknown(op, fl, &place);
    }

    if (!ngx_eb_genesys_filter_equal(&fl->json, &place, &fl->want)) {
        return ngx_eb_genesys_filter_edit(op, fl, &place, reply, request);
    }

    if (fl->args.dry_run) {
        ngx_str_null(&none);
        ngx_str_set(&op->answer.action, "filter_previewed");

        return ngx_eb_genesys_filter_previewed(op, fl, &place, &reply->body,
                                               NULL, &none);
    }

    if (fl->writes) {

        /*
         * Refused as out of date, and there nevertheless: what was written
         * first, and then sent again for want of an answer, is ours.
         */

        ngx_eb_genesys_filter_changed(op, fl);

    } else {
        ngx_str_set(&op->answer.action, "filter_unchanged");
    }

    return ngx_eb_genesys_filter_done(op, fl, &place, NULL);
}


/* NGX_OK; NGX_DECLINED: see error; NGX_ERROR: no memory */

static ngx_int_t
ngx_eb_genesys_filter_locate(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_str_t *text,
    ngx_eb_genesys_filter_place_t *place, const char **error)
{
    ngx_int_t             rc;
    ngx_str_t             id;
    ngx_eb_json_node_t    node;
    ngx_eb_json_error_t   err;

    if (ngx_eb_json_parse(fl->parser, text->data, text->len,
                          NGX_EB_GENESYS_FILTER_DEPTH, &fl->json, &err)
        != NGX_OK)
    {
        *error = "it is not JSON";
        return (err.code == NGX_EB_JSON_E_NOMEM) ? NGX_ERROR : NGX_DECLINED;
    }

    if (fl->args.topics) {
        rc = ngx_eb_genesys_filter_find_topics(&fl->json, op->pool, place);
        *error = place->error;
        return rc;
    }

    rc = ngx_eb_genesys_filter_find(&fl->json, op->pool,
                                    &fl->args.subscription,
                                    &fl->args.attribute, place);
    *error = place->error;

    if (rc != NGX_OK) {
        return rc;
    }

    /* it would be written to the id that was asked for */

    node = ngx_eb_genesys_filter_member(&fl->json, 0, "id");

    if (node == NGX_EB_JSON_NONE || ngx_eb_json_type(&fl->json, node) != '"') {
        return NGX_OK;
    }

    if (ngx_eb_json_string(&fl->json, node, op->pool, &id) != NGX_OK) {
        return NGX_ERROR;
    }

    if (id.len
        && (id.len != fl->args.integration.len
            || ngx_strncasecmp(id.data, fl->args.integration.data, id.len)
               != 0))
    {
        *error = "it is that of another integration";
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_genesys_filter_edit(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_eb_genesys_filter_place_t *place,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request)
{
    ngx_int_t                       rc;
    ngx_str_t                       if_match, detail;
    const char                     *error;
    ngx_eb_json_node_t              version;
    ngx_eb_json_edit_t              edit;
    ngx_eb_genesys_filter_place_t   after;

    ngx_eb_genesys_filter_tag(&reply->etag, &if_match);

    version = ngx_eb_genesys_filter_member(&fl->json, 0, "version");

    if (fl->args.topics && if_match.len == 0
        && (version == NGX_EB_JSON_NONE
            || ngx_eb_json_type(&fl->json, version) != '0'))
    {
        return ngx_eb_genesys_filter_odd(op, "it has no version, and cannot "
                                             "be changed without one");
    }

    if (ngx_eb_genesys_filter_stored(op, &fl->json, place, &fl->previous)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_eb_json_edit_init(&edit, op->pool, &fl->json) != NGX_OK
        || ngx_eb_genesys_filter_change(&edit, place, &fl->want) != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_eb_json_edit_apply(&edit, &fl->sent);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    /* nothing leaves that would not be what is wanted */

    if (rc == NGX_OK) {
        rc = ngx_eb_genesys_filter_locate(op, fl, &fl->sent, &after, &error);
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc != NGX_OK
        || after.owners != 1
        || !ngx_eb_genesys_filter_equal(&fl->json, &after, &fl->want))
    {
        return ngx_eb_genesys_filter_odd(op, "it cannot be changed");
    }

    if (fl->sent.len > NGX_EB_GENESYS_FILTER_MAX_SENT
        && fl->sent.len > reply->body.len)
    {
        ngx_str_set(&detail, "the integration would have more than 512,000 "
                             "bytes, which the API does not take");

        return ngx_eb_genesys_filter_problem(op, 422, &detail, NULL);
    }

    if (fl->args.dry_run) {
        ngx_str_set(&op->answer.action, "filter_previewed");

        return ngx_eb_genesys_filter_previewed(op, fl, &after, &reply->body,
                                               &edit.splices, &if_match);
    }

    return ngx_eb_genesys_filter_put_request(fl, request, &if_match);
}


/* a weak one matches nothing in If-Match; a header has no other characters */

static void
ngx_eb_genesys_filter_tag(ngx_str_t *etag, ngx_str_t *if_match)
{
    size_t  i;

    ngx_str_null(if_match);

    if (etag->len < 2 || etag->len > 256
        || etag->data[0] != '"' || etag->data[etag->len - 1] != '"')
    {
        return;
    }

    for (i = 1; i < etag->len - 1; i++) {
        if (etag->data[i] <= ' ' || etag->data[i] == '"'
            || etag->data[i] >= 0x7f)
        {
            return;
        }
    }

    *if_match = *etag;
}


static ngx_int_t
ngx_eb_genesys_filter_write(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_eb_genesys_reply_t *reply,
    ngx_eb_genesys_request_t *request)
{
    if (ngx_eb_genesys_filter_ok(reply)) {
        fl->written = 1;

        return ngx_eb_genesys_filter_get(fl, request,
                                         NGX_EB_GENESYS_FILTER_VERIFY, 0);
    }

    if (ngx_eb_genesys_filter_conflict(reply)
        && fl->writes < NGX_EB_GENESYS_FILTER_MAX_WRITES)
    {
        return ngx_eb_genesys_filter_get(fl, request,
                                         NGX_EB_GENESYS_FILTER_READ,
                                         fl->writes
                                         * NGX_EB_GENESYS_FILTER_PAUSE);
    }

    if (!reply->unsent
        && (reply->status == 0 || reply->status == 408
            || reply->status >= 500))
    {
        if (reply->late) {
            return ngx_eb_genesys_filter_refused(op, fl, reply,
                              "it is not known whether the change was made");
        }

        /* it may have been carried out: ask */

        fl->failure = *reply;

        return ngx_eb_genesys_filter_get(fl, request,
                                         NGX_EB_GENESYS_FILTER_VERIFY,
                                         reply->wait);
    }

    return ngx_eb_genesys_filter_refused(op, fl, reply,
                                         "the change was not made");
}


/* someone else has changed it since it was read */

static ngx_uint_t
ngx_eb_genesys_filter_conflict(ngx_eb_genesys_reply_t *reply)
{
    size_t  i, n;

    if (reply->status == 409 || reply->status == 412) {
        return 1;
    }

    if (reply->status != 400) {
        return 0;
    }

    /* words of the API, which it has for some documents */

    n = sizeof("does not match the current version") - 1;

    for (i = 0; i + n <= reply->body.len; i++) {
        if (ngx_memcmp(reply->body.data + i,
                       "does not match the current version", n)
            == 0)
        {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_eb_genesys_filter_verify(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_eb_genesys_reply_t *reply,
    ngx_eb_genesys_request_t *request)
{
    ngx_int_t                       rc;
    const char                     *error;
    ngx_eb_genesys_filter_place_t   place;

    if (!ngx_eb_genesys_filter_ok(reply)) {
        return ngx_eb_genesys_filter_unverified(op, fl,
                         "the API accepted the change, but did not say what "
                         "it has now");
    }

    rc = ngx_eb_genesys_filter_locate(op, fl, &reply->body, &place, &error);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        return ngx_eb_genesys_filter_unverified(op, fl,
                         "the API accepted the change, but what it says it "
                         "has now cannot be understood");
    }

    if (place.owners == 1
        && ngx_eb_genesys_filter_equal(&fl->json, &place, &fl->want))
    {
        ngx_eb_genesys_filter_changed(op, fl);

        return ngx_eb_genesys_filter_done(op, fl, &place, NULL);
    }

    if (++fl->reads < NGX_EB_GENESYS_FILTER_MAX_READS) {
        return ngx_eb_genesys_filter_get(fl, request,
                                         NGX_EB_GENESYS_FILTER_VERIFY,
                                         fl->reads
                                         * NGX_EB_GENESYS_FILTER_SETTLE);
    }

    if (!fl->written) {
        return ngx_eb_genesys_filter_refused(op, fl, &fl->failure,
                                             "the change was not made");
    }

    op->answer.changed = 1;

    ngx_str_set(&op->answer.action, "filter_mismatch");

    return ngx_eb_genesys_filter_mismatch(op, fl, &place);
}


/* the API has accepted, or else it is not even known whether it has */

static ngx_int_t
ngx_eb_genesys_filter_unverified(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, const char *reason)
{
    ngx_int_t                       rc;
    const char                     *error;
    ngx_eb_genesys_filter_place_t   place;

    if (!fl->written) {
        return ngx_eb_genesys_filter_refused(op, fl, &fl->failure,
                              "it is not known whether the change was made");
    }

    /* what was sent has been understood before it was */

    rc = ngx_eb_genesys_filter_locate(op, fl, &fl->sent, &place, &error);

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_eb_genesys_filter_changed(op, fl);

    return ngx_eb_genesys_filter_done(op, fl, &place, reason);
}


static void
ngx_eb_genesys_filter_changed(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl)
{
    op->answer.changed = 1;

    if (fl->args.verb == NGX_EB_GENESYS_FILTER_SET) {
        ngx_str_set(&op->answer.action, "filter_set");

    } else {
        ngx_str_set(&op->answer.action, "filter_removed");
    }
}
