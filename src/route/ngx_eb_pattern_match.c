
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * A pattern against the collected event.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_regex.h"
#include "ngx_eb_pattern.h"
#include "ngx_eb_pattern_form.h"


static ngx_uint_t ngx_eb_pattern_any(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_pattern_cond_t *cond, ngx_eb_pattern_slot_t *slot);
static ngx_int_t ngx_eb_pattern_nested(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_pattern_variant_t *variant, ngx_uint_t n, ngx_uint_t total);


ngx_int_t
ngx_eb_pattern_match(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_pattern_t *pattern)
{
    ngx_int_t                  rc;
    ngx_uint_t                 i, gave_up;
    ngx_eb_pattern_variant_t  *variant;

    if (scratch->failed) {
        return NGX_ERROR;
    }

    gave_up = 0;
    variant = pattern->variants;

    for (i = 0; i < pattern->nvariants; i++) {
        rc = ngx_eb_pattern_match_conds(scratch, &variant[i], variant[i].n);

        if (rc == NGX_OK) {
            return NGX_OK;
        }

        if (rc == NGX_ERROR) {
            gave_up = 1;
        }
    }

    return gave_up ? NGX_ERROR : NGX_DECLINED;
}


ngx_int_t
ngx_eb_pattern_match_conds(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_pattern_variant_t *variant, ngx_uint_t n)
{
    ngx_uint_t               i, total, nested, positive, gave_up;
    ngx_eb_pattern_cond_t   *cond;
    ngx_eb_pattern_slot_t   *slot;

    total = 0;
    nested = 0;
    positive = 0;
    gave_up = 0;

    for (i = 0; i < n; i++) {
        cond = variant->conds[i];
        slot = ngx_eb_pattern_slot(scratch, cond->field);

        if (slot == NULL) {

            if (!cond->absent) {
                return NGX_DECLINED;
            }

            continue;
        }

        if (slot->nested) {
            nested++;
            total += slot->n;

            if (cond->absent) {
                continue;
            }

            positive++;
        }

        scratch->gave_up = 0;

        if (!ngx_eb_pattern_any(scratch, cond, slot)) {

            if (!scratch->gave_up) {
                return NGX_DECLINED;
            }

            gave_up = 1;
        }
    }

    if (gave_up) {
        return NGX_ERROR;
    }

    /* a single choice is always consistent with itself */

    if (nested == positive && positive <= 1) {
        return NGX_OK;
    }

    return ngx_eb_pattern_nested(scratch, variant, n, total);
}


/* is there a value, whatever elements of arrays it is in? */

static ngx_uint_t
ngx_eb_pattern_any(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_pattern_cond_t *cond, ngx_eb_pattern_slot_t *slot)
{
    uint32_t                 i;
    ngx_int_t                rc;
    ngx_eb_pattern_memo_t   *memo;
    ngx_eb_pattern_datum_t  *data;

    memo = NULL;

    if (cond->memo != NGX_EB_PATTERN_NONE) {
        memo = &scratch->memos[cond->memo];

        if (memo->stamp == scratch->stamp) {

            if (memo->rc == NGX_ERROR) {
                scratch->gave_up = 1;
            }

            return memo->rc == NGX_OK;
        }
    }

    rc = NGX_DECLINED;
    data = scratch->data.elts;

    if (cond->positive) {

        for (i = slot->head; i != NGX_EB_PATTERN_NONE; i = data[i].next) {

            if (ngx_eb_pattern_value_match(scratch, &cond->values, &data[i])) {
                rc = NGX_OK;
                break;
            }
        }
    }

    if (rc == NGX_DECLINED && scratch->gave_up) {
        rc = NGX_ERROR;
    }

    if (memo) {
        memo->stamp = scratch->stamp;
        memo->rc = rc;
    }

    return rc == NGX_OK;
}


/* fields that are in elements of arrays must be in the same ones */

static ngx_int_t
ngx_eb_pattern_nested(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_pattern_variant_t *variant, ngx_uint_t n, ngx_uint_t total)
{
    uint32_t                 i, k, nitems, nentries;
    ngx_int_t                rc;
    ngx_uint_t               gave_up;
    ngx_eb_pattern_cond_t   *cond;
    ngx_eb_pattern_slot_t   *slot;
    ngx_eb_pattern_item_t   *item;
    ngx_eb_pattern_datum_t  *data;
    ngx_eb_pattern_entry_t  *entry;

    /* each level of elements has a list of at most all items of its own */

    if (ngx_eb_pattern_room(scratch, &scratch->entries, total) != NGX_OK
        || ngx_eb_pattern_room(scratch, &scratch->items,
                               n * ((size_t) scratch->depth + 2))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    data = scratch->data.elts;
    entry = scratch->entries.elts;
    nitems = 0;
    nentries = 0;
    gave_up = 0;

    for (i = 0; i < n; i++) {
        cond = variant->conds[i];
        slot = ngx_eb_pattern_slot(scratch, cond->field);

        if (slot == NULL || !slot->nested) {
            continue;
        }

        item = (ngx_eb_pattern_item_t *) scratch->items.elts + nitems++;

        item->lo = nentries;
        item->order = i;
        item->positive = cond->positive;
        item->absent = cond->absent;

        scratch->gave_up = 0;

        for (k = slot->head; k != NGX_EB_PATTERN_NONE; k = data[k].next) {

            entry[nentries].match =
                    cond->positive
                    && ngx_eb_pattern_value_match(scratch, &cond->values,
                                                  &data[k]);

            /* where it must not be nothing, what does not match is no matter */

            if (!entry[nentries].match && !cond->absent) {
                continue;
            }

            entry[nentries].node = data[k].node;
            entry[nentries].ctx = data[k].ctx;
            nentries++;
        }

        item->hi = nentries;
        gave_up |= scratch->gave_up;
    }

    rc = ngx_eb_pattern_elements(scratch, nitems);

    return (rc == NGX_DECLINED && gave_up) ? NGX_ERROR : rc;
}
