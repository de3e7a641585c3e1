
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The durable state of a lifecycle: its journal, an append log of the lines of
 * ngx_eb_genesys_lifecycle_record.h.
 *
 * Any worker appends what it has received or polled (capture).  The one with
 * the lease reads that back, and it alone feeds the engine, so that what the
 * engine knows is always what is on the disk.  What the engine accepts is
 * written as well before it is published; when it has been published, that is
 * written, too.  From time to time a snapshot is appended, and what is in front
 * of it is dropped.
 *
 * Who gets the lease recovers the engine from the file.  Delivery is at least
 * once, by the same id; twice only what was on its way at the end of a process.
 *
 *
 * The order of things
 *
 *   master     ngx_eb_lifecycle_state_check(), then ngx_eb_log_open()
 *   worker     ngx_eb_log_start(); ngx_eb_lifecycle_capture() at any time
 *   with the   ngx_eb_lifecycle_state_start(), then
 *   lease      ngx_eb_lifecycle_state_tick() whenever its answer says so,
 *              after the handlers of this worker's captures, and after
 *              ngx_eb_lifecycle_state_done()
 *   at its     ngx_eb_lifecycle_state_stop(), before ngx_eb_log_stop() and
 *   end        before the lease is released
 */


#ifndef _NGX_EB_LIFECYCLE_STATE_H_INCLUDED_
#define _NGX_EB_LIFECYCLE_STATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_genesys_lifecycle.h"
#include "ngx_eb_genesys_lifecycle_record.h"
#include "ngx_eb_log.h"


/* the file is compacted when it is so large, bytes, and has grown fourfold
   since the last time */
#define NGX_EB_LIFECYCLE_COMPACT  (16 * 1024 * 1024)

#define NGX_EB_LIFECYCLE_GROWTH   4

/* how often that is tried, ms */
#define NGX_EB_LIFECYCLE_PAUSE    60000

/* how often the file is looked at for what others have appended, ms */
#define NGX_EB_LIFECYCLE_FOLLOW   100


typedef struct ngx_eb_lifecycle_state_s    ngx_eb_lifecycle_state_t;
typedef struct ngx_eb_lifecycle_pending_s  ngx_eb_lifecycle_pending_t;


/* lines of the file, each with its newline */

typedef struct {
    u_char                        *data;
    size_t                         len;
    size_t                         size;
    size_t                         pos;         /* what was taken */
} ngx_eb_lifecycle_lines_t;


/*
 * A transition that was accepted, until done().  The same is used for other
 * lines that are on their way to the disk.
 */

struct ngx_eb_lifecycle_pending_s {
    ngx_eb_lifecycle_decision_t    decision;    /* PUBLISH, read only */
    void                          *data;        /* the publisher's, NULL at
                                               first */

    /* of the state */
    ngx_queue_t                    queue;       /* pending, in the order of
                                               acceptance; or free */
    ngx_queue_t                    write;       /* not told yet; or again */
    ngx_queue_t                    chain;       /* pending, by id */
    ngx_eb_lifecycle_state_t      *state;
    ngx_eb_log_record_t            record;
    unsigned                       durable:1;   /* it may be published */
    unsigned                       failed:1;    /* to be written */
    unsigned                       ended:1;     /* done() was called */
    unsigned                       published:1;
    u_char                         payload[NGX_EB_LIFECYCLE_RECORD];
};


/* what a recovery or a check has found */

typedef struct {
    uint64_t                       lines;
    uint64_t                       damaged;     /* a wrong check, or none */
    uint64_t                       foreign;     /* not known, or they name a
                                               state that is not configured */
    uint64_t                       pending;     /* transitions to publish */
    uint64_t                       held;        /* events to judge */
    off_t                          cut;         /* bytes of a torn tail */
    u_char                         aside[NGX_MAX_PATH];  /* where a damaged
                                               file was put; NUL at the end; or
                                               empty */
} ngx_eb_lifecycle_report_t;


/* all of them in the event loop of the worker that has the lease */

typedef struct {
    void                          *data;

    /* the engine is recovered, its transitions will be told; NGX_ERROR: logged,
       the file cannot be read, the state is stopped */
    void                         (*recovered)(void *data, ngx_int_t rc,
                                       ngx_eb_lifecycle_report_t *report);

    /* a transition is on the disk: in order for each interaction */
    void                         (*accepted)(void *data,
                                       ngx_eb_lifecycle_pending_t *pending);

    /* FLAG, UNCHANGED or EVICT, for an audit */
    void                         (*decided)(void *data,
                                       ngx_eb_lifecycle_decision_t *decision);

    /* tick() has something to do: it may be called from here */
    void                         (*woken)(void *data);
} ngx_eb_lifecycle_handlers_t;


