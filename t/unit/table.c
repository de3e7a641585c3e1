
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The table of marks: each rule of claim and commit, a long random run beside
 * a simple model, how far it fills, torn writes, and kills inside of a claim.
 */

/* sources: src/checkpoint/ngx_eb_table.c */
/* libs: -lpthread */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_table.h"


#define NOW      1800000000
#define WINDOW   93600

#define NKEYS    4000
#define NTOKENS  40
#define NIMAGES  24
#define NTORN    48


typedef struct {
    unsigned   present:1;
    unsigned   claimed:1;
    uint64_t   done;
    time_t     time;
    uint32_t   mark;
} model_t;


static void make(ngx_uint_t buckets);
static void name(ngx_eb_store_key_t *key, uint64_t n);
static ngx_uint_t claim(uint64_t n, uint64_t want, uint32_t mark);
static void commit(uint64_t n, uint64_t want, uint64_t done, uint32_t mark,
    ngx_uint_t final);
static ngx_uint_t live(void *data, ngx_uint_t owner, uint32_t token);
static uint64_t rnd(void);
static void geometry(void);
static void rules(void);
static void owners(void);
static void lookups(void);
static ngx_uint_t lookup(uint64_t n, uint64_t want);
static void expiry(void);
static void future(void);
static void corrupt(void);
static void hints(void);
static void strip(void);
static void crowd(ngx_uint_t n);
static void full(void);
static void fill(void);
static void random_run(void);
static void model_claim(model_t *m, ngx_eb_store_key_t *key, uint32_t mark);
static void model_commit(model_t *m, ngx_eb_store_key_t *key, uint32_t mark);
static ngx_uint_t model_gone(model_t *m);
static void tags(void);
static ngx_uint_t untagged(void);
static void windows(void);
static void work(uint64_t *allowed);
static ngx_uint_t wrong(uint64_t *allowed, ngx_uint_t *seen);
static void torn(size_t unit);
static void killed(void);


static u_char                   secret[NGX_EB_TABLE_SECRET];
static u_char                   dead[NGX_EB_TABLE_OWNERS];
static uint64_t                 seed = 0x243f6a8885a308d3ull;
static size_t                   bytes;         /* of the entries */
static size_t                   whole;         /* and the tags */
static u_char                  *image;         /* tags, then entries */
static ngx_eb_table_t           table;
static ngx_eb_store_key_t       k;
static ngx_eb_table_counters_t  counters;


static void
make(ngx_uint_t buckets)
{
    size_t  len;

    free(image);

    ngx_memzero(&table, sizeof(ngx_eb_table_t));
    ngx_memzero(&counters, sizeof(ngx_eb_table_counters_t));
    ngx_memzero(dead, sizeof(dead));

    if (!ngx_eb_table_geometry(buckets, &table.regions, &table.width)) {
        exit(1);
    }

    bytes = (size_t) table.regions * table.width * NGX_EB_TABLE_BUCKET;

    /* the tags end with a sector, as they end with a page in a file */

    len = (size_t) table.regions * table.width * NGX_EB_TABLE_TAGS;
    len = (len + 511) & ~(size_t) 511;
    whole = len + bytes;

    image = aligned_alloc(512, whole);
    if (image == NULL) {
        exit(1);
    }

    ngx_memzero(image, whole);

    table.tags = image;
    table.entries = (ngx_eb_table_entry_t *) (image + len);
    table.seed = 42;
    table.secret = secret;
    table.window = WINDOW;
    table.now = NOW;
    table.counters = &counters;
    table.live = live;
}


static void
name(ngx_eb_store_key_t *key, uint64_t n)
{
    ngx_memzero(key, sizeof(ngx_eb_store_key_t));
    ngx_eb_table_hash(secret, (u_char *) &n, sizeof(uint64_t), key);
}


static ngx_uint_t
claim(uint64_t n, uint64_t want, uint32_t mark)
{
    name(&k, n);

    k.want = want;
    k.status = NGX_EB_KEY_NEW;

    ngx_eb_table_claim(&table, mark, &k);

    return k.status;
}


static void
commit(uint64_t n, uint64_t want, uint64_t done, uint32_t mark,
    ngx_uint_t final)
{
    name(&k, n);

    k.want = want;
    k.done = done;
    k.final = final;
    k.status = NGX_EB_KEY_CLAIMED;

    ngx_eb_table_commit(&table, mark, &k);
}


static ngx_uint_t
live(void *data, ngx_uint_t owner, uint32_t token)
{
    return !dead[owner];
}


static uint64_t
rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return seed;
}


