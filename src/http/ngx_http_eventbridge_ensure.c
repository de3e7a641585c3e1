
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Declared subscriptions are made to exist, and to be as they are declared: at
 * the start and at every check, by one worker at a time.
 */


#include "ngx_http_eventbridge_genesys.h"
#include "ngx_eb_lease.h"


/* how often a worker looks whether it is its turn, ms */
#define NGX_HTTP_EVENTBRIDGE_ENSURE_LOOK  1000

/* after a failure: the first wait, ms; no wait is longer than a check */
#define NGX_HTTP_EVENTBRIDGE_ENSURE_BASE  1000


/* of one subscription, in one worker */

typedef struct {
    ngx_http_eventbridge_subscription_t  *sub;
    ngx_http_eventbridge_main_conf_t     *emcf;
    ngx_event_t               timer;
    ngx_connection_t          dummy;        /* what its data must be */
    ngx_http_eventbridge_api_t  *api;       /* while it is looked after: then
                                               the lease is ours */
    ngx_str_t                 id;           /* what it was last */
    u_char                    text[NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_ID];
} ngx_http_eventbridge_ensure_t;


static uint64_t ngx_http_eventbridge_ensure_ms(void);
static void ngx_http_eventbridge_ensure_timer(ngx_event_t *ev);
static ngx_uint_t ngx_http_eventbridge_ensure_due(
    ngx_http_eventbridge_subscription_t *sub);
static void ngx_http_eventbridge_ensure_start(
    ngx_http_eventbridge_ensure_t *e);
static void ngx_http_eventbridge_ensure_done(ngx_http_eventbridge_api_t *api,
    void *data, ngx_int_t rc);
static void ngx_http_eventbridge_ensure_audit(ngx_http_eventbridge_ensure_t *e,
    ngx_http_eventbridge_api_t *api, ngx_int_t rc);
static ngx_uint_t ngx_http_eventbridge_ensure_failed(
    ngx_http_eventbridge_ensure_t *e, ngx_eb_genesys_answer_t *answer);


/* the same for all processes, and never set */

static uint64_t
ngx_http_eventbridge_ensure_ms(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}


ngx_int_t
ngx_http_eventbridge_ensure_init_process(ngx_cycle_t *cycle,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_uint_t                             i;
    ngx_http_eventbridge_ensure_t         *e;
    ngx_http_eventbridge_subscription_t  **subs;

    subs = emcf->subscriptions.elts;

    for (i = 0; i < emcf->subscriptions.nelts; i++) {

        e = ngx_pcalloc(cycle->pool, sizeof(ngx_http_eventbridge_ensure_t));
        if (e == NULL) {
            return NGX_ERROR;
        }

        e->sub = subs[i];
        e->emcf = emcf;

        e->dummy.fd = (ngx_socket_t) -1;
        e->dummy.data = e;

        e->timer.handler = ngx_http_eventbridge_ensure_timer;
        e->timer.data = &e->dummy;
        e->timer.log = cycle->log;
        e->timer.cancelable = 1;

        subs[i]->ensure = e;

        /* not all workers at once */
        ngx_add_timer(&e->timer, 1 + ngx_random() % 100);
    }

    return NGX_OK;
}


void
ngx_http_eventbridge_ensure_exit_process(
    ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_uint_t                             i;
    ngx_http_eventbridge_ensure_t         *e;
    ngx_http_eventbridge_subscription_t  **subs;

    subs = emcf->subscriptions.elts;

    for (i = 0; i < emcf->subscriptions.nelts; i++) {
        e = subs[i]->ensure;

        if (e && e->api) {
            ngx_http_eventbridge_api_destroy(e->api);
            e->api = NULL;
        }
    }
}


static void
ngx_http_eventbridge_ensure_timer(ngx_event_t *ev)
{
    ngx_connection_t *c = ev->data;

    ngx_http_eventbridge_ensure_t        *e;
    ngx_http_eventbridge_subscription_t  *sub;

    if (ngx_exiting) {
        return;
    }

    e = c->data;
    sub = e->sub;

    ngx_add_timer(ev, NGX_HTTP_EVENTBRIDGE_ENSURE_LOOK);

    if (e->api) {
        return;
    }

    if (!ngx_http_eventbridge_ensure_due(sub)
        || ngx_eb_lease_try(e->emcf->lock, &sub->lease) != NGX_OK)
    {
        return;
    }

    /* another worker may just have done it */

    if (!ngx_http_eventbridge_ensure_due(sub)) {
        ngx_eb_lease_release(e->emcf->lock, &sub->lease);
        return;
    }

    ngx_http_eventbridge_ensure_start(e);
}


