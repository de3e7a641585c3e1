
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Keys and signatures of Standard Webhooks, by themselves and in a file.
 */

/* sources: src/wire/ngx_eb_webhook.c src/runtime/ngx_eb_secrets.c */
/* libs: -lcrypto */


#include <ngx_config.h>
#include <ngx_core.h>
#include <sys/stat.h>
#include "shim.h"
#include "ngx_eb_secrets.h"
#include "ngx_eb_webhook.h"


#define PUBLIC  "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
#define SECRET  "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


static void unhex(const char *hex, u_char *bytes);
static void keys(void);
static void vectors(void);
static ngx_eb_secrets_t *file_of(const char *text);
static void refused(const char *text, const char *why);
static void files(void);


static ngx_pool_t  *pool;
static char         name[] = "/tmp/eb-unit-webhook-XXXXXX";
static u_char       errstr[512];


static void
unhex(const char *hex, u_char *bytes)
{
    size_t  i;

    for (i = 0; i < strlen(hex) / 2; i++) {
        bytes[i] = (u_char) ngx_hextoi((u_char *) hex + i * 2, 2);
    }
}


/* each in a block of its own size, so that a byte too much is seen */

static void
keys(void)
{
    u_char      *buf;
    ngx_int_t    rc;
    ngx_str_t    text, key;
    ngx_uint_t   i;

    static const struct {
        const char  *text;
        size_t       size;
        ngx_int_t    rc;
        size_t       len;
    } cases[] = {
        { "whsec_", 8, NGX_ERROR, 0 },
        { "whsec_=", 8, NGX_ERROR, 0 },
        { "whsec_==", 8, NGX_ERROR, 0 },
        { "whsec_A", 8, NGX_ERROR, 0 },
        { "whsec_AA", 1, NGX_OK, 1 },
        { "whsec_AA==", 1, NGX_OK, 1 },
        { "whsec_AAA=", 1, NGX_ERROR, 0 },
        { "whsec_AAA=", 2, NGX_OK, 2 },
        { "whsec_AAA", 2, NGX_OK, 2 },
        { "whsec_AAAA", 2, NGX_ERROR, 0 },
        { "whsec_AAAA", 3, NGX_OK, 3 },
        { "whsec_AAAAA", 3, NGX_ERROR, 0 },
        { "whsec_AAAAAA==", 4, NGX_OK, 4 },
        { "whsec_AAAAAA==", 3, NGX_ERROR, 0 },
        { "whsec_A~AA", 8, NGX_ERROR, 0 },
        { "whsec_AA AA", 8, NGX_ERROR, 0 },
        { "whsec_-_-_", 8, NGX_ERROR, 0 },
        { "whsec", 8, NGX_DECLINED, 0 },
        { "whsek_AAAA", 8, NGX_DECLINED, 0 },
        { "Whsec_AAAA", 8, NGX_DECLINED, 0 },
        { "", 8, NGX_DECLINED, 0 },
        { SECRET, 24, NGX_OK, 24 },
        { SECRET, 23, NGX_ERROR, 0 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        text.len = strlen(cases[i].text);
        text.data = malloc(text.len + 1);
        ngx_memcpy(text.data, cases[i].text, text.len);

        buf = malloc(cases[i].size);
        ngx_str_null(&key);

        rc = ngx_eb_webhook_key(&text, NGX_EB_WEBHOOK_SECRET, buf,
                                cases[i].size, &key);

        is_int(rc, cases[i].rc, "\"%s\" in %zu bytes", cases[i].text,
               cases[i].size);

        if (rc == NGX_OK) {
            is_int(key.len, cases[i].len, "\"%s\": its length",
                   cases[i].text);
            ok(key.data == buf, "\"%s\": its place", cases[i].text);
        }

        free(text.data);
        free(buf);
    }
}


/* RFC 8032, 7.1 */

static void
vectors(void)
{
    u_char      key[32], sig[64];
    ngx_str_t   text;
    ngx_uint_t  i, n;

    unhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
          key);
    unhex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
          "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
          sig);

    text.data = (u_char *) "r!";
    text.len = 1;

    ok(ngx_eb_webhook_verify(key, &text, sig), "test 2 of RFC 8032");

    text.len = 2;
    ok(!ngx_eb_webhook_verify(key, &text, sig), "more than is signed");

    text.len = 0;
    ok(!ngx_eb_webhook_verify(key, &text, sig), "less than is signed");

    text.len = 1;
    n = 0;

    for (i = 0; i < 64 * 8; i++) {
        sig[i / 8] ^= 1 << (i % 8);
        n += ngx_eb_webhook_verify(key, &text, sig);
        sig[i / 8] ^= 1 << (i % 8);
    }

    is_int(n, 0, "each bit of a signature counts");

    for (i = 0; i < 32 * 8; i++) {
        key[i / 8] ^= 1 << (i % 8);
        n += ngx_eb_webhook_verify(key, &text, sig);
        key[i / 8] ^= 1 << (i % 8);
    }

    is_int(n, 0, "each bit of a key counts");
    ok(ngx_eb_webhook_verify(key, &text, sig), "as they were");
}


