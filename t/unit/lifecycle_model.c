
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * 100,000 interactions at once, their events shuffled inside of the window,
 * sent twice, lost, late, or nonsense: what the engine publishes is what a
 * model says that knows nothing of it, for each interaction in order, each
 * transition once.
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
#include "shim.h"
#include "lifecycle.h"


#define INTERACTIONS  100000
#define WINDOW        5000
#define STAGES        8
#define PER           64            /* events of an interaction, at most */
#define FLAGGED       4             /* that are remembered */


/* the model's own states: what may follow is spelled out */

enum { Q, R, C, W, T, X, A, STATES, NOTHING = 99 };

static const char  *names[] = {
    "queued", "ringing", "connected", "wrapping", "transferred", "closed",
    "abandoned"
};

static const char  *follow[] = {
    "ringing", "connected abandoned", "wrapping transferred abandoned",
    "closed", "ringing connected", "", ""
};


typedef struct {
    int64_t    time;
    int64_t    at;
    uint32_t   who;
    uint32_t   order;               /* of those that arrive at one moment */
    uint8_t    from;
    uint8_t    to;
} sent_t;


/* what is published: of the model, or of the engine */

typedef struct {
    int64_t    time;
    uint8_t    from;
    uint8_t    to;
} step_t;

typedef struct {
    step_t      steps[STAGES + 1];
    ngx_uint_t  n;
    ngx_uint_t  flags;
} result_t;


static uint64_t rnd(uint64_t n);
static ngx_uint_t may(ngx_uint_t from, ngx_uint_t to);
static ngx_uint_t generate(void);
static void deliver(ngx_uint_t who, ngx_uint_t from, ngx_uint_t to,
    int64_t time, int64_t at);
static int by_arrival(const void *a, const void *b);
static int by_who(const void *a, const void *b);
static void model(sent_t *sent, ngx_uint_t n, result_t *result);
static ngx_uint_t model_pick(sent_t *held, ngx_uint_t n, ngx_uint_t state);
static ngx_uint_t model_fits(sent_t *sent, ngx_uint_t state);
static ngx_uint_t model_judge(sent_t *sent, result_t *r);
static ngx_uint_t model_same(sent_t *seen, ngx_uint_t n, sent_t *sent);
static ngx_uint_t model_accepted(result_t *r, sent_t *sent);
static void drain(engine_t *e, int64_t now);


static uint64_t    seed;
static sent_t     *all;
static ngx_uint_t  nall, size;
static result_t   *expected, *got;
static ngx_uint_t  wrong_stage, wrong_order, ids;
static uint64_t    id_sum;
static uint8_t     outer[STATES], inner[256];   /* numbers of states */
static ngx_uint_t  dropped, doubled, shuffled, delayed, odd;


static uint64_t
rnd(uint64_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return seed % n;
}


static ngx_uint_t
may(ngx_uint_t from, ngx_uint_t to)
{
    return strstr(follow[from], names[to]) != NULL;
}


static ngx_uint_t
generate(void)
{
    int64_t     time, at;
    ngx_uint_t  who, from, to, n, told;

    for (who = 0; who < INTERACTIONS; who++) {

        time = 1000000 + rnd(600000);
        told = rnd(10) < 7;
        from = NOTHING;
        to = Q;

        for (n = 0; n < STAGES + 3; n++) {

            at = time + rnd(WINDOW);
            shuffled++;

            if (rnd(100) < 2) {
                at = time + 2 * WINDOW + rnd(2 * WINDOW);
                delayed++;
            }

            if (rnd(100) < 3) {
                dropped++;

            } else {
                deliver(who, told ? from : NOTHING, to, time, at);

                if (rnd(100) < 5) {
                    deliver(who, told ? from : NOTHING, to, time,
                         at + rnd(20000));
                    doubled++;
                }
            }

            if (rnd(100) < 1) {
                deliver(who, rnd(2) ? NOTHING : rnd(STATES), rnd(STATES),
                     time + rnd(500), time + rnd(WINDOW));
                odd++;
            }

            if (follow[to][0] == '\0') {
                break;
            }

            from = to;

            do {
                to = rnd(STATES);
            } while (!may(from, to));

            /* clocks of whole seconds have many things at once */

            time += rnd(10) == 0 ? 0 : 1 + rnd(4000);
        }
    }

    return nall;
}


