
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The configuration of callbacks, and their figures.
 */


#include "ngx_http_eventbridge_outbox.h"


/* bytes of records that wait for the disk in one worker */
#define NGX_HTTP_EVENTBRIDGE_OUTBOX_QUEUE  (16 * 1024 * 1024)

#define NGX_HTTP_EVENTBRIDGE_OUTBOX_URL    2048


/* who names a webhook */

typedef struct {
    ngx_str_t                 name;
    u_char                   *file;
    ngx_uint_t                line;
} ngx_http_eventbridge_callback_t;


static ngx_http_eventbridge_outbox_t *ngx_http_eventbridge_outbox_get(
    ngx_conf_t *cf, ngx_http_eventbridge_main_conf_t *emcf);
static char *ngx_http_eventbridge_webhook_url(ngx_conf_t *cf,
    ngx_eb_webhook_t *w, ngx_str_t *url);
static char *ngx_http_eventbridge_webhook_parameter(ngx_conf_t *cf,
    ngx_eb_webhook_t *w, ngx_str_t *parameter);
static char *ngx_http_eventbridge_webhook_secrets(ngx_conf_t *cf,
    ngx_eb_webhook_t *w, ngx_str_t *file);
static ngx_int_t ngx_http_eventbridge_outbox_audits(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf);
static ngx_fd_t ngx_http_eventbridge_outbox_dup(void *data);


static struct {
    const char               *name;
    const char               *type;
    const char               *help;
    ngx_uint_t                cell;
} ngx_http_eventbridge_outbox_figures[NGX_HTTP_EVENTBRIDGE_OUTBOX_FIGURES] = {

    { "eventbridge_outbox_depth", "gauge",
      "Callbacks and audit records that wait in the outbox.",
      NGX_EB_STATS_N_OUTBOX_DEPTH },

    { "eventbridge_outbox_oldest_age_seconds", "gauge",
      "Age of the oldest of them.",
      NGX_EB_STATS_N_OUTBOX_OLDEST },

    { "eventbridge_outbox_delivered_total", "counter",
      "Callbacks that their webhook took.",
      NGX_EB_STATS_N_OUTBOX_DELIVERED },

    { "eventbridge_outbox_failed_total", "counter",
      "Attempts to deliver a callback that failed.",
      NGX_EB_STATS_N_OUTBOX_FAILED },

    { "eventbridge_outbox_dead_total", "counter",
      "Callbacks that were given up.",
      NGX_EB_STATS_N_OUTBOX_DEAD },

    { "eventbridge_outbox_dead", "gauge",
      "Callbacks in the outbox that were given up.",
      NGX_EB_STATS_N_OUTBOX_BURIED }
};


static ngx_http_eventbridge_outbox_t *
ngx_http_eventbridge_outbox_get(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_http_eventbridge_outbox_t  *outbox;

    if (emcf->outbox) {
        return emcf->outbox;
    }

    outbox = ngx_pcalloc(cf->pool, sizeof(ngx_http_eventbridge_outbox_t));

    if (outbox == NULL
        || ngx_array_init(&outbox->logs, cf->pool, 1, sizeof(ngx_eb_log_t *))
           != NGX_OK
        || ngx_array_init(&outbox->callbacks, cf->pool, 1,
                          sizeof(ngx_http_eventbridge_callback_t))
           != NGX_OK
        || ngx_array_init(&outbox->outbox.webhooks, cf->pool, 2,
                          sizeof(ngx_eb_webhook_t *))
           != NGX_OK
        || ngx_array_init(&outbox->outbox.audits, cf->pool, 1,
                          sizeof(ngx_eb_outbox_audit_t))
           != NGX_OK)
    {
        return NULL;
    }

    ngx_eb_outbox_init(&outbox->outbox);

    /* there is something to be set up */

    emcf->observed = 1;
    emcf->outbox = outbox;

    return outbox;
}


/* eventbridge_outbox path=FILE */

