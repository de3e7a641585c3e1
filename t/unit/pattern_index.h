
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Random patterns and random events that are likely to match, made of few
 * names and values: for tests of the index.  What includes this defines
 * rnd(n), a number below n.
 */


#ifndef _PATTERN_INDEX_H_INCLUDED_
#define _PATTERN_INDEX_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define GEN_SIZE  8192


typedef struct {
    char    data[GEN_SIZE];
    size_t  len;
} gen_t;


static ngx_uint_t rnd(ngx_uint_t n);
static void gen(gen_t *g, const char *text);
static void gen_string(gen_t *g);
static void gen_number(gen_t *g);
static void gen_scalar(gen_t *g);
static void gen_list(gen_t *g, void (*one)(gen_t *g), ngx_uint_t n);
static void gen_affix(gen_t *g);
static void gen_but(gen_t *g);
static void gen_numeric(gen_t *g);
static void gen_matcher(gen_t *g);
static void gen_condition(gen_t *g);
static void gen_fields(gen_t *g, ngx_uint_t depth);
static void gen_pattern(gen_t *g);
static void gen_value(gen_t *g, ngx_uint_t depth);
static void gen_members(gen_t *g, ngx_uint_t depth);
static void gen_event(gen_t *g);


static const char  *gen_strings[] = {
    "\"\"", "\"a\"", "\"ab\"", "\"abc\"", "\"Abc\"", "\"ABC\"", "\"b\"",
    "\"abcd-1234-efgh\"", "\"abcd-1235-efgh\"", "\"xabcd-1234-efghx\"",
    "\"ABCD-1234-EFGH\"", "\"abcd-1234\"", "\"1234-efgh\"", "\"1234\"",
    "\"k\"", "\"K\"", "\"\xe2\x84\xaa\"", "\"s\"", "\"\xc5\xbf\"", "\"i\"",
    "\"I\"", "\"\xc4\xb1\"", "\"\xc4\xb0\"", "\"\xc3\xa9t\xc3\xa9\"",
    "\"\xc3\x89T\xc3\x89\"", "\"\\u0061b\"", "\"a\\nb\"", "\"a*b\"",
    "\"a\\\\b\"", "\"\\ud83d\\ude00\"", "\"\\ud83d\"", "\"300\"", "\"300.0\"",
    "\"null\"", "\"true\"", "\"10.0.0.1\"", "\"10.0.0.200\"", "\"10.1.0.1\"",
    "\"::1\"", "\"0:0:0:0:0:0:0:1\"", "\"2001:DB8::5\"", "\"2001:db8::0005\"",
    "\"2001:db9::5\"", "\"::ffff:10.0.0.1\""
};

static const char  *gen_numbers[] = {
    "0", "-0", "0.0", "1", "1.0", "1e0", "10E-1", "2", "3", "300", "300.0",
    "3e2", "-5", "-5.00", "0.1", "0.10", "1e400", "-1e400", "1e-400", "5e9",
    "12345678901234567890", "12345678901234567891", "123456789012345",
    "0.30000000000000004", "9007199254740993", "1.7976931348623157e308"
};

static const char  *gen_names[] = {
    "\"a\"", "\"b\"", "\"c\"", "\"d\"", "\"a.b\"", "\"\"", "\"\\u0061\"",
    "\"source\""
};

static const char  *gen_wildcards[] = {
    "\"*\"", "\"a*\"", "\"*c\"", "\"a*c\"", "\"*b*\"", "\"*1234*\"",
    "\"abcd*efgh\"", "\"*cd-1*\"", "\"*cd-*-ef*\"", "\"\"", "\"abc\"",
    "\"*34-efgh*x\"", "\"a\\\\**\"", "\"*\\\\\\\\*\"", "\"*\xc3\xa9\"",
    "\"1*4\"", "\"*34-e*\""
};

static const char  *gen_cidrs[] = {
    "\"10.0.0.0/8\"", "\"10.0.0.0/24\"", "\"10.0.0.0/30\"", "\"0.0.0.0/0\"",
    "\"::/0\"", "\"2001:db8::/32\"", "\"2001:db8::/29\"", "\"::1/127\"",
    "\"10.0.0.129/25\""
};


#define gen_one_of(g, table)                                                 \
    gen(g, table[rnd(sizeof(table) / sizeof(table[0]))])


static void
gen(gen_t *g, const char *text)
{
    size_t  len;

    len = strlen(text);

    /* what does not fit makes no JSON, and is thrown away by its parser */

    if (g->len + len <= GEN_SIZE) {
        ngx_memcpy(g->data + g->len, text, len);
        g->len += len;
    }
}


static void
gen_string(gen_t *g)
{
    gen_one_of(g, gen_strings);
}


static void
gen_number(gen_t *g)
{
    gen_one_of(g, gen_numbers);
}


static void
gen_scalar(gen_t *g)
{
    static const char  *literals[] = { "null", "true", "false" };

    switch (rnd(8)) {

    case 0:
        gen_one_of(g, literals);
        break;

    case 1:
    case 2:
        gen_number(g);
        break;

    default:
        gen_string(g);
    }
}


static void
gen_list(gen_t *g, void (*one)(gen_t *g), ngx_uint_t n)
{
    gen(g, "[");

    while (n--) {
        one(g);
        gen(g, n ? "," : "");
    }

    gen(g, "]");
}


