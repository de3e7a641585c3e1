
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_time.h"
#include "ngx_eb_event.h"


/*
 * Every member name that means anything in some object of an event.  One set
 * for all objects: a walk notes what it meets, its caller takes what it needs.
 */

typedef enum {
    NGX_EB_FIELD_ID = 0,
    NGX_EB_FIELD_DATA,
    NGX_EB_FIELD_TIME,
    NGX_EB_FIELD_TYPE,
    NGX_EB_FIELD_DETAIL,
    NGX_EB_FIELD_EVENTS,
    NGX_EB_FIELD_REGION,
    NGX_EB_FIELD_SOURCE,
    NGX_EB_FIELD_METADATA,
    NGX_EB_FIELD_WRAP_METADATA,
    NGX_EB_FIELD_EVENT_BODY,
    NGX_EB_FIELD_EVENT_TIME,
    NGX_EB_FIELD_TIMESTAMP,
    NGX_EB_FIELD_TOPIC_NAME,
    NGX_EB_FIELD_EVENT_ID,
    NGX_EB_FIELD_DETAIL_TYPE,
    NGX_EB_FIELD_REPLAY_NAME,
    NGX_EB_FIELD_SYSTEM_METADATA,
    NGX_EB_FIELD_OTHER                  /* last: where the rest is put */
} ngx_eb_field_e;


/* longest name, each character of it written as \uXXXX */

#define NGX_EB_FIELD_MAX_ESCAPED  ((sizeof("SystemMetadata") - 1) * 6)


typedef struct {
    ngx_eb_json_node_t        node[NGX_EB_FIELD_OTHER + 1];
    ngx_uint_t                members;
} ngx_eb_fields_t;


#define ngx_eb_field_is(p, name)                                             \
    (ngx_memcmp(p, name, sizeof(name) - 1) == 0)

#define ngx_eb_event_is(json, node, ch)                                      \
    ((node) != NGX_EB_JSON_NONE && ngx_eb_json_type(json, node) == (ch))


static ngx_int_t ngx_eb_batch_single(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_fields_t *fields, ngx_uint_t max_events, ngx_eb_batch_t *batch);
static ngx_int_t ngx_eb_batch_declined(ngx_eb_json_t *json,
    ngx_eb_batch_t *batch, ngx_eb_json_node_t node, const char *error);
static ngx_int_t ngx_eb_event_item(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t node, ngx_eb_event_t *event);
static ngx_int_t ngx_eb_event_read(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t node, ngx_eb_fields_t *fields, ngx_eb_event_t *event);
static ngx_int_t ngx_eb_event_wrapped(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t node, ngx_eb_fields_t *fields, ngx_eb_event_t *event);
static ngx_int_t ngx_eb_event_envelope(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t node, ngx_eb_fields_t *fields, ngx_eb_event_t *event);
static ngx_int_t ngx_eb_event_bare(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t node, ngx_eb_fields_t *fields,
    ngx_eb_json_node_t metadata, ngx_eb_event_t *event);
static ngx_int_t ngx_eb_event_id(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t node, ngx_eb_event_t *event);
static ngx_int_t ngx_eb_event_source(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t node, ngx_eb_event_t *event);
static ngx_int_t ngx_eb_event_time(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t node, ngx_eb_event_t *event);
static ngx_uint_t ngx_eb_fields_envelope(ngx_eb_json_t *json,
    ngx_eb_fields_t *fields);
static ngx_uint_t ngx_eb_fields_wrapped(ngx_eb_json_t *json,
    ngx_eb_fields_t *fields);
static void ngx_eb_fields_read(ngx_eb_json_t *json, ngx_eb_json_node_t object,
    ngx_eb_fields_t *fields);
static ngx_inline ngx_uint_t ngx_eb_field(u_char *p, size_t len);
static ngx_uint_t ngx_eb_field_escaped(ngx_eb_json_t *json,
    ngx_eb_json_node_t key);


