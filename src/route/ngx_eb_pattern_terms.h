
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What an index can look up of a pattern: for each condition the texts and
 * ranges of which a value must have one.  Where that leaves a doubt, any
 * value will do: then the index finds too many patterns, never too few.
 */


#ifndef _NGX_EB_PATTERN_TERMS_H_INCLUDED_
#define _NGX_EB_PATTERN_TERMS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_pattern_form.h"


/* bytes of parts, which are looked up everywhere in a value */
#define NGX_EB_PATTERN_PART        6
#define NGX_EB_PATTERN_SHORT_PART  3


typedef enum {
    NGX_EB_PATTERN_STRINGS = 0,     /* the whole string */
    NGX_EB_PATTERN_NUMBERS,         /* ngx_eb_pattern_term_number() */
    NGX_EB_PATTERN_WRITTEN,         /* what is no string, as it is written */
    NGX_EB_PATTERN_BEGINS,
    NGX_EB_PATTERN_ENDS,            /* last byte first */
    NGX_EB_PATTERN_PARTS,           /* between asterisks */
    NGX_EB_PATTERN_SHORT_PARTS,
    NGX_EB_PATTERN_FOLDED,          /* ngx_eb_pattern_term_fold() */
    NGX_EB_PATTERN_FOLDED_BEGINS,
    NGX_EB_PATTERN_FOLDED_ENDS,
    NGX_EB_PATTERN_ADDRESSES,       /* how their bytes begin */
    NGX_EB_PATTERN_OTHER_STRINGS,   /* not these */
    NGX_EB_PATTERN_OTHER_NUMBERS,
    NGX_EB_PATTERN_KINDS
} ngx_eb_pattern_kind_e;


typedef struct {
    ngx_eb_pattern_kind_e     kind;
    ngx_str_t                 text;
} ngx_eb_pattern_term_t;


typedef enum {
    NGX_EB_PATTERN_ANY = 0,         /* any value */
    NGX_EB_PATTERN_ONE_OF,          /* it has all terms: one will do */
    NGX_EB_PATTERN_NONE_OF,         /* a value that is none of them */
    NGX_EB_PATTERN_BETWEEN          /* a number from low to high */
} ngx_eb_pattern_how_e;


typedef struct {
    ngx_eb_pattern_how_e      how;
    uint32_t                  first;        /* in list */
    uint32_t                  n;
    double                    low;
    double                    high;
} ngx_eb_pattern_choice_t;


/* filled again for each condition */

typedef struct {
    ngx_array_t               choices;      /* ngx_eb_pattern_choice_t */
    ngx_array_t               list;         /* ngx_eb_pattern_term_t */
} ngx_eb_pattern_terms_t;


/* NGX_OK, NGX_ERROR (no memory) */
ngx_int_t ngx_eb_pattern_terms_init(ngx_eb_pattern_terms_t *terms,
    ngx_pool_t *pool);

/*
 * The choices of a condition: an event that fulfils it by a value has one that
 * a choice names.  single: no other condition of the pattern is on the same
 * field, so that what one leaves out none takes.  Texts are the pattern's own
 * or in pool.  NGX_OK, NGX_ERROR (no memory).
 */
ngx_int_t ngx_eb_pattern_terms_read(ngx_eb_pattern_terms_t *terms,
    ngx_pool_t *pool, ngx_eb_pattern_cond_t *cond, ngx_uint_t single);

/* 8 bytes, the same for equal numbers */
void ngx_eb_pattern_term_number(u_char *dst, double number);

/*
 * Texts that are equal but for the case of letters become equal, if one of
 * them is ASCII.  A byte comes of three at most.  Returns the length; buf has
 * room for text->len bytes.
 */
size_t ngx_eb_pattern_term_fold(u_char *buf, ngx_str_t *text);

/* last byte first */
void ngx_eb_pattern_term_turn(u_char *dst, u_char *src, size_t len);


#endif /* _NGX_EB_PATTERN_TERMS_H_INCLUDED_ */
