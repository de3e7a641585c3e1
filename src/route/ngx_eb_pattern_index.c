
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <math.h>
#include "ngx_eb_pattern_form.h"
#include "ngx_eb_pattern_terms.h"
#include "ngx_eb_pattern_lookup.h"
#include "ngx_eb_pattern_index.h"


/* bits that say which parts are in a table, so that most are not looked up */
#define NGX_EB_PATTERN_FILTER_BITS  14


/* the rules that are filed under a field */

typedef struct {
    ngx_uint_t                field;
    ngx_eb_lookup_texts_t     tables[NGX_EB_PATTERN_KINDS];
    ngx_eb_lookup_ranges_t    ranges;
    ngx_eb_lookup_set_t       any;          /* whatever its value is */
    ngx_eb_lookup_set_t       others;       /* whatever, but what tables say */
    uint64_t                 *filters[2];   /* of parts, and of short ones;
                                               NULL: there are none */

    /* while it is made: how often a text is asked for, and the like */
    ngx_eb_lookup_texts_t    *uses;
    ngx_uint_t                nranges;
    ngx_uint_t                nothers;
    unsigned                  filed:1;
    unsigned                  numbers:1;    /* it matters which they are */
} ngx_eb_pattern_place_t;


struct ngx_eb_pattern_index_s {
    ngx_eb_pattern_place_t  **places;       /* that anything is filed under */
    ngx_uint_t                nplaces;
    ngx_uint_t                words;        /* in a set of rules */
    uint64_t                 *always;       /* rules that need no value */
    uint64_t                 *found;
    uint64_t                 *others;
    u_char                   *buf;          /* for texts made of values */
    u_char                   *turned;
    size_t                    size;         /* of each */
};


/* what is done with the terms of a condition */

typedef enum {
    NGX_EB_PATTERN_COUNT = 0,
    NGX_EB_PATTERN_SCORE,
    NGX_EB_PATTERN_FILE
} ngx_eb_pattern_mode_e;


typedef struct {
    ngx_pool_t               *pool;         /* of the index */
    ngx_pool_t               *temp;
    ngx_eb_pattern_index_t   *index;
    ngx_eb_pattern_place_t  **places;       /* by number of the field */
    ngx_eb_pattern_terms_t    terms;
    ngx_eb_pattern_mode_e     mode;
    uint32_t                  rule;
    ngx_uint_t                single;       /* the rule has one variant */
    ngx_uint_t                score;        /* of a condition: how many rules
                                               come up with it, about */
} ngx_eb_pattern_filing_t;


/* a score that a condition has which any value may fulfil */
#define NGX_EB_PATTERN_WEAK  1000000


static ngx_int_t ngx_eb_pattern_index_rules(ngx_eb_pattern_filing_t *filing,
    ngx_eb_pattern_t **patterns, ngx_uint_t n);
static ngx_int_t ngx_eb_pattern_index_variant(ngx_eb_pattern_filing_t *filing,
    ngx_eb_pattern_variant_t *variant);
static ngx_eb_pattern_place_t *ngx_eb_pattern_index_place(
    ngx_eb_pattern_filing_t *filing, ngx_uint_t field);
static ngx_int_t ngx_eb_pattern_index_cond(ngx_eb_pattern_filing_t *filing,
    ngx_eb_pattern_cond_t *cond);
static ngx_int_t ngx_eb_pattern_index_choice(ngx_eb_pattern_filing_t *filing,
    ngx_eb_pattern_place_t *place, ngx_eb_pattern_choice_t *choice);
static ngx_int_t ngx_eb_pattern_index_text(ngx_eb_pattern_filing_t *filing,
    ngx_eb_pattern_place_t *place, ngx_eb_pattern_term_t *term);
static ngx_int_t ngx_eb_pattern_index_ready(ngx_pool_t *pool,
    ngx_eb_pattern_index_t *index);
static ngx_int_t ngx_eb_pattern_index_filter(ngx_pool_t *pool,
    ngx_eb_lookup_texts_t *parts, uint64_t **filter);
