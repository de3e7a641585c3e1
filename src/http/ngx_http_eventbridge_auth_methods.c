
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The methods of eventbridge_auth: their arguments, and what they look at.
 */


#include "ngx_http_eventbridge_auth.h"


/* signatures of one request that are looked at */
#define NGX_HTTP_EVENTBRIDGE_SIGNATURES  16


static char *ngx_http_eventbridge_auth_header_name(ngx_conf_t *cf,
    ngx_str_t *parameter, ngx_str_t *name);
static char *ngx_http_eventbridge_auth_parse_key(ngx_conf_t *cf,
    ngx_http_eventbridge_auth_line_t *line);
static char *ngx_http_eventbridge_auth_parse_hmac(ngx_conf_t *cf,
    ngx_http_eventbridge_auth_line_t *line);
static char *ngx_http_eventbridge_auth_parse_option(ngx_conf_t *cf,
    ngx_http_eventbridge_auth_line_t *line, ngx_str_t *parameter);
static ngx_http_eventbridge_auth_e ngx_http_eventbridge_auth_key(
    ngx_http_request_t *r, ngx_http_eventbridge_auth_line_t *line,
    ngx_str_t *body, ngx_str_t **sender);
static ngx_http_eventbridge_auth_e ngx_http_eventbridge_auth_basic(
    ngx_http_request_t *r, ngx_http_eventbridge_auth_line_t *line,
    ngx_str_t *body, ngx_str_t **sender);
static ngx_http_eventbridge_auth_e ngx_http_eventbridge_auth_bearer(
    ngx_http_request_t *r, ngx_http_eventbridge_auth_line_t *line,
    ngx_str_t *body, ngx_str_t **sender);
static ngx_uint_t ngx_http_eventbridge_auth_add(
    ngx_http_eventbridge_signature_t *format, ngx_str_t *value,
    u_char *signatures, ngx_uint_t n, ngx_uint_t max);
static ngx_int_t ngx_http_eventbridge_auth_decode(
    ngx_http_eventbridge_signature_t *format, u_char *text, size_t len,
    u_char *signature);


/* a request has to satisfy each of those that the configuration names */

ngx_http_eventbridge_method_t  ngx_http_eventbridge_methods[] = {

    { ngx_string("key"), NGX_EB_SECRETS_SECRET,
      ngx_http_eventbridge_auth_parse_key,
      ngx_http_eventbridge_auth_key, NULL, 0, NULL },

    { ngx_string("basic"), NGX_EB_SECRETS_PAIR,
      ngx_http_eventbridge_auth_parse_file,
      ngx_http_eventbridge_auth_basic, "Basic realm=\"eventbridge\"", 0,
      NULL },

    { ngx_string("bearer"), NGX_EB_SECRETS_SECRET,
      ngx_http_eventbridge_auth_parse_file,
      ngx_http_eventbridge_auth_bearer, "Bearer", 0, NULL },

    { ngx_string("hmac"), NGX_EB_SECRETS_KEY,
      ngx_http_eventbridge_auth_parse_hmac,
      ngx_http_eventbridge_auth_hmac, NULL, 1, NULL },

    { ngx_string("standard_webhooks"), NGX_EB_SECRETS_WEBHOOK,
      ngx_http_eventbridge_auth_parse_webhooks,
      ngx_http_eventbridge_auth_webhooks, NULL, 1,
      ngx_http_eventbridge_auth_webhooks_event },

    { ngx_string("github"), NGX_EB_SECRETS_KEY,
      ngx_http_eventbridge_auth_parse_github,
      ngx_http_eventbridge_auth_github, NULL, 1,
      ngx_http_eventbridge_auth_github_event },

    { ngx_string("sigv4"), NGX_EB_SECRETS_KEY,
      ngx_http_eventbridge_auth_parse_file,
      ngx_http_eventbridge_auth_sigv4, "AWS4-HMAC-SHA256", 1, NULL },

    { ngx_null_string, 0, NULL, NULL, NULL, 0, NULL }
};


/* a token of RFC 9110 */

