
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * CloudEvents over HTTP: what a request holds, the handshake of webhooks, and
 * what destinations get.
 */


#include "ngx_http_eventbridge_module.h"
#include "ngx_eb_cloudevent.h"
#include <openssl/sha.h>


/* an event inside of another, and what it is wrapped into */
#define NGX_HTTP_EVENTBRIDGE_CE_DEPTH  (NGX_HTTP_EVENTBRIDGE_MAX_DEPTH + 2)

/* hexadecimal digits that stand for an event without an id */
#define NGX_HTTP_EVENTBRIDGE_CE_ID     32

/* "example.com", or a pattern of it, and more is no origin */
#define NGX_HTTP_EVENTBRIDGE_CE_ORIGIN  255


/* where a walk over the headers of a request has come to */

typedef struct {
    ngx_list_part_t          *part;
    ngx_uint_t                i;
} ngx_http_eventbridge_walk_t;


static ngx_uint_t ngx_http_eventbridge_cloudevent_binary(
    ngx_http_request_t *r);
static void ngx_http_eventbridge_cloudevent_content(ngx_http_request_t *r,
    ngx_str_t *type);
static ngx_table_elt_t *ngx_http_eventbridge_cloudevent_next(
    ngx_http_eventbridge_walk_t *walk, const char *prefix, size_t len);
static ngx_int_t ngx_http_eventbridge_cloudevent_head(
    ngx_http_request_t *r, ngx_eb_out_t *out,
    ngx_http_eventbridge_error_t *err);
static ngx_int_t ngx_http_eventbridge_cloudevent_make(
    ngx_http_eventbridge_job_t *job, ngx_http_request_t *r, ngx_str_t *head);
static ngx_uint_t ngx_http_eventbridge_cloudevent_whole(
    ngx_http_eventbridge_job_t *job, ngx_eb_json_t *json);
static ngx_int_t ngx_http_eventbridge_cloudevent_refuse(
    ngx_http_eventbridge_error_t *err, const char *error,
    const char *message);
static size_t ngx_http_eventbridge_cloudevent_size(
    ngx_http_eventbridge_job_t *job, ngx_eb_event_t *event);
static ngx_int_t ngx_http_eventbridge_cloudevent_write(
    ngx_http_eventbridge_job_t *job, ngx_eb_event_t *event, ngx_pool_t *pool,
    ngx_eb_out_t *out);
static ngx_uint_t ngx_http_eventbridge_cloudevent_already(
    ngx_eb_json_t *json, ngx_pool_t *pool);
static ngx_int_t ngx_http_eventbridge_cloudevent_headers(
    ngx_http_eventbridge_send_t *send, ngx_http_request_t *sr,
    ngx_str_t *text, ngx_str_t *body);


static ngx_str_t  ngx_http_eventbridge_cloudevent_types[] = {
    ngx_string("application/cloudevents-batch+json"),
    ngx_string("application/cloudevents+json")
};


#define ngx_http_eventbridge_walk_init(walk, r)                              \
    (walk)->part = &(r)->headers_in.headers.part;                            \
    (walk)->i = 0

#define ngx_http_eventbridge_walk(walk, prefix)                              \
    ngx_http_eventbridge_cloudevent_next(walk, prefix, sizeof(prefix) - 1)


/*
 * The permission that section 4 of the HTTP webhook specification asks for.
 * Whoever may post may post from anywhere: the origin is only a name.
 */

