
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_genesys_body.h"
#include "ngx_eb_genesys_endpoint_doc.h"
#include "ngx_eb_genesys_list.h"
#include "ngx_eb_genesys_patch.h"
#include "ngx_eb_url.h"


/* room for "eventFilters[99].eventType" */
#define NGX_EB_GENESYS_FIELD_LEN  64


static void ngx_eb_genesys_integration_id(ngx_eb_genesys_integration_t *doc,
    ngx_eb_genesys_body_t *body);
static void ngx_eb_genesys_integration_uris(ngx_eb_genesys_integration_t *doc,
    ngx_eb_genesys_body_t *body);
static void ngx_eb_genesys_integration_uri(ngx_eb_genesys_integration_t *doc,
    ngx_eb_genesys_body_t *body, const char *field, ngx_str_t *uri);
static ngx_int_t ngx_eb_genesys_uri_key(ngx_pool_t *pool, ngx_eb_url_t *url,
    ngx_str_t *key);
static void ngx_eb_genesys_integration_retry(ngx_eb_genesys_integration_t *doc,
    ngx_eb_genesys_body_t *body);
static void ngx_eb_genesys_integration_number(ngx_eb_genesys_body_t *body,
    ngx_eb_json_node_t parent, const char *field, const char *rule,
    ngx_str_t *value);
static void ngx_eb_genesys_integration_filters(
    ngx_eb_genesys_integration_t *doc, ngx_eb_genesys_body_t *body);
static void ngx_eb_genesys_integration_filter(ngx_eb_genesys_body_t *body,
    ngx_eb_json_node_t node, ngx_uint_t i);
static void ngx_eb_genesys_integration_headers(
    ngx_eb_genesys_integration_t *doc, ngx_eb_genesys_body_t *body);
static void ngx_eb_genesys_integration_header(ngx_eb_genesys_body_t *body,
    ngx_eb_json_node_t first, ngx_eb_json_node_t key);
static const char *ngx_eb_genesys_bad_header(ngx_eb_genesys_body_t *body,
    ngx_eb_json_node_t first, ngx_eb_json_node_t key, ngx_str_t *name);
static ngx_uint_t ngx_eb_genesys_is_token(ngx_str_t *name);
static ngx_eb_json_node_t ngx_eb_genesys_integration_member(
    ngx_eb_genesys_body_t *body, ngx_eb_json_node_t parent, const char *name,
    u_char type, const char *message);
static char *ngx_eb_genesys_integration_field(ngx_eb_genesys_body_t *body,
    const char *fmt, ngx_uint_t i);


/* the last ones are the API's: what was read may be sent back with them */

static const ngx_eb_genesys_field_t  ngx_eb_genesys_integration_fields[] = {
    { "id", 0 },
    { "name", 1 },
    { "type", 1 },
    { "uri", 0 },
    { "uris", 0 },
    { "retryPolicy", 0 },
    { "eventFilters", 0 },
    { "headers", 0 },
    { "version", 0 },
    { "status", 0 },
    { "createdDate", 0 },
    { "modifiedDate", 0 },
    { "selfUri", 0 }
};

static const ngx_eb_genesys_field_t  ngx_eb_genesys_retry_fields[] = {
    { "maxRetries", 0 },
    { "retryInterval", 0 },
    { "backoffFactor", 0 }
};

static const ngx_eb_genesys_field_t  ngx_eb_genesys_event_fields[] = {
    { "eventType", 1 },
    { "fields", 0 }
};


