
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Whatever Genesys Cloud replies: a token is one that a header can carry, a
 * wait is within its bounds, and a caller is told in JSON.  And whatever is
 * said to be a region: no secret goes to a host that is not in the table.
 *
 *     flags (1 byte), status (1 byte), random (2 bytes), Retry-After,
 *     newline, correlation id, newline, body
 */

/* sources: src/genesys/ngx_eb_genesys_region.c src/genesys/ngx_eb_genesys_token.c */
/* sources: src/genesys/ngx_eb_genesys_retry.c src/genesys/ngx_eb_genesys_op.c src/genesys/ngx_eb_genesys_list.c */
/* sources: src/genesys/ngx_eb_genesys_patch.c src/genesys/ngx_eb_genesys_duration.c */
/* sources: src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c */
/* sources: src/wire/ngx_eb_json_edit.c src/wire/ngx_eb_out.c */
/* sources: src/wire/ngx_eb_time.c */
/* libs: -lsimdjson */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_genesys_op.h"
#include "ngx_eb_genesys_region.h"
#include "ngx_eb_genesys_retry.h"
#include "ngx_eb_genesys_token.h"


#define NOW  1763721000

#define check(cond)                                                           \
    if (!(cond)) {                                                            \
        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);            \
        abort();                                                              \
    }


int LLVMFuzzerTestOneInput(const u_char *data, size_t size);

static ngx_str_t next(ngx_pool_t *pool, const u_char **p, const u_char *last,
    ngx_uint_t line);
static ngx_uint_t is(ngx_str_t *s, const char *prefix, ngx_str_t *suffix);
static void region_check(ngx_pool_t *pool, ngx_str_t *value);
static void request_check(ngx_pool_t *pool, ngx_str_t *id, ngx_str_t *secret,
    ngx_uint_t in_body);
static void decoded_check(ngx_pool_t *pool, ngx_str_t *body, const char *name,
    ngx_str_t *value);
static void token_check(ngx_pool_t *pool, ngx_eb_genesys_reply_t *reply,
    ngx_uint_t random);
static ngx_msec_t retry_check(ngx_eb_genesys_reply_t *reply, ngx_uint_t flags,
    ngx_uint_t random);
static void problem_check(ngx_pool_t *pool, ngx_eb_genesys_reply_t *reply,
    ngx_uint_t flags);


static const ngx_uint_t  statuses[] = {
    200, 400, 401, 429, 0, 403, 404, 408, 409, 412, 500, 501, 502, 503, 504,
    299
};


static const char  *domains[] = {
    "mypurecloud.com", "use2.us-gov-pure.cloud", "usw2.pure.cloud",
    "cac1.pure.cloud", "mxc1.pure.cloud", "sae1.pure.cloud", "mypurecloud.ie",
    "euw2.pure.cloud", "mypurecloud.de", "euc2.pure.cloud",
    "edee1.eusc-pure.cloud", "mec1.pure.cloud", "aps1.pure.cloud",
    "mypurecloud.jp", "apne2.pure.cloud", "apne3.pure.cloud",
    "apse1.pure.cloud", "mypurecloud.com.au", NULL
};


/* the rest, or the line, in memory of its very size */

static ngx_str_t
next(ngx_pool_t *pool, const u_char **p, const u_char *last, ngx_uint_t line)
{
    ngx_str_t      s;
    const u_char  *end;

    end = (line && *p < last) ? memchr(*p, '\n', last - *p) : NULL;

    if (end == NULL) {
        end = last;
    }

    s.len = end - *p;
    s.data = ngx_pnalloc(pool, s.len);

    if (s.len) {
        ngx_memcpy(s.data, *p, s.len);
    }

    *p = (end < last) ? end + 1 : last;

    return s;
}


static ngx_uint_t
is(ngx_str_t *s, const char *prefix, ngx_str_t *suffix)
{
    size_t  len;

    len = strlen(prefix);

    return s->len == len + suffix->len
           && memcmp(s->data, prefix, len) == 0
           && memcmp(s->data + len, suffix->data, suffix->len) == 0;
}


static void
region_check(ngx_pool_t *pool, ngx_str_t *value)
{
    ngx_int_t    rc;
    ngx_str_t    api, domain, login;
    ngx_uint_t   i;

    rc = ngx_eb_genesys_region(pool, value, &api, &login);
    check(rc == NGX_OK || rc == NGX_DECLINED);

    if (rc != NGX_OK) {
        return;
    }

    for (i = 0; domains[i]; i++) {
        domain.data = (u_char *) domains[i];
        domain.len = strlen(domains[i]);

        if (is(&api, "https://api.", &domain)) {
            check(is(&login, "https://login.", &domain));
            return;
        }
    }

    check(0);
}


