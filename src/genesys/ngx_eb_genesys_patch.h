
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Members that a document of the API must have.  They are written as a
 * document of our own, or set in one of the API's, where a member that says
 * the same already keeps its spelling, and everything else its bytes.
 */


#ifndef _NGX_EB_GENESYS_PATCH_H_INCLUDED_
#define _NGX_EB_GENESYS_PATCH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"


/* nested deeper, nothing is read */
#define NGX_EB_GENESYS_MAX_DEPTH  64


/* a reader of JSON texts: one text at a time, gone with the pool */

typedef struct {
    ngx_pool_t               *pool;
    ngx_eb_json_parser_t     *parser;
    ngx_eb_json_t             json;         /* of the last text */
} ngx_eb_genesys_doc_t;


typedef struct ngx_eb_genesys_member_s  ngx_eb_genesys_member_t;

struct ngx_eb_genesys_member_s {
    ngx_str_t                 name;         /* nothing to be escaped in it */
    ngx_str_t                 text;         /* JSON: a scalar, or an array of
                                               them */
    ngx_eb_genesys_member_t  *child;        /* or an object with these */
    ngx_eb_genesys_member_t  *next;
    unsigned                  set:1;        /* the array has no order */
    unsigned                  duration:1;   /* as many days are the same */
    unsigned                  whole:1;      /* the text is any JSON, and all
                                               there is to be */
    unsigned                  missing:1;    /* any value is as good, and none
                                               is no reason to write */
};


/* NULL: no memory */
ngx_eb_genesys_doc_t *ngx_eb_genesys_doc_create(ngx_pool_t *pool);

/*
 * NGX_OK: doc->json is the index of text, which stays borrowed; NGX_DECLINED:
 * it is not JSON; NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_genesys_doc_read(ngx_eb_genesys_doc_t *doc, ngx_str_t *text,
    ngx_eb_json_error_t *err);

/* the same, and the text is an object */
ngx_int_t ngx_eb_genesys_doc_object(ngx_eb_genesys_doc_t *doc,
    ngx_str_t *text);

/*
 * The string called name of the object at node, from doc's pool.  NGX_OK;
 * NGX_DECLINED: there is none; NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_genesys_doc_string(ngx_eb_genesys_doc_t *doc,
    ngx_eb_json_node_t node, const char *name, ngx_str_t *value);

/* the same of a number that is whole, see below.  NGX_OK, NGX_DECLINED */
ngx_int_t ngx_eb_genesys_doc_integer(ngx_eb_genesys_doc_t *doc,
    ngx_eb_json_node_t node, const char *name, int64_t *value);

/* is that the version of the object?  one below 0 is any version */
ngx_uint_t ngx_eb_genesys_doc_version(ngx_eb_genesys_doc_t *doc,
    int64_t version);

/*
 * The value of a number that is a whole one from 0 to 10^15, however it is
 * spelled.  NGX_OK, NGX_DECLINED.
 */
ngx_int_t ngx_eb_genesys_integer(ngx_str_t *raw, int64_t *value);

/* a number, however it is spelled, less n: its sign; n is 0 to 10^15 */
ngx_int_t ngx_eb_genesys_number_cmp(ngx_str_t *raw, int64_t n);


/*
 * Appends a member to the list at *first.  name and text are borrowed, text
 * may be NULL.  NULL: no memory.
 */
ngx_eb_genesys_member_t *ngx_eb_genesys_member(ngx_pool_t *pool,
    ngx_eb_genesys_member_t **first, const char *name, ngx_str_t *text);

/* the same with a string, a number, an array of strings */
ngx_eb_genesys_member_t *ngx_eb_genesys_member_string(ngx_pool_t *pool,
    ngx_eb_genesys_member_t **first, const char *name, ngx_str_t *value);
ngx_eb_genesys_member_t *ngx_eb_genesys_member_number(ngx_pool_t *pool,
    ngx_eb_genesys_member_t **first, const char *name, ngx_uint_t value);
ngx_eb_genesys_member_t *ngx_eb_genesys_member_strings(ngx_pool_t *pool,
    ngx_eb_genesys_member_t **first, const char *name, ngx_array_t *values);

/* JSON texts as an array.  NGX_OK, NGX_ERROR */
ngx_int_t ngx_eb_genesys_array_write(ngx_pool_t *pool, ngx_str_t *texts,
    ngx_uint_t n, ngx_str_t *array);

/* the members as a document.  NGX_OK, NGX_ERROR */
ngx_int_t ngx_eb_genesys_members_write(ngx_pool_t *pool,
    ngx_eb_genesys_member_t *first, ngx_str_t *text);

/*
 * Sets the members in the object text; *out is the new text, or text itself
 * if it has them all: *differs then is empty, and else names one which it has
 * not.  ours reads the members, theirs the text.  NGX_OK; NGX_DECLINED: text
 * is no object; NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_genesys_patch(ngx_eb_genesys_doc_t *ours,
    ngx_eb_genesys_doc_t *theirs, ngx_eb_genesys_member_t *first,
    ngx_str_t *text, ngx_str_t *out, ngx_str_t *differs);


#endif /* _NGX_EB_GENESYS_PATCH_H_INCLUDED_ */
