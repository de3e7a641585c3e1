
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The directives, and where the module hooks into nginx.
 */


#include "ngx_http_eventbridge_module.h"
#include "ngx_http_eventbridge_replay.h"
#include "ngx_http_eventbridge_auth.h"
#include "ngx_http_eventbridge_destination.h"
#include "ngx_http_eventbridge_genesys.h"
#include "ngx_http_eventbridge_endpoints.h"
#include "ngx_http_eventbridge_outbox.h"
#include "ngx_http_eventbridge_status.h"
#include "ngx_http_eventbridge_lifecycle.h"


static ngx_int_t ngx_http_eventbridge_preconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_http_eventbridge_postconfiguration(ngx_conf_t *cf);
static char *ngx_http_eventbridge_ingest(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_eventbridge_metrics(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_eventbridge_health(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_eventbridge_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_eventbridge_explain(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_eventbridge_replay(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_eventbridge_test_pattern(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_eventbridge_observe(ngx_conf_t *cf,
    ngx_http_handler_pt handler);


static ngx_conf_enum_t  ngx_http_eventbridge_policies[] = {
    { ngx_string("first"), 0 },
    { ngx_string("all"), 1 },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_http_eventbridge_forward_as[] = {
    { ngx_string("same"), NGX_HTTP_EVENTBRIDGE_FORWARD_SAME },
    { ngx_string("events"), NGX_HTTP_EVENTBRIDGE_FORWARD_EVENTS },
    { ngx_string("array"), NGX_HTTP_EVENTBRIDGE_FORWARD_ARRAY },
    { ngx_string("single"), NGX_HTTP_EVENTBRIDGE_FORWARD_SINGLE },
    { ngx_string("cloudevents"), NGX_HTTP_EVENTBRIDGE_FORWARD_CE_BATCH },
    { ngx_string("cloudevents_structured"),
      NGX_HTTP_EVENTBRIDGE_FORWARD_CE_STRUCTURED },
    { ngx_string("cloudevents_binary"),
      NGX_HTTP_EVENTBRIDGE_FORWARD_CE_BINARY },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_http_eventbridge_control[] = {
    { ngx_string("local"), 0 },
    { ngx_string("protected"), 1 },
    { ngx_null_string, 0 }
};


static ngx_http_eventbridge_bounds_t  ngx_http_eventbridge_events_bounds = {
    1, 1000000, 0, "from 1 to 1000000 is expected"
};


static ngx_http_eventbridge_bounds_t  ngx_http_eventbridge_depth_bounds = {
    1, 1024, 0, "from 1 to 1024 is expected"
};


static ngx_http_eventbridge_bounds_t  ngx_http_eventbridge_timeout_bounds = {
    1, 3600 * 1000, 1, "from 1ms to 1h is expected"
};


static ngx_http_eventbridge_control_e  ngx_http_eventbridge_subscriptions =
    NGX_HTTP_EVENTBRIDGE_SUBSCRIPTIONS;

static ngx_http_eventbridge_control_e  ngx_http_eventbridge_retention =
    NGX_HTTP_EVENTBRIDGE_RETENTION;

static ngx_http_eventbridge_control_e  ngx_http_eventbridge_endpoints_kind =
    NGX_HTTP_EVENTBRIDGE_ENDPOINTS;

static ngx_http_eventbridge_control_e  ngx_http_eventbridge_filters =
    NGX_HTTP_EVENTBRIDGE_FILTERS;


static ngx_command_t  ngx_http_eventbridge_commands[] = {

    { ngx_string("eventbridge_checkpoint_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_2MORE,
      ngx_http_eventbridge_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_stats_file"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_eventbridge_stats_file,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_ingest"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_eventbridge_ingest,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_event"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE123,
      ngx_http_eventbridge_event,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_checkpoint"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_eventbridge_checkpoint,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_route"),
      NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_eventbridge_route,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_route_policy"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_eventbridge_set_enum,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_eventbridge_loc_conf_t, policy_all),
      &ngx_http_eventbridge_policies },

    { ngx_string("eventbridge_probe"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_2MORE,
      ngx_http_eventbridge_probe,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_unrouted"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_eventbridge_unrouted,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_forward_as"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_eventbridge_set_enum,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_eventbridge_loc_conf_t, forward_as),
      &ngx_http_eventbridge_forward_as },

    { ngx_string("eventbridge_pass_request_header"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_eventbridge_pass_header,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_forward_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_eventbridge_set_bounded,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_eventbridge_loc_conf_t, forward_timeout),
      &ngx_http_eventbridge_timeout_bounds },

    { ngx_string("eventbridge_inflight"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_http_eventbridge_inflight,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_rate"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE123,
      ngx_http_eventbridge_rate,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_max_events"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_eventbridge_set_bounded,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_eventbridge_loc_conf_t, max_events),
      &ngx_http_eventbridge_events_bounds },

    { ngx_string("eventbridge_max_depth"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_eventbridge_set_bounded,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_eventbridge_loc_conf_t, max_depth),
      &ngx_http_eventbridge_depth_bounds },

    { ngx_string("eventbridge_audit_log"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE123,
      ngx_http_eventbridge_audit_log,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_dead_letter"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_eventbridge_dead_letter,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_permanent"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_eventbridge_permanent,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_unavailable"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_http_eventbridge_unavailable,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_auth"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_eventbridge_auth,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_control_access"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_eventbridge_set_enum,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_eventbridge_loc_conf_t, control_protected),
      &ngx_http_eventbridge_control },

    { ngx_string("eventbridge_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_eventbridge_metrics,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_health"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_eventbridge_health,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_eventbridge_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_lifecycle"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_eventbridge_lifecycle,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_lifecycle_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_eventbridge_lifecycle_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_explain"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_eventbridge_explain,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_test_pattern"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_eventbridge_test_pattern,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_replay"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_eventbridge_replay,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_genesys"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_eventbridge_genesys,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_genesys_pass"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE2,
      ngx_http_eventbridge_genesys_pass,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_genesys_subscriptions"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_eventbridge_control_location,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      &ngx_http_eventbridge_subscriptions },

    { ngx_string("eventbridge_genesys_retention"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE123,
      ngx_http_eventbridge_retention_location,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      &ngx_http_eventbridge_retention },

    { ngx_string("eventbridge_genesys_endpoints"),
      NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_eventbridge_endpoints,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      &ngx_http_eventbridge_endpoints_kind },

    { ngx_string("eventbridge_genesys_filters"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_eventbridge_control_location,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      &ngx_http_eventbridge_filters },

    { ngx_string("eventbridge_genesys_subscription"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_eventbridge_subscription,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_retention_cost"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE23,
      ngx_http_eventbridge_retention_cost,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_outbox"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_eventbridge_outbox,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_webhook"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_2MORE,
      ngx_http_eventbridge_webhook,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("eventbridge_probe_allow"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_eventbridge_probe_allow,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_eventbridge_module_ctx = {
    ngx_http_eventbridge_preconfiguration,  /* preconfiguration */
    ngx_http_eventbridge_postconfiguration, /* postconfiguration */

    ngx_http_eventbridge_create_main_conf,  /* create main configuration */
    ngx_http_eventbridge_init_main_conf,    /* init main configuration */

    NULL,                                   /* create server configuration */
    NULL,                                   /* merge server configuration */

    ngx_http_eventbridge_create_loc_conf,   /* create location configuration */
    ngx_http_eventbridge_merge_loc_conf     /* merge location configuration */
};


ngx_module_t  ngx_http_eventbridge_module = {
    NGX_MODULE_V1,
    &ngx_http_eventbridge_module_ctx,       /* module context */
    ngx_http_eventbridge_commands,          /* module directives */
    NGX_HTTP_MODULE,                        /* module type */
    NULL,                                   /* init master */
    ngx_http_eventbridge_init_module,       /* init module */
    ngx_http_eventbridge_init_process,      /* init process */
    NULL,                                   /* init thread */
    NULL,                                   /* exit thread */
    ngx_http_eventbridge_exit_process,      /* exit process */
    NULL,                                   /* exit master */
    NGX_MODULE_V1_PADDING
};


static char *
ngx_http_eventbridge_ingest(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_eventbridge_receives(cf, conf, NGX_HTTP_EVENTBRIDGE_SAID);
}


char *
ngx_http_eventbridge_receives(ngx_conf_t *cf,
    ngx_http_eventbridge_loc_conf_t *elcf, ngx_uint_t as)
{
    ngx_http_core_loc_conf_t          *clcf;
    ngx_http_eventbridge_place_t      *place;
    ngx_http_eventbridge_main_conf_t  *emcf;

    if (elcf->enabled & as) {
        return "is duplicate";
    }

    elcf->enabled |= as;

    if (elcf->enabled != as) {
        return NGX_CONF_OK;
    }

    emcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_eventbridge_module);
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (ngx_http_eventbridge_ours(clcf->handler)) {
        return "conflicts with another directive of the location";
    }

    /* completed when the whole configuration is known */

    elcf->ingest = ngx_pcalloc(cf->pool,
                               sizeof(ngx_http_eventbridge_ingest_t));
    if (elcf->ingest == NULL) {
        return NGX_CONF_ERROR;
    }

    place = ngx_array_push(&emcf->places);
    if (place == NULL) {
        return NGX_CONF_ERROR;
    }

    place->conf = elcf;
    place->clcf = clcf;
    place->cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);
    place->file = cf->conf_file->file.name.data;
    place->line = cf->conf_file->line;

    clcf->handler = ngx_http_eventbridge_ingest_handler;

    return NGX_CONF_OK;
}


static char *
ngx_http_eventbridge_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_eventbridge_observe(cf,
                                        ngx_http_eventbridge_metrics_handler);
}


static char *
ngx_http_eventbridge_health(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_eventbridge_observe(cf,
                                        ngx_http_eventbridge_health_handler);
}


static char *
ngx_http_eventbridge_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_eventbridge_observe(cf,
                                        ngx_http_eventbridge_status_handler);
}


static char *
ngx_http_eventbridge_explain(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_eventbridge_observe(cf,
                                        ngx_http_eventbridge_explain_handler);
}


static char *
ngx_http_eventbridge_replay(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_eventbridge_observe(cf,
                                        ngx_http_eventbridge_replay_handler);
}


static char *
ngx_http_eventbridge_test_pattern(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    return ngx_http_eventbridge_observe(cf,
                                   ngx_http_eventbridge_test_pattern_handler);
}


static char *
ngx_http_eventbridge_observe(ngx_conf_t *cf, ngx_http_handler_pt handler)
{
    ngx_http_core_loc_conf_t          *clcf;
    ngx_http_eventbridge_main_conf_t  *emcf;

    emcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_eventbridge_module);
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler == handler) {
        return "is duplicate";
    }

    if (ngx_http_eventbridge_ours(clcf->handler)) {
        return "conflicts with another directive of the location";
    }

    emcf->observed = 1;
    clcf->handler = handler;

    return NGX_CONF_OK;
}


ngx_uint_t
ngx_http_eventbridge_ours(ngx_http_handler_pt handler)
{
    return handler == ngx_http_eventbridge_ingest_handler
           || handler == ngx_http_eventbridge_metrics_handler
           || handler == ngx_http_eventbridge_health_handler
           || handler == ngx_http_eventbridge_status_handler
           || handler == ngx_http_eventbridge_explain_handler
           || handler == ngx_http_eventbridge_test_pattern_handler
           || handler == ngx_http_eventbridge_replay_handler
           || handler == ngx_http_eventbridge_lifecycle_handler
           || handler == ngx_http_eventbridge_control_handler;
}


static ngx_int_t
ngx_http_eventbridge_preconfiguration(ngx_conf_t *cf)
{
    return ngx_http_eventbridge_add_variables(cf);
}


static ngx_int_t
ngx_http_eventbridge_postconfiguration(ngx_conf_t *cf)
{
    if (ngx_http_eventbridge_filter_init(cf) != NGX_OK
        || ngx_http_eventbridge_auth_init(cf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_eventbridge_setup(cf);
}
