
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_genesys.h"
#include "ngx_eb_genesys_patch.h"
#include "ngx_eb_genesys_list.h"


#define NGX_EB_GENESYS_MAX_ID     128
#define NGX_EB_GENESYS_MAX_QUERY  2048


static ngx_int_t ngx_eb_genesys_list_array(ngx_eb_genesys_list_t *list,
    ngx_eb_json_node_t *array);
static ngx_int_t ngx_eb_genesys_list_entity(ngx_eb_genesys_list_t *list,
    ngx_eb_json_node_t node);
static ngx_int_t ngx_eb_genesys_list_typed(ngx_eb_genesys_list_t *list,
    ngx_eb_json_node_t node);
static ngx_int_t ngx_eb_genesys_list_next(ngx_eb_genesys_list_t *list);
static ngx_int_t ngx_eb_genesys_list_query(ngx_eb_genesys_list_t *list,
    ngx_str_t *uri);
static ngx_int_t ngx_eb_genesys_list_numbered(ngx_eb_genesys_list_t *list,
    ngx_uint_t page);
static ngx_uint_t ngx_eb_genesys_unreserved(u_char ch);


ngx_int_t
ngx_eb_genesys_list_init(ngx_eb_genesys_list_t *list,
    ngx_eb_genesys_doc_t *doc, ngx_str_t *uri, ngx_str_t *name,
    ngx_str_t *type)
{
    ngx_memzero(list, sizeof(ngx_eb_genesys_list_t));

    list->doc = doc;
    list->uri = *uri;
    list->name = *name;
    list->type = *type;

    if (ngx_array_init(&list->entities, doc->pool, 16, sizeof(ngx_str_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_eb_genesys_list_numbered(list, 1);
}


ngx_int_t
ngx_eb_genesys_list_request(ngx_eb_genesys_list_t *list,
    ngx_eb_genesys_request_t *request)
{
    u_char  *p;
    size_t   len;

    len = list->uri.len + 1 + list->query.len;

    p = ngx_pnalloc(list->doc->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    request->uri.data = p;
    request->uri.len = len;

    /* a template may have a query of its own */

    p = ngx_cpymem(p, list->uri.data, list->uri.len);
    *p++ = ngx_strlchr(list->uri.data, list->uri.data + list->uri.len, '?')
           ? '&' : '?';
    ngx_memcpy(p, list->query.data, list->query.len);

    ngx_str_set(&request->method, "GET");
    request->idempotent = 1;

    return NGX_OK;
}


ngx_int_t
ngx_eb_genesys_list_page(ngx_eb_genesys_list_t *list, ngx_str_t *body)
{
    ngx_int_t             rc;
    ngx_eb_json_t        *json;
    ngx_eb_json_node_t    array, node;
    ngx_eb_json_error_t   err;

    list->pages++;
    list->size += body->len;

    if (list->size > NGX_EB_GENESYS_MAX_LIST) {
        list->error = "the list is too long";
        return NGX_DECLINED;
    }

    rc = ngx_eb_genesys_doc_read(list->doc, body, &err);

    if (rc != NGX_OK) {
        list->error = ngx_eb_json_strerror(err.code);
        return rc;
    }

    json = &list->doc->json;

    if (ngx_eb_genesys_list_array(list, &array) != NGX_OK) {
        list->error = "the reply has no array of entities";
        return NGX_DECLINED;
    }

    for (node = ngx_eb_json_first(json, array);
         node != NGX_EB_JSON_NONE;
         node = ngx_eb_json_after(json, node))
    {
        rc = ngx_eb_genesys_list_entity(list, node);

        if (rc != NGX_AGAIN) {
            return rc;
        }
    }

    /* an array alone is everything there is */

    if (array == 0) {
        return NGX_OK;
    }

    return ngx_eb_genesys_list_next(list);
}


static ngx_int_t
ngx_eb_genesys_list_array(ngx_eb_genesys_list_t *list,
    ngx_eb_json_node_t *array)
{
    ngx_uint_t           i;
    ngx_eb_json_t       *json;
    ngx_eb_json_node_t   node;

    static ngx_str_t  names[] = {
        ngx_string("entities"),
        ngx_string("subscriptions"),
        ngx_string("items")
    };

    json = &list->doc->json;
    *array = 0;

    if (ngx_eb_json_type(json, 0) == '[') {
        return NGX_OK;
    }

    if (ngx_eb_json_type(json, 0) != '{') {
        return NGX_DECLINED;
    }

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        node = ngx_eb_json_member(json, 0, &names[i]);

        if (node != NGX_EB_JSON_NONE && ngx_eb_json_type(json, node) == '[') {
            *array = node;
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


/* NGX_AGAIN: look on; NGX_OK: found; NGX_DECLINED, NGX_ERROR */

static ngx_int_t
ngx_eb_genesys_list_entity(ngx_eb_genesys_list_t *list,
    ngx_eb_json_node_t node)
{
    ngx_int_t   rc;
    ngx_str_t  *entity, name, id;

    /* what is no object has no name, and is nothing of ours */

    if (ngx_eb_json_type(&list->doc->json, node) != '{') {
        return NGX_AGAIN;
    }

    rc = ngx_eb_genesys_list_typed(list, node);

    if (rc != NGX_OK) {
        return (rc == NGX_DECLINED) ? NGX_AGAIN : NGX_ERROR;
    }

    if (list->name.len == 0) {

        if (list->entities.nelts == NGX_EB_GENESYS_MAX_ENTITIES) {
            list->error = "the list is too long";
            return NGX_DECLINED;
        }

        entity = ngx_array_push(&list->entities);
        if (entity == NULL) {
            return NGX_ERROR;
        }

        ngx_eb_json_raw(&list->doc->json, node, entity);

        return NGX_AGAIN;
    }

    rc = ngx_eb_genesys_doc_string(list->doc, node, "name", &name);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (name.len != list->name.len
        || ngx_memcmp(name.data, list->name.data, name.len) != 0)
    {
        return NGX_AGAIN;
    }

    rc = ngx_eb_genesys_doc_string(list->doc, node, "id", &id);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (!ngx_eb_genesys_is_id(&id)) {
        list->error = "what has the name has no usable id";
        return NGX_DECLINED;
    }

    list->id = id;
    ngx_eb_json_raw(&list->doc->json, node, &list->entity);

    return NGX_OK;
}


static ngx_int_t
ngx_eb_genesys_list_typed(ngx_eb_genesys_list_t *list,
    ngx_eb_json_node_t node)
{
    ngx_int_t  rc;
    ngx_str_t  id;

    static ngx_str_t  type = ngx_string("integrationType");

    if (list->type.len == 0) {
        return NGX_OK;
    }

    node = ngx_eb_json_member(&list->doc->json, node, &type);

    if (node == NGX_EB_JSON_NONE) {
        return NGX_DECLINED;
    }

    rc = ngx_eb_genesys_doc_string(list->doc, node, "id", &id);

    if (rc != NGX_OK) {
        return rc;
    }

    return (id.len == list->type.len
            && ngx_memcmp(id.data, list->type.data, id.len) == 0)
           ? NGX_OK : NGX_DECLINED;
}


/* where the page says that the next one is */

static ngx_int_t
ngx_eb_genesys_list_next(ngx_eb_genesys_list_t *list)
{
    int64_t    page, count;
    ngx_int_t  rc;
    ngx_str_t  uri;

    rc = ngx_eb_genesys_doc_string(list->doc, 0, "nextUri", &uri);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_OK && uri.len) {
        rc = ngx_eb_genesys_list_query(list, &uri);

    } else {

        if (ngx_eb_genesys_doc_integer(list->doc, 0, "pageNumber", &page)
            != NGX_OK
            || ngx_eb_genesys_doc_integer(list->doc, 0, "pageCount", &count)
               != NGX_OK
            || page >= count)
        {
            return NGX_OK;
        }

        /* whatever the page says that it is, the next one is the next */

        rc = ngx_eb_genesys_list_numbered(list, list->pages + 1);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    if (list->pages == NGX_EB_GENESYS_MAX_PAGES) {
        list->error = "the list has too many pages";
        return NGX_DECLINED;
    }

    return NGX_AGAIN;
}


/*
 * Of nextUri only the query is taken: whoever wrote it does not choose what
 * host and what path our token is sent to, and a gateway may have another
 * path than the API knows of.
 */

static ngx_int_t
ngx_eb_genesys_list_query(ngx_eb_genesys_list_t *list, ngx_str_t *uri)
{
    u_char     *p, *last;
    ngx_str_t   query;

    last = uri->data + uri->len;
    p = ngx_strlchr(uri->data, last, '?');

    if (p == NULL || ++p == last || last - p > NGX_EB_GENESYS_MAX_QUERY) {
        list->error = "nextUri has no usable query";
        return NGX_DECLINED;
    }

    query.data = p;
    query.len = (size_t) (last - p);

    for ( /* void */ ; p < last; p++) {

        if (*p <= ' ' || *p >= 0x7f || *p == '#' || *p == '"' || *p == '\\') {
            list->error = "nextUri has no usable query";
            return NGX_DECLINED;
        }
    }

    if (query.len == list->query.len
        && ngx_memcmp(query.data, list->query.data, query.len) == 0)
    {
        list->error = "nextUri leads to the same page again";
        return NGX_DECLINED;
    }

    list->query = query;

    return NGX_OK;
}


static ngx_int_t
ngx_eb_genesys_list_numbered(ngx_eb_genesys_list_t *list, ngx_uint_t page)
{
    u_char  *p;
    size_t   len;

    len = sizeof("pageSize=&pageNumber=&integrationType=") - 1
          + 2 * NGX_INT_T_LEN + list->type.len;

    p = ngx_pnalloc(list->doc->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    list->query.data = p;

    p = ngx_sprintf(p, "pageSize=%d&pageNumber=%ui",
                    NGX_EB_GENESYS_PAGE_SIZE, page);

    if (list->type.len) {
        p = ngx_sprintf(p, "&integrationType=%V", &list->type);
    }

    list->query.len = (size_t) (p - list->query.data);

    return NGX_OK;
}


ngx_int_t
ngx_eb_genesys_list_write(ngx_eb_genesys_list_t *list, ngx_str_t *text)
{
    u_char      *p;
    size_t       len;
    ngx_str_t   *entity;
    ngx_uint_t   i;

    entity = list->entities.elts;
    len = sizeof("{\"entities\":[],\"total\":}") - 1 + NGX_INT_T_LEN;

    for (i = 0; i < list->entities.nelts; i++) {
        len += entity[i].len + 1;
    }

    p = ngx_pnalloc(list->doc->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;
    p = ngx_cpymem(p, "{\"entities\":[", sizeof("{\"entities\":[") - 1);

    for (i = 0; i < list->entities.nelts; i++) {

        if (i) {
            *p++ = ',';
        }

        p = ngx_cpymem(p, entity[i].data, entity[i].len);
    }

    p = ngx_sprintf(p, "],\"total\":%ui}", list->entities.nelts);
    text->len = (size_t) (p - text->data);

    return NGX_OK;
}


ngx_uint_t
ngx_eb_genesys_is_id(ngx_str_t *id)
{
    size_t  i;

    if (id->len == 0 || id->len > NGX_EB_GENESYS_MAX_ID) {
        return 0;
    }

    for (i = 0; i < id->len; i++) {

        if (!ngx_eb_genesys_unreserved(id->data[i])) {
            return 0;
        }
    }

    /* as a segment of a path these lead elsewhere */

    return !(id->data[0] == '.'
             && (id->len == 1 || (id->len == 2 && id->data[1] == '.')));
}


static ngx_uint_t
ngx_eb_genesys_unreserved(u_char ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
           || (ch >= '0' && ch <= '9')
           || ch == '-' || ch == '.' || ch == '_' || ch == '~';
}


ngx_int_t
ngx_eb_genesys_path(ngx_pool_t *pool, ngx_str_t *template, ngx_str_t *id,
    ngx_str_t *path)
{
    u_char      *p, *src, *last;
    size_t       n, i;
    ngx_uint_t   used;

    static const u_char  hex[] = "0123456789ABCDEF";

    n = id ? 3 * id->len : 0;

    /* nothing in braces is shorter than {id}, which leaves that much each */

    p = ngx_pnalloc(pool, template->len + n * (template->len / 4 + 1));
    if (p == NULL) {
        return NGX_ERROR;
    }

    path->data = p;

    src = template->data;
    last = src + template->len;

    while (src < last) {
        used = 0;

        if (*src == '{') {

            if (last - src >= 4 && ngx_memcmp(src, "{id}", 4) == 0) {
                used = 4;

            } else if (last - src >= 13
                       && ngx_memcmp(src, "{integration}", 13) == 0)
            {
                used = 13;
            }
        }

        if (used == 0) {
            *p++ = *src++;
            continue;
        }

        src += used;

        for (i = 0; id && i < id->len; i++) {

            if (ngx_eb_genesys_unreserved(id->data[i])) {
                *p++ = id->data[i];
                continue;
            }

            *p++ = '%';
            *p++ = hex[id->data[i] >> 4];
            *p++ = hex[id->data[i] & 0xf];
        }
    }

    path->len = (size_t) (p - path->data);

    return NGX_OK;
}
