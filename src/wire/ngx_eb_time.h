
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Event time stamps (RFC 3339, epoch seconds or milliseconds), and the time
 * after which a sender may come back.
 */


#ifndef _NGX_EB_TIME_H_INCLUDED_
#define _NGX_EB_TIME_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_EB_TIME_UNKNOWN  ((int64_t) -1)

/* seconds: 68 years */
#define NGX_EB_TIME_LONG     2147483647

/*
 * The time that the bytes of a JSON number or string name, in milliseconds
 * since the epoch: RFC 3339 (any offset, any number of decimals, "T" or a
 * space), or a number (an integer or decimal of less than 1e11 is seconds,
 * otherwise milliseconds).  NGX_EB_TIME_UNKNOWN when it is neither, negative,
 * or after the year 9999.
 */
int64_t ngx_eb_time_parse(u_char *data, size_t len);

/*
 * What the value of a header Retry-After asks for (RFC 9110, 10.2.3): seconds
 * from now on, of which a number or an HTTP-date tells; 0 for one that is
 * over, and NGX_EB_TIME_LONG at most.  NGX_ERROR: it is neither, or empty.
 */
time_t ngx_eb_time_retry_after(ngx_str_t *value, time_t now);


#endif /* _NGX_EB_TIME_H_INCLUDED_ */
