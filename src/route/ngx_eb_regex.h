
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * PCRE2 with JIT and bounded work.
 */


#ifndef _NGX_EB_REGEX_H_INCLUDED_
#define _NGX_EB_REGEX_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct ngx_eb_regex_s  ngx_eb_regex_t;

/* per worker: match data, match context with limits, JIT stack */
typedef struct ngx_eb_regex_ctx_s  ngx_eb_regex_ctx_t;


/*
 * Compiles pattern (UTF, JIT where the machine allows it), freed with pool.
 * NULL: err has PCRE2's text and *offset the place; err->data is in pool, or
 * NULL when memory ran out.
 */
ngx_eb_regex_t *ngx_eb_regex_compile(ngx_pool_t *pool, ngx_str_t *pattern,
    ngx_str_t *err, size_t *offset);

/* what it was compiled from; borrowed from the caller of that time */
ngx_str_t *ngx_eb_regex_pattern(ngx_eb_regex_t *re);

/* freed with pool; NULL: no memory */
ngx_eb_regex_ctx_t *ngx_eb_regex_ctx_create(ngx_pool_t *pool);

/*
 * subject must be valid UTF-8 or hold lone surrogates as three bytes (then it
 * is matched as PCRE2 can: it is checked, and no match if invalid).
 * NGX_OK: matches; NGX_DECLINED: does not; NGX_ERROR: a limit was hit, or
 * the subject is longer than 64 KB.
 */
ngx_int_t ngx_eb_regex_match(ngx_eb_regex_ctx_t *ctx, ngx_eb_regex_t *re,
    ngx_str_t *subject);

/* what a match with many steps counts, where one with few of them counts 1 */
#define NGX_EB_REGEX_HARD  2000

/*
 * The same for one of many texts of a sender: *left is what all of them may
 * cost, and is taken from.  NGX_ERROR: or it does not suffice.
 */
ngx_int_t ngx_eb_regex_match_within(ngx_eb_regex_ctx_t *ctx,
    ngx_eb_regex_t *re, ngx_str_t *subject, ngx_uint_t *left);


#endif /* _NGX_EB_REGEX_H_INCLUDED_ */
