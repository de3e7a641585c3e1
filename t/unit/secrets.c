
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Files of secrets: what is read, what is refused, what changes.
 */

/* sources: src/runtime/ngx_eb_secrets.c src/wire/ngx_eb_webhook.c */
/* libs: -lcrypto */


#include <ngx_config.h>
#include <ngx_core.h>
#include <openssl/hmac.h>
#include <sys/stat.h>
#include "shim.h"
#include "ngx_eb_secrets.h"


static void put(const char *name, const void *data, size_t len, mode_t mode);
static ngx_eb_secrets_t *open_text(const char *text,
    ngx_eb_secrets_form_e form);
static void refused(const char *text, size_t len, const char *why);
static ngx_uint_t matches(ngx_eb_secrets_t *s, const char *text,
    const char *name);
static void later(time_t sec);
static void lines(void);
static void errors(void);
static void files(void);
static void pairs(void);
static void signatures(void);
static void single(void);
static void changes(void);
static void modes(void);
static void memory(void);


static ngx_pool_t  *pool;
static char         dir[] = "/tmp/eb-unit-secrets-XXXXXX";
static u_char       file[256], errstr[512];
static ngx_str_t    path;
static ngx_err_t    err;
static char         big[2 * 1024 * 1024];
static time_t       now;


static void
put(const char *name, const void *data, size_t len, mode_t mode)
{
    FILE    *fp;
    u_char   text[256], *p;

    p = ngx_snprintf(text, sizeof(text), "%s/%s.new%Z", dir, name);

    fp = fopen((char *) text, "wb");

    if (p == text
        || fp == NULL
        || fwrite(data, 1, len, fp) != len
        || fclose(fp) != 0
        || chmod((char *) text, mode) != 0)
    {
        abort();
    }

    (void) ngx_snprintf(file, sizeof(file), "%s/%s%Z", dir, name);

    if (rename((char *) text, (char *) file) != 0) {
        abort();
    }

    path.data = file;
    path.len = ngx_strlen(file);
}


static ngx_eb_secrets_t *
open_text(const char *text, ngx_eb_secrets_form_e form)
{
    put("a", text, strlen(text), 0640);

    return ngx_eb_secrets_open(pool, &path, form, &shim_log, errstr,
                               sizeof(errstr), &err);
}


/* why: what the message is; with ":N" in front, of line N */

static void
refused(const char *text, size_t len, const char *why)
{
    u_char             expected[512];
    ngx_eb_secrets_t  *s;

    put("a", text, len, 0600);

    s = ngx_eb_secrets_open(pool, &path, NGX_EB_SECRETS_SECRET, &shim_log,
                            errstr, sizeof(errstr), &err);

    if (why[0] == ':') {
        (void) ngx_snprintf(expected, sizeof(expected), "%s in %V%c%c%Z",
                            why + 2, &path, ':', why[1]);
    } else {
        (void) ngx_snprintf(expected, sizeof(expected), "%s%Z", why);
    }

    ok(s == NULL && err == 0, "refused: %s", why);
    ok(strcmp((char *) errstr, (char *) expected) == 0, "message: %s",
       (char *) errstr);
}


static ngx_uint_t
matches(ngx_eb_secrets_t *s, const char *text, const char *name)
{
    ngx_str_t  in, *out;

    in.data = (u_char *) text;
    in.len = strlen(text);

    out = ngx_eb_secrets_match(s, &in);

    if (out == NULL || name == NULL) {
        return out == NULL && name == NULL;
    }

    return out->len == strlen(name)
           && memcmp(out->data, name, out->len) == 0;
}


static void
later(time_t sec)
{
    now += sec;
    shim_set_time(now, 0);
}


static void
lines(void)
{
    ngx_eb_secrets_t  *s;

    s = open_text("# a comment: with a colon\r\n"
                  "\r\n"
                  "  \t\n"
                  "  # another\n"
                  "alice:one\r\n"
                  "bob:two:three\n"
                  "alice:four\n"
                  "eve:one\n"
                  "a name: spaces \n"
                  "\xc3\xa9:utf\n"
                  "last:without newline", NGX_EB_SECRETS_SECRET);

    ok(s != NULL, "a file");

    if (s == NULL) {
        return;
    }

    ok(matches(s, "one", "alice"), "the first of equal secrets");
    ok(matches(s, "four", "alice"), "a second secret of a name");
    ok(matches(s, "two:three", "bob"), "a colon in a secret");
    ok(matches(s, " spaces ", "a name"), "spaces count");
    ok(matches(s, "utf", "\xc3\xa9"), "UTF-8");
    ok(matches(s, "without newline", "last"), "the last line");
    ok(matches(s, "on", NULL), "too short");
    ok(matches(s, "onee", NULL), "too long");
    ok(matches(s, "One", NULL), "another case");
    ok(matches(s, "one\r", NULL), "the end of the line does not count");
    ok(matches(s, "", NULL), "nothing");
    ok(matches(s, "alice:one", NULL), "the name does not belong to it");
    ok(matches(s, " with a colon", NULL), "a comment is no secret");

    ok(open_text(":\n", NGX_EB_SECRETS_SECRET) == NULL, "a colon alone");
    ok(open_text("a:b", NGX_EB_SECRETS_SECRET) != NULL, "the shortest file");

    memset(big, 'n', 128);
    memcpy(big + 128, ":s\n", 4);
    ok(open_text(big, NGX_EB_SECRETS_SECRET) != NULL, "the longest name");
}


