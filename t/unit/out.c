
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * JSON and Prometheus text, written; what is written must be JSON again.
 */

/* sources: src/wire/ngx_eb_out.c src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c src/wire/ngx_eb_time.c */
/* libs: -lsimdjson */


#include <ngx_config.h>
#include <ngx_core.h>
#include <time.h>
#include "shim.h"
#include "ngx_eb_json.h"
#include "ngx_eb_out.h"
#include "ngx_eb_time.h"


#define ALL       ((size_t) -1)
#define REPLACED  "\357\277\275"
#define CUT       "\342\200\246"

#define string_is(text, max, expected)                                       \
    quoted_is(ngx_eb_out_string, text, sizeof(text) - 1, max, expected)
#define label_is(text, max, expected)                                        \
    quoted_is(ngx_eb_out_label, text, sizeof(text) - 1, max, expected)


typedef void (*quote_pt)(ngx_eb_out_t *out, ngx_str_t *value, size_t max);


static void quoted_is(quote_pt quote, const char *text, size_t len,
    size_t max, const char *expected);
static void raw(void);
static void strings(void);
static void labels(void);
static void bounds(void);
static void numbers(void);
static void number(int64_t value, const char *as_int, const char *as_ms);
static void times(void);
static void stamp(int64_t msec, const char *expected);
static void again(void);
static uint32_t rnd(uint32_t n);


static ngx_eb_out_t  out;
static u_char        buf[4096];
static uint32_t      seed = 88172645u;


static void
quoted_is(quote_pt quote, const char *text, size_t len, size_t max,
    const char *expected)
{
    u_char     *p;
    size_t      size, full;
    ngx_str_t   value, got;
    ngx_uint_t  good;

    value.len = len;
    value.data = malloc(len ? len : 1);

    if (value.data == NULL) {
        abort();
    }

    ngx_memcpy(value.data, text, len);

    ngx_eb_out_init(&out, buf, sizeof(buf));
    quote(&out, &value, max);

    got.data = buf;
    got.len = out.pos - buf;

    is_str(&got, expected, "%s", expected);

    /* with less room it is left out whole */

    full = strlen(expected);
    good = !out.truncated;

    for (size = 0; size <= full; size++) {

        p = malloc(size ? size : 1);
        if (p == NULL) {
            abort();
        }

        ngx_eb_out_init(&out, p, size);
        quote(&out, &value, max);

        if (size < full) {
            good &= (out.truncated && out.pos == p);

        } else {
            good &= (!out.truncated && out.pos == p + full
                     && memcmp(p, expected, full) == 0);
        }

        free(p);
    }

    ok(good, "all of it or nothing");

    free(value.data);
}


static void
raw(void)
{
    ngx_str_t  got;

    ngx_eb_out_init(&out, buf, 6);

    ngx_eb_out_lit(&out, "abc");
    ok(!out.truncated && out.pos == buf + 3, "three bytes");

    ngx_eb_out_raw(&out, "abcd", 4);
    ok(out.truncated && out.pos == buf + 3, "four more do not fit");

    ngx_eb_out_raw(&out, "def", 3);
    ngx_eb_out_raw(&out, NULL, 0);

    got.data = buf;
    got.len = out.pos - buf;

    is_str(&got, "abcdef", "three more do");
    ok(out.truncated, "and what is left out stays known");

    ngx_eb_out_raw(&out, "g", 1);
    ok(out.pos == buf + 6, "no more");
}


