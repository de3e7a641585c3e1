
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
#include <sys/vfs.h>

#define XXH_INLINE_ALL
#include <xxhash.h>


#define NGX_EB_CHECKPOINT_VERSION     2         /* 1 had no tags */
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


typedef struct {
    uint32_t                   type;
    char                      *name;
} ngx_eb_checkpoint_fs_t;


static ngx_int_t ngx_eb_checkpoint_layout(uint64_t size,
    ngx_eb_checkpoint_constant_t *c);
static uint64_t ngx_eb_checkpoint_sum(ngx_eb_checkpoint_constant_t *c);
static ngx_int_t ngx_eb_checkpoint_trusted(ngx_eb_checkpoint_try_t *try,
    struct stat *st);
static ngx_int_t ngx_eb_checkpoint_local(ngx_eb_checkpoint_try_t *try,
    ngx_fd_t fd);
static ngx_int_t ngx_eb_checkpoint_validate(ngx_eb_checkpoint_try_t *try,
    ngx_fd_t fd, off_t size, ngx_eb_checkpoint_constant_t *c);
static ngx_int_t ngx_eb_checkpoint_absent(ngx_eb_checkpoint_try_t *try);
static void ngx_eb_checkpoint_directory(ngx_eb_checkpoint_try_t *try,
    u_char *buf);
static ngx_int_t ngx_eb_checkpoint_same(ngx_fd_t fd, u_char *path);
static ngx_int_t ngx_eb_checkpoint_wait(ngx_eb_checkpoint_try_t *try,
    ngx_fd_t fd);
static ngx_int_t ngx_eb_checkpoint_create(ngx_eb_checkpoint_try_t *try,
    ngx_uint_t reset, ngx_fd_t *fdp);
static ngx_int_t ngx_eb_checkpoint_write(ngx_eb_checkpoint_try_t *try,
    ngx_fd_t fd, u_char *path, ngx_uint_t reset);
static ngx_int_t ngx_eb_checkpoint_sync_directory(
    ngx_eb_checkpoint_try_t *try);
static ngx_int_t ngx_eb_checkpoint_aside(ngx_eb_checkpoint_try_t *try);
static ngx_int_t ngx_eb_checkpoint_allocate(ngx_fd_t fd, uint64_t size);
static ngx_int_t ngx_eb_checkpoint_map(ngx_eb_checkpoint_t *cp,
    ngx_eb_checkpoint_try_t *try, ngx_eb_checkpoint_constant_t *c);
static ngx_int_t ngx_eb_checkpoint_anew(ngx_eb_checkpoint_t *cp,
    ngx_eb_checkpoint_try_t *try);
static void ngx_eb_checkpoint_boot(u_char *id);


/* file systems on which two hosts may see one file, but not one memory */

