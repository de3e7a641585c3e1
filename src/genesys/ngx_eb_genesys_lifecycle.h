
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The engine of interaction lifecycles: events, clock and randomness go in,
 * decisions come out (contracts.md 1.6 and rows 4.x).  No I/O, no locks, no
 * globals; times are milliseconds since the epoch.
 *
 * Events of an interaction are held for a window, sorted by their time, then
 * judged one after the other: each becomes a transition to be published, is
 * flagged, or changes nothing.
 *
 *   event()   an event comes in: held, duplicate, or no room
 *   next()    the next decision that is due, until NGX_DONE
 *   done()    a transition was published, or given up
 *
 * Memory is one block that the caller gives, addressed by offsets: a mapping
 * that processes share.  One process at a time may call what changes it, the
 * writer; all processes may read meanwhile, by the protocol below.
 *
 *
 * Reading without a lock
 *
 *   header.epoch    odd: the table is being set up or recovered, nothing may
 *                   be read; another value than before: it was set up anew.
 *   header.links    odd: a chain of the index is being changed.  A reader that
 *                   finds nothing has searched in vain only if this is even,
 *                   and the same as before its search.
 *   entry.seq       odd: the entry is being changed.  Readers copy an entry
 *                   word by word between two reads of seq; both must be the
 *                   same and even.
 *
 * Each is read with acquire order, and again after an acquire fence.  A reader
 * tries a bounded number of times, and then says NGX_AGAIN: a writer that died
 * in the middle blocks nobody.  Chains are followed for a bounded number of
 * steps, and no offset is trusted.  The functions below do all of this.
 */


#ifndef _NGX_EB_GENESYS_LIFECYCLE_H_INCLUDED_
#define _NGX_EB_GENESYS_LIFECYCLE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_genesys_lifecycle_states.h"


/* bytes of the id of an interaction, and of that of an event */
#define NGX_EB_LIFECYCLE_ID       64

/* bytes of the id of a transition */
#define NGX_EB_LIFECYCLE_DIGEST   16

/* accepted transitions of an interaction that are remembered: the last ones */
#define NGX_EB_LIFECYCLE_HISTORY  11

/* flagged events of an interaction that are remembered, likewise */
#define NGX_EB_LIFECYCLE_FLAGGED  4

/* events of one interaction that are held; with more, the first goes early */
#define NGX_EB_LIFECYCLE_HELD     64

/* a time has 48 bits */
#define NGX_EB_LIFECYCLE_MAX_TIME  (((int64_t) 1 << 48) - 1)

/* of latency, see ngx_eb_lifecycle_bounds */
#define NGX_EB_LIFECYCLE_BUCKETS  14


/* flags of events, transitions and members of a history */

#define NGX_EB_LIFECYCLE_F_NOTIME  0x01     /* it told no time: its envelope's
                                               or that of its arrival */
#define NGX_EB_LIFECYCLE_F_MAPPED  0x02     /* of a detail event: changes
                                               nothing after a final state */
#define NGX_EB_LIFECYCLE_F_POLLED  0x04     /* it was polled */
#define NGX_EB_LIFECYCLE_F_GAP     0x08     /* accepted though something was
                                               missing before it */
#define NGX_EB_LIFECYCLE_F_HINT    0x10     /* changes nothing instead of being
                                               flagged, unless it is late */

/* flags of interactions */

#define NGX_EB_LIFECYCLE_LATE      0x0001   /* such events were flagged: one */
#define NGX_EB_LIFECYCLE_INITIAL   0x0002   /*   bit for each of the kinds of */
#define NGX_EB_LIFECYCLE_MISMATCH  0x0004   /*   ngx_eb_lifecycle_flag_e */
#define NGX_EB_LIFECYCLE_MATRIX    0x0008
#define NGX_EB_LIFECYCLE_ENDED     0x0010
#define NGX_EB_LIFECYCLE_STAGES    0x0020
#define NGX_EB_LIFECYCLE_GAP       0x0100   /* a transition with F_GAP */
#define NGX_EB_LIFECYCLE_NOTIME    0x0200   /* a transition with F_NOTIME */
#define NGX_EB_LIFECYCLE_FAILED    0x0400   /* one could not be published */

#define NGX_EB_LIFECYCLE_SHOWN     0x0fff   /* the others are the engine's */


/* an event as it is remembered when it was not accepted: by its time, and the
   states that it told */

#define ngx_eb_lifecycle_key(time, current, previous)                        \
    (((uint64_t) (time) << 16) | ((uint64_t) (current) << 8) | (previous))
#define ngx_eb_lifecycle_key_time(key)      ((int64_t) ((key) >> 16))
#define ngx_eb_lifecycle_key_current(key)   ((uint8_t) ((key) >> 8))
#define ngx_eb_lifecycle_key_previous(key)  ((uint8_t) (key))