static void
gen_affix(gen_t *g)
{
    if (rnd(3)) {
        gen_string(g);
        return;
    }

    gen(g, "{\"equals-ignore-case\":");
    gen_string(g);
    gen(g, "}");
}


static void
gen_but(gen_t *g)
{
    switch (rnd(9)) {

    case 0:
        gen_string(g);
        break;

    case 1:
        gen_number(g);
        break;

    case 2:
    case 3:
        gen_list(g, gen_string, 1 + rnd(6));
        break;

    case 4:
        gen_list(g, gen_number, 1 + rnd(6));
        break;

    case 5:
        gen(g, "{\"prefix\":");
        gen_string(g);
        gen(g, "}");
        break;

    case 6:
        gen(g, "{\"suffix\":");
        gen_list(g, gen_string, 1 + rnd(3));
        gen(g, "}");
        break;

    case 7:
        gen(g, "{\"equals-ignore-case\":");
        gen_list(g, gen_string, 1 + rnd(3));
        gen(g, "}");
        break;

    default:
        gen(g, "{\"wildcard\":");
        gen_one_of(g, gen_wildcards);
        gen(g, "}");
    }
}


static void
gen_numeric(gen_t *g)
{
    static const char  *low[] = { "\">\",", "\">=\"," };
    static const char  *high[] = { "\"<\",", "\"<=\"," };

    gen(g, "[");

    switch (rnd(4)) {

    case 0:
        gen(g, "\"=\",");
        break;

    case 1:
        gen_one_of(g, high);
        break;

    case 2:
        gen_one_of(g, low);
        break;

    default:
        gen_one_of(g, low);
        gen_number(g);
        gen(g, ",");
        gen_one_of(g, high);
    }

    gen_number(g);
    gen(g, "]");
}


static void
gen_matcher(gen_t *g)
{
    switch (rnd(15)) {

    case 0:
        gen(g, "{\"prefix\":");
        gen_affix(g);
        break;

    case 1:
        gen(g, "{\"suffix\":");
        gen_affix(g);
        break;

    case 2:
        gen(g, "{\"equals-ignore-case\":");
        gen_string(g);
        break;

    case 3:
        gen(g, "{\"wildcard\":");
        gen_one_of(g, gen_wildcards);
        break;

    case 4:
        gen(g, "{\"wildcard-ignore-case\":");
        gen_one_of(g, gen_wildcards);
        break;

    case 5:
        gen(g, "{\"numeric\":");
        gen_numeric(g);
        break;

    case 6:
        gen(g, "{\"cidr\":");
        gen_one_of(g, gen_cidrs);
        break;

    case 7:
    case 8:
        gen(g, "{\"anything-but\":");
        gen_but(g);
        break;

    case 9:
        gen(g, rnd(2) ? "{\"exists\":true" : "{\"exists\":false");
        break;

    case 10:
        gen(g, rnd(2) ? "{\"regex\":\"^a.c\"" : "{\"exactly\":\"abc\"");
        break;

    default:
        gen_scalar(g);
        return;
    }

    gen(g, "}");
}


static void
gen_condition(gen_t *g)
{
    gen_list(g, gen_matcher, rnd(3) ? 1 : 2 + rnd(3));
}


static void
gen_fields(gen_t *g, ngx_uint_t depth)
{
    ngx_uint_t  i, k, n, m;

    gen(g, "{");

    n = 1 + rnd(3);

    for (i = 0; i < n; i++) {
        gen(g, i ? "," : "");

        if (depth < 3 && rnd(8) == 0) {
            m = 2 + rnd(2);
            gen(g, "\"$or\":[");

            for (k = 0; k < m; k++) {
                gen(g, k ? "," : "");
                gen_fields(g, depth + 1);
            }

            gen(g, "]");
            continue;
        }

        gen_one_of(g, gen_names);
        gen(g, ":");

        if (depth < 3 && rnd(4) == 0) {
            gen_fields(g, depth + 1);

        } else {
            gen_condition(g);
        }
    }

    gen(g, "}");
}


static void
gen_pattern(gen_t *g)
{
    g->len = 0;
    gen_fields(g, 0);
}


static void
gen_value(gen_t *g, ngx_uint_t depth)
{
    ngx_uint_t  i, n;

    if (depth < 4 && rnd(4) == 0) {
        n = rnd(4);
        gen(g, "[");

        for (i = 0; i < n; i++) {
            gen(g, i ? "," : "");
            gen_value(g, depth + 1);
        }

        gen(g, "]");
        return;
    }

    if (depth < 4 && rnd(4) == 0) {
        gen_members(g, depth + 1);
        return;
    }

    gen_scalar(g);
}


static void
gen_members(gen_t *g, ngx_uint_t depth)
{
    ngx_uint_t  i, n;

    gen(g, "{");

    n = rnd(6);

    for (i = 0; i < n; i++) {
        gen(g, i ? "," : "");
        gen_one_of(g, gen_names);
        gen(g, ":");
        gen_value(g, depth);
    }

    gen(g, "}");
}


static void
gen_event(gen_t *g)
{
    g->len = 0;
    gen_members(g, 0);
}


#endif /* _PATTERN_INDEX_H_INCLUDED_ */
