
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Destinations that go up and down, on a clock that is told what time it is.
 */

/* sources: src/route/ngx_eb_health.c */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_health.h"


#define START  1000000000ull


static void rise_and_fall(void);
static void breaker(void);
static void lost_trial(void);
static void latecomers(void);
static void schedule(void);
static void spread(void);
static void missed(void);
static ngx_uint_t outside(ngx_eb_health_t *h, ngx_eb_health_conf_t *conf,
    ngx_uint_t low, ngx_uint_t high);
static void retry_after(void);
static void certificates(void);
static uint32_t chance(void);


static ngx_eb_health_conf_t  probed = { 10000, 5000, 2, 3, 1 };
static ngx_eb_health_conf_t  unprobed = { 10000, 5000, 2, 3, 0 };


/* the same in each run */

static uint32_t
chance(void)
{
    static uint32_t  seed = 12345;

    seed = seed * 1664525 + 1013904223;

    return seed >> 3;
}


static void
rise_and_fall(void)
{
    uint64_t         t;
    ngx_uint_t       i, j, bad, changes;
    ngx_eb_health_t  h;

    ngx_memzero(&h, sizeof(ngx_eb_health_t));
    t = START;

    is_int(ngx_eb_health_admit(&h, &probed, t, 1), NGX_EB_HEALTH_PASS,
           "probed: up at first");

    is_int(ngx_eb_health_result(&h, &probed, t, t, 0, 0), NGX_EB_HEALTH_SAME,
           "probed: one failure");
    is_int(ngx_eb_health_result(&h, &probed, t, t, 0, 0), NGX_EB_HEALTH_SAME,
           "probed: two failures");
    is_int(ngx_eb_health_result(&h, &probed, t, t, 0, 1), NGX_EB_HEALTH_SAME,
           "probed: a success");
    (void) ngx_eb_health_result(&h, &probed, t, t, 0, 0);
    is_int(ngx_eb_health_result(&h, &probed, t, t, 0, 0), NGX_EB_HEALTH_SAME,
           "probed: failures in a row count");
    is_int(ngx_eb_health_result(&h, &probed, t, t, 0, 0),
           NGX_EB_HEALTH_WENT_DOWN, "probed: down");
    is_int(ngx_strcmp(ngx_eb_health_name(h.state), "down"), 0,
           "probed: its name");

    for (i = 0, bad = 0; i < 1000; i++) {
        bad += (ngx_eb_health_admit(&h, &probed, t + i * 1000, 1)
                != NGX_EB_HEALTH_REFUSE);
    }

    is_int(bad, 0, "probed: no delivery tries it");

    t += 100;
    is_int(ngx_eb_health_result(&h, &probed, t, t, 0, 0), NGX_EB_HEALTH_SAME,
           "probed: it stays down, which is said once");
    is_int(ngx_eb_health_result(&h, &probed, t, t, 0, 1), NGX_EB_HEALTH_SAME,
           "probed: one success");
    is_int(ngx_eb_health_result(&h, &probed, t, t, 0, 0), NGX_EB_HEALTH_SAME,
           "probed: a failure");
    is_int(ngx_eb_health_result(&h, &probed, t, t, 0, 1), NGX_EB_HEALTH_SAME,
           "probed: successes in a row count");
    is_int(ngx_eb_health_result(&h, &probed, t, t, 0, 1),
           NGX_EB_HEALTH_WENT_UP, "probed: up");
    is_int(ngx_eb_health_admit(&h, &probed, t, 1), NGX_EB_HEALTH_PASS,
           "probed: deliveries pass");

    /* for all small rises and falls: so many in a row, and not one less */

    bad = 0;

    for (i = 1; i < 8; i++) {
        for (j = 1; j < 8; j++) {
            ngx_eb_health_conf_t  conf = { 1000, 1000, i, j, 1 };

            ngx_memzero(&h, sizeof(ngx_eb_health_t));
            changes = 0;

            while (changes < j) {
                changes++;
                t++;

                bad += ((ngx_eb_health_result(&h, &conf, t, t, 0, 0)
                         == NGX_EB_HEALTH_WENT_DOWN) != (changes == j));
            }

            changes = 0;

            while (changes < i) {
                changes++;
                t++;

                bad += ((ngx_eb_health_result(&h, &conf, t, t, 0, 1)
                         == NGX_EB_HEALTH_WENT_UP) != (changes == i));
            }
        }
    }

    is_int(bad, 0, "probed: rise and fall are exact");
}


