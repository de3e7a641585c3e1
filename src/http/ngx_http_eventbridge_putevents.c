
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Clients of AWS: PutEvents at a location that receives events, and answers
 * in the form that these clients understand.
 */


#include "ngx_http_eventbridge_auth.h"
#include "ngx_eb_putevents.h"
#include "ngx_eb_sigv4.h"
#include <openssl/rand.h>


/* of an invocation that has no id */
#define NGX_HTTP_EVENTBRIDGE_PUT_RANDOM  16


/* what a status is called by AWS */

typedef struct {
    ngx_uint_t                status;
    const char               *type;
    ngx_str_t                 text;
} ngx_http_eventbridge_put_error_t;


#define ngx_http_eventbridge_put_error(status, type, message)                \
    { status, type,                                                          \
      ngx_string("{\"__type\":\"" type "\",\"message\":\"" message "\"}\n") }


static ngx_uint_t ngx_http_eventbridge_put_target(ngx_http_request_t *r,
    ngx_str_t *target);
static ngx_http_eventbridge_put_error_t *ngx_http_eventbridge_put_refusal(
    ngx_http_request_t *r, ngx_uint_t status);
static ngx_int_t ngx_http_eventbridge_put_facts(ngx_http_request_t *r,
    ngx_eb_put_facts_t *facts, u_char *random);
static void ngx_http_eventbridge_put_outcome(ngx_http_eventbridge_job_t *job,
    ngx_uint_t i);


/* the first and the last one are those of all others below and from 500 on */

static ngx_http_eventbridge_put_error_t  ngx_http_eventbridge_put_errors[] = {

    ngx_http_eventbridge_put_error(NGX_HTTP_BAD_REQUEST,
                                   "ValidationException",
                                   "the request is not valid"),

    ngx_http_eventbridge_put_error(NGX_HTTP_UNAUTHORIZED,
                                   "UnrecognizedClientException",
                                   "the request has no valid credentials"),

    ngx_http_eventbridge_put_error(NGX_HTTP_FORBIDDEN,
                                   "AccessDeniedException",
                                   "the request may not post here"),

    ngx_http_eventbridge_put_error(NGX_HTTP_NOT_ALLOWED,
                                   "UnknownOperationException",
                                   "operations are posted"),

    ngx_http_eventbridge_put_error(NGX_HTTP_REQUEST_TIME_OUT,
                                   "RequestTimeoutException",
                                   "the body did not arrive in time"),

    ngx_http_eventbridge_put_error(NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                   "RequestEntityTooLargeException",
                                   "the body is larger than "
                                   "client_max_body_size"),

    ngx_http_eventbridge_put_error(NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                                   "SerializationException",
                                   "the body is in no known encoding"),

    ngx_http_eventbridge_put_error(NGX_HTTP_TOO_MANY_REQUESTS,
                                   "ThrottlingException",
                                   "Rate exceeded"),

    ngx_http_eventbridge_put_error(NGX_HTTP_SERVICE_UNAVAILABLE,
                                   "ServiceUnavailable",
                                   "try again later"),

    ngx_http_eventbridge_put_error(NGX_HTTP_INTERNAL_SERVER_ERROR,
                                   "InternalFailure",
                                   "the request could not be processed")
};


/* how many headers say what operation is called; here, where one can be */

static ngx_uint_t
ngx_http_eventbridge_put_target(ngx_http_request_t *r, ngx_str_t *target)
{
    ngx_http_eventbridge_loc_conf_t  *elcf;

    static ngx_str_t  name = ngx_string("X-Amz-Target");

    elcf = ngx_http_get_module_loc_conf(r, ngx_http_eventbridge_module);

    /* there a body is the event, and headers are what variables make of them */

    if (elcf->event) {
        return 0;
    }

    return ngx_http_eventbridge_auth_header(r, &name, target);
}


