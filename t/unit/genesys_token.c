
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Tokens: the request, every answer to it, and how long a token is good.
 */

/* sources: src/genesys/ngx_eb_genesys_token.c */
/* sources: src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c */
/* libs: -lsimdjson */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_genesys_token.h"


#define RETRY     1
#define TERMINAL  0

#define LATE      ((ngx_msec_t) 400 * 86400 * 1000)


typedef struct {
    const char               *name;
    ngx_uint_t                status;
    const char               *body;
    ngx_uint_t                retry;
    const char               *words;
} refusal_t;


typedef struct {
    const char               *json;
    ngx_uint_t                seconds;      /* 0: refused */
} lifetime_t;


static ngx_int_t request(const char *id, const char *secret,
    const char *scope, ngx_uint_t in_body);
static ngx_int_t answer(ngx_uint_t status, const char *body);
static void requests(void);
static void answers(void);
static void refusals(void);
static void lifetimes(void);
static void tokens(void);
static void secrets(void);
static void times(void);
static void short_lives(void);
static void clocks(void);
static void no_memory(void);


static refusal_t  table[] = {
    { "row of 2.1.2: unknown client", 400,
      "{\"error\":\"invalid_client\",\"description\":\"client not found\","
      "\"error_description\":\"client not found\"}", TERMINAL,
      "the OAuth client is unknown in this region" },
    { "row of 2.1.2: wrong secret", 401,
      "{\"error\":\"invalid_client\",\"description\":"
      "\"authentication failed\"}", TERMINAL,
      "the secret of the OAuth client is wrong" },
    { "row of 2.1.2: wrong grant", 400,
      "{\"error\":\"unauthorized_client\"}", TERMINAL,
      "the OAuth client is not of the grant type client credentials" },
    { "row of 2.1.2: throttled", 400,
      "{\"error\":\"invalid_request\",\"description\":\"rate limit exceeded; "
      "x\",\"error_description\":\"rate limit exceeded; x\"}", RETRY,
      "the token endpoint has had too many requests" },
    { "throttled, description only", 400,
      "{\"error\":\"invalid_request\",\"description\":"
      "\"Rate Limit Exceeded\"}", RETRY,
      "the token endpoint has had too many requests" },
    { "throttled, error_description only", 400,
      "{\"description\":null,\"error_description\":"
      "\"sorry, r\\u0061te limit exceeded\"}", RETRY,
      "the token endpoint has had too many requests" },
    { "throttled, and calls it otherwise", 400,
      "{\"error\":\"invalid_client\",\"error_description\":"
      "\"rate limit exceeded; x\"}", RETRY,
      "the token endpoint has had too many requests" },
    { "not throttled: elsewhere in the body", 400,
      "{\"error\":\"rate limit exceeded\"}", TERMINAL,
      "the token endpoint answered 400" },
    { "not throttled: half of the words", 400,
      "{\"error_description\":\"rate limit exceede\",\"description\":\"\"}",
      TERMINAL, "the token endpoint answered 400" },
    { "not throttled: another status", 401,
      "{\"error\":\"invalid_client\",\"description\":"
      "\"rate limit exceeded\"}", TERMINAL,
      "the secret of the OAuth client is wrong" },
    { "scope", 400, "{\"error\":\"invalid_scope\"}", TERMINAL,
      "the OAuth client may not have this scope" },
    { "400, another error", 400, "{\"error\":\"invalid_request\"}", TERMINAL,
      "the token endpoint answered 400" },
    { "400, an error that is no string", 400, "{\"error\":{\"a\":[1]}}",
      TERMINAL, "the token endpoint answered 400" },
    { "400, an array", 400, "[\"invalid_client\"]", TERMINAL,
      "the token endpoint answered 400" },
    { "400, HTML", 400, "<html>rate limit exceeded</html>", TERMINAL,
      "the token endpoint answered 400" },
    { "400, nothing", 400, "", TERMINAL, "the token endpoint answered 400" },
    { "401, nothing", 401, "", TERMINAL, "the token endpoint answered 401" },
    { "403", 403, "{\"error\":\"invalid_client\"}", TERMINAL,
      "the token endpoint answered 403" },
    { "404", 404, "", TERMINAL, "the token endpoint answered 404" },
    { "204", 204, "", TERMINAL, "the token endpoint answered 204" },
    { "302", 302, "", TERMINAL, "the token endpoint answered 302" },
    { "408", 408, "", RETRY, "the token endpoint answered 408" },
    { "429", 429, "{}", RETRY, "the token endpoint answered 429" },
    { "500", 500, "", RETRY, "the token endpoint answered 500" },
    { "501", 501, "", TERMINAL, "the token endpoint answered 501" },
    { "502", 502, "<html>", RETRY, "the token endpoint answered 502" },
    { "503", 503, "", RETRY, "the token endpoint answered 503" },
    { "504", 504, "", RETRY, "the token endpoint answered 504" },
    { "599", 599, "", RETRY, "the token endpoint answered 599" },
    { "no answer", 0, "", RETRY, "no answer of the token endpoint" },

    { "200, nothing", 200, "", TERMINAL,
      "the answer of the token endpoint is not a JSON object" },
    { "200, HTML", 200, "<html>", TERMINAL,
      "the answer of the token endpoint is not a JSON object" },
    { "200, an array", 200, "[{\"access_token\":\"a\",\"expires_in\":9}]",
      TERMINAL, "the answer of the token endpoint is not a JSON object" },
    { "200, a string", 200, "\"token\"", TERMINAL,
      "the answer of the token endpoint is not a JSON object" },
    { "200, cut", 200, "{\"access_token\":\"a\",\"expires_in\":9", TERMINAL,
      "the answer of the token endpoint is not a JSON object" },
    { "200, two", 200, "{\"access_token\":\"a\",\"expires_in\":9}{}",
      TERMINAL, "the answer of the token endpoint is not a JSON object" },
    { "200, too deep", 200,
      "{\"access_token\":\"a\",\"expires_in\":9,\"x\":"
      "[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]}", TERMINAL,
      "the answer of the token endpoint is not a JSON object" },
    { "200, empty object", 200, "{}", TERMINAL,
      "the token's \"expires_in\" is not a positive number of seconds" },
    { "200, no token", 200, "{\"expires_in\":9}", TERMINAL,
      "the answer of the token endpoint has no \"access_token\"" },
    { "200, a token in another object", 200,
      "{\"expires_in\":9,\"x\":{\"access_token\":\"a\"}}", TERMINAL,
      "the answer of the token endpoint has no \"access_token\"" },
    { "200, null for a token", 200,
      "{\"access_token\":null,\"expires_in\":9}", TERMINAL,
      "the answer of the token endpoint has no \"access_token\"" },
    { "200, a number for a token", 200,
      "{\"access_token\":123,\"expires_in\":9}", TERMINAL,
      "the answer of the token endpoint has no \"access_token\"" },
    { "200, an empty token", 200,
      "{\"access_token\":\"\",\"expires_in\":9}", TERMINAL,
      "the token is empty" },
    { "200, another type", 200,
      "{\"access_token\":\"a\",\"expires_in\":9,\"token_type\":\"mac\"}",
      TERMINAL, "the token is not of type \"bearer\"" },
    { "200, no string for a type", 200,
      "{\"access_token\":\"a\",\"expires_in\":9,\"token_type\":7}", TERMINAL,
      "the token is not of type \"bearer\"" }
};


