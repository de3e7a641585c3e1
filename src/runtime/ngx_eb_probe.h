
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * A probe: is an endpoint reachable, trusted and healthy?  Its name is looked
 * up, a connection is made, TLS is spoken, and a request is answered.  Each
 * phase has its time and its error, in words.
 *
 * Nothing is reused from an earlier connection, nor kept for a later one; no
 * redirect is followed; the body is read to its end, counted and dropped.
 */


#ifndef _NGX_EB_PROBE_H_INCLUDED_
#define _NGX_EB_PROBE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_eb_out.h"


/* of the result; what is over is left out */
#define NGX_EB_PROBE_ADDRESSES  16
#define NGX_EB_PROBE_WORDS      512

/* of an answer, unless the spec has another limit, bytes */
#define NGX_EB_PROBE_BODY       (1024 * 1024)


typedef enum {
    NGX_EB_PROBE_URL = 0,       /* nothing was sent anywhere */
    NGX_EB_PROBE_DNS,
    NGX_EB_PROBE_TCP,
    NGX_EB_PROBE_TLS,
    NGX_EB_PROBE_HTTP,
    NGX_EB_PROBE_PHASES
} ngx_eb_probe_phase_e;


typedef enum {
    NGX_EB_PROBE_OK = 0,

    /* url */
    NGX_EB_PROBE_BAD_URL,       /* it is none, or may not be probed */

    /* dns; of an address in the URL, too */
    NGX_EB_PROBE_FORBIDDEN,     /* the address may not be probed */
    NGX_EB_PROBE_NO_NAME,       /* NXDOMAIN, or it has no address */
    NGX_EB_PROBE_DNS_TIMEOUT,
    NGX_EB_PROBE_DNS_FAILED,

    /* tcp */
    NGX_EB_PROBE_CONNECT_REFUSED,
    NGX_EB_PROBE_CONNECT_TIMEOUT,
    NGX_EB_PROBE_CONNECT_FAILED,

    /* tls */
    NGX_EB_PROBE_TLS_TIMEOUT,
    NGX_EB_PROBE_TLS_CLOSED,    /* reset, or closed, in the handshake */
    NGX_EB_PROBE_TLS_VERSION,   /* nothing from TLS 1.2 on */
    NGX_EB_PROBE_TLS_NAME,      /* it has no certificate for this name */
    NGX_EB_PROBE_TLS_FAILED,
    NGX_EB_PROBE_EXPIRED,
    NGX_EB_PROBE_NOT_YET_VALID,
    NGX_EB_PROBE_WRONG_HOST,
    NGX_EB_PROBE_SELF_SIGNED,
    NGX_EB_PROBE_CHAIN,         /* incomplete */
    NGX_EB_PROBE_AUTHORITY,     /* not trusted */
    NGX_EB_PROBE_CERTIFICATE,   /* anything else that is wrong with it */

    /* http */
    NGX_EB_PROBE_HTTP_TIMEOUT,
    NGX_EB_PROBE_HTTP_CLOSED,
    NGX_EB_PROBE_HTTP_FAILED,   /* that was no HTTP */
    NGX_EB_PROBE_REDIRECT,      /* 3xx, and it is not expected */
    NGX_EB_PROBE_STATUS,        /* not an expected one */
    NGX_EB_PROBE_BODY_LARGE,

    /* any: the endpoint is not to blame, nothing is known about it */
    NGX_EB_PROBE_INTERNAL
} ngx_eb_probe_class_e;


typedef struct {
    ngx_uint_t                from;
    ngx_uint_t                to;           /* included */
} ngx_eb_probe_range_t;


/* valid in the handler only */

