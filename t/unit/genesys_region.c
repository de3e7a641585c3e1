
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Regions: every way to write one, and what is none.
 */

/* sources: src/genesys/ngx_eb_genesys_region.c */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_genesys_region.h"


typedef struct {
    const char               *name;
    const char               *domain;
} region_t;


static ngx_int_t normalize(const char *value, size_t len);
static ngx_uint_t differs(region_t *region, const char *before,
    const char *value, const char *after);
static void is_none(const char *value, size_t len);
static void forms(void);
static void legacy(void);
static void refused(void);
static void mutated(void);
static void no_memory(void);


static region_t  regions[] = {
    { "us-east-1", "mypurecloud.com" },
    { "us-east-2", "use2.us-gov-pure.cloud" },
    { "us-west-2", "usw2.pure.cloud" },
    { "ca-central-1", "cac1.pure.cloud" },
    { "sa-east-1", "sae1.pure.cloud" },
    { "mx-central-1", "mxc1.pure.cloud" },
    { "eu-west-1", "mypurecloud.ie" },
    { "eu-west-2", "euw2.pure.cloud" },
    { "eu-central-1", "mypurecloud.de" },
    { "ap-northeast-1", "mypurecloud.jp" },
    { "ap-northeast-2", "apne2.pure.cloud" },
    { "ap-northeast-3", "apne3.pure.cloud" },
    { "ap-southeast-1", "apse1.pure.cloud" },
    { "ap-southeast-2", "mypurecloud.com.au" },
    { "ap-south-1", "aps1.pure.cloud" },
    { "me-central-1", "mec1.pure.cloud" },
    { "eusc-de-east-1", "edee1.eusc-pure.cloud" },
    { "eu-central-2", "euc2.pure.cloud" }
};

#define REGIONS  (sizeof(regions) / sizeof(regions[0]))


#define NONE(s)  { s, sizeof(s) - 1 }

static struct {
    const char               *value;
    size_t                    len;
} none[] = {
    NONE(""),
    NONE("."),
    NONE("/"),
    NONE("https://"),
    NONE("https:///"),
    NONE("https:///api.mypurecloud.com"),
    NONE("com"),
    NONE("cloud"),
    NONE("pure.cloud"),
    NONE("us-gov-pure.cloud"),
    NONE("eusc-pure.cloud"),
    NONE("mypurecloud."),
    NONE("mypurecloud.net"),
    NONE("mypurecloud.co"),
    NONE("mypurecloud.comm"),
    NONE("mypurecloud.com.evil.org"),
    NONE("api.mypurecloud.com.evil.org"),
    NONE("https://api.mypurecloud.com.evil.org/api.mypurecloud.com"),
    NONE("evilmypurecloud.com"),
    NONE("evil-mypurecloud.com"),
    NONE("evil.mypurecloud.com"),
    NONE("evil.org"),
    NONE("evil.org/mypurecloud.com"),
    NONE("https://evil.org/https://api.mypurecloud.com"),
    NONE("https://evil.org#mypurecloud.com"),
    NONE("https://evil.org?mypurecloud.com"),
    NONE("https://mypurecloud.com#evil.org"),
    NONE("https://mypurecloud.com?evil.org"),
    NONE("https://mypurecloud.com\\evil.org"),
    NONE("https://mypurecloud.com\\@evil.org/"),
    NONE("https://mypurecloud.com@evil.org/"),
    NONE("https://api.mypurecloud.com:x@evil.org/"),
    NONE("https://user@api.mypurecloud.com/"),
    NONE("https://user:secret@api.mypurecloud.com/"),
    NONE("https://@api.mypurecloud.com/"),
    NONE("user@mypurecloud.com"),
    NONE("mypurecloud.com."),
    NONE("api.mypurecloud.com."),
    NONE("https://api.mypurecloud.com./"),
    NONE("usw2.pure.cloud."),
    NONE("us-east-1."),
    NONE(".mypurecloud.com"),
    NONE("api..mypurecloud.com"),
    NONE("mypurecloud..com"),
    NONE("mypurecloud.com:443"),
    NONE("api.mypurecloud.com:443"),
    NONE("https://api.mypurecloud.com:443/"),
    NONE("https://api.mypurecloud.com:/"),
    NONE("http://api.mypurecloud.com"),
    NONE("ftp://api.mypurecloud.com"),
    NONE("//api.mypurecloud.com"),
    NONE("https:/api.mypurecloud.com"),
    NONE("https:api.mypurecloud.com"),
    NONE("https://https://api.mypurecloud.com"),
    NONE("api.api.mypurecloud.com"),
    NONE("api.login.mypurecloud.com"),
    NONE("login.api.mypurecloud.com"),
    NONE("www.mypurecloud.com"),
    NONE("api.mypurecloud"),
    NONE("login.mypurecloud"),
    NONE("https://mypurecloud"),
    NONE("mypurecloud/"),
    NONE("https://us-east-1"),
    NONE("us-east-1/"),
    NONE("api.us-east-1"),
    NONE("api.us-east-1.com"),
    NONE("us-east-1.com"),
    NONE("us-east-1.mypurecloud.com"),
    NONE("login.us-east-1.mypurecloud.com"),
    NONE("apps.us-east-1.mypurecloud.com"),
    NONE("api.us-east-1.mypurecloud.ie"),
    NONE("api.us-east-1.pure.cloud"),
    NONE("api.us-east-1.mypurecloud.com.evil.org"),
    NONE("api.us-east-1.mypurecloud.com:443"),
    NONE("api.us-east-1..mypurecloud.com"),
    NONE("api..us-east-1.mypurecloud.com"),
    NONE("api.us-east-9.mypurecloud.com"),
    NONE("api.evil.mypurecloud.com"),
    NONE("api.usw2.mypurecloud.com"),
    NONE("eu"),
    NONE("eu.mypurecloud.com"),
    NONE("login.eu.mypurecloud.com"),
    NONE("api.us.mypurecloud.com"),
    NONE("us-east-9"),
    NONE("us-east"),
    NONE("us-east-11"),
    NONE("us-gov-west-1"),
    NONE("use1"),
    NONE("usw2"),
    NONE("use2.pure.cloud"),
    NONE("usw2.us-gov-pure.cloud"),
    NONE("usw1.pure.cloud"),
    NONE("mypurecloud.au"),
    NONE("mypurecloud.com.au.evil.org"),
    NONE("mypurecloud.com.evil"),
    NONE("inindca.com"),
    NONE("inintca.com"),
    NONE("dca"),
    NONE("localhost"),
    NONE("127.0.0.1"),
    NONE("https://[::1]/"),
    NONE("%6dypurecloud.com"),
    NONE("mypurecloud%2ecom"),
    NONE("mypurecloud.com%2f.evil.org"),
    NONE(" us-east-1"),
    NONE("us-east-1 "),
    NONE("us-east-1\n"),
    NONE("us-east-1\0"),
    NONE("us-east-1\0.evil.org"),
    NONE("mypurecloud.com\0.evil.org"),
    NONE("mypurecloud.com\t"),
    NONE("mypurecloud.com\r\nHost: evil.org"),
    NONE("https://api.mypurecloud.com/a b"),
    NONE("https://api.mypurecloud.com/\n"),
    NONE("https://api.mypurecloud.com/\xc3\xa9"),
    NONE("https://api.mypurecloud.com/\x7f"),
    NONE("mypureclo\xc3\xbc" "d.com"),
    NONE("myp\xd1\x83recloud.com"),
    NONE("mypurecloud\xe3\x80\x82" "com"),
    NONE("mypurecloud.com\xef\xbc\x8f.evil.org"),
    NONE("us\xe2\x80\x91" "east\xe2\x80\x91" "1"),
    NONE("\xff"),
    NONE("xn--mypurecloud-com")
};


