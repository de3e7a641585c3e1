
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * URLs of endpoints: what is one, and what others may take for another one.
 */

/* sources: src/wire/ngx_eb_url.c */
/* libs: -lcurl */


#include <ngx_config.h>
#include <ngx_core.h>
#include <arpa/inet.h>
#include <curl/curl.h>
#include "shim.h"
#include "ngx_eb_url.h"


typedef struct {
    const char               *text;
    const char               *host;         /* NULL: it is no URL */
    const char               *path;
    const char               *args;
    unsigned                  port;
} good_t;


static const char *parse(const char *text, size_t len, ngx_eb_url_t *url);
static void goods(void);
static void bads(void);
static void foreign(void);
static void lengths(void);
static ngx_uint_t agrees(const char *text, ngx_eb_url_t *url);
static void others(void);


static const good_t  table[] = {
    { "https://example.com", "example.com", "", "", 443 },
    { "https://example.com/", "example.com", "/", "", 443 },
    { "HTTPS://Example.COM/", "Example.COM", "/", "", 443 },
    { "http://example.com", "example.com", "", "", 80 },
    { "https://example.com?a", "example.com", "", "a", 443 },
    { "https://example.com/a/b?c=d&e=@:", "example.com", "/a/b", "c=d&e=@:",
      443 },
    { "https://example.com/a?b?c", "example.com", "/a", "b?c", 443 },
    { "https://example.com:8443/", "example.com", "/", "", 8443 },
    { "https://example.com:1", "example.com", "", "", 1 },
    { "https://example.com:65535", "example.com", "", "", 65535 },
    { "https://a", "a", "", "", 443 },
    { "https://localhost:9", "localhost", "", "", 9 },
    { "https://a.b-c.d_e.xn--p1ai/", "a.b-c.d_e.xn--p1ai", "/", "", 443 },
    { "https://1a.2b.c3/", "1a.2b.c3", "/", "", 443 },
    { "https://example.com./", "example.com.", "/", "", 443 },
    { "https://192.0.2.1/", "192.0.2.1", "/", "", 443 },
    { "https://192.0.2.1:8443", "192.0.2.1", "", "", 8443 },
    { "https://[2001:db8::1]/", "2001:db8::1", "/", "", 443 },
    { "https://[2001:DB8::1]:8443?x", "2001:DB8::1", "", "x", 8443 },
    { "https://[::ffff:127.0.0.1]/", "::ffff:127.0.0.1", "/", "", 443 },
    { "https://example.com/%31%32/~x;y=[1]", "example.com",
      "/%31%32/~x;y=[1]", "", 443 }
};


static const char  *wrong[] = {
    "",
    "https",
    "https:",
    "https:/",
    "https://",
    "https:///",
    "https://?",
    "https:example.com",
    "https:/example.com",
    " https://example.com",
    "ftp://example.com",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_x",
    "//example.com",
    "example.com",
    "httpsx://example.com",

    /* users */

    "https://user@example.com/",
    "https://user:password@example.com/",
    "https://example.com@127.0.0.1/",
    "https://@example.com/",
    "https://a:b@c@d/",
    "https://example.com:443@127.0.0.1",

    /* what some take for IPv4 addresses */

    "https://2130706433/",
    "https://017700000001/",
    "https://0x7f000001/",
    "https://0x7f.0x0.0x0.0x1/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://0177.0.0.01/",
    "https://127.1/",
    "https://127.0.1/",
    "https://127.0.0.1./",
    "https://127.0.0.01/",
    "https://127.0.0.1.1/",
    "https://127.0.0.256/",
    "https://127.0.0.0x1/",
    "https://00000177.1/",
    "https://0/",
    "https://0./",
    "https://4294967297/",
    "https://a.0x7f000001/",
    "https://1.2.3.4.5/",

    /* IPv6 */

    "https://::1/",
    "https://[::1",
    "https://[::1]x/",
    "https://[::1]]/",
    "https://[::1%25lo]/",
    "https://[fe80::1%eth0]/",
    "https://[127.0.0.1]/",
    "https://[]/",
    "https://[example.com]/",
    "https://[::1]@example.com/",
    "https://[v1.fe80::a]/",
    "https://[0000:0000:0000:0000:0000:0000:0000:0000:00001]/",

    /* ports */

    "https://example.com:",
    "https://example.com:/",
    "https://example.com:0",
    "https://example.com:0443",
    "https://example.com:65536",
    "https://example.com:99999",
    "https://example.com:443x",
    "https://example.com:+443",
    "https://example.com:-1",
    "https://example.com:4 43",
    "https://example.com:443:443",
    "https://example.com:18446744073709551617",

    /* characters */

    "https://exa mple.com/",
    "https://example.com/a b",
    "https://example.com/\t",
    "https://example.com/\r\nHost: x",
    "https://example.com/\x7f",
    "https://example.com\\@127.0.0.1/",
    "https://example.com/\\..",
    "https://example.com/#a",
    "https://example.com#@127.0.0.1/",
    "https://%31%32%37.0.0.1/",
    "https://loc%61lhost/",
    "https://example.com/<x>",
    "https://example.com/\"",
    "https://example.com/`id`",
    "https://example.com/{a,b}",
    "https://example.com/a|b",
    "https://example.com/^",

    /* names in other scripts; dots and digits that become ASCII ones */

    "https://b\xc3\xbc" "cher.example/",
    "https://127\xe3\x80\x82" "0\xe3\x80\x82" "0\xe3\x80\x82" "1/",
    "https://\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1/",
    "https://loc\xc7\x80/",
    "https://example.com/\xc3\xbc",

    /* labels */

    "https://.example.com/",
    "https://example..com/",
    "https://example.com../",
    "https://./",
    "https://../",
    "https://exa*mple.com/",
    "https://exam,ple.com/",
    "https://exam;ple.com/",
    "https://exam$ple.com/",
    "https://exam&ple.com/"
};


