
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What a sender hears: one JSON answer, with a status that says whether to
 * send again.
 */


#include "ngx_http_eventbridge_genesys.h"
#include "ngx_http_eventbridge_destination.h"


/* an answer lists at most so many invalid events */
#define NGX_HTTP_EVENTBRIDGE_MAX_REASONS  100

/* of an answer without figures */
#define NGX_HTTP_EVENTBRIDGE_ANSWER_SIZE  1024


static ngx_int_t ngx_http_eventbridge_refusal(ngx_http_request_t *r,
    ngx_uint_t status, const char *member, const char *error,
    const char *message, ngx_int_t offset, ngx_str_t *type);
static void ngx_http_eventbridge_log_refusal(ngx_http_request_t *r,
    ngx_uint_t status, const char *message, ngx_int_t offset);
static ngx_uint_t ngx_http_eventbridge_status(ngx_http_eventbridge_job_t *job);
static void ngx_http_eventbridge_answer_body(ngx_http_eventbridge_job_t *job,
    ngx_uint_t status, ngx_eb_out_t *out);
static void ngx_http_eventbridge_answer_reasons(
    ngx_http_eventbridge_job_t *job, ngx_eb_out_t *out);
static void ngx_http_eventbridge_answer_destinations(
    ngx_http_eventbridge_job_t *job, ngx_eb_out_t *out);
static ngx_uint_t ngx_http_eventbridge_answer_retry(
    ngx_http_eventbridge_job_t *job);
static ngx_int_t ngx_http_eventbridge_finish(ngx_http_request_t *r,
    ngx_uint_t status, ngx_uint_t retry_after, ngx_str_t *type,
    ngx_str_t *body);
static ngx_str_t *ngx_http_eventbridge_error_text(ngx_http_request_t *r);
static void ngx_http_eventbridge_count(ngx_http_request_t *r,
    ngx_uint_t status);


static ngx_str_t  ngx_http_eventbridge_json_type =
    ngx_string("application/json");
static ngx_str_t  ngx_http_eventbridge_problem_type =
    ngx_string("application/problem+json");
static ngx_str_t  ngx_http_eventbridge_aws_type =
    ngx_string("application/x-amz-json-1.1");


/* answers that come before any event was looked at; a status or NGX_* */

ngx_int_t
ngx_http_eventbridge_refuse_request(ngx_http_request_t *r, ngx_uint_t status,
    const char *error, const char *message, ngx_int_t offset)
{
    const char  *type;

    type = ngx_http_eventbridge_putevents_error(r, status, error);

    if (type) {
        return ngx_http_eventbridge_refuse_aws(r, status, type, message);
    }

    return ngx_http_eventbridge_refusal(r, status, "error", error, message,
                                        offset,
                                        &ngx_http_eventbridge_json_type);
}


ngx_int_t
ngx_http_eventbridge_refuse_aws(ngx_http_request_t *r, ngx_uint_t status,
    const char *type, const char *message)
{
    return ngx_http_eventbridge_refusal(r, status, "__type", type, message,
                                        -1, &ngx_http_eventbridge_aws_type);
}


static ngx_int_t
ngx_http_eventbridge_refusal(ngx_http_request_t *r, ngx_uint_t status,
    const char *member, const char *error, const char *message,
    ngx_int_t offset, ngx_str_t *type)
{
    u_char                      *buf;
    ngx_str_t                    s, body;
    ngx_uint_t                   retry;
    ngx_eb_out_t                 out;
    ngx_http_eventbridge_ctx_t  *ctx;

    buf = ngx_pnalloc(r->pool, NGX_HTTP_EVENTBRIDGE_ANSWER_SIZE);
    if (buf == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_eventbridge_log_refusal(r, status, message, offset);

    ngx_eb_out_init(&out, buf, NGX_HTTP_EVENTBRIDGE_ANSWER_SIZE);

    ngx_eb_out_lit(&out, "{\"");
    ngx_eb_out_raw(&out, member, ngx_strlen(member));
    ngx_eb_out_lit(&out, "\":\"");
    ngx_eb_out_raw(&out, error, ngx_strlen(error));
    ngx_eb_out_lit(&out, "\",\"message\":");

    s.data = (u_char *) message;
    s.len = ngx_strlen(message);

    ngx_eb_out_string(&out, &s, 512);

    if (offset >= 0) {
        ngx_eb_out_lit(&out, ",\"offset\":");
        ngx_eb_out_int(&out, offset);
    }

    ngx_eb_out_lit(&out, "}\n");

    body.data = buf;
    body.len = out.pos - buf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_eventbridge_module);

    if (ctx) {
        ctx->result = NGX_HTTP_EVENTBRIDGE_RESULT_REFUSED;
    }

    retry = (status == NGX_HTTP_SERVICE_UNAVAILABLE) ? 1 + ngx_random() % 5
                                                     : 0;

    return ngx_http_eventbridge_finish(r, status, retry, type, &body);
}


