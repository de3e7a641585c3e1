
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Routing, and the memo against routing without one.
 */

/* sources: src/route/ngx_eb_route.c src/route/ngx_eb_regex.c */
/* sources: src/route/ngx_eb_route_explain.c */
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
#include "ngx_eb_event.h"
#include "ngx_eb_regex.h"
#include "ngx_eb_route.h"


#define run(text)  run_text(text, sizeof(text) - 1)

/* hits as text: "EVENT>DESTINATION/ROUTE " */
#define is(expected, name)  is_hits(expected, name)


typedef struct {
    ngx_pool_t               *pool;
    ngx_eb_router_t           router;
    ngx_eb_route_memo_t      *memo;
    ngx_array_t               hits;
    ngx_uint_t                errors;
} fixture_t;


static void start(ngx_uint_t all);
static void stop(void);
static void add(ngx_uint_t destination, const char *source, const char *type,
    ...);
static void ready(void);
static void run_text(const char *text, size_t len);
static void run_batch(void);
static void is_hits(const char *expected, const char *name);
static ngx_uint_t same_as_reference(ngx_uint_t *errors);
static ngx_uint_t explained(ngx_eb_route_t *route, ngx_eb_event_t *event,
    ngx_eb_route_condition_e failed, ngx_uint_t given_up);
static void verdicts(void);
static ngx_uint_t rnd(ngx_uint_t n);
static void policies(void);
static void conditions(void);
static void absent(void);
static void limits(void);
static void long_pairs(void);
static void many_routes(void);
static void many_conditions(void);
static void no_memory(void);
static void random_data(void);
static void random_batch(ngx_uint_t sources, ngx_uint_t types);


static fixture_t              fx;
static ngx_pool_t            *pool;
static ngx_eb_json_t          json;
static ngx_eb_batch_t         batch;
static ngx_eb_regex_ctx_t    *ctx;
static ngx_eb_json_parser_t  *parser;

static char                   text_buf[512 * 1024];
static uint64_t               seed = 88172645463325252u;


static void
start(ngx_uint_t all)
{
    fx.pool = ngx_create_pool(4096, &shim_log);
    fx.router.all = all;

    if (fx.pool == NULL
        || ngx_array_init(&fx.router.routes, fx.pool, 8,
                          sizeof(ngx_eb_route_t)) != NGX_OK
        || ngx_array_init(&fx.hits, fx.pool, 8, sizeof(ngx_eb_route_hit_t))
           != NGX_OK)
    {
        exit(1);
    }
}


static void
stop(void)
{
    ngx_destroy_pool(fx.pool);
    ngx_memzero(&fx, sizeof(fixture_t));
}


/* source and type are patterns or NULL; then name and value pairs, NULL */

static void
add(ngx_uint_t destination, const char *source, const char *type, ...)
{
    char                     *p;
    size_t                    offset;
    va_list                   args;
    ngx_str_t                 err, pattern;
    ngx_eb_route_t           *route;
    ngx_eb_route_metadata_t  *md;

    route = ngx_array_push(&fx.router.routes);
    if (route == NULL) {
        exit(1);
    }

    ngx_memzero(route, sizeof(ngx_eb_route_t));
    route->destination = destination;

    if (source) {
        pattern.data = (u_char *) source;
        pattern.len = strlen(source);
        route->source = ngx_eb_regex_compile(fx.pool, &pattern, &err, &offset);
        if (route->source == NULL) {
            exit(1);
        }
    }

    if (type) {
        pattern.data = (u_char *) type;
        pattern.len = strlen(type);
        route->type = ngx_eb_regex_compile(fx.pool, &pattern, &err, &offset);
        if (route->type == NULL) {
            exit(1);
        }
    }

    va_start(args, type);

    while ((p = va_arg(args, char *)) != NULL) {

        if (route->metadata.elts == NULL
            && ngx_array_init(&route->metadata, fx.pool, 2,
                              sizeof(ngx_eb_route_metadata_t)) != NGX_OK)
        {
            exit(1);
        }

        md = ngx_array_push(&route->metadata);
        if (md == NULL) {
            exit(1);
        }

        md->name.len = strlen(p);
        md->name.data = ngx_pnalloc(fx.pool, md->name.len + 1);
        ngx_memcpy(md->name.data, p, md->name.len + 1);

        p = va_arg(args, char *);

        md->value.len = strlen(p);
        md->value.data = ngx_pnalloc(fx.pool, md->value.len + 1);
        ngx_memcpy(md->value.data, p, md->value.len + 1);
    }

    va_end(args);
}


