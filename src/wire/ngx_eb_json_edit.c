
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_json_edit.h"
#include "ngx_eb_out.h"


/*
 * White space that is set as around a neighbor: deep indentation has this
 * much, and more is no indentation.
 */

#define NGX_EB_JSON_EDIT_MAX_SPACE  256


typedef enum {
    NGX_EB_JSON_EDIT_INSERT = 0,
    NGX_EB_JSON_EDIT_REMOVE,
    NGX_EB_JSON_EDIT_REPLACE
} ngx_eb_json_edit_type_e;


/* a replacement has its node as child, and no container */

typedef struct {
    ngx_eb_json_edit_type_e   type;
    ngx_eb_json_node_t        container;
    ngx_eb_json_node_t        child;
    ngx_uint_t                seq;
    ngx_str_t                 text;
} ngx_eb_json_edit_op_t;


/* a child of a container that is being rewritten: its place in the text */

typedef struct {
    ngx_eb_json_node_t        node;         /* NONE: the end */
    size_t                    start;
    size_t                    end;
    ngx_str_t                 space;        /* ahead of it */
    ngx_eb_json_edit_op_t    *inserts;
    ngx_uint_t                ninserts;
    unsigned                  removed:1;
} ngx_eb_json_child_t;


static ngx_int_t ngx_eb_json_edit_op(ngx_eb_json_edit_t *edit,
    ngx_eb_json_edit_type_e type, ngx_eb_json_node_t container,
    ngx_eb_json_node_t child, ngx_str_t *text);
static int ngx_libc_cdecl ngx_eb_json_edit_op_cmp(const void *one,
    const void *two);
static ngx_int_t ngx_eb_json_edit_container(ngx_eb_json_edit_t *edit,
    ngx_eb_json_edit_op_t *op, ngx_eb_json_edit_op_t *last);
static void ngx_eb_json_edit_child(ngx_eb_json_t *json,
    ngx_eb_json_node_t container, ngx_eb_json_node_t node,
    ngx_eb_json_child_t *child);
static ngx_int_t ngx_eb_json_edit_run(ngx_eb_json_edit_t *edit,
    ngx_eb_json_node_t container, ngx_eb_json_child_t *before,
    ngx_array_t *run, ngx_eb_json_child_t *after);
static ngx_int_t ngx_eb_json_edit_joined(ngx_eb_json_edit_t *edit,
    ngx_array_t *run, ngx_str_t *text);
static ngx_int_t ngx_eb_json_edit_inserts(ngx_eb_json_edit_t *edit,
    ngx_eb_json_child_t *child, ngx_eb_json_child_t *before);
static ngx_int_t ngx_eb_json_edit_add(size_t *sum, size_t len);
static ngx_int_t ngx_eb_json_edit_splice(ngx_eb_json_edit_t *edit,
    size_t offset, size_t len, ngx_str_t *text);
static int ngx_libc_cdecl ngx_eb_json_edit_splice_cmp(const void *one,
    const void *two);
static ngx_int_t ngx_eb_json_edit_copy(ngx_eb_json_edit_t *edit,
    ngx_str_t *text);


