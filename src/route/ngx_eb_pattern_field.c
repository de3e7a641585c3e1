
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The fields of a set of patterns, and where an event has them: one walk over
 * the event along the tree of names.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_regex.h"
#include "ngx_eb_pattern.h"
#include "ngx_eb_pattern_form.h"


#define NGX_EB_PATTERN_MUL  0x9e3779b97f4a7c15ULL


static uint32_t ngx_eb_pattern_node(ngx_eb_pattern_set_t *set);
static uint32_t ngx_eb_pattern_edge(ngx_eb_pattern_set_t *set, uint32_t from,
    ngx_str_t *name, uint32_t to);
static ngx_int_t ngx_eb_pattern_grow(ngx_eb_pattern_set_t *set,
    ngx_eb_pattern_node_t *node);
static ngx_eb_pattern_edge_t *ngx_eb_pattern_find(ngx_eb_pattern_node_t *node,
    const u_char *p, size_t len);
static ngx_int_t ngx_eb_pattern_rehash(ngx_eb_pattern_set_t *set);
static void ngx_eb_pattern_scratch_cleanup(void *data);
static ngx_int_t ngx_eb_pattern_walk_object(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_json_node_t node, ngx_eb_pattern_node_t *at, uint32_t ctx);
static ngx_int_t ngx_eb_pattern_walk_array(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_json_node_t node, ngx_eb_pattern_node_t *at, uint32_t ctx);
static ngx_int_t ngx_eb_pattern_emit(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_json_node_t node, uint32_t field, uint32_t ctx);


uint64_t
ngx_eb_pattern_hash(const u_char *p, size_t len)
{
    uint64_t  h, a;

    h = len * NGX_EB_PATTERN_MUL;

    while (len >= 8) {
        ngx_memcpy(&a, p, 8);
        h = (h ^ a) * NGX_EB_PATTERN_MUL;
        h ^= h >> 32;
        p += 8;
        len -= 8;
    }

    for (a = 0; len; len--) {
        a = (a << 8) | *p++;
    }

    h = (h ^ a) * NGX_EB_PATTERN_MUL;

    return h ^ (h >> 32);
}


/* equal values have equal keys: numbers by value, all else by text */

uint64_t
ngx_eb_pattern_key(u_char type, ngx_str_t *text)
{
    double  number;

    switch (type) {

    case '"':
        return ngx_eb_pattern_hash(text->data, text->len);

    case '0':
        if (ngx_eb_pattern_number(text->data, text->len, &number) == NGX_OK) {
            return ngx_eb_pattern_hash((u_char *) &number, sizeof(double)) + 1;
        }

        return ngx_eb_pattern_hash(text->data, text->len) + 2;

    default:
        return type;
    }
}


int
ngx_eb_pattern_name_cmp(ngx_str_t *a, ngx_str_t *b)
{
    size_t      n;
    u_char      x, y;
    ngx_uint_t  i;

    n = ngx_min(a->len, b->len);

    for (i = 0; i < n; i++) {
        x = a->data[i];
        y = b->data[i];

        if (x == y) {
            continue;
        }

        /* U+E000 to U+FFFF come after the surrogates of all beyond them */

        if (x >= 0xee && y >= 0xee && (x >= 0xf0) != (y >= 0xf0)) {
            return (x >= 0xf0) ? -1 : 1;
        }

        return (x < y) ? -1 : 1;
    }

    return (a->len < b->len) ? -1 : (a->len > b->len);
}


ngx_eb_pattern_set_t *
ngx_eb_pattern_set_create(ngx_pool_t *pool)
{
    ngx_eb_pattern_set_t  *set;

    set = ngx_pcalloc(pool, sizeof(ngx_eb_pattern_set_t));
    if (set == NULL) {
        return NULL;
    }

    set->pool = pool;

    if (ngx_array_init(&set->fields, pool, 16, sizeof(ngx_str_t)) != NGX_OK
        || ngx_array_init(&set->nodes, pool, 16,
                          sizeof(ngx_eb_pattern_node_t))
           != NGX_OK)
    {
        return NULL;
    }

    /* the root */

    if (ngx_eb_pattern_node(set) == NGX_EB_PATTERN_NONE) {
        return NULL;
    }

    return set;
}


