
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * AWS Signature Version 4: the published test suite, what is signed is found
 * right, and whatever is changed is found wrong.
 */

/* sources: src/wire/ngx_eb_sigv4.c src/wire/ngx_eb_sigv4_canonical.c */
/* sources: src/wire/ngx_eb_time.c */
/* libs: -lcrypto */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_sigv4.h"


#define MAX_HEADERS  80

#define ID       "AKIDEXAMPLE"
#define SECRET   "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define HOST     "example.amazonaws.com"
#define NOW      1440938160
#define STAMP    "20150830T123600Z"
#define SCOPE    ID "/20150830/us-east-1/service/aws4_request"
#define VANILLA                                                              \
    "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"


/* "NAME:VALUE\n" for each header; Host, X-Amz-Date come besides */

typedef struct {
    const char               *name;
    const char               *method;
    const char               *path;
    const char               *query;
    const char               *headers;
    const char               *body;
    const char               *signature;
} vector_t;


static ngx_str_t text(const char *s);
static void fill(const char *method, const char *path, const char *query,
    const char *headers, const char *body);
static void add(const char *key, const char *value);
static ngx_int_t sign(void);
static ngx_str_t *value_of(const char *key);
static ngx_eb_sigv4_e prepare(void);
static ngx_uint_t holds(const char *secret);
static ngx_uint_t known(void);
static void suite(void);
static void documented(void);
static void canonical(void);
static void session(void);
static void changed(void);
static void window(void);
static void stamps(void);
static void malformed(void);
static void lists(void);
static void payload(void);
static void limits(void);
static void bytes(void);
static void memory(void);


static ngx_pool_t              *pool;
static ngx_eb_sigv4_request_t   request;
static ngx_eb_sigv4_keys_t      keys;
static ngx_eb_sigv4_t           v;
static ngx_keyval_t             headers[MAX_HEADERS];
static ngx_array_t              signed_headers;
static ngx_str_t                host;
static time_t                   now;


