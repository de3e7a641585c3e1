
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * From JSON to lifecycle events.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_event.h"
#include "ngx_eb_json.h"
#include "ngx_eb_time.h"
#include "ngx_eb_genesys_lifecycle_map.h"


/* members of an agent's session, or of the event, that are looked at */
#define NGX_EB_LIFECYCLE_MEMBERS  64

#define NGX_EB_LIFECYCLE_CONVERSATION  "v2.detail.events.conversation."
#define NGX_EB_LIFECYCLE_AGENT         "v2.detail.events.agent."


/*
 * What a topic of a conversation stands for.  With a field, it must have this
 * value, or end with it if that begins with an asterisk.  The first that fits
 * counts.
 */

typedef struct {
    ngx_str_t                  topic;       /* behind the conversation's id */
    const char                *field;
    const char                *value;
    const char                *state;
    const char                *only;        /* matters in this state only */
    ngx_uint_t                 flags;
} ngx_eb_lifecycle_topic_t;


typedef struct {
    const char                *value;
    const char                *state;
} ngx_eb_lifecycle_session_t;


/* what is read, and where the events go */

typedef struct {
    ngx_eb_lifecycle_states_t  *states;
    ngx_eb_json_t              *json;
    ngx_pool_t                 *pool;
    const char                 *reason;
    ngx_eb_lifecycle_event_t   *events;
    ngx_uint_t                  n;
    ngx_eb_lifecycle_event_t    common;     /* id, time, at, and flags */
} ngx_eb_lifecycle_map_t;


static ngx_int_t ngx_eb_lifecycle_bodies(ngx_eb_json_t *json,
    ngx_eb_event_t *received, ngx_eb_json_node_t *node,
    ngx_eb_json_node_t *body);
static ngx_int_t ngx_eb_lifecycle_topic(ngx_eb_lifecycle_map_t *map,
    ngx_eb_event_t *received, ngx_eb_json_node_t node, ngx_str_t *topic);
static ngx_int_t ngx_eb_lifecycle_plain(ngx_eb_lifecycle_map_t *map,
    ngx_eb_json_node_t node);
static ngx_int_t ngx_eb_lifecycle_plain_time(ngx_eb_lifecycle_map_t *map,
    ngx_eb_json_node_t node);
static ngx_int_t ngx_eb_lifecycle_plain_state(ngx_eb_lifecycle_map_t *map,
    ngx_eb_json_node_t node, uint8_t *state);
static ngx_int_t ngx_eb_lifecycle_detail(ngx_eb_lifecycle_map_t *map,
    ngx_str_t *topic, ngx_eb_json_node_t body);
static ngx_int_t ngx_eb_lifecycle_conversation(ngx_eb_lifecycle_map_t *map,
    ngx_str_t *topic, ngx_eb_json_node_t body);
static ngx_uint_t ngx_eb_lifecycle_fits(ngx_eb_lifecycle_map_t *map,
    ngx_eb_lifecycle_topic_t *topic, ngx_eb_json_node_t body);
static ngx_int_t ngx_eb_lifecycle_agent(ngx_eb_lifecycle_map_t *map,
    ngx_eb_json_node_t body);
static ngx_int_t ngx_eb_lifecycle_session(ngx_eb_lifecycle_map_t *map,
    ngx_eb_json_node_t node);
static ngx_int_t ngx_eb_lifecycle_add(ngx_eb_lifecycle_map_t *map,
    ngx_str_t *interaction, const char *state, const char *only,
    ngx_uint_t flags);
static ngx_eb_json_node_t ngx_eb_lifecycle_object(ngx_eb_json_t *json,
    ngx_eb_json_node_t node, const char *name);
static ngx_eb_json_node_t ngx_eb_lifecycle_field(ngx_eb_json_t *json,
    ngx_eb_json_node_t node, const char *name);
static ngx_int_t ngx_eb_lifecycle_string(ngx_eb_lifecycle_map_t *map,
    ngx_eb_json_node_t node, ngx_str_t *value);
static ngx_int_t ngx_eb_lifecycle_fit_id(ngx_eb_lifecycle_map_t *map,
    ngx_str_t *id);
static uint8_t ngx_eb_lifecycle_named(ngx_eb_lifecycle_states_t *states,
    const char *name);


