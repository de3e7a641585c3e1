
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What is sent again, when, and what is not; and the circuit breaker.  The
 * clock is a number.
 */

/* sources: src/genesys/ngx_eb_genesys_retry.c src/wire/ngx_eb_time.c */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_genesys_retry.h"


#define DONE     NGX_EB_GENESYS_RETRY_DONE
#define AGAIN    NGX_EB_GENESYS_RETRY_AGAIN
#define REFRESH  NGX_EB_GENESYS_RETRY_REFRESH
#define GIVE_UP  NGX_EB_GENESYS_RETRY_GIVE_UP

#define NONE     NGX_EB_GENESYS_GIVE_UP_NONE
#define TRIES    NGX_EB_GENESYS_GIVE_UP_TRIES
#define LATE     NGX_EB_GENESYS_GIVE_UP_DEADLINE
#define WAIT     NGX_EB_GENESYS_GIVE_UP_WAIT
#define UNSAFE   NGX_EB_GENESYS_GIVE_UP_UNSAFE
#define TOKEN    NGX_EB_GENESYS_GIVE_UP_TOKEN

/* 6 Nov 1994 08:49:37 GMT, of RFC 7231 */
#define DATE     784111777

#define UNSENT   1000


typedef struct {
    ngx_uint_t                status;       /* or UNSENT */
    ngx_eb_genesys_retry_e    idempotent;
    ngx_eb_genesys_retry_e    other;
} kind_t;


typedef struct {
    const char               *header;
    const char               *body;
    ngx_int_t                 wait;         /* -1: none is said */
} after_t;


static void begin(void);
static ngx_eb_genesys_retry_e reply(ngx_uint_t status, const char *after,
    const char *body);
static void kinds(void);
static void refreshes(void);
static void backoff(void);
static void spread(void);
static void afters(void);
static void caps(void);
static void tries(void);
static void deadlines(void);
static void overflow(void);
static void story(void);
static void later(void);
static void breaker(void);
static void breaker_open(void);
static void breaker_trials(void);
static void breaker_late(void);
static void breaker_clock(void);
static void breaker_off(void);
static ngx_int_t enter(void);
static void leave(ngx_uint_t status);


/* rows 0.9, 1.4 and 3.7 */

static kind_t  table[] = {
    { 200, DONE, DONE },
    { 201, DONE, DONE },
    { 202, DONE, DONE },
    { 204, DONE, DONE },
    { 299, DONE, DONE },
    { 301, DONE, DONE },
    { 304, DONE, DONE },
    { 307, DONE, DONE },
    { 400, DONE, DONE },
    { 401, REFRESH, REFRESH },
    { 402, DONE, DONE },
    { 403, DONE, DONE },
    { 404, DONE, DONE },
    { 405, DONE, DONE },
    { 408, AGAIN, GIVE_UP },
    { 409, DONE, DONE },
    { 410, DONE, DONE },
    { 412, DONE, DONE },
    { 413, DONE, DONE },
    { 415, DONE, DONE },
    { 422, DONE, DONE },
    { 425, DONE, DONE },
    { 428, DONE, DONE },
    { 429, AGAIN, AGAIN },
    { 431, DONE, DONE },
    { 500, AGAIN, GIVE_UP },
    { 501, DONE, DONE },
    { 502, AGAIN, GIVE_UP },
    { 503, AGAIN, GIVE_UP },
    { 504, AGAIN, GIVE_UP },
    { 505, DONE, DONE },
    { 511, DONE, DONE },
    { 0, AGAIN, GIVE_UP },
    { UNSENT, AGAIN, AGAIN }
};


/* rows 2.9 and 3.6; the time is DATE, the cap 180 s */

