
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * An outbound integration, as a control request describes it: where events
 * are to go, and how.
 */


#ifndef _NGX_EB_GENESYS_ENDPOINT_DOC_H_INCLUDED_
#define _NGX_EB_GENESYS_ENDPOINT_DOC_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_genesys_body.h"
#include "ngx_eb_genesys_patch.h"


/* different ones, "uri" and "uris" taken together */
#define NGX_EB_GENESYS_MAX_URIS       10

/* times that a URI may be repeated in "uris", which are of no consequence */
#define NGX_EB_GENESYS_MAX_REPEATED   100

#define NGX_EB_GENESYS_MAX_NAME       256
#define NGX_EB_GENESYS_MAX_KIND       64
#define NGX_EB_GENESYS_MAX_RETRIES    5
#define NGX_EB_GENESYS_MAX_INTERVAL   86400000
#define NGX_EB_GENESYS_MAX_BACKOFF    10
#define NGX_EB_GENESYS_MAX_FILTERS    64
#define NGX_EB_GENESYS_MAX_FIELDS     256
#define NGX_EB_GENESYS_MAX_HEADERS    32
#define NGX_EB_GENESYS_MAX_HEADER     256
#define NGX_EB_GENESYS_MAX_VALUE      4096


/*
 * One URI, and what became of probing it, which others fill in: in the
 * operation's pool
 */

typedef struct {
    ngx_str_t                 uri;          /* as it was sent */
    ngx_str_t                 key;          /* equal URIs have equal ones */
    ngx_str_t                 shown;        /* without its query */

    ngx_str_t                 json;         /* the whole result, an object */
    ngx_str_t                 phase;        /* the last, or the failed one */
    ngx_str_t                 error;        /* a class, or empty */
    ngx_str_t                 words;
    ngx_uint_t                status;       /* of HTTP; 0: none */
    ngx_msec_t                total;
    ngx_int_t                 days;         /* that its certificate is valid */
    unsigned                  certificate:1;    /* there is one */
    unsigned                  probed:1;
    unsigned                  reachable:1;
} ngx_eb_genesys_uri_t;


/* what is not there stays as it is at the API */

typedef struct {
    ngx_str_t                 id;           /* or empty: found by its name */
    ngx_str_t                 name;
    ngx_str_t                 type;
    ngx_str_t                 uri;          /* the primary one, or empty */
    ngx_str_t                 uris;         /* JSON, as it was sent, or empty */
    ngx_array_t               endpoints;    /* ngx_eb_genesys_uri_t: the
                                               different ones */
    ngx_str_t                 retries;      /* JSON, or empty */
    ngx_str_t                 interval;
    ngx_str_t                 backoff;
    ngx_str_t                 filters;
    ngx_str_t                 headers;
    int64_t                   version;      /* -1: none was given */
} ngx_eb_genesys_integration_t;


/*
 * Reads a control request's body, which is borrowed.  Violations are noted in
 * body; what kept the rules is there all the same.
 */
void ngx_eb_genesys_integration_read(ngx_eb_genesys_integration_t *doc,
    ngx_eb_genesys_body_t *body, ngx_str_t *text);

/* the members that the API's document must have.  NULL: no memory */
ngx_eb_genesys_member_t *ngx_eb_genesys_integration_members(ngx_pool_t *pool,
    ngx_eb_genesys_integration_t *doc);

/*
 * The same for one that exists, whose index is in theirs: no URI that was not
 * asked for, and so not looked at, stays in it.
 */
ngx_eb_genesys_member_t *ngx_eb_genesys_integration_over(
    ngx_eb_genesys_doc_t *theirs, ngx_eb_genesys_integration_t *doc);


#endif /* _NGX_EB_GENESYS_ENDPOINT_DOC_H_INCLUDED_ */
