
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The states of interactions, and which may follow which (contracts.md 1.6).
 * A state is known by its number in here; in files and messages it has its
 * name, for the numbers depend on the configuration.
 */


#ifndef _NGX_EB_GENESYS_LIFECYCLE_STATES_H_INCLUDED_
#define _NGX_EB_GENESYS_LIFECYCLE_STATES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_EB_LIFECYCLE_STATES  32

/* bytes of a name: letters, digits, and "_-." */
#define NGX_EB_LIFECYCLE_NAME    32

/* no state: there was none before, or none is told */
#define NGX_EB_LIFECYCLE_NONE    255


typedef struct {
    ngx_str_t                 names[NGX_EB_LIFECYCLE_STATES];   /* borrowed */
    uint32_t                  next[NGX_EB_LIFECYCLE_STATES];    /* masks */
    uint32_t                  initial;      /* mask */
    ngx_uint_t                n;
} ngx_eb_lifecycle_states_t;


#define ngx_eb_lifecycle_bit(state)                                          \
    ((uint32_t) 1 << ((state) % NGX_EB_LIFECYCLE_STATES))

/* nothing follows it */
#define ngx_eb_lifecycle_final(states, state)  ((states)->next[state] == 0)

#define ngx_eb_lifecycle_allowed(states, from, to)                           \
    (((states)->next[from] & ngx_eb_lifecycle_bit(to)) != 0)


/* the default: queued, ringing, connected, ..., queued being initial */
void ngx_eb_lifecycle_states_init(ngx_eb_lifecycle_states_t *states);

/*
 * What a line "transition FROM TO..." says.  It replaces what may follow FROM;
 * where each TO has a "+" before its name, they are added to that; without any
 * TO, the state FROM becomes a final one.  States that were not known become
 * known.  Names are borrowed.  NULL, or what is wrong, without a period.
 */
const char *ngx_eb_lifecycle_states_transition(
    ngx_eb_lifecycle_states_t *states, ngx_str_t *from, ngx_str_t *to,
    ngx_uint_t n);

/*
 * The states an interaction may begin with; replaces those known so far.  All
 * must be known.  The result is that of ngx_eb_lifecycle_states_transition().
 */
const char *ngx_eb_lifecycle_states_initial(ngx_eb_lifecycle_states_t *states,
    ngx_str_t *names, ngx_uint_t n);

/* at the end of the configuration: NULL, or what is wrong */
const char *ngx_eb_lifecycle_states_check(ngx_eb_lifecycle_states_t *states);

/* the number of this name, or NGX_EB_LIFECYCLE_NONE; bytes count as they are */
ngx_uint_t ngx_eb_lifecycle_states_find(ngx_eb_lifecycle_states_t *states,
    ngx_str_t *name);

/* NULL for NGX_EB_LIFECYCLE_NONE */
ngx_str_t *ngx_eb_lifecycle_states_name(ngx_eb_lifecycle_states_t *states,
    ngx_uint_t state);


#endif /* _NGX_EB_GENESYS_LIFECYCLE_STATES_H_INCLUDED_ */
