
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * From one file to the next: marks, claims, and what is done to them while
 * they move.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_checkpoint_file.h"


/* where a test may stop */
#ifndef NGX_EB_STEP
#define NGX_EB_STEP()
#endif

#define NGX_EB_CHECKPOINT_CHUNK    32       /* buckets: some 100 us */
#define NGX_EB_CHECKPOINT_PAUSE    1000     /* ms until the next pass, */
#define NGX_EB_CHECKPOINT_LONG     60000    /* while room is missing */
#define NGX_EB_CHECKPOINT_TELL     60000    /* ms between two lines */

/* what was found in the predecessor */

#define NGX_EB_CHECKPOINT_GONE     0        /* nothing that matters now */
#define NGX_EB_CHECKPOINT_HELD     1        /* a claim that lives */
#define NGX_EB_CHECKPOINT_STUCK    2        /* has no room in the successor */


/*
 * Each process looks for the notice under the lock of a region, as it always
 * did, and goes over to the successor before its next operation.  From then
 * on the successor is asked first, and when it does not have a key, the
 * predecessor, under both locks (the successor's first):
 *
 *   - A mark that nobody claims is copied to the successor, and there the
 *     operation goes on.
 *   - A claim that lives is left where it is, with its owner's slot and token,
 *     and settled there.  Each process keeps its slot in the predecessor, and
 *     takes another one in the successor; its tokens are counted on, so that
 *     those of running deliveries are issued ones in either.
 *   - A mark for which there is no room, since nothing that may be evicted is
 *     in its buckets, is left as well, and says that its key is delivered;
 *     else the key is refused.
 *
 * No claim is made in the predecessor any more, and no entry of it is removed.
 * So a mark that was on the disk is on the disk until all of the successor is:
 * only then PATH.prev is deleted.  An entry of the predecessor changes only
 * while the successor has none for its key; after that the latter counts.
 *
 * All workers copy, in turns, a few buckets at a time.  A pass that meets
 * neither a living claim nor a mark without room was the last one.  A pass
 * whose worker has died begins anew.
 */


static void ngx_eb_checkpoint_chunk(ngx_eb_checkpoint_t *cp);
static void ngx_eb_checkpoint_pass(ngx_eb_checkpoint_t *cp);
static void ngx_eb_checkpoint_rewind(ngx_eb_checkpoint_header_t *h);
static void ngx_eb_checkpoint_fixes(ngx_eb_checkpoint_t *cp);
static ngx_int_t ngx_eb_checkpoint_touch(ngx_eb_checkpoint_t *cp,
    ngx_eb_store_key_t *key, ngx_eb_table_entry_t *val, ngx_uint_t force);


ngx_int_t
ngx_eb_checkpoint_tick(ngx_eb_checkpoint_t *cp)
{
    uint64_t                     now;
    ngx_eb_checkpoint_header_t  *h;

    if (cp->owner == -1) {
        return NGX_OK;
    }

    if (__atomic_load_n(&cp->header->moved, __ATOMIC_ACQUIRE)) {
        (void) ngx_eb_checkpoint_follow(cp);
    }

    ngx_eb_checkpoint_fixes(cp);

    if (cp->prev == NULL) {
        return NGX_OK;
    }

    h = cp->header;

    if (__atomic_load_n(&h->drained, __ATOMIC_ACQUIRE)) {

        /*
         * A thread may flush it, if it was the present one a moment ago.  To
         * unmap what is in use takes tens of milliseconds a gigabyte: who
         * frees it has done that, and not in an event loop.
         */

        if (!cp->flushing && __atomic_load_n(&h->freed, __ATOMIC_ACQUIRE)) {
            ngx_eb_checkpoint_release(cp);
        }

        return NGX_OK;
    }

    now = ngx_eb_checkpoint_ms();

    if (now < __atomic_load_n(&h->resume, __ATOMIC_RELAXED)) {
        return NGX_OK;
    }

    /* another process is at it */

    if (ngx_eb_checkpoint_mover(h, 0) != NGX_OK) {
        return NGX_AGAIN;
    }

    if (h->drained == NGX_EB_CHECKPOINT_MOVING && now >= h->resume) {
        ngx_eb_checkpoint_chunk(cp);
    }

    (void) pthread_mutex_unlock(&h->mover);

    return NGX_AGAIN;
}


