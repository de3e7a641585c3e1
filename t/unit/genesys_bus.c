
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Calls of the event bus: their bodies, and what answers mean for each entry.
 */

/* sources: src/genesys/ngx_eb_genesys_bus.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_states.c */
/* sources: src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c */
/* sources: src/wire/ngx_eb_out.c src/wire/ngx_eb_time.c */
/* libs: -lsimdjson */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_genesys_bus.h"


#define AT  1795273601250

#define T  NGX_EB_BUS_TAKEN
#define A  NGX_EB_BUS_AGAIN
#define O  NGX_EB_BUS_ALONE
#define R  NGX_EB_BUS_REFUSED


static ngx_pool_t                 *pool;
static ngx_eb_json_parser_t       *parser;
static ngx_eb_lifecycle_states_t   states;


static void decide(ngx_eb_lifecycle_decision_t *d, const char *interaction,
    const char *previous, const char *current);
static uint8_t state(const char *name);
static void body(const char *name, ngx_eb_bus_conf_t *conf,
    ngx_eb_lifecycle_decision_t *d, ngx_uint_t n, const char *expected);
static void answer(ngx_uint_t status, const char *text, ngx_uint_t n,
    ngx_eb_bus_verdict_e one, ngx_eb_bus_verdict_e two, const char *why);
static void largest(void);


