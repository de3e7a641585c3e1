
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The place where a checkpoint's file is: its directory, its file system, its
 * disk, and the host.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_checkpoint_file.h"

#include <sys/vfs.h>


typedef struct {
    uint32_t                   type;
    char                      *name;
} ngx_eb_checkpoint_fs_t;


static void ngx_eb_checkpoint_directory(ngx_eb_checkpoint_try_t *try,
    u_char *buf);


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
    { 0x01161970, "gfs2" },
    { 0x7461636f, "ocfs2" },
    { 0x19830326, "fhgfs" },
    { 0x786f4256, "vboxsf" },
    { 0xbacbacbc, "vmhgfs" },
    { 0x65735546, "fuse" },     /* sshfs, glusterfs, s3fs: nobody can tell */
    { 0, NULL }
};


ngx_int_t
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


/* -t: can a file be made in the directory? */

ngx_int_t
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

ngx_int_t
ngx_eb_checkpoint_same(ngx_fd_t fd, u_char *path)
{
    struct stat  st, named;

    if (fstat(fd, &st) == -1 || lstat((char *) path, &named) == -1) {
        return 0;
    }

    return st.st_dev == named.st_dev && st.st_ino == named.st_ino;
}


ngx_int_t
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


/* all of it: a page that the disk has no room for is a SIGBUS later */

ngx_int_t
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


void
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
