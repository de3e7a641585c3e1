
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The configuration of trackers of interactions.
 */


#include "ngx_http_eventbridge_lifecycle.h"
#include "ngx_http_eventbridge_block.h"
#include "ngx_http_eventbridge_outbox.h"
#define XXH_INLINE_ALL
#include <xxhash.h>


/* a tracker's table is for so many interactions, without a line */
#define NGX_HTTP_EVENTBRIDGE_LIFECYCLE_TABLE  100000

/* a URL has to fit into a request line of others */
#define NGX_HTTP_EVENTBRIDGE_LIFECYCLE_URL    2048

/* over these bytes a page's path is no path */
#define NGX_HTTP_EVENTBRIDGE_LIFECYCLE_PATH   1024

/* no time is longer, ms */
#define NGX_HTTP_EVENTBRIDGE_LIFECYCLE_LONG   ((ngx_int_t) 366 * 86400 * 1000)


static char *ngx_http_eventbridge_lifecycle_text(ngx_conf_t *cf,
    void *conf, void *field);
static char *ngx_http_eventbridge_lifecycle_file(ngx_conf_t *cf,
    void *conf, void *field);
static char *ngx_http_eventbridge_lifecycle_path(ngx_conf_t *cf,
    void *conf, void *field);
static char *ngx_http_eventbridge_lifecycle_format(ngx_conf_t *cf,
    void *conf, void *field);
static char *ngx_http_eventbridge_lifecycle_time(ngx_conf_t *cf,
    void *conf, void *field);
static char *ngx_http_eventbridge_lifecycle_number(ngx_conf_t *cf,
    void *conf, void *field);
static char *ngx_http_eventbridge_lifecycle_adopt(ngx_conf_t *cf,
    void *conf, void *field);
static char *ngx_http_eventbridge_lifecycle_initial(ngx_conf_t *cf,
    void *conf, void *field);
static char *ngx_http_eventbridge_lifecycle_transition(ngx_conf_t *cf,
    void *conf, void *field);
static char *ngx_http_eventbridge_lifecycle_callback(ngx_conf_t *cf,
    void *conf, void *field);
static char *ngx_http_eventbridge_lifecycle_complete(ngx_conf_t *cf,
    ngx_http_eventbridge_lifecycle_t *lifecycle);
static char *ngx_http_eventbridge_lifecycle_bus(ngx_conf_t *cf,
    ngx_http_eventbridge_lifecycle_t *lifecycle);
static char *ngx_http_eventbridge_lifecycle_credentials(ngx_conf_t *cf,
    ngx_http_eventbridge_lifecycle_t *lifecycle);
static ngx_int_t ngx_http_eventbridge_lifecycle_zone(ngx_conf_t *cf,
    ngx_http_eventbridge_lifecycle_t *lifecycle);
static ngx_int_t ngx_http_eventbridge_lifecycle_zone_init(
    ngx_shm_zone_t *zone, void *data);


#define NGX_HTTP_EVENTBRIDGE_LIFECYCLE_OFFSET(member)                         \
    offsetof(ngx_http_eventbridge_lifecycle_t, member)


