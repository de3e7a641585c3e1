
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The index of patterns against asking each pattern, alone and in routes.
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
#include "pattern_index.h"
#include "ngx_eb_json.h"
#include "ngx_eb_event.h"
#include "ngx_eb_regex.h"
#include "ngx_eb_pattern.h"
#include "ngx_eb_pattern_index.h"
#include "ngx_eb_pattern_lookup.h"
#include "ngx_eb_route.h"


#define MAX_RULES   200
#define MAX_EVENTS  40


typedef struct {
    ngx_pool_t                *pool;
    ngx_eb_pattern_set_t      *set;
    ngx_eb_pattern_scratch_t  *scratch;
    ngx_eb_pattern_index_t    *index;
    ngx_eb_pattern_t          *patterns[MAX_RULES];
    ngx_uint_t                 n;
} rules_t;


static void must(ngx_uint_t cond);
static void start(void);
static ngx_uint_t add(const char *text, size_t len);
static void ready(void);
static void stop(void);
static ngx_uint_t collect(const char *text, size_t len);
static ngx_uint_t found(const char *event, ngx_uint_t rule);
static void random_rules(ngx_uint_t rounds);
static void random_routes(ngx_uint_t rounds);
static ngx_uint_t naive(ngx_eb_router_t *router, ngx_eb_event_t *event,
    ngx_uint_t *routes);
static void selective(void);
static void texts(void);
static void ranges(void);
static void sets(void);
static void no_memory(void);


static rules_t                rules;
static gen_t                  text;
static ngx_eb_json_t          json;
static ngx_eb_batch_t         batch;
static ngx_eb_regex_ctx_t    *ctx;
static ngx_eb_json_parser_t  *parser;
static uint64_t               seed = 88172645463325252u;


static ngx_uint_t
rnd(ngx_uint_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return (ngx_uint_t) (seed >> 11) % n;
}


static void
must(ngx_uint_t cond)
{
    if (!cond) {
        printf("Bail out! a test cannot be prepared\n");
        exit(1);
    }
}


static void
start(void)
{
    ngx_memzero(&rules, sizeof(rules_t));

    rules.pool = ngx_create_pool(4096, &shim_log);
    must(rules.pool != NULL);

    rules.set = ngx_eb_pattern_set_create(rules.pool);
    must(rules.set != NULL);
}


/* 0: it is no pattern */

static ngx_uint_t
add(const char *data, size_t len)
{
    ngx_str_t               copy;
    ngx_eb_pattern_error_t  err;

    copy.len = len;
    copy.data = ngx_pnalloc(rules.pool, len);
    must(copy.data != NULL);
    ngx_memcpy(copy.data, data, len);

    if (ngx_eb_pattern_compile(rules.set, &copy, &rules.patterns[rules.n],
                               &err)
        != NGX_OK)
    {
        rules.patterns[rules.n] = NULL;
        return 0;
    }

    rules.n++;

    return 1;
}


static void
ready(void)
{
    must(ngx_eb_pattern_set_seal(rules.set) == NGX_OK);

    rules.scratch = ngx_eb_pattern_scratch_create(rules.pool, rules.set, ctx);
    rules.index = ngx_eb_pattern_index_create(rules.pool, rules.set,
                                              rules.patterns, rules.n);
    must(rules.scratch != NULL && rules.index != NULL);
}


static void
stop(void)
{
    ngx_destroy_pool(rules.pool);
}


static ngx_uint_t
collect(const char *data, size_t len)
{
    ngx_eb_json_error_t  err;

    return ngx_eb_json_parse(parser, (u_char *) data, len, 64, &json, &err)
           == NGX_OK
           && ngx_eb_pattern_collect(rules.scratch, &json, 0) == NGX_OK;
}


static ngx_uint_t
found(const char *event, ngx_uint_t rule)
{
    uint64_t  *bits;

    must(collect(event, strlen(event)));

    bits = ngx_eb_pattern_index_find(rules.index, rules.scratch);
    must(bits != NULL);

    return bits[rule / 64] >> (rule % 64) & 1;
}


/* what matches is found; most of what does not is not */

