
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What a retention policy is to be: as a control request says it, and as the
 * API wants to hear it.
 */


#ifndef _NGX_EB_GENESYS_POLICY_H_INCLUDED_
#define _NGX_EB_GENESYS_POLICY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_genesys_body.h"
#include "ngx_eb_genesys_patch.h"


#define NGX_EB_GENESYS_MAX_DAYS         365
#define NGX_EB_GENESYS_MAX_TAGS         64
#define NGX_EB_GENESYS_MAX_TAG          128
#define NGX_EB_GENESYS_MAX_TYPES        256
#define NGX_EB_GENESYS_MAX_TYPE         256
#define NGX_EB_GENESYS_MAX_DESCRIPTION  1024


typedef struct {
    ngx_str_t                 id;
    ngx_str_t                 name;
    ngx_str_t                 description;
    ngx_array_t               types;        /* ngx_str_t */
    ngx_array_t               tags;         /* ngx_str_t */
    ngx_uint_t                days;
    ngx_uint_t                hot;
    ngx_uint_t                warm;
    ngx_uint_t                cold;
    int64_t                   version;      /* -1: none was given */

    /* what is not there stays as it is at the API */
    unsigned                  has_name:1;
    unsigned                  has_description:1;
    unsigned                  has_types:1;
    unsigned                  has_tags:1;
} ngx_eb_genesys_policy_t;


/*
 * Reads a control request's body; id is what the path says, or NULL.
 * Violations are noted in body.
 */
void ngx_eb_genesys_policy_read(ngx_eb_genesys_policy_t *policy,
    ngx_eb_genesys_body_t *body, ngx_str_t *text, ngx_str_t *id);

/*
 * The members that the document of the API must have; cost is a JSON number
 * or empty: not sent.  NULL: no memory.
 */
ngx_eb_genesys_member_t *ngx_eb_genesys_policy_members(ngx_pool_t *pool,
    ngx_eb_genesys_policy_t *policy, ngx_str_t *cost);


#endif /* _NGX_EB_GENESYS_POLICY_H_INCLUDED_ */
