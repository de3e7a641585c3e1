
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The methods of eventbridge_auth for webhooks that say who they are by a
 * signature, and what they are by headers: Standard Webhooks and GitHub.
 */


#include "ngx_http_eventbridge_auth.h"
#include "ngx_eb_time.h"
#include "ngx_eb_webhook.h"


/* seconds: by default, as in the reference libraries, and at most */
#define NGX_HTTP_EVENTBRIDGE_TOLERANCE      300
#define NGX_HTTP_EVENTBRIDGE_MAX_TOLERANCE  86400

/* signatures of one request that are looked at; one of Ed25519 costs more
   than ten HMACs, and each anew with each key */
#define NGX_HTTP_EVENTBRIDGE_V1             16
#define NGX_HTTP_EVENTBRIDGE_V1A            4

#define NGX_HTTP_EVENTBRIDGE_SHA256         32


/* the three headers of one message */

typedef struct {
    ngx_str_t                 id;
    ngx_str_t                 timestamp;
    ngx_str_t                 signature;
} ngx_http_eventbridge_webhook_t;


static ngx_uint_t ngx_http_eventbridge_auth_webhook_id(ngx_http_request_t *r,
    ngx_str_t *id, ngx_http_eventbridge_webhook_t **names);
static ngx_http_eventbridge_auth_e ngx_http_eventbridge_auth_webhook_text(
    ngx_http_request_t *r, ngx_http_eventbridge_auth_line_t *line,
    ngx_str_t *id, ngx_str_t *timestamp);
static ngx_http_eventbridge_auth_e ngx_http_eventbridge_auth_webhook_content(
    ngx_http_request_t *r, ngx_str_t *id, ngx_str_t *timestamp,
    ngx_str_t *body, ngx_str_t *content);


static ngx_http_eventbridge_webhook_t  ngx_http_eventbridge_webhook_names[] = {

    { ngx_string("webhook-id"),
      ngx_string("webhook-timestamp"),
      ngx_string("webhook-signature") },

    /* what they were called before there was a standard */

    { ngx_string("svix-id"),
      ngx_string("svix-timestamp"),
      ngx_string("svix-signature") }
};


/* standard_webhooks FILE [tolerance=300s] */

char *
ngx_http_eventbridge_auth_parse_webhooks(ngx_conf_t *cf,
    ngx_http_eventbridge_auth_line_t *line)
{
    char        *rv;
    ngx_int_t    n;
    ngx_str_t   *value, s;
    ngx_uint_t   i;

    rv = ngx_http_eventbridge_auth_parse_named(cf, line);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    value = cf->args->elts;
    line->tolerance = NGX_HTTP_EVENTBRIDGE_TOLERANCE;

    for (i = 3; i < cf->args->nelts; i++) {

        if (!ngx_http_eventbridge_takes(&value[i], "tolerance=", &s)) {
            return ngx_http_eventbridge_refuse(cf, &value[i], NULL);
        }

        n = ngx_parse_time(&s, 1);

        if (n == NGX_ERROR || n < 1 || n > NGX_HTTP_EVENTBRIDGE_MAX_TOLERANCE)
        {
            return ngx_http_eventbridge_refuse(cf, &value[i],
                                               "a time from 1s to 1d is "
                                               "expected");
        }

        line->tolerance = n;
    }

    return NGX_CONF_OK;
}