ngx_int_t
ngx_http_eventbridge_putevents_format(ngx_http_request_t *r)
{
    ngx_int_t   rc;
    ngx_str_t   target;
    ngx_uint_t  n;

    static ngx_str_t  operation = ngx_string("AWSEvents.PutEvents");

    n = ngx_http_eventbridge_put_target(r, &target);

    if (n == 0) {
        return ngx_http_eventbridge_cloudevent_format(r);
    }

    if (n == 1 && ngx_http_eventbridge_same(&target, &operation)) {
        return NGX_DECLINED;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_eventbridge_refuse_aws(r, NGX_HTTP_BAD_REQUEST,
                                           "UnknownOperationException",
                                           "the only operation here is "
                                           "AWSEvents.PutEvents");
}


ngx_int_t
ngx_http_eventbridge_putevents_request(ngx_http_eventbridge_job_t *job,
    ngx_http_request_t *r, ngx_http_eventbridge_error_t *err)
{
    u_char               random[NGX_HTTP_EVENTBRIDGE_PUT_RANDOM];
    ngx_int_t            rc;
    ngx_str_t            target;
    ngx_eb_put_t        *put;
    ngx_eb_put_facts_t   facts;

    /* before the body came, another operation was refused */

    if (job->conf->event
        || ngx_http_eventbridge_put_target(r, &target) == 0)
    {
        return ngx_http_eventbridge_cloudevent_request(job, r, err);
    }

    job->room = 0;

    put = ngx_palloc(job->pool, sizeof(ngx_eb_put_t));
    if (put == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_eb_put_read(job->emcf->worker->parser, job->pool, &job->body,
                         job->conf->max_depth, put);

    if (rc == NGX_DECLINED) {
        err->status = NGX_HTTP_BAD_REQUEST;
        err->error = put->error;
        err->message = put->message;
        err->offset = -1;
    }

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_eventbridge_put_facts(r, &facts, random) != NGX_OK) {
        return NGX_ERROR;
    }

    job->put = put;

    return ngx_eb_put_write(put, &facts, job->pool, &job->body);
}


/*
 * Who signed, whether or not that is verified: without eventbridge_auth a
 * sender may say anything of itself.  All of it is in the client's memory.
 */

static ngx_int_t
ngx_http_eventbridge_put_facts(ngx_http_request_t *r,
    ngx_eb_put_facts_t *facts, u_char *random)
{
    ngx_str_t            value;
    ngx_eb_sigv4_auth_t  auth;

    static ngx_str_t  authorization = ngx_string("Authorization");
    static ngx_str_t  invocation = ngx_string("amz-sdk-invocation-id");

    ngx_str_set(&facts->key_id, "");
    ngx_str_set(&facts->region, "");
    facts->now = ngx_time();

    if (ngx_http_eventbridge_auth_header(r, &authorization, &value) == 1
        && ngx_eb_sigv4_parse(&value, &auth) == NGX_OK)
    {
        facts->key_id = auth.key_id;
        facts->region = auth.region;
    }

    if (ngx_http_eventbridge_auth_header(r, &invocation, &facts->invocation)
        == 1
        && facts->invocation.len)
    {
        return NGX_OK;
    }

    if (RAND_bytes(random, NGX_HTTP_EVENTBRIDGE_PUT_RANDOM) != 1) {
        ngx_ssl_error(NGX_LOG_ERR, r->connection->log, 0,
                      "RAND_bytes() failed");
        return NGX_ERROR;
    }

    facts->invocation.data = random;
    facts->invocation.len = NGX_HTTP_EVENTBRIDGE_PUT_RANDOM;

    return NGX_OK;
}


ngx_int_t
ngx_http_eventbridge_putevents_batch(ngx_http_eventbridge_job_t *job,
    ngx_eb_json_t *json)
{
    ngx_uint_t           i, n;
    ngx_eb_put_t        *put;
    ngx_eb_event_t      *events;
    ngx_eb_put_entry_t  *entry;

    put = job->put;

    events = ngx_palloc(job->pool, put->nentries * sizeof(ngx_eb_event_t));
    if (events == NULL) {
        return NGX_ERROR;
    }

    n = 0;

    for (i = 0; i < put->nentries; i++) {
        entry = &put->entries[i];

        if (entry->code == NULL) {
            events[i] = job->batch.events[n++];
            continue;
        }

        ngx_eb_event_init(json, 0, &events[i]);

        events[i].raw = entry->raw;
        events[i].source = entry->source;
        events[i].type = entry->type;
        events[i].kind = NGX_EB_EVENT_AWS;
        events[i].invalid = entry->message;
    }

    job->batch.events = events;
    job->batch.nevents = put->nentries;

    return NGX_OK;
}


ngx_int_t
ngx_http_eventbridge_putevents_answer(ngx_http_eventbridge_job_t *job,
    ngx_http_request_t *r)
{
    u_char                      *buf;
    ngx_str_t                    body;
    ngx_uint_t                   i;
    ngx_eb_out_t                 out;
    ngx_http_eventbridge_ctx_t  *ctx;

    if (job->items == NULL) {
        ctx = ngx_http_get_module_ctx(r, ngx_http_eventbridge_module);
        ctx->result = NGX_HTTP_EVENTBRIDGE_RESULT_REFUSED;
    }

    for (i = 0; i < job->put->nentries; i++) {
        if (job->put->entries[i].code == NULL) {
            ngx_http_eventbridge_put_outcome(job, i);
        }
    }

    buf = ngx_pnalloc(r->pool, NGX_EB_PUT_ANSWER);
    if (buf == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_eb_out_init(&out, buf, NGX_EB_PUT_ANSWER);
    ngx_eb_put_answer(job->put, &out);

    body.data = buf;
    body.len = out.pos - buf;

    return ngx_http_eventbridge_finish_aws(r, &body);
}


/* what is not accepted gets a code that says whether to send it again */

static void
ngx_http_eventbridge_put_outcome(ngx_http_eventbridge_job_t *job,
    ngx_uint_t i)
{
    ngx_eb_put_entry_t  *entry;

    entry = &job->put->entries[i];

    if (job->items == NULL) {
        /* it did not come so far */
        entry->code = "ThrottlingException";
        entry->message = "Rate exceeded";
        return;
    }

    switch (job->items[i].state) {

    case NGX_HTTP_EVENTBRIDGE_FORWARDED:
    case NGX_HTTP_EVENTBRIDGE_DUPLICATE:
    case NGX_HTTP_EVENTBRIDGE_DROPPED:
    case NGX_HTTP_EVENTBRIDGE_DEAD:
        return;

    case NGX_HTTP_EVENTBRIDGE_INVALID:
        entry->code = "InvalidArgument";
        entry->message = job->batch.events[i].invalid;
        return;

    case NGX_HTTP_EVENTBRIDGE_UNROUTED:
        entry->code = "InvalidArgument";
        entry->message = "The event matches no route.";
        return;

    case NGX_HTTP_EVENTBRIDGE_FAILED:
        entry->message = "The event was not delivered, send it again.";
        break;

    case NGX_HTTP_EVENTBRIDGE_GAVE_UP:
        entry->message = "Another request is delivering the event.";
        break;

    default:
        entry->message = "The delivery takes longer than the sender may wait.";
    }

    entry->code = "InternalFailure";
}


const char *
ngx_http_eventbridge_putevents_error(ngx_http_request_t *r, ngx_uint_t status,
    const char *error)
{
    ngx_http_eventbridge_put_error_t  *e;

    e = ngx_http_eventbridge_put_refusal(r, status);

    if (e == NULL) {
        return NULL;
    }

    /* names of ours are in lower case */

    return (error[0] >= 'A' && error[0] <= 'Z') ? error : e->type;
}


ngx_str_t *
ngx_http_eventbridge_putevents_error_text(ngx_http_request_t *r,
    ngx_uint_t status)
{
    ngx_http_eventbridge_put_error_t  *e;

    e = ngx_http_eventbridge_put_refusal(r, status);

    return e ? &e->text : NULL;
}


/* NULL: r does not come from a client of AWS, or not for events */

static ngx_http_eventbridge_put_error_t *
ngx_http_eventbridge_put_refusal(ngx_http_request_t *r, ngx_uint_t status)
{
    ngx_str_t                          target;
    ngx_uint_t                         i, last;
    ngx_http_eventbridge_loc_conf_t   *elcf;
    ngx_http_eventbridge_put_error_t  *errors;

    elcf = ngx_http_get_module_loc_conf(r, ngx_http_eventbridge_module);

    if (!elcf->enabled || ngx_http_eventbridge_put_target(r, &target) == 0) {
        return NULL;
    }

    errors = ngx_http_eventbridge_put_errors;
    last = sizeof(ngx_http_eventbridge_put_errors)
           / sizeof(ngx_http_eventbridge_put_error_t) - 1;

    for (i = 0; i < last; i++) {
        if (errors[i].status == status) {
            return &errors[i];
        }
    }

    return (status < NGX_HTTP_INTERNAL_SERVER_ERROR) ? &errors[0]
                                                     : &errors[last];
}
