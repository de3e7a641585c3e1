
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The table of interactions: a block of memory, its index, and who is
 * forgotten.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#define XXH_INLINE_ALL
#include <xxhash.h>
#include "ngx_eb_genesys_lifecycle_table.h"


/* those looked at to find one that can be forgotten for want of room */
#define NGX_EB_LIFECYCLE_TRIES  32


static size_t ngx_eb_lifecycle_buckets(ngx_uint_t interactions);
static uint32_t ngx_eb_lifecycle_room(ngx_eb_lifecycle_t *lc);
static uint32_t ngx_eb_lifecycle_oldest(ngx_eb_lifecycle_t *lc,
    ngx_eb_lifecycle_list_t *list);
static void ngx_eb_lifecycle_list_add(ngx_eb_lifecycle_t *lc,
    ngx_eb_lifecycle_list_t *list, uint32_t i);
static void ngx_eb_lifecycle_list_remove(ngx_eb_lifecycle_t *lc, uint32_t i);


/* an odd number of words would leave the tail of an entry to a single read */
typedef char  ngx_eb_lifecycle_entry_size_t
    [sizeof(ngx_eb_lifecycle_entry_t) == 240 ? 1 : -1];


size_t
ngx_eb_lifecycle_size(ngx_uint_t interactions, ngx_uint_t events)
{
    if (interactions == 0 || events == 0
        || interactions > NGX_EB_LIFECYCLE_MAX
        || events > NGX_EB_LIFECYCLE_MAX)
    {
        return 0;
    }

    return sizeof(ngx_eb_lifecycle_header_t)
           + ngx_eb_lifecycle_buckets(interactions) * sizeof(uint32_t)
           + interactions * sizeof(ngx_eb_lifecycle_entry_t)
           + events * sizeof(ngx_eb_lifecycle_held_t);
}


/* as many as interactions, up to twice; even, to keep the rest aligned */

static size_t
ngx_eb_lifecycle_buckets(ngx_uint_t interactions)
{
    size_t  n;

    for (n = 2; n < interactions; n *= 2) { /* void */ }

    return n;
}


void
ngx_eb_lifecycle_init(void *block, ngx_uint_t interactions, ngx_uint_t events,
    uint64_t seed)
{
    ngx_eb_lifecycle_header_t  *header;

    header = block;

    ngx_memzero(header, sizeof(ngx_eb_lifecycle_header_t));

    header->version = NGX_EB_LIFECYCLE_VERSION;
    header->nentries = (uint32_t) interactions;
    header->nheld = (uint32_t) events;
    header->nbuckets = (uint32_t) ngx_eb_lifecycle_buckets(interactions);
    header->epoch = 1;
    header->seed = seed;

    __atomic_store_n(&header->magic, NGX_EB_LIFECYCLE_MAGIC, __ATOMIC_RELEASE);
}


ngx_int_t
ngx_eb_lifecycle_attach(ngx_eb_lifecycle_t *lc, ngx_eb_lifecycle_conf_t *conf,
    void *block, size_t size)
{
    size_t                      need;
    ngx_eb_lifecycle_header_t  *header;

    header = block;

    if (size < sizeof(ngx_eb_lifecycle_header_t)
        || __atomic_load_n(&header->magic, __ATOMIC_ACQUIRE)
           != NGX_EB_LIFECYCLE_MAGIC
        || header->version != NGX_EB_LIFECYCLE_VERSION)
    {
        return NGX_DECLINED;
    }

    need = ngx_eb_lifecycle_size(header->nentries, header->nheld);

    if (need == 0 || need > size
        || header->nbuckets != ngx_eb_lifecycle_buckets(header->nentries))
    {
        return NGX_DECLINED;
    }

    lc->conf = conf;
    lc->header = header;
    lc->buckets = (uint32_t *) (header + 1);
    lc->entries = (ngx_eb_lifecycle_entry_t *)
                      (lc->buckets + header->nbuckets);
    lc->held = (ngx_eb_lifecycle_held_t *) (lc->entries + header->nentries);

    return NGX_OK;
}


