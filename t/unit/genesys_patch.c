
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Durations, costs, changes of a document, lists: what the operations of the
 * Genesys Cloud API are made of.
 */

/* sources: src/genesys/ngx_eb_genesys_duration.c src/genesys/ngx_eb_genesys_patch.c src/genesys/ngx_eb_genesys_list.c src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c src/wire/ngx_eb_json_edit.c src/wire/ngx_eb_out.c */
/* libs: -lsimdjson */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_genesys_duration.h"
#include "ngx_eb_genesys_patch.h"
#include "ngx_eb_genesys_list.h"


static ngx_str_t str(const char *s);
static void is_days(const char *text, ngx_int_t days);
static void durations(void);
static void is_decimal(const char *text, ngx_uint_t good);
static void is_cost(const char *gb, const char *price, ngx_uint_t days,
    const char *expected);
static void costs(void);
static void is_integer(const char *text, int64_t expected);
static void integers(void);
static void is_same(const char *ours, const char *theirs, ngx_uint_t same);
static void numbers(void);
static ngx_eb_genesys_member_t *members(void);
static void is_patched(const char *text, const char *expected,
    const char *differs, const char *name);
static void patches(void);
static void sets(void);
static void ids(void);
static void is_path(const char *template, const char *id,
    const char *expected);
static void paths(void);
static void start(ngx_eb_genesys_list_t *list, const char *name,
    const char *type);
static ngx_int_t page(ngx_eb_genesys_list_t *list, const char *body);
static void is_next(ngx_eb_genesys_list_t *list, const char *expected,
    const char *name);
static void lists(void);
static void hostile_lists(void);
static void no_memory(void);


static ngx_pool_t            *pool;
static ngx_eb_genesys_doc_t  *ours, *theirs;


static ngx_str_t
str(const char *s)
{
    ngx_str_t  value;

    value.len = strlen(s);
    value.data = ngx_pnalloc(pool, value.len);
    ngx_memcpy(value.data, s, value.len);

    return value;
}


/* days < 0: it is none */

static void
is_days(const char *text, ngx_int_t days)
{
    ngx_int_t    rc;
    ngx_str_t    s;
    const char  *why;
    ngx_uint_t   got;

    s = str(text);
    why = NULL;

    rc = ngx_eb_genesys_duration(&s, &got, &why);

    if (days < 0) {
        ok(rc == NGX_DECLINED && why != NULL,
           "row 0.5: \"%s\" is no duration (%s)", text, why ? why : "");
        return;
    }

    ok(rc == NGX_OK, "row 0.5: \"%s\" is a duration", text);
    is_int(got, days, "row 0.5: \"%s\" in days", text);
}


static void
durations(void)
{
    ngx_str_t    s;
    const char  *why;
    ngx_uint_t   days;

    is_days("P90D", 90);
    is_days("P1D", 1);
    is_days("P0D", 0);
    is_days("P007D", 7);
    is_days("P2W", 14);
    is_days("P1M", 30);
    is_days("P12M", 360);
    is_days("P1Y", 365);
    is_days("P1Y2M3W4D", 365 + 60 + 21 + 4);
    is_days("P1Y4D", 369);
    is_days("P0Y0M0W0D", 0);
    is_days("P1000000D", 1000000);

    is_days("", -1);
    is_days("P", -1);
    is_days("PD", -1);
    is_days("90D", -1);
    is_days("p90D", -1);
    is_days("P90d", -1);
    is_days("P90", -1);
    is_days("P90D ", -1);
    is_days(" P90D", -1);
    is_days("P-90D", -1);
    is_days("-P90D", -1);
    is_days("P+90D", -1);
    is_days("P1.5D", -1);
    is_days("P1,5D", -1);
    is_days("P1D1W", -1);
    is_days("P1D1D", -1);
    is_days("P1M1Y", -1);
    is_days("P1H", -1);
    is_days("PT1H", -1);
    is_days("PT", -1);
    is_days("P1DT", -1);
    is_days("P1DT1H", -1);
    is_days("P90DX", -1);
    is_days("PP90D", -1);
    is_days("P90D\n", -1);

    is_days("P1000001D", -1);
    is_days("P2740Y", -1);
    is_days("P2739Y999999D", -1);
    is_days("P4294967386D", -1);
    is_days("P18446744073709551706D", -1);
    is_days("P99999999999999999999999999999999999999999Y", -1);
    is_days("P50539024859478224Y", -1);

    s.data = (u_char *) "P9\0D";
    s.len = 4;
    ok(ngx_eb_genesys_duration(&s, &days, &why) == NGX_DECLINED,
       "row 0.5: a zero byte");
}


