
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The table of marks: fixed-size entries in two-choice buckets, and a byte for
 * each of them, its tag, by which it is found.  It knows neither files nor
 * locks: whoever calls holds the lock of the key's region.
 */


#ifndef _NGX_EB_TABLE_H_INCLUDED_
#define _NGX_EB_TABLE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_store.h"


#define NGX_EB_TABLE_SECRET     192     /* bytes */

#define NGX_EB_TABLE_WAYS       16      /* entries in a bucket */
#define NGX_EB_TABLE_BUCKET     512     /* bytes of a bucket: one sector */
#define NGX_EB_TABLE_TAGS       16      /* bytes: the tags of a bucket */
#define NGX_EB_TABLE_REGIONS    256     /* at most */

/* a mark further in the future than that is stamped anew, seconds */
#define NGX_EB_TABLE_SKEW       300

/* entry->mark: what it is, and whose claim it is */

#define NGX_EB_TABLE_EMPTY      0
#define NGX_EB_TABLE_CLAIMED    1
#define NGX_EB_TABLE_PARTIAL    2       /* some bits, not all that were
                                           wanted: is never evicted */
#define NGX_EB_TABLE_DELIVERED  3

#define NGX_EB_TABLE_OWNERS     1024    /* 10 bits */
#define NGX_EB_TABLE_TOKENS     0x100000u   /* 20 bits */

#define ngx_eb_table_state(mark)  ((mark) & 3)
#define ngx_eb_table_owner(mark)  (((mark) >> 2) & (NGX_EB_TABLE_OWNERS - 1))
#define ngx_eb_table_token(mark)  ((mark) >> 12)

/* the mark of a claim */
#define ngx_eb_table_mark(owner, token)                                       \
    ((uint32_t) (NGX_EB_TABLE_CLAIMED | ((uint32_t) (owner) << 2)             \
                 | ((uint32_t) (token) << 12)))


/*
 * As on the disk.  check is a keyed hash of the rest and of the bucket's
 * number.  An entry is written without any order: whatever part of it is
 * missing after a kill or a power cut, its check fails, and an entry whose
 * check fails is an empty one.
 */

typedef struct {
    uint64_t                   fp_hi;
    uint32_t                   fp_lo;
    uint32_t                   check;
    uint64_t                   done;
    uint32_t                   time;    /* wall second when it was inserted,
                                           is not refreshed */
    uint32_t                   mark;
} ngx_eb_table_entry_t;


/* shared by all processes, updated atomically */

typedef struct {
    uint64_t                   evictions;
    uint64_t                   full;
    uint64_t                   clock_fixes;
    uint64_t                   evict_age;   /* of the mark evicted last */
    uint64_t                   evict_time;  /* when that was */
} ngx_eb_table_counters_t;


/* does this delivery still run? */
typedef ngx_uint_t (*ngx_eb_table_live_pt)(void *data, ngx_uint_t owner,
    uint32_t token);


typedef struct {
    ngx_eb_table_entry_t      *entries;
    u_char                    *tags;        /* one for each entry */
    uint32_t                   regions;     /* a power of two */
    uint32_t                   width;       /* buckets of a region */
    uint64_t                   seed;        /* of the checks */
    u_char                    *secret;      /* of the fingerprints */
    time_t                     window;
    time_t                     now;         /* to be set before each use */
    ngx_eb_table_counters_t   *counters;
    ngx_eb_table_live_pt       live;
    void                      *data;        /* of live() */
    unsigned                   full_reject:1;
} ngx_eb_table_t;


typedef struct {
    uint64_t                   slots;       /* looked at */
    uint64_t                   used;        /* valid, and not expired */
    uint64_t                   claimed;     /* by a live delivery */
    time_t                     oldest;      /* age */
} ngx_eb_table_sample_t;


/* splits buckets into regions; false: too few buckets */
ngx_uint_t ngx_eb_table_geometry(uint64_t buckets, uint32_t *regions,
    uint32_t *width);

void ngx_eb_table_hash(u_char *secret, u_char *data, size_t len,
    ngx_eb_store_key_t *key);

/* the region, and so the lock, of a key: both of its buckets are in it */
#define ngx_eb_table_region(table, key)                                       \
    (((uint32_t) (key)->lo >> 24) & ((table)->regions - 1))

/*
 * Hints to the processor, without a lock: the tags before a claim, then, when
 * they are there, the entry that the claim will want; and the slot before a
 * commit.
 */
void ngx_eb_table_prefetch(ngx_eb_table_t *table, ngx_eb_store_key_t *key);
void ngx_eb_table_prefetch_entry(ngx_eb_table_t *table,
    ngx_eb_store_key_t *key);
void ngx_eb_table_prefetch_slot(ngx_eb_table_t *table,
    ngx_eb_store_key_t *key);

/*
 * One key, with its region locked; mark is that of the claim.  Both are as in
 * ngx_eb_store.h, and set key->status.
 */
void ngx_eb_table_claim(ngx_eb_table_t *table, uint32_t mark,
    ngx_eb_store_key_t *key);
void ngx_eb_table_commit(ngx_eb_table_t *table, uint32_t mark,
    ngx_eb_store_key_t *key);

/* what a claim would find; changes nothing but key->done and key->status */
void ngx_eb_table_lookup(ngx_eb_table_t *table, ngx_eb_store_key_t *key);

/* the entry of a key, if there is one */
ngx_uint_t ngx_eb_table_peek(ngx_eb_table_t *table, ngx_eb_store_key_t *key,
    ngx_eb_table_entry_t *val);

/* of such an entry: has it expired, and does a running delivery claim it? */
ngx_uint_t ngx_eb_table_old(ngx_eb_table_t *table, ngx_eb_table_entry_t *val);
ngx_uint_t ngx_eb_table_held(ngx_eb_table_t *table,
    ngx_eb_table_entry_t *val);

/*
 * Puts in an entry of another table that this one does not have.  Where there
 * is no room the oldest delivered one goes, be it this one itself, unless it
 * is forced.  NGX_OK; NGX_DECLINED: it is the oldest and was left out, which
 * is not counted; NGX_BUSY: there is nothing that may go.
 */
ngx_int_t ngx_eb_table_adopt(ngx_eb_table_t *table, ngx_eb_table_entry_t *val,
    ngx_uint_t force);

/* counts it */
void ngx_eb_table_evicted(ngx_eb_table_t *table, ngx_eb_table_entry_t *e);

/* takes these bits from all marks of a region, which is locked */
void ngx_eb_table_strip(ngx_eb_table_t *table, uint32_t region,
    uint64_t bits);

/* looks at n buckets, evenly spread, without any lock */
void ngx_eb_table_sample(ngx_eb_table_t *table, ngx_uint_t n,
    ngx_eb_table_sample_t *sample);


#endif /* _NGX_EB_TABLE_H_INCLUDED_ */
