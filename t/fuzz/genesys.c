
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Operations of the Genesys Cloud API with any control request and any
 * replies: each ends, sends nothing but JSON to paths without surprises, and
 * answers with JSON.
 *
 *     operation (1 byte), body of the control request, and for each reply a
 *     newline, status (1 byte), body
 */

/* sources: src/genesys/ngx_eb_genesys_subscription.c src/genesys/ngx_eb_genesys_subscription_doc.c */
/* sources: src/genesys/ngx_eb_genesys_settings.c src/genesys/ngx_eb_genesys_retention.c src/genesys/ngx_eb_genesys_retention_record.c */
/* sources: src/genesys/ngx_eb_genesys_policy.c src/genesys/ngx_eb_genesys_body.c */
/* sources: src/genesys/ngx_eb_genesys_op.c src/genesys/ngx_eb_genesys_list.c */
/* sources: src/genesys/ngx_eb_genesys_patch.c src/genesys/ngx_eb_genesys_duration.c */
/* sources: src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c */
/* sources: src/wire/ngx_eb_json_edit.c src/wire/ngx_eb_out.c */
/* libs: -lsimdjson */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_genesys_subscription.h"
#include "ngx_eb_genesys_retention.h"


#define MAX_STEPS  1000

#define check(cond)                                                           \
    if (!(cond)) {                                                            \
        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);            \
        abort();                                                              \
    }


int LLVMFuzzerTestOneInput(const u_char *data, size_t size);

static ngx_int_t start(ngx_eb_genesys_op_t *op, u_char kind,
    ngx_str_t *body);
static ngx_str_t next(ngx_pool_t *pool, const u_char **p, const u_char *last);
static void json_check(ngx_str_t *text);
static void request_check(ngx_eb_genesys_request_t *request);
static ngx_msec_t now(void);


static ngx_eb_json_parser_t             *parser;
static ngx_eb_genesys_settings_t         settings[2];
static ngx_eb_genesys_retention_conf_t   conf;
static ngx_str_t                         id = ngx_string("id1");
static ngx_str_t                         strings[] = {
                                             ngx_string("GDPR"),
                                             ngx_string("v2.a")
                                         };
static ngx_array_t                       array = {
                                             strings, 2, sizeof(ngx_str_t), 2,
                                             NULL
                                         };
static ngx_msec_t                        waits[] = { 10, 20 };


static const ngx_uint_t  statuses[] = {
    200, 200, 200, 201, 204, 0, 400, 401, 403, 404, 409, 410, 412, 429, 500,
    503
};


static ngx_msec_t
now(void)
{
    return 1;
}


static ngx_int_t
start(ngx_eb_genesys_op_t *op, u_char kind, ngx_str_t *body)
{
    ngx_uint_t                  integration;
    ngx_eb_genesys_sub_api_t   *api;
    ngx_eb_genesys_sub_verb_e   verb;

    integration = (kind & 8) != 0;
    api = integration ? &ngx_eb_genesys_integrations_api
                      : &ngx_eb_genesys_reference_api;

    if ((kind & 7) == 6) {
        return ngx_eb_genesys_retention_adjust(op, &conf, &id, body);
    }

    if ((kind & 7) == 7) {
        return integration
               ? ngx_eb_genesys_retention_validate(op, &conf, body)
               : ngx_eb_genesys_retention_get(op, &conf, body);
    }

    verb = kind & 7;

    switch (verb) {

    case NGX_EB_GENESYS_SUB_CREATE:
        return ngx_eb_genesys_subscription_init_body(op, api, verb, NULL,
                                                     body);

    case NGX_EB_GENESYS_SUB_REPLACE:
        return ngx_eb_genesys_subscription_init_body(op, api, verb, &id,
                                                     body);

    case NGX_EB_GENESYS_SUB_ENSURE:
        return ngx_eb_genesys_subscription_init(op, api, verb, body,
                                                &settings[integration]);

    case NGX_EB_GENESYS_SUB_LIST:
        return ngx_eb_genesys_subscription_init(op, api, verb, NULL, NULL);

    default:
        return ngx_eb_genesys_subscription_init(op, api, verb, body, NULL);
    }
}


/* up to the next newline, in memory of its very size */

