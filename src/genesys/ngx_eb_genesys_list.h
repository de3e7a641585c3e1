
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * A list of things at the API, page by page: all of them, or the first one
 * of a name.
 */


#ifndef _NGX_EB_GENESYS_LIST_H_INCLUDED_
#define _NGX_EB_GENESYS_LIST_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_genesys.h"
#include "ngx_eb_genesys_patch.h"


#define NGX_EB_GENESYS_PAGE_SIZE   100
#define NGX_EB_GENESYS_MAX_PAGES   100

/* bytes of all pages, and things on them */
#define NGX_EB_GENESYS_MAX_LIST    (16 * 1024 * 1024)
#define NGX_EB_GENESYS_MAX_ENTITIES                                          \
    (NGX_EB_GENESYS_PAGE_SIZE * NGX_EB_GENESYS_MAX_PAGES)


typedef struct {
    /* set by ngx_eb_genesys_list_init() */
    ngx_eb_genesys_doc_t     *doc;
    ngx_str_t                 uri;
    ngx_str_t                 name;
    ngx_str_t                 type;

    ngx_str_t                 query;        /* of the next page */
    ngx_uint_t                pages;        /* read */
    size_t                    size;         /* of them */

    ngx_array_t               entities;     /* ngx_str_t: objects, as bytes of
                                               the replies */

    /* the one of the name: entity.len = 0 while it is not found */
    ngx_str_t                 entity;
    ngx_str_t                 id;

    const char               *error;        /* why a reply was declined */
} ngx_eb_genesys_list_t;


/*
 * Of the things at uri, those whose integrationType.id is type, or all when
 * type is empty; until the first one called name, unless that is empty.  The
 * strings are borrowed.  NGX_OK, NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_genesys_list_init(ngx_eb_genesys_list_t *list,
    ngx_eb_genesys_doc_t *doc, ngx_str_t *uri, ngx_str_t *name,
    ngx_str_t *type);

/* the next page.  NGX_OK, NGX_ERROR: no memory */
ngx_int_t ngx_eb_genesys_list_request(ngx_eb_genesys_list_t *list,
    ngx_eb_genesys_request_t *request);

/*
 * A page, which a 2xx reply brought and the list borrows.  NGX_AGAIN: there
 * are more; NGX_OK: it is over; NGX_DECLINED: it cannot be understood, see
 * error; NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_genesys_list_page(ngx_eb_genesys_list_t *list,
    ngx_str_t *body);

/* {"entities":[...],"total":N}.  NGX_OK, NGX_ERROR: no memory */
ngx_int_t ngx_eb_genesys_list_write(ngx_eb_genesys_list_t *list,
    ngx_str_t *text);


/* 1 to 128 of the unreserved characters of RFC 3986, and not "." or ".." */
ngx_uint_t ngx_eb_genesys_is_id(ngx_str_t *id);

/*
 * The template with {id} or {integration} replaced, percent-encoded; id may
 * be NULL.  NGX_OK, NGX_ERROR: no memory.
 */
ngx_int_t ngx_eb_genesys_path(ngx_pool_t *pool, ngx_str_t *template,
    ngx_str_t *id, ngx_str_t *path);


#endif /* _NGX_EB_GENESYS_LIST_H_INCLUDED_ */
