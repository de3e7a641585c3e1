
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Changes in a document: what they make of it, and that nothing else is
 * touched.
 */

/* sources: src/wire/ngx_eb_json_edit.c src/wire/ngx_eb_out.c src/wire/ngx_eb_time.c src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c */
/* libs: -lsimdjson */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_json.h"
#include "ngx_eb_json_edit.h"


#define KIDS     5
#define TOKENS   20000
#define BYTES    400000
#define RANDOM   3000


/*
 * A document as a tree of our own that is printed, changed, and printed
 * again.  Tokens are numbered as they stand in the first print.
 */

typedef struct node_s  node_t;

struct node_s {
    u_char        type;                 /* { [ or 0 */
    const char   *raw;                  /* of a scalar */
    const char   *key;                  /* as it is written, of a member */
    ngx_uint_t    nkids;
    node_t       *kids[KIDS];

    ngx_uint_t    key_token;
    ngx_uint_t    colon_token;
    ngx_uint_t    token;
    ngx_uint_t    end_token;
    ngx_uint_t    comma_token;          /* behind it */

    /* the changes */
    unsigned      removed:1;
    const char   *replaced;
    ngx_uint_t    ninserts[KIDS + 1];
    const char   *inserts[KIDS + 1][2];
};


typedef struct {
    const char   *text;
    size_t        len;
    ngx_uint_t    id;                   /* 0: it is new */
} token_t;


static ngx_pool_t            *pool;
static ngx_eb_json_parser_t  *parser;
static ngx_eb_json_t          json;
static ngx_eb_json_edit_t     edit;
static uint64_t               seed;

static u_char                 document[BYTES];
static size_t                 length;
static size_t                 offsets[TOKENS];
static size_t                 ends[TOKENS];
static ngx_uint_t             ntokens;

static token_t                expected[TOKENS];
static ngx_uint_t             nexpected;

static const char  *scalars[] = {
    "0", "1.0", "1e2", "12345678901234567890", "-0.10E-7", "true", "false",
    "null", "\"\"", "\"a\"", "\"\\u0041\"", "\"[{\\\"}],:\"", "\"\\\\\"",
    "\"\xc3\xa9\"", "\" , \""
};

static const char  *keys[] = {
    "\"a\"", "\"a\"", "\"\\u0061\"", "\"b\"", "\"\"", "\"}\"", "\"x\\\"y\""
};

static const char  *values[] = {
    "\"new\"", "2.50", "{ \"n\" : [ 1 , 2 ] }", "[]", "null", "[ {} ]"
};


static uint64_t
rnd(uint64_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return (seed >> 11) % n;
}


static ngx_str_t
str(const char *s)
{
    ngx_str_t  value;

    value.data = (u_char *) s;
    value.len = strlen(s);

    return value;
}


static node_t *
node_new(u_char type)
{
    node_t  *node;

    node = ngx_pcalloc(pool, sizeof(node_t));
    if (node == NULL) {
        abort();
    }

    node->type = type;

    return node;
}


static node_t *
tree(ngx_uint_t depth)
{
    node_t      *node, *kid;
    ngx_uint_t   i;

    node = node_new(0);

    if (depth == 0 || rnd(3) == 0) {
        node->raw = scalars[rnd(sizeof(scalars) / sizeof(char *))];
        return node;
    }

    node->type = rnd(2) ? '{' : '[';
    node->nkids = rnd(KIDS + 1);

    for (i = 0; i < node->nkids; i++) {
        kid = tree(depth - 1);

        if (node->type == '{') {
            kid->key = keys[rnd(sizeof(keys) / sizeof(char *))];
        }

        node->kids[i] = kid;
    }

    return node;
}


static void
space(void)
{
    uint64_t  n;

    n = (rnd(3) == 0) ? rnd(4) : 0;

    if (rnd(200) == 0) {
        n = 300;
    }

    while (n--) {
        document[length++] = " \t\n\r"[rnd(4)];
    }
}