static ngx_str_t
next(ngx_pool_t *pool, const u_char **p, const u_char *last)
{
    ngx_str_t      s;
    const u_char  *end;

    end = (*p < last) ? memchr(*p, '\n', last - *p) : NULL;

    if (end == NULL) {
        end = last;
    }

    s.len = end - *p;
    s.data = ngx_pnalloc(pool, s.len);

    if (s.len) {
        ngx_memcpy(s.data, *p, s.len);
    }

    *p = (end < last) ? end + 1 : last;

    return s;
}


static void
json_check(ngx_str_t *text)
{
    ngx_eb_json_t        json;
    ngx_eb_json_error_t  err;

    check(ngx_eb_json_parse(parser, text->data, text->len, 100, &json, &err)
          == NGX_OK);
}


static void
request_check(ngx_eb_genesys_request_t *request)
{
    size_t  i;

    check(request->uri.len > 0 && request->uri.data[0] == '/');
    check(request->method.len > 0 && request->operation.len > 0);

    for (i = 0; i < request->uri.len; i++) {
        check(request->uri.data[i] > ' ' && request->uri.data[i] < 0x7f);
    }

    if (request->body.len) {
        json_check(&request->body);
    }
}


int
LLVMFuzzerTestOneInput(const u_char *data, size_t size)
{
    u_char                     kind;
    ngx_int_t                  rc;
    ngx_str_t                  body, s;
    ngx_uint_t                 i;
    ngx_pool_t                *pool;
    const u_char              *p, *last;
    ngx_eb_genesys_op_t        op;
    ngx_eb_genesys_reply_t     reply;
    ngx_eb_genesys_request_t   request;

    if (size == 0 || size > 65536) {
        return 0;
    }

    if (parser == NULL) {
        parser = ngx_eb_json_parser_create();
        check(parser != NULL);

        ngx_str_set(&settings[0].name, "calls");
        ngx_str_set(&settings[0].endpoint, "https://a");
        settings[0].sources = array;
        settings[0].retention = 30;

        ngx_str_set(&settings[1].name, "calls");
        ngx_str_set(&settings[1].account, "123456789012");
        ngx_str_set(&settings[1].region, "us-east-1");
        ngx_str_set(&settings[1].suffix, "my-bus");
        settings[1].topics = array;
        settings[1].integration = 1;

        ngx_str_set(&conf.path, NGX_EB_GENESYS_RETENTION_PATH);
        ngx_str_set(&s, "150.5");
        check(ngx_eb_genesys_decimal(&s, &conf.gb) == NGX_OK);
        ngx_str_set(&s, "0.0023");
        check(ngx_eb_genesys_decimal(&s, &conf.price) == NGX_OK);
        conf.tags = &array;
        conf.conflicts = 2;
        conf.polls = 3;
        conf.interval = 1;
        conf.schedule = waits;
        conf.nschedule = 2;
        conf.clock = now;
    }

    pool = ngx_create_pool(4096, NULL);
    check(pool != NULL);

    ngx_memzero(&op, sizeof(op));
    op.pool = pool;

    p = data + 1;
    last = data + size;
    kind = data[0];

    conf.send_cost = (kind >> 4) & 1;
    body = next(pool, &p, last);

    check(start(&op, kind, &body) == NGX_OK);

    rc = op.step(&op, NULL, &request);

    for (i = 0; rc == NGX_AGAIN; i++) {
        check(i < MAX_STEPS);
        request_check(&request);

        ngx_memzero(&reply, sizeof(reply));
        s = next(pool, &p, last);

        if (s.len) {
            reply.status = statuses[s.data[0] & 15];
            reply.unsent = (s.data[0] >> 4) & 1;
            reply.body.data = s.data + 1;
            reply.body.len = s.len - 1;
        }

        rc = op.step(&op, &reply, &request);
    }

    check(rc == NGX_DONE);
    check(op.answer.status >= 200 && op.answer.status < 600);

    if (op.answer.status == 204) {
        check(op.answer.body.len == 0);

    } else {
        json_check(&op.answer.body);
    }

    if ((kind & 7) >= 6) {
        check(ngx_eb_genesys_retention_record(pool,
                  ngx_eb_genesys_retention(&op), 0, &s)
              == NGX_OK);
        json_check(&s);
    }

    ngx_destroy_pool(pool);

    return 0;
}
