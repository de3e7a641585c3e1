
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Outbound integrations: what is refused before anything is probed, and
 * resolves against scripted probes and replies.
 */

/* sources: src/genesys/ngx_eb_genesys_endpoint.c src/genesys/ngx_eb_genesys_endpoint_doc.c src/genesys/ngx_eb_genesys_endpoint_record.c src/genesys/ngx_eb_genesys_body.c src/genesys/ngx_eb_genesys_op.c src/genesys/ngx_eb_genesys_duration.c src/genesys/ngx_eb_genesys_patch.c src/genesys/ngx_eb_genesys_list.c src/wire/ngx_eb_url.c src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c src/wire/ngx_eb_json_edit.c src/wire/ngx_eb_out.c */
/* libs: -lsimdjson */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "genesys_script.h"
#include "ngx_eb_genesys_endpoint.h"


#define LIST   "GET /api/v2/outbound/integrations?pageSize=100&pageNumber=1"
#define ITEM   "/api/v2/outbound/integrations/i1"
#define NONE   "{\"entities\":[],\"total\":0}"
#define FOUND  "{\"entities\":[{\"id\":\"i1\",\"name\":\"hook\"}]}"

#define HEAD   "\"name\":\"hook\",\"type\":\"webhook\""
#define URI    "\"uri\":\"https://a.example.com/x?key=s3cret\""
#define BODY   "{" HEAD "," URI "}"

/* of another spelling, and as the API would have it */
#define FULL   HEAD "," URI ",\"uris\":[\"https://b.example.com\"],"          \
               "\"retryPolicy\":{\"maxRetries\":3,\"retryInterval\":0.5,"     \
               "\"backoffFactor\":1.0},\"eventFilters\":[{\"eventType\":"     \
               "\"v2.x\",\"fields\":[\"a\",\"b\"]}],\"headers\":{\"X-A\":"    \
               "\"1\",\"X-B\":\"2\"}"
#define SAME   "\"version\":7,\"type\":\"webhook\",\"name\":\"hook\",\"uri\""  \
               ":\"https://a.example.com/x?key=s3cret\",\"uris\":"            \
               "[\"https:\\/\\/b.example.com\"],\"headers\":{\"X-B\":\"2\","   \
               "\"X-A\":\"1\"},\"retryPolicy\":{\"maxRetries\":3.0,"          \
               "\"retryInterval\":5e-1,\"backoffFactor\":1},\"eventFilters\"" \
               ":[{\"fields\":[\"a\",\"b\"],\"eventType\":\"v2.x\"}],"        \
               "\"status\":\"active\""


static ngx_str_t str(const char *s);
static ngx_msec_t now(void);
static ngx_eb_genesys_op_t *resolve(const char *body);
static ngx_eb_genesys_op_t *probed(const char *body, ngx_uint_t failing);
static void done(ngx_int_t rc, ngx_uint_t status, const char *action,
    ngx_uint_t changed, const char *state, const char *name);
static void bad(const char *body, ngx_uint_t n, const char *field,
    const char *rule, const char *name);
static void member(const char *text, const char *field, const char *rule);
static void good(const char *text, ngx_uint_t endpoints, const char *name);
static void names(void);
static void uris(void);
static void policies(void);
static void filters(void);
static void headers(void);
static void bodies(void);
static void probes(void);
static void creations(void);
static void updates(void);
static void conflicts(void);
static void refusals(void);
static void records(void);
static void numbers(void);
static ngx_int_t cramped(ngx_int_t allocs);
static void no_memory(void);


static ngx_pool_t                      *pool;
static ngx_eb_genesys_op_t              op;
static ngx_eb_genesys_endpoint_conf_t   conf;
static ngx_msec_t                       clock_ms;


static ngx_str_t
str(const char *s)
{
    return script_str(pool, s);
}


/* each look at it takes 5 ms */

static ngx_msec_t
now(void)
{
    clock_ms += 5;

    return clock_ms;
}


static ngx_eb_genesys_op_t *
resolve(const char *body)
{
    ngx_str_t  *text;

    text = ngx_palloc(pool, sizeof(ngx_str_t));
    *text = str(body);

    op.pool = pool;
    op.log = &shim_log;

    if (ngx_eb_genesys_endpoint_resolve(&op, &conf, text) != NGX_OK) {
        ok(0, "an operation");
    }

    return &op;
}


/* the last so many endpoints are not reachable */

static ngx_eb_genesys_op_t *
probed(const char *body, ngx_uint_t failing)
{
    ngx_uint_t                  i, n;
    ngx_eb_genesys_uri_t       *uri;
    ngx_eb_genesys_endpoint_t  *what;

    resolve(body);

    what = ngx_eb_genesys_endpoint(&op);
    ok(what->valid, "its endpoints are to be probed");

    uri = what->doc.endpoints.elts;
    n = what->doc.endpoints.nelts;

    for (i = 0; i < n; i++) {
        uri[i].probed = 1;
        uri[i].total = 12;

        if (i < n - failing) {
            uri[i].reachable = 1;
            uri[i].phase = str("http");
            uri[i].status = 204;
            uri[i].certificate = 1;
            uri[i].days = 90;
            uri[i].json = str("{\"ok\":true,\"status\":204}");

        } else {
            uri[i].phase = str("tls");
            uri[i].error = str("certificate_expired");
            uri[i].words = str("certificate expired 3 days ago");
            uri[i].json = str("{\"ok\":false,\"phase\":\"tls\"}");
        }
    }

    return &op;
}


