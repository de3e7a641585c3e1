
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Any bytes as the parts of a request: what is signed is found right, its
 * canonical form is a fixed point of it, and no header that somebody else
 * writes is read beyond its end.
 */

/* sources: src/wire/ngx_eb_sigv4.c src/wire/ngx_eb_sigv4_canonical.c */
/* sources: src/wire/ngx_eb_time.c */
/* libs: -lcrypto */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_sigv4.h"


#define PARTS  12

#define check(cond)                                                          \
    if (!(cond)) {                                                           \
        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);           \
        abort();                                                             \
    }


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ngx_uint_t split(const uint8_t *data, size_t size, ngx_str_t *parts);
static void verify(ngx_pool_t *pool, ngx_str_t *parts, ngx_uint_t n);
static void sign(ngx_pool_t *pool, ngx_str_t *parts, ngx_uint_t n);


static ngx_str_t  service = ngx_string("events");


/* parts between newlines, each in a block of its own */

static ngx_uint_t
split(const uint8_t *data, size_t size, ngx_str_t *parts)
{
    size_t      i, start;
    ngx_uint_t  n;

    n = 0;
    start = 0;

    for (i = 0; i <= size && n < PARTS; i++) {

        if (i < size && data[i] != '\n') {
            continue;
        }

        parts[n].len = i - start;
        parts[n].data = malloc(i - start + (i == start));
        check(parts[n].data);

        if (i > start) {
            ngx_memcpy(parts[n].data, data + start, i - start);
        }

        start = i + 1;
        n++;
    }

    return n;
}


/* path, query, body, Authorization, date; other headers */

static void
verify(ngx_pool_t *pool, ngx_str_t *parts, ngx_uint_t n)
{
    ngx_uint_t               i;
    ngx_keyval_t             headers[PARTS];
    ngx_eb_sigv4_t           v;
    ngx_eb_sigv4_request_t   request;

    static ngx_str_t  names[] = {
        ngx_string("Authorization"), ngx_string("X-Amz-Date"),
        ngx_string("Host"), ngx_string("X-Amz-Target"),
        ngx_string("X-Amz-Content-Sha256"), ngx_string("X-Amz-Security-Token"),
        ngx_string("a"), ngx_string("A"), ngx_string("b")
    };

    ngx_memzero(&request, sizeof(request));

    ngx_str_set(&request.method, "POST");
    request.path = parts[0];
    request.query = parts[1];
    request.body = parts[2];
    request.headers = headers;

    for (i = 3; i < n; i++) {
        headers[i - 3].key = names[i - 3];
        headers[i - 3].value = parts[i];
    }

    request.nheaders = n - 3;

    if (ngx_eb_sigv4_prepare(pool, &request, &service, 1440938160, &v)
        == NGX_EB_SIGV4_OK)
    {
        check(v.auth.key_id.len && v.auth.date.len == 8);
        (void) ngx_eb_sigv4_check(&v, &service);
    }
}


static void
sign(ngx_pool_t *pool, ngx_str_t *parts, ngx_uint_t n)
{
    size_t                   i;
    ngx_str_t                host, path;
    ngx_int_t                rc;
    ngx_array_t              added;
    ngx_keyval_t            *h, headers[PARTS];
    ngx_eb_sigv4_t           v;
    ngx_eb_sigv4_keys_t      keys;
    ngx_eb_sigv4_request_t   request;

    ngx_memzero(&request, sizeof(request));
    ngx_memzero(&keys, sizeof(keys));

    ngx_str_set(&request.method, "POST");
    request.path = parts[0];
    request.query = parts[1];
    request.body = parts[2];

    ngx_str_set(&host, "a");
    ngx_str_set(&keys.key_id, "ID");
    ngx_str_set(&keys.region, "r");
    keys.service = service;
    keys.secret = parts[3];
    keys.token = parts[4];

    check(ngx_array_init(&added, pool, 8, sizeof(ngx_keyval_t)) == NGX_OK);

    rc = ngx_eb_sigv4_sign(pool, &request, &host, &keys, 1440938160, &added);

    if (rc != NGX_OK) {
        check(rc == NGX_DECLINED);
        return;
    }

    h = added.elts;

    for (i = 0; i < added.nelts; i++) {
        headers[i] = h[i];
    }

    request.headers = headers;
    request.nheaders = added.nelts;

    check(ngx_eb_sigv4_prepare(pool, &request, &service, 1440938160, &v)
          == NGX_EB_SIGV4_OK);
    check(ngx_eb_sigv4_check(&v, &keys.secret));

    /* more "/" and "." are the same path */

    path.len = parts[0].len + 5;
    path.data = ngx_pnalloc(pool, path.len);
    check(path.data);

    ngx_memcpy(path.data, "/.//.", 5);
    ngx_memcpy(path.data + 5, parts[0].data, parts[0].len);

    request.path = path;

    check(ngx_eb_sigv4_prepare(pool, &request, &service, 1440938160, &v)
          == NGX_EB_SIGV4_OK);

    /* unless that begins with a part of a name */

    if (parts[0].len && parts[0].data[0] == '/') {
        check(ngx_eb_sigv4_check(&v, &keys.secret));
    }

    /* another body never is */

    request.body = parts[0].len ? parts[0] : host;

    if (request.body.len != parts[2].len
        || ngx_memcmp(request.body.data, parts[2].data, parts[2].len) != 0)
    {
        check(ngx_eb_sigv4_prepare(pool, &request, &service, 1440938160, &v)
              == NGX_EB_SIGV4_OK);
        check(!ngx_eb_sigv4_check(&v, &keys.secret));
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_str_t    parts[PARTS];
    ngx_uint_t   i, n;
    ngx_pool_t  *pool;

    n = split(data, size, parts);

    pool = ngx_create_pool(4096, &shim_log);
    check(pool);

    if (n >= 4) {
        verify(pool, parts, n);
    }

    if (n >= 5) {
        sign(pool, parts, n);
    }

    ngx_destroy_pool(pool);

    for (i = 0; i < n; i++) {
        free(parts[i].data);
    }

    return 0;
}
