
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
    ngx_http_eventbridge_job_t *job);
static void ngx_http_eventbridge_make_id(ngx_http_eventbridge_worker_t *w,
    u_char *p);


/* the client of what the worker sends by itself */

static struct sockaddr_in  ngx_http_eventbridge_self;


/* what the delivery shows of the client, which may be gone by then */

ngx_int_t
ngx_http_eventbridge_job_facts(ngx_http_eventbridge_job_t *job,
    ngx_http_request_t *r)
{
    ngx_str_t                    s;
    ngx_connection_t            *c;
    ngx_http_variable_value_t   *v;
    ngx_http_eventbridge_ctx_t  *ctx;

    if (r == NULL) {
        return ngx_http_eventbridge_own_facts(job);
    }

    c = r->connection;
    ctx = ngx_http_get_module_ctx(r, ngx_http_eventbridge_module);

    if (ngx_http_eventbridge_request_id(r, job) != NGX_OK
        || ngx_http_eventbridge_headers_copy(r, job) != NGX_OK)
    {
        return NGX_ERROR;
    }

    v = ngx_http_get_indexed_variable(r, job->emcf->scheme_index);
    if (v == NULL || v->not_found) {
        return NGX_ERROR;
    }

    s.data = v->data;
    s.len = v->len;

    job->sockaddr = ngx_palloc(job->pool, c->socklen);
    if (job->sockaddr == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(job->sockaddr, c->sockaddr, c->socklen);
    job->socklen = c->socklen;

    if (ngx_http_eventbridge_copy(job->pool, &job->scheme, &s) != NGX_OK
        || ngx_http_eventbridge_copy(job->pool, &job->addr_text, &c->addr_text)
           != NGX_OK
        || ngx_http_eventbridge_copy(job->pool, &job->server,
                                     &r->headers_in.server)
           != NGX_OK
        || ngx_http_eventbridge_copy(job->pool, &job->request_line,
                                     &r->request_line)
           != NGX_OK
        || ngx_http_eventbridge_copy(job->pool, &job->unparsed_uri,
                                     &r->unparsed_uri)
           != NGX_OK
        || (ctx
            && ngx_http_eventbridge_copy(job->pool, &job->sender,
                                         &ctx->sender)
               != NGX_OK))
    {
        return NGX_ERROR;
    }

    if (r->headers_in.host) {
        return ngx_http_eventbridge_copy(job->pool, &job->host,
                                         &r->headers_in.host->value);
    }

    return NGX_OK;
}


/* of what the worker sends by itself: nothing here is of a request */

static ngx_int_t
ngx_http_eventbridge_own_facts(ngx_http_eventbridge_job_t *job)
{
    u_char  *p;

    p = ngx_pnalloc(job->pool, NGX_HTTP_EVENTBRIDGE_ID);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_http_eventbridge_make_id(job->emcf->worker, p);

    job->request_id.data = p;
    job->request_id.len = NGX_HTTP_EVENTBRIDGE_ID;

    job->sockaddr = (struct sockaddr *) &ngx_http_eventbridge_self;
    job->socklen = sizeof(struct sockaddr_in);

    ngx_http_eventbridge_self.sin_family = AF_INET;
    ngx_http_eventbridge_self.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    ngx_str_set(&job->addr_text, "127.0.0.1");
    ngx_str_set(&job->scheme, "http");
    ngx_str_set(&job->request_line, "POST / HTTP/1.1");

    job->server = job->ingest->server;
    job->host = job->ingest->server;
    job->unparsed_uri = job->ingest->name;

    return NGX_OK;
}


/* $request_id of the client, the same in its access log */

static ngx_int_t
ngx_http_eventbridge_request_id(ngx_http_request_t *r,
    ngx_http_eventbridge_job_t *job)
{
    u_char                     *p;
    ngx_str_t                   id;
    ngx_http_variable_value_t  *v;

    v = &r->variables[job->emcf->request_id_index];

    if (!v->valid) {
        p = ngx_pnalloc(r->pool, NGX_HTTP_EVENTBRIDGE_ID);
        if (p == NULL) {
            return NGX_ERROR;
        }

        ngx_http_eventbridge_make_id(job->emcf->worker, p);

        v->data = p;
        v->len = NGX_HTTP_EVENTBRIDGE_ID;
        v->valid = 1;
        v->no_cacheable = 0;
        v->not_found = 0;
    }

    id.data = v->data;
    id.len = v->len;

    return ngx_http_eventbridge_copy(job->pool, &job->request_id, &id);
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