/* in the order of ngx_eb_field_e */

static ngx_str_t  ngx_eb_field_names[] = {
    ngx_string("id"),
    ngx_string("Data"),
    ngx_string("time"),
    ngx_string("type"),
    ngx_string("detail"),
    ngx_string("events"),
    ngx_string("region"),
    ngx_string("source"),
    ngx_string("metadata"),
    ngx_string("Metadata"),
    ngx_string("eventBody"),
    ngx_string("eventTime"),
    ngx_string("timestamp"),
    ngx_string("topicName"),
    ngx_string("aws:EventId"),
    ngx_string("detail-type"),
    ngx_string("replay-name"),
    ngx_string("SystemMetadata")
};


static ngx_str_t  ngx_eb_event_account = ngx_string("account");


ngx_int_t
ngx_eb_batch_split(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_uint_t max_events, ngx_eb_batch_t *batch)
{
    ngx_uint_t          bare;
    ngx_eb_fields_t     fields;
    ngx_eb_json_node_t  events;

    ngx_memzero(batch, sizeof(ngx_eb_batch_t));

    switch (ngx_eb_json_type(json, 0)) {

    case '[':
        batch->shape = NGX_EB_BODY_ARRAY;
        return ngx_eb_batch_items(json, pool, 0, max_events,
                                  ngx_eb_event_item, batch);

    case '{':
        break;

    default:
        return ngx_eb_batch_declined(json, batch, 0,
                                     "neither an object nor an array");
    }

    ngx_eb_fields_read(json, 0, &fields);

    if (ngx_eb_fields_envelope(json, &fields)
        || ngx_eb_fields_wrapped(json, &fields))
    {
        return ngx_eb_batch_single(json, pool, &fields, max_events, batch);
    }

    events = fields.node[NGX_EB_FIELD_EVENTS];

    if (ngx_eb_event_is(json, events, '[')) {
        batch->shape = NGX_EB_BODY_EVENTS;

        /*
         * A repeated "events" is a sibling too: another reader may take the
         * first of them, so such a body is not to be passed on as it is.
         */
        batch->siblings = (fields.members > 1);

        return ngx_eb_batch_items(json, pool, events, max_events,
                                  ngx_eb_event_item, batch);
    }

    bare = (fields.node[NGX_EB_FIELD_ID] != NGX_EB_JSON_NONE
            && fields.node[NGX_EB_FIELD_SOURCE] != NGX_EB_JSON_NONE);

    if (bare) {
        return ngx_eb_batch_single(json, pool, &fields, max_events, batch);
    }

    if (events != NGX_EB_JSON_NONE) {
        return ngx_eb_batch_declined(json, batch, events,
                                     "\"events\" is not an array");
    }

    return ngx_eb_batch_declined(json, batch, 0,
                 "neither an envelope with \"detail-type\" and \"detail\","
                 " nor an object with \"events\", or with \"id\" and"
                 " \"source\"");
}


ngx_int_t
ngx_eb_batch_whole(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_batch_t *batch)
{
    ngx_eb_event_t      *event;
    ngx_eb_fields_t      fields;
    ngx_eb_json_node_t   metadata;

    ngx_memzero(batch, sizeof(ngx_eb_batch_t));

    batch->shape = NGX_EB_BODY_SINGLE;

    event = ngx_palloc(pool, sizeof(ngx_eb_event_t));
    if (event == NULL) {
        return NGX_ERROR;
    }

    ngx_eb_event_init(json, 0, event);

    event->raw.data = json->data;
    event->raw.len = json->len;
    event->kind = NGX_EB_EVENT_BODY;

    batch->events = event;
    batch->nevents = 1;

    if (ngx_eb_json_type(json, 0) != '{') {
        return NGX_OK;
    }

    event->node = 0;

    ngx_eb_fields_read(json, 0, &fields);

    metadata = fields.node[NGX_EB_FIELD_METADATA];

    if (!ngx_eb_event_is(json, metadata, '{')) {
        return NGX_OK;
    }

    event->metadata = metadata;

    ngx_eb_fields_read(json, metadata, &fields);

    if (ngx_eb_event_is(json, fields.node[NGX_EB_FIELD_REGION], '"')) {
        return ngx_eb_event_string(json, pool, fields.node[NGX_EB_FIELD_REGION],
                                   &event->region);
    }

    return NGX_OK;
}


