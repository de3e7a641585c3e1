
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * A naive matcher of event patterns, for comparison: it reads the text of the
 * pattern each time, flattens the whole event, and tries everything.  It
 * takes a pattern for valid, and asks nothing of the matcher but its tables
 * of upper and lower case.
 */


#ifndef _PATTERN_ORACLE_H_INCLUDED_
#define _PATTERN_ORACLE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <arpa/inet.h>
#include <ctype.h>
#include <math.h>
#include "ngx_eb_json.h"
#include "ngx_eb_pattern_form.h"


#define ORACLE_FIELDS  64
#define ORACLE_LEAVES  4000
#define ORACLE_STEPS   200000
#define ORACLE_DEPTH   40


/* a plain value of the event, and the elements of arrays that it is in */

typedef struct {
    ngx_str_t                 path;
    ngx_eb_json_node_t        node;
    uint32_t                  arrays[ORACLE_DEPTH];
    uint32_t                  elements[ORACLE_DEPTH];
    ngx_uint_t                n;
} oracle_leaf_t;


typedef struct {
    ngx_str_t                 path;
    ngx_eb_json_node_t        array;        /* in the pattern */
} oracle_field_t;


/* members of objects that are still to be read, as a list */

typedef struct oracle_todo_s  oracle_todo_t;

struct oracle_todo_s {
    ngx_eb_json_node_t        key;          /* of an object, or NONE */
    ngx_str_t                 path;
    oracle_todo_t            *next;
};


typedef struct {
    ngx_pool_t               *pool;
    ngx_eb_json_t            *pattern;
    ngx_eb_json_t            *event;
    oracle_leaf_t            *leaves;
    ngx_uint_t                nleaves;
    oracle_leaf_t            *taken[ORACLE_FIELDS];
    ngx_uint_t                ntaken;
    ngx_uint_t                steps;
    unsigned                  legacy:1;
    unsigned                  lost:1;       /* too much, or a regex */
} oracle_t;


static ngx_int_t oracle(ngx_pool_t *pool, ngx_eb_json_t *pattern,
    ngx_eb_json_t *event, ngx_eb_json_node_t node);


static ngx_str_t
oracle_text(oracle_t *o, ngx_eb_json_t *json, ngx_eb_json_node_t node)
{
    ngx_str_t  text;

    if (ngx_eb_json_string(json, node, o->pool, &text) != NGX_OK) {
        o->lost = 1;
        ngx_str_set(&text, "");
    }

    return text;
}


static ngx_uint_t
oracle_same(ngx_str_t *a, const char *b)
{
    return a->len == strlen(b) && ngx_memcmp(a->data, b, a->len) == 0;
}


static ngx_str_t
oracle_path(oracle_t *o, ngx_str_t *path, ngx_str_t *name)
{
    ngx_str_t  new;

    if (path->data == NULL) {
        return *name;
    }

    new.len = path->len + 1 + name->len;
    new.data = ngx_pnalloc(o->pool, new.len);

    if (new.data == NULL) {
        o->lost = 1;
        return *path;
    }

    ngx_sprintf(new.data, "%V.%V", path, name);

    return new;
}


static void
oracle_flatten(oracle_t *o, ngx_eb_json_node_t node, oracle_leaf_t *at)
{
    uint32_t             i;
    ngx_str_t            path, name;
    ngx_eb_json_node_t   n;

    path = at->path;

    switch (ngx_eb_json_type(o->event, node)) {

    case '{':
        for (n = ngx_eb_json_first(o->event, node);
             n != NGX_EB_JSON_NONE;
             n = ngx_eb_json_after(o->event, n + 2))
        {
            name = oracle_text(o, o->event, n);
            at->path = oracle_path(o, &path, &name);
            oracle_flatten(o, n + 2, at);
        }

        break;

    case '[':
        if (at->n == ORACLE_DEPTH) {
            o->lost = 1;
            return;
        }

        for (i = 0, n = ngx_eb_json_first(o->event, node);
             n != NGX_EB_JSON_NONE;
             n = ngx_eb_json_after(o->event, n), i++)
        {
            if (ngx_strchr("{[", ngx_eb_json_type(o->event, n)) == NULL) {
                oracle_flatten(o, n, at);
                continue;
            }

            at->arrays[at->n] = node;
            at->elements[at->n++] = i;
            oracle_flatten(o, n, at);
            at->n--;
        }

        break;

    default:
        if (o->nleaves == ORACLE_LEAVES) {
            o->lost = 1;
            return;
        }

        at->node = node;
        o->leaves[o->nleaves++] = *at;
    }

    at->path = path;
}


