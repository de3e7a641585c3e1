
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What a delivery shows of whoever caused it: its request id, its client.
 */


#include "ngx_http_eventbridge_module.h"


/* bytes of a request id */
#define NGX_HTTP_EVENTBRIDGE_ID  32


static ngx_int_t ngx_http_eventbridge_own_facts(
    ngx_http_eventbridge_job_t *job);
static ngx_int_t ngx_http_eventbridge_request_id(ngx_http_request_t *r,
    ngx_http_eventbridge_main_conf_t *emcf, ngx_str_t *id);
static void ngx_http_eventbridge_make_id(ngx_http_eventbridge_worker_t *w,
    u_char *p);


/* the client of what the worker sends by itself */

static struct sockaddr_in  ngx_http_eventbridge_self;


ngx_int_t
ngx_http_eventbridge_job_facts(ngx_http_eventbridge_job_t *job,
    ngx_http_request_t *r)
{
    ngx_http_eventbridge_ctx_t  *ctx;

    if (r == NULL) {
        return ngx_http_eventbridge_own_facts(job);
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_eventbridge_module);

    if (ngx_http_eventbridge_facts(&job->facts, job->pool, job->emcf, r)
        != NGX_OK
        || ngx_http_eventbridge_headers_copy(r, job) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ctx ? ngx_http_eventbridge_copy(job->pool, &job->sender,
                                           &ctx->sender)
               : NGX_OK;
}


/* the client may be gone when they are shown */

ngx_int_t
ngx_http_eventbridge_facts(ngx_http_eventbridge_facts_t *facts,
    ngx_pool_t *pool, ngx_http_eventbridge_main_conf_t *emcf,
    ngx_http_request_t *r)
{
    ngx_str_t                   id, scheme;
    ngx_connection_t           *c;
    ngx_http_variable_value_t  *v;

    c = r->connection;

    v = ngx_http_get_indexed_variable(r, emcf->scheme_index);
    if (v == NULL || v->not_found) {
        return NGX_ERROR;
    }

    scheme.data = v->data;
    scheme.len = v->len;

    facts->sockaddr = ngx_palloc(pool, c->socklen);
    if (facts->sockaddr == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(facts->sockaddr, c->sockaddr, c->socklen);
    facts->socklen = c->socklen;

    if (ngx_http_eventbridge_request_id(r, emcf, &id) != NGX_OK
        || ngx_http_eventbridge_copy(pool, &facts->request_id, &id) != NGX_OK
        || ngx_http_eventbridge_copy(pool, &facts->scheme, &scheme) != NGX_OK
        || ngx_http_eventbridge_copy(pool, &facts->addr_text, &c->addr_text)
           != NGX_OK
        || ngx_http_eventbridge_copy(pool, &facts->server,
                                     &r->headers_in.server)
           != NGX_OK
        || ngx_http_eventbridge_copy(pool, &facts->request_line,
                                     &r->request_line)
           != NGX_OK
        || ngx_http_eventbridge_copy(pool, &facts->unparsed_uri,
                                     &r->unparsed_uri)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (r->headers_in.host) {
        return ngx_http_eventbridge_copy(pool, &facts->host,
                                         &r->headers_in.host->value);
    }

    return NGX_OK;
}


/* of what the worker sends by itself: nothing here is of a request */

static ngx_int_t
ngx_http_eventbridge_own_facts(ngx_http_eventbridge_job_t *job)
{
    u_char                        *p;
    ngx_http_eventbridge_facts_t  *facts;

    facts = &job->facts;

    p = ngx_pnalloc(job->pool, NGX_HTTP_EVENTBRIDGE_ID);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_http_eventbridge_make_id(job->emcf->worker, p);

    facts->request_id.data = p;
    facts->request_id.len = NGX_HTTP_EVENTBRIDGE_ID;

    facts->sockaddr = (struct sockaddr *) &ngx_http_eventbridge_self;
    facts->socklen = sizeof(struct sockaddr_in);

    ngx_http_eventbridge_self.sin_family = AF_INET;
    ngx_http_eventbridge_self.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    ngx_str_set(&facts->addr_text, "127.0.0.1");
    ngx_str_set(&facts->scheme, "http");
    ngx_str_set(&facts->request_line, "POST / HTTP/1.1");

    facts->server = job->ingest->server;
    facts->host = job->ingest->server;
    facts->unparsed_uri = job->ingest->name;

    return NGX_OK;
}


/* $request_id of the client, the same in its access log */

static ngx_int_t
ngx_http_eventbridge_request_id(ngx_http_request_t *r,
    ngx_http_eventbridge_main_conf_t *emcf, ngx_str_t *id)
{
    u_char                     *p;
    ngx_http_variable_value_t  *v;

    v = &r->variables[emcf->request_id_index];

    if (!v->valid) {
        p = ngx_pnalloc(r->pool, NGX_HTTP_EVENTBRIDGE_ID);
        if (p == NULL) {
            return NGX_ERROR;
        }

        ngx_http_eventbridge_make_id(emcf->worker, p);

        v->data = p;
        v->len = NGX_HTTP_EVENTBRIDGE_ID;
        v->valid = 1;
        v->no_cacheable = 0;
        v->not_found = 0;
    }

    id->data = v->data;
    id->len = v->len;

    return NGX_OK;
}


/*
 * nginx takes $request_id from the system's generator, which costs a tenth of
 * a small request; it has to be unique, not secret: a random start and a
 * counter, mixed by the steps of SplitMix64 (Steele, Lea, Flood 2014), which
 * map different to different.
 */

static void
ngx_http_eventbridge_make_id(ngx_http_eventbridge_worker_t *w, u_char *p)
{
    uint64_t    z;
    ngx_uint_t  i;

    w->id_count++;

    for (i = 0; i < 2; i++) {
        z = w->id_seed[i] + w->id_count * UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        z ^= z >> 31;

        p = ngx_hex_dump(p, (u_char *) &z, sizeof(z));
    }
}


ngx_int_t
ngx_http_eventbridge_copy(ngx_pool_t *pool, ngx_str_t *to, ngx_str_t *from)
{
    if (from->len == 0) {
        ngx_str_null(to);
        return NGX_OK;
    }

    to->data = ngx_pstrdup(pool, from);
    to->len = from->len;

    return to->data ? NGX_OK : NGX_ERROR;
}
