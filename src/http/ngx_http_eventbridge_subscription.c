
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Subscriptions that nginx.conf declares.
 */


#include "ngx_http_eventbridge_genesys.h"
#include "ngx_http_eventbridge_block.h"


#define NGX_HTTP_EVENTBRIDGE_STATE_ZONE  (32 * 1024)


static char *ngx_http_eventbridge_subscription_text(ngx_conf_t *cf,
    void *conf, void *field);
static char *ngx_http_eventbridge_subscription_list(ngx_conf_t *cf,
    void *conf, void *field);
static char *ngx_http_eventbridge_subscription_days(ngx_conf_t *cf,
    void *conf, void *field);
static char *ngx_http_eventbridge_subscription_rate(ngx_conf_t *cf,
    void *conf, void *field);
static char *ngx_http_eventbridge_subscription_number(ngx_conf_t *cf,
    ngx_uint_t *number, const char *unit, char *expected);
static char *ngx_http_eventbridge_subscription_check(ngx_conf_t *cf,
    void *conf, void *field);
static char *ngx_http_eventbridge_subscription_complete(ngx_conf_t *cf,
    ngx_http_eventbridge_subscription_t *sub);
static ngx_int_t ngx_http_eventbridge_subscription_strange(ngx_conf_t *cf,
    ngx_http_eventbridge_subscription_t *sub);
static ngx_int_t ngx_http_eventbridge_subscription_zone(ngx_conf_t *cf,
    ngx_http_eventbridge_subscription_t *sub);
static ngx_int_t ngx_http_eventbridge_subscription_zone_init(
    ngx_shm_zone_t *zone, void *data);


#define NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_OFFSET(member)                      \
    offsetof(ngx_http_eventbridge_subscription_t, member)


static ngx_http_eventbridge_line_t
    ngx_http_eventbridge_subscription_lines[] = {

    { ngx_string("genesys"), ngx_http_eventbridge_subscription_text,
      NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_OFFSET(organisation), 1 },

    { ngx_string("endpoint"), ngx_http_eventbridge_subscription_text,
      NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_OFFSET(settings.endpoint), 1 },

    { ngx_string("sources"), ngx_http_eventbridge_subscription_list,
      NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_OFFSET(settings.sources), 0 },

    { ngx_string("retention"), ngx_http_eventbridge_subscription_days,
      NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_OFFSET(settings.retention), 1 },

    { ngx_string("rate"), ngx_http_eventbridge_subscription_rate,
      NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_OFFSET(settings.rate), 1 },

    { ngx_string("account"), ngx_http_eventbridge_subscription_text,
      NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_OFFSET(settings.account), 1 },

    { ngx_string("region"), ngx_http_eventbridge_subscription_text,
      NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_OFFSET(settings.region), 1 },

    { ngx_string("suffix"), ngx_http_eventbridge_subscription_text,
      NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_OFFSET(settings.suffix), 1 },

    { ngx_string("topics"), ngx_http_eventbridge_subscription_list,
      NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_OFFSET(settings.topics), 0 },

    { ngx_string("check"), ngx_http_eventbridge_subscription_check,
      NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_OFFSET(check), 1 },

    { ngx_null_string, NULL, 0, 0 }
};


/* eventbridge_genesys_subscription NAME { ... } */

