
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The journal of a lifecycle: what is left of it after a power cut or damage,
 * and that nothing is lost or done by another id, whenever a process ends.
 */

/* sources: src/genesys/ngx_eb_genesys_lifecycle.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_id.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_read.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_reorder.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_states.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_table.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_record.c */
/* sources: src/runtime/ngx_eb_lifecycle_state.c */
/* sources: src/runtime/ngx_eb_lifecycle_state_file.c */
/* sources: src/runtime/ngx_eb_lifecycle_state_snapshot.c */
/* sources: src/runtime/ngx_eb_log_file.c src/runtime/ngx_eb_log_read.c */
/* sources: src/runtime/ngx_eb_log_compact.c */
/* sources: src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c */
/* sources: src/wire/ngx_eb_out.c */
/* libs: -lsimdjson -lcrypto */


#include <ngx_config.h>
#include <ngx_core.h>
#include <glob.h>
#include "shim.h"
#include "lifecycle.h"
#include "ngx_eb_lifecycle_state.h"
#include "lifecycle_node.h"


#define LAST      (64 * 1024)       /* bytes at the end that may be missing */
#define FLIPS     600
#define KILLS     200


static void flow(void);
static void full_disk(void);
static void kills(void);
static void compaction(void);
static void truncated(void);
static void flipped(void);
static void foreign(void);
static void unknown(void);


static void
flow(void)
{
    node_t                    node;
    ngx_str_t                 id;
    ngx_uint_t                i, who, good;
    ngx_eb_lifecycle_view_t   v;

    fresh();
    node_open(&node);

    is_int(node_start(&node), NGX_ERROR, "a file that is not there");
    is_int(node.recovered, 2, "is told");

    store((u_char *) "", 0);
    is_int(node_start(&node), NGX_OK, "an empty file is a beginning");
    ok(ngx_eb_lifecycle_ready(&node.e.lc), "it can be read");

    for (i = 0; i < STEPS; i++) {
        for (who = 0; who < 10; who++) {
            capture(&node, who, i);
            capture(&node, who, i);
        }
    }

    is_int(captured, 0, "nobody hears of success before it is written");
    flush();
    is_int(captured, 20 * STEPS, "then all do");

    position(&node, 7);
    settle(&node);

    good = 0;

    for (who = 0; who < 10; who++) {
        good += (seen[who].n == STEPS && seen[who].again == 0
                 && seen[who].wrong == 0);
    }

    is_int(good, 10, "all transitions are published, once and in order");

    /* published, but the end of that is not written */

    capture(&node, 11, 0);
    flush();
    now += 200;
    ngx_current_msec += 200;
    (void) ngx_eb_lifecycle_state_tick(&node.st, now);
    flush();
    now += 200;
    (void) ngx_eb_lifecycle_state_tick(&node.st, now);
    is_int(node.n, 0, "a transition is not told before it is written");
    flush();
    is_int(node.n, 1, "then it is");
    publish(&node, 1, 1);

    node_kill(&node);

    is_int(node_start(&node), NGX_OK, "after a kill");
    is_int(node.report.damaged + node.report.foreign, 0, "all is well");
    is_int(node.report.pending, 1, "one is to be published");
    is_int(node.n, 1, "and is told");
    is_str(&node.st.position.cursor, "page-7", "the position is back");
    is_int(node.st.position.n, 2, "with ids");
    is_str(&node.st.position.ids[0], "first \"id\"", "one");
    is_str(&node.st.position.ids[1], "\xc3\xa4", "and the other");

    publish(&node, 1, 1);
    is_int(seen[11].n, 1, "it is one transition");
    is_int(seen[11].again, 1, "with the same id twice");

    ngx_str_set(&id, "i-3");
    is_int(ngx_eb_lifecycle_find(&node.e.lc, &id, &v), NGX_OK,
           "an interaction is known");
    is_int(v.stage, STEPS, "its stage");
    is_int(v.state, state(&node.e, "closed"), "its state");

    node_close(&node);
}


static void
full_disk(void)
{
    node_t      node;
    ngx_uint_t  i;

    fresh();
    store((u_char *) "", 0);
    node_open(&node);
    (void) node_start(&node);

    capture(&node, 1, 0);
    capture(&node, 2, 0);
    flush();

    jlog.full = 1;

    capture(&node, 3, 0);
    flush();
    is_int(refused, 1, "a capture that is not written is refused");

    for (i = 0; i < 10; i++) {
        now += 200;
        ngx_current_msec += 200;
        (void) ngx_eb_lifecycle_state_tick(&node.st, now);
        flush();
    }

    is_int(node.n, 0, "nothing is published while the disk is full");
    is_int(node.st.npending, 2, "it waits");

    jlog.full = 0;
    settle(&node);

    is_int(seen[1].n + seen[2].n, 2, "and goes on afterwards");
    is_int(seen[1].again + seen[2].again, 0, "once");
    is_int(seen[3].n, 0, "what was refused never was");

    node_close(&node);
}


