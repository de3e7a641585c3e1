
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Directives with a block of lines of their own; see the header.
 */


#include "ngx_http_eventbridge_block.h"


/* of a longer value, the reason behind it would be cut off */
#define NGX_HTTP_EVENTBRIDGE_BLOCK_SHOWN  256


static char *ngx_http_eventbridge_block_line(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);


char *
ngx_http_eventbridge_block(ngx_conf_t *cf, ngx_http_eventbridge_block_t *block)
{
    char        *rv;
    ngx_conf_t   save;

    save = *cf;
    cf->handler = ngx_http_eventbridge_block_line;
    cf->handler_conf = (void *) block;

    rv = ngx_conf_parse(cf, NULL);

    *cf = save;

    return rv;
}


static char *
ngx_http_eventbridge_block_line(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_eventbridge_block_t *block = conf;

    char                         *rv;
    ngx_str_t                    *value;
    ngx_http_eventbridge_line_t  *line;

    value = cf->args->elts;

    if (ngx_strcmp(value[0].data, "include") == 0 && cf->args->nelts == 2) {
        return ngx_conf_include(cf, cmd, conf);
    }

    for (line = block->lines; line->name.len; line++) {
        if (ngx_strcmp(value[0].data, line->name.data) == 0) {
            break;
        }
    }

    if (line->name.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown directive \"%V\" in \"%s %V\"", &value[0],
                           block->directive, block->name);
        return NGX_CONF_ERROR;
    }

    if (cf->args->nelts < 2
        || (line->args && cf->args->nelts != line->args + 1))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid number of arguments in \"%V\" of "
                           "\"%s %V\"%s", &value[0], block->directive,
                           block->name,
                           line->args ? ", one is expected" : "");
        return NGX_CONF_ERROR;
    }

    rv = line->set(cf, block->conf, (u_char *) block->conf + line->offset);

    if (rv == NGX_CONF_OK || rv == NGX_CONF_ERROR) {
        return rv;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%*s\" in \"%V\" of \"%s %V\": %s",
                       ngx_min(value[1].len, NGX_HTTP_EVENTBRIDGE_BLOCK_SHOWN),
                       value[1].data, &value[0], block->directive,
                       block->name, rv);

    return NGX_CONF_ERROR;
}


char *
ngx_http_eventbridge_block_choice(ngx_conf_t *cf, ngx_uint_t *which,
    const char *first, const char *second, char *expected)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (*which != NGX_CONF_UNSET_UINT) {
        return "it is given twice";
    }

    if (ngx_strcmp(value[1].data, first) == 0) {
        *which = 0;

    } else if (ngx_strcmp(value[1].data, second) == 0) {
        *which = 1;

    } else {
        return expected;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_eventbridge_block_number(ngx_conf_t *cf, ngx_uint_t *number,
    ngx_int_t min, ngx_int_t max, char *expected)
{
    ngx_int_t   n;
    ngx_str_t  *value;

    value = cf->args->elts;

    if (*number != NGX_CONF_UNSET_UINT) {
        return "it is given twice";
    }

    n = ngx_atoi(value[1].data, value[1].len);

    if (n == NGX_ERROR || n < min || n > max) {
        return expected;
    }

    *number = n;

    return NGX_CONF_OK;
}


char *
ngx_http_eventbridge_block_time(ngx_conf_t *cf, ngx_msec_t *msec,
    ngx_int_t min, ngx_int_t max, char *expected)
{
    ngx_int_t   n;
    ngx_str_t  *value;

    value = cf->args->elts;

    if (*msec != NGX_CONF_UNSET_MSEC) {
        return "it is given twice";
    }

    n = ngx_parse_time(&value[1], 0);

    if (n == NGX_ERROR || n < min || n > max) {
        return expected;
    }

    *msec = n;

    return NGX_CONF_OK;
}
