
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * From events as they are received to states of interactions, and lines of the
 * journal there and back.
 */

/* sources: src/genesys/ngx_eb_genesys_lifecycle.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_id.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_map.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_read.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_record.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_reorder.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_states.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_table.c */
/* sources: src/wire/ngx_eb_event.c src/wire/ngx_eb_json.cc */
/* sources: src/wire/ngx_eb_json_string.c src/wire/ngx_eb_out.c */
/* sources: src/wire/ngx_eb_time.c */
/* libs: -lsimdjson -lcrypto */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "lifecycle.h"
#include "ngx_eb_event.h"
#include "ngx_eb_genesys_lifecycle_map.h"
#include "ngx_eb_genesys_lifecycle_record.h"


#define AT  1700000000000


/* an envelope as it is delivered; the conversation's end is a real one */

#define ENVELOPE(topic, type, body)                                           \
    "{\"version\":\"0\",\"id\":\"58fb5dac-f077-4eec-a25f-c638dbdd4368\","     \
    "\"detail-type\":\"" type "\",\"source\":\"aws.partner/genesys.com.test/" \
    "cloud/32aa07aa-db1b-4987-abd0-9483601ec29d/test-event-bus\","            \
    "\"account\":\"123456789012\",\"time\":\"2022-06-14T16:12:11.000Z\","     \
    "\"region\":\"us-east-1\",\"resources\":[],\"detail\":{\"topicName\":\""  \
    topic "\",\"version\":\"2\",\"eventBody\":{" body "},\"metadata\":"       \
    "{\"CorrelationId\":\"7272d362-23b2-4c14-9d40-dc7b7683153a\"},"           \
    "\"timestamp\":\"2022-04-06T09:30:45.013Z\"}}"

#define C1  "2f7bf00a-0fc2-4d6a-9b56-92238191433e"

#define CONVERSATION(what, body)                                              \
    ENVELOPE("v2.detail.events.conversation." C1 "." what,                    \
             "v2.detail.events.conversation.{id}." what,                      \
             "\"eventTime\":1649237504949,\"conversationId\":\"" C1 "\","     \
             "\"participantId\":\"9fb2ca78-8389-4758-b76a-9b0300de1fce\","    \
             "\"sessionId\":\"c03d300e-fa79-4353-9695-b97a71322785\","        \
             "\"mediaType\":\"CHAT\"" body)

#define AGENT(body)                                                           \
    ENVELOPE("v2.detail.events.agent.U1.state",                               \
             "v2.detail.events.agent.{id}.state",                             \
             "\"eventTime\":1649237504949,\"userId\":\"U1\"" body)


typedef struct {
    const char  *name;
    const char  *text;
    const char  *state;             /* NULL: it is about none */
    const char  *only;
    ngx_uint_t   hint;
} detail_t;


