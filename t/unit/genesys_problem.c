
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What a caller is told when something is wrong: by the rules, or by the API,
 * whose replies may be anything.
 */

/* sources: src/genesys/ngx_eb_genesys_op.c src/genesys/ngx_eb_genesys_list.c src/genesys/ngx_eb_genesys_body.c */
/* sources: src/genesys/ngx_eb_genesys_patch.c src/genesys/ngx_eb_genesys_duration.c */
/* sources: src/genesys/ngx_eb_genesys_retry.c src/wire/ngx_eb_json_edit.c */
/* sources: src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c src/wire/ngx_eb_out.c */
/* sources: src/wire/ngx_eb_time.c */
/* libs: -lsimdjson */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_genesys_op.h"
#include "ngx_eb_genesys_retry.h"


/* Fri, 21 Nov 2025 10:30:00 GMT */
#define DATE   1763721000

#define TOKEN  "the API did not accept the token: the administrator should "  \
               "check client_id, client_secret_file and region"
#define RIGHT  "the OAuth client lacks a permission: the administrator "      \
               "should give it a role that has it"
#define GONE   "the API does not have it, or does not know the path"
#define SLOW   "the API did not answer in time"
#define TAKEN  "the API says that this is in conflict with what it has"
#define QUOTA  "the API accepts no more requests for now"
#define NO     "the API refused the request"
#define ILL    "the API failed"

#define LONG   86400000


typedef struct {
    ngx_uint_t                api;
    ngx_uint_t                status;
    const char               *title;
    const char               *detail;
} mapping_t;


typedef struct {
    const char               *header;
    const char               *body;
    ngx_msec_t                expected;
} wait_t;


typedef struct {
    const char               *name;
    const char               *body;
    const char               *upstream;     /* after the status */
} body_t;


static void begin(void);
static ngx_str_t str(const char *s);
static ngx_str_t copy(const char *s, size_t len);
static ngx_uint_t readable(ngx_str_t *text);
static ngx_uint_t has(const char *text);
static void mapped(void);
static void no_answer(void);
static void waits(void);
static void bodies(void);
static void long_words(void);
static void details(void);
static void correlation(void);
static void alternatives(void);
static void own_words(void);
static void violations(void);
static void many_violations(void);
static void formats(void);
static void conflicts(void);
static void ambiguities(void);
static ngx_int_t everything(void);
static void no_memory(void);


static ngx_pool_t               *pool;
static ngx_eb_genesys_op_t       op;
static ngx_eb_genesys_doc_t     *doc;
static ngx_eb_genesys_reply_t    reply;


static const mapping_t  mappings[] = {
    { 401, 502, "Bad Gateway", TOKEN },
    { 403, 502, "Bad Gateway", RIGHT },
    { 404, 404, "Not Found", GONE },
    { 410, 404, "Not Found", GONE },
    { 408, 504, "Gateway Timeout", SLOW },
    { 504, 504, "Gateway Timeout", SLOW },
    { 409, 409, "Conflict", TAKEN },
    { 412, 409, "Conflict", TAKEN },
    { 429, 503, "Service Unavailable", QUOTA },
    { 400, 422, "Unprocessable Content", NO },
    { 405, 422, "Unprocessable Content", NO },
    { 413, 422, "Unprocessable Content", NO },
    { 415, 422, "Unprocessable Content", NO },
    { 422, 422, "Unprocessable Content", NO },
    { 499, 422, "Unprocessable Content", NO },
    { 500, 502, "Bad Gateway", ILL },
    { 501, 502, "Bad Gateway", ILL },
    { 502, 502, "Bad Gateway", ILL },
    { 503, 502, "Bad Gateway", ILL },
    { 599, 502, "Bad Gateway", ILL },
    { 100, 502, "Bad Gateway", ILL },
    { 302, 502, "Bad Gateway", ILL },
    { 999, 502, "Bad Gateway", ILL }
};


/* the retry engine has read them; the time is a minute before DATE */

