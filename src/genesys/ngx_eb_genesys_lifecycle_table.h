
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What is in the block of a lifecycle's engine; for its own files only.
 */


#ifndef _NGX_EB_GENESYS_LIFECYCLE_TABLE_H_INCLUDED_
#define _NGX_EB_GENESYS_LIFECYCLE_TABLE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_genesys_lifecycle.h"


#define NGX_EB_LIFECYCLE_MAGIC    0x434c4245    /* "EBLC" */
#define NGX_EB_LIFECYCLE_VERSION  1

/* no entry, no event */
#define NGX_EB_LIFECYCLE_NIL      0xffffffffu

/* entries and events, at most: sizes fit in 64 bits by far */
#define NGX_EB_LIFECYCLE_MAX      0x10000000u

/* flags of entries that readers do not see */
#define NGX_EB_LIFECYCLE_USED     0x1000
#define NGX_EB_LIFECYCLE_READY    0x2000        /* in the list of such */
#define NGX_EB_LIFECYCLE_RESTING  0x4000        /* in that of final ones */


/* a transition as it is remembered: the same, with its flags at the end */
#define ngx_eb_lifecycle_step               ngx_eb_lifecycle_key
#define ngx_eb_lifecycle_step_time(step)    ngx_eb_lifecycle_key_time(step)
#define ngx_eb_lifecycle_step_state(step)   ngx_eb_lifecycle_key_current(step)
#define ngx_eb_lifecycle_step_flags(step)   ngx_eb_lifecycle_key_previous(step)


/* a list by numbers */

typedef struct {
    uint32_t                  first;
    uint32_t                  last;
} ngx_eb_lifecycle_list_t;


struct ngx_eb_lifecycle_header_s {
    uint32_t                  magic;
    uint32_t                  version;
    uint32_t                  nentries;
    uint32_t                  nheld;
    uint32_t                  nbuckets;         /* a power of two */
    uint32_t                  epoch;
    uint32_t                  links;
    uint32_t                  entries_used;     /* ever, since the reset */
    uint32_t                  held_used;
    uint32_t                  entries_free;     /* of these, first one */
    uint32_t                  held_free;
    ngx_eb_lifecycle_list_t   open;             /* by their last transition */
    ngx_eb_lifecycle_list_t   resting;          /* final, or without a state */
    ngx_eb_lifecycle_list_t   ready;            /* events are due */
    ngx_eb_lifecycle_list_t   arrival;          /* of held events */
    uint32_t                  spare;
    uint64_t                  seed;
    ngx_eb_lifecycle_counters_t  counters;
};


/* flagged: of ngx_eb_lifecycle_key(); history: of ngx_eb_lifecycle_step() */

struct ngx_eb_lifecycle_entry_s {
    uint32_t                  seq;
    uint32_t                  hash;
    uint32_t                  chain;            /* of the index; if free, of
                                                   these */
    uint32_t                  prev;             /* in open or resting */
    uint32_t                  next;
    uint32_t                  window;           /* first held event */
    uint32_t                  ready;
    uint8_t                   len;              /* of id */
    uint8_t                   state;
    uint8_t                   stage;
    uint8_t                   nhistory;
    int64_t                   touched;
    int64_t                   newest;           /* event time seen */
    uint16_t                  flags;
    uint16_t                  unpublished;
    uint16_t                  nheld;
    uint8_t                   nflagged;
    uint8_t                   spare;
    uint64_t                  flagged[NGX_EB_LIFECYCLE_FLAGGED];
    uint64_t                  history[NGX_EB_LIFECYCLE_HISTORY];
    u_char                    id[NGX_EB_LIFECYCLE_ID];
};


struct ngx_eb_lifecycle_held_s {
    int64_t                   time;
    int64_t                   at;
    uint32_t                  entry;
    uint32_t                  later;            /* of this interaction; if
                                                   free, of these */
    uint32_t                  prev;             /* by arrival */
    uint32_t                  next;
    uint8_t                   previous;
    uint8_t                   current;
    uint8_t                   only;
    uint8_t                   flags;
    uint8_t                   id_len;
    u_char                    id[NGX_EB_LIFECYCLE_ID];
};


