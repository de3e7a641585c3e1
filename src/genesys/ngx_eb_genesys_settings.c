
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_genesys_patch.h"
#include "ngx_eb_genesys_body.h"
#include "ngx_eb_genesys_settings.h"


static void ngx_eb_genesys_settings_reference(
    ngx_eb_genesys_settings_t *settings, ngx_eb_genesys_body_t *body);
static void ngx_eb_genesys_settings_integration(
    ngx_eb_genesys_settings_t *settings, ngx_eb_genesys_body_t *body);
static void ngx_eb_genesys_settings_strings(ngx_eb_genesys_body_t *body,
    const char *field, ngx_array_t *values);
static const char *ngx_eb_genesys_bad_account(ngx_str_t *account);
static const char *ngx_eb_genesys_bad_region(ngx_str_t *region);
static const char *ngx_eb_genesys_bad_suffix(ngx_str_t *suffix);


/* the read-only members at the end are for replacements */

static const ngx_eb_genesys_field_t  ngx_eb_genesys_reference_fields[] = {
    { "name", 1 },
    { "destination", 1 },
    { "filter", 1 },
    { "retentionPeriodDays", 1 },
    { "id", 0 },
    { "version", 0 },
    { "status", 0 },
    { "createdDate", 0 },
    { "modifiedDate", 0 },
    { "selfUri", 0 }
};

static const ngx_eb_genesys_field_t  ngx_eb_genesys_destination_fields[] = {
    { "type", 1 },
    { "endpoint", 1 },
    { "maxEventsPerSecond", 0 }
};

static const ngx_eb_genesys_field_t  ngx_eb_genesys_filter_fields[] = {
    { "eventSources", 1 }
};

static const ngx_eb_genesys_field_t  ngx_eb_genesys_integration_fields[] = {
    { "name", 1 },
    { "properties", 1 },
    { "id", 0 },
    { "version", 0 }
};

static const ngx_eb_genesys_field_t  ngx_eb_genesys_property_fields[] = {
    { "awsAccountId", 1 },
    { "awsAccountRegion", 1 },
    { "eventSourceSuffix", 1 },
    { "eventFilter", 1 }
};

/* of the tables above, what a new thing may have */
#define NGX_EB_GENESYS_REFERENCE_NEW    4
#define NGX_EB_GENESYS_INTEGRATION_NEW  2


void
ngx_eb_genesys_settings_check(ngx_eb_genesys_settings_t *settings,
    ngx_eb_genesys_body_t *body)
{
    const char  *bad;

    bad = ngx_eb_genesys_bad_string(&settings->name, 1,
                                    NGX_EB_GENESYS_MAX_NAME);
    if (bad) {
        ngx_eb_genesys_body_bad(body, "name", "value", bad);
    }

    if (settings->integration) {
        bad = ngx_eb_genesys_bad_account(&settings->account);
        if (bad) {
            ngx_eb_genesys_body_bad(body, "properties.awsAccountId", "value",
                                    bad);
        }

        bad = ngx_eb_genesys_bad_region(&settings->region);
        if (bad) {
            ngx_eb_genesys_body_bad(body, "properties.awsAccountRegion",
                                    "value", bad);
        }

        bad = ngx_eb_genesys_bad_suffix(&settings->suffix);
        if (bad) {
            ngx_eb_genesys_body_bad(body, "properties.eventSourceSuffix",
                                    "value", bad);
        }

        ngx_eb_genesys_settings_strings(body, "properties.eventFilter",
                                        &settings->topics);
        return;
    }

    bad = ngx_eb_genesys_bad_endpoint(&settings->endpoint);
    if (bad) {
        ngx_eb_genesys_body_bad(body, "destination.endpoint", "https", bad);
    }

    if (settings->retention < 1
        || settings->retention > NGX_EB_GENESYS_MAX_RETENTION)
    {
        ngx_eb_genesys_body_bad(body, "retentionPeriodDays", "range",
                                "a whole number from 1 to 365 is expected");
    }

    /* 0 is that nothing is said */

    if (settings->rate > NGX_EB_GENESYS_MAX_RATE) {
        ngx_eb_genesys_body_bad(body, "destination.maxEventsPerSecond",
                                "range",
                                "a whole number from 1 to 1000 is expected");
    }

    ngx_eb_genesys_settings_strings(body, "filter.eventSources",
                                    &settings->sources);
}


