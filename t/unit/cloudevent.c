
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * CloudEvents: what is one, what headers say, and what others become.
 */

/* sources: src/wire/ngx_eb_cloudevent.c src/wire/ngx_eb_cloudevent_out.c */
/* sources: src/wire/ngx_eb_event.c src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c */
/* sources: src/wire/ngx_eb_time.c src/wire/ngx_eb_out.c */
/* libs: -lsimdjson */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_json.h"
#include "ngx_eb_time.h"
#include "ngx_eb_event.h"
#include "ngx_eb_out.h"
#include "ngx_eb_cloudevent.h"


#define HEAD                                                                 \
    "\"specversion\":\"1.0\",\"id\":\"i\",\"source\":\"s\",\"type\":\"t\""


static void content(void);
static void data(void);
static void good(void);
static void bad(void);
static void batches(void);
static void headers(void);
static void embedded(void);
static void binary(void);
static void mapped(void);
static void no_memory(void);
static ngx_int_t split(const char *text, ngx_uint_t shape);
static ngx_str_t string(const char *text);
static ngx_int_t header(const char *name, const char *value, ngx_str_t *text);
static void maps(const char *event, const char *expected, const char *name);
static ngx_int_t to_binary(const char *text);


static ngx_pool_t            *pool;
static ngx_eb_json_t          json;
static ngx_eb_batch_t         batch;
static ngx_eb_ce_binary_t     out;
static ngx_eb_json_parser_t  *parser;
static const char            *why;


static ngx_str_t
string(const char *text)
{
    ngx_str_t  s;

    s.data = (u_char *) text;
    s.len = strlen(text);

    return s;
}


static ngx_int_t
split(const char *text, ngx_uint_t shape)
{
    ngx_eb_json_error_t  err;

    if (ngx_eb_json_parse(parser, (u_char *) text, strlen(text), 64, &json,
                          &err)
        != NGX_OK)
    {
        ok(0, "text is JSON: %.60s", text);
        return NGX_ABORT;
    }

    return ngx_eb_ce_split(&json, pool, shape, 3, &batch);
}


static void
content(void)
{
    ngx_str_t   s;
    ngx_uint_t  i;

    static const struct {
        const char  *type;
        ngx_uint_t   content;
    } cases[] = {
        { "", NGX_EB_CE_NONE },
        { "application/json", NGX_EB_CE_NONE },
        { "application/cloudevent", NGX_EB_CE_NONE },
        { "text/cloudevents+json", NGX_EB_CE_NONE },
        { "application/cloudevents+json", NGX_EB_CE_STRUCTURED },
        { "Application/CloudEvents+JSON", NGX_EB_CE_STRUCTURED },
        { " application/cloudevents+json ; charset=x", NGX_EB_CE_STRUCTURED },
        { "application/cloudevents-batch+json", NGX_EB_CE_BATCH },
        { "application/cloudevents-BATCH+json;x=y", NGX_EB_CE_BATCH },
        { "application/cloudevents", NGX_EB_CE_UNKNOWN },
        { "application/cloudevents-batch", NGX_EB_CE_UNKNOWN },
        { "application/cloudevents+avro", NGX_EB_CE_UNKNOWN },
        { "application/cloudevents+json+x", NGX_EB_CE_UNKNOWN },
        { "application/cloudeventsx", NGX_EB_CE_UNKNOWN }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        s = string(cases[i].type);
        is_int(ngx_eb_ce_content(&s), cases[i].content, "\"%s\"",
               cases[i].type);
    }
}


