
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The audit log.  A worker has two buffers: lines are added to one of them
 * while a thread writes the other, and grows meanwhile.  When both are full,
 * lines are lost and counted.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#if (NGX_THREADS)
#include <ngx_thread_pool.h>
#endif
#include "ngx_eb_out.h"
#include "ngx_eb_audit.h"


#define NGX_EB_AUDIT_LINE        4096

/* bytes of a string that are shown: of the event's own fields, of others */
#define NGX_EB_AUDIT_LONG        256
#define NGX_EB_AUDIT_SHORT       128

/*
 * The same for a line that is too long otherwise: every byte can need six,
 * and 3 * (80 * 6) + 7 * (40 * 6) leaves a fifth of the line to the rest.
 */
#define NGX_EB_AUDIT_LONG_TIGHT  80
#define NGX_EB_AUDIT_SHORT_TIGHT 40

/*
 * A buffer grows to this while the thread is busy: all lines of a large batch
 * come at once, and it has had no time for them, however fast the disk is.
 */
#define NGX_EB_AUDIT_MOST        (8 * 1024 * 1024)

/* seconds between two messages about failing writes */
#define NGX_EB_AUDIT_COMPLAIN    60


/* of the buffer that is being written */

typedef enum {
    NGX_EB_AUDIT_BUF_IDLE = 0,
    NGX_EB_AUDIT_BUF_QUEUED,    /* who changes it to RUNNING writes the lines */
    NGX_EB_AUDIT_BUF_RUNNING,
    NGX_EB_AUDIT_BUF_DONE       /* the last thing that the thread does */
} ngx_eb_audit_state_e;


typedef struct {
    u_char                   *base;         /* of "size" bytes */
    u_char                   *start;        /* another one: it has grown */
    u_char                   *pos;
    u_char                   *end;
    ngx_uint_t                lines;

    /* what was added before a reopen belongs to the file of that time */
    u_char                   *split;
    ngx_fd_t                  old;
    ngx_uint_t                old_generation;

    /* for the thread, and what it reports */
    ngx_fd_t                  fd;
    ngx_uint_t                generation;
    ngx_uint_t                lost;
    ngx_uint_t                errors;
    ngx_err_t                 err;
} ngx_eb_audit_buf_t;


struct ngx_eb_audit_s {
    ngx_open_file_t          *file;
    size_t                    size;
    ngx_msec_t                flush;

    /* the rest is of one worker */

    ngx_eb_stats_cell_t      *cells;
    ngx_log_t                *log;

    ngx_eb_audit_buf_t        bufs[2];
    ngx_uint_t                active;       /* lines are added to this one */
    ngx_uint_t                hurry;        /* it goes as soon as it can */
    ngx_uint_t                pause;        /* no try before the timer */
    ngx_uint_t                generation;   /* of the file, from 1 */
    ngx_uint_t                started;

    ngx_eb_audit_buf_t       *writing;
    ngx_atomic_t              state;        /* of writing */
    ngx_uint_t                torn;         /* generation of a file that our
                                               last write left inside a line;
                                               only for who is writing */
#if (NGX_THREADS)
    ngx_thread_pool_t        *thread_pool;
    ngx_thread_task_t        *task;
#endif

    time_t                    complained;
    ngx_event_t               event;
    ngx_connection_t          dummy;        /* what its data must be */
};


static ngx_int_t ngx_eb_audit_test(ngx_conf_t *cf, ngx_str_t *name);
static size_t ngx_eb_audit_line(u_char *start, size_t size,
    ngx_eb_audit_record_t *record, size_t max_long, size_t max_short);
static void ngx_eb_audit_string(ngx_eb_out_t *out, const char *name,
    ngx_str_t *value, size_t max);
static void ngx_eb_audit_hand_over(ngx_eb_audit_t *audit);
#if (NGX_THREADS)
static ngx_int_t ngx_eb_audit_post(ngx_eb_audit_t *audit,
    ngx_eb_audit_buf_t *buf);
