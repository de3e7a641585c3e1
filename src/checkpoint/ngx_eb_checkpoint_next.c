
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The checkpoint's file is replaced, when another size is configured or the
 * format has changed.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_checkpoint_file.h"

#include <sys/file.h>
#include <sys/mman.h>


/* where a test may stop */
#ifndef NGX_EB_STEP
#define NGX_EB_STEP()
#endif


/*
 * The successor is made beside the file, for the same fingerprints, with the
 * registry and the counters:
 *
 *   1. PATH.next is written, and on the disk; its header names the
 *      predecessor.
 *   2. PATH.prev becomes a second name of the file; the directory is synced.
 *   3. PATH.next is renamed to PATH; the directory is synced.
 *   4. The notice is stored in the predecessor, under all its locks.
 *
 * The predecessor's registry is locked all the while, and a destination is
 * registered only in the file that PATH names.  So the registry that went into
 * the successor is complete, and no bit ever has two meanings.
 *
 * Who dies, or loses power, leaves
 *
 *   before 2: PATH as it was, and a relic that the next one removes, for
 *      nobody has locked it;
 *   before 3: the same, and a second name of PATH, which is removed as well;
 *   before 4: the successor as PATH.  Nobody uses it yet, and processes that
 *      live still work on the predecessor.  Whoever attaches to PATH finds in
 *      its header that it has one, and stores the notice first of all;
 *   later: PATH with a predecessor, which is PATH.prev.
 *
 * How marks and claims get there: ngx_eb_checkpoint_move.c.
 */


/* how long a reload waits for who moves marks, ms */
#ifndef NGX_EB_CHECKPOINT_PATIENCE
#define NGX_EB_CHECKPOINT_PATIENCE  5000
#endif


static ngx_int_t ngx_eb_checkpoint_successor(ngx_eb_checkpoint_t *cp,
    ngx_eb_checkpoint_try_t *try);
static ngx_int_t ngx_eb_checkpoint_free_name(ngx_eb_checkpoint_t *cp,
    ngx_eb_checkpoint_try_t *try, u_char *prev);
static void ngx_eb_checkpoint_publish(ngx_eb_checkpoint_t *cp,
    uint64_t check);
static ngx_int_t ngx_eb_checkpoint_open_prev(ngx_eb_checkpoint_t *pred,
    ngx_eb_checkpoint_t *cp, ngx_eb_checkpoint_try_t *try, ngx_uint_t wait);
static ngx_int_t ngx_eb_checkpoint_open_next(ngx_eb_checkpoint_t *next,
    ngx_eb_checkpoint_t *cp, ngx_eb_checkpoint_try_t *try);
static void ngx_eb_checkpoint_tokens(ngx_eb_checkpoint_t *next,
    ngx_eb_checkpoint_t *cp);
static void ngx_eb_checkpoint_named(ngx_eb_checkpoint_t *next,
    ngx_eb_checkpoint_t *cp);
static void ngx_eb_checkpoint_install(ngx_eb_checkpoint_t *cp,
    ngx_eb_checkpoint_t *file);
static ngx_err_t ngx_eb_checkpoint_remove(ngx_eb_checkpoint_conf_t *conf,
    uint64_t check);


/* the configuration is accepted: the file becomes what it says */

