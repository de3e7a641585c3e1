
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The arithmetic of retention: ISO 8601 durations in days, and what the
 * days cost, in exact decimals.
 */


#ifndef _NGX_EB_GENESYS_DURATION_H_INCLUDED_
#define _NGX_EB_GENESYS_DURATION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* of a year and of a month, which ISO 8601 gives no fixed length */
#define NGX_EB_GENESYS_YEAR_DAYS    365
#define NGX_EB_GENESYS_MONTH_DAYS   30

/* a duration that has more days is no duration */
#define NGX_EB_GENESYS_DAYS_MAX     1000000

#define NGX_EB_GENESYS_DECIMAL_INT  12      /* digits */
#define NGX_EB_GENESYS_DECIMAL_FRAC 9
#define NGX_EB_GENESYS_DECIMAL_LEN  (NGX_EB_GENESYS_DECIMAL_INT              \
                                     + NGX_EB_GENESYS_DECIMAL_FRAC)

/* room for what ngx_eb_genesys_cost() writes */
#define NGX_EB_GENESYS_COST_LEN     64


/* the value is digits / 10^fraction; digit[0] is the lowest one */

typedef struct {
    u_char                    digit[NGX_EB_GENESYS_DECIMAL_LEN];
    ngx_uint_t                n;
    ngx_uint_t                fraction;
} ngx_eb_genesys_decimal_t;


/*
 * The days of a date duration: P, then at least one of nY nM nW nD, in this
 * order.  Zero is a duration.  NGX_OK; NGX_DECLINED: *why says what is wrong,
 * in words without a period.
 */
ngx_int_t ngx_eb_genesys_duration(ngx_str_t *text, ngx_uint_t *days,
    const char **why);

/*
 * "150", "0.0023": digits, and perhaps a point and more digits.  No sign, no
 * exponent.  NGX_OK, NGX_DECLINED.
 */
ngx_int_t ngx_eb_genesys_decimal(ngx_str_t *text,
    ngx_eb_genesys_decimal_t *value);

/*
 * gb * price * days as a JSON number with two to six decimals, rounded half
 * up.  Returns its end; p has room for NGX_EB_GENESYS_COST_LEN bytes.
 */
u_char *ngx_eb_genesys_cost(u_char *p, ngx_eb_genesys_decimal_t *gb,
    ngx_eb_genesys_decimal_t *price, ngx_uint_t days);


#endif /* _NGX_EB_GENESYS_DURATION_H_INCLUDED_ */
