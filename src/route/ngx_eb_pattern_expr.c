
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The arrays of an event pattern: values and match expressions.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <math.h>
#include "ngx_eb_json.h"
#include "ngx_eb_regex.h"
#include "ngx_eb_pattern.h"
#include "ngx_eb_pattern_form.h"


/* where the compiler is: in the array of a field */

typedef struct {
    ngx_eb_pattern_compiler_t  *c;
    ngx_str_t                  *field;
    ngx_eb_pattern_cond_t      *cond;
    ngx_array_t                 listed;     /* ngx_str_t, for an index */
    ngx_array_t                 keys;       /* uint64_t */
    ngx_uint_t                  others;     /* that no index can list */
    ngx_uint_t                  nonstrings;
} ngx_eb_pattern_expr_t;


typedef ngx_int_t (*ngx_eb_pattern_expr_pt)(ngx_eb_pattern_expr_t *x,
    ngx_eb_json_node_t node);


typedef struct {
    ngx_str_t                 name;
    ngx_eb_pattern_expr_pt    handler;
} ngx_eb_pattern_expr_name_t;


#define ngx_eb_pattern_is(str, text)                                         \
    ((str)->len == sizeof(text) - 1                                          \
     && ngx_memcmp((str)->data, text, sizeof(text) - 1) == 0)

#define ngx_eb_pattern_fail(x, node, ...)                                    \
    ngx_eb_pattern_error((x)->c, (x)->c->json.pos[node], (x)->field,         \
                         __VA_ARGS__)


static ngx_int_t ngx_eb_pattern_value(ngx_eb_pattern_expr_t *x,
    ngx_eb_json_node_t node);
static ngx_int_t ngx_eb_pattern_list(ngx_eb_pattern_expr_t *x, u_char type,
    ngx_str_t *text);
static ngx_int_t ngx_eb_pattern_expression(ngx_eb_pattern_expr_t *x,
    ngx_eb_json_node_t node);
static ngx_int_t ngx_eb_pattern_single(ngx_eb_pattern_expr_t *x,
    ngx_eb_json_node_t node, const char *kind, ngx_str_t *name);
static ngx_int_t ngx_eb_pattern_text_of(ngx_eb_pattern_expr_t *x,
    ngx_eb_json_node_t node, const char *name, ngx_str_t *text);
static ngx_eb_pattern_op_t *ngx_eb_pattern_op(ngx_eb_pattern_values_t *values,
    ngx_eb_pattern_op_e type);
static ngx_int_t ngx_eb_pattern_nocase(ngx_eb_pattern_expr_t *x,
    ngx_eb_pattern_values_t *values, ngx_eb_pattern_op_e type,
    ngx_str_t *text);
static ngx_int_t ngx_eb_pattern_quoted(ngx_eb_pattern_expr_t *x,
    ngx_eb_pattern_values_t *values, ngx_eb_pattern_op_e type,
    ngx_str_t *text);
static ngx_int_t ngx_eb_pattern_wild(ngx_eb_pattern_expr_t *x,
    ngx_eb_pattern_values_t *values, ngx_eb_json_node_t node,
    ngx_str_t *text, ngx_uint_t nocase);
static ngx_int_t ngx_eb_pattern_affix(ngx_eb_pattern_expr_t *x,
    ngx_eb_json_node_t node, const char *name, ngx_eb_pattern_op_e plain,
    ngx_eb_pattern_op_e nocase);
static ngx_int_t ngx_eb_pattern_exactly(ngx_eb_pattern_expr_t *x,
    ngx_eb_json_node_t node);
static ngx_int_t ngx_eb_pattern_prefix(ngx_eb_pattern_expr_t *x,
    ngx_eb_json_node_t node);
static ngx_int_t ngx_eb_pattern_suffix(ngx_eb_pattern_expr_t *x,
    ngx_eb_json_node_t node);
static ngx_int_t ngx_eb_pattern_text_expr(ngx_eb_pattern_expr_t *x,
    ngx_eb_json_node_t node);
static ngx_int_t ngx_eb_pattern_regex(ngx_eb_pattern_expr_t *x,
    ngx_eb_json_node_t node);
