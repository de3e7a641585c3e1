
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <openssl/sha.h>
#include "ngx_eb_event.h"
#include "ngx_eb_time.h"
#include "ngx_eb_putevents.h"


/* levels of a Detail above which it stands in the array of envelopes */
#define NGX_EB_PUT_LEVELS     2

/* what AWS counts for a Time, whatever it looks like */
#define NGX_EB_PUT_TIME_SIZE  14

/* bytes of an envelope beside its texts; 40 of them are a margin */
#define NGX_EB_PUT_ENVELOPE                                                  \
    (sizeof(NGX_EB_PUT_HEAD "\",\"detail-type\":,\"source\":,\"account\":\"" \
            NGX_EB_PUT_ACCOUNT "\",\"time\":\"\",\"region\":,"               \
            "\"resources\":[],\"detail\":},")                                \
     + NGX_EB_PUT_ID + NGX_EB_PUT_STAMP + 40)

#define NGX_EB_PUT_HEAD       "{\"version\":\"0\",\"id\":\""

/* nobody has an account here */
#define NGX_EB_PUT_ACCOUNT    "000000000000"

/* 2015-08-30T12:36:00Z */
#define NGX_EB_PUT_STAMP      20


typedef enum {
    NGX_EB_PUT_SOURCE = 0,
    NGX_EB_PUT_DETAIL_TYPE,
    NGX_EB_PUT_DETAIL,
    NGX_EB_PUT_RESOURCES,
    NGX_EB_PUT_TIME,
    NGX_EB_PUT_BUS,
    NGX_EB_PUT_TRACE,
    NGX_EB_PUT_MEMBERS
} ngx_eb_put_member_e;


static ngx_int_t ngx_eb_put_entry(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t node, ngx_eb_put_t *put, size_t *size);
static ngx_int_t ngx_eb_put_types(ngx_eb_json_t *json,
    ngx_eb_json_node_t *nodes, ngx_eb_put_t *put);
static ngx_int_t ngx_eb_put_resources(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t array, ngx_eb_put_t *put, size_t *size);
static ngx_eb_json_node_t ngx_eb_put_member(ngx_eb_json_t *json,
    ngx_eb_json_node_t object, ngx_str_t *name);
static void ngx_eb_put_check(ngx_eb_put_entry_t *entry,
    ngx_eb_json_node_t *nodes);
static ngx_int_t ngx_eb_put_detail(ngx_eb_json_parser_t *parser,
    ngx_uint_t max_depth, ngx_eb_put_entry_t *entry);
static void ngx_eb_put_refuse(ngx_eb_put_entry_t *entry, const char *code,
    const char *message);
static ngx_int_t ngx_eb_put_declined(ngx_eb_put_t *put, const char *error,
    const char *message);
static void ngx_eb_put_id(ngx_eb_put_facts_t *facts, ngx_uint_t i,
    ngx_eb_put_entry_t *entry);
static void ngx_eb_put_envelope(ngx_eb_put_entry_t *entry,
    ngx_eb_put_facts_t *facts, ngx_eb_out_t *out);
static size_t ngx_eb_put_characters(ngx_str_t *text);


/* in the order of ngx_eb_put_member_e */

static ngx_str_t  ngx_eb_put_names[] = {
    ngx_string("Source"),
    ngx_string("DetailType"),
    ngx_string("Detail"),
    ngx_string("Resources"),
    ngx_string("Time"),
    ngx_string("EventBusName"),
    ngx_string("TraceHeader")
};


