
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What the cells of the stats file mean, and their Prometheus text, labels
 * included.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <math.h>
#include "ngx_eb_out.h"
#include "ngx_eb_stats.h"
#include "ngx_eb_stats_file.h"


/* of a label's value, when all labels together are too long */
#define NGX_EB_STATS_VALUE         128


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
    ngx_uint_t                      msec;       /* 1/1000 of what is printed */
} ngx_eb_stats_metric_t;


static void ngx_eb_stats_observe(ngx_eb_stats_cell_t *cells, ngx_uint_t first,
    const ngx_eb_stats_histogram_t *histogram, int64_t value);
static ngx_uint_t ngx_eb_stats_bucket(
    const ngx_eb_stats_histogram_t *histogram, int64_t value);
static size_t ngx_eb_stats_cut(u_char *value, size_t len);
static size_t ngx_eb_stats_estimate(ngx_eb_stats_printed_t *list,
    ngx_uint_t n, ngx_eb_stats_extra_t *extra, ngx_uint_t nextra);
static void ngx_eb_stats_print(ngx_eb_out_t *out, ngx_eb_stats_printed_t *list,
    ngx_uint_t n);
static void ngx_eb_stats_print_extra(ngx_eb_out_t *out,
    ngx_eb_stats_extra_t *extra, ngx_uint_t n);
static void ngx_eb_stats_print_head(ngx_eb_out_t *out, const char *name,
    const char *type, const char *help);
static void ngx_eb_stats_print_name(ngx_eb_out_t *out, const char *name,
    const char *suffix, ngx_str_t *labels, const char *label, const char *le);
static void ngx_eb_stats_print_histogram(ngx_eb_out_t *out,
    const ngx_eb_stats_metric_t *metric, ngx_eb_stats_printed_t *series);
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
    NGX_EB_STATS_L_UNAUTHORIZED - NGX_EB_STATS_L_BATCH_HIST
    == NGX_EB_STATS_BATCH_N + 2 ? 1 : -1];
typedef char  ngx_eb_stats_assert_latency[
    NGX_EB_STATS_D_REFUSED - NGX_EB_STATS_D_LATENCY_HIST
    == NGX_EB_STATS_LATENCY_N + 2 ? 1 : -1];
typedef char  ngx_eb_stats_assert_call[
    NGX_EB_STATS_C_END - NGX_EB_STATS_C_LATENCY_HIST
    == NGX_EB_STATS_LATENCY_N + 2 ? 1 : -1];
typedef char  ngx_eb_stats_assert_resolve[
    NGX_EB_STATS_O_END - NGX_EB_STATS_O_RESOLVE_HIST
    == NGX_EB_STATS_LATENCY_N + 2 ? 1 : -1];
typedef char  ngx_eb_stats_assert_cells[
    NGX_EB_STATS_L_END <= NGX_EB_STATS_CELLS ? 1 : -1];


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

