
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Organisations of Genesys Cloud: their configuration, their tokens, and the
 * calls of their API.
 */


#ifndef _NGX_HTTP_EVENTBRIDGE_GENESYS_H_INCLUDED_
#define _NGX_HTTP_EVENTBRIDGE_GENESYS_H_INCLUDED_


#include "ngx_http_eventbridge_module.h"
#include "ngx_eb_secrets.h"
#include "ngx_eb_genesys.h"
#include "ngx_eb_genesys_retry.h"
#include "ngx_eb_genesys_subscription.h"
#include "ngx_eb_genesys_duration.h"


#define NGX_HTTP_EVENTBRIDGE_TOKEN      8192
#define NGX_HTTP_EVENTBRIDGE_TOKEN_WHY  256


/* in shared memory: all workers, of both generations during a reload */

typedef struct {
    uint64_t                  number;       /* of tokens so far; 0: none yet */
    uint64_t                  issued;       /* CLOCK_MONOTONIC, ms */
    uint64_t                  expires;
    uint64_t                  refresh;      /* from then on */
    uint64_t                  retry;        /* no attempt before */
    ngx_uint_t                failures;     /* since the last success */
    uint64_t                  refreshes;    /* figures */
    uint64_t                  refused;
    ngx_uint_t                terminal;     /* trying again is of no use */
    size_t                    why_len;      /* of the last failure */
    size_t                    len;
    ngx_eb_genesys_breaker_t  breaker;      /* of the API */
    u_char                    why[NGX_HTTP_EVENTBRIDGE_TOKEN_WHY];
    u_char                    text[NGX_HTTP_EVENTBRIDGE_TOKEN];
} ngx_http_eventbridge_token_t;


/* eventbridge_genesys */

typedef struct {
    ngx_str_t                 name;
    ngx_str_t                 region;
    ngx_str_t                 api_url;      /* without a path */
    ngx_str_t                 login_url;
    ngx_str_t                 client_id;
    ngx_str_t                 scope;
    ngx_str_t                 trusted_certificate;
    ngx_str_t                 secret_file;
    ngx_eb_secrets_t         *secret;       /* NULL under nginx -s */
    ngx_uint_t                body_credentials;
    ngx_uint_t                integrations;
    ngx_uint_t                retries;
    ngx_msec_t                retry_cap;
    ngx_msec_t                timeout;      /* of an operation */
    ngx_msec_t                connect_timeout;
    ngx_msec_t                refresh_margin;
    ngx_uint_t                breaker_failures;
    ngx_msec_t                breaker_open;
    ngx_eb_genesys_sub_api_t      subscriptions;    /* templates of paths */
    ngx_str_t                 retention;
    ngx_str_t                 filters;
    ngx_str_t                 endpoints_path;
    ngx_str_t                 endpoint_path;
    ngx_resolver_t           *resolver;     /* NULL: none is configured */
    ngx_msec_t                resolver_timeout;
    u_char                   *file;
    ngx_uint_t                line;

    ngx_str_t                 lease;        /* who has it gets a token */
    ngx_slab_pool_t          *shpool;       /* protects the token */
    ngx_http_eventbridge_token_t  *token;

    ngx_slab_pool_t          *endpoints_pool;   /* protects what was resolved,
                                               NULL: nothing is */
    ngx_http_eventbridge_resolved_t  *endpoints;

    /* of one worker, see ngx_http_eventbridge_oauth.c */
    void                     *oauth;
} ngx_http_eventbridge_org_t;


/* eventbridge_genesys_pass */

typedef struct {
    ngx_str_t                 name;
    ngx_str_t                 uri;
    u_char                   *file;
    ngx_uint_t                line;
} ngx_http_eventbridge_genesys_pass_t;


#define NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_ID      128
#define NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_STATUS  32
#define NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_WHY     512


/* what is known of a declared subscription, in shared memory */

typedef struct {
    uint64_t                  epoch;        /* of the cycle that looked last */
    uint64_t                  next;         /* CLOCK_MONOTONIC, ms */
    time_t                    checked;      /* 0: never */
    ngx_uint_t                exists;
    ngx_uint_t                active;
    ngx_uint_t                failures;     /* since it was fine */
    ngx_uint_t                answer;       /* status and API's status of the
                                               last failure */
    uint64_t                  created;      /* figures */
    uint64_t                  drifted;
    uint64_t                  failed;
    size_t                    id_len;
    size_t                    status_len;
    size_t                    why_len;      /* of the last failure: an answer's
                                               beginning */
    u_char                    id[NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_ID];
    u_char                    status[NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_STATUS];
    u_char                    why[NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_WHY];
} ngx_http_eventbridge_subscription_sh_t;


/* eventbridge_genesys_subscription */

