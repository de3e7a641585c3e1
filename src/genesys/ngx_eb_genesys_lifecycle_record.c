
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Lines of a lifecycle's journal.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_out.h"
#include "ngx_eb_genesys_lifecycle_record.h"


/* arrays of an entry, in an object */
#define NGX_EB_LIFECYCLE_DEPTH    4

/* a line without its strings: member names and numbers */
#define NGX_EB_LIFECYCLE_NUMBERS  512

/* what an escape may make of a byte */
#define NGX_EB_LIFECYCLE_ESCAPED  6


typedef struct {
    ngx_eb_json_t               json;
    ngx_eb_json_node_t          root;
    ngx_pool_t                 *pool;
    ngx_eb_lifecycle_states_t  *states;
    unsigned                    failed:1;       /* no memory */
    unsigned                    unknown:1;      /* a state */
} ngx_eb_lifecycle_line_t;


static void ngx_eb_lifecycle_write_event(ngx_eb_out_t *out,
    ngx_eb_lifecycle_states_t *states, ngx_eb_lifecycle_event_t *event);
static void ngx_eb_lifecycle_write_decision(ngx_eb_out_t *out,
    ngx_eb_lifecycle_states_t *states, ngx_eb_lifecycle_decision_t *d);
static void ngx_eb_lifecycle_write_position(ngx_eb_out_t *out,
    ngx_eb_lifecycle_position_t *position);
static void ngx_eb_lifecycle_write_entry(ngx_eb_out_t *out,
    ngx_eb_lifecycle_states_t *states, ngx_eb_lifecycle_record_t *record);
static void ngx_eb_lifecycle_write_state(ngx_eb_out_t *out,
    ngx_eb_lifecycle_states_t *states, ngx_uint_t state);
static void ngx_eb_lifecycle_write_int(ngx_eb_out_t *out, const char *name,
    int64_t value);
static void ngx_eb_lifecycle_write_id(ngx_eb_out_t *out, u_char *id);
static void ngx_eb_lifecycle_write_number(ngx_eb_out_t *out, uint64_t id);

static ngx_int_t ngx_eb_lifecycle_read_event(ngx_eb_lifecycle_line_t *line,
    ngx_eb_lifecycle_event_t *event);
static ngx_int_t ngx_eb_lifecycle_read_decision(ngx_eb_lifecycle_line_t *line,
    ngx_eb_lifecycle_record_t *record);
static ngx_int_t ngx_eb_lifecycle_read_kind(ngx_eb_lifecycle_line_t *line,
    ngx_eb_lifecycle_decision_t *d);
static ngx_int_t ngx_eb_lifecycle_read_done(ngx_eb_lifecycle_line_t *line,
    ngx_eb_lifecycle_record_t *record);
static ngx_int_t ngx_eb_lifecycle_read_position(ngx_eb_lifecycle_line_t *line,
    ngx_eb_lifecycle_position_t *position);
static ngx_int_t ngx_eb_lifecycle_read_entry(ngx_eb_lifecycle_line_t *line,
    ngx_eb_lifecycle_record_t *record);
static ngx_int_t ngx_eb_lifecycle_read_history(ngx_eb_lifecycle_line_t *line,
    ngx_eb_lifecycle_view_t *view);
static ngx_int_t ngx_eb_lifecycle_read_flagged(ngx_eb_lifecycle_line_t *line,
    ngx_eb_lifecycle_record_t *record);
static ngx_uint_t ngx_eb_lifecycle_items(ngx_eb_lifecycle_line_t *line,
    ngx_eb_json_node_t array, ngx_eb_json_node_t *items, ngx_uint_t n);
static ngx_eb_json_node_t ngx_eb_lifecycle_member(
    ngx_eb_lifecycle_line_t *line, const char *name);
static ngx_uint_t ngx_eb_lifecycle_text(ngx_eb_lifecycle_line_t *line,
    ngx_eb_json_node_t node, size_t max, ngx_str_t *value);
static ngx_uint_t ngx_eb_lifecycle_number(ngx_eb_lifecycle_line_t *line,
    ngx_eb_json_node_t node, int64_t max, int64_t *value);
static ngx_uint_t ngx_eb_lifecycle_small(ngx_eb_lifecycle_line_t *line,
    ngx_eb_json_node_t node, uint8_t *value);
