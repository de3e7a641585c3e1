
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Stage 1 of simdjson finds the structural characters, checks UTF-8 and
 * control characters in strings, and masks what is inside of strings.  A
 * walk over that index checks the rest.  Both only say yes or no: a text
 * that they refuse is scanned again, byte by byte, for where and why.
 */


#define SIMDJSON_EXCEPTIONS  0

#include <new>
#include <simdjson.h>

extern "C" {
#include <ngx_config.h>
#include <ngx_core.h>
}

#include "ngx_eb_json.h"


#define NGX_EB_JSON_MIN_CAPACITY  (64 * 1024)
#define NGX_EB_JSON_MAX_DEPTH     1025      /* 1024 and a container */

/* parts of a text of which it is known whether they have an escape */
#define NGX_EB_JSON_ESCAPED       4096

#define NGX_EB_JSON_WS            0x01
#define NGX_EB_JSON_DIGIT         0x02
#define NGX_EB_JSON_HEX           0x04
#define NGX_EB_JSON_ESC           0x08
#define NGX_EB_JSON_WORD          0x10      /* may not touch a scalar */


#define ngx_eb_json_is(ch, set)   (ngx_eb_json_class[(u_char) (ch)] & (set))


struct ngx_eb_json_parser_s {
    std::unique_ptr<simdjson::internal::dom_parser_implementation>
                              impl;
    size_t                    capacity;     /* of impl, 0: none */
    uint32_t                 *skip;
    size_t                    nskip;
    uint64_t                  escaped[NGX_EB_JSON_ESCAPED / 64];
    uint32_t                  stack[NGX_EB_JSON_MAX_DEPTH];
    u_char                    array[NGX_EB_JSON_MAX_DEPTH];
};


static size_t ngx_eb_json_round(size_t size);
static ngx_int_t ngx_eb_json_grow(ngx_eb_json_parser_t *parser, size_t len);
static ngx_int_t ngx_eb_json_grow_skip(ngx_eb_json_parser_t *parser,
    uint32_t n);
static ngx_uint_t ngx_eb_json_walk(ngx_eb_json_parser_t *parser,
    ngx_eb_json_t *json, ngx_uint_t max_depth);
static inline ngx_uint_t ngx_eb_json_scalar(const u_char *p,
    const u_char *last);
static inline ngx_uint_t ngx_eb_json_blank(const u_char *p,
    const u_char *last);
static inline ngx_uint_t ngx_eb_json_number(const u_char **pp,
    const u_char *last);
static inline ngx_uint_t ngx_eb_json_digits(const u_char **pp,
    const u_char **digits, const u_char *last);
static ngx_uint_t ngx_eb_json_escapes(ngx_eb_json_parser_t *parser,
    ngx_eb_json_t *json, const u_char *p);
static void ngx_eb_json_diagnose(ngx_eb_json_parser_t *parser,
    const u_char *data, size_t len, ngx_uint_t max_depth,
    ngx_eb_json_error_t *err);
static ngx_eb_json_code_e ngx_eb_json_scan(ngx_eb_json_parser_t *parser,
    const u_char **pp, const u_char *last, ngx_uint_t max_depth);
static ngx_eb_json_code_e ngx_eb_json_scan_value(const u_char **pp,
    const u_char *last);
static ngx_eb_json_code_e ngx_eb_json_scan_string(const u_char **pp,
    const u_char *last);
static ngx_int_t ngx_eb_json_utf8(const u_char *p, const u_char *last);


static const u_char  ngx_eb_json_class[256] = {
    /* 0x00 */   0,  0,  0,  0,  0,  0,  0,  0,  0,  1,  1,  0,  0,  1,  0,  0,
    /* 0x10 */   0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
    /*  !"# */   1,  0,  8,  0,  0,  0,  0,  0,  0,  0,  0, 16,  0, 16, 16,  8,
    /* 0123 */  22, 22, 22, 22, 22, 22, 22, 22, 22, 22,  0,  0,  0,  0,  0,  0,
    /* @ABC */   0, 20, 20, 20, 20, 20, 20, 16, 16, 16, 16, 16, 16, 16, 16, 16,
    /* PQRS */  16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16,  0,  8,  0,  0,  0,
    /* `abc */   0, 20, 28, 20, 20, 20, 28, 16, 16, 16, 16, 16, 16, 16, 24, 16,
    /* pqrs */  16, 16, 24, 16, 24, 16, 16, 16, 16, 16, 16,  0,  0,  0,  0,  0
};


