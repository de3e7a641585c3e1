
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * PutEvents: what is a request and what an entry, the envelopes, their ids,
 * and the answer.
 */

/* sources: src/wire/ngx_eb_putevents.c src/wire/ngx_eb_event.c */
/* sources: src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c */
/* sources: src/wire/ngx_eb_time.c src/wire/ngx_eb_out.c */
/* libs: -lsimdjson -lcrypto */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_time.h"
#include "ngx_eb_putevents.h"


#define MAX_DEPTH  16

#define ENTRY      "\"Source\":\"s\",\"DetailType\":\"t\""
#define GOOD       "{" ENTRY ",\"Detail\":\"{}\"}"
#define DETAIL(s)  "{" ENTRY ",\"Detail\":\"" s "\"}"

/* of the entry GOOD: the id depends on the facts */
#define HEAD       "{\"version\":\"0\",\"id\":\""
#define BODY       "\",\"detail-type\":\"t\",\"source\":\"s\","               \
                   "\"account\":\"000000000000\","                            \
                   "\"time\":\"2015-08-30T12:36:00Z\","                       \
                   "\"region\":\"us-east-1\",\"resources\":[],\"detail\":{}}"


typedef struct {
    const char               *entry;
    const char               *code;         /* NULL: it is an event */
} case_t;


static ngx_int_t read_text(const char *text, size_t len);
static ngx_int_t read_entries(const char *first, const char *second);
static ngx_int_t write_text(void);
static ngx_str_t text(const char *s);
static u_char *repeated(const char *before, u_char ch, size_t n,
    const char *after, size_t *len);
static void requests(void);
static void entries(void);
static void sizes(void);
static void depths(void);
static void envelopes(void);
static void escapes(void);
static void ids(void);
static void answers(void);
static void memory(void);


static ngx_pool_t            *pool;
static ngx_eb_json_parser_t  *parser;
static ngx_eb_put_t           put;
static ngx_eb_put_facts_t     facts;
static ngx_str_t              out;


static const case_t  cases[] = {

    { GOOD, NULL },
    { DETAIL("{}"), NULL },
    { DETAIL(" {\\\"a\\\":1} "), NULL },
    { "{" ENTRY ",\"Detail\":\"{}\",\"Time\":1}", NULL },
    { "{" ENTRY ",\"Detail\":\"{}\",\"Time\":null,\"Resources\":null}", NULL },
    { "{" ENTRY ",\"Detail\":\"{}\",\"Time\":\"2015-08-30T12:36:00Z\"}",
      NULL },
    { "{" ENTRY ",\"Detail\":\"{}\",\"Unknown\":[{}]}", NULL },
    { "{\"Source\":\"aws\",\"DetailType\":\"t\",\"Detail\":\"{}\"}", NULL },
    { "{\"Source\":\"awsome.x\",\"DetailType\":\"t\",\"Detail\":\"{}\"}",
      NULL },
    { "{}", "InvalidArgument" },
    { "{" ENTRY "}", "InvalidArgument" },
    { "{\"Source\":\"s\",\"Detail\":\"{}\"}", "InvalidArgument" },
    { "{\"DetailType\":\"t\",\"Detail\":\"{}\"}", "InvalidArgument" },
    { "{\"Source\":\"\",\"DetailType\":\"t\",\"Detail\":\"{}\"}",
      "InvalidArgument" },
    { "{" ENTRY ",\"Detail\":null}", "InvalidArgument" },
    { "{" ENTRY ",\"Detail\":\"{}\",\"Time\":-1}", "InvalidArgument" },
    { "{" ENTRY ",\"Detail\":\"{}\",\"Time\":\"x\"}", "InvalidArgument" },
    { "{" ENTRY ",\"Detail\":\"{}\",\"Time\":\"\"}", "InvalidArgument" },
    { "{\"Source\":\"aws.s\",\"DetailType\":\"t\",\"Detail\":\"{}\"}",
      "NotAuthorizedForSourceException" },
    { "{\"Source\":\"\\u0061ws.s\",\"DetailType\":\"t\",\"Detail\":\"{}\"}",
      "NotAuthorizedForSourceException" },
    { DETAIL(""), "MalformedDetail" },
    { DETAIL("x"), "MalformedDetail" },
    { DETAIL("[]"), "MalformedDetail" },
    { DETAIL("null"), "MalformedDetail" },
    { DETAIL("{"), "MalformedDetail" },
    { DETAIL("{}}"), "MalformedDetail" },
    { DETAIL("{}},{"), "MalformedDetail" },
    { DETAIL("\\ud800{}"), "MalformedDetail" },
    { DETAIL("{\\\"a\\\":\\\"\\ud800\\\"}"), "MalformedDetail" },
    { DETAIL("{}\\u0000"), "MalformedDetail" },
};


