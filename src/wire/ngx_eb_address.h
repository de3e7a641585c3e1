
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Which addresses are of the public Internet.
 */


#ifndef _NGX_EB_ADDRESS_H_INCLUDED_
#define _NGX_EB_ADDRESS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * NULL: a public unicast address.  Otherwise what it is, by IANA's registries
 * of special addresses: "loopback", "private", "link-local", "multicast",
 * "metadata service"...  An IPv6 address that carries an IPv4 one (mapped,
 * compatible, translated, 6to4, NAT64, ISATAP) is what that is.
 */
const char *ngx_eb_address_special(struct sockaddr *sa);


#endif /* _NGX_EB_ADDRESS_H_INCLUDED_ */
