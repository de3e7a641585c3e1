
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What makes an event the same event.
 */


#include "ngx_http_eventbridge_module.h"


/* pointers of one key */
#define NGX_HTTP_EVENTBRIDGE_MAX_PATHS  8


static ngx_int_t ngx_http_eventbridge_key_join(
    ngx_http_eventbridge_job_t *job, ngx_eb_json_t *json, ngx_uint_t i);
static ngx_int_t ngx_http_eventbridge_key_value(ngx_eb_json_t *json,
    ngx_eb_json_node_t node, ngx_pool_t *pool, ngx_str_t *value);


/* key=path:POINTER, which may be there several times */

char *
ngx_http_eventbridge_key_path(ngx_conf_t *cf,
    ngx_http_eventbridge_loc_conf_t *elcf, ngx_str_t *parameter)
{
    ngx_int_t     rc;
    ngx_str_t    *value, text;
    ngx_uint_t    i;
    ngx_array_t  *path;

    value = cf->args->elts;

    for (i = 2; &value[i] != parameter; i++) {

        if (value[i].len == parameter->len
            && ngx_strncmp(value[i].data, parameter->data, parameter->len)
               == 0)
        {
            return ngx_http_eventbridge_refuse(cf, parameter,
                                               "the parameter is given twice");
        }
    }

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_http_eventbridge_takes(&value[i], "key=", &text)
            && !ngx_http_eventbridge_takes(&value[i], "key=path:", &text))
        {
            return ngx_http_eventbridge_refuse(cf, parameter,
                                               "another \"key\" is given "
                                               "beside it");
        }
    }

    if (elcf->key_paths == NULL) {
        elcf->key_paths = ngx_array_create(cf->pool, 1, sizeof(ngx_array_t));
        if (elcf->key_paths == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    if (elcf->key_paths->nelts == NGX_HTTP_EVENTBRIDGE_MAX_PATHS) {
        return ngx_http_eventbridge_refuse(cf, parameter,
                                           "more than 8 pointers");
    }

    path = ngx_array_push(elcf->key_paths);
    if (path == NULL) {
        return NGX_CONF_ERROR;
    }

    text.data = parameter->data + sizeof("key=path:") - 1;
    text.len = parameter->len - (sizeof("key=path:") - 1);

    rc = ngx_eb_json_pointer_parse(cf->pool, &text, path);

    if (rc == NGX_ERROR) {
        return NGX_CONF_ERROR;
    }

    if (rc == NGX_DECLINED || path->nelts == 0) {
        return ngx_http_eventbridge_refuse(cf, parameter,
                                           "a JSON pointer such as /detail/id "
                                           "is expected");
    }

    elcf->key = NGX_HTTP_EVENTBRIDGE_KEY_PATH;

    return NGX_CONF_OK;
}


/*
 * Servers of one name, or without one, may have locations of one name.  To the
 * checkpoint they are one door then: what one has delivered, the other does
 * not deliver.  And what one has in the dead letter may be replayed by the
 * other.
 */

void
ngx_http_eventbridge_key_warn(ngx_conf_t *cf,
    ngx_http_eventbridge_main_conf_t *emcf)
{
    ngx_uint_t                        i, j;
    const char                       *why;
    ngx_http_eventbridge_place_t     *places;
    ngx_http_eventbridge_ingest_t    *one, *two;
    ngx_http_eventbridge_loc_conf_t  *a, *b;

    places = emcf->places.elts;

    for (i = 1; i < emcf->places.nelts; i++) {
        b = places[i].conf;
        two = b->ingest;

        for (j = 0; j < i; j++) {
            a = places[j].conf;
            one = a->ingest;

            if (!ngx_http_eventbridge_same(&one->name, &two->name)
                || !ngx_http_eventbridge_same(&one->server, &two->server))
            {
                continue;
            }

            if (a->zone && a->zone == b->zone
                && a->scope == NULL && b->scope == NULL)
            {
                why = "what one has delivered is a duplicate for the other; "
                      "give them \"scope=\" of \"eventbridge_checkpoint\", or "
                      "\"server_name\"";

            } else if (a->dead_letter && a->dead_letter == b->dead_letter) {
                why = "dead letters of one may be replayed by the other; give "
                      "them \"server_name\", or files of their own";

            } else {
                continue;
            }

            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "ingest location \"%V\" of server \"%V\" has the "
                          "names of another one in %s:%ui: %s in %s:%ui",
                          &two->name, &two->server, places[j].file,
                          places[j].line, why, places[i].file,
                          places[i].line);
            break;
        }
    }
}