static ngx_uint_t
print_token(const char *text)
{
    size_t  len;

    len = strlen(text);

    if (ntokens + 1 >= TOKENS || length + len + 400 > BYTES) {
        abort();
    }

    space();

    ntokens++;
    offsets[ntokens] = length;
    ngx_memcpy(document + length, text, len);
    length += len;
    ends[ntokens] = length;

    return ntokens;
}


static void
print(node_t *node)
{
    ngx_uint_t  i;

    if (node->key) {
        node->key_token = print_token(node->key);
        node->colon_token = print_token(":");
    }

    if (node->type == 0) {
        node->token = print_token(node->raw);
        return;
    }

    node->token = print_token(node->type == '{' ? "{" : "[");

    for (i = 0; i < node->nkids; i++) {
        print(node->kids[i]);

        if (i + 1 < node->nkids) {
            node->kids[i]->comma_token = print_token(",");
        }
    }

    node->end_token = print_token(node->type == '{' ? "}" : "]");
}


static ngx_eb_json_node_t
find(ngx_uint_t token)
{
    uint32_t  i;

    for (i = 0; i < json.n; i++) {
        if (json.pos[i] == offsets[token]) {
            return i;
        }
    }

    abort();
}


static const char *
member(const char *value)
{
    char  *text;

    text = ngx_pnalloc(pool, strlen(value) + 10);
    if (text == NULL) {
        abort();
    }

    sprintf(text, "\"k\\\"\":%s", value);

    return text;
}


static void
insert(node_t *node, ngx_uint_t i)
{
    ngx_str_t            text, name;
    const char          *value;
    ngx_eb_json_node_t   before;

    value = values[rnd(sizeof(values) / sizeof(char *))];

    before = NGX_EB_JSON_NONE;

    if (i < node->nkids) {
        before = find(node->type == '{' ? node->kids[i]->key_token
                                        : node->kids[i]->token);
    }

    text = str(value);
    name = str("k\"");

    if (ngx_eb_json_edit_insert(&edit, find(node->token), before,
                                node->type == '{' ? &name : NULL, &text)
        != NGX_OK)
    {
        abort();
    }

    node->inserts[i][node->ninserts[i]++] = (node->type == '{')
                                            ? member(value) : value;
}


static void
take(node_t *node, ngx_uint_t i)
{
    node_t  *kid;

    kid = node->kids[i];
    kid->removed = 1;

    if (ngx_eb_json_edit_remove(&edit, find(node->token),
                                find(node->type == '{' ? kid->key_token
                                                       : kid->token))
        != NGX_OK)
    {
        abort();
    }
}


/* changes that do not contradict each other, in any order of containers */

static void
change(node_t *node, uint64_t likely)
{
    ngx_str_t   text;
    ngx_uint_t  i, first;

    if (rnd(12) == 0) {
        node->replaced = values[rnd(sizeof(values) / sizeof(char *))];
        text = str(node->replaced);

        if (ngx_eb_json_edit_replace(&edit, find(node->token), &text)
            != NGX_OK)
        {
            abort();
        }

        return;
    }

    if (node->type == 0) {
        return;
    }

    first = rnd(2);

    if (first) {
        for (i = 0; i < node->nkids; i++) {
            if (rnd(likely) == 0) {
                take(node, i);
            }
        }
    }

    for (i = 0; i <= node->nkids; i++) {
        while (node->ninserts[i] < 2 && rnd(likely) == 0) {
            insert(node, i);
        }
    }

    if (!first) {
        for (i = node->nkids; i-- > 0; ) {
            if (rnd(likely) == 0) {
                take(node, i);
            }
        }
    }

    for (i = 0; i < node->nkids; i++) {
        if (!node->kids[i]->removed) {
            change(node->kids[i], likely);
        }
    }
}