static void
geometry(void)
{
    uint32_t  regions, width;

    ok(sizeof(ngx_eb_table_entry_t) == 32, "an entry has 32 bytes");
    ok(sizeof(ngx_eb_table_entry_t) * NGX_EB_TABLE_WAYS
       == NGX_EB_TABLE_BUCKET, "a bucket has 512");
    ok(NGX_EB_TABLE_TAGS == NGX_EB_TABLE_WAYS, "a tag for each");
    ok(offsetof(ngx_eb_table_entry_t, check) == 12
       && offsetof(ngx_eb_table_entry_t, done) == 16
       && offsetof(ngx_eb_table_entry_t, mark) == 28, "fields in place");

    ok(!ngx_eb_table_geometry(0, &regions, &width), "no buckets");
    ok(!ngx_eb_table_geometry(3, &regions, &width), "too few buckets");
    ok(ngx_eb_table_geometry(4, &regions, &width)
       && regions == 1 && width == 4, "the fewest buckets");
    ok(ngx_eb_table_geometry(131072, &regions, &width)
       && regions == 256 && width == 512, "64 MB");
    ok(ngx_eb_table_geometry(131071, &regions, &width)
       && (uint64_t) regions * width <= 131071, "never more than there are");
    ok(ngx_eb_table_geometry((uint64_t) 1 << 37, &regions, &width)
       && regions == 256, "huge");
    ok(!ngx_eb_table_geometry((uint64_t) 1 << 41, &regions, &width),
       "too many");

    ok(ngx_eb_table_owner(ngx_eb_table_mark(1023, 7)) == 1023
       && ngx_eb_table_token(ngx_eb_table_mark(1023, 0xfffff)) == 0xfffff
       && ngx_eb_table_state(ngx_eb_table_mark(1023, 0xfffff))
          == NGX_EB_TABLE_CLAIMED, "a mark keeps its parts");
}


static void
rules(void)
{
    uint32_t  a, b;

    make(128);

    a = ngx_eb_table_mark(1, 10);
    b = ngx_eb_table_mark(2, 10);

    ok(claim(1, 3, a) == NGX_EB_KEY_CLAIMED && k.done == 0, "new: claimed");
    ok(claim(1, 3, b) == NGX_EB_KEY_BUSY, "held by another: busy");
    ok(claim(1, 3, ngx_eb_table_mark(1, 11)) == NGX_EB_KEY_BUSY,
       "held by another delivery of the same owner: busy");
    ok(claim(1, 3, a) == NGX_EB_KEY_CLAIMED, "the same delivery: claimed");

    commit(1, 3, 1, a, 0);
    ok(k.status == NGX_EB_KEY_CLAIMED, "not final: the key stays claimed");
    ok(claim(1, 3, b) == NGX_EB_KEY_BUSY, "one bit: still busy");
    ok(claim(1, 1, b) == NGX_EB_KEY_DUPLICATE && k.done == 1,
       "only the bit that is there: duplicate while it is held");

    commit(1, 3, 2, a, 1);
    ok(k.status == NGX_EB_KEY_SKIP, "final: the key is skipped");
    ok(claim(1, 3, b) == NGX_EB_KEY_DUPLICATE && k.done == 3,
       "all bits: duplicate");

    ok(claim(1, 7, b) == NGX_EB_KEY_CLAIMED && k.done == 3,
       "a route was added: claimed, with the bits that are there");
    commit(1, 7, 0, b, 1);
    ok(claim(1, 7, a) == NGX_EB_KEY_CLAIMED && k.done == 3,
       "released: the bits stay");
    commit(1, 7, 4, a, 1);
    ok(claim(1, 7, a) == NGX_EB_KEY_DUPLICATE, "and then duplicate");

    ok(claim(2, 1, a) == NGX_EB_KEY_CLAIMED, "another key");
    commit(2, 1, 0, a, 1);
    ok(table.tags[k.slot] == 0 && claim(2, 1, b) == NGX_EB_KEY_CLAIMED,
       "released without a bit: no mark");
    commit(2, 1, 0, b, 1);

    ok(claim(3, 0, a) == NGX_EB_KEY_DUPLICATE && k.done == 0,
       "nothing wanted: nothing missing");
    ok(claim(3, 1, b) == NGX_EB_KEY_CLAIMED, "and no mark was left");
    commit(3, 1, 0, b, 1);

    commit(4, 1, 0, a, 1);
    ok(claim(4, 1, b) == NGX_EB_KEY_CLAIMED && k.done == 0,
       "a release of what is not there does nothing");

    ok(claim(5, 1ull << 63, a) == NGX_EB_KEY_CLAIMED, "bit 63");
    commit(5, 1ull << 63, 1ull << 63, a, 1);
    ok(claim(5, 1ull << 63, a) == NGX_EB_KEY_DUPLICATE
       && k.done == 1ull << 63, "bit 63 is there");
}


