
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Lines of a lifecycle's journal: payloads of records of the append log.
 * States have their names in it.  No I/O.
 *
 *   event       it was captured; on the disk before the sender's 2xx, or
 *               before the position that follows it
 *   transition  it was accepted; on the disk before it is published
 *   flag        it was flagged
 *   done        a transition was published, or given up
 *   position    of the poller: all before it was captured
 *   snapshot    what is in front of it is of no use, if an end of the same id
 *               follows
 *   entry       where an interaction stands, of a snapshot
 *   held        an event that is still held, likewise
 *   end         of a snapshot
 */


#ifndef _NGX_EB_GENESYS_LIFECYCLE_RECORD_H_INCLUDED_
#define _NGX_EB_GENESYS_LIFECYCLE_RECORD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_genesys_lifecycle.h"


/* bytes of a page's cursor, and of an id of its events */
#define NGX_EB_LIFECYCLE_CURSOR   4096
#define NGX_EB_LIFECYCLE_DONE_ID  256

/* events of a page that are known to be captured */
#define NGX_EB_LIFECYCLE_DONE     1000

/* bytes of an entry, and of any other but a position */
#define NGX_EB_LIFECYCLE_ENTRY    3072
#define NGX_EB_LIFECYCLE_RECORD   1536

/* how lines begin */
#define NGX_EB_LIFECYCLE_BEGIN_EVENT     "{\"v\":1,\"t\":\"event\","
#define NGX_EB_LIFECYCLE_BEGIN_SNAPSHOT  "{\"v\":1,\"t\":\"snapshot\","


typedef enum {
    NGX_EB_LIFECYCLE_R_EVENT = 0,
    NGX_EB_LIFECYCLE_R_TRANSITION,
    NGX_EB_LIFECYCLE_R_FLAG,
    NGX_EB_LIFECYCLE_R_DONE,
    NGX_EB_LIFECYCLE_R_POSITION,
    NGX_EB_LIFECYCLE_R_SNAPSHOT,
    NGX_EB_LIFECYCLE_R_ENTRY,
    NGX_EB_LIFECYCLE_R_HELD,
    NGX_EB_LIFECYCLE_R_END,
    NGX_EB_LIFECYCLE_RECORDS
} ngx_eb_lifecycle_record_e;


/* where a poller stands */

typedef struct {
    ngx_str_t                   cursor;     /* of this page; may be empty */
    ngx_str_t                  *ids;        /* of its events that are done */
    ngx_uint_t                  n;          /* up to NGX_EB_LIFECYCLE_DONE */
    int64_t                     time;       /* newest event time seen, or 0 */
    int64_t                     at;         /* when that was */
} ngx_eb_lifecycle_position_t;


typedef struct {
    ngx_eb_lifecycle_record_e   type;

    ngx_eb_lifecycle_event_t    event;      /* EVENT, HELD */
    ngx_eb_lifecycle_decision_t decision;   /* TRANSITION, FLAG; DONE: id,
                                               interaction, at: when */
    ngx_uint_t                  published;  /* DONE; 0: given up */
    ngx_eb_lifecycle_position_t position;   /* POSITION */
    uint64_t                    id;         /* SNAPSHOT, END */
    ngx_eb_lifecycle_view_t     view;       /* ENTRY */
    uint64_t                    flagged[NGX_EB_LIFECYCLE_FLAGGED];
    ngx_uint_t                  nflagged;
} ngx_eb_lifecycle_record_t;


/* room for what ngx_eb_lifecycle_record_write() writes */
size_t ngx_eb_lifecycle_record_size(ngx_eb_lifecycle_record_t *record);

/* a payload for the append log, without its closing brace; its end */
u_char *ngx_eb_lifecycle_record_write(u_char *p,
    ngx_eb_lifecycle_states_t *states, ngx_eb_lifecycle_record_t *record);

/*
 * Backwards, from a whole line of the log without its newline.  Strings are
 * slices of it, or from pool, as are position.ids.
 *
 * NGX_OK; NGX_DECLINED: no line that this version knows, or one that names a
 * state that the configuration does not know (*reason says which of both, a
 * constant without a period); NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_lifecycle_record_read(ngx_eb_json_parser_t *parser,
    ngx_eb_lifecycle_states_t *states, u_char *p, size_t len,
    ngx_pool_t *pool, ngx_eb_lifecycle_record_t *record, const char **reason);


#endif /* _NGX_EB_GENESYS_LIFECYCLE_RECORD_H_INCLUDED_ */