/* what a number is worth as text: sign, digits, exponent */

static void
oracle_digits(const char *p, size_t len, char *out, size_t size)
{
    long         point, exp;
    size_t       i, n, lead;
    static char  digits[70000];

    *out = '\0';

    if (len > sizeof(digits) - 100) {
        return;
    }

    n = 0;
    point = -1;
    exp = 0;

    for (i = (*p == '-'); i < len; i++) {
        if (p[i] == '.') {
            point = n;

        } else if (p[i] == 'e' || p[i] == 'E') {
            exp = strtol(p + i + 1, NULL, 10);
            break;

        } else {
            digits[n++] = p[i];
        }
    }

    if (point == -1) {
        point = n;
    }

    for (lead = 0; lead < n && digits[lead] == '0'; lead++) { /* void */ }
    while (n > lead && digits[n - 1] == '0') { n--; }

    digits[n] = '\0';

    if (n == lead) {
        snprintf(out, size, "0");
        return;
    }

    if (n - lead > 30 || labs(exp) > 1000000) {
        return;
    }

    snprintf(out, size, "%s%s@%ld", (*p == '-') ? "-" : "", digits + lead,
             point - (long) lead + exp);
}


/* NAN: not a double that is written as shortly as it can be */

static double
oracle_number(ngx_str_t *text)
{
    int      n;
    char    *buf, *e, a[64], b[64], s[64];
    double   x;

    buf = malloc(text->len + 1);
    if (buf == NULL) {
        return NAN;
    }

    memcpy(buf, text->data, text->len);
    buf[text->len] = '\0';

    x = strtod(buf, NULL);
    e = strpbrk(buf, "eE");

    if (x == 0 && e && fabs(strtod(e + 1, NULL)) > 2147483647.0) {
        x = NAN;
    }

    oracle_digits(buf, text->len, a, sizeof(a));
    free(buf);

    if (!isfinite(x)) {
        return NAN;
    }

    for (n = 1; n < 17; n++) {
        snprintf(s, sizeof(s), "%.*e", n, x);
        if (strtod(s, NULL) == x) {
            break;
        }
    }

    snprintf(s, sizeof(s), "%.*e", ngx_min(n, 16), x);
    oracle_digits(s, strlen(s), b, sizeof(b));

    if (*a == '\0' || strcmp(a, b) != 0) {
        return NAN;
    }

    return (x == 0) ? 0 : x;
}


/* does text match lower or upper case of each character, up to its end? */

static ngx_uint_t
oracle_nocase(ngx_str_t *p, ngx_str_t *text, size_t from, size_t at)
{
    u_char    buf[8], *q;
    size_t    n, i;
    uint32_t  code;

    if (from == p->len) {
        return at == text->len;
    }

    q = p->data + from;
    n = (*q < 0x80) ? 1 : (*q < 0xe0) ? 2 : (*q < 0xf0) ? 3 : 4;
    code = (n == 1) ? *q : *q & (0xff >> (n + 1));

    for (i = 1; i < n; i++) {
        code = code << 6 | (q[i] & 0x3f);
    }

    if (n == 4 || (code >= 0xd800 && code < 0xe000)) {
        return text->len - at >= n && memcmp(text->data + at, q, n) == 0
               && oracle_nocase(p, text, from + n, at + n);
    }

    i = ngx_eb_pattern_lower_case(code, buf);

    if (text->len - at >= i && memcmp(text->data + at, buf, i) == 0
        && oracle_nocase(p, text, from + n, at + i))
    {
        return 1;
    }

    i = ngx_eb_pattern_upper_case(code, buf);

    return text->len - at >= i && memcmp(text->data + at, buf, i) == 0
           && oracle_nocase(p, text, from + n, at + i);
}


