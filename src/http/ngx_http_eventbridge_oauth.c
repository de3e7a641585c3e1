
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Tokens of Genesys Cloud organisations, by OAuth 2.0 client credentials
 * (RFC 6749, 4.4): one for all workers, renewed by one of them at a time.
 */


#include "ngx_http_eventbridge_genesys.h"
#include "ngx_eb_client.h"
#include "ngx_eb_lease.h"
#include "ngx_eb_genesys_token.h"


/* how often a worker looks whether another one has got the token, ms */
#define NGX_HTTP_EVENTBRIDGE_OAUTH_LOOK      50

/* a token that ends so soon may not reach the API in time, ms */
#define NGX_HTTP_EVENTBRIDGE_OAUTH_EDGE      20

/* after a failure: the first wait, and the longest, ms */
#define NGX_HTTP_EVENTBRIDGE_OAUTH_BASE      250
#define NGX_HTTP_EVENTBRIDGE_OAUTH_CAP       60000

/*
 * Credentials that are refused may be about to change: so often, and so long
 * after one another, they are tried before anybody is told; then seldom.
 */
#define NGX_HTTP_EVENTBRIDGE_OAUTH_TRIES     4
#define NGX_HTTP_EVENTBRIDGE_OAUTH_AGAIN     500
#define NGX_HTTP_EVENTBRIDGE_OAUTH_SELDOM    10000

#define NGX_HTTP_EVENTBRIDGE_OAUTH_ANSWER    (64 * 1024)


/* of one organisation, in one worker */

typedef struct {
    ngx_http_eventbridge_org_t  *org;
    ngx_fd_t                  lock;
    ngx_queue_t               waiters;      /* ngx_http_eventbridge_bearer_t */
    ngx_event_t               timer;
    ngx_connection_t          dummy;        /* what its data must be */
    ngx_eb_client_transfer_t *transfer;     /* while it runs: then the lease
                                               is ours */
    uint64_t                  started;
} ngx_http_eventbridge_oauth_t;


static uint64_t ngx_http_eventbridge_oauth_ms(void);
static void ngx_http_eventbridge_oauth_timer(ngx_event_t *ev);
static void ngx_http_eventbridge_oauth_look(ngx_http_eventbridge_oauth_t *o);
static ngx_int_t ngx_http_eventbridge_oauth_copy(
    ngx_http_eventbridge_oauth_t *o, ngx_http_eventbridge_bearer_t *bearer,
    uint64_t now, uint64_t *due);
static uint64_t ngx_http_eventbridge_oauth_refresh(
    ngx_http_eventbridge_oauth_t *o, uint64_t now);
static ngx_int_t ngx_http_eventbridge_oauth_send(
    ngx_http_eventbridge_oauth_t *o);
static void ngx_http_eventbridge_oauth_reply(void *data,
    ngx_eb_client_reply_t *reply);
static void ngx_http_eventbridge_oauth_failed(ngx_http_eventbridge_oauth_t *o,
    ngx_eb_genesys_verdict_t *verdict, ngx_str_t *retry_after);


/* goes on while the clock is set, the same for all processes */

static uint64_t
ngx_http_eventbridge_oauth_ms(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}


ngx_int_t
ngx_http_eventbridge_oauth_init_process(ngx_cycle_t *cycle,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_uint_t                     i;
    ngx_http_eventbridge_org_t   **orgs;
    ngx_http_eventbridge_oauth_t  *o;

    orgs = emcf->organisations.elts;

    for (i = 0; i < emcf->organisations.nelts; i++) {

        o = ngx_pcalloc(cycle->pool, sizeof(ngx_http_eventbridge_oauth_t));
        if (o == NULL) {
            return NGX_ERROR;
        }

        o->org = orgs[i];
        o->lock = emcf->lock;

        ngx_queue_init(&o->waiters);

        o->dummy.fd = (ngx_socket_t) -1;
        o->dummy.data = o;

        o->timer.handler = ngx_http_eventbridge_oauth_timer;
        o->timer.data = &o->dummy;
        o->timer.log = cycle->log;

        orgs[i]->oauth = o;
    }

    return NGX_OK;
}


