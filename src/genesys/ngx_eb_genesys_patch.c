
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_json_edit.h"
#include "ngx_eb_genesys_duration.h"
#include "ngx_eb_genesys_patch.h"


/* beyond it a power of ten is as good as infinite */
#define NGX_EB_GENESYS_MAX_POWER   1000000000

#define NGX_EB_GENESYS_MAX_DIGITS  15


/* digits, without zeros at either end, times ten to the power */

typedef struct {
    u_char                   *first;        /* there may be a point among
                                               them */
    ngx_uint_t                n;
    int64_t                   power;
    ngx_uint_t                negative;
} ngx_eb_genesys_number_t;


typedef struct {
    ngx_eb_genesys_doc_t     *ours;
    ngx_eb_genesys_doc_t     *theirs;
    ngx_eb_json_edit_t        edit;
    ngx_str_t                *differs;
} ngx_eb_genesys_patch_t;


static void ngx_eb_genesys_doc_cleanup(void *data);
static void ngx_eb_genesys_number(ngx_str_t *raw,
    ngx_eb_genesys_number_t *number);
static size_t ngx_eb_genesys_members_len(ngx_eb_genesys_member_t *member);
static u_char *ngx_eb_genesys_members_copy(u_char *p,
    ngx_eb_genesys_member_t *member);
static ngx_int_t ngx_eb_genesys_patch_object(ngx_eb_genesys_patch_t *patch,
    ngx_eb_json_node_t object, ngx_eb_genesys_member_t *member);
static ngx_int_t ngx_eb_genesys_same(ngx_eb_genesys_patch_t *patch,
    ngx_eb_json_node_t node, ngx_eb_genesys_member_t *member);
static ngx_int_t ngx_eb_genesys_same_value(ngx_eb_genesys_patch_t *patch,
    ngx_eb_json_node_t our, ngx_eb_json_node_t their);
static ngx_int_t ngx_eb_genesys_same_array(ngx_eb_genesys_patch_t *patch,
    ngx_eb_json_node_t node, ngx_uint_t set);
static ngx_int_t ngx_eb_genesys_same_scalar(ngx_eb_genesys_patch_t *patch,
    ngx_eb_json_node_t our, ngx_eb_json_node_t their);
static ngx_int_t ngx_eb_genesys_same_duration(ngx_eb_genesys_patch_t *patch,
    ngx_eb_json_node_t our, ngx_eb_json_node_t their);
static ngx_uint_t ngx_eb_genesys_same_number(ngx_str_t *a, ngx_str_t *b);


