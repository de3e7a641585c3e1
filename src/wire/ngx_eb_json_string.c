
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Strings of a validated text.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"


static u_char *ngx_eb_json_string_end(ngx_eb_json_t *json,
    ngx_eb_json_node_t node);
static size_t ngx_eb_json_escape(u_char **pp, u_char *dst);
static uint32_t ngx_eb_json_hex4(const u_char *p);


/* what the escapes with a letter stand for, by its low bits */

static const u_char  ngx_eb_json_control[32] = {
    0, 0, '\b', 0, 0, 0, '\f', 0, 0, 0, 0, 0, 0, 0, '\n', 0, 0, 0, '\r', 0, '\t'
};


/* the closing quote of the string at node */

static u_char *
ngx_eb_json_string_end(ngx_eb_json_t *json, ngx_eb_json_node_t node)
{
    u_char  *last;

    last = json->data + json->pos[node + 1] - 1;

    /* only white space is between the quote and the next node */

    while (*last != '"') {
        last--;
    }

    return last;
}


ngx_uint_t
ngx_eb_json_string_raw(ngx_eb_json_t *json, ngx_eb_json_node_t node,
    ngx_str_t *raw)
{
    raw->data = json->data + json->pos[node] + 1;
    raw->len = ngx_eb_json_string_end(json, node) - raw->data;

    return ngx_eb_json_escaped(json, raw->data, raw->len);
}


ngx_int_t
ngx_eb_json_string(ngx_eb_json_t *json, ngx_eb_json_node_t node,
    ngx_pool_t *pool, ngx_str_t *value)
{
    ngx_str_t  raw;

    if (!ngx_eb_json_string_raw(json, node, &raw)) {
        *value = raw;
        return NGX_OK;
    }

    value->data = ngx_pnalloc(pool, raw.len);
    if (value->data == NULL) {
        return NGX_ERROR;
    }

    value->len = ngx_eb_json_unescape(&raw, value->data);

    return NGX_OK;
}


size_t
ngx_eb_json_unescape(ngx_str_t *raw, u_char *dst)
{
    u_char  *p, *last, *start;

    /* no escape is shorter than what it stands for */

    start = dst;
    p = raw->data;
    last = p + raw->len;

    while (p < last) {

        if (*p == '\\') {
            dst += ngx_eb_json_escape(&p, dst);

        } else {
            *dst++ = *p++;
        }
    }

    return dst - start;
}


ngx_uint_t
ngx_eb_json_string_eq(ngx_eb_json_t *json, ngx_eb_json_node_t node,
    ngx_str_t *value)
{
    u_char  buf[4], *p, *last, *v, *end;
    size_t  len, n;

    p = json->data + json->pos[node] + 1;
    last = ngx_eb_json_string_end(json, node);
    len = last - p;

    /* with an escape in it a string is shorter than its text */

    if (len < value->len) {
        return 0;
    }

    if (len == 0) {
        return 1;
    }

    if (!json->escapes || len == value->len) {
        return len == value->len
               && ngx_memcmp(p, value->data, len) == 0
               && !ngx_eb_json_escaped(json, p, len);
    }

    v = value->data;
    end = v + value->len;

    while (p < last) {

        if (*p == '\\') {
            n = ngx_eb_json_escape(&p, buf);

        } else {
            buf[0] = *p++;
            n = 1;
        }

        if ((size_t) (end - v) < n || ngx_memcmp(v, buf, n) != 0) {
            return 0;
        }

        v += n;
    }

    return v == end;
}


/*
 * The bytes of the valid escape at *pp, which is moved behind it.  What
 * follows it is in the same text: a quote at least.
 */

static size_t
ngx_eb_json_escape(u_char **pp, u_char *dst)
{
    u_char    *p;
    uint32_t   u, low;

    p = *pp;

    if (p[1] != 'u') {
        *pp = p + 2;
        *dst = (p[1] <= '\\') ? p[1] : ngx_eb_json_control[p[1] & 0x1f];
        return 1;
    }

    u = ngx_eb_json_hex4(p + 2);
    p += 6;

    if (u >= 0xd800 && u <= 0xdbff && p[0] == '\\' && p[1] == 'u') {
        low = ngx_eb_json_hex4(p + 2);

        if (low >= 0xdc00 && low <= 0xdfff) {
            u = 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
            p += 6;
        }
    }

    *pp = p;

    return ngx_eb_json_utf8(u, dst);
}


size_t
ngx_eb_json_utf8(uint32_t u, u_char *dst)
{
    if (u < 0x80) {
        dst[0] = (u_char) u;
        return 1;
    }

    if (u < 0x800) {
        dst[0] = (u_char) (0xc0 | (u >> 6));
        dst[1] = (u_char) (0x80 | (u & 0x3f));
        return 2;
    }

    if (u < 0x10000) {
        dst[0] = (u_char) (0xe0 | (u >> 12));
        dst[1] = (u_char) (0x80 | ((u >> 6) & 0x3f));
        dst[2] = (u_char) (0x80 | (u & 0x3f));
        return 3;
    }

    dst[0] = (u_char) (0xf0 | (u >> 18));
    dst[1] = (u_char) (0x80 | ((u >> 12) & 0x3f));
    dst[2] = (u_char) (0x80 | ((u >> 6) & 0x3f));
    dst[3] = (u_char) (0x80 | (u & 0x3f));

    return 4;
}


static uint32_t
ngx_eb_json_hex4(const u_char *p)
{
    u_char      ch;
    uint32_t    u;
    ngx_uint_t  i;

    for (u = 0, i = 0; i < 4; i++) {
        ch = (u_char) (p[i] | 0x20);
        u = (u << 4) | (uint32_t) (ch <= '9' ? ch - '0' : ch - 'a' + 10);
    }

    return u;
}


ngx_eb_json_node_t
ngx_eb_json_member(ngx_eb_json_t *json, ngx_eb_json_node_t object,
    ngx_str_t *name)
{
    ngx_eb_json_node_t  key, found;

    found = NGX_EB_JSON_NONE;

    for (key = ngx_eb_json_first(json, object);
         key != NGX_EB_JSON_NONE;
         key = ngx_eb_json_after(json, key + 2))
    {
        if (ngx_eb_json_string_eq(json, key, name)) {
            found = key + 2;
        }
    }

    return found;
}