static ngx_uint_t
oracle_nocase_part(ngx_str_t *p, ngx_str_t *text, ngx_uint_t suffix)
{
    size_t     i;
    ngx_str_t  part;

    for (i = 0; i <= text->len; i++) {
        part.data = text->data + (suffix ? i : 0);
        part.len = suffix ? text->len - i : i;

        if (oracle_nocase(p, &part, 0, 0)) {
            return 1;
        }
    }

    return 0;
}


/* a row for each character of the pattern: which ends of text it reaches */

static ngx_uint_t
oracle_wildcard(oracle_t *o, ngx_str_t *p, ngx_str_t *text, ngx_uint_t nocase)
{
    u_char     *row, *next, *swap;
    size_t      i, k, n, m;
    ngx_str_t   ch, part;

    if ((double) p->len * text->len > 4e6) {
        o->lost = 1;
        return 0;
    }

    n = text->len + 1;
    row = ngx_pcalloc(o->pool, n);
    next = ngx_pcalloc(o->pool, n);

    if (row == NULL || next == NULL) {
        o->lost = 1;
        return 0;
    }

    row[0] = 1;

    for (i = 0; i < p->len; i += m) {
        memset(next, 0, n);
        m = 1;

        if (p->data[i] == '*') {
            for (k = 0; k < n; k++) {
                next[k] = row[k] || (k > 0 && next[k - 1]);
            }

        } else {
            if (p->data[i] == '\\') {
                i++;
            }

            while (i + m < p->len && (p->data[i + m] & 0xc0) == 0x80) {
                m++;
            }

            ch.data = p->data + i;
            ch.len = m;

            for (k = 0; k < n; k++) {
                if (!row[k]) {
                    continue;
                }

                for (part.len = 1; k + part.len < n && part.len <= 6;
                     part.len++)
                {
                    part.data = text->data + k;

                    if (nocase ? oracle_nocase(&ch, &part, 0, 0)
                        : (part.len == m
                           && memcmp(part.data, ch.data, m) == 0))
                    {
                        next[k + part.len] = 1;
                    }
                }
            }
        }

        swap = row;
        row = next;
        next = swap;
    }

    return row[text->len];
}


/* hexadecimal digits of an address, or an empty string */

static void
oracle_address(ngx_str_t *text, char *hex)
{
    char      buf[5000], *p, *q;
    u_char    a[16];
    size_t    i;
    unsigned  d[4];

    *hex = '\0';

    if (text->len >= sizeof(buf)) {
        return;
    }

    memcpy(buf, text->data, text->len);
    buf[text->len] = '\0';

    if (strlen(buf) != text->len) {
        return;
    }

    if (text->len <= 15 && strspn(buf, "0123456789.") == text->len) {
        for (i = 0, p = buf; i < 4; i++) {
            if (*p < '0' || *p > '9') {
                return;
            }

            d[i] = strtoul(p, &p, 10);

            if (d[i] > 255 || *p != (i < 3 ? '.' : '\0')) {
                return;
            }

            p++;
        }

        sprintf(hex, "%02x%02x%02x%02x", d[0], d[1], d[2], d[3]);
        return;
    }

    /* zeros before a number are as many as you like */

    for (p = q = buf; *p; p++) {
        if (*p != '0' || !isxdigit((u_char) p[1])
            || (q > buf && q[-1] != ':'))
        {
            *q++ = *p;
        }
    }

    *q = '\0';

    if (strchr(buf, '.') || inet_pton(AF_INET6, buf, a) != 1) {
        return;
    }

    for (i = 0; i < 16; i++) {
        sprintf(hex + 2 * i, "%02x", a[i]);
    }

    if (strncmp(hex, "00000000000000000000ffff", 24) == 0) {
        memmove(hex, hex + 24, 9);
    }
}


static ngx_uint_t
oracle_in_net(const char *v, const char *bottom, const char *top)
{
    size_t  i, n;

    n = ngx_min(strlen(v), strlen(bottom));

    for (i = 0; i < n; i++) {
        if (strncmp(v, bottom, i + 1) > 0 && strncmp(v, top, i + 1) < 0) {
            return 1;
        }
    }

    return strncmp(v, bottom, n) >= 0 && strncmp(v, top, n) <= 0
           && strlen(v) >= strlen(bottom);
}