static ngx_http_eventbridge_line_t
    ngx_http_eventbridge_lifecycle_lines[] = {

    { ngx_string("genesys"), ngx_http_eventbridge_lifecycle_text,
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_OFFSET(organisation), 1 },

    { ngx_string("events_path"), ngx_http_eventbridge_lifecycle_path,
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_OFFSET(events_path), 1 },

    { ngx_string("interval"), ngx_http_eventbridge_lifecycle_time,
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_OFFSET(interval), 1 },

    { ngx_string("overlap"), ngx_http_eventbridge_lifecycle_time,
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_OFFSET(overlap), 1 },

    { ngx_string("bus"), ngx_http_eventbridge_lifecycle_text,
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_OFFSET(bus), 1 },

    { ngx_string("bus_format"), ngx_http_eventbridge_lifecycle_format,
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_OFFSET(bus_format), 1 },

    { ngx_string("bus_region"), ngx_http_eventbridge_lifecycle_text,
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_OFFSET(bus_region), 1 },

    { ngx_string("bus_name"), ngx_http_eventbridge_lifecycle_text,
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_OFFSET(bus_name), 1 },

    { ngx_string("bus_source"), ngx_http_eventbridge_lifecycle_text,
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_OFFSET(bus_source), 1 },

    { ngx_string("bus_timeout"), ngx_http_eventbridge_lifecycle_time,
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_OFFSET(bus_timeout), 1 },

    { ngx_string("bus_max_age"), ngx_http_eventbridge_lifecycle_time,
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_OFFSET(bus_max_age), 1 },

    { ngx_string("aws_credentials_file"), ngx_http_eventbridge_lifecycle_file,
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_OFFSET(credentials_file), 1 },

    { ngx_string("trusted_certificate"), ngx_http_eventbridge_lifecycle_file,
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_OFFSET(trusted_certificate), 1 },

    { ngx_string("state"), ngx_http_eventbridge_lifecycle_file,
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_OFFSET(path), 1 },

    { ngx_string("window"), ngx_http_eventbridge_lifecycle_time,
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_OFFSET(window), 1 },

    { ngx_string("grace"), ngx_http_eventbridge_lifecycle_time,
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_OFFSET(grace), 1 },

    { ngx_string("idle"), ngx_http_eventbridge_lifecycle_time,
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_OFFSET(idle), 1 },

    { ngx_string("stages"), ngx_http_eventbridge_lifecycle_number,
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_OFFSET(engine.stages), 1 },

    { ngx_string("interactions"), ngx_http_eventbridge_lifecycle_number,
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_OFFSET(interactions), 1 },

    { ngx_string("retention_days"), ngx_http_eventbridge_lifecycle_number,
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_OFFSET(bus_conf.retention_days), 1 },

    { ngx_string("adopt"), ngx_http_eventbridge_lifecycle_adopt, 0, 1 },

    { ngx_string("initial"), ngx_http_eventbridge_lifecycle_initial, 0, 0 },

    { ngx_string("transition"), ngx_http_eventbridge_lifecycle_transition,
      0, 0 },

    { ngx_string("callback"), ngx_http_eventbridge_lifecycle_callback, 0, 0 },

    { ngx_null_string, NULL, 0, 0 }
};


/* eventbridge_lifecycle NAME { ... } */

char *
ngx_http_eventbridge_lifecycle(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_eventbridge_main_conf_t *emcf = conf;

    char                              *rv;
    ngx_str_t                         *value;
    ngx_uint_t                         i;
    ngx_http_eventbridge_block_t       block;
    ngx_http_eventbridge_lifecycle_t  *lifecycle, **slot;

    value = cf->args->elts;

    if (value[1].len == 0 || value[1].len > 64) {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "a name of 1 to 64 letters, "
                                           "digits, \"_\" and \"-\" is "
                                           "expected");
    }

    for (i = 0; i < value[1].len; i++) {
        if (!isalnum(value[1].data[i]) && value[1].data[i] != '_'
            && value[1].data[i] != '-')
        {
            return ngx_http_eventbridge_refuse(cf, &value[1],
                                               "a name of 1 to 64 letters, "
                                               "digits, \"_\" and \"-\" is "
                                               "expected");
        }
    }

    if (ngx_http_eventbridge_lifecycle_find(emcf, &value[1])) {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "the name is used already");
    }

    lifecycle = ngx_pcalloc(cf->pool,
                            sizeof(ngx_http_eventbridge_lifecycle_t));
    slot = ngx_array_push(&emcf->lifecycles);

    if (lifecycle == NULL || slot == NULL
        || ngx_array_init(&lifecycle->logs, cf->pool, 2,
                          sizeof(ngx_eb_log_t *))
           != NGX_OK
        || ngx_array_init(&lifecycle->calls, cf->pool, 2,
                          sizeof(ngx_http_eventbridge_lifecycle_call_t))
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    *slot = lifecycle;

    emcf->observed = 1;

    lifecycle->name = value[1];
    lifecycle->file = cf->conf_file->file.name.data;
    lifecycle->line = cf->conf_file->line;
    lifecycle->conf = ngx_http_conf_get_module_loc_conf(cf,
                                                  ngx_http_eventbridge_module);
    lifecycle->interval = NGX_CONF_UNSET_MSEC;
    lifecycle->overlap = NGX_CONF_UNSET_MSEC;
    lifecycle->bus_timeout = NGX_CONF_UNSET_MSEC;
    lifecycle->bus_max_age = NGX_CONF_UNSET_MSEC;
    lifecycle->bus_format = NGX_CONF_UNSET_UINT;
    lifecycle->window = NGX_CONF_UNSET_MSEC;
    lifecycle->grace = NGX_CONF_UNSET_MSEC;
    lifecycle->idle = NGX_CONF_UNSET_MSEC;
    lifecycle->engine.stages = NGX_CONF_UNSET_UINT;
    lifecycle->interactions = NGX_CONF_UNSET_UINT;
    lifecycle->bus_conf.retention_days = NGX_CONF_UNSET_UINT;

    ngx_eb_lifecycle_states_init(&lifecycle->states);

    block.directive = "eventbridge_lifecycle";
    block.name = &lifecycle->name;
    block.conf = lifecycle;
    block.lines = ngx_http_eventbridge_lifecycle_lines;

    rv = ngx_http_eventbridge_block(cf, &block);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_http_eventbridge_lifecycle_complete(cf, lifecycle);
}


