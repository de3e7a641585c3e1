
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Counters and histograms in one mapped file that all processes of all
 * generations share.
 *
 * The file is a header and an array of slots.  A slot is a series: its kind,
 * its labels and its cells.  Slots are only ever appended, under a robust
 * mutex that lives in the header, and a slot is visible once its state and
 * then the count in the header say so.  Cells are added to without a lock.
 * What is read of a slot is copied first, and only the copy is checked and
 * used: a process that went astray may write to the file meanwhile.
 *
 * Every attached process holds a shared flock on the file; it comes with the
 * descriptor over fork(), so it goes when the last process of a generation
 * goes.  Who gets the lock exclusively knows that nobody else is attached,
 * and only he may repair or truncate the file.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <sys/file.h>
#include <pthread.h>
#include "ngx_eb_stats.h"
#include "ngx_eb_stats_file.h"


#define NGX_EB_STATS_MAGIC         "NGXEBST"
#define NGX_EB_STATS_BYTE_ORDER    0x01020304

/*
 * To be raised when cells change their meaning and keep their number; a
 * change of the numbers, of sizes and of bounds is noticed without it.
 */
#define NGX_EB_STATS_VERSION       2

#define NGX_EB_STATS_HEADER_SIZE   4096
#define NGX_EB_STATS_SLOT_SIZE     1536
#define NGX_EB_STATS_SIZE                                                     \
    (NGX_EB_STATS_HEADER_SIZE                                                 \
     + (size_t) NGX_EB_STATS_SLOTS * NGX_EB_STATS_SLOT_SIZE)

/* the last slots are for series that find no room, one of each kind */
#define NGX_EB_STATS_ROOM          (NGX_EB_STATS_SLOTS - NGX_EB_STATS_KINDS)

/* a power of two, twice the slots: a free place is never far */
#define NGX_EB_STATS_HASH          (2 * NGX_EB_STATS_SLOTS)

#define NGX_EB_STATS_READY         0x52454459

/* an open that raced with another process that replaced the file */
#define NGX_EB_STATS_TRIES         8

#define NGX_EB_STATS_MODE          0640

/* for the lock of one that makes or repairs the file, as of a checkpoint */
#define NGX_EB_STATS_STEP          10       /* ms between two tries */
#define NGX_EB_STATS_WAIT          6000     /* tries: a minute */

#define NGX_EB_STATS_FNV_PRIME     UINT64_C(0x00000100000001b3)


/* what identifies the layout: equal byte by byte, or it is another one */

typedef struct {
    u_char                          magic[8];
    uint32_t                        version;
    uint32_t                        byte_order;
    uint32_t                        header_size;
    uint32_t                        slot_size;
    uint32_t                        slots;
    uint32_t                        cells;
    uint64_t                        mutex_size;
    uint64_t                        meaning;
} ngx_eb_stats_layout_t;


typedef struct {
    ngx_eb_stats_layout_t           layout;
    uint32_t                        used;
    u_char                          pad[256 - sizeof(ngx_eb_stats_layout_t)
                                        - sizeof(uint32_t)];
    pthread_mutex_t                 mutex;      /* at byte 256 */
} ngx_eb_stats_header_t;


struct ngx_eb_stats_s {
    ngx_eb_stats_header_t          *header;
    ngx_eb_stats_slot_t            *slots;
    ngx_eb_stats_cell_t            *node;
    ngx_log_t                      *log;
    ngx_fd_t                        fd;         /* carries the flock */
    ngx_uint_t                      indexed;    /* slots in the hash */
    uint16_t                       *hash;       /* slot + 1, or 0 */
};


/* a slot at one moment */

typedef struct {
    uint32_t                        kind;
    uint64_t                        check;
    ngx_str_t                       labels;     /* in text */
    u_char                          text[NGX_EB_STATS_LABELS];
} ngx_eb_stats_copy_t;


typedef enum {
    NGX_EB_STATS_VALID = 0,
    NGX_EB_STATS_EMPTY,
    NGX_EB_STATS_DAMAGED,
    NGX_EB_STATS_FOREIGN
} ngx_eb_stats_state_e;


static ngx_fd_t ngx_eb_stats_open(u_char *path, ngx_uint_t *alone,
    u_char *errstr, size_t errlen, ngx_err_t *err);
static ngx_int_t ngx_eb_stats_trusted(struct stat *st, u_char *path,
    u_char *errstr, size_t errlen);