static void
strings(void)
{
    ngx_str_t  null, got;

    string_is("", ALL, "\"\"");
    string_is("", 0, "\"\"");
    string_is("abc", ALL, "\"abc\"");
    string_is("\"\\/", ALL, "\"\\\"\\\\/\"");
    string_is("\n\r\t\b\f", ALL, "\"\\n\\r\\t\\u0008\\u000c\"");
    string_is("\0\001\037\177", ALL, "\"\\u0000\\u0001\\u001f\\u007f\"");
    string_is("\302\200\337\277\340\240\200\355\237\277\356\200\200", ALL,
              "\"\302\200\337\277\340\240\200\355\237\277\356\200\200\"");
    string_is("\360\220\200\200\364\217\277\277", ALL,
              "\"\360\220\200\200\364\217\277\277\"");

    string_is("\200", ALL, "\"" REPLACED "\"");
    string_is("a\377b", ALL, "\"a" REPLACED "b\"");
    string_is("\300\200", ALL, "\"" REPLACED REPLACED "\"");
    string_is("\301\277", ALL, "\"" REPLACED REPLACED "\"");
    string_is("\340\237\277", ALL, "\"" REPLACED REPLACED REPLACED "\"");
    string_is("\355\240\200", ALL, "\"" REPLACED REPLACED REPLACED "\"");
    string_is("\360\217\277\277", ALL,
              "\"" REPLACED REPLACED REPLACED REPLACED "\"");
    string_is("\364\220\200\200", ALL,
              "\"" REPLACED REPLACED REPLACED REPLACED "\"");
    string_is("\365\200\200\200", ALL,
              "\"" REPLACED REPLACED REPLACED REPLACED "\"");
    string_is("\302", ALL, "\"" REPLACED "\"");
    string_is("a\342\202", ALL, "\"a" REPLACED REPLACED "\"");
    string_is("\302\"", ALL, "\"" REPLACED "\\\"\"");
    string_is("\303\303\251", ALL, "\"" REPLACED "\303\251\"");

    string_is("abc", 3, "\"abc\"");
    string_is("abc", 2, "\"ab" CUT "\"");
    string_is("abc", 0, "\"" CUT "\"");
    string_is("\"\"\"", 2, "\"\\\"\\\"" CUT "\"");
    string_is("a\303\251", 3, "\"a\303\251\"");
    string_is("a\303\251", 2, "\"a" CUT "\"");
    string_is("a\303\251b", 3, "\"a\303\251" CUT "\"");
    string_is("\360\237\230\200", 3, "\"" CUT "\"");
    string_is("\360\237\230\200", 4, "\"\360\237\230\200\"");
    string_is("\377\377", 1, "\"" REPLACED CUT "\"");

    ngx_str_null(&null);
    ngx_eb_out_init(&out, buf, sizeof(buf));
    ngx_eb_out_string(&out, &null, ALL);
    ngx_eb_out_label(&out, &null, ALL);

    got.data = buf;
    got.len = out.pos - buf;
    is_str(&got, "\"\"\"\"", "no string at all");
}


static void
labels(void)
{
    label_is("", ALL, "\"\"");
    label_is("a b", ALL, "\"a b\"");
    label_is("\"\\\n", ALL, "\"\\\"\\\\\\n\"");
    label_is("\t/\r", ALL, "\"\t/\r\"");
    label_is("\303\251\377\342\202", ALL,
             "\"\303\251" REPLACED REPLACED REPLACED "\"");
    label_is("abc", 3, "\"abc\"");
    label_is("abc", 2, "\"ab\"");
    label_is("a\303\251", 2, "\"a\"");
    label_is("\n\n", 1, "\"\\n\"");
}


/* many writes into a small buffer, and nothing after it */

static void
bounds(void)
{
    u_char      *p;
    size_t       size;
    ngx_str_t    value;
    ngx_uint_t   i, good;

    ngx_str_set(&value, "a\"\303\251\377");

    for (size = 0, good = 1; size < 300; size++) {

        p = malloc(size ? size : 1);
        if (p == NULL) {
            abort();
        }

        ngx_eb_out_init(&out, p, size);

        for (i = 0; i < 5; i++) {
            ngx_eb_out_string(&out, &value, 3);
            ngx_eb_out_label(&out, &value, 4);
            ngx_eb_out_int(&out, -12345);
            ngx_eb_out_ms(&out, 12345);
            ngx_eb_out_time(&out, 1714566896789LL);
            ngx_eb_out_lit(&out, "},");

            good &= (out.pos >= p && out.pos <= p + size);
        }

        /* a turn writes 8 + 7 + 6 + 6 + 26 + 2 bytes */

        good &= (out.truncated == (size < 5 * 55));

        free(p);
    }

    ok(good, "small buffers");
}


static void
number(int64_t value, const char *as_int, const char *as_ms)
{
    u_char     *p;
    size_t      len;
    ngx_str_t   got;

    ngx_eb_out_init(&out, buf, sizeof(buf));
    ngx_eb_out_int(&out, value);

    got.data = buf;
    got.len = out.pos - buf;
    is_str(&got, as_int, "%s", as_int);

    p = out.pos;
    ngx_eb_out_ms(&out, value);

    got.data = p;
    got.len = out.pos - p;
    is_str(&got, as_ms, "%s", as_ms);

    len = strlen(as_int);

    ngx_eb_out_init(&out, buf, len - 1);
    ngx_eb_out_int(&out, value);
    ok(out.truncated && out.pos == buf, "%s has no room", as_int);

    len = strlen(as_ms);

    ngx_eb_out_init(&out, buf, len - 1);
    ngx_eb_out_ms(&out, value);
    ok(out.truncated && out.pos == buf, "%s has no room", as_ms);
}