static ngx_uint_t
oracle_cidr(ngx_str_t *net, ngx_str_t *text)
{
    char        v[40], bottom[40], top[40], bits[32];
    long        mask, i;
    ngx_str_t   address;
    unsigned    x, keep;

    address = *net;
    address.len = (u_char *) memchr(net->data, '/', net->len) - net->data;

    oracle_address(text, v);
    oracle_address(&address, bottom);

    ngx_memzero(bits, sizeof(bits));
    memcpy(bits, net->data + address.len + 1,
           ngx_min(31, net->len - address.len - 1));
    mask = strtol(bits, NULL, 10);

    strcpy(top, bottom);

    for (i = 0; bottom[i]; i++) {
        keep = (mask >= 4 * i + 4) ? 0
               : (mask <= 4 * i) ? 15 : 15u >> (mask - 4 * i);
        x = strtoul((char[]) { bottom[i], 0 }, NULL, 16);
        bottom[i] = "0123456789abcdef"[x & ~keep & 15];
        top[i] = "0123456789abcdef"[x | keep];
    }

    return *v && *bottom && oracle_in_net(v, bottom, top);
}


static ngx_uint_t
oracle_numeric(oracle_t *o, ngx_eb_json_node_t list, double x)
{
    double              bound;
    ngx_str_t           op, raw;
    ngx_eb_json_node_t  n;

    for (n = ngx_eb_json_first(o->pattern, list);
         n != NGX_EB_JSON_NONE;
         n = ngx_eb_json_after(o->pattern, n))
    {
        op = oracle_text(o, o->pattern, n);
        n = ngx_eb_json_after(o->pattern, n);
        ngx_eb_json_raw(o->pattern, n, &raw);
        bound = oracle_number(&raw);

        if (!(oracle_same(&op, "=") ? x == bound
              : oracle_same(&op, "<") ? x < bound
              : oracle_same(&op, "<=") ? x <= bound
              : oracle_same(&op, ">") ? x > bound : x >= bound))
        {
            return 0;
        }
    }

    return 1;
}


/* Event Ruler compares strings together with their quotes */

static ngx_str_t
oracle_quoted(oracle_t *o, ngx_str_t *text, ngx_uint_t before, ngx_uint_t after)
{
    ngx_str_t  quoted;

    quoted.len = before + text->len + after;
    quoted.data = ngx_pnalloc(o->pool, quoted.len + 1);

    if (quoted.data == NULL) {
        o->lost = 1;
        return *text;
    }

    ngx_sprintf(quoted.data, "%s%V%s", before ? "\"" : "", text,
                after ? "\"" : "");

    return quoted;
}


/* one operator on one string */

static ngx_uint_t
oracle_string_op(oracle_t *o, ngx_str_t *name, ngx_str_t *arg, ngx_str_t *text)
{
    ngx_str_t  part, all;

    if (oracle_same(name, "exactly")) {
        return arg->len == text->len
               && memcmp(arg->data, text->data, arg->len) == 0;
    }

    if (oracle_same(name, "prefix")) {
        part = oracle_quoted(o, arg, 1, 0);
        all = oracle_quoted(o, text, 1, 1);

        return part.len <= all.len
               && memcmp(part.data, all.data, part.len) == 0;
    }

    if (oracle_same(name, "suffix")) {
        part = oracle_quoted(o, arg, 0, 1);
        all = oracle_quoted(o, text, 1, 1);

        return part.len <= all.len
               && memcmp(part.data, all.data + all.len - part.len, part.len)
                  == 0;
    }

    if (oracle_same(name, "equals-ignore-case")) {
        return oracle_nocase(arg, text, 0, 0);
    }

    if (oracle_same(name, "cidr")) {
        return oracle_cidr(arg, text);
    }

    if (oracle_same(name, "regex")) {
        o->lost = 1;
        return 0;
    }

    return oracle_wildcard(o, arg, text,
                           oracle_same(name, "wildcard-ignore-case"));
}


