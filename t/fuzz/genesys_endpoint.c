
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Integrations: any control request, any replies.  Whatever is valid has 1 to
 * 10 endpoints that are URLs; each operation ends, sends nothing but JSON, and
 * answers and records JSON.
 *
 *     which endpoints are down (1 byte: of the lower 4 bits; the bit of 64 is a
 *     dry run), body of the control request, and for each reply a newline,
 *     status (1 byte), body
 */

/* sources: src/genesys/ngx_eb_genesys_endpoint.c src/genesys/ngx_eb_genesys_endpoint_doc.c */
/* sources: src/genesys/ngx_eb_genesys_endpoint_record.c src/genesys/ngx_eb_genesys_body.c */
/* sources: src/genesys/ngx_eb_genesys_op.c src/genesys/ngx_eb_genesys_list.c */
/* sources: src/genesys/ngx_eb_genesys_patch.c src/genesys/ngx_eb_genesys_duration.c */
/* sources: src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c src/wire/ngx_eb_url.c */
/* sources: src/wire/ngx_eb_json_edit.c src/wire/ngx_eb_out.c */
/* libs: -lsimdjson */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_genesys_endpoint.h"


#define MAX_STEPS  1000

#define check(cond)                                                           \
    if (!(cond)) {                                                            \
        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);            \
        abort();                                                              \
    }


int LLVMFuzzerTestOneInput(const u_char *data, size_t size);

static void json_check(ngx_str_t *text);
static ngx_uint_t probe(ngx_eb_genesys_op_t *op, u_char down);


static ngx_eb_json_parser_t            *parser;
static ngx_eb_genesys_endpoint_conf_t   conf;


static void
json_check(ngx_str_t *text)
{
    ngx_eb_json_t        json;
    ngx_eb_json_error_t  err;

    check(ngx_eb_json_parse(parser, text->data, text->len, 100, &json, &err)
          == NGX_OK);
}


/* how many are down */

static ngx_uint_t
probe(ngx_eb_genesys_op_t *op, u_char down)
{
    ngx_uint_t                  i, n;
    ngx_eb_genesys_uri_t       *uri;
    ngx_eb_genesys_endpoint_t  *what;

    what = ngx_eb_genesys_endpoint(op);
    uri = what->doc.endpoints.elts;

    if (!what->valid) {
        return 0;
    }

    check(what->doc.endpoints.nelts >= 1 && what->doc.endpoints.nelts <= 10);
    check(what->doc.name.len > 0 && what->doc.type.len > 0);

    for (i = 0, n = 0; i < what->doc.endpoints.nelts; i++) {

        check(uri[i].uri.len > sizeof("https://") - 1
              && uri[i].shown.len <= uri[i].uri.len
              && memchr(uri[i].shown.data, '?', uri[i].shown.len) == NULL);

        uri[i].probed = 1;
        uri[i].reachable = !((down >> (i % 4)) & 1);
        ngx_str_set(&uri[i].phase, "tls");

        if (!uri[i].reachable) {
            ngx_str_set(&uri[i].error, "tls_failed");
            ngx_str_set(&uri[i].words, "a \"reason\"");
            ngx_str_set(&uri[i].json, "{\"ok\":false}");
            n++;
        }
    }

    return n;
}


int
LLVMFuzzerTestOneInput(const u_char *data, size_t size)
{
    ngx_int_t                  rc;
    ngx_str_t                  text[2], record;
    ngx_uint_t                 i, down;
    ngx_pool_t                *pool;
    const u_char              *p, *end, *last;
    ngx_eb_genesys_op_t        op;
    ngx_eb_genesys_reply_t     reply;
    ngx_eb_genesys_request_t   request;

    static const ngx_uint_t  statuses[] = {
        200, 200, 200, 201, 204, 0, 400, 401, 403, 404, 409, 410, 412, 429,
        500, 503
    };

    if (size == 0 || size > 65536) {
        return 0;
    }

    if (parser == NULL) {
        parser = ngx_eb_json_parser_create();
        check(parser != NULL);

        ngx_str_set(&conf.list, NGX_EB_GENESYS_ENDPOINTS_PATH);
        ngx_str_set(&conf.item, NGX_EB_GENESYS_ENDPOINT_PATH);
    }

    pool = ngx_create_pool(4096, NULL);
    check(pool != NULL);

    ngx_memzero(&op, sizeof(op));
    op.pool = pool;
    conf.dry_run = (data[0] >> 6) & 1;

    p = data + 1;
    last = data + size;
    rc = NGX_AGAIN;
    down = 0;

    for (i = 0; rc == NGX_AGAIN; i++) {
        check(i < MAX_STEPS);

        /* a line, in memory of its very size; the first is the request */

        end = (p < last) ? memchr(p, '\n', last - p) : NULL;

        if (end == NULL) {
            end = last;
        }

        text[i > 0].len = end - p;
        text[i > 0].data = ngx_pnalloc(pool, end - p);

        if (end > p) {
            ngx_memcpy(text[i > 0].data, p, end - p);
        }

        p = (end < last) ? end + 1 : last;

        if (i == 0) {
            check(ngx_eb_genesys_endpoint_resolve(&op, &conf, text) == NGX_OK);
            down = probe(&op, data[0]);
            rc = op.step(&op, NULL, &request);

        } else {
            ngx_memzero(&reply, sizeof(reply));

            if (text[1].len) {
                reply.status = statuses[text[1].data[0] & 15];
                reply.unsent = (text[1].data[0] >> 4) & 1;
                reply.body.data = text[1].data + 1;
                reply.body.len = text[1].len - 1;
            }

            rc = op.step(&op, &reply, &request);
        }

        if (rc == NGX_AGAIN) {
            check(down == 0 && !conf.dry_run);
            check(request.uri.len > 0 && request.uri.data[0] == '/');
            check(request.method.len > 0 && request.operation.len > 0);

            if (request.body.len) {
                json_check(&request.body);
            }
        }
    }

    check(rc == NGX_DONE);
    check(op.answer.status >= 200 && op.answer.status < 600);
    check(down == 0 || op.answer.status == 502);
    json_check(&op.answer.body);

    check(ngx_eb_genesys_endpoint_record(pool, ngx_eb_genesys_endpoint(&op),
                                         NULL, 0, &record)
          == NGX_OK);
    check(record.len <= NGX_EB_GENESYS_RECORD);
    json_check(&record);

    ngx_destroy_pool(pool);

    return 0;
}
