
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Locations that resolve endpoints: their configuration, the probes, and what
 * all workers remember.
 */


#include "ngx_http_eventbridge_endpoints.h"
#include "ngx_http_eventbridge_outbox.h"
#include "ngx_http_eventbridge_carrier.h"
#include "ngx_eb_probe.h"


/* a record takes a page of it; who was not resolved for long is forgotten */
#define NGX_HTTP_EVENTBRIDGE_ENDPOINTS_ZONE     (1024 * 1024)

#define NGX_HTTP_EVENTBRIDGE_ENDPOINTS_TIMEOUT  10000
#define NGX_HTTP_EVENTBRIDGE_ENDPOINTS_RANGES   16

/* the list without its records */
#define NGX_HTTP_EVENTBRIDGE_ENDPOINTS_LIST     512


/* in shared memory */

struct ngx_http_eventbridge_resolved_s {
    ngx_queue_t               queue;        /* of the entries, the last one
                                               resolved first */
};


typedef struct {
    ngx_queue_t               queue;
    ngx_eb_genesys_state_e    state;
    size_t                    name_len;
    size_t                    record_len;
    u_char                    data[1];      /* the name, and the record */
} ngx_http_eventbridge_resolved_entry_t;


typedef struct ngx_http_eventbridge_probes_s  ngx_http_eventbridge_probes_t;

typedef struct {
    ngx_http_eventbridge_probes_t  *probes;
    ngx_eb_genesys_uri_t     *endpoint;
    ngx_eb_probe_t           *probe;        /* NULL: it has ended */
} ngx_http_eventbridge_probed_t;


/* probes of one request; in the operation's pool */

struct ngx_http_eventbridge_probes_s {
    ngx_pool_t               *pool;
    ngx_http_eventbridge_probed_t  *probed;
    ngx_uint_t                n;
    ngx_uint_t                left;
    ngx_http_eventbridge_carrier_t *keeper; /* hears of the worker's end */
    ngx_event_t               cut;
    void                    (*done)(void *data);
    void                     *data;
};


static char *ngx_http_eventbridge_endpoints_parameter(ngx_conf_t *cf,
    ngx_http_eventbridge_endpoints_t *conf, ngx_str_t *parameter);
static char *ngx_http_eventbridge_endpoints_path(ngx_conf_t *cf,
    ngx_str_t *parameter, ngx_str_t *path);
static char *ngx_http_eventbridge_endpoints_expect(ngx_conf_t *cf,
    ngx_http_eventbridge_endpoints_t *conf, ngx_str_t *parameter,
    ngx_str_t *value);
static ngx_int_t ngx_http_eventbridge_endpoints_zone(ngx_conf_t *cf,
    ngx_http_eventbridge_org_t *org);
static ngx_int_t ngx_http_eventbridge_endpoints_zone_init(
    ngx_shm_zone_t *zone, void *data);
static ngx_int_t ngx_http_eventbridge_endpoints_list(
    ngx_http_eventbridge_control_t *control, ngx_pool_t *pool,
    ngx_str_t *text);
static u_char *ngx_http_eventbridge_endpoints_figures(u_char *p,
    ngx_http_eventbridge_org_t *org);
static ngx_msec_t ngx_http_eventbridge_endpoints_clock(void);
static void ngx_http_eventbridge_endpoints_probed(void *data,
    ngx_eb_probe_result_t *result);
static ngx_int_t ngx_http_eventbridge_endpoints_result(ngx_pool_t *pool,
    ngx_eb_genesys_uri_t *endpoint, ngx_eb_probe_result_t *result);
static void ngx_http_eventbridge_endpoints_lost(
    ngx_eb_genesys_uri_t *endpoint, const char *why);
static void ngx_http_eventbridge_endpoints_keep(
    ngx_http_eventbridge_control_t *control,
    ngx_http_eventbridge_probes_t *probes,
    ngx_http_eventbridge_facts_t *facts);
static void ngx_http_eventbridge_endpoints_cut(
    ngx_http_eventbridge_carrier_t *carrier);