static detail_t  details[] = {
    { "the queue begins",
      CONVERSATION("acd.start", ",\"queueId\":\"Q1\""), "queued", NULL, 0 },
    { "the queue has an agent",
      CONVERSATION("acd.end", ",\"queueId\":\"Q1\",\"acdOutcome\":"
                   "\"ANSWERED\",\"answeredUserId\":\"U1\","
                   "\"connectedDurationMs\":15051"), "connected", NULL, 1 },
    { "the customer leaves the queue",
      CONVERSATION("acd.end", ",\"acdOutcome\":\"ABANDON\""), "abandoned",
      NULL, 0 },
    { "the queue overflows",
      CONVERSATION("acd.end", ",\"acdOutcome\":\"FLOW_OUT\""), NULL, NULL, 0 },
    { "an agent comes", CONVERSATION("user.start", ",\"userId\":\"U1\""),
      "ringing", NULL, 1 },
    { "an agent transfers",
      CONVERSATION("user.end", ",\"disconnectType\":\"CONSULT_TRANSFER\""),
      "transferred", NULL, 0 },
    { "an agent goes",
      CONVERSATION("user.end", ",\"disconnectType\":\"CLIENT\""), "wrapping",
      "connected", 1 },
    { "a customer is transferred",
      CONVERSATION("customer.end", ",\"disconnectType\":\"TRANSFER\""),
      "transferred", NULL, 0 },
    { "a customer goes", CONVERSATION("customer.end", ",\"disconnectType\":"
                                      "\"CLIENT\","
                                      "\"interactingDurationMs\":60000"),
      "closed", NULL, 0 },
    { "a customer goes, as it was recorded",
      CONVERSATION("customer.end", ",\"provider\":\"PureCloud Webchat v2\","
                   "\"direction\":\"INBOUND\",\"externalContactId\":"
                   "\"12456349-b5c7-4d8f-9eb4-f4df18bce9a9\","
                   "\"conversationExternalContactIds\":"
                   "[\"12456349-b5c7-4d8f-9eb4-f4df18bce9a9\"],"
                   "\"interactingDurationMs\":60000"), "closed", NULL, 0 },
    { "after-call work", CONVERSATION("acw", ",\"acwDurationMs\":1000"),
      "closed", "wrapping", 0 },
    { "a wrap-up code", CONVERSATION("wrapup", ",\"wrapupCode\":\"X\""),
      "closed", "wrapping", 0 },
    { "a customer comes", CONVERSATION("customer.start",
                                       ",\"direction\":\"INBOUND\""),
      NULL, NULL, 0 },
    { "a flow", CONVERSATION("flow.start", ""), NULL, NULL, 0 },
    { "attributes", CONVERSATION("attributes", ""), NULL, NULL, 0 },
    { "an agent's session alerts",
      AGENT(",\"conversationId\":\"" C1 "\",\"state\":\"ALERT\""), "ringing",
      NULL, 0 },
    { "an agent's sessions in a list",
      AGENT(",\"sessions\":[1,{\"conversationId\":\"" C1 "\","
            "\"segmentType\":\"INTERACT\"}]"), "connected", NULL, 0 },
    { "an agent wraps up",
      AGENT(",\"sessions\":[{\"conversationId\":\"" C1 "\","
            "\"segmentType\":\"WRAPUP\"}]"), "wrapping", NULL, 0 },
    { "an agent's presence", AGENT(",\"state\":\"ALERT\""), NULL, NULL, 0 },
    { "an audit",
      ENVELOPE("v2.audits.entitytype.UserPresence.entityid.U1",
               "v2.audits.entitytype.{id}.entityid.{id}",
               "\"id\":\"b8775049\",\"eventTime\":\"2021-06-25T15:11:52.000Z\""
               ",\"action\":\"Update\""), NULL, NULL, 0 },
    { NULL, NULL, NULL, NULL, 0 }
};


static ngx_int_t map(const char *text);
static void detail(void);
static void path(void);
static void plain(void);
static void refused(void);
static void times(void);
static void records(void);
static void record(ngx_eb_lifecycle_record_t *r);
static void no_memory(void);


static ngx_pool_t                *pool;
static ngx_eb_json_parser_t      *parser;
static ngx_eb_json_t              json;
static engine_t                   e;
static ngx_eb_lifecycle_event_t   events[NGX_EB_LIFECYCLE_MAP_MAX];
static ngx_uint_t                 nevents;
static const char                *reason;


static ngx_int_t
map(const char *text)
{
    ngx_eb_batch_t       batch;
    ngx_eb_json_error_t  err;

    if (ngx_eb_json_parse(parser, (u_char *) text, strlen(text), 64, &json,
                          &err)
        != NGX_OK
        || (ngx_eb_batch_split(&json, pool, 10, &batch) != NGX_OK
            && ngx_eb_batch_whole(&json, pool, &batch) != NGX_OK))
    {
        return NGX_ERROR;
    }

    return ngx_eb_lifecycle_map(&e.states, &json, &batch.events[0], AT, pool,
                                events, &nevents, &reason);
}