void
ngx_http_eventbridge_oauth_exit_process(ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_uint_t                     i;
    ngx_http_eventbridge_org_t   **orgs;
    ngx_http_eventbridge_oauth_t  *o;

    orgs = emcf->organisations.elts;

    for (i = 0; i < emcf->organisations.nelts; i++) {
        o = orgs[i]->oauth;

        if (o && o->transfer) {
            ngx_eb_client_cancel(o->transfer);
            o->transfer = NULL;
        }
    }
}


ngx_int_t
ngx_http_eventbridge_token_get(ngx_http_eventbridge_org_t *org,
    ngx_http_eventbridge_bearer_t *bearer)
{
    uint64_t                       now, due;
    ngx_int_t                      rc;
    ngx_http_eventbridge_oauth_t  *o;

    o = org->oauth;
    now = ngx_http_eventbridge_oauth_ms();

    rc = ngx_http_eventbridge_oauth_copy(o, bearer, now, &due);

    if (rc == NGX_OK && now < due) {
        return NGX_OK;
    }

    if (rc == NGX_DECLINED) {
        return NGX_DECLINED;
    }

    if (rc == NGX_AGAIN) {
        bearer->waiting = 1;
        ngx_queue_insert_tail(&o->waiters, &bearer->queue);
    }

    /* one that ends soon is renewed beside its use */

    due = ngx_http_eventbridge_oauth_refresh(o, now);

    if (rc == NGX_AGAIN && due && !o->timer.timer_set) {
        ngx_add_timer(&o->timer, (ngx_msec_t) due);
    }

    return rc;
}


void
ngx_http_eventbridge_token_leave(ngx_http_eventbridge_bearer_t *bearer)
{
    if (bearer->waiting) {
        bearer->waiting = 0;
        ngx_queue_remove(&bearer->queue);
    }
}


void
ngx_http_eventbridge_token_why(ngx_http_eventbridge_org_t *org,
    ngx_http_eventbridge_bearer_t *bearer)
{
    ngx_http_eventbridge_token_t  *t;

    t = org->token;

    ngx_shmtx_lock(&org->shpool->mutex);

    ngx_memcpy(bearer->token.data, t->why, t->why_len);
    bearer->why.data = bearer->token.data;
    bearer->why.len = t->why_len;

    ngx_shmtx_unlock(&org->shpool->mutex);
}


void
ngx_http_eventbridge_token_refused(ngx_http_eventbridge_org_t *org,
    uint64_t number)
{
    ngx_shmtx_lock(&org->shpool->mutex);

    /* the first to say so; others may have an old one still */

    if (org->token->number == number && org->token->expires) {
        org->token->expires = 0;
        org->token->refresh = 0;
        org->token->refused++;
    }

    ngx_shmtx_unlock(&org->shpool->mutex);
}


/* NGX_AGAIN: there is none, and it is to be waited for */

static ngx_int_t
ngx_http_eventbridge_oauth_copy(ngx_http_eventbridge_oauth_t *o,
    ngx_http_eventbridge_bearer_t *bearer, uint64_t now, uint64_t *due)
{
    ngx_int_t                      rc;
    ngx_http_eventbridge_org_t    *org;
    ngx_http_eventbridge_token_t  *t;

    org = o->org;
    t = org->token;

    ngx_shmtx_lock(&org->shpool->mutex);

    *due = t->refresh;

    if (t->expires > now + NGX_HTTP_EVENTBRIDGE_OAUTH_EDGE) {
        ngx_memcpy(bearer->token.data, t->text, t->len);
        bearer->token.len = t->len;
        bearer->number = t->number;
        rc = NGX_OK;

    } else if (t->terminal && t->failures >= NGX_HTTP_EVENTBRIDGE_OAUTH_TRIES
               && now < t->retry)
    {
        ngx_memcpy(bearer->token.data, t->why, t->why_len);
        bearer->why.data = bearer->token.data;
        bearer->why.len = t->why_len;
        rc = NGX_DECLINED;

    } else {
        rc = NGX_AGAIN;
    }

    ngx_shmtx_unlock(&org->shpool->mutex);

    bearer->rc = rc;

    return rc;
}


static void
ngx_http_eventbridge_oauth_timer(ngx_event_t *ev)
{
    ngx_connection_t *c = ev->data;

    ngx_http_eventbridge_oauth_look(c->data);
}