static void
done(ngx_int_t rc, ngx_uint_t status, const char *action, ngx_uint_t changed,
    const char *state, const char *name)
{
    is_int(rc, NGX_DONE, "%s: is done", name);

    if (!is_int(op.answer.status, status, "%s: status", name)) {
        diag("%.*s", (int) op.answer.body.len, op.answer.body.data);
    }

    is_str(&op.answer.action, action, "%s: action", name);
    is_int(op.answer.changed, changed, "%s: changed", name);
    is_str(ngx_eb_genesys_state(ngx_eb_genesys_endpoint(&op)->state), state,
           "%s: state", name);
}


static void
bad(const char *body, ngx_uint_t n, const char *field, const char *rule,
    const char *name)
{
    ngx_int_t  rc;

    resolve(body);
    ok(!ngx_eb_genesys_endpoint(&op)->valid, "%s: is not probed", name);

    rc = play(&op, name, NULL, 0);
    done(rc, 400, "endpoint_resolve", 0, "invalid", name);

    script_violations(&op, n, field, rule, name);
}


/* the only thing that is wrong */

static void
member(const char *text, const char *field, const char *rule)
{
    u_char  *p, body[8192], name[128];

    p = ngx_sprintf(body, "{" HEAD "," URI ",%s}", text);
    *p = '\0';

    p = ngx_snprintf(name, sizeof(name) - 1, "row 2.3: %s", text);
    *p = '\0';

    bad((char *) body, 1, field, rule, (char *) name);
}


static void
good(const char *text, ngx_uint_t endpoints, const char *name)
{
    u_char                      *p, body[8192];
    ngx_eb_genesys_endpoint_t   *what;

    p = ngx_sprintf(body, "{" HEAD ",%s}", text);
    *p = '\0';

    resolve((char *) body);
    what = ngx_eb_genesys_endpoint(&op);

    if (!ok(what->valid, "%s: is valid", name)) {
        play(&op, name, NULL, 0);
        diag("%.*s", (int) op.answer.body.len, op.answer.body.data);
    }

    is_int(what->doc.endpoints.nelts, endpoints, "%s: endpoints", name);
}


static void
names(void)
{
    u_char  *p, body[1024];

    bad("{" URI "}", 2, "name", "required", "row 2.3: no name");
    script_has(&op, "{\"field\":\"type\",\"rule\":\"required\"",
               "row 2.3: no type");
    bad("{\"name\":\"\",\"type\":7," URI "}", 2, "name", "length",
        "row 2.3: an empty name");
    bad("{\"name\":\"a\\nb\",\"type\":\"webhook\"," URI "}", 1, "name",
        "characters", "row 2.3: a line end in the name");

    p = ngx_sprintf(body, "{\"name\":\"");
    ngx_memset(p, 'n', 257);
    *ngx_sprintf(p + 257, "\",\"type\":\"webhook\"," URI "}") = '\0';

    bad((char *) body, 1, "name", "length", "row 2.3: a long name");

    member("\"id\":\"a/b\"", "id", "value");
    member("\"id\":5", "id", "type");
    member("\"version\":\"1\"", "version", "type");
    member("\"version\":-1", "version", "range");
    member("\"other\":1", "other", "unknown");
    member("\"type\":\"webhook\"", "type", "unique");
}


static void
uris(void)
{
    u_char      *p, body[8192], name[64];
    ngx_uint_t   i;

    static const char *no[] = {
        "", "a", "http://a.example.com/", "https://", "https:///x",
        "https://u@a.example.com/", "https://a.example.com/#f",
        "https://a.example.com:0/", "https://a.example.com:65536/",
        "https://a.example.com:x/", "https://a b/", "https://[::1", "//a/",
        "https://a.example.com/\\u0000", "https://a.example.com/\\r\\n",
        "https://2130706433/", "https://0x7f.1/", "https://a..b/",
        "ftp://a.example.com/"
    };

    for (i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        *ngx_sprintf(body, "{" HEAD ",\"uri\":\"%s\"}", no[i]) = '\0';
        *ngx_sprintf(name, "row 2.3: URI \"%s\"", no[i]) = '\0';
        bad((char *) body, 1, "uri", "uri", (char *) name);
    }

    bad("{" HEAD "}", 1, "uri", "required", "row 2.3: no URI at all");
    bad("{" HEAD ",\"uris\":[]}", 1, "uri", "required", "row 2.3: no URIs");
    bad("{" HEAD ",\"uri\":null}", 1, "uri", "type", "row 2.3: null");
    bad("{" HEAD ",\"uris\":{}}", 1, "uris", "type", "row 2.3: no array");
    bad("{" HEAD ",\"uris\":[\"\",\"https://a\",7]}", 2, "uris[2]", "type",
        "row 2.3: each of them");
    script_has(&op, "{\"field\":\"uris[0]\",\"rule\":\"uri\"",
               "row 2.3: an empty one");

    good("\"uri\":\"https://a/\"", 1, "row 2.4: one");
    good("\"uris\":[\"https://a/\"]", 1, "row 2.4: one in a list");
    good("\"uri\":\"https://a/\",\"uris\":[]", 1, "row 2.4: an empty list");
    good("\"uri\":\"https://a/\",\"uris\":[\"https://a\",\"HTTPS://A:443/\","
         "\"https://b/\",\"https://a/\"]", 2, "row 2.4: the same ones");
    good("\"uris\":[\"https://a:8443/\",\"https://a/\",\"https://a/?\","
         "\"https://a/?x\",\"https://a/X\",\"https://a/x\"]", 5,
         "row 2.4: different ones");

    p = ngx_sprintf(body, "\"uri\":\"https://h0/\",\"uris\":[\"https://h0/\"");

    for (i = 1; i < 10; i++) {
        p = ngx_sprintf(p, ",\"https://h%ui/\"", i);
    }

    *ngx_sprintf(p, "]") = '\0';
    good((char *) body, 10, "row 2.4: ten of them");

    *ngx_sprintf(p, ",\"https://h10/\"]") = '\0';
    member((char *) body + sizeof("\"uri\":\"https://h0/\",") - 1, "uris",
           "endpoints");

    p = ngx_sprintf(body, "\"uris\":[\"https://h0/\"");

    for (i = 1; i < 101; i++) {
        p = ngx_sprintf(p, ",\"https://h0/\"");
    }

    *ngx_sprintf(p, "]") = '\0';
    member((char *) body, "uris", "length");
}