int
main(void)
{
    pool = ngx_create_pool(4096, &shim_log);
    parser = ngx_eb_json_parser_create();

    if (pool == NULL || parser == NULL) {
        return 1;
    }

    facts.key_id = text("AKIDEXAMPLE");
    facts.invocation = text("6e4a5b37-dd0e-4be0-8b0a-0e2ab1b1b1e5");
    facts.region = text("us-east-1");
    facts.now = 1440938160;

    requests();
    entries();
    sizes();
    depths();
    envelopes();
    escapes();
    ids();
    answers();
    memory();

    ngx_eb_json_parser_destroy(parser);
    ngx_destroy_pool(pool);

    is_int(shim_blocks, 0, "nothing is left");

    return done_testing();
}


/* from a block of its own, which ends where the text does */

static ngx_int_t
read_text(const char *s, size_t len)
{
    ngx_str_t  body;

    body.len = len;
    body.data = ngx_pnalloc(pool, len ? len : 1);

    if (body.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(body.data, s, len);

    return ngx_eb_put_read(parser, pool, &body, MAX_DEPTH, &put);
}


static ngx_int_t
read_entries(const char *first, const char *second)
{
    char  buf[4096];

    (void) snprintf(buf, sizeof(buf), "{\"Entries\":[%s%s%s]}", first,
                    second ? "," : "", second ? second : "");

    return read_text(buf, strlen(buf));
}


static ngx_int_t
write_text(void)
{
    return ngx_eb_put_write(&put, &facts, pool, &out);
}


static ngx_str_t
text(const char *s)
{
    ngx_str_t  value;

    value.data = (u_char *) s;
    value.len = strlen(s);

    return value;
}


static u_char *
repeated(const char *before, u_char ch, size_t n, const char *after,
    size_t *len)
{
    u_char  *p;

    *len = strlen(before) + n + strlen(after);

    p = ngx_pnalloc(pool, *len);
    if (p == NULL) {
        abort();
    }

    ngx_memcpy(p, before, strlen(before));
    ngx_memset(p + strlen(before), ch, n);
    ngx_memcpy(p + strlen(before) + n, after, strlen(after));

    return p;
}


static void
requests(void)
{
    ngx_str_t    s;
    ngx_uint_t   i;
    const char  *type;

    static const char  *bad[] = {
        "", "x", "{", "[]", "1", "null", "[" GOOD "]",
        "{\"Entries\":{}}", "{\"Entries\":1}", "{\"Entries\":[1]}",
        "{\"Entries\":[[]]}", "{\"Entries\":[" GOOD ",null]}",
        "{\"Entries\":[{\"Source\":1}]}", "{\"Entries\":[{\"Detail\":{}}]}",
        "{\"Entries\":[{\"Resources\":\"x\"}]}",
        "{\"Entries\":[{\"Resources\":[1]}]}",
        "{\"Entries\":[{\"Time\":true}]}", "{\"Entries\":[{\"Time\":{}}]}",
        "{\"Entries\":[{\"EventBusName\":[]}]}",
        "{\"Entries\":[{\"TraceHeader\":1}]}",
        "{}", "{\"Entries\":null}", "{\"Entries\":[]}", "{\"entries\":[1]}",
        "{\"Entries\":[" GOOD "],\"Entries\":[]}"
    };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {

        is_int(read_text(bad[i], strlen(bad[i])), NGX_DECLINED, "%s", bad[i]);

        type = (i < 20) ? "SerializationException" : "ValidationException";
        s = text(put.error ? put.error : "none");

        is_str(&s, type, "%s: the exception", bad[i]);
        ok(put.nentries == 0 && put.message != NULL, "%s: no entries", bad[i]);
    }

    is_int(read_entries(GOOD "," GOOD "," GOOD "," GOOD "," GOOD,
                        GOOD "," GOOD "," GOOD "," GOOD "," GOOD),
           NGX_OK, "10 entries");
    is_int(put.nentries, 10, "10 entries: all of them");

    is_int(read_entries(GOOD "," GOOD "," GOOD "," GOOD "," GOOD "," GOOD,
                        GOOD "," GOOD "," GOOD "," GOOD "," GOOD),
           NGX_DECLINED, "11 entries");
    s = text(put.error);
    is_str(&s, "ValidationException", "11 entries: the exception");
}


static void
entries(void)
{
    ngx_str_t   s;
    ngx_uint_t  i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {

        if (!is_int(read_entries(cases[i].entry, GOOD), NGX_OK, "entry %s",
                    cases[i].entry))
        {
            continue;
        }

        s = text(put.entries[0].code ? put.entries[0].code : "none");

        is_str(&s, cases[i].code ? cases[i].code : "none", "entry %s: code",
               cases[i].entry);
        ok((put.entries[0].code == NULL) == (put.entries[0].message == NULL),
           "entry %s: message", cases[i].entry);
        ok(put.entries[1].code == NULL, "entry %s: its neighbor is good",
           cases[i].entry);
    }
}


/* as AWS counts: texts, and 14 bytes for a time */

static void
sizes(void)
{
    u_char  *p;
    size_t   len, rest;

    rest = NGX_EB_PUT_SIZE - sizeof("st") + 1 - sizeof("{\"a\":\"\"}") + 1;

    p = repeated("{\"Entries\":[{" ENTRY ",\"Detail\":\"{\\\"a\\\":\\\"", 'x',
                 rest - 1, "\\\"}\"}]}", &len);
    is_int(read_text((char *) p, len), NGX_OK, "a byte less than the limit");

    p = repeated("{\"Entries\":[{" ENTRY ",\"Detail\":\"{\\\"a\\\":\\\"", 'x',
                 rest, "\\\"}\"}]}", &len);
    is_int(read_text((char *) p, len), NGX_DECLINED, "the limit");

    p = repeated("{\"Entries\":[{" ENTRY ",\"Time\":1,\"Detail\":"
                 "\"{\\\"a\\\":\\\"", 'x', rest - 15, "\\\"}\"}]}", &len);
    is_int(read_text((char *) p, len), NGX_OK, "with a time");

    p = repeated("{\"Entries\":[{" ENTRY ",\"Time\":1,\"Detail\":"
                 "\"{\\\"a\\\":\\\"", 'x', rest - 14, "\\\"}\"}]}", &len);
    is_int(read_text((char *) p, len), NGX_DECLINED, "with a time, the limit");

    p = repeated("{\"Entries\":[{" ENTRY ",\"Detail\":\"{}\",\"Resources\":[\"",
                 'x', NGX_EB_PUT_SIZE - 5, "\"]}]}", &len);
    is_int(read_text((char *) p, len), NGX_OK, "resources");

    p = repeated("{\"Entries\":[{" ENTRY ",\"Detail\":\"{}\",\"Resources\":[\"",
                 'x', NGX_EB_PUT_SIZE - 4, "\"]}]}", &len);
    is_int(read_text((char *) p, len), NGX_DECLINED, "resources, the limit");

    /* white space is not counted, nor what nobody reads */

    p = repeated("{\"Entries\":[{" ENTRY ",\"Detail\":\"{}\"", ' ',
                 2 * NGX_EB_PUT_SIZE, "}]}", &len);
    is_int(read_text((char *) p, len), NGX_OK, "white space");

    p = repeated("{\"Entries\":[{\"Source\":\"s\",\"Detail\":\"{}\","
                 "\"DetailType\":\"", 'x', NGX_EB_PUT_TYPE, "\"}]}", &len);
    ok(read_text((char *) p, len) == NGX_OK && put.entries[0].code == NULL,
       "the longest type");

    p = repeated("{\"Entries\":[{\"Source\":\"s\",\"Detail\":\"{}\","
                 "\"DetailType\":\"", 'x', NGX_EB_PUT_TYPE + 1, "\"}]}", &len);
    ok(read_text((char *) p, len) == NGX_OK && put.entries[0].code,
       "a longer one");
}


/* an envelope stands in the array, and its detail in the envelope */

static void
depths(void)
{
    char                  buf[1024], *p;
    ngx_uint_t            n, i;
    ngx_eb_json_t         json;
    ngx_eb_json_error_t   err;

    for (n = MAX_DEPTH - 3; n <= MAX_DEPTH; n++) {
        p = buf;

        p += sprintf(p, "{" ENTRY ",\"Detail\":\"");

        for (i = 1; i < n; i++) {
            p += sprintf(p, "{\\\"a\\\":");
        }

        p += sprintf(p, "{}");

        for (i = 1; i < n; i++) {
            p += sprintf(p, "}");
        }

        (void) sprintf(p, "\"}");

        is_int(read_entries(buf, NULL), NGX_OK, "depth %d", (int) n);

        if (n > MAX_DEPTH - 2) {
            ok(put.entries[0].code != NULL, "depth %d: too deep", (int) n);
            continue;
        }

        ok(put.entries[0].code == NULL, "depth %d: not too deep", (int) n);
        is_int(write_text(), NGX_OK, "depth %d: written", (int) n);
        is_int(ngx_eb_json_parse(parser, out.data, out.len, MAX_DEPTH, &json,
                                 &err),
               NGX_OK, "depth %d: can be read", (int) n);
    }
}


static void
envelopes(void)
{
    is_int(read_entries(GOOD, NULL), NGX_OK, "an entry");
    is_int(write_text(), NGX_OK, "an entry: written");

    ok(out.len == 1 + sizeof(HEAD) - 1 + NGX_EB_PUT_ID + sizeof(BODY) - 1 + 1
       && memcmp(out.data, "[" HEAD, sizeof(HEAD)) == 0
       && memcmp(out.data + sizeof(HEAD), put.entries[0].id, NGX_EB_PUT_ID)
          == 0
       && memcmp(out.data + sizeof(HEAD) + NGX_EB_PUT_ID, BODY "]",
                 sizeof(BODY)) == 0,
       "an entry: the envelope");

    is_int(read_entries("{}", NULL), NGX_OK, "no event");
    is_int(write_text(), NGX_OK, "no event: written");
    is_str(&out, "[]", "no event: none");

    is_int(read_entries(GOOD ",{}", GOOD), NGX_OK, "two of three");
    is_int(write_text(), NGX_OK, "two of three: written");
    is_int(out.len, 2 * (sizeof(HEAD) - 1 + NGX_EB_PUT_ID + sizeof(BODY) - 1)
                    + 3, "two of three: a comma between them");

    is_int(read_entries("{" ENTRY ",\"Detail\":\"\\n{\\\"a\\\" : 1.0}\\t\","
                        "\"Time\":99999999999.9,"
                        "\"Resources\":[ \"\\u0041\" ]}", NULL),
           NGX_OK, "bytes");
    is_int(write_text(), NGX_OK, "bytes: written");

    out.data += sizeof(HEAD) + NGX_EB_PUT_ID;
    out.len -= sizeof(HEAD) + NGX_EB_PUT_ID;

    is_str(&out, "\",\"detail-type\":\"t\",\"source\":\"s\","
                 "\"account\":\"000000000000\","
                 "\"time\":\"5138-11-16T09:46:39Z\","
                 "\"region\":\"us-east-1\",\"resources\":[ \"\\u0041\" ],"
                 "\"detail\":{\"a\" : 1.0}}]", "bytes: kept as they came");
}


/* what takes the most room when it is written */

static void
escapes(void)
{
    u_char               *p;
    size_t                len;
    ngx_eb_json_t         json;
    ngx_eb_json_error_t   err;

    p = repeated("{\"Entries\":[{\"DetailType\":\"t\",\"Detail\":\"{}\","
                 "\"Source\":\"", 0x7f, 100000, "\"}]}", &len);

    is_int(read_text((char *) p, len), NGX_OK, "escapes");
    is_int(write_text(), NGX_OK, "escapes: written");
    is_int(ngx_eb_json_parse(parser, out.data, out.len, MAX_DEPTH, &json,
                             &err),
           NGX_OK, "escapes: can be read");

    is_int(read_entries("{\"Source\":\"\\ud800\\u0000\\\"\\\\\","
                        "\"DetailType\":\"t\",\"Detail\":\"{}\"}", NULL),
           NGX_OK, "half a character");
    is_int(write_text(), NGX_OK, "half a character: written");
    is_int(ngx_eb_json_parse(parser, out.data, out.len, MAX_DEPTH, &json,
                             &err),
           NGX_OK, "half a character: can be read");
}


static void
ids(void)
{
    u_char      id[NGX_EB_PUT_ID], *p;
    ngx_str_t   saved;
    ngx_uint_t  i;

    (void) read_entries(GOOD, GOOD);
    (void) write_text();

    ngx_memcpy(id, put.entries[0].id, NGX_EB_PUT_ID);

    for (i = 0, p = id; i < NGX_EB_PUT_ID; i++, p++) {

        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (*p != '-') {
                break;
            }

        } else if (!((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f'))) {
            break;
        }
    }

    ok(i == NGX_EB_PUT_ID && id[14] == '8' && strchr("89ab", id[19]),
       "id: a UUID of version 8");
    ok(memcmp(id, put.entries[1].id, NGX_EB_PUT_ID) != 0,
       "id: another one in another place");

    (void) read_entries(GOOD, "{}");
    facts.now++;
    (void) write_text();
    facts.now--;
    ok(memcmp(id, put.entries[0].id, NGX_EB_PUT_ID) == 0,
       "id: later the same, whatever its neighbors are");

    (void) read_entries(DETAIL(" {}"), GOOD);
    (void) write_text();
    ok(memcmp(id, put.entries[0].id, NGX_EB_PUT_ID) != 0,
       "id: another one of another entry");

    (void) read_entries(GOOD, NULL);

    saved = facts.key_id;
    facts.key_id.len--;
    (void) write_text();
    facts.key_id = saved;
    ok(memcmp(id, put.entries[0].id, NGX_EB_PUT_ID) != 0,
       "id: another one for another access key");

    saved = facts.invocation;
    facts.invocation.len--;
    (void) write_text();
    facts.invocation = saved;
    ok(memcmp(id, put.entries[0].id, NGX_EB_PUT_ID) != 0,
       "id: another one for another invocation");

    (void) write_text();
    ok(memcmp(id, put.entries[0].id, NGX_EB_PUT_ID) == 0,
       "id: the same again");
}


static void
answers(void)
{
    u_char        buf[NGX_EB_PUT_ANSWER];
    ngx_str_t     s;
    ngx_uint_t    i;
    ngx_eb_out_t  o;

    static char  message[201];

    (void) read_entries(GOOD, "{}");
    (void) write_text();

    ngx_memset(put.entries[0].id, 'a', NGX_EB_PUT_ID);

    ngx_eb_out_init(&o, buf, sizeof(buf));
    ngx_eb_put_answer(&put, &o);

    s.data = buf;
    s.len = o.pos - buf;

    is_str(&s, "{\"FailedEntryCount\":1,\"Entries\":[{\"EventId\":"
               "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"},{\"ErrorCode\":"
               "\"InvalidArgument\",\"ErrorMessage\":\"Parameter Source is "
               "not valid. Reason: Source is a required argument.\"}]}\n",
           "answer");

    /* the longest one */

    (void) read_entries(GOOD "," GOOD "," GOOD "," GOOD "," GOOD,
                        GOOD "," GOOD "," GOOD "," GOOD "," GOOD);
    (void) write_text();

    ngx_memset(message, 'x', sizeof(message) - 1);

    for (i = 0; i < put.nentries; i++) {
        put.entries[i].code = "NotAuthorizedForSourceException";
        put.entries[i].message = message;
    }

    ngx_eb_out_init(&o, buf, sizeof(buf));
    ngx_eb_put_answer(&put, &o);

    ok(!o.truncated, "answer: there is room for the longest one");
}


static void
memory(void)
{
    ngx_int_t   rc;
    ngx_uint_t  n, failed;

    static const char  *entry = "{\"Source\":\"\\u0073\","
        "\"DetailType\":\"\\u0074\",\"Detail\":\"{\\u007d\","
        "\"Resources\":[\"\\u0074\"]}";

    failed = 0;

    for (n = 0; n < 100; n++) {
        shim_allocs = n;

        rc = read_entries(entry, entry);

        if (rc == NGX_OK) {
            rc = write_text();
        }

        shim_allocs = -1;

        if (rc == NGX_OK) {
            break;
        }

        failed += (rc == NGX_ERROR);
    }

    ok(n > 8 && n < 100 && failed == n, "no memory: %d times", (int) n);
    ok(rc == NGX_OK && put.entries[1].code == NULL, "enough memory");
}
