
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * One value of an event against the array of a pattern.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_regex.h"
#include "ngx_eb_pattern.h"
#include "ngx_eb_pattern_form.h"


static ngx_uint_t ngx_eb_pattern_has_string(ngx_eb_pattern_values_t *values,
    ngx_eb_pattern_datum_t *datum);
static ngx_uint_t ngx_eb_pattern_has_number(ngx_eb_pattern_values_t *values,
    double number);
static ngx_uint_t ngx_eb_pattern_op_string(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_pattern_op_t *op, ngx_eb_pattern_datum_t *datum);
static ngx_uint_t ngx_eb_pattern_op_address(ngx_eb_pattern_address_t *range,
    ngx_eb_pattern_datum_t *datum);
static ngx_uint_t ngx_eb_pattern_op_range(ngx_eb_pattern_range_t *range,
    double number);
static int ngx_libc_cdecl ngx_eb_pattern_string_cmp(const void *one,
    const void *two);
static int ngx_libc_cdecl ngx_eb_pattern_number_cmp(const void *one,
    const void *two);


ngx_int_t
ngx_eb_pattern_values_init(ngx_pool_t *pool, ngx_eb_pattern_values_t *values)
{
    if (ngx_array_init(&values->strings, pool, 1, sizeof(ngx_str_t)) != NGX_OK
        || ngx_array_init(&values->numbers, pool, 1, sizeof(double)) != NGX_OK
        || ngx_array_init(&values->ops, pool, 1, sizeof(ngx_eb_pattern_op_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_eb_pattern_values_sort(ngx_eb_pattern_values_t *values)
{
    ngx_qsort(values->strings.elts, values->strings.nelts, sizeof(ngx_str_t),
              ngx_eb_pattern_string_cmp);
    ngx_qsort(values->numbers.elts, values->numbers.nelts, sizeof(double),
              ngx_eb_pattern_number_cmp);
}


/* by length first: that is the cheapest difference */

static int ngx_libc_cdecl
ngx_eb_pattern_string_cmp(const void *one, const void *two)
{
    const ngx_str_t *a = one;
    const ngx_str_t *b = two;

    if (a->len != b->len) {
        return (a->len < b->len) ? -1 : 1;
    }

    return ngx_memcmp(a->data, b->data, a->len);
}


static int ngx_libc_cdecl
ngx_eb_pattern_number_cmp(const void *one, const void *two)
{
    const double *a = one;
    const double *b = two;

    return (*a < *b) ? -1 : (*a > *b);
}


ngx_uint_t
ngx_eb_pattern_value_match(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_pattern_values_t *values, ngx_eb_pattern_datum_t *datum)
{
    ngx_uint_t            i;
    ngx_eb_pattern_op_t  *op;

    if (datum->type == '"') {

        if (!datum->known_string
            && ngx_eb_pattern_string(scratch, datum) != NGX_OK)
        {
            scratch->gave_up = 1;
            return 0;
        }

        if (values->strings.nelts && ngx_eb_pattern_has_string(values, datum))
        {
            return 1;
        }

    } else if (datum->type == '0') {

        if (!datum->known_number) {
            datum->known_number = 1;
            datum->numeric = (ngx_eb_pattern_number(datum->data, datum->len,
                                                    &datum->number)
                              == NGX_OK);
        }

        if (datum->numeric && values->numbers.nelts
            && ngx_eb_pattern_has_number(values, datum->number))
        {
            return 1;
        }
    }

    op = values->ops.elts;

    for (i = 0; i < values->ops.nelts; i++) {

        switch (op[i].type) {

        case NGX_EB_PATTERN_OP_ANY:
            return 1;

        case NGX_EB_PATTERN_OP_LITERAL:
            if (datum->type == op[i].u.literal) {
                return 1;
            }

            break;

        case NGX_EB_PATTERN_OP_TEXT:
            if (datum->type == '0' && datum->len == op[i].text.len
                && ngx_memcmp(datum->data, op[i].text.data, datum->len) == 0)
            {
                return 1;
            }

            break;

        case NGX_EB_PATTERN_OP_RANGE:
            if (datum->type == '0' && datum->numeric
                && ngx_eb_pattern_op_range(op[i].u.range, datum->number))
            {
                return 1;
            }

            break;

        case NGX_EB_PATTERN_OP_BUT:
            if (!ngx_eb_pattern_value_match(scratch, op[i].u.but, datum)) {
                return 1;
            }

            break;

        default:
            if (datum->type == '"'
                && ngx_eb_pattern_op_string(scratch, &op[i], datum))
            {
                return 1;
            }
        }
    }

    return 0;
}


static ngx_uint_t
ngx_eb_pattern_has_string(ngx_eb_pattern_values_t *values,
    ngx_eb_pattern_datum_t *datum)
{
    int          rc;
    ngx_str_t    str, *strings;
    ngx_uint_t   low, high, mid;

    strings = values->strings.elts;
    low = 0;
    high = values->strings.nelts;

    str.data = datum->data;
    str.len = datum->len;

    while (low < high) {
        mid = (low + high) / 2;
        rc = ngx_eb_pattern_string_cmp(&str, &strings[mid]);

        if (rc == 0) {
            return 1;
        }

        if (rc < 0) {
            high = mid;

        } else {
            low = mid + 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_eb_pattern_has_number(ngx_eb_pattern_values_t *values, double number)
{
    double      *numbers;
    ngx_uint_t   low, high, mid;

    numbers = values->numbers.elts;
    low = 0;
    high = values->numbers.nelts;

    while (low < high) {
        mid = (low + high) / 2;

        if (number == numbers[mid]) {
            return 1;
        }

        if (number < numbers[mid]) {
            high = mid;

        } else {
            low = mid + 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_eb_pattern_op_string(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_pattern_op_t *op, ngx_eb_pattern_datum_t *datum)
{
    u_char     *p;
    size_t      len;
    ngx_int_t   rc;
    ngx_str_t   subject;

    p = datum->data;
    len = datum->len;

    switch (op->type) {

    case NGX_EB_PATTERN_OP_PREFIX:
        return len >= op->text.len
               && ngx_memcmp(p, op->text.data, op->text.len) == 0;

    case NGX_EB_PATTERN_OP_SUFFIX:
        return len >= op->text.len
               && ngx_memcmp(p + len - op->text.len, op->text.data,
                             op->text.len)
                  == 0;

    case NGX_EB_PATTERN_OP_EQUAL_CASE:
        return ngx_eb_pattern_case_equal(op->u.nocase, p, len);

    case NGX_EB_PATTERN_OP_PREFIX_CASE:
        return ngx_eb_pattern_case_prefix(op->u.nocase, p, len);

    case NGX_EB_PATTERN_OP_SUFFIX_CASE:
        return ngx_eb_pattern_case_suffix(op->u.nocase, p, len);

    case NGX_EB_PATTERN_OP_WILDCARD:
    case NGX_EB_PATTERN_OP_WILDCARD_CASE:
        return ngx_eb_pattern_wildcard_match(op->u.wildcard, p, len);

    case NGX_EB_PATTERN_OP_ADDRESS:
        return ngx_eb_pattern_op_address(op->u.address, datum);

    case NGX_EB_PATTERN_OP_REGEX:
        subject.data = p;
        subject.len = len;

        rc = scratch->regex
                 ? ngx_eb_regex_match_within(scratch->regex, op->u.regex,
                                             &subject, &scratch->regexes)
                 : NGX_ERROR;

        if (rc == NGX_ERROR) {
            scratch->gave_up = 1;
        }

        return rc == NGX_OK;

    default:
        return 0;
    }
}


static ngx_uint_t
ngx_eb_pattern_op_address(ngx_eb_pattern_address_t *range,
    ngx_eb_pattern_datum_t *datum)
{
    if (!datum->known_address) {
        datum->known_address = 1;
        datum->naddress = (u_char) ngx_eb_pattern_address(datum->data,
                                                          datum->len,
                                                          datum->address);
    }

    return datum->naddress
           && ngx_eb_pattern_in_range(range, datum->address, datum->naddress);
}


static ngx_uint_t
ngx_eb_pattern_op_range(ngx_eb_pattern_range_t *range, double number)
{
    if (range->open_bottom ? number <= range->bottom : number < range->bottom)
    {
        return 0;
    }

    return range->open_top ? number < range->top : number <= range->top;
}
