
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Access control: methods that look at headers act in the access phase, those
 * that sign the body when it is there.
 */


#include "ngx_http_eventbridge_auth.h"
#include <grp.h>


/* groups of the worker's user */
#define NGX_HTTP_EVENTBRIDGE_GROUPS      256


static ngx_http_eventbridge_method_t *ngx_http_eventbridge_auth_method(
    ngx_str_t *name);
static char *ngx_http_eventbridge_auth_off(ngx_conf_t *cf,
    ngx_http_eventbridge_loc_conf_t *elcf);
static char *ngx_http_eventbridge_auth_open(ngx_conf_t *cf,
    ngx_http_eventbridge_auth_line_t *line);
static ngx_int_t ngx_http_eventbridge_auth_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_eventbridge_auth_check(ngx_http_request_t *r,
    ngx_http_eventbridge_auths_t *auths, ngx_str_t *body);
static ngx_http_eventbridge_auth_e ngx_http_eventbridge_auth_lines(
    ngx_http_request_t *r, ngx_http_eventbridge_auths_t *auths,
    ngx_http_eventbridge_method_t *method, ngx_str_t *body,
    ngx_str_t **sender);
static ngx_uint_t ngx_http_eventbridge_auth_has(
    ngx_http_eventbridge_auths_t *auths,
    ngx_http_eventbridge_method_t *method);
static ngx_int_t ngx_http_eventbridge_auth_sender(ngx_http_request_t *r,
    ngx_http_eventbridge_ctx_t *ctx, ngx_str_t *sender);
static ngx_int_t ngx_http_eventbridge_auth_challenge(ngx_http_request_t *r,
    const char *challenge);
static void ngx_http_eventbridge_auth_log(ngx_http_request_t *r,
    ngx_http_eventbridge_method_t *method, ngx_http_eventbridge_auth_e why);
static ngx_uint_t ngx_http_eventbridge_auth_local(struct sockaddr *sa);


/* eventbridge_auth METHOD ...|off */

char *
ngx_http_eventbridge_auth(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_eventbridge_loc_conf_t *elcf = conf;

    char                               *rv;
    ngx_str_t                          *value;
    ngx_uint_t                          i;
    ngx_http_eventbridge_method_t      *method;
    ngx_http_eventbridge_main_conf_t   *emcf;
    ngx_http_eventbridge_auth_line_t   *line, **lines;

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        return ngx_http_eventbridge_auth_off(cf, elcf);
    }

    method = ngx_http_eventbridge_auth_method(&value[1]);

    if (method == NULL) {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "\"key\", \"basic\", \"bearer\", "
                                           "\"hmac\", "
                                           "\"standard_webhooks\", "
                                           "\"github\", \"sigv4\" or "
                                           "\"off\" is expected");
    }

    if (elcf->auth == NGX_CONF_UNSET_PTR) {

        elcf->auth = ngx_pcalloc(cf->pool,
                                 sizeof(ngx_http_eventbridge_auths_t));
        if (elcf->auth == NULL) {
            return NGX_CONF_ERROR;
        }

        elcf->auth->location = (cf->cmd_type & NGX_HTTP_LOC_CONF) ? 1 : 0;

        if (ngx_array_init(&elcf->auth->lines, cf->pool, 2, sizeof(void *))
            != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    if (elcf->auth->off) {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "there is \"off\" beside it");
    }

    line = ngx_pcalloc(cf->pool, sizeof(ngx_http_eventbridge_auth_line_t));
    if (line == NULL) {
        return NGX_CONF_ERROR;
    }

    line->method = method;
    line->level = elcf->auth;
    line->file = cf->conf_file->file.name.data;
    line->line = cf->conf_file->line;

    rv = method->parse(cf, line);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    /* there is one header Authorization: nobody could satisfy two methods */

    lines = elcf->auth->lines.elts;

    for (i = 0; i < elcf->auth->lines.nelts; i++) {
        if (method->challenge && lines[i]->method->challenge
            && lines[i]->method != method)
        {
            return ngx_http_eventbridge_refuse(cf, &value[1],
                                               "\"basic\", \"bearer\" and "
                                               "\"sigv4\" exclude each "
                                               "other");
        }
    }

    rv = ngx_http_eventbridge_auth_open(cf, line);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    lines = ngx_array_push(&elcf->auth->lines);
    if (lines == NULL) {
        return NGX_CONF_ERROR;
    }

    *lines = line;

    elcf->auth->headers |= !method->body;
    elcf->auth->bodies |= method->body;

    emcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_eventbridge_module);

    lines = ngx_array_push(&emcf->auth_lines);
    if (lines == NULL) {
        return NGX_CONF_ERROR;
    }

    *lines = line;

    return NGX_CONF_OK;
}