char *
ngx_http_eventbridge_outbox(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_eventbridge_main_conf_t *emcf = conf;

    ngx_str_t                      *value, path;
    ngx_http_eventbridge_outbox_t  *outbox;

    value = cf->args->elts;

    outbox = ngx_http_eventbridge_outbox_get(cf, emcf);
    if (outbox == NULL) {
        return NGX_CONF_ERROR;
    }

    if (outbox->outbox.log) {
        return ngx_http_eventbridge_duplicate(cf);
    }

    if (!ngx_http_eventbridge_takes(&value[1], "path=", &path)) {
        return ngx_http_eventbridge_refuse(cf, &value[1], NULL);
    }

    if (path.len == 0) {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "a file is expected");
    }

    outbox->outbox.log = ngx_eb_log_add(cf, &outbox->logs,
                                        "eventbridge_outbox", &path,
                                        NGX_HTTP_EVENTBRIDGE_OUTBOX_QUEUE);

    return outbox->outbox.log ? NGX_CONF_OK : NGX_CONF_ERROR;
}


/* eventbridge_webhook NAME URL [secret_file=FILE] ... */

char *
ngx_http_eventbridge_webhook(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_eventbridge_main_conf_t *emcf = conf;

    char                            *rv;
    ngx_str_t                       *value;
    ngx_uint_t                       i;
    ngx_eb_webhook_t                *w, **slot;
    ngx_http_eventbridge_outbox_t   *outbox;

    value = cf->args->elts;

    outbox = ngx_http_eventbridge_outbox_get(cf, emcf);
    if (outbox == NULL) {
        return NGX_CONF_ERROR;
    }

    if (!ngx_eb_outbox_named(&value[1])) {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "a name of 1 to 64 letters, "
                                           "digits, \"_\", \"-\" and \".\" is "
                                           "expected");
    }

    if (ngx_eb_outbox_webhook(&outbox->outbox, &value[1])) {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "the name is used already");
    }

    rv = ngx_http_eventbridge_once(cf, 3);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    w = ngx_pcalloc(cf->pool, sizeof(ngx_eb_webhook_t));
    slot = ngx_array_push(&outbox->outbox.webhooks);

    if (w == NULL || slot == NULL) {
        return NGX_CONF_ERROR;
    }

    *slot = w;

    if (outbox->file == NULL) {
        outbox->file = cf->conf_file->file.name.data;
        outbox->line = cf->conf_file->line;
    }

    w->name = value[1];
    w->parallel = NGX_EB_OUTBOX_EACH;
    w->max_age = 24 * 3600;
    w->connect_timeout = 5000;
    w->timeout = 10000;

    rv = ngx_http_eventbridge_webhook_url(cf, w, &value[2]);

    for (i = 3; rv == NGX_CONF_OK && i < cf->args->nelts; i++) {
        rv = ngx_http_eventbridge_webhook_parameter(cf, w, &value[i]);
    }

    w->connect_timeout = ngx_min(w->connect_timeout, w->timeout);

    return rv;
}


