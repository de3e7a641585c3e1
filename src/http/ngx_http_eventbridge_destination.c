
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What deliveries make of the state of a destination, and the state of their
 * outcome: events for one that is down are answered at once, or go to its
 * alternate.
 *
 * Marks: what the alternate takes is marked for the destination that the route
 * names, so that it is a duplicate when that is up again, and for the
 * alternate itself, so that it does not get it twice when the event has
 * another reason to go there.
 */


#include "ngx_http_eventbridge_destination.h"


/* of a line in the audit log */
#define NGX_HTTP_EVENTBRIDGE_DEST_LINE  4096

/* what is remembered of an answer is one more: 0 is that nobody has asked */
#define NGX_HTTP_EVENTBRIDGE_ASKED(verdict)  ((uint8_t) ((verdict) + 1))


static ngx_eb_health_verdict_e ngx_http_eventbridge_destination_admit(
    ngx_http_eventbridge_health_t *health, ngx_uint_t take);
static ngx_uint_t ngx_http_eventbridge_destination_counted(
    ngx_http_eventbridge_send_t *send);
static uint64_t ngx_http_eventbridge_destination_began(
    ngx_http_eventbridge_send_t *send);
static void ngx_http_eventbridge_destination_log(
    ngx_http_eventbridge_health_t *health, ngx_uint_t up, ngx_str_t *why);
static void ngx_http_eventbridge_destination_audit(
    ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_health_t *health, ngx_uint_t up, int64_t lasted,
    ngx_str_t *why);
static ngx_uint_t ngx_http_eventbridge_destination_logs(
    ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_health_t *health, ngx_uint_t i);


ngx_int_t
ngx_http_eventbridge_destination_prepare(ngx_http_eventbridge_job_t *job)
{
    ngx_uint_t           i;
    ngx_eb_route_hit_t  *hits;

    if (job->emcf->healths == NULL) {
        return NGX_OK;
    }

    job->verdicts = ngx_pcalloc(job->pool, 2 * job->ingest->ndestinations + 1);
    if (job->verdicts == NULL) {
        return NGX_ERROR;
    }

    job->failures = job->verdicts + job->ingest->ndestinations;

    /* rule 15: a replay goes where it was to go, and nowhere else */

    if (!job->ingest->alternates || job->replay) {
        return NGX_OK;
    }

    job->hit_to = ngx_palloc(job->pool, (job->hits.nelts + 1)
                                        * sizeof(uint16_t));
    if (job->hit_to == NULL) {
        return NGX_ERROR;
    }

    hits = job->hits.elts;

    for (i = 0; i < job->hits.nelts; i++) {
        job->hit_to[i] = hits[i].destination;
    }

    return NGX_OK;
}


void
ngx_http_eventbridge_destination_forget(ngx_http_eventbridge_job_t *job)
{
    ngx_uint_t  d;

    if (job->verdicts == NULL) {
        return;
    }

    /* a trial that is ours stays so */

    for (d = 0; d < job->ingest->ndestinations; d++) {
        if (job->verdicts[d]
            != NGX_HTTP_EVENTBRIDGE_ASKED(NGX_EB_HEALTH_TRIAL))
        {
            job->verdicts[d] = 0;
        }
    }
}


ngx_uint_t
ngx_http_eventbridge_destination_asked(ngx_http_eventbridge_job_t *job,
    ngx_uint_t d, ngx_uint_t take)
{
    uint8_t                         asked;
    ngx_http_eventbridge_health_t  *health;

    health = job->ingest->destinations[d].health;

    if (health == NULL) {
        return 0;
    }

    asked = job->verdicts[d];

    if (asked == 0) {
        asked = NGX_HTTP_EVENTBRIDGE_ASKED(
                          ngx_http_eventbridge_destination_admit(health, take));

        if (take) {
            job->verdicts[d] = asked;
        }
    }

    return asked == NGX_HTTP_EVENTBRIDGE_ASKED(NGX_EB_HEALTH_REFUSE);
}


