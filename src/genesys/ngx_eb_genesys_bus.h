
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Requests to the event bus that transitions are published to, and what its
 * answers mean for each of them (contracts.md 1.6 and 2.5.4).
 */


#ifndef _NGX_EB_GENESYS_BUS_H_INCLUDED_
#define _NGX_EB_GENESYS_BUS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_genesys_lifecycle.h"


/* entries of one PutEvents call, as AWS has it */
#define NGX_EB_BUS_AWS_ENTRIES      10

/* of one generic call */
#define NGX_EB_BUS_GENERIC_ENTRIES  100

/* bytes of one entry, at most: an interaction can be escaped twice */
#define NGX_EB_BUS_ENTRY            8192


typedef struct {
    ngx_eb_lifecycle_states_t  *states;
    ngx_str_t                   source;     /* of the entries; up to 256 */
    ngx_str_t                   bus_name;   /* AWS: name or ARN; may be empty */
    ngx_uint_t                  retention_days;
    unsigned                    aws:1;      /* PutEvents; else generic */
} ngx_eb_bus_conf_t;


typedef enum {
    NGX_EB_BUS_TAKEN = 0,
    NGX_EB_BUS_AGAIN,           /* to be sent again */
    NGX_EB_BUS_ALONE,           /* again, but one by one: one of them is
                                   refused, and nobody knows which */
    NGX_EB_BUS_REFUSED          /* it will never be taken */
} ngx_eb_bus_verdict_e;


/*
 * The detail of a transition, a JSON object: what webhooks hear, too.  p has
 * room for NGX_EB_BUS_ENTRY bytes; its end.
 */
u_char *ngx_eb_bus_detail(u_char *p, ngx_eb_bus_conf_t *conf,
    ngx_eb_lifecycle_decision_t *transition);

/*
 * The body of one call, with n transitions.  From pool.  NGX_OK, NGX_ERROR: no
 * memory.
 */
ngx_int_t ngx_eb_bus_body(ngx_pool_t *pool, ngx_eb_bus_conf_t *conf,
    ngx_eb_lifecycle_decision_t **transitions, ngx_uint_t n, ngx_str_t *body);

/*
 * What the answer to a call of n entries says of each: verdicts has room for n.
 * status is 0 if there was none.  *why is why the first that was not taken was
 * not: words of the bus, a slice of body, or a constant; empty if all were.
 */
void ngx_eb_bus_answer(ngx_eb_json_parser_t *parser, ngx_uint_t status,
    ngx_str_t *body, ngx_uint_t n, ngx_eb_bus_verdict_e *verdicts,
    ngx_str_t *why);


#endif /* _NGX_EB_GENESYS_BUS_H_INCLUDED_ */
