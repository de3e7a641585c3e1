
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "ngx_eb_json.h"
#include "ngx_eb_event.h"
#include "ngx_eb_regex.h"
#include "ngx_eb_route.h"
#include "ngx_eb_pattern_index.h"


/*
 * Which routes a (source, type) pair can reach is a question to regular
 * expressions only, and a sender has few pairs: the answers are kept, one
 * for each value of the low bits of the pair's hash, the latest stays.
 * A slot has the whole pair, so that a collision can never route an event.
 */

#define NGX_EB_ROUTE_MEMO_SLOTS    256
#define NGX_EB_ROUTE_MEMO_STRING   256
#define NGX_EB_ROUTE_MEMO_KEY      384

#define NGX_EB_ROUTE_BITS          64

/*
 * Up to this many reachable routes are tested one by one; of more only those
 * are that the index names.
 */

#define NGX_EB_ROUTE_FEW           16

/* and up to this many patterns, for one takes longer */

#define NGX_EB_ROUTE_FEW_PATTERNS  2

/* values of an event for which memory is kept */

#define NGX_EB_ROUTE_KEEP_VALUES   4096

#define NGX_EB_ROUTE_NONE          0xffffffffu


typedef struct {
    uint64_t                  hash;
    uint16_t                  source;       /* length */
    uint16_t                  type;
    uint32_t                  conditional;
    uint32_t                  patterned;
    unsigned                  used:1;
} ngx_eb_route_slot_t;


/* what regular expressions say of a (source, type) pair */

typedef struct {
    uint64_t                 *bits;         /* routes that can be reached */
    ngx_uint_t                conditional;  /* of them ask for metadata */
    ngx_uint_t                patterned;    /* of them have a pattern */
    ngx_uint_t                error;        /* a match was given up */
} ngx_eb_route_reach_t;


/* a metadata name that some route asks for, and its value in one event */

typedef struct {
    ngx_str_t                 text;
    uint64_t                  stamp;        /* the event that node is of */
    ngx_eb_json_node_t        node;
} ngx_eb_route_name_t;


/* metadata.KEY=VALUE, once for all routes that ask for it */

typedef struct {
    ngx_str_t                 value;
    uint32_t                  name;
    uint32_t                  uses;
    uint32_t                  first;        /* in refs */
    uint32_t                  n;
} ngx_eb_route_pair_t;


/*
 * A route that asks for metadata is filed under one of its pairs, the one
 * that the fewest routes ask for: the values of an event lead to the routes
 * that may match it, however many there are.
 */

struct ngx_eb_route_memo_s {
    ngx_eb_route_slot_t      *slots;
    u_char                   *keys;         /* of the slots */
    uint64_t                 *sets;         /* of the slots, and a spare one */
    uint64_t                 *found;        /* routes of one event */
    uint64_t                 *conditional;  /* routes that ask for metadata */
    ngx_uint_t                words;        /* in a set */

    ngx_eb_route_name_t      *names;
    ngx_eb_route_pair_t      *pairs;
    ngx_uint_t                nnames;
    ngx_uint_t                npairs;
    uint32_t                 *name_table;   /* hash tables of numbers */
    uint32_t                 *pair_table;
    size_t                    mask;         /* of both tables */
    uint64_t                  lengths;      /* of names, a bit for each */
    size_t                    max_name;     /* lengths, when escaped */
    size_t                    max_value;

    uint32_t                 *starts;       /* of each route in conditions */
    uint32_t                 *conditions;   /* numbers of pairs */
    uint32_t                 *refs;         /* routes filed under a pair */
    uint32_t                 *touched;      /* names that one event has */
    ngx_uint_t                ntouched;
    uint64_t                  stamp;
    ngx_uint_t                costly;       /* matches of long strings that the
                                               batch may still ask for */

    ngx_eb_pattern_scratch_t *scratch;      /* NULL: no patterns */
    ngx_eb_pattern_index_t   *index;        /* NULL: few patterns */
    uint64_t                 *patterned;    /* routes that have one */
};


/*
 * What a batch may cost, however its strings are made: so many matches that hit
 * a limit, and so many of strings that are longer than usual.
 */