/* serves who waits, or sees to it that there will be a token */

static void
ngx_http_eventbridge_oauth_look(ngx_http_eventbridge_oauth_t *o)
{
    uint64_t                        now, due, wait;
    ngx_queue_t                    *q, ready;
    ngx_http_eventbridge_bearer_t  *bearer;

    now = ngx_http_eventbridge_oauth_ms();

    /* a handler may queue again, and not be served in the same breath */

    ngx_queue_init(&ready);

    while (!ngx_queue_empty(&o->waiters)) {
        q = ngx_queue_head(&o->waiters);
        bearer = ngx_queue_data(q, ngx_http_eventbridge_bearer_t, queue);

        if (ngx_http_eventbridge_oauth_copy(o, bearer, now, &due) == NGX_AGAIN)
        {
            break;
        }

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&ready, q);
    }

    while (!ngx_queue_empty(&ready)) {
        q = ngx_queue_head(&ready);
        bearer = ngx_queue_data(q, ngx_http_eventbridge_bearer_t, queue);

        ngx_queue_remove(q);
        bearer->waiting = 0;
        bearer->handler(bearer->data);
    }

    if (ngx_queue_empty(&o->waiters)) {
        return;
    }

    wait = ngx_http_eventbridge_oauth_refresh(o, now);

    if (wait && !o->timer.timer_set) {
        ngx_add_timer(&o->timer, (ngx_msec_t) wait);
    }
}


/* when to look again, in ms; 0: our own transfer is under way */

static uint64_t
ngx_http_eventbridge_oauth_refresh(ngx_http_eventbridge_oauth_t *o,
    uint64_t now)
{
    uint64_t                       due, retry;
    ngx_int_t                      rc;
    ngx_str_t                      none;
    ngx_eb_genesys_verdict_t       verdict;
    ngx_http_eventbridge_org_t    *org;
    ngx_http_eventbridge_token_t  *t;

    org = o->org;
    t = org->token;

    if (o->transfer) {
        return 0;
    }

    ngx_shmtx_lock(&org->shpool->mutex);
    retry = t->retry;
    ngx_shmtx_unlock(&org->shpool->mutex);

    if (now < retry) {
        return ngx_min(retry - now, NGX_HTTP_EVENTBRIDGE_OAUTH_LOOK);
    }

    if (ngx_exiting && ngx_queue_empty(&o->waiters)) {
        return 1;
    }

    if (ngx_eb_lease_try(o->lock, &org->lease) != NGX_OK) {

        /* another worker is at it; when it dies its lease ends */

        return NGX_HTTP_EVENTBRIDGE_OAUTH_LOOK;
    }

    /* it may just have done it */

    ngx_shmtx_lock(&org->shpool->mutex);
    due = ngx_min(t->refresh, t->expires);
    retry = t->retry;
    ngx_shmtx_unlock(&org->shpool->mutex);

    if (now < due || now < retry) {
        ngx_eb_lease_release(o->lock, &org->lease);
        return 1;
    }

    rc = ngx_http_eventbridge_oauth_send(o);

    if (rc == NGX_OK) {
        return 0;
    }

    /* those who wait are to hear why */

    ngx_memzero(&verdict, sizeof(ngx_eb_genesys_verdict_t));
    ngx_str_null(&none);

    if (rc == NGX_DECLINED) {
        ngx_str_set(&verdict.words, "the id or the secret of the OAuth client "
                    "cannot be sent");

    } else {
        ngx_str_set(&verdict.words, "the request for it could not be sent");
        verdict.retry = 1;
    }

    ngx_http_eventbridge_oauth_failed(o, &verdict, &none);

    ngx_eb_lease_release(o->lock, &org->lease);

    return NGX_HTTP_EVENTBRIDGE_OAUTH_LOOK;
}