static void ngx_eb_audit_thread(void *data, ngx_log_t *log);
static void ngx_eb_audit_complete(ngx_event_t *ev);
#endif
static ngx_eb_audit_buf_t *ngx_eb_audit_room(ngx_eb_audit_t *audit);
static ngx_int_t ngx_eb_audit_grow(ngx_eb_audit_t *audit,
    ngx_eb_audit_buf_t *buf);
static void ngx_eb_audit_added(ngx_eb_audit_t *audit, ngx_eb_audit_buf_t *buf,
    size_t len);
static void ngx_eb_audit_write_buf(ngx_eb_audit_t *audit,
    ngx_eb_audit_buf_t *buf);
static void ngx_eb_audit_write_part(ngx_eb_audit_t *audit,
    ngx_eb_audit_buf_t *buf, ngx_fd_t fd, ngx_uint_t generation,
    u_char *start, u_char *end);
static u_char *ngx_eb_audit_write_fd(ngx_fd_t fd, u_char *p, u_char *end,
    ngx_err_t *err);
static void ngx_eb_audit_account(ngx_eb_audit_t *audit,
    ngx_eb_audit_buf_t *buf);
static void ngx_eb_audit_complain(ngx_eb_audit_t *audit, ngx_err_t err,
    const char *what);
static void ngx_eb_audit_timer(ngx_event_t *ev);
static void ngx_eb_audit_reopen(ngx_open_file_t *file, ngx_log_t *log);
static void ngx_eb_audit_count(ngx_eb_audit_t *audit, ngx_uint_t cell,
    ngx_uint_t n);


static ngx_str_t  ngx_eb_audit_actions[] = {
    ngx_string("\"forwarded\""),
    ngx_string("\"duplicate\""),
    ngx_string("\"dropped\""),
    ngx_string("\"dead\""),
    ngx_string("\"failed\""),
    ngx_string("\"busy\""),
    ngx_string("\"invalid\""),
    ngx_string("\"unrouted\"")
};


ngx_eb_audit_t *
ngx_eb_audit_open(ngx_conf_t *cf, ngx_array_t *audits, ngx_str_t *file,
    size_t buffer, ngx_msec_t flush)
{
    ngx_uint_t         i;
    ngx_eb_audit_t    *audit, **elts;
    ngx_open_file_t   *open_file;

    if (buffer < NGX_EB_AUDIT_LINE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the buffer of audit log \"%V\" is smaller "
                           "than a line may be, %d bytes",
                           file, NGX_EB_AUDIT_LINE);
        return NULL;
    }

    if (flush == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the flush time of audit log \"%V\" is zero",
                           file);
        return NULL;
    }

    open_file = ngx_conf_open_file(cf->cycle, file);
    if (open_file == NULL) {
        return NULL;
    }

    elts = audits->elts;

    for (i = 0; i < audits->nelts; i++) {

        if (elts[i]->file != open_file) {
            continue;
        }

        if (elts[i]->size != buffer || elts[i]->flush != flush) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"eventbridge_audit_log\" \"%V\" already "
                               "defined with other parameters",
                               &open_file->name);
            return NULL;
        }

        return elts[i];
    }

    if (open_file->flush || open_file->data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"eventbridge_audit_log\" \"%V\" is the log "
                           "of another module", &open_file->name);
        return NULL;
    }

    if (ngx_eb_audit_test(cf, &open_file->name) != NGX_OK) {
        return NULL;
    }

    audit = ngx_pcalloc(cf->pool, sizeof(ngx_eb_audit_t));
    if (audit == NULL) {
        return NULL;
    }

    elts = ngx_array_push(audits);
    if (elts == NULL) {
        return NULL;
    }

    *elts = audit;

    audit->file = open_file;
    audit->size = buffer;
    audit->flush = flush;

#if (NGX_THREADS)
    audit->thread_pool = ngx_thread_pool_add(cf, NULL);
    if (audit->thread_pool == NULL) {
        return NULL;
    }
#endif

    open_file->flush = ngx_eb_audit_reopen;
    open_file->data = audit;

    return audit;
}


