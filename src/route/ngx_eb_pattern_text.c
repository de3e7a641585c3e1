
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Text without case, and wildcards.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_pattern_form.h"


typedef struct {
    ngx_str_t                 text;
    u_char                   *stars;        /* 1: an asterisk */
} ngx_eb_pattern_parsed_t;


/* a beginning of a run between asterisks */

typedef struct {
    uint32_t                  parent;
    uint32_t                  child;
    uint32_t                  sibling;
    uint32_t                  next;
    uint32_t                  fail;
    uint32_t                  count;
    u_char                    ch;
} ngx_eb_pattern_run_t;


static ngx_int_t ngx_eb_pattern_char(ngx_eb_pattern_char_t *ch, u_char *p,
    size_t len);
static size_t ngx_eb_pattern_decode(u_char *p, u_char *last, uint32_t *code);
static u_char *ngx_eb_pattern_case_at(ngx_eb_pattern_case_text_t *nocase,
    u_char *p, u_char *last);
static ngx_uint_t ngx_eb_pattern_ascii_equal(ngx_str_t *ascii, u_char *p);
static u_char *ngx_eb_pattern_case_find(ngx_eb_pattern_case_text_t *nocase,
    u_char *p, u_char *last);
static ngx_int_t ngx_eb_pattern_wildcard_parse(ngx_pool_t *pool,
    ngx_str_t *text, ngx_eb_pattern_parsed_t *parsed, const char **why,
    size_t *pos);
static ngx_int_t ngx_eb_pattern_wildcard_complex(ngx_pool_t *temp,
    ngx_eb_pattern_parsed_t *parsed);
static ngx_int_t ngx_eb_pattern_wildcard_fold(ngx_pool_t *temp,
    ngx_eb_pattern_parsed_t *parsed, ngx_uint_t upper,
    ngx_eb_pattern_parsed_t *folded);
static ngx_int_t ngx_eb_pattern_wildcard_tree(ngx_pool_t *temp,
    ngx_eb_pattern_run_t *nodes, u_char *p, u_char *star, u_char *last);
static uint32_t ngx_eb_pattern_wildcard_child(ngx_eb_pattern_run_t *nodes,
    uint32_t at, u_char ch);
static ngx_uint_t ngx_eb_pattern_wildcard_case(
    ngx_eb_pattern_wildcard_t *wildcard, u_char *p, u_char *last);