static after_t  after[] = {
    { "1", "", 1000 },
    { "42", "", 42000 },
    { "180", "", 180000 },
    { "007", "", 7000 },
    { " 5\t", "", 5000 },
    { "0", "", 0 },
    { "0", "Retry the request in [42] seconds", 0 },
    { "Sun, 06 Nov 1994 08:49:37 GMT", "", 0 },
    { "Sun, 06 Nov 1994 08:49:38 GMT", "", 1000 },
    { "Sun, 06 Nov 1994 08:50:19 GMT", "", 42000 },
    { "Sunday, 06-Nov-94 08:50:19 GMT", "", 42000 },
    { "Sun Nov  6 08:50:19 1994", "", 42000 },
    { "Sun, 06 Nov 1994 08:49:36 GMT", "", 0 },
    { "Thu, 01 Jan 1970 00:00:00 GMT", "", 0 },
    { "Sun, 06 Nov 1994 08:49:36 GMT", "in [42] seconds", 0 },
    { "", "", -1 },
    { " ", "", -1 },
    { "-5", "", -1 },
    { "+5", "", -1 },
    { "1.5", "", -1 },
    { "5 s", "", -1 },
    { "soon", "", -1 },
    { "5, 6", "", -1 },
    { "Sun, 06 Nov 1994", "", -1 },
    { "Sun, 32 Foo 1994 08:50:19 GMT", "", -1 },
    { "", "{\"message\":\"Rate limit exceeded the maximum. Retry the request "
      "in [42] seconds\",\"code\":\"too.many.requests.retry.after\","
      "\"status\":429,\"contextId\":\"x\",\"details\":[],\"errors\":[]}",
      42000 },
    { "soon", "Retry the request in [42] seconds", 42000 },
    { "7", "Retry the request in [42] seconds", 7000 },
    { "", "maximum [300] requests within [60] seconds", 60000 },
    { "", "Retry the request in [1] second", 1000 },
    { "", "[[[[3] seconds", 3000 },
    { "", "[42]", -1 },
    { "", "[42", -1 },
    { "", "[42] secon", -1 },
    { "", "[] seconds", -1 },
    { "", "[-1] seconds", -1 },
    { "", "[4 2] seconds", -1 },
    { "", "[0] seconds", 0 },
    { "", "42 seconds", -1 },
    { "", "{\"details\":[42]}", -1 },
    { "", "<html>[", -1 }
};


static ngx_eb_genesys_retry_policy_t    policy;
static ngx_eb_genesys_retry_t           state;
static ngx_eb_genesys_request_t         request;
static ngx_eb_genesys_moment_t          moment;
static ngx_eb_genesys_decision_t        decision;

static ngx_eb_genesys_breaker_policy_t  limits;
static ngx_eb_genesys_breaker_t         fuse;
static ngx_msec_t                       now, wait_for;
static ngx_uint_t                       era;


/* a request of an operation, and a policy that is like the usual one */

static void
begin(void)
{
    policy.tries = 5;
    policy.base = 500;
    policy.cap = NGX_EB_GENESYS_RETRY_CAP;
    policy.deadline = 0;

    moment.msec = 1000000;
    moment.sec = DATE;
    moment.random = 0;

    ngx_memzero(&state, sizeof(state));
    state.started = moment.msec;

    ngx_memzero(&request, sizeof(request));
    request.idempotent = 1;
}


/* texts of exactly their length: reading on would be seen */

static ngx_eb_genesys_retry_e
reply(ngx_uint_t status, const char *retry_after, const char *body)
{
    ngx_eb_genesys_reply_t  r;

    ngx_memzero(&r, sizeof(r));

    if (status == UNSENT) {
        r.unsent = 1;

    } else {
        r.status = status;
    }

    r.retry_after.len = strlen(retry_after);
    r.body.len = strlen(body);

    if (r.retry_after.len) {
        r.retry_after.data = malloc(r.retry_after.len);
        memcpy(r.retry_after.data, retry_after, r.retry_after.len);
    }

    if (r.body.len) {
        r.body.data = malloc(r.body.len);
        memcpy(r.body.data, body, r.body.len);
    }

    ngx_memset(&decision, 0xff, sizeof(decision));

    ngx_eb_genesys_retry(&policy, &state, &request, &r, &moment, &decision);

    free(r.retry_after.data);
    free(r.body.data);

    return decision.what;
}


