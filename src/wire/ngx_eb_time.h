
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Event time stamps (RFC 3339, epoch seconds or milliseconds).
 */


#ifndef _NGX_EB_TIME_H_INCLUDED_
#define _NGX_EB_TIME_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_EB_TIME_UNKNOWN  ((int64_t) -1)

/*
 * The time that the bytes of a JSON number or string name, in milliseconds
 * since the epoch: RFC 3339 (any offset, any number of decimals, "T" or a
 * space), or a number (an integer or decimal of less than 1e11 is seconds,
 * otherwise milliseconds).  NGX_EB_TIME_UNKNOWN when it is neither, negative,
 * or after the year 9999.
 */
int64_t ngx_eb_time_parse(u_char *data, size_t len);


#endif /* _NGX_EB_TIME_H_INCLUDED_ */