static void
ready(void)
{
    fx.memo = ngx_eb_route_memo_create(fx.pool, &fx.router, ctx);
    if (fx.memo == NULL) {
        exit(1);
    }
}


static void
run_text(const char *text, size_t len)
{
    ngx_eb_json_error_t  err;

    if (text != text_buf) {
        ngx_memcpy(text_buf, text, len);
    }

    if (ngx_eb_json_parse(parser, (u_char *) text_buf, len, 64, &json, &err)
        != NGX_OK
        || ngx_eb_batch_split(&json, pool, 10000, &batch) != NGX_OK)
    {
        printf("Bail out! not a batch: %.*s\n", (int) ngx_min(len, 200),
               text);
        exit(1);
    }

    run_batch();
}


static void
run_batch(void)
{
    fx.hits.nelts = 0;
    fx.errors = 12345;

    if (ngx_eb_route_batch(&fx.router, fx.memo, ctx, &json, &batch, &fx.hits,
                           &fx.errors)
        != NGX_OK)
    {
        exit(1);
    }
}


static void
is_hits(const char *expected, const char *name)
{
    char                *p, *last, got[4096];
    ngx_uint_t           i;
    ngx_eb_route_hit_t  *hit;

    p = got;
    last = got + sizeof(got);
    hit = fx.hits.elts;
    *p = '\0';

    for (i = 0; i < fx.hits.nelts && last - p > 32; i++) {
        p += sprintf(p, "%u>%u/%u ", (unsigned) hit[i].event,
                     (unsigned) hit[i].destination, (unsigned) hit[i].route);
    }

    ok(strcmp(got, expected) == 0, "%s", name);

    if (strcmp(got, expected) != 0) {
        printf("# got \"%s\", expected \"%s\"\n", got, expected);
    }
}


/* the rules of ngx_eb_route.h, word by word */

static ngx_uint_t
same_as_reference(ngx_uint_t *errors)
{
    uint64_t                  seen;
    ngx_int_t                 rc;
    ngx_uint_t                bad, e, i, k, n;
    ngx_eb_event_t           *event;
    ngx_eb_route_t           *route;
    ngx_eb_route_hit_t       *hit;
    ngx_eb_route_metadata_t  *md;

    n = 0;
    *errors = 0;
    hit = fx.hits.elts;

    for (e = 0; e < batch.nevents; e++) {
        event = &batch.events[e];

        if (event->invalid) {
            continue;
        }

        seen = 0;
        bad = 0;

        for (i = 0; i < fx.router.routes.nelts; i++) {
            route = (ngx_eb_route_t *) fx.router.routes.elts + i;

            if (route->source) {
                rc = ngx_eb_regex_match(ctx, route->source, &event->source);
                bad |= (rc == NGX_ERROR);

                if (rc != NGX_OK) {
                    if (!explained(route, event, NGX_EB_ROUTE_SOURCE,
                                   rc == NGX_ERROR))
                    {
                        return 0;
                    }

                    continue;
                }
            }

            if (route->type) {
                rc = ngx_eb_regex_match(ctx, route->type, &event->type);
                bad |= (rc == NGX_ERROR);

                if (rc != NGX_OK) {
                    if (!explained(route, event, NGX_EB_ROUTE_TYPE,
                                   rc == NGX_ERROR))
                    {
                        return 0;
                    }

                    continue;
                }
            }

            md = route->metadata.elts;

            for (k = 0; k < route->metadata.nelts; k++) {
                if (!ngx_eb_event_metadata_eq(&json, event, &md[k].name,
                                              &md[k].value))
                {
                    break;
                }
            }

            if (!explained(route, event, (k < route->metadata.nelts)
                                             ? NGX_EB_ROUTE_METADATA
                                             : NGX_EB_ROUTE_MATCHES, 0))
            {
                return 0;
            }

            if (k < route->metadata.nelts
                || (seen & (uint64_t) 1 << route->destination))
            {
                continue;
            }

            seen |= (uint64_t) 1 << route->destination;

            if (n == fx.hits.nelts || hit[n].event != e
                || hit[n].destination != route->destination
                || hit[n].route != i)
            {
                return 0;
            }

            n++;

            if (!fx.router.all) {
                break;
            }
        }

        *errors += bad;
    }

    return n == fx.hits.nelts;
}


