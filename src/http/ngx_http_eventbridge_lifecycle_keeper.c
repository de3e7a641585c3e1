
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The worker that runs a tracker: the one that has the lease of its file.  It
 * reads what all workers have captured, and has what the engine decides
 * published.
 */


#include "ngx_http_eventbridge_lifecycle.h"


/* how often the others ask for the lease, ms */
#define NGX_HTTP_EVENTBRIDGE_KEEPER_LEASE   200

/* before a file that could not be read is tried again, ms */
#define NGX_HTTP_EVENTBRIDGE_KEEPER_AGAIN   5000

/* after this time an exiting worker leaves the file to another one */
#define NGX_HTTP_EVENTBRIDGE_KEEPER_LEAVE   50


static void ngx_http_eventbridge_keeper_timer(ngx_event_t *ev);
static void ngx_http_eventbridge_keeper_wake(ngx_event_t *ev);
static void ngx_http_eventbridge_keeper_start(
    ngx_http_eventbridge_keeper_t *k);
static void ngx_http_eventbridge_keeper_stop(
    ngx_http_eventbridge_keeper_t *k);
static void ngx_http_eventbridge_keeper_release(
    ngx_http_eventbridge_keeper_t *k);
static void ngx_http_eventbridge_keeper_tick(
    ngx_http_eventbridge_keeper_t *k);
static void ngx_http_eventbridge_keeper_count(
    ngx_http_eventbridge_keeper_t *k);
static void ngx_http_eventbridge_keeper_recovered(void *data, ngx_int_t rc,
    ngx_eb_lifecycle_report_t *report);
static void ngx_http_eventbridge_keeper_accepted(void *data,
    ngx_eb_lifecycle_pending_t *pending);
static void ngx_http_eventbridge_keeper_decided(void *data,
    ngx_eb_lifecycle_decision_t *decision);
static void ngx_http_eventbridge_keeper_woken(void *data);


