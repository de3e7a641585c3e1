
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Bodies of every shape, split into events.
 */

/* sources: src/wire/ngx_eb_event.c src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c */
/* sources: src/wire/ngx_eb_time.c */
/* libs: -lsimdjson */


#include <ngx_config.h>
#include <ngx_core.h>
#include <dirent.h>
#include "shim.h"
#include "ngx_eb_json.h"
#include "ngx_eb_time.h"
#include "ngx_eb_event.h"


#define split(text)           split_max(text, sizeof(text) - 1, 1000)
#define is(str, text, name)   is_bytes(&(str), text, sizeof(text) - 1, name)
#define event(n)              (batch.events[n])
#define meta(n, name, value)                                                 \
    meta_eq(n, name, sizeof(name) - 1, value, sizeof(value) - 1)

#define no_batch(text, offset, error)                                        \
    declined(text, sizeof(text) - 1, offset, error)


static ngx_int_t split_max(const char *text, size_t len, ngx_uint_t max);
static void is_bytes(ngx_str_t *str, const char *text, size_t len,
    const char *name);
static void declined(const char *text, size_t len, size_t offset,
    const char *error);
static ngx_uint_t meta_eq(ngx_uint_t n, const char *name, size_t nlen,
    const char *value, size_t vlen);
static ngx_uint_t within(ngx_str_t *outer, ngx_str_t *inner);
static void shapes(void);
static void classes(void);
static void identity(void);
static void names(void);
static void times(void);
static void wrapped(void);
static void metadata(void);
static void limits(void);
static void whole(void);
static ngx_int_t whole_text(const char *text, size_t len);
static void no_memory(void);
static void fixtures(void);
static void fixture(const char *dir, const char *name);


static ngx_pool_t            *pool;
static ngx_eb_json_t          json;
static ngx_eb_batch_t         batch;
static ngx_eb_json_parser_t  *parser;

static u_char                 text_copy[1024 * 1024];


static ngx_int_t
split_max(const char *text, size_t len, ngx_uint_t max)
{
    ngx_eb_json_error_t  err;

    ngx_memcpy(text_copy, text, len);

    if (ngx_eb_json_parse(parser, text_copy, len, 64, &json, &err) != NGX_OK) {
        ok(0, "text is JSON: %.60s", text);
        return NGX_ABORT;
    }

    return ngx_eb_batch_split(&json, pool, max, &batch);
}


static void
is_bytes(ngx_str_t *str, const char *text, size_t len, const char *name)
{
    ngx_uint_t  same;

    same = (str->data != NULL && str->len == len
            && memcmp(str->data, text, len) == 0);

    ok(same, "%s", name);

    if (!same) {
        printf("# got \"%.*s\", expected \"%.*s\"\n", (int) str->len,
               str->data ? (char *) str->data : "(absent)", (int) len, text);
    }
}


static void
declined(const char *text, size_t len, size_t offset, const char *error)
{
    ok(split_max(text, len, 1000) == NGX_DECLINED, "no batch of %d bytes",
       (int) len);
    ok(batch.error && strcmp(batch.error, error) == 0, "says why");
    ok(batch.offset == offset, "and where");
}


static ngx_uint_t
meta_eq(ngx_uint_t n, const char *name, size_t nlen, const char *value,
    size_t vlen)
{
    ngx_str_t  key, val;

    key.data = (u_char *) name;
    key.len = nlen;
    val.data = (u_char *) value;
    val.len = vlen;

    return ngx_eb_event_metadata_eq(&json, &batch.events[n], &key, &val);
}


static ngx_uint_t
within(ngx_str_t *outer, ngx_str_t *inner)
{
    return inner->data >= outer->data
           && inner->data + inner->len <= outer->data + outer->len;
}