static void
errors(void)
{
    refused("a:b\nhunter2\n", 12, ":2a line has no colon");
    refused("\n\n:hunter2\n", 11, ":3a name is empty");
    refused("a:\n", 3, ":1a secret is empty");
    refused("a:\r\n", 4, ":1a secret is empty");
    refused("#\na\tb:hunter2\n", 14, ":2a name has control characters");
    refused("a\0b:hunter2\n", 12, ":1a name has control characters");
    refused("a\x7f:hunter2", 10, ":1a name has control characters");
    refused("", 0, "it has no line NAME:SECRET");
    refused("# nothing\n\n", 11, "it has no line NAME:SECRET");

    memset(big, 'n', 129);
    memcpy(big + 129, ":s\n", 4);
    refused(big, 132, ":1a name is longer than 128 bytes");

    memset(big, 'x', sizeof(big));
    memcpy(big, "a:", 2);
    refused(big, 1024 * 1024 + 1, "it is larger than 1 MB");

    put("a", big, 1024 * 1024, 0600);
    ok(ngx_eb_secrets_open(pool, &path, NGX_EB_SECRETS_KEY, &shim_log, errstr,
                           sizeof(errstr), &err)
       != NULL, "exactly 1 MB");
}


static void
files(void)
{
    u_char       name[256];
    ngx_str_t    other;
    ngx_uint_t   i;

    static const struct {
        const char  *name;
        const char  *why;
        ngx_err_t    err;
    } cases[] = {
        { "none", "it cannot be opened", ENOENT },
        { "directory", "it is not a regular file", 0 },
        { "fifo", "it is not a regular file", 0 },
        { "open", "it is readable by everybody, chmod o-r", 0 }
    };

    put("open", "a:hunter2\n", 10, 0644);

    (void) ngx_snprintf(name, sizeof(name), "%s/directory%Z", dir);
    (void) mkdir((char *) name, 0700);

    (void) ngx_snprintf(name, sizeof(name), "%s/fifo%Z", dir);
    (void) mkfifo((char *) name, 0600);

    other.data = name;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {

        (void) ngx_snprintf(name, sizeof(name), "%s/%s%Z", dir,
                            cases[i].name);
        other.len = ngx_strlen(name);

        ok(ngx_eb_secrets_open(pool, &other, NGX_EB_SECRETS_SECRET, &shim_log,
                               errstr, sizeof(errstr), &err)
           == NULL, "refused: %s", cases[i].name);
        ok(strcmp((char *) errstr, cases[i].why) == 0, "%s: %s",
           cases[i].name, (char *) errstr);
        is_int(err, cases[i].err, "%s: errno", cases[i].name);
    }
}


static void
pairs(void)
{
    ngx_eb_secrets_t  *s;

    s = open_text("alice:one\nbob:pass:word\nalice:two\n",
                  NGX_EB_SECRETS_PAIR);

    if (!ok(s != NULL, "pairs")) {
        return;
    }

    ok(matches(s, "alice:one", "alice"), "a pair");
    ok(matches(s, "alice:two", "alice"), "another secret of the name");
    ok(matches(s, "bob:pass:word", "bob"), "a colon in the secret");
    ok(matches(s, "bob:one", NULL), "a secret of another name");
    ok(matches(s, "bob:pass", NULL), "a part of a secret");
    ok(matches(s, "alice:", NULL), "no secret");
    ok(matches(s, "one", NULL), "no name");
}


