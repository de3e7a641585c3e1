
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What is known of this node in one JSON document: the members of health, and
 * the figures of metrics where they belong.  The page is made of this very
 * text, so that what is added here is on it.
 */


#include "ngx_http_eventbridge_status.h"
#include "ngx_http_eventbridge_auth.h"
#include "ngx_http_eventbridge_outbox.h"


/* the node and a few files, and one of all others: if names are not long */
#define NGX_HTTP_EVENTBRIDGE_STATUS_SIZE  4096
#define NGX_HTTP_EVENTBRIDGE_STATUS_ITEM  1024

/* names in the document: no more of them is shown */
#define NGX_HTTP_EVENTBRIDGE_STATUS_NAME  256


/* a member, its name with comma and colon, and the cell with its value */

typedef struct {
    const char                       *name;
    ngx_uint_t                        cell;
} ngx_http_eventbridge_status_cell_t;


typedef struct {
    ngx_http_eventbridge_main_conf_t *emcf;
    u_char                           *start;    /* of the document */
} ngx_http_eventbridge_status_t;


static ngx_int_t ngx_http_eventbridge_status_place(ngx_http_request_t *r,
    ngx_uint_t *page);
static ngx_uint_t ngx_http_eventbridge_status_accept(ngx_http_request_t *r,
    ngx_uint_t page);
static void ngx_http_eventbridge_status_write(ngx_eb_out_t *out, void *data);
static void ngx_http_eventbridge_status_node(ngx_eb_out_t *out,
    ngx_http_eventbridge_main_conf_t *emcf);
static void ngx_http_eventbridge_status_location(ngx_eb_out_t *out,
    ngx_http_eventbridge_ingest_t *ingest);
static void ngx_http_eventbridge_status_routes(ngx_eb_out_t *out,
    ngx_http_eventbridge_ingest_t *ingest);
static void ngx_http_eventbridge_status_destination(ngx_eb_out_t *out,
    ngx_http_eventbridge_destination_t *d);
static void ngx_http_eventbridge_status_logs(ngx_eb_out_t *out,
    ngx_http_eventbridge_main_conf_t *emcf);
static void ngx_http_eventbridge_status_outbox(ngx_eb_out_t *out,
    ngx_http_eventbridge_main_conf_t *emcf);
static void ngx_http_eventbridge_status_name(ngx_eb_out_t *out,
    const char *name, ngx_str_t *value);
static void ngx_http_eventbridge_status_flag(ngx_eb_out_t *out,
    const char *name, ngx_uint_t value);
static void ngx_http_eventbridge_status_since(ngx_eb_out_t *out,
    const char *name, int64_t since);
static void ngx_http_eventbridge_status_cells(ngx_eb_out_t *out,
    ngx_http_eventbridge_status_cell_t *list, ngx_eb_stats_cell_t *cells);


static ngx_http_eventbridge_status_cell_t  ngx_http_eventbridge_status_n[] = {
    { ",\"auditLines\":", NGX_EB_STATS_N_AUDIT_LINES },
    { ",\"auditDropped\":", NGX_EB_STATS_N_AUDIT_DROPPED },
    { ",\"auditErrors\":", NGX_EB_STATS_N_AUDIT_ERRORS },
    { ",\"seriesOverflow\":", NGX_EB_STATS_N_SERIES_FULL },
    { ",\"deadLettersWaiting\":", NGX_EB_STATS_N_REPLAY_LEFT },
    { NULL, 0 }
};


