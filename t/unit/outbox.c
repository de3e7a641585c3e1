
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Lines of the outbox, waits and budgets, and signatures.
 */

/* sources: src/runtime/ngx_eb_outbox_line.c src/wire/ngx_eb_out.c */
/* sources: src/wire/ngx_eb_webhook.c src/wire/ngx_eb_time.c */
/* libs: -lcrypto */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_outbox_line.h"


/* 6 Nov 1994 08:49:37 GMT, of RFC 7231 */
#define DATE  784111777

#define ID    "msg_0123456789abcdef0123456789abcdef"


static void lines(void);
static void marks(void);
static void refused(void);
static void names(void);
static void waits(void);
static void budget(void);
static void keys(void);
static void signature(void);
static ngx_int_t parse(const char *text, ngx_eb_outbox_line_t *line);
static void set(ngx_str_t *s, const char *text);
static ngx_msec_t wait_after(ngx_uint_t attempts, const char *retry_after,
    ngx_uint_t random);


/* what is written is read back; what follows the payload never is its part */

static void
lines(void)
{
    u_char                 buf[1024], *p;
    ngx_eb_outbox_line_t   line, back;

    ngx_memzero(&line, sizeof(ngx_eb_outbox_line_t));

    line.kind = NGX_EB_OUTBOX_INTENT;
    line.created = 1234567890123;
    set(&line.id, ID);
    set(&line.webhook, "cost-1");
    set(&line.audit, "\"/a \\\"b\\\\\"");
    set(&line.payload, "{\"a\":\"}\\\"\",\"check\":1}");

    p = ngx_eb_outbox_format(buf, &line);

    ok((size_t) (p - buf) <= ngx_eb_outbox_size(&line), "the room is enough");
    is_int(ngx_eb_outbox_parse(buf, p - buf, &back), NGX_OK, "an intent");
    is_int(back.kind, NGX_EB_OUTBOX_INTENT, "its kind");
    is_int(back.created, 1234567890123, "its time");
    is_str(&back.id, ID, "its id");
    is_str(&back.webhook, "cost-1", "its webhook");
    is_str(&back.audit, "\"/a \\\"b\\\\\"", "its audit log, as it was");
    is_str(&back.payload, "{\"a\":\"}\\\"\",\"check\":1}", "its payload");

    line.kind = NGX_EB_OUTBOX_CALLBACK;
    line.webhook.len = 0;
    line.audit.len = 0;

    p = ngx_eb_outbox_format(buf, &line);

    is_int(ngx_eb_outbox_parse(buf, p - buf, &back), NGX_OK,
           "a callback for nobody");
    is_int(back.kind, NGX_EB_OUTBOX_CALLBACK, "nobody: kind");
    is_int(back.webhook.len, 0, "nobody: no webhook");
    is_int(back.audit.len, 0, "nobody: no audit log");
    is_str(&back.payload, "{\"a\":\"}\\\"\",\"check\":1}", "nobody: payload");
}


static void
marks(void)
{
    u_char                 buf[1024], *p;
    ngx_str_t              text;
    ngx_uint_t             i;
    ngx_eb_outbox_line_t   line, back;

    ngx_memzero(&line, sizeof(ngx_eb_outbox_line_t));

    set(&line.id, ID);

    for (i = NGX_EB_OUTBOX_UNKNOWN; i < NGX_EB_OUTBOX_KINDS; i++) {
        line.kind = (ngx_eb_outbox_kind_e) i;
        line.created = i;

        p = ngx_eb_outbox_format(buf, &line);

        ok(ngx_eb_outbox_parse(buf, p - buf, &back) == NGX_OK
           && (ngx_uint_t) back.kind == i && back.created == (int64_t) i,
           "a mark of kind %d", (int) i);
        is_str(&back.id, ID, "and its id");
    }

    line.kind = NGX_EB_OUTBOX_DEAD;
    line.status = 503;
    line.tries = 7;
    line.reason = "age";

    text.data = buf;
    text.len = ngx_eb_outbox_format(buf, &line) - buf;

    is_str(&text, "{\"v\":1,\"kind\":\"dead\",\"id\":\"" ID "\",\"created\":5,"
           "\"status\":503,\"tries\":7,\"reason\":\"age\"", "why it is dead");
}


