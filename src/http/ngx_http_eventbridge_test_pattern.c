
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Does a pattern select an event?  Asked as the API of AWS is asked, so that
 * its command line and its SDKs can.
 */


#include "ngx_http_eventbridge_module.h"
#include "ngx_http_eventbridge_auth.h"
#include "ngx_eb_pattern.h"


/* a text of the sender inside of an answer */
#define NGX_HTTP_EVENTBRIDGE_TEST_TEXT  512

/* the fixed part of an answer, and its texts with each byte as six */
#define NGX_HTTP_EVENTBRIDGE_TEST_SIZE                                       \
    (512 + 3 * 6 * NGX_HTTP_EVENTBRIDGE_TEST_TEXT)


/*
 * Bytes of the pattern times those of the event: a sender has both in hand, and
 * as many conditions as values can be are compared at one go.  The longest
 * pattern that AWS takes, and the longest event.
 */
#define NGX_HTTP_EVENTBRIDGE_TEST_WORK  ((size_t) 4096 * 256 * 1024)


/* one question; it lives as long as its request */

typedef struct {
    ngx_http_request_t       *request;
    ngx_http_eventbridge_worker_t  *worker;
    ngx_str_t                 body;
    ngx_str_t                 pattern;      /* JSON texts */
    ngx_str_t                 event;
    ngx_str_t                 type;         /* of the answer */
    ngx_eb_out_t              out;
    u_char                   *start;
    ngx_uint_t                explain;
} ngx_http_eventbridge_test_t;


static void ngx_http_eventbridge_test_body(ngx_http_request_t *r);
static ngx_int_t ngx_http_eventbridge_test_target(
    ngx_http_eventbridge_test_t *test);
static ngx_int_t ngx_http_eventbridge_test_read(
    ngx_http_eventbridge_test_t *test);
static ngx_int_t ngx_http_eventbridge_test_member(
    ngx_http_eventbridge_test_t *test, ngx_eb_json_t *json, const char *name,
    ngx_str_t *value);
static ngx_int_t ngx_http_eventbridge_test_run(
    ngx_http_eventbridge_test_t *test);
static ngx_int_t ngx_http_eventbridge_test_match(
    ngx_http_eventbridge_test_t *test, ngx_eb_pattern_set_t *set,
    ngx_eb_pattern_t *pattern);
static ngx_int_t ngx_http_eventbridge_test_invalid(
    ngx_http_eventbridge_test_t *test, const char *type, const char *fmt,
    ...);
static ngx_int_t ngx_http_eventbridge_test_answer(
    ngx_http_eventbridge_test_t *test, ngx_uint_t status);


static ngx_str_t  ngx_http_eventbridge_test_json =
    ngx_string("application/json");
static ngx_str_t  ngx_http_eventbridge_test_amz =
    ngx_string("application/x-amz-json-1.1");


ngx_int_t
ngx_http_eventbridge_test_pattern_handler(ngx_http_request_t *r)
{
    ngx_int_t                         rc;
    ngx_http_eventbridge_loc_conf_t  *elcf;

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "eventbridge test pattern handler");

    if (r != r->main) {
        return NGX_HTTP_NOT_FOUND;
    }

    elcf = ngx_http_get_module_loc_conf(r, ngx_http_eventbridge_module);

    /* who signs the body is known when it is there */

    rc = (elcf->auth && elcf->auth->bodies)
         ? NGX_OK : ngx_http_eventbridge_control_access(r);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_eventbridge_post_only(r, "a pattern and an event are posted");

    if (rc != NGX_DECLINED) {
        return rc;
    }

    r->request_body_no_buffering = 0;

    rc = ngx_http_read_client_request_body(r, ngx_http_eventbridge_test_body);

    return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
}