static const vector_t  vectors[] = {

    { "get-vanilla", "GET", "/", "", "", "", VANILLA },
    { "an empty path", "GET", "", "", "", "", VANILLA },
    { "get-relative", "GET", "/example/..", "", "", "", VANILLA },
    { "get-relative-relative", "GET", "/example1/example2/../..", "", "", "",
      VANILLA },
    { "get-slash", "GET", "//", "", "", "", VANILLA },
    { "get-slash-dot-slash", "GET", "/./", "", "", "", VANILLA },
    { "above the top", "GET", "/../../", "", "", "", VANILLA },
    { "get-slashes", "GET", "//example//", "", "", "",
      "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84" },
    { "get-slash-pointless-dot", "GET", "/./example", "", "", "",
      "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5" },
    { "get-space", "GET", "/example space/", "", "", "",
      "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741" },
    { "get-utf8", "GET", "/\341\210\264", "", "", "",
      "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85" },
    { "get-unreserved", "GET",
      "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
      "", "", "",
      "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f" },
    { "get-vanilla-query", "GET", "/", "Param1=value1", "", "",
      "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb" },
    { "get-vanilla-query-order-key-case", "GET", "/",
      "Param2=value2&Param1=value1", "", "",
      "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
    { "get-vanilla-query-order-key", "GET", "/",
      "Param1=value2&Param1=Value1", "", "",
      "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1" },
    { "get-vanilla-query-order-value", "GET", "/",
      "Param1=value2&Param1=value1", "", "",
      "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694" },
    { "get-vanilla-query-unreserved", "GET", "/",
      "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz="
      "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
      "", "",
      "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197" },
    { "get-vanilla-utf8-query", "GET", "/", "\341\210\264=bar", "", "",
      "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04" },
    { "the same, encoded", "GET", "/", "%e1%88%B4=%62ar", "", "",
      "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04" },
    { "get-header-key-duplicate", "GET", "/", "",
      "My-Header1:value2\nMy-Header1:value2\nMy-Header1:value1\n", "",
      "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea" },
    { "get-header-value-multiline", "GET", "/", "",
      "My-Header1:value1  value2     value3\n", "",
      "cfd34249e4b1c8d6b91ef74165d41a32e5fab3306300901bb65a51a73575eefd" },
    { "get-header-value-order", "GET", "/", "",
      "My-Header1:value4\nMy-Header1:value1\nMy-Header1:value3\n"
      "My-Header1:value2\n", "",
      "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01" },
    { "get-header-value-trim", "GET", "/", "",
      "My-Header1: value1\nMy-Header2: \"a   b   c\"\n", "",
      "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736" },
    { "post-vanilla", "POST", "/", "", "", "",
      "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
    { "post-header-key-case", "POST", "/", "", "", "",
      "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
    { "post-header-key-sort", "POST", "/", "", "My-Header1:value1\n", "",
      "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c" },
    { "post-header-value-case", "POST", "/", "", "My-Header1:VALUE1\n", "",
      "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d" },
    { "post-vanilla-query", "POST", "/", "Param1=value1", "", "",
      "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11" },
    { "post-x-www-form-urlencoded", "POST", "/", "",
      "Content-Type:application/x-www-form-urlencoded\n", "Param1=value1",
      "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a" },
    { "post-x-www-form-urlencoded-parameters", "POST", "/", "",
      "Content-Type:application/x-www-form-urlencoded; charset=utf8\n",
      "Param1=value1",
      "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe" }
};


static ngx_str_t
text(const char *s)
{
    ngx_str_t  str;

    str.data = (u_char *) s;
    str.len = ngx_strlen(s);

    return str;
}


/* lines: NAME:VALUE, each with a newline */

static void
fill(const char *method, const char *path, const char *query,
    const char *lines, const char *body)
{
    const char  *colon, *end;

    ngx_memzero(&request, sizeof(request));

    request.method = text(method);
    request.path = text(path);
    request.query = text(query);
    request.body = text(body);
    request.headers = headers;

    while (*lines) {
        colon = strchr(lines, ':');
        end = strchr(lines, '\n');

        headers[request.nheaders].key.data = (u_char *) lines;
        headers[request.nheaders].key.len = colon - lines;
        headers[request.nheaders].value.data = (u_char *) colon + 1;
        headers[request.nheaders].value.len = end - colon - 1;

        request.nheaders++;
        lines = end + 1;
    }

    keys.key_id = text(ID);
    keys.secret = text(SECRET);
    keys.region = text("us-east-1");
    keys.service = text("service");
    keys.token = text("");

    host = text(HOST);
    now = NOW;
}


static void
add(const char *key, const char *value)
{
    headers[request.nheaders].key = text(key);
    headers[request.nheaders].value = text(value);
    request.nheaders++;
}


static ngx_int_t
sign(void)
{
    ngx_array_init(&signed_headers, pool, 4, sizeof(ngx_keyval_t));

    return ngx_eb_sigv4_sign(pool, &request, &host, &keys, now,
                             &signed_headers);
}


/* of what has been added by sign(), or of the request */

static ngx_str_t *
value_of(const char *key)
{
    ngx_uint_t     i;
    ngx_keyval_t  *h;

    h = signed_headers.elts;

    for (i = 0; i < signed_headers.nelts; i++) {
        if (h[i].key.len == ngx_strlen(key)
            && memcmp(h[i].key.data, key, h[i].key.len) == 0)
        {
            return &h[i].value;
        }
    }

    for (i = 0; i < request.nheaders; i++) {
        if (headers[i].key.len == ngx_strlen(key)
            && memcmp(headers[i].key.data, key, headers[i].key.len) == 0)
        {
            return &headers[i].value;
        }
    }

    diag("no header %s", key);
    abort();
}


static ngx_eb_sigv4_e
prepare(void)
{
    ngx_str_t  service;

    service = text("service");

    return ngx_eb_sigv4_prepare(pool, &request, &service, now, &v);
}


/* the headers of sign() are those of the request from here on */

static ngx_uint_t
known(void)
{
    ngx_uint_t  i;

    if (sign() != NGX_OK) {
        return 0;
    }

    for (i = 0; i < signed_headers.nelts; i++) {
        headers[request.nheaders++] = ((ngx_keyval_t *)
                                       signed_headers.elts)[i];
    }

    signed_headers.nelts = 0;

    return 1;
}


static ngx_uint_t
holds(const char *secret)
{
    ngx_str_t  s;

    s = text(secret);

    return prepare() == NGX_EB_SIGV4_OK && ngx_eb_sigv4_check(&v, &s);
}


static void
suite(void)
{
    ngx_str_t        *value, signature;
    ngx_uint_t        i;
    const vector_t   *t;

    for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        t = &vectors[i];

        fill(t->method, t->path, t->query, t->headers, t->body);

        ok(sign() == NGX_OK, "%s: signed", t->name);

        value = value_of("Authorization");
        signature.data = value->data + value->len - NGX_EB_SIGV4_HEX;
        signature.len = NGX_EB_SIGV4_HEX;

        is_str(&signature, t->signature, "%s: signature", t->name);

        ok(known() && holds(SECRET), "%s: it holds", t->name);
        ok(!holds(SECRET "x"), "%s: not with another secret", t->name);
    }

    fill("GET", "/", "", "", "");
    sign();

    is_str(value_of("Authorization"), "AWS4-HMAC-SHA256 Credential=" SCOPE
           ", SignedHeaders=host;x-amz-date, Signature=" VANILLA,
           "Authorization");
    is_str(value_of("X-Amz-Date"), STAMP, "X-Amz-Date");
    is_str(value_of("Host"), HOST, "Host");
}


/* the examples of the user guide */

static void
documented(void)
{
    u_char     key[NGX_EB_SIGV4_SHA], hex[NGX_EB_SIGV4_HEX];
    ngx_str_t  s, secret, date, region, service;

    secret = text(SECRET);
    date = text("20150830");
    region = text("us-east-1");
    service = text("iam");

    ok(ngx_eb_sigv4_key(&secret, &date, &region, &service, key) == NGX_OK,
       "a key");

    ngx_hex_dump(hex, key, sizeof(key));
    s.data = hex;
    s.len = sizeof(hex);

    is_str(&s, "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154"
           "a4b9", "the key of the guide");

    fill("GET", "/", "Action=ListUsers&Version=2010-05-08",
         "Content-Type:application/x-www-form-urlencoded; charset=utf-8\n",
         "");
    host = text("iam.amazonaws.com");
    keys.service = text("iam");
    sign();

    is_str(value_of("Authorization"), "AWS4-HMAC-SHA256 Credential=" ID
           "/20150830/us-east-1/iam/aws4_request, SignedHeaders="
           "content-type;host;x-amz-date, Signature=5d672d79c15b13162d9279b08"
           "55cfba6789a8edb4c82c400e06b5924a6f2b5d7", "ListUsers");
}


static void
canonical(void)
{
    ngx_str_t    names, out;
    ngx_uint_t   i;

    static const struct {
        const char  *path;
        const char  *query;
        const char  *expected;
    } cases[] = {
        { "/a%20b", "", "/a%2520b\n" },
        { "/a+b", "", "/a%2Bb\n" },
        { "/a/./b/../c/", "", "/a/c/\n" },
        { "/a/..", "", "/\n" },
        { "/a/.../b", "", "/a/.../b\n" },
        { "/a/b/..", "", "/a\n" },
        { "/..a/b..", "", "/..a/b..\n" },
        { "/", "a", "/\na=" },
        { "/", "=", "/\n=" },
        { "/", "a=b=c", "/\na=b%3Dc" },
        { "/", "a=&&b", "/\na=&b=" },
        { "/", "&", "/\n" },
        { "/", "b&a&A&aa&a=1", "/\nA=&a=&a=1&aa=&b=" },
        { "/", "a=%zz", "/\na=%25zz" },
        { "/", "a=%", "/\na=%25" },
        { "/", "a=%4", "/\na=%254" },
        { "/", "a=%41%2f", "/\na=A%2F" },
        { "/", "a+b=c d", "/\na%2Bb=c%20d" },
        { "/", "a%3d=1", "/\na%3D=1" },
        { "/", "%7e=%7E", "/\n~=~" },
        { "/", "a%00=1&a=2", "/\na=2&a%00=1" }
    };

    fill("GET", "/", "", "X:  a  b \t c \n", "");
    names = text("x");

    ok(ngx_eb_sigv4_canonical(pool, &request, &names, (u_char *) VANILLA, &out)
       == NGX_OK, "canonical");
    is_str(&out, "GET\n/\n\nx:a b c\n\nx\n" VANILLA, "a canonical request");

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        request.path = text(cases[i].path);
        request.query = text(cases[i].query);

        (void) ngx_eb_sigv4_canonical(pool, &request, &names,
                                      (u_char *) VANILLA, &out);

        out.data += sizeof("GET\n") - 1;
        out.len = ngx_min(out.len, ngx_strlen(cases[i].expected));

        is_str(&out, cases[i].expected, "canonical: %s?%s", cases[i].path,
               cases[i].query);
    }

    /* empty values are values */

    fill("GET", "/", "", "X:\nX:   \nX:a\n", "");
    (void) ngx_eb_sigv4_canonical(pool, &request, &names, (u_char *) VANILLA,
                                  &out);
    is_str(&out, "GET\n/\n\nx:,,a\n\nx\n" VANILLA, "canonical: empty values");
}


static void
session(void)
{
    fill("POST", "/", "", "X-Amz-Target:AWSEvents.PutEvents\n"
         "Content-Type:application/x-amz-json-1.1\n", "{}");
    keys.token = text("a/token==");
    sign();

    is_str(value_of("X-Amz-Security-Token"), "a/token==", "token: its header");
    ok(ngx_strlcasestrn(value_of("Authorization")->data,
                        value_of("Authorization")->data
                        + value_of("Authorization")->len,
                        (u_char *) "SignedHeaders=content-type;host;"
                        "x-amz-date;x-amz-security-token;x-amz-target,",
                        sizeof("SignedHeaders=content-type;host;x-amz-date;"
                               "x-amz-security-token;x-amz-target,") - 2)
       != NULL, "token: it is signed");

    ok(known() && holds(SECRET), "token: it holds");

    *value_of("X-Amz-Security-Token") = text("another");
    ok(!holds(SECRET), "token: another");

    /* not signed: it means nothing */

    fill("POST", "/", "", "", "{}");
    ok(known() && holds(SECRET), "no token");
    add("X-Amz-Security-Token", "t");
    ok(prepare() == NGX_EB_SIGV4_MALFORMED, "a token that is not signed");

    fill("POST", "/", "", "", "{}");
    (void) known();
    add("X-Amz-Target", "AWSEvents.PutEvents");
    ok(prepare() == NGX_EB_SIGV4_MALFORMED, "a target that is not signed");

    fill("POST", "/", "", "", "{}");
    (void) known();
    add("User-Agent", "x");
    ok(holds(SECRET), "another header that is not signed");

    fill("POST", "/", "", "", "{}");
    ngx_str_null(&host);
    ok(known() && prepare() == NGX_EB_SIGV4_MALFORMED, "no host");
}


static void
changed(void)
{
    ngx_uint_t  i;

    fill("POST", "/a", "b=c", "X-Y:z\n", "{\"a\":1}");
    (void) known();
    ok(holds(SECRET), "unchanged");

    ok(!holds("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEZ"), "another secret");
    ok(!holds(""), "no secret");

    request.method = text("PUT");
    ok(!holds(SECRET), "another method");
    request.method = text("POST");

    request.path = text("/A");
    ok(!holds(SECRET), "another path");
    request.path = text("/a/");
    ok(!holds(SECRET), "a longer path");
    request.path = text("/x/../a");
    ok(holds(SECRET), "the same path");

    request.query = text("b=d");
    ok(!holds(SECRET), "another query");
    request.query = text("b=c&d");
    ok(!holds(SECRET), "a longer query");
    request.query = text("%62=c");
    ok(holds(SECRET), "the same query");

    request.body = text("{\"a\":2}");
    ok(!holds(SECRET), "another body");
    request.body = text("{\"a\":1");
    ok(!holds(SECRET), "a truncated body");
    request.body = text("");
    ok(!holds(SECRET), "no body");
    request.body = text("{\"a\":1}");

    for (i = 0; i < request.nheaders; i++) {
        ngx_str_t  old;

        if (headers[i].key.data[0] == 'A') {
            continue;
        }

        old = headers[i].value;
        headers[i].value = text("20150830T123601Z");
        ok(!holds(SECRET), "header %zu is changed", (size_t) i);
        headers[i].value = text(" ");
        ok(!holds(SECRET), "header %zu is empty", (size_t) i);
        headers[i].value = old;
    }

    add("x-y", "z");
    ok(!holds(SECRET), "a signed header once more");
    request.nheaders--;

    headers[0].key = text("X-Z");
    ok(prepare() == NGX_EB_SIGV4_MALFORMED, "a signed header is not there");
    headers[0].key = text("x-Y");
    ok(holds(SECRET), "another case of its name");

    for (i = 0; i < request.nheaders; i++) {
        if (headers[i].key.data[0] != 'x') {
            add((char *) headers[i].key.data, "x");
            ok(prepare() == NGX_EB_SIGV4_REPEATED, "header %zu twice",
               (size_t) i);
            request.nheaders--;
        }
    }

    v.auth.signature[0] ^= 1;
    ok(holds(SECRET), "at the end");
}


static void
window(void)
{
    ngx_uint_t  i;

    static const struct {
        time_t          delta;
        ngx_eb_sigv4_e  rc;
    } cases[] = {
        { 0, NGX_EB_SIGV4_OK },
        { 300, NGX_EB_SIGV4_OK },
        { 301, NGX_EB_SIGV4_EXPIRED },
        { -300, NGX_EB_SIGV4_OK },
        { -301, NGX_EB_SIGV4_EXPIRED },
        { 86400 * 365, NGX_EB_SIGV4_EXPIRED },
        { -86400 * 365, NGX_EB_SIGV4_EXPIRED }
    };

    fill("GET", "/", "", "", "");
    (void) known();

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        now = NOW + cases[i].delta;
        is_int(prepare(), cases[i].rc, "%ld s later", (long) cases[i].delta);
    }

    /* the day of the scope is that of the time */

    fill("GET", "/", "", "", "");
    now = 1440979199;
    (void) known();
    now += 200;
    ok(holds(SECRET), "over midnight");
}


