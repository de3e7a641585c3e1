
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_pattern_form.h"
#include "ngx_eb_pattern_terms.h"


/* parts of one wildcard that are considered */
#define NGX_EB_PATTERN_TERM_PARTS  32


static ngx_int_t ngx_eb_pattern_terms_op(ngx_eb_pattern_terms_t *terms,
    ngx_pool_t *pool, ngx_eb_pattern_op_t *op, ngx_uint_t single);
static ngx_int_t ngx_eb_pattern_terms_case(ngx_eb_pattern_terms_t *terms,
    ngx_pool_t *pool, ngx_eb_pattern_case_text_t *nocase,
    ngx_eb_pattern_kind_e kind);
static ngx_int_t ngx_eb_pattern_terms_wildcard(ngx_eb_pattern_terms_t *terms,
    ngx_pool_t *pool, ngx_eb_pattern_wildcard_t *wildcard);
static ngx_int_t ngx_eb_pattern_terms_parts(ngx_eb_pattern_terms_t *terms,
    ngx_pool_t *pool, ngx_eb_pattern_wildcard_t *wildcard);
static ngx_int_t ngx_eb_pattern_terms_address(ngx_eb_pattern_terms_t *terms,
    ngx_pool_t *pool, ngx_eb_pattern_address_t *address);
static ngx_int_t ngx_eb_pattern_terms_but(ngx_eb_pattern_terms_t *terms,
    ngx_pool_t *pool, ngx_eb_pattern_values_t *but, ngx_uint_t single);
static ngx_int_t ngx_eb_pattern_terms_one(ngx_eb_pattern_terms_t *terms,
    ngx_pool_t *pool, ngx_eb_pattern_kind_e kind, ngx_str_t *text);
static ngx_eb_pattern_choice_t *ngx_eb_pattern_terms_choice(
    ngx_eb_pattern_terms_t *terms, ngx_eb_pattern_how_e how);
static ngx_int_t ngx_eb_pattern_terms_any(ngx_eb_pattern_terms_t *terms);
static ngx_int_t ngx_eb_pattern_terms_add(ngx_eb_pattern_terms_t *terms,
    ngx_pool_t *pool, ngx_eb_pattern_kind_e kind, ngx_str_t *text);
static ngx_int_t ngx_eb_pattern_terms_number(ngx_pool_t *pool, double number,
    ngx_str_t *text);


