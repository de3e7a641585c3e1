
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Source-side filters: what may be asked for, and what is sent to the API.
 */

/* sources: src/genesys/ngx_eb_genesys_op.c src/genesys/ngx_eb_genesys_list.c src/genesys/ngx_eb_genesys_patch.c src/genesys/ngx_eb_genesys_duration.c */
/* sources: src/genesys/ngx_eb_genesys_filter.c src/genesys/ngx_eb_genesys_filter_answer.c src/genesys/ngx_eb_genesys_filter_check.c src/genesys/ngx_eb_genesys_filter_doc.c src/wire/ngx_eb_json_edit.c src/wire/ngx_eb_out.c src/wire/ngx_eb_time.c src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c */
/* libs: -lsimdjson -lpcre2-8 */


#include <ngx_config.h>
#include <ngx_core.h>

#define PCRE2_CODE_UNIT_WIDTH  8
#include <pcre2.h>

#include "genesys_filter.h"


/* 40 members that nobody knows, and two places for what is changed */

static char *
unknown_fields(void)
{
    char        *text, *p;
    ngx_uint_t   i;

    static const char  *odd[] = {
        "1.0", "1e2", "12345678901234567890", "-0.0", "\"\\u0041\\/\"",
        "[ 1 , 2.50 ]", "{ \"b\" : 1 , \"a\" : 2 , \"b\" : 3 }", "null",
        "\"%s\"", "1E+400"
    };

    text = ngx_palloc(pool, 8192);

    if (text == NULL) {
        abort();
    }

    p = text + sprintf(text, "\n{ \"zz\" : 1.0 ,\r\n\t\"id\":\"I1\"");

    for (i = 0; i < 20; i++) {
        p += sprintf(p, " , \"u%d\" :%s%s", (int) (i * 7 % 20),
                     (i & 1) ? " " : "", odd[i % 10]);
    }

    p += sprintf(p, ",\"subscriptions\" : [ {\"name\":\"other\", \"x\":1e2},"
                 "\n  { \"x1\":1.0, \"name\" : \"calls\" , \"x1\" : 1e2,"
                 "\"events\":[ ] ,\n    @@, \"x2\" :"
                 " 12345678901234567890 }\n , null, 5 ]");

    for (i = 20; i < 40; i++) {
        p += sprintf(p, ",\"u%d\":%s", (int) i, odd[i % 10]);
    }

    sprintf(p, " , \"version\" : 7.0 } \n");

    return text;
}


static void
untouched(const char *before, const char *before_rest, const char *after,
    const char *after_rest, const char *attribute, const char *body,
    const char *name)
{
    char      *document, *get, *put;
    script_t   script[3];

    ngx_memzero(script, sizeof(script));

    begin(body ? NGX_EB_GENESYS_FILTER_SET : NGX_EB_GENESYS_FILTER_REMOVE,
          "calls", attribute, body);

    document = unknown_fields();
    get = marked(document, before, before_rest);
    put = marked(document, after, after_rest);

    script[0].status = 200;
    script[0].body = get;
    script[1].status = 200;
    script[1].body = "{}";
    script[2].status = 200;

    ends(script, 3, 200, name);

    if (nsent == 3) {
        is_str(&sent[1].body, put,
               "%s: the PUT differs from the GET in exactly that", name);
        ok(strcmp(put, get) != 0, "%s: but differs", name);
    }
}


