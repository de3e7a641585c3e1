
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Where interactions stand, for who asks: a location, a variable, and metrics.
 */


#include "ngx_http_eventbridge_lifecycle.h"
#include "ngx_http_eventbridge_auth.h"


/* of one answer, and without "limit" */
#define NGX_HTTP_EVENTBRIDGE_STATUS_LIMIT    1000
#define NGX_HTTP_EVENTBRIDGE_STATUS_DEFAULT  100

/* entries of the table that one request looks at */
#define NGX_HTTP_EVENTBRIDGE_STATUS_LOOK     200000

/* JSON of an interaction: its id escaped, and each step's state and time */
#define NGX_HTTP_EVENTBRIDGE_STATUS_VIEW                                      \
    (6 * NGX_EB_LIFECYCLE_ID + 512                                            \
     + NGX_EB_LIFECYCLE_HISTORY * (NGX_EB_LIFECYCLE_NAME + 96))

/* of the figures: a state takes no more than this */
#define NGX_HTTP_EVENTBRIDGE_STATUS_FIGURES                                   \
    (4096 + NGX_EB_LIFECYCLE_STATES * (NGX_EB_LIFECYCLE_NAME + 64))

/* a metric, by its offset in the counters */
#define NGX_HTTP_EVENTBRIDGE_LIFECYCLE_COUNTER(member)                        \
    offsetof(ngx_eb_lifecycle_counters_t, member)


typedef struct {
    const char               *name;
    const char               *type;
    const char               *help;
    size_t                    offset;
} ngx_http_eventbridge_lifecycle_figure_t;


static ngx_int_t ngx_http_eventbridge_lifecycle_one(ngx_http_request_t *r,
    ngx_http_eventbridge_lifecycle_t *lifecycle, ngx_str_t *id);
static ngx_int_t ngx_http_eventbridge_lifecycle_listed(ngx_http_request_t *r,
    ngx_http_eventbridge_lifecycle_t *lifecycle, ngx_str_t *state);
static ngx_int_t ngx_http_eventbridge_lifecycle_figures(
    ngx_http_request_t *r, ngx_http_eventbridge_lifecycle_t *lifecycle);
static void ngx_http_eventbridge_lifecycle_view(ngx_eb_out_t *out,
    ngx_http_eventbridge_lifecycle_t *lifecycle,
    ngx_eb_lifecycle_view_t *view, ngx_uint_t history);
static void ngx_http_eventbridge_lifecycle_flags(ngx_eb_out_t *out,
    ngx_uint_t flags);
static ngx_int_t ngx_http_eventbridge_lifecycle_problem(ngx_http_request_t *r,
    ngx_uint_t status, const char *title, const char *detail);
static ngx_int_t ngx_http_eventbridge_lifecycle_argument(
    ngx_http_request_t *r, const char *name, ngx_str_t *value);


static ngx_str_t  ngx_http_eventbridge_lifecycle_json =
    ngx_string("application/json");

static ngx_str_t  ngx_http_eventbridge_lifecycle_problem_json =
    ngx_string("application/problem+json");


static const char  *ngx_http_eventbridge_lifecycle_help =
    "Time from an event's arrival to its publication.";


/* members of the figures, and metrics: "eventbridge_lifecycle_" before them */