static void
shapes(void)
{
    const char  *neither;

    neither = "neither an envelope with \"detail-type\" and \"detail\","
              " nor an object with \"events\", or with \"id\" and \"source\"";

    no_batch("1", 0, "neither an object nor an array");
    no_batch(" \"events\"", 1, "neither an object nor an array");
    no_batch("\n\tnull ", 2, "neither an object nor an array");
    no_batch("true", 0, "neither an object nor an array");

    no_batch("{}", 0, neither);
    no_batch("  {\"a\":1}", 2, neither);
    no_batch("{\"id\":\"1\"}", 0, neither);
    no_batch("{\"source\":\"s\"}", 0, neither);
    no_batch("{\"detail-type\":\"t\"}", 0, neither);
    no_batch("{\"detail-type\":1,\"detail\":{}}", 0, neither);
    no_batch("{\"Data\":{}}", 0, neither);
    no_batch("{\"Data\":{},\"Metadata\":1}", 0, neither);
    no_batch("{\"Data\":{},\"SystemMetadata\":[]}", 0, neither);
    no_batch("{\"Metadata\":{}}", 0, neither);

    no_batch("{\"events\":1}", 10, "\"events\" is not an array");
    no_batch("{\"a\":[], \"events\" : {\"id\":1}}", 20,
             "\"events\" is not an array");
    no_batch("{\"events\":null,\"id\":1}", 10, "\"events\" is not an array");
    no_batch("{\"events\":[],\"events\":\"x\"}", 22,
             "\"events\" is not an array");

    ok(split("[]") == NGX_OK, "empty array");
    ok(batch.shape == NGX_EB_BODY_ARRAY && batch.nevents == 0, "no events");

    ok(split(" { \"events\" : [ ] } ") == NGX_OK, "empty events");
    ok(batch.shape == NGX_EB_BODY_EVENTS && batch.nevents == 0
       && !batch.siblings, "no events, no siblings");

    ok(split("{\"v\":1,\"events\":[{\"id\":\"a\"} , {\"id\":\"b\"}]}")
       == NGX_OK, "events with a sibling");
    ok(batch.shape == NGX_EB_BODY_EVENTS && batch.nevents == 2, "two events");
    ok(batch.siblings, "sibling seen");
    is(event(0).raw, "{\"id\":\"a\"}", "first of events");
    is(event(1).raw, "{\"id\":\"b\"}", "second of events");

    ok(split("{\"events\":[{\"id\":\"a\"}],\"events\":[{\"id\":\"b\"}]}")
       == NGX_OK && batch.nevents == 1, "last of two \"events\" counts");
    is(event(0).id, "b", "is the last");
    ok(batch.siblings, "the first is a sibling");

    ok(split("{\"events\":[{\"id\":1}],\"id\":2,\"source\":\"s\"}") == NGX_OK
       && batch.shape == NGX_EB_BODY_EVENTS, "events before bare");
    is(event(0).id, "1", "event of the list");

    ok(split("{\"events\":3,\"id\":2,\"source\":\"s\"}") == NGX_OK
       && batch.shape == NGX_EB_BODY_SINGLE
       && event(0).kind == NGX_EB_EVENT_BARE,
       "bare event with a field called events");

    ok(split("{\"events\":[1],\"detail-type\":\"t\",\"detail\":null}")
       == NGX_OK && batch.shape == NGX_EB_BODY_SINGLE
       && event(0).kind == NGX_EB_EVENT_AWS, "envelope before events");

    ok(split("{\"events\":[1],\"Data\":2,\"Metadata\":{}}") == NGX_OK
       && batch.shape == NGX_EB_BODY_SINGLE
       && event(0).kind == NGX_EB_EVENT_WRAPPED, "wrapper before events");

    ok(split(" {\"id\":\"i\",\"source\":\"s\"}\n") == NGX_OK
       && batch.shape == NGX_EB_BODY_SINGLE && batch.nevents == 1
       && event(0).kind == NGX_EB_EVENT_BARE, "one bare event");
    is(event(0).raw, "{\"id\":\"i\",\"source\":\"s\"}", "without white space");

    ok(split("{\"id\":null,\"source\":null}") == NGX_OK
       && batch.nevents == 1 && event(0).invalid == NULL
       && event(0).id.data == NULL && event(0).source.data == NULL,
       "null is absent");
}


static void
classes(void)
{
    ok(split("[ 1 , \"s\" ,null,true, [] ,{}, -1.5e3 ]") == NGX_OK
       && batch.nevents == 7, "array of anything");
    is(event(0).raw, "1", "number");
    is(event(1).raw, "\"s\"", "string");
    is(event(2).raw, "null", "null");
    is(event(3).raw, "true", "true");
    is(event(4).raw, "[]", "array");
    is(event(5).raw, "{}", "object");
    is(event(6).raw, "-1.5e3", "another number");

    ok(event(0).invalid && strcmp(event(0).invalid, "not an object") == 0,
       "a number is not an object");
    ok(event(1).invalid && event(2).invalid && event(3).invalid
       && event(4).invalid && event(6).invalid, "nor are the others");
    ok(event(0).node == NGX_EB_JSON_NONE
       && event(0).metadata == NGX_EB_JSON_NONE
       && event(0).topic == NGX_EB_JSON_NONE
       && event(0).time == NGX_EB_TIME_UNKNOWN
       && event(0).id.data == NULL, "it has no fields");
    ok(!meta(0, "a", "1"), "and no metadata");

    ok(event(5).invalid == NULL && event(5).kind == NGX_EB_EVENT_BARE
       && event(5).id.data == NULL && event(5).source.data == NULL,
       "an empty object is a bare event");

    ok(split("{\"events\":[{\"detail\":{},\"detail-type\":\"t\",\"id\":\"1\"},"
             "{\"Data\":{\"id\":\"2\"},\"SystemMetadata\":{}},"
             "{\"id\":\"3\",\"data\":{}},7]}") == NGX_OK
       && batch.nevents == 4, "mixed classes");
    ok(event(0).kind == NGX_EB_EVENT_AWS && event(0).envelope, "envelope");
    ok(event(1).kind == NGX_EB_EVENT_WRAPPED && !event(1).envelope, "wrapper");
    ok(event(2).kind == NGX_EB_EVENT_BARE && !event(2).envelope, "bare");
    ok(event(3).invalid != NULL, "invalid beside valid ones");
    is(event(0).id, "1", "id of an envelope");
    is(event(1).id, "2", "id of a wrapper");
    is(event(2).id, "3", "id of a bare event");

    ok(split("[{\"detail\":{},\"detail-type\":null,\"id\":\"1\"}]") == NGX_OK
       && event(0).kind == NGX_EB_EVENT_BARE && event(0).type.data == NULL,
       "a detail-type that is no string makes no envelope");
}


