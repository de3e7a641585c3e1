
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * eventbridge_rate: how many events a second may come in, over all workers.
 *
 * Each bucket has a shared memory zone of its own, so that nginx hands it on
 * at a reload, whatever else is added or removed.
 */


#include "ngx_http_eventbridge_genesys.h"
#include "ngx_eb_rate.h"


/*
 * A bucket at another rate is another word: workers of the old configuration
 * may still take from theirs.  More generations than this never overlap.
 */
#define NGX_HTTP_EVENTBRIDGE_RATE_WORDS   8

#define NGX_HTTP_EVENTBRIDGE_RATE_PREFIX  "eventbridge_rate"

/* bytes of the checkpoint that an event takes */
#define NGX_HTTP_EVENTBRIDGE_MARK_SIZE    32


typedef struct {
    ngx_eb_rate_bucket_t      words[NGX_HTTP_EVENTBRIDGE_RATE_WORDS];
} ngx_http_eventbridge_rate_sh_t;


struct ngx_http_eventbridge_bucket_s {
    ngx_str_t                 name;         /* of the shared memory zone */
    ngx_eb_rate_t             rate;
    ngx_http_eventbridge_rate_sh_t  *sh;
    ngx_uint_t                word;         /* that is used */
};


/* what one line says; lines that name the same zone share one */

struct ngx_http_eventbridge_rate_s {
    ngx_eb_rate_t             rate;
    ngx_str_t                 zone;         /* empty: one for each location */
    ngx_http_eventbridge_bucket_t  *bucket; /* of the zone */
    u_char                   *file;
    ngx_uint_t                line;
};


static char *ngx_http_eventbridge_rate_shared(ngx_conf_t *cf,
    ngx_http_eventbridge_rate_t **rate);
static ngx_int_t ngx_http_eventbridge_rate_parse(ngx_str_t *value,
    ngx_uint_t *events, ngx_uint_t *seconds);
static ngx_int_t ngx_http_eventbridge_rate_name(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_ingest_t *ingest, ngx_str_t *server,
    ngx_str_t *name);
static ngx_http_eventbridge_bucket_t *ngx_http_eventbridge_rate_bucket(
    ngx_conf_t *cf, ngx_str_t *name, ngx_eb_rate_t *rate);
static ngx_int_t ngx_http_eventbridge_rate_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
static uint64_t ngx_http_eventbridge_rate_now(void);


/* eventbridge_rate RATE|off [burst=N] [zone=NAME] */

char *
ngx_http_eventbridge_rate(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_eventbridge_loc_conf_t *elcf = conf;

    char                         *rv;
    ngx_int_t                     n;
    ngx_str_t                    *value, s, zone;
    ngx_uint_t                    i, events, seconds, burst;
    ngx_http_eventbridge_rate_t  *rate;

    value = cf->args->elts;

    if (elcf->rate != NGX_CONF_UNSET_PTR) {
        return ngx_http_eventbridge_duplicate(cf);
    }

    elcf->rate_said = 1;

    if (ngx_strcmp(value[1].data, "off") == 0) {

        if (cf->args->nelts > 2) {
            return ngx_http_eventbridge_refuse(cf, &value[2], NULL);
        }

        elcf->rate = NULL;
        return NGX_CONF_OK;
    }

    if (ngx_http_eventbridge_rate_parse(&value[1], &events, &seconds)
        != NGX_OK)
    {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "\"off\" or from 1 to 1000000000 "
                                           "with \"r/s\" or \"r/m\" is "
                                           "expected");
    }

    rv = ngx_http_eventbridge_once(cf, 2);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    burst = ngx_max(events / seconds, 1);
    ngx_str_null(&zone);

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_http_eventbridge_takes(&value[i], "burst=", &s)) {

            n = ngx_atoi(s.data, s.len);

            if (n < 1 || n > NGX_EB_RATE_MAX) {
                return ngx_http_eventbridge_refuse(cf, &value[i],
                                          "from 1 to 1000000000 is expected");
            }

            burst = n;
            continue;
        }

        if (ngx_http_eventbridge_takes(&value[i], "zone=", &zone)) {

            if (zone.len == 0) {
                return ngx_http_eventbridge_refuse(cf, &value[i],
                                                   "a name is expected");
            }

            continue;
        }

        return ngx_http_eventbridge_refuse(cf, &value[i], NULL);
    }

    rate = ngx_pcalloc(cf->pool, sizeof(ngx_http_eventbridge_rate_t));
    if (rate == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_eb_rate_init(&rate->rate, events, seconds, burst);

    rate->zone = zone;
    rate->file = cf->conf_file->file.name.data;
    rate->line = cf->conf_file->line;

    elcf->rate = rate;

    return zone.len ? ngx_http_eventbridge_rate_shared(cf, &elcf->rate)
                    : NGX_CONF_OK;
}


