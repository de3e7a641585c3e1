
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * A million open interactions: what one of them takes, how fast the engine is
 * with all of them, and readers in other processes meanwhile.
 */

/* sources: src/genesys/ngx_eb_genesys_lifecycle.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_id.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_read.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_reorder.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_states.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_table.c */
/* libs: -lcrypto */


#include <ngx_config.h>
#include <ngx_core.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include "shim.h"
#include "lifecycle.h"


#define INTERACTIONS  1000000
#define HELD          65536
#define WANTED        50000         /* transitions in a second */
#define BYTES         256           /* of an interaction */
#define READS         200000


static double cpu(void);
static void name(char *id, ngx_uint_t i);
static ngx_uint_t transitions(engine_t *e, const char *previous,
    const char *current, int64_t from, int64_t *now);
static ngx_uint_t drain(engine_t *e, int64_t now);
static void reader(engine_t *e);


static double
cpu(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);

    return ts.tv_sec + ts.tv_nsec / 1e9;
}


/* of 36 bytes, as those of conversations are */

static void
name(char *id, ngx_uint_t i)
{
    snprintf(id, 40, "%08x-0fc2-4d6a-9b56-92238191433e",
             (unsigned) (i * 2654435761u));
}


static ngx_uint_t
drain(engine_t *e, int64_t now)
{
    ngx_uint_t                    n;
    ngx_eb_lifecycle_decision_t   d;

    n = 0;

    while (ngx_eb_lifecycle_next(&e->lc, now, &d) == NGX_OK) {

        if (d.kind == NGX_EB_LIFECYCLE_PUBLISH) {
            ngx_eb_lifecycle_done(&e->lc, &d, now, 1);
            n++;
        }
    }

    return n;
}


/* one of each interaction, 10 in a millisecond: 50,000 are held */

static ngx_uint_t
transitions(engine_t *e, const char *previous, const char *current,
    int64_t from, int64_t *now)
{
    char                      id[40];
    ngx_uint_t                i, n;
    ngx_eb_lifecycle_event_t  ev;

    n = 0;

    event_set(e, &ev, "", previous, current, 0, 0);

    ev.interaction.data = (u_char *) id;
    ev.interaction.len = 36;
    ev.id.data = (u_char *) "0f0e1d2c-3b4a-5968-7786-95a4b3c2d1e0";
    ev.id.len = 36;

    for (i = 0; i < INTERACTIONS; i++) {
        name(id, i);

        ev.time = from + i / 10;
        ev.at = ev.time + 20;
        *now = ev.at;

        if (ngx_eb_lifecycle_event(&e->lc, &ev) != NGX_OK) {
            diag("event %lu was not taken", (u_long) i);
            return 0;
        }

        if (i % 10 == 9) {
            n += drain(e, *now);
        }
    }

    *now += 5000;

    return n + drain(e, *now);
}


/* while another process writes: never something half written */

static void
reader(engine_t *e)
{
    char                     id[40];
    ngx_int_t                rc;
    ngx_str_t                s;
    ngx_uint_t               i, k, found, again;
    ngx_eb_lifecycle_view_t  v;

    found = 0;
    again = 0;
    s.data = (u_char *) id;
    s.len = 36;

    for (i = 0; i < READS; i++) {

        /* nearly all of the time the writer is at one of the first ones */

        name(id, (i * 7919) % (i % 2 ? INTERACTIONS : 64));

        rc = ngx_eb_lifecycle_find(&e->lc, &s, &v);

        if (rc == NGX_AGAIN) {
            again++;
            continue;
        }

        if (rc != NGX_OK
            || v.interaction_len != 36 || memcmp(v.interaction, id, 36) != 0
            || v.nhistory != v.stage || v.nhistory == 0
            || v.state != v.history[v.nhistory - 1].state
            || v.since != v.history[v.nhistory - 1].time)
        {
            _exit(1);
        }

        for (k = 1; k < v.nhistory; k++) {
            if (v.history[k].time < v.history[k - 1].time) {
                _exit(2);
            }
        }

        found++;
    }

    _exit(found > READS / 2 ? 0 : 3);
}


