
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Carriers and subrequests.  A carrier is a request without a client: it owns
 * the subrequests that deliver a batch, so that they outlive the sender's
 * connection.  nginx has no such thing; what is faked, and why, is said where
 * it is done.
 */


#include "ngx_http_eventbridge_module.h"
#include <openssl/evp.h>


/* a subrequest's memory is freed with its carrier only */
#define NGX_HTTP_EVENTBRIDGE_CARRIER_SENDS  256

/* a longer answer is not worth a kept connection */
#define NGX_HTTP_EVENTBRIDGE_MAX_ANSWER     (1024 * 1024)


static ngx_http_eventbridge_carrier_t *ngx_http_eventbridge_carrier_create(
    ngx_http_eventbridge_job_t *job);
static ngx_int_t ngx_http_eventbridge_carrier_connection(
    ngx_http_eventbridge_carrier_t *carrier);
static ngx_int_t ngx_http_eventbridge_carrier_request(
    ngx_http_eventbridge_carrier_t *carrier);
static u_char *ngx_http_eventbridge_carrier_log(ngx_log_t *log, u_char *buf,
    size_t len);
static void ngx_http_eventbridge_carrier_event(ngx_event_t *ev);
static void ngx_http_eventbridge_carrier_cut(
    ngx_http_eventbridge_carrier_t *carrier);
static ngx_int_t ngx_http_eventbridge_send_headers(
    ngx_http_eventbridge_send_t *send, ngx_http_request_t *sr, off_t len);
static ngx_table_elt_t *ngx_http_eventbridge_header(ngx_http_request_t *r,
    const char *name, ngx_str_t *value);
static ngx_int_t ngx_http_eventbridge_send_key(
    ngx_http_eventbridge_send_t *send, ngx_http_request_t *sr);
static ngx_int_t ngx_http_eventbridge_send_variables(
    ngx_http_eventbridge_send_t *send, ngx_http_request_t *sr);
static void ngx_http_eventbridge_enter(ngx_http_request_t *r);
static void ngx_http_eventbridge_fail(ngx_http_request_t *r);
static ngx_int_t ngx_http_eventbridge_send_done(ngx_http_request_t *r,
    void *data, ngx_int_t rc);
static ngx_int_t ngx_http_eventbridge_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_eventbridge_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_uint_t ngx_http_eventbridge_retry_after(ngx_http_request_t *r);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


/* $server_addr of a carrier; an unset one would be asked of the descriptor */

static struct sockaddr_in  ngx_http_eventbridge_loopback;


static ngx_str_t  ngx_http_eventbridge_post = ngx_string("POST");
static ngx_str_t  ngx_http_eventbridge_json = ngx_string("application/json");
static ngx_str_t  ngx_http_eventbridge_protocol = ngx_string("HTTP/1.1");


