
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Source-side filters: what the API answers, and what the caller is told;
 * and the topics of integrations.
 */

/* sources: src/genesys/ngx_eb_genesys_op.c src/genesys/ngx_eb_genesys_list.c src/genesys/ngx_eb_genesys_patch.c src/genesys/ngx_eb_genesys_duration.c */
/* sources: src/genesys/ngx_eb_genesys_filter.c src/genesys/ngx_eb_genesys_filter_answer.c src/genesys/ngx_eb_genesys_filter_check.c src/genesys/ngx_eb_genesys_filter_doc.c src/wire/ngx_eb_json_edit.c src/wire/ngx_eb_out.c src/wire/ngx_eb_time.c src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c */
/* libs: -lsimdjson -lpcre2-8 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "genesys_filter.h"


static void
row_3_7(void)
{
    ngx_uint_t   i, lines;
    script_t     script[6];

    static const struct {
        ngx_uint_t   status;
        ngx_uint_t   answer;
        const char  *words;
    } gets[] = {
        { 401, 502, "client_id" },
        { 403, 502, "integrations:integration:edit" },
        { 404, 404, "config/current" },
        { 410, 404, "config/current" },
        { 408, 504, "408" },
        { 429, 503, "429" },
        { 500, 502, "500" },
        { 503, 502, "503" },
        { 504, 504, "504" },
        { 302, 502, "302" }
    };

    static const char  set[] = "{\"matchType\":\"exact\",\"values\":[\"n\"]}";

    ngx_memzero(script, sizeof(script));

    for (i = 0; i < sizeof(gets) / sizeof(gets[0]); i++) {
        script[0].status = gets[i].status;
        script[0].body = "<html>";
        script[0].wait = 90000;
        lines = shim_log_lines;

        begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
        ends(script, 1, gets[i].answer, "row 3.7: a GET that fails");
        told(gets[i].words, "row 3.7: and what to do");
        is_int((int64_t) op.answer.retry_after,
               gets[i].status == 429 ? 90000 : 0, "row 3.6: Retry-After");
        is_int(shim_log_lines - lines, gets[i].answer == 404,
               "one log line for a path that the API has not");
    }

    script[0].status = 0;
    script[0].error = "no answer came in time";
    script[0].timed_out = 1;
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
    ends(script, 1, 504, "row 3.7: a GET that timed out");
    told("no answer came in time", "row 3.7: and says so");

    script[0].error = "connection refused";
    script[0].timed_out = 0;
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
    ends(script, 1, 502, "row 3.7: a GET that was refused");
    told("connection refused", "row 3.7: and says so");

    script[0].status = 429;
    script[0].wait = 0;
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
    ends(script, 1, 503, "row 3.6: no Retry-After");
    is_int((int64_t) op.answer.retry_after, 60000, "row 3.6: is a minute");

    /* documents that are none */

    ngx_memzero(script, sizeof(script));
    script[0].status = 200;

    for (i = 0; i < 9; i++) {
        script[0].body = (i == 0) ? "<html>" : (i == 1) ? "[]"
            : (i == 2) ? "{\"subscriptions\":{}}"
            : (i == 3) ? "{\"subscriptions\":[{\"name\":\"calls\","
                         "\"filterCriteria\":[]}]}"
            : (i == 4) ? "{\"subscriptions\":[{\"name\":\"calls\","
                         "\"filterCriteria\":{\"attributes\":{}}}]}"
            : (i == 5) ? "" : (i == 6) ? "null"
            : (i == 7) ? "{\"subscriptions\":\"x\"}" : "{\"a\":1";

        begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
        ends(script, 1, 502, "row 3.7: a document that is none");
    }

    /* any 2xx */

    ngx_memzero(script, sizeof(script));
    script[0].status = 203;
    script[0].body = plain;
    script[1].status = 202;
    script[2].status = 206;
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
    ends(script, 3, 200, "row 3.7: any 2xx");

    /* a PUT of which nobody knows */

    script[1].status = 503;
    script[1].body = "";
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
    ends(script, 3, 200, "row 3.7: a PUT that failed, but did it");
    told("\"changed\":true,\"verified\":true", "row 3.7: is seen");

    script[2].body = script[3].body = script[4].body = plain;
    script[2].status = script[3].status = script[4].status = 200;
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
    ends(script, 5, 502, "row 3.7: a PUT that failed, and did not");
    told("the change was not made", "row 3.7: is told");
    is_int(op.answer.changed, 0, "row 3.7: no change");

    script[2].status = 500;
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
    ends(script, 3, 502, "row 3.7: a PUT that failed, and who knows");
    told("it is not known", "row 3.7: is told");
    told("\"status\":503", "row 3.7: by the PUT's own answer");

    /* the API says when it may be asked again */

    script[1].wait = 4000;
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
    ends(script, 3, 502, "row 3.6: a PUT with Retry-After");
    is_int(sent[2].delay, 4000, "row 3.6: nobody asks before");

    script[1].wait = 600000;
    script[1].late = 1;
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
    ends(script, 2, 502, "row 3.6: a PUT with a long Retry-After");
    told("it is not known", "row 3.6: is told");
    script[1].wait = 0;
    script[1].late = 0;

    script[1].status = 0;
    script[1].error = "no live upstreams";
    script[1].unsent = 1;
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
    ends(script, 2, 502, "row 3.7: a PUT that never left");
}