/*
 * Core opens the file later, and then its message would not say who wants it:
 * what can be told of it now is told now.
 */

static ngx_int_t
ngx_eb_audit_test(ngx_conf_t *cf, ngx_str_t *name)
{
    u_char       *p, dir[NGX_MAX_PATH];
    ngx_err_t     err;
    struct stat   st;

    err = NGX_EISDIR;

    if (stat((char *) name->data, &st) == 0) {

        if (!S_ISDIR(st.st_mode)) {
            return NGX_OK;
        }

    } else {
        err = ngx_errno;

        if (err == NGX_ENOENT && name->len < NGX_MAX_PATH) {
            p = ngx_cpymem(dir, name->data, name->len);

            while (p > dir + 1 && p[-1] != '/') {
                p--;
            }

            *p = '\0';

            if (stat((char *) dir, &st) == 0) {
                return NGX_OK;
            }
        }
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, err,
                       "\"eventbridge_audit_log\" cannot write to \"%V\"",
                       name);

    return NGX_ERROR;
}


ngx_int_t
ngx_eb_audit_start(ngx_eb_audit_t *audit, ngx_cycle_t *cycle,
    ngx_eb_stats_cell_t *cells)
{
    ngx_uint_t           i;
    ngx_eb_audit_buf_t  *buf;

    audit->cells = cells;
    audit->log = cycle->log;
    audit->state = NGX_EB_AUDIT_BUF_IDLE;
    audit->generation = 1;

    for (i = 0; i < 2; i++) {
        buf = &audit->bufs[i];

        buf->base = ngx_palloc(cycle->pool, audit->size);
        if (buf->base == NULL) {
            return NGX_ERROR;
        }

        buf->start = buf->base;
        buf->pos = buf->start;
        buf->end = buf->start + audit->size;
        buf->split = buf->start;
        buf->old = NGX_INVALID_FILE;
        buf->fd = NGX_INVALID_FILE;
    }

#if (NGX_THREADS)

    /* a helper process has no threads */

    if (ngx_process != NGX_PROCESS_WORKER
        && ngx_process != NGX_PROCESS_SINGLE)
    {
        audit->thread_pool = NULL;
    }

    if (audit->thread_pool) {
        audit->task = ngx_thread_task_alloc(cycle->pool, 0);
        if (audit->task == NULL) {
            return NGX_ERROR;
        }

        audit->task->ctx = audit;
        audit->task->handler = ngx_eb_audit_thread;
        audit->task->event.data = audit;
        audit->task->event.handler = ngx_eb_audit_complete;
        audit->task->event.log = cycle->log;
    }

#endif

    audit->dummy.fd = (ngx_socket_t) -1;
    audit->dummy.data = audit;

    audit->event.data = &audit->dummy;
    audit->event.handler = ngx_eb_audit_timer;
    audit->event.log = cycle->log;
    audit->event.cancelable = 1;

    audit->started = 1;

    return NGX_OK;
}


void
ngx_eb_audit_write(ngx_eb_audit_t *audit, ngx_eb_audit_record_t *record)
{
    size_t               len;
    ngx_eb_audit_buf_t  *buf;

    buf = ngx_eb_audit_room(audit);

    if (buf == NULL) {
        return;
    }

    len = ngx_eb_audit_line(buf->pos, NGX_EB_AUDIT_LINE, record,
                            NGX_EB_AUDIT_LONG, NGX_EB_AUDIT_SHORT);

    if (len == 0) {

        /* cut strings rather than lose members: the action counts most */

        len = ngx_eb_audit_line(buf->pos, NGX_EB_AUDIT_LINE, record,
                                NGX_EB_AUDIT_LONG_TIGHT,
                                NGX_EB_AUDIT_SHORT_TIGHT);
    }

    ngx_eb_audit_added(audit, buf, len);
}


void
ngx_eb_audit_text(ngx_eb_audit_t *audit, ngx_str_t *text)
{
    size_t               len;
    ngx_eb_audit_buf_t  *buf;

    buf = ngx_eb_audit_room(audit);

    if (buf == NULL) {
        return;
    }

    len = 0;

    if (text->len < NGX_EB_AUDIT_LINE) {
        len = ngx_sprintf(buf->pos, "%V\n", text) - buf->pos;
    }

    ngx_eb_audit_added(audit, buf, len);
}