static ngx_int_t
ngx_http_eventbridge_oauth_send(ngx_http_eventbridge_oauth_t *o)
{
    ngx_int_t                       rc;
    ngx_str_t                      *line, lines[3], *authorization;
    ngx_str_t                       body, header;
    ngx_pool_t                     *pool;
    ngx_http_eventbridge_org_t     *org;
    ngx_eb_client_request_t         request;
    ngx_eb_genesys_token_settings_t  settings;

    org = o->org;

    ngx_eb_secrets_refresh(org->secret, ngx_cycle->log);

    pool = ngx_create_pool(1024, ngx_cycle->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(&settings, sizeof(ngx_eb_genesys_token_settings_t));
    settings.client_id = org->client_id;
    settings.client_secret = *ngx_eb_secrets_value(org->secret);
    settings.scope = org->scope;
    settings.body_credentials = org->body_credentials;

    ngx_memzero(&request, sizeof(ngx_eb_client_request_t));
    authorization = NULL;
    ngx_str_null(&header);
    ngx_str_null(&body);

    rc = ngx_eb_genesys_token_request(pool, &settings, &header, &body);

    if (rc == NGX_OK) {
        line = lines;

        ngx_str_set(line, "Content-Type: application/x-www-form-urlencoded");
        line++;
        ngx_str_set(line, "Accept: application/json");
        line++;

        if (header.len) {
            line->len = sizeof("Authorization: ") - 1 + header.len;
            line->data = ngx_pnalloc(pool, line->len);

            if (line->data == NULL) {
                rc = NGX_ERROR;

            } else {
                (void) ngx_sprintf(line->data, "Authorization: %V", &header);
                authorization = line++;
            }
        }

        ngx_str_set(&request.method, "POST");
        request.headers = lines;
        request.nheaders = line - lines;
        request.body = body;
        request.trusted_certificate = org->trusted_certificate;
        request.connect_timeout = org->connect_timeout;
        request.timeout = ngx_min(org->timeout, 10000);
        request.max_body = NGX_HTTP_EVENTBRIDGE_OAUTH_ANSWER;
        request.resolver = org->resolver;
        request.resolver_timeout = org->resolver_timeout;
        request.handler = ngx_http_eventbridge_oauth_reply;
        request.data = o;

        request.url.len = org->login_url.len + sizeof("/oauth/token") - 1;
        request.url.data = ngx_pnalloc(pool, request.url.len);

        if (request.url.data && rc == NGX_OK) {
            (void) ngx_sprintf(request.url.data, "%V/oauth/token",
                               &org->login_url);

            o->started = ngx_http_eventbridge_oauth_ms();
            o->transfer = ngx_eb_client_send(&request);
        }
    }

    /* the client has copies, which it wipes */

    if (authorization) {
        ngx_explicit_memzero(authorization->data, authorization->len);
    }

    if (header.data) {
        ngx_explicit_memzero(header.data, header.len);
    }

    if (body.data) {
        ngx_explicit_memzero(body.data, body.len);
    }

    ngx_destroy_pool(pool);

    if (rc == NGX_DECLINED) {
        return NGX_DECLINED;
    }

    return o->transfer ? NGX_OK : NGX_ERROR;
}


static void
ngx_http_eventbridge_oauth_reply(void *data, ngx_eb_client_reply_t *answer)
{
    ngx_http_eventbridge_oauth_t *o = data;

    ngx_int_t                        rc;
    ngx_pool_t                      *pool;
    ngx_eb_genesys_reply_t           reply;
    ngx_eb_genesys_token_t           token;
    ngx_http_eventbridge_org_t      *org;
    ngx_http_eventbridge_token_t    *t;
    ngx_eb_genesys_verdict_t         verdict;
    ngx_eb_genesys_token_times_t     times;

    org = o->org;
    t = org->token;
    o->transfer = NULL;

    ngx_memzero(&reply, sizeof(ngx_eb_genesys_reply_t));
    ngx_memzero(&token, sizeof(ngx_eb_genesys_token_t));
    ngx_memzero(&verdict, sizeof(ngx_eb_genesys_verdict_t));
    verdict.retry = 1;

    reply.status = answer->status;
    reply.error = answer->error;
    reply.body = answer->body;
    reply.retry_after = answer->retry_after;
    reply.correlation_id = answer->correlation_id;
    reply.unsent = answer->unsent;

    rc = NGX_ERROR;
    pool = ngx_create_pool(1024, ngx_cycle->log);

    if (pool) {
        rc = ngx_eb_genesys_token_reply(pool, &reply, &token, &verdict);
    }

    if (rc == NGX_OK
        && token.access_token.len <= NGX_HTTP_EVENTBRIDGE_TOKEN)
    {
        ngx_eb_genesys_token_times(&times, (ngx_msec_t) o->started,
                                   token.expires_in, org->refresh_margin,
                                   (ngx_uint_t) ngx_random());

        ngx_shmtx_lock(&org->shpool->mutex);

        ngx_memcpy(t->text, token.access_token.data, token.access_token.len);
        t->len = token.access_token.len;
        t->number++;
        t->refreshes++;
        t->issued = o->started;
        t->expires = times.expires;
        t->refresh = times.refresh;
        t->failures = 0;
        t->terminal = 0;
        t->retry = 0;
        t->why_len = 0;

        ngx_shmtx_unlock(&org->shpool->mutex);

        ngx_explicit_memzero(token.access_token.data,
                             token.access_token.len);

        ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0,
                      "eventbridge: organisation \"%V\" has a new token for "
                      "%ui seconds", &org->name, token.expires_in);

    } else {
        ngx_http_eventbridge_oauth_failed(o, &verdict, &reply.retry_after);
    }

    ngx_eb_lease_release(o->lock, &org->lease);

    if (pool) {
        ngx_destroy_pool(pool);
    }

    ngx_http_eventbridge_oauth_look(o);
}