static void
row_3_2(void)
{
    untouched("\"filterCriteria\" : { \"f\":1.0, \"attributes\" : [ ",
              "{\"key\":\"a\"}, {\"matchType\" : \"exact\", \"n\":1e2 ,"
              " \"key\" : \"queue\", \"values\":[\"x\"]} , {\"key\":\"z\"}"
              " ] , \"g\":1e2}",
              "\"filterCriteria\" : { \"f\":1.0, \"attributes\" : [ ",
              "{\"key\":\"a\"}, {\"matchType\" : \"regex\", \"n\":1e2 ,"
              " \"key\" : \"queue\", \"values\":[\"^a\\\\d+$\"]} ,"
              " {\"key\":\"z\"} ] , \"g\":1e2}",
              "queue", "{\"matchType\":\"regex\",\"values\":[\"^a\\\\d+$\"]}",
              "row 3.2: replaced in place");

    untouched("\"filterCriteria\" : { \"attributes\" : [\n",
              "      {\"key\":\"a\"}\n    ] }",
              "\"filterCriteria\" : { \"attributes\" : [\n",
              "      {\"key\":\"a\"},\n      {\"key\":\"queue\","
              "\"matchType\":\"exact\",\"values\":[\"1\",\"2\"]}\n    ] }",
              "queue", "{\"matchType\":\"exact\",\"values\":[\"1\",\"2\"]}",
              "row 3.2: appended");

    untouched("\"filterCriteria\" : { \"attributes\" : ", "[]}",
              "\"filterCriteria\" : { \"attributes\" : ",
              "[{\"key\":\"q\\\"\",\"matchType\":\"exists\",\"values\":[]}]}",
              "q\"", "{\"matchType\":\"exists\"}",
              "row 3.2: the first of the array");

    untouched("\"filterCriteria\" : { \"f\":1.0", "}",
              "\"filterCriteria\" : { \"f\":1.0",
              ", \"attributes\":[{\"key\":\"q\",\"matchType\":\"notexists\","
              "\"values\":[]}]}",
              "q", "{\"matchType\":\"notexists\",\"values\":[]}",
              "row 3.2: attributes are created");

    untouched("\"filterCriteria\" : { \"attributes\" : ", "null}",
              "\"filterCriteria\" : { \"attributes\" : ",
              "[{\"key\":\"q\",\"matchType\":\"exists\",\"values\":[]}]}",
              "q", "{\"matchType\":\"exists\",\"values\":null}",
              "row 3.2: attributes that are null are created");

    untouched("\"filterCriteria\" : ", "null",
              "\"filterCriteria\" : ",
              "{\"attributes\":[{\"key\":\"q\",\"matchType\":\"exists\","
              "\"values\":[]}]}",
              "q", "{\"matchType\":\"exists\"}",
              "row 3.2: filterCriteria that are null are created");
}


/* criteria are a new member, and stand at the end of the subscription */

static void
row_3_2_created(void)
{
    char      *get, *put, *end;
    script_t   script[3];

    ngx_memzero(script, sizeof(script));

    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "q", "{\"matchType\":"
          "\"exact\",\"values\":[\"\\u00e9\\\"\"]}");

    get = marked(unknown_fields(), "\"y\":", "1.0");
    put = ngx_palloc(pool, 10000);

    /* right behind the last member */

    end = strstr(get, "12345678901234567890 }\n , null") + 20;

    sprintf(put, "%.*s%s%s", (int) (end - get), get,
            ", \"filterCriteria\":{\"attributes\":[{\"key\":\"q\","
            "\"matchType\":\"exact\",\"values\":[\"\xc3\xa9\\\"\"]}]}",
            end);

    script[0].status = 200;
    script[0].body = get;
    script[1].status = 204;
    script[1].body = "";
    script[2].status = 200;

    ends(script, 3, 200, "row 3.2: filterCriteria are created");
    is_str(&sent[1].body, put, "row 3.2: and the rest is untouched");
    told("\"changed\":true,\"verified\":true", "row 3.2: seen at the API");
}


static void
row_3_2_removed(void)
{
    untouched("\"filterCriteria\" : { \"attributes\" : [ {\"key\":\"a\"} ",
              ", {\"key\":\"q\",\"v\":1.0} ] }",
              "\"filterCriteria\" : { \"attributes\" : [ {\"key\":\"a\"} ",
              "] }",
              "q", NULL, "row 3.2: the last one is removed");

    untouched("\"filterCriteria\" : { \"attributes\" : [ ",
              "{\"key\":\"q\"} , {\"key\":\"a\"} ] }",
              "\"filterCriteria\" : { \"attributes\" : [ ",
              "{\"key\":\"a\"} ] }",
              "q", NULL, "row 3.2: the first one is removed");

    untouched("\"filterCriteria\" : { \"attributes\" : [",
              " {\"key\":\"q\"} ] }",
              "\"filterCriteria\" : { \"attributes\" : [", "] }",
              "q", NULL, "row 3.2: the only one is removed");
}