static void
stamps(void)
{
    u_char      buf[NGX_EB_SIGV4_STAMP];
    time_t      sec;
    ngx_str_t   s;
    ngx_uint_t  i;

    static const char  *bad[] = {
        "", "20150830T123600", "20150830T123600z", "20150830t123600Z",
        "20150830 123600Z", "2015-08-30T12:36Z", "20151330T123600Z",
        "20150832T123600Z", "20150830T243600Z", "20150830T126000Z",
        "2015083aT123600Z", "+0150830T123600Z", "20150830T12360 Z",
        "20150830T123600ZZ", "19690830T123600Z", "20150229T123600Z"
    };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        s = text(bad[i]);
        ok(ngx_eb_sigv4_time(&s, &sec) == NGX_ERROR, "no time: %s", bad[i]);
    }

    for (i = 0; i < 50; i++) {
        time_t  expected;

        expected = (time_t) i * 86399 * 731 + i;

        ngx_eb_sigv4_stamp(expected, buf);
        s.data = buf;
        s.len = sizeof(buf);
        sec = -1;

        ok(ngx_eb_sigv4_time(&s, &sec) == NGX_OK && sec == expected,
           "time %ld", (long) expected);
    }

    ngx_eb_sigv4_stamp(NOW, buf);
    is_str(&s, STAMP, "a stamp");
}


