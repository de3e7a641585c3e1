
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The append log of a worker.  Records that come while a thread writes wait,
 * and go together with the next one: a group costs one fdatasync().
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#if (NGX_THREADS)
#include <ngx_thread_pool.h>
#endif
#include "ngx_eb_log.h"


/* seconds between two messages about failures */
#define NGX_EB_LOG_COMPLAIN  60

/* how long figures are good enough, and how often an exit is looked at */
#define NGX_EB_LOG_REFRESH   1000
#define NGX_EB_LOG_HOLD      60000

/* the master must not wait for ever for who was stopped with the lock */
#define NGX_EB_LOG_WAIT      5000

#define NGX_EB_LOG_PROC      "/proc/self/fd"


struct ngx_eb_log_s {
    ngx_str_t                 path;
    const char               *directive;    /* the first one that has it, */
    u_char                   *conf;         /*   and where it stands */
    ngx_uint_t                line;
    size_t                    max_queue;
    uid_t                     user;
    gid_t                     group;

    /*
     * For core, which opens "name" at USR1 and changes its owner, whatever it
     * is by then: a symbolic link as well, in a directory that workers may
     * write to.  So the name leads to a descriptor that we opened before.
     */
    ngx_open_file_t          *slot;
    u_char                    name[sizeof(NGX_EB_LOG_PROC "/")
                                   + NGX_INT_T_LEN];
    ngx_fd_t                  fd;

    /* the rest is of one worker */

    ngx_log_t                *log;
    ngx_uint_t                started;

    ngx_eb_log_record_t      *first;        /* waiting */
    ngx_eb_log_record_t     **last;
    ngx_uint_t                queued;       /* these and the group */
    size_t                    bytes;
    ngx_uint_t                jobs;

    /* of the thread, while "writing" */
    ngx_eb_log_file_t         file;
    ngx_eb_log_record_t      *group_first;
    ngx_err_t                 err;

    ngx_uint_t                writing;
    ngx_uint_t                reopen;       /* when it is not writing */
    ngx_uint_t                compacting;

    ngx_eb_log_figures_t      figures;
    ngx_eb_log_figures_t      scan;         /* of the thread that scans */
    ngx_err_t                 scan_err;
    ngx_uint_t                scanning;
    ngx_uint_t                known;
    ngx_msec_t                scanned;

    ngx_eb_log_stats_t        stats;
    time_t                    complained;

    /* threads that use this, and whether they still may */
    ngx_atomic_t              running;
    ngx_atomic_t              stopped;

    ngx_event_t               post;
    ngx_event_t               hold;
    ngx_connection_t          dummy;        /* what the data of hold must be */

#if (NGX_THREADS)
    ngx_thread_pool_t        *thread_pool;
    ngx_thread_task_t        *task;
#endif
};


/* on the heap: it lives until its end is told */

typedef struct {
    ngx_eb_log_t             *log;
    void                    (*run)(void *data);
    void                    (*done)(void *data);
    void                     *data;
#if !(NGX_THREADS)
    ngx_event_t               event;
#endif
} ngx_eb_log_job_t;


typedef struct {
    ngx_eb_log_t             *log;
    ngx_eb_log_file_t         file;
    ngx_eb_log_keep_pt        keep;
    ngx_eb_log_compacted_pt   done;
    void                     *data;
    ngx_err_t                 err;
    ngx_eb_log_compacted_t    result;
} ngx_eb_log_compaction_t;


static void ngx_eb_log_cleanup(void *data);
static ngx_int_t ngx_eb_log_open_file(ngx_eb_log_t *log, ngx_cycle_t *cycle);
static ngx_int_t ngx_eb_log_alone(ngx_eb_log_t *log, ngx_cycle_t *cycle);
static void ngx_eb_log_follow(ngx_open_file_t *slot, ngx_log_t *errlog);
static void ngx_eb_log_post(ngx_eb_log_t *log);
static void ngx_eb_log_post_handler(ngx_event_t *ev);
static void ngx_eb_log_write_group(ngx_eb_log_t *log);
static void ngx_eb_log_written(ngx_eb_log_t *log);
static void ngx_eb_log_finish(ngx_eb_log_t *log, ngx_eb_log_record_t *record,
    ngx_err_t err);
