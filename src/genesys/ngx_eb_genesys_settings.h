
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What a subscription is to be: as nginx.conf declares it, or as a control
 * request says it, and as the API wants to hear it.
 */


#ifndef _NGX_EB_GENESYS_SETTINGS_H_INCLUDED_
#define _NGX_EB_GENESYS_SETTINGS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_genesys_body.h"
#include "ngx_eb_genesys_patch.h"


#define NGX_EB_GENESYS_MAX_NAME       256
#define NGX_EB_GENESYS_MAX_SOURCES    256
#define NGX_EB_GENESYS_MAX_SOURCE     256
#define NGX_EB_GENESYS_MAX_RETENTION  365       /* days */
#define NGX_EB_GENESYS_MAX_RATE       1000      /* events per second */
#define NGX_EB_GENESYS_MAX_SUFFIX     64

/* of integrations */
#define NGX_EB_GENESYS_INTEGRATION    "amazon-eventbridge-source"


typedef struct {
    ngx_str_t                 name;

    /* api reference */
    ngx_str_t                 endpoint;
    ngx_array_t               sources;      /* ngx_str_t */
    ngx_uint_t                retention;    /* days */
    ngx_uint_t                rate;         /* 0: nothing is said of it */

    /* api integrations */
    ngx_str_t                 account;
    ngx_str_t                 region;
    ngx_str_t                 suffix;
    ngx_array_t               topics;       /* ngx_str_t */

    ngx_str_t                 id;           /* as the body says, or empty */
    int64_t                   version;      /* the same, or -1 */

    unsigned                  integration:1;
    unsigned                  send_rate:1;  /* the API hears of the rate */
} ngx_eb_genesys_settings_t;


/*
 * The rules, for settings that were not read from a body.  Violations are
 * noted in body.
 */
void ngx_eb_genesys_settings_check(ngx_eb_genesys_settings_t *settings,
    ngx_eb_genesys_body_t *body);

/*
 * A control request's body, of the kind that settings->integration says; a
 * replacement may have what an answer of ours has.  id is what the path says,
 * or NULL.  Violations, those of the rules included, are noted in body.
 */
void ngx_eb_genesys_settings_read(ngx_eb_genesys_settings_t *settings,
    ngx_eb_genesys_body_t *body, ngx_str_t *text, ngx_str_t *id);

/*
 * The members that the document of the API must have: of the subscription,
 * or of the integration's configuration.  NULL: no memory.
 */
ngx_eb_genesys_member_t *ngx_eb_genesys_settings_members(ngx_pool_t *pool,
    ngx_eb_genesys_settings_t *settings);


#endif /* _NGX_EB_GENESYS_SETTINGS_H_INCLUDED_ */