static ngx_http_eventbridge_method_t *
ngx_http_eventbridge_auth_method(ngx_str_t *name)
{
    ngx_http_eventbridge_method_t  *m;

    for (m = ngx_http_eventbridge_methods; m->name.len; m++) {
        if (m->name.len == name->len
            && ngx_strncmp(m->name.data, name->data, name->len) == 0)
        {
            return m;
        }
    }

    return NULL;
}


static char *
ngx_http_eventbridge_auth_off(ngx_conf_t *cf,
    ngx_http_eventbridge_loc_conf_t *elcf)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (cf->args->nelts > 2) {
        return ngx_http_eventbridge_refuse(cf, &value[2], NULL);
    }

    if (elcf->auth != NGX_CONF_UNSET_PTR) {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "there is another line beside it");
    }

    elcf->auth = ngx_pcalloc(cf->pool, sizeof(ngx_http_eventbridge_auths_t));
    if (elcf->auth == NULL) {
        return NGX_CONF_ERROR;
    }

    elcf->auth->off = 1;

    return NGX_CONF_OK;
}


static char *
ngx_http_eventbridge_auth_open(ngx_conf_t *cf,
    ngx_http_eventbridge_auth_line_t *line)
{
    u_char      errstr[NGX_MAX_CONF_ERRSTR];
    ngx_err_t   err;
    ngx_str_t   path, *file, *value;

    file = &line->path;

    if (file->len == 0 || file->data[file->len - 1] == '/') {
        return ngx_http_eventbridge_refuse(cf, file, "a file name is expected");
    }

    path = *file;

    if (ngx_conf_full_name(cf->cycle, &path, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    /* "nginx -s" serves nobody, and may run as somebody else */

    if (ngx_process == NGX_PROCESS_SIGNALLER) {
        return NGX_CONF_OK;
    }

    line->secrets = ngx_eb_secrets_open(cf->pool, &path, line->method->form,
                                        cf->log, errstr, sizeof(errstr), &err);

    if (line->secrets == NULL) {
        value = cf->args->elts;
        ngx_conf_log_error(NGX_LOG_EMERG, cf, err,
                           "invalid value \"%V\" of \"%V\": %s", file,
                           &value[0], errstr);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


void
ngx_http_eventbridge_auth_merge(ngx_conf_t *cf,
    ngx_http_eventbridge_loc_conf_t *prev,
    ngx_http_eventbridge_loc_conf_t *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    ngx_conf_merge_ptr_value(conf->auth, prev->auth, NULL);
    ngx_conf_merge_uint_value(conf->control_protected,
                              prev->control_protected, 0);

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->auth
        && (conf->enabled || ngx_http_eventbridge_ours(clcf->handler)))
    {
        conf->auth->used = 1;
        conf->auth->ingest |= (conf->enabled != 0
                               || clcf->handler
                                  == ngx_http_eventbridge_test_pattern_handler
                               );
    }
}


ngx_int_t
ngx_http_eventbridge_auth_init(ngx_conf_t *cf)
{
    ngx_uint_t                          i;
    ngx_http_handler_pt                *h;
    ngx_http_core_main_conf_t          *cmcf;
    ngx_http_eventbridge_main_conf_t   *emcf;
    ngx_http_eventbridge_auth_line_t  **lines;

    emcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_eventbridge_module);

    if (emcf->auth_lines.nelts == 0) {
        return NGX_OK;
    }

    lines = emcf->auth_lines.elts;

    for (i = 0; i < emcf->auth_lines.nelts; i++) {

        /* on other levels it is there to be inherited */

        if (lines[i]->level->location && !lines[i]->level->used) {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "\"eventbridge_auth\" has no effect: it guards "
                          "locations with \"eventbridge_ingest\" and the like, "
                          "and this is none in %s:%ui", lines[i]->file,
                          lines[i]->line);

        } else if (lines[i]->level->location && !lines[i]->level->ingest
                   && lines[i]->method->body)
        {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "\"eventbridge_auth %V\" has no effect: the body is "
                          "looked at in ingest locations and those of "
                          "\"eventbridge_test_pattern\" only, and this is "
                          "none in %s:%ui", &lines[i]->method->name,
                          lines[i]->file, lines[i]->line);
        }
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_ACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_eventbridge_auth_handler;

    return NGX_OK;
}


/* under nginx -t; a worker that starts knows better */

void
ngx_http_eventbridge_auth_init_module(ngx_cycle_t *cycle)
{
    int                                 n;
    gid_t                               groups[NGX_HTTP_EVENTBRIDGE_GROUPS];
    ngx_uint_t                          i;
    ngx_core_conf_t                    *ccf;
    ngx_http_eventbridge_main_conf_t   *emcf;
    ngx_http_eventbridge_auth_line_t  **lines;

    emcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_eventbridge_module);

    /* workers of an ordinary user are that user */

    if (emcf == NULL || !ngx_test_config || geteuid() != 0) {
        return;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    n = NGX_HTTP_EVENTBRIDGE_GROUPS;

    if (ccf->username == NULL
        || getgrouplist(ccf->username, ccf->group, groups, &n) < 0)
    {
        groups[0] = ccf->group;
        n = 1;
    }

    lines = emcf->auth_lines.elts;

    for (i = 0; i < emcf->auth_lines.nelts; i++) {

        if (lines[i]->secrets == NULL
            || ngx_eb_secrets_permitted(lines[i]->secrets, ccf->user, groups,
                                        n))
        {
            continue;
        }

        ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                      "workers will not be able to read \"%V\" of "
                      "\"eventbridge_auth\" again when it changes; give it, "
                      "and its directories, to the group of \"%s\" with mode "
                      "0640, or reload after each change in %s:%ui",
                      ngx_eb_secrets_path(lines[i]->secrets),
                      ccf->username ? ccf->username : "the workers",
                      lines[i]->file, lines[i]->line);
    }
}


