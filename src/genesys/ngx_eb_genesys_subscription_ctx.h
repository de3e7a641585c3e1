
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What the operations of subscriptions share, and nobody else needs.
 */


#ifndef _NGX_EB_GENESYS_SUBSCRIPTION_CTX_H_INCLUDED_
#define _NGX_EB_GENESYS_SUBSCRIPTION_CTX_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_genesys.h"
#include "ngx_eb_genesys_body.h"
#include "ngx_eb_genesys_list.h"
#include "ngx_eb_genesys_patch.h"
#include "ngx_eb_genesys_settings.h"
#include "ngx_eb_genesys_subscription.h"


typedef enum {
    NGX_EB_GENESYS_AT_SEARCH = 0,
    NGX_EB_GENESYS_AT_POST,
    NGX_EB_GENESYS_AT_ITEM,
    NGX_EB_GENESYS_AT_CONFIG,
    NGX_EB_GENESYS_AT_PUT,
    NGX_EB_GENESYS_AT_READ_BACK,
    NGX_EB_GENESYS_AT_ENABLE,
    NGX_EB_GENESYS_AT_DELETE
} ngx_eb_genesys_at_e;


typedef struct {
    ngx_eb_genesys_subscription_t   result;

    ngx_eb_genesys_sub_api_t           *api;
    ngx_eb_genesys_sub_verb_e           verb;
    ngx_eb_genesys_at_e             at;     /* of whose request the reply is */
    ngx_eb_genesys_settings_t      *settings;
    ngx_eb_genesys_member_t        *members;

    ngx_eb_genesys_body_t           body;
    ngx_eb_genesys_doc_t           *ours;
    ngx_eb_genesys_doc_t           *theirs;
    ngx_eb_genesys_list_t           list;

    ngx_str_t                       id;
    ngx_str_t                       item;   /* documents */
    ngx_str_t                       config;
    ngx_str_t                       etag;

    ngx_eb_genesys_reply_t          ambiguous_reply;

    ngx_uint_t                      searches;
    ngx_uint_t                      posts;
    ngx_uint_t                      puts;

    unsigned                        ambiguous:1;    /* a POST was */
    unsigned                        confirm:1;      /* created, but no id */
} ngx_eb_genesys_ctx_t;


ngx_int_t ngx_eb_genesys_sub_send(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_at_e at, ngx_eb_genesys_request_t *request);
ngx_int_t ngx_eb_genesys_sub_search(ngx_eb_genesys_op_t *op,
    ngx_msec_t delay, ngx_eb_genesys_request_t *request);
ngx_int_t ngx_eb_genesys_sub_item(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request);
ngx_int_t ngx_eb_genesys_sub_config(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request);
ngx_int_t ngx_eb_genesys_sub_written(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request);
ngx_int_t ngx_eb_genesys_sub_back(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request);
ngx_int_t ngx_eb_genesys_sub_enabled(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply);
ngx_int_t ngx_eb_genesys_sub_finish(ngx_eb_genesys_op_t *op);
const char *ngx_eb_genesys_sub_instead(ngx_eb_genesys_ctx_t *ctx);


extern ngx_str_t  ngx_eb_genesys_integration_type;


#endif /* _NGX_EB_GENESYS_SUBSCRIPTION_CTX_H_INCLUDED_ */
