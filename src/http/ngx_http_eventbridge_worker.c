
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What a worker does beside requests: it takes its place in the checkpoints,
 * keeps its claims alive, and has the files flushed.
 */


#include "ngx_http_eventbridge_module.h"
#include "ngx_http_eventbridge_replay.h"
#include "ngx_http_eventbridge_auth.h"
#include "ngx_http_eventbridge_destination.h"
#include "ngx_http_eventbridge_genesys.h"
#include "ngx_http_eventbridge_outbox.h"
#include "ngx_http_eventbridge_lifecycle.h"
#include "ngx_eb_client.h"
#include "ngx_eb_probe.h"
#include <openssl/rand.h>

#if (NGX_THREADS)
#include <ngx_thread_pool.h>
#endif


/* between two chunks of marks that move to another file, ms */
#define NGX_HTTP_EVENTBRIDGE_MOVE   2

/* with sync=off: to see whether a file is to be removed */
#define NGX_HTTP_EVENTBRIDGE_SYNC_OFF  1000

#define ngx_http_eventbridge_sync_time(zone)                                  \
    ((zone)->conf.sync ? (zone)->conf.sync : NGX_HTTP_EVENTBRIDGE_SYNC_OFF)

/* how often destinations are named in the registry */
#define NGX_HTTP_EVENTBRIDGE_RENEW  60000


typedef struct {
    ngx_http_eventbridge_zone_t  *zone;
    ngx_err_t                 err;
    uint64_t                  usec;
} ngx_http_eventbridge_flush_t;


static ngx_int_t ngx_http_eventbridge_worker_create(ngx_cycle_t *cycle,
    ngx_http_eventbridge_main_conf_t *emcf);
static void ngx_http_eventbridge_heartbeat(ngx_event_t *ev);
static void ngx_http_eventbridge_move(ngx_event_t *ev);

#if (NGX_THREADS)
static void ngx_http_eventbridge_sync_start(ngx_cycle_t *cycle,
    ngx_http_eventbridge_main_conf_t *emcf);
static void ngx_http_eventbridge_sync(ngx_event_t *ev);
static void ngx_http_eventbridge_flush(void *data, ngx_log_t *log);
static void ngx_http_eventbridge_flushed(ngx_event_t *ev);
#endif


