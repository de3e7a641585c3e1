
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_table.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#if (__SSE2__)
#include <emmintrin.h>
#endif


/* a small region has too uneven a share of the keys */
#define NGX_EB_TABLE_WIDTH_MIN  64

#define NGX_EB_TABLE_LINE       64      /* of the processor's cache */

/* so few free slots in the emptier bucket are worth a closer look */
#define NGX_EB_TABLE_FEW        2

/* where a test may stop: after each store */
#ifndef NGX_EB_STEP
#define NGX_EB_STEP()
#endif

#define ngx_eb_table_slots(table)                                             \
    ((uint64_t) (table)->regions * (table)->width * NGX_EB_TABLE_WAYS)

/*
 * 1 to 255, of bits of the fingerprint that choose neither the region nor a
 * bucket; 0 is the tag of a free slot.
 */
#define ngx_eb_table_tag(lo)                                                  \
    ((u_char) (1 + (((uint32_t) (lo) & 0xffff) * 255 >> 16)))


/*
 * A mark is there when its entry is valid and its slot has its tag.  A slot
 * whose tag is 0 is free, whatever its entry says, so that one store frees a
 * slot, and no line of an entry is touched for it.  A new entry is stored
 * first, then its tag.
 *
 * The tag is derived from the entry, and says nothing that the entry does
 * not: it can only hide one.  That is why there is nothing to repair, neither
 * after a kill nor after a power cut, and why tags are not made anew when the
 * file is attached:
 *
 *   - killed between an entry and its tag: the slot has the tag it had
 *     before.  If that is 0, the entry is missing, which is a mark of a
 *     delivery that died, and the slot is free; if it is that of a mark that
 *     was evicted, the slot is found by the one that next needs it.
 *
 *   - any mixture of old and new sectors: an entry that is valid was written
 *     for the key whose fingerprint it has, in this bucket, with bits that
 *     were committed for that key.  It may be hidden, or an old one may be
 *     seen again under any tag that happens to be the right one; either way
 *     its bits are true, and what is missing costs a duplicate.
 *
 *   - a key whose entry is hidden gets another one.  When the first is seen
 *     again, there are two, one of which is found: bits may be missing, but
 *     none is wrong.
 *
 *   - a hidden entry does not come back with a tag that is meant for another
 *     one: the entry is overwritten before the tag is set.
 *
 * Entries that are hidden are stripped like all others, so that a bit that
 * changes its meaning is not in them, either.
 */


static void ngx_eb_table_buckets(ngx_eb_table_t *table, uint64_t hi,
    uint32_t lo, uint64_t b[2]);
static uint32_t ngx_eb_table_match(ngx_eb_table_t *table, uint64_t bucket,
    u_char tag);
static uint32_t ngx_eb_table_check(ngx_eb_table_t *table, uint64_t bucket,
    ngx_eb_table_entry_t *e);
static ngx_uint_t ngx_eb_table_valid(ngx_eb_table_t *table, uint64_t slot,
    ngx_eb_table_entry_t *e);
static ngx_eb_table_entry_t *ngx_eb_table_find(ngx_eb_table_t *table,
    ngx_eb_store_key_t *key, uint64_t b[2]);
static ngx_eb_table_entry_t *ngx_eb_table_recall(ngx_eb_table_t *table,
    ngx_eb_store_key_t *key);
static void ngx_eb_table_put(ngx_eb_table_t *table, ngx_eb_table_entry_t *e,
    ngx_eb_table_entry_t *val);
static void ngx_eb_table_set_tag(ngx_eb_table_t *table, uint64_t slot,
    u_char tag);
static ngx_uint_t ngx_eb_table_restamp(ngx_eb_table_t *table,
    ngx_eb_table_entry_t *val);
static ngx_uint_t ngx_eb_table_expired(ngx_eb_table_t *table,
    ngx_eb_table_entry_t *e);
static ngx_uint_t ngx_eb_table_live(ngx_eb_table_t *table, uint32_t mark);
static ngx_eb_table_entry_t *ngx_eb_table_place(ngx_eb_table_t *table,
    uint64_t b[2]);
static ngx_uint_t ngx_eb_table_free(ngx_eb_table_t *table, uint64_t b[2],
    uint64_t *slot);
static void ngx_eb_table_sweep(ngx_eb_table_t *table, uint64_t bucket);
static void ngx_eb_table_prefetch_bucket(ngx_eb_table_t *table,
    uint64_t bucket);