static void
random_rules(ngx_uint_t rounds)
{
    uint64_t    *bits;
    ngx_int_t    rc;
    ngx_uint_t   bit, i, k, lost, n, pairs, matched, nfound;

    pairs = 0;
    matched = 0;
    nfound = 0;
    lost = 0;

    while (rounds--) {
        start();
        n = 3 + rnd(MAX_RULES - 3);

        while (rules.n < n) {

            /* a rule without a pattern is none of the index */

            if (rnd(20) == 0) {
                rules.patterns[rules.n++] = NULL;
                continue;
            }

            gen_pattern(&text);
            (void) add(text.data, text.len);
        }

        ready();

        for (i = 0; i < MAX_EVENTS; i++) {
            gen_event(&text);

            if (!collect(text.data, text.len)) {
                continue;
            }

            bits = ngx_eb_pattern_index_find(rules.index, rules.scratch);
            must(bits != NULL);

            for (k = 0; k < rules.n; k++) {
                bit = bits[k / 64] >> (k % 64) & 1;

                if (rules.patterns[k] == NULL) {
                    lost += bit;
                    continue;
                }

                rc = ngx_eb_pattern_match(rules.scratch, rules.patterns[k]);

                pairs++;
                nfound += bit;
                matched += (rc == NGX_OK);

                if (rc == NGX_OK && !bit && lost++ < 5) {
                    diag("%.*s",
                         (int) ngx_eb_pattern_text(rules.patterns[k])->len,
                         ngx_eb_pattern_text(rules.patterns[k])->data);
                    diag("lost for %.*s", (int) text.len, text.data);
                }
            }
        }

        stop();
    }

    diag("%d pairs, %d found, %d match", (int) pairs, (int) nfound,
         (int) matched);

    is_int(lost, 0, "random: none is lost");
    ok(pairs >= 100000, "random: enough pairs");
    ok(matched > pairs / 100, "random: enough of them match");
    ok(nfound < pairs / 4, "random: most are not asked");
}


/* the rules of ngx_eb_route.h, for events of routes with patterns */

static ngx_uint_t
naive(ngx_eb_router_t *router, ngx_eb_event_t *event, ngx_uint_t *routes)
{
    uint64_t         seen;
    ngx_str_t        empty;
    ngx_uint_t       i, n;
    ngx_eb_route_t  *route;

    n = 0;
    seen = 0;
    ngx_str_set(&empty, "");
    route = router->routes.elts;

    must(ngx_eb_pattern_collect(rules.scratch, &json, event->root) == NGX_OK);

    for (i = 0; i < router->routes.nelts; i++) {

        if (seen & (uint64_t) 1 << route[i].destination) {
            continue;
        }

        if (route[i].source
            && ngx_eb_regex_match(ctx, route[i].source,
                                  event->source.data ? &event->source
                                                     : &empty)
               != NGX_OK)
        {
            continue;
        }

        if (route[i].pattern
            && ngx_eb_pattern_match(rules.scratch, route[i].pattern)
               != NGX_OK)
        {
            continue;
        }

        seen |= (uint64_t) 1 << route[i].destination;
        routes[n++] = i;

        if (!router->all) {
            break;
        }
    }

    return n;
}


static void
random_routes(ngx_uint_t rounds)
{
    size_t                   offset;
    ngx_str_t                err, source = ngx_string("^a");
    ngx_uint_t               bad, errors, hits, i, k, n, r, want;
    ngx_uint_t               routes[64];
    ngx_array_t              got;
    ngx_eb_regex_t          *re;
    ngx_eb_route_t          *route;
    ngx_eb_router_t          router;
    ngx_eb_route_hit_t      *hit;
    ngx_eb_json_error_t      jerr;
    ngx_eb_route_memo_t     *memo;
    ngx_eb_route_verdict_t   verdict;

    bad = 0;
    hits = 0;

    while (rounds--) {
        start();
        ngx_memzero(&router, sizeof(ngx_eb_router_t));

        n = 1 + rnd(rnd(2) ? 6 : MAX_RULES - 1);

        re = ngx_eb_regex_compile(rules.pool, &source, &err, &offset);
        must(re != NULL
             && ngx_array_init(&router.routes, rules.pool, n,
                               sizeof(ngx_eb_route_t)) == NGX_OK
             && ngx_array_init(&got, rules.pool, 16,
                               sizeof(ngx_eb_route_hit_t)) == NGX_OK);

        while (rules.n < n) {
            gen_pattern(&text);

            if (!add(text.data, text.len)) {
                continue;
            }

            route = ngx_array_push(&router.routes);
            must(route != NULL);
            ngx_memzero(route, sizeof(ngx_eb_route_t));

            route->destination = rnd(64);
            route->source = rnd(8) ? NULL : re;
            route->pattern = rnd(12) ? rules.patterns[rules.n - 1] : NULL;
        }

        ready();

        router.all = rnd(2);
        router.patterns = rules.set;

        memo = ngx_eb_route_memo_create(rules.pool, &router, ctx);
        must(memo != NULL);

        /* an event that is longer than its buffer makes no batch */

        for (i = 0; i < MAX_EVENTS; i++) {
            gen_event(&text);

            if (ngx_eb_json_parse(parser, (u_char *) text.data, text.len, 64,
                                  &json, &jerr)
                != NGX_OK
                || ngx_eb_batch_whole(&json, rules.pool, &batch) != NGX_OK)
            {
                continue;
            }

            if (rnd(2)) {
                ngx_str_set(&batch.events[0].source, "abc");
            }

            got.nelts = 0;

            must(ngx_eb_route_batch(&router, memo, ctx, &json, &batch, &got,
                                    &errors)
                 == NGX_OK);

            want = naive(&router, &batch.events[0], routes);
            hit = got.elts;
            r = (want != got.nelts);

            for (k = 0; k < want && !r; k++) {
                r = (hit[k].route != routes[k]);
                hits++;
            }

            bad += r;

            /* and each of them says why, or that it takes the event */

            for (k = 0; k < want; k++) {
                route = (ngx_eb_route_t *) router.routes.elts + routes[k];
                ngx_eb_route_explain(route, memo, ctx, &json,
                                     &batch.events[0], &verdict);
                bad += (verdict.failed != NGX_EB_ROUTE_MATCHES);
            }
        }

        stop();
    }

    is_int(bad, 0, "routes: as without an index");
    ok(hits > 1000, "routes: enough hits");
}


