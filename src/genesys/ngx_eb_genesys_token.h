
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Tokens of Genesys Cloud, by OAuth client credentials: what is asked, what
 * the answer means, and for how long it is good.
 */


#ifndef _NGX_EB_GENESYS_TOKEN_H_INCLUDED_
#define _NGX_EB_GENESYS_TOKEN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_genesys.h"


/* of an access token */
#define NGX_EB_GENESYS_TOKEN_MAX       8192

/*
 * Seconds.  A client of Genesys Cloud may ask for 300 to 172,800.  What is
 * longer than this counts as this: a token that ends sooner than it says
 * costs one request that is answered 401, and nothing else.
 */
#define NGX_EB_GENESYS_TOKEN_LIFETIME  604800


typedef struct {
    ngx_str_t                 client_id;
    ngx_str_t                 client_secret;
    ngx_str_t                 scope;        /* empty: none is sent */
    unsigned                  body_credentials:1;
} ngx_eb_genesys_token_settings_t;


typedef struct {
    ngx_str_t                 access_token; /* printable ASCII, no space */
    ngx_uint_t                expires_in;   /* seconds, 1 to _LIFETIME */
} ngx_eb_genesys_token_t;


/* why there is no token; neither secrets nor anything that a server wrote */

typedef struct {
    ngx_str_t                 words;
    unsigned                  retry:1;      /* or it is of no use */
} ngx_eb_genesys_verdict_t;


/* monotonic milliseconds, as ngx_current_msec */

typedef struct {
    ngx_msec_t                refresh;      /* from then on another is due */
    ngx_msec_t                expires;
} ngx_eb_genesys_token_times_t;


/*
 * The value of the header Authorization, empty with body_credentials, and
 * the body, which is application/x-www-form-urlencoded.  NGX_OK; NGX_DECLINED:
 * the client's id or secret is empty or has a control character, or its id
 * has a colon and is to be sent in the header; NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_genesys_token_request(ngx_pool_t *pool,
    ngx_eb_genesys_token_settings_t *settings, ngx_str_t *authorization,
    ngx_str_t *body);

/*
 * NGX_OK: *token, whose memory is pool's.  NGX_DECLINED: *verdict says why
 * not; when it says retry, ngx_eb_genesys_retry_later() says when.  NGX_ERROR:
 * no memory.
 */
ngx_int_t ngx_eb_genesys_token_reply(ngx_pool_t *pool,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_token_t *token,
    ngx_eb_genesys_verdict_t *verdict);

/*
 * started is when the request for it was, so that the token ends sooner here
 * than there.  margin is how long before its end a token is replaced, but at
 * most a tenth of its life: a token of a few minutes must be fresh for most
 * of them.  random spreads this by up to a tenth of the margin.
 */
void ngx_eb_genesys_token_times(ngx_eb_genesys_token_times_t *times,
    ngx_msec_t started, ngx_uint_t expires_in, ngx_msec_t margin,
    ngx_uint_t random);

/* no other is needed yet */
ngx_uint_t ngx_eb_genesys_token_fresh(ngx_eb_genesys_token_times_t *times,
    ngx_msec_t now);

/* it may be sent while another is fetched */
ngx_uint_t ngx_eb_genesys_token_usable(ngx_eb_genesys_token_times_t *times,
    ngx_msec_t now);


#endif /* _NGX_EB_GENESYS_TOKEN_H_INCLUDED_ */
