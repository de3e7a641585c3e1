
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "ngx_eb_pattern_lookup.h"


/* the order of texts: by what follows the bytes that all begin with */

typedef struct {
    uint64_t                  key;
    ngx_eb_lookup_text_t      text;
} ngx_eb_lookup_keyed_t;


static ngx_int_t ngx_eb_lookup_grow(ngx_pool_t *pool, void **elts,
    uint32_t n, uint32_t *allocated, size_t size);
static uint32_t *ngx_eb_lookup_cell(ngx_eb_lookup_texts_t *texts,
    ngx_str_t *text);
static ngx_int_t ngx_eb_lookup_rehash(ngx_pool_t *pool,
    ngx_eb_lookup_texts_t *texts);
static ngx_int_t ngx_eb_lookup_order(ngx_pool_t *pool,
    ngx_eb_lookup_texts_t *texts);
static uint64_t ngx_eb_lookup_key(u_char *data, size_t len);
static int ngx_libc_cdecl ngx_eb_lookup_cmp_texts(const void *one,
    const void *two);
static int ngx_eb_lookup_cmp(ngx_str_t *one, ngx_str_t *two);
static ngx_inline ngx_uint_t ngx_eb_lookup_begins(ngx_str_t *text,
    ngx_str_t *start);
static int ngx_libc_cdecl ngx_eb_lookup_cmp_ranges(const void *one,
    const void *two);
static double ngx_eb_lookup_max(ngx_eb_lookup_range_t *ranges,
    ngx_uint_t from, ngx_uint_t to);


ngx_int_t
ngx_eb_lookup_set_add(ngx_pool_t *pool, ngx_eb_lookup_set_t *set,
    uint32_t rule)
{
    ngx_eb_lookup_link_t  *link;

    /* rules come one after the other: the latest is the only one twice */

    if (set->links && set->links->rule == rule) {
        return NGX_OK;
    }

    link = ngx_palloc(pool, sizeof(ngx_eb_lookup_link_t));
    if (link == NULL) {
        return NGX_ERROR;
    }

    link->rule = rule;
    link->next = set->links;

    set->links = link;
    set->n++;

    return NGX_OK;
}


ngx_int_t
ngx_eb_lookup_set_ready(ngx_pool_t *pool, ngx_eb_lookup_set_t *set,
    ngx_uint_t words)
{
    uint32_t               i;
    ngx_eb_lookup_link_t  *link;

    if (set->n <= words) {

        set->list = ngx_palloc(pool, ngx_max(set->n, 1) * sizeof(uint32_t));
        if (set->list == NULL) {
            return NGX_ERROR;
        }

        i = set->n;

        for (link = set->links; link; link = link->next) {
            set->list[--i] = link->rule;
        }

        return NGX_OK;
    }

    set->bits = ngx_pcalloc(pool, words * sizeof(uint64_t));
    if (set->bits == NULL) {
        return NGX_ERROR;
    }

    for (link = set->links; link; link = link->next) {
        set->bits[link->rule / 64] |= (uint64_t) 1 << (link->rule % 64);
    }

    return NGX_OK;
}


void
ngx_eb_lookup_set_join(ngx_eb_lookup_set_t *set, uint64_t *bits,
    ngx_uint_t words)
{
    ngx_uint_t  i;

    if (set->list) {
        for (i = 0; i < set->n; i++) {
            bits[set->list[i] / 64] |= (uint64_t) 1 << (set->list[i] % 64);
        }

        return;
    }

    for (i = 0; i < words; i++) {
        bits[i] |= set->bits[i];
    }
}


void
ngx_eb_lookup_set_leave(ngx_eb_lookup_set_t *set, uint64_t *bits,
    ngx_uint_t words)
{
    ngx_uint_t  i;

    if (set->list) {
        for (i = 0; i < set->n; i++) {
            bits[set->list[i] / 64] &= ~((uint64_t) 1 << (set->list[i] % 64));
        }

        return;
    }

    for (i = 0; i < words; i++) {
        bits[i] &= ~set->bits[i];
    }
}


/* room for one element more: twice as much, or as before */