/* all lines that name a zone must say the same of it */

static char *
ngx_http_eventbridge_rate_shared(ngx_conf_t *cf,
    ngx_http_eventbridge_rate_t **rate)
{
    ngx_str_t                         *value;
    ngx_uint_t                         i;
    ngx_http_eventbridge_rate_t      **rates, *other;
    ngx_http_eventbridge_main_conf_t  *emcf;

    emcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_eventbridge_module);

    if (emcf->rates == NULL) {
        emcf->rates = ngx_array_create(cf->pool, 4,
                                       sizeof(ngx_http_eventbridge_rate_t *));
        if (emcf->rates == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    rates = emcf->rates->elts;

    for (i = 0; i < emcf->rates->nelts; i++) {
        other = rates[i];

        if (other->zone.len != (*rate)->zone.len
            || ngx_strncmp(other->zone.data, (*rate)->zone.data,
                           other->zone.len)
               != 0)
        {
            continue;
        }

        if (other->rate.events != (*rate)->rate.events
            || other->rate.seconds != (*rate)->rate.seconds
            || other->rate.burst != (*rate)->rate.burst)
        {
            value = cf->args->elts;

            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid value \"%V\" of \"%V\": zone \"%V\" "
                               "has another rate or burst in %s:%ui",
                               &value[1], &value[0], &other->zone,
                               other->file, other->line);
            return NGX_CONF_ERROR;
        }

        *rate = other;
        return NGX_CONF_OK;
    }

    rates = ngx_array_push(emcf->rates);
    if (rates == NULL) {
        return NGX_CONF_ERROR;
    }

    *rates = *rate;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_eventbridge_rate_parse(ngx_str_t *value, ngx_uint_t *events,
    ngx_uint_t *seconds)
{
    u_char     *last;
    ngx_int_t   n;

    if (value->len < 4) {
        return NGX_ERROR;
    }

    last = value->data + value->len - 3;

    if (ngx_strncmp(last, "r/s", 3) == 0) {
        *seconds = 1;

    } else if (ngx_strncmp(last, "r/m", 3) == 0) {
        *seconds = 60;

    } else {
        return NGX_ERROR;
    }

    n = ngx_atoi(value->data, value->len - 3);

    if (n < 1 || n > NGX_EB_RATE_MAX) {
        return NGX_ERROR;
    }

    *events = n;

    return NGX_OK;
}


ngx_int_t
ngx_http_eventbridge_rate_setup(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_place_t *place)
{
    ngx_str_t                       name;
    ngx_uint_t                      n;
    ngx_http_eventbridge_rate_t    *rate;
    ngx_http_eventbridge_ingest_t  *ingest;

    rate = place->conf->rate;
    ingest = place->conf->ingest;

    n = place->conf->rate_said ? 0
                               : ngx_http_eventbridge_declared_rate(emcf);

    if (rate == NULL && n) {
        rate = ngx_pcalloc(cf->pool, sizeof(ngx_http_eventbridge_rate_t));
        if (rate == NULL) {
            return NGX_ERROR;
        }

        ngx_eb_rate_init(&rate->rate, n, 1, n);
    }

    if (rate == NULL) {
        return NGX_OK;
    }

    if (rate->zone.len == 0) {

        if (ngx_http_eventbridge_rate_name(cf, emcf, ingest,
                                           &place->cscf->server_name, &name)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        ingest->bucket = ngx_http_eventbridge_rate_bucket(cf, &name,
                                                          &rate->rate);

        return ingest->bucket ? NGX_OK : NGX_ERROR;
    }

    if (rate->bucket == NULL) {

        name.len = sizeof(NGX_HTTP_EVENTBRIDGE_RATE_PREFIX ":") - 1
                   + rate->zone.len;
        name.data = ngx_pnalloc(cf->pool, name.len);
        if (name.data == NULL) {
            return NGX_ERROR;
        }

        ngx_sprintf(name.data, NGX_HTTP_EVENTBRIDGE_RATE_PREFIX ":%V",
                    &rate->zone);

        rate->bucket = ngx_http_eventbridge_rate_bucket(cf, &name,
                                                        &rate->rate);
        if (rate->bucket == NULL) {
            return NGX_ERROR;
        }
    }

    ingest->bucket = rate->bucket;

    return NGX_OK;
}


/*
 * Of the bucket of a location: the same after a reload.  Servers of one name,
 * say on two ports, have locations of one name, which are told apart by their
 * order.
 */

static ngx_int_t
ngx_http_eventbridge_rate_name(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_ingest_t *ingest, ngx_str_t *server, ngx_str_t *name)
{
    u_char                          *p;
    ngx_uint_t                       i, n;
    ngx_http_eventbridge_ingest_t  **ingests;

    name->data = ngx_pnalloc(cf->pool,
                             sizeof(NGX_HTTP_EVENTBRIDGE_RATE_PREFIX) + 2
                             + server->len + ingest->name.len
                             + NGX_INT_T_LEN);
    if (name->data == NULL) {
        return NGX_ERROR;
    }

    ingests = emcf->ingests.elts;

    for (n = 1; /* void */ ; n++) {

        p = ngx_sprintf(name->data,
                        NGX_HTTP_EVENTBRIDGE_RATE_PREFIX " %V %V", server,
                        &ingest->name);

        if (n > 1) {
            p = ngx_sprintf(p, " %ui", n);
        }

        name->len = p - name->data;

        for (i = 0; i < emcf->ingests.nelts; i++) {

            if (ingests[i]->bucket
                && ingests[i]->bucket->name.len == name->len
                && ngx_strncmp(ingests[i]->bucket->name.data, name->data,
                               name->len)
                   == 0)
            {
                break;
            }
        }

        if (i == emcf->ingests.nelts) {
            return NGX_OK;
        }
    }
}


static ngx_http_eventbridge_bucket_t *
ngx_http_eventbridge_rate_bucket(ngx_conf_t *cf, ngx_str_t *name,
    ngx_eb_rate_t *rate)
{
    ngx_shm_zone_t                 *shm_zone;
    ngx_http_eventbridge_bucket_t  *bucket;

    bucket = ngx_pcalloc(cf->pool, sizeof(ngx_http_eventbridge_bucket_t));
    if (bucket == NULL) {
        return NULL;
    }

    bucket->name = *name;
    bucket->rate = *rate;

    /* a constant size: nginx hands on no zone of another size */

    shm_zone = ngx_shared_memory_add(cf, &bucket->name, 8 * ngx_pagesize,
                                     &ngx_http_eventbridge_module);
    if (shm_zone == NULL) {
        return NULL;
    }

    shm_zone->init = ngx_http_eventbridge_rate_init_zone;
    shm_zone->data = bucket;

    return bucket;
}


void
ngx_http_eventbridge_rate_warn(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf, ngx_http_eventbridge_zone_t *zone)
{
    uint64_t                        marks, events;
    ngx_uint_t                      i, j;
    ngx_http_eventbridge_place_t   *places;
    ngx_http_eventbridge_bucket_t  *bucket;

    places = emcf->places.elts;
    events = 0;

    for (i = 0; i < emcf->places.nelts; i++) {
        bucket = places[i].conf->ingest->bucket;

        if (bucket == NULL || places[i].conf->zone != zone) {
            continue;
        }

        for (j = 0; j < i; j++) {
            if (places[j].conf->ingest->bucket == bucket
                && places[j].conf->zone == zone)
            {
                break;
            }
        }

        if (j == i) {
            events += bucket->rate.events * (uint64_t) zone->conf.window
                      / bucket->rate.seconds;
        }
    }

    marks = zone->conf.size / NGX_HTTP_EVENTBRIDGE_MARK_SIZE;

    if (events > marks) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "zone \"%V\" remembers at most %uL events, but "
                      "\"eventbridge_rate\" lets in %uL of them in its window "
                      "of %T seconds: it needs %uLm in %s:%ui",
                      &zone->conf.name, marks, events, zone->conf.window,
                      (events * NGX_HTTP_EVENTBRIDGE_MARK_SIZE + 1048575)
                      / 1048576, zone->file, zone->line);
    }
}