/*
 * contracts.md 2.3.3.  That an agent comes, that the queue has found one, and
 * that he goes are hints: other events tell the same, if they come.
 */

static ngx_eb_lifecycle_topic_t  ngx_eb_lifecycle_topics[] = {
    { ngx_string("acd.start"), NULL, NULL, "queued", NULL, 0 },
    { ngx_string("acd.end"), "acdOutcome", "ABANDON", "abandoned", NULL, 0 },
    { ngx_string("acd.end"), "acdOutcome", "ANSWERED", "connected", NULL,
      NGX_EB_LIFECYCLE_F_HINT },
    { ngx_string("user.start"), NULL, NULL, "ringing", NULL,
      NGX_EB_LIFECYCLE_F_HINT },
    { ngx_string("user.end"), "disconnectType", "*TRANSFER", "transferred",
      NULL, 0 },
    { ngx_string("user.end"), NULL, NULL, "wrapping", "connected",
      NGX_EB_LIFECYCLE_F_HINT },
    { ngx_string("customer.end"), "disconnectType", "*TRANSFER",
      "transferred", NULL, 0 },
    { ngx_string("customer.end"), NULL, NULL, "closed", NULL, 0 },
    { ngx_string("acw"), NULL, NULL, "closed", "wrapping", 0 },
    { ngx_string("wrapup"), NULL, NULL, "closed", "wrapping", 0 },
    { ngx_null_string, NULL, NULL, NULL, NULL, 0 }
};


/* of a session of an agent */

static ngx_eb_lifecycle_session_t  ngx_eb_lifecycle_sessions[] = {
    { "ALERT", "ringing" },
    { "INTERACT", "connected" },
    { "WRAPUP", "wrapping" },
    { NULL, NULL }
};


ngx_int_t
ngx_eb_lifecycle_map_plain(ngx_eb_lifecycle_states_t *states,
    ngx_eb_json_t *json, ngx_eb_json_node_t node, int64_t at, ngx_pool_t *pool,
    ngx_eb_lifecycle_event_t *event, const char **reason)
{
    ngx_int_t               rc;
    ngx_eb_lifecycle_map_t  map;

    ngx_memzero(&map, sizeof(ngx_eb_lifecycle_map_t));

    map.states = states;
    map.json = json;
    map.pool = pool;
    map.events = event;
    map.common.time = NGX_EB_TIME_UNKNOWN;
    map.common.at = at;

    rc = ngx_eb_lifecycle_plain(&map, node);

    *reason = map.reason;

    return rc;
}


