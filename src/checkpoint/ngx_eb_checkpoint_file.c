
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The checkpoint's file: its creation and validation, and the flock that tells
 * whether anybody else uses it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_checkpoint_file.h"

#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>


#define NGX_EB_CHECKPOINT_ENDIAN      0x01020304
#define NGX_EB_CHECKPOINT_MAGIC       "\x8bngxebck"     /* 8 bytes */

#define NGX_EB_CHECKPOINT_MIN_SIZE    65536
#define NGX_EB_CHECKPOINT_MAX_SIZE    ((uint64_t) 1 << 46)

/* a file of less than that has fewer owner slots, they take 64K otherwise */
#define NGX_EB_CHECKPOINT_SMALL       (1024 * 1024)
#define NGX_EB_CHECKPOINT_FEW_OWNERS  32

/* how far a slot's tokens jump when claims of an unknown past may be on the
   disk */
#define NGX_EB_CHECKPOINT_TOKEN_SKIP  (NGX_EB_TABLE_TOKENS / 4)

#define NGX_EB_CHECKPOINT_STEP        10        /* ms between two tries */
#define NGX_EB_CHECKPOINT_TRIES       100
#define NGX_EB_CHECKPOINT_WAIT        6000      /* tries: a minute */


static ngx_int_t ngx_eb_checkpoint_layout(uint64_t size,
    ngx_eb_checkpoint_constant_t *c);
static uint64_t ngx_eb_checkpoint_sum(ngx_eb_checkpoint_constant_t *c);
static ngx_int_t ngx_eb_checkpoint_create(ngx_eb_checkpoint_try_t *try,
    ngx_uint_t reset, ngx_fd_t *fdp);
static ngx_int_t ngx_eb_checkpoint_aside(ngx_eb_checkpoint_try_t *try);


ngx_int_t
ngx_eb_checkpoint_test(ngx_eb_checkpoint_conf_t *conf, u_char *errstr,
    size_t errlen, ngx_err_t *err)
{
    ngx_fd_t                      fd;
    ngx_int_t                     rc;
    struct stat                   st;
    ngx_eb_checkpoint_try_t       try;
    ngx_eb_checkpoint_constant_t  c;

    try.conf = conf;
    try.log = NULL;
    try.errstr = errstr;
    try.errlen = errlen;
    try.err = err;

    if (ngx_eb_checkpoint_conf(&try) != NGX_OK) {
        return NGX_ERROR;
    }

    /* O_NOATIME is not for everybody; O_NONBLOCK: path may be a FIFO */

    fd = open((char *) conf->path.data,
              O_RDONLY|O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK|O_NOATIME);

    if (fd == -1 && ngx_errno == NGX_EPERM) {
        fd = open((char *) conf->path.data,
                  O_RDONLY|O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK);
    }

    if (fd == -1) {
        if (ngx_errno == NGX_ENOENT) {
            return ngx_eb_checkpoint_absent(&try);
        }

        return ngx_eb_checkpoint_fail(&try, ngx_errno,
                                      "cannot open \"%V\"", &conf->path);
    }

    rc = NGX_ERROR;

    if (fstat(fd, &st) == -1) {
        (void) ngx_eb_checkpoint_fail(&try, ngx_errno,
                                      "cannot stat \"%V\"", &conf->path);
        goto done;
    }

    if (ngx_eb_checkpoint_trusted(&try, fd, &st) != NGX_OK
        || ngx_eb_checkpoint_local(&try, fd) != NGX_OK)
    {
        goto done;
    }

    if (faccessat(AT_FDCWD, (char *) conf->path.data, R_OK|W_OK, AT_EACCESS)
        == -1)
    {
        (void) ngx_eb_checkpoint_fail(&try, ngx_errno,
                                      "cannot write to \"%V\"", &conf->path);
        goto done;
    }

    if (st.st_size == 0) {
        rc = ngx_eb_checkpoint_absent(&try);
        goto done;
    }

    rc = ngx_eb_checkpoint_validate(&try, fd, st.st_size, &c);

    if (rc == NGX_DECLINED) {

        /* with on_corrupt=reset it will be set aside, and made anew */

        rc = conf->corrupt_refuse ? NGX_ERROR
                                  : ngx_eb_checkpoint_absent(&try);

    } else if (rc == NGX_OK
               && (c.size != ngx_eb_checkpoint_round(conf->size)
                   || c.version != NGX_EB_CHECKPOINT_VERSION))
    {
        /* a successor will be made beside it */

        rc = ngx_eb_checkpoint_absent(&try);
    }

done:

    (void) close(fd);

    return rc;
}