static ngx_uint_t ngx_eb_lifecycle_state(ngx_eb_lifecycle_line_t *line,
    ngx_eb_json_node_t node, uint8_t *state);
static ngx_uint_t ngx_eb_lifecycle_digest(ngx_eb_lifecycle_line_t *line,
    u_char *id, size_t len);


static ngx_str_t  ngx_eb_lifecycle_types[NGX_EB_LIFECYCLE_RECORDS] = {
    ngx_string("event"),
    ngx_string("transition"),
    ngx_string("flag"),
    ngx_string("done"),
    ngx_string("position"),
    ngx_string("snapshot"),
    ngx_string("entry"),
    ngx_string("held"),
    ngx_string("end")
};


/* a flag's kind, if nothing was flagged */
static ngx_str_t  ngx_eb_lifecycle_unchanged = ngx_string("unchanged");


size_t
ngx_eb_lifecycle_record_size(ngx_eb_lifecycle_record_t *record)
{
    size_t                        size;
    ngx_uint_t                    i;
    ngx_eb_lifecycle_position_t  *position;

    if (record->type != NGX_EB_LIFECYCLE_R_POSITION) {
        return record->type == NGX_EB_LIFECYCLE_R_ENTRY
               ? NGX_EB_LIFECYCLE_ENTRY : NGX_EB_LIFECYCLE_RECORD;
    }

    position = &record->position;
    size = NGX_EB_LIFECYCLE_NUMBERS
           + position->cursor.len * NGX_EB_LIFECYCLE_ESCAPED;

    for (i = 0; i < position->n; i++) {
        size += position->ids[i].len * NGX_EB_LIFECYCLE_ESCAPED
                + sizeof("\"\",") - 1;
    }

    return size;
}


u_char *
ngx_eb_lifecycle_record_write(u_char *p, ngx_eb_lifecycle_states_t *states,
    ngx_eb_lifecycle_record_t *record)
{
    ngx_eb_out_t  out;

    ngx_eb_out_init(&out, p, ngx_eb_lifecycle_record_size(record));

    ngx_eb_out_lit(&out, "{\"v\":1,\"t\":\"");
    ngx_eb_out_raw(&out, ngx_eb_lifecycle_types[record->type].data,
                   ngx_eb_lifecycle_types[record->type].len);
    ngx_eb_out_lit(&out, "\"");

    switch (record->type) {

    case NGX_EB_LIFECYCLE_R_EVENT:
    case NGX_EB_LIFECYCLE_R_HELD:
        ngx_eb_lifecycle_write_event(&out, states, &record->event);
        break;

    case NGX_EB_LIFECYCLE_R_TRANSITION:
    case NGX_EB_LIFECYCLE_R_FLAG:
        ngx_eb_lifecycle_write_decision(&out, states, &record->decision);
        break;

    case NGX_EB_LIFECYCLE_R_DONE:
        ngx_eb_lifecycle_write_id(&out, record->decision.id);
        ngx_eb_lifecycle_write_int(&out, ",\"at\":", record->decision.at);
        ngx_eb_lifecycle_write_int(&out, ",\"published\":",
                                   record->published != 0);
        break;

    case NGX_EB_LIFECYCLE_R_POSITION:
        ngx_eb_lifecycle_write_position(&out, &record->position);
        break;

    case NGX_EB_LIFECYCLE_R_ENTRY:
        ngx_eb_lifecycle_write_entry(&out, states, record);
        break;

    default: /* SNAPSHOT, END */
        ngx_eb_lifecycle_write_number(&out, record->id);
        break;
    }

    return out.pos;
}


