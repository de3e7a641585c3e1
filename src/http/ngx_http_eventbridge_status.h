
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What is known of this node, as one JSON document, and as a page.
 */


#ifndef _NGX_HTTP_EVENTBRIDGE_STATUS_H_INCLUDED_
#define _NGX_HTTP_EVENTBRIDGE_STATUS_H_INCLUDED_


#include "ngx_http_eventbridge_module.h"


/* of the document; ngx_http_eventbridge_status.c writes no more levels */
#define NGX_HTTP_EVENTBRIDGE_STATUS_DEPTH  16


/* ngx_http_eventbridge_status.c */

ngx_int_t ngx_http_eventbridge_status_handler(ngx_http_request_t *r);

/* init_module: counts configurations, and since when there are any */
void ngx_http_eventbridge_status_init(ngx_cycle_t *cycle,
    ngx_http_eventbridge_main_conf_t *emcf);

/* a member of a document; name is a literal, with comma, quotes and colon */
void ngx_http_eventbridge_status_int(ngx_eb_out_t *out, const char *name,
    int64_t value);

/*
 * A text from pool that write() makes: if it does not fit into size bytes it
 * is called again, with twice the room, until it does.  NGX_OK, NGX_ERROR (no
 * memory).
 */
ngx_int_t ngx_http_eventbridge_status_text(ngx_pool_t *pool, size_t size,
    void (*write)(ngx_eb_out_t *out, void *data), void *data, ngx_str_t *text);


/* ngx_http_eventbridge_status_page.c */

/*
 * The page that shows doc, the JSON document, to people, from r->pool; and the
 * headers that it needs.  NGX_OK, NGX_ERROR.
 */
ngx_int_t ngx_http_eventbridge_status_page(ngx_http_request_t *r,
    ngx_eb_json_parser_t *parser, ngx_str_t *doc, ngx_str_t *page);


#endif /* _NGX_HTTP_EVENTBRIDGE_STATUS_H_INCLUDED_ */
