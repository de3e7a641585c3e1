
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What a caller wants of filters, and what is wrong with it.
 */


#ifndef _NGX_EB_GENESYS_FILTER_CHECK_H_INCLUDED_
#define _NGX_EB_GENESYS_FILTER_CHECK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_genesys_filter.h"
#include "ngx_eb_genesys_filter_doc.h"


typedef struct {
    ngx_str_t                 field;
    const char               *rule;         /* a constant */
    ngx_str_t                 message;
    ngx_int_t                 offset;       /* of the field's value, or -1 */
} ngx_eb_genesys_filter_error_t;


/*
 * Every violation goes to errors, an array of ngx_eb_genesys_filter_error_t.
 * NGX_OK: there is none, and want is set unless something is to be shown;
 * NGX_DECLINED: *status is that of the problem; NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_genesys_filter_check(ngx_pool_t *pool,
    ngx_eb_json_parser_t *parser, ngx_eb_genesys_filter_args_t *args,
    ngx_eb_genesys_filter_want_t *want, ngx_array_t *errors,
    ngx_uint_t *status);


#endif /* _NGX_EB_GENESYS_FILTER_CHECK_H_INCLUDED_ */
