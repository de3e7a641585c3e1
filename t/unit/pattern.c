
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Event patterns: the corpus of t/data, the cases that were recorded with
 * Event Ruler where they are at hand, a naive matcher, and the limits.
 */

/* sources: src/route/ngx_eb_pattern_case.c src/route/ngx_eb_pattern_compile.c src/route/ngx_eb_pattern_element.c */
/* sources: src/route/ngx_eb_pattern_explain.c src/route/ngx_eb_pattern_expr.c src/route/ngx_eb_pattern_field.c */
/* sources: src/route/ngx_eb_pattern_ip.c src/route/ngx_eb_pattern_match.c src/route/ngx_eb_pattern_number.c */
/* sources: src/route/ngx_eb_pattern_text.c src/route/ngx_eb_pattern_value.c src/route/ngx_eb_regex.c */
/* sources: src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c */
/* libs: -lsimdjson -lpcre2-8 -lm */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_pattern.h"
#include "pattern_oracle.h"


#define CORPUS   "t/data/patterns.jsonl"
#define ROUNDS   12000

#define TEN      "{\"x\":1},{\"x\":1},{\"x\":1},{\"x\":1},{\"x\":1},"          \
                 "{\"x\":1},{\"x\":1},{\"x\":1},{\"x\":1},{\"x\":1},"


typedef struct {
    ngx_str_t                 name;
    ngx_str_t                 pattern;
    ngx_str_t                 event;
    ngx_str_t                 expected;
    ngx_str_t                 message;
} case_t;


static void corpus(void);
static void recorded(void);
static void run_file(const char *name, const char *pattern, const char *event,
    const char *label);
static ngx_uint_t run_case(ngx_pool_t *pool, case_t *c);
static void together(void);
static ngx_uint_t keys_agree(ngx_eb_pattern_scratch_t *s,
    ngx_eb_pattern_t *pattern);
static void positions(void);
static void index_keys(void);
static void sentences(void);
static void limits(void);
static void arrays(void);
static void numbers(void);
static void growth(void);
static void no_memory(void);
static void random_data(void);
static void random_arrays(char *p, char *e);
static char *text_of(ngx_str_t *str);
static ngx_int_t compile(const char *pattern);
static ngx_int_t match(const char *pattern, const char *event);
static ngx_uint_t rnd(ngx_uint_t n);


static ngx_pool_t              *base;
static ngx_eb_regex_ctx_t      *regex;
static ngx_eb_json_parser_t    *parser, *pattern_parser;
static ngx_eb_pattern_error_t   err;
static uint64_t                 seed = 88172645463325252ULL;


int
main(void)
{
    parser = ngx_eb_json_parser_create();
    pattern_parser = ngx_eb_json_parser_create();
    base = ngx_create_pool(4096, &shim_log);
    regex = ngx_eb_regex_ctx_create(base);

    corpus();
    recorded();
    together();
    positions();
    index_keys();
    sentences();
    limits();
    arrays();
    numbers();
    growth();
    no_memory();
    random_data();

    ngx_destroy_pool(base);
    ngx_eb_json_parser_destroy(parser);
    ngx_eb_json_parser_destroy(pattern_parser);

    is_int(shim_blocks, 0, "nothing is left");

    return done_testing();
}


static void
corpus(void)
{
    run_file(CORPUS, "pattern", "event", "corpus");
}


static void
recorded(void)
{
    char         name[1024];
    const char  *dir;

    dir = getenv("EB_SHARED_DATA");

    snprintf(name, sizeof(name), "%s/patterns/event-ruler-recorded.jsonl",
             dir ? dir : "../shared/data");

    if (access(name, R_OK) != 0) {
        ok(1, "recorded cases # SKIP they are not at hand");
        return;
    }

    run_file(name, "pattern_raw", "event_raw", "recorded");
}


static void
run_file(const char *file, const char *pattern, const char *event,
    const char *label)
{
    char                *line;
    FILE                *f;
    case_t               c;
    size_t               size, i;
    ssize_t              n;
    ngx_str_t            key, *value;
    ngx_uint_t           count, bad;
    ngx_pool_t          *pool;
    const char          *names[5];
    ngx_eb_json_t        json;
    ngx_eb_json_node_t   node;
    ngx_eb_json_error_t  json_err;

    names[0] = "name";
    names[1] = pattern;
    names[2] = event;
    names[3] = "expected";
    names[4] = "message";

    f = fopen(file, "r");

    if (!ok(f != NULL, "%s: %s is read", label, file)) {
        return;
    }

    line = NULL;
    size = 0;
    count = 0;
    bad = 0;

    while ((n = getline(&line, &size, f)) > 0) {

        if (ngx_eb_json_parse(pattern_parser, (u_char *) line, n, 8, &json,
                              &json_err)
            != NGX_OK)
        {
            diag("%s: line %d is no JSON", label, (int) count + 1);
            bad++;
            break;
        }

        pool = ngx_create_pool(4096, &shim_log);
        ngx_memzero(&c, sizeof(case_t));

        for (i = 0; i < 5; i++) {
            key.data = (u_char *) names[i];
            key.len = strlen(names[i]);
            value = &c.name + i;

            node = ngx_eb_json_member(&json, 0, &key);

            if (node != NGX_EB_JSON_NONE) {
                (void) ngx_eb_json_string(&json, node, pool, value);
            }
        }

        bad += !run_case(pool, &c);
        count++;

        ngx_destroy_pool(pool);
    }

    free(line);
    fclose(f);

    ok(count >= 400, "%s: %d cases", label, (int) count);
    is_int(bad, 0, "%s: all agree", label);
}