static ngx_eb_health_verdict_e
ngx_http_eventbridge_destination_admit(ngx_http_eventbridge_health_t *health,
    ngx_uint_t take)
{
    ngx_eb_health_verdict_e  verdict;

    /* as it mostly is, which is no reason to wait for anybody */

    if (health->sh->health.state == NGX_EB_HEALTH_UP) {
        return NGX_EB_HEALTH_PASS;
    }

    ngx_shmtx_lock(&health->shpool->mutex);

    verdict = ngx_eb_health_admit(&health->sh->health, &health->conf,
                                  ngx_http_eventbridge_destination_now(),
                                  take);

    ngx_shmtx_unlock(&health->shpool->mutex);

    return verdict;
}


ngx_uint_t
ngx_http_eventbridge_destination_choose(ngx_http_eventbridge_job_t *job,
    ngx_uint_t i, ngx_uint_t take)
{
    ngx_int_t            alternate;
    ngx_eb_route_hit_t  *hit;

    hit = (ngx_eb_route_hit_t *) job->hits.elts + i;

    if (!ngx_http_eventbridge_destination_asked(job, hit->destination, take)
        || job->hit_to == NULL)
    {
        return hit->destination;
    }

    alternate = job->ingest->routes[hit->route].alternate;

    if (alternate < 0
        || ngx_http_eventbridge_destination_asked(job, alternate, take))
    {
        return hit->destination;
    }

    return alternate;
}


ngx_uint_t
ngx_http_eventbridge_destination_refuse(ngx_http_eventbridge_send_t *send)
{
    uint64_t                         now;
    ngx_uint_t                       d, state;
    ngx_http_eventbridge_job_t      *job;
    ngx_http_eventbridge_health_t   *health;

    job = send->job;
    health = send->destination->health;

    if (health == NULL) {
        return 0;
    }

    d = send->destination - job->ingest->destinations;
    state = health->sh->health.state;

    if (state == NGX_EB_HEALTH_UP
        || (state == NGX_EB_HEALTH_HALF_OPEN
            && job->verdicts[d]
               == NGX_HTTP_EVENTBRIDGE_ASKED(NGX_EB_HEALTH_TRIAL)))
    {
        return 0;
    }

    /* what is said of it is of one moment */

    job->verdicts[d] = NGX_HTTP_EVENTBRIDGE_ASKED(NGX_EB_HEALTH_REFUSE);

    now = ngx_http_eventbridge_destination_now();

    ngx_shmtx_lock(&health->shpool->mutex);

    send->retry_after = ngx_eb_health_retry_after(&health->sh->health,
                                                  &health->conf, now,
                                                  (uint32_t) ngx_random());

    ngx_shmtx_unlock(&health->shpool->mutex);

    send->settled = 1;
    send->done = 1;
    send->local = 1;
    send->refused = 1;

    ngx_eb_stats_add(send->destination->cells, NGX_EB_STATS_D_REFUSED,
                     send->nevents);

    ngx_post_event(&job->wake, &ngx_posted_events);

    return 1;
}


void
ngx_http_eventbridge_destination_sent(ngx_http_eventbridge_send_t *send)
{
    u_char                          text[NGX_INT_T_LEN + 64];
    ngx_str_t                       why;
    ngx_uint_t                      ok;
    ngx_http_eventbridge_job_t     *job;
    ngx_http_eventbridge_health_t  *health;

    job = send->job;
    health = send->destination->health;

    if (health == NULL) {
        return;
    }

    /* whoever refuses an event is there to take another one */

    ok = send->delivered
         || ngx_http_eventbridge_permanent_status(job->conf, send->status)
         || ngx_http_eventbridge_destination_expects(health, send->status);

    if (ok) {

        /* nothing would change */

        if (health->sh->health.state == NGX_EB_HEALTH_UP
            && health->sh->health.fails == 0)
        {
            return;
        }

        ngx_str_set(&why, "a delivery succeeded");

    } else if (send->overdue
               || ngx_http_eventbridge_destination_counted(send))
    {
        return;

    } else {
        why.data = text;
        why.len = (send->status
                   ? ngx_sprintf(text, "a delivery was answered with %ui",
                                 send->status)
                   : ngx_sprintf(text, "a delivery had no answer"))
                  - text;
    }

    ngx_http_eventbridge_destination_result(job->emcf, health,
                                 ngx_http_eventbridge_destination_began(send),
                                            ok, &why);
}