static void
malformed(void)
{
    ngx_str_t    value;
    ngx_uint_t   i;

    static const char  *others[] = {
        "", "Basic YTpi", "Bearer x", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA25 x",
        "AWS4-ECDSA-P256-SHA256 Credential=x", "aws4-hmac-sha256 Credential=x",
        "AWS AKID:sig"
    };

#define REST  ", SignedHeaders=host;x-amz-date, Signature=" VANILLA

    static const char  *bad[] = {
        "AWS4-HMAC-SHA256 ",
        "AWS4-HMAC-SHA256 ,",
        "AWS4-HMAC-SHA256 Credential=" SCOPE,
        "AWS4-HMAC-SHA256 Credential=" SCOPE ", SignedHeaders=host",
        "AWS4-HMAC-SHA256 Credential=" SCOPE ", Signature=" VANILLA,
        "AWS4-HMAC-SHA256 Credential=" SCOPE REST ",",
        "AWS4-HMAC-SHA256 Credential=" SCOPE REST ", Signature=" VANILLA,
        "AWS4-HMAC-SHA256 Credential=" SCOPE REST ", X=y",
        "AWS4-HMAC-SHA256 Credential=" SCOPE REST "0",
        "AWS4-HMAC-SHA256 Credential=" SCOPE ", SignedHeaders=, Signature="
            VANILLA,
        "AWS4-HMAC-SHA256 Credential=" SCOPE ", SignedHeaders=host, Signature="
            "5fa0",
        "AWS4-HMAC-SHA256 Credential=" SCOPE ", SignedHeaders=host, Signature="
            "gfa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        "AWS4-HMAC-SHA256 Credential=" REST,
        "AWS4-HMAC-SHA256 Credential=" ID REST,
        "AWS4-HMAC-SHA256 Credential=" ID "/" REST,
        "AWS4-HMAC-SHA256 Credential=" ID "/20150830" REST,
        "AWS4-HMAC-SHA256 Credential=" ID "/20150830/us-east-1" REST,
        "AWS4-HMAC-SHA256 Credential=" ID "/20150830/us-east-1/service" REST,
        "AWS4-HMAC-SHA256 Credential=" ID "/20150830/us-east-1/service/" REST,
        "AWS4-HMAC-SHA256 Credential=" ID
            "/20150830/us-east-1/service/aws4_reques" REST,
        "AWS4-HMAC-SHA256 Credential=" ID
            "/20150830/us-east-1/service/aws4_request/" REST,
        "AWS4-HMAC-SHA256 Credential=/20150830/us-east-1/service/aws4_request"
            REST,
        "AWS4-HMAC-SHA256 Credential=" ID
            "/2015083/us-east-1/service/aws4_request" REST,
        "AWS4-HMAC-SHA256 Credential=" ID
            "/201508300/us-east-1/service/aws4_request" REST,
        "AWS4-HMAC-SHA256 Credential=" ID
            "/2015083x/us-east-1/service/aws4_request" REST,
        "AWS4-HMAC-SHA256 Credential=" ID "/20150830//service/aws4_request"
            REST,
        "AWS4-HMAC-SHA256 Credential=" ID "/20150830/us-east-1//aws4_request"
            REST,
        "AWS4-HMAC-SHA256 Credential=" ID " "
            "/20150830/us-east-1/service/aws4_request" REST,
        "AWS4-HMAC-SHA256 Credential=" ID "\377"
            "/20150830/us-east-1/service/aws4_request" REST
    };

    static const char  *good[] = {
        "AWS4-HMAC-SHA256 Credential=" SCOPE REST,
        "AWS4-HMAC-SHA256  Credential=" SCOPE REST "  ",
        "AWS4-HMAC-SHA256 Signature=" VANILLA ",SignedHeaders=host;x-amz-date"
            ",Credential=" SCOPE,
        "AWS4-HMAC-SHA256 Credential=" SCOPE " , SignedHeaders=host;x-amz-date"
            "\t,\t Signature=" VANILLA
    };

    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        value = text(others[i]);
        ok(ngx_eb_sigv4_parse(&value, &v.auth) == NGX_DECLINED,
           "another scheme: %s", others[i]);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        value = text(bad[i]);
        ok(ngx_eb_sigv4_parse(&value, &v.auth) == NGX_ERROR, "malformed: %s",
           bad[i]);
    }

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        fill("GET", "/", "", "X-Amz-Date:" STAMP "\nHost:" HOST "\n", "");
        add("Authorization", good[i]);
        ok(holds(SECRET), "well-formed: %s", good[i]);
    }

    is_str(&v.auth.key_id, ID, "key id");
    is_str(&v.auth.region, "us-east-1", "region");
    is_str(&v.auth.service, "service", "service");
    is_str(&v.auth.scope, "20150830/us-east-1/service/aws4_request", "scope");

    /* another day, and another service */

    fill("GET", "/", "", "X-Amz-Date:" STAMP "\nHost:" HOST "\n", "");
    add("Authorization", "AWS4-HMAC-SHA256 Credential=" ID
        "/20150829/us-east-1/service/aws4_request" REST);
    ok(prepare() == NGX_EB_SIGV4_MALFORMED, "the scope of another day");

    fill("GET", "/", "", "", "");
    keys.service = text("services");
    ok(known() && prepare() == NGX_EB_SIGV4_MALFORMED, "another service");
}