static ngx_uint_t
run_case(ngx_pool_t *pool, case_t *c)
{
    ngx_int_t                  rc;
    const char                *got;
    ngx_str_t                  sentence;
    ngx_eb_json_t              json;
    ngx_eb_pattern_t          *pattern;
    ngx_eb_json_error_t        json_err;
    ngx_eb_pattern_set_t      *set;
    ngx_eb_pattern_miss_t      miss;
    ngx_eb_pattern_scratch_t  *s;

    set = ngx_eb_pattern_set_create(pool);

    rc = ngx_eb_pattern_compile(set, &c->pattern, &pattern, &err);

    if (rc == NGX_DECLINED) {

        if (strncmp((char *) c->expected.data, "invalid", 7) != 0
            || err.message.len == 0 || err.offset > c->pattern.len)
        {
            diag("%.*s: %s: %.*s at %d", (int) c->name.len, c->name.data,
                 text_of(&c->pattern), (int) err.message.len,
                 err.message.data, (int) err.offset);
            return 0;
        }

        if (c->message.data
            && (c->message.len != err.message.len
                || memcmp(c->message.data, err.message.data, err.message.len)
                   != 0))
        {
            diag("%.*s: %.*s", (int) c->name.len, c->name.data,
                 (int) err.message.len, err.message.data);
            return 0;
        }

        return 1;
    }

    if (ngx_eb_pattern_set_seal(set) != NGX_OK) {
        return 0;
    }

    s = ngx_eb_pattern_scratch_create(pool, set, regex);

    if (ngx_eb_json_parse(parser, c->event.data, c->event.len, 100, &json,
                          &json_err)
        != NGX_OK)
    {
        diag("%.*s: event is no JSON", (int) c->name.len, c->name.data);
        return 0;
    }

    if (ngx_eb_pattern_collect(s, &json, 0) != NGX_OK) {
        return 0;
    }

    rc = ngx_eb_pattern_match(s, pattern);
    got = (rc == NGX_OK) ? "match" : (rc == NGX_DECLINED) ? "nomatch" : "error";

    ngx_eb_pattern_explain(s, pattern, &miss);

    if (c->expected.len != strlen(got)
        || memcmp(c->expected.data, got, strlen(got)) != 0
        || (miss.reason == NGX_EB_PATTERN_MATCHES) != (rc == NGX_OK)
        || ngx_eb_pattern_sentence(pool, &json, &miss, &sentence) != NGX_OK
        || (rc == NGX_OK && !keys_agree(s, pattern)))
    {
        diag("%.*s: %s: %s", (int) c->name.len, c->name.data, got,
             text_of(&c->pattern));
        return 0;
    }

    return 1;
}


/* all patterns of the corpus in one set: each event against each of them */

static void
together(void)
{
    FILE                      *f;
    char                      *line;
    size_t                     size;
    ssize_t                    n;
    ngx_int_t                  rc;
    ngx_str_t                  text, key_pattern, key_event;
    ngx_pool_t                *pool;
    ngx_uint_t                 i, k, count, bad, hits;
    ngx_eb_json_t              json, alone;
    ngx_eb_pattern_t          *pattern[1000], *one;
    ngx_str_t                  event[1000];
    ngx_eb_json_error_t        json_err;
    ngx_eb_pattern_set_t      *set, *single[1000];
    ngx_eb_pattern_scratch_t  *s, *t;

    ngx_str_set(&key_pattern, "pattern");
    ngx_str_set(&key_event, "event");

    pool = ngx_create_pool(4096, &shim_log);
    set = ngx_eb_pattern_set_create(pool);

    f = fopen(CORPUS, "r");
    line = NULL;
    size = 0;
    count = 0;

    while (f && count < 1000 && (n = getline(&line, &size, f)) > 0) {
        (void) ngx_eb_json_parse(pattern_parser, (u_char *) line, n, 8, &json,
                                 &json_err);

        if (ngx_eb_json_string(&json, ngx_eb_json_member(&json, 0,
                                                         &key_pattern),
                               pool, &text)
            != NGX_OK)
        {
            break;
        }

        text.data = ngx_pstrdup(pool, &text);

        if (ngx_eb_pattern_compile(set, &text, &pattern[count], &err)
            != NGX_OK)
        {
            continue;
        }

        single[count] = ngx_eb_pattern_set_create(pool);
        (void) ngx_eb_pattern_compile(single[count], &text, &one, &err);
        (void) ngx_eb_pattern_set_seal(single[count]);
        single[count] = (ngx_eb_pattern_set_t *) one;

        (void) ngx_eb_json_string(&json, ngx_eb_json_member(&json, 0,
                                                            &key_event),
                                  pool, &event[count]);
        event[count].data = ngx_pstrdup(pool, &event[count]);
        count++;
    }

    if (f) {
        fclose(f);
    }

    free(line);

    is_int(ngx_eb_pattern_set_seal(set), NGX_OK, "together: sealed");
    s = ngx_eb_pattern_scratch_create(pool, set, regex);

    bad = 0;
    hits = 0;

    for (i = 0; i < count; i += 29) {
        (void) ngx_eb_json_parse(parser, event[i].data, event[i].len, 100,
                                 &json, &json_err);
        (void) ngx_eb_pattern_collect(s, &json, 0);

        alone = json;

        for (k = 0; k < count; k += 5) {
            one = (ngx_eb_pattern_t *) single[k];

            t = ngx_eb_pattern_scratch_create(pool, one->set, regex);
            (void) ngx_eb_pattern_collect(t, &alone, 0);

            rc = ngx_eb_pattern_match(s, pattern[k]);
            hits += (rc == NGX_OK);

            if (rc != ngx_eb_pattern_match(t, one)
                || (rc == NGX_OK && !keys_agree(s, pattern[k])))
            {
                bad++;
            }
        }
    }

    ok(hits > 100, "together: there are matches: %d", (int) hits);
    is_int(bad, 0, "together: as each alone, and keys promise no more");

    ngx_destroy_pool(pool);
}


