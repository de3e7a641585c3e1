
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * How operations end, and what a reply means to them.
 */


#ifndef _NGX_EB_GENESYS_OP_H_INCLUDED_
#define _NGX_EB_GENESYS_OP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_genesys.h"
#include "ngx_eb_genesys_body.h"
#include "ngx_eb_genesys_list.h"


/*
 * Each sets op->answer and returns NGX_DONE, or NGX_ERROR: no memory.  Action
 * is kept as it is.
 */

/* body is borrowed */
ngx_int_t ngx_eb_genesys_op_done(ngx_eb_genesys_op_t *op, ngx_uint_t status,
    ngx_str_t *body);

/* a request that does not keep the rules: 400 with all of its violations */
ngx_int_t ngx_eb_genesys_op_violations(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_body_t *body);

/* a problem that is none of the API's; detail is a format */
ngx_int_t ngx_eb_genesys_op_problem(ngx_eb_genesys_op_t *op,
    ngx_uint_t status, const char *fmt, ...);

/*
 * The API refused, or did not answer.  alternative is what to use where the
 * API does not know the path: a sentence, or NULL.  It is logged, too, unless
 * op->log is NULL: a job that asks again and again has other ways.
 */
ngx_int_t ngx_eb_genesys_op_refused(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, const char *alternative);


/* the same in other words, which say what to do, too; and it is not logged */
ngx_int_t ngx_eb_genesys_op_refused_for(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_str_t *detail);


/*
 * A page of a list, which a 2xx reply brought.  NGX_AGAIN: there are more,
 * *request is to be sent, but for its operation; NGX_OK: it is over; NGX_DONE:
 * it cannot be understood, and that is answered; NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_genesys_op_page(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_list_t *list, ngx_eb_genesys_reply_t *reply,
    ngx_eb_genesys_request_t *request);


/* notes in the answer what there is to know of every reply */
void ngx_eb_genesys_op_reply(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply);


#define ngx_eb_genesys_ok(reply)                                             \
    ((reply)->status >= 200 && (reply)->status < 300)

#define ngx_eb_genesys_gone(reply)                                           \
    ((reply)->status == 404 || (reply)->status == 410)

/* another version was written meanwhile */
ngx_uint_t ngx_eb_genesys_conflict(ngx_eb_genesys_reply_t *reply);

/* the request may have been carried out, or may not have been */
ngx_uint_t ngx_eb_genesys_ambiguous(ngx_eb_genesys_reply_t *reply);


#endif /* _NGX_EB_GENESYS_OP_H_INCLUDED_ */
