
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The location that takes dead letters, and answers with a line for each while
 * they are delivered.
 */


#include "ngx_http_eventbridge_replay.h"
#include "ngx_http_eventbridge_auth.h"


/* of the answer: one buffer, and the longest line of it */
#define NGX_HTTP_EVENTBRIDGE_REPLAY_BUFFER  (32 * 1024)
#define NGX_HTTP_EVENTBRIDGE_REPLAY_RESULT  256


typedef enum {
    NGX_HTTP_EVENTBRIDGE_REPLAYED_DELIVERED = 0,
    NGX_HTTP_EVENTBRIDGE_REPLAYED_DUPLICATE,
    NGX_HTTP_EVENTBRIDGE_REPLAYED_BUSY,
    NGX_HTTP_EVENTBRIDGE_REPLAYED_FAILED,
    NGX_HTTP_EVENTBRIDGE_REPLAYED_INVALID,
    NGX_HTTP_EVENTBRIDGE_REPLAYED_ALL
} ngx_http_eventbridge_replayed_e;


typedef struct {
    ngx_http_eventbridge_replay_t      replay;
    ngx_http_request_t       *request;
    ngx_event_t               step;         /* posted: go on */
    ngx_uint_t                results[NGX_HTTP_EVENTBRIDGE_REPLAYED_ALL];

    ngx_chain_t              *out;          /* to be sent */
    ngx_chain_t              *busy;
    ngx_chain_t              *free;
    ngx_eb_out_t              buf;          /* end of the last one of out */
    unsigned                  ended:1;
} ngx_http_eventbridge_replay_ctx_t;


static void ngx_http_eventbridge_replay_body(ngx_http_request_t *r);
static void ngx_http_eventbridge_replay_step(ngx_event_t *ev);
static ngx_int_t ngx_http_eventbridge_replay_invalid(
    ngx_http_eventbridge_replay_t *replay,
    ngx_http_eventbridge_replay_line_t *line, const char *why);
static void ngx_http_eventbridge_replay_results(
    ngx_http_eventbridge_replay_t *replay);
static ngx_int_t ngx_http_eventbridge_replay_result(
    ngx_http_eventbridge_replay_ctx_t *ctx, ngx_uint_t line, ngx_uint_t result,
    ngx_uint_t status, const char *reason);
static ngx_int_t ngx_http_eventbridge_replay_room(
    ngx_http_eventbridge_replay_ctx_t *ctx);
static ngx_int_t ngx_http_eventbridge_replay_flush(
    ngx_http_eventbridge_replay_ctx_t *ctx, ngx_uint_t last);
static void ngx_http_eventbridge_replay_write(ngx_http_request_t *r);
static void ngx_http_eventbridge_replay_end(
    ngx_http_eventbridge_replay_ctx_t *ctx, ngx_int_t rc);
static void ngx_http_eventbridge_replay_cleanup(void *data);


static ngx_str_t  ngx_http_eventbridge_replayed[] = {
    ngx_string("delivered"),
    ngx_string("duplicate"),
    ngx_string("busy"),
    ngx_string("failed"),
    ngx_string("invalid")
};


ngx_int_t
ngx_http_eventbridge_replay_handler(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    if (r != r->main) {
        return NGX_HTTP_NOT_FOUND;
    }

    rc = ngx_http_eventbridge_control_access(r);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_eventbridge_post_only(r, "dead letters are posted");

    if (rc != NGX_DECLINED) {
        return rc;
    }

    r->request_body_no_buffering = 0;

    rc = ngx_http_read_client_request_body(r,
                                           ngx_http_eventbridge_replay_body);

    return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
}


static void
ngx_http_eventbridge_replay_body(ngx_http_request_t *r)
{
    ngx_int_t                           rc;
    ngx_str_t                           body;
    ngx_pool_cleanup_t                 *cln;
    ngx_http_eventbridge_replay_ctx_t  *ctx;

    rc = NGX_HTTP_INTERNAL_SERVER_ERROR;

    cln = ngx_pool_cleanup_add(r->pool,
                               sizeof(ngx_http_eventbridge_replay_ctx_t));

    if (cln == NULL
        || ngx_http_eventbridge_body(r, r->pool, 0, &body) != NGX_OK)
    {
        ngx_http_finalize_request(r, rc);
        return;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_eventbridge_replay_ctx_t));

    cln->handler = ngx_http_eventbridge_replay_cleanup;

    ctx->request = r;

    ctx->step.handler = ngx_http_eventbridge_replay_step;
    ctx->step.data = ctx;
    ctx->step.log = r->connection->log;

    ctx->replay.emcf = ngx_http_get_module_main_conf(r,
                                                  ngx_http_eventbridge_module);
    ctx->replay.server = ((ngx_http_core_srv_conf_t *)
                    ngx_http_get_module_srv_conf(r, ngx_http_core_module))->ctx;
    ctx->replay.request = r;
    ctx->replay.log = r->connection->log;
    ctx->replay.pos = body.data;
    ctx->replay.last = body.data + body.len;
    ctx->replay.invalid = ngx_http_eventbridge_replay_invalid;
    ctx->replay.done = ngx_http_eventbridge_replay_results;
    ctx->replay.data = ctx;

    r->headers_out.status = NGX_HTTP_OK;
    ngx_str_set(&r->headers_out.content_type, "application/x-ndjson");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    ngx_http_clear_content_length(r);

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        ngx_http_finalize_request(r, rc);
        return;
    }

    /* a client that leaves ends the request, and so the replay */

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_eventbridge_replay_write;

    ngx_post_event(&ctx->step, &ngx_posted_events);
}


