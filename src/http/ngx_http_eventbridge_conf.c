
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Setters of the structured directives, and merging.
 */


#include "ngx_http_eventbridge_module.h"
#include "ngx_http_eventbridge_auth.h"
#include "ngx_http_eventbridge_genesys.h"


static ngx_http_eventbridge_zone_t *ngx_http_eventbridge_zone_get(
    ngx_conf_t *cf, ngx_str_t *name);
static char *ngx_http_eventbridge_zone_name(ngx_conf_t *cf,
    ngx_str_t *value, ngx_http_eventbridge_zone_t **zone);


void *
ngx_http_eventbridge_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_eventbridge_main_conf_t  *emcf;

    emcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_eventbridge_main_conf_t));
    if (emcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     emcf->rates = NULL;
     *     emcf->ndestinations = 0;
     *     emcf->stats_file = { 0, NULL };
     *     emcf->stats = NULL;
     *     emcf->cells = NULL;
     *     emcf->observed = 0;
     *     emcf->worker = NULL;
     */

    if (ngx_array_init(&emcf->zones, cf->pool, 2,
                       sizeof(ngx_http_eventbridge_zone_t *))
        != NGX_OK
        || ngx_array_init(&emcf->places, cf->pool, 4,
                          sizeof(ngx_http_eventbridge_place_t))
           != NGX_OK
        || ngx_array_init(&emcf->ingests, cf->pool, 4,
                          sizeof(ngx_http_eventbridge_ingest_t *))
           != NGX_OK
        || ngx_array_init(&emcf->logs, cf->pool, 2, sizeof(ngx_eb_log_t *))
           != NGX_OK
        || ngx_array_init(&emcf->outages, cf->pool, 2, sizeof(void *))
           != NGX_OK
        || ngx_array_init(&emcf->audits, cf->pool, 2,
                          sizeof(ngx_eb_audit_t *))
           != NGX_OK
        || ngx_array_init(&emcf->organisations, cf->pool, 1, sizeof(void *))
           != NGX_OK
        || ngx_array_init(&emcf->controls, cf->pool, 1, sizeof(void *))
           != NGX_OK
        || ngx_array_init(&emcf->lifecycles, cf->pool, 1, sizeof(void *))
           != NGX_OK
        || ngx_array_init(&emcf->lifecycle_refs, cf->pool, 1, sizeof(void *))
           != NGX_OK
        || ngx_array_init(&emcf->subscriptions, cf->pool, 1, sizeof(void *))
           != NGX_OK
        || ngx_array_init(&emcf->auth_lines, cf->pool, 2, sizeof(void *))
           != NGX_OK)
    {
        return NULL;
    }

    return emcf;
}