void
ngx_eb_checkpoint_settle(ngx_eb_checkpoint_t *cp, ngx_log_t *log)
{
    u_char                      errstr[NGX_MAX_CONF_ERRSTR];
    uint64_t                    size;
    ngx_err_t                   err;
    ngx_uint_t                  i;
    ngx_eb_checkpoint_try_t     try;
    ngx_eb_checkpoint_header_t *h;

    cp->log = log;

    try.conf = cp->conf;
    try.log = log;
    try.errstr = errstr;
    try.errlen = sizeof(errstr);
    try.err = &err;

    size = ngx_eb_checkpoint_round(cp->conf->size);

    /* another master may have been faster, and be at it again */

    for (i = 0; i < 10; i++) {

        h = cp->header;

        if (ngx_eb_checkpoint_mover(h, NGX_EB_CHECKPOINT_PATIENCE)
            != NGX_OK)
        {
            ngx_log_error(NGX_LOG_ERR, log, 0,
                          "eventbridge: checkpoint \"%V\" stays as it is, "
                          "with %uz bytes: who moves marks to \"%V\" is "
                          "stopped or waits for the disk; reload later again",
                          &cp->conf->name, cp->size, &cp->conf->path);
            return;
        }

        if (h->moved == 0) {
            break;
        }

        (void) pthread_mutex_unlock(&h->mover);

        if (ngx_eb_checkpoint_follow(cp) != NGX_OK) {
            ngx_msleep(10);
        }
    }

    if (i == 10) {
        return;
    }

    /* workers open it when they go over to it */

    if (geteuid() == 0
        && fchown(cp->fd, cp->conf->user, cp->conf->group) == -1)
    {
        ngx_log_error(NGX_LOG_ERR, log, ngx_errno,
                      "eventbridge: checkpoint \"%V\" cannot change the "
                      "owner of \"%V\"", &cp->conf->name, &cp->conf->path);
    }

    if (h->constant.from) {

        if (h->drained == NGX_EB_CHECKPOINT_DRAINED) {
            (void) ngx_eb_checkpoint_finish_locked(cp->conf, h, cp->fd, 1);
        }

        if (h->drained == NGX_EB_CHECKPOINT_FINISHED) {

            /* workers are not always allowed to */

            (void) ngx_eb_checkpoint_remove(cp->conf, h->constant.from);
            __atomic_store_n(&h->freed, 1, __ATOMIC_RELEASE);
            ngx_eb_checkpoint_release(cp);
        }
    }

    if (cp->size == size
        && h->constant.version == NGX_EB_CHECKPOINT_VERSION)
    {
        goto done;
    }

    if (h->constant.from && h->drained != NGX_EB_CHECKPOINT_FINISHED) {
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "eventbridge: checkpoint \"%V\" keeps the size of "
                      "\"%V\", %uz bytes, instead of the configured %uz: "
                      "marks still move to it from the one before; reload "
                      "later again", &cp->conf->name, &cp->conf->path,
                      cp->size, cp->conf->size);
        goto done;
    }

    if (ngx_eb_checkpoint_successor(cp, &try) != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, log, err,
                      "eventbridge: checkpoint \"%V\" keeps the size of "
                      "\"%V\", %uz bytes, instead of the configured %uz: %s",
                      &cp->conf->name, &cp->conf->path, cp->size,
                      cp->conf->size, errstr);
        goto done;
    }

    ngx_log_error(NGX_LOG_NOTICE, log, 0,
                  "eventbridge: checkpoint \"%V\" moves to a file of %uz "
                  "bytes", &cp->conf->name, cp->size);

done:

    (void) pthread_mutex_unlock(&h->mover);
}


