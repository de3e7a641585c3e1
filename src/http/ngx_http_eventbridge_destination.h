
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Destinations that are known to be up or down: eventbridge_probe, and the
 * "alternate" parameter of eventbridge_route.
 */


#ifndef _NGX_HTTP_EVENTBRIDGE_DESTINATION_H_INCLUDED_
#define _NGX_HTTP_EVENTBRIDGE_DESTINATION_H_INCLUDED_


#include "ngx_http_eventbridge_module.h"
#include "ngx_eb_health.h"
#include "ngx_eb_probe.h"


#define NGX_HTTP_EVENTBRIDGE_EXPECT  8      /* ranges of statuses */


/* in shared memory: all workers, of both generations during a reload */

typedef struct {
    ngx_eb_health_t           health;
    time_t                    since;        /* of its state; 0: ever */
    uint64_t                  downs;        /* figures: times that it went
                                               down, */
    uint64_t                  probes;
    uint64_t                  failed;       /* probes, */
    uint64_t                  refused;      /* and failed deliveries */

    /* of the last probe */
    time_t                    checked;      /* 0: there was none */
    ngx_eb_probe_phase_e      phase;
    ngx_eb_probe_class_e      error;
    ngx_uint_t                status;       /* 0: none */
    ngx_msec_t                msec[NGX_EB_PROBE_PHASES];
    ngx_msec_t                total;
    ngx_int_t                 days_left;
    ngx_uint_t                certificate;  /* there was one */
    size_t                    words_len;
    u_char                    words[NGX_EB_PROBE_WORDS];
} ngx_http_eventbridge_health_sh_t;


/* of one destination, or of one for the whole of http */

struct ngx_http_eventbridge_health_s {
    ngx_str_t                 destination;
    ngx_str_t                 server;       /* its name, or empty: any */
    ngx_http_core_srv_conf_t *cscf;         /* NULL: any server's */
    ngx_str_t                 url;          /* empty: there are no probes */
    ngx_eb_health_conf_t      conf;
    ngx_eb_probe_range_t      expect[NGX_HTTP_EVENTBRIDGE_EXPECT];
    ngx_uint_t                nexpect;
    ngx_str_t                 trusted_certificate;
    ngx_resolver_t           *configured;   /* where it is used, */
    ngx_resolver_t           *resolver;     /* and what probes make of it */
    ngx_uint_t                number;       /* among all, */
    ngx_uint_t                first;        /* and of the first with these
                                               names: servers may share one */
    ngx_uint_t                known;        /* its destination is one, */
    ngx_uint_t                used;         /* and this is what it has */
    u_char                   *file;
    ngx_uint_t                line;

    ngx_slab_pool_t          *shpool;       /* protects the state */
    ngx_http_eventbridge_health_sh_t  *sh;

    /* of one worker, while it probes */
    void                     *prober;
    ngx_eb_probe_t           *probe;
    uint64_t                  began;
};


/* ngx_http_eventbridge_probe.c: configuration, and the worker that probes */