static void
expect(const char *text, ngx_uint_t id)
{
    token_t  *token;

    if (nexpected == TOKENS) {
        abort();
    }

    token = &expected[nexpected++];
    token->text = text;
    token->len = strlen(text);
    token->id = id;
}


/* what the changed tree has, token by token */

static void
expect_node(node_t *node)
{
    node_t      *kid;
    ngx_uint_t   i, k, n, comma;

    if (node->key) {
        expect(node->key, node->key_token);
        expect(":", node->colon_token);
    }

    if (node->replaced) {
        expect(node->replaced, 0);
        return;
    }

    if (node->type == 0) {
        expect(node->raw, node->token);
        return;
    }

    expect(node->type == '{' ? "{" : "[", node->token);

    /* a comma is a known one between two that have been side by side */

    n = 0;
    comma = 0;

    for (i = 0; i <= node->nkids; i++) {

        for (k = 0; k < node->ninserts[i]; k++) {

            if (n++) {
                expect(",", 0);
            }

            expect(node->inserts[i][k], 0);
            comma = 0;
        }

        if (i == node->nkids) {
            break;
        }

        kid = node->kids[i];

        if (kid->removed) {
            comma = 0;
            continue;
        }

        if (n++) {
            expect(",", comma);
        }

        expect_node(kid);
        comma = kid->comma_token;
    }

    expect(node->type == '{' ? "}" : "]", node->end_token);
}


static ngx_uint_t
blank(u_char ch)
{
    return ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r';
}


/* NULL, or what is wrong with it */

static const char *
compare(ngx_str_t *result)
{
    u_char      *p, *last, *start;
    size_t       len;
    token_t     *token;
    ngx_uint_t   i, id;

    p = result->data;
    last = p + result->len;

    for (i = 0; i < nexpected; i++) {
        token = &expected[i];

        start = p;

        while (p < last && blank(*p)) {
            p++;
        }

        if ((size_t) (last - p) < token->len
            || ngx_memcmp(p, token->text, token->len) != 0)
        {
            return token->text;
        }

        /* between two that were neighbors nothing has changed */

        id = token->id;

        if (id && (i == 0 ? id == 1 : expected[i - 1].id == id - 1)) {
            len = (id == 1) ? offsets[1] : offsets[id] - ends[id - 1];

            if ((size_t) (p - start) != len
                || ngx_memcmp(start, document + offsets[id] - len, len) != 0)
            {
                return "white space";
            }
        }

        p += token->len;
    }

    len = length - ends[ntokens];

    if ((size_t) (last - p) != len
        || ngx_memcmp(p, document + ends[ntokens], len) != 0)
    {
        return "the end";
    }

    return NULL;
}


static void
parse(void)
{
    ngx_eb_json_error_t  err;

    if (ngx_eb_json_parse(parser, document, length, 64, &json, &err) != NGX_OK
        || ngx_eb_json_edit_init(&edit, pool, &json) != NGX_OK)
    {
        abort();
    }
}


static void
print_all(node_t *root)
{
    length = 0;
    ntokens = 0;

    print(root);
    space();
    parse();
}


static ngx_uint_t
check(node_t *root)
{
    ngx_int_t    rc;
    ngx_str_t    result;
    const char  *wrong;

    nexpected = 0;
    expect_node(root);

    rc = ngx_eb_json_edit_apply(&edit, &result);

    if (rc != NGX_OK) {
        diag("apply: %d", (int) rc);
        return 0;
    }

    wrong = compare(&result);

    if (wrong) {
        diag("%s is not where it is expected", wrong);
        diag("document: %.*s", (int) ngx_min(length, 400), document);
        diag("result: %.*s", (int) ngx_min(result.len, 400), result.data);
        return 0;
    }

    return 1;
}


/* all subsets of children go, with new ones at all subsets of places */