/* why an event is not accepted */

typedef enum {
    NGX_EB_LIFECYCLE_FLAG_LATE = 0, /* older than what was accepted already */
    NGX_EB_LIFECYCLE_FLAG_INITIAL,  /* no interaction may begin so */
    NGX_EB_LIFECYCLE_FLAG_MISMATCH, /* it stands not where the event says */
    NGX_EB_LIFECYCLE_FLAG_MATRIX,   /* this state does not follow that one */
    NGX_EB_LIFECYCLE_FLAG_ENDED,    /* nothing follows a final state */
    NGX_EB_LIFECYCLE_FLAG_STAGES,   /* too many stages */
    NGX_EB_LIFECYCLE_FLAGS
} ngx_eb_lifecycle_flag_e;


typedef enum {
    NGX_EB_LIFECYCLE_PUBLISH = 0,
    NGX_EB_LIFECYCLE_FLAG,
    NGX_EB_LIFECYCLE_UNCHANGED,     /* it stands there already, or the event
                                       does not matter where it stands */
    NGX_EB_LIFECYCLE_EVICT          /* the interaction is forgotten */
} ngx_eb_lifecycle_kind_e;


/* borrowed by the engine until it is given back; see the directives */

typedef struct {
    ngx_eb_lifecycle_states_t  *states;
    int64_t                     window;     /* ms; 0: nothing is held */
    int64_t                     grace;      /* ms after a final state; longer
                                               than events are sent again */
    int64_t                     idle;       /* ms without a transition until an
                                               open one is forgotten; 0: never
                                               but for want of room */
    ngx_uint_t                  stages;     /* of an interaction, 1 to 255 */
    unsigned                    adopt:1;    /* an event whose own states the
                                               matrix allows is accepted also
                                               where something is missing
                                               before it; otherwise flagged */
} ngx_eb_lifecycle_conf_t;


/* an event: strings are borrowed for the call */

typedef struct {
    ngx_str_t                   interaction;    /* 1 to ID bytes */
    ngx_str_t                   id;         /* 0 to ID bytes; for longer ones
                                               see ngx_eb_lifecycle_fit() */
    int64_t                     time;       /* 0 to MAX_TIME */
    int64_t                     at;         /* when it arrived */
    uint8_t                     previous;   /* as it says, or NONE: that is not
                                               told, or there was none */
    uint8_t                     current;
    uint8_t                     only;       /* matters only in this state, or
                                               NONE: in any */
    uint8_t                     flags;      /* _F_... */
} ngx_eb_lifecycle_event_t;


/* what is to be done; a copy, for the caller to keep */

typedef struct {
    ngx_eb_lifecycle_kind_e     kind;
    ngx_eb_lifecycle_flag_e     flag;       /* of FLAG */
    u_char                      id[NGX_EB_LIFECYCLE_DIGEST];  /* of PUBLISH:
                                               the same for the same event */
    uint32_t                    entry;      /* number of the interaction, as
                                               long as it is known */
    uint8_t                     previous;   /* PUBLISH: where it stood, or
                                               NONE; otherwise what was told */
    uint8_t                     current;
    uint8_t                     stage;      /* PUBLISH: 1 is the first */
    uint8_t                     flags;      /* _F_... */
    uint8_t                     only;
    uint8_t                     interaction_len;
    uint8_t                     event_len;
    int64_t                     time;       /* EVICT: of the last transition */
    int64_t                     at;         /* its arrival */
    u_char                      interaction[NGX_EB_LIFECYCLE_ID];
    u_char                      event[NGX_EB_LIFECYCLE_ID]; /* its id */
} ngx_eb_lifecycle_decision_t;


/* in the block; written by the writer, read by all (relaxed) */

typedef struct {
    uint64_t                    captured;   /* events that were no duplicates */
    uint64_t                    duplicates;
    uint64_t                    validated;  /* transitions accepted */
    uint64_t                    unchanged;
    uint64_t                    flagged[NGX_EB_LIFECYCLE_FLAGS];
    uint64_t                    gaps;       /* accepted with F_GAP */
    uint64_t                    notime;     /* captured with F_NOTIME */
    uint64_t                    propagated;
    uint64_t                    failed;     /* given up */
    uint64_t                    forced;     /* judged before their window had
                                               passed, for want of room */
    uint64_t                    evicted_final;  /* grace has passed */
    uint64_t                    evicted_idle;
    uint64_t                    evicted_early;  /* for want of room: a final */
    uint64_t                    evicted_open;   /*   one, an open one */
    uint64_t                    refused;    /* NGX_BUSY */
    uint64_t                    latency;    /* ms, the sum over propagated */
    uint64_t                    latencies[NGX_EB_LIFECYCLE_BUCKETS];

    /* gauges */
    uint64_t                    interactions;   /* known */
    uint64_t                    open;       /* of them, in no final state */
    uint64_t                    held;       /* events in windows */
    uint64_t                    unpublished;    /* transitions */
    uint64_t                    standing[NGX_EB_LIFECYCLE_STATES];
} ngx_eb_lifecycle_counters_t;