/* becomes the mover, who is it for moments, unless it is stopped or syncs */

ngx_int_t
ngx_eb_checkpoint_mover(ngx_eb_checkpoint_header_t *h, ngx_msec_t wait)
{
    int              rc;
    struct timespec  ts;

    rc = pthread_mutex_trylock(&h->mover);

    if (rc == EBUSY && wait) {
        (void) clock_gettime(CLOCK_REALTIME, &ts);

        ts.tv_nsec += (long) (wait % 1000) * 1000000;
        ts.tv_sec += (time_t) (wait / 1000) + ts.tv_nsec / 1000000000;
        ts.tv_nsec %= 1000000000;

        rc = pthread_mutex_timedlock(&h->mover, &ts);
    }

    if (rc == EOWNERDEAD) {
        (void) pthread_mutex_consistent(&h->mover);
        (void) __atomic_fetch_add(&h->recovered, 1, __ATOMIC_RELAXED);

        /* whoever finds that it died, for nobody else will know */

        ngx_eb_checkpoint_rewind(h);
        rc = 0;
    }

    return (rc == 0) ? NGX_OK : NGX_BUSY;
}


static void
ngx_eb_checkpoint_rewind(ngx_eb_checkpoint_header_t *h)
{
    h->left = 0;
    NGX_EB_STEP();
    h->stuck = 0;
    NGX_EB_STEP();
    h->cursor = 0;
    NGX_EB_STEP();
}


static void
ngx_eb_checkpoint_chunk(ngx_eb_checkpoint_t *cp)
{
    time_t                       now;
    uint64_t                     buckets, last, slot;
    ngx_int_t                    rc;
    pthread_mutex_t             *lock;
    ngx_eb_store_key_t           key;
    ngx_eb_checkpoint_t         *pred;
    ngx_eb_table_entry_t         val;
    ngx_eb_checkpoint_header_t  *h;

    h = cp->header;
    pred = cp->prev;

    now = ngx_time();
    cp->table.now = now;
    pred->table.now = now;

    ngx_memzero(&key, sizeof(ngx_eb_store_key_t));

    buckets = (uint64_t) pred->table.regions * pred->table.width;
    last = ngx_min(h->cursor + NGX_EB_CHECKPOINT_CHUNK, buckets);

    for (slot = h->cursor * NGX_EB_TABLE_WAYS;
         slot < last * NGX_EB_TABLE_WAYS;
         slot++)
    {
        if (pred->table.tags[slot] == 0) {
            continue;
        }

        /* without a lock: it will be looked up */

        key.hi = pred->table.entries[slot].fp_hi;
        key.lo = pred->table.entries[slot].fp_lo;

        lock = &cp->locks[ngx_eb_table_region(&cp->table, &key)].lock;

        if (ngx_eb_checkpoint_lock(cp, lock) != NGX_OK) {
            h->stuck++;
            continue;
        }

        rc = ngx_eb_table_peek(&cp->table, &key, &val)
             ? NGX_EB_CHECKPOINT_GONE
             : ngx_eb_checkpoint_touch(cp, &key, &val, 0);

        (void) pthread_mutex_unlock(lock);

        NGX_EB_STEP();

        if (rc == NGX_EB_CHECKPOINT_HELD) {
            h->left++;

        } else if (rc != NGX_EB_CHECKPOINT_GONE) {
            h->stuck++;
        }
    }

    h->cursor = last;

    if (last == buckets) {
        ngx_eb_checkpoint_pass(cp);
    }
}


/* a pass has ended */