static void
owners(void)
{
    uint32_t  a, b;

    make(128);

    a = ngx_eb_table_mark(1, 10);
    b = ngx_eb_table_mark(2, 20);

    (void) claim(1, 3, a);
    commit(1, 3, 1, a, 0);
    dead[1] = 1;

    ok(claim(1, 1, b) == NGX_EB_KEY_DUPLICATE, "dead owner, all there");
    ok(claim(1, 3, b) == NGX_EB_KEY_CLAIMED && k.done == 1,
       "dead owner: taken over with its bits");

    dead[1] = 0;

    commit(1, 3, 0, a, 1);
    ok(claim(1, 3, a) == NGX_EB_KEY_BUSY,
       "a release by the former owner does nothing");
    commit(1, 3, 2, a, 1);
    ok(k.status == NGX_EB_KEY_SKIP, "but its key is settled");
    ok(claim(1, 3, a) == NGX_EB_KEY_DUPLICATE && k.done == 3,
       "a commit by the former owner sets the bit");
    ok(claim(1, 7, a) == NGX_EB_KEY_BUSY, "and the claim of the new one "
       "is not given up");
    commit(1, 7, 0, b, 1);
    ok(claim(1, 7, a) == NGX_EB_KEY_CLAIMED, "until that is released");
    commit(1, 7, 0, a, 1);

    /* lost, taken over, and given up before the commit comes */

    (void) claim(2, 3, a);
    dead[1] = 1;
    (void) claim(2, 3, b);
    commit(2, 3, 1, b, 1);
    dead[1] = 0;
    commit(2, 3, 2, a, 1);
    ok(claim(2, 3, b) == NGX_EB_KEY_DUPLICATE
       && ngx_eb_table_state(table.entries[k.slot].mark)
          == NGX_EB_TABLE_DELIVERED, "late bit makes it delivered");

    /* vanished */

    ngx_memzero(image, whole);
    commit(3, 3, 1, a, 1);
    ok(claim(3, 1, b) == NGX_EB_KEY_DUPLICATE, "vanished: commit inserts");
    ok(claim(3, 3, b) == NGX_EB_KEY_CLAIMED && k.done == 1, "only that bit");

    commit(4, 3, 1, a, 0);
    ok(claim(4, 3, b) == NGX_EB_KEY_BUSY,
       "vanished, and not final: the claim is back");
}


static void
lookups(void)
{
    uint32_t  a, b;

    make(128);

    a = ngx_eb_table_mark(1, 10);
    b = ngx_eb_table_mark(2, 20);

    ok(lookup(1, 3) == NGX_EB_KEY_NEW && k.done == 0, "lookup: nothing");

    (void) claim(1, 3, a);
    ok(lookup(1, 3) == NGX_EB_KEY_BUSY && k.done == 0, "lookup: claimed");

    commit(1, 3, 1, a, 0);
    ok(lookup(1, 3) == NGX_EB_KEY_BUSY && k.done == 1, "lookup: a bit of it");
    ok(lookup(1, 1) == NGX_EB_KEY_DUPLICATE, "lookup: all that is wanted");

    dead[1] = 1;
    ok(lookup(1, 3) == NGX_EB_KEY_NEW && k.done == 1,
       "lookup: by a dead owner");
    dead[1] = 0;
    ok(lookup(1, 3) == NGX_EB_KEY_BUSY, "lookup: it has changed nothing");
    ok(claim(1, 3, b) == NGX_EB_KEY_BUSY, "nor has a claim got through");

    commit(1, 3, 0, a, 1);
    ok(lookup(1, 3) == NGX_EB_KEY_NEW && k.done == 1, "lookup: partly");

    (void) claim(1, 3, b);
    commit(1, 3, 2, b, 1);
    ok(lookup(1, 3) == NGX_EB_KEY_DUPLICATE && k.done == 3,
       "lookup: delivered");
    ok(lookup(1, 7) == NGX_EB_KEY_NEW && k.done == 3, "lookup: not to all");
    ok(lookup(1, 0) == NGX_EB_KEY_DUPLICATE && k.done == 0,
       "lookup: nothing is wanted");

    table.now = NOW + WINDOW + 1;
    ok(lookup(1, 3) == NGX_EB_KEY_NEW && k.done == 0, "lookup: expired");

    (void) claim(2, 1, a);
    table.now += WINDOW + 1;
    ok(lookup(2, 1) == NGX_EB_KEY_BUSY, "lookup: a long delivery");

    /* from the future */

    table.now = NOW - 1000;
    ok(lookup(1, 3) == NGX_EB_KEY_DUPLICATE && counters.clock_fixes == 0,
       "lookup: the clock was set back");
}


/* and see that it leaves everything as it was */

static ngx_uint_t
lookup(uint64_t n, uint64_t want)
{
    u_char  *before;

    before = malloc(whole);
    if (before == NULL) {
        exit(1);
    }

    memcpy(before, image, whole);

    name(&k, n);

    k.want = want;
    k.status = NGX_EB_KEY_NEW;

    ngx_eb_table_lookup(&table, &k);

    if (memcmp(before, image, whole) != 0) {
        ok(0, "lookup: changed the table");
    }

    free(before);

    return k.status;
}


