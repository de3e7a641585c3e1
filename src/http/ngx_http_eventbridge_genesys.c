
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The configuration of Genesys Cloud organisations, and of the locations that
 * use them.
 */


#include "ngx_http_eventbridge_genesys.h"
#include "ngx_http_eventbridge_block.h"
#include "ngx_http_eventbridge_endpoints.h"
#include "ngx_http_eventbridge_outbox.h"
#include "ngx_eb_genesys_region.h"
#include "ngx_eb_genesys_retention.h"

#define XXH_INLINE_ALL
#include <xxhash.h>


#define NGX_HTTP_EVENTBRIDGE_TOKEN_ZONE  (64 * 1024)


static char *ngx_http_eventbridge_org_complete(ngx_conf_t *cf,
    ngx_http_eventbridge_org_t *org);
static char *ngx_http_eventbridge_org_text(ngx_conf_t *cf, void *conf,
    void *field);
static char *ngx_http_eventbridge_org_path(ngx_conf_t *cf, void *conf,
    void *field);
static char *ngx_http_eventbridge_org_url(ngx_conf_t *cf, void *conf,
    void *field);
static char *ngx_http_eventbridge_org_file(ngx_conf_t *cf, void *conf,
    void *field);
static char *ngx_http_eventbridge_org_credentials(ngx_conf_t *cf, void *conf,
    void *field);
static char *ngx_http_eventbridge_org_api(ngx_conf_t *cf, void *conf,
    void *field);
static char *ngx_http_eventbridge_org_retries(ngx_conf_t *cf, void *conf,
    void *field);
static char *ngx_http_eventbridge_org_failures(ngx_conf_t *cf, void *conf,
    void *field);
static char *ngx_http_eventbridge_org_time(ngx_conf_t *cf, void *conf,
    void *field);
static ngx_uint_t ngx_http_eventbridge_org_loopback(ngx_str_t *url);
static char *ngx_http_eventbridge_org_secret(ngx_conf_t *cf,
    ngx_http_eventbridge_org_t *org);
static ngx_int_t ngx_http_eventbridge_org_zone(ngx_conf_t *cf,
    ngx_http_eventbridge_org_t *org);
static ngx_int_t ngx_http_eventbridge_org_zone_init(ngx_shm_zone_t *zone,
    void *data);
static ngx_int_t ngx_http_eventbridge_genesys_known(ngx_conf_t *cf,
    ngx_array_t *passes);
static ngx_int_t ngx_http_eventbridge_control_setup(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_control_t *control);


