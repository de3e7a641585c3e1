
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The client's headers that reach destinations, and its trace.
 */


#include "ngx_http_eventbridge_module.h"


/* of all headers, the few whose hash says that they may be wanted */
#define ngx_http_eventbridge_hash_bit(hash)  ((uint64_t) 1 << ((hash) & 63))


static ngx_http_eventbridge_pass_t *ngx_http_eventbridge_pass_create(
    ngx_conf_t *cf);
static ngx_int_t ngx_http_eventbridge_pass_add(
    ngx_http_eventbridge_pass_t *pass, ngx_conf_t *cf, ngx_str_t *name);
static const char *ngx_http_eventbridge_pass_wrong(ngx_str_t *name);
static ngx_int_t ngx_http_eventbridge_headers_add(
    ngx_http_eventbridge_job_t *job, ngx_table_elt_t *h);
static void ngx_http_eventbridge_headers_trace(
    ngx_http_eventbridge_job_t *job, ngx_str_t *value);
static ngx_uint_t ngx_http_eventbridge_headers_hex(u_char *p, size_t len,
    ngx_uint_t *zero);


static ngx_str_t  ngx_http_eventbridge_traceparent =
    ngx_string("traceparent");
static ngx_str_t  ngx_http_eventbridge_tracestate = ngx_string("tracestate");


/*
 * What the module or nginx says to a destination, and what is between two
 * neighbors only; in lower case.
 */

static ngx_str_t  ngx_http_eventbridge_kept[] = {
    ngx_string("connection"),
    ngx_string("content-encoding"),
    ngx_string("content-length"),
    ngx_string("content-type"),
    ngx_string("expect"),
    ngx_string("host"),
    ngx_string("http2-settings"),
    ngx_string("idempotency-key"),
    ngx_string("keep-alive"),
    ngx_string("proxy-authenticate"),
    ngx_string("proxy-authorization"),
    ngx_string("proxy-connection"),
    ngx_string("te"),
    ngx_string("trailer"),
    ngx_string("transfer-encoding"),
    ngx_string("upgrade"),
    ngx_string("x-request-id"),
    ngx_null_string
};


/* eventbridge_pass_request_header NAME... | off */

