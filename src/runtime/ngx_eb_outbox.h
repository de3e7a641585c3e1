
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The outbox: callbacks that are on the disk before anybody relies on them,
 * and that are delivered to webhooks until these have taken them.  Any worker
 * appends to its file; the one that has the lease delivers.
 *
 * Delivery is at least once, by the same id always.  What has been done with a
 * line is another line; when most lines are of no use any more, the file is
 * rewritten without them.
 */


#ifndef _NGX_EB_OUTBOX_H_INCLUDED_
#define _NGX_EB_OUTBOX_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_eb_client.h"
#include "ngx_eb_log.h"
#include "ngx_eb_outbox_line.h"
#include "ngx_eb_secrets.h"


/* deliveries at a time: of all, and of one webhook at most */
#define NGX_EB_OUTBOX_PARALLEL  16
#define NGX_EB_OUTBOX_EACH      4


typedef struct ngx_eb_outbox_s         ngx_eb_outbox_t;
typedef struct ngx_eb_outbox_intent_s  ngx_eb_outbox_intent_t;
typedef struct ngx_eb_outbox_entry_s   ngx_eb_outbox_entry_t;


/* the configuration's, but for the end */

typedef struct {
    ngx_str_t                 name;
    ngx_str_t                 url;
    ngx_str_t                 trusted_certificate;  /* NUL at the end; or
                                               empty */
    ngx_eb_secrets_t         *secrets;      /* NULL: nothing is signed */
    ngx_uint_t                parallel;     /* 1 to NGX_EB_OUTBOX_EACH */
    ngx_uint_t                tries;        /* 0: any number */
    time_t                    max_age;
    ngx_msec_t                connect_timeout;
    ngx_msec_t                timeout;
    ngx_resolver_t           *resolver;     /* NULL: that of the system */
    ngx_msec_t                resolver_timeout;

    /* of the worker that delivers */
    ngx_queue_t               ready;        /* entries that may be sent */
    ngx_uint_t                running;
    unsigned                  failing:1;    /* so the log was told */
} ngx_eb_webhook_t;


/* an audit log: where a payload goes, too, before it is forgotten */

typedef struct {
    ngx_str_t                 name;         /* of the file, a quoted JSON
                                               string */
    ngx_fd_t                (*dup)(void *data);     /* a descriptor to append
                                               with, the caller's; or
                                               NGX_INVALID_FILE: logged */
    void                     *data;
} ngx_eb_outbox_audit_t;


/* in shared memory; the last three are gauges */

typedef struct {
    volatile int64_t         *delivered;
    volatile int64_t         *failed;       /* attempts */
    volatile int64_t         *dead;
    volatile int64_t         *audited;
    volatile int64_t         *depth;        /* that are not delivered yet */
    volatile int64_t         *oldest;       /* of them, ms since the epoch; 0 */
    volatile int64_t         *buried;       /* dead ones in the file */
} ngx_eb_outbox_figures_t;


struct ngx_eb_outbox_s {
    ngx_eb_log_t             *log;
    ngx_array_t               webhooks;     /* ngx_eb_webhook_t * */
    ngx_array_t               audits;       /* ngx_eb_outbox_audit_t */
    ngx_eb_outbox_figures_t   figures;
    ngx_fd_t                  lock;         /* of leases */

    /* of a worker */
    ngx_str_t                 lease;
    ngx_log_t                *errlog;
    ngx_connection_t          dummy;
    ngx_event_t               tick;
    ngx_queue_t               intents;      /* ngx_eb_outbox_intent_t: ours,
                                               without an outcome */

    /* of the one that delivers */
    ngx_eb_webhook_t          none;         /* of entries without one */
    ngx_rbtree_t              entries;      /* by their ids */
    ngx_rbtree_node_t         sentinel;
    ngx_queue_t               open;         /* in the file's order */
    ngx_queue_t               closed;       /* nothing is left to be done */
    ngx_uint_t                nopen;
    ngx_uint_t                nburied;
    ngx_uint_t                nclosed;
    ngx_uint_t                running;      /* entries that are being handled */
    ngx_uint_t                next;         /* webhook to begin with */
    ngx_uint_t                lines;        /* of the file, read so far */
    ngx_uint_t                useless;      /* of them, by what is closed */
    uint64_t                  begun;        /* numbers of reads: the last, */
    uint64_t                  whole;        /* and the last that has seen the
                                               end of the file */
    void                     *read;         /* see ngx_eb_outbox_follow.c */
    off_t                     offset;
    dev_t                     dev;
    ino_t                     ino;
    u_char                   *drop;         /* ids, while it is compacted */
    ngx_uint_t                ndrop;
    ngx_msec_t                compacted;    /* when it was tried last */
    unsigned                  holder:1;     /* the lease is ours */
    unsigned                  reading:1;
    unsigned                  anew:1;       /* another file: not at its end */
    unsigned                  hurry:1;      /* there is more to be read */
    unsigned                  compacting:1;
    unsigned                  tried:1;      /* compaction has failed */
    unsigned                  unreadable:1; /* so the log was told */
};


/* configuration: one that has a log only */
void ngx_eb_outbox_init(ngx_eb_outbox_t *ob);

/* worker, init_process, after the log; lock and figures are set */
ngx_int_t ngx_eb_outbox_start(ngx_eb_outbox_t *ob, ngx_cycle_t *cycle);

