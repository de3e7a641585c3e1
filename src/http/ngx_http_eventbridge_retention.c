
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The configuration of locations of retention policies: what a policy must
 * have, and what it costs.
 */


#include "ngx_http_eventbridge_genesys.h"
#include "ngx_http_eventbridge_outbox.h"
#include "ngx_eb_genesys_policy.h"
#include "ngx_eb_genesys_retention.h"


static char *ngx_http_eventbridge_retention_tags(ngx_conf_t *cf,
    ngx_http_eventbridge_control_t *control, ngx_str_t *parameter,
    ngx_str_t *list);


/* eventbridge_genesys_retention NAME [tags=TAG,...] [send_cost=on|off] */

char *
ngx_http_eventbridge_retention_location(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_eventbridge_loc_conf_t *elcf = conf;

    char        *rv;
    ngx_str_t   *value, s;
    ngx_uint_t   i, on;

    rv = ngx_http_eventbridge_control_location(cf, cmd, conf);

    if (rv == NGX_CONF_OK) {
        rv = ngx_http_eventbridge_once(cf, 2);
    }

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    value = cf->args->elts;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_http_eventbridge_takes(&value[i], "tags=", &s)) {

            rv = ngx_http_eventbridge_retention_tags(cf, elcf->control,
                                                     &value[i], &s);
            if (rv != NGX_CONF_OK) {
                return rv;
            }

        } else if (ngx_http_eventbridge_takes(&value[i], "send_cost=", &s)) {

            on = (ngx_strcmp(s.data, "on") == 0);

            if (!on && ngx_strcmp(s.data, "off") != 0) {
                return ngx_http_eventbridge_refuse(cf, &value[i],
                                                   "\"on\" or \"off\" is "
                                                   "expected");
            }

            elcf->control->send_cost = on;

        } else {
            return ngx_http_eventbridge_refuse(cf, &value[i], NULL);
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_eventbridge_retention_tags(ngx_conf_t *cf,
    ngx_http_eventbridge_control_t *control, ngx_str_t *parameter,
    ngx_str_t *list)
{
    u_char      *p, *last, *comma;
    ngx_str_t   *tag;
    const char  *bad;

    control->tags = ngx_array_create(cf->pool, 4, sizeof(ngx_str_t));
    if (control->tags == NULL) {
        return NGX_CONF_ERROR;
    }

    last = list->data + list->len;

    for (p = list->data; ; p = comma + 1) {

        comma = ngx_strlchr(p, last, ',');

        tag = ngx_array_push(control->tags);
        if (tag == NULL) {
            return NGX_CONF_ERROR;
        }

        tag->data = p;
        tag->len = (comma ? comma : last) - p;

        bad = (control->tags->nelts > NGX_EB_GENESYS_MAX_TAGS)
              ? "64 tags at most are allowed"
              : ngx_eb_genesys_bad_string(tag, 1, NGX_EB_GENESYS_MAX_TAG);

        if (bad) {
            return ngx_http_eventbridge_refuse(cf, parameter, bad);
        }

        if (comma == NULL) {
            return NGX_CONF_OK;
        }
    }
}


/* eventbridge_retention_cost gb=N price=N [callback=WEBHOOK] */

char *
ngx_http_eventbridge_retention_cost(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_eventbridge_loc_conf_t *elcf = conf;

    char                         *rv;
    ngx_str_t                    *value, s;
    ngx_uint_t                    i, n;
    ngx_eb_genesys_decimal_t     *decimal;
    ngx_http_eventbridge_cost_t  *cost;

    value = cf->args->elts;

    if (elcf->cost) {
        return ngx_http_eventbridge_duplicate(cf);
    }

    rv = ngx_http_eventbridge_once(cf, 1);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    cost = ngx_http_eventbridge_cost(cf);
    if (cost == NULL) {
        return NGX_CONF_ERROR;
    }

    n = 0;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_http_eventbridge_takes(&value[i], "gb=", &s)) {
            decimal = &cost->gb;

        } else if (ngx_http_eventbridge_takes(&value[i], "price=", &s)) {
            decimal = &cost->price;

        } else if (ngx_http_eventbridge_takes(&value[i], "callback=", &s)) {

            rv = ngx_http_eventbridge_outbox_callback(cf, &value[i], &s);
            if (rv != NGX_CONF_OK) {
                return rv;
            }

            cost->callback = s;
            continue;

        } else {
            return ngx_http_eventbridge_refuse(cf, &value[i], NULL);
        }

        if (ngx_eb_genesys_decimal(&s, decimal) != NGX_OK) {
            return ngx_http_eventbridge_refuse(cf, &value[i],
                                               "a number is expected");
        }

        n++;
    }

    if (n != 2) {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "both \"gb\" and \"price\" are "
                                           "needed");
    }

    elcf->cost = cost;

    return NGX_CONF_OK;
}


ngx_http_eventbridge_cost_t *
ngx_http_eventbridge_cost(ngx_conf_t *cf)
{
    ngx_str_t                     text;
    ngx_http_eventbridge_cost_t  *cost;

    cost = ngx_pcalloc(cf->pool, sizeof(ngx_http_eventbridge_cost_t));
    if (cost == NULL) {
        return NULL;
    }

    ngx_str_set(&text, "0");
    (void) ngx_eb_genesys_decimal(&text, &cost->gb);

    ngx_str_set(&text, "0.0023");
    (void) ngx_eb_genesys_decimal(&text, &cost->price);

    return cost;
}