static void
data(void)
{
    ngx_str_t   s;
    ngx_uint_t  i;

    static const struct {
        const char  *type;
        ngx_uint_t   data;
    } cases[] = {
        { "", NGX_EB_CE_DATA_UNKNOWN },
        { " ; x=y", NGX_EB_CE_DATA_UNKNOWN },
        { "application/json", NGX_EB_CE_DATA_JSON },
        { "TEXT/JSON; charset=utf-8", NGX_EB_CE_DATA_JSON },
        { "application/vnd.x+json", NGX_EB_CE_DATA_JSON },
        { "application/vnd.x+y+json", NGX_EB_CE_DATA_JSON },
        { "application/jsonx", NGX_EB_CE_DATA_BINARY },
        { "text/plain", NGX_EB_CE_DATA_TEXT },
        { "application/xml", NGX_EB_CE_DATA_TEXT },
        { "image/svg+xml", NGX_EB_CE_DATA_TEXT },
        { "image/png", NGX_EB_CE_DATA_BINARY },
        { "json", NGX_EB_CE_DATA_BINARY },
        { "x/", NGX_EB_CE_DATA_BINARY }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        s = string(cases[i].type);
        is_int(ngx_eb_ce_data(&s), cases[i].data, "data of \"%s\"",
               cases[i].type);
    }
}


static void
good(void)
{
    ngx_uint_t       i;
    ngx_str_t        name;
    ngx_eb_event_t  *event;

    static const char  *cases[] = {
        "{" HEAD "}",
        "{" HEAD ",\"time\":null,\"subject\":null,\"x\":null}",
        "{" HEAD ",\"data\":null,\"data_base64\":\"\"}",
        "{" HEAD ",\"data_base64\":\"AA==\"}",
        "{" HEAD ",\"data_base64\":null,\"data\":1}",
        "{" HEAD ",\"x\":\"\",\"y1\":true,\"z\":-2147483648,\"0\":0}",
        "{" HEAD ",\"dataschema\":\"urn:a+b\",\"datacontenttype\":\"a/b;c\"}",
        "{" HEAD ",\"time\":\"1600-02-29T23:59:60.123456789-23:59\"}",
        "{" HEAD ",\"subject\":\"\\ud83d\\ude00 \xc3\xa9\"}"
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ok(split(cases[i], NGX_EB_BODY_CE_SINGLE) == NGX_OK
           && batch.nevents == 1 && batch.events->invalid == NULL
           && batch.events->kind == NGX_EB_EVENT_CLOUDEVENT, "%s", cases[i]);
    }

    (void) split(" {\"type\":\"t\\u0041\",\"source\":\"/s\",\"id\":\"i\\/1\","
                 "\"specversion\":\"1.0\",\"region\":\"eu\",\"n\":7,"
                 "\"time\":\"1970-01-01T00:00:01Z\"} ", NGX_EB_BODY_CE_SINGLE);

    event = batch.events;

    is_str(&event->id, "i/1", "id");
    is_str(&event->source, "/s", "source");
    is_str(&event->type, "tA", "type");
    is_str(&event->region, "eu", "region");
    is_int(event->time, 1000, "time");
    ok(event->raw.data[0] == '{'
       && event->raw.data[event->raw.len - 1] == '}', "its bytes");

    name = string("n");
    ok(ngx_eb_event_metadata(&json, event, &name) != NGX_EB_JSON_NONE,
       "attributes are metadata");
}