#define NGX_EB_ROUTE_MAX_ERRORS   100
#define NGX_EB_ROUTE_MAX_COSTLY   1000
#define NGX_EB_ROUTE_LONG         128


#define ngx_eb_route_length(text)  ((uint64_t) 1 << ((text)->len & 63))


static ngx_int_t ngx_eb_route_index(ngx_pool_t *pool, ngx_eb_router_t *router,
    ngx_eb_route_memo_t *memo);
static ngx_int_t ngx_eb_route_patterns(ngx_pool_t *pool,
    ngx_eb_router_t *router, ngx_eb_route_memo_t *memo,
    ngx_eb_regex_ctx_t *ctx);
static void ngx_eb_route_file(ngx_eb_router_t *router,
    ngx_eb_route_memo_t *memo, uint32_t *filed);
static uint32_t ngx_eb_route_add_name(ngx_eb_route_memo_t *memo,
    ngx_str_t *text);
static uint32_t ngx_eb_route_add_pair(ngx_eb_route_memo_t *memo,
    uint32_t name, ngx_str_t *value);
static uint32_t *ngx_eb_route_find_name(ngx_eb_route_memo_t *memo,
    ngx_str_t *text);
static uint32_t *ngx_eb_route_find_pair(ngx_eb_route_memo_t *memo,
    uint32_t name, ngx_str_t *value);
static void ngx_eb_route_reach(ngx_eb_router_t *router,
    ngx_eb_route_memo_t *memo, ngx_eb_regex_ctx_t *ctx, ngx_str_t *source,
    ngx_str_t *type, ngx_eb_route_reach_t *reach);
static void ngx_eb_route_evaluate(ngx_eb_router_t *router,
    ngx_eb_route_memo_t *memo, ngx_eb_regex_ctx_t *ctx, ngx_str_t *source,
    ngx_str_t *type, ngx_eb_route_reach_t *reach);
static ngx_int_t ngx_eb_route_event(ngx_eb_router_t *router,
    ngx_eb_route_memo_t *memo, ngx_eb_json_t *json, ngx_eb_batch_t *batch,
    ngx_uint_t n, ngx_eb_route_reach_t *reach, ngx_array_t *hits,
    ngx_uint_t *given_up);
static uint64_t *ngx_eb_route_candidates(ngx_eb_route_memo_t *memo,
    ngx_eb_json_t *json, ngx_eb_event_t *event, ngx_eb_route_reach_t *reach,
    uint64_t *set);
static ngx_int_t ngx_eb_route_values(ngx_eb_route_memo_t *memo,
    ngx_eb_json_t *json, ngx_eb_event_t *event, ngx_pool_t *pool);
static ngx_inline void ngx_eb_route_value(ngx_eb_route_memo_t *memo,
    uint32_t name, ngx_eb_json_node_t node);
static ngx_int_t ngx_eb_route_lookup(ngx_eb_route_memo_t *memo,
    ngx_eb_json_t *json, ngx_eb_route_reach_t *reach, ngx_pool_t *pool);
static ngx_uint_t ngx_eb_route_holds(ngx_eb_route_memo_t *memo,
    ngx_eb_json_t *json, ngx_uint_t route);
static ngx_int_t ngx_eb_route_text(ngx_eb_json_t *json,
    ngx_eb_json_node_t node, size_t max, ngx_pool_t *pool, ngx_str_t *text);
static ngx_inline ngx_uint_t ngx_eb_route_same(ngx_str_t *one,
    ngx_str_t *two);


/* names that an envelope has outside of its metadata too */

static ngx_str_t  ngx_eb_route_envelope_names[] = {
    ngx_string("region"),
    ngx_string("account"),
    ngx_string("topicName"),
    ngx_null_string
};