static void
expiry(void)
{
    uint32_t  a, b;

    make(128);

    a = ngx_eb_table_mark(1, 10);
    b = ngx_eb_table_mark(2, 20);

    (void) claim(1, 1, a);
    table.now += WINDOW - 1;
    commit(1, 1, 1, a, 1);
    ok(claim(1, 1, a) == NGX_EB_KEY_DUPLICATE, "a commit");
    table.now = NOW + WINDOW;
    ok(claim(1, 1, a) == NGX_EB_KEY_DUPLICATE, "at the end of the window");
    table.now++;
    ok(claim(1, 1, a) == NGX_EB_KEY_CLAIMED && k.done == 0,
       "a commit does not prolong it: gone after the window");
    ok(table.entries[k.slot].time == table.now, "and counts anew");
    commit(1, 1, 1, a, 1);

    table.now = NOW;
    (void) claim(2, 3, a);
    commit(2, 3, 1, a, 0);
    table.now = NOW + WINDOW + 1;
    ok(claim(2, 1, b) == NGX_EB_KEY_BUSY,
       "expired and held: busy, its bits do not count");
    dead[1] = 1;
    ok(claim(2, 1, b) == NGX_EB_KEY_CLAIMED && k.done == 0,
       "expired and its owner dead: as no mark");
    dead[1] = 0;

    table.now = NOW;
    (void) claim(3, 3, a);
    commit(3, 3, 1, a, 1);
    table.now = NOW + WINDOW + 1;
    commit(3, 3, 2, b, 1);
    ok(claim(3, 3, a) == NGX_EB_KEY_CLAIMED && k.done == 2,
       "a late commit does not revive expired bits");

    table.now = NOW;
    (void) claim(4, 3, a);
    commit(4, 3, 1, a, 1);
    table.now = NOW + WINDOW + 1;
    commit(4, 3, 0, b, 1);
    table.now = NOW;
    ok(claim(4, 1, a) == NGX_EB_KEY_DUPLICATE,
       "a late release leaves it alone");
}


static void
future(void)
{
    uint32_t  a;

    make(128);

    a = ngx_eb_table_mark(1, 10);

    table.now = NOW + NGX_EB_TABLE_SKEW;
    (void) claim(1, 1, a);
    commit(1, 1, 1, a, 1);
    table.now = NOW;
    ok(claim(1, 1, a) == NGX_EB_KEY_DUPLICATE
       && table.entries[k.slot].time == NOW + NGX_EB_TABLE_SKEW
       && counters.clock_fixes == 0, "300 s ahead: left");

    table.now = NOW + 10 * WINDOW;
    (void) claim(2, 1, a);
    commit(2, 1, 1, a, 1);
    table.now = NOW;
    ok(claim(2, 1, a) == NGX_EB_KEY_DUPLICATE
       && table.entries[k.slot].time == NOW, "more: stamped anew");
    ok(counters.clock_fixes == 1, "and counted");
    ok(claim(2, 1, a) == NGX_EB_KEY_DUPLICATE && counters.clock_fixes == 1,
       "once");

    table.now = NOW + 10 * WINDOW;
    (void) claim(3, 3, a);
    table.now = NOW;
    commit(3, 3, 1, a, 1);
    ok(claim(3, 1, a) == NGX_EB_KEY_DUPLICATE
       && table.entries[k.slot].time == NOW && counters.clock_fixes == 2,
       "by a commit, too");
}


static void
corrupt(void)
{
    u_char      *p;
    uint32_t     a;
    uint64_t     slot;
    ngx_uint_t   i, bad;

    make(128);

    a = ngx_eb_table_mark(1, 10);
    bad = 0;

    for (i = 0; i < 256; i++) {

        (void) claim(i, 1, a);
        slot = k.slot;
        commit(i, 1, 1, a, 1);

        p = (u_char *) &table.entries[slot];
        p[i / 8] ^= 1 << (i % 8);

        if (claim(i, ~0ull, a) != NGX_EB_KEY_CLAIMED || k.done != 0) {
            bad++;
        }

        commit(i, 1, 0, a, 1);
    }

    ok(bad == 0, "an entry with a flipped bit is empty");

    /* a bucket in the place of another one */

    make(128);
    (void) claim(1, 1, a);
    slot = k.slot;
    commit(1, 1, 1, a, 1);
    i = (slot / NGX_EB_TABLE_WAYS == 0) ? 1 : 0;
    ngx_memcpy(&table.entries[i * NGX_EB_TABLE_WAYS],
               &table.entries[slot / NGX_EB_TABLE_WAYS * NGX_EB_TABLE_WAYS],
               NGX_EB_TABLE_BUCKET);
    ngx_memzero(&table.entries[slot], sizeof(ngx_eb_table_entry_t));

    bad = 0;

    for (i = 2; i < 8000; i++) {
        if (claim(i, 1, a) != NGX_EB_KEY_CLAIMED) {
            bad++;
        }

        commit(i, 1, 0, a, 1);
    }

    ok(claim(1, 1, a) == NGX_EB_KEY_CLAIMED && bad == 0,
       "a bucket in a wrong place is empty");
}


static void
hints(void)
{
    uint32_t    a;
    ngx_uint_t  i, bad;

    make(1024);

    a = ngx_eb_table_mark(1, 10);
    bad = 0;

    /* whatever the hint says, the bit gets to the key */

    for (i = 0; i < 4000; i++) {

        name(&k, i);
        ngx_eb_table_prefetch(&table, &k);
        ngx_eb_table_prefetch_entry(&table, &k);

        (void) claim(i, 1, a);

        switch (i % 4) {

        case 0:
            k.slot = rnd();
            break;

        case 1:
            k.slot = rnd() % (bytes / sizeof(ngx_eb_table_entry_t));
            break;

        case 2:
            k.slot = ~0ull;
            break;

        default:
            break;
        }

        k.done = 1;
        k.final = 1;

        ngx_eb_table_prefetch_slot(&table, &k);
        ngx_eb_table_commit(&table, a, &k);

        if (claim(i, 1, a) != NGX_EB_KEY_DUPLICATE) {
            bad++;
        }
    }

    ok(bad == 0, "wrong hints are harmless");
}


