
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include "ngx_eb_sigv4.h"
#include "ngx_eb_time.h"


#define NGX_EB_SIGV4_SCHEME  "AWS4-HMAC-SHA256"
#define NGX_EB_SIGV4_END     "aws4_request"


/* headers of a request that are looked at by name, in lower case */

typedef enum {
    NGX_EB_SIGV4_H_AUTHORIZATION = 0,
    NGX_EB_SIGV4_H_DATE,
    NGX_EB_SIGV4_H_HOST,
    NGX_EB_SIGV4_H_TARGET,
    NGX_EB_SIGV4_H_TOKEN,
    NGX_EB_SIGV4_H_HASH,
    NGX_EB_SIGV4_H_ALL
} ngx_eb_sigv4_h_e;


static ngx_int_t ngx_eb_sigv4_credential(ngx_str_t *value,
    ngx_eb_sigv4_auth_t *auth);
static ngx_uint_t ngx_eb_sigv4_part(ngx_str_t *rest, ngx_str_t *part,
    size_t max);
static ngx_uint_t ngx_eb_sigv4_takes(ngx_str_t *param, const char *name,
    size_t len, ngx_str_t *value);
static ngx_uint_t ngx_eb_sigv4_hex(ngx_str_t *text, u_char *bytes);
static ngx_int_t ngx_eb_sigv4_string(ngx_pool_t *pool, ngx_str_t *stamp,
    ngx_str_t *scope, ngx_str_t *canonical, ngx_str_t *out);
static ngx_int_t ngx_eb_sigv4_mac(ngx_str_t *secret, ngx_str_t *date,
    ngx_str_t *region, ngx_str_t *service, ngx_str_t *string,
    u_char mac[NGX_EB_SIGV4_SHA]);
static ngx_int_t ngx_eb_sigv4_hmac(u_char *key, size_t len, u_char *data,
    size_t size, u_char mac[NGX_EB_SIGV4_SHA]);
static ngx_int_t ngx_eb_sigv4_add(ngx_array_t *headers, const char *name,
    ngx_str_t *value);


static ngx_str_t  ngx_eb_sigv4_h[] = {
    ngx_string("authorization"),
    ngx_string("x-amz-date"),
    ngx_string("host"),
    ngx_string("x-amz-target"),
    ngx_string("x-amz-security-token"),
    ngx_string("x-amz-content-sha256")
};


