
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_genesys_body.h"
#include "ngx_eb_genesys_duration.h"
#include "ngx_eb_genesys_list.h"
#include "ngx_eb_genesys_patch.h"
#include "ngx_eb_genesys_policy.h"


/* room for "P365D" */
#define NGX_EB_GENESYS_PERIOD_LEN  (NGX_INT_T_LEN + 2)


static void ngx_eb_genesys_policy_id(ngx_eb_genesys_policy_t *policy,
    ngx_eb_genesys_body_t *body, ngx_str_t *id);
static void ngx_eb_genesys_policy_version(ngx_eb_genesys_policy_t *policy,
    ngx_eb_genesys_body_t *body);
static void ngx_eb_genesys_policy_period(ngx_eb_genesys_policy_t *policy,
    ngx_eb_genesys_body_t *body);
static void ngx_eb_genesys_policy_tiering(ngx_eb_genesys_policy_t *policy,
    ngx_eb_genesys_body_t *body);


/* the last ones are the API's: what was read may be sent back with them */

static const ngx_eb_genesys_field_t  ngx_eb_genesys_policy_fields[] = {
    { "id", 0 },
    { "name", 0 },
    { "description", 0 },
    { "eventTypes", 0 },
    { "retentionPeriod", 1 },
    { "tiering", 1 },
    { "complianceTags", 0 },
    { "version", 0 },
    { "status", 0 },
    { "createdDate", 0 },
    { "modifiedDate", 0 },
    { "selfUri", 0 }
};

static const ngx_eb_genesys_field_t  ngx_eb_genesys_tiering_fields[] = {
    { "hotDays", 1 },
    { "warmDays", 1 },
    { "coldDays", 1 }
};


void
ngx_eb_genesys_policy_read(ngx_eb_genesys_policy_t *policy,
    ngx_eb_genesys_body_t *body, ngx_str_t *text, ngx_str_t *id)
{
    ngx_memzero(policy, sizeof(ngx_eb_genesys_policy_t));
    policy->version = -1;

    if (ngx_eb_genesys_body_read(body, text,
            ngx_eb_genesys_fields(ngx_eb_genesys_policy_fields))
        != NGX_OK)
    {
        return;
    }

    ngx_eb_genesys_policy_id(policy, body, id);

    if (ngx_eb_genesys_body_string(body, 0, "name", 1, 256, &policy->name)
        == NGX_OK)
    {
        policy->has_name = 1;
    }

    if (ngx_eb_genesys_body_string(body, 0, "description", 0,
                                   NGX_EB_GENESYS_MAX_DESCRIPTION,
                                   &policy->description)
        == NGX_OK)
    {
        policy->has_description = 1;
    }

    if (ngx_eb_genesys_body_strings(body, 0, "eventTypes", 1,
                                    NGX_EB_GENESYS_MAX_TYPES,
                                    NGX_EB_GENESYS_MAX_TYPE, &policy->types)
        == NGX_OK)
    {
        policy->has_types = 1;
    }

    if (ngx_eb_genesys_body_strings(body, 0, "complianceTags", 0,
                                    NGX_EB_GENESYS_MAX_TAGS,
                                    NGX_EB_GENESYS_MAX_TAG, &policy->tags)
        == NGX_OK)
    {
        policy->has_tags = 1;
    }

    ngx_eb_genesys_policy_version(policy, body);
    ngx_eb_genesys_policy_period(policy, body);
    ngx_eb_genesys_policy_tiering(policy, body);
}


static void
ngx_eb_genesys_policy_id(ngx_eb_genesys_policy_t *policy,
    ngx_eb_genesys_body_t *body, ngx_str_t *id)
{
    ngx_str_t  value;

    ngx_str_null(&policy->id);

    if (id) {
        policy->id = *id;
    }

    if (ngx_eb_genesys_body_string(body, 0, "id", 0, 8192, &value) != NGX_OK) {
        return;
    }

    if (id == NULL) {

        if (!ngx_eb_genesys_is_id(&value)) {
            ngx_eb_genesys_body_bad(body, "id", "value", "1 to 128 letters, "
                                    "digits, hyphens, points, underscores "
                                    "and tildes are expected");
            return;
        }

        policy->id = value;

        return;
    }

    if (value.len != id->len
        || ngx_memcmp(value.data, id->data, id->len) != 0)
    {
        ngx_eb_genesys_body_bad(body, "id", "path", "the path names another "
                                "id");
    }
}


static void
ngx_eb_genesys_policy_version(ngx_eb_genesys_policy_t *policy,
    ngx_eb_genesys_body_t *body)
{
    ngx_str_t            raw;
    ngx_eb_json_t       *json;
    ngx_eb_json_node_t   node;

    static ngx_str_t  version = ngx_string("version");

    json = &body->doc->json;
    node = ngx_eb_json_member(json, 0, &version);

    if (node == NGX_EB_JSON_NONE) {
        return;
    }

    ngx_eb_json_raw(json, node, &raw);

    if (ngx_eb_json_type(json, node) != '0'
        || ngx_eb_genesys_integer(&raw, &policy->version) != NGX_OK)
    {
        ngx_eb_genesys_body_bad(body, "version", "type",
                                "a whole number is expected");
    }
}