ngx_eb_json_parser_t *
ngx_eb_json_parser_create(void)
{
    ngx_eb_json_parser_t  *parser;

    parser = new (std::nothrow) ngx_eb_json_parser_t;
    if (parser == NULL) {
        return NULL;
    }

    parser->capacity = 0;
    parser->skip = NULL;
    parser->nskip = 0;

    if (ngx_eb_json_grow(parser, 1) != NGX_OK) {
        ngx_eb_json_parser_destroy(parser);
        return NULL;
    }

    return parser;
}


void
ngx_eb_json_parser_destroy(ngx_eb_json_parser_t *parser)
{
    free(parser->skip);
    delete parser;
}


void
ngx_eb_json_parser_trim(ngx_eb_json_parser_t *parser, size_t max)
{
    max = ngx_eb_json_round(max);

    if (parser->nskip > max) {
        free(parser->skip);
        parser->skip = NULL;
        parser->nskip = 0;
    }

    if (parser->capacity > max) {
        parser->capacity = 0;

        /* without memory for less there is none, until the next text */

        if (parser->impl->set_capacity(max) == simdjson::SUCCESS) {
            parser->capacity = max;
        }
    }
}


static size_t
ngx_eb_json_round(size_t size)
{
    size_t  capacity;

    if (size > NGX_EB_JSON_NONE / 2) {
        return NGX_EB_JSON_NONE;
    }

    for (capacity = NGX_EB_JSON_MIN_CAPACITY; capacity < size; capacity *= 2) {
        /* void */
    }

    return capacity;
}


static ngx_int_t
ngx_eb_json_grow(ngx_eb_json_parser_t *parser, size_t len)
{
    size_t  capacity;

    if (len <= parser->capacity) {
        return NGX_OK;
    }

    capacity = ngx_eb_json_round(len);
    parser->capacity = 0;

    if (!parser->impl) {

        /* the depth is that of stage 2, which is not used */

        if (simdjson::get_active_implementation()
                ->create_dom_parser_implementation(capacity, 1, parser->impl)
            != simdjson::SUCCESS)
        {
            parser->impl.reset();
            return NGX_ERROR;
        }

    } else if (parser->impl->set_capacity(capacity) != simdjson::SUCCESS) {
        return NGX_ERROR;
    }

    parser->capacity = capacity;

    return NGX_OK;
}


static ngx_int_t
ngx_eb_json_grow_skip(ngx_eb_json_parser_t *parser, uint32_t n)
{
    size_t  nskip;

    if (n <= parser->nskip) {
        return NGX_OK;
    }

    nskip = ngx_eb_json_round(n);

    free(parser->skip);
    parser->nskip = 0;

    parser->skip = (uint32_t *) malloc(nskip * sizeof(uint32_t));
    if (parser->skip == NULL) {
        return NGX_ERROR;
    }

    parser->nskip = nskip;

    return NGX_OK;
}


