
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Trackers of interactions: their configuration, the worker that runs one, the
 * poller that feeds it, the publisher of what it decides, and who asks it.
 */


#ifndef _NGX_HTTP_EVENTBRIDGE_LIFECYCLE_H_INCLUDED_
#define _NGX_HTTP_EVENTBRIDGE_LIFECYCLE_H_INCLUDED_


#include "ngx_http_eventbridge_genesys.h"
#include "ngx_eb_client.h"
#include "ngx_eb_lease.h"
#include "ngx_eb_genesys_bus.h"
#include "ngx_eb_genesys_lifecycle.h"
#include "ngx_eb_genesys_lifecycle_map.h"
#include "ngx_eb_lifecycle_state.h"


/* transitions of one worker that are accepted and not published yet */
#define NGX_HTTP_EVENTBRIDGE_LIFECYCLE_PENDING  8192

/* bytes of records that wait for the disk in one worker */
#define NGX_HTTP_EVENTBRIDGE_LIFECYCLE_QUEUE    (32 * 1024 * 1024)


/* what is only counted: the gauges follow in ngx_eb_lifecycle_counters_t */
#define NGX_HTTP_EVENTBRIDGE_LIFECYCLE_COUNTS                                 \
    (offsetof(ngx_eb_lifecycle_counters_t, interactions) / sizeof(uint64_t))


typedef struct ngx_http_eventbridge_keeper_s  ngx_http_eventbridge_keeper_t;


/* beside the table, which counts from 0: what was counted before */

typedef struct {
    void                     *block;
    uint64_t                  base[NGX_HTTP_EVENTBRIDGE_LIFECYCLE_COUNTS];
} ngx_http_eventbridge_lifecycle_shared_t;


/* callback WEBHOOK STATE... */

typedef struct {
    ngx_str_t                 webhook;
    uint32_t                  states;       /* mask */
    ngx_array_t               names;        /* ngx_str_t */
    ngx_uint_t                line;
} ngx_http_eventbridge_lifecycle_call_t;


/* eventbridge_lifecycle */

struct ngx_http_eventbridge_lifecycle_s {
    ngx_str_t                 name;
    ngx_str_t                 organisation; /* empty: nothing is polled */
    ngx_http_eventbridge_org_t  *org;

    ngx_str_t                 events_path;  /* and query, at the API */
    ngx_msec_t                interval;
    ngx_msec_t                overlap;

    ngx_str_t                 bus;          /* URL; empty: none */
    ngx_str_t                 bus_host;     /* with its port */
    ngx_str_t                 bus_path;
    ngx_str_t                 bus_region;
    ngx_str_t                 bus_source;
    ngx_str_t                 bus_name;
    ngx_str_t                 credentials_file;
    ngx_eb_secrets_t         *credentials;
    ngx_str_t                 environment;  /* keys, in the same form */
    ngx_str_t                 trusted_certificate;
    ngx_msec_t                bus_timeout;
    ngx_msec_t                bus_max_age;  /* then it is given up */
    ngx_uint_t                bus_format;
    ngx_resolver_t           *resolver;
    ngx_msec_t                resolver_timeout;
    ngx_eb_bus_conf_t         bus_conf;

    ngx_eb_lifecycle_states_t   states;
    ngx_eb_lifecycle_conf_t     engine;
    ngx_uint_t                said;         /* bits of lines given once */
    ngx_uint_t                interactions;
    ngx_uint_t                held;
    ngx_msec_t                window;
    ngx_msec_t                grace;
    ngx_msec_t                idle;
    ngx_array_t               calls;        /* ..._lifecycle_call_t */

    ngx_str_t                 path;         /* of the state */
    ngx_array_t               logs;         /* its own, ngx_eb_log_t * */
    ngx_eb_log_t             *log;
    ngx_eb_log_t             *dead;         /* what the bus never takes */

    ngx_http_eventbridge_loc_conf_t  *conf; /* of http: its audit log */
    ngx_str_t                 lease;
    ngx_http_eventbridge_lifecycle_shared_t  *shared;
    size_t                    size;
    ngx_eb_stats_cell_t      *cells;
    u_char                   *file;
    ngx_uint_t                line;

    /* of one worker */
    ngx_eb_lifecycle_t        lc;
    ngx_eb_json_parser_t     *parser;
    ngx_http_eventbridge_keeper_t  *keeper;
};


/* of one entry of the bus, until it is done */

typedef struct {
    ngx_queue_t               queue;        /* of its lane */
    ngx_eb_lifecycle_pending_t  *pending;
    ngx_http_eventbridge_keeper_t  *keeper;
    void                     *end;          /* on its way to a log */
    ngx_uint_t                tries;
    unsigned                  alone:1;
} ngx_http_eventbridge_lifecycle_item_t;


/* what happens to one interaction goes out in order, one after the other */

typedef struct {
    ngx_rbtree_node_t         node;         /* key: number of the interaction */
    ngx_queue_t               items;
    ngx_queue_t               queue;        /* ready, or waits */
    ngx_msec_t                next;         /* when it may go out again */
} ngx_http_eventbridge_lifecycle_lane_t;


/* who has the lease, and so is the one to do it all */