char *
ngx_http_eventbridge_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_eventbridge_main_conf_t *emcf = conf;

    ngx_str_t         name;
    ngx_core_conf_t  *ccf;

    if (emcf->stats_file.len == 0) {
        ccf = (ngx_core_conf_t *) ngx_get_conf(cf->cycle->conf_ctx,
                                               ngx_core_module);

        /*
         * the pid file is named for this instance alone, lives where the
         * master may write, and mostly in memory
         */

        name = ccf->pid;

        if (name.len == 0) {
            ngx_str_set(&name, NGX_PID_PATH);
        }

        emcf->stats_file.len = name.len + sizeof(".eventbridge") - 1;
        emcf->stats_file.data = ngx_pnalloc(cf->pool,
                                            emcf->stats_file.len + 1);
        if (emcf->stats_file.data == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_sprintf(emcf->stats_file.data, "%V.eventbridge%Z", &name);

        if (ngx_conf_full_name(cf->cycle, &emcf->stats_file, 0) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


void *
ngx_http_eventbridge_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_eventbridge_loc_conf_t  *elcf;

    elcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_eventbridge_loc_conf_t));
    if (elcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     elcf->enabled = 0;
     *     elcf->ingest = NULL;
     *     elcf->event = NULL;
     *     elcf->scope = NULL;
     *     elcf->key = NGX_HTTP_EVENTBRIDGE_KEY_SOURCE_ID;
     *     elcf->key_paths = NULL;
     *     elcf->no_id = NGX_HTTP_EVENTBRIDGE_NO_ID_PASS;
     *     elcf->unrouted_uri = { 0, NULL };
     */

    elcf->zone = NGX_CONF_UNSET_PTR;
    elcf->routes = NGX_CONF_UNSET_PTR;
    elcf->policy_all = NGX_CONF_UNSET_UINT;
    elcf->unrouted = NGX_CONF_UNSET_UINT;
    elcf->forward_as = NGX_CONF_UNSET_UINT;
    elcf->pass = NGX_CONF_UNSET_PTR;
    elcf->dead_letter = NGX_CONF_UNSET_PTR;
    elcf->permanent = NGX_CONF_UNSET_PTR;
    elcf->unavailable = NGX_CONF_UNSET_UINT;
    elcf->forward_timeout = NGX_CONF_UNSET_MSEC;
    elcf->inflight_size = NGX_CONF_UNSET_SIZE;
    elcf->inflight_deliveries = NGX_CONF_UNSET_UINT;
    elcf->rate = NGX_CONF_UNSET_PTR;
    elcf->max_events = NGX_CONF_UNSET_UINT;
    elcf->max_depth = NGX_CONF_UNSET_UINT;
    elcf->audit = NGX_CONF_UNSET_PTR;
    elcf->auth = NGX_CONF_UNSET_PTR;
    elcf->control_protected = NGX_CONF_UNSET_UINT;

    return elcf;
}


char *
ngx_http_eventbridge_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_eventbridge_loc_conf_t *prev = parent;
    ngx_http_eventbridge_loc_conf_t *conf = child;

    ngx_http_core_loc_conf_t  *clcf;

    /*
     * "if" and "limit_except" inside of an ingest location: its requests
     * change over to their configuration, and are ingested there
     */

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->noname && prev->enabled) {
        conf->enabled = 1;
        conf->ingest = prev->ingest;
        conf->event = prev->event;

        if (clcf->lmt_excpt && clcf->handler == NULL) {
            clcf->handler = ngx_http_eventbridge_ingest_handler;
        }
    }

    /* one line says all about the key: it is inherited whole */

    if (conf->zone == NGX_CONF_UNSET_PTR) {
        conf->zone = prev->zone;
        conf->scope = prev->scope;
        conf->key = prev->key;
        conf->key_paths = prev->key_paths;
        conf->no_id = prev->no_id;
    }

    ngx_conf_merge_ptr_value(conf->zone, prev->zone, NULL);
    ngx_conf_merge_ptr_value(conf->routes, prev->routes, NULL);
    ngx_conf_merge_uint_value(conf->policy_all, prev->policy_all, 0);

    if (conf->unrouted == NGX_CONF_UNSET_UINT) {
        conf->unrouted_uri = prev->unrouted_uri;
        conf->unrouted_file = prev->unrouted_file;
        conf->unrouted_line = prev->unrouted_line;
    }

    ngx_conf_merge_uint_value(conf->unrouted, prev->unrouted,
                              NGX_HTTP_EVENTBRIDGE_UNROUTED_DROP);
    ngx_conf_merge_uint_value(conf->forward_as, prev->forward_as,
                              NGX_HTTP_EVENTBRIDGE_FORWARD_SAME);
    ngx_conf_merge_msec_value(conf->forward_timeout, prev->forward_timeout,
                              4000);

    if (conf->inflight_size == NGX_CONF_UNSET_SIZE) {
        conf->inflight_deliveries = prev->inflight_deliveries;
    }

    ngx_conf_merge_size_value(conf->inflight_size, prev->inflight_size,
                              64 * 1024 * 1024);

    /* 0: an eighth of worker_connections, known when a worker starts */
    ngx_conf_merge_uint_value(conf->inflight_deliveries,
                              prev->inflight_deliveries, 0);

    if (conf->rate == NGX_CONF_UNSET_PTR) {
        conf->rate_said = prev->rate_said;
    }

    ngx_conf_merge_ptr_value(conf->rate, prev->rate, NULL);
    ngx_conf_merge_uint_value(conf->max_events, prev->max_events, 10000);
    ngx_conf_merge_uint_value(conf->max_depth, prev->max_depth, 64);
    ngx_conf_merge_ptr_value(conf->audit, prev->audit, NULL);

    if (ngx_http_eventbridge_merge_headers(cf, prev, conf) != NGX_OK
        || ngx_http_eventbridge_merge_dead(cf, prev, conf) != NGX_OK
        || ngx_http_eventbridge_genesys_merge(cf, prev, conf) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    ngx_http_eventbridge_auth_merge(cf, prev, conf);

    return NGX_CONF_OK;
}


/* eventbridge_checkpoint_zone zone=NAME:SIZE path=FILE [...] */