ngx_int_t
ngx_eb_json_parse(ngx_eb_json_parser_t *parser, u_char *data, size_t len,
    ngx_uint_t max_depth, ngx_eb_json_t *json, ngx_eb_json_error_t *err)
{
    const u_char          *esc;
    simdjson::error_code   rc;

    err->code = NGX_EB_JSON_OK;
    err->offset = 0;

    /* an offset is never NGX_EB_JSON_NONE */

    if (len == 0 || len >= NGX_EB_JSON_NONE) {
        err->code = len ? NGX_EB_JSON_E_TOO_LARGE : NGX_EB_JSON_E_EMPTY;
        return NGX_DECLINED;
    }

    max_depth = ngx_min(max_depth, NGX_EB_JSON_MAX_DEPTH);

    if (ngx_eb_json_grow(parser, len) != NGX_OK) {
        err->code = NGX_EB_JSON_E_NOMEM;
        return NGX_DECLINED;
    }

    rc = parser->impl->stage1(data, len, simdjson::stage1_mode::regular);

    if (rc != simdjson::SUCCESS || parser->impl->n_structural_indexes == 0) {
        goto invalid;
    }

    if (ngx_eb_json_grow_skip(parser, parser->impl->n_structural_indexes)
        != NGX_OK)
    {
        err->code = NGX_EB_JSON_E_NOMEM;
        return NGX_DECLINED;
    }

    json->data = data;
    json->len = len;
    json->pos = parser->impl->structural_indexes.get();
    json->skip = parser->skip;
    json->n = parser->impl->n_structural_indexes;
    json->escapes = 0;

    /* stage 1 reserves room for this one and writes it; make it certain */

    json->pos[json->n] = (uint32_t) len;

    if (!ngx_eb_json_walk(parser, json, max_depth)) {
        goto invalid;
    }

    /* the walk has seen to it that each backslash is in a string */

    esc = (const u_char *) memchr(data, '\\', len);

    if (esc) {
        json->escapes = 1;

        if (!ngx_eb_json_escapes(parser, json, esc)) {
            goto invalid;
        }
    }

    return NGX_OK;

invalid:

    ngx_eb_json_diagnose(parser, data, len, max_depth, err);

    return NGX_DECLINED;
}


/*
 * Every check of an index against n is left out where the node before it is
 * not the last one, because it is no closing bracket, and the last one is.
 */

static ngx_uint_t
ngx_eb_json_walk(ngx_eb_json_parser_t *parser, ngx_eb_json_t *json,
    ngx_uint_t max_depth)
{
    u_char           ch;
    uint32_t         i, n;
    ngx_uint_t       depth;
    const u_char    *data;
    const uint32_t  *pos;

    data = json->data;
    pos = json->pos;
    n = json->n;

    ch = data[pos[0]];

    if (ch != '{' && ch != '[') {
        return n == 1 && ngx_eb_json_scalar(data + pos[0], data + pos[1]);
    }

    ch = data[pos[n - 1]];

    if (ch != '}' && ch != ']') {
        return 0;
    }

    i = 0;
    depth = 0;

value:

    /* a value is expected at i */

    ch = data[pos[i]];

    if (ch == '"') {

        /*
         * Whatever follows the closing quote and is not white space is in
         * the index itself.
         */

        if (data[pos[i + 1] - 1] != '"'
            && !ngx_eb_json_scalar(data + pos[i], data + pos[i + 1]))
        {
            return 0;
        }

        i++;
        goto next;
    }

    if (ch == '{') {

        if (depth == max_depth) {
            return 0;
        }

        parser->stack[depth] = i++;
        parser->array[depth++] = 0;

        if (data[pos[i]] == '}') {
            goto close;
        }

        goto key;
    }

    if (ch == '[') {

        if (depth == max_depth) {
            return 0;
        }

        parser->stack[depth] = i++;
        parser->array[depth++] = 1;

        if (data[pos[i]] == ']') {
            goto close;
        }

        goto value;
    }

    if (!ngx_eb_json_scalar(data + pos[i], data + pos[i + 1])) {
        return 0;
    }

    i++;

next:

    /* a comma or a closing bracket is expected at i */

    ch = data[pos[i]];

    if (parser->array[depth - 1]) {

        if (ch == ',') {
            i++;
            goto value;
        }

        if (ch == ']') {
            goto close;
        }

        return 0;
    }

    if (ch == '}') {
        goto close;
    }

    if (ch != ',') {
        return 0;
    }

    i++;

key:

    if (data[pos[i]] != '"') {
        return 0;
    }

    if (data[pos[i + 1] - 1] != '"'
        && !ngx_eb_json_scalar(data + pos[i], data + pos[i + 1]))
    {
        return 0;
    }

    if (data[pos[i + 1]] != ':') {
        return 0;
    }

    i += 2;
    goto value;

close:

    depth--;
    json->skip[parser->stack[depth]] = i;

    i++;

    if (depth == 0) {
        return i == n;
    }

    if (i == n) {
        return 0;
    }

    goto next;
}