char *
ngx_http_eventbridge_pass_header(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_eventbridge_loc_conf_t *elcf = conf;

    ngx_str_t       *value, name;
    ngx_uint_t       i, j;
    const char      *why;
    ngx_hash_key_t  *names;

    value = cf->args->elts;

    if (elcf->pass == NGX_CONF_UNSET_PTR) {
        elcf->pass = ngx_http_eventbridge_pass_create(cf);
        if (elcf->pass == NULL) {
            return NGX_CONF_ERROR;
        }

    } else if (elcf->pass->names.nelts == 0) {
        /* "off" was said */
        return ngx_http_eventbridge_duplicate(cf);
    }

    if (ngx_strcmp(value[1].data, "off") == 0) {

        if (elcf->pass->names.nelts) {
            return ngx_http_eventbridge_duplicate(cf);
        }

        if (cf->args->nelts > 2) {
            return ngx_http_eventbridge_refuse(cf, &value[2], NULL);
        }

        return NGX_CONF_OK;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        name.len = value[i].len;
        name.data = ngx_pnalloc(cf->pool, name.len + 1);
        if (name.data == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_strlow(name.data, value[i].data, name.len);

        why = ngx_http_eventbridge_pass_wrong(&name);

        if (why) {
            return ngx_http_eventbridge_refuse(cf, &value[i], why);
        }

        names = elcf->pass->names.elts;

        for (j = 0; j < elcf->pass->names.nelts; j++) {
            if (names[j].key.len == name.len
                && ngx_strncmp(names[j].key.data, name.data, name.len) == 0)
            {
                return ngx_http_eventbridge_refuse(cf, &value[i],
                                                   "the header is "
                                                   "duplicate");
            }
        }

        if (ngx_http_eventbridge_pass_add(elcf->pass, cf, &name) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_eventbridge_merge_headers(ngx_conf_t *cf,
    ngx_http_eventbridge_loc_conf_t *prev,
    ngx_http_eventbridge_loc_conf_t *conf)
{
    if (conf->pass != NGX_CONF_UNSET_PTR) {
        return NGX_OK;
    }

    conf->pass = prev->pass;

    if (conf->pass != NGX_CONF_UNSET_PTR) {
        return NGX_OK;
    }

    conf->pass = ngx_http_eventbridge_pass_create(cf);

    if (conf->pass == NULL
        || ngx_http_eventbridge_pass_add(conf->pass, cf,
                                         &ngx_http_eventbridge_traceparent)
           != NGX_OK
        || ngx_http_eventbridge_pass_add(conf->pass, cf,
                                         &ngx_http_eventbridge_tracestate)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_http_eventbridge_pass_t *
ngx_http_eventbridge_pass_create(ngx_conf_t *cf)
{
    ngx_http_eventbridge_pass_t  *pass;

    pass = ngx_palloc(cf->pool, sizeof(ngx_http_eventbridge_pass_t));
    if (pass == NULL) {
        return NULL;
    }

    if (ngx_array_init(&pass->names, cf->pool, 2, sizeof(ngx_hash_key_t))
        != NGX_OK)
    {
        return NULL;
    }

    /* the audit log shows it in any case */

    pass->hashes = ngx_http_eventbridge_hash_bit(
                       ngx_hash_key(ngx_http_eventbridge_traceparent.data,
                                    ngx_http_eventbridge_traceparent.len));

    return pass;
}


/* name is in lower case, and kept */

static ngx_int_t
ngx_http_eventbridge_pass_add(ngx_http_eventbridge_pass_t *pass,
    ngx_conf_t *cf, ngx_str_t *name)
{
    ngx_hash_key_t  *key;

    key = ngx_array_push(&pass->names);
    if (key == NULL) {
        return NGX_ERROR;
    }

    key->key = *name;
    key->key_hash = ngx_hash_key(name->data, name->len);
    key->value = NULL;

    pass->hashes |= ngx_http_eventbridge_hash_bit(key->key_hash);

    return NGX_OK;
}


/* NULL: nothing is */

static const char *
ngx_http_eventbridge_pass_wrong(ngx_str_t *name)
{
    size_t       i;
    ngx_uint_t   n;

    static const char  prefix[] = "x-eventbridge-";

    if (name->len == 0) {
        return "the name of a header is expected";
    }

    if (name->len == 3 && ngx_strncmp(name->data, "off", 3) == 0) {
        return "\"off\" stands alone";
    }

    for (i = 0; i < name->len; i++) {
        if (!(name->data[i] >= 'a' && name->data[i] <= 'z')
            && !(name->data[i] >= '0' && name->data[i] <= '9')
            && ngx_strchr("!#$%&'*+-.^_`|~", name->data[i]) == NULL)
        {
            return "the name of a header is expected";
        }
    }

    for (n = 0; ngx_http_eventbridge_kept[n].len; n++) {
        if (ngx_http_eventbridge_kept[n].len == name->len
            && ngx_strncmp(ngx_http_eventbridge_kept[n].data, name->data,
                           name->len)
               == 0)
        {
            break;
        }
    }

    if (ngx_http_eventbridge_kept[n].len
        || (name->len >= sizeof(prefix) - 1
            && ngx_strncmp(name->data, prefix, sizeof(prefix) - 1) == 0))
    {
        return "this header is not passed on: it is set anew for each "
               "destination, or is for the next hop only";
    }

    return NULL;
}


ngx_int_t
ngx_http_eventbridge_headers_copy(ngx_http_request_t *r,
    ngx_http_eventbridge_job_t *job)
{
    ngx_uint_t                    i, j, traces;
    ngx_list_part_t              *part;
    ngx_table_elt_t              *h;
    ngx_hash_key_t               *names;
    ngx_http_eventbridge_pass_t  *pass;

    pass = job->conf->pass;
    names = pass->names.elts;
    traces = 0;

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        /* a hash of 0: another module has taken the header away */

        if (!(pass->hashes & ngx_http_eventbridge_hash_bit(h[i].hash))
            || h[i].hash == 0)
        {
            continue;
        }

        if (job->conf->audit
            && h[i].key.len == ngx_http_eventbridge_traceparent.len
            && ngx_strncmp(h[i].lowcase_key,
                           ngx_http_eventbridge_traceparent.data,
                           h[i].key.len)
               == 0)
        {
            /* of two, nobody can say which is right */

            if (traces++) {
                ngx_str_null(&job->trace_id);

            } else {
                ngx_http_eventbridge_headers_trace(job, &h[i].value);
            }
        }

        for (j = 0; j < pass->names.nelts; j++) {

            if (names[j].key_hash == h[i].hash
                && names[j].key.len == h[i].key.len
                && ngx_strncmp(names[j].key.data, h[i].lowcase_key,
                               h[i].key.len)
                   == 0)
            {
                if (ngx_http_eventbridge_headers_add(job, &h[i]) != NGX_OK) {
                    return NGX_ERROR;
                }

                break;
            }
        }
    }

    return ngx_http_eventbridge_copy(job->pool, &job->trace_id,
                                     &job->trace_id);
}


static ngx_int_t
ngx_http_eventbridge_headers_add(ngx_http_eventbridge_job_t *job,
    ngx_table_elt_t *h)
{
    u_char           *p;
    ngx_table_elt_t  *copy;

    if (job->headers == NULL) {
        job->headers = ngx_array_create(job->pool, 2,
                                        sizeof(ngx_table_elt_t));
        if (job->headers == NULL) {
            return NGX_ERROR;
        }
    }

    copy = ngx_array_push(job->headers);
    if (copy == NULL) {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(job->pool, h->key.len * 2 + h->value.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(copy, sizeof(ngx_table_elt_t));

    copy->hash = h->hash;

    copy->key.data = p;
    copy->key.len = h->key.len;
    p = ngx_cpymem(p, h->key.data, h->key.len);

    copy->lowcase_key = p;
    p = ngx_cpymem(p, h->lowcase_key, h->key.len);

    copy->value.data = p;
    copy->value.len = h->value.len;
    ngx_memcpy(p, h->value.data, h->value.len);

    return NGX_OK;
}


/*
 * version "-" trace id "-" parent id "-" flags, of 2, 32, 16 and 2 hexadecimal
 * digits, in lower case; ids of zeros are none.  A later version may go on.
 */

static void
ngx_http_eventbridge_headers_trace(ngx_http_eventbridge_job_t *job,
    ngx_str_t *value)
{
    u_char      *p;
    ngx_uint_t   first, trace, parent, flags;

    p = value->data;

    if (value->len < 55 || p[2] != '-' || p[35] != '-' || p[52] != '-'
        || !ngx_http_eventbridge_headers_hex(p, 2, &first)
        || !ngx_http_eventbridge_headers_hex(p + 3, 32, &trace)
        || !ngx_http_eventbridge_headers_hex(p + 36, 16, &parent)
        || !ngx_http_eventbridge_headers_hex(p + 53, 2, &flags)
        || trace || parent
        || (p[0] == 'f' && p[1] == 'f')
        || (value->len > 55 && (first || p[55] != '-')))
    {
        return;
    }

    job->trace_id.data = p + 3;
    job->trace_id.len = 32;
}


static ngx_uint_t
ngx_http_eventbridge_headers_hex(u_char *p, size_t len, ngx_uint_t *zero)
{
    *zero = 1;

    for ( /* void */ ; len; p++, len--) {

        if (!(*p >= '0' && *p <= '9') && !(*p >= 'a' && *p <= 'f')) {
            return 0;
        }

        *zero &= (*p == '0');
    }

    return 1;
}


ngx_int_t
ngx_http_eventbridge_headers_pass(ngx_http_eventbridge_job_t *job,
    ngx_http_request_t *sr)
{
    ngx_uint_t        i;
    ngx_table_elt_t  *h, *to;

    h = job->headers->elts;

    for (i = 0; i < job->headers->nelts; i++) {

        /* the event has its own, of which there are to be no others */

        if (job->form == NGX_HTTP_EVENTBRIDGE_FORWARD_CE_BINARY
            && h[i].key.len > 3
            && ngx_strncmp(h[i].lowcase_key, "ce-", 3) == 0)
        {
            continue;
        }

        to = ngx_list_push(&sr->headers_in.headers);
        if (to == NULL) {
            return NGX_ERROR;
        }

        *to = h[i];
    }

    return NGX_OK;
}