static void
row_3_8(void)
{
    script_t    script[6];
    ngx_uint_t  i;

    static const char  set[] =
        "{\"matchType\":\"exact\",\"values\":[\"b\",\"\\u0061\"]}";

    ngx_memzero(script, sizeof(script));
    script[0].status = 200;
    script[0].body = plain;

    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
    ends(script, 1, 200, "row 3.8: equal, and nothing is sent");
    told("\"changed\":false,\"verified\":true", "row 3.8: nothing changed");
    is_str(&op.answer.action, "filter_unchanged", "row 3.8: for the audit");
    is_int(op.answer.changed, 0, "row 3.8: no change");

    script[0].body = "{\"subscriptions\":[{\"name\":\"calls\","
                     "\"filterCriteria\":{\"attributes\":[{\"key\":\"queue\","
                     "\"matchType\":\"exists\"}]}}]}";
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue",
          "{\"matchType\":\"exists\",\"values\":[]}");
    ends(script, 1, 200, "row 3.8: values absent and empty are equal");

    /* nearly equal is not */

    for (i = 0; i < 8; i++) {
        begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);

        script[0].body = marked(
            "{\"subscriptions\":[{\"name\":\"calls\",\"filterCriteria\":{"
            "\"attributes\":[{\"key\":\"queue\",@@}]}}]}",
            (i == 7) ? "\"values\":[\"a\",\"b\"]" : "\"matchType\":\"exact\"",
            (i == 0) ? ",\"values\":[\"a\"]"
            : (i == 1) ? ",\"values\":[\"a\",\"b\",\"c\"]"
            : (i == 2) ? ",\"values\":[\"a\",\"a\"]"
            : (i == 3) ? ",\"values\":[\"a\",\"b\",1]"
            : (i == 4) ? ",\"values\":[\"b\",\"a\"],\"values\":"
                         "[\"b\",\"a\"]"
            : (i == 5) ? ",\"values\":[\"a\",1]" : "");
        script[1].status = 200;
        script[2].status = 200;
        ends(script, 3, 200, "row 3.8: nearly equal is not");
        told("\"changed\":true", "row 3.8: but a change");
        ok(strstr((char *) sent[1].body.data, "\"values\":[\"b\",\"a\"]")
           != NULL, "row 3.8: to what is wanted");
    }

    /* read back: late, different, not at all */

    script[0].body = plain;
    script[1].status = 200;
    script[2].status = 200;
    script[2].body = plain;
    script[3].status = 200;
    script[4].status = 200;
    script[4].body = plain;

    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue",
          "{\"matchType\":\"exact\",\"values\":[\"a\"]}");
    ends(script, 4, 200, "row 3.8: it takes a moment");
    told("\"verified\":true", "row 3.8: and is there");
    ok(sent[2].delay == 0 && sent[3].delay > 0, "row 3.8: that it is given");

    script[3].body = plain;
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue",
          "{\"matchType\":\"exact\",\"values\":[\"a\"]}");
    ends(script, 5, 502, "row 3.8: something else is there");
    told("read back", "row 3.8: a mismatch is told");
    told("\"stored\":[{\"key\":\"queue\",\"matchType\":\"exact\",\"values\":"
         "[\"a\",\"b\"]}]", "row 3.8: with what is there");
    is_str(&op.answer.action, "filter_mismatch", "row 3.8: for the audit log");
    is_int(op.answer.changed, 1, "row 3.8: it was written");

    script[2].body = script[3].body = script[4].body
        = "{\"subscriptions\":[]}";
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue",
          "{\"matchType\":\"exact\",\"values\":[\"a\"]}");
    ends(script, 5, 502, "row 3.8: the subscription is gone");
    told("\"stored\":null", "row 3.8: nothing is there");

    script[2].status = 503;
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue",
          "{\"matchType\":\"exact\",\"values\":[\"a\"]}");
    ends(script, 3, 200, "row 3.8: it cannot be read back");
    told("\"changed\":true,\"verified\":false,\"reason\":",
         "row 3.8: and that is told");

    script[2].status = 200;
    script[2].body = "<html>";
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue",
          "{\"matchType\":\"exact\",\"values\":[\"a\"]}");
    ends(script, 3, 200, "row 3.8: it is read back as HTML");
    told("\"changed\":true,\"verified\":false,\"reason\":",
         "row 3.8: and that is told too");
}


