
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * A validated JSON text (RFC 8259) and its structural index.  The text is
 * never decoded and never changed: a value is a node number, its bytes are
 * a slice of the text.
 */


#ifndef _NGX_EB_JSON_H_INCLUDED_
#define _NGX_EB_JSON_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#ifdef __cplusplus
extern "C" {
#endif


typedef enum {
    NGX_EB_JSON_OK = 0,
    NGX_EB_JSON_E_EMPTY,        /* nothing but white space */
    NGX_EB_JSON_E_TOO_LARGE,    /* 4 GB and over */
    NGX_EB_JSON_E_UTF8,         /* not UTF-8 */
    NGX_EB_JSON_E_DEPTH,        /* nested deeper than the limit */
    NGX_EB_JSON_E_SYNTAX,       /* a character out of place */
    NGX_EB_JSON_E_STRING,       /* control character in a string, no end */
    NGX_EB_JSON_E_ESCAPE,       /* bad escape in a string */
    NGX_EB_JSON_E_NUMBER,
    NGX_EB_JSON_E_LITERAL,
    NGX_EB_JSON_E_TRUNCATED,    /* the text ends inside a value */
    NGX_EB_JSON_E_TRAILING,     /* something after the value */
    NGX_EB_JSON_E_NOMEM
} ngx_eb_json_code_e;


typedef struct {
    ngx_eb_json_code_e        code;
    size_t                    offset;   /* of the offending byte */
} ngx_eb_json_error_t;


/* one per worker: owns the memory of the index, reused for each text */

typedef struct ngx_eb_json_parser_s  ngx_eb_json_parser_t;

typedef uint32_t  ngx_eb_json_node_t;

#define NGX_EB_JSON_NONE  0xffffffffu


/*
 * The index of one text.  pos[i] is the offset of node i: a bracket, a
 * comma, a colon, the opening quote of a string or the first character of a
 * number or literal.  skip[i] of an opening bracket is the node of its
 * closing one (undefined for other nodes).  pos[n] is len.
 * Node 0 is the whole value.  Borrowed from the parser: valid until its next
 * ngx_eb_json_parse() or ngx_eb_json_parser_trim().
 */

typedef struct {
    u_char                   *data;     /* borrowed from the caller */
    size_t                    len;
    uint32_t                 *pos;
    uint32_t                 *skip;
    uint32_t                  n;
    const uint64_t           *escaped;      /* bit i: a backslash is among the
                                               bytes from i << shift on; set
                                               only with escapes */
    unsigned                  shift:8;
    unsigned                  escapes:1;    /* the text has a backslash */
} ngx_eb_json_t;


/* NULL: no memory */
ngx_eb_json_parser_t *ngx_eb_json_parser_create(void);
void ngx_eb_json_parser_destroy(ngx_eb_json_parser_t *parser);

/* gives memory back that only a text of more than max bytes needs */
void ngx_eb_json_parser_trim(ngx_eb_json_parser_t *parser, size_t max);

/*
 * Validates len bytes as exactly one JSON value of at most max_depth nested
 * arrays and objects, and indexes them.  data needs no padding, and must
 * stay unchanged as long as json is used.
 *
 * NGX_OK, or NGX_DECLINED with *err set (NGX_EB_JSON_E_NOMEM included).
 */
ngx_int_t ngx_eb_json_parse(ngx_eb_json_parser_t *parser, u_char *data,
    size_t len, ngx_uint_t max_depth, ngx_eb_json_t *json,
    ngx_eb_json_error_t *err);

/* a sentence without a period for an error code, never NULL */
const char *ngx_eb_json_strerror(ngx_eb_json_code_e code);

/*
 * The bytes between the quotes of the string at node, still escaped.
 * Returns 1 when they hold a backslash, else 0.
 */
ngx_uint_t ngx_eb_json_string_raw(ngx_eb_json_t *json,
    ngx_eb_json_node_t node, ngx_str_t *raw);

/*
 * The string at node, unescaped: borrowed from the text where it has no
 * escape, else allocated from pool.  A lone surrogate becomes its three-byte
 * form, so that different strings stay different.  NGX_OK, NGX_ERROR (no
 * memory).
 */
ngx_int_t ngx_eb_json_string(ngx_eb_json_t *json, ngx_eb_json_node_t node,
    ngx_pool_t *pool, ngx_str_t *value);

/*
 * What is between the quotes of a string, unescaped as ngx_eb_json_string()
 * does: at most raw->len bytes at dst, whose number is returned.
 */
size_t ngx_eb_json_unescape(ngx_str_t *raw, u_char *dst);

/*
 * The UTF-8 of a code point of at most 0x10ffff, also of a lone surrogate, at
 * dst; the number of bytes, at most four, is returned.
 */
size_t ngx_eb_json_utf8(uint32_t u, u_char *dst);

/* does the string at node, unescaped, equal value?  allocates nothing */
ngx_uint_t ngx_eb_json_string_eq(ngx_eb_json_t *json,
    ngx_eb_json_node_t node, ngx_str_t *value);

/*
 * The value of the last member called name of the object at node;
 * NGX_EB_JSON_NONE when there is none.
 */
ngx_eb_json_node_t ngx_eb_json_member(ngx_eb_json_t *json,
    ngx_eb_json_node_t object, ngx_str_t *name);

/*
 * A JSON pointer (RFC 6901), split into its tokens: an array of ngx_str_t
 * that is set up here, all from pool, with "~1" and "~0" resolved.  NGX_OK;
 * NGX_DECLINED: it is malformed; NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_json_pointer_parse(ngx_pool_t *pool, ngx_str_t *text,
    ngx_array_t *tokens);

/*
 * Where the pointer leads from node; of equal member names the last counts.
 * NGX_EB_JSON_NONE when nothing is there.
 */
ngx_eb_json_node_t ngx_eb_json_pointer(ngx_eb_json_t *json,
    ngx_eb_json_node_t node, ngx_array_t *tokens);


/* one of { [ " t f n, and 0 for any number */

static ngx_inline u_char
ngx_eb_json_type(ngx_eb_json_t *json, ngx_eb_json_node_t node)
{
    u_char  ch;

    ch = json->data[json->pos[node]];

    return (ch == '-' || (ch >= '0' && ch <= '9')) ? '0' : ch;
}


/* the node after the value at node: a comma, a closing bracket, or n */

static ngx_inline ngx_eb_json_node_t
ngx_eb_json_next(ngx_eb_json_t *json, ngx_eb_json_node_t node)
{
    u_char  ch;

    ch = json->data[json->pos[node]];

    return (ch == '{' || ch == '[') ? json->skip[node] + 1 : node + 1;
}


/*
 * First element of the array, or first key of the object, at node, and the
 * next one after the value at node; NGX_EB_JSON_NONE at the end.  The value
 * of key node k is k + 2.
 */

static ngx_inline ngx_eb_json_node_t
ngx_eb_json_first(ngx_eb_json_t *json, ngx_eb_json_node_t node)
{
    return (json->skip[node] == node + 1) ? NGX_EB_JSON_NONE : node + 1;
}


static ngx_inline ngx_eb_json_node_t
ngx_eb_json_after(ngx_eb_json_t *json, ngx_eb_json_node_t value)
{
    value = ngx_eb_json_next(json, value);

    return (json->data[json->pos[value]] == ',') ? value + 1
                                                 : NGX_EB_JSON_NONE;
}


/* the bytes of the value at node, white space around it left out */

static ngx_inline void
ngx_eb_json_raw(ngx_eb_json_t *json, ngx_eb_json_node_t node, ngx_str_t *raw)
{
    u_char  *p, *last;

    p = json->data + json->pos[node];
    raw->data = p;

    if (*p == '{' || *p == '[') {
        raw->len = json->pos[json->skip[node]] + 1 - json->pos[node];
        return;
    }

    last = json->data + json->pos[node + 1];

    while (last[-1] == ' ' || last[-1] == '\n' || last[-1] == '\r'
           || last[-1] == '\t')
    {
        last--;
    }

    raw->len = last - p;
}


/*
 * Do the len bytes at p, inside of a string, have a backslash?  Most texts
 * have some, and most strings have none: the parser has noted which parts of
 * the text do.
 */

static ngx_inline ngx_uint_t
ngx_eb_json_escaped(ngx_eb_json_t *json, const u_char *p, size_t len)
{
    size_t  i, last;

    if (!json->escapes || len == 0) {
        return 0;
    }

    i = (size_t) (p - json->data) >> json->shift;
    last = (size_t) (p + len - 1 - json->data) >> json->shift;

    do {
        if (json->escaped[i / 64] >> (i % 64) & 1) {
            return memchr(p, '\\', len) != NULL;
        }

    } while (i++ < last);

    return 0;
}


#ifdef __cplusplus
}
#endif


#endif /* _NGX_EB_JSON_H_INCLUDED_ */