ngx_eb_route_memo_t *
ngx_eb_route_memo_create(ngx_pool_t *pool, ngx_eb_router_t *router,
    ngx_eb_regex_ctx_t *ctx)
{
    ngx_eb_route_memo_t  *memo;

    memo = ngx_pcalloc(pool, sizeof(ngx_eb_route_memo_t));
    if (memo == NULL) {
        return NULL;
    }

    memo->words = (router->routes.nelts + NGX_EB_ROUTE_BITS - 1)
                  / NGX_EB_ROUTE_BITS;

    memo->slots = ngx_pcalloc(pool, NGX_EB_ROUTE_MEMO_SLOTS
                                    * sizeof(ngx_eb_route_slot_t));
    if (memo->slots == NULL) {
        return NULL;
    }

    memo->keys = ngx_pnalloc(pool, NGX_EB_ROUTE_MEMO_SLOTS
                                   * NGX_EB_ROUTE_MEMO_KEY);
    if (memo->keys == NULL) {
        return NULL;
    }

    memo->sets = ngx_palloc(pool, (NGX_EB_ROUTE_MEMO_SLOTS + 1)
                                  * ngx_max(memo->words, 1)
                                  * sizeof(uint64_t));
    if (memo->sets == NULL) {
        return NULL;
    }

    memo->found = ngx_palloc(pool, ngx_max(memo->words, 1)
                                   * sizeof(uint64_t));
    if (memo->found == NULL) {
        return NULL;
    }

    memo->conditional = ngx_pcalloc(pool, ngx_max(memo->words, 1)
                                          * sizeof(uint64_t));
    if (memo->conditional == NULL) {
        return NULL;
    }

    if (ngx_eb_route_index(pool, router, memo) != NGX_OK
        || ngx_eb_route_patterns(pool, router, memo, ctx) != NGX_OK)
    {
        return NULL;
    }

    return memo;
}


static ngx_int_t
ngx_eb_route_patterns(ngx_pool_t *pool, ngx_eb_router_t *router,
    ngx_eb_route_memo_t *memo, ngx_eb_regex_ctx_t *ctx)
{
    ngx_uint_t          i, n;
    ngx_eb_route_t     *route;
    ngx_eb_pattern_t  **patterns;

    if (router->patterns == NULL) {
        return NGX_OK;
    }

    memo->scratch = ngx_eb_pattern_scratch_create(pool, router->patterns,
                                                  ctx);
    memo->patterned = ngx_pcalloc(pool, ngx_max(memo->words, 1)
                                        * sizeof(uint64_t));
    patterns = ngx_palloc(pool, (router->routes.nelts + 1)
                                * sizeof(ngx_eb_pattern_t *));

    if (memo->scratch == NULL || memo->patterned == NULL || patterns == NULL) {
        return NGX_ERROR;
    }

    route = router->routes.elts;
    n = 0;

    for (i = 0; i < router->routes.nelts; i++) {
        patterns[i] = route[i].pattern;

        if (patterns[i]) {
            memo->patterned[i / NGX_EB_ROUTE_BITS] |=
                                    (uint64_t) 1 << (i % NGX_EB_ROUTE_BITS);
            n++;
        }
    }

    if (n <= NGX_EB_ROUTE_FEW_PATTERNS) {
        return NGX_OK;
    }

    memo->index = ngx_eb_pattern_index_create(pool, router->patterns, patterns,
                                              router->routes.nelts);

    return memo->index ? NGX_OK : NGX_ERROR;
}


ngx_eb_pattern_scratch_t *
ngx_eb_route_scratch(ngx_eb_route_memo_t *memo)
{
    return memo->scratch;
}