static char *
ngx_http_eventbridge_auth_header_name(ngx_conf_t *cf, ngx_str_t *parameter,
    ngx_str_t *name)
{
    u_char  *p, *last;

    last = name->data + name->len;

    for (p = name->data; p < last; p++) {
        if (!((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z')
              || (*p >= 'A' && *p <= 'Z')
              || ngx_strchr("!#$%&'*+-.^_`|~", *p)))
        {
            break;
        }
    }

    if (name->len == 0 || p < last) {
        return ngx_http_eventbridge_refuse(cf, parameter,
                                           "the name of a header is expected");
    }

    return NGX_CONF_OK;
}


/* key HEADER FILE */

static char *
ngx_http_eventbridge_auth_parse_key(ngx_conf_t *cf,
    ngx_http_eventbridge_auth_line_t *line)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (cf->args->nelts < 4) {
        return ngx_http_eventbridge_refuse(cf, &value[cf->args->nelts - 1],
                                           "a header and a file are expected");
    }

    if (cf->args->nelts > 4) {
        return ngx_http_eventbridge_refuse(cf, &value[4], NULL);
    }

    line->header = value[2];
    line->path = value[3];

    return ngx_http_eventbridge_auth_header_name(cf, &value[2], &line->header);
}


char *
ngx_http_eventbridge_auth_parse_named(ngx_conf_t *cf,
    ngx_http_eventbridge_auth_line_t *line)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (cf->args->nelts < 3) {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "a file is expected");
    }

    line->path = value[2];

    return ngx_http_eventbridge_once(cf, 3);
}


/* basic|bearer|sigv4 FILE */

char *
ngx_http_eventbridge_auth_parse_file(ngx_conf_t *cf,
    ngx_http_eventbridge_auth_line_t *line)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (cf->args->nelts > 3) {
        return ngx_http_eventbridge_refuse(cf, &value[3], NULL);
    }

    return ngx_http_eventbridge_auth_parse_named(cf, line);
}


/* hmac FILE header=NAME [algorithm=] [encoding=] [prefix=] */