/* is it one string, number or literal, and white space after it? */

static inline ngx_uint_t
ngx_eb_json_scalar(const u_char *p, const u_char *last)
{
    switch (*p) {

    case '"':

        while (ngx_eb_json_is(last[-1], NGX_EB_JSON_WS)) {
            last--;
        }

        return last - p >= 2 && last[-1] == '"';

    case 't':
        return last - p >= 4 && memcmp(p, "true", 4) == 0
               && ngx_eb_json_blank(p + 4, last);

    case 'f':
        return last - p >= 5 && memcmp(p, "false", 5) == 0
               && ngx_eb_json_blank(p + 5, last);

    case 'n':
        return last - p >= 4 && memcmp(p, "null", 4) == 0
               && ngx_eb_json_blank(p + 4, last);

    default:
        return ngx_eb_json_number(&p, last) && ngx_eb_json_blank(p, last);
    }
}


static inline ngx_uint_t
ngx_eb_json_blank(const u_char *p, const u_char *last)
{
    while (p < last && ngx_eb_json_is(*p, NGX_EB_JSON_WS)) {
        p++;
    }

    return p == last;
}


/* moves *pp behind the number there: 1, or to what is wrong with it: 0 */

static inline ngx_uint_t
ngx_eb_json_number(const u_char **pp, const u_char *last)
{
    const u_char  *p;

    p = *pp;

    if (*p == '-') {
        p++;
    }

    if (p < last && *p == '0') {

        /* a digit after it touches the number, which is as wrong */

        *pp = ++p;

    } else if (!ngx_eb_json_digits(pp, &p, last)) {
        return 0;
    }

    if (p < last && *p == '.') {
        p++;

        if (!ngx_eb_json_digits(pp, &p, last)) {
            return 0;
        }
    }

    if (p < last && (*p == 'e' || *p == 'E')) {
        p++;

        if (p < last && (*p == '+' || *p == '-')) {
            p++;
        }

        if (!ngx_eb_json_digits(pp, &p, last)) {
            return 0;
        }
    }

    return 1;
}


/* at least one digit; *pp becomes what is after them */

static inline ngx_uint_t
ngx_eb_json_digits(const u_char **pp, const u_char **digits,
    const u_char *last)
{
    const u_char  *p;

    for (p = *digits; p < last; p++) {

        if (!ngx_eb_json_is(*p, NGX_EB_JSON_DIGIT)) {
            break;
        }
    }

    *pp = p;

    if (p == *digits) {
        return 0;
    }

    *digits = p;

    return 1;
}


/* are all escapes from the backslash at p on valid?  notes where they are */

static ngx_uint_t
ngx_eb_json_escapes(ngx_eb_json_parser_t *parser, ngx_eb_json_t *json,
    const u_char *p)
{
    size_t         at;
    ngx_uint_t     i;
    const u_char  *last;

    last = json->data + json->len;

    memset(parser->escaped, 0, sizeof(parser->escaped));

    json->escaped = parser->escaped;
    json->shift = 4;

    while (json->len >> json->shift >= NGX_EB_JSON_ESCAPED) {
        json->shift++;
    }

    do {

        at = (size_t) (p - json->data) >> json->shift;
        parser->escaped[at / 64] |= (uint64_t) 1 << (at % 64);

        /* here *p is a backslash, in a string that has an end */

        if (p[1] == 'u') {

            if (last - p < 6) {
                return 0;
            }

            for (i = 2; i < 6; i++) {
                if (!ngx_eb_json_is(p[i], NGX_EB_JSON_HEX)) {
                    return 0;
                }
            }

            p += 6;

        } else if (ngx_eb_json_is(p[1], NGX_EB_JSON_ESC)) {
            p += 2;

        } else {
            return 0;
        }

        /* escapes come in swarms: look near before looking far */

        for (i = 0; i < 16 && p < last && *p != '\\'; i++) {
            p++;
        }

        if (i == 16) {
            p = (const u_char *) memchr(p, '\\', last - p);
        }

    } while (p && p < last);

    return 1;
}


