
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The compiled form of event patterns and the state of matching, which the
 * files ngx_eb_pattern_*.c share.  Nobody else includes this.
 */


#ifndef _NGX_EB_PATTERN_FORM_H_INCLUDED_
#define _NGX_EB_PATTERN_FORM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_regex.h"
#include "ngx_eb_pattern.h"


#define NGX_EB_PATTERN_NONE          0xffffffffu

/* steps of a field name, between dots */
#define NGX_EB_PATTERN_MAX_PARTS     64

/* how many prefixes of a wildcard one text may match at a time */
#define NGX_EB_PATTERN_MAX_WILDCARD  11


typedef enum {
    NGX_EB_PATTERN_OP_ANY = 0,      /* exists:true */
    NGX_EB_PATTERN_OP_LITERAL,      /* null, true, false */
    NGX_EB_PATTERN_OP_TEXT,         /* a number that is no double */
    NGX_EB_PATTERN_OP_PREFIX,
    NGX_EB_PATTERN_OP_SUFFIX,
    NGX_EB_PATTERN_OP_EQUAL_CASE,
    NGX_EB_PATTERN_OP_PREFIX_CASE,
    NGX_EB_PATTERN_OP_SUFFIX_CASE,
    NGX_EB_PATTERN_OP_WILDCARD,
    NGX_EB_PATTERN_OP_WILDCARD_CASE,
    NGX_EB_PATTERN_OP_REGEX,
    NGX_EB_PATTERN_OP_RANGE,
    NGX_EB_PATTERN_OP_ADDRESS,
    NGX_EB_PATTERN_OP_BUT           /* anything-but */
} ngx_eb_pattern_op_e;


/* one character of a text without case: either of two byte sequences */

typedef struct {
    u_char                    lower[8];
    u_char                    upper[8];
    u_char                    nlower;
    u_char                    nupper;
} ngx_eb_pattern_char_t;


/* a text without case; chars is NULL if all of it is ASCII */

typedef struct {
    ngx_str_t                 ascii;        /* in lower case */
    ngx_eb_pattern_char_t    *chars;
    ngx_uint_t                nchars;
} ngx_eb_pattern_case_text_t;


/* what is between asterisks: n runs, n - 1 asterisks */

typedef struct {
    ngx_str_t                *runs;
    ngx_eb_pattern_case_text_t
                             *case_runs;    /* of wildcard-ignore-case */
    ngx_uint_t                n;
} ngx_eb_pattern_wildcard_t;


typedef struct {
    double                    bottom;
    double                    top;
    unsigned                  open_bottom:1;    /* not bottom itself */
    unsigned                  open_top:1;
} ngx_eb_pattern_range_t;


/* an address is len bytes, 4 or 16 */

typedef struct {
    u_char                    bottom[16];
    u_char                    top[16];
    size_t                    len;
} ngx_eb_pattern_address_t;


typedef struct ngx_eb_pattern_values_s  ngx_eb_pattern_values_t;


typedef struct {
    ngx_eb_pattern_op_e       type;
    ngx_str_t                 text;
    union {
        u_char                        literal;      /* its first letter */
        ngx_eb_pattern_case_text_t   *nocase;
        ngx_eb_pattern_wildcard_t    *wildcard;
        ngx_eb_pattern_range_t       *range;
        ngx_eb_pattern_address_t     *address;
        ngx_eb_pattern_values_t      *but;
        ngx_eb_regex_t               *regex;
    } u;
} ngx_eb_pattern_op_t;


/* a value matches any of these; sorted when complete */

struct ngx_eb_pattern_values_s {
    ngx_array_t               strings;      /* ngx_str_t */
    ngx_array_t               numbers;      /* double */
    ngx_array_t               ops;          /* ngx_eb_pattern_op_t */
};


/* one array of the text of a pattern */

typedef struct {
    ngx_eb_pattern_values_t   values;
    ngx_str_t                 text;         /* the array as it is written */
    ngx_str_t                *listed;       /* for an index, or NULL */
    uint64_t                 *keys;
    ngx_uint_t                nlisted;
    uint32_t                  field;
    uint32_t                  memo;         /* in the scratch; NONE: none */
    unsigned                  positive:1;   /* some value can fulfil it */
    unsigned                  absent:1;     /* so can that there is none */
    unsigned                  strings:1;    /* listed are all strings */
} ngx_eb_pattern_cond_t;


typedef struct {
    ngx_eb_pattern_cond_t   **conds;        /* by field name */
    ngx_uint_t                n;
} ngx_eb_pattern_variant_t;


struct ngx_eb_pattern_s {
    ngx_str_t                 text;
    ngx_eb_pattern_variant_t *variants;
    ngx_uint_t                nvariants;
    ngx_eb_pattern_set_t     *set;
};


/*
 * The names of all fields, as a tree by the parts between dots.  What a member
 * of an object leads to is looked up with its whole name, which may have dots
 * itself: a node lists all nodes below it, by the rest of their names.
 */

