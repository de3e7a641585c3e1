
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * eventbridge_route ... pattern=JSON | pattern_file=FILE
 */


#include "ngx_http_eventbridge_module.h"
#include "ngx_eb_pattern.h"


/* a longer file is not read to say that its pattern is too long */
#define NGX_HTTP_EVENTBRIDGE_PATTERN_FILE  NGX_EB_PATTERN_MAX_TEXT

/* of a parameter in a message, which nginx cuts at 1024 bytes */
#define NGX_HTTP_EVENTBRIDGE_PATTERN_SHOW  256


static char *ngx_http_eventbridge_pattern_read(ngx_conf_t *cf,
    ngx_str_t *parameter, ngx_str_t *name, ngx_str_t *text);
static char *ngx_http_eventbridge_pattern_compile(ngx_conf_t *cf,
    ngx_http_eventbridge_loc_conf_t *elcf, ngx_str_t *parameter,
    ngx_str_t *text, ngx_http_eventbridge_route_conf_t *route);


char *
ngx_http_eventbridge_route_pattern(ngx_conf_t *cf,
    ngx_http_eventbridge_loc_conf_t *elcf, ngx_str_t *parameter)
{
    char                               *rv;
    ngx_str_t                           text;
    ngx_http_eventbridge_route_conf_t  *route;

    route = elcf->routes->elts;
    route += elcf->routes->nelts - 1;

    if (ngx_http_eventbridge_takes(parameter, "pattern=", &text)) {
        /* the text itself */

    } else if (ngx_http_eventbridge_takes(parameter, "pattern_file=", &text)) {

        rv = ngx_http_eventbridge_pattern_read(cf, parameter, &text, &text);

        if (rv != NGX_CONF_OK) {
            return rv;
        }

    } else {
        return ngx_http_eventbridge_refuse(cf, parameter, NULL);
    }

    if (route->pattern) {
        return ngx_http_eventbridge_refuse(cf, parameter,
                                           "a route has one pattern");
    }

    return ngx_http_eventbridge_pattern_compile(cf, elcf, parameter, &text,
                                                route);
}


/* name and text may be the same */

static char *
ngx_http_eventbridge_pattern_read(ngx_conf_t *cf, ngx_str_t *parameter,
    ngx_str_t *name, ngx_str_t *text)
{
    char             *rv;
    size_t            size;
    ssize_t           n;
    ngx_str_t         full;
    ngx_file_t        file;

    if (name->len == 0) {
        return ngx_http_eventbridge_refuse(cf, parameter,
                                           "a file name is expected");
    }

    full = *name;

    if (ngx_conf_full_name(cf->cycle, &full, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&file, sizeof(ngx_file_t));

    file.name = full;
    file.log = cf->log;

    /* whoever opens a pipe would wait for its writer */

    file.fd = ngx_open_file(full.data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                            NGX_FILE_OPEN, 0);

    if (file.fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "invalid value \"%V\" of \"eventbridge_route\": "
                           ngx_open_file_n " \"%V\" failed", parameter,
                           &full);
        return NGX_CONF_ERROR;
    }

    rv = NGX_CONF_ERROR;

    if (ngx_fd_info(file.fd, &file.info) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_fd_info_n " \"%V\" of \"eventbridge_route\" "
                           "failed", &full);
        goto done;
    }

    if (!ngx_is_file(&file.info)) {
        rv = ngx_http_eventbridge_refuse(cf, parameter, "not a file");
        goto done;
    }

    if (ngx_file_size(&file.info) > NGX_HTTP_EVENTBRIDGE_PATTERN_FILE) {
        rv = ngx_http_eventbridge_refuse(cf, parameter,
                                         "the file has more than 64k");
        goto done;
    }

    size = (size_t) ngx_file_size(&file.info);

    text->len = size;
    text->data = ngx_pnalloc(cf->pool, size + 1);

    if (text->data == NULL) {
        goto done;
    }

    n = ngx_read_file(&file, text->data, size, 0);

    if (n == NGX_ERROR || (size_t) n != size) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, (n == NGX_ERROR) ? ngx_errno : 0,
                           ngx_read_file_n " \"%V\" of \"eventbridge_route\" "
                           "failed", &full);
        goto done;
    }

    rv = NGX_CONF_OK;

done:

    if (ngx_close_file(file.fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, cf->log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", &full);
    }

    return rv;
}


static char *
ngx_http_eventbridge_pattern_compile(ngx_conf_t *cf,
    ngx_http_eventbridge_loc_conf_t *elcf, ngx_str_t *parameter,
    ngx_str_t *text, ngx_http_eventbridge_route_conf_t *route)
{
    ngx_int_t                rc;
    ngx_eb_pattern_error_t   err;

    if (elcf->patterns == NULL) {

        elcf->patterns = ngx_pcalloc(cf->pool,
                                     sizeof(ngx_http_eventbridge_patterns_t));
        if (elcf->patterns == NULL) {
            return NGX_CONF_ERROR;
        }

        elcf->patterns->set = ngx_eb_pattern_set_create(cf->pool);
        if (elcf->patterns->set == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    route->patterns = elcf->patterns;

    rc = ngx_eb_pattern_compile(elcf->patterns->set, text, &route->pattern,
                                &err);

    if (rc == NGX_DECLINED) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%*s%s\" of "
                           "\"eventbridge_route\": %V%s%V%s at offset %uz of "
                           "the pattern",
                           ngx_min(parameter->len,
                                   NGX_HTTP_EVENTBRIDGE_PATTERN_SHOW),
                           parameter->data,
                           (parameter->len
                            > NGX_HTTP_EVENTBRIDGE_PATTERN_SHOW) ? "..." : "",
                           &err.message, err.field.len ? ", field \"" : "",
                           &err.field, err.field.len ? "\"" : "", err.offset);
    }

    return (rc == NGX_OK) ? NGX_CONF_OK : NGX_CONF_ERROR;
}


ngx_int_t
ngx_http_eventbridge_pattern_setup(ngx_eb_router_t *router,
    ngx_http_eventbridge_route_conf_t *route)
{
    if (route->pattern == NULL) {
        return NGX_OK;
    }

    /* a location inside of another may have the same routes */

    if (!route->patterns->sealed) {

        if (ngx_eb_pattern_set_seal(route->patterns->set) != NGX_OK) {
            return NGX_ERROR;
        }

        route->patterns->sealed = 1;
    }

    router->patterns = route->patterns->set;

    return NGX_OK;
}