static ngx_http_eventbridge_line_t  ngx_http_eventbridge_org_lines[] = {

    { ngx_string("region"), ngx_http_eventbridge_org_text,
      offsetof(ngx_http_eventbridge_org_t, region), 1 },

    { ngx_string("api_url"), ngx_http_eventbridge_org_url,
      offsetof(ngx_http_eventbridge_org_t, api_url), 1 },

    { ngx_string("login_url"), ngx_http_eventbridge_org_url,
      offsetof(ngx_http_eventbridge_org_t, login_url), 1 },

    { ngx_string("client_id"), ngx_http_eventbridge_org_text,
      offsetof(ngx_http_eventbridge_org_t, client_id), 1 },

    { ngx_string("client_secret_file"), ngx_http_eventbridge_org_file,
      offsetof(ngx_http_eventbridge_org_t, secret_file), 1 },

    { ngx_string("credentials"), ngx_http_eventbridge_org_credentials,
      offsetof(ngx_http_eventbridge_org_t, body_credentials), 1 },

    { ngx_string("scope"), ngx_http_eventbridge_org_text,
      offsetof(ngx_http_eventbridge_org_t, scope), 1 },

    { ngx_string("trusted_certificate"), ngx_http_eventbridge_org_file,
      offsetof(ngx_http_eventbridge_org_t, trusted_certificate), 1 },

    { ngx_string("api"), ngx_http_eventbridge_org_api,
      offsetof(ngx_http_eventbridge_org_t, integrations), 1 },

    { ngx_string("retries"), ngx_http_eventbridge_org_retries,
      offsetof(ngx_http_eventbridge_org_t, retries), 1 },

    { ngx_string("retry_cap"), ngx_http_eventbridge_org_time,
      offsetof(ngx_http_eventbridge_org_t, retry_cap), 1 },

    { ngx_string("timeout"), ngx_http_eventbridge_org_time,
      offsetof(ngx_http_eventbridge_org_t, timeout), 1 },

    { ngx_string("connect_timeout"), ngx_http_eventbridge_org_time,
      offsetof(ngx_http_eventbridge_org_t, connect_timeout), 1 },

    { ngx_string("refresh_margin"), ngx_http_eventbridge_org_time,
      offsetof(ngx_http_eventbridge_org_t, refresh_margin), 1 },

    { ngx_string("breaker_failures"), ngx_http_eventbridge_org_failures,
      offsetof(ngx_http_eventbridge_org_t, breaker_failures), 1 },

    { ngx_string("breaker_open"), ngx_http_eventbridge_org_time,
      offsetof(ngx_http_eventbridge_org_t, breaker_open), 1 },

    { ngx_string("subscriptions_path"), ngx_http_eventbridge_org_path,
      offsetof(ngx_http_eventbridge_org_t, subscriptions.list), 1 },

    { ngx_string("subscription_path"), ngx_http_eventbridge_org_path,
      offsetof(ngx_http_eventbridge_org_t, subscriptions.item), 1 },

    { ngx_string("subscription_config_path"), ngx_http_eventbridge_org_path,
      offsetof(ngx_http_eventbridge_org_t, subscriptions.config), 1 },

    { ngx_string("retention_path"), ngx_http_eventbridge_org_path,
      offsetof(ngx_http_eventbridge_org_t, retention), 1 },

    { ngx_string("filters_path"), ngx_http_eventbridge_org_path,
      offsetof(ngx_http_eventbridge_org_t, filters), 1 },

    { ngx_string("endpoints_path"), ngx_http_eventbridge_org_path,
      offsetof(ngx_http_eventbridge_org_t, endpoints_path), 1 },

    { ngx_string("endpoint_path"), ngx_http_eventbridge_org_path,
      offsetof(ngx_http_eventbridge_org_t, endpoint_path), 1 },

    { ngx_null_string, NULL, 0, 0 }
};


/* eventbridge_genesys NAME { ... } */

char *
ngx_http_eventbridge_genesys(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_eventbridge_main_conf_t *emcf = conf;

    char                           *rv;
    ngx_str_t                      *value;
    ngx_http_eventbridge_org_t     *org, **slot;
    ngx_http_eventbridge_block_t    block;

    value = cf->args->elts;

    if (value[1].len == 0 || value[1].len > 64) {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "a name of 1 to 64 bytes is "
                                           "expected");
    }

    if (ngx_http_eventbridge_org_find(emcf, &value[1])) {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "the name is used already");
    }

    org = ngx_pcalloc(cf->pool, sizeof(ngx_http_eventbridge_org_t));
    slot = ngx_array_push(&emcf->organisations);

    if (org == NULL || slot == NULL) {
        return NGX_CONF_ERROR;
    }

    *slot = org;

    org->name = value[1];
    org->file = cf->conf_file->file.name.data;
    org->line = cf->conf_file->line;

    org->body_credentials = NGX_CONF_UNSET_UINT;
    org->integrations = NGX_CONF_UNSET_UINT;
    org->retries = NGX_CONF_UNSET_UINT;
    org->retry_cap = NGX_CONF_UNSET_MSEC;
    org->timeout = NGX_CONF_UNSET_MSEC;
    org->connect_timeout = NGX_CONF_UNSET_MSEC;
    org->refresh_margin = NGX_CONF_UNSET_MSEC;
    org->breaker_failures = NGX_CONF_UNSET_UINT;
    org->breaker_open = NGX_CONF_UNSET_MSEC;

    block.directive = "eventbridge_genesys";
    block.name = &org->name;
    block.conf = org;
    block.lines = ngx_http_eventbridge_org_lines;

    rv = ngx_http_eventbridge_block(cf, &block);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_http_eventbridge_org_complete(cf, org);
}


/* each returns what is wrong with the value, or as setters do */