static void
is_decimal(const char *text, ngx_uint_t good)
{
    ngx_str_t                 s;
    ngx_eb_genesys_decimal_t  value;

    s = str(text);

    is_int(ngx_eb_genesys_decimal(&s, &value), good ? NGX_OK : NGX_DECLINED,
           "row 0.8: \"%s\" is %sa figure", text, good ? "" : "not ");
}


static void
is_cost(const char *gb, const char *price, ngx_uint_t days,
    const char *expected)
{
    u_char                    buf[NGX_EB_GENESYS_COST_LEN];
    ngx_str_t                 s, got;
    ngx_eb_genesys_decimal_t  a, b;

    s = str(gb);
    ngx_eb_genesys_decimal(&s, &a);
    s = str(price);
    ngx_eb_genesys_decimal(&s, &b);

    got.data = buf;
    got.len = ngx_eb_genesys_cost(buf, &a, &b, days) - buf;

    is_str(&got, expected, "row 0.8: %s GB for %d days at %s", gb, (int) days,
           price);
}


static void
costs(void)
{
    is_decimal("0", 1);
    is_decimal("150", 1);
    is_decimal("0.0023", 1);
    is_decimal("007.5", 1);
    is_decimal("000000000000000000000001", 1);
    is_decimal("999999999999.999999999", 1);

    is_decimal("", 0);
    is_decimal(".", 0);
    is_decimal(".5", 0);
    is_decimal("5.", 0);
    is_decimal("0.", 0);
    is_decimal("-1", 0);
    is_decimal("+1", 0);
    is_decimal("1e3", 0);
    is_decimal("1.2.3", 0);
    is_decimal("1,5", 0);
    is_decimal(" 1", 0);
    is_decimal("1 ", 0);
    is_decimal("0x10", 0);
    is_decimal("1000000000000", 0);
    is_decimal("0.0000000001", 0);

    is_cost("150", "0.0023", 90, "31.05");
    is_cost("150", "0.0023", 365, "125.925");
    is_cost("150", "0.0023", 1, "0.345");
    is_cost("1", "1", 1, "1.00");
    is_cost("0", "0.0023", 90, "0.00");
    is_cost("1.5", "2", 10, "30.00");
    is_cost("0.1", "0.1", 1, "0.01");
    is_cost("0.001", "0.001", 1, "0.000001");
    is_cost("0.0001", "0.001", 1, "0.00");
    is_cost("0.0005", "0.001", 1, "0.000001");
    is_cost("0.0004999", "0.001", 1, "0.00");
    is_cost("0.000000001", "0.000000001", 1, "0.00");
    is_cost("0.9999999", "1", 1, "1.00");
    is_cost("9.9999995", "1", 1, "10.00");
    is_cost("99999.9999995", "1", 1, "100000.00");
    is_cost("999999999999.999999999", "999999999999.999999999", 365,
            "364999999999999999999270000.00");
    is_cost("3", "0.333333333", 365, "365.00");
    is_cost("1", "0.333333333", 1, "0.333333");
    is_cost("12345678.5", "0.000001", 200, "2469.1357");
}


static void
is_integer(const char *text, int64_t expected)
{
    int64_t    got;
    ngx_int_t  rc;
    ngx_str_t  s;

    s = str(text);
    got = -1;
    rc = ngx_eb_genesys_integer(&s, &got);

    is_int(rc, expected < 0 ? NGX_DECLINED : NGX_OK, "integer %s", text);

    if (expected >= 0) {
        is_int(got, expected, "integer %s: value", text);
    }
}


