
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Regular expressions: what matches, what is refused, and what it may cost.
 */

/* sources: src/route/ngx_eb_regex.c */
/* libs: -lpcre2-8 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <time.h>
#include "shim.h"
#include "ngx_eb_regex.h"


#define match(pattern, subject)                                              \
    match_bytes(pattern, sizeof(pattern) - 1, subject, sizeof(subject) - 1)


static ngx_eb_regex_t *compile(const char *pattern, size_t len);
static ngx_int_t match_bytes(const char *pattern, size_t plen,
    const char *subject, size_t slen);
static void refused(const char *pattern, size_t offset);
static void matches(void);
static void encodings(void);
static void errors(void);
static void costs(void);
static void no_memory(void);
static void cost(const char *pattern, const char *name);


static ngx_pool_t          *pool;
static ngx_eb_regex_ctx_t  *ctx;


static ngx_eb_regex_t *
compile(const char *pattern, size_t len)
{
    size_t           offset;
    ngx_str_t        err, p;
    ngx_eb_regex_t  *re;

    p.data = (u_char *) pattern;
    p.len = len;

    re = ngx_eb_regex_compile(pool, &p, &err, &offset);

    if (re == NULL) {
        printf("# %s: %.*s at %d\n", pattern, (int) err.len, err.data,
               (int) offset);
    }

    return re;
}


static ngx_int_t
match_bytes(const char *pattern, size_t plen, const char *subject,
    size_t slen)
{
    ngx_str_t        s;
    ngx_eb_regex_t  *re;

    re = compile(pattern, plen);
    if (re == NULL) {
        return NGX_ABORT;
    }

    s.data = (u_char *) subject;
    s.len = slen;

    return ngx_eb_regex_match(ctx, re, &s);
}


static void
refused(const char *pattern, size_t offset)
{
    size_t           place;
    ngx_str_t        err, p;
    ngx_eb_regex_t  *re;

    p.data = (u_char *) pattern;
    p.len = strlen(pattern);

    place = 12345;

    re = ngx_eb_regex_compile(pool, &p, &err, &place);

    ok(re == NULL, "refused: %s", pattern);
    ok(err.data != NULL && err.len > 5 && err.len < 256, "says why");
    ok(place == offset, "and where");

    if (place != offset) {
        printf("# at %d, expected %d: %.*s\n", (int) place, (int) offset,
               (int) err.len, err.data);
    }
}


static void
matches(void)
{
    ngx_str_t        s;
    ngx_eb_regex_t  *re;

    ok(match("^conversation:.*", "conversation:1") == NGX_OK, "anchored");
    ok(match("^conversation:.*", "a conversation:1") == NGX_DECLINED,
       "anchored elsewhere");
    ok(match("sation", "conversation:1") == NGX_OK, "anywhere");
    ok(match("", "") == NGX_OK, "nothing in nothing");
    ok(match("", "a") == NGX_OK, "nothing in something");
    ok(match(".", "") == NGX_DECLINED, "something in nothing");
    ok(match("^$", "") == NGX_OK, "empty line");
    ok(match("(a)(b)(c)", "abc") == NGX_OK, "more groups than pairs");
    ok(match("(?<!x)ab(?=c)", "abc") == NGX_OK, "look around");
    ok(match("(?i)ABC", "xabc") == NGX_OK, "no case");
    ok(match("a.b", "a\0b") == NGX_OK, "NUL in the subject");
    ok(match("a\0b", "a\0b") == NGX_OK, "NUL in the pattern");
    ok(match("a\0b", "a") == NGX_DECLINED, "which is not its end");
    ok(match("(*NO_JIT)^a+b", "aaab") == NGX_OK, "interpreted");
    ok(match("(*NO_JIT)^a+b", "aaac") == NGX_DECLINED,
       "interpreted, no match");

    re = compile("^$", 2);
    ngx_str_null(&s);

    ok(re && ngx_eb_regex_match(ctx, re, &s) == NGX_OK, "absent is empty");
}


static void
encodings(void)
{
    ok(match("^.$", "\xc3\xa9") == NGX_OK, "a character, not a byte");
    ok(match("^\\x{e9}$", "\xc3\xa9") == NGX_OK, "by its number");
    ok(match("^.$", "\xf0\x9f\x98\x80") == NGX_OK, "four bytes");
    ok(match("^.$", "\xed\x95\x9c") == NGX_OK, "ED is no surrogate by itself");
    ok(match("^..$", "\xed\x9f\xbf" "a") == NGX_OK, "last before surrogates");
    ok(match("^.$", "\xee\x80\x80") == NGX_OK, "first after surrogates");
    ok(match(".", "\xed\xa0\x80") == NGX_DECLINED, "a high surrogate");
    ok(match(".", "abc\xed\xbf\xbf") == NGX_DECLINED, "a low one at the end");
    ok(match(".", "\xed\x95\x9c\xed\xa0\x80xyz") == NGX_DECLINED,
       "one after another ED");
    ok(match("(*NO_JIT).", "\xed\xa0\x80") == NGX_DECLINED,
       "a surrogate, interpreted");
}


static void
errors(void)
{
    refused("(", 1);
    refused("abc)", 3);
    refused("a[", 2);
    refused("*a", 0);
    refused("\\", 1);
    refused("abc\xff", 3);
    refused("a\\Cb", 3);
}


static void
costs(void)
{
    u_char          *p;
    ngx_str_t        s;
    ngx_eb_regex_t  *re;

    cost("(a+)+$", "nested repeats");
    cost("(*NO_JIT)(a+)+$", "nested repeats, interpreted");
    cost("(a|aa)+$", "alternatives");
    cost("(a|a?)+\\d", "empty alternatives");
    cost("^(([a-z])+.)+[A-Z]([a-z])+$", "nested groups");
    cost("(?:(?1)?a)*(a|(?1)(?1))b\\1", "recursion");

    p = ngx_palloc(pool, 64 * 1024 + 1);
    if (p == NULL) {
        ok(0, "memory");
        return;
    }

    ngx_memset(p, 'a', 64 * 1024 + 1);

    s.data = p;
    s.len = 64 * 1024;

    re = compile("^a+$", 4);

    ok(re && ngx_eb_regex_match(ctx, re, &s) == NGX_OK, "64 KB");

    s.len++;

    ok(re && ngx_eb_regex_match(ctx, re, &s) == NGX_ERROR, "and a byte more");

    /* needs a stack frame a repeat: more than the JIT stack has */

    s.len = 64 * 1024;

    re = compile("^(?:(a)|b)*[cd]", 15);

    ok(re && ngx_eb_regex_match(ctx, re, &s) == NGX_ERROR, "stack limit");

    re = compile("(*NO_JIT)^(?:(a)|b)*[cd]", 24);

    ok(re && ngx_eb_regex_match(ctx, re, &s) == NGX_ERROR,
       "depth or heap limit");

    /* the context is good after all that */

    ok(match("^b", "b") == NGX_OK, "a match after limits");
    ok(match("^b", "c") == NGX_DECLINED, "no match after limits");
}


