
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * An API that answers by a script, for the tests of source-side filters.
 */


#ifndef _GENESYS_FILTER_H_INCLUDED_
#define _GENESYS_FILTER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_json.h"
#include "ngx_eb_genesys_filter.h"


#define MAX_SENT  16


/* body NULL: the document of the last PUT */

typedef struct {
    ngx_uint_t                 status;
    const char                *body;
    const char                *etag;
    ngx_msec_t                 wait;
    const char                *error;
    ngx_uint_t                 unsent;
    ngx_uint_t                 timed_out;
    ngx_uint_t                 late;
} script_t;


static ngx_pool_t                    *pool;
static ngx_eb_genesys_op_t            op;
static ngx_eb_genesys_filter_args_t   args;
static ngx_eb_json_parser_t          *parser;

static ngx_eb_genesys_request_t       sent[MAX_SENT];
static ngx_uint_t                     nsent;
static char                           answer[200000];


static const char  plain[] =
    "{\"id\":\"I1\",\"version\":7,\"subscriptions\":[{\"name\":\"calls\","
    "\"events\":[\"a\"],\"filterCriteria\":{\"attributes\":[{\"key\":\"queue\""
    ",\"matchType\":\"exact\",\"values\":[\"a\",\"b\"]}]}},"
    "{\"name\":\"chats\",\"events\":[]}]}";


static ngx_str_t
str(const char *s)
{
    ngx_str_t  value;

    value.data = (u_char *) s;
    value.len = s ? strlen(s) : 0;

    return value;
}


static void
begin(ngx_eb_genesys_filter_verb_e verb, const char *subscription,
    const char *attribute, const char *body)
{
    if (pool) {
        ngx_destroy_pool(pool);
    }

    pool = ngx_create_pool(4096, NULL);

    ngx_memzero(&op, sizeof(op));
    ngx_memzero(&args, sizeof(args));

    op.pool = pool;
    op.log = &shim_log;

    args.verb = verb;
    args.integration = str("I1");
    args.subscription = str(subscription);
    args.attribute = str(attribute);
    args.body = str(body);
}


/* NGX_DONE or NGX_ERROR; NGX_BUSY: it wants more than n replies */

static ngx_int_t
play(script_t *script, ngx_uint_t n)
{
    ngx_int_t                rc;
    ngx_str_t                last;
    ngx_eb_genesys_reply_t   reply;

    nsent = 0;
    last = str("");

    if (ngx_eb_genesys_filter(&op, &args) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = op.step(&op, NULL, &sent[0]);

    while (rc == NGX_AGAIN) {

        if (sent[nsent].body.len) {
            last = sent[nsent].body;
        }

        if (nsent == n || nsent == MAX_SENT - 1) {
            nsent++;
            return NGX_BUSY;
        }

        ngx_memzero(&reply, sizeof(reply));

        reply.status = script[nsent].status;
        reply.body = script[nsent].body ? str(script[nsent].body) : last;
        reply.etag = str(script[nsent].etag);
        reply.wait = script[nsent].wait;
        reply.error = str(script[nsent].error);
        reply.unsent = script[nsent].unsent ? 1 : 0;
        reply.timed_out = script[nsent].timed_out ? 1 : 0;
        reply.late = script[nsent].late ? 1 : 0;
        reply.correlation_id = str("corr-1");

        nsent++;
        rc = op.step(&op, &reply, &sent[nsent]);
    }

    return rc;
}


static ngx_uint_t
has(const char *text)
{
    return strstr(answer, text) != NULL;
}


/* runs the script to its end, and the answer is JSON with this status */

static void
ends(script_t *script, ngx_uint_t n, ngx_uint_t status, const char *name)
{
    ngx_int_t            rc;
    ngx_uint_t           good;
    ngx_eb_json_t        json;
    ngx_eb_json_error_t  err;

    rc = play(script, n);

    answer[0] = '\0';

    if (rc == NGX_DONE && op.answer.body.len < sizeof(answer)) {
        ngx_memcpy(answer, op.answer.body.data, op.answer.body.len);
        answer[op.answer.body.len] = '\0';
    }

    good = (rc == NGX_DONE && nsent == n && op.answer.status == status
            && ngx_eb_json_parse(parser, op.answer.body.data,
                                 op.answer.body.len, 64, &json, &err)
               == NGX_OK);

    if (good && status >= 400) {
        good = has("\"type\":\"about:blank\"") && has("\"title\":\"")
               && has("\"detail\":\"") && has("\"status\":");
    }

    if (!ok(good, "%s", name)) {
        diag("rc %d, %d requests, status %d, %s", (int) rc, (int) nsent,
             (int) op.answer.status, answer);
    }
}


static void
told(const char *text, const char *name)
{
    if (!ok(has(text), "%s", name)) {
        diag("%s is not in %s", text, answer);
    }
}


/* the document with part and rest in the places of its first two @ */

static char *
marked(const char *document, const char *part, const char *rest)
{
    char        *text;
    const char  *one, *two;

    one = strchr(document, '@');
    two = one ? strchr(one + 1, '@') : NULL;

    text = ngx_palloc(pool, strlen(document) + strlen(part) + strlen(rest));

    if (two == NULL || text == NULL) {
        abort();
    }

    sprintf(text, "%.*s%s%.*s%s%s", (int) (one - document), document,
            part, (int) (two - one - 1), one + 1, rest, two + 1);

    return text;
}


#endif /* _GENESYS_FILTER_H_INCLUDED_ */