static const char *
parse(const char *text, size_t len, ngx_eb_url_t *url)
{
    char        *copy;
    ngx_str_t    value;
    const char  *why;

    /* not a byte behind it */

    copy = malloc(len ? len : 1);
    if (copy == NULL) {
        exit(2);
    }

    memcpy(copy, text, len);
    value.data = (u_char *) copy;
    value.len = len;

    why = ngx_eb_url_parse(&value, url);

    /* the parts go with the copy: they are looked at in the text */

    if (why == NULL) {
        url->host.data = (u_char *) text + (url->host.data - value.data);
        url->authority.data = (u_char *) text
                              + (url->authority.data - value.data);
        url->path.data = (u_char *) text + (url->path.data - value.data);

        if (url->args.data) {
            url->args.data = (u_char *) text + (url->args.data - value.data);
        }
    }

    free(copy);

    return why;
}


static void
goods(void)
{
    ngx_uint_t     i;
    const char    *why;
    ngx_eb_url_t   url;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {

        why = parse(table[i].text, strlen(table[i].text), &url);

        if (!ok(why == NULL, "%s", table[i].text)) {
            diag("%s", why);
            continue;
        }

        is_str(&url.host, table[i].host, "%s: host", table[i].text);
        is_str(&url.path, table[i].path, "%s: path", table[i].text);
        is_str(&url.args, table[i].args, "%s: arguments", table[i].text);
        is_int(url.port, table[i].port, "%s: port", table[i].text);
        is_int(url.tls, (table[i].text[4] | 0x20) == 's', "%s: TLS",
               table[i].text);
        is_int(url.ipv4, strncmp(table[i].host, "192.", 4) == 0, "%s: IPv4",
               table[i].text);
        is_int(url.ipv6, strchr(table[i].host, ':') != NULL, "%s: IPv6",
               table[i].text);
        ok(agrees(table[i].text, &url), "%s: libcurl agrees", table[i].text);
    }
}


static void
bads(void)
{
    ngx_uint_t     i;
    const char    *why;
    ngx_eb_url_t   url;

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        why = parse(wrong[i], strlen(wrong[i]), &url);
        ok(why != NULL && why[0], "refused, %d: %s", (int) i,
           why ? why : wrong[i]);
    }

    why = parse("https://a\0b/", 12, &url);
    ok(why != NULL, "a NUL in the host");

    why = parse("https://a/\0", 11, &url);
    ok(why != NULL, "a NUL in the path");
}