static void
integers(void)
{
    is_integer("0", 0);
    is_integer("-0", 0);
    is_integer("0.0", 0);
    is_integer("0e99999999999999999999", 0);
    is_integer("30", 30);
    is_integer("30.0", 30);
    is_integer("3e1", 30);
    is_integer("3E+1", 30);
    is_integer("300e-1", 30);
    is_integer("0.3e2", 30);
    is_integer("0.0030e4", 30);
    is_integer("120.500e3", 120500);
    is_integer("999999999999999", 999999999999999);

    is_integer("30.5", -1);
    is_integer("-30", -1);
    is_integer("3e-1", -1);
    is_integer("1e15", -1);
    is_integer("1e400", -1);
    is_integer("1e99999999999999999999", -1);
    is_integer("1e-99999999999999999999", -1);
    is_integer("12345678901234567890", -1);
}


static void
is_same(const char *a, const char *b, ngx_uint_t same)
{
    ngx_int_t                 rc;
    ngx_str_t                 text, out, differs, value;
    ngx_eb_genesys_member_t  *first;

    first = NULL;
    value = str(a);
    ngx_eb_genesys_member(pool, &first, "n", &value);

    text.data = ngx_pnalloc(pool, strlen(b) + 6);
    text.len = ngx_sprintf(text.data, "{\"n\":%s}", b) - text.data;

    rc = ngx_eb_genesys_patch(ours, theirs, first, &text, &out, &differs);

    ok(rc == NGX_OK && (differs.len == 0) == same, "%s is %sthe same as %s",
       a, same ? "" : "not ", b);
}


static void
numbers(void)
{
    is_same("30", "30", 1);
    is_same("30", "30.0", 1);
    is_same("30", "3e1", 1);
    is_same("30", "0.030E+3", 1);
    is_same("31.05", "31.050", 1);
    is_same("31.05", "3105e-2", 1);
    is_same("0", "-0.0e5", 1);
    is_same("-1", "-1.0", 1);
    is_same("12345678901234567890", "12345678901234567890", 1);
    is_same("1e400", "10e399", 1);

    is_same("30", "31", 0);
    is_same("30", "300", 0);
    is_same("30", "-30", 0);
    is_same("30", "0", 0);
    is_same("30", "\"30\"", 0);
    is_same("30", "null", 0);
    is_same("30", "[30]", 0);
    is_same("30", "{\"n\":30}", 0);
    is_same("12345678901234567890", "12345678901234567891", 0);
    is_same("1e400", "1e401", 0);

    is_same("\"a\"", "\"\\u0061\"", 1);
    is_same("\"a/b\"", "\"a\\/b\"", 1);
    is_same("\"a\"", "\"A\"", 0);
    is_same("true", "true", 1);
    is_same("true", "false", 0);
    is_same("null", "null", 1);

    is_same("[\"a\",\"b\"]", "[ \"a\" , \"b\" ]", 1);
    is_same("[\"a\",\"b\"]", "[\"b\",\"a\"]", 0);
    is_same("[\"a\",\"b\"]", "[\"a\"]", 0);
    is_same("[\"a\"]", "[\"a\",\"b\"]", 0);
    is_same("[]", "[]", 1);
    is_same("[]", "[[]]", 0);
    is_same("[\"a\"]", "[[\"a\"]]", 0);
    is_same("[\"a\"]", "\"a\"", 0);
}


/* {"name":"n","destination":{"type":"http","endpoint":"e"},"days":30} */

static ngx_eb_genesys_member_t *
members(void)
{
    ngx_str_t                 s;
    ngx_eb_genesys_member_t  *first, *m;

    first = NULL;

    s = str("n");
    ngx_eb_genesys_member_string(pool, &first, "name", &s);

    m = ngx_eb_genesys_member(pool, &first, "destination", NULL);
    s = str("http");
    ngx_eb_genesys_member_string(pool, &m->child, "type", &s);
    s = str("e");
    ngx_eb_genesys_member_string(pool, &m->child, "endpoint", &s);

    ngx_eb_genesys_member_number(pool, &first, "days", 30);

    return first;
}


