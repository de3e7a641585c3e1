
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
    u_char                     unused[224];
    uint64_t                   check;
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

    uint64_t                   moved;       /* a successor was published */
    u_char                     boot[40];    /* id of the kernel's run */
    u_char                     unused0[80];

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
    u_char                     unused2[1280 - sizeof(pthread_mutex_t)];

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

    unsigned                   logged:1;
};


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

/* closes and unmaps what cp has of the file */
void ngx_eb_checkpoint_detach(void *data);


#endif /* _NGX_EB_CHECKPOINT_FILE_H_INCLUDED_ */