static const wait_t  after[] = {
    { "42", "", 42000 },
    { " 42 ", "", 42000 },
    { "3600", "", 3600000 },
    { "86400", "", LONG },
    { "86401", "", LONG },
    { "99999999999999999999", "", LONG },
    { "Fri, 21 Nov 2025 10:30:00 GMT", "", 60000 },
    { "Fri, 21 Nov 2025 11:29:00 GMT", "", 3600000 },
    { "Fri, 21 Nov 2035 10:30:00 GMT", "", LONG },
    { "", "{\"message\":\"Rate limit exceeded the maximum. Retry the request "
      "in [17] seconds\",\"code\":\"too.many.requests.retry.after\"}", 17000 },
    { "5", "{\"message\":\"Retry the request in [17] seconds\"}", 5000 },

    /* nobody knows: the limits are of a minute */

    { "", "", 60000 },
    { "0", "", 60000 },
    { "soon", "", 60000 },
    { "-5", "", 60000 },
    { "Fri, 21 Nov 2024 10:30:00 GMT", "", 60000 },
    { "", "Retry the request in [", 60000 },
    { "", "Retry the request in [] seconds", 60000 }
};


static const body_t  replies[] = {
    { "an error of the API",
      "{\"message\":\"no such thing\",\"code\":\"not.found\",\"status\":404,"
      "\"contextId\":\"ctx\",\"details\":[{\"errorCode\":\"e\",\"fieldName\":"
      "\"f\"}],\"errors\":[],\"entityName\":\"n\"}",
      ",\"code\":\"not.found\",\"message\":\"no such thing\","
      "\"contextId\":\"ctx\",\"details\":[{\"errorCode\":\"e\","
      "\"fieldName\":\"f\"}]" },
    { "no body", "", "" },
    { "HTML", "<html><h1>502 Bad Gateway</h1></html>", "" },
    { "an empty object", "{}", "" },
    { "an array", "[{\"code\":\"a\"}]", "" },
    { "null", "null", "" },
    { "a string", "\"a\"", "" },
    { "half of a document", "{\"code\":\"a\",\"message\":\"b\"", "" },
    { "two documents", "{\"code\":\"a\"}{\"code\":\"b\"}", "" },
    { "other types",
      "{\"code\":7,\"message\":null,\"contextId\":[\"a\"],\"details\":{}}",
      "" },
    { "the message is no string",
      "{\"code\":\"a\",\"message\":{\"message\":\"b\"}}", ",\"code\":\"a\"" },
    { "empty strings",
      "{\"code\":\"\",\"message\":\"\",\"contextId\":\"\"}",
      ",\"code\":\"\",\"message\":\"\",\"contextId\":\"\"" },
    { "escapes",
      "{\"code\":\"\\u0061\\r\\nX: y\",\"message\":\"\\u0000\\\"\\\\\"}",
      ",\"code\":\"a\\r\\nX: y\",\"message\":\"\\u0000\\\"\\\\\"" },
    { "a name that is escaped", "{\"\\u0063ode\":\"a\"}", ",\"code\":\"a\"" },
    { "the same name again",
      "{\"code\":\"a\",\"code\":\"b\"}", ",\"code\":\"b\"" },
    { "no UTF-8", "{\"code\":\"\xff\"}", "" },
    { "half a surrogate pair",
      "{\"code\":\"\\ud800\",\"message\":\"b\"}",
      ",\"code\":\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\",\"message\":"
      "\"b\"" },
    { "no details", "{\"details\":[]}", ",\"details\":[]" },
    { "details of any kind",
      "{\"details\":[ 1e2, {\"a\" : [null]} ,\"\\u00e9\"]}",
      ",\"details\":[ 1e2, {\"a\" : [null]} ,\"\\u00e9\"]" }
};


static void
begin(void)
{
    if (pool) {
        ngx_destroy_pool(pool);
    }

    pool = ngx_create_pool(4096, NULL);
    doc = ngx_eb_genesys_doc_create(pool);

    ngx_memzero(&op, sizeof(op));
    op.pool = pool;
    op.log = &shim_log;
    ngx_str_set(&op.answer.action, "thing_read");

    ngx_memzero(&reply, sizeof(reply));
}


