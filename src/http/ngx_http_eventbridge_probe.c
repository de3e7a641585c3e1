
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * eventbridge_probe: which destinations are watched, and the worker that
 * probes them.  One worker has the lease; the schedule and all that is known
 * lie in shared memory, so that another one goes on where it stopped.
 */


#include "ngx_http_eventbridge_destination.h"
#include "ngx_http_eventbridge_outbox.h"
#include "ngx_eb_url.h"
#include "ngx_eb_lease.h"


#define NGX_HTTP_EVENTBRIDGE_HEALTH_ZONE  (8 * ngx_pagesize)

/* ms: how often a worker looks whether it is its turn; and whoever has it,
   whether it is still to be so */
#define NGX_HTTP_EVENTBRIDGE_PROBE_LOOK   200

/* probes that begin in one turn of the event loop */
#define NGX_HTTP_EVENTBRIDGE_PROBE_START  4


/* of one worker */

typedef struct {
    ngx_http_eventbridge_main_conf_t  *emcf;
    ngx_event_t               timer;
    ngx_connection_t          dummy;        /* what its data must be */
    ngx_uint_t                mine;         /* the lease */
} ngx_http_eventbridge_prober_t;


static ngx_http_eventbridge_health_t *ngx_http_eventbridge_health_add(
    ngx_conf_t *cf, ngx_http_eventbridge_main_conf_t *emcf);
static ngx_http_eventbridge_health_t *ngx_http_eventbridge_health_find(
    ngx_http_eventbridge_main_conf_t *emcf, ngx_http_core_srv_conf_t *cscf,
    ngx_str_t *destination);
static char *ngx_http_eventbridge_probe_parameter(ngx_conf_t *cf,
    ngx_http_eventbridge_health_t *health, ngx_str_t *parameter);
static char *ngx_http_eventbridge_probe_time(ngx_conf_t *cf,
    ngx_str_t *parameter, ngx_str_t *value, uint64_t *msec);
static char *ngx_http_eventbridge_probe_count(ngx_conf_t *cf,
    ngx_str_t *parameter, ngx_str_t *value, ngx_uint_t *count);
static char *ngx_http_eventbridge_probe_expect(ngx_conf_t *cf,
    ngx_str_t *parameter, ngx_str_t *value,
    ngx_http_eventbridge_health_t *health);
static ngx_uint_t ngx_http_eventbridge_probe_alternates(
    ngx_http_eventbridge_ingest_t *ingest, ngx_uint_t d);
static ngx_int_t ngx_http_eventbridge_probe_resolvers(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_health_t *health);
static ngx_int_t ngx_http_eventbridge_health_zone(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_health_t *health);
static ngx_int_t ngx_http_eventbridge_health_zone_init(ngx_shm_zone_t *zone,
    void *data);
static void ngx_http_eventbridge_probe_timer(ngx_event_t *ev);
static ngx_msec_t ngx_http_eventbridge_probe_look(
    ngx_http_eventbridge_prober_t *p);
static void ngx_http_eventbridge_probe_start(
    ngx_http_eventbridge_prober_t *p, ngx_http_eventbridge_health_t *health);
static void ngx_http_eventbridge_probe_done(void *data,
    ngx_eb_probe_result_t *result);
static void ngx_http_eventbridge_probe_stop(
    ngx_http_eventbridge_prober_t *p);


static ngx_str_t  ngx_http_eventbridge_probe_lease =
    ngx_string("eventbridge_probe");


/* eventbridge_probe DESTINATION URL|off [interval=] [timeout=] [rise=] [fall=]
   [expect=] [trusted_certificate=] */