static char *
ngx_http_eventbridge_webhook_url(ngx_conf_t *cf, ngx_eb_webhook_t *w,
    ngx_str_t *url)
{
    u_char     *p, *last, *end;
    ngx_url_t   u;

    last = url->data + url->len;

    if (ngx_strncmp(url->data, "https://", 8) == 0) {
        p = url->data + 8;

    } else if (ngx_strncmp(url->data, "http://", 7) == 0) {
        p = url->data + 7;

    } else {
        return ngx_http_eventbridge_refuse(cf, url,
                                           "https://HOST/PATH is expected");
    }

    if (url->len > NGX_HTTP_EVENTBRIDGE_OUTBOX_URL) {
        return ngx_http_eventbridge_refuse(cf, url, "it is too long");
    }

    for (end = p; end < last && *end != '/' && *end != '?'; end++) {
        if (*end == '@') {
            return ngx_http_eventbridge_refuse(cf, url,
                                               "credentials are not expected "
                                               "in it");
        }
    }

    ngx_memzero(&u, sizeof(ngx_url_t));
    u.url.data = p;
    u.url.len = end - p;
    u.default_port = 443;
    u.no_resolve = 1;

    if (u.url.len == 0 || ngx_parse_url(cf->pool, &u) != NGX_OK
        || u.family == AF_UNIX)
    {
        return ngx_http_eventbridge_refuse(cf, url, "it has no valid host");
    }

    for ( /* void */ ; p < last; p++) {
        if (*p <= 0x20 || *p >= 0x7f || ngx_strchr("#\\\"<>", *p)) {
            return ngx_http_eventbridge_refuse(cf, url,
                                               "it has a character that has "
                                               "to be encoded");
        }
    }

    w->url = *url;
    p = url->data + 7;

    if (url->data[4] == ':'
        && ngx_strncmp(p, "127.", 4) != 0
        && ngx_strncmp(p, "[::1]", 5) != 0
        && ngx_strncmp(p, "localhost", 9) != 0)
    {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "the URL of \"eventbridge_webhook %V\" is not "
                           "https: whoever listens reads the callbacks",
                           &w->name);
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_eventbridge_webhook_parameter(ngx_conf_t *cf, ngx_eb_webhook_t *w,
    ngx_str_t *parameter)
{
    char       *rv;
    ngx_int_t   n;
    ngx_str_t   s;

    if (ngx_http_eventbridge_takes(parameter, "secret_file=", &s)) {

        rv = ngx_http_eventbridge_parameter_file(cf, parameter, &s);
        if (rv != NGX_CONF_OK) {
            return rv;
        }

        return ngx_http_eventbridge_webhook_secrets(cf, w, &s);
    }

    if (ngx_http_eventbridge_takes(parameter, "trusted_certificate=", &s)) {

        rv = ngx_http_eventbridge_parameter_certificate(cf, parameter, &s);
        w->trusted_certificate = s;

        return rv;
    }

    if (ngx_http_eventbridge_takes(parameter, "timeout=", &s)) {

        n = ngx_parse_time(&s, 0);

        if (n == NGX_ERROR || n == 0 || n > 60 * 1000) {
            return ngx_http_eventbridge_refuse(cf, parameter,
                                               "from 1ms to 60s is expected");
        }

        w->timeout = n;

        return NGX_CONF_OK;
    }

    if (ngx_http_eventbridge_takes(parameter, "max_age=", &s)) {

        n = ngx_parse_time(&s, 1);

        if (n == NGX_ERROR || n == 0 || n > 365 * 24 * 3600) {
            return ngx_http_eventbridge_refuse(cf, parameter,
                                               "from 1s to 365d is expected");
        }

        w->max_age = n;

        return NGX_CONF_OK;
    }

    if (ngx_http_eventbridge_takes(parameter, "tries=", &s)) {

        n = ngx_atoi(s.data, s.len);

        if (n == NGX_ERROR || n == 0 || n > 10000) {
            return ngx_http_eventbridge_refuse(cf, parameter,
                                               "from 1 to 10000 is expected");
        }

        w->tries = n;

        return NGX_CONF_OK;
    }

    if (ngx_http_eventbridge_takes(parameter, "parallel=", &s)) {

        n = ngx_atoi(s.data, s.len);

        if (n == NGX_ERROR || n == 0 || n > NGX_EB_OUTBOX_EACH) {
            return ngx_http_eventbridge_refuse(cf, parameter,
                                               "from 1 to 4 is expected");
        }

        w->parallel = n;

        return NGX_CONF_OK;
    }

    return ngx_http_eventbridge_refuse(cf, parameter, NULL);
}


char *
ngx_http_eventbridge_parameter_file(ngx_conf_t *cf, ngx_str_t *parameter,
    ngx_str_t *file)
{
    if (file->len == 0) {
        return ngx_http_eventbridge_refuse(cf, parameter,
                                           "a file is expected");
    }

    return (ngx_conf_full_name(cf->cycle, file, 1) == NGX_OK) ? NGX_CONF_OK
                                                        : NGX_CONF_ERROR;
}


char *
ngx_http_eventbridge_parameter_certificate(ngx_conf_t *cf,
    ngx_str_t *parameter, ngx_str_t *file)
{
    char  *rv;

    rv = ngx_http_eventbridge_parameter_file(cf, parameter, file);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    rv = ngx_http_eventbridge_unreadable(file);

    return rv ? ngx_http_eventbridge_refuse(cf, parameter, rv) : NGX_CONF_OK;
}


char *
ngx_http_eventbridge_unreadable(ngx_str_t *file)
{
    /* "nginx -s" reads the configuration, too, and has to stop nginx yet */

    if (ngx_process == NGX_PROCESS_SIGNALLER
        || access((char *) file->data, R_OK) == 0)
    {
        return NULL;
    }

    return (ngx_errno == NGX_ENOENT) ? "there is no such file"
                                     : "it cannot be read";
}


static char *
ngx_http_eventbridge_webhook_secrets(ngx_conf_t *cf, ngx_eb_webhook_t *w,
    ngx_str_t *file)
{
    u_char      buf[NGX_EB_OUTBOX_KEY], errstr[NGX_MAX_CONF_ERRSTR];
    ngx_err_t   err;
    ngx_int_t   rc;
    ngx_str_t   key, *secret;
    ngx_uint_t  i;

    if (ngx_process == NGX_PROCESS_SIGNALLER) {
        return NGX_CONF_OK;
    }

    w->secrets = ngx_eb_secrets_open(cf->pool, file, NGX_EB_SECRETS_KEY,
                                     cf->log, errstr, sizeof(errstr), &err);
    if (w->secrets == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, err,
                           "\"secret_file\" of \"eventbridge_webhook %V\": "
                           "%s", &w->name, errstr);
        return NGX_CONF_ERROR;
    }

    for (i = 0; /* void */; i++) {

        secret = ngx_eb_secrets_key(w->secrets, i);
        if (secret == NULL) {
            return NGX_CONF_OK;
        }

        rc = ngx_eb_outbox_key(secret, buf, &key);
        ngx_explicit_memzero(buf, sizeof(buf));

        if (rc != NGX_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"secret_file\" of \"eventbridge_webhook "
                               "%V\": secret %ui of %V is no base64 after "
                               "\"whsec_\", or too long", &w->name, i + 1,
                               file);
            return NGX_CONF_ERROR;
        }
    }
}