void
ngx_eb_genesys_integration_read(ngx_eb_genesys_integration_t *doc,
    ngx_eb_genesys_body_t *body, ngx_str_t *text)
{
    ngx_uint_t  version;

    ngx_memzero(doc, sizeof(ngx_eb_genesys_integration_t));
    doc->version = -1;

    if (ngx_array_init(&doc->endpoints, body->violations.pool,
                       NGX_EB_GENESYS_MAX_URIS, sizeof(ngx_eb_genesys_uri_t))
        != NGX_OK)
    {
        body->failed = 1;
        return;
    }

    if (ngx_eb_genesys_body_read(body, text,
            ngx_eb_genesys_fields(ngx_eb_genesys_integration_fields))
        != NGX_OK)
    {
        return;
    }

    ngx_eb_genesys_integration_id(doc, body);

    (void) ngx_eb_genesys_body_string(body, 0, "name", 1,
                                      NGX_EB_GENESYS_MAX_NAME, &doc->name);
    (void) ngx_eb_genesys_body_string(body, 0, "type", 1,
                                      NGX_EB_GENESYS_MAX_KIND, &doc->type);

    if (ngx_eb_genesys_body_integer(body, 0, "version", 0,
                                    1000000000000000LL, &version)
        == NGX_OK)
    {
        doc->version = (int64_t) version;
    }

    ngx_eb_genesys_integration_uris(doc, body);
    ngx_eb_genesys_integration_retry(doc, body);
    ngx_eb_genesys_integration_filters(doc, body);
    ngx_eb_genesys_integration_headers(doc, body);
}


static void
ngx_eb_genesys_integration_id(ngx_eb_genesys_integration_t *doc,
    ngx_eb_genesys_body_t *body)
{
    ngx_str_t  id;

    if (ngx_eb_genesys_body_string(body, 0, "id", 0, 8192, &id) != NGX_OK) {
        return;
    }

    if (!ngx_eb_genesys_is_id(&id)) {
        ngx_eb_genesys_body_bad(body, "id", "value", "1 to 128 letters, "
                                "digits, hyphens, points, underscores and "
                                "tildes are expected");
        return;
    }

    doc->id = id;
}


/* one definition of how many there are: the different ones of both members */

static void
ngx_eb_genesys_integration_uris(ngx_eb_genesys_integration_t *doc,
    ngx_eb_genesys_body_t *body)
{
    char                *field;
    ngx_str_t            uri;
    ngx_uint_t           i, before, given;
    ngx_eb_json_t       *json;
    ngx_eb_json_node_t   node, array;

    json = &body->doc->json;
    before = body->violations.nelts;
    given = 0;

    node = ngx_eb_genesys_integration_member(body, 0, "uri", '"',
                                             "a string is expected");
    if (node != NGX_EB_JSON_NONE) {
        given++;

        if (ngx_eb_json_string(json, node, body->violations.pool, &doc->uri)
            != NGX_OK)
        {
            body->failed = 1;
            return;
        }

        ngx_eb_genesys_integration_uri(doc, body, "uri", &doc->uri);
    }

    array = ngx_eb_genesys_integration_member(body, 0, "uris", '[',
                                              "an array of strings is "
                                              "expected");
    if (array != NGX_EB_JSON_NONE) {

        ngx_eb_json_raw(json, array, &doc->uris);

        for (node = ngx_eb_json_first(json, array), i = 0;
             node != NGX_EB_JSON_NONE;
             node = ngx_eb_json_after(json, node), i++)
        {
            given++;

            if (i == NGX_EB_GENESYS_MAX_REPEATED
                || body->violations.nelts == NGX_EB_GENESYS_MAX_VIOLATIONS)
            {
                break;
            }

            field = ngx_eb_genesys_integration_field(body, "uris[%ui]%Z", i);
            if (field == NULL) {
                return;
            }

            if (ngx_eb_json_type(json, node) != '"') {
                ngx_eb_genesys_body_bad(body, field, "type",
                                        "a string is expected");
                continue;
            }

            if (ngx_eb_json_string(json, node, body->violations.pool, &uri)
                != NGX_OK)
            {
                body->failed = 1;
                return;
            }

            ngx_eb_genesys_integration_uri(doc, body, field, &uri);
        }

        if (i == NGX_EB_GENESYS_MAX_REPEATED && node != NGX_EB_JSON_NONE) {
            ngx_eb_genesys_body_bad(body, "uris", "length",
                                    "100 elements at most are allowed");
            return;
        }
    }

    if (given == 0 && body->violations.nelts == before) {
        ngx_eb_genesys_body_bad(body, "uri", "required",
                                "at least one of \"uri\" and \"uris\" is "
                                "needed");
        return;
    }

    if (doc->endpoints.nelts > NGX_EB_GENESYS_MAX_URIS) {
        ngx_eb_genesys_body_bad(body, "uris", "endpoints",
                                "10 different URIs at most are allowed, "
                                "\"uri\" included");
    }
}