static void
strip(void)
{
    uint32_t    a;
    ngx_uint_t  i, bad;

    make(1024);

    a = ngx_eb_table_mark(1, 10);

    for (i = 0; i < 1000; i++) {
        (void) claim(i, 3, a);
        commit(i, 3, (i % 3) + 1, a, i % 5 != 0);
    }

    for (i = 0; i < table.regions; i++) {
        ngx_eb_table_strip(&table, (uint32_t) i, 2);
    }

    bad = 0;

    for (i = 0; i < 1000; i++) {

        (void) claim(i, 4, a);

        if (k.done != (((i % 3) + 1) & 1)) {
            bad++;
        }
    }

    ok(bad == 0, "a bit is taken from all marks, others stay");
}


/* claims n keys of the only two buckets that some keys have */

static void
crowd(ngx_uint_t n)
{
    uint32_t    a;
    ngx_uint_t  i;

    a = ngx_eb_table_mark(1, 1);

    for (i = 0; i < n; i++) {
        table.now = NOW + i;
        (void) claim(i, 1, a);
        commit(i, 1, 1, a, 1);
    }
}


static void
full(void)
{
    uint32_t               a;
    ngx_uint_t             i, n;
    ngx_eb_table_sample_t  s;

    a = ngx_eb_table_mark(1, 1);

    make(4);
    crowd(1000);
    table.now = NOW + 1000;

    ok(counters.evictions > 800 && counters.full == 0, "evicts");
    ok(claim(999, 1, a) == NGX_EB_KEY_DUPLICATE, "the newest is there");
    ok(counters.evict_age > 0 && counters.evict_age < 200
       && counters.evict_time >= NOW + 990, "age of what was evicted: %d",
       (int) counters.evict_age);

    n = 0;

    for (i = 0; i < 900; i++) {
        table.full_reject = 1;
        if (claim(i, 1, a) == NGX_EB_KEY_FULL) {
            n++;
        }

        commit(i, 1, 0, a, 1);
    }

    ok(n > 800 && counters.full == n, "full=reject: no room");
    ok(claim(999, 1, a) == NGX_EB_KEY_DUPLICATE, "and nothing was lost");
    table.full_reject = 0;

    /* all expired: all free */

    table.now = NOW + 10 * WINDOW;
    n = counters.evictions;

    for (i = 2000; i < 2020; i++) {
        (void) claim(i, 1, a);
    }

    ok(counters.evictions == n, "expired marks make room first");

    /* live claims and partial marks stay */

    make(4);

    for (i = 0; i < 1000; i++) {
        (void) claim(i, 3, a);
        if (i % 2) {
            commit(i, 3, 1, a, 1);
        }
    }

    ngx_eb_table_sample(&table, 4096, &s);

    ok(counters.evictions == 0 && counters.full > 800,
       "rule 8: claimed and partial marks are not evicted");
    ok(s.slots == 64 && s.used > 50 && s.claimed > 10, "%d used, %d claimed",
       (int) s.used, (int) s.claimed);

    commit(5000, 1, 1, a, 1);
    commit(5001, 1, 0, a, 1);
    ok(k.status == NGX_EB_KEY_SKIP, "a commit without room is harmless");

    dead[1] = 1;
    n = 0;

    for (i = 1000; i < 1016; i++) {
        if (claim(i, 1, ngx_eb_table_mark(2, 1)) == NGX_EB_KEY_CLAIMED) {
            n++;
        }
    }

    ok(n > 8, "claims of the dead make room");

    /* invalid entries make room */

    make(4);

    for (i = 0; i < 1000; i++) {
        (void) claim(i, 3, a);
    }

    ((u_char *) table.entries)[12] ^= 1;
    ((u_char *) table.entries)[512 + 12] ^= 1;
    ((u_char *) table.entries)[1024 + 12] ^= 1;
    ((u_char *) table.entries)[1536 + 12] ^= 1;

    n = 0;

    for (i = 1000; i < 1100; i++) {
        if (claim(i, 3, a) == NGX_EB_KEY_CLAIMED) {
            n++;
        }
    }

    ok(n == 4, "invalid entries make room");

    /* future marks in full buckets */

    make(4);
    crowd(1000);
    table.now = NOW - WINDOW;
    ok(claim(7777, 1, a) == NGX_EB_KEY_CLAIMED && counters.clock_fixes >= 32,
       "rule 9: future marks in full buckets are stamped anew");
    ok(counters.evict_age == 0, "and are young");
}