typedef struct {
    u_char                   *data;         /* NULL: empty slot */
    uint32_t                  len;
    uint32_t                  hash;
    uint32_t                  node;
} ngx_eb_pattern_edge_t;


typedef struct {
    ngx_eb_pattern_edge_t    *edges;        /* hash table */
    uint64_t                  lengths;      /* of names, a bit for each */
    uint32_t                  mask;
    uint32_t                  nedges;
    uint32_t                  field;        /* or NONE */
} ngx_eb_pattern_node_t;


struct ngx_eb_pattern_set_s {
    ngx_pool_t               *pool;
    ngx_array_t               fields;       /* ngx_str_t */
    uint32_t                 *table;        /* fields by the hash of names */
    uint32_t                  mask;
    ngx_array_t               nodes;        /* ngx_eb_pattern_node_t */
    size_t                    max_name;
    uint32_t                  memos;
    unsigned                  sealed:1;
};


/* a value of the event in a field of the set */

typedef struct {
    u_char                   *data;         /* string: between the quotes */
    uint32_t                  len;
    uint32_t                  node;
    uint32_t                  ctx;
    uint32_t                  next;         /* of the same field, or NONE */
    double                    number;
    u_char                    address[16];
    u_char                    type;
    u_char                    naddress;     /* 0: no address */
    unsigned                  known_string:1;
    unsigned                  known_number:1;
    unsigned                  known_address:1;
    unsigned                  numeric:1;
} ngx_eb_pattern_datum_t;


/*
 * An element of an array, which is an object or array itself.  The values in
 * it have nodes from first on and before last.  Number 0 is the event.
 */

typedef struct {
    uint32_t                  parent;
    uint32_t                  array;        /* node */
    uint32_t                  first;
    uint32_t                  last;
    uint32_t                  depth;
} ngx_eb_pattern_element_t;


typedef struct {
    uint64_t                  stamp;        /* the event it is of */
    uint32_t                  head;         /* in data */
    uint32_t                  tail;
    uint32_t                  n;
    unsigned                  nested:1;     /* some are in elements */
} ngx_eb_pattern_slot_t;


typedef struct {
    uint64_t                  stamp;
    ngx_int_t                 rc;
} ngx_eb_pattern_memo_t;


/* a value of a condition on which elements of arrays have a say */

typedef struct {
    uint32_t                  node;
    uint32_t                  ctx;
    uint32_t                  match;
} ngx_eb_pattern_entry_t;


/* such a condition, and its entries [lo, hi) that are looked at */

typedef struct {
    uint32_t                  lo;
    uint32_t                  hi;
    uint32_t                  array;        /* that they are in */
    uint32_t                  order;
    unsigned                  positive:1;
    unsigned                  absent:1;
} ngx_eb_pattern_item_t;


typedef struct {
    void                     *elts;
    size_t                    nalloc;       /* elements */
    size_t                    size;
} ngx_eb_pattern_buf_t;


struct ngx_eb_pattern_scratch_s {
    ngx_eb_pattern_set_t     *set;
    ngx_eb_regex_ctx_t       *regex;
    ngx_log_t                *log;
    ngx_eb_json_t            *json;
    uint64_t                  stamp;

    ngx_eb_pattern_slot_t    *slots;        /* by field */
    ngx_eb_pattern_memo_t    *memos;
    u_char                   *name;         /* a member name unescaped */

    ngx_eb_pattern_buf_t      data;         /* ngx_eb_pattern_datum_t */
    ngx_eb_pattern_buf_t      elements;     /* ngx_eb_pattern_element_t */
    ngx_eb_pattern_buf_t      entries;      /* ngx_eb_pattern_entry_t */
    ngx_eb_pattern_buf_t      items;        /* ngx_eb_pattern_item_t */
    ngx_eb_pattern_buf_t      text;         /* bytes: strings unescaped */

    uint32_t                  ndata;
    uint32_t                  nelements;
    uint32_t                  depth;        /* of the deepest element */
    size_t                    text_used;
    size_t                    event_len;
    ngx_uint_t                steps;
    ngx_uint_t                regexes;      /* what they may cost yet */
    unsigned                  failed:1;     /* no memory for the event */
    unsigned                  gave_up:1;    /* in the match at hand */
};


/* for errors while compiling; see ngx_eb_pattern_error() */

typedef struct {
    ngx_eb_pattern_set_t     *set;
    ngx_pool_t               *temp;
    ngx_eb_json_t             json;
    ngx_eb_pattern_error_t   *err;
    ngx_array_t               variants;     /* ngx_array_t of conds */
    ngx_uint_t                nconds;       /* in all of them */
    ngx_str_t                 path;         /* of the object at hand */
    unsigned                  saw_or:1;
    unsigned                  legacy:1;     /* "$or" is an ordinary name */
} ngx_eb_pattern_compiler_t;


/* ngx_eb_pattern_compile.c: sets *err, returns NGX_DECLINED or NGX_ERROR */
ngx_int_t ngx_eb_pattern_error(ngx_eb_pattern_compiler_t *c, size_t offset,
    ngx_str_t *field, const char *fmt, ...);