static void
ngx_http_eventbridge_test_body(ngx_http_request_t *r)
{
    ngx_int_t                          rc;
    ngx_str_t                          value;
    ngx_table_elt_t                   *h;
    ngx_http_eventbridge_test_t        test;
    ngx_http_eventbridge_main_conf_t  *emcf;

    ngx_memzero(&test, sizeof(ngx_http_eventbridge_test_t));

    if (ngx_http_eventbridge_body(r, r->pool, 0, &test.body) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    rc = ngx_http_eventbridge_auth_body(r, &test.body);

    if (rc != NGX_OK) {
        ngx_http_finalize_request(r, (rc == NGX_HTTP_UNAUTHORIZED)
                                     ? ngx_http_eventbridge_auth_refuse(r)
                                     : NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    emcf = ngx_http_get_module_main_conf(r, ngx_http_eventbridge_module);

    test.request = r;
    test.worker = emcf->worker;
    test.type = ngx_http_eventbridge_test_json;

    h = r->headers_in.content_type;

    if (h && h->value.len >= ngx_http_eventbridge_test_amz.len
        && ngx_strncasecmp(h->value.data, ngx_http_eventbridge_test_amz.data,
                           ngx_http_eventbridge_test_amz.len)
           == 0)
    {
        test.type = ngx_http_eventbridge_test_amz;
    }

    test.explain = ngx_http_arg(r, (u_char *) "explain",
                                sizeof("explain") - 1, &value)
                   == NGX_OK
                   && value.len == 1 && value.data[0] == '1';

    test.start = ngx_pnalloc(r->pool, NGX_HTTP_EVENTBRIDGE_TEST_SIZE);

    if (test.start == NULL) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_eb_out_init(&test.out, test.start, NGX_HTTP_EVENTBRIDGE_TEST_SIZE);

    rc = ngx_http_eventbridge_test_target(&test);

    if (rc == NGX_OK) {
        rc = ngx_http_eventbridge_test_read(&test);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_eventbridge_test_run(&test);
    }

    ngx_eb_json_parser_trim(test.worker->parser,
                            NGX_HTTP_EVENTBRIDGE_KEEP_INDEX);

    /* NGX_DECLINED: what is wrong has been written */

    if (rc == NGX_OK || rc == NGX_DECLINED) {
        rc = ngx_http_eventbridge_test_answer(&test,
                                   rc == NGX_OK ? NGX_HTTP_OK
                                                : NGX_HTTP_BAD_REQUEST);

    } else {
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_finalize_request(r, rc);
}


/* a client of AWS says which operation it means, others need not */

static ngx_int_t
ngx_http_eventbridge_test_target(ngx_http_eventbridge_test_t *test)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    static ngx_str_t  name = ngx_string("X-Amz-Target");
    static ngx_str_t  target = ngx_string("AWSEvents.TestEventPattern");

    part = &test->request->headers_in.headers.part;
    i = 0;

    h = ngx_http_eventbridge_auth_next_header(&part, &i, &name);

    if (h == NULL || ngx_http_eventbridge_same(&h->value, &target)) {
        return NGX_OK;
    }

    return ngx_http_eventbridge_test_invalid(test, "UnknownOperationException",
                                  "the operation here is TestEventPattern");
}


/* the two texts, as they are or out of strings */

static ngx_int_t
ngx_http_eventbridge_test_read(ngx_http_eventbridge_test_t *test)
{
    ngx_int_t                         rc;
    ngx_eb_json_t                     json;
    ngx_eb_json_error_t               err;
    ngx_http_eventbridge_loc_conf_t  *elcf;

    elcf = ngx_http_get_module_loc_conf(test->request,
                                        ngx_http_eventbridge_module);

    /* the event is in an object more than where it is received */

    rc = ngx_eb_json_parse(test->worker->parser, test->body.data,
                           test->body.len, elcf->max_depth + 1, &json, &err);

    if (rc != NGX_OK) {

        if (err.code == NGX_EB_JSON_E_NOMEM) {
            return NGX_ERROR;
        }

        return ngx_http_eventbridge_test_invalid(test,
                                              "SerializationException",
                                              "%s at offset %uz",
                                              ngx_eb_json_strerror(err.code),
                                              err.offset);
    }

    if (ngx_eb_json_type(&json, 0) != '{') {
        return ngx_http_eventbridge_test_invalid(test,
                                              "SerializationException",
                                              "the body is not an object");
    }

    rc = ngx_http_eventbridge_test_member(test, &json, "EventPattern",
                                          &test->pattern);

    if (rc == NGX_OK) {
        rc = ngx_http_eventbridge_test_member(test, &json, "Event",
                                              &test->event);
    }

    return rc;
}


static ngx_int_t
ngx_http_eventbridge_test_member(ngx_http_eventbridge_test_t *test,
    ngx_eb_json_t *json, const char *name, ngx_str_t *value)
{
    ngx_str_t           member;
    ngx_eb_json_node_t  node;

    member.data = (u_char *) name;
    member.len = ngx_strlen(name);

    node = ngx_eb_json_member(json, 0, &member);

    if (node != NGX_EB_JSON_NONE) {

        switch (ngx_eb_json_type(json, node)) {

        case '"':
            return ngx_eb_json_string(json, node, test->request->pool, value);

        case '{':
            ngx_eb_json_raw(json, node, value);
            return NGX_OK;
        }
    }

    return ngx_http_eventbridge_test_invalid(test, "ValidationException",
                                             "\"%s\" is to be a string or an "
                                             "object", name);
}


static ngx_int_t
ngx_http_eventbridge_test_run(ngx_http_eventbridge_test_t *test)
{
    ngx_int_t                rc;
    ngx_eb_pattern_t        *pattern;
    ngx_eb_pattern_set_t    *set;
    ngx_eb_pattern_error_t   err;

    if (test->event.len
        && test->pattern.len > NGX_HTTP_EVENTBRIDGE_TEST_WORK
                               / test->event.len)
    {
        return ngx_http_eventbridge_test_invalid(test, "ValidationException",
                                             "Parameter Event is too long "
                                             "for a pattern of this length");
    }

    set = ngx_eb_pattern_set_create(test->request->pool);
    if (set == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_eb_pattern_compile(set, &test->pattern, &pattern, &err);

    if (rc == NGX_DECLINED) {
        return ngx_http_eventbridge_test_invalid(test,
                               "InvalidEventPatternException",
                               "Event pattern is not valid. Reason: %V%s%V%s "
                               "at offset %uz", &err.message,
                               err.field.len ? ", field \"" : "", &err.field,
                               err.field.len ? "\"" : "", err.offset);
    }

    if (rc != NGX_OK || ngx_eb_pattern_set_seal(set) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_eventbridge_test_match(test, set, pattern);
}


static ngx_int_t
ngx_http_eventbridge_test_match(ngx_http_eventbridge_test_t *test,
    ngx_eb_pattern_set_t *set, ngx_eb_pattern_t *pattern)
{
    ngx_int_t                         rc;
    ngx_str_t                         text;
    ngx_pool_t                       *pool;
    ngx_eb_json_t                     json;
    ngx_eb_json_error_t               err;
    ngx_eb_pattern_miss_t             miss;
    ngx_eb_pattern_scratch_t         *scratch;
    ngx_http_eventbridge_loc_conf_t  *elcf;

    pool = test->request->pool;
    elcf = ngx_http_get_module_loc_conf(test->request,
                                        ngx_http_eventbridge_module);

    rc = ngx_eb_json_parse(test->worker->parser, test->event.data,
                           test->event.len, elcf->max_depth, &json, &err);

    if (rc != NGX_OK && err.code == NGX_EB_JSON_E_NOMEM) {
        return NGX_ERROR;
    }

    if (rc != NGX_OK) {
        return ngx_http_eventbridge_test_invalid(test, "ValidationException",
                                              "Parameter Event is not valid: "
                                              "%s at offset %uz",
                                              ngx_eb_json_strerror(err.code),
                                              err.offset);
    }

    if (ngx_eb_json_type(&json, 0) != '{') {
        return ngx_http_eventbridge_test_invalid(test, "ValidationException",
                                              "Parameter Event is not valid: "
                                              "it is no object");
    }

    scratch = ngx_eb_pattern_scratch_create(pool, set, test->worker->regex);

    if (scratch == NULL
        || ngx_eb_pattern_collect(scratch, &json, 0) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_eb_pattern_match(scratch, pattern) == NGX_OK) {
        ngx_eb_out_lit(&test->out, "{\"Result\":true}\n");
        return NGX_OK;
    }

    ngx_eb_out_lit(&test->out, "{\"Result\":false");

    if (test->explain) {
        ngx_eb_pattern_explain(scratch, pattern, &miss);

        if (ngx_eb_pattern_sentence(pool, &json, &miss, &text) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_eb_out_lit(&test->out, ",\"Field\":");
        ngx_eb_out_string(&test->out, &miss.field,
                          NGX_HTTP_EVENTBRIDGE_TEST_TEXT);
        ngx_eb_out_lit(&test->out, ",\"Condition\":");
        ngx_eb_out_string(&test->out, &miss.condition,
                          NGX_HTTP_EVENTBRIDGE_TEST_TEXT);
        ngx_eb_out_lit(&test->out, ",\"Reason\":");
        ngx_eb_out_string(&test->out, &text, NGX_HTTP_EVENTBRIDGE_TEST_TEXT);
    }

    ngx_eb_out_lit(&test->out, "}\n");

    return NGX_OK;
}


/* {"__type":...,"message":...}; NGX_DECLINED */

static ngx_int_t
ngx_http_eventbridge_test_invalid(ngx_http_eventbridge_test_t *test,
    const char *type, const char *fmt, ...)
{
    u_char     buf[NGX_HTTP_EVENTBRIDGE_TEST_TEXT];
    va_list    args;
    ngx_str_t  text;

    text.data = (u_char *) type;
    text.len = ngx_strlen(type);

    ngx_eb_out_lit(&test->out, "{\"__type\":");
    ngx_eb_out_string(&test->out, &text, NGX_HTTP_EVENTBRIDGE_TEST_TEXT);

    va_start(args, fmt);
    text.data = buf;
    text.len = ngx_vslprintf(buf, buf + sizeof(buf), fmt, args) - buf;
    va_end(args);

    ngx_eb_out_lit(&test->out, ",\"message\":");
    ngx_eb_out_string(&test->out, &text, NGX_HTTP_EVENTBRIDGE_TEST_TEXT);
    ngx_eb_out_lit(&test->out, "}\n");

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_eventbridge_test_answer(ngx_http_eventbridge_test_t *test,
    ngx_uint_t status)
{
    ngx_str_t  body;

    body.data = test->start;
    body.len = test->out.pos - test->start;

    return ngx_http_eventbridge_respond(test->request, status, &test->type,
                                        &body);
}
