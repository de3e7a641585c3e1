
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_out.h"


/* "-9223372036854775.808" */
#define NGX_EB_OUT_INT_LEN  24

/* 0000-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z */
#define NGX_EB_OUT_MIN_TIME  (-62167219200000LL)
#define NGX_EB_OUT_MAX_TIME  253402300799999LL

#define ngx_eb_out_put(out, s)  ngx_eb_out_bytes(out, s, sizeof(s) - 1)


static ngx_uint_t ngx_eb_out_bytes(ngx_eb_out_t *out, const void *data,
    size_t len);
static ngx_uint_t ngx_eb_out_quoted(ngx_eb_out_t *out, ngx_str_t *value,
    size_t max, ngx_uint_t json);
static ngx_uint_t ngx_eb_out_json_char(ngx_eb_out_t *out, u_char ch);
static ngx_uint_t ngx_eb_out_label_char(ngx_eb_out_t *out, u_char ch);
static size_t ngx_eb_out_utf8(u_char *p, u_char *last);
static u_char *ngx_eb_out_digits(u_char *end, uint64_t value,
    ngx_uint_t width);


/* 1 when it fit, else nothing is written */

static ngx_uint_t
ngx_eb_out_bytes(ngx_eb_out_t *out, const void *data, size_t len)
{
    if ((size_t) (out->end - out->pos) < len) {
        return 0;
    }

    if (len) {
        out->pos = ngx_cpymem(out->pos, data, len);
    }

    return 1;
}


void
ngx_eb_out_raw(ngx_eb_out_t *out, const void *data, size_t len)
{
    if (!ngx_eb_out_bytes(out, data, len)) {
        out->truncated = 1;
    }
}


void
ngx_eb_out_string(ngx_eb_out_t *out, ngx_str_t *value, size_t max)
{
    u_char  *start;

    start = out->pos;

    if (!ngx_eb_out_quoted(out, value, max, 1)) {
        out->pos = start;
        out->truncated = 1;
    }
}


void
ngx_eb_out_label(ngx_eb_out_t *out, ngx_str_t *value, size_t max)
{
    u_char  *start;

    start = out->pos;

    if (!ngx_eb_out_quoted(out, value, max, 0)) {
        out->pos = start;
        out->truncated = 1;
    }
}


static ngx_uint_t
ngx_eb_out_quoted(ngx_eb_out_t *out, ngx_str_t *value, size_t max,
    ngx_uint_t json)
{
    u_char      *p, *last;
    size_t       n;
    ngx_uint_t   fit;

    if (!ngx_eb_out_put(out, "\"")) {
        return 0;
    }

    if (value->len == 0) {
        return ngx_eb_out_put(out, "\"");
    }

    p = value->data;
    last = p + value->len;

    while (p < last) {

        n = (*p < 0x80) ? 1 : ngx_eb_out_utf8(p, last);

        /* an invalid byte is one of its own */

        if (ngx_max(n, 1) > max) {

            if (json && !ngx_eb_out_put(out, "\xe2\x80\xa6")) {
                return 0;
            }

            break;
        }

        if (n == 0) {
            n = 1;
            fit = ngx_eb_out_put(out, "\xef\xbf\xbd");

        } else if (n > 1) {
            fit = ngx_eb_out_bytes(out, p, n);

        } else {
            fit = json ? ngx_eb_out_json_char(out, *p)
                       : ngx_eb_out_label_char(out, *p);
        }

        if (!fit) {
            return 0;
        }

        p += n;
        max -= n;
    }

    return ngx_eb_out_put(out, "\"");
}


static ngx_uint_t
ngx_eb_out_json_char(ngx_eb_out_t *out, u_char ch)
{
    u_char  esc[6];

    static const u_char  hex[] = "0123456789abcdef";

    switch (ch) {

    case '"':
        return ngx_eb_out_put(out, "\\\"");

    case '\\':
        return ngx_eb_out_put(out, "\\\\");

    case '\n':
        return ngx_eb_out_put(out, "\\n");

    case '\r':
        return ngx_eb_out_put(out, "\\r");

    case '\t':
        return ngx_eb_out_put(out, "\\t");
    }

    if (ch >= ' ' && ch != 0x7f) {
        return ngx_eb_out_bytes(out, &ch, 1);
    }

    ngx_memcpy(esc, "\\u00", 4);
    esc[4] = hex[ch >> 4];
    esc[5] = hex[ch & 0xf];

    return ngx_eb_out_bytes(out, esc, 6);
}


