
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Figures of organisations and declared subscriptions, for metrics and health.
 */


#include "ngx_http_eventbridge_endpoints.h"
#include "ngx_http_eventbridge_status.h"


/* a name of 256 bytes, of which each can need three */
#define NGX_HTTP_EVENTBRIDGE_FIGURE_LABELS  1024


typedef struct {
    const char               *name;
    const char               *type;
    const char               *help;
} ngx_http_eventbridge_figure_head_t;


/* of an organisation, at one moment */

typedef struct {
    int64_t                   age;          /* of the token, ms; 0: none */
    int64_t                   lifetime;     /* as it was issued */
    int64_t                   refreshes;
    int64_t                   refused;
    ngx_uint_t                failures;
    ngx_uint_t                token;        /* there is a valid one */
    ngx_uint_t                open;         /* the breaker */
} ngx_http_eventbridge_org_facts_t;


static ngx_int_t ngx_http_eventbridge_figure_labels(ngx_pool_t *pool,
    const char *label, ngx_str_t *value, ngx_str_t *labels);
static double ngx_http_eventbridge_org_figure(ngx_http_eventbridge_org_t *org,
    ngx_uint_t i);
static void ngx_http_eventbridge_org_look(ngx_http_eventbridge_org_t *org,
    ngx_http_eventbridge_org_facts_t *facts);
static ngx_uint_t ngx_http_eventbridge_organisations_health(
    ngx_http_eventbridge_main_conf_t *emcf, ngx_eb_out_t *out,
    ngx_uint_t figures);
static ngx_int_t ngx_http_eventbridge_resolve_figure(
    ngx_http_eventbridge_main_conf_t *emcf, ngx_http_eventbridge_org_t *org,
    ngx_uint_t i, double *value);
static double ngx_http_eventbridge_subscription_figure(
    ngx_http_eventbridge_subscription_t *sub, ngx_uint_t i);


/* in this order; the functions have the values */

static ngx_http_eventbridge_figure_head_t  ngx_http_eventbridge_org_heads[] = {

    { "eventbridge_genesys_token_age_seconds", "gauge",
      "Age of the token; 0: there is none." },

    { "eventbridge_genesys_token_lifetime_seconds", "gauge",
      "Time for which the token is valid, from its beginning." },

    { "eventbridge_genesys_token_refreshes_total", "counter",
      "Tokens that were issued." },

    { "eventbridge_genesys_token_refused_total", "counter",
      "Tokens that the API refused before their end." },

    { "eventbridge_genesys_token_failures", "gauge",
      "Attempts to get a token that failed, since the last that did not." },

    { "eventbridge_genesys_breaker_open", "gauge",
      "1 while the API fails so much that no request, or one trial, is sent." }
};


static ngx_http_eventbridge_figure_head_t
    ngx_http_eventbridge_subscription_heads[] = {

    { "eventbridge_genesys_subscription_active", "gauge",
      "1 while the subscription is known to exist and to be active." },

    { "eventbridge_genesys_subscription_created_total", "counter",
      "Times that the subscription did not exist and was created." },

    { "eventbridge_genesys_subscription_drift_total", "counter",
      "Times that the subscription was not as declared and was changed." },

    { "eventbridge_genesys_subscription_failures_total", "counter",
      "Checks of the subscription that failed." }
};


#define NGX_HTTP_EVENTBRIDGE_ORG_HEADS                                        \
    (sizeof(ngx_http_eventbridge_org_heads)                                   \
     / sizeof(ngx_http_eventbridge_figure_head_t))

#define NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_HEADS                               \
    (sizeof(ngx_http_eventbridge_subscription_heads)                          \
     / sizeof(ngx_http_eventbridge_figure_head_t))


/* without data there is no rate and no average, and no line either */