static ngx_int_t ngx_eb_pattern_cidr_expr(ngx_eb_pattern_expr_t *x,
    ngx_eb_json_node_t node);
static ngx_int_t ngx_eb_pattern_exists(ngx_eb_pattern_expr_t *x,
    ngx_eb_json_node_t node);
static ngx_int_t ngx_eb_pattern_numeric(ngx_eb_pattern_expr_t *x,
    ngx_eb_json_node_t node);
static ngx_int_t ngx_eb_pattern_bound(ngx_eb_pattern_expr_t *x,
    ngx_eb_json_node_t node, const char *op, double *value);
static ngx_int_t ngx_eb_pattern_but(ngx_eb_pattern_expr_t *x,
    ngx_eb_json_node_t node);
static ngx_int_t ngx_eb_pattern_but_value(ngx_eb_pattern_expr_t *x,
    ngx_eb_json_node_t node, ngx_eb_pattern_values_t *but);
static ngx_int_t ngx_eb_pattern_but_text(ngx_eb_pattern_expr_t *x,
    ngx_eb_json_node_t node, ngx_str_t *name, ngx_eb_pattern_values_t *but);


static ngx_eb_pattern_expr_name_t  ngx_eb_pattern_names[] = {
    { ngx_string("prefix"), ngx_eb_pattern_prefix },
    { ngx_string("suffix"), ngx_eb_pattern_suffix },
    { ngx_string("anything-but"), ngx_eb_pattern_but },
    { ngx_string("exists"), ngx_eb_pattern_exists },
    { ngx_string("numeric"), ngx_eb_pattern_numeric },
    { ngx_string("equals-ignore-case"), ngx_eb_pattern_text_expr },
    { ngx_string("wildcard"), ngx_eb_pattern_text_expr },
    { ngx_string("cidr"), ngx_eb_pattern_cidr_expr },
    { ngx_string("exactly"), ngx_eb_pattern_exactly },
    { ngx_string("regex"), ngx_eb_pattern_regex },
    { ngx_string("wildcard-ignore-case"), ngx_eb_pattern_text_expr },
    { ngx_null_string, NULL }
};


