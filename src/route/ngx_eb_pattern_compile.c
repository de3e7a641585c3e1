
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The objects of an event pattern: fields, "$or", and the variants that it
 * expands to.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_regex.h"
#include "ngx_eb_pattern.h"
#include "ngx_eb_pattern_form.h"


#define NGX_EB_PATTERN_ERROR_LEN  512


typedef struct {
    ngx_eb_pattern_cond_t    *cond;
    ngx_str_t                *name;
} ngx_eb_pattern_sort_t;


static ngx_int_t ngx_eb_pattern_compile_text(ngx_eb_pattern_compiler_t *c,
    ngx_eb_json_parser_t *parser, ngx_str_t *text,
    ngx_eb_pattern_t **pattern);
static ngx_int_t ngx_eb_pattern_root(ngx_eb_pattern_compiler_t *c);
static ngx_int_t ngx_eb_pattern_object(ngx_eb_pattern_compiler_t *c,
    ngx_eb_json_node_t node, ngx_uint_t in_or);
static ngx_int_t ngx_eb_pattern_or(ngx_eb_pattern_compiler_t *c,
    ngx_eb_json_node_t node);
static ngx_uint_t ngx_eb_pattern_reserved(ngx_str_t *name);
static ngx_int_t ngx_eb_pattern_join(ngx_eb_pattern_compiler_t *c,
    ngx_str_t *name, ngx_str_t *path);
static ngx_int_t ngx_eb_pattern_put(ngx_eb_pattern_compiler_t *c,
    ngx_eb_json_node_t node, ngx_eb_pattern_cond_t *cond, ngx_str_t *path);
static ngx_int_t ngx_eb_pattern_copy(ngx_eb_pattern_compiler_t *c,
    ngx_array_t *from, ngx_array_t *to);
static ngx_int_t ngx_eb_pattern_finish(ngx_eb_pattern_compiler_t *c,
    ngx_eb_pattern_t *pattern);
static int ngx_libc_cdecl ngx_eb_pattern_cond_cmp(const void *one,
    const void *two);


/* names of operators, of today and of tomorrow */

static ngx_str_t  ngx_eb_pattern_reserved_names[] = {
    ngx_string("exactly"),
    ngx_string("prefix"),
    ngx_string("suffix"),
    ngx_string("equals-ignore-case"),
    ngx_string("wildcard"),
    ngx_string("numeric"),
    ngx_string("cidr"),
    ngx_string("exists"),
    ngx_string("anything-but"),
    ngx_string("="),
    ngx_string("<"),
    ngx_string("<="),
    ngx_string(">"),
    ngx_string(">="),
    ngx_string("regex"),
    ngx_string("not-wildcard"),
    ngx_string("not-equals-ignore-case"),
    ngx_string("date-after"),
    ngx_string("date-on-or-after"),
    ngx_string("date-before"),
    ngx_string("date-on-or-before"),
    ngx_string("in-date-range"),
    ngx_string("ip-address-in-range"),
    ngx_string("ip-address-not-in-range"),
    ngx_null_string
};


ngx_int_t
ngx_eb_pattern_compile(ngx_eb_pattern_set_t *set, ngx_str_t *text,
    ngx_eb_pattern_t **pattern, ngx_eb_pattern_error_t *err)
{
    ngx_int_t                  rc;
    ngx_eb_json_parser_t      *parser;
    ngx_eb_pattern_compiler_t  c;

    ngx_memzero(err, sizeof(ngx_eb_pattern_error_t));
    ngx_memzero(&c, sizeof(ngx_eb_pattern_compiler_t));

    c.set = set;
    c.err = err;

    if (text->len > NGX_EB_PATTERN_MAX_TEXT) {
        return ngx_eb_pattern_error(&c, NGX_EB_PATTERN_MAX_TEXT, NULL,
                                    "a pattern may have %d bytes",
                                    NGX_EB_PATTERN_MAX_TEXT);
    }

    c.temp = ngx_create_pool(4096, set->pool->log);
    if (c.temp == NULL) {
        return NGX_ERROR;
    }

    parser = ngx_eb_json_parser_create();

    if (parser == NULL) {
        ngx_destroy_pool(c.temp);
        return NGX_ERROR;
    }

    rc = ngx_eb_pattern_compile_text(&c, parser, text, pattern);

    ngx_eb_json_parser_destroy(parser);
    ngx_destroy_pool(c.temp);

    return rc;
}


