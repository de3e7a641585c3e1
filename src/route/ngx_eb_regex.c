
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#define PCRE2_CODE_UNIT_WIDTH  8
#include <pcre2.h>

#include "ngx_eb_regex.h"


/*
 * What one match may cost.  A subject is a source or a type, a few dozen
 * bytes; a pattern that needs more than this for one is a mistake, and must
 * not stop the worker's other requests.
 */

#define NGX_EB_REGEX_MATCH_LIMIT      20000
#define NGX_EB_REGEX_EASY_LIMIT       500
#define NGX_EB_REGEX_DEPTH_LIMIT      1000
#define NGX_EB_REGEX_HEAP_LIMIT       1024            /* KB */
#define NGX_EB_REGEX_MAX_SUBJECT      (64 * 1024)
#define NGX_EB_REGEX_MAX_JIT          128
#define NGX_EB_REGEX_JIT_STACK_START  (32 * 1024)
#define NGX_EB_REGEX_JIT_STACK_MAX    (512 * 1024)

#define NGX_EB_REGEX_ERROR_LEN        256


struct ngx_eb_regex_s {
    pcre2_code               *code;
    ngx_str_t                 pattern;
};


struct ngx_eb_regex_ctx_s {
    pcre2_match_data         *data;
    pcre2_match_context      *match;
    pcre2_jit_stack          *stack;
};


static int ngx_eb_regex_run(ngx_eb_regex_ctx_t *ctx, ngx_eb_regex_t *re,
    ngx_str_t *subject, uint32_t limit);
static ngx_int_t ngx_eb_regex_result(int rc);
static void ngx_eb_regex_cleanup(void *data);
static void ngx_eb_regex_ctx_cleanup(void *data);
static ngx_uint_t ngx_eb_regex_surrogates(u_char *p, size_t len);


ngx_eb_regex_t *
ngx_eb_regex_compile(ngx_pool_t *pool, ngx_str_t *pattern, ngx_str_t *err,
    size_t *offset)
{
    int                  code, n;
    size_t               place;
    u_char              *p;
    uint32_t             options;
    ngx_eb_regex_t      *re;
    ngx_pool_cleanup_t  *cln;

    ngx_str_null(err);
    *offset = 0;

    re = ngx_pcalloc(pool, sizeof(ngx_eb_regex_t));
    if (re == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_eb_regex_cleanup;
    cln->data = re;

    re->pattern = *pattern;

    /* \C could leave a match inside a character of an unchecked subject */

    options = PCRE2_UTF|PCRE2_NEVER_BACKSLASH_C;

    p = (pattern->len == 0) ? (u_char *) "" : pattern->data;

    re->code = pcre2_compile(p, pattern->len, options, &code, &place, NULL);

    if (re->code == NULL) {
        *offset = place;

        p = ngx_pnalloc(pool, NGX_EB_REGEX_ERROR_LEN);
        if (p == NULL) {
            return NULL;
        }

        n = pcre2_get_error_message(code, p, NGX_EB_REGEX_ERROR_LEN);

        /* negative: the text was cut, but it has its terminating zero */

        err->len = (n < 0) ? ngx_strlen(p) : (size_t) n;
        err->data = p;

        return NULL;
    }

    /* where there is no JIT, pcre2_match() interprets the pattern */

    (void) pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE);

    return re;
}


static void
ngx_eb_regex_cleanup(void *data)
{
    ngx_eb_regex_t *re = data;

    /* accepts NULL */

    pcre2_code_free(re->code);
}


ngx_str_t *
ngx_eb_regex_pattern(ngx_eb_regex_t *re)
{
    return &re->pattern;
}


