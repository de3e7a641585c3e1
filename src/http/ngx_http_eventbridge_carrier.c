
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Carriers and subrequests.  A carrier is a request without a client: it owns
 * the subrequests that are made for one, so that they outlive the client's
 * connection.  nginx has no such thing; what is faked, and why, is said where
 * it is done.
 */


#include "ngx_http_eventbridge_module.h"


static ngx_int_t ngx_http_eventbridge_carrier_connection(
    ngx_http_eventbridge_carrier_t *carrier, ngx_log_t *log,
    ngx_http_conf_ctx_t *ctx);
static ngx_int_t ngx_http_eventbridge_carrier_request(
    ngx_http_eventbridge_carrier_t *carrier);
static u_char *ngx_http_eventbridge_carrier_log(ngx_log_t *log, u_char *buf,
    size_t len);
static void ngx_http_eventbridge_carrier_event(ngx_event_t *ev);
static void ngx_http_eventbridge_carrier_cut(
    ngx_http_eventbridge_carrier_t *carrier);
static ngx_int_t ngx_http_eventbridge_sub_headers(
    ngx_http_eventbridge_carrier_t *carrier, ngx_http_request_t *sr);
static ngx_int_t ngx_http_eventbridge_sub_variables(
    ngx_http_eventbridge_carrier_t *carrier, ngx_http_request_t *sr);
static void ngx_http_eventbridge_enter(ngx_http_request_t *r);
static void ngx_http_eventbridge_fail(ngx_http_request_t *r);
static ngx_int_t ngx_http_eventbridge_sub_done(ngx_http_request_t *r,
    void *data, ngx_int_t rc);
static ngx_int_t ngx_http_eventbridge_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_eventbridge_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


/* $server_addr of a carrier; an unset one would be asked of the descriptor */

static struct sockaddr_in  ngx_http_eventbridge_loopback;


static ngx_str_t  ngx_http_eventbridge_post = ngx_string("POST");
static ngx_str_t  ngx_http_eventbridge_protocol = ngx_string("HTTP/1.1");


ngx_http_eventbridge_carrier_t *
ngx_http_eventbridge_carrier_create(ngx_pool_t *pool, ngx_log_t *log,
    ngx_http_conf_ctx_t *ctx, ngx_http_eventbridge_facts_t *facts,
    ngx_str_t *name)
{
    ngx_http_eventbridge_carrier_t  *carrier;

    carrier = ngx_pcalloc(pool, sizeof(ngx_http_eventbridge_carrier_t));
    if (carrier == NULL) {
        return NULL;
    }

    carrier->facts = facts;
    carrier->name = name;
    carrier->pool = pool;

    if (ngx_http_eventbridge_carrier_connection(carrier, log, ctx) != NGX_OK) {
        return NULL;
    }

    if (ngx_http_eventbridge_carrier_request(carrier) != NGX_OK) {
        ngx_http_eventbridge_carrier_free(carrier);
        return NULL;
    }

    return carrier;
}


/*
 * A connection slot that is no socket.  Its events look active and ready,
 * so that nobody adds them to epoll, its TCP options look set.  The descriptor
 * must be a number that is not -1: worker_shutdown_timeout passes over
 * connections without one.  It is never read, written, or closed.
 */