typedef struct {
    ngx_eb_probe_phase_e      phase;        /* the last that was begun: on an
                                               error the one that failed */
    ngx_eb_probe_class_e      error;        /* NGX_EB_PROBE_OK: healthy */
    ngx_str_t                 words;        /* of the error, printable; empty:
                                               there is none */

    /* ms of each phase that was begun, [NGX_EB_PROBE_HTTP]: to the first byte
       of the answer */
    ngx_msec_t                msec[NGX_EB_PROBE_PHASES];
    ngx_msec_t                total;

    ngx_uint_t                status;       /* 0: none */

    ngx_str_t                *addresses;    /* that the name has */
    ngx_uint_t                naddresses;
    ngx_str_t                 address;      /* connected to, or empty */

    ngx_str_t                 tls_version;  /* "TLSv1.3", or empty */
    ngx_str_t                 cipher;
    ngx_str_t                 alpn;         /* "h2", or empty: none */

    /* of the server's certificate, also of one that is not valid */
    ngx_str_t                 subject;      /* common name, or empty */
    ngx_str_t                 issuer;       /* "O, CN" of it */
    ngx_str_t                 names;        /* "a, b": DNS names, addresses */
    time_t                    not_before;
    time_t                    not_after;
    ngx_int_t                 days_left;    /* whole ones; < 0: it expired so
                                               many days ago, or today (-1) */
    unsigned                  certificate:1;    /* there was one */
} ngx_eb_probe_result_t;


/* the caller's until ngx_eb_probe_start() returns, which copies it, except
   for what is said to be borrowed */

typedef struct {
    ngx_str_t                 url;
    ngx_str_t                 method;       /* a token; empty: "GET" */
    ngx_str_t                 path;         /* with "/" and maybe arguments,
                                               instead of those of the URL;
                                               empty: those of the URL */
    ngx_str_t                *headers;      /* "Name: value", none for a URL
                                               from a request */
    ngx_uint_t                nheaders;

    ngx_eb_probe_range_t     *expect;       /* borrowed */
    ngx_uint_t                nexpect;      /* 0: 200-299 and 400-499, that is
                                               what is no redirect and below
                                               500 */

    ngx_msec_t                timeout;      /* of all, ms, > 0 */
    size_t                    max_body;     /* 0: NGX_EB_PROBE_BODY */

    ngx_str_t                 trusted_certificate;  /* file, NUL after its end;
                                               empty: those of the system */
    ngx_resolver_t           *resolver;     /* borrowed; NULL: that of the
                                               system, in a thread */

    ngx_array_t              *allow;        /* of ngx_cidr_t, borrowed, or
                                               NULL: special addresses that
                                               may be probed all the same */

    /*
     * The URL came in a request: https only, special addresses only if they
     * are in "allow".  Otherwise the administrator has written it, which is
     * his permission.
     */
    unsigned                  from_request:1;

    /* valid in it only: the result; called once */
    void                    (*handler)(void *data,
        ngx_eb_probe_result_t *result);
    void                     *data;
} ngx_eb_probe_spec_t;


typedef struct ngx_eb_probe_s  ngx_eb_probe_t;


/*
 * Worker.  The handler is called once, from the event loop, never from here,
 * and not later than the timeout says; what is wrong with the spec is told to
 * it as well.  NULL: no memory, and the handler will not be called.
 * The log never has the arguments of a URL.
 */
ngx_eb_probe_t *ngx_eb_probe_start(ngx_eb_probe_spec_t *spec);

/* the handler will not be called; not in or after the handler */
void ngx_eb_probe_cancel(ngx_eb_probe_t *probe);

/* worker, exit_process, before ngx_eb_client_exit(); as if each was canceled */
void ngx_eb_probe_exit(void);

/*
 * Configuration.  A resolver with the same name servers, but with its own
 * names, and that turns to the next server after one second rather than five:
 * probes have no time for more.  NULL: there is none, or no memory.
 */
ngx_resolver_t *ngx_eb_probe_resolver(ngx_conf_t *cf,
    ngx_resolver_t *resolver);

/* "dns"; "certificate_expired": stable, for metrics, logs and JSON */
const char *ngx_eb_probe_phase(ngx_eb_probe_phase_e phase);
const char *ngx_eb_probe_class(ngx_eb_probe_class_e error);

/*
 * The result as a JSON object: {"ok":..,"phase":..,"error":..,"message":..,
 * "status":..,"latency_ms":{"dns":..,"tcp":..,"tls":..,"http":..,"total":..},
 * "addresses":[..],"address":..,"tls":{"version":..,"cipher":..,"alpn":..,
 * "subject":..,"issuer":..,"names":..,"not_before":..,"not_after":..,
 * "days_left":..}}; what is not known is left out.  At most
 * NGX_EB_PROBE_JSON bytes.
 */
#define NGX_EB_PROBE_JSON  8192

void ngx_eb_probe_json(ngx_eb_out_t *out, ngx_eb_probe_result_t *result);


#endif /* _NGX_EB_PROBE_H_INCLUDED_ */