static void
numbers(void)
{
    number(0, "0", "0.000");
    number(1, "1", "0.001");
    number(9, "9", "0.009");
    number(10, "10", "0.010");
    number(999, "999", "0.999");
    number(1000, "1000", "1.000");
    number(1234, "1234", "1.234");
    number(60000, "60000", "60.000");
    number(-1, "-1", "-0.001");
    number(-1234, "-1234", "-1.234");
    number(INT64_MAX, "9223372036854775807", "9223372036854775.807");
    number(INT64_MIN, "-9223372036854775808", "-9223372036854775.808");
}


static void
stamp(int64_t msec, const char *expected)
{
    ngx_str_t  got;

    ngx_eb_out_init(&out, buf, sizeof(buf));
    ngx_eb_out_time(&out, msec);

    got.data = buf;
    got.len = out.pos - buf;
    is_str(&got, expected, "%s", expected);
}


static void
times(void)
{
    char        text[64];
    time_t      t;
    struct tm   tm;
    ngx_int_t   n;
    ngx_uint_t  good;

    stamp(0, "\"1970-01-01T00:00:00.000Z\"");
    stamp(1, "\"1970-01-01T00:00:00.001Z\"");
    stamp(-1, "\"1969-12-31T23:59:59.999Z\"");
    stamp(1714566896789LL, "\"2024-05-01T12:34:56.789Z\"");
    stamp(1709164800000LL, "\"2024-02-29T00:00:00.000Z\"");
    stamp(253402300799999LL, "\"9999-12-31T23:59:59.999Z\"");
    stamp(253402300800000LL, "\"9999-12-31T23:59:59.999Z\"");
    stamp(INT64_MAX, "\"9999-12-31T23:59:59.999Z\"");
    stamp(INT64_MIN, "\"0000-01-01T00:00:00.000Z\"");

    /* each day from 0000-01-01, against libc */

    for (n = -719528, good = 1; n <= 2932896; n++) {
        t = (time_t) n * 86400 + (time_t) ((n + 719528) * 7919 % 86400);

        (void) gmtime_r(&t, &tm);

        (void) snprintf(text, sizeof(text),
                        "\"%04d-%02d-%02dT%02d:%02d:%02d.007Z\"",
                        tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                        tm.tm_hour, tm.tm_min, tm.tm_sec);

        ngx_eb_out_init(&out, buf, sizeof(buf));
        ngx_eb_out_time(&out, (int64_t) t * 1000 + 7);

        if (out.pos != buf + 26 || memcmp(buf, text, 26) != 0) {
            diag("%.26s, not %s", (char *) buf, text);
            good = 0;
            break;
        }

        if (n >= 0 && ngx_eb_time_parse(buf + 1, 24) != (int64_t) t * 1000 + 7)
        {
            diag("%s is read otherwise", text);
            good = 0;
            break;
        }
    }

    ok(good, "each day, and the same when read");
    ok(n == 2932897, "up to 9999-12-31");
}


static uint32_t
rnd(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;

    return seed % n;
}


/* any bytes become a JSON string; those of UTF-8 the same string */

static void
again(void)
{
    u_char                text[64];
    size_t                i;
    ngx_str_t             value;
    ngx_uint_t            n, good, same;
    ngx_eb_json_t         json;
    ngx_eb_json_error_t   err;
    ngx_eb_json_parser_t  *parser;

    parser = ngx_eb_json_parser_create();
    if (parser == NULL) {
        abort();
    }

    good = 1;
    same = 0;

    for (n = 0; n < 100000; n++) {
        value.data = text;
        value.len = rnd(sizeof(text));

        for (i = 0; i < value.len; i++) {
            text[i] = (u_char) ((n % 2) ? rnd(256) : rnd(128));

            if (n % 3 == 0 && rnd(4) == 0 && i + 2 < value.len) {
                text[i++] = (u_char) (0xe0 + rnd(16));
                text[i++] = (u_char) (0x80 + rnd(64));
                text[i] = (u_char) (0x80 + rnd(64));
            }
        }

        ngx_eb_out_init(&out, buf, sizeof(buf));
        ngx_eb_out_string(&out, &value, rnd(2) ? ALL : rnd(70));

        if (out.truncated
            || ngx_eb_json_parse(parser, buf, out.pos - buf, 1, &json, &err)
               != NGX_OK
            || json.n != 1)
        {
            good = 0;
            break;
        }

        if (ngx_eb_json_string_eq(&json, 0, &value)) {
            same++;

        } else if (n % 6 == 2 && memmem(buf, out.pos - buf, CUT, 3) == NULL) {

            /* ASCII, and not cut: the very same */

            good = 0;
            break;
        }
    }

    ok(good, "random strings are JSON");
    ok(same > 30000, "%d of them unchanged", (int) same);

    ngx_eb_json_parser_destroy(parser);
}


int
main(void)
{
    raw();
    strings();
    labels();
    bounds();
    numbers();
    times();
    again();

    return done_testing();
}
