
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The sender's request: its headers, its body, its patience.
 */


#include "ngx_http_eventbridge_destination.h"
#include "ngx_http_eventbridge_auth.h"
#include "ngx_eb_gunzip.h"


/* inflated bytes, where client_max_body_size sets no limit */
#define NGX_HTTP_EVENTBRIDGE_MAX_INFLATED  (64 * 1024 * 1024)


static void ngx_http_eventbridge_body_handler(ngx_http_request_t *r);
static ngx_uint_t ngx_http_eventbridge_overloaded(
    ngx_http_eventbridge_loc_conf_t *elcf,
    ngx_http_eventbridge_main_conf_t *emcf, size_t len);
static void ngx_http_eventbridge_deadline(ngx_event_t *ev);
static void ngx_http_eventbridge_cleanup(void *data);


ngx_int_t
ngx_http_eventbridge_ingest_handler(ngx_http_request_t *r)
{
    ngx_int_t                         rc;
    ngx_http_cleanup_t               *cln;
    ngx_http_eventbridge_ctx_t       *ctx;
    ngx_http_eventbridge_loc_conf_t  *elcf;

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "eventbridge ingest handler");

    /* a subrequest would find a body that is not its own */

    if (r != r->main) {
        return NGX_HTTP_NOT_FOUND;
    }

    ctx = ngx_http_eventbridge_get_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_eventbridge_cleanup;
    cln->data = ctx;

    rc = ngx_http_eventbridge_cloudevent_options(r);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    rc = ngx_http_eventbridge_check(r);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    /*
     * The sender's patience began when it had sent its headers.  The timer is
     * not cancelable: an exiting worker waits for the answer.
     */

    elcf = ngx_http_get_module_loc_conf(r, ngx_http_eventbridge_module);

    ctx->deadline.handler = ngx_http_eventbridge_deadline;
    ctx->deadline.data = ctx;
    ctx->deadline.log = r->connection->log;

    ngx_add_timer(&ctx->deadline, elcf->forward_timeout);

    r->request_body_no_buffering = 0;

    rc = ngx_http_read_client_request_body(r,
                                           ngx_http_eventbridge_body_handler);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {

        if (ctx->deadline.timer_set) {
            ngx_del_timer(&ctx->deadline);
        }

        return rc;
    }

    return NGX_DONE;
}


ngx_http_eventbridge_ctx_t *
ngx_http_eventbridge_get_ctx(ngx_http_request_t *r)
{
    ngx_http_eventbridge_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_eventbridge_module);

    if (ctx) {
        return ctx;
    }

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_eventbridge_ctx_t));
    if (ctx == NULL) {
        return NULL;
    }

    ctx->fd = (ngx_socket_t) -1;
    ctx->request = r;

    ngx_http_set_ctx(r, ctx, ngx_http_eventbridge_module);

    return ctx;
}


ngx_int_t
ngx_http_eventbridge_check(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    rc = ngx_http_eventbridge_post_only(r, "events are posted");

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (ngx_http_eventbridge_encoding(r) > 1) {

        rc = ngx_http_discard_request_body(r);
        if (rc != NGX_OK) {
            return rc;
        }

        return ngx_http_eventbridge_refuse_request(r,
                               NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                               "unsupported_encoding",
                               "Content-Encoding may be gzip or identity", -1);
    }

    return ngx_http_eventbridge_putevents_format(r);
}


ngx_uint_t
ngx_http_eventbridge_encoding(ngx_http_request_t *r)
{
    ngx_uint_t        i, encoding;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &r->headers_in.headers.part;
    h = part->elts;
    encoding = 0;

    for (i = 0; /* void */; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return encoding;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len != sizeof("Content-Encoding") - 1
            || ngx_strncasecmp(h[i].key.data, (u_char *) "Content-Encoding",
                               sizeof("Content-Encoding") - 1)
               != 0)
        {
            continue;
        }

        if (h[i].value.len == 0
            || (h[i].value.len == 8
                && ngx_strncasecmp(h[i].value.data, (u_char *) "identity", 8)
                   == 0))
        {
            continue;
        }

        if (encoding == 0
            && ((h[i].value.len == 4
                 && ngx_strncasecmp(h[i].value.data, (u_char *) "gzip", 4)
                    == 0)
                || (h[i].value.len == 6
                    && ngx_strncasecmp(h[i].value.data, (u_char *) "x-gzip", 6)
                       == 0)))
        {
            encoding = 1;
            continue;
        }

        return 2;
    }
}