static void
foreign(void)
{
    ngx_uint_t     i;
    ngx_eb_url_t   url;

    struct {
        const char               *text;
        ngx_uint_t                good;
    } urls[] = {
        { "https://example.com/", 1 },
        { "https://example.com:443/", 1 },
        { "https://example.com:1024/", 1 },
        { "https://example.com:8443/", 1 },
        { "http://example.com/", 0 },
        { "http://example.com:443/", 0 },
        { "https://example.com:1023/", 0 },
        { "https://example.com:80/", 0 },
        { "https://example.com:25/", 0 },
        { "https://example.com:22/", 0 },
        { "https://example.com:1/", 0 }
    };

    for (i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        ok(parse(urls[i].text, strlen(urls[i].text), &url) == NULL,
           "%s is a URL", urls[i].text);
        ok((ngx_eb_url_foreign(&url) == NULL) == urls[i].good,
           "%s: %s in a request", urls[i].text,
           urls[i].good ? "taken" : "refused");
    }
}


static void
lengths(void)
{
    char          text[NGX_EB_URL_MAX + 2];
    ngx_eb_url_t  url;

    memset(text, 'a', sizeof(text));
    memcpy(text, "https://a/", 10);

    ok(parse(text, NGX_EB_URL_MAX, &url) == NULL, "as long as may be");
    ok(parse(text, NGX_EB_URL_MAX + 1, &url) != NULL, "too long");

    memset(text, 'a', sizeof(text));
    memcpy(text, "https://", 8);
    text[8 + 63] = '.';
    text[8 + 127] = '.';
    text[8 + 191] = '.';

    ok(parse(text, 8 + 253, &url) == NULL, "a host of 253 bytes");
    ok(parse(text, 8 + 254, &url) != NULL, "one more");

    ok(parse(text, 8 + 63, &url) == NULL, "a label of 63 bytes");
    text[8 + 63] = 'a';
    ok(parse(text, 8 + 64, &url) != NULL, "one more");
    ok(parse(text, 8 + 70, &url) != NULL, "seven more");
    text[8 + 65] = '.';
    ok(parse(text, 8 + 70, &url) != NULL, "not the last label");
}


/* does libcurl, who makes the connection, see the same host? */

static ngx_uint_t
agrees(const char *text, ngx_eb_url_t *url)
{
    char        *host, *port, *user;
    CURLU       *u;
    ngx_uint_t   same;

    u = curl_url();
    host = NULL;
    port = NULL;
    user = NULL;

    same = curl_url_set(u, CURLUPART_URL, text, 0) == CURLUE_OK
           && curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK
           && curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT)
              == CURLUE_OK
           && curl_url_get(u, CURLUPART_USER, &user, 0) != CURLUE_OK
           && atoi(port) == url->port;

    if (same && !url->ipv6) {
        same = strlen(host) == url->host.len
               && strncasecmp(host, (char *) url->host.data, url->host.len)
                  == 0;
    }

    curl_free(host);
    curl_free(port);
    curl_free(user);
    curl_url_cleanup(u);

    return same;
}


/*
 * Whatever is taken: neither libcurl nor the C library sees another host in
 * it.  Texts are made of what has a meaning to one of them.
 */

static void
others(void)
{
    char            text[256], host[256];
    unsigned        i, j, n, taken, seed;
    const char     *part;
    ngx_eb_url_t    url;
    struct in_addr  in;

    static const char  *parts[] = {
        "0", "1", "7", "127", "0x", "x", "017", "f", ".", ".", ":", "@", "/",
        "?", "#", "\\", "[", "]", "%", "%2e", "a", "example", "-", "_",
        "::1", "\t", " ", "\xe3\x80\x82", "https://", "443", ";", "&", "e"
    };

    seed = 20240501;
    taken = 0;

    for (i = 0; i < 300000; i++) {
        strcpy(text, "https://");

        seed = seed * 1103515245u + 12345;
        n = 1 + (seed >> 16) % 9;

        for (j = 0; j < n; j++) {
            seed = seed * 1103515245u + 12345;
            part = parts[(seed >> 16) % (sizeof(parts) / sizeof(parts[0]))];
            strcat(text, part);
        }

        if (parse(text, strlen(text), &url)) {
            continue;
        }

        taken++;

        memcpy(host, url.host.data, url.host.len);
        host[url.host.len] = '\0';

        if (inet_aton(host, &in) && !url.ipv4) {
            ok(0, "%s is an address to inet_aton()", text);
            return;
        }

        if (!agrees(text, &url)) {
            ok(0, "libcurl sees something else in %s", text);
            return;
        }
    }

    ok(taken > 1000, "%u of 300000 taken, and nobody disagrees", taken);
}


int
main(void)
{
    goods();
    bads();
    foreign();
    lengths();
    others();

    return done_testing();
}
