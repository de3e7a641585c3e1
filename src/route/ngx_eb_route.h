
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Routes of one location: conditions in, destinations of each event out.
 */


#ifndef _NGX_EB_ROUTE_H_INCLUDED_
#define _NGX_EB_ROUTE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_event.h"
#include "ngx_eb_regex.h"
#include "ngx_eb_pattern.h"


#define NGX_EB_ROUTE_MAX_DESTINATIONS  64
#define NGX_EB_ROUTE_MAX_ROUTES        65535   /* numbers are 16 bits */


/* metadata.KEY=VALUE */

typedef struct {
    ngx_str_t                 name;
    ngx_str_t                 value;
} ngx_eb_route_metadata_t;


/*
 * A condition that this layer knows nothing of, asked when all others hold:
 * NGX_OK: it holds, NGX_DECLINED, NGX_ERROR: no memory.  pool is that of the
 * batch.
 */
typedef ngx_int_t (*ngx_eb_route_ask_pt)(void *data, ngx_eb_json_t *json,
    ngx_eb_event_t *event, ngx_pool_t *pool);


/* all conditions that are set must hold */

typedef struct {
    ngx_str_t                 name;
    ngx_uint_t                destination;  /* number in its location */
    ngx_eb_regex_t           *source;       /* NULL: any */
    ngx_eb_regex_t           *type;         /* NULL: any */
    ngx_array_t               metadata;     /* ngx_eb_route_metadata_t */
    ngx_eb_pattern_t         *pattern;      /* NULL: any */
    ngx_eb_route_ask_pt       ask;          /* NULL: none */
    void                     *data;         /* of ask */
} ngx_eb_route_t;


/* read-only after configuration; filled by the directive's setter */

typedef struct {
    ngx_array_t               routes;       /* ngx_eb_route_t, in order */
    ngx_eb_pattern_set_t     *patterns;     /* sealed, that of all patterns;
                                               NULL: there are none */
    ngx_uint_t                all;          /* policy: every match */
} ngx_eb_router_t;


/* per worker and router: which routes a (source, type) pair can reach */

typedef struct ngx_eb_route_memo_s  ngx_eb_route_memo_t;


/* one event goes to one destination, by a route: the first that named it */

typedef struct {
    uint32_t                  event;        /* index in the batch */
    uint16_t                  destination;
    uint16_t                  route;
} ngx_eb_route_hit_t;


/*
 * Memory from pool, a bounded amount; ctx is borrowed, for the regexes of
 * patterns.  NULL: no memory.
 */
ngx_eb_route_memo_t *ngx_eb_route_memo_create(ngx_pool_t *pool,
    ngx_eb_router_t *router, ngx_eb_regex_ctx_t *ctx);

/*
 * Routes the batch: appends to hits (array of ngx_eb_route_hit_t, set up by the
 * caller), in the order of events; for one event each destination once, in
 * the order of routes.  Invalid events (event->invalid) have no hit, nor have
 * unmatched ones.  An event for which a regex or a pattern hit a limit counts
 * as not matched by that route, and is counted in *errors, which is set and
 * not added to.
 * NGX_OK; NGX_BUSY: too many of them, routing was given up; NGX_ERROR (no
 * memory).
 */
ngx_int_t ngx_eb_route_batch(ngx_eb_router_t *router,
    ngx_eb_route_memo_t *memo, ngx_eb_regex_ctx_t *ctx,
    ngx_eb_json_t *json, ngx_eb_batch_t *batch, ngx_array_t *hits,
    ngx_uint_t *errors);

/* the first condition of a route that an event does not fulfil */

typedef enum {
    NGX_EB_ROUTE_MATCHES = 0,   /* none: the route takes the event */
    NGX_EB_ROUTE_SOURCE,
    NGX_EB_ROUTE_TYPE,
    NGX_EB_ROUTE_METADATA,
    NGX_EB_ROUTE_PATTERN
} ngx_eb_route_condition_e;


typedef struct {
    ngx_eb_route_condition_e  failed;
    ngx_uint_t                given_up;     /* by a limit */
    ngx_eb_route_metadata_t  *metadata;     /* that failed */
    ngx_eb_json_node_t        node;         /* what the event has instead;
                                               NGX_EB_JSON_NONE: nothing */
    ngx_eb_pattern_miss_t     miss;         /* of the pattern */
} ngx_eb_route_verdict_t;


/*
 * Why a route does not take an event, or that it does, if asked alone; memo
 * is that of its router.  What it asks is for the caller to find out.
 */
void ngx_eb_route_explain(ngx_eb_route_t *route, ngx_eb_route_memo_t *memo,
    ngx_eb_regex_ctx_t *ctx, ngx_eb_json_t *json, ngx_eb_event_t *event,
    ngx_eb_route_verdict_t *verdict);

/* of a memo, for patterns; NULL: its router has none */
ngx_eb_pattern_scratch_t *ngx_eb_route_scratch(ngx_eb_route_memo_t *memo);


#endif /* _NGX_EB_ROUTE_H_INCLUDED_ */