ngx_int_t
ngx_http_eventbridge_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                         i;
    ngx_eb_log_t                     **logs;
    ngx_eb_audit_t                   **audits;
    ngx_eb_log_figures_t               figures;
    ngx_http_eventbridge_zone_t      **zones;
    ngx_http_eventbridge_main_conf_t  *emcf;

    emcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_eventbridge_module);

    /* the cache manager and loader run this too, and serve no requests */

    if (emcf == NULL
        || emcf->cells == NULL
        || (ngx_process != NGX_PROCESS_WORKER
            && ngx_process != NGX_PROCESS_SINGLE))
    {
        return NGX_OK;
    }

    if (ngx_http_eventbridge_worker_create(cycle, emcf) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_eventbridge_auth_init_process(cycle);

    if (ngx_http_eventbridge_oauth_init_process(cycle, emcf) != NGX_OK
        || ngx_http_eventbridge_ensure_init_process(cycle, emcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    zones = emcf->zones.elts;

    for (i = 0; i < emcf->zones.nelts; i++) {
        /* without a slot its locations answer 503, and all others serve */
        (void) ngx_eb_checkpoint_open(zones[i]->checkpoint, cycle->log);
    }

    audits = emcf->audits.elts;

    for (i = 0; i < emcf->audits.nelts; i++) {
        if (ngx_eb_audit_start(audits[i], cycle, emcf->cells) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    logs = emcf->logs.elts;

    for (i = 0; i < emcf->logs.nelts; i++) {
        if (ngx_eb_log_start(logs[i], cycle) != NGX_OK) {
            return NGX_ERROR;
        }

        /* so that they are known when somebody asks */
        (void) ngx_eb_log_figures(logs[i], &figures);
    }

    ngx_http_eventbridge_outage_init_process(cycle, emcf);

    if (ngx_http_eventbridge_outbox_init_process(cycle, emcf) != NGX_OK
        || ngx_http_eventbridge_probe_init_process(cycle, emcf) != NGX_OK
        || ngx_http_eventbridge_lifecycle_init_process(cycle, emcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

#if (NGX_THREADS)
    ngx_http_eventbridge_sync_start(cycle, emcf);
#endif

    return NGX_OK;
}


static ngx_int_t
ngx_http_eventbridge_worker_create(ngx_cycle_t *cycle,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_uint_t                       i;
    ngx_http_eventbridge_zone_t    **zones;
    ngx_http_eventbridge_ingest_t  **ingests;
    ngx_http_eventbridge_worker_t   *w;

    w = ngx_pcalloc(cycle->pool, sizeof(ngx_http_eventbridge_worker_t));
    if (w == NULL) {
        return NGX_ERROR;
    }

    emcf->worker = w;

    w->memos = ngx_pcalloc(cycle->pool, (emcf->ingests.nelts + 1)
                                        * sizeof(ngx_eb_route_memo_t *));
    w->dest_bytes = ngx_pcalloc(cycle->pool, (emcf->ndestinations + 1)
                                             * sizeof(size_t));
    w->dest_deliveries = ngx_pcalloc(cycle->pool, (emcf->ndestinations + 1)
                                                  * sizeof(ngx_uint_t));
    w->regex = ngx_eb_regex_ctx_create(cycle->pool);
    w->parser = ngx_eb_json_parser_create();

    if (w->memos == NULL || w->dest_bytes == NULL
        || w->dest_deliveries == NULL || w->regex == NULL
        || w->parser == NULL)
    {
        return NGX_ERROR;
    }

    ingests = emcf->ingests.elts;

    for (i = 0; i < emcf->ingests.nelts; i++) {
        w->memos[i] = ngx_eb_route_memo_create(cycle->pool,
                                               &ingests[i]->router, w->regex);
        if (w->memos[i] == NULL) {
            return NGX_ERROR;
        }
    }

    if (RAND_bytes((u_char *) w->id_seed, sizeof(w->id_seed)) != 1) {
        ngx_ssl_error(NGX_LOG_EMERG, cycle->log, 0, "RAND_bytes() failed");
        return NGX_ERROR;
    }

    w->dummy.fd = (ngx_socket_t) -1;

    zones = emcf->zones.elts;

    if (emcf->zones.nelts) {
        w->heartbeat.handler = ngx_http_eventbridge_heartbeat;
        w->heartbeat.data = &w->dummy;
        w->heartbeat.log = cycle->log;
        w->heartbeat.cancelable = 1;
        w->renewed = ngx_current_msec;

        w->move.handler = ngx_http_eventbridge_move;
        w->move.data = &w->dummy;
        w->move.log = cycle->log;
        w->move.cancelable = 1;

        /* the shortest claim_timeout is 1s: a third of it */
        ngx_add_timer(&w->heartbeat, 300);
    }

    for (i = 0; i < emcf->zones.nelts; i++) {
        zones[i]->syncing = 0;
    }

    return NGX_OK;
}


/*
 * The claims of a worker live as long as its heart beats.  The timer is
 * cancelable, yet goes on in an exiting worker: nginx keeps a worker only for
 * other timers, and deliveries have theirs.
 */

static void
ngx_http_eventbridge_heartbeat(ngx_event_t *ev)
{
    ngx_uint_t                         i, renew;
    ngx_http_eventbridge_zone_t      **zones;
    ngx_http_eventbridge_worker_t     *w;
    ngx_http_eventbridge_main_conf_t  *emcf;

    emcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_eventbridge_module);

    w = emcf->worker;
    zones = emcf->zones.elts;

    renew = (ngx_msec_t) (ngx_current_msec - w->renewed)
            >= NGX_HTTP_EVENTBRIDGE_RENEW;

    if (renew) {
        w->renewed = ngx_current_msec;
    }

    for (i = 0; i < emcf->zones.nelts; i++) {
        ngx_eb_checkpoint_heartbeat(zones[i]->checkpoint);

        if (renew) {
            ngx_eb_checkpoint_renew(zones[i]->checkpoint, zones[i]->bits);
        }
    }

    if (!w->move.timer_set) {
        ngx_http_eventbridge_move(&w->move);
    }

    ngx_add_timer(ev, 300);
}


/* goes over to a file of another size, and helps to fill it */

static void
ngx_http_eventbridge_move(ngx_event_t *ev)
{
    ngx_uint_t                         i, more;
    ngx_http_eventbridge_zone_t      **zones;
    ngx_http_eventbridge_main_conf_t  *emcf;

    emcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_eventbridge_module);

    zones = emcf->zones.elts;
    more = 0;

    for (i = 0; i < emcf->zones.nelts; i++) {
        if (ngx_eb_checkpoint_tick(zones[i]->checkpoint) == NGX_AGAIN) {
            more = 1;
        }
    }

    if (more) {
        ngx_add_timer(ev, NGX_HTTP_EVENTBRIDGE_MOVE);
    }
}


#if (NGX_THREADS)

static void
ngx_http_eventbridge_sync_start(ngx_cycle_t *cycle,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_uint_t                         i;
    ngx_http_eventbridge_zone_t      **zones;

    zones = emcf->zones.elts;

    for (i = 0; i < emcf->zones.nelts; i++) {

        /* fd is unused; the zone is found again by the event's address */
        zones[i]->sync_event.data = &emcf->worker->dummy;
        zones[i]->sync_event.handler = ngx_http_eventbridge_sync;
        zones[i]->sync_event.log = cycle->log;
        zones[i]->sync_event.cancelable = 1;

        ngx_add_timer(&zones[i]->sync_event,
                      ngx_http_eventbridge_sync_time(zones[i]));
    }
}


/* of all workers of all generations one flushes at a time */

static void
ngx_http_eventbridge_sync(ngx_event_t *ev)
{
    ngx_str_t                      name = ngx_string("default");
    ngx_thread_pool_t             *pool;
    ngx_thread_task_t             *task;
    ngx_http_eventbridge_zone_t   *zone;
    ngx_http_eventbridge_flush_t  *flush;

    if (ngx_exiting) {
        return;
    }

    zone = (ngx_http_eventbridge_zone_t *)
               ((u_char *) ev
                - offsetof(ngx_http_eventbridge_zone_t, sync_event));

    ngx_add_timer(ev, ngx_http_eventbridge_sync_time(zone));

    if (zone->syncing || !ngx_eb_checkpoint_flush_due(zone->checkpoint)) {
        return;
    }

    pool = ngx_thread_pool_get((ngx_cycle_t *) ngx_cycle, &name);
    if (pool == NULL) {
        ngx_eb_checkpoint_flushed(zone->checkpoint, NGX_ENOENT, 0);
        return;
    }

    /* from the heap: it lives until its thread has answered */

    task = ngx_calloc(sizeof(ngx_thread_task_t)
                      + sizeof(ngx_http_eventbridge_flush_t), ev->log);
    if (task == NULL) {
        ngx_eb_checkpoint_flushed(zone->checkpoint, NGX_ENOMEM, 0);
        return;
    }

    flush = (ngx_http_eventbridge_flush_t *) (task + 1);
    flush->zone = zone;

    task->ctx = flush;
    task->handler = ngx_http_eventbridge_flush;
    task->event.data = task;
    task->event.handler = ngx_http_eventbridge_flushed;
    task->event.log = ev->log;

    if (ngx_thread_task_post(pool, task) != NGX_OK) {
        ngx_eb_checkpoint_flushed(zone->checkpoint, NGX_ENOMEM, 0);
        ngx_free(task);
        return;
    }

    zone->syncing = 1;
}


/* in a thread */

static void
ngx_http_eventbridge_flush(void *data, ngx_log_t *log)
{
    ngx_http_eventbridge_flush_t *flush = data;

    struct timespec  begin, end;

    (void) clock_gettime(CLOCK_MONOTONIC, &begin);

    flush->err = ngx_eb_checkpoint_flush(flush->zone->checkpoint);

    (void) clock_gettime(CLOCK_MONOTONIC, &end);

    flush->usec = (uint64_t) (end.tv_sec - begin.tv_sec) * 1000000
                  + end.tv_nsec / 1000 - begin.tv_nsec / 1000;
}


static void
ngx_http_eventbridge_flushed(ngx_event_t *ev)
{
    ngx_thread_task_t *task = ev->data;

    ngx_http_eventbridge_flush_t  *flush;

    flush = task->ctx;

    flush->zone->syncing = 0;

    ngx_eb_checkpoint_flushed(flush->zone->checkpoint, flush->err,
                              (ngx_msec_t) (flush->usec / 1000));

    if (flush->err) {
        ngx_log_error(NGX_LOG_ERR, ev->log, flush->err,
                      "eventbridge: flush of checkpoint \"%V\" failed",
                      &flush->zone->conf.name);
    }

    ngx_free(task);
}

#endif


void
ngx_http_eventbridge_exit_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                         i;
    ngx_eb_log_t                     **logs;
    ngx_eb_audit_t                   **audits;
    ngx_http_eventbridge_zone_t      **zones;
    ngx_http_eventbridge_main_conf_t  *emcf;

    emcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_eventbridge_module);

    if (emcf == NULL || emcf->worker == NULL) {
        return;
    }

    ngx_http_eventbridge_probe_exit_process(emcf);
    ngx_http_eventbridge_ensure_exit_process(emcf);
    ngx_http_eventbridge_oauth_exit_process(emcf);
    ngx_http_eventbridge_lifecycle_exit_process(emcf);
    ngx_http_eventbridge_outbox_exit_process(emcf);
    ngx_eb_probe_exit();
    ngx_eb_client_exit();

    audits = emcf->audits.elts;

    for (i = 0; i < emcf->audits.nelts; i++) {
        ngx_eb_audit_stop(audits[i]);
    }

    ngx_http_eventbridge_outage_exit_process(emcf);

    logs = emcf->logs.elts;

    for (i = 0; i < emcf->logs.nelts; i++) {
        ngx_eb_log_stop(logs[i]);
    }

    zones = emcf->zones.elts;

    for (i = 0; i < emcf->zones.nelts; i++) {
        ngx_eb_checkpoint_close(zones[i]->checkpoint);
    }

    while (emcf->worker->npools) {
        ngx_destroy_pool(emcf->worker->pools[--emcf->worker->npools]);
    }

    ngx_eb_json_parser_destroy(emcf->worker->parser);
    emcf->worker = NULL;
}
