
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * An operation at the API of Genesys Cloud.  The requests of one that a client
 * waits for go as subrequests of a carrier, so that nginx's upstreams, TLS and
 * connections serve them, and so that the operation ends as it should when the
 * client has left.  Those of a job that nobody waits for go by the background
 * client.
 */


#include "ngx_http_eventbridge_api.h"


/* bound of the first wait before a request is sent again, ms */
#define NGX_HTTP_EVENTBRIDGE_API_BASE  250


static const char  *ngx_http_eventbridge_api_reasons[] = {
    "it is final",
    "that was the last try",
    "another would come too late",
    "Retry-After is longer than \"retry_cap\"",
    "it may have had an effect",
    "a new token is refused as well"
};


static void ngx_http_eventbridge_api_step(ngx_http_eventbridge_api_t *api,
    ngx_eb_genesys_reply_t *reply);
static void ngx_http_eventbridge_api_send(ngx_http_eventbridge_api_t *api);
static void ngx_http_eventbridge_api_wait(ngx_http_eventbridge_api_t *api,
    ngx_msec_t msec);
static void ngx_http_eventbridge_api_call(ngx_http_eventbridge_api_t *api);
static void ngx_http_eventbridge_api_no_answer(
    ngx_http_eventbridge_api_t *api, const char *why, ngx_str_t *more,
    ngx_uint_t timed_out);
static ngx_msec_t ngx_http_eventbridge_api_enter(
    ngx_http_eventbridge_api_t *api);
static void ngx_http_eventbridge_api_leave(ngx_http_eventbridge_api_t *api,
    ngx_eb_genesys_reply_t *reply);
static void ngx_http_eventbridge_api_breaker(ngx_http_eventbridge_api_t *api,
    ngx_eb_genesys_breaker_policy_t *policy);
static void ngx_http_eventbridge_api_cut(
    ngx_http_eventbridge_carrier_t *carrier);
static void ngx_http_eventbridge_api_wake(ngx_event_t *ev);
static void ngx_http_eventbridge_api_timer(ngx_event_t *ev);
static void ngx_http_eventbridge_api_ended(ngx_http_eventbridge_api_t *api);
static void ngx_http_eventbridge_api_token(void *data);
static ngx_eb_stats_cell_t *ngx_http_eventbridge_api_count(
    ngx_http_eventbridge_api_t *api, ngx_uint_t status);
static void ngx_http_eventbridge_api_finish(ngx_http_eventbridge_api_t *api,
    ngx_int_t rc);


ngx_http_eventbridge_api_t *
ngx_http_eventbridge_api_create(ngx_http_eventbridge_control_t *control,
    ngx_http_request_t *r)
{
    ngx_http_eventbridge_api_t        *api;
    ngx_http_eventbridge_main_conf_t  *emcf;

    emcf = ngx_http_get_module_main_conf(r, ngx_http_eventbridge_module);

    api = ngx_http_eventbridge_api_job(control->org, emcf);

    if (api == NULL) {
        return NULL;
    }

    api->control = control;
    api->timer.cancelable = 0;

    if (ngx_http_eventbridge_facts(&api->facts, api->pool, emcf, r)
        != NGX_OK)
    {
        ngx_http_eventbridge_api_destroy(api);
        return NULL;
    }

    return api;
}


