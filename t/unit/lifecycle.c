
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The engine of lifecycles: the rows 4.1 to 4.16 of contracts.md that are its
 * business, states and transitions, ids, memory, and what a reader sees.
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
#include <openssl/sha.h>
#include "shim.h"
#include "lifecycle.h"
#include "ngx_eb_genesys_lifecycle_table.h"


#define T0  1649237444000


typedef struct {
    engine_t                      e;
    ngx_eb_lifecycle_decision_t   d;        /* the last one */
    ngx_uint_t                    published;
    ngx_uint_t                    flagged;
    ngx_uint_t                    evicted;
} test_t;


static void test_open(test_t *t);
static ngx_uint_t drain(test_t *t, int64_t now);
static ngx_uint_t step(test_t *t, const char *id, const char *previous,
    const char *current, int64_t time);
static ngx_uint_t flagged(test_t *t, ngx_eb_lifecycle_flag_e flag);
static ngx_int_t find(test_t *t, const char *id, ngx_eb_lifecycle_view_t *v);
static const char *transition(ngx_eb_lifecycle_states_t *s, const char *from,
    const char *to);

static void states(void);
static void row_4_1(void);
static void row_4_2(void);
static void row_4_3(void);
static void row_4_4(void);
static void row_4_5(void);
static void row_4_6(void);
static void row_4_8(void);
static void row_4_13(void);
static void row_4_14(void);
static void row_4_15(void);
static void ties(void);
static void hints(void);
static void adopted(void);
static void room(void);
static void clocks(void);
static void restored(void);
static void bounds(void);
static void readers(void);


static void
test_open(test_t *t)
{
    memset(t, 0, sizeof(test_t));
    engine_open(&t->e, 16, 32);
}


/* how many are published */

static ngx_uint_t
drain(test_t *t, int64_t now)
{
    ngx_uint_t                    n;
    ngx_eb_lifecycle_decision_t   d;

    n = 0;

    while (ngx_eb_lifecycle_next(&t->e.lc, now, &d) == NGX_OK) {

        switch (d.kind) {

        case NGX_EB_LIFECYCLE_PUBLISH:
            ngx_eb_lifecycle_done(&t->e.lc, &d, now, 1);
            t->published++;
            n++;
            break;

        case NGX_EB_LIFECYCLE_FLAG:
            t->flagged++;
            break;

        case NGX_EB_LIFECYCLE_EVICT:
            t->evicted++;
            break;

        default:
            break;
        }

        t->d = d;
    }

    return n;
}


/* an event, and the end of its window */

static ngx_uint_t
step(test_t *t, const char *id, const char *previous, const char *current,
    int64_t time)
{
    (void) event(&t->e, id, previous, current, time, time);

    return drain(t, time + t->e.conf.window);
}


static ngx_uint_t
flagged(test_t *t, ngx_eb_lifecycle_flag_e flag)
{
    return t->d.kind == NGX_EB_LIFECYCLE_FLAG && t->d.flag == flag;
}


static ngx_int_t
find(test_t *t, const char *id, ngx_eb_lifecycle_view_t *v)
{
    ngx_str_t  s;

    s.data = (u_char *) id;
    s.len = strlen(id);

    return ngx_eb_lifecycle_find(&t->e.lc, &s, v);
}


