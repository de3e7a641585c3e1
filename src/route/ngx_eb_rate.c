
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * A bucket of events that fills at a steady rate, and may be in debt.
 *
 * What was taken is kept as the time until the bucket is full again.  So the
 * bucket fills by the passing of time alone, nobody has to do it, and taking
 * is one atomic operation on one word.  A nanosecond is fine enough: rounding
 * up to it costs a batch at most one, and no machine takes in so many batches
 * that this adds up to a thousandth of the rate.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_rate.h"


#define NGX_EB_RATE_SECOND   1000000000ull

/* 73 years: a sum of two of these, and of the time, fits in the word */
#define NGX_EB_RATE_FOREVER  ((uint64_t) 1 << 61)


void
ngx_eb_rate_init(ngx_eb_rate_t *rate, uint64_t events, uint64_t seconds,
    uint64_t burst)
{
    rate->events = events;
    rate->seconds = seconds;
    rate->burst = burst;
    rate->depth = ngx_eb_rate_cost(rate, burst);
    rate->limit = rate->depth + ngx_eb_rate_cost(rate, NGX_EB_RATE_MAX_BATCH);
}


uint64_t
ngx_eb_rate_cost(const ngx_eb_rate_t *rate, uint64_t n)
{
    uint64_t  whole, rest;

    /* at most 1e9 * 60: the product fits */

    n = ngx_min(n, NGX_EB_RATE_MAX) * rate->seconds;

    whole = n / rate->events;
    rest = n % rate->events;

    if (whole >= NGX_EB_RATE_FOREVER / NGX_EB_RATE_SECOND) {
        return NGX_EB_RATE_FOREVER;
    }

    return whole * NGX_EB_RATE_SECOND
           + (rest * NGX_EB_RATE_SECOND + rate->events - 1) / rate->events;
}


uint64_t
ngx_eb_rate_take(const ngx_eb_rate_t *rate, ngx_eb_rate_bucket_t *bucket,
    uint64_t now, uint64_t n)
{
    uint64_t  word, cost, ahead;

    if (n == 0) {
        return 0;
    }

    cost = ngx_eb_rate_cost(rate, ngx_min(n, NGX_EB_RATE_MAX_BATCH));

    do {
        word = *bucket;
        ahead = (word > now) ? word - now : 0;

        /*
         * Nobody can have taken so much: the clock went back.  It must not
         * hold up events until it has come forward again.
         */

        if (ahead > rate->limit) {
            ahead = 0;
        }

        if (ahead >= rate->depth) {
            return ahead - rate->depth + 1;
        }

    } while (!__sync_bool_compare_and_swap(bucket, word, now + ahead + cost));

    return 0;
}


uint64_t
ngx_eb_rate_convert(const ngx_eb_rate_t *from, uint64_t word,
    const ngx_eb_rate_t *to, uint64_t now)
{
    double    taken;
    uint64_t  ahead;

    ahead = (word > now) ? word - now : 0;

    if (ahead == 0 || ahead > from->limit) {
        return 0;
    }

    /* this need not be exact, but must not overflow */

    taken = (double) ahead
            * ((double) from->events / (double) from->seconds)
            * ((double) to->seconds / (double) to->events);

    return now + (taken < (double) to->limit ? (uint64_t) taken : to->limit);
}
