
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Retention policies: what is refused before anything is sent, and
 * adjustments against scripted replies.
 */

/* sources: src/genesys/ngx_eb_genesys_retention.c src/genesys/ngx_eb_genesys_retention_record.c src/genesys/ngx_eb_genesys_policy.c src/genesys/ngx_eb_genesys_body.c src/genesys/ngx_eb_genesys_op.c src/genesys/ngx_eb_genesys_duration.c src/genesys/ngx_eb_genesys_patch.c src/genesys/ngx_eb_genesys_list.c src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c src/wire/ngx_eb_json_edit.c src/wire/ngx_eb_out.c */
/* libs: -lsimdjson */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "genesys_script.h"
#include "ngx_eb_genesys_retention.h"


#define P     "/api/v2/eventbridge/retentionpolicies/p1"
#define TIERS "\"tiering\":{\"hotDays\":7,\"warmDays\":30,\"coldDays\":90}"
#define WANT  "\"retentionPeriod\":\"P90D\"," TIERS
#define TAGS  "\"complianceTags\":[\"GDPR\",\"HIPAA\"]"
#define BODY  "{" WANT "," TAGS "}"

/* 150 GB for 90 days at 0.0023 */
#define COST  "31.05"


static ngx_str_t str(const char *s);
static ngx_msec_t now(void);
static void setup(void);
static ngx_eb_genesys_op_t *adjust(const char *body);
static void done(ngx_int_t rc, ngx_uint_t status, const char *action,
    ngx_uint_t changed, const char *name);
static void facts(const char *status, ngx_uint_t migrated,
    ngx_uint_t verified, ngx_uint_t pending, const char *name);
static void bad(const char *body, ngx_uint_t n, const char *field,
    const char *rule, const char *name);
static void tiers(const char *hot, const char *warm, const char *cold,
    ngx_uint_t n, const char *field, const char *rule);
static void violations(void);
static void dry_runs(void);
static void gets(void);
static void adjustments(void);
static void versions(void);
static void pending(void);
static void compliance(void);
static void schedules(void);
static void refusals(void);
static void records(void);
static ngx_int_t cramped(ngx_int_t allocs);
static void no_memory(void);


static ngx_pool_t                       *pool;
static ngx_eb_genesys_op_t               op;
static ngx_eb_genesys_retention_conf_t   conf;
static ngx_msec_t                        clock_ms;
static ngx_msec_t                        schedule[] = { 60000, 300000 };
static ngx_str_t                         id;


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


static void
setup(void)
{
    ngx_str_t    s;
    ngx_array_t *tags;

    ngx_memzero(&conf, sizeof(conf));
    conf.path = str(NGX_EB_GENESYS_RETENTION_PATH);
    conf.conflicts = 2;
    conf.interval = 3000;
    conf.polls = 3;
    conf.clock = now;

    s = str("150");
    ngx_eb_genesys_decimal(&s, &conf.gb);
    s = str("0.0023");
    ngx_eb_genesys_decimal(&s, &conf.price);

    tags = ngx_array_create(pool, 1, sizeof(ngx_str_t));
    *(ngx_str_t *) ngx_array_push(tags) = str("GDPR");
    conf.tags = tags;

    id = str("p1");

    op.pool = pool;
    op.log = &shim_log;
}


static ngx_eb_genesys_op_t *
adjust(const char *body)
{
    ngx_str_t  *text;

    text = ngx_palloc(pool, sizeof(ngx_str_t));
    *text = str(body);

    if (ngx_eb_genesys_retention_adjust(&op, &conf, &id, text) != NGX_OK) {
        ok(0, "an operation");
    }

    return &op;
}


static void
done(ngx_int_t rc, ngx_uint_t status, const char *action, ngx_uint_t changed,
    const char *name)
{
    is_int(rc, NGX_DONE, "%s: is done", name);
    is_int(op.answer.status, status, "%s: status", name);
    is_str(&op.answer.action, action, "%s: action", name);
    is_int(op.answer.changed, changed, "%s: changed", name);
}


static void
facts(const char *status, ngx_uint_t migrated, ngx_uint_t verified,
    ngx_uint_t in_progress, const char *name)
{
    ngx_str_t                    s;
    ngx_eb_genesys_retention_t  *what;

    what = ngx_eb_genesys_retention(&op);
    s = what->status;

    if (s.data == NULL) {
        ngx_str_set(&s, "");
    }

    is_str(&s, status, "%s: the policy's status", name);
    is_int(what->migrated, migrated, "%s: migrationSuccess", name);
    is_int(what->verified, verified, "%s: complianceVerified", name);
    is_int(what->pending, in_progress, "%s: pending", name);

    if (op.answer.status < 400) {
        script_has(&op, migrated ? "\"migrationSuccess\":true"
                                 : "\"migrationSuccess\":false", name);
        script_has(&op, verified ? "\"complianceVerified\":true"
                                 : "\"complianceVerified\":false", name);
        script_has(&op, "\"costEstimateUSD\":" COST, name);
    }
}