static char *
ngx_http_eventbridge_auth_parse_hmac(ngx_conf_t *cf,
    ngx_http_eventbridge_auth_line_t *line)
{
    char        *rv;
    ngx_str_t   *value;
    ngx_uint_t   i;

    rv = ngx_http_eventbridge_auth_parse_named(cf, line);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    value = cf->args->elts;
    line->md = EVP_sha256();

    for (i = 3; i < cf->args->nelts; i++) {
        rv = ngx_http_eventbridge_auth_parse_option(cf, line, &value[i]);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    if (line->header.len == 0) {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "the \"header\" parameter is "
                                           "missing");
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_eventbridge_auth_parse_option(ngx_conf_t *cf,
    ngx_http_eventbridge_auth_line_t *line, ngx_str_t *parameter)
{
    u_char     *p;
    ngx_str_t   s;

    if (ngx_http_eventbridge_takes(parameter, "header=", &s)) {
        line->header = s;
        return ngx_http_eventbridge_auth_header_name(cf, parameter, &s);
    }

    if (ngx_http_eventbridge_takes(parameter, "algorithm=", &s)) {

        if (ngx_strcmp(s.data, "sha256") == 0) {
            line->md = EVP_sha256();

        } else if (ngx_strcmp(s.data, "sha1") == 0) {
            line->md = EVP_sha1();

        } else if (ngx_strcmp(s.data, "sha512") == 0) {
            line->md = EVP_sha512();

        } else {
            return ngx_http_eventbridge_refuse(cf, parameter,
                                               "\"sha256\", \"sha1\" or "
                                               "\"sha512\" is expected");
        }

        return NGX_CONF_OK;
    }

    if (ngx_http_eventbridge_takes(parameter, "encoding=", &s)) {

        if (ngx_strcmp(s.data, "hex") == 0) {
            line->base64 = 0;

        } else if (ngx_strcmp(s.data, "base64") == 0) {
            line->base64 = 1;

        } else {
            return ngx_http_eventbridge_refuse(cf, parameter,
                                               "\"hex\" or \"base64\" "
                                               "is expected");
        }

        return NGX_CONF_OK;
    }

    if (ngx_http_eventbridge_takes(parameter, "prefix=", &s)) {

        /* what separates signatures cannot be in one */

        for (p = s.data; p < s.data + s.len; p++) {
            if (*p <= 0x20 || *p >= 0x7f || *p == ',') {
                break;
            }
        }

        if (s.len == 0 || p < s.data + s.len) {
            return ngx_http_eventbridge_refuse(cf, parameter,
                                               "printable ASCII without spaces "
                                               "and commas is expected");
        }

        line->prefix = s;

        return NGX_CONF_OK;
    }

    return ngx_http_eventbridge_refuse(cf, parameter, NULL);
}


ngx_table_elt_t *
ngx_http_eventbridge_auth_next_header(ngx_list_part_t **part, ngx_uint_t *i,
    ngx_str_t *name)
{
    ngx_table_elt_t  *h;

    for ( ;; ) {

        if (*i >= (*part)->nelts) {
            if ((*part)->next == NULL) {
                return NULL;
            }

            *part = (*part)->next;
            *i = 0;

            continue;
        }

        h = (ngx_table_elt_t *) (*part)->elts + (*i)++;

        if (h->key.len == name->len
            && ngx_strncasecmp(h->key.data, name->data, name->len) == 0)
        {
            return h;
        }
    }
}


ngx_uint_t
ngx_http_eventbridge_auth_header(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *value)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &r->headers_in.headers.part;
    i = 0;

    h = ngx_http_eventbridge_auth_next_header(&part, &i, name);

    if (h == NULL) {
        return 0;
    }

    *value = h->value;

    return ngx_http_eventbridge_auth_next_header(&part, &i, name) ? 2 : 1;
}


static ngx_http_eventbridge_auth_e
ngx_http_eventbridge_auth_key(ngx_http_request_t *r,
    ngx_http_eventbridge_auth_line_t *line, ngx_str_t *body,
    ngx_str_t **sender)
{
    ngx_str_t   value;
    ngx_uint_t  n;

    n = ngx_http_eventbridge_auth_header(r, &line->header, &value);

    if (n == 0) {
        return NGX_HTTP_EVENTBRIDGE_AUTH_MISSING;
    }

    /* whose key would it be? */

    if (n > 1) {
        return NGX_HTTP_EVENTBRIDGE_AUTH_REPEATED;
    }

    *sender = ngx_eb_secrets_match(line->secrets, &value);

    return *sender ? NGX_HTTP_EVENTBRIDGE_AUTH_OK
                   : NGX_HTTP_EVENTBRIDGE_AUTH_WRONG;
}


static ngx_http_eventbridge_auth_e
ngx_http_eventbridge_auth_basic(ngx_http_request_t *r,
    ngx_http_eventbridge_auth_line_t *line, ngx_str_t *body,
    ngx_str_t **sender)
{
    ngx_str_t  pair, *value;

    if (r->headers_in.authorization == NULL) {
        return NGX_HTTP_EVENTBRIDGE_AUTH_MISSING;
    }

    value = &r->headers_in.authorization->value;

    if (value->len < sizeof("Basic ") - 1
        || ngx_strncasecmp(value->data, (u_char *) "Basic ",
                           sizeof("Basic ") - 1)
           != 0)
    {
        return NGX_HTTP_EVENTBRIDGE_AUTH_MISSING;
    }

    /* sets $remote_user too */

    if (ngx_http_auth_basic_user(r) != NGX_OK) {
        return NGX_HTTP_EVENTBRIDGE_AUTH_MALFORMED;
    }

    /* user and password stand as they came, with the colon between */

    pair.data = r->headers_in.user.data;
    pair.len = r->headers_in.user.len + 1 + r->headers_in.passwd.len;

    *sender = ngx_eb_secrets_match(line->secrets, &pair);

    return *sender ? NGX_HTTP_EVENTBRIDGE_AUTH_OK
                   : NGX_HTTP_EVENTBRIDGE_AUTH_WRONG;
}


static ngx_http_eventbridge_auth_e
ngx_http_eventbridge_auth_bearer(ngx_http_request_t *r,
    ngx_http_eventbridge_auth_line_t *line, ngx_str_t *body,
    ngx_str_t **sender)
{
    ngx_str_t  token;

    if (r->headers_in.authorization == NULL) {
        return NGX_HTTP_EVENTBRIDGE_AUTH_MISSING;
    }

    token = r->headers_in.authorization->value;

    if (token.len < sizeof("Bearer ") - 1
        || ngx_strncasecmp(token.data, (u_char *) "Bearer ",
                           sizeof("Bearer ") - 1)
           != 0)
    {
        return NGX_HTTP_EVENTBRIDGE_AUTH_MISSING;
    }

    token.data += sizeof("Bearer ") - 1;
    token.len -= sizeof("Bearer ") - 1;

    while (token.len && token.data[0] == ' ') {
        token.data++;
        token.len--;
    }

    if (token.len == 0) {
        return NGX_HTTP_EVENTBRIDGE_AUTH_MALFORMED;
    }

    *sender = ngx_eb_secrets_match(line->secrets, &token);

    return *sender ? NGX_HTTP_EVENTBRIDGE_AUTH_OK
                   : NGX_HTTP_EVENTBRIDGE_AUTH_WRONG;
}


ngx_http_eventbridge_auth_e
ngx_http_eventbridge_auth_hmac(ngx_http_request_t *r,
    ngx_http_eventbridge_auth_line_t *line, ngx_str_t *body,
    ngx_str_t **sender)
{
    u_char                             signatures[
                                           NGX_HTTP_EVENTBRIDGE_SIGNATURES
                                           * EVP_MAX_MD_SIZE];
    ngx_uint_t                         n, headers;
    ngx_http_eventbridge_signature_t   format;

    format.prefix = line->prefix;
    format.size = EVP_MD_size(line->md);
    format.base64 = line->base64;
    format.commas = 1;

    n = ngx_http_eventbridge_auth_signatures(r, &line->header, &format,
                                             signatures,
                                             NGX_HTTP_EVENTBRIDGE_SIGNATURES,
                                             &headers);
    if (headers == 0) {
        return NGX_HTTP_EVENTBRIDGE_AUTH_MISSING;
    }

    if (n == 0) {
        return NGX_HTTP_EVENTBRIDGE_AUTH_MALFORMED;
    }

    *sender = ngx_eb_secrets_verify(line->secrets, line->md, body, signatures,
                                    n);

    return *sender ? NGX_HTTP_EVENTBRIDGE_AUTH_OK
                   : NGX_HTTP_EVENTBRIDGE_AUTH_WRONG;
}


ngx_uint_t
ngx_http_eventbridge_auth_signatures(ngx_http_request_t *r, ngx_str_t *name,
    ngx_http_eventbridge_signature_t *format, u_char *signatures,
    ngx_uint_t max, ngx_uint_t *headers)
{
    ngx_uint_t        i, n;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &r->headers_in.headers.part;
    i = 0;
    n = 0;

    for (*headers = 0; /* void */ ; *headers = 1) {
        h = ngx_http_eventbridge_auth_next_header(&part, &i, name);

        if (h == NULL) {
            return n;
        }

        n = ngx_http_eventbridge_auth_add(format, &h->value, signatures, n,
                                          max);
    }
}


/* adds the signatures in value to the n that there are; their new number */

static ngx_uint_t
ngx_http_eventbridge_auth_add(ngx_http_eventbridge_signature_t *format,
    ngx_str_t *value, u_char *signatures, ngx_uint_t n, ngx_uint_t max)
{
    u_char     *p, *last, *start;
    size_t      len;
    ngx_str_t  *prefix;

    prefix = &format->prefix;
    last = value->data + value->len;

    for (p = value->data; p < last; p++) {

        start = p;

        while (p < last && *p != ' ' && *p != '\t'
               && (*p != ',' || !format->commas))
        {
            p++;
        }

        len = p - start;

        if (len < prefix->len
            || (prefix->len
                && ngx_strncmp(start, prefix->data, prefix->len) != 0))
        {
            continue;
        }

        if (n < max
            && ngx_http_eventbridge_auth_decode(format, start + prefix->len,
                                                len - prefix->len,
                                                signatures + n * format->size)
               == NGX_OK)
        {
            n++;
        }
    }

    return n;
}


/* NGX_DECLINED: it cannot be a signature */

static ngx_int_t
ngx_http_eventbridge_auth_decode(ngx_http_eventbridge_signature_t *format,
    u_char *text, size_t len, u_char *signature)
{
    u_char      buf[ngx_base64_decoded_length(
                        ngx_base64_encoded_length(EVP_MAX_MD_SIZE))];
    size_t      size, i;
    ngx_int_t   n;
    ngx_str_t   in, out;

    size = format->size;

    if (format->base64) {

        if (len > ngx_base64_encoded_length(size)) {
            return NGX_DECLINED;
        }

        in.data = text;
        in.len = len;
        out.data = buf;

        if (ngx_decode_base64(&out, &in) != NGX_OK || out.len != size) {
            return NGX_DECLINED;
        }

        ngx_memcpy(signature, buf, size);

        return NGX_OK;
    }

    if (len != size * 2) {
        return NGX_DECLINED;
    }

    for (i = 0; i < size; i++) {
        n = ngx_hextoi(text + i * 2, 2);

        if (n == NGX_ERROR) {
            return NGX_DECLINED;
        }

        signature[i] = (u_char) n;
    }

    return NGX_OK;
}