typedef struct {
    ngx_eb_genesys_settings_t    settings;
    ngx_str_t                 organisation;
    ngx_http_eventbridge_org_t  *org;
    ngx_msec_t                check;
    ngx_str_t                 lease;
    ngx_http_eventbridge_loc_conf_t  *conf;     /* of http: its audit log */
    u_char                   *file;
    ngx_uint_t                line;

    uint64_t                  epoch;        /* of the cycle */
    ngx_slab_pool_t          *shpool;       /* protects the state */
    ngx_http_eventbridge_subscription_sh_t  *state;

    /* of one worker, see ngx_http_eventbridge_ensure.c */
    void                     *ensure;
} ngx_http_eventbridge_subscription_t;


/* eventbridge_retention_cost */

struct ngx_http_eventbridge_cost_s {
    ngx_eb_genesys_decimal_t  gb;
    ngx_eb_genesys_decimal_t  price;        /* USD for a GB and a day */
    ngx_str_t                 callback;     /* webhook, or empty */
};


/* a location that controls something at the API */

typedef enum {
    NGX_HTTP_EVENTBRIDGE_SUBSCRIPTIONS = 0,
    NGX_HTTP_EVENTBRIDGE_RETENTION,
    NGX_HTTP_EVENTBRIDGE_ENDPOINTS,
    NGX_HTTP_EVENTBRIDGE_FILTERS
} ngx_http_eventbridge_control_e;


struct ngx_http_eventbridge_control_s {
    ngx_http_eventbridge_control_e    kind;
    ngx_str_t                 organisation;
    ngx_http_eventbridge_org_t       *org;
    ngx_http_eventbridge_endpoints_t  *endpoints;   /* NULL: of another kind */
    ngx_array_t              *tags;         /* ngx_str_t: what a retention
                                               policy must have; NULL: none */
    ngx_http_eventbridge_loc_conf_t  *conf;
    ngx_http_core_loc_conf_t *clcf;
    ngx_http_core_srv_conf_t *cscf;
    ngx_http_core_loc_conf_t *pass;         /* where calls enter, */
    ngx_str_t                 pass_uri;     /* and what goes before a path */
    ngx_str_t                 name;         /* of the location */
    u_char                   *file;
    ngx_uint_t                line;
    unsigned                  send_cost:1;  /* in a retention policy */
};


/* ngx_http_eventbridge_genesys.c */