/* each returns what is wrong with the value, or as setters do */

static char *
ngx_http_eventbridge_lifecycle_text(ngx_conf_t *cf, void *conf,
    void *field)
{
    ngx_str_t *text = field;

    ngx_str_t   *value;
    ngx_uint_t   i;

    value = cf->args->elts;

    if (text->data) {
        return "it is given twice";
    }

    if (value[1].len == 0 || value[1].len > NGX_HTTP_EVENTBRIDGE_LIFECYCLE_URL)
    {
        return "1 to 2048 bytes are expected";
    }

    for (i = 0; i < value[1].len; i++) {
        if (value[1].data[i] <= 0x20 || value[1].data[i] == 0x7f) {
            return "it has a space or a control character";
        }
    }

    *text = value[1];

    return NGX_CONF_OK;
}


static char *
ngx_http_eventbridge_lifecycle_file(ngx_conf_t *cf, void *conf,
    void *field)
{
    ngx_http_eventbridge_lifecycle_t *lifecycle = conf;
    ngx_str_t *file = field;

    ngx_str_t  *value;

    value = cf->args->elts;

    if (file->data) {
        return "it is given twice";
    }

    if (value[1].len == 0 || value[1].data[value[1].len - 1] == '/') {
        return "a file is expected";
    }

    *file = value[1];

    /* the state is data, the others belong to the configuration */

    if (ngx_conf_full_name(cf->cycle, file, file != &lifecycle->path)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return (file == &lifecycle->trusted_certificate)
           ? ngx_http_eventbridge_unreadable(file) : NGX_CONF_OK;
}


static char *
ngx_http_eventbridge_lifecycle_path(ngx_conf_t *cf, void *conf,
    void *field)
{
    char       *rv;
    ngx_str_t  *value;

    value = cf->args->elts;

    rv = ngx_http_eventbridge_lifecycle_text(cf, conf, field);

    if (rv == NGX_CONF_OK
        && (value[1].data[0] != '/'
            || value[1].len > NGX_HTTP_EVENTBRIDGE_LIFECYCLE_PATH))
    {
        return "a path is expected";
    }

    return rv;
}


static char *
ngx_http_eventbridge_lifecycle_format(ngx_conf_t *cf, void *conf,
    void *field)
{
    return ngx_http_eventbridge_block_choice(cf, field, "generic", "aws",
                                             "\"generic\" or \"aws\" is "
                                             "expected");
}


static char *
ngx_http_eventbridge_lifecycle_time(ngx_conf_t *cf, void *conf,
    void *field)
{
    ngx_http_eventbridge_lifecycle_t *lifecycle = conf;

    if (field == &lifecycle->window || field == &lifecycle->overlap
        || field == &lifecycle->idle)
    {
        return ngx_http_eventbridge_block_time(cf, field, 0,
                                       NGX_HTTP_EVENTBRIDGE_LIFECYCLE_LONG,
                                       "a time of 366d at most is expected");
    }

    return ngx_http_eventbridge_block_time(cf, field, 1,
                                       NGX_HTTP_EVENTBRIDGE_LIFECYCLE_LONG,
                                       "a time from 1ms to 366d is expected");
}


static char *
ngx_http_eventbridge_lifecycle_number(ngx_conf_t *cf, void *conf,
    void *field)
{
    ngx_http_eventbridge_lifecycle_t *lifecycle = conf;

    if (field == &lifecycle->interactions) {
        return ngx_http_eventbridge_block_number(cf, field, 1000, 50000000,
                                         "from 1000 to 50000000 is expected");
    }

    if (field == &lifecycle->engine.stages) {
        return ngx_http_eventbridge_block_number(cf, field, 1, 255,
                                                 "from 1 to 255 is expected");
    }

    return ngx_http_eventbridge_block_number(cf, field, 1, 3650,
                                             "from 1 to 3650 is expected");
}


static char *
ngx_http_eventbridge_lifecycle_adopt(ngx_conf_t *cf, void *conf,
    void *field)
{
    ngx_http_eventbridge_lifecycle_t *lifecycle = conf;

    ngx_str_t  *value;

    value = cf->args->elts;

    if (lifecycle->said & 1) {
        return "it is given twice";
    }

    if (ngx_strcmp(value[1].data, "on") == 0) {
        lifecycle->engine.adopt = 1;

    } else if (ngx_strcmp(value[1].data, "off") != 0) {
        return "\"on\" or \"off\" is expected";
    }

    lifecycle->said |= 1;

    return NGX_CONF_OK;
}


static char *
ngx_http_eventbridge_lifecycle_initial(ngx_conf_t *cf, void *conf,
    void *field)
{
    ngx_http_eventbridge_lifecycle_t *lifecycle = conf;

    ngx_str_t  *value;

    value = cf->args->elts;

    if (lifecycle->said & 2) {
        return "it is given twice";
    }

    lifecycle->said |= 2;

    return (char *) ngx_eb_lifecycle_states_initial(&lifecycle->states,
                                                    &value[1],
                                                    cf->args->nelts - 1);
}


static char *
ngx_http_eventbridge_lifecycle_transition(ngx_conf_t *cf, void *conf,
    void *field)
{
    ngx_http_eventbridge_lifecycle_t *lifecycle = conf;

    ngx_str_t  *value;

    value = cf->args->elts;

    return (char *) ngx_eb_lifecycle_states_transition(&lifecycle->states,
                                                       &value[1], &value[2],
                                                       cf->args->nelts - 2);
}


/* callback WEBHOOK STATE...; states are known at the end of the block */

static char *
ngx_http_eventbridge_lifecycle_callback(ngx_conf_t *cf, void *conf,
    void *field)
{
    ngx_http_eventbridge_lifecycle_t *lifecycle = conf;

    char                                   *rv;
    ngx_str_t                              *value, *name;
    ngx_uint_t                              i;
    ngx_http_eventbridge_lifecycle_call_t  *call;

    value = cf->args->elts;

    if (cf->args->nelts < 3) {
        return "a webhook and at least one state are expected";
    }

    rv = ngx_http_eventbridge_outbox_callback(cf, &value[1], &value[1]);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    call = ngx_array_push(&lifecycle->calls);

    if (call == NULL
        || ngx_array_init(&call->names, cf->pool, cf->args->nelts,
                          sizeof(ngx_str_t))
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    call->webhook = value[1];
    call->states = 0;
    call->line = cf->conf_file->line;

    for (i = 2; i < cf->args->nelts; i++) {
        name = ngx_array_push(&call->names);
        if (name == NULL) {
            return NGX_CONF_ERROR;
        }

        *name = value[i];
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_eventbridge_lifecycle_complete(ngx_conf_t *cf,
    ngx_http_eventbridge_lifecycle_t *lifecycle)
{
    ngx_str_t                               dead, *names;
    ngx_uint_t                              i, j, state;
    const char                             *bad;
    ngx_http_eventbridge_lifecycle_call_t  *calls;

    if (lifecycle->path.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"eventbridge_lifecycle %V\" has no \"state\"",
                           &lifecycle->name);
        return NGX_CONF_ERROR;
    }

    bad = ngx_eb_lifecycle_states_check(&lifecycle->states);

    if (bad) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the states of \"eventbridge_lifecycle %V\": %s",
                           &lifecycle->name, bad);
        return NGX_CONF_ERROR;
    }

    calls = lifecycle->calls.elts;

    for (i = 0; i < lifecycle->calls.nelts; i++) {
        names = calls[i].names.elts;

        for (j = 0; j < calls[i].names.nelts; j++) {

            state = ngx_eb_lifecycle_states_find(&lifecycle->states,
                                                 &names[j]);
            if (state == NGX_EB_LIFECYCLE_NONE) {
                ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                              "unknown state \"%V\" in \"callback\" of "
                              "\"eventbridge_lifecycle %V\" in %s:%ui",
                              &names[j], &lifecycle->name, lifecycle->file,
                              calls[i].line);
                return NGX_CONF_ERROR;
            }

            calls[i].states |= ngx_eb_lifecycle_bit(state);
        }
    }

    ngx_conf_init_msec_value(lifecycle->interval, 5000);
    ngx_conf_init_msec_value(lifecycle->overlap, 60000);
    ngx_conf_init_msec_value(lifecycle->bus_timeout, 10000);
    ngx_conf_init_msec_value(lifecycle->bus_max_age, 86400000);
    ngx_conf_init_msec_value(lifecycle->window, 5000);
    ngx_conf_init_msec_value(lifecycle->grace, 3600000);
    ngx_conf_init_msec_value(lifecycle->idle, 604800000);
    ngx_conf_init_uint_value(lifecycle->bus_format, 0);
    ngx_conf_init_uint_value(lifecycle->engine.stages, 8);
    ngx_conf_init_uint_value(lifecycle->bus_conf.retention_days, 30);
    ngx_conf_init_uint_value(lifecycle->interactions,
                             NGX_HTTP_EVENTBRIDGE_LIFECYCLE_TABLE);

    /* what the overlap shows again has to be known still */

    if (lifecycle->organisation.len && lifecycle->grace <= lifecycle->overlap)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"grace\" of \"eventbridge_lifecycle %V\" has to "
                           "be longer than \"overlap\"", &lifecycle->name);
        return NGX_CONF_ERROR;
    }

    if (lifecycle->events_path.len == 0) {
        ngx_str_set(&lifecycle->events_path,
                    "/api/v2/events?eventType=interaction.lifecycle.*"
                    "&pageSize=100&sortBy=timestamp");
    }

    if (lifecycle->bus_source.len == 0) {
        ngx_str_set(&lifecycle->bus_source, "eventbridge.lifecycle");
    }

    if (lifecycle->bus_source.len > 256
        || ngx_strncmp(lifecycle->bus_source.data, "aws.", 4) == 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"bus_source\" of "
                           "\"eventbridge_lifecycle %V\": up to 256 bytes "
                           "that do not begin with \"aws.\" are expected",
                           &lifecycle->bus_source, &lifecycle->name);
        return NGX_CONF_ERROR;
    }

    /* those that wait in windows: a quarter, and enough for a burst */

    lifecycle->held = ngx_max(lifecycle->interactions / 4, 20000);

    lifecycle->engine.states = &lifecycle->states;
    lifecycle->engine.window = (int64_t) lifecycle->window;
    lifecycle->engine.grace = (int64_t) lifecycle->grace;
    lifecycle->engine.idle = (int64_t) lifecycle->idle;

    lifecycle->bus_conf.states = &lifecycle->states;
    lifecycle->bus_conf.source = lifecycle->bus_source;
    lifecycle->bus_conf.bus_name = lifecycle->bus_name;
    lifecycle->bus_conf.aws = (lifecycle->bus_format == 1);

    lifecycle->log = ngx_eb_log_add(cf, &lifecycle->logs,
                                    "eventbridge_lifecycle", &lifecycle->path,
                                    NGX_HTTP_EVENTBRIDGE_LIFECYCLE_QUEUE);

    dead.len = lifecycle->path.len + sizeof(".dead") - 1;
    dead.data = ngx_pnalloc(cf->pool, dead.len + 1);
    if (dead.data == NULL) {
        return NGX_CONF_ERROR;
    }

    (void) ngx_sprintf(dead.data, "%V.dead%Z", &lifecycle->path);

    lifecycle->dead = ngx_eb_log_add(cf, &lifecycle->logs,
                                     "eventbridge_lifecycle", &dead,
                                     NGX_HTTP_EVENTBRIDGE_LIFECYCLE_QUEUE);

    if (lifecycle->log == NULL || lifecycle->dead == NULL) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_eventbridge_lifecycle_bus(cf, lifecycle);
}