static ngx_http_eventbridge_lifecycle_figure_t
    ngx_http_eventbridge_lifecycle_heads[] = {

    { "eventbridge_lifecycle_captured_total", "counter",
      "Events of interactions that were no duplicates.",
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_COUNTER(captured) },

    { "eventbridge_lifecycle_duplicates_total", "counter",
      "Events of interactions that were known already.",
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_COUNTER(duplicates) },

    { "eventbridge_lifecycle_validated_total", "counter",
      "Transitions that were accepted.",
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_COUNTER(validated) },

    { "eventbridge_lifecycle_unchanged_total", "counter",
      "Events that changed nothing.",
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_COUNTER(unchanged) },

    { "eventbridge_lifecycle_propagated_total", "counter",
      "Transitions that were published.",
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_COUNTER(propagated) },

    { "eventbridge_lifecycle_failed_total", "counter",
      "Transitions that were given up.",
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_COUNTER(failed) },

    { "eventbridge_lifecycle_forced_total", "counter",
      "Events judged before their window had passed, for want of room.",
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_COUNTER(forced) },

    { "eventbridge_lifecycle_evicted_open_total", "counter",
      "Open interactions that were forgotten for want of room.",
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_COUNTER(evicted_open) },

    { "eventbridge_lifecycle_interactions", "gauge",
      "Interactions that are known.",
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_COUNTER(interactions) },

    { "eventbridge_lifecycle_open", "gauge",
      "Interactions that are in no final state.",
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_COUNTER(open) },

    { "eventbridge_lifecycle_held", "gauge",
      "Events that wait for their window to pass.",
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_COUNTER(held) },

    { "eventbridge_lifecycle_unpublished", "gauge",
      "Transitions that are accepted and not published yet.",
      NGX_HTTP_EVENTBRIDGE_LIFECYCLE_COUNTER(unpublished) }
};


#define NGX_HTTP_EVENTBRIDGE_LIFECYCLE_HEADS                                  \
    (sizeof(ngx_http_eventbridge_lifecycle_heads)                             \
     / sizeof(ngx_http_eventbridge_lifecycle_figure_t))


/* eventbridge_lifecycle_status NAME */

