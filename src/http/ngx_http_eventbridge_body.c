
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The body that a destination gets.
 */


#include "ngx_http_eventbridge_module.h"


/* from so many slices on one copy is cheaper than their buffers and iovecs */
#define NGX_HTTP_EVENTBRIDGE_MAX_SLICES     16


static ngx_int_t ngx_http_eventbridge_body_whole(ngx_http_request_t *sr,
    ngx_str_t *s, off_t *len);
static ngx_int_t ngx_http_eventbridge_slice(ngx_pool_t *pool,
    ngx_chain_t ***ll, ngx_str_t *s);


static ngx_str_t  ngx_http_eventbridge_comma = ngx_string(",");

/* by FORWARD_* */

static ngx_str_t  ngx_http_eventbridge_forms[] = {
    ngx_string("same"),
    ngx_string("events"),
    ngx_string("array"),
    ngx_string("single"),
    ngx_string("cloudevents"),
    ngx_string("cloudevents_structured"),
    ngx_string("cloudevents_binary")
};


/* by the shape of what came in */

static ngx_uint_t  ngx_http_eventbridge_same_form[] = {
    NGX_HTTP_EVENTBRIDGE_FORWARD_SINGLE,
    NGX_HTTP_EVENTBRIDGE_FORWARD_ARRAY,
    NGX_HTTP_EVENTBRIDGE_FORWARD_EVENTS,
    NGX_HTTP_EVENTBRIDGE_FORWARD_CE_STRUCTURED,
    NGX_HTTP_EVENTBRIDGE_FORWARD_CE_BATCH,
    NGX_HTTP_EVENTBRIDGE_FORWARD_CE_BINARY
};


ngx_uint_t
ngx_http_eventbridge_form(ngx_http_eventbridge_loc_conf_t *conf,
    ngx_uint_t shape)
{
    if (conf->forward_as != NGX_HTTP_EVENTBRIDGE_FORWARD_SAME) {
        return conf->forward_as;
    }

    return ngx_http_eventbridge_same_form[shape];
}


ngx_str_t *
ngx_http_eventbridge_form_name(ngx_uint_t form)
{
    return &ngx_http_eventbridge_forms[form];
}


/*
 * The body: slices of the received bytes inside a container of the wanted
 * kind.  Neighbors in the batch are one slice, with what stands between them.
 */