static void
bad(const char *body, ngx_uint_t n, const char *field, const char *rule,
    const char *name)
{
    ngx_int_t  rc;

    adjust(body);
    rc = play(&op, name, NULL, 0);
    done(rc, 400, "retention_policy_update", 0, name);

    script_violations(&op, n, field, rule, name);
}


/* of a policy of 90 days; NULL: the member is missing */

static void
tiers(const char *hot, const char *warm, const char *cold, ngx_uint_t n,
    const char *field, const char *rule)
{
    u_char      *p, text[256], name[64];
    const char  *comma;

    p = ngx_sprintf(text, "{\"retentionPeriod\":\"P90D\",\"tiering\":{");
    comma = "";

    if (hot) {
        p = ngx_sprintf(p, "\"hotDays\":%s", hot);
        comma = ",";
    }

    if (warm) {
        p = ngx_sprintf(p, "%s\"warmDays\":%s", comma, warm);
        comma = ",";
    }

    if (cold) {
        p = ngx_sprintf(p, "%s\"coldDays\":%s", comma, cold);
    }

    *ngx_sprintf(p, "}}") = '\0';
    *ngx_sprintf(name, "row %s: %s, %s, %s",
                 strcmp(rule, "retention") ? "0.6" : "0.7",
                 hot ? hot : "none", warm ? warm : "none",
                 cold ? cold : "none") = '\0';

    bad((char *) text, n, field, rule, (char *) name);
}


static void
violations(void)
{
    u_char      *p, text[256], name[64];
    ngx_uint_t   i;

    static const char *periods[] = {
        "P", "PT24H", "P1DT1H", "90D", "P90", "P-1D", "P1.5D", "p90d", "",
        "P1D1M", "P99999999999999999999D", "P90D\\u0000x", "P90D "
    };

    static const char *ranges[] = { "P0D", "P366D", "P2Y", "P13M", "P53W" };

    for (i = 0; i < sizeof(periods) / sizeof(periods[0]); i++) {
        *ngx_sprintf(text, "{\"retentionPeriod\":\"%s\"," TIERS "}",
                     periods[i]) = '\0';
        *ngx_sprintf(name, "row 0.5: period \"%s\"", periods[i]) = '\0';

        bad((char *) text, 1, "retentionPeriod",
            strstr(periods[i], "\\u") ? "characters" : "iso8601",
            (char *) name);
    }

    for (i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        p = ngx_sprintf(text, "{\"retentionPeriod\":\"%s\",\"tiering\":"
                        "{\"hotDays\":0,\"warmDays\":1,\"coldDays\":2}}",
                        ranges[i]);
        *p = '\0';
        *ngx_sprintf(name, "row 0.6: period \"%s\"", ranges[i]) = '\0';

        bad((char *) text, 1, "retentionPeriod", "range", (char *) name);
    }

    tiers("-1", "30", "90", 1, "tiering.hotDays", "range");
    tiers("7", "30", "366", 1, "tiering.coldDays", "range");
    tiers("1.5", "30", "90", 1, "tiering.hotDays", "range");
    tiers("\"7\"", "30", "90", 1, "tiering.hotDays", "type");
    tiers("null", "30", "90", 1, "tiering.hotDays", "type");
    tiers("1e400", "30", "90", 1, "tiering.hotDays", "range");
    tiers("30", "30", "90", 1, "tiering.warmDays", "ascending");
    tiers("31", "30", "90", 1, "tiering.warmDays", "ascending");
    tiers("7", "90", "90", 1, "tiering.coldDays", "ascending");
    tiers("90", "30", "7", 2, "tiering.coldDays", "ascending");
    tiers("0", "0", "0", 2, "tiering.warmDays", "ascending");
    tiers(NULL, "30", "90", 1, "tiering.hotDays", "required");
    tiers("50", NULL, "20", 2, "tiering.coldDays", "ascending");
    tiers(NULL, NULL, NULL, 3, "tiering.coldDays", "required");
    tiers("7", "30", "91", 1, "tiering.coldDays", "retention");
    tiers("100", "30", "91", 2, "tiering.coldDays", "retention");

    bad("{\"retentionPeriod\":\"P90D\"}", 1, "tiering", "required",
        "row 0.6: no tiering");
    bad("{\"retentionPeriod\":\"P90D\",\"tiering\":[7,30,90]}", 1, "tiering",
        "type", "row 0.6: tiering is an array");
    bad("{\"retentionPeriod\":90," TIERS "}", 1, "retentionPeriod", "type",
        "row 0.5: a number");
    bad("{}", 2, "retentionPeriod", "required", "an empty object");
    bad("[]", 1, "", "type", "an array");
    bad("{\"retentionPeriod\":\"P\",\"tiering\":{\"hotDays\":9,\"warmDays\":8,"
        "\"x\":1},\"name\":\"\",\"eventTypes\":[],\"complianceTags\":[7,"
        "\"a\",\"a\"],\"description\":1,\"id\":\"p2\",\"days\":90,"
        "\"version\":-1}", 12, "id", "path", "every violation at once");
    bad("{" WANT ",\"retentionPeriod\":\"P90D\"}", 1, "retentionPeriod",
        "unique", "a member twice");

    /* ids of the path */

    id = str("a/../../b");
    bad(BODY, 1, "id", "path", "row 0.10: an id that is a path");
    id = str("a\r\nX: y");
    bad(BODY, 1, "id", "path", "row 0.10: an id with a line");
    id = str("");
    bad(BODY, 1, "id", "path", "row 0.10: no id");
    id = str("p1");
}