static ngx_int_t
ngx_eb_checkpoint_successor(ngx_eb_checkpoint_t *cp,
    ngx_eb_checkpoint_try_t *try)
{
    u_char                        path[NGX_MAX_PATH], prev[NGX_MAX_PATH];
    ngx_int_t                     rc;
    ngx_uint_t                    named;
    ngx_eb_checkpoint_t           next;
    ngx_eb_checkpoint_header_t   *h;
    ngx_eb_checkpoint_constant_t  c;

    (void) ngx_sprintf(path, "%V.next%Z", &try->conf->path);
    (void) ngx_sprintf(prev, "%V.prev%Z", &try->conf->path);

    h = cp->header;
    named = 0;

    ngx_memzero(&next, sizeof(ngx_eb_checkpoint_t));

    next.conf = cp->conf;
    next.log = cp->log;
    next.owner = -1;

    /* others need the last of the disk more than we do */

    if (ngx_eb_checkpoint_absent(try) != NGX_OK) {
        return NGX_ERROR;
    }

    next.fd = ngx_eb_checkpoint_temp(try, path);

    if (next.fd == -1) {
        return NGX_ERROR;
    }

    NGX_EB_STEP();

    /* see above: until the notice is stored */

    if (ngx_eb_checkpoint_lock(cp, &h->lock) != NGX_OK) {
        (void) ngx_eb_checkpoint_fail(try, 0, "its registry is locked");
        goto failed;
    }

    rc = NGX_ERROR;

    if (!ngx_eb_checkpoint_same(cp->fd, try->conf->path.data)) {
        (void) ngx_eb_checkpoint_fail(try, 0, "\"%V\" was replaced",
                                      &try->conf->path);
        goto unlock;
    }

    if (ngx_eb_checkpoint_free_name(cp, try, prev) != NGX_OK
        || ngx_eb_checkpoint_write(try, next.fd, path, 0, &h->constant)
           != NGX_OK)
    {
        goto unlock;
    }

    NGX_EB_STEP();

    if (pread(next.fd, &c, sizeof(c), 0) != (ssize_t) sizeof(c)) {
        (void) ngx_eb_checkpoint_fail(try, ngx_errno, "cannot read \"%s\"",
                                      path);
        goto unlock;
    }

    if (ngx_eb_checkpoint_map(&next, try, &c) != NGX_OK
        || ngx_eb_checkpoint_anew(&next, try) != NGX_OK)
    {
        goto unlock;
    }

    ngx_memcpy(next.header->dests, h->dests, sizeof(h->dests));
    ngx_memcpy(&next.header->counters, &h->counters, sizeof(h->counters));

    next.header->fixes_told = h->fixes_told;
    next.header->recovered = h->recovered;
    next.header->syncs = h->syncs;
    next.header->sync_errors = h->sync_errors;
    next.header->sync_last = h->sync_last;

    NGX_EB_STEP();

    if (fchmod(next.fd, 0600) == -1
        || (geteuid() == 0
            && fchown(next.fd, try->conf->user, try->conf->group) == -1)
        || msync(next.header, next.size, MS_SYNC) == -1
        || fsync(next.fd) == -1)
    {
        (void) ngx_eb_checkpoint_fail(try, ngx_errno, "cannot write \"%s\"",
                                      path);
        goto unlock;
    }

    NGX_EB_STEP();

    if (link((char *) try->conf->path.data, (char *) prev) == -1
        && (ngx_errno != NGX_EEXIST
            || !ngx_eb_checkpoint_same(cp->fd, prev)))
    {
        (void) ngx_eb_checkpoint_fail(try, ngx_errno, "cannot link \"%s\"",
                                      prev);
        goto unlock;
    }

    NGX_EB_STEP();

    if (ngx_eb_checkpoint_sync_directory(try) != NGX_OK) {
        goto unlock;
    }

    NGX_EB_STEP();

    if (rename((char *) path, (char *) try->conf->path.data) == -1) {
        (void) ngx_eb_checkpoint_fail(try, ngx_errno,
                                      "cannot rename \"%s\" to \"%V\"", path,
                                      &try->conf->path);
        (void) unlink((char *) prev);
        goto unlock;
    }

    named = 1;

    NGX_EB_STEP();

    /* from here on there is no way back, whatever fails */

    if (ngx_eb_checkpoint_sync_directory(try) != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, try->log, *try->err,
                      "eventbridge: checkpoint \"%V\": %s", &try->conf->name,
                      try->errstr);
    }

    NGX_EB_STEP();

    /* the exclusive lock ends; somebody else may have had it in between */

    if (ngx_eb_checkpoint_wait(try, next.fd) != NGX_OK) {
        goto unlock;
    }

    NGX_EB_STEP();

    ngx_eb_checkpoint_publish(cp, next.header->constant.check);

    NGX_EB_STEP();

    rc = NGX_OK;

