
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * From a JSON body to its events: which shape it has, where each event's
 * bytes are, and the fields that identity, routing and the audit need.
 */


#ifndef _NGX_EB_EVENT_H_INCLUDED_
#define _NGX_EB_EVENT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"


typedef enum {
    NGX_EB_BODY_SINGLE = 0,     /* one event is the whole body */
    NGX_EB_BODY_ARRAY,          /* a JSON array of events */
    NGX_EB_BODY_EVENTS,         /* {"events":[...]} */
    NGX_EB_BODY_CE_SINGLE,      /* CloudEvents: structured */
    NGX_EB_BODY_CE_BATCH,
    NGX_EB_BODY_CE_BINARY       /* headers and data, written as JSON */
} ngx_eb_body_e;

typedef enum {
    NGX_EB_EVENT_BARE = 0,      /* {"id","source","timestamp",...} */
    NGX_EB_EVENT_AWS,           /* the EventBridge envelope */
    NGX_EB_EVENT_WRAPPED,       /* {"Data","Metadata","SystemMetadata"} */
    NGX_EB_EVENT_BODY,          /* any: ngx_eb_batch_whole() */
    NGX_EB_EVENT_CLOUDEVENT     /* its attributes are its metadata */
} ngx_eb_event_e;


/*
 * Strings are slices of the text, or of the pool where they had escapes.
 * An absent field has data = NULL; an empty one has len = 0.
 */

typedef struct {
    ngx_str_t                 raw;
    ngx_str_t                 id;
    ngx_str_t                 source;
    ngx_str_t                 type;
    ngx_str_t                 replay_name;
    ngx_str_t                 region;
    int64_t                   time;         /* ms since the epoch, or
                                               NGX_EB_TIME_UNKNOWN */
    const char               *invalid;      /* why, or NULL */
    ngx_eb_json_node_t        root;         /* the event itself */
    ngx_eb_json_node_t        metadata;     /* object, or NGX_EB_JSON_NONE */
    ngx_eb_json_node_t        node;         /* where fields such as region,
                                               account and topicName are read */
    ngx_eb_json_node_t        topic;        /* detail.topicName, or NONE */
    unsigned                  kind:8;       /* ngx_eb_event_e */
    unsigned                  envelope:1;   /* node is an AWS envelope */
} ngx_eb_event_t;


typedef struct {
    ngx_eb_body_e             shape;
    ngx_eb_event_t           *events;       /* from pool */
    ngx_uint_t                nevents;
    unsigned                  siblings:1;   /* members beside "events" */
    const char               *error;        /* why it is no batch */
    size_t                    offset;
} ngx_eb_batch_t;


/* reads the object at node into an event that has been initialized; NGX_OK,
   NGX_ERROR (no memory) */
typedef ngx_int_t (*ngx_eb_event_read_pt)(ngx_eb_json_t *json,
    ngx_pool_t *pool, ngx_eb_json_node_t node, ngx_eb_event_t *event);

/* the event whose text is the value at node, and of which no more is known */
void ngx_eb_event_init(ngx_eb_json_t *json, ngx_eb_json_node_t node,
    ngx_eb_event_t *event);

/*
 * The elements of the array at node as events of batch, each read by read
 * unless it is no object and thereby invalid.  NGX_OK, NGX_BUSY and NGX_ERROR
 * as below.
 */
ngx_int_t ngx_eb_batch_items(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t array, ngx_uint_t max_events,
    ngx_eb_event_read_pt read, ngx_eb_batch_t *batch);

/* the string at node, unescaped: a slice of the text or from pool.  NGX_OK,
   NGX_ERROR (no memory) */
ngx_int_t ngx_eb_event_string(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t node, ngx_str_t *value);

/*
 * Splits json into events.  NGX_OK; NGX_DECLINED: no batch, batch->error and
 * offset say why; NGX_BUSY: more than max_events; NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_batch_split(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_uint_t max_events, ngx_eb_batch_t *batch);

/*
 * The whole text, whatever value it is and with the white space around it, as
 * one event: its metadata are those of the object, its id, source and type are
 * the caller's to set.  NGX_OK, NGX_ERROR (no memory).
 */
ngx_int_t ngx_eb_batch_whole(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_batch_t *batch);

/*
 * The metadata value called name, or NGX_EB_JSON_NONE.  The envelope's region
 * and account of any type and a topicName that is a string are metadata too,
 * and win over detail.metadata.  The last of equal names counts.
 */
ngx_eb_json_node_t ngx_eb_event_metadata(ngx_eb_json_t *json,
    ngx_eb_event_t *event, ngx_str_t *name);

/*
 * Does the value at node (NGX_EB_JSON_NONE: no) equal value?  A string is
 * compared unescaped, a number or boolean by its JSON text; nothing else is
 * equal to anything.
 */
ngx_uint_t ngx_eb_event_value_eq(ngx_eb_json_t *json, ngx_eb_json_node_t node,
    ngx_str_t *value);

/* both of the above: does the metadata value called name equal value? */
ngx_uint_t ngx_eb_event_metadata_eq(ngx_eb_json_t *json,
    ngx_eb_event_t *event, ngx_str_t *name, ngx_str_t *value);


#endif /* _NGX_EB_EVENT_H_INCLUDED_ */