static void
dry_runs(void)
{
    ngx_int_t  rc;
    ngx_str_t  body, copy;

    body = str("{\"id\":\"p9\",\"name\":\"n\",\"description\":\"d\","
               "\"eventTypes\":[\"a\"],\"retentionPeriod\":\"P3M\"," TIERS ","
               TAGS "}");
    copy = str("");
    copy.len = body.len;
    copy.data = ngx_pnalloc(pool, body.len);
    ngx_memcpy(copy.data, body.data, body.len);

    ngx_eb_genesys_retention_validate(&op, &conf, &body);
    rc = play(&op, "dry run", NULL, 0);
    done(rc, 200, "retention_policy_validated", 0, "dry run");
    is_str(&op.answer.body, "{\"valid\":true,\"retentionDays\":90,"
           "\"costEstimateUSD\":31.05,\"policy\":{\"id\":\"p9\",\"name\":"
           "\"n\",\"description\":\"d\",\"eventTypes\":[\"a\"],"
           "\"retentionPeriod\":\"P90D\"," TIERS "," TAGS "}}",
           "row 0.8: dry run: the cost is told, and not in the policy");
    ok(copy.len == body.len && memcmp(copy.data, body.data, body.len) == 0,
       "row 0.8: the input is as it was");

    conf.send_cost = 1;
    body = str("{" WANT "}");
    ngx_eb_genesys_retention_validate(&op, &conf, &body);
    rc = play(&op, "dry run", NULL, 0);
    done(rc, 200, "retention_policy_validated", 0, "dry run");
    is_str(&op.answer.body, "{\"valid\":true,\"retentionDays\":90,"
           "\"costEstimateUSD\":31.05,\"policy\":{" WANT
           ",\"costEstimateUSD\":31.05}}", "row 0.8: dry run: sent if told");
    conf.send_cost = 0;

    body = str("{\"id\":\"a/b\",\"retentionPeriod\":\"P1W\"," TIERS "}");
    ngx_eb_genesys_retention_validate(&op, &conf, &body);
    rc = play(&op, "dry run", NULL, 0);
    done(rc, 400, "retention_policy_validated", 0, "dry run: bad");
    script_has(&op, "{\"field\":\"id\",\"rule\":\"value\"", "dry run: bad");
    script_has(&op, "{\"field\":\"tiering.coldDays\",\"rule\":\"retention\"",
               "row 0.7: dry run: bad");
}


static void
gets(void)
{
    ngx_int_t  rc;

    ngx_eb_genesys_retention_get(&op, &conf, &id);
    rc = script(&op, "get", { .line = "GET " P, .status = 200,
                              .reply = "{\"a\":1.0}" });
    done(rc, 200, "retention_policy_read", 0, "get");
    is_str(&op.answer.body, "{\"a\":1.0}", "get: the API's bytes");

    ngx_eb_genesys_retention_get(&op, &conf, &id);
    rc = script(&op, "get: none", { .line = "GET " P, .status = 404 });
    done(rc, 404, "retention_policy_read", 0, "get: none");
    script_has(&op, "/api/v2/recording/mediaretentionpolicies", "get: none");

    ngx_eb_genesys_retention_get(&op, &conf, &id);
    rc = script(&op, "get: a page", { .line = "GET " P, .status = 200,
                                      .reply = "<html>" });
    done(rc, 502, "retention_policy_read", 0, "get: a page");
}