static void
deliver(ngx_uint_t who, ngx_uint_t from, ngx_uint_t to, int64_t time,
    int64_t at)
{
    sent_t  *s;

    if (nall == size) {
        size = size ? 2 * size : 1024 * 1024;
        all = realloc(all, size * sizeof(sent_t));

        if (all == NULL) {
            abort();
        }
    }

    s = &all[nall];
    s->who = who;
    s->from = from;
    s->to = to;
    s->time = time;
    s->at = at;
    s->order = nall++;
}


static int
by_arrival(const void *a, const void *b)
{
    const sent_t  *x = a, *y = b;

    if (x->at != y->at) {
        return x->at < y->at ? -1 : 1;
    }

    return x->order < y->order ? -1 : 1;
}


static int
by_who(const void *a, const void *b)
{
    const sent_t  *x = a, *y = b;

    return x->who != y->who ? (x->who < y->who ? -1 : 1) : by_arrival(a, b);
}


/*
 * The window of one interaction: events are taken from it in the order of
 * their times when they have been in it for its length, or are older than the
 * newest by that; what is older than something that was accepted, at once.
 */

static void
model(sent_t *sent, ngx_uint_t n, result_t *r)
{
    sent_t      held[PER], flagged[PER];
    int64_t     newest, now;
    ngx_uint_t  i, k, p, nheld, nflagged, go;

    nheld = 0;
    nflagged = 0;
    newest = 0;

    for (i = 0; i <= n; i++) {

        now = (i == n) ? INT64_MAX : sent[i].at;

        for (p = 0; p < 2; p++) {

            for ( ;; ) {
                go = 0;

                for (k = 0; k < nheld; k++) {
                    go |= (now - held[k].at >= WINDOW
                           || held[k].time <= newest - WINDOW
                           || (r->n
                               && held[k].time < r->steps[r->n - 1].time));
                }

                if (!go) {
                    break;
                }

                k = model_pick(held, nheld, r->n ? r->steps[r->n - 1].to
                                                 : NOTHING);

                if (!model_judge(&held[k], r)) {
                    flagged[nflagged++] = held[k];
                }

                memmove(&held[k], &held[k + 1],
                        (nheld - k - 1) * sizeof(sent_t));
                nheld--;
            }

            if (p == 1 || i == n) {
                break;
            }

            if (model_same(held, nheld, &sent[i])
                || model_accepted(r, &sent[i])
                || model_same(&flagged[nflagged - ngx_min(nflagged, FLAGGED)],
                              ngx_min(nflagged, FLAGGED), &sent[i]))
            {
                break;
            }

            if (nheld == PER || nflagged == PER) {
                abort();
            }

            held[nheld++] = sent[i];
            newest = ngx_max(newest, sent[i].time);
        }
    }
}


/* the oldest; of several, the first that may follow, or else the first */

static ngx_uint_t
model_pick(sent_t *held, ngx_uint_t n, ngx_uint_t state)
{
    int64_t     time;
    ngx_uint_t  i;

    time = held[0].time;

    for (i = 1; i < n; i++) {
        time = ngx_min(time, held[i].time);
    }

    for (i = 0; i < n; i++) {
        if (held[i].time == time && model_fits(&held[i], state)) {
            return i;
        }
    }

    for (i = 0; held[i].time != time; i++) { /* void */ }

    return i;
}


