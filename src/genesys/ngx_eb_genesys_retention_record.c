
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_out.h"
#include "ngx_eb_genesys_retention.h"


/* room for an audit record, less its id and its cost */
#define NGX_EB_GENESYS_RECORD_LEN  512


ngx_int_t
ngx_eb_genesys_retention_record(ngx_pool_t *pool,
    ngx_eb_genesys_retention_t *what, int64_t time, ngx_str_t *record)
{
    u_char        *p;
    size_t         len;
    ngx_eb_out_t   out;

    /* an escape is up to six times as long as what it stands for */

    len = NGX_EB_GENESYS_RECORD_LEN + 6 * what->id.len + what->cost.len;

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_eb_out_init(&out, p, len);

    ngx_eb_out_lit(&out, "{\"timestamp\":");
    ngx_eb_out_time(&out, time);
    ngx_eb_out_lit(&out, ",\"policyId\":");
    ngx_eb_out_string(&out, &what->id, what->id.len);
    ngx_eb_out_lit(&out, ",\"action\":\"retention_policy_update\""
                         ",\"latencyMs\":");
    ngx_eb_out_int(&out, (int64_t) what->latency);
    ngx_eb_out_lit(&out, ",\"migrationSuccess\":");

    if (what->migrated) {
        ngx_eb_out_lit(&out, "true");

    } else {
        ngx_eb_out_lit(&out, "false");
    }

    ngx_eb_out_lit(&out, ",\"costEstimateUSD\":");
    ngx_eb_out_raw(&out, what->cost.data, what->cost.len);
    ngx_eb_out_lit(&out, ",\"complianceVerified\":");

    if (what->verified) {
        ngx_eb_out_lit(&out, "true}");

    } else {
        ngx_eb_out_lit(&out, "false}");
    }

    record->data = p;
    record->len = (size_t) (out.pos - p);

    return NGX_OK;
}