/*
 * ngx_eb_pattern_expr.c: the array at node, conditions on field.  cond is
 * zeroed.  NGX_OK, NGX_DECLINED, NGX_ERROR.
 */
ngx_int_t ngx_eb_pattern_array(ngx_eb_pattern_compiler_t *c,
    ngx_eb_json_node_t node, ngx_str_t *field, ngx_eb_pattern_cond_t *cond);

/* ngx_eb_pattern_field.c; NGX_EB_PATTERN_NONE: no memory or too many */
uint32_t ngx_eb_pattern_field(ngx_eb_pattern_set_t *set, ngx_str_t *name);
uint64_t ngx_eb_pattern_hash(const u_char *p, size_t len);
uint64_t ngx_eb_pattern_key(u_char type, ngx_str_t *text);

/* of Event Ruler: by UTF-16 code units */
int ngx_eb_pattern_name_cmp(ngx_str_t *a, ngx_str_t *b);

/* room for n elements in all; NGX_ERROR: no memory */
ngx_int_t ngx_eb_pattern_room(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_pattern_buf_t *buf, size_t n);

/* unescapes; NGX_ERROR: no memory */
ngx_int_t ngx_eb_pattern_string(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_pattern_datum_t *datum);

/*
 * ngx_eb_pattern_number.c: the number at p, whose text is valid JSON and
 * followed by something that belongs to no number.  NGX_OK; NGX_DECLINED:
 * there is no double that is written like it.
 */
ngx_int_t ngx_eb_pattern_number(u_char *p, size_t len, double *value);

/* ngx_eb_pattern_ip.c: bytes of the address, 4 or 16; 0: it is none */
size_t ngx_eb_pattern_address(u_char *p, size_t len, u_char *address);

/* NULL, or what is wrong with the text */
const char *ngx_eb_pattern_cidr(ngx_str_t *text,
    ngx_eb_pattern_address_t *range);
ngx_uint_t ngx_eb_pattern_in_range(ngx_eb_pattern_address_t *range,
    u_char *address, size_t len);

/* ngx_eb_pattern_case.c: the bytes at dst, at most 6 */
size_t ngx_eb_pattern_lower_case(uint32_t code, u_char *dst);
size_t ngx_eb_pattern_upper_case(uint32_t code, u_char *dst);

/* ngx_eb_pattern_text.c */

/* NGX_OK, NGX_ERROR (no memory) */
ngx_int_t ngx_eb_pattern_case_compile(ngx_pool_t *pool, ngx_str_t *text,
    ngx_eb_pattern_case_text_t *nocase);
ngx_uint_t ngx_eb_pattern_case_equal(ngx_eb_pattern_case_text_t *nocase,
    u_char *p, size_t len);
ngx_uint_t ngx_eb_pattern_case_prefix(ngx_eb_pattern_case_text_t *nocase,
    u_char *p, size_t len);
ngx_uint_t ngx_eb_pattern_case_suffix(ngx_eb_pattern_case_text_t *nocase,
    u_char *p, size_t len);

/*
 * NGX_OK; NGX_DECLINED: *why, and *pos counts from 1; NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_pattern_wildcard_compile(ngx_pool_t *pool, ngx_pool_t *temp,
    ngx_str_t *text, ngx_uint_t nocase, ngx_eb_pattern_wildcard_t *wildcard,
    const char **why, size_t *pos);
ngx_uint_t ngx_eb_pattern_wildcard_match(ngx_eb_pattern_wildcard_t *wildcard,
    u_char *p, size_t len);

/* ngx_eb_pattern_value.c: sets gave_up when it did */
ngx_uint_t ngx_eb_pattern_value_match(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_pattern_values_t *values, ngx_eb_pattern_datum_t *datum);

/* NGX_OK, NGX_ERROR (no memory) */
ngx_int_t ngx_eb_pattern_values_init(ngx_pool_t *pool,
    ngx_eb_pattern_values_t *values);
void ngx_eb_pattern_values_sort(ngx_eb_pattern_values_t *values);

/* ngx_eb_pattern_match.c: the first n conditions of a variant */
ngx_int_t ngx_eb_pattern_match_conds(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_pattern_variant_t *variant, ngx_uint_t n);

/*
 * ngx_eb_pattern_element.c: can all n items, the first of scratch->items,
 * hold with one element of each array?
 */
ngx_int_t ngx_eb_pattern_elements(ngx_eb_pattern_scratch_t *scratch,
    ngx_uint_t n);


static ngx_inline ngx_eb_pattern_slot_t *
ngx_eb_pattern_slot(ngx_eb_pattern_scratch_t *scratch, uint32_t field)
{
    ngx_eb_pattern_slot_t  *slot;

    slot = &scratch->slots[field];

    return (slot->stamp == scratch->stamp) ? slot : NULL;
}


#endif /* _NGX_EB_PATTERN_FORM_H_INCLUDED_ */