void
ngx_http_eventbridge_auth_init_process(ngx_cycle_t *cycle)
{
    ngx_err_t                           err;
    ngx_uint_t                          i;
    ngx_http_eventbridge_main_conf_t   *emcf;
    ngx_http_eventbridge_auth_line_t  **lines;

    emcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_eventbridge_module);

    /* one says it for all */

    if (emcf == NULL || ngx_worker != 0) {
        return;
    }

    lines = emcf->auth_lines.elts;

    for (i = 0; i < emcf->auth_lines.nelts; i++) {

        if (lines[i]->secrets == NULL) {
            continue;
        }

        err = ngx_eb_secrets_access(lines[i]->secrets);

        if (err) {
            ngx_log_error(NGX_LOG_WARN, cycle->log, err,
                          "eventbridge: workers cannot read secrets file "
                          "\"%V\" again when it changes: reload then, or "
                          "give it to their group with mode 0640",
                          ngx_eb_secrets_path(lines[i]->secrets));
        }
    }
}


/* the access phase calls it for main requests only */

static ngx_int_t
ngx_http_eventbridge_auth_handler(ngx_http_request_t *r)
{
    ngx_http_eventbridge_loc_conf_t  *elcf;

    elcf = ngx_http_get_module_loc_conf(r, ngx_http_eventbridge_module);

    if (elcf->auth == NULL
        || !elcf->auth->headers
        || (!elcf->enabled && !ngx_http_eventbridge_ours(r->content_handler)))
    {
        return NGX_DECLINED;
    }

    return ngx_http_eventbridge_auth_check(r, elcf->auth, NULL);
}


ngx_int_t
ngx_http_eventbridge_auth_body(ngx_http_request_t *r, ngx_str_t *body)
{
    ngx_int_t                         rc;
    ngx_http_eventbridge_loc_conf_t  *elcf;

    elcf = ngx_http_get_module_loc_conf(r, ngx_http_eventbridge_module);

    if (elcf->auth == NULL || !elcf->auth->bodies) {
        return NGX_OK;
    }

    rc = ngx_http_eventbridge_auth_check(r, elcf->auth, body);

    return (rc == NGX_HTTP_INTERNAL_SERVER_ERROR) ? NGX_ERROR : rc;
}