/* every beginning of a line, and lines of others */

static void
refused(void)
{
    size_t                 n;
    u_char                *copy;
    ngx_uint_t             i, taken;
    const char            *whole;
    ngx_eb_outbox_line_t   line;

    static const char  *bad[] = {
        "",
        "{}",
        "{\"v\":2,\"kind\":\"done\",\"id\":\"" ID "\",\"created\":1",
        "{\"v\":1,\"kind\":\"other\",\"id\":\"" ID "\",\"created\":1",
        "{\"v\":1,\"kind\":\"done\",\"id\":\"msg_1\",\"created\":1",
        "{\"v\":1,\"kind\":\"done\",\"id\":\"" ID "\",\"created\":-1",
        "{\"v\":1,\"kind\":\"done\",\"id\":\"" ID "\",\"created\":1x",
        "{\"v\":1,\"kind\":\"callback\",\"id\":\"" ID "\",\"created\":1",
        "{\"v\":1,\"kind\":\"callback\",\"id\":\"" ID "\",\"created\":1,"
            "\"webhook\":\"a b\",\"audit\":\"\",\"payload\":{}",
        "{\"v\":1,\"kind\":\"callback\",\"id\":\"" ID "\",\"created\":1,"
            "\"webhook\":\"a\",\"audit\":\"\",\"payload\":[]",
        "{\"v\":1,\"kind\":\"callback\",\"id\":\"" ID "\",\"created\":1,"
            "\"webhook\":\"a\",\"audit\":\"\\\",\"payload\":{}"
    };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        is_int(parse(bad[i], &line), NGX_DECLINED, "refused: %s", bad[i]);
    }

    whole = "{\"v\":1,\"kind\":\"callback\",\"id\":\"" ID "\",\"created\":12,"
            "\"webhook\":\"a\",\"audit\":\"b\",\"payload\":{\"c\":1}";

    is_int(parse(whole, &line), NGX_OK, "a whole line");

    /* each in a block of its own: nothing is read beyond it */

    taken = 0;

    for (n = 0; n < strlen(whole); n++) {
        copy = malloc(n + 1);

        ngx_memcpy(copy, whole, n);
        taken += (ngx_eb_outbox_parse(copy, n, &line) == NGX_OK);
        free(copy);
    }

    is_int(taken, 0, "no part of it");
}


static void
names(void)
{
    u_char      long_name[NGX_EB_OUTBOX_NAME + 1], random[16];
    u_char      id[NGX_EB_OUTBOX_ID];
    ngx_str_t   name;
    ngx_uint_t  i;

    set(&name, "Cost_platform-1.example");
    ok(ngx_eb_outbox_named(&name), "a name");

    set(&name, "");
    ok(!ngx_eb_outbox_named(&name), "no name");

    set(&name, "a\"b");
    ok(!ngx_eb_outbox_named(&name), "a quote");

    ngx_memset(long_name, 'a', sizeof(long_name));
    name.data = long_name;
    name.len = NGX_EB_OUTBOX_NAME;
    ok(ngx_eb_outbox_named(&name), "the longest name");

    name.len++;
    ok(!ngx_eb_outbox_named(&name), "one that is longer");

    for (i = 0; i < 16; i++) {
        random[i] = (u_char) (i * 17);
    }

    ngx_eb_outbox_id(id, random);
    name.data = id;
    name.len = sizeof(id);
    is_str(&name, "msg_00112233445566778899aabbccddeeff", "an id");
}