static void
no_memory(void)
{
    size_t               offset;
    ngx_int_t            n;
    ngx_str_t            bad, err, good;
    ngx_pool_t          *p;
    ngx_eb_regex_t      *re;
    ngx_eb_regex_ctx_t  *c;

    p = ngx_create_pool(4096, &shim_log);
    if (p == NULL) {
        ok(0, "memory");
        return;
    }

    ngx_str_set(&good, "a");
    ngx_str_set(&bad, "(");

    re = NULL;

    for (n = 0; n < 10 && re == NULL; n++) {
        shim_allocs = n;
        re = ngx_eb_regex_compile(p, &good, &err, &offset);
        shim_allocs = -1;

        if (re == NULL && err.data != NULL) {
            break;
        }
    }

    ok(re != NULL && n > 1, "no memory for a pattern is told by no text");

    err.data = NULL;

    for (n = 0; n < 10 && err.data == NULL; n++) {
        shim_allocs = n;
        re = ngx_eb_regex_compile(p, &bad, &err, &offset);
        shim_allocs = -1;
    }

    ok(re == NULL && n > 2 && n < 10, "no memory for the text of an error");

    c = NULL;

    for (n = 0; n < 10 && c == NULL; n++) {
        shim_allocs = n;
        c = ngx_eb_regex_ctx_create(p);
        shim_allocs = -1;
    }

    ok(c != NULL && n > 1, "no memory for a context");

    ngx_destroy_pool(p);
}


static void
cost(const char *pattern, const char *name)
{
    u_char            text[61];
    clock_t           start;
    ngx_int_t         rc;
    ngx_str_t         s;
    ngx_eb_regex_t   *re;

    ngx_memset(text, 'a', 60);
    text[60] = 'b';

    s.data = text;
    s.len = 61;

    re = compile(pattern, strlen(pattern));
    if (re == NULL) {
        ok(0, "%s", name);
        return;
    }

    start = clock();

    rc = ngx_eb_regex_match(ctx, re, &s);

    ok(rc == NGX_ERROR || rc == NGX_DECLINED, "%s: no match", name);
    ok(clock() - start < CLOCKS_PER_SEC / 2, "%s: soon", name);

    printf("# %s: %d after %d us\n", name, (int) rc,
           (int) ((clock() - start) * 1000000 / CLOCKS_PER_SEC));
}


int
main(void)
{
    pool = ngx_create_pool(4096, &shim_log);
    if (pool == NULL) {
        return 1;
    }

    ctx = ngx_eb_regex_ctx_create(pool);
    if (ctx == NULL) {
        return 1;
    }

    matches();
    encodings();
    errors();
    costs();
    no_memory();

    ngx_destroy_pool(pool);

    ok(shim_blocks == 0, "nothing is left");

    return done_testing();
}