/*
 * All methods of this stage, any line of each; none is left out when another
 * one has failed, so that the time says nothing of which it was.
 */

static ngx_int_t
ngx_http_eventbridge_auth_check(ngx_http_request_t *r,
    ngx_http_eventbridge_auths_t *auths, ngx_str_t *body)
{
    ngx_str_t                          *sender;
    ngx_http_eventbridge_ctx_t         *ctx;
    ngx_http_eventbridge_auth_e         rc, why;
    ngx_http_eventbridge_method_t      *m, *failed;
    ngx_http_eventbridge_auth_line_t  **lines;

    ctx = ngx_http_eventbridge_get_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    lines = auths->lines.elts;

    failed = NULL;
    why = NGX_HTTP_EVENTBRIDGE_AUTH_OK;

    for (m = ngx_http_eventbridge_methods; m->name.len; m++) {

        if (m->body != (body != NULL)
            || !ngx_http_eventbridge_auth_has(auths, m))
        {
            continue;
        }

        sender = NULL;

        rc = ngx_http_eventbridge_auth_lines(r, auths, m, body, &sender);

        if (rc == NGX_HTTP_EVENTBRIDGE_AUTH_ERROR) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        if (rc != NGX_HTTP_EVENTBRIDGE_AUTH_OK) {

            if (failed == NULL || m->challenge) {
                failed = m;
                why = rc;
            }

            continue;
        }

        /* the method that is configured first says who it is */

        if (sender
            && (ctx->sender.len == 0 || m == lines[0]->method)
            && ngx_http_eventbridge_auth_sender(r, ctx, sender) != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    if (failed == NULL) {
        return NGX_OK;
    }

    ngx_str_null(&ctx->sender);
    ctx->unauthorized = 1;
    ctx->auth_failure = why;

    ngx_http_eventbridge_auth_log(r, failed, why);

    if (failed->challenge
        && ngx_http_eventbridge_auth_challenge(r, failed->challenge) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_HTTP_UNAUTHORIZED;
}


static ngx_http_eventbridge_auth_e
ngx_http_eventbridge_auth_lines(ngx_http_request_t *r,
    ngx_http_eventbridge_auths_t *auths,
    ngx_http_eventbridge_method_t *method, ngx_str_t *body,
    ngx_str_t **sender)
{
    ngx_str_t                          *name;
    ngx_uint_t                          i;
    ngx_http_eventbridge_auth_e         rc, best;
    ngx_http_eventbridge_auth_line_t  **lines;

    best = NGX_HTTP_EVENTBRIDGE_AUTH_MISSING;
    lines = auths->lines.elts;

    for (i = 0; i < auths->lines.nelts; i++) {

        if (lines[i]->method != method) {
            continue;
        }

        ngx_eb_secrets_refresh(lines[i]->secrets, ngx_cycle->log);

        name = NULL;

        rc = method->check(r, lines[i], body, &name);

        if (rc == NGX_HTTP_EVENTBRIDGE_AUTH_OK && *sender == NULL) {
            *sender = name;
        }

        best = ngx_max(best, rc);
    }

    return best;
}


static ngx_uint_t
ngx_http_eventbridge_auth_has(ngx_http_eventbridge_auths_t *auths,
    ngx_http_eventbridge_method_t *method)
{
    ngx_uint_t                          i;
    ngx_http_eventbridge_auth_line_t  **lines;

    lines = auths->lines.elts;

    for (i = 0; i < auths->lines.nelts; i++) {
        if (lines[i]->method == method) {
            return 1;
        }
    }

    return 0;
}


/* a copy: the secrets may be replaced while the request goes on */

static ngx_int_t
ngx_http_eventbridge_auth_sender(ngx_http_request_t *r,
    ngx_http_eventbridge_ctx_t *ctx, ngx_str_t *sender)
{
    ctx->sender.data = ngx_pstrdup(r->pool, sender);

    if (ctx->sender.data == NULL) {
        return NGX_ERROR;
    }

    ctx->sender.len = sender->len;

    return NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_auth_challenge(ngx_http_request_t *r,
    const char *challenge)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    /* in newer versions there is a "next" in it */
    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    ngx_str_set(&h->key, "WWW-Authenticate");
    h->value.data = (u_char *) challenge;
    h->value.len = ngx_strlen(challenge);

    /* so that "satisfy any" can take it back */
    r->headers_out.www_authenticate = h;

    return NGX_OK;
}


/* senders repeat a 401 for a day: one line a second in each worker */

static void
ngx_http_eventbridge_auth_log(ngx_http_request_t *r,
    ngx_http_eventbridge_method_t *method, ngx_http_eventbridge_auth_e why)
{
    ngx_http_core_loc_conf_t  *clcf;

    static const char         *texts[] = {
        "no credentials",
        "repeated credentials",
        "malformed credentials",
        "expired credentials",
        "wrong credentials"
    };

    static time_t              last;
    static ngx_uint_t          more;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    /* another rule may allow what shows no credentials */

    if (why == NGX_HTTP_EVENTBRIDGE_AUTH_MISSING && !method->body
        && clcf->satisfy == NGX_HTTP_SATISFY_ANY)
    {
        return;
    }

    if (last == ngx_time()) {
        more++;
        return;
    }

    if (more) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "eventbridge: unauthorized, %s for \"%V\" in location "
                      "\"%V\", and %ui more before", texts[why], &method->name,
                      &clcf->name, more);

    } else {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "eventbridge: unauthorized, %s for \"%V\" in location "
                      "\"%V\"", texts[why], &method->name, &clcf->name);
    }

    last = ngx_time();
    more = 0;
}