static void
is_patched(const char *text, const char *expected, const char *differs,
    const char *name)
{
    ngx_int_t  rc;
    ngx_str_t  s, out, what;

    s = str(text);

    rc = ngx_eb_genesys_patch(ours, theirs, members(), &s, &out, &what);

    if (expected == NULL) {
        is_int(rc, NGX_DECLINED, "patch: %s", name);
        return;
    }

    is_int(rc, NGX_OK, "patch: %s", name);
    is_str(&out, expected, "patch: %s: text", name);

    if (what.len == 0) {
        ngx_str_set(&what, "");
    }

    is_str(&what, differs, "patch: %s: what differs", name);
}


static void
patches(void)
{
    ngx_str_t                 text, out, differs, one;
    ngx_eb_genesys_member_t  *first;

    is_patched("{\"name\":\"n\",\"destination\":{\"type\":\"http\","
               "\"endpoint\":\"e\"},\"days\":30}",
               "{\"name\":\"n\",\"destination\":{\"type\":\"http\","
               "\"endpoint\":\"e\"},\"days\":30}", "", "nothing to do");

    is_patched(" {\"days\" : 3e1 ,\"x\":12345678901234567890, \"destination\""
               ": {\"endpoint\":\"\\u0065\",\"z\":1.0,\"type\":\"http\"},"
               "\"name\":\"n\"} ",
               " {\"days\" : 3e1 ,\"x\":12345678901234567890, \"destination\""
               ": {\"endpoint\":\"\\u0065\",\"z\":1.0,\"type\":\"http\"},"
               "\"name\":\"n\"} ", "", "the same in other words");

    is_patched("{\"name\":\"n\",\"a\":1e2,\"destination\":{\"q\":-0.0,"
               "\"type\":\"http\",\"endpoint\":\"old\"},\"days\":31,"
               "\"a\":12345678901234567890}",
               "{\"name\":\"n\",\"a\":1e2,\"destination\":{\"q\":-0.0,"
               "\"type\":\"http\",\"endpoint\":\"e\"},\"days\":30,"
               "\"a\":12345678901234567890}", "endpoint",
               "two values, and the rest kept");

    is_patched("{}", "{\"name\":\"n\",\"destination\":{\"type\":\"http\","
               "\"endpoint\":\"e\"},\"days\":30}", "name", "an empty one");

    is_patched("{\"name\":\"n\",\"destination\":null,\"days\":30}",
               "{\"name\":\"n\",\"destination\":{\"type\":\"http\","
               "\"endpoint\":\"e\"},\"days\":30}", "destination",
               "null where an object should be");

    is_patched("{\"name\":\"n\",\"destination\":{},\"days\":[30]}",
               "{\"name\":\"n\",\"destination\":{\"type\":\"http\","
               "\"endpoint\":\"e\"},\"days\":30}", "type",
               "members of a member");

    is_patched("{\"name\":{\"n\":1},\"destination\":[{}],\"days\":\"30\"}",
               "{\"name\":\"n\",\"destination\":{\"type\":\"http\","
               "\"endpoint\":\"e\"},\"days\":30}", "name",
               "values of other types");

    is_patched("{\"days\":1,\"name\":\"n\",\"destination\":{\"type\":\"http\""
               ",\"endpoint\":\"e\"},\"days\":2}",
               "{\"days\":1,\"name\":\"n\",\"destination\":{\"type\":\"http\""
               ",\"endpoint\":\"e\"},\"days\":30}", "days",
               "of equal names the last counts");

    is_patched("[]", NULL, NULL, "an array");
    is_patched("", NULL, NULL, "nothing");
    is_patched("{\"name\":", NULL, NULL, "half of one");
    is_patched("<html>", NULL, NULL, "a page");
    is_patched("{\"name\":\"n\",}", NULL, NULL, "not quite JSON");

    /* only where there is none */

    first = NULL;
    one = str("1");
    ngx_eb_genesys_member(pool, &first, "version", &one)->missing = 1;

    text = str("{\"version\":7}");
    ngx_eb_genesys_patch(ours, theirs, first, &text, &out, &differs);
    is_str(&out, "{\"version\":7}", "patch: a version is there");

    text = str("{\"a\":7}");
    ngx_eb_genesys_patch(ours, theirs, first, &text, &out, &differs);
    is_str(&out, "{\"a\":7}", "patch: there is none, and no other reason");

    one = str("2");
    ngx_eb_genesys_member(pool, &first, "a", &one);
    ngx_eb_genesys_patch(ours, theirs, first, &text, &out, &differs);
    is_str(&out, "{\"a\":2,\"version\":1}", "patch: there is none");
}