static void
policies(void)
{
    member("\"retryPolicy\":[]", "retryPolicy", "type");
    member("\"retryPolicy\":{\"x\":1}", "retryPolicy.x", "unknown");
    member("\"retryPolicy\":{\"maxRetries\":6}", "retryPolicy.maxRetries",
           "range");
    member("\"retryPolicy\":{\"maxRetries\":-1}", "retryPolicy.maxRetries",
           "range");
    member("\"retryPolicy\":{\"maxRetries\":1.5}", "retryPolicy.maxRetries",
           "range");
    member("\"retryPolicy\":{\"maxRetries\":\"1\"}", "retryPolicy.maxRetries",
           "type");
    member("\"retryPolicy\":{\"retryInterval\":0}",
           "retryPolicy.retryInterval", "range");
    member("\"retryPolicy\":{\"retryInterval\":-0.1}",
           "retryPolicy.retryInterval", "range");
    member("\"retryPolicy\":{\"retryInterval\":1e400}",
           "retryPolicy.retryInterval", "range");
    member("\"retryPolicy\":{\"retryInterval\":86400000.001}",
           "retryPolicy.retryInterval", "range");
    member("\"retryPolicy\":{\"backoffFactor\":0.99999999999999999999}",
           "retryPolicy.backoffFactor", "range");
    member("\"retryPolicy\":{\"backoffFactor\":10.00000000000000000001}",
           "retryPolicy.backoffFactor", "range");
    member("\"retryPolicy\":{\"backoffFactor\":null}",
           "retryPolicy.backoffFactor", "type");

    good(URI ",\"retryPolicy\":{}", 1, "row 2.3: an empty retry policy");
    good(URI ",\"retryPolicy\":{\"maxRetries\":0,\"retryInterval\":1e-400,"
         "\"backoffFactor\":1e0}", 1, "row 2.3: least retries");
    good(URI ",\"retryPolicy\":{\"maxRetries\":5,\"retryInterval\":"
         "8.64e7,\"backoffFactor\":10}", 1, "row 2.3: most retries");
}


static void
filters(void)
{
    u_char      *p, body[8192];
    ngx_uint_t   i;

    member("\"eventFilters\":{}", "eventFilters", "type");
    member("\"eventFilters\":[1]", "eventFilters[0]", "type");
    member("\"eventFilters\":[{}]", "eventFilters[0].eventType", "required");
    member("\"eventFilters\":[{\"eventType\":\"\"}]",
           "eventFilters[0].eventType", "length");
    member("\"eventFilters\":[{\"eventType\":\"a\"},{\"eventType\":\"a\","
           "\"x\":1}]", "eventFilters[1].x", "unknown");
    member("\"eventFilters\":[{\"eventType\":\"a\",\"fields\":\"a\"}]",
           "eventFilters[0].fields", "type");
    member("\"eventFilters\":[{\"eventType\":\"a\",\"fields\":[\"a\",\"a\"]}]",
           "eventFilters[0].fields[1]", "unique");

    p = ngx_sprintf(body, "\"eventFilters\":[{\"eventType\":\"a\"}");

    for (i = 0; i < 64; i++) {
        p = ngx_sprintf(p, ",{\"eventType\":\"a\"}");
    }

    *ngx_sprintf(p, "]") = '\0';
    member((char *) body, "eventFilters", "length");
}