static ngx_inline ngx_uint_t ngx_eb_pattern_index_bit(u_char *part,
    size_t len);
static void ngx_eb_pattern_index_value(ngx_eb_pattern_index_t *index,
    ngx_eb_pattern_place_t *place, ngx_eb_pattern_datum_t *datum);
static void ngx_eb_pattern_index_string(ngx_eb_pattern_index_t *index,
    ngx_eb_pattern_place_t *place, ngx_str_t *text);
static void ngx_eb_pattern_index_folded(ngx_eb_pattern_index_t *index,
    ngx_eb_pattern_place_t *place, ngx_str_t *text);
static ngx_inline void ngx_eb_pattern_index_parts(ngx_eb_pattern_index_t *index,
    ngx_eb_lookup_texts_t *parts, uint64_t *filter, size_t len,
    ngx_str_t *text);
static void ngx_eb_pattern_index_address(ngx_eb_pattern_index_t *index,
    ngx_eb_pattern_place_t *place, ngx_str_t *text);
static void ngx_eb_pattern_index_others(ngx_eb_pattern_index_t *index,
    ngx_eb_pattern_place_t *place, ngx_eb_lookup_texts_t *texts,
    ngx_str_t *text);
static ngx_inline void ngx_eb_pattern_index_exact(
    ngx_eb_pattern_index_t *index, ngx_eb_lookup_texts_t *texts,
    ngx_str_t *text);
static void ngx_eb_pattern_index_begin(ngx_eb_pattern_index_t *index,
    ngx_eb_lookup_texts_t *texts, ngx_str_t *text);
static void ngx_eb_pattern_index_turn(ngx_eb_pattern_index_t *index,
    ngx_eb_lookup_texts_t *texts, ngx_str_t *text);


ngx_eb_pattern_index_t *
ngx_eb_pattern_index_create(ngx_pool_t *pool, ngx_eb_pattern_set_t *set,
    ngx_eb_pattern_t **patterns, ngx_uint_t n)
{
    ngx_int_t                 rc;
    ngx_uint_t                fields;
    ngx_eb_pattern_index_t   *index;
    ngx_eb_pattern_filing_t   filing;

    ngx_memzero(&filing, sizeof(ngx_eb_pattern_filing_t));

    fields = ngx_eb_pattern_set_fields(set);

    index = ngx_pcalloc(pool, sizeof(ngx_eb_pattern_index_t));
    if (index == NULL) {
        return NULL;
    }

    index->words = ngx_max((n + 63) / 64, 1);

    index->always = ngx_pcalloc(pool, 3 * index->words * sizeof(uint64_t));
    index->places = ngx_palloc(pool, ngx_max(fields, 1)
                                     * sizeof(ngx_eb_pattern_place_t *));

    if (index->always == NULL || index->places == NULL) {
        return NULL;
    }

    index->found = index->always + index->words;
    index->others = index->found + index->words;

    filing.pool = pool;
    filing.index = index;

    filing.temp = ngx_create_pool(16384, pool->log);
    if (filing.temp == NULL) {
        return NULL;
    }

    rc = NGX_ERROR;

    filing.places = ngx_pcalloc(filing.temp,
                                ngx_max(fields, 1)
                                * sizeof(ngx_eb_pattern_place_t *));

    if (filing.places
        && ngx_eb_pattern_terms_init(&filing.terms, filing.temp) == NGX_OK)
    {
        rc = ngx_eb_pattern_index_rules(&filing, patterns, n);
    }

    if (rc == NGX_OK) {
        filing.mode = NGX_EB_PATTERN_SCORE;
        rc = ngx_eb_pattern_index_rules(&filing, patterns, n);
    }

    if (rc == NGX_OK) {
        rc = ngx_eb_pattern_index_ready(pool, index);
    }

    ngx_destroy_pool(filing.temp);

    return (rc == NGX_OK) ? index : NULL;
}


/* the first time terms are counted, the second time rules are filed */

