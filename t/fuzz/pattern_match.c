
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Any event against any pattern, and against the naive matcher.  The first
 * line of the input is the pattern, the rest is the event.
 */

/* sources: src/route/ngx_eb_pattern_case.c src/route/ngx_eb_pattern_compile.c src/route/ngx_eb_pattern_element.c */
/* sources: src/route/ngx_eb_pattern_explain.c src/route/ngx_eb_pattern_expr.c src/route/ngx_eb_pattern_field.c */
/* sources: src/route/ngx_eb_pattern_ip.c src/route/ngx_eb_pattern_match.c src/route/ngx_eb_pattern_number.c */
/* sources: src/route/ngx_eb_pattern_text.c src/route/ngx_eb_pattern_value.c src/route/ngx_eb_regex.c */
/* sources: src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c */
/* libs: -lsimdjson -lpcre2-8 -lm */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_pattern.h"
#include "../unit/shim.h"
#include "../unit/pattern_oracle.h"


#define MAX_DEPTH  30


/* not assert(): it must also hold in builds with NDEBUG */

#define check(cond)                                                          \
    if (!(cond)) {                                                           \
        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);           \
        abort();                                                             \
    }


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(ngx_pool_t *pool, ngx_str_t *text, ngx_str_t *event);


static ngx_pool_t            *base;
static ngx_eb_regex_ctx_t    *regex;
static ngx_eb_json_parser_t  *parser, *pattern_parser;


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_str_t       text, event;
    ngx_uint_t      blocks;
    ngx_pool_t     *pool;
    const uint8_t  *line;

    if (parser == NULL) {
        parser = ngx_eb_json_parser_create();
        pattern_parser = ngx_eb_json_parser_create();
        base = ngx_create_pool(4096, &shim_log);
        regex = ngx_eb_regex_ctx_create(base);
    }

    line = memchr(data, '\n', size);

    if (line == NULL) {
        return 0;
    }

    blocks = shim_blocks;

    /* copies of their own, so that a byte beyond them is seen */

    text.len = line - data;
    text.data = malloc(text.len + 1);
    event.len = size - text.len - 1;
    event.data = malloc(event.len ? event.len : 1);
    pool = ngx_create_pool(4096, &shim_log);

    if (text.data == NULL || event.data == NULL || pool == NULL) {
        abort();
    }

    memcpy(text.data, data, text.len + 1);
    memcpy(event.data, line + 1, event.len);

    run(pool, &text, &event);

    ngx_destroy_pool(pool);
    free(text.data);
    free(event.data);

    check(shim_blocks == blocks);

    return 0;
}


static void
run(ngx_pool_t *pool, ngx_str_t *text, ngx_str_t *event)
{
    ngx_int_t                  rc, expected;
    ngx_str_t                  sentence;
    ngx_eb_json_t              json, pattern_json;
    ngx_eb_pattern_t          *pattern;
    ngx_eb_json_error_t        json_err;
    ngx_eb_pattern_set_t      *set;
    ngx_eb_pattern_miss_t      miss;
    ngx_eb_pattern_error_t     err;
    ngx_eb_pattern_scratch_t  *s;

    set = ngx_eb_pattern_set_create(pool);
    check(set != NULL);

    rc = ngx_eb_pattern_compile(set, text, &pattern, &err);
    check(rc != NGX_ERROR);

    if (rc != NGX_OK
        || ngx_eb_json_parse(parser, event->data, event->len, MAX_DEPTH, &json,
                             &json_err)
           != NGX_OK)
    {
        return;
    }

    check(ngx_eb_pattern_set_seal(set) == NGX_OK);

    s = ngx_eb_pattern_scratch_create(pool, set, regex);
    check(s != NULL);

    check(ngx_eb_pattern_collect(s, &json, 0) == NGX_OK);

    rc = ngx_eb_pattern_match(s, pattern);

    ngx_eb_pattern_explain(s, pattern, &miss);
    check((miss.reason == NGX_EB_PATTERN_MATCHES) == (rc == NGX_OK));
    check(ngx_eb_pattern_sentence(pool, &json, &miss, &sentence) == NGX_OK);

    check(ngx_eb_json_parse(pattern_parser, text->data, text->len,
                            NGX_EB_PATTERN_MAX_DEPTH, &pattern_json, &json_err)
          == NGX_OK);

    expected = oracle(pool, &pattern_json, &json, 0);

    check(expected == NGX_AGAIN || rc == NGX_ERROR || rc == expected);
}
