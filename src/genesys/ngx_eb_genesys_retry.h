
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Whether and when a request to the Genesys Cloud API is sent again, and
 * whether requests are sent at all.
 */


#ifndef _NGX_EB_GENESYS_RETRY_H_INCLUDED_
#define _NGX_EB_GENESYS_RETRY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_genesys.h"


/* the usual cap: what wants a longer wait is reported, not waited for */
#define NGX_EB_GENESYS_RETRY_CAP   180000

/* no wait is longer, nor said to be: 23 days, in 31 bits */
#define NGX_EB_GENESYS_RETRY_LONG  2000000000


typedef struct {
    ngx_uint_t                tries;        /* requests in all */
    ngx_msec_t                base;         /* bound of the first wait */
    ngx_msec_t                cap;          /* of any wait */
    ngx_msec_t                deadline;     /* from the start; 0: none */
} ngx_eb_genesys_retry_policy_t;


/* of one request: zeros, and the start, before it is sent first */

typedef struct {
    ngx_uint_t                attempts;     /* that count as tries */
    ngx_msec_t                started;
    unsigned                  refreshed:1;
} ngx_eb_genesys_retry_t;


/* when and by what chance something is decided */

typedef struct {
    ngx_msec_t                msec;         /* as ngx_current_msec */
    time_t                    sec;          /* as ngx_time() */
    ngx_uint_t                random;       /* as ngx_random() */
} ngx_eb_genesys_moment_t;


typedef enum {
    NGX_EB_GENESYS_RETRY_DONE = 0,      /* the reply is final */
    NGX_EB_GENESYS_RETRY_AGAIN,         /* send again, after the wait */
    NGX_EB_GENESYS_RETRY_REFRESH,       /* send again, with another token */
    NGX_EB_GENESYS_RETRY_GIVE_UP        /* final too, and here is why */
} ngx_eb_genesys_retry_e;


typedef enum {
    NGX_EB_GENESYS_GIVE_UP_NONE = 0,
    NGX_EB_GENESYS_GIVE_UP_TRIES,       /* that was the last one */
    NGX_EB_GENESYS_GIVE_UP_DEADLINE,    /* the next would come too late */
    NGX_EB_GENESYS_GIVE_UP_WAIT,        /* Retry-After is over the cap */
    NGX_EB_GENESYS_GIVE_UP_UNSAFE,      /* it may have had an effect */
    NGX_EB_GENESYS_GIVE_UP_TOKEN        /* a new token is refused as well */
} ngx_eb_genesys_give_up_e;


typedef struct {
    ngx_eb_genesys_retry_e    what;
    ngx_eb_genesys_give_up_e  reason;       /* of giving up */
    ngx_msec_t                wait;         /* before sending again; of giving
                                               up: what Retry-After says */
} ngx_eb_genesys_decision_t;


/*
 * Decides what the reply to a request means for it, and counts the attempt.
 *
 * A 401 is followed by one request with another token, which does not count
 * as a try.  408, 429, 500, 502, 503, 504 and no answer are worth another
 * try; but if the request is not idempotent, only 429 and an answer that is
 * missing since nothing was sent, for the others may have had an effect.  All
 * else is final, and the business of the operation.
 *
 * The wait is what Retry-After says plus up to base, so that those who were
 * told the same do not return together.  Without it, or when it says "now",
 * the wait is random up to base, doubled for each attempt, up to cap.
 */
void ngx_eb_genesys_retry(ngx_eb_genesys_retry_policy_t *policy,
    ngx_eb_genesys_retry_t *state, ngx_eb_genesys_request_t *request,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_moment_t *moment,
    ngx_eb_genesys_decision_t *decision);

/* the same, for who knows that another try makes sense: AGAIN or GIVE_UP */
void ngx_eb_genesys_retry_later(ngx_eb_genesys_retry_policy_t *policy,
    ngx_eb_genesys_retry_t *state, ngx_eb_genesys_reply_t *reply,
    ngx_eb_genesys_moment_t *moment, ngx_eb_genesys_decision_t *decision);


/*
 * A circuit breaker.  It opens after so many failures in a row, a failure
 * being no answer or a 5xx.  After some time one request is let through; its
 * success closes the breaker, its failure keeps it open for as long again.
 *
 * It is made of integers only, and zeros are a closed one: it can live in
 * shared memory, where a lock of the caller's is held around each call.
 */

typedef struct {
    ngx_uint_t                failures;     /* 0: it never opens */
    ngx_msec_t                open;         /* no request for so long */
    ngx_msec_t                trial;        /* the trial is lost if nothing is
                                               heard of it for so long */
} ngx_eb_genesys_breaker_policy_t;


typedef enum {
    NGX_EB_GENESYS_BREAKER_CLOSED = 0,
    NGX_EB_GENESYS_BREAKER_OPEN,
    NGX_EB_GENESYS_BREAKER_HALF_OPEN    /* a trial is under way */
} ngx_eb_genesys_breaker_e;


typedef struct {
    ngx_uint_t                state;        /* ngx_eb_genesys_breaker_e */
    ngx_uint_t                failures;     /* in a row, while it is closed */
    ngx_msec_t                since;        /* of the state, if not closed */
    ngx_uint_t                era;          /* one for each change */
} ngx_eb_genesys_breaker_t;


/*
 * NGX_OK: a request may be sent, and *era is to be told with its result.
 * NGX_BUSY: not before *wait, which is not 0.
 */
ngx_int_t ngx_eb_genesys_breaker_enter(
    ngx_eb_genesys_breaker_policy_t *policy, ngx_eb_genesys_breaker_t *breaker,
    ngx_msec_t now, ngx_uint_t *era, ngx_msec_t *wait);

/*
 * The result of one request, each attempt for itself; NULL: there is none, for
 * it was not sent after all.  Who entered before the breaker changed is late,
 * and does not count.
 */
void ngx_eb_genesys_breaker_leave(ngx_eb_genesys_breaker_policy_t *policy,
    ngx_eb_genesys_breaker_t *breaker, ngx_msec_t now, ngx_uint_t era,
    ngx_eb_genesys_reply_t *reply);


#endif /* _NGX_EB_GENESYS_RETRY_H_INCLUDED_ */