static void
ngx_eb_lifecycle_write_event(ngx_eb_out_t *out,
    ngx_eb_lifecycle_states_t *states, ngx_eb_lifecycle_event_t *event)
{
    ngx_eb_out_lit(out, ",\"i\":");
    ngx_eb_out_string(out, &event->interaction, NGX_EB_LIFECYCLE_ID);

    if (event->previous != NGX_EB_LIFECYCLE_NONE) {
        ngx_eb_out_lit(out, ",\"p\":");
        ngx_eb_lifecycle_write_state(out, states, event->previous);
    }

    ngx_eb_out_lit(out, ",\"c\":");
    ngx_eb_lifecycle_write_state(out, states, event->current);

    if (event->only != NGX_EB_LIFECYCLE_NONE) {
        ngx_eb_out_lit(out, ",\"only\":");
        ngx_eb_lifecycle_write_state(out, states, event->only);
    }

    ngx_eb_lifecycle_write_int(out, ",\"time\":", event->time);
    ngx_eb_lifecycle_write_int(out, ",\"at\":", event->at);

    if (event->id.len) {
        ngx_eb_out_lit(out, ",\"e\":");
        ngx_eb_out_string(out, &event->id, NGX_EB_LIFECYCLE_ID);
    }

    if (event->flags) {
        ngx_eb_lifecycle_write_int(out, ",\"f\":", event->flags);
    }
}


static void
ngx_eb_lifecycle_write_decision(ngx_eb_out_t *out,
    ngx_eb_lifecycle_states_t *states, ngx_eb_lifecycle_decision_t *d)
{
    ngx_eb_lifecycle_event_t  event;

    if (d->kind == NGX_EB_LIFECYCLE_PUBLISH) {
        ngx_eb_lifecycle_write_id(out, d->id);
        ngx_eb_lifecycle_write_int(out, ",\"n\":", d->stage);

    } else {
        ngx_eb_out_lit(out, ",\"k\":\"");

        if (d->kind == NGX_EB_LIFECYCLE_FLAG) {
            ngx_eb_out_raw(out, ngx_eb_lifecycle_flags[d->flag].data,
                           ngx_eb_lifecycle_flags[d->flag].len);

        } else {
            ngx_eb_out_raw(out, ngx_eb_lifecycle_unchanged.data,
                           ngx_eb_lifecycle_unchanged.len);
        }

        ngx_eb_out_lit(out, "\"");
    }

    event.interaction.data = d->interaction;
    event.interaction.len = d->interaction_len;
    event.id.data = d->event;
    event.id.len = d->event_len;
    event.time = d->time;
    event.at = d->at;
    event.previous = d->previous;
    event.current = d->current;
    event.only = d->only;
    event.flags = d->flags;

    ngx_eb_lifecycle_write_event(out, states, &event);
}


static void
ngx_eb_lifecycle_write_position(ngx_eb_out_t *out,
    ngx_eb_lifecycle_position_t *position)
{
    ngx_uint_t  i;

    ngx_eb_out_lit(out, ",\"cursor\":");
    ngx_eb_out_string(out, &position->cursor, position->cursor.len);
    ngx_eb_lifecycle_write_int(out, ",\"time\":", position->time);
    ngx_eb_lifecycle_write_int(out, ",\"at\":", position->at);
    ngx_eb_out_lit(out, ",\"ids\":[");

    for (i = 0; i < position->n; i++) {

        if (i > 0) {
            ngx_eb_out_lit(out, ",");
        }

        ngx_eb_out_string(out, &position->ids[i], position->ids[i].len);
    }

    ngx_eb_out_lit(out, "]");
}


static void
ngx_eb_lifecycle_write_entry(ngx_eb_out_t *out,
    ngx_eb_lifecycle_states_t *states, ngx_eb_lifecycle_record_t *record)
{
    uint8_t                   previous;
    uint64_t                  key;
    ngx_str_t                 id;
    ngx_uint_t                i;
    ngx_eb_lifecycle_view_t  *view;

    view = &record->view;
    id.data = view->interaction;
    id.len = view->interaction_len;

    ngx_eb_out_lit(out, ",\"i\":");
    ngx_eb_out_string(out, &id, NGX_EB_LIFECYCLE_ID);
    ngx_eb_lifecycle_write_int(out, ",\"n\":", view->stage);
    ngx_eb_lifecycle_write_int(out, ",\"f\":", view->flags);
    ngx_eb_lifecycle_write_int(out, ",\"at\":", view->touched);
    ngx_eb_out_lit(out, ",\"h\":[");

    for (i = 0; i < view->nhistory; i++) {

        if (i > 0) {
            ngx_eb_out_lit(out, ",");
        }

        ngx_eb_out_lit(out, "[");
        ngx_eb_lifecycle_write_state(out, states, view->history[i].state);
        ngx_eb_lifecycle_write_int(out, ",", view->history[i].time);
        ngx_eb_lifecycle_write_int(out, ",", view->history[i].flags);
        ngx_eb_out_lit(out, "]");
    }

    ngx_eb_out_lit(out, "],\"r\":[");

    for (i = 0; i < record->nflagged; i++) {

        if (i > 0) {
            ngx_eb_out_lit(out, ",");
        }

        key = record->flagged[i];
        previous = ngx_eb_lifecycle_key_previous(key);

        ngx_eb_out_lit(out, "[");
        ngx_eb_lifecycle_write_state(out, states, previous);
        ngx_eb_out_lit(out, ",");
        ngx_eb_lifecycle_write_state(out, states,
                                     ngx_eb_lifecycle_key_current(key));
        ngx_eb_lifecycle_write_int(out, ",", ngx_eb_lifecycle_key_time(key));
        ngx_eb_out_lit(out, "]");
    }

    ngx_eb_out_lit(out, "]");
}


