
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Event patterns of AWS EventBridge: JSON text in, a compiled form out, which
 * is matched against the slice of one event.  The language is in
 * docs/patterns.md.
 *
 * Patterns that are asked of the same events share a set: the fields that any
 * of them looks at.  Configuration compiles the patterns into the set and
 * seals it; a worker has one scratch for each set, collects the fields of an
 * event once, and asks any of the patterns.
 *
 *     set = ngx_eb_pattern_set_create(pool);
 *     ngx_eb_pattern_compile(set, &text, &pattern, &err);      for each
 *     ngx_eb_pattern_set_seal(set);
 *
 *     scratch = ngx_eb_pattern_scratch_create(pool, set, ctx);
 *
 *     ngx_eb_pattern_collect(scratch, json, node);             each event
 *     ngx_eb_pattern_match(scratch, pattern);                  each pattern
 *
 * What it may cost, for an event of N bytes with V values in fields that the
 * set has, at most N / 2 of them, and a pattern of P bytes:
 *
 *   collect   one walk over the keys of the event, O(N); the C stack by the
 *             depth of the event, which its parser limits
 *   match     each value is compared with each condition on its field once
 *             for each level of nested arrays of objects that the field is
 *             in: O(N + V * P) for one variant without such arrays and without
 *             regexes.  A wildcard is O(bytes of the value * longest run
 *             between two asterisks); a regex has the limits of
 *             ngx_eb_regex.h, and all of an event share
 *             NGX_EB_PATTERN_MAX_REGEXES.  Only where one field is reached in
 *             several ways at once (equal keys, dotted keys, arrays that mix
 *             objects with other values, exists:false beside values) are
 *             choices tried one after the other, with NGX_EB_PATTERN_MAX_STEPS
 *             comparisons for all patterns and one event
 *   variants  "$or" multiplies: at most NGX_EB_PATTERN_MAX_VARIANTS
 *   memory    of a scratch: at most 300 bytes for a value of the largest
 *             event it has seen, the length of that event, and 64 bytes for
 *             each field of a pattern and level of its arrays
 */


#ifndef _NGX_EB_PATTERN_H_INCLUDED_
#define _NGX_EB_PATTERN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_regex.h"


#define NGX_EB_PATTERN_MAX_TEXT        65536    /* bytes of a pattern */
#define NGX_EB_PATTERN_MAX_DEPTH       64       /* its nested levels */
#define NGX_EB_PATTERN_MAX_FIELDS      1024     /* of one variant */
#define NGX_EB_PATTERN_MAX_VARIANTS    1000     /* what "$or" expands to */
#define NGX_EB_PATTERN_MAX_CONDITIONS  20000    /* of all variants together */
#define NGX_EB_PATTERN_MAX_SET_FIELDS  65535    /* of a set */
#define NGX_EB_PATTERN_MAX_STEPS       100000   /* of all patterns, one event */
#define NGX_EB_PATTERN_MAX_REGEXES     500000   /* see NGX_EB_REGEX_HARD */


typedef struct ngx_eb_pattern_set_s      ngx_eb_pattern_set_t;
typedef struct ngx_eb_pattern_s          ngx_eb_pattern_t;
typedef struct ngx_eb_pattern_scratch_s  ngx_eb_pattern_scratch_t;


/* why a text is no pattern */

typedef struct {
    ngx_str_t                 message;      /* a sentence without a period,
                                               in the pool of the set */
    ngx_str_t                 field;        /* "detail.state"; empty: none */
    size_t                    offset;       /* of the offending byte in text */
} ngx_eb_pattern_error_t;


/* an empty set, all its memory from pool; NULL: no memory */
ngx_eb_pattern_set_t *ngx_eb_pattern_set_create(ngx_pool_t *pool);

/*
 * Compiles text, which must stay as it is as long as the set is used.
 * NGX_OK; NGX_DECLINED: it is no pattern, *err says why; NGX_ERROR: no memory.
 * Fields of a declined pattern stay in the set, without effect on others.
 */
ngx_int_t ngx_eb_pattern_compile(ngx_eb_pattern_set_t *set, ngx_str_t *text,
    ngx_eb_pattern_t **pattern, ngx_eb_pattern_error_t *err);

/*
 * To be called once, when all patterns are compiled: the set is read-only
 * after it.  NGX_OK, NGX_ERROR (no memory).
 */
ngx_int_t ngx_eb_pattern_set_seal(ngx_eb_pattern_set_t *set);

/*
 * Per worker; set must be sealed.  ctx is borrowed, and may be NULL if no
 * pattern has a regex.  What grows with the events is outside of pool, and
 * freed with it.  NULL: no memory.
 */
ngx_eb_pattern_scratch_t *ngx_eb_pattern_scratch_create(ngx_pool_t *pool,
    ngx_eb_pattern_set_t *set, ngx_eb_regex_ctx_t *ctx);

/* gives memory back that only an event of more than max values needs */
void ngx_eb_pattern_scratch_trim(ngx_eb_pattern_scratch_t *scratch,
    size_t max);

