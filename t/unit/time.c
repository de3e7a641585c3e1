
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Time stamps, read.
 */

/* sources: src/wire/ngx_eb_time.c */


#include <ngx_config.h>
#include <ngx_core.h>
#include <time.h>
#include "shim.h"
#include "ngx_eb_time.h"


#define UNKNOWN  NGX_EB_TIME_UNKNOWN


typedef struct {
    const char               *text;
    int64_t                   msec;
} stamp_t;


static int64_t parse(const char *text, size_t len);
static void table(void);
static void days(void);
static void prefixes(void);
static void bytes(void);
static void retry_after(void);


static const stamp_t  stamps[] = {

    /* RFC 3339 */

    { "1970-01-01T00:00:00Z", 0 },
    { "1970-01-01T00:00:00.001Z", 1 },
    { "2024-05-01T12:34:56Z", 1714566896000LL },
    { "2024-05-01t12:34:56z", 1714566896000LL },
    { "2024-05-01 12:34:56Z", 1714566896000LL },
    { "2024-05-01T12:34:56.7Z", 1714566896700LL },
    { "2024-05-01T12:34:56.78Z", 1714566896780LL },
    { "2024-05-01T12:34:56.789Z", 1714566896789LL },
    { "2024-05-01T12:34:56.789999Z", 1714566896789LL },
    { "2024-05-01T12:34:56.000000000000000000000000001Z", 1714566896000LL },
    { "2024-05-01T12:34:56.999999999999999999999999999Z", 1714566896999LL },
    { "2024-05-01T14:34:56+02:00", 1714566896000LL },
    { "2024-05-01T07:04:56.5-05:30", 1714566896500LL },
    { "2024-05-01T12:34:56-00:00", 1714566896000LL },
    { "2024-05-02T12:33:56+23:59", 1714566896000LL },
    { "2024-02-29T00:00:00Z", 1709164800000LL },
    { "2000-02-29T00:00:00Z", 951782400000LL },
    { "2016-12-31T23:59:60Z", 1483228800000LL },
    { "2017-01-01T00:59:60+01:00", 1483228800000LL },
    { "9999-12-31T23:59:59.999Z", 253402300799999LL },
    { "1969-12-31T23:00:00-01:00", 0 },
    { "1970-01-01T00:00:00+00:01", UNKNOWN },
    { "1969-12-31T23:59:59.999Z", UNKNOWN },
    { "0000-01-01T00:00:00Z", UNKNOWN },
    { "9999-12-31T23:59:59-00:01", UNKNOWN },
    { "10000-01-01T00:00:00Z", UNKNOWN },
    { "2023-02-29T00:00:00Z", UNKNOWN },
    { "2100-02-29T00:00:00Z", UNKNOWN },
    { "2024-04-31T00:00:00Z", UNKNOWN },
    { "2024-00-01T00:00:00Z", UNKNOWN },
    { "2024-13-01T00:00:00Z", UNKNOWN },
    { "2024-01-00T00:00:00Z", UNKNOWN },
    { "2024-01-32T00:00:00Z", UNKNOWN },
    { "2024-01-01T24:00:00Z", UNKNOWN },
    { "2024-01-01T00:60:00Z", UNKNOWN },
    { "2024-01-01T00:00:61Z", UNKNOWN },
    { "2024-01-01T00:00:00", UNKNOWN },
    { "2024-01-01T00:00:00.5", UNKNOWN },
    { "2024-01-01T00:00:00.Z", UNKNOWN },
    { "2024-01-01T00:00:00,5Z", UNKNOWN },
    { "2024-01-01T00:00Z", UNKNOWN },
    { "2024-01-01", UNKNOWN },
    { "2024-01-01T00:00:00ZZ", UNKNOWN },
    { "2024-01-01T00:00:00Z ", UNKNOWN },
    { " 2024-01-01T00:00:00Z", UNKNOWN },
    { "2024-01-01_00:00:00Z", UNKNOWN },
    { "2024/01/01T00:00:00Z", UNKNOWN },
    { "2024-01-01T00-00-00Z", UNKNOWN },
    { "2024-01-01T00:00:00+0100", UNKNOWN },
    { "2024-01-01T00:00:00+01", UNKNOWN },
    { "2024-01-01T00:00:00+01:0", UNKNOWN },
    { "2024-01-01T00:00:00+01:000", UNKNOWN },
    { "2024-01-01T00:00:00+24:00", UNKNOWN },
    { "2024-01-01T00:00:00+01:60", UNKNOWN },
    { "2024-01-01T00:00:00+-1:00", UNKNOWN },
    { "2024-01-01T00:00:00*01:00", UNKNOWN },
    { "2024-1-01T00:00:00.00Z", UNKNOWN },
    { "2024-01-01T0a:00:00Z", UNKNOWN },
    { "-024-01-01T00:00:00Z", UNKNOWN },

    /* seconds, and milliseconds from 1e11 on */

    { "0", 0 },
    { "0.0", 0 },
    { "0e999999999999999999999", 0 },
    { "1", 1000 },
    { "0.001", 1 },
    { "0.0009", 0 },
    { "1714566896", 1714566896000LL },
    { "1714566896.5", 1714566896500LL },
    { "1714566896.7899999", 1714566896789LL },
    { "1714566896.000000000000000000000000000001", 1714566896000LL },
    { "1714566896789", 1714566896789LL },
    { "1714566896789.9", 1714566896789LL },
    { "1.714566896789E9", 1714566896789LL },
    { "1.714566896789e+12", 1714566896789LL },
    { "1714566896789000e-3", 1714566896789LL },
    { "1714566896789000e-6", 1714566896789LL },
    { "17145668967890000000000000000000e-22", 1714566896789LL },
    { "99999999999", 99999999999000LL },
    { "99999999999.999", 99999999999999LL },
    { "99999999999.9999", 99999999999999LL },
    { "100000000000", 100000000000LL },
    { "253402300799999", 253402300799999LL },
    { "253402300799999.9", 253402300799999LL },
    { "253402300800000", UNKNOWN },
    { "9223372036854775807", UNKNOWN },
    { "9223372036854775808", UNKNOWN },
    { "18446744073709551617", UNKNOWN },
    { "1000000000000000000000000000000", UNKNOWN },
    { "1e400", UNKNOWN },
    { "1e-400", 0 },
    { "1e18446744073709551616", UNKNOWN },
    { "1e-18446744073709551616", 0 },
    { "-1", UNKNOWN },
    { "-0", UNKNOWN },
    { "-1714566896", UNKNOWN },
    { "+1", UNKNOWN },
    { "01", UNKNOWN },
    { "00", UNKNOWN },
    { "1.", UNKNOWN },
    { ".5", UNKNOWN },
    { "1e", UNKNOWN },
    { "1e+", UNKNOWN },
    { "1.e5", UNKNOWN },
    { "1 ", UNKNOWN },
    { " 1", UNKNOWN },
    { "1x", UNKNOWN },
    { "0x10", UNKNOWN },
    { "1.5.5", UNKNOWN },
    { "1e5.5", UNKNOWN },
    { "", UNKNOWN },
    { ".", UNKNOWN },
    { "e", UNKNOWN },
    { "null", UNKNOWN },
    { "true", UNKNOWN },
    { "now", UNKNOWN },
    { "Wed, 01 May 2024 12:34:56 GMT", UNKNOWN }
};


