
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * An API that does what a script says: each exchange is the request that is
 * expected next, and the reply to it.
 */


#ifndef _GENESYS_SCRIPT_H_INCLUDED_
#define _GENESYS_SCRIPT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_genesys.h"


typedef struct {
    const char               *line;         /* "GET /uri" */
    const char               *body;         /* of the request; NULL: any */
    const char               *if_match;     /* NULL: none */
    ngx_msec_t                delay;

    ngx_uint_t                status;
    const char               *reply;        /* NULL: an empty one */
    const char               *etag;
    ngx_msec_t                wait;
    const char               *error;
    unsigned                  unsent:1;
    unsigned                  timed_out:1;
    unsigned                  late:1;
} exchange_t;


#define script(op, name, ...)                                                \
    play(op, name, (exchange_t[]) { __VA_ARGS__ },                           \
         sizeof((exchange_t[]) { __VA_ARGS__ }) / sizeof(exchange_t))


/* what the step said last: NGX_DONE, or NGX_AGAIN when the script is over */

static ngx_int_t play(ngx_eb_genesys_op_t *op, const char *name,
    exchange_t *exchange, ngx_uint_t n);


static ngx_str_t
script_str(ngx_pool_t *pool, const char *s)
{
    ngx_str_t  value;

    if (s == NULL) {
        ngx_str_null(&value);
        return value;
    }

    /* of its very size, so that a byte too much is seen */

    value.len = strlen(s);
    value.data = ngx_pnalloc(pool, value.len);

    if (value.len) {
        ngx_memcpy(value.data, s, value.len);
    }

    return value;
}


static void
script_is(ngx_str_t *got, const char *expected, const char *name,
    ngx_uint_t i, const char *what)
{
    ngx_str_t  value;

    value = *got;

    if (value.data == NULL) {
        value.data = (u_char *) "";
    }

    is_str(&value, expected, "%s: exchange %d: %s", name, (int) i + 1, what);
}


static ngx_int_t
play(ngx_eb_genesys_op_t *op, const char *name, exchange_t *exchange,
    ngx_uint_t n)
{
    ngx_int_t                  rc;
    ngx_str_t                  line;
    ngx_uint_t                 i;
    ngx_eb_genesys_reply_t     reply, *r;
    ngx_eb_genesys_request_t   request;

    r = NULL;

    for (i = 0; ; i++) {
        memset(&request, 0xa5, sizeof(request));

        rc = op->step(op, r, &request);

        if (rc != NGX_AGAIN) {
            is_int(i, n, "%s: exchanges", name);
            return rc;
        }

        line.data = ngx_pnalloc(op->pool,
                                request.method.len + 1 + request.uri.len);
        line.len = ngx_sprintf(line.data, "%V %V", &request.method,
                               &request.uri)
                   - line.data;

        if (i == n) {
            ok(0, "%s: one more: %.*s", name, (int) line.len, line.data);
            return rc;
        }

        script_is(&line, exchange[i].line, name, i, "request");

        if (exchange[i].body) {
            script_is(&request.body, exchange[i].body, name, i, "body");
        }

        script_is(&request.if_match,
                  exchange[i].if_match ? exchange[i].if_match : "", name, i,
                  "If-Match");
        is_int(request.delay, exchange[i].delay, "%s: exchange %d: delay",
               name, (int) i + 1);
        ok(request.operation.len > 0, "%s: exchange %d: operation", name,
           (int) i + 1);
        is_int(request.idempotent, line.data[0] == 'P' && line.data[1] == 'O'
                                   ? 0 : 1,
               "%s: exchange %d: idempotent", name, (int) i + 1);

        memset(&reply, 0, sizeof(reply));
        reply.status = exchange[i].status;
        reply.body = script_str(op->pool, exchange[i].reply);
        reply.etag = script_str(op->pool, exchange[i].etag);
        reply.wait = exchange[i].wait;
        reply.error = script_str(op->pool, exchange[i].error);
        reply.unsent = exchange[i].unsent;
        reply.timed_out = exchange[i].timed_out;
        reply.late = exchange[i].late;
        reply.correlation_id = script_str(op->pool, "corr-1");
        r = &reply;
    }
}


/* is the text somewhere in the answer's body? */

static void
script_has(ngx_eb_genesys_op_t *op, const char *text, const char *name)
{
    ngx_str_t  *body;

    body = &op->answer.body;

    if (body->len == 0) {
        ok(0, "%s: there is an answer", name);
        return;
    }

    if (!ok(memmem(body->data, body->len, text, strlen(text)) != NULL,
            "%s: answer has %s", name, text))
    {
        diag("%.*s", (int) body->len, body->data);
    }
}


/* a problem document with n violations, of which one is this */

static ngx_inline void
script_violations(ngx_eb_genesys_op_t *op, ngx_uint_t n, const char *field,
    const char *rule, const char *name)
{
    u_char      *p, *last, text[256];
    ngx_uint_t   count;

    p = op->answer.body.data;
    last = p + op->answer.body.len;

    for (count = 0; p < last; p++) {
        p = memmem(p, last - p, "{\"field\":", 9);

        if (p == NULL) {
            break;
        }

        count++;
    }

    if (!is_int(count, n, "%s: violations", name)) {
        diag("%.*s", (int) op->answer.body.len, op->answer.body.data);
    }

    *ngx_sprintf(text, "{\"field\":\"%s\",\"rule\":\"%s\"", field, rule) = 0;
    script_has(op, (char *) text, name);
}


#endif /* _GENESYS_SCRIPT_H_INCLUDED_ */
