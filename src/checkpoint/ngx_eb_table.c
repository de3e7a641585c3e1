
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_table.h"

#define XXH_INLINE_ALL
#include <xxhash.h>


/* a small region has too uneven a share of the keys */
#define NGX_EB_TABLE_WIDTH_MIN  64

#define NGX_EB_TABLE_LINE       64      /* of the processor's cache */


static void ngx_eb_table_buckets(ngx_eb_table_t *table, uint64_t hi,
    uint32_t lo, uint64_t b[2]);
static uint32_t ngx_eb_table_check(ngx_eb_table_t *table, uint64_t bucket,
    ngx_eb_table_entry_t *e);
static ngx_eb_table_entry_t *ngx_eb_table_find(ngx_eb_table_t *table,
    ngx_eb_store_key_t *key, uint64_t b[2]);
static ngx_eb_table_entry_t *ngx_eb_table_recall(ngx_eb_table_t *table,
    ngx_eb_store_key_t *key);
static void ngx_eb_table_put(ngx_eb_table_t *table, ngx_eb_table_entry_t *e,
    ngx_eb_table_entry_t *val);
static ngx_uint_t ngx_eb_table_restamp(ngx_eb_table_t *table,
    ngx_eb_table_entry_t *val);
static ngx_uint_t ngx_eb_table_expired(ngx_eb_table_t *table,
    ngx_eb_table_entry_t *e);
static ngx_uint_t ngx_eb_table_live(ngx_eb_table_t *table, uint32_t mark);
static ngx_eb_table_entry_t *ngx_eb_table_place(ngx_eb_table_t *table,
    uint64_t b[2]);
static ngx_eb_table_entry_t *ngx_eb_table_evict(ngx_eb_table_t *table,
    uint64_t b[2]);
static void ngx_eb_table_insert(ngx_eb_table_t *table,
    ngx_eb_store_key_t *key, uint64_t done, uint32_t mark,
    ngx_eb_table_entry_t *e);


ngx_uint_t
ngx_eb_table_geometry(uint64_t buckets, uint32_t *regions, uint32_t *width)
{
    uint64_t  n;

    n = NGX_EB_TABLE_REGIONS;

    while (n > 1 && buckets / n < NGX_EB_TABLE_WIDTH_MIN) {
        n /= 2;
    }

    if (buckets / n < 4 || buckets / n > 0xffffffff) {
        return 0;
    }

    *regions = (uint32_t) n;
    *width = (uint32_t) (buckets / n);

    return 1;
}


void
ngx_eb_table_hash(u_char *secret, u_char *data, size_t len,
    ngx_eb_store_key_t *key)
{
    XXH128_hash_t  h;

    h = XXH3_128bits_withSecret(data, len, secret, NGX_EB_TABLE_SECRET);

    key->hi = h.high64;
    key->lo = h.low64;
}


void
ngx_eb_table_prefetch(ngx_eb_table_t *table, ngx_eb_store_key_t *key)
{
    char      *p, *last;
    uint64_t   b[2];

    ngx_eb_table_buckets(table, key->hi, (uint32_t) key->lo, b);

    p = (char *) &table->entries[b[0] * NGX_EB_TABLE_WAYS];

    for (last = p + NGX_EB_TABLE_BUCKET; p < last; p += NGX_EB_TABLE_LINE) {
        __builtin_prefetch(p);
    }

    p = (char *) &table->entries[b[1] * NGX_EB_TABLE_WAYS];

    for (last = p + NGX_EB_TABLE_BUCKET; p < last; p += NGX_EB_TABLE_LINE) {
        __builtin_prefetch(p);
    }
}


void
ngx_eb_table_prefetch_slot(ngx_eb_table_t *table, ngx_eb_store_key_t *key)
{
    if (key->slot < (uint64_t) table->regions * table->width
                    * NGX_EB_TABLE_WAYS)
    {
        __builtin_prefetch(&table->entries[key->slot], 1);
    }
}


