
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Special addresses, the first and the last of each network, and their
 * neighbors.
 */

/* sources: src/wire/ngx_eb_address.c */


#include <ngx_config.h>
#include <ngx_core.h>
#include <arpa/inet.h>
#include "shim.h"
#include "ngx_eb_address.h"


typedef struct {
    const char               *text;
    const char               *what;         /* NULL: it is public */
} address_t;


static const char *special(const char *text);
static void carried(void);


static const address_t  table[] = {

    { "0.0.0.0", "unspecified" },
    { "0.255.255.255", "unspecified" },
    { "1.0.0.0", NULL },
    { "1.1.1.1", NULL },
    { "8.8.8.8", NULL },
    { "9.255.255.255", NULL },
    { "10.0.0.0", "private" },
    { "10.255.255.255", "private" },
    { "11.0.0.0", NULL },
    { "100.63.255.255", NULL },
    { "100.64.0.0", "carrier-grade NAT" },
    { "100.100.100.200", "metadata service" },
    { "100.127.255.255", "carrier-grade NAT" },
    { "100.128.0.0", NULL },
    { "126.255.255.255", NULL },
    { "127.0.0.0", "loopback" },
    { "127.0.0.1", "loopback" },
    { "127.255.255.255", "loopback" },
    { "128.0.0.0", NULL },
    { "168.63.129.15", NULL },
    { "168.63.129.16", "metadata service" },
    { "169.253.255.255", NULL },
    { "169.254.0.0", "link-local" },
    { "169.254.169.254", "metadata service" },
    { "169.254.170.2", "metadata service" },
    { "169.254.255.255", "link-local" },
    { "169.255.0.0", NULL },
    { "172.15.255.255", NULL },
    { "172.16.0.0", "private" },
    { "172.31.255.255", "private" },
    { "172.32.0.0", NULL },
    { "191.255.255.255", NULL },
    { "192.0.0.0", "reserved" },
    { "192.0.0.192", "metadata service" },
    { "192.0.0.255", "reserved" },
    { "192.0.1.0", NULL },
    { "192.0.2.0", "documentation" },
    { "192.0.2.255", "documentation" },
    { "192.0.3.0", NULL },
    { "192.88.98.255", NULL },
    { "192.88.99.1", "reserved" },
    { "192.88.100.0", NULL },
    { "192.167.255.255", NULL },
    { "192.168.0.0", "private" },
    { "192.168.255.255", "private" },
    { "192.169.0.0", NULL },
    { "198.17.255.255", NULL },
    { "198.18.0.0", "benchmarking" },
    { "198.19.255.255", "benchmarking" },
    { "198.20.0.0", NULL },
    { "198.51.100.7", "documentation" },
    { "203.0.113.255", "documentation" },
    { "203.0.114.0", NULL },
    { "223.255.255.255", NULL },
    { "224.0.0.0", "multicast" },
    { "239.255.255.255", "multicast" },
    { "240.0.0.0", "reserved" },
    { "255.255.255.254", "reserved" },
    { "255.255.255.255", "broadcast" },

    { "::", "unspecified" },
    { "::1", "loopback" },
    { "::2", "unspecified" },               /* 0.0.0.2 */
    { "64:ff9b:1::1", "private" },
    { "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "private" },
    { "64:ff9b:2::", "reserved" },
    { "100::1", "reserved" },
    { "1fff:ffff::", "reserved" },
    { "2000::1", NULL },
    { "2001::1", "reserved" },              /* Teredo */
    { "2001:1ff:ffff::", "reserved" },
    { "2001:200::", NULL },
    { "2001:db7:ffff::", NULL },
    { "2001:db8::1", "documentation" },
    { "2001:db9::", NULL },
    { "2606:4700:4700::1111", NULL },
    { "2a00:1450:4001:80b::200e", NULL },
    { "3ffe::1", "reserved" },
    { "3fff::1", "documentation" },
    { "3fff:fff:ffff::", "documentation" },
    { "3fff:1000::", NULL },
    { "4000::", "reserved" },
    { "5f00::1", "reserved" },
    { "fbff:ffff::", "reserved" },
    { "fc00::", "private" },
    { "fd00:ec2::254", "metadata service" },
    { "fd00:ec2::253", "private" },
    { "fd20:ce::254", "metadata service" },
    { "fdff:ffff::1", "private" },
    { "fe00::1", "reserved" },
    { "fe80::1", "link-local" },
    { "febf:ffff::", "link-local" },
    { "fec0::1", "private" },
    { "feff:ffff::", "private" },
    { "ff00::", "multicast" },
    { "ff02::1", "multicast" }
};


/* an IPv4 address in an IPv6 one */

static const char  *forms[][2] = {
    { "::ffff:", "" },
    { "::ffff:0:", "" },
    { "::", "" },
    { "64:ff9b::", "" },
    { "2002:", "::1" },
    { "2a00:1450::5efe:", "" },
    { "2a00:1450::200:5efe:", "" }
};


static const char *
special(const char *text)
{
    struct sockaddr_in   sin;
    struct sockaddr_in6  sin6;

    memset(&sin, 0, sizeof(sin));
    memset(&sin6, 0, sizeof(sin6));

    sin.sin_family = AF_INET;
    sin6.sin6_family = AF_INET6;

    if (inet_pton(AF_INET, text, &sin.sin_addr) == 1) {
        return ngx_eb_address_special((struct sockaddr *) &sin);
    }

    if (inet_pton(AF_INET6, text, &sin6.sin6_addr) == 1) {
        return ngx_eb_address_special((struct sockaddr *) &sin6);
    }

    diag("%s is no address", text);
    exit(2);
}


static void
carried(void)
{
    char         text[64];
    unsigned     b[4];
    ngx_uint_t   i, j;
    const char  *got, *expected;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {

        if (sscanf(table[i].text, "%u.%u.%u.%u", &b[0], &b[1], &b[2], &b[3])
            != 4)
        {
            continue;
        }

        for (j = 0; j < sizeof(forms) / sizeof(forms[0]); j++) {

            (void) snprintf(text, sizeof(text), "%s%02x%02x:%02x%02x%s",
                            forms[j][0], b[0], b[1], b[2], b[3], forms[j][1]);

            got = special(text);
            expected = table[i].what;

            ok(got == expected || (got && expected
                                   && strcmp(got, expected) == 0),
               "%s, in %s: %s", table[i].text, text, got ? got : "public");
        }
    }
}


int
main(void)
{
    ngx_uint_t       i;
    const char      *got, *expected;
    struct sockaddr  sa;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        got = special(table[i].text);
        expected = table[i].what;

        ok(got == expected || (got && expected && strcmp(got, expected) == 0),
           "%s: %s", table[i].text, got ? got : "public");
    }

    carried();

    memset(&sa, 0, sizeof(sa));
    sa.sa_family = AF_UNIX;
    ok(ngx_eb_address_special(&sa) != NULL, "no address of the Internet");

    return done_testing();
}
