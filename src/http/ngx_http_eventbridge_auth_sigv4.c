
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The method of eventbridge_auth for clients of AWS: a request as nginx has
 * it becomes one as Signature Version 4 sees it.
 */


#include "ngx_http_eventbridge_auth.h"
#include "ngx_eb_sigv4.h"


static ngx_int_t ngx_http_eventbridge_auth_sigv4_request(
    ngx_http_request_t *r, ngx_str_t *body, ngx_eb_sigv4_request_t *request);
static ngx_uint_t ngx_http_eventbridge_auth_sigv4_host(
    ngx_http_request_t *r);
static ngx_uint_t ngx_http_eventbridge_auth_sigv4_attributes(
    ngx_http_request_t *r, ngx_str_t *names);
static ngx_str_t *ngx_http_eventbridge_auth_sigv4_name(ngx_eb_sigv4_t *v,
    ngx_eb_secrets_t *secrets);


ngx_http_eventbridge_auth_e
ngx_http_eventbridge_auth_sigv4(ngx_http_request_t *r,
    ngx_http_eventbridge_auth_line_t *line, ngx_str_t *body,
    ngx_str_t **sender)
{
    ngx_eb_sigv4_t           v;
    ngx_eb_sigv4_request_t   request;

    static ngx_str_t  service = ngx_string("events");

    if (ngx_http_eventbridge_auth_sigv4_request(r, body, &request) != NGX_OK) {
        return NGX_HTTP_EVENTBRIDGE_AUTH_ERROR;
    }

    switch (ngx_eb_sigv4_prepare(r->pool, &request, &service, ngx_time(), &v))
    {

    case NGX_EB_SIGV4_OK:
        break;

    case NGX_EB_SIGV4_MISSING:
        return NGX_HTTP_EVENTBRIDGE_AUTH_MISSING;

    case NGX_EB_SIGV4_REPEATED:
        return NGX_HTTP_EVENTBRIDGE_AUTH_REPEATED;

    case NGX_EB_SIGV4_MALFORMED:
        return NGX_HTTP_EVENTBRIDGE_AUTH_MALFORMED;

    case NGX_EB_SIGV4_EXPIRED:
        return NGX_HTTP_EVENTBRIDGE_AUTH_EXPIRED;

    case NGX_EB_SIGV4_WRONG:
        return NGX_HTTP_EVENTBRIDGE_AUTH_WRONG;

    default: /* NGX_EB_SIGV4_NOMEM */
        return NGX_HTTP_EVENTBRIDGE_AUTH_ERROR;
    }

    if (!ngx_http_eventbridge_auth_sigv4_host(r)
        || !ngx_http_eventbridge_auth_sigv4_attributes(r, &v.auth.headers))
    {
        return NGX_HTTP_EVENTBRIDGE_AUTH_MALFORMED;
    }

    *sender = ngx_http_eventbridge_auth_sigv4_name(&v, line->secrets);

    return *sender ? NGX_HTTP_EVENTBRIDGE_AUTH_OK
                   : NGX_HTTP_EVENTBRIDGE_AUTH_WRONG;
}


static ngx_int_t
ngx_http_eventbridge_auth_sigv4_request(ngx_http_request_t *r,
    ngx_str_t *body, ngx_eb_sigv4_request_t *request)
{
    u_char           *args;
    ngx_uint_t        i, n;
    ngx_keyval_t     *h;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *from;

    request->method = r->method_name;
    request->body = *body;

    /* as it came, whatever rewrites have made of it */

    request->path = r->unparsed_uri;
    ngx_str_null(&request->query);

    args = ngx_strlchr(r->unparsed_uri.data,
                       r->unparsed_uri.data + r->unparsed_uri.len, '?');

    if (args) {
        request->path.len = args - request->path.data;
        request->query.data = args + 1;
        request->query.len = r->unparsed_uri.len - request->path.len - 1;
    }

    n = 0;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        n += part->nelts;
    }

    h = ngx_palloc(r->pool, (n + 1) * sizeof(ngx_keyval_t));
    if (h == NULL) {
        return NGX_ERROR;
    }

    request->headers = h;
    request->nheaders = n;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        from = part->elts;

        for (i = 0; i < part->nelts; i++, h++) {
            h->key = from[i].key;
            h->value = from[i].value;
        }
    }

    return NGX_OK;
}


