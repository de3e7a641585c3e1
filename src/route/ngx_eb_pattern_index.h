
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Many patterns: which of them an event can match at all, found by its values
 * instead of by asking each pattern.
 *
 * Each variant of a pattern is filed under one of its fields, by what a value
 * of it must be: a text, its beginning, its end, a part of it, a range, or
 * not one of some texts.  That one is taken which the fewest patterns share,
 * so that what an event costs grows with the patterns that come near to
 * matching it and not with the others.  Patterns of which nothing of the kind
 * is known (cidr, regex, exists, anything-but of prefixes and the like) are
 * asked whenever an event has the field.
 */


#ifndef _NGX_EB_PATTERN_INDEX_H_INCLUDED_
#define _NGX_EB_PATTERN_INDEX_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_pattern.h"


typedef struct ngx_eb_pattern_index_s  ngx_eb_pattern_index_t;


/*
 * patterns[i] is that of rule i, or NULL.  The set must be sealed.  One for
 * each worker: it has buffers of its own.  NULL: no memory.
 */
ngx_eb_pattern_index_t *ngx_eb_pattern_index_create(ngx_pool_t *pool,
    ngx_eb_pattern_set_t *set, ngx_eb_pattern_t **patterns, ngx_uint_t n);

/*
 * The rules, a bit for each, whose patterns the collected event may match:
 * none that it matches is left out.  A rule without a pattern is not among
 * them.  The bits are valid until the next call; NULL: no memory.
 */
uint64_t *ngx_eb_pattern_index_find(ngx_eb_pattern_index_t *index,
    ngx_eb_pattern_scratch_t *scratch);


#endif /* _NGX_EB_PATTERN_INDEX_H_INCLUDED_ */