static ngx_str_t  api_url, login_url;


static ngx_int_t
normalize(const char *value, size_t len)
{
    static ngx_pool_t  *pool;

    u_char     *copy;
    ngx_int_t   rc;
    ngx_str_t   s;

    if (pool) {
        ngx_destroy_pool(pool);
    }

    pool = ngx_create_pool(1024, &shim_log);

    /* exactly as long, and no zero behind it: reading on would be seen */

    copy = malloc(len ? len : 1);
    ngx_memcpy(copy, value, len);

    s.data = copy;
    s.len = len;

    ngx_str_null(&api_url);
    ngx_str_null(&login_url);

    rc = ngx_eb_genesys_region(pool, &s, &api_url, &login_url);

    /* what came out does not depend on what came in */

    free(copy);

    return rc;
}


/* as it is, and in capitals: how often it is not what it should be */

static ngx_uint_t
differs(region_t *region, const char *before, const char *value,
    const char *after)
{
    char        in[256], api[256], login[256];
    size_t      i;
    ngx_uint_t  upper, bad;

    bad = 0;

    snprintf(api, sizeof(api), "https://api.%s", region->domain);
    snprintf(login, sizeof(login), "https://login.%s", region->domain);

    for (upper = 0; upper < 2; upper++) {
        snprintf(in, sizeof(in), "%s%s%s", before, value, after);

        for (i = 0; upper && in[i]; i++) {
            in[i] = (char) ngx_toupper(in[i]);
        }

        if (normalize(in, strlen(in)) != NGX_OK
            || api_url.len != strlen(api)
            || memcmp(api_url.data, api, api_url.len) != 0
            || login_url.len != strlen(login)
            || memcmp(login_url.data, login, login_url.len) != 0)
        {
            diag("%s: \"%.*s\" and \"%.*s\"", in, (int) api_url.len,
                 api_url.data, (int) login_url.len, login_url.data);
            bad++;
        }
    }

    return bad;
}