static ngx_str_t
str(const char *s)
{
    return copy(s, strlen(s));
}


/* of its very size, so that a byte too much is seen */

static ngx_str_t
copy(const char *s, size_t len)
{
    ngx_str_t  value;

    value.len = len;
    value.data = ngx_pnalloc(pool, len);

    if (value.data && len) {
        ngx_memcpy(value.data, s, len);
    }

    return value;
}


static ngx_uint_t
readable(ngx_str_t *text)
{
    return ngx_eb_genesys_doc_object(doc, text) == NGX_OK;
}


static ngx_uint_t
has(const char *text)
{
    ngx_str_t  *body;

    body = &op.answer.body;

    if (memmem(body->data, body->len, text, strlen(text)) == NULL) {
        diag("not in: %.*s", (int) body->len, body->data);
        return 0;
    }

    return 1;
}


/* each status of the API is one of the answer, and says what to do */

static void
mapped(void)
{
    char              expected[512];
    ngx_uint_t        i;
    const mapping_t  *m;

    for (i = 0; i < sizeof(mappings) / sizeof(mappings[0]); i++) {
        m = &mappings[i];

        begin();
        reply.status = m->api;

        is_int(ngx_eb_genesys_op_refused(&op, &reply, NULL), NGX_DONE,
               "row 2.11: %d", (int) m->api);
        is_int(op.answer.status, m->status, "row 2.11: %d, status",
               (int) m->api);
        is_int(op.answer.retry_after, m->api == 429 ? 60000 : 0,
               "row 2.11: %d, Retry-After", (int) m->api);

        snprintf(expected, sizeof(expected),
                 "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,"
                 "\"detail\":\"%s\",\"upstream\":{\"status\":%d}}",
                 m->title, (int) m->status, m->detail, (int) m->api);
        is_str(&op.answer.body, expected, "row 2.11: %d, document",
               (int) m->api);
        is_str(&op.answer.action, "thing_read", "row 2.11: %d, action",
               (int) m->api);
    }
}


/* nor was there a whole body: what there is of one is not told */

static void
no_answer(void)
{
    ngx_uint_t  i;

    for (i = 0; i < 2; i++) {
        begin();
        reply.timed_out = (i == 1);
        reply.error = str("it \"broke\"");
        reply.body = str("{\"message\":\"a\",\"code\":\"b\"}");

        is_int(ngx_eb_genesys_op_refused(&op, &reply, "Use that."), NGX_DONE,
               "row 2.11: no answer");
        is_int(op.answer.status, i ? 504 : 502, "row 2.11: no answer, status");
        is_str(&op.answer.body,
               i ? "{\"type\":\"about:blank\",\"title\":\"Gateway Timeout\","
                   "\"status\":504,\"detail\":\"the API did not answer\","
                   "\"upstream\":{\"status\":0,\"message\":\"it \\\"broke\\\""
                   "\"}}"
                 : "{\"type\":\"about:blank\",\"title\":\"Bad Gateway\","
                   "\"status\":502,\"detail\":\"the API did not answer\","
                   "\"upstream\":{\"status\":0,\"message\":\"it \\\"broke\\\""
                   "\"}}",
               "row 2.11: no answer, document");
    }

    begin();

    is_int(ngx_eb_genesys_op_refused(&op, &reply, NULL), NGX_DONE,
           "row 2.11: no answer, and no words");
    ok(has("\"upstream\":{\"status\":0,\"message\":\"\"}"),
       "row 2.11: no words");
}


/* as the retry engine hands them over */