static lifetime_t  seconds[] = {
    { "1", 1 },
    { "2", 2 },
    { "300", 300 },
    { "86399", 86399 },
    { "172800", 172800 },
    { "604800", 604800 },
    { " 86399 ", 86399 },
    { "604801", 604800 },
    { "4294967296", 604800 },
    { "4294967297", 604800 },
    { "18446744073709551617", 604800 },
    { "99999999999999999999999999999999999999999999", 604800 },
    { "0", 0 },
    { "-0", 0 },
    { "-1", 0 },
    { "-86399", 0 },
    { "0.5", 0 },
    { "86399.0", 0 },
    { "1e3", 0 },
    { "1E400", 0 },
    { "\"86399\"", 0 },
    { "\"\"", 0 },
    { "null", 0 },
    { "true", 0 },
    { "[86399]", 0 },
    { "{}", 0 }
};


static ngx_pool_t                      *pool;
static ngx_eb_genesys_token_t           token;
static ngx_eb_genesys_verdict_t         verdict;
static ngx_str_t                        authorization, form;


static ngx_int_t
request(const char *id, const char *secret, const char *scope,
    ngx_uint_t in_body)
{
    ngx_eb_genesys_token_settings_t  settings;

    settings.client_id.data = (u_char *) id;
    settings.client_id.len = strlen(id);
    settings.client_secret.data = (u_char *) secret;
    settings.client_secret.len = strlen(secret);
    settings.scope.data = (u_char *) scope;
    settings.scope.len = strlen(scope);
    settings.body_credentials = in_body;

    ngx_reset_pool(pool);

    return ngx_eb_genesys_token_request(pool, &settings, &authorization,
                                        &form);
}


