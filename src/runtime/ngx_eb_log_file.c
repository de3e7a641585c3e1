
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The file of an append log: its owner, its lock, appending and recovery.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_log_file.h"

#include <sys/file.h>
#include <sys/uio.h>

#define XXH_INLINE_ALL
#include <xxhash.h>


#define NGX_EB_LOG_WINDOW    16384      /* bytes of one backward read */
#define NGX_EB_LOG_IOVS      512        /* two for each record */
#define NGX_EB_LOG_STEP      10         /* ms between two tries to lock */
#define NGX_EB_LOG_TRIES     1000       /* replaced between open and lock */


/* a part of the file, for looking at it backward */

typedef struct {
    ngx_fd_t                  fd;
    off_t                     offset;
    size_t                    len;
    u_char                    buf[NGX_EB_LOG_WINDOW];
} ngx_eb_log_window_t;


static ngx_err_t ngx_eb_log_create(ngx_eb_log_file_t *file);
static ngx_err_t ngx_eb_log_regular(ngx_eb_log_file_t *file);
static ngx_int_t ngx_eb_log_wait(ngx_eb_log_file_t *file);
static ngx_err_t ngx_eb_log_directory(u_char *path, u_char *dir, size_t size);
static ngx_err_t ngx_eb_log_cut(ngx_eb_log_file_t *file, off_t end);
static void ngx_eb_log_cut_back(ngx_eb_log_file_t *file);
static void ngx_eb_log_tail(ngx_eb_log_record_t *record);
static ngx_err_t ngx_eb_log_write(ngx_eb_log_file_t *file,
    ngx_eb_log_record_t *records);
static ngx_err_t ngx_eb_log_window(ngx_eb_log_window_t *w, off_t end);
static ngx_err_t ngx_eb_log_line_start(ngx_eb_log_window_t *w, off_t end,
    off_t *start);
static ngx_err_t ngx_eb_log_damaged(ngx_eb_log_window_t *w, off_t start,
    off_t end, ngx_uint_t *damaged);


ngx_err_t
ngx_eb_log_fail(ngx_eb_log_file_t *file, const char *what, ngx_err_t err)
{
    file->failed = what;

    return err;
}


void
ngx_eb_log_file_init(ngx_eb_log_file_t *file, u_char *path, uid_t user,
    gid_t group, ngx_log_t *log)
{
    ngx_memzero(file, sizeof(ngx_eb_log_file_t));

    file->path = path;
    file->user = user;
    file->group = group;
    file->log = log;
    file->fd = NGX_INVALID_FILE;
    file->failed = "";
}


void
ngx_eb_log_file_close(ngx_eb_log_file_t *file)
{
    if (file->fd != NGX_INVALID_FILE) {
        (void) close(file->fd);
        file->fd = NGX_INVALID_FILE;
    }

    file->synced = 0;
}


ngx_err_t
ngx_eb_log_file_open(ngx_eb_log_file_t *file)
{
    ngx_err_t   err;
    ngx_uint_t  i;

    ngx_eb_log_file_close(file);

    for (i = 0; i < NGX_EB_LOG_TRIES; i++) {

        /* O_NONBLOCK: path may be a FIFO */

        file->fd = open((char *) file->path,
                        O_RDWR|O_APPEND|O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK
                        |O_NOCTTY);

        if (file->fd != NGX_INVALID_FILE) {
            return ngx_eb_log_regular(file);
        }

        err = ngx_errno;

        if (err == NGX_EINTR) {
            continue;
        }

        if (err != NGX_ENOENT) {
            return ngx_eb_log_fail(file, "open()", err);
        }

        err = ngx_eb_log_create(file);

        if (err != NGX_EEXIST) {
            return err;
        }
    }

    return ngx_eb_log_fail(file, "open()", NGX_EAGAIN);
}


/* EEXIST: somebody else was faster */

static ngx_err_t
ngx_eb_log_create(ngx_eb_log_file_t *file)
{
    ngx_err_t  err;

    file->fd = open((char *) file->path,
                    O_RDWR|O_APPEND|O_CLOEXEC|O_NOFOLLOW|O_CREAT|O_EXCL,
                    NGX_EB_LOG_MODE);

    if (file->fd == NGX_INVALID_FILE) {
        return ngx_eb_log_fail(file, "open()", ngx_errno);
    }

    /* whatever the umask is */

    if (fchmod(file->fd, NGX_EB_LOG_MODE) == -1) {
        err = ngx_eb_log_fail(file, "fchmod()", ngx_errno);
        ngx_eb_log_file_close(file);
        return err;
    }

    return ngx_eb_log_regular(file);
}