static void
adjustments(void)
{
    ngx_int_t                    rc;
    ngx_eb_genesys_retention_t  *what;

    clock_ms = 1000;

    what = ngx_eb_genesys_retention(adjust(BODY));
    is_str(&what->cost, COST, "the cost is known at once");
    is_str(&what->id, "p1", "and the id");

    rc = script(&op, "row 0.10: adjust",
                { .line = "GET " P, .status = 200, .etag = "W/\"3\"",
                  .reply = "{\"id\":\"p1\",\"version\":3,\"unknown\":"
                           "[1.0,1e2,12345678901234567890],\"tiering\":"
                           "{\"coldDays\":90.0,\"own\":-0,\"warmDays\":14,"
                           "\"hotDays\":7},\"unknown\":\"\\u0061\","
                           "\"retentionPeriod\" : \"P30D\"}" },
                { .line = "PUT " P, .if_match = "W/\"3\"",
                  .body = "{\"id\":\"p1\",\"version\":3,\"unknown\":"
                          "[1.0,1e2,12345678901234567890],\"tiering\":"
                          "{\"coldDays\":90.0,\"own\":-0,\"warmDays\":30,"
                          "\"hotDays\":7},\"unknown\":\"\\u0061\","
                          "\"retentionPeriod\" : \"P90D\"," TAGS "}",
                  .status = 200, .reply = "{\"status\":\"active\"}" },
                { .line = "GET " P, .status = 200,
                  .reply = "{\"status\":\"active\",\"q\":1e2," WANT "," TAGS
                           "}" });
    done(rc, 200, "retention_policy_update", 1, "row 0.10: adjust");
    facts("active", 1, 1, 0, "row 0.12: adjust");
    is_int(what->latency, 5, "row 0.12: latency");
    is_str(&op.answer.body, "{\"policyId\":\"p1\",\"status\":\"active\","
           "\"retentionDays\":90,\"costEstimateUSD\":31.05,\"changed\":true,"
           "\"migrationSuccess\":true,\"complianceVerified\":true,"
           "\"latencyMs\":5,\"policy\":{\"status\":\"active\",\"q\":1e2," WANT
           "," TAGS "}}", "adjust: answer");

    adjust(BODY);
    rc = script(&op, "it is as it should be",
                { .line = "GET " P, .status = 200,
                  .reply = "{\"status\":\"active\",\"retentionPeriod\":"
                           "\"P3M\"," TIERS ",\"complianceTags\":[\"HIPAA\","
                           "\"GDPR\"]}" });
    done(rc, 200, "retention_policy_unchanged", 0, "as it should be");
    facts("active", 1, 1, 0, "as it should be");

    adjust("{" WANT "}");
    rc = script(&op, "as it should be, without a state",
                { .line = "GET " P, .status = 200,
                  .reply = "{" WANT "," TAGS "}" });
    done(rc, 200, "retention_policy_unchanged", 0, "without a state");
    facts("", 0, 1, 0, "row 0.12: unknown is not true");

    conf.send_cost = 1;
    adjust("{" WANT "}");
    rc = script(&op, "row 0.8: the cost is sent if told",
                { .line = "GET " P, .status = 200, .reply = "{}" },
                { .line = "PUT " P,
                  .body = "{\"id\":\"p1\"," WANT
                          ",\"costEstimateUSD\":31.05}", .status = 200 },
                { .line = "GET " P, .status = 200,
                  .reply = "{\"status\":\"Active\",\"costEstimateUSD\":"
                           "3105e-2," WANT "," TAGS "}" });
    done(rc, 200, "retention_policy_update", 1, "the cost is sent");
    facts("Active", 1, 1, 0, "the cost is sent");
    conf.send_cost = 0;

    conf.path = str("/gw/{id}/x?y=z");
    conf.clock = NULL;
    ngx_eb_genesys_retention_get(&op, &conf, &id);
    rc = script(&op, "another path",
                { .line = "GET /gw/p1/x?y=z", .status = 200, .reply = "{}" });
    done(rc, 200, "retention_policy_read", 0, "another path");
    conf.path = str(NGX_EB_GENESYS_RETENTION_PATH);
    conf.clock = now;
}


