
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What needs the whole configuration: destinations are looked up among the
 * locations, checked and hardened, files are mapped, series are named.
 */


#include "ngx_http_eventbridge_module.h"
#include "ngx_http_eventbridge_replay.h"
#include "ngx_http_eventbridge_auth.h"
#include "ngx_http_eventbridge_condition.h"
#include "ngx_http_eventbridge_genesys.h"
#include "ngx_http_eventbridge_outbox.h"
#include "ngx_http_eventbridge_destination.h"
#include "ngx_http_eventbridge_status.h"
#include "ngx_http_eventbridge_lifecycle.h"
#include "ngx_eb_lease.h"


/* room for two labels of 256 bytes and two of 64, escaped */
#define NGX_HTTP_EVENTBRIDGE_LABELS  2048


static ngx_int_t ngx_http_eventbridge_setup_zones(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf);
static ngx_int_t ngx_http_eventbridge_setup_files(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf);
static ngx_int_t ngx_http_eventbridge_setup_file(ngx_conf_t *cf,
    ngx_array_t *files, ngx_str_t *path);
static ngx_uint_t ngx_http_eventbridge_setup_known(ngx_array_t *files,
    ngx_str_t *path);
static ngx_int_t ngx_http_eventbridge_setup_place(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_place_t *place);
static ngx_uint_t ngx_http_eventbridge_setup_index(
    ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_destination_t *d);
static ngx_int_t ngx_http_eventbridge_setup_router(ngx_conf_t *cf,
    ngx_http_eventbridge_place_t *place,
    ngx_http_eventbridge_ingest_t *ingest);
static ngx_int_t ngx_http_eventbridge_setup_series(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_place_t *place,
    ngx_http_eventbridge_ingest_t *ingest);
static void ngx_http_eventbridge_setup_warnings(ngx_conf_t *cf,
    ngx_http_eventbridge_place_t *place,
    ngx_http_eventbridge_ingest_t *ingest);
static ngx_int_t ngx_http_eventbridge_setup_destination(ngx_conf_t *cf,
    ngx_http_eventbridge_place_t *place,
    ngx_http_eventbridge_ingest_t *ingest, const char *directive,
    ngx_str_t *uri, u_char *file, ngx_uint_t line);
static ngx_http_core_loc_conf_t *ngx_http_eventbridge_find_static(
    ngx_http_location_tree_node_t *node, ngx_str_t *uri);
static ngx_int_t ngx_http_eventbridge_init_lock(ngx_cycle_t *cycle,
    ngx_http_eventbridge_main_conf_t *emcf);
static ngx_int_t ngx_http_eventbridge_zone_add(ngx_conf_t *cf,
    ngx_http_eventbridge_zone_t *zone, ngx_str_t *uri);


