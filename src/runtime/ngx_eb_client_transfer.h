
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * A transfer, as the parts of the background client share it.  Private to it.
 */


#ifndef _NGX_EB_CLIENT_TRANSFER_H_INCLUDED_
#define _NGX_EB_CLIENT_TRANSFER_H_INCLUDED_


#include "ngx_eb_client.h"
#include <curl/curl.h>


#define NGX_EB_CLIENT_HOST       256
#define NGX_EB_CLIENT_HEADERS    64         /* KB of an answer's */


struct ngx_eb_client_transfer_s {
    ngx_queue_t               queue;
    CURL                     *easy;
    struct curl_slist        *headers;
    struct curl_slist        *resolve;
    ngx_pool_t               *pool;

    u_char                   *body;         /* of the request */
    size_t                    body_len;
    size_t                    max_body;
    size_t                    room;         /* of reply.body */
    size_t                    head;         /* bytes of the answer's header */
    ngx_eb_client_reply_t     reply;
    char                      words[CURL_ERROR_SIZE];

    ngx_resolver_t           *resolver;
    ngx_resolver_ctx_t       *resolving;
    ngx_msec_t                resolver_timeout;
    ngx_str_t                 host;
    in_port_t                 port;
    ngx_msec_t                start;
    ngx_msec_t                timeout;
    ngx_msec_t                looked_up;

    ngx_eb_client_watch_t    *watch;
    void                    (*handler)(void *data,
        ngx_eb_client_reply_t *reply);
    void                     *data;

    unsigned                  added:1;      /* to the multi handle */
    unsigned                  large:1;
    unsigned                  failed:1;     /* reply.error says why */
    unsigned                  starved:1;    /* there was no connection of
                                               nginx for it */
    unsigned                  forbidden:1;  /* an address, by the watch */
};


/* can the libcurl that is there be used?  NGX_ERROR: logged */
ngx_int_t ngx_eb_client_same_openssl(void);

/* its handle, with all options, and its name to look up.  NGX_OK, NGX_ERROR */
ngx_int_t ngx_eb_client_setup(ngx_eb_client_transfer_t *t,
    ngx_eb_client_request_t *request);

/* the options of a request with a watch, besides.  NGX_OK, NGX_ERROR */
ngx_int_t ngx_eb_client_watched(ngx_eb_client_transfer_t *t);

/* what an end that libcurl tells of means */
ngx_eb_client_cause_e ngx_eb_client_cause(ngx_eb_client_transfer_t *t,
    CURLcode code);


#endif /* _NGX_EB_CLIENT_TRANSFER_H_INCLUDED_ */
