
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Is a destination up?  What probes and deliveries find out makes it up or
 * down; and when it is probed next.  Without clock, locks and memory of its
 * own: the caller has the state in memory that all workers share, and calls
 * with it locked.
 *
 * Times are milliseconds of a clock that all processes share and that is never
 * set; random is any number, which need not be secret.
 */


#ifndef _NGX_EB_HEALTH_H_INCLUDED_
#define _NGX_EB_HEALTH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef enum {
    NGX_EB_HEALTH_UP = 0,
    NGX_EB_HEALTH_DOWN,
    NGX_EB_HEALTH_HALF_OPEN     /* down, and one delivery tries it; only where
                                   there are no probes */
} ngx_eb_health_state_e;


/* read-only; a timeout is never longer than the interval */

typedef struct {
    uint64_t                  interval;     /* between probes, or trials */
    uint64_t                  timeout;      /* of a probe */
    ngx_uint_t                rise;         /* successes in a row: up */
    ngx_uint_t                fall;         /* failures in a row: down */
    ngx_uint_t                probed;       /* 0: deliveries try it */
} ngx_eb_health_conf_t;


/* zeroed memory is a destination that is up and was never heard of */

typedef struct {
    volatile ngx_uint_t       state;        /* may be read without the lock */
    ngx_uint_t                passes;       /* in a row, while it is down */
    ngx_uint_t                fails;        /* in a row, while it is up */
    uint64_t                  changed;      /* when it went up or down */
    uint64_t                  slot;         /* the next one of the schedule */
    uint64_t                  next;         /* the same and its jitter; of a
                                               trial: not before */
    ngx_uint_t                warned;       /* days, of a certificate */
} ngx_eb_health_t;


typedef enum {
    NGX_EB_HEALTH_SAME = 0,
    NGX_EB_HEALTH_WENT_UP,
    NGX_EB_HEALTH_WENT_DOWN
} ngx_eb_health_change_e;


typedef enum {
    NGX_EB_HEALTH_PASS = 0,
    NGX_EB_HEALTH_TRIAL,        /* pass, and it depends on this one */
    NGX_EB_HEALTH_REFUSE
} ngx_eb_health_verdict_e;


/*
 * The first probe of destination number n: within an interval, and none of
 * those of other numbers at nearly the same time, however many there are.
 */
void ngx_eb_health_schedule(ngx_eb_health_t *health,
    const ngx_eb_health_conf_t *conf, ngx_uint_t n, uint64_t now);

/*
 * Is it to be probed now?  Then the schedule goes on to the next slot.  Slots
 * are an interval apart, whatever else happens; a probe is up to a hundredth of
 * it before or behind its slot, so that those of several machines, which
 * may have begun as one, do not stay together.  A slot that was missed by more
 * than half an interval is left out: who makes up for many does it at once.
 */
ngx_uint_t ngx_eb_health_due(ngx_eb_health_t *health,
    const ngx_eb_health_conf_t *conf, uint64_t now, uint32_t random);

/* may a delivery go there?  "take" asks for good: the trial is ours, then */
ngx_eb_health_verdict_e ngx_eb_health_admit(ngx_eb_health_t *health,
    const ngx_eb_health_conf_t *conf, uint64_t now, ngx_uint_t take);

/*
 * A probe or a delivery that began then has ended.  What began before the
 * destination went up says nothing against it: it hung all the time.
 */
ngx_eb_health_change_e ngx_eb_health_result(ngx_eb_health_t *health,
    const ngx_eb_health_conf_t *conf, uint64_t began, uint64_t now,
    uint32_t random, ngx_uint_t ok);

/*
 * Seconds, 1 at least, after which a sender that was refused should come
 * back: when the destination can be up, by the schedule, and a little later,
 * not all of them at once.
 */
ngx_uint_t ngx_eb_health_retry_after(const ngx_eb_health_t *health,
    const ngx_eb_health_conf_t *conf, uint64_t now, uint32_t random);

/*
 * A certificate is valid for that many whole days more.  30, 14, 7, 3 or 1:
 * so few are left for the first time, which is to be said; 0: nothing is.
 * It begins anew with a certificate for more than 30 days; different ones of
 * several servers behind one name count as one, the shortest.
 */
ngx_uint_t ngx_eb_health_certificate(ngx_eb_health_t *health,
    ngx_int_t days);

/* "up", "down", "half_open" */
const char *ngx_eb_health_name(ngx_uint_t state);


#endif /* _NGX_EB_HEALTH_H_INCLUDED_ */
