
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Lifecycles: any text as an event that is mapped, and as a line of the
 * journal.  What can be read is read again as the same; the engine takes all
 * of it, in recovery and afterwards, and stays consistent.
 *
 *     mode (1 byte: event, or journal), lines
 */

/* sources: src/genesys/ngx_eb_genesys_lifecycle.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_id.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_map.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_read.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_record.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_reorder.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_states.c */
/* sources: src/genesys/ngx_eb_genesys_lifecycle_table.c */
/* sources: src/wire/ngx_eb_event.c src/wire/ngx_eb_json.cc */
/* sources: src/wire/ngx_eb_json_string.c src/wire/ngx_eb_out.c */
/* sources: src/wire/ngx_eb_time.c */
/* libs: -lsimdjson -lcrypto */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_event.h"
#include "ngx_eb_genesys_lifecycle_map.h"
#include "ngx_eb_genesys_lifecycle_record.h"


#define INTERACTIONS  4
#define HELD          8


#define check(cond)                                                           \
    if (!(cond)) {                                                            \
        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);            \
        abort();                                                              \
    }


int LLVMFuzzerTestOneInput(const u_char *data, size_t size);

static void begin(void);
static void event(u_char *p, size_t len, ngx_pool_t *pool);
static void line(u_char *p, size_t len, ngx_pool_t *pool);
static void take(ngx_eb_lifecycle_event_t *ev);
static void finish(void);


static ngx_eb_json_parser_t       *parser;
static ngx_eb_lifecycle_states_t   states;
static ngx_eb_lifecycle_conf_t     conf;
static ngx_eb_lifecycle_t          lc;
static void                       *block;


static void
begin(void)
{
    size_t  size;

    size = ngx_eb_lifecycle_size(INTERACTIONS, HELD);

    if (block == NULL) {
        parser = ngx_eb_json_parser_create();
        block = malloc(size);

        check(parser && block);

        ngx_eb_lifecycle_states_init(&states);

        conf.states = &states;
        conf.window = 5000;
        conf.grace = 60000;
        conf.idle = 600000;
        conf.stages = 8;
        conf.adopt = 1;
    }

    ngx_eb_lifecycle_init(block, INTERACTIONS, HELD, 7);
    check(ngx_eb_lifecycle_attach(&lc, &conf, block, size) == NGX_OK);
    ngx_eb_lifecycle_reset(&lc);
}


int
LLVMFuzzerTestOneInput(const u_char *data, size_t size)
{
    u_char       mode, *copy, *p, *last, *next;
    ngx_pool_t  *pool;

    if (size < 2) {
        return 0;
    }

    mode = data[0];
    size--;

    begin();

    copy = malloc(size);
    check(copy);
    memcpy(copy, data + 1, size);

    pool = ngx_create_pool(4096, &shim_log);
    check(pool);

    if (mode & 1) {
        ngx_eb_lifecycle_open(&lc);
        event(copy, size, pool);

    } else {

        for (p = copy, last = copy + size; p < last; p = next + 1) {
            next = memchr(p, LF, last - p);

            if (next == NULL) {
                next = last;
            }

            line(p, next - p, pool);
        }

        ngx_eb_lifecycle_open(&lc);
    }

    finish();

    ngx_destroy_pool(pool);
    free(copy);

    return 0;
}


static void
event(u_char *p, size_t len, ngx_pool_t *pool)
{
    ngx_int_t                  rc;
    ngx_uint_t                 i, k, n;
    const char                *reason;
    ngx_eb_json_t              json;
    ngx_eb_batch_t             batch;
    ngx_eb_json_error_t        err;
    ngx_eb_lifecycle_event_t   events[NGX_EB_LIFECYCLE_MAP_MAX];

    if (ngx_eb_json_parse(parser, p, len, 64, &json, &err) != NGX_OK) {
        return;
    }

    if (ngx_eb_batch_split(&json, pool, 10, &batch) != NGX_OK
        && ngx_eb_batch_whole(&json, pool, &batch) != NGX_OK)
    {
        return;
    }

    for (i = 0; i < batch.nevents; i++) {

        if (batch.events[i].invalid) {
            continue;
        }

        rc = ngx_eb_lifecycle_map(&states, &json, &batch.events[i], 1000, pool,
                                  events, &n, &reason);

        check(rc == NGX_OK || rc == NGX_DECLINED);

        if (rc == NGX_DECLINED) {
            continue;
        }

        check(n > 0 && n <= NGX_EB_LIFECYCLE_MAP_MAX);

        for (k = 0; k < n; k++) {
            take(&events[k]);
        }
    }
}


