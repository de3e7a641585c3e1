
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What RFC 8259 says of a text, by recursive descent over its bytes and with
 * nothing of the parser's: for tests to compare the parser with.
 */


#ifndef _JSON_ORACLE_H_INCLUDED_
#define _JSON_ORACLE_H_INCLUDED_


#include <setjmp.h>
#include "ngx_eb_json.h"


typedef struct {
    const u_char             *data;
    size_t                    len;
    size_t                    at;
    ngx_uint_t                depth;
    ngx_uint_t                max_depth;
    ngx_eb_json_code_e        code;
    jmp_buf                   out;

    /* where a node is expected, and a bracket's partner: NULL or len + 1 */
    uint32_t                 *pos;
    uint32_t                 *skip;
    uint32_t                  n;
} json_oracle_t;


static void json_oracle_value(json_oracle_t *o);


/* the code point at offset at: its length; 0: cut off by the end; -1: none */

static int
json_oracle_utf8(json_oracle_t *o, size_t at)
{
    int       i, len;
    u_char    ch;
    uint32_t  u, lo, hi;

    ch = o->data[at];

    if (ch < 0x80) {
        return 1;
    }

    if (ch < 0xc0 || ch > 0xf7) {
        return -1;
    }

    len = (ch >= 0xf0) ? 4 : (ch >= 0xe0) ? 3 : 2;
    u = ch & (0xffu >> (len + 1));

    for (i = 1; i < len; i++) {

        /* no completion of what is there so far may be valid */

        lo = u << (6 * (len - i));
        hi = lo + (1u << (6 * (len - i))) - 1;

        if (hi < (len == 2 ? 0x80u : len == 3 ? 0x800u : 0x10000u)
            || lo > 0x10ffff || (lo >= 0xd800 && hi <= 0xdfff))
        {
            return -1;
        }

        if (at + i == o->len) {
            return 0;
        }

        ch = o->data[at + i];

        if (ch < 0x80 || ch > 0xbf) {
            return -1;
        }

        u = u * 64 + (ch - 0x80);
    }

    if (u < (len == 2 ? 0x80u : len == 3 ? 0x800u : 0x10000u)
        || u > 0x10ffff || (u >= 0xd800 && u <= 0xdfff))
    {
        return -1;
    }

    return len;
}


static void
json_oracle_fail(json_oracle_t *o, ngx_eb_json_code_e code)
{
    o->code = code;

    if (o->at < o->len && json_oracle_utf8(o, o->at) < 0) {
        o->code = NGX_EB_JSON_E_UTF8;
    }

    longjmp(o->out, 1);
}


/* -1 at the end */

static int
json_oracle_peek(json_oracle_t *o)
{
    return (o->at < o->len) ? o->data[o->at] : -1;
}


static int
json_oracle_token(json_oracle_t *o)
{
    while (o->at < o->len && memchr(" \t\r\n", o->data[o->at], 4)) {
        o->at++;
    }

    if (o->at == o->len) {
        json_oracle_fail(o, o->depth ? NGX_EB_JSON_E_TRUNCATED
                                     : NGX_EB_JSON_E_EMPTY);
    }

    return o->data[o->at];
}


static uint32_t
json_oracle_node(json_oracle_t *o)
{
    if (o->pos) {
        o->pos[o->n] = (uint32_t) o->at;
    }

    return o->n++;
}


static void
json_oracle_string(json_oracle_t *o)
{
    int  c, i;

    (void) json_oracle_node(o);
    o->at++;

    for ( ;; ) {
        c = json_oracle_peek(o);

        if (c == '"') {
            o->at++;
            return;
        }

        if (c >= 0 && c < ' ') {
            json_oracle_fail(o, NGX_EB_JSON_E_STRING);
        }

        if (c == '\\') {
            o->at++;
            c = json_oracle_peek(o);

            if (c == 'u') {
                o->at++;

                for (i = 0; i < 4; i++, o->at++) {
                    c = json_oracle_peek(o);

                    if (c >= 0 && !isxdigit(c)) {
                        json_oracle_fail(o, NGX_EB_JSON_E_ESCAPE);
                    }

                    if (c < 0) {
                        json_oracle_fail(o, NGX_EB_JSON_E_STRING);
                    }
                }

                continue;
            }

            if (c >= 0) {
                if (c == 0 || !strchr("\"\\/bfnrt", c)) {
                    json_oracle_fail(o, NGX_EB_JSON_E_ESCAPE);
                }

                o->at++;
                continue;
            }
        }

        i = (c < 0) ? 0 : json_oracle_utf8(o, o->at);

        if (i == 0) {
            o->at = o->len;
        }

        if (i <= 0) {
            json_oracle_fail(o, NGX_EB_JSON_E_STRING);
        }

        o->at += i;
    }
}


static void
json_oracle_digits(json_oracle_t *o)
{
    int  c;

    c = json_oracle_peek(o);

    if (c < '0' || c > '9') {
        json_oracle_fail(o, c < 0 ? NGX_EB_JSON_E_TRUNCATED
                                  : NGX_EB_JSON_E_NUMBER);
    }

    do {
        o->at++;
        c = json_oracle_peek(o);
    } while (c >= '0' && c <= '9');
}


/* a letter, digit or sign must not touch a number or a word */

static void
json_oracle_apart(json_oracle_t *o, ngx_eb_json_code_e code)
{
    int  c;

    c = json_oracle_peek(o);

    if (c > 0 && c < 0x80 && (isalnum(c) || strchr("+-.", c))) {
        json_oracle_fail(o, code);
    }
}


