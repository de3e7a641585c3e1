
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_time.h"


/* numbers from this one on are milliseconds; as seconds: the year 5138 */
#define NGX_EB_TIME_MSEC_FROM  100000000000LL

/* 9999-12-31T23:59:59.999Z */
#define NGX_EB_TIME_MAX        253402300799999LL

/* no digit is of use to a number as large as this */
#define NGX_EB_TIME_DIGITS     100000000000000000LL

#define NGX_EB_TIME_MAX_EXP    100000


static int64_t ngx_eb_time_number(u_char *p, u_char *last);
static int64_t ngx_eb_time_rfc3339(u_char *p, u_char *last);
static u_char *ngx_eb_time_fraction(u_char *p, u_char *last, int64_t *msec);
static ngx_inline ngx_int_t ngx_eb_time_two(u_char *p);
static int64_t ngx_eb_time_days(ngx_int_t year, ngx_int_t month,
    ngx_int_t day);


int64_t
ngx_eb_time_parse(u_char *data, size_t len)
{
    int64_t   msec;
    u_char   *last;

    if (len == 0) {
        return NGX_EB_TIME_UNKNOWN;
    }

    last = data + len;

    if (len >= sizeof("yyyy-mm-ddThh:mm:ssZ") - 1 && data[4] == '-') {
        msec = ngx_eb_time_rfc3339(data, last);

    } else {
        msec = ngx_eb_time_number(data, last);
    }

    return (msec < 0 || msec > NGX_EB_TIME_MAX) ? NGX_EB_TIME_UNKNOWN : msec;
}


/*
 * Any JSON number: 1.7145678E9 is how some libraries write a clock.  The
 * digits are summed up as if there were no point, without those that are too
 * many to matter, and power says where it was.
 */

static int64_t
ngx_eb_time_number(u_char *p, u_char *last)
{
    u_char     *start;
    int64_t     value;
    ngx_int_t   power, exp, sign;

    value = 0;
    power = 0;
    start = p;

    for ( /* void */ ; p < last && *p >= '0' && *p <= '9'; p++) {

        if (value < NGX_EB_TIME_DIGITS) {
            value = value * 10 + (*p - '0');

        } else {
            power++;
        }
    }

    if (p == start || (*start == '0' && p - start > 1)) {
        return NGX_EB_TIME_UNKNOWN;
    }

    if (p < last && *p == '.') {
        start = ++p;

        for ( /* void */ ; p < last && *p >= '0' && *p <= '9'; p++) {

            if (value < NGX_EB_TIME_DIGITS) {
                value = value * 10 + (*p - '0');
                power--;
            }
        }

        if (p == start) {
            return NGX_EB_TIME_UNKNOWN;
        }
    }

    if (p < last && (*p == 'e' || *p == 'E')) {
        p++;
        sign = 1;

        if (p < last && (*p == '+' || *p == '-')) {
            sign = (*p++ == '-') ? -1 : 1;
        }

        start = p;

        for (exp = 0; p < last && *p >= '0' && *p <= '9'; p++) {

            if (exp < NGX_EB_TIME_MAX_EXP) {
                exp = exp * 10 + (*p - '0');
            }
        }

        if (p == start) {
            return NGX_EB_TIME_UNKNOWN;
        }

        power += sign * exp;
    }

    if (p != last) {
        return NGX_EB_TIME_UNKNOWN;
    }

    /* thousandths; the loops end soon: value turns to 0, or too large */

    power += 3;

    if (value == 0) {
        return 0;
    }

    for ( /* void */ ; power > 0; power--) {

        if (value >= (NGX_EB_TIME_MAX + 1) * 1000 / 10) {
            return NGX_EB_TIME_UNKNOWN;
        }

        value *= 10;
    }

    for ( /* void */ ; power < 0 && value; power++) {
        value /= 10;
    }

    return (value < NGX_EB_TIME_MSEC_FROM * 1000) ? value : value / 1000;
}