static void
headers(void)
{
    u_char      *p, body[8192];
    ngx_uint_t   i;

    member("\"headers\":[]", "headers", "type");
    member("\"headers\":{\"\":\"a\"}", "headers.", "token");
    member("\"headers\":{\"X A\":\"a\"}", "headers.X A", "token");
    member("\"headers\":{\"X:\":\"a\"}", "headers.X:", "token");
    member("\"headers\":{\"X\\r\\nY\":\"a\"}", "headers.X\\r\\nY", "token");
    member("\"headers\":{\"X\":\"a\\r\\nY: b\"}", "headers.X", "value");
    member("\"headers\":{\"X\":\"a\\u0000\"}", "headers.X", "value");
    member("\"headers\":{\"X\":1}", "headers.X", "type");
    member("\"headers\":{\"X-A\":\"1\",\"x-a\":\"2\"}", "headers.x-a",
           "token");

    p = ngx_sprintf(body, "\"headers\":{\"h\":\"\"");

    for (i = 0; i < 32; i++) {
        p = ngx_sprintf(p, ",\"h%ui\":\"\"", i);
    }

    *ngx_sprintf(p, "}") = '\0';
    member((char *) body, "headers", "length");

    good(URI ",\"headers\":{\"X-A\":\"\",\"!#$%&'*+-.^_`|~9\":\"a b\"}", 1,
         "row 2.3: headers that are some");
}


static void
bodies(void)
{
    u_char      *p;
    ngx_uint_t   i;

    bad("", 1, "", "json", "an empty body");
    bad("[]", 1, "", "type", "an array");
    bad("{\"name\":\"a\"", 1, "", "json", "half a body");
    bad("{\"type\":\"\",\"uri\":\"x\",\"uris\":[\"y\"],\"retryPolicy\":"
        "{\"maxRetries\":9,\"backoffFactor\":0},\"headers\":{\"a b\":\"\"},"
        "\"eventFilters\":[{}],\"z\":0}", 9, "retryPolicy.backoffFactor",
        "range", "all violations at once");

    /* hostile ones have no end of them */

    p = ngx_pnalloc(pool, 500000);
    i = ngx_sprintf(p, "{" HEAD ",\"uris\":[\"x\"") - p;

    while (i < 400000) {
        i = ngx_sprintf(p + i, ",\"x\"") - p;
    }

    *ngx_sprintf(p + i, "]}") = '\0';
    bad((char *) p, 64, "uris[63]", "uri", "violations without end");
}


static void
probes(void)
{
    ngx_int_t  rc;

    probed("{" HEAD "," URI ",\"uris\":[\"https://b/?k=s3\"]}", 1);
    rc = play(&op, "row 2.5", NULL, 0);
    done(rc, 502, "endpoint_resolve", 0, "unreachable", "row 2.5");
    script_has(&op, "1 of 2 endpoints cannot be used, the first for this "
               "reason: tls: certificate expired 3 days ago", "row 2.5");
    script_has(&op, "\"endpoints\":[{\"uri\":\"https://a.example.com/x?key="
               "s3cret\",\"ok\":true,\"status\":204},{\"uri\":\"https://b/?k="
               "s3\",\"ok\":false,\"phase\":\"tls\"}],\"latencyMs\":5}",
               "row 2.5");

    conf.dry_run = 1;

    probed(BODY, 0);
    rc = play(&op, "dry run", NULL, 0);
    done(rc, 200, "endpoint_validated", 0, "validated", "dry run");
    script_has(&op, "{\"valid\":true,\"endpoints\":[{", "dry run");

    probed(BODY, 1);
    rc = play(&op, "dry run of what is down", NULL, 0);
    done(rc, 502, "endpoint_resolve", 0, "unreachable",
         "dry run of what is down");

    bad("{}", 3, "uri", "required", "dry run of nothing");

    conf.dry_run = 0;

    /* nothing at all is known of it: there was no memory for more */

    probed(BODY, 1);
    ngx_str_null(&((ngx_eb_genesys_uri_t *)
                   ngx_eb_genesys_endpoint(&op)->doc.endpoints.elts)->json);
    rc = play(&op, "no result", NULL, 0);
    done(rc, 502, "endpoint_resolve", 0, "unreachable", "no result");
    script_has(&op, "\"endpoints\":[{\"uri\":\"https://a.example.com/x?key="
               "s3cret\"}]", "no result");
}


