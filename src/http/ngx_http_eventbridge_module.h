
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Private to the HTTP layer: configuration, the life of a job, prototypes.
 */


#ifndef _NGX_HTTP_EVENTBRIDGE_MODULE_H_INCLUDED_
#define _NGX_HTTP_EVENTBRIDGE_MODULE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_eb_json.h"
#include "ngx_eb_event.h"
#include "ngx_eb_route.h"
#include "ngx_eb_checkpoint.h"
#include "ngx_eb_stats.h"
#include "ngx_eb_audit.h"
#include "ngx_eb_out.h"
#include "ngx_eb_time.h"
#include "ngx_eb_log.h"
#include "ngx_http_eventbridge_carrier.h"


#define NGX_HTTP_EVENTBRIDGE_VERSION  "0.1.0"


#define NGX_HTTP_EVENTBRIDGE_FORWARD_SAME    0
#define NGX_HTTP_EVENTBRIDGE_FORWARD_EVENTS  1
#define NGX_HTTP_EVENTBRIDGE_FORWARD_ARRAY   2
#define NGX_HTTP_EVENTBRIDGE_FORWARD_SINGLE  3
#define NGX_HTTP_EVENTBRIDGE_FORWARD_CE_BATCH       4
#define NGX_HTTP_EVENTBRIDGE_FORWARD_CE_STRUCTURED  5
#define NGX_HTTP_EVENTBRIDGE_FORWARD_CE_BINARY      6
#define NGX_HTTP_EVENTBRIDGE_FORWARD_LAST           6

/* one request for each event */
#define ngx_http_eventbridge_form_single(form)                               \
    ((form) == NGX_HTTP_EVENTBRIDGE_FORWARD_SINGLE                           \
     || (form) >= NGX_HTTP_EVENTBRIDGE_FORWARD_CE_STRUCTURED)

#define NGX_HTTP_EVENTBRIDGE_MAX_DEPTH  1024

#define NGX_HTTP_EVENTBRIDGE_UNAVAILABLE_RETRY  0
#define NGX_HTTP_EVENTBRIDGE_UNAVAILABLE_DEAD   1

#define NGX_HTTP_EVENTBRIDGE_NO_ID_PASS      0
#define NGX_HTTP_EVENTBRIDGE_NO_ID_HASH      1
#define NGX_HTTP_EVENTBRIDGE_NO_ID_REJECT    2

#define NGX_HTTP_EVENTBRIDGE_KEY_SOURCE_ID   0
#define NGX_HTTP_EVENTBRIDGE_KEY_ID          1
#define NGX_HTTP_EVENTBRIDGE_KEY_PATH        2

#define NGX_HTTP_EVENTBRIDGE_UNROUTED_DROP    0
#define NGX_HTTP_EVENTBRIDGE_UNROUTED_REJECT  1
#define NGX_HTTP_EVENTBRIDGE_UNROUTED_SEND    2


/* the end of a chain of repeats */
#define NGX_HTTP_EVENTBRIDGE_NO_ITEM         0xffffffffu

/* pools that a worker keeps for the next jobs */
#define NGX_HTTP_EVENTBRIDGE_POOLS           16

/* a text of this size keeps its index in memory for the next one */
#define NGX_HTTP_EVENTBRIDGE_KEEP_INDEX      (256 * 1024)


/* a checkpoint zone */

typedef struct {
    ngx_eb_checkpoint_conf_t  conf;
    ngx_eb_checkpoint_t      *checkpoint;   /* NULL under nginx -t */
    ngx_array_t               uris;         /* ngx_str_t: distinct ones */
    uint64_t                  bits;         /* that this cycle names */
    u_char                   *file;         /* where it was named first */
    ngx_uint_t                line;
    ngx_uint_t                declared;
    ngx_event_t               sync_event;   /* of the worker */
    ngx_uint_t                syncing;
} ngx_http_eventbridge_zone_t;


/* the post of a directive that takes a number or a time */

typedef struct {
    ngx_int_t                 low;
    ngx_int_t                 high;
    ngx_uint_t                time;         /* in milliseconds */
    const char               *text;         /* what is expected */
} ngx_http_eventbridge_bounds_t;


/* what one level says by eventbridge_auth */

typedef struct {
    ngx_array_t               lines;
    unsigned                  off:1;
    unsigned                  headers:1;    /* lines for the access phase */
    unsigned                  bodies:1;     /* lines that sign the body */
    unsigned                  location:1;   /* they stand in a location */
    unsigned                  ingest:1;     /* some location takes events */
    unsigned                  used:1;       /* some location obeys them */
} ngx_http_eventbridge_auths_t;


/* the patterns that one level has; locations inside of it share them */

typedef struct {
    ngx_eb_pattern_set_t     *set;
    ngx_uint_t                sealed;
} ngx_http_eventbridge_patterns_t;


/* what eventbridge_route says, before destinations are looked up */

typedef struct {
    ngx_str_t                 destination;
    ngx_str_t                 alternate;    /* empty: none */
    ngx_str_t                 name;
    ngx_eb_regex_t           *source;
    ngx_eb_regex_t           *type;
    ngx_array_t               metadata;     /* ngx_eb_route_metadata_t */
    ngx_eb_pattern_t         *pattern;
    ngx_http_eventbridge_patterns_t  *patterns;     /* it is one of these */
    struct ngx_http_eventbridge_condition_s  *condition;    /* lifecycle= */
    u_char                   *file;
    ngx_uint_t                line;
} ngx_http_eventbridge_route_conf_t;


/* whether it is up: ngx_http_eventbridge_destination.h */
typedef struct ngx_http_eventbridge_health_s  ngx_http_eventbridge_health_t;


typedef struct {
    ngx_str_t                 uri;
    ngx_str_t                 path;         /* of its requests */
    ngx_http_core_loc_conf_t *clcf;
    ngx_int_t                 bit;          /* in the checkpoint, -1: none */
    ngx_uint_t                index;        /* among all destinations */
    ngx_http_eventbridge_health_t  *health; /* NULL: nobody asks */
    ngx_eb_stats_cell_t      *cells;
    struct ngx_http_eventbridge_lifecycle_s  *lifecycle;    /* instead of a
                                               location; NULL: none */
} ngx_http_eventbridge_destination_t;