unlock:

    (void) pthread_mutex_unlock(&h->lock);

    if (rc == NGX_OK) {
        ngx_eb_checkpoint_release(cp);

        ngx_eb_checkpoint_install(cp->room, cp);
        cp->prev = cp->room;
        ngx_eb_checkpoint_install(cp, &next);

        return NGX_OK;
    }

failed:

    if (!named) {
        (void) unlink((char *) path);
    }

    ngx_eb_checkpoint_detach(&next);

    return NGX_ERROR;
}


/* PATH.prev must be free, or a relic of ours */

static ngx_int_t
ngx_eb_checkpoint_free_name(ngx_eb_checkpoint_t *cp,
    ngx_eb_checkpoint_try_t *try, u_char *prev)
{
    u_char                        aside[NGX_MAX_PATH];
    ssize_t                       n;
    ngx_fd_t                      fd;
    ngx_uint_t                    ours, other;
    ngx_eb_checkpoint_constant_t  c;

    fd = open((char *) prev, O_RDONLY|O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK);

    if (fd == -1 && ngx_errno == NGX_ENOENT) {
        return NGX_OK;
    }

    ours = 0;
    other = 0;

    if (fd != -1) {
        n = pread(fd, &c, sizeof(c), 0);

        if (n == (ssize_t) sizeof(c)
            && ngx_memcmp(c.magic, cp->header->constant.magic,
                          sizeof(c.magic)) == 0)
        {
            ours = (ngx_memcmp(c.secret, cp->header->constant.secret,
                               sizeof(c.secret)) == 0);
            other = !ours;
        }

        (void) close(fd);
    }

    if (other) {

        /* the successor was damaged, and set aside, while marks moved to it */

        (void) ngx_sprintf(aside, "%V.corrupt-%T.prev%Z", &try->conf->path,
                           ngx_time());

        if (rename((char *) prev, (char *) aside) == -1) {
            return ngx_eb_checkpoint_fail(try, ngx_errno,
                                          "cannot rename \"%s\" to \"%s\"",
                                          prev, aside);
        }

        return NGX_OK;
    }

    if (!ours) {
        return ngx_eb_checkpoint_fail(try, 0, "\"%s\" is in the way", prev);
    }

    if (unlink((char *) prev) == -1) {
        return ngx_eb_checkpoint_fail(try, ngx_errno,
                                      "cannot delete \"%s\"", prev);
    }

    return NGX_OK;
}


/* the notice; the registry of cp is locked */

static void
ngx_eb_checkpoint_publish(ngx_eb_checkpoint_t *cp, uint64_t check)
{
    u_char      locked[NGX_EB_TABLE_REGIONS];
    ngx_uint_t  i;

    ngx_memzero(locked, sizeof(locked));

    /* ascending; others have one of them at most, and want none of ours */

    for (i = 0; i < cp->table.regions; i++) {
        locked[i] = (ngx_eb_checkpoint_lock(cp, &cp->locks[i].lock)
                     == NGX_OK);
    }

    __atomic_store_n(&cp->header->moved, check, __ATOMIC_RELEASE);
    NGX_EB_STEP();

    for (i = 0; i < cp->table.regions; i++) {
        if (locked[i]) {
            (void) pthread_mutex_unlock(&cp->locks[i].lock);
        }
    }
}