static void
waits(void)
{
    ngx_uint_t                      i, n;
    ngx_eb_genesys_retry_t          state;
    ngx_eb_genesys_moment_t         moment;
    ngx_eb_genesys_request_t        request;
    ngx_eb_genesys_decision_t       decision;
    ngx_eb_genesys_retry_policy_t   policy;

    n = sizeof(after) / sizeof(after[0]);

    for (i = 0; i < n; i++) {
        begin();

        ngx_memzero(&state, sizeof(state));
        ngx_memzero(&request, sizeof(request));

        moment.msec = 1000;
        moment.sec = DATE - 60;
        moment.random = i * 7919;

        policy.tries = 1;
        policy.base = 500;
        policy.cap = NGX_EB_GENESYS_RETRY_CAP;
        policy.deadline = 30000;

        reply.status = 429;
        reply.retry_after = str(after[i].header);
        reply.body = str(after[i].body);

        ngx_eb_genesys_retry(&policy, &state, &request, &reply, &moment,
                             &decision);
        is_int(decision.what, NGX_EB_GENESYS_RETRY_GIVE_UP,
               "row 2.11: the last 429 %d", (int) i);
        reply.wait = decision.wait;

        is_int(ngx_eb_genesys_op_refused(&op, &reply, NULL), NGX_DONE,
               "row 2.11: the last 429 %d, problem", (int) i);
        is_int(op.answer.status, 503, "row 2.11: the last 429 %d, status",
               (int) i);
        is_int(op.answer.retry_after, after[i].expected,
               "row 2.11: the last 429, Retry-After \"%s\", body \"%.30s\"",
               after[i].header, after[i].body);
    }

    /* elsewhere it is not the caller's business */

    begin();
    reply.status = 503;
    reply.wait = 5000;
    ngx_eb_genesys_op_refused(&op, &reply, NULL);
    is_int(op.answer.retry_after, 0, "row 2.11: of 503 it is not repeated");
}


static void
bodies(void)
{
    char           expected[512];
    ngx_uint_t     i;
    const body_t  *b;

    for (i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
        b = &replies[i];

        begin();
        reply.status = 404;
        reply.body = str(b->body);

        is_int(ngx_eb_genesys_op_refused(&op, &reply, NULL), NGX_DONE,
               "row 2.11: %s", b->name);

        snprintf(expected, sizeof(expected),
                 "{\"type\":\"about:blank\",\"title\":\"Not Found\","
                 "\"status\":404,\"detail\":\"" GONE "\","
                 "\"upstream\":{\"status\":404%s}}", b->upstream);
        is_str(&op.answer.body, expected, "row 2.11: %s, document", b->name);
        ok(readable(&op.answer.body), "row 2.11: %s, is JSON", b->name);
    }
}


/* they are cut, and stay UTF-8 wherever that is */

static void
long_words(void)
{
    char        *text;
    size_t       n, shift;
    ngx_uint_t   i, bad;

    static const char  *names[] = { "code", "message", "contextId" };

    n = 100000;
    text = malloc(n + 64);
    bad = 0;

    for (i = 0; i < 3; i++) {
        for (shift = 0; shift < 4; shift++) {
            begin();
            reply.status = 500;

            sprintf(text, "{\"%s\":\"%.*s", names[i], (int) shift, "aaaa");

            while (strlen(text) < 4000) {
                strcat(text, "\xf0\x9f\x98\x80");
            }

            strcat(text, "\"}");
            reply.body = str(text);

            if (ngx_eb_genesys_op_refused(&op, &reply, NULL) != NGX_DONE
                || !readable(&op.answer.body)
                || !has("\xf0\x9f\x98\x80")
                || op.answer.body.len > 1500)
            {
                bad++;
            }
        }
    }

    is_int(bad, 0, "row 2.11: long words are cut, at any byte");

    /* six bytes each when they are written */

    begin();
    reply.status = 500;
    strcpy(text, "{\"message\":\"");

    for (i = 0; i < 3000; i++) {
        strcpy(text + 12 + 6 * i, "\\u0001");
    }

    strcat(text, "\"}");
    reply.body = str(text);

    is_int(ngx_eb_genesys_op_refused(&op, &reply, NULL), NGX_DONE,
           "row 2.11: control characters");
    ok(readable(&op.answer.body) && op.answer.body.len < 6500,
       "row 2.11: control characters are bounded, too");

    /* an error that is long is cut, too */

    begin();
    memset(text, 'e', n);
    reply.error = copy(text, n);

    is_int(ngx_eb_genesys_op_refused(&op, &reply, NULL), NGX_DONE,
           "row 2.11: a long error");
    ok(readable(&op.answer.body) && op.answer.body.len < 1500,
       "row 2.11: a long error is cut");

    begin();
    reply.status = 500;
    memset(text, '[', n);
    reply.body = copy(text, n);
    is_int(ngx_eb_genesys_op_refused(&op, &reply, NULL), NGX_DONE,
           "row 2.11: deep");
    ok(has("\"upstream\":{\"status\":500}"), "row 2.11: deep, and not told");

    free(text);
}