static void
ngx_eb_genesys_settings_strings(ngx_eb_genesys_body_t *body,
    const char *field, ngx_array_t *values)
{
    ngx_str_t   *value;
    const char  *bad;
    ngx_uint_t   i, n;

    if (values->nelts < 1 || values->nelts > NGX_EB_GENESYS_MAX_SOURCES) {
        ngx_eb_genesys_body_bad(body, field, "length",
                                "1 to 256 elements are allowed");
        return;
    }

    value = values->elts;

    for (i = 0; i < values->nelts; i++) {

        bad = ngx_eb_genesys_bad_string(&value[i], 1,
                                        NGX_EB_GENESYS_MAX_SOURCE);
        if (bad) {
            ngx_eb_genesys_body_bad(body, field, "value", bad);
        }

        for (n = 0; n < i; n++) {

            if (value[n].len == value[i].len
                && ngx_memcmp(value[n].data, value[i].data, value[i].len) == 0)
            {
                ngx_eb_genesys_body_bad(body, field, "unique",
                                        "an element is there twice");
                break;
            }
        }
    }
}


void
ngx_eb_genesys_settings_read(ngx_eb_genesys_settings_t *settings,
    ngx_eb_genesys_body_t *body, ngx_str_t *text, ngx_str_t *id)
{
    ngx_int_t            rc;
    ngx_str_t            raw;
    ngx_uint_t           n;
    ngx_eb_json_t       *json;
    ngx_eb_json_node_t   node;

    static ngx_str_t  version = ngx_string("version");

    settings->version = -1;
    ngx_str_null(&settings->id);

    if (settings->integration) {
        n = sizeof(ngx_eb_genesys_integration_fields)
            / sizeof(ngx_eb_genesys_integration_fields[0]);

        rc = ngx_eb_genesys_body_read(body, text,
                                      ngx_eb_genesys_integration_fields,
                                      id ? n : NGX_EB_GENESYS_INTEGRATION_NEW);
    } else {
        n = sizeof(ngx_eb_genesys_reference_fields)
            / sizeof(ngx_eb_genesys_reference_fields[0]);

        rc = ngx_eb_genesys_body_read(body, text,
                                      ngx_eb_genesys_reference_fields,
                                      id ? n : NGX_EB_GENESYS_REFERENCE_NEW);
    }

    if (rc != NGX_OK) {
        return;
    }

    json = &body->doc->json;

    (void) ngx_eb_genesys_body_string(body, 0, "name", 1,
                                      NGX_EB_GENESYS_MAX_NAME,
                                      &settings->name);

    if (id) {
        rc = ngx_eb_genesys_body_string(body, 0, "id", 0,
                                        NGX_EB_GENESYS_MAX_NAME,
                                        &settings->id);

        if (rc == NGX_OK
            && (settings->id.len != id->len
                || ngx_memcmp(settings->id.data, id->data, id->len) != 0))
        {
            ngx_eb_genesys_body_bad(body, "id", "path",
                                    "the path names another id");
        }

        node = ngx_eb_json_member(json, 0, &version);

        if (node != NGX_EB_JSON_NONE) {
            ngx_eb_json_raw(json, node, &raw);

            if (ngx_eb_json_type(json, node) != '0'
                || ngx_eb_genesys_integer(&raw, &settings->version) != NGX_OK)
            {
                ngx_eb_genesys_body_bad(body, "version", "type",
                                        "a whole number is expected");
            }
        }
    }

    if (settings->integration) {
        ngx_eb_genesys_settings_integration(settings, body);

    } else {
        ngx_eb_genesys_settings_reference(settings, body);
    }
}


