
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The local checkpoint: a fixed-size hash table of marks in a file that all
 * processes map shared.
 */


#ifndef _NGX_EB_CHECKPOINT_H_INCLUDED_
#define _NGX_EB_CHECKPOINT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_store.h"


typedef struct {
    ngx_str_t                 name;
    ngx_str_t                 path;     /* NUL-terminated */
    size_t                    size;     /* bytes of the whole file */
    time_t                    window;
    ngx_msec_t                claim_timeout;
    ngx_msec_t                sync;     /* 0: off */
    unsigned                  full_reject:1;
    unsigned                  corrupt_refuse:1;
    ngx_uid_t                 user;     /* who may write it: the workers */
    ngx_gid_t                 group;
} ngx_eb_checkpoint_conf_t;


typedef struct ngx_eb_checkpoint_s  ngx_eb_checkpoint_t;


typedef struct {
    uint64_t                  slots;
    uint64_t                  used;         /* estimate from a sample */
    uint64_t                  claimed;      /* the same */
    uint64_t                  evictions;    /* since the file was made */
    uint64_t                  full;         /* refused for want of room */
    uint64_t                  clock_fixes;  /* marks stamped anew */
    uint64_t                  recovered;    /* locks of dead processes */
    time_t                    oldest;       /* age of the oldest mark seen */
    time_t                    effective;    /* window really remembered: age
                                               of the mark evicted last, or the
                                               window while none was */
    uint64_t                  syncs;
    uint64_t                  sync_errors;
    ngx_msec_t                sync_last;    /* duration of the last one */
    ngx_uint_t                destinations; /* live identities */
    unsigned                  corrupt_reset:1;  /* started empty because the
                                                   file was damaged */
    unsigned                  moving:1;     /* marks come from a file that
                                               this one has replaced */
} ngx_eb_checkpoint_facts_t;


/*
 * nginx -t: can the file be used, or be created?  Opens read-only, locks and
 * writes nothing.  NGX_OK, or NGX_ERROR with a reason (a sentence without a
 * period) in errstr, at most errlen bytes with the final NUL, and errno or 0
 * in *err.
 */
ngx_int_t ngx_eb_checkpoint_test(ngx_eb_checkpoint_conf_t *conf,
    u_char *errstr, size_t errlen, ngx_err_t *err);

/*
 * Master, while it reads the configuration: creates the file when it is not
 * there, and maps it.  The first process after a stop gets the file
 * exclusively: it makes all locks anew and ends all claims.  Unmapped and
 * closed with pool; workers inherit the mapping and the shared flock.  conf is
 * borrowed for the life of pool.  NULL: failed, reason as above.
 */
ngx_eb_checkpoint_t *ngx_eb_checkpoint_attach(ngx_pool_t *pool,
    ngx_eb_checkpoint_conf_t *conf, ngx_log_t *log, u_char *errstr,
    size_t errlen, ngx_err_t *err);

/*
 * Master, when the configuration is accepted: if the file has another size or
 * an older format, a new one takes its place; marks move while all work on.
 * Else, or if that cannot be (logged), it stays as it is.
 */
void ngx_eb_checkpoint_settle(ngx_eb_checkpoint_t *cp, ngx_log_t *log);

/*
 * Worker, several times a second: goes over to a new file, and moves some
 * marks.  NGX_AGAIN: there are more, it should be called again in a few
 * milliseconds; NGX_OK.
 */
ngx_int_t ngx_eb_checkpoint_tick(ngx_eb_checkpoint_t *cp);

/*
 * The bit (0 to 63) of the destination with this URI: the registered one, or
 * a new one, or one that nobody named for a whole window.  -1: none is free.
 */
ngx_int_t ngx_eb_checkpoint_destination(ngx_eb_checkpoint_t *cp,
    ngx_str_t *uri, ngx_log_t *log);

/* every process, about once a minute: these bits are still named */
void ngx_eb_checkpoint_renew(ngx_eb_checkpoint_t *cp, uint64_t bits);

/* worker, init_process: takes an owner slot.  NGX_ERROR: no slot (logged);
   claims then fail */
ngx_int_t ngx_eb_checkpoint_open(ngx_eb_checkpoint_t *cp, ngx_log_t *log);

/* worker, exit_process: gives the slot back */
void ngx_eb_checkpoint_close(ngx_eb_checkpoint_t *cp);

/* worker, at least every third of claim_timeout: its claims live on */
void ngx_eb_checkpoint_heartbeat(ngx_eb_checkpoint_t *cp);

/* milliseconds until claims of others, if their owner hangs, run out */
ngx_msec_t ngx_eb_checkpoint_claim_timeout(ngx_eb_checkpoint_t *cp);

/*
 * Is it this worker's turn to flush?  True for one caller per sync interval.
 * ngx_eb_checkpoint_flush() does it (fdatasync, blocks: for a thread), and
 * returns 0 or errno; ngx_eb_checkpoint_flushed() records it.
 */
ngx_uint_t ngx_eb_checkpoint_flush_due(ngx_eb_checkpoint_t *cp);
ngx_err_t ngx_eb_checkpoint_flush(ngx_eb_checkpoint_t *cp);
void ngx_eb_checkpoint_flushed(ngx_eb_checkpoint_t *cp, ngx_err_t err,
    ngx_msec_t msec);

/* never NULL; the checkpoint as a store */
ngx_eb_store_t *ngx_eb_checkpoint_store(ngx_eb_checkpoint_t *cp);

/* true while the file takes claims: not moved, slot held */
ngx_uint_t ngx_eb_checkpoint_usable(ngx_eb_checkpoint_t *cp);

void ngx_eb_checkpoint_facts(ngx_eb_checkpoint_t *cp,
    ngx_eb_checkpoint_facts_t *facts);


#endif /* _NGX_EB_CHECKPOINT_H_INCLUDED_ */