/*
 * Is Host, which is signed, the name by which nginx has chosen the server?  A
 * URI with a host in the first line overrides it, and is not signed.
 */

static ngx_uint_t
ngx_http_eventbridge_auth_sigv4_host(ngx_http_request_t *r)
{
    u_char     *p, *last;
    ngx_str_t  *server;

    if (r->headers_in.host == NULL) {
        return 0;
    }

    server = &r->headers_in.server;

    p = r->headers_in.host->value.data;
    last = p + r->headers_in.host->value.len;

    if ((size_t) (last - p) < server->len
        || (server->len
            && ngx_strncasecmp(p, server->data, server->len) != 0))
    {
        return 0;
    }

    /* nginx takes away a dot at the end, and the port */

    p += server->len;

    if (p < last && *p == '.') {
        p++;
    }

    return p == last || *p == ':';
}


/*
 * Where headers are attributes of a CloudEvent, each of them is signed, and so
 * is the type of its data: they say what the event is.
 */

static ngx_uint_t
ngx_http_eventbridge_auth_sigv4_attributes(ngx_http_request_t *r,
    ngx_str_t *names)
{
    ngx_str_t         name;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    if (ngx_http_eventbridge_cloudevent_room(r) == 0) {
        return 1;
    }

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            name.data = h[i].lowcase_key;
            name.len = h[i].key.len;

            if (((name.len > 3 && ngx_strncmp(name.data, "ce-", 3) == 0)
                 || (name.len == 12
                     && ngx_strncmp(name.data, "content-type", 12) == 0))
                && !ngx_eb_sigv4_signed(names, &name))
            {
                return 0;
            }
        }
    }

    return 1;
}


static ngx_str_t *
ngx_http_eventbridge_auth_sigv4_name(ngx_eb_sigv4_t *v,
    ngx_eb_secrets_t *secrets)
{
    ngx_str_t   *name, *found;
    ngx_uint_t   i, tried, right;

    static ngx_str_t  nobody = ngx_string("a key that nobody has");

    found = NULL;
    tried = 0;

    for (i = 0; /* void */ ; i++) {
        name = ngx_eb_secrets_name(secrets, i);

        if (name == NULL) {
            break;
        }

        if (name->len != v->auth.key_id.len
            || ngx_memcmp(name->data, v->auth.key_id.data, name->len) != 0)
        {
            continue;
        }

        /* several secrets of one id: each of them, right or wrong */

        right = ngx_eb_sigv4_check(v, ngx_eb_secrets_key(secrets, i));
        found = right ? name : found;
        tried++;
    }

    /* an unknown id takes as long as a wrong secret */

    if (tried == 0) {
        (void) ngx_eb_sigv4_check(v, &nobody);
    }

    return found;
}


ngx_int_t
ngx_http_eventbridge_auth_sigv4_refuse(ngx_http_request_t *r,
    ngx_http_eventbridge_auth_e why)
{
    const char  *type, *message;

    switch (why) {

    case NGX_HTTP_EVENTBRIDGE_AUTH_MISSING:
        type = "MissingAuthenticationTokenException";
        message = "the request is not signed";
        break;

    case NGX_HTTP_EVENTBRIDGE_AUTH_EXPIRED:
        /* the first two words make SDKs set their clock by the header Date,
           and try again */
        type = "InvalidSignatureException";
        message = "Signature expired, or not yet current: clocks differ by "
                  "more than 5 minutes";
        break;

    case NGX_HTTP_EVENTBRIDGE_AUTH_WRONG:
        type = "InvalidSignatureException";
        message = "the signature is not that of this request, or of no "
                  "secret that is known here";
        break;

    default:
        type = "IncompleteSignatureException";
        message = "the request is not signed as it should be";
    }

    return ngx_http_eventbridge_refuse_aws(r, NGX_HTTP_UNAUTHORIZED, type,
                                           message);
}
