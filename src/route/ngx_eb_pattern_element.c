
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Array consistency: fields that are in an array of objects must match in the
 * same element of it.
 *
 * Event Ruler takes the fields by their names, and for each a value that is
 * not in another element of any array than the values taken before; a field
 * that must not exist must have no value that would fit to those taken before.
 * It tries all ways.  Usually they need not be tried: all values of a field
 * are in one array, for which an element must be found in which all the
 * fields of that array hold, and so on inside of the element.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_regex.h"
#include "ngx_eb_pattern.h"
#include "ngx_eb_pattern_form.h"


typedef struct {
    ngx_eb_pattern_scratch_t *scratch;
    ngx_eb_pattern_element_t *elements;
    ngx_eb_pattern_entry_t   *entries;
    ngx_eb_pattern_item_t    *items;
    uint32_t                  taken[NGX_EB_PATTERN_MAX_FIELDS];
    uint32_t                  ntaken;
    uint32_t                  n;            /* items */
} ngx_eb_pattern_search_t;


static ngx_int_t ngx_eb_pattern_solve(ngx_eb_pattern_search_t *s, uint32_t ctx,
    ngx_eb_pattern_item_t *items, ngx_uint_t n);
static ngx_int_t ngx_eb_pattern_sift(ngx_eb_pattern_search_t *s, uint32_t ctx,
    ngx_eb_pattern_item_t *items, ngx_uint_t *n);
static ngx_int_t ngx_eb_pattern_group(ngx_eb_pattern_search_t *s, uint32_t ctx,
    ngx_eb_pattern_item_t *items, ngx_uint_t n, uint32_t array);
static void ngx_eb_pattern_within(ngx_eb_pattern_search_t *s,
    ngx_eb_pattern_item_t *item, ngx_eb_pattern_element_t *element);
static uint32_t ngx_eb_pattern_lower_bound(ngx_eb_pattern_entry_t *entries,
    uint32_t lo, uint32_t hi, uint32_t node);
static uint32_t ngx_eb_pattern_child(ngx_eb_pattern_search_t *s, uint32_t ctx,
    uint32_t of);
static ngx_int_t ngx_eb_pattern_try(ngx_eb_pattern_search_t *s, uint32_t k);
static uint32_t ngx_eb_pattern_fitting(ngx_eb_pattern_search_t *s,
    ngx_eb_pattern_item_t *item, uint32_t i);
static uint32_t ngx_eb_pattern_past(ngx_eb_pattern_search_t *s,
    ngx_eb_pattern_item_t *item, uint32_t i, uint32_t a, uint32_t b);
static ngx_uint_t ngx_eb_pattern_consistent(ngx_eb_pattern_search_t *s,
    uint32_t *a, uint32_t *b);


ngx_int_t
ngx_eb_pattern_elements(ngx_eb_pattern_scratch_t *scratch, ngx_uint_t n)
{
    ngx_int_t                rc;
    ngx_uint_t               i;
    ngx_eb_pattern_search_t  s;

    s.scratch = scratch;
    s.elements = scratch->elements.elts;
    s.entries = scratch->entries.elts;
    s.items = scratch->items.elts;
    s.n = n;
    s.ntaken = 0;

    /* solve() leaves its list as it likes, and try() needs it as it is */

    ngx_memcpy(s.items + n, s.items, n * sizeof(ngx_eb_pattern_item_t));

    rc = NGX_AGAIN;

    for (i = 0; i < n; i++) {
        if (s.items[i].positive && s.items[i].absent) {
            break;
        }
    }

    if (i == n) {
        rc = ngx_eb_pattern_solve(&s, 0, s.items + n, n);
    }

    return (rc == NGX_AGAIN) ? ngx_eb_pattern_try(&s, 0) : rc;
}


/*
 * Can all items hold inside of the element ctx?  NGX_OK, NGX_DECLINED;
 * NGX_AGAIN: there is more than one way for some field.
 */