typedef struct {
    ngx_str_t                 name;
    ngx_int_t                 alternate;    /* destination, -1: none */
    ngx_eb_stats_cell_t      *cells;
} ngx_http_eventbridge_route_t;


typedef struct ngx_http_eventbridge_loc_conf_s  ngx_http_eventbridge_loc_conf_t;


/* of eventbridge_rate: what is in them ngx_http_eventbridge_rate.c knows */
typedef struct ngx_http_eventbridge_rate_s    ngx_http_eventbridge_rate_t;
typedef struct ngx_http_eventbridge_bucket_s  ngx_http_eventbridge_bucket_t;


/* of the Genesys side: ngx_http_eventbridge_genesys.h */
typedef struct ngx_http_eventbridge_control_s  ngx_http_eventbridge_control_t;
typedef struct ngx_http_eventbridge_endpoints_s
    ngx_http_eventbridge_endpoints_t;
typedef struct ngx_http_eventbridge_resolved_s
    ngx_http_eventbridge_resolved_t;
typedef struct ngx_http_eventbridge_cost_s     ngx_http_eventbridge_cost_t;

/* of callbacks: ngx_http_eventbridge_outbox.h */
typedef struct ngx_http_eventbridge_outbox_s   ngx_http_eventbridge_outbox_t;


/* trackers of interactions: ngx_http_eventbridge_lifecycle.h */
typedef struct ngx_http_eventbridge_lifecycle_s
    ngx_http_eventbridge_lifecycle_t;


/* who names one, before all of them are known */

typedef struct {
    ngx_str_t                 name;
    ngx_http_eventbridge_lifecycle_t  *lifecycle;
    u_char                   *file;
    ngx_uint_t                line;
} ngx_http_eventbridge_lifecycle_ref_t;


/* an ingest location, complete: made after all merging */

typedef struct {
    ngx_str_t                 name;         /* of the location */
    ngx_str_t                 server;       /* its name */
    ngx_str_t                 scope;        /* default scope */
    ngx_http_conf_ctx_t      *ctx;          /* of the server */
    ngx_http_eventbridge_loc_conf_t   *conf;
    ngx_eb_router_t           router;
    ngx_http_eventbridge_route_t        *routes;    /* same order, and one
                                               for the unrouted at the end */
    ngx_http_eventbridge_destination_t  *destinations;
    ngx_uint_t                ndestinations;
    ngx_uint_t                unrouted;     /* its destination's number */
    ngx_uint_t                alternates;   /* some route has one */
    ngx_uint_t                index;        /* among all ingest locations */
    ngx_http_eventbridge_bucket_t  *bucket; /* NULL: any rate */
    ngx_eb_stats_cell_t      *cells;
} ngx_http_eventbridge_ingest_t;


/* eventbridge_pass_request_header */

typedef struct {
    ngx_array_t               names;        /* ngx_hash_key_t; none: off */
    uint64_t                  hashes;       /* a bit for each of the names */
} ngx_http_eventbridge_pass_t;


/* eventbridge_event: fields from variables, NULL: not given */

typedef struct {
    ngx_http_complex_value_t *id;
    ngx_http_complex_value_t *source;
    ngx_http_complex_value_t *type;
} ngx_http_eventbridge_event_t;


#define NGX_HTTP_EVENTBRIDGE_SAID            1  /* by eventbridge_ingest */
#define NGX_HTTP_EVENTBRIDGE_IMPLIED         2  /* by eventbridge_event */


struct ngx_http_eventbridge_loc_conf_s {
    ngx_uint_t                enabled;      /* it receives events */
    ngx_http_eventbridge_ingest_t  *ingest;
    ngx_http_eventbridge_event_t   *event;  /* NULL: they are in the body */
    ngx_http_eventbridge_zone_t    *zone;   /* NULL: off */
    ngx_http_complex_value_t *scope;
    ngx_uint_t                key;
    ngx_array_t              *key_paths;    /* ngx_array_t: JSON pointers */
    ngx_uint_t                no_id;
    ngx_array_t              *routes;
    ngx_http_eventbridge_patterns_t  *patterns;     /* of routes that stand
                                               here: not merged */
    ngx_uint_t                policy_all;
    ngx_uint_t                unrouted;
    ngx_str_t                 unrouted_uri;
    u_char                   *unrouted_file;
    ngx_uint_t                unrouted_line;
    ngx_uint_t                forward_as;
    ngx_http_eventbridge_pass_t    *pass;
    ngx_msec_t                forward_timeout;
    size_t                    inflight_size;
    ngx_uint_t                inflight_deliveries;
    ngx_http_eventbridge_rate_t  *rate;     /* NULL: off */
    ngx_uint_t                rate_said;    /* off, or anything else */
    ngx_uint_t                max_events;
    ngx_uint_t                max_depth;
    ngx_eb_audit_t           *audit;        /* NULL: off */
    ngx_eb_log_t             *dead_letter;  /* NULL: off */
    ngx_array_t              *permanent;    /* ngx_uint_t: statuses */
    ngx_uint_t                unavailable;
    time_t                    unavailable_after;
    ngx_http_eventbridge_auths_t   *auth;   /* NULL: nothing is said */
    ngx_uint_t                control_protected;
    ngx_array_t              *probe_allow;  /* ngx_cidr_t; NULL: none */
    ngx_array_t              *passes;       /* eventbridge_genesys_pass */
    ngx_http_eventbridge_control_t  *control;   /* NULL: it is none */
    ngx_http_eventbridge_cost_t     *cost;  /* of retention; NULL: nothing is
                                               said */
    ngx_http_eventbridge_lifecycle_ref_t  *lifecycle;   /* that is asked */
};


/* where eventbridge_ingest stands, to be completed in postconfiguration */