/* the owner, too; not of a file that has a second name somewhere */

static ngx_err_t
ngx_eb_log_regular(ngx_eb_log_file_t *file)
{
    ngx_err_t    err;
    struct stat  st;

    if (fstat(file->fd, &st) == -1) {
        err = ngx_eb_log_fail(file, "fstat()", ngx_errno);
        goto failed;
    }

    if (!S_ISREG(st.st_mode)) {
        err = ngx_eb_log_fail(file, "the check for a regular file",
                              NGX_EINVAL);
        goto failed;
    }

    if (geteuid() == 0
        && file->user != (uid_t) -1
        && (st.st_uid != file->user || (st.st_mode & 0600) != 0600))
    {
        if (st.st_nlink > 1) {
            err = ngx_eb_log_fail(file, "the check for a single name",
                                  EMLINK);
            goto failed;
        }

        if (fchown(file->fd, file->user, file->group) == -1) {
            err = ngx_eb_log_fail(file, "fchown()", ngx_errno);
            goto failed;
        }

        if ((st.st_mode & 0600) != 0600
            && fchmod(file->fd, (st.st_mode & 0777) | 0600) == -1)
        {
            err = ngx_eb_log_fail(file, "fchmod()", ngx_errno);
            goto failed;
        }
    }

    file->dev = st.st_dev;
    file->ino = st.st_ino;
    file->opens++;

    return 0;

failed:

    ngx_eb_log_file_close(file);

    return err;
}


ngx_err_t
ngx_eb_log_file_test(ngx_eb_log_file_t *file)
{
    u_char       dir[NGX_MAX_PATH];
    ngx_err_t    err;
    struct stat  st;

    if (lstat((char *) file->path, &st) == 0) {

        if (!S_ISREG(st.st_mode)) {
            return ngx_eb_log_fail(file, "the check for a regular file",
                                   NGX_EINVAL);
        }

        if (faccessat(AT_FDCWD, (char *) file->path, R_OK|W_OK, AT_EACCESS)
            == -1)
        {
            return ngx_eb_log_fail(file, "access()", ngx_errno);
        }

        return 0;
    }

    err = ngx_errno;

    if (err != NGX_ENOENT) {
        return ngx_eb_log_fail(file, "lstat()", err);
    }

    err = ngx_eb_log_directory(file->path, dir, sizeof(dir));

    if (err == 0
        && faccessat(AT_FDCWD, (char *) dir, W_OK|X_OK, AT_EACCESS) == -1)
    {
        err = ngx_errno;
    }

    return err ? ngx_eb_log_fail(file, "access() to its directory", err) : 0;
}


/*
 * The descriptor that is locked is that of the path: whoever replaces the file
 * holds the lock of the old one, so that it stays so until the unlock.
 */

ngx_err_t
ngx_eb_log_lock(ngx_eb_log_file_t *file)
{
    ngx_err_t    err;
    ngx_uint_t   i;
    struct stat  st, now;

    for (i = 0; i < NGX_EB_LOG_TRIES; i++) {

        if (file->fd == NGX_INVALID_FILE) {
            err = ngx_eb_log_file_open(file);
            if (err) {
                return err;
            }
        }

        if (ngx_eb_log_wait(file) != NGX_OK) {
            return ngx_eb_log_fail(file, "flock()", ngx_errno);
        }

        if (fstat(file->fd, &st) == -1) {
            err = ngx_eb_log_fail(file, "fstat()", ngx_errno);
            ngx_eb_log_unlock(file);
            return err;
        }

        if (lstat((char *) file->path, &now) == 0) {

            if (now.st_dev == st.st_dev && now.st_ino == st.st_ino) {
                file->before = st.st_size;
                file->after = st.st_size;
                file->cut = 0;
                return 0;
            }

        } else if (ngx_errno != NGX_ENOENT) {
            err = ngx_eb_log_fail(file, "lstat()", ngx_errno);
            ngx_eb_log_unlock(file);
            return err;
        }

        /* this unlocks it, too */
        ngx_eb_log_file_close(file);
    }

    return ngx_eb_log_fail(file, "open()", NGX_EAGAIN);
}