void
ngx_eb_table_claim(ngx_eb_table_t *table, uint32_t mark,
    ngx_eb_store_key_t *key)
{
    uint64_t               b[2];
    ngx_uint_t             dirty, expired;
    ngx_eb_table_entry_t  *e, val;

    if (key->want == 0) {
        /* nothing is wanted, so nothing is missing, and no mark is left */
        key->done = 0;
        key->status = NGX_EB_KEY_DUPLICATE;
        return;
    }

    ngx_eb_table_buckets(table, key->hi, (uint32_t) key->lo, b);

    e = ngx_eb_table_find(table, key, b);

    if (e == NULL) {
        e = ngx_eb_table_place(table, b);

        if (e == NULL) {
            key->status = NGX_EB_KEY_FULL;
            return;
        }

        ngx_eb_table_insert(table, key, 0, mark, e);

        key->done = 0;
        key->status = NGX_EB_KEY_CLAIMED;
        return;
    }

    val = *e;
    dirty = ngx_eb_table_restamp(table, &val);
    expired = ngx_eb_table_expired(table, &val);

    if (val.mark == mark) {

        /* the same delivery asks again */

        key->status = NGX_EB_KEY_CLAIMED;
        goto found;
    }

    if (ngx_eb_table_state(val.mark) == NGX_EB_TABLE_CLAIMED) {

        if (ngx_eb_table_live(table, val.mark)) {
            key->status = (!expired && (val.done & key->want) == key->want)
                          ? NGX_EB_KEY_DUPLICATE : NGX_EB_KEY_BUSY;
            goto found;
        }

        /* nobody will settle it any more: from now on it may be evicted */

        if (!expired && (val.done & key->want) == key->want) {
            val.mark = NGX_EB_TABLE_DELIVERED;
            dirty = 1;
        }
    }

    if (expired) {

        /* nobody knows what its bits meant, it is as good as no mark */

        val.done = 0;
        val.time = (uint32_t) table->now;

    } else if ((val.done & key->want) == key->want) {
        key->status = NGX_EB_KEY_DUPLICATE;
        goto found;
    }

    val.mark = mark;
    dirty = 1;

    key->status = NGX_EB_KEY_CLAIMED;

found:

    if (dirty) {
        ngx_eb_table_put(table, e, &val);
    }

    key->done = val.done;
    key->slot = e - table->entries;
}


void
ngx_eb_table_commit(ngx_eb_table_t *table, uint32_t mark,
    ngx_eb_store_key_t *key)
{
    uint32_t               state;
    uint64_t               b[2];
    ngx_eb_table_entry_t  *e, val;

    e = ngx_eb_table_recall(table, key);

    if (e == NULL) {
        ngx_eb_table_buckets(table, key->hi, (uint32_t) key->lo, b);
        e = ngx_eb_table_find(table, key, b);
    }

    if (e == NULL) {

        /* it was evicted or lost; the bits are true nevertheless */

        if (key->done != 0) {
            e = ngx_eb_table_place(table, b);

            if (e != NULL) {
                if (key->final) {
                    mark = ((key->done & key->want) == key->want)
                           ? NGX_EB_TABLE_DELIVERED : NGX_EB_TABLE_PARTIAL;
                }

                ngx_eb_table_insert(table, key, key->done, mark, e);
            }
        }

        goto done;
    }

    val = *e;

    (void) ngx_eb_table_restamp(table, &val);

    state = ngx_eb_table_state(val.mark);

    if (val.mark != mark && ngx_eb_table_expired(table, &val)
        && !(state == NGX_EB_TABLE_CLAIMED
             && ngx_eb_table_live(table, val.mark)))
    {
        /* the old bits must not come to life again with a new time */

        if (key->done == 0) {
            goto done;
        }

        val.done = 0;
        val.time = (uint32_t) table->now;
        val.mark = mark;
    }

    val.done |= key->done;

    if (val.mark == mark) {

        if (key->final) {
            if (val.done == 0) {
                ngx_memzero(&val, sizeof(ngx_eb_table_entry_t));

            } else if ((val.done & key->want) == key->want) {
                val.mark = NGX_EB_TABLE_DELIVERED;

            } else {
                val.mark = NGX_EB_TABLE_PARTIAL;
            }
        }

    } else if (state == NGX_EB_TABLE_PARTIAL
               && (val.done & key->want) == key->want)
    {
        /* the claim was lost, and the one who took it has given it up */

        val.mark = NGX_EB_TABLE_DELIVERED;
    }

    ngx_eb_table_put(table, e, &val);

done:

    if (key->final) {
        key->status = NGX_EB_KEY_SKIP;
    }
}