static ngx_http_eventbridge_carrier_t *
ngx_http_eventbridge_carrier_create(ngx_http_eventbridge_job_t *job)
{
    ngx_http_eventbridge_carrier_t  *carrier, **slot;

    carrier = ngx_pcalloc(job->pool, sizeof(ngx_http_eventbridge_carrier_t));
    if (carrier == NULL) {
        return NULL;
    }

    carrier->job = job;

    slot = ngx_array_push(&job->carriers);
    if (slot == NULL) {
        return NULL;
    }

    *slot = carrier;

    if (ngx_http_eventbridge_carrier_connection(carrier) != NGX_OK) {
        job->carriers.nelts--;
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
    ngx_http_eventbridge_carrier_t *carrier)
{
    ngx_connection_t             *c, *saved;
    ngx_http_connection_t        *hc;
    ngx_http_eventbridge_job_t   *job;

    job = carrier->job;

    /* event methods with a table of descriptors must not learn of it */

    saved = NULL;

    if (ngx_cycle->files) {
        saved = ngx_cycle->files[0];
    }

    c = ngx_get_connection(0, job->log);

    if (ngx_cycle->files) {
        ngx_cycle->files[0] = saved;
    }

    if (c == NULL) {
        return NGX_ERROR;
    }

    carrier->connection = c;

    /* ngx_http_create_request() changes the log and writes through its data */

    carrier->log = *job->log;
    carrier->log.handler = ngx_http_eventbridge_carrier_log;
    carrier->log.data = &carrier->log_ctx;
    carrier->log.action = "delivering events";
    carrier->log_ctx.connection = c;

    c->log = &carrier->log;
    c->read->log = c->log;
    c->write->log = c->log;
    c->log_error = NGX_ERROR_INFO;

    c->pool = job->pool;
    c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);

    c->sockaddr = job->sockaddr;
    c->socklen = job->socklen;
    c->local_sockaddr = (struct sockaddr *) &ngx_http_eventbridge_loopback;
    c->local_socklen = sizeof(struct sockaddr_in);
    c->addr_text = job->addr_text;

    c->tcp_nodelay = NGX_TCP_NODELAY_DISABLED;
    c->tcp_nopush = NGX_TCP_NOPUSH_DISABLED;

    c->read->handler = ngx_http_eventbridge_carrier_event;
    c->write->handler = ngx_http_eventbridge_carrier_event;
    c->read->active = 1;
    c->write->active = 1;
    c->write->ready = 1;

    c->buffer = ngx_create_temp_buf(job->pool, 1);
    hc = ngx_pcalloc(job->pool, sizeof(ngx_http_connection_t));

    if (c->buffer == NULL || hc == NULL) {
        c->read->active = 0;
        c->write->active = 0;
        ngx_free_connection(c);
        c->fd = (ngx_socket_t) -1;
        return NGX_ERROR;
    }

    hc->conf_ctx = job->ingest->ctx;
    c->data = hc;

    return NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_carrier_request(ngx_http_eventbridge_carrier_t *carrier)
{
    ngx_http_request_t          *r;
    ngx_http_eventbridge_job_t  *job;

    job = carrier->job;

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
    r->request_line = job->request_line;
    r->unparsed_uri = job->unparsed_uri;
    r->uri = job->ingest->name;
    r->headers_in.server = job->server;
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
                     "request id: %V", &carrier->job->ingest->name,
                     &carrier->job->addr_text, &carrier->job->request_id);

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
    ngx_uint_t                        i;
    ngx_connection_t                 *c;
    ngx_http_eventbridge_job_t       *job;
    ngx_http_eventbridge_carrier_t  **carriers, *carrier;

    c = ev->data;

    if (!c->close) {
        return;
    }

    carrier = (ngx_http_eventbridge_carrier_t *)
                  ((u_char *) c->log
                   - offsetof(ngx_http_eventbridge_carrier_t, log));
    job = carrier->job;
    carriers = job->carriers.elts;

    for (i = 0; i < job->carriers.nelts; i++) {
        if (carriers[i] == carrier) {
            ngx_http_eventbridge_carrier_cut(carrier);
            return;
        }
    }
}


/*
 * Ends all subrequests as if their destinations had been silent.  The cleanup
 * handlers of the upstreams close the connections, but skip our done handler.
 */

static void
ngx_http_eventbridge_carrier_cut(ngx_http_eventbridge_carrier_t *carrier)
{
    ngx_uint_t                     i;
    ngx_http_cleanup_t            *cln;
    ngx_http_request_t            *r;
    ngx_http_eventbridge_job_t    *job;
    ngx_http_eventbridge_send_t  **sends;

    job = carrier->job;
    r = carrier->request;

    carrier->connection->close = 0;
    carrier->connection->error = 0;
    job->cut = 1;

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

    sends = job->sends.elts;

    for (i = 0; i < job->sends.nelts; i++) {
        if (sends[i]->carrier == carrier && !sends[i]->done) {
            sends[i]->settled = 1;
            sends[i]->done = 1;
            sends[i]->local = 1;
            carrier->running--;
            job->running--;
        }
    }

    ngx_post_event(&job->wake, &ngx_posted_events);
}


void
ngx_http_eventbridge_carrier_free(ngx_http_eventbridge_carrier_t *carrier)
{
    ngx_uint_t                        i;
    ngx_connection_t                 *c;
    ngx_http_eventbridge_job_t       *job;
    ngx_http_eventbridge_carrier_t  **carriers;

    job = carrier->job;
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

    if (job->carrier == carrier) {
        job->carrier = NULL;
    }

    carriers = job->carriers.elts;

    for (i = 0; i < job->carriers.nelts; i++) {
        if (carriers[i] == carrier) {
            carriers[i] = carriers[--job->carriers.nelts];
            break;
        }
    }
}