static void
ngx_eb_genesys_policy_period(ngx_eb_genesys_policy_t *policy,
    ngx_eb_genesys_body_t *body)
{
    ngx_str_t    value;
    const char  *why;
    ngx_uint_t   days;

    if (ngx_eb_genesys_body_string(body, 0, "retentionPeriod", 0, 8192, &value)
        != NGX_OK)
    {
        return;
    }

    if (ngx_eb_genesys_duration(&value, &days, &why) != NGX_OK) {
        ngx_eb_genesys_body_bad(body, "retentionPeriod", "iso8601", why);
        return;
    }

    if (days < 1 || days > NGX_EB_GENESYS_MAX_DAYS) {
        ngx_eb_genesys_body_bad(body, "retentionPeriod", "range",
                                "1 to 365 days are allowed");
        return;
    }

    policy->days = days;
}


/* each rule is asked of what is known, so that one error hides no other */

static void
ngx_eb_genesys_policy_tiering(ngx_eb_genesys_policy_t *policy,
    ngx_eb_genesys_body_t *body)
{
    ngx_uint_t           hot, warm, cold;
    ngx_eb_json_node_t   node;

    if (ngx_eb_genesys_body_object(body, 0, "tiering", "tiering.",
            ngx_eb_genesys_fields(ngx_eb_genesys_tiering_fields), &node)
        != NGX_OK)
    {
        return;
    }

    hot = (ngx_eb_genesys_body_integer(body, node, "tiering.hotDays", 0,
                                       NGX_EB_GENESYS_MAX_DAYS, &policy->hot)
           == NGX_OK);
    warm = (ngx_eb_genesys_body_integer(body, node, "tiering.warmDays", 0,
                                        NGX_EB_GENESYS_MAX_DAYS,
                                        &policy->warm)
            == NGX_OK);
    cold = (ngx_eb_genesys_body_integer(body, node, "tiering.coldDays", 0,
                                        NGX_EB_GENESYS_MAX_DAYS,
                                        &policy->cold)
            == NGX_OK);

    if (hot && warm && policy->hot >= policy->warm) {
        ngx_eb_genesys_body_bad(body, "tiering.warmDays", "ascending",
                                "it is not more than hotDays");
    }

    if (warm && cold && policy->warm >= policy->cold) {
        ngx_eb_genesys_body_bad(body, "tiering.coldDays", "ascending",
                                "it is not more than warmDays");
    }

    if (hot && cold && !warm && policy->hot >= policy->cold) {
        ngx_eb_genesys_body_bad(body, "tiering.coldDays", "ascending",
                                "it is not more than hotDays");
    }

    if (cold && policy->days && policy->cold > policy->days) {
        ngx_eb_genesys_body_bad(body, "tiering.coldDays", "retention",
                                "it is more than the retention period");
    }
}


ngx_eb_genesys_member_t *
ngx_eb_genesys_policy_members(ngx_pool_t *pool,
    ngx_eb_genesys_policy_t *policy, ngx_str_t *cost)
{
    ngx_str_t                  text;
    ngx_eb_genesys_member_t   *first, *m, **child;

    first = NULL;

    if (policy->id.len) {
        m = ngx_eb_genesys_member_string(pool, &first, "id", &policy->id);
        if (m == NULL) {
            return NULL;
        }

        m->missing = 1;
    }

    if (policy->has_name
        && ngx_eb_genesys_member_string(pool, &first, "name", &policy->name)
           == NULL)
    {
        return NULL;
    }

    if (policy->has_description
        && ngx_eb_genesys_member_string(pool, &first, "description",
                                        &policy->description)
           == NULL)
    {
        return NULL;
    }

    if (policy->has_types) {
        m = ngx_eb_genesys_member_strings(pool, &first, "eventTypes",
                                          &policy->types);
        if (m == NULL) {
            return NULL;
        }

        m->set = 1;
    }

    /* in days, so that nobody's idea of a month counts but the documented */

    text.data = ngx_pnalloc(pool, NGX_EB_GENESYS_PERIOD_LEN);
    if (text.data == NULL) {
        return NULL;
    }

    text.len = (size_t) (ngx_sprintf(text.data, "P%uiD", policy->days)
                         - text.data);

    m = ngx_eb_genesys_member_string(pool, &first, "retentionPeriod", &text);
    if (m == NULL) {
        return NULL;
    }

    m->duration = 1;

    m = ngx_eb_genesys_member(pool, &first, "tiering", NULL);
    if (m == NULL) {
        return NULL;
    }

    child = &m->child;

    if (ngx_eb_genesys_member_number(pool, child, "hotDays", policy->hot)
        == NULL
        || ngx_eb_genesys_member_number(pool, child, "warmDays", policy->warm)
           == NULL
        || ngx_eb_genesys_member_number(pool, child, "coldDays", policy->cold)
           == NULL)
    {
        return NULL;
    }

    if (policy->has_tags) {
        m = ngx_eb_genesys_member_strings(pool, &first, "complianceTags",
                                          &policy->tags);
        if (m == NULL) {
            return NULL;
        }

        m->set = 1;
    }

    if (cost->len
        && ngx_eb_genesys_member(pool, &first, "costEstimateUSD", cost)
           == NULL)
    {
        return NULL;
    }

    return first;
}