static void
fill(void)
{
    uint32_t               a;
    uint64_t               i, n, slots;
    ngx_uint_t             missing;
    ngx_eb_table_sample_t  s;

    make(8192);

    a = ngx_eb_table_mark(1, 1);
    slots = bytes / sizeof(ngx_eb_table_entry_t);

    for (n = 0, i = 1; i <= 9; i++) {

        for ( /* void */ ; n < slots * i / 10; n++) {
            (void) claim(n, 1, a);
            commit(n, 1, 1, a, 1);
        }

        printf("# %d%% full: %d evictions of %d\n", (int) i * 10,
               (int) counters.evictions, (int) n);

        if (i == 7) {
            ok(counters.evictions == 0, "nothing is evicted up to 70%%");
        }
    }

    ok(counters.evictions * 1000 < slots, "rule 23: less than 0.1%% at 90%%");

    missing = 0;

    for (i = 0; i < n; i++) {
        if (claim(i, 1, a) != NGX_EB_KEY_DUPLICATE) {
            missing++;
            commit(i, 1, 0, a, 1);
        }
    }

    ok(missing <= 2 * counters.evictions, "all others are there");

    ngx_eb_table_sample(&table, 512, &s);
    ok(s.slots == 512 * 16 && s.used * 100 / s.slots >= 86
       && s.used * 100 / s.slots <= 94, "a sample tells: %d%%",
       (int) (s.used * 100 / s.slots));
}


/*
 * Two million operations of a handful of owners, some of which die, on a
 * table with room for all, while the clock runs.
 */

static void
random_run(void)
{
    int                  op;
    model_t             *models, *m;
    uint32_t             mark, tokens[NTOKENS];
    ngx_uint_t           g, i, n, bad, next;
    ngx_eb_store_key_t   want;

    make(2048);

    models = calloc(NKEYS, sizeof(model_t));
    if (models == NULL) {
        exit(1);
    }

    for (i = 0; i < NTOKENS; i++) {
        tokens[i] = ngx_eb_table_mark(i % 7, i);
    }

    bad = 0;
    next = 7;

    for (i = 0; i < 2000000 && bad == 0; i++) {

        n = rnd() % NKEYS;
        m = &models[n];
        op = rnd() % 8;
        mark = tokens[rnd() % NTOKENS];

        if (i % 16 == 0) {
            table.now++;
        }

        if (i % 50000 == 49999) {
            table.now += WINDOW / 3;
        }

        if (i % 2000 == 1999 && next < NGX_EB_TABLE_OWNERS) {

            /* an owner dies, and another one comes with another number */

            g = rnd() % 7;
            dead[ngx_eb_table_owner(tokens[g])] = 1;

            for ( /* void */ ; g < NTOKENS; g += 7) {
                tokens[g] = ngx_eb_table_mark(next, g);
            }

            next++;
            continue;
        }

        if (m->present && m->claimed && op % 4 != 3) {

            /* mostly by who holds it, even if it is taken for dead */

            mark = m->mark;
        }

        name(&k, n);
        k.want = (rnd() & rnd() & 0xff) | 1;

        if (op < 4) {
            k.status = NGX_EB_KEY_NEW;
            want = k;
            ngx_eb_table_claim(&table, mark, &k);
            model_claim(m, &want, mark);

        } else {
            k.status = NGX_EB_KEY_CLAIMED;
            k.done = (op == 4) ? 0 : (rnd() & k.want);
            k.final = rnd() & 1;
            want = k;
            want.slot = rnd();
            ngx_eb_table_commit(&table, mark, &k);
            model_commit(m, &want, mark);
        }

        if (k.status != want.status
            || (op < 4 && k.done != want.done))
        {
            bad++;
            printf("# operation %d: key %d status %d done %d, "
                   "expected %d %d\n", (int) i, (int) n, (int) k.status,
                   (int) k.done, (int) want.status, (int) want.done);
        }
    }

    ok(bad == 0 && counters.evictions == 0 && counters.full == 0,
       "%d random operations as the model", (int) i);

    free(models);
}


/* what cannot be told from no mark */

static ngx_uint_t
model_gone(model_t *m)
{
    return !m->present
           || (table.now - m->time > WINDOW
               && !(m->claimed && !dead[ngx_eb_table_owner(m->mark)]));
}


static void
model_claim(model_t *m, ngx_eb_store_key_t *key, uint32_t mark)
{
    ngx_uint_t  all;

    /* the same delivery, and nobody else has had it since */

    if (m->present && m->claimed && m->mark == mark) {
        key->status = NGX_EB_KEY_CLAIMED;
        key->done = m->done;
        return;
    }

    if (model_gone(m)) {
        m->present = 1;
        m->claimed = 1;
        m->done = 0;
        m->time = table.now;
        m->mark = mark;
        key->status = NGX_EB_KEY_CLAIMED;
        key->done = 0;
        return;
    }

    key->done = m->done;
    all = ((m->done & key->want) == key->want);

    if (m->claimed && !dead[ngx_eb_table_owner(m->mark)]) {
        key->status = (all && table.now - m->time <= WINDOW)
                      ? NGX_EB_KEY_DUPLICATE : NGX_EB_KEY_BUSY;
        return;
    }

    if (all) {
        m->claimed = 0;
        key->status = NGX_EB_KEY_DUPLICATE;
        return;
    }

    m->claimed = 1;
    m->mark = mark;
    key->status = NGX_EB_KEY_CLAIMED;
}


static void
model_commit(model_t *m, ngx_eb_store_key_t *key, uint32_t mark)
{
    if (!(m->present && m->claimed && m->mark == mark) && model_gone(m)) {

        if (key->done) {
            m->present = 1;
            m->claimed = !key->final;
            m->mark = mark;
            m->done = key->done;
            m->time = table.now;
        }

    } else {
        m->done |= key->done;

        if (m->claimed && m->mark == mark && key->final) {
            m->claimed = 0;
            m->present = (m->done != 0);
        }
    }

    if (key->final) {
        key->status = NGX_EB_KEY_SKIP;
    }
}