static void
ngx_eb_lifecycle_write_state(ngx_eb_out_t *out,
    ngx_eb_lifecycle_states_t *states, ngx_uint_t state)
{
    ngx_str_t  *name;

    name = ngx_eb_lifecycle_states_name(states, state);

    if (name == NULL) {
        ngx_eb_out_lit(out, "null");
        return;
    }

    ngx_eb_out_string(out, name, name->len);
}


static void
ngx_eb_lifecycle_write_int(ngx_eb_out_t *out, const char *name, int64_t value)
{
    ngx_eb_out_raw(out, name, ngx_strlen(name));
    ngx_eb_out_int(out, value);
}


static void
ngx_eb_lifecycle_write_id(ngx_eb_out_t *out, u_char *id)
{
    u_char  hex[2 * NGX_EB_LIFECYCLE_DIGEST];

    (void) ngx_eb_lifecycle_id_hex(hex, id);

    ngx_eb_out_lit(out, ",\"id\":\"");
    ngx_eb_out_raw(out, hex, sizeof(hex));
    ngx_eb_out_lit(out, "\"");
}


static void
ngx_eb_lifecycle_write_number(ngx_eb_out_t *out, uint64_t id)
{
    u_char  hex[2 * sizeof(uint64_t)];

    (void) ngx_hex_dump(hex, (u_char *) &id, sizeof(uint64_t));

    ngx_eb_out_lit(out, ",\"id\":\"");
    ngx_eb_out_raw(out, hex, sizeof(hex));
    ngx_eb_out_lit(out, "\"");
}


ngx_int_t
ngx_eb_lifecycle_record_read(ngx_eb_json_parser_t *parser,
    ngx_eb_lifecycle_states_t *states, u_char *p, size_t len, ngx_pool_t *pool,
    ngx_eb_lifecycle_record_t *record, const char **reason)
{
    int64_t                  version;
    ngx_int_t                rc;
    ngx_uint_t               i;
    ngx_eb_json_node_t       type;
    ngx_eb_json_error_t      err;
    ngx_eb_lifecycle_line_t  line;

    *reason = "not a line of a lifecycle's journal";

    ngx_memzero(&line, sizeof(ngx_eb_lifecycle_line_t));
    ngx_memzero(record, sizeof(ngx_eb_lifecycle_record_t));

    line.pool = pool;
    line.states = states;

    rc = ngx_eb_json_parse(parser, p, len, NGX_EB_LIFECYCLE_DEPTH, &line.json,
                           &err);

    if (rc != NGX_OK) {
        return err.code == NGX_EB_JSON_E_NOMEM ? NGX_ERROR : NGX_DECLINED;
    }

    if (ngx_eb_json_type(&line.json, 0) != '{') {
        return NGX_DECLINED;
    }

    type = ngx_eb_lifecycle_member(&line, "t");

    if (!ngx_eb_lifecycle_number(&line, ngx_eb_lifecycle_member(&line, "v"),
                                 1, &version)
        || version != 1
        || type == NGX_EB_JSON_NONE
        || ngx_eb_json_type(&line.json, type) != '"')
    {
        return NGX_DECLINED;
    }

    for (i = 0; i < NGX_EB_LIFECYCLE_RECORDS; i++) {
        if (ngx_eb_json_string_eq(&line.json, type,
                                  &ngx_eb_lifecycle_types[i]))
        {
            break;
        }
    }

    record->type = i;

    switch (i) {

    case NGX_EB_LIFECYCLE_R_EVENT:
    case NGX_EB_LIFECYCLE_R_HELD:
        rc = ngx_eb_lifecycle_read_event(&line, &record->event);
        break;

    case NGX_EB_LIFECYCLE_R_TRANSITION:
    case NGX_EB_LIFECYCLE_R_FLAG:
        rc = ngx_eb_lifecycle_read_decision(&line, record);
        break;

    case NGX_EB_LIFECYCLE_R_DONE:
        rc = ngx_eb_lifecycle_read_done(&line, record);
        break;

    case NGX_EB_LIFECYCLE_R_POSITION:
        rc = ngx_eb_lifecycle_read_position(&line, &record->position);
        break;

    case NGX_EB_LIFECYCLE_R_ENTRY:
        rc = ngx_eb_lifecycle_read_entry(&line, record);
        break;

    case NGX_EB_LIFECYCLE_R_SNAPSHOT:
    case NGX_EB_LIFECYCLE_R_END:
        rc = ngx_eb_lifecycle_digest(&line, (u_char *) &record->id,
                                     sizeof(uint64_t))
             ? NGX_OK : NGX_DECLINED;
        break;

    default:
        return NGX_DECLINED;
    }

    if (line.failed) {
        return NGX_ERROR;
    }

    if (line.unknown) {
        *reason = "a state that is not configured";
    }

    return rc;
}


