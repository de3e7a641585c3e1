
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * A worker that has the lease of a lifecycle, its append log, and the bus, for
 * the test of the journal.
 */


#ifndef _LIFECYCLE_NODE_H_INCLUDED_
#define _LIFECYCLE_NODE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <glob.h>
#include "shim.h"
#include "lifecycle.h"
#include "ngx_eb_lifecycle_state.h"


#define PEOPLE    400               /* interactions */
#define STEPS     5                 /* transitions of each */
#define QUEUE     4096


/*
 * The append log without threads: what is given to it is done when flush() is
 * called, or never, if the process ends before that.
 */

struct ngx_eb_log_s {
    ngx_str_t             path;
    ngx_eb_log_file_t     file;
    ngx_eb_log_record_t  *queue[QUEUE];
    ngx_uint_t            n;
    void                (*run)(void *data);
    void                (*done)(void *data);
    ngx_eb_log_keep_pt    keep;
    ngx_eb_log_compacted_pt  compacted;
    void                 *data;
    ngx_uint_t            full;         /* the disk is */
    ngx_uint_t            compactions;
};


typedef struct {
    engine_t                      e;
    ngx_eb_lifecycle_state_t      st;
    ngx_eb_lifecycle_report_t     report;
    ngx_uint_t                    recovered;
    ngx_eb_lifecycle_pending_t   *accepted[QUEUE];
    ngx_uint_t                    n;
    ngx_uint_t                    decided;
    ngx_uint_t                    woken;
} node_t;


/* what the bus has seen of an interaction */

typedef struct {
    u_char                        ids[STEPS + 3][NGX_EB_LIFECYCLE_DIGEST];
    uint8_t                       states[STEPS + 3];
    ngx_uint_t                    n;        /* different ones, in order */
    ngx_uint_t                    again;    /* seen twice */
    ngx_uint_t                    wrong;
} seen_t;


static uint64_t rnd(uint64_t n);
static void fresh(void);
static size_t load(const char *name, u_char **data);
static void store(const u_char *data, size_t len);
static ngx_uint_t aside(char *name);
static void flush(void);
static void node_open(node_t *node);
static ngx_int_t node_start(node_t *node);
static void node_close(node_t *node);
static void node_kill(node_t *node);
static void on_recovered(void *data, ngx_int_t rc,
    ngx_eb_lifecycle_report_t *report);
static void on_accepted(void *data, ngx_eb_lifecycle_pending_t *pending);
static void on_decided(void *data, ngx_eb_lifecycle_decision_t *decision);
static void on_woken(void *data);
static void on_captured(void *data, ngx_int_t rc);
static void publish(node_t *node, ngx_uint_t n, ngx_uint_t done);
static void settle(node_t *node);
static void capture(node_t *node, ngx_uint_t who, ngx_uint_t step);
static void position(node_t *node, ngx_uint_t n);
static ngx_int_t check_file(ngx_eb_lifecycle_report_t *report);


static char           dir[64], path[80];
static uint64_t       seed = 88172645463325252ULL;
static ngx_eb_log_t   jlog;
static int64_t        now;
static ngx_uint_t     captured, refused;
static seen_t        *seen;

static const char    *steps[] = {
    "queued", "ringing", "connected", "wrapping", "closed"
};


static uint64_t
rnd(uint64_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return seed % n;
}


/* what the state needs of the log */

ngx_int_t
ngx_eb_log_append(ngx_eb_log_t *l, ngx_eb_log_record_t *record)
{
    if (l->n == QUEUE) {
        return NGX_BUSY;
    }

    l->queue[l->n++] = record;

    return NGX_AGAIN;
}


ngx_int_t
ngx_eb_log_run(ngx_eb_log_t *l, void (*run)(void *data),
    void (*done)(void *data), void *data)
{
    if (l->done || l->compacted) {
        return NGX_ERROR;
    }

    l->run = run;
    l->done = done;
    l->data = data;

    return NGX_OK;
}


ngx_int_t
ngx_eb_log_compact(ngx_eb_log_t *l, ngx_eb_log_keep_pt keep,
    ngx_eb_log_compacted_pt done, void *data)
{
    l->keep = keep;
    l->compacted = done;
    l->data = data;

    return NGX_OK;
}


ngx_int_t
ngx_eb_log_figures(ngx_eb_log_t *l, ngx_eb_log_figures_t *figures)
{
    struct stat  st;

    memset(figures, 0, sizeof(ngx_eb_log_figures_t));

    if (stat((char *) l->path.data, &st) == -1) {
        return NGX_AGAIN;
    }

    figures->size = st.st_size;

    return NGX_OK;
}


ngx_str_t *
ngx_eb_log_path(ngx_eb_log_t *l)
{
    return &l->path;
}


