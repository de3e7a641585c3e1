
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Conditions of routes: what an event's metadata are, and where the
 * interaction stands that it is about.
 */


#include "ngx_http_eventbridge_module.h"
#include "ngx_http_eventbridge_lifecycle.h"
#include "ngx_http_eventbridge_condition.h"


static ngx_int_t ngx_http_eventbridge_condition_ask(void *data,
    ngx_eb_json_t *json, ngx_eb_event_t *event, ngx_pool_t *pool);


/* metadata.KEY=VALUE */

char *
ngx_http_eventbridge_condition_metadata(ngx_conf_t *cf, ngx_str_t *parameter,
    ngx_array_t *metadata)
{
    u_char                   *p, *last;
    ngx_eb_route_metadata_t  *md;

    p = parameter->data + sizeof("metadata.") - 1;
    last = parameter->data + parameter->len;

    md = ngx_array_push(metadata);
    if (md == NULL) {
        return NGX_CONF_ERROR;
    }

    md->name.data = p;

    while (p < last && *p != '=') {
        p++;
    }

    md->name.len = p - md->name.data;

    if (md->name.len == 0 || p == last) {
        return ngx_http_eventbridge_refuse(cf, parameter,
                                           "metadata.KEY=VALUE is expected");
    }

    md->value.data = p + 1;
    md->value.len = last - md->value.data;

    return NGX_CONF_OK;
}


/* lifecycle=NAME:STATE; names are looked up when all of them are known */

char *
ngx_http_eventbridge_condition_lifecycle(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_eventbridge_route_conf_t *route)
{
    u_char                            *colon, *last;
    ngx_http_eventbridge_condition_t  *condition;

    last = value->data + value->len;
    colon = ngx_strlchr(value->data, last, ':');

    if (colon == NULL || colon == value->data || colon + 1 == last) {
        return ngx_http_eventbridge_refuse(cf, value,
                                           "lifecycle=NAME:STATE is expected");
    }

    condition = ngx_pcalloc(cf->pool,
                            sizeof(ngx_http_eventbridge_condition_t));
    if (condition == NULL) {
        return NGX_CONF_ERROR;
    }

    condition->name.data = value->data;
    condition->name.len = colon - value->data;
    condition->state.data = colon + 1;
    condition->state.len = last - condition->state.data;

    route->condition = condition;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_eventbridge_condition_setup(ngx_conf_t *cf,
    ngx_http_eventbridge_route_conf_t *conf, ngx_eb_route_t *route)
{
    ngx_http_eventbridge_main_conf_t  *emcf;
    ngx_http_eventbridge_condition_t  *condition;

    condition = conf->condition;

    route->ask = NULL;
    route->data = NULL;

    if (condition == NULL) {
        return NGX_OK;
    }

    emcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_eventbridge_module);

    condition->lifecycle = ngx_http_eventbridge_lifecycle_find(emcf,
                                                            &condition->name);
    if (condition->lifecycle == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "unknown lifecycle \"%V\" of \"eventbridge_route\": add "
                      "\"eventbridge_lifecycle %V { ... }\" in %s:%ui",
                      &condition->name, &condition->name, conf->file,
                      conf->line);
        return NGX_ERROR;
    }

    condition->number =
        ngx_eb_lifecycle_states_find(&condition->lifecycle->states,
                                     &condition->state);

    if (condition->number == NGX_EB_LIFECYCLE_NONE) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "unknown state \"%V\" of lifecycle \"%V\" in "
                      "\"eventbridge_route\" in %s:%ui", &condition->state,
                      &condition->name, conf->file, conf->line);
        return NGX_ERROR;
    }

    route->ask = ngx_http_eventbridge_condition_ask;
    route->data = condition;

    return NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_condition_ask(void *data, ngx_eb_json_t *json,
    ngx_eb_event_t *event, ngx_pool_t *pool)
{
    ngx_http_eventbridge_condition_t *condition = data;

    ngx_int_t   rc;
    ngx_uint_t  state;

    rc = ngx_http_eventbridge_condition_state(condition, json, event, pool,
                                              &state);

    if (rc != NGX_OK) {
        return rc;
    }

    return (state == condition->number) ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_http_eventbridge_condition_state(
    ngx_http_eventbridge_condition_t *condition, ngx_eb_json_t *json,
    ngx_eb_event_t *event, ngx_pool_t *pool, ngx_uint_t *state)
{
    u_char                   fit[NGX_EB_LIFECYCLE_ID];
    ngx_int_t                rc;
    ngx_str_t                id;
    ngx_eb_lifecycle_view_t  view;

    *state = NGX_EB_LIFECYCLE_NONE;

    rc = ngx_eb_lifecycle_map_interaction(json, event, pool, &id);

    if (rc != NGX_OK) {
        return rc;
    }

    if (id.len > NGX_EB_LIFECYCLE_ID
        && ngx_eb_lifecycle_fit(&id, fit) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    /* one that is not known, or not yet after a start, stands nowhere */

    if (ngx_eb_lifecycle_find(&condition->lifecycle->lc, &id, &view)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    *state = view.state;

    return NGX_OK;
}


ngx_str_t *
ngx_http_eventbridge_condition_name(
    ngx_http_eventbridge_condition_t *condition, ngx_uint_t state)
{
    return ngx_eb_lifecycle_states_name(&condition->lifecycle->states, state);
}
