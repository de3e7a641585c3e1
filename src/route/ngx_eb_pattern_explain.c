
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Why an event does not match, for people.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_regex.h"
#include "ngx_eb_pattern.h"
#include "ngx_eb_pattern_form.h"


/* longer texts are cut in sentences */
#define NGX_EB_PATTERN_SHOWN  200


static ngx_uint_t ngx_eb_pattern_alone(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_pattern_variant_t *variant);
static ngx_uint_t ngx_eb_pattern_failing(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_pattern_variant_t *variant);
static void ngx_eb_pattern_miss(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_pattern_cond_t *cond, ngx_eb_pattern_miss_t *miss);
static size_t ngx_eb_pattern_shown(ngx_str_t *text);


void
ngx_eb_pattern_explain(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_pattern_t *pattern, ngx_eb_pattern_miss_t *miss)
{
    ngx_int_t                  rc;
    ngx_uint_t                 i, n, best, least;
    ngx_eb_pattern_cond_t     *cond;
    ngx_eb_pattern_variant_t  *variant;

    ngx_memzero(miss, sizeof(ngx_eb_pattern_miss_t));
    miss->node = NGX_EB_JSON_NONE;

    rc = ngx_eb_pattern_match(scratch, pattern);

    if (rc == NGX_OK) {
        return;
    }

    if (scratch->failed) {
        miss->reason = NGX_EB_PATTERN_GIVEN_UP;
        return;
    }

    best = 0;
    least = NGX_MAX_UINT32_VALUE;

    for (i = 0; i < pattern->nvariants; i++) {
        n = ngx_eb_pattern_alone(scratch, &pattern->variants[i]);

        if (n < least) {
            least = n;
            best = i;
        }
    }

    variant = &pattern->variants[best];
    cond = variant->conds[ngx_eb_pattern_failing(scratch, variant) - 1];

    miss->variant = best;
    miss->field = *ngx_eb_pattern_set_field(scratch->set, cond->field);
    miss->condition = cond->text;

    ngx_eb_pattern_miss(scratch, cond, miss);
}


/* how many conditions fail each by itself */

static ngx_uint_t
ngx_eb_pattern_alone(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_pattern_variant_t *variant)
{
    ngx_uint_t                i, n;
    ngx_eb_pattern_variant_t  one;

    n = 0;
    one.n = 1;

    for (i = 0; i < variant->n; i++) {
        one.conds = &variant->conds[i];

        if (ngx_eb_pattern_match_conds(scratch, &one, 1) != NGX_OK) {
            n++;
        }
    }

    return n;
}


/* with how many conditions, from the first one, it fails */

static ngx_uint_t
ngx_eb_pattern_failing(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_pattern_variant_t *variant)
{
    ngx_uint_t  low, high, mid;

    /* no more conditions hold the more there are */

    low = 1;
    high = variant->n;

    while (low < high) {
        mid = low + (high - low) / 2;

        if (ngx_eb_pattern_match_conds(scratch, variant, mid) == NGX_OK) {
            low = mid + 1;

        } else {
            high = mid;
        }
    }

    return low;
}


static void
ngx_eb_pattern_miss(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_pattern_cond_t *cond, ngx_eb_pattern_miss_t *miss)
{
    ngx_int_t                  rc;
    ngx_eb_pattern_slot_t     *slot;
    ngx_eb_pattern_datum_t    *data;
    ngx_eb_pattern_variant_t   one;

    slot = ngx_eb_pattern_slot(scratch, cond->field);

    if (slot == NULL && !cond->absent) {
        miss->reason = NGX_EB_PATTERN_MISSING;
        return;
    }

    if (slot) {
        data = scratch->data.elts;
        miss->node = data[slot->head].node;
    }

    one.conds = &cond;
    one.n = 1;

    rc = ngx_eb_pattern_match_conds(scratch, &one, 1);

    if (rc == NGX_ERROR || scratch->steps >= NGX_EB_PATTERN_MAX_STEPS) {
        miss->reason = NGX_EB_PATTERN_GIVEN_UP;

    } else if (rc == NGX_OK) {
        miss->reason = NGX_EB_PATTERN_ELEMENTS;

    } else {
        miss->reason = cond->positive ? NGX_EB_PATTERN_VALUE
                                      : NGX_EB_PATTERN_PRESENT;
    }
}


ngx_int_t
ngx_eb_pattern_sentence(ngx_pool_t *pool, ngx_eb_json_t *json,
    ngx_eb_pattern_miss_t *miss, ngx_str_t *text)
{
    u_char     *p, *last;
    size_t      size;
    ngx_str_t   field, condition, value;

    if (miss->reason == NGX_EB_PATTERN_MATCHES) {
        ngx_str_set(text, "the event matches");
        return NGX_OK;
    }

    field = miss->field;
    field.len = ngx_eb_pattern_shown(&field);

    condition = miss->condition;
    condition.len = ngx_eb_pattern_shown(&condition);

    ngx_str_null(&value);

    if (miss->node != NGX_EB_JSON_NONE) {
        ngx_eb_json_raw(json, miss->node, &value);
        value.len = ngx_eb_pattern_shown(&value);
    }

    size = field.len + condition.len + value.len + 128;

    p = ngx_pnalloc(pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    last = p + size;
    text->data = p;

    switch (miss->reason) {

    case NGX_EB_PATTERN_MISSING:
        p = ngx_slprintf(p, last, "field \"%V\" must match %V, but the event"
                         " has no such field", &field, &condition);
        break;

    case NGX_EB_PATTERN_PRESENT:
        p = ngx_slprintf(p, last, "field \"%V\" must not exist, but it is %V",
                         &field, &value);
        break;

    case NGX_EB_PATTERN_VALUE:
        p = ngx_slprintf(p, last, "field \"%V\" must match %V, but it is %V",
                         &field, &condition, &value);
        break;

    case NGX_EB_PATTERN_ELEMENTS:
        p = ngx_slprintf(p, last, "field \"%V\" matches %V, but not in the"
                         " array element of the fields before it", &field,
                         &condition);
        break;

    default:
        p = ngx_slprintf(p, last, "field \"%V\" was to match %V, but a limit"
                         " was hit", &field, &condition);
    }

    text->len = p - text->data;

    return NGX_OK;
}


/* whole characters of a text that is not too long */

static size_t
ngx_eb_pattern_shown(ngx_str_t *text)
{
    size_t  n;

    if (text->len <= NGX_EB_PATTERN_SHOWN) {
        return text->len;
    }

    n = NGX_EB_PATTERN_SHOWN;

    while (n && (text->data[n] & 0xc0) == 0x80) {
        n--;
    }

    return n;
}