/*
 * Notes where the fields of the event at node, an object, are; an event that
 * is no object has none.  Nothing is allocated but when an event has more
 * values than any before.  json is borrowed until the next call.
 * NGX_OK, NGX_ERROR (no memory; then nothing matches until the next call).
 */
ngx_int_t ngx_eb_pattern_collect(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_json_t *json, ngx_eb_json_node_t node);

/*
 * Does the collected event match?  NGX_OK, NGX_DECLINED; NGX_ERROR: it was
 * given up, by a limit of a regex, of steps, or for want of memory, and no
 * other part of the pattern is decisive: count it as not matched.
 */
ngx_int_t ngx_eb_pattern_match(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_pattern_t *pattern);

/* what pattern was compiled from */
ngx_str_t *ngx_eb_pattern_text(ngx_eb_pattern_t *pattern);


/* For an index: what must hold for a pattern to match */


/*
 * A pattern matches if all conditions of one of its variants hold; there is
 * one variant without "$or".  Conditions are in the order of field names.
 * values is not NULL only if nothing else than these strings, numbers and
 * literals can fulfil the condition; then it matches no event in which none
 * of the values of the field has a key among keys.  A condition with absent
 * set can hold without any value.
 */

typedef struct {
    ngx_str_t                 name;         /* "detail.state" */
    ngx_uint_t                field;        /* its number in the set */
    uint64_t                 *keys;         /* ngx_eb_pattern_value_t.key */
    ngx_str_t                *values;       /* strings unescaped; others as
                                               they are written */
    ngx_uint_t                nvalues;
    unsigned                  strings:1;    /* all values are strings */
    unsigned                  absent:1;     /* exists:false is among it */
} ngx_eb_pattern_condition_t;


ngx_uint_t ngx_eb_pattern_variants(ngx_eb_pattern_t *pattern);
ngx_uint_t ngx_eb_pattern_conditions(ngx_eb_pattern_t *pattern,
    ngx_uint_t variant);

/* what *condition points to is the pattern's own */
void ngx_eb_pattern_condition(ngx_eb_pattern_t *pattern, ngx_uint_t variant,
    ngx_uint_t i, ngx_eb_pattern_condition_t *condition);

/* the fields of a set, and the name of one */
ngx_uint_t ngx_eb_pattern_set_fields(ngx_eb_pattern_set_t *set);
ngx_str_t *ngx_eb_pattern_set_field(ngx_eb_pattern_set_t *set,
    ngx_uint_t field);


/* a value of the collected event */

typedef struct {
    uint64_t                  key;          /* equal for equal values, and
                                               seldom for others */
    ngx_str_t                 text;         /* a string unescaped, anything
                                               else as it is written */
    ngx_eb_json_node_t        node;
    u_char                    type;         /* as ngx_eb_json_type() */
} ngx_eb_pattern_value_t;


#define NGX_EB_PATTERN_NO_VALUE  0xffffffffu


/*
 * The values of a field, elements of arrays one by one, in no particular
 * order: *at is to be set by _first, and is NGX_EB_PATTERN_NO_VALUE after the
 * last.  _next fills *value with what is at *at and moves on.  A string that
 * has escapes is unescaped into the scratch: NGX_OK, NGX_ERROR (no memory).
 */
uint32_t ngx_eb_pattern_value_first(ngx_eb_pattern_scratch_t *scratch,
    ngx_uint_t field);
ngx_int_t ngx_eb_pattern_value_next(ngx_eb_pattern_scratch_t *scratch,
    uint32_t *at, ngx_eb_pattern_value_t *value);


/* For people: why an event does not match */


typedef enum {
    NGX_EB_PATTERN_MATCHES = 0,
    NGX_EB_PATTERN_MISSING,         /* the event has no such field */
    NGX_EB_PATTERN_PRESENT,         /* it has, and must not */
    NGX_EB_PATTERN_VALUE,           /* no value is as it must be */
    NGX_EB_PATTERN_ELEMENTS,        /* not in the same element of an array as
                                       the fields before */
    NGX_EB_PATTERN_GIVEN_UP         /* a limit was hit */
} ngx_eb_pattern_miss_e;


typedef struct {
    ngx_eb_pattern_miss_e     reason;
    ngx_str_t                 field;        /* name */
    ngx_str_t                 condition;    /* its array, of the text of the
                                               pattern */
    ngx_eb_json_node_t        node;         /* a value that the event has, or
                                               NGX_EB_JSON_NONE */
    ngx_uint_t                variant;      /* the one with the fewest misses
                                               of their own */
} ngx_eb_pattern_miss_t;


/* the first condition that fails for the collected event, or that none does */
void ngx_eb_pattern_explain(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_pattern_t *pattern, ngx_eb_pattern_miss_t *miss);

/*
 * The same as a sentence without a period, in pool: what must be, and what is
 * instead.  NGX_OK, NGX_ERROR (no memory).
 */
ngx_int_t ngx_eb_pattern_sentence(ngx_pool_t *pool, ngx_eb_json_t *json,
    ngx_eb_pattern_miss_t *miss, ngx_str_t *text);


#endif /* _NGX_EB_PATTERN_H_INCLUDED_ */