static void
identity(void)
{
    ngx_uint_t  i;

    static const char  *ids[] = { "true", "false", "[1]", "{\"a\":1}" };
    static const char  *sources[] = { "1", "true", "false", "[]", "{}" };

    char  text[256];

    for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        snprintf(text, sizeof(text), "{\"id\":%s,\"source\":\"s\"}", ids[i]);

        ok(split_max(text, strlen(text), 10) == NGX_OK && batch.nevents == 1,
           "bare event with id %s", ids[i]);
        ok(event(0).invalid && strcmp(event(0).invalid,
           "id is neither a string nor a number") == 0, "is invalid");
        is(event(0).source, "s", "its source is known");

        snprintf(text, sizeof(text),
                 "[{\"id\":%s,\"detail-type\":\"t\",\"detail\":{}}]", ids[i]);

        ok(split_max(text, strlen(text), 10) == NGX_OK && event(0).invalid
           && event(0).kind == NGX_EB_EVENT_AWS, "envelope with id %s",
           ids[i]);
    }

    for (i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        snprintf(text, sizeof(text), "[{\"id\":\"1\",\"source\":%s},{}]",
                 sources[i]);

        ok(split_max(text, strlen(text), 10) == NGX_OK && batch.nevents == 2,
           "event with source %s", sources[i]);
        ok(event(0).invalid && strcmp(event(0).invalid,
           "source is not a string") == 0, "is invalid");
        ok(event(1).invalid == NULL, "the next is not");

        snprintf(text, sizeof(text),
                 "{\"source\":%s,\"detail-type\":\"t\",\"detail\":{}}",
                 sources[i]);

        ok(split_max(text, strlen(text), 10) == NGX_OK && event(0).invalid,
           "envelope with source %s", sources[i]);
    }

    ok(split("[{\"id\":[],\"source\":[]}]") == NGX_OK
       && strcmp(event(0).invalid, "id is neither a string nor a number") == 0,
       "the id is told first");

    ok(split("[{\"id\" : 12345678901234567890 ,\"x\":1},{\"id\":-0.5e+1}]")
       == NGX_OK, "numeric ids");
    is(event(0).id, "12345678901234567890", "by its text");
    is(event(1).id, "-0.5e+1", "by its text, whatever it is");

    ok(split("[{\"id\":\"\",\"source\":\"\"}]") == NGX_OK
       && event(0).invalid == NULL, "empty id and source");
    is(event(0).id, "", "empty id is there");
    is(event(0).source, "", "empty source is there");

    ok(split("[{\"id\":\"a\\u0000b\",\"source\":\"\\u0000\"}]") == NGX_OK,
       "NUL in strings");
    is(event(0).id, "a\0b", "NUL inside an id");
    is(event(0).source, "\0", "NUL alone");

    ok(split("[{\"id\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\","
             "\"source\":\"plain\"}]") == NGX_OK, "escapes");
    is(event(0).id, "\"\\/\b\f\n\r\t\xc3\xa9\xf0\x9f\x98\x80", "unescaped");
    ok(event(0).source.data > text_copy
       && event(0).source.data < text_copy + json.len,
       "a string without escapes is borrowed");

    ok(split("[{\"id\":\"\\ud800\"},{\"id\":\"\\udfff\"}]") == NGX_OK,
       "lone surrogates");
    is(event(0).id, "\xed\xa0\x80", "three bytes");
    is(event(1).id, "\xed\xbf\xbf", "three other bytes");

    ok(split("[{\"id\":\"1\",\"id\":\"2\",\"source\":1,\"source\":\"s\"}]")
       == NGX_OK && event(0).invalid == NULL, "repeated names");
    is(event(0).id, "2", "last id counts");
    is(event(0).source, "s", "last source counts");

    ok(split("[{\"id\":\"1\",\"id\":{}}]") == NGX_OK && event(0).invalid,
       "an invalid last id counts too");
    ok(split("[{\"id\":\"1\",\"id\":null}]") == NGX_OK
       && event(0).invalid == NULL && event(0).id.data == NULL,
       "and so does null");
}


