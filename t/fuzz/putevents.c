
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * PutEvents: the body of a request.  What is accepted must become a JSON array
 * with one envelope for each entry that is an event, and the answer must be
 * JSON, with an entry for each.
 */

/* sources: src/wire/ngx_eb_putevents.c src/wire/ngx_eb_event.c */
/* sources: src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c */
/* sources: src/wire/ngx_eb_time.c src/wire/ngx_eb_out.c */
/* libs: -lsimdjson -lcrypto */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_event.h"
#include "ngx_eb_time.h"
#include "ngx_eb_putevents.h"


#define MAX_DEPTH  16

#define check(cond)                                                          \
    if (!(cond)) {                                                           \
        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);           \
        abort();                                                             \
    }


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void events(ngx_pool_t *pool, ngx_eb_put_t *put, ngx_str_t *text);
static void answer(ngx_eb_put_t *put);


static ngx_eb_json_parser_t  *parser;


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_int_t            rc;
    ngx_str_t            body, text;
    ngx_pool_t          *pool;
    ngx_eb_put_t         put;
    ngx_eb_put_facts_t   facts;

    if (parser == NULL) {
        parser = ngx_eb_json_parser_create();
        check(parser != NULL);
    }

    pool = ngx_create_pool(4096, &shim_log);
    check(pool != NULL);

    /* exactly as long as it is, so that a sanitizer sees a byte too many */

    body.data = ngx_pnalloc(pool, size ? size : 1);
    body.len = size;
    check(body.data != NULL);

    memcpy(body.data, data, size);

    rc = ngx_eb_put_read(parser, pool, &body, MAX_DEPTH, &put);
    check(rc == NGX_OK || rc == NGX_DECLINED);

    if (rc == NGX_DECLINED) {
        check(put.error != NULL && put.message != NULL && put.nentries == 0);
        goto done;
    }

    check(put.nentries >= 1 && put.nentries <= NGX_EB_PUT_ENTRIES);

    /* whatever a client says of itself */

    facts.key_id = put.entries[0].type;
    facts.invocation = put.entries[0].raw;
    facts.region = put.entries[0].source;
    facts.now = 0;

    if (facts.key_id.len == 0) {
        ngx_str_set(&facts.key_id, "");
    }

    check(ngx_eb_put_write(&put, &facts, pool, &text) == NGX_OK);

    events(pool, &put, &text);
    answer(&put);

done:

    ngx_destroy_pool(pool);

    return 0;
}


static void
events(ngx_pool_t *pool, ngx_eb_put_t *put, ngx_str_t *text)
{
    ngx_uint_t            i, n;
    ngx_eb_json_t         json;
    ngx_eb_batch_t        batch;
    ngx_eb_event_t       *event;
    ngx_eb_json_error_t   err;

    check(ngx_eb_json_parse(parser, text->data, text->len, MAX_DEPTH, &json,
                            &err)
          == NGX_OK);
    check(ngx_eb_batch_split(&json, pool, NGX_EB_PUT_ENTRIES, &batch)
          == NGX_OK);
    check(batch.shape == NGX_EB_BODY_ARRAY);

    n = 0;

    for (i = 0; i < put->nentries; i++) {

        check((put->entries[i].code == NULL)
              == (put->entries[i].message == NULL));

        if (put->entries[i].code) {
            continue;
        }

        check(n < batch.nevents);
        event = &batch.events[n++];

        check(event->invalid == NULL && event->kind == NGX_EB_EVENT_AWS);
        check(event->id.len == NGX_EB_PUT_ID
              && memcmp(event->id.data, put->entries[i].id, NGX_EB_PUT_ID)
                 == 0);
        check(event->source.len && event->type.len);
        check(event->time != NGX_EB_TIME_UNKNOWN);
    }

    check(n == batch.nevents);
}


static void
answer(ngx_eb_put_t *put)
{
    u_char                buf[NGX_EB_PUT_ANSWER];
    ngx_eb_out_t          out;
    ngx_eb_json_t         json;
    ngx_eb_json_error_t   err;

    ngx_eb_out_init(&out, buf, sizeof(buf));
    ngx_eb_put_answer(put, &out);

    check(!out.truncated);
    check(ngx_eb_json_parse(parser, buf, out.pos - buf, MAX_DEPTH, &json, &err)
          == NGX_OK);
}