void
ngx_http_eventbridge_answer(ngx_http_eventbridge_job_t *job)
{
    u_char                      *buf;
    size_t                       size;
    ngx_int_t                    rc;
    ngx_str_t                    body;
    ngx_uint_t                   status, retry;
    ngx_eb_out_t                 out;
    ngx_connection_t            *c;
    ngx_http_request_t          *r;
    ngx_http_eventbridge_ctx_t  *ctx;

    ctx = job->client;
    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    /* the client lets go first: its cleanup must not do it again */

    ctx->job = NULL;
    ngx_http_eventbridge_job_detach(job);

    status = ngx_http_eventbridge_status(job);
    retry = (status == NGX_HTTP_SERVICE_UNAVAILABLE)
                ? ngx_http_eventbridge_answer_retry(job) : 0;

    ctx->received = job->batch.nevents;
    ctx->forwarded = job->forwarded;
    ctx->duplicates = job->duplicates;
    ctx->dropped = job->dropped;
    ctx->dead = job->dead;
    ctx->result = (status == NGX_HTTP_OK)
                      ? NGX_HTTP_EVENTBRIDGE_RESULT_ACCEPTED
                  : (job->forwarded || job->duplicates || job->dropped
                     || job->dead)
                      ? NGX_HTTP_EVENTBRIDGE_RESULT_PARTIAL
                  : (status == NGX_HTTP_SERVICE_UNAVAILABLE)
                      ? NGX_HTTP_EVENTBRIDGE_RESULT_FAILED
                  : NGX_HTTP_EVENTBRIDGE_RESULT_REFUSED;

    if (status != NGX_HTTP_OK && status != NGX_HTTP_SERVICE_UNAVAILABLE) {
        ngx_http_eventbridge_log_refusal(r, status, job->invalid
                                         ? "some events are no events"
                                         : "some events match no route", -1);
    }

    if (job->put) {
        ngx_http_finalize_request(r,
                              ngx_http_eventbridge_putevents_answer(job, r));
        ngx_http_run_posted_requests(c);
        return;
    }

    size = 512 + job->ingest->ndestinations * 512
           + ngx_min(job->invalid + job->unrouted,
                     NGX_HTTP_EVENTBRIDGE_MAX_REASONS) * 96;

    buf = ngx_pnalloc(r->pool, size);

    if (buf) {
        ngx_eb_out_init(&out, buf, size);
        ngx_http_eventbridge_answer_body(job, status, &out);

        body.data = buf;
        body.len = out.pos - buf;
    }

    rc = buf ? ngx_http_eventbridge_finish(r, status, retry,
                                           &ngx_http_eventbridge_json_type,
                                           &body)
             : NGX_HTTP_INTERNAL_SERVER_ERROR;

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


/*
 * What senders retry and what not decides: while anything can still be
 * delivered by sending it again it is 503.
 */

static ngx_uint_t
ngx_http_eventbridge_status(ngx_http_eventbridge_job_t *job)
{
    if (job->failed || job->busy || job->open || job->ops) {
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    if (job->invalid) {
        return (job->batch.nevents == 1) ? NGX_HTTP_BAD_REQUEST : 422;
    }

    return job->unrouted ? 422 : NGX_HTTP_OK;
}


static void
ngx_http_eventbridge_answer_body(ngx_http_eventbridge_job_t *job,
    ngx_uint_t status, ngx_eb_out_t *out)
{
    const char  *error;

    if (status == NGX_HTTP_OK) {
        ngx_eb_out_lit(out, "{\"status\":\"accepted\"");

    } else {
        error = (status != NGX_HTTP_SERVICE_UNAVAILABLE)
                    ? (job->invalid ? "invalid_event\",\"message\":"
                                      "\"some events are no events"
                                    : "unrouted\",\"message\":"
                                      "\"some events match no route")
                : job->store_error
                    ? "checkpoint_unavailable\",\"message\":"
                      "\"the checkpoint cannot take these events now"
                : job->open
                    ? "timeout\",\"message\":"
                      "\"the delivery takes longer than the sender may wait"
                : job->dead_error
                    ? "dead_letter_unavailable\",\"message\":"
                      "\"what cannot be delivered cannot be kept now"
                : (job->saturated && !job->refused)
                    ? "overloaded\",\"message\":"
                      "\"eventbridge_inflight is used up by a destination"
                : (job->failed == 0)
                    ? "busy\",\"message\":"
                      "\"other requests are delivering some of the events"
                : "delivery_failed\",\"message\":"
                  "\"some events were not delivered, send them again";

        ngx_eb_out_lit(out, "{\"error\":\"");
        ngx_eb_out_raw(out, error, ngx_strlen(error));
        ngx_eb_out_lit(out, "\"");
    }

    ngx_eb_out_lit(out, ",\"received\":");
    ngx_eb_out_int(out, job->batch.nevents);
    ngx_eb_out_lit(out, ",\"forwarded\":");
    ngx_eb_out_int(out, job->forwarded);
    ngx_eb_out_lit(out, ",\"duplicates\":");
    ngx_eb_out_int(out, job->duplicates);
    ngx_eb_out_lit(out, ",\"dropped\":");
    ngx_eb_out_int(out, job->dropped);

    if (status == NGX_HTTP_OK) {
        ngx_eb_out_lit(out, ",\"dead\":");
        ngx_eb_out_int(out, job->dead);
        ngx_eb_out_lit(out, "}\n");
        return;
    }

    ngx_eb_out_lit(out, ",\"dead\":");
    ngx_eb_out_int(out, job->dead);
    ngx_eb_out_lit(out, ",\"failed\":");
    ngx_eb_out_int(out, job->failed + job->open);
    ngx_eb_out_lit(out, ",\"busy\":");
    ngx_eb_out_int(out, job->busy);
    ngx_eb_out_lit(out, ",\"invalid\":");
    ngx_eb_out_int(out, job->invalid);
    ngx_eb_out_lit(out, ",\"unrouted\":");
    ngx_eb_out_int(out, job->unrouted);

    if (status == NGX_HTTP_SERVICE_UNAVAILABLE) {
        ngx_http_eventbridge_answer_destinations(job, out);

    } else {
        ngx_http_eventbridge_answer_reasons(job, out);
    }

    ngx_eb_out_lit(out, "}\n");
}


static void
ngx_http_eventbridge_answer_reasons(ngx_http_eventbridge_job_t *job,
    ngx_eb_out_t *out)
{
    ngx_str_t    s;
    ngx_uint_t   i, n;
    const char  *reason;

    ngx_eb_out_lit(out, ",\"events\":[");

    n = 0;

    for (i = 0;
         i < job->batch.nevents && n < NGX_HTTP_EVENTBRIDGE_MAX_REASONS;
         i++)
    {
        if (job->items[i].state == NGX_HTTP_EVENTBRIDGE_INVALID) {
            reason = job->batch.events[i].invalid;

        } else if (job->items[i].state == NGX_HTTP_EVENTBRIDGE_UNROUTED) {
            reason = "matches no route";

        } else {
            continue;
        }

        if (n++) {
            ngx_eb_out_lit(out, ",");
        }

        ngx_eb_out_lit(out, "{\"index\":");
        ngx_eb_out_int(out, i);
        ngx_eb_out_lit(out, ",\"reason\":");

        s.data = (u_char *) reason;
        s.len = ngx_strlen(reason);

        ngx_eb_out_string(out, &s, 60);
        ngx_eb_out_lit(out, "}");
    }

    ngx_eb_out_lit(out, "]");
}


/* for each destination that lacks events: how many, and what it said last */

static void
ngx_http_eventbridge_answer_destinations(ngx_http_eventbridge_job_t *job,
    ngx_eb_out_t *out)
{
    ngx_uint_t           i, d, n, failed, pending, status;
    ngx_eb_route_hit_t  *hits;

    ngx_eb_out_lit(out, ",\"destinations\":{");

    hits = job->hits.elts;
    n = 0;

    for (d = 0; d < job->ingest->ndestinations; d++) {
        failed = 0;
        pending = 0;
        status = 0;

        for (i = 0; i < job->hits.nelts; i++) {

            if (hits[i].destination != d) {
                continue;
            }

            if (job->hit_states[i] == NGX_HTTP_EVENTBRIDGE_HIT_FAILED) {
                failed++;
                status = job->hit_status[i];

            } else if (job->hit_states[i] == NGX_HTTP_EVENTBRIDGE_HIT_SENT
                       || job->hit_states[i]
                          == NGX_HTTP_EVENTBRIDGE_HIT_CONDEMNED)
            {
                pending++;
            }
        }

        if (failed + pending == 0) {
            continue;
        }

        if (n++) {
            ngx_eb_out_lit(out, ",");
        }

        ngx_eb_out_string(out, &job->ingest->destinations[d].uri, 256);
        ngx_eb_out_lit(out, ":{\"failed\":");
        ngx_eb_out_int(out, failed);
        ngx_eb_out_lit(out, ",\"pending\":");
        ngx_eb_out_int(out, pending);

        if (status) {
            ngx_eb_out_lit(out, ",\"status\":");
            ngx_eb_out_int(out, status);
        }

        if (ngx_http_eventbridge_destination_refused(job, d, 0)) {
            ngx_eb_out_lit(out, ",\"down\":true");
        }

        ngx_eb_out_lit(out, "}");
    }

    ngx_eb_out_lit(out, "}");
}


ngx_int_t
ngx_http_eventbridge_finish_aws(ngx_http_request_t *r, ngx_str_t *body)
{
    return ngx_http_eventbridge_finish(r, NGX_HTTP_OK, 0,
                                       &ngx_http_eventbridge_aws_type, body);
}


/* 1 to 5 seconds, so that senders do not come back as one; never negative */

static ngx_uint_t
ngx_http_eventbridge_answer_retry(ngx_http_eventbridge_job_t *job)
{
    ngx_uint_t  retry, left;

    retry = 1 + ngx_random() % 5;

    if (job->busy && job->conf->zone) {
        left = ngx_eb_checkpoint_claim_timeout(job->conf->zone->checkpoint)
               / 1000;
        retry = ngx_max(retry, ngx_min(left, 5));
    }

    return ngx_max(retry, job->retry_after);
}


static ngx_int_t
ngx_http_eventbridge_finish(ngx_http_request_t *r, ngx_uint_t status,
    ngx_uint_t retry_after, ngx_str_t *type, ngx_str_t *body)
{
    ngx_str_t                    value;
    ngx_http_eventbridge_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_eventbridge_module);

    if (ctx) {
        ctx->answered = 1;

        if (ctx->deadline.timer_set) {
            ngx_del_timer(&ctx->deadline);
        }
    }

    ngx_http_eventbridge_count(r, status);

    if (retry_after) {
        value.data = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
        if (value.data == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        value.len = ngx_sprintf(value.data, "%ui", retry_after) - value.data;

        if (ngx_http_eventbridge_out_header(r, "Retry-After", &value)
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    return ngx_http_eventbridge_respond(r, status, type, body);
}


/*
 * Senders do not send again what is refused, so that somebody should see it;
 * once a second is enough.
 */

static void
ngx_http_eventbridge_log_refusal(ngx_http_request_t *r, ngx_uint_t status,
    const char *message, ngx_int_t offset)
{
    static time_t      last;
    static ngx_uint_t  more;

    if (last == ngx_time()) {
        more++;
        return;
    }

    if (offset >= 0) {
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "eventbridge: refused with %ui: %s, at offset %i, "
                      "%ui more before", status, message, offset, more);

    } else {
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "eventbridge: refused with %ui: %s, %ui more before",
                      status, message, more);
    }

    last = ngx_time();
    more = 0;
}


ngx_int_t
ngx_http_eventbridge_post_only(ngx_http_request_t *r, const char *message)
{
    ngx_int_t  rc;
    ngx_str_t  post = ngx_string("POST");

    if (r->method == NGX_HTTP_POST) {
        return NGX_DECLINED;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_eventbridge_out_header(r, "Allow", &post) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_eventbridge_refuse_request(r, NGX_HTTP_NOT_ALLOWED,
                                               "method_not_allowed", message,
                                               -1);
}


ngx_int_t
ngx_http_eventbridge_out_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value = *value;

    return NGX_OK;
}


ngx_int_t
ngx_http_eventbridge_error_header(ngx_http_request_t *r)
{
    ngx_http_eventbridge_ctx_t       *ctx;
    ngx_http_eventbridge_loc_conf_t  *elcf;

    elcf = ngx_http_get_module_loc_conf(r, ngx_http_eventbridge_module);

    ctx = ngx_http_get_module_ctx(r, ngx_http_eventbridge_module);

    if (!elcf->enabled && elcf->control == NULL
        && !(ctx
             && ((ctx->unauthorized
                  && r->headers_out.status == NGX_HTTP_UNAUTHORIZED)
                 || (ctx->forbidden
                     && r->headers_out.status == NGX_HTTP_FORBIDDEN))))
    {
        return NGX_DECLINED;
    }

    /* before our handler: a phase refused the request */

    ctx = ngx_http_eventbridge_get_ctx(r);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    if (ctx->answered) {
        return NGX_DECLINED;
    }

    ctx->answered = 1;
    ctx->replaced = 1;
    ctx->result = NGX_HTTP_EVENTBRIDGE_RESULT_REFUSED;

    if (ctx->deadline.timer_set) {
        ngx_del_timer(&ctx->deadline);
    }

    ngx_http_eventbridge_count(r, r->headers_out.status);

    ngx_http_clear_content_length(r);
    ngx_http_clear_last_modified(r);

    r->headers_out.content_length_n = ngx_http_eventbridge_error_text(r)->len;
    r->headers_out.content_type = elcf->control
                                  ? ngx_http_eventbridge_problem_type
                                  : ngx_http_eventbridge_putevents_error_text(r,
                                                    r->headers_out.status)
                                  ? ngx_http_eventbridge_aws_type
                                  : ngx_http_eventbridge_json_type;
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    ngx_str_null(&r->headers_out.charset);

    return NGX_OK;
}


ngx_int_t
ngx_http_eventbridge_error_body(ngx_http_request_t *r, ngx_chain_t **out)
{
    ngx_buf_t                   *b;
    ngx_str_t                   *text;
    ngx_chain_t                 *cl;
    ngx_http_eventbridge_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_eventbridge_module);

    if (ctx == NULL || !ctx->replaced) {
        return NGX_DECLINED;
    }

    /* what is replaced may come in pieces; what is left of them is empty */

    for (cl = *out; cl; cl = cl->next) {
        cl->buf->pos = cl->buf->last;
        cl->buf->file_pos = cl->buf->file_last;
    }

    if (ctx->replacement_sent) {
        *out = NULL;
        return NGX_OK;
    }

    ctx->replacement_sent = 1;

    b = ngx_calloc_buf(r->pool);
    cl = ngx_alloc_chain_link(r->pool);

    if (b == NULL || cl == NULL) {
        return NGX_ERROR;
    }

    text = ngx_http_eventbridge_error_text(r);

    b->pos = text->data;
    b->last = text->data + text->len;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    cl->buf = b;
    cl->next = NULL;

    *out = cl;

    return NGX_OK;
}


static ngx_str_t *
ngx_http_eventbridge_error_text(ngx_http_request_t *r)
{
    static ngx_str_t  too_large = ngx_string(
        "{\"error\":\"body_too_large\",\"message\":"
        "\"the body is larger than client_max_body_size\"}\n");
    static ngx_str_t  timeout = ngx_string(
        "{\"error\":\"timeout\",\"message\":"
        "\"the body did not arrive in time\"}\n");
    static ngx_str_t  unauthorized = ngx_string(
        "{\"error\":\"unauthorized\",\"message\":"
        "\"the request has no valid credentials\"}\n");
    static ngx_str_t  forbidden = ngx_string(
        "{\"error\":\"forbidden\",\"message\":"
        "\"this is for local clients only\"}\n");
    static ngx_str_t  refused = ngx_string(
        "{\"error\":\"refused\",\"message\":"
        "\"the request may not post here\"}\n");
    static ngx_str_t  bad = ngx_string(
        "{\"error\":\"bad_request\",\"message\":"
        "\"the request is not valid HTTP\"}\n");
    static ngx_str_t  internal = ngx_string(
        "{\"error\":\"internal_error\",\"message\":"
        "\"the request could not be processed\"}\n");

    ngx_str_t                        *text;
    ngx_http_eventbridge_ctx_t       *ctx;
    ngx_http_eventbridge_loc_conf_t  *elcf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_eventbridge_module);
    elcf = ngx_http_get_module_loc_conf(r, ngx_http_eventbridge_module);

    if (elcf->control) {
        return ngx_http_eventbridge_control_error(r->headers_out.status);
    }

    text = ngx_http_eventbridge_putevents_error_text(r,
                                                     r->headers_out.status);
    if (text) {
        return text;
    }

    if (ctx->unauthorized && r->headers_out.status == NGX_HTTP_UNAUTHORIZED) {
        return &unauthorized;
    }

    if (ctx->forbidden && r->headers_out.status == NGX_HTTP_FORBIDDEN) {
        return &forbidden;
    }

    switch (r->headers_out.status) {

    case NGX_HTTP_REQUEST_ENTITY_TOO_LARGE:
        return &too_large;

    case NGX_HTTP_REQUEST_TIME_OUT:
        return &timeout;

    case NGX_HTTP_UNAUTHORIZED:
    case NGX_HTTP_FORBIDDEN:
    case NGX_HTTP_NOT_FOUND:
    case NGX_HTTP_TOO_MANY_REQUESTS:
        return &refused;

    default:
        return (r->headers_out.status < NGX_HTTP_INTERNAL_SERVER_ERROR)
                   ? &bad : &internal;
    }
}