ngx_int_t
ngx_http_eventbridge_send_body(ngx_http_eventbridge_send_t *send,
    ngx_http_request_t *sr, off_t *len)
{
    u_char                      *p, *end;
    size_t                       total;
    ngx_int_t                    rc;
    ngx_str_t                    s, before, after;
    ngx_uint_t                   i, n, kind, shape, first, pass;
    ngx_chain_t                **ll;
    ngx_eb_event_t              *events;
    ngx_eb_route_hit_t          *hits;
    ngx_http_request_body_t     *rb;
    ngx_http_eventbridge_job_t  *job;

    job = send->job;
    hits = job->hits.elts;
    events = job->batch.events;
    shape = job->batch.shape;
    kind = job->form;

    rb = ngx_pcalloc(sr->pool, sizeof(ngx_http_request_body_t));
    if (rb == NULL) {
        return NGX_ERROR;
    }

    sr->request_body = rb;
    ll = &rb->bufs;

    ngx_str_null(&before);
    ngx_str_null(&after);

    if (kind >= NGX_HTTP_EVENTBRIDGE_FORWARD_CE_BATCH) {

        rc = ngx_http_eventbridge_cloudevent_body(send, sr, &s);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_OK) {
            return ngx_http_eventbridge_body_whole(sr, &s, len);
        }

        /* CloudEvents, as they are */

        kind = NGX_HTTP_EVENTBRIDGE_FORWARD_ARRAY;
        shape = (shape == NGX_EB_BODY_CE_BATCH) ? NGX_EB_BODY_ARRAY : shape;
    }

    if (kind == NGX_HTTP_EVENTBRIDGE_FORWARD_EVENTS) {
        ngx_str_set(&before, "{\"events\":[");
        ngx_str_set(&after, "]}");

    } else if (kind == NGX_HTTP_EVENTBRIDGE_FORWARD_ARRAY) {
        ngx_str_set(&before, "[");
        ngx_str_set(&after, "]");
    }

    /* everything goes one way: the body is what was received */

    if (send->nevents == job->batch.nevents
        && ((kind == NGX_HTTP_EVENTBRIDGE_FORWARD_EVENTS
             && shape == NGX_EB_BODY_EVENTS && !job->batch.siblings)
            || (kind == NGX_HTTP_EVENTBRIDGE_FORWARD_ARRAY
                && shape == NGX_EB_BODY_ARRAY)))
    {
        return ngx_http_eventbridge_body_whole(sr, &job->body, len);
    }

    /* the first pass counts, the second writes */

    n = 0;
    total = before.len + after.len;
    p = NULL;

    for (pass = 0; pass < 2; pass++) {

        if (pass) {

            if (n > NGX_HTTP_EVENTBRIDGE_MAX_SLICES) {
                p = ngx_pnalloc(sr->pool, total);
                if (p == NULL) {
                    return NGX_ERROR;
                }

                s.data = p;
                s.len = total;

                if (ngx_http_eventbridge_slice(sr->pool, &ll, &s) != NGX_OK) {
                    return NGX_ERROR;
                }

                p = ngx_cpymem(p, before.data, before.len);

            } else if (before.len
                       && ngx_http_eventbridge_slice(sr->pool, &ll, &before)
                          != NGX_OK)
            {
                return NGX_ERROR;
            }
        }

        for (i = 0; i < send->nhits; i++) {

            first = hits[send->hits[i]].event;
            s = events[first].raw;
            end = s.data + s.len;

            while (i + 1 < send->nhits
                   && hits[send->hits[i + 1]].event
                      <= hits[send->hits[i]].event + 1)
            {
                i++;
                end = events[hits[send->hits[i]].event].raw.data
                      + events[hits[send->hits[i]].event].raw.len;
            }

            s.len = end - s.data;

            if (pass == 0) {
                n++;
                total += s.len + (n > 1 ? 1 : 0);
                continue;
            }

            if (p) {
                if (first != hits[send->hits[0]].event) {
                    *p++ = ',';
                }

                p = ngx_cpymem(p, s.data, s.len);
                continue;
            }

            if (first != hits[send->hits[0]].event
                && ngx_http_eventbridge_slice(sr->pool, &ll,
                                              &ngx_http_eventbridge_comma)
                   != NGX_OK)
            {
                return NGX_ERROR;
            }

            if (ngx_http_eventbridge_slice(sr->pool, &ll, &s) != NGX_OK) {
                return NGX_ERROR;
            }
        }
    }

    if (p) {
        ngx_memcpy(p, after.data, after.len);

    } else if (after.len
               && ngx_http_eventbridge_slice(sr->pool, &ll, &after) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* ll points into the last link */
    ((ngx_chain_t *) ((u_char *) ll - offsetof(ngx_chain_t, next)))
                                                        ->buf->last_buf = 1;
    rb->buf = rb->bufs->buf;
    *len = total;

    return NGX_OK;
}


/* the body is these bytes, of which there may be none */

static ngx_int_t
ngx_http_eventbridge_body_whole(ngx_http_request_t *sr, ngx_str_t *s,
    off_t *len)
{
    ngx_chain_t              **ll;
    ngx_http_request_body_t   *rb;

    *len = s->len;

    if (s->len == 0) {
        return NGX_OK;
    }

    rb = sr->request_body;
    ll = &rb->bufs;

    if (ngx_http_eventbridge_slice(sr->pool, &ll, s) != NGX_OK) {
        return NGX_ERROR;
    }

    rb->bufs->buf->last_buf = 1;
    rb->buf = rb->bufs->buf;

    return NGX_OK;
}


/*
 * start and end are the slice's own: nginx goes back to start when it tries
 * the next upstream server, and must not find other events there.
 */

static ngx_int_t
ngx_http_eventbridge_slice(ngx_pool_t *pool, ngx_chain_t ***ll, ngx_str_t *s)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    b = ngx_calloc_buf(pool);
    cl = ngx_alloc_chain_link(pool);

    if (b == NULL || cl == NULL) {
        return NGX_ERROR;
    }

    b->start = s->data;
    b->pos = s->data;
    b->last = s->data + s->len;
    b->end = b->last;
    b->memory = 1;

    cl->buf = b;
    cl->next = NULL;

    **ll = cl;
    *ll = &cl->next;

    return NGX_OK;
}
