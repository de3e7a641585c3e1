
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The URLs of endpoints.
 */


#include "ngx_eb_url.h"
#include <arpa/inet.h>


/* the first port that needs no privileges */
#define NGX_EB_URL_PORTS  1024


static const char *ngx_eb_url_authority(ngx_eb_url_t *url, u_char *p,
    u_char *last);
static const char *ngx_eb_url_port(ngx_eb_url_t *url, u_char *p,
    u_char *last);
static const char *ngx_eb_url_ipv6(ngx_eb_url_t *url);
static const char *ngx_eb_url_name(ngx_eb_url_t *url);


const char *
ngx_eb_url_parse(ngx_str_t *text, ngx_eb_url_t *url)
{
    u_char      *p, *last, *end;
    const char  *why;

    ngx_memzero(url, sizeof(ngx_eb_url_t));

    if (text->len > NGX_EB_URL_MAX) {
        return "it is longer than 2048 bytes";
    }

    p = text->data;
    end = p + text->len;

    if (text->len >= 8
        && ngx_strncasecmp(p, (u_char *) "https://", 8) == 0)
    {
        url->tls = 1;
        url->port = 443;
        p += 8;

    } else if (text->len >= 7
               && ngx_strncasecmp(p, (u_char *) "http://", 7) == 0)
    {
        url->port = 80;
        p += 7;

    } else {
        return "it does not begin with \"https://\"";
    }

    last = end;

    for (end = p; end < last; end++) {

        if (*end >= 0x80) {
            return "it has a character that is not ASCII: write a name as "
                   "its punycode (\"xn--...\"), and others as \"%XX\"";
        }

        /* some take a backslash for a slash, where a name ends */

        if (*end <= ' ' || *end == 0x7f || *end == '\\' || *end == '"'
            || *end == '<' || *end == '>' || *end == '^' || *end == '`'
            || *end == '{' || *end == '|' || *end == '}')
        {
            return "it has a character that no URL has";
        }

        if (*end == '#') {
            return "it has a fragment";
        }
    }

    for (last = p; last < end && *last != '/' && *last != '?'; last++) {
        /* void */
    }

    why = ngx_eb_url_authority(url, p, last);

    if (why) {
        return why;
    }

    for (p = last; p < end && *p != '?'; p++) { /* void */ }

    url->path.data = last;
    url->path.len = p - last;

    if (p < end) {
        url->args.data = p + 1;
        url->args.len = end - p - 1;
    }

    return NULL;
}


static const char *
ngx_eb_url_authority(ngx_eb_url_t *url, u_char *p, u_char *last)
{
    u_char      *colon;
    const char  *why;

    url->authority.data = p;
    url->authority.len = last - p;

    if (ngx_strlchr(p, last, '@')) {
        return "it has a user or a password";
    }

    if (p < last && *p == '[') {

        colon = ngx_strlchr(p, last, ']');

        if (colon == NULL) {
            return "its host is no IPv6 address";
        }

        url->host.data = p + 1;
        url->host.len = colon - p - 1;

        why = ngx_eb_url_ipv6(url);

        colon++;

        if (why == NULL && colon < last && *colon != ':') {
            why = "its host is no IPv6 address";
        }

    } else {
        colon = ngx_strlchr(p, last, ':');

        if (colon == NULL) {
            colon = last;
        }

        url->host.data = p;
        url->host.len = colon - p;

        why = ngx_eb_url_name(url);
    }

    if (why) {
        return why;
    }

    return (colon < last) ? ngx_eb_url_port(url, colon + 1, last) : NULL;
}


static const char *
ngx_eb_url_port(ngx_eb_url_t *url, u_char *p, u_char *last)
{
    ngx_int_t  port;

    /* a zero in front is octal for some */

    if (p == last || *p == '0' || last - p > 5) {
        return "its port is none";
    }

    port = ngx_atoi(p, last - p);

    if (port == NGX_ERROR || port > 65535) {
        return "its port is none";
    }

    url->port = (in_port_t) port;

    return NULL;
}


/* inet_pton() knows nothing of zones */

static const char *
ngx_eb_url_ipv6(ngx_eb_url_t *url)
{
    char             text[INET6_ADDRSTRLEN];
    struct in6_addr  addr;

    if (url->host.len >= sizeof(text)) {
        return "its host is no IPv6 address";
    }

    ngx_memcpy(text, url->host.data, url->host.len);
    text[url->host.len] = '\0';

    if (inet_pton(AF_INET6, text, &addr) != 1) {
        return "its host is no IPv6 address";
    }

    url->ipv6 = 1;

    return NULL;
}


static const char *
ngx_eb_url_name(ngx_eb_url_t *url)
{
    u_char          *p, *last, *label;
    char             text[INET_ADDRSTRLEN];
    struct in_addr   addr;

    if (url->host.len == 0) {
        return "it has no host";
    }

    if (url->host.len > NGX_EB_URL_HOST) {
        return "its host is longer than 253 bytes";
    }

    /* four decimal parts, none with a zero in front */

    if (url->host.len < sizeof(text)) {
        ngx_memcpy(text, url->host.data, url->host.len);
        text[url->host.len] = '\0';

        if (inet_pton(AF_INET, text, &addr) == 1) {
            url->ipv4 = 1;
            return NULL;
        }
    }

    p = url->host.data;
    last = p + url->host.len;

    for (label = p; p < last; p++) {

        if (*p == '.') {

            if (p == label || p - label > 63) {
                return "its host is no name";
            }

            label = p + 1;
            continue;
        }

        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')
              || (*p >= '0' && *p <= '9') || *p == '-' || *p == '_'))
        {
            return "its host is no name";
        }
    }

    /*
     * The last label of a name does not begin with a digit.  Where it does,
     * inet_aton() may see an address: 2130706433, 0x7f.1, 127.1, 0177.0.0.1.
     * A dot at the end makes no difference to it in some libraries.
     */

    if (label == last) {

        for (label--; label > url->host.data && label[-1] != '.'; label--) {
            /* void */
        }

        last--;
    }

    if (last - label > 63 || (*label >= '0' && *label <= '9')) {
        return "its host is neither a name nor an address of four decimal "
               "parts";
    }

    return NULL;
}


const char *
ngx_eb_url_foreign(ngx_eb_url_t *url)
{
    if (!url->tls) {
        return "it does not begin with \"https://\"";
    }

    if (url->port != 443 && url->port < NGX_EB_URL_PORTS) {
        return "its port is neither 443 nor above 1023";
    }

    return NULL;
}
