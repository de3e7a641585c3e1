
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Filters in the API's documents: where they are, whether they are the ones
 * that are wanted, and the changes that make them so.
 */


#ifndef _NGX_EB_GENESYS_FILTER_DOC_H_INCLUDED_
#define _NGX_EB_GENESYS_FILTER_DOC_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_json_edit.h"


#define NGX_EB_GENESYS_FILTER_MAX_VALUES   200
#define NGX_EB_GENESYS_FILTER_MAX_STORED   2000


typedef enum {
    NGX_EB_GENESYS_FILTER_IS = 0,       /* these and no others */
    NGX_EB_GENESYS_FILTER_HAS,          /* topics: these among others */
    NGX_EB_GENESYS_FILTER_LACKS         /* none, or topics: not these */
} ngx_eb_genesys_filter_goal_e;


/* of values no two are equal */

typedef struct {
    ngx_eb_genesys_filter_goal_e  goal;
    ngx_str_t                     attribute;    /* not of topics */
    ngx_str_t                     match_type;
    ngx_array_t                   values;       /* ngx_str_t */
} ngx_eb_genesys_filter_want_t;


/*
 * filterCriteria and its attributes of a subscription, or properties and
 * their eventFilter: NGX_EB_JSON_NONE where there is none, or it is null.
 */

typedef struct {
    ngx_eb_json_node_t        owner;        /* subscription, or the root */
    ngx_eb_json_node_t        outer;
    ngx_eb_json_node_t        list;
    ngx_array_t               found;        /* elements of the list that are
                                               ngx_eb_json_node_t: those of
                                               the attribute, or all topics */
    ngx_uint_t                owners;       /* subscriptions of the name */
    const char               *error;
    unsigned                  topics:1;
} ngx_eb_genesys_filter_place_t;


/*
 * NGX_OK; NGX_DECLINED: the document is not what it should be, see error;
 * NGX_ERROR: no memory.  With place->owner NGX_EB_JSON_NONE, there is no
 * subscription of that name.
 */
ngx_int_t ngx_eb_genesys_filter_find(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_str_t *subscription, ngx_str_t *attribute,
    ngx_eb_genesys_filter_place_t *place);

ngx_int_t ngx_eb_genesys_filter_find_topics(ngx_eb_json_t *json,
    ngx_pool_t *pool, ngx_eb_genesys_filter_place_t *place);

/* the array of subscriptions, NGX_EB_JSON_NONE if there is none */
ngx_int_t ngx_eb_genesys_filter_subscriptions(ngx_eb_json_t *json,
    ngx_eb_json_node_t *list, const char **error);

/* is it so already? */
ngx_uint_t ngx_eb_genesys_filter_equal(ngx_eb_json_t *json,
    ngx_eb_genesys_filter_place_t *place, ngx_eb_genesys_filter_want_t *want);

/* NGX_OK, NGX_ERROR: no memory */
ngx_int_t ngx_eb_genesys_filter_change(ngx_eb_json_edit_t *edit,
    ngx_eb_genesys_filter_place_t *place, ngx_eb_genesys_filter_want_t *want);


/* the last member called name, NGX_EB_JSON_NONE also for a null */
ngx_eb_json_node_t ngx_eb_genesys_filter_member(ngx_eb_json_t *json,
    ngx_eb_json_node_t object, const char *name);


#endif /* _NGX_EB_GENESYS_FILTER_DOC_H_INCLUDED_ */