static ngx_int_t ngx_eb_stats_lock_file(ngx_fd_t fd, ngx_uint_t *alone);
static ngx_int_t ngx_eb_stats_wait(ngx_fd_t fd);
static ngx_int_t ngx_eb_stats_same_file(ngx_fd_t fd, u_char *path);
static ngx_int_t ngx_eb_stats_examine(ngx_fd_t fd,
    ngx_eb_stats_state_e *state);
static ngx_int_t ngx_eb_stats_set_aside(u_char *path, ngx_log_t *log,
    u_char *errstr, size_t errlen, ngx_err_t *err);
static ngx_int_t ngx_eb_stats_allocate(ngx_fd_t fd, u_char *path,
    u_char *errstr, size_t errlen, ngx_err_t *err);
static ngx_int_t ngx_eb_stats_tighten(ngx_fd_t fd, u_char *path,
    ngx_log_t *log, u_char *errstr, size_t errlen, ngx_err_t *err);
static ngx_int_t ngx_eb_stats_init_mutex(ngx_eb_stats_header_t *header,
    ngx_err_t *err);
static void ngx_eb_stats_recover(ngx_eb_stats_t *stats);
static void ngx_eb_stats_layout(ngx_eb_stats_layout_t *layout);
static void ngx_eb_stats_cleanup(void *data);
static ngx_int_t ngx_eb_stats_lock(ngx_eb_stats_t *stats);
static void ngx_eb_stats_unlock(ngx_eb_stats_t *stats);
static uint64_t ngx_eb_stats_check(uint32_t kind, ngx_str_t *labels);
static ngx_uint_t ngx_eb_stats_copy(ngx_eb_stats_copy_t *copy,
    ngx_eb_stats_slot_t *slot);
static void ngx_eb_stats_publish(ngx_eb_stats_slot_t *slot, uint32_t kind,
    ngx_str_t *labels, uint64_t check);
static ngx_eb_stats_slot_t *ngx_eb_stats_find(ngx_eb_stats_t *stats,
    uint32_t kind, ngx_str_t *labels, uint64_t check);
static void ngx_eb_stats_index(ngx_eb_stats_t *stats);
static ngx_eb_stats_slot_t *ngx_eb_stats_append(ngx_eb_stats_t *stats,
    uint32_t kind, ngx_str_t *labels, uint64_t check);
static ngx_int_t ngx_eb_stats_gather_one(ngx_pool_t *pool,
    ngx_eb_stats_printed_t *list, ngx_uint_t *n, ngx_eb_stats_copy_t *copy,
    ngx_eb_stats_slot_t *slot);


typedef char  ngx_eb_stats_assert_slot[
    sizeof(ngx_eb_stats_slot_t) == NGX_EB_STATS_SLOT_SIZE ? 1 : -1];
typedef char  ngx_eb_stats_assert_mutex[
    offsetof(ngx_eb_stats_header_t, mutex) == 256 ? 1 : -1];


static ngx_eb_stats_cell_t  ngx_eb_stats_nobody[NGX_EB_STATS_CELLS];