static void
names(void)
{
    ok(split("[{\"\\u0069d\":\"1\",\"s\\u006furce\":\"\\u0073\","
             "\"id\\n\":\"x\",\"\\\\id\":\"y\"}]") == NGX_OK,
       "escaped names");
    is(event(0).id, "1", "escaped id");
    is(event(0).source, "s", "escaped source");

    ok(split("[{\"id\":\"1\",\"\\u0069\\u0064\":\"2\"},"
             "{\"\\u0069\\u0064\":\"2\",\"id\":\"1\"}]") == NGX_OK,
       "escaped and plain names");
    is(event(0).id, "2", "the last counts, escaped");
    is(event(1).id, "1", "the last counts, plain");

    ok(split("{\"\\u0065vents\":[{\"id\":1}]}") == NGX_OK
       && batch.shape == NGX_EB_BODY_EVENTS && batch.nevents == 1,
       "escaped events");

    ok(split("{\"\\u0064\\u0065\\u0074\\u0061\\u0069\\u006c\\u002d\\u0074"
             "\\u0079\\u0070\\u0065\":\"t\",\"detai\\u006c\":{}}") == NGX_OK
       && event(0).kind == NGX_EB_EVENT_AWS, "escaped envelope");
    is(event(0).type, "t", "type of an escaped detail-type");

    ok(split("{\"Data\":1,\"\\u0053\\u0079\\u0073\\u0074\\u0065\\u006d\\u004d"
             "\\u0065\\u0074\\u0061\\u0064\\u0061\\u0074\\u0061\":"
             "{\"aws\\u003aEventId\":\"e\"}}") == NGX_OK
       && event(0).kind == NGX_EB_EVENT_WRAPPED, "longest escaped name");
    is(event(0).id, "e", "escaped aws:EventId");

    ok(split("[{\"ID\":\"1\",\"Id\":\"2\",\"ie\":\"3\",\"\":\"4\","
             "\"sourcf\":\"5\",\"source \":\"6\"}]") == NGX_OK
       && event(0).id.data == NULL && event(0).source.data == NULL,
       "other names are other names");

    ok(split("[{\"data\":{\"id\":\"1\",\"source\":\"s\"},"
             "\"list\":[{\"id\":\"2\"}]}]") == NGX_OK
       && event(0).id.data == NULL, "names deeper inside do not count");
}


static void
times(void)
{
    ok(split("[{\"timestamp\":1649237504949},"
             "{\"timestamp\":\"2022-04-06T09:31:44.949Z\"},"
             "{\"timestamp\":\"never\",\"time\":1649237504},"
             "{\"timestamp\":{},\"time\":\"2022-04-06T09:31:44Z\"},"
             "{\"timestamp\":1649237504949,\"time\":1},"
             "{\"timestamp\":null,\"time\":true},"
             "{\"timestamp\":\"\\u0032022-04-06T09:31:44.949Z\"}]") == NGX_OK,
       "times of bare events");

    ok(event(0).time == 1649237504949, "milliseconds");
    ok(event(1).time == 1649237504949, "RFC 3339");
    ok(event(2).time == 1649237504000, "time where timestamp is none");
    ok(event(3).time == 1649237504000, "or no text");
    ok(event(4).time == 1649237504949, "timestamp before time");
    ok(event(5).time == NGX_EB_TIME_UNKNOWN, "none");
    ok(event(6).time == 1649237504949, "escaped");

#define ENV "\"detail-type\":\"t\",\"time\":\"2022-04-06T09:31:40Z\""

    ok(split("[{" ENV ",\"detail\":{\"timestamp\":\"2022-04-06T09:31:42Z\","
             "\"eventBody\":{\"eventTime\":1649237501000}}},"
             "{" ENV ",\"detail\":{\"timestamp\":\"2022-04-06T09:31:42Z\","
             "\"eventBody\":{\"eventTime\":\"x\"}}},"
             "{" ENV ",\"detail\":{\"timestamp\":\"2022-04-06T09:31:42Z\","
             "\"eventBody\":[]}},"
             "{" ENV ",\"detail\":{\"timestamp\":[],\"eventBody\":null}},"
             "{" ENV ",\"detail\":\"text\"},"
             "{\"detail-type\":\"t\",\"detail\":{}}]") == NGX_OK,
       "times of envelopes");

    ok(event(0).time == 1649237501000, "eventTime first");
    ok(event(1).time == 1649237502000, "then detail.timestamp");
    ok(event(2).time == 1649237502000, "also without eventTime");
    ok(event(3).time == 1649237500000, "then time");
    ok(event(4).time == 1649237500000, "also without an object in detail");
    ok(event(5).time == NGX_EB_TIME_UNKNOWN, "none in an envelope");
}