ngx_int_t
ngx_eb_checkpoint_fail(ngx_eb_checkpoint_try_t *try, ngx_err_t err,
    const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    if (try->errlen) {
        va_start(args, fmt);
        p = ngx_vslprintf(try->errstr, try->errstr + try->errlen - 1, fmt,
                          args);
        va_end(args);

        *p = '\0';
    }

    if (try->err) {
        *try->err = err;
    }

    return NGX_ERROR;
}


/*
 * The layout follows from the size of the file alone.  A version must never
 * compute it in another way.
 */

static ngx_int_t
ngx_eb_checkpoint_layout(uint64_t size, ngx_eb_checkpoint_constant_t *c)
{
    uint64_t  buckets, offset, tagged;

    if (size < NGX_EB_CHECKPOINT_MIN_SIZE || size > NGX_EB_CHECKPOINT_MAX_SIZE
        || size % NGX_EB_CHECKPOINT_PAGE)
    {
        return NGX_ERROR;
    }

    c->size = size;
    c->owners = (size < NGX_EB_CHECKPOINT_SMALL)
                ? NGX_EB_CHECKPOINT_FEW_OWNERS : NGX_EB_TABLE_OWNERS;
    c->mutex_size = sizeof(pthread_mutex_t);

    offset = NGX_EB_CHECKPOINT_PAGE;
    c->owners_offset = offset;

    offset += ngx_eb_checkpoint_round(c->owners
                                      * sizeof(ngx_eb_checkpoint_owner_t));
    c->locks_offset = offset;

    /* room for all locks, however many regions there are in the end */

    offset += (size < NGX_EB_CHECKPOINT_SMALL)
              ? NGX_EB_CHECKPOINT_PAGE
              : NGX_EB_TABLE_REGIONS * sizeof(ngx_eb_checkpoint_lock_t);
    c->tags_offset = offset;

    /* the tags end with a page, which may cost some of the buckets */

    tagged = (size - offset) / (NGX_EB_TABLE_BUCKET + NGX_EB_TABLE_TAGS);

    offset += ngx_eb_checkpoint_round(tagged * NGX_EB_TABLE_TAGS);
    c->table_offset = offset;

    buckets = (size - offset) / NGX_EB_TABLE_BUCKET;

    if (!ngx_eb_table_geometry(ngx_min(buckets, tagged), &c->regions,
                               &c->width))
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


uint64_t
ngx_eb_checkpoint_round(uint64_t size)
{
    return (size + NGX_EB_CHECKPOINT_PAGE - 1)
           & ~((uint64_t) NGX_EB_CHECKPOINT_PAGE - 1);
}


static uint64_t
ngx_eb_checkpoint_sum(ngx_eb_checkpoint_constant_t *c)
{
    return XXH3_64bits(c, offsetof(ngx_eb_checkpoint_constant_t, check));
}


ngx_int_t
ngx_eb_checkpoint_conf(ngx_eb_checkpoint_try_t *try)
{
    ngx_eb_checkpoint_constant_t  c;

    /* names in the directory are made of path, and need some room */

    if (try->conf->path.len == 0 || try->conf->path.len > NGX_MAX_PATH - 64) {
        return ngx_eb_checkpoint_fail(try, NGX_ENAMETOOLONG,
                                      "path is empty or too long");
    }

    if (try->conf->size < NGX_EB_CHECKPOINT_MIN_SIZE) {
        return ngx_eb_checkpoint_fail(try, 0,
                                      "size %uz is too small, the minimum "
                                      "is 64k", try->conf->size);
    }

    if (ngx_eb_checkpoint_layout(ngx_eb_checkpoint_round(try->conf->size), &c)
        != NGX_OK)
    {
        return ngx_eb_checkpoint_fail(try, 0, "size %uz is too large",
                                      try->conf->size);
    }

    return NGX_OK;
}


/* NGX_DECLINED: a file of ours, but damaged, or of an older version */

ngx_int_t
ngx_eb_checkpoint_validate(ngx_eb_checkpoint_try_t *try, ngx_fd_t fd,
    off_t size, ngx_eb_checkpoint_constant_t *c)
{
    size_t                        len;
    ssize_t                       n;
    ngx_str_t                    *path;
    ngx_eb_checkpoint_constant_t  layout;

    path = &try->conf->path;

    ngx_memzero(c, sizeof(ngx_eb_checkpoint_constant_t));

    n = pread(fd, c, sizeof(ngx_eb_checkpoint_constant_t), 0);

    if (n == -1) {
        return ngx_eb_checkpoint_fail(try, ngx_errno, "cannot read \"%V\"",
                                      path);
    }

    /* a file cut inside of the magic is told by what is left of it */

    len = ngx_min((size_t) n, sizeof(c->magic));

    if (n == 0 || ngx_memcmp(c->magic, NGX_EB_CHECKPOINT_MAGIC, len) != 0) {
        return ngx_eb_checkpoint_fail(try, 0, "\"%V\" is not a checkpoint",
                                      path);
    }

    if ((size_t) n < offsetof(ngx_eb_checkpoint_constant_t, mutex_size)) {
        goto damaged;
    }

    if (c->endian == NGX_EB_CHECKPOINT_ENDIAN
        && c->version > NGX_EB_CHECKPOINT_VERSION)
    {
        return ngx_eb_checkpoint_fail(try, 0,
                                      "\"%V\" has format version %uD, newer "
                                      "than %d", path, c->version,
                                      NGX_EB_CHECKPOINT_VERSION);
    }

    if ((size_t) n != sizeof(ngx_eb_checkpoint_constant_t)
        || c->check != ngx_eb_checkpoint_sum(c)
        || c->endian != NGX_EB_CHECKPOINT_ENDIAN)
    {
        goto damaged;
    }

    if (c->version < NGX_EB_CHECKPOINT_OLDEST) {
        (void) ngx_eb_checkpoint_fail(try, 0,
                                      "\"%V\" has format version %uD, older "
                                      "than %d", path, c->version,
                                      NGX_EB_CHECKPOINT_OLDEST);
        return NGX_DECLINED;
    }

    if (c->mutex_size != sizeof(pthread_mutex_t)) {
        return ngx_eb_checkpoint_fail(try, 0,
                                      "\"%V\" was made on another platform",
                                      path);
    }

    if (ngx_eb_checkpoint_layout((uint64_t) size, &layout) != NGX_OK
        || c->size != layout.size
        || c->owners != layout.owners
        || c->regions != layout.regions
        || c->width != layout.width
        || c->owners_offset != layout.owners_offset
        || c->locks_offset != layout.locks_offset
        || c->tags_offset != layout.tags_offset
        || c->table_offset != layout.table_offset)
    {
        goto damaged;
    }

    return NGX_OK;

damaged:

    (void) ngx_eb_checkpoint_fail(try, 0, "\"%V\" is damaged", path);

    return NGX_DECLINED;
}


ngx_int_t
ngx_eb_checkpoint_trusted(ngx_eb_checkpoint_try_t *try, ngx_fd_t fd,
    struct stat *st)
{
    u_char  prev[NGX_MAX_PATH];

    if (!S_ISREG(st->st_mode)) {
        return ngx_eb_checkpoint_fail(try, 0, "\"%V\" is not a file",
                                      &try->conf->path);
    }

    /* whoever died making a successor has left PATH.prev as another name */

    (void) ngx_sprintf(prev, "%V.prev%Z", &try->conf->path);

    if (st->st_nlink > 2
        || (st->st_nlink == 2 && !ngx_eb_checkpoint_same(fd, prev)))
    {
        return ngx_eb_checkpoint_fail(try, 0, "\"%V\" has another name, too",
                                      &try->conf->path);
    }

    if (st->st_uid != geteuid() && st->st_uid != 0
        && st->st_uid != (uid_t) try->conf->user)
    {
        return ngx_eb_checkpoint_fail(try, 0, "\"%V\" belongs to another "
                                      "user", &try->conf->path);
    }

    return NGX_OK;
}


/*
 * A lock belongs to an open file, and the file that path names may change
 * until we have the lock: after each lock the name is looked at again.  path
 * is replaced only by who holds both the file it names (if there is one) and
 * the file PATH.new exclusively.
 */

ngx_int_t
ngx_eb_checkpoint_acquire(ngx_eb_checkpoint_t *cp,
    ngx_eb_checkpoint_try_t *try)
{
    u_char                        boot[40], *path;
    ngx_int_t                     rc;
    ngx_uint_t                    i, exclusive;
    struct stat                   st;
    ngx_eb_checkpoint_constant_t  c;

    path = try->conf->path.data;

    for (i = 0; i < NGX_EB_CHECKPOINT_TRIES; i++) {

        ngx_eb_checkpoint_detach(cp);

        cp->fd = open((char *) path,
                      O_RDWR|O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK);

        if (cp->fd == -1) {

            if (ngx_errno != NGX_ENOENT) {
                return ngx_eb_checkpoint_fail(try, ngx_errno,
                                              "cannot open \"%V\"",
                                              &try->conf->path);
            }

            exclusive = 1;
            rc = ngx_eb_checkpoint_create(try, 0, &cp->fd);

        } else {

            if (fstat(cp->fd, &st) == -1) {
                return ngx_eb_checkpoint_fail(try, ngx_errno,
                                              "cannot stat \"%V\"",
                                              &try->conf->path);
            }

            if (ngx_eb_checkpoint_trusted(try, cp->fd, &st) != NGX_OK
                || ngx_eb_checkpoint_local(try, cp->fd) != NGX_OK)
            {
                return NGX_ERROR;
            }

            exclusive = (flock(cp->fd, LOCK_EX|LOCK_NB) == 0);

            if (!exclusive
                && ngx_eb_checkpoint_wait(try, cp->fd) != NGX_OK)
            {
                return NGX_ERROR;
            }

            if (!ngx_eb_checkpoint_same(cp->fd, path)) {
                continue;
            }

            /* its size may have been another one before we had the lock */

            if (fstat(cp->fd, &st) == -1) {
                return ngx_eb_checkpoint_fail(try, ngx_errno,
                                              "cannot stat \"%V\"",
                                              &try->conf->path);
            }

            if (st.st_size == 0) {

                if (!exclusive) {
                    return ngx_eb_checkpoint_fail(try, 0,
                                                  "\"%V\" is empty and in "
                                                  "use", &try->conf->path);
                }

                rc = ngx_eb_checkpoint_create(try, 0, &cp->fd);

            } else {
                rc = ngx_eb_checkpoint_validate(try, cp->fd, st.st_size, &c);
            }

            if (rc == NGX_DECLINED) {

                if (try->conf->corrupt_refuse) {
                    return NGX_ERROR;
                }

                if (!exclusive) {
                    return ngx_eb_checkpoint_fail(try, 0,
                                                  "\"%V\" is damaged, and "
                                                  "in use", &try->conf->path);
                }

                if (ngx_eb_checkpoint_aside(try) != NGX_OK) {
                    return NGX_ERROR;
                }

                rc = ngx_eb_checkpoint_create(try, 1, &cp->fd);
            }
        }

        if (rc == NGX_AGAIN) {
            continue;
        }

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }

        if (fchmod(cp->fd, 0600) == -1) {
            ngx_log_error(NGX_LOG_WARN, try->log, ngx_errno,
                          "eventbridge: checkpoint \"%V\" cannot change the "
                          "mode of \"%V\"", &try->conf->name,
                          &try->conf->path);
        }

        if (geteuid() == 0
            && fchown(cp->fd, try->conf->user, try->conf->group) == -1)
        {
            return ngx_eb_checkpoint_fail(try, ngx_errno,
                                          "cannot change the owner of \"%V\"",
                                          &try->conf->path);
        }

        if (exclusive) {

            if (fstat(cp->fd, &st) == -1
                || ngx_eb_checkpoint_validate(try, cp->fd, st.st_size, &c)
                   != NGX_OK
                || ngx_eb_checkpoint_map(cp, try, &c) != NGX_OK
                || ngx_eb_checkpoint_anew(cp, try) != NGX_OK)
            {
                return NGX_ERROR;
            }

            /*
             * The change of the lock is not atomic: somebody else may have
             * been exclusive in between, and even have replaced the file.
             */

            if (ngx_eb_checkpoint_wait(try, cp->fd) != NGX_OK) {
                return NGX_ERROR;
            }

            if (!ngx_eb_checkpoint_same(cp->fd, path)) {
                continue;
            }

        } else if (ngx_eb_checkpoint_map(cp, try, &c) != NGX_OK) {
            return NGX_ERROR;
        }

        cp->alone = exclusive;

        if (cp->header->moved) {

            if (!ngx_eb_checkpoint_same(cp->fd, path)) {
                continue;
            }

            return ngx_eb_checkpoint_fail(try, 0,
                                          "\"%V\" was replaced by a "
                                          "successor", &try->conf->path);
        }

        ngx_eb_checkpoint_boot(boot);

        if (ngx_memcmp(boot, cp->header->boot, sizeof(boot)) != 0) {
            return ngx_eb_checkpoint_fail(try, 0,
                                          "\"%V\" is held by another host",
                                          &try->conf->path);
        }

        return NGX_OK;
    }

    return ngx_eb_checkpoint_fail(try, 0, "\"%V\" is replaced all the time",
                                  &try->conf->path);
}