static ngx_int_t
ngx_eb_route_index(ngx_pool_t *pool, ngx_eb_router_t *router,
    ngx_eb_route_memo_t *memo)
{
    size_t                    size;
    uint32_t                 *filed;
    ngx_uint_t                i, k, n, total;
    ngx_eb_route_t           *route;
    ngx_eb_route_metadata_t  *metadata;

    route = router->routes.elts;
    n = router->routes.nelts;
    total = 0;

    for (i = 0; i < n; i++) {
        total += route[i].metadata.nelts;
    }

    memo->starts = ngx_palloc(pool, (n + 1) * sizeof(uint32_t));
    if (memo->starts == NULL) {
        return NGX_ERROR;
    }

    if (total == 0) {
        ngx_memzero(memo->starts, (n + 1) * sizeof(uint32_t));
        return NGX_OK;
    }

    /* a power of two, at most half full */

    for (size = 4; size < 2 * total; size *= 2) { /* void */ }

    memo->mask = size - 1;

    memo->names = ngx_pcalloc(pool, total * sizeof(ngx_eb_route_name_t));
    memo->pairs = ngx_pcalloc(pool, total * sizeof(ngx_eb_route_pair_t));
    memo->name_table = ngx_palloc(pool, size * sizeof(uint32_t));
    memo->pair_table = ngx_palloc(pool, size * sizeof(uint32_t));
    memo->conditions = ngx_palloc(pool, total * sizeof(uint32_t));
    memo->touched = ngx_palloc(pool, total * sizeof(uint32_t));
    memo->refs = ngx_palloc(pool, n * sizeof(uint32_t));
    filed = ngx_palloc(pool, n * sizeof(uint32_t));

    if (memo->names == NULL || memo->pairs == NULL
        || memo->name_table == NULL || memo->pair_table == NULL
        || memo->conditions == NULL || memo->touched == NULL
        || memo->refs == NULL || filed == NULL)
    {
        return NGX_ERROR;
    }

    /* NGX_EB_ROUTE_NONE is all ones */

    ngx_memset(memo->name_table, 0xff, size * sizeof(uint32_t));
    ngx_memset(memo->pair_table, 0xff, size * sizeof(uint32_t));

    total = 0;

    for (i = 0; i < n; i++) {
        memo->starts[i] = (uint32_t) total;

        metadata = route[i].metadata.elts;

        for (k = 0; k < route[i].metadata.nelts; k++) {
            memo->conditions[total++] =
                ngx_eb_route_add_pair(memo,
                    ngx_eb_route_add_name(memo, &metadata[k].name),
                    &metadata[k].value);
        }
    }

    memo->starts[n] = (uint32_t) total;

    ngx_eb_route_file(router, memo, filed);

    return NGX_OK;
}


/* filed: room for the number of a pair for each route */

static void
ngx_eb_route_file(ngx_eb_router_t *router, ngx_eb_route_memo_t *memo,
    uint32_t *filed)
{
    uint32_t              best, first, k;
    ngx_uint_t            i;
    ngx_eb_route_pair_t  *pair;

    for (i = 0; i < router->routes.nelts; i++) {
        best = NGX_EB_ROUTE_NONE;

        for (k = memo->starts[i]; k < memo->starts[i + 1]; k++) {

            if (best == NGX_EB_ROUTE_NONE
                || memo->pairs[memo->conditions[k]].uses
                   < memo->pairs[best].uses)
            {
                best = memo->conditions[k];
            }
        }

        filed[i] = best;

        if (best != NGX_EB_ROUTE_NONE) {
            memo->pairs[best].n++;
            memo->conditional[i / NGX_EB_ROUTE_BITS] |=
                                    (uint64_t) 1 << (i % NGX_EB_ROUTE_BITS);
        }
    }

    first = 0;

    for (i = 0; i < memo->npairs; i++) {
        pair = &memo->pairs[i];

        pair->first = first;
        first += pair->n;
        pair->n = 0;
    }

    for (i = 0; i < router->routes.nelts; i++) {
        if (filed[i] != NGX_EB_ROUTE_NONE) {
            pair = &memo->pairs[filed[i]];
            memo->refs[pair->first + pair->n++] = (uint32_t) i;
        }
    }
}


static uint32_t
ngx_eb_route_add_name(ngx_eb_route_memo_t *memo, ngx_str_t *text)
{
    uint32_t  *number;

    number = ngx_eb_route_find_name(memo, text);

    if (*number == NGX_EB_ROUTE_NONE) {
        *number = (uint32_t) memo->nnames++;

        memo->names[*number].text = *text;
        memo->lengths |= ngx_eb_route_length(text);
        memo->max_name = ngx_max(memo->max_name, text->len * 6);
    }

    return *number;
}


