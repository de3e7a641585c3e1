
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Where Genesys Cloud is.
 *
 * A host is taken apart only to be compared, as a whole, with the table.
 * What is not equal to an entry, be it by a dot, is no region; so there is no
 * trick with suffixes, user names, ports or alphabets to think of.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_genesys_region.h"


#define NGX_EB_GENESYS_SCHEME  "https://"


typedef struct {
    ngx_str_t                 name;         /* of AWS */
    ngx_str_t                 domain;
} ngx_eb_genesys_region_t;


static ngx_eb_genesys_region_t *ngx_eb_genesys_region_find(ngx_str_t *value);
static ngx_eb_genesys_region_t *ngx_eb_genesys_region_host(ngx_str_t *host);
static ngx_eb_genesys_region_t *ngx_eb_genesys_region_name(ngx_str_t *name);
static ngx_eb_genesys_region_t *ngx_eb_genesys_region_domain(
    ngx_str_t *domain);
static ngx_uint_t ngx_eb_genesys_region_strip(ngx_str_t *value,
    ngx_str_t *prefix);
static ngx_int_t ngx_eb_genesys_region_url(ngx_pool_t *pool, char *host,
    ngx_str_t *domain, ngx_str_t *url);


static ngx_eb_genesys_region_t  ngx_eb_genesys_regions[] = {
    { ngx_string("us-east-1"), ngx_string("mypurecloud.com") },
    { ngx_string("us-east-2"), ngx_string("use2.us-gov-pure.cloud") },
    { ngx_string("us-west-2"), ngx_string("usw2.pure.cloud") },
    { ngx_string("ca-central-1"), ngx_string("cac1.pure.cloud") },
    { ngx_string("mx-central-1"), ngx_string("mxc1.pure.cloud") },
    { ngx_string("sa-east-1"), ngx_string("sae1.pure.cloud") },
    { ngx_string("eu-west-1"), ngx_string("mypurecloud.ie") },
    { ngx_string("eu-west-2"), ngx_string("euw2.pure.cloud") },
    { ngx_string("eu-central-1"), ngx_string("mypurecloud.de") },
    { ngx_string("eu-central-2"), ngx_string("euc2.pure.cloud") },
    { ngx_string("eusc-de-east-1"), ngx_string("edee1.eusc-pure.cloud") },
    { ngx_string("me-central-1"), ngx_string("mec1.pure.cloud") },
    { ngx_string("ap-south-1"), ngx_string("aps1.pure.cloud") },
    { ngx_string("ap-northeast-1"), ngx_string("mypurecloud.jp") },
    { ngx_string("ap-northeast-2"), ngx_string("apne2.pure.cloud") },
    { ngx_string("ap-northeast-3"), ngx_string("apne3.pure.cloud") },
    { ngx_string("ap-southeast-1"), ngx_string("apse1.pure.cloud") },
    { ngx_string("ap-southeast-2"), ngx_string("mypurecloud.com.au") },
    { ngx_null_string, ngx_null_string }
};


static ngx_str_t  ngx_eb_genesys_region_api = ngx_string("api.");

static ngx_str_t  ngx_eb_genesys_region_prefixes[] = {
    ngx_string("api."),
    ngx_string("login."),
    ngx_string("apps."),
    ngx_null_string
};


