
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * gzip bodies: whole, damaged, and bombs.
 */

/* sources: src/wire/ngx_eb_gunzip.c */
/* libs: -lz */


#include <ngx_config.h>
#include <ngx_core.h>
#include <zlib.h>
#include "shim.h"
#include "ngx_eb_gunzip.h"


#define MB  (1024 * 1024)


static size_t deflated(u_char *dst, size_t size, const void *data, size_t len,
    int bits, ngx_uint_t named);
static ngx_int_t gunzip(const u_char *data, size_t len, size_t max);
static ngx_uint_t gives(size_t plain, size_t len, size_t max);
static void noise(size_t len);
static void sizes(void);
static void caps(void);
static void bombs(void);
static void formats(void);
static void damaged(void);
static void memory(void);


static ngx_pool_t  *pool;
static ngx_str_t    out;
static const char  *error;
static u_char       text[8 * MB], packed[9 * MB];


/* bits: 31 is gzip, 15 zlib, -15 neither */

static size_t
deflated(u_char *dst, size_t size, const void *data, size_t len, int bits,
    ngx_uint_t named)
{
    z_stream   z;
    gz_header  head;

    ngx_memzero(&z, sizeof(z_stream));

    if (deflateInit2(&z, 6, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        abort();
    }

    if (named) {
        ngx_memzero(&head, sizeof(gz_header));
        head.name = (Bytef *) "events.json";
        head.comment = (Bytef *) "comment";
        head.extra = (Bytef *) "extra";
        head.extra_len = 5;
        head.hcrc = 1;
        (void) deflateSetHeader(&z, &head);
    }

    z.next_in = (Bytef *) data;
    z.avail_in = (uInt) len;
    z.next_out = dst;
    z.avail_out = (uInt) size;

    if (deflate(&z, Z_FINISH) != Z_STREAM_END) {
        abort();
    }

    (void) deflateEnd(&z);

    return size - z.avail_out;
}


static ngx_int_t
gunzip(const u_char *data, size_t len, size_t max)
{
    ngx_int_t   rc;
    ngx_str_t   in;
    ngx_uint_t  blocks;

    in.len = len;
    in.data = malloc(len ? len : 1);

    if (in.data == NULL) {
        abort();
    }

    ngx_memcpy(in.data, data, len);

    blocks = shim_blocks;
    rc = ngx_eb_gunzip(pool, &in, max, &out, &error);

    free(in.data);

    if (shim_blocks - blocks != (ngx_uint_t) (out.data != NULL)) {
        diag("%d blocks left", (int) (shim_blocks - blocks));
        return NGX_ABORT;
    }

    if ((rc == NGX_DECLINED) != (error != NULL)
        || (rc != NGX_OK && (out.data != NULL || out.len != 0)))
    {
        return NGX_ABORT;
    }

    return rc;
}


/* the first plain bytes of text, of which len packed ones came */

static ngx_uint_t
gives(size_t plain, size_t len, size_t max)
{
    ngx_uint_t  good;

    good = (gunzip(packed, len, max) == NGX_OK && out.len == plain
            && (plain == 0 || memcmp(out.data, text, plain) == 0));

    if (out.data) {
        ngx_pfree(pool, out.data);
    }

    return good;
}


static void
noise(size_t len)
{
    size_t    i;
    uint32_t  x;

    for (i = 0, x = 1; i < len; i++) {
        x = x * 1664525 + 1013904223;
        text[i] = "0123456789abcdef"[x >> 28];
    }
}


static void
sizes(void)
{
    size_t      i, n, len;

    static const size_t  lens[] = {
        0, 1, 2, 100, 32767, 32768, 65535, 65536, 65537, 100000, 131071,
        131072, 131073, MB - 1, MB, MB + 1, 5000000, 8 * MB
    };

    noise(sizeof(text));

    for (i = 0; i < sizeof(lens) / sizeof(size_t); i++) {
        n = lens[i];
        len = deflated(packed, sizeof(packed), text, n, 31, 0);

        ok(gives(n, len, 16 * MB), "%d bytes of %d", (int) n, (int) len);
        ok(gives(n, len, n), "%d bytes and no more", (int) n);

        if (n) {
            ok(gunzip(packed, len, n - 1) == NGX_BUSY,
               "%d bytes are one too many", (int) n);
        }
    }
}


static void
caps(void)
{
    size_t      max, len;
    ngx_uint_t  good;

    len = deflated(packed, sizeof(packed), text, 300, 31, 0);

    for (max = 0, good = 1; max < 300; max++) {
        good &= (gunzip(packed, len, max) == NGX_BUSY);
    }

    ok(good, "300 bytes, less than that allowed");

    for ( /* void */ ; max < 600; max++) {
        good &= gives(300, len, max);
    }

    ok(good, "300 bytes or more allowed");

    len = deflated(packed, sizeof(packed), "", 0, 31, 0);
    ok(gives(0, len, 0), "nothing, and nothing allowed");
}


static void
bombs(void)
{
    size_t  n, len;

    memset(text, ' ', sizeof(text));

    /* zlib gets to 1:1000 */

    len = deflated(packed, sizeof(packed), text, 65536, 31, 0);
    ok(len * NGX_EB_GUNZIP_RATIO < 65536, "a ratio of %d",
       (int) (65536 / len));
    ok(gives(65536, len, 16 * MB), "a small bomb is none");

    len = deflated(packed, sizeof(packed), text, 65537, 31, 0);
    ok(gunzip(packed, len, 16 * MB) == NGX_BUSY, "one byte more is one");

    len = deflated(packed, sizeof(packed), text, 8 * MB, 31, 0);
    ok(gunzip(packed, len, (size_t) -1) == NGX_BUSY, "and so are 8 MB");

    /* noise, and spaces after it: just within the ratio, and just over */

    noise(4000);

    for (n = 65536; /* void */ ; n += 64) {
        len = deflated(packed, sizeof(packed), text, n, 31, 0);

        if (n > len * NGX_EB_GUNZIP_RATIO) {
            break;
        }
    }

    ok(gunzip(packed, len, 16 * MB) == NGX_BUSY, "%d of %d bytes are too many",
       (int) n, (int) len);

    n -= 64;
    len = deflated(packed, sizeof(packed), text, n, 31, 0);
    ok(n > 65536 && gives(n, len, 16 * MB), "%d of %d bytes are not",
       (int) n, (int) len);
}


static void
formats(void)
{
    size_t  len;

    noise(10000);

    len = deflated(packed, sizeof(packed), text, 10000, 31, 1);
    ok(gives(10000, len, MB), "a header with a name, a comment and more");

    len = deflated(packed, sizeof(packed), text, 10000, 15, 0);
    ok(gunzip(packed, len, MB) == NGX_DECLINED
       && strcmp(error, "the data is not gzip") == 0, "zlib is not gzip");

    len = deflated(packed, sizeof(packed), text, 10000, -15, 0);
    ok(gunzip(packed, len, MB) == NGX_DECLINED, "deflate is not gzip");

    ok(gunzip((const u_char *) "{\"id\":\"a\"}", 10, MB) == NGX_DECLINED
       && strcmp(error, "the data is not gzip") == 0, "JSON is not gzip");

    ok(gunzip((const u_char *) "", 0, MB) == NGX_DECLINED
       && strcmp(error, "the gzip data is truncated") == 0,
       "nothing is not gzip");

    len = deflated(packed, sizeof(packed), text, 100, 31, 0);
    packed[len] = '\0';
    ok(gunzip(packed, len + 1, MB) == NGX_DECLINED
       && strcmp(error, "something follows the gzip data") == 0,
       "a byte after it");

    (void) memcpy(packed + len, packed, len);
    ok(gunzip(packed, 2 * len, MB) == NGX_DECLINED
       && strcmp(error, "something follows the gzip data") == 0,
       "two members");

    packed[2] = 7;
    ok(gunzip(packed, len, MB) == NGX_DECLINED
       && strcmp(error, "the data is not gzip") == 0, "another method");
}


static void
damaged(void)
{
    u_char      was;
    size_t      i, len;
    ngx_int_t   rc;
    ngx_uint_t  good, bit, same;

    noise(3000);

    len = deflated(packed, sizeof(packed), text, 3000, 31, 0);

    for (i = 0, good = 1; i < len; i++) {
        good &= (gunzip(packed, i, MB) == NGX_DECLINED
                 && strcmp(error, "the gzip data is truncated") == 0);
    }

    ok(good, "truncated anywhere");

    good = 1;
    same = 0;

    for (i = 0; i < len; i++) {

        for (bit = 0; bit < 8; bit++) {
            was = packed[i];
            packed[i] ^= (u_char) (1 << bit);

            rc = gunzip(packed, len, MB);

            if (rc == NGX_OK) {

                /*
                 * In the header, the padding, or a distance from which the
                 * very same bytes come.
                 */

                good &= (out.len == 3000
                         && memcmp(out.data, text, 3000) == 0);
                same++;
                ngx_pfree(pool, out.data);

            } else {
                good &= (rc == NGX_DECLINED || rc == NGX_BUSY);
            }

            packed[i] = was;
        }
    }

    ok(good, "any bit of it turned");
    ok(same >= 40 && same <= 64, "%d of them mean nothing", (int) same);

    packed[len - 1] ^= 1;
    ok(gunzip(packed, len, MB) == NGX_DECLINED
       && strcmp(error, "the gzip data is damaged") == 0, "wrong length");
    packed[len - 1] ^= 1;

    packed[len - 5] ^= 1;
    ok(gunzip(packed, len, MB) == NGX_DECLINED
       && strcmp(error, "the gzip data is damaged") == 0, "wrong checksum");
}


static void
memory(void)
{
    size_t      len;
    ngx_int_t   n;
    ngx_uint_t  good;

    noise(MB);

    len = deflated(packed, sizeof(packed), text, MB, 31, 0);

    /* 64 KB, and doubled four times */

    for (n = 0, good = 1; n < 5; n++) {
        shim_allocs = n;
        good &= (gunzip(packed, len, 16 * MB) == NGX_ERROR);
    }

    ok(good, "no memory");

    shim_allocs = 5;
    ok(gives(MB, len, 16 * MB), "just enough allocations");
    shim_allocs = -1;
}


int
main(void)
{
    pool = ngx_create_pool(4096, NULL);
    if (pool == NULL) {
        return 1;
    }

    sizes();
    caps();
    bombs();
    formats();
    damaged();
    memory();

    ngx_destroy_pool(pool);

    ok(shim_blocks == 0, "nothing is left");

    return done_testing();
}
