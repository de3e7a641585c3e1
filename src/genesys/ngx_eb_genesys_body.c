
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_genesys_patch.h"
#include "ngx_eb_genesys_body.h"


#define NGX_EB_GENESYS_MAX_URL      2048
#define NGX_EB_GENESYS_MAX_HOST     253

/* of a name that is shown as it was sent */
#define NGX_EB_GENESYS_SHOWN_NAME   64


static void ngx_eb_genesys_body_unknown(ngx_eb_genesys_body_t *body,
    ngx_eb_json_node_t key, const char *prefix, ngx_uint_t known);
static void ngx_eb_genesys_body_format(ngx_eb_genesys_body_t *body,
    const char *field, const char *rule, const char *fmt, ...);
static ngx_int_t ngx_eb_genesys_body_element(ngx_eb_genesys_body_t *body,
    ngx_eb_json_node_t node, const char *field, ngx_uint_t i, size_t len,
    ngx_array_t *values);
static const char *ngx_eb_genesys_bad_host(u_char *p, u_char *last,
    u_char **end);


ngx_int_t
ngx_eb_genesys_body_init(ngx_eb_genesys_body_t *body, ngx_pool_t *pool,
    ngx_eb_genesys_doc_t *doc)
{
    ngx_memzero(body, sizeof(ngx_eb_genesys_body_t));

    body->doc = doc;

    return ngx_array_init(&body->violations, pool, 4,
                          sizeof(ngx_eb_genesys_violation_t));
}


void
ngx_eb_genesys_body_bad(ngx_eb_genesys_body_t *body, const char *field,
    const char *rule, const char *message)
{
    ngx_str_t  name;

    name.data = (u_char *) field;
    name.len = ngx_strlen(field);

    ngx_eb_genesys_body_note(body, &name, rule, message);
}


void
ngx_eb_genesys_body_note(ngx_eb_genesys_body_t *body, ngx_str_t *field,
    const char *rule, const char *message)
{
    ngx_eb_genesys_violation_t  *violation;

    if (body->violations.nelts == NGX_EB_GENESYS_MAX_VIOLATIONS) {
        return;
    }

    violation = ngx_array_push(&body->violations);
    if (violation == NULL) {
        body->failed = 1;
        return;
    }

    violation->field = *field;
    violation->rule.data = (u_char *) rule;
    violation->rule.len = ngx_strlen(rule);
    violation->message.data = (u_char *) message;
    violation->message.len = ngx_strlen(message);
}


/* a message with figures in it, of less than 160 bytes */

static void
ngx_eb_genesys_body_format(ngx_eb_genesys_body_t *body, const char *field,
    const char *rule, const char *fmt, ...)
{
    u_char   *p, *last;
    va_list   args;

    p = ngx_pnalloc(body->violations.pool, 160);
    if (p == NULL) {
        body->failed = 1;
        return;
    }

    va_start(args, fmt);
    last = ngx_vslprintf(p, p + 159, fmt, args);
    va_end(args);

    *last = '\0';

    ngx_eb_genesys_body_bad(body, field, rule, (char *) p);
}


ngx_int_t
ngx_eb_genesys_body_read(ngx_eb_genesys_body_t *body, ngx_str_t *text,
    const ngx_eb_genesys_field_t *fields, ngx_uint_t n)
{
    ngx_int_t            rc;
    ngx_eb_json_error_t  err;

    rc = ngx_eb_genesys_doc_read(body->doc, text, &err);

    if (rc == NGX_ERROR) {
        body->failed = 1;
        return NGX_DECLINED;
    }

    if (rc != NGX_OK) {
        ngx_eb_genesys_body_format(body, "", "json", "%s at offset %uz",
                                   ngx_eb_json_strerror(err.code),
                                   err.offset);
        return NGX_DECLINED;
    }

    if (ngx_eb_json_type(&body->doc->json, 0) != '{') {
        ngx_eb_genesys_body_bad(body, "", "type", "an object is expected");
        return NGX_DECLINED;
    }

    return ngx_eb_genesys_body_fields(body, 0, "", fields, n);
}