static void
creations(void)
{
    ngx_int_t  rc;

    probed(BODY, 0);
    rc = script(&op, "created",
        { LIST, "", .status = 200, .reply = NONE },
        { "POST /api/v2/outbound/integrations", BODY, .status = 201,
          .reply = "{\"id\":\"i1\",\"status\":\"active\"}" });
    done(rc, 201, "endpoint_created", 1, "deployed", "created");
    is_str(&op.answer.id, "i1", "created: its id");
    script_has(&op, "{\"id\":\"i1\",\"name\":\"hook\",\"state\":\"deployed\","
               "\"changed\":true,\"integration\":{\"id\":\"i1\",\"status\":"
               "\"active\"},\"endpoints\":[{\"uri\"", "created");

    /* an answer was lost: it is there */

    probed(BODY, 0);
    rc = script(&op, "row 2.10: lost",
        { LIST, "", .status = 200, .reply = NONE },
        { "POST /api/v2/outbound/integrations", BODY, .status = 0 },
        { LIST, "", .delay = 1000, .status = 200, .reply = FOUND },
        { "GET " ITEM, "", .status = 200, .reply = BODY });
    done(rc, 201, "endpoint_created", 1, "deployed", "row 2.10: lost");

    /* three times, and it never is */

    probed(BODY, 0);
    rc = script(&op, "row 2.10: 503 all the time",
        { LIST, "", .status = 200, .reply = NONE },
        { "POST /api/v2/outbound/integrations", BODY, .status = 503 },
        { LIST, "", .delay = 1000, .status = 200, .reply = NONE },
        { "POST /api/v2/outbound/integrations", BODY, .status = 503 },
        { LIST, "", .delay = 2000, .status = 200, .reply = NONE },
        { "POST /api/v2/outbound/integrations", BODY, .status = 503 },
        { LIST, "", .delay = 3000, .status = 200, .reply = NONE });
    done(rc, 502, "endpoint_resolve", 0, "failed",
         "row 2.10: 503 all the time");

    /* the API says when it may be asked again */

    probed(BODY, 0);
    rc = script(&op, "row 2.9: Retry-After of a POST",
        { LIST, "", .status = 200, .reply = NONE },
        { "POST /api/v2/outbound/integrations", BODY, .status = 503,
          .wait = 4000 },
        { LIST, "", .delay = 4000, .status = 200, .reply = NONE },
        { "POST /api/v2/outbound/integrations", BODY, .status = 503,
          .wait = 600000, .late = 1 });
    done(rc, 502, "endpoint_resolve", 0, "failed", "row 2.9: Retry-After");

    /* someone was faster */

    probed(BODY, 0);
    rc = script(&op, "row 2.10: 409",
        { LIST, "", .status = 200, .reply = NONE },
        { "POST /api/v2/outbound/integrations", BODY, .status = 409 },
        { LIST, "", .delay = 500, .status = 200, .reply = FOUND },
        { "GET " ITEM, "", .status = 200, .reply = "{}" },
        { "PUT " ITEM, BODY, .status = 200, .reply = BODY });
    done(rc, 200, "endpoint_updated", 1, "deployed", "row 2.10: 409");

    /* created, but which? */

    probed(BODY, 0);
    rc = script(&op, "no id",
        { LIST, "", .status = 200, .reply = NONE },
        { "POST /api/v2/outbound/integrations", BODY, .status = 201 },
        { LIST, "", .delay = 500, .status = 200, .reply = FOUND },
        { "GET " ITEM, "", .status = 200, .reply = BODY });
    done(rc, 201, "endpoint_created", 1, "deployed", "no id");

    probed(BODY, 0);
    rc = script(&op, "no id, nor in the list",
        { LIST, "", .status = 200, .reply = NONE },
        { "POST /api/v2/outbound/integrations", BODY, .status = 201,
          .reply = "{\"id\":\"..\"}" },
        { LIST, "", .delay = 500, .status = 200, .reply = NONE });
    done(rc, 502, "endpoint_resolve", 1, "failed", "no id, nor in the list");

    /* it comes and goes */

    probed(BODY, 0);
    rc = script(&op, "restless",
        { LIST, "", .status = 200, .reply = FOUND },
        { "GET " ITEM, "", .status = 404 },
        { LIST, "", .status = 200, .reply = FOUND },
        { "GET " ITEM, "", .status = 410 },
        { LIST, "", .status = 200, .reply = FOUND },
        { "GET " ITEM, "", .status = 200, .reply = "{}" },
        { "PUT " ITEM, BODY, .status = 404 },
        { LIST, "", .status = 200, .reply = FOUND },
        { "GET " ITEM, "", .status = 404 },
        { LIST, "", .status = 200, .reply = FOUND },
        { "GET " ITEM, "", .status = 404 },
        { LIST, "", .status = 200, .reply = FOUND },
        { "GET " ITEM, "", .status = 404 });
    done(rc, 502, "endpoint_resolve", 0, "failed", "restless");
}