char *
ngx_http_eventbridge_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                         *rv;
    time_t                        window;
    ngx_int_t                     msec;
    ngx_str_t                    *value, s;
    ngx_uint_t                    i;
    struct passwd                *pwd;
    ngx_core_conf_t              *ccf;
    ngx_http_eventbridge_zone_t  *zone;

    value = cf->args->elts;
    zone = NULL;

    rv = ngx_http_eventbridge_once(cf, 1);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    for (i = 1; i < cf->args->nelts; i++) {
        if (ngx_http_eventbridge_takes(&value[i], "zone=", &s)) {
            rv = ngx_http_eventbridge_zone_name(cf, &s, &zone);
            if (rv != NGX_CONF_OK) {
                return rv;
            }
        }
    }

    if (zone == NULL) {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "the \"zone\" parameter is "
                                           "missing");
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_http_eventbridge_takes(&value[i], "zone=", &s)) {
            continue;
        }

        if (ngx_http_eventbridge_takes(&value[i], "path=", &s)) {

            if (s.len == 0 || s.data[s.len - 1] == '/') {
                return ngx_http_eventbridge_refuse(cf, &value[i],
                                                   "a file name is expected");
            }

            if (ngx_conf_full_name(cf->cycle, &s, 0) != NGX_OK) {
                return NGX_CONF_ERROR;
            }

            zone->conf.path = s;
            continue;
        }

        if (ngx_http_eventbridge_takes(&value[i], "window=", &s)) {

            window = ngx_parse_time(&s, 1);

            if (window == (time_t) NGX_ERROR || window <= 0
                || window > 366 * 86400)
            {
                return ngx_http_eventbridge_refuse(cf, &value[i],
                                                   "from 1s to 366d "
                                                   "is expected");
            }

            zone->conf.window = window;
            continue;
        }

        if (ngx_http_eventbridge_takes(&value[i], "claim_timeout=", &s)) {

            msec = ngx_parse_time(&s, 0);

            if (msec == NGX_ERROR || msec < 1000 || msec > 3600 * 1000) {
                return ngx_http_eventbridge_refuse(cf, &value[i],
                                                   "from 1s to 1h is expected");
            }

            zone->conf.claim_timeout = (ngx_msec_t) msec;
            continue;
        }

        if (ngx_http_eventbridge_takes(&value[i], "sync=", &s)) {

            if (s.len == 3 && ngx_strncmp(s.data, "off", 3) == 0) {
                zone->conf.sync = 0;
                continue;
            }

            msec = ngx_parse_time(&s, 0);

            if (msec == NGX_ERROR || msec < 10 || msec > 3600 * 1000) {
                return ngx_http_eventbridge_refuse(cf, &value[i],
                                     "\"off\" or from 10ms to 1h is expected");
            }

            zone->conf.sync = (ngx_msec_t) msec;
            continue;
        }

        if (ngx_strcmp(value[i].data, "full=evict") == 0) {
            zone->conf.full_reject = 0;
            continue;
        }

        if (ngx_strcmp(value[i].data, "full=reject") == 0) {
            zone->conf.full_reject = 1;
            continue;
        }

        if (ngx_strcmp(value[i].data, "on_corrupt=reset") == 0) {
            zone->conf.corrupt_refuse = 0;
            continue;
        }

        if (ngx_strcmp(value[i].data, "on_corrupt=refuse") == 0) {
            zone->conf.corrupt_refuse = 1;
            continue;
        }

        return ngx_http_eventbridge_refuse(cf, &value[i], NULL);
    }

    if (zone->conf.path.len == 0) {
        return ngx_http_eventbridge_refuse(cf, &zone->conf.name,
                                           "the \"path\" parameter is "
                                           "missing");
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(cf->cycle->conf_ctx,
                                           ngx_core_module);
    zone->conf.user = ccf->user;
    zone->conf.group = ccf->group;

    if (ccf->user == (ngx_uid_t) NGX_CONF_UNSET_UINT) {

        /* nginx takes the default only when all has been read */

        pwd = getpwnam(NGX_USER);

        if (pwd) {
            zone->conf.user = pwd->pw_uid;
            zone->conf.group = pwd->pw_gid;
        }
    }

    return NGX_CONF_OK;
}


/* NAME:SIZE */