ngx_int_t
ngx_http_eventbridge_key_scope(ngx_http_eventbridge_job_t *job)
{
    ngx_str_t  scope;

    job->scope = job->ingest->scope;

    if (job->conf->scope == NULL) {
        return NGX_OK;
    }

    /* it is in the client's memory */

    if (ngx_http_complex_value(job->client->request, job->conf->scope, &scope)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_eventbridge_copy(job->pool, &job->scope, &scope);
}


ngx_int_t
ngx_http_eventbridge_key_ids(ngx_http_eventbridge_job_t *job,
    ngx_eb_json_t *json)
{
    ngx_uint_t       i;
    ngx_eb_event_t  *event;

    if (job->conf->key == NGX_HTTP_EVENTBRIDGE_KEY_PATH) {

        job->ids = ngx_pcalloc(job->pool,
                               job->batch.nevents * sizeof(ngx_str_t));
        if (job->ids == NULL) {
            return NGX_ERROR;
        }

        for (i = 0; i < job->batch.nevents; i++) {
            if (job->batch.events[i].invalid == NULL
                && ngx_http_eventbridge_key_join(job, json, i) != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    if (job->conf->no_id != NGX_HTTP_EVENTBRIDGE_NO_ID_REJECT) {
        return NGX_OK;
    }

    for (i = 0; i < job->batch.nevents; i++) {
        event = &job->batch.events[i];

        if (event->invalid == NULL
            && ngx_http_eventbridge_key_id(job, i)->len == 0)
        {
            event->invalid = "no id";
        }
    }

    return NGX_OK;
}


/* several values are length-prefixed, so that no two lists run together */

static ngx_int_t
ngx_http_eventbridge_key_join(ngx_http_eventbridge_job_t *job,
    ngx_eb_json_t *json, ngx_uint_t i)
{
    u_char              *p;
    size_t               len;
    uint32_t             size;
    ngx_str_t            values[NGX_HTTP_EVENTBRIDGE_MAX_PATHS];
    ngx_uint_t           n, npaths;
    ngx_array_t         *paths;
    ngx_eb_json_node_t   node;

    paths = job->conf->key_paths->elts;
    npaths = job->conf->key_paths->nelts;
    len = 0;

    for (n = 0; n < npaths; n++) {
        node = ngx_eb_json_pointer(json, job->batch.events[i].root, &paths[n]);

        if (ngx_http_eventbridge_key_value(json, node, job->pool, &values[n])
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        /* one that is missing is the whole key */

        if (values[n].len == 0) {
            return NGX_OK;
        }

        len += sizeof(uint32_t) + values[n].len;
    }

    if (npaths == 1) {
        job->ids[i] = values[0];
        return NGX_OK;
    }

    p = ngx_pnalloc(job->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    job->ids[i].data = p;
    job->ids[i].len = len;

    for (n = 0; n < npaths; n++) {
        size = (uint32_t) values[n].len;

        p = ngx_cpymem(p, &size, sizeof(uint32_t));
        p = ngx_cpymem(p, values[n].data, size);
    }

    return NGX_OK;
}


/* as an id: a string by what it stands for, all else by its text */

static ngx_int_t
ngx_http_eventbridge_key_value(ngx_eb_json_t *json, ngx_eb_json_node_t node,
    ngx_pool_t *pool, ngx_str_t *value)
{
    ngx_str_null(value);

    if (node == NGX_EB_JSON_NONE) {
        return NGX_OK;
    }

    switch (ngx_eb_json_type(json, node)) {

    case '"':
        return ngx_eb_json_string(json, node, pool, value);

    case 'n':
        return NGX_OK;

    default:
        ngx_eb_json_raw(json, node, value);
        return NGX_OK;
    }
}