static void
ngx_http_eventbridge_body_handler(ngx_http_request_t *r)
{
    ngx_int_t                          rc;
    ngx_http_eventbridge_ctx_t        *ctx;
    ngx_http_eventbridge_job_t        *job;
    ngx_http_eventbridge_error_t       err;
    ngx_http_eventbridge_loc_conf_t   *elcf;
    ngx_http_eventbridge_main_conf_t  *emcf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_eventbridge_module);

    /* the deadline came first */

    if (ctx == NULL || ctx->answered) {
        return;
    }

    ngx_memzero(&err, sizeof(ngx_http_eventbridge_error_t));

    elcf = ngx_http_get_module_loc_conf(r, ngx_http_eventbridge_module);
    emcf = ngx_http_get_module_main_conf(r, ngx_http_eventbridge_module);

    if (ngx_http_eventbridge_overloaded(elcf, emcf,
                                        ngx_max(r->request_length, 0)))
    {
        ngx_eb_stats_add(elcf->ingest->cells, NGX_EB_STATS_L_OVERLOAD, 1);

        ngx_http_finalize_request(r,
            ngx_http_eventbridge_refuse_request(r,
                               NGX_HTTP_SERVICE_UNAVAILABLE, "overloaded",
                               "eventbridge_inflight is used up", -1));
        return;
    }

    job = ngx_http_eventbridge_job_create(emcf, elcf);
    if (job == NULL) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    job->room = ngx_http_eventbridge_cloudevent_room(r);

    rc = ngx_http_eventbridge_body(r, job->pool, job->room, &job->body);

    if (rc != NGX_OK) {
        goto failed;
    }

    ngx_eb_stats_add(elcf->ingest->cells, NGX_EB_STATS_L_BYTES,
                     job->body.len);

    rc = ngx_http_eventbridge_auth_body(r, &job->body);

    if (rc == NGX_HTTP_UNAUTHORIZED) {
        ngx_http_eventbridge_job_destroy(job);
        ngx_http_finalize_request(r, ngx_http_eventbridge_auth_refuse(r));
        return;
    }

    if (rc != NGX_OK) {
        goto failed;
    }

    if (ngx_http_eventbridge_encoding(r) == 1) {
        rc = ngx_http_eventbridge_inflate(r, job->pool, &job->body, &err);

        if (rc != NGX_OK) {
            goto failed;
        }

        job->room = 0;

        /* it takes more room than it said */

        if (ngx_http_eventbridge_overloaded(elcf, emcf, job->body.len)) {
            ngx_eb_stats_add(elcf->ingest->cells, NGX_EB_STATS_L_OVERLOAD, 1);

            err.status = NGX_HTTP_SERVICE_UNAVAILABLE;
            err.error = "overloaded";
            err.message = "eventbridge_inflight is used up";
            err.offset = -1;

            rc = NGX_DECLINED;
            goto failed;
        }
    }

    rc = ngx_http_eventbridge_putevents_request(job, r, &err);

    if (rc != NGX_OK) {
        goto failed;
    }

    if (ngx_http_eventbridge_job_facts(job, r) != NGX_OK) {
        rc = NGX_ERROR;
        goto failed;
    }

    ctx->job = job;
    job->client = ctx;

    rc = ngx_http_eventbridge_job_start(job, &err);

    if (rc == NGX_OK) {
        /* r may be finalized by now */
        return;
    }

    ctx->job = NULL;

    if (rc == NGX_DECLINED && job->put
        && err.status == NGX_HTTP_TOO_MANY_REQUESTS)
    {
        rc = ngx_http_eventbridge_putevents_answer(job, r);
        ngx_http_eventbridge_job_destroy(job);
        ngx_http_finalize_request(r, rc);
        return;
    }

failed:

    ngx_http_eventbridge_job_destroy(job);

    if (rc == NGX_DECLINED && err.message) {
        rc = ngx_http_eventbridge_refuse_request(r, err.status, err.error,
                                                 err.message, err.offset);

    } else {
        /* senders retry a 500: nothing is lost */
        rc = ngx_http_eventbridge_refuse_request(r,
                                    NGX_HTTP_INTERNAL_SERVER_ERROR,
                                    "internal_error",
                                    "the request could not be processed", -1);
    }

    ngx_http_finalize_request(r, rc);
}