static void
ngx_http_eventbridge_count(ngx_http_request_t *r, ngx_uint_t status)
{
    ngx_uint_t                        cell;
    ngx_http_eventbridge_ctx_t       *ctx;
    ngx_http_eventbridge_loc_conf_t  *elcf;

    elcf = ngx_http_get_module_loc_conf(r, ngx_http_eventbridge_module);

    /* only ingest locations have figures */

    if (elcf->ingest == NULL) {
        return;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_eventbridge_module);

    if (ctx && ctx->unauthorized && status == NGX_HTTP_UNAUTHORIZED) {
        ngx_eb_stats_add(elcf->ingest->cells, NGX_EB_STATS_L_UNAUTHORIZED, 1);
    }

    switch (status) {

    case 200:
        cell = NGX_EB_STATS_L_REQ_2XX;
        break;

    case 400:
        cell = NGX_EB_STATS_L_REQ_400;
        break;

    case 401:
    case 403:
        cell = NGX_EB_STATS_L_REQ_401;
        break;

    case 405:
        cell = NGX_EB_STATS_L_REQ_405;
        break;

    case 413:
        cell = NGX_EB_STATS_L_REQ_413;
        break;

    case 415:
        cell = NGX_EB_STATS_L_REQ_415;
        break;

    case 422:
        cell = NGX_EB_STATS_L_REQ_422;
        break;

    case 429:
        cell = NGX_EB_STATS_L_REQ_429;
        break;

    case 503:
        cell = NGX_EB_STATS_L_REQ_503;
        break;

    default:
        cell = NGX_EB_STATS_L_REQ_500;
    }

    ngx_eb_stats_add(elcf->ingest->cells, cell, 1);
}