/* what was mapped can be taken, unless its time is beyond all */

static void
take(ngx_eb_lifecycle_event_t *ev)
{
    ngx_int_t                     rc;
    ngx_eb_lifecycle_decision_t   d;

    rc = ngx_eb_lifecycle_event(&lc, ev);

    if (rc == NGX_BUSY) {
        while (ngx_eb_lifecycle_next(&lc, ev->at, &d) == NGX_OK) {
            if (d.kind == NGX_EB_LIFECYCLE_PUBLISH) {
                ngx_eb_lifecycle_done(&lc, &d, ev->at, 1);
            }
        }

        rc = ngx_eb_lifecycle_event(&lc, ev);
    }

    check(rc != NGX_ERROR || ev->time > NGX_EB_LIFECYCLE_MAX_TIME);
}


static void
line(u_char *p, size_t len, ngx_pool_t *pool)
{
    u_char                     *text, *last, *again;
    size_t                      size;
    const char                 *reason;
    ngx_eb_lifecycle_record_t   r, back;

    if (ngx_eb_lifecycle_record_read(parser, &states, p, len, pool, &r,
                                     &reason)
        != NGX_OK)
    {
        return;
    }

    size = ngx_eb_lifecycle_record_size(&r);
    text = malloc(size + 1);
    check(text);

    last = ngx_eb_lifecycle_record_write(text, &states, &r);
    *last++ = '}';

    check(ngx_eb_lifecycle_record_read(parser, &states, text, last - text,
                                       pool, &back, &reason) == NGX_OK);
    check(back.type == r.type);

    /* what is no UTF-8 is replaced once, and once only */

    again = malloc(ngx_eb_lifecycle_record_size(&back) + 1);
    check(again);
    check(ngx_eb_lifecycle_record_write(again, &states, &back) - again
          == last - 1 - text);
    check(memcmp(again, text, last - 1 - text) == 0);

    switch (r.type) {

    case NGX_EB_LIFECYCLE_R_EVENT:
    case NGX_EB_LIFECYCLE_R_HELD:
        (void) ngx_eb_lifecycle_event(&lc, &r.event);
        break;

    case NGX_EB_LIFECYCLE_R_TRANSITION:
        if (ngx_eb_lifecycle_redo(&lc, &r.decision) == NGX_OK) {
            ngx_eb_lifecycle_reclaim(&lc, &r.decision);
        }
        break;

    case NGX_EB_LIFECYCLE_R_FLAG:
        (void) ngx_eb_lifecycle_redo(&lc, &r.decision);
        break;

    case NGX_EB_LIFECYCLE_R_ENTRY:
        (void) ngx_eb_lifecycle_restore(&lc, &r.view, r.flagged, r.nflagged);
        break;

    default:
        break;
    }

    free(text);
    free(again);
}


static void
finish(void)
{
    uint32_t                      cursor;
    uint64_t                      standing;
    ngx_str_t                     id;
    ngx_uint_t                    i, n;
    ngx_eb_lifecycle_view_t       v, views[INTERACTIONS];
    ngx_eb_lifecycle_counters_t   c;
    ngx_eb_lifecycle_decision_t   d;

    for (n = 0; ngx_eb_lifecycle_next(&lc, 10000, &d) == NGX_OK; n++) {
        check(n < HELD + INTERACTIONS);

        if (d.kind == NGX_EB_LIFECYCLE_PUBLISH) {
            ngx_eb_lifecycle_done(&lc, &d, 10000, 1);
        }
    }

    cursor = 0;
    check(ngx_eb_lifecycle_list(&lc, NGX_EB_LIFECYCLE_NONE, &cursor, 100,
                                views, INTERACTIONS, &n) == NGX_DONE);

    ngx_eb_lifecycle_counters(&lc, &c);
    check(c.interactions == n);

    standing = 0;

    for (i = 0; i < NGX_EB_LIFECYCLE_STATES; i++) {
        standing += c.standing[i];
    }

    check(standing <= n && c.open <= standing);

    for (i = 0; i < n; i++) {
        id.data = views[i].interaction;
        id.len = views[i].interaction_len;

        check(ngx_eb_lifecycle_find(&lc, &id, &v) == NGX_OK);
        check(v.entry == views[i].entry);
    }
}