static ngx_eb_secrets_t *
file_of(const char *text)
{
    FILE       *fp;
    ngx_err_t   err;
    ngx_str_t   path;

    fp = fopen(name, "wb");

    if (fp == NULL || fwrite(text, 1, strlen(text), fp) != strlen(text)
        || fclose(fp) != 0 || chmod(name, 0600) != 0)
    {
        abort();
    }

    path.data = (u_char *) name;
    path.len = strlen(name);

    return ngx_eb_secrets_open(pool, &path, NGX_EB_SECRETS_WEBHOOK, &shim_log,
                               errstr, sizeof(errstr), &err);
}


static void
refused(const char *text, const char *why)
{
    ok(file_of(text) == NULL, "refused: %.*s", (int) strcspn(text, "\n"),
       text);
    ok(strstr((char *) errstr, why) != NULL, "%s: %s", why, (char *) errstr);
}


static void
files(void)
{
    u_char             v1[2][32], v1a[2][64];
    ngx_str_t          text, out, in, *who;
    ngx_eb_secrets_t  *s;

    s = file_of("pub:" PUBLIC "\nmac:" SECRET "\n");

    if (!ok(s != NULL, "a file of both: %s", (char *) errstr)) {
        return;
    }

    /* the example that the libraries of the standard are tested with */

    text.data = (u_char *) "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330."
                           "{\"test\": 2432232314}";
    text.len = strlen((char *) text.data);

    in.data = (u_char *) "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    in.len = 44;
    out.data = v1[1];
    ngx_memzero(v1, sizeof(v1));

    (void) ngx_decode_base64(&out, &in);

    who = ngx_eb_secrets_verify(s, EVP_sha256(), &text, v1[0], 2);
    ok(who && who->len == 3 && memcmp(who->data, "mac", 3) == 0, "an HMAC");

    ok(ngx_eb_secrets_verify(s, EVP_sha256(), &text, v1[0], 1) == NULL,
       "a wrong HMAC");

    text.len--;
    ok(ngx_eb_secrets_verify(s, EVP_sha256(), &text, v1[0], 2) == NULL,
       "an HMAC of another text");

    /* test 1 of RFC 8032, of no text */

    ngx_memzero(v1a, sizeof(v1a));
    unhex("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
          "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
          v1a[1]);

    text.len = 0;

    who = ngx_eb_secrets_verify_public(s, &text, v1a[0], 2);
    ok(who && who->len == 3 && memcmp(who->data, "pub", 3) == 0, "Ed25519");

    ok(ngx_eb_secrets_verify_public(s, &text, v1a[0], 1) == NULL,
       "a wrong Ed25519 signature");
    ok(ngx_eb_secrets_verify_public(s, &text, v1a[0], 0) == NULL,
       "no Ed25519 signature");

    text.len = 1;
    ok(ngx_eb_secrets_verify_public(s, &text, v1a[0], 2) == NULL,
       "Ed25519 of another text");

    /* neither kind of key is taken for the other */

    s = file_of("a:" SECRET "\n");
    text.len = 0;
    ok(s && ngx_eb_secrets_verify_public(s, &text, v1a[0], 2) == NULL,
       "no public key");

    in = *ngx_eb_secrets_key(s, 0);
    is_int(in.len, 24, "a key is kept decoded");
    is_int(in.data[0], 0x31, "its first byte");
    is_str(ngx_eb_secrets_name(s, 0), "a", "its name");
    ok(ngx_eb_secrets_name(s, 1) == NULL, "no second name");

    text.data = (u_char *) SECRET;
    text.len = strlen(SECRET);
    ok(ngx_eb_secrets_match(s, &text) == NULL, "it is not to be shown");

    refused("a:MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", "neither \"whsec_\"");
    refused("a:whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", "neither \"whsec_\"");
    refused("a:" SECRET "\nb:whsec_\n", "\"whsec_\" is no base64 in ");
    refused("a:whsec_~\n", "\"whsec_\" is no base64 in ");
    refused("a:whpk_\n", "\"whpk_\" is no base64 of 32 bytes");
    refused("a:whpk_~\n", "\"whpk_\" is no base64 of 32 bytes");
    refused("a:whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
            "\"whpk_\" is no base64 of 32 bytes");
    refused("a:" SECRET " \n", "\"whsec_\" is no base64 in ");
}


int
main(void)
{
    int  fd;

    pool = ngx_create_pool(4096, &shim_log);

    fd = mkstemp(name);

    if (fd == -1 || close(fd) != 0) {
        abort();
    }

    keys();
    vectors();
    files();

    ngx_destroy_pool(pool);
    (void) unlink(name);

    return done_testing();
}