static void
signatures(void)
{
    u_char             sig[3 * 64], key[] = "key-2";
    ngx_str_t          data, empty, *name;
    unsigned int       len;
    ngx_eb_secrets_t  *s;

    s = open_text("a:key-1\nb:key-2\n", NGX_EB_SECRETS_KEY);

    if (!ok(s != NULL, "keys")) {
        return;
    }

    data.data = (u_char *) "{\"events\":[]}";
    data.len = 13;
    ngx_str_null(&empty);

    memset(sig, 0, sizeof(sig));
    HMAC(EVP_sha256(), key, 5, data.data, data.len, sig + 32, &len);

    name = ngx_eb_secrets_verify(s, EVP_sha256(), &data, sig, 2);
    ok(name && name->len == 1 && name->data[0] == 'b', "a signature of two");
    ok(ngx_eb_secrets_verify(s, EVP_sha256(), &data, sig, 1) == NULL,
       "a wrong signature");
    ok(ngx_eb_secrets_verify(s, EVP_sha256(), &data, sig, 0) == NULL,
       "no signature");

    data.len--;
    ok(ngx_eb_secrets_verify(s, EVP_sha256(), &data, sig, 2) == NULL,
       "other data");
    ok(matches(s, "key-1", NULL), "a key is no secret to be shown");

    HMAC(EVP_sha512(), key, 5, (u_char *) "", 0, sig, &len);
    ok(ngx_eb_secrets_verify(s, EVP_sha512(), &empty, sig, 1) != NULL,
       "SHA-512, no data");

    s = open_text("a:key-1\n", NGX_EB_SECRETS_SECRET);
    ok(s && ngx_eb_secrets_verify(s, EVP_sha512(), &empty, sig, 1) == NULL,
       "digests are no keys");
}


static void
changes(void)
{
    u_char             name[256];
    ngx_uint_t         n;
    ngx_eb_secrets_t  *s;

    s = open_text("a:old\n", NGX_EB_SECRETS_SECRET);

    if (!ok(s != NULL, "a file that changes")) {
        return;
    }

    later(10);
    ngx_eb_secrets_refresh(s, &shim_log);

    put("a", "a:old\na:new\n", 12, 0640);
    ngx_eb_secrets_refresh(s, &shim_log);
    ok(matches(s, "new", NULL), "once a second");

    later(1);
    n = shim_log_lines;
    ngx_eb_secrets_refresh(s, &shim_log);
    ok(matches(s, "new", "a") && matches(s, "old", "a"), "a new secret");
    is_int(shim_log_lines, n + 1, "it is logged");
    ok(strstr((char *) shim_log_line, "2 secrets") != NULL, "how many");

    later(10);
    put("a", "a:new\n", 6, 0640);
    ngx_eb_secrets_refresh(s, &shim_log);
    ok(matches(s, "new", "a") && matches(s, "old", NULL), "without the old");

    later(10);
    put("a", "a:new\nhunter2\n", 14, 0640);
    n = shim_log_lines;
    ngx_eb_secrets_refresh(s, &shim_log);
    ok(matches(s, "new", "a"), "a bad file");
    is_int(shim_log_lines, n + 1, "a bad file is logged");
    ok(strstr((char *) shim_log_line, "no colon in ") != NULL
       && strstr((char *) shim_log_line, ":2") != NULL
       && strstr((char *) shim_log_line, "hunter2") == NULL,
       "where, but not what");

    later(1);
    ngx_eb_secrets_refresh(s, &shim_log);
    later(1);
    ngx_eb_secrets_refresh(s, &shim_log);
    is_int(shim_log_lines, n + 1, "a bad file is logged once");

    put("a", "a:new\n", 6, 0644);
    later(10);
    ngx_eb_secrets_refresh(s, &shim_log);
    is_int(shim_log_lines, n + 2, "another fault is logged");

    (void) ngx_snprintf(name, sizeof(name), "%s/a%Z", dir);
    (void) unlink((char *) name);
    later(1);
    ngx_eb_secrets_refresh(s, &shim_log);
    ok(matches(s, "new", "a"), "no file");
    is_int(shim_log_lines, n + 3, "no file is logged");

    later(1);
    ngx_eb_secrets_refresh(s, &shim_log);
    is_int(shim_log_lines, n + 3, "no file is logged once");

    put("a", "a:third\n", 8, 0600);
    later(1);
    ngx_eb_secrets_refresh(s, &shim_log);
    ok(matches(s, "third", "a") && matches(s, "new", NULL), "a good file");

    /* without another time stamp */

    put("a", "a:other\n", 8, 0600);
    later(0);
    ngx_eb_secrets_refresh(s, &shim_log);
    later(1);
    ngx_eb_secrets_refresh(s, &shim_log);
    ok(matches(s, "other", "a"), "a file of the same size");
}