static uint32_t
ngx_eb_route_add_pair(ngx_eb_route_memo_t *memo, uint32_t name,
    ngx_str_t *value)
{
    uint32_t             *number;
    ngx_eb_route_pair_t  *pair;

    number = ngx_eb_route_find_pair(memo, name, value);

    if (*number == NGX_EB_ROUTE_NONE) {
        *number = (uint32_t) memo->npairs++;

        pair = &memo->pairs[*number];
        pair->name = name;
        pair->value = *value;

        memo->max_value = ngx_max(memo->max_value, value->len * 6);
    }

    memo->pairs[*number].uses++;

    return *number;
}


/* the cell where the number is, or is to be */

static uint32_t *
ngx_eb_route_find_name(ngx_eb_route_memo_t *memo, ngx_str_t *text)
{
    size_t     i;
    uint32_t  *number;

    i = (size_t) XXH3_64bits(text->data, text->len);

    for ( ;; i++) {
        number = &memo->name_table[i & memo->mask];

        if (*number == NGX_EB_ROUTE_NONE
            || ngx_eb_route_same(&memo->names[*number].text, text))
        {
            return number;
        }
    }
}


static uint32_t *
ngx_eb_route_find_pair(ngx_eb_route_memo_t *memo, uint32_t name,
    ngx_str_t *value)
{
    size_t                i;
    uint32_t             *number;
    ngx_eb_route_pair_t  *pair;

    i = (size_t) XXH3_64bits_withSeed(value->data, value->len, name);

    for ( ;; i++) {
        number = &memo->pair_table[i & memo->mask];

        if (*number == NGX_EB_ROUTE_NONE) {
            return number;
        }

        pair = &memo->pairs[*number];

        if (pair->name == name && ngx_eb_route_same(&pair->value, value)) {
            return number;
        }
    }
}


ngx_int_t
ngx_eb_route_batch(ngx_eb_router_t *router, ngx_eb_route_memo_t *memo,
    ngx_eb_regex_ctx_t *ctx, ngx_eb_json_t *json, ngx_eb_batch_t *batch,
    ngx_array_t *hits, ngx_uint_t *errors)
{
    ngx_str_t              empty, *source, *type;
    ngx_int_t              rc;
    ngx_uint_t             i, failed, given_up;
    ngx_eb_event_t        *event, *last;
    ngx_eb_route_reach_t   reach;

    last = NULL;
    ngx_str_set(&empty, "");
    ngx_memzero(&reach, sizeof(ngx_eb_route_reach_t));

    *errors = 0;
    failed = 0;
    memo->costly = NGX_EB_ROUTE_MAX_COSTLY;

    for (i = 0; i < batch->nevents; i++) {
        event = &batch->events[i];

        if (event->invalid) {
            continue;
        }


        /* most batches come from one source and are of one or two types */

        if (last == NULL
            || !ngx_eb_route_same(&event->source, &last->source)
            || !ngx_eb_route_same(&event->type, &last->type))
        {
            /* an absent string is matched as an empty one */

            source = event->source.data ? &event->source : &empty;
            type = event->type.data ? &event->type : &empty;

            ngx_eb_route_reach(router, memo, ctx, source, type, &reach);
            last = event;

            if (reach.error && ++failed > NGX_EB_ROUTE_MAX_ERRORS) {
                return NGX_BUSY;
            }
        }

        given_up = reach.error;

        rc = ngx_eb_route_event(router, memo, json, batch, i, &reach, hits,
                                &given_up);
        if (rc != NGX_OK) {
            return rc;
        }

        *errors += given_up;

        if (given_up > reach.error && ++failed > NGX_EB_ROUTE_MAX_ERRORS) {
            return NGX_BUSY;
        }
    }

    if (memo->scratch) {
        ngx_eb_pattern_scratch_trim(memo->scratch, NGX_EB_ROUTE_KEEP_VALUES);
    }

    return NGX_OK;
}


/* reach->bits are valid until the next call */

