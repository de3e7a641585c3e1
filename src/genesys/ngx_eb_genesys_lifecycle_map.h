
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * From JSON to lifecycle events: those of contracts.md 1.6, which name their
 * states, and detail events of Genesys Cloud, whose topics stand for states
 * (contracts.md 2.3.3).
 */


#ifndef _NGX_EB_GENESYS_LIFECYCLE_MAP_H_INCLUDED_
#define _NGX_EB_GENESYS_LIFECYCLE_MAP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_event.h"
#include "ngx_eb_genesys_lifecycle.h"


/* interactions that one event may tell of: an agent's sessions */
#define NGX_EB_LIFECYCLE_MAP_MAX  16


/*
 * What an element of a page says:
 *
 *   {"id","interactionId","previousState","currentState","timestamp"}
 *
 * id and eventId are both taken for the event's id; without one it has none.
 * A previousState that is null or empty is none.  at: when it arrived, and its
 * time if it tells none.  Strings are slices of the text, or from pool.
 *
 * NGX_OK; NGX_DECLINED: *reason says why not, a constant without a period;
 * NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_lifecycle_map_plain(ngx_eb_lifecycle_states_t *states,
    ngx_eb_json_t *json, ngx_eb_json_node_t node, int64_t at, ngx_pool_t *pool,
    ngx_eb_lifecycle_event_t *event, const char **reason);

/*
 * What an event that was received says: one as above, bare or in an envelope
 * (its detail, or detail.eventBody), or a detail event.  Events go to an array
 * of NGX_EB_LIFECYCLE_MAP_MAX; *n is how many there are.
 *
 * NGX_OK; NGX_DECLINED: it is about no state of an interaction, which is
 * usual, *reason is NULL then, or it cannot be used, and *reason says why;
 * NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_lifecycle_map(ngx_eb_lifecycle_states_t *states,
    ngx_eb_json_t *json, ngx_eb_event_t *received, int64_t at,
    ngx_pool_t *pool, ngx_eb_lifecycle_event_t *events, ngx_uint_t *n,
    const char **reason);

/*
 * The interaction that an event is about, whether it tells of a state or not:
 * its interactionId, the conversationId of its body, or the conversation of its
 * topic.  NGX_OK: not empty, of any length; NGX_DECLINED: there is none;
 * NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_lifecycle_map_interaction(ngx_eb_json_t *json,
    ngx_eb_event_t *received, ngx_pool_t *pool, ngx_str_t *id);


#endif /* _NGX_EB_GENESYS_LIFECYCLE_MAP_H_INCLUDED_ */
