
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * JSON pointers (RFC 6901), on the index of a validated text.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"


static ngx_eb_json_node_t ngx_eb_json_element(ngx_eb_json_t *json,
    ngx_eb_json_node_t array, ngx_str_t *token);


ngx_int_t
ngx_eb_json_pointer_parse(ngx_pool_t *pool, ngx_str_t *text,
    ngx_array_t *tokens)
{
    u_char     *p, *last, *dst;
    ngx_str_t  *token;

    if (ngx_array_init(tokens, pool, 4, sizeof(ngx_str_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    p = text->data;
    last = p + text->len;

    while (p < last) {

        if (*p++ != '/') {
            return NGX_DECLINED;
        }

        token = ngx_array_push(tokens);
        if (token == NULL) {
            return NGX_ERROR;
        }

        /* no escape is shorter than what it stands for */

        dst = ngx_pnalloc(pool, last - p + 1);
        if (dst == NULL) {
            return NGX_ERROR;
        }

        token->data = dst;

        for ( /* void */ ; p < last && *p != '/'; p++) {

            if (*p != '~') {
                *dst++ = *p;
                continue;
            }

            if (++p == last || (*p != '0' && *p != '1')) {
                return NGX_DECLINED;
            }

            *dst++ = (*p == '0') ? '~' : '/';
        }

        token->len = dst - token->data;
    }

    return NGX_OK;
}


ngx_eb_json_node_t
ngx_eb_json_pointer(ngx_eb_json_t *json, ngx_eb_json_node_t node,
    ngx_array_t *tokens)
{
    ngx_str_t   *token;
    ngx_uint_t   i;

    token = tokens->elts;

    for (i = 0; i < tokens->nelts && node != NGX_EB_JSON_NONE; i++) {

        switch (ngx_eb_json_type(json, node)) {

        case '{':
            node = ngx_eb_json_member(json, node, &token[i]);
            break;

        case '[':
            node = ngx_eb_json_element(json, node, &token[i]);
            break;

        default:
            return NGX_EB_JSON_NONE;
        }
    }

    return node;
}


/* an index has no sign and no leading zero; "-" is beyond the end */

static ngx_eb_json_node_t
ngx_eb_json_element(ngx_eb_json_t *json, ngx_eb_json_node_t array,
    ngx_str_t *token)
{
    ngx_int_t           n;
    ngx_eb_json_node_t  node;

    if (token->len > 1 && token->data[0] == '0') {
        return NGX_EB_JSON_NONE;
    }

    n = ngx_atoi(token->data, token->len);

    if (n == NGX_ERROR) {
        return NGX_EB_JSON_NONE;
    }

    node = ngx_eb_json_first(json, array);

    while (n-- && node != NGX_EB_JSON_NONE) {
        node = ngx_eb_json_after(json, node);
    }

    return node;
}