static void
kinds(void)
{
    ngx_uint_t              i, status, bad;
    ngx_eb_genesys_retry_e  expected;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {

        begin();
        is_int(reply(table[i].status, "", ""), table[i].idempotent,
               "rows 0.9, 1.4, 3.7: %d, idempotent", (int) table[i].status);
        is_int(decision.reason, NONE, "rows 0.9, 1.4, 3.7: %d, no reason",
               (int) table[i].status);

        begin();
        request.idempotent = 0;
        is_int(reply(table[i].status, "", ""), table[i].other,
               "rows 0.9, 1.4: %d, not idempotent", (int) table[i].status);
        is_int(decision.reason, table[i].other == GIVE_UP ? UNSAFE : NONE,
               "rows 0.9, 1.4: %d, not idempotent, reason",
               (int) table[i].status);
    }

    /* nothing else is ever sent again */

    bad = 0;

    for (status = 1; status < 1000; status++) {
        expected = DONE;

        for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
            if (table[i].status == status) {
                expected = table[i].idempotent;
            }
        }

        begin();
        bad += (reply(status, "1", "") != expected);
    }

    is_int(bad, 0, "all other statuses are final");

    /* who waits for us is not sent a POST again */

    begin();
    request.idempotent = 0;
    is_int(reply(503, "7", ""), GIVE_UP, "503 with Retry-After");
    is_int(decision.reason, UNSAFE, "503 with Retry-After: reason");
    is_int(decision.wait, 7000, "503 with Retry-After: is told");
}


static void
refreshes(void)
{
    begin();
    policy.tries = 1;

    is_int(reply(401, "", ""), REFRESH, "row 0.2: 401");
    is_int(decision.wait, 0, "row 0.2: at once");
    is_int(state.attempts, 0, "row 0.2: not a try");
    is_int(reply(401, "", ""), GIVE_UP, "row 0.2: again");
    is_int(decision.reason, TOKEN, "row 0.2: again, reason");

    begin();
    is_int(reply(401, "", ""), REFRESH, "row 0.2: 401, then 204");
    is_int(reply(204, "", ""), DONE, "row 0.2: 204");

    begin();
    is_int(reply(503, "", ""), AGAIN, "row 0.2: 503, 401, 503, 401");
    is_int(reply(401, "", ""), REFRESH, "row 0.2: the first 401");
    is_int(reply(503, "", ""), AGAIN, "row 0.2: the other 503");
    is_int(reply(401, "", ""), GIVE_UP, "row 0.2: the other 401");

    begin();
    request.idempotent = 0;
    is_int(reply(401, "", ""), REFRESH, "row 0.2: not idempotent");
    is_int(reply(401, "", ""), GIVE_UP, "row 0.2: not idempotent, once");

    begin();
    policy.deadline = 10000;
    moment.msec += 9999;
    is_int(reply(401, "", ""), REFRESH, "row 0.2: before the deadline");

    begin();
    policy.deadline = 10000;
    moment.msec += 10000;
    is_int(reply(401, "", ""), GIVE_UP, "row 0.2: at the deadline");
    is_int(decision.reason, LATE, "row 0.2: at the deadline, reason");
}


