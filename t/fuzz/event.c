
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Any bytes: parsed, split and routed.  Every slice is of the text or of the
 * pool, every event is JSON by itself and splits the same way again.
 */

/* sources: src/route/ngx_eb_route.c src/route/ngx_eb_regex.c */
/* sources: src/route/ngx_eb_pattern_index.c src/route/ngx_eb_pattern_lookup.c src/route/ngx_eb_pattern_terms.c */
/* sources: src/route/ngx_eb_pattern_case.c src/route/ngx_eb_pattern_compile.c src/route/ngx_eb_pattern_element.c */
/* sources: src/route/ngx_eb_pattern_explain.c src/route/ngx_eb_pattern_expr.c src/route/ngx_eb_pattern_field.c */
/* sources: src/route/ngx_eb_pattern_ip.c src/route/ngx_eb_pattern_match.c src/route/ngx_eb_pattern_number.c */
/* sources: src/route/ngx_eb_pattern_text.c src/route/ngx_eb_pattern_value.c */
/* sources: src/wire/ngx_eb_event.c src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c */
/* sources: src/wire/ngx_eb_time.c */
/* libs: -lsimdjson -lpcre2-8 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_json.h"
#include "ngx_eb_time.h"
#include "ngx_eb_event.h"
#include "ngx_eb_regex.h"
#include "ngx_eb_route.h"


#define MAX_EVENTS  64
#define MAX_DEPTH   32

#define check(cond)                                                          \
    if (!(cond)) {                                                           \
        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);           \
        abort();                                                             \
    }


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void setup(void);
static void add(ngx_uint_t destination, const char *source, const char *type,
    const char *name, const char *value);
static void event_check(ngx_eb_json_t *json, ngx_eb_event_t *event);
static void string_check(ngx_eb_json_t *json, ngx_str_t *value);
static void hits_check(ngx_eb_json_t *json, ngx_eb_batch_t *batch,
    ngx_array_t *hits);


static ngx_pool_t            *conf_pool;
static ngx_eb_router_t        router;
static ngx_eb_regex_ctx_t    *ctx;
static ngx_eb_route_memo_t   *memo;
static ngx_eb_json_parser_t  *parser, *inner_parser;
static volatile u_char        sink;


static void
setup(void)
{
    ngx_uint_t  i;
    char        value[16];

    conf_pool = ngx_create_pool(4096, &shim_log);
    check(conf_pool != NULL);

    parser = ngx_eb_json_parser_create();
    inner_parser = ngx_eb_json_parser_create();
    check(parser != NULL && inner_parser != NULL);

    check(ngx_array_init(&router.routes, conf_pool, 64,
                         sizeof(ngx_eb_route_t)) == NGX_OK);

    router.all = 1;

    add(0, "^conversation:", NULL, "region", "us-east-1");
    add(1, "s", "t$", NULL, NULL);
    add(2, NULL, NULL, "k", "v");
    add(1, "(a+)+$", NULL, NULL, NULL);
    add(63, NULL, "^[^a]", "topicName", "1");

    /* enough to be looked up by value */

    for (i = 0; i < 40; i++) {
        sprintf(value, "%d", (int) i);
        add(i, NULL, NULL, (i & 1) ? "k" : "account", value);
    }

    ctx = ngx_eb_regex_ctx_create(conf_pool);
    memo = ngx_eb_route_memo_create(conf_pool, &router, ctx);
    check(ctx != NULL && memo != NULL);
}


static void
add(ngx_uint_t destination, const char *source, const char *type,
    const char *name, const char *value)
{
    size_t                    offset;
    ngx_str_t                 err, pattern;
    ngx_eb_route_t           *route;
    ngx_eb_route_metadata_t  *md;

    route = ngx_array_push(&router.routes);
    check(route != NULL);

    ngx_memzero(route, sizeof(ngx_eb_route_t));
    route->destination = destination;

    if (source) {
        pattern.data = (u_char *) source;
        pattern.len = strlen(source);
        route->source = ngx_eb_regex_compile(conf_pool, &pattern, &err,
                                             &offset);
        check(route->source != NULL);
    }

    if (type) {
        pattern.data = (u_char *) type;
        pattern.len = strlen(type);
        route->type = ngx_eb_regex_compile(conf_pool, &pattern, &err, &offset);
        check(route->type != NULL);
    }

    if (name) {
        check(ngx_array_init(&route->metadata, conf_pool, 1,
                             sizeof(ngx_eb_route_metadata_t)) == NGX_OK);

        md = ngx_array_push(&route->metadata);
        check(md != NULL);

        md->name.len = strlen(name);
        md->name.data = (u_char *) name;

        md->value.len = strlen(value);
        md->value.data = ngx_pnalloc(conf_pool, md->value.len + 1);
        check(md->value.data != NULL);
        ngx_memcpy(md->value.data, value, md->value.len + 1);
    }
}