/* some variant has, for each condition with keys, a value with such a key */

static ngx_uint_t
keys_agree(ngx_eb_pattern_scratch_t *s, ngx_eb_pattern_t *pattern)
{
    uint32_t                     at;
    ngx_uint_t                   v, i, k, hit;
    ngx_eb_pattern_value_t       value;
    ngx_eb_pattern_condition_t   c;

    for (v = 0; v < ngx_eb_pattern_variants(pattern); v++) {

        for (i = 0; i < ngx_eb_pattern_conditions(pattern, v); i++) {
            ngx_eb_pattern_condition(pattern, v, i, &c);

            if (c.values == NULL) {
                continue;
            }

            hit = 0;
            at = ngx_eb_pattern_value_first(s, c.field);

            while (at != NGX_EB_PATTERN_NO_VALUE) {

                if (ngx_eb_pattern_value_next(s, &at, &value) != NGX_OK) {
                    return 0;
                }

                for (k = 0; k < c.nvalues; k++) {
                    hit |= (c.keys[k] == value.key);
                }
            }

            if (!hit) {
                break;
            }
        }

        if (i == ngx_eb_pattern_conditions(pattern, v)) {
            return 1;
        }
    }

    return 0;
}


static void
positions(void)
{
    is_int(compile("{\"a\":{\"b\":[{\"foo\":1}]}}"), NGX_DECLINED,
           "positions: declined");
    is_str(&err.field, "a.b", "positions: field");
    is_int(err.offset, 12, "positions: offset of the operator");

    (void) compile("{\"a\":[\"x\"],\"b\":[]}");
    is_str(&err.field, "b", "positions: field of an empty list");
    is_int(err.offset, 15, "positions: offset of the list");

    (void) compile("{\"a\":[\"x\",]}");
    is_int(err.offset, 10, "positions: offset of bad JSON");
    is_int(err.field.len, 0, "positions: bad JSON has no field");

    (void) compile("{\"d\":{\"$or\":[{\"a\":[1]},{\"b\":{}}]}}");
    is_str(&err.field, "d.b", "positions: field inside of $or");
}


static void
index_keys(void)
{
    ngx_str_t                    text = ngx_string(
        "{\"s\":[\"a\\n\",\"b\"],\"n\":[1,2.50],\"m\":[\"a\",null],"
        "\"p\":[\"a\",{\"prefix\":\"b\"}],\"i\":[\"10.0.0.1\"],"
        "\"x\":[{\"exists\":false}],\"e\":[{\"exactly\":\"10.0.0.1\"}]}");
    ngx_uint_t                   i, seen;
    ngx_pool_t                  *pool;
    ngx_eb_pattern_t            *pattern;
    ngx_eb_pattern_set_t        *set;
    ngx_eb_pattern_condition_t   c;

    pool = ngx_create_pool(4096, &shim_log);
    set = ngx_eb_pattern_set_create(pool);

    is_int(ngx_eb_pattern_compile(set, &text, &pattern, &err), NGX_OK,
           "index: compiled");
    is_int(ngx_eb_pattern_variants(pattern), 1, "index: one variant");
    is_int(ngx_eb_pattern_conditions(pattern, 0), 7, "index: conditions");
    is_int(ngx_eb_pattern_set_fields(set), 7, "index: fields");
    ok(ngx_eb_pattern_text(pattern)->data == text.data, "index: text");

    for (i = 0, seen = 0; i < 7; i++) {
        ngx_eb_pattern_condition(pattern, 0, i, &c);

        ok(ngx_eb_pattern_set_field(set, c.field)->data == c.name.data,
           "index: name of field %d", (int) i);

        switch (c.name.data[0]) {

        case 's':
            seen += (c.nvalues == 2 && c.strings && !c.absent
                     && c.values[0].len == 2 && c.values[0].data[1] == '\n');
            break;

        case 'n':
            seen += (c.nvalues == 2 && !c.strings && c.keys[0] != c.keys[1]);
            break;

        case 'm':
            seen += (c.nvalues == 2 && !c.strings);
            break;

        case 'e':
            seen += (c.nvalues == 1 && c.strings);
            break;

        case 'x':
            seen += (c.values == NULL && c.absent);
            break;

        default:
            seen += (c.values == NULL && !c.absent);
        }
    }

    is_int(seen, 7, "index: what each condition says");

    ngx_destroy_pool(pool);
}


