
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What a probe sees of a TLS handshake.  Private to it.
 */


#ifndef _NGX_EB_PROBE_TLS_H_INCLUDED_
#define _NGX_EB_PROBE_TLS_H_INCLUDED_


#include "ngx_eb_probe.h"


/* of a text from a certificate; what is over is left out */
#define NGX_EB_PROBE_NAME   128
#define NGX_EB_PROBE_NAMES  256


typedef struct {
    u_char                    data[NGX_EB_PROBE_NAMES];
    size_t                    len;
} ngx_eb_probe_text_t;


/* of one probe, zeroed before */

typedef struct {
    SSL_CTX                  *ctx;          /* a reference, or NULL */

    ngx_msec_t                begun;        /* ngx_eb_probe_clock() */
    ngx_msec_t                finished;

    ngx_eb_probe_text_t       version;
    ngx_eb_probe_text_t       cipher;
    ngx_eb_probe_text_t       alpn;
    ngx_eb_probe_text_t       subject;
    ngx_eb_probe_text_t       issuer;
    ngx_eb_probe_text_t       names;
    time_t                    not_before;
    time_t                    not_after;

    int                       error;        /* X509_V_ERR_..., the first */
    int                       depth;        /* of the certificate at fault */
    ngx_eb_probe_text_t       fault;        /* its subject */
    ngx_eb_probe_text_t       unknown;      /* its issuer */
    time_t                    fault_before;
    time_t                    fault_after;

    int                       alert;        /* fatal, sent by either side, or
                                               -1 */
    unsigned                  started:1;
    unsigned                  done:1;       /* but for the host's name */
    unsigned                  certificate:1;
    unsigned                  file:1;       /* it is not the system's */
} ngx_eb_probe_tls_t;


/*
 * Lets tls see what becomes of the connections of ctx, and gives them those
 * who are trusted, who are ready.  NGX_ERROR: no memory.  tls lives until it is
 * detached.
 */
ngx_int_t ngx_eb_probe_tls_attach(ngx_eb_probe_tls_t *tls, SSL_CTX *ctx,
    ngx_str_t *trusted);
void ngx_eb_probe_tls_detach(ngx_eb_probe_tls_t *tls);

/*
 * Why a handshake failed, and that in words.  said: what libcurl says about
 * it.  The words end before last; their end is returned in it.
 */
ngx_eb_probe_class_e ngx_eb_probe_tls_error(ngx_eb_probe_tls_t *tls,
    ngx_str_t *host, ngx_str_t *said, time_t now, u_char *words,
    u_char **last);

/* an alert that came after the handshake, in words, or NULL */
const char *ngx_eb_probe_tls_alert(ngx_eb_probe_tls_t *tls);


/*
 * Those who are trusted: in the file, NUL after its end, or, if that is empty,
 * of the system.  NGX_AGAIN: to be called again in another turn of the event
 * loop, the certificates are being read; NGX_ERROR: they cannot be, logged.
 */
ngx_int_t ngx_eb_probe_store_ready(ngx_str_t *trusted);

/* owned here; NULL: not ready */
X509_STORE *ngx_eb_probe_store(ngx_str_t *trusted);

/* worker, at its end */
void ngx_eb_probe_store_exit(void);

/* ms, of a clock that nobody sets, now */
ngx_msec_t ngx_eb_probe_clock(void);


#endif /* _NGX_EB_PROBE_TLS_H_INCLUDED_ */