static void
versions(void)
{
    ngx_int_t  rc;

    adjust("{" WANT "}");
    rc = script(&op, "row 0.10: conflicts",
                { .line = "GET " P, .status = 200, .etag = "1",
                  .reply = "{\"id\":\"p1\",\"version\":1}" },
                { .line = "PUT " P, .if_match = "1",
                  .body = "{\"id\":\"p1\",\"version\":1," WANT "}",
                  .status = 409 },
                { .line = "GET " P, .status = 200,
                  .reply = "{\"id\":\"p1\",\"version\":2,\"z\":0}" },
                { .line = "PUT " P,
                  .body = "{\"id\":\"p1\",\"version\":2,\"z\":0," WANT "}",
                  .status = 400,
                  .reply = "{\"message\":\"2 does not match the current "
                           "version 3\"}" },
                { .line = "GET " P, .status = 200,
                  .reply = "{\"id\":\"p1\",\"version\":3}" },
                { .line = "PUT " P,
                  .body = "{\"id\":\"p1\",\"version\":3," WANT "}",
                  .status = 200, .reply = "{\"status\":\"active\"}" },
                { .line = "GET " P, .status = 200,
                  .reply = "{\"status\":\"active\"," WANT "," TAGS "}" });
    done(rc, 200, "retention_policy_update", 1, "row 0.10: conflicts");
    facts("active", 1, 1, 0, "row 0.10: conflicts");
    is_int(ngx_eb_genesys_retention(&op)->puts, 3, "row 0.10: three PUTs");

    adjust("{" WANT "}");
    rc = script(&op, "row 0.10: conflicts without an end",
                { .line = "GET " P, .status = 200, .reply = "{}" },
                { .line = "PUT " P, .status = 412 },
                { .line = "GET " P, .status = 200, .reply = "{}" },
                { .line = "PUT " P, .status = 412 },
                { .line = "GET " P, .status = 200, .reply = "{}" },
                { .line = "PUT " P, .status = 412 });
    done(rc, 409, "retention_policy_update", 0, "without an end");
    facts("", 0, 0, 0, "without an end");

    /* the other one wrote the same */

    adjust("{" WANT "}");
    rc = script(&op, "row 0.10: a conflict of equals",
                { .line = "GET " P, .status = 200, .reply = "{}" },
                { .line = "PUT " P, .status = 409 },
                { .line = "GET " P, .status = 200,
                  .reply = "{\"id\":\"p1\",\"status\":\"active\"," WANT ","
                           TAGS "}" });
    done(rc, 200, "retention_policy_update", 1, "a conflict of equals");
    facts("active", 1, 1, 0, "a conflict of equals");

    adjust("{\"version\":3," WANT "}");
    rc = script(&op, "row 0.10: the sender's version is old",
                { .line = "GET " P, .status = 200,
                  .reply = "{\"version\":4}" });
    done(rc, 409, "retention_policy_update", 0, "an old version");

    adjust("{\"version\":3," WANT "}");
    rc = script(&op, "row 0.10: the sender's version was overtaken",
                { .line = "GET " P, .status = 200,
                  .reply = "{\"version\":3}" },
                { .line = "PUT " P, .status = 409 });
    done(rc, 409, "retention_policy_update", 0, "an overtaken version");
}


/* row 0.11: accepted is accepted; what is pending is looked at, for a time */

static void
pending(void)
{
    ngx_int_t  rc;

    adjust("{" WANT "}");
    rc = script(&op, "row 0.11: pending, then active",
                { .line = "GET " P, .status = 200, .reply = "{}" },
                { .line = "PUT " P, .status = 202,
                  .reply = "{\"status\":\"migrating\"}" },
                { .line = "GET " P, .status = 200,
                  .reply = "{\"id\":\"p1\",\"status\":\"migrating\"," WANT ","
                           TAGS "}" },
                { .line = "GET " P, .delay = 3000, .status = 200,
                  .reply = "{\"id\":\"p1\",\"status\":\"active\"," WANT ","
                           TAGS "}" });
    done(rc, 200, "retention_policy_update", 1, "pending, then active");
    facts("active", 1, 1, 0, "pending, then active");

    adjust("{" WANT "}");
    rc = script(&op, "row 0.11: pending to the bound",
                { .line = "GET " P, .status = 200, .reply = "{}" },
                { .line = "PUT " P, .status = 200, .reply = "no JSON" },
                { .line = "GET " P, .status = 200,
                  .reply = "{\"id\":\"p1\",\"status\":\"migrating\"," WANT ","
                           TAGS "}" },
                { .line = "GET " P, .delay = 3000, .status = 503 },
                { .line = "GET " P, .delay = 3000, .status = 200,
                  .reply = "{\"id\":\"p1\",\"status\":\"migrating\"," WANT ","
                           TAGS "}" });
    done(rc, 202, "retention_policy_update", 1, "pending to the bound");
    facts("migrating", 0, 1, 1, "pending to the bound");
    script_has(&op, "\"status\":\"migrating\"", "pending to the bound");

    adjust("{" WANT "}");
    rc = script(&op, "row 0.11: it fails",
                { .line = "GET " P, .status = 200, .reply = "{}" },
                { .line = "PUT " P, .status = 200,
                  .reply = "{\"status\":\"migrating\"}" },
                { .line = "GET " P, .status = 200,
                  .reply = "{\"id\":\"p1\",\"status\":\"MIGRATION_FAILED\","
                           WANT "," TAGS "}" });
    done(rc, 200, "retention_policy_update", 1, "row 0.11: it fails");
    facts("MIGRATION_FAILED", 0, 1, 0, "row 0.11: it fails");

    adjust("{" WANT "}");
    rc = script(&op, "row 0.12: nothing more is heard",
                { .line = "GET " P, .status = 200, .reply = "{}" },
                { .line = "PUT " P, .status = 200 },
                { .line = "GET " P, .error = "timed out" },
                { .line = "GET " P, .delay = 3000, .status = 404 },
                { .line = "GET " P, .delay = 3000, .status = 200,
                  .reply = "[]" });
    done(rc, 202, "retention_policy_update", 1, "nothing more is heard");
    facts("", 0, 0, 1, "row 0.12: nothing more is heard");
    script_has(&op, "\"status\":\"unknown\"", "nothing more is heard");
    script_has(&op, "\"policy\":null", "nothing more is heard");

    adjust("{" WANT "}");
    rc = script(&op, "row 0.12: active, but not read back",
                { .line = "GET " P, .status = 200, .reply = "{}" },
                { .line = "PUT " P, .status = 200,
                  .reply = "{\"status\":\"active\"," WANT "," TAGS "}" },
                { .line = "GET " P, .status = 500 },
                { .line = "GET " P, .delay = 3000, .status = 500 },
                { .line = "GET " P, .delay = 3000, .status = 500 });
    done(rc, 200, "retention_policy_update", 1, "not read back");
    facts("active", 1, 0, 0, "row 0.12: not read back");

    adjust("{" WANT "}");
    rc = script(&op, "row 0.12: kept at first, then changed by another",
                { .line = "GET " P, .status = 200, .reply = "{}" },
                { .line = "PUT " P, .status = 200 },
                { .line = "GET " P, .status = 200,
                  .reply = "{\"status\":\"migrating\"," WANT "," TAGS "}" },
                { .line = "GET " P, .delay = 3000, .status = 200,
                  .reply = "{\"status\":\"active\"," TAGS "}" },
                { .line = "GET " P, .delay = 3000, .status = 503 });
    done(rc, 200, "retention_policy_update", 1, "changed by another");
    facts("active", 1, 0, 0, "row 0.12: changed by another");

    /* a migration that somebody else began */

    adjust("{" WANT "}");
    rc = script(&op, "row 0.11: as it should be, and pending",
                { .line = "GET " P, .status = 200,
                  .reply = "{\"id\":\"p1\",\"status\":\"migrating\"," WANT
                           "}" },
                { .line = "GET " P, .delay = 3000, .status = 200,
                  .reply = "{\"id\":\"p1\",\"status\":\"active\"," WANT
                           "}" });
    done(rc, 200, "retention_policy_unchanged", 0, "somebody else's");
    facts("active", 1, 0, 0, "somebody else's");
}


