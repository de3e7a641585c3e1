
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * AWS Signature Version 4: requests that are signed by us, and signatures of
 * others that are checked.  "Signature Version 4 signing process" in the AWS
 * IAM user guide, for services that encode the path twice, that is all but S3.
 */


#ifndef _NGX_EB_SIGV4_H_INCLUDED_
#define _NGX_EB_SIGV4_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* SHA-256: as bytes and as digits */
#define NGX_EB_SIGV4_SHA       32
#define NGX_EB_SIGV4_HEX       64

/* 20150830T123600Z */
#define NGX_EB_SIGV4_STAMP     16

/* seconds that the time of a request may differ from ours, both ways */
#define NGX_EB_SIGV4_WINDOW    300

/* more signed headers, or parameters in a query, are refused */
#define NGX_EB_SIGV4_HEADERS   64
#define NGX_EB_SIGV4_ARGS      64

/* longest access key id, region and service */
#define NGX_EB_SIGV4_KEY_ID    128
#define NGX_EB_SIGV4_NAME      64


/*
 * A request as it is on the wire: path and query as in its first line, so
 * percent-encoded once; without "?"; an empty path is "/".  Names of headers
 * in any case; several of one name are one, in their order.
 */

typedef struct {
    ngx_str_t                 method;
    ngx_str_t                 path;
    ngx_str_t                 query;
    ngx_keyval_t             *headers;
    ngx_uint_t                nheaders;
    ngx_str_t                 body;
} ngx_eb_sigv4_request_t;


/* whose signature, and where it is valid */

typedef struct {
    ngx_str_t                 key_id;
    ngx_str_t                 secret;
    ngx_str_t                 token;        /* of a session, or empty */
    ngx_str_t                 region;
    ngx_str_t                 service;
} ngx_eb_sigv4_keys_t;


typedef enum {
    NGX_EB_SIGV4_OK = 0,
    NGX_EB_SIGV4_MISSING,       /* no Authorization of this scheme */
    NGX_EB_SIGV4_REPEATED,      /* a header twice that may be there once */
    NGX_EB_SIGV4_MALFORMED,     /* it cannot be a signature, or is none of all
                                   that has to be signed, or is for another
                                   service */
    NGX_EB_SIGV4_EXPIRED,       /* out of the window, one way or the other */
    NGX_EB_SIGV4_WRONG,         /* of another body */
    NGX_EB_SIGV4_NOMEM          /* or the crypto library failed */
} ngx_eb_sigv4_e;


/* what Authorization says, as slices of it */

typedef struct {
    ngx_str_t                 key_id;
    ngx_str_t                 scope;        /* DATE/REGION/SERVICE/... */
    ngx_str_t                 date;         /* YYYYMMDD */
    ngx_str_t                 region;
    ngx_str_t                 service;
    ngx_str_t                 headers;      /* NAME;NAME */
    u_char                    signature[NGX_EB_SIGV4_SHA];
} ngx_eb_sigv4_auth_t;


/* a signature that may be right: its secret is what is left to try */

typedef struct {
    ngx_eb_sigv4_auth_t       auth;
    ngx_str_t                 string;       /* to sign; from pool */
} ngx_eb_sigv4_t;


/*
 * Signs: adds Host (if it has one), X-Amz-Date, X-Amz-Security-Token (if
 * there is a token) and Authorization to headers (ngx_keyval_t, all text from
 * pool), which have to be sent with those of request.  All of them are
 * signed: request must not have a header that is changed on its way, nor one
 * of these.  NGX_OK; NGX_DECLINED: over the limits above; NGX_ERROR: no
 * memory, or the crypto library failed.
 */
ngx_int_t ngx_eb_sigv4_sign(ngx_pool_t *pool, ngx_eb_sigv4_request_t *request,
    ngx_str_t *host, ngx_eb_sigv4_keys_t *keys, time_t now,
    ngx_array_t *headers);

/*
 * Looks at all of a request but the signature itself: it has to be signed for
 * service within the window around now, with Host, X-Amz-Date and, where they
 * are there, X-Amz-Target and X-Amz-Security-Token among what is signed, and
 * a body whose hash is not left out.  v is set with NGX_EB_SIGV4_OK; its
 * auth borrows from the headers of request.
 */
ngx_eb_sigv4_e ngx_eb_sigv4_prepare(ngx_pool_t *pool,
    ngx_eb_sigv4_request_t *request, ngx_str_t *service, time_t now,
    ngx_eb_sigv4_t *v);

/*
 * Is it made with secret?  1, or 0.  The time it takes says nothing of how
 * much of it is right.
 */
ngx_uint_t ngx_eb_sigv4_check(ngx_eb_sigv4_t *v, ngx_str_t *secret);


/* is name, in lower case, among names, as SignedHeaders has them? */
ngx_uint_t ngx_eb_sigv4_signed(ngx_str_t *names, ngx_str_t *name);

/*
 * Authorization, taken apart.  NGX_OK; NGX_DECLINED: of another scheme;
 * NGX_ERROR: malformed.
 */
ngx_int_t ngx_eb_sigv4_parse(ngx_str_t *value, ngx_eb_sigv4_auth_t *auth);

/*
 * The canonical request with the headers that names lists (lower case,
 * sorted, between semicolons) and the hash of the body.  NGX_OK;
 * NGX_DECLINED: a header is not there, the list is not sorted, or over the
 * limits; NGX_ERROR.
 */
ngx_int_t ngx_eb_sigv4_canonical(ngx_pool_t *pool,
    ngx_eb_sigv4_request_t *request, ngx_str_t *names,
    u_char hash[NGX_EB_SIGV4_HEX], ngx_str_t *out);

/*
 * The names of all headers as such a list, from pool.  NGX_OK; NGX_DECLINED:
 * too many; NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_sigv4_names(ngx_pool_t *pool,
    ngx_eb_sigv4_request_t *request, ngx_str_t *names);

/* is key, in any case, name, which is in lower case? */
ngx_uint_t ngx_eb_sigv4_is(ngx_str_t *key, ngx_str_t *name);

/* SHA-256 in digits.  NGX_OK, NGX_ERROR */
ngx_int_t ngx_eb_sigv4_sha(ngx_str_t *data, u_char hex[NGX_EB_SIGV4_HEX]);

/* the key of a day, a region and a service.  NGX_OK, NGX_ERROR */
ngx_int_t ngx_eb_sigv4_key(ngx_str_t *secret, ngx_str_t *date,
    ngx_str_t *region, ngx_str_t *service, u_char key[NGX_EB_SIGV4_SHA]);

/* seconds of 20150830T123600Z, and back.  NGX_OK, NGX_ERROR */
ngx_int_t ngx_eb_sigv4_time(ngx_str_t *stamp, time_t *sec);
void ngx_eb_sigv4_stamp(time_t sec, u_char stamp[NGX_EB_SIGV4_STAMP]);


#endif /* _NGX_EB_SIGV4_H_INCLUDED_ */