ngx_int_t
ngx_eb_batch_items(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t array, ngx_uint_t max_events,
    ngx_eb_event_read_pt read, ngx_eb_batch_t *batch)
{
    ngx_uint_t          n;
    ngx_eb_event_t     *event;
    ngx_eb_json_node_t  first, node;

    first = ngx_eb_json_first(json, array);

    /* counted before anything is allocated: the array may be huge */

    n = 0;

    for (node = first;
         node != NGX_EB_JSON_NONE;
         node = ngx_eb_json_after(json, node))
    {
        if (++n > max_events) {
            return NGX_BUSY;
        }
    }

    if (n == 0) {
        return NGX_OK;
    }

    event = ngx_palloc(pool, n * sizeof(ngx_eb_event_t));
    if (event == NULL) {
        return NGX_ERROR;
    }

    batch->events = event;

    for (node = first;
         node != NGX_EB_JSON_NONE;
         node = ngx_eb_json_after(json, node))
    {
        ngx_eb_event_init(json, node, event);

        if (ngx_eb_json_type(json, node) != '{') {
            event->invalid = "not an object";
            event++;
            continue;
        }

        if (read(json, pool, node, event) != NGX_OK) {
            return NGX_ERROR;
        }

        event++;
    }

    batch->nevents = n;

    return NGX_OK;
}