static void
request_check(ngx_pool_t *pool, ngx_str_t *id, ngx_str_t *secret,
    ngx_uint_t in_body)
{
    size_t                            i;
    ngx_int_t                         rc;
    ngx_str_t                         authorization, body, encoded, plain;
    ngx_eb_genesys_token_settings_t   settings;

    ngx_memzero(&settings, sizeof(settings));
    settings.client_id = *id;
    settings.client_secret = *secret;
    settings.body_credentials = in_body ? 1 : 0;

    /* any bytes may be a scope */
    settings.scope = *id;

    rc = ngx_eb_genesys_token_request(pool, &settings, &authorization, &body);
    check(rc == NGX_OK || rc == NGX_DECLINED);

    if (rc != NGX_OK) {
        return;
    }

    for (i = 0; i < authorization.len; i++) {
        check(authorization.data[i] >= ' ' && authorization.data[i] < 0x7f);
    }

    for (i = 0; i < body.len; i++) {
        check(body.data[i] > ' ' && body.data[i] < 0x7f);
    }

    decoded_check(pool, &body, "&scope=", id);

    if (in_body) {
        check(authorization.len == 0);
        decoded_check(pool, &body, "&client_id=", id);
        decoded_check(pool, &body, "&client_secret=", secret);
        return;
    }

    check(memmem(body.data, body.len, "client_id=", 10) == NULL);
    check(memmem(body.data, body.len, "client_secret=", 14) == NULL);

    plain.len = id->len + 1 + secret->len;
    plain.data = ngx_pnalloc(pool, plain.len);
    memcpy(plain.data, id->data, id->len);
    plain.data[id->len] = ':';
    memcpy(plain.data + id->len + 1, secret->data, secret->len);

    encoded.data = ngx_pnalloc(pool, ngx_base64_encoded_length(plain.len));
    ngx_encode_base64(&encoded, &plain);

    check(is(&authorization, "Basic ", &encoded));
    check(memchr(id->data, ':', id->len) == NULL);
}


/* the form has name, and its value is this one */

static void
decoded_check(ngx_pool_t *pool, ngx_str_t *body, const char *name,
    ngx_str_t *value)
{
    u_char      *p, *last, *start;
    size_t       len;
    ngx_int_t    n;
    ngx_str_t    got;

    len = strlen(name);
    start = memmem(body->data, body->len, name, len);
    check(start != NULL);

    start += len;
    last = body->data + body->len;

    got.data = ngx_pnalloc(pool, last - start);
    got.len = 0;

    for (p = start; p < last && *p != '&'; p++) {

        if (*p != '%') {
            got.data[got.len++] = *p;
            continue;
        }

        check(last - p > 2);
        n = ngx_hextoi(p + 1, 2);
        check(n != NGX_ERROR);
        got.data[got.len++] = (u_char) n;
        p += 2;
    }

    check(got.len == value->len);
    check(memcmp(got.data, value->data, got.len) == 0);
}


static void
token_check(ngx_pool_t *pool, ngx_eb_genesys_reply_t *reply,
    ngx_uint_t random)
{
    size_t                         i;
    ngx_int_t                      rc;
    ngx_msec_t                     started;
    ngx_eb_genesys_token_t         token;
    ngx_eb_genesys_verdict_t       verdict;
    ngx_eb_genesys_token_times_t   times;

    rc = ngx_eb_genesys_token_reply(pool, reply, &token, &verdict);
    check(rc == NGX_OK || rc == NGX_DECLINED);

    if (rc == NGX_DECLINED) {
        check(verdict.words.len > 0 && verdict.words.len < 256);
        check(token.access_token.len == 0);

        /* what a server writes does not get anywhere */

        for (i = 0; i < verdict.words.len; i++) {
            check(verdict.words.data[i] >= ' ' && verdict.words.data[i] < 0x7f);
        }

        check(reply->status != 429 || verdict.retry);
        check(reply->status != 200 || !verdict.retry);
        return;
    }

    check(reply->status == 200);
    check(token.access_token.len > 0
          && token.access_token.len <= NGX_EB_GENESYS_TOKEN_MAX);

    for (i = 0; i < token.access_token.len; i++) {
        check(token.access_token.data[i] > ' '
              && token.access_token.data[i] < 0x7f);
    }

    check(token.expires_in > 0
          && token.expires_in <= NGX_EB_GENESYS_TOKEN_LIFETIME);

    /* also where the clock wraps */

    started = (ngx_msec_t) 0 - random;
    ngx_eb_genesys_token_times(&times, started, token.expires_in,
                               random * 100, random);

    check(ngx_eb_genesys_token_fresh(&times, started));
    check(ngx_eb_genesys_token_usable(&times, started));
    check(!ngx_eb_genesys_token_usable(&times,
                                       started + token.expires_in * 1000));
    check(times.refresh - started <= times.expires - started);
    check(times.refresh - started >= token.expires_in * 850);
}