static ngx_uint_t
explained(ngx_eb_route_t *route, ngx_eb_event_t *event,
    ngx_eb_route_condition_e failed, ngx_uint_t given_up)
{
    ngx_eb_route_verdict_t  verdict;

    ngx_eb_route_explain(route, fx.memo, ctx, &json, event, &verdict);

    return verdict.failed == failed && verdict.given_up == given_up
           && (verdict.metadata != NULL) == (failed == NGX_EB_ROUTE_METADATA);
}


static void
verdicts(void)
{
    ngx_eb_route_t          *route;
    ngx_eb_route_verdict_t   verdict;

    start(0);
    add(0, "^s$", "^t", "a", "1", "b", "2", NULL);
    ready();

    run("[{\"source\":\"s\",\"type\":\"t\",\"metadata\":"
        "{\"a\":1,\"b\":3}},"
        "{\"source\":\"s\",\"type\":\"t\",\"metadata\":{\"b\":2}},"
        "{\"type\":\"t\"},{\"source\":\"s\"}]");

    route = fx.router.routes.elts;

    ngx_eb_route_explain(route, fx.memo, ctx, &json, &batch.events[0],
                         &verdict);
    ok(verdict.failed == NGX_EB_ROUTE_METADATA
       && verdict.metadata == (ngx_eb_route_metadata_t *)
                              route->metadata.elts + 1
       && verdict.node != NGX_EB_JSON_NONE
       && json.data[json.pos[verdict.node]] == '3', "verdict: which, and what");

    ngx_eb_route_explain(route, fx.memo, ctx, &json, &batch.events[1],
                         &verdict);
    ok(verdict.failed == NGX_EB_ROUTE_METADATA
       && verdict.metadata == route->metadata.elts
       && verdict.node == NGX_EB_JSON_NONE, "verdict: missing");

    ngx_eb_route_explain(route, fx.memo, ctx, &json, &batch.events[2],
                         &verdict);
    ok(verdict.failed == NGX_EB_ROUTE_SOURCE, "verdict: no source");

    ngx_eb_route_explain(route, fx.memo, ctx, &json, &batch.events[3],
                         &verdict);
    ok(verdict.failed == NGX_EB_ROUTE_TYPE, "verdict: no type");

    ok(ngx_eb_regex_pattern(route->source)->len == 3
       && memcmp(ngx_eb_regex_pattern(route->source)->data, "^s$", 3) == 0,
       "pattern of a regex");

    stop();
}


static ngx_uint_t
rnd(ngx_uint_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return (ngx_uint_t) (seed % n);
}