static void ngx_eb_log_hold(ngx_eb_log_t *log);
static void ngx_eb_log_hold_handler(ngx_event_t *ev);
static void ngx_eb_log_complain(ngx_eb_log_t *log, ngx_err_t err,
    const char *what);
#if (NGX_THREADS)
static void ngx_eb_log_thread(void *data, ngx_log_t *errlog);
static void ngx_eb_log_complete(ngx_event_t *ev);
static void ngx_eb_log_job_thread(void *data, ngx_log_t *errlog);
static ngx_int_t ngx_eb_log_enter(ngx_eb_log_t *log);
static void ngx_eb_log_leave(ngx_eb_log_t *log);
#endif
static void ngx_eb_log_job_done(ngx_event_t *ev);
static void ngx_eb_log_scan_run(void *data);
static void ngx_eb_log_scan_done(void *data);
static void ngx_eb_log_compact_run(void *data);
static void ngx_eb_log_compact_done(void *data);


ngx_eb_log_t *
ngx_eb_log_add(ngx_conf_t *cf, ngx_array_t *logs, const char *directive,
    ngx_str_t *path, size_t queue)
{
    ngx_str_t             full;
    ngx_uint_t            i;
    ngx_eb_log_t         *log, **elts;
    ngx_pool_cleanup_t   *cln;

    full = *path;

    if (full.len == 0 || memchr(full.data, '\0', full.len)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid path \"%V\"", path);
        return NULL;
    }

    /* this ends it with NUL */

    if (ngx_conf_full_name(cf->cycle, &full, 0) != NGX_OK) {
        return NULL;
    }

    elts = logs->elts;

    for (i = 0; i < logs->nelts; i++) {

        if (elts[i]->path.len == full.len
            && ngx_strncmp(elts[i]->path.data, full.data, full.len) == 0)
        {
            elts[i]->max_queue = ngx_max(elts[i]->max_queue, queue);
            return elts[i];
        }
    }

    log = ngx_pcalloc(cf->pool, sizeof(ngx_eb_log_t));
    if (log == NULL) {
        return NULL;
    }

    log->path = full;
    log->directive = directive;
    log->conf = cf->conf_file->file.name.data;
    log->line = cf->conf_file->line;
    log->max_queue = queue;
    log->fd = NGX_INVALID_FILE;

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_eb_log_cleanup;
    cln->data = log;

    /* core passes over an entry without a name, also with -t */

    log->slot = ngx_list_push(&cf->cycle->open_files);
    if (log->slot == NULL) {
        return NULL;
    }

    ngx_memzero(log->slot, sizeof(ngx_open_file_t));
    log->slot->fd = NGX_INVALID_FILE;

#if (NGX_THREADS)
    log->thread_pool = ngx_thread_pool_add(cf, NULL);
    if (log->thread_pool == NULL) {
        return NULL;
    }
#endif

    elts = ngx_array_push(logs);
    if (elts == NULL) {
        return NULL;
    }

    *elts = log;

    return log;
}


static void
ngx_eb_log_cleanup(void *data)
{
    ngx_eb_log_t *log = data;

    /* core closes the slot's own one */

    if (log->fd != NGX_INVALID_FILE) {
        (void) ngx_close_file(log->fd);
        log->fd = NGX_INVALID_FILE;
    }
}


