
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Patterns and events that the bytes choose the parts of, or that the bytes
 * are: what matches is found by the index.
 */

/* sources: src/route/ngx_eb_pattern_index.c src/route/ngx_eb_pattern_lookup.c src/route/ngx_eb_pattern_terms.c */
/* sources: src/route/ngx_eb_pattern_case.c src/route/ngx_eb_pattern_compile.c src/route/ngx_eb_pattern_element.c */
/* sources: src/route/ngx_eb_pattern_explain.c src/route/ngx_eb_pattern_expr.c src/route/ngx_eb_pattern_field.c */
/* sources: src/route/ngx_eb_pattern_ip.c src/route/ngx_eb_pattern_match.c src/route/ngx_eb_pattern_number.c */
/* sources: src/route/ngx_eb_pattern_text.c src/route/ngx_eb_pattern_value.c */
/* sources: src/route/ngx_eb_regex.c src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c */
/* libs: -lsimdjson -lpcre2-8 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "pattern_index.h"
#include "ngx_eb_json.h"
#include "ngx_eb_regex.h"
#include "ngx_eb_pattern.h"
#include "ngx_eb_pattern_index.h"


#define MAX_RULES   8
#define MAX_EVENTS  4
#define MAX_DEPTH   32

#define check(cond)                                                          \
    if (!(cond)) {                                                           \
        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);           \
        abort();                                                             \
    }


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(gen_t *g);
static void event_check(void);


static gen_t                      text;
static const uint8_t             *input, *input_end;
static ngx_pool_t                *ctx_pool;
static ngx_eb_pattern_t          *patterns[MAX_RULES];
static ngx_uint_t                 npatterns;
static ngx_eb_regex_ctx_t        *ctx;
static ngx_eb_json_parser_t      *parser;
static ngx_eb_pattern_index_t    *pattern_index;
static ngx_eb_pattern_scratch_t  *scratch;


static ngx_uint_t
rnd(ngx_uint_t n)
{
    return (input < input_end) ? *input++ % n : 0;
}


/* the bytes themselves up to the next newline */

static void
take(gen_t *g)
{
    for (g->len = 0; input < input_end && *input != '\n'; input++) {
        if (g->len < GEN_SIZE) {
            g->data[g->len++] = (char) *input;
        }
    }

    input += (input < input_end);
}


static void
event_check(void)
{
    uint64_t             *bits;
    ngx_uint_t            i;
    ngx_eb_json_t         json;
    ngx_eb_json_error_t   err;

    if (ngx_eb_json_parse(parser, (u_char *) text.data, text.len, MAX_DEPTH,
                          &json, &err)
        != NGX_OK)
    {
        return;
    }

    check(ngx_eb_pattern_collect(scratch, &json, 0) == NGX_OK);

    bits = ngx_eb_pattern_index_find(pattern_index, scratch);
    check(bits != NULL);

    for (i = 0; i < npatterns; i++) {
        if (ngx_eb_pattern_match(scratch, patterns[i]) == NGX_OK) {
            check(bits[i / 64] >> (i % 64) & 1);
        }
    }
}


/* the first byte: how many rules, and whether texts are given or made */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_str_t                copy;
    ngx_uint_t               first, i, n, raw;
    ngx_pool_t              *pool;
    ngx_eb_pattern_set_t    *set;
    ngx_eb_pattern_error_t   err;

    if (size < 2) {
        return 0;
    }

    if (parser == NULL) {
        ctx_pool = ngx_create_pool(4096, &shim_log);
        check(ctx_pool != NULL);

        parser = ngx_eb_json_parser_create();
        ctx = ngx_eb_regex_ctx_create(ctx_pool);
        check(parser != NULL && ctx != NULL);
    }

    input = data;
    input_end = data + size;

    first = *input++;
    n = 1 + first % MAX_RULES;
    raw = first >> 7;
    npatterns = 0;

    pool = ngx_create_pool(4096, &shim_log);
    check(pool != NULL);

    set = ngx_eb_pattern_set_create(pool);
    check(set != NULL);

    for (i = 0; i < n; i++) {

        if (raw) {
            take(&text);

        } else {
            gen_pattern(&text);
        }

        copy.len = text.len;
        copy.data = ngx_pnalloc(pool, text.len + 1);
        check(copy.data != NULL);
        ngx_memcpy(copy.data, text.data, text.len);

        if (ngx_eb_pattern_compile(set, &copy, &patterns[npatterns], &err)
            == NGX_OK)
        {
            npatterns++;
        }
    }

    check(ngx_eb_pattern_set_seal(set) == NGX_OK);

    scratch = ngx_eb_pattern_scratch_create(pool, set, ctx);
    pattern_index = ngx_eb_pattern_index_create(pool, set, patterns,
                                                npatterns);
    check(scratch != NULL && pattern_index != NULL);

    for (i = 0; i < MAX_EVENTS; i++) {

        if (raw) {
            take(&text);

        } else {
            gen_event(&text);
        }

        event_check();
    }

    ngx_destroy_pool(pool);

    return 0;
}