/*
 * A cycle begins with a look of its own, and when a later one has had it, the
 * old one has nothing to say any more.
 */

static ngx_uint_t
ngx_http_eventbridge_ensure_due(ngx_http_eventbridge_subscription_t *sub)
{
    uint64_t  epoch, next;

    ngx_shmtx_lock(&sub->shpool->mutex);
    epoch = sub->state->epoch;
    next = sub->state->next;
    ngx_shmtx_unlock(&sub->shpool->mutex);

    if (epoch != sub->epoch) {
        return epoch < sub->epoch;
    }

    return ngx_http_eventbridge_ensure_ms() >= next;
}


static void
ngx_http_eventbridge_ensure_start(ngx_http_eventbridge_ensure_t *e)
{
    ngx_eb_genesys_op_t                  *op;
    ngx_http_eventbridge_api_t           *api;
    ngx_http_eventbridge_subscription_t  *sub;

    sub = e->sub;

    api = ngx_http_eventbridge_api_job(sub->org, e->emcf);

    if (api == NULL) {
        ngx_eb_lease_release(e->emcf->lock, &sub->lease);
        return;
    }

    ngx_shmtx_lock(&sub->shpool->mutex);

    e->id.data = e->text;
    e->id.len = sub->state->id_len;
    ngx_memcpy(e->text, sub->state->id, e->id.len);

    ngx_shmtx_unlock(&sub->shpool->mutex);

    op = ngx_http_eventbridge_api_op(api);

    /* what it would say at each check is said once, by us */
    op->log = NULL;

    if (ngx_eb_genesys_subscription_init(op, &sub->org->subscriptions,
                                         NGX_EB_GENESYS_SUB_ENSURE,
                                         e->id.len ? &e->id : NULL,
                                         &sub->settings)
        != NGX_OK)
    {
        ngx_http_eventbridge_api_destroy(api);
        ngx_eb_lease_release(e->emcf->lock, &sub->lease);
        return;
    }

    e->api = api;

    ngx_http_eventbridge_api_run(api, ngx_http_eventbridge_ensure_done, e);
}


static void
ngx_http_eventbridge_ensure_done(ngx_http_eventbridge_api_t *api, void *data,
    ngx_int_t rc)
{
    ngx_http_eventbridge_ensure_t *e = data;

    uint64_t                                 now;
    ngx_uint_t                               fresh;
    ngx_eb_genesys_op_t                     *op;
    ngx_eb_genesys_subscription_t           *found;
    ngx_http_eventbridge_subscription_t     *sub;
    ngx_http_eventbridge_subscription_sh_t  *state;

    sub = e->sub;
    state = sub->state;
    op = ngx_http_eventbridge_api_op(api);
    e->api = NULL;

    if (rc != NGX_OK || op->answer.status >= NGX_HTTP_SPECIAL_RESPONSE) {

        if (ngx_http_eventbridge_ensure_failed(e, &op->answer)) {
            ngx_http_eventbridge_ensure_audit(e, api, rc);
        }

        ngx_eb_lease_release(e->emcf->lock, &sub->lease);
        return;
    }

    found = ngx_eb_genesys_subscription(op);
    now = ngx_http_eventbridge_ensure_ms();

    ngx_shmtx_lock(&sub->shpool->mutex);

    state->id_len = ngx_min(found->id.len,
                            NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_ID);
    ngx_memcpy(state->id, found->id.data, state->id_len);

    state->status_len = ngx_min(found->status.len,
                                NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_STATUS);
    ngx_memcpy(state->status, found->status.data, state->status_len);

    fresh = !state->exists || state->failures;

    state->exists = 1;
    state->active = found->active;
    state->created += found->created;
    state->drifted += found->drift;
    state->failures = 0;
    state->why_len = 0;
    state->checked = ngx_time();
    state->epoch = sub->epoch;

    /* a tenth of it at random, so that many do not check at once */

    state->next = now + sub->check - sub->check / 20
                  + (uint64_t) ngx_random() % (sub->check / 10 + 1);

    ngx_shmtx_unlock(&sub->shpool->mutex);

    ngx_eb_lease_release(e->emcf->lock, &sub->lease);

    if (found->created || found->drift) {
        ngx_http_eventbridge_ensure_audit(e, api, rc);
    }

    if (found->created) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "eventbridge: subscription \"%V\" was created, its id "
                      "is \"%V\"", &sub->settings.name, &found->id);

    } else if (found->drift) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "eventbridge: subscription \"%V\" was different (%V) "
                      "and was changed back", &sub->settings.name,
                      &found->differs);

    } else if (fresh) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "eventbridge: subscription \"%V\" exists, its id is "
                      "\"%V\"", &sub->settings.name, &found->id);
    }
}


