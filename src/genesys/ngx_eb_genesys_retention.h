
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Retention policies at the API: validated and estimated before anything is
 * sent, changed without touching what is not ours, and read back.
 */


#ifndef _NGX_EB_GENESYS_RETENTION_H_INCLUDED_
#define _NGX_EB_GENESYS_RETENTION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_genesys.h"
#include "ngx_eb_genesys_duration.h"


#define NGX_EB_GENESYS_RETENTION_PATH                                        \
    "/api/v2/eventbridge/retentionpolicies/{id}"

/*
 * operation of the request that writes: whoever sends it keeps a record of
 * the intent first
 */
#define NGX_EB_GENESYS_RETENTION_UPDATE  "retention_update"


/* borrowed until the operation ends */

typedef struct {
    ngx_str_t                  path;        /* template with {id} */

    ngx_eb_genesys_decimal_t   gb;          /* projected volume */
    ngx_eb_genesys_decimal_t   price;       /* USD for a GB and a day */

    ngx_array_t               *tags;        /* ngx_str_t: what a policy must
                                               have to comply; or NULL */

    ngx_uint_t                 conflicts;   /* times that a policy is read
                                               again after one */

    ngx_msec_t                 interval;    /* between two looks at a pending
                                               migration */
    ngx_uint_t                 polls;       /* looks in all, 1 at least */

    ngx_msec_t                *schedule;    /* waits before a change that
                                               failed with 5xx is tried again,
                                               one after the other */
    ngx_uint_t                 nschedule;

    ngx_msec_t               (*clock)(void);    /* or NULL */

    unsigned                   send_cost:1; /* costEstimateUSD in the policy */
} ngx_eb_genesys_retention_conf_t;


/*
 * What is known.  Id, days and cost are from the start on; the rest when the
 * operation is done, however it ended.
 */

typedef struct {
    ngx_str_t                  id;
    ngx_str_t                  status;      /* as the API said last, or empty:
                                               unknown */
    ngx_str_t                  differs;     /* a member that the API did not
                                               keep, or empty */
    ngx_str_t                  cost;        /* JSON number */
    ngx_uint_t                 days;
    ngx_msec_t                 latency;     /* 0 without a clock */
    ngx_uint_t                 puts;        /* sent */
    unsigned                   written:1;   /* one was accepted */
    unsigned                   pending:1;   /* the migration is */
    unsigned                   migrated:1;  /* the migration is over */
    unsigned                   verified:1;  /* read back as it was sent, with
                                               the tags it must have */
} ngx_eb_genesys_retention_t;


/*
 * Each sets up op, whose pool and log are set, and borrows what is given.
 * NGX_OK, NGX_ERROR: no memory.
 */

/* PUT .../{id}: answers 200, or 202 while the migration is pending */
ngx_int_t ngx_eb_genesys_retention_adjust(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_retention_conf_t *conf, ngx_str_t *id, ngx_str_t *body);

/* GET .../{id} */
ngx_int_t ngx_eb_genesys_retention_get(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_retention_conf_t *conf, ngx_str_t *id);

/* POST .../validate: done at the first step, without a request */
ngx_int_t ngx_eb_genesys_retention_validate(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_retention_conf_t *conf, ngx_str_t *body);


/* lives as long as the pool */
ngx_eb_genesys_retention_t *ngx_eb_genesys_retention(ngx_eb_genesys_op_t *op);

/*
 * The audit record of an adjustment, which is what a callback gets, too;
 * time is in ms since the epoch.  Of what, id, cost, latency, migrated and
 * verified count.  NGX_OK, NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_genesys_retention_record(ngx_pool_t *pool,
    ngx_eb_genesys_retention_t *what, int64_t time, ngx_str_t *record);


#endif /* _NGX_EB_GENESYS_RETENTION_H_INCLUDED_ */