char *
ngx_http_eventbridge_subscription(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_eventbridge_main_conf_t *emcf = conf;

    char                                 *rv;
    ngx_str_t                            *value;
    ngx_uint_t                            i;
    ngx_http_eventbridge_block_t          block;
    ngx_http_eventbridge_subscription_t  *sub, **subs;

    value = cf->args->elts;
    subs = emcf->subscriptions.elts;

    for (i = 0; i < emcf->subscriptions.nelts; i++) {
        if (ngx_http_eventbridge_same(&subs[i]->settings.name, &value[1])) {
            return ngx_http_eventbridge_refuse(cf, &value[1],
                                               "the name is used already");
        }
    }

    sub = ngx_pcalloc(cf->pool, sizeof(ngx_http_eventbridge_subscription_t));
    subs = ngx_array_push(&emcf->subscriptions);

    if (sub == NULL || subs == NULL
        || ngx_array_init(&sub->settings.sources, cf->pool, 4,
                          sizeof(ngx_str_t))
           != NGX_OK
        || ngx_array_init(&sub->settings.topics, cf->pool, 4,
                          sizeof(ngx_str_t))
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    *subs = sub;

    sub->settings.name = value[1];
    sub->settings.version = -1;
    sub->check = NGX_CONF_UNSET_MSEC;
    sub->file = cf->conf_file->file.name.data;
    sub->line = cf->conf_file->line;
    sub->conf = ngx_http_conf_get_module_loc_conf(cf,
                                                  ngx_http_eventbridge_module);

    block.directive = "eventbridge_genesys_subscription";
    block.name = &sub->settings.name;
    block.conf = sub;
    block.lines = ngx_http_eventbridge_subscription_lines;

    rv = ngx_http_eventbridge_block(cf, &block);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_http_eventbridge_subscription_complete(cf, sub);
}


static char *
ngx_http_eventbridge_subscription_text(ngx_conf_t *cf, void *conf,
    void *field)
{
    ngx_str_t *text = field;

    ngx_str_t  *value;

    value = cf->args->elts;

    if (text->data) {
        return "it is given twice";
    }

    if (value[1].len == 0) {
        return "it is empty";
    }

    *text = value[1];

    return NGX_CONF_OK;
}


/* may be repeated */

static char *
ngx_http_eventbridge_subscription_list(ngx_conf_t *cf, void *conf,
    void *field)
{
    ngx_array_t *list = field;

    ngx_str_t   *value, *item;
    ngx_uint_t   i;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        item = ngx_array_push(list);
        if (item == NULL) {
            return NGX_CONF_ERROR;
        }

        *item = value[i];
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_eventbridge_subscription_days(ngx_conf_t *cf, void *conf, void *field)
{
    return ngx_http_eventbridge_subscription_number(cf, field, "d",
                               "a number of days is expected, as \"30d\"");
}


static char *
ngx_http_eventbridge_subscription_rate(ngx_conf_t *cf, void *conf, void *field)
{
    return ngx_http_eventbridge_subscription_number(cf, field, "r/s",
                                    "a rate is expected, as \"1000r/s\"");
}


/* a number and its unit; what it may be the rules say */

static char *
ngx_http_eventbridge_subscription_number(ngx_conf_t *cf, ngx_uint_t *number,
    const char *unit, char *expected)
{
    size_t      len;
    ngx_int_t   n;
    ngx_str_t  *value;

    value = cf->args->elts;

    if (*number) {
        return "it is given twice";
    }

    len = ngx_strlen(unit);

    if (value[1].len <= len
        || ngx_strncmp(value[1].data + value[1].len - len, unit, len) != 0)
    {
        return expected;
    }

    n = ngx_atoi(value[1].data, value[1].len - len);

    if (n == NGX_ERROR || n == 0) {
        return "a number that is not zero is expected";
    }

    *number = n;

    return NGX_CONF_OK;
}


static char *
ngx_http_eventbridge_subscription_check(ngx_conf_t *cf, void *conf,
    void *field)
{
    return ngx_http_eventbridge_block_time(cf, field, 1000, 86400 * 1000,
                                           "from 1s to 1d is expected");
}


static char *
ngx_http_eventbridge_subscription_complete(ngx_conf_t *cf,
    ngx_http_eventbridge_subscription_t *sub)
{
    ngx_conf_init_msec_value(sub->check, 60000);

    if (sub->organisation.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"eventbridge_genesys_subscription %V\" has no "
                           "\"genesys\"", &sub->settings.name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* all organisations are known: are the rules kept? */

ngx_int_t
ngx_http_eventbridge_subscription_setup(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_uint_t                            i, j;
    ngx_eb_genesys_body_t                 body;
    ngx_eb_genesys_violation_t           *violations;
    ngx_http_eventbridge_subscription_t  *sub, **subs;

    subs = emcf->subscriptions.elts;

    for (i = 0; i < emcf->subscriptions.nelts; i++) {
        sub = subs[i];

        sub->org = ngx_http_eventbridge_org_find(emcf, &sub->organisation);

        if (sub->org == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown organisation \"%V\" of "
                          "\"eventbridge_genesys_subscription %V\" in %s:%ui",
                          &sub->organisation, &sub->settings.name, sub->file,
                          sub->line);
            return NGX_ERROR;
        }

        sub->settings.integration = sub->org->integrations;

        if (ngx_http_eventbridge_subscription_strange(cf, sub) != NGX_OK) {
            return NGX_ERROR;
        }

        if (sub->settings.retention == 0 && !sub->settings.integration) {
            sub->settings.retention = 30;
        }

        if (ngx_eb_genesys_body_init(&body, cf->pool, NULL) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_eb_genesys_settings_check(&sub->settings, &body);

        violations = body.violations.elts;

        for (j = 0; j < body.violations.nelts; j++) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"eventbridge_genesys_subscription %V\": %V: %V "
                          "in %s:%ui", &sub->settings.name,
                          &violations[j].field, &violations[j].message,
                          sub->file, sub->line);
        }

        if (body.failed || body.violations.nelts) {
            return NGX_ERROR;
        }

        if (ngx_process != NGX_PROCESS_SIGNALLER
            && ngx_http_eventbridge_subscription_zone(cf, sub) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* a line that the organisation's kind of API knows nothing of */

static ngx_int_t
ngx_http_eventbridge_subscription_strange(ngx_conf_t *cf,
    ngx_http_eventbridge_subscription_t *sub)
{
    ngx_uint_t                  i;
    ngx_eb_genesys_settings_t  *s = &sub->settings;

    struct {
        const char              *name;
        ngx_uint_t               given;
        ngx_uint_t               integration;
    } lines[] = {
        { "endpoint", s->endpoint.len, 0 },
        { "sources", s->sources.nelts, 0 },
        { "retention", s->retention, 0 },
        { "account", s->account.len, 1 },
        { "region", s->region.len, 1 },
        { "suffix", s->suffix.len, 1 },
        { "topics", s->topics.nelts, 1 }
    };

    for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (lines[i].given && lines[i].integration != s->integration) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"%s\" of \"eventbridge_genesys_subscription "
                          "%V\" in %s:%ui has no meaning with \"api %s\" of "
                          "organisation \"%V\"",
                          lines[i].name, &s->name, sub->file, sub->line,
                          s->integration ? "integrations" : "reference",
                          &sub->organisation);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_uint_t
ngx_http_eventbridge_declared_rate(ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_http_eventbridge_subscription_t  **subs;

    subs = emcf->subscriptions.elts;

    /* of several nobody knows whose events a location takes */

    return (emcf->subscriptions.nelts == 1) ? subs[0]->settings.rate : 0;
}


/* what is known of it is shared by all workers, and survives a reload */

static ngx_int_t
ngx_http_eventbridge_subscription_zone(ngx_conf_t *cf,
    ngx_http_eventbridge_subscription_t *sub)
{
    ngx_str_t        name;
    ngx_shm_zone_t  *zone;

    name.len = sizeof("eventbridge_subscription ") - 1
               + sub->settings.name.len;
    name.data = ngx_pnalloc(cf->pool, name.len);
    if (name.data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(name.data, "eventbridge_subscription %V",
                       &sub->settings.name);

    sub->lease = name;

    zone = ngx_shared_memory_add(cf, &name, NGX_HTTP_EVENTBRIDGE_STATE_ZONE,
                                 &ngx_http_eventbridge_module);
    if (zone == NULL) {
        return NGX_ERROR;
    }

    zone->init = ngx_http_eventbridge_subscription_zone_init;
    zone->data = sub;

    return NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_subscription_zone_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_http_eventbridge_subscription_t *old = data;
    ngx_http_eventbridge_subscription_t *sub = zone->data;

    sub->shpool = (ngx_slab_pool_t *) zone->shm.addr;
    sub->epoch = 1;

    if (zone->shm.exists) {
        sub->state = sub->shpool->data;
        return NGX_OK;
    }

    if (old == NULL) {
        sub->state = ngx_slab_calloc(sub->shpool,
                              sizeof(ngx_http_eventbridge_subscription_sh_t));
        if (sub->state == NULL) {
            return NGX_ERROR;
        }

        sub->shpool->data = sub->state;

        return NGX_OK;
    }

    /*
     * It may have changed: it is looked at again, by workers of this cycle;
     * those of the old one go on until then, also if this cycle fails.
     */

    sub->state = old->state;
    sub->epoch = old->epoch + 1;

    return NGX_OK;
}