static void
event_check(ngx_eb_json_t *json, ngx_eb_event_t *event)
{
    ngx_int_t            rc;
    ngx_pool_t          *pool;
    ngx_eb_json_t        inner;
    ngx_eb_batch_t       batch;
    ngx_eb_event_t      *again;
    ngx_eb_json_error_t  err;

    check(event->raw.len > 0
          && event->raw.data >= json->data
          && event->raw.data + event->raw.len <= json->data + json->len);

    string_check(json, &event->id);
    string_check(json, &event->source);
    string_check(json, &event->type);
    string_check(json, &event->replay_name);
    string_check(json, &event->region);

    check(event->time >= NGX_EB_TIME_UNKNOWN);

    if (event->metadata != NGX_EB_JSON_NONE) {
        check(event->metadata < json->n
              && ngx_eb_json_type(json, event->metadata) == '{');
    }

    if (event->topic != NGX_EB_JSON_NONE) {
        check(event->topic < json->n
              && ngx_eb_json_type(json, event->topic) == '"');
    }

    check(ngx_eb_json_parse(inner_parser, event->raw.data, event->raw.len,
                            MAX_DEPTH, &inner, &err) == NGX_OK);
    check(inner.len == event->raw.len);

    if (event->node == NGX_EB_JSON_NONE) {
        check(event->invalid && ngx_eb_json_type(&inner, 0) != '{');
        return;
    }

    check(ngx_eb_json_type(&inner, 0) == '{');

    /* alone it is the same event, if it is a body by itself */

    pool = ngx_create_pool(4096, &shim_log);
    check(pool != NULL);

    rc = ngx_eb_batch_split(&inner, pool, 1, &batch);

    if (event->kind == NGX_EB_EVENT_AWS || event->kind == NGX_EB_EVENT_WRAPPED)
    {
        check(rc == NGX_OK && batch.shape == NGX_EB_BODY_SINGLE);
    }

    if (rc == NGX_OK && batch.shape == NGX_EB_BODY_SINGLE) {
        check(batch.nevents == 1);

        again = batch.events;

        check(again->kind == event->kind
              && again->invalid == event->invalid
              && again->time == event->time
              && again->id.len == event->id.len
              && again->source.len == event->source.len
              && (again->id.len == 0
                  || memcmp(again->id.data, event->id.data, again->id.len)
                     == 0)
              && (again->source.len == 0
                  || memcmp(again->source.data, event->source.data,
                            again->source.len)
                     == 0));
    }

    ngx_destroy_pool(pool);
}


static void
string_check(ngx_eb_json_t *json, ngx_str_t *value)
{
    size_t  i;

    if (value->data == NULL) {
        check(value->len == 0);
        return;
    }

    /* read, so that a sanitizer sees what is not ours */

    for (i = 0; i < value->len; i++) {
        sink ^= value->data[i];
    }

    if (value->data >= json->data && value->data <= json->data + json->len) {
        check(value->data + value->len <= json->data + json->len);

    } else {
        check(json->escapes);
    }
}


static void
hits_check(ngx_eb_json_t *json, ngx_eb_batch_t *batch, ngx_array_t *hits)
{
    uint64_t                  seen;
    ngx_uint_t                i, k, last;
    ngx_eb_route_t           *route;
    ngx_eb_route_hit_t       *hit;
    ngx_eb_route_metadata_t  *md;

    hit = hits->elts;
    seen = 0;
    last = 0;

    for (i = 0; i < hits->nelts; i++) {
        check(hit[i].event < batch->nevents && hit[i].event >= last);
        check(hit[i].route < router.routes.nelts);
        check(batch->events[hit[i].event].invalid == NULL);

        if (hit[i].event != last) {
            last = hit[i].event;
            seen = 0;
        }

        route = (ngx_eb_route_t *) router.routes.elts + hit[i].route;

        check(route->destination == hit[i].destination);
        check((seen & (uint64_t) 1 << route->destination) == 0);

        seen |= (uint64_t) 1 << route->destination;

        md = route->metadata.elts;

        for (k = 0; k < route->metadata.nelts; k++) {
            check(ngx_eb_event_metadata_eq(json, &batch->events[last],
                                           &md[k].name, &md[k].value));
        }
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char               *copy;
    ngx_int_t             rc;
    ngx_uint_t            errors, i;
    ngx_pool_t           *pool;
    ngx_array_t           hits;
    ngx_eb_json_t         json;
    ngx_eb_batch_t        batch;
    ngx_eb_json_error_t   err;

    if (conf_pool == NULL) {
        setup();
    }

    /* exactly as long as it is, so that a sanitizer sees a byte too many */

    copy = malloc(size ? size : 1);
    pool = ngx_create_pool(4096, &shim_log);
    check(copy != NULL && pool != NULL);

    if (size) {
        memcpy(copy, data, size);
    }

    if (ngx_eb_json_parse(parser, copy, size, MAX_DEPTH, &json, &err)
        == NGX_OK)
    {
        rc = ngx_eb_batch_split(&json, pool, MAX_EVENTS, &batch);

        check(rc == NGX_OK || rc == NGX_DECLINED || rc == NGX_BUSY);

        if (rc == NGX_DECLINED) {
            check(batch.error != NULL && batch.offset < size);
        }

        if (rc == NGX_OK) {
            check(batch.nevents <= MAX_EVENTS);

            for (i = 0; i < batch.nevents; i++) {
                event_check(&json, &batch.events[i]);
            }

            check(ngx_array_init(&hits, pool, 4, sizeof(ngx_eb_route_hit_t))
                  == NGX_OK);
            check(ngx_eb_route_batch(&router, memo, ctx, &json, &batch, &hits,
                                     &errors) == NGX_OK);
            check(errors <= batch.nevents);

            hits_check(&json, &batch, &hits);
        }
    }

    check(size == 0 || memcmp(copy, data, size) == 0);

    ngx_destroy_pool(pool);
    free(copy);

    return 0;
}