ngx_int_t
ngx_eb_checkpoint_predecessor(ngx_eb_checkpoint_t *cp,
    ngx_eb_checkpoint_try_t *try)
{
    ngx_int_t  rc;

    /* one that is drained is asked again after a crash: bits are stripped */

    if (cp->header->constant.from == 0
        || cp->header->drained == NGX_EB_CHECKPOINT_FINISHED)
    {
        return NGX_OK;
    }

    rc = ngx_eb_checkpoint_open_prev(cp->room, cp, try, 1);

    if (rc != NGX_OK) {

        /* the move may have ended meanwhile */

        if (__atomic_load_n(&cp->header->drained, __ATOMIC_ACQUIRE)
            != NGX_EB_CHECKPOINT_MOVING)
        {
            return NGX_OK;
        }

        /*
         * It may be there for the next attempt, and others may have it: only
         * who is alone, and sees that it is gone, gives it up.
         */

        if (rc == NGX_ERROR || !cp->alone || try->conf->corrupt_refuse) {
            return NGX_ERROR;
        }

        ngx_log_error(NGX_LOG_ALERT, try->log, *try->err,
                      "eventbridge: checkpoint \"%V\" has lost the marks that "
                      "had not moved to \"%V\" yet: %s", &try->conf->name,
                      &try->conf->path, try->errstr);

        __atomic_store_n(&cp->header->drained, NGX_EB_CHECKPOINT_FINISHED,
                         __ATOMIC_RELEASE);
        return NGX_OK;
    }

    cp->prev = cp->room;

    return NGX_OK;
}


/*
 * Attaches pred to the predecessor of cp, and sees that it has the notice.
 * NGX_DECLINED: there is none any more.
 */

static ngx_int_t
ngx_eb_checkpoint_open_prev(ngx_eb_checkpoint_t *pred,
    ngx_eb_checkpoint_t *cp, ngx_eb_checkpoint_try_t *try, ngx_uint_t wait)
{
    u_char                         path[NGX_MAX_PATH], boot[40];
    ngx_int_t                      rc;
    ngx_uint_t                     exclusive;
    struct stat                    st;
    ngx_eb_checkpoint_try_t        named;
    ngx_eb_checkpoint_conf_t       conf;
    ngx_eb_checkpoint_constant_t   c;

    ngx_memzero(pred, sizeof(ngx_eb_checkpoint_t));

    pred->conf = cp->conf;
    pred->log = cp->log;
    pred->owner = -1;

    conf = *cp->conf;
    conf.path.data = path;
    conf.path.len = ngx_sprintf(path, "%V.prev", &cp->conf->path) - path;
    path[conf.path.len] = '\0';

    named = *try;
    named.conf = &conf;

    pred->fd = open((char *) path, O_RDWR|O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK);

    if (pred->fd == -1) {
        rc = (ngx_errno == NGX_ENOENT) ? NGX_DECLINED : NGX_ERROR;
        (void) ngx_eb_checkpoint_fail(try, ngx_errno, "cannot open \"%s\"",
                                      path);
        return rc;
    }

    rc = NGX_ERROR;

    exclusive = (wait && flock(pred->fd, LOCK_EX|LOCK_NB) == 0);

    if (!exclusive) {

        if (wait) {
            if (ngx_eb_checkpoint_wait(&named, pred->fd) != NGX_OK) {
                goto failed;
            }

        } else if (flock(pred->fd, LOCK_SH|LOCK_NB) == -1) {
            (void) ngx_eb_checkpoint_fail(try, ngx_errno,
                                          "cannot lock \"%s\"", path);
            goto failed;
        }
    }

    if (fstat(pred->fd, &st) == -1) {
        (void) ngx_eb_checkpoint_fail(try, ngx_errno, "cannot stat \"%s\"",
                                      path);
        goto failed;
    }

    if (ngx_eb_checkpoint_trusted(&named, pred->fd, &st) != NGX_OK) {
        goto failed;
    }

    rc = ngx_eb_checkpoint_validate(&named, pred->fd, st.st_size, &c);

    if (rc != NGX_OK) {
        goto failed;
    }

    if (c.check != cp->header->constant.from) {
        (void) ngx_eb_checkpoint_fail(try, 0, "\"%s\" is another file", path);
        rc = NGX_DECLINED;
        goto failed;
    }

    rc = NGX_ERROR;

    if (ngx_eb_checkpoint_map(pred, &named, &c) != NGX_OK) {
        goto failed;
    }

    if (exclusive) {
        if (ngx_eb_checkpoint_anew(pred, &named) != NGX_OK
            || ngx_eb_checkpoint_wait(&named, pred->fd) != NGX_OK)
        {
            goto failed;
        }

    } else {
        ngx_eb_checkpoint_boot(boot);

        if (ngx_memcmp(boot, pred->header->boot, sizeof(boot)) != 0) {
            (void) ngx_eb_checkpoint_fail(try, 0, "\"%s\" is held by another "
                                          "host", path);
            goto failed;
        }
    }

    NGX_EB_STEP();

    if (pred->header->moved == 0) {

        if (ngx_eb_checkpoint_lock(pred, &pred->header->lock) != NGX_OK) {
            (void) ngx_eb_checkpoint_fail(try, 0, "\"%s\" has an unusable "
                                          "lock", path);
            goto failed;
        }

        ngx_eb_checkpoint_publish(pred, cp->header->constant.check);

        (void) pthread_mutex_unlock(&pred->header->lock);
    }

    return NGX_OK;

failed:

    ngx_eb_checkpoint_detach(pred);

    return rc;
}