/* all of them, or none: half of a JSON text is none */

static void
details(void)
{
    char    *text;
    size_t   n;

    text = malloc(20000);

    for (n = 8190; n <= 8194; n++) {
        begin();
        reply.status = 400;

        strcpy(text, "{\"code\":\"c\",\"details\":[\"");
        memset(text + 24, 'd', n - 4);
        strcpy(text + 24 + n - 4, "\"]}");
        reply.body = str(text);

        is_int(ngx_eb_genesys_op_refused(&op, &reply, NULL), NGX_DONE,
               "details of %d bytes", (int) n);
        ok(readable(&op.answer.body), "details of %d bytes are JSON",
           (int) n);
        is_int(memmem(op.answer.body.data, op.answer.body.len, "details", 7)
               != NULL,
               n <= 8192, "details of %d bytes are told", (int) n);
        ok(has("\"code\":\"c\""), "details of %d bytes, the code", (int) n);
    }

    free(text);
}


static void
correlation(void)
{
    begin();
    reply.status = 500;
    reply.correlation_id = str("a-1");

    ngx_eb_genesys_op_reply(&op, &reply);
    is_int(ngx_eb_genesys_op_refused(&op, &reply, NULL), NGX_DONE,
           "row 2.11: a correlation id");
    ok(has("\"upstream\":{\"status\":500},\"correlationId\":\"a-1\"}"),
       "row 2.11: is in the document");
    is_str(&op.answer.correlation_id, "a-1", "row 2.11: and in the answer");
    is_int(op.answer.api_status, 500, "row 2.11: as is the status");

    /* of problems that are ours, too, after a reply */

    is_int(ngx_eb_genesys_op_problem(&op, 502, "x"), NGX_DONE,
           "row 2.11: a problem of our own");
    is_str(&op.answer.body, "{\"type\":\"about:blank\",\"title\":\"Bad "
           "Gateway\",\"status\":502,\"detail\":\"x\",\"correlationId\":"
           "\"a-1\"}", "row 2.11: has it as well");

    begin();
    reply.status = 500;
    reply.correlation_id = copy("\xff\"\r\n\0", 5);
    is_int(ngx_eb_genesys_op_refused(&op, &reply, NULL), NGX_DONE,
           "row 2.11: an odd correlation id");
    ok(readable(&op.answer.body), "row 2.11: is JSON");
    ok(has("\"correlationId\":\"\xef\xbf\xbd\\\"\\r\\n\\u0000\""),
       "row 2.11: is escaped");
}


static void
alternatives(void)
{
    begin();
    reply.status = 404;
    shim_log_lines = 0;

    is_int(ngx_eb_genesys_op_refused(&op, &reply, "Use \"that\"."), NGX_DONE,
           "404 with an alternative");
    ok(has("\"detail\":\"" GONE ". Use \\\"that\\\".\""),
       "404: the alternative is told");
    is_int(shim_log_lines, 1, "404: and is in the log, once");
    ok(strstr((char *) shim_log_line, "Use \"that\".") != NULL,
       "404: in full");

    begin();
    op.log = NULL;
    reply.status = 404;
    shim_log_lines = 0;
    ngx_eb_genesys_op_refused(&op, &reply, "Use \"that\".");
    ok(has("Use \\\"that\\\""), "404: without a log it is told");
    is_int(shim_log_lines, 0, "404: without a log");

    begin();
    reply.status = 500;
    shim_log_lines = 0;
    ngx_eb_genesys_op_refused(&op, &reply, "Use \"that\".");
    ok(has("\"detail\":\"" ILL "\""), "500: no alternative");
    is_int(shim_log_lines, 0, "500: is not in the log");
}