static void
json_oracle_scalar(json_oracle_t *o)
{
    int          c;
    const char  *word;

    c = json_oracle_peek(o);

    if (c == '"') {
        json_oracle_string(o);
        return;
    }

    if (c > 0 && c < 0x80 && isalpha(c)) {
        (void) json_oracle_node(o);

        for (word = (c == 't') ? "true" : (c == 'f') ? "false" : "null";
             *word;
             word++, o->at++)
        {
            c = json_oracle_peek(o);

            if (c != *word) {
                json_oracle_fail(o, c < 0 ? NGX_EB_JSON_E_TRUNCATED
                                          : NGX_EB_JSON_E_LITERAL);
            }
        }

        json_oracle_apart(o, NGX_EB_JSON_E_LITERAL);
        return;
    }

    if (c <= 0 || c >= 0x80 || !strchr("0123456789+-.", c)) {
        json_oracle_fail(o, NGX_EB_JSON_E_SYNTAX);
    }

    (void) json_oracle_node(o);

    if (c == '-') {
        o->at++;
    }

    if (json_oracle_peek(o) == '0') {
        o->at++;

    } else {
        json_oracle_digits(o);
    }

    if (json_oracle_peek(o) == '.') {
        o->at++;
        json_oracle_digits(o);
    }

    c = json_oracle_peek(o);

    if (c == 'e' || c == 'E') {
        o->at++;
        c = json_oracle_peek(o);

        if (c == '+' || c == '-') {
            o->at++;
        }

        json_oracle_digits(o);
    }

    json_oracle_apart(o, NGX_EB_JSON_E_NUMBER);
}


static void
json_oracle_compound(json_oracle_t *o, int end)
{
    int       c;
    uint32_t  node, last;

    if (o->depth == o->max_depth) {
        json_oracle_fail(o, NGX_EB_JSON_E_DEPTH);
    }

    o->depth++;
    node = json_oracle_node(o);
    o->at++;

    if (json_oracle_token(o) != end) {

        for ( ;; ) {

            if (end == '}') {
                if (json_oracle_token(o) != '"') {
                    json_oracle_fail(o, NGX_EB_JSON_E_SYNTAX);
                }

                json_oracle_string(o);

                if (json_oracle_token(o) != ':') {
                    json_oracle_fail(o, NGX_EB_JSON_E_SYNTAX);
                }

                (void) json_oracle_node(o);
                o->at++;
            }

            json_oracle_value(o);

            c = json_oracle_token(o);

            if (c == end) {
                break;
            }

            if (c != ',') {
                json_oracle_fail(o, NGX_EB_JSON_E_SYNTAX);
            }

            (void) json_oracle_node(o);
            o->at++;
        }
    }

    last = json_oracle_node(o);

    if (o->skip) {
        o->skip[node] = last;
    }

    o->at++;
    o->depth--;
}


static void
json_oracle_value(json_oracle_t *o)
{
    switch (json_oracle_token(o)) {

    case '{':
        json_oracle_compound(o, '}');
        break;

    case '[':
        json_oracle_compound(o, ']');
        break;

    default:
        json_oracle_scalar(o);
    }
}


static ngx_eb_json_code_e
json_oracle(json_oracle_t *o, const u_char *data, size_t len,
    ngx_uint_t max_depth, uint32_t *pos, uint32_t *skip)
{
    o->data = data;
    o->len = len;
    o->at = 0;
    o->depth = 0;
    o->max_depth = max_depth;
    o->code = NGX_EB_JSON_OK;
    o->pos = pos;
    o->skip = skip;
    o->n = 0;

    if (setjmp(o->out) == 0) {
        json_oracle_value(o);

        while (o->at < len && memchr(" \t\r\n", data[o->at], 4)) {
            o->at++;
        }

        if (o->at < len) {
            json_oracle_fail(o, NGX_EB_JSON_E_TRAILING);
        }
    }

    return o->code;
}


/*
 * Parses the text both ways; 0 when they differ, also in the offset or in
 * any node of the index.
 */

static ngx_uint_t
json_oracle_agrees(ngx_eb_json_parser_t *parser, u_char *data, size_t len,
    ngx_uint_t max_depth, ngx_eb_json_error_t *err)
{
    uint32_t       i, *pos, *skip;
    ngx_int_t      rc;
    ngx_uint_t     same;
    json_oracle_t  o;
    ngx_eb_json_t  json;

    rc = ngx_eb_json_parse(parser, data, len, max_depth, &json, err);

    pos = calloc(len + 1, sizeof(uint32_t));
    skip = calloc(len + 1, sizeof(uint32_t));

    if (pos == NULL || skip == NULL) {
        abort();
    }

    (void) json_oracle(&o, data, len, max_depth, pos, skip);

    same = (err->code == o.code);

    if (o.code != NGX_EB_JSON_OK) {
        same = same && rc == NGX_DECLINED && err->offset == o.at;

    } else if (same) {
        same = (rc == NGX_OK && json.n == o.n && json.pos[json.n] == len
                && json.data == data && json.len == len
                && json.escapes == (memchr(data, '\\', len) != NULL));

        for (i = 0; same && i < o.n; i++) {
            same = (json.pos[i] == pos[i]
                    && (skip[i] == 0 || json.skip[i] == skip[i]));
        }
    }

    free(pos);
    free(skip);

    if (!same) {
        fprintf(stderr, "# parser: %d at %lu, oracle: %d at %lu\n",
                (int) err->code, (unsigned long) err->offset, (int) o.code,
                (unsigned long) o.at);
    }

    return same;
}


#endif /* _JSON_ORACLE_H_INCLUDED_ */
