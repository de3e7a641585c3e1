
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The bucket of eventbridge_rate: its arithmetic, its debts, its clock.
 */

/* sources: src/route/ngx_eb_rate.c */


#include <ngx_config.h>
#include <ngx_core.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include "shim.h"
#include "ngx_eb_rate.h"


#define SECOND  1000000000ull

/* a machine that has been up for 30 years */
#define LATE    (30ull * 366 * 86400 * SECOND)


typedef struct {
    uint64_t                  events;
    uint64_t                  seconds;
    uint64_t                  n;
    uint64_t                  cost;
} cost_t;


static void costs(void);
static void balance(void);
static void debts(void);
static void long_run(void);
static void waits(void);
static void clocks(void);
static void conversions(void);
static void processes(void);
static uint64_t count(const ngx_eb_rate_t *rate, ngx_eb_rate_bucket_t *bucket,
    uint64_t now, uint64_t n);


static const cost_t  table[] = {
    { 1, 1, 0, 0 },
    { 1, 1, 1, SECOND },
    { 1, 60, 1, 60 * SECOND },
    { 60, 60, 1, SECOND },
    { 90, 60, 3, 2 * SECOND },
    { 3, 1, 1, 333333334 },
    { 3, 1, 3, SECOND },
    { 7, 60, 7, 60 * SECOND },
    { 1000, 1, 1, 1000000 },
    { 1000, 1, 10000, 10 * SECOND },
    { 999999999, 1, 1, 2 },
    { 999999999, 1, 999999999, SECOND },
    { 1000000000, 1, 1, 1 },
    { 1000000000, 1, 1000000, 1000000 },
    { 1000000000, 60, 1, 60 },
    { 1000000000, 60, 1000000000, 60 * SECOND },
    { 1, 1, 1000000, 1000000 * SECOND },
    { 1, 60, 1000000, 60000000 * SECOND },
    { 1, 1, 1000000000, 1000000000 * SECOND },
    { 1, 60, 1000000000, 1ull << 61 },
    { 1, 60, UINT64_MAX, 1ull << 61 },
    { 1000000000, 1, UINT64_MAX, SECOND }
};


static void
costs(void)
{
    ngx_uint_t     i;
    ngx_eb_rate_t  rate;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        ngx_eb_rate_init(&rate, table[i].events, table[i].seconds, 1);

        is_int(ngx_eb_rate_cost(&rate, table[i].n), table[i].cost,
               "cost: %llu events at %llu in %llu s",
               (unsigned long long) table[i].n,
               (unsigned long long) table[i].events,
               (unsigned long long) table[i].seconds);
    }
}


/* how many batches of n pass at one moment */

static uint64_t
count(const ngx_eb_rate_t *rate, ngx_eb_rate_bucket_t *bucket, uint64_t now,
    uint64_t n)
{
    uint64_t  i;

    for (i = 0; ngx_eb_rate_take(rate, bucket, now, n) == 0; i++) {
        /* void */
    }

    return i;
}


static void
balance(void)
{
    uint64_t              word;
    ngx_eb_rate_t         rate;
    ngx_eb_rate_bucket_t  bucket;

    ngx_eb_rate_init(&rate, 100, 1, 250);
    bucket = 0;

    is_int(count(&rate, &bucket, LATE, 1), 250, "balance: the burst");
    is_int(count(&rate, &bucket, LATE, 1), 0, "balance: no more");
    is_int(count(&rate, &bucket, LATE + SECOND, 1), 100,
           "balance: one second");
    is_int(count(&rate, &bucket, LATE + 1000 * SECOND, 1), 250,
           "balance: never more than the burst");

    word = bucket;
    is_int(ngx_eb_rate_take(&rate, &bucket, LATE + 1000 * SECOND, 1) > 0, 1,
           "balance: refused");
    is_int(bucket == word, 1, "balance: a refusal takes nothing");
    is_int(ngx_eb_rate_take(&rate, &bucket, LATE + 1000 * SECOND, 0), 0,
           "balance: an empty batch passes");
    is_int(bucket == word, 1, "balance: and takes nothing");

    ngx_eb_rate_init(&rate, 1, 60, 1);
    bucket = 0;

    is_int(count(&rate, &bucket, 0, 1), 1, "balance: one a minute");
    is_int(count(&rate, &bucket, 0, 1), 0, "balance: not two");
}


/* every rate and burst with every batch: it passes, and is paid off in time */