ngx_http_eventbridge_api_t *
ngx_http_eventbridge_api_job(ngx_http_eventbridge_org_t *org,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_log_t                   *log;
    ngx_pool_t                  *pool;
    ngx_http_eventbridge_api_t  *api;

    log = ngx_cycle->log;

    pool = ngx_create_pool(4096, log);
    if (pool == NULL) {
        return NULL;
    }

    api = ngx_pcalloc(pool, sizeof(ngx_http_eventbridge_api_t));
    if (api == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    api->pool = pool;
    api->log = log;
    api->org = org;
    api->stats = emcf->stats;
    api->fd = (ngx_socket_t) -1;
    api->start = ngx_current_msec;

    api->op.pool = pool;
    api->op.log = log;

    api->wake.handler = ngx_http_eventbridge_api_wake;
    api->wake.data = api;
    api->wake.log = log;

    api->timer.handler = ngx_http_eventbridge_api_timer;
    api->timer.data = api;
    api->timer.log = log;
    api->timer.cancelable = 1;

    api->bearer.handler = ngx_http_eventbridge_api_token;
    api->bearer.data = api;

    /* "Bearer ", and then what token_get() has copied */

    api->authorization.data = ngx_pnalloc(pool, sizeof("Bearer ") - 1
                                                + NGX_HTTP_EVENTBRIDGE_TOKEN);
    if (api->authorization.data == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    api->bearer.token.data = ngx_cpymem(api->authorization.data, "Bearer ",
                                        sizeof("Bearer ") - 1);
    return api;
}


ngx_eb_genesys_op_t *
ngx_http_eventbridge_api_op(ngx_http_eventbridge_api_t *api)
{
    return &api->op;
}


void
ngx_http_eventbridge_api_before(ngx_http_eventbridge_api_t *api,
    ngx_int_t (*before)(void *data, ngx_eb_genesys_request_t *request))
{
    api->before = before;
}


ngx_http_eventbridge_facts_t *
ngx_http_eventbridge_api_facts(ngx_http_eventbridge_api_t *api)
{
    return &api->facts;
}


ngx_msec_t
ngx_http_eventbridge_api_elapsed(ngx_http_eventbridge_api_t *api)
{
    return ngx_current_msec - api->start;
}


void
ngx_http_eventbridge_api_audit(ngx_http_eventbridge_api_t *api, ngx_int_t rc,
    ngx_eb_out_t *out)
{
    ngx_eb_genesys_answer_t  *answer;

    answer = &api->op.answer;

    ngx_eb_out_lit(out, ",\"action\":");

    if (answer->action.len) {
        ngx_eb_out_string(out, &answer->action, 64);

    } else {
        ngx_eb_out_lit(out, "\"failed\"");
    }

    ngx_eb_out_lit(out, ",\"status\":");
    ngx_eb_out_int(out, (rc == NGX_OK) ? answer->status
                                       : NGX_HTTP_INTERNAL_SERVER_ERROR);

    if (answer->api_status) {
        ngx_eb_out_lit(out, ",\"apiStatus\":");
        ngx_eb_out_int(out, answer->api_status);
    }

    if (answer->correlation_id.len) {
        ngx_eb_out_lit(out, ",\"correlationId\":");
        ngx_eb_out_string(out, &answer->correlation_id, 128);
    }

    if (answer->changed) {
        ngx_eb_out_lit(out, ",\"changed\":true");

    } else {
        ngx_eb_out_lit(out, ",\"changed\":false");
    }

    ngx_eb_out_lit(out, ",\"latencyMs\":");
    ngx_eb_out_int(out, ngx_http_eventbridge_api_elapsed(api));
    ngx_eb_out_lit(out, "}");
}


void
ngx_http_eventbridge_api_run(ngx_http_eventbridge_api_t *api,
    void (*done)(ngx_http_eventbridge_api_t *api, void *data, ngx_int_t rc),
    void *data)
{
    api->done = done;
    api->data = data;

    /* from the event loop, as everything that follows */

    ngx_post_event(&api->wake, &ngx_posted_events);
}


void
ngx_http_eventbridge_api_destroy(ngx_http_eventbridge_api_t *api)
{
    ngx_http_eventbridge_token_leave(&api->bearer);
    ngx_http_eventbridge_api_leave(api, NULL);

    if (api->call) {
        ngx_http_eventbridge_call_free(api->call);
    }

    if (api->keeper) {
        ngx_http_eventbridge_carrier_free(api->keeper);
    }

    if (api->timer.timer_set) {
        ngx_del_timer(&api->timer);
    }

    if (api->wake.posted) {
        ngx_delete_posted_event(&api->wake);
    }

    ngx_explicit_memzero(api->authorization.data,
                         sizeof("Bearer ") - 1 + NGX_HTTP_EVENTBRIDGE_TOKEN);

    ngx_destroy_pool(api->pool);
}


/* what the operation wants next */

static void
ngx_http_eventbridge_api_step(ngx_http_eventbridge_api_t *api,
    ngx_eb_genesys_reply_t *reply)
{
    ngx_int_t                    rc;
    ngx_http_eventbridge_org_t  *org;

    org = api->org;

    ngx_memzero(&api->request, sizeof(ngx_eb_genesys_request_t));

    rc = api->op.step(&api->op, reply, &api->request);

    if (rc != NGX_AGAIN) {
        ngx_http_eventbridge_api_finish(api, (rc == NGX_DONE) ? NGX_OK : rc);
        return;
    }

    /* each request has its tries, and all of them share the time */

    api->policy.tries = org->retries + 1;
    api->policy.base = NGX_HTTP_EVENTBRIDGE_API_BASE;
    api->policy.cap = org->retry_cap;
    api->policy.deadline = org->timeout;

    ngx_memzero(&api->retry, sizeof(ngx_eb_genesys_retry_t));
    api->retry.started = api->start;

    rc = api->before ? api->before(api->data, &api->request) : NGX_OK;

    if (rc != NGX_AGAIN) {
        ngx_http_eventbridge_api_resume(api, rc);
    }
}


void
ngx_http_eventbridge_api_resume(ngx_http_eventbridge_api_t *api, ngx_int_t rc)
{
    if (rc != NGX_OK) {
        ngx_http_eventbridge_api_no_answer(api, "the intent of it could not "
                                           "be recorded", NULL, 0);
        return;
    }

    if (api->request.delay && !api->cut) {
        ngx_http_eventbridge_api_wait(api, api->request.delay);
        return;
    }

    ngx_http_eventbridge_api_send(api);
}


/* a request goes out as soon as there is a token for it */

static void
ngx_http_eventbridge_api_send(ngx_http_eventbridge_api_t *api)
{
    if (api->cut) {
        ngx_http_eventbridge_api_no_answer(api, "the server is shutting down",
                                           NULL, 0);
        return;
    }

    switch (ngx_http_eventbridge_token_get(api->org, &api->bearer)) {

    case NGX_OK:
        ngx_http_eventbridge_api_call(api);
        return;

    case NGX_DECLINED:
        ngx_http_eventbridge_api_no_answer(api, "there is no token: ",
                                           &api->bearer.why, 0);
        return;
    }

    ngx_http_eventbridge_api_wait(api, ngx_http_eventbridge_api_left(api));
}


/* worker_shutdown_timeout knows connections only, and ends this by one */

static void
ngx_http_eventbridge_api_wait(ngx_http_eventbridge_api_t *api,
    ngx_msec_t msec)
{
    ngx_http_eventbridge_carrier_t  *keeper;

    ngx_add_timer(&api->timer, msec);

    if (api->keeper || api->control == NULL) {
        return;
    }

    keeper = ngx_http_eventbridge_carrier_create(api->pool, api->log,
                                                 api->control->cscf->ctx,
                                                 &api->facts,
                                                 &api->control->name);

    /* without one it takes as long as it takes */

    if (keeper) {
        keeper->cut = ngx_http_eventbridge_api_cut;
        keeper->data = api;
        api->keeper = keeper;
    }
}


/* of the time that the operation may take */

ngx_msec_t
ngx_http_eventbridge_api_left(ngx_http_eventbridge_api_t *api)
{
    ngx_msec_t  elapsed;

    elapsed = ngx_current_msec - api->start;

    return (elapsed < api->org->timeout)
           ? api->org->timeout - elapsed : 1;
}


static void
ngx_http_eventbridge_api_token(void *data)
{
    ngx_http_eventbridge_api_t *api = data;

    if (api->timer.timer_set) {
        ngx_del_timer(&api->timer);
    }

    if (api->bearer.rc == NGX_OK) {
        ngx_http_eventbridge_api_call(api);

    } else {
        ngx_http_eventbridge_api_no_answer(api, "there is no token: ",
                                           &api->bearer.why, 0);
    }
}


static void
ngx_http_eventbridge_api_call(ngx_http_eventbridge_api_t *api)
{
    ngx_msec_t                    wait;
    ngx_eb_genesys_reply_t        reply;
    ngx_http_eventbridge_call_t  *call;

    wait = ngx_http_eventbridge_api_enter(api);

    if (wait) {
        ngx_memzero(&reply, sizeof(ngx_eb_genesys_reply_t));
        ngx_str_set(&reply.error, "too many requests in a row have failed: "
                                  "none is sent for some time");
        reply.unsent = 1;
        reply.held = 1;
        reply.wait = wait;

        ngx_http_eventbridge_api_step(api, &reply);
        return;
    }

    call = ngx_pcalloc(api->pool, sizeof(ngx_http_eventbridge_call_t));
    if (call == NULL) {
        ngx_http_eventbridge_api_finish(api, NGX_ERROR);
        return;
    }

    call->api = api;
    api->call = call;
    api->sent = ngx_current_msec;
    api->authorization.len = sizeof("Bearer ") - 1 + api->bearer.token.len;

    if (ngx_http_eventbridge_call_start(call) != NGX_OK) {
        call->done = 1;
        call->local = 1;
        call->reply.unsent = 1;
        ngx_str_set(&call->reply.error,
                    "no memory or no connection is left in this worker");
        ngx_post_event(&api->wake, &ngx_posted_events);
        return;
    }

    ngx_add_timer(&api->timer, ngx_http_eventbridge_api_left(api));
}


/* the operation is told that there is no answer, and will not be one */

static void
ngx_http_eventbridge_api_no_answer(ngx_http_eventbridge_api_t *api,
    const char *why, ngx_str_t *more, ngx_uint_t timed_out)
{
    u_char                  *p;
    size_t                   len;
    ngx_eb_genesys_reply_t   reply;

    ngx_memzero(&reply, sizeof(ngx_eb_genesys_reply_t));

    len = ngx_strlen(why);

    p = ngx_pnalloc(api->pool, len + (more ? more->len : 0));
    if (p == NULL) {
        ngx_http_eventbridge_api_finish(api, NGX_ERROR);
        return;
    }

    reply.error.data = p;
    p = ngx_cpymem(p, why, len);

    if (more) {
        p = ngx_cpymem(p, more->data, more->len);
    }

    reply.error.len = p - reply.error.data;
    reply.unsent = 1;
    reply.timed_out = timed_out;

    ngx_http_eventbridge_api_step(api, &reply);
}


/* the same, while nothing but time or a token is waited for */

static void
ngx_http_eventbridge_api_cut(ngx_http_eventbridge_carrier_t *carrier)
{
    ngx_http_eventbridge_api_t  *api;

    api = carrier->data;
    api->cut = 1;

    ngx_post_event(&api->wake, &ngx_posted_events);
}


static void
ngx_http_eventbridge_api_wake(ngx_event_t *ev)
{
    ngx_http_eventbridge_api_t *api = ev->data;

    if (api->cut && api->timer.timer_set
        && (api->call == NULL || api->call->seen))
    {
        ngx_del_timer(&api->timer);
        ngx_http_eventbridge_token_leave(&api->bearer);
        ngx_http_eventbridge_api_no_answer(api, "the server is shutting down",
                                           NULL, 0);
        return;
    }

    if (api->call == NULL) {
        ngx_http_eventbridge_api_step(api, NULL);
        return;
    }

    if (api->call->done && !api->call->seen) {
        api->call->seen = 1;
        ngx_http_eventbridge_api_ended(api);
    }
}


/* a delay is over, or the time to wait for a token or an answer */

static void
ngx_http_eventbridge_api_timer(ngx_event_t *ev)
{
    ngx_http_eventbridge_api_t *api = ev->data;

    ngx_http_eventbridge_call_t  *call;

    if (api->bearer.waiting) {
        ngx_http_eventbridge_token_leave(&api->bearer);
        ngx_http_eventbridge_token_why(api->org, &api->bearer);

        if (api->bearer.why.len) {
            ngx_http_eventbridge_api_no_answer(api, "no token came in "
                                               "time: ",
                                               &api->bearer.why, 1);

        } else {
            ngx_http_eventbridge_api_no_answer(api, "no token came in "
                                               "time", NULL, 1);
        }

        return;
    }

    call = api->call;

    if (call && !call->seen) {

        if (!call->done) {
            call->done = 1;
            call->reply.status = 0;
            call->reply.timed_out = 1;
            ngx_str_set(&call->reply.error, "the operation took too long");
        }

        call->seen = 1;
        ngx_http_eventbridge_api_ended(api);
        return;
    }

    ngx_http_eventbridge_api_send(api);
}


/* an attempt has ended: again, or is that it? */

static void
ngx_http_eventbridge_api_ended(ngx_http_eventbridge_api_t *api)
{
    ngx_eb_stats_cell_t          *cells;
    ngx_eb_genesys_reply_t        reply;
    ngx_eb_genesys_moment_t       moment;
    ngx_eb_genesys_decision_t     decision;
    ngx_http_eventbridge_call_t  *call;

    call = api->call;

    if (api->timer.timer_set) {
        ngx_del_timer(&api->timer);
    }

    ngx_http_eventbridge_call_free(call);

    reply = call->reply;

    ngx_http_eventbridge_api_leave(api, (api->cut || call->local) ? NULL
                                                                  : &reply);

    if (api->cut) {
        ngx_http_eventbridge_api_step(api, &reply);
        return;
    }

    cells = ngx_http_eventbridge_api_count(api, reply.status);

    moment.msec = ngx_current_msec;
    moment.sec = ngx_time();
    moment.random = (ngx_uint_t) ngx_random();

    ngx_eb_genesys_retry(&api->policy, &api->retry, &api->request, &reply,
                         &moment, &decision);

    switch (decision.what) {

    case NGX_EB_GENESYS_RETRY_REFRESH:
        ngx_http_eventbridge_token_refused(api->org,
                                           api->bearer.number);
        ngx_http_eventbridge_api_send(api);
        return;

    case NGX_EB_GENESYS_RETRY_AGAIN:
        ngx_eb_stats_add(cells, NGX_EB_STATS_C_RETRIES, 1);

        ngx_log_error(NGX_LOG_NOTICE, api->log, 0,
                      "eventbridge: %V %V of organisation \"%V\" is sent "
                      "again in %Mms, after status %ui %V",
                      &api->request.method, &api->request.uri,
                      &api->org->name, decision.wait,
                      reply.status,
                      &reply.error);

        ngx_http_eventbridge_api_wait(api, ngx_max(decision.wait, 1));
        return;

    case NGX_EB_GENESYS_RETRY_GIVE_UP:
        ngx_log_error(NGX_LOG_NOTICE, api->log, 0,
                      "eventbridge: %V %V of organisation \"%V\" is given up "
                      "after status %ui %V: %s",
                      &api->request.method, &api->request.uri,
                      &api->org->name, reply.status, &reply.error,
                      ngx_http_eventbridge_api_reasons[decision.reason]);
        /* fall through */

    default:
        reply.wait = decision.wait;
        reply.late = (decision.reason == NGX_EB_GENESYS_GIVE_UP_DEADLINE
                      || decision.wait > api->policy.cap
                      || decision.wait
                         >= ngx_http_eventbridge_api_left(api));

        ngx_http_eventbridge_api_step(api, &reply);
    }
}


/* 0, or the time for which the circuit breaker lets no request through */

static ngx_msec_t
ngx_http_eventbridge_api_enter(ngx_http_eventbridge_api_t *api)
{
    ngx_int_t                        rc;
    ngx_msec_t                       wait;
    ngx_http_eventbridge_org_t      *org;
    ngx_eb_genesys_breaker_policy_t  policy;

    org = api->org;
    ngx_http_eventbridge_api_breaker(api, &policy);

    ngx_shmtx_lock(&org->shpool->mutex);
    rc = ngx_eb_genesys_breaker_enter(&policy, &org->token->breaker,
                                      ngx_current_msec, &api->era, &wait);
    ngx_shmtx_unlock(&org->shpool->mutex);

    if (rc == NGX_OK) {
        api->entered = 1;
        return 0;
    }

    return wait;
}


static void
ngx_http_eventbridge_api_leave(ngx_http_eventbridge_api_t *api,
    ngx_eb_genesys_reply_t *reply)
{
    ngx_uint_t                       before, after;
    ngx_http_eventbridge_org_t      *org;
    ngx_eb_genesys_breaker_policy_t  policy;

    if (!api->entered) {
        return;
    }

    api->entered = 0;
    org = api->org;
    ngx_http_eventbridge_api_breaker(api, &policy);

    ngx_shmtx_lock(&org->shpool->mutex);
    before = org->token->breaker.state;
    ngx_eb_genesys_breaker_leave(&policy, &org->token->breaker,
                                 ngx_current_msec, api->era, reply);
    after = org->token->breaker.state;
    ngx_shmtx_unlock(&org->shpool->mutex);

    if (reply && before == NGX_EB_GENESYS_BREAKER_CLOSED
        && after == NGX_EB_GENESYS_BREAKER_OPEN)
    {
        ngx_log_error(NGX_LOG_WARN, api->log, 0,
                      "eventbridge: %ui requests in a row to the API of "
                      "organisation \"%V\" have failed, none is sent for "
                      "%Mms; the last: status %ui %V",
                      policy.failures, &org->name, policy.open, reply->status,
                      &reply->error);

    } else if (before != NGX_EB_GENESYS_BREAKER_CLOSED
               && after == NGX_EB_GENESYS_BREAKER_CLOSED)
    {
        ngx_log_error(NGX_LOG_NOTICE, api->log, 0,
                      "eventbridge: the API of organisation \"%V\" answers "
                      "again", &org->name);
    }
}


static void
ngx_http_eventbridge_api_breaker(ngx_http_eventbridge_api_t *api,
    ngx_eb_genesys_breaker_policy_t *policy)
{
    policy->failures = api->org->breaker_failures;
    policy->open = api->org->breaker_open;
    policy->trial = api->org->timeout;
}


/* calls are few: their series is looked up for each */

static ngx_eb_stats_cell_t *
ngx_http_eventbridge_api_count(ngx_http_eventbridge_api_t *api,
    ngx_uint_t status)
{
    u_char                buf[512];
    ngx_str_t             labels;
    ngx_uint_t            cell;
    ngx_eb_out_t          out;
    ngx_eb_stats_cell_t  *cells;

    ngx_eb_out_init(&out, buf, sizeof(buf));

    ngx_eb_out_lit(&out, "organisation=");
    ngx_eb_out_label(&out, &api->org->name, 64);
    ngx_eb_out_lit(&out, ",operation=");
    ngx_eb_out_label(&out, &api->request.operation, 64);

    labels.data = buf;
    labels.len = out.pos - buf;

    cells = ngx_eb_stats_series(api->stats, NGX_EB_STATS_CALL, &labels);

    cell = (status == 0) ? NGX_EB_STATS_C_NO_STATUS
         : (status == NGX_HTTP_TOO_MANY_REQUESTS) ? NGX_EB_STATS_C_429
         : (status / 100 == 2) ? NGX_EB_STATS_C_2XX
         : (status / 100 == 4) ? NGX_EB_STATS_C_4XX
         : NGX_EB_STATS_C_5XX;

    ngx_eb_stats_add(cells, cell, 1);
    ngx_eb_stats_observe_call(cells, ngx_current_msec - api->sent);

    return cells;
}


static void
ngx_http_eventbridge_api_finish(ngx_http_eventbridge_api_t *api, ngx_int_t rc)
{
    api->done(api, api->data, rc);

    ngx_http_eventbridge_api_destroy(api);
}