static void
bad_id(const char *id, size_t len, const char *name)
{
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue",
          "{\"matchType\":\"exists\"}");

    args.integration.data = (u_char *) id;
    args.integration.len = len;

    ends(NULL, 0, 400, name);
    told("\"field\":\"integration\"", name);
}


static void
row_3_3(void)
{
    script_t   script[12];
    char       id[200];

    static const char  set[] = "{\"matchType\":\"exact\",\"values\":[\"n\"]}";

    bad_id("", 0, "row 3.3: an empty id");
    bad_id(".", 1, "row 3.3: the id .");
    bad_id("..", 2, "row 3.3: the id ..");
    bad_id("a/b", 3, "row 3.3: an id with a slash");
    bad_id("a%2fb", 5, "row 3.3: an id with an escape");
    bad_id("a\r\nX: y", 7, "row 3.3: an id with a line end");
    bad_id("a\0b", 3, "row 3.3: an id with a NUL");
    bad_id("a b", 3, "row 3.3: an id with a space");
    bad_id("\xc3\xa9", 2, "row 3.3: an id that is not ASCII");
    bad_id("a?b", 3, "row 3.3: an id with a query");

    ngx_memset(id, 'x', sizeof(id));
    bad_id(id, 129, "row 3.3: an id of 129 characters");

    /* the id asked for, in the path; the version in the document, and ETag */

    ngx_memzero(script, sizeof(script));
    script[0].status = 200;
    script[0].body = plain;
    script[0].etag = "\"v7\"";
    script[1].status = 200;
    script[2].status = 200;

    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
    ends(script, 3, 200, "row 3.3: a change");

    is_str(&sent[0].method, "GET", "row 3.3: it is read");
    is_str(&sent[0].uri, "/api/v2/integrations/eventbridge/I1",
           "row 3.3: by the id asked for");
    ok(sent[0].if_match.len == 0, "row 3.3: whatever its version");
    is_str(&sent[1].method, "PUT", "row 3.3: it is written");
    is_str(&sent[1].uri, "/api/v2/integrations/eventbridge/I1",
           "row 3.3: to the id asked for");
    is_str(&sent[1].if_match, "\"v7\"", "row 3.3: If-Match");
    ok(strstr((char *) sent[1].body.data, "\"version\":7,") != NULL,
       "row 3.3: the version is sent back");
    is_str(&sent[2].method, "GET", "row 3.3: it is read back");
    ok(sent[0].idempotent && sent[1].idempotent && sent[2].idempotent,
       "row 3.7: each may be sent again");
    is_str(&op.answer.action, "filter_set", "audit: the action");
    is_str(&op.answer.id, "I1", "audit: the id");
    is_str(&op.answer.correlation_id, "corr-1", "audit: the correlation");
    is_int(op.answer.changed, 1, "audit: it was changed");
    is_int((int64_t) op.answer.api_status, 200, "audit: the API's status");

    /* weak or hostile tags are none */

    script[0].etag = "W/\"v7\"";
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
    ends(script, 3, 200, "row 3.3: a weak ETag");
    ok(sent[1].if_match.len == 0, "row 3.3: is not sent");

    script[0].etag = "\"v\r\nX: y\"";
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
    ends(script, 3, 200, "row 3.3: an ETag with a line end");
    ok(sent[1].if_match.len == 0, "row 3.3: is not sent either");

    /* templates */

    script[0].etag = NULL;
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
    args.path = str("/x/{id}/y/{integration}/{id");
    args.integration = str("a-._~Z9");
    script[0].body = "{\"id\":\"A-._~z9\",\"subscriptions\":[{\"name\":"
                     "\"calls\"}]}";
    ends(script, 3, 200, "row 3.3: a template, and an id in other case");
    is_str(&sent[0].uri, "/x/a-._~Z9/y/a-._~Z9/{id",
           "row 3.3: the id is in its places");

    script[0].body = "{\"id\":\"I2\",\"subscriptions\":[{\"name\":"
                     "\"calls\"}]}";
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
    ends(script, 1, 502, "row 3.3: the document of another id");

    script[0].body = "{\"id\":\"\",\"subscriptions\":[{\"name\":\"calls\"}]}";
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
    ends(script, 3, 200, "row 3.3: the document has an empty id");
    is_str(&sent[1].uri, "/api/v2/integrations/eventbridge/I1",
           "row 3.3: and is written to the one asked for");

    /* 409: read again, and done again to what is there now */

    ngx_memzero(script, sizeof(script));
    script[0].status = 200;
    script[0].body = plain;
    script[1].status = 409;
    script[1].body = "{}";
    script[2].status = 200;
    script[2].body = "{\"version\":8,\"subscriptions\":[{\"name\":\"calls\"}"
                     "],\"new\":1.0}";
    script[3].status = 200;
    script[4].status = 200;

    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
    ends(script, 5, 200, "row 3.3: 409");
    is_str(&sent[3].body,
           "{\"version\":8,\"subscriptions\":[{\"name\":\"calls\","
           "\"filterCriteria\":{\"attributes\":[{\"key\":\"queue\","
           "\"matchType\":\"exact\",\"values\":[\"n\"]}]}}],\"new\":1.0}",
           "row 3.3: what is there now is changed");
    ok(sent[2].delay > 0, "row 3.3: after a moment");

    script[1].status = 412;
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
    ends(script, 5, 200, "row 3.3: 412");

    script[1].status = 400;
    script[1].body = "{\"message\":\"version 7 does not match the current "
                     "version 8\"}";
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
    ends(script, 5, 200, "row 3.3: 400 for a version");

    script[1].body = "{\"message\":\"roleArn <bad>\",\"code\":\"bad.request\""
                     ",\"contextId\":\"c-9\",\"details\":[{\"fieldName\":"
                     "\"roleArn\"}]}";
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
    ends(script, 2, 422, "row 3.7: another 400 is final");
    told("\"code\":\"bad.request\"", "row 3.7: with the API's code");
    told("\"message\":\"roleArn <bad>\"", "row 3.7: and message");
    told("\"contextId\":\"c-9\"", "row 3.7: and context");
    told("\"details\":[{\"fieldName\":\"roleArn\"}]", "row 3.7: and details");
    told("\"correlationId\":\"corr-1\"", "row 3.7: and correlation");
    is_int(op.answer.changed, 0, "row 3.7: nothing was changed");
    is_str(&op.answer.action, "filter_failed", "row 3.7: for the audit log");

    /* someone else is always faster */

    ngx_memzero(script, sizeof(script));
    script[0].status = script[2].status = 200;
    script[4].status = script[6].status = 200;
    script[0].body = script[2].body = plain;
    script[4].body = script[6].body = plain;
    script[1].status = script[3].status = 409;
    script[5].status = script[7].status = 409;
    script[1].body = script[3].body = script[5].body = script[7].body = "";

    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
    ends(script, 8, 409, "row 3.3: 409 each time ends");

    /* sent again for want of an answer, then refused: it was ours */

    ngx_memzero(script, sizeof(script));
    script[0].status = 200;
    script[0].body = plain;
    script[1].status = 409;
    script[1].body = "";
    script[2].status = 200;

    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", set);
    ends(script, 3, 200, "row 3.3: 409, but it is there");
    told("\"changed\":true", "row 3.3: is a change");
}