/* the body is gone when it returns: what is kept of it would be noticed */

static ngx_int_t
answer(ngx_uint_t status, const char *body)
{
    size_t                   len;
    ngx_int_t                rc;
    ngx_eb_genesys_reply_t   reply;

    len = strlen(body);

    ngx_memzero(&reply, sizeof(ngx_eb_genesys_reply_t));
    reply.status = status;
    reply.body.data = malloc(len ? len : 1);
    reply.body.len = len;
    ngx_memcpy(reply.body.data, body, len);

    ngx_reset_pool(pool);
    ngx_memset(&token, 0xff, sizeof(token));
    ngx_memset(&verdict, 0xff, sizeof(verdict));

    rc = ngx_eb_genesys_token_reply(pool, &reply, &token, &verdict);

    free(reply.body.data);

    return rc;
}


static void
requests(void)
{
    is_int(request("id", "secret", "", 0), NGX_OK, "header");
    is_str(&authorization, "Basic aWQ6c2VjcmV0", "header: value");
    is_str(&form, "grant_type=client_credentials", "header: body");

    (void) request("Aladdin", "open sesame", "", 0);
    is_str(&authorization, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
           "row 2.2: the header, two of padding");

    (void) request("ab", "c:d/+", "", 0);
    is_str(&authorization, "Basic YWI6YzpkLys=",
           "row 2.2: the header, a colon in the secret");

    (void) request("a", "\xc3\xbf\xc3\xbe", "", 0);
    is_str(&authorization, "Basic YTrDv8O+", "row 2.2: the header, UTF-8");

    (void) request("id", "secret", "integrations integrations:readonly", 0);
    is_str(&form, "grant_type=client_credentials"
                  "&scope=integrations%20integrations%3Areadonly",
           "scope with the header");

    is_int(request("id", "secret", "", 1), NGX_OK, "body");
    is_str(&authorization, "", "body: no header");
    is_str(&form, "grant_type=client_credentials&client_id=id"
                  "&client_secret=secret", "body: value");

    (void) request("a-b.c_d~e", "p&q=r+s%t u/v?w#x;y\"z\\\xc3\xa9", "a&b", 1);
    is_str(&form, "grant_type=client_credentials&client_id=a-b.c_d~e"
                  "&client_secret=p%26q%3Dr%2Bs%25t%20u%2Fv%3Fw%23x%3By%22z"
                  "%5C%C3%A9&scope=a%26b",
           "row 2.2: the body is percent-encoded");

    (void) request("a:b", "c", "", 1);
    is_str(&form, "grant_type=client_credentials&client_id=a%3Ab"
                  "&client_secret=c", "body: a colon in the id");

    is_int(request("a:b", "c", "", 0), NGX_DECLINED,
           "header: no colon in the id");
    is_int(request("", "c", "", 0), NGX_DECLINED, "no id");
    is_int(request("a", "", "", 1), NGX_DECLINED, "no secret");
    is_int(request("a", "secret\n", "", 0), NGX_DECLINED, "a line end");
    is_int(request("a\r", "secret", "", 1), NGX_DECLINED, "a return");
    is_int(request("a", "sec\x7fret", "", 0), NGX_DECLINED, "DEL");
    is_str(&authorization, "", "nothing of what is declined, header");
    is_str(&form, "", "nothing of what is declined, body");
}