void
ngx_eb_table_strip(ngx_eb_table_t *table, uint32_t region, uint64_t bits)
{
    uint64_t               i, n;
    ngx_eb_table_entry_t  *e, val;

    n = (uint64_t) table->width * NGX_EB_TABLE_WAYS;
    e = &table->entries[region * n];

    for (i = 0; i < n; i++, e++) {

        if (ngx_eb_table_state(e->mark) == NGX_EB_TABLE_EMPTY
            || (e->done & bits) == 0)
        {
            continue;
        }

        val = *e;

        if (ngx_eb_table_check(table, (e - table->entries)
                                      / NGX_EB_TABLE_WAYS, &val)
            != val.check)
        {
            ngx_memzero(&val, sizeof(ngx_eb_table_entry_t));

        } else {
            val.done &= ~bits;

            if (val.done == 0
                && ngx_eb_table_state(val.mark) != NGX_EB_TABLE_CLAIMED)
            {
                ngx_memzero(&val, sizeof(ngx_eb_table_entry_t));
            }
        }

        ngx_eb_table_put(table, e, &val);
    }
}


void
ngx_eb_table_sample(ngx_eb_table_t *table, ngx_uint_t n,
    ngx_eb_table_sample_t *sample)
{
    time_t                 age;
    uint64_t               b, buckets;
    ngx_uint_t             i, k;
    ngx_eb_table_entry_t  *e, val;

    ngx_memzero(sample, sizeof(ngx_eb_table_sample_t));

    buckets = (uint64_t) table->regions * table->width;

    if (n > buckets) {
        n = (ngx_uint_t) buckets;
    }

    for (i = 0; i < n; i++) {

        /* not i * buckets, which could overflow */

        b = buckets / n * i + buckets % n * i / n;
        e = &table->entries[b * NGX_EB_TABLE_WAYS];

        for (k = 0; k < NGX_EB_TABLE_WAYS; k++) {

            sample->slots++;

            /* without a lock: one that is being written fails its check */

            ngx_memcpy(&val, &e[k], sizeof(ngx_eb_table_entry_t));

            if (ngx_eb_table_state(val.mark) == NGX_EB_TABLE_EMPTY
                || ngx_eb_table_check(table, b, &val) != val.check)
            {
                continue;
            }

            if (ngx_eb_table_state(val.mark) == NGX_EB_TABLE_CLAIMED
                && ngx_eb_table_live(table, val.mark))
            {
                sample->used++;
                sample->claimed++;

            } else if (!ngx_eb_table_expired(table, &val)) {
                sample->used++;

            } else {
                continue;
            }

            age = table->now - (time_t) val.time;

            if (age > sample->oldest) {
                sample->oldest = age;
            }
        }
    }
}


/*
 * Both choices come from the stored fingerprint alone, so that an entry can
 * be moved to a table of another size.
 */

static void
ngx_eb_table_buckets(ngx_eb_table_t *table, uint64_t hi, uint32_t lo,
    uint64_t b[2])
{
    uint64_t  first;

    first = (uint64_t) ((lo >> 24) & (table->regions - 1)) * table->width;

    b[0] = ((hi & 0xffffffff) * table->width) >> 32;
    b[1] = ((hi >> 32) * table->width) >> 32;

    if (b[0] == b[1]) {
        b[1] = (b[1] + 1 == table->width) ? 0 : b[1] + 1;
    }

    b[0] += first;
    b[1] += first;
}