static void
row_3_4(void)
{
    int          code;
    char         body[8000], expected[1000], pattern[1200], *p;
    size_t       offset;
    script_t     script[3];
    PCRE2_UCHAR  words[256];

    ngx_memzero(script, sizeof(script));
    script[0].status = 200;
    script[0].body = plain;
    script[1].status = 200;
    script[2].status = 200;

    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue",
          "{\"matchType\":\"regex\",\"values\":[\"^(?=a)(?<n>a)(?!b)\\\\k<n>$"
          "\",\"(?i)\\\\p{Lu}++\",\"\"]}");
    ends(script, 3, 200, "row 3.4: what PCRE2 knows and RE2 does not");

    /* the acceptance's own */

    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue",
          "{\"matchType\":\"regex\",\"values\":[\"ok\",\"(?<n>a(\"]}");
    ends(NULL, 0, 422, "row 3.4: a bad regex is 422, and nothing is sent");

    ok(pcre2_compile((PCRE2_SPTR) "(?<n>a(", 7, PCRE2_UTF, &code, &offset,
                     NULL) == NULL, "row 3.4: it is bad");
    pcre2_get_error_message(code, words, sizeof(words));

    sprintf(expected, "\"errors\":[{\"field\":\"values[1]\",\"rule\":"
            "\"regex\",\"message\":\"%s\",\"offset\":%d}]", (char *) words,
            (int) offset);
    told(expected, "row 3.4: PCRE2's own words, and the offset");
    is_str(&op.answer.action, "filter_refused", "row 3.4: for the audit log");

    /* RE2 has it, PCRE2 has not */

    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue",
          "{\"matchType\":\"regex\",\"values\":[\"\\\\pN+\",\"\\\\p{Nope}\","
          "\"[z-a]\",\"a{2,1}\"]}");
    ends(NULL, 0, 422, "row 3.4: several bad ones");
    told("\"field\":\"values[1]\"", "row 3.4: the first");
    told("\"field\":\"values[2]\"", "row 3.4: the second");
    told("\"field\":\"values[3]\"", "row 3.4: the third");
    ok(!has("values[0]"), "row 3.4: and no good one");

    /* exact values are no patterns */

    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue",
          "{\"matchType\":\"exact\",\"values\":[\"(?<n>a(\"]}");
    ends(script, 3, 200, "row 3.4: an exact value is anything");

    ngx_memset(pattern, 'a', 1025);
    pattern[1025] = '\0';
    sprintf(body, "{\"matchType\":\"regex\",\"values\":[\"%s\"]}", pattern);
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", body);
    ends(NULL, 0, 400, "row 3.4: a long regex");
    told("\"rule\":\"length\"", "row 3.4: is one by its length");

    ngx_memset(pattern, '(', 200);
    ngx_memset(pattern + 200, ')', 200);
    pattern[400] = '\0';
    sprintf(body, "{\"matchType\":\"regex\",\"values\":[\"%s\"]}", pattern);
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", body);
    ends(NULL, 0, 422, "row 3.4: a deep regex");

    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue",
          "{\"matchType\":\"regex\",\"values\":[\"(((a{1,999}){1,999}){1,999}"
          "){1,999}\"]}");
    ends(NULL, 0, 422, "row 3.4: a regex that grows");

    /* what would take long, as measured: a class of all, in any case, 4 ms */

    pattern[0] = '\0';

    for (code = 0; code < 9; code++) {
        strcat(pattern, "[a-\xf4\x8f\xbf\xbf]");
    }

    sprintf(body, "{\"matchType\":\"regex\",\"values\":[\"%s\"]}", pattern);
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", body);
    ends(script, 3, 200, "row 3.4: wide ranges that heed case");

    sprintf(body, "{\"matchType\":\"regex\",\"values\":[\"x\","
            "\"(?^si)%s\"]}", pattern);
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", body);
    ends(NULL, 0, 400, "row 3.4: wide ranges that ignore case");
    told("{\"field\":\"values[1]\",\"rule\":\"cost\"", "row 3.4: cost much");

    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue",
          "{\"matchType\":\"regex\",\"values\":[\"(?ixx)[a-\\\\x{10ffff}b- "
          "\\\\x{999}]\",\"(?i)-\\\\d-\\\\d-\\\\d-a-b-c-d-e-f-[a-z]\"]}");
    ends(script, 3, 200, "row 3.4: a few of them do not");

    ngx_memset(pattern, 'a', 1000);
    pattern[1000] = '\0';
    sprintf(body, "{\"matchType\":\"regex\",\"values\":[\"%s\",\"%s\",\"%s"
            "\",\"b\"]}", pattern, pattern, pattern);
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", body);
    ends(script, 3, 200, "row 3.4: some long ones");

    p = body + sprintf(body, "{\"matchType\":\"regex\",\"values\":[\"b\"");

    for (code = 0; code < 5; code++) {
        p += sprintf(p, ",\"%s\"", pattern);
    }

    sprintf(p, "]}");
    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", body);
    ends(NULL, 0, 400, "row 3.4: many long ones");
    told("{\"field\":\"values[5]\",\"rule\":\"cost\"", "row 3.4: cost much");
    ok(!has("values[4]"), "row 3.4: from the fifth on");

    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue",
          "{\"matchType\":\"regex\",\"values\":[\"(\",5]}");
    ends(NULL, 0, 400, "row 3.4: a bad regex and a number are 400");
    told("\"field\":\"values[0]\",\"rule\":\"regex\"", "row 3.4: with both");
    told("\"field\":\"values[1]\",\"rule\":\"type\"", "row 3.4: of them");
}