static void
is_none(const char *value, size_t len)
{
    size_t  i;
    char    name[128];

    /* a name of a test is one line */

    for (i = 0; i < len && i < sizeof(name) - 1; i++) {
        name[i] = (value[i] > ' ' && value[i] < 0x7f && value[i] != '#')
                  ? value[i] : '_';
    }

    name[i] = '\0';

    ok(normalize(value, len) == NGX_DECLINED
       && api_url.len == 0 && login_url.len == 0, "none: \"%s\"", name);
}


static void
forms(void)
{
    static const char  *prefixes[] = { "", "api.", "login.", "apps." };
    static const char  *paths[] = { "", "/", "/api/v2", "/a//b/?c=d#e",
                                    "/@evil.org", "/:443" };

    char        before[32];
    ngx_uint_t  i, j, k, bad;

    for (i = 0; i < REGIONS; i++) {
        is_int(differs(&regions[i], "", regions[i].name, ""), 0,
               "row 0.1: %s", regions[i].name);

        bad = 0;

        for (j = 0; j < sizeof(prefixes) / sizeof(prefixes[0]); j++) {
            for (k = 0; k < sizeof(paths) / sizeof(paths[0]); k++) {
                bad += differs(&regions[i], prefixes[j], regions[i].domain,
                               paths[k]);

                snprintf(before, sizeof(before), "https://%s", prefixes[j]);
                bad += differs(&regions[i], before, regions[i].domain,
                               paths[k]);
            }
        }

        is_int(bad, 0, "row 0.1: %s, hosts and URLs", regions[i].domain);
    }

    is_int(differs(&regions[0], "", "mypurecloud", ""), 0,
           "row 0.1: mypurecloud");
}


/* the references' hosts */

static void
legacy(void)
{
    ngx_uint_t  i;

    for (i = 0; i < REGIONS; i++) {
        is_int(differs(&regions[i], "api.", regions[i].name,
                       ".mypurecloud.com"), 0,
               "legacy: api.%s.mypurecloud.com", regions[i].name);
        is_int(differs(&regions[i], "https://api.", regions[i].name,
                       ".mypurecloud.com/api/v2"), 0,
               "legacy: https://api.%s.mypurecloud.com", regions[i].name);
    }

    is_int(differs(&regions[6], "", "api.eu.mypurecloud.com", ""), 0,
           "legacy: api.eu.mypurecloud.com");
    is_int(differs(&regions[6], "https://", "api.eu.mypurecloud.com", "/"), 0,
           "legacy: https://api.eu.mypurecloud.com");
}


/* row 0.1: no host is ever made of what is not in the table */

static void
refused(void)
{
    ngx_uint_t  i;

    for (i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        is_none(none[i].value, none[i].len);
    }
}


/* one byte more, less or other makes another name, or none */

static void
mutated(void)
{
    char        text[64], good[64];
    size_t      len, at;
    ngx_str_t   s, api, login;
    ngx_int_t   rc;
    ngx_uint_t  i, j, ch, bad, known;
    ngx_pool_t *pool;

    bad = 0;

    for (i = 0; i < REGIONS; i++) {
        len = strlen(regions[i].domain);

        for (at = 0; at < len; at++) {
            for (ch = 0; ch < 256; ch++) {
                memcpy(text, regions[i].domain, len + 1);
                text[at] = (char) ch;

                s.data = (u_char *) text;
                s.len = len;

                pool = ngx_create_pool(1024, &shim_log);
                rc = ngx_eb_genesys_region(pool, &s, &api, &login);

                known = 0;

                for (j = 0; j < REGIONS && ch; j++) {
                    known |= strcasecmp(text, regions[j].domain) == 0
                             || strcasecmp(text, regions[j].name) == 0;
                }

                /* a path begins in the middle of mypurecloud.com.au */

                if (ch == '/') {
                    snprintf(good, sizeof(good), "%.*s", (int) at, text);

                    for (j = 0; j < REGIONS; j++) {
                        known |= strcasecmp(good, regions[j].domain) == 0;
                    }
                }

                if ((rc == NGX_OK) != known) {
                    diag("%s: %d", text, (int) rc);
                    bad++;
                }

                ngx_destroy_pool(pool);
            }
        }
    }

    is_int(bad, 0, "every domain with every other byte");
}


static void
no_memory(void)
{
    ngx_str_t    value, api, login;
    ngx_pool_t  *pool;

    ngx_str_set(&value, "us-east-1");
    pool = ngx_create_pool(1024, &shim_log);

    shim_allocs = 0;
    is_int(ngx_eb_genesys_region(pool, &value, &api, &login), NGX_ERROR,
           "no memory at all");

    shim_allocs = 1;
    is_int(ngx_eb_genesys_region(pool, &value, &api, &login), NGX_ERROR,
           "no memory for the second");

    shim_allocs = -1;
    is_int(ngx_eb_genesys_region(pool, &value, &api, &login), NGX_OK,
           "enough memory");

    ngx_destroy_pool(pool);
}


int
main(void)
{
    is_int(REGIONS, 18, "regions");

    forms();
    legacy();
    refused();
    mutated();
    no_memory();

    return done_testing();
}