/* around what changes an entry that readers may see */

static ngx_inline void
ngx_eb_lifecycle_begin(uint32_t *seq)
{
    __atomic_store_n(seq, *seq + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}


static ngx_inline void
ngx_eb_lifecycle_end(uint32_t *seq)
{
    __atomic_store_n(seq, *seq + 1, __ATOMIC_RELEASE);
}


/* while it is recovered, what happens has been counted before */

static ngx_inline void
ngx_eb_lifecycle_count(ngx_eb_lifecycle_t *lc, uint64_t *counter)
{
    if ((lc->header->epoch & 1) == 0) {
        __atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
    }
}


static ngx_inline void
ngx_eb_lifecycle_gauge(uint64_t *gauge, int64_t by)
{
    __atomic_store_n(gauge, *gauge + (uint64_t) by, __ATOMIC_RELAXED);
}


/* ngx_eb_genesys_lifecycle_table.c */

uint32_t ngx_eb_lifecycle_hash(ngx_eb_lifecycle_t *lc, u_char *id,
    size_t len);

/* NIL: not known */
uint32_t ngx_eb_lifecycle_lookup(ngx_eb_lifecycle_t *lc, ngx_str_t *id);

/* NIL: there is no room */
uint32_t ngx_eb_lifecycle_create(ngx_eb_lifecycle_t *lc, ngx_str_t *id,
    int64_t now);

void ngx_eb_lifecycle_remove(ngx_eb_lifecycle_t *lc, uint32_t i);

/* nothing is held or to be published */
ngx_uint_t ngx_eb_lifecycle_forgettable(ngx_eb_lifecycle_entry_t *e);

/* at the end of the list where it belongs; its state is set */
void ngx_eb_lifecycle_touch(ngx_eb_lifecycle_t *lc, uint32_t i, int64_t now);

/* an accepted transition: between begin and end */
void ngx_eb_lifecycle_accept(ngx_eb_lifecycle_t *lc,
    ngx_eb_lifecycle_entry_t *e, uint64_t step, ngx_uint_t stage);
void ngx_eb_lifecycle_remember(ngx_eb_lifecycle_entry_t *e, uint64_t key);

/* standing and open of counters */
void ngx_eb_lifecycle_stand(ngx_eb_lifecycle_t *lc, uint8_t state,
    int64_t by);


/* ngx_eb_genesys_lifecycle_reorder.c */

/* NIL: there is no room */
uint32_t ngx_eb_lifecycle_hold(ngx_eb_lifecycle_t *lc, uint32_t entry,
    ngx_eb_lifecycle_event_t *event);
void ngx_eb_lifecycle_unhold(ngx_eb_lifecycle_t *lc, uint32_t h);

/* is the event held? */
ngx_uint_t ngx_eb_lifecycle_holds(ngx_eb_lifecycle_t *lc,
    ngx_eb_lifecycle_entry_t *e, ngx_eb_lifecycle_event_t *event);

/* has the first event of the entry left the window, whatever the clock says? */
ngx_uint_t ngx_eb_lifecycle_due(ngx_eb_lifecycle_t *lc,
    ngx_eb_lifecycle_entry_t *e);

/* the entry's turn comes */
void ngx_eb_lifecycle_ready_add(ngx_eb_lifecycle_t *lc, uint32_t i);

/*
 * The event that is due next, or NIL; *forced: only for want of room.  Of
 * events of the same time it is the first one that fits where the interaction
 * stands.
 */
uint32_t ngx_eb_lifecycle_release(ngx_eb_lifecycle_t *lc, int64_t now,
    ngx_uint_t *forced);

/* is it late? */
ngx_uint_t ngx_eb_lifecycle_is_late(ngx_eb_lifecycle_entry_t *e,
    int64_t time);


#endif /* _NGX_EB_GENESYS_LIFECYCLE_TABLE_H_INCLUDED_ */