ngx_int_t
ngx_eb_sigv4_sign(ngx_pool_t *pool, ngx_eb_sigv4_request_t *request,
    ngx_str_t *host, ngx_eb_sigv4_keys_t *keys, time_t now,
    ngx_array_t *headers)
{
    u_char                   mac[NGX_EB_SIGV4_SHA], hash[NGX_EB_SIGV4_HEX], *p;
    ngx_int_t                rc;
    ngx_str_t                stamp, date, scope, names, canonical, string,
                             value;
    ngx_uint_t               first;
    ngx_keyval_t            *all;
    ngx_eb_sigv4_request_t   whole;

    first = headers->nelts;

    stamp.len = NGX_EB_SIGV4_STAMP;
    stamp.data = ngx_pnalloc(pool, NGX_EB_SIGV4_STAMP);

    scope.len = sizeof("YYYYMMDD///" NGX_EB_SIGV4_END) - 1 + keys->region.len
                + keys->service.len;
    scope.data = ngx_pnalloc(pool, scope.len);

    if (stamp.data == NULL || scope.data == NULL) {
        return NGX_ERROR;
    }

    ngx_eb_sigv4_stamp(now, stamp.data);

    date.data = stamp.data;
    date.len = sizeof("YYYYMMDD") - 1;

    ngx_sprintf(scope.data, "%V/%V/%V/" NGX_EB_SIGV4_END, &date,
                &keys->region, &keys->service);

    if ((host->len && ngx_eb_sigv4_add(headers, "Host", host) != NGX_OK)
        || ngx_eb_sigv4_add(headers, "X-Amz-Date", &stamp) != NGX_OK
        || (keys->token.len
            && ngx_eb_sigv4_add(headers, "X-Amz-Security-Token", &keys->token)
               != NGX_OK))
    {
        return NGX_ERROR;
    }

    /* those of the request, and what has been added */

    whole = *request;
    whole.nheaders = request->nheaders + headers->nelts - first;

    all = ngx_palloc(pool, whole.nheaders * sizeof(ngx_keyval_t));
    if (all == NULL) {
        return NGX_ERROR;
    }

    whole.headers = all;

    if (request->nheaders) {
        ngx_memcpy(all, request->headers,
                   request->nheaders * sizeof(ngx_keyval_t));
    }

    ngx_memcpy(all + request->nheaders,
               (ngx_keyval_t *) headers->elts + first,
               (headers->nelts - first) * sizeof(ngx_keyval_t));

    rc = ngx_eb_sigv4_sha(&request->body, hash);

    if (rc == NGX_OK) {
        rc = ngx_eb_sigv4_names(pool, &whole, &names);
    }

    if (rc == NGX_OK) {
        rc = ngx_eb_sigv4_canonical(pool, &whole, &names, hash, &canonical);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_eb_sigv4_string(pool, &stamp, &scope, &canonical, &string)
        != NGX_OK
        || ngx_eb_sigv4_mac(&keys->secret, &date, &keys->region,
                            &keys->service, &string, mac)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    value.data = ngx_pnalloc(pool, sizeof(NGX_EB_SIGV4_SCHEME " Credential=/, "
                                          "SignedHeaders=, Signature=")
                                   + keys->key_id.len + scope.len + names.len
                                   + NGX_EB_SIGV4_HEX);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(value.data, NGX_EB_SIGV4_SCHEME " Credential=%V/%V, "
                    "SignedHeaders=%V, Signature=", &keys->key_id, &scope,
                    &names);
    p = ngx_hex_dump(p, mac, NGX_EB_SIGV4_SHA);

    value.len = p - value.data;

    return ngx_eb_sigv4_add(headers, "Authorization", &value);
}


ngx_eb_sigv4_e
ngx_eb_sigv4_prepare(ngx_pool_t *pool, ngx_eb_sigv4_request_t *request,
    ngx_str_t *service, time_t now, ngx_eb_sigv4_t *v)
{
    time_t       sec;
    u_char       hash[NGX_EB_SIGV4_HEX];
    ngx_int_t    rc;
    ngx_str_t   *found[NGX_EB_SIGV4_H_ALL], canonical;
    ngx_uint_t   i, h, many;

    ngx_memzero(found, sizeof(found));
    many = 0;

    for (i = 0; i < request->nheaders; i++) {
        for (h = 0; h < NGX_EB_SIGV4_H_ALL; h++) {
            if (ngx_eb_sigv4_is(&request->headers[i].key,
                                &ngx_eb_sigv4_h[h]))
            {
                many |= (found[h] != NULL);
                found[h] = &request->headers[i].value;
            }
        }
    }

    if (found[NGX_EB_SIGV4_H_AUTHORIZATION] == NULL) {
        return NGX_EB_SIGV4_MISSING;
    }

    /* which of them would be meant? */

    if (many) {
        return NGX_EB_SIGV4_REPEATED;
    }

    rc = ngx_eb_sigv4_parse(found[NGX_EB_SIGV4_H_AUTHORIZATION], &v->auth);

    if (rc == NGX_DECLINED) {
        return NGX_EB_SIGV4_MISSING;
    }

    if (rc != NGX_OK
        || v->auth.service.len != service->len
        || ngx_memcmp(v->auth.service.data, service->data, service->len) != 0
        || found[NGX_EB_SIGV4_H_DATE] == NULL
        || ngx_eb_sigv4_time(found[NGX_EB_SIGV4_H_DATE], &sec) != NGX_OK
        || ngx_memcmp(found[NGX_EB_SIGV4_H_DATE]->data, v->auth.date.data,
                      v->auth.date.len)
           != 0)
    {
        return NGX_EB_SIGV4_MALFORMED;
    }

    /* what could be changed or added without a trace means nothing */

    for (h = NGX_EB_SIGV4_H_DATE; h <= NGX_EB_SIGV4_H_TOKEN; h++) {

        if ((found[h] || h == NGX_EB_SIGV4_H_HOST)
            && !ngx_eb_sigv4_signed(&v->auth.headers, &ngx_eb_sigv4_h[h]))
        {
            return NGX_EB_SIGV4_MALFORMED;
        }
    }

    if (sec < now - NGX_EB_SIGV4_WINDOW || sec > now + NGX_EB_SIGV4_WINDOW) {
        return NGX_EB_SIGV4_EXPIRED;
    }

    if (ngx_eb_sigv4_sha(&request->body, hash) != NGX_OK) {
        return NGX_EB_SIGV4_NOMEM;
    }

    if (found[NGX_EB_SIGV4_H_HASH]) {

        /* UNSIGNED-PAYLOAD and STREAMING-... are no digits */

        if (found[NGX_EB_SIGV4_H_HASH]->len != NGX_EB_SIGV4_HEX) {
            return NGX_EB_SIGV4_MALFORMED;
        }

        if (ngx_memcmp(found[NGX_EB_SIGV4_H_HASH]->data, hash,
                       NGX_EB_SIGV4_HEX)
            != 0)
        {
            return NGX_EB_SIGV4_WRONG;
        }
    }

    rc = ngx_eb_sigv4_canonical(pool, request, &v->auth.headers, hash,
                                &canonical);

    if (rc == NGX_DECLINED) {
        return NGX_EB_SIGV4_MALFORMED;
    }

    if (rc != NGX_OK
        || ngx_eb_sigv4_string(pool, found[NGX_EB_SIGV4_H_DATE],
                               &v->auth.scope, &canonical, &v->string)
           != NGX_OK)
    {
        return NGX_EB_SIGV4_NOMEM;
    }

    return NGX_EB_SIGV4_OK;
}


ngx_uint_t
ngx_eb_sigv4_check(ngx_eb_sigv4_t *v, ngx_str_t *secret)
{
    u_char  mac[NGX_EB_SIGV4_SHA];

    return ngx_eb_sigv4_mac(secret, &v->auth.date, &v->auth.region,
                            &v->auth.service, &v->string, mac)
           == NGX_OK
           && CRYPTO_memcmp(mac, v->auth.signature, NGX_EB_SIGV4_SHA) == 0;
}


ngx_int_t
ngx_eb_sigv4_parse(ngx_str_t *value, ngx_eb_sigv4_auth_t *auth)
{
    u_char      *p, *last;
    ngx_str_t    param, s;
    ngx_uint_t   seen, bit;

    ngx_memzero(auth, sizeof(ngx_eb_sigv4_auth_t));

    p = value->data;
    last = p + value->len;

    if (value->len < sizeof(NGX_EB_SIGV4_SCHEME)
        || ngx_memcmp(p, NGX_EB_SIGV4_SCHEME " ", sizeof(NGX_EB_SIGV4_SCHEME))
           != 0)
    {
        return NGX_DECLINED;
    }

    p += sizeof(NGX_EB_SIGV4_SCHEME);
    seen = 0;

    for ( ;; ) {

        while (p < last && (*p == ' ' || *p == '\t')) {
            p++;
        }

        param.data = p;

        while (p < last && *p != ',') {
            p++;
        }

        param.len = p - param.data;

        while (param.len && (p[-1] == ' ' || p[-1] == '\t')) {
            param.len--;
            p--;
        }

        p = param.data + param.len;

        if (ngx_eb_sigv4_takes(&param, "Credential=",
                               sizeof("Credential=") - 1, &s))
        {
            bit = 1;

            if (ngx_eb_sigv4_credential(&s, auth) != NGX_OK) {
                return NGX_ERROR;
            }

        } else if (ngx_eb_sigv4_takes(&param, "SignedHeaders=",
                                      sizeof("SignedHeaders=") - 1, &s))
        {
            bit = 2;
            auth->headers = s;

        } else if (ngx_eb_sigv4_takes(&param, "Signature=",
                                      sizeof("Signature=") - 1, &s))
        {
            bit = 4;

            if (!ngx_eb_sigv4_hex(&s, auth->signature)) {
                return NGX_ERROR;
            }

        } else {
            return NGX_ERROR;
        }

        if (seen & bit) {
            return NGX_ERROR;
        }

        seen |= bit;

        while (p < last && *p != ',') {
            p++;
        }

        if (p == last) {
            return (seen == 7 && auth->headers.len) ? NGX_OK : NGX_ERROR;
        }

        p++;
    }
}


/* KEY/YYYYMMDD/REGION/SERVICE/aws4_request */

static ngx_int_t
ngx_eb_sigv4_credential(ngx_str_t *value, ngx_eb_sigv4_auth_t *auth)
{
    u_char     *p;
    ngx_str_t   rest;

    rest = *value;

    if (!ngx_eb_sigv4_part(&rest, &auth->key_id, NGX_EB_SIGV4_KEY_ID)) {
        return NGX_ERROR;
    }

    auth->scope = rest;

    if (!ngx_eb_sigv4_part(&rest, &auth->date, sizeof("YYYYMMDD") - 1)
        || !ngx_eb_sigv4_part(&rest, &auth->region, NGX_EB_SIGV4_NAME)
        || !ngx_eb_sigv4_part(&rest, &auth->service, NGX_EB_SIGV4_NAME)
        || auth->date.len != sizeof("YYYYMMDD") - 1
        || rest.len != sizeof(NGX_EB_SIGV4_END) - 1
        || ngx_memcmp(rest.data, NGX_EB_SIGV4_END,
                      sizeof(NGX_EB_SIGV4_END) - 1)
           != 0)
    {
        return NGX_ERROR;
    }

    for (p = auth->date.data; p < auth->region.data - 1; p++) {
        if (*p < '0' || *p > '9') {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* what is before the next slash, and what is behind it */

static ngx_uint_t
ngx_eb_sigv4_part(ngx_str_t *rest, ngx_str_t *part, size_t max)
{
    size_t  i;

    for (i = 0; i < rest->len && i <= max && rest->data[i] != '/'; i++) {
        if (rest->data[i] <= 0x20 || rest->data[i] >= 0x7f) {
            return 0;
        }
    }

    if (i == 0 || i > max || i == rest->len) {
        return 0;
    }

    part->data = rest->data;
    part->len = i;

    rest->data += i + 1;
    rest->len -= i + 1;

    return 1;
}


static ngx_uint_t
ngx_eb_sigv4_takes(ngx_str_t *param, const char *name, size_t len,
    ngx_str_t *value)
{
    if (param->len < len || ngx_memcmp(param->data, name, len) != 0) {
        return 0;
    }

    value->data = param->data + len;
    value->len = param->len - len;

    return 1;
}


static ngx_uint_t
ngx_eb_sigv4_hex(ngx_str_t *text, u_char *bytes)
{
    size_t     i;
    ngx_int_t  n;

    if (text->len != NGX_EB_SIGV4_HEX) {
        return 0;
    }

    for (i = 0; i < NGX_EB_SIGV4_SHA; i++) {
        n = ngx_hextoi(text->data + i * 2, 2);

        if (n == NGX_ERROR) {
            return 0;
        }

        bytes[i] = (u_char) n;
    }

    return 1;
}


ngx_uint_t
ngx_eb_sigv4_signed(ngx_str_t *names, ngx_str_t *name)
{
    u_char  *p, *start, *last;

    last = names->data + names->len;

    for (p = names->data; p < last; p++) {

        start = p;

        while (p < last && *p != ';') {
            p++;
        }

        if ((size_t) (p - start) == name->len
            && ngx_memcmp(start, name->data, name->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_eb_sigv4_string(ngx_pool_t *pool, ngx_str_t *stamp, ngx_str_t *scope,
    ngx_str_t *canonical, ngx_str_t *out)
{
    u_char  *p;

    out->len = sizeof(NGX_EB_SIGV4_SCHEME) + stamp->len + 1 + scope->len + 1
               + NGX_EB_SIGV4_HEX;

    out->data = ngx_pnalloc(pool, out->len);
    if (out->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(out->data, NGX_EB_SIGV4_SCHEME "\n%V\n%V\n", stamp, scope);

    return ngx_eb_sigv4_sha(canonical, p);
}


ngx_int_t
ngx_eb_sigv4_key(ngx_str_t *secret, ngx_str_t *date, ngx_str_t *region,
    ngx_str_t *service, u_char key[NGX_EB_SIGV4_SHA])
{
    u_char     buf[4 + 256], *p, *start;
    size_t     len;
    ngx_int_t  rc;

    len = sizeof("AWS4") - 1 + secret->len;

    /* those of AWS have 40 characters */

    start = (len > sizeof(buf)) ? OPENSSL_malloc(len) : buf;

    if (start == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(start, "AWS4", sizeof("AWS4") - 1);
    ngx_memcpy(p, secret->data, secret->len);

    rc = NGX_OK;

    if (ngx_eb_sigv4_hmac(start, len, date->data, date->len, key) != NGX_OK
        || ngx_eb_sigv4_hmac(key, NGX_EB_SIGV4_SHA, region->data, region->len,
                             key)
           != NGX_OK
        || ngx_eb_sigv4_hmac(key, NGX_EB_SIGV4_SHA, service->data,
                             service->len, key)
           != NGX_OK
        || ngx_eb_sigv4_hmac(key, NGX_EB_SIGV4_SHA,
                             (u_char *) NGX_EB_SIGV4_END,
                             sizeof(NGX_EB_SIGV4_END) - 1, key)
           != NGX_OK)
    {
        rc = NGX_ERROR;
    }

    OPENSSL_cleanse(start, len);

    if (start != buf) {
        OPENSSL_free(start);
    }

    return rc;
}


static ngx_int_t
ngx_eb_sigv4_mac(ngx_str_t *secret, ngx_str_t *date, ngx_str_t *region,
    ngx_str_t *service, ngx_str_t *string, u_char mac[NGX_EB_SIGV4_SHA])
{
    u_char     key[NGX_EB_SIGV4_SHA];
    ngx_int_t  rc;

    rc = ngx_eb_sigv4_key(secret, date, region, service, key);

    if (rc == NGX_OK) {
        rc = ngx_eb_sigv4_hmac(key, NGX_EB_SIGV4_SHA, string->data,
                               string->len, mac);
    }

    OPENSSL_cleanse(key, sizeof(key));

    return rc;
}


/* mac may be the key */

static ngx_int_t
ngx_eb_sigv4_hmac(u_char *key, size_t len, u_char *data, size_t size,
    u_char mac[NGX_EB_SIGV4_SHA])
{
    u_char        out[EVP_MAX_MD_SIZE];
    unsigned int  n;

    if (HMAC(EVP_sha256(), key, (int) len, data, size, out, &n) == NULL
        || n != NGX_EB_SIGV4_SHA)
    {
        return NGX_ERROR;
    }

    ngx_memcpy(mac, out, NGX_EB_SIGV4_SHA);
    OPENSSL_cleanse(out, sizeof(out));

    return NGX_OK;
}


ngx_int_t
ngx_eb_sigv4_time(ngx_str_t *stamp, time_t *sec)
{
    u_char     text[sizeof("YYYY-MM-DDTHH:MM:SSZ")], *p, *s;
    int64_t    msec;

    if (stamp->len != NGX_EB_SIGV4_STAMP
        || stamp->data[8] != 'T'
        || stamp->data[15] != 'Z')
    {
        return NGX_ERROR;
    }

    /* the basic format of ISO 8601, made the extended one */

    s = stamp->data;

    p = ngx_cpymem(text, s, 4);
    *p++ = '-';
    p = ngx_cpymem(p, s + 4, 2);
    *p++ = '-';
    p = ngx_cpymem(p, s + 6, 5);
    *p++ = ':';
    p = ngx_cpymem(p, s + 11, 2);
    *p++ = ':';
    p = ngx_cpymem(p, s + 13, 3);

    msec = ngx_eb_time_parse(text, p - text);

    if (msec == NGX_EB_TIME_UNKNOWN) {
        return NGX_ERROR;
    }

    *sec = (time_t) (msec / 1000);

    return NGX_OK;
}


void
ngx_eb_sigv4_stamp(time_t sec, u_char stamp[NGX_EB_SIGV4_STAMP])
{
    struct tm  tm;

    ngx_memzero(&tm, sizeof(struct tm));

    (void) gmtime_r(&sec, &tm);

    (void) ngx_sprintf(stamp, "%04d%02d%02dT%02d%02d%02dZ",
                       (tm.tm_year + 1900) % 10000, tm.tm_mon + 1, tm.tm_mday,
                       tm.tm_hour, tm.tm_min, tm.tm_sec);
}


static ngx_int_t
ngx_eb_sigv4_add(ngx_array_t *headers, const char *name, ngx_str_t *value)
{
    ngx_keyval_t  *h;

    h = ngx_array_push(headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value = *value;

    return NGX_OK;
}