ngx_int_t
ngx_eb_pattern_array(ngx_eb_pattern_compiler_t *c, ngx_eb_json_node_t node,
    ngx_str_t *field, ngx_eb_pattern_cond_t *cond)
{
    ngx_int_t              rc;
    ngx_pool_t            *pool;
    ngx_eb_json_node_t     item;
    ngx_eb_pattern_expr_t  x;

    pool = c->set->pool;

    ngx_memzero(&x, sizeof(ngx_eb_pattern_expr_t));

    x.c = c;
    x.field = field;
    x.cond = cond;

    cond->memo = NGX_EB_PATTERN_NONE;
    ngx_eb_json_raw(&c->json, node, &cond->text);

    item = ngx_eb_json_first(&c->json, node);

    if (item == NGX_EB_JSON_NONE) {
        return ngx_eb_pattern_fail(&x, node, "Empty arrays are not allowed");
    }

    if (ngx_eb_pattern_values_init(pool, &cond->values) != NGX_OK
        || ngx_array_init(&x.listed, pool, 1, sizeof(ngx_str_t)) != NGX_OK
        || ngx_array_init(&x.keys, pool, 1, sizeof(uint64_t)) != NGX_OK)
    {
        return NGX_ERROR;
    }

    for ( /* void */ ;
         item != NGX_EB_JSON_NONE;
         item = ngx_eb_json_after(&c->json, item))
    {
        rc = ngx_eb_pattern_value(&x, item);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    ngx_eb_pattern_values_sort(&cond->values);

    cond->positive = (cond->values.strings.nelts || cond->values.numbers.nelts
                      || cond->values.ops.nelts);

    if (x.others == 0) {
        cond->listed = x.listed.elts;
        cond->nlisted = x.listed.nelts;
        cond->keys = x.keys.elts;
        cond->strings = (x.nonstrings == 0);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_pattern_value(ngx_eb_pattern_expr_t *x, ngx_eb_json_node_t node)
{
    double                number, *p;
    u_char                type;
    ngx_str_t             text, *str;
    ngx_eb_json_t        *json;
    ngx_eb_pattern_op_t  *op;

    ngx_eb_pattern_address_t  address;

    json = &x->c->json;
    type = ngx_eb_json_type(json, node);

    switch (type) {

    case '{':
        return ngx_eb_pattern_expression(x, node);

    case '[':
        return ngx_eb_pattern_fail(x, node, "Match value must be String,"
                                   " number, true, false, or null");

    case '"':
        if (ngx_eb_json_string(json, node, x->c->set->pool, &text) != NGX_OK) {
            return NGX_ERROR;
        }

        /* what looks like an address is compared as one */

        address.len = ngx_eb_pattern_address(text.data, text.len,
                                             address.bottom);
        if (address.len) {
            ngx_memcpy(address.top, address.bottom, sizeof(address.top));

            op = ngx_eb_pattern_op(&x->cond->values,
                                   NGX_EB_PATTERN_OP_ADDRESS);
            if (op == NULL) {
                return NGX_ERROR;
            }

            op->u.address = ngx_palloc(x->c->set->pool,
                                       sizeof(ngx_eb_pattern_address_t));
            if (op->u.address == NULL) {
                return NGX_ERROR;
            }

            *op->u.address = address;
            x->others++;

            return NGX_OK;
        }

        str = ngx_array_push(&x->cond->values.strings);
        if (str == NULL) {
            return NGX_ERROR;
        }

        *str = text;

        return ngx_eb_pattern_list(x, type, &text);

    default:
        break;
    }

    ngx_eb_json_raw(json, node, &text);
    x->nonstrings++;

    if (type == '0') {

        if (ngx_eb_pattern_number(text.data, text.len, &number) == NGX_OK) {
            p = ngx_array_push(&x->cond->values.numbers);
            if (p == NULL) {
                return NGX_ERROR;
            }

            *p = number;

        } else {
            op = ngx_eb_pattern_op(&x->cond->values, NGX_EB_PATTERN_OP_TEXT);
            if (op == NULL) {
                return NGX_ERROR;
            }

            op->text = text;
        }

    } else {
        op = ngx_eb_pattern_op(&x->cond->values, NGX_EB_PATTERN_OP_LITERAL);
        if (op == NULL) {
            return NGX_ERROR;
        }

        op->u.literal = type;
    }

    return ngx_eb_pattern_list(x, type, &text);
}


static ngx_int_t
ngx_eb_pattern_list(ngx_eb_pattern_expr_t *x, u_char type, ngx_str_t *text)
{
    uint64_t   *key;
    ngx_str_t  *str;

    str = ngx_array_push(&x->listed);
    if (str == NULL) {
        return NGX_ERROR;
    }

    *str = *text;

    key = ngx_array_push(&x->keys);
    if (key == NULL) {
        return NGX_ERROR;
    }

    *key = ngx_eb_pattern_key(type, text);

    return NGX_OK;
}


static ngx_int_t
ngx_eb_pattern_expression(ngx_eb_pattern_expr_t *x, ngx_eb_json_node_t node)
{
    ngx_int_t                    rc;
    ngx_str_t                    name;
    ngx_eb_pattern_expr_name_t  *p;

    rc = ngx_eb_pattern_single(x, node, "Match", &name);
    if (rc != NGX_OK) {
        return rc;
    }

    for (p = ngx_eb_pattern_names; p->name.len; p++) {

        if (p->name.len == name.len
            && ngx_memcmp(p->name.data, name.data, name.len) == 0)
        {
            return p->handler(x, node + 3);
        }
    }

    return ngx_eb_pattern_fail(x, node + 1, "Unrecognized match type %V",
                               &name);
}


/* an object of one member: the key is node + 1, the value is node + 3 */

static ngx_int_t
ngx_eb_pattern_single(ngx_eb_pattern_expr_t *x, ngx_eb_json_node_t node,
    const char *kind, ngx_str_t *name)
{
    ngx_eb_json_t       *json;
    ngx_eb_json_node_t   key;

    json = &x->c->json;
    key = ngx_eb_json_first(json, node);

    if (key == NGX_EB_JSON_NONE) {
        return ngx_eb_pattern_fail(x, node, "%s expression name not found",
                                   kind);
    }

    if (ngx_eb_json_string(json, key, x->c->set->pool, name) != NGX_OK) {
        return NGX_ERROR;
    }

    key = ngx_eb_json_after(json, key + 2);

    if (key != NGX_EB_JSON_NONE) {
        return ngx_eb_pattern_fail(x, key,
                                   "Only one key allowed in match expression");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_pattern_text_of(ngx_eb_pattern_expr_t *x, ngx_eb_json_node_t node,
    const char *name, ngx_str_t *text)
{
    if (ngx_eb_json_type(&x->c->json, node) != '"') {
        return ngx_eb_pattern_fail(x, node, "%s match pattern must be a"
                                   " string", name);
    }

    return ngx_eb_json_string(&x->c->json, node, x->c->set->pool, text);
}


static ngx_eb_pattern_op_t *
ngx_eb_pattern_op(ngx_eb_pattern_values_t *values, ngx_eb_pattern_op_e type)
{
    ngx_eb_pattern_op_t  *op;

    op = ngx_array_push(&values->ops);
    if (op == NULL) {
        return NULL;
    }

    ngx_memzero(op, sizeof(ngx_eb_pattern_op_t));
    op->type = type;

    return op;
}


static ngx_int_t
ngx_eb_pattern_nocase(ngx_eb_pattern_expr_t *x,
    ngx_eb_pattern_values_t *values, ngx_eb_pattern_op_e type, ngx_str_t *text)
{
    ngx_eb_pattern_op_t  *op;

    op = ngx_eb_pattern_op(values, type);
    if (op == NULL) {
        return NGX_ERROR;
    }

    op->u.nocase = ngx_palloc(x->c->set->pool,
                              sizeof(ngx_eb_pattern_case_text_t));
    if (op->u.nocase == NULL) {
        return NGX_ERROR;
    }

    return ngx_eb_pattern_case_compile(x->c->set->pool, text, op->u.nocase);
}


/*
 * Event Ruler compares strings together with their quotes: a prefix that ends
 * with a quote, and a suffix that begins with one, is also all of a string.
 */

static ngx_int_t
ngx_eb_pattern_quoted(ngx_eb_pattern_expr_t *x,
    ngx_eb_pattern_values_t *values, ngx_eb_pattern_op_e type, ngx_str_t *text)
{
    ngx_str_t   all, *str;
    ngx_uint_t  prefix;

    prefix = (type == NGX_EB_PATTERN_OP_PREFIX
              || type == NGX_EB_PATTERN_OP_PREFIX_CASE);

    if (text->len == 0 || text->data[prefix ? text->len - 1 : 0] != '"') {
        return NGX_OK;
    }

    all.data = text->data + (prefix ? 0 : 1);
    all.len = text->len - 1;

    if (type == NGX_EB_PATTERN_OP_PREFIX_CASE
        || type == NGX_EB_PATTERN_OP_SUFFIX_CASE)
    {
        return ngx_eb_pattern_nocase(x, values, NGX_EB_PATTERN_OP_EQUAL_CASE,
                                     &all);
    }

    str = ngx_array_push(&values->strings);
    if (str == NULL) {
        return NGX_ERROR;
    }

    *str = all;

    return NGX_OK;
}


static ngx_int_t
ngx_eb_pattern_wild(ngx_eb_pattern_expr_t *x, ngx_eb_pattern_values_t *values,
    ngx_eb_json_node_t node, ngx_str_t *text, ngx_uint_t nocase)
{
    size_t                pos;
    ngx_int_t             rc;
    const char           *why;
    ngx_eb_pattern_op_t  *op;

    op = ngx_eb_pattern_op(values, nocase ? NGX_EB_PATTERN_OP_WILDCARD_CASE
                                          : NGX_EB_PATTERN_OP_WILDCARD);
    if (op == NULL) {
        return NGX_ERROR;
    }

    op->u.wildcard = ngx_palloc(x->c->set->pool,
                                sizeof(ngx_eb_pattern_wildcard_t));
    if (op->u.wildcard == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_eb_pattern_wildcard_compile(x->c->set->pool, x->c->temp, text,
                                         nocase, op->u.wildcard, &why, &pos);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (pos == 0) {
        return ngx_eb_pattern_fail(x, node, "%s", why);
    }

    return ngx_eb_pattern_fail(x, node, "%s at pos %uz", why, pos);
}


static ngx_int_t
ngx_eb_pattern_affix(ngx_eb_pattern_expr_t *x, ngx_eb_json_node_t node,
    const char *name, ngx_eb_pattern_op_e plain, ngx_eb_pattern_op_e nocase)
{
    ngx_int_t             rc;
    ngx_str_t             text, inner;
    ngx_eb_pattern_op_t  *op;

    x->others++;
    ngx_str_null(&inner);

    if (ngx_eb_json_type(&x->c->json, node) == '{') {

        rc = ngx_eb_pattern_single(x, node,
                                   (plain == NGX_EB_PATTERN_OP_PREFIX)
                                   ? "Prefix" : "Suffix", &inner);
        if (rc != NGX_OK) {
            return rc;
        }

        if (!ngx_eb_pattern_is(&inner, "equals-ignore-case")) {
            return ngx_eb_pattern_fail(x, node + 1, "Unsupported %s pattern:"
                                       " %V", name, &inner);
        }

        rc = ngx_eb_pattern_text_of(x, node + 3, "equals-ignore-case", &text);
        if (rc != NGX_OK) {
            return rc;
        }

        if (ngx_eb_pattern_quoted(x, &x->cond->values, nocase, &text)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        return ngx_eb_pattern_nocase(x, &x->cond->values, nocase, &text);
    }

    rc = ngx_eb_pattern_text_of(x, node, name, &text);
    if (rc != NGX_OK) {
        return rc;
    }

    op = ngx_eb_pattern_op(&x->cond->values, plain);
    if (op == NULL) {
        return NGX_ERROR;
    }

    op->text = text;

    return ngx_eb_pattern_quoted(x, &x->cond->values, plain, &text);
}


/* unlike a value by itself it is never an address */

static ngx_int_t
ngx_eb_pattern_exactly(ngx_eb_pattern_expr_t *x, ngx_eb_json_node_t node)
{
    ngx_int_t   rc;
    ngx_str_t   text, *str;

    rc = ngx_eb_pattern_text_of(x, node, "exact", &text);
    if (rc != NGX_OK) {
        return rc;
    }

    str = ngx_array_push(&x->cond->values.strings);
    if (str == NULL) {
        return NGX_ERROR;
    }

    *str = text;

    return ngx_eb_pattern_list(x, '"', &text);
}


static ngx_int_t
ngx_eb_pattern_prefix(ngx_eb_pattern_expr_t *x, ngx_eb_json_node_t node)
{
    return ngx_eb_pattern_affix(x, node, "prefix", NGX_EB_PATTERN_OP_PREFIX,
                                NGX_EB_PATTERN_OP_PREFIX_CASE);
}


static ngx_int_t
ngx_eb_pattern_suffix(ngx_eb_pattern_expr_t *x, ngx_eb_json_node_t node)
{
    return ngx_eb_pattern_affix(x, node, "suffix", NGX_EB_PATTERN_OP_SUFFIX,
                                NGX_EB_PATTERN_OP_SUFFIX_CASE);
}


/* operators of one string that are known by its name */

static ngx_int_t
ngx_eb_pattern_text_expr(ngx_eb_pattern_expr_t *x, ngx_eb_json_node_t node)
{
    ngx_int_t   rc;
    ngx_str_t   name, text;

    x->others++;

    if (ngx_eb_json_string(&x->c->json, node - 2, x->c->temp, &name)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_eb_pattern_text_of(x, node,
                                (name.data[0] == 'e') ? "equals-ignore-case"
                                : ngx_eb_pattern_is(&name, "wildcard")
                                  ? "wildcard" : "wildcard-ignore-case",
                                &text);
    if (rc != NGX_OK) {
        return rc;
    }

    if (name.data[0] == 'e') {
        return ngx_eb_pattern_nocase(x, &x->cond->values,
                                     NGX_EB_PATTERN_OP_EQUAL_CASE, &text);
    }

    return ngx_eb_pattern_wild(x, &x->cond->values, node, &text,
                               !ngx_eb_pattern_is(&name, "wildcard"));
}


static ngx_int_t
ngx_eb_pattern_regex(ngx_eb_pattern_expr_t *x, ngx_eb_json_node_t node)
{
    size_t                offset;
    ngx_int_t             rc;
    ngx_str_t             text, err;
    ngx_eb_pattern_op_t  *op;

    x->others++;

    rc = ngx_eb_pattern_text_of(x, node, "regex", &text);
    if (rc != NGX_OK) {
        return rc;
    }

    op = ngx_eb_pattern_op(&x->cond->values, NGX_EB_PATTERN_OP_REGEX);
    if (op == NULL) {
        return NGX_ERROR;
    }

    op->u.regex = ngx_eb_regex_compile(x->c->set->pool, &text, &err, &offset);

    if (op->u.regex) {
        return NGX_OK;
    }

    if (err.data == NULL) {
        return NGX_ERROR;
    }

    return ngx_eb_pattern_fail(x, node, "invalid regex: %V at pos %uz", &err,
                               offset);
}


static ngx_int_t
ngx_eb_pattern_cidr_expr(ngx_eb_pattern_expr_t *x, ngx_eb_json_node_t node)
{
    ngx_int_t             rc;
    ngx_str_t             text;
    const char           *why;
    ngx_eb_pattern_op_t  *op;

    x->others++;

    rc = ngx_eb_pattern_text_of(x, node, "cidr", &text);
    if (rc != NGX_OK) {
        return rc;
    }

    op = ngx_eb_pattern_op(&x->cond->values, NGX_EB_PATTERN_OP_ADDRESS);
    if (op == NULL) {
        return NGX_ERROR;
    }

    op->u.address = ngx_pcalloc(x->c->set->pool,
                                sizeof(ngx_eb_pattern_address_t));
    if (op->u.address == NULL) {
        return NGX_ERROR;
    }

    why = ngx_eb_pattern_cidr(&text, op->u.address);

    if (why) {
        return ngx_eb_pattern_fail(x, node, "%s: %V", why, &text);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_pattern_exists(ngx_eb_pattern_expr_t *x, ngx_eb_json_node_t node)
{
    switch (ngx_eb_json_type(&x->c->json, node)) {

    case 't':
        x->others++;

        return ngx_eb_pattern_op(&x->cond->values, NGX_EB_PATTERN_OP_ANY)
               ? NGX_OK : NGX_ERROR;

    case 'f':
        x->others++;
        x->cond->absent = 1;

        return NGX_OK;

    default:
        return ngx_eb_pattern_fail(x, node, "exists match pattern must be"
                                   " either true or false");
    }
}


static ngx_int_t
ngx_eb_pattern_numeric(ngx_eb_pattern_expr_t *x, ngx_eb_json_node_t node)
{
    double                   number, *p;
    ngx_int_t                rc;
    ngx_str_t                op, second;
    ngx_uint_t               greater;
    ngx_eb_json_t           *json;
    ngx_eb_json_node_t       item;
    ngx_eb_pattern_op_t     *pop;
    ngx_eb_pattern_range_t  *range;

    x->others++;

    json = &x->c->json;

    if (ngx_eb_json_type(json, node) != '[') {
        return ngx_eb_pattern_fail(x, node, "Value of numeric must be an"
                                   " array");
    }

    item = ngx_eb_json_first(json, node);

    if (item == NGX_EB_JSON_NONE || ngx_eb_json_type(json, item) != '"') {
        return ngx_eb_pattern_fail(x, (item == NGX_EB_JSON_NONE) ? node : item,
                                   "Invalid member in numeric match");
    }

    if (ngx_eb_json_string(json, item, x->c->set->pool, &op) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!ngx_eb_pattern_is(&op, "=") && !ngx_eb_pattern_is(&op, "<")
        && !ngx_eb_pattern_is(&op, "<=") && !ngx_eb_pattern_is(&op, ">")
        && !ngx_eb_pattern_is(&op, ">="))
    {
        return ngx_eb_pattern_fail(x, item, "Unrecognized numeric range"
                                   " operator: %V", &op);
    }

    number = 0;
    greater = (op.data[0] == '>');

    item = ngx_eb_json_after(json, item);

    rc = ngx_eb_pattern_bound(x, (item == NGX_EB_JSON_NONE) ? node : item,
                              (op.data[0] == '=') ? "equals"
                              : greater ? "> or >=" : "< or <=", &number);
    if (rc != NGX_OK) {
        return rc;
    }

    item = ngx_eb_json_after(json, item);

    if (item != NGX_EB_JSON_NONE && !greater) {
        return ngx_eb_pattern_fail(x, item, "Too many elements in numeric"
                                   " expression");
    }

    if (op.data[0] == '=') {
        p = ngx_array_push(&x->cond->values.numbers);
        if (p == NULL) {
            return NGX_ERROR;
        }

        *p = number;

        return NGX_OK;
    }

    pop = ngx_eb_pattern_op(&x->cond->values, NGX_EB_PATTERN_OP_RANGE);
    if (pop == NULL) {
        return NGX_ERROR;
    }

    range = ngx_pcalloc(x->c->set->pool, sizeof(ngx_eb_pattern_range_t));
    if (range == NULL) {
        return NGX_ERROR;
    }

    pop->u.range = range;

    range->bottom = -HUGE_VAL;
    range->top = HUGE_VAL;

    if (!greater) {
        range->top = number;
        range->open_top = (op.len == 1);

        return NGX_OK;
    }

    range->bottom = number;
    range->open_bottom = (op.len == 1);

    if (item == NGX_EB_JSON_NONE) {
        return NGX_OK;
    }

    if (ngx_eb_json_type(json, item) != '"') {
        return ngx_eb_pattern_fail(x, item, "Bad value in numeric range");
    }

    if (ngx_eb_json_string(json, item, x->c->set->pool, &second) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!ngx_eb_pattern_is(&second, "<") && !ngx_eb_pattern_is(&second, "<="))
    {
        return ngx_eb_pattern_fail(x, item, "Bad numeric range operator: %V",
                                   &second);
    }

    item = ngx_eb_json_after(json, item);

    rc = ngx_eb_pattern_bound(x, (item == NGX_EB_JSON_NONE) ? node : item,
                              "< or <=", &range->top);
    if (rc != NGX_OK) {
        return rc;
    }

    range->open_top = (second.len == 1);

    item = ngx_eb_json_after(json, item);

    if (item != NGX_EB_JSON_NONE) {
        return ngx_eb_pattern_fail(x, item, "Too many terms in numeric range"
                                   " expression");
    }

    if (range->bottom >= range->top) {
        return ngx_eb_pattern_fail(x, node, "Bottom must be less than top");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_pattern_bound(ngx_eb_pattern_expr_t *x, ngx_eb_json_node_t node,
    const char *op, double *value)
{
    ngx_str_t  text;

    if (ngx_eb_json_type(&x->c->json, node) != '0') {
        return ngx_eb_pattern_fail(x, node, "Value of %s must be numeric", op);
    }

    ngx_eb_json_raw(&x->c->json, node, &text);

    if (ngx_eb_pattern_number(text.data, text.len, value) != NGX_OK) {
        return ngx_eb_pattern_fail(x, node, "Cannot compare number: %V",
                                   &text);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_pattern_but(ngx_eb_pattern_expr_t *x, ngx_eb_json_node_t node)
{
    ngx_int_t                 rc;
    ngx_str_t                 name;
    ngx_eb_json_t            *json;
    ngx_eb_json_node_t        item;
    ngx_eb_pattern_op_t      *op;
    ngx_eb_pattern_values_t  *but;

    x->others++;

    json = &x->c->json;

    but = ngx_pcalloc(x->c->set->pool, sizeof(ngx_eb_pattern_values_t));
    if (but == NULL) {
        return NGX_ERROR;
    }

    if (ngx_eb_pattern_values_init(x->c->set->pool, but) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_str_null(&name);

    if (ngx_eb_json_type(json, node) == '{') {

        rc = ngx_eb_pattern_single(x, node, "Anything-But", &name);
        if (rc != NGX_OK) {
            return rc;
        }

        if (!ngx_eb_pattern_is(&name, "prefix")
            && !ngx_eb_pattern_is(&name, "suffix")
            && !ngx_eb_pattern_is(&name, "equals-ignore-case")
            && !ngx_eb_pattern_is(&name, "wildcard"))
        {
            return ngx_eb_pattern_fail(x, node + 1, "Unsupported anything-but"
                                       " pattern: %V", &name);
        }

        node = node + 3;
    }

    if (ngx_eb_json_type(json, node) == '[') {
        item = ngx_eb_json_first(json, node);

        if (item == NGX_EB_JSON_NONE) {
            return ngx_eb_pattern_fail(x, node, "Empty arrays are not"
                                       " allowed");
        }

    } else {
        item = node;
    }

    for ( ;; ) {
        rc = name.data ? ngx_eb_pattern_but_text(x, item, &name, but)
                       : ngx_eb_pattern_but_value(x, item, but);

        if (rc != NGX_OK) {
            return rc;
        }

        if (item == node) {
            break;
        }

        item = ngx_eb_json_after(json, item);

        if (item == NGX_EB_JSON_NONE) {
            break;
        }
    }

    if (but->strings.nelts && but->numbers.nelts) {
        return ngx_eb_pattern_fail(x, node, "Inside anything-but list, either"
                                   " all values are number or string, mixed"
                                   " type is not supported");
    }

    ngx_eb_pattern_values_sort(but);

    op = ngx_eb_pattern_op(&x->cond->values, NGX_EB_PATTERN_OP_BUT);
    if (op == NULL) {
        return NGX_ERROR;
    }

    op->u.but = but;

    return NGX_OK;
}


static ngx_int_t
ngx_eb_pattern_but_value(ngx_eb_pattern_expr_t *x, ngx_eb_json_node_t node,
    ngx_eb_pattern_values_t *but)
{
    double     *p;
    ngx_str_t  *str;

    switch (ngx_eb_json_type(&x->c->json, node)) {

    case '"':
        str = ngx_array_push(&but->strings);
        if (str == NULL) {
            return NGX_ERROR;
        }

        return ngx_eb_json_string(&x->c->json, node, x->c->set->pool, str);

    case '0':
        p = ngx_array_push(&but->numbers);
        if (p == NULL) {
            return NGX_ERROR;
        }

        return ngx_eb_pattern_bound(x, node, "anything-but", p);

    default:
        return ngx_eb_pattern_fail(x, node, "Inside anything-but list,"
                                   " start|null|boolean is not supported");
    }
}


static ngx_int_t
ngx_eb_pattern_but_text(ngx_eb_pattern_expr_t *x, ngx_eb_json_node_t node,
    ngx_str_t *name, ngx_eb_pattern_values_t *but)
{
    ngx_str_t             text;
    ngx_eb_pattern_op_t  *op;
    ngx_eb_pattern_op_e   type;

    if (ngx_eb_json_type(&x->c->json, node) != '"') {
        return ngx_eb_pattern_fail(x, node, "Inside anything-but/%V list,"
                                   " number|start|null|boolean is not"
                                   " supported", name);
    }

    if (ngx_eb_json_string(&x->c->json, node, x->c->set->pool, &text)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    switch (name->data[0]) {

    case 'e':
        return ngx_eb_pattern_nocase(x, but, NGX_EB_PATTERN_OP_EQUAL_CASE,
                                     &text);

    case 'w':
        return ngx_eb_pattern_wild(x, but, node, &text, 0);

    case 'p':
        type = NGX_EB_PATTERN_OP_PREFIX;
        break;

    default:
        type = NGX_EB_PATTERN_OP_SUFFIX;
        break;
    }

    if (text.len == 0) {
        return ngx_eb_pattern_fail(x, node, "Null prefix/suffix not allowed");
    }

    op = ngx_eb_pattern_op(but, type);
    if (op == NULL) {
        return NGX_ERROR;
    }

    op->text = text;

    return ngx_eb_pattern_quoted(x, but, type, &text);
}