static void
answers(void)
{
    is_int(answer(200, "{\"access_token\":\"a-B_9.~+/==\",\"token_type\":"
                       "\"bearer\",\"expires_in\":86399}"),
           NGX_OK, "answer");
    is_str(&token.access_token, "a-B_9.~+/==", "answer: token");
    is_int(token.expires_in, 86399, "answer: lifetime");
    is_str(&verdict.words, "", "answer: no words");
    is_int(verdict.retry, 0, "answer: no retry");

    is_int(answer(200, " {\"x\":[{\"expires_in\":1}],\"expires_in\" : 300 ,"
                       "\"access_\\u0074oken\":\"t\\u006fken\\/\"}\r\n"),
           NGX_OK, "answer with escapes and no type");
    is_str(&token.access_token, "token/", "answer with escapes: token");
    is_int(token.expires_in, 300, "answer with escapes: lifetime");

    is_int(answer(200, "{\"access_token\":\"a\",\"token_type\":\"Bearer\","
                       "\"expires_in\":2}"),
           NGX_OK, "answer, type in another case");
}


static void
refusals(void)
{
    ngx_uint_t              i;
    ngx_eb_genesys_reply_t  reply;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        is_int(answer(table[i].status, table[i].body), NGX_DECLINED, "%s",
               table[i].name);
        is_int(verdict.retry, table[i].retry, "%s: %s", table[i].name,
               table[i].retry ? "retry" : "terminal");
        is_str(&verdict.words, table[i].words, "%s: words", table[i].name);
        is_str(&token.access_token, "", "%s: no token", table[i].name);
    }

    ngx_memzero(&reply, sizeof(ngx_eb_genesys_reply_t));
    ngx_str_set(&reply.error, "connect() failed");

    is_int(ngx_eb_genesys_token_reply(pool, &reply, &token, &verdict),
           NGX_DECLINED, "no answer, and it is said why");
    is_int(verdict.retry, RETRY, "no answer, and it is said why: retry");
    is_str(&verdict.words, "no answer of the token endpoint: "
                           "connect() failed",
           "no answer, and it is said why: words");
}


static void
lifetimes(void)
{
    char        body[256];
    ngx_uint_t  i;

    for (i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
        snprintf(body, sizeof(body),
                 "{\"access_token\":\"a\",\"expires_in\":%s}",
                 seconds[i].json);

        is_int(answer(200, body), seconds[i].seconds ? NGX_OK : NGX_DECLINED,
               "expires_in: %s", seconds[i].json);
        is_int(token.expires_in, seconds[i].seconds, "expires_in: %s: is",
               seconds[i].json);
        is_int(verdict.retry, TERMINAL, "expires_in: %s: no retry",
               seconds[i].json);
    }

    is_int(answer(200, "{\"access_token\":\"a\"}"), NGX_DECLINED,
           "expires_in: none");
}


