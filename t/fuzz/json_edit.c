
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Any changes of any document: the result is a document, and differs from
 * the old one where it was told to.  The first line of the input is the
 * changes, three bytes each, the rest is the document.
 */

/* sources: src/wire/ngx_eb_json_edit.c src/wire/ngx_eb_out.c src/wire/ngx_eb_time.c src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c */
/* libs: -lsimdjson */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_json_edit.h"
#include "../unit/shim.h"


#define MAX_DEPTH   16
#define MAX_CHANGES  8


/* not assert(): it must also hold in builds with NDEBUG */

#define check(cond)                                                          \
    if (!(cond)) {                                                           \
        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);           \
        abort();                                                             \
    }


/* where a change may change something */

typedef struct {
    size_t                    start;
    size_t                    end;
} range_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void change(const uint8_t *data);
static ngx_eb_json_node_t child_at(ngx_eb_json_node_t container,
    ngx_uint_t n, range_t *range);
static void result_check(ngx_str_t *result);


static ngx_pool_t            *pool;
static ngx_eb_json_t          json;
static ngx_eb_json_edit_t     edit;
static ngx_eb_json_parser_t  *parser, *result_parser;

static range_t                ranges[MAX_CHANGES];
static ngx_uint_t             nranges;

static ngx_str_t  values[] = {
    ngx_string("1"), ngx_string("[ {\"a\" : 2.0 } ]"), ngx_string("\"\\n\""),
    ngx_string("{}")
};

static ngx_str_t  names[] = {
    ngx_string("a"), ngx_string("\"\\"), ngx_string("\xff"), ngx_string("")
};


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t                len;
    u_char               *copy;
    ngx_int_t             rc;
    ngx_str_t             result;
    const uint8_t        *line;
    ngx_eb_json_error_t   err;

    if (parser == NULL) {
        parser = ngx_eb_json_parser_create();
        result_parser = ngx_eb_json_parser_create();
        check(parser != NULL && result_parser != NULL);
    }

    line = size ? memchr(data, '\n', size) : NULL;

    if (line == NULL) {
        return 0;
    }

    len = data + size - line - 1;

    /* exactly as long as it is, so that a sanitizer sees a byte too many */

    copy = malloc(len ? len : 1);
    pool = ngx_create_pool(4096, &shim_log);
    check(copy != NULL && pool != NULL);

    memcpy(copy, line + 1, len);

    if (ngx_eb_json_parse(parser, copy, len, MAX_DEPTH, &json, &err) == NGX_OK)
    {
        check(ngx_eb_json_edit_init(&edit, pool, &json) == NGX_OK);

        for (nranges = 0;
             line - data >= 3 && nranges < MAX_CHANGES;
             data += 3)
        {
            change(data);
        }

        rc = ngx_eb_json_edit_apply(&edit, &result);

        check(rc == NGX_OK || rc == NGX_DECLINED);

        if (rc == NGX_OK) {
            result_check(&result);
        }
    }

    check(memcmp(copy, line + 1, len) == 0);

    ngx_destroy_pool(pool);
    free(copy);

    return 0;
}


static void
change(const uint8_t *data)
{
    u_char               type;
    range_t             *range;
    ngx_str_t            raw, *value, *name;
    ngx_eb_json_node_t   node, child;

    node = (ngx_eb_json_node_t) ((uint64_t) data[0] * json.n / 256);
    type = ngx_eb_json_type(&json, node);
    value = &values[data[1] / 4 % 4];
    range = &ranges[nranges++];

    range->start = 0;
    range->end = json.len;

    switch (data[1] % 4) {

    case 0:
        if (memchr(",:]}", type, 4) == NULL) {
            ngx_eb_json_raw(&json, node, &raw);
            range->start = raw.data - json.data;
            range->end = range->start + raw.len;

            /* a key is no value, and must not become one */

            if (type == '"' && node + 1 < json.n
                && json.data[json.pos[node + 1]] == ':')
            {
                value = &values[2];
            }
        }

        check(ngx_eb_json_edit_replace(&edit, node, value) == NGX_OK);
        break;

    case 1:
        if (type == '{') {
            name = &names[data[1] / 16 % 4];
            check(ngx_eb_json_edit_set(&edit, node, name, value) == NGX_OK);

            ngx_eb_json_raw(&json, node, &raw);
            range->start = raw.data - json.data + 1;
            range->end = range->start + raw.len - 2;
        }

        break;

    case 2:
        child = child_at(node, data[2] % 16, range);
        name = (type == '{') ? &names[data[1] / 16 % 4] : NULL;

        check(ngx_eb_json_edit_insert(&edit, node, child, name, value)
              == NGX_OK);
        break;

    default:
        child = child_at(node, data[2] % 16, range);
        check(ngx_eb_json_edit_remove(&edit, node, child) == NGX_OK);
    }
}


/* by walking: from the end of the one ahead of it to the one behind it */

static ngx_eb_json_node_t
child_at(ngx_eb_json_node_t container, ngx_uint_t n, range_t *range)
{
    u_char              type;
    size_t              end;
    ngx_str_t           raw;
    ngx_eb_json_node_t  node, next;

    type = ngx_eb_json_type(&json, container);

    if (type != '{' && type != '[') {
        return n % json.n;
    }

    end = json.pos[container] + 1;
    node = ngx_eb_json_first(&json, container);

    for ( /* void */ ; node != NGX_EB_JSON_NONE; node = next) {

        if (type == '{') {
            next = ngx_eb_json_after(&json, node + 2);
            ngx_eb_json_raw(&json, node + 2, &raw);

        } else {
            next = ngx_eb_json_after(&json, node);
            ngx_eb_json_raw(&json, node, &raw);
        }

        if (n-- == 0) {
            break;
        }

        end = raw.data + raw.len - json.data;
    }

    range->start = end;
    range->end = json.pos[json.skip[container]];

    if (node != NGX_EB_JSON_NONE && next != NGX_EB_JSON_NONE) {
        range->end = json.pos[next];
    }

    return node;
}


static void
result_check(ngx_str_t *result)
{
    size_t                 at, from;
    ngx_uint_t             i, k;
    ngx_eb_json_t          again;
    ngx_eb_json_error_t    err;
    ngx_eb_json_splice_t  *splice;

    check(ngx_eb_json_parse(result_parser, result->data, result->len,
                            MAX_DEPTH + 4, &again, &err) == NGX_OK);

    splice = edit.splices.elts;
    at = 0;
    from = 0;

    for (i = 0; i < edit.splices.nelts; i++) {

        /* what is between is copied */

        check(splice[i].offset >= from);
        check(splice[i].offset - from <= result->len - at);
        check(memcmp(result->data + at, json.data + from,
                     splice[i].offset - from) == 0);

        at += splice[i].offset - from;
        from = splice[i].offset + splice[i].len;

        check(from <= json.len);
        check(splice[i].text.len <= result->len - at);
        at += splice[i].text.len;

        /* and it is where a change was asked for */

        for (k = 0; k < nranges; k++) {
            if (splice[i].offset >= ranges[k].start
                && from <= ranges[k].end)
            {
                break;
            }
        }

        /* a run of children that go is one splice */

        check(k < nranges || nranges > 1);
    }

    check(json.len - from == result->len - at);
    check(memcmp(result->data + at, json.data + from, json.len - from) == 0);
}