static void
flush(void)
{
    void                    (*done)(void *data);
    ngx_err_t                 err;
    ngx_uint_t                i, n;
    ngx_eb_log_record_t      *list[QUEUE];
    ngx_eb_log_compacted_t    result;
    ngx_eb_log_compacted_pt   compacted;

    n = jlog.n;
    jlog.n = 0;

    for (i = 0; i < n; i++) {
        list[i] = jlog.queue[i];
        list[i]->next = (i + 1 < n) ? jlog.queue[i + 1] : NULL;
    }

    if (n) {
        err = jlog.full ? NGX_ENOSPC
                        : ngx_eb_log_file_append(&jlog.file, list[0]);

        for (i = 0; i < n; i++) {
            list[i]->err = err;
            list[i]->handler(list[i]);
        }
    }

    if (jlog.done) {
        done = jlog.done;
        jlog.done = NULL;

        jlog.run(jlog.data);
        done(jlog.data);
    }

    if (jlog.compacted) {
        compacted = jlog.compacted;
        jlog.compacted = NULL;
        jlog.compactions++;

        err = ngx_eb_log_file_compact(&jlog.file, jlog.keep, jlog.data,
                                      &result);
        compacted(jlog.data, err, &result);
    }
}


static void
fresh(void)
{
    size_t  i;
    glob_t  g;
    char    pattern[96];

    ngx_eb_log_file_close(&jlog.file);

    snprintf(pattern, sizeof(pattern), "%s/*", dir);

    if (glob(pattern, 0, NULL, &g) == 0) {
        for (i = 0; i < g.gl_pathc; i++) {
            (void) unlink(g.gl_pathv[i]);
        }

        globfree(&g);
    }

    memset(&jlog, 0, sizeof(jlog));
    jlog.path.data = (u_char *) path;
    jlog.path.len = strlen(path);
    ngx_eb_log_file_init(&jlog.file, (u_char *) path, -1, -1, &shim_log);

    if (seen == NULL) {
        seen = malloc(PEOPLE * sizeof(seen_t));
    }

    memset(seen, 0, PEOPLE * sizeof(seen_t));

    captured = 0;
    refused = 0;
    now = 1700000000000;
}


static size_t
load(const char *name, u_char **data)
{
    int          fd;
    struct stat  st;

    fd = open(name, O_RDONLY);

    if (fd == -1 || fstat(fd, &st) == -1) {
        abort();
    }

    *data = malloc(st.st_size + 1);

    if (*data == NULL || read(fd, *data, st.st_size) != st.st_size) {
        abort();
    }

    (void) close(fd);

    return st.st_size;
}


static void
store(const u_char *data, size_t len)
{
    int  fd;

    ngx_eb_log_file_close(&jlog.file);

    fd = open(path, O_WRONLY|O_CREAT|O_TRUNC, 0640);

    if (fd == -1 || write(fd, data, len) != (ssize_t) len) {
        abort();
    }

    (void) close(fd);
}


/* how many files were put aside; the name of the last one */

static ngx_uint_t
aside(char *name)
{
    glob_t      g;
    char        pattern[96];
    ngx_uint_t  n;

    snprintf(pattern, sizeof(pattern), "%s.corrupt-*", path);

    if (glob(pattern, 0, NULL, &g) != 0) {
        return 0;
    }

    n = g.gl_pathc;
    strcpy(name, g.gl_pathv[n - 1]);
    globfree(&g);

    return n;
}


static void
node_open(node_t *node)
{
    memset(node, 0, sizeof(node_t));

    engine_open(&node->e, 1024, 4096);
    node->e.conf.window = 50;
}


static ngx_int_t
node_start(node_t *node)
{
    ngx_eb_lifecycle_state_t  *st;

    st = &node->st;

    memset(st, 0, sizeof(ngx_eb_lifecycle_state_t));

    st->lc = &node->e.lc;
    st->log = &jlog;
    st->errlog = &shim_log;
    st->max_pending = 512;
    st->handlers.data = node;
    st->handlers.recovered = on_recovered;
    st->handlers.accepted = on_accepted;
    st->handlers.decided = on_decided;
    st->handlers.woken = on_woken;

    node->n = 0;
    node->recovered = 0;

    if (ngx_eb_lifecycle_state_start(st) != NGX_AGAIN) {
        return NGX_ERROR;
    }

    flush();

    return node->recovered == 1 ? NGX_OK : NGX_ERROR;
}


/* orderly: what is on its way comes to its end */

static void
node_close(node_t *node)
{
    ngx_eb_lifecycle_state_stop(&node->st);
    flush();
    engine_close(&node->e);
}


/* what was given to the log and is not written, is gone */

static void
node_kill(node_t *node)
{
    ngx_uint_t            i;
    ngx_eb_log_record_t  *record;

    for (i = 0; i < jlog.n; i++) {
        record = jlog.queue[i];

        if (record->data != (void *) ((u_char *) record
                              - offsetof(ngx_eb_lifecycle_pending_t, record)))
        {
            /* memory of a batch, once */
            if (i + 1 == jlog.n || jlog.queue[i + 1]->data != record->data) {
                free(record->data);
            }
        }
    }

    jlog.n = 0;
    jlog.done = NULL;
    jlog.compacted = NULL;

    ngx_eb_lifecycle_state_clear(&node->st);
    ngx_eb_log_file_close(&jlog.file);
}