ngx_http_eventbridge_auth_e
ngx_http_eventbridge_auth_webhooks(ngx_http_request_t *r,
    ngx_http_eventbridge_auth_line_t *line, ngx_str_t *body,
    ngx_str_t **sender)
{
    u_char                             v1[NGX_HTTP_EVENTBRIDGE_V1
                                          * NGX_HTTP_EVENTBRIDGE_SHA256];
    u_char                             v1a[NGX_HTTP_EVENTBRIDGE_V1A
                                           * NGX_EB_WEBHOOK_SIGNATURE];
    ngx_str_t                          id, timestamp, content;
    ngx_uint_t                         n, na, headers;
    ngx_http_eventbridge_auth_e        rc;
    ngx_http_eventbridge_webhook_t    *names;

    static ngx_http_eventbridge_signature_t  format = {
        ngx_string("v1,"), NGX_HTTP_EVENTBRIDGE_SHA256, 1, 0
    };
    static ngx_http_eventbridge_signature_t  format_public = {
        ngx_string("v1a,"), NGX_EB_WEBHOOK_SIGNATURE, 1, 0
    };

    /* attributes in headers would say what it is, and nothing signs them */

    if (ngx_http_eventbridge_cloudevent_room(r)) {
        return NGX_HTTP_EVENTBRIDGE_AUTH_MALFORMED;
    }

    n = ngx_http_eventbridge_auth_webhook_id(r, &id, &names);

    if (n != 1) {
        return n ? NGX_HTTP_EVENTBRIDGE_AUTH_REPEATED
                 : NGX_HTTP_EVENTBRIDGE_AUTH_MISSING;
    }

    n = ngx_http_eventbridge_auth_header(r, &names->timestamp, &timestamp);

    if (n != 1) {
        return n ? NGX_HTTP_EVENTBRIDGE_AUTH_REPEATED
                 : NGX_HTTP_EVENTBRIDGE_AUTH_MISSING;
    }

    n = ngx_http_eventbridge_auth_signatures(r, &names->signature, &format, v1,
                                             NGX_HTTP_EVENTBRIDGE_V1,
                                             &headers);
    na = ngx_http_eventbridge_auth_signatures(r, &names->signature,
                                              &format_public, v1a,
                                              NGX_HTTP_EVENTBRIDGE_V1A,
                                              &headers);
    if (n + na == 0) {
        return headers ? NGX_HTTP_EVENTBRIDGE_AUTH_MALFORMED
                       : NGX_HTTP_EVENTBRIDGE_AUTH_MISSING;
    }

    rc = ngx_http_eventbridge_auth_webhook_text(r, line, &id, &timestamp);

    if (rc != NGX_HTTP_EVENTBRIDGE_AUTH_OK) {
        return rc;
    }

    rc = ngx_http_eventbridge_auth_webhook_content(r, &id, &timestamp, body,
                                                   &content);
    if (rc != NGX_HTTP_EVENTBRIDGE_AUTH_OK) {
        return rc;
    }

    *sender = ngx_eb_secrets_verify(line->secrets, EVP_sha256(), &content, v1,
                                    n);

    if (*sender == NULL) {
        *sender = ngx_eb_secrets_verify_public(line->secrets, &content, v1a,
                                               na);
    }

    (void) ngx_pfree(r->pool, content.data);

    return *sender ? NGX_HTTP_EVENTBRIDGE_AUTH_OK
                   : NGX_HTTP_EVENTBRIDGE_AUTH_WRONG;
}


/* how many there are, as ngx_http_eventbridge_auth_header() says; with their
   other headers.  Somebody who sends both families means the standard's */

static ngx_uint_t
ngx_http_eventbridge_auth_webhook_id(ngx_http_request_t *r, ngx_str_t *id,
    ngx_http_eventbridge_webhook_t **names)
{
    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < 2 && n == 0; i++) {
        *names = &ngx_http_eventbridge_webhook_names[i];
        n = ngx_http_eventbridge_auth_header(r, &(*names)->id, id);
    }

    return n;
}


static ngx_http_eventbridge_auth_e
ngx_http_eventbridge_auth_webhook_text(ngx_http_request_t *r,
    ngx_http_eventbridge_auth_line_t *line, ngx_str_t *id,
    ngx_str_t *timestamp)
{
    u_char  *p;
    time_t   sec;

    /*
     * A dot would let the end of one part be the beginning of the next, so
     * that a signature held for several messages.
     */

    for (p = id->data; p < id->data + id->len; p++) {
        if (*p <= 0x20 || *p == 0x7f || *p == '.') {
            break;
        }
    }

    if (id->len == 0 || p < id->data + id->len) {
        return NGX_HTTP_EVENTBRIDGE_AUTH_MALFORMED;
    }

    sec = ngx_atotm(timestamp->data, timestamp->len);

    if (sec == NGX_ERROR) {
        return NGX_HTTP_EVENTBRIDGE_AUTH_MALFORMED;
    }

    if (sec < ngx_time() - line->tolerance
        || sec > ngx_time() + line->tolerance)
    {
        return NGX_HTTP_EVENTBRIDGE_AUTH_EXPIRED;
    }

    return NGX_HTTP_EVENTBRIDGE_AUTH_OK;
}