static void
ngx_eb_genesys_settings_reference(ngx_eb_genesys_settings_t *settings,
    ngx_eb_genesys_body_t *body)
{
    ngx_str_t            type;
    const char          *bad;
    ngx_eb_json_node_t   node;

    if (ngx_eb_genesys_body_object(body, 0, "destination", "destination.",
            ngx_eb_genesys_fields(ngx_eb_genesys_destination_fields), &node)
        == NGX_OK)
    {
        if (ngx_eb_genesys_body_string(body, node, "destination.type", 0,
                                       NGX_EB_GENESYS_MAX_NAME, &type)
            == NGX_OK
            && (type.len != 4 || ngx_memcmp(type.data, "http", 4) != 0))
        {
            ngx_eb_genesys_body_bad(body, "destination.type", "value",
                                    "\"http\" is expected");
        }

        if (ngx_eb_genesys_body_string(body, node, "destination.endpoint", 0,
                                       8192, &settings->endpoint)
            == NGX_OK)
        {
            bad = ngx_eb_genesys_bad_endpoint(&settings->endpoint);
            if (bad) {
                ngx_eb_genesys_body_bad(body, "destination.endpoint", "https",
                                        bad);
            }
        }

        if (ngx_eb_genesys_body_integer(body, node,
                                        "destination.maxEventsPerSecond", 1,
                                        NGX_EB_GENESYS_MAX_RATE,
                                        &settings->rate)
            == NGX_OK)
        {
            settings->send_rate = 1;
        }
    }

    if (ngx_eb_genesys_body_object(body, 0, "filter", "filter.",
            ngx_eb_genesys_fields(ngx_eb_genesys_filter_fields), &node)
        == NGX_OK)
    {
        (void) ngx_eb_genesys_body_strings(body, node, "filter.eventSources",
                                           1, NGX_EB_GENESYS_MAX_SOURCES,
                                           NGX_EB_GENESYS_MAX_SOURCE,
                                           &settings->sources);
    }

    (void) ngx_eb_genesys_body_integer(body, 0, "retentionPeriodDays", 1,
                                       NGX_EB_GENESYS_MAX_RETENTION,
                                       &settings->retention);
}


static void
ngx_eb_genesys_settings_integration(ngx_eb_genesys_settings_t *settings,
    ngx_eb_genesys_body_t *body)
{
    const char          *bad;
    ngx_eb_json_node_t   node;

    if (ngx_eb_genesys_body_object(body, 0, "properties", "properties.",
            ngx_eb_genesys_fields(ngx_eb_genesys_property_fields), &node)
        != NGX_OK)
    {
        return;
    }

    if (ngx_eb_genesys_body_string(body, node, "properties.awsAccountId", 0,
                                   NGX_EB_GENESYS_MAX_NAME,
                                   &settings->account)
        == NGX_OK)
    {
        bad = ngx_eb_genesys_bad_account(&settings->account);
        if (bad) {
            ngx_eb_genesys_body_bad(body, "properties.awsAccountId", "value",
                                    bad);
        }
    }

    if (ngx_eb_genesys_body_string(body, node, "properties.awsAccountRegion",
                                   0, NGX_EB_GENESYS_MAX_NAME,
                                   &settings->region)
        == NGX_OK)
    {
        bad = ngx_eb_genesys_bad_region(&settings->region);
        if (bad) {
            ngx_eb_genesys_body_bad(body, "properties.awsAccountRegion",
                                    "value", bad);
        }
    }

    if (ngx_eb_genesys_body_string(body, node, "properties.eventSourceSuffix",
                                   0, NGX_EB_GENESYS_MAX_NAME,
                                   &settings->suffix)
        == NGX_OK)
    {
        bad = ngx_eb_genesys_bad_suffix(&settings->suffix);
        if (bad) {
            ngx_eb_genesys_body_bad(body, "properties.eventSourceSuffix",
                                    "value", bad);
        }
    }

    (void) ngx_eb_genesys_body_strings(body, node, "properties.eventFilter",
                                       1, NGX_EB_GENESYS_MAX_SOURCES,
                                       NGX_EB_GENESYS_MAX_SOURCE,
                                       &settings->topics);
}


