
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