static void
ngx_eb_genesys_integration_uri(ngx_eb_genesys_integration_t *doc,
    ngx_eb_genesys_body_t *body, const char *field, ngx_str_t *uri)
{
    u_char                *p;
    ngx_str_t              key;
    const char            *bad;
    ngx_uint_t             i;
    ngx_eb_url_t           url;
    ngx_eb_genesys_uri_t  *other, *endpoint;

    bad = ngx_eb_url_parse(uri, &url);

    if (bad == NULL) {
        bad = ngx_eb_url_foreign(&url);
    }

    if (bad) {
        ngx_eb_genesys_body_bad(body, field, "uri", bad);
        return;
    }

    if (ngx_eb_genesys_uri_key(body->violations.pool, &url, &key) != NGX_OK) {
        body->failed = 1;
        return;
    }

    other = doc->endpoints.elts;

    for (i = 0; i < doc->endpoints.nelts; i++) {

        if (other[i].key.len == key.len
            && ngx_memcmp(other[i].key.data, key.data, key.len) == 0)
        {
            return;
        }
    }

    endpoint = ngx_array_push(&doc->endpoints);
    if (endpoint == NULL) {
        body->failed = 1;
        return;
    }

    ngx_memzero(endpoint, sizeof(ngx_eb_genesys_uri_t));

    endpoint->uri = *uri;
    endpoint->key = key;
    endpoint->shown = *uri;

    /* a query is where people put their secrets */

    p = memchr(uri->data, '?', uri->len);

    if (p) {
        endpoint->shown.len = (size_t) (p - uri->data);
    }
}


/* the host in small letters, the port said, and a path */

