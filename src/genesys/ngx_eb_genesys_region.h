
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Where Genesys Cloud is: the regions and their domains.
 */


#ifndef _NGX_EB_GENESYS_REGION_H_INCLUDED_
#define _NGX_EB_GENESYS_REGION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * The base URLs, without a path, of the region that value names.  It may be,
 * in any case of letters:
 *
 *     us-east-1                            region of AWS
 *     mypurecloud                          that of the first region
 *     mypurecloud.com                      domain
 *     api.mypurecloud.com/anything         host, also login. and apps.
 *     https://api.mypurecloud.com/api/v2   URL
 *     api.us-east-1.mypurecloud.com        hosts that never were, but are in
 *     api.eu.mypurecloud.com               use as names of regions
 *
 * Only what is in the table comes out, never what came in: a secret must not
 * be sent to a host that nobody checked.  api_url and login_url are of pool.
 * NGX_OK; NGX_DECLINED: not the name of a region; NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_genesys_region(ngx_pool_t *pool, ngx_str_t *value,
    ngx_str_t *api_url, ngx_str_t *login_url);


#endif /* _NGX_EB_GENESYS_REGION_H_INCLUDED_ */
