
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Subscriptions at the API, or the Amazon EventBridge integrations that are
 * the real thing: created, shown, changed, deleted, and ensured to exist.
 */


#ifndef _NGX_EB_GENESYS_SUBSCRIPTION_H_INCLUDED_
#define _NGX_EB_GENESYS_SUBSCRIPTION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_genesys.h"
#include "ngx_eb_genesys_settings.h"


/* the API's paths of things of one kind: templates with {id} */

typedef struct {
    ngx_str_t                 list;         /* GET with paging, and POST */
    ngx_str_t                 item;         /* GET, PUT or PATCH, DELETE */
    ngx_str_t                 config;       /* integrations: GET and PUT */
    unsigned                  integration:1;
} ngx_eb_genesys_sub_api_t;


extern ngx_eb_genesys_sub_api_t  ngx_eb_genesys_reference_api;
extern ngx_eb_genesys_sub_api_t  ngx_eb_genesys_integrations_api;


typedef enum {
    NGX_EB_GENESYS_SUB_CREATE = 0,
    NGX_EB_GENESYS_SUB_LIST,
    NGX_EB_GENESYS_SUB_GET,
    NGX_EB_GENESYS_SUB_REPLACE,
    NGX_EB_GENESYS_SUB_DELETE,
    NGX_EB_GENESYS_SUB_ENSURE
} ngx_eb_genesys_sub_verb_e;


/* what became of it, for ensure */

typedef struct {
    ngx_str_t                 id;           /* empty: it does not exist */
    ngx_str_t                 status;       /* as the API says, or empty */
    ngx_str_t                 differs;      /* a member that was different */
    unsigned                  created:1;
    unsigned                  drift:1;      /* it existed, and was different */
    unsigned                  active:1;     /* the status says so */
} ngx_eb_genesys_subscription_t;


/*
 * Sets up op, whose pool and log are set.  What is given is borrowed until the
 * operation ends.
 *
 * id: of GET, REPLACE and DELETE; of ENSURE, what it was last, or NULL: saves
 * the search while it holds.  settings: of CREATE, REPLACE and ENSURE, and
 * without violations.
 *
 * NGX_OK, NGX_ERROR: no memory.  An id that can be none ends the operation at
 * its first step.
 */
ngx_int_t ngx_eb_genesys_subscription_init(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_sub_api_t *api, ngx_eb_genesys_sub_verb_e verb,
    ngx_str_t *id, ngx_eb_genesys_settings_t *settings);

/*
 * An operation that reads its settings from a control request's body, and
 * ends with all violations when there are any.
 */
ngx_int_t ngx_eb_genesys_subscription_init_body(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_sub_api_t *api, ngx_eb_genesys_sub_verb_e verb,
    ngx_str_t *id, ngx_str_t *body);

/* of an operation that is done; lives as long as its pool */
ngx_eb_genesys_subscription_t *ngx_eb_genesys_subscription(
    ngx_eb_genesys_op_t *op);


#endif /* _NGX_EB_GENESYS_SUBSCRIPTION_H_INCLUDED_ */
