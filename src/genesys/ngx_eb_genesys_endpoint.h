
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Outbound integrations at the API: validated, and deployed only when each of
 * their endpoints was found to be reachable.  Who probes these is not the
 * operation's business: it is told before its first step.
 */


#ifndef _NGX_EB_GENESYS_ENDPOINT_H_INCLUDED_
#define _NGX_EB_GENESYS_ENDPOINT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_genesys.h"
#include "ngx_eb_genesys_endpoint_doc.h"


#define NGX_EB_GENESYS_ENDPOINTS_PATH  "/api/v2/outbound/integrations"
#define NGX_EB_GENESYS_ENDPOINT_PATH                                         \
    NGX_EB_GENESYS_ENDPOINTS_PATH "/{id}"

/* room for a record, without its end */
#define NGX_EB_GENESYS_RECORD          3600


/* borrowed until the operation ends */

typedef struct {
    ngx_str_t                 list;         /* templates of paths */
    ngx_str_t                 item;         /* with {id} */
    ngx_msec_t              (*clock)(void); /* or NULL */
    unsigned                  dry_run:1;    /* nothing is asked of the API */
} ngx_eb_genesys_endpoint_conf_t;


typedef enum {
    NGX_EB_GENESYS_STATE_INVALID = 0,   /* nothing was looked at */
    NGX_EB_GENESYS_STATE_UNKNOWN,       /* it is being deployed */
    NGX_EB_GENESYS_STATE_UNREACHABLE,   /* an endpoint is */
    NGX_EB_GENESYS_STATE_FAILED,        /* the API did not take it */
    NGX_EB_GENESYS_STATE_VALIDATED,     /* a dry run that went well */
    NGX_EB_GENESYS_STATE_DEPLOYED
} ngx_eb_genesys_state_e;


/* what is known, at any time */

typedef struct {
    ngx_eb_genesys_integration_t   doc;
    ngx_str_t                 id;           /* at the API, or empty */
    ngx_str_t                 error;        /* words for it, or empty */
    ngx_eb_genesys_state_e    state;
    ngx_msec_t                latency;      /* probes included; 0 without a
                                               clock */
    ngx_uint_t                reachable;    /* endpoints */
    unsigned                  valid:1;      /* its endpoints are to be probed
                                               before the first step */
    unsigned                  created:1;
    unsigned                  dry_run:1;
} ngx_eb_genesys_endpoint_t;


/*
 * Sets up op, whose pool and log are set, and borrows what is given.  POST of
 * an integration: answers 201 when it was created, 200 when it exists; 502
 * when an endpoint is not reachable.  NGX_OK, NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_genesys_endpoint_resolve(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_endpoint_conf_t *conf, ngx_str_t *body);

/* lives as long as the pool */
ngx_eb_genesys_endpoint_t *ngx_eb_genesys_endpoint(ngx_eb_genesys_op_t *op);

/* GET: done at the first step, with this body, which is borrowed */
ngx_int_t ngx_eb_genesys_endpoint_list(ngx_eb_genesys_op_t *op,
    ngx_str_t *body);


/* "deployed" */
ngx_str_t *ngx_eb_genesys_state(ngx_eb_genesys_state_e state);

/*
 * The audit record of a resolve, which is what the webhook gets, too: at most
 * NGX_EB_GENESYS_RECORD bytes, without queries of URIs.  previous is the state
 * before, or NULL; time in ms since the epoch.  NGX_OK, NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_genesys_endpoint_record(ngx_pool_t *pool,
    ngx_eb_genesys_endpoint_t *what, ngx_str_t *previous, int64_t time,
    ngx_str_t *record);


/* for ngx_eb_genesys_endpoint.c: [{...},...] of all endpoints as probed */
ngx_int_t ngx_eb_genesys_endpoint_results(ngx_pool_t *pool,
    ngx_eb_genesys_endpoint_t *what, ngx_str_t *text);


#endif /* _NGX_EB_GENESYS_ENDPOINT_H_INCLUDED_ */