char *
ngx_http_eventbridge_outbox_callback(ngx_conf_t *cf, ngx_str_t *parameter,
    ngx_str_t *name)
{
    ngx_http_eventbridge_outbox_t     *outbox;
    ngx_http_eventbridge_callback_t   *callback;
    ngx_http_eventbridge_main_conf_t  *emcf;

    if (!ngx_eb_outbox_named(name)) {
        return ngx_http_eventbridge_refuse(cf, parameter,
                                           "the name of an "
                                           "\"eventbridge_webhook\" is "
                                           "expected");
    }

    emcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_eventbridge_module);

    outbox = ngx_http_eventbridge_outbox_get(cf, emcf);
    if (outbox == NULL) {
        return NGX_CONF_ERROR;
    }

    callback = ngx_array_push(&outbox->callbacks);
    if (callback == NULL) {
        return NGX_CONF_ERROR;
    }

    callback->name = *name;
    callback->file = cf->conf_file->file.name.data;
    callback->line = cf->conf_file->line;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_eventbridge_outbox_setup(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_uint_t                        i;
    ngx_eb_outbox_t                  *ob;
    ngx_eb_webhook_t                **webhooks;
    ngx_http_core_loc_conf_t         *clcf;
    ngx_http_eventbridge_callback_t  *callbacks;

    if (emcf->outbox == NULL) {
        return NGX_OK;
    }

    ob = &emcf->outbox->outbox;
    callbacks = emcf->outbox->callbacks.elts;

    for (i = 0; i < emcf->outbox->callbacks.nelts; i++) {

        if (ngx_eb_outbox_webhook(ob, &callbacks[i].name) == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown webhook \"%V\" in \"callback=%V\": add "
                          "\"eventbridge_webhook %V URL\" in %s:%ui",
                          &callbacks[i].name, &callbacks[i].name,
                          &callbacks[i].name, callbacks[i].file,
                          callbacks[i].line);
            return NGX_ERROR;
        }
    }

    webhooks = ob->webhooks.elts;

    if (ob->log == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"eventbridge_webhook %V\" needs an "
                      "\"eventbridge_outbox path=FILE\", where callbacks wait "
                      "for it, in %s:%ui", &webhooks[0]->name,
                      emcf->outbox->file, emcf->outbox->line);
        return NGX_ERROR;
    }

    if (ngx_process != NGX_PROCESS_SIGNALLER
        && ngx_eb_log_test(ob->log, cf->log) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* nginx gives the level without a "resolver" one that knows no servers */

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    for (i = 0; i < ob->webhooks.nelts; i++) {
        webhooks[i]->resolver = (clcf->resolver
                                 && clcf->resolver->connections.nelts)
                                ? clcf->resolver : NULL;
        webhooks[i]->resolver_timeout =
            (clcf->resolver_timeout == NGX_CONF_UNSET_MSEC)
            ? 30000 : clcf->resolver_timeout;
    }

    return ngx_http_eventbridge_outbox_audits(cf, emcf);
}