static ngx_eb_checkpoint_fs_t  ngx_eb_checkpoint_remote[] = {
    { 0x00006969, "nfs" },
    { 0x0000517b, "smb" },
    { 0xff534d42, "cifs" },
    { 0xfe534d42, "smb2" },
    { 0x5346414f, "afs" },
    { 0x6b414653, "afs" },
    { 0x00c36400, "ceph" },
    { 0x73757245, "coda" },
    { 0x0000564c, "ncp" },
    { 0x0bd00bd0, "lustre" },
    { 0x47504653, "gpfs" },
    { 0x01021997, "9p" },
    { 0, NULL }
};


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

    if (ngx_eb_checkpoint_trusted(&try, &st) != NGX_OK
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
 * The layout follows from the size of the file alone.  Version 2 must never
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


static ngx_int_t
ngx_eb_checkpoint_local(ngx_eb_checkpoint_try_t *try, ngx_fd_t fd)
{
    struct statfs            fs;
    ngx_eb_checkpoint_fs_t  *remote;

    if (fstatfs(fd, &fs) == -1) {
        return ngx_eb_checkpoint_fail(try, ngx_errno,
                                      "cannot stat the file system of \"%V\"",
                                      &try->conf->path);
    }

    for (remote = ngx_eb_checkpoint_remote; remote->name; remote++) {

        /* f_type is signed, and of the width of a word */

        if ((uint32_t) fs.f_type == remote->type) {
            return ngx_eb_checkpoint_fail(try, 0,
                                          "\"%V\" is on a network file "
                                          "system (%s)", &try->conf->path,
                                          remote->name);
        }
    }

    return NGX_OK;
}


/* NGX_DECLINED: a file of ours, but damaged, or of an older version */

static ngx_int_t
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

    if (c->version != NGX_EB_CHECKPOINT_VERSION) {
        (void) ngx_eb_checkpoint_fail(try, 0,
                                      "\"%V\" has format version %uD, older "
                                      "than %d", path, c->version,
                                      NGX_EB_CHECKPOINT_VERSION);
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


/* -t: can a file be made in the directory? */

static ngx_int_t
ngx_eb_checkpoint_absent(ngx_eb_checkpoint_try_t *try)
{
    u_char         dir[NGX_MAX_PATH];
    ngx_fd_t       fd;
    ngx_int_t      rc;
    uint64_t       size;
    struct statfs  fs;

    ngx_eb_checkpoint_directory(try, dir);

    fd = open((char *) dir, O_RDONLY|O_CLOEXEC|O_DIRECTORY);

    if (fd == -1) {
        return ngx_eb_checkpoint_fail(try, ngx_errno,
                                      "cannot open directory \"%s\"", dir);
    }

    rc = ngx_eb_checkpoint_local(try, fd);

    if (rc != NGX_OK) {
        goto done;
    }

    if (faccessat(AT_FDCWD, (char *) dir, W_OK|X_OK, AT_EACCESS) == -1) {
        rc = ngx_eb_checkpoint_fail(try, ngx_errno,
                                    "cannot create files in \"%s\"", dir);
        goto done;
    }

    if (fstatfs(fd, &fs) == -1) {
        rc = ngx_eb_checkpoint_fail(try, ngx_errno,
                                    "cannot stat the file system of \"%s\"",
                                    dir);
        goto done;
    }

    size = ngx_eb_checkpoint_round(try->conf->size);

    /* f_blocks is 0 where the file system has no limit */

    if (fs.f_blocks && fs.f_bsize > 0
        && size / (uint64_t) fs.f_bsize > fs.f_bavail)
    {
        rc = ngx_eb_checkpoint_fail(try, NGX_ENOSPC,
                                    "no room in \"%s\" for %uz bytes", dir,
                                    try->conf->size);
    }

done:

    (void) close(fd);

    return rc;
}


static void
ngx_eb_checkpoint_directory(ngx_eb_checkpoint_try_t *try, u_char *buf)
{
    size_t  len;

    for (len = try->conf->path.len; len > 0; len--) {
        if (try->conf->path.data[len - 1] == '/') {
            break;
        }
    }

    if (len == 0) {
        buf[len++] = '.';

    } else {
        ngx_memcpy(buf, try->conf->path.data, len);
    }

    buf[len] = '\0';
}


/* does path name the open file? */

static ngx_int_t
ngx_eb_checkpoint_same(ngx_fd_t fd, u_char *path)
{
    struct stat  st, named;

    if (fstat(fd, &st) == -1 || lstat((char *) path, &named) == -1) {
        return 0;
    }

    return st.st_dev == named.st_dev && st.st_ino == named.st_ino;
}


/* a file that nobody else can go on writing to */

static ngx_int_t
ngx_eb_checkpoint_trusted(ngx_eb_checkpoint_try_t *try, struct stat *st)
{
    if (!S_ISREG(st->st_mode)) {
        return ngx_eb_checkpoint_fail(try, 0, "\"%V\" is not a file",
                                      &try->conf->path);
    }

    if (st->st_nlink > 1) {
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

            if (ngx_eb_checkpoint_trusted(try, &st) != NGX_OK
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

        if (cp->header->moved) {
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

static ngx_int_t
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
 * Makes an empty checkpoint as PATH.new and renames it; on return *fdp is
 * the new file, locked exclusively, and what it was before is closed.
 * NGX_AGAIN: somebody else did it.
 */

static ngx_int_t
ngx_eb_checkpoint_create(ngx_eb_checkpoint_try_t *try, ngx_uint_t reset,
    ngx_fd_t *fdp)
{
    u_char       path[NGX_MAX_PATH];
    ngx_fd_t     fd, old;
    ngx_uint_t   i;
    struct stat  st;

    (void) ngx_sprintf(path, "%V.new%Z", &try->conf->path);

    for (i = 0; i < NGX_EB_CHECKPOINT_WAIT; i++) {

        fd = open((char *) path, O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC|O_NOFOLLOW,
                  0600);

        if (fd != -1) {

            /* its lock is ours unless it is taken for a relic, see below */

            if (flock(fd, LOCK_EX|LOCK_NB) == 0
                && ngx_eb_checkpoint_same(fd, path))
            {
                goto found;
            }

            (void) close(fd);
            continue;
        }

        if (ngx_errno != NGX_EEXIST) {
            return ngx_eb_checkpoint_fail(try, ngx_errno,
                                          "cannot create \"%s\"", path);
        }

        old = open((char *) path, O_RDONLY|O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK);

        if (old == -1) {

            if (ngx_errno == NGX_ENOENT) {
                continue;
            }

            return ngx_eb_checkpoint_fail(try, ngx_errno,
                                          "cannot open \"%s\"", path);
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

    return ngx_eb_checkpoint_fail(try, 0, "\"%s\" is locked by another "
                                  "process", path);

found:

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

    if (ngx_eb_checkpoint_write(try, fd, path, reset) != NGX_OK) {
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


static ngx_int_t
ngx_eb_checkpoint_write(ngx_eb_checkpoint_try_t *try, ngx_fd_t fd,
    u_char *path, ngx_uint_t reset)
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

    for (got = 0; got < sizeof(c.secret); got += n) {

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


static ngx_int_t
ngx_eb_checkpoint_sync_directory(ngx_eb_checkpoint_try_t *try)
{
    u_char    dir[NGX_MAX_PATH];
    ngx_fd_t  fd;

    ngx_eb_checkpoint_directory(try, dir);

    fd = open((char *) dir, O_RDONLY|O_CLOEXEC|O_DIRECTORY);

    if (fd == -1) {
        return ngx_eb_checkpoint_fail(try, ngx_errno,
                                      "cannot open directory \"%s\"", dir);
    }

    /* EINVAL: a file system that cannot */

    if (fsync(fd) == -1 && ngx_errno != NGX_EINVAL) {
        (void) ngx_eb_checkpoint_fail(try, ngx_errno,
                                      "cannot sync directory \"%s\"", dir);
        (void) close(fd);
        return NGX_ERROR;
    }

    (void) close(fd);

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


/* all of it: a page that the disk has no room for is a SIGBUS later */

static ngx_int_t
ngx_eb_checkpoint_allocate(ngx_fd_t fd, uint64_t size)
{
    int  rc;

    do {
        rc = posix_fallocate(fd, 0, (off_t) size);
    } while (rc == NGX_EINTR);

    if (rc != 0) {
        ngx_set_errno(rc);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
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

    return NGX_OK;
}


/*
 * For who holds the file alone: the locks name threads that are gone, maybe
 * of another run of the kernel, and so do the claims.
 */

static ngx_int_t
ngx_eb_checkpoint_anew(ngx_eb_checkpoint_t *cp, ngx_eb_checkpoint_try_t *try)
{
    int                          rc;
    ngx_uint_t                   i;
    pthread_mutexattr_t          attr;
    ngx_eb_checkpoint_owner_t   *slot;
    ngx_eb_checkpoint_header_t  *h;

    h = cp->header;

    if (h->moved) {
        return ngx_eb_checkpoint_fail(try, 0, "\"%V\" was replaced by a "
                                      "successor", &try->conf->path);
    }

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


static void
ngx_eb_checkpoint_boot(u_char *id)
{
    ssize_t   n;
    ngx_fd_t  fd;

    ngx_memzero(id, 40);

    fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY|O_CLOEXEC);

    if (fd == -1) {
        return;
    }

    n = read(fd, id, 36);

    if (n != 36) {
        ngx_memzero(id, 40);
    }

    (void) close(fd);
}


void
ngx_eb_checkpoint_detach(void *data)
{
    ngx_eb_checkpoint_t *cp = data;

    /* a lock that is held must not be unmapped */

    ngx_eb_checkpoint_close(cp);

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
