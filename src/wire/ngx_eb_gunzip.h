
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * A gzip body in, its contiguous bytes out, within an absolute cap and a
 * ratio cap.
 */


#ifndef _NGX_EB_GUNZIP_H_INCLUDED_
#define _NGX_EB_GUNZIP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* more than this many bytes out per byte in is a bomb */
#define NGX_EB_GUNZIP_RATIO  100


/*
 * Inflates exactly one gzip member.  out is allocated from pool (grown by
 * doubling, old blocks freed with ngx_pfree).  A small input may expand up to
 * 64 KB whatever its ratio.
 *
 * NGX_OK; NGX_DECLINED: not gzip, damaged, truncated, or something after it
 * (*error says which); NGX_BUSY: over max_size or the ratio; NGX_ERROR: no
 * memory.
 */
ngx_int_t ngx_eb_gunzip(ngx_pool_t *pool, ngx_str_t *in, size_t max_size,
    ngx_str_t *out, const char **error);


#endif /* _NGX_EB_GUNZIP_H_INCLUDED_ */
