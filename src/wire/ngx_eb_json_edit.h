
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Changes to someone else's JSON document.  Values are replaced, inserted
 * and removed in its text; every byte that is not part of a change is
 * copied: white space, spellings of numbers, equal names, order.
 */


#ifndef _NGX_EB_JSON_EDIT_H_INCLUDED_
#define _NGX_EB_JSON_EDIT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"


/* len bytes of the document from offset on become text */

typedef struct {
    size_t                    offset;
    size_t                    len;
    ngx_str_t                 text;
} ngx_eb_json_splice_t;


/*
 * The changes of one document, all told in nodes of its index.  splices is
 * what they are in bytes: set by ngx_eb_json_edit_apply(), an array of
 * ngx_eb_json_splice_t in ascending order.
 */

typedef struct {
    ngx_pool_t               *pool;
    ngx_eb_json_t            *json;
    ngx_array_t               ops;
    ngx_array_t               splices;
} ngx_eb_json_edit_t;


/*
 * A child is an element node of an array, or a key node of an object.  text
 * is one whole JSON value: it is copied into the document as it is, is not
 * checked, and stays borrowed until ngx_eb_json_edit_apply().
 *
 * All of them: NGX_OK, NGX_ERROR (no memory).
 */

ngx_int_t ngx_eb_json_edit_init(ngx_eb_json_edit_t *edit, ngx_pool_t *pool,
    ngx_eb_json_t *json);

/* the value at node (not a key: that of key k is k + 2) becomes text */
ngx_int_t ngx_eb_json_edit_replace(ngx_eb_json_edit_t *edit,
    ngx_eb_json_node_t node, ngx_str_t *text);

/*
 * A new child of the array or object at container, ahead of the child
 * before, or at the end with NGX_EB_JSON_NONE.  name is that of a member, as
 * it is before any escaping, and NULL for an element.  White space is set as
 * around its neighbor.  Several at one place stand in the order of the calls.
 */
ngx_int_t ngx_eb_json_edit_insert(ngx_eb_json_edit_t *edit,
    ngx_eb_json_node_t container, ngx_eb_json_node_t before, ngx_str_t *name,
    ngx_str_t *text);

/* takes the child and the comma that goes with it; twice is as good as once */
ngx_int_t ngx_eb_json_edit_remove(ngx_eb_json_edit_t *edit,
    ngx_eb_json_node_t container, ngx_eb_json_node_t child);

/*
 * The value of the last member called name (ngx_eb_json_member() finds the
 * same one) becomes text; without such a member, one is added at the end.
 */
ngx_int_t ngx_eb_json_edit_set(ngx_eb_json_edit_t *edit,
    ngx_eb_json_node_t object, ngx_str_t *name, ngx_str_t *text);

/*
 * The new document: one allocation from the pool, or the old bytes when there
 * is no change.  NGX_OK; NGX_DECLINED: changes contradict each other (within
 * a value that is replaced or removed, say, another one is) or name a child
 * that the container has not; NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_json_edit_apply(ngx_eb_json_edit_t *edit, ngx_str_t *text);

/* value as a JSON string with its quotes, from pool */
ngx_int_t ngx_eb_json_quote(ngx_pool_t *pool, ngx_str_t *value,
    ngx_str_t *text);


#endif /* _NGX_EB_JSON_EDIT_H_INCLUDED_ */
