
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The audit log: one JSON line per event.  Lines are buffered and written by
 * a thread; a slow or full disk loses lines, and counts them, but never
 * blocks a worker.
 */


#ifndef _NGX_EB_AUDIT_H_INCLUDED_
#define _NGX_EB_AUDIT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_stats.h"


typedef struct ngx_eb_audit_s  ngx_eb_audit_t;


/* what became of an event: the closed list of "action" */

typedef enum {
    NGX_EB_AUDIT_FORWARDED = 0,
    NGX_EB_AUDIT_DUPLICATE,
    NGX_EB_AUDIT_DROPPED,
    NGX_EB_AUDIT_DEAD,
    NGX_EB_AUDIT_FAILED,
    NGX_EB_AUDIT_BUSY,
    NGX_EB_AUDIT_INVALID,
    NGX_EB_AUDIT_UNROUTED
} ngx_eb_audit_action_e;


/* an absent string has len = 0, and its member is left out of the line */

typedef struct {
    int64_t                   time;         /* ms since the epoch */
    ngx_str_t                *request_id;
    ngx_str_t                *trace_id;     /* of W3C trace context */
    ngx_str_t                *location;
    ngx_str_t                *id;
    ngx_str_t                *source;
    ngx_str_t                *type;
    ngx_str_t                *route;
    ngx_str_t                *destination;
    ngx_str_t                *sender;
    ngx_str_t                *region;
    const char               *reason;       /* of invalid or failed, or NULL */
    ngx_uint_t                status;       /* of the destination, or 0 */
    int64_t                   lag;          /* ms, or -1 */
    ngx_eb_audit_action_e     action;
} ngx_eb_audit_record_t;


/*
 * Configuration: the log of this file (one for each file, however many
 * locations name it), opened with the cycle and reopened on USR1.  buffer:
 * bytes per worker.  flush: the longest time that a line waits.  A second use
 * of the same file with other sizes, or of a file that another module logs to,
 * or a directory that is not there, is an error, reported at EMERG with the
 * file and line.  NULL: failed.
 */
ngx_eb_audit_t *ngx_eb_audit_open(ngx_conf_t *cf, ngx_array_t *audits,
    ngx_str_t *file, size_t buffer, ngx_msec_t flush);

/* worker, init_process; cells: the NODE series */
ngx_int_t ngx_eb_audit_start(ngx_eb_audit_t *audit, ngx_cycle_t *cycle,
    ngx_eb_stats_cell_t *cells);

/* worker: adds one line, never blocks, never fails (it counts) */
void ngx_eb_audit_write(ngx_eb_audit_t *audit, ngx_eb_audit_record_t *record);

/* the same with a whole JSON object, on one line, of less than 4 KB */
void ngx_eb_audit_text(ngx_eb_audit_t *audit, ngx_str_t *text);

/* the name of the file; and a descriptor of it, the caller's, for a thread that
   writes a whole line itself: NGX_INVALID_FILE, logged */
ngx_str_t *ngx_eb_audit_path(ngx_eb_audit_t *audit);
ngx_fd_t ngx_eb_audit_dup(ngx_eb_audit_t *audit);

/* worker, exit_process: what is buffered is written, synchronously */
void ngx_eb_audit_stop(ngx_eb_audit_t *audit);


#endif /* _NGX_EB_AUDIT_H_INCLUDED_ */