ngx_uint_t
ngx_eb_pattern_set_fields(ngx_eb_pattern_set_t *set)
{
    return set->fields.nelts;
}


ngx_str_t *
ngx_eb_pattern_set_field(ngx_eb_pattern_set_t *set, ngx_uint_t field)
{
    ngx_str_t  *names;

    names = set->fields.elts;

    return &names[field];
}


/* table has numbers of fields, plus one */

uint32_t
ngx_eb_pattern_field(ngx_eb_pattern_set_t *set, ngx_str_t *name)
{
    uint32_t    i;
    ngx_str_t  *field, *names;

    if (set->fields.nelts * 2 >= set->mask
        && ngx_eb_pattern_rehash(set) != NGX_OK)
    {
        return NGX_EB_PATTERN_NONE;
    }

    names = set->fields.elts;

    for (i = ngx_eb_pattern_hash(name->data, name->len) & set->mask;
         set->table[i];
         i = (i + 1) & set->mask)
    {
        field = &names[set->table[i] - 1];

        if (field->len == name->len
            && ngx_memcmp(field->data, name->data, name->len) == 0)
        {
            return set->table[i] - 1;
        }
    }

    field = ngx_array_push(&set->fields);
    if (field == NULL) {
        return NGX_EB_PATTERN_NONE;
    }

    *field = *name;
    set->table[i] = set->fields.nelts;
    set->max_name = ngx_max(set->max_name, name->len);

    return set->fields.nelts - 1;
}


static ngx_int_t
ngx_eb_pattern_rehash(ngx_eb_pattern_set_t *set)
{
    uint32_t    *table, i, n;
    ngx_str_t   *names;
    ngx_uint_t   k;

    n = (set->mask + 1) * 2;

    if (n < 64) {
        n = 64;
    }

    table = ngx_pcalloc(set->pool, n * sizeof(uint32_t));
    if (table == NULL) {
        return NGX_ERROR;
    }

    names = set->fields.elts;

    for (k = 0; k < set->fields.nelts; k++) {

        i = ngx_eb_pattern_hash(names[k].data, names[k].len) & (n - 1);

        while (table[i]) {
            i = (i + 1) & (n - 1);
        }

        table[i] = k + 1;
    }

    set->table = table;
    set->mask = n - 1;

    return NGX_OK;
}


ngx_int_t
ngx_eb_pattern_set_seal(ngx_eb_pattern_set_t *set)
{
    u_char                 *p, *last, *dot;
    uint32_t                at[NGX_EB_PATTERN_MAX_PARTS + 1], to;
    ngx_str_t              *names, part;
    ngx_uint_t              i, k, n;
    const u_char           *starts[NGX_EB_PATTERN_MAX_PARTS + 1];
    ngx_eb_pattern_node_t  *nodes;

    names = set->fields.elts;

    for (i = 0; i < set->fields.nelts; i++) {

        p = names[i].data;
        last = p + names[i].len;

        at[0] = 0;

        for (n = 1; /* void */ ; n++) {
            starts[n - 1] = p;

            dot = (p == last) ? NULL : memchr(p, '.', last - p);
            if (dot == NULL) {
                dot = last;
            }

            part.data = p;
            part.len = dot - p;

            to = ngx_eb_pattern_edge(set, at[n - 1], &part,
                                     NGX_EB_PATTERN_NONE);
            if (to == NGX_EB_PATTERN_NONE) {
                return NGX_ERROR;
            }

            at[n] = to;

            for (k = 0; k + 1 < n; k++) {
                part.data = (u_char *) starts[k];
                part.len = dot - part.data;

                if (ngx_eb_pattern_edge(set, at[k], &part, to)
                    == NGX_EB_PATTERN_NONE)
                {
                    return NGX_ERROR;
                }
            }

            if (dot == last) {
                break;
            }

            p = dot + 1;
        }

        nodes = set->nodes.elts;
        nodes[to].field = i;
    }

    set->sealed = 1;

    return NGX_OK;
}