static void
bad(void)
{
    ngx_str_t   s;
    ngx_uint_t  i;

    static const struct {
        const char  *text;
        const char  *invalid;
    } cases[] = {
        { "[]", "not an object" },
        { "{}", "attribute \"id\" is missing" },
        { "{\"id\":\"i\"}", "attribute \"source\" is missing" },
        { "{\"id\":\"\"}", "attribute \"id\" is empty" },
        { "{\"id\":null,\"id\":\"i\"}", "attribute \"id\" is given twice" },
        { "{" HEAD ",\"\":1}", "attribute \"\" has no name" },
        { "{" HEAD ",\"a\\u0000\\\"b\":1}", "attribute \"a??b\" has a name "
          "that is not of lower case letters and digits" },
        { "{" HEAD ",\"x\":2147483648}",
          "attribute \"x\" is not an integer of 32 bits" },
        { "{" HEAD ",\"x\":-2147483649}",
          "attribute \"x\" is not an integer of 32 bits" },
        { "{" HEAD ",\"x\":1e3}",
          "attribute \"x\" is not an integer of 32 bits" },
        { "{" HEAD ",\"x\":{}}", "attribute \"x\" is neither a string nor a "
          "number nor a boolean" },
        { "{" HEAD ",\"x\":\"\\u0085\"}",
          "attribute \"x\" has a control character" },
        { "{" HEAD ",\"x\":\"\\udc00\"}",
          "attribute \"x\" has half of a surrogate pair" },
        { "{" HEAD ",\"x\":\"\\ufdd0\"}",
          "attribute \"x\" has a noncharacter" },
        { "{" HEAD ",\"time\":\"2026-01-01 00:00:00Z\"}",
          "attribute \"time\" is not a time as in RFC 3339" },
        { "{" HEAD ",\"time\":\"+026-01-01T00:00:00Z\"}",
          "attribute \"time\" is not a time as in RFC 3339" },
        { "{" HEAD ",\"dataschema\":\"1x:y\"}",
          "attribute \"dataschema\" is not an absolute URI" },
        { "{" HEAD ",\"dataschema\":\"x\"}",
          "attribute \"dataschema\" is not an absolute URI" },
        { "{" HEAD ",\"dataschema\":\"x:%2\"}",
          "attribute \"dataschema\" is not an absolute URI" },
        { "{" HEAD ",\"datacontenttype\":\"a/b c\"}",
          "attribute \"datacontenttype\" is not a media type" },
        { "{" HEAD ",\"datacontenttype\":\"a/b;\xc3\xa9\"}",
          "attribute \"datacontenttype\" is not a media type" },
        { "{" HEAD ",\"data\":0,\"data_base64\":\"\"}",
          "attribute \"data_base64\" excludes \"data\"" },
        { "{" HEAD ",\"data_base64\":\"A===\"}",
          "attribute \"data_base64\" is not Base64" },
        { "{" HEAD ",\"data_base64\":\"A-_=\"}",
          "attribute \"data_base64\" is not Base64" }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {

        if (split(cases[i].text, NGX_EB_BODY_CE_SINGLE) != NGX_OK) {
            ok(0, "%s", cases[i].text);
            continue;
        }

        s = string(batch.events->invalid ? batch.events->invalid : "valid");
        is_str(&s, cases[i].invalid, "%s", cases[i].text);
    }
}


static void
batches(void)
{
    ok(split("[]", NGX_EB_BODY_CE_BATCH) == NGX_OK && batch.nevents == 0,
       "an empty batch");
    ok(split("[{" HEAD "},{},1]", NGX_EB_BODY_CE_BATCH) == NGX_OK
       && batch.nevents == 3 && batch.events[0].invalid == NULL
       && batch.events[1].invalid && batch.events[2].invalid
       && batch.shape == NGX_EB_BODY_CE_BATCH, "a batch");
    ok(split("[1,1,1,1]", NGX_EB_BODY_CE_BATCH) == NGX_BUSY, "too many");
    ok(split(" {}", NGX_EB_BODY_CE_BATCH) == NGX_DECLINED && batch.error
       && batch.offset == 1, "no array");
}


/* into static memory, so that a header may follow another */

static ngx_int_t
header(const char *name, const char *value, ngx_str_t *text)
{
    ngx_int_t      rc;
    ngx_str_t      n, v;
    ngx_eb_out_t   o;

    static u_char  buf[1024];

    n = string(name);
    v = string(value);

    ngx_eb_out_init(&o, buf, 2 * v.len + n.len + 6);

    rc = ngx_eb_ce_header(&n, &v, pool, &o, &why);

    text->data = buf;
    text->len = o.pos - buf;

    return (rc == NGX_OK && o.truncated) ? NGX_ABORT : rc;
}


static void
headers(void)
{
    ngx_str_t   text;
    ngx_uint_t  i;

    static const struct {
        const char  *name;
        const char  *value;
        const char  *text;
    } cases[] = {
        { "id", "", "\"id\":\"\"," },
        { "id", "\"\"", "\"id\":\"\"," },
        { "id", "\"", "\"id\":\"\\\"\"," },
        { "id", "\\\"\\\"", "\"id\":\"\\\\\\\"\\\\\\\"\"," },
        { "x", "a%20b%2525", "\"x\":\"a b%25\"," },
        { "x", "\"a\\b%41\"", "\"x\":\"abA\"," },
        { "x", "%e2%82%ac", "\"x\":\"\xe2\x82\xac\"," },
        { "source", "/a%20b", "\"source\":\"/a%20b\"," },
        { "source", "/a%20b c", "\"source\":\"/a b c\"," },
        { "dataschema", "x:%7e", "\"dataschema\":\"x:~\"," },
        { "x", "%zz", NULL },
        { "x", "%2", NULL },
        { "x", "%C0%A0", NULL },
        { "x", "%F4%90%80%80", NULL },
        { "x", "%7f", NULL },
        { "x", "a\tb", NULL },
        { "x", "\"a\\\"", NULL },
        { "x_y", "", NULL },
        { "", "", NULL },
        { "data", "", NULL },
        { "datacontenttype", "", NULL }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {

        if (cases[i].text == NULL) {
            ok(header(cases[i].name, cases[i].value, &text) == NGX_DECLINED
               && why && text.len == 0, "%s: %s is refused", cases[i].name,
               cases[i].value);
            continue;
        }

        ok(header(cases[i].name, cases[i].value, &text) == NGX_OK, "%s: %s",
           cases[i].name, cases[i].value);
        is_str(&text, cases[i].text, "%s: %s, text", cases[i].name,
               cases[i].value);
    }
}


static void
embedded(void)
{
    ngx_str_t   head, value, text;
    ngx_uint_t  i;

    static const struct {
        ngx_uint_t   kind;
        const char  *value;
        const char  *text;
    } cases[] = {
        { NGX_EB_CE_DATA_JSON, " 1 ", "{\"a\":1,\"data\": 1 }" },
        { NGX_EB_CE_DATA_JSON, "", "{\"a\":1}" },
        { NGX_EB_CE_DATA_TEXT, "", "{\"a\":1}" },
        { NGX_EB_CE_DATA_BINARY, "", "{\"a\":1}" },
        { NGX_EB_CE_DATA_TEXT, "\"\\\1\x7f\xc3\xa9",
          "{\"a\":1,\"data\":\"\\\"\\\\\\u0001\\u007f\xc3\xa9\"}" },
        { NGX_EB_CE_DATA_TEXT, "\xc3", "{\"a\":1,\"data_base64\":\"ww==\"}" },
        { NGX_EB_CE_DATA_BINARY, "abc", "{\"a\":1,\"data_base64\":\"YWJj\"}" }
    };

    head = string("{\"a\":1,");

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        value = string(cases[i].value);
        ok(ngx_eb_ce_embed(pool, &head, &value, cases[i].kind, &text)
           == NGX_OK, "embedded: %s", cases[i].value);
        is_str(&text, cases[i].text, "embedded: %s, text", cases[i].value);
    }
}


static ngx_int_t
to_binary(const char *text)
{
    ngx_eb_json_error_t  err;

    if (ngx_eb_json_parse(parser, (u_char *) text, strlen(text), 64, &json,
                          &err)
        != NGX_OK)
    {
        return NGX_ABORT;
    }

    return ngx_eb_ce_binary(&json, pool, &out);
}


static void
binary(void)
{
    ngx_uint_t     i;
    ngx_keyval_t  *h;

    static const struct {
        const char  *text;
        const char  *type;
        const char  *data;
    } cases[] = {
        { "{\"a\":1}", NULL, "" },
        { "{\"data\":null}", "application/json", "null" },
        { "{\"data\":\"a\\n\"}", "application/json", "\"a\\n\"" },
        { "{\"data\": [1, 2] }", "application/json", "[1, 2]" },
        { "{\"data\":\"a\\n\",\"datacontenttype\":\"text/x\"}", "text/x",
          "a\n" },
        { "{\"data\":[1],\"datacontenttype\":\"text/x\"}", "text/x", "[1]" },
        { "{\"datacontenttype\":\"text/x\"}", "text/x", "" },
        { "{\"data_base64\":\"\\u0059WJj\",\"data\":null}", NULL, "abc" },
        { "{\"data_base64\":null,\"data\":1}", "application/json", "1" }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ok(to_binary(cases[i].text) == NGX_OK, "%s", cases[i].text);
        is_str(&out.data, cases[i].data, "%s: data", cases[i].text);

        if (cases[i].type) {
            is_str(&out.type, cases[i].type, "%s: type", cases[i].text);

        } else {
            ok(out.type.data == NULL, "%s: no type", cases[i].text);
        }
    }

    ok(to_binary("{\"id\":\"a b\\\"%\\u00e9~\",\"n\":-1,\"no\":null,"
                 "\"yes\":true,\"\\u0065\":\"\"}") == NGX_OK, "headers");

    h = out.headers.elts;

    is_int(out.headers.nelts, 4, "so many headers");
    is_str(&h[0].key, "ce-id", "name of a header");
    is_str(&h[0].value, "a%20b%22%25%C3%A9~", "its value, encoded");
    is_str(&h[1].value, "-1", "a number");
    is_str(&h[2].key, "ce-yes", "null is no header");
    is_str(&h[2].value, "true", "a boolean");
    is_str(&h[3].key, "ce-e", "an escaped name");
    is_str(&h[3].value, "", "an empty string");
}


static void
maps(const char *event, const char *expected, const char *name)
{
    u_char                buf[4096];
    ngx_str_t             id, source, text;
    ngx_eb_out_t          o;
    ngx_eb_batch_t        b;
    ngx_eb_json_error_t   err;

    id = string("default");
    source = string("/from here");

    if (ngx_eb_json_parse(parser, (u_char *) event, strlen(event), 64, &json,
                          &err)
        != NGX_OK
        || (ngx_eb_batch_split(&json, pool, 1, &b) != NGX_OK
            && ngx_eb_batch_whole(&json, pool, &b) != NGX_OK))
    {
        ok(0, "%s", name);
        return;
    }

    ngx_eb_out_init(&o, buf, ngx_eb_ce_map_size(b.events, &id, &source));
    ngx_eb_ce_map(&json, b.events, &id, &source, &o);

    text.data = buf;
    text.len = o.pos - buf;

    ok(!o.truncated, "%s: it fits", name);
    is_str(&text, expected, "%s", name);

    *o.pos = '\0';

    ok(split((const char *) buf, NGX_EB_BODY_CE_SINGLE) == NGX_OK
       && batch.events->invalid == NULL, "%s: it is one", name);
}


static void
mapped(void)
{
#define JSON  "\"datacontenttype\":\"application/json\",\"data\":"

    maps("17", "{\"specversion\":\"1.0\",\"id\":\"default\",\"source\":"
         "\"/from%20here\",\"type\":\"event\"," JSON "17}", "a number");

    maps("{\"id\":\"\\u0001\",\"source\":\"a#b#c%%20\xc3\xa9\",\"type\":\"\","
         "\"subject\":\"\",\"time\":\"never\"}",
         "{\"specversion\":\"1.0\",\"id\":\"default\",\"source\":"
         "\"a#b%23c%25%20%C3%A9\",\"type\":\"event\"," JSON
         "{\"id\":\"\\u0001\",\"source\":\"a#b#c%%20\xc3\xa9\",\"type\":\"\","
         "\"subject\":\"\",\"time\":\"never\"}}", "what cannot be taken");

    maps("{\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"data\": [ ] ,"
         "\"subject\":\"\\u00e9\",\"time\":\"1970-01-01T00:00:00Z\","
         "\"metadata\":{\"A-b\":\"\\ud83d\\ude00\",\"ab\":1,\"c\":\"\\ud800\","
         "\"d\":\"\\ud800\\u0041\",\"e\":\"\\n\",\"f\":1.5,\"g\":123456789,"
         "\"h\":-1234567890,\"i\":[],\"j\":null,\"k\":false,\"_\":1,"
         "\"Time\":1,\"\\u006c\":1,\"m\":\"\\\"\\\\\\/\"}}",
         "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\","
         "\"type\":\"t\",\"time\":\"1970-01-01T00:00:00.000Z\","
         "\"subject\":\"\\u00e9\",\"ab\":\"\\ud83d\\ude00\",\"f\":\"1.5\","
         "\"g\":123456789,\"h\":\"-1234567890\",\"k\":false,"
         "\"m\":\"\\\"\\\\\\/\"," JSON "[ ]}", "metadata");

    maps("{\"id\":\"1\",\"source\":\"s\",\"detail-type\":\"t\","
         "\"account\":1,\"region\":\"\",\"resources\":[\"a\",2],"
         "\"detail\":null}",
         "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\","
         "\"type\":\"t\"," JSON "null}", "an envelope with little");

    maps("{\"Data\":{\"id\":\"1\",\"source\":\"s\"},"
         "\"Metadata\":{\"x\":\"y\"}}",
         "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\","
         "\"type\":\"event\",\"x\":\"y\"," JSON
         "{\"id\":\"1\",\"source\":\"s\"}}", "a wrapper");
}


static void
no_memory(void)
{
    ngx_int_t   rc;
    ngx_str_t   head, value, text;
    ngx_uint_t  n;

    static const char  event[] =
        "{\"\\u0069d\":\"\\u0069\",\"sourc\\u0065\":\"\\u0073\","
        "\"specversion\":\"\\u0031.0\",\"type\":\"\\u0074\","
        "\"region\":\"\\u0065\",\"x\":\"\\u0065\","
        "\"data_base64\":\"\\u0041AA=\"}";

    rc = NGX_ERROR;

    for (n = 0; n < 100 && rc == NGX_ERROR; n++) {
        shim_allocs = n;
        rc = split(event, NGX_EB_BODY_CE_SINGLE);
        shim_allocs = -1;
    }

    ok(n > 8 && rc == NGX_OK && batch.events->invalid == NULL,
       "memory that runs out anywhere is an error");

    rc = NGX_ERROR;

    for (n = 0; n < 100 && rc == NGX_ERROR; n++) {
        shim_allocs = n;
        rc = to_binary(event);
        shim_allocs = -1;
    }

    ok(n > 8 && rc == NGX_OK, "memory that runs out for headers");

    shim_allocs = 1;
    rc = split("{}", NGX_EB_BODY_CE_SINGLE);
    shim_allocs = -1;

    ok(rc == NGX_ERROR, "no memory for a reason");

    shim_allocs = 0;
    rc = header("x", "y", &text);
    shim_allocs = -1;

    ok(rc == NGX_ERROR, "no memory for a header");

    head = string("{\"a\":1,");
    value = string("x");

    shim_allocs = 0;
    rc = ngx_eb_ce_embed(pool, &head, &value, NGX_EB_CE_DATA_TEXT, &text);
    shim_allocs = -1;

    ok(rc == NGX_ERROR, "no memory for a text");
}


int
main(void)
{
    pool = ngx_create_pool(4096, &shim_log);
    parser = ngx_eb_json_parser_create();

    if (pool == NULL || parser == NULL) {
        return 1;
    }

    content();
    data();
    good();
    bad();
    batches();
    headers();
    embedded();
    binary();
    mapped();
    no_memory();

    ngx_eb_json_parser_destroy(parser);
    ngx_destroy_pool(pool);

    ok(shim_blocks == 0, "nothing is left");

    return done_testing();
}
