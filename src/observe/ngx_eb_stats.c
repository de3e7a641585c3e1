
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Counters and histograms in one mapped file that all processes of all
 * generations share, and their Prometheus text.
 *
 * The file is a header and an array of slots.  A slot is a series: its kind,
 * its labels and its cells.  Slots are only ever appended, under a robust
 * mutex that lives in the header, and a slot is visible once its state and
 * then the count in the header say so.  Cells are added to without a lock.
 *
 * Every attached process holds a shared flock on the file; it comes with the
 * descriptor over fork(), so it goes when the last process of a generation
 * goes.  Who gets the lock exclusively knows that nobody else is attached,
 * and only he may repair or truncate the file.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <sys/file.h>
#include <pthread.h>
#include <math.h>
#include "ngx_eb_out.h"
#include "ngx_eb_stats.h"


#define NGX_EB_STATS_MAGIC         "NGXEBST"
#define NGX_EB_STATS_BYTE_ORDER    0x01020304

/*
 * To be raised when cells change their meaning and keep their number; a
 * change of the numbers, of sizes and of bounds is noticed without it.
 */
#define NGX_EB_STATS_VERSION       1

#define NGX_EB_STATS_HEADER_SIZE   4096
#define NGX_EB_STATS_SLOT_SIZE     1536
#define NGX_EB_STATS_SLOTS         4096
#define NGX_EB_STATS_SIZE                                                     \
    (NGX_EB_STATS_HEADER_SIZE                                                 \
     + (size_t) NGX_EB_STATS_SLOTS * NGX_EB_STATS_SLOT_SIZE)

/* the last slots are for series that find no room, one of each kind */
#define NGX_EB_STATS_ROOM          (NGX_EB_STATS_SLOTS - NGX_EB_STATS_KINDS)

#define NGX_EB_STATS_LABELS        878

/* of a label's value, when all labels together are too long */
#define NGX_EB_STATS_VALUE         128

/* a power of two, twice the slots: a free place is never far */
#define NGX_EB_STATS_HASH          (2 * NGX_EB_STATS_SLOTS)

#define NGX_EB_STATS_READY         0x52454459

/* an open that raced with another process that replaced the file */
#define NGX_EB_STATS_TRIES         8

#define NGX_EB_STATS_FNV_BASIS     UINT64_C(0xcbf29ce484222325)
#define NGX_EB_STATS_FNV_PRIME     UINT64_C(0x00000100000001b3)


/* what identifies the layout: equal byte by byte, or it is another one */

typedef struct {
    u_char                          magic[8];
    uint32_t                        version;
    uint32_t                        byte_order;
    uint32_t                        header_size;
    uint32_t                        slot_size;
    uint32_t                        slots;
    uint32_t                        cells;
    uint64_t                        mutex_size;
    uint64_t                        meaning;
} ngx_eb_stats_layout_t;


typedef struct {
    ngx_eb_stats_layout_t           layout;
    uint32_t                        used;
    u_char                          pad[256 - sizeof(ngx_eb_stats_layout_t)
                                        - sizeof(uint32_t)];
    pthread_mutex_t                 mutex;      /* at byte 256 */
} ngx_eb_stats_header_t;


typedef struct {
    uint32_t                        kind;
    uint32_t                        state;      /* stored last */
    uint64_t                        check;      /* of kind and labels */
    uint16_t                        len;
    u_char                          labels[NGX_EB_STATS_LABELS];
    ngx_eb_stats_cell_t             cells[NGX_EB_STATS_CELLS];
} ngx_eb_stats_slot_t;


struct ngx_eb_stats_s {
    ngx_eb_stats_header_t          *header;
    ngx_eb_stats_slot_t            *slots;
    ngx_eb_stats_cell_t            *node;
    ngx_log_t                      *log;
    ngx_fd_t                        fd;         /* carries the flock */
    ngx_uint_t                      indexed;    /* slots in the hash */
    uint16_t                       *hash;       /* slot + 1, or 0 */
};


typedef enum {
    NGX_EB_STATS_VALID = 0,
    NGX_EB_STATS_EMPTY,
    NGX_EB_STATS_DAMAGED,
    NGX_EB_STATS_FOREIGN
} ngx_eb_stats_state_e;


typedef struct {
    int64_t                         value;
    const char                     *text;
} ngx_eb_stats_bound_t;


typedef struct {
    const ngx_eb_stats_bound_t     *bounds;
    ngx_uint_t                      n;
    ngx_uint_t                      msec;       /* the sum is in ms */
} ngx_eb_stats_histogram_t;


/* one line of the exposition, of each series of its kind */

typedef struct {
    const char                     *name;
    const char                     *type;
    const char                     *help;
    ngx_eb_stats_kind_e             kind;
    ngx_uint_t                      cell;
    const char                     *label;      /* in addition, or NULL */
    const ngx_eb_stats_histogram_t *histogram;
    ngx_uint_t                      msec;       /* printed as seconds */
} ngx_eb_stats_metric_t;


static ngx_fd_t ngx_eb_stats_open(u_char *path, ngx_uint_t *alone,
    u_char *errstr, size_t errlen, ngx_err_t *err);
static ngx_int_t ngx_eb_stats_lock_file(ngx_fd_t fd, ngx_uint_t *alone);
static ngx_int_t ngx_eb_stats_same_file(ngx_fd_t fd, u_char *path);
static ngx_int_t ngx_eb_stats_examine(ngx_fd_t fd,
    ngx_eb_stats_state_e *state);
static ngx_int_t ngx_eb_stats_set_aside(u_char *path, ngx_log_t *log,
    u_char *errstr, size_t errlen, ngx_err_t *err);
static ngx_int_t ngx_eb_stats_allocate(ngx_fd_t fd, u_char *path,
    u_char *errstr, size_t errlen, ngx_err_t *err);
static ngx_int_t ngx_eb_stats_init_mutex(ngx_eb_stats_header_t *header,
    ngx_err_t *err);
static void ngx_eb_stats_recover(ngx_eb_stats_t *stats);
static void ngx_eb_stats_layout(ngx_eb_stats_layout_t *layout);
static void ngx_eb_stats_cleanup(void *data);
static ngx_int_t ngx_eb_stats_lock(ngx_eb_stats_t *stats);
static void ngx_eb_stats_unlock(ngx_eb_stats_t *stats);
static uint64_t ngx_eb_stats_hash(uint64_t hash, const void *data, size_t len);
static uint64_t ngx_eb_stats_check(uint32_t kind, ngx_str_t *labels);
static size_t ngx_eb_stats_fit(u_char *dst, ngx_str_t *labels);
static size_t ngx_eb_stats_cut(u_char *value, size_t len);
static ngx_uint_t ngx_eb_stats_ready(ngx_eb_stats_slot_t *slot);
static void ngx_eb_stats_publish(ngx_eb_stats_slot_t *slot, uint32_t kind,
    ngx_str_t *labels, uint64_t check);
static ngx_eb_stats_slot_t *ngx_eb_stats_find(ngx_eb_stats_t *stats,
    uint32_t kind, ngx_str_t *labels, uint64_t check);
static void ngx_eb_stats_index(ngx_eb_stats_t *stats);
static ngx_eb_stats_slot_t *ngx_eb_stats_append(ngx_eb_stats_t *stats,
    uint32_t kind, ngx_str_t *labels, uint64_t check);