static void
backoff(void)
{
    static const ngx_msec_t  windows[] = { 500, 1000, 2000, 4000, 8000,
                                           16000, 32000, 64000, 128000,
                                           180000, 180000, 180000 };

    ngx_uint_t  i;

    begin();
    policy.tries = 100;

    for (i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {

        /* the largest that the window has, and the next that wraps */

        moment.random = windows[i];
        is_int(reply(503, "", ""), AGAIN, "backoff: %d", (int) i + 1);
        is_int(decision.wait, windows[i], "backoff: %d, at most",
               (int) i + 1);

        state.attempts--;
        moment.random = windows[i] + 1;
        (void) reply(503, "", "");
        is_int(decision.wait, 0, "backoff: %d, at least", (int) i + 1);
    }

    begin();
    policy.base = 0;
    moment.random = 12345;
    is_int(reply(503, "", ""), AGAIN, "backoff: none");
    is_int(decision.wait, 0, "backoff: none, no wait");

    begin();
    policy.cap = 100;
    moment.random = 100;
    (void) reply(503, "", "");
    is_int(decision.wait, 100, "backoff: a cap below the base");
}


/* row 1.4: those who fail together do not return together */

static void
spread(void)
{
    ngx_uint_t  i, j, bad, hits[10];

    ngx_memzero(hits, sizeof(hits));
    bad = 0;

    begin();
    policy.tries = 1000000;
    srandom(1);

    for (i = 0; i < 10000; i++) {
        state.attempts = 3;
        moment.random = random();
        (void) reply(0, "", "");

        if (decision.wait > 4000) {
            bad++;
            continue;
        }

        hits[ngx_min(decision.wait / 400, 9)]++;
    }

    is_int(bad, 0, "row 1.4: no wait beyond the window");

    for (j = 0; j < 10; j++) {
        ok(hits[j] > 800 && hits[j] < 1200, "row 1.4: full jitter, tenth %d",
           (int) j);
    }
}


static void
afters(void)
{
    ngx_uint_t  i;

    for (i = 0; i < sizeof(after) / sizeof(after[0]); i++) {

        begin();
        moment.random = 500;
        (void) reply(429, after[i].header, after[i].body);

        is_int(decision.what, AGAIN, "rows 2.9, 3.6: after %d", (int) i);
        is_int(decision.wait, (after[i].wait > 0 ? after[i].wait : 0) + 500,
               "rows 2.9, 3.6: after %d, \"%s\" \"%.20s\"", (int) i,
               after[i].header, after[i].body);

        /* who gives up says so to his caller */

        begin();
        policy.tries = 1;
        (void) reply(429, after[i].header, after[i].body);

        is_int(decision.what, GIVE_UP, "rows 2.9, 3.6: no try left %d",
               (int) i);
        is_int(decision.wait, after[i].wait > 0 ? after[i].wait : 0,
               "rows 2.9, 3.6: no try left %d, told", (int) i);
    }

    /* the header counts for the others too, a body does not */

    begin();
    (void) reply(503, "42", "");
    is_int(decision.wait, 42000, "503: header");

    begin();
    (void) reply(503, "", "in [42] seconds");
    is_int(decision.wait, 0, "503: body");

    /* jitter on top: never before the time that was said */

    begin();
    moment.random = 501;
    (void) reply(429, "42", "");
    is_int(decision.wait, 42000, "jitter: none");

    begin();
    state.attempts = 3;
    moment.random = 500;
    (void) reply(429, "42", "");
    is_int(decision.wait, 42500, "jitter: the base, of any attempt");
}


static void
caps(void)
{
    static const char  *over[] = {
        "181", "3600", "86400", "2000000", "4294967296", "4294967297",
        "18446744073709551615", "18446744073709551616",
        "18446744073709551617", "99999999999999999999999999999999999999",
        "Sun, 06 Nov 1994 08:52:38 GMT", "Fri, 31 Dec 2999 23:59:59 GMT"
    };

    static const ngx_msec_t  told[] = {
        181000, 3600000, 86400000, 2000000000, 2000000000, 2000000000,
        2000000000, 2000000000, 2000000000, 2000000000, 181000, 2000000000
    };

    char        body[128];
    ngx_uint_t  i;

    for (i = 0; i < sizeof(over) / sizeof(over[0]); i++) {
        begin();
        is_int(reply(429, over[i], ""), GIVE_UP, "row 2.9: over the cap: %s",
               over[i]);
        is_int(decision.reason, WAIT, "row 2.9: over the cap: %s, reason",
               over[i]);
        is_int(decision.wait, told[i], "row 2.9: over the cap: %s, told",
               over[i]);

        if (i > 9) {
            continue;
        }

        snprintf(body, sizeof(body), "in [%s] seconds", over[i]);

        begin();
        is_int(reply(429, "", body), GIVE_UP, "row 2.9: over the cap: %s",
               body);
        is_int(decision.wait, told[i], "row 2.9: over the cap: %s, told",
               body);
    }

    begin();
    policy.cap = 41999;
    is_int(reply(429, "42", ""), GIVE_UP, "row 2.9: another cap");

    begin();
    policy.cap = 42000;
    moment.random = 500;
    is_int(reply(429, "42", ""), AGAIN, "row 2.9: at the cap");
    is_int(decision.wait, 42500, "row 2.9: at the cap, and jitter");

    /* no cap is so high that all is waited for */

    begin();
    policy.cap = (ngx_msec_t) -1;
    is_int(reply(429, "99999999999", ""), GIVE_UP, "row 2.9: no cap");
    is_int(decision.reason, WAIT, "row 2.9: no cap, reason");
}


static void
tries(void)
{
    ngx_uint_t  i;

    begin();

    for (i = 1; i < 5; i++) {
        is_int(reply(503, "", ""), AGAIN, "row 3.6: try %d", (int) i);
        is_int(state.attempts, i, "row 3.6: try %d counts", (int) i);
    }

    is_int(reply(503, "", ""), GIVE_UP, "row 3.6: the last try");
    is_int(decision.reason, TRIES, "row 3.6: the last try, reason");
    is_int(decision.wait, 0, "row 3.6: no wait after the last try");

    /* which is not hidden by another reason */

    begin();
    policy.tries = 1;
    (void) reply(429, "3600", "");
    is_int(decision.reason, TRIES, "row 3.6: one try");

    begin();
    policy.tries = 0;
    is_int(reply(503, "", ""), GIVE_UP, "row 3.6: none is one");

    /* the last one may succeed */

    begin();
    state.attempts = 4;
    is_int(reply(200, "", ""), DONE, "row 3.6: success at last");
}


static void
deadlines(void)
{
    begin();
    policy.deadline = 10000;
    moment.msec += 9000;
    moment.random = 500;
    is_int(reply(503, "", ""), AGAIN, "deadline: in time");

    begin();
    policy.deadline = 10000;
    moment.msec += 9499;
    moment.random = 500;
    is_int(reply(503, "", ""), AGAIN, "deadline: a moment before");

    begin();
    policy.deadline = 10000;
    moment.msec += 9500;
    moment.random = 500;
    is_int(reply(503, "", ""), GIVE_UP, "deadline: just then");
    is_int(decision.reason, LATE, "deadline: just then, reason");
    is_int(decision.wait, 0, "deadline: just then, nothing to tell");

    begin();
    policy.deadline = 10000;
    moment.msec += 20000;
    is_int(reply(503, "", ""), GIVE_UP, "deadline: long ago");
    is_int(decision.reason, LATE, "deadline: long ago, reason");

    begin();
    policy.deadline = 10000;
    is_int(reply(429, "10", ""), GIVE_UP, "deadline: Retry-After");
    is_int(decision.reason, LATE, "deadline: Retry-After, reason");
    is_int(decision.wait, 10000, "deadline: Retry-After, told");

    begin();
    policy.deadline = 10001;
    is_int(reply(429, "10", ""), AGAIN, "deadline: Retry-After, in time");

    /* a reply that is good is good */

    begin();
    policy.deadline = 10000;
    moment.msec += 20000;
    is_int(reply(200, "", ""), DONE, "deadline: success");

    /* milliseconds that wrap around */

    begin();
    policy.deadline = 10000;
    state.started = (ngx_msec_t) -5000;
    moment.msec = 4000;
    moment.random = 500;
    is_int(reply(503, "", ""), AGAIN, "deadline: wrapped");

    moment.msec = 4900;
    moment.random = 100;
    is_int(reply(503, "", ""), GIVE_UP, "deadline: wrapped, and over");
}


/* row 3.6: whatever the numbers are */

static void
overflow(void)
{
    static const ngx_msec_t  values[] = {
        0, 1, 2, 3, 499, 0x7fffffff, 0x80000000u, 0xffffffffu,
        2000000000u, 2000000001u, (ngx_msec_t) -1, (ngx_msec_t) -2,
        (ngx_msec_t) 1 << (8 * sizeof(ngx_msec_t) - 1)
    };

    static const ngx_uint_t  counts[] = { 0, 1, 30, 31, 32, 33, 62, 63, 64,
                                          65, 1000000, (ngx_uint_t) -3 };

#define N(a)  (sizeof(a) / sizeof(a[0]))

    ngx_uint_t  a, b, c, d, r, bad;

    bad = 0;

    for (a = 0; a < N(values); a++) {
        for (b = 0; b < N(values); b++) {
            for (c = 0; c < N(counts); c++) {
                for (d = 0; d < N(values); d++) {
                    for (r = 0; r < N(values); r++) {

                        begin();
                        policy.base = values[a];
                        policy.cap = values[b];
                        policy.tries = (ngx_uint_t) -1;
                        policy.deadline = values[d];
                        state.attempts = counts[c];
                        moment.random = values[r];

                        (void) reply(503, "", "");

                        if (decision.what == AGAIN
                            && (decision.wait > values[b]
                                || decision.wait > 2000000000
                                || (values[d] && decision.wait >= values[d])))
                        {
                            bad++;
                        }

                        if (decision.what == GIVE_UP
                            && decision.reason != LATE)
                        {
                            bad++;
                        }
                    }
                }
            }
        }
    }

    is_int(bad, 0, "row 3.6: no overflow");
}


/* row 3.6: the whole of a bad day, by a clock that is only waits */

static void
story(void)
{
    ngx_uint_t  sent, round, bad;
    ngx_msec_t  end;

    bad = 0;
    srandom(2);

    for (round = 0; round < 2000; round++) {

        begin();
        policy.tries = 20;
        policy.deadline = 30000;
        end = moment.msec + policy.deadline;

        for (sent = 1; sent < 100; sent++) {

            /* no answer: half a second */

            moment.msec += 500;
            moment.random = random();

            if (reply((sent % 3) ? 0 : 429, (sent % 3) ? "" : "2", "")
                != AGAIN)
            {
                break;
            }

            moment.msec += decision.wait;

            if (moment.msec >= end) {
                bad++;
            }
        }

        if (sent > 20 || decision.what != GIVE_UP
            || (decision.reason != TRIES && decision.reason != LATE))
        {
            bad++;
        }
    }

    is_int(bad, 0, "row 3.6: nothing is sent after the deadline");
}


/* a token endpoint that throttles says 400 */

static void
later(void)
{
    ngx_eb_genesys_reply_t  r;

    begin();
    ngx_memzero(&r, sizeof(r));
    r.status = 400;
    moment.random = 500;

    ngx_eb_genesys_retry_later(&policy, &state, &r, &moment, &decision);
    is_int(decision.what, AGAIN, "later: 400");
    is_int(decision.wait, 500, "later: 400, wait");

    ngx_str_set(&r.retry_after, "2");
    ngx_eb_genesys_retry_later(&policy, &state, &r, &moment, &decision);
    is_int(decision.wait, 2500, "later: 400 with Retry-After");

    state.attempts = 4;
    ngx_eb_genesys_retry_later(&policy, &state, &r, &moment, &decision);
    is_int(decision.what, GIVE_UP, "later: the last");
    is_int(decision.reason, TRIES, "later: the last, reason");
}


static ngx_int_t
enter(void)
{
    return ngx_eb_genesys_breaker_enter(&limits, &fuse, now, &era, &wait_for);
}


static void
leave(ngx_uint_t status)
{
    ngx_eb_genesys_reply_t  r;

    ngx_memzero(&r, sizeof(r));
    r.status = status;

    ngx_eb_genesys_breaker_leave(&limits, &fuse, now, era, &r);
}


static void
breaker(void)
{
    static const ngx_uint_t  good[] = { 200, 204, 302, 400, 401, 403, 404,
                                        408, 409, 429 };
    static const ngx_uint_t  failed[] = { 0, 500, 501, 502, 503, 504, 599 };

    ngx_uint_t  i;

    limits.failures = 3;
    limits.open = 10000;
    limits.trial = 60000;
    now = 5000000;

    for (i = 0; i < N(failed); i++) {
        ngx_memzero(&fuse, sizeof(fuse));

        is_int(enter(), NGX_OK, "breaker: %d: closed", (int) failed[i]);
        leave(failed[i]);
        is_int(enter(), NGX_OK, "breaker: %d: one", (int) failed[i]);
        leave(failed[i]);
        is_int(enter(), NGX_OK, "breaker: %d: two", (int) failed[i]);
        leave(failed[i]);
        is_int(enter(), NGX_BUSY, "breaker: %d: three", (int) failed[i]);
        is_int(wait_for, 10000, "breaker: %d: wait", (int) failed[i]);
    }

    for (i = 0; i < N(good); i++) {
        ngx_memzero(&fuse, sizeof(fuse));

        (void) enter();
        leave(500);
        (void) enter();
        leave(0);
        (void) enter();
        leave(good[i]);
        (void) enter();
        leave(500);
        (void) enter();
        leave(500);
        is_int(enter(), NGX_OK, "breaker: %d: is an answer", (int) good[i]);
        leave(500);
        is_int(enter(), NGX_BUSY, "breaker: %d: three in a row",
               (int) good[i]);
    }
}


/* leaves the breaker open, since now */

static void
breaker_open(void)
{
    ngx_uint_t  i;

    ngx_memzero(&fuse, sizeof(fuse));
    limits.failures = 3;
    limits.open = 10000;
    limits.trial = 60000;

    for (i = 0; i < 3; i++) {
        (void) enter();
        leave(503);
    }
}


static void
breaker_trials(void)
{
    ngx_uint_t  trial;

    now = 5000000;
    breaker_open();

    now += 9999;
    is_int(enter(), NGX_BUSY, "trial: not yet");
    is_int(wait_for, 1, "trial: not yet, wait");

    now++;
    is_int(enter(), NGX_OK, "trial: one");
    trial = era;
    is_int(enter(), NGX_BUSY, "trial: one only");
    is_int(wait_for, 60000, "trial: one only, wait");

    era = trial;
    leave(503);
    is_int(enter(), NGX_BUSY, "trial: failed");
    is_int(wait_for, 10000, "trial: failed, wait");

    now += 10000;
    is_int(enter(), NGX_OK, "trial: another");
    leave(404);
    is_int(enter(), NGX_OK, "trial: closes the breaker");
    is_int(fuse.state, NGX_EB_GENESYS_BREAKER_CLOSED, "trial: closed");
    leave(503);
    is_int(enter(), NGX_OK, "trial: and all failures are forgotten, one");
    leave(503);
    is_int(enter(), NGX_OK, "trial: and all failures are forgotten, two");
    leave(503);
    is_int(enter(), NGX_BUSY, "trial: three");

    /* the process that had it is gone */

    now += 10000;
    is_int(enter(), NGX_OK, "trial: lost");
    trial = era;
    now += 59999;
    is_int(enter(), NGX_BUSY, "trial: lost, not yet");
    now++;
    is_int(enter(), NGX_OK, "trial: lost, another");
    is_int(enter(), NGX_BUSY, "trial: lost, only one");

    era = trial;
    leave(200);
    is_int(fuse.state, NGX_EB_GENESYS_BREAKER_HALF_OPEN,
           "trial: it is late, and nobody listens");

    /* it was not sent after all */

    breaker_open();
    now += 10000;
    (void) enter();
    ngx_eb_genesys_breaker_leave(&limits, &fuse, now, era, NULL);
    is_int(enter(), NGX_OK, "trial: given back, and taken");
    is_int(enter(), NGX_BUSY, "trial: given back, and taken once");
}


static void
breaker_late(void)
{
    ngx_uint_t  i, early;

    /* ten are under way when it opens */

    now = 5000000;
    ngx_memzero(&fuse, sizeof(fuse));
    limits.failures = 3;
    (void) enter();
    early = era;

    for (i = 0; i < 10; i++) {
        now += 100;
        era = early;
        leave(0);
    }

    (void) enter();
    is_int(wait_for, 10000 - 700, "late: failures do not prolong it");

    era = early;
    leave(200);
    is_int(enter(), NGX_BUSY, "late: a success does not close it");

    now += 10000;
    is_int(enter(), NGX_OK, "late: trial");
    i = era;
    era = early;
    leave(0);
    is_int(fuse.state, NGX_EB_GENESYS_BREAKER_HALF_OPEN,
           "late: not the trial's failure");
    leave(200);
    is_int(fuse.state, NGX_EB_GENESYS_BREAKER_HALF_OPEN,
           "late: not the trial's success");

    era = i;
    leave(200);
    era = early;
    leave(0);
    leave(0);
    leave(0);
    is_int(enter(), NGX_OK, "late: no failures of an earlier time");

    /* not sent, and closed: as if it had not been there */

    leave(0);
    (void) enter();
    leave(0);
    (void) enter();
    ngx_eb_genesys_breaker_leave(&limits, &fuse, now, era, NULL);
    is_int(enter(), NGX_OK, "late: not sent is no failure");
    leave(0);
    is_int(enter(), NGX_BUSY, "late: and no success");
}


static void
breaker_clock(void)
{
    now = (ngx_msec_t) -5000;
    breaker_open();

    now += 9999;
    is_int(enter(), NGX_BUSY, "breaker's clock: wrapped");
    is_int(wait_for, 1, "breaker's clock: wrapped, wait");
    now++;
    is_int(enter(), NGX_OK, "breaker's clock: wrapped, trial");

    now = 5000000;
    breaker_open();
    now = 1000;
    is_int(enter(), NGX_OK, "breaker's clock: went back, nobody waits");

    /* a reload with another policy counts for what is open already */

    now = 5000000;
    breaker_open();
    limits.open = 500;
    now += 500;
    is_int(enter(), NGX_OK, "breaker: open for less, now");

    ngx_memzero(&fuse, sizeof(fuse));
    now = 5000000;
    breaker_open();
    limits.open = 0;
    is_int(enter(), NGX_OK, "breaker: open for no time");
}


static void
breaker_off(void)
{
    ngx_uint_t  i;

    now = 5000000;
    breaker_open();
    limits.failures = 0;

    is_int(enter(), NGX_OK, "breaker off: one that was open");

    for (i = 0; i < 100; i++) {
        leave(0);
    }

    is_int(enter(), NGX_OK, "breaker off: never opens");

    limits.failures = 3;
    is_int(enter(), NGX_OK, "breaker on again: closed");
    leave(0);
    is_int(enter(), NGX_OK, "breaker on again: nothing was counted");
}


int
main(void)
{
    kinds();
    refreshes();
    backoff();
    spread();
    afters();
    caps();
    tries();
    deadlines();
    overflow();
    story();
    later();
    breaker();
    breaker_trials();
    breaker_late();
    breaker_clock();
    breaker_off();

    return done_testing();
}