static char *
ngx_http_eventbridge_lifecycle_bus(ngx_conf_t *cf,
    ngx_http_eventbridge_lifecycle_t *lifecycle)
{
    u_char      *p, *last, *slash;
    ngx_url_t    u;
    ngx_str_t   *bus;
    const char  *bad;

    bus = &lifecycle->bus;

    if (bus->len == 0 && lifecycle->bus_format == 1) {

        if (lifecycle->bus_region.len == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"eventbridge_lifecycle %V\" has neither "
                               "\"bus\" nor \"bus_region\"",
                               &lifecycle->name);
            return NGX_CONF_ERROR;
        }

        bus->data = ngx_pnalloc(cf->pool, lifecycle->bus_region.len + 64);
        if (bus->data == NULL) {
            return NGX_CONF_ERROR;
        }

        bus->len = ngx_sprintf(bus->data, "https://events.%V.amazonaws.com%s/",
                               &lifecycle->bus_region,
                               ngx_strncmp(lifecycle->bus_region.data, "cn-",
                                           3) == 0 ? ".cn" : "")
                   - bus->data;
    }

    if (bus->len == 0) {
        return NGX_CONF_OK;
    }

    bad = NULL;
    last = bus->data + bus->len;
    p = bus->data;

    if (ngx_strncmp(bus->data, "https://", 8) == 0) {
        p += 8;

    } else if (ngx_strncmp(bus->data, "http://", 7) == 0) {
        p += 7;

        if (ngx_strncmp(p, "127.", 4) != 0
            && ngx_strncmp(p, "[::1]", 5) != 0
            && ngx_strncmp(p, "localhost", 9) != 0)
        {
            ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                               "\"bus\" of \"eventbridge_lifecycle %V\" is "
                               "not https: whoever listens reads it",
                               &lifecycle->name);
        }

    } else {
        bad = "https://HOST/PATH is expected";
    }

    slash = bad ? NULL : ngx_strlchr(p, last, '/');

    lifecycle->bus_host.data = p;
    lifecycle->bus_host.len = (slash ? slash : last) - p;

    if (slash) {
        lifecycle->bus_path.data = slash;
        lifecycle->bus_path.len = last - slash;
    }

    ngx_memzero(&u, sizeof(ngx_url_t));
    u.url = lifecycle->bus_host;
    u.default_port = 443;
    u.no_resolve = 1;

    if (bad == NULL
        && (u.url.len == 0 || ngx_parse_url(cf->pool, &u) != NGX_OK
            || u.family == AF_UNIX))
    {
        bad = "it has no valid host";
    }

    if (bad == NULL && ngx_strlchr(u.url.data, u.url.data + u.url.len, '@')) {
        bad = "credentials are not expected in it";
    }

    if (bad == NULL && lifecycle->bus_format == 1
        && ngx_strlchr(p, last, '?'))
    {
        bad = "a query is not expected in it";
    }

    if (bad) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"bus\" of "
                           "\"eventbridge_lifecycle %V\": %s", bus,
                           &lifecycle->name, bad);
        return NGX_CONF_ERROR;
    }

    if (lifecycle->bus_format == 0) {
        return NGX_CONF_OK;
    }

    if (lifecycle->bus_region.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"eventbridge_lifecycle %V\" has no "
                           "\"bus_region\", which \"bus_format aws\" needs",
                           &lifecycle->name);
        return NGX_CONF_ERROR;
    }

    return ngx_http_eventbridge_lifecycle_credentials(cf, lifecycle);
}