static void ngx_eb_stats_observe(ngx_eb_stats_cell_t *cells, ngx_uint_t first,
    const ngx_eb_stats_histogram_t *histogram, int64_t value);
static ngx_uint_t ngx_eb_stats_gather(ngx_eb_stats_t *stats,
    ngx_eb_stats_slot_t **list);
static size_t ngx_eb_stats_estimate(ngx_eb_stats_slot_t **list, ngx_uint_t n,
    ngx_eb_stats_extra_t *extra, ngx_uint_t nextra);
static void ngx_eb_stats_print(ngx_eb_out_t *out, ngx_eb_stats_slot_t **list,
    ngx_uint_t n);
static void ngx_eb_stats_print_extra(ngx_eb_out_t *out,
    ngx_eb_stats_extra_t *extra, ngx_uint_t n);
static void ngx_eb_stats_print_head(ngx_eb_out_t *out, const char *name,
    const char *type, const char *help);
static void ngx_eb_stats_print_name(ngx_eb_out_t *out, const char *name,
    const char *suffix, ngx_str_t *labels, const char *label, const char *le);
static void ngx_eb_stats_print_histogram(ngx_eb_out_t *out,
    const ngx_eb_stats_metric_t *metric, ngx_eb_stats_slot_t *slot,
    ngx_str_t *labels);
static void ngx_eb_stats_print_double(ngx_eb_out_t *out, double value);
static void ngx_eb_stats_text(ngx_eb_out_t *out, const char *text);


static const ngx_eb_stats_bound_t  ngx_eb_stats_latency_bounds[] = {
    { 1, "0.001" },
    { 2, "0.0025" },
    { 5, "0.005" },
    { 10, "0.01" },
    { 25, "0.025" },
    { 50, "0.05" },
    { 100, "0.1" },
    { 250, "0.25" },
    { 500, "0.5" },
    { 1000, "1" },
    { 2500, "2.5" },
    { 5000, "5" },
    { 10000, "10" },
    { 30000, "30" }
};


static const ngx_eb_stats_bound_t  ngx_eb_stats_lag_bounds[] = {
    { 100, "0.1" },
    { 500, "0.5" },
    { 1000, "1" },
    { 2500, "2.5" },
    { 5000, "5" },
    { 10000, "10" },
    { 30000, "30" },
    { 60000, "60" },
    { 300000, "300" },
    { 900000, "900" },
    { 3600000, "3600" },
    { 86400000, "86400" }
};


static const ngx_eb_stats_bound_t  ngx_eb_stats_batch_bounds[] = {
    { 1, "1" },
    { 2, "2" },
    { 5, "5" },
    { 10, "10" },
    { 20, "20" },
    { 50, "50" },
    { 100, "100" },
    { 500, "500" },
    { 1000, "1000" },
    { 5000, "5000" }
};


#define NGX_EB_STATS_LATENCY_N                                                \
    (sizeof(ngx_eb_stats_latency_bounds) / sizeof(ngx_eb_stats_bound_t))
#define NGX_EB_STATS_LAG_N                                                    \
    (sizeof(ngx_eb_stats_lag_bounds) / sizeof(ngx_eb_stats_bound_t))
#define NGX_EB_STATS_BATCH_N                                                  \
    (sizeof(ngx_eb_stats_batch_bounds) / sizeof(ngx_eb_stats_bound_t))


/* the cells that the header sets aside for a histogram: bounds, +Inf, sum */

typedef char  ngx_eb_stats_assert_lag[
    NGX_EB_STATS_L_BATCH_HIST - NGX_EB_STATS_L_LAG_HIST
    == NGX_EB_STATS_LAG_N + 2 ? 1 : -1];
typedef char  ngx_eb_stats_assert_batch[
    NGX_EB_STATS_L_END - NGX_EB_STATS_L_BATCH_HIST
    == NGX_EB_STATS_BATCH_N + 2 ? 1 : -1];
typedef char  ngx_eb_stats_assert_latency[
    NGX_EB_STATS_D_END - NGX_EB_STATS_D_LATENCY_HIST
    == NGX_EB_STATS_LATENCY_N + 2 ? 1 : -1];
typedef char  ngx_eb_stats_assert_cells[
    NGX_EB_STATS_L_END <= NGX_EB_STATS_CELLS ? 1 : -1];
typedef char  ngx_eb_stats_assert_slot[
    sizeof(ngx_eb_stats_slot_t) == NGX_EB_STATS_SLOT_SIZE ? 1 : -1];
typedef char  ngx_eb_stats_assert_mutex[
    offsetof(ngx_eb_stats_header_t, mutex) == 256 ? 1 : -1];


static const ngx_eb_stats_histogram_t  ngx_eb_stats_latency = {
    ngx_eb_stats_latency_bounds, NGX_EB_STATS_LATENCY_N, 1
};

static const ngx_eb_stats_histogram_t  ngx_eb_stats_lag = {
    ngx_eb_stats_lag_bounds, NGX_EB_STATS_LAG_N, 1
};

static const ngx_eb_stats_histogram_t  ngx_eb_stats_batch = {
    ngx_eb_stats_batch_bounds, NGX_EB_STATS_BATCH_N, 0
};


#define NGX_EB_STATS_HELP_REQUESTS  "Requests to ingest locations, by answer."
#define NGX_EB_STATS_HELP_RESULTS                                             \
    "Requests to destinations, by class of the answer; none: no answer."

/* lines of one name stand together: HELP and TYPE are printed once for them */

