
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json_edit.h"
#include "ngx_eb_out.h"
#include "ngx_eb_genesys_endpoint.h"


static void ngx_eb_genesys_record_write(ngx_eb_out_t *out,
    ngx_eb_genesys_endpoint_t *what, ngx_str_t *previous, int64_t time,
    size_t max);
static void ngx_eb_genesys_record_flag(ngx_eb_out_t *out, ngx_uint_t flag);


ngx_int_t
ngx_eb_genesys_endpoint_results(ngx_pool_t *pool,
    ngx_eb_genesys_endpoint_t *what, ngx_str_t *text)
{
    u_char                *p;
    ngx_str_t             *object, uri, more;
    ngx_uint_t             i, n;
    ngx_eb_genesys_uri_t  *endpoint;

    endpoint = what->doc.endpoints.elts;
    n = what->doc.endpoints.nelts;

    object = ngx_palloc(pool, n * sizeof(ngx_str_t));
    if (object == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {

        if (ngx_eb_json_quote(pool, &endpoint[i].uri, &uri) != NGX_OK) {
            return NGX_ERROR;
        }

        /* a result is an object that is not empty, and there may be none */

        ngx_str_set(&more, "}");

        if (endpoint[i].json.len) {
            more.data = endpoint[i].json.data + 1;
            more.len = endpoint[i].json.len - 1;
        }

        p = ngx_pnalloc(pool, sizeof("{\"uri\":,") - 1 + uri.len + more.len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        object[i].data = p;
        p = ngx_sprintf(p, "{\"uri\":%V%s%V", &uri, (more.len > 1) ? "," : "",
                        &more);
        object[i].len = (size_t) (p - object[i].data);
    }

    return ngx_eb_genesys_array_write(pool, object, n, text);
}


ngx_int_t
ngx_eb_genesys_endpoint_record(ngx_pool_t *pool,
    ngx_eb_genesys_endpoint_t *what, ngx_str_t *previous, int64_t time,
    ngx_str_t *record)
{
    size_t         max;
    ngx_eb_out_t   out;

    record->data = ngx_pnalloc(pool, NGX_EB_GENESYS_RECORD);
    if (record->data == NULL) {
        return NGX_ERROR;
    }

    /* so much of each text that all of them fit; 16 bytes of each always do */

    for (max = 512; max >= 16; max /= 2) {

        ngx_eb_out_init(&out, record->data, NGX_EB_GENESYS_RECORD);

        ngx_eb_genesys_record_write(&out, what, previous, time, max);

        if (!out.truncated) {
            break;
        }
    }

    record->len = (size_t) (out.pos - record->data);

    return NGX_OK;
}


static void
ngx_eb_genesys_record_write(ngx_eb_out_t *out,
    ngx_eb_genesys_endpoint_t *what, ngx_str_t *previous, int64_t time,
    size_t max)
{
    ngx_uint_t             i;
    ngx_eb_genesys_uri_t  *endpoint;

    endpoint = what->doc.endpoints.elts;

    ngx_eb_out_lit(out, "{\"timestamp\":");
    ngx_eb_out_time(out, time);
    ngx_eb_out_lit(out, ",\"action\":\"endpoint_resolve\""
                        ",\"integration_name\":");
    ngx_eb_out_string(out, &what->doc.name, max);

    if (what->id.len) {
        ngx_eb_out_lit(out, ",\"id\":");
        ngx_eb_out_string(out, &what->id, 128);
    }

    if (what->doc.endpoints.nelts) {
        ngx_eb_out_lit(out, ",\"uri\":");
        ngx_eb_out_string(out, &endpoint[0].shown, max);
    }

    ngx_eb_out_lit(out, ",\"state\":");
    ngx_eb_out_string(out, ngx_eb_genesys_state(what->state), 32);

    if (previous) {
        ngx_eb_out_lit(out, ",\"previous_state\":");
        ngx_eb_out_string(out, previous, 32);
    }

    ngx_eb_out_lit(out, ",\"success\":");
    ngx_eb_genesys_record_flag(out, what->state
                                    >= NGX_EB_GENESYS_STATE_VALIDATED);
    ngx_eb_out_lit(out, ",\"dry_run\":");
    ngx_eb_genesys_record_flag(out, what->dry_run);
    ngx_eb_out_lit(out, ",\"latency_ms\":");
    ngx_eb_out_int(out, (int64_t) what->latency);
    ngx_eb_out_lit(out, ",\"endpoint_count\":");
    ngx_eb_out_int(out, (int64_t) what->doc.endpoints.nelts);

    if (what->error.len) {
        ngx_eb_out_lit(out, ",\"error\":");
        ngx_eb_out_string(out, &what->error, max);
    }

    ngx_eb_out_lit(out, ",\"endpoints\":[");

    for (i = 0; what->valid && i < what->doc.endpoints.nelts; i++) {

        ngx_eb_out_raw(out, ",", i ? 1 : 0);
        ngx_eb_out_lit(out, "{\"uri\":");
        ngx_eb_out_string(out, &endpoint[i].shown, max);

        if (endpoint[i].probed) {
            ngx_eb_out_lit(out, ",\"ok\":");
            ngx_eb_genesys_record_flag(out, endpoint[i].reachable);
            ngx_eb_out_lit(out, ",\"phase\":");
            ngx_eb_out_string(out, &endpoint[i].phase, 16);
            ngx_eb_out_lit(out, ",\"latency_ms\":");
            ngx_eb_out_int(out, (int64_t) endpoint[i].total);
        }

        if (endpoint[i].status) {
            ngx_eb_out_lit(out, ",\"status\":");
            ngx_eb_out_int(out, (int64_t) endpoint[i].status);
        }

        if (endpoint[i].certificate) {
            ngx_eb_out_lit(out, ",\"days_left\":");
            ngx_eb_out_int(out, endpoint[i].days);
        }

        if (endpoint[i].error.len) {
            ngx_eb_out_lit(out, ",\"error\":");
            ngx_eb_out_string(out, &endpoint[i].error, 32);
            ngx_eb_out_lit(out, ",\"message\":");
            ngx_eb_out_string(out, &endpoint[i].words, max);
        }

        ngx_eb_out_lit(out, "}");
    }

    ngx_eb_out_lit(out, "]}");
}


static void
ngx_eb_genesys_record_flag(ngx_eb_out_t *out, ngx_uint_t flag)
{
    if (flag) {
        ngx_eb_out_lit(out, "true");

    } else {
        ngx_eb_out_lit(out, "false");
    }
}