static uint32_t
ngx_eb_pattern_node(ngx_eb_pattern_set_t *set)
{
    ngx_eb_pattern_node_t  *node;

    node = ngx_array_push(&set->nodes);
    if (node == NULL) {
        return NGX_EB_PATTERN_NONE;
    }

    ngx_memzero(node, sizeof(ngx_eb_pattern_node_t));
    node->field = NGX_EB_PATTERN_NONE;

    return set->nodes.nelts - 1;
}


/* where name leads; if nowhere yet, to the given node or to a new one */

static uint32_t
ngx_eb_pattern_edge(ngx_eb_pattern_set_t *set, uint32_t from, ngx_str_t *name,
    uint32_t to)
{
    uint32_t                i, hash;
    ngx_eb_pattern_edge_t  *edge;
    ngx_eb_pattern_node_t  *node;

    node = (ngx_eb_pattern_node_t *) set->nodes.elts + from;

    edge = ngx_eb_pattern_find(node, name->data, name->len);
    if (edge) {
        return edge->node;
    }

    if (to == NGX_EB_PATTERN_NONE) {
        to = ngx_eb_pattern_node(set);

        if (to == NGX_EB_PATTERN_NONE) {
            return NGX_EB_PATTERN_NONE;
        }

        node = (ngx_eb_pattern_node_t *) set->nodes.elts + from;
    }

    if ((node->edges == NULL || node->nedges * 2 >= node->mask)
        && ngx_eb_pattern_grow(set, node) != NGX_OK)
    {
        return NGX_EB_PATTERN_NONE;
    }

    hash = (uint32_t) ngx_eb_pattern_hash(name->data, name->len);

    i = hash & node->mask;

    while (node->edges[i].data) {
        i = (i + 1) & node->mask;
    }

    node->edges[i].data = name->data;
    node->edges[i].len = name->len;
    node->edges[i].hash = hash;
    node->edges[i].node = to;

    node->nedges++;
    node->lengths |= (uint64_t) 1 << ngx_min(name->len, 63);

    return to;
}


static ngx_int_t
ngx_eb_pattern_grow(ngx_eb_pattern_set_t *set, ngx_eb_pattern_node_t *node)
{
    uint32_t                i, k, n;
    ngx_eb_pattern_edge_t  *edges;

    n = node->edges ? (node->mask + 1) * 2 : 4;

    edges = ngx_pcalloc(set->pool, n * sizeof(ngx_eb_pattern_edge_t));
    if (edges == NULL) {
        return NGX_ERROR;
    }

    for (k = 0; node->edges && k <= node->mask; k++) {

        if (node->edges[k].data == NULL) {
            continue;
        }

        i = node->edges[k].hash & (n - 1);

        while (edges[i].data) {
            i = (i + 1) & (n - 1);
        }

        edges[i] = node->edges[k];
    }

    node->edges = edges;
    node->mask = n - 1;

    return NGX_OK;
}


static ngx_eb_pattern_edge_t *
ngx_eb_pattern_find(ngx_eb_pattern_node_t *node, const u_char *p, size_t len)
{
    uint32_t                i, hash;
    ngx_eb_pattern_edge_t  *edge;

    /* most members are of no interest, and most have another length */

    if ((node->lengths >> ngx_min(len, 63) & 1) == 0) {
        return NULL;
    }

    hash = (uint32_t) ngx_eb_pattern_hash(p, len);

    for (i = hash & node->mask; /* void */ ; i = (i + 1) & node->mask) {
        edge = &node->edges[i];

        if (edge->data == NULL) {
            return NULL;
        }

        if (edge->hash == hash && edge->len == len
            && ngx_memcmp(edge->data, p, len) == 0)
        {
            return edge;
        }
    }
}