static void
sentences(void)
{
    size_t                     i;
    ngx_str_t                  pattern_text, sentence;
    ngx_pool_t                *pool;
    ngx_eb_json_t              json;
    ngx_eb_pattern_t          *pattern;
    ngx_eb_json_error_t        json_err;
    ngx_eb_pattern_set_t      *set;
    ngx_eb_pattern_miss_t      miss;
    ngx_eb_pattern_scratch_t  *s;

    static struct {
        const char  *pattern;
        const char  *event;
        const char  *sentence;
    } tests[] = {

        { "{\"a\":[\"x\"]}", "{\"a\":\"x\"}", "the event matches" },

        { "{\"a\":[\"x\"],\"b\":[1]}", "{\"a\":\"x\"}",
          "field \"b\" must match [1], but the event has no such field" },

        { "{\"a\":{\"b\":[{\"prefix\":\"x\"}]}}", "{\"a\":{\"b\":\"y\"}}",
          "field \"a.b\" must match [{\"prefix\":\"x\"}], but it is \"y\"" },

        { "{\"a\":[{\"exists\":false}]}", "{\"a\":5}",
          "field \"a\" must not exist, but it is 5" },

        { "{\"a\":{\"x\":[1],\"y\":[2]}}",
          "{\"a\":[{\"x\":1,\"y\":1},{\"x\":2,\"y\":2}]}",
          "field \"a.y\" matches [2], but not in the array element of the"
          " fields before it" },

        { "{\"$or\":[{\"a\":[1],\"b\":[1]},{\"a\":[2],\"c\":[3]}]}",
          "{\"a\":2,\"c\":4}", "field \"c\" must match [3], but it is 4" },

        { "{\"a\":[{\"regex\":\"^(a+)+$\"}]}",
          "{\"a\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"}",
          "field \"a\" was to match [{\"regex\":\"^(a+)+$\"}], but a limit was"
          " hit" }
    };

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        pool = ngx_create_pool(4096, &shim_log);
        set = ngx_eb_pattern_set_create(pool);

        pattern_text.data = (u_char *) tests[i].pattern;
        pattern_text.len = strlen(tests[i].pattern);

        (void) ngx_eb_pattern_compile(set, &pattern_text, &pattern, &err);
        (void) ngx_eb_pattern_set_seal(set);
        s = ngx_eb_pattern_scratch_create(pool, set, regex);

        (void) ngx_eb_json_parse(parser, (u_char *) tests[i].event,
                                 strlen(tests[i].event), 100, &json,
                                 &json_err);
        (void) ngx_eb_pattern_collect(s, &json, 0);
        ngx_eb_pattern_explain(s, pattern, &miss);
        (void) ngx_eb_pattern_sentence(pool, &json, &miss, &sentence);

        is_str(&sentence, tests[i].sentence, "sentence %d", (int) i);

        ngx_destroy_pool(pool);
    }
}


/* times the text of the middle between head and tail */

static char *
repeat(const char *head, const char *middle, size_t times, const char *tail)
{
    char        *text, *p;
    size_t       i;
    const char  *m;

    text = malloc(strlen(head) + times * (strlen(middle) + 8) + strlen(tail)
                  + 1);
    if (text == NULL) {
        abort();
    }

    p = text + sprintf(text, "%s", head);

    for (i = 0; i < times; i++) {
        p += sprintf(p, "%s", i ? "," : "");

        for (m = middle; *m; m++) {

            if (m[0] == '%' && m[1] == 'd') {
                p += sprintf(p, "%d", (int) i);
                m++;

            } else if (strncmp(m, "%05d", 4) == 0) {
                p += sprintf(p, "%05d", (int) i);
                m += 3;

            } else {
                *p++ = *m;
            }
        }
    }

    sprintf(p, "%s", tail);

    return text;
}


static ngx_int_t
freed(ngx_int_t rc, char *a, char *b)
{
    free(a);
    free(b);
    return rc;
}


static void
limits(void)
{
    char  *p, *q;

    p = repeat("{\"$or\":[", "{\"a%d\":[1]}", 1000, "]}");
    is_int(freed(compile(p), p, NULL), NGX_OK, "limits: 1000 variants");

    p = repeat("{\"$or\":[", "{\"a%d\":[1]}", 1001, "]}");
    is_int(freed(compile(p), p, NULL), NGX_DECLINED, "limits: 1001 variants");

    p = repeat("{\"$or\":[", "{\"a%d\":[1]}", 32, "],\"x\":{\"$or\":[");
    q = repeat(p, "{\"b%d\":[1]}", 32, "]}}");
    is_int(freed(compile(q), p, q), NGX_DECLINED, "limits: 32 * 32 variants");

    p = repeat("{", "\"a%d\":[1]", NGX_EB_PATTERN_MAX_FIELDS, "}");
    is_int(freed(compile(p), p, NULL), NGX_OK, "limits: 1024 fields");

    p = repeat("{", "\"a%d\":[1]", NGX_EB_PATTERN_MAX_FIELDS + 1, "}");
    is_int(freed(compile(p), p, NULL), NGX_DECLINED, "limits: 1025 fields");

    p = repeat("{\"$or\":[{\"a\":[1]},{", "\"a%d\":[1]", 100, "}]}");
    is_int(freed(compile(p), p, NULL), NGX_OK, "limits: conditions");

    p = repeat("{\"a\":[", "\"value-%05d-%05d\"", 3000, "]}");
    is_int(freed(compile(p), p, NULL), NGX_OK, "limits: 60 KB");

    p = repeat("{\"a\":[", "\"value-%05d-%05d\"", 3500, "]}");
    is_int(freed(compile(p), p, NULL), NGX_DECLINED, "limits: 64 KB and over");

    p = repeat("{\"a\":[{\"wildcard\":\"*", "%d-%d*", 3000, "\"}]}");
    is_int(freed(compile(p), p, NULL), NGX_DECLINED, "limits: wildcard");

    is_int(compile("{\"1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8."
                   "9.0.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7."
                   "8.9.0.1.2.3.4\":[1]}"),
           NGX_OK, "limits: a name of 64 parts");
    is_int(compile("{\"1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8."
                   "9.0.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7."
                   "8.9.0.1.2.3.4.5\":[1]}"),
           NGX_DECLINED, "limits: a name of 65 parts");

    /* a regex that is given up is decisive only if nothing else is */

    is_int(match("{\"a\":[{\"regex\":\"^(a+)+$\"}]}",
                 "{\"a\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"}"),
           NGX_ERROR, "limits: regex");
    is_int(match("{\"a\":[{\"regex\":\"^(a+)+$\"}],\"b\":[1]}",
                 "{\"a\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\","
                 "\"b\":2}"),
           NGX_DECLINED, "limits: regex, but another field");
    is_int(match("{\"a\":[{\"regex\":\"^(a+)+$\"},{\"suffix\":\"b\"}]}",
                 "{\"a\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"}"),
           NGX_OK, "limits: regex, but another value");

    is_int(match("{\"a\":[{\"exists\":false}]}", "[1]"), NGX_OK,
           "an event that is no object has no fields");
}


