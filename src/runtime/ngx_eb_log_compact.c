
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The compaction of an append log: a successor with the lines that stay.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_log_file.h"

#include <sys/file.h>
#include <sys/uio.h>


/* PATH.tmp is nobody's file for moments only, while it is made or removed */
#define NGX_EB_LOG_TMP_TRIES  100


typedef struct {
    ngx_fd_t                  fd;
    u_char                   *buf;          /* of NGX_EB_LOG_READ bytes */
    size_t                    len;
    off_t                     size;         /* what was written */
} ngx_eb_log_copy_t;


static ngx_err_t ngx_eb_log_tmp(ngx_eb_log_file_t *file, u_char *path,
    ngx_fd_t *fd);
static ngx_err_t ngx_eb_log_tmp_relic(ngx_eb_log_file_t *file, u_char *path);
static ngx_uint_t ngx_eb_log_tmp_same(ngx_fd_t fd, u_char *path);
static ngx_err_t ngx_eb_log_tmp_own(ngx_eb_log_file_t *file, ngx_fd_t fd);
static ngx_err_t ngx_eb_log_successor(ngx_eb_log_file_t *file, u_char *path,
    ngx_eb_log_copy_t *copy, ngx_eb_log_keep_pt keep, void *data,
    ngx_eb_log_compacted_t *result);
static ngx_err_t ngx_eb_log_copy(ngx_eb_log_file_t *file, off_t from, off_t to,
    ngx_eb_log_copy_t *copy, ngx_eb_log_keep_pt keep, void *data,
    ngx_eb_log_compacted_t *result);
static ngx_err_t ngx_eb_log_copy_long(ngx_eb_log_file_t *file,
    ngx_eb_log_copy_t *copy, ngx_eb_log_line_t *line);
static ngx_err_t ngx_eb_log_copy_bytes(ngx_eb_log_copy_t *copy, u_char *p,
    size_t len);
static ngx_err_t ngx_eb_log_copy_flush(ngx_eb_log_copy_t *copy);


ngx_err_t
ngx_eb_log_file_compact(ngx_eb_log_file_t *file, ngx_eb_log_keep_pt keep,
    void *data, ngx_eb_log_compacted_t *result)
{
    u_char             path[NGX_MAX_PATH];
    ngx_fd_t           fd;
    ngx_err_t          err;
    ngx_eb_log_copy_t  copy;

    ngx_memzero(result, sizeof(ngx_eb_log_compacted_t));

    if (ngx_strlen(file->path) + sizeof(".tmp") > sizeof(path)) {
        return ngx_eb_log_fail(file, "open()", NGX_ENAMETOOLONG);
    }

    (void) ngx_sprintf(path, "%s.tmp%Z", file->path);

    err = ngx_eb_log_lock(file);
    if (err) {
        return err;
    }

    /* whole lines are never changed any more, and need no lock */

    err = ngx_eb_log_whole(file);

    ngx_eb_log_unlock(file);

    if (err == 0) {
        err = ngx_eb_log_tmp(file, path, &fd);
    }

    if (err) {
        return err;
    }

    ngx_memzero(&copy, sizeof(ngx_eb_log_copy_t));

    copy.fd = fd;
    copy.buf = ngx_alloc(NGX_EB_LOG_READ, file->log);

    if (copy.buf == NULL) {
        err = ngx_eb_log_fail(file, "malloc()", NGX_ENOMEM);

    } else {
        err = ngx_eb_log_successor(file, path, &copy, keep, data, result);
        ngx_free(copy.buf);
    }

    if (err) {
        /* the name is ours as long as the lock is */
        (void) unlink((char *) path);
    }

    /*
     * The lock of the new file ends here, after its name is on the disk: who
     * has found it meanwhile could not append to it yet.
     */

    (void) close(fd);

    return err;
}


/*
 * The lock of PATH.tmp is held by who compacts, and dies with him.  The file is
 * always a new one: who made the one that is there may have it open, and would
 * read all that is ever appended.  The name is removed or renamed only by who
 * has the lock of the file that it leads to.
 */

