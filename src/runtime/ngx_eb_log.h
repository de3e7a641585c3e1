
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * An append log: a text file of JSON lines, each of which proves itself and
 * is on the disk before its handler runs.  Dead letter, outbox and life cycle
 * keep what must survive a power cut in such files.
 *
 * Workers need the right to search the directory; to compact the file, and to
 * recreate a missing one before nginx is told to reopen its logs, also the
 * right to write to it.
 */


#ifndef _NGX_EB_LOG_H_INCLUDED_
#define _NGX_EB_LOG_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_log_file.h"


typedef struct ngx_eb_log_s  ngx_eb_log_t;


/*
 * The log of a worker.  All file work is done by nginx's thread pool
 * "default".  Where nginx is built without threads it is done by the worker
 * itself, from a posted event: it blocks as long as the disk does.
 */

/* what became of a compaction, in the event loop */
typedef void (*ngx_eb_log_compacted_pt)(void *data, ngx_err_t err,
    ngx_eb_log_compacted_t *result);


typedef struct {
    ngx_uint_t                queued;       /* records whose handler has not */
    size_t                    bytes;        /*   run yet */
    uint64_t                  appended;     /* since the worker started */
    uint64_t                  failed;
    uint64_t                  groups;       /* one fdatasync() each */
    uint64_t                  torn;         /* tails that were cut */
} ngx_eb_log_stats_t;


/*
 * Configuration: the log of this path, one for each path.  logs: of
 * ngx_eb_log_t *.  directive: that has it, for messages.  queue: bytes of
 * records that wait for the disk in one worker; the largest wins.  NULL:
 * reported.
 */
ngx_eb_log_t *ngx_eb_log_add(ngx_conf_t *cf, ngx_array_t *logs,
    const char *directive, ngx_str_t *path, size_t queue);

/*
 * At the end of the configuration: could the file be opened?  Creates and
 * changes nothing.  NGX_ERROR: logged at EMERG.
 */
ngx_int_t ngx_eb_log_test(ngx_eb_log_t *log, ngx_log_t *errlog);

/*
 * init_module: the file is created for the workers' user and its tail
 * recovered; with -t, only what would fail is reported.  From then on it
 * follows nginx's reopening of logs.  The end of the cycle closes it.
 *
 * NGX_ERROR only at start and with -t: nginx takes that of init_module for
 * fatal, and a reload that comes so far must not end the server.  There the
 * failure is logged at EMERG, and appends fail until it is mended.
 */
ngx_int_t ngx_eb_log_open(ngx_eb_log_t *log, ngx_cycle_t *cycle);

/* worker, init_process */
ngx_int_t ngx_eb_log_start(ngx_eb_log_t *log, ngx_cycle_t *cycle);

/*
 * Worker, exit_process.  A graceful exit gets here when no record and no job
 * is pending, for these hold a timer that is not cancelable.  A fast one drops
 * what no thread has begun: no handler runs.
 */
void ngx_eb_log_stop(ngx_eb_log_t *log);

/*
 * NGX_AGAIN: the handler will be called once, from the event loop, never from
 * here.  NGX_BUSY: the queue is full.  NGX_ERROR: err says why (EINVAL: the
 * payload cannot be a line).  Without NGX_AGAIN there is no call.
 */
ngx_int_t ngx_eb_log_append(ngx_eb_log_t *log, ngx_eb_log_record_t *record);

/* records and jobs whose end is still to come */
ngx_uint_t ngx_eb_log_pending(ngx_eb_log_t *log);

void ngx_eb_log_stats(ngx_eb_log_t *log, ngx_eb_log_stats_t *stats);

/*
 * What is known of the file, all processes' records included.  A call after
 * more than a second has a thread count anew what was added; its result is
 * seen by later calls.  NGX_AGAIN: nothing is known yet.
 */
ngx_int_t ngx_eb_log_figures(ngx_eb_log_t *log,
    ngx_eb_log_figures_t *figures);

/*
 * keep() is called in a thread, done() in the event loop, once.  NGX_OK: done
 * will be called; NGX_BUSY: this worker is at it already.
 */
ngx_int_t ngx_eb_log_compact(ngx_eb_log_t *log, ngx_eb_log_keep_pt keep,
    ngx_eb_log_compacted_pt done, void *data);

/*
 * Any other work on the file, as reading it: run() is called in a thread,
 * then done() in the event loop.  NGX_ERROR: logged, neither is called.
 */
ngx_int_t ngx_eb_log_run(ngx_eb_log_t *log, void (*run)(void *data),
    void (*done)(void *data), void *data);

/* with NUL at the end */
ngx_str_t *ngx_eb_log_path(ngx_eb_log_t *log);


#endif /* _NGX_EB_LOG_H_INCLUDED_ */
