
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Any text as an event pattern: it is compiled, or declined with a reason and
 * a place in the text, and what it says of itself holds together.
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


/* not assert(): it must also hold in builds with NDEBUG */

#define check(cond)                                                          \
    if (!(cond)) {                                                           \
        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);           \
        abort();                                                             \
    }


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void conditions(ngx_eb_pattern_set_t *set, ngx_eb_pattern_t *pattern);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_int_t                rc;
    ngx_str_t                text;
    ngx_pool_t              *pool;
    ngx_eb_pattern_t        *pattern, *again;
    ngx_eb_pattern_set_t    *set;
    ngx_eb_pattern_error_t   err;

    pool = ngx_create_pool(4096, &shim_log);
    set = ngx_eb_pattern_set_create(pool);

    /* a copy of its own, so that a byte beyond it is seen */

    text.len = size;
    text.data = malloc(size ? size : 1);

    if (pool == NULL || set == NULL || text.data == NULL) {
        abort();
    }

    memcpy(text.data, data, size);

    rc = ngx_eb_pattern_compile(set, &text, &pattern, &err);

    check(rc == NGX_OK || rc == NGX_DECLINED);

    if (rc == NGX_OK) {
        check(ngx_eb_pattern_compile(set, &text, &again, &err) == NGX_OK);
        check(ngx_eb_pattern_variants(again)
              == ngx_eb_pattern_variants(pattern));
        check(ngx_eb_pattern_set_seal(set) == NGX_OK);

        conditions(set, pattern);

    } else {
        check(err.message.len != 0 && err.offset <= size);
    }

    ngx_destroy_pool(pool);
    free(text.data);

    check(shim_blocks == 0);

    return 0;
}


static void
conditions(ngx_eb_pattern_set_t *set, ngx_eb_pattern_t *pattern)
{
    ngx_uint_t                  v, i, n;
    ngx_eb_pattern_condition_t  c;

    n = ngx_eb_pattern_variants(pattern);

    check(n >= 1 && n <= NGX_EB_PATTERN_MAX_VARIANTS);

    for (v = 0; v < n; v++) {
        check(ngx_eb_pattern_conditions(pattern, v) >= 1);
        check(ngx_eb_pattern_conditions(pattern, v)
              <= NGX_EB_PATTERN_MAX_FIELDS);

        for (i = 0; i < ngx_eb_pattern_conditions(pattern, v); i++) {
            ngx_eb_pattern_condition(pattern, v, i, &c);

            check(c.field < ngx_eb_pattern_set_fields(set));
            check(c.values == NULL || (c.nvalues && c.keys && !c.absent));
        }
    }
}
