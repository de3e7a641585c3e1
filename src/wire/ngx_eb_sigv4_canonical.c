
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The canonical form of a request: what is signed of it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <openssl/evp.h>
#include "ngx_eb_sigv4.h"


static u_char *ngx_eb_sigv4_path(u_char *p, ngx_str_t *path);
static u_char *ngx_eb_sigv4_query(u_char *p, ngx_str_t *query,
    u_char *scratch);
static u_char *ngx_eb_sigv4_escape(u_char *p, u_char *s, u_char *last);
static u_char *ngx_eb_sigv4_unescape(u_char *p, u_char *s, u_char *last);
static u_char *ngx_eb_sigv4_headers(u_char *p,
    ngx_eb_sigv4_request_t *request, ngx_str_t *names);
static u_char *ngx_eb_sigv4_header(u_char *p, ngx_eb_sigv4_request_t *request,
    ngx_str_t *name);
static u_char *ngx_eb_sigv4_value(u_char *p, ngx_str_t *value);
static int ngx_libc_cdecl ngx_eb_sigv4_compare(const void *one,
    const void *two);
static int ngx_libc_cdecl ngx_eb_sigv4_compare_args(const void *one,
    const void *two);
static int ngx_eb_sigv4_order(ngx_str_t *a, ngx_str_t *b);