static void
breaker(void)
{
    uint64_t         t;
    ngx_uint_t       i;
    ngx_eb_health_t  h;

    ngx_memzero(&h, sizeof(ngx_eb_health_t));
    t = START;

    for (i = 0; i < 3; i++) {
        (void) ngx_eb_health_result(&h, &unprobed, t, t, 7, 0);
    }

    is_int(h.state, NGX_EB_HEALTH_DOWN, "breaker: down");
    is_int(ngx_eb_health_admit(&h, &unprobed, t + 9999, 1),
           NGX_EB_HEALTH_REFUSE, "breaker: closed for an interval");
    is_int(h.next >= t + 10000 && h.next <= t + 10500, 1,
           "breaker: and a little longer");

    t = h.next;

    is_int(ngx_eb_health_admit(&h, &unprobed, t, 0), NGX_EB_HEALTH_TRIAL,
           "breaker: who only looks");
    is_int(h.state, NGX_EB_HEALTH_DOWN, "breaker: takes nothing");
    is_int(ngx_eb_health_admit(&h, &unprobed, t, 1), NGX_EB_HEALTH_TRIAL,
           "breaker: a trial");
    is_int(ngx_strcmp(ngx_eb_health_name(h.state), "half_open"), 0,
           "breaker: half open");
    is_int(ngx_eb_health_admit(&h, &unprobed, t, 1), NGX_EB_HEALTH_REFUSE,
           "breaker: one of them");

    t += 10;
    is_int(ngx_eb_health_result(&h, &unprobed, t - 5, t, 7, 0),
           NGX_EB_HEALTH_SAME, "breaker: the trial fails");
    is_int(h.state, NGX_EB_HEALTH_DOWN, "breaker: down again");
    is_int(ngx_eb_health_admit(&h, &unprobed, t + 9999, 1),
           NGX_EB_HEALTH_REFUSE, "breaker: for another interval");

    t = h.next;
    (void) ngx_eb_health_admit(&h, &unprobed, t, 1);
    t += 10;
    is_int(ngx_eb_health_result(&h, &unprobed, t - 5, t, 7, 1),
           NGX_EB_HEALTH_SAME, "breaker: a trial succeeds");
    is_int(ngx_eb_health_admit(&h, &unprobed, t, 1), NGX_EB_HEALTH_TRIAL,
           "breaker: the next one need not wait");
    is_int(ngx_eb_health_admit(&h, &unprobed, t, 1), NGX_EB_HEALTH_REFUSE,
           "breaker: others do");
    is_int(ngx_eb_health_result(&h, &unprobed, t, t + 3, 7, 1),
           NGX_EB_HEALTH_WENT_UP, "breaker: up");
    is_int(ngx_eb_health_admit(&h, &unprobed, t, 1), NGX_EB_HEALTH_PASS,
           "breaker: everybody passes");
}


static void
lost_trial(void)
{
    uint64_t         t;
    ngx_uint_t       i;
    ngx_eb_health_t  h;

    ngx_memzero(&h, sizeof(ngx_eb_health_t));

    for (i = 0; i < 3; i++) {
        (void) ngx_eb_health_result(&h, &unprobed, START, START, 0, 0);
    }

    t = START + 20000;

    is_int(ngx_eb_health_admit(&h, &unprobed, t, 1), NGX_EB_HEALTH_TRIAL,
           "lost: a trial that never ends");
    is_int(ngx_eb_health_admit(&h, &unprobed, t + 9999, 1),
           NGX_EB_HEALTH_REFUSE, "lost: has an interval");
    is_int(ngx_eb_health_admit(&h, &unprobed, t + 10000, 1),
           NGX_EB_HEALTH_TRIAL, "lost: then there is another");
}


