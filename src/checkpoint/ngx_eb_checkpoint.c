
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What is done with a checkpoint's file: the store's operations, the owner
 * slots and the registry in it, and the locks of its regions.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_checkpoint_file.h"

#include <sys/mman.h>

#define XXH_INLINE_ALL
#include <xxhash.h>


/* tokens of a slot that may be alive at once */
#define NGX_EB_CHECKPOINT_TOKENS      (NGX_EB_TABLE_TOKENS / 2)

#define NGX_EB_CHECKPOINT_SAMPLE      4096      /* buckets */
#define NGX_EB_CHECKPOINT_AHEAD       64        /* keys prefetched */
#define NGX_EB_CHECKPOINT_FOLLOWS     10        /* successors at a time */


static ngx_int_t ngx_eb_checkpoint_register(ngx_eb_checkpoint_t *cp,
    XXH128_hash_t *id, ngx_log_t *log);
static ngx_int_t ngx_eb_checkpoint_strip(ngx_eb_checkpoint_t *cp,
    uint64_t bits);
static ngx_uint_t ngx_eb_checkpoint_issued(ngx_eb_checkpoint_owner_t *slot,
    uint32_t token);
static ngx_int_t ngx_eb_checkpoint_ready(ngx_eb_checkpoint_t *cp);
static void ngx_eb_checkpoint_hash(ngx_eb_store_t *store, u_char *data,
    size_t len, ngx_eb_store_key_t *key);
static uint32_t ngx_eb_checkpoint_token(ngx_eb_store_t *store);
static ngx_int_t ngx_eb_checkpoint_claim(ngx_eb_store_t *store,
    uint32_t token, ngx_eb_store_key_t *keys, ngx_uint_t n,
    ngx_eb_store_handler_pt handler, void *data);
static ngx_int_t ngx_eb_checkpoint_commit(ngx_eb_store_t *store,
    uint32_t token, ngx_eb_store_key_t *keys, ngx_uint_t n,
    ngx_eb_store_handler_pt handler, void *data);
static ngx_int_t ngx_eb_checkpoint_lookup(ngx_eb_store_t *store,
    ngx_eb_store_key_t *keys, ngx_uint_t n);
static ngx_int_t ngx_eb_checkpoint_each(ngx_eb_checkpoint_t *cp,
    uint32_t token, ngx_eb_store_key_t *keys, ngx_uint_t n,
    ngx_uint_t claim);
static ngx_int_t ngx_eb_checkpoint_settled(ngx_eb_checkpoint_t *cp,
    uint32_t mark, ngx_eb_store_key_t *key);
static void ngx_eb_checkpoint_prefetch(ngx_eb_checkpoint_t *cp,
    ngx_eb_store_key_t *keys, ngx_uint_t n, ngx_uint_t claim);
static void ngx_eb_checkpoint_undo(ngx_eb_checkpoint_t *cp, uint32_t token,
    ngx_eb_store_key_t *keys, ngx_uint_t n);


ngx_eb_checkpoint_t *
ngx_eb_checkpoint_attach(ngx_pool_t *pool, ngx_eb_checkpoint_conf_t *conf,
    ngx_log_t *log, u_char *errstr, size_t errlen, ngx_err_t *err)
{
    ngx_eb_checkpoint_t      *cp;
    ngx_pool_cleanup_t       *cln;
    ngx_eb_checkpoint_try_t   try;

    try.conf = conf;
    try.log = log;
    try.errstr = errstr;
    try.errlen = errlen;
    try.err = err;

    if (ngx_eb_checkpoint_conf(&try) != NGX_OK) {
        return NULL;
    }

    /* the second one is for a predecessor */

    cp = ngx_pcalloc(pool, 2 * sizeof(ngx_eb_checkpoint_t));
    if (cp == NULL) {
        (void) ngx_eb_checkpoint_fail(&try, NGX_ENOMEM, "no memory");
        return NULL;
    }

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        (void) ngx_eb_checkpoint_fail(&try, NGX_ENOMEM, "no memory");
        return NULL;
    }

    cp->conf = conf;
    cp->log = log;
    cp->fd = -1;
    cp->owner = -1;
    cp->room = cp + 1;
    cp->room->fd = -1;
    cp->room->owner = -1;

    cln->handler = ngx_eb_checkpoint_detach;
    cln->data = cp;

    if (ngx_eb_checkpoint_acquire(cp, &try) != NGX_OK
        || ngx_eb_checkpoint_predecessor(cp, &try) != NGX_OK)
    {
        ngx_eb_checkpoint_detach(cp);
        return NULL;
    }

    cp->store.hash = ngx_eb_checkpoint_hash;
    cp->store.token = ngx_eb_checkpoint_token;
    cp->store.claim = ngx_eb_checkpoint_claim;
    cp->store.commit = ngx_eb_checkpoint_commit;
    cp->store.lookup = ngx_eb_checkpoint_lookup;
    cp->store.data = cp;

    return cp;
}