/* many elements take little time, and in bad cases they are given up */

static void
arrays(void)
{
    char  *p;

    p = repeat("{\"a\":[",
               "{\"x\":1,\"y\":%d,\"z\":[{\"p\":1,\"q\":%d}]}", 5000, "]}");

    is_int(match("{\"a\":{\"x\":[1],\"y\":[4999],\"z\":{\"p\":[1],"
                 "\"q\":[4999]}}}", p),
           NGX_OK, "arrays: the last of 5000 elements");
    is_int(match("{\"a\":{\"x\":[1],\"y\":[4999],\"z\":{\"p\":[1],"
                 "\"q\":[4998]}}}", p),
           NGX_DECLINED, "arrays: none of 5000 elements");
    is_int(match("{\"a\":{\"x\":[1],\"y\":[4999],\"z\":{\"p\":[1],"
                 "\"r\":[{\"exists\":false}]}}}", p),
           NGX_OK, "arrays: nothing in one of 5000 elements");
    free(p);

    p = repeat("{\"a\":[", "{\"x\":1,\"y\":%d,\"z\":[{\"p\":1},{\"q\":%d}]}",
               1500, "]}");
    is_int(match("{\"a\":{\"x\":[1],\"y\":[{\"exists\":false},1499],"
                 "\"z\":{\"q\":[1499]}}}", p),
           NGX_OK, "arrays: nothing or a value, the last of 1500 elements");
    is_int(match("{\"a\":{\"x\":[1],\"y\":[{\"exists\":false},1499],"
                 "\"z\":{\"q\":[1498]}}}", p),
           NGX_DECLINED, "arrays: nothing or a value, none of 1500 elements");
    is_int(match("{\"a\":{\"x\":[1],\"y\":[1,1499],\"z\":{\"p\":[1],"
                 "\"q\":[{\"exists\":false},0]}}}", p),
           NGX_OK, "arrays: nothing or a value in elements of elements");
    free(p);

    p = repeat("{\"a\":[", "{\"x\":1,\"y\":1},[{\"x\":%d}]", 3000,
               "],\"a.x\":5,\"a.y\":3}");
    is_int(match("{\"a\":{\"x\":[1,{\"exists\":false}],\"y\":[1],"
                 "\"z\":[{\"exists\":false}]}}", p),
           NGX_OK, "arrays: several ways");
    free(p);

    p = repeat("{\"a\":[", "{\"x\":1,\"z\":1}", 3000,
               ",{\"y\":1}],\"a.x\":1,\"a.z\":2}");
    is_int(match("{\"a\":{\"x\":[1],\"y\":[{\"exists\":false},1],"
                 "\"z\":[{\"exists\":false}]}}", p),
           NGX_DECLINED, "arrays: none of several ways");
    free(p);

    p = repeat("{\"a\":[", "{\"x\":1}", 3000, "],\"b\":[" TEN TEN TEN TEN
               "{}],\"c\":[{\"x\":1}]}");
    is_int(match("{\"a\":{\"x\":[1]},\"b\":{\"x\":[{\"exists\":false},1]},"
                 "\"c\":{\"x\":[{\"exists\":false},2]}}", p),
           NGX_ERROR, "arrays: too many ways are given up");
    free(p);
}


