
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Subscriptions at the API, and the integrations that are the real thing,
 * against scripted replies.
 */

/* sources: src/genesys/ngx_eb_genesys_subscription.c src/genesys/ngx_eb_genesys_subscription_doc.c src/genesys/ngx_eb_genesys_settings.c src/genesys/ngx_eb_genesys_body.c src/genesys/ngx_eb_genesys_op.c src/genesys/ngx_eb_genesys_duration.c src/genesys/ngx_eb_genesys_patch.c src/genesys/ngx_eb_genesys_list.c src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c src/wire/ngx_eb_json_edit.c src/wire/ngx_eb_out.c */
/* libs: -lsimdjson */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "genesys_script.h"
#include "ngx_eb_genesys_body.h"
#include "ngx_eb_genesys_settings.h"
#include "ngx_eb_genesys_subscription.h"


#define S      "/api/v2/eventbridge/subscriptions"
#define LIST   "GET " S "?pageSize=100&pageNumber=1"
#define I      "/api/v2/integrations"
#define ILIST  "GET " I "?pageSize=100&pageNumber=1"                         \
               "&integrationType=amazon-eventbridge-source"
#define TYPE   "\"integrationType\":{\"id\":\"amazon-eventbridge-source\"}"

/* what the settings below are at the API */
#define WANT   "\"name\":\"calls\",\"destination\":{\"type\":\"http\","      \
               "\"endpoint\":\"https://nginx.example/v1/events\"},"          \
               "\"filter\":{\"eventSources\":[\"a:*\",\"b:*\"]},"            \
               "\"retentionPeriodDays\":30"
#define BODY   "{" WANT "}"
#define FOUND  "{\"entities\":[{\"id\":\"s1\",\"name\":\"calls\"}]}"
#define NONE   "{\"entities\":[]}"

#define PROPS  "\"properties\":{\"awsAccountId\":\"123456789012\","          \
               "\"awsAccountRegion\":\"us-east-1\","                         \
               "\"eventSourceSuffix\":\"my-bus\","                           \
               "\"eventFilter\":[\"v2.a\",\"v2.b\"]}"
#define IBODY  "{\"name\":\"calls\"," PROPS "}"
#define ITEM   "{\"id\":\"i1\",\"name\":\"calls\"," TYPE
#define ON     ",\"intendedState\":\"ENABLED\","                             \
               "\"reportedState\":{\"code\":\"ACTIVE\"}}"
#define OFF    ",\"intendedState\":\"DISABLED\"}"


static ngx_str_t str(const char *s);
static void setup(void);
static void done(ngx_int_t rc, ngx_uint_t status, const char *action,
    ngx_uint_t changed, const char *name);
static ngx_eb_genesys_op_t *ensure(const char *id, ngx_uint_t integration);
static ngx_eb_genesys_op_t *control(ngx_eb_genesys_sub_verb_e verb,
    const char *id, const char *body, ngx_uint_t integration);
static void bodies(void);
static void bad(const char *body, ngx_uint_t n, const char *field,
    const char *rule, const char *name);
static void endpoints(void);
static void checks(void);
static void creates(void);
static void ambiguous(void);
static void lists(void);
static void gets(void);
static void replaces(void);
static void deletes(void);
static void ensures(void);
static void ensures_hostile(void);
static void errors(void);
static void integrations(void);
static void integrations_ensure(void);
static ngx_int_t cramped(ngx_int_t allocs);
static void no_memory(void);


static ngx_pool_t                 *pool;
static ngx_eb_genesys_op_t         op;
static ngx_eb_genesys_settings_t   settings, isettings;


static ngx_str_t
str(const char *s)
{
    return script_str(pool, s);
}


static void
setup(void)
{
    ngx_memzero(&settings, sizeof(settings));
    settings.name = str("calls");
    settings.endpoint = str("https://nginx.example/v1/events");
    settings.retention = 30;
    settings.rate = 1000;

    ngx_array_init(&settings.sources, pool, 2, sizeof(ngx_str_t));
    *(ngx_str_t *) ngx_array_push(&settings.sources) = str("a:*");
    *(ngx_str_t *) ngx_array_push(&settings.sources) = str("b:*");

    ngx_memzero(&isettings, sizeof(isettings));
    isettings.integration = 1;
    isettings.name = str("calls");
    isettings.account = str("123456789012");
    isettings.region = str("us-east-1");
    isettings.suffix = str("my-bus");

    ngx_array_init(&isettings.topics, pool, 2, sizeof(ngx_str_t));
    *(ngx_str_t *) ngx_array_push(&isettings.topics) = str("v2.a");
    *(ngx_str_t *) ngx_array_push(&isettings.topics) = str("v2.b");

    op.pool = pool;
    op.log = &shim_log;
}


static void
done(ngx_int_t rc, ngx_uint_t status, const char *action, ngx_uint_t changed,
    const char *name)
{
    is_int(rc, NGX_DONE, "%s: is done", name);
    is_int(op.answer.status, status, "%s: status", name);
    is_str(&op.answer.action, action, "%s: action", name);
    is_int(op.answer.changed, changed, "%s: changed", name);

    if (op.answer.status >= 400) {
        script_has(&op, "{\"type\":\"about:blank\",\"title\":\"", name);
    }
}


static ngx_eb_genesys_op_t *
ensure(const char *id, ngx_uint_t integration)
{
    ngx_str_t  *known;

    known = NULL;

    if (id) {
        known = ngx_palloc(pool, sizeof(ngx_str_t));
        *known = str(id);
    }

    if (ngx_eb_genesys_subscription_init(&op, integration
            ? &ngx_eb_genesys_integrations_api
            : &ngx_eb_genesys_reference_api,
            NGX_EB_GENESYS_SUB_ENSURE, known,
            integration ? &isettings : &settings)
        != NGX_OK)
    {
        ok(0, "an operation");
    }

    return &op;
}


static ngx_eb_genesys_op_t *
control(ngx_eb_genesys_sub_verb_e verb, const char *id, const char *body,
    ngx_uint_t integration)
{
    ngx_int_t              rc;
    ngx_str_t             *known, *text;
    ngx_eb_genesys_sub_api_t  *api;

    api = integration ? &ngx_eb_genesys_integrations_api
                      : &ngx_eb_genesys_reference_api;
    known = NULL;

    if (id) {
        known = ngx_palloc(pool, sizeof(ngx_str_t));
        *known = str(id);
    }

    if (body) {
        text = ngx_palloc(pool, sizeof(ngx_str_t));
        *text = str(body);
        rc = ngx_eb_genesys_subscription_init_body(&op, api, verb, known,
                                                   text);
    } else {
        rc = ngx_eb_genesys_subscription_init(&op, api, verb, known, NULL);
    }

    if (rc != NGX_OK) {
        ok(0, "an operation");
    }

    return &op;
}


/* n violations, one of which is this one; and no request was made */

static void
bad(const char *body, ngx_uint_t n, const char *field, const char *rule,
    const char *name)
{
    ngx_int_t  rc;

    control(NGX_EB_GENESYS_SUB_CREATE, NULL, body, 0);
    rc = play(&op, name, NULL, 0);
    done(rc, 400, "subscription_create", 0, name);

    script_violations(&op, n, field, rule, name);
}