static ngx_int_t
ngx_eb_pattern_compile_text(ngx_eb_pattern_compiler_t *c,
    ngx_eb_json_parser_t *parser, ngx_str_t *text, ngx_eb_pattern_t **pattern)
{
    ngx_int_t                rc;
    ngx_eb_pattern_t        *pt;
    ngx_eb_json_error_t      json_err;
    ngx_eb_pattern_error_t   first;

    if (ngx_eb_json_parse(parser, text->data, text->len,
                          NGX_EB_PATTERN_MAX_DEPTH, &c->json, &json_err)
        != NGX_OK)
    {
        if (json_err.code == NGX_EB_JSON_E_NOMEM) {
            return NGX_ERROR;
        }

        return ngx_eb_pattern_error(c, json_err.offset, NULL,
                                    "invalid JSON: %s",
                                    ngx_eb_json_strerror(json_err.code));
    }

    if (ngx_eb_json_type(&c->json, 0) != '{') {
        return ngx_eb_pattern_error(c, c->json.pos[0], NULL,
                                    "Filter is not an object");
    }

    rc = ngx_eb_pattern_root(c);

    if (rc == NGX_DECLINED && c->saw_or) {

        /* Event Ruler once more compiles with "$or" as an ordinary name */

        first = *c->err;
        c->legacy = 1;

        rc = ngx_eb_pattern_root(c);

        if (rc == NGX_DECLINED) {
            *c->err = first;
        }
    }

    if (rc != NGX_OK) {
        return rc;
    }

    pt = ngx_pcalloc(c->set->pool, sizeof(ngx_eb_pattern_t));
    if (pt == NULL) {
        return NGX_ERROR;
    }

    pt->text = *text;
    pt->set = c->set;

    if (ngx_eb_pattern_finish(c, pt) != NGX_OK) {
        return NGX_ERROR;
    }

    *pattern = pt;

    return NGX_OK;
}