ngx_int_t
ngx_eb_checkpoint_follow(ngx_eb_checkpoint_t *cp)
{
    u_char                   errstr[NGX_MAX_CONF_ERRSTR];
    ngx_err_t                err;
    ngx_int_t                rc;
    ngx_uint_t               direct, moving;
    ngx_eb_checkpoint_t      next, pred;
    ngx_eb_checkpoint_try_t  try;

    try.conf = cp->conf;
    try.log = cp->log;
    try.errstr = errstr;
    try.errlen = sizeof(errstr);
    try.err = &err;

    ngx_memzero(&pred, sizeof(ngx_eb_checkpoint_t));

    pred.fd = -1;
    pred.owner = -1;

    if (cp->prev && cp->flushing) {
        return NGX_DECLINED;
    }

    rc = ngx_eb_checkpoint_open_next(&next, cp, &try);

    if (rc != NGX_OK) {
        goto failed;
    }

    direct = (next.header->constant.from == cp->header->constant.check);
    moving = (next.header->drained == NGX_EB_CHECKPOINT_MOVING);

    /* what a thread flushes stays open */

    if (cp->flushing && !(direct && moving)) {
        rc = NGX_DECLINED;
        goto failed;
    }

    if (direct && cp->header->moved == 0) {

        if (ngx_eb_checkpoint_lock(cp, &cp->header->lock) != NGX_OK) {
            goto failed;
        }

        ngx_eb_checkpoint_publish(cp, next.header->constant.check);

        (void) pthread_mutex_unlock(&cp->header->lock);
    }

    /* one that comes late finds nothing in the file that it has */

    if (!direct && moving) {

        rc = ngx_eb_checkpoint_open_prev(&pred, &next, &try, 0);

        if (rc != NGX_OK) {

            /* its move may have ended since, and another one have begun */

            rc = (next.header->drained == NGX_EB_CHECKPOINT_MOVING)
                 ? NGX_ERROR : NGX_DECLINED;

            goto failed;
        }
    }

    if (cp->owner != -1 && cp->pid == getpid()) {

        rc = ngx_eb_checkpoint_slot(&next);

        if (rc != NGX_OK) {
            (void) ngx_eb_checkpoint_fail(&try, 0, "it has no free owner "
                                          "slot, all %uD are in use",
                                          next.nowners);
            goto failed;
        }

        ngx_eb_checkpoint_tokens(&next, cp);
    }

    ngx_eb_checkpoint_named(&next, cp);

    ngx_eb_checkpoint_release(cp);

    if (direct && moving) {

        ngx_eb_checkpoint_install(cp->room, cp);
        cp->prev = cp->room;

    } else {

        /* without it, or with that of the one which was left out */

        ngx_eb_checkpoint_detach(cp);

        if (pred.header) {
            ngx_eb_checkpoint_install(cp->room, &pred);
            cp->prev = cp->room;
        }
    }

    ngx_eb_checkpoint_install(cp, &next);

    cp->lost = 0;

    return NGX_OK;

failed:

    if (rc == NGX_ERROR && !cp->lost) {
        cp->lost = 1;
        ngx_log_error(NGX_LOG_ALERT, cp->log, err,
                      "eventbridge: checkpoint \"%V\" cannot go over to its "
                      "successor: %s", &cp->conf->name, errstr);
    }

    ngx_eb_checkpoint_detach(&pred);
    ngx_eb_checkpoint_detach(&next);

    return NGX_DECLINED;
}


