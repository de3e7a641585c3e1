
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Numbers as Event Ruler compares them: a double, if the shortest text for that
 * double is the number that was written; else there is only the text.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <math.h>
#include "ngx_eb_pattern_form.h"


/* a decimal of so many digits is always the shortest text for its double */
#define NGX_EB_PATTERN_SURE_DIGITS   15
#define NGX_EB_PATTERN_MAX_DIGITS    17

/* and this far from the least and the greatest double at least */
#define NGX_EB_PATTERN_SURE_EXPONENT 290

#define NGX_EB_PATTERN_MAX_EXPONENT  100000

/* of a zero: more is no number to the BigDecimal of Event Ruler */
#define NGX_EB_PATTERN_MAX_ZERO      2147483647


/* digits without zeros at their ends, 0.DIGITS times ten to the exponent */

typedef struct {
    u_char                    digits[NGX_EB_PATTERN_MAX_DIGITS];
    ngx_uint_t                n;
    ngx_int_t                 exponent;
    unsigned                  negative:1;
} ngx_eb_pattern_decimal_t;


static ngx_int_t ngx_eb_pattern_decimal(const u_char *p, const u_char *last,
    ngx_eb_pattern_decimal_t *d);
static ngx_uint_t ngx_eb_pattern_shortest(double value,
    ngx_eb_pattern_decimal_t *d);


static const double  ngx_eb_pattern_powers[] = {
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13,
    1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22
};


ngx_int_t
ngx_eb_pattern_number(u_char *p, size_t len, double *value)
{
    double                    x;
    uint64_t                  m;
    ngx_int_t                 e;
    ngx_uint_t                i;
    ngx_eb_pattern_decimal_t  d;

    if (ngx_eb_pattern_decimal(p, p + len, &d) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (d.n == 0) {
        *value = 0;
        return NGX_OK;
    }

    e = d.exponent - (ngx_int_t) d.n;

    if (d.n <= NGX_EB_PATTERN_SURE_DIGITS && e >= -22 && e <= 22) {

        /* both are doubles, and so is what one operation rounds to */

        for (m = 0, i = 0; i < d.n; i++) {
            m = m * 10 + d.digits[i];
        }

        x = (double) m;

        if (e < 0) {
            x /= ngx_eb_pattern_powers[-e];

        } else {
            x *= ngx_eb_pattern_powers[e];
        }

        *value = d.negative ? -x : x;

        return NGX_OK;
    }

    /* something that belongs to no number is behind it */

    x = strtod((char *) p, NULL);

    if (x == 0 || x == HUGE_VAL || x == -HUGE_VAL) {
        return NGX_DECLINED;
    }

    if (d.n > NGX_EB_PATTERN_SURE_DIGITS
        || d.exponent > NGX_EB_PATTERN_SURE_EXPONENT
        || d.exponent < -NGX_EB_PATTERN_SURE_EXPONENT)
    {
        if (!ngx_eb_pattern_shortest(x, &d)) {
            return NGX_DECLINED;
        }
    }

    *value = x;

    return NGX_OK;
}


/* NGX_DECLINED: there are too many digits, or the exponent is absurd */

static ngx_int_t
ngx_eb_pattern_decimal(const u_char *p, const u_char *last,
    ngx_eb_pattern_decimal_t *d)
{
    int64_t     e, max;
    ngx_int_t   sign, zeros;
    ngx_uint_t  point;

    d->n = 0;
    d->negative = (*p == '-');
    d->exponent = 0;

    if (d->negative) {
        p++;
    }

    point = 0;
    zeros = 0;

    for ( /* void */ ; p < last; p++) {

        if (*p == '.') {
            point = 1;
            continue;
        }

        if (*p < '0' || *p > '9') {
            break;
        }

        if (!point) {
            d->exponent++;
        }

        if (*p == '0') {

            if (d->n == 0) {
                /* leads: it only moves the point */
                d->exponent--;

            } else {
                zeros++;
            }

            continue;
        }

        if (d->n + zeros >= NGX_EB_PATTERN_MAX_DIGITS) {
            return NGX_DECLINED;
        }

        while (zeros) {
            d->digits[d->n++] = 0;
            zeros--;
        }

        d->digits[d->n++] = *p - '0';
    }

    if (p < last) {
        p++;
        sign = 1;
        max = d->n ? NGX_EB_PATTERN_MAX_EXPONENT : NGX_EB_PATTERN_MAX_ZERO;

        if (*p == '+' || *p == '-') {
            sign = (*p == '-') ? -1 : 1;
            p++;
        }

        for (e = 0; p < last; p++) {
            e = e * 10 + (*p - '0');

            if (e > max) {
                return NGX_DECLINED;
            }
        }

        d->exponent += sign * (ngx_int_t) e;
    }

    return NGX_OK;
}


/* of all texts for value, is d the shortest one, with two digits at least? */

static ngx_uint_t
ngx_eb_pattern_shortest(double value, ngx_eb_pattern_decimal_t *d)
{
    int                       n;
    char                      text[64];
    ngx_eb_pattern_decimal_t  s;

    for (n = 2; n <= NGX_EB_PATTERN_MAX_DIGITS; n++) {
        (void) snprintf(text, sizeof(text), "%.*e", n - 1, value);

        if (strtod(text, NULL) == value) {
            break;
        }
    }

    if (ngx_eb_pattern_decimal((u_char *) text,
                               (u_char *) text + ngx_strlen(text), &s)
        != NGX_OK)
    {
        return 0;
    }

    return s.n == d->n && s.exponent == d->exponent
           && ngx_memcmp(s.digits, d->digits, d->n) == 0;
}