ngx_eb_genesys_member_t *
ngx_eb_genesys_settings_members(ngx_pool_t *pool,
    ngx_eb_genesys_settings_t *settings)
{
    ngx_eb_genesys_member_t  *first, *m, **child;

    static ngx_str_t  http = ngx_string("http");
    static ngx_str_t  one = ngx_string("1");

    first = NULL;

    if (ngx_eb_genesys_member_string(pool, &first, "name", &settings->name)
        == NULL)
    {
        return NULL;
    }

    if (settings->integration) {

        /* what has no version yet is version 1, and it must be sent */

        m = ngx_eb_genesys_member(pool, &first, "version", &one);
        if (m == NULL) {
            return NULL;
        }

        m->missing = 1;

        m = ngx_eb_genesys_member(pool, &first, "properties", NULL);
        if (m == NULL) {
            return NULL;
        }

        child = &m->child;

        if (ngx_eb_genesys_member_string(pool, child, "awsAccountId",
                                         &settings->account)
            == NULL
            || ngx_eb_genesys_member_string(pool, child, "awsAccountRegion",
                                            &settings->region)
               == NULL
            || ngx_eb_genesys_member_string(pool, child, "eventSourceSuffix",
                                            &settings->suffix)
               == NULL)
        {
            return NULL;
        }

        m = ngx_eb_genesys_member_strings(pool, child, "eventFilter",
                                          &settings->topics);
        if (m == NULL) {
            return NULL;
        }

        m->set = 1;

        return first;
    }

    m = ngx_eb_genesys_member(pool, &first, "destination", NULL);
    if (m == NULL) {
        return NULL;
    }

    child = &m->child;

    if (ngx_eb_genesys_member_string(pool, child, "type", &http) == NULL
        || ngx_eb_genesys_member_string(pool, child, "endpoint",
                                        &settings->endpoint)
           == NULL)
    {
        return NULL;
    }

    if (settings->send_rate
        && ngx_eb_genesys_member_number(pool, child, "maxEventsPerSecond",
                                        settings->rate)
           == NULL)
    {
        return NULL;
    }

    m = ngx_eb_genesys_member(pool, &first, "filter", NULL);
    if (m == NULL) {
        return NULL;
    }

    m = ngx_eb_genesys_member_strings(pool, &m->child, "eventSources",
                                      &settings->sources);
    if (m == NULL) {
        return NULL;
    }

    m->set = 1;

    if (ngx_eb_genesys_member_number(pool, &first, "retentionPeriodDays",
                                     settings->retention)
        == NULL)
    {
        return NULL;
    }

    return first;
}


static const char *
ngx_eb_genesys_bad_account(ngx_str_t *account)
{
    size_t  i;

    for (i = 0; i < account->len; i++) {

        if (account->data[i] < '0' || account->data[i] > '9') {
            break;
        }
    }

    return (i == 12 && account->len == 12) ? NULL : "12 digits are expected";
}


/* as us-east-1 or eusc-de-east-1: AWS has new ones every year */

static const char *
ngx_eb_genesys_bad_region(ngx_str_t *region)
{
    u_char      *p, ch;
    size_t       i;
    ngx_uint_t   hyphens;

    p = region->data;
    hyphens = 0;

    for (i = 0; i < region->len; i++) {
        ch = p[i];

        if (ch == '-' && i > 0 && p[i - 1] != '-') {
            hyphens++;
            continue;
        }

        if (!(ch >= 'a' && ch <= 'z') && !(ch >= '0' && ch <= '9')) {
            break;
        }
    }

    if (i < region->len || i > 32 || hyphens < 2 || p[i - 1] == '-') {
        return "a region of AWS is expected, as us-east-1";
    }

    return NULL;
}


static const char *
ngx_eb_genesys_bad_suffix(ngx_str_t *suffix)
{
    u_char  ch;
    size_t  i;

    for (i = 0; i < suffix->len; i++) {
        ch = suffix->data[i];

        if (!(ch >= 'a' && ch <= 'z') && !(ch >= 'A' && ch <= 'Z')
            && !(ch >= '0' && ch <= '9')
            && ch != '.' && ch != '_' && ch != '-')
        {
            break;
        }
    }

    if (i < suffix->len || i == 0 || i > NGX_EB_GENESYS_MAX_SUFFIX) {
        return "1 to 64 letters, digits, points, hyphens and underscores are "
               "expected";
    }

    return NULL;
}