ngx_int_t
ngx_eb_checkpoint_destination(ngx_eb_checkpoint_t *cp, ngx_str_t *uri,
    ngx_log_t *log)
{
    ngx_int_t      bit;
    ngx_uint_t     moved, tries;
    XXH128_hash_t  id;

    tries = 0;
    id = XXH3_128bits(uri->data, uri->len);

again:

    /* protects the identities; held for a sweep and a sync at most */

    if (ngx_eb_checkpoint_lock(cp, &cp->header->lock) != NGX_OK) {
        return -1;
    }

    /* only the file that has the name, see ngx_eb_checkpoint_next.c */

    moved = (cp->header->moved
             || !ngx_eb_checkpoint_same(cp->fd, cp->conf->path.data));

    if (moved) {
        (void) pthread_mutex_unlock(&cp->header->lock);

        if (tries++ < NGX_EB_CHECKPOINT_FOLLOWS
            && ngx_eb_checkpoint_follow(cp) == NGX_OK)
        {
            goto again;
        }

        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "eventbridge: checkpoint \"%V\" was replaced",
                      &cp->conf->name);

        return -1;
    }

    bit = ngx_eb_checkpoint_register(cp, &id, log);

    (void) pthread_mutex_unlock(&cp->header->lock);

    return bit;
}


void
ngx_eb_checkpoint_renew(ngx_eb_checkpoint_t *cp, uint64_t bits)
{
    ngx_uint_t  i;

    /* no lock: a bit that is named is not taken by anybody else */

    for (i = 0; i < NGX_EB_CHECKPOINT_DESTS; i++) {

        if (bits & ((uint64_t) 1 << i)) {
            __atomic_store_n(&cp->header->dests[i].last_named,
                             (uint64_t) ngx_time(), __ATOMIC_RELAXED);
        }
    }
}