static ngx_http_eventbridge_status_cell_t  ngx_http_eventbridge_status_l[] = {
    { ",\"received\":", NGX_EB_STATS_L_RECEIVED },
    { ",\"forwarded\":", NGX_EB_STATS_L_FORWARDED },
    { ",\"duplicates\":", NGX_EB_STATS_L_DUPLICATES },
    { ",\"dropped\":", NGX_EB_STATS_L_DROPPED },
    { ",\"dead\":", NGX_EB_STATS_L_DEAD },
    { ",\"failed\":", NGX_EB_STATS_L_FAILED },
    { ",\"processed\":", NGX_EB_STATS_L_PROCESSED },
    { ",\"invalid\":", NGX_EB_STATS_L_INVALID },
    { ",\"unrouted\":", NGX_EB_STATS_L_UNROUTED },
    { ",\"busy\":", NGX_EB_STATS_L_BUSY },
    { ",\"withoutId\":", NGX_EB_STATS_L_NO_ID },
    { ",\"replayed\":", NGX_EB_STATS_L_REPLAYED },
    { ",\"rateLimited\":", NGX_EB_STATS_L_RATE_LIMITED },
    { ",\"overload\":", NGX_EB_STATS_L_OVERLOAD },
    { ",\"unauthorized\":", NGX_EB_STATS_L_UNAUTHORIZED },
    { ",\"regexErrors\":", NGX_EB_STATS_L_REGEX_ERRORS },
    { ",\"bytes\":", NGX_EB_STATS_L_BYTES },
    { NULL, 0 }
};


static ngx_http_eventbridge_status_cell_t
    ngx_http_eventbridge_status_requests[] =
{
    { "\"2xx\":", NGX_EB_STATS_L_REQ_2XX },
    { ",\"400\":", NGX_EB_STATS_L_REQ_400 },
    { ",\"401\":", NGX_EB_STATS_L_REQ_401 },
    { ",\"405\":", NGX_EB_STATS_L_REQ_405 },
    { ",\"413\":", NGX_EB_STATS_L_REQ_413 },
    { ",\"415\":", NGX_EB_STATS_L_REQ_415 },
    { ",\"422\":", NGX_EB_STATS_L_REQ_422 },
    { ",\"429\":", NGX_EB_STATS_L_REQ_429 },
    { ",\"500\":", NGX_EB_STATS_L_REQ_500 },
    { ",\"503\":", NGX_EB_STATS_L_REQ_503 },
    { NULL, 0 }
};


static ngx_http_eventbridge_status_cell_t  ngx_http_eventbridge_status_r[] = {
    { ",\"matched\":", NGX_EB_STATS_R_MATCHED },
    { ",\"forwarded\":", NGX_EB_STATS_R_FORWARDED },
    { ",\"duplicates\":", NGX_EB_STATS_R_DUPLICATES },
    { ",\"failed\":", NGX_EB_STATS_R_FAILED },
    { NULL, 0 }
};


static ngx_http_eventbridge_status_cell_t  ngx_http_eventbridge_status_d[] = {
    { ",\"forwarded\":", NGX_EB_STATS_D_FORWARDED },
    { ",\"failed\":", NGX_EB_STATS_D_FAILED },
    { ",\"saturated\":", NGX_EB_STATS_D_SATURATED },
    { ",\"bytes\":", NGX_EB_STATS_D_BYTES },
    { NULL, 0 }
};


static ngx_http_eventbridge_status_cell_t
    ngx_http_eventbridge_status_statuses[] =
{
    { "\"2xx\":", NGX_EB_STATS_D_2XX },
    { ",\"3xx\":", NGX_EB_STATS_D_3XX },
    { ",\"4xx\":", NGX_EB_STATS_D_4XX },
    { ",\"5xx\":", NGX_EB_STATS_D_5XX },
    { ",\"none\":", NGX_EB_STATS_D_NO_STATUS },
    { NULL, 0 }
};


static ngx_http_eventbridge_status_cell_t
    ngx_http_eventbridge_status_callbacks[] =
{
    { "\"depth\":", NGX_EB_STATS_N_OUTBOX_DEPTH },
    { ",\"delivered\":", NGX_EB_STATS_N_OUTBOX_DELIVERED },
    { ",\"failed\":", NGX_EB_STATS_N_OUTBOX_FAILED },
    { ",\"dead\":", NGX_EB_STATS_N_OUTBOX_DEAD },
    { ",\"buried\":", NGX_EB_STATS_N_OUTBOX_BURIED },
    { NULL, 0 }
};


static ngx_str_t  ngx_http_eventbridge_status_json =
    ngx_string("application/json");

static ngx_str_t  ngx_http_eventbridge_status_html =
    ngx_string("text/html; charset=utf-8");


