
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Tokens of Genesys Cloud.
 *
 * Words for what went wrong are ours.  The server's own could repeat what it
 * was sent, and go to the log, to answers and to metrics.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_genesys.h"
#include "ngx_eb_genesys_token.h"


#define NGX_EB_GENESYS_TOKEN_DEPTH  16


static ngx_uint_t ngx_eb_genesys_token_clean(ngx_str_t *value);
static size_t ngx_eb_genesys_token_escaped_len(ngx_str_t *value);
static u_char *ngx_eb_genesys_token_escape(u_char *p, ngx_str_t *value);
static ngx_int_t ngx_eb_genesys_token_basic(ngx_pool_t *pool,
    ngx_eb_genesys_token_settings_t *settings, ngx_str_t *value);
static ngx_int_t ngx_eb_genesys_token_read(ngx_pool_t *pool,
    ngx_eb_json_t *json, ngx_eb_genesys_token_t *token,
    ngx_eb_genesys_verdict_t *verdict);
static ngx_uint_t ngx_eb_genesys_token_lifetime(ngx_eb_json_t *json,
    ngx_eb_json_node_t node);
static ngx_int_t ngx_eb_genesys_token_refused(ngx_pool_t *pool,
    ngx_eb_genesys_reply_t *reply, ngx_eb_json_t *json,
    ngx_eb_genesys_verdict_t *verdict);
static ngx_int_t ngx_eb_genesys_token_throttled(ngx_pool_t *pool,
    ngx_eb_json_t *json);
static ngx_int_t ngx_eb_genesys_token_failed(ngx_pool_t *pool,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_verdict_t *verdict);
static ngx_eb_json_node_t ngx_eb_genesys_token_member(ngx_eb_json_t *json,
    char *name);


#define ngx_eb_genesys_token_say(verdict, text)                              \
    ngx_str_set(&(verdict)->words, text)