static void
refused(const char *body, const char *field, const char *rule,
    const char *name)
{
    char  expected[256];

    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", body);
    ends(NULL, 0, 400, name);

    sprintf(expected, "{\"field\":\"%s\",\"rule\":\"%s\"", field, rule);
    told(expected, name);
}


static void
row_3_5(void)
{
    char        *body, *p;
    ngx_uint_t   i, n;
    script_t     script[3];

    refused("", "body", "json", "row 3.5: no body");
    refused("{", "body", "json", "row 3.5: no JSON");
    refused("[]", "body", "type", "row 3.5: an array");
    refused("{}", "matchType", "required", "row 3.5: no matchType");
    refused("{\"matchType\":\"like\",\"values\":[\"a\"]}", "matchType", "enum",
            "row 3.5: an unknown matchType");
    refused("{\"matchType\":1,\"values\":[\"a\"]}", "matchType", "enum",
            "row 3.5: a number as matchType");
    refused("{\"matchType\":\"exact\"}", "values", "required",
            "row 3.5: exact without values");
    refused("{\"matchType\":\"exact\",\"values\":null}", "values", "required",
            "row 3.5: exact with null");
    refused("{\"matchType\":\"exact\",\"values\":[]}", "values", "arity",
            "row 3.5: exact with no value");
    refused("{\"matchType\":\"regex\",\"values\":[]}", "values", "arity",
            "row 3.5: regex with no value");
    refused("{\"matchType\":\"exists\",\"values\":[\"a\"]}", "values", "arity",
            "row 3.5: exists with a value");
    refused("{\"matchType\":\"notexists\",\"values\":[1]}", "values", "arity",
            "row 3.5: notexists with a value");
    refused("{\"matchType\":\"exact\",\"values\":\"a\"}", "values", "type",
            "row 3.5: a string as values");
    refused("{\"matchType\":\"exact\",\"values\":[\"a\",{}]}", "values[1]",
            "type", "row 3.5: an object as value");
    refused("{\"matchType\":\"exact\",\"values\":[\"a\\u0000\"]}", "values[0]",
            "characters", "row 3.5: a NUL");
    refused("{\"matchType\":\"exact\",\"values\":[\"\\ud800\"]}", "values[0]",
            "characters", "row 3.5: half a character");
    refused("{\"matchType\":\"exists\",\"matchType\":\"exists\"}",
            "matchType", "duplicate", "row 3.5: matchType twice");
    refused("{\"matchType\":\"exists\",\"value\":\"a\"}", "value", "unknown",
            "row 3.5: an unknown member");

    /* all of it at once */

    begin(NGX_EB_GENESYS_FILTER_SET, "", "a\nb",
          "{\"matchType\":\"x\",\"values\":[1,\"a\",null],\"m\\n\":1}");
    args.integration = str("..");
    ends(NULL, 0, 400, "every violation at once");
    told("\"field\":\"integration\"", "the integration");
    told("\"field\":\"subscription\",\"rule\":\"required\"",
         "the subscription");
    told("\"field\":\"attribute\",\"rule\":\"characters\"", "the attribute");
    told("\"field\":\"matchType\"", "matchType");
    told("\"field\":\"values[0]\"", "a value");
    told("\"field\":\"values[2]\"", "another value");
    told("\"field\":\"m\\n\"", "and what is too much");

    /* 200 values are enough */

    ngx_memzero(script, sizeof(script));
    script[0].status = 200;
    script[0].body = plain;
    script[1].status = 200;
    script[2].status = 200;

    for (n = 200; n <= 201; n++) {
        begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue", "");

        body = ngx_palloc(pool, 4096);
        p = body + sprintf(body, "{\"matchType\":\"exact\",\"values\":[");

        for (i = 0; i < n; i++) {
            p += sprintf(p, "%s\"%d\"", i ? "," : "", (int) i);
        }

        sprintf(p, "]}");
        args.body = str(body);

        if (n == 200) {
            ends(script, 3, 200, "row 3.5: 200 values");
            continue;
        }

        ends(NULL, 0, 400, "row 3.5: 201 values are too many");
    }

    /* duplicates of values and of the attribute collapse */

    ngx_memzero(script, sizeof(script));
    script[0].status = 200;
    script[1].status = 200;
    script[2].status = 200;

    begin(NGX_EB_GENESYS_FILTER_SET, "calls", "queue",
          "{\"matchType\":\"exact\",\"values\":[\"a\",\"b\",\"\\u0061\"]}");
    script[0].body =
        "{\"subscriptions\":[{\"name\":\"calls\",\"filterCriteria\":"
        "{\"attributes\":[{\"key\":\"x\"},{\"key\":\"queue\",\"values\":[1],"
        "\"k\":1.0,\"values\":[2],\"matchType\":\"exact\"},{\"key\":\"y\"},"
        "{\"key\":\"que\\u0075e\"},{\"key\":\"queue\"}]}}]}";
    ends(script, 3, 200, "row 3.5: duplicates");
    is_str(&sent[1].body,
        "{\"subscriptions\":[{\"name\":\"calls\",\"filterCriteria\":"
        "{\"attributes\":[{\"key\":\"x\"},{\"key\":\"queue\","
        "\"k\":1.0,\"values\":[\"a\",\"b\"],\"matchType\":\"exact\"},"
        "{\"key\":\"y\"}]}}]}", "row 3.5: are one");
    told("\"previous\":[{\"key\":\"queue\",\"values\":[1]",
         "row 3.5: what there was is told");
    told(",{\"key\":\"que\\u0075e\"},{\"key\":\"queue\"}]",
         "row 3.5: all of it");

    begin(NGX_EB_GENESYS_FILTER_REMOVE, "calls", "queue", NULL);
    ends(script, 3, 200, "row 3.5: removed");
    is_str(&sent[1].body,
        "{\"subscriptions\":[{\"name\":\"calls\",\"filterCriteria\":"
        "{\"attributes\":[{\"key\":\"x\"},{\"key\":\"y\"}]}}]}",
        "row 3.5: with its duplicates");
    told("\"filter\":null", "row 3.5: there is none now");
    is_str(&op.answer.action, "filter_removed", "row 3.5: for the audit log");

    begin(NGX_EB_GENESYS_FILTER_REMOVE, "chats", "queue", NULL);
    script[0].body = plain;
    ends(script, 1, 200, "row 3.5: nothing to be removed");
    told("\"changed\":false", "row 3.5: is no change");
}


int
main(void)
{
    parser = ngx_eb_json_parser_create();

    if (parser == NULL) {
        return 1;
    }

    row_3_2();
    row_3_2_created();
    row_3_2_removed();
    row_3_3();
    row_3_4();
    row_3_5();

    ngx_destroy_pool(pool);
    ngx_eb_json_parser_destroy(parser);

    is_int(shim_blocks, 0, "nothing is left");

    return done_testing();
}