static void
ngx_eb_json_diagnose(ngx_eb_json_parser_t *parser, const u_char *data,
    size_t len, ngx_uint_t max_depth, ngx_eb_json_error_t *err)
{
    const u_char        *p, *last;
    ngx_eb_json_code_e   code;

    p = data;
    last = data + len;

    code = ngx_eb_json_scan(parser, &p, last, max_depth);

    if (code == NGX_EB_JSON_OK) {

        /* refused before, hence not to be accepted now */

        p = data;
        code = NGX_EB_JSON_E_SYNTAX;
    }

    if (p < last && *p >= 0x80 && ngx_eb_json_utf8(p, last) < 0) {
        code = NGX_EB_JSON_E_UTF8;
    }

    err->code = code;
    err->offset = p - data;
}


/* leaves the offending byte in *pp */

static ngx_eb_json_code_e
ngx_eb_json_scan(ngx_eb_json_parser_t *parser, const u_char **pp,
    const u_char *last, ngx_uint_t max_depth)
{
    const u_char        *p;
    ngx_uint_t           depth, array;
    ngx_eb_json_code_e   code;
    enum {
        st_value = 0,
        st_first_value,     /* or ] */
        st_first_key,       /* or } */
        st_key,
        st_colon,
        st_next             /* a comma or a closing bracket, or the end */
    } state;

    depth = 0;
    array = 0;
    state = st_value;
    code = NGX_EB_JSON_OK;

    for (p = *pp; code == NGX_EB_JSON_OK; /* void */ ) {

        while (p < last && ngx_eb_json_is(*p, NGX_EB_JSON_WS)) {
            p++;
        }

        *pp = p;

        if (depth == 0 && state == st_next) {
            return (p == last) ? NGX_EB_JSON_OK : NGX_EB_JSON_E_TRAILING;
        }

        if (p == last) {
            return (depth == 0) ? NGX_EB_JSON_E_EMPTY
                                : NGX_EB_JSON_E_TRUNCATED;
        }

        switch (state) {

        case st_first_value:
        case st_value:

            if (*p == ']' && state == st_first_value) {
                goto close;
            }

            if (*p == '{' || *p == '[') {

                if (depth == max_depth) {
                    return NGX_EB_JSON_E_DEPTH;
                }

                array = (*p == '[');
                parser->array[depth++] = (u_char) array;
                state = array ? st_first_value : st_first_key;

                p++;
                break;
            }

            code = ngx_eb_json_scan_value(pp, last);
            p = *pp;
            state = st_next;

            break;

        case st_first_key:
        case st_key:

            if (*p == '}' && state == st_first_key) {
                goto close;
            }

            if (*p != '"') {
                return NGX_EB_JSON_E_SYNTAX;
            }

            code = ngx_eb_json_scan_string(pp, last);
            p = *pp;
            state = st_colon;

            break;

        case st_colon:

            if (*p != ':') {
                return NGX_EB_JSON_E_SYNTAX;
            }

            p++;
            state = st_value;

            break;

        case st_next:

            if (*p == ',') {
                p++;
                state = array ? st_value : st_key;
                break;
            }

            if (*p != (array ? ']' : '}')) {
                return NGX_EB_JSON_E_SYNTAX;
            }

        close:

            p++;
            depth--;
            array = depth ? parser->array[depth - 1] : 0;
            state = st_next;
        }
    }

    return code;
}