static void
wrapped(void)
{
    ok(split("{\"SystemMetadata\":{\"aws:EventId\":\"e1\",\"x\":1},"
             "\"Metadata\":{\"priority\":\"high\",\"region\":\"m\"},"
             "\"Data\":{\"id\":\"i1\",\"source\":\"s\",\"detail-type\":\"t\","
             "\"replay-name\":\"r\",\"region\":\"us-east-1\","
             "\"time\":\"2022-04-06T09:31:40Z\",\"account\":\"42\","
             "\"detail\":{\"topicName\":\"v2.t\","
             "\"metadata\":{\"priority\":\"low\"}}}}") == NGX_OK
       && batch.shape == NGX_EB_BODY_SINGLE && batch.nevents == 1,
       "wrapped envelope");
    ok(event(0).kind == NGX_EB_EVENT_WRAPPED && event(0).envelope, "kind");
    is(event(0).id, "e1", "id of SystemMetadata");
    is(event(0).source, "s", "source of Data");
    is(event(0).type, "t", "type of Data");
    is(event(0).replay_name, "r", "replay-name of Data");
    is(event(0).region, "us-east-1", "region of Data");
    ok(event(0).time == 1649237500000, "time of Data");
    ok(event(0).raw.len == json.len, "raw is the wrapper");
    ok(json.data[json.pos[event(0).node]] == '{'
       && memcmp(json.data + json.pos[event(0).node] - 7, "\"Data\":", 7)
          == 0, "node is Data");
    ok(event(0).topic != NGX_EB_JSON_NONE, "topic");
    ok(meta(0, "priority", "low"), "metadata of detail");
    ok(meta(0, "region", "us-east-1"), "region of the envelope");
    ok(meta(0, "account", "42"), "account of the envelope");
    ok(meta(0, "topicName", "v2.t"), "topicName of detail");

    ok(split("[{\"Data\":{\"id\":7,\"source\":\"s\",\"type\":\"t\","
             "\"timestamp\":1649237504,\"metadata\":{\"a\":\"1\","
             "\"region\":\"own\"}},"
             "\"Metadata\":{\"a\":\"2\",\"region\":\"w\"}},"
             "{\"Data\":{\"id\":8,\"metadata\":{\"a\":\"1\","
             "\"region\":\"own\"}},\"Metadata\":3,\"SystemMetadata\":{}}]")
       == NGX_OK && batch.nevents == 2, "wrapped bare events");
    is(event(0).id, "7", "id of Data");
    is(event(0).source, "s", "source of bare Data");
    is(event(0).type, "t", "type of bare Data");
    is(event(0).region, "w", "region of Metadata");
    ok(event(0).time == 1649237504000, "timestamp of bare Data");
    ok(meta(0, "a", "2") && !meta(0, "a", "1"), "Metadata wins");
    is(event(1).region, "own", "region of Data.metadata");
    ok(meta(1, "a", "1"), "Data.metadata where there is no Metadata");

    ok(split("[{\"Data\":\"text\",\"Metadata\":{\"a\":\"1\",\"region\":\"w\"},"
             "\"id\":\"no\",\"source\":\"no\"},"
             "{\"Data\":[1],\"SystemMetadata\":{\"aws:EventId\":\"e\"}},"
             "{\"Data\":null,\"SystemMetadata\":{\"aws:EventId\":5}}]")
       == NGX_OK && batch.nevents == 3, "Data that is no object");
    ok(event(0).kind == NGX_EB_EVENT_WRAPPED && event(0).invalid == NULL
       && event(0).id.data == NULL && event(0).source.data == NULL,
       "has no id and no source");
    ok(meta(0, "a", "1") && meta(0, "region", "w"), "but metadata");
    is(event(0).region, "w", "and its region");
    ok(json.data[json.pos[event(0).node]] == '{', "node is the wrapper");
    is(event(1).id, "e", "id of SystemMetadata without an object in Data");
    ok(event(2).id.data == NULL && event(2).invalid == NULL,
       "aws:EventId of another type is none");

    ok(split("[{\"Data\":{\"id\":\"i\"},"
             "\"SystemMetadata\":{\"aws:EventId\":\"\"}},"
             "{\"Data\":{\"id\":[]},"
             "\"SystemMetadata\":{\"aws:EventId\":\"e\"}},"
             "{\"Data\":{\"id\":[]},\"SystemMetadata\":{}},"
             "{\"Data\":{\"source\":1},"
             "\"SystemMetadata\":{\"aws:EventId\":\"e\"}},"
             "{\"Data\":{\"id\":null},"
             "\"SystemMetadata\":{\"aws:EventId\":\"\"}}]") == NGX_OK,
       "ids of wrappers");
    is(event(0).id, "i", "Data's own for an empty one");
    ok(event(1).invalid == NULL, "Data's own is not asked for");
    ok(event(2).invalid != NULL, "it is, and has a wrong type");
    ok(event(3).invalid && strcmp(event(3).invalid, "source is not a string")
       == 0, "source of Data has a wrong type");
    is(event(4).id, "", "an empty one stays when there is no other");
}