static void
policies(void)
{
    ngx_uint_t  all;

    for (all = 0; all < 2; all++) {
        start(all);
        add(3, "^conversation:", NULL, "region", "us-east-1", NULL);
        add(5, "^interaction:", NULL, "priority", "high", NULL);
        add(3, NULL, "^t", NULL);
        add(63, "conversation", NULL, NULL);
        ready();

        run("[{\"source\":\"conversation:1\",\"type\":\"t\","
            "\"metadata\":{\"region\":\"us-east-1\"}},"
            "{\"source\":\"conversation:1\",\"type\":\"t\","
            "\"metadata\":{\"region\":\"us-east-2\"}},"
            "{\"source\":\"interaction:1\","
            "\"metadata\":{\"priority\":\"high\"}},"
            "{\"source\":\"interaction:1\","
            "\"metadata\":{\"priority\":\"low\"}},"
            "7,"
            "{\"source\":1,\"type\":\"t\"},"
            "{\"source\":\"x\",\"type\":\"t\"},"
            "{\"source\":\"a conversation\",\"type\":\"u\"}]");

        ok(fx.errors == 0, "no errors");

        if (all) {
            is("0>3/0 0>63/3 1>3/2 1>63/3 2>5/1 6>3/2 7>63/3 ",
               "every match, each destination once");

        } else {
            is("0>3/0 1>3/2 2>5/1 6>3/2 7>63/3 ", "first match");
        }

        run_batch();
        ok(fx.hits.nelts == (all ? 7 : 5), "again, from the memo");

        stop();
    }

    start(0);
    ready();
    run("[{\"source\":\"s\"}]");
    is("", "no routes");
    run("[]");
    is("", "no routes, no events");
    stop();
}


static void
conditions(void)
{
    start(1);
    add(0, "^a", "^b", NULL);
    add(1, "^a", NULL, NULL);
    add(2, NULL, "^b", NULL);
    add(3, NULL, NULL, NULL);
    add(4, NULL, NULL, "k", "v", "l", "1", NULL);
    add(5, NULL, NULL, "k", "v", "k", "w", NULL);
    add(6, NULL, NULL, "k", "v", "k", "v", NULL);
    add(7, NULL, NULL, "region", "r", NULL);
    add(8, NULL, NULL, "topicName", "tn", "account", "12", NULL);
    add(9, NULL, NULL, "e", "", NULL);
    ready();

    run("[{\"source\":\"a\",\"type\":\"b\"},{\"source\":\"a\"},"
        "{\"type\":\"b\"},{\"source\":\"b\",\"type\":\"a\"}]");
    is("0>0/0 0>1/1 0>2/2 0>3/3 1>1/1 1>3/3 2>2/2 2>3/3 3>3/3 ",
       "all conditions must hold");

    run("[{\"metadata\":{\"k\":\"v\",\"l\":1}},"
        "{\"metadata\":{\"k\":\"v\"}},{\"metadata\":{\"l\":1}},"
        "{\"metadata\":{\"k\":\"w\",\"k\":\"v\",\"l\":\"\\u0031\"}},"
        "{\"metadata\":{\"e\":\"\"}},"
        "{\"metadata\":{\"k\":\"v\",\"k\":\"w\"}}]");
    is("0>3/3 0>4/4 0>6/6 1>3/3 1>6/6 2>3/3 3>3/3 3>4/4 3>6/6 4>3/3 4>9/9 "
       "5>3/3 ", "metadata");

    run("[{\"detail-type\":\"t\",\"region\":\"r\",\"account\":12,"
        "\"detail\":{\"topicName\":\"tn\",\"metadata\":{\"region\":\"q\"}}},"
        "{\"detail-type\":\"t\",\"region\":\"q\",\"account\":\"12\","
        "\"detail\":{\"topicName\":\"t\\u006e\",\"metadata\":"
        "{\"region\":\"r\"}}}]");
    is("0>3/3 0>7/7 0>8/8 1>3/3 1>8/8 ", "metadata of envelopes");

    stop();
}