ngx_int_t
ngx_eb_pattern_case_compile(ngx_pool_t *pool, ngx_str_t *text,
    ngx_eb_pattern_case_text_t *nocase)
{
    u_char      *p, *last;
    size_t       n;
    uint32_t     code;
    ngx_uint_t   i;

    ngx_memzero(nocase, sizeof(ngx_eb_pattern_case_text_t));

    for (i = 0; i < text->len && text->data[i] < 0x80; i++) { /* void */ }

    if (i == text->len) {
        nocase->ascii.len = text->len;

        nocase->ascii.data = ngx_pnalloc(pool, text->len + 1);
        if (nocase->ascii.data == NULL) {
            return NGX_ERROR;
        }

        ngx_strlow(nocase->ascii.data, text->data, text->len);

        return NGX_OK;
    }

    nocase->chars = ngx_pcalloc(pool,
                                text->len * sizeof(ngx_eb_pattern_char_t));
    if (nocase->chars == NULL) {
        return NGX_ERROR;
    }

    p = text->data;
    last = p + text->len;

    while (p < last) {
        n = ngx_eb_pattern_decode(p, last, &code);

        if (ngx_eb_pattern_char(&nocase->chars[nocase->nchars++], p, n)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        p += n;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_pattern_char(ngx_eb_pattern_char_t *ch, u_char *p, size_t len)
{
    uint32_t  code;

    (void) ngx_eb_pattern_decode(p, p + len, &code);

    if (code > 0xffff || (code >= 0xd800 && code <= 0xdfff)) {

        /* in UTF-16 these are halves, which have no case */

        ngx_memcpy(ch->lower, p, len);
        ngx_memcpy(ch->upper, p, len);
        ch->nlower = (u_char) len;
        ch->nupper = (u_char) len;

        return NGX_OK;
    }

    ch->nlower = (u_char) ngx_eb_pattern_lower_case(code, ch->lower);
    ch->nupper = (u_char) ngx_eb_pattern_upper_case(code, ch->upper);

    return NGX_OK;
}


/* of UTF-8, or of a surrogate in three bytes, that the JSON layer has made */

static size_t
ngx_eb_pattern_decode(u_char *p, u_char *last, uint32_t *code)
{
    size_t  n, i;

    if (*p < 0x80) {
        *code = *p;
        return 1;
    }

    n = (*p < 0xe0) ? 2 : (*p < 0xf0) ? 3 : 4;
    n = ngx_min(n, (size_t) (last - p));

    *code = *p & (0x7f >> n);

    for (i = 1; i < n; i++) {
        *code = (*code << 6) | (p[i] & 0x3f);
    }

    return n;
}


/* where the text ends that begins at p, or NULL */

static u_char *
ngx_eb_pattern_case_at(ngx_eb_pattern_case_text_t *nocase, u_char *p,
    u_char *last)
{
    ngx_uint_t              i;
    ngx_eb_pattern_char_t  *ch;

    if (nocase->chars == NULL) {

        if ((size_t) (last - p) < nocase->ascii.len
            || !ngx_eb_pattern_ascii_equal(&nocase->ascii, p))
        {
            return NULL;
        }

        return p + nocase->ascii.len;
    }

    for (i = 0; i < nocase->nchars; i++) {
        ch = &nocase->chars[i];

        /* neither of the two begins with the other */

        if ((size_t) (last - p) >= ch->nlower
            && ngx_memcmp(p, ch->lower, ch->nlower) == 0)
        {
            p += ch->nlower;
            continue;
        }

        if ((size_t) (last - p) >= ch->nupper
            && ngx_memcmp(p, ch->upper, ch->nupper) == 0)
        {
            p += ch->nupper;
            continue;
        }

        return NULL;
    }

    return p;
}


static ngx_uint_t
ngx_eb_pattern_ascii_equal(ngx_str_t *ascii, u_char *p)
{
    size_t  i;

    for (i = 0; i < ascii->len; i++) {
        if (ngx_tolower(p[i]) != ascii->data[i]) {
            return 0;
        }
    }

    return 1;
}


ngx_uint_t
ngx_eb_pattern_case_equal(ngx_eb_pattern_case_text_t *nocase, u_char *p,
    size_t len)
{
    if (nocase->chars == NULL) {
        return len == nocase->ascii.len
               && ngx_eb_pattern_ascii_equal(&nocase->ascii, p);
    }

    return ngx_eb_pattern_case_at(nocase, p, p + len) == p + len;
}


ngx_uint_t
ngx_eb_pattern_case_prefix(ngx_eb_pattern_case_text_t *nocase, u_char *p,
    size_t len)
{
    return ngx_eb_pattern_case_at(nocase, p, p + len) != NULL;
}


ngx_uint_t
ngx_eb_pattern_case_suffix(ngx_eb_pattern_case_text_t *nocase, u_char *p,
    size_t len)
{
    u_char                 *last;
    ngx_uint_t              i;
    ngx_eb_pattern_char_t  *ch;

    if (nocase->chars == NULL) {
        return len >= nocase->ascii.len
               && ngx_eb_pattern_ascii_equal(&nocase->ascii,
                                             p + len - nocase->ascii.len);
    }

    last = p + len;

    for (i = nocase->nchars; i-- > 0; /* void */ ) {
        ch = &nocase->chars[i];

        /* neither of the two ends with the other */

        if ((size_t) (last - p) >= ch->nlower
            && ngx_memcmp(last - ch->nlower, ch->lower, ch->nlower) == 0)
        {
            last -= ch->nlower;
            continue;
        }

        if ((size_t) (last - p) >= ch->nupper
            && ngx_memcmp(last - ch->nupper, ch->upper, ch->nupper) == 0)
        {
            last -= ch->nupper;
            continue;
        }

        return 0;
    }

    return 1;
}


static u_char *
ngx_eb_pattern_case_find(ngx_eb_pattern_case_text_t *nocase, u_char *p,
    u_char *last)
{
    u_char  *end;

    for ( /* void */ ; p <= last; p++) {
        end = ngx_eb_pattern_case_at(nocase, p, last);

        if (end) {
            return end;
        }
    }

    return NULL;
}


ngx_int_t
ngx_eb_pattern_wildcard_compile(ngx_pool_t *pool, ngx_pool_t *temp,
    ngx_str_t *text, ngx_uint_t nocase, ngx_eb_pattern_wildcard_t *wildcard,
    const char **why, size_t *pos)
{
    size_t                    i, start;
    ngx_int_t                 rc;
    ngx_uint_t                n;
    ngx_eb_pattern_parsed_t   parsed, folded;

    rc = ngx_eb_pattern_wildcard_parse(pool, text, &parsed, why, pos);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_eb_pattern_wildcard_complex(temp, &parsed);

    /* what differs in case only is the same for a text */

    for (n = 0; nocase && rc == NGX_OK && n < 2; n++) {
        rc = ngx_eb_pattern_wildcard_fold(temp, &parsed, n, &folded);

        if (rc == NGX_OK) {
            rc = ngx_eb_pattern_wildcard_complex(temp, &folded);
        }
    }

    if (rc == NGX_DECLINED) {
        *why = "Rule is too complex - try using fewer wildcard characters or"
               " fewer repeating character sequences after a wildcard"
               " character";
        *pos = 0;
    }

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_memzero(wildcard, sizeof(ngx_eb_pattern_wildcard_t));

    for (n = 1, i = 0; i < parsed.text.len; i++) {
        n += parsed.stars[i];
    }

    wildcard->runs = ngx_pcalloc(pool, n * sizeof(ngx_str_t));
    if (wildcard->runs == NULL) {
        return NGX_ERROR;
    }

    if (nocase) {
        wildcard->case_runs = ngx_pcalloc(pool,
                                      n * sizeof(ngx_eb_pattern_case_text_t));
        if (wildcard->case_runs == NULL) {
            return NGX_ERROR;
        }
    }

    for (start = 0, i = 0; i <= parsed.text.len; i++) {

        if (i < parsed.text.len && !parsed.stars[i]) {
            continue;
        }

        wildcard->runs[wildcard->n].data = parsed.text.data + start;
        wildcard->runs[wildcard->n].len = i - start;

        if (nocase
            && ngx_eb_pattern_case_compile(pool,
                                           &wildcard->runs[wildcard->n],
                                           &wildcard->case_runs[wildcard->n])
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        wildcard->n++;
        start = i + 1;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_pattern_wildcard_parse(ngx_pool_t *pool, ngx_str_t *text,
    ngx_eb_pattern_parsed_t *parsed, const char **why, size_t *pos)
{
    size_t   i, n;
    u_char  *p;

    parsed->text.data = ngx_pnalloc(pool, 2 * text->len + 1);
    if (parsed->text.data == NULL) {
        return NGX_ERROR;
    }

    parsed->stars = parsed->text.data + text->len;
    p = text->data;

    for (i = 0, n = 0; i < text->len; i++, n++) {
        parsed->stars[n] = 0;
        parsed->text.data[n] = p[i];

        if (p[i] == '*') {

            if (i + 1 < text->len && p[i + 1] == '*') {
                *why = "Consecutive wildcard characters";
                *pos = i + 1;
                return NGX_DECLINED;
            }

            parsed->stars[n] = 1;
            continue;
        }

        if (p[i] == '\\') {
            i++;

            if (i == text->len || (p[i] != '*' && p[i] != '\\')) {
                *why = "Invalid escape character";
                *pos = i;
                return NGX_DECLINED;
            }

            parsed->text.data[n] = p[i];
        }
    }

    parsed->text.len = n;

    return NGX_OK;
}


/*
 * AWS limits how many beginnings of a wildcard the worst text can match at a
 * time.  Once a text has had all that is before it, each asterisk goes on, and
 * each run behind one may begin anywhere: how many have begun is only a matter
 * of how the text ends, and the worst end is a beginning of a run.  So the
 * runs make a tree, in which each node leads to the longest other beginning
 * that it ends with.
 */

static ngx_int_t
ngx_eb_pattern_wildcard_complex(ngx_pool_t *temp,
    ngx_eb_pattern_parsed_t *parsed)
{
    u_char               *p, *star, *last;
    uint32_t              at, i, child, fail;
    ngx_uint_t            stars, most;
    ngx_eb_pattern_run_t *nodes;

    stars = 0;

    for (i = 0; i < parsed->text.len; i++) {
        stars += parsed->stars[i];
    }

    if (stars == 0 || parsed->text.len <= NGX_EB_PATTERN_MAX_WILDCARD) {
        return NGX_OK;
    }

    nodes = ngx_pcalloc(temp, (parsed->text.len + 1)
                              * sizeof(ngx_eb_pattern_run_t));
    if (nodes == NULL) {
        return NGX_ERROR;
    }

    star = parsed->stars;
    p = parsed->text.data;
    last = p + parsed->text.len;

    while (!*star) {
        star++;
        p++;
    }

    /* in this order each node comes after those that are less deep */

    if (ngx_eb_pattern_wildcard_tree(temp, nodes, p, star, last) != NGX_OK) {
        return NGX_ERROR;
    }

    most = 0;

    for (i = nodes[0].next; i; i = nodes[i].next) {

        at = nodes[i].parent;
        fail = 0;

        while (at != 0) {
            at = nodes[at].fail;
            child = ngx_eb_pattern_wildcard_child(nodes, at, nodes[i].ch);

            if (child) {
                fail = child;
                break;
            }
        }

        nodes[i].fail = fail;
        nodes[i].count += nodes[fail].count;

        most = ngx_max(most, nodes[i].count);
    }

    /* and where it begins with an asterisk, no text ends at its first byte */

    most += stars + parsed->stars[0];

    return (most > NGX_EB_PATTERN_MAX_WILDCARD) ? NGX_DECLINED : NGX_OK;
}


/* in lower, or in upper case */

static ngx_int_t
ngx_eb_pattern_wildcard_fold(ngx_pool_t *temp,
    ngx_eb_pattern_parsed_t *parsed, ngx_uint_t upper,
    ngx_eb_pattern_parsed_t *folded)
{
    u_char                 *p, *last, *dst;
    size_t                  n, size;
    uint32_t                code;
    ngx_eb_pattern_char_t   ch;

    size = parsed->text.len * sizeof(ch.lower);

    folded->text.data = ngx_pnalloc(temp, 2 * size + 1);
    if (folded->text.data == NULL) {
        return NGX_ERROR;
    }

    folded->stars = folded->text.data + size;
    ngx_memzero(folded->stars, size);

    p = parsed->text.data;
    last = p + parsed->text.len;
    dst = folded->text.data;

    while (p < last) {
        n = ngx_eb_pattern_decode(p, last, &code);

        if (ngx_eb_pattern_char(&ch, p, n) != NGX_OK) {
            return NGX_ERROR;
        }

        folded->stars[dst - folded->text.data] =
                                        parsed->stars[p - parsed->text.data];
        p += n;

        dst = upper ? ngx_cpymem(dst, ch.upper, ch.nupper)
                    : ngx_cpymem(dst, ch.lower, ch.nlower);
    }

    folded->text.len = dst - folded->text.data;

    return NGX_OK;
}


/* node 0 is the root; next leads through all others by their depth */

static ngx_int_t
ngx_eb_pattern_wildcard_tree(ngx_pool_t *temp, ngx_eb_pattern_run_t *nodes,
    u_char *p, u_char *star, u_char *last)
{
    uint32_t  at, child, depth, *heads, *tails, n, prev;

    heads = ngx_pcalloc(temp, 2 * (last - p + 1) * sizeof(uint32_t));
    if (heads == NULL) {
        return NGX_ERROR;
    }

    tails = heads + (last - p + 1);
    at = 0;
    depth = 0;
    n = 1;

    for ( /* void */ ; p < last; p++, star++) {

        if (*star) {
            at = 0;
            depth = 0;
            continue;
        }

        child = ngx_eb_pattern_wildcard_child(nodes, at, *p);

        if (child == 0) {
            child = n++;

            nodes[child].ch = *p;
            nodes[child].parent = at;
            nodes[child].sibling = nodes[at].child;
            nodes[at].child = child;

            if (heads[depth] == 0) {
                heads[depth] = child;

            } else {
                nodes[tails[depth]].next = child;
            }

            tails[depth] = child;
        }

        nodes[child].count++;
        at = child;
        depth++;
    }

    prev = 0;

    for (depth = 0; heads[depth]; depth++) {
        nodes[prev].next = heads[depth];
        prev = tails[depth];
    }

    return NGX_OK;
}


static uint32_t
ngx_eb_pattern_wildcard_child(ngx_eb_pattern_run_t *nodes, uint32_t at,
    u_char ch)
{
    uint32_t  child;

    for (child = nodes[at].child; child; child = nodes[child].sibling) {
        if (nodes[child].ch == ch) {
            return child;
        }
    }

    return 0;
}


/* each run as early as it can be: what is left then is the longest */

ngx_uint_t
ngx_eb_pattern_wildcard_match(ngx_eb_pattern_wildcard_t *wildcard, u_char *p,
    size_t len)
{
    u_char      *last;
    ngx_str_t   *run;
    ngx_uint_t   i, n;

    last = p + len;

    if (wildcard->case_runs) {
        return ngx_eb_pattern_wildcard_case(wildcard, p, last);
    }

    run = wildcard->runs;
    n = wildcard->n;

    if (len < run[0].len || ngx_memcmp(p, run[0].data, run[0].len) != 0) {
        return 0;
    }

    if (n == 1) {
        return len == run[0].len;
    }

    p += run[0].len;

    if ((size_t) (last - p) < run[n - 1].len
        || ngx_memcmp(last - run[n - 1].len, run[n - 1].data, run[n - 1].len)
           != 0)
    {
        return 0;
    }

    last -= run[n - 1].len;

    for (i = 1; i < n - 1; i++) {
        p = memmem(p, last - p, run[i].data, run[i].len);

        if (p == NULL) {
            return 0;
        }

        p += run[i].len;
    }

    return 1;
}


static ngx_uint_t
ngx_eb_pattern_wildcard_case(ngx_eb_pattern_wildcard_t *wildcard, u_char *p,
    u_char *last)
{
    ngx_uint_t                   i, n;
    ngx_eb_pattern_case_text_t  *run;

    run = wildcard->case_runs;
    n = wildcard->n;

    p = ngx_eb_pattern_case_at(&run[0], p, last);

    if (p == NULL || n == 1) {
        return p == last;
    }

    for (i = 1; i < n - 1; i++) {
        p = ngx_eb_pattern_case_find(&run[i], p, last);

        if (p == NULL) {
            return 0;
        }
    }

    return ngx_eb_pattern_case_suffix(&run[n - 1], p, last - p);
}