static void
detail(void)
{
    detail_t   *d;
    ngx_int_t   rc;

    for (d = details; d->name; d++) {
        rc = map(d->text);

        if (d->state == NULL) {
            ok(rc == NGX_DECLINED && nevents == 0 && reason == NULL,
               "%s: no state", d->name);
            continue;
        }

        ok(rc == NGX_OK && nevents == 1
           && events[0].current == state(&e, d->state)
           && events[0].previous == NGX_EB_LIFECYCLE_NONE
           && events[0].only == state(&e, d->only)
           && events[0].flags == (NGX_EB_LIFECYCLE_F_MAPPED
                                  | (d->hint ? NGX_EB_LIFECYCLE_F_HINT : 0))
           && events[0].time == 1649237504949 && events[0].at == AT,
           "%s: %s", d->name, d->state);

        is_str(&events[0].interaction, C1, "its conversation");
        is_str(&events[0].id, "58fb5dac-f077-4eec-a25f-c638dbdd4368",
               "the event's id");
    }

    is_int(map("{\"topicName\":\"v2.detail.events.conversation.C1.acd.start\","
               "\"id\":\"x\",\"eventBody\":{\"eventTime\":1649237444949}}"),
           NGX_OK, "without an envelope");
    is_str(&events[0].interaction, "C1", "the topic has the conversation");

    is_int(map(AGENT(",\"a\":[{\"conversationId\":\"C1\",\"s\":\"ALERT\"},"
                     "{\"conversationId\":\"C2\",\"s\":\"INTERACT\"}]")),
           NGX_OK, "an agent with two sessions");
    is_int(nevents, 2, "tells of both");
    is_str(&events[1].interaction, "C2", "the second one");
}


/* all of a conversation's life, by the default transitions */

static void
path(void)
{
    char                          text[2048], *p;
    ngx_uint_t                    i, n;
    ngx_eb_lifecycle_decision_t   d;
    ngx_eb_lifecycle_counters_t   c;
    static const char            *life[] = {
        CONVERSATION("acd.start", ""),
        CONVERSATION("user.start", ""),
        CONVERSATION("acd.end", ",\"acdOutcome\":\"ANSWERED\""),
        AGENT(",\"conversationId\":\"" C1 "\",\"state\":\"INTERACT\""),
        CONVERSATION("user.end", ",\"disconnectType\":\"PEER\""),
        CONVERSATION("wrapup", ""),
        CONVERSATION("acw", ""),
        CONVERSATION("customer.end", ",\"disconnectType\":\"CLIENT\"")
    };

    for (i = 0; i < sizeof(life) / sizeof(life[0]); i++) {
        strcpy(text, life[i]);

        p = strstr(text, "1649237504949");
        p[8] = '1' + i;

        if (map(text) != NGX_OK
            || ngx_eb_lifecycle_event(&e.lc, &events[0]) != NGX_OK)
        {
            diag("event %lu", (u_long) i);
        }
    }

    n = 0;

    while (ngx_eb_lifecycle_next(&e.lc, AT + 5000, &d) == NGX_OK) {
        n += (d.kind == NGX_EB_LIFECYCLE_PUBLISH);
    }

    ngx_eb_lifecycle_counters(&e.lc, &c);

    is_int(n, 5, "queued, ringing, connected, wrapping, closed");
    is_int(c.standing[state(&e, "closed")], 1, "is where it ends");
    is_int(c.unchanged, 3, "three tell the same again");
}