static void
debts(void)
{
    static const uint64_t  rates[] = { 1, 3, 7, 300, 1000, 999999937,
                                       1000000000 };
    static const uint64_t  sizes[] = { 1, 2, 10000, 999983, 1000000 };

    uint64_t              due, wait;
    ngx_uint_t            i, j, k, m, bad;
    ngx_eb_rate_t         rate;
    ngx_eb_rate_bucket_t  bucket;

    bad = 0;

    for (i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        for (j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++) {
            for (k = 0; k < sizeof(rates) / sizeof(rates[0]); k++) {
                for (m = 1; m <= 60; m += 59) {

                    ngx_eb_rate_init(&rate, rates[i], m, rates[k]);
                    bucket = 0;

                    if (ngx_eb_rate_take(&rate, &bucket, LATE, sizes[j]) != 0)
                    {
                        bad++;
                        continue;
                    }

                    due = ngx_eb_rate_cost(&rate, sizes[j]);
                    wait = ngx_eb_rate_take(&rate, &bucket, LATE, 1);

                    if (bucket < LATE
                        || wait != (due < rate.depth ? 0
                                    : due - rate.depth + 1)
                        || (wait
                            && (ngx_eb_rate_take(&rate, &bucket,
                                                 LATE + wait - 1, 1)
                                != 1
                                || ngx_eb_rate_take(&rate, &bucket,
                                                    LATE + wait, sizes[j])
                                   != 0)))
                    {
                        diag("%llu in %llu s, burst %llu, batch %llu",
                             (unsigned long long) rates[i],
                             (unsigned long long) m,
                             (unsigned long long) rates[k],
                             (unsigned long long) sizes[j]);
                        bad++;
                    }
                }
            }
        }
    }

    is_int(bad, 0, "debts: every batch passes, and is paid off");
}


/* what is taken in a long time, however it is cut up */

static void
long_run(void)
{
    static const uint64_t  rates[] = { 1000, 999, 7, 123457 };
    static const uint64_t  sizes[] = { 1, 10, 333, 10000 };

    double                taken;
    uint64_t              now, end, step, expected;
    ngx_uint_t            i, j, bad;
    ngx_eb_rate_t         rate;
    ngx_eb_rate_bucket_t  bucket;

    bad = 0;

    for (i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        for (j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++) {

            ngx_eb_rate_init(&rate, rates[i], 1, rates[i]);
            bucket = 0;
            taken = 0;

            /* four times of what is allowed is offered, at odd moments */

            step = ngx_eb_rate_cost(&rate, sizes[j]) / 4 - 13;
            end = LATE + step * 100000;

            for (now = LATE; now < end; now += step) {
                if (ngx_eb_rate_take(&rate, &bucket, now, sizes[j]) == 0) {
                    taken += sizes[j];
                }
            }

            expected = (end - LATE) / SECOND * rates[i] + rates[i];

            if (taken < (double) expected * 0.9999 - sizes[j] - rates[i]
                || taken > (double) expected * 1.0001 + sizes[j] + rates[i])
            {
                diag("rate %llu, batches of %llu: %.0f, expected %llu",
                     (unsigned long long) rates[i],
                     (unsigned long long) sizes[j], taken,
                     (unsigned long long) expected);
                bad++;
            }
        }
    }

    is_int(bad, 0, "long run: the rate is kept");
}


/* who waits for as long as he is told passes, and who comes earlier does not */

static void
waits(void)
{
    uint64_t              now, wait;
    ngx_uint_t            i, early, late;
    ngx_eb_rate_t         rate;
    ngx_eb_rate_bucket_t  bucket;

    ngx_eb_rate_init(&rate, 37, 60, 5);
    bucket = 0;
    now = LATE;
    early = 0;
    late = 0;

    for (i = 0; i < 10000; i++) {
        wait = ngx_eb_rate_take(&rate, &bucket, now, 1 + i % 17);

        if (wait == 0) {
            now += i * 7919 % SECOND;
            continue;
        }

        early += (ngx_eb_rate_take(&rate, &bucket, now + wait - 1, 1) == 0);
        now += wait;
        late += (ngx_eb_rate_take(&rate, &bucket, now, 1 + i % 17) != 0);
    }

    is_int(early, 0, "waits: not too long");
    is_int(late, 0, "waits: not too short");
}