static void
tokens(void)
{
    char        body[NGX_EB_GENESYS_TOKEN_MAX + 256], *p;
    size_t      len;
    ngx_int_t   rc;
    ngx_uint_t  ch, bad;

    bad = 0;

    for (ch = 0; ch < 128; ch++) {
        snprintf(body, sizeof(body),
                 "{\"access_token\":\"a\\u%04xb\",\"expires_in\":9}",
                 (unsigned) ch);

        rc = answer(200, body);

        if (rc != ((ch > ' ' && ch < 0x7f) ? NGX_OK : NGX_DECLINED)
            || (rc == NGX_OK && (token.access_token.len != 3
                                 || token.access_token.data[1] != ch)))
        {
            diag("character %d: %d", (int) ch, (int) rc);
            bad++;
        }
    }

    is_int(bad, 0, "token: every character");

    is_int(answer(200, "{\"access_token\":\"a\\r\\nX: y\",\"expires_in\":9}"),
           NGX_DECLINED, "token: another header in it");
    is_str(&verdict.words, "the token has characters that a header cannot "
                           "carry", "token: another header in it: words");
    is_int(answer(200, "{\"access_token\":\"\xc3\xa9\",\"expires_in\":9}"),
           NGX_DECLINED, "token: not ASCII");

    for (len = NGX_EB_GENESYS_TOKEN_MAX; len <= NGX_EB_GENESYS_TOKEN_MAX + 1;
         len++)
    {
        p = body + snprintf(body, sizeof(body), "{\"access_token\":\"");
        memset(p, 'x', len);
        snprintf(p + len, 64, "\",\"expires_in\":9}");

        is_int(answer(200, body),
               len == NGX_EB_GENESYS_TOKEN_MAX ? NGX_OK : NGX_DECLINED,
               "token: %d bytes", (int) len);
        is_int(token.access_token.len,
               len == NGX_EB_GENESYS_TOKEN_MAX ? len : 0,
               "token: %d bytes: length", (int) len);
    }

    is_str(&verdict.words, "the token is longer than 8192 bytes",
           "token: too long: words");
}


/* nothing that a server wrote gets into words */

static void
secrets(void)
{
    static const char  *names[] = { "error", "description",
                                    "error_description", "access_token",
                                    "token_type", "expires_in", "message" };

    char        body[256];
    ngx_uint_t  i, status, bad;

    bad = 0;

    for (status = 0; status < 600; status++) {
        for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            snprintf(body, sizeof(body), "{\"%s\":\"canary\"}", names[i]);

            if (answer(status, body) != NGX_DECLINED
                || verdict.words.len == 0
                || memmem(verdict.words.data, verdict.words.len, "canary", 6))
            {
                diag("status %d, %s", (int) status, names[i]);
                bad++;
            }
        }
    }

    is_int(bad, 0, "words: nothing of the server's");
}


static void
times(void)
{
    ngx_eb_genesys_token_times_t  t;

    ngx_eb_genesys_token_times(&t, LATE, 86400, 60000, 0);

    is_int(t.expires - LATE, 86400000, "row 1.2: expiry");
    is_int(t.refresh - LATE, 86340000, "row 1.2: refresh at the margin");

    /* row 2.1: asked at any time, it is the same moment */

    is_int(ngx_eb_genesys_token_fresh(&t, LATE), 1, "row 2.1: fresh at first");
    is_int(ngx_eb_genesys_token_fresh(&t, LATE + 86339999), 1,
           "row 2.1: fresh to the last");
    is_int(ngx_eb_genesys_token_fresh(&t, LATE + 86340000), 0,
           "row 2.1: not fresh");
    is_int(ngx_eb_genesys_token_usable(&t, LATE + 86399999), 1,
           "row 2.1: usable to the last");
    is_int(ngx_eb_genesys_token_usable(&t, LATE + 86400000), 0,
           "row 2.1: expired");
    is_int(ngx_eb_genesys_token_usable(&t, LATE + 100 * 86400000ull), 0,
           "row 2.1: expired long ago");

    ngx_eb_genesys_token_times(&t, LATE, 86400, 60000, 6000);
    is_int(t.refresh - LATE, 86334000, "jitter: the most");

    ngx_eb_genesys_token_times(&t, LATE, 86400, 60000, 6001);
    is_int(t.refresh - LATE, 86340000, "jitter: no more");

    ngx_eb_genesys_token_times(&t, LATE, 86400, 0, 12345);
    is_int(t.refresh - LATE, 86400000, "no margin");

    ngx_eb_genesys_token_times(&t, LATE, (ngx_uint_t) -1, (ngx_msec_t) -1, 0);
    is_int(t.expires - LATE, 604800000, "a life that nobody lives");
    is_int(t.refresh - LATE, 544320000, "a margin that nobody keeps");
}


/* a margin as long as the token's life: it must be fresh for most of it */