static void
subscriptions(void)
{
    char        *text, *p;
    ngx_uint_t   i;
    script_t     script[3];

    static const char  set[] = "{\"matchType\":\"exists\"}";

    ngx_memzero(script, sizeof(script));
    script[0].status = 200;
    script[0].body = plain;

    begin(NGX_EB_GENESYS_FILTER_SET, "call", "queue", set);
    ends(script, 1, 404, "an unknown subscription");
    told("\"subscriptions\":[\"calls\",\"chats\"],\"subscriptionsTotal\":2",
         "and those that there are");

    script[0].body = "{}";
    begin(NGX_EB_GENESYS_FILTER_REMOVE, "calls", "queue", NULL);
    ends(script, 1, 404, "no subscriptions");
    told("\"subscriptions\":[],\"subscriptionsTotal\":0", "there are none");

    script[0].body = "{\"subscriptions\":[{\"name\":\"calls\"},"
                     "{\"name\":\"calls\"}]}";
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
    ends(script, 1, 409, "two of the name");

    begin(NGX_EB_GENESYS_FILTER_SET, "x", "queue", set);
    text = ngx_palloc(pool, 100000);
    p = text + sprintf(text, "{\"subscriptions\":[1,{\"name\":2},{}");

    for (i = 0; i < 1000; i++) {
        p += sprintf(p, ",{\"name\":\"s%d\"}", (int) i);
    }

    sprintf(p, "]}");
    script[0].body = text;
    ends(script, 1, 404, "a thousand others");
    told("\"s19\"],\"subscriptionsTotal\":1000", "of which the first 20");

    /* shown */

    script[0].body = plain;
    begin(NGX_EB_GENESYS_FILTER_SHOW, "calls", "queue", NULL);
    ends(script, 1, 200, "a filter is shown");
    told("\"filter\":{\"key\":\"queue\",\"matchType\":\"exact\",\"values\":"
         "[\"a\",\"b\"]}}", "as it is");
    is_str(&op.answer.action, "filter_shown", "for the audit log");

    script[0].body =
        "{\"subscriptions\":[7,{\"name\":\"calls\",\"filterCriteria\":"
        "{\"attributes\":[8,{\"key\":9},{\"key\":\"q\"},"
        "{\"key\" : \"q\"}]}}]}";
    begin(NGX_EB_GENESYS_FILTER_SHOW, "calls", "q", NULL);
    ends(script, 1, 200, "two filters of an attribute are shown");
    told("\"filter\":{\"key\":\"q\"},\"filters\":[{\"key\":\"q\"},"
         "{\"key\" : \"q\"}]}", "both, and which is the first");

    begin(NGX_EB_GENESYS_FILTER_SHOW, "", "", NULL);
    ends(script, 1, 200, "what is no subscription is not listed");
    told("\"subscriptions\":[{\"name\":\"calls\",\"attributes\":[8,",
         "and the others are");

    script[0].body = "{\"subscriptions\":5}";
    begin(NGX_EB_GENESYS_FILTER_SHOW, "", "", NULL);
    ends(script, 1, 502, "subscriptions that are none");

    script[0].body = plain;
    begin(NGX_EB_GENESYS_FILTER_SHOW, "calls", "other", NULL);
    ends(script, 1, 404, "a filter that there is not");

    begin(NGX_EB_GENESYS_FILTER_SHOW, "x", "other", NULL);
    ends(script, 1, 404, "a filter of no subscription");
    told("\"calls\",\"chats\"", "with those that there are");

    begin(NGX_EB_GENESYS_FILTER_SHOW, "", "", NULL);
    ends(script, 1, 200, "all of them are shown");
    told("\"subscriptions\":[{\"name\":\"calls\",\"attributes\":[{\"key\":"
         "\"queue\",\"matchType\":\"exact\",\"values\":[\"a\",\"b\"]}]},"
         "{\"name\":\"chats\",\"attributes\":[]}]", "with their filters");

    begin(NGX_EB_GENESYS_FILTER_SHOW, "chats", "", NULL);
    ends(script, 1, 200, "those of a subscription are shown");
    told("\"subscriptions\":[{\"name\":\"chats\",\"attributes\":[]}]",
         "and no others");

    begin(NGX_EB_GENESYS_FILTER_SHOW, "x", "", NULL);
    ends(script, 1, 404, "those of no subscription");

    begin(NGX_EB_GENESYS_FILTER_SHOW, "", "x", NULL);
    ends(NULL, 0, 400, "an attribute of nothing");

    script[0].status = 404;
    begin(NGX_EB_GENESYS_FILTER_SHOW, "", "", NULL);
    ends(script, 1, 404, "of no integration");

    /* dry run */

    script[0].status = 200;
    script[0].etag = "\"e\"";
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue",
          "{\"matchType\":\"exact\",\"values\":[\"a\",\"\\\"\"]}");
    args.dry_run = 1;
    ends(script, 1, 200, "dry run: nothing is sent");
    told("\"dryRun\":true,\"wouldChange\":true,\"filter\":{\"key\":\"queue\","
         "\"matchType\":\"exact\",\"values\":[\"a\",\"\\\"\"]}",
         "dry run: what there would be");
    told("\"request\":{\"method\":\"PUT\",\"uri\":\"/api/v2/integrations/"
         "eventbridge/I1\",\"ifMatch\":\"\\\"e\\\"\",\"length\":",
         "dry run: the request");
    told("\"difference\":[{\"offset\":", "dry run: the difference");
    told("\"removed\":\"[\\\"a\\\",\\\"b\\\"]\",\"inserted\":"
         "\"[\\\"a\\\",\\\"\\\\\\\"\\\"]\"}]", "dry run: and no more");
    is_int(op.answer.changed, 0, "dry run: no change");
    is_str(&op.answer.action, "filter_previewed", "dry run: for the audit");

    begin(NGX_EB_GENESYS_FILTER_REMOVE, "chats", "queue", NULL);
    args.dry_run = 1;
    ends(script, 1, 200, "dry run: nothing to be removed");
    told("\"dryRun\":true,\"wouldChange\":false,\"filter\":null}",
         "dry run: no change");

    /* too many of them, each of which would be compared with each value */

    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "q", set);
    text = ngx_palloc(pool, 100000);
    p = text + sprintf(text, "{\"subscriptions\":[{\"name\":\"calls\","
                       "\"filterCriteria\":{\"attributes\":[1");

    for (i = 0; i <= 2000; i++) {
        p += sprintf(p, ",{\"key\":\"q\"}");
    }

    sprintf(p, "]}}]}");
    script[0].body = text;
    ends(script, 1, 502, "an attribute with 2,001 filters");
    told("too many filters", "is refused");

    /* of the request's own parts */

    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "q", set);
    text = ngx_palloc(pool, 600001);
    ngx_memset(text, 'x', 600000);
    text[600000] = '\0';
    args.body = str(text);
    args.subscription = str(text);
    args.subscription.len = 257;
    args.attribute = str("\xed\xa0\x80");
    ends(NULL, 0, 400, "too long a name and a body");
    told("{\"field\":\"subscription\",\"rule\":\"length\"", "the name");
    told("{\"field\":\"attribute\",\"rule\":\"characters\"",
         "and one that is half a character");
    told("{\"field\":\"body\",\"rule\":\"length\"", "the body");

    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "q", set);
    args.subscription.len = 0;
    args.attribute.len = 0;
    ends(NULL, 0, 400, "no names");
    told("{\"field\":\"subscription\",\"rule\":\"required\"", "neither");
    told("{\"field\":\"attribute\",\"rule\":\"required\"", "nor");

    /* too much for the API */

    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
    text = ngx_palloc(pool, 600000);
    p = text + sprintf(text, "{\"subscriptions\":[{\"name\":\"calls\"}],"
                       "\"x\":\"");
    ngx_memset(p, 'x', 511930);
    sprintf(p + 511930, "\"}");
    script[0].body = text;
    ends(script, 1, 422, "more than the API takes");
}


