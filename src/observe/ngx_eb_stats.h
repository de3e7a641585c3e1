
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Counters and histograms in one mapped file that all processes of all
 * generations share, and their Prometheus text.
 */


#ifndef _NGX_EB_STATS_H_INCLUDED_
#define _NGX_EB_STATS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * What a series is about.  Its labels are given as finished text
 * (server="a",location="/b") and identify it for ever in the file.
 */

typedef enum {
    NGX_EB_STATS_NODE = 0,      /* no labels, one in the file */
    NGX_EB_STATS_LOCATION,      /* server, location */
    NGX_EB_STATS_DESTINATION,   /* server, location, destination */
    NGX_EB_STATS_ROUTE,         /* server, location, route, destination */
    NGX_EB_STATS_ZONE,          /* zone */
    NGX_EB_STATS_CALL,          /* organisation, operation */
    NGX_EB_STATS_ORGANISATION,  /* organisation */
    NGX_EB_STATS_LIFECYCLE,     /* lifecycle */
    NGX_EB_STATS_KINDS
} ngx_eb_stats_kind_e;


#define NGX_EB_STATS_CELLS  80

typedef volatile int64_t  ngx_eb_stats_cell_t;


/* cells of each kind; a histogram takes its buckets, one for +Inf, the sum */

enum {                          /* NGX_EB_STATS_LOCATION */
    NGX_EB_STATS_L_REQ_2XX = 0,
    NGX_EB_STATS_L_REQ_400,
    NGX_EB_STATS_L_REQ_401,
    NGX_EB_STATS_L_REQ_405,
    NGX_EB_STATS_L_REQ_413,
    NGX_EB_STATS_L_REQ_415,
    NGX_EB_STATS_L_REQ_422,
    NGX_EB_STATS_L_REQ_429,
    NGX_EB_STATS_L_REQ_500,
    NGX_EB_STATS_L_REQ_503,
    NGX_EB_STATS_L_RECEIVED,    /* events */
    NGX_EB_STATS_L_PROCESSED,   /* settled: forwarded, duplicate or dropped */
    NGX_EB_STATS_L_FORWARDED,   /* events that reached all destinations */
    NGX_EB_STATS_L_DUPLICATES,
    NGX_EB_STATS_L_DROPPED,     /* unrouted, and acknowledged */
    NGX_EB_STATS_L_INVALID,
    NGX_EB_STATS_L_UNROUTED,    /* refused with 422 */
    NGX_EB_STATS_L_FAILED,
    NGX_EB_STATS_L_BUSY,
    NGX_EB_STATS_L_NO_ID,
    NGX_EB_STATS_L_BYTES,
    NGX_EB_STATS_L_LAG,         /* gauge, ms: last event time to now */
    NGX_EB_STATS_L_REGEX_ERRORS,
    NGX_EB_STATS_L_RATE_LIMITED,    /* events refused by eventbridge_rate */
    NGX_EB_STATS_L_OVERLOAD,    /* requests refused by eventbridge_inflight */
    NGX_EB_STATS_L_DEAD,        /* events in the dead letter */
    NGX_EB_STATS_L_REPLAYED,    /* events of it that were delivered */
    NGX_EB_STATS_L_LAG_HIST,            /* 12 bounds + Inf + sum = 14 */
    NGX_EB_STATS_L_BATCH_HIST = NGX_EB_STATS_L_LAG_HIST + 14,
                                        /* 10 bounds + Inf + sum = 12 */
    /* at the end: files that are there keep their meaning */
    NGX_EB_STATS_L_UNAUTHORIZED = NGX_EB_STATS_L_BATCH_HIST + 12,
                                        /* requests refused by
                                           eventbridge_auth */
    NGX_EB_STATS_L_END
};