static ngx_int_t
ngx_eb_checkpoint_open_next(ngx_eb_checkpoint_t *next,
    ngx_eb_checkpoint_t *cp, ngx_eb_checkpoint_try_t *try)
{
    ngx_str_t                     *path;
    struct stat                    st;
    ngx_eb_checkpoint_constant_t   c;

    path = &cp->conf->path;

    ngx_memzero(next, sizeof(ngx_eb_checkpoint_t));

    next->conf = cp->conf;
    next->log = cp->log;
    next->owner = -1;

    next->fd = open((char *) path->data,
                    O_RDWR|O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK);

    if (next->fd == -1) {
        (void) ngx_eb_checkpoint_fail(try, ngx_errno, "cannot open \"%V\"",
                                      path);
        return NGX_ERROR;
    }

    if (fstat(next->fd, &st) == -1) {
        (void) ngx_eb_checkpoint_fail(try, ngx_errno, "cannot stat \"%V\"",
                                      path);
        return NGX_ERROR;
    }

    if (ngx_eb_checkpoint_trusted(try, next->fd, &st) != NGX_OK) {
        return NGX_ERROR;
    }

    /* it is locked exclusively for moments only, and may be replaced */

    if (flock(next->fd, LOCK_SH|LOCK_NB) == -1
        || !ngx_eb_checkpoint_same(next->fd, path->data))
    {
        return NGX_DECLINED;
    }

    if (ngx_eb_checkpoint_validate(try, next->fd, st.st_size, &c) != NGX_OK) {
        return NGX_ERROR;
    }

    if (c.check == cp->header->constant.check) {

        if (cp->header->moved == 0) {
            return NGX_DECLINED;
        }

        (void) ngx_eb_checkpoint_fail(try, 0, "\"%V\" is the old one", path);
        return NGX_ERROR;
    }

    if (ngx_memcmp(c.secret, cp->header->constant.secret, sizeof(c.secret))
        != 0)
    {
        (void) ngx_eb_checkpoint_fail(try, 0, "\"%V\" is another checkpoint",
                                      path);
        return NGX_ERROR;
    }

    return ngx_eb_checkpoint_map(next, try, &c);
}


/*
 * Tokens of running deliveries get a place among those of the slot: the
 * number that a delivery knows stays the same.
 */

static void
ngx_eb_checkpoint_tokens(ngx_eb_checkpoint_t *next, ngx_eb_checkpoint_t *cp)
{
    uint32_t                    n;
    ngx_eb_checkpoint_owner_t  *from, *to;

    from = &cp->owners[cp->owner];
    to = &next->owners[next->owner];

    n = ngx_min(from->next - from->first, NGX_EB_TABLE_TOKENS / 2);

    next->shift = to->next - (from->next - n - cp->shift);

    __atomic_store_n(&to->next, to->next + n, __ATOMIC_RELEASE);
}


/* destinations that were named since the registry was copied */

static void
ngx_eb_checkpoint_named(ngx_eb_checkpoint_t *next, ngx_eb_checkpoint_t *cp)
{
    ngx_uint_t                 i;
    ngx_eb_checkpoint_dest_t  *from, *to;

    for (i = 0; i < NGX_EB_CHECKPOINT_DESTS; i++) {

        from = &cp->header->dests[i];
        to = &next->header->dests[i];

        if (from->check == to->check
            && from->last_named > to->last_named)
        {
            __atomic_store_n(&to->last_named, from->last_named,
                             __ATOMIC_RELAXED);
        }
    }
}