/* waits for a shared lock: the exclusive one is held for moments only */

ngx_int_t
ngx_eb_checkpoint_wait(ngx_eb_checkpoint_try_t *try, ngx_fd_t fd)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_EB_CHECKPOINT_WAIT; i++) {

        if (flock(fd, LOCK_SH|LOCK_NB) == 0) {
            return NGX_OK;
        }

        if (ngx_errno != EWOULDBLOCK && ngx_errno != NGX_EINTR) {
            return ngx_eb_checkpoint_fail(try, ngx_errno,
                                          "cannot lock \"%V\"",
                                          &try->conf->path);
        }

        ngx_msleep(NGX_EB_CHECKPOINT_STEP);
    }

    return ngx_eb_checkpoint_fail(try, 0, "\"%V\" is locked by another "
                                  "process", &try->conf->path);
}


/*
 * A file beside the checkpoint that will be renamed: it is locked from the
 * first moment, for one that nobody locks is a relic of who died.
 */

ngx_fd_t
ngx_eb_checkpoint_temp(ngx_eb_checkpoint_try_t *try, u_char *path)
{
    ngx_fd_t    fd, old;
    ngx_uint_t  i;

    for (i = 0; i < NGX_EB_CHECKPOINT_WAIT; i++) {

        fd = open((char *) path, O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC|O_NOFOLLOW,
                  0600);

        if (fd != -1) {

            /* its lock is ours unless it is taken for a relic, see below */

            if (flock(fd, LOCK_EX|LOCK_NB) == 0
                && ngx_eb_checkpoint_same(fd, path))
            {
                return fd;
            }

            (void) close(fd);
            continue;
        }

        if (ngx_errno != NGX_EEXIST) {
            (void) ngx_eb_checkpoint_fail(try, ngx_errno,
                                          "cannot create \"%s\"", path);
            return -1;
        }

        old = open((char *) path, O_RDONLY|O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK);

        if (old == -1) {

            if (ngx_errno == NGX_ENOENT) {
                continue;
            }

            (void) ngx_eb_checkpoint_fail(try, ngx_errno,
                                          "cannot open \"%s\"", path);
            return -1;
        }

        if (flock(old, LOCK_EX|LOCK_NB) == 0) {

            /* nobody is making it: its maker died */

            if (ngx_eb_checkpoint_same(old, path)) {
                (void) unlink((char *) path);
            }

            (void) close(old);
            continue;
        }

        (void) close(old);

        ngx_msleep(NGX_EB_CHECKPOINT_STEP);
    }

    (void) ngx_eb_checkpoint_fail(try, 0, "\"%s\" is locked by another "
                                  "process", path);

    return -1;
}