ngx_int_t
ngx_http_eventbridge_send(ngx_http_eventbridge_send_t *send)
{
    off_t                            len;
    ngx_http_request_t              *sr;
    ngx_http_eventbridge_job_t      *job;
    ngx_http_post_subrequest_t      *ps;
    ngx_http_eventbridge_carrier_t  *carrier;

    job = send->job;
    carrier = job->carrier;

    send->started = 1;
    send->start = ngx_current_msec;

    if (carrier == NULL
        || carrier->started == NGX_HTTP_EVENTBRIDGE_CARRIER_SENDS)
    {
        carrier = ngx_http_eventbridge_carrier_create(job);
        job->carrier = carrier;

        if (carrier == NULL) {
            return NGX_ERROR;
        }
    }

    ps = ngx_palloc(carrier->request->pool, sizeof(ngx_http_post_subrequest_t));
    if (ps == NULL) {
        return NGX_ERROR;
    }

    ps->handler = ngx_http_eventbridge_send_done;
    ps->data = send;

    if (ngx_http_subrequest(carrier->request, &send->destination->uri, NULL,
                            &sr, ps, NGX_HTTP_SUBREQUEST_BACKGROUND)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    send->carrier = carrier;
    carrier->started++;
    carrier->running++;
    job->running++;

    ngx_http_set_ctx(sr, send, ngx_http_eventbridge_module);

    sr->method = NGX_HTTP_POST;
    sr->method_name = ngx_http_eventbridge_post;
    sr->write_event_handler = ngx_http_eventbridge_enter;

    if (ngx_http_eventbridge_send_body(send, sr, &len) != NGX_OK
        || ngx_http_eventbridge_send_headers(send, sr, len) != NGX_OK
        || ngx_http_eventbridge_send_variables(send, sr) != NGX_OK)
    {
        /* it is posted already: it runs into its end, and is not delivered */
        sr->write_event_handler = ngx_http_eventbridge_fail;
    }

    ngx_http_run_posted_requests(carrier->connection);

    return NGX_OK;
}


/*
 * The headers of the parent would leak to the destination (they share one
 * list): the subrequest gets headers of its own.
 */

static ngx_int_t
ngx_http_eventbridge_send_headers(ngx_http_eventbridge_send_t *send,
    ngx_http_request_t *sr, off_t len)
{
    ngx_str_t                     value, empty;
    ngx_table_elt_t              *h;
    ngx_http_headers_in_t        *in;
    ngx_http_eventbridge_job_t   *job;

    job = send->job;
    in = &sr->headers_in;

    ngx_memzero(in, sizeof(ngx_http_headers_in_t));

    if (ngx_list_init(&in->headers, sr->pool, 8, sizeof(ngx_table_elt_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    in->server = job->server;
    in->content_length_n = len;
    in->keep_alive_n = -1;

    if (job->host.len) {
        in->host = ngx_http_eventbridge_header(sr, "Host", &job->host);
        if (in->host == NULL) {
            return NGX_ERROR;
        }
    }

    in->content_type = ngx_http_eventbridge_header(sr, "Content-Type",
                                                &ngx_http_eventbridge_json);
    if (in->content_type == NULL) {
        return NGX_ERROR;
    }

    /* what fastcgi and "$content_length" read; proxy counts for itself */

    value.data = ngx_pnalloc(sr->pool, NGX_OFF_T_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_sprintf(value.data, "%O", len) - value.data;

    in->content_length = ngx_http_eventbridge_header(sr, "Content-Length",
                                                     &value);
    if (in->content_length == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_eventbridge_header(sr, "X-Request-Id", &job->request_id)
        == NULL)
    {
        return NGX_ERROR;
    }

    if (ngx_http_eventbridge_send_routes(send, sr->pool, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_eventbridge_header(sr, "X-EventBridge-Route", &value)
        == NULL)
    {
        return NGX_ERROR;
    }

    value.data = ngx_pnalloc(sr->pool, NGX_INT_T_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_sprintf(value.data, "%ui", send->nhits) - value.data;

    h = ngx_http_eventbridge_header(sr, "X-EventBridge-Count", &value);
    if (h == NULL) {
        return NGX_ERROR;
    }

    if (job->headers && ngx_http_eventbridge_headers_pass(job, sr) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_str_null(&empty);
    sr->args = empty;

    if (job->form == NGX_HTTP_EVENTBRIDGE_FORWARD_SINGLE) {
        return ngx_http_eventbridge_send_key(send, sr);
    }

    return NGX_OK;
}


/* value is borrowed and must live as long as r */

static ngx_table_elt_t *
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
 * Idempotency-Key: the same for the same event whenever and by whomever it is
 * sent again.  The id itself may hold any byte, so it is hashed; SHA-256, for
 * nobody may craft an event that a destination takes for another.
 */

static ngx_int_t
ngx_http_eventbridge_send_key(ngx_http_eventbridge_send_t *send,
    ngx_http_request_t *sr)
{
    u_char                       digest[EVP_MAX_MD_SIZE];
    uint32_t                     len;
    ngx_str_t                    value, *parts[4], *id, none;
    ngx_int_t                    rc;
    ngx_uint_t                   i;
    EVP_MD_CTX                  *md;
    ngx_eb_event_t              *event;
    ngx_eb_route_hit_t          *hits;
    ngx_http_eventbridge_job_t  *job;

    job = send->job;
    hits = job->hits.elts;
    event = &job->batch.events[hits[send->hits[0]].event];

    ngx_str_null(&none);

    id = ngx_http_eventbridge_key_id(job, hits[send->hits[0]].event);

    parts[0] = &job->scope;
    parts[1] = (job->conf->key == NGX_HTTP_EVENTBRIDGE_KEY_SOURCE_ID)
                   ? &event->source : &none;
    parts[2] = id->len ? id : &event->raw;
    parts[3] = &event->replay_name;

    value.len = 32;
    value.data = ngx_pnalloc(sr->pool, value.len);
    md = EVP_MD_CTX_new();

    if (value.data == NULL || md == NULL) {
        EVP_MD_CTX_free(md);
        return NGX_ERROR;
    }

    rc = NGX_ERROR;

    if (EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1) {
        goto done;
    }

    for (i = 0; i < 4; i++) {
        len = (uint32_t) parts[i]->len;

        if (EVP_DigestUpdate(md, &len, sizeof(len)) != 1
            || EVP_DigestUpdate(md, parts[i]->data, len) != 1)
        {
            goto done;
        }
    }

    if (EVP_DigestFinal_ex(md, digest, NULL) != 1) {
        goto done;
    }

    ngx_hex_dump(value.data, digest, 16);

    rc = ngx_http_eventbridge_header(sr, "Idempotency-Key", &value) ? NGX_OK
                                                                 : NGX_ERROR;
done:

    EVP_MD_CTX_free(md);

    return rc;
}


/*
 * Variables of its own, too: a value that one subrequest computes would be
 * served to its siblings.  The client's request id and scheme are given.
 */

static ngx_int_t
ngx_http_eventbridge_send_variables(ngx_http_eventbridge_send_t *send,
    ngx_http_request_t *sr)
{
    ngx_http_variable_value_t         *v;
    ngx_http_eventbridge_job_t        *job;
    ngx_http_core_main_conf_t         *cmcf;
    ngx_http_eventbridge_main_conf_t  *emcf;

    job = send->job;
    emcf = job->emcf;
    cmcf = ngx_http_get_module_main_conf(sr, ngx_http_core_module);

    v = ngx_pcalloc(sr->pool, cmcf->variables.nelts
                              * sizeof(ngx_http_variable_value_t));
    if (v == NULL) {
        return NGX_ERROR;
    }

    sr->variables = v;

    v = &sr->variables[emcf->request_id_index];
    v->data = job->request_id.data;
    v->len = job->request_id.len;
    v->valid = 1;

    v = &sr->variables[emcf->scheme_index];
    v->data = job->scheme.data;
    v->len = job->scheme.len;
    v->valid = 1;

    return NGX_OK;
}


ngx_int_t
ngx_http_eventbridge_send_routes(ngx_http_eventbridge_send_t *send,
    ngx_pool_t *pool, ngx_str_t *names)
{
    u_char                        *p;
    size_t                         len;
    ngx_uint_t                     i, j, n, last;
    ngx_uint_t                     seen[8];
    ngx_eb_route_hit_t            *hits;
    ngx_http_eventbridge_route_t  *routes;

    hits = send->job->hits.elts;
    routes = send->job->ingest->routes;

    /* most often it is one; beyond eight the rest is left out */

    n = 0;
    len = 0;
    last = (ngx_uint_t) -1;

    for (i = 0; i < send->nhits && n < 8; i++) {

        if (hits[send->hits[i]].route == last) {
            continue;
        }

        last = hits[send->hits[i]].route;

        for (j = 0; j < n && seen[j] != last; j++) { /* void */ }

        if (j == n) {
            seen[n++] = last;
            len += routes[last].name.len + 1;
        }
    }

    if (n == 1) {
        *names = routes[seen[0]].name;
        return NGX_OK;
    }

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    names->data = p;

    for (i = 0; i < n; i++) {
        if (i) {
            *p++ = ',';
        }

        p = ngx_cpymem(p, routes[seen[i]].name.data, routes[seen[i]].name.len);
    }

    names->len = p - names->data;

    return NGX_OK;
}


/*
 * The subrequest begins at its location, as in a named one: server-level
 * "if", "return" and "rewrite" are meant for clients.
 */

static void
ngx_http_eventbridge_enter(ngx_http_request_t *r)
{
    ngx_http_core_main_conf_t    *cmcf;
    ngx_http_eventbridge_send_t  *send;

    send = r->post_subrequest->data;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "eventbridge send %ui events to \"%V\"", send->nhits,
                   &r->uri);

    r->loc_conf = send->destination->clcf->loc_conf;
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
 * May be called more than once, and with a code of any kind.  Always NGX_OK:
 * any other code runs error pages, or terminates the carrier with all that
 * it carries.
 */

static ngx_int_t
ngx_http_eventbridge_send_done(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_http_eventbridge_send_t *send = data;

    ngx_log_debug4(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "eventbridge send to \"%V\" done: %i, status %ui, body %O",
                   &send->destination->uri, rc, send->status, send->received);

    /* an error of this answer is no error of its siblings */
    r->connection->error = 0;

    if (send->done) {
        return NGX_OK;
    }

    if (!send->settled) {
        send->settled = 1;

        if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
            send->status = (r->upstream && r->upstream->headers_in.status_n)
                               ? r->upstream->headers_in.status_n : 0;

            send->stale = (send->status == 0 && rc == NGX_HTTP_BAD_GATEWAY
                           && r->upstream && r->upstream->request_sent
                           && r->upstream->peer.cached);
        }
    }

    send->done = 1;
    send->carrier->running--;
    send->job->running--;

    ngx_post_event(&send->job->wake, &ngx_posted_events);

    return NGX_OK;
}


ngx_http_eventbridge_send_t *
ngx_http_eventbridge_request_send(ngx_http_request_t *r)
{
    if (r == r->main
        || r->post_subrequest == NULL
        || r->post_subrequest->handler != ngx_http_eventbridge_send_done)
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


/*
 * The status line decides: a destination that says 200 vouches for all events
 * of the request, whatever becomes of the answer's body.
 */

static ngx_int_t
ngx_http_eventbridge_header_filter(ngx_http_request_t *r)
{
    ngx_http_eventbridge_send_t  *send;

    send = ngx_http_eventbridge_request_send(r);

    if (send == NULL) {
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

    if (send->settled) {
        return NGX_OK;
    }

    send->settled = 1;

    /*
     * An internal redirect (error_page, try_files, X-Accel-Redirect) wipes
     * the contexts: then this is not the answer of the destination.
     */

    if (ngx_http_get_module_ctx(r, ngx_http_eventbridge_module) == NULL) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "eventbridge: destination \"%V\" was redirected inside "
                      "nginx to \"%V\", which does not count as delivery",
                      &send->destination->uri, &r->uri);

    } else {
        send->status = r->headers_out.status;

        if (r->upstream && r->upstream->headers_in.status_n) {
            send->status = r->upstream->headers_in.status_n;
        }

        send->delivered = (send->status >= 200 && send->status <= 205);

        if (!send->delivered) {
            send->retry_after = ngx_http_eventbridge_retry_after(r);
        }
    }

    ngx_post_event(&send->job->wake, &ngx_posted_events);

    return NGX_OK;
}


/* seconds; a date, or nonsense, is 0 */

static ngx_uint_t
ngx_http_eventbridge_retry_after(ngx_http_request_t *r)
{
    ngx_int_t         n;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &r->headers_out.headers.part;
    h = part->elts;

    for (i = 0; /* void */; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return 0;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len == sizeof("Retry-After") - 1
            && ngx_strncasecmp(h[i].key.data, (u_char *) "Retry-After",
                               sizeof("Retry-After") - 1)
               == 0)
        {
            n = ngx_atoi(h[i].value.data, h[i].value.len);
            return (n == NGX_ERROR) ? 0 : (ngx_uint_t) n;
        }
    }
}


/* the answer's body is read, so that the connection can be kept, and dropped */

static ngx_int_t
ngx_http_eventbridge_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_eventbridge_send_t  *send;

    send = ngx_http_eventbridge_request_send(r);

    if (send == NULL) {
        if (r == r->main && in && r->headers_out.status >= NGX_HTTP_BAD_REQUEST
            && ngx_http_eventbridge_error_body(r, &in) == NGX_ERROR)
        {
            return NGX_ERROR;
        }

        return ngx_http_next_body_filter(r, in);
    }

    for ( /* void */ ; in; in = in->next) {
        send->received += ngx_buf_size(in->buf);

        in->buf->pos = in->buf->last;
        in->buf->file_pos = in->buf->file_last;
    }

    if (send->received > NGX_HTTP_EVENTBRIDGE_MAX_ANSWER && r->upstream) {
        /* as if it ended here; the connection cannot be used again */
        r->upstream->length = 0;
        r->upstream->keepalive = 0;
    }

    return NGX_OK;
}
