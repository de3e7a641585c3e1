
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Callbacks: the outbox, and the webhooks that it delivers to.
 */


#ifndef _NGX_HTTP_EVENTBRIDGE_OUTBOX_H_INCLUDED_
#define _NGX_HTTP_EVENTBRIDGE_OUTBOX_H_INCLUDED_


#include "ngx_http_eventbridge_module.h"
#include "ngx_eb_outbox.h"


#define NGX_HTTP_EVENTBRIDGE_OUTBOX_FIGURES  6


/* made by the first directive that needs it */

struct ngx_http_eventbridge_outbox_s {
    ngx_eb_outbox_t           outbox;
    ngx_array_t               logs;         /* ngx_eb_log_t *: its own */
    ngx_array_t               callbacks;    /* who names a webhook */
    u_char                   *file;         /* of the first webhook */
    ngx_uint_t                line;
};


char *ngx_http_eventbridge_outbox(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_eventbridge_webhook(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* a parameter has the name of a webhook, which may stand further below */
char *ngx_http_eventbridge_outbox_callback(ngx_conf_t *cf,
    ngx_str_t *parameter, ngx_str_t *name);

/* the file that a parameter names gets its full name */
char *ngx_http_eventbridge_parameter_file(ngx_conf_t *cf,
    ngx_str_t *parameter, ngx_str_t *file);

/* the same, of one that is read by workers only: it has to be there already */
char *ngx_http_eventbridge_parameter_certificate(ngx_conf_t *cf,
    ngx_str_t *parameter, ngx_str_t *file);

/* why the file cannot be read, NULL: it can; file ends with a zero */
char *ngx_http_eventbridge_unreadable(ngx_str_t *file);

/* postconfiguration */
ngx_int_t ngx_http_eventbridge_outbox_setup(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf);

ngx_int_t ngx_http_eventbridge_outbox_init_process(ngx_cycle_t *cycle,
    ngx_http_eventbridge_main_conf_t *emcf);
void ngx_http_eventbridge_outbox_exit_process(
    ngx_http_eventbridge_main_conf_t *emcf);

/* how the outbox calls an audit log */
ngx_str_t *ngx_http_eventbridge_outbox_audit(
    ngx_http_eventbridge_outbox_t *outbox, ngx_eb_audit_t *audit);

/* of what waits longest, in ms; 0: nothing waits */
int64_t ngx_http_eventbridge_outbox_age(
    ngx_http_eventbridge_main_conf_t *emcf);

/* NGX_HTTP_EVENTBRIDGE_OUTBOX_FIGURES at most */
void ngx_http_eventbridge_outbox_extras(
    ngx_http_eventbridge_main_conf_t *emcf, ngx_eb_stats_extra_t *extra,
    ngx_uint_t *nextra);


#endif /* _NGX_HTTP_EVENTBRIDGE_OUTBOX_H_INCLUDED_ */