/*
 * Makes an empty checkpoint as PATH.new and renames it; on return *fdp is
 * the new file, locked exclusively, and what it was before is closed.
 * NGX_AGAIN: somebody else did it.
 */

static ngx_int_t
ngx_eb_checkpoint_create(ngx_eb_checkpoint_try_t *try, ngx_uint_t reset,
    ngx_fd_t *fdp)
{
    u_char       path[NGX_MAX_PATH];
    ngx_fd_t     fd;
    struct stat  st;

    (void) ngx_sprintf(path, "%V.new%Z", &try->conf->path);

    fd = ngx_eb_checkpoint_temp(try, path);

    if (fd == -1) {
        return NGX_ERROR;
    }

    /* an empty file that we hold may be replaced, another one must not */

    if (lstat((char *) try->conf->path.data, &st) == 0) {

        if (*fdp == -1 || st.st_size != 0
            || !ngx_eb_checkpoint_same(*fdp, try->conf->path.data))
        {
            (void) unlink((char *) path);
            (void) close(fd);
            return NGX_AGAIN;
        }
    }

    if (ngx_eb_checkpoint_write(try, fd, path, reset, NULL) != NGX_OK) {
        (void) unlink((char *) path);
        (void) close(fd);
        return NGX_ERROR;
    }

    if (rename((char *) path, (char *) try->conf->path.data) == -1) {
        (void) ngx_eb_checkpoint_fail(try, ngx_errno,
                                      "cannot rename \"%s\" to \"%V\"", path,
                                      &try->conf->path);
        (void) unlink((char *) path);
        (void) close(fd);
        return NGX_ERROR;
    }

    if (*fdp != -1) {
        (void) close(*fdp);
    }

    *fdp = fd;

    return ngx_eb_checkpoint_sync_directory(try);
}