struct ngx_eb_lifecycle_state_s {
    /* the caller's: set before start */
    ngx_eb_lifecycle_t            *lc;          /* attached */
    ngx_eb_log_t                  *log;         /* started */
    ngx_log_t                     *errlog;
    ngx_eb_lifecycle_handlers_t    handlers;
    ngx_uint_t                     max_pending; /* transitions at a time */

    /* to be read: the last position; cursor is empty if there is none.  After
       damage it is the last one in front of that: poll again from there. */
    ngx_eb_lifecycle_position_t    position;
    ngx_uint_t                     npending;
    ngx_uint_t                     nending;     /* done() was called, which is
                                               not on the disk yet: they would
                                               come again after a kill */
    ngx_uint_t                     ready;       /* recovered */

    /* of the state */
    ngx_pool_t                    *pool;        /* of the position */
    ngx_queue_t                    pending;
    ngx_queue_t                    writing;     /* accepted, not told yet */
    ngx_queue_t                    again;       /* done, to be written again */
    ngx_queue_t                    free;
    ngx_queue_t                    blocks;      /* of memory of these */
    ngx_queue_t                   *buckets;     /* pending ones, by id */
    ngx_eb_json_parser_t          *parser;
    ngx_pool_t                    *temp;        /* of lines */
    ngx_eb_lifecycle_report_t      report;
    ngx_eb_lifecycle_lines_t       lines;       /* read, not taken yet */
    off_t                          offset;      /* of what is read next */
    dev_t                          dev;
    ino_t                          ino;
    off_t                          size;        /* after the last compaction */
    uint64_t                       id;          /* of a snapshot */
    off_t                          begin;       /* its first line; -1: not seen
                                               yet */
    uint32_t                       next;        /* entry of the snapshot */
    ngx_uint_t                     snapshot;    /* where it stands */
    ngx_uint_t                     writes;      /* its records, on their way */
    ngx_uint_t                     lent;        /* lines, on their way */
    ngx_msec_t                     looked;      /* at the file */
    ngx_msec_t                     compacted;   /* when it was tried last */
    ngx_int_t                      rc;          /* of a thread */
    ngx_err_t                      err;
    const char                    *failed;
    unsigned                       running:1;   /* a thread is at it */
    unsigned                       more:1;      /* there is more to be read */
    unsigned                       anew:1;      /* another file, from offset */
    unsigned                       broken:1;    /* the snapshot has failed */
    unsigned                       stopped:1;
    unsigned                       unreadable:1;    /* so the log was told */
};


/* rc is NGX_OK: it is on the disk, or NGX_ERROR: logged */
typedef void (*ngx_eb_lifecycle_handler_pt)(void *data, ngx_int_t rc);


/*
 * Master, before the log is opened; blocks.  A torn tail is cut; a file that
 * never was a journal is renamed to PATH.corrupt-TIME; both are logged.
 * NGX_ERROR: logged.
 */
ngx_int_t ngx_eb_lifecycle_state_check(u_char *path, uid_t user, gid_t group,
    ngx_log_t *log, ngx_eb_lifecycle_report_t *report);

/*
 * Any worker: events that were captured, for whoever has the lease.  NGX_AGAIN:
 * the handler is called once, from the event loop, never from here: the
 * sender's 2xx, and the position after them, must wait for it.  NGX_BUSY: the
 * log's queue is full, NGX_ERROR: logged; there is no call.  All is copied.
 */
ngx_int_t ngx_eb_lifecycle_capture(ngx_eb_log_t *log,
    ngx_eb_lifecycle_states_t *states, ngx_eb_lifecycle_event_t *events,
    ngx_uint_t n, ngx_eb_lifecycle_handler_pt handler, void *data,
    ngx_log_t *errlog);

/*
 * The worker that has the lease.  The engine is reset, the file is read in a
 * thread.  NGX_AGAIN: handlers.recovered is called.  NGX_BUSY: after a stop()
 * a thread is still at it; try again.  NGX_ERROR: logged.
 * A damaged line is left out, after a copy of the file was put aside as
 * PATH.corrupt-TIME.
 */