typedef struct {
    ngx_http_eventbridge_loc_conf_t  *conf;
    ngx_http_core_loc_conf_t *clcf;
    ngx_http_core_srv_conf_t *cscf;
    u_char                   *file;
    ngx_uint_t                line;
} ngx_http_eventbridge_place_t;


/* of one worker; allocated in init_process */

typedef struct {
    ngx_eb_json_parser_t     *parser;
    ngx_eb_regex_ctx_t       *regex;
    ngx_eb_route_memo_t     **memos;        /* by index of the location */
    size_t                    bytes;        /* being delivered */
    ngx_uint_t                deliveries;
    size_t                   *dest_bytes;   /* by index of the destination:
                                               bodies of its deliveries */
    ngx_uint_t               *dest_deliveries;
    ngx_pool_t               *pools[NGX_HTTP_EVENTBRIDGE_POOLS];
    ngx_uint_t                npools;       /* that are free */
    uint64_t                  id_seed[2];   /* of request ids */
    uint64_t                  id_count;
    ngx_connection_t          dummy;        /* what timers' data must be */
    ngx_event_t               heartbeat;
    ngx_event_t               move;         /* marks, to another file */
    ngx_msec_t                renewed;
} ngx_http_eventbridge_worker_t;


typedef struct {
    ngx_array_t               zones;        /* ngx_http_eventbridge_zone_t * */
    ngx_array_t               places;       /* ngx_http_eventbridge_place_t */
    ngx_array_t              *rates;    /* ngx_http_eventbridge_rate_t *:
                                           those with a zone, NULL: none */
    ngx_array_t               ingests;  /* ngx_http_eventbridge_ingest_t * */
    ngx_array_t               audits;       /* ngx_eb_audit_t * */
    ngx_array_t               logs;         /* ngx_eb_log_t * */
    ngx_array_t               outages;      /* logs replayed by a worker */
    ngx_array_t               auth_lines;   /* all eventbridge_auth */
    ngx_array_t               organisations;
    ngx_array_t               controls;
    ngx_http_eventbridge_outbox_t  *outbox; /* NULL: nothing is said of one */
    ngx_array_t               subscriptions;    /* that are declared */
    ngx_array_t              *healths;  /* ngx_http_eventbridge_health_t *,
                                           NULL: none */
    void                     *prober;       /* of one worker, or NULL */
    ngx_array_t               lifecycles;
    ngx_array_t               lifecycle_refs;
    ngx_fd_t                  lock;         /* of leases */
    ngx_uint_t                ndestinations;
    ngx_str_t                 stats_file;
    ngx_eb_stats_t           *stats;        /* NULL under nginx -t */
    ngx_eb_stats_cell_t      *cells;        /* of the node */
    ngx_uint_t                observed;     /* metrics or health is used */
    ngx_uint_t                generation;   /* of the configuration, from 1 */
    time_t                    started;      /* its first generation */
    time_t                    configured;   /* this one */
    ngx_int_t                 request_id_index;
    ngx_int_t                 scheme_index;
    ngx_http_eventbridge_worker_t  *worker; /* private to each worker */
} ngx_http_eventbridge_main_conf_t;


/* what has become of one (event, destination) */

typedef enum {
    NGX_HTTP_EVENTBRIDGE_HIT_IDLE = 0,      /* not to be sent (now) */
    NGX_HTTP_EVENTBRIDGE_HIT_SENT,
    NGX_HTTP_EVENTBRIDGE_HIT_ALREADY,       /* its bit was there before */
    NGX_HTTP_EVENTBRIDGE_HIT_CONDEMNED,     /* on its way to the dead letter */
    NGX_HTTP_EVENTBRIDGE_HIT_DELIVERED,
    NGX_HTTP_EVENTBRIDGE_HIT_DEAD,          /* in the dead letter */
    NGX_HTTP_EVENTBRIDGE_HIT_FAILED
} ngx_http_eventbridge_hit_e;


/* what has become of one event */

typedef enum {
    NGX_HTTP_EVENTBRIDGE_NEW = 0,
    NGX_HTTP_EVENTBRIDGE_SENDING,
    NGX_HTTP_EVENTBRIDGE_BUSY,
    NGX_HTTP_EVENTBRIDGE_REPEAT,    /* shares an earlier item's outcome */
    NGX_HTTP_EVENTBRIDGE_CONDEMNED, /* invalid, waits for the others' end */
    NGX_HTTP_EVENTBRIDGE_FORWARDED, /* this and what follows: settled */
    NGX_HTTP_EVENTBRIDGE_DUPLICATE,
    NGX_HTTP_EVENTBRIDGE_DROPPED,
    NGX_HTTP_EVENTBRIDGE_DEAD,
    NGX_HTTP_EVENTBRIDGE_FAILED,
    NGX_HTTP_EVENTBRIDGE_GAVE_UP,   /* was busy to the end */
    NGX_HTTP_EVENTBRIDGE_INVALID,
    NGX_HTTP_EVENTBRIDGE_UNROUTED
} ngx_http_eventbridge_item_e;


typedef struct {
    uint32_t                  hit;          /* its first */
    uint32_t                  repeat;       /* next item with its key */
    uint16_t                  nhits;
    uint16_t                  pending;      /* hits that are being sent */
    uint8_t                   state;
    uint8_t                   no_id;
} ngx_http_eventbridge_item_t;


typedef struct ngx_http_eventbridge_job_s      ngx_http_eventbridge_job_t;


/* one request to one destination */