/* what a kill between an entry and its tag, and a power cut, leave behind */

static void
tags(void)
{
    u_char                 was;
    uint32_t               a;
    uint64_t               slot;
    ngx_uint_t             i, n;
    ngx_eb_table_entry_t   e;
    ngx_eb_table_sample_t  s;

    a = ngx_eb_table_mark(1, 10);

    make(128);
    (void) claim(1, 1, a);
    slot = k.slot;
    commit(1, 1, 1, a, 1);
    was = table.tags[slot];
    e = table.entries[slot];
    n = 0;

    for (i = 0; i < 256; i++) {

        table.tags[slot] = (u_char) i;

        /* any but the right one makes it a new key */

        (void) claim(1, 1, a);
        n += (k.status == NGX_EB_KEY_DUPLICATE && k.slot == slot);

        if (k.slot != slot) {
            table.tags[k.slot] = 0;
        }

        table.entries[slot] = e;
    }

    ok(was != 0 && n == 1, "an entry is found by its own tag only");

    /* an entry, and the tag that the slot had before */

    make(128);
    (void) claim(1, 1, a);
    slot = k.slot;
    table.tags[slot] = 0;
    ok(claim(1, 1, ngx_eb_table_mark(2, 1)) == NGX_EB_KEY_CLAIMED
       && k.slot == slot, "killed before the tag: a free slot, no claim");
    commit(1, 1, 1, ngx_eb_table_mark(2, 1), 1);
    ok(claim(1, 1, a) == NGX_EB_KEY_DUPLICATE, "and in use again");

    (void) claim(2, 3, a);
    table.tags[k.slot] = 0;
    k.done = 1;
    k.final = 1;
    ngx_eb_table_commit(&table, a, &k);
    ok(claim(2, 1, a) == NGX_EB_KEY_DUPLICATE && k.done == 1,
       "a commit does not go to a slot without a tag");

    (void) claim(3, 3, a);
    slot = k.slot;
    commit(3, 3, 3, a, 1);
    was = table.tags[slot];
    table.tags[slot] = 0;

    ngx_eb_table_sample(&table, 4096, &s);
    ok(s.used == 2, "a sample does not count what is hidden");

    for (i = 0; i < table.regions; i++) {
        ngx_eb_table_strip(&table, (uint32_t) i, 2);
    }

    table.tags[slot] = was;
    (void) claim(3, 1, a);
    ok((k.done & 2) == 0, "a bit is taken from what is hidden, too");

    /* tags of entries that are not there any more, in full buckets */

    make(4);

    for (i = 0; i < 1000; i++) {
        (void) claim(i, 3, a);
    }

    for (i = 0; i < 4; i++) {
        slot = i * NGX_EB_TABLE_WAYS + rnd() % NGX_EB_TABLE_WAYS;
        table.tags[slot] = table.tags[slot] % 255 + 1;
    }

    n = 0;

    for (i = 1000; i < 1100; i++) {
        if (claim(i, 3, a) == NGX_EB_KEY_CLAIMED) {
            n++;
        }
    }

    ok(n == 4, "slots with a wrong tag make room");

    /* what has expired is freed for the next ones, too */

    make(4);
    crowd(1000);
    ok(untagged() == 0, "full");
    table.now = NOW + 2 * WINDOW;
    (void) claim(5000, 1, a);
    ok(untagged() == 2 * NGX_EB_TABLE_WAYS - 1,
       "one new key frees all that has expired in its buckets: %d",
       (int) untagged());
}


static ngx_uint_t
untagged(void)
{
    uint64_t    i;
    ngx_uint_t  n;

    n = 0;

    for (i = 0; i < bytes / sizeof(ngx_eb_table_entry_t); i++) {
        n += (table.tags[i] == 0);
    }

    return n;
}


/* windows after the first one: slots hold what has expired */

static void
windows(void)
{
    uint32_t    a;
    uint64_t    i, n, slots;
    ngx_uint_t  missing;

    make(2048);

    a = ngx_eb_table_mark(1, 1);
    slots = bytes / sizeof(ngx_eb_table_entry_t);
    n = slots * 7 / 10;

    table.window = 1000;

    for (i = 0; i < 6 * n; i++) {
        table.now = NOW + i * 1000 / n;
        (void) claim(i, 1, a);
        commit(i, 1, 1, a, 1);
    }

    ok(counters.evictions * 10000 < slots,
       "70%% in use, six windows: %d evictions", (int) counters.evictions);

    missing = 0;

    for (i = 5 * n + 1; i < 6 * n; i++) {
        if (claim(i, 1, a) != NGX_EB_KEY_DUPLICATE) {
            missing++;
        }
    }

    ok(missing <= counters.evictions, "a whole window is remembered");
}


/* some claims and commits of any keys */