ngx_int_t ngx_eb_lifecycle_state_start(ngx_eb_lifecycle_state_t *st);

/*
 * Reads what was captured, lets the engine decide, writes what it decides, and
 * compacts the file when it is time.  now: ms since the epoch.  Returns after
 * how many ms it is to be called again, at the latest.
 */
ngx_msec_t ngx_eb_lifecycle_state_tick(ngx_eb_lifecycle_state_t *st,
    int64_t now);

/*
 * pending was published, or given up; it is not the caller's any more.
 */
void ngx_eb_lifecycle_state_done(ngx_eb_lifecycle_state_t *st,
    ngx_eb_lifecycle_pending_t *pending, int64_t now, ngx_uint_t published);

/*
 * Where the poller stands, after what it has captured is on the disk.  The
 * results are those of capture(); the handler may be NULL.  All is copied;
 * st->position is changed at once.
 */
ngx_int_t ngx_eb_lifecycle_state_position(ngx_eb_lifecycle_state_t *st,
    ngx_eb_lifecycle_position_t *position,
    ngx_eb_lifecycle_handler_pt handler, void *data);

/*
 * The lease ends, or the worker: nothing is called any more but handlers of
 * capture() and position(); pending transitions are gone, the file has them.
 */
void ngx_eb_lifecycle_state_stop(ngx_eb_lifecycle_state_t *st);


/*
 * For the files of this component only (ngx_eb_lifecycle_state_file.c).  They
 * block.
 */

/*
 * All of the file into the engine; st->offset is where to go on.  NGX_ERROR:
 * st->err and st->failed say why.
 */
ngx_int_t ngx_eb_lifecycle_state_recover(ngx_eb_lifecycle_state_t *st,
    u_char *path);

/* the next lines that are events, up to the beginning of our snapshot */
ngx_int_t ngx_eb_lifecycle_state_read(ngx_eb_lifecycle_state_t *st,
    u_char *path);

/* what start() and stop() do without a log, for recover() and read() */
ngx_int_t ngx_eb_lifecycle_state_init(ngx_eb_lifecycle_state_t *st);
void ngx_eb_lifecycle_state_clear(ngx_eb_lifecycle_state_t *st);

/*
 * Lines that are written together, with one handler.  batch() takes the batch
 * over: where some of it could not be given to the log, the handler is told of
 * an error when the others are written.  Who captures that again does so twice,
 * which is of no consequence.
 */

typedef struct {
    ngx_uint_t                     n;           /* whose end is to come */
    ngx_err_t                      err;
    ngx_eb_lifecycle_handler_pt    handler;     /* or NULL */
    void                          *data;
    ngx_log_t                     *log;
    ngx_str_t                     *path;
    ngx_eb_log_record_t            records[1];
} ngx_eb_lifecycle_batch_t;

ngx_int_t ngx_eb_lifecycle_state_batch(ngx_eb_log_t *log,
    ngx_eb_lifecycle_batch_t *batch, ngx_uint_t n);

/* after a thread, and after a line that was lent: was the state stopped? */
ngx_uint_t ngx_eb_lifecycle_state_ended(ngx_eb_lifecycle_state_t *st);
ngx_uint_t ngx_eb_lifecycle_state_back(ngx_eb_lifecycle_state_t *st);

/* the next step of a snapshot, when nothing is read, and all is taken */
void ngx_eb_lifecycle_state_snapshot(ngx_eb_lifecycle_state_t *st);

/* NULL: no memory */
ngx_eb_lifecycle_pending_t *ngx_eb_lifecycle_state_get(
    ngx_eb_lifecycle_state_t *st);
void ngx_eb_lifecycle_state_put(ngx_eb_lifecycle_pending_t *pending);

/* a transition to be published; NULL: no memory */
ngx_eb_lifecycle_pending_t *ngx_eb_lifecycle_state_add(
    ngx_eb_lifecycle_state_t *st, ngx_eb_lifecycle_decision_t *decision);

/* it is not pending any more */
void ngx_eb_lifecycle_state_remove(ngx_eb_lifecycle_pending_t *pending);

/* a copy of position, in a pool of its own; NGX_OK, NGX_ERROR */
ngx_int_t ngx_eb_lifecycle_state_keep(ngx_eb_lifecycle_state_t *st,
    ngx_eb_lifecycle_position_t *position);


#endif /* _NGX_EB_LIFECYCLE_STATE_H_INCLUDED_ */