static void
metadata(void)
{
    ok(split("[{\"id\":\"1\",\"metadata\":{\"s\":\"v\",\"n\":12.50,\"t\":true,"
             "\"f\":false,\"z\":null,\"o\":{\"s\":\"v\"},\"a\":[1],"
             "\"e\":\"\",\"x\":\"a\\u0062c\\n\",\"k\\u0065y\":\"kv\","
             "\"d\":\"1\",\"d\":\"2\",\"m\" : 7 ,"
             "\"region\":\"eu\",\"account\":\"a\"}}]") == NGX_OK,
       "metadata of a bare event");

    ok(meta(0, "s", "v"), "string");
    ok(!meta(0, "s", "\"v\"") && !meta(0, "s", "") && !meta(0, "s", "vv")
       && !meta(0, "s", "w"), "other strings");
    ok(meta(0, "n", "12.50"), "number by its text");
    ok(!meta(0, "n", "12.5"), "not by its value");
    ok(meta(0, "m", "7"), "white space is not of the number");
    ok(meta(0, "t", "true") && !meta(0, "t", "false"), "true");
    ok(meta(0, "f", "false") && !meta(0, "f", "true"), "false");
    ok(!meta(0, "z", "null") && !meta(0, "z", ""), "null equals nothing");
    ok(!meta(0, "o", "{\"s\":\"v\"}"), "an object equals nothing");
    ok(!meta(0, "a", "[1]"), "an array equals nothing");
    ok(meta(0, "e", ""), "empty string");
    ok(meta(0, "x", "abc\n"), "escaped string");
    ok(!meta(0, "x", "a\\u0062c\\n"), "not as it is written");
    ok(meta(0, "key", "kv"), "escaped name");
    ok(meta(0, "d", "2") && !meta(0, "d", "1"), "last of equal names");
    ok(!meta(0, "none", "") && !meta(0, "", ""), "absent");
    ok(meta(0, "region", "eu") && meta(0, "account", "a"), "plain names");
    is(event(0).region, "eu", "region");

    ok(split("[{\"metadata\":{\"s\":\"v\",\"n\":12.50,\"e\":\"\"}},"
             "{\"metadata\":[1]},{\"metadata\":null},{},"
             "{\"metadata\":{\"region\":1}},"
             "{\"metadata\":{\"s\":\"1\"},\"metadata\":{\"q\":\"2\"}},"
             "{\"region\":\"top\",\"account\":\"top\"}]") == NGX_OK,
       "metadata without escapes");
    ok(meta(0, "s", "v") && !meta(0, "s", "w") && !meta(0, "s", "vv"),
       "string, no escapes in the text");
    ok(meta(0, "n", "12.50") && meta(0, "e", ""), "number, empty string");
    ok(!meta(1, "s", "v") && !meta(2, "s", "v") && !meta(3, "s", "v"),
       "no object, no metadata");
    ok(event(4).region.data == NULL && meta(4, "region", "1"),
       "a region that is a number is metadata only");
    ok(!meta(5, "s", "1") && meta(5, "q", "2"), "last metadata counts");
    ok(!meta(6, "region", "top") && !meta(6, "account", "top")
       && event(6).region.data == NULL,
       "a bare event has no envelope fields");

    ok(split("[{\"detail-type\":\"t\",\"region\":\"out\",\"account\":\"out\","
             "\"detail\":{\"topicName\":\"out\",\"metadata\":"
             "{\"region\":\"in\",\"account\":\"in\",\"topicName\":\"in\","
             "\"other\":\"in\"}}},"
             "{\"detail-type\":\"t\",\"detail\":{\"metadata\":"
             "{\"region\":\"in\",\"account\":\"in\",\"topicName\":\"in\"}}},"
             "{\"detail-type\":\"t\",\"account\":12,\"region\":null,"
             "\"detail\":{\"topicName\":[],\"metadata\":"
             "{\"region\":\"in\",\"topicName\":\"in\"}}},"
             "{\"detail-type\":\"t\",\"account\":\"1\",\"account\":\"2\","
             "\"detail\":7}]") == NGX_OK, "metadata of envelopes");
    ok(meta(0, "region", "out") && !meta(0, "region", "in"), "region wins");
    ok(meta(0, "account", "out") && !meta(0, "account", "in"),
       "account wins");
    ok(meta(0, "topicName", "out") && !meta(0, "topicName", "in"),
       "topicName wins");
    ok(meta(0, "other", "in"), "other names are of detail.metadata");
    ok(!meta(0, "detail-type", "t"), "other envelope fields are not");
    ok(meta(1, "region", "in") && meta(1, "account", "in")
       && meta(1, "topicName", "in"), "metadata where the envelope has none");
    ok(meta(2, "account", "12"), "a number for an account");
    ok(!meta(2, "region", "null") && !meta(2, "region", "in"),
       "a null region wins and equals nothing");
    ok(meta(2, "topicName", "in"), "a topicName of another type does not");
    ok(meta(3, "account", "2") && !meta(3, "account", "1"), "last account");
    ok(event(1).region.data == NULL, "no region of the envelope");
}