static uint32_t
ngx_eb_table_check(ngx_eb_table_t *table, uint64_t bucket,
    ngx_eb_table_entry_t *e)
{
    uint64_t  h, w[4];

    /*
     * By words: a processor does not forward two narrow stores to a wide
     * load.  The bucket's number is in it, so that a sector that went to a
     * wrong place is empty, too.
     */

    w[0] = e->fp_hi;
    w[1] = e->fp_lo;
    w[2] = e->done;
    w[3] = e->time | (uint64_t) e->mark << 32;

    h = XXH3_64bits_withSeed(w, sizeof(w),
                             table->seed + bucket * 0x9e3779b97f4a7c15ull);

    return (uint32_t) (h >> 32);
}


static ngx_eb_table_entry_t *
ngx_eb_table_find(ngx_eb_table_t *table, ngx_eb_store_key_t *key,
    uint64_t b[2])
{
    uint32_t               lo;
    uint64_t               hi;
    ngx_uint_t             i, k;
    ngx_eb_table_entry_t  *e;

    hi = key->hi;
    lo = (uint32_t) key->lo;

    for (i = 0; i < 2; i++) {

        e = &table->entries[b[i] * NGX_EB_TABLE_WAYS];

        for (k = 0; k < NGX_EB_TABLE_WAYS; k++, e++) {

            if (e->fp_hi == hi && e->fp_lo == lo
                && ngx_eb_table_state(e->mark) != NGX_EB_TABLE_EMPTY
                && ngx_eb_table_check(table, b[i], e) == e->check)
            {
                return e;
            }
        }
    }

    return NULL;
}


/* where the claim was made, if it still is there */

static ngx_eb_table_entry_t *
ngx_eb_table_recall(ngx_eb_table_t *table, ngx_eb_store_key_t *key)
{
    uint64_t               n;
    ngx_eb_table_entry_t  *e;

    n = (uint64_t) table->width * NGX_EB_TABLE_WAYS;

    /* anything outside the key's region is not ours to look at */

    if (key->slot / n != ngx_eb_table_region(table, key)) {
        return NULL;
    }

    e = &table->entries[key->slot];

    if (e->fp_hi == key->hi && e->fp_lo == (uint32_t) key->lo
        && ngx_eb_table_state(e->mark) != NGX_EB_TABLE_EMPTY
        && ngx_eb_table_check(table, key->slot / NGX_EB_TABLE_WAYS, e)
           == e->check)
    {
        return e;
    }

    return NULL;
}


static void
ngx_eb_table_put(ngx_eb_table_t *table, ngx_eb_table_entry_t *e,
    ngx_eb_table_entry_t *val)
{
    uint64_t  bucket;

    bucket = (uint64_t) (e - table->entries) / NGX_EB_TABLE_WAYS;

    e->check = ngx_eb_table_check(table, bucket, val);
    e->fp_hi = val->fp_hi;
    e->fp_lo = val->fp_lo;
    e->done = val->done;
    e->time = val->time;
    e->mark = val->mark;
}


static ngx_uint_t
ngx_eb_table_restamp(ngx_eb_table_t *table, ngx_eb_table_entry_t *val)
{
    if ((time_t) val->time <= table->now + NGX_EB_TABLE_SKEW) {
        return 0;
    }

    val->time = (uint32_t) table->now;

    (void) __atomic_fetch_add(&table->counters->clock_fixes, 1,
                              __ATOMIC_RELAXED);

    return 1;
}


static ngx_uint_t
ngx_eb_table_expired(ngx_eb_table_t *table, ngx_eb_table_entry_t *e)
{
    return table->now - (time_t) e->time > table->window;
}


static ngx_uint_t
ngx_eb_table_live(ngx_eb_table_t *table, uint32_t mark)
{
    return table->live(table->data, ngx_eb_table_owner(mark),
                       ngx_eb_table_token(mark));
}