static void
bodies(void)
{
    u_char      *p, *many;
    ngx_uint_t   i;

    bad("{}", 4, "name", "required", "an empty object");
    bad("[]", 1, "", "type", "an array");
    bad("", 1, "", "json", "nothing");
    bad("{\"name\":", 1, "", "json", "half a body");
    bad("{\"name\":\"x\",\"name\":\"y\",\"destination\":1,\"filter\":2,"
        "\"retentionPeriodDays\":\"30\"}", 4, "name", "unique",
        "row 1.5: every violation at once");
    bad("{\"name\":7,\"destination\":{},\"filter\":{},"
        "\"retentionPeriodDays\":0}", 5, "destination.type", "required",
        "members of members");
    bad("{\"name\":\"\",\"destination\":{\"type\":\"sqs\",\"endpoint\":"
        "\"http://a/\",\"maxEventsPerSecond\":1001,\"x\":1},\"filter\":"
        "{\"eventSources\":[]},\"retentionPeriodDays\":366,\"y\":1}", 8,
        "destination.endpoint", "https",
        "row 1.5: everything is wrong");
    bad("{\"name\":\"a\\r\\nb\",\"destination\":{\"type\":\"http\","
        "\"endpoint\":\"https://a/\",\"maxEventsPerSecond\":0},\"filter\":"
        "{\"eventSources\":[\"\",1,\"a\",\"a\",\"x\\u0000\"]},"
        "\"retentionPeriodDays\":1.5}", 7,
        "destination.maxEventsPerSecond", "range",
        "row 1.5: rates and control characters");
    bad("{\"name\":\"a\\r\\nb\",\"destination\":{\"type\":\"http\","
        "\"endpoint\":\"https://a/\",\"maxEventsPerSecond\":0},\"filter\":"
        "{\"eventSources\":[\"\",1,\"a\",\"a\",\"x\\u0000\"]},"
        "\"retentionPeriodDays\":1.5}", 7,
        "filter.eventSources[3]", "unique", "an element twice");
    bad("{\"id\":\"x\"," WANT "}", 1, "id", "unknown",
        "a new one has no id");
    bad("{\"retentionPeriodDays\":-1,\"name\":\"calls\",\"destination\":"
        "{\"type\":\"http\",\"endpoint\":\"https://a\"},\"filter\":"
        "{\"eventSources\":[\"a\"]}}", 1, "retentionPeriodDays", "range",
        "a negative period");
    bad("{\"retentionPeriodDays\":1e400,\"name\":\"calls\",\"destination\":"
        "{\"type\":\"http\",\"endpoint\":\"https://a\"},\"filter\":"
        "{\"eventSources\":[\"a\"]}}", 1, "retentionPeriodDays", "range",
        "a huge period");

    bad("{\"retentionPeriodDays\":1,\"name\":\"\\ud800\",\"destination\":"
        "{\"type\":\"http\",\"endpoint\":\"https://a\"},\"filter\":"
        "{\"eventSources\":[\"a\"]}}", 1, "name", "characters",
        "half of a pair");

    /* members without an end: the list of violations has one */

    p = many = ngx_pnalloc(pool, 200000);
    *p++ = '{';

    for (i = 0; i < 10000; i++) {
        p = ngx_sprintf(p, "\"k%ui\":0,", i);
    }

    ngx_memcpy(p - 1, "}", 2);

    bad((char *) many, 64, "k63", "unknown", "10000 unknown members");

    /* elements without an end */

    p = ngx_cpymem(many, "{\"name\":\"n\",\"destination\":{\"type\":\"http\""
                   ",\"endpoint\":\"https://a\"},\"retentionPeriodDays\":1,"
                   "\"filter\":{\"eventSources\":[", 115);

    for (i = 0; i < 10000; i++) {
        p = ngx_sprintf(p, "\"%ui\",", i);
    }

    ngx_memcpy(p - 1, "]}}", 4);

    bad((char *) many, 1, "filter.eventSources", "length", "10000 sources");
}


static void
endpoints(void)
{
    ngx_str_t    s;
    ngx_uint_t   i;

    static const char *good[] = {
        "https://a", "HTTPS://A.example:8443/x?y=z", "https://[::1]/",
        "https://[2001:db8::1.2.3.4]:1", "https://10.0.0.1:65535",
        "https://a?x", "https://a_b.c-d/%20", "https://xn--bcher-kva.example"
    };

    static const char *wrong[] = {
        "", "https://", "https:///x", "http://a", "ftp://a", "a", "https:/a",
        "https://a:", "https://a:0", "https://a:65536", "https://a:99999999999",
        "https://a:x", "https://a:1x", "https://a b", "https://a\r\nX: y",
        "https://a/\x7f", "https://a/\xc3\xa4", "https://a/#f", "https://u@a/",
        "https://u:p@a/", "https://a\\b", "https://[", "https://[]",
        "https://[::1", "https://[x::]", "https://[1]", "https://[::1]x",
        "https://.a", "https://a..b", "https://:1", "https://a,b", "https://?x",
        "https://{a}", "https://a/<x>", "https://a/\"", "https://a\t"
    };

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        s = str(good[i]);
        ok(ngx_eb_genesys_bad_endpoint(&s) == NULL, "row 1.5: endpoint %s",
           good[i]);
    }

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        s = str(wrong[i]);
        ok(ngx_eb_genesys_bad_endpoint(&s) != NULL,
           "row 1.5: no endpoint, %d", (int) i);
    }

    s.data = (u_char *) "https://a\0b";
    s.len = 11;
    ok(ngx_eb_genesys_bad_endpoint(&s) != NULL, "row 1.5: a zero byte");
}


/* as nginx.conf declares them */