ngx_int_t
ngx_eb_sigv4_canonical(ngx_pool_t *pool, ngx_eb_sigv4_request_t *request,
    ngx_str_t *names, u_char hash[NGX_EB_SIGV4_HEX], ngx_str_t *out)
{
    u_char      *p, *scratch;
    size_t       size;
    ngx_uint_t   i;

    /* of the query, unescaped; it comes out escaped, and with a "=" each */

    scratch = ngx_pnalloc(pool, request->query.len + 1);
    if (scratch == NULL) {
        return NGX_ERROR;
    }

    size = request->method.len + request->path.len * 3 + 2
           + request->query.len * 3 + NGX_EB_SIGV4_ARGS * 2
           + names->len * 2 + NGX_EB_SIGV4_HEX + 8;

    for (i = 0; i < request->nheaders; i++) {
        size += request->headers[i].value.len + 2;
    }

    p = ngx_pnalloc(pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    out->data = p;

    p = ngx_cpymem(p, request->method.data, request->method.len);
    *p++ = LF;
    p = ngx_eb_sigv4_path(p, &request->path);
    *p++ = LF;
    p = ngx_eb_sigv4_query(p, &request->query, scratch);

    if (p == NULL) {
        return NGX_DECLINED;
    }

    *p++ = LF;
    p = ngx_eb_sigv4_headers(p, request, names);

    if (p == NULL) {
        return NGX_DECLINED;
    }

    *p++ = LF;
    p = ngx_cpymem(p, names->data, names->len);
    *p++ = LF;
    p = ngx_cpymem(p, hash, NGX_EB_SIGV4_HEX);

    out->len = p - out->data;

    return NGX_OK;
}


/* without "//", "/./" and "/../", and encoded, once more than it is */

static u_char *
ngx_eb_sigv4_path(u_char *p, ngx_str_t *path)
{
    u_char  *s, *last, *start, *segment;
    size_t   len;

    start = p;
    s = path->data;
    last = s + path->len;

    while (s < last) {

        if (*s == '/') {
            s++;
            continue;
        }

        segment = s;

        while (s < last && *s != '/') {
            s++;
        }

        len = s - segment;

        if (len == 1 && segment[0] == '.') {
            continue;
        }

        if (len == 2 && segment[0] == '.' && segment[1] == '.') {

            while (p > start && *--p != '/') { /* void */ }

            continue;
        }

        *p++ = '/';
        p = ngx_eb_sigv4_escape(p, segment, s);
    }

    if (p == start || last[-1] == '/') {
        *p++ = '/';
    }

    return p;
}


/* sorted by name and value as they are encoded; NULL: there are too many */

static u_char *
ngx_eb_sigv4_query(u_char *p, ngx_str_t *query, u_char *scratch)
{
    u_char        *s, *last, *start, *equal, *t;
    ngx_uint_t     i, n;
    ngx_keyval_t   args[NGX_EB_SIGV4_ARGS];

    s = query->data;
    last = s + query->len;
    n = 0;

    /* in the scratch they are bytes: a byte has many encodings */

    for (t = scratch; s < last; s++) {

        start = s;
        equal = NULL;

        while (s < last && *s != '&') {
            if (*s == '=' && equal == NULL) {
                equal = s;
            }

            s++;
        }

        if (s == start) {
            continue;
        }

        if (n == NGX_EB_SIGV4_ARGS) {
            return NULL;
        }

        args[n].key.data = t;
        t = ngx_eb_sigv4_unescape(t, start, equal ? equal : s);
        args[n].key.len = t - args[n].key.data;

        args[n].value.data = t;
        t = equal ? ngx_eb_sigv4_unescape(t, equal + 1, s) : t;
        args[n].value.len = t - args[n].value.data;

        n++;
    }

    if (n > 1) {
        qsort(args, n, sizeof(ngx_keyval_t), ngx_eb_sigv4_compare_args);
    }

    for (i = 0; i < n; i++) {

        if (i) {
            *p++ = '&';
        }

        p = ngx_eb_sigv4_escape(p, args[i].key.data,
                                args[i].key.data + args[i].key.len);
        *p++ = '=';
        p = ngx_eb_sigv4_escape(p, args[i].value.data,
                                args[i].value.data + args[i].value.len);
    }

    return p;
}


/* all but the unreserved characters of RFC 3986 */

static u_char *
ngx_eb_sigv4_escape(u_char *p, u_char *s, u_char *last)
{
    static const u_char  hex[] = "0123456789ABCDEF";

    for ( /* void */ ; s < last; s++) {

        if ((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z')
            || (*s >= '0' && *s <= '9') || *s == '-' || *s == '.'
            || *s == '_' || *s == '~')
        {
            *p++ = *s;
            continue;
        }

        *p++ = '%';
        *p++ = hex[*s >> 4];
        *p++ = hex[*s & 0xf];
    }

    return p;
}


/* what is no escape stands for itself */

static u_char *
ngx_eb_sigv4_unescape(u_char *p, u_char *s, u_char *last)
{
    ngx_int_t  n;

    while (s < last) {

        if (*s == '%' && last - s > 2) {
            n = ngx_hextoi(s + 1, 2);

            if (n != NGX_ERROR) {
                *p++ = (u_char) n;
                s += 3;
                continue;
            }
        }

        *p++ = *s++;
    }

    return p;
}


/* NULL: the list is not what it should be, or names what is not there */

static u_char *
ngx_eb_sigv4_headers(u_char *p, ngx_eb_sigv4_request_t *request,
    ngx_str_t *names)
{
    u_char      *s, *last;
    ngx_str_t    name, before;
    ngx_uint_t   n;

    s = names->data;
    last = s + names->len;

    ngx_str_null(&before);
    n = 0;

    for ( ;; ) {

        name.data = s;

        while (s < last && *s != ';') {
            if (*s <= 0x20 || *s >= 0x7f || (*s >= 'A' && *s <= 'Z')
                || *s == ':')
            {
                return NULL;
            }

            s++;
        }

        name.len = s - name.data;

        if (name.len == 0
            || ++n > NGX_EB_SIGV4_HEADERS
            || ngx_eb_sigv4_order(&before, &name) >= 0)
        {
            return NULL;
        }

        p = ngx_cpymem(p, name.data, name.len);
        *p++ = ':';
        p = ngx_eb_sigv4_header(p, request, &name);

        if (p == NULL) {
            return NULL;
        }

        *p++ = LF;

        if (s == last) {
            return p;
        }

        before = name;
        s++;
    }
}


static u_char *
ngx_eb_sigv4_header(u_char *p, ngx_eb_sigv4_request_t *request,
    ngx_str_t *name)
{
    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < request->nheaders; i++) {

        if (!ngx_eb_sigv4_is(&request->headers[i].key, name)) {
            continue;
        }

        if (n++) {
            *p++ = ',';
        }

        p = ngx_eb_sigv4_value(p, &request->headers[i].value);
    }

    return n ? p : NULL;
}


/* trimmed, and white space inside is one space */

static u_char *
ngx_eb_sigv4_value(u_char *p, ngx_str_t *value)
{
    u_char      *s, *last;
    ngx_uint_t   space, some;

    s = value->data;
    last = s + value->len;
    space = 0;
    some = 0;

    for ( /* void */ ; s < last; s++) {

        if (*s == ' ' || (*s >= '\t' && *s <= '\r')) {
            space = some;
            continue;
        }

        if (space) {
            *p++ = ' ';
        }

        *p++ = *s;
        space = 0;
        some = 1;
    }

    return p;
}


ngx_uint_t
ngx_eb_sigv4_is(ngx_str_t *key, ngx_str_t *name)
{
    return key->len == name->len
           && ngx_strncasecmp(key->data, name->data, name->len) == 0;
}


/* of all headers: in lower case, sorted, each once */

ngx_int_t
ngx_eb_sigv4_names(ngx_pool_t *pool, ngx_eb_sigv4_request_t *request,
    ngx_str_t *names)
{
    u_char      *p;
    size_t       size;
    ngx_str_t    list[NGX_EB_SIGV4_HEADERS];
    ngx_uint_t   i;

    if (request->nheaders > NGX_EB_SIGV4_HEADERS) {
        return NGX_DECLINED;
    }

    size = 0;

    for (i = 0; i < request->nheaders; i++) {
        size += request->headers[i].key.len;
    }

    /* the names, and the list that they become */

    p = ngx_pnalloc(pool, size * 2 + request->nheaders);
    if (p == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < request->nheaders; i++) {
        list[i].data = p;
        list[i].len = request->headers[i].key.len;

        ngx_strlow(p, request->headers[i].key.data, list[i].len);
        p += list[i].len;
    }

    qsort(list, request->nheaders, sizeof(ngx_str_t), ngx_eb_sigv4_compare);

    names->data = p;

    for (i = 0; i < request->nheaders; i++) {

        if (i && ngx_eb_sigv4_order(&list[i - 1], &list[i]) == 0) {
            continue;
        }

        if (i) {
            *p++ = ';';
        }

        p = ngx_cpymem(p, list[i].data, list[i].len);
    }

    names->len = p - names->data;

    return NGX_OK;
}


static int ngx_libc_cdecl
ngx_eb_sigv4_compare(const void *one, const void *two)
{
    return ngx_eb_sigv4_order((ngx_str_t *) one, (ngx_str_t *) two);
}


static int ngx_libc_cdecl
ngx_eb_sigv4_compare_args(const void *one, const void *two)
{
    int            order;
    ngx_keyval_t  *a, *b;

    a = (ngx_keyval_t *) one;
    b = (ngx_keyval_t *) two;

    order = ngx_eb_sigv4_order(&a->key, &b->key);

    return order ? order : ngx_eb_sigv4_order(&a->value, &b->value);
}


static int
ngx_eb_sigv4_order(ngx_str_t *a, ngx_str_t *b)
{
    int     order;
    size_t  len;

    len = ngx_min(a->len, b->len);
    order = len ? ngx_memcmp(a->data, b->data, len) : 0;

    return order ? order : (a->len > b->len) - (a->len < b->len);
}


ngx_int_t
ngx_eb_sigv4_sha(ngx_str_t *data, u_char hex[NGX_EB_SIGV4_HEX])
{
    u_char        digest[EVP_MAX_MD_SIZE];
    unsigned int  n;

    if (EVP_Digest(data->len ? (char *) data->data : "", data->len, digest,
                   &n, EVP_sha256(), NULL)
        != 1
        || n != NGX_EB_SIGV4_SHA)
    {
        return NGX_ERROR;
    }

    ngx_hex_dump(hex, digest, n);

    return NGX_OK;
}