static const ngx_eb_stats_metric_t  ngx_eb_stats_metrics[] = {

    { "eventbridge_requests_total", "counter", NGX_EB_STATS_HELP_REQUESTS,
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_REQ_2XX, "code=\"2xx\"", NULL, 0 },
    { "eventbridge_requests_total", "counter", NGX_EB_STATS_HELP_REQUESTS,
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_REQ_400, "code=\"400\"", NULL, 0 },
    { "eventbridge_requests_total", "counter", NGX_EB_STATS_HELP_REQUESTS,
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_REQ_401, "code=\"401\"", NULL, 0 },
    { "eventbridge_requests_total", "counter", NGX_EB_STATS_HELP_REQUESTS,
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_REQ_405, "code=\"405\"", NULL, 0 },
    { "eventbridge_requests_total", "counter", NGX_EB_STATS_HELP_REQUESTS,
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_REQ_413, "code=\"413\"", NULL, 0 },
    { "eventbridge_requests_total", "counter", NGX_EB_STATS_HELP_REQUESTS,
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_REQ_415, "code=\"415\"", NULL, 0 },
    { "eventbridge_requests_total", "counter", NGX_EB_STATS_HELP_REQUESTS,
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_REQ_422, "code=\"422\"", NULL, 0 },
    { "eventbridge_requests_total", "counter", NGX_EB_STATS_HELP_REQUESTS,
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_REQ_429, "code=\"429\"", NULL, 0 },
    { "eventbridge_requests_total", "counter", NGX_EB_STATS_HELP_REQUESTS,
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_REQ_500, "code=\"500\"", NULL, 0 },
    { "eventbridge_requests_total", "counter", NGX_EB_STATS_HELP_REQUESTS,
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_REQ_503, "code=\"503\"", NULL, 0 },

    { "eventbridge_events_received_total", "counter",
      "Events in accepted batches.",
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_RECEIVED, NULL, NULL, 0 },
    { "eventbridge_events_processed_total", "counter",
      "Events that were settled: forwarded, duplicate or dropped.",
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_PROCESSED, NULL, NULL, 0 },
    { "eventbridge_events_forwarded_total", "counter",
      "Events that reached all of their destinations.",
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_FORWARDED, NULL, NULL, 0 },
    { "eventbridge_events_duplicates_total", "counter",
      "Events that had been delivered before.",
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_DUPLICATES, NULL, NULL, 0 },
    { "eventbridge_events_dropped_total", "counter",
      "Events that no route matched, and that were acknowledged.",
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_DROPPED, NULL, NULL, 0 },
    { "eventbridge_events_invalid_total", "counter",
      "Events that were refused as malformed.",
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_INVALID, NULL, NULL, 0 },
    { "eventbridge_events_unrouted_total", "counter",
      "Events that no route matched, and that were refused.",
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_UNROUTED, NULL, NULL, 0 },
    { "eventbridge_events_failed_total", "counter",
      "Events that some destination did not take.",
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_FAILED, NULL, NULL, 0 },
    { "eventbridge_events_busy_total", "counter",
      "Events that another delivery held until the deadline.",
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_BUSY, NULL, NULL, 0 },
    { "eventbridge_events_without_id_total", "counter",
      "Events that carried no id.",
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_NO_ID, NULL, NULL, 0 },
    { "eventbridge_received_bytes_total", "counter",
      "Bytes of the request bodies.",
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_BYTES, NULL, NULL, 0 },
    { "eventbridge_message_lag_seconds", "gauge",
      "Time from the last event's own time to its processing.",
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_LAG, NULL, NULL, 1 },
    { "eventbridge_event_lag_seconds", "histogram",
      "Time from an event's own time to its processing.",
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_LAG_HIST, NULL,
      &ngx_eb_stats_lag, 1 },
    { "eventbridge_batch_events", "histogram",
      "Events in one batch.",
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_BATCH_HIST, NULL,
      &ngx_eb_stats_batch, 0 },
    { "eventbridge_route_regex_errors_total", "counter",
      "Regular expressions of routes that hit a limit.",
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_REGEX_ERRORS, NULL, NULL, 0 },
    { "eventbridge_overload_total", "counter",
      "Requests that were refused because too much was being delivered.",
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_OVERLOAD, NULL, NULL, 0 },

    { "eventbridge_destination_events_forwarded_total", "counter",
      "Events that the destination took.",
      NGX_EB_STATS_DESTINATION, NGX_EB_STATS_D_FORWARDED, NULL, NULL, 0 },
    { "eventbridge_destination_events_failed_total", "counter",
      "Events that the destination did not take.",
      NGX_EB_STATS_DESTINATION, NGX_EB_STATS_D_FAILED, NULL, NULL, 0 },
    { "eventbridge_destination_requests_total", "counter",
      NGX_EB_STATS_HELP_RESULTS,
      NGX_EB_STATS_DESTINATION, NGX_EB_STATS_D_2XX,
      "result=\"2xx\"", NULL, 0 },
    { "eventbridge_destination_requests_total", "counter",
      NGX_EB_STATS_HELP_RESULTS,
      NGX_EB_STATS_DESTINATION, NGX_EB_STATS_D_3XX,
      "result=\"3xx\"", NULL, 0 },
    { "eventbridge_destination_requests_total", "counter",
      NGX_EB_STATS_HELP_RESULTS,
      NGX_EB_STATS_DESTINATION, NGX_EB_STATS_D_4XX,
      "result=\"4xx\"", NULL, 0 },
    { "eventbridge_destination_requests_total", "counter",
      NGX_EB_STATS_HELP_RESULTS,
      NGX_EB_STATS_DESTINATION, NGX_EB_STATS_D_5XX,
      "result=\"5xx\"", NULL, 0 },
    { "eventbridge_destination_requests_total", "counter",
      NGX_EB_STATS_HELP_RESULTS,
      NGX_EB_STATS_DESTINATION, NGX_EB_STATS_D_NO_STATUS,
      "result=\"none\"", NULL, 0 },
    { "eventbridge_destination_saturated_events_total", "counter",
      "Events that were refused because the destination had its share "
      "of deliveries under way.",
      NGX_EB_STATS_DESTINATION, NGX_EB_STATS_D_SATURATED, NULL, NULL, 0 },
    { "eventbridge_destination_bytes_total", "counter",
      "Bytes of the bodies that were sent to the destination.",
      NGX_EB_STATS_DESTINATION, NGX_EB_STATS_D_BYTES, NULL, NULL, 0 },
    { "eventbridge_delivery_duration_seconds", "histogram",
      "Time that a request to the destination took.",
      NGX_EB_STATS_DESTINATION, NGX_EB_STATS_D_LATENCY_HIST, NULL,
      &ngx_eb_stats_latency, 1 },

    { "eventbridge_route_events_matched_total", "counter",
      "Events that the route matched.",
      NGX_EB_STATS_ROUTE, NGX_EB_STATS_R_MATCHED, NULL, NULL, 0 },
    { "eventbridge_route_events_forwarded_total", "counter",
      "Events of the route that its destination took.",
      NGX_EB_STATS_ROUTE, NGX_EB_STATS_R_FORWARDED, NULL, NULL, 0 },
    { "eventbridge_route_events_failed_total", "counter",
      "Events of the route that its destination did not take.",
      NGX_EB_STATS_ROUTE, NGX_EB_STATS_R_FAILED, NULL, NULL, 0 },
    { "eventbridge_route_events_duplicates_total", "counter",
      "Events of the route that its destination had been given before.",
      NGX_EB_STATS_ROUTE, NGX_EB_STATS_R_DUPLICATES, NULL, NULL, 0 },

    { "eventbridge_audit_lines_total", "counter",
      "Lines written to audit logs.",
      NGX_EB_STATS_NODE, NGX_EB_STATS_N_AUDIT_LINES, NULL, NULL, 0 },
    { "eventbridge_audit_dropped_total", "counter",
      "Audit lines that were lost.",
      NGX_EB_STATS_NODE, NGX_EB_STATS_N_AUDIT_DROPPED, NULL, NULL, 0 },
    { "eventbridge_audit_errors_total", "counter",
      "Failed writes to audit logs.",
      NGX_EB_STATS_NODE, NGX_EB_STATS_N_AUDIT_ERRORS, NULL, NULL, 0 },
    { "eventbridge_series_overflow_total", "counter",
      "Series that found no room in the metrics file.",
      NGX_EB_STATS_NODE, NGX_EB_STATS_N_SERIES_FULL, NULL, NULL, 0 }
};

#define NGX_EB_STATS_METRICS                                                  \
    (sizeof(ngx_eb_stats_metrics) / sizeof(ngx_eb_stats_metric_t))


static ngx_eb_stats_cell_t  ngx_eb_stats_nobody[NGX_EB_STATS_CELLS];