static void
compliance(void)
{
    ngx_int_t     rc;
    ngx_array_t  *tags;

    adjust("{" WANT ",\"complianceTags\":[\"HIPAA\"]}");
    rc = script(&op, "row 0.12: a tag is missing",
                { .line = "GET " P, .status = 200, .reply = "{}" },
                { .line = "PUT " P, .status = 200 },
                { .line = "GET " P, .status = 200,
                  .reply = "{\"id\":\"p1\",\"status\":\"active\"," WANT ","
                           "\"complianceTags\":[\"HIPAA\"]}" });
    done(rc, 200, "retention_policy_update", 1, "a tag is missing");
    facts("active", 1, 0, 0, "row 0.12: a tag is missing");

    adjust(BODY);
    rc = script(&op, "row 0.12: not kept",
                { .line = "GET " P, .status = 200, .reply = "{}" },
                { .line = "PUT " P, .status = 200,
                  .reply = "{\"status\":\"active\"}" },
                { .line = "GET " P, .status = 200,
                  .reply = "{\"status\":\"active\",\"retentionPeriod\":"
                           "\"P90D\",\"tiering\":{\"hotDays\":7,\"warmDays\":"
                           "30,\"coldDays\":60}," TAGS "}" },
                { .line = "GET " P, .delay = 3000, .status = 200,
                  .reply = "{\"status\":\"active\",\"retentionPeriod\":"
                           "\"P90D\",\"tiering\":{\"hotDays\":7,\"warmDays\":"
                           "30,\"coldDays\":60}," TAGS "}" },
                { .line = "GET " P, .delay = 3000, .status = 200,
                  .reply = "{\"id\":\"p1\",\"status\":\"active\","
                           "\"retentionPeriod\":"
                           "\"P90D\",\"tiering\":{\"hotDays\":7,\"warmDays\":"
                           "30,\"coldDays\":60}," TAGS "}" });
    done(rc, 200, "retention_policy_update", 1, "row 0.12: not kept");
    facts("active", 1, 0, 0, "row 0.12: not kept");
    script_has(&op, "\"differs\":\"coldDays\"", "row 0.12: not kept");

    adjust("{" WANT "}");
    rc = script(&op, "row 0.12: tags that are none",
                { .line = "GET " P, .status = 200,
                  .reply = "{\"id\":\"p1\",\"status\":\"active\"," WANT
                           ",\"complianceTags\":\"GDPR\"}" });
    done(rc, 200, "retention_policy_unchanged", 0, "tags that are none");
    facts("active", 1, 0, 0, "tags that are none");

    adjust("{" WANT "}");
    rc = script(&op, "row 0.12: tags of all kinds",
                { .line = "GET " P, .status = 200,
                  .reply = "{\"id\":\"p1\",\"status\":\"active\"," WANT
                           ",\"complianceTags\":[7,null,{},\"\\u0047DPR\"]}"
                });
    done(rc, 200, "retention_policy_unchanged", 0, "tags of all kinds");
    facts("active", 1, 1, 0, "tags of all kinds");

    tags = conf.tags;
    conf.tags = NULL;
    adjust("{" WANT "}");
    rc = script(&op, "row 0.12: no tag is asked for",
                { .line = "GET " P, .status = 200,
                  .reply = "{\"id\":\"p1\",\"status\":\"active\"," WANT
                           "}" });
    done(rc, 200, "retention_policy_unchanged", 0, "no tag is asked for");
    facts("active", 1, 1, 0, "no tag is asked for");
    conf.tags = tags;
}


