
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * CloudEvents.  The first byte says what the rest is:
 *
 *   - lines "NAME: VALUE", the first of which is a Content-Type, an empty
 *     line, and data: what is accepted must be JSON, and must come out as the
 *     same headers and the same data;
 *   - a CloudEvent in JSON, or a batch: what is accepted must survive the way
 *     through headers and back;
 *   - any other event: what is made of it must be a CloudEvent.
 */

/* sources: src/wire/ngx_eb_cloudevent.c src/wire/ngx_eb_cloudevent_out.c */
/* sources: src/wire/ngx_eb_event.c src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c */
/* sources: src/wire/ngx_eb_time.c src/wire/ngx_eb_out.c */
/* libs: -lsimdjson */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_json.h"
#include "ngx_eb_event.h"
#include "ngx_eb_out.h"
#include "ngx_eb_cloudevent.h"


#define MAX_EVENTS  64
#define MAX_DEPTH   32

#define check(cond)                                                          \
    if (!(cond)) {                                                           \
        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);           \
        abort();                                                             \
    }


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void headers(ngx_pool_t *pool, u_char *p, size_t size);
static ngx_uint_t line(u_char **p, u_char *last, ngx_str_t *name,
    ngx_str_t *value);
static void events(ngx_pool_t *pool, u_char *p, size_t size,
    ngx_uint_t shape);
static void others(ngx_pool_t *pool, u_char *p, size_t size);
static void other(ngx_pool_t *pool, ngx_str_t *raw);
static void way(ngx_pool_t *pool, ngx_str_t *text);
static ngx_uint_t same(ngx_str_t *one, ngx_str_t *two);
static ngx_int_t parse(ngx_eb_json_parser_t *parser, ngx_str_t *text,
    ngx_eb_json_t *json);


static ngx_eb_json_parser_t  *outer, *inner;


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char      *copy;
    ngx_pool_t  *pool;

    if (outer == NULL) {
        outer = ngx_eb_json_parser_create();
        inner = ngx_eb_json_parser_create();
        check(outer != NULL && inner != NULL);
    }

    if (size == 0) {
        return 0;
    }

    /* exactly as long as it is, so that a sanitizer sees a byte too many */

    copy = malloc(size);
    pool = ngx_create_pool(4096, &shim_log);
    check(copy != NULL && pool != NULL);

    memcpy(copy, data + 1, size - 1);

    switch (data[0] % 4) {

    case 0:
        headers(pool, copy, size - 1);
        break;

    case 1:
        events(pool, copy, size - 1, NGX_EB_BODY_CE_SINGLE);
        break;

    case 2:
        events(pool, copy, size - 1, NGX_EB_BODY_CE_BATCH);
        break;

    default:
        others(pool, copy, size - 1);
    }

    ngx_destroy_pool(pool);
    free(copy);

    return 0;
}


static void
headers(ngx_pool_t *pool, u_char *p, size_t size)
{
    u_char               *last;
    size_t                room;
    ngx_int_t             rc;
    ngx_str_t             type, name, value, head, data, text, lowered;
    const char           *why;
    ngx_uint_t            kind;
    ngx_eb_out_t          out;
    ngx_eb_json_t         json;
    ngx_eb_batch_t        batch;
    ngx_eb_ce_binary_t    binary;

    last = p + size;

    head.data = ngx_pnalloc(pool, 6 * size + 64);
    check(head.data != NULL);

    if (!line(&p, last, &name, &type)) {
        return;
    }

    (void) ngx_eb_ce_content(&type);
    kind = ngx_eb_ce_data(&type);

    ngx_eb_out_init(&out, head.data, 6 * size + 64);
    ngx_eb_out_lit(&out, "{");

    if (type.len) {
        ngx_eb_out_lit(&out, "\"datacontenttype\":");
        ngx_eb_out_string(&out, &type, type.len);
        ngx_eb_out_lit(&out, ",");
    }

    while (line(&p, last, &name, &value)) {

        lowered.len = name.len;
        lowered.data = ngx_pnalloc(pool, name.len + 1);
        check(lowered.data != NULL);
        ngx_strlow(lowered.data, name.data, name.len);

        room = out.pos - head.data;

        rc = ngx_eb_ce_header(&lowered, &value, pool, &out, &why);
        check(rc == NGX_OK || rc == NGX_DECLINED);

        if (rc == NGX_DECLINED) {
            check(why != NULL && (size_t) (out.pos - head.data) == room);
            check(ngx_eb_ce_reason(pool, &lowered, why) != NULL);
            return;
        }

        check((size_t) (out.pos - head.data) - room
              <= 2 * value.len + name.len + 6);
    }

    check(!out.truncated);

    if (out.pos - head.data == 1) {
        /* without an attribute it would not be taken for a CloudEvent */
        return;
    }

    head.len = out.pos - head.data;

    data.data = p;
    data.len = last - p;

    if (kind == NGX_EB_CE_DATA_UNKNOWN) {
        kind = (parse(outer, &data, &json) == NGX_OK) ? NGX_EB_CE_DATA_JSON
                                                      : NGX_EB_CE_DATA_BINARY;
    }

    if (kind == NGX_EB_CE_DATA_JSON && data.len
        && parse(outer, &data, &json) != NGX_OK)
    {
        return;
    }

    check(ngx_eb_ce_embed(pool, &head, &data, kind, &text) == NGX_OK);

    /* names of headers may be anything, and are shown as UTF-8 in any case */

    check(parse(outer, &text, &json) == NGX_OK);
    check(ngx_eb_ce_split(&json, pool, NGX_EB_BODY_CE_BINARY, 1, &batch)
          == NGX_OK);
    check(batch.nevents == 1);

    if (batch.events->invalid) {
        return;
    }

    check(ngx_eb_ce_binary(&json, pool, &binary) == NGX_OK);

    if (type.len) {
        check(same(&binary.type, &type));
    }

    if (kind == NGX_EB_CE_DATA_JSON) {

        /* the white space around a value is not part of it */

        while (data.len && (*data.data == ' ' || *data.data == '\t'
                            || *data.data == '\r' || *data.data == '\n'))
        {
            data.data++;
            data.len--;
        }

        check(binary.data.len <= data.len
              && (binary.data.len == 0
                  || memcmp(binary.data.data, data.data, binary.data.len)
                     == 0));

    } else {
        check(same(&binary.data, &data));
    }

    way(pool, &text);
}


