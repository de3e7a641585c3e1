
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * CloudEvents that go out: as headers and data, and made of other events.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_time.h"
#include "ngx_eb_event.h"
#include "ngx_eb_out.h"
#include "ngx_eb_cloudevent.h"


/* what an event becomes beside texts of its own */
#define NGX_EB_CE_MAP_FRAME  512


static ngx_int_t ngx_eb_ce_binary_member(ngx_eb_json_t *json,
    ngx_pool_t *pool, ngx_str_t *name, ngx_eb_json_node_t value,
    ngx_eb_ce_binary_t *binary);
static ngx_int_t ngx_eb_ce_binary_data(ngx_eb_json_t *json,
    ngx_pool_t *pool, ngx_eb_json_node_t data, ngx_eb_json_node_t base64,
    ngx_eb_ce_binary_t *binary);
static ngx_int_t ngx_eb_ce_encode(ngx_pool_t *pool, ngx_str_t *value,
    ngx_str_t *encoded);
static void ngx_eb_ce_map_source(ngx_str_t *source, ngx_eb_out_t *out);
static void ngx_eb_ce_map_envelope(ngx_eb_json_t *json,
    ngx_eb_event_t *event, ngx_eb_out_t *out);
static void ngx_eb_ce_map_resources(ngx_eb_json_t *json,
    ngx_eb_json_node_t resources, ngx_eb_out_t *out);
static void ngx_eb_ce_map_metadata(ngx_eb_json_t *json,
    ngx_eb_json_node_t metadata, ngx_eb_out_t *out);
static size_t ngx_eb_ce_map_name(ngx_eb_json_t *json,
    ngx_eb_json_node_t key, u_char *dst);
static ngx_uint_t ngx_eb_ce_map_taken(ngx_str_t *names, ngx_uint_t n,
    u_char *name, size_t len);
static void ngx_eb_ce_map_string(ngx_eb_json_t *json,
    ngx_eb_json_node_t node, const char *name, ngx_eb_out_t *out);
static ngx_uint_t ngx_eb_ce_map_plain(ngx_eb_json_t *json,
    ngx_eb_json_node_t node);
static ngx_eb_json_node_t ngx_eb_ce_find(ngx_eb_json_t *json,
    ngx_eb_json_node_t object, const char *name);


/* attributes that metadata of an event do not set, and ours */

static const char  *ngx_eb_ce_reserved[] = {
    "id", "source", "specversion", "type", "subject", "time",
    "datacontenttype", "dataschema", "data", NULL
};


static const char  ngx_eb_ce_digits[] = "0123456789ABCDEF";