/* whatever is on its way is lost, KILLS times */

static void
kills(void)
{
    node_t      node;
    ngx_uint_t  i, k, who, step, bad, again, n, killed;
    ngx_uint_t  todo[PEOPLE];

    fresh();
    store((u_char *) "", 0);
    node_open(&node);
    (void) node_start(&node);

    memset(todo, 0, sizeof(todo));
    killed = 0;

    for (i = 0; i < 20000; i++) {

        for (k = 0; k < 4; k++) {
            who = rnd(PEOPLE);

            if (todo[who] < STEPS) {
                step = todo[who];
                n = captured;

                capture(&node, who, step);

                /* the sender, too, tries again when it is not told */

                if (rnd(4) == 0) {
                    flush();
                    todo[who] += (captured > n);
                }
            }
        }

        if (rnd(3) == 0) {
            flush();
        }

        now += rnd(30);
        ngx_current_msec += 100;

        (void) ngx_eb_lifecycle_state_tick(&node.st, now);

        n = rnd(8);
        publish(&node, n, n - rnd(n + 1));

        if (killed < KILLS && rnd(90) == 0) {
            killed++;
            node_kill(&node);

            if (node_start(&node) != NGX_OK) {
                break;
            }
        }
    }

    is_int(killed, KILLS, "%d kills", KILLS);

    for (who = 0; who < PEOPLE; who++) {
        for (step = todo[who]; step < STEPS; step++) {
            capture(&node, who, step);
        }

        flush();
    }

    settle(&node);

    bad = 0;
    again = 0;

    for (who = 0; who < PEOPLE; who++) {
        again += seen[who].again;

        if (seen[who].n != STEPS || seen[who].wrong) {
            if (bad++ < 3) {
                diag("i-%lu: %lu transitions, %lu wrong", (u_long) who,
                     (u_long) seen[who].n, (u_long) seen[who].wrong);
            }
        }
    }

    is_int(bad, 0, "each transition is published by one id, in order");
    diag("%lu of %d were seen twice", (u_long) again, PEOPLE * STEPS);

    node_close(&node);
}


static void
compaction(void)
{
    off_t         before, after;
    node_t        node;
    struct stat   st;
    ngx_str_t     id;
    ngx_uint_t    i, who, round, good;
    ngx_eb_lifecycle_view_t       v;
    ngx_eb_lifecycle_counters_t   c;

    fresh();
    store((u_char *) "", 0);
    node_open(&node);
    (void) node_start(&node);

    before = 0;

    /* the same events again and again: the file grows, and nothing is new */

    for (round = 0; jlog.compactions < 2 && round < 4000; round++) {

        for (who = 0; who < PEOPLE; who++) {
            capture(&node, who, round < STEPS - 1 ? round : rnd(STEPS - 1));
        }

        if (round % 20 == 0) {
            position(&node, round);
        }

        flush();

        (void) stat(path, &st);
        before = ngx_max(before, st.st_size);

        for (i = 0; i < 6; i++) {
            now += 100;
            ngx_current_msec += 20000;
            (void) ngx_eb_lifecycle_state_tick(&node.st, now);
            flush();
            publish(&node, QUEUE, QUEUE);
        }
    }

    is_int(jlog.compactions, 2, "the file is compacted, %lu rounds",
           (u_long) round);

    settle(&node);
    (void) stat(path, &st);
    after = st.st_size;

    ok(after < before / 2, "from %ld to %ld bytes", (long) before,
       (long) after);

    ngx_eb_lifecycle_counters(&node.e.lc, &c);
    is_int(c.validated, PEOPLE * (STEPS - 1), "nothing was accepted twice");

    node_kill(&node);
    is_int(node_start(&node), NGX_OK, "recovered from it");
    is_int(node.report.pending + node.report.damaged + node.report.foreign, 0,
           "nothing is to be published");
    ok(node.st.position.cursor.len > 5, "there is a position");

    good = 0;

    for (who = 0; who < PEOPLE; who++) {
        char  text[16];

        id.data = (u_char *) text;
        id.len = snprintf(text, sizeof(text), "i-%lu", (u_long) who);

        good += (ngx_eb_lifecycle_find(&node.e.lc, &id, &v) == NGX_OK
                 && v.stage == STEPS - 1
                 && v.nhistory == STEPS - 1
                 && v.state == state(&node.e, steps[STEPS - 2]));
    }

    is_int(good, PEOPLE, "all interactions stand where they stood");

    for (who = 0; who < PEOPLE; who++) {
        capture(&node, who, STEPS - 1);
    }

    flush();
    settle(&node);

    good = 0;

    for (who = 0; who < PEOPLE; who++) {
        good += (seen[who].n == STEPS && seen[who].again == 0
                 && seen[who].wrong == 0);
    }

    is_int(good, PEOPLE, "and go on, each transition once");

    node_close(&node);
}