static void
every_position(u_char type)
{
    node_t      *root, *node;
    ngx_uint_t   n, i, gone, come, count, good;

    count = 0;
    good = 0;

    for (n = 0; n <= 4; n++) {
        for (gone = 0; gone < 1u << n; gone++) {
            for (come = 0; come < 1u << (n + 1); come++) {

                pool = ngx_create_pool(4096, NULL);

                root = node_new('[');
                root->nkids = 1;

                node = node_new(type);
                root->kids[0] = node;
                node->nkids = n;

                for (i = 0; i < n; i++) {
                    node->kids[i] = node_new(0);
                    node->kids[i]->raw = scalars[i];
                    node->kids[i]->key = (type == '{') ? keys[i] : NULL;
                }

                print_all(root);

                for (i = 0; i <= n; i++) {
                    if (i < n && (gone >> i & 1)) {
                        take(node, i);
                    }

                    if (come >> i & 1) {
                        insert(node, i);
                    }
                }

                count++;
                good += check(root);

                ngx_destroy_pool(pool);
            }
        }
    }

    is_int(good, count, "%c: each of %d ways to insert and remove", type,
           (int) count);
    ok(count > 500, "%c: there are many", type);
}


static void
random_documents(uint64_t likely)
{
    node_t      *root;
    ngx_uint_t   i, good;

    good = 0;

    for (i = 0; i < RANDOM; i++) {
        pool = ngx_create_pool(4096, NULL);

        root = tree(4);
        print_all(root);
        change(root, likely);
        good += check(root);

        ngx_destroy_pool(pool);
    }

    is_int(good, RANDOM, "random documents and changes, one of %d children",
           (int) likely);
}


/* one change, told by pointers to what is in the text */

static void
simple(const char *text, const char *container, const char *child,
    const char *name, const char *value, const char *result,
    const char *what)
{
    ngx_int_t            rc;
    ngx_str_t            out, key, add;
    ngx_eb_json_node_t   in, at;

    pool = ngx_create_pool(4096, NULL);

    length = strlen(text);
    ngx_memcpy(document, text, length);
    parse();

    offsets[1] = container ? strstr(text, container) - text : 0;
    offsets[2] = child ? strstr(text, child) - text : 0;

    in = container ? find(1) : 0;
    at = child ? find(2) : NGX_EB_JSON_NONE;

    if (value) {
        add = str(value);

        if (name) {
            key = str(name);
        }

        rc = container ? ngx_eb_json_edit_insert(&edit, in, at,
                                                 name ? &key : NULL, &add)
                       : ngx_eb_json_edit_replace(&edit, at, &add);

    } else {
        rc = ngx_eb_json_edit_remove(&edit, in, at);
    }

    if (rc != NGX_OK || ngx_eb_json_edit_apply(&edit, &out) != NGX_OK) {
        ok(0, "%s", what);

    } else {
        is_str(&out, result, "%s", what);
    }

    ngx_destroy_pool(pool);
}


