
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Whether and when a request to the Genesys Cloud API is sent again.
 *
 * Every wait is at most NGX_EB_GENESYS_RETRY_LONG, in 31 bits, and sums of
 * two are made in 64: there is nothing to overflow.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_time.h"
#include "ngx_eb_genesys.h"
#include "ngx_eb_genesys_retry.h"


/* of a body: the message comes first, or it is none of Genesys Cloud's */
#define NGX_EB_GENESYS_RETRY_BODY   4096


static ngx_msec_t ngx_eb_genesys_retry_after(ngx_eb_genesys_reply_t *reply,
    time_t now);
static ngx_msec_t ngx_eb_genesys_retry_body(ngx_str_t *body);
static ngx_msec_t ngx_eb_genesys_retry_seconds(uint64_t sec);
static ngx_msec_t ngx_eb_genesys_retry_backoff(
    ngx_eb_genesys_retry_policy_t *policy, ngx_uint_t attempts,
    ngx_uint_t random);
static void ngx_eb_genesys_breaker_set(ngx_eb_genesys_breaker_t *breaker,
    ngx_uint_t state, ngx_msec_t since);


void
ngx_eb_genesys_retry(ngx_eb_genesys_retry_policy_t *policy,
    ngx_eb_genesys_retry_t *state, ngx_eb_genesys_request_t *request,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_moment_t *moment,
    ngx_eb_genesys_decision_t *decision)
{
    ngx_msec_t  elapsed;

    ngx_memzero(decision, sizeof(ngx_eb_genesys_decision_t));

    switch (reply->status) {

    case 401:

        if (state->refreshed) {
            decision->what = NGX_EB_GENESYS_RETRY_GIVE_UP;
            decision->reason = NGX_EB_GENESYS_GIVE_UP_TOKEN;
            return;
        }

        elapsed = moment->msec - state->started;

        if (policy->deadline && elapsed >= policy->deadline) {
            decision->what = NGX_EB_GENESYS_RETRY_GIVE_UP;
            decision->reason = NGX_EB_GENESYS_GIVE_UP_DEADLINE;
            return;
        }

        /* it is not the API that failed: the same try goes on */

        state->refreshed = 1;
        decision->what = NGX_EB_GENESYS_RETRY_REFRESH;
        return;

    case 429:

        /* so it was not even looked at */
        break;

    case 0:

        if (reply->unsent) {
            break;
        }

        /* fall through */

    case 408:
    case 500:
    case 502:
    case 503:
    case 504:

        if (request->idempotent) {
            break;
        }

        state->attempts++;

        decision->what = NGX_EB_GENESYS_RETRY_GIVE_UP;
        decision->reason = NGX_EB_GENESYS_GIVE_UP_UNSAFE;
        decision->wait = ngx_eb_genesys_retry_after(reply, moment->sec);
        return;

    default:
        state->attempts++;
        decision->what = NGX_EB_GENESYS_RETRY_DONE;
        return;
    }

    ngx_eb_genesys_retry_later(policy, state, reply, moment, decision);
}


void
ngx_eb_genesys_retry_later(ngx_eb_genesys_retry_policy_t *policy,
    ngx_eb_genesys_retry_t *state, ngx_eb_genesys_reply_t *reply,
    ngx_eb_genesys_moment_t *moment, ngx_eb_genesys_decision_t *decision)
{
    uint64_t    wait;
    ngx_msec_t  after, elapsed;

    after = ngx_eb_genesys_retry_after(reply, moment->sec);

    state->attempts++;

    decision->what = NGX_EB_GENESYS_RETRY_GIVE_UP;
    decision->wait = after;

    if (state->attempts >= policy->tries) {
        decision->reason = NGX_EB_GENESYS_GIVE_UP_TRIES;
        return;
    }

    if (after > policy->cap || after == NGX_EB_GENESYS_RETRY_LONG) {
        decision->reason = NGX_EB_GENESYS_GIVE_UP_WAIT;
        return;
    }

    if (after) {
        wait = (uint64_t) after
               + ngx_eb_genesys_retry_backoff(policy, 1, moment->random);

    } else {
        wait = ngx_eb_genesys_retry_backoff(policy, state->attempts,
                                            moment->random);
    }

    elapsed = moment->msec - state->started;

    if (policy->deadline
        && (elapsed >= policy->deadline
            || wait >= policy->deadline - elapsed))
    {
        decision->reason = NGX_EB_GENESYS_GIVE_UP_DEADLINE;
        return;
    }

    decision->what = NGX_EB_GENESYS_RETRY_AGAIN;
    decision->reason = NGX_EB_GENESYS_GIVE_UP_NONE;
    decision->wait = (ngx_msec_t) ngx_min(wait, NGX_EB_GENESYS_RETRY_LONG);
}


/* 0: nothing is said, or nothing that is to be waited for */

static ngx_msec_t
ngx_eb_genesys_retry_after(ngx_eb_genesys_reply_t *reply, time_t now)
{
    time_t  sec;

    sec = ngx_eb_time_retry_after(&reply->retry_after, now);

    if (sec != (time_t) NGX_ERROR) {
        return ngx_eb_genesys_retry_seconds(sec);
    }

    return (reply->status == 429) ? ngx_eb_genesys_retry_body(&reply->body)
                                  : 0;
}