static int64_t
ngx_eb_time_rfc3339(u_char *p, u_char *last)
{
    int64_t    msec, sec, offset;
    ngx_int_t  year, month, day, hour, min, second, dim;

    static const u_char  days[] = {
        31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31
    };

    /* the caller has seen that there are 20 bytes */

    year = ngx_eb_time_two(p) * 100 + ngx_eb_time_two(p + 2);
    month = ngx_eb_time_two(p + 5);
    day = ngx_eb_time_two(p + 8);
    hour = ngx_eb_time_two(p + 11);
    min = ngx_eb_time_two(p + 14);
    second = ngx_eb_time_two(p + 17);

    if (p[4] != '-' || p[7] != '-' || p[13] != ':' || p[16] != ':'
        || (p[10] != 'T' && p[10] != 't' && p[10] != ' '))
    {
        return NGX_EB_TIME_UNKNOWN;
    }

    /* a leap second may be anywhere: the offset moves it */

    if (year < 0 || month < 1 || month > 12 || day < 1
        || hour < 0 || hour > 23 || min < 0 || min > 59
        || second < 0 || second > 60)
    {
        return NGX_EB_TIME_UNKNOWN;
    }

    dim = days[month - 1];

    if (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)) {
        dim = 29;
    }

    if (day > dim) {
        return NGX_EB_TIME_UNKNOWN;
    }

    p += 19;
    msec = 0;

    if (*p == '.') {
        p = ngx_eb_time_fraction(p + 1, last, &msec);
    }

    if (p == NULL || p == last) {
        return NGX_EB_TIME_UNKNOWN;
    }

    sec = ngx_eb_time_days(year, month, day) * 86400
          + hour * 3600 + min * 60 + second;

    if (*p == 'Z' || *p == 'z') {
        p++;

    } else if ((*p == '+' || *p == '-') && last - p == 6 && p[3] == ':') {

        hour = ngx_eb_time_two(p + 1);
        min = ngx_eb_time_two(p + 4);

        if (hour < 0 || hour > 23 || min < 0 || min > 59) {
            return NGX_EB_TIME_UNKNOWN;
        }

        offset = hour * 3600 + min * 60;
        sec += (*p == '+') ? -offset : offset;
        p += 6;
    }

    return (p == last) ? sec * 1000 + msec : NGX_EB_TIME_UNKNOWN;
}


/* digits after a point, at least one; those after the third are cut off */

static u_char *
ngx_eb_time_fraction(u_char *p, u_char *last, int64_t *msec)
{
    u_char   *start;
    int64_t   unit;

    start = p;
    unit = 100;

    for ( /* void */ ; p < last && *p >= '0' && *p <= '9'; p++) {
        *msec += (*p - '0') * unit;
        unit /= 10;
    }

    return (p == start) ? NULL : p;
}


/* two digits, or a number that is far below zero */

static ngx_inline ngx_int_t
ngx_eb_time_two(u_char *p)
{
    ngx_uint_t  tens, ones;

    tens = (ngx_uint_t) p[0] - '0';
    ones = (ngx_uint_t) p[1] - '0';

    return (tens > 9 || ones > 9) ? -1000000
                                  : (ngx_int_t) (tens * 10 + ones);
}


/* since 1970-01-01, in the Gregorian calendar; a year here begins in March */

static int64_t
ngx_eb_time_days(ngx_int_t year, ngx_int_t month, ngx_int_t day)
{
    if (month < 3) {
        month += 12;
        year--;
    }

    /* for the year -1, which only 0000-01 and 0000-02 get to */

    year += 400;

    return (int64_t) year * 365 + year / 4 - year / 100 + year / 400
           + (153 * (month - 3) + 2) / 5 + day - 719469 - 146097;
}


time_t
ngx_eb_time_retry_after(ngx_str_t *value, time_t now)
{
    u_char  *p, *last;
    time_t   sec;

    p = value->data;
    last = p + value->len;

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    while (p < last && (last[-1] == ' ' || last[-1] == '\t')) {
        last--;
    }

    if (p == last) {
        return (time_t) NGX_ERROR;
    }

    if (*p < '0' || *p > '9') {
        sec = ngx_parse_http_time(p, last - p);

        if (sec == (time_t) NGX_ERROR) {
            return (time_t) NGX_ERROR;
        }

        return (sec > now) ? ngx_min(sec - now, NGX_EB_TIME_LONG) : 0;
    }

    for (sec = 0; p < last; p++) {

        if (*p < '0' || *p > '9') {
            return (time_t) NGX_ERROR;
        }

        if (sec < NGX_EB_TIME_LONG) {
            sec = sec * 10 + (*p - '0');
        }
    }

    return ngx_min(sec, NGX_EB_TIME_LONG);
}
