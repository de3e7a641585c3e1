
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Conditions of eventbridge_route beyond expressions.
 */


#ifndef _NGX_HTTP_EVENTBRIDGE_CONDITION_H_INCLUDED_
#define _NGX_HTTP_EVENTBRIDGE_CONDITION_H_INCLUDED_


#include "ngx_http_eventbridge_module.h"


/* lifecycle=NAME:STATE: the interaction of an event stands there */

typedef struct ngx_http_eventbridge_condition_s {
    ngx_str_t                 name;
    ngx_str_t                 state;
    ngx_uint_t                number;       /* of the state */
    ngx_http_eventbridge_lifecycle_t  *lifecycle;
} ngx_http_eventbridge_condition_t;


/* parameters of eventbridge_route */
char *ngx_http_eventbridge_condition_metadata(ngx_conf_t *cf,
    ngx_str_t *parameter, ngx_array_t *metadata);
char *ngx_http_eventbridge_condition_lifecycle(ngx_conf_t *cf,
    ngx_str_t *value, ngx_http_eventbridge_route_conf_t *route);

/* what a route asks; NGX_ERROR: logged */
ngx_int_t ngx_http_eventbridge_condition_setup(ngx_conf_t *cf,
    ngx_http_eventbridge_route_conf_t *conf, ngx_eb_route_t *route);

/*
 * Where the interaction of an event stands.  NGX_OK; NGX_DECLINED: nowhere, or
 * it has none; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_eventbridge_condition_state(
    ngx_http_eventbridge_condition_t *condition, ngx_eb_json_t *json,
    ngx_eb_event_t *event, ngx_pool_t *pool, ngx_uint_t *state);

/* NULL: it is none */
ngx_str_t *ngx_http_eventbridge_condition_name(
    ngx_http_eventbridge_condition_t *condition, ngx_uint_t state);


#endif /* _NGX_HTTP_EVENTBRIDGE_CONDITION_H_INCLUDED_ */