/* a detail of the caller's; all else is the same */

static void
own_words(void)
{
    ngx_str_t  detail;

    begin();
    reply.status = 429;
    reply.wait = 7000;
    reply.correlation_id = str("a-1");
    reply.body = str("{\"code\":\"c\"}");
    detail = str("it was \"not\" read");
    shim_log_lines = 0;

    is_int(ngx_eb_genesys_op_refused_for(&op, &reply, &detail), NGX_DONE,
           "own words");
    is_str(&op.answer.body,
           "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\","
           "\"status\":503,\"detail\":\"it was \\\"not\\\" read\","
           "\"upstream\":{\"status\":429,\"code\":\"c\"},"
           "\"correlationId\":\"a-1\"}", "own words: document");
    is_int(op.answer.retry_after, 7000, "own words: Retry-After");
    is_int(shim_log_lines, 0, "own words: not in the log");
}


static void
violations(void)
{
    ngx_eb_genesys_body_t  body;

    begin();
    is_int(ngx_eb_genesys_body_init(&body, pool, NULL), NGX_OK, "violations");

    ngx_eb_genesys_body_bad(&body, "rate", "range", "is not 1 to 1000");
    ngx_eb_genesys_body_bad(&body, "a\"b\n", "\xff", "");

    is_int(ngx_eb_genesys_op_violations(&op, &body), NGX_DONE,
           "violations: problem");
    is_int(op.answer.status, 400, "violations: status");
    is_str(&op.answer.body,
           "{\"type\":\"about:blank\",\"title\":\"Bad Request\","
           "\"status\":400,\"detail\":\"the request does not keep the rules\","
           "\"errors\":[{\"field\":\"rate\",\"rule\":\"range\",\"message\":"
           "\"is not 1 to 1000\"},{\"field\":\"a\\\"b\\n\",\"rule\":"
           "\"\xef\xbf\xbd\",\"message\":\"\"}]}", "violations: all at once");
    is_int(op.answer.api_status, 0, "violations: the API was not asked");
}


static void
many_violations(void)
{
    u_char                 *p;
    ngx_uint_t              i, n;
    ngx_eb_genesys_body_t   body;

    begin();
    ngx_eb_genesys_body_init(&body, pool, NULL);

    for (i = 0; i < 1000; i++) {
        ngx_eb_genesys_body_bad(&body, "f", "r", "m");
    }

    is_int(ngx_eb_genesys_op_violations(&op, &body), NGX_DONE,
           "many violations");
    ok(readable(&op.answer.body), "many violations are JSON");

    n = 0;

    for (p = op.answer.body.data;
         p < op.answer.body.data + op.answer.body.len - 8;
         p++)
    {
        if (ngx_memcmp(p, "\"field\":", 8) == 0) {
            n++;
        }
    }

    is_int(n, NGX_EB_GENESYS_MAX_VIOLATIONS, "many violations are bounded");
}


static void
formats(void)
{
    char         text[3000];
    ngx_str_t    value;
    ngx_uint_t   i;

    static const struct {
        ngx_uint_t   status;
        const char  *title;
    } titles[] = {
        { 400, "Bad Request" },
        { 404, "Not Found" },
        { 409, "Conflict" },
        { 422, "Unprocessable Content" },
        { 502, "Bad Gateway" },
        { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },
        { 418, "Error" }
    };

    for (i = 0; i < sizeof(titles) / sizeof(titles[0]); i++) {
        begin();
        value = copy("a\"b\0", 4);

        is_int(ngx_eb_genesys_op_problem(&op, titles[i].status, "%V is %ui",
                                         &value, (ngx_uint_t) 7),
               NGX_DONE, "problem %d", (int) titles[i].status);

        snprintf(text, sizeof(text),
                 "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,"
                 "\"detail\":\"a\\\"b\\u0000 is 7\"}", titles[i].title,
                 (int) titles[i].status);
        is_str(&op.answer.body, text, "problem %d: document",
               (int) titles[i].status);
    }

    begin();
    memset(text, 'x', sizeof(text));
    value = copy(text, sizeof(text));

    is_int(ngx_eb_genesys_op_problem(&op, 400, "%V", &value), NGX_DONE,
           "a long problem");
    ok(readable(&op.answer.body) && op.answer.body.len < 1200,
       "a long problem is cut");
}