ngx_int_t
ngx_eb_log_test(ngx_eb_log_t *log, ngx_log_t *errlog)
{
    ngx_err_t           err;
    ngx_eb_log_file_t   file;

    ngx_eb_log_file_init(&file, log->path.data, -1, -1, errlog);

    err = ngx_eb_log_file_test(&file);

    if (err) {
        ngx_log_error(NGX_LOG_EMERG, errlog, err,
                      "\"%s\" cannot use \"%V\" in %s:%ui: %s failed",
                      log->directive, &log->path, log->conf, log->line,
                      file.failed);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_eb_log_open(ngx_eb_log_t *log, ngx_cycle_t *cycle)
{
    ngx_int_t  rc;

    if (ngx_test_config) {
        rc = ngx_eb_log_test(log, cycle->log);

        return (rc == NGX_OK) ? ngx_eb_log_alone(log, cycle) : rc;
    }

    rc = ngx_eb_log_alone(log, cycle);

    if (rc == NGX_OK) {
        rc = ngx_eb_log_open_file(log, cycle);
    }

    if (rc != NGX_OK
        && cycle->old_cycle
        && !ngx_is_init_cycle(cycle->old_cycle))
    {
        /* an error would end a running master; appends say what is wrong */
        return NGX_OK;
    }

    return rc;
}


static ngx_int_t
ngx_eb_log_open_file(ngx_eb_log_t *log, ngx_cycle_t *cycle)
{
    ngx_err_t           err;
    ngx_core_conf_t    *ccf;
    ngx_eb_log_file_t   file;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    log->user = (uid_t) ccf->user;
    log->group = (gid_t) ccf->group;

    ngx_eb_log_file_init(&file, log->path.data, log->user, log->group,
                         cycle->log);
    file.wait = NGX_EB_LOG_WAIT;

    err = ngx_eb_log_file_recover(&file);
    if (err) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, err,
                      "eventbridge: %s of \"%V\" failed", file.failed,
                      &log->path);
        ngx_eb_log_file_close(&file);
        return NGX_ERROR;
    }

    if (file.cut) {
        ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                      "eventbridge: \"%V\" ended with %O bytes of unfinished "
                      "records, cut", &log->path, file.cut);
    }

    log->fd = file.fd;

    if (access(NGX_EB_LOG_PROC, X_OK) == -1) {

        /* then the next append after a rename creates it, and no one else */

        return NGX_OK;
    }

    log->slot->fd = fcntl(log->fd, F_DUPFD_CLOEXEC, 0);

    if (log->slot->fd == NGX_INVALID_FILE) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "eventbridge: fcntl(F_DUPFD_CLOEXEC) of \"%V\" failed",
                      &log->path);
        return NGX_ERROR;
    }

    log->slot->name.data = log->name;
    log->slot->name.len = ngx_sprintf(log->name, NGX_EB_LOG_PROC "/%d%Z",
                                      log->fd)
                          - log->name - 1;
    log->slot->flush = ngx_eb_log_follow;
    log->slot->data = log;

    return NGX_OK;
}


/* lines of another log in between would be taken for damage */

static ngx_int_t
ngx_eb_log_alone(ngx_eb_log_t *log, ngx_cycle_t *cycle)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_open_file_t  *file;

    part = &cycle->open_files.part;
    file = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            file = part->elts;
            i = 0;
        }

        if (file[i].name.len == log->path.len
            && ngx_strncmp(file[i].name.data, log->path.data, log->path.len)
               == 0)
        {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                          "eventbridge: \"%V\" is the log of another module",
                          &log->path);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * By core, at USR1, in every process, and also when a process ends.  The
 * master creates the file; a worker lets go of the old one.
 */

static void
ngx_eb_log_follow(ngx_open_file_t *slot, ngx_log_t *errlog)
{
    ngx_eb_log_t *log = slot->data;

    ngx_err_t           err;
    ngx_eb_log_file_t   file;

    if (ngx_quit || ngx_exiting || ngx_terminate
        || log->fd == NGX_INVALID_FILE)
    {
        return;
    }

    ngx_eb_log_file_init(&file, log->path.data, log->user, log->group, errlog);

    err = ngx_eb_log_file_open(&file);

    if (err) {
        ngx_log_error(NGX_LOG_ERR, errlog, err,
                      "eventbridge: %s of \"%V\" failed", file.failed,
                      &log->path);

    } else {

        /* the same number, for the name that core will open */

        if (dup3(file.fd, log->fd, O_CLOEXEC) == -1) {
            ngx_log_error(NGX_LOG_ALERT, errlog, ngx_errno,
                          "eventbridge: dup3() of \"%V\" failed", &log->path);
        }

        ngx_eb_log_file_close(&file);
    }

    if (!log->started) {
        return;
    }

    if (log->writing) {
        log->reopen = 1;
        return;
    }

    ngx_eb_log_file_close(&log->file);
}


