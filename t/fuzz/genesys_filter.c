
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Any body of a caller and any document of the API: the operation ends, with
 * JSON, and what is written is a document that has the filter.  Up to the
 * first line end the input is the body, its first byte what is done; the rest
 * is the document.
 */

/* sources: src/genesys/ngx_eb_genesys_op.c src/genesys/ngx_eb_genesys_list.c src/genesys/ngx_eb_genesys_patch.c src/genesys/ngx_eb_genesys_duration.c */
/* sources: src/genesys/ngx_eb_genesys_filter.c src/genesys/ngx_eb_genesys_filter_answer.c src/genesys/ngx_eb_genesys_filter_check.c src/genesys/ngx_eb_genesys_filter_doc.c src/wire/ngx_eb_json_edit.c src/wire/ngx_eb_out.c src/wire/ngx_eb_time.c src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c */
/* libs: -lsimdjson -lpcre2-8 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_genesys_filter.h"
#include "../unit/shim.h"


#define MAX_STEPS  16


/* not assert(): it must also hold in builds with NDEBUG */

#define check(cond)                                                          \
    if (!(cond)) {                                                           \
        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);           \
        abort();                                                             \
    }


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(ngx_pool_t *pool, ngx_eb_genesys_filter_args_t *args,
    ngx_str_t *document);


static ngx_eb_json_parser_t  *parser;


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char                        *copy;
    ngx_str_t                      document;
    ngx_uint_t                     head;
    ngx_pool_t                    *pool;
    const uint8_t                 *line;
    ngx_eb_genesys_filter_args_t   args;

    if (parser == NULL) {
        parser = ngx_eb_json_parser_create();
        check(parser != NULL);

        shim_log.log_level = NGX_LOG_EMERG;
    }

    line = size > 1 ? memchr(data + 1, '\n', size - 1) : NULL;

    if (line == NULL) {
        return 0;
    }

    head = data[0];

    /* exactly as long as it is, so that a sanitizer sees a byte too many */

    pool = ngx_create_pool(4096, &shim_log);
    copy = malloc(size);
    check(pool != NULL && copy != NULL);

    memcpy(copy, data, size);

    ngx_memzero(&args, sizeof(ngx_eb_genesys_filter_args_t));

    args.verb = (head & 3) % 3;
    args.topics = head >> 2 & 1;
    args.dry_run = head >> 3 & 1;

    ngx_str_set(&args.integration, "i");

    if (head >> 4 & 1) {
        ngx_str_set(&args.attribute, "a");
    }

    if (head >> 5 & 1) {
        ngx_str_set(&args.subscription, "s");
    }

    args.body.len = line - data - 1;
    args.body.data = malloc(args.body.len ? args.body.len : 1);
    check(args.body.data != NULL);
    memcpy(args.body.data, data + 1, args.body.len);

    document.len = data + size - line - 1;
    document.data = malloc(document.len ? document.len : 1);
    check(document.data != NULL);
    memcpy(document.data, line + 1, document.len);

    run(pool, &args, &document);

    check(memcmp(args.body.data, data + 1, args.body.len) == 0);
    check(memcmp(document.data, line + 1, document.len) == 0);

    ngx_destroy_pool(pool);
    free(args.body.data);
    free(document.data);
    free(copy);

    return 0;
}


/* the API keeps what it is sent */

static void
run(ngx_pool_t *pool, ngx_eb_genesys_filter_args_t *args,
    ngx_str_t *document)
{
    ngx_int_t                  rc;
    ngx_str_t                  stored;
    ngx_uint_t                 i, puts;
    ngx_eb_json_t              json;
    ngx_eb_genesys_op_t        op;
    ngx_eb_json_error_t        err;
    ngx_eb_genesys_reply_t     reply;
    ngx_eb_genesys_request_t   request;

    ngx_memzero(&op, sizeof(ngx_eb_genesys_op_t));
    op.pool = pool;
    op.log = &shim_log;

    check(ngx_eb_genesys_filter(&op, args) == NGX_OK);

    stored = *document;
    puts = 0;

    rc = op.step(&op, NULL, &request);

    for (i = 0; rc == NGX_AGAIN; i++) {
        check(i < MAX_STEPS);

        ngx_memzero(&reply, sizeof(ngx_eb_genesys_reply_t));
        reply.status = 200;

        if (request.method.len == 3 && request.method.data[0] == 'P') {
            check(args->verb != NGX_EB_GENESYS_FILTER_SHOW);
            check(!args->dry_run);
            check(ngx_eb_json_parse(parser, request.body.data,
                                    request.body.len, 64, &json, &err)
                  == NGX_OK);

            stored = request.body;
            puts++;

        } else {
            reply.body = stored;
        }

        rc = op.step(&op, &reply, &request);
    }

    check(rc == NGX_DONE);
    check(puts <= 1);

    check(ngx_eb_json_parse(parser, op.answer.body.data, op.answer.body.len,
                            128, &json, &err)
          == NGX_OK);

    /* an API that does as it is told is told once, and is believed */

    check(op.answer.changed == puts);
    check(!puts || op.answer.status == 200);

    if (!puts || args->verb == NGX_EB_GENESYS_FILTER_SHOW) {
        return;
    }

    /* and then there is nothing left to be done */

    ngx_memzero(&op.answer, sizeof(ngx_eb_genesys_answer_t));
    check(ngx_eb_genesys_filter(&op, args) == NGX_OK);
    check(op.step(&op, NULL, &request) == NGX_AGAIN);

    ngx_memzero(&reply, sizeof(ngx_eb_genesys_reply_t));
    reply.status = 200;
    reply.body = stored;

    check(op.step(&op, &reply, &request) == NGX_DONE);
    check(op.answer.status == 200 && !op.answer.changed);
}
