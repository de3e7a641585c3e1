
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * PutEvents, as clients of AWS call it: the entries of a request, the events
 * in the form of the EventBridge envelope that they become, and the answer.
 * "PutEvents", "PutEventsRequestEntry" and "PutEventsResultEntry" in the
 * Amazon EventBridge API reference; the JSON protocol 1.1 of AWS.
 */


#ifndef _NGX_EB_PUTEVENTS_H_INCLUDED_
#define _NGX_EB_PUTEVENTS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_out.h"


/* entries of a request, and bytes of all of them as AWS counts these */
#define NGX_EB_PUT_ENTRIES  10
#define NGX_EB_PUT_SIZE     (1024 * 1024)

/* characters of a detail type */
#define NGX_EB_PUT_TYPE     128

/* an EventId: 01234567-89ab-8def-8123-456789abcdef */
#define NGX_EB_PUT_ID       36

/* bytes that an answer has room for */
#define NGX_EB_PUT_ANSWER   (64 + NGX_EB_PUT_ENTRIES * 384)


/*
 * Texts are slices of the body, or of the pool where they had escapes; one
 * that is not there is empty.  With a code the entry is refused.
 */

typedef struct {
    ngx_str_t                 raw;          /* the entry, as it came */
    ngx_str_t                 source;
    ngx_str_t                 type;
    ngx_str_t                 detail;       /* the JSON object */
    ngx_str_t                 resources;    /* the JSON array */
    int64_t                   time;         /* ms since the epoch, or
                                               NGX_EB_TIME_UNKNOWN: now */
    u_char                    id[NGX_EB_PUT_ID];
    const char               *code;         /* ErrorCode, NULL: none */
    const char               *message;      /* ErrorMessage */
} ngx_eb_put_entry_t;


typedef struct ngx_eb_put_s  ngx_eb_put_t;

struct ngx_eb_put_s {
    ngx_eb_put_entry_t        entries[NGX_EB_PUT_ENTRIES];
    ngx_uint_t                nentries;
    const char               *error;        /* of the whole request: the name
                                               of an exception of AWS */
    const char               *message;
};


/* what the events are given that the entries do not say */

typedef struct {
    ngx_str_t                 key_id;       /* the access key, or empty */
    ngx_str_t                 invocation;   /* the same for all tries of one
                                               call, and for no other one */
    ngx_str_t                 region;
    time_t                    now;
} ngx_eb_put_facts_t;


/*
 * Reads and checks the body of a request.  The index of parser is used for it
 * and for each Detail, and means nothing afterwards.  NGX_OK: of each entry
 * code says whether it is an event; NGX_DECLINED: put->error and message say
 * why there are none; NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_put_read(ngx_eb_json_parser_t *parser, ngx_pool_t *pool,
    ngx_str_t *body, ngx_uint_t max_depth, ngx_eb_put_t *put);

/*
 * Gives each entry its id, and writes those that are events as a JSON array
 * of envelopes, from pool, nested no deeper than max_depth above.  The id is
 * made of the facts, the place of the entry and its bytes: whoever tries a
 * call again gets the same ones.  NGX_OK, NGX_ERROR (no memory).
 */
ngx_int_t ngx_eb_put_write(ngx_eb_put_t *put, ngx_eb_put_facts_t *facts,
    ngx_pool_t *pool, ngx_str_t *text);

/* the answer, at most NGX_EB_PUT_ANSWER bytes of it, for messages of at most
   200 bytes */
void ngx_eb_put_answer(ngx_eb_put_t *put, ngx_eb_out_t *out);


#endif /* _NGX_EB_PUTEVENTS_H_INCLUDED_ */