/* from a block of just that size */

static int64_t
parse(const char *text, size_t len)
{
    u_char   *p;
    int64_t   msec;

    p = malloc(len ? len : 1);
    if (p == NULL) {
        abort();
    }

    ngx_memcpy(p, text, len);
    msec = ngx_eb_time_parse(p, len);
    free(p);

    return msec;
}


static void
table(void)
{
    ngx_uint_t  i;

    for (i = 0; i < sizeof(stamps) / sizeof(stamp_t); i++) {
        is_int(parse(stamps[i].text, strlen(stamps[i].text)), stamps[i].msec,
               "\"%s\"", stamps[i].text);
    }

    ok(ngx_eb_time_parse(NULL, 0) == UNKNOWN, "no text at all");
}


/* each day until the year 9999, against libc */

static void
days(void)
{
    char        text[64];
    time_t      t;
    struct tm   tm;
    ngx_uint_t  n, good;

    for (n = 0, good = 1; n <= 2932896; n++) {
        t = (time_t) n * 86400 + (n * 7919) % 86400;

        (void) gmtime_r(&t, &tm);
        (void) strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);

        if (ngx_eb_time_parse((u_char *) text, strlen(text))
            != (int64_t) t * 1000)
        {
            diag("%s", text);
            good = 0;
            break;
        }
    }

    ok(good, "each day");
    ok(n == 2932897, "up to 9999-12-31");
}