static char *
ngx_http_eventbridge_zone_name(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_eventbridge_zone_t **zone)
{
    u_char     *p;
    ssize_t     size;
    ngx_str_t   name, s;

    p = (u_char *) ngx_strchr(value->data, ':');

    if (p == NULL || p == value->data) {
        return ngx_http_eventbridge_refuse(cf, value,
                                           "NAME:SIZE is expected");
    }

    name.data = value->data;
    name.len = p - value->data;

    s.data = p + 1;
    s.len = value->data + value->len - s.data;

    if (name.len == 3 && ngx_strncmp(name.data, "off", 3) == 0) {
        return ngx_http_eventbridge_refuse(cf, value,
                                           "a zone cannot be called \"off\"");
    }

    size = (ssize_t) ngx_parse_offset(&s);

    if (size == NGX_ERROR || size < 65536) {
        return ngx_http_eventbridge_refuse(cf, value,
                                           "a size of at least 64k "
                                           "is expected");
    }

    *zone = ngx_http_eventbridge_zone_get(cf, &name);
    if (*zone == NULL) {
        return NGX_CONF_ERROR;
    }

    if ((*zone)->declared) {
        return ngx_http_eventbridge_refuse(cf, &name,
                                           "the zone is declared twice");
    }

    (*zone)->declared = 1;
    (*zone)->file = cf->conf_file->file.name.data;
    (*zone)->line = cf->conf_file->line;
    (*zone)->conf.size = size;
    (*zone)->conf.window = 26 * 3600;
    (*zone)->conf.claim_timeout = 30000;
    (*zone)->conf.sync = 1000;

    return NGX_CONF_OK;
}


/* a zone may be named before it is declared */

static ngx_http_eventbridge_zone_t *
ngx_http_eventbridge_zone_get(ngx_conf_t *cf, ngx_str_t *name)
{
    ngx_uint_t                         i;
    ngx_http_eventbridge_zone_t      **zones, *zone;
    ngx_http_eventbridge_main_conf_t  *emcf;

    emcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_eventbridge_module);

    zones = emcf->zones.elts;

    for (i = 0; i < emcf->zones.nelts; i++) {
        if (zones[i]->conf.name.len == name->len
            && ngx_strncmp(zones[i]->conf.name.data, name->data, name->len)
               == 0)
        {
            return zones[i];
        }
    }

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_http_eventbridge_zone_t));
    if (zone == NULL) {
        return NULL;
    }

    zone->conf.name = *name;
    zone->file = cf->conf_file->file.name.data;
    zone->line = cf->conf_file->line;

    if (ngx_array_init(&zone->uris, cf->pool, 4, sizeof(ngx_str_t))
        != NGX_OK)
    {
        return NULL;
    }

    zones = ngx_array_push(&emcf->zones);
    if (zones == NULL) {
        return NULL;
    }

    *zones = zone;

    return zone;
}


/* eventbridge_checkpoint NAME|off [scope=] [key=]... [no_id=] */

char *
ngx_http_eventbridge_checkpoint(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_eventbridge_loc_conf_t *elcf = conf;

    char                              *rv;
    ngx_str_t                         *value, s;
    ngx_uint_t                         i;
    ngx_http_compile_complex_value_t   ccv;

    if (elcf->zone != NGX_CONF_UNSET_PTR) {
        return ngx_http_eventbridge_duplicate(cf);
    }

    value = cf->args->elts;

    if (value[1].len == 0) {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "the name of a zone is expected");
    }

    rv = ngx_http_eventbridge_once(cf, 2);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (ngx_strcmp(value[1].data, "off") == 0) {

        if (cf->args->nelts > 2) {
            return ngx_http_eventbridge_refuse(cf, &value[2], NULL);
        }

        elcf->zone = NULL;
        return NGX_CONF_OK;
    }

    elcf->zone = ngx_http_eventbridge_zone_get(cf, &value[1]);
    if (elcf->zone == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_http_eventbridge_takes(&value[i], "scope=", &s)) {

            if (s.len == 0) {
                return ngx_http_eventbridge_refuse(cf, &value[i],
                                                   "a scope is expected");
            }

            elcf->scope = ngx_palloc(cf->pool,
                                     sizeof(ngx_http_complex_value_t));
            if (elcf->scope == NULL) {
                return NGX_CONF_ERROR;
            }

            ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

            ccv.cf = cf;
            ccv.value = &s;
            ccv.complex_value = elcf->scope;

            if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        if (ngx_strcmp(value[i].data, "key=source+id") == 0) {
            elcf->key = NGX_HTTP_EVENTBRIDGE_KEY_SOURCE_ID;
            continue;
        }

        if (ngx_strcmp(value[i].data, "key=id") == 0) {
            elcf->key = NGX_HTTP_EVENTBRIDGE_KEY_ID;
            continue;
        }

        if (ngx_http_eventbridge_takes(&value[i], "key=path:", &s)) {

            rv = ngx_http_eventbridge_key_path(cf, elcf, &value[i]);
            if (rv != NGX_CONF_OK) {
                return rv;
            }

            continue;
        }

        if (ngx_strcmp(value[i].data, "no_id=pass") == 0) {
            elcf->no_id = NGX_HTTP_EVENTBRIDGE_NO_ID_PASS;
            continue;
        }

        if (ngx_strcmp(value[i].data, "no_id=hash") == 0) {
            elcf->no_id = NGX_HTTP_EVENTBRIDGE_NO_ID_HASH;
            continue;
        }

        if (ngx_strcmp(value[i].data, "no_id=reject") == 0) {
            elcf->no_id = NGX_HTTP_EVENTBRIDGE_NO_ID_REJECT;
            continue;
        }

        return ngx_http_eventbridge_refuse(cf, &value[i], NULL);
    }

    return NGX_CONF_OK;
}