/* what is filed how: neighbors are not found */

static void
selective(void)
{
    ngx_uint_t   i;
    const char  *missing = "{\"a\":[{\"exists\":false}]}";

    /* a pattern, an event that it is asked for, and one that it is not */

    static const char  *cases[][3] = {
        { "{\"a\":[\"x\"]}", "{\"a\":\"x\"}", "{\"a\":\"y\"}" },
        { "{\"a\":[\"x\"]}", "{\"a\":[\"y\",\"x\"]}", "{\"b\":\"x\"}" },
        { "{\"a\":[300]}", "{\"a\":3e2}", "{\"a\":301}" },
        { "{\"a\":[0]}", "{\"a\":-0}", "{\"a\":1}" },
        { "{\"a\":[null]}", "{\"a\":null}", "{\"a\":true}" },
        { "{\"a\":[{\"prefix\":\"ab\"}]}", "{\"a\":\"abc\"}",
          "{\"a\":\"aab\"}" },
        { "{\"a\":[{\"prefix\":\"\"}]}", "{\"a\":\"\"}", "{\"a\":1}" },
        { "{\"a\":[{\"suffix\":\"ab\"}]}", "{\"a\":\"xab\"}",
          "{\"a\":\"abx\"}" },
        { "{\"a\":[{\"prefix\":{\"equals-ignore-case\":\"aB\"}}]}",
          "{\"a\":\"AbX\"}", "{\"a\":\"bAX\"}" },
        { "{\"a\":[{\"suffix\":{\"equals-ignore-case\":\"aB\"}}]}",
          "{\"a\":\"xAb\"}", "{\"a\":\"xbA\"}" },
        { "{\"a\":[{\"equals-ignore-case\":\"aB\"}]}", "{\"a\":\"Ab\"}",
          "{\"a\":\"Abc\"}" },
        { "{\"a\":[{\"wildcard\":\"ab*\"}]}", "{\"a\":\"abc\"}",
          "{\"a\":\"bc\"}" },
        { "{\"a\":[{\"wildcard\":\"*ab\"}]}", "{\"a\":\"cab\"}",
          "{\"a\":\"abc\"}" },
        { "{\"a\":[{\"wildcard\":\"*abcd*\"}]}", "{\"a\":\"xabcdx\"}",
          "{\"a\":\"xabdcx\"}" },
        { "{\"a\":[{\"numeric\":[\">\",1,\"<\",3]}]}", "{\"a\":2}",
          "{\"a\":4}" },
        { "{\"a\":[{\"numeric\":[\">=\",1]}]}", "{\"a\":1e300}",
          "{\"a\":-1}" },
        { "{\"a\":[{\"cidr\":\"10.0.0.0/24\"}]}", "{\"a\":\"10.0.0.9\"}",
          "{\"a\":\"10.0.1.9\"}" },
        { "{\"a\":[\"::1\"]}", "{\"a\":\"0:0:0:0:0:0:0:1\"}",
          "{\"a\":\"::2\"}" },
        { "{\"a\":[{\"anything-but\":[\"x\",\"y\"]}]}", "{\"a\":\"z\"}",
          "{\"a\":\"y\"}" },
        { "{\"a\":[{\"anything-but\":[1,2]}]}", "{\"a\":\"1\"}",
          "{\"a\":1.0}" },
        { "{\"a\":[{\"anything-but\":\"x\"}]}", "{\"a\":[\"x\",null]}",
          "{\"a\":\"x\"}" },
        { "{\"a\":[{\"exists\":true}]}", "{\"a\":\"\"}", "{\"b\":\"\"}" },
        { "{\"a\":[{\"regex\":\"^x\"}]}", "{\"a\":\"y\"}", "{\"b\":\"x\"}" },
        { "{\"a\":[{\"exists\":true}],\"b\":[\"x\"]}",
          "{\"b\":\"x\"}", "{\"a\":1,\"b\":\"y\"}" },
        { "{\"$or\":[{\"a\":[\"x\"]},{\"b\":[\"y\"]}]}", "{\"b\":\"y\"}",
          "{\"b\":\"x\"}" }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        start();
        must(add(cases[i][0], strlen(cases[i][0])));
        ready();

        ok(found(cases[i][1], 0), "%s: found for %s", cases[i][0],
           cases[i][1]);
        ok(!found(cases[i][2], 0), "%s: not found for %s", cases[i][0],
           cases[i][2]);

        stop();
    }

    start();
    must(add(missing, strlen(missing)));
    ready();
    ok(found("{}", 0), "exists:false: found without a value");
    stop();
}