/* deliveries that hung through an outage end when it is over */

static void
latecomers(void)
{
    uint64_t         t;
    ngx_uint_t       i;
    ngx_eb_health_t  h;

    ngx_memzero(&h, sizeof(ngx_eb_health_t));
    t = START;

    for (i = 0; i < 3; i++) {
        (void) ngx_eb_health_result(&h, &probed, t, t + 5, 0, 0);
    }

    t += 30000;
    (void) ngx_eb_health_result(&h, &probed, t, t, 0, 1);
    (void) ngx_eb_health_result(&h, &probed, t, t, 0, 1);
    is_int(h.state, NGX_EB_HEALTH_UP, "latecomers: it is up again");

    for (i = 0; i < 100; i++) {
        (void) ngx_eb_health_result(&h, &probed, START + i, t + 1000, 0, 0);
    }

    is_int(h.state, NGX_EB_HEALTH_UP, "latecomers: are of the past");

    for (i = 0; i < 3; i++) {
        (void) ngx_eb_health_result(&h, &probed, t + 1, t + 1000, 0, 0);
    }

    is_int(h.state, NGX_EB_HEALTH_DOWN, "latecomers: unlike others");

    /* and they do not end a trial */

    ngx_memzero(&h, sizeof(ngx_eb_health_t));

    for (i = 0; i < 3; i++) {
        (void) ngx_eb_health_result(&h, &unprobed, t, t, 0, 0);
    }

    (void) ngx_eb_health_admit(&h, &unprobed, t + 20000, 1);
    (void) ngx_eb_health_result(&h, &unprobed, t - 1, t + 20001, 0, 0);
    is_int(h.state, NGX_EB_HEALTH_HALF_OPEN, "latecomers: are no trial");
}


/* 60 intervals of a second, by a caller who looks every few milliseconds */

static void
schedule(void)
{
    uint64_t              t, last, first;
    ngx_uint_t            n, off;
    ngx_eb_health_t       h;
    ngx_eb_health_conf_t  conf = { 1000, 1000, 2, 3, 1 };

    ngx_memzero(&h, sizeof(ngx_eb_health_t));
    ngx_eb_health_schedule(&h, &conf, 17, START);

    n = 0;
    off = 0;
    last = 0;
    first = 0;

    for (t = START; t < START + 60000; t += 1 + chance() % 20) {

        if (!ngx_eb_health_due(&h, &conf, t, chance())) {
            continue;
        }

        n++;

        if (last == 0) {
            first = t;

        } else if (t - last < 900 || t - last > 1100) {
            off++;
        }

        last = t;
    }

    is_int(n, 60, "schedule: a probe each second");
    is_int(first - START <= 1020, 1, "schedule: the first within an interval");
    is_int(off, 0, "schedule: none is off by a tenth");
    is_int(last - first > 58930 && last - first < 59070, 1,
           "schedule: it does not drift");
}


/* many destinations: never many at once */

static void
spread(void)
{
    ngx_uint_t            i, n, most, bad, count[1002];
    ngx_eb_health_t       h;
    ngx_eb_health_conf_t  conf = { 1000, 1000, 2, 3, 1 };

    bad = 0;

    for (n = 1; n <= 500; n++) {
        ngx_memzero(count, sizeof(count));
        most = 0;

        for (i = 0; i < n; i++) {
            ngx_memzero(&h, sizeof(ngx_eb_health_t));
            ngx_eb_health_schedule(&h, &conf, i, START);

            if (h.next <= START || h.next > START + 1000) {
                bad++;
                continue;
            }

            count[h.next - START]++;
        }

        /* in any tenth of the interval at most a tenth, and two */

        for (i = 0; i + 100 < 1002; i++) {
            ngx_uint_t  j, sum;

            for (j = 0, sum = 0; j < 100; j++) {
                sum += count[i + j];
            }

            most = ngx_max(most, sum);
        }

        if (most > n / 10 + 3) {
            diag("%u destinations: %u in a tenth", (unsigned) n,
                 (unsigned) most);
            bad++;
        }
    }

    is_int(bad, 0, "spread: evenly, whatever their number");
}