/* what was taken stays taken, even when the rate is another now */

static ngx_int_t
ngx_http_eventbridge_rate_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_eventbridge_bucket_t *old = data;

    ngx_slab_pool_t                *shpool;
    ngx_http_eventbridge_bucket_t  *bucket;

    bucket = shm_zone->data;
    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (old) {
        bucket->sh = old->sh;
        bucket->word = old->word;

        if (old->rate.events != bucket->rate.events
            || old->rate.seconds != bucket->rate.seconds)
        {
            /* this cycle may still fail: the old one goes on with its word */

            bucket->word = (old->word + 1) % NGX_HTTP_EVENTBRIDGE_RATE_WORDS;
            bucket->sh->words[bucket->word] =
                ngx_eb_rate_convert(&old->rate, old->sh->words[old->word],
                                    &bucket->rate,
                                    ngx_http_eventbridge_rate_now());
        }

        return NGX_OK;
    }

    if (shm_zone->shm.exists) {
        bucket->sh = shpool->data;
        return NGX_OK;
    }

    bucket->sh = ngx_slab_calloc(shpool,
                                 sizeof(ngx_http_eventbridge_rate_sh_t));
    if (bucket->sh == NULL) {
        return NGX_ERROR;
    }

    shpool->data = bucket->sh;

    return NGX_OK;
}