ngx_int_t
ngx_eb_checkpoint_write(ngx_eb_checkpoint_try_t *try, ngx_fd_t fd,
    u_char *path, ngx_uint_t reset, ngx_eb_checkpoint_constant_t *from)
{
    size_t                        got;
    ssize_t                       n;
    ngx_eb_checkpoint_constant_t  c;

    ngx_memzero(&c, sizeof(ngx_eb_checkpoint_constant_t));

    if (ngx_eb_checkpoint_layout(ngx_eb_checkpoint_round(try->conf->size), &c)
        != NGX_OK)
    {
        return ngx_eb_checkpoint_fail(try, 0, "size %uz is too large",
                                      try->conf->size);
    }

    if (ngx_eb_checkpoint_local(try, fd) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_eb_checkpoint_allocate(fd, c.size) != NGX_OK) {
        return ngx_eb_checkpoint_fail(try, ngx_errno,
                                      "cannot allocate %uL bytes for \"%s\"",
                                      c.size, path);
    }

    ngx_memcpy(c.magic, NGX_EB_CHECKPOINT_MAGIC, sizeof(c.magic));
    c.version = NGX_EB_CHECKPOINT_VERSION;
    c.endian = NGX_EB_CHECKPOINT_ENDIAN;
    c.created = (uint64_t) ngx_time();
    c.reset = reset;

    if (from) {

        /* the same fingerprints: an entry moves without its key */

        c.created = from->created;
        c.reset = from->reset;
        c.from = from->check;
        ngx_memcpy(c.secret, from->secret, sizeof(c.secret));
    }

    for (got = from ? sizeof(c.secret) : 0; got < sizeof(c.secret); got += n) {

        n = getrandom(c.secret + got, sizeof(c.secret) - got, 0);

        if (n == -1) {
            if (ngx_errno == NGX_EINTR) {
                n = 0;
                continue;
            }

            return ngx_eb_checkpoint_fail(try, ngx_errno,
                                          "getrandom() failed");
        }
    }

    c.check = ngx_eb_checkpoint_sum(&c);

    n = pwrite(fd, &c, sizeof(ngx_eb_checkpoint_constant_t), 0);

    if (n != (ssize_t) sizeof(ngx_eb_checkpoint_constant_t)) {
        return ngx_eb_checkpoint_fail(try, (n == -1) ? ngx_errno : 0,
                                      "cannot write \"%s\"", path);
    }

    /* a name must not appear before what it names */

    if (fsync(fd) == -1) {
        return ngx_eb_checkpoint_fail(try, ngx_errno, "cannot sync \"%s\"",
                                      path);
    }

    return NGX_OK;
}