void
ngx_eb_lifecycle_reset(ngx_eb_lifecycle_t *lc)
{
    ngx_eb_lifecycle_list_t     none;
    ngx_eb_lifecycle_header_t  *header;

    header = lc->header;

    if (header->epoch & 1) {
        /* whoever did this has died: readers must see another one */
        __atomic_store_n(&header->epoch, header->epoch + 2, __ATOMIC_RELAXED);

    } else {
        __atomic_store_n(&header->epoch, header->epoch + 1, __ATOMIC_RELAXED);
    }

    __atomic_thread_fence(__ATOMIC_RELEASE);

    /* a writer may have died in the middle of a change */

    header->links += header->links & 1;

    none.first = NGX_EB_LIFECYCLE_NIL;
    none.last = NGX_EB_LIFECYCLE_NIL;

    header->entries_used = 0;
    header->held_used = 0;
    header->entries_free = NGX_EB_LIFECYCLE_NIL;
    header->held_free = NGX_EB_LIFECYCLE_NIL;
    header->open = none;
    header->resting = none;
    header->ready = none;
    header->arrival = none;

    ngx_memzero(&header->counters.interactions,
                sizeof(ngx_eb_lifecycle_counters_t)
                - offsetof(ngx_eb_lifecycle_counters_t, interactions));

    /* NGX_EB_LIFECYCLE_NIL */
    ngx_memset(lc->buckets, 0xff, header->nbuckets * sizeof(uint32_t));
}


void
ngx_eb_lifecycle_open(ngx_eb_lifecycle_t *lc)
{
    ngx_eb_lifecycle_end(&lc->header->epoch);
}


uint32_t
ngx_eb_lifecycle_hash(ngx_eb_lifecycle_t *lc, u_char *id, size_t len)
{
    return (uint32_t) XXH3_64bits_withSeed(id, len, lc->header->seed);
}


uint32_t
ngx_eb_lifecycle_lookup(ngx_eb_lifecycle_t *lc, ngx_str_t *id)
{
    uint32_t                   i, hash;
    ngx_eb_lifecycle_entry_t  *e;

    hash = ngx_eb_lifecycle_hash(lc, id->data, id->len);
    i = lc->buckets[hash & (lc->header->nbuckets - 1)];

    while (i != NGX_EB_LIFECYCLE_NIL) {
        e = &lc->entries[i];

        if (e->hash == hash && e->len == id->len
            && ngx_memcmp(e->id, id->data, id->len) == 0)
        {
            break;
        }

        i = e->chain;
    }

    return i;
}


uint32_t
ngx_eb_lifecycle_create(ngx_eb_lifecycle_t *lc, ngx_str_t *id, int64_t now)
{
    uint32_t                   i, seq, *bucket;
    ngx_eb_lifecycle_entry_t  *e;

    i = ngx_eb_lifecycle_room(lc);

    if (i == NGX_EB_LIFECYCLE_NIL) {
        return i;
    }

    e = &lc->entries[i];

    ngx_eb_lifecycle_begin(&e->seq);

    seq = e->seq;
    ngx_memzero(e, sizeof(ngx_eb_lifecycle_entry_t));
    e->seq = seq;

    e->hash = ngx_eb_lifecycle_hash(lc, id->data, id->len);
    e->len = (uint8_t) id->len;
    ngx_memcpy(e->id, id->data, id->len);
    e->state = NGX_EB_LIFECYCLE_NONE;
    e->window = NGX_EB_LIFECYCLE_NIL;
    e->ready = NGX_EB_LIFECYCLE_NIL;
    e->touched = now;
    e->flags = NGX_EB_LIFECYCLE_USED|NGX_EB_LIFECYCLE_RESTING;

    bucket = &lc->buckets[e->hash & (lc->header->nbuckets - 1)];
    e->chain = *bucket;

    ngx_eb_lifecycle_end(&e->seq);

    ngx_eb_lifecycle_begin(&lc->header->links);
    __atomic_store_n(bucket, i, __ATOMIC_RELEASE);
    ngx_eb_lifecycle_end(&lc->header->links);

    ngx_eb_lifecycle_list_add(lc, &lc->header->resting, i);
    ngx_eb_lifecycle_gauge(&lc->header->counters.interactions, 1);

    return i;
}