static ngx_int_t
ngx_eb_log_wait(ngx_eb_log_file_t *file)
{
    ngx_msec_t  waited;

    if (file->wait == 0) {
        return ngx_eb_log_flock(file->fd, LOCK_EX);
    }

    for (waited = 0; /* void */ ; waited += NGX_EB_LOG_STEP) {

        if (ngx_eb_log_flock(file->fd, LOCK_EX|LOCK_NB) == NGX_OK) {
            return NGX_OK;
        }

        if (ngx_errno != EWOULDBLOCK) {
            return NGX_ERROR;
        }

        if (waited >= file->wait) {
            ngx_set_errno(NGX_ETIMEDOUT);
            return NGX_ERROR;
        }

        ngx_msleep(NGX_EB_LOG_STEP);
    }
}


ngx_int_t
ngx_eb_log_flock(ngx_fd_t fd, int operation)
{
    while (flock(fd, operation) == -1) {
        if (ngx_errno != NGX_EINTR) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


void
ngx_eb_log_unlock(ngx_eb_log_file_t *file)
{
    (void) ngx_eb_log_flock(file->fd, LOCK_UN);
}


/*
 * A new file is lost with its records as long as its directory is not on the
 * disk, and who created or renamed it may have died before that.  So each one
 * sees to it, once for each file that it opens, before anything is durable.
 */

ngx_err_t
ngx_eb_log_sync_name(ngx_eb_log_file_t *file)
{
    u_char     dir[NGX_MAX_PATH];
    ngx_fd_t   fd;
    ngx_err_t  err;

    if (file->synced) {
        return 0;
    }

    err = ngx_eb_log_directory(file->path, dir, sizeof(dir));
    if (err) {
        return ngx_eb_log_fail(file, "open() of its directory", err);
    }

    fd = open((char *) dir, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (fd != NGX_INVALID_FILE) {
        err = (fsync(fd) == -1) ? ngx_errno : 0;
        (void) close(fd);

        if (err) {
            return ngx_eb_log_fail(file, "fsync() of its directory", err);
        }

    } else if (ngx_errno == NGX_EACCES) {

        /* it may be searched, but not read: slower, and does it, too */

        if (syncfs(file->fd) == -1) {
            return ngx_eb_log_fail(file, "syncfs()", ngx_errno);
        }

    } else {
        return ngx_eb_log_fail(file, "open() of its directory", ngx_errno);
    }

    file->synced = 1;

    return 0;
}


static ngx_err_t
ngx_eb_log_directory(u_char *path, u_char *dir, size_t size)
{
    size_t  len;

    len = ngx_strlen(path);

    if (len >= size) {
        return NGX_ENAMETOOLONG;
    }

    while (len && path[len - 1] != '/') {
        len--;
    }

    if (len == 0) {
        dir[0] = '.';
        dir[1] = '\0';
        return 0;
    }

    ngx_memcpy(dir, path, len);
    dir[len] = '\0';

    return 0;
}


/* under the lock: a killed writer left a part of a line */

ngx_err_t
ngx_eb_log_whole(ngx_eb_log_file_t *file)
{
    off_t                start;
    u_char               ch;
    ngx_err_t            err;
    ngx_eb_log_window_t  w;

    if (file->after == 0) {
        return 0;
    }

    if (ngx_eb_log_pread(file->fd, &ch, 1, file->after - 1) != NGX_OK) {
        return ngx_eb_log_fail(file, "pread()", ngx_errno);
    }

    if (ch == LF) {
        return 0;
    }

    w.fd = file->fd;
    w.offset = 0;
    w.len = 0;

    err = ngx_eb_log_line_start(&w, file->after, &start);
    if (err) {
        return ngx_eb_log_fail(file, "pread()", err);
    }

    return ngx_eb_log_cut(file, start);
}


static ngx_err_t
ngx_eb_log_cut(ngx_eb_log_file_t *file, off_t end)
{
    if (ftruncate(file->fd, end) == -1) {
        return ngx_eb_log_fail(file, "ftruncate()", ngx_errno);
    }

    file->cut += file->after - end;
    file->after = end;

    return 0;
}


/* what could not be written whole must not stay in parts */

static void
ngx_eb_log_cut_back(ngx_eb_log_file_t *file)
{
    /*
     * If this fails, the next one who appends cuts the part of a line; whole
     * lines stay, and will be repeated.
     */

    if (ftruncate(file->fd, file->after) == 0) {
        (void) fdatasync(file->fd);
    }
}


ngx_err_t
ngx_eb_log_file_append(ngx_eb_log_file_t *file, ngx_eb_log_record_t *records)
{
    ngx_err_t             err;
    struct stat           st;
    ngx_eb_log_record_t  *record;

    for (record = records; record; record = record->next) {
        ngx_eb_log_tail(record);
    }

    err = ngx_eb_log_lock(file);
    if (err) {
        return err;
    }

    err = ngx_eb_log_whole(file);

    if (err == 0) {
        file->before = file->after;

        err = ngx_eb_log_write(file, records);

        if (err == 0 && fdatasync(file->fd) == -1) {
            err = ngx_eb_log_fail(file, "fdatasync()", ngx_errno);
        }

        if (err == 0) {
            err = ngx_eb_log_sync_name(file);
        }

        if (err) {
            ngx_eb_log_cut_back(file);

        } else if (fstat(file->fd, &st) == 0) {
            file->after = st.st_size;
        }
    }

    ngx_eb_log_unlock(file);

    return err;
}


static void
ngx_eb_log_tail(ngx_eb_log_record_t *record)
{
    u_char  *p;

    p = ngx_eb_log_suffix(record->tail, XXH3_64bits(record->payload.data,
                                                    record->payload.len));
    *p = LF;
}


static ngx_err_t
ngx_eb_log_write(ngx_eb_log_file_t *file, ngx_eb_log_record_t *records)
{
    int                   n;
    ngx_err_t             err;
    struct iovec          iov[NGX_EB_LOG_IOVS];
    ngx_eb_log_record_t  *record;

    n = 0;

    for (record = records; record; record = record->next) {
        iov[n].iov_base = record->payload.data;
        iov[n++].iov_len = record->payload.len;

        iov[n].iov_base = record->tail;
        iov[n++].iov_len = NGX_EB_LOG_TAIL;

        if (n == NGX_EB_LOG_IOVS || record->next == NULL) {

            err = ngx_eb_log_writev(file->fd, iov, n);
            if (err) {
                return ngx_eb_log_fail(file, "writev()", err);
            }

            n = 0;
        }
    }

    return 0;
}


ngx_err_t
ngx_eb_log_writev(ngx_fd_t fd, struct iovec *iov, int n)
{
    size_t   len;
    ssize_t  rc;

    while (n) {
        rc = writev(fd, iov, n);

        if (rc == -1) {

            if (ngx_errno == NGX_EINTR) {
                continue;
            }

            return ngx_errno;
        }

        if (rc == 0) {
            return NGX_ENOSPC;
        }

        /* a short one: the next call tells why */

        for (len = (size_t) rc; n && len >= iov->iov_len; n--, iov++) {
            len -= iov->iov_len;
        }

        if (n) {
            iov->iov_base = (u_char *) iov->iov_base + len;
            iov->iov_len -= len;
        }
    }

    return 0;
}


/* the window ends at end, if it does not hold the byte before that already */

static ngx_err_t
ngx_eb_log_window(ngx_eb_log_window_t *w, off_t end)
{
    size_t  len;

    if (w->len && end > w->offset && end <= w->offset + (off_t) w->len) {
        return 0;
    }

    len = (size_t) ngx_min(end, NGX_EB_LOG_WINDOW);

    w->len = 0;

    if (ngx_eb_log_pread(w->fd, w->buf, len, end - (off_t) len) != NGX_OK) {
        return ngx_errno;
    }

    w->offset = end - (off_t) len;
    w->len = len;

    return 0;
}


/* behind the last newline before end, which is the start of the file or that */

static ngx_err_t
ngx_eb_log_line_start(ngx_eb_log_window_t *w, off_t end, off_t *start)
{
    u_char     *p;
    ngx_err_t   err;

    while (end > 0) {

        err = ngx_eb_log_window(w, end);
        if (err) {
            return err;
        }

        p = memrchr(w->buf, LF, (size_t) (end - w->offset));

        if (p) {
            *start = w->offset + (p - w->buf) + 1;
            return 0;
        }

        end = w->offset;
    }

    *start = 0;

    return 0;
}


ngx_err_t
ngx_eb_log_file_recover(ngx_eb_log_file_t *file)
{
    off_t                end, start;
    u_char               ch;
    ngx_err_t            err;
    ngx_uint_t           damaged;
    ngx_eb_log_window_t  w;

    err = ngx_eb_log_lock(file);
    if (err) {
        return err;
    }

    w.fd = file->fd;
    w.offset = 0;
    w.len = 0;

    /* the part after the last newline */

    err = ngx_eb_log_line_start(&w, file->after, &end);

    while (err == 0 && end > 0) {

        err = ngx_eb_log_line_start(&w, end - 1, &start);

        if (err == 0) {
            err = ngx_eb_log_damaged(&w, start, end - 1, &damaged);
        }

        if (err || !damaged) {
            break;
        }

        end = start;
    }

    if (err) {
        err = ngx_eb_log_fail(file, "pread()", err);
        goto done;
    }

    if (end == 0 && file->after > 0) {

        if (ngx_eb_log_pread(file->fd, &ch, 1, 0) != NGX_OK) {
            err = ngx_eb_log_fail(file, "pread()", ngx_errno);
            goto done;
        }

        if (ch != '{' && ch != '\0') {
            err = ngx_eb_log_fail(file, "the check for records", NGX_EINVAL);
            goto done;
        }
    }

    if (end < file->after) {

        err = ngx_eb_log_cut(file, end);

        if (err == 0 && fdatasync(file->fd) == -1) {
            err = ngx_eb_log_fail(file, "fdatasync()", ngx_errno);
        }

        if (err) {
            goto done;
        }
    }

    err = ngx_eb_log_sync_name(file);

done:

    ngx_eb_log_unlock(file);

    return err;
}


/* a line without its newline, which may be longer than memory is */

static ngx_err_t
ngx_eb_log_damaged(ngx_eb_log_window_t *w, off_t start, off_t end,
    ngx_uint_t *damaged)
{
    off_t                 p, body;
    size_t                len, n;
    u_char                buf[4096], suffix[NGX_EB_LOG_SUFFIX], first, last;
    uint64_t              hash;
    ngx_uint_t            nul, member;
    XXH3_state_t          state;

    *damaged = 1;

    if (end - start < 2) {
        return 0;
    }

    if (start >= w->offset && end <= w->offset + (off_t) w->len) {

        /* the usual one, already read */

        len = (size_t) (end - start);

        switch (ngx_eb_log_check(w->buf + (start - w->offset), len)) {

        case NGX_EB_LOG_VALID:
            *damaged = 0;
            return 0;

        case NGX_EB_LOG_WRONG:
            return 0;

        default:
            break;
        }
    }

    len = (size_t) ngx_min(end - start, (off_t) NGX_EB_LOG_SUFFIX);

    if (ngx_eb_log_pread(w->fd, suffix, len, end - (off_t) len) != NGX_OK) {
        return ngx_errno;
    }

    member = (len == NGX_EB_LOG_SUFFIX
              && ngx_eb_log_check(suffix, len) != NGX_EB_LOG_BARE);

    body = member ? end - (off_t) len : end;
    last = suffix[len - 1];
    first = '\0';
    nul = 0;

    (void) XXH3_64bits_reset(&state);

    for (p = start; p < body; p += (off_t) n) {
        n = (size_t) ngx_min(body - p, (off_t) sizeof(buf));

        if (ngx_eb_log_pread(w->fd, buf, n, p) != NGX_OK) {
            return ngx_errno;
        }

        if (p == start) {
            first = buf[0];
        }

        if (memchr(buf, '\0', n)) {
            nul = 1;
        }

        (void) XXH3_64bits_update(&state, buf, n);
    }

    if (member) {
        hash = XXH3_64bits_digest(&state);

        (void) ngx_eb_log_suffix(buf, hash);

        *damaged = (ngx_memcmp(buf, suffix, NGX_EB_LOG_SUFFIX) != 0);

        return 0;
    }

    *damaged = (nul || first != '{' || last != '}');

    return 0;
}
