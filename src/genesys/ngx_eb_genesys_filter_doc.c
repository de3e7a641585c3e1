
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_json_edit.h"
#include "ngx_eb_genesys_filter_doc.h"


static ngx_int_t ngx_eb_genesys_filter_find_list(ngx_eb_json_t *json,
    ngx_pool_t *pool, ngx_eb_genesys_filter_place_t *place,
    const char *outer, const char *list);
static ngx_eb_json_node_t ngx_eb_genesys_filter_value(ngx_eb_json_t *json,
    ngx_eb_json_node_t object, ngx_str_t *name, ngx_uint_t *count);
static ngx_int_t ngx_eb_genesys_filter_push(
    ngx_eb_genesys_filter_place_t *place, ngx_eb_json_node_t node);
static ngx_uint_t ngx_eb_genesys_filter_same(ngx_eb_json_t *json,
    ngx_eb_json_node_t node, ngx_eb_genesys_filter_want_t *want);
static ngx_uint_t ngx_eb_genesys_filter_same_topics(ngx_eb_json_t *json,
    ngx_eb_genesys_filter_place_t *place, ngx_eb_genesys_filter_want_t *want);
static ngx_uint_t ngx_eb_genesys_filter_index(ngx_eb_json_t *json,
    ngx_eb_json_node_t node, ngx_array_t *values);
static ngx_int_t ngx_eb_genesys_filter_change_one(ngx_eb_json_edit_t *edit,
    ngx_eb_json_node_t node, ngx_eb_genesys_filter_want_t *want);
static ngx_int_t ngx_eb_genesys_filter_change_member(
    ngx_eb_json_edit_t *edit, ngx_eb_json_node_t object, ngx_str_t *name,
    ngx_str_t *text);
static ngx_int_t ngx_eb_genesys_filter_change_topics(
    ngx_eb_json_edit_t *edit, ngx_eb_genesys_filter_place_t *place,
    ngx_eb_genesys_filter_want_t *want);
static ngx_int_t ngx_eb_genesys_filter_append(ngx_eb_json_edit_t *edit,
    ngx_eb_genesys_filter_place_t *place, ngx_str_t *elements);
static ngx_int_t ngx_eb_genesys_filter_object(ngx_pool_t *pool,
    ngx_eb_genesys_filter_want_t *want, ngx_str_t *text);
static ngx_int_t ngx_eb_genesys_filter_array(ngx_pool_t *pool,
    ngx_array_t *values, ngx_str_t *text);
static ngx_int_t ngx_eb_genesys_filter_join(ngx_pool_t *pool,
    ngx_str_t *parts, ngx_uint_t n, ngx_str_t *text);


static ngx_str_t  ngx_eb_genesys_filter_key = ngx_string("key");
static ngx_str_t  ngx_eb_genesys_filter_type = ngx_string("matchType");
static ngx_str_t  ngx_eb_genesys_filter_values = ngx_string("values");


ngx_eb_json_node_t
ngx_eb_genesys_filter_member(ngx_eb_json_t *json, ngx_eb_json_node_t object,
    const char *name)
{
    ngx_str_t           s;
    ngx_eb_json_node_t  node;

    s.data = (u_char *) name;
    s.len = ngx_strlen(name);

    node = ngx_eb_json_member(json, object, &s);

    if (node != NGX_EB_JSON_NONE && ngx_eb_json_type(json, node) == 'n') {
        return NGX_EB_JSON_NONE;
    }

    return node;
}