char *
ngx_http_eventbridge_lifecycle_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_eventbridge_loc_conf_t *elcf = conf;

    ngx_str_t                             *value;
    ngx_http_core_loc_conf_t              *clcf;
    ngx_http_eventbridge_lifecycle_ref_t  *ref, **slot;
    ngx_http_eventbridge_main_conf_t      *emcf;

    value = cf->args->elts;

    if (elcf->lifecycle) {
        return ngx_http_eventbridge_duplicate(cf);
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    emcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_eventbridge_module);

    if (clcf->handler) {
        return ngx_http_eventbridge_refuse(cf, &value[0],
                                           "it conflicts with another "
                                           "directive of the location");
    }

    ref = ngx_pcalloc(cf->pool, sizeof(ngx_http_eventbridge_lifecycle_ref_t));
    slot = ngx_array_push(&emcf->lifecycle_refs);

    if (ref == NULL || slot == NULL) {
        return NGX_CONF_ERROR;
    }

    *slot = ref;

    ref->name = value[1];
    ref->file = cf->conf_file->file.name.data;
    ref->line = cf->conf_file->line;

    elcf->lifecycle = ref;
    clcf->handler = ngx_http_eventbridge_lifecycle_handler;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_eventbridge_lifecycle_handler(ngx_http_request_t *r)
{
    u_char                            *p, *src;
    ngx_int_t                          rc;
    ngx_str_t                          id, state;
    ngx_http_core_loc_conf_t          *clcf;
    ngx_http_eventbridge_loc_conf_t   *elcf;
    ngx_http_eventbridge_lifecycle_t  *lifecycle;

    rc = ngx_http_eventbridge_control_access(r);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_eventbridge_read_only(r);

    if (rc != NGX_OK) {
        return rc;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    elcf = ngx_http_get_module_loc_conf(r, ngx_http_eventbridge_module);
    lifecycle = elcf->lifecycle->lifecycle;

    id.len = (r->uri.len > clcf->name.len && clcf->regex == NULL)
             ? r->uri.len - clcf->name.len : 0;
    id.data = r->uri.data + clcf->name.len;

    if (id.len && id.data[0] == '/') {
        id.data++;
        id.len--;
    }

    if (id.len) {
        return ngx_http_eventbridge_lifecycle_one(r, lifecycle, &id);
    }

    if (ngx_http_eventbridge_lifecycle_argument(r, "state", &state) == NGX_OK
        || ngx_http_arg(r, (u_char *) "limit", 5, &id) == NGX_OK
        || ngx_http_arg(r, (u_char *) "cursor", 6, &id) == NGX_OK)
    {
        p = state.data;
        src = state.data;

        if (state.len) {
            ngx_unescape_uri(&p, &src, state.len, 0);
            state.len = p - state.data;
        }

        return ngx_http_eventbridge_lifecycle_listed(r, lifecycle, &state);
    }

    return ngx_http_eventbridge_lifecycle_figures(r, lifecycle);
}


/* a copy, that it may be unescaped in place */

static ngx_int_t
ngx_http_eventbridge_lifecycle_argument(ngx_http_request_t *r,
    const char *name, ngx_str_t *value)
{
    ngx_str_t  arg;

    ngx_str_null(value);

    if (ngx_http_arg(r, (u_char *) name, ngx_strlen(name), &arg) != NGX_OK) {
        return NGX_DECLINED;
    }

    value->data = ngx_pstrdup(r->pool, &arg);
    value->len = value->data ? arg.len : 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_lifecycle_one(ngx_http_request_t *r,
    ngx_http_eventbridge_lifecycle_t *lifecycle, ngx_str_t *id)
{
    u_char                   fit[NGX_EB_LIFECYCLE_ID];
    ngx_int_t                rc;
    ngx_str_t                body;
    ngx_eb_out_t             out;
    ngx_eb_lifecycle_view_t  view;

    if (id->len > NGX_EB_LIFECYCLE_ID) {

        if (ngx_eb_lifecycle_fit(id, fit) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        id->data = fit;
        id->len = NGX_EB_LIFECYCLE_ID;
    }

    rc = ngx_eb_lifecycle_find(&lifecycle->lc, id, &view);

    if (rc == NGX_DECLINED) {
        return ngx_http_eventbridge_lifecycle_problem(r, NGX_HTTP_NOT_FOUND,
                                                "Not Found",
                                                "no such interaction is "
                                                "known");
    }

    if (rc != NGX_OK) {
        return ngx_http_eventbridge_lifecycle_problem(r,
                                               NGX_HTTP_SERVICE_UNAVAILABLE,
                                               "Service Unavailable",
                                               "the tracker is starting");
    }

    body.data = ngx_pnalloc(r->pool, NGX_HTTP_EVENTBRIDGE_STATUS_VIEW);
    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_eb_out_init(&out, body.data, NGX_HTTP_EVENTBRIDGE_STATUS_VIEW);
    ngx_http_eventbridge_lifecycle_view(&out, lifecycle, &view, 1);
    ngx_eb_out_lit(&out, "\n");

    body.len = out.pos - body.data;

    return ngx_http_eventbridge_respond(r, NGX_HTTP_OK,
                                        &ngx_http_eventbridge_lifecycle_json,
                                        &body);
}


static ngx_int_t
ngx_http_eventbridge_lifecycle_listed(ngx_http_request_t *r,
    ngx_http_eventbridge_lifecycle_t *lifecycle, ngx_str_t *name)
{
    size_t                    size;
    uint32_t                  cursor;
    ngx_int_t                 rc, limit, n;
    ngx_str_t                 body, arg;
    ngx_uint_t                i, state, found;
    ngx_eb_out_t              out;
    ngx_eb_lifecycle_view_t  *views;

    limit = NGX_HTTP_EVENTBRIDGE_STATUS_DEFAULT;
    cursor = 0;
    state = NGX_EB_LIFECYCLE_NONE;

    if (name->len) {
        state = ngx_eb_lifecycle_states_find(&lifecycle->states, name);

        if (state == NGX_EB_LIFECYCLE_NONE) {
            return ngx_http_eventbridge_lifecycle_problem(r,
                                                    NGX_HTTP_BAD_REQUEST,
                                                    "Bad Request",
                                                    "\"state\" is no state of "
                                                    "this tracker");
        }
    }

    if (ngx_http_arg(r, (u_char *) "limit", 5, &arg) == NGX_OK) {
        limit = ngx_atoi(arg.data, arg.len);

        if (limit < 1 || limit > NGX_HTTP_EVENTBRIDGE_STATUS_LIMIT) {
            return ngx_http_eventbridge_lifecycle_problem(r,
                                                    NGX_HTTP_BAD_REQUEST,
                                                    "Bad Request",
                                                    "\"limit\" is from 1 to "
                                                    "1000");
        }
    }

    if (ngx_http_arg(r, (u_char *) "cursor", 6, &arg) == NGX_OK) {
        n = ngx_atoi(arg.data, arg.len);

        if (n == NGX_ERROR || n > (ngx_int_t) 0xffffffff) {
            return ngx_http_eventbridge_lifecycle_problem(r,
                                                    NGX_HTTP_BAD_REQUEST,
                                                    "Bad Request",
                                                    "\"cursor\" is that of an "
                                                    "answer");
        }

        cursor = (uint32_t) n;
    }

    views = ngx_palloc(r->pool, limit * sizeof(ngx_eb_lifecycle_view_t));
    size = 256 + limit * NGX_HTTP_EVENTBRIDGE_STATUS_VIEW;
    body.data = ngx_pnalloc(r->pool, size);

    if (views == NULL || body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_eb_lifecycle_list(&lifecycle->lc, state, &cursor,
                               NGX_HTTP_EVENTBRIDGE_STATUS_LOOK, views, limit,
                               &found);
    if (rc == NGX_AGAIN) {
        return ngx_http_eventbridge_lifecycle_problem(r,
                                               NGX_HTTP_SERVICE_UNAVAILABLE,
                                               "Service Unavailable",
                                               "the tracker is starting");
    }

    ngx_eb_out_init(&out, body.data, size);
    ngx_eb_out_lit(&out, "{\"interactions\":[");

    for (i = 0; i < found; i++) {
        ngx_eb_out_raw(&out, ",", i ? 1 : 0);
        ngx_http_eventbridge_lifecycle_view(&out, lifecycle, &views[i], 0);
    }

    ngx_eb_out_lit(&out, "]");

    /* there may be more, and there may be none */

    if (rc == NGX_OK) {
        ngx_eb_out_lit(&out, ",\"nextCursor\":\"");
        ngx_eb_out_int(&out, cursor);
        ngx_eb_out_lit(&out, "\"");
    }

    ngx_eb_out_lit(&out, "}\n");

    body.len = out.pos - body.data;

    return ngx_http_eventbridge_respond(r, NGX_HTTP_OK,
                                        &ngx_http_eventbridge_lifecycle_json,
                                        &body);
}


static void
ngx_http_eventbridge_lifecycle_view(ngx_eb_out_t *out,
    ngx_http_eventbridge_lifecycle_t *lifecycle,
    ngx_eb_lifecycle_view_t *view, ngx_uint_t history)
{
    ngx_str_t   s, *name;
    ngx_uint_t  i;

    s.data = view->interaction;
    s.len = view->interaction_len;

    ngx_eb_out_lit(out, "{\"interactionId\":");
    ngx_eb_out_string(out, &s, NGX_EB_LIFECYCLE_ID);
    ngx_eb_out_lit(out, ",\"state\":");

    name = ngx_eb_lifecycle_states_name(&lifecycle->states, view->state);

    if (name) {
        ngx_eb_out_string(out, name, NGX_EB_LIFECYCLE_NAME);

    } else {
        ngx_eb_out_lit(out, "null");
    }

    ngx_eb_out_lit(out, ",\"stage\":");
    ngx_eb_out_int(out, view->stage);

    if (name) {
        ngx_eb_out_lit(out, ",\"final\":");

        if (ngx_eb_lifecycle_final(&lifecycle->states, view->state)) {
            ngx_eb_out_lit(out, "true");

        } else {
            ngx_eb_out_lit(out, "false");
        }

        ngx_eb_out_lit(out, ",\"since\":");
        ngx_eb_out_time(out, view->since);
    }

    ngx_eb_out_lit(out, ",\"unpublished\":");
    ngx_eb_out_int(out, view->unpublished);
    ngx_eb_out_lit(out, ",\"flags\":[");
    ngx_http_eventbridge_lifecycle_flags(out, view->flags);
    ngx_eb_out_lit(out, "]");

    if (history) {
        ngx_eb_out_lit(out, ",\"history\":[");

        for (i = 0; i < view->nhistory; i++) {
            ngx_eb_out_raw(out, ",", i ? 1 : 0);
            ngx_eb_out_lit(out, "{\"state\":");

            name = ngx_eb_lifecycle_states_name(&lifecycle->states,
                                                view->history[i].state);
            if (name) {
                ngx_eb_out_string(out, name, NGX_EB_LIFECYCLE_NAME);

            } else {
                ngx_eb_out_lit(out, "null");
            }

            ngx_eb_out_lit(out, ",\"since\":");
            ngx_eb_out_time(out, view->history[i].time);

            if (view->history[i].flags & NGX_EB_LIFECYCLE_F_NOTIME) {
                ngx_eb_out_lit(out, ",\"timestampMissing\":true");
            }

            ngx_eb_out_lit(out, "}");
        }

        ngx_eb_out_lit(out, "]");
    }

    ngx_eb_out_lit(out, "}");
}


static void
ngx_http_eventbridge_lifecycle_flags(ngx_eb_out_t *out, ngx_uint_t flags)
{
    ngx_str_t   s;
    ngx_uint_t  i, n;

    static struct {
        ngx_uint_t    flag;
        ngx_str_t     name;
    } more[] = {
        { NGX_EB_LIFECYCLE_GAP, ngx_string("gap") },
        { NGX_EB_LIFECYCLE_NOTIME, ngx_string("timestamp_missing") },
        { NGX_EB_LIFECYCLE_FAILED, ngx_string("failed") }
    };

    n = 0;

    for (i = 0; i < NGX_EB_LIFECYCLE_FLAGS; i++) {
        if (flags & ((ngx_uint_t) 1 << i)) {
            s = ngx_eb_lifecycle_flags[i];

            ngx_eb_out_raw(out, ",", n++ ? 1 : 0);
            ngx_eb_out_string(out, &s, s.len);
        }
    }

    for (i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
        if (flags & more[i].flag) {
            ngx_eb_out_raw(out, ",", n++ ? 1 : 0);
            ngx_eb_out_string(out, &more[i].name, more[i].name.len);
        }
    }
}


static ngx_int_t
ngx_http_eventbridge_lifecycle_figures(ngx_http_request_t *r,
    ngx_http_eventbridge_lifecycle_t *lifecycle)
{
    u_char                                   *name;
    size_t                                    skip;
    uint64_t                                  value;
    ngx_str_t                                 body, s;
    ngx_uint_t                                i, n;
    ngx_eb_out_t                              out;
    ngx_eb_lifecycle_counters_t               counters;
    ngx_http_eventbridge_lifecycle_figure_t  *head;

    body.data = ngx_pnalloc(r->pool, NGX_HTTP_EVENTBRIDGE_STATUS_FIGURES);
    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_eventbridge_lifecycle_counters(lifecycle, &counters);

    ngx_eb_out_init(&out, body.data, NGX_HTTP_EVENTBRIDGE_STATUS_FIGURES);

    ngx_eb_out_lit(&out, "{\"lifecycle\":");
    ngx_eb_out_string(&out, &lifecycle->name, 64);
    ngx_eb_out_lit(&out, ",\"ready\":");

    if (ngx_eb_lifecycle_ready(&lifecycle->lc)) {
        ngx_eb_out_lit(&out, "true");

    } else {
        ngx_eb_out_lit(&out, "false");
    }

    /* as the metrics are called, without what is around it */

    skip = sizeof("eventbridge_lifecycle_") - 1;

    for (i = 0; i < NGX_HTTP_EVENTBRIDGE_LIFECYCLE_HEADS; i++) {
        head = &ngx_http_eventbridge_lifecycle_heads[i];

        name = (u_char *) head->name + skip;
        n = ngx_strlen(name);

        if (n > 6 && ngx_strcmp(name + n - 6, "_total") == 0) {
            n -= 6;
        }

        value = *(uint64_t *) ((u_char *) &counters + head->offset);

        ngx_eb_out_lit(&out, ",\"");
        ngx_eb_out_raw(&out, name, n);
        ngx_eb_out_lit(&out, "\":");
        ngx_eb_out_int(&out, (int64_t) value);
    }

    ngx_eb_out_lit(&out, ",\"late\":");
    ngx_eb_out_int(&out,
                   (int64_t) counters.flagged[NGX_EB_LIFECYCLE_FLAG_LATE]);
    ngx_eb_out_lit(&out, ",\"violations\":{");

    for (i = 0; i < NGX_EB_LIFECYCLE_FLAGS; i++) {
        s = ngx_eb_lifecycle_flags[i];

        ngx_eb_out_raw(&out, ",", i ? 1 : 0);
        ngx_eb_out_string(&out, &s, s.len);
        ngx_eb_out_lit(&out, ":");
        ngx_eb_out_int(&out, (int64_t) counters.flagged[i]);
    }

    ngx_eb_out_lit(&out, "},\"standing\":{");

    for (i = 0; i < lifecycle->states.n; i++) {
        ngx_eb_out_raw(&out, ",", i ? 1 : 0);
        ngx_eb_out_string(&out, &lifecycle->states.names[i],
                          NGX_EB_LIFECYCLE_NAME);
        ngx_eb_out_lit(&out, ":");
        ngx_eb_out_int(&out, (int64_t) counters.standing[i]);
    }

    /* over successes only: row 4.14; without any there is none */

    ngx_eb_out_lit(&out, "},\"averageLatencyMs\":");

    if (counters.propagated) {
        ngx_eb_out_int(&out,
                       (int64_t) (counters.latency / counters.propagated));

    } else {
        ngx_eb_out_lit(&out, "null");
    }

    ngx_eb_out_lit(&out, ",\"invalid\":");
    ngx_eb_out_int(&out, lifecycle->cells[NGX_EB_STATS_T_INVALID]);
    ngx_eb_out_lit(&out, ",\"ignored\":");
    ngx_eb_out_int(&out, lifecycle->cells[NGX_EB_STATS_T_IGNORED]);

    if (lifecycle->org) {
        ngx_eb_out_lit(&out, ",\"pollFailures\":");
        ngx_eb_out_int(&out, lifecycle->cells[NGX_EB_STATS_T_POLL_FAILED]);
        ngx_eb_out_lit(&out, ",\"pollLagMs\":");
        ngx_eb_out_int(&out, lifecycle->cells[NGX_EB_STATS_T_LAG]);
    }

    ngx_eb_out_lit(&out, "}\n");

    body.len = out.pos - body.data;

    return ngx_http_eventbridge_respond(r, NGX_HTTP_OK,
                                        &ngx_http_eventbridge_lifecycle_json,
                                        &body);
}


static ngx_int_t
ngx_http_eventbridge_lifecycle_problem(ngx_http_request_t *r,
    ngx_uint_t status, const char *title, const char *detail)
{
    u_char     *p;
    ngx_str_t   body;

    p = ngx_pnalloc(r->pool, 256);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.data = p;
    p = ngx_snprintf(p, 256, "{\"type\":\"about:blank\",\"title\":\"%s\","
                     "\"status\":%ui,\"detail\":\"%s\"}\n", title, status,
                     (*detail == '"') ? "a parameter is not valid" : detail);
    body.len = p - body.data;

    return ngx_http_eventbridge_respond(r, status,
                                  &ngx_http_eventbridge_lifecycle_problem_json,
                                  &body);
}


/* $eventbridge_lifecycle_state: where $arg_interaction stands */

ngx_int_t
ngx_http_eventbridge_lifecycle_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                             *p, *src, fit[NGX_EB_LIFECYCLE_ID];
    ngx_str_t                           id, *name;
    ngx_eb_lifecycle_view_t             view;
    ngx_http_eventbridge_loc_conf_t    *elcf;
    ngx_http_eventbridge_lifecycle_t   *lifecycle, **lifecycles;
    ngx_http_eventbridge_main_conf_t   *emcf;

    v->not_found = 1;

    emcf = ngx_http_get_module_main_conf(r, ngx_http_eventbridge_module);
    elcf = ngx_http_get_module_loc_conf(r, ngx_http_eventbridge_module);

    if (emcf->lifecycles.nelts == 0
        || ngx_http_eventbridge_lifecycle_argument(r, "interaction", &id)
           != NGX_OK
        || id.len == 0)
    {
        return NGX_OK;
    }

    lifecycles = emcf->lifecycles.elts;
    lifecycle = elcf->lifecycle ? elcf->lifecycle->lifecycle : lifecycles[0];

    p = id.data;
    src = id.data;
    ngx_unescape_uri(&p, &src, id.len, 0);
    id.len = p - id.data;

    if (id.len > NGX_EB_LIFECYCLE_ID) {

        if (ngx_eb_lifecycle_fit(&id, fit) != NGX_OK) {
            return NGX_OK;
        }

        id.data = fit;
        id.len = NGX_EB_LIFECYCLE_ID;
    }

    if (ngx_eb_lifecycle_find(&lifecycle->lc, &id, &view) != NGX_OK) {
        return NGX_OK;
    }

    name = ngx_eb_lifecycle_states_name(&lifecycle->states, view.state);

    if (name) {
        v->data = name->data;
        v->len = name->len;
        v->valid = 1;
        v->no_cacheable = 0;
        v->not_found = 0;
    }

    return NGX_OK;
}


ngx_uint_t
ngx_http_eventbridge_lifecycle_nextras(ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_uint_t                          i, n;
    ngx_http_eventbridge_lifecycle_t  **lifecycles;

    lifecycles = emcf->lifecycles.elts;
    n = 0;

    for (i = 0; i < emcf->lifecycles.nelts; i++) {
        n += NGX_HTTP_EVENTBRIDGE_LIFECYCLE_HEADS + NGX_EB_LIFECYCLE_FLAGS
             + lifecycles[i]->states.n + NGX_EB_LIFECYCLE_BUCKETS + 2;
    }

    return n;
}


/* those of one name stand together */

ngx_int_t
ngx_http_eventbridge_lifecycle_extras(ngx_pool_t *pool,
    ngx_http_eventbridge_main_conf_t *emcf, ngx_eb_stats_extra_t *extra,
    ngx_uint_t *n)
{
    u_char                                   *p;
    int64_t                                   bound;
    uint64_t                                  sum;
    ngx_uint_t                                i, j, k, parts;
    ngx_eb_out_t                              out;
    ngx_eb_stats_extra_t                     *e;
    ngx_eb_lifecycle_counters_t              *counters;
    ngx_http_eventbridge_lifecycle_t        **lifecycles;
    ngx_http_eventbridge_lifecycle_figure_t  *head;

    enum { PLAIN = 0, VIOLATIONS = NGX_HTTP_EVENTBRIDGE_LIFECYCLE_HEADS,
           STANDING, BUCKETS, SUM, COUNT, END };

    if (emcf->lifecycles.nelts == 0) {
        return NGX_OK;
    }

    lifecycles = emcf->lifecycles.elts;

    counters = ngx_palloc(pool, emcf->lifecycles.nelts
                                * sizeof(ngx_eb_lifecycle_counters_t));
    if (counters == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < emcf->lifecycles.nelts; i++) {
        ngx_http_eventbridge_lifecycle_counters(lifecycles[i], &counters[i]);
    }

    for (k = PLAIN; k < END; k++) {

        for (i = 0; i < emcf->lifecycles.nelts; i++) {

            parts = (k == VIOLATIONS) ? (ngx_uint_t) NGX_EB_LIFECYCLE_FLAGS
                    : (k == STANDING) ? lifecycles[i]->states.n
                    : (k == BUCKETS) ? NGX_EB_LIFECYCLE_BUCKETS : 1;
            sum = 0;

            for (j = 0; j < parts; j++) {
                e = &extra[(*n)++];

                p = ngx_pnalloc(pool, 512);
                if (p == NULL) {
                    return NGX_ERROR;
                }

                ngx_eb_out_init(&out, p, 512);
                ngx_eb_out_lit(&out, "lifecycle=");
                ngx_eb_out_label(&out, &lifecycles[i]->name, 64);

                switch (k) {

                case VIOLATIONS:
                    e->name = "eventbridge_lifecycle_violations_total";
                    e->type = "counter";
                    e->help = "Events that were not accepted, by kind.";
                    e->value = (double) counters[i].flagged[j];

                    ngx_eb_out_lit(&out, ",kind=");
                    ngx_eb_out_label(&out,
                                     (ngx_str_t *) &ngx_eb_lifecycle_flags[j],
                                     32);
                    break;

                case STANDING:
                    e->name = "eventbridge_lifecycle_standing";
                    e->type = "gauge";
                    e->help = "Interactions by the state that they are in.";
                    e->value = (double) counters[i].standing[j];

                    ngx_eb_out_lit(&out, ",state=");
                    ngx_eb_out_label(&out, &lifecycles[i]->states.names[j],
                                     NGX_EB_LIFECYCLE_NAME);
                    break;

                case BUCKETS:
                    bound = ngx_eb_lifecycle_bounds[j];
                    sum += counters[i].latencies[j];

                    e->name = "eventbridge_lifecycle_latency_seconds";
                    e->suffix = "_bucket";
                    e->type = "histogram";
                    e->help = ngx_http_eventbridge_lifecycle_help;
                    e->value = (double) sum;

                    ngx_eb_out_lit(&out, ",le=\"");

                    if (bound < 0) {
                        ngx_eb_out_lit(&out, "+Inf\"");

                    } else {
                        ngx_eb_out_ms(&out, bound);
                        ngx_eb_out_lit(&out, "\"");
                    }

                    break;

                case SUM:
                    e->name = "eventbridge_lifecycle_latency_seconds";
                    e->suffix = "_sum";
                    e->help = ngx_http_eventbridge_lifecycle_help;
                    e->type = "histogram";
                    e->value = (double) counters[i].latency / 1000;
                    break;

                case COUNT:
                    e->name = "eventbridge_lifecycle_latency_seconds";
                    e->suffix = "_count";
                    e->help = ngx_http_eventbridge_lifecycle_help;
                    e->type = "histogram";
                    e->value = (double) counters[i].propagated;
                    break;

                default:
                    head = &ngx_http_eventbridge_lifecycle_heads[k];

                    e->name = head->name;
                    e->type = head->type;
                    e->help = head->help;
                    e->value = (double) *(uint64_t *) ((u_char *) &counters[i]
                                                       + head->offset);
                }

                e->labels.data = p;
                e->labels.len = out.pos - p;
            }
        }
    }

    return NGX_OK;
}