ngx_int_t
ngx_eb_genesys_body_object(ngx_eb_genesys_body_t *body,
    ngx_eb_json_node_t parent, const char *field, const char *prefix,
    const ngx_eb_genesys_field_t *fields, ngx_uint_t n,
    ngx_eb_json_node_t *node)
{
    *node = ngx_eb_genesys_body_member(body, parent, field);

    if (*node == NGX_EB_JSON_NONE) {
        return NGX_DECLINED;
    }

    if (ngx_eb_json_type(&body->doc->json, *node) != '{') {
        ngx_eb_genesys_body_bad(body, field, "type", "an object is expected");
        return NGX_DECLINED;
    }

    return ngx_eb_genesys_body_fields(body, *node, prefix, fields, n);
}


ngx_int_t
ngx_eb_genesys_body_fields(ngx_eb_genesys_body_t *body,
    ngx_eb_json_node_t object, const char *prefix,
    const ngx_eb_genesys_field_t *fields, ngx_uint_t n)
{
    u_char              *p;
    size_t               len;
    ngx_str_t            field, name;
    ngx_uint_t           i, seen;
    ngx_eb_json_t       *json;
    ngx_eb_json_node_t   key;

    json = &body->doc->json;
    seen = 0;

    for (key = ngx_eb_json_first(json, object);
         key != NGX_EB_JSON_NONE;
         key = ngx_eb_json_after(json, key + 2))
    {
        /* a hostile body has no end of them */

        if (body->violations.nelts == NGX_EB_GENESYS_MAX_VIOLATIONS) {
            break;
        }

        for (i = 0; i < n; i++) {
            name.data = (u_char *) fields[i].name;
            name.len = ngx_strlen(fields[i].name);

            if (ngx_eb_json_string_eq(json, key, &name)) {
                break;
            }
        }

        if (i == n || (seen & ((ngx_uint_t) 1 << i))) {
            ngx_eb_genesys_body_unknown(body, key, prefix, i < n);
            continue;
        }

        seen |= (ngx_uint_t) 1 << i;
    }

    for (i = 0; i < n; i++) {

        if (!fields[i].required || (seen & ((ngx_uint_t) 1 << i))) {
            continue;
        }

        len = ngx_strlen(prefix);
        field.len = len + ngx_strlen(fields[i].name);

        p = ngx_pnalloc(body->violations.pool, field.len);
        if (p == NULL) {
            body->failed = 1;
            return NGX_DECLINED;
        }

        field.data = p;
        p = ngx_cpymem(p, prefix, len);
        ngx_memcpy(p, fields[i].name, field.len - len);

        ngx_eb_genesys_body_note(body, &field, "required", "it is missing");
    }

    return NGX_OK;
}


/* a name that the object must not have, or not once more */

static void
ngx_eb_genesys_body_unknown(ngx_eb_genesys_body_t *body,
    ngx_eb_json_node_t key, const char *prefix, ngx_uint_t known)
{
    u_char     *p;
    size_t      len, n;
    ngx_str_t   name, field;

    /* shown as it is spelled: the problem document escapes what it shows */

    (void) ngx_eb_json_string_raw(&body->doc->json, key, &name);

    len = ngx_strlen(prefix);
    n = ngx_min(name.len, NGX_EB_GENESYS_SHOWN_NAME);

    p = ngx_pnalloc(body->violations.pool, len + n);
    if (p == NULL) {
        body->failed = 1;
        return;
    }

    field.data = p;
    field.len = len + n;

    p = ngx_cpymem(p, prefix, len);
    ngx_memcpy(p, name.data, n);

    if (known) {
        ngx_eb_genesys_body_note(body, &field, "unique",
                                 "it is there twice");
        return;
    }

    ngx_eb_genesys_body_note(body, &field, "unknown",
                             "there is no such member");
}


ngx_eb_json_node_t
ngx_eb_genesys_body_member(ngx_eb_genesys_body_t *body,
    ngx_eb_json_node_t parent, const char *field)
{
    u_char     *p;
    ngx_str_t   name;

    name.data = (u_char *) field;
    name.len = ngx_strlen(field);

    for (p = name.data + name.len; p > name.data && p[-1] != '.'; p--) {
        /* void */
    }

    name.len -= (size_t) (p - name.data);
    name.data = p;

    return ngx_eb_json_member(&body->doc->json, parent, &name);
}