ngx_int_t
ngx_eb_checkpoint_open(ngx_eb_checkpoint_t *cp, ngx_log_t *log)
{
    cp->log = log;
    cp->logged = 0;

    if (cp->owner != -1 && cp->pid == getpid()) {
        return NGX_OK;
    }

    /* what a parent process holds is not ours */

    cp->owner = -1;

    if (cp->prev) {
        cp->prev->owner = -1;
    }

    if (cp->header->moved) {
        (void) ngx_eb_checkpoint_follow(cp);
    }

    if (ngx_eb_checkpoint_slot(cp) != NGX_OK) {
        ngx_log_error(NGX_LOG_ALERT, log, 0,
                      "eventbridge: checkpoint \"%V\" has no free owner "
                      "slot, all %uD are in use", &cp->conf->name,
                      cp->nowners);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_eb_checkpoint_slot(ngx_eb_checkpoint_t *cp)
{
    int                         rc;
    uint64_t                    start;
    ngx_uint_t                  i, n, owners;
    ngx_eb_checkpoint_owner_t  *slot;

    owners = cp->nowners;

    /* each starts at another slot, so that a slot rests before its next use */

    start = __atomic_fetch_add(&cp->header->next_owner, 1, __ATOMIC_RELAXED);

    for (i = 0; i < owners; i++) {

        n = (start % owners + i) % owners;
        slot = &cp->owners[n];

        rc = pthread_mutex_trylock(&slot->lock);

        if (rc == EOWNERDEAD) {
            (void) pthread_mutex_consistent(&slot->lock);
            (void) __atomic_fetch_add(&cp->header->recovered, 1,
                                      __ATOMIC_RELAXED);
            rc = 0;
        }

        if (rc != 0) {
            continue;
        }

        /* claims with tokens of its former owners end here */

        __atomic_store_n(&slot->first, slot->next, __ATOMIC_RELAXED);
        __atomic_store_n(&slot->heartbeat, ngx_eb_checkpoint_ms(),
                         __ATOMIC_RELAXED);
        __atomic_store_n(&slot->used, 1, __ATOMIC_RELEASE);

        cp->owner = (ngx_int_t) n;
        cp->pid = getpid();
        cp->shift = 0;

        return NGX_OK;
    }

    return NGX_ERROR;
}


void
ngx_eb_checkpoint_close(ngx_eb_checkpoint_t *cp)
{
    ngx_eb_checkpoint_owner_t  *slot;

    if (cp->owner != -1 && cp->pid == getpid()) {

        slot = &cp->owners[cp->owner];

        __atomic_store_n(&slot->used, 0, __ATOMIC_RELEASE);

        (void) pthread_mutex_unlock(&slot->lock);
    }

    cp->owner = -1;

    if (cp->prev) {
        ngx_eb_checkpoint_close(cp->prev);
    }
}


void
ngx_eb_checkpoint_heartbeat(ngx_eb_checkpoint_t *cp)
{
    if (cp->owner != -1) {
        __atomic_store_n(&cp->owners[cp->owner].heartbeat,
                         ngx_eb_checkpoint_ms(), __ATOMIC_RELAXED);
    }

    if (cp->prev) {
        ngx_eb_checkpoint_heartbeat(cp->prev);
    }
}


ngx_msec_t
ngx_eb_checkpoint_claim_timeout(ngx_eb_checkpoint_t *cp)
{
    return cp->conf->claim_timeout;
}


ngx_uint_t
ngx_eb_checkpoint_flush_due(ngx_eb_checkpoint_t *cp)
{
    uint64_t    last, now;
    ngx_uint_t  drained;

    drained = (__atomic_load_n(&cp->header->drained, __ATOMIC_ACQUIRE)
               == NGX_EB_CHECKPOINT_DRAINED);

    /* with sync=off there is only a predecessor to remove */

    if (cp->conf->sync == 0 && !drained) {
        return 0;
    }

    now = ngx_eb_checkpoint_ms();
    last = __atomic_load_n(&cp->header->sync_started, __ATOMIC_RELAXED);

    /* a time to come is of another run of the kernel */

    if (last <= now && now - last < cp->conf->sync) {
        return 0;
    }

    if (!__atomic_compare_exchange_n(&cp->header->sync_started, &last, now,
                                     0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
    {
        return 0;
    }

    cp->flushing = 1;
    cp->flush_fd = cp->fd;
    cp->flush_header = cp->header;
    cp->flush_prev = ngx_eb_checkpoint_moving(cp) ? cp->prev->fd : -1;

    /* the flush that begins now is one of all that has moved */

    cp->finishing = drained;

    return 1;
}


ngx_err_t
ngx_eb_checkpoint_flush(ngx_eb_checkpoint_t *cp)
{
    /*
     * fdatasync() also writes what was stored through the mapping, in any
     * order, and without any lock of ours: entries that change meanwhile
     * are covered by their checks.
     */

    if (fdatasync(cp->flushing ? cp->flush_fd : cp->fd) == -1) {
        return ngx_errno;
    }

    /* what has not moved yet, and claims that were settled there */

    if (cp->flushing && cp->flush_prev != -1
        && fdatasync(cp->flush_prev) == -1)
    {
        return ngx_errno;
    }

    if (cp->finishing) {

        /* a file that may not be deleted here is deleted later */

        (void) ngx_eb_checkpoint_finish(cp);
    }

    return 0;
}


void
ngx_eb_checkpoint_flushed(ngx_eb_checkpoint_t *cp, ngx_err_t err,
    ngx_msec_t msec)
{
    cp->flushing = 0;
    cp->finishing = 0;

    if (err) {
        (void) __atomic_fetch_add(&cp->header->sync_errors, 1,
                                  __ATOMIC_RELAXED);
        return;
    }

    (void) __atomic_fetch_add(&cp->header->syncs, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&cp->header->sync_last, (uint64_t) msec,
                     __ATOMIC_RELAXED);
}


ngx_eb_store_t *
ngx_eb_checkpoint_store(ngx_eb_checkpoint_t *cp)
{
    return &cp->store;
}


ngx_uint_t
ngx_eb_checkpoint_usable(ngx_eb_checkpoint_t *cp)
{
    return cp->owner != -1
           && (__atomic_load_n(&cp->header->moved, __ATOMIC_ACQUIRE) == 0
               || ngx_eb_checkpoint_follow(cp) == NGX_OK);
}


void
ngx_eb_checkpoint_facts(ngx_eb_checkpoint_t *cp,
    ngx_eb_checkpoint_facts_t *facts)
{
    time_t                       now, named;
    uint64_t                     slots;
    ngx_uint_t                   i;
    ngx_eb_table_sample_t        sample;
    ngx_eb_checkpoint_dest_t    *dest;
    ngx_eb_checkpoint_header_t  *h;

    ngx_memzero(facts, sizeof(ngx_eb_checkpoint_facts_t));

    h = cp->header;
    now = ngx_time();

    cp->table.now = now;
    ngx_eb_table_sample(&cp->table, NGX_EB_CHECKPOINT_SAMPLE, &sample);

    slots = (uint64_t) cp->table.regions * cp->table.width
            * NGX_EB_TABLE_WAYS;

    facts->slots = slots;

    if (sample.slots == slots) {
        facts->used = sample.used;
        facts->claimed = sample.claimed;

    } else {
        facts->used = (uint64_t) ((double) sample.used * slots
                                  / sample.slots);
        facts->claimed = (uint64_t) ((double) sample.claimed * slots
                                     / sample.slots);
    }

    facts->oldest = sample.oldest;

    facts->evictions = h->counters.evictions;
    facts->full = h->counters.full;
    facts->clock_fixes = h->counters.clock_fixes;
    facts->recovered = h->recovered;
    facts->syncs = h->syncs;
    facts->sync_errors = h->sync_errors;
    facts->sync_last = (ngx_msec_t) h->sync_last;

    /* evictions of more than a window ago do not matter any more */

    facts->effective = cp->conf->window;

    if (facts->evictions
        && now - (time_t) h->counters.evict_time <= cp->conf->window
        && h->counters.evict_age < (uint64_t) cp->conf->window)
    {
        facts->effective = (time_t) h->counters.evict_age;
    }

    for (i = 0; i < NGX_EB_CHECKPOINT_DESTS; i++) {

        dest = &h->dests[i];
        named = (time_t) dest->last_named;

        if (dest->check != 0
            && dest->check == ngx_eb_checkpoint_dest_sum(dest)
            && now - named <= cp->conf->window)
        {
            facts->destinations++;
        }
    }

    facts->moving = ngx_eb_checkpoint_moving(cp);

    /* after a whole window nothing is missing any more */

    facts->corrupt_reset = h->constant.reset
                           && now - (time_t) h->constant.created
                              <= cp->conf->window;
}


ngx_int_t
ngx_eb_checkpoint_lock(ngx_eb_checkpoint_t *cp, pthread_mutex_t *lock)
{
    int  rc;

    rc = pthread_mutex_lock(lock);

    if (rc == 0) {
        return NGX_OK;
    }

    if (rc == EOWNERDEAD) {

        /* nothing to repair: what is half written fails its check */

        (void) pthread_mutex_consistent(lock);
        (void) __atomic_fetch_add(&cp->header->recovered, 1,
                                  __ATOMIC_RELAXED);
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_ALERT, cp->log, rc,
                  "eventbridge: checkpoint \"%V\" has an unusable lock",
                  &cp->conf->name);

    return NGX_ERROR;
}


uint64_t
ngx_eb_checkpoint_dest_sum(ngx_eb_checkpoint_dest_t *dest)
{
    return XXH3_64bits(dest, offsetof(ngx_eb_checkpoint_dest_t, check));
}


static ngx_int_t
ngx_eb_checkpoint_register(ngx_eb_checkpoint_t *cp, XXH128_hash_t *id,
    ngx_log_t *log)
{
    time_t                     now;
    ngx_uint_t                 i, bit, found, used;
    ngx_eb_checkpoint_dest_t  *dest, *dests;

    now = ngx_time();
    dests = cp->header->dests;

    for (i = 0; i < NGX_EB_CHECKPOINT_DESTS; i++) {

        dest = &dests[i];

        if (dest->hi == id->high64 && dest->lo == id->low64
            && dest->check == ngx_eb_checkpoint_dest_sum(dest))
        {
            __atomic_store_n(&dest->last_named, (uint64_t) now,
                             __ATOMIC_RELAXED);
            return (ngx_int_t) i;
        }
    }

    bit = 0;
    used = 0;
    found = 0;

    for (i = 0; i < NGX_EB_CHECKPOINT_DESTS; i++) {

        dest = &dests[i];

        if (dest->hi == 0 && dest->lo == 0 && dest->check == 0
            && dest->last_named == 0)
        {
            bit = i;
            used = 0;
            found = 1;
            break;
        }

        /* what was named in the future is taken as named now */

        if ((int64_t) dest->last_named < 0
            || (time_t) dest->last_named > now + NGX_EB_TABLE_SKEW)
        {
            dest->last_named = (uint64_t) now;
            continue;
        }

        if (now - (time_t) dest->last_named > cp->conf->window
            && (!found || dest->last_named < dests[bit].last_named))
        {
            bit = i;
            used = 1;
            found = 1;
        }
    }

    if (!found) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "eventbridge: checkpoint \"%V\" has no room for "
                      "another destination, all %d are in use",
                      &cp->conf->name, NGX_EB_CHECKPOINT_DESTS);
        return -1;
    }

    dest = &dests[bit];

    /* named first: whatever follows, nobody else takes it for a window */

    __atomic_store_n(&dest->last_named, (uint64_t) now, __ATOMIC_SEQ_CST);

    if (used) {

        /*
         * All marks with this bit are expired now, but a clock that is set
         * back, or a longer window, would bring them to life again.
         */

        dest->check = 0;

        /* first where marks still come from */

        if ((cp->prev
             && ngx_eb_checkpoint_strip(cp->prev, (uint64_t) 1 << bit)
                != NGX_OK)
            || ngx_eb_checkpoint_strip(cp, (uint64_t) 1 << bit) != NGX_OK)
        {
            return -1;
        }
    }

    dest->hi = id->high64;
    dest->lo = id->low64;
    dest->check = ngx_eb_checkpoint_dest_sum(dest);

    /*
     * On the disk before the first mark: after a power cut the bit must not
     * mean the former destination while marks were set for this one.
     */

    if (msync(cp->header, NGX_EB_CHECKPOINT_PAGE, MS_SYNC) == -1) {
        ngx_log_error(NGX_LOG_ERR, log, ngx_errno,
                      "eventbridge: checkpoint \"%V\" cannot sync \"%V\"",
                      &cp->conf->name, &cp->conf->path);
        return -1;
    }

    return (ngx_int_t) bit;
}


static ngx_int_t
ngx_eb_checkpoint_strip(ngx_eb_checkpoint_t *cp, uint64_t bits)
{
    ngx_uint_t  i;

    for (i = 0; i < cp->table.regions; i++) {

        /* one at a time; whoever holds it does not want ours */

        if (ngx_eb_checkpoint_lock(cp, &cp->locks[i].lock) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_eb_table_strip(&cp->table, (uint32_t) i, bits);

        (void) pthread_mutex_unlock(&cp->locks[i].lock);
    }

    return NGX_OK;
}


/* goes on while the machine sleeps, and never jumps */

uint64_t
ngx_eb_checkpoint_ms(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_BOOTTIME, &ts);

    return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}


static ngx_uint_t
ngx_eb_checkpoint_issued(ngx_eb_checkpoint_owner_t *slot, uint32_t token)
{
    uint32_t  first, next;

    next = __atomic_load_n(&slot->next, __ATOMIC_ACQUIRE);
    first = __atomic_load_n(&slot->first, __ATOMIC_ACQUIRE);

    /* both grow beyond 20 bits, a token is the low bits of one of them */

    return ((next - 1 - token) & (NGX_EB_TABLE_TOKENS - 1))
           < ngx_min(next - first, NGX_EB_CHECKPOINT_TOKENS);
}


ngx_uint_t
ngx_eb_checkpoint_live(void *data, ngx_uint_t owner, uint32_t token)
{
    ngx_eb_checkpoint_t *cp = data;

    int                         rc;
    uint64_t                    beat, now;
    ngx_eb_checkpoint_owner_t  *slot;

    if (owner >= cp->nowners) {
        return 0;
    }

    slot = &cp->owners[owner];

    if (!ngx_eb_checkpoint_issued(slot, token)) {
        return 0;
    }

    if ((ngx_int_t) owner == cp->owner) {
        return 1;
    }

    if (__atomic_load_n(&slot->used, __ATOMIC_ACQUIRE) == 0) {
        return 0;
    }

    now = ngx_eb_checkpoint_ms();
    beat = __atomic_load_n(&slot->heartbeat, __ATOMIC_RELAXED);

    if (beat < now && now - beat > cp->conf->claim_timeout) {
        return 0;
    }

    /* never waits, and is held for no longer than it takes to see */

    rc = pthread_mutex_trylock(&slot->lock);

    if (rc == 0 || rc == EOWNERDEAD) {

        if (rc == EOWNERDEAD) {
            (void) pthread_mutex_consistent(&slot->lock);
            (void) __atomic_fetch_add(&cp->header->recovered, 1,
                                      __ATOMIC_RELAXED);
        }

        __atomic_store_n(&slot->used, 0, __ATOMIC_RELEASE);

        (void) pthread_mutex_unlock(&slot->lock);

        return 0;
    }

    /* the slot may have got another owner since */

    return ngx_eb_checkpoint_issued(slot, token);
}


static ngx_int_t
ngx_eb_checkpoint_ready(ngx_eb_checkpoint_t *cp)
{
    if (cp->owner == -1) {

        if (!cp->logged) {
            cp->logged = 1;
            ngx_log_error(NGX_LOG_ERR, cp->log, 0,
                          "eventbridge: checkpoint \"%V\" has no owner slot",
                          &cp->conf->name);
        }

        return NGX_ERROR;
    }

    if (__atomic_load_n(&cp->header->moved, __ATOMIC_ACQUIRE)
        && ngx_eb_checkpoint_follow(cp) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static void
ngx_eb_checkpoint_hash(ngx_eb_store_t *store, u_char *data, size_t len,
    ngx_eb_store_key_t *key)
{
    ngx_eb_checkpoint_t *cp = store->data;

    ngx_eb_table_hash(cp->table.secret, data, len, key);
}


static uint32_t
ngx_eb_checkpoint_token(ngx_eb_store_t *store)
{
    ngx_eb_checkpoint_t *cp = store->data;

    uint32_t                    token;
    ngx_eb_checkpoint_owner_t  *slot;

    if (cp->owner == -1) {
        return 0;
    }

    slot = &cp->owners[cp->owner];

    token = slot->next;

    /* the difference must not overflow, what is left is enough */

    if (token - slot->first >= NGX_EB_TABLE_TOKENS) {
        __atomic_store_n(&slot->first, token - NGX_EB_CHECKPOINT_TOKENS,
                         __ATOMIC_RELEASE);
    }

    __atomic_store_n(&slot->next, token + 1, __ATOMIC_RELEASE);

    return (token - cp->shift) & (NGX_EB_TABLE_TOKENS - 1);
}


static ngx_int_t
ngx_eb_checkpoint_claim(ngx_eb_store_t *store, uint32_t token,
    ngx_eb_store_key_t *keys, ngx_uint_t n, ngx_eb_store_handler_pt handler,
    void *data)
{
    ngx_eb_checkpoint_t *cp = store->data;

    if (ngx_eb_checkpoint_ready(cp) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_eb_checkpoint_heartbeat(cp);

    return ngx_eb_checkpoint_each(cp, token, keys, n, 1);
}


static ngx_int_t
ngx_eb_checkpoint_commit(ngx_eb_store_t *store, uint32_t token,
    ngx_eb_store_key_t *keys, ngx_uint_t n, ngx_eb_store_handler_pt handler,
    void *data)
{
    ngx_eb_checkpoint_t *cp = store->data;

    /* without the successor what is claimed here can be settled here */

    if (ngx_eb_checkpoint_ready(cp) == NGX_ERROR) {
        return NGX_ERROR;
    }

    return ngx_eb_checkpoint_each(cp, token, keys, n, 0);
}


static ngx_int_t
ngx_eb_checkpoint_lookup(ngx_eb_store_t *store, ngx_eb_store_key_t *keys,
    ngx_uint_t n)
{
    ngx_eb_checkpoint_t *cp = store->data;

    ngx_int_t         rc;
    ngx_uint_t        i;
    pthread_mutex_t  *lock;

    if (ngx_eb_checkpoint_ready(cp) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = NGX_OK;
    cp->table.now = ngx_time();

    for (i = 0; i < n; i++) {

        if (keys[i].status != NGX_EB_KEY_NEW) {
            continue;
        }

        /* an entry must not change while it is read */

        lock = &cp->locks[ngx_eb_table_region(&cp->table, &keys[i])].lock;

        if (ngx_eb_checkpoint_lock(cp, lock) != NGX_OK) {
            return NGX_ERROR;
        }

        if (ngx_eb_checkpoint_moving(cp)) {
            rc = ngx_eb_checkpoint_move_lookup(cp, &keys[i]);

        } else {
            ngx_eb_table_lookup(&cp->table, &keys[i]);
        }

        (void) pthread_mutex_unlock(lock);

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * Claims or commits those of the keys that are to be, one after the other.
 * Their cache lines are asked for before: of many at once, so that the
 * processor waits for one memory access instead of for each.
 */

static ngx_int_t
ngx_eb_checkpoint_each(ngx_eb_checkpoint_t *cp, uint32_t token,
    ngx_eb_store_key_t *keys, ngx_uint_t n, ngx_uint_t claim)
{
    uint32_t          mark;
    ngx_int_t         rc, fine;
    ngx_uint_t        i, ahead, status, follows;
    pthread_mutex_t  *lock;

    cp->table.now = ngx_time();

    status = claim ? NGX_EB_KEY_NEW : NGX_EB_KEY_CLAIMED;
    mark = ngx_eb_checkpoint_mark(cp, token);

    rc = NGX_OK;
    ahead = 0;
    follows = 0;

    for (i = 0; i < n; i++) {

        if (i == ahead) {
            ahead = ngx_min(n, i + NGX_EB_CHECKPOINT_AHEAD);

            ngx_eb_checkpoint_prefetch(cp, &keys[i], ahead - i, claim);
        }

        if (keys[i].status != status) {
            continue;
        }

again:

        /* one lock covers both buckets of a key, and for one key only */

        lock = &cp->locks[ngx_eb_table_region(&cp->table, &keys[i])].lock;

        if (ngx_eb_checkpoint_lock(cp, lock) != NGX_OK) {
            goto failed;
        }

        /* a successor is published under all the locks */

        if (__atomic_load_n(&cp->header->moved, __ATOMIC_ACQUIRE)) {

            (void) pthread_mutex_unlock(lock);

            if (follows++ < NGX_EB_CHECKPOINT_FOLLOWS
                && ngx_eb_checkpoint_follow(cp) == NGX_OK)
            {
                cp->table.now = ngx_time();
                mark = ngx_eb_checkpoint_mark(cp, token);
                goto again;
            }

            if (claim) {
                goto failed;
            }

            /* the others can be settled, maybe */

            if (ngx_eb_checkpoint_settled(cp, mark, &keys[i]) != NGX_OK) {
                rc = NGX_ERROR;
            }

            continue;
        }

        if (ngx_eb_checkpoint_moving(cp)) {
            fine = claim ? ngx_eb_checkpoint_move_claim(cp, token, &keys[i])
                         : ngx_eb_checkpoint_move_commit(cp, token, &keys[i]);

            if (fine != NGX_OK) {
                (void) pthread_mutex_unlock(lock);
                goto failed;
            }

        } else if (claim) {
            ngx_eb_table_claim(&cp->table, mark, &keys[i]);

        } else {
            ngx_eb_table_commit(&cp->table, mark, &keys[i]);
        }

        (void) pthread_mutex_unlock(lock);
    }

    return rc;

failed:

    if (claim) {
        ngx_eb_checkpoint_undo(cp, token, keys, i);
    }

    return NGX_ERROR;
}


/*
 * A claim of ours is left in the file that was replaced until it is settled,
 * so it can be settled there even when the successor cannot be reached.
 */

static ngx_int_t
ngx_eb_checkpoint_settled(ngx_eb_checkpoint_t *cp, uint32_t mark,
    ngx_eb_store_key_t *key)
{
    ngx_int_t              rc;
    pthread_mutex_t       *lock;
    ngx_eb_table_entry_t   val;

    lock = &cp->locks[ngx_eb_table_region(&cp->table, key)].lock;

    if (ngx_eb_checkpoint_lock(cp, lock) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = NGX_ERROR;

    if (ngx_eb_table_peek(&cp->table, key, &val) && val.mark == mark) {
        ngx_eb_table_commit(&cp->table, mark, key);
        rc = NGX_OK;
    }

    (void) pthread_mutex_unlock(lock);

    return rc;
}


static void
ngx_eb_checkpoint_prefetch(ngx_eb_checkpoint_t *cp, ngx_eb_store_key_t *keys,
    ngx_uint_t n, ngx_uint_t claim)
{
    ngx_uint_t  i;

    if (!claim) {

        for (i = 0; i < n; i++) {
            if (keys[i].status == NGX_EB_KEY_CLAIMED) {
                ngx_eb_table_prefetch_slot(&cp->table, &keys[i]);
            }
        }

        return;
    }

    for (i = 0; i < n; i++) {
        if (keys[i].status == NGX_EB_KEY_NEW) {
            ngx_eb_table_prefetch(&cp->table, &keys[i]);
        }
    }

    /* the tags are there by now, and tell which entry it will be */

    for (i = 0; i < n; i++) {
        if (keys[i].status == NGX_EB_KEY_NEW) {
            ngx_eb_table_prefetch_entry(&cp->table, &keys[i]);
        }
    }
}


/* the store cannot serve: gives up what it has claimed so far */

static void
ngx_eb_checkpoint_undo(ngx_eb_checkpoint_t *cp, uint32_t token,
    ngx_eb_store_key_t *keys, ngx_uint_t n)
{
    uint32_t          mark;
    ngx_uint_t        i;
    pthread_mutex_t  *lock;

    mark = ngx_eb_checkpoint_mark(cp, token);

    for (i = 0; i < n; i++) {

        if (keys[i].status != NGX_EB_KEY_CLAIMED) {
            continue;
        }

        lock = &cp->locks[ngx_eb_table_region(&cp->table, &keys[i])].lock;

        if (ngx_eb_checkpoint_lock(cp, lock) != NGX_OK) {
            continue;
        }

        keys[i].done = 0;
        keys[i].final = 1;

        if (ngx_eb_checkpoint_moving(cp)) {
            (void) ngx_eb_checkpoint_move_commit(cp, token, &keys[i]);

        } else {
            ngx_eb_table_commit(&cp->table, mark, &keys[i]);
        }

        (void) pthread_mutex_unlock(lock);
    }
}