static void
ngx_eb_route_reach(ngx_eb_router_t *router, ngx_eb_route_memo_t *memo,
    ngx_eb_regex_ctx_t *ctx, ngx_str_t *source, ngx_str_t *type,
    ngx_eb_route_reach_t *reach)
{
    u_char               *key;
    uint64_t              hash;
    ngx_uint_t            i;
    ngx_eb_route_slot_t  *slot;

    if (source->len > NGX_EB_ROUTE_MEMO_STRING
        || type->len > NGX_EB_ROUTE_MEMO_STRING
        || source->len + type->len > NGX_EB_ROUTE_MEMO_KEY)
    {
        reach->bits = memo->sets + NGX_EB_ROUTE_MEMO_SLOTS * memo->words;
        ngx_eb_route_evaluate(router, memo, ctx, source, type, reach);
        return;
    }

    hash = XXH3_64bits(source->data, source->len);
    hash = XXH3_64bits_withSeed(type->data, type->len, hash);

    i = hash % NGX_EB_ROUTE_MEMO_SLOTS;

    slot = &memo->slots[i];
    key = memo->keys + i * NGX_EB_ROUTE_MEMO_KEY;
    reach->bits = memo->sets + i * memo->words;

    if (slot->used
        && slot->hash == hash
        && slot->source == source->len
        && slot->type == type->len
        && ngx_memcmp(key, source->data, source->len) == 0
        && ngx_memcmp(key + source->len, type->data, type->len) == 0)
    {
        reach->conditional = slot->conditional;
        reach->patterned = slot->patterned;
        reach->error = 0;
        return;
    }

    ngx_eb_route_evaluate(router, memo, ctx, source, type, reach);

    /* an answer that was cut short by a limit is for this event only */

    slot->used = !reach->error;
    slot->conditional = (uint32_t) reach->conditional;
    slot->patterned = (uint32_t) reach->patterned;
    slot->hash = hash;
    slot->source = (uint16_t) source->len;
    slot->type = (uint16_t) type->len;

    key = ngx_cpymem(key, source->data, source->len);
    ngx_memcpy(key, type->data, type->len);
}


static void
ngx_eb_route_evaluate(ngx_eb_router_t *router, ngx_eb_route_memo_t *memo,
    ngx_eb_regex_ctx_t *ctx, ngx_str_t *source, ngx_str_t *type,
    ngx_eb_route_reach_t *reach)
{
    ngx_int_t        rc;
    ngx_uint_t       i;
    ngx_eb_route_t  *route;

    ngx_memzero(reach->bits, memo->words * sizeof(uint64_t));

    reach->conditional = 0;
    reach->patterned = 0;
    reach->error = 0;

    if (source->len > NGX_EB_ROUTE_LONG || type->len > NGX_EB_ROUTE_LONG) {

        if (memo->costly == 0) {
            reach->error = 1;
            return;
        }

        memo->costly--;
    }

    route = router->routes.elts;

    for (i = 0; i < router->routes.nelts; i++) {

        if (route[i].source) {
            rc = ngx_eb_regex_match(ctx, route[i].source, source);

            if (rc != NGX_OK) {
                reach->error |= (rc == NGX_ERROR);
                continue;
            }
        }

        if (route[i].type) {
            rc = ngx_eb_regex_match(ctx, route[i].type, type);

            if (rc != NGX_OK) {
                reach->error |= (rc == NGX_ERROR);
                continue;
            }
        }

        reach->bits[i / NGX_EB_ROUTE_BITS] |=
                                    (uint64_t) 1 << (i % NGX_EB_ROUTE_BITS);

        if (route[i].pattern) {
            reach->patterned++;
        }

        if (route[i].metadata.nelts) {
            reach->conditional++;

        } else if (!router->all && route[i].pattern == NULL
                   && route[i].ask == NULL)
        {

            /* asks for nothing more, so none after it can be the first */

            break;
        }
    }
}