typedef struct ngx_eb_lifecycle_header_s  ngx_eb_lifecycle_header_t;
typedef struct ngx_eb_lifecycle_entry_s   ngx_eb_lifecycle_entry_t;
typedef struct ngx_eb_lifecycle_held_s    ngx_eb_lifecycle_held_t;


/* of a process; members are the engine's */

typedef struct {
    ngx_eb_lifecycle_conf_t    *conf;
    ngx_eb_lifecycle_header_t  *header;
    uint32_t                   *buckets;
    ngx_eb_lifecycle_entry_t   *entries;
    ngx_eb_lifecycle_held_t    *held;
} ngx_eb_lifecycle_t;


typedef struct {
    int64_t                     time;
    uint8_t                     state;
    uint8_t                     flags;      /* _F_... */
} ngx_eb_lifecycle_step_t;


/* what a reader sees of an interaction: a copy */

typedef struct {
    uint32_t                    entry;
    uint8_t                     interaction_len;
    uint8_t                     state;      /* NONE: none was accepted */
    uint8_t                     stage;
    uint8_t                     nhistory;
    uint16_t                    flags;      /* & _SHOWN */
    uint16_t                    unpublished;
    int64_t                     since;      /* event time of the last step */
    int64_t                     touched;    /* when that was accepted */
    ngx_eb_lifecycle_step_t     history[NGX_EB_LIFECYCLE_HISTORY];
    u_char                      interaction[NGX_EB_LIFECYCLE_ID];
} ngx_eb_lifecycle_view_t;


/*
 * Upper bounds of the buckets of latency, ms; the last one has none (-1).
 * Buckets are not cumulative.
 */
extern const int64_t  ngx_eb_lifecycle_bounds[NGX_EB_LIFECYCLE_BUCKETS];

/* "late", "initial", "mismatch", "transition", "ended", "stages" */
extern const ngx_str_t  ngx_eb_lifecycle_flags[NGX_EB_LIFECYCLE_FLAGS];


/* bytes of the block for so many interactions and held events; 0: too many */
size_t ngx_eb_lifecycle_size(ngx_uint_t interactions, ngx_uint_t events);

/* bytes of an interaction in it, its share of the index included, at most */
#define NGX_EB_LIFECYCLE_PER_INTERACTION  248

/*
 * Before anybody reads, as in the master: sets the block up with an odd epoch.
 * It must begin at a multiple of 8.  seed is random.
 */
void ngx_eb_lifecycle_init(void *block, ngx_uint_t interactions,
    ngx_uint_t events, uint64_t seed);

/* any process: NGX_OK, NGX_DECLINED: this is no such block, or too small */
ngx_int_t ngx_eb_lifecycle_attach(ngx_eb_lifecycle_t *lc,
    ngx_eb_lifecycle_conf_t *conf, void *block, size_t size);


/*
 * The writer
 */

/* who becomes the writer: the table is empty, its epoch odd; counters stay */
void ngx_eb_lifecycle_reset(ngx_eb_lifecycle_t *lc);

/* all is recovered: from now on it may be read */
void ngx_eb_lifecycle_open(ngx_eb_lifecycle_t *lc);

/*
 * NGX_OK: it is held; NGX_DECLINED: a duplicate, of what is held, accepted or
 * flagged; NGX_BUSY: there is no room until decisions are taken or transitions
 * are published; NGX_ERROR: out of bounds, counted nowhere.
 */
ngx_int_t ngx_eb_lifecycle_event(ngx_eb_lifecycle_t *lc,
    ngx_eb_lifecycle_event_t *event);

/*
 * NGX_OK: a decision; NGX_DONE: there is none at this time; NGX_ERROR: the
 * crypto library failed, and nothing has changed.  A clock that goes back does
 * not make anything wait for longer.  Whoever has no room for another
 * transition stops calling; the window fills up then, and event() says
 * NGX_BUSY.
 */
ngx_int_t ngx_eb_lifecycle_next(ngx_eb_lifecycle_t *lc, int64_t now,
    ngx_eb_lifecycle_decision_t *decision);

/* ms after which next() has something to do, at least 1; -1: nothing */
int64_t ngx_eb_lifecycle_wait(ngx_eb_lifecycle_t *lc, int64_t now);