/* row 0.11: what failed with 5xx is tried again, on schedule */

static void
schedules(void)
{
    ngx_int_t  rc;

    conf.schedule = schedule;
    conf.nschedule = 2;

    adjust("{" WANT "}");
    rc = script(&op, "row 0.11: 503, then accepted",
                { .line = "GET " P, .status = 200,
                  .reply = "{\"id\":\"p1\",\"v\":1}" },
                { .line = "PUT " P, .status = 503 },
                { .line = "GET " P, .delay = 60000, .status = 200,
                  .reply = "{\"id\":\"p1\",\"v\":2}" },
                { .line = "PUT " P, .body = "{\"id\":\"p1\",\"v\":2," WANT "}",
                  .error = "timed out" },
                { .line = "GET " P, .delay = 300000, .status = 200,
                  .reply = "{\"id\":\"p1\"}" },
                { .line = "PUT " P, .status = 200,
                  .reply = "{\"status\":\"active\"}" },
                { .line = "GET " P, .status = 200,
                  .reply = "{\"id\":\"p1\",\"status\":\"active\"," WANT ","
                           TAGS "}" });
    done(rc, 200, "retention_policy_update", 1, "503, then accepted");
    facts("active", 1, 1, 0, "503, then accepted");

    adjust("{" WANT "}");
    rc = script(&op, "row 0.11: 500, and it was done",
                { .line = "GET " P, .status = 200, .reply = "{}" },
                { .line = "PUT " P, .status = 500 },
                { .line = "GET " P, .delay = 60000, .status = 502 },
                { .line = "GET " P, .delay = 300000, .status = 200,
                  .reply = "{\"id\":\"p1\",\"status\":\"active\"," WANT ","
                           TAGS "}" });
    done(rc, 200, "retention_policy_update", 1, "500, and it was done");
    facts("active", 1, 1, 0, "500, and it was done");

    adjust("{" WANT "}");
    rc = script(&op, "row 0.11: it stays ill",
                { .line = "GET " P, .status = 200, .reply = "{}" },
                { .line = "PUT " P, .status = 500 },
                { .line = "GET " P, .delay = 60000, .status = 200,
                  .reply = "{}" },
                { .line = "PUT " P, .status = 500 },
                { .line = "GET " P, .delay = 300000, .status = 200,
                  .reply = "{}" },
                { .line = "PUT " P, .status = 500,
                  .reply = "{\"message\":\"ill\"}" });
    done(rc, 502, "retention_policy_update", 0, "it stays ill");
    facts("", 0, 0, 0, "it stays ill");
    script_has(&op, "\"message\":\"ill\"", "it stays ill");

    adjust("{" WANT "}");
    rc = script(&op, "row 0.9: Retry-After is longer than the schedule",
                { .line = "GET " P, .status = 200, .reply = "{}" },
                { .line = "PUT " P, .status = 503, .wait = 90000 },
                { .line = "GET " P, .delay = 90000, .status = 200,
                  .reply = "{}" },
                { .line = "PUT " P, .status = 503, .wait = 400000,
                  .late = 1 });
    done(rc, 502, "retention_policy_update", 0, "row 0.9: over the cap");

    conf.nschedule = 0;

    adjust("{" WANT "}");
    rc = script(&op, "row 0.9: no schedule",
                { .line = "GET " P, .status = 200, .reply = "{}" },
                { .line = "PUT " P, .status = 504 });
    done(rc, 504, "retention_policy_update", 0, "row 0.9: no schedule");
}


static void
refusals(void)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    static const struct {
        ngx_uint_t  status;
        ngx_uint_t  expected;
    } tests[] = {
        { 400, 422 }, { 401, 502 }, { 403, 502 }, { 404, 404 }, { 413, 422 },
        { 415, 422 }, { 429, 503 }, { 301, 502 }, { 100, 502 }
    };

    conf.schedule = schedule;
    conf.nschedule = 2;

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        adjust("{" WANT "}");
        rc = script(&op, "row 0.9: terminal",
                    { .line = "GET " P, .status = 200, .reply = "{}" },
                    { .line = "PUT " P, .status = tests[i].status,
                      .reply = "{\"code\":\"c\",\"contextId\":\"x\"}" });
        done(rc, tests[i].expected, "retention_policy_update", 0,
             "row 0.9: terminal");
        facts("", 0, 0, 0, "row 0.9: terminal");
        script_has(&op, "\"code\":\"c\",\"contextId\":\"x\"", "row 0.9");
    }

    adjust("{" WANT "}");
    rc = script(&op, "row 0.11: no policy",
                { .line = "GET " P, .status = 404 });
    done(rc, 404, "retention_policy_update", 0, "no policy");
    script_has(&op, "dataretention", "no policy");

    adjust("{" WANT "}");
    rc = script(&op, "an ill API is not written to",
                { .line = "GET " P, .status = 503 });
    done(rc, 502, "retention_policy_update", 0, "an ill API");

    adjust("{" WANT "}");
    rc = script(&op, "a page is not written to",
                { .line = "GET " P, .status = 200, .reply = "<html>" });
    done(rc, 502, "retention_policy_update", 0, "a page");

    conf.nschedule = 0;
}