/* a free entry, or that of an interaction that is forgotten for it */

static uint32_t
ngx_eb_lifecycle_room(ngx_eb_lifecycle_t *lc)
{
    uint32_t                    i;
    ngx_eb_lifecycle_header_t  *header;

    header = lc->header;
    i = header->entries_free;

    if (i != NGX_EB_LIFECYCLE_NIL) {
        header->entries_free = lc->entries[i].chain;
        return i;
    }

    i = header->entries_used;

    if (i < header->nentries) {

        /* it may be what a writer left that died in the middle of a change */

        lc->entries[i].seq += lc->entries[i].seq & 1;

        __atomic_store_n(&header->entries_used, i + 1, __ATOMIC_RELEASE);

        return i;
    }

    i = ngx_eb_lifecycle_oldest(lc, &header->resting);

    if (i != NGX_EB_LIFECYCLE_NIL) {
        ngx_eb_lifecycle_count(lc, &header->counters.evicted_early);

    } else {
        i = ngx_eb_lifecycle_oldest(lc, &header->open);

        if (i == NGX_EB_LIFECYCLE_NIL) {
            return i;
        }

        ngx_eb_lifecycle_count(lc, &header->counters.evicted_open);
    }

    ngx_eb_lifecycle_remove(lc, i);
    header->entries_free = lc->entries[i].chain;

    return i;
}


static uint32_t
ngx_eb_lifecycle_oldest(ngx_eb_lifecycle_t *lc, ngx_eb_lifecycle_list_t *list)
{
    uint32_t    i;
    ngx_uint_t  tries;

    for (tries = 0; tries < NGX_EB_LIFECYCLE_TRIES; tries++) {
        i = list->first;

        if (i == NGX_EB_LIFECYCLE_NIL) {
            return i;
        }

        if (ngx_eb_lifecycle_forgettable(&lc->entries[i])) {
            return i;
        }

        /* the next search begins with another one */

        ngx_eb_lifecycle_list_remove(lc, i);
        ngx_eb_lifecycle_list_add(lc, list, i);
    }

    return NGX_EB_LIFECYCLE_NIL;
}


ngx_uint_t
ngx_eb_lifecycle_forgettable(ngx_eb_lifecycle_entry_t *e)
{
    return e->nheld == 0 && e->unpublished == 0
           && (e->flags & NGX_EB_LIFECYCLE_READY) == 0;
}


void
ngx_eb_lifecycle_remove(ngx_eb_lifecycle_t *lc, uint32_t i)
{
    uint32_t                  *link;
    ngx_eb_lifecycle_entry_t  *e;

    e = &lc->entries[i];
    link = &lc->buckets[e->hash & (lc->header->nbuckets - 1)];

    while (*link != i) {
        link = &lc->entries[*link].chain;
    }

    ngx_eb_lifecycle_list_remove(lc, i);
    ngx_eb_lifecycle_stand(lc, e->state, -1);
    ngx_eb_lifecycle_gauge(&lc->header->counters.interactions, -1);

    ngx_eb_lifecycle_begin(&lc->header->links);
    ngx_eb_lifecycle_begin(&e->seq);

    __atomic_store_n(link, e->chain, __ATOMIC_RELAXED);
    e->flags = 0;
    e->chain = lc->header->entries_free;

    ngx_eb_lifecycle_end(&e->seq);
    ngx_eb_lifecycle_end(&lc->header->links);

    lc->header->entries_free = i;
}