ngx_eb_regex_ctx_t *
ngx_eb_regex_ctx_create(ngx_pool_t *pool)
{
    ngx_eb_regex_ctx_t  *ctx;
    ngx_pool_cleanup_t  *cln;

    ctx = ngx_pcalloc(pool, sizeof(ngx_eb_regex_ctx_t));
    if (ctx == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_eb_regex_ctx_cleanup;
    cln->data = ctx;

    /* one pair: whether it matches is asked, not where */

    ctx->data = pcre2_match_data_create(1, NULL);
    if (ctx->data == NULL) {
        return NULL;
    }

    ctx->match = pcre2_match_context_create(NULL);
    if (ctx->match == NULL) {
        return NULL;
    }

    pcre2_set_depth_limit(ctx->match, NGX_EB_REGEX_DEPTH_LIMIT);
    pcre2_set_heap_limit(ctx->match, NGX_EB_REGEX_HEAP_LIMIT);

    /* NULL where there is no JIT, which needs no stack then */

    ctx->stack = pcre2_jit_stack_create(NGX_EB_REGEX_JIT_STACK_START,
                                        NGX_EB_REGEX_JIT_STACK_MAX, NULL);
    if (ctx->stack) {
        pcre2_jit_stack_assign(ctx->match, NULL, ctx->stack);
    }

    return ctx;
}


static void
ngx_eb_regex_ctx_cleanup(void *data)
{
    ngx_eb_regex_ctx_t *ctx = data;

    /* each accepts NULL */

    pcre2_match_data_free(ctx->data);
    pcre2_match_context_free(ctx->match);
    pcre2_jit_stack_free(ctx->stack);
}


ngx_int_t
ngx_eb_regex_match(ngx_eb_regex_ctx_t *ctx, ngx_eb_regex_t *re,
    ngx_str_t *subject)
{
    if (subject->len > NGX_EB_REGEX_MAX_SUBJECT) {
        return NGX_ERROR;
    }

    return ngx_eb_regex_result(ngx_eb_regex_run(ctx, re, subject,
                                                NGX_EB_REGEX_MATCH_LIMIT));
}


/* PCRE2 does not tell how much it did, but it does tell of a limit */

ngx_int_t
ngx_eb_regex_match_within(ngx_eb_regex_ctx_t *ctx, ngx_eb_regex_t *re,
    ngx_str_t *subject, ngx_uint_t *left)
{
    int  rc;

    if (subject->len > NGX_EB_REGEX_MAX_SUBJECT || *left == 0) {
        return NGX_ERROR;
    }

    (*left)--;

    rc = ngx_eb_regex_run(ctx, re, subject, NGX_EB_REGEX_EASY_LIMIT);

    if (rc != PCRE2_ERROR_MATCHLIMIT) {
        return ngx_eb_regex_result(rc);
    }

    if (*left < NGX_EB_REGEX_HARD) {
        *left = 0;
        return NGX_ERROR;
    }

    *left -= NGX_EB_REGEX_HARD;

    return ngx_eb_regex_result(ngx_eb_regex_run(ctx, re, subject,
                                                NGX_EB_REGEX_MATCH_LIMIT));
}


static int
ngx_eb_regex_run(ngx_eb_regex_ctx_t *ctx, ngx_eb_regex_t *re,
    ngx_str_t *subject, uint32_t limit)
{
    u_char    *p;
    uint32_t   options;

    pcre2_set_match_limit(ctx->match, limit);

    p = (subject->len == 0) ? (u_char *) "" : subject->data;

    options = ngx_eb_regex_surrogates(p, subject->len) ? 0
                                                       : PCRE2_NO_UTF_CHECK;

    /* what JIT does between two counts takes the longer the more there is */

    if (subject->len > NGX_EB_REGEX_MAX_JIT) {
        options |= PCRE2_NO_JIT;
    }

    return pcre2_match(re->code, p, subject->len, 0, options, ctx->data,
                       ctx->match);
}


static ngx_int_t
ngx_eb_regex_result(int rc)
{
    /* zero is a match with more groups than the match data has room for */

    if (rc >= 0) {
        return NGX_OK;
    }

    if (rc == PCRE2_ERROR_NOMATCH
        || (rc <= PCRE2_ERROR_UTF8_ERR1 && rc >= PCRE2_ERROR_UTF8_ERR21))
    {
        return NGX_DECLINED;
    }

    return NGX_ERROR;
}


/* is there a three-byte surrogate, the one thing that is not UTF-8? */

static ngx_uint_t
ngx_eb_regex_surrogates(u_char *p, size_t len)
{
    u_char  *last;

    last = p + len;

    for ( ;; ) {
        p = memchr(p, 0xed, last - p);

        if (p == NULL || last - p < 2) {
            return 0;
        }

        if (p[1] >= 0xa0) {
            return 1;
        }

        p++;
    }
}