static void
ngx_http_eventbridge_oauth_failed(ngx_http_eventbridge_oauth_t *o,
    ngx_eb_genesys_verdict_t *verdict, ngx_str_t *retry_after)
{
    uint64_t                       now, wait, after;
    ngx_uint_t                     failures;
    ngx_eb_genesys_reply_t         reply;
    ngx_eb_genesys_retry_t         state;
    ngx_eb_genesys_moment_t        moment;
    ngx_eb_genesys_decision_t      decision;
    ngx_eb_genesys_retry_policy_t  policy;
    ngx_http_eventbridge_org_t    *org;
    ngx_http_eventbridge_token_t  *t;

    org = o->org;
    t = org->token;
    now = ngx_http_eventbridge_oauth_ms();

    if (verdict->words.len == 0) {
        ngx_str_set(&verdict->words, "out of memory");
    }

    /* a wait of no length without the header is what it says */

    ngx_memzero(&reply, sizeof(ngx_eb_genesys_reply_t));
    ngx_memzero(&state, sizeof(ngx_eb_genesys_retry_t));
    ngx_memzero(&policy, sizeof(ngx_eb_genesys_retry_policy_t));
    ngx_memzero(&moment, sizeof(ngx_eb_genesys_moment_t));
    ngx_memzero(&decision, sizeof(ngx_eb_genesys_decision_t));

    reply.retry_after = *retry_after;
    policy.tries = 2;
    policy.cap = NGX_EB_GENESYS_RETRY_LONG;
    moment.sec = ngx_time();

    ngx_eb_genesys_retry_later(&policy, &state, &reply, &moment, &decision);

    after = decision.wait;

    ngx_shmtx_lock(&org->shpool->mutex);

    failures = ++t->failures;

    if (!verdict->retry) {
        wait = (failures < NGX_HTTP_EVENTBRIDGE_OAUTH_TRIES)
               ? NGX_HTTP_EVENTBRIDGE_OAUTH_AGAIN
               : NGX_HTTP_EVENTBRIDGE_OAUTH_SELDOM;

    } else if (after) {
        wait = ngx_min(after, org->retry_cap);

    } else {
        wait = (uint64_t) NGX_HTTP_EVENTBRIDGE_OAUTH_BASE
               << ngx_min(failures - 1, 8);
        wait = ngx_min(wait, NGX_HTTP_EVENTBRIDGE_OAUTH_CAP);
        wait = wait / 2 + (uint64_t) ngx_random() % (wait / 2 + 1);
    }

    t->retry = now + wait;
    t->terminal = !verdict->retry;
    t->why_len = ngx_min(verdict->words.len, NGX_HTTP_EVENTBRIDGE_TOKEN_WHY);
    ngx_memcpy(t->why, verdict->words.data, t->why_len);

    ngx_shmtx_unlock(&org->shpool->mutex);

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "eventbridge: organisation \"%V\" got no token, attempt "
                  "%ui: %V; the next one in %uLms", &org->name, failures,
                  &verdict->words, wait);
}
