
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * CloudEvents 1.0: events in their JSON format (structured and batched), and
 * as headers with a body (binary), in and out; and what other events look like
 * as CloudEvents.  The specifications are github.com/cloudevents/spec:
 * cloudevents/spec.md, formats/json-format.md, bindings/http-protocol-
 * binding.md, all of version 1.0.2.
 *
 * Inside of the module a CloudEvent is always its JSON text.  One that comes
 * in as headers is written as such a text around the bytes of its body.
 */


#ifndef _NGX_EB_CLOUDEVENT_H_INCLUDED_
#define _NGX_EB_CLOUDEVENT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_event.h"
#include "ngx_eb_out.h"


/* extension attributes of one event */
#define NGX_EB_CE_MAX_EXTENSIONS  128


/* what a Content-Type says of a request */

typedef enum {
    NGX_EB_CE_NONE = 0,         /* not a CloudEvent, or one as headers */
    NGX_EB_CE_STRUCTURED,
    NGX_EB_CE_BATCH,
    NGX_EB_CE_UNKNOWN           /* a format that is not JSON */
} ngx_eb_ce_content_e;

ngx_uint_t ngx_eb_ce_content(ngx_str_t *type);


/* what a Content-Type says of data, and how these are kept in JSON */

typedef enum {
    NGX_EB_CE_DATA_UNKNOWN = 0, /* it is empty */
    NGX_EB_CE_DATA_JSON,        /* "data": the value itself */
    NGX_EB_CE_DATA_TEXT,        /* "data": a string, if they are UTF-8 */
    NGX_EB_CE_DATA_BINARY       /* "data_base64" */
} ngx_eb_ce_data_e;

ngx_uint_t ngx_eb_ce_data(ngx_str_t *type);


/*
 * The text, a CloudEvent or for NGX_EB_BODY_CE_BATCH an array of them, as a
 * batch of that shape.  Malformed ones have event->invalid, which names the
 * attribute.  NGX_OK; NGX_DECLINED: it is no array, as batch->error and offset
 * say; NGX_BUSY: more than max_events; NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_ce_split(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_uint_t shape, ngx_uint_t max_events, ngx_eb_batch_t *batch);

/*
 * Reads and checks the value at node, a CloudEvent.  event is what
 * ngx_eb_event_init() has made of it.  NGX_OK: event->invalid says what is
 * wrong, or is NULL; NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_ce_read(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t node, ngx_eb_event_t *event);

/*
 * The attribute that a header "ce-NAME" is: "NAME":"VALUE" and a comma, with
 * at most 2 * value->len + name->len + 6 bytes.  name is without "ce-", in
 * lower case.  NGX_OK; NGX_DECLINED: the attribute is refused as *why says,
 * with nothing written; NGX_ERROR: no memory.  Only ngx_eb_ce_read() tells
 * whether all of them make a CloudEvent.
 */
ngx_int_t ngx_eb_ce_header(ngx_str_t *name, ngx_str_t *value,
    ngx_pool_t *pool, ngx_eb_out_t *out, const char **why);

/*
 * The text of an event: head, which is "{" and what ngx_eb_ce_header() writes,
 * and data, kept as kind (NGX_EB_CE_DATA_*) says.  Text that is not UTF-8 is
 * kept as binary data; JSON is taken as it stands, so that the text needs to
 * be parsed, and whoever does it needs to see that "data" is its last member.
 * NGX_OK, NGX_ERROR (no memory).
 */
ngx_int_t ngx_eb_ce_embed(ngx_pool_t *pool, ngx_str_t *head, ngx_str_t *data,
    ngx_uint_t kind, ngx_str_t *text);

/* the sentence "attribute NAME WHY", from pool; NULL: no memory */
const char *ngx_eb_ce_reason(ngx_pool_t *pool, ngx_str_t *name,
    const char *why);


/* a CloudEvent as headers and a body; all from pool, or slices of the text */

typedef struct {
    ngx_array_t               headers;  /* ngx_keyval_t; keys end with a NUL */
    ngx_str_t                 type;     /* Content-Type; data = NULL: none */
    ngx_str_t                 data;
} ngx_eb_ce_binary_t;

/*
 * The CloudEvent that is the whole text, which ngx_eb_ce_read() accepts.
 * NGX_OK, NGX_ERROR (no memory).
 */
ngx_int_t ngx_eb_ce_binary(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_ce_binary_t *binary);


/* an id or a type that a CloudEvent may have: not empty, no control character,
   no half of a surrogate pair */
ngx_uint_t ngx_eb_ce_usable(ngx_str_t *value);

/*
 * Writes an event of another kind as a CloudEvent in JSON, that always is a
 * valid one; docs/cloudevents.md has the mapping.  json is the index of the
 * event's own text, in which event's nodes are numbers.  id and source are
 * there for an event that has none that is usable; both are not empty, and id
 * is usable.  It takes at most ngx_eb_ce_map_size() bytes.
 */
void ngx_eb_ce_map(ngx_eb_json_t *json, ngx_eb_event_t *event, ngx_str_t *id,
    ngx_str_t *source, ngx_eb_out_t *out);

size_t ngx_eb_ce_map_size(ngx_eb_event_t *event, ngx_str_t *id,
    ngx_str_t *source);


#endif /* _NGX_EB_CLOUDEVENT_H_INCLUDED_ */