static void
checks(void)
{
    ngx_eb_genesys_body_t        body;
    ngx_eb_genesys_settings_t    s;
    ngx_eb_genesys_violation_t  *v;

    ngx_eb_genesys_body_init(&body, pool, NULL);
    ngx_eb_genesys_settings_check(&settings, &body);
    is_int(body.violations.nelts, 0, "check: nothing to say");

    ngx_eb_genesys_settings_check(&isettings, &body);
    is_int(body.violations.nelts, 0, "check: nor of an integration");

    s = settings;
    s.name = str("");
    s.endpoint = str("http://a");
    s.retention = 0;
    s.rate = 1001;
    s.sources.nelts = 0;
    ngx_eb_genesys_settings_check(&s, &body);
    is_int(body.violations.nelts, 5, "row 1.5: check: five violations");

    v = body.violations.elts;
    is_str(&v[1].field, "destination.endpoint", "check: field");
    is_str(&v[1].rule, "https", "check: rule");
    is_str(&v[1].message, "an https:// URL is expected", "check: message");

    ngx_eb_genesys_body_init(&body, pool, NULL);
    s = settings;
    s.retention = 366;
    ((ngx_str_t *) s.sources.elts)[1] = str("a:*");
    ngx_eb_genesys_settings_check(&s, &body);
    is_int(body.violations.nelts, 2, "check: a source twice");
    ((ngx_str_t *) s.sources.elts)[1] = str("b:*");

    ngx_eb_genesys_body_init(&body, pool, NULL);
    s = isettings;
    s.account = str("12345678901");
    s.region = str("us_east");
    s.suffix = str("a/b");
    s.topics.nelts = 0;
    ngx_eb_genesys_settings_check(&s, &body);
    is_int(body.violations.nelts, 4, "check: an integration's");

    ngx_eb_genesys_body_init(&body, pool, NULL);
    s.account = str("12345678901a");
    s.region = str("us-east-");
    s.suffix = str("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                   "aaaaaaaaa");
    ngx_eb_genesys_settings_check(&s, &body);
    is_int(body.violations.nelts, 4, "check: and others");

    ngx_eb_genesys_body_init(&body, pool, NULL);
    s.account = str("");
    s.region = str("");
    s.suffix = str("");
    ngx_eb_genesys_settings_check(&s, &body);
    is_int(body.violations.nelts, 4, "check: empty ones");
}


static void
creates(void)
{
    ngx_int_t  rc;

    control(NGX_EB_GENESYS_SUB_CREATE, NULL, BODY, 0);
    rc = script(&op, "create",
                { .line = LIST, .status = 200, .reply = NONE },
                { .line = "POST " S, .body = BODY, .status = 200,
                  .reply = "{\"id\":\"s1\",\"status\":\"active\",\"x\":1.0}"
                });
    done(rc, 201, "subscription_created", 1, "create");
    is_str(&op.answer.id, "s1", "create: id");
    is_str(&op.answer.body, "{\"id\":\"s1\",\"status\":\"active\",\"x\":1.0}",
           "create: the API's bytes");
    is_str(&op.answer.correlation_id, "corr-1", "create: correlation id");

    control(NGX_EB_GENESYS_SUB_CREATE, NULL,
            "{\"retentionPeriodDays\":3e1,\"name\":\"calls\",\"destination\":"
            "{\"endpoint\":\"https:\\/\\/nginx.example\\/v1\\/events\","
            "\"type\":\"http\",\"maxEventsPerSecond\":500},\"filter\":"
            "{\"eventSources\":[\"\\u0061:*\",\"b:*\"]}}", 0);
    rc = script(&op, "create in other words",
                { .line = LIST, .status = 200, .reply = NONE },
                { .line = "POST " S,
                  .body = "{\"name\":\"calls\",\"destination\":{\"type\":"
                          "\"http\",\"endpoint\":"
                          "\"https://nginx.example/v1/events\","
                          "\"maxEventsPerSecond\":500},\"filter\":"
                          "{\"eventSources\":[\"a:*\",\"b:*\"]},"
                          "\"retentionPeriodDays\":30}",
                  .status = 201, .reply = "{\"id\":\"s2\"}" });
    done(rc, 201, "subscription_created", 1, "create in other words");

    control(NGX_EB_GENESYS_SUB_CREATE, NULL, BODY, 0);
    rc = script(&op, "row 1.3: the name is taken",
                { .line = LIST, .status = 200, .reply = FOUND });
    done(rc, 409, "subscription_create", 0, "row 1.3: the name is taken");
    script_has(&op, "\\\"s1\\\" has it", "row 1.3: the name is taken");

    control(NGX_EB_GENESYS_SUB_CREATE, NULL, BODY, 0);
    rc = script(&op, "someone was faster",
                { .line = LIST, .status = 200, .reply = NONE },
                { .line = "POST " S, .status = 409,
                  .reply = "{\"code\":\"name.taken\",\"message\":\"no\"}" });
    done(rc, 409, "subscription_create", 0, "someone was faster");
    script_has(&op, "\"code\":\"name.taken\"", "someone was faster");

    /* created, but the reply tells no id */

    control(NGX_EB_GENESYS_SUB_CREATE, NULL, BODY, 0);
    rc = script(&op, "no id",
                { .line = LIST, .status = 200, .reply = NONE },
                { .line = "POST " S, .status = 202 },
                { .line = LIST, .delay = 500, .status = 200, .reply = FOUND },
                { .line = "GET " S "/s1", .status = 200,
                  .reply = "{\"id\":\"s1\"," WANT "}" });
    done(rc, 201, "subscription_created", 1, "no id");
    is_str(&op.answer.id, "s1", "no id: id");

    control(NGX_EB_GENESYS_SUB_CREATE, NULL, BODY, 0);
    rc = script(&op, "a hostile id",
                { .line = LIST, .status = 200, .reply = NONE },
                { .line = "POST " S, .status = 201,
                  .reply = "{\"id\":\"../../x\"}" },
                { .line = LIST, .delay = 500, .status = 200, .reply = NONE });
    done(rc, 502, "subscription_create", 1, "a hostile id");

    control(NGX_EB_GENESYS_SUB_CREATE, NULL, BODY, 0);
    rc = script(&op, "not found here",
                { .line = LIST, .status = 404,
                  .reply = "{\"code\":\"not.found\",\"contextId\":\"c\","
                           "\"details\":[{\"errorCode\":\"e\"}]}" });
    done(rc, 404, "subscription_create", 0, "not found here");
    script_has(&op, "api integrations", "not found here");
    script_has(&op, "\"code\":\"not.found\",\"contextId\":\"c\","
               "\"details\":[{\"errorCode\":\"e\"}]", "not found here");
    script_has(&op, "\"correlationId\":\"corr-1\"", "not found here");
}


/* row 1.3: after an ambiguous POST it is looked up, and never sent blindly */

static void
ambiguous(void)
{
    ngx_int_t  rc;

    control(NGX_EB_GENESYS_SUB_CREATE, NULL, BODY, 0);
    rc = script(&op, "row 1.3: 503, and it was created",
                { .line = LIST, .status = 200, .reply = NONE },
                { .line = "POST " S, .status = 503 },
                { .line = LIST, .delay = 1000, .status = 200, .reply = FOUND },
                { .line = "GET " S "/s1", .status = 200,
                  .reply = "{\"id\":\"s1\"," WANT "}" });
    done(rc, 201, "subscription_created", 1, "row 1.3: it was created");

    control(NGX_EB_GENESYS_SUB_CREATE, NULL, BODY, 0);
    rc = script(&op, "row 1.3: no reply, and it was not created",
                { .line = LIST, .status = 200, .reply = NONE },
                { .line = "POST " S, .error = "timed out" },
                { .line = LIST, .delay = 1000, .status = 200, .reply = NONE },
                { .line = "POST " S, .status = 201,
                  .reply = "{\"id\":\"s1\"}" });
    done(rc, 201, "subscription_created", 1, "row 1.3: it was not created");

    control(NGX_EB_GENESYS_SUB_CREATE, NULL, BODY, 0);
    rc = script(&op, "row 1.3: another one was created meanwhile",
                { .line = LIST, .status = 200, .reply = NONE },
                { .line = "POST " S, .status = 500 },
                { .line = LIST, .delay = 1000, .status = 200, .reply = FOUND },
                { .line = "GET " S "/s1", .status = 200,
                  .reply = "{\"id\":\"s1\",\"name\":\"calls\"}" });
    done(rc, 409, "subscription_create", 0, "row 1.3: another one");

    control(NGX_EB_GENESYS_SUB_CREATE, NULL, BODY, 0);
    rc = script(&op, "row 1.3: never an answer",
                { .line = LIST, .status = 200, .reply = NONE },
                { .line = "POST " S, .error = "not in time",
                  .timed_out = 1 },
                { .line = LIST, .delay = 1000, .status = 200, .reply = NONE },
                { .line = "POST " S, .error = "not in time",
                  .timed_out = 1 },
                { .line = LIST, .delay = 2000, .status = 200, .reply = NONE },
                { .line = "POST " S, .error = "not in time",
                  .timed_out = 1 },
                { .line = LIST, .delay = 3000, .status = 200, .reply = NONE });
    done(rc, 504, "subscription_create", 0, "row 1.3: never an answer");
    script_has(&op, "not in time", "row 1.3: never an answer");

    control(NGX_EB_GENESYS_SUB_CREATE, NULL, BODY, 0);
    rc = script(&op, "row 1.3: the first one came late",
                { .line = LIST, .status = 200, .reply = NONE },
                { .line = "POST " S, .status = 504 },
                { .line = LIST, .delay = 1000, .status = 200, .reply = NONE },
                { .line = "POST " S, .status = 409 },
                { .line = LIST, .delay = 500, .status = 200, .reply = FOUND },
                { .line = "GET " S "/s1", .status = 200,
                  .reply = "{\"id\":\"s1\"," WANT "}" });
    done(rc, 201, "subscription_created", 1, "row 1.3: it came late");

    control(NGX_EB_GENESYS_SUB_CREATE, NULL, BODY, 0);
    rc = script(&op, "row 1.3: nothing left",
                { .line = LIST, .status = 200, .reply = NONE },
                { .line = "POST " S, .error = "refused", .unsent = 1 });
    done(rc, 502, "subscription_create", 0, "row 1.3: nothing left");

    control(NGX_EB_GENESYS_SUB_CREATE, NULL, BODY, 0);
    rc = script(&op, "row 1.3: 501 is no doubt",
                { .line = LIST, .status = 200, .reply = NONE },
                { .line = "POST " S, .status = 501 });
    done(rc, 502, "subscription_create", 0, "row 1.3: 501");

    control(NGX_EB_GENESYS_SUB_CREATE, NULL, BODY, 0);
    rc = script(&op, "row 1.3: the lookup fails",
                { .line = LIST, .status = 200, .reply = NONE },
                { .line = "POST " S, .status = 503 },
                { .line = LIST, .delay = 1000, .status = 503 });
    done(rc, 502, "subscription_create", 0, "row 1.3: the lookup fails");

    control(NGX_EB_GENESYS_SUB_CREATE, NULL, BODY, 0);
    rc = script(&op, "row 1.4: Retry-After of a POST",
                { .line = LIST, .status = 200, .reply = NONE },
                { .line = "POST " S, .status = 503, .wait = 4000 },
                { .line = LIST, .delay = 4000, .status = 200, .reply = NONE },
                { .line = "POST " S, .status = 503, .wait = 600000,
                  .late = 1 });
    done(rc, 502, "subscription_create", 0, "row 1.4: Retry-After");
}


static void
lists(void)
{
    ngx_int_t  rc;

    control(NGX_EB_GENESYS_SUB_LIST, NULL, NULL, 0);
    rc = script(&op, "list",
                { .line = LIST, .status = 200,
                  .reply = "{\"entities\":[{\"id\":\"1\"}],"
                           "\"nextUri\":\"/x?pageNumber=2\"}" },
                { .line = "GET " S "?pageNumber=2", .status = 200,
                  .reply = "{\"entities\":[{\"id\":\"2\"}]}" });
    done(rc, 200, "subscriptions_listed", 0, "list");
    is_str(&op.answer.body, "{\"entities\":[{\"id\":\"1\"},{\"id\":\"2\"}],"
           "\"total\":2}", "list: both pages");

    control(NGX_EB_GENESYS_SUB_LIST, NULL, NULL, 0);
    rc = script(&op, "list of nonsense",
                { .line = LIST, .status = 200, .reply = "<html>" });
    done(rc, 502, "subscriptions_listed", 0, "list of nonsense");
}


static void
gets(void)
{
    ngx_int_t  rc;

    control(NGX_EB_GENESYS_SUB_GET, "s1", NULL, 0);
    rc = script(&op, "get",
                { .line = "GET " S "/s1", .status = 200,
                  .reply = " {\"a\":1e2} " });
    done(rc, 200, "subscription_read", 0, "get");
    is_str(&op.answer.body, " {\"a\":1e2} ", "get: the API's bytes");

    control(NGX_EB_GENESYS_SUB_GET, "s1", NULL, 0);
    rc = script(&op, "get: none",
                { .line = "GET " S "/s1", .status = 404, .reply = "<html>" });
    done(rc, 404, "subscription_read", 0, "get: none");

    control(NGX_EB_GENESYS_SUB_GET, "s1", NULL, 0);
    rc = script(&op, "get: no object",
                { .line = "GET " S "/s1", .status = 200, .reply = "[1]" });
    done(rc, 502, "subscription_read", 0, "get: no object");

    control(NGX_EB_GENESYS_SUB_GET, "a/../b", NULL, 0);
    rc = play(&op, "get: no id", NULL, 0);
    done(rc, 400, "subscription_read", 0, "get: no id");
    script_has(&op, "{\"field\":\"id\",\"rule\":\"path\"", "get: no id");
}


static void
replaces(void)
{
    ngx_int_t  rc;

    control(NGX_EB_GENESYS_SUB_REPLACE, "s1", BODY, 0);
    rc = script(&op, "replace",
                { .line = "GET " S "/s1", .status = 200, .etag = "\"e1\"",
                  .reply = "{\"id\":\"s1\",\"version\":7,\"x\":"
                           "12345678901234567890,\"name\":\"old\",\"filter\""
                           ":{\"y\":1.0,\"eventSources\":[\"b:*\",\"a:*\"]},"
                           "\"x\":1e2,\"destination\":{\"type\":\"http\","
                           "\"endpoint\":\"https://old\"},"
                           "\"retentionPeriodDays\":30.0}" },
                { .line = "PUT " S "/s1", .if_match = "\"e1\"",
                  .body = "{\"id\":\"s1\",\"version\":7,\"x\":"
                          "12345678901234567890,\"name\":\"calls\",\"filter\""
                          ":{\"y\":1.0,\"eventSources\":[\"b:*\",\"a:*\"]},"
                          "\"x\":1e2,\"destination\":{\"type\":\"http\","
                          "\"endpoint\":\"https://nginx.example/v1/events\"},"
                          "\"retentionPeriodDays\":30.0}",
                  .status = 200,
                  .reply = "{\"id\":\"s1\",\"version\":8," WANT "}" });
    done(rc, 200, "subscription_updated", 1, "replace");
    is_str(&op.answer.body, "{\"id\":\"s1\",\"version\":8," WANT "}",
           "replace: the API's bytes");

    control(NGX_EB_GENESYS_SUB_REPLACE, "s1",
            "{\"id\":\"s1\",\"status\":\"active\",\"createdDate\":\"x\","
            WANT "}", 0);
    rc = script(&op, "replace: it is equal",
                { .line = "GET " S "/s1", .status = 200,
                  .reply = "{\"id\":\"s1\"," WANT "}" });
    done(rc, 200, "subscription_unchanged", 0, "replace: it is equal");

    control(NGX_EB_GENESYS_SUB_REPLACE, "s1", BODY, 0);
    rc = script(&op, "replace: conflicts",
                { .line = "GET " S "/s1", .status = 200, .etag = "1",
                  .reply = "{\"v\":1}" },
                { .line = "PUT " S "/s1", .if_match = "1",
                  .body = "{\"v\":1," WANT "}", .status = 412 },
                { .line = "GET " S "/s1", .status = 200, .etag = "2",
                  .reply = "{\"v\":2}" },
                { .line = "PUT " S "/s1", .if_match = "2",
                  .body = "{\"v\":2," WANT "}", .status = 409 },
                { .line = "GET " S "/s1", .status = 200,
                  .reply = "{\"v\":3}" },
                { .line = "PUT " S "/s1", .body = "{\"v\":3," WANT "}",
                  .status = 400,
                  .reply = "{\"message\":\"Version 2 does not match the "
                           "current version 3\"}" },
                { .line = "GET " S "/s1", .status = 200,
                  .reply = "{\"v\":4}" },
                { .line = "PUT " S "/s1", .body = "{\"v\":4," WANT "}",
                  .status = 409 });
    done(rc, 409, "subscription_replace", 0, "replace: conflicts");

    control(NGX_EB_GENESYS_SUB_REPLACE, "s1", BODY, 0);
    rc = script(&op, "replace: a conflict of equals",
                { .line = "GET " S "/s1", .status = 200, .reply = "{}" },
                { .line = "PUT " S "/s1", .status = 409 },
                { .line = "GET " S "/s1", .status = 200, .reply = BODY });
    done(rc, 200, "subscription_updated", 1, "replace: equals");

    control(NGX_EB_GENESYS_SUB_REPLACE, "s1", BODY, 0);
    rc = script(&op, "replace: an empty reply",
                { .line = "GET " S "/s1", .status = 200, .reply = "{}" },
                { .line = "PUT " S "/s1", .status = 204 },
                { .line = "GET " S "/s1", .status = 200, .reply = BODY });
    done(rc, 200, "subscription_updated", 1, "replace: an empty reply");
    is_str(&op.answer.body, BODY, "replace: read back");

    control(NGX_EB_GENESYS_SUB_REPLACE, "s1", BODY, 0);
    rc = script(&op, "replace: not kept",
                { .line = "GET " S "/s1", .status = 200, .reply = "{}" },
                { .line = "PUT " S "/s1", .status = 200, .reply = "{}" },
                { .line = "GET " S "/s1", .status = 200, .reply = "{}" });
    done(rc, 502, "subscription_replace", 1, "replace: not kept");
    script_has(&op, "\\\"name\\\" is not as it was sent", "not kept");

    /* a sender who knows a version */

    control(NGX_EB_GENESYS_SUB_REPLACE, "s1", "{\"version\":7," WANT "}", 0);
    rc = script(&op, "replace: another version",
                { .line = "GET " S "/s1", .status = 200,
                  .reply = "{\"version\":8}" });
    done(rc, 409, "subscription_replace", 0, "replace: another version");

    control(NGX_EB_GENESYS_SUB_REPLACE, "s1", "{\"version\":7," WANT "}", 0);
    rc = script(&op, "replace: the very version",
                { .line = "GET " S "/s1", .status = 200,
                  .reply = "{\"version\":7}" },
                { .line = "PUT " S "/s1", .status = 409 });
    done(rc, 409, "subscription_replace", 0, "replace: the very version");

    control(NGX_EB_GENESYS_SUB_REPLACE, "s1",
            "{\"id\":\"s2\",\"version\":\"7\"," WANT "}", 0);
    rc = play(&op, "replace: another id", NULL, 0);
    done(rc, 400, "subscription_replace", 0, "replace: another id");
    script_has(&op, "{\"field\":\"id\",\"rule\":\"path\"", "another id");
    script_has(&op, "{\"field\":\"version\",\"rule\":\"type\"", "version");

    control(NGX_EB_GENESYS_SUB_REPLACE, "s1", BODY, 0);
    rc = script(&op, "replace: none",
                { .line = "GET " S "/s1", .status = 404 });
    done(rc, 404, "subscription_replace", 0, "replace: none");

    control(NGX_EB_GENESYS_SUB_REPLACE, "s1", BODY, 0);
    rc = script(&op, "replace: refused",
                { .line = "GET " S "/s1", .status = 200, .reply = "{}" },
                { .line = "PUT " S "/s1", .status = 400,
                  .reply = "{\"code\":\"bad.request\",\"message\":\"why\"}" });
    done(rc, 422, "subscription_replace", 0, "replace: refused");
    script_has(&op, "\"upstream\":{\"status\":400,\"code\":\"bad.request\","
               "\"message\":\"why\"}", "replace: refused");
}


static void
deletes(void)
{
    ngx_int_t  rc;

    control(NGX_EB_GENESYS_SUB_DELETE, "s1", NULL, 0);
    rc = script(&op, "delete", { .line = "DELETE " S "/s1", .status = 204 });
    done(rc, 204, "subscription_deleted", 1, "delete");
    is_int(op.answer.body.len, 0, "delete: no body");

    control(NGX_EB_GENESYS_SUB_DELETE, "s1", NULL, 0);
    rc = script(&op, "delete: none",
                { .line = "DELETE " S "/s1", .status = 404 });
    done(rc, 404, "subscription_delete", 0, "delete: none");

    control(NGX_EB_GENESYS_SUB_DELETE, "..", NULL, 0);
    rc = play(&op, "delete: everything", NULL, 0);
    done(rc, 400, "subscription_delete", 0, "delete: everything");
}


static void
ensures(void)
{
    ngx_int_t                       rc;
    ngx_eb_genesys_subscription_t  *s;

    s = ngx_eb_genesys_subscription(ensure(NULL, 0));
    rc = script(&op, "row 1.3: ensure: absent",
                { .line = LIST, .status = 200, .reply = NONE },
                { .line = "POST " S, .body = BODY, .status = 200,
                  .reply = "{\"id\":\"s1\",\"status\":\"active\"}" });
    done(rc, 201, "subscription_created", 1, "ensure: absent");
    is_str(&s->id, "s1", "ensure: id");
    is_str(&s->status, "active", "ensure: status");
    ok(s->created && !s->drift && s->active, "ensure: created");

    s = ngx_eb_genesys_subscription(ensure(NULL, 0));
    rc = script(&op, "row 1.3: ensure: equal",
                { .line = LIST, .status = 200, .reply = FOUND },
                { .line = "GET " S "/s1", .status = 200,
                  .reply = "{\"status\":\"PENDING\"," WANT "}" });
    done(rc, 200, "subscription_unchanged", 0, "ensure: equal");
    ok(!s->created && !s->drift && !s->active, "ensure: no drift");

    s = ngx_eb_genesys_subscription(ensure("s1", 0));
    rc = script(&op, "ensure: known and equal",
                { .line = "GET " S "/s1", .status = 200, .reply = BODY });
    done(rc, 200, "subscription_unchanged", 0, "ensure: known and equal");
    is_str(&s->id, "s1", "ensure: known: id");

    s = ngx_eb_genesys_subscription(ensure(NULL, 0));
    rc = script(&op, "row 1.3: ensure: different",
                { .line = LIST, .status = 200, .reply = FOUND },
                { .line = "GET " S "/s1", .status = 200,
                  .reply = "{\"name\":\"calls\",\"q\":1.0,"
                           "\"retentionPeriodDays\":31}" },
                { .line = "PUT " S "/s1",
                  .body = "{\"name\":\"calls\",\"q\":1.0,"
                          "\"retentionPeriodDays\":30,\"destination\":"
                          "{\"type\":\"http\",\"endpoint\":"
                          "\"https://nginx.example/v1/events\"},\"filter\":"
                          "{\"eventSources\":[\"a:*\",\"b:*\"]}}",
                  .status = 200, .reply = BODY });
    done(rc, 200, "subscription_updated", 1, "ensure: different");
    ok(!s->created && s->drift, "ensure: drift");
    is_str(&s->differs, "destination", "ensure: what differed");

    s = ngx_eb_genesys_subscription(ensure("s1", 0));
    rc = script(&op, "row 1.3: ensure: deleted at run time",
                { .line = "GET " S "/s1", .status = 404 },
                { .line = LIST, .status = 200, .reply = NONE },
                { .line = "POST " S, .status = 200,
                  .reply = "{\"id\":\"s2\"}" });
    done(rc, 201, "subscription_created", 1, "ensure: deleted");
    is_str(&s->id, "s2", "ensure: a new id");

    s = ngx_eb_genesys_subscription(ensure(NULL, 0));
    rc = script(&op, "row 1.3: ensure: someone was faster",
                { .line = LIST, .status = 200, .reply = NONE },
                { .line = "POST " S, .status = 409 },
                { .line = LIST, .delay = 500, .status = 200, .reply = FOUND },
                { .line = "GET " S "/s1", .status = 200, .reply = BODY });
    done(rc, 200, "subscription_unchanged", 0, "ensure: someone was faster");
    ok(!s->created, "ensure: not created by us");

    s = ngx_eb_genesys_subscription(ensure(NULL, 0));
    rc = script(&op, "row 1.3: ensure: ambiguous, and it exists",
                { .line = LIST, .status = 200, .reply = NONE },
                { .line = "POST " S, .status = 502 },
                { .line = LIST, .delay = 1000, .status = 200, .reply = FOUND },
                { .line = "GET " S "/s1", .status = 200, .reply = BODY });
    done(rc, 201, "subscription_created", 1, "ensure: ambiguous");
    ok(s->created && !s->drift, "ensure: created by us");

    ensure(NULL, 0);
    rc = script(&op, "ensure: it vanishes in between",
                { .line = LIST, .status = 200, .reply = FOUND },
                { .line = "GET " S "/s1", .status = 404 },
                { .line = LIST, .status = 200, .reply = FOUND },
                { .line = "GET " S "/s1", .status = 200, .reply =
                  "{\"name\":\"calls\"}" },
                { .line = "PUT " S "/s1", .status = 410 },
                { .line = LIST, .status = 200, .reply = NONE },
                { .line = "POST " S, .status = 200,
                  .reply = "{\"id\":\"s3\"}" });
    done(rc, 201, "subscription_created", 1, "ensure: it vanishes");
    is_str(&op.answer.id, "s3", "ensure: it vanishes: id");

    ensure("old", 0);
    rc = script(&op, "ensure: the id is another's now",
                { .line = "GET " S "/old", .status = 200,
                  .reply = "{\"name\":\"other\"}" },
                { .line = LIST, .status = 200, .reply = FOUND },
                { .line = "GET " S "/s1", .status = 200, .reply = BODY });
    done(rc, 200, "subscription_unchanged", 0, "ensure: another's id");

    ensure("no/id", 0);
    rc = script(&op, "ensure: a bad id is none",
                { .line = LIST, .status = 200, .reply = FOUND },
                { .line = "GET " S "/s1", .status = 200, .reply = BODY });
    done(rc, 200, "subscription_unchanged", 0, "ensure: a bad id");

    ensure(NULL, 0);
    rc = script(&op, "ensure: on the second page",
                { .line = LIST, .status = 200,
                  .reply = "{\"entities\":[{\"name\":\"x\",\"id\":\"1\"}],"
                           "\"pageNumber\":1,\"pageCount\":2}" },
                { .line = "GET " S "?pageSize=100&pageNumber=2",
                  .status = 200, .reply = FOUND },
                { .line = "GET " S "/s1", .status = 200, .reply = BODY });
    done(rc, 200, "subscription_unchanged", 0, "ensure: second page");

    settings.send_rate = 1;
    ensure("s1", 0);
    rc = script(&op, "ensure: with the rate",
                { .line = "GET " S "/s1", .status = 200, .reply = BODY },
                { .line = "PUT " S "/s1",
                  .body = "{\"name\":\"calls\",\"destination\":{\"type\":"
                          "\"http\",\"endpoint\":"
                          "\"https://nginx.example/v1/events\","
                          "\"maxEventsPerSecond\":1000},\"filter\":"
                          "{\"eventSources\":[\"a:*\",\"b:*\"]},"
                          "\"retentionPeriodDays\":30}",
                  .status = 503 });
    done(rc, 502, "subscription_ensure", 0, "ensure: down");
    settings.send_rate = 0;
}


static void
ensures_hostile(void)
{
    ngx_int_t                       rc;
    ngx_eb_genesys_subscription_t  *s;

    ensure(NULL, 0);
    rc = script(&op, "ensure: always taken, never there",
                { .line = LIST, .status = 200, .reply = NONE },
                { .line = "POST " S, .status = 409 },
                { .line = LIST, .delay = 500, .status = 200, .reply = NONE },
                { .line = "POST " S, .status = 409 },
                { .line = LIST, .delay = 500, .status = 200, .reply = NONE },
                { .line = "POST " S, .status = 409 });
    done(rc, 409, "subscription_ensure", 0, "ensure: always taken");

    s = ngx_eb_genesys_subscription(ensure(NULL, 0));
    rc = script(&op, "ensure: always listed, never there",
                { .line = LIST, .status = 200, .reply = FOUND },
                { .line = "GET " S "/s1", .status = 404 },
                { .line = LIST, .status = 200, .reply = FOUND },
                { .line = "GET " S "/s1", .status = 404 },
                { .line = LIST, .status = 200, .reply = FOUND },
                { .line = "GET " S "/s1", .status = 404 },
                { .line = LIST, .status = 200, .reply = FOUND },
                { .line = "GET " S "/s1", .status = 404 },
                { .line = LIST, .status = 200, .reply = FOUND },
                { .line = "GET " S "/s1", .status = 404 },
                { .line = LIST, .status = 200, .reply = FOUND },
                { .line = "GET " S "/s1", .status = 404 });
    done(rc, 502, "subscription_ensure", 0, "ensure: never there");
    is_int(s->id.len, 0, "ensure: no id");

    ensure(NULL, 0);
    rc = script(&op, "ensure: the list is a page",
                { .line = LIST, .status = 200, .reply = "<html>" });
    done(rc, 502, "subscription_ensure", 0, "ensure: a page");

    ensure("s1", 0);
    rc = script(&op, "ensure: it is a list",
                { .line = "GET " S "/s1", .status = 200, .reply = "[{}]" });
    done(rc, 502, "subscription_ensure", 0, "ensure: it is a list");

    ensure("s1", 0);
    rc = script(&op, "ensure: it is down",
                { .line = "GET " S "/s1", .error = "connection refused",
                  .unsent = 1 });
    done(rc, 502, "subscription_ensure", 0, "ensure: it is down");
    script_has(&op, "connection refused", "ensure: it is down");

    ensure("s1", 0);
    rc = script(&op, "ensure: not kept",
                { .line = "GET " S "/s1", .status = 200,
                  .reply = "{\"name\":\"calls\"}" },
                { .line = "PUT " S "/s1", .status = 200, .reply = "null" },
                { .line = "GET " S "/s1", .status = 200,
                  .reply = "{\"name\":\"calls\"}" });
    done(rc, 502, "subscription_ensure", 1, "ensure: not kept");
}


static void
errors(void)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    static const struct {
        ngx_uint_t   status;
        ngx_uint_t   expected;
        const char  *has;
    } tests[] = {
        { 401, 502, "client_secret_file" },
        { 403, 502, "give it a role" },
        { 404, 404, "the path. The public Genesys Cloud API has no" },
        { 410, 404, "does not have it" },
        { 408, 504, "in time" },
        { 413, 422, "refused" },
        { 500, 502, "failed" },
        { 501, 502, "failed" },
        { 503, 502, "failed" },
        { 504, 504, "in time" },
        { 302, 502, "failed" },
        { 999, 502, "failed" }
    };

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        control(NGX_EB_GENESYS_SUB_GET, "s1", NULL, 0);
        rc = script(&op, "error",
                    { .line = "GET " S "/s1", .status = tests[i].status,
                      .reply = "{\"code\":7,\"message\":\"a\\r\\n\\\"b\"}" });
        done(rc, tests[i].expected, "subscription_read", 0, "error");
        is_int(op.answer.api_status, tests[i].status, "error: API's status");
        script_has(&op, tests[i].has, "error");
        script_has(&op, "\"message\":\"a\\r\\n\\\"b\"", "error");
    }

    /* a wrong path is in the log, but not at every check of a job */

    shim_log_lines = 0;
    control(NGX_EB_GENESYS_SUB_LIST, NULL, NULL, 0);
    script(&op, "404", { .line = LIST, .status = 404 });
    is_int(shim_log_lines, 1, "404: one line");
    ok(strstr((char *) shim_log_line, "api integrations") != NULL,
       "404: names the alternative");

    op.log = NULL;
    ensure(NULL, 0);
    script(&op, "404", { .line = LIST, .status = 404 });
    is_int(shim_log_lines, 1, "404: no line of a job");
    op.log = &shim_log;
}