static ngx_http_eventbridge_figure_head_t
    ngx_http_eventbridge_resolve_heads[] = {

    { "eventbridge_genesys_reachability_rate", "gauge",
      "Share of the endpoints probed so far that were reachable." },

    { "eventbridge_genesys_resolve_latency_average_seconds", "gauge",
      "Average time that a resolve took." }
};

#define NGX_HTTP_EVENTBRIDGE_RESOLVE_HEADS                                    \
    (sizeof(ngx_http_eventbridge_resolve_heads)                               \
     / sizeof(ngx_http_eventbridge_figure_head_t))


ngx_uint_t
ngx_http_eventbridge_genesys_nextras(ngx_http_eventbridge_main_conf_t *emcf)
{
    return emcf->organisations.nelts * (NGX_HTTP_EVENTBRIDGE_ORG_HEADS
                                        + NGX_HTTP_EVENTBRIDGE_RESOLVE_HEADS)
           + emcf->subscriptions.nelts
             * NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_HEADS;
}


ngx_int_t
ngx_http_eventbridge_genesys_extras(ngx_pool_t *pool,
    ngx_http_eventbridge_main_conf_t *emcf, ngx_eb_stats_extra_t *extra,
    ngx_uint_t *n)
{
    ngx_uint_t                             i, j;
    ngx_http_eventbridge_org_t           **orgs;
    ngx_http_eventbridge_figure_head_t    *head;
    ngx_http_eventbridge_subscription_t  **subs;

    orgs = emcf->organisations.elts;
    subs = emcf->subscriptions.elts;

    /* those of one name stand together */

    for (j = 0; j < NGX_HTTP_EVENTBRIDGE_ORG_HEADS; j++) {
        head = &ngx_http_eventbridge_org_heads[j];

        for (i = 0; i < emcf->organisations.nelts; i++, (*n)++) {
            extra[*n].name = head->name;
            extra[*n].type = head->type;
            extra[*n].help = head->help;
            extra[*n].value = ngx_http_eventbridge_org_figure(orgs[i], j);

            if (ngx_http_eventbridge_figure_labels(pool, "organisation=",
                                                   &orgs[i]->name,
                                                   &extra[*n].labels)
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    for (j = 0; j < NGX_HTTP_EVENTBRIDGE_RESOLVE_HEADS; j++) {
        head = &ngx_http_eventbridge_resolve_heads[j];

        for (i = 0; i < emcf->organisations.nelts; i++) {

            if (ngx_http_eventbridge_resolve_figure(emcf, orgs[i], j,
                                                    &extra[*n].value)
                != NGX_OK)
            {
                continue;
            }

            extra[*n].name = head->name;
            extra[*n].type = head->type;
            extra[*n].help = head->help;

            if (ngx_http_eventbridge_figure_labels(pool, "organisation=",
                                                   &orgs[i]->name,
                                                   &extra[*n].labels)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

            (*n)++;
        }
    }

    for (j = 0; j < NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_HEADS; j++) {
        head = &ngx_http_eventbridge_subscription_heads[j];

        for (i = 0; i < emcf->subscriptions.nelts; i++, (*n)++) {
            extra[*n].name = head->name;
            extra[*n].type = head->type;
            extra[*n].help = head->help;
            extra[*n].value = ngx_http_eventbridge_subscription_figure(subs[i],
                                                                       j);

            if (ngx_http_eventbridge_figure_labels(pool, "subscription=",
                                                   &subs[i]->settings.name,
                                                   &extra[*n].labels)
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_figure_labels(ngx_pool_t *pool, const char *label,
    ngx_str_t *value, ngx_str_t *labels)
{
    ngx_eb_out_t  out;

    labels->data = ngx_pnalloc(pool, NGX_HTTP_EVENTBRIDGE_FIGURE_LABELS);
    if (labels->data == NULL) {
        return NGX_ERROR;
    }

    ngx_eb_out_init(&out, labels->data, NGX_HTTP_EVENTBRIDGE_FIGURE_LABELS);

    ngx_eb_out_raw(&out, label, ngx_strlen(label));
    ngx_eb_out_label(&out, value, 256);

    labels->len = out.pos - labels->data;

    return NGX_OK;
}


static double
ngx_http_eventbridge_org_figure(ngx_http_eventbridge_org_t *org, ngx_uint_t i)
{
    ngx_http_eventbridge_org_facts_t  facts;

    ngx_http_eventbridge_org_look(org, &facts);

    switch (i) {

    case 0:
        return (double) facts.age / 1000;

    case 1:
        return (double) facts.lifetime / 1000;

    case 2:
        return (double) facts.refreshes;

    case 3:
        return (double) facts.refused;

    case 4:
        return (double) facts.failures;

    default:
        return (double) facts.open;
    }
}


static void
ngx_http_eventbridge_org_look(ngx_http_eventbridge_org_t *org,
    ngx_http_eventbridge_org_facts_t *facts)
{
    uint64_t                       now;
    struct timespec                ts;
    ngx_http_eventbridge_token_t  *t;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    now = (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
    t = org->token;

    ngx_shmtx_lock(&org->shpool->mutex);

    facts->token = (t->expires > now);
    facts->age = facts->token ? (int64_t) (now - t->issued) : 0;
    facts->lifetime = facts->token ? (int64_t) (t->expires - t->issued) : 0;
    facts->refreshes = (int64_t) t->refreshes;
    facts->refused = (int64_t) t->refused;
    facts->failures = t->failures;
    facts->open = (t->breaker.state != NGX_EB_GENESYS_BREAKER_CLOSED);

    ngx_shmtx_unlock(&org->shpool->mutex);
}


static ngx_int_t
ngx_http_eventbridge_resolve_figure(ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_org_t *org, ngx_uint_t i, double *value)
{
    double                part, whole;
    ngx_eb_stats_cell_t  *cells;

    /* it is of no location */

    if (org->endpoints_pool == NULL) {
        return NGX_DECLINED;
    }

    cells = ngx_http_eventbridge_org_cells(emcf->stats, org);

    if (i == 0) {
        part = (double) cells[NGX_EB_STATS_O_REACHABLE];
        whole = (double) cells[NGX_EB_STATS_O_PROBES];

    } else {
        part = (double) cells[NGX_EB_STATS_O_RESOLVE_SUM] / 1000;
        whole = (double) cells[NGX_EB_STATS_O_RESOLVES];
    }

    if (whole <= 0) {
        return NGX_DECLINED;
    }

    *value = part / whole;

    return NGX_OK;
}


static double
ngx_http_eventbridge_subscription_figure(
    ngx_http_eventbridge_subscription_t *sub, ngx_uint_t i)
{
    ngx_uint_t                               active;
    ngx_http_eventbridge_subscription_sh_t   state;

    active = ngx_http_eventbridge_subscription_look(sub, &state);

    switch (i) {

    case 0:
        return active;

    case 1:
        return (double) state.created;

    case 2:
        return (double) state.drifted;

    default:
        return (double) state.failed;
    }
}


/*
 * One that has no token is well as long as none was wanted: a token is got by
 * the first who needs it.
 */

static ngx_uint_t
ngx_http_eventbridge_organisations_health(
    ngx_http_eventbridge_main_conf_t *emcf, ngx_eb_out_t *out,
    ngx_uint_t figures)
{
    ngx_uint_t                         i, bad;
    ngx_http_eventbridge_org_t       **orgs;
    ngx_http_eventbridge_org_facts_t   facts;

    if (emcf->organisations.nelts == 0) {
        return 0;
    }

    orgs = emcf->organisations.elts;
    bad = 0;

    ngx_eb_out_lit(out, ",\"organisations\":[");

    for (i = 0; i < emcf->organisations.nelts; i++) {
        ngx_http_eventbridge_org_look(orgs[i], &facts);

        bad |= (!facts.token && facts.failures) || facts.open;

        ngx_eb_out_raw(out, ",", i ? 1 : 0);
        ngx_eb_out_lit(out, "{\"name\":");
        ngx_eb_out_string(out, &orgs[i]->name, 64);
        ngx_eb_out_lit(out, ",\"token\":");
        ngx_eb_out_raw(out, facts.token ? "true" : "false",
                       facts.token ? 4 : 5);
        ngx_eb_out_lit(out, ",\"tokenFailures\":");
        ngx_eb_out_int(out, facts.failures);

        if (figures) {
            ngx_eb_out_lit(out, ",\"tokenAge\":");
            ngx_eb_out_ms(out, facts.age);
            ngx_eb_out_lit(out, ",\"tokenLifetime\":");
            ngx_eb_out_ms(out, facts.lifetime);
            ngx_http_eventbridge_status_int(out, ",\"tokensIssued\":",
                                            facts.refreshes);
            ngx_http_eventbridge_status_int(out, ",\"tokensRefused\":",
                                            facts.refused);
        }

        ngx_eb_out_lit(out, ",\"answers\":");
        ngx_eb_out_raw(out, facts.open ? "false}" : "true}",
                       facts.open ? 6 : 5);
    }

    ngx_eb_out_lit(out, "]");

    return bad;
}


ngx_uint_t
ngx_http_eventbridge_genesys_health(ngx_http_eventbridge_main_conf_t *emcf,
    ngx_eb_out_t *out, ngx_uint_t figures)
{
    ngx_str_t                                s;
    ngx_uint_t                               i, active, bad;
    ngx_http_eventbridge_subscription_t    **subs;
    ngx_http_eventbridge_subscription_sh_t   state;

    bad = ngx_http_eventbridge_organisations_health(emcf, out, figures);

    if (emcf->subscriptions.nelts == 0) {
        return bad;
    }

    subs = emcf->subscriptions.elts;

    ngx_eb_out_lit(out, ",\"subscriptions\":[");

    for (i = 0; i < emcf->subscriptions.nelts; i++) {

        active = ngx_http_eventbridge_subscription_look(subs[i], &state);
        bad |= !active;

        ngx_eb_out_raw(out, ",", i ? 1 : 0);
        ngx_eb_out_lit(out, "{\"name\":");
        ngx_eb_out_string(out, &subs[i]->settings.name, 256);

        s.data = state.id;
        s.len = state.id_len;

        if (s.len) {
            ngx_eb_out_lit(out, ",\"id\":");
            ngx_eb_out_string(out, &s, s.len);
        }

        s.data = state.status;
        s.len = state.status_len;

        if (s.len) {
            ngx_eb_out_lit(out, ",\"status\":");
            ngx_eb_out_string(out, &s, s.len);
        }

        if (state.failures) {
            ngx_eb_out_lit(out, ",\"failures\":");
            ngx_eb_out_int(out, state.failures);
        }

        if (state.checked) {
            ngx_eb_out_lit(out, ",\"checked\":");
            ngx_eb_out_time(out, (int64_t) state.checked * 1000);
        }

        if (figures) {
            ngx_http_eventbridge_status_int(out, ",\"created\":",
                                            state.created);
            ngx_http_eventbridge_status_int(out, ",\"drifted\":",
                                            state.drifted);
            ngx_http_eventbridge_status_int(out, ",\"failedChecks\":",
                                            state.failed);
        }

        ngx_eb_out_raw(out, active ? ",\"active\":true}"
                                   : ",\"active\":false}",
                       active ? 15 : 16);
    }

    ngx_eb_out_lit(out, "]");

    /* of the only one, as those expect who know no more than one */

    if (emcf->subscriptions.nelts == 1 && state.id_len) {
        s.data = state.id;
        s.len = state.id_len;

        ngx_eb_out_lit(out, ",\"subscription\":");
        ngx_eb_out_string(out, &s, s.len);
    }

    return bad;
}