static ngx_eb_table_entry_t *ngx_eb_table_evict(ngx_eb_table_t *table,
    uint64_t b[2], ngx_eb_table_entry_t *moved, ngx_uint_t force);
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
    uint64_t  b[2];

    ngx_eb_table_buckets(table, key->hi, (uint32_t) key->lo, b);

    __builtin_prefetch(&table->tags[b[0] * NGX_EB_TABLE_TAGS], 1);
    __builtin_prefetch(&table->tags[b[1] * NGX_EB_TABLE_TAGS], 1);
}


void
ngx_eb_table_prefetch_entry(ngx_eb_table_t *table, ngx_eb_store_key_t *key)
{
    u_char       tag;
    uint32_t     found;
    uint64_t     b[2], slot;
    ngx_uint_t   i;

    ngx_eb_table_buckets(table, key->hi, (uint32_t) key->lo, b);

    tag = ngx_eb_table_tag(key->lo);

    for (i = 0; i < 2; i++) {

        found = ngx_eb_table_match(table, b[i], tag);

        if (found) {
            slot = b[i] * NGX_EB_TABLE_WAYS + __builtin_ctz(found);
            __builtin_prefetch(&table->entries[slot], 1);
        }
    }

    if (ngx_eb_table_free(table, b, &slot) > NGX_EB_TABLE_FEW) {
        __builtin_prefetch(&table->entries[slot], 1);
        return;
    }

    /* all of both buckets will be looked at, unless it is a duplicate */

    ngx_eb_table_prefetch_bucket(table, b[0]);
    ngx_eb_table_prefetch_bucket(table, b[1]);
}