/* checks that found all as it should be are not told of */

static void
ngx_http_eventbridge_ensure_audit(ngx_http_eventbridge_ensure_t *e,
    ngx_http_eventbridge_api_t *api, ngx_int_t rc)
{
    u_char                                line[1024];
    ngx_str_t                             text;
    ngx_time_t                           *tp;
    ngx_eb_out_t                          out;
    ngx_eb_audit_t                       *audit;
    ngx_eb_genesys_op_t                  *op;
    ngx_http_eventbridge_subscription_t  *sub;

    sub = e->sub;
    audit = sub->conf->audit;

    if (audit == NULL || audit == NGX_CONF_UNSET_PTR) {
        return;
    }

    op = ngx_http_eventbridge_api_op(api);
    tp = ngx_timeofday();

    ngx_eb_out_init(&out, line, sizeof(line));

    ngx_eb_out_lit(&out, "{\"timestamp\":");
    ngx_eb_out_time(&out, (int64_t) tp->sec * 1000 + tp->msec);
    ngx_eb_out_lit(&out, ",\"organisation\":");
    ngx_eb_out_string(&out, &sub->org->name, 64);
    ngx_eb_out_lit(&out, ",\"declared\":");
    ngx_eb_out_string(&out, &sub->settings.name, 64);

    text = op->answer.id.len ? op->answer.id : e->id;

    if (text.len) {
        ngx_eb_out_lit(&out, ",\"id\":");
        ngx_eb_out_string(&out, &text, 64);
    }

    ngx_http_eventbridge_api_audit(api, rc, &out);

    text.data = line;
    text.len = out.pos - line;

    ngx_eb_audit_text(audit, &text);
}


/* whether this is told: until another failure, or the end of them, once */

static ngx_uint_t
ngx_http_eventbridge_ensure_failed(ngx_http_eventbridge_ensure_t *e,
    ngx_eb_genesys_answer_t *answer)
{
    size_t                                   len;
    uint64_t                                 wait;
    ngx_uint_t                               first, what;
    ngx_http_eventbridge_subscription_t     *sub;
    ngx_http_eventbridge_subscription_sh_t  *state;

    sub = e->sub;
    state = sub->state;

    len = ngx_min(answer->body.len, NGX_HTTP_EVENTBRIDGE_SUBSCRIPTION_WHY);

    ngx_shmtx_lock(&sub->shpool->mutex);

    what = answer->status * 1000 + answer->api_status;
    first = (state->failures == 0 || state->answer != what);
    state->answer = what;

    wait = (uint64_t) NGX_HTTP_EVENTBRIDGE_ENSURE_BASE
           << ngx_min(state->failures, 10);
    wait = ngx_min(wait, sub->check);
    wait = wait / 2 + (uint64_t) ngx_random() % (wait / 2 + 1);
    wait = ngx_max(wait, answer->retry_after);

    state->failures++;
    state->failed++;
    state->active = 0;
    state->checked = ngx_time();
    state->epoch = sub->epoch;
    state->next = ngx_http_eventbridge_ensure_ms() + wait;
    state->why_len = len;
    ngx_memcpy(state->why, answer->body.data, len);

    ngx_shmtx_unlock(&sub->shpool->mutex);

    if (first) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "eventbridge: subscription \"%V\" cannot be ensured, "
                      "the next attempt in %uLms: status %ui %*s",
                      &sub->settings.name, wait, answer->status, len,
                      answer->body.data);
    }

    return first;
}


ngx_uint_t
ngx_http_eventbridge_subscription_look(
    ngx_http_eventbridge_subscription_t *sub,
    ngx_http_eventbridge_subscription_sh_t *state)
{
    ngx_shmtx_lock(&sub->shpool->mutex);
    *state = *sub->state;
    ngx_shmtx_unlock(&sub->shpool->mutex);

    return state->exists && state->active;
}