/* sets a damaged file aside, under a name that is not in use */

static ngx_int_t
ngx_eb_checkpoint_aside(ngx_eb_checkpoint_try_t *try)
{
    u_char       path[NGX_MAX_PATH];
    ngx_uint_t   i;
    struct stat  st;

    for (i = 0; i < NGX_EB_CHECKPOINT_TRIES; i++) {

        if (i == 0) {
            (void) ngx_sprintf(path, "%V.corrupt-%T%Z", &try->conf->path,
                               ngx_time());

        } else {
            (void) ngx_sprintf(path, "%V.corrupt-%T.%ui%Z",
                               &try->conf->path, ngx_time(), i);
        }

        if (lstat((char *) path, &st) == 0) {
            continue;
        }

        if (rename((char *) try->conf->path.data, (char *) path) == -1) {
            return ngx_eb_checkpoint_fail(try, ngx_errno,
                                          "cannot rename \"%V\" to \"%s\"",
                                          &try->conf->path, path);
        }

        ngx_log_error(NGX_LOG_ALERT, try->log, 0,
                      "eventbridge: checkpoint \"%V\" starts empty, \"%V\" "
                      "is damaged and was renamed to \"%s\"",
                      &try->conf->name, &try->conf->path, path);

        return NGX_OK;
    }

    return ngx_eb_checkpoint_fail(try, 0, "no name left for the damaged "
                                  "\"%V\"", &try->conf->path);
}


