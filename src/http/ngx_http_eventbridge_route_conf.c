
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Setters of routes, and of what becomes of events that none of them takes.
 */


#include "ngx_http_eventbridge_module.h"
#include "ngx_http_eventbridge_condition.h"


static char *ngx_http_eventbridge_regex(ngx_conf_t *cf, ngx_str_t *parameter,
    size_t prefix, ngx_eb_regex_t **re);


/* eventbridge_route DESTINATION [name=] [source=] [type=] [metadata.KEY=] */

char *
ngx_http_eventbridge_route(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_eventbridge_loc_conf_t *elcf = conf;

    char                               *rv;
    ngx_str_t                          *value, s;
    ngx_uint_t                          i;
    ngx_http_eventbridge_route_conf_t  *route, *routes;

    value = cf->args->elts;

    if (value[1].len == 0
        || (value[1].data[0] != '/' && value[1].data[0] != '@'
            && (value[1].len <= sizeof("lifecycle:") - 1
                || ngx_strncmp(value[1].data, "lifecycle:",
                               sizeof("lifecycle:") - 1)
                   != 0)))
    {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "the URI of a location of this "
                                           "server is expected");
    }

    if (elcf->routes == NGX_CONF_UNSET_PTR) {
        elcf->routes = ngx_array_create(cf->pool, 4,
                                    sizeof(ngx_http_eventbridge_route_conf_t));
        if (elcf->routes == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    if (elcf->routes->nelts == 65000) {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "more than 65000 routes in one "
                                           "location");
    }

    rv = ngx_http_eventbridge_once(cf, 2);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    route = ngx_array_push(elcf->routes);
    if (route == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(route, sizeof(ngx_http_eventbridge_route_conf_t));

    route->destination = value[1];
    route->file = cf->conf_file->file.name.data;
    route->line = cf->conf_file->line;

    if (ngx_array_init(&route->metadata, cf->pool, 1,
                       sizeof(ngx_eb_route_metadata_t))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {

        rv = NGX_CONF_OK;

        if (ngx_http_eventbridge_takes(&value[i], "name=", &s)) {

            if (s.len == 0 || s.len > 64) {
                return ngx_http_eventbridge_refuse(cf, &value[i],
                                                   "a name of up to 64 "
                                                   "characters is expected");
            }

            route->name = s;

        } else if (ngx_http_eventbridge_takes(&value[i], "source=", &s)) {
            rv = ngx_http_eventbridge_regex(cf, &value[i],
                                            sizeof("source=") - 1,
                                            &route->source);

        } else if (ngx_http_eventbridge_takes(&value[i], "type=", &s)) {
            rv = ngx_http_eventbridge_regex(cf, &value[i], sizeof("type=") - 1,
                                            &route->type);

        } else if (ngx_http_eventbridge_takes(&value[i], "metadata.", &s)) {
            rv = ngx_http_eventbridge_condition_metadata(cf, &value[i],
                                                         &route->metadata);

        } else if (ngx_http_eventbridge_takes(&value[i], "lifecycle=", &s)) {
            rv = ngx_http_eventbridge_condition_lifecycle(cf, &s, route);

        } else if (ngx_http_eventbridge_takes(&value[i], "alternate=", &s)) {
            rv = ngx_http_eventbridge_alternate(cf, &value[i], &s, route);

        } else {
            rv = ngx_http_eventbridge_route_pattern(cf, elcf, &value[i]);
        }

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    /* the name goes into a header and a label */

    for (i = 0; i < route->name.len; i++) {
        if (route->name.data[i] <= 0x20 || route->name.data[i] >= 0x7f
            || route->name.data[i] == ',')
        {
            return ngx_http_eventbridge_refuse(cf, &route->name,
                                               "printable ASCII without spaces "
                                               "and commas is expected");
        }
    }

    if (route->name.len == 0) {
        route->name = route->destination;
        return NGX_CONF_OK;
    }

    routes = elcf->routes->elts;

    for (i = 0; i < elcf->routes->nelts - 1; i++) {
        if (routes[i].name.len == route->name.len
            && ngx_strncmp(routes[i].name.data, route->name.data,
                           route->name.len)
               == 0
            && routes[i].name.data != routes[i].destination.data)
        {
            return ngx_http_eventbridge_refuse(cf, &route->name,
                                               "another route of the location "
                                               "has this name");
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_eventbridge_regex(ngx_conf_t *cf, ngx_str_t *parameter,
    size_t prefix, ngx_eb_regex_t **re)
{
    size_t      offset;
    ngx_str_t   pattern, err, *value;

    pattern.data = parameter->data + prefix;
    pattern.len = parameter->len - prefix;

    if (pattern.len == 0) {
        return ngx_http_eventbridge_refuse(cf, parameter,
                                           "a regular expression is expected");
    }

    *re = ngx_eb_regex_compile(cf->pool, &pattern, &err, &offset);

    if (*re == NULL) {
        if (err.data) {
            value = cf->args->elts;
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid regex \"%V\" of \"%V\": %V "
                               "at offset %uz", parameter, &value[0], &err,
                               offset);
        }

        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* eventbridge_unrouted drop|reject|DESTINATION */

char *
ngx_http_eventbridge_unrouted(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_eventbridge_loc_conf_t *elcf = conf;

    ngx_str_t  *value;

    if (elcf->unrouted != NGX_CONF_UNSET_UINT) {
        return ngx_http_eventbridge_duplicate(cf);
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "drop") == 0) {
        elcf->unrouted = NGX_HTTP_EVENTBRIDGE_UNROUTED_DROP;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value[1].data, "reject") == 0) {
        elcf->unrouted = NGX_HTTP_EVENTBRIDGE_UNROUTED_REJECT;
        return NGX_CONF_OK;
    }

    if (value[1].len == 0
        || (value[1].data[0] != '/' && value[1].data[0] != '@'))
    {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "\"drop\", \"reject\" or a "
                                           "destination is expected");
    }

    elcf->unrouted = NGX_HTTP_EVENTBRIDGE_UNROUTED_SEND;
    elcf->unrouted_uri = value[1];
    elcf->unrouted_file = cf->conf_file->file.name.data;
    elcf->unrouted_line = cf->conf_file->line;

    return NGX_CONF_OK;
}