static void
absent(void)
{
    start(1);
    add(0, "^$", NULL, NULL);
    add(1, NULL, "^$", NULL);
    add(2, ".", NULL, NULL);
    ready();

    run("[{},{\"source\":\"\",\"type\":\"\"},{\"source\":\"s\"},"
        "{\"source\":null,\"type\":\"t\"}]");
    is("0>0/0 0>1/1 1>0/0 1>1/1 2>1/1 2>2/2 3>0/0 ", "absent is empty");

    run("[{\"source\":\"\\u0000\"},{\"source\":\"\\ud800\"},"
        "{\"source\":\"x\"}]");
    is("0>1/1 0>2/2 1>1/1 2>1/1 2>2/2 ", "NUL, and a lone surrogate");

    stop();

    /* the same bytes, divided otherwise */

    start(1);
    add(0, "^ab$", "^c$", NULL);
    add(1, "^a$", "^bc$", NULL);
    ready();

    run("[{\"source\":\"ab\",\"type\":\"c\"},"
        "{\"source\":\"a\",\"type\":\"bc\"},"
        "{\"source\":\"abc\"},{\"type\":\"abc\"},"
        "{\"source\":\"ab\",\"type\":\"c\"}]");
    is("0>0/0 1>1/1 4>0/0 ", "pairs do not run together");

    stop();
}


static void
limits(void)
{
    ngx_uint_t  i;

    start(1);
    add(0, "(*NO_JIT)^(a+)+$", NULL, NULL);
    add(1, NULL, NULL, NULL);
    ready();

    for (i = 0; i < 2; i++) {
        run("[{\"source\":"
            "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"},"
            "{\"source\":"
            "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"},"
            "{\"source\":\"b\"},"
            "{\"source\":"
            "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"},"
            "{\"source\":\"aaa\"}]");

        is("0>1/1 1>1/1 2>1/1 3>1/1 4>0/0 4>1/1 ",
           i ? "a limit is no match, again" : "a limit is no match");
        ok(fx.errors == 3, "each such event is counted");
    }

    stop();
}


static void
long_pairs(void)
{
    char        *p;
    ngx_uint_t   i, k, ok_, n;
    ngx_uint_t   errors;

    static struct {
        ngx_uint_t  source;
        ngx_uint_t  type;
    } lens[] = {
        { 256, 128 }, { 257, 0 }, { 0, 257 }, { 256, 129 }, { 128, 256 },
        { 129, 256 }, { 4000, 4000 }, { 65536, 1 }, { 65537, 1 }
    };

    start(1);
    add(0, "^x+y$", NULL, NULL);
    add(1, NULL, "^z+y$", NULL);
    add(2, "^x+w$", NULL, NULL);
    ready();

    ok_ = 1;

    for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {

        for (k = 0; k < 2; k++) {
            p = text_buf;
            p += sprintf(p, "[{\"source\":\"");
            memset(p, 'x', lens[i].source);
            p += lens[i].source;

            if (lens[i].source) {
                p[-1] = k ? 'y' : 'w';
            }

            p += sprintf(p, "\",\"type\":\"");
            memset(p, 'z', lens[i].type);
            p += lens[i].type;

            if (lens[i].type) {
                p[-1] = k ? 'w' : 'y';
            }

            p += sprintf(p, "\"}]");

            run_text(text_buf, p - text_buf);
            n = fx.errors;
            ok_ &= same_as_reference(&errors);
            ok_ &= (n == errors && n == (lens[i].source > 65536));
        }
    }

    ok(ok_, "strings that are too long for the memo, or for a match");

    stop();
}


static void
many_routes(void)
{
    char        *p, source[64];
    ngx_uint_t   all, i, errors;

    for (all = 0; all < 2; all++) {
        start(all);

        for (i = 0; i < 1000; i++) {
            sprintf(source, "^source%d$", (int) i);

            if (i % 3 == 0) {
                add(i % 64, source, NULL, "k", "v", NULL);

            } else {
                add(i % 64, source, NULL, NULL);
            }
        }

        add(7, NULL, NULL, NULL);
        ready();

        p = text_buf;
        p += sprintf(p, "[");

        for (i = 0; i < 1100; i++) {
            p += sprintf(p, "%s{\"source\":\"source%d\",\"metadata\":"
                         "{\"k\":\"%s\"}}", i ? "," : "", (int) i,
                         i % 2 ? "v" : "w");
        }

        p += sprintf(p, "]");

        run_text(text_buf, p - text_buf);

        ok(same_as_reference(&errors) && fx.hits.nelts >= 1100,
           "1000 routes, policy %s", all ? "all" : "first");

        run("[{\"source\":\"source999\"},{\"source\":\"source998\"},"
            "{\"source\":\"other\"},{\"source\":\"source64\"}]");
        is(all ? "0>7/1000 1>38/998 1>7/1000 2>7/1000 3>0/64 3>7/1000 "
               : "0>7/1000 1>38/998 2>7/1000 3>0/64 ", "some of 1000");

        stop();
    }
}