/* a slot for a new entry in the emptier bucket, or NULL */

static ngx_eb_table_entry_t *
ngx_eb_table_place(ngx_eb_table_t *table, uint64_t b[2])
{
    time_t                 limit;
    uint32_t               state, vacant;
    ngx_uint_t             i, k, n[2], first[2];
    ngx_eb_table_entry_t  *e;

    limit = table->now - table->window;

    for (i = 0; i < 2; i++) {

        e = &table->entries[b[i] * NGX_EB_TABLE_WAYS + NGX_EB_TABLE_WAYS - 1];

        n[i] = 0;
        first[i] = 0;

        for (k = NGX_EB_TABLE_WAYS; k-- > 0; e--) {

            state = ngx_eb_table_state(e->mark);

            /*
             * No check is needed here: an entry that looks free is free
             * whether it is valid or not.  Those that look used but are
             * not valid are found when there is no other room.  Branches
             * would be guessed wrong too often.
             */

            vacant = (state == NGX_EB_TABLE_EMPTY)
                     | ((state != NGX_EB_TABLE_CLAIMED)
                        & ((time_t) e->time < limit));

            n[i] += vacant;
            first[i] = vacant ? k : first[i];
        }
    }

    if (n[0] + n[1] == 0) {
        return ngx_eb_table_evict(table, b);
    }

    i = (n[0] < n[1]);

    return &table->entries[b[i] * NGX_EB_TABLE_WAYS + first[i]];
}


static ngx_eb_table_entry_t *
ngx_eb_table_evict(ngx_eb_table_t *table, uint64_t b[2])
{
    uint32_t               state;
    ngx_uint_t             i, k;
    ngx_eb_table_entry_t  *e, *oldest, val;

    oldest = NULL;

    for (i = 0; i < 2; i++) {

        e = &table->entries[b[i] * NGX_EB_TABLE_WAYS];

        for (k = 0; k < NGX_EB_TABLE_WAYS; k++, e++) {

            val = *e;

            if (ngx_eb_table_check(table, b[i], &val) != val.check) {
                return e;
            }

            if (ngx_eb_table_restamp(table, &val)) {
                ngx_eb_table_put(table, e, &val);
            }

            state = ngx_eb_table_state(val.mark);

            if (state == NGX_EB_TABLE_CLAIMED) {

                /* claims of the dead are free, but for their bits */

                if ((val.done == 0 || ngx_eb_table_expired(table, &val))
                    && !ngx_eb_table_live(table, val.mark))
                {
                    return e;
                }

                continue;
            }

            if (state == NGX_EB_TABLE_DELIVERED
                && (oldest == NULL || val.time < oldest->time))
            {
                oldest = e;
            }
        }
    }

    if (oldest == NULL || table->full_reject) {
        (void) __atomic_fetch_add(&table->counters->full, 1,
                                  __ATOMIC_RELAXED);
        return NULL;
    }

    (void) __atomic_fetch_add(&table->counters->evictions, 1,
                              __ATOMIC_RELAXED);

    __atomic_store_n(&table->counters->evict_age,
                     (table->now > (time_t) oldest->time)
                     ? (uint64_t) (table->now - (time_t) oldest->time) : 0,
                     __ATOMIC_RELAXED);

    __atomic_store_n(&table->counters->evict_time, (uint64_t) table->now,
                     __ATOMIC_RELAXED);

    return oldest;
}


static void
ngx_eb_table_insert(ngx_eb_table_t *table, ngx_eb_store_key_t *key,
    uint64_t done, uint32_t mark, ngx_eb_table_entry_t *e)
{
    ngx_eb_table_entry_t  val;

    val.fp_hi = key->hi;
    val.fp_lo = (uint32_t) key->lo;
    val.check = 0;
    val.done = done;
    val.time = (uint32_t) table->now;
    val.mark = mark;

    ngx_eb_table_put(table, e, &val);

    key->slot = e - table->entries;
}
