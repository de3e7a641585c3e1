
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The checkpoint's file, as those see it who use it: what is in it, and how to
 * come by it.  Private to the checkpoint.
 *
 *     0      constant header, one sector with a checksum
 *     512    what changes: notices and counters
 *     2048   registry of destinations
 *     4096   owner slots, locks of the regions, tags, buckets; each page
 *            aligned
 */


#ifndef _NGX_EB_CHECKPOINT_FILE_H_INCLUDED_
#define _NGX_EB_CHECKPOINT_FILE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_checkpoint.h"
#include "ngx_eb_table.h"

#include <pthread.h>


#define NGX_EB_CHECKPOINT_PAGE        4096
#define NGX_EB_CHECKPOINT_DESTS       64

/*
 * Files of the version before are read, those of later ones are not.  Version
 * 1, which had no tags, was never released.
 */
#ifndef NGX_EB_CHECKPOINT_VERSION
#define NGX_EB_CHECKPOINT_VERSION     2
#endif

#define NGX_EB_CHECKPOINT_OLDEST      ngx_max(NGX_EB_CHECKPOINT_VERSION - 1, 2)


typedef struct {
    u_char                     magic[8];
    uint32_t                   version;
    uint32_t                   endian;
    uint32_t                   mutex_size;
    uint32_t                   owners;
    uint32_t                   regions;
    uint32_t                   width;
    uint64_t                   size;
    uint64_t                   owners_offset;
    uint64_t                   locks_offset;
    uint64_t                   tags_offset;
    uint64_t                   table_offset;
    uint64_t                   created;
    uint64_t                   reset;       /* made in place of a damaged one */
    u_char                     secret[NGX_EB_TABLE_SECRET];
    uint64_t                   from;        /* check of the predecessor */
    u_char                     unused[216];
    uint64_t                   check;       /* and this file's identity */
} ngx_eb_checkpoint_constant_t;


/* check covers hi and lo only, so that last_named can be stamped in passing */

typedef struct {
    uint64_t                   hi;
    uint64_t                   lo;
    uint64_t                   check;
    uint64_t                   last_named;
} ngx_eb_checkpoint_dest_t;


typedef struct {
    ngx_eb_checkpoint_constant_t  constant;

    uint64_t                   moved;       /* check of the successor, when
                                               it was published */
    u_char                     boot[40];    /* id of the kernel's run */
    u_char                     unused0[16];

    /* 576: of marks that come from the predecessor */

    uint64_t                   drained;     /* NGX_EB_CHECKPOINT_... */
    uint64_t                   cursor;      /* bucket of the predecessor */
    uint64_t                   left;        /* since its first bucket: held, */
    uint64_t                   stuck;       /* and without room */
    uint64_t                   resume;      /* CLOCK_BOOTTIME, ms */
    uint64_t                   fixes_told;  /* of clock_fixes */
    uint64_t                   again;       /* a pass has left something */
    uint64_t                   freed;       /* it takes no memory any more */

    /* 640: in lines of the cache that are not read by each operation */

    ngx_eb_table_counters_t    counters;
    uint64_t                   recovered;
    uint64_t                   syncs;
    uint64_t                   sync_errors;
    uint64_t                   sync_last;
    uint64_t                   sync_started;
    uint64_t                   next_owner;
    u_char                     unused1[40];

    pthread_mutex_t            lock;        /* of the registry */
    pthread_mutex_t            mover;       /* of who moves, makes a successor
                                               or removes the predecessor */
    u_char                     unused2[1280 - 2 * sizeof(pthread_mutex_t)];

    ngx_eb_checkpoint_dest_t   dests[NGX_EB_CHECKPOINT_DESTS];
} ngx_eb_checkpoint_header_t;


/* lock is held by the owner for its whole life */

typedef struct {
    pthread_mutex_t            lock;
    u_char                     unused[44 - sizeof(pthread_mutex_t)];
    uint32_t                   used;
    uint32_t                   first;       /* its tokens: from first ... */
    uint32_t                   next;        /* ... to before next */
    uint64_t                   heartbeat;   /* CLOCK_BOOTTIME, ms */
} ngx_eb_checkpoint_owner_t;


typedef struct {
    pthread_mutex_t            lock;
    u_char                     unused[64 - sizeof(pthread_mutex_t)];
} ngx_eb_checkpoint_lock_t;