ngx_int_t
ngx_eb_genesys_token_request(ngx_pool_t *pool,
    ngx_eb_genesys_token_settings_t *settings, ngx_str_t *authorization,
    ngx_str_t *body)
{
    u_char  *p;
    size_t   len;

    ngx_str_null(authorization);
    ngx_str_null(body);

    if (!ngx_eb_genesys_token_clean(&settings->client_id)
        || !ngx_eb_genesys_token_clean(&settings->client_secret))
    {
        return NGX_DECLINED;
    }

    len = sizeof("grant_type=client_credentials") - 1;

    if (settings->body_credentials) {
        len += sizeof("&client_id=&client_secret=") - 1
               + ngx_eb_genesys_token_escaped_len(&settings->client_id)
               + ngx_eb_genesys_token_escaped_len(&settings->client_secret);

    } else {

        /* there it would be the end of the id */

        if (ngx_strlchr(settings->client_id.data,
                        settings->client_id.data + settings->client_id.len,
                        ':'))
        {
            return NGX_DECLINED;
        }

        if (ngx_eb_genesys_token_basic(pool, settings, authorization)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (settings->scope.len) {
        len += sizeof("&scope=") - 1
               + ngx_eb_genesys_token_escaped_len(&settings->scope);
    }

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    body->data = p;
    body->len = len;

    p = ngx_cpymem(p, "grant_type=client_credentials",
                   sizeof("grant_type=client_credentials") - 1);

    if (settings->body_credentials) {
        p = ngx_cpymem(p, "&client_id=", sizeof("&client_id=") - 1);
        p = ngx_eb_genesys_token_escape(p, &settings->client_id);

        p = ngx_cpymem(p, "&client_secret=", sizeof("&client_secret=") - 1);
        p = ngx_eb_genesys_token_escape(p, &settings->client_secret);
    }

    if (settings->scope.len) {
        p = ngx_cpymem(p, "&scope=", sizeof("&scope=") - 1);
        (void) ngx_eb_genesys_token_escape(p, &settings->scope);
    }

    return NGX_OK;
}


/* a line end that came along from a file, say, is nobody's secret */

static ngx_uint_t
ngx_eb_genesys_token_clean(ngx_str_t *value)
{
    size_t  i;

    for (i = 0; i < value->len; i++) {
        if (value->data[i] < ' ' || value->data[i] == 0x7f) {
            return 0;
        }
    }

    return value->len != 0;
}


static size_t
ngx_eb_genesys_token_escaped_len(ngx_str_t *value)
{
    return value->len + 2 * ngx_escape_uri(NULL, value->data, value->len,
                                           NGX_ESCAPE_URI_COMPONENT);
}


static u_char *
ngx_eb_genesys_token_escape(u_char *p, ngx_str_t *value)
{
    return (u_char *) ngx_escape_uri(p, value->data, value->len,
                                     NGX_ESCAPE_URI_COMPONENT);
}


static ngx_int_t
ngx_eb_genesys_token_basic(ngx_pool_t *pool,
    ngx_eb_genesys_token_settings_t *settings, ngx_str_t *value)
{
    u_char     *p;
    ngx_str_t   plain, encoded;

    plain.len = settings->client_id.len + 1 + settings->client_secret.len;

    plain.data = ngx_pnalloc(pool, plain.len);
    if (plain.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(plain.data, settings->client_id.data,
                   settings->client_id.len);
    *p++ = ':';
    ngx_memcpy(p, settings->client_secret.data, settings->client_secret.len);

    value->data = ngx_pnalloc(pool, sizeof("Basic ") - 1
                                    + ngx_base64_encoded_length(plain.len));

    if (value->data != NULL) {
        encoded.data = ngx_cpymem(value->data, "Basic ",
                                  sizeof("Basic ") - 1);
        ngx_encode_base64(&encoded, &plain);

        value->len = sizeof("Basic ") - 1 + encoded.len;
    }

    ngx_explicit_memzero(plain.data, plain.len);

    return (value->data != NULL) ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_eb_genesys_token_reply(ngx_pool_t *pool, ngx_eb_genesys_reply_t *reply,
    ngx_eb_genesys_token_t *token, ngx_eb_genesys_verdict_t *verdict)
{
    ngx_int_t              rc;
    ngx_eb_json_t          json;
    ngx_eb_json_error_t    err;
    ngx_eb_json_parser_t  *parser;

    ngx_memzero(token, sizeof(ngx_eb_genesys_token_t));
    ngx_memzero(verdict, sizeof(ngx_eb_genesys_verdict_t));

    switch (reply->status) {

    case 200:
    case 400:
    case 401:
        break;

    default:
        return ngx_eb_genesys_token_failed(pool, reply, verdict);
    }

    parser = ngx_eb_json_parser_create();
    if (parser == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_eb_json_parse(parser, reply->body.data, reply->body.len,
                           NGX_EB_GENESYS_TOKEN_DEPTH, &json, &err);

    if (rc != NGX_OK && err.code == NGX_EB_JSON_E_NOMEM) {
        rc = NGX_ERROR;

    } else if (rc != NGX_OK || ngx_eb_json_type(&json, 0) != '{') {

        if (reply->status == 200) {
            ngx_eb_genesys_token_say(verdict, "the answer of the token "
                                     "endpoint is not a JSON object");
            rc = NGX_DECLINED;

        } else {
            rc = ngx_eb_genesys_token_failed(pool, reply, verdict);
        }

    } else if (reply->status == 200) {
        rc = ngx_eb_genesys_token_read(pool, &json, token, verdict);

    } else {
        rc = ngx_eb_genesys_token_refused(pool, reply, &json, verdict);
    }

    ngx_eb_json_parser_destroy(parser);

    return rc;
}


static ngx_int_t
ngx_eb_genesys_token_read(ngx_pool_t *pool, ngx_eb_json_t *json,
    ngx_eb_genesys_token_t *token, ngx_eb_genesys_verdict_t *verdict)
{
    size_t              i;
    ngx_str_t           value;
    ngx_uint_t          lifetime;
    ngx_eb_json_node_t  node;

    node = ngx_eb_genesys_token_member(json, "token_type");

    if (node != NGX_EB_JSON_NONE) {

        if (ngx_eb_json_type(json, node) != '"') {
            ngx_str_null(&value);

        } else if (ngx_eb_json_string(json, node, pool, &value) != NGX_OK) {
            return NGX_ERROR;
        }

        if (value.len != sizeof("bearer") - 1
            || ngx_strncasecmp(value.data, (u_char *) "bearer", value.len)
               != 0)
        {
            ngx_eb_genesys_token_say(verdict, "the token is not of type "
                                     "\"bearer\"");
            return NGX_DECLINED;
        }
    }

    lifetime = ngx_eb_genesys_token_lifetime(json,
                              ngx_eb_genesys_token_member(json, "expires_in"));

    if (lifetime == 0) {
        ngx_eb_genesys_token_say(verdict, "the token's \"expires_in\" is not "
                                 "a positive number of seconds");
        return NGX_DECLINED;
    }

    node = ngx_eb_genesys_token_member(json, "access_token");

    if (node == NGX_EB_JSON_NONE || ngx_eb_json_type(json, node) != '"') {
        ngx_eb_genesys_token_say(verdict, "the answer of the token endpoint "
                                 "has no \"access_token\"");
        return NGX_DECLINED;
    }

    if (ngx_eb_json_string(json, node, pool, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    if (value.len == 0) {
        ngx_eb_genesys_token_say(verdict, "the token is empty");
        return NGX_DECLINED;
    }

    if (value.len > NGX_EB_GENESYS_TOKEN_MAX) {
        ngx_eb_genesys_token_say(verdict, "the token is longer than "
                                 "8192 bytes");
        return NGX_DECLINED;
    }

    /* it becomes part of a header */

    for (i = 0; i < value.len; i++) {
        if (value.data[i] <= ' ' || value.data[i] >= 0x7f) {
            ngx_eb_genesys_token_say(verdict, "the token has characters that "
                                     "a header cannot carry");
            return NGX_DECLINED;
        }
    }

    /* the reply may be gone before the token is */

    token->access_token.data = ngx_pstrdup(pool, &value);
    if (token->access_token.data == NULL) {
        return NGX_ERROR;
    }

    token->access_token.len = value.len;
    token->expires_in = lifetime;

    return NGX_OK;
}


/* 0: no good */

static ngx_uint_t
ngx_eb_genesys_token_lifetime(ngx_eb_json_t *json, ngx_eb_json_node_t node)
{
    size_t      i;
    ngx_str_t   raw;
    ngx_uint_t  n;

    if (node == NGX_EB_JSON_NONE || ngx_eb_json_type(json, node) != '0') {
        return 0;
    }

    ngx_eb_json_raw(json, node, &raw);

    n = 0;

    for (i = 0; i < raw.len; i++) {

        if (raw.data[i] < '0' || raw.data[i] > '9') {
            return 0;
        }

        if (n < NGX_EB_GENESYS_TOKEN_LIFETIME) {
            n = n * 10 + (raw.data[i] - '0');
        }
    }

    return ngx_min(n, NGX_EB_GENESYS_TOKEN_LIFETIME);
}


static ngx_int_t
ngx_eb_genesys_token_refused(ngx_pool_t *pool, ngx_eb_genesys_reply_t *reply,
    ngx_eb_json_t *json, ngx_eb_genesys_verdict_t *verdict)
{
    ngx_int_t           rc;
    ngx_eb_json_node_t  node;

    static ngx_str_t  invalid_client = ngx_string("invalid_client");
    static ngx_str_t  invalid_scope = ngx_string("invalid_scope");
    static ngx_str_t  unauthorized_client = ngx_string("unauthorized_client");

    if (reply->status == 400) {
        rc = ngx_eb_genesys_token_throttled(pool, json);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_OK) {
            ngx_eb_genesys_token_say(verdict, "the token endpoint has had "
                                     "too many requests");
            verdict->retry = 1;
            return NGX_DECLINED;
        }
    }

    node = ngx_eb_genesys_token_member(json, "error");

    if (node == NGX_EB_JSON_NONE || ngx_eb_json_type(json, node) != '"') {
        return ngx_eb_genesys_token_failed(pool, reply, verdict);
    }

    if (ngx_eb_json_string_eq(json, node, &invalid_client)) {

        if (reply->status == 400) {
            ngx_eb_genesys_token_say(verdict, "the OAuth client is unknown "
                                     "in this region");

        } else {
            ngx_eb_genesys_token_say(verdict, "the secret of the OAuth "
                                     "client is wrong");
        }

        return NGX_DECLINED;
    }

    if (ngx_eb_json_string_eq(json, node, &unauthorized_client)) {
        ngx_eb_genesys_token_say(verdict, "the OAuth client is not of the "
                                 "grant type client credentials");
        return NGX_DECLINED;
    }

    if (ngx_eb_json_string_eq(json, node, &invalid_scope)) {
        ngx_eb_genesys_token_say(verdict, "the OAuth client may not have "
                                 "this scope");
        return NGX_DECLINED;
    }

    return ngx_eb_genesys_token_failed(pool, reply, verdict);
}


/*
 * Genesys Cloud says so with a status that means something else, and tells
 * it in words only.
 */

static ngx_int_t
ngx_eb_genesys_token_throttled(ngx_pool_t *pool, ngx_eb_json_t *json)
{
    ngx_str_t           value;
    ngx_uint_t          i;
    ngx_eb_json_node_t  node;

    static char  *names[] = { "error_description", "description" };
    static char   words[] = "rate limit exceeded";

    for (i = 0; i < 2; i++) {
        node = ngx_eb_genesys_token_member(json, names[i]);

        if (node == NGX_EB_JSON_NONE || ngx_eb_json_type(json, node) != '"') {
            continue;
        }

        if (ngx_eb_json_string(json, node, pool, &value) != NGX_OK) {
            return NGX_ERROR;
        }

        if (ngx_strlcasestrn(value.data, value.data + value.len,
                             (u_char *) words, sizeof(words) - 2))
        {
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


/* all that is known is the status, or that there is none */

static ngx_int_t
ngx_eb_genesys_token_failed(ngx_pool_t *pool, ngx_eb_genesys_reply_t *reply,
    ngx_eb_genesys_verdict_t *verdict)
{
    u_char  *p;
    size_t   len;

    verdict->retry = (reply->status == 0 || reply->status == 408
                      || reply->status == 429
                      || (reply->status >= 500 && reply->status != 501));

    if (reply->status == 0 && reply->error.len == 0) {
        ngx_eb_genesys_token_say(verdict, "no answer of the token endpoint");
        return NGX_DECLINED;
    }

    len = sizeof("no answer of the token endpoint: ") - 1 + NGX_INT_T_LEN
          + reply->error.len;

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    verdict->words.data = p;

    if (reply->status == 0) {
        p = ngx_sprintf(p, "no answer of the token endpoint: %V",
                        &reply->error);

    } else {
        p = ngx_sprintf(p, "the token endpoint answered %ui", reply->status);
    }

    verdict->words.len = p - verdict->words.data;

    return NGX_DECLINED;
}


static ngx_eb_json_node_t
ngx_eb_genesys_token_member(ngx_eb_json_t *json, char *name)
{
    ngx_str_t  s;

    s.data = (u_char *) name;
    s.len = ngx_strlen(name);

    return ngx_eb_json_member(json, 0, &s);
}


void
ngx_eb_genesys_token_times(ngx_eb_genesys_token_times_t *times,
    ngx_msec_t started, ngx_uint_t expires_in, ngx_msec_t margin,
    ngx_uint_t random)
{
    ngx_msec_t  lifetime;

    lifetime = (ngx_msec_t) ngx_min(expires_in, NGX_EB_GENESYS_TOKEN_LIFETIME)
               * 1000;
    margin = ngx_min(margin, lifetime / 10);

    times->expires = started + lifetime;
    times->refresh = times->expires - margin - random % (margin / 10 + 1);
}


ngx_uint_t
ngx_eb_genesys_token_fresh(ngx_eb_genesys_token_times_t *times,
    ngx_msec_t now)
{
    return (ngx_msec_int_t) (times->refresh - now) > 0;
}


ngx_uint_t
ngx_eb_genesys_token_usable(ngx_eb_genesys_token_times_t *times,
    ngx_msec_t now)
{
    return (ngx_msec_int_t) (times->expires - now) > 0;
}