#define NGX_EB_STATS_HELP_CALLS                                               \
    "Requests to the API of Genesys Cloud, by answer; none: no answer."

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
      "Events that were settled: forwarded, duplicate, dropped or dead.",
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
    { "eventbridge_events_dead_total", "counter",
      "Events that went to the dead letter.",
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_DEAD, NULL, NULL, 0 },
    { "eventbridge_events_replayed_total", "counter",
      "Events of the dead letter that were delivered.",
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_REPLAYED, NULL, NULL, 0 },
    { "eventbridge_route_regex_errors_total", "counter",
      "Regular expressions of routes that hit a limit.",
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_REGEX_ERRORS, NULL, NULL, 0 },
    { "eventbridge_rate_limited_events_total", "counter",
      "Events in batches that were refused because too many had come.",
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_RATE_LIMITED, NULL, NULL, 0 },
    { "eventbridge_overload_total", "counter",
      "Requests that were refused because too much was being delivered.",
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_OVERLOAD, NULL, NULL, 0 },
    { "eventbridge_unauthorized_total", "counter",
      "Requests that were refused by eventbridge_auth.",
      NGX_EB_STATS_LOCATION, NGX_EB_STATS_L_UNAUTHORIZED, NULL, NULL, 0 },

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
    { "eventbridge_destination_refused_events_total", "counter",
      "Events that were refused at once because the destination was down.",
      NGX_EB_STATS_DESTINATION, NGX_EB_STATS_D_REFUSED, NULL, NULL, 0 },
    { "eventbridge_destination_alternate_events_total", "counter",
      "Events that the destination's alternate took in its place.",
      NGX_EB_STATS_DESTINATION, NGX_EB_STATS_D_ALTERNATE, NULL, NULL, 0 },
    { "eventbridge_destination_bytes_total", "counter",
      "Bytes of the bodies that were sent to the destination.",
      NGX_EB_STATS_DESTINATION, NGX_EB_STATS_D_BYTES, NULL, NULL, 0 },
    { "eventbridge_destination_down_since_seconds", "gauge",
      "When the destination first failed, since the epoch; 0: it is up.",
      NGX_EB_STATS_DESTINATION, NGX_EB_STATS_D_DOWN_SINCE, NULL, NULL, 0 },
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

    { "eventbridge_genesys_requests_total", "counter",
      NGX_EB_STATS_HELP_CALLS,
      NGX_EB_STATS_CALL, NGX_EB_STATS_C_2XX, "result=\"2xx\"", NULL, 0 },
    { "eventbridge_genesys_requests_total", "counter",
      NGX_EB_STATS_HELP_CALLS,
      NGX_EB_STATS_CALL, NGX_EB_STATS_C_4XX, "result=\"4xx\"", NULL, 0 },
    { "eventbridge_genesys_requests_total", "counter",
      NGX_EB_STATS_HELP_CALLS,
      NGX_EB_STATS_CALL, NGX_EB_STATS_C_429, "result=\"429\"", NULL, 0 },
    { "eventbridge_genesys_requests_total", "counter",
      NGX_EB_STATS_HELP_CALLS,
      NGX_EB_STATS_CALL, NGX_EB_STATS_C_5XX, "result=\"5xx\"", NULL, 0 },
    { "eventbridge_genesys_requests_total", "counter",
      NGX_EB_STATS_HELP_CALLS,
      NGX_EB_STATS_CALL, NGX_EB_STATS_C_NO_STATUS, "result=\"none\"", NULL, 0 },
    { "eventbridge_genesys_request_retries_total", "counter",
      "Requests to the API of Genesys Cloud that were sent again.",
      NGX_EB_STATS_CALL, NGX_EB_STATS_C_RETRIES, NULL, NULL, 0 },
    { "eventbridge_genesys_request_duration_seconds", "histogram",
      "Time that a request to the API of Genesys Cloud took.",
      NGX_EB_STATS_CALL, NGX_EB_STATS_C_LATENCY_HIST, NULL,
      &ngx_eb_stats_latency, 1 },

    { "eventbridge_genesys_adjustments_total", "counter",
      "Retention policies that were to be changed.",
      NGX_EB_STATS_ORGANISATION, NGX_EB_STATS_O_ADJUSTMENTS, NULL, NULL, 0 },
    { "eventbridge_genesys_migrations_total", "counter",
      "Changes of retention policies whose migration is known to be over.",
      NGX_EB_STATS_ORGANISATION, NGX_EB_STATS_O_MIGRATIONS, NULL, NULL, 0 },
    { "eventbridge_genesys_adjustment_seconds_total", "counter",
      "Time that changes of retention policies took.",
      NGX_EB_STATS_ORGANISATION, NGX_EB_STATS_O_ADJUST_MSEC, NULL, NULL, 1 },
    { "eventbridge_genesys_adjustment_cost_usd_total", "counter",
      "Estimated cost of the storage that changed retention policies ask for.",
      NGX_EB_STATS_ORGANISATION, NGX_EB_STATS_O_COST, NULL, NULL, 1 },
    { "eventbridge_genesys_resolves_total", "counter",
      "Integrations whose endpoints were to be resolved.",
      NGX_EB_STATS_ORGANISATION, NGX_EB_STATS_O_RESOLVES, NULL, NULL, 0 },
    { "eventbridge_genesys_resolves_successful_total", "counter",
      "Those that were deployed, or were already.",
      NGX_EB_STATS_ORGANISATION, NGX_EB_STATS_O_RESOLVED, NULL, NULL, 0 },
    { "eventbridge_genesys_endpoints_probed_total", "counter",
      "Endpoints that were probed for them.",
      NGX_EB_STATS_ORGANISATION, NGX_EB_STATS_O_PROBES, NULL, NULL, 0 },
    { "eventbridge_genesys_endpoints_reachable_total", "counter",
      "Endpoints that were found to be reachable, trusted and healthy.",
      NGX_EB_STATS_ORGANISATION, NGX_EB_STATS_O_REACHABLE, NULL, NULL, 0 },
    { "eventbridge_genesys_resolve_duration_seconds", "histogram",
      "Time that a resolve took, probes included.",
      NGX_EB_STATS_ORGANISATION, NGX_EB_STATS_O_RESOLVE_HIST, NULL,
      &ngx_eb_stats_latency, 1 },

    { "eventbridge_lifecycle_invalid_total", "counter",
      "Events that a tracker could not use.",
      NGX_EB_STATS_LIFECYCLE, NGX_EB_STATS_T_INVALID, NULL, NULL, 0 },
    { "eventbridge_lifecycle_ignored_total", "counter",
      "Events that a tracker was sent and that are about no state.",
      NGX_EB_STATS_LIFECYCLE, NGX_EB_STATS_T_IGNORED, NULL, NULL, 0 },
    { "eventbridge_lifecycle_poll_failures_total", "counter",
      "Polls of a tracker that failed.",
      NGX_EB_STATS_LIFECYCLE, NGX_EB_STATS_T_POLL_FAILED, NULL, NULL, 0 },
    { "eventbridge_lifecycle_poll_lag_seconds", "gauge",
      "Age of the newest event when it was polled.",
      NGX_EB_STATS_LIFECYCLE, NGX_EB_STATS_T_LAG, NULL, NULL, 1 },

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
      NGX_EB_STATS_NODE, NGX_EB_STATS_N_SERIES_FULL, NULL, NULL, 0 },
    { "eventbridge_dead_letter_waiting", "gauge",
      "Dead letters of outages that the last look found undelivered.",
      NGX_EB_STATS_NODE, NGX_EB_STATS_N_REPLAY_LEFT, NULL, NULL, 0 }
};