ngx_int_t
ngx_eb_genesys_region(ngx_pool_t *pool, ngx_str_t *value, ngx_str_t *api_url,
    ngx_str_t *login_url)
{
    ngx_eb_genesys_region_t  *region;

    region = ngx_eb_genesys_region_find(value);

    if (region == NULL) {
        return NGX_DECLINED;
    }

    if (ngx_eb_genesys_region_url(pool, "api.", &region->domain, api_url)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_eb_genesys_region_url(pool, "login.", &region->domain,
                                     login_url);
}


static ngx_eb_genesys_region_t *
ngx_eb_genesys_region_find(ngx_str_t *value)
{
    size_t                    i;
    ngx_str_t                 host, rest;
    ngx_eb_genesys_region_t  *region;

    static ngx_str_t  scheme = ngx_string(NGX_EB_GENESYS_SCHEME);
    static ngx_str_t  label = ngx_string("mypurecloud");

    /* not in the path either: it is thrown away, but was meant as a URL */

    for (i = 0; i < value->len; i++) {
        if (value->data[i] <= ' ' || value->data[i] >= 0x7f) {
            return NULL;
        }
    }

    region = ngx_eb_genesys_region_name(value);

    if (region) {
        return region;
    }

    if (value->len == label.len
        && ngx_strncasecmp(value->data, label.data, label.len) == 0)
    {
        return ngx_eb_genesys_regions;
    }

    rest = *value;
    (void) ngx_eb_genesys_region_strip(&rest, &scheme);

    host.data = rest.data;

    for (host.len = 0; host.len < rest.len; host.len++) {
        if (rest.data[host.len] == '/') {
            break;
        }
    }

    return ngx_eb_genesys_region_host(&host);
}


static ngx_eb_genesys_region_t *
ngx_eb_genesys_region_host(ngx_str_t *host)
{
    ngx_str_t                 name, *prefix;
    ngx_eb_genesys_region_t  *region;

    static ngx_str_t  eu = ngx_string("eu");
    static ngx_str_t  ireland = ngx_string("eu-west-1");
    static ngx_str_t  suffix = ngx_string(".mypurecloud.com");

    name = *host;

    for (prefix = ngx_eb_genesys_region_prefixes; prefix->len; prefix++) {
        if (ngx_eb_genesys_region_strip(&name, prefix)) {
            break;
        }
    }

    region = ngx_eb_genesys_region_domain(&name);

    if (region) {
        return region;
    }

    name = *host;

    if (!ngx_eb_genesys_region_strip(&name, &ngx_eb_genesys_region_api)
        || name.len <= suffix.len
        || ngx_strncasecmp(name.data + name.len - suffix.len, suffix.data,
                           suffix.len)
           != 0)
    {
        return NULL;
    }

    name.len -= suffix.len;

    if (name.len == eu.len
        && ngx_strncasecmp(name.data, eu.data, eu.len) == 0)
    {
        name = ireland;
    }

    return ngx_eb_genesys_region_name(&name);
}


static ngx_eb_genesys_region_t *
ngx_eb_genesys_region_name(ngx_str_t *name)
{
    ngx_eb_genesys_region_t  *region;

    for (region = ngx_eb_genesys_regions; region->name.len; region++) {
        if (region->name.len == name->len
            && ngx_strncasecmp(region->name.data, name->data, name->len) == 0)
        {
            return region;
        }
    }

    return NULL;
}


static ngx_eb_genesys_region_t *
ngx_eb_genesys_region_domain(ngx_str_t *domain)
{
    ngx_eb_genesys_region_t  *region;

    for (region = ngx_eb_genesys_regions; region->name.len; region++) {
        if (region->domain.len == domain->len
            && ngx_strncasecmp(region->domain.data, domain->data, domain->len)
               == 0)
        {
            return region;
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_eb_genesys_region_strip(ngx_str_t *value, ngx_str_t *prefix)
{
    if (value->len < prefix->len
        || ngx_strncasecmp(value->data, prefix->data, prefix->len) != 0)
    {
        return 0;
    }

    value->data += prefix->len;
    value->len -= prefix->len;

    return 1;
}


static ngx_int_t
ngx_eb_genesys_region_url(ngx_pool_t *pool, char *host, ngx_str_t *domain,
    ngx_str_t *url)
{
    size_t  len;

    len = sizeof(NGX_EB_GENESYS_SCHEME) - 1 + ngx_strlen(host) + domain->len;

    url->data = ngx_pnalloc(pool, len);
    if (url->data == NULL) {
        return NGX_ERROR;
    }

    url->len = ngx_sprintf(url->data, NGX_EB_GENESYS_SCHEME "%s%V", host,
                           domain)
               - url->data;

    return NGX_OK;
}
