
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>

#define PCRE2_CODE_UNIT_WIDTH  8
#include <pcre2.h>

#include "ngx_eb_genesys_filter_check.h"


#define NGX_EB_GENESYS_FILTER_MAX_ID      128
#define NGX_EB_GENESYS_FILTER_MAX_NAME    256
#define NGX_EB_GENESYS_FILTER_MAX_VALUE   1024
#define NGX_EB_GENESYS_FILTER_MAX_BODY    (512 * 1024)
#define NGX_EB_GENESYS_FILTER_MAX_DEPTH   8
#define NGX_EB_GENESYS_FILTER_MAX_ERRORS                                     \
    (NGX_EB_GENESYS_FILTER_MAX_VALUES + 20)

/* deeper ones are no patterns of people */
#define NGX_EB_GENESYS_FILTER_MAX_PARENS  50

/*
 * What compiling may cost, as other requests wait meanwhile, and PCRE2 knows
 * no limit of it: it takes more than twice the time for a pattern twice as
 * long, and for a wide range that ignores case, it looks at each character
 * of the range.
 */
#define NGX_EB_GENESYS_FILTER_MAX_SQUARE                                     \
    (4 * NGX_EB_GENESYS_FILTER_MAX_VALUE * NGX_EB_GENESYS_FILTER_MAX_VALUE)
#define NGX_EB_GENESYS_FILTER_MAX_RANGES  8

#define NGX_EB_GENESYS_FILTER_TEXT        256


typedef struct {
    ngx_pool_t                    *pool;
    ngx_eb_genesys_filter_args_t  *args;
    ngx_eb_genesys_filter_want_t  *want;
    ngx_array_t                   *errors;
    ngx_eb_json_t                  json;
    size_t                         square;      /* of regexes' lengths */
    ngx_uint_t                     ranges;      /* wide ones, any case */
    unsigned                       invalid:1;   /* not only a bad regex */
    unsigned                       nomem:1;
} ngx_eb_genesys_filter_checker_t;


static void ngx_eb_genesys_filter_check_id(
    ngx_eb_genesys_filter_checker_t *ck);
static void ngx_eb_genesys_filter_check_name(
    ngx_eb_genesys_filter_checker_t *ck, const char *field, ngx_str_t *name,
    ngx_uint_t required);
static void ngx_eb_genesys_filter_check_body(
    ngx_eb_genesys_filter_checker_t *ck, ngx_eb_json_parser_t *parser);
static void ngx_eb_genesys_filter_check_members(
    ngx_eb_genesys_filter_checker_t *ck, ngx_str_t *names,
    ngx_eb_json_node_t *values);
static void ngx_eb_genesys_filter_check_type(
    ngx_eb_genesys_filter_checker_t *ck, ngx_eb_json_node_t node);
static void ngx_eb_genesys_filter_check_values(
    ngx_eb_genesys_filter_checker_t *ck, const char *field,
    ngx_eb_json_node_t node);
static void ngx_eb_genesys_filter_check_value(
    ngx_eb_genesys_filter_checker_t *ck, const char *field, ngx_uint_t n,
    ngx_eb_json_node_t node);
static void ngx_eb_genesys_filter_add_value(
    ngx_eb_genesys_filter_checker_t *ck, ngx_str_t *value);
static void ngx_eb_genesys_filter_check_regex(
    ngx_eb_genesys_filter_checker_t *ck, ngx_str_t *field, ngx_str_t *value);
static ngx_uint_t ngx_eb_genesys_filter_ranges(ngx_str_t *value);
static const char *ngx_eb_genesys_filter_text(ngx_str_t *value,
    ngx_uint_t controls);
static void ngx_eb_genesys_filter_error(ngx_eb_genesys_filter_checker_t *ck,
    ngx_str_t *field, const char *rule, const char *message,
    ngx_int_t offset);
static void ngx_eb_genesys_filter_field(ngx_eb_genesys_filter_checker_t *ck,
    const char *field, const char *rule, const char *message);


/* ends with an empty one */

static ngx_str_t  ngx_eb_genesys_filter_members[] = {
    ngx_string("matchType"),
    ngx_string("values"),
    ngx_null_string
};

static ngx_str_t  ngx_eb_genesys_filter_topics[] = {
    ngx_string("topics"),
    ngx_null_string
};

static ngx_str_t  ngx_eb_genesys_filter_regex = ngx_string("regex");

static ngx_str_t  ngx_eb_genesys_filter_types[] = {
    ngx_string("exact"),
    ngx_string("regex"),
    ngx_string("exists"),
    ngx_string("notexists"),
    ngx_null_string
};


