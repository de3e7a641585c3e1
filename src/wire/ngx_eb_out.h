
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * A bounded cursor that writes JSON and Prometheus text.
 */


#ifndef _NGX_EB_OUT_H_INCLUDED_
#define _NGX_EB_OUT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Nothing is ever written at or after end: what does not fit is left out
 * and truncated is set.  A string is left out whole.
 */

typedef struct {
    u_char                   *pos;
    u_char                   *end;
    unsigned                  truncated:1;
} ngx_eb_out_t;


#define ngx_eb_out_init(out, start, size)                                    \
    (out)->pos = (start);                                                    \
    (out)->end = (start) + (size);                                           \
    (out)->truncated = 0

/* bytes as they are */
void ngx_eb_out_raw(ngx_eb_out_t *out, const void *data, size_t len);

#define ngx_eb_out_lit(out, s)  ngx_eb_out_raw(out, s, sizeof(s) - 1)

/*
 * A quoted JSON string of at most max source bytes ("…" is appended in it
 * when cut): quote, backslash, control characters and DEL escaped, each byte
 * that is not valid UTF-8 replaced by U+FFFD.  Also makes no half sequence
 * when it cuts.
 */
void ngx_eb_out_string(ngx_eb_out_t *out, ngx_str_t *value, size_t max);

/* decimal */
void ngx_eb_out_int(ngx_eb_out_t *out, int64_t value);

/* milliseconds as seconds with three decimals: 1234 is 1.234 */
void ngx_eb_out_ms(ngx_eb_out_t *out, int64_t msec);

/* RFC 3339 in UTC with milliseconds, quoted; msec since the epoch */
void ngx_eb_out_time(ngx_eb_out_t *out, int64_t msec);

/* a Prometheus label value, quoted: backslash, quote and newline escaped,
   invalid UTF-8 replaced, at most max source bytes */
void ngx_eb_out_label(ngx_eb_out_t *out, ngx_str_t *value, size_t max);


#endif /* _NGX_EB_OUT_H_INCLUDED_ */