static void
missed(void)
{
    uint64_t              t;
    ngx_uint_t            i, due;
    ngx_eb_health_t       h;
    ngx_eb_health_conf_t  conf = { 10000, 5000, 2, 3, 1 };

    /* nobody looked for an hour: all go on in their next slots */

    due = 0;

    for (i = 0; i < 200; i++) {
        ngx_memzero(&h, sizeof(ngx_eb_health_t));
        ngx_eb_health_schedule(&h, &conf, i, START);

        t = START + 3600000;
        due += ngx_eb_health_due(&h, &conf, t, chance());

        if (h.next <= t - 250 || h.next > t + 10250) {
            due += 1000;
        }
    }

    is_int(due, 0, "missed: not all of them at once");

    /* a little late is no reason to leave one out */

    ngx_memzero(&h, sizeof(ngx_eb_health_t));
    ngx_eb_health_schedule(&h, &conf, 3, START);
    t = h.next;

    is_int(ngx_eb_health_due(&h, &conf, t + 5000, 100), 1,
           "missed: half an interval late");
    is_int(h.next, t + 10000, "missed: the next one is in time");

    /* another clock, or a shorter interval after a reload */

    h.next = h.slot = t + 3600000;
    is_int(ngx_eb_health_due(&h, &conf, t, chance()), 0,
           "missed: far in the future");
    is_int(h.next > t && h.next <= t + 10001, 1, "missed: that is corrected");
}


/* how many of a thousand answers are not between these seconds */

static ngx_uint_t
outside(ngx_eb_health_t *h, ngx_eb_health_conf_t *conf, ngx_uint_t low,
    ngx_uint_t high)
{
    ngx_uint_t  i, n, bad;

    for (i = 0, bad = 0; i < 1000; i++) {
        n = ngx_eb_health_retry_after(h, conf, START, chance());
        bad += (n < low || n > high);
    }

    return bad;
}


static void
retry_after(void)
{
    ngx_eb_health_t  h;

    ngx_memzero(&h, sizeof(ngx_eb_health_t));
    h.state = NGX_EB_HEALTH_DOWN;
    h.next = START + 4000;

    is_int(outside(&h, &probed, 14, 20), 0,
           "retry: the next probe, another one after it, and some chance");

    h.passes = 1;
    is_int(outside(&h, &probed, 4, 8), 0, "retry: one success is there");
    is_int(outside(&h, &unprobed, 4, 8), 0, "retry: the next trial");

    h.next = 0;
    is_int(outside(&h, &probed, 1, 3), 0, "retry: never zero");
}


static void
certificates(void)
{
    ngx_int_t        days;
    ngx_uint_t       n, level;
    ngx_eb_health_t  h;

    static const ngx_uint_t  levels[] = { 30, 14, 7, 3, 1 };

    ngx_memzero(&h, sizeof(ngx_eb_health_t));
    n = 0;

    for (days = 90; days >= -3; days--) {
        level = ngx_eb_health_certificate(&h, days);

        if (level) {
            is_int(n < 5 && level == levels[n], 1, "certificate: %u days",
                   (unsigned) level);
            is_int(days, (ngx_int_t) level, "certificate: on that day");
            n++;
        }

        (void) ngx_eb_health_certificate(&h, days);
    }

    is_int(n, 5, "certificate: five warnings");
    is_int(ngx_eb_health_certificate(&h, 89), 0, "certificate: renewed");
    is_int(ngx_eb_health_certificate(&h, 5), 7, "certificate: it begins anew");
    is_int(ngx_eb_health_certificate(&h, 20), 0,
           "certificate: that of another server");
    is_int(ngx_eb_health_certificate(&h, 5), 0, "certificate: said before");
    is_int(ngx_eb_health_certificate(&h, 0), 1, "certificate: the last day");
}


int
main(void)
{
    rise_and_fall();
    breaker();
    lost_trial();
    latecomers();
    schedule();
    spread();
    missed();
    retry_after();
    certificates();

    return done_testing();
}