static ngx_int_t
ngx_eb_pattern_root(ngx_eb_pattern_compiler_t *c)
{
    ngx_array_t  *conds;

    if (ngx_array_init(&c->variants, c->temp, 4, sizeof(ngx_array_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    conds = ngx_array_push(&c->variants);
    if (conds == NULL) {
        return NGX_ERROR;
    }

    if (ngx_array_init(conds, c->temp, 8, sizeof(ngx_eb_pattern_cond_t *))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    c->nconds = 0;
    ngx_str_null(&c->path);

    return ngx_eb_pattern_object(c, 0, 0);
}


static ngx_int_t
ngx_eb_pattern_object(ngx_eb_pattern_compiler_t *c, ngx_eb_json_node_t node,
    ngx_uint_t in_or)
{
    ngx_int_t               rc;
    ngx_str_t               name, path, outer;
    ngx_eb_json_t          *json;
    ngx_eb_json_node_t      key;
    ngx_eb_pattern_cond_t  *cond;

    json = &c->json;
    key = ngx_eb_json_first(json, node);

    if (key == NGX_EB_JSON_NONE) {
        return ngx_eb_pattern_error(c, json->pos[node], &c->path,
                                    "Empty objects are not allowed");
    }

    for ( /* void */ ;
         key != NGX_EB_JSON_NONE;
         key = ngx_eb_json_after(json, key + 2))
    {
        if (ngx_eb_json_string(json, key, c->set->pool, &name) != NGX_OK) {
            return NGX_ERROR;
        }

        if (name.len == 3 && ngx_strncmp(name.data, "$or", 3) == 0) {
            c->saw_or = 1;

            if (!c->legacy) {
                rc = ngx_eb_pattern_or(c, key + 2);

                if (rc != NGX_OK) {
                    return rc;
                }

                continue;
            }
        }

        if (ngx_eb_pattern_join(c, &name, &path) != NGX_OK) {
            return NGX_ERROR;
        }

        if (in_or && ngx_eb_pattern_reserved(&name)) {
            return ngx_eb_pattern_error(c, json->pos[key], &path,
                                        "%V is Ruler reserved fieldName which"
                                        " cannot be used inside \"$or\"",
                                        &name);
        }

        switch (ngx_eb_json_type(json, key + 2)) {

        case '{':
            outer = c->path;
            c->path = path;

            rc = ngx_eb_pattern_object(c, key + 2, in_or);

            c->path = outer;
            break;

        case '[':
            cond = ngx_pcalloc(c->set->pool, sizeof(ngx_eb_pattern_cond_t));
            if (cond == NULL) {
                return NGX_ERROR;
            }

            rc = ngx_eb_pattern_array(c, key + 2, &path, cond);

            if (rc == NGX_OK) {
                rc = ngx_eb_pattern_put(c, key, cond, &path);
            }

            break;

        default:
            return ngx_eb_pattern_error(c, json->pos[key + 2], &path,
                                        "\"%V\" must be an object or an array",
                                        &name);
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_pattern_or(ngx_eb_pattern_compiler_t *c, ngx_eb_json_node_t node)
{
    ngx_int_t            rc;
    ngx_uint_t           n;
    ngx_array_t          before, all, *conds, *to;
    ngx_eb_json_t       *json;
    ngx_eb_json_node_t   item;

    json = &c->json;

    if (ngx_eb_json_type(json, node) != '[') {
        return ngx_eb_pattern_error(c, json->pos[node], &c->path,
                                    "It must be an Array followed with \"$or\""
                                    );
    }

    /* each object goes on from what there was before all of them */

    before = c->variants;
    n = 0;

    if (ngx_array_init(&all, c->temp, 4, sizeof(ngx_array_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    for (item = ngx_eb_json_first(json, node);
         item != NGX_EB_JSON_NONE;
         item = ngx_eb_json_after(json, item))
    {
        if (ngx_eb_json_type(json, item) != '{') {
            return ngx_eb_pattern_error(c, json->pos[item], &c->path,
                                        "Only objects are allowed in the"
                                        " array of \"$or\"");
        }

        if (ngx_array_init(&c->variants, c->temp, before.nelts,
                           sizeof(ngx_array_t))
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        rc = ngx_eb_pattern_copy(c, &before, &c->variants);
        if (rc != NGX_OK) {
            return rc;
        }

        rc = ngx_eb_pattern_object(c, item, 1);
        if (rc != NGX_OK) {
            return rc;
        }

        conds = c->variants.elts;

        if (all.nelts + c->variants.nelts > NGX_EB_PATTERN_MAX_VARIANTS
            || c->nconds > NGX_EB_PATTERN_MAX_CONDITIONS)
        {
            return ngx_eb_pattern_error(c, json->pos[item], &c->path,
                                        "Rule is too complex: \"$or\" makes"
                                        " too many combinations");
        }

        to = ngx_array_push_n(&all, c->variants.nelts);
        if (to == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(to, conds, c->variants.nelts * sizeof(ngx_array_t));

        n++;
    }

    if (n < 2) {
        return ngx_eb_pattern_error(c, json->pos[node], &c->path,
                                    "There must have at least 2 Objects in"
                                    " \"$or\" relationship");
    }

    c->variants = all;

    return NGX_OK;
}


static ngx_uint_t
ngx_eb_pattern_reserved(ngx_str_t *name)
{
    ngx_str_t  *p;

    for (p = ngx_eb_pattern_reserved_names; p->len; p++) {

        if (p->len == name->len
            && ngx_memcmp(p->data, name->data, name->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_eb_pattern_join(ngx_eb_pattern_compiler_t *c, ngx_str_t *name,
    ngx_str_t *path)
{
    u_char  *p;

    /* an empty path is that of the whole event, or an empty name in it */

    if (c->path.data == NULL) {
        *path = *name;

        if (path->data == NULL) {
            path->data = (u_char *) "";
        }

        return NGX_OK;
    }

    path->len = c->path.len + 1 + name->len;

    path->data = ngx_pnalloc(c->set->pool, path->len);
    if (path->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(path->data, c->path.data, c->path.len);
    *p++ = '.';
    ngx_memcpy(p, name->data, name->len);

    return NGX_OK;
}


/* the condition is one of all variants; it replaces an earlier one */

static ngx_int_t
ngx_eb_pattern_put(ngx_eb_pattern_compiler_t *c, ngx_eb_json_node_t node,
    ngx_eb_pattern_cond_t *cond, ngx_str_t *path)
{
    ngx_uint_t               i, k;
    ngx_array_t             *variant;
    ngx_eb_pattern_cond_t  **conds, **to;

    for (i = 0, k = 0; i < path->len; i++) {
        if (path->data[i] == '.' && ++k == NGX_EB_PATTERN_MAX_PARTS) {
            return ngx_eb_pattern_error(c, c->json.pos[node], path,
                                        "a field may have %d parts",
                                        NGX_EB_PATTERN_MAX_PARTS);
        }
    }

    if (c->set->fields.nelts >= NGX_EB_PATTERN_MAX_SET_FIELDS) {
        return ngx_eb_pattern_error(c, c->json.pos[node], path,
                                    "there are too many fields in patterns");
    }

    cond->field = ngx_eb_pattern_field(c->set, path);
    if (cond->field == NGX_EB_PATTERN_NONE) {
        return NGX_ERROR;
    }

    variant = c->variants.elts;

    for (i = 0; i < c->variants.nelts; i++) {
        conds = variant[i].elts;

        for (k = 0; k < variant[i].nelts; k++) {
            if (conds[k]->field == cond->field) {
                conds[k] = cond;
                break;
            }
        }

        if (k < variant[i].nelts) {
            continue;
        }

        if (k == NGX_EB_PATTERN_MAX_FIELDS
            || c->nconds == NGX_EB_PATTERN_MAX_CONDITIONS)
        {
            return ngx_eb_pattern_error(c, c->json.pos[node], path,
                                        "Rule is too complex: it has too many"
                                        " fields");
        }

        to = ngx_array_push(&variant[i]);
        if (to == NULL) {
            return NGX_ERROR;
        }

        *to = cond;
        c->nconds++;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_pattern_copy(ngx_eb_pattern_compiler_t *c, ngx_array_t *from,
    ngx_array_t *to)
{
    void         *conds;
    ngx_uint_t    i;
    ngx_array_t  *src, *dst;

    src = from->elts;

    for (i = 0; i < from->nelts; i++) {
        dst = ngx_array_push(to);
        if (dst == NULL) {
            return NGX_ERROR;
        }

        if (ngx_array_init(dst, c->temp, src[i].nelts + 4,
                           sizeof(ngx_eb_pattern_cond_t *))
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        conds = ngx_array_push_n(dst, src[i].nelts);
        if (conds == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(conds, src[i].elts,
                   src[i].nelts * sizeof(ngx_eb_pattern_cond_t *));

        c->nconds += src[i].nelts;
    }

    return NGX_OK;
}


/* the variants, with their conditions by field names, go to the pattern */

static ngx_int_t
ngx_eb_pattern_finish(ngx_eb_pattern_compiler_t *c, ngx_eb_pattern_t *pattern)
{
    ngx_str_t                 *names;
    ngx_uint_t                 i, k, n;
    ngx_array_t               *src;
    ngx_eb_pattern_cond_t    **conds;
    ngx_eb_pattern_sort_t     *sort;
    ngx_eb_pattern_variant_t  *variant;

    names = c->set->fields.elts;
    src = c->variants.elts;

    pattern->nvariants = c->variants.nelts;

    variant = ngx_pcalloc(c->set->pool, pattern->nvariants
                                        * sizeof(ngx_eb_pattern_variant_t));
    if (variant == NULL) {
        return NGX_ERROR;
    }

    pattern->variants = variant;

    for (i = 0; i < pattern->nvariants; i++) {
        n = src[i].nelts;
        conds = src[i].elts;

        variant[i].n = n;

        variant[i].conds = ngx_palloc(c->set->pool,
                                      n * sizeof(ngx_eb_pattern_cond_t *));
        if (variant[i].conds == NULL) {
            return NGX_ERROR;
        }

        sort = ngx_palloc(c->temp, n * sizeof(ngx_eb_pattern_sort_t));
        if (sort == NULL) {
            return NGX_ERROR;
        }

        for (k = 0; k < n; k++) {
            sort[k].cond = conds[k];
            sort[k].name = &names[conds[k]->field];
        }

        ngx_qsort(sort, n, sizeof(ngx_eb_pattern_sort_t),
                  ngx_eb_pattern_cond_cmp);

        for (k = 0; k < n; k++) {
            variant[i].conds[k] = sort[k].cond;

            /* variants share most of their conditions */

            if (pattern->nvariants > 1
                && sort[k].cond->memo == NGX_EB_PATTERN_NONE)
            {
                sort[k].cond->memo = c->set->memos++;
            }
        }
    }

    return NGX_OK;
}


static int ngx_libc_cdecl
ngx_eb_pattern_cond_cmp(const void *one, const void *two)
{
    const ngx_eb_pattern_sort_t *a = one;
    const ngx_eb_pattern_sort_t *b = two;

    return ngx_eb_pattern_name_cmp(a->name, b->name);
}


ngx_int_t
ngx_eb_pattern_error(ngx_eb_pattern_compiler_t *c, size_t offset,
    ngx_str_t *field, const char *fmt, ...)
{
    u_char   *p, *last;
    va_list   args;

    p = ngx_pnalloc(c->set->pool, NGX_EB_PATTERN_ERROR_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    va_start(args, fmt);
    last = ngx_vslprintf(p, p + NGX_EB_PATTERN_ERROR_LEN, fmt, args);
    va_end(args);

    c->err->message.data = p;
    c->err->message.len = last - p;
    c->err->offset = offset;

    if (field) {
        c->err->field = *field;

    } else {
        ngx_str_null(&c->err->field);
    }

    return NGX_DECLINED;
}


ngx_str_t *
ngx_eb_pattern_text(ngx_eb_pattern_t *pattern)
{
    return &pattern->text;
}


ngx_uint_t
ngx_eb_pattern_variants(ngx_eb_pattern_t *pattern)
{
    return pattern->nvariants;
}


ngx_uint_t
ngx_eb_pattern_conditions(ngx_eb_pattern_t *pattern, ngx_uint_t variant)
{
    return pattern->variants[variant].n;
}


void
ngx_eb_pattern_condition(ngx_eb_pattern_t *pattern, ngx_uint_t variant,
    ngx_uint_t i, ngx_eb_pattern_condition_t *condition)
{
    ngx_eb_pattern_cond_t  *cond;

    cond = pattern->variants[variant].conds[i];

    condition->name = *ngx_eb_pattern_set_field(pattern->set, cond->field);
    condition->field = cond->field;
    condition->keys = cond->keys;
    condition->values = cond->listed;
    condition->nvalues = cond->nlisted;
    condition->strings = cond->strings;
    condition->absent = cond->absent;
}