static ngx_int_t
ngx_eb_route_event(ngx_eb_router_t *router, ngx_eb_route_memo_t *memo,
    ngx_eb_json_t *json, ngx_eb_batch_t *batch, ngx_uint_t n,
    ngx_eb_route_reach_t *reach, ngx_array_t *hits, ngx_uint_t *given_up)
{
    uint64_t             bits, destinations, mask, *set;
    ngx_int_t            rc;
    ngx_uint_t           i, test, w;
    ngx_eb_route_t      *route, *routes;
    ngx_eb_route_hit_t  *hit;

    set = reach->bits;
    test = 0;

    if (reach->conditional) {

        if (ngx_eb_route_values(memo, json, &batch->events[n], hits->pool)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (reach->conditional > NGX_EB_ROUTE_FEW) {

            if (ngx_eb_route_lookup(memo, json, reach, hits->pool)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

            set = memo->found;

        } else {
            test = 1;
        }
    }

    if (reach->patterned) {

        set = ngx_eb_route_candidates(memo, json, &batch->events[n], reach,
                                      set);
        if (set == NULL) {
            return NGX_ERROR;
        }
    }

    routes = router->routes.elts;
    destinations = 0;

    for (w = 0; w < memo->words; w++) {

        for (bits = set[w]; bits; bits &= bits - 1) {
            i = w * NGX_EB_ROUTE_BITS + __builtin_ctzll(bits);

            route = &routes[i];
            mask = (uint64_t) 1 << route->destination;

            if (destinations & mask) {
                continue;
            }

            if (test && !ngx_eb_route_holds(memo, json, i)) {
                continue;
            }

            if (route->pattern) {
                rc = ngx_eb_pattern_match(memo->scratch, route->pattern);

                if (rc != NGX_OK) {
                    *given_up |= (rc == NGX_ERROR);
                    continue;
                }
            }

            if (route->ask) {
                rc = route->ask(route->data, json, &batch->events[n],
                                hits->pool);

                if (rc == NGX_ERROR) {
                    return NGX_ERROR;
                }

                if (rc != NGX_OK) {
                    continue;
                }
            }

            hit = ngx_array_push(hits);
            if (hit == NULL) {
                return NGX_ERROR;
            }

            hit->event = (uint32_t) n;
            hit->destination = (uint16_t) route->destination;
            hit->route = (uint16_t) i;

            if (!router->all) {
                return NGX_OK;
            }

            destinations |= mask;
        }
    }

    return NGX_OK;
}


/*
 * Makes the fields of the event known to patterns; of the routes in set, those
 * whose pattern may match and those that have none.  NULL: no memory.
 */

static uint64_t *
ngx_eb_route_candidates(ngx_eb_route_memo_t *memo, ngx_eb_json_t *json,
    ngx_eb_event_t *event, ngx_eb_route_reach_t *reach, uint64_t *set)
{
    uint64_t    *maybe;
    ngx_uint_t   i;

    if (ngx_eb_pattern_collect(memo->scratch, json, event->root) != NGX_OK) {
        return NULL;
    }

    if (memo->index == NULL
        || reach->patterned <= NGX_EB_ROUTE_FEW_PATTERNS)
    {
        return set;
    }

    maybe = ngx_eb_pattern_index_find(memo->index, memo->scratch);
    if (maybe == NULL) {
        return NULL;
    }

    for (i = 0; i < memo->words; i++) {
        maybe[i] = set[i] & (maybe[i] | ~memo->patterned[i]);
    }

    return maybe;
}


/*
 * Notes the value that the event has for each name that a route asks for, in
 * one walk over its metadata: what ngx_eb_event_metadata() says of each.
 */

static ngx_int_t
ngx_eb_route_values(ngx_eb_route_memo_t *memo, ngx_eb_json_t *json,
    ngx_eb_event_t *event, ngx_pool_t *pool)
{
    uint32_t             number;
    ngx_int_t            rc;
    ngx_str_t            text, *name;
    ngx_eb_json_node_t   key, node;

    memo->stamp++;
    memo->ntouched = 0;

    if (event->metadata != NGX_EB_JSON_NONE) {

        for (key = ngx_eb_json_first(json, event->metadata);
             key != NGX_EB_JSON_NONE;
             key = ngx_eb_json_after(json, key + 2))
        {
            rc = ngx_eb_route_text(json, key, memo->max_name, pool, &text);

            if (rc == NGX_ERROR) {
                return NGX_ERROR;
            }

            /* most names are of a length that no route asks for */

            if (rc == NGX_OK && (memo->lengths & ngx_eb_route_length(&text))) {
                number = *ngx_eb_route_find_name(memo, &text);

                if (number != NGX_EB_ROUTE_NONE) {
                    ngx_eb_route_value(memo, number, key + 2);
                }
            }
        }
    }

    if (!event->envelope) {
        return NGX_OK;
    }

    for (name = ngx_eb_route_envelope_names; name->len; name++) {
        number = *ngx_eb_route_find_name(memo, name);

        if (number == NGX_EB_ROUTE_NONE) {
            continue;
        }

        node = ngx_eb_event_metadata(json, event, name);

        if (node != NGX_EB_JSON_NONE) {
            ngx_eb_route_value(memo, number, node);
        }
    }

    return NGX_OK;
}


static ngx_inline void
ngx_eb_route_value(ngx_eb_route_memo_t *memo, uint32_t name,
    ngx_eb_json_node_t node)
{
    ngx_eb_route_name_t  *entry;

    entry = &memo->names[name];

    if (entry->stamp != memo->stamp) {
        entry->stamp = memo->stamp;
        memo->touched[memo->ntouched++] = name;
    }

    entry->node = node;
}


/* memo->found: the reachable routes whose metadata holds, by the index */

static ngx_int_t
ngx_eb_route_lookup(ngx_eb_route_memo_t *memo, ngx_eb_json_t *json,
    ngx_eb_route_reach_t *reach, ngx_pool_t *pool)
{
    uint64_t              mask;
    uint32_t              name, number, route;
    ngx_int_t             rc;
    ngx_str_t             value;
    ngx_uint_t            i, k, w;
    ngx_eb_route_pair_t  *pair;

    for (i = 0; i < memo->words; i++) {
        memo->found[i] = reach->bits[i] & ~memo->conditional[i];
    }

    for (i = 0; i < memo->ntouched; i++) {
        name = memo->touched[i];

        rc = ngx_eb_route_text(json, memo->names[name].node, memo->max_value,
                               pool, &value);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_DECLINED) {
            continue;
        }

        number = *ngx_eb_route_find_pair(memo, name, &value);

        if (number == NGX_EB_ROUTE_NONE) {
            continue;
        }

        pair = &memo->pairs[number];

        for (k = 0; k < pair->n; k++) {
            route = memo->refs[pair->first + k];

            w = route / NGX_EB_ROUTE_BITS;
            mask = (uint64_t) 1 << (route % NGX_EB_ROUTE_BITS);

            if ((reach->bits[w] & mask)
                && ngx_eb_route_holds(memo, json, route))
            {
                memo->found[w] |= mask;
            }
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_eb_route_holds(ngx_eb_route_memo_t *memo, ngx_eb_json_t *json,
    ngx_uint_t route)
{
    uint32_t              i;
    ngx_eb_route_name_t  *name;
    ngx_eb_route_pair_t  *pair;

    for (i = memo->starts[route]; i < memo->starts[route + 1]; i++) {
        pair = &memo->pairs[memo->conditions[i]];
        name = &memo->names[pair->name];

        if (name->stamp != memo->stamp
            || !ngx_eb_event_value_eq(json, name->node, &pair->value))
        {
            return 0;
        }
    }

    return 1;
}


/*
 * The text of a value as it is compared.  NGX_DECLINED: it equals nothing, or
 * has escapes and is longer than max, so nothing that is looked for.
 */

static ngx_int_t
ngx_eb_route_text(ngx_eb_json_t *json, ngx_eb_json_node_t node, size_t max,
    ngx_pool_t *pool, ngx_str_t *text)
{
    switch (ngx_eb_json_type(json, node)) {

    case '"':
        ngx_eb_json_raw(json, node, text);

        text->data++;
        text->len -= 2;

        if (ngx_eb_json_escaped(json, text->data, text->len)) {

            if (text->len > max) {
                return NGX_DECLINED;
            }

            return ngx_eb_json_string(json, node, pool, text);
        }

        return NGX_OK;

    case '0':
    case 't':
    case 'f':
        ngx_eb_json_raw(json, node, text);
        return NGX_OK;

    default:
        return NGX_DECLINED;
    }
}


static ngx_inline ngx_uint_t
ngx_eb_route_same(ngx_str_t *one, ngx_str_t *two)
{
    return one->len == two->len
           && (one->data == two->data
               || one->len == 0
               || ngx_memcmp(one->data, two->data, one->len) == 0);
}
