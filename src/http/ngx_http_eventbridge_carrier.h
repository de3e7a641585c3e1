
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Carriers: requests without a client, and the subrequests that they own.
 */


#ifndef _NGX_HTTP_EVENTBRIDGE_CARRIER_H_INCLUDED_
#define _NGX_HTTP_EVENTBRIDGE_CARRIER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* what a carrier shows of whoever caused it; memory is the carrier's owner's */

typedef struct {
    ngx_str_t                 request_id;
    ngx_str_t                 host;
    ngx_str_t                 server;
    ngx_str_t                 scheme;
    ngx_str_t                 addr_text;
    struct sockaddr          *sockaddr;
    socklen_t                 socklen;
    ngx_str_t                 request_line;
    ngx_str_t                 unparsed_uri;
} ngx_http_eventbridge_facts_t;


typedef struct ngx_http_eventbridge_carrier_s  ngx_http_eventbridge_carrier_t;

struct ngx_http_eventbridge_carrier_s {
    ngx_http_eventbridge_facts_t  *facts;
    ngx_str_t                *name;         /* of the location, for logs */
    ngx_pool_t               *pool;         /* outlives the carrier */
    ngx_connection_t         *connection;
    ngx_http_request_t       *request;
    ngx_uint_t                started;      /* subrequests so far */
    ngx_uint_t                running;
    ngx_log_t                 log;
    ngx_http_log_ctx_t        log_ctx;

    /* all its subrequests were cut by worker_shutdown_timeout: they have
       ended, without a word to them */
    void                    (*cut)(ngx_http_eventbridge_carrier_t *carrier);
    void                     *data;
};


/* a subrequest, the first member of what its owner has of it */

typedef struct ngx_http_eventbridge_sub_s  ngx_http_eventbridge_sub_t;

struct ngx_http_eventbridge_sub_s {
    ngx_http_eventbridge_carrier_t  *carrier;   /* while it runs */
    ngx_http_core_loc_conf_t *clcf;         /* where it enters */

    /* the answer's header; inside: nginx itself has not redirected it */
    void                    (*header)(ngx_http_eventbridge_sub_t *sub,
        ngx_http_request_t *r, ngx_uint_t inside);

    /* some of its body, which is gone when this returns */
    void                    (*body)(ngx_http_eventbridge_sub_t *sub,
        ngx_http_request_t *r, ngx_chain_t *in);

    /* may be called more than once, and with a code of any kind */
    void                    (*end)(ngx_http_eventbridge_sub_t *sub,
        ngx_http_request_t *r, ngx_int_t rc);
};


/*
 * All of facts, name and pool are borrowed.  ctx: the server.  NULL: no
 * memory, or no connection.
 */
ngx_http_eventbridge_carrier_t *ngx_http_eventbridge_carrier_create(
    ngx_pool_t *pool, ngx_log_t *log, ngx_http_conf_ctx_t *ctx,
    ngx_http_eventbridge_facts_t *facts, ngx_str_t *name);

/* lets go of a carrier whose subrequests have all ended; from the event loop
   only, never from inside a subrequest */
void ngx_http_eventbridge_carrier_free(
    ngx_http_eventbridge_carrier_t *carrier);

/*
 * A POST to a location, with headers and variables of its own, and without a
 * body.  It begins with ngx_http_eventbridge_sub_run(); one that could not be
 * completed (failed) runs into its end at once.  NGX_OK; NGX_DECLINED: it has
 * failed already; NGX_ERROR: there is none.
 */
ngx_int_t ngx_http_eventbridge_subrequest(
    ngx_http_eventbridge_carrier_t *carrier, ngx_http_eventbridge_sub_t *sub,
    ngx_str_t *uri, ngx_http_request_t **srp);
void ngx_http_eventbridge_sub_run(ngx_http_request_t *sr, ngx_uint_t failed);

/* header and body length of one; value is borrowed.  NULL, NGX_ERROR: no
   memory */
ngx_table_elt_t *ngx_http_eventbridge_header(ngx_http_request_t *r,
    const char *name, ngx_str_t *value);
ngx_int_t ngx_http_eventbridge_sub_length(ngx_http_request_t *sr, off_t len);

/* the one that a request is, or NULL */
ngx_http_eventbridge_sub_t *ngx_http_eventbridge_request_sub(
    ngx_http_request_t *r);

/* the answer's status line, whatever nginx has made of it */
ngx_uint_t ngx_http_eventbridge_sub_status(ngx_http_request_t *r);

/* a header of the answer, or NULL */
ngx_str_t *ngx_http_eventbridge_sub_header(ngx_http_request_t *r,
    const char *name);

ngx_int_t ngx_http_eventbridge_filter_init(ngx_conf_t *cf);


#endif /* _NGX_HTTP_EVENTBRIDGE_CARRIER_H_INCLUDED_ */