static void
plain(void)
{
    is_int(map("{\"id\":\"e1\",\"source\":\"s\",\"interactionId\":\"i1\","
               "\"previousState\":\"queued\",\"currentState\":\"ringing\","
               "\"timestamp\":\"2026-03-19T22:04:48.128Z\"}"), NGX_OK,
           "an event of contracts.md 1.6");
    ok(events[0].previous == state(&e, "queued")
       && events[0].current == state(&e, "ringing")
       && events[0].only == NGX_EB_LIFECYCLE_NONE && events[0].flags == 0
       && events[0].time == 1773957888128, "its states and its time");
    is_str(&events[0].interaction, "i1", "its interaction");
    is_str(&events[0].id, "e1", "its id");

    is_int(map("{\"id\":\"env\",\"detail-type\":\"interaction.lifecycle.x\","
               "\"source\":\"s\",\"time\":\"2026-03-19T22:04:48Z\",\"detail\":"
               "{\"interactionId\":\"i\\u00e41\",\"previousState\":null,"
               "\"currentState\":\"queued\",\"timestamp\":1773957888.128}}"),
           NGX_OK, "in an envelope");
    ok(events[0].previous == NGX_EB_LIFECYCLE_NONE
       && events[0].time == 1773957888128, "null is no state");
    is_str(&events[0].interaction, "i\xc3\xa4" "1", "text is unescaped");
    is_str(&events[0].id, "env", "the id is the envelope's");

    is_int(map("{\"id\":\"env\",\"detail-type\":\"x\",\"source\":\"s\","
               "\"time\":\"2026-03-19T22:04:48Z\",\"detail\":{\"eventBody\":"
               "{\"interactionId\":\"i2\",\"previousState\":\"\","
               "\"currentState\":\"queued\",\"eventId\":\""
               "0123456789012345678901234567890123456789"
               "0123456789012345678901234567890123456789\"}}}"), NGX_OK,
           "in a body of it");
    is_int(events[0].id.len, 64, "a long id is shortened");
    is_int(events[0].previous, NGX_EB_LIFECYCLE_NONE, "nothing is no state");
    ok(events[0].flags == NGX_EB_LIFECYCLE_F_NOTIME
       && events[0].time == 1773957888000,
       "a missing time is marked: the envelope's is taken");
}


static void
refused(void)
{
    ngx_uint_t          i;
    static const char  *bad[] = {
        "{\"interactionId\":\"\",\"currentState\":\"queued\"}",
        "{\"interactionId\":7,\"currentState\":\"queued\"}",
        "{\"interactionId\":\"a\"}",
        "{\"interactionId\":\"a\",\"currentState\":null}",
        "{\"interactionId\":\"a\",\"currentState\":\"\"}",
        "{\"interactionId\":\"a\",\"currentState\":\"flying\"}",
        "{\"interactionId\":\"a\",\"currentState\":[\"queued\"]}",
        "{\"interactionId\":\"a\",\"currentState\":\"queued\","
        "\"previousState\":\"flying\"}",
        "{\"interactionId\":\"01234567890123456789012345678901234567890123456"
        "789012345678901234\",\"currentState\":\"queued\"}",
        "{\"topicName\":\"v2.detail.events.conversation.{id}.acd.start\","
        "\"eventBody\":{}}",
        "{\"topicName\":\"v2.detail.events.conversation..acd.start\","
        "\"eventBody\":{\"conversationId\":\"\"}}"
    };
    static const char  *other[] = {
        "{}", "{\"detail\":7}", "{\"eventBody\":{}}",
        "{\"detail-type\":\"x\",\"detail\":[]}",
        "{\"detail-type\":\"x\",\"detail\":{\"topicName\":7,"
        "\"eventBody\":{}}}",
        "{\"topicName\":\"v2.detail.events.conversation.\",\"eventBody\":{}}",
        "{\"topicName\":\"v2.detail.events.conversation.C1\","
        "\"eventBody\":{}}",
        "{\"topicName\":\"v2.detail.events.agent.U1.state\","
        "\"eventBody\":{\"a\":[[],{\"conversationId\":7}]}}"
    };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ok(map(bad[i]) == NGX_DECLINED && reason != NULL && nevents == 0,
           "cannot be used: %s", bad[i]);
    }

    for (i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        ok(map(other[i]) == NGX_DECLINED && reason == NULL && nevents == 0,
           "is about something else: %s", other[i]);
    }
}


static void
times(void)
{
    ngx_eb_json_error_t  err;
    const char          *text;

    text = "{\"interactionId\":\"a\",\"currentState\":\"queued\","
           "\"timestamp\":\"yesterday\"}";

    (void) ngx_eb_json_parse(parser, (u_char *) text, strlen(text), 8, &json,
                             &err);

    is_int(ngx_eb_lifecycle_map_plain(&e.states, &json, 0, AT, pool, events,
                                      &reason), NGX_OK, "an element of a page");
    ok(events[0].time == AT && events[0].flags == NGX_EB_LIFECYCLE_F_NOTIME,
       "without any time it is that of its arrival");

    text = "[7]";

    (void) ngx_eb_json_parse(parser, (u_char *) text, strlen(text), 8, &json,
                             &err);

    is_int(ngx_eb_lifecycle_map_plain(&e.states, &json, 1, AT, pool, events,
                                      &reason), NGX_DECLINED, "a number");
    ok(reason != NULL, "is none");
}