int
main(void)
{
    ngx_uint_t                   i;
    ngx_eb_bus_conf_t            conf;
    ngx_eb_lifecycle_decision_t  d[2];

    static ngx_uint_t  again[] = { 0, 100, 301, 401, 403, 404, 405, 408, 409,
                                   425, 429, 500, 502, 503, 504, 599 };
    static ngx_uint_t  never[] = { 400, 402, 406, 411, 413, 415, 422, 451 };

    static const char  *passing[] = {
        "InternalFailure", "InternalException", "InternalServiceError",
        "ServiceUnavailable", "ThrottlingException", "Throttling",
        "ThrottledException", "RequestExpired", "ExpiredTokenException",
        "ExpiredToken", "InvalidSignatureException", "IncompleteSignature",
        "InvalidClientTokenId", "UnrecognizedClientException",
        "MissingAuthenticationTokenException"
    };

    static const char  *terminal[] = {
        "AccessDeniedException", "InvalidAccountIdException",
        "InvalidArgument", "MalformedDetail", "RedactionFailure",
        "NotAuthorizedForSourceException",
        "NotAuthorizedForDetailTypeException", "", "Throttling2"
    };

    char  text[512];

    pool = ngx_create_pool(65536, NULL);
    parser = ngx_eb_json_parser_create();

    if (pool == NULL || parser == NULL) {
        return 1;
    }

    ngx_eb_lifecycle_states_init(&states);
    ngx_memzero(&conf, sizeof(ngx_eb_bus_conf_t));

    conf.states = &states;
    conf.retention_days = 30;
    ngx_str_set(&conf.source, "our \"source\"");

    /* bodies */

    decide(&d[0], "i1", NULL, "queued");
    decide(&d[1], "\xc3\xa9\"\\\x01", "queued", "ringing");
    d[1].flags = NGX_EB_LIFECYCLE_F_NOTIME | NGX_EB_LIFECYCLE_F_GAP;
    d[1].stage = 2;

#define ID  "000102030405060708090a0b0c0d0e0f"

    body("generic", &conf, d, 2,
         "{\"entries\":[{\"id\":\"" ID "\",\"source\":\"our \\\"source\\\"\","
         "\"detailType\":\"interaction.lifecycle.transition\",\"detail\":"
         "{\"interactionId\":\"i1\",\"previousState\":null,\"currentState\":"
         "\"queued\",\"timestamp\":\"2026-11-21T15:06:41.250Z\","
         "\"retentionDays\":30,\"lifecycleStage\":1,\"eventBusSource\":"
         "\"our \\\"source\\\"\",\"transitionId\":\"" ID "\"},\"time\":"
         "\"2026-11-21T15:06:41.250Z\"},"
         "{\"id\":\"" ID "\",\"source\":\"our \\\"source\\\"\","
         "\"detailType\":\"interaction.lifecycle.transition\",\"detail\":"
         "{\"interactionId\":\"\xc3\xa9\\\"\\\\\\u0001\",\"previousState\":"
         "\"queued\",\"currentState\":\"ringing\",\"timestamp\":"
         "\"2026-11-21T15:06:41.250Z\",\"retentionDays\":30,"
         "\"lifecycleStage\":2,\"eventBusSource\":\"our \\\"source\\\"\","
         "\"transitionId\":\"" ID "\",\"timestampMissing\":true,\"gap\":true},"
         "\"time\":\"2026-11-21T15:06:41.250Z\"}]}");

    conf.aws = 1;
    ngx_str_set(&conf.source, "s");

    body("PutEvents", &conf, d, 1,
         "{\"Entries\":[{\"Source\":\"s\",\"DetailType\":"
         "\"interaction.lifecycle.transition\",\"Detail\":"
         "\"{\\\"interactionId\\\":\\\"i1\\\",\\\"previousState\\\":null,"
         "\\\"currentState\\\":\\\"queued\\\",\\\"timestamp\\\":"
         "\\\"2026-11-21T15:06:41.250Z\\\",\\\"retentionDays\\\":30,"
         "\\\"lifecycleStage\\\":1,\\\"eventBusSource\\\":\\\"s\\\","
         "\\\"transitionId\\\":\\\"" ID "\\\"}\",\"Time\":1795273601.250}]}");

    ngx_str_set(&conf.bus_name, "arn:aws:events:r:1:event-bus/b");

    body("with the name of a bus", &conf, d, 1,
         "{\"Entries\":[{\"Source\":\"s\",\"DetailType\":"
         "\"interaction.lifecycle.transition\",\"Detail\":"
         "\"{\\\"interactionId\\\":\\\"i1\\\",\\\"previousState\\\":null,"
         "\\\"currentState\\\":\\\"queued\\\",\\\"timestamp\\\":"
         "\\\"2026-11-21T15:06:41.250Z\\\",\\\"retentionDays\\\":30,"
         "\\\"lifecycleStage\\\":1,\\\"eventBusSource\\\":\\\"s\\\","
         "\\\"transitionId\\\":\\\"" ID "\\\"}\",\"EventBusName\":"
         "\"arn:aws:events:r:1:event-bus/b\",\"Time\":1795273601.250}]}");

    largest();

    /* whole calls */

    answer(200, "", 2, T, T, "");
    answer(204, "", 2, T, T, "");
    answer(200, "ok", 2, T, T, "");
    answer(200, "[]", 2, T, T, "");
    answer(200, "{}", 2, T, T, "");

    for (i = 0; i < sizeof(again) / sizeof(again[0]); i++) {
        answer(again[i], "", 2, A, A, "the call failed");
        answer(again[i], "{\"__type\":\"x\"}", 1, A, A, "the call failed");
    }

    for (i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        answer(never[i], "", 2, O, O, "the call failed");
        answer(never[i], "<html>", 1, R, R, "the call failed");
        answer(never[i], "{\"__type\":\"ValidationException\"}", 2, O, O,
               "ValidationException");
        answer(never[i], "{\"code\":\"Bad\"}", 1, R, R, "Bad");
    }

    answer(400, "{\"__type\":7,\"Code\":\"Bad\"}", 1, R, R, "Bad");
    answer(400, "[]", 1, R, R, "the call failed");
    answer(400, "{\"__type\":\"AccessDeniedException\"}", 1, A, A,
           "AccessDeniedException");
    answer(400, "{\"__type\":\"com.amazon.coral.service#"
           "InvalidSignatureException\"}", 2, A, A,
           "com.amazon.coral.service#InvalidSignatureException");

    /* entries */

    for (i = 0; i < sizeof(passing) / sizeof(passing[0]); i++) {
        snprintf(text, sizeof(text), "{\"__type\":\"%s\"}", passing[i]);
        answer(400, text, 2, A, A, passing[i]);

        snprintf(text, sizeof(text), "{\"FailedEntryCount\":1,\"Entries\":"
                 "[{\"EventId\":\"e\"},{\"ErrorCode\":\"%s\"}]}", passing[i]);
        answer(200, text, 2, T, A, passing[i]);
    }

    for (i = 0; i < sizeof(terminal) / sizeof(terminal[0]); i++) {
        snprintf(text, sizeof(text), "{\"failedEntryCount\":1,\"entries\":"
                 "[{\"errorCode\":\"%s\"},{\"id\":\"e\"}]}", terminal[i]);
        answer(200, text, 2, R, T, terminal[i]);
    }

    answer(200, "{\"FailedEntryCount\":0,\"Entries\":[{\"ErrorCode\":"
           "\"InternalFailure\"}]}", 2, T, T, "");
    answer(200, "{\"FailedEntryCount\":1}", 2, A, A,
           "entries failed, it is not said which");
    answer(200, "{\"FailedEntryCount\":1,\"Entries\":{}}", 2, A, A,
           "entries failed, it is not said which");
    answer(200, "{\"FailedEntryCount\":1,\"Entries\":[{\"EventId\":\"e\"}]}",
           2, T, A, "");
    answer(200, "{\"FailedEntryCount\":1,\"Entries\":[7,{}]}", 2, A, T, "");
    answer(200, "{\"FailedEntryCount\":2,\"Entries\":[{\"ErrorCode\":\"A\"},"
           "{\"ErrorCode\":\"Throttling\"},{\"ErrorCode\":\"C\"}]}", 2, R, A,
           "A");
    answer(200, "{\"FailedEntryCount\":\"1\"}", 2, T, T, "");

    ngx_eb_json_parser_destroy(parser);
    ngx_destroy_pool(pool);

    return done_testing();
}