static void
begin_topics(ngx_eb_genesys_filter_verb_e verb, const char *topic,
    const char *body)
{
    begin(verb, "", topic, body);
    args.topics = 1;
}


static void
topics(void)
{
    script_t  script[6];

    static const char  config[] =
        "{\"id\":\"current\",\"name\":\"n\",\"version\":3.0,\"properties\":{"
        "\"awsAccountId\":\"1\",\"eventFilter\":[ \"a\", \"b\" ,\"c\" ]},"
        "\"advanced\":{},\"credentials\":{}}";

    ngx_memzero(script, sizeof(script));
    script[0].status = 200;
    script[0].body = config;
    script[1].status = 200;
    script[1].body = "{}";
    script[2].status = 200;

    begin_topics(NGX_EB_GENESYS_FILTER_SHOW, "", NULL);
    ends(script, 1, 200, "topics: shown");
    told("{\"integration\":\"I1\",\"topics\":[\"a\",\"b\",\"c\"]}",
         "topics: all of them");
    is_str(&sent[0].uri, "/api/v2/integrations/I1/config/current",
           "topics: their path");

    begin_topics(NGX_EB_GENESYS_FILTER_SET, "",
                 "{\"topics\":[\"d\",\"b\",\"a\",\"b\"]}");
    ends(script, 3, 200, "topics: set");
    is_str(&sent[1].body,
        "{\"id\":\"current\",\"name\":\"n\",\"version\":3.0,\"properties\":{"
        "\"awsAccountId\":\"1\",\"eventFilter\":[ \"a\", \"b\" ,\"d\" ]},"
        "\"advanced\":{},\"credentials\":{}}",
        "topics: with the version, and in their places");
    told("\"changed\":true,\"verified\":true,\"topics\":[\"a\",\"b\",\"d\"],"
         "\"previous\":[\"a\",\"b\",\"c\"]", "topics: what there is now");

    begin_topics(NGX_EB_GENESYS_FILTER_SET, "",
                 "{\"topics\":[\"c\",\"b\",\"a\"]}");
    ends(script, 1, 200, "topics: equal, and nothing is sent");
    told("\"changed\":false", "topics: no change");

    begin_topics(NGX_EB_GENESYS_FILTER_SET, "v2.x.{id}", NULL);
    ends(script, 3, 200, "topics: one is added");
    ok(strstr((char *) sent[1].body.data,
              "[ \"a\", \"b\" ,\"c\",\"v2.x.{id}\" ]") != NULL,
       "topics: at the end");

    begin_topics(NGX_EB_GENESYS_FILTER_SET, "b", NULL);
    ends(script, 1, 200, "topics: one that is there");

    begin_topics(NGX_EB_GENESYS_FILTER_REMOVE, "b", NULL);
    ends(script, 3, 200, "topics: one is removed");
    ok(strstr((char *) sent[1].body.data, "[ \"a\" ,\"c\" ]") != NULL,
       "topics: and its comma");

    begin_topics(NGX_EB_GENESYS_FILTER_REMOVE, "x", NULL);
    ends(script, 1, 200, "topics: one that is not there");

    begin_topics(NGX_EB_GENESYS_FILTER_REMOVE, "",
                 "{\"topics\":[\"a\",\"c\",\"x\"]}");
    ends(script, 3, 200, "topics: a set is removed");
    ok(strstr((char *) sent[1].body.data, "\"eventFilter\":[ \"b\" ]")
       != NULL, "topics: and the rest stays");

    begin_topics(NGX_EB_GENESYS_FILTER_REMOVE, "",
                 "{\"topics\":[\"a\",\"c\",\"b\"]}");
    args.dry_run = 1;
    ends(script, 1, 200, "topics: dry run");
    told("\"wouldChange\":true,\"topics\":[],\"previous\":[\"a\",\"b\",\"c\"]",
         "topics: what there would be");

    /* what is missing is made, and what is double is one */

    script[0].body = "{\"version\":1,\"properties\":null}";
    begin_topics(NGX_EB_GENESYS_FILTER_SET, "",
                 "{\"topics\":[\"a\",\"b\"]}");
    ends(script, 3, 200, "topics: there are no properties");
    is_str(&sent[1].body, "{\"version\":1,\"properties\":{\"eventFilter\":"
           "[\"a\",\"b\"]}}", "topics: they are made");

    script[0].body = "{\"version\":1,\"properties\":{\"x\":1.0}}";
    begin_topics(NGX_EB_GENESYS_FILTER_SET, "a", NULL);
    ends(script, 3, 200, "topics: there is no eventFilter");
    is_str(&sent[1].body, "{\"version\":1,\"properties\":{\"x\":1.0,"
           "\"eventFilter\":[\"a\"]}}", "topics: it is made");

    script[0].body = "{\"version\":1,\"properties\":{\"eventFilter\":"
                     "[\"a\",\"b\",\"\\u0061\"]}}";
    begin_topics(NGX_EB_GENESYS_FILTER_SET, "",
                 "{\"topics\":[\"a\",\"b\"]}");
    ends(script, 3, 200, "topics: one is there twice");
    is_str(&sent[1].body, "{\"version\":1,\"properties\":{\"eventFilter\":"
           "[\"a\",\"b\"]}}", "topics: and then once");

    /* the lock */

    script[0].body = "{\"properties\":{\"eventFilter\":[\"a\"]}}";
    begin_topics(NGX_EB_GENESYS_FILTER_SET, "b", NULL);
    ends(script, 1, 502, "topics: not without a version");

    script[0].etag = "\"e\"";
    begin_topics(NGX_EB_GENESYS_FILTER_SET, "b", NULL);
    ends(script, 3, 200, "topics: or an ETag");
    is_str(&sent[1].if_match, "\"e\"", "topics: which is sent");
    script[0].etag = NULL;

    script[0].body = config;
    script[1].status = 400;
    script[1].body = "{\"message\":\"Version 3 does not match the current "
                     "version 4\"}";
    script[2].body = "{\"version\":4,\"properties\":{\"eventFilter\":"
                     "[\"z\"]}}";
    script[3].status = 200;
    script[4].status = 200;
    begin_topics(NGX_EB_GENESYS_FILTER_SET, "d", NULL);
    ends(script, 5, 200, "topics: another version");
    is_str(&sent[3].body, "{\"version\":4,\"properties\":{\"eventFilter\":"
           "[\"z\",\"d\"]}}", "topics: is what is changed then");

    /* read back */

    script[1].status = 200;
    script[2].body = script[3].body = script[4].body = config;
    begin_topics(NGX_EB_GENESYS_FILTER_SET, "x", NULL);
    ends(script, 5, 502, "topics: read back, they are others");
    told("\"stored\":[\"a\",\"b\",\"c\"]", "topics: these");

    /* what cannot be used */

    script[0].body = "{\"version\":1,\"properties\":{\"eventFilter\":[1]}}";
    begin_topics(NGX_EB_GENESYS_FILTER_SET, "x", NULL);
    ends(script, 1, 502, "topics: one is a number");

    script[0].body = "[]";
    begin_topics(NGX_EB_GENESYS_FILTER_SET, "x", NULL);
    ends(script, 1, 502, "topics: an array");

    script[0].body = "{\"version\":1,\"properties\":[]}";
    begin_topics(NGX_EB_GENESYS_FILTER_SET, "x", NULL);
    ends(script, 1, 502, "topics: properties are an array");

    script[0].body = "{\"version\":1,\"properties\":{\"eventFilter\":{}}}";
    begin_topics(NGX_EB_GENESYS_FILTER_SET, "x", NULL);
    ends(script, 1, 502, "topics: eventFilter is an object");

    script[0].status = 404;
    begin_topics(NGX_EB_GENESYS_FILTER_SET, "x", NULL);
    ends(script, 1, 404, "topics: no such integration");

    begin_topics(NGX_EB_GENESYS_FILTER_SET, "", "{\"topics\":[\"\",1]}");
    ends(NULL, 0, 400, "topics: bad ones");
    told("\"field\":\"topics[0]\",\"rule\":\"length\"", "topics: empty");
    told("\"field\":\"topics[1]\",\"rule\":\"type\"", "topics: a number");

    begin_topics(NGX_EB_GENESYS_FILTER_SET, "", "{}");
    ends(NULL, 0, 400, "topics: none");
    begin_topics(NGX_EB_GENESYS_FILTER_SET, "", "{\"topics\":[]}");
    ends(NULL, 0, 400, "topics: an empty list");
    begin_topics(NGX_EB_GENESYS_FILTER_REMOVE, "", "");
    ends(NULL, 0, 400, "topics: nothing said");
    begin_topics(NGX_EB_GENESYS_FILTER_SET, "a\nb", NULL);
    ends(NULL, 0, 400, "topics: a line end");
}