static void
sets(void)
{
    ngx_str_t                 text, out, differs, s;
    ngx_uint_t                i;
    ngx_array_t               values;
    ngx_eb_genesys_member_t  *first;

    static const struct {
        const char  *theirs;
        ngx_uint_t   same;
    } tests[] = {
        { "[\"a\",\"b\",\"c\\\"d\"]", 1 },
        { "[\"c\\\"d\",\"a\",\"b\"]", 1 },
        { "[\"c\\u0022d\",\"b\",\"\\u0061\"]", 1 },
        { "[\"a\",\"b\"]", 0 },
        { "[\"a\",\"b\",\"b\"]", 0 },
        { "[\"a\",\"b\",\"c\\\"d\",\"e\"]", 0 },
        { "[\"a\",\"b\",1]", 0 },
        { "[]", 0 },
        { "\"a\"", 0 }
    };

    ngx_array_init(&values, pool, 3, sizeof(ngx_str_t));
    *(ngx_str_t *) ngx_array_push(&values) = str("a");
    *(ngx_str_t *) ngx_array_push(&values) = str("b");
    *(ngx_str_t *) ngx_array_push(&values) = str("c\"d");

    first = NULL;
    ngx_eb_genesys_member_strings(pool, &first, "s", &values)->set = 1;

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        text.data = ngx_pnalloc(pool, 64);
        text.len = ngx_sprintf(text.data, "{\"s\":%s}", tests[i].theirs)
                   - text.data;

        ngx_eb_genesys_patch(ours, theirs, first, &text, &out, &differs);
        is_int(differs.len == 0, tests[i].same, "set: %s", tests[i].theirs);
    }

    is_str(&out, "{\"s\":[\"a\",\"b\",\"c\\\"d\"]}", "set: written");

    values.nelts = 0;
    first = NULL;
    ngx_eb_genesys_member_strings(pool, &first, "s", &values)->set = 1;
    ngx_eb_genesys_members_write(pool, first, &text);
    is_str(&text, "{\"s\":[]}", "set: an empty one");

    ngx_eb_genesys_members_write(pool, NULL, &text);
    is_str(&text, "{}", "no members");

    /* durations of as many days */

    first = NULL;
    s = str("P90D");
    ngx_eb_genesys_member_string(pool, &first, "d", &s)->duration = 1;

    text = str("{\"d\":\"P3M\"}");
    ngx_eb_genesys_patch(ours, theirs, first, &text, &out, &differs);
    is_int(differs.len, 0, "duration: P3M is P90D");

    text = str("{\"d\":\"P91D\"}");
    ngx_eb_genesys_patch(ours, theirs, first, &text, &out, &differs);
    is_str(&out, "{\"d\":\"P90D\"}", "duration: P91D is not");

    text = str("{\"d\":\"P\"}");
    ngx_eb_genesys_patch(ours, theirs, first, &text, &out, &differs);
    is_str(&out, "{\"d\":\"P90D\"}", "duration: nor is P");

    text = str("{\"d\":90}");
    ngx_eb_genesys_patch(ours, theirs, first, &text, &out, &differs);
    is_str(&out, "{\"d\":\"P90D\"}", "duration: nor is a number");
}