ngx_int_t
ngx_eb_checkpoint_map(ngx_eb_checkpoint_t *cp, ngx_eb_checkpoint_try_t *try,
    ngx_eb_checkpoint_constant_t *c)
{
    u_char  *p;

    p = mmap(NULL, c->size, PROT_READ|PROT_WRITE, MAP_SHARED, cp->fd, 0);

    if (p == MAP_FAILED) {
        return ngx_eb_checkpoint_fail(try, ngx_errno, "cannot map \"%V\"",
                                      &try->conf->path);
    }

    cp->size = c->size;
    cp->nowners = c->owners;
    cp->header = (ngx_eb_checkpoint_header_t *) p;
    cp->owners = (ngx_eb_checkpoint_owner_t *) (p + c->owners_offset);
    cp->locks = (ngx_eb_checkpoint_lock_t *) (p + c->locks_offset);

    cp->table.entries = (ngx_eb_table_entry_t *) (p + c->table_offset);
    cp->table.tags = p + c->tags_offset;
    cp->table.regions = c->regions;
    cp->table.width = c->width;
    cp->table.secret = cp->header->constant.secret;
    ngx_memcpy(&cp->table.seed, c->secret, sizeof(uint64_t));
    cp->table.window = try->conf->window;
    cp->table.counters = &cp->header->counters;
    cp->table.full_reject = try->conf->full_reject;
    cp->table.live = ngx_eb_checkpoint_live;
    cp->table.data = cp;

    return NGX_OK;
}