static void
numbers(void)
{
    size_t     i;
    double     x;
    ngx_str_t  text;
    ngx_int_t  rc;

    static struct {
        const char  *text;
        ngx_int_t    rc;
    } tests[] = {
        { "0 ", NGX_OK }, { "-0 ", NGX_OK }, { "0.000e-999999999 ", NGX_OK },
        { "0e2147483647 ", NGX_OK }, { "0e2147483648 ", NGX_DECLINED },
        { "-0.0E-99999999999999999999 ", NGX_DECLINED },
        { "1 ", NGX_OK }, { "123456789012345 ", NGX_OK },
        { "0.1 ", NGX_OK }, { "1e22 ", NGX_OK }, { "1e23 ", NGX_OK },
        { "1.7976931348623157e308 ", NGX_OK },
        { "1.7976931348623158e308 ", NGX_DECLINED },
        { "1.8e308 ", NGX_DECLINED }, { "4.9e-324 ", NGX_OK },
        { "5e-324 ", NGX_DECLINED }, { "2.2250738585072014E-308 ", NGX_OK },
        { "1e-400 ", NGX_DECLINED }, { "1e99999999999999999999 ",
                                       NGX_DECLINED },
        { "9007199254740992 ", NGX_OK }, { "9007199254740993 ",
                                           NGX_DECLINED },
        { "1152921504606846976 ", NGX_DECLINED },
        { "1152921504606847000 ", NGX_OK },
        { "0.30000000000000004 ", NGX_OK },
        { "0.300000000000000045 ", NGX_DECLINED },
        { "100000000000000000000000000000000000000000000000 ", NGX_OK },
        { "0.00000000000000000000000000000000000000000000001 ", NGX_OK }
    };

    for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        text.data = (u_char *) tests[i].text;
        text.len = strlen(tests[i].text) - 1;

        rc = ngx_eb_pattern_number(text.data, text.len, &x);

        ok(rc == tests[i].rc
           && (rc != NGX_OK || x == strtod(tests[i].text, NULL)),
           "number %s", tests[i].text);
    }
}


/* a scratch grows with an event, and gives memory back */

static void
growth(void)
{
    char                      *p;
    ngx_str_t                  text = ngx_string("{\"a\":[\"\\n7\"]}");
    ngx_uint_t                 before;
    ngx_pool_t                *pool;
    ngx_eb_json_t              json;
    ngx_eb_pattern_t          *pattern;
    ngx_eb_json_error_t        json_err;
    ngx_eb_pattern_set_t      *set;
    ngx_eb_pattern_scratch_t  *s;

    pool = ngx_create_pool(4096, &shim_log);
    set = ngx_eb_pattern_set_create(pool);
    (void) ngx_eb_pattern_compile(set, &text, &pattern, &err);
    (void) ngx_eb_pattern_set_seal(set);
    s = ngx_eb_pattern_scratch_create(pool, set, NULL);

    p = repeat("{\"a\":[", "\"\\n%d\"", 2000, "]}");
    (void) ngx_eb_json_parse(parser, (u_char *) p, strlen(p), 100, &json,
                             &json_err);

    is_int(ngx_eb_pattern_collect(s, &json, 0), NGX_OK, "growth: collected");
    is_int(ngx_eb_pattern_match(s, pattern), NGX_OK, "growth: matches");

    before = s->data.nalloc;
    ok(before >= 2000, "growth: there is room");

    shim_allocs = 0;
    (void) ngx_eb_pattern_collect(s, &json, 0);
    is_int(ngx_eb_pattern_match(s, pattern), NGX_OK,
           "growth: the second time nothing is allocated");
    shim_allocs = -1;

    ngx_eb_pattern_scratch_trim(s, 100);
    is_int(s->data.nalloc, 0, "growth: trimmed");
    is_int(ngx_eb_pattern_match(s, pattern), NGX_DECLINED,
           "growth: then there is no event");

    (void) ngx_eb_pattern_collect(s, &json, 0);
    is_int(ngx_eb_pattern_match(s, pattern), NGX_OK, "growth: and again");

    free(p);
    ngx_destroy_pool(pool);
}


static void
no_memory(void)
{
    ngx_int_t    i, rc;

    static char  pattern[] =
        "{\"a\":[\"x\",{\"prefix\":\"\\ny\"},{\"anything-but\":[\"\\nz\"]}],"
        "\"$or\":[{\"b\":{\"c\":[{\"wildcard-ignore-case\":\"*\xc3\xa4*b*\"}],"
        "\"d\":[1,{\"numeric\":[\">\",5]}]}},"
        "{\"b\":{\"c\":[{\"cidr\":\"10.0.0.0/8\"}],\"d\":[1e400,null,"
        "{\"regex\":\"x\"}]}}]}";
    static char  event[] =
        "{\"a\":\"\\nzz\",\"b\":[{\"c\":\"\\n\xc3\x84xB\",\"d\":2},"
        "{\"c\":\"\xc3\xa4xB\\n\",\"d\":1}]}";

    for (i = 0; i < 1000; i++) {
        shim_allocs = i;
        rc = match(pattern, event);
        shim_allocs = -1;

        if (rc == NGX_OK) {
            break;
        }

        if (rc != NGX_ERROR) {
            break;
        }
    }

    is_int(rc, NGX_OK, "no memory: an error each time, until there is enough");
    ok(i > 50, "no memory: %d times", (int) i);
}


