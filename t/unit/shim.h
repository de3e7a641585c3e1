
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What the layers below http/ need of nginx, for tests that run outside of
 * it; and TAP.
 */


#ifndef _SHIM_H_INCLUDED_
#define _SHIM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Every pool allocation is a malloc() of its own, so that the sanitizers see
 * each one's bounds and its end.
 */

/* how many more allocations succeed; -1: all of them */
extern ngx_int_t    shim_allocs;

/* blocks that pools hold and nobody has freed */
extern ngx_uint_t   shim_blocks;

/* level NGX_LOG_INFO; what is logged goes to stderr, and the last line here */
extern ngx_log_t    shim_log;
extern u_char       shim_log_line[NGX_MAX_ERROR_STR];
extern ngx_uint_t   shim_log_lines;

/* what ngx_time() and ngx_current_msec say; at first the real time */
void shim_set_time(time_t sec, ngx_uint_t msec);


/* one test; prints a name like printf() and returns cond as 0 or 1 */
ngx_uint_t ok(ngx_uint_t cond, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* equal, or both values are shown */
ngx_uint_t is_int(int64_t got, int64_t expected, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
ngx_uint_t is_str(ngx_str_t *got, const char *expected, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* a comment */
void diag(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* the whole file is skipped; does not return */
void skip_all(const char *why) __attribute__((noreturn));

/* prints the plan: the exit code of main() */
int done_testing(void);


#endif /* _SHIM_H_INCLUDED_ */