static ngx_int_t
ngx_eb_lifecycle_read_event(ngx_eb_lifecycle_line_t *line,
    ngx_eb_lifecycle_event_t *event)
{
    ngx_eb_json_node_t  node;

    event->previous = NGX_EB_LIFECYCLE_NONE;
    event->only = NGX_EB_LIFECYCLE_NONE;

    if (!ngx_eb_lifecycle_text(line, ngx_eb_lifecycle_member(line, "i"),
                               NGX_EB_LIFECYCLE_ID, &event->interaction)
        || event->interaction.len == 0
        || !ngx_eb_lifecycle_state(line, ngx_eb_lifecycle_member(line, "c"),
                                   &event->current)
        || !ngx_eb_lifecycle_number(line,
                                    ngx_eb_lifecycle_member(line, "time"),
                                    NGX_EB_LIFECYCLE_MAX_TIME, &event->time)
        || !ngx_eb_lifecycle_number(line, ngx_eb_lifecycle_member(line, "at"),
                                    NGX_EB_LIFECYCLE_MAX_TIME, &event->at))
    {
        return NGX_DECLINED;
    }

    node = ngx_eb_lifecycle_member(line, "p");

    if (node != NGX_EB_JSON_NONE
        && !ngx_eb_lifecycle_state(line, node, &event->previous))
    {
        return NGX_DECLINED;
    }

    node = ngx_eb_lifecycle_member(line, "only");

    if (node != NGX_EB_JSON_NONE
        && !ngx_eb_lifecycle_state(line, node, &event->only))
    {
        return NGX_DECLINED;
    }

    node = ngx_eb_lifecycle_member(line, "e");

    if (node != NGX_EB_JSON_NONE
        && !ngx_eb_lifecycle_text(line, node, NGX_EB_LIFECYCLE_ID, &event->id))
    {
        return NGX_DECLINED;
    }

    node = ngx_eb_lifecycle_member(line, "f");

    if (node != NGX_EB_JSON_NONE
        && !ngx_eb_lifecycle_small(line, node, &event->flags))
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_lifecycle_read_decision(ngx_eb_lifecycle_line_t *line,
    ngx_eb_lifecycle_record_t *record)
{
    ngx_int_t                     rc;
    ngx_eb_lifecycle_event_t      event;
    ngx_eb_lifecycle_decision_t  *d;

    ngx_memzero(&event, sizeof(ngx_eb_lifecycle_event_t));

    d = &record->decision;
    d->flag = NGX_EB_LIFECYCLE_FLAGS;

    rc = ngx_eb_lifecycle_read_event(line, &event);

    if (rc != NGX_OK) {
        return rc;
    }

    if (record->type == NGX_EB_LIFECYCLE_R_TRANSITION) {
        d->kind = NGX_EB_LIFECYCLE_PUBLISH;

        if (!ngx_eb_lifecycle_digest(line, d->id, NGX_EB_LIFECYCLE_DIGEST)
            || !ngx_eb_lifecycle_small(line,
                                       ngx_eb_lifecycle_member(line, "n"),
                                       &d->stage)
            || d->stage == 0)
        {
            return NGX_DECLINED;
        }

    } else {
        rc = ngx_eb_lifecycle_read_kind(line, d);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    d->previous = event.previous;
    d->current = event.current;
    d->only = event.only;
    d->flags = event.flags;
    d->time = event.time;
    d->at = event.at;
    d->interaction_len = (uint8_t) event.interaction.len;
    ngx_memcpy(d->interaction, event.interaction.data, event.interaction.len);

    if (event.id.len) {
        d->event_len = (uint8_t) event.id.len;
        ngx_memcpy(d->event, event.id.data, event.id.len);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_lifecycle_read_kind(ngx_eb_lifecycle_line_t *line,
    ngx_eb_lifecycle_decision_t *d)
{
    ngx_str_t           kind;
    ngx_uint_t          i;
    ngx_eb_json_node_t  node;

    node = ngx_eb_lifecycle_member(line, "k");

    if (node == NGX_EB_JSON_NONE || ngx_eb_json_type(&line->json, node) != '"')
    {
        return NGX_DECLINED;
    }

    if (ngx_eb_json_string_eq(&line->json, node, &ngx_eb_lifecycle_unchanged))
    {
        d->kind = NGX_EB_LIFECYCLE_UNCHANGED;
        return NGX_OK;
    }

    for (i = 0; i < NGX_EB_LIFECYCLE_FLAGS; i++) {
        kind = ngx_eb_lifecycle_flags[i];

        if (ngx_eb_json_string_eq(&line->json, node, &kind)) {
            d->kind = NGX_EB_LIFECYCLE_FLAG;
            d->flag = i;
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_eb_lifecycle_read_done(ngx_eb_lifecycle_line_t *line,
    ngx_eb_lifecycle_record_t *record)
{
    int64_t  published;

    if (!ngx_eb_lifecycle_digest(line, record->decision.id,
                                 NGX_EB_LIFECYCLE_DIGEST)
        || !ngx_eb_lifecycle_number(line, ngx_eb_lifecycle_member(line, "at"),
                                    NGX_EB_LIFECYCLE_MAX_TIME,
                                    &record->decision.at)
        || !ngx_eb_lifecycle_number(line,
                                    ngx_eb_lifecycle_member(line, "published"),
                                    1, &published))
    {
        return NGX_DECLINED;
    }

    record->published = (ngx_uint_t) published;

    return NGX_OK;
}


static ngx_int_t
ngx_eb_lifecycle_read_position(ngx_eb_lifecycle_line_t *line,
    ngx_eb_lifecycle_position_t *position)
{
    ngx_str_t           *id;
    ngx_array_t          ids;
    ngx_eb_json_node_t   node;

    if (!ngx_eb_lifecycle_text(line, ngx_eb_lifecycle_member(line, "cursor"),
                               NGX_EB_LIFECYCLE_CURSOR, &position->cursor)
        || !ngx_eb_lifecycle_number(line,
                                    ngx_eb_lifecycle_member(line, "time"),
                                    NGX_EB_LIFECYCLE_MAX_TIME,
                                    &position->time)
        || !ngx_eb_lifecycle_number(line, ngx_eb_lifecycle_member(line, "at"),
                                    NGX_EB_LIFECYCLE_MAX_TIME, &position->at))
    {
        return NGX_DECLINED;
    }

    node = ngx_eb_lifecycle_member(line, "ids");

    if (node == NGX_EB_JSON_NONE || ngx_eb_json_type(&line->json, node) != '[')
    {
        return NGX_DECLINED;
    }

    if (ngx_array_init(&ids, line->pool, 16, sizeof(ngx_str_t)) != NGX_OK) {
        line->failed = 1;
        return NGX_ERROR;
    }

    for (node = ngx_eb_json_first(&line->json, node);
         node != NGX_EB_JSON_NONE;
         node = ngx_eb_json_after(&line->json, node))
    {
        if (ids.nelts == NGX_EB_LIFECYCLE_DONE) {
            return NGX_DECLINED;
        }

        id = ngx_array_push(&ids);

        if (id == NULL) {
            line->failed = 1;
            return NGX_ERROR;
        }

        if (!ngx_eb_lifecycle_text(line, node, NGX_EB_LIFECYCLE_DONE_ID, id)) {
            return NGX_DECLINED;
        }
    }

    position->ids = ids.elts;
    position->n = ids.nelts;

    return NGX_OK;
}


static ngx_int_t
ngx_eb_lifecycle_read_entry(ngx_eb_lifecycle_line_t *line,
    ngx_eb_lifecycle_record_t *record)
{
    int64_t                   flags;
    ngx_int_t                 rc;
    ngx_str_t                 id;
    ngx_eb_lifecycle_view_t  *view;

    view = &record->view;
    view->state = NGX_EB_LIFECYCLE_NONE;

    if (!ngx_eb_lifecycle_text(line, ngx_eb_lifecycle_member(line, "i"),
                               NGX_EB_LIFECYCLE_ID, &id)
        || id.len == 0
        || !ngx_eb_lifecycle_small(line, ngx_eb_lifecycle_member(line, "n"),
                                   &view->stage)
        || !ngx_eb_lifecycle_number(line, ngx_eb_lifecycle_member(line, "f"),
                                    0xffff, &flags)
        || !ngx_eb_lifecycle_number(line, ngx_eb_lifecycle_member(line, "at"),
                                    NGX_EB_LIFECYCLE_MAX_TIME,
                                    &view->touched))
    {
        return NGX_DECLINED;
    }

    view->flags = (uint16_t) (flags & NGX_EB_LIFECYCLE_SHOWN);
    view->interaction_len = (uint8_t) id.len;
    ngx_memcpy(view->interaction, id.data, id.len);

    rc = ngx_eb_lifecycle_read_history(line, view);

    return rc == NGX_OK ? ngx_eb_lifecycle_read_flagged(line, record) : rc;
}


static ngx_int_t
ngx_eb_lifecycle_read_history(ngx_eb_lifecycle_line_t *line,
    ngx_eb_lifecycle_view_t *view)
{
    ngx_eb_json_node_t        node, items[3];
    ngx_eb_lifecycle_step_t  *step;

    node = ngx_eb_lifecycle_member(line, "h");

    if (node == NGX_EB_JSON_NONE || ngx_eb_json_type(&line->json, node) != '[')
    {
        return NGX_DECLINED;
    }

    for (node = ngx_eb_json_first(&line->json, node);
         node != NGX_EB_JSON_NONE;
         node = ngx_eb_json_after(&line->json, node))
    {
        step = &view->history[view->nhistory];

        if (view->nhistory == NGX_EB_LIFECYCLE_HISTORY
            || !ngx_eb_lifecycle_items(line, node, items, 3)
            || !ngx_eb_lifecycle_state(line, items[0], &step->state)
            || !ngx_eb_lifecycle_number(line, items[1],
                                        NGX_EB_LIFECYCLE_MAX_TIME,
                                        &step->time)
            || !ngx_eb_lifecycle_small(line, items[2], &step->flags)
            || (view->nhistory && step->time < step[-1].time))
        {
            return NGX_DECLINED;
        }

        view->state = step->state;
        view->since = step->time;
        view->nhistory++;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_lifecycle_read_flagged(ngx_eb_lifecycle_line_t *line,
    ngx_eb_lifecycle_record_t *record)
{
    uint8_t             previous, current;
    int64_t             time;
    ngx_eb_json_node_t  node, items[3];

    node = ngx_eb_lifecycle_member(line, "r");

    if (node == NGX_EB_JSON_NONE || ngx_eb_json_type(&line->json, node) != '[')
    {
        return NGX_DECLINED;
    }

    for (node = ngx_eb_json_first(&line->json, node);
         node != NGX_EB_JSON_NONE;
         node = ngx_eb_json_after(&line->json, node))
    {
        previous = NGX_EB_LIFECYCLE_NONE;

        if (record->nflagged == NGX_EB_LIFECYCLE_FLAGGED
            || !ngx_eb_lifecycle_items(line, node, items, 3)
            || (ngx_eb_json_type(&line->json, items[0]) != 'n'
                && !ngx_eb_lifecycle_state(line, items[0], &previous))
            || !ngx_eb_lifecycle_state(line, items[1], &current)
            || !ngx_eb_lifecycle_number(line, items[2],
                                        NGX_EB_LIFECYCLE_MAX_TIME, &time))
        {
            return NGX_DECLINED;
        }

        record->flagged[record->nflagged++] =
                            ngx_eb_lifecycle_key(time, current, previous);
    }

    return NGX_OK;
}


/* exactly n elements of an array */

static ngx_uint_t
ngx_eb_lifecycle_items(ngx_eb_lifecycle_line_t *line, ngx_eb_json_node_t array,
    ngx_eb_json_node_t *items, ngx_uint_t n)
{
    ngx_uint_t          i;
    ngx_eb_json_node_t  node;

    if (ngx_eb_json_type(&line->json, array) != '[') {
        return 0;
    }

    node = ngx_eb_json_first(&line->json, array);

    for (i = 0; i < n; i++) {

        if (node == NGX_EB_JSON_NONE) {
            return 0;
        }

        items[i] = node;
        node = ngx_eb_json_after(&line->json, node);
    }

    return node == NGX_EB_JSON_NONE;
}


static ngx_eb_json_node_t
ngx_eb_lifecycle_member(ngx_eb_lifecycle_line_t *line, const char *name)
{
    ngx_str_t  s;

    s.data = (u_char *) name;
    s.len = ngx_strlen(name);

    return ngx_eb_json_member(&line->json, line->root, &s);
}


static ngx_uint_t
ngx_eb_lifecycle_text(ngx_eb_lifecycle_line_t *line, ngx_eb_json_node_t node,
    size_t max, ngx_str_t *value)
{
    if (node == NGX_EB_JSON_NONE || ngx_eb_json_type(&line->json, node) != '"')
    {
        return 0;
    }

    if (ngx_eb_json_string(&line->json, node, line->pool, value) != NGX_OK) {
        line->failed = 1;
        return 0;
    }

    return value->len <= max;
}


static ngx_uint_t
ngx_eb_lifecycle_number(ngx_eb_lifecycle_line_t *line, ngx_eb_json_node_t node,
    int64_t max, int64_t *value)
{
    ngx_str_t  text;

    if (node == NGX_EB_JSON_NONE || ngx_eb_json_type(&line->json, node) != '0')
    {
        return 0;
    }

    ngx_eb_json_raw(&line->json, node, &text);

    *value = ngx_atoof(text.data, text.len);

    return *value >= 0 && *value <= max;
}


static ngx_uint_t
ngx_eb_lifecycle_small(ngx_eb_lifecycle_line_t *line, ngx_eb_json_node_t node,
    uint8_t *value)
{
    int64_t  n;

    if (!ngx_eb_lifecycle_number(line, node, 255, &n)) {
        return 0;
    }

    *value = (uint8_t) n;

    return 1;
}


static ngx_uint_t
ngx_eb_lifecycle_state(ngx_eb_lifecycle_line_t *line, ngx_eb_json_node_t node,
    uint8_t *state)
{
    ngx_str_t  name;

    if (!ngx_eb_lifecycle_text(line, node, NGX_EB_LIFECYCLE_NAME, &name)) {
        return 0;
    }

    *state = (uint8_t) ngx_eb_lifecycle_states_find(line->states, &name);

    if (*state == NGX_EB_LIFECYCLE_NONE) {
        line->unknown = 1;
        return 0;
    }

    return 1;
}


/* the member id: bytes as hexadecimal digits */

static ngx_uint_t
ngx_eb_lifecycle_digest(ngx_eb_lifecycle_line_t *line, u_char *id, size_t len)
{
    size_t     i;
    ngx_int_t  n;
    ngx_str_t  text;

    if (!ngx_eb_lifecycle_text(line, ngx_eb_lifecycle_member(line, "id"),
                               2 * len, &text)
        || text.len != 2 * len)
    {
        return 0;
    }

    for (i = 0; i < len; i++) {
        n = ngx_hextoi(text.data + 2 * i, 2);

        if (n == NGX_ERROR) {
            return 0;
        }

        id[i] = (u_char) n;
    }

    return 1;
}