enum {                          /* NGX_EB_STATS_DESTINATION */
    NGX_EB_STATS_D_FORWARDED = 0,   /* events */
    NGX_EB_STATS_D_FAILED,
    NGX_EB_STATS_D_2XX,             /* requests, by their outcome */
    NGX_EB_STATS_D_3XX,
    NGX_EB_STATS_D_4XX,
    NGX_EB_STATS_D_5XX,
    NGX_EB_STATS_D_NO_STATUS,       /* refused, reset, timed out */
    NGX_EB_STATS_D_SATURATED,       /* events refused: its share of inflight
                                       is used up */
    NGX_EB_STATS_D_BYTES,
    NGX_EB_STATS_D_DOWN_SINCE,      /* gauge, seconds since the epoch; 0: up */
    NGX_EB_STATS_D_LATENCY_HIST,    /* 14 bounds + Inf + sum = 16 */
    NGX_EB_STATS_D_REFUSED = NGX_EB_STATS_D_LATENCY_HIST + 16,
                                    /* events answered at once: it is down */
    NGX_EB_STATS_D_ALTERNATE,       /* events that its alternate took */
    NGX_EB_STATS_D_FAILED_AT,
                                    /* the last failure: seconds since the
                                       epoch, 0: none yet; and its status */
    NGX_EB_STATS_D_FAILED_STATUS,
    NGX_EB_STATS_D_END
};

enum {                          /* NGX_EB_STATS_ROUTE */
    NGX_EB_STATS_R_MATCHED = 0,     /* events */
    NGX_EB_STATS_R_FORWARDED,
    NGX_EB_STATS_R_FAILED,
    NGX_EB_STATS_R_DUPLICATES,
    NGX_EB_STATS_R_END
};

enum {                          /* NGX_EB_STATS_NODE */
    NGX_EB_STATS_N_AUDIT_LINES = 0,
    NGX_EB_STATS_N_AUDIT_DROPPED,
    NGX_EB_STATS_N_AUDIT_ERRORS,
    NGX_EB_STATS_N_SERIES_FULL,     /* series that found no room */
    NGX_EB_STATS_N_REPLAY_LEFT,     /* gauge: dead letters of outages */
    NGX_EB_STATS_N_LEASE,           /* the worker that replays them: its pid */
    NGX_EB_STATS_N_LEASE_TIME,      /* and when it said so, in seconds */
    NGX_EB_STATS_N_OUTBOX_DELIVERED,    /* callbacks */
    NGX_EB_STATS_N_OUTBOX_FAILED,       /* attempts */
    NGX_EB_STATS_N_OUTBOX_DEAD,
    NGX_EB_STATS_N_OUTBOX_DEPTH,        /* gauges: what waits, */
    NGX_EB_STATS_N_OUTBOX_OLDEST,       /* since when, ms; 0: nothing does, */
    NGX_EB_STATS_N_OUTBOX_BURIED,       /* and dead ones in the file */
    NGX_EB_STATS_N_END
};

enum {                          /* NGX_EB_STATS_ZONE: gauges, set by a scrape */
    NGX_EB_STATS_Z_END = 0
};

enum {                          /* NGX_EB_STATS_CALL: requests to the API */
    NGX_EB_STATS_C_2XX = 0,
    NGX_EB_STATS_C_4XX,             /* but 429 */
    NGX_EB_STATS_C_429,
    NGX_EB_STATS_C_5XX,             /* and what is none of these */
    NGX_EB_STATS_C_NO_STATUS,
    NGX_EB_STATS_C_RETRIES,         /* sent again */
    NGX_EB_STATS_C_LATENCY_HIST,    /* as that of a destination */
    NGX_EB_STATS_C_END = NGX_EB_STATS_C_LATENCY_HIST + 16
};

enum {                          /* NGX_EB_STATS_ORGANISATION */
    NGX_EB_STATS_O_ADJUSTMENTS = 0,     /* of retention policies */
    NGX_EB_STATS_O_MIGRATIONS,          /* those that are over */
    NGX_EB_STATS_O_ADJUST_MSEC,         /* sum of their latencies */
    NGX_EB_STATS_O_COST,                /* of all: 1/1000 USD */
    NGX_EB_STATS_O_RESOLVES,            /* of endpoints */
    NGX_EB_STATS_O_RESOLVED,            /* those that succeeded */
    NGX_EB_STATS_O_PROBES,              /* endpoints that were looked at */
    NGX_EB_STATS_O_REACHABLE,           /* and found to be well */
    NGX_EB_STATS_O_RESOLVE_HIST,        /* as that of a destination */
    NGX_EB_STATS_O_RESOLVE_SUM = NGX_EB_STATS_O_RESOLVE_HIST + 15,
    NGX_EB_STATS_O_END
};