static ngx_int_t
ngx_http_eventbridge_outbox_audits(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    u_char                  *p;
    size_t                   size;
    ngx_str_t               *path;
    ngx_uint_t               i;
    ngx_eb_out_t             out;
    ngx_eb_audit_t         **audits;
    ngx_eb_outbox_audit_t   *audit;

    audits = emcf->audits.elts;

    for (i = 0; i < emcf->audits.nelts; i++) {

        path = ngx_eb_audit_path(audits[i]);

        /* an escape is up to six times as long as what it stands for */

        size = 2 + 6 * path->len;

        p = ngx_pnalloc(cf->pool, size);
        audit = ngx_array_push(&emcf->outbox->outbox.audits);

        if (p == NULL || audit == NULL) {
            return NGX_ERROR;
        }

        ngx_eb_out_init(&out, p, size);
        ngx_eb_out_string(&out, path, path->len);

        audit->name.data = p;
        audit->name.len = out.pos - p;
        audit->dup = ngx_http_eventbridge_outbox_dup;
        audit->data = audits[i];
    }

    return NGX_OK;
}


static ngx_fd_t
ngx_http_eventbridge_outbox_dup(void *data)
{
    return ngx_eb_audit_dup(data);
}


ngx_str_t *
ngx_http_eventbridge_outbox_audit(ngx_http_eventbridge_outbox_t *outbox,
    ngx_eb_audit_t *audit)
{
    ngx_uint_t              i;
    ngx_eb_outbox_audit_t  *audits;

    /* all of them are there, since the configuration was complete */

    audits = outbox->outbox.audits.elts;

    for (i = 0; audits[i].data != audit; i++) { /* void */ }

    return &audits[i].name;
}


ngx_int_t
ngx_http_eventbridge_outbox_init_process(ngx_cycle_t *cycle,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_eb_outbox_t      *ob;
    ngx_eb_stats_cell_t  *cells;

    if (emcf->outbox == NULL) {
        return NGX_OK;
    }

    ob = &emcf->outbox->outbox;
    cells = emcf->cells;

    ob->lock = emcf->lock;
    ob->figures.delivered = &cells[NGX_EB_STATS_N_OUTBOX_DELIVERED];
    ob->figures.failed = &cells[NGX_EB_STATS_N_OUTBOX_FAILED];
    ob->figures.dead = &cells[NGX_EB_STATS_N_OUTBOX_DEAD];
    ob->figures.audited = &cells[NGX_EB_STATS_N_AUDIT_LINES];
    ob->figures.depth = &cells[NGX_EB_STATS_N_OUTBOX_DEPTH];
    ob->figures.oldest = &cells[NGX_EB_STATS_N_OUTBOX_OLDEST];
    ob->figures.buried = &cells[NGX_EB_STATS_N_OUTBOX_BURIED];

    if (ngx_eb_log_start(ob->log, cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_eb_outbox_start(ob, cycle);
}


void
ngx_http_eventbridge_outbox_exit_process(
    ngx_http_eventbridge_main_conf_t *emcf)
{
    if (emcf->outbox == NULL) {
        return;
    }

    ngx_eb_outbox_stop(&emcf->outbox->outbox);
    ngx_eb_log_stop(emcf->outbox->outbox.log);
}


void
ngx_http_eventbridge_outbox_extras(ngx_http_eventbridge_main_conf_t *emcf,
    ngx_eb_stats_extra_t *extra, ngx_uint_t *nextra)
{
    ngx_uint_t             i;
    ngx_eb_stats_extra_t  *e;

    if (emcf->outbox == NULL) {
        return;
    }

    for (i = 0; i < NGX_HTTP_EVENTBRIDGE_OUTBOX_FIGURES; i++) {
        e = &extra[(*nextra)++];

        e->name = ngx_http_eventbridge_outbox_figures[i].name;
        e->type = ngx_http_eventbridge_outbox_figures[i].type;
        e->help = ngx_http_eventbridge_outbox_figures[i].help;

        e->value = (double)
                   emcf->cells[ngx_http_eventbridge_outbox_figures[i].cell];

        if (ngx_http_eventbridge_outbox_figures[i].cell
            == NGX_EB_STATS_N_OUTBOX_OLDEST)
        {
            e->value = (double) ngx_http_eventbridge_outbox_age(emcf) / 1000;
        }
    }
}


int64_t
ngx_http_eventbridge_outbox_age(ngx_http_eventbridge_main_conf_t *emcf)
{
    int64_t  since, age;

    since = emcf->cells[NGX_EB_STATS_N_OUTBOX_OLDEST];
    age = since ? ngx_eb_outbox_now() - since : 0;

    return ngx_max(age, 0);
}