ngx_eb_stats_t *
ngx_eb_stats_attach(ngx_pool_t *pool, ngx_str_t *path, ngx_log_t *log,
    u_char *errstr, size_t errlen, ngx_err_t *err)
{
    void                  *map;
    ngx_fd_t               fd;
    ngx_str_t              none;
    ngx_uint_t             alone, tries;
    ngx_eb_stats_t        *stats;
    ngx_pool_cleanup_t    *cln;
    ngx_eb_stats_state_e   state;

    *err = 0;

    stats = ngx_pcalloc(pool, sizeof(ngx_eb_stats_t));
    if (stats == NULL) {
        goto nomem;
    }

    stats->hash = ngx_pcalloc(pool, NGX_EB_STATS_HASH * sizeof(uint16_t));
    if (stats->hash == NULL) {
        goto nomem;
    }

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        goto nomem;
    }

    stats->log = log;
    stats->fd = NGX_INVALID_FILE;

    for (tries = 0; /* void */ ; tries++) {

        fd = ngx_eb_stats_open(path->data, &alone, errstr, errlen, err);
        if (fd == NGX_INVALID_FILE) {
            return NULL;
        }

        if (ngx_eb_stats_examine(fd, &state) != NGX_OK) {
            *err = ngx_errno;
            ngx_snprintf(errstr, errlen, "reading \"%s\" failed%Z",
                         path->data);
            goto failed;
        }

        if (state == NGX_EB_STATS_VALID) {
            break;
        }

        if (tries == NGX_EB_STATS_TRIES) {
            ngx_snprintf(errstr, errlen,
                         "\"%s\" is being replaced all the time%Z",
                         path->data);
            goto failed;
        }

        if (alone && state != NGX_EB_STATS_FOREIGN) {

            if (state == NGX_EB_STATS_DAMAGED) {
                ngx_log_error(NGX_LOG_WARN, log, 0,
                              "eventbridge: metrics file \"%s\" is damaged "
                              "or of another version, counting starts anew",
                              path->data);
            }

            if (ngx_eb_stats_allocate(fd, path->data, errstr, errlen, err)
                != NGX_OK)
            {
                goto failed;
            }

            break;
        }

        /*
         * Either it is not ours, or processes that understand it still count
         * in it: a truncation would kill them with SIGBUS.  When not alone,
         * the one that was here may just have died while it made the file,
         * so look again first.
         */

        if (alone || tries > 0) {

            if (ngx_eb_stats_set_aside(path->data, log, errstr, errlen, err)
                != NGX_OK)
            {
                goto failed;
            }
        }

        (void) ngx_close_file(fd);
    }

    if (ngx_eb_stats_tighten(fd, path->data, log, errstr, errlen, err)
        != NGX_OK)
    {
        goto failed;
    }

    map = mmap(NULL, NGX_EB_STATS_SIZE, PROT_READ|PROT_WRITE, MAP_SHARED,
               fd, 0);

    if (map == MAP_FAILED) {
        *err = ngx_errno;
        ngx_snprintf(errstr, errlen, "mmap(\"%s\") failed%Z", path->data);
        goto failed;
    }

    stats->fd = fd;
    stats->header = map;
    stats->slots = (ngx_eb_stats_slot_t *)
                       ((u_char *) map + NGX_EB_STATS_HEADER_SIZE);

    cln->handler = ngx_eb_stats_cleanup;
    cln->data = stats;

    if (alone) {

        /*
         * A lock word from before a crash of the host may name a thread
         * that no kernel will ever clean up after.
         */

        if (ngx_eb_stats_init_mutex(stats->header, err) != NGX_OK) {
            ngx_snprintf(errstr, errlen,
                         "pthread_mutex_init() in \"%s\" failed%Z",
                         path->data);
            return NULL;
        }

        ngx_eb_stats_recover(stats);

        /* the layout comes last: a file without it was not finished */

        ngx_eb_stats_layout(&stats->header->layout);

        if (ngx_eb_stats_wait(fd) != NGX_OK) {
            *err = ngx_errno;
            ngx_snprintf(errstr, errlen, "flock(\"%s\") failed%Z",
                         path->data);
            return NULL;
        }
    }

    ngx_str_null(&none);

    stats->node = ngx_eb_stats_series(stats, NGX_EB_STATS_NODE, &none);

    return stats;

failed:

    (void) ngx_close_file(fd);

    return NULL;

nomem:

    ngx_snprintf(errstr, errlen, "no memory%Z");

    return NULL;
}