static void
on_recovered(void *data, ngx_int_t rc, ngx_eb_lifecycle_report_t *report)
{
    node_t  *node = data;

    node->recovered = (rc == NGX_OK) ? 1 : 2;
    node->report = *report;
}


static void
on_accepted(void *data, ngx_eb_lifecycle_pending_t *pending)
{
    node_t  *node = data;

    if (node->n == QUEUE) {
        abort();
    }

    node->accepted[node->n++] = pending;
}


static void
on_decided(void *data, ngx_eb_lifecycle_decision_t *decision)
{
    node_t  *node = data;

    node->decided++;
}


static void
on_woken(void *data)
{
    node_t  *node = data;

    node->woken++;
}


static void
on_captured(void *data, ngx_int_t rc)
{
    if (rc == NGX_OK) {
        captured++;

    } else {
        refused++;
    }
}


/* the bus takes n of what was accepted, and for "done" of these we hear it */

static void
publish(node_t *node, ngx_uint_t n, ngx_uint_t done)
{
    seen_t                       *s;
    ngx_uint_t                    i, k;
    ngx_eb_lifecycle_decision_t  *d;

    n = ngx_min(n, node->n);
    done = ngx_min(done, n);

    for (i = 0; i < n; i++) {
        d = &node->accepted[i]->decision;
        s = &seen[ngx_atoi(d->interaction + 2, d->interaction_len - 2)];

        for (k = 0; k < s->n; k++) {
            if (memcmp(s->ids[k], d->id, NGX_EB_LIFECYCLE_DIGEST) == 0) {
                break;
            }
        }

        if (k < s->n) {
            s->again++;

        } else if (s->n == STEPS + 3 || d->stage != s->n + 1) {
            s->wrong++;

        } else {
            memcpy(s->ids[s->n], d->id, NGX_EB_LIFECYCLE_DIGEST);
            s->states[s->n++] = d->current;
        }
    }

    for (i = 0; i < done; i++) {
        ngx_eb_lifecycle_state_done(&node->st, node->accepted[i], now, 1);
    }

    memmove(node->accepted, node->accepted + done,
            (node->n - done) * sizeof(ngx_eb_lifecycle_pending_t *));
    node->n -= done;
}


/* until nothing is left to be done */

static void
settle(node_t *node)
{
    ngx_uint_t                   i;
    ngx_eb_lifecycle_counters_t  c;

    for (i = 0; i < 1000; i++) {
        now += 100;
        ngx_current_msec += 100;

        (void) ngx_eb_lifecycle_state_tick(&node->st, now);
        flush();
        publish(node, QUEUE, QUEUE);

        ngx_eb_lifecycle_counters(&node->e.lc, &c);

        if (i > 10 && c.held == 0 && node->st.npending == 0 && jlog.n == 0
            && !node->st.more && node->st.snapshot == 0)
        {
            return;
        }
    }

    diag("it does not settle");
}


static void
capture(node_t *node, ngx_uint_t who, ngx_uint_t step)
{
    char                      id[16], name[24];
    ngx_int_t                 rc;
    ngx_eb_lifecycle_event_t  ev;

    snprintf(id, sizeof(id), "i-%lu", (u_long) who);
    snprintf(name, sizeof(name), "e-%lu-%lu", (u_long) who, (u_long) step);

    event_set(&node->e, &ev, id, step ? steps[step - 1] : NULL, steps[step],
              1700000000000 + (int64_t) step * 1000 + who, now);

    ev.id.data = (u_char *) name;
    ev.id.len = strlen(name);

    rc = ngx_eb_lifecycle_capture(&jlog, &node->e.states, &ev, 1, on_captured,
                                  NULL, &shim_log);

    if (rc != NGX_AGAIN) {
        refused++;
    }
}


static void
position(node_t *node, ngx_uint_t n)
{
    char                         cursor[32];
    ngx_str_t                    ids[2];
    ngx_eb_lifecycle_position_t  p;

    snprintf(cursor, sizeof(cursor), "page-%lu", (u_long) n);

    ngx_str_set(&ids[0], "first \"id\"");
    ngx_str_set(&ids[1], "\xc3\xa4");

    p.cursor.data = (u_char *) cursor;
    p.cursor.len = strlen(cursor);
    p.ids = ids;
    p.n = 2;
    p.time = now;
    p.at = now;

    (void) ngx_eb_lifecycle_state_position(&node->st, &p, NULL, NULL);
}


static ngx_int_t
check_file(ngx_eb_lifecycle_report_t *report)
{
    return ngx_eb_lifecycle_state_check((u_char *) path, -1, -1, &shim_log,
                                        report);
}


#endif /* _LIFECYCLE_NODE_H_INCLUDED_ */
