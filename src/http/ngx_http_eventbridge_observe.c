
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What others may see: metrics, health, and the audit line of an event.
 */


#include "ngx_http_eventbridge_genesys.h"
#include "ngx_http_eventbridge_outbox.h"
#include "ngx_http_eventbridge_destination.h"
#include "ngx_http_eventbridge_lifecycle.h"


/* figures of a checkpoint that live in its own file */
#define NGX_HTTP_EVENTBRIDGE_ZONE_FIGURES  15

/* a name of 100 bytes, of which each can need three */
#define NGX_HTTP_EVENTBRIDGE_ZONE_LABELS   512

/* of a zone in the answer about health: 128 bytes, of which each can need 6 */
#define NGX_HTTP_EVENTBRIDGE_ZONE_HEALTH   1200

/* so many destinations that are down, each with 3 names of 64 bytes */
#define NGX_HTTP_EVENTBRIDGE_MAX_DOWN      16
#define NGX_HTTP_EVENTBRIDGE_DOWN_HEALTH   (128 + 3 * 6 * 64)

/* of the names of routes and destinations in an audit line */
#define NGX_HTTP_EVENTBRIDGE_NAMES         256


typedef struct {
    const char               *name;
    const char               *type;
    const char               *help;
} ngx_http_eventbridge_figure_t;


static ngx_int_t ngx_http_eventbridge_log_extras(ngx_http_request_t *r,
    ngx_http_eventbridge_main_conf_t *emcf, ngx_eb_stats_extra_t *extra,
    ngx_uint_t *nextra);
static double ngx_http_eventbridge_figure(ngx_http_eventbridge_zone_t *zone,
    ngx_eb_checkpoint_facts_t *facts, ngx_uint_t i);
static ngx_int_t ngx_http_eventbridge_zone_extras(ngx_http_request_t *r,
    ngx_http_eventbridge_main_conf_t *emcf, ngx_eb_stats_extra_t *extra,
    ngx_uint_t *nextra);
static ngx_uint_t ngx_http_eventbridge_health_down(
    ngx_http_eventbridge_main_conf_t *emcf, ngx_eb_out_t *out);
static void ngx_http_eventbridge_join(ngx_eb_out_t *out, ngx_uint_t first,
    ngx_str_t *name);


static ngx_http_eventbridge_figure_t  ngx_http_eventbridge_up =
    { "eventbridge_up", "gauge",
      "1 while this node accepts events, 0 while it exits." };


/* of dead letters; in this order */

static ngx_http_eventbridge_figure_t  ngx_http_eventbridge_log_figures[] = {

    { "eventbridge_dead_letter_records", "gauge",
      "Lines in the file." },

    { "eventbridge_dead_letter_bytes", "gauge",
      "Size of the file." },

    { "eventbridge_dead_letter_oldest_age_seconds", "gauge",
      "Age of the oldest line in the file." }
};

#define NGX_HTTP_EVENTBRIDGE_LOG_FIGURES                                      \
    (sizeof(ngx_http_eventbridge_log_figures)                                 \
     / sizeof(ngx_http_eventbridge_figure_t))


/* in this order; ngx_http_eventbridge_figure() has the values */

static ngx_http_eventbridge_figure_t  ngx_http_eventbridge_figures[] = {

    { "eventbridge_checkpoint_usable", "gauge",
      "1 while this worker can claim events in the zone." },

    { "eventbridge_checkpoint_slots", "gauge",
      "Marks that the zone can hold." },

    { "eventbridge_checkpoint_used", "gauge",
      "Marks that are remembered, estimated from a sample." },

    { "eventbridge_checkpoint_claimed", "gauge",
      "Events that are being delivered, estimated from a sample." },

    { "eventbridge_checkpoint_evictions_total", "counter",
      "Marks that were dropped within the window for want of room." },

    { "eventbridge_checkpoint_full_total", "counter",
      "Events refused because no mark could be dropped." },

    { "eventbridge_checkpoint_oldest_age_seconds", "gauge",
      "Age of the oldest mark seen in the sample." },

    { "eventbridge_checkpoint_effective_window_seconds", "gauge",
      "Time for which events are really remembered." },

    { "eventbridge_checkpoint_clock_fixes_total", "counter",
      "Marks from the future that were stamped anew." },

    { "eventbridge_checkpoint_locks_recovered_total", "counter",
      "Locks taken over from processes that died." },

    { "eventbridge_checkpoint_destinations", "gauge",
      "Destinations in the zone's registry, 64 at most." },

    { "eventbridge_checkpoint_sync_total", "counter",
      "Flushes of the zone's file to disk." },

    { "eventbridge_checkpoint_sync_errors_total", "counter",
      "Flushes that failed." },

    { "eventbridge_checkpoint_moving", "gauge",
      "1 while marks move to a file of another size." },

    { "eventbridge_checkpoint_sync_seconds", "gauge",
      "Duration of the last flush." },

    { NULL, NULL, NULL }
};