ngx_int_t
ngx_eb_put_read(ngx_eb_json_parser_t *parser, ngx_pool_t *pool,
    ngx_str_t *body, ngx_uint_t max_depth, ngx_eb_put_t *put)
{
    size_t               size;
    ngx_int_t            rc;
    ngx_uint_t           i;
    ngx_eb_json_t        json;
    ngx_eb_json_node_t   array, node;
    ngx_eb_json_error_t  err;

    static ngx_str_t  entries = ngx_string("Entries");

    put->nentries = 0;
    put->error = NULL;
    put->message = NULL;

    if (ngx_eb_json_parse(parser, body->data, body->len, max_depth, &json,
                          &err)
        != NGX_OK)
    {
        return (err.code == NGX_EB_JSON_E_NOMEM)
                   ? NGX_ERROR
                   : ngx_eb_put_declined(put, "SerializationException",
                                         ngx_eb_json_strerror(err.code));
    }

    if (ngx_eb_json_type(&json, 0) != '{') {
        return ngx_eb_put_declined(put, "SerializationException",
                                   "The request is not an object.");
    }

    array = ngx_eb_put_member(&json, 0, &entries);

    if (array == NGX_EB_JSON_NONE) {
        return ngx_eb_put_declined(put, "ValidationException",
                                   "1 validation error detected: Value null "
                                   "at 'entries' failed to satisfy "
                                   "constraint: Member must not be null");
    }

    if (ngx_eb_json_type(&json, array) != '[') {
        return ngx_eb_put_declined(put, "SerializationException",
                                   "Entries is not an array.");
    }

    size = 0;

    for (node = ngx_eb_json_first(&json, array);
         node != NGX_EB_JSON_NONE;
         node = ngx_eb_json_after(&json, node))
    {
        if (put->nentries == NGX_EB_PUT_ENTRIES) {
            put->nentries = 0;

            return ngx_eb_put_declined(put, "ValidationException",
                                       "1 validation error detected: Value "
                                       "at 'entries' failed to satisfy "
                                       "constraint: Member must have length "
                                       "less than or equal to 10");
        }

        rc = ngx_eb_put_entry(&json, pool, node, put, &size);

        if (rc != NGX_OK) {
            put->nentries = 0;
            return rc;
        }
    }

    if (put->nentries == 0) {
        return ngx_eb_put_declined(put, "ValidationException",
                                   "1 validation error detected: Value '[]' "
                                   "at 'entries' failed to satisfy "
                                   "constraint: Member must have length "
                                   "greater than or equal to 1");
    }

    if (size >= NGX_EB_PUT_SIZE) {
        put->nentries = 0;

        return ngx_eb_put_declined(put, "ValidationException",
                                   "Total size of the entries in the request "
                                   "is over the limit.");
    }

    /* from here on the index is that of each Detail */

    for (i = 0; i < put->nentries; i++) {

        if (put->entries[i].code == NULL
            && ngx_eb_put_detail(parser, max_depth - NGX_EB_PUT_LEVELS,
                                 &put->entries[i])
               != NGX_OK)
        {
            put->nentries = 0;
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_put_entry(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t node, ngx_eb_put_t *put, size_t *size)
{
    ngx_int_t            rc;
    ngx_str_t            time, *strings[NGX_EB_PUT_DETAIL + 1];
    ngx_uint_t           i;
    ngx_eb_json_node_t   nodes[NGX_EB_PUT_MEMBERS];
    ngx_eb_put_entry_t  *entry;

    if (ngx_eb_json_type(json, node) != '{') {
        return ngx_eb_put_declined(put, "SerializationException",
                                   "An entry is not an object.");
    }

    entry = &put->entries[put->nentries++];

    ngx_memzero(entry, sizeof(ngx_eb_put_entry_t));

    ngx_eb_json_raw(json, node, &entry->raw);
    entry->time = NGX_EB_TIME_UNKNOWN;

    for (i = 0; i < NGX_EB_PUT_MEMBERS; i++) {
        nodes[i] = ngx_eb_put_member(json, node, &ngx_eb_put_names[i]);
    }

    if (ngx_eb_put_types(json, nodes, put) != NGX_OK) {
        return NGX_DECLINED;
    }

    strings[NGX_EB_PUT_SOURCE] = &entry->source;
    strings[NGX_EB_PUT_DETAIL_TYPE] = &entry->type;
    strings[NGX_EB_PUT_DETAIL] = &entry->detail;

    for (i = 0; i <= NGX_EB_PUT_DETAIL; i++) {
        if (nodes[i] != NGX_EB_JSON_NONE
            && ngx_eb_event_string(json, pool, nodes[i], strings[i]) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    *size += entry->source.len + entry->type.len + entry->detail.len;

    if (nodes[NGX_EB_PUT_RESOURCES] != NGX_EB_JSON_NONE) {

        rc = ngx_eb_put_resources(json, pool, nodes[NGX_EB_PUT_RESOURCES], put,
                                  size);
        if (rc != NGX_OK) {
            return rc;
        }

        ngx_eb_json_raw(json, nodes[NGX_EB_PUT_RESOURCES], &entry->resources);
    }

    ngx_eb_put_check(entry, nodes);

    if (nodes[NGX_EB_PUT_TIME] == NGX_EB_JSON_NONE) {
        return NGX_OK;
    }

    *size += NGX_EB_PUT_TIME_SIZE;

    if (ngx_eb_json_type(json, nodes[NGX_EB_PUT_TIME]) == '"') {
        (void) ngx_eb_json_string_raw(json, nodes[NGX_EB_PUT_TIME], &time);

    } else {
        ngx_eb_json_raw(json, nodes[NGX_EB_PUT_TIME], &time);
    }

    entry->time = ngx_eb_time_parse(time.data, time.len);

    if (entry->time == NGX_EB_TIME_UNKNOWN && entry->code == NULL) {
        ngx_eb_put_refuse(entry, "InvalidArgument",
                          "Parameter Time is not valid. Reason: Time is not "
                          "in seconds since 1970, nor of RFC 3339.");
    }

    return NGX_OK;
}


/* a member of another type is not an error of its entry alone */

static ngx_int_t
ngx_eb_put_types(ngx_eb_json_t *json, ngx_eb_json_node_t *nodes,
    ngx_eb_put_t *put)
{
    u_char      type;
    ngx_uint_t  i;

    for (i = 0; i < NGX_EB_PUT_MEMBERS; i++) {

        if (nodes[i] == NGX_EB_JSON_NONE) {
            continue;
        }

        type = ngx_eb_json_type(json, nodes[i]);

        if (i == NGX_EB_PUT_RESOURCES) {

            if (type != '[') {
                return ngx_eb_put_declined(put, "SerializationException",
                                           "Resources is not an array.");
            }

            continue;
        }

        if (type != '"' && (i != NGX_EB_PUT_TIME || type != '0')) {
            return ngx_eb_put_declined(put, "SerializationException",
                                       (i == NGX_EB_PUT_TIME)
                                       ? "Time is not a number."
                                       : "A member of an entry that has to be "
                                         "a string is not one.");
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_put_resources(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t array, ngx_eb_put_t *put, size_t *size)
{
    ngx_str_t           text;
    ngx_eb_json_node_t  node;

    for (node = ngx_eb_json_first(json, array);
         node != NGX_EB_JSON_NONE;
         node = ngx_eb_json_after(json, node))
    {
        if (ngx_eb_json_type(json, node) != '"') {
            return ngx_eb_put_declined(put, "SerializationException",
                                       "A resource is not a string.");
        }

        if (ngx_eb_event_string(json, pool, node, &text) != NGX_OK) {
            return NGX_ERROR;
        }

        *size += text.len;
    }

    return NGX_OK;
}


/* to AWS null is as good as nothing */

static ngx_eb_json_node_t
ngx_eb_put_member(ngx_eb_json_t *json, ngx_eb_json_node_t object,
    ngx_str_t *name)
{
    ngx_eb_json_node_t  node;

    node = ngx_eb_json_member(json, object, name);

    return (node != NGX_EB_JSON_NONE && ngx_eb_json_type(json, node) == 'n')
               ? NGX_EB_JSON_NONE : node;
}


/* Detail is looked at when all others are found good */

static void
ngx_eb_put_check(ngx_eb_put_entry_t *entry, ngx_eb_json_node_t *nodes)
{
    if (entry->source.len == 0) {
        ngx_eb_put_refuse(entry, "InvalidArgument",
                          "Parameter Source is not valid. Reason: Source is a "
                          "required argument.");

    } else if (entry->type.len == 0) {
        ngx_eb_put_refuse(entry, "InvalidArgument",
                          "Parameter DetailType is not valid. Reason: "
                          "DetailType is a required argument.");

    } else if (nodes[NGX_EB_PUT_DETAIL] == NGX_EB_JSON_NONE) {
        ngx_eb_put_refuse(entry, "InvalidArgument",
                          "Parameter Detail is not valid. Reason: Detail is a "
                          "required argument.");

    } else if (ngx_eb_put_characters(&entry->type) > NGX_EB_PUT_TYPE) {
        ngx_eb_put_refuse(entry, "InvalidArgument",
                          "Parameter DetailType is not valid. Reason: "
                          "DetailType has more than 128 characters.");

    } else if (entry->source.len >= 4
               && ngx_memcmp(entry->source.data, "aws.", 4) == 0)
    {
        ngx_eb_put_refuse(entry, "NotAuthorizedForSourceException",
                          "Not authorized for the source.");
    }
}


/* by itself, so that it cannot end its envelope and begin others */

static ngx_int_t
ngx_eb_put_detail(ngx_eb_json_parser_t *parser, ngx_uint_t max_depth,
    ngx_eb_put_entry_t *entry)
{
    ngx_int_t            rc;
    ngx_eb_json_t        json;
    ngx_eb_json_error_t  err;

    rc = ngx_eb_json_parse(parser, entry->detail.data, entry->detail.len,
                           max_depth, &json, &err);

    if (rc != NGX_OK && err.code == NGX_EB_JSON_E_NOMEM) {
        return NGX_ERROR;
    }

    if (rc != NGX_OK || ngx_eb_json_type(&json, 0) != '{') {
        ngx_eb_put_refuse(entry, "MalformedDetail", "Detail is malformed.");
        return NGX_OK;
    }

    ngx_eb_json_raw(&json, 0, &entry->detail);

    return NGX_OK;
}


static void
ngx_eb_put_refuse(ngx_eb_put_entry_t *entry, const char *code,
    const char *message)
{
    entry->code = code;
    entry->message = message;
}


static ngx_int_t
ngx_eb_put_declined(ngx_eb_put_t *put, const char *error, const char *message)
{
    put->error = error;
    put->message = message;

    return NGX_DECLINED;
}


ngx_int_t
ngx_eb_put_write(ngx_eb_put_t *put, ngx_eb_put_facts_t *facts,
    ngx_pool_t *pool, ngx_str_t *text)
{
    size_t               size;
    u_char              *start;
    ngx_uint_t           i, n;
    ngx_eb_out_t         out;
    ngx_eb_put_entry_t  *entry;

    size = 2;

    for (i = 0; i < put->nentries; i++) {
        entry = &put->entries[i];

        ngx_eb_put_id(facts, i, entry);

        if (entry->code == NULL) {
            /* a character may take six times its room: \u001f */
            size += NGX_EB_PUT_ENVELOPE + entry->detail.len
                    + entry->resources.len
                    + 6 * (entry->source.len + entry->type.len
                           + facts->region.len);
        }
    }

    start = ngx_pnalloc(pool, size);
    if (start == NULL) {
        return NGX_ERROR;
    }

    ngx_eb_out_init(&out, start, size);
    ngx_eb_out_lit(&out, "[");

    n = 0;

    for (i = 0; i < put->nentries; i++) {

        if (put->entries[i].code) {
            continue;
        }

        if (n++) {
            ngx_eb_out_lit(&out, ",");
        }

        ngx_eb_put_envelope(&put->entries[i], facts, &out);
    }

    ngx_eb_out_lit(&out, "]");

    text->data = start;
    text->len = out.pos - start;

    return out.truncated ? NGX_ERROR : NGX_OK;
}


/*
 * A UUID of version 8, made of hashes of constant length.  The bytes of the
 * entry are among them: a client that uses an invocation id twice by mistake
 * must not lose an event to it.
 */

static void
ngx_eb_put_id(ngx_eb_put_facts_t *facts, ngx_uint_t i,
    ngx_eb_put_entry_t *entry)
{
    u_char      text[3 * SHA256_DIGEST_LENGTH + 1];
    u_char      digest[SHA256_DIGEST_LENGTH], *p;
    ngx_uint_t  n;

    p = text;

    (void) SHA256(facts->key_id.data, facts->key_id.len, p);
    p += SHA256_DIGEST_LENGTH;

    (void) SHA256(facts->invocation.data, facts->invocation.len, p);
    p += SHA256_DIGEST_LENGTH;

    (void) SHA256(entry->raw.data, entry->raw.len, p);
    p += SHA256_DIGEST_LENGTH;

    *p = (u_char) i;

    (void) SHA256(text, sizeof(text), digest);

    digest[6] = (u_char) ((digest[6] & 0x0f) | 0x80);
    digest[8] = (u_char) ((digest[8] & 0x3f) | 0x80);

    p = entry->id;

    for (n = 0; n < 16; n++) {

        if (n == 4 || n == 6 || n == 8 || n == 10) {
            *p++ = '-';
        }

        p = ngx_hex_dump(p, &digest[n], 1);
    }
}


static void
ngx_eb_put_envelope(ngx_eb_put_entry_t *entry, ngx_eb_put_facts_t *facts,
    ngx_eb_out_t *out)
{
    u_char     stamp[NGX_EB_PUT_STAMP + 1];
    time_t     sec;
    struct tm  tm;

    sec = (entry->time == NGX_EB_TIME_UNKNOWN) ? facts->now
                                               : (time_t) (entry->time / 1000);
    (void) gmtime_r(&sec, &tm);

    (void) ngx_sprintf(stamp, "%04d-%02d-%02dT%02d:%02d:%02dZ",
                       (tm.tm_year + 1900) % 10000, tm.tm_mon + 1, tm.tm_mday,
                       tm.tm_hour, tm.tm_min, tm.tm_sec);

    ngx_eb_out_lit(out, NGX_EB_PUT_HEAD);
    ngx_eb_out_raw(out, entry->id, NGX_EB_PUT_ID);
    ngx_eb_out_lit(out, "\",\"detail-type\":");
    ngx_eb_out_string(out, &entry->type, entry->type.len);
    ngx_eb_out_lit(out, ",\"source\":");
    ngx_eb_out_string(out, &entry->source, entry->source.len);
    ngx_eb_out_lit(out, ",\"account\":\"" NGX_EB_PUT_ACCOUNT "\",\"time\":\"");
    ngx_eb_out_raw(out, stamp, NGX_EB_PUT_STAMP);
    ngx_eb_out_lit(out, "\",\"region\":");
    ngx_eb_out_string(out, &facts->region, facts->region.len);
    ngx_eb_out_lit(out, ",\"resources\":");

    if (entry->resources.len) {
        ngx_eb_out_raw(out, entry->resources.data, entry->resources.len);

    } else {
        ngx_eb_out_lit(out, "[]");
    }

    ngx_eb_out_lit(out, ",\"detail\":");
    ngx_eb_out_raw(out, entry->detail.data, entry->detail.len);
    ngx_eb_out_lit(out, "}");
}


void
ngx_eb_put_answer(ngx_eb_put_t *put, ngx_eb_out_t *out)
{
    ngx_str_t            s;
    ngx_uint_t           i, failed;
    ngx_eb_put_entry_t  *entry;

    failed = 0;

    for (i = 0; i < put->nentries; i++) {
        failed += (put->entries[i].code != NULL);
    }

    ngx_eb_out_lit(out, "{\"FailedEntryCount\":");
    ngx_eb_out_int(out, failed);
    ngx_eb_out_lit(out, ",\"Entries\":[");

    for (i = 0; i < put->nentries; i++) {
        entry = &put->entries[i];

        if (i) {
            ngx_eb_out_lit(out, ",");
        }

        if (entry->code == NULL) {
            ngx_eb_out_lit(out, "{\"EventId\":\"");
            ngx_eb_out_raw(out, entry->id, NGX_EB_PUT_ID);
            ngx_eb_out_lit(out, "\"}");
            continue;
        }

        ngx_eb_out_lit(out, "{\"ErrorCode\":\"");
        ngx_eb_out_raw(out, entry->code, ngx_strlen(entry->code));
        ngx_eb_out_lit(out, "\",\"ErrorMessage\":");

        s.data = (u_char *) entry->message;
        s.len = ngx_strlen(entry->message);

        ngx_eb_out_string(out, &s, 200);
        ngx_eb_out_lit(out, "}");
    }

    ngx_eb_out_lit(out, "]}\n");
}


/* of UTF-8, so that its other bytes need not be looked at */

static size_t
ngx_eb_put_characters(ngx_str_t *text)
{
    size_t  i, n;

    n = 0;

    for (i = 0; i < text->len; i++) {
        n += ((text->data[i] & 0xc0) != 0x80);
    }

    return n;
}