/* a file with a bit of everything, of more than LAST bytes; what is in it */

static size_t
prepare(u_char **image)
{
    node_t      node;
    ngx_uint_t  who, step, n;

    fresh();
    store((u_char *) "", 0);
    node_open(&node);
    (void) node_start(&node);

    n = 0;

    for (step = 0; step < STEPS; step++) {
        for (who = 0; who < 30; who++) {
            capture(&node, who, step);

            if (who % 5 == 0) {
                flush();
                position(&node, ++n);
                flush();
                settle(&node);
            }
        }
    }

    node_close(&node);

    return load(path, image);
}


/* the cursor of the last position in front of the first damaged line */

static ngx_uint_t
last_position(ngx_uint_t *damaged)
{
    char                *p;
    u_char              *data;
    size_t               len, i, start;
    ngx_uint_t           n;

    len = load(path, &data);
    n = 0;
    *damaged = 0;

    for (i = 0, start = 0; i < len; i++) {

        if (data[i] != '\n') {
            continue;
        }

        if (ngx_eb_log_check(data + start, i - start) != NGX_EB_LOG_VALID) {
            (*damaged)++;
        }

        data[i] = '\0';
        p = strstr((char *) data + start, "\"cursor\":\"page-");

        if (p && *damaged == 0) {
            n = strtoul(p + sizeof("\"cursor\":\"page-") - 1, NULL, 10);
        }

        start = i + 1;
    }

    free(data);

    return n;
}


static void
truncated(void)
{
    u_char                     *image;
    size_t                      size, len, whole;
    node_t                      node;
    ngx_uint_t                  n, bad, damaged, looked, all;
    ngx_eb_lifecycle_report_t   report;

    size = prepare(&image);
    ok(size > LAST, "a file of %lu bytes", (u_long) size);

    /* a recovery at each byte takes minutes */
    all = getenv("EB_ALL") != NULL;

    node_open(&node);

    bad = 0;
    looked = 0;
    whole = 0;
    shim_log.log_level = NGX_LOG_EMERG;

    for (len = size - LAST; len <= size; len++) {
        store(image, len);

        if (check_file(&report) != NGX_OK) {
            bad++;
            continue;
        }

        for (whole = len; whole > 0 && image[whole - 1] != '\n'; whole--) {
            /* void */
        }

        if (report.cut != (off_t) (len - whole) || report.aside[0]) {
            bad++;
        }

        if (!all && len % 61 && len > whole + 1 && image[len] != '\n') {
            continue;
        }

        looked++;
        n = last_position(&damaged);

        if (node_start(&node) != NGX_OK
            || node.report.damaged || damaged
            || (n ? (strtoul((char *) node.st.position.cursor.data + 5, NULL,
                             10) != n)
                  : node.st.position.cursor.len != 0))
        {
            bad++;
        }

        ngx_eb_lifecycle_state_stop(&node.st);
        flush();
    }

    shim_log.log_level = NGX_LOG_INFO;

    is_int(bad, 0, "cut anywhere in its last %d bytes: the tail is cut, and "
           "the last position found (%lu recoveries)", LAST, (u_long) looked);

    /* and it goes on */

    store(image, size - 100);
    (void) check_file(&report);
    is_int(node_start(&node), NGX_OK, "a last start");
    capture(&node, 77, 0);
    flush();
    settle(&node);
    is_int(seen[77].n, 1, "an event is published afterwards");

    node_close(&node);
    free(image);
}