static void
no_memory(ngx_eb_genesys_filter_verb_e verb, const char *body,
    ngx_uint_t dry_run, script_t *script, ngx_uint_t n, const char *name)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    rc = NGX_ERROR;

    for (i = 0; i < 2000 && rc == NGX_ERROR; i++) {
        begin(verb, "calls", "queue", body);
        args.dry_run = dry_run ? 1 : 0;

        shim_allocs = (ngx_int_t) i;
        rc = play(script, n);
        shim_allocs = -1;
    }

    ok(rc == NGX_DONE && i > 5, "no memory: %s", name);
}


static void
memory(void)
{
    script_t  script[5];

    ngx_memzero(script, sizeof(script));
    script[0].status = 200;
    script[0].body = plain;
    script[1].status = 200;
    script[2].status = 200;

    no_memory(NGX_EB_GENESYS_FILTER_SET,
              "{\"matchType\":\"regex\",\"values\":[\"a\",\"\\n\"]}", 0,
              script, 3, "a change");
    no_memory(NGX_EB_GENESYS_FILTER_SET,
              "{\"matchType\":\"regex\",\"values\":[\"a\",\"\\n\"]}", 1,
              script, 1, "a dry run");
    no_memory(NGX_EB_GENESYS_FILTER_SET,
              "{\"matchType\":\"regex\",\"values\":[\"a(\",\"\\n\",1]}", 0,
              script, 0, "violations");
    no_memory(NGX_EB_GENESYS_FILTER_SHOW, NULL, 0, script, 1, "shown");

    script[0].status = 404;
    script[0].body = "{\"message\":\"x\"}";
    no_memory(NGX_EB_GENESYS_FILTER_SHOW, NULL, 0, script, 1, "refused");
}


int
main(void)
{
    parser = ngx_eb_json_parser_create();

    if (parser == NULL) {
        return 1;
    }

    row_3_7();
    row_3_8();
    subscriptions();
    topics();
    memory();

    ngx_destroy_pool(pool);
    ngx_eb_json_parser_destroy(parser);

    is_int(shim_blocks, 0, "nothing is left");

    return done_testing();
}