ngx_int_t
ngx_eb_ce_binary(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_ce_binary_t *binary)
{
    ngx_str_t           name;
    ngx_eb_json_node_t  key, data, base64;

    ngx_memzero(binary, sizeof(ngx_eb_ce_binary_t));

    if (ngx_array_init(&binary->headers, pool, 8, sizeof(ngx_keyval_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    data = NGX_EB_JSON_NONE;
    base64 = NGX_EB_JSON_NONE;

    for (key = ngx_eb_json_first(json, 0);
         key != NGX_EB_JSON_NONE;
         key = ngx_eb_json_after(json, key + 2))
    {
        if (ngx_eb_event_string(json, pool, key, &name) != NGX_OK) {
            return NGX_ERROR;
        }

        if (name.len == 4 && ngx_memcmp(name.data, "data", 4) == 0) {
            data = key + 2;
            continue;
        }

        if (ngx_eb_json_type(json, key + 2) == 'n') {
            continue;
        }

        if (name.len == 11 && ngx_memcmp(name.data, "data_base64", 11) == 0) {
            base64 = key + 2;

        } else if (name.len == 15
                   && ngx_memcmp(name.data, "datacontenttype", 15) == 0)
        {
            if (ngx_eb_event_string(json, pool, key + 2, &binary->type)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

        } else if (ngx_eb_ce_binary_member(json, pool, &name, key + 2, binary)
                   != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_eb_ce_binary_data(json, pool, data, base64, binary);
}


static ngx_int_t
ngx_eb_ce_binary_member(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_str_t *name, ngx_eb_json_node_t value, ngx_eb_ce_binary_t *binary)
{
    u_char        *p;
    ngx_str_t      text;
    ngx_keyval_t  *header;

    if (ngx_eb_json_type(json, value) == '"') {

        if (ngx_eb_event_string(json, pool, value, &text) != NGX_OK) {
            return NGX_ERROR;
        }

    } else {
        ngx_eb_json_raw(json, value, &text);
    }

    header = ngx_array_push(&binary->headers);
    if (header == NULL) {
        return NGX_ERROR;
    }

    header->key.len = sizeof("ce-") - 1 + name->len;
    header->key.data = ngx_pnalloc(pool, header->key.len + 1);
    if (header->key.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(header->key.data, "ce-", sizeof("ce-") - 1);
    p = ngx_cpymem(p, name->data, name->len);
    *p = '\0';

    return ngx_eb_ce_encode(pool, &text, &header->value);
}


static ngx_int_t
ngx_eb_ce_binary_data(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t data, ngx_eb_json_node_t base64,
    ngx_eb_ce_binary_t *binary)
{
    ngx_str_t   text;
    ngx_uint_t  kind;

    if (base64 != NGX_EB_JSON_NONE) {

        if (ngx_eb_event_string(json, pool, base64, &text) != NGX_OK) {
            return NGX_ERROR;
        }

        binary->data.data = ngx_pnalloc(pool,
                                      ngx_base64_decoded_length(text.len) + 1);
        if (binary->data.data == NULL) {
            return NGX_ERROR;
        }

        /* the alphabet has been checked; the last bits may still be amiss */

        return ngx_decode_base64(&binary->data, &text);
    }

    if (data == NGX_EB_JSON_NONE) {
        return NGX_OK;
    }

    if (binary->type.data == NULL) {
        ngx_str_set(&binary->type, "application/json");
    }

    kind = ngx_eb_ce_data(&binary->type);

    /* a string stands for the text of a format that is not JSON */

    if (kind != NGX_EB_CE_DATA_JSON && ngx_eb_json_type(json, data) == '"') {
        return ngx_eb_event_string(json, pool, data, &binary->data);
    }

    ngx_eb_json_raw(json, data, &binary->data);

    return NGX_OK;
}


/*
 * Section 3.1.3.2 of the HTTP binding: space, quote, percent sign and all that
 * is not printable ASCII are encoded, and nothing else.
 */

static ngx_int_t
ngx_eb_ce_encode(ngx_pool_t *pool, ngx_str_t *value, ngx_str_t *encoded)
{
    u_char  *p, ch;
    size_t   i, n;

    n = 0;

    for (i = 0; i < value->len; i++) {
        ch = value->data[i];
        n += (ch <= ' ' || ch >= 0x7f || ch == '"' || ch == '%');
    }

    if (n == 0) {
        *encoded = *value;
        return NGX_OK;
    }

    p = ngx_pnalloc(pool, value->len + 2 * n);
    if (p == NULL) {
        return NGX_ERROR;
    }

    encoded->data = p;
    encoded->len = value->len + 2 * n;

    for (i = 0; i < value->len; i++) {
        ch = value->data[i];

        if (ch <= ' ' || ch >= 0x7f || ch == '"' || ch == '%') {
            *p++ = '%';
            *p++ = ngx_eb_ce_digits[ch >> 4];
            *p++ = ngx_eb_ce_digits[ch & 0xf];

        } else {
            *p++ = ch;
        }
    }

    return NGX_OK;
}


/*
 * id, source and type may be written six times as long as they are; all else is
 * taken from the text as it stands: data once, and once the members that become
 * attributes, of which a number may get quotes.
 */

size_t
ngx_eb_ce_map_size(ngx_eb_event_t *event, ngx_str_t *id, ngx_str_t *source)
{
    return NGX_EB_CE_MAP_FRAME
           + 6 * (ngx_max(event->id.len, id->len)
                  + ngx_max(event->source.len, source->len)
                  + event->type.len)
           + 2 * event->raw.len + event->raw.len / 2;
}


void
ngx_eb_ce_map(ngx_eb_json_t *json, ngx_eb_event_t *event, ngx_str_t *id,
    ngx_str_t *source, ngx_eb_out_t *out)
{
    ngx_str_t           data;
    ngx_eb_json_node_t  node;

    static ngx_str_t  type = ngx_string("event");

    if (ngx_eb_ce_usable(&event->id)) {
        id = &event->id;
    }

    ngx_eb_out_lit(out, "{\"specversion\":\"1.0\",\"id\":");
    ngx_eb_out_string(out, id, id->len);
    ngx_eb_out_lit(out, ",\"source\":");
    ngx_eb_ce_map_source(event->source.len ? &event->source : source, out);
    ngx_eb_out_lit(out, ",\"type\":");

    if (ngx_eb_ce_usable(&event->type)) {
        ngx_eb_out_string(out, &event->type, event->type.len);

    } else {
        ngx_eb_out_string(out, &type, type.len);
    }

    if (event->time != NGX_EB_TIME_UNKNOWN) {
        ngx_eb_out_lit(out, ",\"time\":");
        ngx_eb_out_time(out, event->time);
    }

    data = event->raw;
    node = NGX_EB_JSON_NONE;

    if (event->envelope) {
        ngx_eb_ce_map_envelope(json, event, out);
        node = ngx_eb_ce_find(json, event->node, "detail");

    } else if (event->node != NGX_EB_JSON_NONE
               && ngx_eb_json_type(json, event->node) == '{')
    {
        node = ngx_eb_ce_find(json, event->node, "subject");
        ngx_eb_ce_map_string(json, node, "subject", out);

        if (event->metadata != NGX_EB_JSON_NONE) {
            ngx_eb_ce_map_metadata(json, event->metadata, out);
        }

        node = ngx_eb_ce_find(json, event->node, "data");

        if (node == NGX_EB_JSON_NONE && event->node != event->root) {
            node = event->node;
        }
    }

    if (node != NGX_EB_JSON_NONE) {
        ngx_eb_json_raw(json, node, &data);
    }

    ngx_eb_out_lit(out, ",\"datacontenttype\":\"application/json\",\"data\":");
    ngx_eb_out_raw(out, data.data, data.len);
    ngx_eb_out_lit(out, "}");
}


/* what a URI reference must not have is encoded; so is every other script */

static void
ngx_eb_ce_map_source(ngx_str_t *source, ngx_eb_out_t *out)
{
    u_char      ch, esc[3];
    size_t      i;
    ngx_uint_t  fragment;

    fragment = 0;

    ngx_eb_out_lit(out, "\"");

    for (i = 0; i < source->len; i++) {
        ch = source->data[i];

        if ((ch > ' ' && ch < 0x7f && ngx_strchr("\"%<>\\^`{|}#", ch) == NULL)
            || (ch == '#' && fragment++ == 0)
            || (ch == '%' && source->len - i > 2
                && ngx_hextoi(&source->data[i + 1], 2) != NGX_ERROR))
        {
            ngx_eb_out_raw(out, &ch, 1);
            continue;
        }

        esc[0] = '%';
        esc[1] = ngx_eb_ce_digits[ch >> 4];
        esc[2] = ngx_eb_ce_digits[ch & 0xf];

        ngx_eb_out_raw(out, esc, 3);
    }

    ngx_eb_out_lit(out, "\"");
}


static void
ngx_eb_ce_map_envelope(ngx_eb_json_t *json, ngx_eb_event_t *event,
    ngx_eb_out_t *out)
{
    ngx_eb_json_node_t  node;

    node = ngx_eb_ce_find(json, event->node, "resources");

    if (node != NGX_EB_JSON_NONE && ngx_eb_json_type(json, node) == '[') {
        ngx_eb_ce_map_resources(json, node, out);
    }

    node = ngx_eb_ce_find(json, event->node, "account");
    ngx_eb_ce_map_string(json, node, "awsaccount", out);

    node = ngx_eb_ce_find(json, event->node, "region");
    ngx_eb_ce_map_string(json, node, "awsregion", out);

    node = ngx_eb_ce_find(json, event->node, "replay-name");
    ngx_eb_ce_map_string(json, node, "awsreplayname", out);
}


/* one resource is what the event is about; of several, nobody knows which */

static void
ngx_eb_ce_map_resources(ngx_eb_json_t *json, ngx_eb_json_node_t resources,
    ngx_eb_out_t *out)
{
    ngx_str_t           s;
    ngx_uint_t          n;
    ngx_eb_json_node_t  first, node;

    first = ngx_eb_json_first(json, resources);
    n = 0;

    for (node = first;
         node != NGX_EB_JSON_NONE;
         node = ngx_eb_json_after(json, node))
    {
        if (!ngx_eb_ce_map_plain(json, node)) {
            return;
        }

        n++;
    }

    if (n == 1) {
        ngx_eb_ce_map_string(json, first, "subject", out);
        return;
    }

    if (n == 0) {
        return;
    }

    ngx_eb_out_lit(out, ",\"awsresources\":\"");

    for (node = first;
         node != NGX_EB_JSON_NONE;
         node = ngx_eb_json_after(json, node))
    {
        if (node != first) {
            ngx_eb_out_lit(out, ",");
        }

        (void) ngx_eb_json_string_raw(json, node, &s);
        ngx_eb_out_raw(out, s.data, s.len);
    }

    ngx_eb_out_lit(out, "\"");
}


/* names in lower case, without what attributes must not have in theirs */

static void
ngx_eb_ce_map_metadata(ngx_eb_json_t *json, ngx_eb_json_node_t metadata,
    ngx_eb_out_t *out)
{
    u_char              *name;
    size_t               len;
    ngx_str_t            s, names[NGX_EB_CE_MAX_EXTENSIONS];
    ngx_int_t            value;
    ngx_uint_t           n, quoted, minus;
    ngx_eb_json_node_t   key;

    n = 0;

    for (key = ngx_eb_json_first(json, metadata);
         key != NGX_EB_JSON_NONE && n < NGX_EB_CE_MAX_EXTENSIONS;
         key = ngx_eb_json_after(json, key + 2))
    {
        ngx_eb_json_raw(json, key + 2, &s);

        quoted = 0;

        switch (ngx_eb_json_type(json, key + 2)) {

        case '"':
            if (s.len == 2 || !ngx_eb_ce_map_plain(json, key + 2)) {
                continue;
            }

            break;

        case '0':
            minus = (s.data[0] == '-');
            value = (s.len - minus > 9) ? NGX_ERROR
                                        : ngx_atoi(s.data + minus,
                                                   s.len - minus);
            quoted = (value == NGX_ERROR);
            break;

        case 't':
        case 'f':
            break;

        default:
            continue;
        }

        /* the name is written in its place at once */

        (void) ngx_eb_json_string_raw(json, key, &names[n]);

        if ((size_t) (out->end - out->pos) < names[n].len + 8) {
            out->truncated = 1;
            return;
        }

        name = out->pos + sizeof(",\"") - 1;
        len = ngx_eb_ce_map_name(json, key, name);

        if (len == 0 || ngx_eb_ce_map_taken(names, n, name, len)) {
            continue;
        }

        ngx_memcpy(out->pos, ",\"", 2);
        out->pos = name + len;

        names[n].data = name;
        names[n++].len = len;

        ngx_eb_out_lit(out, "\":");

        if (quoted) {
            ngx_eb_out_lit(out, "\"");
        }

        ngx_eb_out_raw(out, s.data, s.len);

        if (quoted) {
            ngx_eb_out_lit(out, "\"");
        }
    }
}


/* dst has room for the name as it stands; 0: nothing is left of it */

static size_t
ngx_eb_ce_map_name(ngx_eb_json_t *json, ngx_eb_json_node_t key, u_char *dst)
{
    u_char      ch;
    size_t      i, len;
    ngx_str_t   name;

    /* a name with an escape is none that anybody would miss */

    if (ngx_eb_json_string_raw(json, key, &name)) {
        return 0;
    }

    len = 0;

    for (i = 0; i < name.len; i++) {
        ch = ngx_tolower(name.data[i]);

        if ((ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9')) {
            dst[len++] = ch;
        }
    }

    return len;
}


static ngx_uint_t
ngx_eb_ce_map_taken(ngx_str_t *names, ngx_uint_t n, u_char *name, size_t len)
{
    ngx_uint_t  i;

    for (i = 0; ngx_eb_ce_reserved[i]; i++) {
        if (ngx_strlen(ngx_eb_ce_reserved[i]) == len
            && ngx_memcmp(ngx_eb_ce_reserved[i], name, len) == 0)
        {
            return 1;
        }
    }

    for (i = 0; i < n; i++) {
        if (names[i].len == len && ngx_memcmp(names[i].data, name, len) == 0) {
            return 1;
        }
    }

    return 0;
}


/* a string that is there, and not empty, as it stands */

static void
ngx_eb_ce_map_string(ngx_eb_json_t *json, ngx_eb_json_node_t node,
    const char *name, ngx_eb_out_t *out)
{
    ngx_str_t  s;

    if (node == NGX_EB_JSON_NONE || !ngx_eb_ce_map_plain(json, node)) {
        return;
    }

    ngx_eb_json_raw(json, node, &s);

    if (s.len == 2) {
        return;
    }

    ngx_eb_out_lit(out, ",\"");
    ngx_eb_out_raw(out, name, ngx_strlen(name));
    ngx_eb_out_lit(out, "\":");
    ngx_eb_out_raw(out, s.data, s.len);
}


/* a string that an attribute may be as it stands, with its escapes */

static ngx_uint_t
ngx_eb_ce_map_plain(ngx_eb_json_t *json, ngx_eb_json_node_t node)
{
    size_t     i;
    uint32_t   u, low;
    ngx_str_t  s;

    if (ngx_eb_json_type(json, node) != '"') {
        return 0;
    }

    if (!ngx_eb_json_string_raw(json, node, &s)) {
        return s.len == 0 || ngx_eb_ce_usable(&s);
    }

    for (i = 0; i < s.len; i++) {

        if (s.data[i] != '\\') {
            continue;
        }

        i++;

        if (s.data[i] == '"' || s.data[i] == '\\' || s.data[i] == '/') {
            continue;
        }

        /* of the others only \uXXXX may be something else than a control */

        if (s.data[i] != 'u') {
            return 0;
        }

        u = (uint32_t) ngx_hextoi(&s.data[i + 1], 4);
        i += 4;

        if (u >= 0xd800 && u <= 0xdbff && s.len - i > 6
            && s.data[i + 1] == '\\' && s.data[i + 2] == 'u')
        {
            low = (uint32_t) ngx_hextoi(&s.data[i + 3], 4);
            i += 6;

            if (low < 0xdc00 || low > 0xdfff) {
                return 0;
            }

            u = 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
        }

        if (u < ' ' || (u >= 0x7f && u < 0xa0) || (u >= 0xd800 && u <= 0xdfff)
            || (u & 0xfffe) == 0xfffe || (u >= 0xfdd0 && u <= 0xfdef))
        {
            return 0;
        }
    }

    return ngx_eb_ce_usable(&s);
}


static ngx_eb_json_node_t
ngx_eb_ce_find(ngx_eb_json_t *json, ngx_eb_json_node_t object,
    const char *name)
{
    ngx_str_t  s;

    s.data = (u_char *) name;
    s.len = ngx_strlen(name);

    return ngx_eb_json_member(json, object, &s);
}