ngx_int_t
ngx_http_eventbridge_body(ngx_http_request_t *r, ngx_pool_t *pool,
    size_t room, ngx_str_t *body)
{
    u_char       *p;
    off_t         size, offset;
    ssize_t       n;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    ngx_str_null(body);

    if (r->request_body == NULL) {
        return NGX_OK;
    }

    size = 0;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        if (!ngx_buf_special(cl->buf)) {
            size += ngx_buf_size(cl->buf);
        }
    }

    if (size == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(pool, room + size + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    p += room;

    body->data = p;
    body->len = size;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        b = cl->buf;

        if (ngx_buf_special(b)) {
            continue;
        }

        if (!b->in_file) {
            p = ngx_cpymem(p, b->pos, b->last - b->pos);
            continue;
        }

        /* just written, so in the page cache: this does not wait for a disk */

        for (offset = b->file_pos; offset < b->file_last; offset += n) {

            n = ngx_read_file(b->file, p, b->file_last - offset, offset);

            if (n <= 0) {
                ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                              "eventbridge: read of the body from \"%V\" "
                              "ended at %O of %O", &b->file->name, offset,
                              b->file_last);
                return NGX_ERROR;
            }

            p += n;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_eventbridge_inflate(ngx_http_request_t *r, ngx_pool_t *pool,
    ngx_str_t *body, ngx_http_eventbridge_error_t *err)
{
    size_t                     max;
    ngx_int_t                  rc;
    ngx_str_t                  out;
    const char                *text;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    max = clcf->client_max_body_size ? (size_t) clcf->client_max_body_size
                                     : NGX_HTTP_EVENTBRIDGE_MAX_INFLATED;

    rc = ngx_eb_gunzip(pool, body, max, &out, &text);

    err->offset = -1;

    if (rc == NGX_BUSY) {
        err->status = NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
        err->error = "body_too_large";
        err->message = "the body inflates to more than is allowed";

        return NGX_DECLINED;
    }

    if (rc == NGX_DECLINED) {
        err->status = NGX_HTTP_BAD_REQUEST;
        err->error = "bad_gzip";
        err->message = text;

        return NGX_DECLINED;
    }

    *body = out;

    return rc;
}


static ngx_uint_t
ngx_http_eventbridge_overloaded(ngx_http_eventbridge_loc_conf_t *elcf,
    ngx_http_eventbridge_main_conf_t *emcf, size_t len)
{
    ngx_uint_t                      limit;
    ngx_http_eventbridge_worker_t  *w;

    w = emcf->worker;

    limit = elcf->inflight_deliveries;

    if (limit == 0) {
        limit = ngx_max(ngx_cycle->connection_n / 8, 2);
    }

    /* a body that is larger than the bound passes alone */

    return w->deliveries >= limit
           || (w->bytes && (w->bytes >= elcf->inflight_size
                            || len > elcf->inflight_size - w->bytes));
}


static void
ngx_http_eventbridge_deadline(ngx_event_t *ev)
{
    ngx_http_eventbridge_ctx_t *ctx = ev->data;

    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, c->log, 0, "eventbridge deadline");

    /* nginx itself has answered, with 413 say, or is about to */

    if (r->header_sent || r->err_status
        || ngx_http_get_module_ctx(r, ngx_http_eventbridge_module) != ctx)
    {
        return;
    }

    if (ctx->job) {
        ngx_http_eventbridge_destination_overdue(ctx->job);

        /* runs posted requests itself */
        ngx_http_eventbridge_answer(ctx->job);
        return;
    }

    /* the body is not complete: nginx's own 408 is a code nobody retries */

    r->keepalive = 0;
    r->lingering_close = 1;
    r->read_event_handler = ngx_http_block_reading;

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    ngx_http_finalize_request(r,
        ngx_http_eventbridge_refuse_request(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                               "timeout", "the body did not arrive in time",
                               -1));
    ngx_http_run_posted_requests(c);
}


/* the request ends: answered, or its client has left */

static void
ngx_http_eventbridge_cleanup(void *data)
{
    ngx_http_eventbridge_ctx_t *ctx = data;

    ngx_http_eventbridge_job_t  *job;

    if (ctx->deadline.timer_set) {
        ngx_del_timer(&ctx->deadline);
    }

    if (ctx->job) {
        job = ctx->job;
        ctx->job = NULL;

        ngx_http_eventbridge_job_detach(job);
    }
}