static void
flipped(void)
{
    char                        name[128];
    u_char                     *image, *copy, *put;
    size_t                      size, at;
    node_t                      node;
    ngx_uint_t                  i, n, bad, damaged, middle, tail;
    ngx_eb_lifecycle_report_t   report;

    size = prepare(&image);
    copy = malloc(size);

    bad = 0;
    middle = 0;
    tail = 0;

    for (i = 0; i < FLIPS; i++) {
        fresh();
        node_open(&node);

        memcpy(copy, image, size);

        at = (i % 4) ? rnd(size) : size - 1 - rnd(256);
        copy[at] ^= 1 << rnd(8);

        store(copy, size);
        shim_log_line[0] = '\0';
        shim_log.log_level = NGX_LOG_EMERG;

        if (check_file(&report) != NGX_OK) {
            bad++;
        }

        n = last_position(&damaged);

        if (damaged == 0 && report.cut == 0) {
            diag("byte %lu: nobody has seen that", (u_long) at);
            bad++;
        }

        tail += (report.cut != 0);
        middle += (damaged != 0);

        if (node_start(&node) != NGX_OK || node.report.damaged != damaged) {
            diag("byte %lu: %lu damaged lines", (u_long) at,
                 (u_long) node.report.damaged);
            bad++;
        }

        if (n ? (strtoul((char *) node.st.position.cursor.data + 5, NULL, 10)
                 != n)
              : node.st.position.cursor.len != 0)
        {
            diag("byte %lu: position", (u_long) at);
            bad++;
        }

        if (damaged) {

            /* never silently replaced */

            if (aside(name) != 1 || load(name, &put) != size
                || memcmp(put, copy, size) != 0)
            {
                diag("byte %lu: not put aside", (u_long) at);
                bad++;

            } else {
                free(put);
            }
        }

        /* it goes on, and the next start finds nothing */

        capture(&node, 88, 0);
        flush();
        settle(&node);

        if (seen[88].n != 1) {
            diag("byte %lu: it does not go on", (u_long) at);
            bad++;
        }

        node_kill(&node);

        if (node_start(&node) != NGX_OK || node.report.damaged
            || (n && strtoul((char *) node.st.position.cursor.data + 5, NULL,
                             10)
                     != n))
        {
            diag("byte %lu: the second start", (u_long) at);
            bad++;
        }

        node_close(&node);
        shim_log.log_level = NGX_LOG_INFO;
    }

    is_int(bad, 0, "%d flipped bits: %lu at the end, %lu in front of it",
           FLIPS, (u_long) tail, (u_long) middle);
    ok(tail > 10 && middle > 10, "both of them");

    free(image);
    free(copy);
}


static void
foreign(void)
{
    char                        name[128];
    u_char                     *put;
    size_t                      len;
    node_t                      node;
    ngx_eb_lifecycle_report_t   report;
    static const char           text[] = "this is no journal\nnot at all\n";

    fresh();
    store((u_char *) text, sizeof(text) - 1);

    is_int(check_file(&report), NGX_OK, "a file of something else");
    ok(report.aside[0] != '\0', "is put aside");
    is_int(aside(name), 1, "it is there");

    len = load(name, &put);
    ok(len == sizeof(text) - 1 && memcmp(put, text, len) == 0, "unchanged");
    ok(strstr((char *) shim_log_line, "renamed") != NULL, "and the log tells");

    node_open(&node);
    is_int(node_start(&node), NGX_OK, "a new one has taken its place");
    node_close(&node);

    free(put);

    /* what is no file is left alone */

    fresh();
    is_int(mkfifo(path, 0600), 0, "a pipe");
    is_int(check_file(&report), NGX_ERROR, "is refused");
    is_int(aside(name), 0, "and stays");
}


/* states may be renamed between two starts */

static void
unknown(void)
{
    node_t      node;
    ngx_str_t   from, to;

    fresh();
    store((u_char *) "", 0);
    node_open(&node);

    ngx_str_set(&from, "queued");
    ngx_str_set(&to, "+parked");
    (void) ngx_eb_lifecycle_states_transition(&node.e.states, &from, &to, 1);

    (void) node_start(&node);

    capture(&node, 1, 0);
    flush();
    settle(&node);

    (void) event(&node.e, "x", NULL, "parked", now, now);
    {
        ngx_eb_lifecycle_event_t  ev;

        event_set(&node.e, &ev, "i-2", "queued", "parked", now, now);
        (void) ngx_eb_lifecycle_capture(&jlog, &node.e.states, &ev, 1, NULL,
                                        NULL, &shim_log);
    }

    flush();
    node_kill(&node);
    engine_close(&node.e);

    node_open(&node);
    is_int(node_start(&node), NGX_OK, "a state is not known any more");
    is_int(node.report.foreign, 1, "its lines are counted");
    is_int(node.report.damaged, 0, "and are not damaged");
    node_close(&node);
}


int
main(void)
{
    strcpy(dir, "/dev/shm/eb-lifecycle-XXXXXX");

    if (mkdtemp(dir) == NULL) {
        strcpy(dir, "/tmp/eb-lifecycle-XXXXXX");

        if (mkdtemp(dir) == NULL) {
            skip_all("no directory");
        }
    }

    snprintf(path, sizeof(path), "%s/state", dir);
    ngx_eb_log_file_init(&jlog.file, (u_char *) path, -1, -1, &shim_log);

    flow();
    full_disk();
    kills();
    compaction();
    truncated();
    flipped();
    foreign();
    unknown();

    fresh();
    free(seen);
    (void) rmdir(dir);

    return done_testing();
}