static void ngx_http_eventbridge_endpoints_cancel(ngx_event_t *ev);
static void ngx_http_eventbridge_endpoints_done(
    ngx_http_eventbridge_probes_t *probes);
static ngx_http_eventbridge_resolved_entry_t *
    ngx_http_eventbridge_endpoints_find(ngx_http_eventbridge_org_t *org,
    ngx_str_t *name);
static void ngx_http_eventbridge_endpoints_count(
    ngx_http_eventbridge_control_t *control, ngx_eb_genesys_op_t *op);
static ngx_uint_t ngx_http_eventbridge_endpoints_remember(
    ngx_http_eventbridge_org_t *org, ngx_eb_genesys_endpoint_t *what,
    ngx_str_t *record);


/* eventbridge_genesys_endpoints NAME [callback=WEBHOOK] ... */

char *
ngx_http_eventbridge_endpoints(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_eventbridge_loc_conf_t *elcf = conf;

    char                              *rv;
    ngx_str_t                         *value;
    ngx_uint_t                         i;
    ngx_http_eventbridge_endpoints_t  *endpoints;

    rv = ngx_http_eventbridge_control_location(cf, cmd, conf);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    rv = ngx_http_eventbridge_once(cf, 2);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    endpoints = ngx_pcalloc(cf->pool,
                            sizeof(ngx_http_eventbridge_endpoints_t));
    if (endpoints == NULL) {
        return NGX_CONF_ERROR;
    }

    elcf->control->endpoints = endpoints;
    value = cf->args->elts;

    for (i = 2; i < cf->args->nelts; i++) {

        rv = ngx_http_eventbridge_endpoints_parameter(cf, endpoints,
                                                      &value[i]);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_eventbridge_endpoints_parameter(ngx_conf_t *cf,
    ngx_http_eventbridge_endpoints_t *conf, ngx_str_t *parameter)
{
    char       *rv;
    ngx_int_t   n;
    ngx_str_t   s;

    if (ngx_http_eventbridge_takes(parameter, "callback=", &s)) {
        conf->callback = s;
        return ngx_http_eventbridge_outbox_callback(cf, parameter, &s);
    }

    if (ngx_http_eventbridge_takes(parameter, "timeout=", &s)) {

        n = ngx_parse_time(&s, 0);

        if (n == NGX_ERROR || n == 0 || n > 60 * 1000) {
            return ngx_http_eventbridge_refuse(cf, parameter,
                                               "from 1ms to 60s is expected");
        }

        conf->timeout = n;

        return NGX_CONF_OK;
    }

    if (ngx_http_eventbridge_takes(parameter, "method=", &s)) {

        if (ngx_strcmp(s.data, "GET") != 0
            && ngx_strcmp(s.data, "HEAD") != 0
            && ngx_strcmp(s.data, "OPTIONS") != 0)
        {
            return ngx_http_eventbridge_refuse(cf, parameter,
                                               "GET, HEAD or OPTIONS is "
                                               "expected");
        }

        conf->method = s;

        return NGX_CONF_OK;
    }

    if (ngx_http_eventbridge_takes(parameter, "path=", &s)) {
        conf->path = s;
        return ngx_http_eventbridge_endpoints_path(cf, parameter, &s);
    }

    if (ngx_http_eventbridge_takes(parameter, "expect=", &s)) {
        return ngx_http_eventbridge_endpoints_expect(cf, conf, parameter, &s);
    }

    if (ngx_http_eventbridge_takes(parameter, "trusted_certificate=", &s)) {

        rv = ngx_http_eventbridge_parameter_certificate(cf, parameter, &s);
        conf->trusted_certificate = s;

        return rv;
    }

    return ngx_http_eventbridge_refuse(cf, parameter, NULL);
}


static char *
ngx_http_eventbridge_endpoints_path(ngx_conf_t *cf, ngx_str_t *parameter,
    ngx_str_t *path)
{
    size_t  i;

    if (path->len == 0 || path->data[0] != '/') {
        return ngx_http_eventbridge_refuse(cf, parameter,
                                           "a path is expected");
    }

    for (i = 0; i < path->len; i++) {

        if (path->data[i] <= 0x20 || path->data[i] >= 0x7f
            || ngx_strchr("#\\\"<>", path->data[i]))
        {
            return ngx_http_eventbridge_refuse(cf, parameter,
                                               "it has a character that has "
                                               "to be encoded");
        }
    }

    return NGX_CONF_OK;
}


/* CODE[-CODE][,CODE[-CODE]]... */

static char *
ngx_http_eventbridge_endpoints_expect(ngx_conf_t *cf,
    ngx_http_eventbridge_endpoints_t *conf, ngx_str_t *parameter,
    ngx_str_t *value)
{
    u_char                *p, *last, *end, *dash;
    ngx_int_t              from, to;
    ngx_eb_probe_range_t  *range;

    conf->expect = ngx_array_create(cf->pool, 2, sizeof(ngx_eb_probe_range_t));
    if (conf->expect == NULL) {
        return NGX_CONF_ERROR;
    }

    p = value->data;
    last = p + value->len;

    for ( ;; ) {

        end = ngx_strlchr(p, last, ',');

        if (end == NULL) {
            end = last;
        }

        dash = ngx_strlchr(p, end, '-');

        from = ngx_atoi(p, (dash ? dash : end) - p);
        to = dash ? ngx_atoi(dash + 1, end - dash - 1) : from;

        if (from < 100 || to < from || to > 599
            || conf->expect->nelts == NGX_HTTP_EVENTBRIDGE_ENDPOINTS_RANGES)
        {
            return ngx_http_eventbridge_refuse(cf, parameter,
                                               "statuses as \"200-299,404\" "
                                               "are expected, 16 ranges at "
                                               "most");
        }

        range = ngx_array_push(conf->expect);
        if (range == NULL) {
            return NGX_CONF_ERROR;
        }

        range->from = from;
        range->to = to;

        if (end == last) {
            return NGX_CONF_OK;
        }

        p = end + 1;
    }
}


ngx_int_t
ngx_http_eventbridge_endpoints_setup(ngx_conf_t *cf,
    ngx_http_eventbridge_control_t *control)
{
    ngx_http_core_loc_conf_t          *clcf;
    ngx_http_eventbridge_org_t        *org;
    ngx_http_eventbridge_endpoints_t  *conf;

    conf = control->endpoints;
    org = control->org;

    if (conf == NULL) {
        return NGX_OK;
    }

    if (conf->timeout >= org->timeout) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"timeout\" of \"eventbridge_genesys_endpoints\" leaves "
                      "no time for the API: it must be less than that of "
                      "\"eventbridge_genesys %V\" in %s:%ui", &org->name,
                      control->file, control->line);
        return NGX_ERROR;
    }

    if (conf->timeout == 0) {
        conf->timeout = ngx_min(NGX_HTTP_EVENTBRIDGE_ENDPOINTS_TIMEOUT,
                                ngx_max(org->timeout / 2, 1));
    }

    /* nginx gives the level without a "resolver" one that knows no servers */

    clcf = control->clcf;

    if (clcf->resolver && clcf->resolver->connections.nelts) {

        conf->resolver = ngx_eb_probe_resolver(cf, clcf->resolver);
        if (conf->resolver == NULL) {
            return NGX_ERROR;
        }
    }

    if (ngx_process == NGX_PROCESS_SIGNALLER) {
        return NGX_OK;
    }

    return ngx_http_eventbridge_endpoints_zone(cf, org);
}