/*
 * A request fails once, however many deliveries it makes: or else a single one
 * with what the destination cannot bear would take it away from all senders.
 */

static ngx_uint_t
ngx_http_eventbridge_destination_counted(ngx_http_eventbridge_send_t *send)
{
    uint8_t                     *failures;
    ngx_uint_t                   counted;
    ngx_http_eventbridge_job_t  *job;

    job = send->job;

    if (job->failures == NULL) {
        return 0;
    }

    failures = &job->failures[send->destination - job->ingest->destinations];
    counted = *failures;
    *failures = 1;

    /* that of a trial tells more than others */

    return counted
           && send->destination->health->sh->health.state == NGX_EB_HEALTH_UP;
}


static uint64_t
ngx_http_eventbridge_destination_began(ngx_http_eventbridge_send_t *send)
{
    return ngx_http_eventbridge_destination_now()
           - (ngx_msec_t) (ngx_current_msec - send->start);
}


void
ngx_http_eventbridge_destination_overdue(ngx_http_eventbridge_job_t *job)
{
    ngx_str_t                      why;
    ngx_uint_t                     i;
    ngx_http_eventbridge_send_t  **sends;

    ngx_str_set(&why, "a delivery had no answer within "
                      "\"eventbridge_forward_timeout\"");

    sends = job->sends.elts;

    for (i = job->first_send; i < job->next_send; i++) {

        if (sends[i]->settled || sends[i]->overdue
            || sends[i]->destination->health == NULL)
        {
            continue;
        }

        /* one of many that had to wait for its turn has had no time yet */

        if (ngx_current_msec - sends[i]->start < job->conf->forward_timeout / 2)
        {
            continue;
        }

        sends[i]->overdue = 1;

        if (ngx_http_eventbridge_destination_counted(sends[i])) {
            continue;
        }

        ngx_http_eventbridge_destination_result(job->emcf,
                           sends[i]->destination->health,
                           ngx_http_eventbridge_destination_began(sends[i]),
                           0, &why);
    }
}


void
ngx_http_eventbridge_destination_delivered(ngx_http_eventbridge_send_t *send)
{
    ngx_uint_t                           i;
    ngx_eb_route_hit_t                  *hits;
    ngx_http_eventbridge_job_t          *job;
    ngx_http_eventbridge_destination_t  *d;

    job = send->job;

    if (job->hit_to == NULL) {
        return;
    }

    hits = job->hits.elts;

    for (i = 0; i < send->nhits; i++) {
        d = &job->ingest->destinations[hits[send->hits[i]].destination];

        if (d != send->destination) {
            ngx_eb_stats_add(d->cells, NGX_EB_STATS_D_ALTERNATE, 1);
        }
    }
}


uint64_t
ngx_http_eventbridge_destination_bit(ngx_http_eventbridge_job_t *job,
    ngx_uint_t i)
{
    ngx_int_t  bit;

    if (job->hit_to == NULL) {
        return 0;
    }

    bit = job->ingest->destinations[job->hit_to[i]].bit;

    return (bit < 0) ? 0 : (uint64_t) 1 << bit;
}


int64_t
ngx_http_eventbridge_destination_since(ngx_http_eventbridge_destination_t *d)
{
    int64_t  since;

    if (d->health == NULL) {
        return 0;
    }

    ngx_shmtx_lock(&d->health->shpool->mutex);

    since = (d->health->sh->health.state == NGX_EB_HEALTH_UP)
                ? 0 : (int64_t) d->health->sh->since;

    ngx_shmtx_unlock(&d->health->shpool->mutex);

    return since;
}


ngx_uint_t
ngx_http_eventbridge_destination_expects(ngx_http_eventbridge_health_t *health,
    ngx_uint_t status)
{
    ngx_uint_t  i;

    for (i = 0; i < health->nexpect; i++) {
        if (status >= health->expect[i].from && status <= health->expect[i].to)
        {
            return 1;
        }
    }

    return 0;
}