ngx_int_t
ngx_http_eventbridge_rate_charge(ngx_http_eventbridge_job_t *job,
    ngx_http_eventbridge_error_t *err)
{
    uint64_t                        wait;
    ngx_str_t                       value;
    ngx_http_request_t             *r;
    ngx_http_eventbridge_bucket_t  *bucket;

    bucket = job->ingest->bucket;

    if (bucket == NULL) {
        return NGX_OK;
    }

    wait = ngx_eb_rate_take(&bucket->rate, &bucket->sh->words[bucket->word],
                            ngx_http_eventbridge_rate_now(),
                            job->batch.nevents);
    if (wait == 0) {
        return NGX_OK;
    }

    ngx_eb_stats_add(job->ingest->cells, NGX_EB_STATS_L_RATE_LIMITED,
                     job->batch.nevents);

    r = job->client->request;

    value.data = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    /* rounded up: who waits so long is not too early */

    value.len = ngx_sprintf(value.data, "%uL",
                            (wait + 999999999) / 1000000000)
                - value.data;

    if (ngx_http_eventbridge_out_header(r, "Retry-After", &value) != NGX_OK) {
        return NGX_ERROR;
    }

    err->status = NGX_HTTP_TOO_MANY_REQUESTS;
    err->error = "rate_limited";
    err->message = "more events came than eventbridge_rate allows";
    err->offset = -1;

    return NGX_DECLINED;
}


/*
 * Not nginx's cached time: each worker has its own, and with it those that
 * are behind would see a bucket that is less full than it is.
 */

uint64_t
ngx_http_eventbridge_rate_minute(ngx_http_eventbridge_bucket_t *bucket)
{
    return bucket->rate.events * (60 / bucket->rate.seconds);
}


static uint64_t
ngx_http_eventbridge_rate_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}
