
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * A bucket of events that fills at a steady rate, and may be in debt.
 */


#ifndef _NGX_EB_RATE_H_INCLUDED_
#define _NGX_EB_RATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* the largest rate, in events, and the largest burst */
#define NGX_EB_RATE_MAX        1000000000

/* the largest batch that is charged in full; eventbridge_max_events' bound */
#define NGX_EB_RATE_MAX_BATCH  1000000


/* read-only once it is made */

typedef struct {
    uint64_t                  events;       /* so many */
    uint64_t                  seconds;      /* in so many seconds: 1 or 60 */
    uint64_t                  burst;        /* what a full bucket holds */
    uint64_t                  depth;        /* the same in nanoseconds */
    uint64_t                  limit;        /* no bucket is ever lower */
} ngx_eb_rate_t;


/*
 * The bucket itself is one word: the time, in nanoseconds of a clock that all
 * its users share, at which it will be full.  0: it is full.
 */
typedef volatile uint64_t  ngx_eb_rate_bucket_t;


/* events and burst: 1 to NGX_EB_RATE_MAX */
void ngx_eb_rate_init(ngx_eb_rate_t *rate, uint64_t events, uint64_t seconds,
    uint64_t burst);

/* how long n events take at this rate, in nanoseconds, rounded up */
uint64_t ngx_eb_rate_cost(const ngx_eb_rate_t *rate, uint64_t n);

/*
 * Takes n events out of a bucket in which there is something, however little:
 * then 0.  Otherwise nothing is taken, and the return value is the number of
 * nanoseconds after which there will be something.  Any number of processes
 * may do this at once.
 */
uint64_t ngx_eb_rate_take(const ngx_eb_rate_t *rate,
    ngx_eb_rate_bucket_t *bucket, uint64_t now, uint64_t n);

/*
 * The word of a bucket with another rate from which as many events have been
 * taken.
 */
uint64_t ngx_eb_rate_convert(const ngx_eb_rate_t *from, uint64_t word,
    const ngx_eb_rate_t *to, uint64_t now);


#endif /* _NGX_EB_RATE_H_INCLUDED_ */