static void
limits(void)
{
    ok(split_max("[1,2,3]", 7, 3) == NGX_OK && batch.nevents == 3,
       "as many events as allowed");
    ok(split_max("[1,2,3,4]", 9, 3) == NGX_BUSY, "one more");
    ok(batch.events == NULL && batch.nevents == 0, "nothing allocated");
    ok(split_max("{\"events\":[{},{}]}", 18, 1) == NGX_BUSY,
       "one more in events");
    ok(split_max("{\"id\":1,\"source\":\"s\"}", 21, 0) == NGX_BUSY,
       "a single one too");
    ok(split_max("[]", 2, 0) == NGX_OK, "none of none");
}


#define take(text)  whole_text(text, sizeof(text) - 1)

static void
whole(void)
{
    ngx_int_t   rc;
    ngx_uint_t  i, n;

    static const char  *texts[] = {
        "17", "\"s\"", "null", "[]", " [1] ", "{}", "\t{\"a\":1}\n"
    };

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        ok(whole_text(texts[i], strlen(texts[i])) == NGX_OK
           && batch.nevents == 1 && batch.shape == NGX_EB_BODY_SINGLE
           && event(0).invalid == NULL && event(0).kind == NGX_EB_EVENT_BODY
           && event(0).id.data == NULL && event(0).source.data == NULL
           && event(0).type.data == NULL && event(0).root == 0
           && event(0).raw.len == strlen(texts[i])
           && memcmp(event(0).raw.data, texts[i], event(0).raw.len) == 0,
           "whole: %d", (int) i);
    }

    ok(take("{\"id\":{},\"source\":1,\"region\":\"no\",\"metadata\":"
            "{\"a\":1,\"region\":\"e\\u0075\"},\"detail-type\":\"t\","
            "\"detail\":{\"metadata\":{\"a\":2}}}") == NGX_OK
       && event(0).id.len == 0 && event(0).source.len == 0
       && meta(0, "a", "1") && meta(0, "region", "eu"),
       "whole: only metadata count");
    is(event(0).region, "eu", "whole: region");

    ok(take("{\"metadata\":[],\"region\":\"x\"}") == NGX_OK
       && event(0).metadata == NGX_EB_JSON_NONE && !meta(0, "region", "x"),
       "whole: metadata is no object");
    ok(take("[{\"metadata\":{\"a\":1}}]") == NGX_OK && !meta(0, "a", "1"),
       "whole: no metadata in an array");

    for (n = 0, rc = NGX_ERROR; n < 10 && rc == NGX_ERROR; n++) {
        shim_allocs = (ngx_int_t) n;
        rc = take("{\"metadata\":{\"region\":\"\\u0061\"}}");
        shim_allocs = -1;
    }

    ok(rc == NGX_OK && n == 3, "whole: no memory");
}


static ngx_int_t
whole_text(const char *text, size_t len)
{
    ngx_eb_json_error_t  err;

    ngx_memcpy(text_copy, text, len);

    if (ngx_eb_json_parse(parser, text_copy, len, 64, &json, &err) != NGX_OK) {
        return NGX_ABORT;
    }

    return ngx_eb_batch_whole(&json, pool, &batch);
}


static void
no_memory(void)
{
    ngx_int_t   rc;
    ngx_uint_t  good, n;

#define ESC(name)  "\"" name "\":\"\\u0061b\","

    static const char  text[] =
        "[{" ESC("id") ESC("source") ESC("detail-type") ESC("replay-name")
        ESC("region") ESC("time") "\"detail\":{" ESC("timestamp")
        "\"eventBody\":{" ESC("eventTime") "\"x\":1}}},"
        "{" ESC("id") ESC("source") ESC("type") ESC("timestamp") ESC("time")
        "\"metadata\":{" ESC("region") "\"x\":1}},"
        "{\"SystemMetadata\":{" ESC("aws:EventId") "\"x\":1},"
        "\"Data\":{" ESC("id") ESC("source") "\"x\":1}}]";

    good = 1;
    rc = NGX_ERROR;

    for (n = 0; n < 100; n++) {
        shim_allocs = n;
        rc = split_max(text, sizeof(text) - 1, 10);
        shim_allocs = -1;

        if (rc != NGX_ERROR) {
            break;
        }

        good &= (batch.nevents == 0);
    }

    ok(good && n > 15 && rc == NGX_OK && batch.nevents == 3,
       "memory that runs out anywhere is an error");
    is(event(2).id, "ab", "and the next try is good");

    shim_allocs = 0;
    rc = split("{\"id\":1,\"source\":\"s\"}");
    shim_allocs = -1;

    ok(rc == NGX_ERROR, "no memory for a single event");
}