#define NGX_EB_STATS_METRICS                                                  \
    (sizeof(ngx_eb_stats_metrics) / sizeof(ngx_eb_stats_metric_t))


uint64_t
ngx_eb_stats_bounds(uint64_t hash)
{
    ngx_uint_t  i;

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

    return hash;
}


void
ngx_eb_stats_count_lag(ngx_eb_stats_cell_t *counts, int64_t msec)
{
    ngx_eb_stats_cell_t  *cells;

    /* clocks differ: an event of the future came without delay */

    msec = ngx_max(msec, 0);

    cells = &counts[NGX_EB_STATS_L_LAG_HIST];

    cells[ngx_eb_stats_bucket(&ngx_eb_stats_lag, msec)] += 1;
    cells[NGX_EB_STATS_LAG_N + 1] += msec;
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


void
ngx_eb_stats_observe_call(ngx_eb_stats_cell_t *cells, int64_t msec)
{
    ngx_eb_stats_observe(cells, NGX_EB_STATS_C_LATENCY_HIST,
                         &ngx_eb_stats_latency, msec);
}


void
ngx_eb_stats_observe_resolve(ngx_eb_stats_cell_t *cells, int64_t msec)
{
    ngx_eb_stats_observe(cells, NGX_EB_STATS_O_RESOLVE_HIST,
                         &ngx_eb_stats_latency, msec);
}


static void
ngx_eb_stats_observe(ngx_eb_stats_cell_t *cells, ngx_uint_t first,
    const ngx_eb_stats_histogram_t *histogram, int64_t value)
{
    value = ngx_max(value, 0);

    ngx_eb_stats_add(cells, first + ngx_eb_stats_bucket(histogram, value), 1);
    ngx_eb_stats_add(cells, first + histogram->n + 1, value);
}


/* the last one, beyond the bounds, is +Inf */

static ngx_uint_t
ngx_eb_stats_bucket(const ngx_eb_stats_histogram_t *histogram, int64_t value)
{
    ngx_uint_t  i;

    for (i = 0; i < histogram->n; i++) {
        if (value <= histogram->bounds[i].value) {
            break;
        }
    }

    return i;
}


ngx_int_t
ngx_eb_stats_render(ngx_eb_stats_t *stats, ngx_pool_t *pool,
    ngx_eb_stats_extra_t *extra, ngx_uint_t nextra, ngx_str_t *text)
{
    size_t                   size;
    u_char                  *start;
    ngx_uint_t               n;
    ngx_eb_out_t             out;
    ngx_eb_stats_printed_t  *list;

    list = NULL;
    n = 0;

    if (stats) {
        list = ngx_palloc(pool, NGX_EB_STATS_SLOTS
                                * sizeof(ngx_eb_stats_printed_t));
        if (list == NULL) {
            return NGX_ERROR;
        }

        if (ngx_eb_stats_gather(stats, pool, list, &n) != NGX_OK) {
            return NGX_ERROR;
        }
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


size_t
ngx_eb_stats_fit(u_char *dst, ngx_str_t *labels)
{
    size_t    len, n;
    u_char   *d, *e, *end, *p, *v;
    uint64_t  hash;

    if (labels->len == 0) {
        return 0;
    }

    hash = ngx_eb_stats_hash(NGX_EB_STATS_FNV_BASIS, labels->data,
                             labels->len);

    if (labels->len <= NGX_EB_STATS_LABELS) {

        if (!ngx_eb_stats_printable(labels->data, labels->len)) {
            goto hopeless;
        }

        ngx_memcpy(dst, labels->data, labels->len);
        return labels->len;
    }

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

            if (!ngx_eb_stats_printable(dst, d - dst)) {
                goto hopeless;
            }

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


ngx_uint_t
ngx_eb_stats_printable(u_char *labels, size_t len)
{
    u_char        *d, *end, *p, *start;
    u_char         text[NGX_EB_STATS_LABELS], again[NGX_EB_STATS_LABELS];
    ngx_str_t      value;
    ngx_eb_out_t   out;

    if (len == 0) {
        return 1;
    }

    if (len > NGX_EB_STATS_LABELS) {
        return 0;
    }

    p = labels;
    end = p + len;

    for ( ;; ) {
        start = p;

        while (p < end
               && ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')
                   || *p == '_' || (p > start && *p >= '0' && *p <= '9')))
        {
            p++;
        }

        if (p == start || end - p < 3 || p[0] != '=' || p[1] != '"') {
            return 0;
        }

        /* the value without escapes, written again, has to be the same */

        start = ++p;
        d = text;

        for (p++; p < end && *p != '"'; p++) {

            if (*p < 0x20 || *p == 0x7f) {
                return 0;
            }

            if (*p != '\\') {
                *d++ = *p;
                continue;
            }

            if (++p == end) {
                return 0;
            }

            *d++ = (*p == 'n') ? LF : *p;
        }

        if (p == end) {
            return 0;
        }

        p++;

        value.data = text;
        value.len = d - text;

        ngx_eb_out_init(&out, again, sizeof(again));
        ngx_eb_out_label(&out, &value, value.len);

        if (out.truncated
            || out.pos - again != p - start
            || ngx_memcmp(again, start, p - start) != 0)
        {
            return 0;
        }

        if (p == end) {
            return 1;
        }

        if (*p++ != ',') {
            return 0;
        }
    }
}


/* one allocation should do; when it does not, the caller doubles it */

static size_t
ngx_eb_stats_estimate(ngx_eb_stats_printed_t *list, ngx_uint_t n,
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
        k = list[i].kind;
        size += names[k] + lines[k] * list[i].labels.len;
    }

    for (i = 0; i < nextra; i++) {
        size += 3 * ngx_strlen(extra[i].name) + ngx_strlen(extra[i].help)
                + extra[i].labels.len + 96;
    }

    return size;
}


static void
ngx_eb_stats_print(ngx_eb_out_t *out, ngx_eb_stats_printed_t *list,
    ngx_uint_t n)
{
    int64_t                       value;
    const char                   *last;
    ngx_uint_t                    i, k;
    ngx_eb_stats_printed_t       *series;
    const ngx_eb_stats_metric_t  *metric;

    last = "";

    for (i = 0; i < NGX_EB_STATS_METRICS; i++) {
        metric = &ngx_eb_stats_metrics[i];

        for (k = 0; k < n; k++) {
            series = &list[k];

            if (series->kind != (ngx_uint_t) metric->kind) {
                continue;
            }

            if (ngx_strcmp(metric->name, last) != 0) {
                last = metric->name;
                ngx_eb_stats_print_head(out, metric->name, metric->type,
                                        metric->help);
            }

            if (metric->histogram) {
                ngx_eb_stats_print_histogram(out, metric, series);
                continue;
            }

            ngx_eb_stats_print_name(out, metric->name, "", &series->labels,
                                    metric->label, NULL);

            value = series->cells[metric->cell];

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

        ngx_eb_stats_print_name(out, extra[i].name,
                                extra[i].suffix ? extra[i].suffix : "",
                                &extra[i].labels, NULL, NULL);
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
    const ngx_eb_stats_metric_t *metric, ngx_eb_stats_printed_t *series)
{
    int64_t                          sum;
    uint64_t                         count;
    ngx_str_t                       *labels;
    ngx_uint_t                       i;
    const ngx_eb_stats_histogram_t  *histogram;

    histogram = metric->histogram;
    labels = &series->labels;

    /* whatever the cells are, it does not overflow */

    count = 0;

    for (i = 0; i <= histogram->n; i++) {
        count += (uint64_t) series->cells[metric->cell + i];

        ngx_eb_stats_print_name(out, metric->name, "_bucket", labels,
                                metric->label,
                                i < histogram->n ? histogram->bounds[i].text
                                                 : "+Inf");
        ngx_eb_out_int(out, (int64_t) count);
        ngx_eb_out_lit(out, "\n");
    }

    sum = series->cells[metric->cell + histogram->n + 1];

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
    ngx_eb_out_int(out, (int64_t) count);
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