ngx_int_t
ngx_eb_genesys_body_string(ngx_eb_genesys_body_t *body,
    ngx_eb_json_node_t parent, const char *field, size_t min, size_t max,
    ngx_str_t *value)
{
    const char          *bad;
    ngx_eb_json_node_t   node;

    node = ngx_eb_genesys_body_member(body, parent, field);

    if (node == NGX_EB_JSON_NONE) {
        return NGX_DECLINED;
    }

    if (ngx_eb_json_type(&body->doc->json, node) != '"') {
        ngx_eb_genesys_body_bad(body, field, "type", "a string is expected");
        return NGX_DECLINED;
    }

    if (ngx_eb_json_string(&body->doc->json, node, body->violations.pool,
                           value)
        != NGX_OK)
    {
        body->failed = 1;
        return NGX_DECLINED;
    }

    if (value->len < min || value->len > max) {
        ngx_eb_genesys_body_format(body, field, "length",
                                   "%uz to %uz bytes are allowed", min, max);
        return NGX_DECLINED;
    }

    bad = ngx_eb_genesys_bad_string(value, min, max);

    if (bad) {
        ngx_eb_genesys_body_bad(body, field, "characters", bad);
        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_int_t
ngx_eb_genesys_body_integer(ngx_eb_genesys_body_t *body,
    ngx_eb_json_node_t parent, const char *field, ngx_int_t min,
    ngx_int_t max, ngx_uint_t *value)
{
    int64_t              n;
    ngx_str_t            raw;
    ngx_eb_json_node_t   node;

    node = ngx_eb_genesys_body_member(body, parent, field);

    if (node == NGX_EB_JSON_NONE) {
        return NGX_DECLINED;
    }

    if (ngx_eb_json_type(&body->doc->json, node) != '0') {
        ngx_eb_genesys_body_bad(body, field, "type", "a number is expected");
        return NGX_DECLINED;
    }

    ngx_eb_json_raw(&body->doc->json, node, &raw);

    if (ngx_eb_genesys_integer(&raw, &n) != NGX_OK || n < min || n > max) {
        ngx_eb_genesys_body_format(body, field, "range",
                                   "a whole number from %i to %i is expected",
                                   min, max);
        return NGX_DECLINED;
    }

    *value = (ngx_uint_t) n;

    return NGX_OK;
}


ngx_int_t
ngx_eb_genesys_body_strings(ngx_eb_genesys_body_t *body,
    ngx_eb_json_node_t parent, const char *field, ngx_uint_t min,
    ngx_uint_t max, size_t len, ngx_array_t *values)
{
    ngx_int_t            rc;
    ngx_uint_t           i;
    ngx_eb_json_t       *json;
    ngx_eb_json_node_t   node;

    json = &body->doc->json;

    if (ngx_array_init(values, body->violations.pool, 4, sizeof(ngx_str_t))
        != NGX_OK)
    {
        body->failed = 1;
        return NGX_DECLINED;
    }

    node = ngx_eb_genesys_body_member(body, parent, field);

    if (node == NGX_EB_JSON_NONE) {
        return NGX_DECLINED;
    }

    if (ngx_eb_json_type(json, node) != '[') {
        ngx_eb_genesys_body_bad(body, field, "type",
                                "an array of strings is expected");
        return NGX_DECLINED;
    }

    rc = NGX_OK;
    i = 0;

    for (node = ngx_eb_json_first(json, node);
         node != NGX_EB_JSON_NONE;
         node = ngx_eb_json_after(json, node))
    {
        if (i == max) {
            i++;
            break;
        }

        if (ngx_eb_genesys_body_element(body, node, field, i++, len, values)
            != NGX_OK)
        {
            rc = NGX_DECLINED;
        }
    }

    if (i < min || i > max) {
        ngx_eb_genesys_body_format(body, field, "length",
                                   "%ui to %ui elements are allowed", min,
                                   max);
        return NGX_DECLINED;
    }

    return rc;
}


static ngx_int_t
ngx_eb_genesys_body_element(ngx_eb_genesys_body_t *body,
    ngx_eb_json_node_t node, const char *field, ngx_uint_t i, size_t len,
    ngx_array_t *values)
{
    u_char      *p;
    ngx_str_t   *value, *other, path;
    const char  *bad, *rule;
    ngx_uint_t   n;

    value = ngx_array_push(values);
    if (value == NULL) {
        body->failed = 1;
        return NGX_DECLINED;
    }

    ngx_str_set(value, "");

    rule = "type";

    if (ngx_eb_json_type(&body->doc->json, node) != '"') {
        bad = "a string is expected";
        goto bad;
    }

    if (ngx_eb_json_string(&body->doc->json, node, body->violations.pool,
                           value)
        != NGX_OK)
    {
        body->failed = 1;
        return NGX_DECLINED;
    }

    rule = "value";
    bad = ngx_eb_genesys_bad_string(value, 1, len);

    if (bad) {
        goto bad;
    }

    other = values->elts;

    for (n = 0; n + 1 < values->nelts; n++) {

        if (other[n].len == value->len
            && ngx_memcmp(other[n].data, value->data, value->len) == 0)
        {
            rule = "unique";
            bad = "it is there twice";
            goto bad;
        }
    }

    return NGX_OK;

bad:

    n = ngx_strlen(field);

    p = ngx_pnalloc(body->violations.pool, n + NGX_INT_T_LEN + 2);
    if (p == NULL) {
        body->failed = 1;
        return NGX_DECLINED;
    }

    path.data = p;
    path.len = (size_t) (ngx_sprintf(p, "%s[%ui]", field, i) - p);

    ngx_eb_genesys_body_note(body, &path, rule, bad);

    return NGX_DECLINED;
}


const char *
ngx_eb_genesys_bad_string(ngx_str_t *value, size_t min, size_t max)
{
    size_t  i;

    if (value->len < min) {
        return (min == 1) ? "it is empty" : "it is too short";
    }

    if (value->len > max) {
        return "it is too long";
    }

    for (i = 0; i < value->len; i++) {

        if (value->data[i] < ' ' || value->data[i] == 0x7f) {
            return "it has a control character";
        }

        /* an escape can make what is no UTF-8 */

        if (value->data[i] == 0xed && i + 1 < value->len
            && value->data[i + 1] >= 0xa0)
        {
            return "it has half of a surrogate pair";
        }
    }

    return NULL;
}


const char *
ngx_eb_genesys_bad_endpoint(ngx_str_t *url)
{
    u_char      *p, *last;
    ngx_int_t    port;
    const char  *bad;

    p = url->data;
    last = p + url->len;

    if (url->len > NGX_EB_GENESYS_MAX_URL) {
        return "the URL is too long";
    }

    if (url->len < 8 || ngx_strncasecmp(p, (u_char *) "https://", 8) != 0) {
        return "an https:// URL is expected";
    }

    for ( /* void */ ; p < last; p++) {

        if (*p <= ' ' || *p >= 0x7f || *p == '"' || *p == '\\' || *p == '<'
            || *p == '>' || *p == '#')
        {
            return "a URL has no such character";
        }
    }

    bad = ngx_eb_genesys_bad_host(url->data + 8, last, &p);

    if (bad) {
        return bad;
    }

    if (p < last && *p == ':') {
        port = 0;

        for (p++; p < last && *p >= '0' && *p <= '9' && port < 65536; p++) {
            port = port * 10 + (*p - '0');
        }

        if (port < 1 || port > 65535) {
            return "the port is none";
        }
    }

    if (p < last && *p != '/' && *p != '?') {
        return "the host is none";
    }

    return NULL;
}


/* a name, an IPv4 address, or an IPv6 address in brackets */

static const char *
ngx_eb_genesys_bad_host(u_char *p, u_char *last, u_char **end)
{
    u_char      *start;
    ngx_uint_t   colons;

    start = p;

    while (p < last && *p != '/' && *p != '?') {

        if (*p == '@') {
            return "user information has no place in it";
        }

        p++;
    }

    last = p;
    p = start;

    if (p < last && *p == '[') {
        colons = 0;

        for (p++; p < last && *p != ']'; p++) {

            if (*p == ':') {
                colons++;
                continue;
            }

            if (*p != '.' && !(*p >= '0' && *p <= '9')
                && !((*p | 0x20) >= 'a' && (*p | 0x20) <= 'f'))
            {
                return "the address is none";
            }
        }

        if (p == last || colons < 2 || p - start > 46) {
            return "the address is none";
        }

        *end = p + 1;

        return NULL;
    }

    for ( /* void */ ; p < last && *p != ':'; p++) {

        if (*p == '-' || *p == '_' || (*p >= '0' && *p <= '9')
            || ((*p | 0x20) >= 'a' && (*p | 0x20) <= 'z'))
        {
            continue;
        }

        /* no empty label */

        if (*p == '.' && p > start && p[-1] != '.') {
            continue;
        }

        return "the host is none";
    }

    if (p == start) {
        return "it has no host";
    }

    if (p - start > NGX_EB_GENESYS_MAX_HOST) {
        return "the host is too long";
    }

    *end = p;

    return NULL;
}