static char *
ngx_http_eventbridge_org_text(ngx_conf_t *cf, void *conf, void *field)
{
    ngx_str_t *text = field;

    size_t      i;
    ngx_str_t  *value;

    value = cf->args->elts;

    if (text->data) {
        return "it is given twice";
    }

    if (value[1].len == 0 || value[1].len > 1024) {
        return "1 to 1024 bytes are expected";
    }

    for (i = 0; i < value[1].len; i++) {
        if (value[1].data[i] < 0x20 || value[1].data[i] == 0x7f) {
            return "it has a control character";
        }
    }

    *text = value[1];

    return NGX_CONF_OK;
}


/* a template of a path at the API */

static char *
ngx_http_eventbridge_org_path(ngx_conf_t *cf, void *conf, void *field)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (value[1].len == 0 || value[1].data[0] != '/') {
        return "a path is expected";
    }

    /* of one thing: without its id, a DELETE would be that of another one */

    if (ngx_strcmp(value[0].data, "subscriptions_path") != 0
        && ngx_strcmp(value[0].data, "endpoints_path") != 0
        && ngx_strstr(value[1].data, "{id}") == NULL
        && ngx_strstr(value[1].data, "{integration}") == NULL)
    {
        return "\"{id}\" or \"{integration}\" is expected in it";
    }

    return ngx_http_eventbridge_org_text(cf, conf, field);
}


/* SCHEME://HOST[:PORT]: http is the administrator's permission */

static char *
ngx_http_eventbridge_org_url(ngx_conf_t *cf, void *conf, void *field)
{
    ngx_http_eventbridge_org_t *org = conf;
    ngx_str_t *url = field;

    u_char     *p, *last;
    ngx_url_t   u;
    ngx_str_t  *value, host;

    value = cf->args->elts;

    if (url->data) {
        return "it is given twice";
    }

    if (ngx_strncmp(value[1].data, "https://", 8) == 0) {
        p = value[1].data + 8;

    } else if (ngx_strncmp(value[1].data, "http://", 7) == 0) {
        p = value[1].data + 7;

    } else {
        return "https://HOST is expected";
    }

    last = value[1].data + value[1].len;

    if (last > p && last[-1] == '/') {
        last--;
    }

    host.data = p;
    host.len = last - p;

    for ( /* void */ ; p < last; p++) {
        if (*p <= 0x20 || *p >= 0x7f || ngx_strchr("/?#@\\\"", *p)) {
            return "only a host, and a port, are expected";
        }
    }

    ngx_memzero(&u, sizeof(ngx_url_t));
    u.url = host;
    u.default_port = 443;
    u.no_resolve = 1;

    if (host.len == 0 || ngx_parse_url(cf->pool, &u) != NGX_OK
        || u.family == AF_UNIX)
    {
        return "it has no valid host";
    }

    url->data = value[1].data;
    url->len = last - value[1].data;

    if (value[1].data[4] == ':' && !ngx_http_eventbridge_org_loopback(url)) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "\"%V\" of \"eventbridge_genesys %V\" is not "
                           "https: whoever listens gets the secret and the "
                           "tokens", &value[0], &org->name);
    }

    return NGX_CONF_OK;
}


static ngx_uint_t
ngx_http_eventbridge_org_loopback(ngx_str_t *url)
{
    u_char  *host;

    host = url->data + 7;

    return ngx_strncmp(host, "127.", 4) == 0
           || ngx_strncmp(host, "[::1]", 5) == 0
           || ngx_strncmp(host, "localhost", 9) == 0;
}