static ngx_uint_t
model_fits(sent_t *sent, ngx_uint_t state)
{
    if (state == NOTHING) {
        return sent->from == NOTHING && sent->to == Q;
    }

    return (sent->from == NOTHING || sent->from == state)
           && may(state, sent->to);
}


/* was it accepted? */

static ngx_uint_t
model_judge(sent_t *sent, result_t *r)
{
    step_t      *step;
    ngx_uint_t   state;

    state = r->n ? r->steps[r->n - 1].to : NOTHING;

    if (r->n && sent->time < r->steps[r->n - 1].time) {
        r->flags++;
        return 0;
    }

    if (sent->from == NOTHING && sent->to == state) {
        return 0;
    }

    /* it begins in queued, although nobody said so */

    if (state == NOTHING && sent->from == Q && may(Q, sent->to)) {
        state = Q;

    } else if (!model_fits(sent, state)) {
        r->flags++;
        return 0;
    }

    if (r->n == STAGES) {
        r->flags++;
        return 0;
    }

    step = &r->steps[r->n++];
    step->time = sent->time;
    step->from = state;
    step->to = sent->to;

    return 1;
}


static ngx_uint_t
model_same(sent_t *seen, ngx_uint_t n, sent_t *sent)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        if (seen[i].time == sent->time && seen[i].to == sent->to
            && seen[i].from == sent->from)
        {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
model_accepted(result_t *r, sent_t *sent)
{
    ngx_uint_t  i;

    for (i = 0; i < r->n; i++) {
        if (r->steps[i].time == sent->time && r->steps[i].to == sent->to
            && (sent->from == NOTHING || sent->from == r->steps[i].from))
        {
            return 1;
        }
    }

    return 0;
}


static void
drain(engine_t *e, int64_t now)
{
    uint64_t                      part;
    step_t                       *step;
    result_t                     *r;
    ngx_eb_lifecycle_decision_t   d;

    while (ngx_eb_lifecycle_next(&e->lc, now, &d) == NGX_OK) {
        r = &got[ngx_hextoi(d.interaction + 12, d.interaction_len - 12)];

        if (d.kind == NGX_EB_LIFECYCLE_FLAG) {
            r->flags++;
        }

        if (d.kind != NGX_EB_LIFECYCLE_PUBLISH) {
            continue;
        }

        if (d.stage != r->n + 1 || r->n >= STAGES) {
            wrong_stage++;
            continue;
        }

        step = &r->steps[r->n++];
        step->time = d.time;
        step->from = inner[d.previous];
        step->to = inner[d.current];

        if (r->n > 1 && (step[-1].to != step->from
                         || step[-1].time > step->time))
        {
            wrong_order++;
        }

        memcpy(&part, d.id, sizeof(part));
        id_sum ^= part;
        ids++;

        ngx_eb_lifecycle_done(&e->lc, &d, now, 1);
    }
}


int
main(void)
{
    char                          id[40];
    sent_t                       *first;
    int64_t                       now;
    engine_t                      e;
    ngx_int_t                     rc;
    ngx_uint_t                    i, n, bad, flags, published, refused, known;
    ngx_eb_lifecycle_event_t      ev;
    ngx_eb_lifecycle_counters_t   c;

    seed = 88172645463325252ULL;

    if (getenv("EB_SEED")) {
        seed = strtoull(getenv("EB_SEED"), NULL, 10) | 1;
    }

    diag("EB_SEED=%llu", (unsigned long long) seed);

    engine_open(&e, INTERACTIONS, 65536);

    inner[NGX_EB_LIFECYCLE_NONE] = NOTHING;

    for (i = 0; i < STATES; i++) {
        outer[i] = state(&e, names[i]);
        inner[outer[i]] = i;
    }

    expected = calloc(INTERACTIONS, sizeof(result_t));
    got = calloc(INTERACTIONS, sizeof(result_t));

    n = generate();

    ok(n > 4 * INTERACTIONS, "%lu events of %d interactions", (u_long) n,
       INTERACTIONS);
    ok(dropped > 1000 && doubled > 1000 && delayed > 1000 && odd > 1000,
       "%lu lost, %lu sent twice, %lu late, %lu nonsense", (u_long) dropped,
       (u_long) doubled, (u_long) delayed, (u_long) odd);

    qsort(all, n, sizeof(sent_t), by_arrival);

    refused = 0;
    now = 0;

    for (i = 0; i < n; i++) {
        snprintf(id, sizeof(id), "interaction-%08x", (unsigned) all[i].who);

        event_set(&e, &ev, id, NULL, NULL, all[i].time, all[i].at);

        ev.previous = all[i].from == NOTHING ? NGX_EB_LIFECYCLE_NONE
                                             : outer[all[i].from];
        ev.current = outer[all[i].to];

        now = all[i].at;
        drain(&e, now);

        rc = ngx_eb_lifecycle_event(&e.lc, &ev);

        if (rc != NGX_OK && rc != NGX_DECLINED) {
            refused++;
        }

        drain(&e, now);
    }

    drain(&e, now + WINDOW);

    is_int(refused, 0, "all events have found room");

    qsort(all, n, sizeof(sent_t), by_who);

    known = 0;

    for (i = 0; i < n; /* void */) {
        first = &all[i];
        known++;

        while (i < n && all[i].who == first->who) {
            i++;
        }

        model(first, &all[i] - first, &expected[first->who]);
    }

    bad = 0;
    flags = 0;
    published = 0;

    for (i = 0; i < INTERACTIONS; i++) {
        published += expected[i].n;

        if (expected[i].n != got[i].n
            || memcmp(expected[i].steps, got[i].steps,
                      got[i].n * sizeof(step_t))
               != 0)
        {
            if (bad++ < 5) {
                diag("interaction %lu: %lu transitions, not %lu", (u_long) i,
                     (u_long) got[i].n, (u_long) expected[i].n);
            }
        }

        if (expected[i].flags != got[i].flags) {
            flags++;
        }
    }

    is_int(bad, 0, "the sequences of all interactions are the model's");
    is_int(flags, 0, "and so are the numbers of flagged events");
    is_int(wrong_stage, 0, "stages count from 1");
    is_int(wrong_order, 0, "transitions follow one another");

    ngx_eb_lifecycle_counters(&e.lc, &c);

    is_int(c.validated, published, "each transition was accepted once");
    is_int(c.propagated, published, "and published once");
    is_int(c.held, 0, "nothing is held any more");
    is_int(c.unpublished, 0, "nor to be published");
    is_int(c.interactions, known, "all interactions are known");
    is_int(c.forced + c.evicted_open + c.evicted_early, 0,
           "none had to go early");
    ok(c.flagged[NGX_EB_LIFECYCLE_FLAG_LATE] > 100
       && c.flagged[NGX_EB_LIFECYCLE_FLAG_MISMATCH] > 100
       && c.flagged[NGX_EB_LIFECYCLE_FLAG_INITIAL] > 100
       && c.flagged[NGX_EB_LIFECYCLE_FLAG_MATRIX] > 100
       && c.flagged[NGX_EB_LIFECYCLE_FLAG_ENDED] > 10
       && c.flagged[NGX_EB_LIFECYCLE_FLAG_STAGES] > 100
       && c.duplicates > 1000,
       "%lu published, %llu duplicates, flagged: %llu late, %llu mismatch",
       (u_long) published, (unsigned long long) c.duplicates,
       (unsigned long long) c.flagged[NGX_EB_LIFECYCLE_FLAG_LATE],
       (unsigned long long) c.flagged[NGX_EB_LIFECYCLE_FLAG_MISMATCH]);

    ok(ids == published && id_sum != 0, "each of them has an id");

    engine_close(&e);
    free(all);
    free(expected);
    free(got);

    return done_testing();
}