static void
ids(void)
{
    u_char     buf[130];
    ngx_str_t  s;

    static const char *good[] = {
        "a", "...", "a.b", "A-Z_~09", "..a",
        "11111111-2222-3333-4444-555555555555"
    };

    static const char *bad[] = {
        "", ".", "..", "a/b", "a b", "a%2f", "a\nb", "a\rb", "a?b", "a#b",
        "\xc3\xa4", "a;b", "a:b", "{id}"
    };

    ngx_uint_t  i;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        s = str(good[i]);
        ok(ngx_eb_genesys_is_id(&s), "row 0.10: id \"%s\"", good[i]);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        s = str(bad[i]);
        ok(!ngx_eb_genesys_is_id(&s), "row 0.10: no id, %d", (int) i);
    }

    memset(buf, 'a', sizeof(buf));
    s.data = buf;
    s.len = 128;
    ok(ngx_eb_genesys_is_id(&s), "row 0.10: an id of 128 bytes");
    s.len = 129;
    ok(!ngx_eb_genesys_is_id(&s), "row 0.10: an id of 129 bytes");

    s.data = (u_char *) "a\0b";
    s.len = 3;
    ok(!ngx_eb_genesys_is_id(&s), "row 0.10: an id with a zero byte");
}


static void
is_path(const char *template, const char *id, const char *expected)
{
    ngx_str_t  t, i, path;

    t = str(template);

    if (id) {
        i = str(id);
    }

    ngx_eb_genesys_path(pool, &t, id ? &i : NULL, &path);
    is_str(&path, expected, "row 0.10: path %s", template);
}


static void
paths(void)
{
    is_path("/a/{id}", "x", "/a/x");
    is_path("/a/{id}/b/{id}", "x/y", "/a/x%2Fy/b/x%2Fy");
    is_path("{id}{id}{id}", "\xff\r\n", "%FF%0D%0A%FF%0D%0A%FF%0D%0A");
    is_path("/a/{integration}/c", "x?y#%", "/a/x%3Fy%23%25/c");
    is_path("/a/{ID}/{i", "x", "/a/{ID}/{i");
    is_path("/a", "x", "/a");
    is_path("/a/{id}", NULL, "/a/");
}


static void
start(ngx_eb_genesys_list_t *list, const char *name, const char *type)
{
    ngx_str_t  uri, n, t;

    uri = str("/list");
    n = str(name);
    t = str(type);

    if (ngx_eb_genesys_list_init(list, theirs, &uri, &n, &t) != NGX_OK) {
        ok(0, "a list");
    }
}


static ngx_int_t
page(ngx_eb_genesys_list_t *list, const char *body)
{
    ngx_str_t  s;

    s = str(body);

    return ngx_eb_genesys_list_page(list, &s);
}


static void
is_next(ngx_eb_genesys_list_t *list, const char *expected, const char *name)
{
    ngx_eb_genesys_request_t  request;

    ngx_memzero(&request, sizeof(request));
    ngx_eb_genesys_list_request(list, &request);

    is_str(&request.method, "GET", "list: %s: method", name);
    is_str(&request.uri, expected, "list: %s: uri", name);
    is_int(request.idempotent, 1, "list: %s: may be repeated", name);
}