/*
 * "Retry the request in [42] seconds".  The unit is looked for as well, since
 * an older text has the number of requests that are allowed in front of it,
 * also in brackets.
 */

static ngx_msec_t
ngx_eb_genesys_retry_body(ngx_str_t *body)
{
    u_char    *p, *last, *digits;
    uint64_t   sec;

    static char  unit[] = "] second";

    p = body->data;
    last = p + ngx_min(body->len, NGX_EB_GENESYS_RETRY_BODY);

    while (p < last) {

        if (*p++ != '[') {
            continue;
        }

        digits = p;

        for (sec = 0; p < last && *p >= '0' && *p <= '9'; p++) {

            if (sec < NGX_EB_GENESYS_RETRY_LONG) {
                sec = sec * 10 + (*p - '0');
            }
        }

        if (p > digits
            && (size_t) (last - p) >= sizeof(unit) - 1
            && ngx_strncmp(p, unit, sizeof(unit) - 1) == 0)
        {
            return ngx_eb_genesys_retry_seconds(sec);
        }
    }

    return 0;
}


static ngx_msec_t
ngx_eb_genesys_retry_seconds(uint64_t sec)
{
    return (sec < NGX_EB_GENESYS_RETRY_LONG / 1000)
           ? (ngx_msec_t) sec * 1000 : NGX_EB_GENESYS_RETRY_LONG;
}


static ngx_msec_t
ngx_eb_genesys_retry_backoff(ngx_eb_genesys_retry_policy_t *policy,
    ngx_uint_t attempts, ngx_uint_t random)
{
    uint64_t  window, limit;

    limit = ngx_min(policy->cap, NGX_EB_GENESYS_RETRY_LONG);
    window = ngx_min(policy->base, limit);

    /* stops by the limit, or at once for 0, however many there were */

    while (--attempts && window && window < limit) {
        window *= 2;
    }

    window = ngx_min(window, limit);

    return (ngx_msec_t) (random % (window + 1));
}


ngx_int_t
ngx_eb_genesys_breaker_enter(ngx_eb_genesys_breaker_policy_t *policy,
    ngx_eb_genesys_breaker_t *breaker, ngx_msec_t now, ngx_uint_t *era,
    ngx_msec_t *wait)
{
    ngx_msec_t  elapsed, limit;

    *wait = 0;

    if (policy->failures == 0) {

        /* switched off, perhaps by a reload and while it was open */

        if (breaker->state != NGX_EB_GENESYS_BREAKER_CLOSED) {
            ngx_eb_genesys_breaker_set(breaker, NGX_EB_GENESYS_BREAKER_CLOSED,
                                       now);
        }
    }

    if (breaker->state != NGX_EB_GENESYS_BREAKER_CLOSED) {

        limit = (breaker->state == NGX_EB_GENESYS_BREAKER_OPEN)
                ? policy->open : policy->trial;

        /* a time in the future is some 2^63 ago: nobody waits for that */

        elapsed = now - breaker->since;

        if (elapsed < limit) {
            *wait = limit - elapsed;
            return NGX_BUSY;
        }

        ngx_eb_genesys_breaker_set(breaker, NGX_EB_GENESYS_BREAKER_HALF_OPEN,
                                   now);
    }

    *era = breaker->era;

    return NGX_OK;
}


void
ngx_eb_genesys_breaker_leave(ngx_eb_genesys_breaker_policy_t *policy,
    ngx_eb_genesys_breaker_t *breaker, ngx_msec_t now, ngx_uint_t era,
    ngx_eb_genesys_reply_t *reply)
{
    ngx_uint_t  failed;

    if (era != breaker->era || policy->failures == 0) {
        return;
    }

    if (reply == NULL) {

        /* the next one may try instead, at once */

        if (breaker->state == NGX_EB_GENESYS_BREAKER_HALF_OPEN) {
            ngx_eb_genesys_breaker_set(breaker, NGX_EB_GENESYS_BREAKER_OPEN,
                                       now - policy->open);
        }

        return;
    }

    failed = (reply->status == 0 || reply->status >= 500);

    if (breaker->state == NGX_EB_GENESYS_BREAKER_HALF_OPEN) {
        ngx_eb_genesys_breaker_set(breaker,
                                   failed ? NGX_EB_GENESYS_BREAKER_OPEN
                                          : NGX_EB_GENESYS_BREAKER_CLOSED,
                                   now);
        return;
    }

    if (!failed) {
        breaker->failures = 0;
        return;
    }

    if (++breaker->failures >= policy->failures) {
        ngx_eb_genesys_breaker_set(breaker, NGX_EB_GENESYS_BREAKER_OPEN, now);
    }
}


static void
ngx_eb_genesys_breaker_set(ngx_eb_genesys_breaker_t *breaker,
    ngx_uint_t state, ngx_msec_t since)
{
    breaker->state = state;
    breaker->since = since;
    breaker->failures = 0;
    breaker->era++;
}