ngx_int_t
ngx_eb_genesys_filter_subscriptions(ngx_eb_json_t *json,
    ngx_eb_json_node_t *list, const char **error)
{
    *list = NGX_EB_JSON_NONE;

    if (ngx_eb_json_type(json, 0) != '{') {
        *error = "it is not an object";
        return NGX_DECLINED;
    }

    *list = ngx_eb_genesys_filter_member(json, 0, "subscriptions");

    if (*list != NGX_EB_JSON_NONE && ngx_eb_json_type(json, *list) != '[') {
        *error = "its subscriptions are not an array";
        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_int_t
ngx_eb_genesys_filter_find(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_str_t *subscription, ngx_str_t *attribute,
    ngx_eb_genesys_filter_place_t *place)
{
    ngx_eb_json_node_t  list, node, name, key;

    ngx_memzero(place, sizeof(ngx_eb_genesys_filter_place_t));

    place->owner = NGX_EB_JSON_NONE;

    if (ngx_eb_genesys_filter_subscriptions(json, &list, &place->error)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    if (list == NGX_EB_JSON_NONE) {
        return NGX_OK;
    }

    for (node = ngx_eb_json_first(json, list);
         node != NGX_EB_JSON_NONE;
         node = ngx_eb_json_after(json, node))
    {
        if (ngx_eb_json_type(json, node) != '{') {
            continue;
        }

        name = ngx_eb_genesys_filter_member(json, node, "name");

        if (name != NGX_EB_JSON_NONE
            && ngx_eb_json_type(json, name) == '"'
            && ngx_eb_json_string_eq(json, name, subscription))
        {
            place->owner = node;
            place->owners++;
        }
    }

    if (place->owners != 1) {
        return NGX_OK;
    }

    if (ngx_eb_genesys_filter_find_list(json, pool, place, "filterCriteria",
                                        "attributes")
        != NGX_OK)
    {
        return place->error ? NGX_DECLINED : NGX_ERROR;
    }

    if (place->list == NGX_EB_JSON_NONE) {
        return NGX_OK;
    }

    for (node = ngx_eb_json_first(json, place->list);
         node != NGX_EB_JSON_NONE;
         node = ngx_eb_json_after(json, node))
    {
        if (ngx_eb_json_type(json, node) != '{') {
            continue;
        }

        key = ngx_eb_json_member(json, node, &ngx_eb_genesys_filter_key);

        if (key != NGX_EB_JSON_NONE
            && ngx_eb_json_type(json, key) == '"'
            && ngx_eb_json_string_eq(json, key, attribute))
        {
            if (ngx_eb_genesys_filter_push(place, node) != NGX_OK) {
                return place->error ? NGX_DECLINED : NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_eb_genesys_filter_find_topics(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_genesys_filter_place_t *place)
{
    ngx_eb_json_node_t  node;

    ngx_memzero(place, sizeof(ngx_eb_genesys_filter_place_t));

    place->topics = 1;
    place->owners = 1;

    if (ngx_eb_json_type(json, 0) != '{') {
        place->error = "it is not an object";
        return NGX_DECLINED;
    }

    if (ngx_eb_genesys_filter_find_list(json, pool, place, "properties",
                                        "eventFilter")
        != NGX_OK)
    {
        return place->error ? NGX_DECLINED : NGX_ERROR;
    }

    if (place->list == NGX_EB_JSON_NONE) {
        return NGX_OK;
    }

    for (node = ngx_eb_json_first(json, place->list);
         node != NGX_EB_JSON_NONE;
         node = ngx_eb_json_after(json, node))
    {
        if (ngx_eb_json_type(json, node) != '"') {
            place->error = "a topic of its eventFilter is not a string";
            return NGX_DECLINED;
        }

        if (ngx_eb_genesys_filter_push(place, node) != NGX_OK) {
            return place->error ? NGX_DECLINED : NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_genesys_filter_find_list(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_genesys_filter_place_t *place, const char *outer,
    const char *list)
{
    place->outer = ngx_eb_genesys_filter_member(json, place->owner, outer);
    place->list = NGX_EB_JSON_NONE;

    if (ngx_array_init(&place->found, pool, 4, sizeof(ngx_eb_json_node_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (place->outer == NGX_EB_JSON_NONE) {
        return NGX_OK;
    }

    if (ngx_eb_json_type(json, place->outer) != '{') {
        place->error = place->topics ? "its properties are not an object"
                                     : "filterCriteria is not an object";
        return NGX_DECLINED;
    }

    place->list = ngx_eb_genesys_filter_member(json, place->outer, list);

    if (place->list == NGX_EB_JSON_NONE) {
        return NGX_OK;
    }

    if (ngx_eb_json_type(json, place->list) != '[') {
        place->error = place->topics ? "its eventFilter is not an array"
                                     : "attributes are not an array";
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/*
 * Each of them is compared with each that is wanted, and that must not take
 * long.
 */

static ngx_int_t
ngx_eb_genesys_filter_push(ngx_eb_genesys_filter_place_t *place,
    ngx_eb_json_node_t node)
{
    ngx_eb_json_node_t  *found;

    if (place->found.nelts == NGX_EB_GENESYS_FILTER_MAX_STORED) {
        place->error = place->topics ? "its eventFilter has too many topics"
                                     : "the attribute has too many filters";
        return NGX_DECLINED;
    }

    found = ngx_array_push(&place->found);
    if (found == NULL) {
        return NGX_ERROR;
    }

    *found = node;

    return NGX_OK;
}


ngx_uint_t
ngx_eb_genesys_filter_equal(ngx_eb_json_t *json,
    ngx_eb_genesys_filter_place_t *place, ngx_eb_genesys_filter_want_t *want)
{
    ngx_eb_json_node_t  *node;

    if (place->topics) {
        return ngx_eb_genesys_filter_same_topics(json, place, want);
    }

    if (place->outer == NGX_EB_JSON_NONE || place->list == NGX_EB_JSON_NONE) {
        return want->goal == NGX_EB_GENESYS_FILTER_LACKS;
    }

    node = place->found.elts;

    if (want->goal == NGX_EB_GENESYS_FILTER_LACKS) {
        return place->found.nelts == 0;
    }

    return place->found.nelts == 1
           && ngx_eb_genesys_filter_same(json, node[0], want);
}


/* the order of values says nothing, so any will do */

static ngx_uint_t
ngx_eb_genesys_filter_same(ngx_eb_json_t *json, ngx_eb_json_node_t node,
    ngx_eb_genesys_filter_want_t *want)
{
    ngx_uint_t          n, count;
    ngx_eb_json_node_t  value, elt;
    u_char              seen[NGX_EB_GENESYS_FILTER_MAX_VALUES];

    value = ngx_eb_genesys_filter_value(json, node,
                                        &ngx_eb_genesys_filter_type, &count);

    if (count != 1 || ngx_eb_json_type(json, value) != '"'
        || !ngx_eb_json_string_eq(json, value, &want->match_type))
    {
        return 0;
    }

    value = ngx_eb_genesys_filter_value(json, node,
                                        &ngx_eb_genesys_filter_values,
                                        &count);

    if (count == 0 || ngx_eb_json_type(json, value) == 'n') {
        return count <= 1 && want->values.nelts == 0;
    }

    if (count != 1 || ngx_eb_json_type(json, value) != '[') {
        return 0;
    }

    ngx_memzero(seen, sizeof(seen));
    count = 0;

    for (elt = ngx_eb_json_first(json, value);
         elt != NGX_EB_JSON_NONE;
         elt = ngx_eb_json_after(json, elt))
    {
        if (count++ == want->values.nelts) {
            return 0;
        }

        n = ngx_eb_genesys_filter_index(json, elt, &want->values);

        if (n == want->values.nelts || seen[n]) {
            return 0;
        }

        seen[n] = 1;
    }

    return count == want->values.nelts;
}


static ngx_uint_t
ngx_eb_genesys_filter_same_topics(ngx_eb_json_t *json,
    ngx_eb_genesys_filter_place_t *place, ngx_eb_genesys_filter_want_t *want)
{
    u_char               seen[NGX_EB_GENESYS_FILTER_MAX_VALUES];
    ngx_uint_t           i, n, count, others;
    ngx_eb_json_node_t  *node;

    ngx_memzero(seen, sizeof(seen));

    node = place->found.elts;
    count = 0;
    others = 0;

    for (i = 0; i < place->found.nelts; i++) {
        n = ngx_eb_genesys_filter_index(json, node[i], &want->values);

        /* one that is there twice is one too many */

        if (n == want->values.nelts || seen[n]) {
            others++;
            continue;
        }

        seen[n] = 1;
        count++;
    }

    switch (want->goal) {

    case NGX_EB_GENESYS_FILTER_IS:
        return place->list != NGX_EB_JSON_NONE
               && count == want->values.nelts && others == 0;

    case NGX_EB_GENESYS_FILTER_HAS:
        return count == want->values.nelts;

    default: /* NGX_EB_GENESYS_FILTER_LACKS */
        return count == 0;
    }
}


/* the value that node is equal to, or their number */

static ngx_uint_t
ngx_eb_genesys_filter_index(ngx_eb_json_t *json, ngx_eb_json_node_t node,
    ngx_array_t *values)
{
    ngx_str_t   *value;
    ngx_uint_t   i;

    if (ngx_eb_json_type(json, node) != '"') {
        return values->nelts;
    }

    value = values->elts;

    for (i = 0; i < values->nelts; i++) {
        if (ngx_eb_json_string_eq(json, node, &value[i])) {
            break;
        }
    }

    return i;
}


/* the last one counts */

static ngx_eb_json_node_t
ngx_eb_genesys_filter_value(ngx_eb_json_t *json, ngx_eb_json_node_t object,
    ngx_str_t *name, ngx_uint_t *count)
{
    ngx_eb_json_node_t  key, found;

    found = NGX_EB_JSON_NONE;
    *count = 0;

    for (key = ngx_eb_json_first(json, object);
         key != NGX_EB_JSON_NONE;
         key = ngx_eb_json_after(json, key + 2))
    {
        if (ngx_eb_json_string_eq(json, key, name)) {
            found = key + 2;
            (*count)++;
        }
    }

    return found;
}


ngx_int_t
ngx_eb_genesys_filter_change(ngx_eb_json_edit_t *edit,
    ngx_eb_genesys_filter_place_t *place, ngx_eb_genesys_filter_want_t *want)
{
    ngx_str_t            text;
    ngx_uint_t           i, keep;
    ngx_eb_json_node_t  *node;

    if (place->topics) {
        return ngx_eb_genesys_filter_change_topics(edit, place, want);
    }

    node = place->found.elts;
    keep = (want->goal == NGX_EB_GENESYS_FILTER_IS) ? 1 : 0;

    for (i = keep; i < place->found.nelts; i++) {
        if (ngx_eb_json_edit_remove(edit, place->list, node[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (!keep) {
        return NGX_OK;
    }

    if (place->found.nelts) {
        return ngx_eb_genesys_filter_change_one(edit, node[0], want);
    }

    if (ngx_eb_genesys_filter_object(edit->pool, want, &text) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_eb_genesys_filter_append(edit, place, &text);
}


/*
 * A filter may have members that nobody here knows: they stay, as does a
 * value that is as it should be.
 */

static ngx_int_t
ngx_eb_genesys_filter_change_one(ngx_eb_json_edit_t *edit,
    ngx_eb_json_node_t node, ngx_eb_genesys_filter_want_t *want)
{
    ngx_str_t  text;

    if (ngx_eb_json_quote(edit->pool, &want->match_type, &text) != NGX_OK
        || ngx_eb_genesys_filter_change_member(edit, node,
                                               &ngx_eb_genesys_filter_type,
                                               &text)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_eb_genesys_filter_array(edit->pool, &want->values, &text)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_eb_genesys_filter_change_member(edit, node,
                                               &ngx_eb_genesys_filter_values,
                                               &text);
}


/* of several of the name the last one counts, and the others must go */

static ngx_int_t
ngx_eb_genesys_filter_change_member(ngx_eb_json_edit_t *edit,
    ngx_eb_json_node_t object, ngx_str_t *name, ngx_str_t *text)
{
    ngx_str_t            raw;
    ngx_uint_t           count;
    ngx_eb_json_t       *json;
    ngx_eb_json_node_t   key, value;

    json = edit->json;
    value = ngx_eb_genesys_filter_value(json, object, name, &count);

    if (count == 0) {
        return ngx_eb_json_edit_insert(edit, object, NGX_EB_JSON_NONE, name,
                                       text);
    }

    for (key = ngx_eb_json_first(json, object);
         key != NGX_EB_JSON_NONE && count > 1;
         key = ngx_eb_json_after(json, key + 2))
    {
        if (ngx_eb_json_string_eq(json, key, name)) {
            count--;

            if (ngx_eb_json_edit_remove(edit, object, key) != NGX_OK) {
                return NGX_ERROR;
            }
        }
    }

    ngx_eb_json_raw(json, value, &raw);

    if (raw.len == text->len
        && ngx_memcmp(raw.data, text->data, raw.len) == 0)
    {
        return NGX_OK;
    }

    return ngx_eb_json_edit_replace(edit, value, text);
}


/* topics that stay keep their places, new ones come behind them */

static ngx_int_t
ngx_eb_genesys_filter_change_topics(ngx_eb_json_edit_t *edit,
    ngx_eb_genesys_filter_place_t *place, ngx_eb_genesys_filter_want_t *want)
{
    u_char               seen[NGX_EB_GENESYS_FILTER_MAX_VALUES];
    ngx_str_t           *value, *part, text;
    ngx_uint_t           i, n, stays;
    ngx_array_t          parts;
    ngx_eb_json_node_t  *node;

    ngx_memzero(seen, sizeof(seen));

    node = place->found.elts;

    for (i = 0; i < place->found.nelts; i++) {
        n = ngx_eb_genesys_filter_index(edit->json, node[i], &want->values);

        if (n == want->values.nelts) {
            stays = (want->goal != NGX_EB_GENESYS_FILTER_IS);

        } else {
            stays = (want->goal != NGX_EB_GENESYS_FILTER_LACKS && !seen[n]);
            seen[n] = 1;
        }

        if (!stays
            && ngx_eb_json_edit_remove(edit, place->list, node[i]) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (want->goal == NGX_EB_GENESYS_FILTER_LACKS) {
        return NGX_OK;
    }

    if (ngx_array_init(&parts, edit->pool, 8, sizeof(ngx_str_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    value = want->values.elts;

    for (i = 0; i < want->values.nelts; i++) {

        if (seen[i]) {
            continue;
        }

        part = ngx_array_push(&parts);

        if (part == NULL
            || ngx_eb_json_quote(edit->pool, &value[i], part) != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (place->list == NGX_EB_JSON_NONE) {
            continue;
        }

        if (ngx_eb_json_edit_insert(edit, place->list, NGX_EB_JSON_NONE, NULL,
                                    part)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (place->list != NGX_EB_JSON_NONE) {
        return NGX_OK;
    }

    if (ngx_eb_genesys_filter_join(edit->pool, parts.elts, parts.nelts, &text)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_eb_genesys_filter_append(edit, place, &text);
}


/* what is missing around the elements comes with them */

static ngx_int_t
ngx_eb_genesys_filter_append(ngx_eb_json_edit_t *edit,
    ngx_eb_genesys_filter_place_t *place, ngx_str_t *elements)
{
    u_char     *p;
    ngx_str_t   list, outer, text;

    if (place->list != NGX_EB_JSON_NONE) {
        return ngx_eb_json_edit_insert(edit, place->list, NGX_EB_JSON_NONE,
                                       NULL, elements);
    }

    if (place->topics) {
        ngx_str_set(&outer, "properties");
        ngx_str_set(&list, "eventFilter");

    } else {
        ngx_str_set(&outer, "filterCriteria");
        ngx_str_set(&list, "attributes");
    }

    p = ngx_pnalloc(edit->pool, sizeof("{\"\":[]}") - 1 + list.len
                                + elements->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text.data = p;

    if (place->outer != NGX_EB_JSON_NONE) {
        text.len = ngx_sprintf(p, "[%V]", elements) - p;

        return ngx_eb_json_edit_set(edit, place->outer, &list, &text);
    }

    text.len = ngx_sprintf(p, "{\"%V\":[%V]}", &list, elements) - p;

    return ngx_eb_json_edit_set(edit, place->owner, &outer, &text);
}


static ngx_int_t
ngx_eb_genesys_filter_object(ngx_pool_t *pool,
    ngx_eb_genesys_filter_want_t *want, ngx_str_t *text)
{
    u_char     *p;
    ngx_str_t   key, type, values;

    if (ngx_eb_json_quote(pool, &want->attribute, &key) != NGX_OK
        || ngx_eb_json_quote(pool, &want->match_type, &type) != NGX_OK
        || ngx_eb_genesys_filter_array(pool, &want->values, &values)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    text->len = sizeof("{\"key\":,\"matchType\":,\"values\":}") - 1
                + key.len + type.len + values.len;

    p = ngx_pnalloc(pool, text->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;

    ngx_sprintf(p, "{\"key\":%V,\"matchType\":%V,\"values\":%V}", &key, &type,
                &values);

    return NGX_OK;
}


static ngx_int_t
ngx_eb_genesys_filter_array(ngx_pool_t *pool, ngx_array_t *values,
    ngx_str_t *text)
{
    u_char      *p;
    ngx_str_t   *value, *parts, joined;
    ngx_uint_t   i;

    parts = ngx_palloc(pool, values->nelts * sizeof(ngx_str_t));
    if (parts == NULL) {
        return NGX_ERROR;
    }

    value = values->elts;

    for (i = 0; i < values->nelts; i++) {
        if (ngx_eb_json_quote(pool, &value[i], &parts[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (ngx_eb_genesys_filter_join(pool, parts, values->nelts, &joined)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(pool, joined.len + 2);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;
    text->len = ngx_sprintf(p, "[%V]", &joined) - p;

    return NGX_OK;
}


/* with commas between */

static ngx_int_t
ngx_eb_genesys_filter_join(ngx_pool_t *pool, ngx_str_t *parts, ngx_uint_t n,
    ngx_str_t *text)
{
    size_t       len;
    u_char      *p;
    ngx_uint_t   i;

    /* lengths and number of the values are limited */

    for (len = 0, i = 0; i < n; i++) {
        len += parts[i].len + 1;
    }

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;

    for (i = 0; i < n; i++) {

        if (i) {
            *p++ = ',';
        }

        p = ngx_cpymem(p, parts[i].data, parts[i].len);
    }

    text->len = p - text->data;

    return NGX_OK;
}