/*
 * A transition of a decision PUBLISH was published, or it was given up: until
 * then its interaction is not forgotten.
 */
void ngx_eb_lifecycle_done(ngx_eb_lifecycle_t *lc,
    ngx_eb_lifecycle_decision_t *decision, int64_t now, ngx_uint_t published);


/*
 * Recovery, between reset() and open(): what is known to have been decided is
 * told to the engine again, in the same order; the clock stands still.
 */

/*
 * Accepted or flagged: it is not held any more, and an interaction stands
 * where it led to.  NGX_OK; NGX_DECLINED: that was known; NGX_BUSY, NGX_ERROR:
 * as of event().  That it is still to be published is told by reclaim(), after
 * all else.
 */
ngx_int_t ngx_eb_lifecycle_redo(ngx_eb_lifecycle_t *lc,
    ngx_eb_lifecycle_decision_t *decision);
void ngx_eb_lifecycle_reclaim(ngx_eb_lifecycle_t *lc,
    ngx_eb_lifecycle_decision_t *decision);

/* where an interaction stood; entry is set.  NGX_OK, NGX_BUSY, NGX_ERROR */
ngx_int_t ngx_eb_lifecycle_restore(ngx_eb_lifecycle_t *lc,
    ngx_eb_lifecycle_view_t *view, uint64_t *flagged, ngx_uint_t nflagged);

/* the writer's own look at entry number i, for snapshots: see _record.h;
   NGX_DECLINED: it is not in use */
ngx_int_t ngx_eb_lifecycle_peek(ngx_eb_lifecycle_t *lc, uint32_t i,
    ngx_eb_lifecycle_view_t *view, uint64_t *flagged, ngx_uint_t *nflagged);

/* held events of entry number i, in order: after the position *held, which is
   0 at first; NGX_DONE: there are no more.  Strings are the engine's. */
ngx_int_t ngx_eb_lifecycle_peek_held(ngx_eb_lifecycle_t *lc, uint32_t i,
    uint32_t *held, ngx_eb_lifecycle_event_t *event);

/* numbers of entries are below this */
uint32_t ngx_eb_lifecycle_entries(ngx_eb_lifecycle_t *lc);


/*
 * Readers, any process at any time
 */

/* NGX_OK; NGX_DECLINED: not known; NGX_AGAIN: cannot be told now */
ngx_int_t ngx_eb_lifecycle_find(ngx_eb_lifecycle_t *lc,
    ngx_str_t *interaction, ngx_eb_lifecycle_view_t *view);

/*
 * Interactions in a state (NONE: in any) from entry number *cursor on, 0 at
 * first: at most n of them, after a look at no more than "look" entries.
 * *found is how many there are; *cursor is where to go on.  NGX_OK, NGX_DONE:
 * that was the end; NGX_AGAIN.
 */
ngx_int_t ngx_eb_lifecycle_list(ngx_eb_lifecycle_t *lc, ngx_uint_t state,
    uint32_t *cursor, uint32_t look, ngx_eb_lifecycle_view_t *views,
    ngx_uint_t n, ngx_uint_t *found);

/* a copy; gauges and counters of one moment only roughly */
void ngx_eb_lifecycle_counters(ngx_eb_lifecycle_t *lc,
    ngx_eb_lifecycle_counters_t *counters);

/* is it recovered, and may be read? */
ngx_uint_t ngx_eb_lifecycle_ready(ngx_eb_lifecycle_t *lc);


/*
 * Ids (ngx_eb_genesys_lifecycle_id.c)
 */

/*
 * The id of a transition: the first DIGEST bytes of the SHA-256 of
 *
 *     INTERACTION LF PREVIOUS LF CURRENT LF TIME LF EVENT
 *
 * PREVIOUS is empty for NONE, TIME is decimal, in ms, EVENT is the event's id.
 * Sets decision->id.  NGX_OK, NGX_ERROR: the crypto library failed.
 */
ngx_int_t ngx_eb_lifecycle_id(ngx_eb_lifecycle_states_t *states,
    ngx_eb_lifecycle_decision_t *decision);

/* out: NGX_EB_LIFECYCLE_DIGEST * 2 lower-case hexadecimal digits; its end */
u_char *ngx_eb_lifecycle_id_hex(u_char *out, u_char *id);

/*
 * An id of any length as one that fits: itself, or 64 hexadecimal digits of
 * its SHA-256, in buf of NGX_EB_LIFECYCLE_ID bytes.  NGX_OK, NGX_ERROR.
 */
ngx_int_t ngx_eb_lifecycle_fit(ngx_str_t *id, u_char *buf);


#endif /* _NGX_EB_GENESYS_LIFECYCLE_H_INCLUDED_ */
