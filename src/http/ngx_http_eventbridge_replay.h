
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Dead letters are delivered again: lines are read, gathered by destination,
 * and sent as jobs.  Who has the lines, and wants the results, is behind two
 * functions: a request, or the worker itself.
 */


#ifndef _NGX_HTTP_EVENTBRIDGE_REPLAY_H_INCLUDED_
#define _NGX_HTTP_EVENTBRIDGE_REPLAY_H_INCLUDED_


#include "ngx_http_eventbridge_module.h"


/* of one job: so much is repeated when the process dies */
#define NGX_HTTP_EVENTBRIDGE_REPLAY_LINES  100
#define NGX_HTTP_EVENTBRIDGE_REPLAY_BYTES  (1024 * 1024)


typedef struct {
    ngx_str_t                 text;         /* the line, without its newline */
    ngx_uint_t                number;       /* from 1 */
    ngx_str_t                 raw;
    ngx_str_t                 identity;     /* what makes it this very line */
    ngx_str_t                 scope;
    ngx_str_t                 id;           /* of the event, and so on: where */
    ngx_str_t                 source;       /* its bytes do not have them */
    ngx_str_t                 type;
    ngx_http_eventbridge_ingest_t  *ingest;
    ngx_uint_t                destination;
    ngx_uint_t                form;
    ngx_uint_t                binary;
} ngx_http_eventbridge_replay_line_t;


typedef struct ngx_http_eventbridge_replay_s  ngx_http_eventbridge_replay_t;

struct ngx_http_eventbridge_replay_s {
    ngx_http_eventbridge_main_conf_t  *emcf;
    ngx_http_conf_ctx_t      *server;       /* of lines without one, or NULL */
    ngx_http_request_t       *request;      /* who asked, or NULL */
    ngx_log_t                *log;

    u_char                   *pos;          /* of the lines, borrowed */
    u_char                   *last;
    ngx_uint_t                number;       /* of those that were looked at */

    ngx_pool_t               *pool;         /* of the present lines */
    ngx_http_eventbridge_job_t        *job;     /* that delivers them */
    ngx_http_eventbridge_replay_line_t
                              lines[NGX_HTTP_EVENTBRIDGE_REPLAY_LINES];
    ngx_uint_t                nlines;
    size_t                    bytes;        /* of their events */

    /* NULL, or: is this line to be replayed now? */
    ngx_uint_t              (*wanted)(ngx_http_eventbridge_replay_t *replay,
        ngx_http_eventbridge_replay_line_t *line);

    /* a line that cannot be replayed, and why; NGX_ERROR ends it all */
    ngx_int_t               (*invalid)(ngx_http_eventbridge_replay_t *replay,
        ngx_http_eventbridge_replay_line_t *line, const char *why);

    /* the lines' job has ended: results are in its items, which go when this
       returns */
    void                    (*done)(ngx_http_eventbridge_replay_t *replay);
    void                     *data;
};


/*
 * Delivers the next lines that can go together.  NGX_OK: done() will be
 * called, maybe before this returns; NGX_AGAIN: none of those that it looked
 * at can be replayed; NGX_DONE: there are no more; NGX_ERROR.
 */
ngx_int_t ngx_http_eventbridge_replay_next(
    ngx_http_eventbridge_replay_t *replay);

/* nobody wants the results any more; the job goes on */
void ngx_http_eventbridge_replay_stop(ngx_http_eventbridge_replay_t *replay);

/* ngx_http_eventbridge_replay_request.c */

ngx_int_t ngx_http_eventbridge_replay_handler(ngx_http_request_t *r);

/* ngx_http_eventbridge_replay_auto.c: what eventbridge_unavailable wrote */

/* configuration: the worker itself replays this one; NGX_ERROR: no memory */
ngx_int_t ngx_http_eventbridge_outage_add(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf, ngx_eb_log_t *log);

void ngx_http_eventbridge_outage_init_process(ngx_cycle_t *cycle,
    ngx_http_eventbridge_main_conf_t *emcf);
void ngx_http_eventbridge_outage_exit_process(
    ngx_http_eventbridge_main_conf_t *emcf);


#endif /* _NGX_HTTP_EVENTBRIDGE_REPLAY_H_INCLUDED_ */