static void
positions(void)
{
    simple("[1]", "[", "1", NULL, NULL, "[]", "the only element goes");
    simple("[\n  1\n]", "[", "1", NULL, NULL, "[]",
           "and the white space around it");
    simple("[\n  1,\n  2,\n  3\n]", "[", "1", NULL, NULL,
           "[\n  2,\n  3\n]", "the first element goes");
    simple("[\n  1,\n  2,\n  3\n]", "[", "2", NULL, NULL,
           "[\n  1,\n  3\n]", "a middle element goes");
    simple("[\n  1,\n  2,\n  3\n]", "[", "3", NULL, NULL,
           "[\n  1,\n  2\n]", "the last element goes");
    simple(" { \"a\" : 1 , \"b\" : { } } ", "{", "\"b\"", NULL, NULL,
           " { \"a\" : 1 } ", "the last member goes");
    simple(" { \"a\" : 1 , \"b\" : { } } ", "{", "\"a\"", NULL, NULL,
           " { \"b\" : { } } ", "the first member goes");

    simple("[]", "[", NULL, NULL, "9", "[9]", "into an empty array");
    simple("[ ]", "[", NULL, NULL, "9", "[ 9]", "into a blank array");
    simple("{}", "{", NULL, "n", "9", "{\"n\":9}", "into an empty object");
    simple("[\n  1\n]", "[", NULL, NULL, "9", "[\n  1,\n  9\n]",
           "at the end, on a line of its own");
    simple("[\n  1\n]", "[", "1", NULL, "9", "[\n  9,\n  1\n]",
           "at the start");
    simple("[\n  1, 2\n]", "[", "2", NULL, "9", "[\n  1, 9, 2\n]",
           "in the middle");
    simple("{\"a\": 1e2, \"b\": 2}", "{", NULL, "c\n", "9",
           "{\"a\": 1e2, \"b\": 2, \"c\\n\":9}", "a name is escaped");

    simple(" 1.0 ", NULL, "1.0", NULL, "2", " 2 ", "the whole document");
    simple("[ 1.0 ,1e2]", NULL, "1.0", NULL, "[]", "[ [] ,1e2]",
           "a value is replaced");
}


static ngx_eb_json_node_t
at(const char *what)
{
    offsets[1] = strstr((char *) document, what) - (char *) document;

    return find(1);
}


static void
start(const char *text)
{
    pool = ngx_create_pool(4096, NULL);

    length = strlen(text);
    ngx_memcpy(document, text, length + 1);
    parse();
}


static void
refused(const char *what)
{
    ngx_str_t  out;

    is_int(ngx_eb_json_edit_apply(&edit, &out), NGX_DECLINED, "%s", what);
    ngx_destroy_pool(pool);
}


static void
contradictions(void)
{
    ngx_str_t  one, out, name;

    one = str("1");
    name = str("n");

    start("{\"a\":[1,2],\"b\":3}");
    ngx_eb_json_edit_remove(&edit, 0, at("\"a\""));
    ngx_eb_json_edit_replace(&edit, at("2"), &one);
    refused("a change within what is removed");

    start("{\"a\":[1,2],\"b\":3}");
    ngx_eb_json_edit_replace(&edit, at("["), &one);
    ngx_eb_json_edit_insert(&edit, at("["), NGX_EB_JSON_NONE, NULL, &one);
    refused("a change within what is replaced");

    start("{\"a\":[1,2],\"b\":3}");
    ngx_eb_json_edit_replace(&edit, at("["), &one);
    ngx_eb_json_edit_replace(&edit, at("["), &one);
    refused("a value replaced twice");

    start("[1,2]");
    ngx_eb_json_edit_remove(&edit, 0, at("1"));
    ngx_eb_json_edit_replace(&edit, at("1"), &one);
    refused("a value removed and replaced");

    start("[1,[2]]");
    ngx_eb_json_edit_remove(&edit, 0, at("2"));
    refused("a child of another container");

    start("{\"a\":1}");
    ngx_eb_json_edit_remove(&edit, 0, at("1"));
    refused("a value as child of an object");

    start("[1,2]");
    ngx_eb_json_edit_remove(&edit, 0, NGX_EB_JSON_NONE);
    refused("the end cannot go");

    start("[1,2]");
    ngx_eb_json_edit_remove(&edit, at("1"), at("2"));
    refused("a number has no children");

    start("[1,2]");
    ngx_eb_json_edit_insert(&edit, 77, NGX_EB_JSON_NONE, NULL, &one);
    refused("no such container");

    start("[1,2]");
    ngx_eb_json_edit_insert(&edit, NGX_EB_JSON_NONE, NGX_EB_JSON_NONE, NULL,
                            &one);
    ngx_eb_json_edit_replace(&edit, 0, &one);
    refused("no container at all");

    start("[1,2]");
    ngx_eb_json_edit_replace(&edit, at(","), &one);
    refused("a comma is no value");

    start("[1,2]");
    ngx_eb_json_edit_replace(&edit, 99, &one);
    refused("no such value");

    start("[1,2]");
    ngx_eb_json_edit_remove(&edit, 0, at("2"));
    ngx_eb_json_edit_remove(&edit, 0, at("2"));
    ok(ngx_eb_json_edit_apply(&edit, &out) == NGX_OK, "removed twice");
    is_str(&out, "[1]", "is removed");
    is_int(edit.splices.nelts, 1, "in one splice");
    ok(ngx_eb_json_edit_apply(&edit, &out) == NGX_OK, "applied again");
    is_str(&out, "[1]", "is the same");
    ngx_destroy_pool(pool);

    start("{ \"n\":1.0,\"m\":2 , \"\\u006e\": 1e2}");
    ngx_eb_json_edit_set(&edit, 0, &name, &one);
    ok(ngx_eb_json_edit_apply(&edit, &out) == NGX_OK, "set a double name");
    is_str(&out, "{ \"n\":1.0,\"m\":2 , \"\\u006e\": 1}", "is the last one");
    ngx_destroy_pool(pool);

    start("{ \"m\":2}");
    ngx_eb_json_edit_set(&edit, 0, &name, &one);
    ok(ngx_eb_json_edit_apply(&edit, &out) == NGX_OK, "set a new name");
    is_str(&out, "{ \"m\":2, \"n\":1}", "is added");
    ngx_destroy_pool(pool);

    start("{ \"m\":2}");
    ok(ngx_eb_json_edit_apply(&edit, &out) == NGX_OK
       && out.data == document && out.len == length,
       "no change: the same bytes");
    ngx_destroy_pool(pool);
}


