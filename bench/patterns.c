
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * How fast events are matched by patterns, with a few rules and with many:
 *
 *     patterns DIR CLASS...
 *
 * DIR is what bench/patterns.pl made.  What is timed is routing; events are
 * parsed and split before, a batch of 100 at a time, and that is timed by
 * itself.
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
#include <time.h>
#include "shim.h"
#include "ngx_eb_json.h"
#include "ngx_eb_event.h"
#include "ngx_eb_regex.h"
#include "ngx_eb_pattern.h"
#include "ngx_eb_route.h"


#define FEW           5
#define MANY          1000
#define DESTINATIONS  5
#define MAX_EVENTS    1000
#define MAX_DEPTH     64


/* the same patterns, the first of them or all */

typedef struct {
    ngx_pool_t               *pool;
    ngx_eb_router_t           router;
    ngx_eb_route_memo_t      *memo;
    ngx_array_t               hits;
    uint64_t                  time;         /* ns, CPU */
    uint64_t                  matched;
} side_t;


static void fail(const char *what, const char *which)
    __attribute__((noreturn));
static void *checked(void *p);
static void setup(side_t *side, const char *dir, const char *class,
    ngx_uint_t n);
static void route(side_t *side);
static void class_run(const char *dir, const char *class);
static uint64_t cpu(void);


static ngx_eb_json_t          json;
static ngx_eb_batch_t         batch;
static ngx_eb_regex_ctx_t    *ctx;
static ngx_eb_json_parser_t  *parser;


static void
fail(const char *what, const char *which)
{
    fprintf(stderr, "patterns: %s: %s\n", what, which);
    exit(1);
}


static void *
checked(void *p)
{
    if (p == NULL) {
        fail("no memory", "malloc");
    }

    return p;
}


static void
setup(side_t *side, const char *dir, const char *class, ngx_uint_t n)
{
    FILE                    *file;
    char                     name[4096], line[65536];
    ngx_str_t                text;
    ngx_uint_t               i;
    ngx_eb_route_t          *r;
    ngx_eb_pattern_error_t   err;

    snprintf(name, sizeof(name), "%s/%s.jsonl", dir, class);

    file = fopen(name, "r");
    if (file == NULL) {
        fail("cannot open", name);
    }

    ngx_memzero(side, sizeof(side_t));

    side->pool = checked(ngx_create_pool(16384, &shim_log));
    side->router.all = 1;
    side->router.patterns = checked(ngx_eb_pattern_set_create(side->pool));

    if (ngx_array_init(&side->router.routes, side->pool, n,
                       sizeof(ngx_eb_route_t)) != NGX_OK
        || ngx_array_init(&side->hits, side->pool, MAX_EVENTS * DESTINATIONS,
                          sizeof(ngx_eb_route_hit_t)) != NGX_OK)
    {
        fail("no memory", name);
    }

    for (i = 0; i < n; i++) {

        if (fgets(line, sizeof(line), file) == NULL) {
            fail("too few patterns", name);
        }

        text.len = strlen(line);
        text.data = checked(ngx_pnalloc(side->pool, text.len));
        ngx_memcpy(text.data, line, text.len);

        r = checked(ngx_array_push(&side->router.routes));
        ngx_memzero(r, sizeof(ngx_eb_route_t));

        r->destination = i % DESTINATIONS;

        if (ngx_eb_pattern_compile(side->router.patterns, &text, &r->pattern,
                                   &err)
            != NGX_OK)
        {
            fail("no pattern", line);
        }
    }

    fclose(file);

    if (ngx_eb_pattern_set_seal(side->router.patterns) != NGX_OK) {
        fail("no memory", name);
    }

    side->memo = checked(ngx_eb_route_memo_create(side->pool, &side->router,
                                                  ctx));
}


static void
route(side_t *side)
{
    uint64_t    start;
    ngx_uint_t  errors;

    side->hits.nelts = 0;
    start = cpu();

    if (ngx_eb_route_batch(&side->router, side->memo, ctx, &json, &batch,
                           &side->hits, &errors)
        != NGX_OK || errors)
    {
        fail("cannot route", "a batch");
    }

    side->time += cpu() - start;
    side->matched += side->hits.nelts;
}


/* one side after the other for each batch, so that both see the same machine */

static void
class_run(const char *dir, const char *class)
{
    FILE                *file;
    char                 name[4096], *line;
    size_t               size;
    side_t               few, many;
    ssize_t              len;
    uint64_t             events, start, time;
    ngx_pool_t          *pool;
    ngx_eb_json_error_t  err;

    setup(&few, dir, class, FEW);
    setup(&many, dir, class, MANY);

    snprintf(name, sizeof(name), "%s/events.jsonl", dir);

    file = fopen(name, "r");
    if (file == NULL) {
        fail("cannot open", name);
    }

    line = NULL;
    size = 0;
    events = 0;
    time = 0;

    for ( ;; ) {
        len = getline(&line, &size, file);
        if (len <= 0) {
            break;
        }

        pool = checked(ngx_create_pool(16384, &shim_log));
        start = cpu();

        if (ngx_eb_json_parse(parser, (u_char *) line, (size_t) len,
                              MAX_DEPTH, &json, &err)
            != NGX_OK
            || ngx_eb_batch_split(&json, pool, MAX_EVENTS, &batch) != NGX_OK)
        {
            fail("no batch", name);
        }

        time += cpu() - start;

        route(&few);
        route(&many);

        events += batch.nevents;
        ngx_destroy_pool(pool);
    }

    free(line);
    fclose(file);

    if (events == 0 || few.matched == 0 || few.matched != many.matched) {
        fail("more rules match other events", class);
    }

    printf("%-20s %9.0f %9.0f %8.0f %8.0f %7.2f %7.2f %7.0f\n", class,
           events * 1e9 / few.time, events * 1e9 / many.time,
           (double) few.time / events, (double) many.time / events,
           (double) many.time / few.time, (double) few.matched / events,
           (double) time / events);
    fflush(stdout);

    ngx_destroy_pool(few.pool);
    ngx_destroy_pool(many.pool);
}


static uint64_t
cpu(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}


int
main(int argc, char **argv)
{
    int          i;
    ngx_pool_t  *pool;

    if (argc < 3) {
        fprintf(stderr, "usage: %s DIR CLASS...\n", argv[0]);
        return 2;
    }

    pool = checked(ngx_create_pool(4096, &shim_log));
    ctx = checked(ngx_eb_regex_ctx_create(pool));
    parser = checked(ngx_eb_json_parser_create());

    printf("%-20s %9s %9s %8s %8s %7s %7s %7s\n", "", "events/s", "",
           "ns/event", "", "", "matches", "parsing");
    printf("%-20s %9d %9d %8d %8d %7s %7s %7s\n", "rules", FEW, MANY, FEW, MANY,
           "ratio", "/event", "ns");

    for (i = 2; i < argc; i++) {
        class_run(argv[1], argv[i]);
    }

    ngx_eb_json_parser_destroy(parser);
    ngx_destroy_pool(pool);

    return 0;
}
