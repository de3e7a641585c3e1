
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Variables of an ingest request, and of a request to a destination.
 */


#include "ngx_http_eventbridge_genesys.h"
#include "ngx_http_eventbridge_lifecycle.h"


static ngx_int_t ngx_http_eventbridge_variable_result(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_eventbridge_variable_number(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_eventbridge_variable_sender(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_eventbridge_variable_destination(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_eventbridge_variable_route(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_eventbridge_variable_count(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_eventbridge_variable_client(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_eventbridge_variable_bearer(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static void ngx_http_eventbridge_variable_set(ngx_http_variable_value_t *v,
    ngx_str_t *value);
static ngx_int_t ngx_http_eventbridge_variable_uint(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, ngx_uint_t value);


static ngx_http_variable_t  ngx_http_eventbridge_vars[] = {

    { ngx_string("eventbridge_result"), NULL,
      ngx_http_eventbridge_variable_result, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("eventbridge_received"), NULL,
      ngx_http_eventbridge_variable_number,
      offsetof(ngx_http_eventbridge_ctx_t, received),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("eventbridge_forwarded"), NULL,
      ngx_http_eventbridge_variable_number,
      offsetof(ngx_http_eventbridge_ctx_t, forwarded),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("eventbridge_duplicates"), NULL,
      ngx_http_eventbridge_variable_number,
      offsetof(ngx_http_eventbridge_ctx_t, duplicates),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("eventbridge_dropped"), NULL,
      ngx_http_eventbridge_variable_number,
      offsetof(ngx_http_eventbridge_ctx_t, dropped),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("eventbridge_dead"), NULL,
      ngx_http_eventbridge_variable_number,
      offsetof(ngx_http_eventbridge_ctx_t, dead),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("eventbridge_sender"), NULL,
      ngx_http_eventbridge_variable_sender, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* of a request to a destination; they never change during it */

    { ngx_string("eventbridge_destination"), NULL,
      ngx_http_eventbridge_variable_destination, 0, 0, 0 },

    { ngx_string("eventbridge_route"), NULL,
      ngx_http_eventbridge_variable_route, 0, 0, 0 },

    { ngx_string("eventbridge_count"), NULL,
      ngx_http_eventbridge_variable_count, 0, 0, 0 },

    { ngx_string("eventbridge_client_addr"), NULL,
      ngx_http_eventbridge_variable_client, 0, 0, 0 },

    /* of a request to the API of Genesys Cloud */

    { ngx_string("eventbridge_bearer"), NULL,
      ngx_http_eventbridge_variable_bearer, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    /* where the interaction of an argument stands */

    { ngx_string("eventbridge_lifecycle_state"), NULL,
      ngx_http_eventbridge_lifecycle_variable, 0, NGX_HTTP_VAR_NOCACHEABLE,
      0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_eventbridge_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_eventbridge_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_variable_result(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_eventbridge_ctx_t  *ctx;

    static ngx_str_t  names[] = {
        ngx_null_string,
        ngx_string("accepted"),
        ngx_string("partial"),
        ngx_string("failed"),
        ngx_string("refused")
    };

    ctx = (r == r->main)
              ? ngx_http_get_module_ctx(r, ngx_http_eventbridge_module) : NULL;

    if (ctx == NULL || ctx->result == NGX_HTTP_EVENTBRIDGE_RESULT_NONE) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_eventbridge_variable_set(v, &names[ctx->result]);

    return NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_variable_number(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_eventbridge_ctx_t  *ctx;

    ctx = (r == r->main)
              ? ngx_http_get_module_ctx(r, ngx_http_eventbridge_module) : NULL;

    if (ctx == NULL || !ctx->answered) {
        v->not_found = 1;
        return NGX_OK;
    }

    return ngx_http_eventbridge_variable_uint(r, v,
                                   *(ngx_uint_t *) ((u_char *) ctx + data));
}


/* both in the request that brought the events, and in those that deliver */

static ngx_int_t
ngx_http_eventbridge_variable_sender(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                    *sender;
    ngx_http_eventbridge_ctx_t   *ctx;
    ngx_http_eventbridge_send_t  *send;

    send = ngx_http_eventbridge_request_send(r);
    sender = NULL;

    if (send) {
        sender = &send->job->sender;

    } else if (r == r->main) {
        ctx = ngx_http_get_module_ctx(r, ngx_http_eventbridge_module);
        sender = ctx ? &ctx->sender : NULL;
    }

    if (sender == NULL || sender->len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_eventbridge_variable_set(v, sender);

    return NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_variable_destination(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_eventbridge_send_t  *send;

    send = ngx_http_eventbridge_request_send(r);

    if (send == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_eventbridge_variable_set(v, &send->destination->uri);

    return NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_variable_route(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                     names;
    ngx_http_eventbridge_send_t  *send;

    send = ngx_http_eventbridge_request_send(r);

    if (send == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    if (ngx_http_eventbridge_send_routes(send, r->pool, &names) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_eventbridge_variable_set(v, &names);

    return NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_variable_count(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_eventbridge_send_t  *send;

    send = ngx_http_eventbridge_request_send(r);

    if (send == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    return ngx_http_eventbridge_variable_uint(r, v, send->nevents);
}


static ngx_int_t
ngx_http_eventbridge_variable_client(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_eventbridge_send_t  *send;

    send = ngx_http_eventbridge_request_send(r);

    if (send == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_eventbridge_variable_set(v, &send->job->facts.addr_text);

    return NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_variable_bearer(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t  *value;

    value = ngx_http_eventbridge_api_bearer(r);

    if (value == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_eventbridge_variable_set(v, value);

    return NGX_OK;
}


static void
ngx_http_eventbridge_variable_set(ngx_http_variable_value_t *v,
    ngx_str_t *value)
{
    v->data = value->data;
    v->len = value->len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
}


static ngx_int_t
ngx_http_eventbridge_variable_uint(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, ngx_uint_t value)
{
    ngx_str_t  s;

    s.data = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (s.data == NULL) {
        return NGX_ERROR;
    }

    s.len = ngx_sprintf(s.data, "%ui", value) - s.data;

    ngx_http_eventbridge_variable_set(v, &s);

    return NGX_OK;
}
