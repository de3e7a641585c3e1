
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Calls of the Genesys Cloud API without any I/O: an operation says which
 * request is to be sent, is told the reply, and says what is next, until it
 * has an answer.  Who sends is not its business: a control request sends
 * subrequests, a job of a worker uses the background HTTP client.
 */


#ifndef _NGX_EB_GENESYS_H_INCLUDED_
#define _NGX_EB_GENESYS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* of a reply that is read */
#define NGX_EB_GENESYS_MAX_BODY  (4 * 1024 * 1024)


/* memory is the operation's pool unless said otherwise */

typedef struct {
    ngx_str_t                 operation;    /* label of metrics: a constant
                                               such as "subscription_create" */
    ngx_str_t                 method;
    ngx_str_t                 uri;          /* path and query, encoded */
    ngx_str_t                 body;         /* JSON, or empty */
    ngx_str_t                 if_match;     /* header's value, or empty */
    ngx_msec_t                delay;        /* wait so long before sending */
    unsigned                  idempotent:1; /* may be sent again blindly */
} ngx_eb_genesys_request_t;


typedef struct {
    ngx_uint_t                status;       /* 0: there was no whole answer */
    ngx_str_t                 error;        /* words for it, then */
    ngx_str_t                 body;
    ngx_str_t                 retry_after;  /* headers' values, or empty */
    ngx_str_t                 correlation_id;
    ngx_str_t                 etag;
    ngx_msec_t                wait;         /* of a final one: before that it
                                               is of no use to send again; 0:
                                               unknown */
    unsigned                  unsent:1;     /* no byte of the request left */
    unsigned                  timed_out:1;  /* status is 0 for this reason */
    unsigned                  held:1;       /* or this: the circuit breaker is
                                               open */
    unsigned                  late:1;       /* the wait is over the cap, or
                                               over the operation's time */
} ngx_eb_genesys_reply_t;


/* what a caller of a control handler gets, and what the audit log tells */

typedef struct {
    ngx_uint_t                status;       /* 2xx, or that of a problem */
    ngx_str_t                 body;         /* JSON; for status >= 400
                                               application/problem+json */
    ngx_msec_t                retry_after;  /* 0: no such header */
    ngx_str_t                 correlation_id;   /* of the last reply */
    ngx_uint_t                api_status;   /* of the last reply, or 0 */
    ngx_str_t                 action;       /* constant for the audit log, as
                                               "subscription_created" */
    ngx_str_t                 id;           /* of the thing at the API */
    unsigned                  changed:1;    /* something was written */
} ngx_eb_genesys_answer_t;


typedef struct ngx_eb_genesys_op_s  ngx_eb_genesys_op_t;

/*
 * reply is NULL the first time.  It is final: what could be tried again has
 * been, by the retry engine.  NGX_AGAIN: *request is to be sent; NGX_DONE:
 * op->answer says how it ended; NGX_ERROR: no memory.
 */
typedef ngx_int_t (*ngx_eb_genesys_step_pt)(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request);


struct ngx_eb_genesys_op_s {
    ngx_eb_genesys_step_pt    step;
    void                     *data;         /* of the operation */
    ngx_pool_t               *pool;
    ngx_log_t                *log;
    ngx_eb_genesys_answer_t   answer;
};


#endif /* _NGX_EB_GENESYS_H_INCLUDED_ */