/* beginnings, against looking at each of them */

static void
texts(void)
{
    size_t                  len;
    u_char                  buf[64 * 16], value[24];
    ngx_str_t               entry[64], v;
    ngx_uint_t              bad, common, i, k, n, round;
    ngx_pool_t             *pool;
    ngx_eb_lookup_text_t   *best, *got;
    ngx_eb_lookup_texts_t   t;

    bad = 0;

    for (round = 0; round < 400; round++) {
        pool = ngx_create_pool(4096, &shim_log);
        must(pool != NULL);

        ngx_memzero(&t, sizeof(ngx_eb_lookup_texts_t));
        n = 1 + rnd(64);
        common = rnd(3) ? 0 : rnd(12);

        for (i = 0; i < n; i++) {
            entry[i].data = buf + i * 16;
            entry[i].len = ngx_max(common, rnd(16));

            for (k = 0; k < entry[i].len; k++) {
                entry[i].data[k] = (k < common) ? 'x'
                                                : (u_char) (rnd(3) * 127);
            }

            got = ngx_eb_lookup_text_add(pool, &t, &entry[i]);
            must(got != NULL
                 && ngx_eb_lookup_set_add(pool, &got->set, i) == NGX_OK);
        }

        must(ngx_eb_lookup_texts_ready(pool, &t, 1, 1) == NGX_OK);

        for (i = 0; i < 100; i++) {
            len = rnd(24);

            for (k = 0; k < len; k++) {
                value[k] = (k < common) ? 'x' : (u_char) (rnd(3) * 127);
            }

            v.data = value;
            v.len = len;
            best = NULL;

            for (k = 0; k < t.n; k++) {
                if (t.texts[k].text.len <= len
                    && memcmp(t.texts[k].text.data, value,
                              t.texts[k].text.len) == 0
                    && (best == NULL
                        || t.texts[k].text.len > best->text.len))
                {
                    best = &t.texts[k];
                }
            }

            bad += (ngx_eb_lookup_text_begin(&t, &v) != best);

            got = ngx_eb_lookup_text_find(&t, &v);
            bad += (got != (best && best->text.len == len ? best : NULL));
        }

        for (i = 0; i < n; i++) {
            got = ngx_eb_lookup_text_find(&t, &entry[i]);
            bad += (got == NULL);
        }

        ngx_destroy_pool(pool);
    }

    is_int(bad, 0, "texts: as looking at each of them");
}