ngx_int_t
ngx_http_eventbridge_status_handler(ngx_http_request_t *r)
{
    size_t                             size;
    ngx_int_t                          rc;
    ngx_str_t                          text, vary, store, *type;
    ngx_uint_t                         page;
    ngx_http_eventbridge_status_t      status;
    ngx_http_eventbridge_main_conf_t  *emcf;

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "eventbridge status handler");

    if (r != r->main) {
        return NGX_HTTP_NOT_FOUND;
    }

    rc = ngx_http_eventbridge_control_access(r);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_eventbridge_status_place(r, &page);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_eventbridge_read_only(r);

    if (rc != NGX_OK) {
        return rc;
    }

    emcf = ngx_http_get_module_main_conf(r, ngx_http_eventbridge_module);

    status.emcf = emcf;
    type = &ngx_http_eventbridge_status_json;

    size = NGX_HTTP_EVENTBRIDGE_STATUS_SIZE
           + (emcf->ingests.nelts + emcf->ndestinations + emcf->zones.nelts
              + emcf->organisations.nelts + emcf->subscriptions.nelts)
             * NGX_HTTP_EVENTBRIDGE_STATUS_ITEM;

    if (ngx_http_eventbridge_status_text(r->pool, size,
                                         ngx_http_eventbridge_status_write,
                                         &status, &text)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    text.len -= status.start - text.data;
    text.data = status.start;

    if (page) {
        type = &ngx_http_eventbridge_status_html;

        if (ngx_http_eventbridge_status_page(r, emcf->worker->parser, &text,
                                             &text)
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    ngx_str_set(&vary, "Accept");
    ngx_str_set(&store, "no-store");

    if (ngx_http_eventbridge_out_header(r, "Vary", &vary) != NGX_OK
        || ngx_http_eventbridge_out_header(r, "Cache-Control", &store)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_eventbridge_respond(r, NGX_HTTP_OK, type, &text);
}


/*
 * A prefix location gets all that begins with its name: only the name itself
 * is here, and with a slash behind it the page.
 */

static ngx_int_t
ngx_http_eventbridge_status_place(ngx_http_request_t *r, ngx_uint_t *page)
{
    ngx_str_t                  uri;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    uri = r->uri;
    *page = (uri.len && uri.data[uri.len - 1] == '/');

    if (*page && clcf->name.len + 1 == uri.len) {
        uri.len--;
    }

#if (NGX_PCRE)
    if (clcf->regex == NULL)
#endif
    {
        /* one inside of "if" has no name of its own, and that of a named
           location is no URI */

        if (!clcf->noname && !clcf->named
            && !ngx_http_eventbridge_same(&uri, &clcf->name))
        {
            return NGX_HTTP_NOT_FOUND;
        }
    }

    *page = ngx_http_eventbridge_status_accept(r, *page);

    return NGX_OK;
}


/* what Accept names first of the two; page: what it is if it names none */

static ngx_uint_t
ngx_http_eventbridge_status_accept(ngx_http_request_t *r, ngx_uint_t page)
{
    u_char        *html, *json, *last;
    ngx_str_t      name, value;

    static u_char  type_html[] = "text/html";
    static u_char  type_json[] = "application/json";

    ngx_str_set(&name, "Accept");

    if (!ngx_http_eventbridge_auth_header(r, &name, &value)) {
        return page;
    }

    last = value.data + value.len;

    html = ngx_strlcasestrn(value.data, last, type_html,
                            sizeof(type_html) - 2);
    json = ngx_strlcasestrn(value.data, last, type_json,
                            sizeof(type_json) - 2);

    return (html || json) ? html && (json == NULL || html < json) : page;
}


ngx_int_t
ngx_http_eventbridge_status_text(ngx_pool_t *pool, size_t size,
    void (*write)(ngx_eb_out_t *out, void *data), void *data, ngx_str_t *text)
{
    u_char       *start;
    ngx_eb_out_t  out;

    for ( /* void */ ; /* void */ ; size *= 2) {

        start = ngx_palloc(pool, size);
        if (start == NULL) {
            return NGX_ERROR;
        }

        ngx_eb_out_init(&out, start, size);

        write(&out, data);

        if (!out.truncated) {
            text->data = start;
            text->len = out.pos - start;

            return NGX_OK;
        }

        (void) ngx_pfree(pool, start);
    }
}


static void
ngx_http_eventbridge_status_write(ngx_eb_out_t *out, void *data)
{
    ngx_http_eventbridge_status_t *status = data;

    ngx_uint_t                         i, verdict;
    ngx_http_eventbridge_ingest_t    **ingests;
    ngx_http_eventbridge_main_conf_t  *emcf;

    emcf = status->emcf;

    /* the verdict is known later, and goes first */

    out->pos += NGX_HTTP_EVENTBRIDGE_HEALTH_VERDICT;
    status->start = out->pos;

    ngx_http_eventbridge_status_node(out, emcf);

    ngx_eb_out_lit(out, ",");
    verdict = ngx_http_eventbridge_health_members(emcf, out, 1);

    status->start = ngx_http_eventbridge_health_verdict(status->start,
                                                        verdict);

    ngx_eb_out_lit(out, ",\"locations\":[");

    ingests = emcf->ingests.elts;

    for (i = 0; i < emcf->ingests.nelts; i++) {
        ngx_eb_out_raw(out, ",", i ? 1 : 0);
        ngx_http_eventbridge_status_location(out, ingests[i]);
    }

    ngx_eb_out_lit(out, "],\"deadLetters\":[");
    ngx_http_eventbridge_status_logs(out, emcf);
    ngx_eb_out_lit(out, "]");

    if (emcf->outbox) {
        ngx_http_eventbridge_status_outbox(out, emcf);
    }

    ngx_eb_out_lit(out, "}\n");
}


static void
ngx_http_eventbridge_status_node(ngx_eb_out_t *out,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    time_t                          up;
    ngx_str_t                       nginx, module;
    ngx_core_conf_t                *ccf;
    ngx_http_eventbridge_worker_t  *w;

    w = emcf->worker;
    ccf = (ngx_core_conf_t *) ngx_get_conf(ngx_cycle->conf_ctx,
                                           ngx_core_module);

    ngx_str_set(&nginx, NGINX_VERSION);
    ngx_str_set(&module, NGX_HTTP_EVENTBRIDGE_VERSION);

    up = ngx_time() - emcf->started;

    ngx_http_eventbridge_status_flag(out, ",\"node\":{\"up\":", !ngx_exiting);
    ngx_http_eventbridge_status_flag(out, ",\"exiting\":", ngx_exiting != 0);
    ngx_http_eventbridge_status_name(out, ",\"host\":",
                                     (ngx_str_t *) &ngx_cycle->hostname);
    ngx_http_eventbridge_status_int(out, ",\"pid\":", ngx_pid);
    ngx_http_eventbridge_status_int(out, ",\"workers\":",
                                    ccf->worker_processes);
    ngx_http_eventbridge_status_name(out, ",\"nginx\":", &nginx);
    ngx_http_eventbridge_status_name(out, ",\"module\":", &module);
    ngx_http_eventbridge_status_since(out, ",\"time\":", ngx_time());
    ngx_http_eventbridge_status_since(out, ",\"started\":", emcf->started);
    ngx_http_eventbridge_status_int(out, ",\"uptime\":", ngx_max(up, 0));
    ngx_http_eventbridge_status_since(out, ",\"configured\":",
                                      emcf->configured);
    ngx_http_eventbridge_status_int(out, ",\"generation\":",
                                    emcf->generation);
    ngx_http_eventbridge_status_int(out, ",\"deliveries\":", w->deliveries);
    ngx_http_eventbridge_status_int(out, ",\"deliveryBytes\":", w->bytes);
    ngx_http_eventbridge_status_cells(out, ngx_http_eventbridge_status_n,
                                      emcf->cells);
    ngx_eb_out_lit(out, "}");
}


static void
ngx_http_eventbridge_status_location(ngx_eb_out_t *out,
    ngx_http_eventbridge_ingest_t *ingest)
{
    ngx_uint_t                        i;
    ngx_http_eventbridge_loc_conf_t  *conf;

    conf = ingest->conf;

    ngx_http_eventbridge_status_name(out, "{\"server\":", &ingest->server);
    ngx_http_eventbridge_status_name(out, ",\"location\":", &ingest->name);

    if (conf->zone) {
        ngx_http_eventbridge_status_name(out, ",\"checkpoint\":",
                                         &conf->zone->conf.name);
    }

    ngx_http_eventbridge_status_cells(out, ngx_http_eventbridge_status_l,
                                      ingest->cells);

    ngx_eb_out_lit(out, ",\"lag\":");
    ngx_eb_out_ms(out, ingest->cells[NGX_EB_STATS_L_LAG]);

    ngx_eb_out_lit(out, ",\"requests\":{");
    ngx_http_eventbridge_status_cells(out,
                                      ngx_http_eventbridge_status_requests,
                                      ingest->cells);
    ngx_eb_out_lit(out, "},\"routes\":[");
    ngx_http_eventbridge_status_routes(out, ingest);
    ngx_eb_out_lit(out, "],\"destinations\":[");

    for (i = 0; i < ingest->ndestinations; i++) {
        ngx_eb_out_raw(out, ",", i ? 1 : 0);
        ngx_http_eventbridge_status_destination(out,
                                                &ingest->destinations[i]);
    }

    ngx_eb_out_lit(out, "]}");
}


static void
ngx_http_eventbridge_status_routes(ngx_eb_out_t *out,
    ngx_http_eventbridge_ingest_t *ingest)
{
    ngx_uint_t       i, n, destination;
    ngx_eb_route_t  *routes;

    routes = ingest->router.routes.elts;
    n = ingest->router.routes.nelts;

    /* the one behind them takes what they leave, where that is sent */

    if (ingest->conf->unrouted == NGX_HTTP_EVENTBRIDGE_UNROUTED_SEND) {
        n++;
    }

    for (i = 0; i < n; i++) {

        destination = (i < ingest->router.routes.nelts)
                          ? routes[i].destination : ingest->unrouted;

        ngx_eb_out_raw(out, ",", i ? 1 : 0);
        ngx_http_eventbridge_status_name(out, "{\"route\":",
                                         &ingest->routes[i].name);
        ngx_http_eventbridge_status_name(out, ",\"destination\":",
                                    &ingest->destinations[destination].uri);
        ngx_http_eventbridge_status_cells(out, ngx_http_eventbridge_status_r,
                                          ingest->routes[i].cells);
        ngx_eb_out_lit(out, "}");
    }
}


/* what else is known of a destination is one more member here */

static void
ngx_http_eventbridge_status_destination(ngx_eb_out_t *out,
    ngx_http_eventbridge_destination_t *d)
{
    int64_t                              n, msec;
    ngx_eb_stats_cell_t                 *cells;
    ngx_http_eventbridge_status_cell_t  *cell;

    cells = d->cells;
    n = 0;

    ngx_http_eventbridge_status_name(out, "{\"destination\":", &d->uri);
    ngx_http_eventbridge_status_cells(out, ngx_http_eventbridge_status_d,
                                      cells);

    ngx_eb_out_lit(out, ",\"statuses\":{");
    ngx_http_eventbridge_status_cells(out,
                                      ngx_http_eventbridge_status_statuses,
                                      cells);
    ngx_eb_out_lit(out, "}");

    for (cell = ngx_http_eventbridge_status_statuses; cell->name; cell++) {
        n += cells[cell->cell];
    }

    /* the histogram ends with the sum */

    msec = cells[NGX_EB_STATS_D_LATENCY_HIST + 15];

    ngx_eb_out_lit(out, ",\"meanDuration\":");
    ngx_eb_out_ms(out, n > 0 ? msec / n : 0);

    if (cells[NGX_EB_STATS_D_FAILED_AT]) {
        ngx_http_eventbridge_status_since(out, ",\"lastFailure\":",
                                          cells[NGX_EB_STATS_D_FAILED_AT]);
        ngx_http_eventbridge_status_int(out, ",\"lastFailureStatus\":",
                                       cells[NGX_EB_STATS_D_FAILED_STATUS]);
    }

    if (cells[NGX_EB_STATS_D_DOWN_SINCE]) {
        ngx_http_eventbridge_status_since(out, ",\"downSince\":",
                                          cells[NGX_EB_STATS_D_DOWN_SINCE]);
    }

    ngx_eb_out_lit(out, "}");
}


static void
ngx_http_eventbridge_status_logs(ngx_eb_out_t *out,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    int64_t                age;
    ngx_uint_t             i;
    ngx_eb_log_t         **logs;
    ngx_eb_log_figures_t   figures;

    logs = emcf->logs.elts;

    for (i = 0; i < emcf->logs.nelts; i++) {

        ngx_eb_out_raw(out, ",", i ? 1 : 0);
        ngx_http_eventbridge_status_name(out, "{\"file\":",
                                         ngx_eb_log_path(logs[i]));

        /* nothing is better than a zero that may be wrong */

        if (ngx_eb_log_figures(logs[i], &figures) == NGX_OK) {
            age = ngx_http_eventbridge_log_age(&figures);

            ngx_http_eventbridge_status_int(out, ",\"records\":",
                                         figures.records + figures.invalid);
            ngx_http_eventbridge_status_int(out, ",\"bytes\":", figures.size);
            ngx_eb_out_lit(out, ",\"oldestAge\":");
            ngx_eb_out_ms(out, age);
        }

        ngx_eb_out_lit(out, "}");
    }
}


static void
ngx_http_eventbridge_status_outbox(ngx_eb_out_t *out,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_eb_out_lit(out, ",\"outbox\":{");
    ngx_http_eventbridge_status_cells(out,
                                      ngx_http_eventbridge_status_callbacks,
                                      emcf->cells);
    ngx_eb_out_lit(out, ",\"oldestAge\":");
    ngx_eb_out_ms(out, ngx_http_eventbridge_outbox_age(emcf));
    ngx_eb_out_lit(out, "}");
}


static void
ngx_http_eventbridge_status_name(ngx_eb_out_t *out, const char *name,
    ngx_str_t *value)
{
    ngx_eb_out_raw(out, name, ngx_strlen(name));
    ngx_eb_out_string(out, value, NGX_HTTP_EVENTBRIDGE_STATUS_NAME);
}


void
ngx_http_eventbridge_status_int(ngx_eb_out_t *out, const char *name,
    int64_t value)
{
    ngx_eb_out_raw(out, name, ngx_strlen(name));
    ngx_eb_out_int(out, value);
}


static void
ngx_http_eventbridge_status_flag(ngx_eb_out_t *out, const char *name,
    ngx_uint_t value)
{
    ngx_eb_out_raw(out, name, ngx_strlen(name));
    ngx_eb_out_raw(out, value ? "true" : "false", value ? 4 : 5);
}


static void
ngx_http_eventbridge_status_since(ngx_eb_out_t *out, const char *name,
    int64_t since)
{
    ngx_eb_out_raw(out, name, ngx_strlen(name));
    ngx_eb_out_time(out, since * 1000);
}


static void
ngx_http_eventbridge_status_cells(ngx_eb_out_t *out,
    ngx_http_eventbridge_status_cell_t *list, ngx_eb_stats_cell_t *cells)
{
    for ( /* void */ ; list->name; list++) {
        ngx_http_eventbridge_status_int(out, list->name, cells[list->cell]);
    }
}


void
ngx_http_eventbridge_status_init(ngx_cycle_t *cycle,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_uint_t                         i;
    ngx_cycle_t                       *old;
    ngx_http_eventbridge_main_conf_t  *before;

    emcf->configured = ngx_time();
    emcf->started = emcf->configured;
    emcf->generation = 1;

    old = cycle->old_cycle;

    if (old == NULL || ngx_is_init_cycle(old)) {
        return;
    }

    /* its configurations have a place for this module only if it was there */

    for (i = 0; old->modules[i]; i++) {

        if (old->modules[i] != &ngx_http_eventbridge_module) {
            continue;
        }

        before = ngx_http_cycle_get_module_main_conf(old,
                                                 ngx_http_eventbridge_module);

        if (before && before->generation) {
            emcf->started = before->started;
            emcf->generation = before->generation + 1;
        }

        return;
    }
}