ngx_int_t
ngx_eb_stats_test(ngx_str_t *path, u_char *errstr, size_t errlen,
    ngx_err_t *err)
{
    u_char       *p, dir[NGX_MAX_PATH];
    struct stat   st;

    *err = 0;

    if (lstat((char *) path->data, &st) == 0) {

        if (!S_ISREG(st.st_mode)) {
            ngx_snprintf(errstr, errlen, "\"%V\" is not a regular file%Z",
                         path);
            return NGX_ERROR;
        }

        if (ngx_eb_stats_trusted(&st, path->data, errstr, errlen) != NGX_OK) {
            return NGX_ERROR;
        }

        if (faccessat(AT_FDCWD, (char *) path->data, R_OK|W_OK, AT_EACCESS)
            == -1)
        {
            *err = ngx_errno;
            ngx_snprintf(errstr, errlen, "cannot write to \"%V\"%Z", path);
            return NGX_ERROR;
        }

        return NGX_OK;
    }

    if (ngx_errno != NGX_ENOENT || path->len >= NGX_MAX_PATH) {
        *err = ngx_errno;
        ngx_snprintf(errstr, errlen, "cannot stat \"%V\"%Z", path);
        return NGX_ERROR;
    }

    p = ngx_cpymem(dir, path->data, path->len);

    while (p > dir + 1 && p[-1] != '/') {
        p--;
    }

    *p = '\0';

    if (faccessat(AT_FDCWD, (char *) dir, W_OK|X_OK, AT_EACCESS) == -1) {
        *err = ngx_errno;
        ngx_snprintf(errstr, errlen, "cannot create files in \"%s\"%Z", dir);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * The file under the path, opened and locked: alone says that nobody else is
 * attached, and then the lock is exclusive.
 */

static ngx_fd_t
ngx_eb_stats_open(u_char *path, ngx_uint_t *alone, u_char *errstr,
    size_t errlen, ngx_err_t *err)
{
    ngx_fd_t     fd;
    ngx_int_t    rc;
    ngx_uint_t   tries;
    struct stat  st;

    for (tries = 0; tries < NGX_EB_STATS_TRIES; tries++) {

        fd = open((char *) path,
                  O_RDWR|O_CREAT|O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK,
                  NGX_EB_STATS_MODE);

        if (fd == NGX_INVALID_FILE) {
            *err = ngx_errno;
            ngx_snprintf(errstr, errlen, "open(\"%s\") failed%Z", path);
            return NGX_INVALID_FILE;
        }

        if (fstat(fd, &st) == -1) {
            *err = ngx_errno;
            ngx_snprintf(errstr, errlen, "fstat(\"%s\") failed%Z", path);
            goto failed;
        }

        if (!S_ISREG(st.st_mode)) {
            ngx_snprintf(errstr, errlen, "\"%s\" is not a regular file%Z",
                         path);
            goto failed;
        }

        if (ngx_eb_stats_trusted(&st, path, errstr, errlen) != NGX_OK) {
            goto failed;
        }

        if (ngx_eb_stats_lock_file(fd, alone) != NGX_OK) {
            *err = ngx_errno;
            ngx_snprintf(errstr, errlen, "flock(\"%s\") failed%Z", path);
            goto failed;
        }

        /* while we waited for the lock, another may have replaced the file */

        rc = ngx_eb_stats_same_file(fd, path);

        if (rc == NGX_OK) {
            return fd;
        }

        if (rc == NGX_ERROR) {
            *err = ngx_errno;
            ngx_snprintf(errstr, errlen, "stat(\"%s\") failed%Z", path);
            goto failed;
        }

        (void) ngx_close_file(fd);
    }

    ngx_snprintf(errstr, errlen, "\"%s\" is being replaced all the time%Z",
                 path);

    return NGX_INVALID_FILE;

failed:

    (void) ngx_close_file(fd);

    return NGX_INVALID_FILE;
}


/*
 * A file that nobody else can go on writing to: who has it open keeps it open
 * whatever its mode is.
 */

static ngx_int_t
ngx_eb_stats_trusted(struct stat *st, u_char *path, u_char *errstr,
    size_t errlen)
{
    if (st->st_nlink > 1) {
        ngx_snprintf(errstr, errlen, "\"%s\" has another name, too%Z", path);
        return NGX_ERROR;
    }

    if (st->st_uid != geteuid() && st->st_uid != 0) {
        ngx_snprintf(errstr, errlen, "\"%s\" belongs to another user%Z",
                     path);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_stats_lock_file(ngx_fd_t fd, ngx_uint_t *alone)
{
    for ( ;; ) {

        if (flock(fd, LOCK_EX|LOCK_NB) == 0) {
            *alone = 1;
            return NGX_OK;
        }

        if (ngx_errno != NGX_EINTR) {
            break;
        }
    }

    if (ngx_errno != EWOULDBLOCK) {
        return NGX_ERROR;
    }

    *alone = 0;

    return ngx_eb_stats_wait(fd);
}


/*
 * A shared lock waits only for one that makes or repairs the file right now,
 * and not for ever: whoever may read the file can hold the exclusive one.
 */

static ngx_int_t
ngx_eb_stats_wait(ngx_fd_t fd)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_EB_STATS_WAIT; i++) {

        if (flock(fd, LOCK_SH|LOCK_NB) == 0) {
            return NGX_OK;
        }

        if (ngx_errno != EWOULDBLOCK && ngx_errno != NGX_EINTR) {
            return NGX_ERROR;
        }

        ngx_msleep(NGX_EB_STATS_STEP);
    }

    ngx_set_errno(NGX_ETIMEDOUT);

    return NGX_ERROR;
}


static ngx_int_t
ngx_eb_stats_same_file(ngx_fd_t fd, u_char *path)
{
    struct stat  st, now;

    if (fstat(fd, &st) == -1) {
        return NGX_ERROR;
    }

    if (lstat((char *) path, &now) == -1) {
        return (ngx_errno == NGX_ENOENT) ? NGX_DECLINED : NGX_ERROR;
    }

    if (st.st_dev != now.st_dev || st.st_ino != now.st_ino) {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_stats_examine(ngx_fd_t fd, ngx_eb_stats_state_e *state)
{
    ssize_t                n;
    struct stat            st;
    static u_char          zero[8];
    ngx_eb_stats_layout_t  layout, found;

    if (fstat(fd, &st) == -1) {
        return NGX_ERROR;
    }

    if (st.st_size == 0) {
        *state = NGX_EB_STATS_EMPTY;
        return NGX_OK;
    }

    ngx_memzero(&found, sizeof(ngx_eb_stats_layout_t));

    do {
        n = pread(fd, &found, sizeof(ngx_eb_stats_layout_t), 0);
    } while (n == -1 && ngx_errno == NGX_EINTR);

    if (n == -1) {
        return NGX_ERROR;
    }

    ngx_eb_stats_layout(&layout);

    if (st.st_size == (off_t) NGX_EB_STATS_SIZE
        && ngx_memcmp(&found, &layout, sizeof(ngx_eb_stats_layout_t)) == 0)
    {
        *state = NGX_EB_STATS_VALID;

    } else if (ngx_memcmp(found.magic, layout.magic, 8) == 0) {
        *state = NGX_EB_STATS_DAMAGED;

    } else if (st.st_size == (off_t) NGX_EB_STATS_SIZE
               && ngx_memcmp(found.magic, zero, 8) == 0)
    {
        /* one that died before it was finished */
        *state = NGX_EB_STATS_EMPTY;

    } else {
        *state = NGX_EB_STATS_FOREIGN;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_stats_set_aside(u_char *path, ngx_log_t *log, u_char *errstr,
    size_t errlen, ngx_err_t *err)
{
    u_char  *last, old[NGX_MAX_PATH];

    last = ngx_snprintf(old, NGX_MAX_PATH, "%s.old%Z", path);

    if (last[-1] != '\0') {
        *err = 0;
        ngx_snprintf(errstr, errlen, "\"%s\" is too long%Z", path);
        return NGX_ERROR;
    }

    if (rename((char *) path, (char *) old) == -1 && ngx_errno != NGX_ENOENT) {
        *err = ngx_errno;
        ngx_snprintf(errstr, errlen, "rename(\"%s\", \"%s\") failed%Z",
                     path, old);
        return NGX_ERROR;
    }

    ngx_log_error(NGX_LOG_WARN, log, 0,
                  "eventbridge: \"%s\" is not a metrics file of this version, "
                  "it is now \"%s\", counting starts anew", path, old);

    return NGX_OK;
}


static ngx_int_t
ngx_eb_stats_allocate(ngx_fd_t fd, u_char *path, u_char *errstr,
    size_t errlen, ngx_err_t *err)
{
    int  rc;

    if (ftruncate(fd, 0) == -1) {
        *err = ngx_errno;
        ngx_snprintf(errstr, errlen, "ftruncate(\"%s\") failed%Z", path);
        return NGX_ERROR;
    }

    /* a full disk is to be an error now, not a SIGBUS later */

    do {
        rc = posix_fallocate(fd, 0, NGX_EB_STATS_SIZE);
    } while (rc == NGX_EINTR);

    if (rc != 0) {
        *err = rc;
        ngx_snprintf(errstr, errlen, "posix_fallocate(\"%s\", %uz) failed%Z",
                     path, NGX_EB_STATS_SIZE);

        /* what is half made shall not take the room that is missing */
        if (ftruncate(fd, 0) == -1) {
            /* the error above says what matters */
        }

        return NGX_ERROR;
    }

    return NGX_OK;
}


/* only once it is known to be ours: the path may be a mistake */

static ngx_int_t
ngx_eb_stats_tighten(ngx_fd_t fd, u_char *path, ngx_log_t *log,
    u_char *errstr, size_t errlen, ngx_err_t *err)
{
    struct stat  st;

    if (fstat(fd, &st) == -1) {
        *err = ngx_errno;
        ngx_snprintf(errstr, errlen, "fstat(\"%s\") failed%Z", path);
        return NGX_ERROR;
    }

    if ((st.st_mode & 07777 & ~NGX_EB_STATS_MODE)
        && fchmod(fd, st.st_mode & NGX_EB_STATS_MODE) == -1)
    {
        ngx_log_error(NGX_LOG_WARN, log, ngx_errno,
                      "eventbridge: cannot change the mode of the metrics "
                      "file \"%s\"", path);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_stats_init_mutex(ngx_eb_stats_header_t *header, ngx_err_t *err)
{
    int                  rc;
    pthread_mutexattr_t  attr;

    rc = pthread_mutexattr_init(&attr);
    if (rc != 0) {
        *err = rc;
        return NGX_ERROR;
    }

    rc = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);

    if (rc == 0) {
        rc = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    }

    if (rc == 0) {
        ngx_memzero(&header->mutex, sizeof(pthread_mutex_t));
        rc = pthread_mutex_init(&header->mutex, &attr);
    }

    (void) pthread_mutexattr_destroy(&attr);

    if (rc != 0) {
        *err = rc;
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * Alone with the file: what a crash of the host left of it.  Pages reach the
 * disk in any order, so a slot may be there without those before it, or the
 * count without its slots.
 */

static void
ngx_eb_stats_recover(ngx_eb_stats_t *stats)
{
    uint32_t              used;
    ngx_uint_t            i;
    ngx_eb_stats_copy_t   copy;
    ngx_eb_stats_slot_t  *slot;

    used = 0;

    for (i = 0; i < NGX_EB_STATS_SLOTS; i++) {
        slot = &stats->slots[i];

        if (slot->state == 0) {
            continue;
        }

        if (!ngx_eb_stats_copy(&copy, slot)) {
            ngx_memzero(slot, sizeof(ngx_eb_stats_slot_t));
            continue;
        }

        if (i < NGX_EB_STATS_ROOM) {
            used = i + 1;
        }
    }

    stats->header->used = used;
}


static void
ngx_eb_stats_layout(ngx_eb_stats_layout_t *layout)
{
    uint64_t  hash;
    uint32_t  ends[8];

    ends[0] = NGX_EB_STATS_KINDS;
    ends[1] = NGX_EB_STATS_L_END;
    ends[2] = NGX_EB_STATS_D_END;
    ends[3] = NGX_EB_STATS_R_END;
    ends[4] = NGX_EB_STATS_N_END;
    ends[5] = NGX_EB_STATS_C_END;
    ends[6] = NGX_EB_STATS_O_END;
    ends[7] = NGX_EB_STATS_T_END;

    hash = ngx_eb_stats_hash(NGX_EB_STATS_FNV_BASIS, ends, sizeof(ends));
    hash = ngx_eb_stats_bounds(hash);

    ngx_memcpy(layout->magic, NGX_EB_STATS_MAGIC, 8);
    layout->version = NGX_EB_STATS_VERSION;
    layout->byte_order = NGX_EB_STATS_BYTE_ORDER;
    layout->header_size = NGX_EB_STATS_HEADER_SIZE;
    layout->slot_size = NGX_EB_STATS_SLOT_SIZE;
    layout->slots = NGX_EB_STATS_SLOTS;
    layout->cells = NGX_EB_STATS_CELLS;
    layout->mutex_size = sizeof(pthread_mutex_t);
    layout->meaning = hash;
}


static void
ngx_eb_stats_cleanup(void *data)
{
    ngx_eb_stats_t *stats = data;

    (void) munmap((void *) stats->header, NGX_EB_STATS_SIZE);

    /* no LOCK_UN: children that share the lock go on counting */

    (void) ngx_close_file(stats->fd);
}


static ngx_int_t
ngx_eb_stats_lock(ngx_eb_stats_t *stats)
{
    int  rc;

    rc = pthread_mutex_lock(&stats->header->mutex);

    if (rc == EOWNERDEAD) {

        /* what its owner had begun is a slot beyond the count: no harm */

        rc = pthread_mutex_consistent(&stats->header->mutex);

        if (rc != 0) {
            (void) pthread_mutex_unlock(&stats->header->mutex);
        }
    }

    if (rc != 0) {
        ngx_log_error(NGX_LOG_ALERT, stats->log, rc,
                      "eventbridge: pthread_mutex_lock() of the metrics file "
                      "failed");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_eb_stats_unlock(ngx_eb_stats_t *stats)
{
    (void) pthread_mutex_unlock(&stats->header->mutex);
}


/* FNV-1a */

uint64_t
ngx_eb_stats_hash(uint64_t hash, const void *data, size_t len)
{
    size_t         i;
    const u_char  *p;

    p = data;

    for (i = 0; i < len; i++) {
        hash = (hash ^ p[i]) * NGX_EB_STATS_FNV_PRIME;
    }

    return hash;
}


static uint64_t
ngx_eb_stats_check(uint32_t kind, ngx_str_t *labels)
{
    uint64_t  hash;

    hash = ngx_eb_stats_hash(NGX_EB_STATS_FNV_BASIS, &kind, sizeof(kind));

    return ngx_eb_stats_hash(hash, labels->data, labels->len);
}


/* each member is read once: it may be another one the next time */

static ngx_uint_t
ngx_eb_stats_copy(ngx_eb_stats_copy_t *copy, ngx_eb_stats_slot_t *slot)
{
    if (__atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) != NGX_EB_STATS_READY)
    {
        return 0;
    }

    copy->kind = __atomic_load_n(&slot->kind, __ATOMIC_RELAXED);
    copy->check = __atomic_load_n(&slot->check, __ATOMIC_RELAXED);
    copy->labels.len = __atomic_load_n(&slot->len, __ATOMIC_RELAXED);
    copy->labels.data = copy->text;

    if (copy->kind >= NGX_EB_STATS_KINDS
        || copy->labels.len > NGX_EB_STATS_LABELS)
    {
        return 0;
    }

    ngx_memcpy(copy->text, slot->labels, copy->labels.len);

    /* the compiler shall not look at the slot in place of the copy */

    __atomic_thread_fence(__ATOMIC_ACQUIRE);

    return copy->check == ngx_eb_stats_check(copy->kind, &copy->labels);
}


static void
ngx_eb_stats_publish(ngx_eb_stats_slot_t *slot, uint32_t kind,
    ngx_str_t *labels, uint64_t check)
{
    /* it may hold what a process began that was killed */

    ngx_memzero(slot, sizeof(ngx_eb_stats_slot_t));

    slot->kind = kind;
    slot->check = check;
    slot->len = (uint16_t) labels->len;
    ngx_memcpy(slot->labels, labels->data, labels->len);

    __atomic_store_n(&slot->state, NGX_EB_STATS_READY, __ATOMIC_RELEASE);
}


static ngx_eb_stats_slot_t *
ngx_eb_stats_find(ngx_eb_stats_t *stats, uint32_t kind, ngx_str_t *labels,
    uint64_t check)
{
    ngx_uint_t            i;
    ngx_eb_stats_slot_t  *slot;

    for (i = check; /* void */ ; i++) {
        i &= NGX_EB_STATS_HASH - 1;

        if (stats->hash[i] == 0) {
            return NULL;
        }

        slot = &stats->slots[stats->hash[i] - 1];

        if (slot->check == check
            && slot->kind == kind
            && slot->len == labels->len
            && ngx_memcmp(slot->labels, labels->data, labels->len) == 0)
        {
            return slot;
        }
    }
}


/* the slots that were appended, by whomever, since the last time */

static void
ngx_eb_stats_index(ngx_eb_stats_t *stats)
{
    ngx_uint_t           i, used;
    ngx_eb_stats_copy_t  copy;

    used = __atomic_load_n(&stats->header->used, __ATOMIC_ACQUIRE);
    used = ngx_min(used, NGX_EB_STATS_ROOM);

    for ( /* void */ ; stats->indexed < used; stats->indexed++) {

        if (!ngx_eb_stats_copy(&copy, &stats->slots[stats->indexed])
            || ngx_eb_stats_find(stats, copy.kind, &copy.labels, copy.check))
        {
            continue;
        }

        for (i = copy.check; /* void */ ; i++) {
            i &= NGX_EB_STATS_HASH - 1;

            if (stats->hash[i] == 0) {
                stats->hash[i] = (uint16_t) (stats->indexed + 1);
                break;
            }
        }
    }
}


ngx_eb_stats_cell_t *
ngx_eb_stats_series(ngx_eb_stats_t *stats, ngx_eb_stats_kind_e kind,
    ngx_str_t *labels)
{
    u_char                buf[NGX_EB_STATS_LABELS];
    uint64_t              check;
    ngx_str_t             text;
    ngx_eb_stats_slot_t  *slot;

    if (stats == NULL) {
        return ngx_eb_stats_nobody;
    }

    text.len = ngx_eb_stats_fit(buf, labels);
    text.data = buf;

    check = ngx_eb_stats_check(kind, &text);

    ngx_eb_stats_index(stats);

    slot = ngx_eb_stats_find(stats, kind, &text, check);
    if (slot) {
        return slot->cells;
    }

    if (ngx_eb_stats_lock(stats) != NGX_OK) {
        return ngx_eb_stats_nobody;
    }

    /* another process may have appended it while we waited */

    ngx_eb_stats_index(stats);

    slot = ngx_eb_stats_find(stats, kind, &text, check);

    if (slot == NULL) {
        slot = ngx_eb_stats_append(stats, kind, &text, check);
    }

    ngx_eb_stats_unlock(stats);

    return slot->cells;
}


static ngx_eb_stats_slot_t *
ngx_eb_stats_append(ngx_eb_stats_t *stats, uint32_t kind, ngx_str_t *labels,
    uint64_t check)
{
    uint32_t              used;
    ngx_eb_stats_copy_t   copy;
    ngx_eb_stats_slot_t  *slot;
    static ngx_str_t      overflow = ngx_string("overflow=\"true\"");

    used = __atomic_load_n(&stats->header->used, __ATOMIC_RELAXED);

    if (used < NGX_EB_STATS_ROOM) {
        slot = &stats->slots[used];

        ngx_eb_stats_publish(slot, kind, labels, check);

        __atomic_store_n(&stats->header->used, used + 1, __ATOMIC_RELEASE);

        ngx_eb_stats_index(stats);

        return slot;
    }

    slot = &stats->slots[NGX_EB_STATS_ROOM + kind];

    if (!ngx_eb_stats_copy(&copy, slot)) {
        ngx_eb_stats_publish(slot, kind, &overflow,
                             ngx_eb_stats_check(kind, &overflow));

        ngx_log_error(NGX_LOG_WARN, stats->log, 0,
                      "eventbridge: the metrics file has no room for more "
                      "series, they are counted together");
    }

    /* NULL: the file was full before it had a node series */

    if (stats->node) {
        ngx_eb_stats_add(stats->node, NGX_EB_STATS_N_SERIES_FULL, 1);
    }

    return slot;
}


ngx_int_t
ngx_eb_stats_gather(ngx_eb_stats_t *stats, ngx_pool_t *pool,
    ngx_eb_stats_printed_t *list, ngx_uint_t *n)
{
    ngx_uint_t            i;
    ngx_eb_stats_copy_t   copy;
    ngx_eb_stats_slot_t  *slot;

    ngx_eb_stats_index(stats);

    *n = 0;

    for (i = 0; i < stats->indexed; i++) {
        slot = &stats->slots[i];

        /* a second one of the same name would spoil the whole scrape */

        if (ngx_eb_stats_copy(&copy, slot)
            && ngx_eb_stats_find(stats, copy.kind, &copy.labels, copy.check)
               == slot
            && ngx_eb_stats_gather_one(pool, list, n, &copy, slot) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    for (i = NGX_EB_STATS_ROOM; i < NGX_EB_STATS_SLOTS; i++) {
        slot = &stats->slots[i];

        if (ngx_eb_stats_copy(&copy, slot)
            && copy.kind == i - NGX_EB_STATS_ROOM
            && ngx_eb_stats_gather_one(pool, list, n, &copy, slot) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_stats_gather_one(ngx_pool_t *pool, ngx_eb_stats_printed_t *list,
    ngx_uint_t *n, ngx_eb_stats_copy_t *copy, ngx_eb_stats_slot_t *slot)
{
    ngx_eb_stats_printed_t  *printed;

    if (!ngx_eb_stats_printable(copy->text, copy->labels.len)) {
        return NGX_OK;
    }

    printed = &list[*n];

    printed->kind = copy->kind;
    printed->cells = slot->cells;
    printed->labels.len = copy->labels.len;
    printed->labels.data = NULL;

    if (copy->labels.len) {
        printed->labels.data = ngx_pnalloc(pool, copy->labels.len);
        if (printed->labels.data == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(printed->labels.data, copy->text, copy->labels.len);
    }

    (*n)++;

    return NGX_OK;
}