/* a buffer that a line fits into, or NULL: it is dropped */

static ngx_eb_audit_buf_t *
ngx_eb_audit_room(ngx_eb_audit_t *audit)
{
    ngx_eb_audit_buf_t  *buf;

    if (!audit->started) {
        return NULL;
    }

    buf = &audit->bufs[audit->active];

    if (buf->end - buf->pos < NGX_EB_AUDIT_LINE) {

        ngx_eb_audit_hand_over(audit);

        buf = &audit->bufs[audit->active];

        if (buf->end - buf->pos < NGX_EB_AUDIT_LINE
            && ngx_eb_audit_grow(audit, buf) != NGX_OK)
        {
            ngx_eb_audit_count(audit, NGX_EB_STATS_N_AUDIT_DROPPED, 1);
            return NULL;
        }
    }

    return buf;
}


/* of lines that nobody is writing; until they are written */

static ngx_int_t
ngx_eb_audit_grow(ngx_eb_audit_t *audit, ngx_eb_audit_buf_t *buf)
{
    size_t   size;
    u_char  *start;

    size = 2 * (buf->end - buf->start);

    if (size > NGX_EB_AUDIT_MOST) {
        return NGX_DECLINED;
    }

    start = ngx_alloc(size, audit->log);
    if (start == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(start, buf->start, buf->pos - buf->start);

    buf->pos = start + (buf->pos - buf->start);
    buf->split = start + (buf->split - buf->start);
    buf->end = start + size;

    if (buf->start != buf->base) {
        ngx_free(buf->start);
    }

    buf->start = start;

    return NGX_OK;
}


/* a line of this length was written there; 0: it was too long */

static void
ngx_eb_audit_added(ngx_eb_audit_t *audit, ngx_eb_audit_buf_t *buf, size_t len)
{
    if (len == 0) {
        ngx_eb_audit_count(audit, NGX_EB_STATS_N_AUDIT_DROPPED, 1);
        return;
    }

    buf->pos += len;
    buf->lines++;

    if (!audit->event.timer_set) {
        ngx_add_timer(&audit->event, audit->flush);
    }
}


/* the length of the line, or 0: it does not fit */

static size_t
ngx_eb_audit_line(u_char *start, size_t size, ngx_eb_audit_record_t *record,
    size_t max_long, size_t max_short)
{
    ngx_str_t      reason, *action;
    ngx_eb_out_t   out;

    ngx_eb_out_init(&out, start, size);

    ngx_eb_out_lit(&out, "{\"timestamp\":");
    ngx_eb_out_time(&out, record->time);

    ngx_eb_audit_string(&out, ",\"requestId\":", record->request_id,
                        max_short);
    ngx_eb_audit_string(&out, ",\"traceId\":", record->trace_id, max_short);
    ngx_eb_audit_string(&out, ",\"location\":", record->location, max_short);
    ngx_eb_audit_string(&out, ",\"eventId\":", record->id, max_long);
    ngx_eb_audit_string(&out, ",\"source\":", record->source, max_long);
    ngx_eb_audit_string(&out, ",\"type\":", record->type, max_long);

    action = &ngx_eb_audit_actions[record->action];

    ngx_eb_out_lit(&out, ",\"action\":");
    ngx_eb_out_raw(&out, action->data, action->len);

    ngx_eb_audit_string(&out, ",\"route\":", record->route, max_short);
    ngx_eb_audit_string(&out, ",\"destination\":", record->destination,
                        max_short);

    if (record->status) {
        ngx_eb_out_lit(&out, ",\"status\":");
        ngx_eb_out_int(&out, (int64_t) record->status);
    }

    ngx_eb_audit_string(&out, ",\"sender\":", record->sender, max_short);
    ngx_eb_audit_string(&out, ",\"region\":", record->region, max_short);

    if (record->lag >= 0) {
        ngx_eb_out_lit(&out, ",\"lagMs\":");
        ngx_eb_out_int(&out, record->lag);
    }

    if (record->reason) {
        reason.data = (u_char *) record->reason;
        reason.len = ngx_strlen(record->reason);

        ngx_eb_audit_string(&out, ",\"reason\":", &reason, max_short);
    }

    ngx_eb_out_lit(&out, "}\n");

    if (out.truncated) {
        return 0;
    }

    return out.pos - start;
}


static void
ngx_eb_audit_string(ngx_eb_out_t *out, const char *name, ngx_str_t *value,
    size_t max)
{
    if (value == NULL || value->len == 0) {
        return;
    }

    ngx_eb_out_raw(out, name, ngx_strlen(name));
    ngx_eb_out_string(out, value, max);
}


/*
 * The active buffer goes to the thread, and the other one becomes active;
 * when the thread is not done with that yet, nothing changes.
 */

static void
ngx_eb_audit_hand_over(ngx_eb_audit_t *audit)
{
    ngx_eb_audit_buf_t  *buf;

    buf = &audit->bufs[audit->active];

    if (buf->pos == buf->start || audit->pause) {
        return;
    }

    if (audit->state != NGX_EB_AUDIT_BUF_IDLE) {
        audit->hurry = 1;
        return;
    }

#if (NGX_THREADS)

    if (audit->thread_pool) {

        if (ngx_eb_audit_post(audit, buf) != NGX_OK) {

            /* the timer tries again */

            audit->pause = 1;

            if (!audit->event.timer_set) {
                ngx_add_timer(&audit->event, audit->flush);
            }

            return;
        }

        audit->active ^= 1;
        audit->hurry = 0;

        if (audit->event.timer_set) {
            ngx_del_timer(&audit->event);
        }

        return;
    }

#endif

    buf->fd = audit->file->fd;
    buf->generation = audit->generation;

    ngx_eb_audit_write_buf(audit, buf);
    ngx_eb_audit_account(audit, buf);

    audit->hurry = 0;

    if (audit->event.timer_set) {
        ngx_del_timer(&audit->event);
    }
}


#if (NGX_THREADS)

static ngx_int_t
ngx_eb_audit_post(ngx_eb_audit_t *audit, ngx_eb_audit_buf_t *buf)
{
    /* a reopen closes the file's descriptor whenever it likes */

    buf->fd = fcntl(audit->file->fd, F_DUPFD_CLOEXEC, 0);

    if (buf->fd == NGX_INVALID_FILE) {
        ngx_eb_audit_count(audit, NGX_EB_STATS_N_AUDIT_ERRORS, 1);
        ngx_eb_audit_complain(audit, ngx_errno, "fcntl(F_DUPFD_CLOEXEC)");
        return NGX_ERROR;
    }

    buf->generation = audit->generation;

    audit->writing = buf;
    audit->state = NGX_EB_AUDIT_BUF_QUEUED;

    if (ngx_thread_task_post(audit->thread_pool, audit->task) != NGX_OK) {

        ngx_eb_audit_count(audit, NGX_EB_STATS_N_AUDIT_ERRORS, 1);

        /* core leaves it set when it fails halfway */
        audit->task->event.active = 0;

        audit->state = NGX_EB_AUDIT_BUF_IDLE;

        (void) ngx_close_file(buf->fd);
        buf->fd = NGX_INVALID_FILE;

        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_eb_audit_thread(void *data, ngx_log_t *log)
{
    ngx_eb_audit_t *audit = data;

    ngx_eb_audit_buf_t  *buf;

    /* an exiting worker may have written it by itself */

    if (!ngx_atomic_cmp_set(&audit->state, NGX_EB_AUDIT_BUF_QUEUED,
                            NGX_EB_AUDIT_BUF_RUNNING))
    {
        return;
    }

    buf = audit->writing;

    ngx_eb_audit_write_buf(audit, buf);

    (void) ngx_close_file(buf->fd);
    buf->fd = NGX_INVALID_FILE;

    __atomic_store_n(&audit->state, NGX_EB_AUDIT_BUF_DONE, __ATOMIC_RELEASE);
}


static void
ngx_eb_audit_complete(ngx_event_t *ev)
{
    ngx_eb_audit_t *audit = ev->data;

    if (__atomic_load_n(&audit->state, __ATOMIC_ACQUIRE)
        != NGX_EB_AUDIT_BUF_DONE)
    {
        return;
    }

    ngx_eb_audit_account(audit, audit->writing);

    audit->state = NGX_EB_AUDIT_BUF_IDLE;

    if (audit->hurry) {
        ngx_eb_audit_hand_over(audit);
    }
}

#endif


/* by the thread, or by the worker: touches nothing that both use at once */

static void
ngx_eb_audit_write_buf(ngx_eb_audit_t *audit, ngx_eb_audit_buf_t *buf)
{
    buf->lost = 0;
    buf->errors = 0;
    buf->err = 0;

    if (buf->old != NGX_INVALID_FILE) {
        ngx_eb_audit_write_part(audit, buf, buf->old, buf->old_generation,
                                buf->start, buf->split);

        (void) ngx_close_file(buf->old);
        buf->old = NGX_INVALID_FILE;
    }

    ngx_eb_audit_write_part(audit, buf, buf->fd, buf->generation, buf->split,
                            buf->pos);
}


static void
ngx_eb_audit_write_part(ngx_eb_audit_t *audit, ngx_eb_audit_buf_t *buf,
    ngx_fd_t fd, ngx_uint_t generation, u_char *start, u_char *end)
{
    u_char         *p;
    ngx_err_t       err;
    static u_char   newline[] = "\n";

    if (start == end) {
        return;
    }

    p = start;

    if (audit->torn == generation) {

        /* what a failed write left of a line must not spoil this one */

        if (ngx_eb_audit_write_fd(fd, newline, newline + 1, &err) == newline)
        {
            goto failed;
        }

        audit->torn = 0;
    }

    p = ngx_eb_audit_write_fd(fd, start, end, &err);

    if (p == end) {
        return;
    }

    if (p > start && p[-1] != LF) {
        audit->torn = generation;
    }

failed:

    buf->errors++;
    buf->err = err;

    for ( /* void */ ; p < end; p++) {
        if (*p == LF) {
            buf->lost++;
        }
    }
}


/* how far it came: less than end only with an error */

static u_char *
ngx_eb_audit_write_fd(ngx_fd_t fd, u_char *p, u_char *end, ngx_err_t *err)
{
    ssize_t  n;

    *err = 0;

    while (p < end) {
        n = write(fd, p, end - p);

        if (n > 0) {
            p += n;
            continue;
        }

        *err = (n == 0) ? NGX_ENOSPC : ngx_errno;

        if (*err != NGX_EINTR) {
            break;
        }
    }

    return p;
}


static void
ngx_eb_audit_account(ngx_eb_audit_t *audit, ngx_eb_audit_buf_t *buf)
{
    if (buf->lines > buf->lost) {
        ngx_eb_audit_count(audit, NGX_EB_STATS_N_AUDIT_LINES,
                           buf->lines - buf->lost);
    }

    if (buf->lost) {
        ngx_eb_audit_count(audit, NGX_EB_STATS_N_AUDIT_DROPPED, buf->lost);
    }

    if (buf->errors) {
        ngx_eb_audit_count(audit, NGX_EB_STATS_N_AUDIT_ERRORS, buf->errors);
        ngx_eb_audit_complain(audit, buf->err, "write()");
    }

    if (buf->start != buf->base) {
        ngx_free(buf->start);
        buf->start = buf->base;
        buf->end = buf->base + audit->size;
    }

    buf->pos = buf->start;
    buf->split = buf->start;
    buf->lines = 0;
}


static void
ngx_eb_audit_complain(ngx_eb_audit_t *audit, ngx_err_t err, const char *what)
{
    time_t  now;

    now = ngx_time();

    if (audit->complained
        && now >= audit->complained
        && now - audit->complained < NGX_EB_AUDIT_COMPLAIN)
    {
        return;
    }

    audit->complained = now;

    ngx_log_error(NGX_LOG_ERR, audit->log, err,
                  "eventbridge: %s of audit log \"%V\" failed",
                  what, &audit->file->name);
}


static void
ngx_eb_audit_timer(ngx_event_t *ev)
{
    ngx_eb_audit_t    *audit;
    ngx_connection_t  *dummy;

    /* also while the worker drains: that may last hours */

    dummy = ev->data;
    audit = dummy->data;

    audit->pause = 0;

    ngx_eb_audit_hand_over(audit);
}


/* by core, before it opens the file anew and when a process ends */

static void
ngx_eb_audit_reopen(ngx_open_file_t *file, ngx_log_t *log)
{
    ngx_eb_audit_t *audit = file->data;

    ngx_eb_audit_buf_t  *buf;

    /* the master has no lines */

    if (!audit->started) {
        return;
    }

    audit->pause = 0;

    ngx_eb_audit_hand_over(audit);

    audit->generation++;

    buf = &audit->bufs[audit->active];

    if (buf->pos == buf->start) {
        return;
    }

    /* the thread has not come to it yet; at a second time keep the oldest */

    if (buf->old == NGX_INVALID_FILE) {
        buf->old = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);

        if (buf->old == NGX_INVALID_FILE) {

            /* then the lines go to the new file: no harm */

            ngx_eb_audit_complain(audit, ngx_errno, "fcntl(F_DUPFD_CLOEXEC)");
            return;
        }

        buf->old_generation = audit->generation - 1;
    }

    buf->split = buf->pos;
}


ngx_str_t *
ngx_eb_audit_path(ngx_eb_audit_t *audit)
{
    return &audit->file->name;
}


ngx_fd_t
ngx_eb_audit_dup(ngx_eb_audit_t *audit)
{
    ngx_fd_t  fd;

    fd = fcntl(audit->file->fd, F_DUPFD_CLOEXEC, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_eb_audit_complain(audit, ngx_errno, "fcntl(F_DUPFD_CLOEXEC)");
    }

    return fd;
}


void
ngx_eb_audit_stop(ngx_eb_audit_t *audit)
{
    ngx_eb_audit_buf_t  *buf;

    if (!audit->started) {
        return;
    }

    audit->started = 0;

    if (audit->event.timer_set) {
        ngx_del_timer(&audit->event);
    }

    /* the older lines first */

    if (audit->state != NGX_EB_AUDIT_BUF_IDLE) {
        buf = audit->writing;

        /*
         * The threads are gone by now, or they could not be stopped.  The
         * task was done and nobody told us, or it never ran and never will:
         * who gets it out of QUEUED is the one to write.  If a thread has
         * it, it has to finish, as it uses our memory.
         */

        if (ngx_atomic_cmp_set(&audit->state, NGX_EB_AUDIT_BUF_QUEUED,
                               NGX_EB_AUDIT_BUF_RUNNING))
        {
            ngx_eb_audit_write_buf(audit, buf);

            (void) ngx_close_file(buf->fd);
            buf->fd = NGX_INVALID_FILE;

        } else {
            while (__atomic_load_n(&audit->state, __ATOMIC_ACQUIRE)
                   != NGX_EB_AUDIT_BUF_DONE)
            {
                ngx_sched_yield();
            }
        }

        ngx_eb_audit_account(audit, buf);

        audit->state = NGX_EB_AUDIT_BUF_IDLE;
    }

    buf = &audit->bufs[audit->active];

    if (buf->pos != buf->start) {
        buf->fd = audit->file->fd;
        buf->generation = audit->generation;

        ngx_eb_audit_write_buf(audit, buf);
        ngx_eb_audit_account(audit, buf);
    }
}


static void
ngx_eb_audit_count(ngx_eb_audit_t *audit, ngx_uint_t cell, ngx_uint_t n)
{
    if (audit->cells) {
        ngx_eb_stats_add(audit->cells, cell, (int64_t) n);
    }
}