static void
lists(void)
{
    ngx_str_t              text;
    ngx_eb_genesys_list_t  list;

    start(&list, "", "");
    is_next(&list, "/list?pageSize=100&pageNumber=1", "first");
    is_int(page(&list, "{\"entities\":[{\"id\":\"1\"},{\"n\":1e2}],"
                "\"nextUri\":\"/api/v2/other?after=xyz%3D\"}"), NGX_AGAIN,
           "list: nextUri");
    is_next(&list, "/list?after=xyz%3D", "its query only");
    is_int(page(&list, "{\"entities\":[{\"id\":\"2\"}],\"nextUri\":"
                "\"https://evil.example/x?after=2\"}"), NGX_AGAIN,
           "list: nextUri of another host");
    is_next(&list, "/list?after=2", "stays at ours");
    is_int(page(&list, "{\"entities\":[]}"), NGX_OK, "list: the end");
    ngx_eb_genesys_list_write(&list, &text);
    is_str(&text, "{\"entities\":[{\"id\":\"1\"},{\"n\":1e2},{\"id\":\"2\"}],"
           "\"total\":3}", "list: all of it");

    start(&list, "", "");
    is_int(page(&list, "{\"subscriptions\":[{}],\"pageNumber\":1,"
                "\"pageCount\":2}"), NGX_AGAIN, "list: page 1 of 2");
    is_next(&list, "/list?pageSize=100&pageNumber=2", "page 2");
    is_int(page(&list, "{\"items\":[{}],\"pageNumber\":2,\"pageCount\":2,"
                "\"nextUri\":null}"), NGX_OK, "list: page 2 of 2");
    ngx_eb_genesys_list_write(&list, &text);
    is_str(&text, "{\"entities\":[{},{}],\"total\":2}", "list: two pages");

    start(&list, "", "");
    is_int(page(&list, "[]"), NGX_OK, "list: an array");
    ngx_eb_genesys_list_write(&list, &text);
    is_str(&text, "{\"entities\":[],\"total\":0}", "list: empty");

    start(&list, "me", "");
    is_int(page(&list, "{\"entities\":[1,null,{},{\"name\":7},{\"name\":"
                "\"me2\",\"id\":\"0\"},{\"id\":\"9\",\"name\":\"m\\u0065\"},"
                "{\"name\":\"me\",\"id\":\"10\"}],\"nextUri\":\"?a\"}"),
           NGX_OK, "list: a name is found");
    is_str(&list.id, "9", "list: its id");
    is_str(&list.entity, "{\"id\":\"9\",\"name\":\"m\\u0065\"}",
           "list: its bytes");

    start(&list, "me", "");
    is_int(page(&list, "{\"entities\":[{\"name\":\"you\"}]}"), NGX_OK,
           "list: a name is not found");
    is_int(list.entity.len, 0, "list: nothing then");

    start(&list, "me", "bridge");
    is_next(&list, "/list?pageSize=100&pageNumber=1&integrationType=bridge",
            "type");
    is_int(page(&list, "{\"entities\":[{\"name\":\"me\",\"id\":\"1\"},"
                "{\"name\":\"me\",\"id\":\"2\",\"integrationType\":{\"id\":"
                "\"x\"}},{\"name\":\"me\",\"id\":\"3\",\"integrationType\":"
                "{\"id\":\"bridge\"}}]}"), NGX_OK, "list: of a type");
    is_str(&list.id, "3", "list: the one of the type");

    start(&list, "", "");
    list.uri = str("/list?division=7");
    is_next(&list, "/list?division=7&pageSize=100&pageNumber=1",
            "a template with a query");
}