static ngx_err_t
ngx_eb_log_tmp(ngx_eb_log_file_t *file, u_char *path, ngx_fd_t *fd)
{
    ngx_err_t   err;
    ngx_uint_t  i;

    for (i = 0; i < NGX_EB_LOG_TMP_TRIES; i++) {

        /* for nobody else, until it has the mode of the log */

        *fd = open((char *) path,
                   O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC|O_NOFOLLOW, 0600);

        if (*fd == NGX_INVALID_FILE) {

            if (ngx_errno != NGX_EEXIST) {
                return ngx_eb_log_fail(file, "open() of its successor",
                                       ngx_errno);
            }

            err = ngx_eb_log_tmp_relic(file, path);
            if (err) {
                return err;
            }

            continue;
        }

        if (ngx_eb_log_flock(*fd, LOCK_EX|LOCK_NB) == NGX_OK) {

            if (ngx_eb_log_tmp_same(*fd, path)) {

                err = ngx_eb_log_tmp_own(file, *fd);

                if (err) {
                    (void) unlink((char *) path);
                    (void) close(*fd);
                }

                return err;
            }

        } else if (ngx_errno != EWOULDBLOCK) {
            err = ngx_eb_log_fail(file, "flock() of its successor", ngx_errno);
            (void) close(*fd);
            return err;
        }

        /* before we had the lock, another one has taken it for a relic */

        (void) close(*fd);
    }

    return ngx_eb_log_fail(file, "flock() of its successor", NGX_EBUSY);
}


/* what a killed compaction left; EBUSY: the compaction is running */

static ngx_err_t
ngx_eb_log_tmp_relic(ngx_eb_log_file_t *file, u_char *path)
{
    ngx_fd_t     fd;
    ngx_err_t    err;
    struct stat  st;

    fd = open((char *) path,
              O_RDONLY|O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK|O_NOCTTY);

    if (fd == NGX_INVALID_FILE) {

        if (ngx_errno == NGX_ENOENT) {
            return 0;
        }

        return ngx_eb_log_fail(file, "open() of its successor", ngx_errno);
    }

    err = 0;

    if (fstat(fd, &st) == -1) {
        err = ngx_eb_log_fail(file, "fstat()", ngx_errno);

    } else if (!S_ISREG(st.st_mode)) {
        err = ngx_eb_log_fail(file, "the check of its successor", NGX_EINVAL);

    } else if (ngx_eb_log_flock(fd, LOCK_EX|LOCK_NB) != NGX_OK) {
        err = (ngx_errno == EWOULDBLOCK) ? NGX_EBUSY : ngx_errno;
        err = ngx_eb_log_fail(file, "flock() of its successor", err);

    } else if (ngx_eb_log_tmp_same(fd, path)
               && unlink((char *) path) == -1)
    {
        err = ngx_eb_log_fail(file, "unlink() of its successor", ngx_errno);
    }

    (void) close(fd);

    return err;
}


/* before we had its lock, it may have become the log itself, or be gone */

static ngx_uint_t
ngx_eb_log_tmp_same(ngx_fd_t fd, u_char *path)
{
    struct stat  st, now;

    return fstat(fd, &st) == 0
           && lstat((char *) path, &now) == 0
           && now.st_dev == st.st_dev
           && now.st_ino == st.st_ino;
}


static ngx_err_t
ngx_eb_log_tmp_own(ngx_eb_log_file_t *file, ngx_fd_t fd)
{
    struct stat  st, old;

    if (fstat(fd, &st) == -1 || fstat(file->fd, &old) == -1) {
        return ngx_eb_log_fail(file, "fstat()", ngx_errno);
    }

    /* a group that the worker is not in cannot be kept */

    if ((st.st_uid != old.st_uid || st.st_gid != old.st_gid)
        && fchown(fd, old.st_uid, old.st_gid) == -1
        && (geteuid() == 0 || st.st_uid != old.st_uid))
    {
        return ngx_eb_log_fail(file, "fchown()", ngx_errno);
    }

    if (fchmod(fd, old.st_mode & 0777) == -1) {
        return ngx_eb_log_fail(file, "fchmod()", ngx_errno);
    }

    return 0;
}


static ngx_err_t
ngx_eb_log_successor(ngx_eb_log_file_t *file, u_char *path,
    ngx_eb_log_copy_t *copy, ngx_eb_log_keep_pt keep, void *data,
    ngx_eb_log_compacted_t *result)
{
    off_t       size;
    ngx_err_t   err;
    ngx_uint_t  opens;

    size = file->after;
    opens = file->opens;

    err = ngx_eb_log_copy(file, 0, size, copy, keep, data, result);
    if (err) {
        return err;
    }

    /* the most of it is on the disk before others have to wait */

    if (fdatasync(copy->fd) == -1) {
        return ngx_eb_log_fail(file, "fdatasync()", ngx_errno);
    }

    err = ngx_eb_log_lock(file);
    if (err) {
        return err;
    }

    if (file->opens != opens || file->after < size) {
        err = ngx_eb_log_fail(file, "the check for the same file",
                              NGX_EAGAIN);
        goto done;
    }

    err = ngx_eb_log_whole(file);
    if (err) {
        goto done;
    }

    err = ngx_eb_log_copy(file, size, file->after, copy, keep, data, result);
    if (err) {
        goto done;
    }

    /* its owner and mode as well */

    if (fsync(copy->fd) == -1) {
        err = ngx_eb_log_fail(file, "fsync()", ngx_errno);
        goto done;
    }

    if (rename((char *) path, (char *) file->path) == -1) {
        err = ngx_eb_log_fail(file, "rename()", ngx_errno);
        goto done;
    }

    result->before = file->after;
    result->after = copy->size;

    /*
     * There is no way back from here: if it fails, each one who opens the file
     * tries again before anything that he appends counts as durable.
     */

    file->synced = 0;

    (void) ngx_eb_log_sync_name(file);

done:

    ngx_eb_log_file_close(file);

    return err;
}