static char *
ngx_http_eventbridge_org_file(ngx_conf_t *cf, void *conf, void *field)
{
    ngx_http_eventbridge_org_t *org = conf;
    ngx_str_t *file = field;

    char  *rv;

    rv = ngx_http_eventbridge_org_text(cf, conf, field);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (ngx_conf_full_name(cf->cycle, file, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    /* the secret is read when all is known */

    return (file == &org->trusted_certificate)
           ? ngx_http_eventbridge_unreadable(file) : NGX_CONF_OK;
}


static char *
ngx_http_eventbridge_org_credentials(ngx_conf_t *cf, void *conf, void *field)
{
    return ngx_http_eventbridge_block_choice(cf, field, "basic", "body",
                                             "\"basic\" or \"body\" is "
                                             "expected");
}


static char *
ngx_http_eventbridge_org_api(ngx_conf_t *cf, void *conf, void *field)
{
    return ngx_http_eventbridge_block_choice(cf, field, "reference",
                                             "integrations",
                                             "\"reference\" or "
                                             "\"integrations\" is expected");
}


static char *
ngx_http_eventbridge_org_retries(ngx_conf_t *cf, void *conf, void *field)
{
    return ngx_http_eventbridge_block_number(cf, field, 0, 20,
                                             "from 0 to 20 is expected");
}


static char *
ngx_http_eventbridge_org_failures(ngx_conf_t *cf, void *conf, void *field)
{
    return ngx_http_eventbridge_block_number(cf, field, 0, 1000000,
                                             "from 0 to 1000000 is expected");
}


static char *
ngx_http_eventbridge_org_time(ngx_conf_t *cf, void *conf, void *field)
{
    return ngx_http_eventbridge_block_time(cf, field, 1, 3600 * 1000,
                                           "from 1ms to 1h is expected");
}


static char *
ngx_http_eventbridge_org_complete(ngx_conf_t *cf,
    ngx_http_eventbridge_org_t *org)
{
    ngx_str_t                  api, login;
    const char                *missing;
    ngx_http_core_loc_conf_t  *clcf;

    missing = NULL;

    if (org->client_id.len == 0) {
        missing = "client_id";

    } else if (org->secret_file.len == 0) {
        missing = "client_secret_file";

    } else if (org->region.len == 0
               && (org->api_url.len == 0 || org->login_url.len == 0))
    {
        missing = "region";
    }

    if (missing) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"eventbridge_genesys %V\" has no \"%s\"",
                           &org->name, missing);
        return NGX_CONF_ERROR;
    }

    if (org->region.len) {

        switch (ngx_eb_genesys_region(cf->pool, &org->region, &api, &login)) {

        case NGX_OK:
            break;

        case NGX_DECLINED:
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "unknown region \"%V\" in "
                               "\"eventbridge_genesys %V\": an AWS region or "
                               "a domain of Genesys Cloud is expected, or "
                               "\"api_url\" and \"login_url\" instead",
                               &org->region, &org->name);
            return NGX_CONF_ERROR;

        default:
            return NGX_CONF_ERROR;
        }

        /* what is given explicitly overrides it */

        if (org->api_url.len == 0) {
            org->api_url = api;
        }

        if (org->login_url.len == 0) {
            org->login_url = login;
        }
    }

    ngx_conf_init_uint_value(org->body_credentials, 0);

    if (!org->body_credentials
        && ngx_strlchr(org->client_id.data,
                       org->client_id.data + org->client_id.len, ':'))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"client_id\" of "
                           "\"eventbridge_genesys %V\": with a colon it needs "
                           "\"credentials body\"", &org->client_id,
                           &org->name);
        return NGX_CONF_ERROR;
    }

    ngx_conf_init_uint_value(org->integrations, 0);
    ngx_conf_init_uint_value(org->retries, 4);
    ngx_conf_init_msec_value(org->retry_cap, 180000);
    ngx_conf_init_msec_value(org->timeout, 30000);
    ngx_conf_init_msec_value(org->connect_timeout, 5000);
    ngx_conf_init_msec_value(org->refresh_margin, 60000);
    ngx_conf_init_uint_value(org->breaker_failures, 20);
    ngx_conf_init_msec_value(org->breaker_open, 10000);

    org->subscriptions.integration = org->integrations;

    if (org->retention.len == 0) {
        ngx_str_set(&org->retention, NGX_EB_GENESYS_RETENTION_PATH);
    }

    if (org->endpoints_path.len == 0) {
        ngx_str_set(&org->endpoints_path, NGX_EB_GENESYS_ENDPOINTS_PATH);
    }

    if (org->endpoint_path.len == 0) {
        ngx_str_set(&org->endpoint_path, NGX_EB_GENESYS_ENDPOINT_PATH);
    }

    if (org->subscriptions.list.len == 0) {
        org->subscriptions.list = org->integrations
                                  ? ngx_eb_genesys_integrations_api.list
                                  : ngx_eb_genesys_reference_api.list;
    }

    if (org->subscriptions.item.len == 0) {
        org->subscriptions.item = org->integrations
                                  ? ngx_eb_genesys_integrations_api.item
                                  : ngx_eb_genesys_reference_api.item;
    }

    if (org->subscriptions.config.len == 0) {
        org->subscriptions.config = org->integrations
                                    ? ngx_eb_genesys_integrations_api.config
                                    : ngx_eb_genesys_reference_api.config;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    /* a "resolver" of the http level that stands after this counts as well,
       see ngx_http_eventbridge_genesys_setup() */

    org->resolver = clcf->resolver;

    if (ngx_process != NGX_PROCESS_SIGNALLER) {
        return ngx_http_eventbridge_org_secret(cf, org);
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_eventbridge_org_secret(ngx_conf_t *cf,
    ngx_http_eventbridge_org_t *org)
{
    u_char     errstr[NGX_MAX_CONF_ERRSTR];
    ngx_err_t  err;

    org->secret = ngx_eb_secrets_open(cf->pool, &org->secret_file,
                                      NGX_EB_SECRETS_VALUE, cf->log, errstr,
                                      sizeof(errstr), &err);
    if (org->secret == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, err,
                           "\"client_secret_file\" of \"eventbridge_genesys "
                           "%V\": %s", &org->name, errstr);
        return NGX_CONF_ERROR;
    }

    return (ngx_http_eventbridge_org_zone(cf, org) == NGX_OK) ? NGX_CONF_OK
                                                        : NGX_CONF_ERROR;
}


/*
 * The token is shared by all workers, and survives a reload.  One of another
 * client, or from another place, is of no use, and workers of the old
 * configuration may still be getting it: so it has another zone.
 */

static ngx_int_t
ngx_http_eventbridge_org_zone(ngx_conf_t *cf, ngx_http_eventbridge_org_t *org)
{
    uint64_t         hash;
    ngx_str_t        name;
    ngx_shm_zone_t  *zone;

    hash = XXH3_64bits(org->client_id.data, org->client_id.len);
    hash = XXH3_64bits_withSeed(org->login_url.data, org->login_url.len, hash);
    hash = XXH3_64bits_withSeed(org->scope.data, org->scope.len, hash);

    name.len = sizeof("eventbridge_genesys  0123456789abcdef") - 1
               + org->name.len;
    name.data = ngx_pnalloc(cf->pool, name.len);
    if (name.data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(name.data, "eventbridge_genesys %V %016xL", &org->name,
                       hash);

    org->lease = name;

    zone = ngx_shared_memory_add(cf, &name, NGX_HTTP_EVENTBRIDGE_TOKEN_ZONE,
                                 &ngx_http_eventbridge_module);
    if (zone == NULL) {
        return NGX_ERROR;
    }

    zone->init = ngx_http_eventbridge_org_zone_init;
    zone->data = org;

    return NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_org_zone_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_http_eventbridge_org_t *old = data;
    ngx_http_eventbridge_org_t *org = zone->data;

    org->shpool = (ngx_slab_pool_t *) zone->shm.addr;

    if (zone->shm.exists) {
        org->token = org->shpool->data;

    } else if (old) {
        org->token = old->token;

    } else {
        org->token = ngx_slab_calloc(org->shpool,
                                     sizeof(ngx_http_eventbridge_token_t));
        if (org->token == NULL) {
            return NGX_ERROR;
        }

        org->shpool->data = org->token;

        return NGX_OK;
    }

    /* what made it fail may be what was changed */

    ngx_shmtx_lock(&org->shpool->mutex);
    org->token->retry = 0;
    org->token->failures = 0;
    org->token->terminal = 0;
    org->token->breaker.state = NGX_EB_GENESYS_BREAKER_CLOSED;
    org->token->breaker.failures = 0;
    org->token->breaker.era++;
    ngx_shmtx_unlock(&org->shpool->mutex);

    return NGX_OK;
}


/* eventbridge_genesys_pass NAME URI */

char *
ngx_http_eventbridge_genesys_pass(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_eventbridge_loc_conf_t *elcf = conf;

    ngx_str_t                            *value;
    ngx_uint_t                            i;
    ngx_http_eventbridge_genesys_pass_t  *pass;

    value = cf->args->elts;

    if (value[2].len == 0 || value[2].data[0] != '/') {
        return ngx_http_eventbridge_refuse(cf, &value[2],
                                           "the URI of a location of this "
                                           "server is expected");
    }

    if (elcf->passes == NULL) {
        elcf->passes = ngx_array_create(cf->pool, 1,
                                 sizeof(ngx_http_eventbridge_genesys_pass_t));
        if (elcf->passes == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    pass = elcf->passes->elts;

    for (i = 0; i < elcf->passes->nelts; i++) {
        if (ngx_http_eventbridge_same(&pass[i].name, &value[1])) {
            return ngx_http_eventbridge_refuse(cf, &value[1],
                                               "it is given twice");
        }
    }

    pass = ngx_array_push(elcf->passes);
    if (pass == NULL) {
        return NGX_CONF_ERROR;
    }

    pass->name = value[1];
    pass->uri = value[2];
    pass->file = cf->conf_file->file.name.data;
    pass->line = cf->conf_file->line;

    return NGX_CONF_OK;
}


/* of what eventbridge_genesys_pass names: all of http has been read by now */

static ngx_int_t
ngx_http_eventbridge_genesys_known(ngx_conf_t *cf, ngx_array_t *passes)
{
    ngx_uint_t                            i;
    ngx_http_eventbridge_main_conf_t     *emcf;
    ngx_http_eventbridge_genesys_pass_t  *pass;

    emcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_eventbridge_module);

    pass = passes ? passes->elts : NULL;

    for (i = 0; pass && i < passes->nelts; i++) {

        if (ngx_http_eventbridge_org_find(emcf, &pass[i].name) == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown organisation \"%V\" of "
                          "\"eventbridge_genesys_pass\": add "
                          "\"eventbridge_genesys %V { ... }\" in %s:%ui",
                          &pass[i].name, &pass[i].name, pass[i].file,
                          pass[i].line);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_eventbridge_genesys_merge(ngx_conf_t *cf,
    ngx_http_eventbridge_loc_conf_t *prev,
    ngx_http_eventbridge_loc_conf_t *conf)
{
    if (ngx_http_eventbridge_genesys_known(cf, prev->passes) != NGX_OK
        || ngx_http_eventbridge_genesys_known(cf, conf->passes) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* as nginx does with headers: a level with some has no others */

    if (conf->passes == NULL) {
        conf->passes = prev->passes;
    }

    if (conf->probe_allow == NULL) {
        conf->probe_allow = prev->probe_allow;
    }

    if (conf->cost == NULL) {
        conf->cost = prev->cost;
    }

    if (conf->cost == NULL && conf->control) {

        conf->cost = ngx_http_eventbridge_cost(cf);
        if (conf->cost == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* eventbridge_genesys_subscriptions NAME, and those like it */

char *
ngx_http_eventbridge_control_location(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_eventbridge_loc_conf_t *elcf = conf;

    ngx_str_t                         *value;
    ngx_http_core_loc_conf_t          *clcf;
    ngx_http_eventbridge_control_t    *control, **slot;
    ngx_http_eventbridge_main_conf_t  *emcf;

    value = cf->args->elts;

    emcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_eventbridge_module);
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (elcf->control) {
        return ngx_http_eventbridge_duplicate(cf);
    }

    if (ngx_http_eventbridge_ours(clcf->handler)) {
        return "conflicts with another directive of the location";
    }

    control = ngx_pcalloc(cf->pool, sizeof(ngx_http_eventbridge_control_t));
    slot = ngx_array_push(&emcf->controls);

    if (control == NULL || slot == NULL) {
        return NGX_CONF_ERROR;
    }

    *slot = control;

    control->kind = *(ngx_http_eventbridge_control_e *) cmd->post;
    control->organisation = value[1];
    control->conf = elcf;
    control->clcf = clcf;
    control->cscf = ngx_http_conf_get_module_srv_conf(cf,
                                                      ngx_http_core_module);
    control->file = cf->conf_file->file.name.data;
    control->line = cf->conf_file->line;

    elcf->control = control;
    emcf->observed = 1;
    clcf->handler = ngx_http_eventbridge_control_handler;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_eventbridge_genesys_setup(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_uint_t                        i;
    ngx_http_core_loc_conf_t         *clcf;
    ngx_http_eventbridge_org_t      **orgs;
    ngx_http_eventbridge_control_t  **controls;

    /* of the http level, which is complete now */

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    orgs = emcf->organisations.elts;

    for (i = 0; i < emcf->organisations.nelts; i++) {

        /* nginx gives the level without a "resolver" one that knows no
           servers */

        orgs[i]->resolver = (clcf->resolver
                             && clcf->resolver->connections.nelts)
                            ? clcf->resolver : NULL;
        orgs[i]->resolver_timeout =
            (clcf->resolver_timeout == NGX_CONF_UNSET_MSEC)
            ? 30000 : clcf->resolver_timeout;
    }

    controls = emcf->controls.elts;

    for (i = 0; i < emcf->controls.nelts; i++) {
        if (ngx_http_eventbridge_control_setup(cf, emcf, controls[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_eventbridge_subscription_setup(cf, emcf);
}


static ngx_int_t
ngx_http_eventbridge_control_setup(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_control_t *control)
{
    ngx_uint_t                            i;
    ngx_http_eventbridge_genesys_pass_t  *pass;

    control->name = control->clcf->name;
    control->org = ngx_http_eventbridge_org_find(emcf, &control->organisation);

    /* what follows its name is the path of the thing */

    if (control->clcf->named
#if (NGX_PCRE)
        || control->clcf->regex
#endif
       )
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "location \"%V\" manages organisation \"%V\" and must "
                      "be given by a prefix, not by a regular expression or a "
                      "name in %s:%ui", &control->name,
                      &control->organisation, control->file, control->line);
        return NGX_ERROR;
    }

    if (control->org == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "unknown organisation \"%V\" of location \"%V\": add "
                      "\"eventbridge_genesys %V { ... }\" in %s:%ui",
                      &control->organisation, &control->name,
                      &control->organisation, control->file, control->line);
        return NGX_ERROR;
    }

    pass = control->conf->passes ? control->conf->passes->elts : NULL;

    for (i = 0; pass && i < control->conf->passes->nelts; i++) {

        if (!ngx_http_eventbridge_same(&pass[i].name,
                                       &control->organisation))
        {
            continue;
        }

        control->pass_uri = pass[i].uri;
        control->pass = ngx_http_eventbridge_find_location(control->cscf,
                                                           &pass[i].uri);
        if (control->pass == NULL
            || ngx_http_eventbridge_ours(control->pass->handler))
        {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown location \"%V\" of "
                          "\"eventbridge_genesys_pass\": add \"location %V { "
                          "internal; proxy_pass ...; }\" to the server in "
                          "%s:%ui", &pass[i].uri, &pass[i].uri, pass[i].file,
                          pass[i].line);
            return NGX_ERROR;
        }

        /* what follows is a path */

        if (control->pass_uri.data[control->pass_uri.len - 1] == '/') {
            control->pass_uri.len--;
        }

        ngx_http_eventbridge_harden(cf, control->pass);

        return ngx_http_eventbridge_endpoints_setup(cf, control);
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "location \"%V\" has no \"eventbridge_genesys_pass %V "
                  "URI\" in %s:%ui", &control->name, &control->organisation,
                  control->file, control->line);

    return NGX_ERROR;
}


ngx_http_eventbridge_org_t *
ngx_http_eventbridge_org_find(ngx_http_eventbridge_main_conf_t *emcf,
    ngx_str_t *name)
{
    ngx_uint_t                    i;
    ngx_http_eventbridge_org_t  **orgs;

    orgs = emcf->organisations.elts;

    for (i = 0; i < emcf->organisations.nelts; i++) {
        if (ngx_http_eventbridge_same(&orgs[i]->name, name)) {
            return orgs[i];
        }
    }

    return NULL;
}