static ngx_int_t
ngx_eb_genesys_uri_key(ngx_pool_t *pool, ngx_eb_url_t *url, ngx_str_t *key)
{
    u_char     *p;
    ngx_str_t   path;

    path = url->path;

    if (path.len == 0) {
        ngx_str_set(&path, "/");
    }

    p = ngx_pnalloc(pool, url->host.len + path.len + url->args.len
                          + sizeof(":65535?") - 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    key->data = p;

    ngx_strlow(p, url->host.data, url->host.len);
    p += url->host.len;

    p = ngx_sprintf(p, ":%ui%V?%V", (ngx_uint_t) url->port, &path,
                    &url->args);
    key->len = (size_t) (p - key->data);

    return NGX_OK;
}


static void
ngx_eb_genesys_integration_retry(ngx_eb_genesys_integration_t *doc,
    ngx_eb_genesys_body_t *body)
{
    ngx_eb_json_node_t  node;

    if (ngx_eb_genesys_body_object(body, 0, "retryPolicy", "retryPolicy.",
            ngx_eb_genesys_fields(ngx_eb_genesys_retry_fields), &node)
        != NGX_OK)
    {
        return;
    }

    ngx_eb_genesys_integration_number(body, node, "retryPolicy.maxRetries",
                                      "a whole number from 0 to 5 is "
                                      "expected", &doc->retries);
    ngx_eb_genesys_integration_number(body, node, "retryPolicy.retryInterval",
                                      "a number above 0, and up to "
                                      "86400000, is expected",
                                      &doc->interval);
    ngx_eb_genesys_integration_number(body, node, "retryPolicy.backoffFactor",
                                      "a number from 1 to 10 is expected",
                                      &doc->backoff);
}


static void
ngx_eb_genesys_integration_number(ngx_eb_genesys_body_t *body,
    ngx_eb_json_node_t parent, const char *field, const char *rule,
    ngx_str_t *value)
{
    int64_t              n;
    ngx_str_t            raw;
    ngx_uint_t           good;
    const char          *name;
    ngx_eb_json_node_t   node;

    name = field + sizeof("retryPolicy.") - 1;

    node = ngx_eb_genesys_body_member(body, parent, field);

    if (node == NGX_EB_JSON_NONE) {
        return;
    }

    if (ngx_eb_json_type(&body->doc->json, node) != '0') {
        ngx_eb_genesys_body_bad(body, field, "type", "a number is expected");
        return;
    }

    ngx_eb_json_raw(&body->doc->json, node, &raw);

    switch (name[0]) {

    case 'm':
        good = (ngx_eb_genesys_integer(&raw, &n) == NGX_OK
                && n <= NGX_EB_GENESYS_MAX_RETRIES);
        break;

    case 'r':
        good = (ngx_eb_genesys_number_cmp(&raw, 0) > 0
                && ngx_eb_genesys_number_cmp(&raw,
                                             NGX_EB_GENESYS_MAX_INTERVAL)
                   <= 0);
        break;

    default: /* 'b' */
        good = (ngx_eb_genesys_number_cmp(&raw, 1) >= 0
                && ngx_eb_genesys_number_cmp(&raw,
                                             NGX_EB_GENESYS_MAX_BACKOFF)
                   <= 0);
    }

    if (!good) {
        ngx_eb_genesys_body_bad(body, field, "range", rule);
        return;
    }

    *value = raw;
}


static void
ngx_eb_genesys_integration_filters(ngx_eb_genesys_integration_t *doc,
    ngx_eb_genesys_body_t *body)
{
    ngx_uint_t           i;
    ngx_eb_json_t       *json;
    ngx_eb_json_node_t   node;

    json = &body->doc->json;

    node = ngx_eb_genesys_integration_member(body, 0, "eventFilters", '[',
                                             "an array of objects is "
                                             "expected");
    if (node == NGX_EB_JSON_NONE) {
        return;
    }

    ngx_eb_json_raw(json, node, &doc->filters);

    for (node = ngx_eb_json_first(json, node), i = 0;
         node != NGX_EB_JSON_NONE;
         node = ngx_eb_json_after(json, node), i++)
    {
        if (i == NGX_EB_GENESYS_MAX_FILTERS) {
            ngx_eb_genesys_body_bad(body, "eventFilters", "length",
                                    "64 elements at most are allowed");
            return;
        }

        if (body->violations.nelts == NGX_EB_GENESYS_MAX_VIOLATIONS) {
            return;
        }

        ngx_eb_genesys_integration_filter(body, node, i);
    }
}


static void
ngx_eb_genesys_integration_filter(ngx_eb_genesys_body_t *body,
    ngx_eb_json_node_t node, ngx_uint_t i)
{
    char         *field, *type, *fields, *prefix;
    ngx_str_t     value;
    ngx_array_t   values;

    field = ngx_eb_genesys_integration_field(body, "eventFilters[%ui]%Z", i);
    prefix = ngx_eb_genesys_integration_field(body, "eventFilters[%ui].%Z", i);
    type = ngx_eb_genesys_integration_field(body,
                                            "eventFilters[%ui].eventType%Z",
                                            i);
    fields = ngx_eb_genesys_integration_field(body,
                                              "eventFilters[%ui].fields%Z", i);

    if (body->failed) {
        return;
    }

    if (ngx_eb_json_type(&body->doc->json, node) != '{') {
        ngx_eb_genesys_body_bad(body, field, "type", "an object is expected");
        return;
    }

    if (ngx_eb_genesys_body_fields(body, node, prefix,
            ngx_eb_genesys_fields(ngx_eb_genesys_event_fields))
        != NGX_OK)
    {
        return;
    }

    (void) ngx_eb_genesys_body_string(body, node, type, 1,
                                      NGX_EB_GENESYS_MAX_NAME, &value);
    (void) ngx_eb_genesys_body_strings(body, node, fields, 0,
                                       NGX_EB_GENESYS_MAX_FIELDS,
                                       NGX_EB_GENESYS_MAX_NAME, &values);
}


static void
ngx_eb_genesys_integration_headers(ngx_eb_genesys_integration_t *doc,
    ngx_eb_genesys_body_t *body)
{
    ngx_uint_t           i;
    ngx_eb_json_t       *json;
    ngx_eb_json_node_t   node, first, key;

    json = &body->doc->json;

    node = ngx_eb_genesys_integration_member(body, 0, "headers", '{',
                                             "an object is expected");
    if (node == NGX_EB_JSON_NONE) {
        return;
    }

    ngx_eb_json_raw(json, node, &doc->headers);

    first = ngx_eb_json_first(json, node);

    for (key = first, i = 0;
         key != NGX_EB_JSON_NONE;
         key = ngx_eb_json_after(json, key + 2), i++)
    {
        if (i == NGX_EB_GENESYS_MAX_HEADERS) {
            ngx_eb_genesys_body_bad(body, "headers", "length",
                                    "32 headers at most are allowed");
            return;
        }

        if (body->violations.nelts == NGX_EB_GENESYS_MAX_VIOLATIONS) {
            return;
        }

        ngx_eb_genesys_integration_header(body, first, key);
    }
}


static void
ngx_eb_genesys_integration_header(ngx_eb_genesys_body_t *body,
    ngx_eb_json_node_t first, ngx_eb_json_node_t key)
{
    u_char      *p;
    size_t       len;
    ngx_str_t    name, value, field;
    const char  *bad, *rule;

    if (ngx_eb_json_string(&body->doc->json, key, body->violations.pool,
                           &name)
        != NGX_OK)
    {
        body->failed = 1;
        return;
    }

    rule = "token";
    bad = ngx_eb_genesys_bad_header(body, first, key, &name);

    if (bad == NULL) {
        rule = "type";

        if (ngx_eb_json_type(&body->doc->json, key + 2) != '"') {
            bad = "a string is expected";

        } else if (ngx_eb_json_string(&body->doc->json, key + 2,
                                      body->violations.pool, &value)
                   != NGX_OK)
        {
            body->failed = 1;
            return;

        } else {
            rule = "value";
            bad = ngx_eb_genesys_bad_string(&value, 0,
                                            NGX_EB_GENESYS_MAX_VALUE);
        }
    }

    if (bad == NULL) {
        return;
    }

    /* shown as it is: the problem document escapes it */

    len = ngx_min(name.len, NGX_EB_GENESYS_FIELD_LEN);

    p = ngx_pnalloc(body->violations.pool, sizeof("headers.") - 1 + len);
    if (p == NULL) {
        body->failed = 1;
        return;
    }

    field.data = p;
    p = ngx_cpymem(p, "headers.", sizeof("headers.") - 1);
    p = ngx_cpymem(p, name.data, len);
    field.len = (size_t) (p - field.data);

    ngx_eb_genesys_body_note(body, &field, rule, bad);
}


static const char *
ngx_eb_genesys_bad_header(ngx_eb_genesys_body_t *body,
    ngx_eb_json_node_t first, ngx_eb_json_node_t key, ngx_str_t *name)
{
    ngx_str_t            other;
    ngx_eb_json_t       *json;
    ngx_eb_json_node_t   node;

    json = &body->doc->json;

    if (name->len > NGX_EB_GENESYS_MAX_HEADER) {
        return "the name is too long";
    }

    if (!ngx_eb_genesys_is_token(name)) {
        return "this is no name of a header";
    }

    /* a token has nothing that would have to be escaped */

    for (node = first; node != key; node = ngx_eb_json_after(json, node + 2)) {

        if (ngx_eb_json_string(json, node, body->violations.pool, &other)
            != NGX_OK)
        {
            body->failed = 1;
            return NULL;
        }

        if (other.len == name->len
            && ngx_strncasecmp(other.data, name->data, name->len) == 0)
        {
            return "it is there twice";
        }
    }

    return NULL;
}


/* RFC 9110, 5.6.2 */

static ngx_uint_t
ngx_eb_genesys_is_token(ngx_str_t *name)
{
    size_t  i;
    u_char  ch;

    for (i = 0; i < name->len; i++) {
        ch = name->data[i];

        if (ch <= ' ' || ch >= 0x7f
            || strchr("()<>@,;:\\\"/[]?={}", ch) != NULL)
        {
            return 0;
        }
    }

    return name->len > 0;
}


/* one of this type; NGX_EB_JSON_NONE, and a violation if it is another */

static ngx_eb_json_node_t
ngx_eb_genesys_integration_member(ngx_eb_genesys_body_t *body,
    ngx_eb_json_node_t parent, const char *name, u_char type,
    const char *message)
{
    ngx_eb_json_node_t  node;

    node = ngx_eb_genesys_body_member(body, parent, name);

    if (node != NGX_EB_JSON_NONE
        && ngx_eb_json_type(&body->doc->json, node) != type)
    {
        ngx_eb_genesys_body_bad(body, name, "type", message);
        return NGX_EB_JSON_NONE;
    }

    return node;
}


static char *
ngx_eb_genesys_integration_field(ngx_eb_genesys_body_t *body, const char *fmt,
    ngx_uint_t i)
{
    u_char  *p;

    p = ngx_pnalloc(body->violations.pool, NGX_EB_GENESYS_FIELD_LEN);
    if (p == NULL) {
        body->failed = 1;
        return NULL;
    }

    (void) ngx_slprintf(p, p + NGX_EB_GENESYS_FIELD_LEN, fmt, i);

    return (char *) p;
}


ngx_eb_genesys_member_t *
ngx_eb_genesys_integration_members(ngx_pool_t *pool,
    ngx_eb_genesys_integration_t *doc)
{
    ngx_uint_t                i;
    ngx_eb_genesys_member_t  *first, *m;

    struct {
        const char           *name;
        ngx_str_t            *text;
    } numbers[] = {
        { "maxRetries", &doc->retries },
        { "retryInterval", &doc->interval },
        { "backoffFactor", &doc->backoff }
    };

    first = NULL;

    if (ngx_eb_genesys_member_string(pool, &first, "name", &doc->name) == NULL
        || ngx_eb_genesys_member_string(pool, &first, "type", &doc->type)
           == NULL)
    {
        return NULL;
    }

    if (doc->uri.len
        && ngx_eb_genesys_member_string(pool, &first, "uri", &doc->uri)
           == NULL)
    {
        return NULL;
    }

    if (doc->uris.len
        && ngx_eb_genesys_member(pool, &first, "uris", &doc->uris) == NULL)
    {
        return NULL;
    }

    if (doc->retries.len || doc->interval.len || doc->backoff.len) {

        m = ngx_eb_genesys_member(pool, &first, "retryPolicy", NULL);
        if (m == NULL) {
            return NULL;
        }

        for (i = 0; i < 3; i++) {

            if (numbers[i].text->len
                && ngx_eb_genesys_member(pool, &m->child, numbers[i].name,
                                         numbers[i].text)
                   == NULL)
            {
                return NULL;
            }
        }
    }

    if (doc->filters.len) {
        m = ngx_eb_genesys_member(pool, &first, "eventFilters",
                                  &doc->filters);
        if (m == NULL) {
            return NULL;
        }

        m->whole = 1;
    }

    if (doc->headers.len) {
        m = ngx_eb_genesys_member(pool, &first, "headers", &doc->headers);
        if (m == NULL) {
            return NULL;
        }

        m->whole = 1;
    }

    return first;
}


ngx_eb_genesys_member_t *
ngx_eb_genesys_integration_over(ngx_eb_genesys_doc_t *theirs,
    ngx_eb_genesys_integration_t *doc)
{
    ngx_str_t                      empty;
    ngx_eb_genesys_uri_t          *endpoint;
    ngx_eb_genesys_integration_t   over;

    static ngx_str_t  uri = ngx_string("uri");
    static ngx_str_t  uris = ngx_string("uris");

    over = *doc;
    endpoint = doc->endpoints.elts;

    ngx_str_set(&empty, "[]");

    if (doc->uri.len == 0
        && ngx_eb_json_member(&theirs->json, 0, &uri) != NGX_EB_JSON_NONE)
    {
        over.uri = endpoint[0].uri;
    }

    if (doc->uris.len == 0
        && ngx_eb_json_member(&theirs->json, 0, &uris) != NGX_EB_JSON_NONE)
    {
        over.uris = empty;
    }

    return ngx_eb_genesys_integration_members(theirs->pool, &over);
}