/* one source, and routes that differ in their metadata only */

static void
many_conditions(void)
{
    char        *p, value[64];
    ngx_uint_t   all, i, errors;

    for (all = 0; all < 2; all++) {
        start(all);

        for (i = 0; i < 1000; i++) {
            sprintf(value, "q%d", (int) i);

            switch (i % 4) {

            case 0:
                add(i % 61, "^s", NULL, "queue", value, NULL);
                break;

            case 1:
                add(i % 61, NULL, NULL, "queue", value, "p", "1", NULL);
                break;

            case 2:
                add(i % 61, NULL, NULL, value, "true", NULL);
                break;

            default:
                add(i % 61, "^t", NULL, "queue", value, NULL);
                break;
            }
        }

        ready();

        p = text_buf;
        p += sprintf(p, "[");

        for (i = 0; i < 1000; i++) {
            p += sprintf(p, "%s{\"source\":\"s\",\"metadata\":"
                         "{\"x\":{},\"queue\":\"%s%d\",\"p\":%d,\"q%d\":%s}}",
                         i ? "," : "", i % 5 ? "q" : "\\u0071", (int) i,
                         (int) rnd(2), (int) rnd(1000),
                         rnd(2) ? "true" : "\"true\"");
        }

        p += sprintf(p, "]");

        run_text(text_buf, p - text_buf);

        ok(same_as_reference(&errors) && fx.hits.nelts > 500,
           "1000 routes by metadata, policy %s", all ? "all" : "first");

        stop();
    }
}


static void
no_memory(void)
{
    ngx_int_t   n, rc;
    ngx_uint_t  errors, i;
    char        value[16];

    start(1);

    for (i = 0; i < 20; i++) {
        sprintf(value, "%d", (int) i);
        add(i, NULL, NULL, "k", i ? value : "v", NULL);
    }

    add(60, NULL, NULL, NULL);
    add(61, NULL, NULL, NULL);

    for (n = 0; n < 100 && fx.memo == NULL; n++) {
        shim_allocs = n;
        fx.memo = ngx_eb_route_memo_create(fx.pool, &fx.router, ctx);
        shim_allocs = -1;
    }

    ok(fx.memo != NULL && n > 6, "no memory for a memo");

    run("[{\"metadata\":{\"\\u006b\":\"\\u0076\"}},{},{},{},{}]");
    ok(same_as_reference(&errors) && fx.hits.nelts == 11, "all hits");

    rc = NGX_ERROR;

    for (n = 0; n < 100 && rc == NGX_ERROR; n++) {

        if (ngx_array_init(&fx.hits, fx.pool, 1, sizeof(ngx_eb_route_hit_t))
            != NGX_OK)
        {
            exit(1);
        }

        shim_allocs = n;
        rc = ngx_eb_route_batch(&fx.router, fx.memo, ctx, &json, &batch,
                                &fx.hits, &errors);
        shim_allocs = -1;
    }

    ok(rc == NGX_OK && n > 3 && same_as_reference(&errors),
       "no memory for hits or escaped values");

    stop();
}