ngx_int_t
ngx_eb_log_start(ngx_eb_log_t *log, ngx_cycle_t *cycle)
{
    log->log = cycle->log;
    log->last = &log->first;

    ngx_eb_log_file_init(&log->file, log->path.data, log->user, log->group,
                         cycle->log);

#if (NGX_THREADS)

    /* a helper process has no threads, and nothing to append */

    if (ngx_process != NGX_PROCESS_WORKER
        && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    log->task = ngx_thread_task_alloc(cycle->pool, 0);
    if (log->task == NULL) {
        return NGX_ERROR;
    }

    log->task->ctx = log;
    log->task->handler = ngx_eb_log_thread;
    log->task->event.data = log;
    log->task->event.handler = ngx_eb_log_complete;
    log->task->event.log = cycle->log;

#endif

    log->post.data = log;
    log->post.handler = ngx_eb_log_post_handler;
    log->post.log = cycle->log;

    log->dummy.fd = (ngx_socket_t) -1;
    log->dummy.data = log;

    log->hold.data = &log->dummy;
    log->hold.handler = ngx_eb_log_hold_handler;
    log->hold.log = cycle->log;

    /*
     * The rights of the worker are others than the master's: what it lacks is
     * said now, and not first when a record is lost for the lack of it.
     */

    if (access((char *) log->path.data, R_OK|W_OK) == -1) {
        ngx_log_error(NGX_LOG_ERR, cycle->log, ngx_errno,
                      "eventbridge: a worker may not write to \"%V\"",
                      &log->path);
    }

    log->started = 1;

    return NGX_OK;
}


void
ngx_eb_log_stop(ngx_eb_log_t *log)
{
    if (!log->started) {
        return;
    }

    log->started = 0;

    if (log->post.posted) {
        ngx_delete_posted_event(&log->post);
    }

    if (log->hold.timer_set) {
        ngx_del_timer(&log->hold);
    }

    /*
     * The threads are gone by now, or they could not be stopped: then a task
     * that has begun has to finish, for it uses our memory, and others find
     * that they must not begin.
     */

    (void) ngx_atomic_fetch_add(&log->stopped, 1);

    while (ngx_atomic_fetch_add(&log->running, 0)) {
        ngx_sched_yield();
    }

    ngx_eb_log_file_close(&log->file);
}


ngx_int_t
ngx_eb_log_append(ngx_eb_log_t *log, ngx_eb_log_record_t *record)
{
    size_t  len;

    len = record->payload.len;

    record->next = NULL;
    record->err = 0;

    if (!log->started) {
        record->err = NGX_EINVAL;
        return NGX_ERROR;
    }

    /* neither of these two is in any JSON text, or it would not be one line */

    if (len < 2
        || record->payload.data[0] != '{'
        || memchr(record->payload.data, LF, len)
        || memchr(record->payload.data, '\0', len))
    {
        ngx_log_error(NGX_LOG_ALERT, log->log, 0,
                      "eventbridge: a record for \"%V\" is not a line",
                      &log->path);
        record->err = NGX_EINVAL;
        return NGX_ERROR;
    }

    if (len > NGX_EB_LOG_MAX_LINE - NGX_EB_LOG_TAIL) {
        record->err = EMSGSIZE;
        return NGX_ERROR;
    }

    len += NGX_EB_LOG_TAIL;

    /* one alone may be larger than the queue */

    if (log->bytes && log->bytes + len > log->max_queue) {
        record->err = NGX_EAGAIN;
        return NGX_BUSY;
    }

    *log->last = record;
    log->last = &record->next;

    log->queued++;
    log->bytes += len;

    ngx_eb_log_hold(log);

    /* all that come in this turn of the event loop are one group */

    if (!log->writing && !log->post.posted) {
        ngx_eb_log_post(log);
    }

    return NGX_AGAIN;
}


static void
ngx_eb_log_post(ngx_eb_log_t *log)
{
    /* a handler that tries again at once must not keep the loop from going */

    ngx_post_event(&log->post, log->err ? &ngx_posted_next_events
                                        : &ngx_posted_events);
}


static void
ngx_eb_log_post_handler(ngx_event_t *ev)
{
    ngx_eb_log_t *log = ev->data;

    ngx_log_debug2(NGX_LOG_DEBUG_CORE, ev->log, 0,
                   "eventbridge log group: %ui records, %uz bytes",
                   log->queued, log->bytes);

    if (log->writing || log->first == NULL) {
        return;
    }

    log->group_first = log->first;
    log->first = NULL;
    log->last = &log->first;

    log->writing = 1;
    log->stats.groups++;

#if (NGX_THREADS)

    if (ngx_thread_task_post(log->thread_pool, log->task) == NGX_OK) {
        return;
    }

    /* core leaves it set when it fails halfway */
    log->task->event.active = 0;

    log->err = NGX_EAGAIN;
    log->file.failed = "ngx_thread_task_post()";
    log->file.cut = 0;

#else

    ngx_eb_log_write_group(log);

#endif

    ngx_eb_log_written(log);
}


#if (NGX_THREADS)

static void
ngx_eb_log_thread(void *data, ngx_log_t *errlog)
{
    ngx_eb_log_t *log = data;

    if (ngx_eb_log_enter(log) == NGX_OK) {
        ngx_eb_log_write_group(log);
    }

    ngx_eb_log_leave(log);
}


static void
ngx_eb_log_complete(ngx_event_t *ev)
{
    ngx_eb_log_t *log = ev->data;

    if (log->started) {
        ngx_eb_log_written(log);
    }
}


/* NGX_DECLINED: the worker is at its end; leave in any case */

static ngx_int_t
ngx_eb_log_enter(ngx_eb_log_t *log)
{
    (void) ngx_atomic_fetch_add(&log->running, 1);

    return ngx_atomic_fetch_add(&log->stopped, 0) ? NGX_DECLINED : NGX_OK;
}


static void
ngx_eb_log_leave(ngx_eb_log_t *log)
{
    (void) ngx_atomic_fetch_add(&log->running, -1);
}

#endif


static void
ngx_eb_log_write_group(ngx_eb_log_t *log)
{
    log->file.cut = 0;
    log->err = ngx_eb_log_file_append(&log->file, log->group_first);
}


static void
ngx_eb_log_written(ngx_eb_log_t *log)
{
    ngx_err_t              err;
    ngx_eb_log_record_t   *record, *next;

    err = log->err;
    record = log->group_first;

    log->group_first = NULL;
    log->writing = 0;

    if (log->file.cut) {
        log->stats.torn++;

        ngx_log_error(NGX_LOG_WARN, log->log, 0,
                      "eventbridge: \"%V\" ended with %O bytes of an "
                      "unfinished record, cut", &log->path, log->file.cut);
    }

    if (err) {
        ngx_eb_log_complain(log, err, log->file.failed);
    }

    if (log->reopen || err) {
        log->reopen = 0;
        ngx_eb_log_file_close(&log->file);
    }

    /* a handler may append, too */

    for ( /* void */ ; record; record = next) {
        next = record->next;
        ngx_eb_log_finish(log, record, err);
    }

    if (log->first && !log->writing && !log->post.posted) {
        ngx_eb_log_post(log);
    }

    ngx_eb_log_hold(log);
}


static void
ngx_eb_log_finish(ngx_eb_log_t *log, ngx_eb_log_record_t *record,
    ngx_err_t err)
{
    log->queued--;
    log->bytes -= record->payload.len + NGX_EB_LOG_TAIL;

    if (err) {
        log->stats.failed++;

    } else {
        log->stats.appended++;
    }

    record->err = err;
    record->handler(record);
}


/* an exiting worker stays as long as this timer is set */

static void
ngx_eb_log_hold(ngx_eb_log_t *log)
{
    if (ngx_eb_log_pending(log) == 0) {

        if (log->hold.timer_set) {
            ngx_del_timer(&log->hold);
        }

        return;
    }

    if (!log->hold.timer_set) {
        ngx_add_timer(&log->hold, NGX_EB_LOG_HOLD);
    }
}


static void
ngx_eb_log_hold_handler(ngx_event_t *ev)
{
    ngx_eb_log_t      *log;
    ngx_connection_t  *dummy;

    dummy = ev->data;
    log = dummy->data;

    ngx_log_error(NGX_LOG_WARN, ev->log, 0,
                  "eventbridge: %ui records or jobs of \"%V\" still wait for "
                  "the disk", ngx_eb_log_pending(log), &log->path);

    ngx_eb_log_hold(log);
}


static void
ngx_eb_log_complain(ngx_eb_log_t *log, ngx_err_t err, const char *what)
{
    time_t  now;

    now = ngx_time();

    if (log->complained
        && now >= log->complained
        && now - log->complained < NGX_EB_LOG_COMPLAIN)
    {
        return;
    }

    log->complained = now;

    ngx_log_error(NGX_LOG_ERR, log->log, err,
                  "eventbridge: %s of \"%V\" failed", what, &log->path);
}


ngx_uint_t
ngx_eb_log_pending(ngx_eb_log_t *log)
{
    return log->queued + log->jobs;
}


void
ngx_eb_log_stats(ngx_eb_log_t *log, ngx_eb_log_stats_t *stats)
{
    *stats = log->stats;

    stats->queued = log->queued;
    stats->bytes = log->bytes;
}


ngx_str_t *
ngx_eb_log_path(ngx_eb_log_t *log)
{
    return &log->path;
}


ngx_int_t
ngx_eb_log_run(ngx_eb_log_t *log, void (*run)(void *data),
    void (*done)(void *data), void *data)
{
    ngx_eb_log_job_t   *job;
#if (NGX_THREADS)
    ngx_thread_task_t  *task;
#endif

    if (!log->started) {
        return NGX_ERROR;
    }

#if (NGX_THREADS)

    task = ngx_calloc(sizeof(ngx_thread_task_t) + sizeof(ngx_eb_log_job_t),
                      log->log);
    if (task == NULL) {
        return NGX_ERROR;
    }

    job = (ngx_eb_log_job_t *) (task + 1);

    task->ctx = job;
    task->handler = ngx_eb_log_job_thread;
    task->event.data = task;
    task->event.handler = ngx_eb_log_job_done;
    task->event.log = log->log;

#else

    job = ngx_calloc(sizeof(ngx_eb_log_job_t), log->log);
    if (job == NULL) {
        return NGX_ERROR;
    }

    job->event.data = job;
    job->event.handler = ngx_eb_log_job_done;
    job->event.log = log->log;

#endif

    job->log = log;
    job->run = run;
    job->done = done;
    job->data = data;

#if (NGX_THREADS)

    if (ngx_thread_task_post(log->thread_pool, task) != NGX_OK) {
        ngx_free(task);
        return NGX_ERROR;
    }

#else

    /* not from here: the caller expects neither call before we return */
    ngx_post_event(&job->event, &ngx_posted_events);

#endif

    log->jobs++;

    ngx_eb_log_hold(log);

    return NGX_OK;
}


#if (NGX_THREADS)

static void
ngx_eb_log_job_thread(void *data, ngx_log_t *errlog)
{
    ngx_eb_log_job_t *job = data;

    if (ngx_eb_log_enter(job->log) == NGX_OK) {
        job->run(job->data);
    }

    ngx_eb_log_leave(job->log);
}

#endif


static void
ngx_eb_log_job_done(ngx_event_t *ev)
{
    ngx_eb_log_t       *log;
    ngx_eb_log_job_t   *job;
#if (NGX_THREADS)
    ngx_thread_task_t  *task;

    task = ev->data;
    job = task->ctx;
#else

    job = ev->data;
    job->run(job->data);
#endif

    log = job->log;

    if (log->started) {
        log->jobs--;
        job->done(job->data);
        ngx_eb_log_hold(log);
    }

    /* the job is a part of the task */

    ngx_free(ev->data);
}


ngx_int_t
ngx_eb_log_figures(ngx_eb_log_t *log, ngx_eb_log_figures_t *figures)
{
    if (log->started
        && !log->scanning
        && (!log->known
            || (ngx_msec_t) (ngx_current_msec - log->scanned)
               >= NGX_EB_LOG_REFRESH))
    {
        log->scan = log->figures;

        if (ngx_eb_log_run(log, ngx_eb_log_scan_run, ngx_eb_log_scan_done, log)
            == NGX_OK)
        {
            log->scanning = 1;
        }
    }

    if (!log->known) {
        return NGX_AGAIN;
    }

    *figures = log->figures;

    return NGX_OK;
}


static void
ngx_eb_log_scan_run(void *data)
{
    ngx_eb_log_t *log = data;

    log->scan_err = ngx_eb_log_file_scan(log->path.data, &log->scan, log->log);
}


static void
ngx_eb_log_scan_done(void *data)
{
    ngx_eb_log_t *log = data;

    log->scanning = 0;
    log->scanned = ngx_current_msec;

    if (log->scan_err) {

        if (log->scan_err != NGX_ENOENT) {
            ngx_eb_log_complain(log, log->scan_err, "reading");
            return;
        }

        /* renamed, and nobody has appended since */

        ngx_memzero(&log->scan, sizeof(ngx_eb_log_figures_t));
    }

    log->figures = log->scan;
    log->known = 1;

    /* a file that was replaced takes room on the disk as long as it is open */

    if (!log->writing
        && log->file.fd != NGX_INVALID_FILE
        && (log->file.dev != log->figures.dev
            || log->file.ino != log->figures.ino))
    {
        ngx_eb_log_file_close(&log->file);
    }
}


ngx_int_t
ngx_eb_log_compact(ngx_eb_log_t *log, ngx_eb_log_keep_pt keep,
    ngx_eb_log_compacted_pt done, void *data)
{
    ngx_eb_log_compaction_t  *c;

    if (log->compacting) {
        return NGX_BUSY;
    }

    c = ngx_calloc(sizeof(ngx_eb_log_compaction_t), log->log);
    if (c == NULL) {
        return NGX_ERROR;
    }

    c->log = log;
    c->keep = keep;
    c->done = done;
    c->data = data;

    /* with a lock of its own, so that appending goes on meanwhile */

    ngx_eb_log_file_init(&c->file, log->path.data, log->user, log->group,
                         log->log);

    if (ngx_eb_log_run(log, ngx_eb_log_compact_run, ngx_eb_log_compact_done, c)
        != NGX_OK)
    {
        ngx_free(c);
        return NGX_ERROR;
    }

    log->compacting = 1;

    return NGX_OK;
}


static void
ngx_eb_log_compact_run(void *data)
{
    ngx_eb_log_compaction_t *c = data;

    c->err = ngx_eb_log_file_compact(&c->file, c->keep, c->data, &c->result);

    ngx_eb_log_file_close(&c->file);
}


static void
ngx_eb_log_compact_done(void *data)
{
    ngx_eb_log_compaction_t *c = data;

    ngx_eb_log_t  *log;

    log = c->log;

    log->compacting = 0;

    /* another process is at it, or was faster: no failure of ours */

    if (c->err && c->err != NGX_EBUSY && c->err != NGX_EAGAIN) {
        ngx_eb_log_complain(log, c->err, c->file.failed);
    }

    if (!log->writing) {
        ngx_eb_log_file_close(&log->file);

    } else {
        log->reopen = 1;
    }

    c->done(c->data, c->err, &c->result);

    ngx_free(c);
}