ngx_eb_stats_t *
ngx_eb_stats_attach(ngx_pool_t *pool, ngx_str_t *path, ngx_log_t *log,
    u_char *errstr, size_t errlen, ngx_err_t *err)
{
    void                  *map;
    ngx_fd_t               fd;
    ngx_str_t              none;
    ngx_uint_t             alone, tries;
    ngx_eb_stats_t        *stats;
    ngx_pool_cleanup_t    *cln;
    ngx_eb_stats_state_e   state;

    *err = 0;

    stats = ngx_pcalloc(pool, sizeof(ngx_eb_stats_t));
    if (stats == NULL) {
        goto nomem;
    }

    stats->hash = ngx_pcalloc(pool, NGX_EB_STATS_HASH * sizeof(uint16_t));
    if (stats->hash == NULL) {
        goto nomem;
    }

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        goto nomem;
    }

    stats->log = log;
    stats->fd = NGX_INVALID_FILE;

    for (tries = 0; /* void */ ; tries++) {

        fd = ngx_eb_stats_open(path->data, &alone, errstr, errlen, err);
        if (fd == NGX_INVALID_FILE) {
            return NULL;
        }

        if (ngx_eb_stats_examine(fd, &state) != NGX_OK) {
            *err = ngx_errno;
            ngx_snprintf(errstr, errlen, "reading \"%s\" failed%Z",
                         path->data);
            goto failed;
        }

        if (state == NGX_EB_STATS_VALID) {
            break;
        }

        if (tries == NGX_EB_STATS_TRIES) {
            ngx_snprintf(errstr, errlen,
                         "\"%s\" is being replaced all the time%Z",
                         path->data);
            goto failed;
        }

        if (alone && state != NGX_EB_STATS_FOREIGN) {

            if (state == NGX_EB_STATS_DAMAGED) {
                ngx_log_error(NGX_LOG_WARN, log, 0,
                              "eventbridge: metrics file \"%s\" is damaged "
                              "or of another version, counting starts anew",
                              path->data);
            }

            if (ngx_eb_stats_allocate(fd, path->data, errstr, errlen, err)
                != NGX_OK)
            {
                goto failed;
            }

            break;
        }

        /*
         * Either it is not ours, or processes that understand it still count
         * in it: a truncation would kill them with SIGBUS.  When not alone,
         * the one that was here may just have died while it made the file,
         * so look again first.
         */

        if (alone || tries > 0) {

            if (ngx_eb_stats_set_aside(path->data, log, errstr, errlen, err)
                != NGX_OK)
            {
                goto failed;
            }
        }

        (void) ngx_close_file(fd);
    }

    map = mmap(NULL, NGX_EB_STATS_SIZE, PROT_READ|PROT_WRITE, MAP_SHARED,
               fd, 0);

    if (map == MAP_FAILED) {
        *err = ngx_errno;
        ngx_snprintf(errstr, errlen, "mmap(\"%s\") failed%Z", path->data);
        goto failed;
    }

    stats->fd = fd;
    stats->header = map;
    stats->slots = (ngx_eb_stats_slot_t *)
                       ((u_char *) map + NGX_EB_STATS_HEADER_SIZE);

    cln->handler = ngx_eb_stats_cleanup;
    cln->data = stats;

    if (alone) {

        /*
         * A lock word from before a crash of the host may name a thread
         * that no kernel will ever clean up after.
         */

        if (ngx_eb_stats_init_mutex(stats->header, err) != NGX_OK) {
            ngx_snprintf(errstr, errlen,
                         "pthread_mutex_init() in \"%s\" failed%Z",
                         path->data);
            return NULL;
        }

        ngx_eb_stats_recover(stats);

        /* the layout comes last: a file without it was not finished */

        ngx_eb_stats_layout(&stats->header->layout);

        while (flock(fd, LOCK_SH) == -1) {

            if (ngx_errno != NGX_EINTR) {
                *err = ngx_errno;
                ngx_snprintf(errstr, errlen, "flock(\"%s\") failed%Z",
                             path->data);
                return NULL;
            }
        }
    }

    ngx_str_null(&none);

    stats->node = ngx_eb_stats_series(stats, NGX_EB_STATS_NODE, &none);

    return stats;

failed:

    (void) ngx_close_file(fd);

    return NULL;

nomem:

    ngx_snprintf(errstr, errlen, "no memory%Z");

    return NULL;
}