/* what remains to be waited when it was given up */

static ngx_msec_t
retry_check(ngx_eb_genesys_reply_t *reply, ngx_uint_t flags,
    ngx_uint_t random)
{
    ngx_uint_t                      i, refreshes;
    ngx_eb_genesys_retry_t          state;
    ngx_eb_genesys_moment_t         moment;
    ngx_eb_genesys_request_t        request;
    ngx_eb_genesys_decision_t       decision;
    ngx_eb_genesys_retry_policy_t   policy;

    ngx_memzero(&state, sizeof(state));
    ngx_memzero(&request, sizeof(request));

    request.idempotent = (flags & 2) != 0;

    policy.tries = flags >> 4;
    policy.base = random & 0xfff;
    policy.cap = (flags & 4) ? NGX_EB_GENESYS_RETRY_CAP : random;
    policy.deadline = (flags & 8) ? 300000 : 0;

    moment.msec = (ngx_msec_t) 0 - 5000;
    moment.sec = NOW;
    moment.random = random * 2654435761U;

    state.started = moment.msec;
    refreshes = 0;

    for (i = 0; ; i++) {
        check(i <= 17);

        ngx_eb_genesys_retry(&policy, &state, &request, reply, &moment,
                             &decision);

        if (decision.what == NGX_EB_GENESYS_RETRY_REFRESH) {
            check(reply->status == 401 && refreshes++ == 0);
            continue;
        }

        if (decision.what != NGX_EB_GENESYS_RETRY_AGAIN) {
            break;
        }

        check(request.idempotent || reply->status == 429
              || (reply->status == 0 && reply->unsent));
        check(decision.wait <= policy.cap + policy.base);

        moment.msec += decision.wait;
        moment.random = moment.random * 31 + 7;

        check(policy.deadline == 0
              || moment.msec - state.started < policy.deadline);
    }

    check(decision.wait <= NGX_EB_GENESYS_RETRY_LONG);
    check((decision.what == NGX_EB_GENESYS_RETRY_GIVE_UP)
          == (decision.reason != NGX_EB_GENESYS_GIVE_UP_NONE));

    return decision.wait;
}


static void
problem_check(ngx_pool_t *pool, ngx_eb_genesys_reply_t *reply,
    ngx_uint_t flags)
{
    ngx_eb_genesys_op_t    op;
    ngx_eb_genesys_doc_t  *doc;

    ngx_memzero(&op, sizeof(op));
    op.pool = pool;

    check(ngx_eb_genesys_op_refused(&op, reply,
                                    (flags & 1) ? "Use that." : NULL)
          == NGX_DONE);

    check(op.answer.status >= 400 && op.answer.status < 600);
    check((op.answer.retry_after != 0) == (reply->status == 429));
    check(op.answer.retry_after <= 86400000);
    check(op.answer.body.len < 65536 + 6 * reply->correlation_id.len);

    doc = ngx_eb_genesys_doc_create(pool);
    check(doc && ngx_eb_genesys_doc_object(doc, &op.answer.body) == NGX_OK);
}


int
LLVMFuzzerTestOneInput(const u_char *data, size_t size)
{
    ngx_uint_t               flags, random;
    ngx_pool_t              *pool;
    const u_char            *p, *last;
    ngx_eb_genesys_reply_t   reply;

    if (size < 4 || size > 65536) {
        return 0;
    }

    pool = ngx_create_pool(4096, NULL);
    check(pool != NULL);

    ngx_memzero(&reply, sizeof(reply));

    flags = data[0];
    random = (data[2] << 8) | data[3];

    p = data + 4;
    last = data + size;

    reply.status = statuses[data[1] & 15];
    reply.unsent = (data[1] >> 4) & 1;
    reply.timed_out = (data[1] >> 5) & 1;
    reply.retry_after = next(pool, &p, last, 1);
    reply.correlation_id = next(pool, &p, last, 1);
    reply.body = next(pool, &p, last, 0);

    region_check(pool, &reply.retry_after);
    request_check(pool, &reply.retry_after, &reply.correlation_id, flags & 1);
    token_check(pool, &reply, random);
    reply.wait = retry_check(&reply, flags, random);
    problem_check(pool, &reply, flags);

    ngx_destroy_pool(pool);
    check(shim_blocks == 0);

    return 0;
}