/* worker, exit_process, before the client and the log */
void ngx_eb_outbox_stop(ngx_eb_outbox_t *ob);

/* NULL: there is none of this name */
ngx_eb_webhook_t *ngx_eb_outbox_webhook(ngx_eb_outbox_t *ob, ngx_str_t *name);


/* worker; rc is NGX_OK: it is on the disk, or NGX_ERROR: logged */
typedef void (*ngx_eb_outbox_handler_pt)(void *data, ngx_int_t rc);

/*
 * A callback: webhook is the name of one, payload a JSON object on one line.
 * NGX_AGAIN: the handler, if it is not NULL, is called once, from the event
 * loop; NGX_ERROR: logged, there is no call.  Everything is copied.
 */
ngx_int_t ngx_eb_outbox_append(ngx_eb_outbox_t *ob, ngx_str_t *webhook,
    ngx_str_t *payload, ngx_eb_outbox_handler_pt handler, void *data);

/*
 * What is about to be done.  Webhook and audit (the name of an audit log) may
 * be empty; payload is what both hear if this process dies before it can tell
 * the outcome.  The handler is called once, from the event loop; after
 * NGX_ERROR there is no intent.  NULL: logged, there is no call.
 */
ngx_eb_outbox_intent_t *ngx_eb_outbox_intend(ngx_eb_outbox_t *ob,
    ngx_str_t *webhook, ngx_str_t *audit, ngx_str_t *payload,
    ngx_eb_outbox_handler_pt handler, void *data);

/*
 * What became of it; the intent is not the caller's any more.  NULL instead of
 * a payload: it is not known.
 */
void ngx_eb_outbox_outcome(ngx_eb_outbox_intent_t *intent,
    ngx_str_t *payload);


/* For the files of this component only. */

typedef enum {
    NGX_EB_OUTBOX_WAITING = 0,  /* for its timer, or the end of an intent */
    NGX_EB_OUTBOX_READY,        /* in the queue of its webhook */
    NGX_EB_OUTBOX_RUNNING       /* a thread, the webhook or the disk is at it */
} ngx_eb_outbox_state_e;


struct ngx_eb_outbox_entry_s {
    ngx_str_node_t            sn;           /* the first */
    ngx_queue_t               queue;        /* open, or closed */
    ngx_queue_t               ready;
    ngx_connection_t          dummy;
    ngx_event_t               timer;
    ngx_eb_outbox_t          *ob;
    ngx_eb_webhook_t         *webhook;
    ngx_int_t                 audit;        /* number; -1: none */
    ngx_eb_client_transfer_t *transfer;
    int64_t                   created;
    off_t                     offset;       /* of the line with its payload */
    size_t                    len;
    ngx_uint_t                lines;
    ngx_uint_t                attempts;
    ngx_uint_t                status;       /* of the last */
    uint64_t                  held;         /* lease of an intent is ours since
                                               this read; 0: it is not */
    ngx_eb_outbox_state_e     state;
    ngx_uint_t                buried;       /* given up */
    ngx_uint_t                closed;       /* nothing is left to be done */
    unsigned                  known:1;      /* its first line was read */
    unsigned                  intent:1;     /* without an outcome */
    unsigned                  callback:1;   /* there is a webhook to hear it */
    unsigned                  sent:1;       /* and it has, or never will */
    unsigned                  marked:1;     /* so says the file */
    unsigned                  audited:1;
    unsigned                  audit_failed:1;
    unsigned                  seen:1;       /* in the file that is read anew */
    unsigned                  resolving:1;  /* that its outcome is unknown is
                                               on its way to the disk, */
    unsigned                  resolved:1;   /* or there */
    u_char                    id[NGX_EB_OUTBOX_ID];
};


/* a line that marks an entry; the handler may be NULL */
ngx_int_t ngx_eb_outbox_mark(ngx_eb_outbox_t *ob, u_char *id,
    ngx_eb_outbox_kind_e kind, ngx_uint_t status, ngx_uint_t tries,
    const char *reason, ngx_eb_outbox_handler_pt handler, void *data);

int64_t ngx_eb_outbox_now(void);

/* is it an intent of this process, without an outcome? */
ngx_uint_t ngx_eb_outbox_own(ngx_eb_outbox_t *ob, u_char *id);

/* ngx_eb_outbox_follow.c: from time to time, and as soon as may be */
void ngx_eb_outbox_tick(ngx_event_t *ev);
void ngx_eb_outbox_soon(ngx_eb_outbox_t *ob);

/* gives memory back, at the end */
void ngx_eb_outbox_clear(ngx_eb_outbox_t *ob);

/* an entry may have come to its end */
void ngx_eb_outbox_settle(ngx_eb_outbox_entry_t *e);

/* it is handled as soon as its turn comes, or after a time */
void ngx_eb_outbox_ready(ngx_eb_outbox_entry_t *e);
void ngx_eb_outbox_later(ngx_eb_outbox_entry_t *e, ngx_msec_t wait);

/* ngx_eb_outbox_send.c: starts what may start */
void ngx_eb_outbox_pump(ngx_eb_outbox_t *ob);


#endif /* _NGX_EB_OUTBOX_H_INCLUDED_ */