ngx_eb_pattern_scratch_t *
ngx_eb_pattern_scratch_create(ngx_pool_t *pool, ngx_eb_pattern_set_t *set,
    ngx_eb_regex_ctx_t *ctx)
{
    ngx_pool_cleanup_t        *cln;
    ngx_eb_pattern_scratch_t  *scratch;

    scratch = ngx_pcalloc(pool, sizeof(ngx_eb_pattern_scratch_t));
    if (scratch == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_eb_pattern_scratch_cleanup;
    cln->data = scratch;

    scratch->set = set;
    scratch->regex = ctx;
    scratch->log = pool->log;

    scratch->data.size = sizeof(ngx_eb_pattern_datum_t);
    scratch->elements.size = sizeof(ngx_eb_pattern_element_t);
    scratch->entries.size = sizeof(ngx_eb_pattern_entry_t);
    scratch->items.size = sizeof(ngx_eb_pattern_item_t);
    scratch->text.size = 1;

    /* a character is written with six bytes at most */

    scratch->name = ngx_pnalloc(pool, set->max_name * 6 + 1);
    if (scratch->name == NULL) {
        return NULL;
    }

    scratch->slots = ngx_pcalloc(pool, (set->fields.nelts + 1)
                                       * sizeof(ngx_eb_pattern_slot_t));
    if (scratch->slots == NULL) {
        return NULL;
    }

    scratch->memos = ngx_pcalloc(pool, (set->memos + 1)
                                       * sizeof(ngx_eb_pattern_memo_t));
    if (scratch->memos == NULL) {
        return NULL;
    }

    return scratch;
}


static void
ngx_eb_pattern_scratch_cleanup(void *data)
{
    ngx_eb_pattern_scratch_t *scratch = data;

    ngx_eb_pattern_scratch_trim(scratch, 0);
}


void
ngx_eb_pattern_scratch_trim(ngx_eb_pattern_scratch_t *scratch, size_t max)
{
    ngx_uint_t             i;
    ngx_eb_pattern_buf_t  *buf[5];

    buf[0] = &scratch->data;
    buf[1] = &scratch->elements;
    buf[2] = &scratch->entries;
    buf[3] = &scratch->items;
    buf[4] = &scratch->text;

    for (i = 0; i < 5; i++) {

        if (buf[i]->elts && buf[i]->nalloc > max) {
            ngx_free(buf[i]->elts);
            buf[i]->elts = NULL;
            buf[i]->nalloc = 0;
        }
    }

    /* what was collected is gone */

    scratch->stamp++;
    scratch->ndata = 0;
    scratch->nelements = 0;
}


ngx_int_t
ngx_eb_pattern_room(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_pattern_buf_t *buf, size_t n)
{
    void    *elts;
    size_t   nalloc;

    if (n <= buf->nalloc) {
        return NGX_OK;
    }

    nalloc = ngx_max(n, buf->nalloc * 2);
    nalloc = ngx_max(nalloc, 64);

    elts = ngx_alloc(nalloc * buf->size, scratch->log);
    if (elts == NULL) {
        return NGX_ERROR;
    }

    if (buf->elts) {
        ngx_memcpy(elts, buf->elts, buf->nalloc * buf->size);
        ngx_free(buf->elts);
    }

    buf->elts = elts;
    buf->nalloc = nalloc;

    return NGX_OK;
}


ngx_int_t
ngx_eb_pattern_collect(ngx_eb_pattern_scratch_t *scratch, ngx_eb_json_t *json,
    ngx_eb_json_node_t node)
{
    ngx_eb_pattern_element_t  *event;

    scratch->json = json;
    scratch->stamp++;
    scratch->ndata = 0;
    scratch->depth = 0;
    scratch->text_used = 0;
    scratch->steps = 0;
    scratch->regexes = NGX_EB_PATTERN_MAX_REGEXES;
    scratch->failed = 1;

    if (ngx_eb_pattern_room(scratch, &scratch->elements, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    event = scratch->elements.elts;
    ngx_memzero(event, sizeof(ngx_eb_pattern_element_t));
    event->parent = NGX_EB_PATTERN_NONE;
    event->first = node;
    event->last = ngx_eb_json_next(json, node);

    scratch->nelements = 1;
    scratch->event_len = json->pos[event->last] - json->pos[node];

    if (ngx_eb_json_type(json, node) == '{'
        && ngx_eb_pattern_walk_object(scratch, node, scratch->set->nodes.elts,
                                      0)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    scratch->failed = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_eb_pattern_walk_object(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_json_node_t node, ngx_eb_pattern_node_t *at, uint32_t ctx)
{
    u_char                 *p, *last;
    size_t                  len;
    ngx_int_t               rc;
    ngx_str_t               raw;
    ngx_eb_json_t          *json;
    ngx_eb_json_node_t      key;
    ngx_eb_pattern_edge_t  *edge;
    ngx_eb_pattern_node_t  *to;

    if (at->nedges == 0) {
        return NGX_OK;
    }

    json = scratch->json;

    for (key = ngx_eb_json_first(json, node);
         key != NGX_EB_JSON_NONE;
         key = ngx_eb_json_after(json, key + 2))
    {
        p = json->data + json->pos[key] + 1;
        last = json->data + json->pos[key + 1] - 1;

        /* only white space is between the quote and the colon */

        while (*last != '"') {
            last--;
        }

        len = last - p;

        if (json->escapes && ngx_eb_json_escaped(json, p, len)) {

            if (len > scratch->set->max_name * 6) {
                continue;
            }

            raw.data = p;
            raw.len = len;

            p = scratch->name;
            len = ngx_eb_json_unescape(&raw, p);
        }

        edge = ngx_eb_pattern_find(at, p, len);
        if (edge == NULL) {
            continue;
        }

        to = (ngx_eb_pattern_node_t *) scratch->set->nodes.elts + edge->node;

        switch (json->data[json->pos[key + 2]]) {

        case '{':
            rc = ngx_eb_pattern_walk_object(scratch, key + 2, to, ctx);
            break;

        case '[':
            rc = ngx_eb_pattern_walk_array(scratch, key + 2, to, ctx);
            break;

        default:
            rc = ngx_eb_pattern_emit(scratch, key + 2, to->field, ctx);
        }

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_pattern_walk_array(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_json_node_t node, ngx_eb_pattern_node_t *at, uint32_t ctx)
{
    u_char                     ch;
    uint32_t                   inner;
    ngx_int_t                  rc;
    ngx_eb_json_t             *json;
    ngx_eb_json_node_t         value;
    ngx_eb_pattern_element_t  *el;

    json = scratch->json;

    for (value = ngx_eb_json_first(json, node);
         value != NGX_EB_JSON_NONE;
         value = ngx_eb_json_after(json, value))
    {
        ch = json->data[json->pos[value]];

        if (ch != '{' && ch != '[') {

            /* a plain value is in all elements and in none */

            rc = ngx_eb_pattern_emit(scratch, value, at->field, ctx);

            if (rc != NGX_OK) {
                return NGX_ERROR;
            }

            continue;
        }

        if (ch == '{' && at->nedges == 0) {
            continue;
        }

        if (ngx_eb_pattern_room(scratch, &scratch->elements,
                                (size_t) scratch->nelements + 1)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        inner = scratch->nelements++;

        el = (ngx_eb_pattern_element_t *) scratch->elements.elts + inner;

        el->parent = ctx;
        el->array = node;
        el->first = value;
        el->last = ngx_eb_json_next(json, value);
        el->depth = ((ngx_eb_pattern_element_t *) scratch->elements.elts)[ctx]
                    .depth + 1;

        if (el->depth > scratch->depth) {
            scratch->depth = el->depth;
        }

        rc = (ch == '{')
             ? ngx_eb_pattern_walk_object(scratch, value, at, inner)
             : ngx_eb_pattern_walk_array(scratch, value, at, inner);

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_pattern_emit(ngx_eb_pattern_scratch_t *scratch, ngx_eb_json_node_t node,
    uint32_t field, uint32_t ctx)
{
    u_char                  *p, *last;
    uint32_t                 i;
    ngx_eb_json_t           *json;
    ngx_eb_pattern_slot_t   *slot;
    ngx_eb_pattern_datum_t  *datum;

    if (field == NGX_EB_PATTERN_NONE) {
        return NGX_OK;
    }

    if (scratch->ndata == scratch->data.nalloc
        && ngx_eb_pattern_room(scratch, &scratch->data,
                               (size_t) scratch->ndata + 1)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    json = scratch->json;
    i = scratch->ndata++;

    datum = (ngx_eb_pattern_datum_t *) scratch->data.elts + i;

    p = json->data + json->pos[node];

    datum->node = node;
    datum->ctx = ctx;
    datum->next = NGX_EB_PATTERN_NONE;
    datum->type = ngx_eb_json_type(json, node);
    datum->known_string = 0;
    datum->known_number = 0;
    datum->known_address = 0;

    last = json->data + json->pos[node + 1] - 1;

    if (*p == '"') {
        p++;

        while (*last != '"') {
            last--;
        }

    } else {

        while (*last == ' ' || *last == '\n' || *last == '\r' || *last == '\t')
        {
            last--;
        }

        last++;
    }

    datum->data = p;
    datum->len = last - p;

    slot = &scratch->slots[field];

    if (slot->stamp != scratch->stamp) {
        slot->stamp = scratch->stamp;
        slot->head = i;
        slot->n = 0;
        slot->nested = 0;

    } else {
        ((ngx_eb_pattern_datum_t *) scratch->data.elts)[slot->tail].next = i;
    }

    slot->tail = i;
    slot->n++;
    slot->nested |= (ctx != 0);

    return NGX_OK;
}


ngx_int_t
ngx_eb_pattern_string(ngx_eb_pattern_scratch_t *scratch,
    ngx_eb_pattern_datum_t *datum)
{
    u_char     *p;
    ngx_str_t   raw;

    if (!ngx_eb_json_escaped(scratch->json, datum->data, datum->len)) {
        datum->known_string = 1;
        return NGX_OK;
    }

    /*
     * Strings stay where they are: there is room for those of the whole event,
     * each of which is unescaped once.
     */

    if (ngx_eb_pattern_room(scratch, &scratch->text, scratch->event_len)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    raw.data = datum->data;
    raw.len = datum->len;

    p = (u_char *) scratch->text.elts + scratch->text_used;

    datum->data = p;
    datum->len = ngx_eb_json_unescape(&raw, p);
    datum->known_string = 1;

    scratch->text_used += datum->len;

    return NGX_OK;
}


uint32_t
ngx_eb_pattern_value_first(ngx_eb_pattern_scratch_t *scratch, ngx_uint_t field)
{
    ngx_eb_pattern_slot_t  *slot;

    slot = ngx_eb_pattern_slot(scratch, field);

    return (slot == NULL || scratch->failed) ? NGX_EB_PATTERN_NO_VALUE
                                             : slot->head;
}


ngx_int_t
ngx_eb_pattern_value_next(ngx_eb_pattern_scratch_t *scratch, uint32_t *at,
    ngx_eb_pattern_value_t *value)
{
    ngx_eb_pattern_datum_t  *datum;

    datum = (ngx_eb_pattern_datum_t *) scratch->data.elts + *at;

    if (datum->type == '"' && !datum->known_string
        && ngx_eb_pattern_string(scratch, datum) != NGX_OK)
    {
        return NGX_ERROR;
    }

    value->text.data = datum->data;
    value->text.len = datum->len;
    value->node = datum->node;
    value->type = datum->type;
    value->key = ngx_eb_pattern_key(datum->type, &value->text);

    *at = datum->next;

    return NGX_OK;
}