static void
updates(void)
{
    ngx_int_t  rc;

    probed("{" FULL "}", 0);
    rc = script(&op, "row 2.10: unchanged",
        { LIST, "", .status = 200, .reply = FOUND },
        { "GET " ITEM, "", .status = 200, .reply = "{\"id\":\"i1\"," SAME
          "}" });
    done(rc, 200, "endpoint_unchanged", 0, "deployed", "row 2.10: unchanged");

    /* what is not ours keeps its bytes */

    probed("{" FULL "}", 0);
    rc = script(&op, "row 2.10: updated",
        { LIST, "", .status = 200, .reply = FOUND },
        { "GET " ITEM, "", .status = 200, .etag = "\"e\"",
          .reply = "{\"n\":1e2, " SAME ",\"type\":\"x\"}" },
        { "PUT " ITEM, NULL, .if_match = "\"e\"", .status = 200,
          .reply = "{" SAME "}" });
    done(rc, 200, "endpoint_updated", 1, "deployed", "row 2.10: updated");

    probed("{" HEAD "," URI ",\"headers\":{\"X-A\":\"1\"},\"eventFilters\":"
           "[]}", 0);
    rc = script(&op, "headers and filters are whole",
        { LIST, "", .status = 200, .reply = FOUND },
        { "GET " ITEM, "", .status = 200, .reply = "{" HEAD "," URI
          ",\"headers\":{\"X-A\":\"1\",\"X-B\":\"2\"},\"eventFilters\":[1],"
          "\"k\":0}" },
        { "PUT " ITEM, "{" HEAD "," URI ",\"headers\":{\"X-A\":\"1\"},"
          "\"eventFilters\":[],\"k\":0}", .status = 200 });
    done(rc, 200, "endpoint_updated", 1, "deployed",
         "headers and filters are whole");

    /* no URI that nobody looked at stays in use */

    probed(BODY, 0);
    rc = script(&op, "row 2.5: other URIs go",
        { LIST, "", .status = 200, .reply = FOUND },
        { "GET " ITEM, "", .status = 200, .reply = "{" HEAD "," URI
          ",\"uris\":[\"https://evil/\"]}" },
        { "PUT " ITEM, "{" HEAD "," URI ",\"uris\":[]}", .status = 200 });
    done(rc, 200, "endpoint_updated", 1, "deployed",
         "row 2.5: other URIs go");

    probed("{" HEAD ",\"uris\":[\"https://b/\",\"https://c/\"]}", 0);
    rc = script(&op, "row 2.5: the primary one, too",
        { LIST, "", .status = 200, .reply = FOUND },
        { "GET " ITEM, "", .status = 200, .reply = "{" HEAD ",\"uri\":"
          "\"https://evil/\"}" },
        { "PUT " ITEM, "{" HEAD ",\"uri\":\"https://b/\",\"uris\":"
          "[\"https://b/\",\"https://c/\"]}", .status = 200 });
    done(rc, 200, "endpoint_updated", 1, "deployed",
         "row 2.5: the primary one, too");

    /* by id */

    probed("{\"id\":\"i1\"," HEAD "," URI "}", 0);
    rc = script(&op, "by id",
        { "GET " ITEM, "", .status = 200, .reply = "{" HEAD "}" },
        { "PUT " ITEM, BODY, .status = 200, .reply = "[]" });
    done(rc, 200, "endpoint_updated", 1, "deployed", "by id");

    probed("{\"id\":\"i1\"," HEAD "," URI "}", 0);
    rc = script(&op, "by id that is none",
        { "GET " ITEM, "", .status = 404 });
    done(rc, 404, "endpoint_resolve", 0, "failed", "by id that is none");
    script_has(&op, "/api/v2/integrations/actions", "by id that is none");
}


static void
conflicts(void)
{
    ngx_int_t  rc;

    probed(BODY, 0);
    rc = script(&op, "a conflict",
        { LIST, "", .status = 200, .reply = FOUND },
        { "GET " ITEM, "", .status = 200, .reply = "{\"version\":1}" },
        { "PUT " ITEM, NULL, .status = 409 },
        { "GET " ITEM, "", .status = 200, .reply = "{\"version\":2}" },
        { "PUT " ITEM, "{\"version\":2," HEAD "," URI "}", .status = 200 });
    done(rc, 200, "endpoint_updated", 1, "deployed", "a conflict");

    probed(BODY, 0);
    rc = script(&op, "conflicts",
        { LIST, "", .status = 200, .reply = FOUND },
        { "GET " ITEM, "", .status = 200, .reply = "{}" },
        { "PUT " ITEM, NULL, .status = 412 },
        { "GET " ITEM, "", .status = 200, .reply = "{}" },
        { "PUT " ITEM, NULL, .status = 412 },
        { "GET " ITEM, "", .status = 200, .reply = "{}" },
        { "PUT " ITEM, NULL, .status = 412 },
        { "GET " ITEM, "", .status = 200, .reply = "{}" },
        { "PUT " ITEM, NULL, .status = 412 });
    done(rc, 409, "endpoint_resolve", 0, "failed", "conflicts");

    probed("{\"version\":1," HEAD "," URI "}", 0);
    rc = script(&op, "an old version",
        { LIST, "", .status = 200, .reply = FOUND },
        { "GET " ITEM, "", .status = 200, .reply = "{\"version\":2}" });
    done(rc, 409, "endpoint_resolve", 0, "failed", "an old version");

    probed("{\"version\":1," HEAD "," URI "}", 0);
    rc = script(&op, "a version of nothing",
        { LIST, "", .status = 200, .reply = NONE });
    done(rc, 409, "endpoint_resolve", 0, "failed", "a version of nothing");

    probed("{\"version\":2," HEAD "," URI "}", 0);
    rc = script(&op, "the version",
        { LIST, "", .status = 200, .reply = FOUND },
        { "GET " ITEM, "", .status = 200, .reply = "{\"version\":2}" },
        { "PUT " ITEM, NULL, .status = 409 });
    done(rc, 409, "endpoint_resolve", 0, "failed", "the version");
}