static ngx_int_t
ngx_eb_pattern_solve(ngx_eb_pattern_search_t *s, uint32_t ctx,
    ngx_eb_pattern_item_t *items, ngx_uint_t n)
{
    uint32_t    array;
    ngx_int_t   rc;
    ngx_uint_t  i, k;

    rc = ngx_eb_pattern_sift(s, ctx, items, &n);
    if (rc != NGX_OK) {
        return rc;
    }

    /* those of one array after those of another */

    for (i = 0; i < n; i++) {
        array = items[i].array;

        for (k = 0; k < i; k++) {
            if (items[k].array == array) {
                break;
            }
        }

        if (k < i) {
            continue;
        }

        rc = ngx_eb_pattern_group(s, ctx, items, n, array);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


/* what is decided at once goes; the rest gets to know its array */

static ngx_int_t
ngx_eb_pattern_sift(ngx_eb_pattern_search_t *s, uint32_t ctx,
    ngx_eb_pattern_item_t *items, ngx_uint_t *n)
{
    uint32_t                 i, k, left, array, in;
    ngx_uint_t               absent, direct, many;
    ngx_eb_pattern_item_t   *item;
    ngx_eb_pattern_entry_t  *entry;

    absent = 0;

    for (k = 0; k < *n; k++) {
        absent |= items[k].absent;
    }

    left = 0;

    for (k = 0; k < *n; k++) {
        item = &items[k];

        array = NGX_EB_PATTERN_NONE;
        direct = 0;
        many = 0;

        for (i = item->lo; i < item->hi; i++) {
            entry = &s->entries[i];

            if (entry->ctx == ctx) {
                direct = 1;
                continue;
            }

            in = s->elements[ngx_eb_pattern_child(s, entry->ctx, ctx)].array;

            if (array == NGX_EB_PATTERN_NONE) {
                array = in;

            } else if (array != in) {
                many = 1;
            }
        }

        if (item->absent) {

            if (direct) {
                return NGX_DECLINED;
            }

            if (array == NGX_EB_PATTERN_NONE) {
                continue;
            }

        } else {

            if (!direct && array == NGX_EB_PATTERN_NONE) {
                return NGX_DECLINED;
            }

            /* a value beside all elements asks nothing of other fields */

            if (direct && (!absent || array == NGX_EB_PATTERN_NONE)) {
                continue;
            }
        }

        if (many || direct) {
            return NGX_AGAIN;
        }

        items[left] = *item;
        items[left++].array = array;
    }

    *n = left;

    return NGX_OK;
}


/* is there an element of the array in which all its items hold? */

static ngx_int_t
ngx_eb_pattern_group(ngx_eb_pattern_search_t *s, uint32_t ctx,
    ngx_eb_pattern_item_t *items, ngx_uint_t n, uint32_t array)
{
    uint32_t                   i, lo, hi, element, last;
    ngx_int_t                  rc;
    ngx_uint_t                 k, count;
    ngx_eb_pattern_item_t     *inner, *lead;

    lead = NULL;

    for (k = 0; k < n; k++) {

        if (items[k].array != array) {
            continue;
        }

        if (!items[k].absent) {

            if (lead == NULL) {
                lead = &items[k];
            }

        } else if (lead == NULL) {

            /* no element was taken before that could make it absent */

            return NGX_DECLINED;
        }
    }

    if (lead == NULL) {
        return NGX_DECLINED;
    }

    inner = items + n;
    lo = lead->lo;
    hi = lead->hi;
    last = NGX_EB_PATTERN_NONE;

    for (i = lo; i < hi; i++) {

        element = ngx_eb_pattern_child(s, s->entries[i].ctx, ctx);

        if (element == last) {
            continue;
        }

        last = element;
        count = 0;

        for (k = 0; k < n; k++) {

            if (items[k].array == array) {
                inner[count] = items[k];
                ngx_eb_pattern_within(s, &inner[count++],
                                      &s->elements[element]);
            }
        }

        rc = ngx_eb_pattern_solve(s, element, inner, count);
        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    return NGX_DECLINED;
}


/* entries are in the order of the event, and so those of an element adjoin */

static void
ngx_eb_pattern_within(ngx_eb_pattern_search_t *s, ngx_eb_pattern_item_t *item,
    ngx_eb_pattern_element_t *element)
{
    uint32_t  hi;

    hi = item->hi;

    item->lo = ngx_eb_pattern_lower_bound(s->entries, item->lo, hi,
                                          element->first);
    item->hi = ngx_eb_pattern_lower_bound(s->entries, item->lo, hi,
                                          element->last);
}


static uint32_t
ngx_eb_pattern_lower_bound(ngx_eb_pattern_entry_t *entries, uint32_t lo,
    uint32_t hi, uint32_t node)
{
    uint32_t  mid;

    while (lo < hi) {
        mid = lo + (hi - lo) / 2;

        if (entries[mid].node < node) {
            lo = mid + 1;

        } else {
            hi = mid;
        }
    }

    return lo;
}


/* the element on the way from of down to ctx that is next to of */

static uint32_t
ngx_eb_pattern_child(ngx_eb_pattern_search_t *s, uint32_t ctx, uint32_t of)
{
    while (s->elements[ctx].parent != of) {
        ctx = s->elements[ctx].parent;
    }

    return ctx;
}


/* all ways, as Event Ruler does, but not for ever */

static ngx_int_t
ngx_eb_pattern_try(ngx_eb_pattern_search_t *s, uint32_t k)
{
    uint32_t                 i;
    ngx_int_t                rc;
    ngx_eb_pattern_item_t   *item;
    ngx_eb_pattern_entry_t  *entry;

    if (k == s->n) {
        return NGX_OK;
    }

    item = &s->items[k];

    if (item->absent) {

        i = ngx_eb_pattern_fitting(s, item, item->lo);

        if (i == NGX_EB_PATTERN_NONE) {
            return NGX_ERROR;
        }

        if (i == item->hi) {
            rc = ngx_eb_pattern_try(s, k + 1);

            if (rc != NGX_DECLINED) {
                return rc;
            }
        }
    }

    if (!item->positive) {
        return NGX_DECLINED;
    }

    for (i = item->lo; /* void */ ; i++) {
        i = ngx_eb_pattern_fitting(s, item, i);

        if (i == NGX_EB_PATTERN_NONE) {
            return NGX_ERROR;
        }

        if (i == item->hi) {
            return NGX_DECLINED;
        }

        entry = &s->entries[i];

        if (!entry->match) {
            continue;
        }

        s->taken[s->ntaken++] = entry->ctx;

        rc = ngx_eb_pattern_try(s, k + 1);

        s->ntaken--;

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }
}


/*
 * The first entry from i on that fits to all that is taken, or hi;
 * NGX_EB_PATTERN_NONE: that were too many steps.
 */

static uint32_t
ngx_eb_pattern_fitting(ngx_eb_pattern_search_t *s, ngx_eb_pattern_item_t *item,
    uint32_t i)
{
    uint32_t  k, a, b;

    while (i < item->hi) {

        if (s->scratch->steps >= NGX_EB_PATTERN_MAX_STEPS) {
            return NGX_EB_PATTERN_NONE;
        }

        s->scratch->steps += 1 + s->ntaken;

        for (k = 0; k < s->ntaken; k++) {
            a = s->taken[k];
            b = s->entries[i].ctx;

            if (!ngx_eb_pattern_consistent(s, &a, &b)) {
                break;
            }
        }

        if (k == s->ntaken) {
            break;
        }

        i = ngx_eb_pattern_past(s, item, i, a, b);
    }

    return i;
}


/*
 * Entry i is in element b, and element a of the same array is taken.  Nor do
 * the other entries in elements of that array fit, up to a or after it; only
 * if the field can also be a plain value beside the elements, which it cannot
 * when its name goes on in an object, one in between may.
 */

static uint32_t
ngx_eb_pattern_past(ngx_eb_pattern_search_t *s, ngx_eb_pattern_item_t *item,
    uint32_t i, uint32_t a, uint32_t b)
{
    uint32_t        at, node;
    ngx_eb_json_t  *json;

    json = s->scratch->json;

    at = s->entries[i].ctx;

    while (ngx_eb_json_type(json, s->elements[at].first) != '{') {

        if (at == b) {
            return i + 1;
        }

        at = s->elements[at].parent;
    }

    node = (s->elements[b].first < s->elements[a].first)
           ? s->elements[a].first : json->skip[s->elements[a].array];

    return ngx_eb_pattern_lower_bound(s->entries, i + 1, item->hi, node);
}


/* not in two elements of one array?  If they are, *a and *b become these. */

static ngx_uint_t
ngx_eb_pattern_consistent(ngx_eb_pattern_search_t *s, uint32_t *a, uint32_t *b)
{
    ngx_eb_pattern_element_t  *elements;

    elements = s->elements;

    while (elements[*a].depth > elements[*b].depth) {
        *a = elements[*a].parent;
    }

    while (elements[*b].depth > elements[*a].depth) {
        *b = elements[*b].parent;
    }

    if (*a == *b) {
        return 1;
    }

    while (elements[*a].parent != elements[*b].parent) {
        *a = elements[*a].parent;
        *b = elements[*b].parent;
    }

    return elements[*a].array != elements[*b].array;
}
