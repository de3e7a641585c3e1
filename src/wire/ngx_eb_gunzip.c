
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <zlib.h>
#include "ngx_eb_gunzip.h"


/* the least block, and what any input may expand to */
#define NGX_EB_GUNZIP_MIN   65536

/* a window of 32 KB, the gzip format and no other */
#define NGX_EB_GUNZIP_BITS  (15 + 16)


static ngx_int_t ngx_eb_gunzip_run(z_stream *z, ngx_pool_t *pool,
    ngx_str_t *in, size_t max, ngx_str_t *out, const char **error);
static ngx_int_t ngx_eb_gunzip_grow(ngx_pool_t *pool, ngx_str_t *out,
    size_t *size, size_t max);
static size_t ngx_eb_gunzip_max(size_t len, size_t max_size);


ngx_int_t
ngx_eb_gunzip(ngx_pool_t *pool, ngx_str_t *in, size_t max_size,
    ngx_str_t *out, const char **error)
{
    z_stream   z;
    ngx_int_t  rc;

    ngx_str_null(out);
    *error = NULL;

    ngx_memzero(&z, sizeof(z_stream));

    if (inflateInit2(&z, NGX_EB_GUNZIP_BITS) != Z_OK) {
        return NGX_ERROR;
    }

    rc = ngx_eb_gunzip_run(&z, pool, in,
                           ngx_eb_gunzip_max(in->len, max_size), out, error);

    (void) inflateEnd(&z);

    if (rc != NGX_OK) {

        if (out->data) {
            (void) ngx_pfree(pool, out->data);
        }

        ngx_str_null(out);
    }

    return rc;
}


static ngx_int_t
ngx_eb_gunzip_run(z_stream *z, ngx_pool_t *pool, ngx_str_t *in, size_t max,
    ngx_str_t *out, const char **error)
{
    int      rc;
    uInt     given, room;
    size_t   size, left;

    size = 0;
    left = in->len;

    z->next_in = in->data;

    for ( ;; ) {

        if (out->len == size && (size < max || out->data == NULL)
            && ngx_eb_gunzip_grow(pool, out, &size, max) != NGX_OK)
        {
            return NGX_ERROR;
        }

        /* zlib counts in 32 bits, and takes what fits at a time */

        given = (uInt) ngx_min(left, NGX_MAX_INT32_VALUE);
        z->avail_in = given;

        /* when full: a trailer may still come, one more byte may not */

        room = (uInt) ngx_min(size - out->len, NGX_MAX_INT32_VALUE);

        z->next_out = out->data + out->len;
        z->avail_out = room ? room : 1;

        rc = inflate(z, Z_NO_FLUSH);

        if (room) {
            out->len += room - z->avail_out;

        } else if (z->avail_out == 0) {
            return NGX_BUSY;
        }

        left -= given - z->avail_in;

        switch (rc) {

        case Z_OK:
            break;

        case Z_STREAM_END:

            if (left) {
                *error = "something follows the gzip data";
                return NGX_DECLINED;
            }

            return NGX_OK;

        case Z_BUF_ERROR:

            /* there was room, hence no progress for want of input */

            *error = "the gzip data is truncated";
            return NGX_DECLINED;

        case Z_MEM_ERROR:
            return NGX_ERROR;

        default:
            *error = z->total_in < 10 ? "the data is not gzip"
                                      : "the gzip data is damaged";
            return NGX_DECLINED;
        }
    }
}


/* a block has a byte more than size, for what is one too many */

static ngx_int_t
ngx_eb_gunzip_grow(ngx_pool_t *pool, ngx_str_t *out, size_t *size, size_t max)
{
    u_char  *p;
    size_t   n;

    n = *size ? *size : NGX_EB_GUNZIP_MIN / 2;
    n = (n > max / 2) ? max : n * 2;

    p = ngx_palloc(pool, n + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (out->data) {
        ngx_memcpy(p, out->data, out->len);
        (void) ngx_pfree(pool, out->data);
    }

    out->data = p;
    *size = n;

    return NGX_OK;
}


static size_t
ngx_eb_gunzip_max(size_t len, size_t max_size)
{
    size_t  max;

    max = (len > NGX_MAX_SIZE_T_VALUE / NGX_EB_GUNZIP_RATIO)
          ? NGX_MAX_SIZE_T_VALUE : len * NGX_EB_GUNZIP_RATIO;

    max = ngx_max(max, NGX_EB_GUNZIP_MIN);

    return ngx_min(max, max_size);
}