static void
ngx_eb_checkpoint_pass(ngx_eb_checkpoint_t *cp)
{
#if !(NGX_THREADS)
    ngx_err_t                    err;
#endif
    ngx_eb_checkpoint_header_t  *h;

    h = cp->header;

    if (h->left || h->stuck) {

        if (h->stuck) {
            ngx_log_error(NGX_LOG_WARN, cp->log, 0,
                          "eventbridge: checkpoint \"%V\": %uL marks that "
                          "must not be evicted have no room in the smaller "
                          "file, and stay in \"%V.prev\"", &cp->conf->name,
                          h->stuck, &cp->conf->path);
        }

        h->resume = ngx_eb_checkpoint_ms()
                    + (h->stuck ? NGX_EB_CHECKPOINT_LONG
                                : NGX_EB_CHECKPOINT_PAUSE);
        ngx_eb_checkpoint_rewind(h);
        h->again = 1;

        return;
    }

    NGX_EB_STEP();

    __atomic_store_n(&h->drained, NGX_EB_CHECKPOINT_DRAINED,
                     __ATOMIC_RELEASE);

    ngx_log_error(NGX_LOG_NOTICE, cp->log, 0,
                  "eventbridge: checkpoint \"%V\": all marks have moved",
                  &cp->conf->name);

    /* to free what it takes is long work: a thread does it after a flush */

#if !(NGX_THREADS)

    err = ngx_eb_checkpoint_finish_locked(cp->conf, h, cp->fd, 0);

    if (err) {
        ngx_log_error(NGX_LOG_NOTICE, cp->log, err,
                      "eventbridge: checkpoint \"%V\": \"%V.prev\" will be "
                      "deleted by the next reload or start",
                      &cp->conf->name, &cp->conf->path);
    }

#endif
}


/* a clock that was set back is told once for all processes, and not often */