/* the next lines; from the event loop, so that jobs do not pile up on the
   stack */

static void
ngx_http_eventbridge_replay_step(ngx_event_t *ev)
{
    ngx_http_eventbridge_replay_ctx_t *ctx = ev->data;

    ngx_int_t              rc;
    ngx_connection_t      *c;

    c = ctx->request->connection;

    ngx_http_set_log_request(c->log, ctx->request);

    rc = ngx_http_eventbridge_replay_flush(ctx, 0);

    if (rc == NGX_ERROR) {
        ngx_http_eventbridge_replay_end(ctx, NGX_ERROR);
        return;
    }

    /* as fast as the client reads: its writability goes on */

    if (ctx->busy || ctx->replay.job) {
        return;
    }

    rc = ngx_exiting ? NGX_ERROR
                     : ngx_http_eventbridge_replay_next(&ctx->replay);

    if (rc == NGX_AGAIN) {
        /* more of them are looked at when others had their turn */
        ngx_post_event(&ctx->step, &ngx_posted_events);

    } else if (rc != NGX_OK) {
        ngx_http_eventbridge_replay_end(ctx, (rc == NGX_DONE) ? NGX_OK : rc);
    }
}


/* a line that no job takes */

static ngx_int_t
ngx_http_eventbridge_replay_invalid(ngx_http_eventbridge_replay_t *replay,
    ngx_http_eventbridge_replay_line_t *line, const char *why)
{
    return ngx_http_eventbridge_replay_result(replay->data, line->number,
                                       NGX_HTTP_EVENTBRIDGE_REPLAYED_INVALID,
                                       0, why);
}


static void
ngx_http_eventbridge_replay_results(ngx_http_eventbridge_replay_t *replay)
{
    ngx_http_eventbridge_replay_ctx_t *ctx = replay->data;

    ngx_uint_t                   i, result;
    ngx_http_eventbridge_job_t  *job;

    job = replay->job;

    for (i = 0; i < replay->nlines; i++) {

        switch (job->items[i].state) {

        case NGX_HTTP_EVENTBRIDGE_FORWARDED:
            result = NGX_HTTP_EVENTBRIDGE_REPLAYED_DELIVERED;
            break;

        case NGX_HTTP_EVENTBRIDGE_DUPLICATE:
            result = NGX_HTTP_EVENTBRIDGE_REPLAYED_DUPLICATE;
            break;

        case NGX_HTTP_EVENTBRIDGE_GAVE_UP:
            result = NGX_HTTP_EVENTBRIDGE_REPLAYED_BUSY;
            break;

        default:
            result = NGX_HTTP_EVENTBRIDGE_REPLAYED_FAILED;
        }

        if (ngx_http_eventbridge_replay_result(ctx, replay->lines[i].number,
                                               result, job->hit_status[i],
                                               NULL)
            != NGX_OK)
        {
            break;
        }
    }

    ngx_post_event(&ctx->step, &ngx_posted_events);
}