static ngx_int_t
ngx_eb_pattern_index_rules(ngx_eb_pattern_filing_t *filing,
    ngx_eb_pattern_t **patterns, ngx_uint_t n)
{
    ngx_uint_t  i, k;

    for (i = 0; i < n; i++) {

        if (patterns[i] == NULL) {
            continue;
        }

        filing->rule = (uint32_t) i;
        filing->single = (patterns[i]->nvariants == 1);

        for (k = 0; k < patterns[i]->nvariants; k++) {
            if (ngx_eb_pattern_index_variant(filing,
                                             &patterns[i]->variants[k])
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_pattern_index_variant(ngx_eb_pattern_filing_t *filing,
    ngx_eb_pattern_variant_t *variant)
{
    ngx_int_t               rc;
    ngx_uint_t              i, score;
    ngx_eb_pattern_cond_t  *best;

    best = NULL;
    score = 0;

    for (i = 0; i < variant->n; i++) {

        if (variant->conds[i]->absent) {
            continue;
        }

        filing->score = 0;

        if (ngx_eb_pattern_index_cond(filing, variant->conds[i]) != NGX_OK) {
            return NGX_ERROR;
        }

        if (best == NULL || filing->score < score) {
            best = variant->conds[i];
            score = filing->score;
        }
    }

    if (filing->mode == NGX_EB_PATTERN_COUNT) {
        return NGX_OK;
    }

    if (best == NULL) {
        filing->index->always[filing->rule / 64] |=
                                      (uint64_t) 1 << (filing->rule % 64);
        return NGX_OK;
    }

    filing->mode = NGX_EB_PATTERN_FILE;
    rc = ngx_eb_pattern_index_cond(filing, best);
    filing->mode = NGX_EB_PATTERN_SCORE;

    return rc;
}


static ngx_eb_pattern_place_t *
ngx_eb_pattern_index_place(ngx_eb_pattern_filing_t *filing, ngx_uint_t field)
{
    ngx_eb_pattern_place_t  *place;

    place = filing->places[field];

    if (place == NULL) {

        place = ngx_pcalloc(filing->pool, sizeof(ngx_eb_pattern_place_t));
        if (place == NULL) {
            return NULL;
        }

        place->uses = ngx_pcalloc(filing->temp,
                                  NGX_EB_PATTERN_KINDS
                                  * sizeof(ngx_eb_lookup_texts_t));
        if (place->uses == NULL) {
            return NULL;
        }

        place->field = field;
        filing->places[field] = place;
    }

    if (filing->mode == NGX_EB_PATTERN_FILE && !place->filed) {
        place->filed = 1;
        filing->index->places[filing->index->nplaces++] = place;
    }

    return place;
}


static ngx_int_t
ngx_eb_pattern_index_cond(ngx_eb_pattern_filing_t *filing,
    ngx_eb_pattern_cond_t *cond)
{
    ngx_uint_t                i;
    ngx_pool_t               *pool;
    ngx_eb_pattern_place_t   *place;
    ngx_eb_pattern_choice_t  *choices;

    place = ngx_eb_pattern_index_place(filing, cond->field);
    if (place == NULL) {
        return NGX_ERROR;
    }

    pool = (filing->mode == NGX_EB_PATTERN_FILE) ? filing->pool
                                                 : filing->temp;

    if (ngx_eb_pattern_terms_read(&filing->terms, pool, cond, filing->single)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    choices = filing->terms.choices.elts;

    for (i = 0; i < filing->terms.choices.nelts; i++) {
        if (ngx_eb_pattern_index_choice(filing, place, &choices[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* one thing that a value may be, and the terms any of which finds it */

static ngx_int_t
ngx_eb_pattern_index_choice(ngx_eb_pattern_filing_t *filing,
    ngx_eb_pattern_place_t *place, ngx_eb_pattern_choice_t *choice)
{
    uint32_t                best, i;
    ngx_uint_t              uses;
    ngx_eb_lookup_set_t    *set;
    ngx_eb_lookup_text_t   *text;
    ngx_eb_pattern_term_t  *term;

    term = filing->terms.list.elts;
    term += choice->first;

    switch (choice->how) {

    case NGX_EB_PATTERN_ONE_OF:

        if (filing->mode == NGX_EB_PATTERN_COUNT) {

            for (i = 0; i < choice->n; i++) {
                text = ngx_eb_lookup_text_add(filing->temp,
                                              &place->uses[term[i].kind],
                                              &term[i].text);
                if (text == NULL) {
                    return NGX_ERROR;
                }

                text->uses++;
            }

            return NGX_OK;
        }

        best = 0;
        uses = 0;

        for (i = 0; i < choice->n; i++) {
            text = ngx_eb_lookup_text_find(&place->uses[term[i].kind],
                                           &term[i].text);

            /* it has been counted */

            if (text && (uses == 0 || text->uses < uses)) {
                best = i;
                uses = text->uses;
            }
        }

        filing->score += uses;

        return (filing->mode == NGX_EB_PATTERN_FILE)
                   ? ngx_eb_pattern_index_text(filing, place, &term[best])
                   : NGX_OK;

    case NGX_EB_PATTERN_BETWEEN:

        if (filing->mode == NGX_EB_PATTERN_COUNT) {
            place->nranges++;
            return NGX_OK;
        }

        /* of ranges with two ends most events are in few */

        filing->score += 1 + place->nranges
                             / ((isinf(choice->low) || isinf(choice->high))
                                    ? 2 : 16);

        if (filing->mode == NGX_EB_PATTERN_SCORE) {
            return NGX_OK;
        }

        set = ngx_eb_lookup_range_add(filing->pool, &place->ranges,
                                      choice->low, choice->high);

        return set ? ngx_eb_lookup_set_add(filing->pool, set, filing->rule)
                   : NGX_ERROR;

    case NGX_EB_PATTERN_NONE_OF:

        if (filing->mode == NGX_EB_PATTERN_COUNT) {
            place->nothers++;
            return NGX_OK;
        }

        filing->score += 1 + place->nothers;

        if (filing->mode == NGX_EB_PATTERN_SCORE) {
            return NGX_OK;
        }

        for (i = 0; i < choice->n; i++) {
            if (ngx_eb_pattern_index_text(filing, place, &term[i])
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }

        return ngx_eb_lookup_set_add(filing->pool, &place->others,
                                     filing->rule);

    default: /* NGX_EB_PATTERN_ANY */

        filing->score += NGX_EB_PATTERN_WEAK;

        return (filing->mode == NGX_EB_PATTERN_FILE)
                   ? ngx_eb_lookup_set_add(filing->pool, &place->any,
                                           filing->rule)
                   : NGX_OK;
    }
}


static ngx_int_t
ngx_eb_pattern_index_text(ngx_eb_pattern_filing_t *filing,
    ngx_eb_pattern_place_t *place, ngx_eb_pattern_term_t *term)
{
    ngx_eb_lookup_text_t  *text;

    text = ngx_eb_lookup_text_add(filing->pool, &place->tables[term->kind],
                                  &term->text);

    return text ? ngx_eb_lookup_set_add(filing->pool, &text->set,
                                        filing->rule)
                : NGX_ERROR;
}


static ngx_int_t
ngx_eb_pattern_index_ready(ngx_pool_t *pool, ngx_eb_pattern_index_t *index)
{
    size_t                   longest;
    ngx_uint_t               i, kind, ordered;
    ngx_eb_pattern_place_t  *place;

    longest = 0;

    for (i = 0; i < index->nplaces; i++) {
        place = index->places[i];
        place->uses = NULL;

        for (kind = 0; kind < NGX_EB_PATTERN_KINDS; kind++) {

            ordered = (kind == NGX_EB_PATTERN_BEGINS
                       || kind == NGX_EB_PATTERN_ENDS
                       || kind == NGX_EB_PATTERN_FOLDED_BEGINS
                       || kind == NGX_EB_PATTERN_FOLDED_ENDS
                       || kind == NGX_EB_PATTERN_ADDRESSES);

            if (ngx_eb_lookup_texts_ready(pool, &place->tables[kind],
                                          index->words, ordered)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

            longest = ngx_max(longest, place->tables[kind].longest);
        }

        if (ngx_eb_lookup_ranges_ready(pool, &place->ranges, index->words)
            != NGX_OK
            || ngx_eb_lookup_set_ready(pool, &place->any, index->words)
               != NGX_OK
            || ngx_eb_lookup_set_ready(pool, &place->others, index->words)
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        place->numbers = (place->ranges.n
                          || place->tables[NGX_EB_PATTERN_NUMBERS].n
                          || place->tables[NGX_EB_PATTERN_OTHER_NUMBERS].n);

        if (ngx_eb_pattern_index_filter(pool,
                                        &place->tables[NGX_EB_PATTERN_PARTS],
                                        &place->filters[0])
            != NGX_OK
            || ngx_eb_pattern_index_filter(pool,
                                  &place->tables[NGX_EB_PATTERN_SHORT_PARTS],
                                  &place->filters[1])
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    /* a letter may have three bytes and be equal to one of a single byte */

    index->size = 3 * longest + 1;
    index->buf = ngx_pnalloc(pool, 2 * index->size);

    if (index->buf == NULL) {
        return NGX_ERROR;
    }

    index->turned = index->buf + index->size;

    return NGX_OK;
}


static ngx_int_t
ngx_eb_pattern_index_filter(ngx_pool_t *pool, ngx_eb_lookup_texts_t *parts,
    uint64_t **filter)
{
    uint32_t    i;
    ngx_uint_t  bit;
    ngx_str_t  *part;

    if (parts->n == 0) {
        return NGX_OK;
    }

    *filter = ngx_pcalloc(pool, ((size_t) 1 << NGX_EB_PATTERN_FILTER_BITS)
                                / 8);
    if (*filter == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < parts->n; i++) {
        part = &parts->texts[i].text;
        bit = ngx_eb_pattern_index_bit(part->data, part->len);
        (*filter)[bit / 64] |= (uint64_t) 1 << (bit % 64);
    }

    return NGX_OK;
}


static ngx_inline ngx_uint_t
ngx_eb_pattern_index_bit(u_char *part, size_t len)
{
    uint32_t  first;
    uint64_t  n;

    if (len == NGX_EB_PATTERN_PART) {
        ngx_memcpy(&first, part, 4);
        n = (uint64_t) part[4] << 40 | (uint64_t) part[5] << 32 | first;

    } else {
        n = (uint64_t) part[2] << 16 | (uint64_t) part[1] << 8 | part[0];
    }

    /* the odd number nearest to 2^64 divided by the golden ratio */

    return (ngx_uint_t) ((n * 0x9e3779b97f4a7c15u)
                         >> (64 - NGX_EB_PATTERN_FILTER_BITS));
}


uint64_t *
ngx_eb_pattern_index_find(ngx_eb_pattern_index_t *index,
    ngx_eb_pattern_scratch_t *scratch)
{
    uint32_t                 at;
    ngx_uint_t               i;
    ngx_eb_pattern_slot_t   *slot;
    ngx_eb_pattern_datum_t  *datum;
    ngx_eb_pattern_place_t  *place;

    ngx_memcpy(index->found, index->always, index->words * sizeof(uint64_t));

    if (scratch->failed) {
        return NULL;
    }

    for (i = 0; i < index->nplaces; i++) {
        place = index->places[i];
        slot = ngx_eb_pattern_slot(scratch, place->field);

        if (slot == NULL) {
            continue;
        }

        ngx_eb_lookup_set_join(&place->any, index->found, index->words);

        for (at = slot->head; at != NGX_EB_PATTERN_NONE; at = datum->next) {
            datum = (ngx_eb_pattern_datum_t *) scratch->data.elts + at;

            if (datum->type == '"' && !datum->known_string
                && ngx_eb_pattern_string(scratch, datum) != NGX_OK)
            {
                return NULL;
            }

            ngx_eb_pattern_index_value(index, place, datum);
        }
    }

    return index->found;
}


static void
ngx_eb_pattern_index_value(ngx_eb_pattern_index_t *index,
    ngx_eb_pattern_place_t *place, ngx_eb_pattern_datum_t *datum)
{
    double      number;
    u_char      key[sizeof(double)];
    ngx_str_t   text, same;

    text.data = datum->data;
    text.len = datum->len;
    ngx_str_null(&same);

    switch (datum->type) {

    case '"':
        ngx_eb_pattern_index_exact(index,
                                   &place->tables[NGX_EB_PATTERN_STRINGS],
                                   &text);
        ngx_eb_pattern_index_string(index, place, &text);

        if (place->others.n) {
            ngx_eb_pattern_index_others(index, place,
                                 &place->tables[NGX_EB_PATTERN_OTHER_STRINGS],
                                 &text);
        }

        return;

    case '0':

        if (place->numbers) {

            if (ngx_eb_pattern_number(text.data, text.len, &number)
                == NGX_OK)
            {
                ngx_eb_pattern_term_number(key, number);

                same.data = key;
                same.len = sizeof(double);

                ngx_eb_pattern_index_exact(index,
                                       &place->tables[NGX_EB_PATTERN_NUMBERS],
                                       &same);
                ngx_eb_lookup_ranges_find(&place->ranges, number,
                                          index->found, index->words);
            }
        }

        break;
    }

    ngx_eb_pattern_index_exact(index, &place->tables[NGX_EB_PATTERN_WRITTEN],
                               &text);

    if (place->others.n) {
        ngx_eb_pattern_index_others(index, place,
                                 &place->tables[NGX_EB_PATTERN_OTHER_NUMBERS],
                                 &same);
    }
}


static void
ngx_eb_pattern_index_string(ngx_eb_pattern_index_t *index,
    ngx_eb_pattern_place_t *place, ngx_str_t *text)
{
    ngx_eb_lookup_texts_t  *tables;

    tables = place->tables;

    ngx_eb_pattern_index_begin(index, &tables[NGX_EB_PATTERN_BEGINS], text);
    ngx_eb_pattern_index_turn(index, &tables[NGX_EB_PATTERN_ENDS], text);

    if (tables[NGX_EB_PATTERN_FOLDED].n
        || tables[NGX_EB_PATTERN_FOLDED_BEGINS].n
        || tables[NGX_EB_PATTERN_FOLDED_ENDS].n)
    {
        ngx_eb_pattern_index_folded(index, place, text);
    }

    if (place->filters[0]) {
        ngx_eb_pattern_index_parts(index, &tables[NGX_EB_PATTERN_PARTS],
                                   place->filters[0], NGX_EB_PATTERN_PART,
                                   text);
    }

    if (place->filters[1]) {
        ngx_eb_pattern_index_parts(index, &tables[NGX_EB_PATTERN_SHORT_PARTS],
                                   place->filters[1],
                                   NGX_EB_PATTERN_SHORT_PART, text);
    }

    if (tables[NGX_EB_PATTERN_ADDRESSES].n) {
        ngx_eb_pattern_index_address(index, place, text);
    }
}


/* so much of the text is folded as can make a difference */

static void
ngx_eb_pattern_index_folded(ngx_eb_pattern_index_t *index,
    ngx_eb_pattern_place_t *place, ngx_str_t *text)
{
    ngx_str_t               folded, part;
    ngx_eb_lookup_texts_t  *tables;

    tables = place->tables;

    part = *text;
    part.len = ngx_min(part.len, index->size);

    folded.data = index->buf;
    folded.len = ngx_eb_pattern_term_fold(index->buf, &part);

    if (part.len == text->len) {
        ngx_eb_pattern_index_exact(index, &tables[NGX_EB_PATTERN_FOLDED],
                                   &folded);
    }

    ngx_eb_pattern_index_begin(index, &tables[NGX_EB_PATTERN_FOLDED_BEGINS],
                               &folded);

    if (tables[NGX_EB_PATTERN_FOLDED_ENDS].n) {

        if (part.len < text->len) {
            part.data = text->data + text->len - part.len;
            folded.len = ngx_eb_pattern_term_fold(index->buf, &part);
        }

        ngx_eb_pattern_index_turn(index, &tables[NGX_EB_PATTERN_FOLDED_ENDS],
                                  &folded);
    }
}


static ngx_inline void
ngx_eb_pattern_index_parts(ngx_eb_pattern_index_t *index,
    ngx_eb_lookup_texts_t *parts, uint64_t *filter, size_t len,
    ngx_str_t *text)
{
    u_char      *p, *last;
    ngx_str_t    part;
    ngx_uint_t   bit;

    if (text->len < len) {
        return;
    }

    part.len = len;
    last = text->data + text->len - len;

    for (p = text->data; p <= last; p++) {
        bit = ngx_eb_pattern_index_bit(p, len);

        if (filter[bit / 64] & (uint64_t) 1 << (bit % 64)) {
            part.data = p;
            ngx_eb_pattern_index_exact(index, parts, &part);
        }
    }
}


/* the rules that an address or the beginning of one is asked by */

static void
ngx_eb_pattern_index_address(ngx_eb_pattern_index_t *index,
    ngx_eb_pattern_place_t *place, ngx_str_t *text)
{
    u_char     buf[16];
    ngx_str_t  address;

    address.data = buf;
    address.len = ngx_eb_pattern_address(text->data, text->len, buf);

    if (address.len) {
        ngx_eb_pattern_index_begin(index,
                                   &place->tables[NGX_EB_PATTERN_ADDRESSES],
                                   &address);
    }
}


/* all but those that leave just this out; texts: which do */

static void
ngx_eb_pattern_index_others(ngx_eb_pattern_index_t *index,
    ngx_eb_pattern_place_t *place, ngx_eb_lookup_texts_t *texts,
    ngx_str_t *text)
{
    ngx_uint_t             i;
    ngx_eb_lookup_text_t  *out;

    out = text->data ? ngx_eb_lookup_text_find(texts, text) : NULL;

    if (out == NULL) {
        ngx_eb_lookup_set_join(&place->others, index->found, index->words);
        return;
    }

    ngx_memzero(index->others, index->words * sizeof(uint64_t));

    ngx_eb_lookup_set_join(&place->others, index->others, index->words);
    ngx_eb_lookup_set_leave(&out->set, index->others, index->words);

    for (i = 0; i < index->words; i++) {
        index->found[i] |= index->others[i];
    }
}


static ngx_inline void
ngx_eb_pattern_index_exact(ngx_eb_pattern_index_t *index,
    ngx_eb_lookup_texts_t *texts, ngx_str_t *text)
{
    ngx_eb_lookup_text_t  *entry;

    entry = ngx_eb_lookup_text_find(texts, text);

    if (entry) {
        ngx_eb_lookup_set_join(&entry->set, index->found, index->words);
    }
}


static void
ngx_eb_pattern_index_begin(ngx_eb_pattern_index_t *index,
    ngx_eb_lookup_texts_t *texts, ngx_str_t *text)
{
    ngx_eb_lookup_text_t  *entry;

    entry = ngx_eb_lookup_text_begin(texts, text);

    while (entry) {
        ngx_eb_lookup_set_join(&entry->set, index->found, index->words);

        entry = (entry->parent == NGX_EB_LOOKUP_NONE)
                    ? NULL : &texts->texts[entry->parent];
    }
}


/* texts that end so: those that begin so, last byte first */

static void
ngx_eb_pattern_index_turn(ngx_eb_pattern_index_t *index,
    ngx_eb_lookup_texts_t *texts, ngx_str_t *text)
{
    ngx_str_t  turned;

    if (texts->n == 0) {
        return;
    }

    turned.data = index->turned;
    turned.len = ngx_min(text->len, texts->longest);

    ngx_eb_pattern_term_turn(turned.data, text->data + text->len - turned.len,
                        turned.len);

    ngx_eb_pattern_index_begin(index, texts, &turned);
}