static void
refusals(void)
{
    ngx_int_t  rc;

    probed(BODY, 0);
    rc = script(&op, "row 2.11: 429",
        { LIST, "", .status = 429, .wait = 7000, .reply = "{\"code\":\"c\"}"
        });
    done(rc, 503, "endpoint_resolve", 0, "failed", "row 2.11: 429");
    is_int(op.answer.retry_after, 7000, "row 2.11: Retry-After");
    script_has(&op, "\"upstream\":{\"status\":429,\"code\":\"c\"}",
               "row 2.11: 429");
    script_has(&op, ",\"endpoints\":[{\"uri\"", "row 2.11: 429");
    is_str(&ngx_eb_genesys_endpoint(&op)->error, "the API accepts no more "
           "requests for now", "row 2.11: words");

    probed(BODY, 0);
    rc = script(&op, "row 2.11: 400",
        { LIST, "", .status = 200, .reply = NONE },
        { "POST /api/v2/outbound/integrations", NULL, .status = 400 });
    done(rc, 422, "endpoint_resolve", 0, "failed", "row 2.11: 400");

    probed(BODY, 0);
    rc = script(&op, "row 2.11: no answer",
        { LIST, "", .status = 0, .timed_out = 1 });
    done(rc, 504, "endpoint_resolve", 0, "failed", "row 2.11: no answer");

    probed(BODY, 0);
    rc = script(&op, "row 2.11: a PUT is lost",
        { LIST, "", .status = 200, .reply = FOUND },
        { "GET " ITEM, "", .status = 200, .reply = "{}" },
        { "PUT " ITEM, NULL, .status = 503 });
    done(rc, 502, "endpoint_resolve", 0, "failed", "row 2.11: a PUT is lost");

    probed(BODY, 0);
    rc = script(&op, "no list",
        { LIST, "", .status = 200, .reply = "[" });
    done(rc, 502, "endpoint_resolve", 0, "failed", "no list");

    probed(BODY, 0);
    rc = script(&op, "no object",
        { LIST, "", .status = 200, .reply = FOUND },
        { "GET " ITEM, "", .status = 200, .reply = "[]" });
    done(rc, 502, "endpoint_resolve", 0, "failed", "no object");

    probed(BODY, 0);
    rc = script(&op, "a live organisation",
        { LIST, "", .status = 404 });
    done(rc, 404, "endpoint_resolve", 0, "failed", "a live organisation");
    script_has(&op, "/api/v2/processautomation/triggers",
               "a live organisation");
}


static void
records(void)
{
    u_char      *p, body[32768];
    ngx_str_t    record, previous, list;
    ngx_uint_t   i;

    probed(BODY, 1);
    play(&op, "record", NULL, 0);
    previous = str("deployed");

    ngx_eb_genesys_endpoint_record(pool, ngx_eb_genesys_endpoint(&op),
                                   &previous, 1763721000123, &record);
    is_str(&record, "{\"timestamp\":\"2025-11-21T10:30:00.123Z\",\"action\":"
           "\"endpoint_resolve\",\"integration_name\":\"hook\",\"uri\":"
           "\"https://a.example.com/x\",\"state\":\"unreachable\","
           "\"previous_state\":\"deployed\",\"success\":false,\"dry_run\":"
           "false,\"latency_ms\":5,\"endpoint_count\":1,\"error\":"
           "\"https://a.example.com/x: tls: certificate expired 3 days ago\","
           "\"endpoints\":[{\"uri\":\"https://a.example.com/x\",\"ok\":false,"
           "\"phase\":\"tls\",\"latency_ms\":12,\"error\":"
           "\"certificate_expired\",\"message\":\"certificate expired 3 days "
           "ago\"}]}", "row 2.13: record, without the query");

    probed(BODY, 0);
    script(&op, "a good record",
        { LIST, "", .status = 200, .reply = NONE },
        { "POST /api/v2/outbound/integrations", BODY, .status = 201,
          .reply = "{\"id\":\"i1\"}" });
    ngx_eb_genesys_endpoint_record(pool, ngx_eb_genesys_endpoint(&op), NULL,
                                   0, &record);
    is_str(&record, "{\"timestamp\":\"1970-01-01T00:00:00.000Z\",\"action\":"
           "\"endpoint_resolve\",\"integration_name\":\"hook\",\"id\":\"i1\","
           "\"uri\":\"https://a.example.com/x\",\"state\":\"deployed\","
           "\"success\":true,\"dry_run\":false,\"latency_ms\":5,"
           "\"endpoint_count\":1,\"endpoints\":[{\"uri\":"
           "\"https://a.example.com/x\",\"ok\":true,\"phase\":\"http\","
           "\"latency_ms\":12,\"status\":204,\"days_left\":90}]}",
           "row 2.13: a good record");

    resolve("{}");
    play(&op, "an invalid one", NULL, 0);
    ngx_eb_genesys_endpoint_record(pool, ngx_eb_genesys_endpoint(&op), NULL,
                                   0, &record);
    is_str(&record, "{\"timestamp\":\"1970-01-01T00:00:00.000Z\",\"action\":"
           "\"endpoint_resolve\",\"integration_name\":\"\",\"state\":"
           "\"invalid\",\"success\":false,\"dry_run\":false,\"latency_ms\":5,"
           "\"endpoint_count\":0,\"error\":\"the request does not keep the "
           "rules\",\"endpoints\":[]}", "row 2.12: early failures, too");

    /* as long as can be: it is cut, and is a record all the same */

    p = ngx_sprintf(body, "{\"type\":\"t\",\"name\":\"");

    for (i = 0; i < 256; i++) {
        *p++ = '\\';
        *p++ = '"';
    }

    p = ngx_sprintf(p, "\",\"uris\":[");

    for (i = 0; i < 10; i++) {
        p = ngx_sprintf(p, "%s\"https://h%ui/", i ? "," : "", i);
        ngx_memset(p, 'x', 2000);
        p = ngx_sprintf(p + 2000, "\"");
    }

    *ngx_sprintf(p, "]}") = '\0';

    probed((char *) body, 10);
    play(&op, "a long record", NULL, 0);

    ngx_eb_genesys_endpoint_record(pool, ngx_eb_genesys_endpoint(&op),
                                   &previous, 0, &record);
    ok(record.len <= NGX_EB_GENESYS_RECORD && record.len > 1000
       && ngx_memcmp(record.data + record.len - 3, "}]}", 3) == 0,
       "a long record: %d bytes", (int) record.len);

    list = str("{\"integrations\":[]}");
    ngx_eb_genesys_endpoint_list(&op, &list);
    is_int(play(&op, "a list", NULL, 0), NGX_DONE, "a list: is done");
    is_str(&op.answer.body, "{\"integrations\":[]}", "a list: body");
    is_str(&op.answer.action, "endpoints_listed", "a list: action");
}