static void
no_memory(void)
{
    ngx_int_t    rc;
    ngx_str_t    out, one, name;
    ngx_uint_t   i, blocks;

    one = str("1");
    name = str("n");
    rc = NGX_ERROR;
    blocks = shim_blocks;

    for (i = 0; i < 100 && rc == NGX_ERROR; i++) {
        start("{\"a\":[1,2,3],\"b\":{},\"c\":[4]}");

        shim_allocs = (ngx_int_t) i;

        rc = (ngx_eb_json_edit_init(&edit, pool, &json) == NGX_OK
              && ngx_eb_json_edit_remove(&edit, 3, 4) == NGX_OK
              && ngx_eb_json_edit_insert(&edit, 3, 4, NULL, &one) == NGX_OK
              && ngx_eb_json_edit_insert(&edit, 3, NGX_EB_JSON_NONE, NULL,
                                         &one) == NGX_OK
              && ngx_eb_json_edit_set(&edit, at("{}"), &name, &one) == NGX_OK
              && ngx_eb_json_edit_replace(&edit, at("[4]"), &one) == NGX_OK)
             ? ngx_eb_json_edit_apply(&edit, &out) : NGX_ERROR;

        shim_allocs = -1;

        if (rc == NGX_OK) {
            is_str(&out, "{\"a\":[1,2,3,1],\"b\":{\"n\":1},\"c\":1}",
                   "no memory, until there is some");
        }

        ngx_destroy_pool(pool);
    }

    ok(rc == NGX_OK && i > 8, "each allocation is checked");
    is_int(shim_blocks, blocks, "nothing is left");
}


int
main(int argc, char **argv)
{
    uint64_t  start_seed;

    start_seed = (argc > 1) ? strtoull(argv[1], NULL, 10) : 20240917;

    seed = start_seed;
    parser = ngx_eb_json_parser_create();

    if (parser == NULL) {
        return 1;
    }

    diag("seed %llu", (unsigned long long) start_seed);

    positions();
    every_position('[');
    every_position('{');
    random_documents(2);
    random_documents(5);
    random_documents(30);
    contradictions();
    no_memory();

    ngx_eb_json_parser_destroy(parser);

    return done_testing();
}