ngx_int_t
ngx_eb_genesys_filter_check(ngx_pool_t *pool, ngx_eb_json_parser_t *parser,
    ngx_eb_genesys_filter_args_t *args, ngx_eb_genesys_filter_want_t *want,
    ngx_array_t *errors, ngx_uint_t *status)
{
    ngx_uint_t                       change;
    ngx_eb_genesys_filter_checker_t  ck;

    ngx_memzero(&ck, sizeof(ngx_eb_genesys_filter_checker_t));
    ngx_memzero(want, sizeof(ngx_eb_genesys_filter_want_t));

    ck.pool = pool;
    ck.args = args;
    ck.want = want;
    ck.errors = errors;

    if (ngx_array_init(errors, pool, 4, sizeof(ngx_eb_genesys_filter_error_t))
        != NGX_OK
        || ngx_array_init(&want->values, pool, 4, sizeof(ngx_str_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    change = (args->verb != NGX_EB_GENESYS_FILTER_SHOW);

    ngx_eb_genesys_filter_check_id(&ck);

    if (args->topics) {
        ngx_eb_genesys_filter_check_name(&ck, "topic", &args->attribute, 0);

        if (args->verb == NGX_EB_GENESYS_FILTER_REMOVE) {
            want->goal = NGX_EB_GENESYS_FILTER_LACKS;

        } else if (args->attribute.len) {
            want->goal = NGX_EB_GENESYS_FILTER_HAS;
        }

        if (change && args->attribute.len) {
            ngx_eb_genesys_filter_add_value(&ck, &args->attribute);

        } else if (change) {
            ngx_eb_genesys_filter_check_body(&ck, parser);
        }

    } else {
        ngx_eb_genesys_filter_check_name(&ck, "subscription",
                                         &args->subscription,
                                         change || args->attribute.len);
        ngx_eb_genesys_filter_check_name(&ck, "attribute", &args->attribute,
                                         change);

        want->attribute = args->attribute;

        if (args->verb == NGX_EB_GENESYS_FILTER_REMOVE) {
            want->goal = NGX_EB_GENESYS_FILTER_LACKS;

        } else if (change) {
            ngx_eb_genesys_filter_check_body(&ck, parser);
        }
    }

    if (ck.nomem) {
        return NGX_ERROR;
    }

    if (errors->nelts == 0) {
        return NGX_OK;
    }

    *status = ck.invalid ? 400 : 422;

    return NGX_DECLINED;
}


/* a segment of a path: dots alone would be another path */

static void
ngx_eb_genesys_filter_check_id(ngx_eb_genesys_filter_checker_t *ck)
{
    u_char      ch;
    size_t      i;
    ngx_str_t  *id;

    id = &ck->args->integration;

    if (id->len == 0 || id->len > NGX_EB_GENESYS_FILTER_MAX_ID) {
        ngx_eb_genesys_filter_field(ck, "integration", "length",
                                    "an id has 1 to 128 characters");
        return;
    }

    for (i = 0; i < id->len; i++) {
        ch = id->data[i];

        if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
              || (ch >= '0' && ch <= '9')
              || ch == '-' || ch == '.' || ch == '_' || ch == '~'))
        {
            ngx_eb_genesys_filter_field(ck, "integration", "characters",
                           "an id consists of letters, digits, and -._~");
            return;
        }
    }

    if (id->data[0] == '.'
        && (id->len == 1 || (id->len == 2 && id->data[1] == '.')))
    {
        ngx_eb_genesys_filter_field(ck, "integration", "characters",
                                    "an id does not consist of dots");
    }
}


static void
ngx_eb_genesys_filter_check_name(ngx_eb_genesys_filter_checker_t *ck,
    const char *field, ngx_str_t *name, ngx_uint_t required)
{
    const char  *wrong;

    if (name->len == 0) {
        if (required) {
            ngx_eb_genesys_filter_field(ck, field, "required",
                                        "it is missing");
        }

        return;
    }

    if (name->len > NGX_EB_GENESYS_FILTER_MAX_NAME) {
        ngx_eb_genesys_filter_field(ck, field, "length",
                                    "it has more than 256 bytes");
        return;
    }

    wrong = ngx_eb_genesys_filter_text(name, 1);

    if (wrong) {
        ngx_eb_genesys_filter_field(ck, field, "characters", wrong);
    }
}


static void
ngx_eb_genesys_filter_check_body(ngx_eb_genesys_filter_checker_t *ck,
    ngx_eb_json_parser_t *parser)
{
    ngx_str_t             field;
    ngx_uint_t            topics;
    ngx_eb_json_node_t    value[2];
    ngx_eb_json_error_t   err;

    ngx_str_set(&field, "body");

    if (ck->args->body.len > NGX_EB_GENESYS_FILTER_MAX_BODY) {
        ngx_eb_genesys_filter_error(ck, &field, "length",
                                    "it has more than 512 KB", -1);
        return;
    }

    if (ngx_eb_json_parse(parser, ck->args->body.data, ck->args->body.len,
                          NGX_EB_GENESYS_FILTER_MAX_DEPTH, &ck->json, &err)
        != NGX_OK)
    {
        if (err.code == NGX_EB_JSON_E_NOMEM) {
            ck->nomem = 1;
            return;
        }

        ngx_eb_genesys_filter_error(ck, &field, "json",
                                    ngx_eb_json_strerror(err.code),
                                    (ngx_int_t) err.offset);
        return;
    }

    topics = ck->args->topics;

    if (ngx_eb_json_type(&ck->json, 0) != '{') {
        ngx_eb_genesys_filter_error(ck, &field, "type", topics
                   ? "it is not an object such as {\"topics\":[\"...\"]}"
                   : "it is not an object such as "
                     "{\"matchType\":\"exact\",\"values\":[\"...\"]}", -1);
        return;
    }

    if (topics) {
        ngx_eb_genesys_filter_check_members(ck, ngx_eb_genesys_filter_topics,
                                            value);
        ngx_eb_genesys_filter_check_values(ck, "topics", value[0]);
        return;
    }

    ngx_eb_genesys_filter_check_members(ck, ngx_eb_genesys_filter_members,
                                        value);
    ngx_eb_genesys_filter_check_type(ck, value[0]);
    ngx_eb_genesys_filter_check_values(ck, "values", value[1]);
}


/* value[i] becomes that of the member names[i] */

static void
ngx_eb_genesys_filter_check_members(ngx_eb_genesys_filter_checker_t *ck,
    ngx_str_t *names, ngx_eb_json_node_t *values)
{
    ngx_str_t           name;
    ngx_uint_t          i;
    ngx_eb_json_node_t  key;

    for (i = 0; names[i].len; i++) {
        values[i] = NGX_EB_JSON_NONE;
    }

    for (key = ngx_eb_json_first(&ck->json, 0);
         key != NGX_EB_JSON_NONE;
         key = ngx_eb_json_after(&ck->json, key + 2))
    {
        for (i = 0; names[i].len; i++) {
            if (ngx_eb_json_string_eq(&ck->json, key, &names[i])) {
                break;
            }
        }

        if (names[i].len && values[i] == NGX_EB_JSON_NONE) {
            values[i] = key + 2;
            continue;
        }

        if (names[i].len) {
            ngx_eb_genesys_filter_error(ck, &names[i], "duplicate",
                                        "it is there twice", -1);
            continue;
        }

        if (ngx_eb_json_string(&ck->json, key, ck->pool, &name) != NGX_OK) {
            ck->nomem = 1;
            break;
        }

        ngx_eb_genesys_filter_error(ck, &name, "unknown",
                                    "there is no such member", -1);
    }
}


static void
ngx_eb_genesys_filter_check_type(ngx_eb_genesys_filter_checker_t *ck,
    ngx_eb_json_node_t node)
{
    ngx_str_t  *type;

    if (node == NGX_EB_JSON_NONE) {
        ngx_eb_genesys_filter_field(ck, "matchType", "required",
                                    "it is missing");
        return;
    }

    if (ngx_eb_json_type(&ck->json, node) == '"') {

        for (type = ngx_eb_genesys_filter_types; type->len; type++) {
            if (ngx_eb_json_string_eq(&ck->json, node, type)) {
                ck->want->match_type = *type;
                return;
            }
        }
    }

    ngx_eb_genesys_filter_field(ck, "matchType", "enum",
                          "it is not exact, regex, exists or notexists");
}


static void
ngx_eb_genesys_filter_check_values(ngx_eb_genesys_filter_checker_t *ck,
    const char *field, ngx_eb_json_node_t node)
{
    ngx_str_t           *type;
    ngx_uint_t           n, none;
    ngx_eb_json_t       *json;
    ngx_eb_json_node_t   elt;

    json = &ck->json;
    type = &ck->want->match_type;

    /* exists and notexists; an unknown type has any values */

    none = (type->len && type->data != ngx_eb_genesys_filter_types[0].data
            && type->data != ngx_eb_genesys_filter_types[1].data);

    if (node == NGX_EB_JSON_NONE || ngx_eb_json_type(json, node) == 'n') {

        if (!none && (type->len || ck->args->topics)) {
            ngx_eb_genesys_filter_field(ck, field, "required",
                                        "it is missing");
        }

        return;
    }

    if (ngx_eb_json_type(json, node) != '[') {
        ngx_eb_genesys_filter_field(ck, field, "type",
                                    "it is not an array of strings");
        return;
    }

    elt = ngx_eb_json_first(json, node);

    if (none) {
        if (elt != NGX_EB_JSON_NONE) {
            ngx_eb_genesys_filter_field(ck, field, "arity",
                                   "exists and notexists take no values");
        }

        return;
    }

    if (elt == NGX_EB_JSON_NONE) {
        ngx_eb_genesys_filter_field(ck, field, "arity",
                                    "there must be one at least");
        return;
    }

    for (n = 0; elt != NGX_EB_JSON_NONE; n++) {

        if (n == NGX_EB_GENESYS_FILTER_MAX_VALUES) {
            ngx_eb_genesys_filter_field(ck, field, "arity",
                                        "there are more than 200");
            return;
        }

        ngx_eb_genesys_filter_check_value(ck, field, n, elt);

        elt = ngx_eb_json_after(json, elt);
    }
}


static void
ngx_eb_genesys_filter_check_value(ngx_eb_genesys_filter_checker_t *ck,
    const char *field, ngx_uint_t n, ngx_eb_json_node_t node)
{
    u_char       buf[NGX_INT_T_LEN + 16];
    ngx_str_t    name, value;
    const char  *wrong;

    name.data = buf;
    name.len = ngx_snprintf(buf, sizeof(buf), "%s[%ui]", field, n) - buf;

    if (ngx_eb_json_type(&ck->json, node) != '"') {
        ngx_eb_genesys_filter_error(ck, &name, "type", "it is not a string",
                                    -1);
        return;
    }

    if (ngx_eb_json_string(&ck->json, node, ck->pool, &value) != NGX_OK) {
        ck->nomem = 1;
        return;
    }

    if (value.len > NGX_EB_GENESYS_FILTER_MAX_VALUE) {
        ngx_eb_genesys_filter_error(ck, &name, "length",
                                    "it has more than 1024 bytes", -1);
        return;
    }

    if (ck->args->topics && value.len == 0) {
        ngx_eb_genesys_filter_error(ck, &name, "length", "it is empty", -1);
        return;
    }

    wrong = ngx_eb_genesys_filter_text(&value, ck->args->topics);

    if (wrong) {
        ngx_eb_genesys_filter_error(ck, &name, "characters", wrong, -1);
        return;
    }

    if (ck->want->match_type.data == ngx_eb_genesys_filter_types[1].data) {
        ngx_eb_genesys_filter_check_regex(ck, &name, &value);
    }

    ngx_eb_genesys_filter_add_value(ck, &value);
}


/* one that is there twice is there once */

static void
ngx_eb_genesys_filter_add_value(ngx_eb_genesys_filter_checker_t *ck,
    ngx_str_t *value)
{
    ngx_str_t   *v;
    ngx_uint_t   i;

    v = ck->want->values.elts;

    for (i = 0; i < ck->want->values.nelts; i++) {
        if (v[i].len == value->len
            && ngx_memcmp(v[i].data, value->data, value->len) == 0)
        {
            return;
        }
    }

    v = ngx_array_push(&ck->want->values);

    if (v == NULL) {
        ck->nomem = 1;
        return;
    }

    *v = *value;
}


/*
 * By the library that the platform has, with its own words.  Nothing is
 * matched here, so there is no need for JIT.
 */

static void
ngx_eb_genesys_filter_check_regex(ngx_eb_genesys_filter_checker_t *ck,
    ngx_str_t *field, ngx_str_t *value)
{
    int                     code;
    u_char                 *p, text[NGX_EB_GENESYS_FILTER_TEXT];
    size_t                  offset;
    pcre2_code             *re;
    pcre2_compile_context  *ctx;

    ck->square += value->len * value->len;
    ck->ranges += ngx_eb_genesys_filter_ranges(value);

    if (ck->square > NGX_EB_GENESYS_FILTER_MAX_SQUARE) {
        ngx_eb_genesys_filter_error(ck, field, "cost",
                                    "there are too many long regular "
                                    "expressions to be checked at once", -1);
        return;
    }

    if (ck->ranges > NGX_EB_GENESYS_FILTER_MAX_RANGES) {
        ngx_eb_genesys_filter_error(ck, field, "cost",
                                    "there are too many ranges of non-ASCII "
                                    "characters that ignore case", -1);
        return;
    }

    ctx = pcre2_compile_context_create(NULL);

    if (ctx == NULL) {
        ck->nomem = 1;
        return;
    }

    (void) pcre2_set_max_pattern_length(ctx, NGX_EB_GENESYS_FILTER_MAX_VALUE);
    (void) pcre2_set_parens_nest_limit(ctx, NGX_EB_GENESYS_FILTER_MAX_PARENS);

    p = value->len ? value->data : (u_char *) "";

    re = pcre2_compile(p, value->len, PCRE2_UTF, &code, &offset, ctx);

    pcre2_compile_context_free(ctx);

    if (re) {
        pcre2_code_free(re);
        return;
    }

    if (code == PCRE2_ERROR_HEAP_FAILED) {
        ck->nomem = 1;
        return;
    }

    /* a text that is cut has its terminating zero too */

    (void) pcre2_get_error_message(code, text, sizeof(text));

    ngx_eb_genesys_filter_error(ck, field,
                                (char *) ngx_eb_genesys_filter_regex.data,
                                (char *) text, (ngx_int_t) offset);
}


/*
 * How many hyphens have behind them what may be the end of a wide range, if
 * "(?i" or the like is anywhere in the pattern.  Rather too many than too few:
 * no class is looked for.
 */

static ngx_uint_t
ngx_eb_genesys_filter_ranges(ngx_str_t *value)
{
    u_char      *p, *s, *last;
    ngx_uint_t   n, caseless;

    last = value->data + value->len;
    caseless = 0;
    n = 0;

    for (p = value->data; p < last; p++) {

        if (*p == '(' && last - p > 2 && p[1] == '?') {

            for (s = p + 2; s < last && *s && ngx_strchr("^-aimnsxJU", *s);
                 s++)
            {
                if (*s == 'i') {
                    caseless = 1;
                }
            }
        }

        if (*p != '-') {
            continue;
        }

        /* with (?xx) there may be white space in a class */

        for (s = p + 1; s < last && (*s == ' ' || *s == '\t'); s++) {
            /* void */
        }

        if (s < last
            && (*s >= 0x80
                || (*s == '\\' && s + 1 < last
                    && s[1] && ngx_strchr("xoNQE", s[1]))))
        {
            n++;
        }
    }

    return caseless ? n : 0;
}


/* NULL, or what is wrong: not UTF-8 is a lone surrogate of an escape too */

static const char *
ngx_eb_genesys_filter_text(ngx_str_t *value, ngx_uint_t controls)
{
    u_char    *p, *last;
    uint32_t   u;

    p = value->data;
    last = p + value->len;

    while (p < last) {

        if (*p < 0x80) {

            if (*p == '\0') {
                return "it has a NUL";
            }

            if (controls && (*p < 0x20 || *p == 0x7f)) {
                return "it has a control character";
            }

            p++;
            continue;
        }

        u = ngx_utf8_decode(&p, last - p);

        if (u > 0x10ffff || (u >= 0xd800 && u <= 0xdfff)) {
            return "it is not valid Unicode";
        }
    }

    return NULL;
}


static void
ngx_eb_genesys_filter_field(ngx_eb_genesys_filter_checker_t *ck,
    const char *field, const char *rule, const char *message)
{
    ngx_str_t  name;

    name.data = (u_char *) field;
    name.len = ngx_strlen(field);

    ngx_eb_genesys_filter_error(ck, &name, rule, message, -1);
}


/* field and message are copied */

static void
ngx_eb_genesys_filter_error(ngx_eb_genesys_filter_checker_t *ck,
    ngx_str_t *field, const char *rule, const char *message,
    ngx_int_t offset)
{
    ngx_str_t                    text;
    ngx_eb_genesys_filter_error_t  *violation;

    if ((u_char *) rule != ngx_eb_genesys_filter_regex.data) {
        ck->invalid = 1;
    }

    if (ck->errors->nelts >= NGX_EB_GENESYS_FILTER_MAX_ERRORS) {
        return;
    }

    violation = ngx_array_push(ck->errors);

    if (violation == NULL) {
        ck->nomem = 1;
        return;
    }

    text.data = (u_char *) message;
    text.len = ngx_strlen(message);

    violation->rule = rule;
    violation->offset = offset;
    violation->field.len = field->len;
    violation->field.data = ngx_pstrdup(ck->pool, field);
    violation->message.len = text.len;
    violation->message.data = ngx_pstrdup(ck->pool, &text);

    if (violation->field.data == NULL || violation->message.data == NULL) {
        ck->nomem = 1;
    }
}
