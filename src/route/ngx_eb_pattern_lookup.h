
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * From one value to the rules that ask for it: tables of exact texts, of
 * beginnings, of ends and of ranges of numbers.  What a look-up costs grows
 * with the logarithm of the entries and with what it finds.
 */


#ifndef _NGX_EB_PATTERN_LOOKUP_H_INCLUDED_
#define _NGX_EB_PATTERN_LOOKUP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_EB_LOOKUP_NONE  0xffffffffu


/*
 * A set of rules.  While tables are filled it is a chain of numbers; then a
 * list, or bits where that is shorter.
 */

typedef struct ngx_eb_lookup_link_s  ngx_eb_lookup_link_t;

struct ngx_eb_lookup_link_s {
    uint32_t                  rule;
    ngx_eb_lookup_link_t     *next;
};


typedef struct {
    uint32_t                  n;
    ngx_eb_lookup_link_t     *links;
    uint32_t                 *list;         /* NULL: bits */
    uint64_t                 *bits;
} ngx_eb_lookup_set_t;


/* texts, and the set of each */

typedef struct {
    ngx_str_t                 text;         /* last byte first in a table of
                                               ends */
    uint32_t                  parent;       /* the longest other that begins
                                               this one */
    uint32_t                  uses;         /* the caller's to count */
    ngx_eb_lookup_set_t       set;
} ngx_eb_lookup_text_t;


typedef struct {
    ngx_eb_lookup_text_t     *texts;
    uint32_t                 *hash;         /* numbers of texts */
    uint64_t                 *keys;         /* the 8 bytes after the common
                                               ones, for a quick order */
    uint32_t                  n;
    uint32_t                  allocated;
    size_t                    mask;         /* of hash */
    size_t                    common;       /* bytes that all begin with */
    size_t                    longest;
} ngx_eb_lookup_texts_t;


typedef struct {
    double                    low;
    double                    high;
    double                    max;          /* the highest in its subtree */
    ngx_eb_lookup_set_t       set;
} ngx_eb_lookup_range_t;


typedef struct {
    ngx_eb_lookup_range_t    *ranges;
    uint32_t                  n;
    uint32_t                  allocated;
} ngx_eb_lookup_ranges_t;


/* NGX_OK, NGX_ERROR (no memory); a rule may be added more than once */
ngx_int_t ngx_eb_lookup_set_add(ngx_pool_t *pool, ngx_eb_lookup_set_t *set,
    uint32_t rule);

/* after the last addition; words: 64-bit words that hold all rules */
ngx_int_t ngx_eb_lookup_set_ready(ngx_pool_t *pool, ngx_eb_lookup_set_t *set,
    ngx_uint_t words);

/* bits |= set, bits &= ~set */
void ngx_eb_lookup_set_join(ngx_eb_lookup_set_t *set, uint64_t *bits,
    ngx_uint_t words);
void ngx_eb_lookup_set_leave(ngx_eb_lookup_set_t *set, uint64_t *bits,
    ngx_uint_t words);


/*
 * The entry of text (borrowed), which is added if need be; valid until the
 * next addition.  NULL: no memory.
 */
ngx_eb_lookup_text_t *ngx_eb_lookup_text_add(ngx_pool_t *pool,
    ngx_eb_lookup_texts_t *texts, ngx_str_t *text);

/* ordered: beginnings are looked up, too */
ngx_int_t ngx_eb_lookup_texts_ready(ngx_pool_t *pool,
    ngx_eb_lookup_texts_t *texts, ngx_uint_t words, ngx_uint_t ordered);

/* the entry that equals text, or NULL */
ngx_eb_lookup_text_t *ngx_eb_lookup_text_find(ngx_eb_lookup_texts_t *texts,
    ngx_str_t *text);

/*
 * The longest entry that text begins with, or NULL; the others follow by
 * parent, a number in texts.
 */
ngx_eb_lookup_text_t *ngx_eb_lookup_text_begin(ngx_eb_lookup_texts_t *texts,
    ngx_str_t *text);


/* the set of a new entry, a closed range; valid until the next addition */
ngx_eb_lookup_set_t *ngx_eb_lookup_range_add(ngx_pool_t *pool,
    ngx_eb_lookup_ranges_t *ranges, double low, double high);
ngx_int_t ngx_eb_lookup_ranges_ready(ngx_pool_t *pool,
    ngx_eb_lookup_ranges_t *ranges, ngx_uint_t words);

/* bits |= the sets of all ranges that value is in */
void ngx_eb_lookup_ranges_find(ngx_eb_lookup_ranges_t *ranges, double value,
    uint64_t *bits, ngx_uint_t words);


#endif /* _NGX_EB_PATTERN_LOOKUP_H_INCLUDED_ */