static void
lists(void)
{
    ngx_str_t   names, out;
    ngx_uint_t  i;

    static const char  *bad[] = {
        "", ";", "host;", ";host", "host;;x-y", "x-y;host", "host;host",
        "Host", "host;X-Y", "host;x-", "host;x-z", "host x-y", "host,x-y",
        "host:", "host;x-y\n", "hos", "hosts"
    };

    fill("GET", "/", "", "Host:a\nX-Y:b\n", "");

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        names = text(bad[i]);
        ok(ngx_eb_sigv4_canonical(pool, &request, &names, (u_char *) VANILLA,
                                  &out)
           == NGX_DECLINED, "no list: \"%s\"", bad[i]);
    }

    names = text("host;x-y");
    ok(ngx_eb_sigv4_canonical(pool, &request, &names, (u_char *) VANILLA, &out)
       == NGX_OK, "a list");
}


static void
payload(void)
{
    ngx_uint_t  i;

    static const struct {
        const char      *hash;
        ngx_eb_sigv4_e   rc;
    } cases[] = {
        { "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356",
          NGX_EB_SIGV4_OK },
        { "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
          NGX_EB_SIGV4_WRONG },
        { "CA3D163BAB055381827226140568F3BEF7EAAC187CEBD76878E0B63E9E442356",
          NGX_EB_SIGV4_WRONG },
        { "UNSIGNED-PAYLOAD", NGX_EB_SIGV4_MALFORMED },
        { "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", NGX_EB_SIGV4_MALFORMED },
        { "ca3d", NGX_EB_SIGV4_MALFORMED },
        { "", NGX_EB_SIGV4_MALFORMED }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fill("POST", "/", "", "", "{}\n");
        add("X-Amz-Content-Sha256", cases[i].hash);
        (void) known();
        is_int(prepare(), cases[i].rc, "payload: \"%s\"", cases[i].hash);
    }
}