static const char  *patterns_of[] = {
    "\"x\"", "\"y\"", "\"\"", "1", "2.0", "null", "true",
    "{\"prefix\":\"x\"}", "{\"prefix\":\"\"}", "{\"suffix\":\"y\"}",
    "{\"prefix\":{\"equals-ignore-case\":\"X\"}}",
    "{\"suffix\":{\"equals-ignore-case\":\"Y\"}}",
    "{\"equals-ignore-case\":\"XY\"}", "{\"exists\":true}",
    "{\"exists\":false}", "{\"anything-but\":\"x\"}",
    "{\"anything-but\":[1,3]}", "{\"anything-but\":{\"prefix\":\"x\"}}",
    "{\"anything-but\":{\"suffix\":[\"y\",\"x\"]}}",
    "{\"anything-but\":{\"equals-ignore-case\":[\"X\",\"y\"]}}",
    "{\"anything-but\":{\"wildcard\":\"x*y\"}}", "{\"wildcard\":\"x*\"}",
    "{\"wildcard\":\"*x*y\"}", "{\"wildcard-ignore-case\":\"*X*\"}",
    "{\"numeric\":[\"<\",2]}", "{\"numeric\":[\">=\",1,\"<\",3]}",
    "{\"numeric\":[\"=\",1]}", "{\"cidr\":\"10.0.0.0/8\"}",
    "\"10.0.0.1\"", "\"::1\"", "{\"cidr\":\"::/64\"}"
};

static const char  *values_of[] = {
    "\"x\"", "\"y\"", "\"\"", "\"xy\"", "\"XY\"", "\"x\\u0079\"", "\"zx\"",
    "1", "1.0", "2", "3", "null", "true", "false", "\"10.0.0.1\"",
    "\"10.0.0.2\"", "\"0:0::1\"", "\"xxy\"", "\"xzyx\"", "[]", "{}"
};

static const char  *names_of[] = { "a", "b", "c", "a.b", "b.c", "\\u0061" };


static char *
random_pattern(char *p, ngx_uint_t depth)
{
    ngx_uint_t  i, n, k, m;

    n = 1 + rnd(3);
    *p++ = '{';

    for (i = 0; i < n; i++) {
        p += sprintf(p, "%s", i ? "," : "");

        if (rnd(8) == 0) {
            p += sprintf(p, "\"$or\":[");
            m = 2 + rnd(2);

            for (k = 0; k < m; k++) {
                p += sprintf(p, "%s", k ? "," : "");
                p = random_pattern(p, depth + 1);
            }

            *p++ = ']';
            continue;
        }

        p += sprintf(p, "\"%s\":", names_of[rnd(5)]);

        if (depth < 3 && rnd(3) == 0) {
            p = random_pattern(p, depth + 1);
            continue;
        }

        *p++ = '[';
        m = 1 + rnd(2) * rnd(3);

        for (k = 0; k < m; k++) {
            p += sprintf(p, "%s%s", k ? "," : "",
                         patterns_of[rnd(sizeof(patterns_of)
                                         / sizeof(char *))]);
        }

        *p++ = ']';
    }

    *p++ = '}';
    *p = '\0';

    return p;
}


static char *
random_value(char *p, ngx_uint_t depth, ngx_uint_t kind)
{
    ngx_uint_t  i, n;

    if (kind == 0) {
        n = rnd(5);
        *p++ = '{';

        for (i = 0; i < n; i++) {
            p += sprintf(p, "%s\"%s\":", i ? "," : "", names_of[rnd(6)]);
            p = random_value(p, depth + 1, rnd(4) ? 2 : 0);
        }

        p += sprintf(p, "}");
        return p;
    }

    n = rnd(6);

    if (depth < 6 && n == 0) {
        return random_value(p, depth, 0);
    }

    if (depth < 6 && n <= 2) {
        n = rnd(4);
        *p++ = '[';

        for (i = 0; i < n; i++) {
            p += sprintf(p, "%s", i ? "," : "");
            p = random_value(p, depth + 1, rnd(2) ? 0 : 2);
        }

        p += sprintf(p, "]");
        return p;
    }

    return p + sprintf(p, "%s", values_of[rnd(sizeof(values_of)
                                              / sizeof(char *))]);
}


/* arrays of objects, few names and values, so that much matches */

static void
random_arrays(char *p, char *e)
{
    char        *head;
    ngx_uint_t   i, k, m, n;

    static const char  *items[] = { "[1]", "[2]", "[{\"anything-but\":1}]",
                                    "[{\"exists\":false}]",
                                    "[{\"exists\":false},2]" };
    static const char  *values[] = { "1", "2", "[1,2]", "[]", "[[1],2]" };

    p += sprintf(p, "{\"x\":{");

    n = 1 + rnd(4);

    for (i = 0; i < n; i++) {
        if (rnd(4) == 0) {
            p += sprintf(p, "\"y\":{\"%c\":%s,\"%c\":%s},", "pq"[rnd(2)],
                         items[rnd(5)], "rs"[rnd(2)], items[rnd(5)]);
        }

        p += sprintf(p, "\"%c\":%s%s", (int) ('a' + i), items[rnd(5)],
                     (i < n - 1) ? "," : "}}");
    }

    e += sprintf(e, "{\"x\":[");
    n = 1 + rnd(4);

    for (i = 0; i < n; i++) {
        head = e;
        e += sprintf(e, rnd(6) ? "{" : "[{");

        for (k = 0; k < 4; k++) {
            if (rnd(4)) {
                e += sprintf(e, "\"%c\":%s,", (int) ('a' + k),
                             values[rnd(8) % 5]);
            }
        }

        e += sprintf(e, "\"y\":[");
        m = rnd(4);

        for (k = 0; k < m; k++) {
            e += sprintf(e, "{\"%c\":%s,\"%c\":%s},", "pq"[rnd(2)],
                         values[rnd(5)], "rs"[rnd(2)], values[rnd(5)]);
        }

        e += sprintf(e, "0]}%s%s", (*head == '[') ? "]" : "",
                     (i < n - 1) ? "," : "]");
    }

    sprintf(e, rnd(8) ? "}" : ",\"x.a\":1}");
}