static ngx_uint_t
ngx_eb_out_label_char(ngx_eb_out_t *out, u_char ch)
{
    switch (ch) {

    case '"':
        return ngx_eb_out_put(out, "\\\"");

    case '\\':
        return ngx_eb_out_put(out, "\\\\");

    case '\n':
        return ngx_eb_out_put(out, "\\n");
    }

    return ngx_eb_out_bytes(out, &ch, 1);
}


/* the length of the UTF-8 sequence at p (>= 0x80), 0 when it is none */

static size_t
ngx_eb_out_utf8(u_char *p, u_char *last)
{
    size_t    i, n;
    uint32_t  u, min;

    if ((*p & 0xe0) == 0xc0) {
        n = 2;
        min = 0x80;
        u = *p & 0x1f;

    } else if ((*p & 0xf0) == 0xe0) {
        n = 3;
        min = 0x800;
        u = *p & 0x0f;

    } else if ((*p & 0xf8) == 0xf0) {
        n = 4;
        min = 0x10000;
        u = *p & 0x07;

    } else {
        return 0;
    }

    if ((size_t) (last - p) < n) {
        return 0;
    }

    for (i = 1; i < n; i++) {

        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }

        u = (u << 6) | (p[i] & 0x3f);
    }

    if (u < min || u > 0x10ffff || (u >= 0xd800 && u <= 0xdfff)) {
        return 0;
    }

    return n;
}


/* width digits at least, before end */

static u_char *
ngx_eb_out_digits(u_char *end, uint64_t value, ngx_uint_t width)
{
    while (value || width) {
        *--end = (u_char) ('0' + value % 10);
        value /= 10;

        if (width) {
            width--;
        }
    }

    return end;
}


void
ngx_eb_out_int(ngx_eb_out_t *out, int64_t value)
{
    u_char    *p, *end, buf[NGX_EB_OUT_INT_LEN];
    uint64_t   u;

    end = buf + NGX_EB_OUT_INT_LEN;
    u = (value < 0) ? 0 - (uint64_t) value : (uint64_t) value;

    p = ngx_eb_out_digits(end, u, 1);

    if (value < 0) {
        *--p = '-';
    }

    ngx_eb_out_raw(out, p, (size_t) (end - p));
}


void
ngx_eb_out_ms(ngx_eb_out_t *out, int64_t msec)
{
    u_char    *p, *end, buf[NGX_EB_OUT_INT_LEN];
    uint64_t   u;

    end = buf + NGX_EB_OUT_INT_LEN;
    u = (msec < 0) ? 0 - (uint64_t) msec : (uint64_t) msec;

    p = ngx_eb_out_digits(end, u % 1000, 3);
    *--p = '.';
    p = ngx_eb_out_digits(p, u / 1000, 1);

    if (msec < 0) {
        *--p = '-';
    }

    ngx_eb_out_raw(out, p, (size_t) (end - p));
}


void
ngx_eb_out_time(ngx_eb_out_t *out, int64_t msec)
{
    u_char    buf[sizeof("\"yyyy-mm-ddThh:mm:ss.000Z\"") - 1];
    uint64_t  u, days, year, yday, month;

    msec = ngx_max(msec, NGX_EB_OUT_MIN_TIME);
    msec = ngx_min(msec, NGX_EB_OUT_MAX_TIME);

    ngx_memcpy(buf, "\"yyyy-mm-ddThh:mm:ss.000Z\"", sizeof(buf));

    /* since 0000-01-01 */

    u = (uint64_t) (msec - NGX_EB_OUT_MIN_TIME);

    (void) ngx_eb_out_digits(buf + 24, u % 1000, 3);
    u /= 1000;
    (void) ngx_eb_out_digits(buf + 20, u % 60, 2);
    u /= 60;
    (void) ngx_eb_out_digits(buf + 17, u % 60, 2);
    u /= 60;
    (void) ngx_eb_out_digits(buf + 14, u % 24, 2);

    /*
     * Years that begin in March have their leap day at the end.  0000-03-01
     * is 60 days on; 400 years, which are 146097 days, are added for the sake
     * of unsigned arithmetic.  The first guess is never too low.
     */

    days = u / 24 + 146097 - 60;

    year = days * 400 / 146097 + 2;

    do {
        year--;
        yday = year * 365 + year / 4 - year / 100 + year / 400;
    } while (yday > days);

    yday = days - yday;
    month = (5 * yday + 2) / 153;

    (void) ngx_eb_out_digits(buf + 11, yday - (153 * month + 2) / 5 + 1, 2);

    year -= 400;
    month += 3;

    if (month > 12) {
        month -= 12;
        year++;
    }

    (void) ngx_eb_out_digits(buf + 8, month, 2);
    (void) ngx_eb_out_digits(buf + 5, year, 4);

    ngx_eb_out_raw(out, buf, sizeof(buf));
}