/*
 * For who holds the file alone: the locks name threads that are gone, maybe
 * of another run of the kernel, and so do the claims.
 */

ngx_int_t
ngx_eb_checkpoint_anew(ngx_eb_checkpoint_t *cp, ngx_eb_checkpoint_try_t *try)
{
    int                          rc;
    ngx_uint_t                   i;
    pthread_mutexattr_t          attr;
    ngx_eb_checkpoint_owner_t   *slot;
    ngx_eb_checkpoint_header_t  *h;

    h = cp->header;

    /*
     * What names say counts: a successor has the name before the notice is
     * stored, so this one is either the predecessor, which gets its notice
     * again, or the file that whoever put it back wants to be used.
     */

    h->moved = 0;

    if (h->drained == NGX_EB_CHECKPOINT_DRAINED) {

        /* in memory only, maybe: nobody has waited for the disk */

        h->drained = NGX_EB_CHECKPOINT_MOVING;
    }

    h->cursor = 0;
    h->left = 0;
    h->stuck = 0;
    h->resume = 0;
    h->again = 0;

    /* it may be a sparse copy */

    if (ngx_eb_checkpoint_allocate(cp->fd, cp->size) != NGX_OK) {
        return ngx_eb_checkpoint_fail(try, ngx_errno,
                                      "cannot allocate %uz bytes for \"%V\"",
                                      cp->size, &try->conf->path);
    }

    rc = pthread_mutexattr_init(&attr);

    if (rc == 0) {
        rc = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    }

    if (rc == 0) {
        rc = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    }

    if (rc == 0) {
        ngx_memzero(&h->lock, sizeof(pthread_mutex_t));
        rc = pthread_mutex_init(&h->lock, &attr);
    }

    if (rc == 0) {
        ngx_memzero(&h->mover, sizeof(pthread_mutex_t));
        rc = pthread_mutex_init(&h->mover, &attr);
    }

    for (i = 0; rc == 0 && i < cp->table.regions; i++) {
        ngx_memzero(&cp->locks[i], sizeof(ngx_eb_checkpoint_lock_t));
        rc = pthread_mutex_init(&cp->locks[i].lock, &attr);
    }

    for (i = 0; rc == 0 && i < cp->nowners; i++) {

        slot = &cp->owners[i];

        ngx_memzero(&slot->lock, sizeof(pthread_mutex_t));
        rc = pthread_mutex_init(&slot->lock, &attr);

        /*
         * After a power cut the table may be newer than the slot, and hold
         * claims with tokens that the slot does not know of: leave them far
         * behind.
         */

        slot->used = 0;
        slot->next += NGX_EB_CHECKPOINT_TOKEN_SKIP;
        slot->first = slot->next;
        slot->heartbeat = 0;
    }

    if (rc != 0) {
        return ngx_eb_checkpoint_fail(try, rc, "cannot make the locks of "
                                      "\"%V\"", &try->conf->path);
    }

    (void) pthread_mutexattr_destroy(&attr);

    ngx_eb_checkpoint_boot(h->boot);

    h->sync_started = 0;

    /* a hint only: the disk reads ahead while the configuration is read */

    (void) madvise(h, cp->size, MADV_WILLNEED);

    return NGX_OK;
}


void
ngx_eb_checkpoint_detach(void *data)
{
    ngx_eb_checkpoint_t *cp = data;

    /* a lock that is held must not be unmapped */

    ngx_eb_checkpoint_close(cp);

    ngx_eb_checkpoint_release(cp);

    if (cp->header) {
        (void) munmap(cp->header, cp->size);
        cp->header = NULL;
    }

    /* the shared lock stays for as long as any process has a copy */

    if (cp->fd != -1) {
        (void) close(cp->fd);
        cp->fd = -1;
    }
}