static ngx_err_t
ngx_eb_log_copy(ngx_eb_log_file_t *file, off_t from, off_t to,
    ngx_eb_log_copy_t *copy, ngx_eb_log_keep_pt keep, void *data,
    ngx_eb_log_compacted_t *result)
{
    ngx_int_t            rc;
    ngx_err_t            err;
    ngx_eb_log_line_t    line;
    ngx_eb_log_reader_t  reader;

    ngx_memzero(&reader, sizeof(ngx_eb_log_reader_t));

    reader.fd = file->fd;
    reader.offset = from;
    reader.at = from;
    reader.end = to;
    reader.max_line = NGX_EB_LOG_MAX_LINE;
    reader.log = file->log;

    err = 0;

    while (err == 0) {

        rc = ngx_eb_log_reader_next(&reader, &line);

        if (rc == NGX_ERROR) {
            err = ngx_eb_log_fail(file, "pread()", reader.err);
            break;
        }

        if (rc == NGX_DONE) {

            if (reader.offset != to) {
                err = ngx_eb_log_fail(file, "pread()", EIO);
                break;
            }

            err = ngx_eb_log_copy_flush(copy);
            break;
        }

        if (line.state != NGX_EB_LOG_VALID) {
            result->invalid++;
        }

        if (!keep(&line, data)) {
            result->dropped++;
            continue;
        }

        result->kept++;

        if (line.start == NULL) {
            err = ngx_eb_log_copy_long(file, copy, &line);

        } else {
            /* with its newline */
            err = ngx_eb_log_copy_bytes(copy, line.start, line.len + 1);
        }
    }

    /* the descriptor is not the reader's */

    reader.fd = NGX_INVALID_FILE;
    ngx_eb_log_reader_close(&reader);

    return err ? ngx_eb_log_fail(file, "copy to its successor", err) : 0;
}


static ngx_err_t
ngx_eb_log_copy_long(ngx_eb_log_file_t *file, ngx_eb_log_copy_t *copy,
    ngx_eb_log_line_t *line)
{
    off_t      offset;
    size_t     n;
    u_char     buf[4096];
    ngx_err_t  err;

    for (offset = line->offset; offset < line->next; offset += (off_t) n) {
        n = (size_t) ngx_min(line->next - offset, (off_t) sizeof(buf));

        if (ngx_eb_log_pread(file->fd, buf, n, offset) != NGX_OK) {
            return ngx_errno;
        }

        err = ngx_eb_log_copy_bytes(copy, buf, n);
        if (err) {
            return err;
        }
    }

    return 0;
}


static ngx_err_t
ngx_eb_log_copy_bytes(ngx_eb_log_copy_t *copy, u_char *p, size_t len)
{
    size_t     n;
    ngx_err_t  err;

    while (len) {

        if (copy->len == NGX_EB_LOG_READ) {
            err = ngx_eb_log_copy_flush(copy);
            if (err) {
                return err;
            }
        }

        n = ngx_min(len, NGX_EB_LOG_READ - copy->len);

        ngx_memcpy(copy->buf + copy->len, p, n);

        copy->len += n;
        p += n;
        len -= n;
    }

    return 0;
}


static ngx_err_t
ngx_eb_log_copy_flush(ngx_eb_log_copy_t *copy)
{
    ngx_err_t      err;
    struct iovec   iov;

    if (copy->len == 0) {
        return 0;
    }

    iov.iov_base = copy->buf;
    iov.iov_len = copy->len;

    err = ngx_eb_log_writev(copy->fd, &iov, 1);
    if (err) {
        return err;
    }

    copy->size += (off_t) copy->len;
    copy->len = 0;

    return 0;
}