static ngx_int_t
ngx_http_eventbridge_endpoints_zone(ngx_conf_t *cf,
    ngx_http_eventbridge_org_t *org)
{
    ngx_str_t        name;
    ngx_shm_zone_t  *zone;

    name.len = sizeof("eventbridge_endpoints ") - 1 + org->name.len;
    name.data = ngx_pnalloc(cf->pool, name.len);
    if (name.data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(name.data, "eventbridge_endpoints %V", &org->name);

    /* one for all locations of an organisation */

    zone = ngx_shared_memory_add(cf, &name,
                                 NGX_HTTP_EVENTBRIDGE_ENDPOINTS_ZONE,
                                 &ngx_http_eventbridge_module);
    if (zone == NULL) {
        return NGX_ERROR;
    }

    zone->init = ngx_http_eventbridge_endpoints_zone_init;
    zone->data = org;

    return NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_endpoints_zone_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_http_eventbridge_org_t *old = data;
    ngx_http_eventbridge_org_t *org = zone->data;

    org->endpoints_pool = (ngx_slab_pool_t *) zone->shm.addr;

    if (zone->shm.exists) {
        org->endpoints = org->endpoints_pool->data;
        return NGX_OK;
    }

    if (old) {
        org->endpoints = old->endpoints;
        return NGX_OK;
    }

    org->endpoints = ngx_slab_alloc(org->endpoints_pool,
                                    sizeof(ngx_http_eventbridge_resolved_t));
    if (org->endpoints == NULL) {
        return NGX_ERROR;
    }

    /* when it is full the oldest entry goes */

    org->endpoints_pool->log_nomem = 0;
    org->endpoints_pool->data = org->endpoints;

    ngx_queue_init(&org->endpoints->queue);

    return NGX_OK;
}


ngx_int_t
ngx_http_eventbridge_endpoints_op(ngx_http_eventbridge_control_t *control,
    ngx_eb_genesys_op_t *op, ngx_str_t *body, ngx_uint_t dry_run)
{
    ngx_str_t                       *text;
    ngx_http_eventbridge_org_t      *org;
    ngx_eb_genesys_endpoint_conf_t  *conf;

    if (body == NULL) {
        text = ngx_palloc(op->pool, sizeof(ngx_str_t));

        if (text == NULL
            || ngx_http_eventbridge_endpoints_list(control, op->pool, text)
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        return ngx_eb_genesys_endpoint_list(op, text);
    }

    conf = ngx_pcalloc(op->pool, sizeof(ngx_eb_genesys_endpoint_conf_t));
    if (conf == NULL) {
        return NGX_ERROR;
    }

    org = control->org;

    conf->list = org->endpoints_path;
    conf->item = org->endpoint_path;
    conf->clock = ngx_http_eventbridge_endpoints_clock;
    conf->dry_run = dry_run;

    return ngx_eb_genesys_endpoint_resolve(op, conf, body);
}


static ngx_int_t
ngx_http_eventbridge_endpoints_list(ngx_http_eventbridge_control_t *control,
    ngx_pool_t *pool, ngx_str_t *text)
{
    u_char                                 *p;
    size_t                                  len;
    ngx_uint_t                              n;
    ngx_queue_t                            *q, *head;
    ngx_http_eventbridge_org_t             *org;
    ngx_http_eventbridge_resolved_entry_t  *entry;

    org = control->org;
    head = &org->endpoints->queue;
    len = NGX_HTTP_EVENTBRIDGE_ENDPOINTS_LIST;

    ngx_shmtx_lock(&org->endpoints_pool->mutex);

    for (q = ngx_queue_head(head);
         q != ngx_queue_sentinel(head);
         q = ngx_queue_next(q))
    {
        entry = ngx_queue_data(q, ngx_http_eventbridge_resolved_entry_t,
                               queue);
        len += entry->record_len + 1;
    }

    ngx_shmtx_unlock(&org->endpoints_pool->mutex);

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;
    len -= NGX_HTTP_EVENTBRIDGE_ENDPOINTS_LIST;

    p = ngx_cpymem(p, "{\"integrations\":[",
                   sizeof("{\"integrations\":[") - 1);
    n = 0;

    ngx_shmtx_lock(&org->endpoints_pool->mutex);

    for (q = ngx_queue_head(head);
         q != ngx_queue_sentinel(head);
         q = ngx_queue_next(q))
    {
        entry = ngx_queue_data(q, ngx_http_eventbridge_resolved_entry_t,
                               queue);

        /* there may be more by now */

        if (entry->record_len + 1 > len) {
            break;
        }

        len -= entry->record_len + 1;

        if (n++) {
            *p++ = ',';
        }

        p = ngx_cpymem(p, entry->data + entry->name_len, entry->record_len);
    }

    ngx_shmtx_unlock(&org->endpoints_pool->mutex);

    p = ngx_sprintf(p, "],\"total\":%ui,\"metrics\":", n);
    p = ngx_http_eventbridge_endpoints_figures(p, org);
    *p++ = '}';

    text->len = p - text->data;

    return NGX_OK;
}


/* without data there is no rate, and no average */

static u_char *
ngx_http_eventbridge_endpoints_figures(u_char *p,
    ngx_http_eventbridge_org_t *org)
{
    int64_t                            probes, resolves;
    ngx_eb_stats_cell_t               *cells;
    ngx_http_eventbridge_main_conf_t  *emcf;

    emcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_eventbridge_module);

    cells = ngx_http_eventbridge_org_cells(emcf ? emcf->stats : NULL, org);
    probes = cells[NGX_EB_STATS_O_PROBES];
    resolves = cells[NGX_EB_STATS_O_RESOLVES];

    p = ngx_cpymem(p, "{\"reachability_rate\":",
                   sizeof("{\"reachability_rate\":") - 1);

    if (probes > 0) {
        p = ngx_sprintf(p, "%.4f", (double) cells[NGX_EB_STATS_O_REACHABLE]
                                   / (double) probes);
    } else {
        p = ngx_cpymem(p, "null", 4);
    }

    p = ngx_sprintf(p, ",\"total_resolves\":%L,\"successful_resolves\":%L,"
                    "\"avg_latency_ms\":", resolves,
                    cells[NGX_EB_STATS_O_RESOLVED]);

    if (resolves > 0) {
        p = ngx_sprintf(p, "%.3f", (double) cells[NGX_EB_STATS_O_RESOLVE_SUM]
                                   / (double) resolves);
    } else {
        p = ngx_cpymem(p, "null", 4);
    }

    *p++ = '}';

    return p;
}


static ngx_msec_t
ngx_http_eventbridge_endpoints_clock(void)
{
    return ngx_current_msec;
}


ngx_int_t
ngx_http_eventbridge_endpoints_probe(ngx_http_eventbridge_control_t *control,
    ngx_eb_genesys_op_t *op, ngx_http_eventbridge_facts_t *facts,
    void (*done)(void *data), void *data)
{
    ngx_uint_t                         i, n;
    ngx_eb_probe_spec_t                spec;
    ngx_eb_genesys_uri_t              *endpoint;
    ngx_eb_genesys_endpoint_t         *what;
    ngx_http_eventbridge_probed_t     *probed;
    ngx_http_eventbridge_probes_t     *probes;
    ngx_http_eventbridge_endpoints_t  *conf;

    what = ngx_eb_genesys_endpoint(op);
    conf = control->endpoints;

    if (!what->valid) {
        return NGX_OK;
    }

    endpoint = what->doc.endpoints.elts;
    n = what->doc.endpoints.nelts;

    probes = ngx_pcalloc(op->pool, sizeof(ngx_http_eventbridge_probes_t));
    probed = ngx_pcalloc(op->pool, n * sizeof(ngx_http_eventbridge_probed_t));

    if (probes == NULL || probed == NULL) {
        return NGX_ERROR;
    }

    probes->pool = op->pool;
    probes->probed = probed;
    probes->n = n;
    probes->done = done;
    probes->data = data;

    ngx_memzero(&spec, sizeof(ngx_eb_probe_spec_t));

    spec.method = conf->method;
    spec.path = conf->path;
    spec.timeout = conf->timeout;
    spec.trusted_certificate = conf->trusted_certificate;
    spec.resolver = conf->resolver;
    spec.allow = control->conf->probe_allow;
    spec.from_request = 1;
    spec.handler = ngx_http_eventbridge_endpoints_probed;

    if (conf->expect) {
        spec.expect = conf->expect->elts;
        spec.nexpect = conf->expect->nelts;
    }

    for (i = 0; i < n; i++) {
        probed[i].probes = probes;
        probed[i].endpoint = &endpoint[i];

        spec.url = endpoint[i].uri;
        spec.data = &probed[i];

        probed[i].probe = ngx_eb_probe_start(&spec);

        if (probed[i].probe == NULL) {
            ngx_http_eventbridge_endpoints_lost(&endpoint[i],
                                                "no memory is left for it");
            continue;
        }

        probes->left++;
    }

    if (probes->left == 0) {
        return NGX_OK;
    }

    ngx_http_eventbridge_endpoints_keep(control, probes, facts);

    return NGX_AGAIN;
}


static void
ngx_http_eventbridge_endpoints_probed(void *data,
    ngx_eb_probe_result_t *result)
{
    ngx_http_eventbridge_probed_t *probed = data;

    ngx_http_eventbridge_probes_t  *probes;

    probes = probed->probes;
    probed->probe = NULL;

    if (ngx_http_eventbridge_endpoints_result(probes->pool, probed->endpoint,
                                              result)
        != NGX_OK)
    {
        ngx_http_eventbridge_endpoints_lost(probed->endpoint,
                                            "no memory is left for it");
    }

    if (--probes->left == 0) {
        ngx_http_eventbridge_endpoints_done(probes);
    }
}


/* worker_shutdown_timeout knows connections only, and ends this by one */

static void
ngx_http_eventbridge_endpoints_keep(ngx_http_eventbridge_control_t *control,
    ngx_http_eventbridge_probes_t *probes,
    ngx_http_eventbridge_facts_t *facts)
{
    ngx_http_eventbridge_carrier_t  *keeper;

    probes->cut.handler = ngx_http_eventbridge_endpoints_cancel;
    probes->cut.data = probes;
    probes->cut.log = ngx_cycle->log;

    keeper = ngx_http_eventbridge_carrier_create(probes->pool, ngx_cycle->log,
                                                 control->cscf->ctx, facts,
                                                 &control->name);

    /* without one it takes as long as it takes */

    if (keeper) {
        keeper->cut = ngx_http_eventbridge_endpoints_cut;
        keeper->data = probes;
        probes->keeper = keeper;
    }
}


static void
ngx_http_eventbridge_endpoints_cut(ngx_http_eventbridge_carrier_t *carrier)
{
    ngx_http_eventbridge_probes_t  *probes;

    probes = carrier->data;

    ngx_post_event(&probes->cut, &ngx_posted_events);
}


static void
ngx_http_eventbridge_endpoints_cancel(ngx_event_t *ev)
{
    ngx_http_eventbridge_probes_t *probes = ev->data;

    ngx_uint_t                      i;
    ngx_http_eventbridge_probed_t  *probed;

    for (i = 0; i < probes->n; i++) {
        probed = &probes->probed[i];

        if (probed->probe) {
            ngx_eb_probe_cancel(probed->probe);
            probed->probe = NULL;

            ngx_http_eventbridge_endpoints_lost(probed->endpoint,
                                                "the server is shutting down");
        }
    }

    probes->left = 0;

    ngx_http_eventbridge_endpoints_done(probes);
}


static void
ngx_http_eventbridge_endpoints_done(ngx_http_eventbridge_probes_t *probes)
{
    if (probes->cut.posted) {
        ngx_delete_posted_event(&probes->cut);
    }

    if (probes->keeper) {
        ngx_http_eventbridge_carrier_free(probes->keeper);
        probes->keeper = NULL;
    }

    probes->done(probes->data);
}


static ngx_int_t
ngx_http_eventbridge_endpoints_result(ngx_pool_t *pool,
    ngx_eb_genesys_uri_t *endpoint, ngx_eb_probe_result_t *result)
{
    u_char        *buf;
    ngx_str_t      json;
    const char    *name;
    ngx_eb_out_t   out;

    buf = ngx_alloc(NGX_EB_PROBE_JSON, pool->log);
    if (buf == NULL) {
        return NGX_ERROR;
    }

    ngx_eb_out_init(&out, buf, NGX_EB_PROBE_JSON);
    ngx_eb_probe_json(&out, result);

    json.data = buf;
    json.len = out.pos - buf;

    if (ngx_http_eventbridge_copy(pool, &endpoint->json, &json) != NGX_OK
        || ngx_http_eventbridge_copy(pool, &endpoint->words, &result->words)
           != NGX_OK)
    {
        ngx_free(buf);
        return NGX_ERROR;
    }

    ngx_free(buf);

    name = ngx_eb_probe_phase(result->phase);
    endpoint->phase.data = (u_char *) name;
    endpoint->phase.len = ngx_strlen(name);

    if (result->error != NGX_EB_PROBE_OK) {
        name = ngx_eb_probe_class(result->error);
        endpoint->error.data = (u_char *) name;
        endpoint->error.len = ngx_strlen(name);
    }

    endpoint->status = result->status;
    endpoint->total = result->total;
    endpoint->days = result->days_left;
    endpoint->certificate = result->certificate;
    endpoint->probed = 1;
    endpoint->reachable = (result->error == NGX_EB_PROBE_OK);

    return NGX_OK;
}


/* nothing is known */

static void
ngx_http_eventbridge_endpoints_lost(ngx_eb_genesys_uri_t *endpoint,
    const char *why)
{
    const char  *name;

    name = ngx_eb_probe_phase(NGX_EB_PROBE_URL);
    endpoint->phase.data = (u_char *) name;
    endpoint->phase.len = ngx_strlen(name);

    name = ngx_eb_probe_class(NGX_EB_PROBE_INTERNAL);
    endpoint->error.data = (u_char *) name;
    endpoint->error.len = ngx_strlen(name);

    endpoint->words.data = (u_char *) why;
    endpoint->words.len = ngx_strlen(why);

    ngx_str_null(&endpoint->json);

    endpoint->reachable = 0;
}


ngx_int_t
ngx_http_eventbridge_endpoints_record(ngx_http_eventbridge_control_t *control,
    ngx_eb_genesys_op_t *op, ngx_str_t *record)
{
    ngx_str_t                              *previous;
    ngx_time_t                             *tp;
    ngx_eb_genesys_endpoint_t              *what;
    ngx_http_eventbridge_org_t             *org;
    ngx_http_eventbridge_resolved_entry_t  *entry;

    what = ngx_eb_genesys_endpoint(op);
    org = control->org;
    previous = NULL;

    if (what->valid) {
        ngx_shmtx_lock(&org->endpoints_pool->mutex);

        entry = ngx_http_eventbridge_endpoints_find(org, &what->doc.name);

        if (entry) {
            previous = ngx_eb_genesys_state(entry->state);
        }

        ngx_shmtx_unlock(&org->endpoints_pool->mutex);
    }

    tp = ngx_timeofday();

    return ngx_eb_genesys_endpoint_record(op->pool, what, previous,
                                          (int64_t) tp->sec * 1000 + tp->msec,
                                          record);
}


/* under the lock */

static ngx_http_eventbridge_resolved_entry_t *
ngx_http_eventbridge_endpoints_find(ngx_http_eventbridge_org_t *org,
    ngx_str_t *name)
{
    ngx_queue_t                            *q, *head;
    ngx_http_eventbridge_resolved_entry_t  *entry;

    head = &org->endpoints->queue;

    for (q = ngx_queue_head(head);
         q != ngx_queue_sentinel(head);
         q = ngx_queue_next(q))
    {
        entry = ngx_queue_data(q, ngx_http_eventbridge_resolved_entry_t,
                               queue);

        if (entry->name_len == name->len
            && ngx_memcmp(entry->data, name->data, name->len) == 0)
        {
            return entry;
        }
    }

    return NULL;
}


ngx_uint_t
ngx_http_eventbridge_endpoints_end(ngx_http_eventbridge_control_t *control,
    ngx_eb_genesys_op_t *op, ngx_str_t *record)
{
    ngx_uint_t                  changed;
    ngx_eb_genesys_endpoint_t  *what;

    what = ngx_eb_genesys_endpoint(op);

    ngx_http_eventbridge_endpoints_count(control, op);

    /* what was only to be looked at is in no state */

    if (!what->valid || what->dry_run) {
        return 0;
    }

    changed = ngx_http_eventbridge_endpoints_remember(control->org, what,
                                                      record);

    return changed || op->answer.changed;
}


static void
ngx_http_eventbridge_endpoints_count(ngx_http_eventbridge_control_t *control,
    ngx_eb_genesys_op_t *op)
{
    ngx_eb_stats_cell_t               *cells;
    ngx_eb_genesys_endpoint_t         *what;
    ngx_http_eventbridge_main_conf_t  *emcf;

    emcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_eventbridge_module);
    if (emcf == NULL) {
        return;
    }

    what = ngx_eb_genesys_endpoint(op);
    cells = ngx_http_eventbridge_org_cells(emcf->stats, control->org);

    if (what->valid) {
        ngx_eb_stats_add(cells, NGX_EB_STATS_O_PROBES,
                         what->doc.endpoints.nelts);
        ngx_eb_stats_add(cells, NGX_EB_STATS_O_REACHABLE, what->reachable);
    }

    if (what->dry_run) {
        return;
    }

    ngx_eb_stats_add(cells, NGX_EB_STATS_O_RESOLVES, 1);
    ngx_eb_stats_add(cells, NGX_EB_STATS_O_RESOLVED,
                     what->state == NGX_EB_GENESYS_STATE_DEPLOYED);
    ngx_eb_stats_observe_resolve(cells, what->latency);
}