void
ngx_eb_table_prefetch_slot(ngx_eb_table_t *table, ngx_eb_store_key_t *key)
{
    if (key->slot < ngx_eb_table_slots(table)) {
        __builtin_prefetch(&table->entries[key->slot], 1);
        __builtin_prefetch(&table->tags[key->slot]);
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
                ngx_eb_table_set_tag(table, e - table->entries, 0);
                goto done;
            }

            if ((val.done & key->want) == key->want) {
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
ngx_eb_table_lookup(ngx_eb_table_t *table, ngx_eb_store_key_t *key)
{
    uint64_t               b[2];
    ngx_uint_t             claimed;
    ngx_eb_table_entry_t  *e;

    key->done = 0;

    if (key->want == 0) {
        key->status = NGX_EB_KEY_DUPLICATE;
        return;
    }

    ngx_eb_table_buckets(table, key->hi, (uint32_t) key->lo, b);

    e = ngx_eb_table_find(table, key, b);

    if (e == NULL) {
        return;
    }

    claimed = (ngx_eb_table_state(e->mark) == NGX_EB_TABLE_CLAIMED
               && ngx_eb_table_live(table, e->mark));

    if (!ngx_eb_table_expired(table, e)) {
        key->done = e->done;
    }

    if ((key->done & key->want) == key->want) {
        key->status = NGX_EB_KEY_DUPLICATE;

    } else if (claimed) {
        key->status = NGX_EB_KEY_BUSY;
    }
}


ngx_uint_t
ngx_eb_table_peek(ngx_eb_table_t *table, ngx_eb_store_key_t *key,
    ngx_eb_table_entry_t *val)
{
    uint64_t               b[2];
    ngx_eb_table_entry_t  *e;

    ngx_eb_table_buckets(table, key->hi, (uint32_t) key->lo, b);

    e = ngx_eb_table_find(table, key, b);

    if (e == NULL) {
        return 0;
    }

    *val = *e;

    return 1;
}


ngx_uint_t
ngx_eb_table_old(ngx_eb_table_t *table, ngx_eb_table_entry_t *val)
{
    return ngx_eb_table_expired(table, val);
}


ngx_uint_t
ngx_eb_table_held(ngx_eb_table_t *table, ngx_eb_table_entry_t *val)
{
    return ngx_eb_table_state(val->mark) == NGX_EB_TABLE_CLAIMED
           && ngx_eb_table_live(table, val->mark);
}


ngx_int_t
ngx_eb_table_adopt(ngx_eb_table_t *table, ngx_eb_table_entry_t *val,
    ngx_uint_t force)
{
    uint64_t               b[2], slot;
    ngx_eb_table_entry_t  *e;

    (void) ngx_eb_table_restamp(table, val);

    ngx_eb_table_buckets(table, val->fp_hi, val->fp_lo, b);

    if (ngx_eb_table_free(table, b, &slot) <= NGX_EB_TABLE_FEW) {
        ngx_eb_table_sweep(table, b[0]);
        ngx_eb_table_sweep(table, b[1]);
    }

    if (ngx_eb_table_free(table, b, &slot)) {
        e = &table->entries[slot];

    } else {
        e = ngx_eb_table_evict(table, b, val, force);

        if (e == NULL) {
            return NGX_BUSY;
        }

        if (e == val) {
            return NGX_DECLINED;
        }

        slot = e - table->entries;
    }

    ngx_eb_table_put(table, e, val);
    ngx_eb_table_set_tag(table, slot, ngx_eb_table_tag(val->fp_lo));

    return NGX_OK;
}


void
ngx_eb_table_strip(ngx_eb_table_t *table, uint32_t region, uint64_t bits)
{
    uint64_t               i, n, slot;
    ngx_eb_table_entry_t  *e, val;

    n = (uint64_t) table->width * NGX_EB_TABLE_WAYS;

    for (i = 0; i < n; i++) {

        slot = region * n + i;
        e = &table->entries[slot];

        if ((e->done & bits) == 0) {
            continue;
        }

        val = *e;

        if (ngx_eb_table_valid(table, slot, &val)) {

            val.done &= ~bits;

            if (val.done != 0
                || ngx_eb_table_state(val.mark) == NGX_EB_TABLE_CLAIMED)
            {
                ngx_eb_table_put(table, e, &val);
                continue;
            }
        }

        /* a hidden one must not come back with the bits, see above */

        ngx_eb_table_set_tag(table, slot, 0);
        ngx_memzero(e, sizeof(ngx_eb_table_entry_t));
    }
}


void
ngx_eb_table_sample(ngx_eb_table_t *table, ngx_uint_t n,
    ngx_eb_table_sample_t *sample)
{
    time_t                 age;
    uint64_t               b, buckets, slot;
    ngx_uint_t             i, k;
    ngx_eb_table_entry_t   val;

    ngx_memzero(sample, sizeof(ngx_eb_table_sample_t));

    buckets = (uint64_t) table->regions * table->width;

    if (n > buckets) {
        n = (ngx_uint_t) buckets;
    }

    for (i = 0; i < n; i++) {

        /* not i * buckets, which could overflow */

        b = buckets / n * i + buckets % n * i / n;
        slot = b * NGX_EB_TABLE_WAYS;

        for (k = 0; k < NGX_EB_TABLE_WAYS; k++, slot++) {

            sample->slots++;

            if (table->tags[slot] == 0) {
                continue;
            }

            /* without a lock: one that is being written fails its check */

            ngx_memcpy(&val, &table->entries[slot],
                       sizeof(ngx_eb_table_entry_t));

            if (!ngx_eb_table_valid(table, slot, &val)) {
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


/* which slots of a bucket have this tag: bit 0 is the first slot */

static uint32_t
ngx_eb_table_match(ngx_eb_table_t *table, uint64_t bucket, u_char tag)
{
#if (__SSE2__)

    __m128i  tags;

    /* the area is page aligned, and so each bucket's tags are 16 bytes */

    tags = _mm_load_si128((__m128i *)
                          &table->tags[bucket * NGX_EB_TABLE_TAGS]);

    return (uint32_t) _mm_movemask_epi8(_mm_cmpeq_epi8(tags,
                                                  _mm_set1_epi8((char) tag)));

#else

    uint32_t    found;
    uint64_t    w[2], ones;
    ngx_uint_t  i;

    ngx_memcpy(w, &table->tags[bucket * NGX_EB_TABLE_TAGS], sizeof(w));

    found = 0;
    ones = 0x0101010101010101ull;

    for (i = 0; i < 2; i++) {

#if !(NGX_HAVE_LITTLE_ENDIAN)
        w[i] = __builtin_bswap64(w[i]);
#endif

        /* a byte that is equal is 0 here, and 0x80 (all others 0) next */

        w[i] ^= ones * tag;
        w[i] = ~(((w[i] & ones * 0x7f) + ones * 0x7f) | w[i] | ones * 0x7f);

        /* gathers the eight bits in the topmost byte, without any carry */

        w[i] = ((w[i] >> 7) * 0x0102040810204080ull) >> 56;

        found |= (uint32_t) w[i] << (8 * i);
    }

    return found;

#endif
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


/* is it an entry of this slot, and has the slot its tag? */

static ngx_uint_t
ngx_eb_table_valid(ngx_eb_table_t *table, uint64_t slot,
    ngx_eb_table_entry_t *e)
{
    return table->tags[slot] == ngx_eb_table_tag(e->fp_lo)
           && ngx_eb_table_state(e->mark) != NGX_EB_TABLE_EMPTY
           && ngx_eb_table_check(table, slot / NGX_EB_TABLE_WAYS, e)
              == e->check;
}


static ngx_eb_table_entry_t *
ngx_eb_table_find(ngx_eb_table_t *table, ngx_eb_store_key_t *key,
    uint64_t b[2])
{
    u_char                 tag;
    uint32_t               found;
    uint64_t               slot;
    ngx_uint_t             i;
    ngx_eb_table_entry_t  *e;

    tag = ngx_eb_table_tag(key->lo);

    for (i = 0; i < 2; i++) {

        found = ngx_eb_table_match(table, b[i], tag);

        for ( /* void */ ; found; found &= found - 1) {

            slot = b[i] * NGX_EB_TABLE_WAYS + __builtin_ctz(found);
            e = &table->entries[slot];

            if (e->fp_hi == key->hi && e->fp_lo == (uint32_t) key->lo
                && ngx_eb_table_valid(table, slot, e))
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
        && ngx_eb_table_valid(table, key->slot, e))
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

    NGX_EB_STEP();
    e->check = ngx_eb_table_check(table, bucket, val);
    NGX_EB_STEP();
    e->fp_hi = val->fp_hi;
    NGX_EB_STEP();
    e->fp_lo = val->fp_lo;
    NGX_EB_STEP();
    e->done = val->done;
    NGX_EB_STEP();
    e->time = val->time;
    NGX_EB_STEP();
    e->mark = val->mark;
    NGX_EB_STEP();
}


static void
ngx_eb_table_set_tag(ngx_eb_table_t *table, uint64_t slot, u_char tag)
{
    /* after the entry, see above */

    __atomic_store_n(&table->tags[slot], tag, __ATOMIC_RELEASE);
    NGX_EB_STEP();
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


/*
 * A slot for a new entry, or NULL.
 *
 * An expired entry keeps its tag, and counts as any other when the emptier
 * bucket is chosen, until somebody needs its slot.  In the first window there
 * are none, and the choice is as good as can be.  Later the slots fill up with
 * them, and a bucket that looks full may be the emptier one.  That is why both
 * buckets are swept while there still is some room: all that has expired in
 * them goes at once, the choice is between what is left, and the next new
 * entries there find free slots by the tags alone.  With no sweep before the
 * last slot is taken, a table of which 70% are in use would evict one mark in
 * a thousand; so it evicts none, as if each entry had been looked at.
 */

static ngx_eb_table_entry_t *
ngx_eb_table_place(ngx_eb_table_t *table, uint64_t b[2])
{
    uint64_t  slot;

    if (ngx_eb_table_free(table, b, &slot) <= NGX_EB_TABLE_FEW) {

        ngx_eb_table_sweep(table, b[0]);
        ngx_eb_table_sweep(table, b[1]);

        if (ngx_eb_table_free(table, b, &slot) == 0) {
            return ngx_eb_table_evict(table, b, NULL, 0);
        }
    }

    return &table->entries[slot];
}


/* the first free slot of the emptier bucket, and how many that one has */

static ngx_uint_t
ngx_eb_table_free(ngx_eb_table_t *table, uint64_t b[2], uint64_t *slot)
{
    uint32_t    n, found[2];
    ngx_uint_t  i;

    found[0] = ngx_eb_table_match(table, b[0], 0);
    found[1] = ngx_eb_table_match(table, b[1], 0);

    /* counts the bits of both, in one half of the word each */

    n = found[0] | found[1] << 16;
    n = n - ((n >> 1) & 0x55555555);
    n = (n & 0x33333333) + ((n >> 2) & 0x33333333);
    n = (n + (n >> 4)) & 0x0f0f0f0f;
    n = (n + (n >> 8)) & 0x00ff00ff;

    i = (n & 0xffff) < (n >> 16);

    if (found[i] == 0) {
        return 0;
    }

    *slot = b[i] * NGX_EB_TABLE_WAYS + __builtin_ctz(found[i]);

    return i ? n >> 16 : n & 0xffff;
}


/* frees what has expired in a bucket */

static void
ngx_eb_table_sweep(ngx_eb_table_t *table, uint64_t bucket)
{
    time_t                 limit;
    uint32_t               state, vacant;
    uint64_t               slot;
    ngx_uint_t             k;
    ngx_eb_table_entry_t  *e;

    limit = table->now - table->window;

    slot = bucket * NGX_EB_TABLE_WAYS;
    e = &table->entries[slot];
    vacant = 0;

    /*
     * No check is needed here: an entry that looks free is free whether it
     * is valid or not.  Those that look used but are not valid are found
     * when there is no other room.  Branches would be guessed wrong too
     * often.
     */

    for (k = 0; k < NGX_EB_TABLE_WAYS; k++, e++) {

        state = ngx_eb_table_state(e->mark);

        vacant |= ((state == NGX_EB_TABLE_EMPTY)
                   | ((state != NGX_EB_TABLE_CLAIMED)
                      & ((time_t) e->time < limit))) << k;
    }

    vacant &= ~ngx_eb_table_match(table, bucket, 0);

    for ( /* void */ ; vacant; vacant &= vacant - 1) {
        ngx_eb_table_set_tag(table, slot + __builtin_ctz(vacant), 0);
    }
}


static void
ngx_eb_table_prefetch_bucket(ngx_eb_table_t *table, uint64_t bucket)
{
    char  *p, *last;

    p = (char *) &table->entries[bucket * NGX_EB_TABLE_WAYS];

    for (last = p + NGX_EB_TABLE_BUCKET; p < last; p += NGX_EB_TABLE_LINE) {
        __builtin_prefetch(p);
    }
}


/*
 * Makes room for a new mark, or for one that moves here, which it returns when
 * that is the oldest itself.  NULL: no room.
 */

static ngx_eb_table_entry_t *
ngx_eb_table_evict(ngx_eb_table_t *table, uint64_t b[2],
    ngx_eb_table_entry_t *moved, ngx_uint_t force)
{
    uint32_t               state;
    ngx_uint_t             i, k;
    ngx_eb_table_entry_t  *e, *oldest, val;

    oldest = NULL;

    for (i = 0; i < 2; i++) {

        e = &table->entries[b[i] * NGX_EB_TABLE_WAYS];

        for (k = 0; k < NGX_EB_TABLE_WAYS; k++, e++) {

            val = *e;

            if (!ngx_eb_table_valid(table, e - table->entries, &val)) {
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

    if (moved) {

        if (!force
            && ngx_eb_table_state(moved->mark) == NGX_EB_TABLE_DELIVERED
            && (oldest == NULL || moved->time <= oldest->time))
        {
            oldest = moved;
        }

        if (oldest == NULL || oldest == moved) {
            return oldest;
        }

    } else if (oldest == NULL || table->full_reject) {
        (void) __atomic_fetch_add(&table->counters->full, 1,
                                  __ATOMIC_RELAXED);
        return NULL;
    }

    ngx_eb_table_evicted(table, oldest);

    return oldest;
}


void
ngx_eb_table_evicted(ngx_eb_table_t *table, ngx_eb_table_entry_t *e)
{
    (void) __atomic_fetch_add(&table->counters->evictions, 1,
                              __ATOMIC_RELAXED);

    __atomic_store_n(&table->counters->evict_age,
                     (table->now > (time_t) e->time)
                     ? (uint64_t) (table->now - (time_t) e->time) : 0,
                     __ATOMIC_RELAXED);

    __atomic_store_n(&table->counters->evict_time, (uint64_t) table->now,
                     __ATOMIC_RELAXED);
}


static void
ngx_eb_table_insert(ngx_eb_table_t *table, ngx_eb_store_key_t *key,
    uint64_t done, uint32_t mark, ngx_eb_table_entry_t *e)
{
    ngx_eb_table_entry_t  val;

    key->slot = e - table->entries;

    val.fp_hi = key->hi;
    val.fp_lo = (uint32_t) key->lo;
    val.check = 0;
    val.done = done;
    val.time = (uint32_t) table->now;
    val.mark = mark;

    ngx_eb_table_put(table, e, &val);
    ngx_eb_table_set_tag(table, key->slot, ngx_eb_table_tag(key->lo));
}