typedef struct {
    ngx_http_eventbridge_sub_t           sub;   /* the first, see there */
    ngx_http_eventbridge_job_t          *job;
    ngx_http_eventbridge_destination_t  *destination;
    ngx_queue_t               queue;        /* until it is started */
    uint32_t                 *hits;         /* numbers in job->hits */
    ngx_uint_t                nhits;
    ngx_uint_t                nevents;      /* one may have several hits, as
                                               an alternate, side by side */
    size_t                    bytes;
    ngx_msec_t                start;
    off_t                     received;     /* of the answer's body */
    ngx_uint_t                status;       /* of the answer, 0: none */
    ngx_uint_t                retry_after;  /* seconds that it asked for */
    unsigned                  started:1;
    unsigned                  settled:1;    /* outcome is known */
    unsigned                  delivered:1;
    unsigned                  counted:1;    /* outcome went into the job */
    unsigned                  done:1;       /* the subrequest has ended */
    unsigned                  stale:1;      /* a kept connection was closed
                                               before any byte of an answer */
    unsigned                  retried:1;
    unsigned                  local:1;  /* it never left this worker: that says
                                           nothing of the destination */
    unsigned                  refused:1;    /* because that is down */
    unsigned                  overdue:1;    /* the sender was answered first */
} ngx_http_eventbridge_send_t;


typedef struct ngx_http_eventbridge_ctx_s  ngx_http_eventbridge_ctx_t;


struct ngx_http_eventbridge_job_s {
    /* debug builds take a timer's data for a connection and log its fd */
    void                     *unused[3];
    ngx_socket_t              fd;

    ngx_pool_t               *pool;         /* everything of the job */
    ngx_log_t                *log;          /* of the cycle */
    ngx_http_eventbridge_ctx_t        *client;  /* NULL: gone or answered */
    ngx_http_eventbridge_main_conf_t  *emcf;
    ngx_http_eventbridge_loc_conf_t   *conf;
    ngx_http_eventbridge_ingest_t     *ingest;

    ngx_str_t                 body;
    size_t                    room;         /* that is free before it */
    ngx_str_t                 received;     /* what body was made of, if it
                                               came as a CloudEvent's data */
    ngx_uint_t                cloudevents;  /* NGX_EB_BODY_CE_*, 0: none */
    struct ngx_eb_put_s      *put;          /* of PutEvents, NULL: it is none */
    ngx_eb_batch_t            batch;
    ngx_uint_t                form;         /* of what is sent: FORWARD_* */
    ngx_str_t                 scope;        /* of the keys */
    ngx_http_eventbridge_item_t       *items;   /* one for each event */
    ngx_str_t                *ids;          /* by key=path:, or NULL */
    ngx_eb_store_key_t       *keys;         /* one for each event, or NULL */
    ngx_array_t               hits;         /* ngx_eb_route_hit_t */
    uint8_t                  *hit_states;
    uint16_t                 *hit_status;   /* of the destination's answer */
    uint16_t                 *hit_to;   /* where it is sent, NULL: to its own
                                           destination */
    uint8_t                  *verdicts; /* by destination, NULL: none is ever
                                           refused */
    uint8_t                  *failures; /* the same: it has failed */
    ngx_eb_store_t           *store;        /* NULL: no checkpoint */
    uint32_t                  token;

    ngx_array_t               sends;        /* ngx_http_eventbridge_send_t * */
    ngx_uint_t                first_send;   /* first that has not ended */
    ngx_uint_t                next_send;    /* first that is not started */
    ngx_uint_t                running;      /* subrequests */
    ngx_http_eventbridge_carrier_t    *carrier;     /* takes new sends */
    ngx_array_t               carriers;     /* all that live */
    ngx_uint_t               *dest_sends;   /* that run, by destination */
    ngx_queue_t              *waiting;      /* sends to each of them */
    ngx_uint_t                turn;         /* whose sends are next */
    ngx_uint_t                ops;          /* store operations under way */

    /* instead of an answer, once; from the event loop or job_begin() */
    void                    (*done)(ngx_http_eventbridge_job_t *job);
    void                     *data;

    ngx_event_t               wake;         /* posted: look at what changed */
    ngx_event_t               timer;        /* next try of the busy ones */
    ngx_msec_t                busy_delay;
    ngx_msec_t                deadline;     /* of the sender */

    ngx_http_eventbridge_facts_t  facts;
    ngx_array_t              *headers;      /* ngx_table_elt_t, to be passed
                                               on; NULL: none */
    ngx_str_t                 trace_id;     /* for the audit log */
    ngx_str_t                 sender;

    /* figures that are not in the shared cells yet */
    ngx_eb_stats_cell_t       counts[NGX_EB_STATS_L_END];
    ngx_uint_t                route_counts[NGX_EB_STATS_R_END];
    ngx_uint_t                counted_route;

    /* figures of the answer */
    ngx_uint_t                open;         /* items not settled */
    ngx_uint_t                forwarded;
    ngx_uint_t                duplicates;
    ngx_uint_t                dropped;
    ngx_uint_t                dead;
    ngx_uint_t                failed;
    ngx_uint_t                busy;
    ngx_uint_t                invalid;
    ngx_uint_t                unrouted;
    ngx_uint_t                condemned;    /* items that are so */
    ngx_uint_t                retry_after;
    unsigned                  delivering:1; /* counted in the worker */
    unsigned                  store_error:1;
    unsigned                  dead_error:1;     /* of the dead letter */
    unsigned                  saturated:1;      /* no room for a delivery */
    unsigned                  refused:1;        /* by a destination */
    unsigned                  bisecting:1;
    unsigned                  has_token:1;
    unsigned                  cut:1;        /* nothing more is started */
    unsigned                  replay:1;     /* of dead letters */
};


typedef enum {
    NGX_HTTP_EVENTBRIDGE_RESULT_NONE = 0,
    NGX_HTTP_EVENTBRIDGE_RESULT_ACCEPTED,
    NGX_HTTP_EVENTBRIDGE_RESULT_PARTIAL,
    NGX_HTTP_EVENTBRIDGE_RESULT_FAILED,
    NGX_HTTP_EVENTBRIDGE_RESULT_REFUSED
} ngx_http_eventbridge_result_e;


/* of the client's request */

struct ngx_http_eventbridge_ctx_s {
    void                     *unused[3];    /* as in the job */
    ngx_socket_t              fd;