/* what a plain value of a pattern says of a value of an event */

static ngx_uint_t
oracle_plain(oracle_t *o, ngx_eb_json_node_t item, ngx_eb_json_node_t value,
    ngx_uint_t address)
{
    char       x[40], y[40];
    u_char     type;
    ngx_str_t  a, b, name = ngx_string("exactly");

    type = ngx_eb_json_type(o->pattern, item);

    if (type != ngx_eb_json_type(o->event, value)) {
        return 0;
    }

    if (type == '"') {
        a = oracle_text(o, o->pattern, item);
        b = oracle_text(o, o->event, value);
        oracle_address(&a, x);

        if (address && *x) {
            oracle_address(&b, y);
            return *y && oracle_in_net(y, x, x);
        }

        return oracle_string_op(o, &name, &a, &b);
    }

    ngx_eb_json_raw(o->pattern, item, &a);
    ngx_eb_json_raw(o->event, value, &b);

    return (a.len == b.len && memcmp(a.data, b.data, a.len) == 0
            && (address || type != '0' || !isnan(oracle_number(&a))))
           || (type == '0' && oracle_number(&a) == oracle_number(&b));
}


static ngx_uint_t
oracle_item(oracle_t *o, ngx_eb_json_node_t item, ngx_eb_json_node_t value)
{
    ngx_uint_t          string, hit;
    ngx_str_t           name, inner, arg, text, raw;
    ngx_eb_json_node_t  n;

    if (ngx_eb_json_type(o->pattern, item) != '{') {
        return oracle_plain(o, item, value, 1);
    }

    ngx_str_set(&text, "");

    string = (ngx_eb_json_type(o->event, value) == '"');

    if (string) {
        text = oracle_text(o, o->event, value);
    }

    name = oracle_text(o, o->pattern, item + 1);
    item += 3;

    if (oracle_same(&name, "exists")) {
        return ngx_eb_json_type(o->pattern, item) == 't';
    }

    if (oracle_same(&name, "numeric")) {
        ngx_eb_json_raw(o->event, value, &raw);

        return ngx_eb_json_type(o->event, value) == '0'
               && !isnan(oracle_number(&raw))
               && oracle_numeric(o, item, oracle_number(&raw));
    }

    if (oracle_same(&name, "anything-but")) {
        ngx_str_null(&inner);

        if (ngx_eb_json_type(o->pattern, item) == '{') {
            inner = oracle_text(o, o->pattern, item + 1);
            item += 3;
        }

        n = (ngx_eb_json_type(o->pattern, item) == '[')
            ? ngx_eb_json_first(o->pattern, item) : item;

        for ( ;; ) {

            if (inner.data == NULL) {
                hit = oracle_plain(o, n, value, 0);

            } else {
                arg = oracle_text(o, o->pattern, n);
                hit = string && oracle_string_op(o, &inner, &arg, &text);
            }

            if (hit) {
                return 0;
            }

            if (n == item) {
                return 1;
            }

            n = ngx_eb_json_after(o->pattern, n);

            if (n == NGX_EB_JSON_NONE) {
                return 1;
            }
        }
    }

    if (!string) {
        return 0;
    }

    if (ngx_eb_json_type(o->pattern, item) == '{') {
        string = oracle_same(&name, "suffix");
        arg = oracle_text(o, o->pattern, item + 3);
        arg = oracle_quoted(o, &arg, !string, string);
        text = oracle_quoted(o, &text, 1, 1);

        return oracle_nocase_part(&arg, &text, string);
    }

    arg = oracle_text(o, o->pattern, item);

    return oracle_string_op(o, &name, &arg, &text);
}


static ngx_uint_t
oracle_fits(oracle_leaf_t *a, oracle_leaf_t *b)
{
    ngx_uint_t  i, k;

    for (i = 0; i < a->n; i++) {
        for (k = 0; k < b->n; k++) {
            if (a->arrays[i] == b->arrays[k]
                && a->elements[i] != b->elements[k])
            {
                return 0;
            }
        }
    }

    return 1;
}