static void
random_data(void)
{
    ngx_uint_t  errors, good, i, n, pass, round;

    static const char  *patterns[] = {
        NULL, "^source1", "^source[0-4]", "7$", "^$", ".", "[a-c]{2}",
        "source(?=5)", "^source\\d$", "nothing", "e.+5"
    };

    static const char  *keys[] = {
        "region", "account", "topicName", "k", "queue", ""
    };

    static const char  *values[] = { "1", "2", "true", "x", "" };

    for (round = 0; round < 40; round++) {
        start(round & 1);

        n = rnd(4) ? 1 + rnd(20) : 60 + rnd(150);

        for (i = 0; i < n; i++) {
            switch (rnd(4)) {

            case 0:
                add(rnd(64), patterns[rnd(11)], patterns[rnd(11)],
                    keys[rnd(6)], values[rnd(5)], NULL);
                break;

            case 1:
                add(rnd(8), patterns[rnd(11)], NULL,
                    keys[rnd(6)], values[rnd(5)],
                    keys[rnd(6)], values[rnd(5)], NULL);
                break;

            default:
                add(rnd(64), patterns[1 + rnd(10)], patterns[1 + rnd(10)],
                    NULL);
                break;
            }
        }

        ready();

        good = 1;

        for (pass = 0; pass < 6; pass++) {
            random_batch(1 + rnd(60), 1 + rnd(30));

            good &= same_as_reference(&errors) && fx.errors == errors;
        }

        /* the last batch again, now from a warm memo */

        run_batch();

        ok(good && same_as_reference(&errors), "random data, round %d",
           (int) round);

        stop();
    }
}


static void
random_batch(ngx_uint_t sources, ngx_uint_t types)
{
    char        *p;
    ngx_uint_t   i, k, n;

    static const char  *keys[] = {
        "region", "account", "topicName", "k", "queue", "", "other",
        "\\u006b", "queue2"
    };

    static const char  *values[] = {
        "1", "2", "true", "\"1\"", "\"2\"", "\"x\"", "\"\"", "null", "{}",
        "[1]", "\"\\u0031\"", "\"true\""
    };

    p = text_buf;
    p += sprintf(p, "{\"events\":[");

    n = 400;

    for (i = 0; i < n; i++) {
        p += sprintf(p, "%s{", i ? "," : "");

        switch (rnd(8)) {

        case 0:
            break;

        case 1:
            p += sprintf(p, "\"source\":7,");
            break;

        case 2:
            p += sprintf(p, "\"source\":\"s\\u006furce%d\",",
                         (int) rnd(sources));
            break;

        default:
            p += sprintf(p, "\"source\":\"source%d\",", (int) rnd(sources));
            break;
        }

        if (rnd(3) == 0) {
            p += sprintf(p, "\"detail-type\":\"source%d\",%s\"detail\":{%s",
                         (int) rnd(types), rnd(2) ? "\"region\":\"1\","
                                                    "\"account\":2," : "",
                         rnd(2) ? "\"topicName\":\"x\"," : "");
            k = 1;

        } else {
            p += sprintf(p, "\"type\":\"source%d\",", (int) rnd(types));
            k = 0;
        }

        p += sprintf(p, "\"metadata\":{\"z\":0");

        while (rnd(3)) {
            p += sprintf(p, ",\"%s\":%s", keys[rnd(9)], values[rnd(12)]);
        }

        p += sprintf(p, "}%s}", k ? "}" : "");
    }

    p += sprintf(p, "]}");

    run_text(text_buf, p - text_buf);
}


int
main(void)
{
    pool = ngx_create_pool(4096, &shim_log);
    parser = ngx_eb_json_parser_create();

    if (pool == NULL || parser == NULL) {
        return 1;
    }

    ctx = ngx_eb_regex_ctx_create(pool);
    if (ctx == NULL) {
        return 1;
    }

    policies();
    conditions();
    absent();
    limits();
    long_pairs();
    many_routes();
    many_conditions();
    no_memory();
    random_data();
    verdicts();

    ngx_eb_json_parser_destroy(parser);
    ngx_destroy_pool(pool);

    ok(shim_blocks == 0, "nothing is left");

    return done_testing();
}