static void
work(uint64_t *allowed)
{
    uint32_t    mark;
    uint64_t    bits;
    ngx_uint_t  key;

    mark = ngx_eb_table_mark(rnd() % 3, rnd() % 5);
    (void) claim(rnd() % NTORN, 0xff, mark);

    key = rnd() % NTORN;
    bits = (rnd() % 4) ? (rnd() & 0xff) : 0;

    allowed[key] |= bits;
    commit(key, 0xff, bits, mark, rnd() % 3 != 0);
}


/* keys with a bit that was not committed; leaves the table as it was */

static ngx_uint_t
wrong(uint64_t *allowed, ngx_uint_t *seen)
{
    u_char      *was;
    ngx_uint_t   i, n, bad;

    was = malloc(whole);
    if (was == NULL) {
        exit(1);
    }

    ngx_memcpy(was, image, whole);
    ngx_memset(dead, 1, sizeof(dead));

    bad = 0;

    for (n = 0; n < NTORN; n++) {

        /* there may be two of a key, one from each of two images */

        for (i = 0; i < 3; i++) {

            (void) claim(n, ~0ull, ngx_eb_table_mark(900, i));

            if (k.done & ~allowed[n]) {
                bad++;
            }

            if (k.done) {
                (*seen)++;
            }

            if (k.status != NGX_EB_KEY_FULL) {
                ngx_memzero(&table.entries[k.slot],
                            sizeof(ngx_eb_table_entry_t));
            }
        }

        ngx_memcpy(image, was, whole);
    }

    ngx_memzero(dead, sizeof(dead));
    free(was);

    return bad;
}


/*
 * A power cut: the disk has any mixture of units of successive images, of the
 * tags and of the entries.  No key may have a bit that was not committed for
 * it, neither at once nor after what is done next.
 */

static void
torn(size_t unit)
{
    size_t       off;
    u_char      *images;
    uint64_t     allowed[NTORN];
    ngx_uint_t   i, n, bad, seen, round;

    bad = 0;
    seen = 0;

    make(4);

    images = malloc(whole * NIMAGES);
    if (images == NULL) {
        exit(1);
    }

    for (round = 0; round < 3000; round++) {

        ngx_memzero(image, whole);
        ngx_memzero(allowed, sizeof(allowed));

        for (i = 0; i < NIMAGES; i++) {

            for (n = 0; n < 12; n++) {
                work(allowed);
            }

            ngx_memcpy(images + i * whole, image, whole);
        }

        for (off = 0; off < whole; off += unit) {
            ngx_memcpy(image + off,
                       images + (rnd() % NIMAGES) * whole + off, unit);
        }

        bad += wrong(allowed, &seen);

        for (n = 0; n < 40; n++) {
            work(allowed);
        }

        bad += wrong(allowed, &seen);
    }

    ok(bad == 0, "rule 10: torn by %d bytes: no bit that was not committed",
       (int) unit);
    ok(seen > 1000, "of %d marks with bits", (int) seen);

    free(images);
}


/*
 * Kills inside of an operation: words of the entries are stored up to some
 * point, and none of the tags; or all of the entries, and none of the tags.
 */

static void
killed(void)
{
    size_t      off, cut;
    u_char     *was;
    uint64_t    allowed[NTORN];
    ngx_uint_t  i, n, bad, seen, kills, round;

    bad = 0;
    seen = 0;
    kills = 0;

    make(4);

    was = malloc(whole);
    if (was == NULL) {
        exit(1);
    }

    for (round = 0; round < 500; round++) {

        ngx_memzero(allowed, sizeof(allowed));
        ngx_memzero(image, whole);

        table.now = NOW;

        for (i = 0; i < 200; i++) {

            ngx_memcpy(was, image, whole);
            work(allowed);

            if (i % 5) {
                continue;
            }

            off = (u_char *) table.entries - image;

            if (ngx_memcmp(was, image, off) != 0) {
                kills++;
                ngx_memcpy(image, was, off);
            }

            cut = off + rnd() % (bytes / 4) * 4;

            if (i % 2) {
                for (off = cut; off < whole; off += 4) {
                    ngx_memcpy(image + off, was + off, 4);
                }
            }
        }

        bad += wrong(allowed, &seen);

        /* whatever is left in the slots, all of them can be used again */

        ngx_memset(dead, 1, sizeof(dead));
        table.now = NOW + 2 * WINDOW;
        counters.evictions = 0;

        for (n = 0; n < 48; n++) {
            if (claim(1000 + n, 1, ngx_eb_table_mark(1023, 1))
                != NGX_EB_KEY_CLAIMED)
            {
                bad++;
            }
        }

        dead[1023] = 0;
        bad += counters.evictions;
        ngx_memzero(dead, sizeof(dead));
    }

    ok(bad == 0 && kills > 5000, "%d kills between an entry and its tag: "
       "no bit that was not committed, and no slot is lost", (int) kills);
    ok(seen > 1000, "of %d marks with bits", (int) seen);

    free(was);
}


int
main(void)
{
    ngx_uint_t  i;

    for (i = 0; i < sizeof(secret); i++) {
        secret[i] = (u_char) rnd();
    }

    geometry();
    rules();
    owners();
    lookups();
    expiry();
    future();
    corrupt();
    hints();
    strip();
    full();
    fill();
    random_run();
    tags();
    windows();
    torn(4);
    torn(8);
    torn(512);
    killed();

    free(image);

    return done_testing();
}
