
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What a probe has found, written; and the name servers of probes.
 */


#include "ngx_eb_probe.h"
#include <nginx.h>


static void ngx_eb_probe_tls_json(ngx_eb_out_t *out,
    ngx_eb_probe_result_t *result);
static void ngx_eb_probe_member(ngx_eb_out_t *out, const char *name,
    ngx_str_t *value);
static void ngx_eb_probe_number(ngx_eb_out_t *out, const char *name,
    int64_t value);
static void ngx_eb_probe_time(ngx_eb_out_t *out, const char *name,
    time_t value);


static const char  *ngx_eb_probe_phases[] = {
    "url", "dns", "tcp", "tls", "http"
};


static const char  *ngx_eb_probe_classes[] = {
    "ok",
    "bad_url",
    "address_forbidden",
    "name_not_found",
    "dns_timeout",
    "dns_failed",
    "connect_refused",
    "connect_timeout",
    "connect_failed",
    "tls_timeout",
    "tls_closed",
    "tls_version",
    "tls_name",
    "tls_failed",
    "certificate_expired",
    "certificate_not_yet_valid",
    "certificate_host",
    "certificate_self_signed",
    "certificate_chain",
    "certificate_authority",
    "certificate_invalid",
    "http_timeout",
    "http_closed",
    "http_failed",
    "http_redirect",
    "http_status",
    "http_body",
    "internal"
};


const char *
ngx_eb_probe_phase(ngx_eb_probe_phase_e phase)
{
    return ngx_eb_probe_phases[phase];
}


const char *
ngx_eb_probe_class(ngx_eb_probe_class_e error)
{
    return ngx_eb_probe_classes[error];
}


void
ngx_eb_probe_json(ngx_eb_out_t *out, ngx_eb_probe_result_t *result)
{
    ngx_str_t   text;
    ngx_uint_t  i;

    ngx_eb_out_lit(out, "{\"ok\":");

    if (result->error == NGX_EB_PROBE_OK) {
        ngx_eb_out_lit(out, "true");

    } else {
        ngx_eb_out_lit(out, "false");
    }

    text.data = (u_char *) ngx_eb_probe_phase(result->phase);
    text.len = ngx_strlen(text.data);
    ngx_eb_probe_member(out, ",\"phase\":", &text);

    if (result->error != NGX_EB_PROBE_OK) {
        text.data = (u_char *) ngx_eb_probe_class(result->error);
        text.len = ngx_strlen(text.data);
        ngx_eb_probe_member(out, ",\"error\":", &text);
        ngx_eb_probe_member(out, ",\"message\":", &result->words);
    }

    if (result->status) {
        ngx_eb_probe_number(out, ",\"status\":", (int64_t) result->status);
    }

    ngx_eb_out_lit(out, ",\"latency_ms\":{");

    for (i = NGX_EB_PROBE_DNS; i <= (ngx_uint_t) result->phase; i++) {

        if (i == NGX_EB_PROBE_TLS && result->tls_version.len == 0
            && result->phase == NGX_EB_PROBE_HTTP)
        {
            continue;
        }

        ngx_eb_out_lit(out, "\"");
        ngx_eb_out_raw(out, ngx_eb_probe_phases[i],
                       ngx_strlen(ngx_eb_probe_phases[i]));
        ngx_eb_probe_number(out, "\":", (int64_t) result->msec[i]);
        ngx_eb_out_lit(out, ",");
    }

    ngx_eb_probe_number(out, "\"total\":", (int64_t) result->total);
    ngx_eb_out_lit(out, "},\"addresses\":[");

    for (i = 0; i < result->naddresses; i++) {
        ngx_eb_probe_member(out, i ? "," : "", &result->addresses[i]);
    }

    ngx_eb_out_lit(out, "]");

    if (result->address.len) {
        ngx_eb_probe_member(out, ",\"address\":", &result->address);
    }

    if (result->tls_version.len || result->certificate) {

        ngx_eb_probe_tls_json(out, result);
    }

    ngx_eb_out_lit(out, "}");
}


static void
ngx_eb_probe_tls_json(ngx_eb_out_t *out, ngx_eb_probe_result_t *result)
{
    ngx_uint_t  i, n;

    struct {
        const char               *name;
        ngx_str_t                *value;
    } members[] = {
        { "\"version\":", &result->tls_version },
        { "\"cipher\":", &result->cipher },
        { "\"alpn\":", &result->alpn },
        { "\"subject\":", &result->subject },
        { "\"issuer\":", &result->issuer },
        { "\"names\":", &result->names }
    };

    ngx_eb_out_lit(out, ",\"tls\":{");

    n = 0;

    for (i = 0; i < sizeof(members) / sizeof(members[0]); i++) {

        if (members[i].value->len == 0) {
            continue;
        }

        if (n++) {
            ngx_eb_out_lit(out, ",");
        }

        ngx_eb_probe_member(out, members[i].name, members[i].value);
    }

    if (result->certificate) {
        ngx_eb_probe_time(out, n ? ",\"not_before\":" : "\"not_before\":",
                          result->not_before);
        ngx_eb_probe_time(out, ",\"not_after\":", result->not_after);
        ngx_eb_probe_number(out, ",\"days_left\":",
                            (int64_t) result->days_left);
    }

    ngx_eb_out_lit(out, "}");
}


/* the name comes with its quotes and what separates it */

static void
ngx_eb_probe_member(ngx_eb_out_t *out, const char *name, ngx_str_t *value)
{
    ngx_eb_out_raw(out, name, ngx_strlen(name));
    ngx_eb_out_string(out, value, NGX_EB_PROBE_WORDS);
}


static void
ngx_eb_probe_number(ngx_eb_out_t *out, const char *name, int64_t value)
{
    ngx_eb_out_raw(out, name, ngx_strlen(name));
    ngx_eb_out_int(out, value);
}


static void
ngx_eb_probe_time(ngx_eb_out_t *out, const char *name, time_t value)
{
    ngx_eb_out_raw(out, name, ngx_strlen(name));
    ngx_eb_out_time(out, (int64_t) value * 1000);
}


ngx_resolver_t *
ngx_eb_probe_resolver(ngx_conf_t *cf, ngx_resolver_t *resolver)
{
    ngx_str_t                  *names;
    ngx_uint_t                  i, n;
    ngx_resolver_t             *r;
    ngx_resolver_connection_t  *rec;

    if (resolver == NULL || resolver->connections.nelts == 0) {
        return NULL;
    }

    rec = resolver->connections.elts;
    n = resolver->connections.nelts;

    names = ngx_palloc(cf->pool, n * sizeof(ngx_str_t));
    if (names == NULL) {
        return NULL;
    }

    for (i = 0; i < n; i++) {
        names[i] = rec[i].server;
    }

    r = ngx_resolver_create(cf, names, n);
    if (r == NULL) {
        return NULL;
    }

    r->valid = resolver->valid;
    r->resend_timeout = 1;
    r->tcp_timeout = 1;

#if (nginx_version >= 1023001)
    r->ipv4 = resolver->ipv4;
#endif

#if (NGX_HAVE_INET6)
    r->ipv6 = resolver->ipv6;
#endif

    return r;
}
