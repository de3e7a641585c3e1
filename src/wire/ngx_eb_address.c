
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Which addresses are of the public Internet: what IANA's registries of
 * special-purpose addresses call globally reachable.
 */


#include "ngx_eb_address.h"


typedef struct {
    uint32_t                  net;
    uint32_t                  bits;
    const char               *what;
} ngx_eb_address_net_t;


typedef struct {
    u_char                    net[16];
    uint32_t                  bits;
    uint32_t                  at;           /* of the IPv4 address */
    const char               *what;         /* NULL: what that is */
} ngx_eb_address_net6_t;


static const char *ngx_eb_address_ipv4(uint32_t addr);
static const char *ngx_eb_address_ipv6(const u_char *addr);
static ngx_uint_t ngx_eb_address_begins(const u_char *addr,
    const ngx_eb_address_net6_t *net);


/* the first that has it counts */

static const ngx_eb_address_net_t  ngx_eb_address_nets[] = {
    { 0xa9fea9fe, 32, "metadata service" },     /* 169.254.169.254 */
    { 0xa9feaa02, 32, "metadata service" },     /* 169.254.170.2 */
    { 0xa9feaa17, 32, "metadata service" },     /* 169.254.170.23 */
    { 0x646464c8, 32, "metadata service" },     /* 100.100.100.200 */
    { 0xa83f8110, 32, "metadata service" },     /* 168.63.129.16 */
    { 0xc00000c0, 32, "metadata service" },     /* 192.0.0.192 */
    { 0x00000000,  8, "unspecified" },
    { 0x0a000000,  8, "private" },              /* 10.0.0.0 */
    { 0x64400000, 10, "carrier-grade NAT" },    /* 100.64.0.0 */
    { 0x7f000000,  8, "loopback" },
    { 0xa9fe0000, 16, "link-local" },           /* 169.254.0.0 */
    { 0xac100000, 12, "private" },              /* 172.16.0.0 */
    { 0xc0000000, 24, "reserved" },             /* 192.0.0.0 */
    { 0xc0000200, 24, "documentation" },        /* 192.0.2.0 */
    { 0xc0586300, 24, "reserved" },             /* 192.88.99.0, 6to4 relays */
    { 0xc0a80000, 16, "private" },              /* 192.168.0.0 */
    { 0xc6120000, 15, "benchmarking" },         /* 198.18.0.0 */
    { 0xc6336400, 24, "documentation" },        /* 198.51.100.0 */
    { 0xcb007100, 24, "documentation" },        /* 203.0.113.0 */
    { 0xe0000000,  4, "multicast" },
    { 0xffffffff, 32, "broadcast" },
    { 0xf0000000,  4, "reserved" }
};


static const ngx_eb_address_net6_t  ngx_eb_address_nets6[] = {

    { { 0 }, 128, 0, "unspecified" },
    { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 }, 128, 0,
      "loopback" },

    /* ::ffff:a.b.c.d, ::ffff:0:a.b.c.d, ::a.b.c.d */
    { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff }, 96, 12, NULL },
    { { 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff }, 96, 12, NULL },
    { { 0 }, 96, 12, NULL },

    /* 64:ff9b::a.b.c.d; that of a site, 64:ff9b:1::, may be cut anywhere */
    { { 0, 0x64, 0xff, 0x9b }, 96, 12, NULL },
    { { 0, 0x64, 0xff, 0x9b, 0, 1 }, 48, 0, "private" },

    /* fd00:ec2::254, fd20:ce::254 */
    { { 0xfd, 0, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54 }, 128,
      0, "metadata service" },
    { { 0xfd, 0x20, 0, 0xce, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54 }, 128,
      0, "metadata service" },

    { { 0xfc }, 7, 0, "private" },
    { { 0xfe, 0x80 }, 10, 0, "link-local" },
    { { 0xfe, 0xc0 }, 10, 0, "private" },       /* of a site */
    { { 0xff }, 8, 0, "multicast" },

    { { 0x20, 0x01 }, 23, 0, "reserved" },      /* Teredo is among them */
    { { 0x20, 0x01, 0x0d, 0xb8 }, 32, 0, "documentation" },
    { { 0x3f, 0xff }, 20, 0, "documentation" },
    { { 0x3f, 0xfe }, 16, 0, "reserved" },

    /* 2002:a.b.c.d:: */
    { { 0x20, 0x02 }, 16, 2, NULL }
};


const char *
ngx_eb_address_special(struct sockaddr *sa)
{
    switch (sa->sa_family) {

    case AF_INET:
        return ngx_eb_address_ipv4(
                   ntohl(((struct sockaddr_in *) sa)->sin_addr.s_addr));

#if (NGX_HAVE_INET6)
    case AF_INET6:
        return ngx_eb_address_ipv6(
                   ((struct sockaddr_in6 *) sa)->sin6_addr.s6_addr);
#endif
    }

    return "unknown";
}


static const char *
ngx_eb_address_ipv4(uint32_t addr)
{
    ngx_uint_t                   i;
    const ngx_eb_address_net_t  *net;

    for (i = 0;
         i < sizeof(ngx_eb_address_nets) / sizeof(ngx_eb_address_net_t);
         i++)
    {
        net = &ngx_eb_address_nets[i];

        if (((addr ^ net->net) >> (32 - net->bits)) == 0) {
            return net->what;
        }
    }

    return NULL;
}


#define ngx_eb_address_at(p)                                                  \
    ((uint32_t) (p)[0] << 24 | (uint32_t) (p)[1] << 16                        \
     | (uint32_t) (p)[2] << 8 | (p)[3])


static const char *
ngx_eb_address_ipv6(const u_char *addr)
{
    ngx_uint_t                    i;
    const ngx_eb_address_net6_t  *net;

    for (i = 0;
         i < sizeof(ngx_eb_address_nets6) / sizeof(ngx_eb_address_net6_t);
         i++)
    {
        net = &ngx_eb_address_nets6[i];

        if (!ngx_eb_address_begins(addr, net)) {
            continue;
        }

        if (net->what) {
            return net->what;
        }

        return ngx_eb_address_ipv4(ngx_eb_address_at(addr + net->at));
    }

    /* there is no other unicast */

    if ((addr[0] & 0xe0) != 0x20) {
        return "reserved";
    }

    /* ISATAP: any network, 0000:5efe:a.b.c.d or 0200:5efe:a.b.c.d in it */

    if ((addr[8] & 0xfd) == 0 && addr[9] == 0 && addr[10] == 0x5e
        && addr[11] == 0xfe)
    {
        return ngx_eb_address_ipv4(ngx_eb_address_at(addr + 12));
    }

    return NULL;
}


static ngx_uint_t
ngx_eb_address_begins(const u_char *addr, const ngx_eb_address_net6_t *net)
{
    uint32_t  bytes, bits;

    bytes = net->bits / 8;
    bits = net->bits % 8;

    if (ngx_memcmp(addr, net->net, bytes) != 0) {
        return 0;
    }

    return bits == 0 || ((addr[bytes] ^ net->net[bytes]) >> (8 - bits)) == 0;
}