    ngx_http_request_t       *request;
    ngx_http_eventbridge_job_t        *job;
    ngx_event_t               deadline;
    ngx_http_eventbridge_result_e  result;
    ngx_uint_t                received;
    ngx_uint_t                forwarded;
    ngx_uint_t                duplicates;
    ngx_uint_t                dropped;
    ngx_uint_t                dead;
    ngx_str_t                 sender;       /* by eventbridge_auth */
    unsigned                  answered:1;
    unsigned                  replaced:1;   /* nginx's own error page, by
                                               JSON */
    unsigned                  replacement_sent:1;
    unsigned                  unauthorized:1;
    unsigned                  auth_failure:3;   /* why: auth_e */
    unsigned                  forbidden:1;
};


/* ngx_http_eventbridge_module.c */

/* is it the handler of a location that a directive of ours has made? */
ngx_uint_t ngx_http_eventbridge_ours(ngx_http_handler_pt handler);

/* the location receives events, as (NGX_HTTP_EVENTBRIDGE_SAID...) says */
char *ngx_http_eventbridge_receives(ngx_conf_t *cf,
    ngx_http_eventbridge_loc_conf_t *elcf, ngx_uint_t as);

/* ngx_http_eventbridge_conf.c: setters and merging */

void *ngx_http_eventbridge_create_main_conf(ngx_conf_t *cf);
void *ngx_http_eventbridge_create_loc_conf(ngx_conf_t *cf);
char *ngx_http_eventbridge_init_main_conf(ngx_conf_t *cf, void *conf);
char *ngx_http_eventbridge_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
char *ngx_http_eventbridge_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_eventbridge_checkpoint(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_eventbridge_route(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_eventbridge_unrouted(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* the "alternate" parameter of eventbridge_route, whose value is uri */
char *ngx_http_eventbridge_alternate(ngx_conf_t *cf, ngx_str_t *parameter,
    ngx_str_t *uri, ngx_http_eventbridge_route_conf_t *route);
char *ngx_http_eventbridge_inflight(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_eventbridge_audit_log(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_eventbridge_probe_allow(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_eventbridge_stats_file(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_eventbridge_set_bounded(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_eventbridge_set_enum(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* as "is duplicate" of nginx, which does not show the value */
char *ngx_http_eventbridge_duplicate(ngx_conf_t *cf);

/* what setters need: does parameter begin with name?  value is the rest */
ngx_uint_t ngx_http_eventbridge_takes(ngx_str_t *parameter, const char *name,
    ngx_str_t *value);

/* parameters NAME=VALUE, from the first one on: each name once */
char *ngx_http_eventbridge_once(ngx_conf_t *cf, ngx_uint_t first);

/* the message names directive and value, and why if it is not NULL */
char *ngx_http_eventbridge_refuse(ngx_conf_t *cf, ngx_str_t *parameter,
    const char *why);

/* ngx_http_eventbridge_pattern.c */

/* parameter of the latest route: its pattern, or nothing that is known */
char *ngx_http_eventbridge_route_pattern(ngx_conf_t *cf,
    ngx_http_eventbridge_loc_conf_t *elcf, ngx_str_t *parameter);

/* makes what the setter left ready for use; NGX_ERROR: no memory */
ngx_int_t ngx_http_eventbridge_pattern_setup(ngx_eb_router_t *router,
    ngx_http_eventbridge_route_conf_t *route);

/* ngx_http_eventbridge_setup.c: what needs the whole configuration */

ngx_int_t ngx_http_eventbridge_setup(ngx_conf_t *cf);
ngx_int_t ngx_http_eventbridge_init_module(ngx_cycle_t *cycle);

/*
 * The location that a subrequest with this URI gets, or NULL; and what it must
 * not do to us, or let an answer do.
 */
ngx_http_core_loc_conf_t *ngx_http_eventbridge_find_location(
    ngx_http_core_srv_conf_t *cscf, ngx_str_t *uri);
void ngx_http_eventbridge_harden(ngx_conf_t *cf,
    ngx_http_core_loc_conf_t *clcf);

/* ngx_http_eventbridge_worker.c: what runs beside requests */

ngx_int_t ngx_http_eventbridge_init_process(ngx_cycle_t *cycle);
void ngx_http_eventbridge_exit_process(ngx_cycle_t *cycle);

/* ngx_http_eventbridge_ingest.c */

ngx_int_t ngx_http_eventbridge_ingest_handler(ngx_http_request_t *r);

/*
 * The body in one block of pool, however many buffers and files it is in; if
 * there is one, room bytes are free before it, and one behind it.
 */
ngx_int_t ngx_http_eventbridge_body(ngx_http_request_t *r, ngx_pool_t *pool,
    size_t room, ngx_str_t *body);

/*
 * What the headers alone decide: a refused sender need not send its body.
 * NGX_DECLINED: go on; anything else is the handler's result.
 */
ngx_int_t ngx_http_eventbridge_check(ngx_http_request_t *r);

/* Content-Encoding, 0: none, 1: gzip, 2: something else */
ngx_uint_t ngx_http_eventbridge_encoding(ngx_http_request_t *r);

/* the context of a main request, made when there is none; NULL: no memory */
ngx_http_eventbridge_ctx_t *ngx_http_eventbridge_get_ctx(
    ngx_http_request_t *r);

/* ngx_http_eventbridge_answer.c */

/*
 * Answers the waiting client of job by what is settled; what is open counts as
 * not delivered.  The client's request is finalized, job->client is NULL then.
 */
void ngx_http_eventbridge_answer(ngx_http_eventbridge_job_t *job);

/*
 * Header and body of an error that nginx itself answers an ingest request
 * with, 413 say, are made JSON.  NGX_DECLINED: it is none.
 */
ngx_int_t ngx_http_eventbridge_error_header(ngx_http_request_t *r);
ngx_int_t ngx_http_eventbridge_error_body(ngx_http_request_t *r,
    ngx_chain_t **out);

/*
 * An answer before any event was looked at; offset: of the error in the body,
 * or -1.  A status or NGX_*, for ngx_http_finalize_request().
 */
ngx_int_t ngx_http_eventbridge_refuse_request(ngx_http_request_t *r,
    ngx_uint_t status, const char *error, const char *message,
    ngx_int_t offset);

/* the same, for clients of AWS: type is the name of an exception */
ngx_int_t ngx_http_eventbridge_refuse_aws(ngx_http_request_t *r,
    ngx_uint_t status, const char *type, const char *message);

/* the answer 200 to a client of AWS, at its end; body as respond() */
ngx_int_t ngx_http_eventbridge_finish_aws(ngx_http_request_t *r,
    ngx_str_t *body);

/* NGX_DECLINED: it is a POST; else 405 was made, for the handler to return */
ngx_int_t ngx_http_eventbridge_post_only(ngx_http_request_t *r,
    const char *message);

/* adds a response header; name is a literal, value lives as long as r */
ngx_int_t ngx_http_eventbridge_out_header(ngx_http_request_t *r,
    const char *name, ngx_str_t *value);

/* ngx_http_eventbridge_job.c */

typedef struct {
    ngx_uint_t                status;
    const char               *error;
    const char               *message;
    ngx_int_t                 offset;       /* -1: none */
} ngx_http_eventbridge_error_t;

/* a job with a pool of its own; NULL: no memory */
ngx_http_eventbridge_job_t *ngx_http_eventbridge_job_create(
    ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_loc_conf_t *conf);

/*
 * What job_start() is made of, for jobs that do not come from a client, beside
 * job_facts(): what goes with items and hits, which are there; and the
 * beginning, after which the job looks after itself.
 */
ngx_int_t ngx_http_eventbridge_job_prepare(ngx_http_eventbridge_job_t *job);
void ngx_http_eventbridge_job_begin(ngx_http_eventbridge_job_t *job);

/*
 * Delivers job->body.  NGX_OK: the job has begun; it answers its client once by
 * ngx_http_eventbridge_answer(), maybe before this returns, and frees itself.
 * NGX_DECLINED: the body is refused as *err says; NGX_ERROR: no memory.  Then
 * the job is still the caller's.
 */
ngx_int_t ngx_http_eventbridge_job_start(ngx_http_eventbridge_job_t *job,
    ngx_http_eventbridge_error_t *err);

/*
 * The body that came with Content-Encoding: gzip, in ngx_http_eventbridge_
 * ingest.c.  NGX_OK; NGX_DECLINED: refused as *err says; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_eventbridge_inflate(ngx_http_request_t *r,
    ngx_pool_t *pool, ngx_str_t *body, ngx_http_eventbridge_error_t *err);

/* a job that has not begun */
void ngx_http_eventbridge_job_destroy(ngx_http_eventbridge_job_t *job);

/* the client has gone: nobody waits any more */
void ngx_http_eventbridge_job_detach(ngx_http_eventbridge_job_t *job);

/* a new send of hits that are pending; from the event loop it starts by itself.
   hits: numbers, borrowed.  NULL: no memory */
ngx_http_eventbridge_send_t *ngx_http_eventbridge_job_add_send(
    ngx_http_eventbridge_job_t *job, ngx_uint_t destination, uint32_t *hits,
    ngx_uint_t nhits);

/* the number of the destination that takes a hit, if any does */
static ngx_inline ngx_uint_t
ngx_http_eventbridge_hit_to(ngx_http_eventbridge_job_t *job, ngx_uint_t i)
{
    return job->hit_to ? job->hit_to[i]
                     : ((ngx_eb_route_hit_t *) job->hits.elts)[i].destination;
}

/* ngx_http_eventbridge_outcome.c */

/* a send is settled: what becomes of its events */
void ngx_http_eventbridge_outcome(ngx_http_eventbridge_send_t *send);

/* these hits, which were sent, have their final state: HIT_DELIVERED, _DEAD or
   _FAILED; what has nothing pending any more is settled */
void ngx_http_eventbridge_finish_hits(ngx_http_eventbridge_job_t *job,
    uint32_t *list, ngx_uint_t nlist, ngx_uint_t state);

/* is it an answer that condemns a single event? */
ngx_uint_t ngx_http_eventbridge_permanent_status(
    ngx_http_eventbridge_loc_conf_t *conf, ngx_uint_t status);

/* as the store's operation; keys must live until the job ends */
void ngx_http_eventbridge_commit(ngx_http_eventbridge_job_t *job,
    ngx_eb_store_key_t *keys, ngx_uint_t n);

/* ngx_http_eventbridge_dead.c */

/*
 * Writes these hits (numbers in job->hits, one each) to the dead letter of
 * the location.  NGX_OK: they end as HIT_DEAD or HIT_FAILED, later; NGX_ERROR:
 * logged, they are still the caller's.
 */
ngx_int_t ngx_http_eventbridge_dead_hits(ngx_http_eventbridge_job_t *job,
    uint32_t *hits, ngx_uint_t n, const char *reason);

/* the same for all condemned items, which are settled later */
ngx_int_t ngx_http_eventbridge_dead_invalid(ngx_http_eventbridge_job_t *job);

char *ngx_http_eventbridge_dead_letter(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_eventbridge_permanent(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_eventbridge_unavailable(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* merges what these three set */
ngx_int_t ngx_http_eventbridge_merge_dead(ngx_conf_t *cf,
    ngx_http_eventbridge_loc_conf_t *prev,
    ngx_http_eventbridge_loc_conf_t *conf);

/* ngx_http_eventbridge_batch.c */

/*
 * Splits job->body into events, routes them, and makes an item of each.
 * NGX_OK; NGX_DECLINED: refused as *err says; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_eventbridge_batch_parse(ngx_http_eventbridge_job_t *job,
    ngx_http_eventbridge_error_t *err);

/* the keys of routed events; repeats become so.  NGX_OK, NGX_ERROR */
ngx_int_t ngx_http_eventbridge_batch_keys(ngx_http_eventbridge_job_t *job);

/* ngx_http_eventbridge_rate.c */

char *ngx_http_eventbridge_rate(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* events a minute */
uint64_t ngx_http_eventbridge_rate_minute(
    ngx_http_eventbridge_bucket_t *bucket);

/* the bucket of an ingest location */
ngx_int_t ngx_http_eventbridge_rate_setup(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_place_t *place);

/* rule 8: warns of a zone that cannot remember what the rates let in */
void ngx_http_eventbridge_rate_warn(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf, ngx_http_eventbridge_zone_t *zone);

/*
 * Charges the events of a batch.  NGX_OK; NGX_DECLINED: there were too many
 * before it, it is refused as *err says; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_eventbridge_rate_charge(ngx_http_eventbridge_job_t *job,
    ngx_http_eventbridge_error_t *err);

/* ngx_http_eventbridge_event.c */

char *ngx_http_eventbridge_event(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* the whole text is one event.  NGX_OK, NGX_ERROR (no memory) */
ngx_int_t ngx_http_eventbridge_event_batch(ngx_http_eventbridge_job_t *job,
    ngx_eb_json_t *json);

/*
 * The same for a body that is no known shape, where a method of
 * eventbridge_auth says what its senders call it; NGX_DECLINED: none does.
 */
ngx_int_t ngx_http_eventbridge_event_signed(ngx_http_eventbridge_job_t *job,
    ngx_eb_json_t *json);

/* may id, source and type of an event be outside of its bytes? */
ngx_uint_t ngx_http_eventbridge_event_said(
    ngx_http_eventbridge_loc_conf_t *conf);

/* ngx_http_eventbridge_cloudevent.c */

/*
 * The handshake of a webhook's sender: NGX_DECLINED: r is none; anything else
 * is the handler's result.
 */
ngx_int_t ngx_http_eventbridge_cloudevent_options(ngx_http_request_t *r);

/* NGX_DECLINED: go on; else 415 was made: CloudEvents in an unknown format */
ngx_int_t ngx_http_eventbridge_cloudevent_format(ngx_http_request_t *r);

/* the bytes that must be free before the body of r: a bound, often 0 */
size_t ngx_http_eventbridge_cloudevent_room(ngx_http_request_t *r);

/*
 * Says in job->cloudevents whether r holds CloudEvents; of one in binary mode
 * job->body becomes the text.  NGX_OK; NGX_DECLINED: it is refused as *err
 * says; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_eventbridge_cloudevent_request(
    ngx_http_eventbridge_job_t *job, ngx_http_request_t *r,
    ngx_http_eventbridge_error_t *err);

/* splits job->body, which holds CloudEvents; as batch_parse() */
ngx_int_t ngx_http_eventbridge_cloudevent_batch(
    ngx_http_eventbridge_job_t *job, ngx_eb_json_t *json,
    ngx_http_eventbridge_error_t *err);

/*
 * The body of send, a CloudEvent form, and in binary mode sr's headers of it.
 * NGX_OK; NGX_DECLINED: an array of events as they are; NGX_ERROR.
 */
ngx_int_t ngx_http_eventbridge_cloudevent_body(
    ngx_http_eventbridge_send_t *send, ngx_http_request_t *sr,
    ngx_str_t *body);

/* the Content-Type of a form, NULL: each request has its own */
ngx_str_t *ngx_http_eventbridge_cloudevent_type(ngx_uint_t form);

/* ngx_http_eventbridge_putevents.c */

/*
 * As cloudevent_format(), of all that headers say of a body: clients of AWS
 * may call PutEvents here, and nothing else.
 */
ngx_int_t ngx_http_eventbridge_putevents_format(ngx_http_request_t *r);

/*
 * As cloudevent_request(), of all that a body may be: what came as PutEvents
 * becomes an array of those of its entries that are events.
 */
ngx_int_t ngx_http_eventbridge_putevents_request(
    ngx_http_eventbridge_job_t *job, ngx_http_request_t *r,
    ngx_http_eventbridge_error_t *err);

/* puts the other entries of PutEvents into the batch, each in its place, as
   events that are invalid.  NGX_OK, NGX_ERROR (no memory) */
ngx_int_t ngx_http_eventbridge_putevents_batch(
    ngx_http_eventbridge_job_t *job, ngx_eb_json_t *json);

/*
 * Answers r, which called PutEvents, by what has become of each event of job;
 * without items there were more than eventbridge_rate allows.  A status or
 * NGX_*.
 */
ngx_int_t ngx_http_eventbridge_putevents_answer(
    ngx_http_eventbridge_job_t *job, ngx_http_request_t *r);

/* the exception that a refusal of ours, or a status of nginx, is to clients of
   AWS, static; NULL: r does not come from one */
const char *ngx_http_eventbridge_putevents_error(ngx_http_request_t *r,
    ngx_uint_t status, const char *error);
ngx_str_t *ngx_http_eventbridge_putevents_error_text(ngx_http_request_t *r,
    ngx_uint_t status);

/* ngx_http_eventbridge_headers.c */

char *ngx_http_eventbridge_pass_header(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_http_eventbridge_merge_headers(ngx_conf_t *cf,
    ngx_http_eventbridge_loc_conf_t *prev,
    ngx_http_eventbridge_loc_conf_t *conf);

/*
 * Copies what is passed on of a request's headers into its job, and gives sr,
 * a subrequest of it, the copies.  NGX_OK, NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_eventbridge_headers_copy(ngx_http_request_t *r,
    ngx_http_eventbridge_job_t *job);
ngx_int_t ngx_http_eventbridge_headers_pass(ngx_http_eventbridge_job_t *job,
    ngx_http_request_t *sr);

/* ngx_http_eventbridge_key.c */

/* the pointer of one key=path:, the text of which is in parameter */
char *ngx_http_eventbridge_key_path(ngx_conf_t *cf,
    ngx_http_eventbridge_loc_conf_t *elcf, ngx_str_t *parameter);

/* of locations that cannot be told apart; called when all are known */
void ngx_http_eventbridge_key_warn(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf);

/* sets job->scope, of the client's request; NGX_OK, NGX_ERROR (no memory) */
ngx_int_t ngx_http_eventbridge_key_scope(ngx_http_eventbridge_job_t *job);

/*
 * While the index of the text is valid: what identifies the events, where that
 * is not their id; and those without any are made invalid, if need be.
 * NGX_OK, NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_eventbridge_key_ids(ngx_http_eventbridge_job_t *job,
    ngx_eb_json_t *json);

/* what counts as the id of an event; of no length: it has none */
#define ngx_http_eventbridge_key_id(job, i)                                   \
    ((job)->ids ? &(job)->ids[i] : &(job)->batch.events[i].id)

/* ngx_http_eventbridge_settle.c */

/* the item, and those that repeat it, have their outcome */
void ngx_http_eventbridge_settle(ngx_http_eventbridge_job_t *job,
    ngx_uint_t i, ngx_uint_t state);

/* one more in a cell (NGX_EB_STATS_R_*) of a route */
void ngx_http_eventbridge_count_route(ngx_http_eventbridge_job_t *job,
    ngx_uint_t route, ngx_uint_t cell);

/* the job's own figures reach the shared cells */
void ngx_http_eventbridge_count_flush(ngx_http_eventbridge_job_t *job);

/* ngx_http_eventbridge_facts.c */

/*
 * What the job's deliveries show of r, or of nobody, and what else of r's
 * headers goes with them.
 */
ngx_int_t ngx_http_eventbridge_job_facts(ngx_http_eventbridge_job_t *job,
    ngx_http_request_t *r);

/* copies of r's facts, from pool */
ngx_int_t ngx_http_eventbridge_facts(ngx_http_eventbridge_facts_t *facts,
    ngx_pool_t *pool, ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_request_t *r);

ngx_int_t ngx_http_eventbridge_copy(ngx_pool_t *pool, ngx_str_t *to,
    ngx_str_t *from);

/* ngx_http_eventbridge_send.c */

/*
 * Starts a send of a job.  NGX_OK: it runs, and ends with send->done set and
 * job->wake posted; send->settled comes first, as soon as a status is there.
 * NGX_ERROR: it could not be started (no memory, no connection).
 */
ngx_int_t ngx_http_eventbridge_send(ngx_http_eventbridge_send_t *send);

/* lets go of a carrier whose sends have all ended; from job->wake only */
void ngx_http_eventbridge_send_release(ngx_http_eventbridge_job_t *job,
    ngx_uint_t carrier);

/* the send that a subrequest works for, or NULL for any other request */
ngx_http_eventbridge_send_t *ngx_http_eventbridge_request_send(
    ngx_http_request_t *r);

/* the distinct names of a send's routes, comma-separated, from pool */
ngx_int_t ngx_http_eventbridge_send_routes(ngx_http_eventbridge_send_t *send,
    ngx_pool_t *pool, ngx_str_t *names);

/* ngx_http_eventbridge_body.c */

/* what a location with conf makes of a batch of this shape: FORWARD_*, but
   never _SAME; and its name in a dead letter, static */
ngx_uint_t ngx_http_eventbridge_form(ngx_http_eventbridge_loc_conf_t *conf,
    ngx_uint_t shape);
ngx_str_t *ngx_http_eventbridge_form_name(ngx_uint_t form);

/* gives sr, the subrequest of send, its body and *len; NGX_OK, NGX_ERROR */
ngx_int_t ngx_http_eventbridge_send_body(ngx_http_eventbridge_send_t *send,
    ngx_http_request_t *sr, off_t *len);

/* ngx_http_eventbridge_observe.c */

ngx_int_t ngx_http_eventbridge_metrics_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_eventbridge_health_handler(ngx_http_request_t *r);

#define NGX_HTTP_EVENTBRIDGE_HEALTHY    0
#define NGX_HTTP_EVENTBRIDGE_DEGRADED   1
#define NGX_HTTP_EVENTBRIDGE_UNHEALTHY  2

/* room for the beginning of a document, which has the verdict */
#define NGX_HTTP_EVENTBRIDGE_HEALTH_VERDICT  32

/*
 * What the document about health has behind the verdict, with figures or
 * without; returns the verdict.  The other one writes it in front of end,
 * brace included, and returns where it begins.
 */
ngx_uint_t ngx_http_eventbridge_health_members(
    ngx_http_eventbridge_main_conf_t *emcf, ngx_eb_out_t *out,
    ngx_uint_t figures);
u_char *ngx_http_eventbridge_health_verdict(u_char *end, ngx_uint_t verdict);

/* age of the first line of a dead letter, in ms; 0: there is none */
int64_t ngx_http_eventbridge_log_age(ngx_eb_log_figures_t *figures);

/* NGX_OK: GET or HEAD, without a body; else the handler's result */
ngx_int_t ngx_http_eventbridge_read_only(ngx_http_request_t *r);

/* one line in the audit log for each event that is settled */
void ngx_http_eventbridge_audit(ngx_http_eventbridge_job_t *job,
    ngx_uint_t i);

/* sends body (borrowed, must live as long as r) as the whole answer */
/* GET and HEAD; a body is dropped.  NGX_OK, or a status */
ngx_int_t ngx_http_eventbridge_read_only(ngx_http_request_t *r);

ngx_int_t ngx_http_eventbridge_respond(ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *type, ngx_str_t *body);

static ngx_inline ngx_uint_t
ngx_http_eventbridge_same(ngx_str_t *one, ngx_str_t *two)
{
    return one->len == two->len
           && (one->len == 0
               || ngx_memcmp(one->data, two->data, one->len) == 0);
}

/* ngx_http_eventbridge_explain.c */

ngx_int_t ngx_http_eventbridge_explain_handler(ngx_http_request_t *r);

/* ngx_http_eventbridge_test_pattern.c */

ngx_int_t ngx_http_eventbridge_test_pattern_handler(ngx_http_request_t *r);

/* ngx_http_eventbridge_variables.c */

ngx_int_t ngx_http_eventbridge_add_variables(ngx_conf_t *cf);


extern ngx_module_t  ngx_http_eventbridge_module;


#endif /* _NGX_HTTP_EVENTBRIDGE_MODULE_H_INCLUDED_ */
