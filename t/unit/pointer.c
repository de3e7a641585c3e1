
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * JSON pointers: which are any, and where they lead.
 */

/* sources: src/wire/ngx_eb_json_pointer.c src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c */
/* libs: -lsimdjson */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_json.h"


static void leads(const char *pointer, const char *expected);
static void malformed(const char *pointer);
static void no_memory(void);


static ngx_pool_t            *pool;
static ngx_eb_json_t          json;
static ngx_eb_json_parser_t  *parser;


/* the members of the text of RFC 6901, section 5, and some of our own */

static u_char  text[] =
    "{\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"c%d\":2,\"e^f\":3,"
    "\"g|h\":4,\"i\\\\j\":5,\"k\\\"l\":6,\" \":7,\"m~n\":8,"
    "\"o\":{\"p\":{\"q\":[[],[{\"r\":true}]]}},\"twice\":1,\"twice\":2,"
    "\"\\u0065sc\":\"ape\",\"~1\":9,\"0\":10,\"n\":null,\"s\":\"t\"}";


static void
leads(const char *pointer, const char *expected)
{
    ngx_int_t           rc;
    ngx_str_t           s, raw;
    ngx_array_t         tokens;
    ngx_eb_json_node_t  node;

    s.data = (u_char *) pointer;
    s.len = strlen(pointer);

    rc = ngx_eb_json_pointer_parse(pool, &s, &tokens);

    if (rc != NGX_OK) {
        ok(0, "\"%s\" is a pointer", pointer);
        return;
    }

    node = ngx_eb_json_pointer(&json, 0, &tokens);

    if (expected == NULL) {
        ok(node == NGX_EB_JSON_NONE, "\"%s\" leads nowhere", pointer);
        return;
    }

    if (node == NGX_EB_JSON_NONE) {
        ok(0, "\"%s\" leads somewhere", pointer);
        return;
    }

    ngx_eb_json_raw(&json, node, &raw);

    ok(raw.len == strlen(expected)
       && memcmp(raw.data, expected, raw.len) == 0,
       "\"%s\" leads to %s", pointer, expected);
}


static void
malformed(const char *pointer)
{
    ngx_str_t    s;
    ngx_array_t  tokens;

    s.data = (u_char *) pointer;
    s.len = strlen(pointer);

    ok(ngx_eb_json_pointer_parse(pool, &s, &tokens) == NGX_DECLINED,
       "\"%s\" is malformed", pointer);
}


static void
no_memory(void)
{
    ngx_int_t    rc;
    ngx_str_t    s;
    ngx_uint_t   i;
    ngx_array_t  tokens;

    ngx_str_set(&s, "/a/b/c/d/e/f");

    for (i = 1, rc = NGX_ERROR; i < 20 && rc == NGX_ERROR; i++) {
        shim_allocs = (ngx_int_t) i;
        rc = ngx_eb_json_pointer_parse(pool, &s, &tokens);
    }

    shim_allocs = -1;

    ok(rc == NGX_OK && i > 7 && tokens.nelts == 6, "no memory");
}


int
main(void)
{
    ngx_eb_json_error_t  err;

    pool = ngx_create_pool(4096, NULL);
    parser = ngx_eb_json_parser_create();

    if (pool == NULL || parser == NULL) {
        return 1;
    }

    ok(ngx_eb_json_parse(parser, text, sizeof(text) - 1, 64, &json, &err)
       == NGX_OK, "the text");

    leads("", (char *) text);
    leads("/foo", "[\"bar\",\"baz\"]");
    leads("/foo/0", "\"bar\"");
    leads("/foo/1", "\"baz\"");
    leads("/", "0");
    leads("/a~1b", "1");
    leads("/c%d", "2");
    leads("/e^f", "3");
    leads("/g|h", "4");
    leads("/i\\j", "5");
    leads("/k\"l", "6");
    leads("/ ", "7");
    leads("/m~0n", "8");
    leads("/~01", "9");
    leads("/0", "10");
    leads("/n", "null");
    leads("/o/p/q/1/0/r", "true");
    leads("/o/p/q/0", "[]");
    leads("/twice", "2");
    leads("/esc", "\"ape\"");

    leads("/foo/2", NULL);
    leads("/foo/-", NULL);
    leads("/foo/-1", NULL);
    leads("/foo/01", NULL);
    leads("/foo/00", NULL);
    leads("/foo/1a", NULL);
    leads("/foo/", NULL);
    leads("/foo/0/0", NULL);
    leads("/foo/99999999999999999999", NULL);
    leads("/o/p/q/0/0", NULL);
    leads("/none", NULL);
    leads("/none/more", NULL);
    leads("/s/0", NULL);
    leads("/n/x", NULL);
    leads("//", NULL);
    leads("/fo", NULL);
    leads("/foo0", NULL);

    malformed("foo");
    malformed("#/foo");
    malformed("/a~");
    malformed("/a~2");
    malformed("/~/x");
    malformed("/a/~a");

    no_memory();

    ngx_eb_json_parser_destroy(parser);
    ngx_destroy_pool(pool);

    return done_testing();
}