/* "NAME: VALUE" and a line feed; 0: an empty line, or the end */

static ngx_uint_t
line(u_char **p, u_char *last, ngx_str_t *name, ngx_str_t *value)
{
    u_char  *start, *end, *colon;

    start = *p;
    end = memchr(start, '\n', last - start);

    if (end == NULL) {
        *p = last;
        return 0;
    }

    *p = end + 1;
    colon = memchr(start, ':', end - start);

    if (colon == NULL) {
        return 0;
    }

    name->data = start;
    name->len = colon - start;

    colon++;

    while (colon < end && *colon == ' ') {
        colon++;
    }

    value->data = colon;
    value->len = end - colon;

    return 1;
}


static void
events(ngx_pool_t *pool, u_char *p, size_t size, ngx_uint_t shape)
{
    ngx_int_t        rc;
    ngx_str_t        text;
    ngx_uint_t       i;
    ngx_eb_json_t    json;
    ngx_eb_batch_t   batch;
    ngx_eb_event_t  *event;

    text.data = p;
    text.len = size;

    if (parse(outer, &text, &json) != NGX_OK) {
        return;
    }

    rc = ngx_eb_ce_split(&json, pool, shape, MAX_EVENTS, &batch);
    check(rc == NGX_OK || rc == NGX_DECLINED || rc == NGX_BUSY);

    if (rc == NGX_DECLINED) {
        check(shape == NGX_EB_BODY_CE_BATCH && batch.error != NULL
              && batch.offset < size);
    }

    if (rc != NGX_OK) {
        return;
    }

    check(batch.nevents <= MAX_EVENTS);

    for (i = 0; i < batch.nevents; i++) {
        event = &batch.events[i];

        check(event->raw.data >= p
              && event->raw.data + event->raw.len <= p + size);

        if (event->invalid) {
            check(ngx_strlen(event->invalid) < 256);
            continue;
        }

        check(event->kind == NGX_EB_EVENT_CLOUDEVENT);
        check(ngx_eb_ce_usable(&event->id) && ngx_eb_ce_usable(&event->source)
              && ngx_eb_ce_usable(&event->type));

        way(pool, &event->raw);
    }
}


/* a valid event becomes headers, these a text, and that the same headers */

