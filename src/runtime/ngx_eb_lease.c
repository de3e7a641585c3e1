
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * A lease is a lock on one byte of a file, the place of which its name gives.
 * These locks (POSIX, fcntl) belong to a process, not to a descriptor, so
 * that workers can use one that they have inherited; nobody else opens the
 * file in a worker, for closing any descriptor of it would end all leases.
 */


#include "ngx_eb_lease.h"

#define XXH_INLINE_ALL
#include <xxhash.h>


static ngx_int_t ngx_eb_lease_lock(ngx_fd_t fd, ngx_str_t *name, short type);


ngx_fd_t
ngx_eb_lease_open(ngx_str_t *path, ngx_log_t *log)
{
    ngx_fd_t     fd;
    struct stat  st;

    fd = open((char *) path->data,
              O_RDWR|O_CREAT|O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK, 0600);

    if (fd == NGX_INVALID_FILE) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "eventbridge: cannot open lock file \"%V\"", path);
        return NGX_INVALID_FILE;
    }

    if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)
        || (st.st_uid != geteuid() && st.st_uid != 0))
    {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "eventbridge: lock file \"%V\" is not a file of ours",
                      path);
        (void) close(fd);
        return NGX_INVALID_FILE;
    }

    return fd;
}


ngx_int_t
ngx_eb_lease_try(ngx_fd_t fd, ngx_str_t *name)
{
    return ngx_eb_lease_lock(fd, name, F_WRLCK);
}


void
ngx_eb_lease_release(ngx_fd_t fd, ngx_str_t *name)
{
    (void) ngx_eb_lease_lock(fd, name, F_UNLCK);
}


static ngx_int_t
ngx_eb_lease_lock(ngx_fd_t fd, ngx_str_t *name, short type)
{
    struct flock  fl;

    ngx_memzero(&fl, sizeof(struct flock));

    fl.l_type = type;
    fl.l_whence = SEEK_SET;
    fl.l_len = 1;

    /* beyond the end of the file, which stays empty, is as good as inside */

    fl.l_start = (off_t) (XXH3_64bits(name->data, name->len) >> 2);

    if (fcntl(fd, F_SETLK, &fl) == 0) {
        return NGX_OK;
    }

    return (ngx_errno == NGX_EAGAIN || ngx_errno == NGX_EACCES) ? NGX_BUSY
                                                                : NGX_ERROR;
}
