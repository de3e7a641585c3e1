
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The background HTTP client: requests of a worker that no client of nginx
 * waits for on a connection of its own.  libcurl, on nginx's event loop.
 */


#ifndef _NGX_EB_CLIENT_H_INCLUDED_
#define _NGX_EB_CLIENT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


/* under way at a time in one worker; others wait for their turn */
#define NGX_EB_CLIENT_PARALLEL  64
#define NGX_EB_CLIENT_WATCHED   256         /* of those that are watched */


typedef enum {
    NGX_EB_CLIENT_OK = 0,
    NGX_EB_CLIENT_NAME,         /* not looked up */
    NGX_EB_CLIENT_FORBIDDEN,    /* the watch did not want an address */
    NGX_EB_CLIENT_CONNECT,
    NGX_EB_CLIENT_TLS,
    NGX_EB_CLIENT_CLOSED,       /* before or in the answer */
    NGX_EB_CLIENT_LARGE,        /* the answer is */
    NGX_EB_CLIENT_TIMEOUT,
    NGX_EB_CLIENT_ANSWER,       /* it is no HTTP */
    NGX_EB_CLIENT_SELF          /* something is missing in this worker */
} ngx_eb_client_cause_e;


/*
 * Who wants to see a connection being made.  A request with a watch has a
 * connection and a TLS session to itself, neither reused nor kept, and its
 * answer's body is counted and dropped.
 */

typedef struct {
    /*
     * Each address of a name before any is used (connecting is 0), and once
     * more right before a connection to it.  Other than NGX_OK: not this one,
     * and if it is one of a name, none of the others either.
     */
    ngx_int_t               (*address)(void *data, struct sockaddr *sa,
        ngx_uint_t connecting);

    /* what the handshake is going to use, with the options of the client; it
       trusts nobody until here.  NGX_ERROR: no memory */
    ngx_int_t               (*tls)(void *data, SSL_CTX *ctx);

    /* the first line of an answer is there */
    void                    (*answer)(void *data);
} ngx_eb_client_watch_t;


/* valid in the handler only */

typedef struct {
    ngx_uint_t                status;       /* 0: there is no whole answer */
    ngx_str_t                 error;        /* words for it, then */
    ngx_eb_client_cause_e     cause;        /* and their kind */
    ngx_int_t                 lookup;       /* NGX_RESOLVE_..., or 0 */
    ngx_err_t                 err;          /* of connect(), or 0 */
    ngx_uint_t                seen;         /* the status, also of an answer
                                               that is not whole */
    ngx_str_t                 body;
    ngx_str_t                 retry_after;  /* headers' values, or empty */
    ngx_str_t                 etag;
    ngx_str_t                 correlation_id;   /* ININ-Correlation-Id */
    ngx_str_t                 address;      /* of the peer, or empty */
    ngx_msec_t                resolved;     /* since the start; 0: not done */
    ngx_msec_t                connected;
    ngx_msec_t                secured;      /* TLS */
    ngx_msec_t                first_byte;
    ngx_msec_t                total;
    unsigned                  unsent:1;     /* no byte of the request left */
    unsigned                  timed_out:1;
} ngx_eb_client_reply_t;


typedef struct {
    ngx_str_t                 method;
    ngx_str_t                 url;          /* http or https */
    ngx_str_t                *headers;      /* "Name: value" */
    ngx_uint_t                nheaders;
    ngx_str_t                 body;
    ngx_str_t                 trusted_certificate;  /* file, NUL at the end;
                                               empty: those of the system */
    ngx_msec_t                connect_timeout;
    ngx_msec_t                timeout;      /* in all, names included */
    size_t                    max_body;     /* of the answer */
    unsigned                  repeatable:1; /* POST, PATCH: it may come twice,
                                               so kept connections do */
    ngx_resolver_t           *resolver;     /* NULL: that of the system, in a
                                               thread of libcurl */
    ngx_msec_t                resolver_timeout;
    ngx_eb_client_watch_t    *watch;        /* borrowed until the end; NULL:
                                               nobody; called with data */
    void                    (*handler)(void *data,
        ngx_eb_client_reply_t *reply);
    void                     *data;
} ngx_eb_client_request_t;


typedef struct ngx_eb_client_transfer_s  ngx_eb_client_transfer_t;


/*
 * Worker.  Everything is copied, and wiped in the end.  The handler is called
 * once, from the event loop, never from here.  Until then the worker does not
 * end, unless it is terminated.  NULL: logged.
 */
ngx_eb_client_transfer_t *ngx_eb_client_send(
    ngx_eb_client_request_t *request);

/* the handler will not be called */
void ngx_eb_client_cancel(ngx_eb_client_transfer_t *transfer);

/* the file of the certificates that libcurl trusts by itself */
const char *ngx_eb_client_authorities(void);

/* worker, exit_process */
void ngx_eb_client_exit(void);


#endif /* _NGX_EB_CLIENT_H_INCLUDED_ */