static void
clocks(void)
{
    ngx_eb_rate_t         rate;
    ngx_eb_rate_bucket_t  bucket;

    ngx_eb_rate_init(&rate, 10, 1, 10);
    bucket = 0;

    is_int(count(&rate, &bucket, LATE, 1), 10, "clock: at first");

    /* a little: it counts as debt */

    is_int(ngx_eb_rate_take(&rate, &bucket, LATE - SECOND, 1), SECOND + 1,
           "clock: one second back");
    is_int(ngx_eb_rate_take(&rate, &bucket, LATE + 1, 1), 0,
           "clock: and forward");

    /* further than any debt: nobody waits for years */

    is_int(ngx_eb_rate_take(&rate, &bucket, 5, 1), 0, "clock: back to zero");
    is_int(count(&rate, &bucket, 5, 1), 9, "clock: with a full bucket");
    is_int(bucket < 5 + 2 * SECOND, 1, "clock: the word follows");
    is_int(count(&rate, &bucket, LATE, 1), 10, "clock: far forward");

    bucket = UINT64_MAX;
    is_int(ngx_eb_rate_take(&rate, &bucket, LATE, 1000000), 0,
           "clock: a word that nobody wrote");
    is_int(bucket, LATE + 100000 * SECOND, "clock: is forgotten");
}


static void
conversions(void)
{
    uint64_t              word;
    ngx_eb_rate_t         slow, fast, slowest, fastest;
    ngx_eb_rate_bucket_t  bucket;

    ngx_eb_rate_init(&slow, 60, 60, 10);
    ngx_eb_rate_init(&fast, 100, 1, 10);
    ngx_eb_rate_init(&slowest, 1, 60, 1);
    ngx_eb_rate_init(&fastest, 1000000000, 1, 1000000000);

    is_int(ngx_eb_rate_convert(&slow, 0, &fast, LATE), 0,
           "conversion: a full bucket");
    is_int(ngx_eb_rate_convert(&slow, LATE - 1, &fast, LATE), 0,
           "conversion: one that became full");
    is_int(ngx_eb_rate_convert(&slow, UINT64_MAX, &fast, LATE), 0,
           "conversion: one of another clock");

    bucket = 0;
    (void) ngx_eb_rate_take(&slow, &bucket, LATE, 1010);

    word = ngx_eb_rate_convert(&slow, bucket, &fast, LATE);
    is_int(word - LATE > 10099999990ull && word - LATE < 10100000010ull, 1,
           "conversion: a debt of as many events");

    word = ngx_eb_rate_convert(&fast, word, &slow, LATE);
    is_int(word - LATE > 1009999999000ull && word - LATE < 1010000001000ull, 1,
           "conversion: and back");

    bucket = 0;
    (void) ngx_eb_rate_take(&fastest, &bucket, LATE, 1000000);
    word = ngx_eb_rate_convert(&fastest, bucket, &slowest, LATE);
    is_int(word > LATE && word <= LATE + slowest.limit, 1,
           "conversion: to the slowest");
    is_int(ngx_eb_rate_convert(&slowest, LATE + slowest.limit, &fastest, LATE)
           <= LATE + fastest.limit, 1, "conversion: to the fastest");
}


/* several processes, one bucket: nothing is taken twice */

static void
processes(void)
{
    int                    status;
    pid_t                  pid[4];
    uint64_t               total;
    ngx_uint_t             i;
    ngx_eb_rate_t          rate;
    ngx_eb_rate_bucket_t  *shared;

    shared = mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS,
                  -1, 0);
    if (shared == MAP_FAILED) {
        ok(0, "processes: no memory");
        return;
    }

    ngx_eb_rate_init(&rate, 1000, 1, 2000000);

    for (i = 0; i < 4; i++) {
        pid[i] = fork();

        if (pid[i] == 0) {
            shared[1 + i] = count(&rate, shared, LATE, 1);
            _exit(0);
        }
    }

    total = 0;

    for (i = 0; i < 4; i++) {
        status = -1;

        if (pid[i] > 0) {
            (void) waitpid(pid[i], &status, 0);
        }

        is_int(status, 0, "processes: exit code");
        total += shared[1 + i];
    }

    is_int(total, 2000000, "processes: exactly the burst");

    (void) munmap((void *) shared, 4096);
}


int
main(void)
{
    costs();
    balance();
    debts();
    long_run();
    waits();
    clocks();
    conversions();
    processes();

    return done_testing();
}