char *ngx_http_eventbridge_probe(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* postconfiguration: destinations of a location get what is known of them;
   and when all have, what nobody uses is an error */
ngx_int_t ngx_http_eventbridge_probe_place(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_place_t *place);
ngx_int_t ngx_http_eventbridge_probe_setup(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf);

ngx_int_t ngx_http_eventbridge_probe_init_process(ngx_cycle_t *cycle,
    ngx_http_eventbridge_main_conf_t *emcf);
void ngx_http_eventbridge_probe_exit_process(
    ngx_http_eventbridge_main_conf_t *emcf);


/* ngx_http_eventbridge_destination.c: what deliveries make of it */

/*
 * The time of the state machine: milliseconds of a clock that all processes
 * share, as of the present turn of the event loop.
 */
#define ngx_http_eventbridge_destination_now()  ((uint64_t) ngx_current_msec)

/*
 * A probe or a delivery has ended, see ngx_eb_health_result(); why is words
 * for a failure.  A change is logged and goes to the audit logs.
 */
void ngx_http_eventbridge_destination_result(
    ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_eventbridge_health_t *health, uint64_t began, ngx_uint_t ok,
    ngx_str_t *why);

/* is the status one that shows that it is there? */
ngx_uint_t ngx_http_eventbridge_destination_expects(
    ngx_http_eventbridge_health_t *health, ngx_uint_t status);

/* what a job needs to know where its events go.  NGX_OK, NGX_ERROR (no
   memory) */
ngx_int_t ngx_http_eventbridge_destination_prepare(
    ngx_http_eventbridge_job_t *job);

/* the job asks the store again: what it heard before may have changed */
void ngx_http_eventbridge_destination_forget(ngx_http_eventbridge_job_t *job);

/*
 * Would destination d refuse what the job has for it?  "take": it is asked for
 * good, and says the same until the job forgets.
 */
ngx_uint_t ngx_http_eventbridge_destination_asked(
    ngx_http_eventbridge_job_t *job, ngx_uint_t d, ngx_uint_t take);

#define ngx_http_eventbridge_destination_refused(job, d, take)                \
    ((job)->verdicts                                                          \
     && ngx_http_eventbridge_destination_asked(job, d, take))

/* where hit number i is to go: its destination, or while that is down its
   alternate, unless that is down, too */
ngx_uint_t ngx_http_eventbridge_destination_choose(
    ngx_http_eventbridge_job_t *job, ngx_uint_t i, ngx_uint_t take);

#define ngx_http_eventbridge_destination_target(job, i, take)                 \
    ((job)->verdicts                                                          \
     ? ngx_http_eventbridge_destination_choose(job, i, take)                  \
     : ((ngx_eb_route_hit_t *) (job)->hits.elts)[i].destination)

/* a send that would begin now: is it over at once, because its destination is
   down?  Then it is settled, and its job is woken */
ngx_uint_t ngx_http_eventbridge_destination_refuse(
    ngx_http_eventbridge_send_t *send);

/* the destination of a send has answered, or has not */
void ngx_http_eventbridge_destination_sent(ngx_http_eventbridge_send_t *send);

/* and took its events: those of others, whose alternate it is, are counted */
void ngx_http_eventbridge_destination_delivered(
    ngx_http_eventbridge_send_t *send);

/* the bit of the alternate that took hit number i; 0: none did */
uint64_t ngx_http_eventbridge_destination_bit(ngx_http_eventbridge_job_t *job,
    ngx_uint_t i);

/* the sender hears now that it took too long, and so do destinations */
void ngx_http_eventbridge_destination_overdue(
    ngx_http_eventbridge_job_t *job);

/* seconds since the epoch; 0: it is up, as far as is known */
int64_t ngx_http_eventbridge_destination_since(
    ngx_http_eventbridge_destination_t *d);


/* ngx_http_eventbridge_destination_figures.c: metrics and health */

ngx_uint_t ngx_http_eventbridge_destination_nextras(
    ngx_http_eventbridge_main_conf_t *emcf);

/* adds that many at most to extra, from number *n on.  NGX_OK, NGX_ERROR */
ngx_int_t ngx_http_eventbridge_destination_extras(ngx_pool_t *pool,
    ngx_http_eventbridge_main_conf_t *emcf, ngx_eb_stats_extra_t *extra,
    ngx_uint_t *n);

/* a member of the health document, of so many bytes: is one down? */
size_t ngx_http_eventbridge_destination_health_size(
    ngx_http_eventbridge_main_conf_t *emcf);
ngx_uint_t ngx_http_eventbridge_destination_health(
    ngx_http_eventbridge_main_conf_t *emcf, ngx_eb_out_t *out);


#endif /* _NGX_HTTP_EVENTBRIDGE_DESTINATION_H_INCLUDED_ */