void
ngx_eb_lifecycle_touch(ngx_eb_lifecycle_t *lc, uint32_t i, int64_t now)
{
    ngx_eb_lifecycle_list_t   *list;
    ngx_eb_lifecycle_entry_t  *e;

    e = &lc->entries[i];

    ngx_eb_lifecycle_list_remove(lc, i);

    e->touched = now;

    if (e->state == NGX_EB_LIFECYCLE_NONE
        || ngx_eb_lifecycle_final(lc->conf->states, e->state))
    {
        e->flags |= NGX_EB_LIFECYCLE_RESTING;
        list = &lc->header->resting;

    } else {
        e->flags &= ~NGX_EB_LIFECYCLE_RESTING;
        list = &lc->header->open;
    }

    ngx_eb_lifecycle_list_add(lc, list, i);
}


void
ngx_eb_lifecycle_accept(ngx_eb_lifecycle_t *lc, ngx_eb_lifecycle_entry_t *e,
    uint64_t step, ngx_uint_t stage)
{
    uint8_t  flags;

    if (e->nhistory == NGX_EB_LIFECYCLE_HISTORY) {
        ngx_memmove(&e->history[0], &e->history[1],
                    (NGX_EB_LIFECYCLE_HISTORY - 1) * sizeof(uint64_t));
        e->nhistory--;
    }

    e->history[e->nhistory++] = step;

    ngx_eb_lifecycle_stand(lc, e->state, -1);

    e->state = ngx_eb_lifecycle_step_state(step);
    e->stage = (uint8_t) stage;

    ngx_eb_lifecycle_stand(lc, e->state, 1);

    e->newest = ngx_max(e->newest, ngx_eb_lifecycle_step_time(step));

    flags = ngx_eb_lifecycle_step_flags(step);

    if (flags & NGX_EB_LIFECYCLE_F_GAP) {
        e->flags |= NGX_EB_LIFECYCLE_GAP;
    }

    if (flags & NGX_EB_LIFECYCLE_F_NOTIME) {
        e->flags |= NGX_EB_LIFECYCLE_NOTIME;
    }
}


void
ngx_eb_lifecycle_remember(ngx_eb_lifecycle_entry_t *e, uint64_t key)
{
    if (e->nflagged == NGX_EB_LIFECYCLE_FLAGGED) {
        ngx_memmove(&e->flagged[0], &e->flagged[1],
                    (NGX_EB_LIFECYCLE_FLAGGED - 1) * sizeof(uint64_t));
        e->nflagged--;
    }

    e->flagged[e->nflagged++] = key;
}


void
ngx_eb_lifecycle_stand(ngx_eb_lifecycle_t *lc, uint8_t state, int64_t by)
{
    ngx_eb_lifecycle_counters_t  *counters;

    if (state >= lc->conf->states->n) {
        return;
    }

    counters = &lc->header->counters;

    ngx_eb_lifecycle_gauge(&counters->standing[state], by);

    if (!ngx_eb_lifecycle_final(lc->conf->states, state)) {
        ngx_eb_lifecycle_gauge(&counters->open, by);
    }
}


static void
ngx_eb_lifecycle_list_add(ngx_eb_lifecycle_t *lc,
    ngx_eb_lifecycle_list_t *list, uint32_t i)
{
    lc->entries[i].prev = list->last;
    lc->entries[i].next = NGX_EB_LIFECYCLE_NIL;

    if (list->last == NGX_EB_LIFECYCLE_NIL) {
        list->first = i;

    } else {
        lc->entries[list->last].next = i;
    }

    list->last = i;
}


/* from the one that its flags tell */

static void
ngx_eb_lifecycle_list_remove(ngx_eb_lifecycle_t *lc, uint32_t i)
{
    ngx_eb_lifecycle_list_t   *list;
    ngx_eb_lifecycle_entry_t  *e;

    e = &lc->entries[i];

    list = (e->flags & NGX_EB_LIFECYCLE_RESTING) ? &lc->header->resting
                                                 : &lc->header->open;

    if (e->prev == NGX_EB_LIFECYCLE_NIL) {
        list->first = e->next;

    } else {
        lc->entries[e->prev].next = e->next;
    }

    if (e->next == NGX_EB_LIFECYCLE_NIL) {
        list->last = e->prev;

    } else {
        lc->entries[e->next].prev = e->prev;
    }
}