static void
short_lives(void)
{
    static const ngx_uint_t  lives[] = { 1, 2, 10, 299, 300, 301, 3000 };

    ngx_uint_t                    i, random, bad;
    ngx_eb_genesys_token_times_t  t;

    bad = 0;

    for (i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
        for (random = 0; random < 100000; random++) {
            ngx_eb_genesys_token_times(&t, LATE, lives[i], 300000, random);

            if (t.expires != LATE + lives[i] * 1000
                || t.refresh > LATE + lives[i] * 900
                || t.refresh < LATE + lives[i] * 890)
            {
                bad++;
            }
        }
    }

    is_int(bad, 0, "row 0.3: fresh for 89%% of its life or more");

    ngx_eb_genesys_token_times(&t, LATE, 300, 300000, 0);
    is_int(ngx_eb_genesys_token_fresh(&t, LATE + 269999), 1,
           "row 0.3: a token of 300 s is fresh");
    is_int(ngx_eb_genesys_token_fresh(&t, LATE + 270000), 0,
           "row 0.3: until the last tenth");

    ngx_eb_genesys_token_times(&t, LATE, 2, 300000, 0);
    is_int(ngx_eb_genesys_token_fresh(&t, LATE + 1799), 1,
           "row 0.3: a token of 2 s is fresh");
    is_int(ngx_eb_genesys_token_fresh(&t, LATE + 1800), 0,
           "row 0.3: and due");
    is_int(ngx_eb_genesys_token_usable(&t, LATE + 1999), 1,
           "row 0.3: and usable still");
}


/* milliseconds that have wrapped around since */

static void
clocks(void)
{
    ngx_msec_t                    start;
    ngx_eb_genesys_token_times_t  t;

    start = (ngx_msec_t) -100000;

    ngx_eb_genesys_token_times(&t, start, 300, 30000, 0);

    is_int(t.expires, 200000, "wrapped: expiry");
    is_int(ngx_eb_genesys_token_fresh(&t, start), 1, "wrapped: before");
    is_int(ngx_eb_genesys_token_fresh(&t, 169999), 1, "wrapped: fresh");
    is_int(ngx_eb_genesys_token_fresh(&t, 170000), 0, "wrapped: not fresh");
    is_int(ngx_eb_genesys_token_usable(&t, 199999), 1, "wrapped: usable");
    is_int(ngx_eb_genesys_token_usable(&t, 200000), 0, "wrapped: expired");
}


static void
no_memory(void)
{
    ngx_int_t   i, rc;
    ngx_uint_t  n;

    static const char  *bodies[] = {
        "{\"access_token\":\"\\u0061\",\"token_type\":\"\\u0062earer\","
        "\"expires_in\":9}",
        "{\"error\":\"invalid_request\",\"description\":\"\\u0061\","
        "\"error_description\":\"\\u0061\"}"
    };

    for (n = 0; n < 2; n++) {
        rc = NGX_ERROR;

        for (i = 0; i < 20 && rc == NGX_ERROR; i++) {
            shim_allocs = i;
            rc = answer(n ? 400 : 200, bodies[n]);
            shim_allocs = -1;
        }

        is_int(rc, n ? NGX_DECLINED : NGX_OK, "no memory: body %d, at last",
               (int) n);
        ok(i > 2, "no memory: body %d, %d times", (int) n, (int) i - 1);
    }

    for (n = 0; n < 2; n++) {
        rc = NGX_ERROR;

        for (i = 0; i < 20 && rc == NGX_ERROR; i++) {
            shim_allocs = i;
            rc = request("a", "b", "c", n);
            shim_allocs = -1;
        }

        is_int(rc, NGX_OK, "no memory: request %d, at last", (int) n);
        is_int(i - 1, n ? 1 : 3, "no memory: request %d, times", (int) n);
    }
}


int
main(void)
{
    pool = ngx_create_pool(1024, &shim_log);

    requests();
    answers();
    refusals();
    lifetimes();
    tokens();
    secrets();
    times();
    short_lives();
    clocks();
    no_memory();

    ngx_destroy_pool(pool);

    return done_testing();
}