/* ID:SECRET[:TOKEN] of a file, or what the master's environment has */

static char *
ngx_http_eventbridge_lifecycle_credentials(ngx_conf_t *cf,
    ngx_http_eventbridge_lifecycle_t *lifecycle)
{
    char       *id, *secret, *token;
    u_char      errstr[NGX_MAX_CONF_ERRSTR], *colon;
    ngx_err_t   err;
    ngx_str_t  *value;

    if (ngx_process == NGX_PROCESS_SIGNALLER) {
        return NGX_CONF_OK;
    }

    if (lifecycle->credentials_file.len) {

        lifecycle->credentials =
            ngx_eb_secrets_open(cf->pool, &lifecycle->credentials_file,
                                NGX_EB_SECRETS_VALUE, cf->log, errstr,
                                sizeof(errstr), &err);

        if (lifecycle->credentials == NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, err,
                               "\"aws_credentials_file\" of "
                               "\"eventbridge_lifecycle %V\": %s",
                               &lifecycle->name, errstr);
            return NGX_CONF_ERROR;
        }

        value = ngx_eb_secrets_value(lifecycle->credentials);
        colon = ngx_strlchr(value->data, value->data + value->len, ':');

        if (colon == NULL || colon == value->data
            || colon + 1 == value->data + value->len)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"aws_credentials_file\" of "
                               "\"eventbridge_lifecycle %V\": "
                               "ACCESS_KEY_ID:SECRET_ACCESS_KEY or "
                               "ACCESS_KEY_ID:SECRET_ACCESS_KEY:SESSION_TOKEN "
                               "is expected", &lifecycle->name);
            return NGX_CONF_ERROR;
        }

        return NGX_CONF_OK;
    }

    id = getenv("AWS_ACCESS_KEY_ID");
    secret = getenv("AWS_SECRET_ACCESS_KEY");
    token = getenv("AWS_SESSION_TOKEN");

    if (id == NULL || *id == '\0' || secret == NULL || *secret == '\0') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"eventbridge_lifecycle %V\" has no "
                           "\"aws_credentials_file\", and AWS_ACCESS_KEY_ID "
                           "and AWS_SECRET_ACCESS_KEY are not in the "
                           "environment", &lifecycle->name);
        return NGX_CONF_ERROR;
    }

    lifecycle->environment.data = ngx_pnalloc(cf->pool, ngx_strlen(id)
                                              + ngx_strlen(secret) + 3
                                              + (token ? ngx_strlen(token)
                                                       : 0));
    if (lifecycle->environment.data == NULL) {
        return NGX_CONF_ERROR;
    }

    lifecycle->environment.len = ngx_sprintf(lifecycle->environment.data,
                                             "%s:%s%s%s", id, secret,
                                             (token && *token) ? ":" : "",
                                             token ? token : "")
                                 - lifecycle->environment.data;
    return NGX_CONF_OK;
}