static void
integrations(void)
{
    ngx_int_t  rc;

    control(NGX_EB_GENESYS_SUB_CREATE, NULL, IBODY, 1);
    rc = script(&op, "integration: create",
                { .line = ILIST, .status = 200, .reply = NONE },
                { .line = "POST " I, .body = "{\"name\":\"calls\"," TYPE "}",
                  .status = 200, .reply = ITEM OFF },
                { .line = "GET " I "/i1/config/current", .status = 200,
                  .reply = "{\"version\":3,\"name\":\"calls\",\"properties\":"
                           "{},\"advanced\":{\"z\":1.0}}" },
                { .line = "PUT " I "/i1/config/current",
                  .body = "{\"version\":3,\"name\":\"calls\",\"properties\":"
                          "{\"awsAccountId\":\"123456789012\","
                          "\"awsAccountRegion\":\"us-east-1\","
                          "\"eventSourceSuffix\":\"my-bus\",\"eventFilter\":"
                          "[\"v2.a\",\"v2.b\"]},\"advanced\":{\"z\":1.0}}",
                  .status = 200,
                  .reply = "{\"version\":4,\"name\":\"calls\"," PROPS "}" },
                { .line = "PATCH " I "/i1",
                  .body = "{\"intendedState\":\"ENABLED\"}", .status = 200,
                  .reply = ITEM ON });
    done(rc, 201, "subscription_created", 1, "integration: create");
    is_str(&op.answer.id, "i1", "integration: create: id");
    is_str(&op.answer.body, "{\"id\":\"i1\",\"integration\":" ITEM ON
           ",\"config\":{\"version\":4,\"name\":\"calls\"," PROPS "}}",
           "integration: create: body");

    control(NGX_EB_GENESYS_SUB_CREATE, NULL, IBODY, 1);
    rc = script(&op, "integration: there is no configuration",
                { .line = ILIST, .status = 200, .reply = NONE },
                { .line = "POST " I, .status = 200, .reply = ITEM ON },
                { .line = "GET " I "/i1/config/current", .status = 404 },
                { .line = "PUT " I "/i1/config/current",
                  .body = "{\"advanced\":{},\"notes\":\"\",\"credentials\":{},"
                          "\"name\":\"calls\",\"version\":1," PROPS "}",
                  .status = 200,
                  .reply = "{\"version\":1,\"name\":\"calls\"," PROPS "}" });
    done(rc, 201, "subscription_created", 1, "integration: no configuration");

    control(NGX_EB_GENESYS_SUB_CREATE, NULL,
            "{\"name\":\"n\",\"properties\":{\"awsAccountId\":\"12\","
            "\"awsAccountRegion\":\"x\",\"eventSourceSuffix\":\"a b\","
            "\"eventFilter\":\"v2\"}}", 1);
    rc = play(&op, "integration: violations", NULL, 0);
    done(rc, 400, "subscription_create", 0, "integration: violations");
    script_has(&op, "{\"field\":\"properties.awsAccountId\",\"rule\":"
               "\"value\",\"message\":\"12 digits are expected\"}", "account");
    script_has(&op, "{\"field\":\"properties.awsAccountRegion\"", "region");
    script_has(&op, "{\"field\":\"properties.eventSourceSuffix\"", "suffix");
    script_has(&op, "{\"field\":\"properties.eventFilter\",\"rule\":\"type\"",
               "topics");

    control(NGX_EB_GENESYS_SUB_GET, "i1", NULL, 1);
    rc = script(&op, "integration: get",
                { .line = "GET " I "/i1", .status = 200, .reply = ITEM ON },
                { .line = "GET " I "/i1/config/current", .status = 200,
                  .reply = "{\"version\":1e0}" });
    done(rc, 200, "subscription_read", 0, "integration: get");
    is_str(&op.answer.body, "{\"id\":\"i1\",\"integration\":" ITEM ON
           ",\"config\":{\"version\":1e0}}", "integration: get: body");

    control(NGX_EB_GENESYS_SUB_GET, "i1", NULL, 1);
    rc = script(&op, "integration: of another type",
                { .line = "GET " I "/i1", .status = 200,
                  .reply = "{\"integrationType\":{\"id\":\"sso\"}}" });
    done(rc, 404, "subscription_read", 0, "integration: of another type");

    control(NGX_EB_GENESYS_SUB_DELETE, "i1", NULL, 1);
    rc = script(&op, "integration: delete another type",
                { .line = "GET " I "/i1", .status = 200,
                  .reply = "{\"integrationType\":{\"id\":\"sso\"}}" });
    done(rc, 404, "subscription_delete", 0, "integration: delete another");

    control(NGX_EB_GENESYS_SUB_DELETE, "i1", NULL, 1);
    rc = script(&op, "integration: delete",
                { .line = "GET " I "/i1", .status = 200, .reply = ITEM ON },
                { .line = "DELETE " I "/i1", .status = 202 });
    done(rc, 204, "subscription_deleted", 1, "integration: delete");

    control(NGX_EB_GENESYS_SUB_LIST, NULL, NULL, 1);
    rc = script(&op, "integration: list",
                { .line = ILIST, .status = 200,
                  .reply = "{\"entities\":[" ITEM ON ",{\"id\":\"x\","
                           "\"integrationType\":{\"id\":\"sso\"}}]}" });
    done(rc, 200, "subscriptions_listed", 0, "integration: list");
    is_str(&op.answer.body, "{\"entities\":[" ITEM ON "],\"total\":1}",
           "integration: list: ours only");

    control(NGX_EB_GENESYS_SUB_REPLACE, "i1", IBODY, 1);
    rc = script(&op, "integration: replace, and the version is another",
                { .line = "GET " I "/i1", .status = 200, .reply = ITEM ON },
                { .line = "GET " I "/i1/config/current", .status = 200,
                  .reply = "{\"version\":1,\"name\":\"calls\"}" },
                { .line = "PUT " I "/i1/config/current", .status = 400,
                  .body = "{\"version\":1,\"name\":\"calls\"," PROPS "}",
                  .reply = "{\"message\":\"version 1 does not match the "
                           "current version\"}" },
                { .line = "GET " I "/i1/config/current", .status = 200,
                  .reply = "{\"version\":2,\"name\":\"x\"}" },
                { .line = "PUT " I "/i1/config/current", .status = 200,
                  .body = "{\"version\":2,\"name\":\"calls\"," PROPS "}",
                  .reply = "{\"version\":3,\"name\":\"calls\"," PROPS "}" });
    done(rc, 200, "subscription_updated", 1, "integration: replace");

    control(NGX_EB_GENESYS_SUB_REPLACE, "i1", IBODY, 1);
    rc = script(&op, "integration: a bad request is no conflict",
                { .line = "GET " I "/i1", .status = 200, .reply = ITEM ON },
                { .line = "GET " I "/i1/config/current", .status = 200,
                  .reply = "{\"version\":1}" },
                { .line = "PUT " I "/i1/config/current", .status = 400,
                  .reply = "{\"message\":\"suffix is not unique\"}" });
    done(rc, 422, "subscription_replace", 0, "integration: a bad request");
}