ngx_int_t
ngx_http_eventbridge_auth_refuse(ngx_http_request_t *r)
{
    ngx_str_t                    target;
    ngx_http_eventbridge_ctx_t  *ctx;

    static ngx_str_t  name = ngx_string("X-Amz-Target");

    ctx = ngx_http_get_module_ctx(r, ngx_http_eventbridge_module);

    if (ctx && ngx_http_eventbridge_auth_header(r, &name, &target)) {
        return ngx_http_eventbridge_auth_sigv4_refuse(r, ctx->auth_failure);
    }

    return ngx_http_eventbridge_refuse_request(r, NGX_HTTP_UNAUTHORIZED,
                                  "unauthorized",
                                  "the request is not signed as it should be",
                                  -1);
}


ngx_int_t
ngx_http_eventbridge_control_access(ngx_http_request_t *r)
{
    ngx_sockaddr_t                    sa;
    socklen_t                         len;
    ngx_connection_t                 *c;
    ngx_http_eventbridge_ctx_t       *ctx;
    ngx_http_eventbridge_loc_conf_t  *elcf;

    elcf = ngx_http_get_module_loc_conf(r, ngx_http_eventbridge_module);

    /* methods that sign the body have not looked at this request yet */

    if (elcf->control_protected || (elcf->auth && elcf->auth->headers)) {
        return NGX_OK;
    }

    c = r->connection;
    len = sizeof(sa);

    ngx_memzero(&sa, sizeof(sa));

    /*
     * The realip module puts what a header says in place of the address.
     * The peer has to be local, and nobody may speak through it for others.
     */

    if (getpeername(c->fd, &sa.sockaddr, &len) == 0
        && ngx_http_eventbridge_auth_local(&sa.sockaddr)
        && ngx_http_eventbridge_auth_local(c->sockaddr))
    {
        return NGX_OK;
    }

    ctx = ngx_http_eventbridge_get_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->forbidden = 1;

    return NGX_HTTP_FORBIDDEN;
}


static ngx_uint_t
ngx_http_eventbridge_auth_local(struct sockaddr *sa)
{
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    switch (sa->sa_family) {

    case AF_INET:
        return (ntohl(((struct sockaddr_in *) sa)->sin_addr.s_addr) >> 24)
               == 127;

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) sa;

        return IN6_IS_ADDR_LOOPBACK(&sin6->sin6_addr)
               || (IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr)
                   && sin6->sin6_addr.s6_addr[12] == 127);
#endif

#if (NGX_HAVE_UNIX_DOMAIN)
    case AF_UNIX:
        return 1;
#endif

    default:
        return 0;
    }
}