/* eventbridge_inflight SIZE [deliveries=N] */

char *
ngx_http_eventbridge_inflight(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_eventbridge_loc_conf_t *elcf = conf;

    ssize_t     size;
    ngx_int_t   n;
    ngx_str_t  *value, s;

    if (elcf->inflight_size != NGX_CONF_UNSET_SIZE) {
        return ngx_http_eventbridge_duplicate(cf);
    }

    value = cf->args->elts;

    size = (ssize_t) ngx_parse_offset(&value[1]);

    if (size == NGX_ERROR || size == 0) {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "a size is expected");
    }

    elcf->inflight_size = size;

    if (cf->args->nelts == 3) {

        if (!ngx_http_eventbridge_takes(&value[2], "deliveries=", &s)) {
            return ngx_http_eventbridge_refuse(cf, &value[2], NULL);
        }

        n = ngx_atoi(s.data, s.len);

        if (n == NGX_ERROR || n == 0) {
            return ngx_http_eventbridge_refuse(cf, &value[2],
                                               "a number is expected");
        }

        elcf->inflight_deliveries = n;
    }

    return NGX_CONF_OK;
}


/* eventbridge_audit_log FILE|off [buffer=SIZE] [flush=TIME] */

char *
ngx_http_eventbridge_audit_log(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_eventbridge_loc_conf_t *elcf = conf;

    char                              *rv;
    ssize_t                            buffer;
    ngx_int_t                          flush;
    ngx_str_t                         *value, s;
    ngx_uint_t                         i;
    ngx_http_eventbridge_main_conf_t  *emcf;

    if (elcf->audit != NGX_CONF_UNSET_PTR) {
        return ngx_http_eventbridge_duplicate(cf);
    }

    value = cf->args->elts;

    rv = ngx_http_eventbridge_once(cf, 2);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (ngx_strcmp(value[1].data, "off") == 0) {

        if (cf->args->nelts > 2) {
            return ngx_http_eventbridge_refuse(cf, &value[2], NULL);
        }

        elcf->audit = NULL;
        return NGX_CONF_OK;
    }

    if (value[1].len == 0 || value[1].data[value[1].len - 1] == '/') {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "a file name is expected");
    }

    buffer = 64 * 1024;
    flush = 1000;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_http_eventbridge_takes(&value[i], "buffer=", &s)) {

            buffer = ngx_parse_size(&s);

            if (buffer == NGX_ERROR || buffer < 8192
                || buffer > 64 * 1024 * 1024)
            {
                return ngx_http_eventbridge_refuse(cf, &value[i],
                                                   "from 8k to 64m "
                                                   "is expected");
            }

            continue;
        }

        if (ngx_http_eventbridge_takes(&value[i], "flush=", &s)) {

            flush = ngx_parse_time(&s, 0);

            if (flush == NGX_ERROR || flush == 0 || flush > 3600 * 1000) {
                return ngx_http_eventbridge_refuse(cf, &value[i],
                                                   "from 1ms to 1h "
                                                   "is expected");
            }

            continue;
        }

        return ngx_http_eventbridge_refuse(cf, &value[i], NULL);
    }

    emcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_eventbridge_module);

    elcf->audit = ngx_eb_audit_open(cf, &emcf->audits, &value[1], buffer,
                                    (ngx_msec_t) flush);

    return elcf->audit ? NGX_CONF_OK : NGX_CONF_ERROR;
}