static void
hostile_lists(void)
{
    ngx_str_t              body;
    ngx_int_t              rc;
    ngx_uint_t             i;
    ngx_eb_genesys_list_t  list;

    static const char *bad[] = {
        "", "<html>", "7", "null", "\"entities\"", "{}",
        "{\"entities\":{}}", "{\"entities\":[}", "{\"entities\":[]",
        "{\"entities\":[{\"name\":\"me\"}]}",
        "{\"entities\":[{\"name\":\"me\",\"id\":7}]}",
        "{\"entities\":[{\"name\":\"me\",\"id\":\"\"}]}",
        "{\"entities\":[{\"name\":\"me\",\"id\":\"..\"}]}",
        "{\"entities\":[{\"name\":\"me\",\"id\":\"a/../b\"}]}",
        "{\"entities\":[{\"name\":\"me\",\"id\":\"a\\r\\nX: y\"}]}",
        "{\"entities\":[],\"nextUri\":\"/no/query\"}",
        "{\"entities\":[],\"nextUri\":\"/x?\"}",
        "{\"entities\":[],\"nextUri\":\"/x?a b\"}",
        "{\"entities\":[],\"nextUri\":\"/x?a\\r\\nHost: b\"}",
        "{\"entities\":[],\"nextUri\":\"/x?a\\u0000b\"}",
        "{\"entities\":[],\"nextUri\":\"/x?a#b\"}",
        "{\"entities\":[],\"nextUri\":\"/x?\xc3\xa4\"}",
        "{\"entities\":[],\"nextUri\":\"/x?pageSize=100&pageNumber=1\"}"
    };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        start(&list, "me", "");
        rc = page(&list, bad[i]);
        ok(rc == NGX_DECLINED && list.error != NULL,
           "list: hostile %d (%s)", (int) i, list.error ? list.error : "");
    }

    /* pages without an end */

    start(&list, "me", "");

    for (i = 0, rc = NGX_AGAIN; rc == NGX_AGAIN && i < 1000; i++) {
        body.data = ngx_pnalloc(pool, 64);
        body.len = ngx_sprintf(body.data,
                               "{\"entities\":[],\"nextUri\":\"?p=%ui\"}", i)
                   - body.data;
        rc = ngx_eb_genesys_list_page(&list, &body);
    }

    is_int(rc, NGX_DECLINED, "list: without an end");
    is_int(i, NGX_EB_GENESYS_MAX_PAGES, "list: pages read of it");

    start(&list, "me", "");

    for (i = 0, rc = NGX_AGAIN; rc == NGX_AGAIN && i < 1000; i++) {
        rc = page(&list, "{\"entities\":[],\"pageNumber\":1,"
                  "\"pageCount\":1e12}");
    }

    is_int(rc, NGX_DECLINED, "list: numbers without an end");
    is_int(i, NGX_EB_GENESYS_MAX_PAGES, "list: pages read of them");

    /* five of 4 MB */

    body.len = 3 * 20000 + 1;
    body.data = ngx_pnalloc(pool, body.len);
    body.data[0] = '[';

    for (i = 0; i < 20000; i++) {
        ngx_memcpy(body.data + 1 + 3 * i, "{},", 3);
    }

    body.data[body.len - 1] = ']';
    start(&list, "", "");
    is_int(ngx_eb_genesys_list_page(&list, &body), NGX_DECLINED,
           "list: too many things");

    start(&list, "me", "");

    for (i = 0, rc = NGX_AGAIN; rc == NGX_AGAIN && i < 9; i++) {
        body.len = 4 * 1024 * 1024;
        body.data = ngx_pnalloc(pool, body.len);
        memset(body.data, ' ', body.len);
        ngx_sprintf(body.data, "{\"entities\":[],\"nextUri\":\"?p=%ui\"}", i);

        rc = ngx_eb_genesys_list_page(&list, &body);
    }

    is_int(rc, NGX_DECLINED, "list: too many bytes");
    is_int(i, 5, "list: pages read until then");
}


static void
no_memory(void)
{
    ngx_int_t                 rc, n;
    ngx_str_t                 text, out, differs;
    ngx_eb_genesys_doc_t     *doc;
    ngx_eb_genesys_list_t     list;
    ngx_eb_genesys_member_t  *first;

    first = members();
    text = str("{\"name\":\"\",\"destination\":{\"endpoint\":\"\\u0066\"}}");

    for (n = 0, rc = NGX_ERROR; rc == NGX_ERROR && n < 100; n++) {
        shim_allocs = n;
        rc = ngx_eb_genesys_patch(ours, theirs, first, &text, &out, &differs);
    }

    shim_allocs = -1;
    is_int(rc, NGX_OK, "no memory: a patch, at last");
    ok(n > 2, "no memory: but not at first");

    start(&list, "me", "t");
    text = str("{\"entities\":[{\"name\":\"m\\u0065\",\"id\":\"\\u0031\","
               "\"integrationType\":{\"id\":\"\\u0074\"}}]}");

    for (n = 0, rc = NGX_ERROR; rc == NGX_ERROR && n < 100; n++) {
        shim_allocs = n;
        rc = ngx_eb_genesys_list_page(&list, &text);
    }

    shim_allocs = -1;
    is_int(rc, NGX_OK, "no memory: a page, at last");
    is_int(n, 4, "no memory: three strings");

    for (n = 0, doc = NULL; doc == NULL && n < 100; n++) {
        shim_allocs = n;
        doc = ngx_eb_genesys_doc_create(pool);
    }

    shim_allocs = -1;
    ok(doc != NULL, "no memory: a reader, at last");
}


int
main(void)
{
    pool = ngx_create_pool(4096, NULL);

    ours = ngx_eb_genesys_doc_create(pool);
    theirs = ngx_eb_genesys_doc_create(pool);

    durations();
    costs();
    integers();
    numbers();
    patches();
    sets();
    ids();
    paths();
    lists();
    hostile_lists();
    no_memory();

    ngx_destroy_pool(pool);
    is_int(shim_blocks, 0, "nothing is left");

    return done_testing();
}
