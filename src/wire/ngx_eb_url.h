
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The URLs of endpoints: RFC 3986, and no more of it than is safe to hand to
 * others, who may read the rest in their own way.
 */


#ifndef _NGX_EB_URL_H_INCLUDED_
#define _NGX_EB_URL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_EB_URL_MAX   2048
#define NGX_EB_URL_HOST  253


/* parts are borrowed from the text; of a user or password there is none */

typedef struct {
    ngx_str_t                 host;         /* without brackets, in the case
                                               that it has */
    ngx_str_t                 authority;    /* host and port, as written */
    ngx_str_t                 path;         /* "/path", or empty */
    ngx_str_t                 args;         /* behind "?", or empty */
    in_port_t                 port;
    unsigned                  tls:1;        /* https */
    unsigned                  ipv4:1;       /* the host is an address */
    unsigned                  ipv6:1;
} ngx_eb_url_t;


/*
 * http or https, a host, maybe a port, path and arguments.  The host is a name
 * of ASCII letters, digits, "-" and "_" (others by their punycode), an IPv4
 * address of four decimal parts, or an IPv6 address in brackets, without a
 * zone.  What other programs take for an address (2130706433, 0x7f.1,
 * 127.1, 0177.0.0.1) is none, nor is it a name.  Neither user nor fragment.
 * NULL, or what is wrong: words that follow "invalid URL: ".
 */
const char *ngx_eb_url_parse(ngx_str_t *text, ngx_eb_url_t *url);

/*
 * What a URL must be besides when someone on the network has chosen it: https,
 * on port 443 or one that needs no privileges.  An address is not judged
 * here, see ngx_eb_address.h.  NULL, or what is wrong, likewise.
 */
const char *ngx_eb_url_foreign(ngx_eb_url_t *url);


#endif /* _NGX_EB_URL_H_INCLUDED_ */