static ngx_int_t
ngx_eb_batch_single(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_fields_t *fields, ngx_uint_t max_events, ngx_eb_batch_t *batch)
{
    if (max_events == 0) {
        return NGX_BUSY;
    }

    batch->shape = NGX_EB_BODY_SINGLE;

    batch->events = ngx_palloc(pool, sizeof(ngx_eb_event_t));
    if (batch->events == NULL) {
        return NGX_ERROR;
    }

    ngx_eb_event_init(json, 0, batch->events);

    if (ngx_eb_event_read(json, pool, 0, fields, batch->events) != NGX_OK) {
        return NGX_ERROR;
    }

    batch->nevents = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_eb_batch_declined(ngx_eb_json_t *json, ngx_eb_batch_t *batch,
    ngx_eb_json_node_t node, const char *error)
{
    batch->error = error;
    batch->offset = json->pos[node];

    return NGX_DECLINED;
}


void
ngx_eb_event_init(ngx_eb_json_t *json, ngx_eb_json_node_t node,
    ngx_eb_event_t *event)
{
    ngx_memzero(event, sizeof(ngx_eb_event_t));

    ngx_eb_json_raw(json, node, &event->raw);

    event->root = node;
    event->time = NGX_EB_TIME_UNKNOWN;
    event->metadata = NGX_EB_JSON_NONE;
    event->node = NGX_EB_JSON_NONE;
    event->topic = NGX_EB_JSON_NONE;
}


static ngx_int_t
ngx_eb_event_item(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t node, ngx_eb_event_t *event)
{
    ngx_eb_fields_t  fields;

    ngx_eb_fields_read(json, node, &fields);

    return ngx_eb_event_read(json, pool, node, &fields, event);
}


static ngx_int_t
ngx_eb_event_read(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t node, ngx_eb_fields_t *fields, ngx_eb_event_t *event)
{
    ngx_eb_json_node_t  id;

    id = fields->node[NGX_EB_FIELD_ID];

    if (ngx_eb_fields_envelope(json, fields)) {
        event->kind = NGX_EB_EVENT_AWS;

        if (ngx_eb_event_id(json, pool, id, event) != NGX_OK) {
            return NGX_ERROR;
        }

        return ngx_eb_event_envelope(json, pool, node, fields, event);
    }

    if (ngx_eb_fields_wrapped(json, fields)) {
        event->kind = NGX_EB_EVENT_WRAPPED;
        return ngx_eb_event_wrapped(json, pool, node, fields, event);
    }

    event->kind = NGX_EB_EVENT_BARE;

    if (ngx_eb_event_id(json, pool, id, event) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_eb_event_bare(json, pool, node, fields, NGX_EB_JSON_NONE,
                             event);
}


static ngx_int_t
ngx_eb_event_wrapped(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t node, ngx_eb_fields_t *fields, ngx_eb_event_t *event)
{
    ngx_eb_fields_t     inner;
    ngx_eb_json_node_t  data, id, metadata, system;

    system = fields->node[NGX_EB_FIELD_SYSTEM_METADATA];

    if (ngx_eb_event_is(json, system, '{')) {
        ngx_eb_fields_read(json, system, &inner);

        id = inner.node[NGX_EB_FIELD_EVENT_ID];

        if (ngx_eb_event_is(json, id, '"')
            && ngx_eb_event_string(json, pool, id, &event->id) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    metadata = fields->node[NGX_EB_FIELD_WRAP_METADATA];

    if (!ngx_eb_event_is(json, metadata, '{')) {
        metadata = NGX_EB_JSON_NONE;
    }

    data = fields->node[NGX_EB_FIELD_DATA];

    if (!ngx_eb_event_is(json, data, '{')) {

        /* nothing in the wrapper but its metadata describes such an event */

        ngx_memset(&inner, 0xff, sizeof(ngx_eb_fields_t));

        return ngx_eb_event_bare(json, pool, node, &inner, metadata, event);
    }

    ngx_eb_fields_read(json, data, &inner);

    /* an empty id is none, so the event's own is the better one */

    if (event->id.len == 0
        && inner.node[NGX_EB_FIELD_ID] != NGX_EB_JSON_NONE
        && ngx_eb_event_id(json, pool, inner.node[NGX_EB_FIELD_ID], event)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_eb_fields_envelope(json, &inner)) {
        return ngx_eb_event_envelope(json, pool, data, &inner, event);
    }

    return ngx_eb_event_bare(json, pool, data, &inner, metadata, event);
}


static ngx_int_t
ngx_eb_event_envelope(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t node, ngx_eb_fields_t *fields, ngx_eb_event_t *event)
{
    ngx_eb_fields_t     inner;
    ngx_eb_json_node_t  body, detail, field, timestamp;

    event->node = node;
    event->envelope = 1;

    field = fields->node[NGX_EB_FIELD_SOURCE];

    if (ngx_eb_event_source(json, pool, field, event) != NGX_OK) {
        return NGX_ERROR;
    }

    field = fields->node[NGX_EB_FIELD_DETAIL_TYPE];

    if (ngx_eb_event_string(json, pool, field, &event->type) != NGX_OK) {
        return NGX_ERROR;
    }

    field = fields->node[NGX_EB_FIELD_REPLAY_NAME];

    if (ngx_eb_event_is(json, field, '"')
        && ngx_eb_event_string(json, pool, field, &event->replay_name)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    field = fields->node[NGX_EB_FIELD_REGION];

    if (ngx_eb_event_is(json, field, '"')
        && ngx_eb_event_string(json, pool, field, &event->region) != NGX_OK)
    {
        return NGX_ERROR;
    }

    detail = fields->node[NGX_EB_FIELD_DETAIL];

    if (ngx_eb_event_is(json, detail, '{')) {
        ngx_eb_fields_read(json, detail, &inner);

        field = inner.node[NGX_EB_FIELD_METADATA];

        if (ngx_eb_event_is(json, field, '{')) {
            event->metadata = field;
        }

        field = inner.node[NGX_EB_FIELD_TOPIC_NAME];

        if (ngx_eb_event_is(json, field, '"')) {
            event->topic = field;
        }

        body = inner.node[NGX_EB_FIELD_EVENT_BODY];
        timestamp = inner.node[NGX_EB_FIELD_TIMESTAMP];

        /* the nearest to what happened first: time has whole seconds only */

        if (ngx_eb_event_is(json, body, '{')) {
            ngx_eb_fields_read(json, body, &inner);

            field = inner.node[NGX_EB_FIELD_EVENT_TIME];

            if (ngx_eb_event_time(json, pool, field, event) != NGX_OK) {
                return NGX_ERROR;
            }
        }

        if (ngx_eb_event_time(json, pool, timestamp, event) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return ngx_eb_event_time(json, pool, fields->node[NGX_EB_FIELD_TIME],
                             event);
}


/* metadata: an object that takes the place of the event's own, or NONE */

static ngx_int_t
ngx_eb_event_bare(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t node, ngx_eb_fields_t *fields,
    ngx_eb_json_node_t metadata, ngx_eb_event_t *event)
{
    ngx_eb_fields_t     inner;
    ngx_eb_json_node_t  field;

    event->node = node;

    field = fields->node[NGX_EB_FIELD_SOURCE];

    if (ngx_eb_event_source(json, pool, field, event) != NGX_OK) {
        return NGX_ERROR;
    }

    field = fields->node[NGX_EB_FIELD_TYPE];

    if (ngx_eb_event_is(json, field, '"')
        && ngx_eb_event_string(json, pool, field, &event->type) != NGX_OK)
    {
        return NGX_ERROR;
    }

    field = fields->node[NGX_EB_FIELD_TIMESTAMP];

    if (ngx_eb_event_time(json, pool, field, event) != NGX_OK) {
        return NGX_ERROR;
    }

    field = fields->node[NGX_EB_FIELD_TIME];

    if (ngx_eb_event_time(json, pool, field, event) != NGX_OK) {
        return NGX_ERROR;
    }

    if (metadata == NGX_EB_JSON_NONE) {
        metadata = fields->node[NGX_EB_FIELD_METADATA];

        if (!ngx_eb_event_is(json, metadata, '{')) {
            return NGX_OK;
        }
    }

    event->metadata = metadata;

    ngx_eb_fields_read(json, metadata, &inner);

    field = inner.node[NGX_EB_FIELD_REGION];

    if (ngx_eb_event_is(json, field, '"')) {
        return ngx_eb_event_string(json, pool, field, &event->region);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_event_id(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t node, ngx_eb_event_t *event)
{
    if (node == NGX_EB_JSON_NONE) {
        return NGX_OK;
    }

    switch (ngx_eb_json_type(json, node)) {

    case '"':
        return ngx_eb_event_string(json, pool, node, &event->id);

    case '0':
        ngx_eb_json_raw(json, node, &event->id);
        return NGX_OK;

    case 'n':
        return NGX_OK;

    default:
        event->invalid = "id is neither a string nor a number";
        return NGX_OK;
    }
}


static ngx_int_t
ngx_eb_event_source(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t node, ngx_eb_event_t *event)
{
    if (node == NGX_EB_JSON_NONE) {
        return NGX_OK;
    }

    switch (ngx_eb_json_type(json, node)) {

    case '"':
        return ngx_eb_event_string(json, pool, node, &event->source);

    case 'n':
        return NGX_OK;

    default:
        if (event->invalid == NULL) {
            event->invalid = "source is not a string";
        }

        return NGX_OK;
    }
}


/* sets the time from node, unless it is known or node names none */

static ngx_int_t
ngx_eb_event_time(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t node, ngx_eb_event_t *event)
{
    ngx_str_t  value;

    if (event->time != NGX_EB_TIME_UNKNOWN || node == NGX_EB_JSON_NONE) {
        return NGX_OK;
    }

    switch (ngx_eb_json_type(json, node)) {

    case '"':
        if (ngx_eb_event_string(json, pool, node, &value) != NGX_OK) {
            return NGX_ERROR;
        }

        break;

    case '0':
        ngx_eb_json_raw(json, node, &value);
        break;

    default:
        return NGX_OK;
    }

    event->time = ngx_eb_time_parse(value.data, value.len);

    return NGX_OK;
}


ngx_int_t
ngx_eb_event_string(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t node, ngx_str_t *value)
{
    ngx_eb_json_raw(json, node, value);

    value->data++;
    value->len -= 2;

    if (ngx_eb_json_escaped(json, value->data, value->len)) {
        return ngx_eb_json_string(json, node, pool, value);
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_eb_fields_envelope(ngx_eb_json_t *json, ngx_eb_fields_t *fields)
{
    return fields->node[NGX_EB_FIELD_DETAIL] != NGX_EB_JSON_NONE
           && ngx_eb_event_is(json, fields->node[NGX_EB_FIELD_DETAIL_TYPE],
                              '"');
}


static ngx_uint_t
ngx_eb_fields_wrapped(ngx_eb_json_t *json, ngx_eb_fields_t *fields)
{
    return fields->node[NGX_EB_FIELD_DATA] != NGX_EB_JSON_NONE
           && (ngx_eb_event_is(json,
                               fields->node[NGX_EB_FIELD_SYSTEM_METADATA],
                               '{')
               || ngx_eb_event_is(json,
                                  fields->node[NGX_EB_FIELD_WRAP_METADATA],
                                  '{'));
}


/* one walk over the members of an object; the last of equal names counts */

static void
ngx_eb_fields_read(ngx_eb_json_t *json, ngx_eb_json_node_t object,
    ngx_eb_fields_t *fields)
{
    ngx_str_t           name;
    ngx_uint_t          field, members;
    ngx_eb_json_node_t  key;

    /* NGX_EB_JSON_NONE is all ones */

    ngx_memset(fields->node, 0xff, sizeof(fields->node));

    members = 0;

    for (key = ngx_eb_json_first(json, object);
         key != NGX_EB_JSON_NONE;
         key = ngx_eb_json_after(json, key + 2))
    {
        members++;

        ngx_eb_json_raw(json, key, &name);

        name.data++;
        name.len -= 2;

        if (json->escapes
            && name.len <= NGX_EB_FIELD_MAX_ESCAPED
            && ngx_eb_json_escaped(json, name.data, name.len))
        {
            field = ngx_eb_field_escaped(json, key);

        } else {
            field = ngx_eb_field(name.data, name.len);
        }

        fields->node[field] = key + 2;
    }

    fields->members = members;
}


static ngx_inline ngx_uint_t
ngx_eb_field(u_char *p, size_t len)
{
    switch (len) {

    case 2:
        if (ngx_eb_field_is(p, "id")) {
            return NGX_EB_FIELD_ID;
        }

        break;

    case 4:
        if (ngx_eb_field_is(p, "time")) {
            return NGX_EB_FIELD_TIME;
        }

        if (ngx_eb_field_is(p, "type")) {
            return NGX_EB_FIELD_TYPE;
        }

        if (ngx_eb_field_is(p, "Data")) {
            return NGX_EB_FIELD_DATA;
        }

        break;

    case 6:
        if (ngx_eb_field_is(p, "source")) {
            return NGX_EB_FIELD_SOURCE;
        }

        if (ngx_eb_field_is(p, "detail")) {
            return NGX_EB_FIELD_DETAIL;
        }

        if (ngx_eb_field_is(p, "region")) {
            return NGX_EB_FIELD_REGION;
        }

        if (ngx_eb_field_is(p, "events")) {
            return NGX_EB_FIELD_EVENTS;
        }

        break;

    case 8:
        if (ngx_eb_field_is(p, "metadata")) {
            return NGX_EB_FIELD_METADATA;
        }

        if (ngx_eb_field_is(p, "Metadata")) {
            return NGX_EB_FIELD_WRAP_METADATA;
        }

        break;

    case 9:
        if (ngx_eb_field_is(p, "timestamp")) {
            return NGX_EB_FIELD_TIMESTAMP;
        }

        if (ngx_eb_field_is(p, "eventBody")) {
            return NGX_EB_FIELD_EVENT_BODY;
        }

        if (ngx_eb_field_is(p, "eventTime")) {
            return NGX_EB_FIELD_EVENT_TIME;
        }

        if (ngx_eb_field_is(p, "topicName")) {
            return NGX_EB_FIELD_TOPIC_NAME;
        }

        break;

    case 11:
        if (ngx_eb_field_is(p, "detail-type")) {
            return NGX_EB_FIELD_DETAIL_TYPE;
        }

        if (ngx_eb_field_is(p, "replay-name")) {
            return NGX_EB_FIELD_REPLAY_NAME;
        }

        if (ngx_eb_field_is(p, "aws:EventId")) {
            return NGX_EB_FIELD_EVENT_ID;
        }

        break;

    case 14:
        if (ngx_eb_field_is(p, "SystemMetadata")) {
            return NGX_EB_FIELD_SYSTEM_METADATA;
        }

        break;
    }

    return NGX_EB_FIELD_OTHER;
}


static ngx_uint_t
ngx_eb_field_escaped(ngx_eb_json_t *json, ngx_eb_json_node_t key)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_EB_FIELD_OTHER; i++) {
        if (ngx_eb_json_string_eq(json, key, &ngx_eb_field_names[i])) {
            break;
        }
    }

    return i;
}


ngx_eb_json_node_t
ngx_eb_event_metadata(ngx_eb_json_t *json, ngx_eb_event_t *event,
    ngx_str_t *name)
{
    ngx_uint_t          field;
    ngx_eb_json_node_t  node;

    if (event->envelope) {
        field = ngx_eb_field(name->data, name->len);
        node = NGX_EB_JSON_NONE;

        if (field == NGX_EB_FIELD_REGION) {
            node = ngx_eb_json_member(json, event->node, name);

        } else if (field == NGX_EB_FIELD_TOPIC_NAME) {
            node = event->topic;

        } else if (name->len == ngx_eb_event_account.len
                   && ngx_memcmp(name->data, ngx_eb_event_account.data,
                                 name->len)
                      == 0)
        {
            node = ngx_eb_json_member(json, event->node, name);
        }

        if (node != NGX_EB_JSON_NONE) {
            return node;
        }
    }

    if (event->metadata == NGX_EB_JSON_NONE) {
        return NGX_EB_JSON_NONE;
    }

    return ngx_eb_json_member(json, event->metadata, name);
}


ngx_uint_t
ngx_eb_event_value_eq(ngx_eb_json_t *json, ngx_eb_json_node_t node,
    ngx_str_t *value)
{
    ngx_str_t  text;

    if (node == NGX_EB_JSON_NONE) {
        return 0;
    }

    switch (ngx_eb_json_type(json, node)) {

    case '"':
        if (json->escapes) {
            return ngx_eb_json_string_eq(json, node, value);
        }

        ngx_eb_json_raw(json, node, &text);

        text.data++;
        text.len -= 2;

        break;

    case '0':
    case 't':
    case 'f':
        ngx_eb_json_raw(json, node, &text);
        break;

    default:
        return 0;
    }

    return text.len == value->len
           && ngx_memcmp(text.data, value->data, text.len) == 0;
}


ngx_uint_t
ngx_eb_event_metadata_eq(ngx_eb_json_t *json, ngx_eb_event_t *event,
    ngx_str_t *name, ngx_str_t *value)
{
    ngx_eb_json_node_t  node;

    node = ngx_eb_event_metadata(json, event, name);

    return ngx_eb_event_value_eq(json, node, value);
}