static void
limits(void)
{
    size_t       i;
    ngx_str_t    names;
    u_char       query[NGX_EB_SIGV4_ARGS * 2 + 2];
    static char  name[MAX_HEADERS][8], big[1024 * 1024];

    fill("GET", "/", "", "", "");

    for (i = 0; i <= NGX_EB_SIGV4_ARGS; i++) {
        query[i * 2] = 'a';
        query[i * 2 + 1] = '&';
    }

    request.query.data = query;
    request.query.len = NGX_EB_SIGV4_ARGS * 2;
    ok(sign() == NGX_OK, "as many parameters as there may be");

    request.query.len += 1;
    ok(sign() == NGX_DECLINED, "one more");

    fill("GET", "/", "", "", "");

    for (i = 0; i < NGX_EB_SIGV4_HEADERS - 2; i++) {
        (void) ngx_sprintf((u_char *) name[i], "h%uz%Z", i);
        add(name[i], "v");
    }

    ok(sign() == NGX_OK, "as many headers as there may be");
    add("one", "more");
    ok(sign() == NGX_DECLINED, "one more");

    /* long ones */

    ngx_memset(big, '%', sizeof(big) - 1);
    fill("GET", "/", "", "", "");
    request.path = text(big);
    request.query = text(big);
    add("x", big);
    (void) known();
    ok(holds(SECRET), "long ones");

    fill("GET", "/", "", "", "");
    keys.secret = text(big);
    (void) known();
    ok(holds(big), "a long secret");
    ok(!holds(SECRET), "a long secret and another");

    fill("GET", "/", "", "", "");
    request.headers = NULL;
    ok(ngx_eb_sigv4_names(pool, &request, &names) == NGX_OK && names.len == 0,
       "no headers, no names");
}