static ngx_int_t
ngx_http_eventbridge_carrier_connection(
    ngx_http_eventbridge_carrier_t *carrier, ngx_log_t *log,
    ngx_http_conf_ctx_t *ctx)
{
    ngx_connection_t       *c, *saved;
    ngx_http_connection_t  *hc;

    /* event methods with a table of descriptors must not learn of it */

    saved = NULL;

    if (ngx_cycle->files) {
        saved = ngx_cycle->files[0];
    }

    c = ngx_get_connection(0, log);

    if (ngx_cycle->files) {
        ngx_cycle->files[0] = saved;
    }

    if (c == NULL) {
        return NGX_ERROR;
    }

    carrier->connection = c;

    /* ngx_http_create_request() changes the log and writes through its data */

    carrier->log = *log;
    carrier->log.handler = ngx_http_eventbridge_carrier_log;
    carrier->log.data = &carrier->log_ctx;
        carrier->log_ctx.connection = c;

    c->log = &carrier->log;
    c->read->log = c->log;
    c->write->log = c->log;
    c->log_error = NGX_ERROR_INFO;

    c->pool = carrier->pool;
    c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);

    c->sockaddr = carrier->facts->sockaddr;
    c->socklen = carrier->facts->socklen;
    c->local_sockaddr = (struct sockaddr *) &ngx_http_eventbridge_loopback;
    c->local_socklen = sizeof(struct sockaddr_in);
    c->addr_text = carrier->facts->addr_text;

    c->tcp_nodelay = NGX_TCP_NODELAY_DISABLED;
    c->tcp_nopush = NGX_TCP_NOPUSH_DISABLED;

    c->read->handler = ngx_http_eventbridge_carrier_event;
    c->write->handler = ngx_http_eventbridge_carrier_event;
    c->read->active = 1;
    c->write->active = 1;
    c->write->ready = 1;

    c->buffer = ngx_create_temp_buf(carrier->pool, 1);
    hc = ngx_pcalloc(carrier->pool, sizeof(ngx_http_connection_t));

    if (c->buffer == NULL || hc == NULL) {
        c->read->active = 0;
        c->write->active = 0;
        ngx_free_connection(c);
        c->fd = (ngx_socket_t) -1;
        return NGX_ERROR;
    }

    hc->conf_ctx = ctx;
    c->data = hc;

    return NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_carrier_request(ngx_http_eventbridge_carrier_t *carrier)
{
    ngx_http_request_t  *r;

    r = ngx_http_create_request(carrier->connection);
    if (r == NULL) {
        return NGX_ERROR;
    }

    carrier->request = r;
    carrier->connection->data = r;

    if (ngx_list_init(&r->headers_in.headers, r->pool, 2,
                      sizeof(ngx_table_elt_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    r->method = NGX_HTTP_POST;
    r->method_name = ngx_http_eventbridge_post;
    r->http_version = NGX_HTTP_VERSION_11;
    r->http_protocol = ngx_http_eventbridge_protocol;
    r->request_line = carrier->facts->request_line;
    r->unparsed_uri = carrier->facts->unparsed_uri;
    r->uri = *carrier->name;
    r->headers_in.server = carrier->facts->server;
    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    /* it is no request of anybody: no access log */
    r->logged = 1;

    /*
     * The client's request has passed these, if the ingest location has them.
     * A delay would be waited for on a connection that has no events.
     */
    r->limit_req_status = 1;
    r->limit_conn_status = 1;

    return NGX_OK;
}


static u_char *
ngx_http_eventbridge_carrier_log(ngx_log_t *log, u_char *buf, size_t len)
{
    u_char                          *p;
    ngx_http_log_ctx_t              *ctx;
    ngx_http_eventbridge_carrier_t  *carrier;

    ctx = log->data;
    carrier = (ngx_http_eventbridge_carrier_t *)
                  ((u_char *) ctx
                   - offsetof(ngx_http_eventbridge_carrier_t, log_ctx));

    p = buf;

    if (log->action) {
        p = ngx_snprintf(buf, len, " while %s", log->action);
        len -= p - buf;
        buf = p;
    }

    p = ngx_snprintf(buf, len, ", eventbridge location: \"%V\", client: %V, "
                     "request id: %V", carrier->name,
                     &carrier->facts->addr_text, &carrier->facts->request_id);

    if (ctx->current_request && ctx->current_request != carrier->request) {
        len -= p - buf;
        p = ngx_snprintf(p, len, ", destination: \"%V\"",
                         &ctx->current_request->uri);
    }

    return p;
}


/* nothing ever happens on a carrier, but for worker_shutdown_timeout */

static void
ngx_http_eventbridge_carrier_event(ngx_event_t *ev)
{
    ngx_connection_t                *c;
    ngx_http_eventbridge_carrier_t  *carrier;

    c = ev->data;

    if (!c->close) {
        return;
    }

    carrier = (ngx_http_eventbridge_carrier_t *)
                  ((u_char *) c->log
                   - offsetof(ngx_http_eventbridge_carrier_t, log));

    ngx_http_eventbridge_carrier_cut(carrier);
}


/*
 * Ends all subrequests as if their destinations had been silent.  The cleanup
 * handlers of the upstreams close the connections, but skip our done handler.
 */

static void
ngx_http_eventbridge_carrier_cut(ngx_http_eventbridge_carrier_t *carrier)
{
    ngx_http_cleanup_t  *cln;
    ngx_http_request_t  *r;

    r = carrier->request;

    carrier->connection->close = 0;
    carrier->connection->error = 0;

    cln = r->cleanup;
    r->cleanup = NULL;

    /* each of them may let go of a reference */
    r->count += 30000;

    while (cln) {
        if (cln->handler) {
            cln->handler(cln->data);
        }

        cln = cln->next;
    }

    r->posted_requests = NULL;

    carrier->running = 0;
    carrier->cut(carrier);
}


void
ngx_http_eventbridge_carrier_free(ngx_http_eventbridge_carrier_t *carrier)
{
    ngx_connection_t  *c;

    c = carrier->connection;

    if (carrier->request) {
        /*
         * not ngx_http_finalize_request(): it would close the connection, and
         * destroy its pool; cleanup handlers may drop references
         */
        carrier->request->count = 30000;
        ngx_http_free_request(carrier->request, 0);
        carrier->request = NULL;
    }

    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }

    if (c->write->posted) {
        ngx_delete_posted_event(c->write);
    }

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    c->read->active = 0;
    c->write->active = 0;

    /* the slot must not claim descriptor 0 for itself */
    c->fd = (ngx_socket_t) -1;

    c->data = ngx_cycle->free_connections;
    ngx_cycle->free_connections = c;
    ngx_cycle->free_connection_n++;
}


ngx_int_t
ngx_http_eventbridge_subrequest(ngx_http_eventbridge_carrier_t *carrier,
    ngx_http_eventbridge_sub_t *sub, ngx_str_t *uri, ngx_http_request_t **srp)
{
    ngx_http_request_t          *sr;
    ngx_http_post_subrequest_t  *ps;

    ps = ngx_palloc(carrier->request->pool, sizeof(ngx_http_post_subrequest_t));
    if (ps == NULL) {
        return NGX_ERROR;
    }

    ps->handler = ngx_http_eventbridge_sub_done;
    ps->data = sub;

    if (ngx_http_subrequest(carrier->request, uri, NULL, &sr, ps,
                            NGX_HTTP_SUBREQUEST_BACKGROUND)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    *srp = sr;

    sub->carrier = carrier;
    carrier->started++;
    carrier->running++;

    ngx_http_set_ctx(sr, sub, ngx_http_eventbridge_module);

    sr->method = NGX_HTTP_POST;
    sr->method_name = ngx_http_eventbridge_post;
    sr->write_event_handler = ngx_http_eventbridge_enter;

    return (ngx_http_eventbridge_sub_headers(carrier, sr) == NGX_OK
            && ngx_http_eventbridge_sub_variables(carrier, sr) == NGX_OK)
           ? NGX_OK : NGX_DECLINED;
}


void
ngx_http_eventbridge_sub_run(ngx_http_request_t *sr, ngx_uint_t failed)
{
    if (failed) {
        /* it is posted already */
        sr->write_event_handler = ngx_http_eventbridge_fail;
    }

    ngx_http_run_posted_requests(sr->connection);
}


/*
 * The headers of the parent would leak to the destination (they share one
 * list): the subrequest gets headers of its own.
 */

static ngx_int_t
ngx_http_eventbridge_sub_headers(ngx_http_eventbridge_carrier_t *carrier,
    ngx_http_request_t *sr)
{
    ngx_http_headers_in_t         *in;
    ngx_http_eventbridge_facts_t  *facts;

    facts = carrier->facts;
    in = &sr->headers_in;

    ngx_memzero(in, sizeof(ngx_http_headers_in_t));

    if (ngx_list_init(&in->headers, sr->pool, 8, sizeof(ngx_table_elt_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    in->server = facts->server;
    in->keep_alive_n = -1;

    if (facts->host.len) {
        in->host = ngx_http_eventbridge_header(sr, "Host", &facts->host);
        if (in->host == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* what fastcgi and "$content_length" read, too; proxy counts for itself */

ngx_int_t
ngx_http_eventbridge_sub_length(ngx_http_request_t *sr, off_t len)
{
    ngx_str_t  value;

    value.data = ngx_pnalloc(sr->pool, NGX_OFF_T_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_sprintf(value.data, "%O", len) - value.data;

    sr->headers_in.content_length_n = len;
    sr->headers_in.content_length = ngx_http_eventbridge_header(sr,
                                                    "Content-Length", &value);

    return sr->headers_in.content_length ? NGX_OK : NGX_ERROR;
}


ngx_table_elt_t *
ngx_http_eventbridge_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value)
{
    size_t            len;
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_in.headers);
    if (h == NULL) {
        return NULL;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    len = ngx_strlen(name);

    h->key.data = (u_char *) name;
    h->key.len = len;
    h->value = *value;

    h->lowcase_key = ngx_pnalloc(r->pool, len);
    if (h->lowcase_key == NULL) {
        return NULL;
    }

    h->hash = ngx_hash_strlow(h->lowcase_key, h->key.data, len);

    return h;
}


/*
 * Variables of its own, too: a value that one subrequest computes would be
 * served to its siblings.  The client's request id and scheme are given.
 */

static ngx_int_t
ngx_http_eventbridge_sub_variables(ngx_http_eventbridge_carrier_t *carrier,
    ngx_http_request_t *sr)
{
    ngx_http_variable_value_t         *v;
    ngx_http_core_main_conf_t         *cmcf;
    ngx_http_eventbridge_facts_t      *facts;
    ngx_http_eventbridge_main_conf_t  *emcf;

    facts = carrier->facts;
    emcf = ngx_http_get_module_main_conf(sr, ngx_http_eventbridge_module);
    cmcf = ngx_http_get_module_main_conf(sr, ngx_http_core_module);

    v = ngx_pcalloc(sr->pool, cmcf->variables.nelts
                              * sizeof(ngx_http_variable_value_t));
    if (v == NULL) {
        return NGX_ERROR;
    }

    sr->variables = v;

    v = &sr->variables[emcf->request_id_index];
    v->data = facts->request_id.data;
    v->len = facts->request_id.len;
    v->valid = 1;

    v = &sr->variables[emcf->scheme_index];
    v->data = facts->scheme.data;
    v->len = facts->scheme.len;
    v->valid = 1;

    return NGX_OK;
}


/*
 * The subrequest begins at its location, as in a named one: server-level
 * "if", "return" and "rewrite" are meant for clients.
 */

static void
ngx_http_eventbridge_enter(ngx_http_request_t *r)
{
    ngx_http_core_main_conf_t   *cmcf;
    ngx_http_eventbridge_sub_t  *sub;

    sub = r->post_subrequest->data;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "eventbridge subrequest to \"%V\"", &r->uri);

    r->loc_conf = sub->clcf->loc_conf;
    r->valid_location = 1;

    ngx_http_update_location_config(r);

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);

    r->phase_handler = cmcf->phase_engine.location_rewrite_index;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);
}


static void
ngx_http_eventbridge_fail(ngx_http_request_t *r)
{
    ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
}


/*
 * Always NGX_OK: any other code runs error pages, or terminates the carrier
 * with all that it carries.
 */

static ngx_int_t
ngx_http_eventbridge_sub_done(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_eventbridge_sub_t *sub = data;

    /* an error of this answer is no error of its siblings */
    r->connection->error = 0;

    sub->end(sub, r, rc);

    return NGX_OK;
}


ngx_http_eventbridge_sub_t *
ngx_http_eventbridge_request_sub(ngx_http_request_t *r)
{
    if (r == r->main
        || r->post_subrequest == NULL
        || r->post_subrequest->handler != ngx_http_eventbridge_sub_done)
    {
        return NULL;
    }

    return r->post_subrequest->data;
}


ngx_int_t
ngx_http_eventbridge_filter_init(ngx_conf_t *cf)
{
    ngx_http_eventbridge_loopback.sin_family = AF_INET;
    ngx_http_eventbridge_loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_eventbridge_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_eventbridge_body_filter;

    return NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_header_filter(ngx_http_request_t *r)
{
    ngx_http_eventbridge_sub_t  *sub;

    sub = ngx_http_eventbridge_request_sub(r);

    if (sub == NULL) {
        if (r == r->main && r->headers_out.status >= NGX_HTTP_BAD_REQUEST
            && ngx_http_eventbridge_error_header(r) == NGX_ERROR)
        {
            return NGX_ERROR;
        }

        return ngx_http_next_header_filter(r);
    }

    r->header_sent = 1;

    if (r->upstream) {
        r->upstream->buffering = 0;
    }

    /* an internal redirect (error_page, try_files, X-Accel-Redirect) wipes
       the contexts */

    sub->header(sub, r,
                ngx_http_get_module_ctx(r, ngx_http_eventbridge_module)
                != NULL);

    return NGX_OK;
}


ngx_uint_t
ngx_http_eventbridge_sub_status(ngx_http_request_t *r)
{
    if (r->upstream && r->upstream->headers_in.status_n) {
        return r->upstream->headers_in.status_n;
    }

    return r->headers_out.status;
}


ngx_str_t *
ngx_http_eventbridge_sub_header(ngx_http_request_t *r, const char *name)
{
    size_t            len;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    len = ngx_strlen(name);
    part = &r->headers_out.headers.part;
    h = part->elts;

    for (i = 0; /* void */; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return NULL;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].hash && h[i].key.len == len
            && ngx_strncasecmp(h[i].key.data, (u_char *) name, len) == 0)
        {
            return &h[i].value;
        }
    }
}


static ngx_int_t
ngx_http_eventbridge_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_eventbridge_sub_t  *sub;

    sub = ngx_http_eventbridge_request_sub(r);

    if (sub == NULL) {
        if (r == r->main && in && r->headers_out.status >= NGX_HTTP_BAD_REQUEST
            && ngx_http_eventbridge_error_body(r, &in) == NGX_ERROR)
        {
            return NGX_ERROR;
        }

        return ngx_http_next_body_filter(r, in);
    }

    sub->body(sub, r, in);

    for ( /* void */ ; in; in = in->next) {
        in->buf->pos = in->buf->last;
        in->buf->file_pos = in->buf->file_last;
    }

    return NGX_OK;
}
