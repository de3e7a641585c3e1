
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What the caller of an operation on filters gets.
 */


#ifndef _NGX_EB_GENESYS_FILTER_ANSWER_H_INCLUDED_
#define _NGX_EB_GENESYS_FILTER_ANSWER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_json_edit.h"
#include "ngx_eb_genesys.h"
#include "ngx_eb_genesys_filter.h"
#include "ngx_eb_genesys_filter_check.h"
#include "ngx_eb_genesys_filter_doc.h"


typedef struct {
    ngx_eb_genesys_filter_args_t  args;
    ngx_eb_genesys_filter_want_t  want;
    ngx_array_t                   errors;
    ngx_eb_json_parser_t         *parser;
    ngx_eb_json_t                 json;     /* of the last text */
    ngx_uint_t                    state;
    ngx_str_t                     uri;
    ngx_str_t                     sent;     /* the document */
    ngx_str_t                     previous; /* JSON: what was changed */
    ngx_uint_t                    writes;
    ngx_uint_t                    reads;    /* after the last write */
    ngx_eb_genesys_reply_t        failure;  /* of a write that may have been
                                               one nevertheless */
    unsigned                      written:1;    /* the API has accepted */
} ngx_eb_genesys_filter_t;


/* each sets op->answer: NGX_DONE, or NGX_ERROR: no memory */

/* extra: members, each with a comma ahead of it, or empty */
ngx_int_t ngx_eb_genesys_filter_problem(ngx_eb_genesys_op_t *op,
    ngx_uint_t status, ngx_str_t *detail, ngx_str_t *extra);

ngx_int_t ngx_eb_genesys_filter_invalid(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_uint_t status);

/* what is not 2xx; done is what has not been done */
ngx_int_t ngx_eb_genesys_filter_refused(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_eb_genesys_reply_t *reply,
    const char *done);

/* the document cannot be worked with */
ngx_int_t ngx_eb_genesys_filter_odd(ngx_eb_genesys_op_t *op,
    const char *error);

/* there is none, or more than one, of the subscription's name */
ngx_int_t ngx_eb_genesys_filter_unknown(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_eb_genesys_filter_place_t *place);

ngx_int_t ngx_eb_genesys_filter_shown(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_eb_genesys_filter_place_t *place);

/* all subscriptions, or those of the name */
ngx_int_t ngx_eb_genesys_filter_listed(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl);

/*
 * What is there now, by the document of which place is.  unverified: why it
 * was not seen at the API, or NULL.
 */
ngx_int_t ngx_eb_genesys_filter_done(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_eb_genesys_filter_place_t *place,
    const char *unverified);

/* the same, and what would be sent in old's place */
ngx_int_t ngx_eb_genesys_filter_previewed(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_eb_genesys_filter_place_t *place,
    ngx_str_t *old, ngx_array_t *splices, ngx_str_t *if_match);

/* what the API has accepted is not what it says it has */
ngx_int_t ngx_eb_genesys_filter_mismatch(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_filter_t *fl, ngx_eb_genesys_filter_place_t *place);

/* as JSON: the attribute's filters, or the topics.  NGX_OK, NGX_ERROR */
ngx_int_t ngx_eb_genesys_filter_stored(ngx_eb_genesys_op_t *op,
    ngx_eb_json_t *json, ngx_eb_genesys_filter_place_t *place,
    ngx_str_t *text);


#endif /* _NGX_EB_GENESYS_FILTER_ANSWER_H_INCLUDED_ */