/* each bit of Authorization counts; what cannot hold does not */

static void
bytes(void)
{
    u_char      *p;
    size_t       i, len, id;
    ngx_str_t   *value;
    ngx_uint_t   bit, bad;

    fill("POST", "/", "a=b", "X-Amz-Target:t\n", "{}");
    (void) known();

    value = value_of("Authorization");
    len = value->len;
    p = malloc(len);

    ngx_memcpy(p, value->data, len);
    id = sizeof("AWS4-HMAC-SHA256 Credential=") - 1;
    bad = 0;

    for (i = 0; i < len; i++) {
        for (bit = 0; bit < 8; bit++) {
            value->data = p;
            p[i] ^= 1 << bit;

            /* the key id is not signed, it says whose secret to take;
               another case of a digit is the same digit */

            if (holds(SECRET)
                && !(i >= id && i < id + sizeof(ID) - 1)
                && !(bit == 5 && i >= len - NGX_EB_SIGV4_HEX))
            {
                diag("bit %zu of byte %zu", (size_t) bit, i);
                bad++;
            }

            p[i] ^= 1 << bit;
        }
    }

    ok(holds(SECRET), "all bytes as they were");

    for (value->len = 0; value->len < len; value->len++) {
        u_char  *cut;

        /* a block of its own, so that nothing behind it is read */

        cut = malloc(value->len + 1);
        ngx_memcpy(cut, p, value->len);
        value->data = cut;
        bad += holds(SECRET);
        free(cut);
    }

    value->data = p;
    is_int(bad, 0, "changed and truncated ones");
    free(p);
}


static void
memory(void)
{
    ngx_int_t       i;
    ngx_uint_t      refused;
    ngx_eb_sigv4_e  rc;

    fill("POST", "/", "a=b", "X:y\n", "{}");
    refused = 0;

    for (i = 0; i < 20; i++) {
        ngx_array_init(&signed_headers, pool, 4, sizeof(ngx_keyval_t));

        shim_allocs = i;
        refused += (ngx_eb_sigv4_sign(pool, &request, &host, &keys, now,
                                      &signed_headers)
                    == NGX_ERROR);
    }

    shim_allocs = -1;
    ok(refused > 3 && refused < 20, "signing without memory");

    (void) known();
    refused = 0;

    for (i = 0; i < 10; i++) {
        shim_allocs = i;
        rc = prepare();
        refused += (rc == NGX_EB_SIGV4_NOMEM);
    }

    shim_allocs = -1;
    ok(refused > 1 && refused < 10, "verification without memory");
}


int
main(void)
{
    pool = ngx_create_pool(4096, &shim_log);

    suite();
    documented();
    canonical();
    session();
    changed();
    window();
    stamps();
    malformed();
    lists();
    payload();
    limits();
    bytes();
    memory();

    ngx_destroy_pool(pool);

    return done_testing();
}