/* a record is what it was, after it was written and read */

static void
record(ngx_eb_lifecycle_record_t *r)
{
    u_char                     *p, *q, *first, *second;
    size_t                      size;
    ngx_eb_lifecycle_record_t   back;

    size = ngx_eb_lifecycle_record_size(r);
    first = malloc(size + 1);
    second = malloc(size + 1);

    p = ngx_eb_lifecycle_record_write(first, &e.states, r);
    *p++ = '}';

    is_int(ngx_eb_lifecycle_record_read(parser, &e.states, first, p - first,
                                        pool, &back, &reason), NGX_OK,
           "%.*s", (int) ngx_min(p - first, 60), first);
    is_int(back.type, r->type, "its type");

    q = ngx_eb_lifecycle_record_write(second, &e.states, &back);
    *q++ = '}';

    ok(q - second == p - first && memcmp(first, second, p - first) == 0,
       "is the same again");

    free(first);
    free(second);
}


static void
records(void)
{
    u_char                      nasty[64];
    ngx_str_t                   ids[3];
    ngx_uint_t                  i;
    ngx_eb_lifecycle_record_t   r;
    static const char           gone[] =
        "{\"v\":1,\"t\":\"event\",\"i\":\"a\",\"c\":\"gone\",\"time\":1,"
        "\"at\":1}";
    static const char          *bad[] = {
        "", "{", "[]", "{}", "{\"v\":2,\"t\":\"event\"}",
        "{\"v\":1,\"t\":\"event\"}", "{\"v\":1,\"t\":\"other\"}",
        "{\"v\":1,\"t\":\"event\",\"i\":\"\",\"c\":\"queued\",\"time\":1,"
        "\"at\":1}",
        "{\"v\":1,\"t\":\"event\",\"i\":\"a\",\"c\":\"queued\",\"time\":-1,"
        "\"at\":1}",
        "{\"v\":1,\"t\":\"event\",\"i\":\"a\",\"c\":\"queued\","
        "\"time\":281474976710656,\"at\":1}",
        "{\"v\":1,\"t\":\"transition\",\"id\":\"00\",\"n\":1,\"i\":\"a\","
        "\"c\":\"queued\",\"time\":1,\"at\":1}",
        "{\"v\":1,\"t\":\"entry\",\"i\":\"a\",\"n\":1,\"f\":0,\"at\":1,"
        "\"h\":[[\"queued\",2,0],[\"ringing\",1,0]],\"r\":[]}",
        "{\"v\":1,\"t\":\"entry\",\"i\":\"a\",\"n\":1,\"f\":0,\"at\":1,"
        "\"h\":[[\"queued\",2]],\"r\":[]}",
        "{\"v\":1,\"t\":\"position\",\"cursor\":\"\",\"time\":1,\"at\":1,"
        "\"ids\":[7]}"
    };

    /* what takes most room */

    memset(nasty, 1, sizeof(nasty));
    memset(&r, 0, sizeof(r));

    event_set(&e, &r.event, "a", "queued", "ringing",
              NGX_EB_LIFECYCLE_MAX_TIME, NGX_EB_LIFECYCLE_MAX_TIME);
    r.event.interaction.data = nasty;
    r.event.interaction.len = sizeof(nasty);
    r.event.id = r.event.interaction;
    r.event.only = state(&e, "transferred");
    r.event.flags = 255;

    r.type = NGX_EB_LIFECYCLE_R_EVENT;
    record(&r);
    r.type = NGX_EB_LIFECYCLE_R_HELD;
    record(&r);

    event_set(&e, &r.event, "a", NULL, "queued", 0, 0);
    record(&r);

    r.decision.kind = NGX_EB_LIFECYCLE_PUBLISH;
    r.decision.previous = NGX_EB_LIFECYCLE_NONE;
    r.decision.only = NGX_EB_LIFECYCLE_NONE;
    r.decision.stage = 255;
    r.decision.interaction_len = 64;
    r.decision.event_len = 64;
    memset(r.decision.interaction, 1, 64);
    memset(r.decision.event, '"', 64);
    memset(r.decision.id, 0xfe, sizeof(r.decision.id));
    r.type = NGX_EB_LIFECYCLE_R_TRANSITION;
    record(&r);

    r.type = NGX_EB_LIFECYCLE_R_DONE;
    r.published = 1;
    record(&r);

    r.type = NGX_EB_LIFECYCLE_R_FLAG;
    r.decision.kind = NGX_EB_LIFECYCLE_UNCHANGED;
    record(&r);

    for (i = 0; i < NGX_EB_LIFECYCLE_FLAGS; i++) {
        r.decision.kind = NGX_EB_LIFECYCLE_FLAG;
        r.decision.flag = i;
        record(&r);
    }

    ngx_str_set(&ids[0], "a");
    ngx_str_set(&ids[1], "");
    ids[2].data = nasty;
    ids[2].len = sizeof(nasty);
    r.type = NGX_EB_LIFECYCLE_R_POSITION;
    ngx_str_set(&r.position.cursor, "MTIzNA==");
    r.position.ids = ids;
    r.position.n = 3;
    record(&r);

    r.type = NGX_EB_LIFECYCLE_R_SNAPSHOT;
    r.id = 0x8070605040302010ULL;
    record(&r);
    r.type = NGX_EB_LIFECYCLE_R_END;
    record(&r);

    r.type = NGX_EB_LIFECYCLE_R_ENTRY;
    memset(r.view.interaction, 1, 64);
    r.view.interaction_len = 64;
    r.view.stage = 200;
    r.view.flags = NGX_EB_LIFECYCLE_SHOWN;
    r.view.touched = NGX_EB_LIFECYCLE_MAX_TIME;
    r.view.nhistory = NGX_EB_LIFECYCLE_HISTORY;

    for (i = 0; i < NGX_EB_LIFECYCLE_HISTORY; i++) {
        r.view.history[i].time = NGX_EB_LIFECYCLE_MAX_TIME;
        r.view.history[i].state = state(&e, "transferred");
        r.view.history[i].flags = 255;
    }

    for (i = 0; i < NGX_EB_LIFECYCLE_FLAGGED; i++) {
        r.flagged[i] = ngx_eb_lifecycle_key(NGX_EB_LIFECYCLE_MAX_TIME,
                                            state(&e, "transferred"),
                                            i ? NGX_EB_LIFECYCLE_NONE : 0);
    }

    r.nflagged = NGX_EB_LIFECYCLE_FLAGGED;
    record(&r);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        is_int(ngx_eb_lifecycle_record_read(parser, &e.states,
                                            (u_char *) bad[i], strlen(bad[i]),
                                            pool, &r, &reason), NGX_DECLINED,
               "no record: %s", bad[i]);
    }

    is_int(ngx_eb_lifecycle_record_read(parser, &e.states, (u_char *) gone,
                                        sizeof(gone) - 1, pool, &r, &reason),
           NGX_DECLINED, "a state that is gone");
    ok(strstr(reason, "state") != NULL, "is told");
}


static void
no_memory(void)
{
    ngx_int_t  i, rc;

    for (i = 0; i < 20; i++) {
        shim_allocs = i;
        rc = map("{\"id\":\"\\u0041\",\"interactionId\":\"\\u0042\","
                 "\"currentState\":\"\\u0071ueued\",\"eventId\":\""
                 "0123456789012345678901234567890123456789"
                 "0123456789012345678901234567890123456789\"}");

        if (rc == NGX_OK) {
            break;
        }
    }

    shim_allocs = -1;

    ok(i > 2 && rc == NGX_OK, "it fails without memory, and only then");
}


int
main(void)
{
    pool = ngx_create_pool(4096, &shim_log);
    parser = ngx_eb_json_parser_create();

    engine_open(&e, 16, 64);

    detail();
    path();
    plain();
    refused();
    times();
    records();
    no_memory();

    engine_close(&e);
    ngx_eb_json_parser_destroy(parser);
    ngx_destroy_pool(pool);

    return done_testing();
}
