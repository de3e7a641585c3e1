
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The states of a destination, and the schedule of its probes.
 */


#include "ngx_eb_health.h"


/* of an interval */
#define NGX_EB_HEALTH_JITTER  100

/* the golden ratio: multiples of it, without their whole part, are spread
   evenly whatever their number */
#define NGX_EB_HEALTH_GOLDEN  2654435769u


static uint64_t ngx_eb_health_jitter(uint64_t interval, uint32_t random);


void
ngx_eb_health_schedule(ngx_eb_health_t *health,
    const ngx_eb_health_conf_t *conf, ngx_uint_t n, uint64_t now)
{
    uint64_t  phase;

    phase = (uint32_t) (n * NGX_EB_HEALTH_GOLDEN);

    health->slot = now + 1 + ((phase * conf->interval) >> 32);
    health->next = health->slot;
}


ngx_uint_t
ngx_eb_health_due(ngx_eb_health_t *health, const ngx_eb_health_conf_t *conf,
    uint64_t now, uint32_t random)
{
    uint64_t    late;
    ngx_uint_t  due;

    if (now < health->next) {

        /* of another clock, or of another configuration */

        if (health->next - now > 2 * conf->interval) {
            ngx_eb_health_schedule(health, conf, random & 0xff, now);
        }

        return 0;
    }

    late = (now > health->slot) ? now - health->slot : 0;
    due = (late <= conf->interval / 2);

    health->slot += (late / conf->interval + 1) * conf->interval;
    health->next = health->slot - conf->interval / NGX_EB_HEALTH_JITTER
                   + ngx_eb_health_jitter(conf->interval, random);

    return due;
}


/* from 0 to twice of what is asked for, both included */

static uint64_t
ngx_eb_health_jitter(uint64_t interval, uint32_t random)
{
    return random % (2 * (interval / NGX_EB_HEALTH_JITTER) + 1);
}


ngx_eb_health_verdict_e
ngx_eb_health_admit(ngx_eb_health_t *health, const ngx_eb_health_conf_t *conf,
    uint64_t now, ngx_uint_t take)
{
    if (health->state == NGX_EB_HEALTH_UP) {
        return NGX_EB_HEALTH_PASS;
    }

    if (conf->probed || now < health->next) {
        return NGX_EB_HEALTH_REFUSE;
    }

    if (take) {

        /* whoever has it may die: after an interval another one may try */

        health->state = NGX_EB_HEALTH_HALF_OPEN;
        health->next = now + conf->interval;
    }

    return NGX_EB_HEALTH_TRIAL;
}


ngx_eb_health_change_e
ngx_eb_health_result(ngx_eb_health_t *health, const ngx_eb_health_conf_t *conf,
    uint64_t began, uint64_t now, uint32_t random, ngx_uint_t ok)
{
    ngx_eb_health_change_e  change;

    if (ok) {
        health->fails = 0;

        if (health->state == NGX_EB_HEALTH_UP) {
            return NGX_EB_HEALTH_SAME;
        }

        if (++health->passes < conf->rise) {

            if (!conf->probed) {

                /* the next one need not wait */

                health->state = NGX_EB_HEALTH_HALF_OPEN;
                health->next = now;
            }

            return NGX_EB_HEALTH_SAME;
        }

        health->passes = 0;
        health->state = NGX_EB_HEALTH_UP;
        health->changed = now;

        return NGX_EB_HEALTH_WENT_UP;
    }

    /* what hung since then says nothing against a trial, either */

    if (began < health->changed) {
        return NGX_EB_HEALTH_SAME;
    }

    change = NGX_EB_HEALTH_SAME;

    switch (health->state) {

    case NGX_EB_HEALTH_UP:

        if (++health->fails < conf->fall) {
            return NGX_EB_HEALTH_SAME;
        }

        health->fails = 0;
        health->changed = now;
        change = NGX_EB_HEALTH_WENT_DOWN;
        break;

    case NGX_EB_HEALTH_DOWN:

        health->passes = 0;
        return NGX_EB_HEALTH_SAME;

    default: /* NGX_EB_HEALTH_HALF_OPEN */
        break;
    }

    health->passes = 0;
    health->state = NGX_EB_HEALTH_DOWN;

    if (!conf->probed) {
        health->next = now + conf->interval
                       + ngx_eb_health_jitter(conf->interval, random);
    }

    return change;
}


ngx_uint_t
ngx_eb_health_retry_after(const ngx_eb_health_t *health,
    const ngx_eb_health_conf_t *conf, uint64_t now, uint32_t random)
{
    uint64_t    wait;
    ngx_uint_t  left;

    wait = (health->next > now) ? health->next - now : 0;

    if (conf->probed && health->state != NGX_EB_HEALTH_UP) {

        /* the others that it takes; one may be under way */

        left = conf->rise - ngx_min(conf->rise, health->passes + 1);
        wait += left * conf->interval;
    }

    /* a quarter of it, and a second, are for chance */

    return (ngx_uint_t) ((wait + 1000 + random % (wait / 4 + 1000)) / 1000);
}


ngx_uint_t
ngx_eb_health_certificate(ngx_eb_health_t *health, ngx_int_t days)
{
    ngx_uint_t  i, level;

    static const ngx_int_t  levels[] = { 1, 3, 7, 14, 30 };

    for (i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {

        if (days > levels[i]) {
            continue;
        }

        level = (ngx_uint_t) levels[i];

        if (health->warned && health->warned <= level) {
            return 0;
        }

        health->warned = level;

        return level;
    }

    health->warned = 0;

    return 0;
}


const char *
ngx_eb_health_name(ngx_uint_t state)
{
    return (state == NGX_EB_HEALTH_UP) ? "up"
           : (state == NGX_EB_HEALTH_DOWN) ? "down" : "half_open";
}