static void
way(ngx_pool_t *pool, ngx_str_t *text)
{
    size_t                size, j;
    ngx_str_t             head, name, again;
    const char           *why;
    ngx_uint_t            i, kind;
    ngx_keyval_t         *h, *back;
    ngx_eb_out_t          out;
    ngx_eb_json_t         json;
    ngx_eb_batch_t        batch;
    ngx_eb_ce_binary_t    binary, once;

    check(parse(inner, text, &json) == NGX_OK);
    check(ngx_eb_ce_binary(&json, pool, &binary) == NGX_OK);

    h = binary.headers.elts;
    size = 64 + 6 * binary.type.len;

    for (i = 0; i < binary.headers.nelts; i++) {
        check(h[i].key.len > 3 && memcmp(h[i].key.data, "ce-", 3) == 0
              && h[i].key.data[h[i].key.len] == '\0');

        for (j = 0; j < h[i].value.len; j++) {
            check(h[i].value.data[j] > ' ' && h[i].value.data[j] < 0x7f
                  && h[i].value.data[j] != '"');
        }

        size += 2 * h[i].value.len + h[i].key.len + 6;
    }

    head.data = ngx_pnalloc(pool, size);
    check(head.data != NULL);

    ngx_eb_out_init(&out, head.data, size);
    ngx_eb_out_lit(&out, "{");

    if (binary.type.data) {
        ngx_eb_out_lit(&out, "\"datacontenttype\":");
        ngx_eb_out_string(&out, &binary.type, binary.type.len);
        ngx_eb_out_lit(&out, ",");
    }

    for (i = 0; i < binary.headers.nelts; i++) {
        name.data = h[i].key.data + 3;
        name.len = h[i].key.len - 3;

        check(ngx_eb_ce_header(&name, &h[i].value, pool, &out, &why)
              == NGX_OK);
    }

    check(!out.truncated);
    head.len = out.pos - head.data;

    kind = ngx_eb_ce_data(&binary.type);

    if (kind == NGX_EB_CE_DATA_UNKNOWN
        || (kind == NGX_EB_CE_DATA_JSON
            && parse(inner, &binary.data, &json) != NGX_OK))
    {
        /* Base64 of something else than JSON, say */
        kind = NGX_EB_CE_DATA_BINARY;
    }

    check(ngx_eb_ce_embed(pool, &head, &binary.data, kind, &again) == NGX_OK);
    check(parse(inner, &again, &json) == NGX_OK);
    check(ngx_eb_ce_split(&json, pool, NGX_EB_BODY_CE_BINARY, 1, &batch)
          == NGX_OK);
    check(batch.events->invalid == NULL);
    check(ngx_eb_ce_binary(&json, pool, &once) == NGX_OK);

    check(once.headers.nelts == binary.headers.nelts);
    check(same(&once.type, &binary.type));

    back = once.headers.elts;

    for (i = 0; i < once.headers.nelts; i++) {
        check(same(&back[i].key, &h[i].key));
        check(same(&back[i].value, &h[i].value));
    }

    /* JSON in Base64 may have had white space around it */

    if (kind != NGX_EB_CE_DATA_JSON) {
        check(same(&once.data, &binary.data));
    }
}


static void
others(ngx_pool_t *pool, u_char *p, size_t size)
{
    ngx_str_t        text;
    ngx_uint_t       i;
    ngx_eb_json_t    json;
    ngx_eb_batch_t   batch;

    text.data = p;
    text.len = size;

    if (parse(outer, &text, &json) != NGX_OK) {
        return;
    }

    if (ngx_eb_batch_split(&json, pool, MAX_EVENTS, &batch) != NGX_OK) {
        check(ngx_eb_batch_whole(&json, pool, &batch) == NGX_OK);
    }

    for (i = 0; i < batch.nevents; i++) {
        other(pool, &batch.events[i].raw);
    }
}


static void
other(ngx_pool_t *pool, ngx_str_t *raw)
{
    size_t           size;
    ngx_str_t        id, source, text;
    ngx_eb_out_t     out;
    ngx_eb_json_t    json;
    ngx_eb_batch_t   batch;
    ngx_eb_event_t  *event;

    ngx_str_set(&id, "0123456789abcdef0123456789abcdef");
    ngx_str_set(&source, "~ ^/v1/\xc3\xa9?#");

    check(parse(inner, raw, &json) == NGX_OK);

    if (ngx_eb_batch_split(&json, pool, 1, &batch) != NGX_OK
        || batch.shape != NGX_EB_BODY_SINGLE)
    {
        check(ngx_eb_batch_whole(&json, pool, &batch) == NGX_OK);
    }

    event = batch.events;
    size = ngx_eb_ce_map_size(event, &id, &source);

    text.data = ngx_pnalloc(pool, size);
    check(text.data != NULL);

    ngx_eb_out_init(&out, text.data, size);
    ngx_eb_ce_map(&json, event, &id, &source, &out);
    check(!out.truncated);

    text.len = out.pos - text.data;

    check(parse(inner, &text, &json) == NGX_OK);
    check(ngx_eb_ce_split(&json, pool, NGX_EB_BODY_CE_SINGLE, 1, &batch)
          == NGX_OK);

    if (batch.events->invalid) {
        fprintf(stderr, "%s: %.*s\n", batch.events->invalid, (int) text.len,
                text.data);
    }

    check(batch.events->invalid == NULL);

    way(pool, &text);
}


static ngx_uint_t
same(ngx_str_t *one, ngx_str_t *two)
{
    return one->len == two->len
           && (one->len == 0 || memcmp(one->data, two->data, one->len) == 0);
}


static ngx_int_t
parse(ngx_eb_json_parser_t *parser, ngx_str_t *text, ngx_eb_json_t *json)
{
    ngx_eb_json_error_t  err;

    return ngx_eb_json_parse(parser, text->data, text->len, MAX_DEPTH + 4,
                             json, &err);
}