ngx_int_t
ngx_http_eventbridge_cloudevent_options(ngx_http_request_t *r)
{
    u_char                           *p;
    ngx_int_t                         rc;
    ngx_str_t                         allow, limit, *name;
    ngx_uint_t                        i, rate;
    ngx_table_elt_t                  *h, *origin;
    ngx_http_eventbridge_walk_t       walk;
    ngx_http_eventbridge_loc_conf_t  *elcf;

    if (r->method != NGX_HTTP_OPTIONS) {
        return NGX_DECLINED;
    }

    origin = NULL;
    rate = 0;

    ngx_http_eventbridge_walk_init(&walk, r);

    for ( ;; ) {
        h = ngx_http_eventbridge_walk(&walk, "webhook-request-");
        if (h == NULL) {
            break;
        }

        name = &h->key;

        if (name->len == sizeof("webhook-request-origin") - 1
            && ngx_strncmp(h->lowcase_key + 16, "origin", 6) == 0)
        {
            origin = h;

        } else if (name->len == sizeof("webhook-request-rate") - 1
                   && ngx_strncmp(h->lowcase_key + 16, "rate", 4) == 0)
        {
            rate = (ngx_atoi(h->value.data, h->value.len) > 0) ? 1 : 2;
        }
    }

    if (origin == NULL) {
        return NGX_DECLINED;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    for (i = 0; i < origin->value.len; i++) {
        if (origin->value.data[i] <= ' ' || origin->value.data[i] >= 0x7f) {
            break;
        }
    }

    if (i == 0 || i < origin->value.len || i > NGX_HTTP_EVENTBRIDGE_CE_ORIGIN) {
        return ngx_http_eventbridge_refuse_request(r, NGX_HTTP_BAD_REQUEST,
                                "invalid_handshake", "WebHook-Request-Origin "
                                "is not the name of an origin", -1);
    }

    if (rate == 2) {
        return ngx_http_eventbridge_refuse_request(r, NGX_HTTP_BAD_REQUEST,
                                "invalid_handshake", "WebHook-Request-Rate "
                                "is not a positive number", -1);
    }

    /* requests a minute: one event each is the most that they can be */

    elcf = ngx_http_get_module_loc_conf(r, ngx_http_eventbridge_module);

    ngx_str_set(&limit, "*");

    if (elcf->ingest->bucket) {
        p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
        if (p == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        limit.data = p;
        limit.len = ngx_sprintf(p, "%uL",
                        ngx_http_eventbridge_rate_minute(elcf->ingest->bucket))
                    - p;
    }

    ngx_str_set(&allow, "POST");

    if (ngx_http_eventbridge_out_header(r, "Allow", &allow) != NGX_OK
        || ngx_http_eventbridge_out_header(r, "WebHook-Allowed-Origin",
                                           &origin->value)
           != NGX_OK
        || ngx_http_eventbridge_out_header(r, "WebHook-Allowed-Rate", &limit)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = 0;
    r->header_only = 1;

    return ngx_http_send_header(r);
}


ngx_int_t
ngx_http_eventbridge_cloudevent_format(ngx_http_request_t *r)
{
    ngx_int_t                         rc;
    ngx_str_t                         type;
    ngx_http_eventbridge_loc_conf_t  *elcf;

    elcf = ngx_http_get_module_loc_conf(r, ngx_http_eventbridge_module);

    ngx_http_eventbridge_cloudevent_content(r, &type);

    if (elcf->event || ngx_eb_ce_content(&type) != NGX_EB_CE_UNKNOWN) {
        return NGX_DECLINED;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_eventbridge_refuse_request(r,
                               NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                               "unsupported_format", "CloudEvents are taken "
                               "as application/cloudevents+json, as "
                               "application/cloudevents-batch+json, and in "
                               "binary mode", -1);
}


static void
ngx_http_eventbridge_cloudevent_content(ngx_http_request_t *r,
    ngx_str_t *type)
{
    ngx_str_null(type);

    if (r->headers_in.content_type) {
        *type = r->headers_in.content_type->value;
    }
}


/* one attribute that must be there is enough: the others are missed then */

static ngx_uint_t
ngx_http_eventbridge_cloudevent_binary(ngx_http_request_t *r)
{
    ngx_uint_t                    i;
    ngx_table_elt_t              *h;
    ngx_http_eventbridge_walk_t   walk;

    static ngx_str_t  names[] = {
        ngx_string("ce-id"),
        ngx_string("ce-source"),
        ngx_string("ce-specversion"),
        ngx_string("ce-type")
    };

    ngx_http_eventbridge_walk_init(&walk, r);

    for ( ;; ) {
        h = ngx_http_eventbridge_walk(&walk, "ce-");
        if (h == NULL) {
            return 0;
        }

        for (i = 0; i < 4; i++) {
            if (h->key.len == names[i].len
                && ngx_strncmp(h->lowcase_key, names[i].data, names[i].len)
                   == 0)
            {
                return 1;
            }
        }
    }
}


/* the next header whose name begins so, or NULL; prefix is in lower case */

static ngx_table_elt_t *
ngx_http_eventbridge_cloudevent_next(ngx_http_eventbridge_walk_t *walk,
    const char *prefix, size_t len)
{
    ngx_table_elt_t  *h;

    for ( ;; ) {

        if (walk->i >= walk->part->nelts) {
            if (walk->part->next == NULL) {
                return NULL;
            }

            walk->part = walk->part->next;
            walk->i = 0;
        }

        h = walk->part->elts;
        h += walk->i++;

        /* a hash of 0: another module has taken the header away */

        if (h->hash && h->key.len > len
            && ngx_strncmp(h->lowcase_key, prefix, len) == 0)
        {
            return h;
        }
    }
}


size_t
ngx_http_eventbridge_cloudevent_room(ngx_http_request_t *r)
{
    size_t                            size;
    ngx_str_t                         type;
    ngx_table_elt_t                  *h;
    ngx_http_eventbridge_walk_t       walk;
    ngx_http_eventbridge_loc_conf_t  *elcf;

    elcf = ngx_http_get_module_loc_conf(r, ngx_http_eventbridge_module);

    ngx_http_eventbridge_cloudevent_content(r, &type);

    if (elcf->event || ngx_eb_ce_content(&type) != NGX_EB_CE_NONE
        || !ngx_http_eventbridge_cloudevent_binary(r))
    {
        return 0;
    }

    size = sizeof("{\"datacontenttype\":\"\",\"data\":") + 6 * type.len;

    ngx_http_eventbridge_walk_init(&walk, r);

    for ( ;; ) {
        h = ngx_http_eventbridge_walk(&walk, "ce-");
        if (h == NULL) {
            return size;
        }

        size += 2 * h->value.len + h->key.len + 6;
    }
}


ngx_int_t
ngx_http_eventbridge_cloudevent_request(ngx_http_eventbridge_job_t *job,
    ngx_http_request_t *r, ngx_http_eventbridge_error_t *err)
{
    u_char        *start;
    size_t         size, room;
    ngx_int_t      rc;
    ngx_str_t      type, head;
    ngx_eb_out_t   out;

    room = job->body.len ? job->room : 0;

    job->cloudevents = 0;
    job->room = 0;

    if (job->conf->event) {
        return NGX_OK;
    }

    ngx_http_eventbridge_cloudevent_content(r, &type);

    switch (ngx_eb_ce_content(&type)) {

    case NGX_EB_CE_STRUCTURED:
        job->cloudevents = NGX_EB_BODY_CE_SINGLE;
        return NGX_OK;

    case NGX_EB_CE_BATCH:
        job->cloudevents = NGX_EB_BODY_CE_BATCH;
        return NGX_OK;

    case NGX_EB_CE_UNKNOWN:
        /* answered before the body was read */
        return NGX_ERROR;
    }

    size = ngx_http_eventbridge_cloudevent_room(r);

    if (size == 0) {
        return NGX_OK;
    }

    job->cloudevents = NGX_EB_BODY_CE_BINARY;
    job->received = job->body;

    start = room ? job->body.data - room : ngx_pnalloc(job->pool, size);
    if (start == NULL) {
        return NGX_ERROR;
    }

    ngx_eb_out_init(&out, start, room ? room : size);

    rc = ngx_http_eventbridge_cloudevent_head(r, &out, err);

    if (rc != NGX_OK) {
        return rc;
    }

    head.data = start;
    head.len = out.pos - start;

    if (room && ngx_eb_ce_data(&type) == NGX_EB_CE_DATA_JSON) {

        /* the text is made around the body, which stays where it is */

        ngx_eb_out_lit(&out, "\"data\":");

        if (out.truncated) {
            return NGX_ERROR;
        }

        head.len = out.pos - start;

        job->body.data -= head.len;
        job->body.len += head.len + 1;
        job->room = head.len;

        ngx_memmove(job->body.data, start, head.len);
        job->body.data[job->body.len - 1] = '}';

        return NGX_OK;
    }

    return ngx_http_eventbridge_cloudevent_make(job, r, &head);
}


/* the attributes, each with a comma behind it */

static ngx_int_t
ngx_http_eventbridge_cloudevent_head(ngx_http_request_t *r, ngx_eb_out_t *out,
    ngx_http_eventbridge_error_t *err)
{
    ngx_int_t                     rc;
    ngx_str_t                     type, name;
    const char                   *why, *message;
    ngx_table_elt_t              *h;
    ngx_http_eventbridge_walk_t   walk;

    ngx_eb_out_lit(out, "{");

    ngx_http_eventbridge_cloudevent_content(r, &type);

    if (type.len) {
        ngx_eb_out_lit(out, "\"datacontenttype\":");
        ngx_eb_out_string(out, &type, type.len);
        ngx_eb_out_lit(out, ",");
    }

    ngx_http_eventbridge_walk_init(&walk, r);

    for ( ;; ) {
        h = ngx_http_eventbridge_walk(&walk, "ce-");
        if (h == NULL) {
            break;
        }

        name.data = h->lowcase_key + 3;
        name.len = h->key.len - 3;

        rc = ngx_eb_ce_header(&name, &h->value, r->pool, out, &why);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_DECLINED) {
            message = ngx_eb_ce_reason(r->pool, &name, why);

            return message ? ngx_http_eventbridge_cloudevent_refuse(err,
                                               "invalid_cloudevent", message)
                           : NGX_ERROR;
        }
    }

    return out->truncated ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_cloudevent_make(ngx_http_eventbridge_job_t *job,
    ngx_http_request_t *r, ngx_str_t *head)
{
    ngx_str_t             type;
    ngx_uint_t            kind;
    ngx_eb_json_t         json;
    ngx_eb_json_error_t   err;

    ngx_http_eventbridge_cloudevent_content(r, &type);

    kind = ngx_eb_ce_data(&type);

    if (kind == NGX_EB_CE_DATA_UNKNOWN) {

        /* nobody says what it is: JSON, if it can be */

        kind = (ngx_eb_json_parse(job->emcf->worker->parser,
                                  job->received.data, job->received.len,
                                  job->conf->max_depth, &json, &err)
                == NGX_OK)
                   ? NGX_EB_CE_DATA_JSON : NGX_EB_CE_DATA_BINARY;
    }

    if (kind == NGX_EB_CE_DATA_JSON && job->received.len) {
        job->room = head->len + sizeof("\"data\":") - 1;
    }

    return ngx_eb_ce_embed(job->pool, head, &job->received, kind, &job->body);
}


ngx_int_t
ngx_http_eventbridge_cloudevent_batch(ngx_http_eventbridge_job_t *job,
    ngx_eb_json_t *json, ngx_http_eventbridge_error_t *err)
{
    size_t       len;
    u_char      *message;
    ngx_int_t    rc;
    const char  *invalid;

    if (job->room && !ngx_http_eventbridge_cloudevent_whole(job, json)) {
        return ngx_http_eventbridge_cloudevent_refuse(err, "invalid_json",
                                       "the body is not JSON, although its "
                                       "Content-Type says so");
    }

    rc = ngx_eb_ce_split(json, job->pool, job->cloudevents,
                         job->conf->max_events, &job->batch);

    if (rc == NGX_DECLINED) {
        err->offset = job->batch.offset;
        err->status = NGX_HTTP_BAD_REQUEST;
        err->error = "not_a_batch";
        err->message = job->batch.error;

        return NGX_DECLINED;
    }

    if (rc != NGX_OK || job->cloudevents == NGX_EB_BODY_CE_BATCH) {
        return rc;
    }

    /* of a batch the others are good; this one is all there is */

    invalid = job->batch.events->invalid;

    if (invalid == NULL) {
        return NGX_OK;
    }

    /* the job's memory ends before the answer is made */

    len = ngx_strlen(invalid) + 1;

    message = ngx_pnalloc(job->client->request->pool, len);
    if (message == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(message, invalid, len);

    return ngx_http_eventbridge_cloudevent_refuse(err, "invalid_cloudevent",
                                                  (const char *) message);
}


/*
 * Is the body, around which the text was made, one value?  It could end this
 * one and go on with attributes of its own: then the last member is not where
 * "data" was written.
 */

static ngx_uint_t
ngx_http_eventbridge_cloudevent_whole(ngx_http_eventbridge_job_t *job,
    ngx_eb_json_t *json)
{
    ngx_eb_json_node_t  key, last;

    last = NGX_EB_JSON_NONE;

    for (key = ngx_eb_json_first(json, 0);
         key != NGX_EB_JSON_NONE;
         key = ngx_eb_json_after(json, key + 2))
    {
        last = key;
    }

    return last != NGX_EB_JSON_NONE
           && json->pos[last] == job->room - (sizeof("\"data\":") - 1);
}


static ngx_int_t
ngx_http_eventbridge_cloudevent_refuse(ngx_http_eventbridge_error_t *err,
    const char *error, const char *message)
{
    err->status = NGX_HTTP_BAD_REQUEST;
    err->error = error;
    err->message = message;
    err->offset = -1;

    return NGX_DECLINED;
}


ngx_str_t *
ngx_http_eventbridge_cloudevent_type(ngx_uint_t form)
{
    return (form == NGX_HTTP_EVENTBRIDGE_FORWARD_CE_BINARY)
               ? NULL
               : &ngx_http_eventbridge_cloudevent_types[form
                                     - NGX_HTTP_EVENTBRIDGE_FORWARD_CE_BATCH];
}


ngx_int_t
ngx_http_eventbridge_cloudevent_body(ngx_http_eventbridge_send_t *send,
    ngx_http_request_t *sr, ngx_str_t *body)
{
    u_char                      *start;
    size_t                       size;
    ngx_str_t                    text;
    ngx_uint_t                   i, array, others;
    ngx_eb_out_t                 out;
    ngx_eb_event_t              *events, *event;
    ngx_eb_route_hit_t          *hits;
    ngx_http_eventbridge_job_t  *job;

    job = send->job;
    hits = job->hits.elts;
    events = job->batch.events;
    array = (job->form == NGX_HTTP_EVENTBRIDGE_FORWARD_CE_BATCH);

    size = 2;
    others = 0;

    for (i = 0; i < send->nhits; i++) {
        event = &events[hits[send->hits[i]].event];
        others += (event->kind != NGX_EB_EVENT_CLOUDEVENT);
        size += ngx_http_eventbridge_cloudevent_size(job, event) + 1;
    }

    if (others == 0 && array) {
        return NGX_DECLINED;
    }

    if (others == 0) {
        text = events[hits[send->hits[0]].event].raw;

    } else {
        start = ngx_pnalloc(sr->pool, size);
        if (start == NULL) {
            return NGX_ERROR;
        }

        ngx_eb_out_init(&out, start, size);

        for (i = 0; i < send->nhits; i++) {

            /* two routes may have led here; hits of an event are neighbors */

            if (i && hits[send->hits[i]].event == hits[send->hits[i - 1]].event)
            {
                continue;
            }

            if (array) {
                ngx_eb_out_raw(&out, i ? "," : "[", 1);
            }

            if (ngx_http_eventbridge_cloudevent_write(job,
                                     &events[hits[send->hits[i]].event],
                                     sr->pool, &out)
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }

        if (array) {
            ngx_eb_out_lit(&out, "]");
        }

        if (out.truncated) {
            return NGX_ERROR;
        }

        text.data = start;
        text.len = out.pos - start;
    }

    if (job->form == NGX_HTTP_EVENTBRIDGE_FORWARD_CE_BINARY) {
        return ngx_http_eventbridge_cloudevent_headers(send, sr, &text, body);
    }

    *body = text;

    return NGX_OK;
}


static size_t
ngx_http_eventbridge_cloudevent_size(ngx_http_eventbridge_job_t *job,
    ngx_eb_event_t *event)
{
    ngx_str_t  id;

    if (event->kind == NGX_EB_EVENT_CLOUDEVENT) {
        return event->raw.len;
    }

    ngx_str_null(&id);
    id.len = NGX_HTTP_EVENTBRIDGE_CE_ID;

    return ngx_eb_ce_map_size(event, &id, &job->ingest->name);
}


/*
 * Nothing but slices of an event has outlived its batch, so it is parsed once
 * more, alone; only what its headers may have said is taken from there.
 */

static ngx_int_t
ngx_http_eventbridge_cloudevent_write(ngx_http_eventbridge_job_t *job,
    ngx_eb_event_t *event, ngx_pool_t *pool, ngx_eb_out_t *out)
{
    u_char                digest[SHA256_DIGEST_LENGTH];
    u_char                hex[NGX_HTTP_EVENTBRIDGE_CE_ID];
    ngx_int_t             rc;
    ngx_str_t             id;
    ngx_eb_json_t         json;
    ngx_eb_event_t       *own;
    ngx_eb_batch_t        batch;
    ngx_eb_json_error_t   err;

    if (event->kind == NGX_EB_EVENT_CLOUDEVENT) {
        ngx_eb_out_raw(out, event->raw.data, event->raw.len);
        return NGX_OK;
    }

    if (ngx_eb_json_parse(job->emcf->worker->parser, event->raw.data,
                          event->raw.len, NGX_HTTP_EVENTBRIDGE_CE_DEPTH,
                          &json, &err)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = job->conf->event ? NGX_DECLINED
                          : ngx_eb_batch_split(&json, pool, 1, &batch);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    /* one out of an array need not be a body by itself */

    if (rc != NGX_OK || batch.shape != NGX_EB_BODY_SINGLE) {

        if (ngx_eb_batch_whole(&json, pool, &batch) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    own = batch.events;

    if (job->conf->event) {
        /* all of it is data, whatever members it has; nobody says a time */
        own->node = NGX_EB_JSON_NONE;
        own->metadata = NGX_EB_JSON_NONE;
        own->time = NGX_EB_TIME_UNKNOWN;

    } else if (own->kind == NGX_EB_EVENT_BARE
               && ngx_http_eventbridge_cloudevent_already(&json, pool))
    {
        ngx_eb_out_raw(out, event->raw.data, event->raw.len);
        return NGX_OK;
    }

    own->id = event->id;
    own->source = event->source;
    own->type = event->type;

    if (!ngx_eb_ce_usable(&own->id)) {
        SHA256(event->raw.data, event->raw.len, digest);
        ngx_hex_dump(hex, digest, NGX_HTTP_EVENTBRIDGE_CE_ID / 2);
    }

    id.data = hex;
    id.len = NGX_HTTP_EVENTBRIDGE_CE_ID;

    ngx_eb_ce_map(&json, own, &id, &job->ingest->name, out);

    return NGX_OK;
}


/* one that came as plain JSON is none the worse for it */

static ngx_uint_t
ngx_http_eventbridge_cloudevent_already(ngx_eb_json_t *json, ngx_pool_t *pool)
{
    ngx_eb_event_t      event;
    ngx_eb_json_node_t  node;

    static ngx_str_t  version = ngx_string("specversion");

    if (ngx_eb_json_type(json, 0) != '{') {
        return 0;
    }

    node = ngx_eb_json_member(json, 0, &version);

    if (node == NGX_EB_JSON_NONE) {
        return 0;
    }

    ngx_eb_event_init(json, 0, &event);

    return ngx_eb_ce_read(json, pool, 0, &event) == NGX_OK
           && event.invalid == NULL;
}


static ngx_int_t
ngx_http_eventbridge_cloudevent_headers(ngx_http_eventbridge_send_t *send,
    ngx_http_request_t *sr, ngx_str_t *text, ngx_str_t *body)
{
    ngx_uint_t                   i;
    ngx_keyval_t                *header;
    ngx_eb_json_t                json;
    ngx_table_elt_t             *h;
    ngx_eb_ce_binary_t           binary;
    ngx_eb_json_error_t          err;
    ngx_http_eventbridge_job_t  *job;

    job = send->job;

    if (ngx_eb_json_parse(job->emcf->worker->parser, text->data, text->len,
                          NGX_HTTP_EVENTBRIDGE_CE_DEPTH, &json, &err)
        != NGX_OK
        || ngx_eb_ce_binary(&json, sr->pool, &binary) != NGX_OK)
    {
        return NGX_ERROR;
    }

    header = binary.headers.elts;

    for (i = 0; i < binary.headers.nelts; i++) {
        if (ngx_http_eventbridge_header(sr, (const char *) header[i].key.data,
                                        &header[i].value)
            == NULL)
        {
            return NGX_ERROR;
        }
    }

    if (binary.type.data) {
        h = ngx_http_eventbridge_header(sr, "Content-Type", &binary.type);
        if (h == NULL) {
            return NGX_ERROR;
        }

        sr->headers_in.content_type = h;
    }

    /* what came as headers and data goes on to the last byte of white space */

    *body = (job->batch.shape == NGX_EB_BODY_CE_BINARY) ? job->received
                                                        : binary.data;
    return NGX_OK;
}