/* eventbridge_stats_file FILE */

char *
ngx_http_eventbridge_stats_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_eventbridge_main_conf_t *emcf = conf;

    u_char      errstr[NGX_MAX_CONF_ERRSTR];
    ngx_err_t   err;
    ngx_str_t  *value;

    if (emcf->stats_file.len) {
        return ngx_http_eventbridge_duplicate(cf);
    }

    value = cf->args->elts;

    if (value[1].len == 0 || value[1].data[value[1].len - 1] == '/') {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "a file name is expected");
    }

    emcf->stats_file = value[1];

    if (ngx_conf_full_name(cf->cycle, &emcf->stats_file, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (ngx_eb_stats_test(&emcf->stats_file, errstr, sizeof(errstr), &err)
        != NGX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, err,
                           "invalid value \"%V\" of \"%V\": %s", &value[1],
                           &value[0], errstr);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/*
 * A number or a time in milliseconds within bounds, and one of several names:
 * as nginx's own slots, but the message names directive and value.
 */

char *
ngx_http_eventbridge_set_bounded(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    char  *p = conf;

    ngx_int_t                       n, *np;
    ngx_str_t                      *value;
    ngx_http_eventbridge_bounds_t  *bounds;

    np = (ngx_int_t *) (p + cmd->offset);

    if (*np != NGX_CONF_UNSET) {
        return ngx_http_eventbridge_duplicate(cf);
    }

    value = cf->args->elts;
    bounds = cmd->post;

    n = bounds->time ? ngx_parse_time(&value[1], 0)
                     : ngx_atoi(value[1].data, value[1].len);

    if (n == NGX_ERROR || n < bounds->low || n > bounds->high) {
        return ngx_http_eventbridge_refuse(cf, &value[1], bounds->text);
    }

    *np = n;

    return NGX_CONF_OK;
}


char *
ngx_http_eventbridge_set_enum(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char  *p = conf;

    ngx_str_t        *value;
    ngx_uint_t        i, *np;
    ngx_conf_enum_t  *e;

    np = (ngx_uint_t *) (p + cmd->offset);

    if (*np != NGX_CONF_UNSET_UINT) {
        return ngx_http_eventbridge_duplicate(cf);
    }

    value = cf->args->elts;
    e = cmd->post;

    for (i = 0; e[i].name.len; i++) {
        if (e[i].name.len == value[1].len
            && ngx_strncmp(e[i].name.data, value[1].data, value[1].len) == 0)
        {
            *np = e[i].value;
            return NGX_CONF_OK;
        }
    }

    return ngx_http_eventbridge_refuse(cf, &value[1], NULL);
}


ngx_uint_t
ngx_http_eventbridge_takes(ngx_str_t *parameter, const char *name,
    ngx_str_t *value)
{
    size_t  len;

    len = ngx_strlen(name);

    if (parameter->len < len
        || ngx_strncmp(parameter->data, name, len) != 0)
    {
        return 0;
    }

    value->data = parameter->data + len;
    value->len = parameter->len - len;

    return 1;
}


char *
ngx_http_eventbridge_once(ngx_conf_t *cf, ngx_uint_t first)
{
    u_char      *p;
    size_t       len;
    ngx_str_t   *value;
    ngx_uint_t   i, j;

    value = cf->args->elts;

    for (i = first; i < cf->args->nelts; i++) {

        p = (u_char *) ngx_strchr(value[i].data, '=');

        /* what may be there more than once */

        if (p == NULL
            || ngx_strncmp(value[i].data, "metadata.", 9) == 0
            || ngx_strncmp(value[i].data, "key=path:", 9) == 0)
        {
            continue;
        }

        len = p + 1 - value[i].data;

        for (j = first; j < i; j++) {
            if (value[j].len >= len
                && ngx_strncmp(value[j].data, value[i].data, len) == 0)
            {
                return ngx_http_eventbridge_refuse(cf, &value[i],
                                                   "the parameter is given "
                                                   "twice");
            }
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_http_eventbridge_duplicate(ngx_conf_t *cf)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    return ngx_http_eventbridge_refuse(cf, &value[1],
                                       "the directive is duplicate");
}


/* nginx adds file and line */

char *
ngx_http_eventbridge_refuse(ngx_conf_t *cf, ngx_str_t *parameter,
    const char *why)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" of \"%V\"%s%s", parameter,
                       &value[0], why ? ": " : "", why ? why : "");

    return NGX_CONF_ERROR;
}