ngx_eb_genesys_doc_t *
ngx_eb_genesys_doc_create(ngx_pool_t *pool)
{
    ngx_pool_cleanup_t    *cln;
    ngx_eb_genesys_doc_t  *doc;

    doc = ngx_pcalloc(pool, sizeof(ngx_eb_genesys_doc_t));
    if (doc == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    doc->pool = pool;

    doc->parser = ngx_eb_json_parser_create();
    if (doc->parser == NULL) {
        return NULL;
    }

    cln->handler = ngx_eb_genesys_doc_cleanup;
    cln->data = doc;

    return doc;
}


static void
ngx_eb_genesys_doc_cleanup(void *data)
{
    ngx_eb_genesys_doc_t *doc = data;

    ngx_eb_json_parser_destroy(doc->parser);
}


ngx_int_t
ngx_eb_genesys_doc_read(ngx_eb_genesys_doc_t *doc, ngx_str_t *text,
    ngx_eb_json_error_t *err)
{
    if (ngx_eb_json_parse(doc->parser, text->data, text->len,
                          NGX_EB_GENESYS_MAX_DEPTH, &doc->json, err)
        == NGX_OK)
    {
        return NGX_OK;
    }

    return (err->code == NGX_EB_JSON_E_NOMEM) ? NGX_ERROR : NGX_DECLINED;
}


ngx_int_t
ngx_eb_genesys_doc_object(ngx_eb_genesys_doc_t *doc, ngx_str_t *text)
{
    ngx_int_t            rc;
    ngx_eb_json_error_t  err;

    rc = ngx_eb_genesys_doc_read(doc, text, &err);

    if (rc == NGX_OK && ngx_eb_json_type(&doc->json, 0) != '{') {
        return NGX_DECLINED;
    }

    return rc;
}


ngx_int_t
ngx_eb_genesys_doc_string(ngx_eb_genesys_doc_t *doc, ngx_eb_json_node_t node,
    const char *name, ngx_str_t *value)
{
    ngx_str_t  key;

    ngx_str_null(value);

    if (ngx_eb_json_type(&doc->json, node) != '{') {
        return NGX_DECLINED;
    }

    key.data = (u_char *) name;
    key.len = ngx_strlen(name);

    node = ngx_eb_json_member(&doc->json, node, &key);

    if (node == NGX_EB_JSON_NONE
        || ngx_eb_json_type(&doc->json, node) != '"')
    {
        return NGX_DECLINED;
    }

    return ngx_eb_json_string(&doc->json, node, doc->pool, value);
}


ngx_int_t
ngx_eb_genesys_doc_integer(ngx_eb_genesys_doc_t *doc, ngx_eb_json_node_t node,
    const char *name, int64_t *value)
{
    ngx_str_t  key, raw;

    if (ngx_eb_json_type(&doc->json, node) != '{') {
        return NGX_DECLINED;
    }

    key.data = (u_char *) name;
    key.len = ngx_strlen(name);

    node = ngx_eb_json_member(&doc->json, node, &key);

    if (node == NGX_EB_JSON_NONE
        || ngx_eb_json_type(&doc->json, node) != '0')
    {
        return NGX_DECLINED;
    }

    ngx_eb_json_raw(&doc->json, node, &raw);

    return ngx_eb_genesys_integer(&raw, value);
}


ngx_uint_t
ngx_eb_genesys_doc_version(ngx_eb_genesys_doc_t *doc, int64_t version)
{
    int64_t  has;

    return version < 0
           || (ngx_eb_genesys_doc_integer(doc, 0, "version", &has) == NGX_OK
               && has == version);
}


ngx_int_t
ngx_eb_genesys_integer(ngx_str_t *raw, int64_t *value)
{
    u_char                   *p;
    int64_t                   n;
    ngx_uint_t                i;
    ngx_eb_genesys_number_t   number;

    ngx_eb_genesys_number(raw, &number);

    if (number.n == 0) {
        *value = 0;
        return NGX_OK;
    }

    if (number.negative
        || number.power < 0
        || number.n > NGX_EB_GENESYS_MAX_DIGITS
        || number.power > (int64_t) (NGX_EB_GENESYS_MAX_DIGITS - number.n))
    {
        return NGX_DECLINED;
    }

    p = number.first;
    n = 0;

    for (i = 0; i < number.n; p++) {

        if (*p != '.') {
            n = n * 10 + (*p - '0');
            i++;
        }
    }

    while (number.power--) {
        n *= 10;
    }

    *value = n;

    return NGX_OK;
}


ngx_int_t
ngx_eb_genesys_number_cmp(ngx_str_t *raw, int64_t n)
{
    u_char                   *p;
    int64_t                   whole, places;
    ngx_uint_t                used;
    ngx_eb_genesys_number_t   number;

    ngx_eb_genesys_number(raw, &number);

    if (number.n == 0) {
        return n ? -1 : 0;
    }

    if (number.negative) {
        return -1;
    }

    /* of the digits, so many stand before the point */

    places = (int64_t) number.n + number.power;

    if (places > NGX_EB_GENESYS_MAX_DIGITS + 1) {
        return 1;
    }

    p = number.first;
    whole = 0;
    used = 0;

    for ( /* void */ ; places > 0; places--) {

        if (used == number.n) {
            whole *= 10;
            continue;
        }

        if (*p == '.') {
            p++;
        }

        whole = whole * 10 + (*p++ - '0');
        used++;
    }

    if (whole != n) {
        return (whole < n) ? -1 : 1;
    }

    /* what is left is not all zeros */

    return (used < number.n) ? 1 : 0;
}


/* raw is a number as JSON has it, with nothing else around */

static void
ngx_eb_genesys_number(ngx_str_t *raw, ngx_eb_genesys_number_t *number)
{
    u_char      *p, *last;
    int64_t      places, power;
    ngx_uint_t   n, point, minus;

    p = raw->data;
    last = p + raw->len;

    number->first = NULL;
    number->n = 0;
    number->power = 0;
    number->negative = 0;

    if (*p == '-') {
        number->negative = 1;
        p++;
    }

    n = 0;              /* digits since the first that is not zero */
    places = 0;         /* digits behind the last such one */
    point = 0;

    for ( /* void */ ; p < last && *p != 'e' && *p != 'E'; p++) {

        if (*p == '.') {
            point = 1;
            continue;
        }

        number->power -= point;

        if (number->first == NULL) {

            if (*p == '0') {
                continue;
            }

            number->first = p;
        }

        n++;

        if (*p == '0') {
            places++;
            continue;
        }

        number->n = n;
        places = 0;
    }

    number->power += places;

    if (p == last || number->first == NULL) {
        return;
    }

    p++;
    minus = (*p == '-');

    if (*p == '-' || *p == '+') {
        p++;
    }

    for (power = 0; p < last; p++) {

        if (power < NGX_EB_GENESYS_MAX_POWER) {
            power = power * 10 + (*p - '0');
        }
    }

    number->power += minus ? -power : power;
}


ngx_eb_genesys_member_t *
ngx_eb_genesys_member(ngx_pool_t *pool, ngx_eb_genesys_member_t **first,
    const char *name, ngx_str_t *text)
{
    ngx_eb_genesys_member_t  *member;

    member = ngx_pcalloc(pool, sizeof(ngx_eb_genesys_member_t));
    if (member == NULL) {
        return NULL;
    }

    member->name.data = (u_char *) name;
    member->name.len = ngx_strlen(name);

    if (text) {
        member->text = *text;
    }

    while (*first) {
        first = &(*first)->next;
    }

    *first = member;

    return member;
}


ngx_eb_genesys_member_t *
ngx_eb_genesys_member_string(ngx_pool_t *pool,
    ngx_eb_genesys_member_t **first, const char *name, ngx_str_t *value)
{
    ngx_str_t  text;

    if (ngx_eb_json_quote(pool, value, &text) != NGX_OK) {
        return NULL;
    }

    return ngx_eb_genesys_member(pool, first, name, &text);
}


ngx_eb_genesys_member_t *
ngx_eb_genesys_member_number(ngx_pool_t *pool,
    ngx_eb_genesys_member_t **first, const char *name, ngx_uint_t value)
{
    ngx_str_t  text;

    text.data = ngx_pnalloc(pool, NGX_INT_T_LEN);
    if (text.data == NULL) {
        return NULL;
    }

    text.len = (size_t) (ngx_sprintf(text.data, "%ui", value) - text.data);

    return ngx_eb_genesys_member(pool, first, name, &text);
}


ngx_eb_genesys_member_t *
ngx_eb_genesys_member_strings(ngx_pool_t *pool,
    ngx_eb_genesys_member_t **first, const char *name, ngx_array_t *values)
{
    ngx_str_t    text, *value, *quoted;
    ngx_uint_t   i;

    quoted = ngx_palloc(pool, (values->nelts + 1) * sizeof(ngx_str_t));
    if (quoted == NULL) {
        return NULL;
    }

    value = values->elts;

    for (i = 0; i < values->nelts; i++) {

        if (ngx_eb_json_quote(pool, &value[i], &quoted[i]) != NGX_OK) {
            return NULL;
        }
    }

    if (ngx_eb_genesys_array_write(pool, quoted, values->nelts, &text)
        != NGX_OK)
    {
        return NULL;
    }

    return ngx_eb_genesys_member(pool, first, name, &text);
}


ngx_int_t
ngx_eb_genesys_array_write(ngx_pool_t *pool, ngx_str_t *texts, ngx_uint_t n,
    ngx_str_t *array)
{
    u_char      *p;
    size_t       len;
    ngx_uint_t   i;

    len = 2;

    for (i = 0; i < n; i++) {
        len += texts[i].len + 1;
    }

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    array->data = p;
    *p++ = '[';

    for (i = 0; i < n; i++) {

        if (i) {
            *p++ = ',';
        }

        p = ngx_cpymem(p, texts[i].data, texts[i].len);
    }

    *p++ = ']';
    array->len = (size_t) (p - array->data);

    return NGX_OK;
}


ngx_int_t
ngx_eb_genesys_members_write(ngx_pool_t *pool,
    ngx_eb_genesys_member_t *first, ngx_str_t *text)
{
    text->len = ngx_eb_genesys_members_len(first);

    text->data = ngx_pnalloc(pool, text->len);
    if (text->data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_eb_genesys_members_copy(text->data, first);

    return NGX_OK;
}


static size_t
ngx_eb_genesys_members_len(ngx_eb_genesys_member_t *member)
{
    size_t  len;

    /* braces, and a comma less than there are members */

    len = member ? 1 : 2;

    for ( /* void */ ; member; member = member->next) {
        len += member->name.len + sizeof("\"\":,") - 1;
        len += member->child ? ngx_eb_genesys_members_len(member->child)
                             : member->text.len;
    }

    return len;
}


static u_char *
ngx_eb_genesys_members_copy(u_char *p, ngx_eb_genesys_member_t *member)
{
    *p++ = '{';

    while (member) {
        *p++ = '"';
        p = ngx_cpymem(p, member->name.data, member->name.len);
        *p++ = '"';
        *p++ = ':';

        if (member->child) {
            p = ngx_eb_genesys_members_copy(p, member->child);

        } else {
            p = ngx_cpymem(p, member->text.data, member->text.len);
        }

        member = member->next;

        if (member) {
            *p++ = ',';
        }
    }

    *p++ = '}';

    return p;
}


ngx_int_t
ngx_eb_genesys_patch(ngx_eb_genesys_doc_t *ours,
    ngx_eb_genesys_doc_t *theirs, ngx_eb_genesys_member_t *first,
    ngx_str_t *text, ngx_str_t *out, ngx_str_t *differs)
{
    ngx_int_t               rc;
    ngx_pool_t             *pool;
    ngx_eb_genesys_patch_t  patch;

    ngx_str_null(differs);
    *out = *text;

    rc = ngx_eb_genesys_doc_object(theirs, text);

    if (rc != NGX_OK) {
        return rc;
    }

    pool = theirs->pool;

    patch.ours = ours;
    patch.theirs = theirs;
    patch.differs = differs;

    if (ngx_eb_json_edit_init(&patch.edit, pool, &theirs->json) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_eb_genesys_patch_object(&patch, 0, first) != NGX_OK) {
        return NGX_ERROR;
    }

    if (differs->len == 0) {
        return NGX_OK;
    }

    /* each member is changed once: nothing is declined */

    if (ngx_eb_json_edit_apply(&patch.edit, out) != NGX_OK) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_genesys_patch_object(ngx_eb_genesys_patch_t *patch,
    ngx_eb_json_node_t object, ngx_eb_genesys_member_t *member)
{
    u_char               type;
    ngx_int_t            rc;
    ngx_str_t            text;
    ngx_eb_json_t       *json;
    ngx_eb_json_node_t   node;

    json = &patch->theirs->json;

    for ( /* void */ ; member; member = member->next) {

        node = ngx_eb_json_member(json, object, &member->name);
        type = (node == NGX_EB_JSON_NONE) ? 0 : ngx_eb_json_type(json, node);

        if (member->child && type == '{') {

            if (ngx_eb_genesys_patch_object(patch, node, member->child)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

            continue;
        }

        if (member->child == NULL && node != NGX_EB_JSON_NONE) {

            if (member->missing) {
                continue;
            }

            rc = ngx_eb_genesys_same(patch, node, member);

            if (rc == NGX_ERROR) {
                return NGX_ERROR;
            }

            if (rc == NGX_OK) {
                continue;
            }
        }

        if (patch->differs->len == 0 && !member->missing) {
            *patch->differs = member->name;
        }

        text = member->text;

        if (member->child
            && ngx_eb_genesys_members_write(patch->theirs->pool,
                                            member->child, &text)
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (node == NGX_EB_JSON_NONE) {
            rc = ngx_eb_json_edit_insert(&patch->edit, object,
                                         NGX_EB_JSON_NONE, &member->name,
                                         &text);
        } else {
            rc = ngx_eb_json_edit_replace(&patch->edit, node, &text);
        }

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * Does the value at node say what the member says?  NGX_OK, NGX_DECLINED, or
 * NGX_ERROR: no memory.
 */

static ngx_int_t
ngx_eb_genesys_same(ngx_eb_genesys_patch_t *patch, ngx_eb_json_node_t node,
    ngx_eb_genesys_member_t *member)
{
    ngx_eb_json_error_t  err;

    /* text is ours: it can always be read */

    if (ngx_eb_genesys_doc_read(patch->ours, &member->text, &err) != NGX_OK) {
        return NGX_ERROR;
    }

    if (member->whole) {
        return ngx_eb_genesys_same_value(patch, 0, node);
    }

    if (ngx_eb_json_type(&patch->ours->json, 0) == '[') {
        return ngx_eb_genesys_same_array(patch, node, member->set);
    }

    if (member->duration) {
        return ngx_eb_genesys_same_duration(patch, 0, node);
    }

    return ngx_eb_genesys_same_scalar(patch, 0, node);
}


/*
 * Both values in depth, which the parsers bound; members have no order.  Ours
 * has been validated, so no object of it has many, nor one name twice.
 */

static ngx_int_t
ngx_eb_genesys_same_value(ngx_eb_genesys_patch_t *patch,
    ngx_eb_json_node_t our, ngx_eb_json_node_t their)
{
    u_char               type;
    ngx_int_t            rc;
    ngx_str_t            name;
    ngx_eb_json_t       *ours, *theirs;
    ngx_eb_json_node_t   step, node, other;

    ours = &patch->ours->json;
    theirs = &patch->theirs->json;

    type = ngx_eb_json_type(ours, our);

    if (type != '{' && type != '[') {
        return ngx_eb_genesys_same_scalar(patch, our, their);
    }

    if (ngx_eb_json_type(theirs, their) != type) {
        return NGX_DECLINED;
    }

    /* a member is a key, a colon, and its value */

    step = (type == '{') ? 2 : 0;

    node = ngx_eb_json_first(ours, our);
    other = ngx_eb_json_first(theirs, their);

    while (node != NGX_EB_JSON_NONE && other != NGX_EB_JSON_NONE) {
        node = ngx_eb_json_after(ours, node + step);
        other = ngx_eb_json_after(theirs, other + step);
    }

    if (node != other) {
        return NGX_DECLINED;
    }

    node = ngx_eb_json_first(ours, our);
    other = ngx_eb_json_first(theirs, their);

    while (node != NGX_EB_JSON_NONE) {

        if (step) {
            if (ngx_eb_json_string(ours, node, patch->theirs->pool, &name)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

            other = ngx_eb_json_member(theirs, their, &name);

            if (other == NGX_EB_JSON_NONE) {
                return NGX_DECLINED;
            }
        }

        rc = ngx_eb_genesys_same_value(patch, node + step, other);

        if (rc != NGX_OK) {
            return rc;
        }

        node = ngx_eb_json_after(ours, node + step);

        if (step == 0) {
            other = ngx_eb_json_after(theirs, other);
        }
    }

    return NGX_OK;
}


/*
 * Our array has no equal elements; so theirs, with as many elements, is the
 * same set if it has each of ours.
 */

static ngx_int_t
ngx_eb_genesys_same_array(ngx_eb_genesys_patch_t *patch,
    ngx_eb_json_node_t node, ngx_uint_t set)
{
    ngx_int_t            rc;
    ngx_eb_json_t       *ours, *theirs;
    ngx_eb_json_node_t   first, our, their;

    ours = &patch->ours->json;
    theirs = &patch->theirs->json;

    if (ngx_eb_json_type(theirs, node) != '[') {
        return NGX_DECLINED;
    }

    first = ngx_eb_json_first(theirs, node);

    our = ngx_eb_json_first(ours, 0);
    their = first;

    while (our != NGX_EB_JSON_NONE && their != NGX_EB_JSON_NONE) {
        our = ngx_eb_json_after(ours, our);
        their = ngx_eb_json_after(theirs, their);
    }

    if (our != their) {
        return NGX_DECLINED;
    }

    their = first;

    for (our = ngx_eb_json_first(ours, 0);
         our != NGX_EB_JSON_NONE;
         our = ngx_eb_json_after(ours, our))
    {
        if (set) {
            their = first;
        }

        for ( ;; ) {

            if (their == NGX_EB_JSON_NONE) {
                return NGX_DECLINED;
            }

            rc = ngx_eb_genesys_same_scalar(patch, our, their);

            their = ngx_eb_json_after(theirs, their);

            if (rc == NGX_OK) {
                break;
            }

            if (rc == NGX_ERROR || !set) {
                return rc;
            }
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_genesys_same_scalar(ngx_eb_genesys_patch_t *patch,
    ngx_eb_json_node_t our, ngx_eb_json_node_t their)
{
    u_char     type;
    ngx_str_t  a, b;

    type = ngx_eb_json_type(&patch->ours->json, our);

    if (type != ngx_eb_json_type(&patch->theirs->json, their)) {
        return NGX_DECLINED;
    }

    switch (type) {

    case '"':
        if (ngx_eb_json_string(&patch->ours->json, our, patch->ours->pool, &a)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        return ngx_eb_json_string_eq(&patch->theirs->json, their, &a)
               ? NGX_OK : NGX_DECLINED;

    case '0':
        ngx_eb_json_raw(&patch->ours->json, our, &a);
        ngx_eb_json_raw(&patch->theirs->json, their, &b);

        return ngx_eb_genesys_same_number(&a, &b) ? NGX_OK : NGX_DECLINED;

    case '{':
    case '[':
        return NGX_DECLINED;

    default:
        return NGX_OK;
    }
}


static ngx_int_t
ngx_eb_genesys_same_duration(ngx_eb_genesys_patch_t *patch,
    ngx_eb_json_node_t our, ngx_eb_json_node_t their)
{
    ngx_str_t    a, b;
    const char  *why;
    ngx_uint_t   ours, theirs;

    if (ngx_eb_json_type(&patch->theirs->json, their) != '"') {
        return NGX_DECLINED;
    }

    if (ngx_eb_json_string(&patch->ours->json, our, patch->ours->pool, &a)
        != NGX_OK
        || ngx_eb_json_string(&patch->theirs->json, their,
                              patch->theirs->pool, &b)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_eb_genesys_duration(&a, &ours, &why) != NGX_OK
        || ngx_eb_genesys_duration(&b, &theirs, &why) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    return (ours == theirs) ? NGX_OK : NGX_DECLINED;
}


static ngx_uint_t
ngx_eb_genesys_same_number(ngx_str_t *a, ngx_str_t *b)
{
    u_char                   *p, *q;
    ngx_uint_t                i;
    ngx_eb_genesys_number_t   x, y;

    ngx_eb_genesys_number(a, &x);
    ngx_eb_genesys_number(b, &y);

    if (x.n != y.n) {
        return 0;
    }

    /* 0 and -0.0e7 */

    if (x.n == 0) {
        return 1;
    }

    if (x.negative != y.negative || x.power != y.power) {
        return 0;
    }

    p = x.first;
    q = y.first;

    for (i = 0; i < x.n; i++) {
        p += (*p == '.');
        q += (*q == '.');

        if (*p++ != *q++) {
            return 0;
        }
    }

    return 1;
}