ngx_int_t
ngx_eb_lifecycle_map(ngx_eb_lifecycle_states_t *states, ngx_eb_json_t *json,
    ngx_eb_event_t *received, int64_t at, ngx_pool_t *pool,
    ngx_eb_lifecycle_event_t *events, ngx_uint_t *n, const char **reason)
{
    ngx_int_t               rc;
    ngx_str_t               topic;
    ngx_eb_json_node_t      node, body;
    ngx_eb_lifecycle_map_t  map;

    ngx_memzero(&map, sizeof(ngx_eb_lifecycle_map_t));

    map.states = states;
    map.json = json;
    map.pool = pool;
    map.events = events;
    map.common.id = received->id;
    map.common.time = received->time;
    map.common.at = at;

    *n = 0;
    *reason = NULL;

    if (ngx_eb_lifecycle_bodies(json, received, &node, &body) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (ngx_eb_lifecycle_field(json, node, "interactionId")
        != NGX_EB_JSON_NONE)
    {
        rc = ngx_eb_lifecycle_plain(&map, node);

    } else if (body == NGX_EB_JSON_NONE) {
        return NGX_DECLINED;

    } else if (ngx_eb_lifecycle_field(json, body, "interactionId")
               != NGX_EB_JSON_NONE)
    {
        rc = ngx_eb_lifecycle_plain(&map, body);

    } else {
        rc = ngx_eb_lifecycle_topic(&map, received, node, &topic);

        if (rc == NGX_OK) {
            rc = ngx_eb_lifecycle_detail(&map, &topic, body);
        }
    }

    *n = map.n;
    *reason = map.reason;

    return rc;
}


ngx_int_t
ngx_eb_lifecycle_map_interaction(ngx_eb_json_t *json,
    ngx_eb_event_t *received, ngx_pool_t *pool, ngx_str_t *id)
{
    size_t                    len;
    u_char                   *dot;
    ngx_int_t                 rc;
    ngx_str_t                 topic;
    ngx_uint_t                i;
    ngx_eb_json_node_t        nodes[2], node;
    ngx_eb_lifecycle_map_t    map;

    static const char  *names[] = { "interactionId", "conversationId" };
    static const char  *topics[] = { NGX_EB_LIFECYCLE_CONVERSATION,
                                     "v2.conversations." };

    ngx_memzero(&map, sizeof(ngx_eb_lifecycle_map_t));

    map.json = json;
    map.pool = pool;

    if (ngx_eb_lifecycle_bodies(json, received, &nodes[0], &nodes[1])
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    for (i = 0; i < 4; i++) {
        node = nodes[i % 2];

        if (node == NGX_EB_JSON_NONE) {
            continue;
        }

        rc = ngx_eb_lifecycle_string(&map,
                           ngx_eb_lifecycle_field(json, node, names[i / 2]),
                           id);

        if (rc == NGX_ERROR || (rc == NGX_OK && id->len)) {
            return rc;
        }
    }

    rc = ngx_eb_lifecycle_topic(&map, received, nodes[0], &topic);

    if (rc != NGX_OK) {
        return rc;
    }

    for (i = 0; i < 2; i++) {
        len = ngx_strlen(topics[i]);

        if (topic.len <= len || ngx_memcmp(topic.data, topics[i], len) != 0) {
            continue;
        }

        id->data = topic.data + len;
        dot = memchr(id->data, '.', topic.len - len);

        if (dot && dot > id->data && *id->data != '{') {
            id->len = dot - id->data;
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


/*
 * What may have the members that are asked for: the event, or the detail of
 * its envelope, and in that the body, or what is called data in a bare one.
 */

static ngx_int_t
ngx_eb_lifecycle_bodies(ngx_eb_json_t *json, ngx_eb_event_t *received,
    ngx_eb_json_node_t *node, ngx_eb_json_node_t *body)
{
    *node = received->node;

    if (received->envelope) {
        *node = ngx_eb_lifecycle_object(json, *node, "detail");
    }

    if (*node == NGX_EB_JSON_NONE || ngx_eb_json_type(json, *node) != '{') {
        return NGX_DECLINED;
    }

    *body = ngx_eb_lifecycle_object(json, *node, "eventBody");

    if (*body == NGX_EB_JSON_NONE && !received->envelope) {
        *body = ngx_eb_lifecycle_object(json, *node, "data");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_lifecycle_topic(ngx_eb_lifecycle_map_t *map, ngx_eb_event_t *received,
    ngx_eb_json_node_t node, ngx_str_t *topic)
{
    ngx_int_t  rc;

    rc = ngx_eb_lifecycle_string(map,
                       ngx_eb_lifecycle_field(map->json, node, "topicName"),
                       topic);

    if (rc == NGX_DECLINED) {
        *topic = received->type;
        return NGX_OK;
    }

    return rc;
}


static ngx_int_t
ngx_eb_lifecycle_plain(ngx_eb_lifecycle_map_t *map, ngx_eb_json_node_t node)
{
    ngx_int_t                  rc;
    ngx_str_t                  id;
    ngx_eb_json_node_t         field;
    ngx_eb_lifecycle_event_t  *event;

    if (ngx_eb_json_type(map->json, node) != '{') {
        map->reason = "it is not an object";
        return NGX_DECLINED;
    }

    event = map->events;

    *event = map->common;
    event->only = NGX_EB_LIFECYCLE_NONE;

    field = ngx_eb_lifecycle_field(map->json, node, "interactionId");
    rc = ngx_eb_lifecycle_string(map, field, &event->interaction);

    if (rc == NGX_ERROR) {
        return rc;
    }

    if (rc == NGX_DECLINED || event->interaction.len == 0
        || event->interaction.len > NGX_EB_LIFECYCLE_ID)
    {
        map->reason = "the interaction's id is missing, empty, or too long";
        return NGX_DECLINED;
    }

    field = ngx_eb_lifecycle_field(map->json, node, "currentState");
    rc = ngx_eb_lifecycle_plain_state(map, field, &event->current);

    if (rc != NGX_OK) {
        return rc;
    }

    if (event->current == NGX_EB_LIFECYCLE_NONE) {
        map->reason = "there is no current state";
        return NGX_DECLINED;
    }

    field = ngx_eb_lifecycle_field(map->json, node, "previousState");
    rc = ngx_eb_lifecycle_plain_state(map, field, &event->previous);

    if (rc != NGX_OK) {
        return rc;
    }

    field = ngx_eb_lifecycle_field(map->json, node, "id");

    if (field == NGX_EB_JSON_NONE) {
        field = ngx_eb_lifecycle_field(map->json, node, "eventId");
    }

    rc = ngx_eb_lifecycle_string(map, field, &id);

    if (rc == NGX_ERROR) {
        return rc;
    }

    if (rc == NGX_OK && id.len) {
        event->id = id;
    }

    map->n = 1;

    if (ngx_eb_lifecycle_plain_time(map, node) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_eb_lifecycle_fit_id(map, &event->id);
}


/* without one of its own it gets that of the envelope, or of its arrival */

static ngx_int_t
ngx_eb_lifecycle_plain_time(ngx_eb_lifecycle_map_t *map,
    ngx_eb_json_node_t node)
{
    int64_t                    time;
    ngx_int_t                  rc;
    ngx_str_t                  text;
    ngx_eb_json_node_t         field;
    ngx_eb_lifecycle_event_t  *event;

    event = map->events;
    time = NGX_EB_TIME_UNKNOWN;

    field = ngx_eb_lifecycle_field(map->json, node, "timestamp");
    rc = ngx_eb_lifecycle_string(map, field, &text);

    if (rc == NGX_ERROR) {
        return rc;
    }

    if (rc == NGX_DECLINED && field != NGX_EB_JSON_NONE
        && ngx_eb_json_type(map->json, field) == '0')
    {
        ngx_eb_json_raw(map->json, field, &text);
        rc = NGX_OK;
    }

    if (rc == NGX_OK) {
        time = ngx_eb_time_parse(text.data, text.len);
    }

    if (time != NGX_EB_TIME_UNKNOWN) {
        event->time = time;
        return NGX_OK;
    }

    event->flags |= NGX_EB_LIFECYCLE_F_NOTIME;

    if (event->time == NGX_EB_TIME_UNKNOWN) {
        event->time = event->at;
    }

    return NGX_OK;
}


/* NONE: it is absent, null, or empty */

static ngx_int_t
ngx_eb_lifecycle_plain_state(ngx_eb_lifecycle_map_t *map,
    ngx_eb_json_node_t node, uint8_t *state)
{
    ngx_int_t  rc;
    ngx_str_t  name;

    *state = NGX_EB_LIFECYCLE_NONE;

    if (node == NGX_EB_JSON_NONE || ngx_eb_json_type(map->json, node) == 'n') {
        return NGX_OK;
    }

    rc = ngx_eb_lifecycle_string(map, node, &name);

    if (rc == NGX_OK && name.len == 0) {
        return NGX_OK;
    }

    if (rc == NGX_OK) {
        *state = (uint8_t) ngx_eb_lifecycle_states_find(map->states, &name);
    }

    if (rc == NGX_DECLINED || *state == NGX_EB_LIFECYCLE_NONE) {
        map->reason = "a state is not known";
        return rc == NGX_ERROR ? rc : NGX_DECLINED;
    }

    return rc;
}


static ngx_int_t
ngx_eb_lifecycle_detail(ngx_eb_lifecycle_map_t *map, ngx_str_t *topic,
    ngx_eb_json_node_t body)
{
    size_t                     len;
    ngx_int_t                  rc;
    ngx_eb_lifecycle_event_t  *common;

    common = &map->common;
    common->flags = NGX_EB_LIFECYCLE_F_MAPPED;

    if (ngx_eb_lifecycle_field(map->json, body, "eventTime")
        == NGX_EB_JSON_NONE)
    {
        common->flags |= NGX_EB_LIFECYCLE_F_NOTIME;
    }

    if (common->time == NGX_EB_TIME_UNKNOWN) {
        common->flags |= NGX_EB_LIFECYCLE_F_NOTIME;
        common->time = common->at;
    }

    rc = ngx_eb_lifecycle_fit_id(map, &common->id);

    if (rc != NGX_OK) {
        return rc;
    }

    len = sizeof(NGX_EB_LIFECYCLE_CONVERSATION) - 1;

    if (topic->len > len
        && ngx_memcmp(topic->data, NGX_EB_LIFECYCLE_CONVERSATION, len) == 0)
    {
        topic->data += len;
        topic->len -= len;

        return ngx_eb_lifecycle_conversation(map, topic, body);
    }

    len = sizeof(NGX_EB_LIFECYCLE_AGENT) - 1;

    if (topic->len > len
        && ngx_memcmp(topic->data, NGX_EB_LIFECYCLE_AGENT, len) == 0)
    {
        return ngx_eb_lifecycle_agent(map, body);
    }

    return NGX_DECLINED;
}


/* topic: the id and what follows it */

static ngx_int_t
ngx_eb_lifecycle_conversation(ngx_eb_lifecycle_map_t *map, ngx_str_t *topic,
    ngx_eb_json_node_t body)
{
    u_char                    *p;
    ngx_int_t                  rc;
    ngx_str_t                  id;
    ngx_eb_lifecycle_topic_t  *t;

    p = memchr(topic->data, '.', topic->len);

    if (p == NULL) {
        return NGX_DECLINED;
    }

    id.data = topic->data;
    id.len = p - topic->data;

    topic->len -= id.len + 1;
    topic->data = p + 1;

    for (t = ngx_eb_lifecycle_topics; t->topic.len; t++) {
        if (t->topic.len == topic->len
            && ngx_memcmp(t->topic.data, topic->data, topic->len) == 0
            && ngx_eb_lifecycle_fits(map, t, body))
        {
            break;
        }
    }

    if (t->topic.len == 0) {
        return NGX_DECLINED;
    }

    rc = ngx_eb_lifecycle_string(map,
                   ngx_eb_lifecycle_field(map->json, body, "conversationId"),
                   topic);

    if (rc == NGX_ERROR) {
        return rc;
    }

    /* a detail-type has "{id}" there */

    if (rc == NGX_OK && topic->len) {
        id = *topic;

    } else if (id.len && id.data[0] == '{') {
        id.len = 0;
    }

    return ngx_eb_lifecycle_add(map, &id, t->state, t->only, t->flags);
}


static ngx_uint_t
ngx_eb_lifecycle_fits(ngx_eb_lifecycle_map_t *map,
    ngx_eb_lifecycle_topic_t *topic, ngx_eb_json_node_t body)
{
    size_t              len;
    ngx_str_t           text;
    const char         *value;
    ngx_eb_json_node_t  node;

    if (topic->field == NULL) {
        return 1;
    }

    node = ngx_eb_lifecycle_field(map->json, body, topic->field);

    if (node == NGX_EB_JSON_NONE || ngx_eb_json_type(map->json, node) != '"') {
        return 0;
    }

    /* with an escape it would not be one of the constants */
    (void) ngx_eb_json_string_raw(map->json, node, &text);

    value = topic->value;

    if (*value == '*') {
        value++;
        len = ngx_strlen(value);

        if (text.len > len) {
            text.data += text.len - len;
            text.len = len;
        }
    }

    return text.len == ngx_strlen(value)
           && ngx_memcmp(text.data, value, text.len) == 0;
}


/* the event itself tells of a conversation, or the objects of its arrays do */

static ngx_int_t
ngx_eb_lifecycle_agent(ngx_eb_lifecycle_map_t *map, ngx_eb_json_node_t body)
{
    ngx_int_t           rc;
    ngx_uint_t          n;
    ngx_eb_json_node_t  key, value, element;

    rc = ngx_eb_lifecycle_session(map, body);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    key = ngx_eb_json_first(map->json, body);

    for (n = 0; key != NGX_EB_JSON_NONE && n < NGX_EB_LIFECYCLE_MEMBERS; n++) {
        value = key + 2;
        element = NGX_EB_JSON_NONE;

        if (ngx_eb_json_type(map->json, value) == '[') {
            element = ngx_eb_json_first(map->json, value);
        }

        while (element != NGX_EB_JSON_NONE) {

            if (map->n == NGX_EB_LIFECYCLE_MAP_MAX) {
                return NGX_OK;
            }

            if (ngx_eb_json_type(map->json, element) == '{'
                && ngx_eb_lifecycle_session(map, element) == NGX_ERROR)
            {
                return NGX_ERROR;
            }

            element = ngx_eb_json_after(map->json, element);
        }

        key = ngx_eb_json_after(map->json, value);
    }

    return map->n ? NGX_OK : NGX_DECLINED;
}


/*
 * An object with a conversationId and a member that says what the agent does
 * with it, whatever the name of that is: state, or segmentType.
 */

static ngx_int_t
ngx_eb_lifecycle_session(ngx_eb_lifecycle_map_t *map, ngx_eb_json_node_t node)
{
    ngx_int_t                    rc;
    ngx_str_t                    id, text;
    ngx_uint_t                   n;
    ngx_eb_json_node_t           key, value;
    ngx_eb_lifecycle_session_t  *session;

    rc = ngx_eb_lifecycle_string(map,
                   ngx_eb_lifecycle_field(map->json, node, "conversationId"),
                   &id);

    if (rc != NGX_OK) {
        return rc;
    }

    key = ngx_eb_json_first(map->json, node);

    for (n = 0; key != NGX_EB_JSON_NONE && n < NGX_EB_LIFECYCLE_MEMBERS; n++) {
        value = key + 2;

        for (session = ngx_eb_lifecycle_sessions; session->value; session++) {
            text.data = (u_char *) session->value;
            text.len = ngx_strlen(session->value);

            if (ngx_eb_json_type(map->json, value) == '"'
                && ngx_eb_json_string_eq(map->json, value, &text))
            {
                return ngx_eb_lifecycle_add(map, &id, session->state, NULL, 0);
            }
        }

        key = ngx_eb_json_after(map->json, value);
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_eb_lifecycle_add(ngx_eb_lifecycle_map_t *map, ngx_str_t *interaction,
    const char *state, const char *only, ngx_uint_t flags)
{
    ngx_eb_lifecycle_event_t  *event;

    if (interaction->len == 0 || interaction->len > NGX_EB_LIFECYCLE_ID) {
        map->reason = "the conversation's id is missing, empty, or too long";
        return NGX_DECLINED;
    }

    event = &map->events[map->n];

    *event = map->common;
    event->interaction = *interaction;
    event->previous = NGX_EB_LIFECYCLE_NONE;
    event->current = ngx_eb_lifecycle_named(map->states, state);
    event->only = only ? ngx_eb_lifecycle_named(map->states, only)
                       : NGX_EB_LIFECYCLE_NONE;
    event->flags |= (uint8_t) flags;

    map->n++;

    return NGX_OK;
}


static ngx_eb_json_node_t
ngx_eb_lifecycle_object(ngx_eb_json_t *json, ngx_eb_json_node_t node,
    const char *name)
{
    node = ngx_eb_lifecycle_field(json, node, name);

    if (node != NGX_EB_JSON_NONE && ngx_eb_json_type(json, node) != '{') {
        return NGX_EB_JSON_NONE;
    }

    return node;
}


static ngx_eb_json_node_t
ngx_eb_lifecycle_field(ngx_eb_json_t *json, ngx_eb_json_node_t node,
    const char *name)
{
    ngx_str_t  s;

    s.data = (u_char *) name;
    s.len = ngx_strlen(name);

    return ngx_eb_json_member(json, node, &s);
}


/* NGX_DECLINED: it is no string */

static ngx_int_t
ngx_eb_lifecycle_string(ngx_eb_lifecycle_map_t *map, ngx_eb_json_node_t node,
    ngx_str_t *value)
{
    if (node == NGX_EB_JSON_NONE || ngx_eb_json_type(map->json, node) != '"') {
        return NGX_DECLINED;
    }

    return ngx_eb_json_string(map->json, node, map->pool, value);
}


static ngx_int_t
ngx_eb_lifecycle_fit_id(ngx_eb_lifecycle_map_t *map, ngx_str_t *id)
{
    u_char  *buf;

    if (id->len <= NGX_EB_LIFECYCLE_ID) {
        return NGX_OK;
    }

    buf = ngx_pnalloc(map->pool, NGX_EB_LIFECYCLE_ID);

    return buf ? ngx_eb_lifecycle_fit(id, buf) : NGX_ERROR;
}


/* all of the default states are always known */

static uint8_t
ngx_eb_lifecycle_named(ngx_eb_lifecycle_states_t *states, const char *name)
{
    ngx_str_t  s;

    s.data = (u_char *) name;
    s.len = ngx_strlen(name);

    return (uint8_t) ngx_eb_lifecycle_states_find(states, &s);
}