struct ngx_http_eventbridge_keeper_s {
    ngx_http_eventbridge_lifecycle_t  *lifecycle;
    ngx_http_eventbridge_main_conf_t  *emcf;
    ngx_log_t                *log;
    ngx_connection_t          dummy;        /* what a timer's data must be */
    ngx_event_t               timer;
    ngx_event_t               wake;         /* posted: tick */
    ngx_eb_lifecycle_state_t  state;
    unsigned                  holder:1;     /* the lease is ours */
    unsigned                  running:1;    /* the state is started */

    /* the publisher: ngx_http_eventbridge_lifecycle_bus.c */
    ngx_rbtree_t              lanes;
    ngx_rbtree_node_t         sentinel;
    ngx_queue_t               ready;        /* lanes with something to send */
    ngx_queue_t               waiting;      /* lanes whose turn comes later */
    ngx_queue_t               calls;        /* under way */
    ngx_uint_t                ncalls;
    ngx_uint_t                nentries;     /* of them */
    ngx_uint_t                failures;     /* of the bus, in a row */
    ngx_msec_t                pause;        /* none is sent before */
    ngx_event_t               resume;
    ngx_connection_t          resume_dummy;
    ngx_uint_t                unsettled;    /* written, not on the disk yet */

    /* the poller: ngx_http_eventbridge_lifecycle_poll.c */
    void                     *poll;
};


/* ngx_http_eventbridge_lifecycle.c */

char *ngx_http_eventbridge_lifecycle(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_http_eventbridge_lifecycle_setup(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf);

/* NULL: there is none of this name */
ngx_http_eventbridge_lifecycle_t *ngx_http_eventbridge_lifecycle_find(
    ngx_http_eventbridge_main_conf_t *emcf, ngx_str_t *name);

/* ms since the epoch */
int64_t ngx_http_eventbridge_lifecycle_now(void);

/* what was counted since there is a file of figures */
void ngx_http_eventbridge_lifecycle_counters(
    ngx_http_eventbridge_lifecycle_t *lifecycle,
    ngx_eb_lifecycle_counters_t *counters);


/* ngx_http_eventbridge_lifecycle_keeper.c: the worker that runs it */

ngx_int_t ngx_http_eventbridge_lifecycle_init_module(ngx_cycle_t *cycle,
    ngx_http_eventbridge_main_conf_t *emcf);
ngx_int_t ngx_http_eventbridge_lifecycle_init_process(ngx_cycle_t *cycle,
    ngx_http_eventbridge_main_conf_t *emcf);
void ngx_http_eventbridge_lifecycle_exit_process(
    ngx_http_eventbridge_main_conf_t *emcf);

/* the state is to be looked at, soon */
void ngx_http_eventbridge_lifecycle_wake(
    ngx_http_eventbridge_keeper_t *keeper);

/* a line of the audit log; latency < 0: none */
void ngx_http_eventbridge_lifecycle_audit(
    ngx_http_eventbridge_lifecycle_t *lifecycle,
    ngx_eb_lifecycle_decision_t *decision, const char *status,
    int64_t latency);


/* ngx_http_eventbridge_lifecycle_bus.c */

void ngx_http_eventbridge_lifecycle_bus_start(
    ngx_http_eventbridge_keeper_t *keeper);
void ngx_http_eventbridge_lifecycle_bus_stop(
    ngx_http_eventbridge_keeper_t *keeper);
void ngx_http_eventbridge_lifecycle_bus_wake(
    ngx_http_eventbridge_keeper_t *keeper);
void ngx_http_eventbridge_lifecycle_publish(
    ngx_http_eventbridge_keeper_t *keeper,
    ngx_eb_lifecycle_pending_t *pending);


/* ngx_http_eventbridge_lifecycle_poll.c */

ngx_int_t ngx_http_eventbridge_lifecycle_poll_start(
    ngx_http_eventbridge_keeper_t *keeper);
void ngx_http_eventbridge_lifecycle_poll_stop(
    ngx_http_eventbridge_keeper_t *keeper);


/* ngx_http_eventbridge_lifecycle_ingest.c: "lifecycle:NAME" as a destination */

/* the number of the destination in its location; NGX_ERROR: logged */
ngx_int_t ngx_http_eventbridge_lifecycle_destination(ngx_conf_t *cf,
    ngx_http_eventbridge_ingest_t *ingest, const char *directive,
    ngx_str_t *uri, u_char *file, ngx_uint_t line);

ngx_int_t ngx_http_eventbridge_lifecycle_send(
    ngx_http_eventbridge_send_t *send);


/* ngx_http_eventbridge_lifecycle_status.c: who asks */

char *ngx_http_eventbridge_lifecycle_status(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
ngx_int_t ngx_http_eventbridge_lifecycle_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_eventbridge_lifecycle_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
ngx_uint_t ngx_http_eventbridge_lifecycle_nextras(
    ngx_http_eventbridge_main_conf_t *emcf);
ngx_int_t ngx_http_eventbridge_lifecycle_extras(ngx_pool_t *pool,
    ngx_http_eventbridge_main_conf_t *emcf, ngx_eb_stats_extra_t *extra,
    ngx_uint_t *n);


#endif /* _NGX_HTTP_EVENTBRIDGE_LIFECYCLE_H_INCLUDED_ */