static void
prefixes(void)
{
    size_t      len;
    ngx_uint_t  good;

    static const char  text[] = "2024-05-01T12:34:56.789+02:00";

    for (len = 5, good = 1; len < sizeof(text) - 1; len++) {
        good &= (parse(text, len) == UNKNOWN);
    }

    ok(good, "prefixes of a time stamp");
}


/* a time stamp with any one byte another one */

static void
bytes(void)
{
    char        text[32];
    size_t      i;
    int64_t     msec;
    ngx_uint_t  ch, good, digits;

    static const char  stamp[] = "2024-05-01T12:34:56.789+02:00";

    good = 1;

    for (i = 0; i < sizeof(stamp) - 1; i++) {
        digits = 0;

        for (ch = 0; ch < 256; ch++) {
            ngx_memcpy(text, stamp, sizeof(stamp));
            text[i] = (char) ch;

            msec = parse(text, sizeof(stamp) - 1);

            if (msec == UNKNOWN) {
                good &= (ch != (u_char) stamp[i]);

            } else if (stamp[i] >= '0' && stamp[i] <= '9') {
                good &= (ch >= '0' && ch <= '9');
                digits++;

            } else {
                good &= (ch == (u_char) stamp[i]
                         || (i == 10 && (ch == 't' || ch == ' '))
                         || (i == 23 && ch == '-'));
            }
        }

        good &= (digits <= 10);
    }

    ok(good, "each byte replaced");
}


/* row 2.9: in seconds and as a date, and never so much that it overflows */

static void
retry_after(void)
{
    ngx_str_t   value;
    ngx_uint_t  i;

    /* Sun, 06 Nov 1994 08:49:37 GMT */
    static const time_t  now = 784111777;

    static const struct {
        const char  *text;
        time_t       seconds;
    } values[] = {
        { "0", 0 },
        { "007", 7 },
        { " 120\t", 120 },
        { "2147483646", 2147483646 },
        { "2147483647", NGX_EB_TIME_LONG },
        { "2147483648", NGX_EB_TIME_LONG },
        { "99999999999999999999999999", NGX_EB_TIME_LONG },
        { "Sun, 06 Nov 1994 08:49:37 GMT", 0 },
        { "Sun, 06 Nov 1994 08:49:36 GMT", 0 },
        { "Sun, 06 Nov 1994 08:49:38 GMT", 1 },
        { "Sunday, 06-Nov-94 08:50:37 GMT", 60 },
        { "Sun Nov  6 09:49:37 1994", 3600 },
        { "Fri, 31 Dec 9999 23:59:59 GMT", NGX_EB_TIME_LONG },
        { "", NGX_ERROR },
        { " ", NGX_ERROR },
        { "-1", NGX_ERROR },
        { "+1", NGX_ERROR },
        { "1.5", NGX_ERROR },
        { "1 s", NGX_ERROR },
        { "soon", NGX_ERROR }
    };

    for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        value.data = (u_char *) values[i].text;
        value.len = strlen(values[i].text);

        is_int(ngx_eb_time_retry_after(&value, now), values[i].seconds,
               "Retry-After \"%s\"", values[i].text);
    }

    value.data = NULL;
    value.len = 0;

    is_int(ngx_eb_time_retry_after(&value, now), NGX_ERROR, "no Retry-After");
}


int
main(void)
{
    table();
    days();
    prefixes();
    bytes();
    retry_after();

    return done_testing();
}