static const char *
transition(ngx_eb_lifecycle_states_t *s, const char *from, const char *to)
{
    char          *p, *save, *buf;
    ngx_str_t      f, names[40];
    ngx_uint_t     n;
    static char    texts[16384];    /* names are borrowed */
    static size_t  used;

    if (used + strlen(to) + 1 > sizeof(texts)) {
        abort();
    }

    buf = texts + used;
    used += strlen(to) + 1;

    strcpy(buf, to);
    f.data = (u_char *) from;
    f.len = strlen(from);

    n = 0;

    for (p = strtok_r(buf, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
        names[n].data = (u_char *) p;
        names[n++].len = strlen(p);
    }

    return ngx_eb_lifecycle_states_transition(s, &f, names, n);
}


static void
states(void)
{
    test_t                     t;
    ngx_str_t                  name;
    const char                *err;
    char                       text[NGX_EB_LIFECYCLE_STATES][8];
    ngx_uint_t                 i;
    ngx_eb_lifecycle_states_t  s;

    ngx_eb_lifecycle_states_init(&s);
    is_int(s.n, 7, "seven states");
    ok(ngx_eb_lifecycle_states_check(&s) == NULL, "the default is usable");

    test_open(&t);

#define allowed(from, to)                                                     \
    ngx_eb_lifecycle_allowed(&t.e.states, state(&t.e, from), state(&t.e, to))

    ok(allowed("queued", "ringing") && allowed("ringing", "connected")
       && allowed("ringing", "abandoned") && allowed("connected", "wrapping")
       && allowed("connected", "transferred")
       && allowed("connected", "abandoned") && allowed("wrapping", "closed")
       && allowed("transferred", "ringing")
       && allowed("transferred", "connected"),
       "what follows what by contracts.md 1.6");
    ok(!allowed("queued", "abandoned") && !allowed("ringing", "queued")
       && !allowed("connected", "closed") && !allowed("queued", "queued"),
       "and nothing else");
    ok(ngx_eb_lifecycle_final(&t.e.states, state(&t.e, "closed"))
       && ngx_eb_lifecycle_final(&t.e.states, state(&t.e, "abandoned")),
       "closed and abandoned are final");

    ok(transition(&t.e.states, "ringing", "+queued") == NULL
       && allowed("ringing", "queued") && allowed("ringing", "connected"),
       "a line extends");
    ok(transition(&t.e.states, "ringing", "queued parked") == NULL
       && allowed("ringing", "queued") && !allowed("ringing", "connected"),
       "a line replaces");
    ok(state(&t.e, "parked") == 7, "a new state is known");
    ok(transition(&t.e.states, "queued", "") == NULL
       && ngx_eb_lifecycle_final(&t.e.states, state(&t.e, "queued")),
       "a line without states makes a final one");

    err = transition(&t.e.states, "ringing", "+queued connected");
    ok(err != NULL && strstr(err, "+") != NULL, "not both");
    ok(transition(&t.e.states, "a b", "queued") != NULL
       && transition(&t.e.states, "", "queued") != NULL
       && transition(&t.e.states, "ringing", "+") != NULL
       && transition(&t.e.states, "ringing",
                     "abcdefghijklmnopqrstuvwxyz0123456") != NULL,
       "names are checked");

    ngx_str_set(&name, "nowhere");
    ok(ngx_eb_lifecycle_states_initial(&t.e.states, &name, 1) != NULL,
       "an initial state must be known");

    ngx_str_set(&name, "parked");
    ok(ngx_eb_lifecycle_states_initial(&t.e.states, &name, 1) == NULL,
       "another initial state");
    (void) transition(&t.e.states, "parked", "parked");
    ok(ngx_eb_lifecycle_states_check(&t.e.states) != NULL,
       "without an end it is refused");

    err = NULL;

    for (i = 0; i < NGX_EB_LIFECYCLE_STATES && err == NULL; i++) {
        snprintf(text[i], sizeof(text[i]), "s%lu", (u_long) i);
        err = transition(&s, text[i], "queued");
    }

    ok(err != NULL && i == NGX_EB_LIFECYCLE_STATES - 6, "there is a limit");

    engine_close(&t.e);
}


static void
row_4_1(void)
{
    char        id[8];
    test_t      t;
    ngx_uint_t  i, n;

    test_open(&t);

    for (i = 0, n = 0; i < 10; i++) {
        snprintf(id, sizeof(id), "i%lu", (u_long) i);
        n += step(&t, id, NULL, "queued", T0);
        n += step(&t, id, "ringing", "closed", T0 + 1);
        n += step(&t, id, "queued", "ringing", T0 + 2);
    }

    is_int(n, 20, "4.1: stages are counted for each interaction");
    is_int(t.d.stage, 2, "4.1: of what was accepted only");

    engine_close(&t.e);
}


static void
row_4_2(void)
{
    test_t                   t;
    ngx_eb_lifecycle_view_t  v;

    test_open(&t);

    is_int(step(&t, "a", NULL, "queued", T0), 1,
           "4.2: the first event has no previous state");
    is_int(t.d.previous, NGX_EB_LIFECYCLE_NONE, "4.2: and none is published");

    is_int(step(&t, "b", NULL, "connected", T0), 0,
           "4.2: nothing begins with connected");
    ok(flagged(&t, NGX_EB_LIFECYCLE_FLAG_INITIAL), "4.2: it is flagged");
    is_int(find(&t, "b", &v), NGX_OK, "4.2: the interaction is known");
    is_int(v.state, NGX_EB_LIFECYCLE_NONE, "4.2: without a state");
    is_int(v.flags, NGX_EB_LIFECYCLE_INITIAL, "4.2: with a flag");

    is_int(step(&t, "b", NULL, "queued", T0 + 1), 1, "4.2: it can begin");

    is_int(step(&t, "c", "ringing", "connected", T0), 0,
           "4.2: nothing begins in its middle");
    is_int(step(&t, "c", "queued", "connected", T0 + 1), 0,
           "4.2: nor by what is impossible");
    is_int(step(&t, "c", "queued", "ringing", T0 + 2), 1,
           "4.2: who leaves queued was there");
    is_int(t.d.previous, state(&t.e, "queued"), "4.2: which is published");
    is_int(t.d.stage, 1, "4.2: as the first stage");
    ok(t.d.flags & NGX_EB_LIFECYCLE_F_GAP, "4.2: with a mark");
    is_int(event(&t.e, "c", "queued", "ringing", T0 + 2, T0 + 3),
           NGX_DECLINED, "4.2: a duplicate is one");
    is_int(step(&t, "c", "ringing", "connected", T0 + 4), 1,
           "4.2: it goes on from there");

    engine_close(&t.e);
}


static void
row_4_3(void)
{
    test_t                   t;
    ngx_eb_lifecycle_view_t  v;

    test_open(&t);

    (void) step(&t, "a", NULL, "queued", T0);
    is_int(step(&t, "a", "ringing", "connected", T0 + 1000), 0,
           "4.3: the event's previous state is not trusted");
    ok(flagged(&t, NGX_EB_LIFECYCLE_FLAG_MISMATCH), "4.3: it is flagged");

    (void) find(&t, "a", &v);
    is_int(v.state, state(&t.e, "queued"), "4.3: and changes nothing");

    is_int(event(&t.e, "a", "ringing", "connected", T0 + 1000, T0 + 9000),
           NGX_DECLINED, "4.3: once more is a duplicate");
    is_int(event(&t.e, "a", NULL, "queued", T0, T0 + 9000), NGX_DECLINED,
           "4.3: and so is what was accepted");

    engine_close(&t.e);
}


static void
row_4_4(void)
{
    test_t                   t;
    ngx_uint_t               i, n;
    ngx_eb_lifecycle_view_t  v;

    test_open(&t);

    (void) step(&t, "a", NULL, "queued", T0);
    is_int(step(&t, "a", "queued", "abandoned", T0 + 1), 0,
           "4.4: by default nobody leaves the queue");
    ok(flagged(&t, NGX_EB_LIFECYCLE_FLAG_MATRIX), "4.4: it is flagged");

    (void) transition(&t.e.states, "queued", "+abandoned");
    is_int(step(&t, "a", "queued", "abandoned", T0 + 2), 1,
           "4.4: with a line he does");

    n = step(&t, "b", NULL, "queued", T0);
    n += step(&t, "b", "queued", "ringing", T0 + 1);
    n += step(&t, "b", "ringing", "connected", T0 + 2);

    for (i = 0; i < 4; i++) {
        n += step(&t, "b", "connected", "transferred", T0 + 10 + 2 * i);
        n += step(&t, "b", "transferred", "connected", T0 + 11 + 2 * i);
    }

    is_int(n, 8, "4.4: eight stages at most");
    ok(t.e.conf.stages == 8
       && find(&t, "b", &v) == NGX_OK && (v.flags & NGX_EB_LIFECYCLE_STAGES),
       "4.4: what is beyond is flagged, not lost silently");

    t.e.conf.stages = 20;
    is_int(step(&t, "b", "transferred", "connected", T0 + 100), 1,
           "4.4: with another limit it goes on");

    engine_close(&t.e);
}


static void
row_4_5(void)
{
    test_t                    t;
    ngx_eb_lifecycle_view_t   v;
    ngx_eb_lifecycle_event_t  ev;

    test_open(&t);

    (void) event(&t.e, "a", "ringing", "connected", T0 + 20, T0 + 30);
    (void) event(&t.e, "a", "queued", "ringing", T0 + 10, T0 + 40);
    is_int(drain(&t, T0 + 50), 0, "4.5: events are held");
    (void) event(&t.e, "a", NULL, "queued", T0, T0 + 60);
    is_int(drain(&t, T0 + 5029), 0, "4.5: for the length of the window");
    is_int(drain(&t, T0 + 5030), 3, "4.5: then they are in order");
    is_int(t.d.current, state(&t.e, "connected"), "4.5: to the last one");
    is_int(t.flagged, 0, "4.5: nothing is flagged");

    /* the watermark: something much younger has come */

    (void) event(&t.e, "b", NULL, "queued", T0, T0);
    (void) event(&t.e, "b", "queued", "ringing", T0 + 5000, T0 + 1);
    is_int(drain(&t, T0 + 2), 1, "4.5: by the watermark, too");

    (void) event(&t.e, "b", "queued", "ringing", T0 - 1, T0 + 3);
    is_int(drain(&t, T0 + 4), 0, "4.5: what comes late");
    ok(flagged(&t, NGX_EB_LIFECYCLE_FLAG_LATE), "4.5: is flagged at once");

    event_set(&t.e, &ev, "c", NULL, "queued", T0, T0);
    ev.flags = NGX_EB_LIFECYCLE_F_NOTIME;
    (void) ngx_eb_lifecycle_event(&t.e.lc, &ev);
    (void) drain(&t, T0 + 10000);
    (void) find(&t, "c", &v);
    is_int(v.flags, NGX_EB_LIFECYCLE_NOTIME, "4.5: a missing time is marked");
    is_int(v.history[0].flags, NGX_EB_LIFECYCLE_F_NOTIME,
           "4.5: in the history");

    engine_close(&t.e);
}


static void
row_4_6(void)
{
    char                          text[200];
    u_char                        hex[32], digest[32], first[16];
    test_t                        t;
    ngx_str_t                     id;
    ngx_eb_lifecycle_event_t      ev;
    ngx_eb_lifecycle_decision_t   d;

    test_open(&t);

    event_set(&t.e, &ev, "2f7bf00a", NULL, "queued", T0 + 7, T0);
    ev.id.data = (u_char *) "58fb5dac";
    ev.id.len = 8;
    (void) ngx_eb_lifecycle_event(&t.e.lc, &ev);
    (void) drain(&t, T0 + 10000);

    snprintf(text, sizeof(text), "2f7bf00a\n\nqueued\n%lld\n58fb5dac",
             (long long) T0 + 7);
    (void) SHA256((u_char *) text, strlen(text), digest);

    ok(memcmp(digest, t.d.id, 16) == 0, "4.6: the id is what the header says");
    memcpy(first, t.d.id, 16);

    (void) ngx_eb_lifecycle_id_hex(hex, t.d.id);
    ok(memcmp(hex, "0123456789abcdef", 16) != 0 && hex[0] == "0123456789abcdef"
       [digest[0] >> 4], "4.6: and its digits");

    d = t.d;
    d.time++;
    (void) ngx_eb_lifecycle_id(&t.e.states, &d);
    ok(memcmp(first, d.id, 16) != 0, "4.6: a millisecond makes another one");

    d = t.d;
    d.event[0]++;
    (void) ngx_eb_lifecycle_id(&t.e.states, &d);
    ok(memcmp(first, d.id, 16) != 0, "4.6: and so does another event");

    d = t.d;
    d.previous = 1;
    (void) ngx_eb_lifecycle_id(&t.e.states, &d);
    ok(memcmp(first, d.id, 16) != 0, "4.6: and a state");

    memset(text, 'x', 65);
    id.data = (u_char *) text;
    id.len = 65;
    is_int(ngx_eb_lifecycle_fit(&id, (u_char *) text + 100), NGX_OK,
           "4.6: an id that is too long");
    is_int(id.len, 64, "4.6: becomes its digest");

    engine_close(&t.e);
}


static void
row_4_8(void)
{
    test_t      t;
    ngx_uint_t  i;

    test_open(&t);

    for (i = 0; i < 3; i++) {
        (void) event(&t.e, "a", NULL, "queued", T0, T0 + i * 10000);
        (void) event(&t.e, "a", "queued", "ringing", T0 + 1, T0 + i * 10000);
        (void) event(&t.e, "a", "ringing", "abandoned", T0 + 2,
                     T0 + i * 10000);
        (void) drain(&t, T0 + i * 10000 + 6000);
    }

    is_int(t.published, 3, "4.8: what is read again is published once");
    is_int(t.flagged, 0, "4.8: and is nothing to be flagged");

    engine_close(&t.e);
}


static void
row_4_13(void)
{
    char                          id[16];
    test_t                        t;
    ngx_uint_t                    i;
    ngx_eb_lifecycle_view_t       v;
    ngx_eb_lifecycle_counters_t   c;

    test_open(&t);
    t.e.conf.grace = 60000;
    t.e.conf.idle = 600000;

    (void) step(&t, "a", NULL, "queued", T0);
    (void) step(&t, "a", "queued", "ringing", T0 + 1);
    (void) step(&t, "a", "ringing", "abandoned", T0 + 2);
    (void) step(&t, "b", NULL, "queued", T0 + 2);

    (void) drain(&t, T0 + 5002 + 59999);
    is_int(find(&t, "a", &v), NGX_OK, "4.13: it is known while grace lasts");
    (void) drain(&t, T0 + 5002 + 60000);
    is_int(find(&t, "a", &v), NGX_DECLINED, "4.13: then it is forgotten");
    is_int(find(&t, "b", &v), NGX_OK, "4.13: but not an open one");
    (void) drain(&t, T0 + 5002 + 600000);
    is_int(find(&t, "b", &v), NGX_DECLINED, "4.13: until it is idle");
    is_int(t.evicted, 2, "4.13: both are told");

    for (i = 0; i < 40; i++) {
        snprintf(id, sizeof(id), "n%lu", (u_long) i);
        is_int(step(&t, id, NULL, "queued", T0 + i), 1, "4.13: %s", id);
    }

    ngx_eb_lifecycle_counters(&t.e.lc, &c);
    is_int(c.interactions, 16, "4.13: memory is bounded");
    is_int(c.evicted_open, 24, "4.13: and what had to go is counted");
    is_int(find(&t, "n23", &v), NGX_DECLINED, "4.13: the oldest are gone");
    is_int(find(&t, "n24", &v), NGX_OK, "4.13: the youngest are not");

    engine_close(&t.e);
}


static void
row_4_14(void)
{
    test_t                        t;
    ngx_eb_lifecycle_view_t       v;
    ngx_eb_lifecycle_decision_t   d;
    ngx_eb_lifecycle_counters_t   c;

    test_open(&t);

    (void) step(&t, "a", NULL, "queued", T0);
    (void) event(&t.e, "a", "queued", "ringing", T0 + 1000, T0 + 1000);
    (void) ngx_eb_lifecycle_next(&t.e.lc, T0 + 6000, &d);
    ngx_eb_lifecycle_done(&t.e.lc, &d, T0 + 7000, 0);
    (void) step(&t, "a", "closed", "queued", T0 + 2000);

    ngx_eb_lifecycle_counters(&t.e.lc, &c);

    is_int(c.captured, 3, "4.14: captured");
    is_int(c.validated, 2, "4.14: validated");
    is_int(c.propagated, 1, "4.14: propagated");
    is_int(c.failed, 1, "4.14: failed");
    is_int(c.latency, 5000, "4.14: latency is that of successes");
    is_int(c.latencies[9], 1, "4.14: in its bucket");
    is_int(c.flagged[NGX_EB_LIFECYCLE_FLAG_MISMATCH], 1, "4.14: flagged");

    (void) find(&t, "a", &v);
    is_int(v.stage, 2, "4.14: what failed does not touch the stage");
    ok(v.flags & NGX_EB_LIFECYCLE_FAILED, "4.14: it is marked");

    engine_close(&t.e);
}


static void
row_4_15(void)
{
    test_t  t;

    test_open(&t);

    is_int(ngx_eb_lifecycle_wait(&t.e.lc, T0), -1, "4.15: nothing to wait for");
    (void) event(&t.e, "a", NULL, "queued", T0, T0);
    is_int(ngx_eb_lifecycle_wait(&t.e.lc, T0 + 1000), 4000,
           "4.15: the engine says how long");
    (void) event(&t.e, "a", "queued", "ringing", T0 - 5000, T0);
    is_int(ngx_eb_lifecycle_wait(&t.e.lc, T0 + 1000), 1,
           "4.15: or that it need not wait");

    engine_close(&t.e);
}


static void
ties(void)
{
    test_t  t;

    test_open(&t);

    (void) event(&t.e, "a", "ringing", "connected", T0, T0);
    (void) event(&t.e, "a", NULL, "queued", T0, T0 + 1);
    (void) event(&t.e, "a", "queued", "ringing", T0, T0 + 2);

    is_int(drain(&t, T0 + 6000), 3,
           "of things in the same second each finds its place");
    is_int(t.flagged, 0, "nothing is flagged");

    engine_close(&t.e);
}


static void
hints(void)
{
    test_t                        t;
    ngx_uint_t                    i;
    ngx_eb_lifecycle_event_t      ev;
    ngx_eb_lifecycle_counters_t   c;

    test_open(&t);

    (void) step(&t, "a", NULL, "queued", T0);

    /* wrapped up while it is queued, and connected at once, as a hint */

    for (i = 0; i < 2; i++) {
        event_set(&t.e, &ev, "a", NULL, i ? "connected" : "closed", T0 + 1 + i,
                  T0 + 1);
        ev.flags = NGX_EB_LIFECYCLE_F_MAPPED;

        if (i) {
            ev.flags |= NGX_EB_LIFECYCLE_F_HINT;

        } else {
            ev.only = state(&t.e, "wrapping");
        }

        (void) ngx_eb_lifecycle_event(&t.e.lc, &ev);
    }

    (void) drain(&t, T0 + 6000);

    ngx_eb_lifecycle_counters(&t.e.lc, &c);
    is_int(c.unchanged, 2, "what does not matter changes nothing");
    is_int(t.flagged, 0, "and is not flagged");

    is_int(step(&t, "a", NULL, "queued", T0 + 100), 0, "a repetition");
    is_int(t.flagged, 0, "is no violation");

    engine_close(&t.e);
}


static void
adopted(void)
{
    test_t                   t;
    ngx_eb_lifecycle_view_t  v;

    test_open(&t);
    t.e.conf.adopt = 1;

    is_int(step(&t, "a", "ringing", "connected", T0), 1,
           "adopt: an interaction that is known from its middle on");
    is_int(t.d.previous, state(&t.e, "ringing"), "what it says is published");
    ok(t.d.flags & NGX_EB_LIFECYCLE_F_GAP, "with a mark");

    is_int(step(&t, "a", "transferred", "ringing", T0 + 1), 1,
           "adopt: a gap is bridged");
    is_int(step(&t, "a", "closed", "queued", T0 + 2), 0,
           "adopt: but not by what is impossible");
    is_int(event(&t.e, "a", "transferred", "ringing", T0 + 1, T0 + 3),
           NGX_DECLINED, "a duplicate is one");

    (void) find(&t, "a", &v);
    ok(v.flags & NGX_EB_LIFECYCLE_GAP, "the interaction is marked");

    engine_close(&t.e);
}


static void
room(void)
{
    char                          id[16];
    test_t                        t;
    ngx_int_t                     rc;
    ngx_uint_t                    i;
    ngx_eb_lifecycle_decision_t   d;
    ngx_eb_lifecycle_counters_t   c;

    test_open(&t);

    for (i = 0; i < 32; i++) {
        snprintf(id, sizeof(id), "i%lu", (u_long) (i % 16));
        (void) event(&t.e, id, NULL, i < 16 ? "queued" : "ringing", T0 + i,
                     T0);
    }

    is_int(event(&t.e, "i0", NULL, "connected", T0 + 50, T0), NGX_BUSY,
           "the window is full");
    is_int(ngx_eb_lifecycle_next(&t.e.lc, T0, &d), NGX_OK,
           "then the first goes early");
    is_int(ngx_eb_lifecycle_next(&t.e.lc, T0, &d), NGX_DONE, "but one only");
    is_int(event(&t.e, "i0", NULL, "connected", T0 + 50, T0), NGX_OK,
           "and there is room");

    ngx_eb_lifecycle_counters(&t.e.lc, &c);
    is_int(c.forced, 1, "that is counted");
    is_int(c.refused, 1, "as is the other");

    /* all interactions wait for their publication: nobody is forgotten */

    for (i = 0; i < 31; i++) {
        (void) ngx_eb_lifecycle_next(&t.e.lc, T0 + 9000, &d);
    }

    rc = event(&t.e, "another", NULL, "queued", T0, T0);
    is_int(rc, NGX_BUSY, "who is to be published stays");

    ngx_eb_lifecycle_counters(&t.e.lc, &c);
    ok(c.unpublished >= 16 && c.evicted_open == 0, "they do");

    engine_close(&t.e);
}


static void
clocks(void)
{
    test_t  t;

    test_open(&t);

    (void) event(&t.e, "a", NULL, "queued", T0, T0);
    is_int(drain(&t, T0 - 3600 * 1000), 1,
           "a clock that was set back holds nothing for an hour");
    is_int(t.published, 1, "and nothing is published twice");

    engine_close(&t.e);
}


/* what came again while a snapshot was written is known by its entry only */

static void
restored(void)
{
    test_t                        t;
    uint64_t                      key;
    ngx_eb_lifecycle_view_t       view;
    ngx_eb_lifecycle_counters_t   counters;

    test_open(&t);

    (void) event(&t.e, "a", NULL, "queued", T0, T0);
    (void) event(&t.e, "a", "queued", "closed", T0 + 1, T0);
    (void) event(&t.e, "a", "queued", "ringing", T0 + 2, T0);

    memset(&view, 0, sizeof(ngx_eb_lifecycle_view_t));

    view.interaction_len = 1;
    view.interaction[0] = 'a';
    view.stage = 1;
    view.nhistory = 1;
    view.touched = T0;
    view.history[0].time = T0;
    view.history[0].state = state(&t.e, "queued");

    key = ngx_eb_lifecycle_key(T0 + 1, state(&t.e, "closed"),
                               state(&t.e, "queued"));

    is_int(ngx_eb_lifecycle_restore(&t.e.lc, &view, &key, 1), NGX_OK,
           "restored: where it stood");

    ngx_eb_lifecycle_counters(&t.e.lc, &counters);
    is_int(counters.held, 1, "restored: what was judged is not held");

    (void) drain(&t, T0 + 60000);
    is_int(t.published, 1, "restored: what was not is published");
    is_int(t.flagged, 0, "restored: and nothing is flagged");

    engine_close(&t.e);
}



static void
bounds(void)
{
    char                      id[80];
    test_t                    t;
    ngx_eb_lifecycle_event_t  ev;

    test_open(&t);

    memset(id, 'i', sizeof(id));
    id[65] = '\0';
    is_int(event(&t.e, id, NULL, "queued", T0, T0), NGX_ERROR,
           "an interaction's id that is too long");
    id[64] = '\0';
    is_int(event(&t.e, id, NULL, "queued", T0, T0), NGX_OK, "one that fits");
    is_int(event(&t.e, "", NULL, "queued", T0, T0), NGX_ERROR, "none");
    is_int(event(&t.e, "a", NULL, "queued", -1, T0), NGX_ERROR,
           "a negative time");
    is_int(event(&t.e, "a", NULL, "queued", NGX_EB_LIFECYCLE_MAX_TIME + 1,
                 T0), NGX_ERROR, "a time that is too large");
    is_int(event(&t.e, "a", NULL, NULL, T0, T0), NGX_ERROR, "no state");

    event_set(&t.e, &ev, "a", NULL, "queued", T0, T0);
    ev.only = 31;
    is_int(ngx_eb_lifecycle_event(&t.e.lc, &ev), NGX_ERROR,
           "a state that is none");

    is_int(ngx_eb_lifecycle_size(0, 1) + ngx_eb_lifecycle_size(1, 0)
           + ngx_eb_lifecycle_size((ngx_uint_t) 1 << 40, 1), 0,
           "sizes are checked");
    is_int(ngx_eb_lifecycle_attach(&t.e.lc, &t.e.conf, t.e.block,
                                   t.e.size - 1), NGX_DECLINED,
           "a block that is too small");
    t.e.lc.header->version++;
    is_int(ngx_eb_lifecycle_attach(&t.e.lc, &t.e.conf, t.e.block, t.e.size),
           NGX_DECLINED, "another layout");

    engine_close(&t.e);
}


/* a writer that died at any place blocks nobody, and a new one mends it */

static void
readers(void)
{
    test_t                    t;
    uint32_t                  cursor;
    ngx_uint_t                found;
    ngx_eb_lifecycle_view_t   v, views[4];

    test_open(&t);

    (void) step(&t, "a", NULL, "queued", T0);
    (void) step(&t, "b", NULL, "queued", T0);

    is_int(find(&t, "a", &v), NGX_OK, "found");
    is_int(find(&t, "x", &v), NGX_DECLINED, "not found");

    t.e.lc.entries[v.entry].seq++;
    is_int(find(&t, "a", &v), NGX_AGAIN, "in the middle of a change");
    cursor = 0;
    is_int(ngx_eb_lifecycle_list(&t.e.lc, NGX_EB_LIFECYCLE_NONE, &cursor, 100,
                                 views, 4, &found), NGX_AGAIN, "so is a list");
    t.e.lc.entries[v.entry].seq--;

    t.e.lc.header->links++;
    is_int(find(&t, "x", &v), NGX_AGAIN, "in the middle of the index");
    is_int(find(&t, "a", &v), NGX_OK, "what is found, is found");

    /* a chain that leads nowhere, or in circles */

    t.e.lc.buckets[ngx_eb_lifecycle_hash(&t.e.lc, (u_char *) "x", 1) & 15] =
                                                                    0x7ffffff;
    is_int(find(&t, "x", &v), NGX_AGAIN, "an offset is not trusted");

    ngx_eb_lifecycle_reset(&t.e.lc);
    is_int(find(&t, "a", &v), NGX_AGAIN, "nothing is read while it recovers");
    ok(!ngx_eb_lifecycle_ready(&t.e.lc), "it is not ready");
    ngx_eb_lifecycle_open(&t.e.lc);
    is_int(find(&t, "a", &v), NGX_DECLINED, "then it can be");

    (void) step(&t, "a", NULL, "queued", T0);
    (void) step(&t, "b", NULL, "queued", T0);
    (void) step(&t, "b", "queued", "ringing", T0 + 1);

    cursor = 0;
    is_int(ngx_eb_lifecycle_list(&t.e.lc, state(&t.e, "ringing"), &cursor, 1,
                                 views, 4, &found), NGX_OK, "a list");
    is_int(found, 0, "after one look");
    is_int(ngx_eb_lifecycle_list(&t.e.lc, state(&t.e, "ringing"), &cursor, 100,
                                 views, 4, &found), NGX_DONE, "to its end");
    is_int(found, 1, "one of this state");
    ok(views[0].interaction_len == 1 && views[0].interaction[0] == 'b',
       "the right one");

    cursor = 0xffffffff;
    is_int(ngx_eb_lifecycle_list(&t.e.lc, NGX_EB_LIFECYCLE_NONE, &cursor, 100,
                                 views, 4, &found), NGX_DONE,
           "a position of somebody's own making");
    is_int(found, 0, "leads nowhere");

    engine_close(&t.e);
}


int
main(void)
{
    states();
    row_4_1();
    row_4_2();
    row_4_3();
    row_4_4();
    row_4_5();
    row_4_6();
    row_4_8();
    row_4_13();
    row_4_14();
    row_4_15();
    ties();
    hints();
    adopted();
    room();
    clocks();
    restored();
    bounds();
    readers();

    return done_testing();
}