static void
integrations_ensure(void)
{
    ngx_int_t                       rc;
    ngx_eb_genesys_subscription_t  *s;

    s = ngx_eb_genesys_subscription(ensure(NULL, 1));
    rc = script(&op, "integration: ensure: equal",
                { .line = ILIST, .status = 200,
                  .reply = "{\"entities\":[" ITEM "}]}" },
                { .line = "GET " I "/i1", .status = 200, .reply = ITEM ON },
                { .line = "GET " I "/i1/config/current", .status = 200,
                  .reply = "{\"version\":4,\"name\":\"calls\"," PROPS "}" });
    done(rc, 200, "subscription_unchanged", 0, "integration: ensure: equal");
    ok(s->active && !s->drift && !s->created, "integration: active");
    is_str(&s->status, "ACTIVE", "integration: status");

    s = ngx_eb_genesys_subscription(ensure("i1", 1));
    rc = script(&op, "integration: ensure: disabled",
                { .line = "GET " I "/i1", .status = 200, .reply = ITEM OFF },
                { .line = "GET " I "/i1/config/current", .status = 200,
                  .reply = "{\"version\":4,\"name\":\"calls\"," PROPS "}" },
                { .line = "PATCH " I "/i1",
                  .body = "{\"intendedState\":\"ENABLED\"}", .status = 200 });
    done(rc, 200, "subscription_updated", 1, "integration: disabled");
    ok(!s->active && s->drift, "integration: it had been disabled");
    is_str(&s->differs, "intendedState", "integration: drift");

    ensure("i1", 1);
    rc = script(&op, "integration: ensure: deleted at run time",
                { .line = "GET " I "/i1", .status = 404 },
                { .line = ILIST, .status = 200, .reply = NONE },
                { .line = "POST " I, .status = 200,
                  .reply = "{\"id\":\"i2\"}" },
                { .line = "GET " I "/i2/config/current", .status = 200,
                  .reply = "{}" },
                { .line = "PUT " I "/i2/config/current",
                  .body = "{\"name\":\"calls\",\"version\":1," PROPS "}",
                  .status = 200 },
                { .line = "GET " I "/i2/config/current", .status = 200,
                  .reply = "{\"name\":\"calls\",\"version\":2," PROPS "}" },
                { .line = "PATCH " I "/i2", .status = 200,
                  .reply = "{\"id\":\"i2\"" ON });
    done(rc, 201, "subscription_created", 1, "integration: deleted");
    is_str(&op.answer.id, "i2", "integration: a new id");

    ensure(NULL, 1);
    rc = script(&op, "integration: ensure: ambiguous",
                { .line = ILIST, .status = 200, .reply = NONE },
                { .line = "POST " I, .error = "reset" },
                { .line = ILIST, .delay = 1000, .status = 200,
                  .reply = "{\"entities\":[" ITEM "}]}" },
                { .line = "GET " I "/i1", .status = 200, .reply = ITEM ON },
                { .line = "GET " I "/i1/config/current", .status = 200,
                  .reply = "{}" },
                { .line = "PUT " I "/i1/config/current", .status = 200,
                  .reply = "{\"version\":2,\"name\":\"calls\"," PROPS "}" });
    done(rc, 201, "subscription_created", 1, "integration: ambiguous");

    ensure("i1", 1);
    rc = script(&op, "integration: ensure: the id is of another type",
                { .line = "GET " I "/i1", .status = 200,
                  .reply = "{\"name\":\"calls\",\"integrationType\":{\"id\":"
                           "\"sso\"}}" },
                { .line = ILIST, .status = 403,
                  .reply = "{\"code\":\"missing.permissions\"}" });
    done(rc, 502, "subscription_ensure", 0, "integration: another type");
    script_has(&op, "missing.permissions", "integration: another type");

    ensure("i1", 1);
    rc = script(&op, "integration: ensure: it cannot be enabled",
                { .line = "GET " I "/i1", .status = 200, .reply = ITEM OFF },
                { .line = "GET " I "/i1/config/current", .status = 200,
                  .reply = "{\"version\":4,\"name\":\"calls\"," PROPS "}" },
                { .line = "PATCH " I "/i1", .status = 400 });
    done(rc, 422, "subscription_ensure", 0, "integration: not enabled");
}