static ngx_int_t
ngx_http_eventbridge_replay_result(ngx_http_eventbridge_replay_ctx_t *ctx,
    ngx_uint_t line, ngx_uint_t result, ngx_uint_t status, const char *reason)
{
    ngx_str_t      text;
    ngx_eb_out_t  *out;

    ctx->results[result]++;

    if (ngx_http_eventbridge_replay_room(ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    out = &ctx->buf;

    ngx_eb_out_lit(out, "{\"line\":");
    ngx_eb_out_int(out, line);
    ngx_eb_out_lit(out, ",\"result\":");
    ngx_eb_out_string(out, &ngx_http_eventbridge_replayed[result],
                      ngx_http_eventbridge_replayed[result].len);

    if (status) {
        ngx_eb_out_lit(out, ",\"status\":");
        ngx_eb_out_int(out, status);
    }

    if (reason) {
        text.data = (u_char *) reason;
        text.len = ngx_strlen(reason);

        ngx_eb_out_lit(out, ",\"reason\":");
        ngx_eb_out_string(out, &text, text.len);
    }

    ngx_eb_out_lit(out, "}\n");

    return NGX_OK;
}


/* sees to it that one more line fits into the last buffer of out */

static ngx_int_t
ngx_http_eventbridge_replay_room(ngx_http_eventbridge_replay_ctx_t *ctx)
{
    ngx_buf_t     *b;
    ngx_chain_t   *cl, **ll;

    if (ctx->out
        && ctx->buf.end - ctx->buf.pos >= NGX_HTTP_EVENTBRIDGE_REPLAY_RESULT)
    {
        return NGX_OK;
    }

    for (ll = &ctx->out; *ll; ll = &(*ll)->next) {
        if ((*ll)->next == NULL) {
            (*ll)->buf->last = ctx->buf.pos;
        }
    }

    cl = ngx_chain_get_free_buf(ctx->request->pool, &ctx->free);
    if (cl == NULL) {
        return NGX_ERROR;
    }

    b = cl->buf;

    if (b->start == NULL) {
        b->start = ngx_palloc(ctx->request->pool,
                              NGX_HTTP_EVENTBRIDGE_REPLAY_BUFFER);
        if (b->start == NULL) {
            return NGX_ERROR;
        }

        b->end = b->start + NGX_HTTP_EVENTBRIDGE_REPLAY_BUFFER;
    }

    b->pos = b->start;
    b->last = b->start;
    b->temporary = 1;
    b->flush = 1;
    b->tag = (ngx_buf_tag_t) &ngx_http_eventbridge_replay_handler;

    *ll = cl;

    ngx_eb_out_init(&ctx->buf, b->start, b->end - b->start);

    return NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_replay_flush(ngx_http_eventbridge_replay_ctx_t *ctx,
    ngx_uint_t last)
{
    ngx_int_t                  rc;
    ngx_chain_t               *cl;
    ngx_event_t               *wev;
    ngx_http_core_loc_conf_t  *clcf;

    for (cl = ctx->out; cl; cl = cl->next) {

        if (cl->next == NULL) {
            cl->buf->last = ctx->buf.pos;
            cl->buf->last_buf = last;
        }
    }

    rc = ngx_http_output_filter(ctx->request, ctx->out);

    ngx_chain_update_chains(ctx->request->pool, &ctx->free, &ctx->busy,
                        &ctx->out,
                        (ngx_buf_tag_t) &ngx_http_eventbridge_replay_handler);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    wev = ctx->request->connection->write;
    clcf = ngx_http_get_module_loc_conf(ctx->request, ngx_http_core_module);

    if (ctx->busy && !wev->delayed) {
        ngx_add_timer(wev, clcf->send_timeout);

    } else if (wev->timer_set) {
        ngx_del_timer(wev);
    }

    return ngx_handle_write_event(wev, clcf->send_lowat);
}


/* the client takes more, or has taken nothing for too long */

static void
ngx_http_eventbridge_replay_write(ngx_http_request_t *r)
{
    ngx_event_t                        *wev;
    ngx_pool_cleanup_t                 *cln;
    ngx_http_eventbridge_replay_ctx_t  *ctx;

    wev = r->connection->write;

    if (wev->timedout) {
        r->connection->timedout = 1;
        ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_eventbridge_replay_cleanup) {
            ctx = cln->data;
            ngx_post_event(&ctx->step, &ngx_posted_events);
            return;
        }
    }
}


static void
ngx_http_eventbridge_replay_end(ngx_http_eventbridge_replay_ctx_t *ctx,
    ngx_int_t rc)
{
    ngx_uint_t           i;
    ngx_eb_out_t        *out;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ctx->request;
    c = r->connection;

    if (rc == NGX_OK && ngx_http_eventbridge_replay_room(ctx) == NGX_OK) {
        out = &ctx->buf;

        ngx_eb_out_lit(out, "{\"lines\":");
        ngx_eb_out_int(out, ctx->replay.number);

        for (i = 0; i < NGX_HTTP_EVENTBRIDGE_REPLAYED_ALL; i++) {
            ngx_eb_out_lit(out, ",\"");
            ngx_eb_out_raw(out, ngx_http_eventbridge_replayed[i].data,
                           ngx_http_eventbridge_replayed[i].len);
            ngx_eb_out_lit(out, "\":");
            ngx_eb_out_int(out, ctx->results[i]);
        }

        ngx_eb_out_lit(out, "}\n");

        rc = ngx_http_eventbridge_replay_flush(ctx, 1);

    } else {
        rc = NGX_ERROR;
    }

    /* an answer that is cut says that not all lines were looked at */

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


static void
ngx_http_eventbridge_replay_cleanup(void *data)
{
    ngx_http_eventbridge_replay_ctx_t *ctx = data;

    if (ctx->step.posted) {
        ngx_delete_posted_event(&ctx->step);
    }

    ngx_http_eventbridge_replay_stop(&ctx->replay);
}