static void
conflicts(void)
{
    ngx_uint_t  i;

    static const struct {
        ngx_uint_t   status;
        const char  *body;
        ngx_uint_t   expected;
    } table[] = {
        { 409, "", 1 },
        { 412, "", 1 },
        { 400, "{\"message\":\"Version 3 does not match the current version "
               "4\"}", 1 },
        { 400, "does not match the current version", 1 },
        { 400, "does not match the current versio", 0 },
        { 400, "", 0 },
        { 404, "does not match the current version", 0 },
        { 500, "does not match the current version", 0 },
        { 200, "", 0 },
        { 0, "", 0 }
    };

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        begin();
        reply.status = table[i].status;
        reply.body = str(table[i].body);

        is_int(ngx_eb_genesys_conflict(&reply), table[i].expected,
               "rows 0.10, 3.3: conflict, %d \"%.40s\"",
               (int) table[i].status, table[i].body);
    }
}


static void
ambiguities(void)
{
    ngx_uint_t  status, bad;

    bad = 0;

    for (status = 0; status < 700; status++) {
        begin();
        reply.status = status;

        if (ngx_eb_genesys_ambiguous(&reply)
            != (status == 0 || status == 408
                || (status >= 500 && status != 501)))
        {
            diag("%d", (int) status);
            bad++;
        }
    }

    is_int(bad, 0, "row 1.3: what may have been carried out");

    begin();
    reply.unsent = 1;
    is_int(ngx_eb_genesys_ambiguous(&reply), 0,
           "row 1.3: what was not sent was not");
}


static ngx_int_t
everything(void)
{
    ngx_int_t              rc;
    ngx_eb_genesys_body_t  body;

    reply.status = 404;
    reply.correlation_id = str("a-1");
    reply.body = str("{\"code\":\"\\u0061\",\"message\":\"m\",\"contextId\":"
                     "\"c\",\"details\":[1]}");

    if (reply.correlation_id.data == NULL || reply.body.data == NULL
        || ngx_eb_genesys_body_init(&body, pool, NULL) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_eb_genesys_body_bad(&body, "a", "b", "c");

    if (body.failed) {
        return NGX_ERROR;
    }

    rc = ngx_eb_genesys_op_violations(&op, &body);

    if (rc != NGX_DONE) {
        return rc;
    }

    rc = ngx_eb_genesys_op_problem(&op, 502, "x");

    if (rc != NGX_DONE) {
        return rc;
    }

    return ngx_eb_genesys_op_refused(&op, &reply, "Use that.");
}


static void
no_memory(void)
{
    ngx_int_t   rc;
    ngx_uint_t  n, bad;

    bad = 0;

    for (n = 0; n < 1000; n++) {
        begin();

        shim_allocs = n;
        rc = everything();
        shim_allocs = -1;

        if (rc == NGX_DONE) {
            break;
        }

        if (rc != NGX_ERROR) {
            diag("%d: %d", (int) n, (int) rc);
            bad++;
        }
    }

    is_int(bad, 0, "no memory");
    ok(n > 30 && n < 1000, "no memory, %d times", (int) n);
    ok(has("\"details\":[1]"), "enough memory");
}


int
main(void)
{
    mapped();
    no_answer();
    waits();
    bodies();
    long_words();
    details();
    correlation();
    alternatives();
    own_words();
    violations();
    many_violations();
    formats();
    conflicts();
    ambiguities();
    no_memory();

    ngx_destroy_pool(pool);
    is_int(shim_blocks, 0, "all memory is freed");

    return done_testing();
}