ngx_int_t
ngx_http_eventbridge_lifecycle_init_module(ngx_cycle_t *cycle,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_uint_t                          i, j;
    ngx_eb_log_t                      **logs;
    ngx_core_conf_t                    *ccf;
    ngx_eb_lifecycle_report_t           report;
    ngx_http_eventbridge_lifecycle_t  **lifecycles;

    lifecycles = emcf->lifecycles.elts;
    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    for (i = 0; i < emcf->lifecycles.nelts; i++) {
        logs = lifecycles[i]->logs.elts;

        if (!ngx_test_config
            && ngx_eb_lifecycle_state_check(lifecycles[i]->path.data,
                                            ccf->user, ccf->group, cycle->log,
                                            &report)
               != NGX_OK
            && ngx_is_init_cycle(cycle->old_cycle))
        {
            return NGX_ERROR;
        }

        for (j = 0; j < lifecycles[i]->logs.nelts; j++) {
            if (ngx_eb_log_open(logs[j], cycle) != NGX_OK) {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_eventbridge_lifecycle_init_process(ngx_cycle_t *cycle,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_uint_t                          i, j;
    ngx_eb_log_t                      **logs;
    ngx_eb_lifecycle_state_t           *st;
    ngx_http_eventbridge_keeper_t      *k;
    ngx_http_eventbridge_lifecycle_t   *lifecycle, **lifecycles;

    lifecycles = emcf->lifecycles.elts;

    for (i = 0; i < emcf->lifecycles.nelts; i++) {
        lifecycle = lifecycles[i];

        if (ngx_eb_lifecycle_attach(&lifecycle->lc, &lifecycle->engine,
                                    lifecycle->shared->block,
                                    lifecycle->size)
            != NGX_OK)
        {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                          "eventbridge: the table of lifecycle \"%V\" cannot "
                          "be used", &lifecycle->name);
            return NGX_ERROR;
        }

        lifecycle->parser = ngx_eb_json_parser_create();
        k = ngx_pcalloc(cycle->pool, sizeof(ngx_http_eventbridge_keeper_t));

        if (lifecycle->parser == NULL || k == NULL) {
            return NGX_ERROR;
        }

        logs = lifecycle->logs.elts;

        for (j = 0; j < lifecycle->logs.nelts; j++) {
            if (ngx_eb_log_start(logs[j], cycle) != NGX_OK) {
                return NGX_ERROR;
            }
        }

        lifecycle->keeper = k;

        k->lifecycle = lifecycle;
        k->emcf = emcf;
        k->log = cycle->log;

        st = &k->state;
        st->lc = &lifecycle->lc;
        st->log = lifecycle->log;
        st->errlog = cycle->log;
        st->max_pending = NGX_HTTP_EVENTBRIDGE_LIFECYCLE_PENDING;
        st->handlers.data = k;
        st->handlers.recovered = ngx_http_eventbridge_keeper_recovered;
        st->handlers.accepted = ngx_http_eventbridge_keeper_accepted;
        st->handlers.decided = ngx_http_eventbridge_keeper_decided;
        st->handlers.woken = ngx_http_eventbridge_keeper_woken;

        k->dummy.fd = (ngx_socket_t) -1;
        k->dummy.data = k;

        k->timer.handler = ngx_http_eventbridge_keeper_timer;
        k->timer.data = &k->dummy;
        k->timer.log = cycle->log;
        k->timer.cancelable = 1;

        k->wake.handler = ngx_http_eventbridge_keeper_wake;
        k->wake.data = &k->dummy;
        k->wake.log = cycle->log;

        /* not all workers at once */
        ngx_add_timer(&k->timer, 1 + ngx_random() % 20);
    }

    return NGX_OK;
}


void
ngx_http_eventbridge_lifecycle_exit_process(
    ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_uint_t                          i, j;
    ngx_eb_log_t                      **logs;
    ngx_http_eventbridge_lifecycle_t   *lifecycle, **lifecycles;

    lifecycles = emcf->lifecycles.elts;

    for (i = 0; i < emcf->lifecycles.nelts; i++) {
        lifecycle = lifecycles[i];

        if (lifecycle->keeper == NULL) {
            continue;
        }

        ngx_http_eventbridge_keeper_stop(lifecycle->keeper);

        if (lifecycle->keeper->timer.timer_set) {
            ngx_del_timer(&lifecycle->keeper->timer);
        }

        logs = lifecycle->logs.elts;

        for (j = 0; j < lifecycle->logs.nelts; j++) {
            ngx_eb_log_stop(logs[j]);
        }

        ngx_http_eventbridge_keeper_release(lifecycle->keeper);

        ngx_eb_json_parser_destroy(lifecycle->parser);
        lifecycle->keeper = NULL;
    }
}


static void
ngx_http_eventbridge_keeper_timer(ngx_event_t *ev)
{
    ngx_connection_t *c = ev->data;

    ngx_http_eventbridge_keeper_t  *k;

    k = c->data;

    if (ngx_exiting) {

        if (!k->holder) {
            return;
        }

        /* what is under way ends first, so that it is not sent twice */

        if (k->ncalls == 0 && k->unsettled == 0 && k->state.lent == 0
            && !k->state.running)
        {
            ngx_http_eventbridge_keeper_stop(k);
            ngx_http_eventbridge_keeper_release(k);
            return;
        }

        ngx_add_timer(ev, NGX_HTTP_EVENTBRIDGE_KEEPER_LEAVE);

        if (k->running) {
            (void) ngx_eb_lifecycle_state_tick(&k->state,
                                        ngx_http_eventbridge_lifecycle_now());
        }

        return;
    }

    if (k->holder && k->running) {
        ngx_http_eventbridge_keeper_tick(k);
        return;
    }

    if (k->holder
        || ngx_eb_lease_try(k->emcf->lock, &k->lifecycle->lease) != NGX_OK)
    {
        ngx_add_timer(ev, NGX_HTTP_EVENTBRIDGE_KEEPER_LEASE);
        return;
    }

    k->holder = 1;

    ngx_http_eventbridge_keeper_start(k);
}


static void
ngx_http_eventbridge_keeper_start(ngx_http_eventbridge_keeper_t *k)
{
    ngx_http_eventbridge_lifecycle_bus_start(k);

    /* NGX_BUSY: a thread has not ended yet that was at it before */

    if (ngx_eb_lifecycle_state_start(&k->state) != NGX_AGAIN) {
        ngx_http_eventbridge_keeper_recovered(k, NGX_ERROR, NULL);
    }
}


static void
ngx_http_eventbridge_keeper_recovered(void *data, ngx_int_t rc,
    ngx_eb_lifecycle_report_t *report)
{
    ngx_http_eventbridge_keeper_t *k = data;

    ngx_uint_t  level;

    if (rc != NGX_OK || report == NULL) {

        /* another worker may have more luck */

        ngx_http_eventbridge_lifecycle_bus_stop(k);
        ngx_eb_lease_release(k->emcf->lock, &k->lifecycle->lease);
        k->holder = 0;

        if (k->timer.timer_set) {
            ngx_del_timer(&k->timer);
        }

        ngx_add_timer(&k->timer, NGX_HTTP_EVENTBRIDGE_KEEPER_AGAIN);
        return;
    }

    k->running = 1;

    level = report->damaged ? NGX_LOG_ERR : NGX_LOG_NOTICE;

    ngx_log_error(level, k->log, 0,
                  "eventbridge: lifecycle \"%V\" goes on: %uL lines read, "
                  "%uL transitions to publish, %uL events to judge; %uL lines "
                  "damaged, %uL foreign, %O bytes of a torn tail%s%s",
                  &k->lifecycle->name, report->lines, report->pending,
                  report->held, report->damaged, report->foreign,
                  report->cut,
                  report->aside[0] ? ", a copy is in " : "", report->aside);

    if (ngx_http_eventbridge_lifecycle_poll_start(k) != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, k->log, 0,
                      "eventbridge: lifecycle \"%V\" cannot poll: no memory",
                      &k->lifecycle->name);
    }

    ngx_http_eventbridge_lifecycle_wake(k);
}


static void
ngx_http_eventbridge_keeper_stop(ngx_http_eventbridge_keeper_t *k)
{
    if (!k->holder) {
        return;
    }

    ngx_http_eventbridge_lifecycle_poll_stop(k);
    ngx_http_eventbridge_lifecycle_bus_stop(k);
    ngx_eb_lifecycle_state_stop(&k->state);
    ngx_http_eventbridge_keeper_count(k);

    if (k->wake.posted) {
        ngx_delete_posted_event(&k->wake);
    }

    k->running = 0;
}


/* nothing of ours is on its way to the file any more */

static void
ngx_http_eventbridge_keeper_release(ngx_http_eventbridge_keeper_t *k)
{
    if (k->holder) {
        ngx_eb_lease_release(k->emcf->lock, &k->lifecycle->lease);
        k->holder = 0;
    }
}


void
ngx_http_eventbridge_lifecycle_wake(ngx_http_eventbridge_keeper_t *k)
{
    if (k->running) {
        ngx_post_event(&k->wake, &ngx_posted_events);
    }
}


static void
ngx_http_eventbridge_keeper_wake(ngx_event_t *ev)
{
    ngx_connection_t *c = ev->data;

    ngx_http_eventbridge_keeper_t  *k;

    k = c->data;

    if (k->running) {
        ngx_http_eventbridge_keeper_tick(k);
        ngx_http_eventbridge_lifecycle_bus_wake(k);
    }
}


static void
ngx_http_eventbridge_keeper_tick(ngx_http_eventbridge_keeper_t *k)
{
    ngx_msec_t  msec;

    msec = ngx_eb_lifecycle_state_tick(&k->state,
                                       ngx_http_eventbridge_lifecycle_now());
    if (!k->running) {
        return;
    }

    ngx_http_eventbridge_keeper_count(k);

    if (k->timer.timer_set) {
        ngx_del_timer(&k->timer);
    }

    ngx_add_timer(&k->timer, ngx_exiting ? NGX_HTTP_EVENTBRIDGE_KEEPER_LEAVE
                                         : ngx_max(msec, 1));
}


/* what is in shared memory is gone when nginx ends, the file is not */

static void
ngx_http_eventbridge_keeper_count(ngx_http_eventbridge_keeper_t *k)
{
    uint64_t                     *counts;
    ngx_uint_t                    i;
    ngx_eb_stats_cell_t          *cells;
    ngx_eb_lifecycle_counters_t   counters;

    ngx_http_eventbridge_lifecycle_counters(k->lifecycle, &counters);

    counts = (uint64_t *) &counters;
    cells = &k->lifecycle->cells[NGX_EB_STATS_T_COUNTS];

    for (i = 0; i < NGX_HTTP_EVENTBRIDGE_LIFECYCLE_COUNTS; i++) {
        cells[i] = (int64_t) counts[i];
    }
}


static void
ngx_http_eventbridge_keeper_accepted(void *data,
    ngx_eb_lifecycle_pending_t *pending)
{
    ngx_http_eventbridge_lifecycle_publish(data, pending);
}


static void
ngx_http_eventbridge_keeper_decided(void *data,
    ngx_eb_lifecycle_decision_t *decision)
{
    ngx_http_eventbridge_keeper_t *k = data;

    if (decision->kind == NGX_EB_LIFECYCLE_FLAG) {
        ngx_http_eventbridge_lifecycle_audit(k->lifecycle, decision, "flagged",
                                             -1);
    }
}


static void
ngx_http_eventbridge_keeper_woken(void *data)
{
    ngx_http_eventbridge_lifecycle_wake(data);
}


void
ngx_http_eventbridge_lifecycle_audit(
    ngx_http_eventbridge_lifecycle_t *lifecycle,
    ngx_eb_lifecycle_decision_t *decision, const char *status,
    int64_t latency)
{
    u_char           line[2048], hex[2 * NGX_EB_LIFECYCLE_DIGEST];
    ngx_str_t        s, *name;
    ngx_eb_out_t     out;
    ngx_eb_audit_t  *audit;

    audit = lifecycle->conf->audit;

    if (audit == NULL || audit == NGX_CONF_UNSET_PTR) {
        return;
    }

    ngx_eb_out_init(&out, line, sizeof(line));

    ngx_eb_out_lit(&out, "{\"timestamp\":");
    ngx_eb_out_time(&out, ngx_http_eventbridge_lifecycle_now());
    ngx_eb_out_lit(&out, ",\"lifecycle\":");
    ngx_eb_out_string(&out, &lifecycle->name, 64);
    ngx_eb_out_lit(&out, ",\"interactionId\":");

    s.data = decision->interaction;
    s.len = decision->interaction_len;
    ngx_eb_out_string(&out, &s, NGX_EB_LIFECYCLE_ID);

    s.data = decision->event;
    s.len = decision->event_len;

    if (s.len) {
        ngx_eb_out_lit(&out, ",\"eventId\":");
        ngx_eb_out_string(&out, &s, NGX_EB_LIFECYCLE_ID);
    }

    name = ngx_eb_lifecycle_states_name(&lifecycle->states,
                                        decision->previous);
    if (name) {
        ngx_eb_out_lit(&out, ",\"previousState\":");
        ngx_eb_out_string(&out, name, NGX_EB_LIFECYCLE_NAME);
    }

    name = ngx_eb_lifecycle_states_name(&lifecycle->states,
                                        decision->current);
    if (name) {
        ngx_eb_out_lit(&out, ",\"currentState\":");
        ngx_eb_out_string(&out, name, NGX_EB_LIFECYCLE_NAME);
    }

    ngx_eb_out_lit(&out, ",\"eventTime\":");
    ngx_eb_out_time(&out, decision->time);

    if (decision->kind == NGX_EB_LIFECYCLE_PUBLISH) {
        s.data = hex;
        s.len = ngx_eb_lifecycle_id_hex(hex, decision->id) - hex;

        ngx_eb_out_lit(&out, ",\"stage\":");
        ngx_eb_out_int(&out, decision->stage);
        ngx_eb_out_lit(&out, ",\"transitionId\":");
        ngx_eb_out_string(&out, &s, s.len);
    }

    s.data = (u_char *) status;
    s.len = ngx_strlen(status);

    ngx_eb_out_lit(&out, ",\"status\":");
    ngx_eb_out_string(&out, &s, s.len);

    if (decision->kind == NGX_EB_LIFECYCLE_FLAG) {
        s = ngx_eb_lifecycle_flags[decision->flag];

        ngx_eb_out_lit(&out, ",\"flag\":");
        ngx_eb_out_string(&out, &s, s.len);
    }

    if (latency >= 0) {
        ngx_eb_out_lit(&out, ",\"latencyMs\":");
        ngx_eb_out_int(&out, latency);
    }

    ngx_eb_out_lit(&out, "}");

    s.data = line;
    s.len = out.pos - line;

    ngx_eb_audit_text(audit, &s);
}