static ngx_int_t
ngx_eb_lookup_grow(ngx_pool_t *pool, void **elts, uint32_t n,
    uint32_t *allocated, size_t size)
{
    void      *p;
    uint32_t   new;

    if (n < *allocated) {
        return NGX_OK;
    }

    new = *allocated ? 2 * *allocated : 4;

    p = ngx_pcalloc(pool, new * size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (n) {
        ngx_memcpy(p, *elts, n * size);
    }

    *elts = p;
    *allocated = new;

    return NGX_OK;
}


ngx_eb_lookup_text_t *
ngx_eb_lookup_text_add(ngx_pool_t *pool, ngx_eb_lookup_texts_t *texts,
    ngx_str_t *text)
{
    void      *p;
    uint32_t  *cell;

    if (texts->n == texts->allocated) {

        p = texts->texts;

        if (ngx_eb_lookup_grow(pool, &p, texts->n, &texts->allocated,
                               sizeof(ngx_eb_lookup_text_t))
            != NGX_OK)
        {
            return NULL;
        }

        texts->texts = p;

        if (ngx_eb_lookup_rehash(pool, texts) != NGX_OK) {
            return NULL;
        }
    }

    cell = ngx_eb_lookup_cell(texts, text);

    if (*cell == NGX_EB_LOOKUP_NONE) {
        *cell = texts->n++;

        texts->texts[*cell].text = *text;
        texts->texts[*cell].parent = NGX_EB_LOOKUP_NONE;
        texts->longest = ngx_max(texts->longest, text->len);
    }

    return &texts->texts[*cell];
}


/* the cell where the number of text is, or is to be */

static uint32_t *
ngx_eb_lookup_cell(ngx_eb_lookup_texts_t *texts, ngx_str_t *text)
{
    size_t      i;
    uint32_t   *cell;
    ngx_str_t  *known;

    i = (size_t) XXH3_64bits(text->data, text->len);

    for ( ;; i++) {
        cell = &texts->hash[i & texts->mask];

        if (*cell == NGX_EB_LOOKUP_NONE) {
            return cell;
        }

        known = &texts->texts[*cell].text;

        if (known->len == text->len
            && (text->len == 0
                || ngx_memcmp(known->data, text->data, text->len) == 0))
        {
            return cell;
        }
    }
}


static ngx_int_t
ngx_eb_lookup_rehash(ngx_pool_t *pool, ngx_eb_lookup_texts_t *texts)
{
    size_t    size;
    uint32_t  i;

    /* a power of two, at most half full when all that is allocated is used */

    for (size = 8; size < (size_t) 2 * texts->allocated; size *= 2) {
        /* void */
    }

    texts->mask = size - 1;

    texts->hash = ngx_palloc(pool, size * sizeof(uint32_t));
    if (texts->hash == NULL) {
        return NGX_ERROR;
    }

    /* NGX_EB_LOOKUP_NONE is all ones */

    ngx_memset(texts->hash, 0xff, size * sizeof(uint32_t));

    for (i = 0; i < texts->n; i++) {
        *ngx_eb_lookup_cell(texts, &texts->texts[i].text) = i;
    }

    return NGX_OK;
}


ngx_int_t
ngx_eb_lookup_texts_ready(ngx_pool_t *pool, ngx_eb_lookup_texts_t *texts,
    ngx_uint_t words, ngx_uint_t ordered)
{
    uint32_t  i;

    for (i = 0; i < texts->n; i++) {
        if (ngx_eb_lookup_set_ready(pool, &texts->texts[i].set, words)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ordered && texts->n) {
        return ngx_eb_lookup_order(pool, texts);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_lookup_order(ngx_pool_t *pool, ngx_eb_lookup_texts_t *texts)
{
    size_t                  k;
    uint32_t                i, parent;
    ngx_str_t              *first, *last;
    ngx_eb_lookup_keyed_t  *keyed;

    keyed = ngx_palloc(pool, texts->n * sizeof(ngx_eb_lookup_keyed_t));
    texts->keys = ngx_palloc(pool, texts->n * sizeof(uint64_t));

    if (keyed == NULL || texts->keys == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < texts->n; i++) {
        keyed[i].text = texts->texts[i];
        keyed[i].key = ngx_eb_lookup_key(keyed[i].text.text.data,
                                         keyed[i].text.text.len);
    }

    ngx_qsort(keyed, texts->n, sizeof(ngx_eb_lookup_keyed_t),
              ngx_eb_lookup_cmp_texts);

    /* what the first and the last begin with, all begin with */

    first = &keyed[0].text.text;
    last = &keyed[texts->n - 1].text.text;

    for (k = 0; k < first->len && k < last->len; k++) {
        if (first->data[k] != last->data[k]) {
            break;
        }
    }

    texts->common = k;

    for (i = 0; i < texts->n; i++) {
        texts->texts[i] = keyed[i].text;
        first = &texts->texts[i].text;
        texts->keys[i] = ngx_eb_lookup_key(first->data + k, first->len - k);

        /* the nearest before it that begins it, or an ancestor of that */

        parent = i ? i - 1 : NGX_EB_LOOKUP_NONE;

        while (parent != NGX_EB_LOOKUP_NONE
               && !ngx_eb_lookup_begins(first, &texts->texts[parent].text))
        {
            parent = texts->texts[parent].parent;
        }

        texts->texts[i].parent = parent;
    }

    return ngx_eb_lookup_rehash(pool, texts);
}


/* the first 8 bytes as a number that is ordered as they are */

static uint64_t
ngx_eb_lookup_key(u_char *data, size_t len)
{
    uint64_t    key;
    ngx_uint_t  i;

    if (len >= 8) {
        ngx_memcpy(&key, data, 8);
#if (NGX_HAVE_LITTLE_ENDIAN)
        key = __builtin_bswap64(key);
#endif
        return key;
    }

    key = 0;

    for (i = 0; i < 8; i++) {
        key = key << 8 | (i < len ? data[i] : 0);
    }

    return key;
}


static int ngx_libc_cdecl
ngx_eb_lookup_cmp_texts(const void *one, const void *two)
{
    ngx_eb_lookup_keyed_t  *first = (ngx_eb_lookup_keyed_t *) one;
    ngx_eb_lookup_keyed_t  *second = (ngx_eb_lookup_keyed_t *) two;

    if (first->key != second->key) {
        return first->key < second->key ? -1 : 1;
    }

    return ngx_eb_lookup_cmp(&first->text.text, &second->text.text);
}


static int
ngx_eb_lookup_cmp(ngx_str_t *one, ngx_str_t *two)
{
    int     rc;
    size_t  len;

    len = ngx_min(one->len, two->len);
    rc = len ? ngx_memcmp(one->data, two->data, len) : 0;

    if (rc) {
        return rc;
    }

    return (one->len > two->len) - (one->len < two->len);
}


static ngx_inline ngx_uint_t
ngx_eb_lookup_begins(ngx_str_t *text, ngx_str_t *start)
{
    return text->len >= start->len
           && (start->len == 0
               || ngx_memcmp(text->data, start->data, start->len) == 0);
}


ngx_eb_lookup_text_t *
ngx_eb_lookup_text_find(ngx_eb_lookup_texts_t *texts, ngx_str_t *text)
{
    uint32_t  number;

    if (texts->n == 0 || text->len > texts->longest) {
        return NULL;
    }

    number = *ngx_eb_lookup_cell(texts, text);

    return number == NGX_EB_LOOKUP_NONE ? NULL : &texts->texts[number];
}


ngx_eb_lookup_text_t *
ngx_eb_lookup_text_begin(ngx_eb_lookup_texts_t *texts, ngx_str_t *text)
{
    uint64_t    key;
    uint32_t    number;
    ngx_uint_t  from, half, n, to;

    if (texts->n == 0
        || text->len < texts->common
        || (texts->common
            && ngx_memcmp(text->data, texts->texts[0].text.data,
                          texts->common)
               != 0))
    {
        return NULL;
    }

    key = ngx_eb_lookup_key(text->data + texts->common,
                            text->len - texts->common);

    /* how many keys are not above it; without a branch that is guessed */

    from = 0;

    for (n = texts->n; n > 1; n -= half) {
        half = n / 2;
        from = (texts->keys[from + half] <= key) ? from + half : from;
    }

    to = from + (texts->keys[from] <= key);

    /* of those of the same key some may be above the text */

    if (to && texts->keys[to - 1] == key) {

        from = to - 1;

        for (half = 1; from && texts->keys[from - 1] == key; half *= 2) {

            if (ngx_eb_lookup_cmp(&texts->texts[from].text, text) <= 0) {
                break;
            }

            to = from;
            from = (from > half) ? from - half : 0;
        }

        /* those below from are not above the text, or of a lower key */

        while (from < to) {
            half = from + (to - from) / 2;

            if (ngx_eb_lookup_cmp(&texts->texts[half].text, text) <= 0) {
                from = half + 1;

            } else {
                to = half;
            }
        }
    }

    /* what begins the text begins the last entry that is not above it, too */

    number = to ? (uint32_t) to - 1 : NGX_EB_LOOKUP_NONE;

    while (number != NGX_EB_LOOKUP_NONE) {

        if (ngx_eb_lookup_begins(text, &texts->texts[number].text)) {
            return &texts->texts[number];
        }

        number = texts->texts[number].parent;
    }

    return NULL;
}


ngx_eb_lookup_set_t *
ngx_eb_lookup_range_add(ngx_pool_t *pool, ngx_eb_lookup_ranges_t *ranges,
    double low, double high)
{
    void                   *p;
    ngx_eb_lookup_range_t  *range;

    p = ranges->ranges;

    if (ngx_eb_lookup_grow(pool, &p, ranges->n, &ranges->allocated,
                           sizeof(ngx_eb_lookup_range_t))
        != NGX_OK)
    {
        return NULL;
    }

    ranges->ranges = p;

    range = &ranges->ranges[ranges->n++];
    range->low = low;
    range->high = high;

    return &range->set;
}


ngx_int_t
ngx_eb_lookup_ranges_ready(ngx_pool_t *pool, ngx_eb_lookup_ranges_t *ranges,
    ngx_uint_t words)
{
    uint32_t  i;

    if (ranges->n == 0) {
        return NGX_OK;
    }

    for (i = 0; i < ranges->n; i++) {
        if (ngx_eb_lookup_set_ready(pool, &ranges->ranges[i].set, words)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    ngx_qsort(ranges->ranges, ranges->n, sizeof(ngx_eb_lookup_range_t),
              ngx_eb_lookup_cmp_ranges);

    (void) ngx_eb_lookup_max(ranges->ranges, 0, ranges->n);

    return NGX_OK;
}


static int ngx_libc_cdecl
ngx_eb_lookup_cmp_ranges(const void *one, const void *two)
{
    const ngx_eb_lookup_range_t  *first = one;
    const ngx_eb_lookup_range_t  *second = two;

    return (first->low > second->low) - (first->low < second->low);
}


/*
 * The ranges from..to - 1, ordered by their low ends, are a tree: its root is
 * in the middle, left and right of it are its subtrees.
 */

static double
ngx_eb_lookup_max(ngx_eb_lookup_range_t *ranges, ngx_uint_t from,
    ngx_uint_t to)
{
    double      max, sub;
    ngx_uint_t  root;

    root = from + (to - from) / 2;
    max = ranges[root].high;

    if (from < root) {
        sub = ngx_eb_lookup_max(ranges, from, root);
        max = ngx_max(max, sub);
    }

    if (root + 1 < to) {
        sub = ngx_eb_lookup_max(ranges, root + 1, to);
        max = ngx_max(max, sub);
    }

    ranges[root].max = max;

    return max;
}


void
ngx_eb_lookup_ranges_find(ngx_eb_lookup_ranges_t *ranges, double value,
    uint64_t *bits, ngx_uint_t words)
{
    ngx_uint_t              from, to, root, n;
    ngx_eb_lookup_range_t  *range;

    /* subtrees yet to be looked at: one for each level at most */
    struct {
        ngx_uint_t          from;
        ngx_uint_t          to;
    } stack[64];

    n = 0;
    from = 0;
    to = ranges->n;

    for ( ;; ) {

        while (from < to) {
            root = from + (to - from) / 2;
            range = &ranges->ranges[root];

            if (range->max < value) {
                break;
            }

            if (range->low <= value) {

                if (value <= range->high) {
                    ngx_eb_lookup_set_join(&range->set, bits, words);
                }

                stack[n].from = root + 1;
                stack[n++].to = to;
            }

            to = root;
        }

        if (n == 0) {
            return;
        }

        from = stack[--n].from;
        to = stack[n].to;
    }
}
