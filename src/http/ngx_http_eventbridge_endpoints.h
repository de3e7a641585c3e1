
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Locations that resolve endpoints: outbound integrations whose endpoints are
 * probed before the API hears of them, and what is known of them.
 */


#ifndef _NGX_HTTP_EVENTBRIDGE_ENDPOINTS_H_INCLUDED_
#define _NGX_HTTP_EVENTBRIDGE_ENDPOINTS_H_INCLUDED_


#include "ngx_http_eventbridge_genesys.h"
#include "ngx_eb_genesys_endpoint.h"


/* eventbridge_genesys_endpoints */

struct ngx_http_eventbridge_endpoints_s {
    ngx_str_t                 callback;     /* webhook, or empty */
    ngx_str_t                 method;       /* of probes; empty: GET */
    ngx_str_t                 path;         /* empty: that of the URI */
    ngx_array_t              *expect;       /* ngx_eb_probe_range_t; NULL: as
                                               probes have it */
    ngx_str_t                 trusted_certificate;
    ngx_msec_t                timeout;      /* of all probes of a request */
    ngx_resolver_t           *resolver;     /* NULL: that of the system */
};


char *ngx_http_eventbridge_endpoints(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* postconfiguration, when the organisation is known */
ngx_int_t ngx_http_eventbridge_endpoints_setup(ngx_conf_t *cf,
    ngx_http_eventbridge_control_t *control);


/* worker: op of a request to the location, POST (body) or GET (body NULL) */
ngx_int_t ngx_http_eventbridge_endpoints_op(
    ngx_http_eventbridge_control_t *control, ngx_eb_genesys_op_t *op,
    ngx_str_t *body, ngx_uint_t dry_run);

/*
 * Probes all endpoints at a time; facts of who asked outlive that.  NGX_AGAIN:
 * done() is called once, from the event loop, when the operation knows how it
 * went; NGX_OK: there is nothing to be probed; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_eventbridge_endpoints_probe(
    ngx_http_eventbridge_control_t *control, ngx_eb_genesys_op_t *op,
    ngx_http_eventbridge_facts_t *facts, void (*done)(void *data),
    void *data);

/* the record of a resolve so far.  NGX_OK, NGX_ERROR */
ngx_int_t ngx_http_eventbridge_endpoints_record(
    ngx_http_eventbridge_control_t *control, ngx_eb_genesys_op_t *op,
    ngx_str_t *record);

/*
 * A resolve has ended: it is counted, and remembered with its record, NULL
 * when there is none.  1: what is known of the integration has changed.
 */
ngx_uint_t ngx_http_eventbridge_endpoints_end(
    ngx_http_eventbridge_control_t *control, ngx_eb_genesys_op_t *op,
    ngx_str_t *record);

/* cells of an organisation's series */
ngx_eb_stats_cell_t *ngx_http_eventbridge_org_cells(
    ngx_eb_stats_t *stats, ngx_http_eventbridge_org_t *org);


#endif /* _NGX_HTTP_EVENTBRIDGE_ENDPOINTS_H_INCLUDED_ */