ngx_http_eventbridge_lifecycle_t *
ngx_http_eventbridge_lifecycle_find(ngx_http_eventbridge_main_conf_t *emcf,
    ngx_str_t *name)
{
    ngx_uint_t                          i;
    ngx_http_eventbridge_lifecycle_t  **lifecycles;

    lifecycles = emcf->lifecycles.elts;

    for (i = 0; i < emcf->lifecycles.nelts; i++) {
        if (ngx_http_eventbridge_same(&lifecycles[i]->name, name)) {
            return lifecycles[i];
        }
    }

    return NULL;
}


int64_t
ngx_http_eventbridge_lifecycle_now(void)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (int64_t) tp->sec * 1000 + tp->msec;
}


ngx_int_t
ngx_http_eventbridge_lifecycle_setup(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    u_char                              buf[128];
    ngx_str_t                           labels;
    ngx_uint_t                          i, j;
    ngx_eb_out_t                        out;
    ngx_eb_log_t                      **logs;
    ngx_http_core_loc_conf_t           *clcf;
    ngx_http_eventbridge_lifecycle_t   *lifecycle, **lifecycles;
    ngx_http_eventbridge_lifecycle_ref_t  **refs;

    lifecycles = emcf->lifecycles.elts;
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    refs = emcf->lifecycle_refs.elts;

    for (i = 0; i < emcf->lifecycle_refs.nelts; i++) {

        refs[i]->lifecycle = ngx_http_eventbridge_lifecycle_find(emcf,
                                                               &refs[i]->name);
        if (refs[i]->lifecycle == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown tracker \"%V\" of "
                          "\"eventbridge_lifecycle_status\": add "
                          "\"eventbridge_lifecycle %V { ... }\" in %s:%ui",
                          &refs[i]->name, &refs[i]->name, refs[i]->file,
                          refs[i]->line);
            return NGX_ERROR;
        }
    }

    for (i = 0; i < emcf->lifecycles.nelts; i++) {
        lifecycle = lifecycles[i];

        if (lifecycle->organisation.len) {

            lifecycle->org = ngx_http_eventbridge_org_find(emcf,
                                                     &lifecycle->organisation);
            if (lifecycle->org == NULL) {
                ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                              "unknown organisation \"%V\" of "
                              "\"eventbridge_lifecycle %V\" in %s:%ui",
                              &lifecycle->organisation, &lifecycle->name,
                              lifecycle->file, lifecycle->line);
                return NGX_ERROR;
            }
        }

        /* nginx gives the level without a "resolver" one without servers */

        lifecycle->resolver = (clcf->resolver
                               && clcf->resolver->connections.nelts)
                              ? clcf->resolver : NULL;
        lifecycle->resolver_timeout =
            (clcf->resolver_timeout == NGX_CONF_UNSET_MSEC)
            ? 30000 : clcf->resolver_timeout;

        if (ngx_process == NGX_PROCESS_SIGNALLER) {
            continue;
        }

        logs = lifecycle->logs.elts;

        for (j = 0; j < lifecycle->logs.nelts; j++) {
            if (ngx_eb_log_test(logs[j], cf->log) != NGX_OK) {
                return NGX_ERROR;
            }
        }

        ngx_eb_out_init(&out, buf, sizeof(buf));
        ngx_eb_out_lit(&out, "lifecycle=");
        ngx_eb_out_label(&out, &lifecycle->name, 64);

        labels.data = buf;
        labels.len = out.pos - buf;

        lifecycle->cells = ngx_eb_stats_series(emcf->stats,
                                               NGX_EB_STATS_LIFECYCLE,
                                               &labels);

        if (ngx_http_eventbridge_lifecycle_zone(cf, lifecycle) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * All workers read the table.  One of other states, of another size or of
 * another file, which has a writer of its own, is another table: workers of
 * the old configuration have theirs as long as they are there.
 */

static ngx_int_t
ngx_http_eventbridge_lifecycle_zone(ngx_conf_t *cf,
    ngx_http_eventbridge_lifecycle_t *lifecycle)
{
    size_t           size;
    uint64_t         hash;
    ngx_str_t        name;
    ngx_uint_t       i;
    ngx_shm_zone_t  *zone;

    hash = XXH3_64bits_withSeed(lifecycle->states.next,
                                sizeof(lifecycle->states.next),
                                lifecycle->states.initial);
    hash = XXH3_64bits_withSeed(lifecycle->path.data, lifecycle->path.len,
                                hash);
    hash = XXH3_64bits_withSeed(&lifecycle->interactions,
                                sizeof(ngx_uint_t), hash);

    for (i = 0; i < lifecycle->states.n; i++) {
        hash = XXH3_64bits_withSeed(lifecycle->states.names[i].data,
                                    lifecycle->states.names[i].len,
                                    hash + 1);
    }

    lifecycle->size = ngx_eb_lifecycle_size(lifecycle->interactions,
                                            lifecycle->held);
    if (lifecycle->size == 0) {
        return NGX_ERROR;
    }

    name.len = sizeof("eventbridge_lifecycle  0123456789abcdef") - 1
               + lifecycle->name.len;
    name.data = ngx_pnalloc(cf->pool, name.len);

    lifecycle->lease.len = sizeof("lifecycle ") - 1 + lifecycle->path.len;
    lifecycle->lease.data = ngx_pnalloc(cf->pool, lifecycle->lease.len);

    if (name.data == NULL || lifecycle->lease.data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(name.data, "eventbridge_lifecycle %V %016xL",
                       &lifecycle->name, hash);

    /* the file has one writer, whatever the name of the tracker is */

    (void) ngx_sprintf(lifecycle->lease.data, "lifecycle %V",
                       &lifecycle->path);

    /* the table, and what a slab pool needs for itself and its pages */

    size = lifecycle->size + lifecycle->size / 64 + 16 * ngx_pagesize;

    zone = ngx_shared_memory_add(cf, &name, size,
                                 &ngx_http_eventbridge_module);
    if (zone == NULL) {
        return NGX_ERROR;
    }

    zone->init = ngx_http_eventbridge_lifecycle_zone_init;
    zone->data = lifecycle;

    return NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_lifecycle_zone_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_http_eventbridge_lifecycle_t *old = data;
    ngx_http_eventbridge_lifecycle_t *lifecycle = zone->data;

    uint64_t                                  seed;
    ngx_uint_t                                i;
    ngx_slab_pool_t                          *shpool;
    ngx_http_eventbridge_lifecycle_shared_t  *shared;

    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    if (zone->shm.exists) {
        lifecycle->shared = shpool->data;
        return NGX_OK;
    }

    if (old) {
        lifecycle->shared = old->shared;
        return NGX_OK;
    }

    shpool->log_nomem = 0;

    shared = ngx_slab_alloc(shpool,
                            sizeof(ngx_http_eventbridge_lifecycle_shared_t));
    if (shared == NULL) {
        return NGX_ERROR;
    }

    shared->block = ngx_slab_alloc(shpool, lifecycle->size);

    if (shared->block == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_HTTP_EVENTBRIDGE_LIFECYCLE_COUNTS; i++) {
        shared->base[i] =
            (uint64_t) lifecycle->cells[NGX_EB_STATS_T_COUNTS + i];
    }

    seed = ((uint64_t) ngx_random() << 32) ^ (uint64_t) ngx_random();

    ngx_eb_lifecycle_init(shared->block, lifecycle->interactions,
                          lifecycle->held, seed);

    lifecycle->shared = shared;
    shpool->data = shared;

    return NGX_OK;
}


void
ngx_http_eventbridge_lifecycle_counters(
    ngx_http_eventbridge_lifecycle_t *lifecycle,
    ngx_eb_lifecycle_counters_t *counters)
{
    uint64_t    *counts;
    ngx_uint_t   i;

    ngx_eb_lifecycle_counters(&lifecycle->lc, counters);

    counts = (uint64_t *) counters;

    for (i = 0; i < NGX_HTTP_EVENTBRIDGE_LIFECYCLE_COUNTS; i++) {
        counts[i] += lifecycle->shared->base[i];
    }
}
