
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Source-side filters: the filter of an attribute in a subscription of an
 * integration, and, where the API has no such thing, the topics of the
 * integration.
 */


#ifndef _NGX_EB_GENESYS_FILTER_H_INCLUDED_
#define _NGX_EB_GENESYS_FILTER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_genesys.h"


#define NGX_EB_GENESYS_FILTER_PATH                                           \
    "/api/v2/integrations/eventbridge/{integration}"

#define NGX_EB_GENESYS_TOPICS_PATH                                           \
    "/api/v2/integrations/{integration}/config/current"


typedef enum {
    NGX_EB_GENESYS_FILTER_SHOW = 0,
    NGX_EB_GENESYS_FILTER_SET,
    NGX_EB_GENESYS_FILTER_REMOVE
} ngx_eb_genesys_filter_verb_e;


/*
 * Everything is as the caller sent it, decoded from its path, unchecked, and
 * borrowed for the time of the operation.
 *
 * Filters: the subscription and the attribute may be empty when shown; body
 * is {"matchType":"...","values":[...]} when set.
 *
 * With topics set (api integrations) there is no subscription.  The attribute
 * is a topic to be added or removed; without it, body is {"topics":[...]},
 * which are all that will be there, or those to be removed.
 */

typedef struct {
    ngx_eb_genesys_filter_verb_e  verb;
    ngx_str_t                     path;     /* template with {integration} or
                                               {id}; empty: the default */
    ngx_str_t                     integration;
    ngx_str_t                     subscription;
    ngx_str_t                     attribute;
    ngx_str_t                     body;
    unsigned                      dry_run:1;
    unsigned                      topics:1;
} ngx_eb_genesys_filter_args_t;


/*
 * Sets step and data of an operation whose pool and log are set.  What is
 * wrong with the arguments is the answer of the first step.
 * NGX_OK, NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_genesys_filter(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_args_t *args);


#endif /* _NGX_EB_GENESYS_FILTER_H_INCLUDED_ */