static void
ranges(void)
{
    double                   low[64], high[64], value;
    uint64_t                 bits, want;
    ngx_uint_t               bad, i, k, n, round;
    ngx_pool_t              *pool;
    ngx_eb_lookup_set_t     *set;
    ngx_eb_lookup_ranges_t   r;

    bad = 0;

    for (round = 0; round < 400; round++) {
        pool = ngx_create_pool(4096, &shim_log);
        must(pool != NULL);

        ngx_memzero(&r, sizeof(ngx_eb_lookup_ranges_t));
        n = rnd(64);

        for (i = 0; i < n; i++) {
            low[i] = rnd(50);
            high[i] = rnd(8) ? low[i] + rnd(10) : (double) 1e308 * 10;

            set = ngx_eb_lookup_range_add(pool, &r, low[i], high[i]);
            must(set != NULL
                 && ngx_eb_lookup_set_add(pool, set, i) == NGX_OK);
        }

        must(ngx_eb_lookup_ranges_ready(pool, &r, 1) == NGX_OK);

        for (k = 0; k < 64; k++) {
            value = k - 1;
            bits = 0;
            want = 0;

            for (i = 0; i < n; i++) {
                if (low[i] <= value && value <= high[i]) {
                    want |= (uint64_t) 1 << i;
                }
            }

            ngx_eb_lookup_ranges_find(&r, value, &bits, 1);
            bad += (bits != want);
        }

        ngx_destroy_pool(pool);
    }

    is_int(bad, 0, "ranges: as looking at each of them");
}


/* lists and bits say the same */

static void
sets(void)
{
    uint64_t              bits[8], same[8];
    ngx_uint_t            i, n, bad;
    ngx_pool_t           *pool;
    ngx_eb_lookup_set_t   list, dense;

    bad = 0;

    for (n = 0; n < 60; n++) {
        pool = ngx_create_pool(4096, &shim_log);
        must(pool != NULL);

        ngx_memzero(&list, sizeof(ngx_eb_lookup_set_t));
        ngx_memzero(&dense, sizeof(ngx_eb_lookup_set_t));

        for (i = 0; i < n; i++) {
            must(ngx_eb_lookup_set_add(pool, &list, i * 7) == NGX_OK);
            must(ngx_eb_lookup_set_add(pool, &dense, i * 7) == NGX_OK);
            must(ngx_eb_lookup_set_add(pool, &dense, i * 7) == NGX_OK);
        }

        bad += (dense.n != n);

        must(ngx_eb_lookup_set_ready(pool, &list, 512) == NGX_OK
             && ngx_eb_lookup_set_ready(pool, &dense, 8) == NGX_OK);

        bad += (list.list == NULL || (dense.bits != NULL) != (n > 8));

        ngx_memzero(bits, sizeof(bits));
        ngx_memzero(same, sizeof(same));

        ngx_eb_lookup_set_join(&list, bits, 8);
        ngx_eb_lookup_set_join(&dense, same, 8);
        bad += (memcmp(bits, same, sizeof(bits)) != 0);

        memset(bits, 0xff, sizeof(bits));
        memset(same, 0xff, sizeof(same));

        ngx_eb_lookup_set_leave(&list, bits, 8);
        ngx_eb_lookup_set_leave(&dense, same, 8);
        bad += (memcmp(bits, same, sizeof(bits)) != 0);

        ngx_destroy_pool(pool);
    }

    is_int(bad, 0, "sets: lists and bits");
}


static void
no_memory(void)
{
    ngx_int_t                i;
    ngx_uint_t               before, k;
    ngx_eb_pattern_index_t  *index;

    static const char  *patterns[] = {
        "{\"a\":[{\"wildcard\":\"*abcd*\"},\"x\",1],\"b\":[2]}",
        "{\"b\":[{\"numeric\":[\">\",1]}],\"c\":[{\"suffix\":\"b\"}]}",
        "{\"a\":[{\"anything-but\":\"x\"}]}",
        "{\"c\":[{\"suffix\":\"b\"}]}",
        "{\"b\":[{\"numeric\":[\">\",1]}]}",
        "{\"a\":[{\"wildcard\":\"*abcd*\"}]}"
    };

    before = shim_blocks;
    start();

    for (k = 0; k < sizeof(patterns) / sizeof(patterns[0]); k++) {
        must(add(patterns[k], strlen(patterns[k])));
    }

    ready();

    index = NULL;

    for (i = 0; index == NULL && i < 1000; i++) {
        shim_allocs = i;
        index = ngx_eb_pattern_index_create(rules.pool, rules.set,
                                            rules.patterns, rules.n);
    }

    shim_allocs = -1;

    ok(index != NULL && i > 20, "no memory: said each time");

    stop();
    is_int(shim_blocks, before, "no memory: nothing is left");
}


int
main(void)
{
    ngx_pool_t  *pool;

    texts();
    ranges();
    sets();
    no_memory();

    pool = ngx_create_pool(4096, &shim_log);
    must(pool != NULL);

    ctx = ngx_eb_regex_ctx_create(pool);
    parser = ngx_eb_json_parser_create();
    must(ctx != NULL && parser != NULL);

    selective();
    random_rules(60);
    random_routes(60);

    ngx_eb_json_parser_destroy(parser);
    ngx_destroy_pool(pool);

    return done_testing();
}