int
main(void)
{
    int                           status;
    pid_t                         pid;
    double                        began, rate[3];
    int64_t                       now;
    engine_t                      e;
    ngx_str_t                     id;
    ngx_uint_t                    i, k, n, looks, found;
    uint32_t                      cursor;
    char                          text[40];
    ngx_eb_lifecycle_view_t       v, views[100];
    ngx_eb_lifecycle_conf_t       conf;
    ngx_eb_lifecycle_counters_t   c;

    ok(ngx_eb_lifecycle_size(INTERACTIONS + 1, 1)
       - ngx_eb_lifecycle_size(INTERACTIONS, 1)
       <= NGX_EB_LIFECYCLE_PER_INTERACTION,
       "one more interaction takes no more than the header says");

    for (i = 1000, n = 0; i <= 4000000; i += i / 7) {
        k = (ngx_eb_lifecycle_size(i, 1) - ngx_eb_lifecycle_size(1, 1)) / i;
        n = ngx_max(n, k);
    }

    ok(n <= NGX_EB_LIFECYCLE_PER_INTERACTION && n <= BYTES,
       "an interaction takes %lu bytes at most, its index included",
       (u_long) n);

    /* the block is shared, as it is between workers */

    memset(&e, 0, sizeof(engine_t));
    ngx_eb_lifecycle_states_init(&e.states);
    e.conf.states = &e.states;
    e.conf.window = 5000;
    e.conf.grace = 1000;
    e.conf.stages = 8;
    e.size = ngx_eb_lifecycle_size(INTERACTIONS, HELD);
    e.block = mmap(NULL, e.size, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANON, -1,
                   0);

    ngx_eb_lifecycle_init(e.block, INTERACTIONS, HELD, 42);

    conf = e.conf;
    (void) ngx_eb_lifecycle_attach(&e.lc, &conf, e.block, e.size);

    ngx_eb_lifecycle_reset(&e.lc);
    ngx_eb_lifecycle_open(&e.lc);

    began = cpu();
    n = transitions(&e, NULL, "queued", 1000000000, &now);
    rate[0] = n / (cpu() - began);

    is_int(n, INTERACTIONS, "a million interactions begin");

    pid = fork();

    if (pid == 0) {
        reader(&e);
    }

    began = cpu();
    n = transitions(&e, "queued", "ringing", now, &now);
    rate[1] = n / (cpu() - began);

    is_int(n, INTERACTIONS, "all of them go on");

    /* the writer goes on for as long as the reader reads */

    while (waitpid(pid, &status, WNOHANG) == 0) {
        for (i = 0; i < 64; i++) {
            name(text, i);
            id.data = (u_char *) text;
            id.len = 36;

            if (ngx_eb_lifecycle_find(&e.lc, &id, &v) != NGX_OK) {
                break;
            }

            now++;
            (void) event(&e, text, NULL, v.stage % 2 ? "ringing" : "queued",
                         now, now);
        }

        (void) drain(&e, now + 5000);
    }

    is_int(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0,
           "another process has read whole entries meanwhile");

    ngx_eb_lifecycle_counters(&e.lc, &c);

    is_int(c.interactions, INTERACTIONS, "they are known");
    is_int(c.open, INTERACTIONS, "and open");
    is_int(c.standing[state(&e, "ringing")], INTERACTIONS, "and are ringing");
    is_int(c.evicted_open + c.evicted_early + c.forced + c.refused, 0,
           "none had to go");

    cursor = 0;
    found = 0;
    looks = 0;

    for ( ;; ) {
        ngx_int_t  rc;

        rc = ngx_eb_lifecycle_list(&e.lc, state(&e, "ringing"), &cursor, 10000,
                                   views, 100, &n);
        found += n;
        looks++;

        if (rc == NGX_DONE) {
            break;
        }
    }

    is_int(found, INTERACTIONS, "they can be listed");

    began = cpu();
    n = transitions(&e, "ringing", "abandoned", now + 1, &now);
    rate[2] = n / (cpu() - began);

    is_int(n, INTERACTIONS, "and come to their end");

    (void) drain(&e, now + 10000);

    ngx_eb_lifecycle_counters(&e.lc, &c);
    is_int(c.interactions, 0, "and are forgotten after it");
    is_int(c.evicted_final, INTERACTIONS, "each of them once");

    ok(rate[0] > WANTED && rate[1] > WANTED && rate[2] > WANTED,
       "%.0f, %.0f and %.0f transitions in a second of one processor",
       rate[0], rate[1], rate[2]);

    (void) munmap(e.block, e.size);

    return done_testing();
}