static void
modes(void)
{
    gid_t              groups[2];
    u_char             name[256];
    ngx_eb_secrets_t  *s;

    (void) chmod(dir, 0711);

    s = open_text("a:b\n", NGX_EB_SECRETS_SECRET);

    if (!ok(s != NULL, "a file with a mode")) {
        return;
    }

    groups[0] = getegid() + 1;
    groups[1] = getegid();

    ok(ngx_eb_secrets_access(s) == 0, "this process can read it");
    ok(ngx_eb_secrets_permitted(s, 0, groups, 0), "root can");
    ok(ngx_eb_secrets_permitted(s, geteuid() + 1, groups, 2), "the group can");
    ok(!ngx_eb_secrets_permitted(s, geteuid() + 1, groups, 1),
       "others cannot");

    (void) ngx_snprintf(name, sizeof(name), "%s/a%Z", dir);
    (void) chmod((char *) name, 0600);
    ok(!ngx_eb_secrets_permitted(s, geteuid() + 1, groups, 2),
       "the group cannot");

    (void) chmod((char *) name, 0640);
    (void) chmod(dir, 0700);
    ok(!ngx_eb_secrets_permitted(s, geteuid() + 1, groups, 2),
       "the directory is closed");

    (void) unlink((char *) name);
    is_int(ngx_eb_secrets_access(s), ENOENT, "it is gone");
    ok(!ngx_eb_secrets_permitted(s, geteuid() + 1, groups, 2), "nobody can");
}


static void
memory(void)
{
    ngx_int_t          i;
    ngx_eb_secrets_t  *s;

    for (i = 0; i < 10; i++) {
        put("a", "a:b\n", 4, 0600);

        shim_allocs = i;
        s = ngx_eb_secrets_open(pool, &path, NGX_EB_SECRETS_PAIR, &shim_log,
                                errstr, sizeof(errstr), &err);
        shim_allocs = -1;

        if (s) {
            break;
        }

        if (strcmp((char *) errstr, "no memory") != 0) {
            diag("%s", errstr);
            break;
        }
    }

    ok(s != NULL && i > 2, "no memory is no crash");

    if (s == NULL) {
        return;
    }

    put("a", "a:c\n", 4, 0600);
    later(10);

    shim_allocs = 0;
    ngx_eb_secrets_refresh(s, &shim_log);
    shim_allocs = -1;

    ok(matches(s, "a:b", "a"), "no memory for the new ones");

    put("a", "a:d\n", 4, 0600);
    later(10);
    ngx_eb_secrets_refresh(s, &shim_log);
    ok(matches(s, "a:d", "a"), "memory again");
}


/* a file that is one secret */

static void
single(void)
{
    ngx_str_t         *value;
    ngx_eb_secrets_t  *s;

    static const char  *bad[] = { "", " \n\t\r\n", "a\nb", "a\177b" };

    ngx_uint_t         i;

    s = open_text(" a secret: of two words\r\n", NGX_EB_SECRETS_VALUE);
    ok(s != NULL, "single: opened");

    value = ngx_eb_secrets_value(s);
    ok(value->len == 22
       && ngx_memcmp(value->data, "a secret: of two words", 22) == 0,
       "single: without the white space around it");

    put("a", "another", 7, 0600);
    later(5);
    ngx_eb_secrets_refresh(s, &shim_log);

    value = ngx_eb_secrets_value(s);
    ok(value->len == 7 && ngx_memcmp(value->data, "another", 7) == 0,
       "single: read again");

    put("a", "\n", 1, 0600);
    later(5);
    ngx_eb_secrets_refresh(s, &shim_log);
    ok(value->len == 7 && ngx_memcmp(value->data, "another", 7) == 0,
       "single: stays as it was when the new one cannot be used");

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ok(open_text(bad[i], NGX_EB_SECRETS_VALUE) == NULL,
           "single: refused: %s", (char *) errstr);
    }

    ngx_memset(big, 'x', 4097);
    big[4097] = '\0';
    ok(open_text(big, NGX_EB_SECRETS_VALUE) == NULL,
       "single: refused: %s", (char *) errstr);

    big[4096] = '\0';
    ok(open_text(big, NGX_EB_SECRETS_VALUE) != NULL, "single: 4096 bytes");
}


int
main(void)
{
    u_char       name[256];
    ngx_uint_t   i;

    static const char  *names[] = { "a", "open", "fifo" };

    pool = ngx_create_pool(4096, NULL);

    if (pool == NULL || mkdtemp(dir) == NULL) {
        return 1;
    }

    now = ngx_time();

    lines();
    errors();
    files();
    pairs();
    signatures();
    single();
    changes();
    modes();
    memory();

    ngx_destroy_pool(pool);

    ok(shim_blocks == 0, "nothing is left");

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void) ngx_snprintf(name, sizeof(name), "%s/%s%Z", dir, names[i]);
        (void) unlink((char *) name);
    }

    (void) ngx_snprintf(name, sizeof(name), "%s/directory%Z", dir);
    (void) rmdir((char *) name);
    (void) rmdir(dir);

    return done_testing();
}