static ngx_str_t  ngx_http_eventbridge_metrics_type =
    ngx_string("text/plain; version=0.0.4; charset=utf-8");

static ngx_str_t  ngx_http_eventbridge_health_type =
    ngx_string("application/json");


ngx_int_t
ngx_http_eventbridge_metrics_handler(ngx_http_request_t *r)
{
    ngx_int_t                          rc;
    ngx_str_t                          text;
    ngx_uint_t                         n;
    ngx_eb_stats_extra_t              *extra;
    ngx_http_eventbridge_main_conf_t  *emcf;

    rc = ngx_http_eventbridge_read_only(r);

    if (rc != NGX_OK) {
        return rc;
    }

    emcf = ngx_http_get_module_main_conf(r, ngx_http_eventbridge_module);

    extra = ngx_pcalloc(r->pool, (1 + emcf->zones.nelts
                                      * NGX_HTTP_EVENTBRIDGE_ZONE_FIGURES
                                    + emcf->logs.nelts
                                      * NGX_HTTP_EVENTBRIDGE_LOG_FIGURES
                                    + NGX_HTTP_EVENTBRIDGE_OUTBOX_FIGURES
                                  + ngx_http_eventbridge_genesys_nextras(emcf)
                              + ngx_http_eventbridge_destination_nextras(emcf)
                                + ngx_http_eventbridge_lifecycle_nextras(emcf))
                                 * sizeof(ngx_eb_stats_extra_t));
    if (extra == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    extra[0].name = ngx_http_eventbridge_up.name;
    extra[0].type = ngx_http_eventbridge_up.type;
    extra[0].help = ngx_http_eventbridge_up.help;
    extra[0].value = ngx_exiting ? 0 : 1;
    n = 1;

    ngx_http_eventbridge_outbox_extras(emcf, extra, &n);

    if (ngx_http_eventbridge_zone_extras(r, emcf, extra, &n) != NGX_OK
        || ngx_http_eventbridge_log_extras(r, emcf, extra, &n) != NGX_OK
        || ngx_http_eventbridge_genesys_extras(r->pool, emcf, extra, &n)
           != NGX_OK
        || ngx_http_eventbridge_destination_extras(r->pool, emcf, extra, &n)
           != NGX_OK
        || ngx_http_eventbridge_lifecycle_extras(r->pool, emcf, extra, &n)
           != NGX_OK
        || ngx_eb_stats_render(emcf->stats, r->pool, extra, n, &text)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_eventbridge_respond(r, NGX_HTTP_OK,
                                        &ngx_http_eventbridge_metrics_type,
                                        &text);
}


static ngx_int_t
ngx_http_eventbridge_zone_extras(ngx_http_request_t *r,
    ngx_http_eventbridge_main_conf_t *emcf, ngx_eb_stats_extra_t *extra,
    ngx_uint_t *nextra)
{
    u_char                         *p;
    ngx_uint_t                      i, k;
    ngx_eb_out_t                    out;
    ngx_eb_stats_extra_t           *e;
    ngx_eb_checkpoint_facts_t      *facts;
    ngx_http_eventbridge_zone_t   **zones;
    ngx_http_eventbridge_figure_t  *figure;

    zones = emcf->zones.elts;

    /* the series of one name must stand together */

    for (i = 0; i < emcf->zones.nelts; i++) {

        facts = ngx_pcalloc(r->pool, sizeof(ngx_eb_checkpoint_facts_t));
        p = ngx_pnalloc(r->pool, NGX_HTTP_EVENTBRIDGE_ZONE_LABELS);

        if (facts == NULL || p == NULL) {
            return NGX_ERROR;
        }

        ngx_eb_checkpoint_facts(zones[i]->checkpoint, facts);

        ngx_eb_out_init(&out, p, NGX_HTTP_EVENTBRIDGE_ZONE_LABELS);
        ngx_eb_out_lit(&out, "zone=");
        ngx_eb_out_label(&out, &zones[i]->conf.name, 100);

        for (k = 0; ngx_http_eventbridge_figures[k].name; k++) {
            figure = &ngx_http_eventbridge_figures[k];
            e = &extra[*nextra + k * emcf->zones.nelts + i];

            e->name = figure->name;
            e->type = figure->type;
            e->help = figure->help;
            e->labels.data = p;
            e->labels.len = out.pos - p;
            e->value = ngx_http_eventbridge_figure(zones[i], facts, k);
        }
    }

    *nextra += emcf->zones.nelts * NGX_HTTP_EVENTBRIDGE_ZONE_FIGURES;

    return NGX_OK;
}


/* what is known of the files; a thread looks at them from time to time */

static ngx_int_t
ngx_http_eventbridge_log_extras(ngx_http_request_t *r,
    ngx_http_eventbridge_main_conf_t *emcf, ngx_eb_stats_extra_t *extra,
    ngx_uint_t *nextra)
{
    u_char                *p;
    double                 value[NGX_HTTP_EVENTBRIDGE_LOG_FIGURES];
    ngx_uint_t             i, k;
    ngx_eb_log_t         **logs;
    ngx_eb_out_t           out;
    ngx_eb_log_figures_t   figures;
    ngx_eb_stats_extra_t  *e;

    logs = emcf->logs.elts;

    for (i = 0; i < emcf->logs.nelts; i++) {

        p = ngx_pnalloc(r->pool, NGX_HTTP_EVENTBRIDGE_ZONE_LABELS * 2);
        if (p == NULL) {
            return NGX_ERROR;
        }

        ngx_eb_out_init(&out, p, NGX_HTTP_EVENTBRIDGE_ZONE_LABELS * 2);
        ngx_eb_out_lit(&out, "file=");
        ngx_eb_out_label(&out, ngx_eb_log_path(logs[i]), 256);

        if (ngx_eb_log_figures(logs[i], &figures) != NGX_OK) {
            ngx_memzero(&figures, sizeof(ngx_eb_log_figures_t));
        }

        value[0] = (double) (figures.records + figures.invalid);
        value[1] = (double) figures.size;
        value[2] = (double) ngx_http_eventbridge_log_age(&figures) / 1000;

        for (k = 0; k < NGX_HTTP_EVENTBRIDGE_LOG_FIGURES; k++) {
            e = &extra[*nextra + k * emcf->logs.nelts + i];

            e->name = ngx_http_eventbridge_log_figures[k].name;
            e->type = ngx_http_eventbridge_log_figures[k].type;
            e->help = ngx_http_eventbridge_log_figures[k].help;
            e->labels.data = p;
            e->labels.len = out.pos - p;
            e->value = value[k];
        }
    }

    *nextra += emcf->logs.nelts * NGX_HTTP_EVENTBRIDGE_LOG_FIGURES;

    return NGX_OK;
}


int64_t
ngx_http_eventbridge_log_age(ngx_eb_log_figures_t *figures)
{
    u_char      *p, *end;
    int64_t      msec;
    ngx_time_t  *tp;

    static char  name[] = "\"time\":\"";

    p = memmem(figures->first, figures->first_len, name, sizeof(name) - 1);

    if (p == NULL) {
        return 0;
    }

    p += sizeof(name) - 1;
    end = memchr(p, '"', figures->first + figures->first_len - p);
    msec = end ? ngx_eb_time_parse(p, end - p) : NGX_EB_TIME_UNKNOWN;

    if (msec == NGX_EB_TIME_UNKNOWN) {
        return 0;
    }

    tp = ngx_timeofday();
    msec = (int64_t) tp->sec * 1000 + tp->msec - msec;

    return ngx_max(msec, 0);
}


static double
ngx_http_eventbridge_figure(ngx_http_eventbridge_zone_t *zone,
    ngx_eb_checkpoint_facts_t *facts, ngx_uint_t i)
{
    switch (i) {

    case 0:
        return ngx_eb_checkpoint_usable(zone->checkpoint) ? 1 : 0;

    case 1:
        return (double) facts->slots;

    case 2:
        return (double) facts->used;

    case 3:
        return (double) facts->claimed;

    case 4:
        return (double) facts->evictions;

    case 5:
        return (double) facts->full;

    case 6:
        return (double) facts->oldest;

    case 7:
        return (double) facts->effective;

    case 8:
        return (double) facts->clock_fixes;

    case 9:
        return (double) facts->recovered;

    case 10:
        return (double) facts->destinations;

    case 11:
        return (double) facts->syncs;

    case 12:
        return (double) facts->sync_errors;

    case 13:
        return facts->moving ? 1 : 0;

    default:
        return (double) facts->sync_last / 1000;
    }
}


/*
 * 503 only when this node cannot accept: then a balancer should pass it by.
 * What is wrong elsewhere, or was wrong before, is "degraded".
 */

ngx_int_t
ngx_http_eventbridge_health_handler(ngx_http_request_t *r)
{
    u_char                            *buf;
    size_t                             size;
    ngx_int_t                          rc;
    ngx_str_t                          body;
    ngx_uint_t                         verdict;
    ngx_eb_out_t                       out;
    ngx_http_eventbridge_main_conf_t  *emcf;

    rc = ngx_http_eventbridge_read_only(r);

    if (rc != NGX_OK) {
        return rc;
    }

    emcf = ngx_http_get_module_main_conf(r, ngx_http_eventbridge_module);

    size = 128 + ngx_http_eventbridge_destination_health_size(emcf)
           + emcf->zones.nelts * NGX_HTTP_EVENTBRIDGE_ZONE_HEALTH
           + NGX_HTTP_EVENTBRIDGE_MAX_DOWN * NGX_HTTP_EVENTBRIDGE_DOWN_HEALTH
           + (emcf->subscriptions.nelts + 1)
             * NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_HEALTH
           + emcf->organisations.nelts
             * NGX_HTTP_EVENTBRIDGE_ORGANISATION_HEALTH;

    size += NGX_HTTP_EVENTBRIDGE_HEALTH_VERDICT;

    buf = ngx_pnalloc(r->pool, size);
    if (buf == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* the verdict is known last, and goes first */

    ngx_eb_out_init(&out, buf, size);
    out.pos += NGX_HTTP_EVENTBRIDGE_HEALTH_VERDICT;

    ngx_eb_out_lit(&out, ",");
    verdict = ngx_http_eventbridge_health_members(emcf, &out, 0);
    ngx_eb_out_lit(&out, "}\n");

    body.data = ngx_http_eventbridge_health_verdict(buf
                                         + NGX_HTTP_EVENTBRIDGE_HEALTH_VERDICT,
                                                    verdict);
    body.len = out.pos - body.data;

    return ngx_http_eventbridge_respond(r,
                              verdict == NGX_HTTP_EVENTBRIDGE_UNHEALTHY
                                  ? NGX_HTTP_SERVICE_UNAVAILABLE : NGX_HTTP_OK,
                                        &ngx_http_eventbridge_health_type,
                                        &body);
}


u_char *
ngx_http_eventbridge_health_verdict(u_char *end, ngx_uint_t verdict)
{
    static ngx_str_t  verdicts[] = {
        ngx_string("{\"status\":\"healthy\""),
        ngx_string("{\"status\":\"degraded\""),
        ngx_string("{\"status\":\"unhealthy\"")
    };

    end -= verdicts[verdict].len;
    ngx_memcpy(end, verdicts[verdict].data, verdicts[verdict].len);

    return end;
}


ngx_uint_t
ngx_http_eventbridge_health_members(ngx_http_eventbridge_main_conf_t *emcf,
    ngx_eb_out_t *out, ngx_uint_t figures)
{
    ngx_uint_t                     i, usable, degraded, unhealthy;
    ngx_eb_checkpoint_facts_t      facts;
    ngx_http_eventbridge_zone_t  **zones, *zone;

    degraded = 0;
    unhealthy = ngx_exiting ? 1 : 0;

    ngx_eb_out_lit(out, "\"checkpoints\":[");

    zones = emcf->zones.elts;

    for (i = 0; i < emcf->zones.nelts; i++) {
        zone = zones[i];

        ngx_eb_checkpoint_facts(zone->checkpoint, &facts);
        usable = ngx_eb_checkpoint_usable(zone->checkpoint);

        unhealthy |= !usable;
        degraded |= facts.corrupt_reset || facts.effective < zone->conf.window;

        ngx_eb_out_raw(out, ",", i ? 1 : 0);
        ngx_eb_out_lit(out, "{\"zone\":");
        ngx_eb_out_string(out, &zone->conf.name, 128);
        ngx_eb_out_lit(out, ",\"usable\":");
        ngx_eb_out_raw(out, usable ? "true" : "false", usable ? 4 : 5);
        ngx_eb_out_lit(out, ",\"slots\":");
        ngx_eb_out_int(out, facts.slots);
        ngx_eb_out_lit(out, ",\"used\":");
        ngx_eb_out_int(out, facts.used);
        ngx_eb_out_lit(out, ",\"claimed\":");
        ngx_eb_out_int(out, facts.claimed);
        ngx_eb_out_lit(out, ",\"evictions\":");
        ngx_eb_out_int(out, facts.evictions);
        ngx_eb_out_lit(out, ",\"window\":");
        ngx_eb_out_int(out, zone->conf.window);
        ngx_eb_out_lit(out, ",\"effectiveWindow\":");
        ngx_eb_out_int(out, facts.effective);
        ngx_eb_out_lit(out, ",\"startedEmptyAfterDamage\":");
        ngx_eb_out_raw(out, facts.corrupt_reset ? "true" : "false",
                       facts.corrupt_reset ? 4 : 5);
        ngx_eb_out_lit(out, "}");
    }

    ngx_eb_out_lit(out, "],\"down\":[");
    degraded |= ngx_http_eventbridge_health_down(emcf, out);
    ngx_eb_out_lit(out, "]");
    degraded |= ngx_http_eventbridge_genesys_health(emcf, out, figures);
    degraded |= ngx_http_eventbridge_destination_health(emcf, out);

    return unhealthy ? NGX_HTTP_EVENTBRIDGE_UNHEALTHY
           : degraded ? NGX_HTTP_EVENTBRIDGE_DEGRADED
           : NGX_HTTP_EVENTBRIDGE_HEALTHY;
}


/* destinations whose last answer was a failure; some of them, if many are */

static ngx_uint_t
ngx_http_eventbridge_health_down(ngx_http_eventbridge_main_conf_t *emcf,
    ngx_eb_out_t *out)
{
    int64_t                               since;
    ngx_uint_t                            i, j, n;
    ngx_http_eventbridge_ingest_t       **ingests;
    ngx_http_eventbridge_destination_t   *d;

    n = 0;
    ingests = emcf->ingests.elts;

    for (i = 0; i < emcf->ingests.nelts; i++) {

        for (j = 0; j < ingests[i]->ndestinations; j++) {
            d = &ingests[i]->destinations[j];
            since = d->cells[NGX_EB_STATS_D_DOWN_SINCE];

            if (since == 0 || n == NGX_HTTP_EVENTBRIDGE_MAX_DOWN) {
                continue;
            }

            ngx_eb_out_raw(out, ",", n++ ? 1 : 0);
            ngx_eb_out_lit(out, "{\"server\":");
            ngx_eb_out_string(out, &ingests[i]->server, 64);
            ngx_eb_out_lit(out, ",\"location\":");
            ngx_eb_out_string(out, &ingests[i]->name, 64);
            ngx_eb_out_lit(out, ",\"destination\":");
            ngx_eb_out_string(out, &d->uri, 64);
            ngx_eb_out_lit(out, ",\"since\":");
            ngx_eb_out_time(out, since * 1000);
            ngx_eb_out_lit(out, "}");
        }
    }

    return n != 0;
}


ngx_int_t
ngx_http_eventbridge_read_only(ngx_http_request_t *r)
{
    ngx_str_t  allow;

    if (r->method != NGX_HTTP_GET && r->method != NGX_HTTP_HEAD) {
        ngx_str_set(&allow, "GET, HEAD");

        return ngx_http_eventbridge_out_header(r, "Allow", &allow) == NGX_OK
                   ? NGX_HTTP_NOT_ALLOWED : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_discard_request_body(r);
}


ngx_int_t
ngx_http_eventbridge_respond(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *type, ngx_str_t *body)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    r->headers_out.status = status;
    r->headers_out.content_length_n = body->len;
    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = type->len;
    r->headers_out.content_type_lowcase = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->pos = body->data;
    b->last = body->data + body->len;
    b->memory = 1;
    b->last_buf = (r == r->main);
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


void
ngx_http_eventbridge_audit(ngx_http_eventbridge_job_t *job, ngx_uint_t i)
{
    u_char                        routes[NGX_HTTP_EVENTBRIDGE_NAMES];
    u_char                        destinations[NGX_HTTP_EVENTBRIDGE_NAMES];
    ngx_str_t                     r, d;
    ngx_time_t                   *tp;
    ngx_uint_t                    j, failed;
    ngx_eb_out_t                  ro, de;
    ngx_eb_event_t               *event;
    ngx_eb_route_hit_t           *hits;
    ngx_eb_audit_record_t         record;
    ngx_http_eventbridge_item_t  *item;

    event = &job->batch.events[i];
    item = &job->items[i];
    hits = job->hits.elts;

    ngx_memzero(&record, sizeof(ngx_eb_audit_record_t));

    tp = ngx_timeofday();

    record.time = (int64_t) tp->sec * 1000 + tp->msec;
    record.request_id = &job->facts.request_id;
    record.trace_id = &job->trace_id;
    record.location = &job->ingest->name;
    record.id = &event->id;
    record.source = &event->source;
    record.type = &event->type;
    record.sender = &job->sender;
    record.region = &event->region;
    record.reason = event->invalid;
    record.lag = (event->time == NGX_EB_TIME_UNKNOWN)
                     ? -1 : ngx_max(record.time - event->time, 0);

    switch (item->state) {

    case NGX_HTTP_EVENTBRIDGE_FORWARDED:
        record.action = NGX_EB_AUDIT_FORWARDED;
        break;

    case NGX_HTTP_EVENTBRIDGE_DUPLICATE:
        record.action = NGX_EB_AUDIT_DUPLICATE;
        break;

    case NGX_HTTP_EVENTBRIDGE_DROPPED:
        record.action = NGX_EB_AUDIT_DROPPED;
        break;

    case NGX_HTTP_EVENTBRIDGE_DEAD:
        record.action = NGX_EB_AUDIT_DEAD;
        break;

    case NGX_HTTP_EVENTBRIDGE_INVALID:
        record.action = NGX_EB_AUDIT_INVALID;
        break;

    case NGX_HTTP_EVENTBRIDGE_UNROUTED:
        record.action = NGX_EB_AUDIT_UNROUTED;
        break;

    case NGX_HTTP_EVENTBRIDGE_GAVE_UP:
        record.action = NGX_EB_AUDIT_BUSY;
        break;

    default:
        record.action = NGX_EB_AUDIT_FAILED;
    }

    /* one event may go several ways: names are joined */

    ngx_eb_out_init(&ro, routes, sizeof(routes));
    ngx_eb_out_init(&de, destinations, sizeof(destinations));

    failed = 0;

    for (j = item->hit; j < item->hit + (ngx_uint_t) item->nhits; j++) {

        ngx_http_eventbridge_join(&ro, j == item->hit,
                                  &job->ingest->routes[hits[j].route].name);
        ngx_http_eventbridge_join(&de, j == item->hit,
                     &job->ingest->destinations[
                                  ngx_http_eventbridge_hit_to(job, j)].uri);

        /* of what failed first, even if it is that there was no answer */

        if (!failed) {
            failed = (job->hit_states[j] == NGX_HTTP_EVENTBRIDGE_HIT_FAILED);

            if (failed || job->hit_status[j]) {
                record.status = job->hit_status[j];
            }
        }
    }

    r.data = routes;
    r.len = ro.pos - routes;
    d.data = destinations;
    d.len = de.pos - destinations;

    record.route = &r;
    record.destination = &d;

    ngx_eb_audit_write(job->conf->audit, &record);
}


static void
ngx_http_eventbridge_join(ngx_eb_out_t *out, ngx_uint_t first,
    ngx_str_t *name)
{
    size_t  len;

    if (!first) {
        ngx_eb_out_lit(out, ",");
    }

    /* cut, not left out: the line shows less than fits here */

    len = ngx_min(name->len, (size_t) (out->end - out->pos));

    ngx_eb_out_raw(out, name->data, len);
}