ngx_int_t
ngx_eb_json_edit_init(ngx_eb_json_edit_t *edit, ngx_pool_t *pool,
    ngx_eb_json_t *json)
{
    edit->pool = pool;
    edit->json = json;

    if (ngx_array_init(&edit->ops, pool, 4, sizeof(ngx_eb_json_edit_op_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_array_init(&edit->splices, pool, 4,
                          sizeof(ngx_eb_json_splice_t));
}


ngx_int_t
ngx_eb_json_edit_replace(ngx_eb_json_edit_t *edit, ngx_eb_json_node_t node,
    ngx_str_t *text)
{
    return ngx_eb_json_edit_op(edit, NGX_EB_JSON_EDIT_REPLACE,
                               NGX_EB_JSON_NONE, node, text);
}


ngx_int_t
ngx_eb_json_edit_insert(ngx_eb_json_edit_t *edit,
    ngx_eb_json_node_t container, ngx_eb_json_node_t before, ngx_str_t *name,
    ngx_str_t *text)
{
    u_char     *p;
    ngx_str_t   quoted, member;

    if (name == NULL) {
        return ngx_eb_json_edit_op(edit, NGX_EB_JSON_EDIT_INSERT, container,
                                   before, text);
    }

    if (ngx_eb_json_quote(edit->pool, name, &quoted) != NGX_OK) {
        return NGX_ERROR;
    }

    member.len = quoted.len + 1;

    if (ngx_eb_json_edit_add(&member.len, text->len) != NGX_OK) {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(edit->pool, member.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    member.data = p;

    p = ngx_cpymem(p, quoted.data, quoted.len);
    *p++ = ':';
    ngx_memcpy(p, text->data, text->len);

    return ngx_eb_json_edit_op(edit, NGX_EB_JSON_EDIT_INSERT, container,
                               before, &member);
}


ngx_int_t
ngx_eb_json_edit_remove(ngx_eb_json_edit_t *edit,
    ngx_eb_json_node_t container, ngx_eb_json_node_t child)
{
    ngx_str_t  none;

    ngx_str_null(&none);

    return ngx_eb_json_edit_op(edit, NGX_EB_JSON_EDIT_REMOVE, container,
                               child, &none);
}


ngx_int_t
ngx_eb_json_edit_set(ngx_eb_json_edit_t *edit, ngx_eb_json_node_t object,
    ngx_str_t *name, ngx_str_t *text)
{
    ngx_eb_json_node_t  value;

    value = ngx_eb_json_member(edit->json, object, name);

    if (value == NGX_EB_JSON_NONE) {
        return ngx_eb_json_edit_insert(edit, object, NGX_EB_JSON_NONE, name,
                                       text);
    }

    return ngx_eb_json_edit_replace(edit, value, text);
}


static ngx_int_t
ngx_eb_json_edit_op(ngx_eb_json_edit_t *edit, ngx_eb_json_edit_type_e type,
    ngx_eb_json_node_t container, ngx_eb_json_node_t child, ngx_str_t *text)
{
    ngx_eb_json_edit_op_t  *op;

    op = ngx_array_push(&edit->ops);
    if (op == NULL) {
        return NGX_ERROR;
    }

    op->type = type;
    op->container = container;
    op->child = child;
    op->seq = edit->ops.nelts;
    op->text = *text;

    return NGX_OK;
}


/*
 * Containers one after the other, in each of them the children as they stand
 * and the end last: NGX_EB_JSON_NONE is above every node.  What belongs to
 * no container comes last of all.
 */

static int ngx_libc_cdecl
ngx_eb_json_edit_op_cmp(const void *one, const void *two)
{
    const ngx_eb_json_edit_op_t  *a, *b;

    a = one;
    b = two;

    if (a->container != b->container) {
        return (a->container < b->container) ? -1 : 1;
    }

    if (a->child != b->child) {
        return (a->child < b->child) ? -1 : 1;
    }

    if (a->type != b->type) {
        return (a->type < b->type) ? -1 : 1;
    }

    return (a->seq < b->seq) ? -1 : 1;
}


ngx_int_t
ngx_eb_json_edit_apply(ngx_eb_json_edit_t *edit, ngx_str_t *text)
{
    ngx_int_t               rc;
    ngx_str_t               raw;
    ngx_uint_t              i, k;
    ngx_eb_json_t          *json;
    ngx_eb_json_edit_op_t  *op;

    json = edit->json;
    edit->splices.nelts = 0;

    op = edit->ops.elts;

    if (edit->ops.nelts > 1) {
        ngx_qsort(op, edit->ops.nelts, sizeof(ngx_eb_json_edit_op_t),
                  ngx_eb_json_edit_op_cmp);
    }

    for (i = 0; i < edit->ops.nelts; i = k) {

        if (op[i].type == NGX_EB_JSON_EDIT_REPLACE) {

            if (op[i].child >= json->n
                || ngx_strchr(",:]}", ngx_eb_json_type(json, op[i].child)))
            {
                return NGX_DECLINED;
            }

            ngx_eb_json_raw(json, op[i].child, &raw);

            rc = ngx_eb_json_edit_splice(edit, raw.data - json->data, raw.len,
                                         &op[i].text);
            k = i + 1;

        } else {

            for (k = i + 1; k < edit->ops.nelts; k++) {
                if (op[k].container != op[i].container) {
                    break;
                }
            }

            rc = ngx_eb_json_edit_container(edit, &op[i], &op[k]);
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return ngx_eb_json_edit_copy(edit, text);
}


/*
 * Children that go and stand side by side are one run, and what is inserted
 * ahead of one of them is put in the run's place.  The end is a child too,
 * and ends the last run.
 */

static ngx_int_t
ngx_eb_json_edit_container(ngx_eb_json_edit_t *edit,
    ngx_eb_json_edit_op_t *op, ngx_eb_json_edit_op_t *last)
{
    u_char                type;
    ngx_int_t             rc;
    ngx_array_t           run;
    ngx_eb_json_t        *json;
    ngx_eb_json_node_t    container, node;
    ngx_eb_json_child_t   child, before, *elt;

    json = edit->json;
    container = op->container;

    if (container >= json->n) {
        return NGX_DECLINED;
    }

    type = ngx_eb_json_type(json, container);

    if (type != '{' && type != '[') {
        return NGX_DECLINED;
    }

    if (ngx_array_init(&run, edit->pool, 4, sizeof(ngx_eb_json_child_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_memzero(&before, sizeof(ngx_eb_json_child_t));
    before.node = NGX_EB_JSON_NONE;

    node = ngx_eb_json_first(json, container);

    for ( ;; ) {

        ngx_eb_json_edit_child(json, container, node, &child);

        child.inserts = op;

        while (op < last && op->child == node
               && op->type == NGX_EB_JSON_EDIT_INSERT)
        {
            op++;
        }

        child.ninserts = op - child.inserts;

        while (op < last && op->child == node && node != NGX_EB_JSON_NONE) {
            child.removed = 1;
            op++;
        }

        if (child.removed || (node == NGX_EB_JSON_NONE && run.nelts)) {
            elt = ngx_array_push(&run);
            if (elt == NULL) {
                return NGX_ERROR;
            }

            *elt = child;
        }

        if (!child.removed) {

            if (run.nelts) {
                rc = ngx_eb_json_edit_run(edit, container, &before, &run,
                                          &child);
                if (rc != NGX_OK) {
                    return rc;
                }
            }

            if (node != NGX_EB_JSON_NONE || run.nelts == 0) {
                rc = ngx_eb_json_edit_inserts(edit, &child, &before);
                if (rc != NGX_OK) {
                    return rc;
                }
            }

            run.nelts = 0;
            before = child;
        }

        if (node == NGX_EB_JSON_NONE) {
            break;
        }

        node = ngx_eb_json_after(json, (type == '{') ? node + 2 : node);
    }

    /* what is left names a child that is none */

    return (op == last) ? NGX_OK : NGX_DECLINED;
}


/* without a node it is the end: the place of the closing bracket */

static void
ngx_eb_json_edit_child(ngx_eb_json_t *json, ngx_eb_json_node_t container,
    ngx_eb_json_node_t node, ngx_eb_json_child_t *child)
{
    u_char     *p;
    ngx_str_t   raw;

    ngx_memzero(child, sizeof(ngx_eb_json_child_t));
    child->node = node;

    if (node == NGX_EB_JSON_NONE) {
        child->start = json->pos[json->skip[container]];
        child->end = child->start;
        child->space.data = json->data + child->start;
        return;
    }

    child->start = json->pos[node];

    ngx_eb_json_raw(json,
                    ngx_eb_json_type(json, container) == '{' ? node + 2 : node,
                    &raw);

    child->end = raw.data + raw.len - json->data;

    /* after a bracket or a comma */

    p = json->data + json->pos[node - 1] + 1;

    child->space.data = p;
    child->space.len = json->data + child->start - p;

    if (child->space.len > NGX_EB_JSON_EDIT_MAX_SPACE) {
        child->space.len = 0;
    }
}


/*
 * before is the child ahead of the run, with node NGX_EB_JSON_NONE when there
 * is none; after the one that follows it, which is also the run's last
 * element when it is the end.
 */

static ngx_int_t
ngx_eb_json_edit_run(ngx_eb_json_edit_t *edit, ngx_eb_json_node_t container,
    ngx_eb_json_child_t *before, ngx_array_t *run, ngx_eb_json_child_t *after)
{
    size_t                start, end;
    ngx_str_t             text;
    ngx_uint_t            n;
    ngx_eb_json_child_t  *child;

    if (ngx_eb_json_edit_joined(edit, run, &text) != NGX_OK) {
        return NGX_ERROR;
    }

    child = run->elts;
    n = run->nelts;

    if (after->node == NGX_EB_JSON_NONE) {
        n--;
    }

    start = child[0].start;
    end = child[n - 1].end;

    if (text.len == 0) {

        if (before->node != NGX_EB_JSON_NONE) {

            /* with the comma ahead of it */

            start = before->end;

        } else if (after->node != NGX_EB_JSON_NONE) {

            /* with the comma that follows */

            end = after->start;

        } else {
            start = edit->json->pos[container] + 1;
            end = after->start;
        }
    }

    return ngx_eb_json_edit_splice(edit, start, end - start, &text);
}


/* everything inserted in a run, with commas between */

static ngx_int_t
ngx_eb_json_edit_joined(ngx_eb_json_edit_t *edit, ngx_array_t *run,
    ngx_str_t *text)
{
    u_char               *p;
    size_t                len;
    ngx_str_t            *space;
    ngx_uint_t            i, k;
    ngx_eb_json_child_t  *child;

    child = run->elts;
    space = &child[0].space;
    len = 0;

    for (i = 0; i < run->nelts; i++) {
        for (k = 0; k < child[i].ninserts; k++) {
            if (ngx_eb_json_edit_add(&len, child[i].inserts[k].text.len)
                != NGX_OK
                || ngx_eb_json_edit_add(&len, 1 + space->len) != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    text->len = 0;
    text->data = NULL;

    if (len == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(edit->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;

    for (i = 0; i < run->nelts; i++) {
        for (k = 0; k < child[i].ninserts; k++) {

            if (p != text->data) {
                *p++ = ',';
                p = ngx_cpymem(p, space->data, space->len);
            }

            p = ngx_cpymem(p, child[i].inserts[k].text.data,
                           child[i].inserts[k].text.len);
        }
    }

    text->len = p - text->data;

    return NGX_OK;
}


/* ahead of a child that stays, or at the end after one that stays */

static ngx_int_t
ngx_eb_json_edit_inserts(ngx_eb_json_edit_t *edit,
    ngx_eb_json_child_t *child, ngx_eb_json_child_t *before)
{
    u_char      *p;
    size_t       len, offset;
    ngx_str_t   *space, *add, text;
    ngx_uint_t   i, first, last;

    if (child->ninserts == 0) {
        return NGX_OK;
    }

    /* first: a comma comes ahead of each; last: one follows each */

    first = (child->node == NGX_EB_JSON_NONE
             && before->node != NGX_EB_JSON_NONE);
    last = (child->node != NGX_EB_JSON_NONE);

    space = first ? &before->space : &child->space;

    len = 0;

    for (i = 0; i < child->ninserts; i++) {
        add = &child->inserts[i].text;

        if (ngx_eb_json_edit_add(&len, add->len) != NGX_OK
            || ngx_eb_json_edit_add(&len, 1 + space->len) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    p = ngx_pnalloc(edit->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text.data = p;

    for (i = 0; i < child->ninserts; i++) {
        add = &child->inserts[i].text;

        if (first || (!last && i > 0)) {
            *p++ = ',';
            p = ngx_cpymem(p, space->data, space->len);
        }

        p = ngx_cpymem(p, add->data, add->len);

        if (last) {
            *p++ = ',';
            p = ngx_cpymem(p, space->data, space->len);
        }
    }

    text.len = p - text.data;

    offset = first ? before->end : child->start;

    return ngx_eb_json_edit_splice(edit, offset, 0, &text);
}


/* one text may be inserted often: more than there are addresses */

static ngx_int_t
ngx_eb_json_edit_add(size_t *sum, size_t len)
{
    if (len > NGX_MAX_SIZE_T_VALUE - *sum) {
        return NGX_ERROR;
    }

    *sum += len;

    return NGX_OK;
}


static ngx_int_t
ngx_eb_json_edit_splice(ngx_eb_json_edit_t *edit, size_t offset, size_t len,
    ngx_str_t *text)
{
    ngx_eb_json_splice_t  *splice;

    splice = ngx_array_push(&edit->splices);
    if (splice == NULL) {
        return NGX_ERROR;
    }

    splice->offset = offset;
    splice->len = len;
    splice->text = *text;

    return NGX_OK;
}


/*
 * No two insertions have one offset: the ones of a container are at its
 * children, one for each, and a child is of one container.
 */

static int ngx_libc_cdecl
ngx_eb_json_edit_splice_cmp(const void *one, const void *two)
{
    const ngx_eb_json_splice_t  *a, *b;

    a = one;
    b = two;

    if (a->offset != b->offset) {
        return (a->offset < b->offset) ? -1 : 1;
    }

    if ((a->len == 0) != (b->len == 0)) {
        return (a->len == 0) ? -1 : 1;
    }

    return 0;
}


static ngx_int_t
ngx_eb_json_edit_copy(ngx_eb_json_edit_t *edit, ngx_str_t *text)
{
    u_char                *p;
    size_t                 len, at;
    ngx_uint_t             i, n;
    ngx_eb_json_t         *json;
    ngx_eb_json_splice_t  *splice;

    json = edit->json;
    splice = edit->splices.elts;
    n = edit->splices.nelts;

    if (n == 0) {
        text->data = json->data;
        text->len = json->len;
        return NGX_OK;
    }

    if (n > 1) {
        ngx_qsort(splice, n, sizeof(ngx_eb_json_splice_t),
                  ngx_eb_json_edit_splice_cmp);
    }

    len = json->len;
    at = 0;

    for (i = 0; i < n; i++) {

        if (splice[i].offset < at) {
            return NGX_DECLINED;
        }

        at = splice[i].offset + splice[i].len;
        len -= splice[i].len;
    }

    for (i = 0; i < n; i++) {
        if (ngx_eb_json_edit_add(&len, splice[i].text.len) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    p = ngx_pnalloc(edit->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;
    text->len = len;

    at = 0;

    for (i = 0; i < n; i++) {
        p = ngx_cpymem(p, json->data + at, splice[i].offset - at);

        if (splice[i].text.len) {
            p = ngx_cpymem(p, splice[i].text.data, splice[i].text.len);
        }

        at = splice[i].offset + splice[i].len;
    }

    ngx_memcpy(p, json->data + at, json->len - at);

    return NGX_OK;
}


ngx_int_t
ngx_eb_json_quote(ngx_pool_t *pool, ngx_str_t *value, ngx_str_t *text)
{
    size_t        size;
    u_char       *p;
    ngx_eb_out_t  out;

    /* an escape has six bytes */

    if (value->len > (NGX_MAX_SIZE_T_VALUE - 2) / 6) {
        return NGX_ERROR;
    }

    size = value->len * 6 + 2;

    p = ngx_pnalloc(pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_eb_out_init(&out, p, size);
    ngx_eb_out_string(&out, value, value->len);

    text->data = p;
    text->len = out.pos - p;

    return NGX_OK;
}