struct ngx_eb_checkpoint_s {
    ngx_eb_store_t             store;
    ngx_eb_table_t             table;

    ngx_eb_checkpoint_conf_t  *conf;
    ngx_eb_checkpoint_header_t  *header;
    ngx_eb_checkpoint_owner_t  *owners;
    ngx_eb_checkpoint_lock_t  *locks;
    ngx_log_t                 *log;

    size_t                     size;
    uint32_t                   nowners;     /* as it was when it was checked:
                                               what is mapped may change */
    ngx_fd_t                   fd;
    ngx_int_t                  owner;       /* -1: none */
    ngx_pid_t                  pid;         /* that took it */
    uint32_t                   shift;       /* tokens of the slot, less those
                                               that deliveries have */

    ngx_eb_checkpoint_t       *prev;        /* the predecessor, while marks
                                               are to come from it, or NULL */
    ngx_eb_checkpoint_t       *room;        /* for that */

    ngx_fd_t                   flush_prev;  /* -1, or the predecessor's */
    ngx_fd_t                   flush_fd;    /* what a thread flushes: it is */
    ngx_eb_checkpoint_header_t  *flush_header;  /* mapped all the while */
    uint64_t                   told;        /* ms, of clock_fixes */

    unsigned                   logged:1;
    unsigned                   lost:1;      /* cannot follow, logged */
    unsigned                   flushing:1;
    unsigned                   finishing:1;
    unsigned                   alone:1;     /* nobody had the file before */
};


/* is the predecessor to be asked? */
#define ngx_eb_checkpoint_moving(cp)                                          \
    ((cp)->prev                                                               \
     && __atomic_load_n(&(cp)->header->drained, __ATOMIC_ACQUIRE)             \
        == NGX_EB_CHECKPOINT_MOVING)

/* header->drained */

#define NGX_EB_CHECKPOINT_MOVING      0
#define NGX_EB_CHECKPOINT_DRAINED     1         /* nothing is left in it */
#define NGX_EB_CHECKPOINT_FINISHED    2         /* and that is on the disk */


/* what an attempt to use a file needs to say why it failed */

typedef struct {
    ngx_eb_checkpoint_conf_t  *conf;
    ngx_log_t                 *log;         /* NULL: -t */
    u_char                    *errstr;
    size_t                     errlen;
    ngx_err_t                 *err;
} ngx_eb_checkpoint_try_t;


/* the reason of a failure, for whoever asked; returns NGX_ERROR */
ngx_int_t ngx_eb_checkpoint_fail(ngx_eb_checkpoint_try_t *try, ngx_err_t err,
    const char *fmt, ...);

/* can the configuration be met at all? */
ngx_int_t ngx_eb_checkpoint_conf(ngx_eb_checkpoint_try_t *try);

/* the size of a file that is configured with this one */
uint64_t ngx_eb_checkpoint_round(uint64_t size);

/*
 * Opens, creates or repairs the file, maps it, and leaves with a shared lock
 * on it.  cp holds the file then, or after a failure some of it, which
 * ngx_eb_checkpoint_detach() gives back.
 */
ngx_int_t ngx_eb_checkpoint_acquire(ngx_eb_checkpoint_t *cp,
    ngx_eb_checkpoint_try_t *try);

/* NGX_DECLINED: a file of ours, but damaged, or of a version too old */
ngx_int_t ngx_eb_checkpoint_validate(ngx_eb_checkpoint_try_t *try,
    ngx_fd_t fd, off_t size, ngx_eb_checkpoint_constant_t *c);

/* a file that nobody else can go on writing to */
ngx_int_t ngx_eb_checkpoint_trusted(ngx_eb_checkpoint_try_t *try, ngx_fd_t fd,
    struct stat *st);

ngx_int_t ngx_eb_checkpoint_wait(ngx_eb_checkpoint_try_t *try, ngx_fd_t fd);

/* a new PATH.new or PATH.next, which is locked exclusively, or -1 */
ngx_fd_t ngx_eb_checkpoint_temp(ngx_eb_checkpoint_try_t *try, u_char *path);