ngx_int_t
ngx_eb_pattern_terms_init(ngx_eb_pattern_terms_t *terms, ngx_pool_t *pool)
{
    if (ngx_array_init(&terms->list, pool, 16, sizeof(ngx_eb_pattern_term_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_array_init(&terms->choices, pool, 16,
                          sizeof(ngx_eb_pattern_choice_t));
}


ngx_int_t
ngx_eb_pattern_terms_read(ngx_eb_pattern_terms_t *terms, ngx_pool_t *pool,
    ngx_eb_pattern_cond_t *cond, ngx_uint_t single)
{
    double               *numbers;
    ngx_str_t            *strings, text;
    ngx_uint_t            i;
    ngx_eb_pattern_op_t  *ops;

    terms->list.nelts = 0;
    terms->choices.nelts = 0;

    strings = cond->values.strings.elts;

    for (i = 0; i < cond->values.strings.nelts; i++) {
        if (ngx_eb_pattern_terms_one(terms, pool, NGX_EB_PATTERN_STRINGS,
                                     &strings[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    numbers = cond->values.numbers.elts;

    for (i = 0; i < cond->values.numbers.nelts; i++) {

        if (ngx_eb_pattern_terms_number(pool, numbers[i], &text) != NGX_OK
            || ngx_eb_pattern_terms_one(terms, pool, NGX_EB_PATTERN_NUMBERS,
                                        &text)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    ops = cond->values.ops.elts;

    single = single && cond->values.ops.nelts == 1;

    for (i = 0; i < cond->values.ops.nelts; i++) {
        if (ngx_eb_pattern_terms_op(terms, pool, &ops[i], single) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_pattern_terms_op(ngx_eb_pattern_terms_t *terms, ngx_pool_t *pool,
    ngx_eb_pattern_op_t *op, ngx_uint_t single)
{
    ngx_str_t                 text;
    ngx_eb_pattern_choice_t  *choice;

    switch (op->type) {

    case NGX_EB_PATTERN_OP_LITERAL:

        if (op->u.literal == 'n') {
            ngx_str_set(&text, "null");

        } else if (op->u.literal == 't') {
            ngx_str_set(&text, "true");

        } else {
            ngx_str_set(&text, "false");
        }

        return ngx_eb_pattern_terms_one(terms, pool, NGX_EB_PATTERN_WRITTEN,
                                        &text);

    case NGX_EB_PATTERN_OP_TEXT:
        return ngx_eb_pattern_terms_one(terms, pool, NGX_EB_PATTERN_WRITTEN,
                                        &op->text);

    case NGX_EB_PATTERN_OP_PREFIX:
        return ngx_eb_pattern_terms_one(terms, pool, NGX_EB_PATTERN_BEGINS,
                                        &op->text);

    case NGX_EB_PATTERN_OP_SUFFIX:
        return ngx_eb_pattern_terms_one(terms, pool, NGX_EB_PATTERN_ENDS,
                                        &op->text);

    case NGX_EB_PATTERN_OP_EQUAL_CASE:
        return ngx_eb_pattern_terms_case(terms, pool, op->u.nocase,
                                         NGX_EB_PATTERN_FOLDED);

    case NGX_EB_PATTERN_OP_PREFIX_CASE:
        return ngx_eb_pattern_terms_case(terms, pool, op->u.nocase,
                                         NGX_EB_PATTERN_FOLDED_BEGINS);

    case NGX_EB_PATTERN_OP_SUFFIX_CASE:
        return ngx_eb_pattern_terms_case(terms, pool, op->u.nocase,
                                         NGX_EB_PATTERN_FOLDED_ENDS);

    case NGX_EB_PATTERN_OP_WILDCARD:
        return ngx_eb_pattern_terms_wildcard(terms, pool, op->u.wildcard);

    case NGX_EB_PATTERN_OP_RANGE:
        choice = ngx_eb_pattern_terms_choice(terms, NGX_EB_PATTERN_BETWEEN);
        if (choice == NULL) {
            return NGX_ERROR;
        }

        choice->low = op->u.range->bottom;
        choice->high = op->u.range->top;

        return NGX_OK;

    case NGX_EB_PATTERN_OP_ADDRESS:
        return ngx_eb_pattern_terms_address(terms, pool, op->u.address);

    case NGX_EB_PATTERN_OP_BUT:
        return ngx_eb_pattern_terms_but(terms, pool, op->u.but, single);

    default: /* exists:true, a regex, a wildcard without case */
        return ngx_eb_pattern_terms_any(terms);
    }
}


/* letters beyond ASCII have their own ways */

static ngx_int_t
ngx_eb_pattern_terms_case(ngx_eb_pattern_terms_t *terms, ngx_pool_t *pool,
    ngx_eb_pattern_case_text_t *nocase, ngx_eb_pattern_kind_e kind)
{
    return nocase->chars ? ngx_eb_pattern_terms_any(terms)
                         : ngx_eb_pattern_terms_one(terms, pool, kind,
                                                    &nocase->ascii);
}


/* how it begins, how it ends, and what is in it */

static ngx_int_t
ngx_eb_pattern_terms_wildcard(ngx_eb_pattern_terms_t *terms, ngx_pool_t *pool,
    ngx_eb_pattern_wildcard_t *wildcard)
{
    ngx_str_t                *last;
    ngx_eb_pattern_choice_t  *choice;

    choice = ngx_eb_pattern_terms_choice(terms, NGX_EB_PATTERN_ONE_OF);
    if (choice == NULL) {
        return NGX_ERROR;
    }

    last = &wildcard->runs[wildcard->n - 1];

    if (wildcard->runs[0].len
        && ngx_eb_pattern_terms_add(terms, pool, NGX_EB_PATTERN_BEGINS,
                                    &wildcard->runs[0])
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (last->len
        && ngx_eb_pattern_terms_add(terms, pool, NGX_EB_PATTERN_ENDS, last)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_eb_pattern_terms_parts(terms, pool, wildcard) != NGX_OK) {
        return NGX_ERROR;
    }

    if (choice->n == 0) {
        choice->how = NGX_EB_PATTERN_ANY;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_pattern_terms_parts(ngx_eb_pattern_terms_t *terms, ngx_pool_t *pool,
    ngx_eb_pattern_wildcard_t *wildcard)
{
    ngx_str_t               part, *run;
    ngx_uint_t              i, n;
    ngx_eb_pattern_kind_e   kind;

    n = 0;

    for (i = 0; i < wildcard->n; i++) {
        run = &wildcard->runs[i];

        kind = NGX_EB_PATTERN_PARTS;
        part.len = NGX_EB_PATTERN_PART;

        if (run->len < part.len) {
            kind = NGX_EB_PATTERN_SHORT_PARTS;
            part.len = NGX_EB_PATTERN_SHORT_PART;
        }

        for (part.data = run->data;
             part.data + part.len <= run->data + run->len;
             part.data++)
        {
            if (n++ == NGX_EB_PATTERN_TERM_PARTS) {
                return NGX_OK;
            }

            if (ngx_eb_pattern_terms_add(terms, pool, kind, &part)
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


/*
 * The bytes that all addresses from bottom to top begin with; of both kinds,
 * for ngx_eb_pattern_in_range() compares one with the other.
 */

static ngx_int_t
ngx_eb_pattern_terms_address(ngx_eb_pattern_terms_t *terms, ngx_pool_t *pool,
    ngx_eb_pattern_address_t *address)
{
    size_t     n;
    ngx_str_t  text;

    for (n = 0; n < address->len; n++) {
        if (address->bottom[n] != address->top[n]) {
            break;
        }
    }

    text.data = address->bottom;
    text.len = n;

    return ngx_eb_pattern_terms_one(terms, pool, NGX_EB_PATTERN_ADDRESSES,
                                    &text);
}


static ngx_int_t
ngx_eb_pattern_terms_but(ngx_eb_pattern_terms_t *terms, ngx_pool_t *pool,
    ngx_eb_pattern_values_t *but, ngx_uint_t single)
{
    double      *numbers;
    ngx_str_t   *strings, text;
    ngx_uint_t   i;

    if (!single) {
        return ngx_eb_pattern_terms_any(terms);
    }

    if (ngx_eb_pattern_terms_choice(terms, NGX_EB_PATTERN_NONE_OF) == NULL) {
        return NGX_ERROR;
    }

    strings = but->strings.elts;

    for (i = 0; i < but->strings.nelts; i++) {
        if (ngx_eb_pattern_terms_add(terms, pool,
                                     NGX_EB_PATTERN_OTHER_STRINGS, &strings[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    numbers = but->numbers.elts;

    for (i = 0; i < but->numbers.nelts; i++) {

        if (ngx_eb_pattern_terms_number(pool, numbers[i], &text) != NGX_OK
            || ngx_eb_pattern_terms_add(terms, pool,
                                        NGX_EB_PATTERN_OTHER_NUMBERS, &text)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    /* a value that is left out by something else is found, and then asked */

    return NGX_OK;
}


/* a choice of one term */

static ngx_int_t
ngx_eb_pattern_terms_one(ngx_eb_pattern_terms_t *terms, ngx_pool_t *pool,
    ngx_eb_pattern_kind_e kind, ngx_str_t *text)
{
    if (ngx_eb_pattern_terms_choice(terms, NGX_EB_PATTERN_ONE_OF) == NULL) {
        return NGX_ERROR;
    }

    return ngx_eb_pattern_terms_add(terms, pool, kind, text);
}


/* the terms that are added next are its own */

static ngx_eb_pattern_choice_t *
ngx_eb_pattern_terms_choice(ngx_eb_pattern_terms_t *terms,
    ngx_eb_pattern_how_e how)
{
    ngx_eb_pattern_choice_t  *choice;

    choice = ngx_array_push(&terms->choices);
    if (choice == NULL) {
        return NULL;
    }

    ngx_memzero(choice, sizeof(ngx_eb_pattern_choice_t));

    choice->how = how;
    choice->first = (uint32_t) terms->list.nelts;

    return choice;
}


static ngx_int_t
ngx_eb_pattern_terms_any(ngx_eb_pattern_terms_t *terms)
{
    return ngx_eb_pattern_terms_choice(terms, NGX_EB_PATTERN_ANY)
               ? NGX_OK : NGX_ERROR;
}


/* a term of the latest choice */

static ngx_int_t
ngx_eb_pattern_terms_add(ngx_eb_pattern_terms_t *terms, ngx_pool_t *pool,
    ngx_eb_pattern_kind_e kind, ngx_str_t *text)
{
    u_char                   *p;
    ngx_eb_pattern_term_t    *term;
    ngx_eb_pattern_choice_t  *choice;

    term = ngx_array_push(&terms->list);
    if (term == NULL) {
        return NGX_ERROR;
    }

    term->kind = kind;
    term->text = *text;

    if (kind == NGX_EB_PATTERN_ENDS || kind == NGX_EB_PATTERN_FOLDED_ENDS) {

        p = ngx_pnalloc(pool, text->len + 1);
        if (p == NULL) {
            return NGX_ERROR;
        }

        ngx_eb_pattern_term_turn(p, text->data, text->len);
        term->text.data = p;
    }

    choice = terms->choices.elts;
    choice[terms->choices.nelts - 1].n++;

    return NGX_OK;
}


static ngx_int_t
ngx_eb_pattern_terms_number(ngx_pool_t *pool, double number, ngx_str_t *text)
{
    text->len = sizeof(double);
    text->data = ngx_pnalloc(pool, text->len);

    if (text->data == NULL) {
        return NGX_ERROR;
    }

    ngx_eb_pattern_term_number(text->data, number);

    return NGX_OK;
}


void
ngx_eb_pattern_term_number(u_char *dst, double number)
{
    /* there are two zeros, and both are equal */

    if (number == 0) {
        number = 0;
    }

    ngx_memcpy(dst, &number, sizeof(double));
}


size_t
ngx_eb_pattern_term_fold(u_char *buf, ngx_str_t *text)
{
    u_char  *p, *last, *dst;

    p = text->data;
    last = p + text->len;
    dst = buf;

    while (p < last) {

        if (*p < 0x80) {
            *dst++ = ngx_tolower(*p);
            p++;

            continue;
        }

        /* the Kelvin sign, the long s, the i without a dot or with one */

        if (last - p >= 3 && p[0] == 0xe2 && p[1] == 0x84 && p[2] == 0xaa) {
            *dst++ = 'k';
            p += 3;

        } else if (last - p >= 2 && p[0] == 0xc5 && p[1] == 0xbf) {
            *dst++ = 's';
            p += 2;

        } else if (last - p >= 2 && p[0] == 0xc4
                   && (p[1] == 0xb0 || p[1] == 0xb1))
        {
            *dst++ = 'i';
            p += 2;

        } else {
            *dst++ = *p++;
        }
    }

    return dst - buf;
}


void
ngx_eb_pattern_term_turn(u_char *dst, u_char *src, size_t len)
{
    u_char  *p;

    for (p = src + len; p > src; /* void */) {
        *dst++ = *--p;
    }
}
