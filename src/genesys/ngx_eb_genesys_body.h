
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The JSON body of a control request, read member by member: every violation
 * is noted, so that the sender hears of all of them at once.
 */


#ifndef _NGX_EB_GENESYS_BODY_H_INCLUDED_
#define _NGX_EB_GENESYS_BODY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_genesys_patch.h"


/* of more than these nobody hears */
#define NGX_EB_GENESYS_MAX_VIOLATIONS  64


typedef struct {
    ngx_str_t                 field;
    ngx_str_t                 rule;
    ngx_str_t                 message;
} ngx_eb_genesys_violation_t;


typedef struct {
    ngx_eb_genesys_doc_t     *doc;
    ngx_array_t               violations;
    unsigned                  failed:1;     /* no memory */
} ngx_eb_genesys_body_t;


/* what an object may have: the others are violations, and equal names are */

typedef struct {
    const char               *name;
    unsigned                  required:1;
} ngx_eb_genesys_field_t;


#define ngx_eb_genesys_fields(f)  f, sizeof(f) / sizeof(f[0])


/*
 * In all of these field is the whole path, as "filter.eventSources", which
 * ends with the member's name, and is a constant.  What is not there and what
 * is wrong is declined, and the latter a violation.  Out of memory is noted in
 * body->failed only.
 */

/* doc may be NULL when there is nothing to read.  NGX_OK, NGX_ERROR */
ngx_int_t ngx_eb_genesys_body_init(ngx_eb_genesys_body_t *body,
    ngx_pool_t *pool, ngx_eb_genesys_doc_t *doc);

/* field, rule and message are constants, or live as long as the pool */
void ngx_eb_genesys_body_bad(ngx_eb_genesys_body_t *body, const char *field,
    const char *rule, const char *message);

/* the same; field lives as long as the pool */
void ngx_eb_genesys_body_note(ngx_eb_genesys_body_t *body, ngx_str_t *field,
    const char *rule, const char *message);

/* NGX_EB_JSON_NONE: there is no such member, and that is no violation */
ngx_eb_json_node_t ngx_eb_genesys_body_member(ngx_eb_genesys_body_t *body,
    ngx_eb_json_node_t parent, const char *field);

/*
 * The object has these fields and no others; prefix is its path and a point.
 * NGX_OK: what is there can be read all the same; NGX_DECLINED: no memory.
 */
ngx_int_t ngx_eb_genesys_body_fields(ngx_eb_genesys_body_t *body,
    ngx_eb_json_node_t object, const char *prefix,
    const ngx_eb_genesys_field_t *fields, ngx_uint_t n);

/* the text is an object with these fields and no others */
ngx_int_t ngx_eb_genesys_body_read(ngx_eb_genesys_body_t *body,
    ngx_str_t *text, const ngx_eb_genesys_field_t *fields, ngx_uint_t n);

/* one that is in the object at parent; prefix is its path and a point */
ngx_int_t ngx_eb_genesys_body_object(ngx_eb_genesys_body_t *body,
    ngx_eb_json_node_t parent, const char *field, const char *prefix,
    const ngx_eb_genesys_field_t *fields, ngx_uint_t n,
    ngx_eb_json_node_t *node);

/* min to max bytes, none of them a control character */
ngx_int_t ngx_eb_genesys_body_string(ngx_eb_genesys_body_t *body,
    ngx_eb_json_node_t parent, const char *field, size_t min, size_t max,
    ngx_str_t *value);

ngx_int_t ngx_eb_genesys_body_integer(ngx_eb_genesys_body_t *body,
    ngx_eb_json_node_t parent, const char *field, ngx_int_t min,
    ngx_int_t max, ngx_uint_t *value);

/* min to max different strings of 1 to len bytes; values is set up here */
ngx_int_t ngx_eb_genesys_body_strings(ngx_eb_genesys_body_t *body,
    ngx_eb_json_node_t parent, const char *field, ngx_uint_t min,
    ngx_uint_t max, size_t len, ngx_array_t *values);


/* NULL, or what is wrong, in words without a period */

const char *ngx_eb_genesys_bad_string(ngx_str_t *value, size_t min,
    size_t max);

/* an https URL with a host, and without user information or a fragment */
const char *ngx_eb_genesys_bad_endpoint(ngx_str_t *url);


#endif /* _NGX_EB_GENESYS_BODY_H_INCLUDED_ */
