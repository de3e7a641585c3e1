
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Senders without an envelope: the body is the event, and headers say what it
 * is.
 */


#include "ngx_http_eventbridge_auth.h"


static ngx_http_eventbridge_method_t *ngx_http_eventbridge_event_method(
    ngx_http_eventbridge_loc_conf_t *conf);
static char *ngx_http_eventbridge_event_value(ngx_conf_t *cf,
    ngx_str_t *parameter, ngx_str_t *value, ngx_http_complex_value_t **cv);
static ngx_int_t ngx_http_eventbridge_event_field(
    ngx_http_eventbridge_job_t *job, ngx_http_complex_value_t *cv,
    ngx_str_t *field);


/* eventbridge_event id=VALUE [source=VALUE] [type=VALUE] */

char *
ngx_http_eventbridge_event(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_eventbridge_loc_conf_t *elcf = conf;

    char                          *rv;
    ngx_str_t                     *value, s;
    ngx_uint_t                     i;
    ngx_http_eventbridge_event_t  *event;

    if (elcf->event) {
        return ngx_http_eventbridge_duplicate(cf);
    }

    value = cf->args->elts;

    rv = ngx_http_eventbridge_once(cf, 1);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    event = ngx_pcalloc(cf->pool, sizeof(ngx_http_eventbridge_event_t));
    if (event == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_http_eventbridge_takes(&value[i], "id=", &s)) {
            rv = ngx_http_eventbridge_event_value(cf, &value[i], &s,
                                                  &event->id);

        } else if (ngx_http_eventbridge_takes(&value[i], "source=", &s)) {
            rv = ngx_http_eventbridge_event_value(cf, &value[i], &s,
                                                  &event->source);

        } else if (ngx_http_eventbridge_takes(&value[i], "type=", &s)) {
            rv = ngx_http_eventbridge_event_value(cf, &value[i], &s,
                                                  &event->type);

        } else {
            rv = ngx_http_eventbridge_refuse(cf, &value[i], NULL);
        }

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    if (event->id == NULL) {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "the \"id\" parameter is missing");
    }

    if (event->id->lengths == NULL) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "the id \"%V\" of \"eventbridge_event\" is that of "
                           "each event: with a checkpoint, all but the first "
                           "are duplicates, and not delivered; add a variable",
                           &event->id->value);
    }

    elcf->event = event;

    return ngx_http_eventbridge_receives(cf, elcf,
                                         NGX_HTTP_EVENTBRIDGE_IMPLIED);
}


static char *
ngx_http_eventbridge_event_value(ngx_conf_t *cf, ngx_str_t *parameter,
    ngx_str_t *value, ngx_http_complex_value_t **cv)
{
    ngx_http_compile_complex_value_t  ccv;

    if (value->len == 0) {
        return ngx_http_eventbridge_refuse(cf, parameter,
                                           "a value is expected");
    }

    *cv = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (*cv == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = value;
    ccv.complex_value = *cv;

    return (ngx_http_compile_complex_value(&ccv) == NGX_OK) ? NGX_CONF_OK
                                                            : NGX_CONF_ERROR;
}


ngx_int_t
ngx_http_eventbridge_event_batch(ngx_http_eventbridge_job_t *job,
    ngx_eb_json_t *json)
{
    ngx_eb_event_t                *event;
    ngx_http_eventbridge_event_t  *fields;

    if (ngx_eb_batch_whole(json, job->pool, &job->batch) != NGX_OK) {
        return NGX_ERROR;
    }

    event = job->batch.events;
    fields = job->conf->event;

    if (ngx_http_eventbridge_event_field(job, fields->id, &event->id)
        != NGX_OK
        || ngx_http_eventbridge_event_field(job, fields->source,
                                            &event->source)
           != NGX_OK
        || ngx_http_eventbridge_event_field(job, fields->type, &event->type)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_eventbridge_event_signed(ngx_http_eventbridge_job_t *job,
    ngx_eb_json_t *json)
{
    ngx_http_eventbridge_method_t  *method;

    method = ngx_http_eventbridge_event_method(job->conf);

    if (method == NULL) {
        return NGX_DECLINED;
    }

    if (ngx_eb_batch_whole(json, job->pool, &job->batch) != NGX_OK) {
        return NGX_ERROR;
    }

    return method->event(job, json, job->batch.events);
}


ngx_uint_t
ngx_http_eventbridge_event_said(ngx_http_eventbridge_loc_conf_t *conf)
{
    return conf->event || ngx_http_eventbridge_event_method(conf);
}


static ngx_http_eventbridge_method_t *
ngx_http_eventbridge_event_method(ngx_http_eventbridge_loc_conf_t *conf)
{
    ngx_uint_t                          i;
    ngx_http_eventbridge_auths_t       *auths;
    ngx_http_eventbridge_auth_line_t  **lines;

    auths = conf->auth;

    if (auths == NULL || auths->off) {
        return NULL;
    }

    lines = auths->lines.elts;

    for (i = 0; i < auths->lines.nelts; i++) {
        if (lines[i]->method->event) {
            return lines[i]->method;
        }
    }

    return NULL;
}


/* an empty value is none; it is in the client's memory */

static ngx_int_t
ngx_http_eventbridge_event_field(ngx_http_eventbridge_job_t *job,
    ngx_http_complex_value_t *cv, ngx_str_t *field)
{
    ngx_str_t  value;

    if (cv == NULL) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(job->client->request, cv, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_eventbridge_copy(job->pool, field, &value);
}