char *ngx_http_eventbridge_genesys(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_eventbridge_genesys_pass(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_eventbridge_control_location(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_http_eventbridge_genesys_merge(ngx_conf_t *cf,
    ngx_http_eventbridge_loc_conf_t *prev,
    ngx_http_eventbridge_loc_conf_t *conf);

/* NULL: there is none of this name */
ngx_http_eventbridge_org_t *ngx_http_eventbridge_org_find(
    ngx_http_eventbridge_main_conf_t *emcf, ngx_str_t *name);

/* postconfiguration: what refers to what */
ngx_int_t ngx_http_eventbridge_genesys_setup(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf);


/* ngx_http_eventbridge_retention.c: locations of policies, and their cost */

char *ngx_http_eventbridge_retention_location(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_eventbridge_retention_cost(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* what is estimated by where nothing is said of it; NULL: no memory */
ngx_http_eventbridge_cost_t *ngx_http_eventbridge_cost(ngx_conf_t *cf);


/* ngx_http_eventbridge_oauth.c: who has the token, and who gets a new one */

/* who waits for a token; zeroed by the caller, then not touched */

typedef struct {
    ngx_queue_t               queue;
    ngx_str_t                 token;        /* the caller's buffer */
    uint64_t                  number;
    ngx_int_t                 rc;           /* as of token_get() */
    ngx_str_t                 why;          /* when it is NGX_DECLINED; of the
                                               same buffer */
    void                    (*handler)(void *data);
    void                     *data;
    unsigned                  waiting:1;
} ngx_http_eventbridge_bearer_t;


ngx_int_t ngx_http_eventbridge_oauth_init_process(ngx_cycle_t *cycle,
    ngx_http_eventbridge_main_conf_t *emcf);
void ngx_http_eventbridge_oauth_exit_process(
    ngx_http_eventbridge_main_conf_t *emcf);

/*
 * A copy of the token in bearer->token, whose data has room for
 * NGX_HTTP_EVENTBRIDGE_TOKEN bytes.  NGX_OK; NGX_DECLINED: there is none, and
 * will not be soon, bearer->why says why; NGX_AGAIN: the handler is called,
 * once, from the event loop, when bearer->rc is one of these.
 */
ngx_int_t ngx_http_eventbridge_token_get(ngx_http_eventbridge_org_t *org,
    ngx_http_eventbridge_bearer_t *bearer);

/* nobody waits any more */
void ngx_http_eventbridge_token_leave(ngx_http_eventbridge_bearer_t *bearer);

/* bearer->why: why there has been none so far, as far as is known */
void ngx_http_eventbridge_token_why(ngx_http_eventbridge_org_t *org,
    ngx_http_eventbridge_bearer_t *bearer);

/* the API has refused the token of this number: nobody gets it again */
void ngx_http_eventbridge_token_refused(ngx_http_eventbridge_org_t *org,
    uint64_t number);


/* ngx_http_eventbridge_api.c: an operation, driven by subrequests */

typedef struct ngx_http_eventbridge_api_s  ngx_http_eventbridge_api_t;

/*
 * A pool of its own, which op uses; facts of r, which will not be needed any
 * more.  NULL: no memory.
 */
ngx_http_eventbridge_api_t *ngx_http_eventbridge_api_create(
    ngx_http_eventbridge_control_t *control, ngx_http_request_t *r);

/* the same for a job of the worker, which nobody waits for */
ngx_http_eventbridge_api_t *ngx_http_eventbridge_api_job(
    ngx_http_eventbridge_org_t *org, ngx_http_eventbridge_main_conf_t *emcf);

ngx_eb_genesys_op_t *ngx_http_eventbridge_api_op(
    ngx_http_eventbridge_api_t *api);

/*
 * Begins.  done() is called once, from the event loop, when op->answer is
 * there: NGX_OK, or, without it, NGX_ERROR (no memory).  When it returns, api
 * and its pool are gone.
 */
void ngx_http_eventbridge_api_run(ngx_http_eventbridge_api_t *api,
    void (*done)(ngx_http_eventbridge_api_t *api, void *data, ngx_int_t rc),
    void *data);

/*
 * To be called before each request that the operation wants, unless it is
 * NULL.  NGX_OK: it may be sent; NGX_AGAIN: ngx_http_eventbridge_api_resume()
 * is called later, from the event loop, with one of the others; NGX_ERROR: it
 * must not be sent, the operation hears that there is no answer.
 */
void ngx_http_eventbridge_api_before(ngx_http_eventbridge_api_t *api,
    ngx_int_t (*before)(void *data, ngx_eb_genesys_request_t *request));
void ngx_http_eventbridge_api_resume(ngx_http_eventbridge_api_t *api,
    ngx_int_t rc);

/* facts of who asked, and time since */
ngx_http_eventbridge_facts_t *ngx_http_eventbridge_api_facts(
    ngx_http_eventbridge_api_t *api);
ngx_msec_t ngx_http_eventbridge_api_elapsed(ngx_http_eventbridge_api_t *api);

/* the end of an audit line, from what was done; rc is that of done() */
void ngx_http_eventbridge_api_audit(ngx_http_eventbridge_api_t *api,
    ngx_int_t rc, ngx_eb_out_t *out);

/* one that was not run */
void ngx_http_eventbridge_api_destroy(ngx_http_eventbridge_api_t *api);

/* $eventbridge_bearer of a subrequest: NULL for any other request */
ngx_str_t *ngx_http_eventbridge_api_bearer(ngx_http_request_t *r);


/* ngx_http_eventbridge_subscription.c: those that are declared */

char *ngx_http_eventbridge_subscription(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_http_eventbridge_subscription_setup(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf);

/* events per second of the only one that there is; 0: any */
ngx_uint_t ngx_http_eventbridge_declared_rate(
    ngx_http_eventbridge_main_conf_t *emcf);


/* ngx_http_eventbridge_ensure.c: they are made to exist */

ngx_int_t ngx_http_eventbridge_ensure_init_process(ngx_cycle_t *cycle,
    ngx_http_eventbridge_main_conf_t *emcf);
void ngx_http_eventbridge_ensure_exit_process(
    ngx_http_eventbridge_main_conf_t *emcf);

/* a copy of what is known; is it there, and active? */
ngx_uint_t ngx_http_eventbridge_subscription_look(
    ngx_http_eventbridge_subscription_t *sub,
    ngx_http_eventbridge_subscription_sh_t *state);


/* ngx_http_eventbridge_figures.c: of all these */

/* name, id and status of a subscription, escaped, and a time */
#define NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_HEALTH  (6 * (256 + 128 + 32) + 256)
#define NGX_HTTP_EVENTBRIDGE_ORGANISATION_HEALTH  (6 * 64 + 128)

ngx_uint_t ngx_http_eventbridge_genesys_nextras(
    ngx_http_eventbridge_main_conf_t *emcf);

/* adds that many to extra, from number *n on.  NGX_OK, NGX_ERROR */
ngx_int_t ngx_http_eventbridge_genesys_extras(ngx_pool_t *pool,
    ngx_http_eventbridge_main_conf_t *emcf, ngx_eb_stats_extra_t *extra,
    ngx_uint_t *n);

/* members of the health document, with figures, or without: is one not as it
   should be? */
ngx_uint_t ngx_http_eventbridge_genesys_health(
    ngx_http_eventbridge_main_conf_t *emcf, ngx_eb_out_t *out,
    ngx_uint_t figures);


/* ngx_http_eventbridge_control.c: the locations */

ngx_int_t ngx_http_eventbridge_control_handler(ngx_http_request_t *r);

/* the problem document that stands for an error page of nginx, static */
ngx_str_t *ngx_http_eventbridge_control_error(ngx_uint_t status);


#endif /* _NGX_HTTP_EVENTBRIDGE_GENESYS_H_INCLUDED_ */