/* a whole operation with so many allocations */

static ngx_int_t
cramped(ngx_int_t allocs)
{
    ngx_int_t                  rc;
    ngx_str_t                  body;
    ngx_uint_t                 i;
    ngx_pool_t                *own;
    ngx_eb_genesys_op_t        o;
    ngx_eb_genesys_reply_t     reply[4];
    ngx_eb_genesys_request_t   request;

    own = ngx_create_pool(4096, NULL);
    body = str("{\"version\":\"x\"," WANT "}");

    ngx_memzero(&o, sizeof(o));
    o.pool = own;
    o.log = &shim_log;

    ngx_memzero(reply, sizeof(reply));
    reply[0].status = 200;
    reply[0].body = str("{\"entities\":[{\"id\":\"\\u0073\",\"name\":"
                        "\"c\\u0061lls\"}]}");
    reply[1].status = 200;
    reply[1].body = str("{\"name\":\"\\u0063alls\"}");
    reply[2].status = 200;
    reply[2].body = str("{}");
    reply[3].status = 403;
    reply[3].body = str("{\"code\":\"\\u0063\",\"details\":[]}");

    shim_allocs = allocs;

    rc = ngx_eb_genesys_subscription_init(&o, &ngx_eb_genesys_reference_api,
                                          NGX_EB_GENESYS_SUB_ENSURE, NULL,
                                          &settings);

    for (i = 0; rc == NGX_OK || rc == NGX_AGAIN; i++) {
        rc = o.step(&o, i ? &reply[i - 1] : NULL, &request);
    }

    if (rc == NGX_DONE) {
        rc = ngx_eb_genesys_subscription_init_body(&o,
                 &ngx_eb_genesys_reference_api, NGX_EB_GENESYS_SUB_CREATE, NULL,
                 &body);

        if (rc == NGX_OK) {
            rc = o.step(&o, NULL, &request);
        }
    }

    shim_allocs = -1;
    ngx_destroy_pool(own);

    return rc;
}


static void
no_memory(void)
{
    ngx_int_t  n, rc;

    for (n = 0, rc = NGX_ERROR; n < 1000 && rc == NGX_ERROR; n++) {
        rc = cramped(n);
    }

    is_int(rc, NGX_DONE, "no memory: in the end there is enough");
    ok(n > 50, "no memory: after %d times without", (int) n);
}


int
main(void)
{
    pool = ngx_create_pool(4096, NULL);

    setup();
    bodies();
    endpoints();
    checks();
    creates();
    ambiguous();
    lists();
    gets();
    replaces();
    deletes();
    ensures();
    ensures_hostile();
    errors();
    integrations();
    integrations_ensure();
    no_memory();

    ngx_destroy_pool(pool);
    is_int(shim_blocks, 0, "nothing is left");

    return done_testing();
}