static void
random_data(void)
{
    ngx_int_t                  rc, expected;
    ngx_str_t                  text;
    ngx_uint_t                 i, bad, hits, unsure, misses;
    ngx_pool_t                *pool;
    ngx_eb_json_t              json, pattern_json;
    ngx_eb_pattern_t          *pattern;
    ngx_eb_json_error_t        json_err;
    ngx_eb_pattern_set_t      *set;
    ngx_eb_pattern_scratch_t  *s;

    static char  pattern_text[200000], event[2000000];

    bad = 0;
    hits = 0;
    misses = 0;
    unsure = 0;

    for (i = 0; i < ROUNDS && bad < 5; i++) {
        if (rnd(2)) {
            random_pattern(pattern_text, 0);
            random_value(event, 0, 0);

        } else {
            random_arrays(pattern_text, event);
        }

        text.data = (u_char *) pattern_text;
        text.len = strlen(pattern_text);

        pool = ngx_create_pool(4096, &shim_log);
        set = ngx_eb_pattern_set_create(pool);

        rc = ngx_eb_pattern_compile(set, &text, &pattern, &err);

        if (rc == NGX_OK
            && ngx_eb_json_parse(parser, (u_char *) event, strlen(event), 100,
                                 &json, &json_err)
               == NGX_OK
            && ngx_eb_json_parse(pattern_parser, text.data, text.len, 100,
                                 &pattern_json, &json_err)
               == NGX_OK)
        {
            (void) ngx_eb_pattern_set_seal(set);
            s = ngx_eb_pattern_scratch_create(pool, set, regex);
            (void) ngx_eb_pattern_collect(s, &json, 0);

            rc = ngx_eb_pattern_match(s, pattern);
            expected = oracle(pool, &pattern_json, &json, 0);

            hits += (rc == NGX_OK);
            misses += (rc == NGX_DECLINED);
            unsure += (expected == NGX_AGAIN || rc == NGX_ERROR);

            if (rc != expected && expected != NGX_AGAIN && rc != NGX_ERROR) {
                diag("%s: %s: %d", pattern_text, event, (int) rc);
                bad++;
            }

        } else if (rc != NGX_DECLINED) {
            diag("%s: %s", pattern_text, event);
            bad++;
        }

        ngx_destroy_pool(pool);
    }

    is_int(bad, 0, "random: as the naive matcher has it");
    ok(hits > ROUNDS / 50 && misses > ROUNDS / 50 && unsure < ROUNDS / 100,
       "random: %d match, %d do not, %d unsure", (int) hits, (int) misses,
       (int) unsure);
}


static char *
text_of(ngx_str_t *str)
{
    static char  text[400];

    snprintf(text, sizeof(text), "%.*s", (int) str->len, str->data);

    return text;
}


static ngx_int_t
compile(const char *pattern)
{
    static ngx_pool_t     *pool;

    ngx_int_t              rc;
    ngx_str_t              text;
    ngx_eb_pattern_t      *pt;
    ngx_eb_pattern_set_t  *set;

    static char            message[600], field[600];

    text.data = (u_char *) pattern;
    text.len = strlen(pattern);

    pool = ngx_create_pool(4096, &shim_log);
    set = ngx_eb_pattern_set_create(pool);

    rc = ngx_eb_pattern_compile(set, &text, &pt, &err);

    if (rc == NGX_OK) {
        rc = ngx_eb_pattern_set_seal(set);
    }

    /* they are of a pool that is no more */

    snprintf(message, sizeof(message), "%.*s", (int) err.message.len,
             err.message.data ? (char *) err.message.data : "");
    snprintf(field, sizeof(field), "%.*s", (int) err.field.len,
             err.field.data ? (char *) err.field.data : "");
    err.message.data = (u_char *) message;
    err.field.data = (u_char *) field;

    ngx_destroy_pool(pool);

    return rc;
}


static ngx_int_t
match(const char *pattern, const char *event)
{
    ngx_int_t                  rc;
    ngx_str_t                  text;
    ngx_pool_t                *pool;
    ngx_eb_json_t              json;
    ngx_eb_pattern_t          *pt;
    ngx_eb_json_error_t        json_err;
    ngx_eb_pattern_set_t      *set;
    ngx_eb_pattern_scratch_t  *s;

    text.data = (u_char *) pattern;
    text.len = strlen(pattern);

    pool = ngx_create_pool(4096, &shim_log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    rc = NGX_ERROR;
    set = ngx_eb_pattern_set_create(pool);

    if (set == NULL) {
        goto done;
    }

    rc = ngx_eb_pattern_compile(set, &text, &pt, &err);

    if (rc != NGX_OK) {
        goto done;
    }

    rc = NGX_ERROR;

    if (ngx_eb_pattern_set_seal(set) != NGX_OK) {
        goto done;
    }

    s = ngx_eb_pattern_scratch_create(pool, set, regex);

    if (s == NULL
        || ngx_eb_json_parse(parser, (u_char *) event, strlen(event), 100,
                             &json, &json_err)
           != NGX_OK
        || ngx_eb_pattern_collect(s, &json, 0) != NGX_OK)
    {
        goto done;
    }

    rc = ngx_eb_pattern_match(s, pt);

done:

    ngx_destroy_pool(pool);

    return rc;
}


static ngx_uint_t
rnd(ngx_uint_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return seed % n;
}