static void
decide(ngx_eb_lifecycle_decision_t *d, const char *interaction,
    const char *previous, const char *current)
{
    ngx_uint_t  i;

    ngx_memzero(d, sizeof(ngx_eb_lifecycle_decision_t));

    d->kind = NGX_EB_LIFECYCLE_PUBLISH;
    d->time = AT;
    d->stage = 1;
    d->previous = previous ? state(previous) : NGX_EB_LIFECYCLE_NONE;
    d->current = state(current);
    d->interaction_len = (uint8_t) strlen(interaction);
    ngx_memcpy(d->interaction, interaction, d->interaction_len);

    for (i = 0; i < NGX_EB_LIFECYCLE_DIGEST; i++) {
        d->id[i] = (u_char) i;
    }
}


static uint8_t
state(const char *name)
{
    ngx_str_t  s;

    s.data = (u_char *) name;
    s.len = strlen(name);

    return (uint8_t) ngx_eb_lifecycle_states_find(&states, &s);
}


static void
body(const char *name, ngx_eb_bus_conf_t *conf, ngx_eb_lifecycle_decision_t *d,
    ngx_uint_t n, const char *expected)
{
    ngx_str_t                     text;
    ngx_uint_t                    i;
    ngx_eb_lifecycle_decision_t  *all[2];

    for (i = 0; i < n; i++) {
        all[i] = &d[i];
    }

    ngx_str_set(&text, "none");

    ok(ngx_eb_bus_body(pool, conf, all, n, &text) == NGX_OK
       && text.len == strlen(expected)
       && ngx_memcmp(text.data, expected, text.len) == 0,
       "%s: %.*s", name, (int) text.len, text.data);
}


/* what can be escaped most, in all entries of a call */

static void
largest(void)
{
    ngx_str_t                     text, source;
    ngx_uint_t                    i;
    ngx_eb_bus_conf_t             conf;
    ngx_eb_lifecycle_decision_t   d, *all[NGX_EB_BUS_GENERIC_ENTRIES];

    u_char  name[256];

    ngx_str_set(&text, "none");
    decide(&d, "i", "queued", "ringing");

    d.interaction_len = NGX_EB_LIFECYCLE_ID;
    ngx_memset(d.interaction, 1, NGX_EB_LIFECYCLE_ID);
    ngx_memset(name, '"', sizeof(name));

    for (i = 0; i < NGX_EB_BUS_GENERIC_ENTRIES; i++) {
        all[i] = &d;
    }

    source.data = name;
    source.len = sizeof(name);

    ngx_memzero(&conf, sizeof(ngx_eb_bus_conf_t));

    conf.states = &states;
    conf.source = source;
    conf.retention_days = 3650;

    ok(ngx_eb_bus_body(pool, &conf, all, NGX_EB_BUS_GENERIC_ENTRIES, &text)
       == NGX_OK
       && text.len > 2 && text.data[text.len - 1] == '}',
       "the largest generic call");

    conf.aws = 1;
    conf.bus_name = source;

    ok(ngx_eb_bus_body(pool, &conf, all, NGX_EB_BUS_AWS_ENTRIES, &text)
       == NGX_OK
       && text.len > 2 && text.data[text.len - 1] == '}'
       && text.len < 262144,
       "the largest call of AWS");
}


static void
answer(ngx_uint_t status, const char *text, ngx_uint_t n,
    ngx_eb_bus_verdict_e one, ngx_eb_bus_verdict_e two, const char *why)
{
    u_char                *p;
    ngx_str_t              s, reason;
    ngx_eb_bus_verdict_e   verdicts[3];

    s.len = strlen(text);

    /* not one byte more than there is */
    p = malloc(s.len + 1);
    if (p == NULL) {
        exit(1);
    }

    ngx_memcpy(p, text, s.len);
    s.data = p;

    verdicts[0] = verdicts[1] = verdicts[2] = 77;

    ngx_eb_bus_answer(parser, status, &s, n, verdicts, &reason);

    ok(verdicts[0] == one
       && (n == 1 ? verdicts[1] == 77 : verdicts[1] == two)
       && verdicts[2] == 77,
       "%d %s: %d %d", (int) status, text, (int) verdicts[0],
       (int) verdicts[1]);

    ok(reason.len == strlen(why)
       && (reason.len == 0 || ngx_memcmp(reason.data, why, reason.len) == 0),
       "%d %s: why: %.*s", (int) status, text, (int) reason.len, reason.data);

    free(p);
}