char *
ngx_http_eventbridge_probe(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_eventbridge_main_conf_t *emcf = conf;

    char                           *rv;
    ngx_str_t                      *value;
    ngx_uint_t                      i;
    const char                     *why;
    ngx_eb_url_t                    url;
    ngx_http_core_srv_conf_t       *cscf;
    ngx_http_eventbridge_health_t  *health;

    value = cf->args->elts;

    if (value[1].len == 0
        || (value[1].data[0] != '/' && value[1].data[0] != '@'))
    {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "a destination is expected, the "
                                           "URI of a location");
    }

    cscf = (cf->cmd_type == NGX_HTTP_MAIN_CONF)
           ? NULL : ngx_http_conf_get_module_srv_conf(cf,
                                                      ngx_http_core_module);

    if (ngx_http_eventbridge_health_find(emcf, cscf, &value[1])) {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "the destination is probed "
                                           "already");
    }

    rv = ngx_http_eventbridge_once(cf, 3);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    health = ngx_http_eventbridge_health_add(cf, emcf);
    if (health == NULL) {
        return NGX_CONF_ERROR;
    }

    health->destination = value[1];
    health->cscf = cscf;
    health->file = cf->conf_file->file.name.data;
    health->line = cf->conf_file->line;

    if (ngx_strcmp(value[2].data, "off") != 0) {

        why = ngx_eb_url_parse(&value[2], &url);

        if (why) {
            return ngx_http_eventbridge_refuse(cf, &value[2], why);
        }

        health->url = value[2];
        health->conf.probed = 1;
    }

    for (i = 3; i < cf->args->nelts; i++) {
        rv = ngx_http_eventbridge_probe_parameter(cf, health, &value[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    /* one that is still under way when the next is due would be in its way */

    if (health->conf.timeout == 0) {
        health->conf.timeout = ngx_min(health->conf.interval, 5000);

    } else if (health->conf.timeout > health->conf.interval) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"timeout\" of \"eventbridge_probe %V\" is longer "
                           "than its \"interval\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* with what holds where nothing is said */

static ngx_http_eventbridge_health_t *
ngx_http_eventbridge_health_add(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_http_eventbridge_health_t  *health, **healths;

    if (emcf->healths == NULL) {
        emcf->healths = ngx_array_create(cf->pool, 4, sizeof(void *));
        if (emcf->healths == NULL) {
            return NULL;
        }
    }

    health = ngx_pcalloc(cf->pool, sizeof(ngx_http_eventbridge_health_t));
    healths = ngx_array_push(emcf->healths);

    if (health == NULL || healths == NULL) {
        return NULL;
    }

    *healths = health;

    health->number = emcf->healths->nelts - 1;
    health->conf.interval = 10000;
    health->conf.rise = 2;
    health->conf.fall = 3;
    health->expect[0].from = 200;
    health->expect[0].to = 499;
    health->nexpect = 1;

    return health;
}


static ngx_http_eventbridge_health_t *
ngx_http_eventbridge_health_find(ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_core_srv_conf_t *cscf, ngx_str_t *destination)
{
    ngx_uint_t                       i;
    ngx_http_eventbridge_health_t  **healths;

    if (emcf->healths == NULL) {
        return NULL;
    }

    healths = emcf->healths->elts;

    for (i = 0; i < emcf->healths->nelts; i++) {
        if (healths[i]->cscf == cscf
            && ngx_http_eventbridge_same(&healths[i]->destination,
                                         destination))
        {
            return healths[i];
        }
    }

    return NULL;
}


static char *
ngx_http_eventbridge_probe_parameter(ngx_conf_t *cf,
    ngx_http_eventbridge_health_t *health, ngx_str_t *parameter)
{
    char       *rv;
    ngx_str_t   s;

    if (ngx_http_eventbridge_takes(parameter, "interval=", &s)) {
        return ngx_http_eventbridge_probe_time(cf, parameter, &s,
                                               &health->conf.interval);
    }

    if (ngx_http_eventbridge_takes(parameter, "rise=", &s)) {
        return ngx_http_eventbridge_probe_count(cf, parameter, &s,
                                                &health->conf.rise);
    }

    if (ngx_http_eventbridge_takes(parameter, "fall=", &s)) {
        return ngx_http_eventbridge_probe_count(cf, parameter, &s,
                                                &health->conf.fall);
    }

    if (ngx_http_eventbridge_takes(parameter, "expect=", &s)) {
        return ngx_http_eventbridge_probe_expect(cf, parameter, &s, health);
    }

    /* the others are of probes */

    if (!health->conf.probed) {
        return ngx_http_eventbridge_refuse(cf, parameter, NULL);
    }

    if (ngx_http_eventbridge_takes(parameter, "timeout=", &s)) {
        return ngx_http_eventbridge_probe_time(cf, parameter, &s,
                                               &health->conf.timeout);
    }

    if (ngx_http_eventbridge_takes(parameter, "trusted_certificate=", &s)) {

        rv = ngx_http_eventbridge_parameter_certificate(cf, parameter, &s);
        health->trusted_certificate = s;

        return rv;
    }

    return ngx_http_eventbridge_refuse(cf, parameter, NULL);
}


static char *
ngx_http_eventbridge_probe_time(ngx_conf_t *cf, ngx_str_t *parameter,
    ngx_str_t *value, uint64_t *msec)
{
    ngx_int_t  n;

    n = ngx_parse_time(value, 0);

    if (n == NGX_ERROR || n < 100 || n > 24 * 3600 * 1000) {
        return ngx_http_eventbridge_refuse(cf, parameter,
                                           "from 100ms to 1d is expected");
    }

    *msec = (uint64_t) n;

    return NGX_CONF_OK;
}


static char *
ngx_http_eventbridge_probe_count(ngx_conf_t *cf, ngx_str_t *parameter,
    ngx_str_t *value, ngx_uint_t *count)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (n == NGX_ERROR || n < 1 || n > 1000) {
        return ngx_http_eventbridge_refuse(cf, parameter,
                                           "from 1 to 1000 is expected");
    }

    *count = (ngx_uint_t) n;

    return NGX_CONF_OK;
}


/* 204 or 200-299 or 200-299,401 */

static char *
ngx_http_eventbridge_probe_expect(ngx_conf_t *cf, ngx_str_t *parameter,
    ngx_str_t *value, ngx_http_eventbridge_health_t *health)
{
    u_char     *p, *end, *comma, *dash;
    ngx_int_t   from, to;

    p = value->data;
    end = value->data + value->len;
    health->nexpect = 0;

    for ( ;; ) {

        comma = ngx_strlchr(p, end, ',');
        if (comma == NULL) {
            comma = end;
        }

        dash = ngx_strlchr(p, comma, '-');

        from = ngx_atoi(p, (dash ? dash : comma) - p);
        to = dash ? ngx_atoi(dash + 1, comma - dash - 1) : from;

        if (from == NGX_ERROR || to == NGX_ERROR || from < 200 || to > 599
            || from > to || health->nexpect == NGX_HTTP_EVENTBRIDGE_EXPECT)
        {
            return ngx_http_eventbridge_refuse(cf, parameter,
                                               "up to 8 statuses from 200 to "
                                               "599, or ranges of them, are "
                                               "expected");
        }

        health->expect[health->nexpect].from = (ngx_uint_t) from;
        health->expect[health->nexpect].to = (ngx_uint_t) to;
        health->nexpect++;

        if (comma == end) {
            return NGX_CONF_OK;
        }

        p = comma + 1;
    }
}


char *
ngx_http_eventbridge_alternate(ngx_conf_t *cf, ngx_str_t *parameter,
    ngx_str_t *uri, ngx_http_eventbridge_route_conf_t *route)
{
    if (uri->len == 0 || (uri->data[0] != '/' && uri->data[0] != '@')) {
        return ngx_http_eventbridge_refuse(cf, parameter,
                                           "the URI of a location of this "
                                           "server is expected");
    }

    if (ngx_http_eventbridge_same(uri, &route->destination)) {
        return ngx_http_eventbridge_refuse(cf, parameter,
                                           "it is the destination itself");
    }

    route->alternate = *uri;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_eventbridge_probe_place(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_place_t *place)
{
    ngx_uint_t                           i;
    ngx_http_eventbridge_health_t       *health, *own;
    ngx_http_eventbridge_ingest_t       *ingest;
    ngx_http_eventbridge_destination_t  *d;

    ingest = place->conf->ingest;

    for (i = 0; i < ingest->ndestinations; i++) {
        d = &ingest->destinations[i];

        health = ngx_http_eventbridge_health_find(emcf, NULL, &d->uri);

        if (health) {
            health->known = 1;
        }

        own = ngx_http_eventbridge_health_find(emcf, place->cscf, &d->uri);

        if (own) {
            own->known = 1;
            health = own;
        }

        /* who has an alternate must be known to be down: by deliveries */

        if (health == NULL
            && ngx_http_eventbridge_probe_alternates(ingest, i))
        {
            health = ngx_http_eventbridge_health_add(cf, emcf);
            if (health == NULL) {
                return NGX_ERROR;
            }

            health->known = 1;
            health->destination = d->uri;
            health->cscf = place->cscf;
            health->file = place->file;
            health->line = place->line;
        }

        d->health = health;

        if (health) {
            health->used = 1;
            health->configured = place->clcf->resolver;
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_eventbridge_probe_alternates(ngx_http_eventbridge_ingest_t *ingest,
    ngx_uint_t d)
{
    ngx_uint_t       i;
    ngx_eb_route_t  *routes;

    routes = ingest->router.routes.elts;

    for (i = 0; i < ingest->router.routes.nelts; i++) {
        if (routes[i].destination == d && ingest->routes[i].alternate >= 0) {
            return 1;
        }
    }

    return 0;
}


ngx_int_t
ngx_http_eventbridge_probe_setup(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_uint_t                       i, n;
    ngx_http_eventbridge_health_t   *health, **healths;

    if (emcf->healths == NULL) {
        return NGX_OK;
    }

    n = 0;

    healths = emcf->healths->elts;

    for (i = 0; i < emcf->healths->nelts; i++) {
        health = healths[i];

        if (!health->known) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown destination \"%V\" of "
                          "\"eventbridge_probe\": no \"eventbridge_route\" "
                          "%s has it in %s:%ui", &health->destination,
                          health->cscf ? "of the server" : "of any server",
                          health->file, health->line);
            return NGX_ERROR;
        }

        /* one of http may be nobody's: all servers have their own */

        if (!health->used) {
            continue;
        }

        healths[n] = health;
        health->number = n++;

        if (health->cscf) {
            health->server = health->cscf->server_name;
        }

        if (ngx_process == NGX_PROCESS_SIGNALLER) {
            continue;
        }

        if (ngx_http_eventbridge_probe_resolvers(cf, emcf, health) != NGX_OK
            || ngx_http_eventbridge_health_zone(cf, emcf, health) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    emcf->healths->nelts = n;

    return NGX_OK;
}


/* those that are configured alike share one, and its cache of names */

static ngx_int_t
ngx_http_eventbridge_probe_resolvers(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_health_t *health)
{
    ngx_uint_t                       i;
    ngx_http_eventbridge_health_t  **healths;

    if (!health->conf.probed || ngx_test_config
        || health->configured == NULL
        || health->configured->connections.nelts == 0)
    {
        return NGX_OK;
    }

    healths = emcf->healths->elts;

    for (i = 0; i < health->number; i++) {
        if (healths[i]->resolver
            && healths[i]->configured == health->configured)
        {
            health->resolver = healths[i]->resolver;
            return NGX_OK;
        }
    }

    health->resolver = ngx_eb_probe_resolver(cf, health->configured);

    return health->resolver ? NGX_OK : NGX_ERROR;
}


/* what is known survives a reload */

static ngx_int_t
ngx_http_eventbridge_health_zone(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_health_t *health)
{
    u_char                          *p;
    ngx_str_t                        name;
    ngx_uint_t                       i, n;
    ngx_shm_zone_t                  *zone;
    ngx_http_eventbridge_health_t  **healths;

    name.data = ngx_pnalloc(cf->pool, sizeof("eventbridge_destination   ")
                                      + health->server.len
                                      + health->destination.len
                                      + NGX_INT_T_LEN);
    if (name.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(name.data, "eventbridge_destination %V %V",
                    &health->server, &health->destination);
    name.len = p - name.data;

    /* servers may have the same name, or none; a space ends a name's part */

    healths = emcf->healths->elts;
    health->first = health->number;
    n = 0;

    for (i = health->number; i-- > 0; /* void */ ) {
        if (ngx_http_eventbridge_same(&healths[i]->server, &health->server)
            && ngx_http_eventbridge_same(&healths[i]->destination,
                                         &health->destination))
        {
            health->first = i;
            n++;
        }
    }

    if (n) {
        name.len = ngx_sprintf(p, " %ui", n) - name.data;
    }

    zone = ngx_shared_memory_add(cf, &name, NGX_HTTP_EVENTBRIDGE_HEALTH_ZONE,
                                 &ngx_http_eventbridge_module);
    if (zone == NULL) {
        return NGX_ERROR;
    }

    zone->init = ngx_http_eventbridge_health_zone_init;
    zone->data = health;

    return NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_health_zone_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_http_eventbridge_health_t *old = data;
    ngx_http_eventbridge_health_t *health = zone->data;

    health->shpool = (ngx_slab_pool_t *) zone->shm.addr;

    if (zone->shm.exists) {
        health->sh = health->shpool->data;
        return NGX_OK;
    }

    if (old) {
        health->sh = old->sh;

        if (ngx_http_eventbridge_same(&old->url, &health->url)) {
            return NGX_OK;
        }

        /* of another endpoint nothing is known; the figures go on */

        ngx_shmtx_lock(&health->shpool->mutex);

        ngx_memzero(&health->sh->health, sizeof(ngx_eb_health_t));
        health->sh->since = 0;
        health->sh->checked = 0;
        health->sh->certificate = 0;

        goto schedule;
    }

    health->sh = ngx_slab_calloc(health->shpool,
                                 sizeof(ngx_http_eventbridge_health_sh_t));
    if (health->sh == NULL) {
        return NGX_ERROR;
    }

    health->shpool->data = health->sh;

    ngx_shmtx_lock(&health->shpool->mutex);

schedule:

    ngx_eb_health_schedule(&health->sh->health, &health->conf, health->number,
                           ngx_http_eventbridge_destination_now());

    ngx_shmtx_unlock(&health->shpool->mutex);

    return NGX_OK;
}


ngx_int_t
ngx_http_eventbridge_probe_init_process(ngx_cycle_t *cycle,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_uint_t                       i;
    ngx_http_eventbridge_health_t  **healths;
    ngx_http_eventbridge_prober_t   *p;

    if (emcf->healths == NULL) {
        return NGX_OK;
    }

    healths = emcf->healths->elts;

    for (i = 0; !healths[i]->conf.probed; /* void */ ) {
        if (++i == emcf->healths->nelts) {
            return NGX_OK;
        }
    }

    p = ngx_pcalloc(cycle->pool, sizeof(ngx_http_eventbridge_prober_t));
    if (p == NULL) {
        return NGX_ERROR;
    }

    p->emcf = emcf;

    p->dummy.fd = (ngx_socket_t) -1;
    p->dummy.data = p;

    p->timer.handler = ngx_http_eventbridge_probe_timer;
    p->timer.data = &p->dummy;
    p->timer.log = cycle->log;
    p->timer.cancelable = 1;

    emcf->prober = p;

    /* not all workers at once */
    ngx_add_timer(&p->timer,
                  1 + ngx_random() % NGX_HTTP_EVENTBRIDGE_PROBE_LOOK);

    return NGX_OK;
}


void
ngx_http_eventbridge_probe_exit_process(
    ngx_http_eventbridge_main_conf_t *emcf)
{
    if (emcf->prober) {
        ngx_http_eventbridge_probe_stop(emcf->prober);
    }
}


static void
ngx_http_eventbridge_probe_timer(ngx_event_t *ev)
{
    ngx_connection_t *c = ev->data;

    ngx_http_eventbridge_prober_t *p = c->data;

    /* the next generation goes on at once */

    if (ngx_exiting) {
        ngx_http_eventbridge_probe_stop(p);
        return;
    }

    if (!p->mine) {
        p->mine = (ngx_eb_lease_try(p->emcf->lock,
                                    &ngx_http_eventbridge_probe_lease)
                   == NGX_OK);
    }

    ngx_add_timer(ev, p->mine ? ngx_http_eventbridge_probe_look(p)
                              : NGX_HTTP_EVENTBRIDGE_PROBE_LOOK);
}


/* begins what is due, and says when to look again */

static ngx_msec_t
ngx_http_eventbridge_probe_look(ngx_http_eventbridge_prober_t *p)
{
    uint64_t                         now, next;
    ngx_uint_t                       i, n, due;
    ngx_http_eventbridge_health_t  **healths, *health;

    healths = p->emcf->healths->elts;
    now = ngx_http_eventbridge_destination_now();
    next = now + NGX_HTTP_EVENTBRIDGE_PROBE_LOOK;
    n = 0;

    for (i = 0; i < p->emcf->healths->nelts; i++) {
        health = healths[i];

        if (!health->conf.probed || health->probe) {
            continue;
        }

        /* only whoever has the lease changes it */

        if (health->sh->health.next <= now
            && n < NGX_HTTP_EVENTBRIDGE_PROBE_START)
        {
            ngx_shmtx_lock(&health->shpool->mutex);

            due = ngx_eb_health_due(&health->sh->health, &health->conf, now,
                                    (uint32_t) ngx_random());

            ngx_shmtx_unlock(&health->shpool->mutex);

            if (due) {
                ngx_http_eventbridge_probe_start(p, health);
                n++;
                continue;
            }
        }

        next = ngx_min(next, health->sh->health.next);
    }

    return (next > now) ? (ngx_msec_t) (next - now) : 1;
}


static void
ngx_http_eventbridge_probe_start(ngx_http_eventbridge_prober_t *p,
    ngx_http_eventbridge_health_t *health)
{
    ngx_eb_probe_spec_t  spec;

    ngx_memzero(&spec, sizeof(ngx_eb_probe_spec_t));

    spec.url = health->url;
    spec.expect = health->expect;
    spec.nexpect = health->nexpect;
    spec.timeout = (ngx_msec_t) health->conf.timeout;
    spec.trusted_certificate = health->trusted_certificate;
    spec.resolver = health->resolver;
    spec.handler = ngx_http_eventbridge_probe_done;
    spec.data = health;

    health->prober = p;
    health->began = ngx_http_eventbridge_destination_now();

    /* without memory it is as if there had been no slot */
    health->probe = ngx_eb_probe_start(&spec);
}


static void
ngx_http_eventbridge_probe_done(void *data, ngx_eb_probe_result_t *result)
{
    ngx_http_eventbridge_health_t *health = data;

    u_char                              text[NGX_EB_PROBE_WORDS + 64];
    ngx_str_t                           why;
    ngx_uint_t                          warn;
    ngx_http_eventbridge_prober_t      *p;
    ngx_http_eventbridge_health_sh_t   *sh;

    health->probe = NULL;

    if (ngx_exiting) {

        /* the state may be that of another endpoint by now */

        return;
    }

    p = health->prober;
    sh = health->sh;
    warn = 0;

    ngx_shmtx_lock(&health->shpool->mutex);

    sh->probes++;
    sh->failed += (result->error != NGX_EB_PROBE_OK);
    sh->checked = ngx_time();
    sh->phase = result->phase;
    sh->error = result->error;
    sh->status = result->status;
    ngx_memcpy(sh->msec, result->msec, sizeof(sh->msec));
    sh->total = result->total;

    sh->words_len = ngx_min(result->words.len, NGX_EB_PROBE_WORDS);

    if (sh->words_len) {
        ngx_memcpy(sh->words, result->words.data, sh->words_len);
    }

    /* one that fails before TLS says nothing of it */

    if (result->certificate) {
        sh->certificate = 1;
        sh->days_left = result->days_left;
        warn = ngx_eb_health_certificate(&sh->health, result->days_left);
    }

    ngx_shmtx_unlock(&health->shpool->mutex);

    if (warn && result->days_left >= 0) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "eventbridge: the certificate of destination \"%V\" "
                      "expires in %i days", &health->destination,
                      result->days_left);
    }

    if (result->error == NGX_EB_PROBE_INTERNAL) {

        /* nothing is known, which is no reason to change anything */

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "eventbridge: destination \"%V\" cannot be probed: %V",
                      &health->destination, &result->words);

    } else {
        why.data = text;
        why.len = (result->error == NGX_EB_PROBE_OK
                   ? ngx_sprintf(text, "a probe succeeded")
                   : ngx_snprintf(text, sizeof(text), "a probe failed: %V",
                                  &result->words))
                  - text;

        ngx_http_eventbridge_destination_result(p->emcf, health,
                                         health->began,
                                         result->error == NGX_EB_PROBE_OK,
                                         &why);
    }

    /* it may be due again */

    ngx_add_timer(&p->timer, 1);
}


static void
ngx_http_eventbridge_probe_stop(ngx_http_eventbridge_prober_t *p)
{
    ngx_uint_t                       i;
    ngx_http_eventbridge_health_t  **healths;

    healths = p->emcf->healths->elts;

    for (i = 0; i < p->emcf->healths->nelts; i++) {
        if (healths[i]->probe) {
            ngx_eb_probe_cancel(healths[i]->probe);
            healths[i]->probe = NULL;
        }
    }

    if (p->timer.timer_set) {
        ngx_del_timer(&p->timer);
    }

    if (p->mine) {
        p->mine = 0;
        ngx_eb_lease_release(p->emcf->lock, &ngx_http_eventbridge_probe_lease);
    }
}