enum {                          /* NGX_EB_STATS_LIFECYCLE: of a tracker */
    NGX_EB_STATS_T_INVALID = 0,     /* events that cannot be used */
    NGX_EB_STATS_T_IGNORED,         /* that are about no state */
    NGX_EB_STATS_T_POLL_FAILED,
    NGX_EB_STATS_T_LAG,             /* gauge: of the newest event, ms */
    NGX_EB_STATS_T_COUNTS,          /* of the engine, set by its worker */
    NGX_EB_STATS_T_END = NGX_EB_STATS_CELLS
};


typedef struct ngx_eb_stats_s  ngx_eb_stats_t;


/*
 * Master, while it reads the configuration: maps the file at path (NUL-
 * terminated), made when it is not there, is of another layout, or damaged.
 * What it counted goes on.  Unmapped with pool.  NULL: failed (reason in
 * errstr, errno or 0 in *err).
 */
ngx_eb_stats_t *ngx_eb_stats_attach(ngx_pool_t *pool, ngx_str_t *path,
    ngx_log_t *log, u_char *errstr, size_t errlen, ngx_err_t *err);

/*
 * nginx -t: can the file be used, or be made?  Writes nothing.  NGX_OK, or
 * NGX_ERROR with a reason as above.
 */
ngx_int_t ngx_eb_stats_test(ngx_str_t *path, u_char *errstr, size_t errlen,
    ngx_err_t *err);

/*
 * The cells of a series, found or added; valid as long as stats.  Never NULL:
 * when the file has no room, cells that all such series share.  labels are
 * copied.  With test configurations stats may be NULL: then cells on pool-free
 * static memory that nobody reads.
 */
ngx_eb_stats_cell_t *ngx_eb_stats_series(ngx_eb_stats_t *stats,
    ngx_eb_stats_kind_e kind, ngx_str_t *labels);


static ngx_inline void
ngx_eb_stats_add(ngx_eb_stats_cell_t *cells, ngx_uint_t i, int64_t n)
{
    (void) __sync_fetch_and_add(&cells[i], n);
}


/*
 * The lag histogram of a location, in counters laid out like its cells that
 * no other process sees: plain additions.  The caller adds them to the cells.
 */
void ngx_eb_stats_count_lag(ngx_eb_stats_cell_t *counts, int64_t msec);

/* bucket bounds are fixed; value in ms (latency) or events (batch) */
void ngx_eb_stats_observe_batch(ngx_eb_stats_cell_t *cells, ngx_uint_t n);
void ngx_eb_stats_observe_latency(ngx_eb_stats_cell_t *cells, int64_t msec);
void ngx_eb_stats_observe_call(ngx_eb_stats_cell_t *cells, int64_t msec);
void ngx_eb_stats_observe_resolve(ngx_eb_stats_cell_t *cells, int64_t msec);


/*
 * One gauge or counter that is not in the file (checkpoint facts and the
 * like), handed to the renderer.
 */

typedef struct {
    const char               *name;
    const char               *suffix;       /* of a histogram's lines, or
                                               NULL */
    const char               *type;         /* gauge, counter, histogram */
    const char               *help;
    ngx_str_t                 labels;       /* finished text, may be empty */
    double                    value;
} ngx_eb_stats_extra_t;

/*
 * The whole exposition (text format 0.0.4), allocated from pool: every series
 * in the file, and extra (those of one name must stand together).  HELP and
 * TYPE once a name.  NGX_OK, NGX_ERROR (no memory).
 */
ngx_int_t ngx_eb_stats_render(ngx_eb_stats_t *stats, ngx_pool_t *pool,
    ngx_eb_stats_extra_t *extra, ngx_uint_t nextra, ngx_str_t *text);


#endif /* _NGX_EB_STATS_H_INCLUDED_ */