static void
records(void)
{
    ngx_str_t                   record;
    ngx_eb_genesys_retention_t  what;

    ngx_memzero(&what, sizeof(what));
    what.id = str("p1");
    what.cost = str("31.05");
    what.latency = 1234;
    what.migrated = 1;
    what.verified = 1;

    ngx_eb_genesys_retention_record(pool, &what, 1763721000123, &record);
    is_str(&record, "{\"timestamp\":\"2025-11-21T10:30:00.123Z\",\"policyId\":"
           "\"p1\",\"action\":\"retention_policy_update\",\"latencyMs\":1234,"
           "\"migrationSuccess\":true,\"costEstimateUSD\":31.05,"
           "\"complianceVerified\":true}", "row 0.13: record");

    what.id = str("\"\x01\xff\\");
    what.migrated = 0;
    what.verified = 0;
    what.latency = (ngx_msec_t) -1 >> 1;

    ngx_eb_genesys_retention_record(pool, &what, 0, &record);
    is_str(&record, "{\"timestamp\":\"1970-01-01T00:00:00.000Z\",\"policyId\":"
           "\"\\\"\\u0001\xef\xbf\xbd\\\\\",\"action\":"
           "\"retention_policy_update\",\"latencyMs\":9223372036854775807,"
           "\"migrationSuccess\":false,\"costEstimateUSD\":31.05,"
           "\"complianceVerified\":false}", "row 0.13: a strange record");

    /* of an operation that was refused */

    adjust("{\"retentionPeriod\":\"P\"}");
    play(&op, "refused", NULL, 0);
    ngx_eb_genesys_retention_record(pool, ngx_eb_genesys_retention(&op), 0,
                                    &record);
    is_str(&record, "{\"timestamp\":\"1970-01-01T00:00:00.000Z\",\"policyId\":"
           "\"p1\",\"action\":\"retention_policy_update\",\"latencyMs\":5,"
           "\"migrationSuccess\":false,\"costEstimateUSD\":0.00,"
           "\"complianceVerified\":false}", "row 0.13: every outcome");
}


static ngx_int_t
cramped(ngx_int_t allocs)
{
    ngx_int_t                  rc;
    ngx_str_t                  body, record;
    ngx_uint_t                 i;
    ngx_pool_t                *own;
    ngx_eb_genesys_op_t        o;
    ngx_eb_genesys_reply_t     reply[3];
    ngx_eb_genesys_request_t   request;

    own = ngx_create_pool(4096, NULL);
    body = str("{\"name\":\"\\u0061\"," WANT "," TAGS "}");

    ngx_memzero(&o, sizeof(o));
    o.pool = own;
    o.log = &shim_log;

    ngx_memzero(reply, sizeof(reply));
    reply[0].status = 200;
    reply[0].body = str("{\"name\":\"\"}");
    reply[1].status = 200;
    reply[1].body = str("{\"status\":\"\\u0061ctive\"}");
    reply[2].status = 200;
    reply[2].body = str("{\"id\":\"p1\",\"status\":\"\\u0061ctive\",\"name\":"
                        "\"a\",\"retentionPeriod\":\"\\u005090D\"," TIERS ","
                        TAGS "}");

    shim_allocs = allocs;

    rc = ngx_eb_genesys_retention_adjust(&o, &conf, &id, &body);

    for (i = 0; rc == NGX_OK || rc == NGX_AGAIN; i++) {
        rc = o.step(&o, i ? &reply[i - 1] : NULL, &request);
    }

    if (rc == NGX_DONE) {
        rc = ngx_eb_genesys_retention_record(own, ngx_eb_genesys_retention(&o),
                                             0, &record);
    }

    if (rc == NGX_OK) {
        rc = ngx_eb_genesys_retention_validate(&o, &conf, &body);
    }

    if (rc == NGX_OK) {
        rc = o.step(&o, NULL, &request);
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
    violations();
    dry_runs();
    gets();
    adjustments();
    versions();
    pending();
    compliance();
    schedules();
    refusals();
    records();
    no_memory();

    ngx_destroy_pool(pool);
    is_int(shim_blocks, 0, "nothing is left");

    return done_testing();
}