/* cp gets what the other one has of a file */

static void
ngx_eb_checkpoint_install(ngx_eb_checkpoint_t *cp, ngx_eb_checkpoint_t *file)
{
    cp->table = file->table;
    cp->table.data = cp;

    cp->conf = file->conf;
    cp->header = file->header;
    cp->owners = file->owners;
    cp->locks = file->locks;
    cp->log = file->log;
    cp->size = file->size;
    cp->nowners = file->nowners;
    cp->fd = file->fd;
    cp->owner = file->owner;
    cp->pid = getpid();
    cp->shift = file->shift;
}


void
ngx_eb_checkpoint_release(ngx_eb_checkpoint_t *cp)
{
    if (cp->prev) {
        ngx_eb_checkpoint_detach(cp->prev);
        cp->prev = NULL;
    }
}


/* all that has moved is to be on the disk before the predecessor goes */

ngx_err_t
ngx_eb_checkpoint_finish(ngx_eb_checkpoint_t *cp)
{
    ngx_err_t                    err;
    ngx_eb_checkpoint_header_t  *h;

    h = cp->flush_header;

    /* in a thread, so that the worker does not wait for the disk */

    if (ngx_eb_checkpoint_mover(h, 0) != NGX_OK) {
        return 0;
    }

    err = ngx_eb_checkpoint_finish_locked(cp->conf, h, cp->flush_fd, 1);

    (void) pthread_mutex_unlock(&h->mover);

    return err;
}


ngx_err_t
ngx_eb_checkpoint_finish_locked(ngx_eb_checkpoint_conf_t *conf,
    ngx_eb_checkpoint_header_t *h, ngx_fd_t fd, ngx_uint_t sync)
{
    ngx_err_t  err;

    /* if there is a successor by now, PATH.prev is the file of h itself */

    if (h->moved || h->drained != NGX_EB_CHECKPOINT_DRAINED) {
        return 0;
    }

    if (sync && fdatasync(fd) == -1) {
        return ngx_errno;
    }

    NGX_EB_STEP();

    __atomic_store_n(&h->drained, NGX_EB_CHECKPOINT_FINISHED,
                     __ATOMIC_RELEASE);

    NGX_EB_STEP();

    if (sync && fdatasync(fd) == -1) {
        return ngx_errno;
    }

    NGX_EB_STEP();

    err = ngx_eb_checkpoint_remove(conf, h->constant.from);

    __atomic_store_n(&h->freed, 1, __ATOMIC_RELEASE);

    return err;
}


/* deletes PATH.prev, if it is that file, and frees what it takes */

static ngx_err_t
ngx_eb_checkpoint_remove(ngx_eb_checkpoint_conf_t *conf, uint64_t check)
{
    u_char                        path[NGX_MAX_PATH];
    ngx_err_t                     err;
    ngx_fd_t                      fd;
    ngx_eb_checkpoint_constant_t  c;

    (void) ngx_sprintf(path, "%V.prev%Z", &conf->path);

    fd = open((char *) path, O_RDWR|O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK);

    if (fd == -1) {
        return (ngx_errno == NGX_ENOENT) ? 0 : ngx_errno;
    }

    err = 0;

    if (pread(fd, &c, sizeof(c), 0) == (ssize_t) sizeof(c)
        && c.check == check)
    {
        /*
         * Masters have it mapped until their next configuration; the header
         * stays, for who has not read the notice yet.
         */

        (void) fallocate(fd, FALLOC_FL_PUNCH_HOLE|FALLOC_FL_KEEP_SIZE,
                         (off_t) c.tags_offset,
                         (off_t) (c.size - c.tags_offset));

        NGX_EB_STEP();

        if (unlink((char *) path) == -1) {
            err = ngx_errno;
        }
    }

    (void) close(fd);

    return err;
}
