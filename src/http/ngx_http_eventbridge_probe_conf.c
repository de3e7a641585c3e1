
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The directives of probes.
 */


#include "ngx_http_eventbridge_module.h"


/* eventbridge_probe_allow none | ADDRESS | CIDR ... */

char *
ngx_http_eventbridge_probe_allow(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_eventbridge_loc_conf_t *elcf = conf;

    ngx_int_t    rc;
    ngx_str_t   *value;
    ngx_cidr_t  *cidr;
    ngx_uint_t   i;

    value = cf->args->elts;

    if (elcf->probe_allow == NULL) {

        elcf->probe_allow = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                             sizeof(ngx_cidr_t));
        if (elcf->probe_allow == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    /* an outer level's networks are not for this one */

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "none") == 0) {
        return NGX_CONF_OK;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        cidr = ngx_array_push(elcf->probe_allow);
        if (cidr == NULL) {
            return NGX_CONF_ERROR;
        }

        rc = ngx_ptocidr(&value[i], cidr);

        if (rc == NGX_ERROR) {
            return ngx_http_eventbridge_refuse(cf, &value[i],
                                               "a network is expected, as in "
                                               "10.1.0.0/16 or fd00:12::/64");
        }

        if (rc == NGX_DONE) {
            ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                               "low address bits of %V are meaningless",
                               &value[i]);
        }
    }

    return NGX_CONF_OK;
}
