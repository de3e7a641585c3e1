
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
    ngx_str_t                 reason;
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

    ngx_pool_t               *pool;         /* of the present lines */
    ngx_http_eventbridge_job_t        *job;     /* that delivers them */
    ngx_http_eventbridge_replay_line_t
                              lines[NGX_HTTP_EVENTBRIDGE_REPLAY_LINES];
    ngx_uint_t                nlines;
    size_t                    bytes;        /* of their events */

    /* the job has ended: results are in its items, which go when it returns */
    void                    (*done)(ngx_http_eventbridge_replay_t *replay);
    void                     *data;
};


/*
 * One line, whose text is set; memory from replay->pool.  NULL, or why it
 * cannot be replayed.
 */
const char *ngx_http_eventbridge_replay_parse(
    ngx_http_eventbridge_replay_t *replay,
    ngx_http_eventbridge_replay_line_t *line);

/* can line go with those that are there? */
ngx_uint_t ngx_http_eventbridge_replay_fits(
    ngx_http_eventbridge_replay_t *replay,
    ngx_http_eventbridge_replay_line_t *line);

/* delivers the lines; NGX_OK: done() will be called, maybe before this
   returns; NGX_ERROR: no memory, it will not */
ngx_int_t ngx_http_eventbridge_replay_start(
    ngx_http_eventbridge_replay_t *replay);

/* nobody wants the results any more; the job goes on */
void ngx_http_eventbridge_replay_stop(ngx_http_eventbridge_replay_t *replay);

ngx_int_t ngx_http_eventbridge_replay_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_EVENTBRIDGE_REPLAY_H_INCLUDED_ */