ngx_int_t
ngx_http_eventbridge_setup(ngx_conf_t *cf)
{
    u_char                             errstr[NGX_MAX_CONF_ERRSTR];
    ngx_err_t                          err;
    ngx_str_t                          name;
    ngx_uint_t                         i;
    ngx_eb_log_t                     **logs;
    ngx_http_eventbridge_place_t      *places;
    ngx_http_eventbridge_main_conf_t  *emcf;

    emcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_eventbridge_module);

    if (emcf->places.nelts == 0 && emcf->zones.nelts == 0
        && emcf->organisations.nelts == 0 && !emcf->observed
        && emcf->healths == NULL)
    {
        return NGX_OK;
    }

    ngx_str_set(&name, "request_id");
    emcf->request_id_index = ngx_http_get_variable_index(cf, &name);

    ngx_str_set(&name, "scheme");
    emcf->scheme_index = ngx_http_get_variable_index(cf, &name);

    if (emcf->request_id_index == NGX_ERROR
        || emcf->scheme_index == NGX_ERROR)
    {
        return NGX_ERROR;
    }

    /* "nginx -s" reads the configuration too, and must touch nothing */

    if (!ngx_test_config && ngx_process != NGX_PROCESS_SIGNALLER) {
        emcf->stats = ngx_eb_stats_attach(cf->pool, &emcf->stats_file, cf->log,
                                          errstr, sizeof(errstr), &err);
        if (emcf->stats == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, err,
                          "eventbridge: stats file \"%V\": %s",
                          &emcf->stats_file, errstr);
            return NGX_ERROR;
        }
    }

    ngx_str_null(&name);
    emcf->cells = ngx_eb_stats_series(emcf->stats, NGX_EB_STATS_NODE, &name);

    /* "nginx -s" reads the configuration too */

    logs = emcf->logs.elts;

    for (i = 0;
         i < emcf->logs.nelts && ngx_process != NGX_PROCESS_SIGNALLER;
         i++)
    {
        if (ngx_eb_log_test(logs[i], cf->log) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    places = emcf->places.elts;

    for (i = 0; i < emcf->places.nelts; i++) {
        if (ngx_http_eventbridge_setup_place(cf, emcf, &places[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    ngx_http_eventbridge_key_warn(cf, emcf);

    if (ngx_http_eventbridge_setup_zones(cf, emcf) != NGX_OK
        || ngx_http_eventbridge_genesys_setup(cf, emcf) != NGX_OK
        || ngx_http_eventbridge_outbox_setup(cf, emcf) != NGX_OK
        || ngx_http_eventbridge_probe_setup(cf, emcf) != NGX_OK
        || ngx_http_eventbridge_lifecycle_setup(cf, emcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_eventbridge_setup_files(cf, emcf);
}


/*
 * A log that is written into a mapped file destroys it, and two kinds of
 * content in one file are of use to nobody.
 */

static ngx_int_t
ngx_http_eventbridge_setup_files(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_uint_t                          i, j;
    ngx_array_t                         files;
    ngx_eb_log_t                      **logs;
    ngx_list_part_t                    *part;
    ngx_open_file_t                    *file;
    ngx_http_eventbridge_zone_t       **zones;
    ngx_http_eventbridge_lifecycle_t  **lifecycles;

    if (ngx_array_init(&files, cf->temp_pool, 16, sizeof(ngx_str_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    zones = emcf->zones.elts;
    logs = emcf->logs.elts;

    for (i = 0; i < emcf->zones.nelts; i++) {
        if (ngx_http_eventbridge_setup_file(cf, &files, &zones[i]->conf.path)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    for (i = 0; i < emcf->logs.nelts; i++) {
        if (ngx_http_eventbridge_setup_file(cf, &files,
                                            ngx_eb_log_path(logs[i]))
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (emcf->outbox
        && ngx_http_eventbridge_setup_file(cf, &files,
                                 ngx_eb_log_path(emcf->outbox->outbox.log))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    lifecycles = emcf->lifecycles.elts;

    for (i = 0; i < emcf->lifecycles.nelts; i++) {
        logs = lifecycles[i]->logs.elts;

        for (j = 0; j < lifecycles[i]->logs.nelts; j++) {
            if (ngx_http_eventbridge_setup_file(cf, &files,
                                                ngx_eb_log_path(logs[j]))
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    if (ngx_http_eventbridge_setup_file(cf, &files, &emcf->stats_file)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* nginx's logs may be the same as often as they like */

    for (part = &cf->cycle->open_files.part; part; part = part->next) {
        file = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (file[i].name.len
                && ngx_http_eventbridge_setup_known(&files, &file[i].name))
            {
                ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                              "eventbridge: log \"%V\" is the file of a "
                              "checkpoint, of a dead letter, of the outbox, "
                              "or of the metrics", &file[i].name);
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_setup_file(ngx_conf_t *cf, ngx_array_t *files,
    ngx_str_t *path)
{
    ngx_str_t  *file;

    if (ngx_http_eventbridge_setup_known(files, path)) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "eventbridge: file \"%V\" is to be two of a checkpoint, "
                      "a dead letter, the outbox, a lifecycle, and the "
                      "metrics", path);
        return NGX_ERROR;
    }

    file = ngx_array_push(files);
    if (file == NULL) {
        return NGX_ERROR;
    }

    *file = *path;

    return NGX_OK;
}


/* by its name, or because it is the same file; names end with a zero */

static ngx_uint_t
ngx_http_eventbridge_setup_known(ngx_array_t *files, ngx_str_t *path)
{
    ngx_str_t        *file;
    ngx_uint_t        i, there;
    ngx_file_info_t   one, two;

    file = files->elts;

    there = ngx_file_info(path->data, &one) != NGX_FILE_ERROR
            && ngx_is_file(&one);

    for (i = 0; i < files->nelts; i++) {

        if (ngx_http_eventbridge_same(&file[i], path)) {
            return 1;
        }

        if (there
            && ngx_file_info(file[i].data, &two) != NGX_FILE_ERROR
            && one.st_dev == two.st_dev && one.st_ino == two.st_ino)
        {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_eventbridge_setup_zones(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    u_char                         errstr[NGX_MAX_CONF_ERRSTR];
    ngx_err_t                      err;
    ngx_int_t                      rc;
    ngx_uint_t                     i, j;
    ngx_http_eventbridge_zone_t  **zones, *zone;

    zones = emcf->zones.elts;

    for (i = 0; i < emcf->zones.nelts; i++) {
        zone = zones[i];

        if (!zone->declared) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown zone \"%V\" of \"eventbridge_checkpoint\": "
                          "no \"eventbridge_checkpoint_zone\" declares it "
                          "in %s:%ui",
                          &zone->conf.name, zone->file, zone->line);
            return NGX_ERROR;
        }

        for (j = 0; j < i; j++) {
            if (zones[j]->conf.path.len == zone->conf.path.len
                && ngx_strncmp(zones[j]->conf.path.data, zone->conf.path.data,
                               zone->conf.path.len)
                   == 0)
            {
                ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                              "zones \"%V\" and \"%V\" of "
                              "\"eventbridge_checkpoint_zone\" have the same "
                              "path \"%V\" in %s:%ui", &zones[j]->conf.name,
                              &zone->conf.name, &zone->conf.path, zone->file,
                              zone->line);
                return NGX_ERROR;
            }
        }

        /* a mark has one bit for each destination */

        if (zone->uris.nelts > 64) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "zone \"%V\" of \"eventbridge_checkpoint\" has %ui "
                          "destinations, but only 64 fit in %s:%ui",
                          &zone->conf.name, zone->uris.nelts, zone->file,
                          zone->line);
            return NGX_ERROR;
        }

        if (ngx_process == NGX_PROCESS_SIGNALLER) {
            continue;
        }

        ngx_http_eventbridge_rate_warn(cf, emcf, zone);

        if (ngx_test_config) {
            rc = ngx_eb_checkpoint_test(&zone->conf, errstr, sizeof(errstr),
                                        &err);

        } else {
            zone->checkpoint = ngx_eb_checkpoint_attach(cf->pool, &zone->conf,
                                                        cf->log, errstr,
                                                        sizeof(errstr), &err);
            rc = zone->checkpoint ? NGX_OK : NGX_ERROR;
        }

        if (rc != NGX_OK) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, err,
                          "eventbridge_checkpoint_zone \"%V\", path \"%V\": %s "
                          "in %s:%ui", &zone->conf.name, &zone->conf.path,
                          errstr, zone->file, zone->line);
            return NGX_ERROR;
        }

#if !(NGX_THREADS)
        if (zone->conf.sync) {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "eventbridge_checkpoint_zone \"%V\" is not flushed: "
                          "nginx is built without threads in %s:%ui",
                          &zone->conf.name, zone->file, zone->line);
        }
#else
        if (zone->conf.sync && ngx_thread_pool_add(cf, NULL) == NULL) {
            return NGX_ERROR;
        }
#endif
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_setup_place(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_place_t *place)
{
    ngx_uint_t                        i;
    ngx_http_eventbridge_ingest_t    *ingest, **ingests;
    ngx_http_eventbridge_loc_conf_t  *elcf;

    elcf = place->conf;

    if (place->clcf->handler != ngx_http_eventbridge_ingest_handler) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"eventbridge_ingest\" of location \"%V\" has no "
                      "effect: another directive handles its requests in "
                      "%s:%ui", &place->clcf->name, place->file, place->line);
        return NGX_ERROR;
    }

    ingest = elcf->ingest;

    ingests = ngx_array_push(&emcf->ingests);
    if (ingests == NULL) {
        return NGX_ERROR;
    }

    *ingests = ingest;

    ingest->index = emcf->ingests.nelts - 1;
    ingest->name = place->clcf->name;
    ingest->server = place->cscf->server_name;
    ingest->ctx = place->cscf->ctx;
    ingest->conf = elcf;

    /* the default scope: two locations never meet, if their names differ */

    ingest->scope.len = place->cscf->server_name.len + 1 + ingest->name.len;
    ingest->scope.data = ngx_pnalloc(cf->pool, ingest->scope.len);
    if (ingest->scope.data == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(ingest->scope.data, "%V %V", &place->cscf->server_name,
                &ingest->name);

    if (ngx_http_eventbridge_setup_router(cf, place, ingest) != NGX_OK
        || ngx_http_eventbridge_setup_series(cf, emcf, place, ingest)
           != NGX_OK
        || ngx_http_eventbridge_rate_setup(cf, emcf, place) != NGX_OK
        || ngx_http_eventbridge_probe_place(cf, emcf, place) != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < ingest->ndestinations; i++) {
        ingest->destinations[i].index =
            ngx_http_eventbridge_setup_index(emcf, &ingest->destinations[i]);

        if (elcf->zone
            && ngx_http_eventbridge_zone_add(cf, elcf->zone,
                                             &ingest->destinations[i].uri)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (elcf->dead_letter
        && elcf->unavailable == NGX_HTTP_EVENTBRIDGE_UNAVAILABLE_DEAD
        && ngx_http_eventbridge_outage_add(cf, emcf, elcf->dead_letter)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_eventbridge_setup_warnings(cf, place, ingest);

    return NGX_OK;
}


/*
 * What is in flight to a destination is counted once, whichever location sends
 * it: else a hung one could use up more than its half.
 */

static ngx_uint_t
ngx_http_eventbridge_setup_index(ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_destination_t *d)
{
    ngx_uint_t                            i, j;
    ngx_http_eventbridge_ingest_t       **ingests;
    ngx_http_eventbridge_destination_t   *other;

    ingests = emcf->ingests.elts;

    /* the last one is that of d itself */

    for (i = 0; i + 1 < emcf->ingests.nelts; i++) {

        for (j = 0; j < ingests[i]->ndestinations; j++) {
            other = &ingests[i]->destinations[j];

            if (other->clcf == d->clcf
                && other->uri.len == d->uri.len
                && ngx_strncmp(other->uri.data, d->uri.data, d->uri.len) == 0)
            {
                return other->index;
            }
        }
    }

    return emcf->ndestinations++;
}


static ngx_int_t
ngx_http_eventbridge_setup_router(ngx_conf_t *cf,
    ngx_http_eventbridge_place_t *place,
    ngx_http_eventbridge_ingest_t *ingest)
{
    ngx_int_t                           n;
    ngx_uint_t                          i, nroutes;
    ngx_eb_route_t                     *route;
    ngx_http_eventbridge_loc_conf_t    *elcf;
    ngx_http_eventbridge_route_conf_t  *rc;

    elcf = place->conf;
    rc = NULL;
    nroutes = 0;

    if (elcf->routes) {
        rc = elcf->routes->elts;
        nroutes = elcf->routes->nelts;
    }

    if (ngx_array_init(&ingest->router.routes, cf->pool, nroutes + 1,
                       sizeof(ngx_eb_route_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ingest->router.all = elcf->policy_all;

    ingest->routes = ngx_pcalloc(cf->pool, (nroutes + 1)
                                       * sizeof(ngx_http_eventbridge_route_t));
    ingest->destinations = ngx_pcalloc(cf->pool, NGX_EB_ROUTE_MAX_DESTINATIONS
                                 * sizeof(ngx_http_eventbridge_destination_t));
    if (ingest->routes == NULL || ingest->destinations == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < nroutes; i++) {

        n = ngx_http_eventbridge_setup_destination(cf, place, ingest,
                                                   "eventbridge_route",
                                                   &rc[i].destination,
                                                   rc[i].file, rc[i].line);
        if (n == NGX_ERROR) {
            return NGX_ERROR;
        }

        route = ngx_array_push(&ingest->router.routes);
        if (route == NULL) {
            return NGX_ERROR;
        }

        route->name = rc[i].name;
        route->destination = n;
        route->source = rc[i].source;
        route->type = rc[i].type;
        route->metadata = rc[i].metadata;
        route->pattern = rc[i].pattern;

        if (ngx_http_eventbridge_pattern_setup(&ingest->router, &rc[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (ngx_http_eventbridge_condition_setup(cf, &rc[i], route)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        ingest->routes[i].name = rc[i].name;
        ingest->routes[i].alternate = -1;

        if (rc[i].alternate.len) {
            n = ngx_http_eventbridge_setup_destination(cf, place, ingest,
                                                       "alternate",
                                                       &rc[i].alternate,
                                                       rc[i].file, rc[i].line);
            if (n == NGX_ERROR) {
                return NGX_ERROR;
            }

            ingest->routes[i].alternate = n;
            ingest->alternates = 1;
        }
    }

    ingest->routes[nroutes].alternate = -1;

    ngx_str_set(&ingest->routes[nroutes].name, "unrouted");

    if (elcf->unrouted == NGX_HTTP_EVENTBRIDGE_UNROUTED_SEND) {

        n = ngx_http_eventbridge_setup_destination(cf, place, ingest,
                                                   "eventbridge_unrouted",
                                                   &elcf->unrouted_uri,
                                                   elcf->unrouted_file,
                                                   elcf->unrouted_line);
        if (n == NGX_ERROR) {
            return NGX_ERROR;
        }

        ingest->unrouted = n;
    }

    if (nroutes == 0 && elcf->unrouted == NGX_HTTP_EVENTBRIDGE_UNROUTED_DROP) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"eventbridge_ingest\" of location \"%V\" drops every "
                      "event: it has no \"eventbridge_route\" in %s:%ui",
                      &ingest->name, place->file, place->line);
    }

    return NGX_OK;
}


/* the number of the destination in its location; NGX_ERROR: logged */

static ngx_int_t
ngx_http_eventbridge_setup_destination(ngx_conf_t *cf,
    ngx_http_eventbridge_place_t *place,
    ngx_http_eventbridge_ingest_t *ingest, const char *directive,
    ngx_str_t *uri, u_char *file, ngx_uint_t line)
{
    ngx_uint_t                           i;
    ngx_http_core_loc_conf_t            *clcf;
    ngx_http_eventbridge_loc_conf_t     *elcf;
    ngx_http_eventbridge_destination_t  *d;

    d = ingest->destinations;

    for (i = 0; i < ingest->ndestinations; i++) {
        if (d[i].uri.len == uri->len
            && ngx_strncmp(d[i].uri.data, uri->data, uri->len) == 0)
        {
            return i;
        }
    }

    if (ingest->ndestinations == NGX_EB_ROUTE_MAX_DESTINATIONS) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "too many destinations in location \"%V\": \"%V\" of "
                      "\"%s\" is number 65 in %s:%ui",
                      &ingest->name, uri, directive, file, line);
        return NGX_ERROR;
    }

    if (uri->len > sizeof("lifecycle:") - 1
        && ngx_strncmp(uri->data, "lifecycle:", sizeof("lifecycle:") - 1)
           == 0)
    {
        return ngx_http_eventbridge_lifecycle_destination(cf, ingest,
                                                          directive, uri,
                                                          file, line);
    }

    clcf = ngx_http_eventbridge_find_location(place->cscf, uri);

    if (clcf == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "unknown destination \"%V\" of \"%s\": add "
                      "\"location = %V { internal; ... }\" to the server "
                      "in %s:%ui", uri, directive, uri, file, line);
        return NGX_ERROR;
    }

    /* it takes no subrequests, so it would never take an event */

    elcf = clcf->loc_conf[ngx_http_eventbridge_module.ctx_index];

    if (elcf->enabled) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "destination \"%V\" of \"%s\" is %s ingest location "
                      "in %s:%ui", uri, directive,
                      (clcf == place->clcf) ? "its own" : "another", file,
                      line);
        return NGX_ERROR;
    }

    d[i].uri = *uri;
    d[i].path = *uri;
    d[i].clcf = clcf;
    d[i].bit = -1;

    if (clcf->named) {

        /* "@name" in a request line is none that a server takes */

        d[i].path.data = ngx_pstrdup(cf->pool, uri);
        if (d[i].path.data == NULL) {
            return NGX_ERROR;
        }

        d[i].path.data[0] = '/';
    }

    ngx_http_eventbridge_harden(cf, clcf);

    if (!clcf->internal && !clcf->named) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "destination \"%V\" of \"%s\" can be requested by "
                      "clients: add \"internal;\" to location \"%V\" "
                      "in %s:%ui", uri, directive, &clcf->name, file, line);
    }

    if (clcf->client_max_body_size != 0
        && (place->clcf->client_max_body_size == 0
            || clcf->client_max_body_size
               < place->clcf->client_max_body_size))
    {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "destination \"%V\" of \"%s\" may refuse a large "
                      "batch: add \"client_max_body_size 0;\" to location "
                      "\"%V\" in %s:%ui", uri, directive, &clcf->name, file,
                      line);
    }

    return ingest->ndestinations++;
}


static ngx_int_t
ngx_http_eventbridge_setup_series(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_place_t *place,
    ngx_http_eventbridge_ingest_t *ingest)
{
    u_char                              *buf, *p, *q;
    ngx_str_t                            labels;
    ngx_uint_t                           i;
    ngx_eb_out_t                         out;
    ngx_eb_route_t                      *routes;
    ngx_http_eventbridge_destination_t  *d;

    buf = ngx_pnalloc(cf->temp_pool, NGX_HTTP_EVENTBRIDGE_LABELS);
    if (buf == NULL) {
        return NGX_ERROR;
    }

    ngx_eb_out_init(&out, buf, NGX_HTTP_EVENTBRIDGE_LABELS);

    ngx_eb_out_lit(&out, "server=");
    ngx_eb_out_label(&out, &place->cscf->server_name, 256);
    ngx_eb_out_lit(&out, ",location=");
    ngx_eb_out_label(&out, &ingest->name, 256);

    labels.data = buf;
    labels.len = out.pos - buf;

    ingest->cells = ngx_eb_stats_series(emcf->stats, NGX_EB_STATS_LOCATION,
                                        &labels);
    p = out.pos;

    for (i = 0; i < ingest->ndestinations; i++) {
        out.pos = p;

        ngx_eb_out_lit(&out, ",destination=");
        ngx_eb_out_label(&out, &ingest->destinations[i].uri, 64);

        labels.len = out.pos - buf;

        ingest->destinations[i].cells = ngx_eb_stats_series(emcf->stats,
                                                NGX_EB_STATS_DESTINATION,
                                                &labels);
    }

    routes = ingest->router.routes.elts;

    for (i = 0; i <= ingest->router.routes.nelts; i++) {
        out.pos = p;

        if (i < ingest->router.routes.nelts) {
            d = &ingest->destinations[routes[i].destination];

        } else if (place->conf->unrouted == NGX_HTTP_EVENTBRIDGE_UNROUTED_SEND)
        {
            d = &ingest->destinations[ingest->unrouted];

        } else {
            break;
        }

        ngx_eb_out_lit(&out, ",route=");
        ngx_eb_out_label(&out, &ingest->routes[i].name, 64);

        q = out.pos;

        ngx_eb_out_lit(&out, ",destination=");
        ngx_eb_out_label(&out, &d->uri, 64);

        labels.len = (out.truncated ? q : out.pos) - buf;

        ingest->routes[i].cells = ngx_eb_stats_series(emcf->stats,
                                                      NGX_EB_STATS_ROUTE,
                                                      &labels);
    }

    return NGX_OK;
}


static void
ngx_http_eventbridge_setup_warnings(ngx_conf_t *cf,
    ngx_http_eventbridge_place_t *place,
    ngx_http_eventbridge_ingest_t *ingest)
{
    off_t  max;

    /* "off" says that other rules guard it */

    if (place->conf->auth == NULL) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "ingest location \"%V\" has no \"eventbridge_auth\": "
                      "whoever reaches it may post; add one, or "
                      "\"eventbridge_auth off;\" where other rules guard it "
                      "in %s:%ui", &ingest->name, place->file, place->line);
    }

    max = place->clcf->client_max_body_size;

    /* a legal event of AWS is up to 1 MB and its envelope a little more */

    if (max != 0 && max < 2 * 1024 * 1024) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"client_max_body_size\" of ingest location \"%V\" is "
                      "%O bytes: a larger body is refused with 413, which "
                      "senders do not retry; add \"client_max_body_size 2m;\" "
                      "or more in %s:%ui", &ingest->name, max, place->file,
                      place->line);
    }
}


static ngx_int_t
ngx_http_eventbridge_zone_add(ngx_conf_t *cf,
    ngx_http_eventbridge_zone_t *zone, ngx_str_t *uri)
{
    ngx_str_t   *uris;
    ngx_uint_t   i;

    uris = zone->uris.elts;

    for (i = 0; i < zone->uris.nelts; i++) {
        if (uris[i].len == uri->len
            && ngx_strncmp(uris[i].data, uri->data, uri->len) == 0)
        {
            return NGX_OK;
        }
    }

    uris = ngx_array_push(&zone->uris);
    if (uris == NULL) {
        return NGX_ERROR;
    }

    *uris = *uri;

    return NGX_OK;
}


/*
 * The location that serves uri: one of that very name, or an internal one
 * that covers it.  A location that merely happens to match, such as "/", is
 * none: a misspelled destination would vanish in it.
 */

ngx_http_core_loc_conf_t *
ngx_http_eventbridge_find_location(ngx_http_core_srv_conf_t *cscf,
    ngx_str_t *uri)
{
    ngx_http_core_loc_conf_t  *clcf, *found, **clcfp;

    if (uri->data[0] == '@') {

        for (clcfp = cscf->named_locations; clcfp && *clcfp; clcfp++) {
            if ((*clcfp)->name.len == uri->len
                && ngx_strncmp((*clcfp)->name.data, uri->data, uri->len) == 0)
            {
                return *clcfp;
            }
        }

        return NULL;
    }

    clcf = cscf->ctx->loc_conf[ngx_http_core_module.ctx_index];
    found = NULL;

    /* a location inside a location narrows it down, as for a request */

    while (clcf->static_locations) {
        clcf = ngx_http_eventbridge_find_static(clcf->static_locations, uri);

        if (clcf == NULL) {
            break;
        }

        found = clcf;

        if (clcf->exact_match) {
            return clcf;
        }
    }

#if (NGX_PCRE)

    clcf = cscf->ctx->loc_conf[ngx_http_core_module.ctx_index];

    if ((found == NULL || !found->noregex) && clcf->regex_locations) {

        for (clcfp = clcf->regex_locations; *clcfp; clcfp++) {
            if (ngx_regex_exec((*clcfp)->regex->regex, uri, NULL, 0) >= 0) {
                return (*clcfp)->internal ? *clcfp : NULL;
            }
        }
    }

#endif

    if (found
        && (found->internal
            || (found->name.len == uri->len
                && ngx_strncmp(found->name.data, uri->data, uri->len) == 0)))
    {
        return found;
    }

    return NULL;
}


/* as the core's own walk, on a URI instead of a request */

static ngx_http_core_loc_conf_t *
ngx_http_eventbridge_find_static(ngx_http_location_tree_node_t *node,
    ngx_str_t *uri)
{
    u_char                    *p;
    size_t                     len, n;
    ngx_int_t                  rc;
    ngx_http_core_loc_conf_t  *clcf;

    p = uri->data;
    len = uri->len;
    clcf = NULL;

    while (node) {

        n = ngx_min(len, (size_t) node->len);
        rc = ngx_filename_cmp(p, node->name, n);

        if (rc != 0) {
            node = (rc < 0) ? node->left : node->right;
            continue;
        }

        if (len == (size_t) node->len) {
            return node->exact ? node->exact : node->inclusive;
        }

        if (len < (size_t) node->len) {
            node = node->left;
            continue;
        }

        if (node->inclusive == NULL) {
            node = node->right;
            continue;
        }

        clcf = node->inclusive;
        p += n;
        len -= n;
        node = node->tree;
    }

    return clcf;
}


/*
 * A destination must not steer nginx by X-Accel-* headers: a hostile one
 * would turn our POST into an internal read.  nginx acts on them before any
 * filter of ours, so the location's upstream is told to ignore them.  Its
 * answer is read unbuffered (a background subrequest that is buffered spools to
 * disk).  Each of these modules begins its location configuration with
 * ngx_http_upstream_conf_t.
 */

void
ngx_http_eventbridge_harden(ngx_conf_t *cf, ngx_http_core_loc_conf_t *clcf)
{
    static const char  *names[] = {
        "ngx_http_proxy_module",
        "ngx_http_fastcgi_module",
        "ngx_http_uwsgi_module",
        "ngx_http_scgi_module",
        "ngx_http_grpc_module",
        NULL
    };

    ngx_uint_t                 i, n;
    ngx_module_t             **modules;
    ngx_http_upstream_conf_t  *ucf;

    modules = cf->cycle->modules;

    for (i = 0; modules[i]; i++) {

        for (n = 0; names[n]; n++) {

            if (modules[i]->type != NGX_HTTP_MODULE
                || ngx_strcmp(modules[i]->name, names[n]) != 0)
            {
                continue;
            }

            ucf = clcf->loc_conf[modules[i]->ctx_index];

            ucf->ignore_headers |= NGX_HTTP_UPSTREAM_IGN_XA_REDIRECT
                                   |NGX_HTTP_UPSTREAM_IGN_XA_EXPIRES
                                   |NGX_HTTP_UPSTREAM_IGN_XA_LIMIT_RATE
                                   |NGX_HTTP_UPSTREAM_IGN_XA_BUFFERING
                                   |NGX_HTTP_UPSTREAM_IGN_XA_CHARSET;
            ucf->ignore_client_abort = 1;
            ucf->buffering = 0;
        }
    }
}


/* the file of leases stands beside that of the metrics */

static ngx_int_t
ngx_http_eventbridge_init_lock(ngx_cycle_t *cycle,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_str_t                 path;
    ngx_pool_cleanup_t       *cln;
    ngx_pool_cleanup_file_t  *file;

    if (emcf->organisations.nelts == 0 && emcf->outbox == NULL
        && emcf->healths == NULL && emcf->lifecycles.nelts == 0)
    {
        return NGX_OK;
    }

    path.len = emcf->stats_file.len + sizeof(".lock") - 1;
    path.data = ngx_pnalloc(cycle->pool, path.len + 1);
    cln = ngx_pool_cleanup_add(cycle->pool, sizeof(ngx_pool_cleanup_file_t));

    if (path.data == NULL || cln == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(path.data, "%V.lock%Z", &emcf->stats_file);

    emcf->lock = ngx_eb_lease_open(&path, cycle->log);
    if (emcf->lock == NGX_INVALID_FILE) {
        return NGX_ERROR;
    }

    cln->handler = ngx_pool_cleanup_file;

    file = cln->data;
    file->fd = emcf->lock;
    file->name = path.data;
    file->log = cycle->log;

    return NGX_OK;
}


/* the new cycle is accepted: its destinations get their bits */

ngx_int_t
ngx_http_eventbridge_init_module(ngx_cycle_t *cycle)
{
    ngx_int_t                            bit;
    ngx_uint_t                           i, j;
    ngx_eb_log_t                       **logs;
    ngx_core_conf_t                     *ccf;
    ngx_http_eventbridge_zone_t         *zone, **zones;
    ngx_http_eventbridge_place_t        *places;
    ngx_http_eventbridge_ingest_t       *ingest;
    ngx_http_eventbridge_main_conf_t    *emcf;
    ngx_http_eventbridge_destination_t  *d;

    ngx_http_eventbridge_auth_init_module(cycle);

    emcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_eventbridge_module);

    if (emcf == NULL) {
        return NGX_OK;
    }

    logs = emcf->logs.elts;

    for (i = 0; i < emcf->logs.nelts; i++) {
        if (ngx_eb_log_open(logs[i], cycle) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (emcf->outbox
        && ngx_eb_log_open(emcf->outbox->outbox.log, cycle) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_eventbridge_lifecycle_init_module(cycle, emcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_test_config) {
        return NGX_OK;
    }

    if (ngx_http_eventbridge_init_lock(cycle, emcf) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_eventbridge_status_init(cycle, emcf);

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    zones = emcf->zones.elts;

    for (i = 0; i < emcf->zones.nelts; i++) {

        /* without a directive it is known only now */

        zones[i]->conf.user = ccf->user;
        zones[i]->conf.group = ccf->group;

        ngx_eb_checkpoint_settle(zones[i]->checkpoint, cycle->log);
    }

    places = emcf->places.elts;

    for (i = 0; i < emcf->places.nelts; i++) {

        zone = places[i].conf->zone;
        ingest = places[i].conf->ingest;

        if (zone == NULL) {
            continue;
        }

        for (j = 0; j < ingest->ndestinations; j++) {
            d = &ingest->destinations[j];

            bit = ngx_eb_checkpoint_destination(zone->checkpoint, &d->uri,
                                                cycle->log);
            d->bit = bit;

            if (bit < 0) {
                ngx_log_error(NGX_LOG_ALERT, cycle->log, 0,
                              "eventbridge: checkpoint \"%V\" has no free bit "
                              "for destination \"%V\": its events are answered "
                              "503 until an old destination is forgotten",
                              &zone->conf.name, &d->uri);
                continue;
            }

            zone->bits |= (uint64_t) 1 << bit;
        }
    }

    return NGX_OK;
}