ngx_int_t
ngx_eb_stats_test(ngx_str_t *path, u_char *errstr, size_t errlen,
    ngx_err_t *err)
{
    u_char       *p, dir[NGX_MAX_PATH];
    struct stat   st;

    *err = 0;

    if (lstat((char *) path->data, &st) == 0) {

        if (!S_ISREG(st.st_mode)) {
            ngx_snprintf(errstr, errlen, "\"%V\" is not a regular file%Z",
                         path);
            return NGX_ERROR;
        }

        if (faccessat(AT_FDCWD, (char *) path->data, R_OK|W_OK, AT_EACCESS)
            == -1)
        {
            *err = ngx_errno;
            ngx_snprintf(errstr, errlen, "cannot write to \"%V\"%Z", path);
            return NGX_ERROR;
        }

        return NGX_OK;
    }

    if (ngx_errno != NGX_ENOENT || path->len >= NGX_MAX_PATH) {
        *err = ngx_errno;
        ngx_snprintf(errstr, errlen, "cannot stat \"%V\"%Z", path);
        return NGX_ERROR;
    }

    p = ngx_cpymem(dir, path->data, path->len);

    while (p > dir + 1 && p[-1] != '/') {
        p--;
    }

    *p = '\0';

    if (faccessat(AT_FDCWD, (char *) dir, W_OK|X_OK, AT_EACCESS) == -1) {
        *err = ngx_errno;
        ngx_snprintf(errstr, errlen, "cannot create files in \"%s\"%Z", dir);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * The file under the path, opened and locked: alone says that nobody else is
 * attached, and then the lock is exclusive.
 */

static ngx_fd_t
ngx_eb_stats_open(u_char *path, ngx_uint_t *alone, u_char *errstr,
    size_t errlen, ngx_err_t *err)
{
    ngx_fd_t     fd;
    ngx_int_t    rc;
    ngx_uint_t   tries;
    struct stat  st;

    for (tries = 0; tries < NGX_EB_STATS_TRIES; tries++) {

        fd = open((char *) path,
                  O_RDWR|O_CREAT|O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK, 0640);

        if (fd == NGX_INVALID_FILE) {
            *err = ngx_errno;
            ngx_snprintf(errstr, errlen, "open(\"%s\") failed%Z", path);
            return NGX_INVALID_FILE;
        }

        if (fstat(fd, &st) == -1) {
            *err = ngx_errno;
            ngx_snprintf(errstr, errlen, "fstat(\"%s\") failed%Z", path);
            goto failed;
        }

        if (!S_ISREG(st.st_mode)) {
            ngx_snprintf(errstr, errlen, "\"%s\" is not a regular file%Z",
                         path);
            goto failed;
        }

        if (ngx_eb_stats_lock_file(fd, alone) != NGX_OK) {
            *err = ngx_errno;
            ngx_snprintf(errstr, errlen, "flock(\"%s\") failed%Z", path);
            goto failed;
        }

        /* while we waited for the lock, another may have replaced the file */

        rc = ngx_eb_stats_same_file(fd, path);

        if (rc == NGX_OK) {
            return fd;
        }

        if (rc == NGX_ERROR) {
            *err = ngx_errno;
            ngx_snprintf(errstr, errlen, "stat(\"%s\") failed%Z", path);
            goto failed;
        }

        (void) ngx_close_file(fd);
    }

    ngx_snprintf(errstr, errlen, "\"%s\" is being replaced all the time%Z",
                 path);

    return NGX_INVALID_FILE;

failed:

    (void) ngx_close_file(fd);

    return NGX_INVALID_FILE;
}


static ngx_int_t
ngx_eb_stats_lock_file(ngx_fd_t fd, ngx_uint_t *alone)
{
    for ( ;; ) {

        if (flock(fd, LOCK_EX|LOCK_NB) == 0) {
            *alone = 1;
            return NGX_OK;
        }

        if (ngx_errno != NGX_EINTR) {
            break;
        }
    }

    if (ngx_errno != EWOULDBLOCK) {
        return NGX_ERROR;
    }

    /* waits only for one that makes or repairs the file right now */

    while (flock(fd, LOCK_SH) == -1) {

        if (ngx_errno != NGX_EINTR) {
            return NGX_ERROR;
        }
    }

    *alone = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_eb_stats_same_file(ngx_fd_t fd, u_char *path)
{
    struct stat  st, now;

    if (fstat(fd, &st) == -1) {
        return NGX_ERROR;
    }

    if (lstat((char *) path, &now) == -1) {
        return (ngx_errno == NGX_ENOENT) ? NGX_DECLINED : NGX_ERROR;
    }

    if (st.st_dev != now.st_dev || st.st_ino != now.st_ino) {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_stats_examine(ngx_fd_t fd, ngx_eb_stats_state_e *state)
{
    ssize_t                n;
    struct stat            st;
    static u_char          zero[8];
    ngx_eb_stats_layout_t  layout, found;

    if (fstat(fd, &st) == -1) {
        return NGX_ERROR;
    }

    if (st.st_size == 0) {
        *state = NGX_EB_STATS_EMPTY;
        return NGX_OK;
    }

    ngx_memzero(&found, sizeof(ngx_eb_stats_layout_t));

    do {
        n = pread(fd, &found, sizeof(ngx_eb_stats_layout_t), 0);
    } while (n == -1 && ngx_errno == NGX_EINTR);

    if (n == -1) {
        return NGX_ERROR;
    }

    ngx_eb_stats_layout(&layout);

    if (st.st_size == (off_t) NGX_EB_STATS_SIZE
        && ngx_memcmp(&found, &layout, sizeof(ngx_eb_stats_layout_t)) == 0)
    {
        *state = NGX_EB_STATS_VALID;

    } else if (ngx_memcmp(found.magic, layout.magic, 8) == 0) {
        *state = NGX_EB_STATS_DAMAGED;

    } else if (st.st_size == (off_t) NGX_EB_STATS_SIZE
               && ngx_memcmp(found.magic, zero, 8) == 0)
    {
        /* one that died before it was finished */
        *state = NGX_EB_STATS_EMPTY;

    } else {
        *state = NGX_EB_STATS_FOREIGN;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_stats_set_aside(u_char *path, ngx_log_t *log, u_char *errstr,
    size_t errlen, ngx_err_t *err)
{
    u_char  *last, old[NGX_MAX_PATH];

    last = ngx_snprintf(old, NGX_MAX_PATH, "%s.old%Z", path);

    if (last[-1] != '\0') {
        *err = 0;
        ngx_snprintf(errstr, errlen, "\"%s\" is too long%Z", path);
        return NGX_ERROR;
    }

    if (rename((char *) path, (char *) old) == -1 && ngx_errno != NGX_ENOENT) {
        *err = ngx_errno;
        ngx_snprintf(errstr, errlen, "rename(\"%s\", \"%s\") failed%Z",
                     path, old);
        return NGX_ERROR;
    }

    ngx_log_error(NGX_LOG_WARN, log, 0,
                  "eventbridge: \"%s\" is not a metrics file of this version, "
                  "it is now \"%s\", counting starts anew", path, old);

    return NGX_OK;
}


static ngx_int_t
ngx_eb_stats_allocate(ngx_fd_t fd, u_char *path, u_char *errstr,
    size_t errlen, ngx_err_t *err)
{
    int  rc;

    if (ftruncate(fd, 0) == -1) {
        *err = ngx_errno;
        ngx_snprintf(errstr, errlen, "ftruncate(\"%s\") failed%Z", path);
        return NGX_ERROR;
    }

    /* a full disk is to be an error now, not a SIGBUS later */

    do {
        rc = posix_fallocate(fd, 0, NGX_EB_STATS_SIZE);
    } while (rc == NGX_EINTR);

    if (rc != 0) {
        *err = rc;
        ngx_snprintf(errstr, errlen, "posix_fallocate(\"%s\", %uz) failed%Z",
                     path, NGX_EB_STATS_SIZE);

        /* what is half made shall not take the room that is missing */
        if (ftruncate(fd, 0) == -1) {
            /* the error above says what matters */
        }

        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_stats_init_mutex(ngx_eb_stats_header_t *header, ngx_err_t *err)
{
    int                  rc;
    pthread_mutexattr_t  attr;

    rc = pthread_mutexattr_init(&attr);
    if (rc != 0) {
        *err = rc;
        return NGX_ERROR;
    }

    rc = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);

    if (rc == 0) {
        rc = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    }

    if (rc == 0) {
        ngx_memzero(&header->mutex, sizeof(pthread_mutex_t));
        rc = pthread_mutex_init(&header->mutex, &attr);
    }

    (void) pthread_mutexattr_destroy(&attr);

    if (rc != 0) {
        *err = rc;
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * Alone with the file: what a crash of the host left of it.  Pages reach the
 * disk in any order, so a slot may be there without those before it, or the
 * count without its slots.
 */

static void
ngx_eb_stats_recover(ngx_eb_stats_t *stats)
{
    uint32_t              used;
    ngx_uint_t            i;
    ngx_eb_stats_slot_t  *slot;

    used = 0;

    for (i = 0; i < NGX_EB_STATS_SLOTS; i++) {
        slot = &stats->slots[i];

        if (slot->state == 0) {
            continue;
        }

        if (!ngx_eb_stats_ready(slot)) {
            ngx_memzero(slot, sizeof(ngx_eb_stats_slot_t));
            continue;
        }

        if (i < NGX_EB_STATS_ROOM) {
            used = i + 1;
        }
    }

    stats->header->used = used;
}


static void
ngx_eb_stats_layout(ngx_eb_stats_layout_t *layout)
{
    uint64_t    hash;
    uint32_t    ends[5];
    ngx_uint_t  i;

    ends[0] = NGX_EB_STATS_KINDS;
    ends[1] = NGX_EB_STATS_L_END;
    ends[2] = NGX_EB_STATS_D_END;
    ends[3] = NGX_EB_STATS_R_END;
    ends[4] = NGX_EB_STATS_N_END;

    hash = ngx_eb_stats_hash(NGX_EB_STATS_FNV_BASIS, ends, sizeof(ends));

    for (i = 0; i < NGX_EB_STATS_LATENCY_N; i++) {
        hash = ngx_eb_stats_hash(hash, &ngx_eb_stats_latency_bounds[i].value,
                                 sizeof(int64_t));
    }

    for (i = 0; i < NGX_EB_STATS_LAG_N; i++) {
        hash = ngx_eb_stats_hash(hash, &ngx_eb_stats_lag_bounds[i].value,
                                 sizeof(int64_t));
    }

    for (i = 0; i < NGX_EB_STATS_BATCH_N; i++) {
        hash = ngx_eb_stats_hash(hash, &ngx_eb_stats_batch_bounds[i].value,
                                 sizeof(int64_t));
    }

    ngx_memcpy(layout->magic, NGX_EB_STATS_MAGIC, 8);
    layout->version = NGX_EB_STATS_VERSION;
    layout->byte_order = NGX_EB_STATS_BYTE_ORDER;
    layout->header_size = NGX_EB_STATS_HEADER_SIZE;
    layout->slot_size = NGX_EB_STATS_SLOT_SIZE;
    layout->slots = NGX_EB_STATS_SLOTS;
    layout->cells = NGX_EB_STATS_CELLS;
    layout->mutex_size = sizeof(pthread_mutex_t);
    layout->meaning = hash;
}


static void
ngx_eb_stats_cleanup(void *data)
{
    ngx_eb_stats_t *stats = data;

    (void) munmap((void *) stats->header, NGX_EB_STATS_SIZE);

    /* no LOCK_UN: children that share the lock go on counting */

    (void) ngx_close_file(stats->fd);
}


static ngx_int_t
ngx_eb_stats_lock(ngx_eb_stats_t *stats)
{
    int  rc;

    rc = pthread_mutex_lock(&stats->header->mutex);

    if (rc == EOWNERDEAD) {

        /* what its owner had begun is a slot beyond the count: no harm */

        rc = pthread_mutex_consistent(&stats->header->mutex);

        if (rc != 0) {
            (void) pthread_mutex_unlock(&stats->header->mutex);
        }
    }

    if (rc != 0) {
        ngx_log_error(NGX_LOG_ALERT, stats->log, rc,
                      "eventbridge: pthread_mutex_lock() of the metrics file "
                      "failed");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_eb_stats_unlock(ngx_eb_stats_t *stats)
{
    (void) pthread_mutex_unlock(&stats->header->mutex);
}


/* FNV-1a */

static uint64_t
ngx_eb_stats_hash(uint64_t hash, const void *data, size_t len)
{
    size_t         i;
    const u_char  *p;

    p = data;

    for (i = 0; i < len; i++) {
        hash = (hash ^ p[i]) * NGX_EB_STATS_FNV_PRIME;
    }

    return hash;
}


static uint64_t
ngx_eb_stats_check(uint32_t kind, ngx_str_t *labels)
{
    uint64_t  hash;

    hash = ngx_eb_stats_hash(NGX_EB_STATS_FNV_BASIS, &kind, sizeof(kind));

    return ngx_eb_stats_hash(hash, labels->data, labels->len);
}


/*
 * The labels as the file can hold them.  When they are too long, each long
 * value is cut and gets a hash of all of them, so that it stays distinct.
 */

static size_t
ngx_eb_stats_fit(u_char *dst, ngx_str_t *labels)
{
    size_t    len, n;
    u_char   *d, *e, *end, *p, *v;
    uint64_t  hash;

    if (labels->len == 0) {
        return 0;
    }

    if (labels->len <= NGX_EB_STATS_LABELS) {
        ngx_memcpy(dst, labels->data, labels->len);
        return labels->len;
    }

    hash = ngx_eb_stats_hash(NGX_EB_STATS_FNV_BASIS, labels->data,
                             labels->len);

    d = dst;
    p = labels->data;
    end = p + labels->len;

    for ( ;; ) {

        v = ngx_strlchr(p, end, '"');
        if (v == NULL) {
            goto hopeless;
        }

        v++;

        for (e = v; e < end && *e != '"'; e++) {
            if (*e == '\\') {
                e++;
            }
        }

        if (e >= end) {
            goto hopeless;
        }

        len = e - v;
        n = ngx_eb_stats_cut(v, len);

        /* "~", 16 digits, the quote and a comma at most */

        if ((size_t) (dst + NGX_EB_STATS_LABELS - d)
            < (size_t) (v - p) + n + 19)
        {
            goto hopeless;
        }

        d = ngx_cpymem(d, p, v - p);
        d = ngx_cpymem(d, v, n);

        if (n < len) {
            d = ngx_sprintf(d, "~%016xL", hash);
        }

        *d++ = '"';

        p = e + 1;

        if (p == end) {
            return d - dst;
        }

        if (*p != ',') {
            goto hopeless;
        }

        *d++ = ',';
        p++;
    }

hopeless:

    /* too many of them, or no labels at all: only the hash */

    return ngx_sprintf(dst, "series=\"%016xL\"", hash) - dst;
}


/* how much of a value to keep: not half an escape, not half a character */

static size_t
ngx_eb_stats_cut(u_char *value, size_t len)
{
    size_t  n, step;

    if (len <= NGX_EB_STATS_VALUE) {
        return len;
    }

    n = 0;

    for ( ;; ) {
        step = (value[n] == '\\') ? 2 : 1;

        if (n + step > NGX_EB_STATS_VALUE) {
            break;
        }

        n += step;
    }

    while (n > 0 && (value[n] & 0xc0) == 0x80) {
        n--;
    }

    return n;
}


static ngx_uint_t
ngx_eb_stats_ready(ngx_eb_stats_slot_t *slot)
{
    ngx_str_t  labels;

    if (__atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) != NGX_EB_STATS_READY
        || slot->kind >= NGX_EB_STATS_KINDS
        || slot->len > NGX_EB_STATS_LABELS)
    {
        return 0;
    }

    labels.len = slot->len;
    labels.data = slot->labels;

    return slot->check == ngx_eb_stats_check(slot->kind, &labels);
}


static void
ngx_eb_stats_publish(ngx_eb_stats_slot_t *slot, uint32_t kind,
    ngx_str_t *labels, uint64_t check)
{
    /* it may hold what a process began that was killed */

    ngx_memzero(slot, sizeof(ngx_eb_stats_slot_t));

    slot->kind = kind;
    slot->check = check;
    slot->len = (uint16_t) labels->len;
    ngx_memcpy(slot->labels, labels->data, labels->len);

    __atomic_store_n(&slot->state, NGX_EB_STATS_READY, __ATOMIC_RELEASE);
}


static ngx_eb_stats_slot_t *
ngx_eb_stats_find(ngx_eb_stats_t *stats, uint32_t kind, ngx_str_t *labels,
    uint64_t check)
{
    ngx_uint_t            i;
    ngx_eb_stats_slot_t  *slot;

    for (i = check; /* void */ ; i++) {
        i &= NGX_EB_STATS_HASH - 1;

        if (stats->hash[i] == 0) {
            return NULL;
        }

        slot = &stats->slots[stats->hash[i] - 1];

        if (slot->check == check
            && slot->kind == kind
            && slot->len == labels->len
            && ngx_memcmp(slot->labels, labels->data, labels->len) == 0)
        {
            return slot;
        }
    }
}


/* the slots that were appended, by whomever, since the last time */

static void
ngx_eb_stats_index(ngx_eb_stats_t *stats)
{
    ngx_str_t             labels;
    ngx_uint_t            i, used;
    ngx_eb_stats_slot_t  *slot;

    used = __atomic_load_n(&stats->header->used, __ATOMIC_ACQUIRE);
    used = ngx_min(used, NGX_EB_STATS_ROOM);

    for ( /* void */ ; stats->indexed < used; stats->indexed++) {
        slot = &stats->slots[stats->indexed];

        if (!ngx_eb_stats_ready(slot)) {
            continue;
        }

        labels.len = slot->len;
        labels.data = slot->labels;

        if (ngx_eb_stats_find(stats, slot->kind, &labels, slot->check)) {
            continue;
        }

        for (i = slot->check; /* void */ ; i++) {
            i &= NGX_EB_STATS_HASH - 1;

            if (stats->hash[i] == 0) {
                stats->hash[i] = (uint16_t) (stats->indexed + 1);
                break;
            }
        }
    }
}


ngx_eb_stats_cell_t *
ngx_eb_stats_series(ngx_eb_stats_t *stats, ngx_eb_stats_kind_e kind,
    ngx_str_t *labels)
{
    u_char                buf[NGX_EB_STATS_LABELS];
    uint64_t              check;
    ngx_str_t             text;
    ngx_eb_stats_slot_t  *slot;

    if (stats == NULL) {
        return ngx_eb_stats_nobody;
    }

    text.len = ngx_eb_stats_fit(buf, labels);
    text.data = buf;

    check = ngx_eb_stats_check(kind, &text);

    ngx_eb_stats_index(stats);

    slot = ngx_eb_stats_find(stats, kind, &text, check);
    if (slot) {
        return slot->cells;
    }

    if (ngx_eb_stats_lock(stats) != NGX_OK) {
        return ngx_eb_stats_nobody;
    }

    /* another process may have appended it while we waited */

    ngx_eb_stats_index(stats);

    slot = ngx_eb_stats_find(stats, kind, &text, check);

    if (slot == NULL) {
        slot = ngx_eb_stats_append(stats, kind, &text, check);
    }

    ngx_eb_stats_unlock(stats);

    return slot->cells;
}


static ngx_eb_stats_slot_t *
ngx_eb_stats_append(ngx_eb_stats_t *stats, uint32_t kind, ngx_str_t *labels,
    uint64_t check)
{
    uint32_t              used;
    ngx_eb_stats_slot_t  *slot;
    static ngx_str_t      overflow = ngx_string("overflow=\"true\"");

    used = stats->header->used;

    if (used < NGX_EB_STATS_ROOM) {
        slot = &stats->slots[used];

        ngx_eb_stats_publish(slot, kind, labels, check);

        __atomic_store_n(&stats->header->used, used + 1, __ATOMIC_RELEASE);

        ngx_eb_stats_index(stats);

        return slot;
    }

    slot = &stats->slots[NGX_EB_STATS_ROOM + kind];

    if (!ngx_eb_stats_ready(slot)) {
        ngx_eb_stats_publish(slot, kind, &overflow,
                             ngx_eb_stats_check(kind, &overflow));

        ngx_log_error(NGX_LOG_WARN, stats->log, 0,
                      "eventbridge: the metrics file has no room for more "
                      "series, they are counted together");
    }

    /* NULL: the file was full before it had a node series */

    if (stats->node) {
        ngx_eb_stats_add(stats->node, NGX_EB_STATS_N_SERIES_FULL, 1);
    }

    return slot;
}


void
ngx_eb_stats_observe_lag(ngx_eb_stats_cell_t *cells, int64_t msec)
{
    ngx_eb_stats_observe(cells, NGX_EB_STATS_L_LAG_HIST, &ngx_eb_stats_lag,
                         msec);
}


void
ngx_eb_stats_observe_batch(ngx_eb_stats_cell_t *cells, ngx_uint_t n)
{
    ngx_eb_stats_observe(cells, NGX_EB_STATS_L_BATCH_HIST,
                         &ngx_eb_stats_batch, (int64_t) n);
}


void
ngx_eb_stats_observe_latency(ngx_eb_stats_cell_t *cells, int64_t msec)
{
    ngx_eb_stats_observe(cells, NGX_EB_STATS_D_LATENCY_HIST,
                         &ngx_eb_stats_latency, msec);
}


static void
ngx_eb_stats_observe(ngx_eb_stats_cell_t *cells, ngx_uint_t first,
    const ngx_eb_stats_histogram_t *histogram, int64_t value)
{
    ngx_uint_t  i;

    /* clocks differ: an event of the future came without delay */

    if (value < 0) {
        value = 0;
    }

    for (i = 0; i < histogram->n; i++) {
        if (value <= histogram->bounds[i].value) {
            break;
        }
    }

    ngx_eb_stats_add(cells, first + i, 1);
    ngx_eb_stats_add(cells, first + histogram->n + 1, value);
}


ngx_int_t
ngx_eb_stats_render(ngx_eb_stats_t *stats, ngx_pool_t *pool,
    ngx_eb_stats_extra_t *extra, ngx_uint_t nextra, ngx_str_t *text)
{
    size_t                 size;
    u_char                *start;
    ngx_uint_t             n;
    ngx_eb_out_t           out;
    ngx_eb_stats_slot_t  **list;

    list = NULL;
    n = 0;

    if (stats) {
        list = ngx_palloc(pool,
                          NGX_EB_STATS_SLOTS * sizeof(ngx_eb_stats_slot_t *));
        if (list == NULL) {
            return NGX_ERROR;
        }

        n = ngx_eb_stats_gather(stats, list);
    }

    size = ngx_eb_stats_estimate(list, n, extra, nextra);

    for ( ;; ) {
        start = ngx_palloc(pool, size);
        if (start == NULL) {
            return NGX_ERROR;
        }

        ngx_eb_out_init(&out, start, size);

        ngx_eb_stats_print(&out, list, n);
        ngx_eb_stats_print_extra(&out, extra, nextra);

        if (!out.truncated) {
            break;
        }

        (void) ngx_pfree(pool, start);

        size *= 2;
    }

    if (list) {
        (void) ngx_pfree(pool, list);
    }

    text->data = start;
    text->len = out.pos - start;

    return NGX_OK;
}


static ngx_uint_t
ngx_eb_stats_gather(ngx_eb_stats_t *stats, ngx_eb_stats_slot_t **list)
{
    ngx_str_t             labels;
    ngx_uint_t            i, n;
    ngx_eb_stats_slot_t  *slot;

    ngx_eb_stats_index(stats);

    n = 0;

    for (i = 0; i < stats->indexed; i++) {
        slot = &stats->slots[i];

        if (!ngx_eb_stats_ready(slot)) {
            continue;
        }

        labels.len = slot->len;
        labels.data = slot->labels;

        /* a second one of the same name would spoil the whole scrape */

        if (ngx_eb_stats_find(stats, slot->kind, &labels, slot->check)
            == slot)
        {
            list[n++] = slot;
        }
    }

    for (i = NGX_EB_STATS_ROOM; i < NGX_EB_STATS_SLOTS; i++) {
        slot = &stats->slots[i];

        if (ngx_eb_stats_ready(slot)
            && slot->kind == i - NGX_EB_STATS_ROOM)
        {
            list[n++] = slot;
        }
    }

    return n;
}


/* one allocation should do; when it does not, the caller doubles it */

static size_t
ngx_eb_stats_estimate(ngx_eb_stats_slot_t **list, ngx_uint_t n,
    ngx_eb_stats_extra_t *extra, ngx_uint_t nextra)
{
    size_t                        size, names[NGX_EB_STATS_KINDS];
    size_t                        lines[NGX_EB_STATS_KINDS];
    ngx_uint_t                    i, k;
    const ngx_eb_stats_metric_t  *metric;

    ngx_memzero(names, sizeof(names));
    ngx_memzero(lines, sizeof(lines));

    size = 4096;

    for (i = 0; i < NGX_EB_STATS_METRICS; i++) {
        metric = &ngx_eb_stats_metrics[i];

        k = metric->histogram ? metric->histogram->n + 3 : 1;

        /* suffix, braces, an additional label, a number */

        names[metric->kind] += k * (ngx_strlen(metric->name) + 48);
        lines[metric->kind] += k;

        size += 2 * ngx_strlen(metric->name) + ngx_strlen(metric->help) + 48;
    }

    for (i = 0; i < n; i++) {
        k = list[i]->kind;
        size += names[k] + lines[k] * list[i]->len;
    }

    for (i = 0; i < nextra; i++) {
        size += 3 * ngx_strlen(extra[i].name) + ngx_strlen(extra[i].help)
                + extra[i].labels.len + 96;
    }

    return size;
}


static void
ngx_eb_stats_print(ngx_eb_out_t *out, ngx_eb_stats_slot_t **list,
    ngx_uint_t n)
{
    int64_t                       value;
    ngx_str_t                     labels;
    const char                   *last;
    ngx_uint_t                    i, k;
    ngx_eb_stats_slot_t          *slot;
    const ngx_eb_stats_metric_t  *metric;

    last = "";

    for (i = 0; i < NGX_EB_STATS_METRICS; i++) {
        metric = &ngx_eb_stats_metrics[i];

        for (k = 0; k < n; k++) {
            slot = list[k];

            if (slot->kind != (uint32_t) metric->kind) {
                continue;
            }

            if (ngx_strcmp(metric->name, last) != 0) {
                last = metric->name;
                ngx_eb_stats_print_head(out, metric->name, metric->type,
                                        metric->help);
            }

            labels.len = slot->len;
            labels.data = slot->labels;

            if (metric->histogram) {
                ngx_eb_stats_print_histogram(out, metric, slot, &labels);
                continue;
            }

            ngx_eb_stats_print_name(out, metric->name, "", &labels,
                                    metric->label, NULL);

            value = slot->cells[metric->cell];

            if (metric->msec) {
                ngx_eb_out_ms(out, value);

            } else {
                ngx_eb_out_int(out, value);
            }

            ngx_eb_out_lit(out, "\n");
        }
    }
}


static void
ngx_eb_stats_print_extra(ngx_eb_out_t *out, ngx_eb_stats_extra_t *extra,
    ngx_uint_t n)
{
    ngx_uint_t   i;
    const char  *last;

    last = "";

    for (i = 0; i < n; i++) {

        if (ngx_strcmp(extra[i].name, last) != 0) {
            last = extra[i].name;
            ngx_eb_stats_print_head(out, extra[i].name, extra[i].type,
                                    extra[i].help);
        }

        ngx_eb_stats_print_name(out, extra[i].name, "", &extra[i].labels,
                                NULL, NULL);
        ngx_eb_stats_print_double(out, extra[i].value);
        ngx_eb_out_lit(out, "\n");
    }
}


static void
ngx_eb_stats_print_head(ngx_eb_out_t *out, const char *name,
    const char *type, const char *help)
{
    const char  *p, *s;

    ngx_eb_out_lit(out, "# HELP ");
    ngx_eb_stats_text(out, name);
    ngx_eb_out_lit(out, " ");

    for (p = s = help; *p; p++) {

        if (*p == '\\' || *p == '\n') {
            ngx_eb_out_raw(out, s, p - s);
            ngx_eb_stats_text(out, *p == '\\' ? "\\\\" : "\\n");
            s = p + 1;
        }
    }

    ngx_eb_out_raw(out, s, p - s);

    ngx_eb_out_lit(out, "\n# TYPE ");
    ngx_eb_stats_text(out, name);
    ngx_eb_out_lit(out, " ");
    ngx_eb_stats_text(out, type);
    ngx_eb_out_lit(out, "\n");
}


static void
ngx_eb_stats_print_name(ngx_eb_out_t *out, const char *name,
    const char *suffix, ngx_str_t *labels, const char *label, const char *le)
{
    const char  *before;

    ngx_eb_stats_text(out, name);
    ngx_eb_stats_text(out, suffix);

    before = "{";

    if (labels->len) {
        ngx_eb_stats_text(out, before);
        ngx_eb_out_raw(out, labels->data, labels->len);
        before = ",";
    }

    if (label) {
        ngx_eb_stats_text(out, before);
        ngx_eb_stats_text(out, label);
        before = ",";
    }

    if (le) {
        ngx_eb_stats_text(out, before);
        ngx_eb_out_lit(out, "le=\"");
        ngx_eb_stats_text(out, le);
        ngx_eb_out_lit(out, "\"");
        before = ",";
    }

    ngx_eb_stats_text(out, *before == ',' ? "} " : " ");
}


static void
ngx_eb_stats_print_histogram(ngx_eb_out_t *out,
    const ngx_eb_stats_metric_t *metric, ngx_eb_stats_slot_t *slot,
    ngx_str_t *labels)
{
    int64_t                          count, sum;
    ngx_uint_t                       i;
    const ngx_eb_stats_histogram_t  *histogram;

    histogram = metric->histogram;

    count = 0;

    for (i = 0; i <= histogram->n; i++) {
        count += slot->cells[metric->cell + i];

        ngx_eb_stats_print_name(out, metric->name, "_bucket", labels,
                                metric->label,
                                i < histogram->n ? histogram->bounds[i].text
                                                 : "+Inf");
        ngx_eb_out_int(out, count);
        ngx_eb_out_lit(out, "\n");
    }

    sum = slot->cells[metric->cell + histogram->n + 1];

    ngx_eb_stats_print_name(out, metric->name, "_sum", labels, metric->label,
                            NULL);

    if (histogram->msec) {
        ngx_eb_out_ms(out, sum);

    } else {
        ngx_eb_out_int(out, sum);
    }

    ngx_eb_out_lit(out, "\n");

    /* the sum of the buckets: a scrape never contradicts itself */

    ngx_eb_stats_print_name(out, metric->name, "_count", labels,
                            metric->label, NULL);
    ngx_eb_out_int(out, count);
    ngx_eb_out_lit(out, "\n");
}


static void
ngx_eb_stats_print_double(ngx_eb_out_t *out, double value)
{
    char  *p, buf[64];

    if (isnan(value)) {
        ngx_eb_out_lit(out, "NaN");
        return;
    }

    if (isinf(value)) {
        ngx_eb_stats_text(out, value > 0 ? "+Inf" : "-Inf");
        return;
    }

    /* a locale that some library has set may write a comma */

    (void) snprintf(buf, sizeof(buf), "%.15g", value);

    for (p = buf; *p; p++) {
        if (*p == ',') {
            *p = '.';
        }
    }

    ngx_eb_stats_text(out, buf);
}


static void
ngx_eb_stats_text(ngx_eb_out_t *out, const char *text)
{
    ngx_eb_out_raw(out, text, ngx_strlen(text));
}