/* one block, for Ed25519 cannot be fed in parts */

static ngx_http_eventbridge_auth_e
ngx_http_eventbridge_auth_webhook_content(ngx_http_request_t *r,
    ngx_str_t *id, ngx_str_t *timestamp, ngx_str_t *body, ngx_str_t *content)
{
    u_char  *p;

    content->len = id->len + 1 + timestamp->len + 1 + body->len;

    content->data = ngx_pnalloc(r->pool, content->len);
    if (content->data == NULL) {
        return NGX_HTTP_EVENTBRIDGE_AUTH_ERROR;
    }

    p = ngx_sprintf(content->data, "%V.%V.", id, timestamp);

    if (body->len) {
        ngx_memcpy(p, body->data, body->len);
    }

    return NGX_HTTP_EVENTBRIDGE_AUTH_OK;
}


/* type and timestamp are what the standard recommends to have in a body */

ngx_int_t
ngx_http_eventbridge_auth_webhooks_event(ngx_http_eventbridge_job_t *job,
    ngx_eb_json_t *json, ngx_eb_event_t *event)
{
    ngx_str_t                        id;
    ngx_eb_json_node_t               node;
    ngx_http_eventbridge_webhook_t  *names;

    static ngx_str_t  type = ngx_string("type");
    static ngx_str_t  timestamp = ngx_string("timestamp");

    if (ngx_http_eventbridge_auth_webhook_id(job->client->request, &id, &names)
        == 1
        && ngx_http_eventbridge_copy(job->pool, &event->id, &id) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_eb_json_type(json, 0) != '{') {
        return NGX_OK;
    }

    node = ngx_eb_json_member(json, 0, &timestamp);

    if (node != NGX_EB_JSON_NONE && ngx_eb_json_type(json, node) == '"') {
        (void) ngx_eb_json_string_raw(json, node, &id);
        event->time = ngx_eb_time_parse(id.data, id.len);
    }

    node = ngx_eb_json_member(json, 0, &type);

    if (node == NGX_EB_JSON_NONE || ngx_eb_json_type(json, node) != '"') {
        return NGX_OK;
    }

    return ngx_eb_json_string(json, node, job->pool, &event->type);
}


/* github FILE */

char *
ngx_http_eventbridge_auth_parse_github(ngx_conf_t *cf,
    ngx_http_eventbridge_auth_line_t *line)
{
    line->md = EVP_sha256();

    ngx_str_set(&line->header, "X-Hub-Signature-256");
    ngx_str_set(&line->prefix, "sha256=");

    return ngx_http_eventbridge_auth_parse_file(cf, line);
}


/* the same for headers of CloudEvents */

ngx_http_eventbridge_auth_e
ngx_http_eventbridge_auth_github(ngx_http_request_t *r,
    ngx_http_eventbridge_auth_line_t *line, ngx_str_t *body,
    ngx_str_t **sender)
{
    if (ngx_http_eventbridge_cloudevent_room(r)) {
        return NGX_HTTP_EVENTBRIDGE_AUTH_MALFORMED;
    }

    return ngx_http_eventbridge_auth_hmac(r, line, body, sender);
}


ngx_int_t
ngx_http_eventbridge_auth_github_event(ngx_http_eventbridge_job_t *job,
    ngx_eb_json_t *json, ngx_eb_event_t *event)
{
    ngx_str_t            value;
    ngx_http_request_t  *r;

    static ngx_str_t  delivery = ngx_string("X-GitHub-Delivery");
    static ngx_str_t  type = ngx_string("X-GitHub-Event");

    r = job->client->request;

    ngx_str_set(&event->source, "github");

    if (ngx_http_eventbridge_auth_header(r, &delivery, &value) == 1
        && ngx_http_eventbridge_copy(job->pool, &event->id, &value) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_eventbridge_auth_header(r, &type, &value) == 1) {
        return ngx_http_eventbridge_copy(job->pool, &event->type, &value);
    }

    return NGX_OK;
}