static void
ngx_eb_checkpoint_fixes(ngx_eb_checkpoint_t *cp)
{
    uint64_t  now, fixes, told;

    fixes = __atomic_load_n(&cp->header->counters.clock_fixes,
                            __ATOMIC_RELAXED);
    told = __atomic_load_n(&cp->header->fixes_told, __ATOMIC_RELAXED);

    if (fixes == told) {
        return;
    }

    now = ngx_eb_checkpoint_ms();

    if (cp->told && now - cp->told < NGX_EB_CHECKPOINT_TELL) {
        return;
    }

    if (__atomic_compare_exchange_n(&cp->header->fixes_told, &told, fixes, 0,
                                    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
    {
        cp->told = now;
        ngx_log_error(NGX_LOG_WARN, cp->log, 0,
                      "eventbridge: checkpoint \"%V\": %uL marks were in the "
                      "future and stamped anew: was the clock set back?",
                      &cp->conf->name, fixes - told);
    }
}


/*
 * The successor has no entry for the key: what does the predecessor say?  val
 * is its entry then, unless nothing matters.
 */

static ngx_int_t
ngx_eb_checkpoint_touch(ngx_eb_checkpoint_t *cp, ngx_eb_store_key_t *key,
    ngx_eb_table_entry_t *val, ngx_uint_t force)
{
    ngx_int_t             rc;
    pthread_mutex_t      *lock;
    ngx_eb_checkpoint_t  *pred;

    pred = cp->prev;

    lock = &pred->locks[ngx_eb_table_region(&pred->table, key)].lock;

    if (ngx_eb_checkpoint_lock(pred, lock) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = NGX_EB_CHECKPOINT_GONE;

    if (!ngx_eb_table_peek(&pred->table, key, val)) {
        goto done;
    }

    if (ngx_eb_table_held(&pred->table, val)) {
        rc = NGX_EB_CHECKPOINT_HELD;
        goto done;
    }

    if (val->done == 0 || ngx_eb_table_old(&pred->table, val)) {
        goto done;
    }

    if (ngx_eb_table_state(val->mark) == NGX_EB_TABLE_CLAIMED) {
        val->mark = NGX_EB_TABLE_PARTIAL;
    }

    switch (ngx_eb_table_adopt(&cp->table, val, force)) {

    case NGX_BUSY:
        rc = NGX_EB_CHECKPOINT_STUCK;
        break;

    case NGX_DECLINED:

        /* each pass meets it once more */

        if (!cp->header->again) {
            ngx_eb_table_evicted(&cp->table, val);
        }

        break;

    default:
        break;
    }

done:

    (void) pthread_mutex_unlock(lock);

    return rc;
}


ngx_int_t
ngx_eb_checkpoint_move_claim(ngx_eb_checkpoint_t *cp, uint32_t token,
    ngx_eb_store_key_t *key)
{
    ngx_int_t              rc;
    ngx_uint_t             all;
    ngx_eb_checkpoint_t   *pred;
    ngx_eb_table_entry_t   val;

    pred = cp->prev;
    pred->table.now = cp->table.now;

    if (key->want == 0 || ngx_eb_table_peek(&cp->table, key, &val)) {
        goto here;
    }

    rc = ngx_eb_checkpoint_touch(cp, key, &val, 1);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_EB_CHECKPOINT_GONE) {
        goto here;
    }

    /* no claim is made there, whatever becomes of that one meanwhile */

    if (ngx_eb_table_old(&pred->table, &val)) {
        val.done = 0;
    }

    all = ((val.done & key->want) == key->want);

    key->done = val.done;

    if (rc == NGX_EB_CHECKPOINT_HELD
        && pred->owner != -1
        && val.mark == ngx_eb_checkpoint_mark(pred, token))
    {
        key->status = NGX_EB_KEY_CLAIMED;

    } else if (all) {
        key->status = NGX_EB_KEY_DUPLICATE;

    } else {
        key->status = (rc == NGX_EB_CHECKPOINT_HELD) ? NGX_EB_KEY_BUSY
                                                     : NGX_EB_KEY_FULL;
    }

    return NGX_OK;

here:

    ngx_eb_table_claim(&cp->table, ngx_eb_checkpoint_mark(cp, token), key);

    return NGX_OK;
}


ngx_int_t
ngx_eb_checkpoint_move_commit(ngx_eb_checkpoint_t *cp, uint32_t token,
    ngx_eb_store_key_t *key)
{
    uint32_t               mark;
    ngx_int_t              rc;
    pthread_mutex_t       *lock;
    ngx_eb_checkpoint_t   *pred;
    ngx_eb_table_entry_t   val;

    pred = cp->prev;
    pred->table.now = cp->table.now;

    if (ngx_eb_table_peek(&cp->table, key, &val)) {
        goto here;
    }

    rc = ngx_eb_checkpoint_touch(cp, key, &val, 1);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_EB_CHECKPOINT_GONE) {
        goto here;
    }

    /* nobody else changes it: the successor's lock is ours all the while */

    mark = (pred->owner == -1) ? NGX_EB_TABLE_PARTIAL
                               : ngx_eb_checkpoint_mark(pred, token);

    lock = &pred->locks[ngx_eb_table_region(&pred->table, key)].lock;

    if (ngx_eb_checkpoint_lock(pred, lock) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_eb_table_commit(&pred->table, mark, key);

    (void) pthread_mutex_unlock(lock);

    return NGX_OK;

here:

    ngx_eb_table_commit(&cp->table, ngx_eb_checkpoint_mark(cp, token), key);

    return NGX_OK;
}


ngx_int_t
ngx_eb_checkpoint_move_lookup(ngx_eb_checkpoint_t *cp,
    ngx_eb_store_key_t *key)
{
    pthread_mutex_t       *lock;
    ngx_eb_checkpoint_t   *pred;
    ngx_eb_table_entry_t   val;

    pred = cp->prev;
    pred->table.now = cp->table.now;

    if (key->want == 0 || ngx_eb_table_peek(&cp->table, key, &val)) {
        ngx_eb_table_lookup(&cp->table, key);
        return NGX_OK;
    }

    lock = &pred->locks[ngx_eb_table_region(&pred->table, key)].lock;

    if (ngx_eb_checkpoint_lock(pred, lock) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_eb_table_lookup(&pred->table, key);

    (void) pthread_mutex_unlock(lock);

    return NGX_OK;
}
