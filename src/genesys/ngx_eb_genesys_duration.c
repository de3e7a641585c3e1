
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_genesys_duration.h"


/* digits of days at most, and of a product of three */
#define NGX_EB_GENESYS_DAYS_LEN     20
#define NGX_EB_GENESYS_PRODUCT_LEN  (2 * NGX_EB_GENESYS_DECIMAL_LEN          \
                                     + NGX_EB_GENESYS_DAYS_LEN + 1)

#define NGX_EB_GENESYS_COST_MAX     6       /* decimals */
#define NGX_EB_GENESYS_COST_MIN     2


static ngx_uint_t ngx_eb_genesys_multiply(u_char *product, u_char *a,
    ngx_uint_t na, u_char *b, ngx_uint_t nb);
static ngx_uint_t ngx_eb_genesys_round(u_char *digit, ngx_uint_t n,
    ngx_uint_t drop);


ngx_int_t
ngx_eb_genesys_duration(ngx_str_t *text, ngx_uint_t *days, const char **why)
{
    u_char      *p, *last, *digits;
    ngx_uint_t   i, n, total;

    static const struct {
        u_char       unit;
        ngx_uint_t   days;
    } units[] = {
        { 'Y', NGX_EB_GENESYS_YEAR_DAYS },
        { 'M', NGX_EB_GENESYS_MONTH_DAYS },
        { 'W', 7 },
        { 'D', 1 }
    };

    *days = 0;

    p = text->data;
    last = p + text->len;

    if (p == last || *p++ != 'P') {
        *why = "a duration begins with P, as in P90D";
        return NGX_DECLINED;
    }

    if (p == last) {
        *why = "nothing follows P";
        return NGX_DECLINED;
    }

    i = 0;
    total = 0;

    while (p < last) {

        if (*p == 'T') {
            *why = "a part of a day is not possible: nothing after T";
            return NGX_DECLINED;
        }

        digits = p;
        n = 0;

        for ( /* void */ ; p < last && *p >= '0' && *p <= '9'; p++) {

            /* sticks above the limit, and cannot overflow */

            if (n <= NGX_EB_GENESYS_DAYS_MAX) {
                n = n * 10 + (*p - '0');
            }
        }

        if (p == digits) {
            *why = "a whole number is expected in front of each unit";
            return NGX_DECLINED;
        }

        if (p == last) {
            *why = "a number has no unit";
            return NGX_DECLINED;
        }

        /* each unit once, and the larger ones first */

        while (i < sizeof(units) / sizeof(units[0]) && units[i].unit != *p) {
            i++;
        }

        if (i == sizeof(units) / sizeof(units[0])) {
            *why = "the units are Y, M, W and D, each once and in this order";
            return NGX_DECLINED;
        }

        if (n > (NGX_EB_GENESYS_DAYS_MAX - total) / units[i].days) {
            *why = "the duration is too long";
            return NGX_DECLINED;
        }

        total += n * units[i].days;

        p++;
        i++;
    }

    *days = total;

    return NGX_OK;
}


ngx_int_t
ngx_eb_genesys_decimal(ngx_str_t *text, ngx_eb_genesys_decimal_t *value)
{
    u_char      *p, *last, *point;
    ngx_uint_t   n;

    p = text->data;
    last = p + text->len;

    /* leading zeros count for nothing, but one may stand there */

    while (last - p > 1 && p[0] == '0' && p[1] != '.') {
        p++;
    }

    point = NULL;

    for (n = 0; p + n < last; n++) {

        if (p[n] == '.' && point == NULL) {
            point = p + n;
            continue;
        }

        if (p[n] < '0' || p[n] > '9') {
            return NGX_DECLINED;
        }
    }

    if (point == NULL) {
        point = last;
    }

    value->fraction = (point < last) ? (ngx_uint_t) (last - point) - 1 : 0;

    if (point == p
        || point + 1 == last
        || (ngx_uint_t) (point - p) > NGX_EB_GENESYS_DECIMAL_INT
        || value->fraction > NGX_EB_GENESYS_DECIMAL_FRAC)
    {
        return NGX_DECLINED;
    }

    value->n = 0;

    while (last > p) {
        last--;

        if (*last != '.') {
            value->digit[value->n++] = (u_char) (*last - '0');
        }
    }

    return NGX_OK;
}


u_char *
ngx_eb_genesys_cost(u_char *p, ngx_eb_genesys_decimal_t *gb,
    ngx_eb_genesys_decimal_t *price, ngx_uint_t days)
{
    u_char      volume[NGX_EB_GENESYS_PRODUCT_LEN];
    u_char      product[NGX_EB_GENESYS_PRODUCT_LEN];
    u_char      digit[NGX_EB_GENESYS_DAYS_LEN];
    ngx_uint_t  n, i, fraction;

    for (i = 0; i < NGX_EB_GENESYS_DAYS_LEN; i++) {
        digit[i] = (u_char) (days % 10);
        days /= 10;
    }

    n = ngx_eb_genesys_multiply(volume, gb->digit, gb->n, digit,
                                NGX_EB_GENESYS_DAYS_LEN);
    n = ngx_eb_genesys_multiply(product, volume, n, price->digit, price->n);

    fraction = gb->fraction + price->fraction;

    if (fraction > NGX_EB_GENESYS_COST_MAX) {
        n = ngx_eb_genesys_round(product, n,
                                 fraction - NGX_EB_GENESYS_COST_MAX);
        fraction = NGX_EB_GENESYS_COST_MAX;
    }

    /* at least one digit ahead of the point */

    while (n <= fraction) {
        product[n++] = 0;
    }

    while (n > fraction + 1 && product[n - 1] == 0) {
        n--;
    }

    for (i = n; i > fraction; i--) {
        *p++ = (u_char) ('0' + product[i - 1]);
    }

    *p++ = '.';

    for (n = 0; n < fraction; n++) {
        *p++ = (u_char) ('0' + product[fraction - 1 - n]);
    }

    while (n > NGX_EB_GENESYS_COST_MIN && p[-1] == '0') {
        p--;
        n--;
    }

    for ( /* void */ ; n < NGX_EB_GENESYS_COST_MIN; n++) {
        *p++ = '0';
    }

    return p;
}


/* schoolbook; the product has no leading zeros beyond one digit */

static ngx_uint_t
ngx_eb_genesys_multiply(u_char *product, u_char *a, ngx_uint_t na, u_char *b,
    ngx_uint_t nb)
{
    ngx_uint_t  i, j, carry;

    while (na > 1 && a[na - 1] == 0) {
        na--;
    }

    while (nb > 1 && b[nb - 1] == 0) {
        nb--;
    }

    ngx_memzero(product, na + nb);

    for (i = 0; i < na; i++) {
        carry = 0;

        for (j = 0; j < nb; j++) {
            carry += product[i + j] + a[i] * b[j];
            product[i + j] = (u_char) (carry % 10);
            carry /= 10;
        }

        product[i + nb] = (u_char) carry;
    }

    return na + nb;
}


/* takes the lowest digits off, half up; returns how many are left */

static ngx_uint_t
ngx_eb_genesys_round(u_char *digit, ngx_uint_t n, ngx_uint_t drop)
{
    ngx_uint_t  i, carry;

    if (drop > n) {
        return 0;
    }

    carry = (digit[drop - 1] >= 5);
    n -= drop;

    for (i = 0; i < n; i++) {
        carry += digit[i + drop];
        digit[i] = (u_char) (carry % 10);
        carry /= 10;
    }

    if (carry) {
        digit[n++] = 1;
    }

    return n;
}