static void
numbers(void)
{
    ngx_str_t   raw;
    ngx_uint_t  i;

    static struct {
        const char  *raw;
        int64_t      n;
        ngx_int_t    cmp;
    } cases[] = {
        { "0", 0, 0 }, { "-0.0e9", 0, 0 }, { "0", 1, -1 },
        { "-1", 0, -1 }, { "1e-999999999999", 0, 1 }, { "1", 1, 0 },
        { "1.000", 1, 0 }, { "10e-1", 1, 0 }, { "0.1e1", 1, 0 },
        { "1.0000000000000000000000001", 1, 1 }, { "1e99999999999999", 9, 1 },
        { "999999999999999999999999", 5, 1 }, { "1.5e1", 15, 0 },
        { "15.01", 15, 1 }, { "14.99", 15, -1 }, { "100", 100, 0 },
        { "1e15", 1000000000000000, 0 }, { "99", 100, -1 }, { "0.5", 0, 1 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        raw = str(cases[i].raw);
        is_int(ngx_eb_genesys_number_cmp(&raw, cases[i].n), cases[i].cmp,
               "%s and %d", cases[i].raw, (int) cases[i].n);
    }
}


static ngx_int_t
cramped(ngx_int_t allocs)
{
    ngx_int_t                  rc;
    ngx_str_t                  body, record;
    ngx_uint_t                 i;
    ngx_pool_t                *own;
    ngx_eb_genesys_op_t        o;
    ngx_eb_genesys_uri_t      *uri;
    ngx_eb_genesys_reply_t     reply[3];
    ngx_eb_genesys_request_t   request;
    ngx_eb_genesys_endpoint_t *what;

    own = ngx_create_pool(4096, NULL);
    body = str("{" FULL "}");

    ngx_memzero(&o, sizeof(o));
    o.pool = own;
    o.log = &shim_log;

    ngx_memzero(reply, sizeof(reply));
    reply[0].status = 200;
    reply[0].body = str(FOUND);
    reply[1].status = 200;
    reply[1].body = str("{\"headers\":{\"X-\\u0041\":\"1\",\"X-B\":\"3\"}}");
    reply[2].status = 409;
    reply[2].body = str("{\"message\":\"m\\u0061\"}");

    shim_allocs = allocs;

    conf.dry_run = 0;
    rc = ngx_eb_genesys_endpoint_resolve(&o, &conf, &body);

    if (rc == NGX_OK) {
        what = ngx_eb_genesys_endpoint(&o);
        uri = what->doc.endpoints.elts;

        for (i = 0; i < what->doc.endpoints.nelts; i++) {
            uri[i].reachable = 1;
        }
    }

    for (i = 0; rc == NGX_OK || rc == NGX_AGAIN; i++) {
        rc = o.step(&o, i ? &reply[ngx_min(i - 1, 2)] : NULL, &request);
    }

    if (rc == NGX_DONE) {
        rc = ngx_eb_genesys_endpoint_record(own, ngx_eb_genesys_endpoint(&o),
                                            NULL, 0, &record);
    }

    shim_allocs = -1;
    ngx_destroy_pool(own);

    return rc;
}


static void
no_memory(void)
{
    ngx_int_t  n, rc;

    for (n = 0, rc = NGX_ERROR; n < 2000 && rc == NGX_ERROR; n++) {
        rc = cramped(n);
    }

    is_int(rc, NGX_OK, "no memory: in the end there is enough");
    ok(n > 50, "no memory: after %d times without", (int) n);
}


int
main(void)
{
    pool = ngx_create_pool(4096, NULL);

    conf.list = str(NGX_EB_GENESYS_ENDPOINTS_PATH);
    conf.item = str(NGX_EB_GENESYS_ENDPOINT_PATH);
    conf.clock = now;

    names();
    uris();
    policies();
    filters();
    headers();
    bodies();
    probes();
    creations();
    updates();
    conflicts();
    refusals();
    records();
    numbers();
    no_memory();

    ngx_destroy_pool(pool);
    is_int(shim_blocks, 0, "nothing is left");

    return done_testing();
}