/* an empty checkpoint, with the fingerprints of the other one, if any */
ngx_int_t ngx_eb_checkpoint_write(ngx_eb_checkpoint_try_t *try, ngx_fd_t fd,
    u_char *path, ngx_uint_t reset, ngx_eb_checkpoint_constant_t *from);

ngx_int_t ngx_eb_checkpoint_map(ngx_eb_checkpoint_t *cp,
    ngx_eb_checkpoint_try_t *try, ngx_eb_checkpoint_constant_t *c);
ngx_int_t ngx_eb_checkpoint_anew(ngx_eb_checkpoint_t *cp,
    ngx_eb_checkpoint_try_t *try);

/* closes and unmaps what cp has of the file */
void ngx_eb_checkpoint_detach(void *data);


/* where it is: ngx_eb_checkpoint_disk.c */

ngx_int_t ngx_eb_checkpoint_local(ngx_eb_checkpoint_try_t *try, ngx_fd_t fd);
ngx_int_t ngx_eb_checkpoint_absent(ngx_eb_checkpoint_try_t *try);
ngx_int_t ngx_eb_checkpoint_same(ngx_fd_t fd, u_char *path);
ngx_int_t ngx_eb_checkpoint_sync_directory(ngx_eb_checkpoint_try_t *try);
ngx_int_t ngx_eb_checkpoint_allocate(ngx_fd_t fd, uint64_t size);
void ngx_eb_checkpoint_boot(u_char *id);


/* locks and owner slots: ngx_eb_checkpoint.c */

ngx_int_t ngx_eb_checkpoint_lock(ngx_eb_checkpoint_t *cp,
    pthread_mutex_t *lock);
uint64_t ngx_eb_checkpoint_ms(void);
uint64_t ngx_eb_checkpoint_dest_sum(ngx_eb_checkpoint_dest_t *dest);
ngx_uint_t ngx_eb_checkpoint_live(void *data, ngx_uint_t owner,
    uint32_t token);

/* a slot, which is cp->owner then; NGX_ERROR: none is free */
ngx_int_t ngx_eb_checkpoint_slot(ngx_eb_checkpoint_t *cp);

#define ngx_eb_checkpoint_mark(cp, token)                                     \
    ngx_eb_table_mark((cp)->owner,                                            \
                      ((token) + (cp)->shift) & (NGX_EB_TABLE_TOKENS - 1))


/* from one file to the next: ngx_eb_checkpoint_next.c */

/* attached to a file whose predecessor still has marks: attaches to that */
ngx_int_t ngx_eb_checkpoint_predecessor(ngx_eb_checkpoint_t *cp,
    ngx_eb_checkpoint_try_t *try);

/*
 * Goes over to the successor, whose name path is by now; does not wait.
 * NGX_DECLINED: there is none, or not yet.
 */
ngx_int_t ngx_eb_checkpoint_follow(ngx_eb_checkpoint_t *cp);

/* gives the predecessor back */
void ngx_eb_checkpoint_release(ngx_eb_checkpoint_t *cp);

/* in a thread: removes the predecessor, nothing of which is needed */
ngx_err_t ngx_eb_checkpoint_finish(ngx_eb_checkpoint_t *cp);
ngx_err_t ngx_eb_checkpoint_finish_locked(ngx_eb_checkpoint_conf_t *conf,
    ngx_eb_checkpoint_header_t *h, ngx_fd_t fd, ngx_uint_t sync);


/* the marks on their way: ngx_eb_checkpoint_move.c */

/* locks h->mover, and begins a pass anew if it was somebody's who died */
ngx_int_t ngx_eb_checkpoint_mover(ngx_eb_checkpoint_header_t *h,
    ngx_msec_t wait);

/* the operations while there is a predecessor, with the key's region locked */
ngx_int_t ngx_eb_checkpoint_move_claim(ngx_eb_checkpoint_t *cp,
    uint32_t token, ngx_eb_store_key_t *key);
ngx_int_t ngx_eb_checkpoint_move_commit(ngx_eb_checkpoint_t *cp,
    uint32_t token, ngx_eb_store_key_t *key);
ngx_int_t ngx_eb_checkpoint_move_lookup(ngx_eb_checkpoint_t *cp,
    ngx_eb_store_key_t *key);


#endif /* _NGX_EB_CHECKPOINT_FILE_H_INCLUDED_ */