static ngx_uint_t
oracle_may_be_absent(oracle_t *o, ngx_eb_json_node_t array)
{
    ngx_str_t           name;
    ngx_eb_json_node_t  n;

    for (n = ngx_eb_json_first(o->pattern, array);
         n != NGX_EB_JSON_NONE;
         n = ngx_eb_json_after(o->pattern, n))
    {
        if (ngx_eb_json_type(o->pattern, n) != '{') {
            continue;
        }

        name = oracle_text(o, o->pattern, n + 1);

        if (oracle_same(&name, "exists")
            && ngx_eb_json_type(o->pattern, n + 3) == 'f')
        {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
oracle_try(oracle_t *o, oracle_field_t *fields, ngx_uint_t n, ngx_uint_t at)
{
    ngx_uint_t          i, k;
    oracle_leaf_t      *leaf;
    ngx_eb_json_node_t  item;

    if (at == n || o->lost) {
        return !o->lost;
    }

    if (o->steps++ > ORACLE_STEPS) {
        o->lost = 1;
        return 0;
    }

    if (oracle_may_be_absent(o, fields[at].array)) {
        for (i = 0; i < o->nleaves; i++) {
            leaf = &o->leaves[i];

            if (ngx_eb_pattern_name_cmp(&leaf->path, &fields[at].path) != 0) {
                continue;
            }

            for (k = 0; k < o->ntaken && oracle_fits(o->taken[k], leaf); k++) {
                /* void */
            }

            if (k == o->ntaken) {
                break;
            }
        }

        if (i == o->nleaves && oracle_try(o, fields, n, at + 1)) {
            return 1;
        }
    }

    for (i = 0; i < o->nleaves; i++) {
        leaf = &o->leaves[i];

        if (ngx_eb_pattern_name_cmp(&leaf->path, &fields[at].path) != 0) {
            continue;
        }

        for (k = 0; k < o->ntaken && oracle_fits(o->taken[k], leaf); k++) {
            /* void */
        }

        if (k < o->ntaken) {
            continue;
        }

        for (item = ngx_eb_json_first(o->pattern, fields[at].array);
             item != NGX_EB_JSON_NONE;
             item = ngx_eb_json_after(o->pattern, item))
        {
            if (oracle_item(o, item, leaf->node)) {
                break;
            }
        }

        if (item == NGX_EB_JSON_NONE) {
            continue;
        }

        o->taken[o->ntaken++] = leaf;

        if (oracle_try(o, fields, n, at + 1)) {
            return 1;
        }

        o->ntaken--;
    }

    return 0;
}


static int
oracle_cmp(const void *a, const void *b)
{
    return ngx_eb_pattern_name_cmp(&((oracle_field_t *) a)->path,
                                   &((oracle_field_t *) b)->path);
}


/* reads on, with all that was read so far; each "$or" begins anew from here */

static ngx_uint_t
oracle_read(oracle_t *o, oracle_todo_t *todo, oracle_field_t *before,
    ngx_uint_t n)
{
    ngx_str_t            name;
    ngx_uint_t           i;
    oracle_todo_t        next, inner;
    oracle_field_t       fields[ORACLE_FIELDS];
    ngx_eb_json_node_t   value, item;

    while (todo && todo->key == NGX_EB_JSON_NONE) {
        todo = todo->next;
    }

    if (n) {
        memcpy(fields, before, n * sizeof(oracle_field_t));
    }

    if (todo == NULL) {
        qsort(fields, n, sizeof(oracle_field_t), oracle_cmp);
        o->ntaken = 0;
        return oracle_try(o, fields, n, 0);
    }

    if (n == ORACLE_FIELDS || o->steps++ > ORACLE_STEPS) {
        o->lost = 1;
    }

    if (o->lost) {
        return 0;
    }

    name = oracle_text(o, o->pattern, todo->key);
    value = todo->key + 2;

    next = *todo;
    next.key = ngx_eb_json_after(o->pattern, value);

    inner.path = todo->path;
    inner.next = &next;

    if (oracle_same(&name, "$or") && !o->legacy) {
        for (item = ngx_eb_json_first(o->pattern, value);
             item != NGX_EB_JSON_NONE;
             item = ngx_eb_json_after(o->pattern, item))
        {
            inner.key = ngx_eb_json_first(o->pattern, item);

            if (oracle_read(o, &inner, fields, n)) {
                return 1;
            }
        }

        return 0;
    }

    name = oracle_path(o, &todo->path, &name);

    if (ngx_eb_json_type(o->pattern, value) == '{') {
        inner.path = name;
        inner.key = ngx_eb_json_first(o->pattern, value);
        return oracle_read(o, &inner, fields, n);
    }

    for (i = 0; i < n; i++) {
        if (ngx_eb_pattern_name_cmp(&fields[i].path, &name) == 0) {
            break;
        }
    }

    fields[i].path = name;
    fields[i].array = value;

    return oracle_read(o, &next, fields, ngx_max(n, i + 1));
}


/* is each "$or" what it should be? */

static ngx_uint_t
oracle_or(oracle_t *o, ngx_eb_json_node_t object, ngx_uint_t inside)
{
    ngx_str_t            name;
    ngx_uint_t           n;
    const char         **word;
    ngx_eb_json_node_t   key, item;

    static const char   *words[] = {
        "exactly", "prefix", "suffix", "equals-ignore-case", "wildcard",
        "numeric", "cidr", "exists", "anything-but", "=", "<", "<=", ">",
        ">=", "regex", "not-wildcard", "not-equals-ignore-case", "date-after",
        "date-on-or-after", "date-before", "date-on-or-before",
        "in-date-range", "ip-address-in-range", "ip-address-not-in-range", NULL
    };

    for (key = ngx_eb_json_first(o->pattern, object);
         key != NGX_EB_JSON_NONE;
         key = ngx_eb_json_after(o->pattern, key + 2))
    {
        name = oracle_text(o, o->pattern, key);

        if (oracle_same(&name, "$or")) {

            if (ngx_eb_json_type(o->pattern, key + 2) != '[') {
                return 0;
            }

            for (n = 0, item = ngx_eb_json_first(o->pattern, key + 2);
                 item != NGX_EB_JSON_NONE;
                 item = ngx_eb_json_after(o->pattern, item), n++)
            {
                if (ngx_eb_json_type(o->pattern, item) != '{'
                    || ngx_eb_json_first(o->pattern, item) == NGX_EB_JSON_NONE
                    || !oracle_or(o, item, 1))
                {
                    return 0;
                }
            }

            if (n < 2) {
                return 0;
            }

            continue;
        }

        for (word = words; inside && *word; word++) {
            if (oracle_same(&name, *word)) {
                return 0;
            }
        }

        switch (ngx_eb_json_type(o->pattern, key + 2)) {

        case '{':
            if (!oracle_or(o, key + 2, inside)) {
                return 0;
            }

            break;

        case '[':
            break;

        default:
            return 0;
        }
    }

    return 1;
}


/* NGX_OK, NGX_DECLINED; NGX_AGAIN: it does not know */

static ngx_int_t
oracle(ngx_pool_t *pool, ngx_eb_json_t *pattern, ngx_eb_json_t *event,
    ngx_eb_json_node_t node)
{
    oracle_t        o;
    ngx_uint_t      match;
    oracle_leaf_t   at;
    oracle_todo_t   todo;

    ngx_memzero(&o, sizeof(oracle_t));
    ngx_memzero(&at, sizeof(oracle_leaf_t));

    o.pool = pool;
    o.pattern = pattern;
    o.event = event;

    o.leaves = malloc(ORACLE_LEAVES * sizeof(oracle_leaf_t));
    if (o.leaves == NULL) {
        return NGX_AGAIN;
    }

    if (ngx_eb_json_type(event, node) == '{') {
        oracle_flatten(&o, node, &at);
    }

    o.legacy = !oracle_or(&o, 0, 0);

    todo.key = ngx_eb_json_first(pattern, 0);
    ngx_str_null(&todo.path);
    todo.next = NULL;

    match = oracle_read(&o, &todo, NULL, 0);

    free(o.leaves);

    return o.lost ? NGX_AGAIN : match ? NGX_OK : NGX_DECLINED;
}


#endif /* _PATTERN_ORACLE_H_INCLUDED_ */