static void
waits(void)
{
    ngx_uint_t  i, over;

    is_int(wait_after(1, "", 0), 0, "no jitter, no wait");
    is_int(wait_after(1, "", 1000), 1000, "up to a second at first");
    is_int(wait_after(1, "", 1001), 0, "and not more");
    is_int(wait_after(2, "", 2000), 2000, "then up to two");
    is_int(wait_after(9, "", 256000), 256000, "then more");
    is_int(wait_after(10, "", 300000), 300000, "up to the cap");
    is_int(wait_after(10, "", 300001), 0, "and not more than that");

    over = 0;

    for (i = 0; i < 200; i++) {
        over += wait_after(i, "", 4000000007u) > NGX_EB_OUTBOX_CAP;
    }

    is_int(over, 0, "however many attempts there were");

    is_int(wait_after(5, "7", 0), 7000, "Retry-After in seconds");
    is_int(wait_after(5, "7", 123999), 7999, "and some jitter");
    is_int(wait_after(1, "99999", 0), 3600000, "it has a cap, too");
    is_int(wait_after(1, "0", 500), 500, "now is not at once");
    is_int(wait_after(1, "Sun, 06 Nov 1994 08:49:47 GMT", 0), 10000,
           "Retry-After as a date");
    is_int(wait_after(1, "Sun, 06 Nov 1994 08:49:27 GMT", 300), 300,
           "a date that is over");
    is_int(wait_after(1, "soon", 300), 300, "Retry-After that is neither");
}


static void
budget(void)
{
    ok(ngx_eb_outbox_over(2, 3, 0, 1000, 60, 0) == NULL, "a try is left");
    ok(ngx_eb_outbox_over(3, 3, 0, 1000, 60, 0) != NULL, "that was the last");
    ok(ngx_eb_outbox_over(9999, 0, 0, 1000, 60, 0) == NULL, "any number");
    ok(ngx_eb_outbox_over(1, 0, 0, 60000, 60, 0) == NULL, "just in time");
    ok(ngx_eb_outbox_over(1, 0, 0, 60001, 60, 0) != NULL, "too late");
    ok(ngx_eb_outbox_over(1, 0, 0, 50000, 60, 10001) != NULL,
       "the next would be too late");
    ok(ngx_eb_outbox_over(1, 0, 90000, 0, 60, 0) == NULL,
       "the clock was set back");
}


static void
keys(void)
{
    u_char     buf[NGX_EB_OUTBOX_KEY], text[NGX_EB_OUTBOX_KEY + 1];
    ngx_str_t  secret, key;

    set(&secret, "whsec_YWJj");
    is_int(ngx_eb_outbox_key(&secret, buf, &key), NGX_OK, "whsec_");
    is_str(&key, "abc", "is base64");

    set(&secret, "YWJj");
    is_int(ngx_eb_outbox_key(&secret, buf, &key), NGX_OK, "any other");
    is_str(&key, "YWJj", "is as it is");

    set(&secret, "whsec_");
    is_int(ngx_eb_outbox_key(&secret, buf, &key), NGX_ERROR, "nothing");

    set(&secret, "whsec_a!c");
    is_int(ngx_eb_outbox_key(&secret, buf, &key), NGX_ERROR, "no base64");

    ngx_memset(text, 'a', sizeof(text));
    secret.data = text;
    secret.len = NGX_EB_OUTBOX_KEY;
    is_int(ngx_eb_outbox_key(&secret, buf, &key), NGX_OK, "the longest");

    secret.len++;
    is_int(ngx_eb_outbox_key(&secret, buf, &key), NGX_ERROR, "one too long");
}


/* the example of the specification of Standard Webhooks */

static void
signature(void)
{
    u_char     buf[NGX_EB_OUTBOX_KEY], out[NGX_EB_OUTBOX_SIGNATURE];
    ngx_str_t  secret, key, content, text;

    set(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    set(&content, "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330."
        "{\"test\": 2432232314}");

    is_int(ngx_eb_outbox_key(&secret, buf, &key), NGX_OK, "a key");
    is_int(ngx_eb_outbox_sign(&key, &content, out), NGX_OK, "signed");

    text.data = out;
    text.len = sizeof(out);
    is_str(&text, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
           "the signature");
}


static ngx_int_t
parse(const char *text, ngx_eb_outbox_line_t *line)
{
    return ngx_eb_outbox_parse((u_char *) text, strlen(text), line);
}


static void
set(ngx_str_t *s, const char *text)
{
    s->data = (u_char *) text;
    s->len = strlen(text);
}


static ngx_msec_t
wait_after(ngx_uint_t attempts, const char *retry_after, ngx_uint_t random)
{
    ngx_str_t  value;

    set(&value, retry_after);

    return ngx_eb_outbox_wait(attempts, &value, DATE, random);
}


int
main(void)
{
    lines();
    marks();
    refused();
    names();
    waits();
    budget();
    keys();
    signature();

    return done_testing();
}
