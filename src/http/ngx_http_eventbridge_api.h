
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * An operation and its requests, as the parts that drive them share them.
 * Private to these.
 */


#ifndef _NGX_HTTP_EVENTBRIDGE_API_H_INCLUDED_
#define _NGX_HTTP_EVENTBRIDGE_API_H_INCLUDED_


#include "ngx_http_eventbridge_genesys.h"
#include "ngx_eb_client.h"


/* who sends one request */

typedef struct {
    ngx_http_eventbridge_sub_t        sub;      /* the first, see there */
    ngx_http_eventbridge_api_t       *api;
    ngx_http_eventbridge_carrier_t   *carrier;
    ngx_eb_client_transfer_t         *transfer; /* of a job, while it runs */
    ngx_eb_genesys_reply_t            reply;
    size_t                            room;     /* of reply.body */
    unsigned                          headed:1;
    unsigned                          large:1;
    unsigned                          whole:1;  /* the body has ended */
    unsigned                          done:1;
    unsigned                          seen:1;
    unsigned                          local:1;  /* its failure tells nothing
                                                   of the API */
} ngx_http_eventbridge_call_t;


struct ngx_http_eventbridge_api_s {
    /* debug builds take a timer's data for a connection and log its fd */
    void                             *unused[3];
    ngx_socket_t                      fd;

    ngx_pool_t                       *pool;
    ngx_log_t                        *log;
    ngx_eb_stats_t                   *stats;
    ngx_http_eventbridge_org_t       *org;
    ngx_http_eventbridge_control_t   *control;  /* NULL: of a job */
    ngx_http_eventbridge_facts_t      facts;

    ngx_eb_genesys_op_t               op;
    ngx_eb_genesys_request_t          request;
    ngx_eb_genesys_retry_policy_t     policy;
    ngx_eb_genesys_retry_t            retry;
    ngx_http_eventbridge_bearer_t     bearer;
    ngx_str_t                         authorization;
    ngx_uint_t                        era;      /* of the circuit breaker */
    ngx_http_eventbridge_call_t      *call;     /* that runs, or has ended */
    ngx_http_eventbridge_carrier_t   *keeper;   /* hears of the worker's end
                                                   while no call does */

    ngx_event_t                       wake;     /* posted: look at it */
    ngx_event_t                       timer;    /* a delay, or a deadline */
    ngx_msec_t                        start;
    ngx_msec_t                        sent;

    void                            (*done)(ngx_http_eventbridge_api_t *api,
        void *data, ngx_int_t rc);
    void                             *data;
    ngx_int_t                       (*before)(void *data,
        ngx_eb_genesys_request_t *request);

    unsigned                          cut:1;    /* by the worker's end */
    unsigned                          entered:1;    /* the breaker waits for
                                                       a result */
};


/* of the time that the operation may take */
ngx_msec_t ngx_http_eventbridge_api_left(ngx_http_eventbridge_api_t *api);

/*
 * ngx_http_eventbridge_call.c: sends api->request.  NGX_OK: call->done will be
 * set, and api->wake posted; NGX_ERROR: it could not be sent.
 */
ngx_int_t ngx_http_eventbridge_call_start(ngx_http_eventbridge_call_t *call);

/* ends it, if it runs; from the event loop only */
void ngx_http_eventbridge_call_free(ngx_http_eventbridge_call_t *call);


#endif /* _NGX_HTTP_EVENTBRIDGE_API_H_INCLUDED_ */