static void
fixtures(void)
{
    DIR            *d;
    char           *data, path[1024];
    ngx_uint_t      n;
    struct dirent  *de;

    data = getenv("EB_SHARED_DATA");

    if (data == NULL) {
        ok(1, "files of events # SKIP EB_SHARED_DATA is not set");
        return;
    }

    snprintf(path, sizeof(path), "%s/events", data);

    d = opendir(path);
    if (d == NULL) {
        ok(0, "directory of events");
        return;
    }

    n = 0;

    while ((de = readdir(d)) != NULL) {
        if (strlen(de->d_name) < 6
            || strcmp(de->d_name + strlen(de->d_name) - 5, ".json") != 0)
        {
            continue;
        }

        fixture(path, de->d_name);
        n++;
    }

    (void) closedir(d);

    ok(n > 0, "there are files of events");
}


static void
fixture(const char *dir, const char *name)
{
    FILE            *f;
    char             path[2048];
    size_t           len, n;
    ngx_str_t        text;
    ngx_uint_t       i;
    ngx_eb_event_t   alone, *ev;

    static char  one[256 * 1024], body[sizeof(one) * 3];

    static struct {
        const char  *name;
        int64_t      time;
    } times_of[] = {
        { "genesys-OAuthClientDelete.json", 1622454565000 },
        { "genesys-UserPresenceChange.json", 1624633912000 },
        { "genesys-aws-event-bridge-conversation-end-event.json",
          1649237504949 },
        { NULL, 0 }
    };

    snprintf(path, sizeof(path), "%s/%s", dir, name);

    f = fopen(path, "rb");
    if (f == NULL) {
        ok(0, "%s", name);
        return;
    }

    len = fread(one, 1, sizeof(one), f);
    (void) fclose(f);

    while (len && strchr(" \n\r\t", one[len - 1])) {
        len--;
    }

    ok(split_max(one, len, 1) == NGX_OK && batch.nevents == 1
       && batch.shape == NGX_EB_BODY_SINGLE, "%s: alone", name);

    alone = batch.events[0];

    ok(alone.kind == NGX_EB_EVENT_AWS && alone.invalid == NULL
       && alone.id.len && alone.source.len && alone.type.len
       && alone.region.len && alone.time != NGX_EB_TIME_UNKNOWN,
       "%s: has all fields", name);
    ok(alone.raw.len == len && memcmp(alone.raw.data, one, len) == 0,
       "%s: is the body", name);

    if (strncmp(name, "genesys-", 8) == 0) {
        ok(alone.topic != NGX_EB_JSON_NONE
           && alone.metadata != NGX_EB_JSON_NONE,
           "%s: has topicName and metadata", name);
    }

    for (i = 0; times_of[i].name; i++) {
        if (strcmp(name, times_of[i].name) == 0) {
            ok(alone.time == times_of[i].time, "%s: its eventTime", name);
        }
    }

    n = sprintf(body, "[ %.*s , %.*s ]", (int) len, one, (int) len, one);

    ok(split_max(body, n, 2) == NGX_OK && batch.nevents == 2
       && batch.shape == NGX_EB_BODY_ARRAY, "%s: in an array", name);

    ev = &batch.events[1];

    ok(ev->raw.len == len && memcmp(ev->raw.data, one, len) == 0
       && ev->id.len == alone.id.len && ev->time == alone.time
       && ev->source.len == alone.source.len && ev->kind == alone.kind,
       "%s: the same", name);

    text.data = text_copy;
    text.len = n;

    ok(within(&text, &ev->raw) && within(&ev->raw, &ev->id)
       && within(&ev->raw, &ev->source) && within(&ev->raw, &ev->type)
       && within(&ev->raw, &ev->region), "%s: slices of the text", name);

    n = sprintf(body, "{\"events\":[%.*s]}", (int) len, one);

    ok(split_max(body, n, 1) == NGX_OK && batch.nevents == 1
       && batch.shape == NGX_EB_BODY_EVENTS && !batch.siblings,
       "%s: in events", name);
    ok(batch.events[0].raw.len == len
       && memcmp(batch.events[0].raw.data, one, len) == 0,
       "%s: the same in events", name);
}


int
main(void)
{
    pool = ngx_create_pool(4096, &shim_log);
    parser = ngx_eb_json_parser_create();

    if (pool == NULL || parser == NULL) {
        return 1;
    }

    shapes();
    classes();
    identity();
    names();
    times();
    wrapped();
    metadata();
    limits();
    whole();
    no_memory();
    fixtures();

    ngx_eb_json_parser_destroy(parser);
    ngx_destroy_pool(pool);

    ok(shim_blocks == 0, "nothing is left");

    return done_testing();
}