/* 1: its state is another one than before */

static ngx_uint_t
ngx_http_eventbridge_endpoints_remember(ngx_http_eventbridge_org_t *org,
    ngx_eb_genesys_endpoint_t *what, ngx_str_t *record)
{
    size_t                                  size;
    ngx_str_t                              *name;
    ngx_uint_t                              changed;
    ngx_queue_t                            *q;
    ngx_slab_pool_t                        *shpool;
    ngx_http_eventbridge_resolved_entry_t  *entry;

    shpool = org->endpoints_pool;
    name = &what->doc.name;

    size = offsetof(ngx_http_eventbridge_resolved_entry_t, data) + name->len
           + (record ? record->len : 0);

    ngx_shmtx_lock(&shpool->mutex);

    entry = ngx_http_eventbridge_endpoints_find(org, name);
    changed = (entry == NULL || entry->state != what->state);

    if (entry) {
        ngx_queue_remove(&entry->queue);
        ngx_slab_free_locked(shpool, entry);
        entry = NULL;
    }

    while (record) {
        entry = ngx_slab_alloc_locked(shpool, size);

        if (entry || ngx_queue_empty(&org->endpoints->queue)) {
            break;
        }

        q = ngx_queue_last(&org->endpoints->queue);
        ngx_queue_remove(q);
        ngx_slab_free_locked(shpool,
                             ngx_queue_data(q,
                                        ngx_http_eventbridge_resolved_entry_t,
                                            queue));
    }

    if (entry) {
        entry->state = what->state;
        entry->name_len = name->len;
        entry->record_len = record->len;

        ngx_memcpy(entry->data, name->data, name->len);
        ngx_memcpy(entry->data + name->len, record->data, record->len);

        ngx_queue_insert_head(&org->endpoints->queue, &entry->queue);
    }

    ngx_shmtx_unlock(&shpool->mutex);

    return changed;
}


ngx_eb_stats_cell_t *
ngx_http_eventbridge_org_cells(ngx_eb_stats_t *stats,
    ngx_http_eventbridge_org_t *org)
{
    u_char        buf[256];
    ngx_str_t     labels;
    ngx_eb_out_t  out;

    ngx_eb_out_init(&out, buf, sizeof(buf));

    ngx_eb_out_lit(&out, "organisation=");
    ngx_eb_out_label(&out, &org->name, 64);

    labels.data = buf;
    labels.len = out.pos - buf;

    return ngx_eb_stats_series(stats, NGX_EB_STATS_ORGANISATION, &labels);
}
