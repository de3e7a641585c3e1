
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * JSON: what is accepted, what is refused and where, and the index.
 */

/* sources: src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c */
/* libs: -lsimdjson */


#include <ngx_config.h>
#include <ngx_core.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include "shim.h"
#include "ngx_eb_json.h"
#include "json_oracle.h"


#define DEPTH      64
#define MUTATIONS  250000
#define LONGEST    4096

#define GOOD(text)                                                           \
    { text, sizeof(text) - 1, NGX_EB_JSON_OK, 0 }
#define BAD(code, offset, text)                                              \
    { text, sizeof(text) - 1, NGX_EB_JSON_E_ ## code, offset }

#define text_is(str, expected)                                               \
    ((str)->len == sizeof(expected) - 1                                      \
     && memcmp((str)->data, expected, sizeof(expected) - 1) == 0)


typedef struct {
    const char               *text;
    size_t                    len;
    ngx_eb_json_code_e        code;
    size_t                    offset;
} text_t;


static void table(void);
static void padded(void);
static void prefixes(void);
static void junk(void);
static void depths(void);
static void bounds(void);
static void sizes(void);
static void strings(void);
static void string(const char *text, size_t tlen, const char *expected,
    size_t elen);
static void surrogates(void);
static void members(void);
static void walks(void);
static void codes(void);
static void mutations(ngx_uint_t n);
static size_t mutate(u_char *text, size_t len);
static uint32_t rnd(uint32_t n);
static void portable(void);
static const char *show(const u_char *text, size_t len);
static ngx_int_t parse(const char *text, size_t len, ngx_uint_t depth);
static ngx_uint_t gives(const u_char *text, size_t len,
    ngx_eb_json_code_e code, size_t offset);


static ngx_pool_t            *pool;
static ngx_eb_json_parser_t  *parser;
static ngx_eb_json_t          json;
static ngx_eb_json_error_t    err;
static u_char                *held;
static uint32_t               seed = 2463534242u;


static const text_t  texts[] = {
    GOOD("null"),
    GOOD("true"),
    GOOD("false"),
    GOOD("0"),
    GOOD("-0"),
    GOOD("1"),
    GOOD("-1"),
    GOOD("10"),
    GOOD("1234567890"),
    GOOD("0.0"),
    GOOD("-0.0"),
    GOOD("1.5"),
    GOOD("0.1"),
    GOOD("1e5"),
    GOOD("1E5"),
    GOOD("1e+5"),
    GOOD("1e-5"),
    GOOD("1.25e-10"),
    GOOD("0e0"),
    GOOD("0E+0"),
    GOOD("-1e400"),
    GOOD("1e400"),
    GOOD("1E-99999"),
    GOOD("123456789012345678901234567890"),
    GOOD("0.3333333333333333333333333333333333333333"),
    GOOD("-999999999999999999999999999999.5e+007"),
    GOOD("\"\""),
    GOOD("\"a\""),
    GOOD("\"\\\"\""),
    GOOD("\"\\\\\""),
    GOOD("\"\\/\""),
    GOOD("\"\\b\\f\\n\\r\\t\""),
    GOOD("\"\\u0000\""),
    GOOD("\"\\uFFFF\""),
    GOOD("\"\\uabCD\""),
    GOOD("\"\\u00e9\""),
    GOOD("\"\\ud83d\\ude00\""),
    GOOD("\"\\ud800\""),
    GOOD("\"\\udc00\""),
    GOOD("\"\\ud800\\ud800\""),
    GOOD("\"\\udc00\\ud800\""),
    GOOD("\"\\ud800x\""),
    GOOD("\"\\ud800\\n\""),
    GOOD("\"\\\\\\\"\""),
    GOOD("\"\\\\\\\\\\\\\""),
    GOOD("\"\\\\u12\""),
    GOOD("\"/\""),
    GOOD("\"\177\""),
    GOOD("\"\302\200\""),
    GOOD("\"\337\277\""),
    GOOD("\"\340\240\200\""),
    GOOD("\"\355\237\277\""),
    GOOD("\"\356\200\200\""),
    GOOD("\"\357\277\277\""),
    GOOD("\"\360\220\200\200\""),
    GOOD("\"\364\217\277\277\""),
    GOOD("\"\357\273\277\""),
    GOOD("\"\342\200\250\""),
    GOOD("[]"),
    GOOD("{}"),
    GOOD("[ ]"),
    GOOD("{ }"),
    GOOD("[1]"),
    GOOD("[1,2]"),
    GOOD("[ 1 , 2 ]"),
    GOOD("[[]]"),
    GOOD("[{}]"),
    GOOD("[[],[]]"),
    GOOD("[{},{}]"),
    GOOD("[null,true,false,0,\"\"]"),
    GOOD("[[[[[[]]]]]]"),
    GOOD("{\"a\":1}"),
    GOOD("{\"a\":1,\"b\":2}"),
    GOOD("{\"a\":1,\"a\":1}"),
    GOOD("{\"\":\"\"}"),
    GOOD("{\"\":{\"\":{}}}"),
    GOOD("{\"\\u0061\":\"\\u0062\"}"),
    GOOD("{\"a\":[]}"),
    GOOD("{\"a\":[1,{\"b\":null}]}"),
    GOOD("{ \"a\" : 1 , \"b\" : [ ] }"),
    GOOD("\011\012\015 [\0111\012,\0152 ]\012"),
    GOOD("[1]\012"),
    GOOD("\0121 "),
    GOOD(" \"a\" "),
    GOOD("{\"a,b\":\"[{:}]\"}"),
    GOOD("[\"\\\"]\"]"),
    GOOD("[\"\\\\\",1]"),
    GOOD("[0,-0,0.0]"),
    GOOD("{\"a\":{\"a\":{\"a\":1}}}"),
    GOOD("[1e1,1E1,1e+1]"),
    GOOD("[\"a\",\"b\",\"c\"]"),
    GOOD("[true]"),
    GOOD("[ \"a\" ]"),

    BAD(EMPTY, 0, ""),
    BAD(EMPTY, 1, " "),
    BAD(EMPTY, 4, "\011\012\015 "),
    BAD(EMPTY, 3, "   "),

    BAD(TRUNCATED, 1, "["),
    BAD(TRUNCATED, 1, "{"),
    BAD(TRUNCATED, 2, "[1"),
    BAD(TRUNCATED, 3, "[1,"),
    BAD(TRUNCATED, 3, "[[]"),
    BAD(TRUNCATED, 4, "{\"a\""),
    BAD(TRUNCATED, 5, "{\"a\":"),
    BAD(TRUNCATED, 6, "{\"a\":1"),
    BAD(TRUNCATED, 7, "{\"a\":1,"),
    BAD(TRUNCATED, 7, "{\"a\":{}"),
    BAD(TRUNCATED, 3, "[[["),
    BAD(TRUNCATED, 2, "[{"),
    BAD(TRUNCATED, 6, "{\"a\":["),
    BAD(TRUNCATED, 2, "[ "),
    BAD(TRUNCATED, 5, "{\"a\" "),
    BAD(TRUNCATED, 1, "-"),
    BAD(TRUNCATED, 2, "1."),
    BAD(TRUNCATED, 2, "1e"),
    BAD(TRUNCATED, 3, "1e+"),
    BAD(TRUNCATED, 3, "-0."),
    BAD(TRUNCATED, 3, "0E-"),
    BAD(TRUNCATED, 1, "t"),
    BAD(TRUNCATED, 3, "tru"),
    BAD(TRUNCATED, 1, "f"),
    BAD(TRUNCATED, 4, "fals"),
    BAD(TRUNCATED, 1, "n"),
    BAD(TRUNCATED, 3, "nul"),
    BAD(TRUNCATED, 2, "[t"),
    BAD(TRUNCATED, 4, "[nul"),
    BAD(TRUNCATED, 3, "[1."),
    BAD(TRUNCATED, 2, "[-"),
    BAD(TRUNCATED, 3, "[1 "),
    BAD(TRUNCATED, 3, "[{}"),

    BAD(STRING, 1, "\""),
    BAD(STRING, 2, "\"a"),
    BAD(STRING, 3, "\"\\\""),
    BAD(STRING, 2, "\"\\"),
    BAD(STRING, 3, "\"\\u"),
    BAD(STRING, 5, "\"\\u12"),
    BAD(STRING, 6, "\"\\u123"),
    BAD(STRING, 3, "[\"a"),
    BAD(STRING, 3, "{\"a"),
    BAD(STRING, 7, "{\"a\":\"b"),
    BAD(STRING, 3, "\"\342\202"),
    BAD(STRING, 4, "\"\360\237\230"),
    BAD(STRING, 2, "\"\303"),
    BAD(STRING, 1, "\"\012\""),
    BAD(STRING, 1, "\"\011\""),
    BAD(STRING, 1, "\"\000\""),
    BAD(STRING, 1, "\"\037\""),
    BAD(STRING, 2, "\"a\015\""),
    BAD(STRING, 3, "[\"a\012b\"]"),
    BAD(STRING, 2, "{\"\001\":1}"),
    BAD(STRING, 1, "\"\000"),
    BAD(STRING, 8, "[\"a\\\",1]"),

    BAD(ESCAPE, 2, "\"\\a\""),
    BAD(ESCAPE, 2, "\"\\x\""),
    BAD(ESCAPE, 2, "\"\\ \""),
    BAD(ESCAPE, 2, "\"\\0\""),
    BAD(ESCAPE, 2, "\"\\U0041\""),
    BAD(ESCAPE, 2, "\"\\'\""),
    BAD(ESCAPE, 5, "\"\\u00G0\""),
    BAD(ESCAPE, 3, "\"\\u 123\""),
    BAD(ESCAPE, 5, "\"\\u12\""),
    BAD(ESCAPE, 6, "\"\\u123\""),
    BAD(ESCAPE, 11, "\"\\uD83D\\u12\""),
    BAD(ESCAPE, 3, "\"\\u-123\""),
    BAD(ESCAPE, 3, "[\"\\v\"]"),
    BAD(ESCAPE, 3, "{\"\\e\":1}"),
    BAD(ESCAPE, 2, "\"\\\012\""),
    BAD(ESCAPE, 2, "\"\\\000\""),
    BAD(ESCAPE, 4, "\"\\\\\\z\""),
    BAD(ESCAPE, 2, "\"\\B\""),
    BAD(ESCAPE, 2, "\"\\\303\251\""),

    BAD(UTF8, 2, "\"\\\377\""),
    BAD(UTF8, 3, "\"\\u\377\""),
    BAD(UTF8, 1, "\"\200\""),
    BAD(UTF8, 1, "\"\277\""),
    BAD(UTF8, 1, "\"\300\200\""),
    BAD(UTF8, 1, "\"\301\277\""),
    BAD(UTF8, 1, "\"\302\""),
    BAD(UTF8, 1, "\"\302\177\""),
    BAD(UTF8, 1, "\"\302\300\""),
    BAD(UTF8, 1, "\"\340\200\200\""),
    BAD(UTF8, 1, "\"\340\237\277\""),
    BAD(UTF8, 1, "\"\355\240\200\""),
    BAD(UTF8, 1, "\"\355\277\277\""),
    BAD(UTF8, 1, "\"\342\202\""),
    BAD(UTF8, 1, "\"\342(\241\""),
    BAD(UTF8, 1, "\"\360\200\200\200\""),
    BAD(UTF8, 1, "\"\360\217\277\277\""),
    BAD(UTF8, 1, "\"\364\220\200\200\""),
    BAD(UTF8, 1, "\"\365\200\200\200\""),
    BAD(UTF8, 1, "\"\360\237\230\""),
    BAD(UTF8, 1, "\"\376\""),
    BAD(UTF8, 1, "\"\377\""),
    BAD(UTF8, 3, "\"ab\377\""),
    BAD(UTF8, 3, "\"\303\251\351\""),
    BAD(UTF8, 0, "\377"),
    BAD(UTF8, 1, "[\377]"),
    BAD(UTF8, 0, "\200"),
    BAD(UTF8, 2, "[1\377]"),
    BAD(UTF8, 1, "1\377"),
    BAD(UTF8, 3, "[1]\377"),
    BAD(UTF8, 5, "{\"a\":\376}"),
    BAD(UTF8, 1, "{\377"),
    BAD(UTF8, 1, "\"\355\240"),
    BAD(UTF8, 1, "\"\300"),

    BAD(NUMBER, 0, "+1"),
    BAD(NUMBER, 0, ".5"),
    BAD(NUMBER, 1, "-.5"),
    BAD(NUMBER, 1, "01"),
    BAD(NUMBER, 2, "-01"),
    BAD(NUMBER, 1, "00"),
    BAD(NUMBER, 1, "0x1"),
    BAD(NUMBER, 1, "1a"),
    BAD(NUMBER, 2, "1.e1"),
    BAD(NUMBER, 2, "1.a"),
    BAD(NUMBER, 3, "1e1.5"),
    BAD(NUMBER, 3, "1e1e1"),
    BAD(NUMBER, 2, "1..2"),
    BAD(NUMBER, 3, "1.2.3"),
    BAD(NUMBER, 1, "--1"),
    BAD(NUMBER, 1, "-a"),
    BAD(NUMBER, 1, "-Infinity"),
    BAD(NUMBER, 1, "-NaN"),
    BAD(NUMBER, 1, "1-1"),
    BAD(NUMBER, 1, "1+1"),
    BAD(NUMBER, 1, "[+1]"),
    BAD(NUMBER, 3, "[1.]"),
    BAD(NUMBER, 3, "[1e]"),
    BAD(NUMBER, 2, "[-]"),
    BAD(NUMBER, 4, "[1e+]"),
    BAD(NUMBER, 2, "[012]"),
    BAD(NUMBER, 2, "[- 1]"),
    BAD(NUMBER, 3, "[1. 5]"),
    BAD(NUMBER, 2, "[-\"a\"]"),
    BAD(NUMBER, 2, "[0b1]"),
    BAD(NUMBER, 1, "1L"),
    BAD(NUMBER, 3, "[1e\"a\"]"),

    BAD(LITERAL, 0, "True"),
    BAD(LITERAL, 0, "TRUE"),
    BAD(LITERAL, 3, "truE"),
    BAD(LITERAL, 1, "nULL"),
    BAD(LITERAL, 1, "nil"),
    BAD(LITERAL, 1, "none"),
    BAD(LITERAL, 4, "truex"),
    BAD(LITERAL, 4, "true1"),
    BAD(LITERAL, 4, "nulll"),
    BAD(LITERAL, 5, "falsee"),
    BAD(LITERAL, 0, "NaN"),
    BAD(LITERAL, 0, "Infinity"),
    BAD(LITERAL, 0, "undefined"),
    BAD(LITERAL, 4, "[tru]"),
    BAD(LITERAL, 4, "[nul,1]"),
    BAD(LITERAL, 5, "[fals e]"),
    BAD(LITERAL, 5, "{\"a\":True}"),
    BAD(LITERAL, 1, "[a]"),
    BAD(LITERAL, 4, "true."),
    BAD(LITERAL, 4, "null-"),
    BAD(LITERAL, 5, "[trued]"),
    BAD(LITERAL, 7, "[\"a\",tr\"b\"]"),

    BAD(SYNTAX, 1, "[,]"),
    BAD(SYNTAX, 3, "[1,]"),
    BAD(SYNTAX, 3, "[1,,2]"),
    BAD(SYNTAX, 1, "[,1]"),
    BAD(SYNTAX, 3, "[1 2]"),
    BAD(SYNTAX, 5, "[\"a\" \"b\"]"),
    BAD(SYNTAX, 4, "[\"a\"\"b\"]"),
    BAD(SYNTAX, 2, "[1}"),
    BAD(SYNTAX, 1, "{]"),
    BAD(SYNTAX, 1, "[}"),
    BAD(SYNTAX, 6, "{\"a\":1]"),
    BAD(SYNTAX, 1, "{,}"),
    BAD(SYNTAX, 4, "{\"a\"}"),
    BAD(SYNTAX, 5, "{\"a\":}"),
    BAD(SYNTAX, 4, "{\"a\",1}"),
    BAD(SYNTAX, 7, "{\"a\":1,}"),
    BAD(SYNTAX, 7, "{\"a\":1,,\"b\":1}"),
    BAD(SYNTAX, 5, "{\"a\" 1}"),
    BAD(SYNTAX, 5, "{\"a\"::1}"),
    BAD(SYNTAX, 1, "{1:1}"),
    BAD(SYNTAX, 1, "{a:1}"),
    BAD(SYNTAX, 1, "{'a':1}"),
    BAD(SYNTAX, 1, "['a']"),
    BAD(SYNTAX, 1, "{null:1}"),
    BAD(SYNTAX, 1, "{[]:1}"),
    BAD(SYNTAX, 7, "{\"a\":1 \"b\":2}"),
    BAD(SYNTAX, 0, "]"),
    BAD(SYNTAX, 0, "}"),
    BAD(SYNTAX, 0, ","),
    BAD(SYNTAX, 0, ":"),
    BAD(SYNTAX, 1, "[:]"),
    BAD(SYNTAX, 2, "[1:2]"),
    BAD(SYNTAX, 4, "[\"a\":1]"),
    BAD(SYNTAX, 6, "{\"a\":1:2}"),
    BAD(SYNTAX, 0, "// x"),
    BAD(SYNTAX, 0, "/**/1"),
    BAD(SYNTAX, 2, "[1/**/]"),
    BAD(SYNTAX, 0, "#"),
    BAD(SYNTAX, 1, "[\014]"),
    BAD(SYNTAX, 1, "[\0131]"),
    BAD(SYNTAX, 0, "\014"),
    BAD(SYNTAX, 0, "\032"),
    BAD(SYNTAX, 2, "[1\0142]"),
    BAD(SYNTAX, 4, "{\"a\"\0321}"),
    BAD(SYNTAX, 1, "[\000]"),
    BAD(SYNTAX, 0, "\000"),
    BAD(SYNTAX, 0, "\357\273\277[]"),
    BAD(SYNTAX, 1, "[\302\2401]"),
    BAD(SYNTAX, 2, "[1\342\200\2031]"),
    BAD(SYNTAX, 0, "*"),
    BAD(SYNTAX, 1, "[*]"),
    BAD(SYNTAX, 0, "\\"),
    BAD(SYNTAX, 1, "[\\n]"),
    BAD(SYNTAX, 4, "[\"a\"\\]"),
    BAD(SYNTAX, 4, "[\"a\"\\\"b\"]"),
    BAD(SYNTAX, 4, "[\"a\"b]"),
    BAD(SYNTAX, 2, "[1\"a\"]"),
    BAD(SYNTAX, 5, "[true\"a\"]"),
    BAD(SYNTAX, 5, "[null[]]"),
    BAD(SYNTAX, 2, "[1[]]"),
    BAD(SYNTAX, 4, "[\"a\"1]"),
    BAD(SYNTAX, 4, "[\"a\"[]]"),
    BAD(SYNTAX, 3, "[[]\"a\"]"),
    BAD(SYNTAX, 3, "[{}{}]"),
    BAD(SYNTAX, 6, "{\"a\":1\"b\":2}"),
    BAD(SYNTAX, 1, "{{}}"),
    BAD(SYNTAX, 1, "[\342\200"),
    BAD(SYNTAX, 0, "<a>"),
    BAD(SYNTAX, 0, "_"),
    BAD(SYNTAX, 1, "[(1)]"),
    BAD(SYNTAX, 11, "{\"a\":{},\"b\"}"),
    BAD(SYNTAX, 1, "[\177]"),

    BAD(TRAILING, 2, "1 1"),
    BAD(TRAILING, 1, "1,"),
    BAD(TRAILING, 2, "[]]"),
    BAD(TRAILING, 2, "{}}"),
    BAD(TRAILING, 2, "[],"),
    BAD(TRAILING, 2, "{},{}"),
    BAD(TRAILING, 3, "\"a\"\"b\""),
    BAD(TRAILING, 4, "\"a\" \"b\""),
    BAD(TRAILING, 3, "\"a\"b"),
    BAD(TRAILING, 2, "[]a"),
    BAD(TRAILING, 5, "null null"),
    BAD(TRAILING, 1, "1]"),
    BAD(TRAILING, 3, "[1]x"),
    BAD(TRAILING, 3, "[1]\000"),
    BAD(TRAILING, 6, "[1] \012 //"),
    BAD(TRAILING, 4, "true,true"),
    BAD(TRAILING, 2, "\"\"\014"),
    BAD(TRAILING, 7, "{\"a\":1}#"),
    BAD(TRAILING, 2, "[][]"),
    BAD(TRAILING, 1, "1["),
    BAD(TRAILING, 1, "1\"a\""),
    BAD(TRAILING, 4, "true\"a\""),
    BAD(TRAILING, 3, "\"a\":1"),
    BAD(TRAILING, 3, "\"a\"\\"),
    BAD(TRAILING, 3, "[1]\302\205"),
    BAD(TRAILING, 1, "1\000"),
    BAD(TRAILING, 4, "null,"),
    BAD(TRAILING, 2, "[]\357\273\277"),
    BAD(TRAILING, 2, "\"\"1")
};

#define NTEXTS  (sizeof(texts) / sizeof(text_t))


/* other starts for mutations, and texts with more than one block */

static const char  *seeds[] = {
    "{\"id\":\"a1\",\"source\":\"x\",\"timestamp\":1714567896.5,\"n\":null}",
    "[{\"version\":\"0\",\"detail-type\":\"v2.conversations.{id}.customer\","
        "\"resources\":[],\"detail\":{\"topicName\":\"v2.a\",\"ok\":true}},"
        " {\"a\" : [1, -2.5e3, false] }\n]",
    "{\"events\":[{\"Data\":\"{\\\"a\\\":[1,2],\\\"b\\\":\\\"\\\\n\\\"}\","
        "\"Metadata\":{\"k\":\"\\u00e9\\ud83d\\ude00\"}},{},[]],\"x\":0}",
    "[\"\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\"
        "\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\",\"\\\"\\\"\\\"\"]",
    "[\"\303\251\342\202\254\360\237\230\200\",\"\303\251\303\251\303\251"
        "\342\202\254\342\202\254\360\237\230\200\360\237\230\200\",1]",
    "[0,1,2,3,4,5,6,7,8,9,-1,1.25,1e5,1E-7,true,false,null,\"\",{},[],"
        "[[]],{\"\":{}},123456789012345678901234567890,-0.0,0e0,[ ] , { }]",
    "                                                              "
        "{\"a\":\"bcdefghijklmnopqrstuvwxyz0123456789\",\"b\":\"c d e\"}   "
        "                                                             ",
    "[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]],[[{\"a\":[{\"b\":[{\"c\":[]}]}]}]]]",
    "\"one string, and [nothing] {else:} in it, of more than 64 bytes \\t\""
};

#define NSEEDS  (sizeof(seeds) / sizeof(seeds[0]))


static const char *
show(const u_char *text, size_t len)
{
    char        *p;
    size_t       i;
    static char  buf[256];

    p = buf;

    for (i = 0; i < len && p < buf + sizeof(buf) - 8; i++) {
        p += sprintf(p, text[i] < ' ' || text[i] > '~' || text[i] == '#'
                        ? "<%02x>" : "%c", text[i]);
    }

    *p = '\0';

    return buf;
}


/* the text is held in a block of just its size until the next one */

static ngx_int_t
parse(const char *text, size_t len, ngx_uint_t depth)
{
    free(held);

    held = malloc(len ? len : 1);
    if (held == NULL) {
        abort();
    }

    ngx_memcpy(held, text, len);

    return ngx_eb_json_parse(parser, held, len, depth, &json, &err);
}


static ngx_uint_t
gives(const u_char *text, size_t len, ngx_eb_json_code_e code, size_t offset)
{
    u_char      *copy;
    ngx_uint_t   good;

    copy = malloc(len ? len : 1);
    if (copy == NULL) {
        abort();
    }

    ngx_memcpy(copy, text, len);

    good = json_oracle_agrees(parser, copy, len, DEPTH, &err)
           && err.code == code && err.offset == offset
           && memcmp(copy, text, len) == 0;

    free(copy);

    if (!good) {
        diag("%d at %lu, not %d at %lu: %s", (int) err.code,
             (unsigned long) err.offset, (int) code, (unsigned long) offset,
             show(text, len));
    }

    return good;
}


static void
table(void)
{
    ngx_uint_t     i;
    const text_t  *t;

    for (i = 0; i < NTEXTS; i++) {
        t = &texts[i];

        ok(gives((const u_char *) t->text, t->len, t->code, t->offset),
           "%s: %s", t->code ? "refused" : "accepted",
           show((const u_char *) t->text, t->len));
    }
}


/* the same, at every place relative to a block of 64 bytes */

static void
padded(void)
{
    u_char         text[LONGEST];
    size_t         n;
    ngx_uint_t     i, good;
    const text_t  *t;

    for (i = 0, good = 1; i < NTEXTS; i++) {
        t = &texts[i];

        for (n = 0; n <= 130; n++) {
            memset(text, ' ', n);
            memcpy(text + n, t->text, t->len);

            good &= gives(text, n + t->len, t->code,
                          t->code ? n + t->offset : 0);
        }
    }

    ok(good, "all of them after 0 to 130 spaces");

    for (i = 0, good = 1; i < NTEXTS; i++) {
        t = &texts[i];

        if (t->code != NGX_EB_JSON_OK && t->code != NGX_EB_JSON_E_TRAILING) {
            continue;
        }

        for (n = 0; n <= 130; n++) {
            memcpy(text, t->text, t->len);
            memset(text + t->len, "\n \t\r"[n % 4], n);

            good &= gives(text, t->len + n, t->code, t->offset);
        }
    }

    ok(good, "white space after them");
}


/* no prefix of a compound value is one, and each ends too early */

static void
prefixes(void)
{
    size_t       len;
    const char  *text;
    ngx_uint_t   i, good;

    for (i = 0; i < NSEEDS; i++) {
        text = seeds[i];
        good = gives((const u_char *) text, strlen(text), NGX_EB_JSON_OK, 0);

        for (len = strspn(text, " ") + 1;
             len < (size_t) (strrchr(text, text[0] == '"' ? '"'
                                     : text[0] == '[' ? ']' : '}') - text);
             len++)
        {
            (void) parse(text, len, DEPTH);

            if ((err.code != NGX_EB_JSON_E_TRUNCATED
                 && err.code != NGX_EB_JSON_E_STRING)
                || err.offset != len)
            {
                diag("%d at %d of %d", (int) err.code, (int) err.offset,
                     (int) len);
                good = 0;
            }
        }

        ok(good, "prefixes of text %d", (int) i);
    }
}


/* something right after a token, at every distance, with spaces between */

static void
junk(void)
{
    char         text[LONGEST];
    size_t       len, n, at;
    ngx_uint_t   i, j, k, good;

    static const char  *tokens[] = {
        "\"\"", "\"abc\"", "\"a\\\\\"", "\"\\\"\"", "1", "-1.5e3", "0",
        "true", "false", "null", "[]", "{}"
    };

    static const char  *rest[] = {
        "\"\"", "\"", "x", "1", "true", ":", "[", "{", "}", "\\", "\\\"",
        "\001", "\377", "\302\240", "/", "\"a\":1", "."
    };

    for (i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
        good = 1;

        for (j = 0; j < sizeof(rest) / sizeof(rest[0]); j++) {

            for (n = 0; n <= 130; n++) {

                for (k = 0; k < 2; k++) {

                    /* junk after spaces, or spaces before both */

                    len = sprintf(text, "[%*s%s%*s", k ? 0 : (int) n, "",
                                  tokens[i], k ? (int) n + 1 : 0, "");
                    at = len;
                    len += sprintf(text + len, "%s]", rest[j]);

                    (void) parse(text, len, DEPTH);

                    good &= json_oracle_agrees(parser, held, len, DEPTH, &err);

                    if (err.code == NGX_EB_JSON_OK) {
                        good &= (rest[j][0] == '1' || rest[j][0] == '.');

                    } else if (k) {
                        good &= (err.offset == at);
                    }
                }
            }
        }

        ok(good, "junk after %s", tokens[i]);
    }
}


static void
depths(void)
{
    char        *text;
    size_t       n, limit;
    ngx_uint_t   i, good;

    static const size_t  limits[] = { 1, 2, 63, 64, 65, 1023, 1024, 5000 };

    ok(parse("1", 1, 0) == NGX_OK && parse("\"a\"", 3, 0) == NGX_OK,
       "depth 0: scalars");
    ok(parse(" []", 3, 0) == NGX_DECLINED && err.code == NGX_EB_JSON_E_DEPTH
       && err.offset == 1, "depth 0: no arrays");

    text = malloc(20000);
    if (text == NULL) {
        abort();
    }

    for (i = 0; i < sizeof(limits) / sizeof(size_t); i++) {

        limit = ngx_min(limits[i], 1025);

        for (n = limit - 1; n <= limit + 1; n++) {
            memset(text, '[', n);
            memset(text + n, ']', n);

            good = (parse(text, 2 * n, limits[i])
                    == (n <= limit ? NGX_OK : NGX_DECLINED)) || n == 0;

            if (n > limit) {
                good = good && err.code == NGX_EB_JSON_E_DEPTH
                       && err.offset == limit;
            }

            ok(good, "depth %d: %d arrays", (int) limits[i], (int) n);
        }
    }

    /* objects, and an end that is missing */

    for (n = 0; n < 65; n++) {
        memcpy(text + 5 * n, "{\"a\":", 5);
    }

    ok(parse(text, 5 * 65, 64) == NGX_DECLINED
       && err.code == NGX_EB_JSON_E_DEPTH && err.offset == 320,
       "objects, too deep and truncated");
    ok(parse(text, 5 * 65, 65) == NGX_DECLINED
       && err.code == NGX_EB_JSON_E_TRUNCATED && err.offset == 325,
       "objects, truncated");

    memset(text, '[', 10000);
    memset(text + 10000, ']', 10000);

    ok(parse(text, 20000, 100000) == NGX_DECLINED
       && err.code == NGX_EB_JSON_E_DEPTH && err.offset == 1025,
       "no more than 1025 in any case");

    memset(text, '[', 1);
    memset(text + 1, ' ', 2);

    for (n = 0; n < 3000; n++) {
        memcpy(text + 1 + 3 * n, "[],", 3);
    }

    memcpy(text + 1 + 3 * n, "{}]", 3);
    ok(parse(text, 4 + 3 * n, 2) == NGX_OK, "width is not depth");

    free(text);
}


/* the byte after a text may be in a page that is not there */

static void
bounds(void)
{
    u_char      *page, *text;
    size_t       size, len;
    ngx_uint_t   good;

    size = 8192;
    page = mmap(NULL, 2 * size, PROT_READ|PROT_WRITE,
                MAP_PRIVATE|MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED || mprotect(page + size, size, PROT_NONE) != 0) {
        ok(0, "mmap()");
        return;
    }

    for (len = 1, good = 1; len < 300; len++) {
        text = page + size - len;

        memset(text, '1', len);
        good &= (ngx_eb_json_parse(parser, text, len, DEPTH, &json, &err)
                 == NGX_OK);

        memset(text, 'x', len);
        text[0] = '"';
        good &= (ngx_eb_json_parse(parser, text, len, DEPTH, &json, &err)
                 != NGX_OK);

        text[len - 1] = '\\';
        good &= (ngx_eb_json_parse(parser, text, len, DEPTH, &json, &err)
                 != NGX_OK);

        text[len - 1] = '\360';
        good &= (ngx_eb_json_parse(parser, text, len, DEPTH, &json, &err)
                 != NGX_OK);

        memset(text, '[', len);
        good &= (ngx_eb_json_parse(parser, text, len, 1024, &json, &err)
                 != NGX_OK);
    }

    ok(good, "nothing is read after the text");

    munmap(page, 2 * size);
}


static void
sizes(void)
{
    u_char         *text;
    size_t          i, len;
    ngx_uint_t      good;
    json_oracle_t   o;

    static const size_t  lens[] = {
        65535, 65536, 65537, 131072, 131073, 3000001, 65536, 100
    };

    text = malloc(3000001);
    if (text == NULL) {
        abort();
    }

    for (i = 0; i < sizeof(lens) / sizeof(size_t); i++) {
        len = lens[i];

        /* as many nodes as bytes can be, nearly */

        memset(text, '[', len);

        for (good = 1; good < len - 2; good += 2) {
            text[good] = '1';
            text[good + 1] = ',';
        }

        if (len % 2) {
            text[len - 2] = '1';

        } else {
            text[len - 3] = '1';
            text[len - 2] = ' ';
        }

        text[len - 1] = ']';

        good = (json_oracle(&o, text, len, DEPTH, NULL, NULL)
                == NGX_EB_JSON_OK);
        good &= (ngx_eb_json_parse(parser, text, len, DEPTH, &json, &err)
                 == NGX_OK);
        good &= (json.n == o.n && json.pos[json.n] == len
                 && json.skip[0] == json.n - 1);

        ok(good, "%lu bytes", (unsigned long) len);

        text[len - 1] = '}';
        ok(ngx_eb_json_parse(parser, text, len, DEPTH, &json, &err)
           == NGX_DECLINED && err.code == NGX_EB_JSON_E_SYNTAX
           && err.offset == len - 1, "the last of %lu bytes",
           (unsigned long) len);

        if (i % 2) {
            ngx_eb_json_parser_trim(parser, i == 5 ? 0 : 100000);
        }
    }

    free(text);

    err.code = NGX_EB_JSON_OK;
    ok(ngx_eb_json_parse(parser, held, (size_t) 0xffffffff, DEPTH, &json, &err)
       == NGX_DECLINED && err.code == NGX_EB_JSON_E_TOO_LARGE,
       "4 GB are too large");
    ok(ngx_eb_json_parse(parser, NULL, 0, DEPTH, &json, &err)
       == NGX_DECLINED && err.code == NGX_EB_JSON_E_EMPTY, "no text at all");
}


static void
string(const char *text, size_t tlen, const char *expected, size_t elen)
{
    u_char     *p;
    size_t      i;
    ngx_str_t   value, other;

    if (parse(text, tlen, DEPTH) != NGX_OK) {
        ok(0, "%s is JSON", text);
        return;
    }

    ok(ngx_eb_json_string(&json, 0, pool, &value) == NGX_OK
       && value.len == elen && memcmp(value.data, expected, elen) == 0,
       "unescaped: %s", show((const u_char *) text, tlen));

    p = held + json.pos[0] + 1;

    ok((value.data == p) == (memchr(text, '\\', tlen) == NULL),
       "borrowed only when it has no escape");

    ok(ngx_eb_json_string_eq(&json, 0, &value) == 1, "equal to itself");

    /* neither shorter, nor longer, nor with another byte */

    other.data = malloc(elen + 1);
    if (other.data == NULL) {
        abort();
    }

    ngx_memcpy(other.data, expected, elen);
    other.data[elen] = 'x';
    other.len = elen + 1;

    i = ngx_eb_json_string_eq(&json, 0, &other);

    for (other.len = 0; other.len < elen; other.len++) {
        i += ngx_eb_json_string_eq(&json, 0, &other);

        other.data[other.len] ^= 1;
        other.len = elen - other.len;
        i += (other.len == elen && ngx_eb_json_string_eq(&json, 0, &other));
        other.len = elen - other.len;
        other.data[other.len] ^= 1;
    }

    free(other.data);

    ok(i == 0, "and to nothing else");
}


#define string_is(text, expected)                                            \
    string(text, sizeof(text) - 1, expected, sizeof(expected) - 1)


static void
strings(void)
{
    ngx_str_t  value;

    string_is("\"\"", "");
    string_is(" \"abc\" \n", "abc");
    string_is("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t");
    string_is("\"\\u0000\"", "\0");
    string_is("\"a\\u0041b\"", "aAb");
    string_is("\"\\u007f\\u0080\\u07ff\\u0800\\uffff\"",
              "\177\302\200\337\277\340\240\200\357\277\277");
    string_is("\"\\uABCD\\uabcd\"", "\352\257\215\352\257\215");
    string_is("\"\\ud800\\udc00\\uDBFF\\uDFFF\"",
              "\360\220\200\200\364\217\277\277");
    string_is("\"\\ud83d\"", "\355\240\275");
    string_is("\"\\ude00\\ud83d\"", "\355\270\200\355\240\275");
    string_is("\"\\ud83d\\ud83d\\ude00\"", "\355\240\275\360\237\230\200");
    string_is("\"\\ud83d\\n\"", "\355\240\275\n");
    string_is("\"\\ud83du0041\"", "\355\240\275u0041");
    string_is("\"\\ud83d\\u0041\"", "\355\240\275A");
    string_is("\"\303\251\\u00e9\"", "\303\251\303\251");
    string_is("\"\\\\u0041\"", "\\u0041");
    string_is("\"a\\\\\"", "a\\");

    /* an escape elsewhere is not an escape here */

    ok(parse("[\"\\n\",\"abc\"]", 12, DEPTH) == NGX_OK && json.escapes == 1,
       "a text with an escape");
    ok(ngx_eb_json_string_raw(&json, 1, &value) == 1
       && text_is(&value, "\\n"), "raw string with an escape");
    ok(ngx_eb_json_string_raw(&json, 3, &value) == 0
       && text_is(&value, "abc"), "raw string without");
    ok(ngx_eb_json_string(&json, 3, pool, &value) == NGX_OK
       && value.data == held + 7, "which is borrowed");

    shim_allocs = 0;
    ok(ngx_eb_json_string(&json, 1, pool, &value) == NGX_ERROR, "no memory");
    ok(ngx_eb_json_string(&json, 3, pool, &value) == NGX_OK,
       "no memory, and none needed");
    shim_allocs = -1;

    ngx_str_set(&value, "\\n");
    ok(!ngx_eb_json_string_eq(&json, 1, &value), "not equal to its own text");

    ngx_str_null(&value);
    ok(!ngx_eb_json_string_eq(&json, 1, &value)
       && !ngx_eb_json_string_eq(&json, 3, &value), "not equal to nothing");

    ok(parse("[\"\", \"\" ]", 9, DEPTH) == NGX_OK && json.escapes == 0
       && ngx_eb_json_string_eq(&json, 1, &value)
       && ngx_eb_json_string_eq(&json, 3, &value)
       && ngx_eb_json_string_raw(&json, 3, &value) == 0 && value.len == 0,
       "an empty string is equal to nothing");
}


/* each \uXXXX, against the encoding of its code point */

static void
surrogates(void)
{
    char        text[16];
    size_t      n;
    u_char      utf8[4];
    uint32_t    u;
    ngx_str_t   value;
    ngx_uint_t  good;

    for (u = 0, good = 1; u < 0x10000; u++) {
        sprintf(text, "\"\\u%04x\"", (unsigned) u);

        n = (u < 0x80) ? 1 : (u < 0x800) ? 2 : 3;

        if (n == 1) {
            utf8[0] = (u_char) u;

        } else {
            utf8[0] = (u_char) ((n == 2 ? 0xc0 : 0xe0) + (u >> (6 * (n - 1))));
            utf8[n - 1] = (u_char) (0x80 + u % 64);
            utf8[1] = (u_char) (0x80 + (u >> (6 * (n - 2))) % 64);
        }

        value.data = utf8;
        value.len = n;

        good &= (parse(text, 8, DEPTH) == NGX_OK
                 && ngx_eb_json_string_eq(&json, 0, &value));
    }

    ok(good, "every code unit");
}


static void
members(void)
{
    ngx_str_t           raw, name;
    ngx_eb_json_node_t  node;

    static const char  text[] =
        "{\"a\":1, \"b\" : {\"a\":2,\"c\":[3,{\"d\":4}]},\"\":5,\"a\":6,"
        "\"\\u0062b\":7,\"bb\":8,\"c\\u0063\":9,\"a\\\\\":10}";

    ok(parse(text, sizeof(text) - 1, DEPTH) == NGX_OK, "an object");

#define member_is(of, key, value)                                            \
    ngx_str_set(&name, key);                                                 \
    node = ngx_eb_json_member(&json, of, &name);                             \
    raw.len = 0;                                                             \
    if (node != NGX_EB_JSON_NONE) {                                          \
        ngx_eb_json_raw(&json, node, &raw);                                  \
    }                                                                        \
    ok(node != NGX_EB_JSON_NONE && text_is(&raw, value), "member %s", key)

#define no_member(of, key)                                                   \
    ngx_str_set(&name, key);                                                 \
    ok(ngx_eb_json_member(&json, of, &name) == NGX_EB_JSON_NONE,             \
       "no member %s", key)

    member_is(0, "", "5");
    member_is(0, "a", "6");
    member_is(0, "bb", "8");
    member_is(0, "cc", "9");
    member_is(0, "a\\", "10");
    no_member(0, "A");
    no_member(0, "c");
    no_member(0, "d");
    no_member(0, "c\\u0063");
    no_member(0, "bbb");

    member_is(0, "b", "{\"a\":2,\"c\":[3,{\"d\":4}]}");

    no_member(node, "b");
    no_member(node, "d");
    member_is(node, "a", "2");

    ok(parse("{\"bb\":8,\"\\u0062b\":7}", 20, DEPTH) == NGX_OK,
       "another object");
    member_is(0, "bb", "7");

    ok(parse("[ {\n} ]", 7, DEPTH) == NGX_OK, "an empty object");
    no_member(1, "a");
    no_member(1, "");
}


static void
walks(void)
{
    size_t              n;
    ngx_str_t           raw;
    ngx_uint_t          good;
    ngx_eb_json_node_t  node;

    static const char  text[] =
        " [ -1.5 ,\"a\\\"b\"\t, true,false , null,[ 1 ,[2] ] ,"
        "{\"k\" : [ ] , \"l\":{ }} ] ";

    static const struct {
        const char  *raw;
        u_char       type;
    } items[] = {
        { "-1.5", '0' },
        { "\"a\\\"b\"", '"' },
        { "true", 't' },
        { "false", 'f' },
        { "null", 'n' },
        { "[ 1 ,[2] ]", '[' },
        { "{\"k\" : [ ] , \"l\":{ }}", '{' }
    };

    ok(parse(text, sizeof(text) - 1, DEPTH) == NGX_OK, "an array");

    ngx_eb_json_raw(&json, 0, &raw);
    ok(raw.data == held + 1 && raw.len == sizeof(text) - 3, "all of it");
    ok(ngx_eb_json_next(&json, 0) == json.n, "nothing is after it");

    good = 1;
    n = 0;

    for (node = ngx_eb_json_first(&json, 0);
         node != NGX_EB_JSON_NONE && n < sizeof(items) / sizeof(items[0]);
         node = ngx_eb_json_after(&json, node), n++)
    {
        ngx_eb_json_raw(&json, node, &raw);

        good &= (ngx_eb_json_type(&json, node) == items[n].type
                 && raw.len == strlen(items[n].raw)
                 && memcmp(raw.data, items[n].raw, raw.len) == 0);
    }

    ok(good && node == NGX_EB_JSON_NONE
       && n == sizeof(items) / sizeof(items[0]), "its elements");

    ok(parse("{\"k\":[ ],\"l\":{ }}", 17, DEPTH) == NGX_OK
       && ngx_eb_json_first(&json, 3) == NGX_EB_JSON_NONE
       && ngx_eb_json_after(&json, 3) == 6
       && ngx_eb_json_first(&json, 8) == NGX_EB_JSON_NONE
       && ngx_eb_json_after(&json, 8) == NGX_EB_JSON_NONE,
       "empty array and object");
}


static void
codes(void)
{
    int         i, j;
    ngx_uint_t  good;

    for (i = 0, good = 1; i <= NGX_EB_JSON_E_NOMEM + 1; i++) {

        for (j = 0; j < i; j++) {
            good &= (strcmp(ngx_eb_json_strerror((ngx_eb_json_code_e) i),
                            ngx_eb_json_strerror((ngx_eb_json_code_e) j))
                     != 0);
        }
    }

    ok(good, "a sentence for each code");
}


static uint32_t
rnd(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;

    return seed % n;
}


static size_t
mutate(u_char *text, size_t len)
{
    size_t  at, n, from;

    static const char  bytes[] =
        "\"\"\"\\\\[]{},:0123456789-+.eEtfnul \t\n\r/bfrux\001\037\177\200"
        "\277\300\303\340\355\360\364\377\f\032";

    at = rnd((uint32_t) len + 1);

    switch (rnd(6)) {

    case 0:     /* another byte */

        if (at < len) {
            text[at] = (u_char) bytes[rnd(sizeof(bytes))];
        }

        break;

    case 1:     /* any byte */

        if (at < len) {
            text[at] = (u_char) rnd(256);
        }

        break;

    case 2:     /* bytes more */

        n = rnd(4) ? 1 : 1 + rnd(70);
        memmove(text + at + n, text + at, len - at);
        memset(text + at, n == 1 ? bytes[rnd(sizeof(bytes))] : ' ', n);
        len += n;

        break;

    case 3:     /* bytes less */

        n = rnd(4) ? 1 : 1 + rnd(20);
        n = ngx_min(n, len - at);
        memmove(text + at, text + at + n, len - at - n);
        len -= n;

        break;

    case 4:     /* a piece again, elsewhere */

        from = rnd((uint32_t) len + 1);
        n = rnd(24);
        n = ngx_min(n, len - from);

        if (n) {
            u_char  piece[24];

            memcpy(piece, text + from, n);
            memmove(text + at + n, text + at, len - at);
            memcpy(text + at, piece, n);
            len += n;
        }

        break;

    default:    /* a piece over another */

        from = rnd((uint32_t) len + 1);
        n = rnd(8);
        n = ngx_min(n, len - ngx_max(from, at));
        memmove(text + at, text + from, n);
    }

    return len;
}


static void
mutations(ngx_uint_t n)
{
    u_char      *copy, text[LONGEST];
    size_t       len;
    uint32_t     i, s;
    ngx_uint_t   good, accepted, refused;

    good = 1;
    accepted = 0;
    refused = 0;

    while (n-- && good) {

        if (rnd(3) == 0) {
            s = rnd(NTEXTS);
            len = texts[s].len;
            memcpy(text, texts[s].text, len);

        } else {
            s = rnd(NSEEDS);
            len = strlen(seeds[s]);
            memcpy(text, seeds[s], len);
        }

        for (i = 1 + rnd(4); i; i--) {
            len = mutate(text, len);
        }

        copy = malloc(len ? len : 1);
        if (copy == NULL) {
            abort();
        }

        memcpy(copy, text, len);

        good = json_oracle_agrees(parser, copy, len, 1 + rnd(20), &err);

        if (err.code == NGX_EB_JSON_OK) {
            accepted++;

        } else {
            refused++;
        }

        if (!good) {
            diag("%s", show(copy, len));
        }

        free(copy);
    }

    ok(good, "random texts");
    diag("%d accepted, %d refused", (int) accepted, (int) refused);
    ok(accepted > 1000 && refused > 1000, "of both kinds");
}


/* all of it, with the stage 1 for processors without vector instructions */

static void
portable(void)
{
    int    status;
    pid_t  pid;

    pid = fork();

    if (pid == 0) {
        (void) dup2(STDERR_FILENO, STDOUT_FILENO);
        (void) setenv("SIMDJSON_FORCE_IMPLEMENTATION", "fallback", 1);
        (void) execl("/proc/self/exe", "json", (char *) NULL);
        _exit(127);
    }

    ok(pid != -1 && waitpid(pid, &status, 0) == pid && status == 0,
       "the same with the portable stage 1");
}


int
main(void)
{
    ngx_uint_t  again;

    again = (getenv("SIMDJSON_FORCE_IMPLEMENTATION") != NULL);

    pool = ngx_create_pool(4096, NULL);
    parser = ngx_eb_json_parser_create();

    if (pool == NULL || parser == NULL) {
        return 1;
    }

    table();
    padded();
    prefixes();
    junk();
    depths();
    bounds();
    strings();
    surrogates();
    members();
    walks();
    codes();
    sizes();
    mutations(again ? MUTATIONS / 5 : MUTATIONS);

    ngx_eb_json_parser_destroy(parser);
    ngx_destroy_pool(pool);
    free(held);

    if (!again) {
        portable();
    }

    return done_testing();
}