static ngx_eb_json_code_e
ngx_eb_json_scan_value(const u_char **pp, const u_char *last)
{
    const char          *word;
    const u_char        *p;
    ngx_eb_json_code_e   code;

    p = *pp;
    code = NGX_EB_JSON_E_LITERAL;

    switch (*p) {

    case '"':
        return ngx_eb_json_scan_string(pp, last);

    case 't':
        word = "true";
        break;

    case 'f':
        word = "false";
        break;

    case 'n':
        word = "null";
        break;

    default:

        if (!ngx_eb_json_is(*p, NGX_EB_JSON_WORD)) {
            return NGX_EB_JSON_E_SYNTAX;
        }

        if ((*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z')) {
            return NGX_EB_JSON_E_LITERAL;
        }

        if (!ngx_eb_json_number(pp, last)) {
            return (*pp == last) ? NGX_EB_JSON_E_TRUNCATED
                                 : NGX_EB_JSON_E_NUMBER;
        }

        p = *pp;
        code = NGX_EB_JSON_E_NUMBER;
        word = "";
    }

    while (p < last && *word && *p == (u_char) *word) {
        p++;
        word++;
    }

    *pp = p;

    if (*word) {
        return (p == last) ? NGX_EB_JSON_E_TRUNCATED : NGX_EB_JSON_E_LITERAL;
    }

    return (p < last && ngx_eb_json_is(*p, NGX_EB_JSON_WORD)) ? code
                                                           : NGX_EB_JSON_OK;
}


static ngx_eb_json_code_e
ngx_eb_json_scan_string(const u_char **pp, const u_char *last)
{
    ngx_int_t      n;
    ngx_uint_t     i;
    const u_char  *p;

    p = *pp + 1;

    while (p < last) {

        if (*p == '"') {
            *pp = p + 1;
            return NGX_EB_JSON_OK;
        }

        *pp = p;

        if (*p < 0x20) {
            return NGX_EB_JSON_E_STRING;
        }

        if (*p >= 0x80) {
            n = ngx_eb_json_utf8(p, last);

            if (n < 0) {
                return NGX_EB_JSON_E_UTF8;
            }

            if (n == 0) {
                break;
            }

            p += n;
            continue;
        }

        if (*p++ != '\\') {
            continue;
        }

        if (p == last) {
            break;
        }

        *pp = p;

        if (!ngx_eb_json_is(*p, NGX_EB_JSON_ESC) && *p != 'u') {
            return NGX_EB_JSON_E_ESCAPE;
        }

        if (*p++ != 'u') {
            continue;
        }

        for (i = 0; i < 4 && p < last; i++, p++) {

            if (!ngx_eb_json_is(*p, NGX_EB_JSON_HEX)) {
                *pp = p;
                return NGX_EB_JSON_E_ESCAPE;
            }
        }
    }

    *pp = last;

    return NGX_EB_JSON_E_STRING;
}


/*
 * The length of the UTF-8 sequence at p (>= 0x80), 0 when the text ends in
 * it, or NGX_ERROR.
 */

static ngx_int_t
ngx_eb_json_utf8(const u_char *p, const u_char *last)
{
    u_char     low, high;
    ngx_int_t  i, n;

    if (*p < 0xc2 || *p > 0xf4) {
        return NGX_ERROR;
    }

    n = (*p < 0xe0) ? 2 : (*p < 0xf0) ? 3 : 4;

    /* no overlong forms, no surrogates, nothing over U+10FFFF */

    low = (*p == 0xe0) ? 0xa0 : (*p == 0xf0) ? 0x90 : 0x80;
    high = (*p == 0xed) ? 0x9f : (*p == 0xf4) ? 0x8f : 0xbf;

    for (i = 1; i < n; i++) {

        if (p + i == last) {
            return 0;
        }

        if (p[i] < low || p[i] > high) {
            return NGX_ERROR;
        }

        low = 0x80;
        high = 0xbf;
    }

    return n;
}


const char *
ngx_eb_json_strerror(ngx_eb_json_code_e code)
{
    /* in the order of ngx_eb_json_code_e */

    static const char  *sentences[] = {
        "no error",
        "there is no value",
        "the text is too large",
        "the text is not UTF-8",
        "arrays and objects are nested too deeply",
        "unexpected character",
        "a string has a control character or no closing quote",
        "invalid escape sequence in a string",
        "invalid number",
        "a word that is not true, false or null",
        "the text ends inside a value",
        "something follows the value",
        "no memory"
    };

    return (code <= NGX_EB_JSON_E_NOMEM) ? sentences[code] : "unknown error";
}