void
ngx_http_eventbridge_destination_result(
    ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_health_t *health, uint64_t began, ngx_uint_t ok,
    ngx_str_t *why)
{
    uint64_t                           now;
    int64_t                            lasted;
    ngx_uint_t                         up;
    ngx_eb_health_change_e             change;
    ngx_http_eventbridge_health_sh_t  *sh;

    sh = health->sh;
    now = ngx_http_eventbridge_destination_now();
    lasted = 0;

    ngx_shmtx_lock(&health->shpool->mutex);

    change = ngx_eb_health_result(&sh->health, &health->conf, began, now,
                                  (uint32_t) ngx_random(), ok);

    if (change != NGX_EB_HEALTH_SAME) {
        lasted = sh->since ? (int64_t) ngx_time() - (int64_t) sh->since : 0;
        sh->since = ngx_time();
        sh->downs += (change == NGX_EB_HEALTH_WENT_DOWN);
    }

    ngx_shmtx_unlock(&health->shpool->mutex);

    if (change == NGX_EB_HEALTH_SAME) {
        return;
    }

    /* one process makes the change, and tells of it */

    up = (change == NGX_EB_HEALTH_WENT_UP);

    ngx_http_eventbridge_destination_log(health, up, why);
    ngx_http_eventbridge_destination_audit(emcf, health, up,
                                           ngx_max(lasted, 0), why);
}


static void
ngx_http_eventbridge_destination_log(ngx_http_eventbridge_health_t *health,
    ngx_uint_t up, ngx_str_t *why)
{
    if (up) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "eventbridge: destination \"%V\" is up: %V",
                      &health->destination, why);
        return;
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "eventbridge: destination \"%V\" is down, its events are "
                  "not sent to it until it is up: %V",
                  &health->destination, why);
}


/* into the audit logs of all locations that send there, once into each */

static void
ngx_http_eventbridge_destination_audit(ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_health_t *health, ngx_uint_t up, int64_t lasted,
    ngx_str_t *why)
{
    u_char                           line[NGX_HTTP_EVENTBRIDGE_DEST_LINE];
    ngx_str_t                        text;
    ngx_uint_t                       i;
    ngx_time_t                      *tp;
    ngx_eb_out_t                     out;
    ngx_http_eventbridge_ingest_t  **ingests;

    tp = ngx_timeofday();

    ngx_eb_out_init(&out, line, sizeof(line));

    ngx_eb_out_lit(&out, "{\"timestamp\":");
    ngx_eb_out_time(&out, (int64_t) tp->sec * 1000 + tp->msec);
    ngx_eb_out_lit(&out, ",\"action\":");

    if (up) {
        ngx_eb_out_lit(&out, "\"destination_up\"");

    } else {
        ngx_eb_out_lit(&out, "\"destination_down\"");
    }

    if (health->server.len) {
        ngx_eb_out_lit(&out, ",\"server\":");
        ngx_eb_out_string(&out, &health->server, 128);
    }

    ngx_eb_out_lit(&out, ",\"destination\":");
    ngx_eb_out_string(&out, &health->destination, 256);
    ngx_eb_out_lit(&out, ",\"reason\":");
    ngx_eb_out_string(&out, why, 128);
    ngx_eb_out_lit(&out, ",\"previousSeconds\":");
    ngx_eb_out_int(&out, lasted);
    ngx_eb_out_lit(&out, "}");

    text.data = line;
    text.len = out.pos - line;

    ingests = emcf->ingests.elts;

    for (i = 0; i < emcf->ingests.nelts; i++) {
        if (ngx_http_eventbridge_destination_logs(emcf, health, i)) {
            ngx_eb_audit_text(ingests[i]->conf->audit, &text);
        }
    }
}


/* does it send there, with a log that no location before it has? */

static ngx_uint_t
ngx_http_eventbridge_destination_logs(ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_health_t *health, ngx_uint_t i)
{
    ngx_uint_t                       j, k;
    ngx_eb_audit_t                  *audit;
    ngx_http_eventbridge_ingest_t  **ingests;

    ingests = emcf->ingests.elts;
    audit = ingests[i]->conf->audit;

    if (audit == NULL) {
        return 0;
    }

    for (j = 0; j <= i; j++) {

        if (ingests[j]->conf->audit != audit) {
            continue;
        }

        for (k = 0; k < ingests[j]->ndestinations; k++) {
            if (ingests[j]->destinations[k].health == health) {
                return j == i;
            }
        }
    }

    return 0;
}
