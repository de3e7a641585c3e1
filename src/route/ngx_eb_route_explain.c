
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * One route and one event, in no hurry: which condition fails.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_route.h"


static ngx_uint_t ngx_eb_route_explain_regex(ngx_eb_regex_ctx_t *ctx,
    ngx_eb_regex_t *re, ngx_str_t *subject, ngx_eb_route_verdict_t *verdict);


void
ngx_eb_route_explain(ngx_eb_route_t *route, ngx_eb_route_memo_t *memo,
    ngx_eb_regex_ctx_t *ctx, ngx_eb_json_t *json, ngx_eb_event_t *event,
    ngx_eb_route_verdict_t *verdict)
{
    ngx_uint_t                 i;
    ngx_eb_route_metadata_t   *metadata;
    ngx_eb_pattern_scratch_t  *scratch;

    ngx_memzero(verdict, sizeof(ngx_eb_route_verdict_t));

    verdict->node = NGX_EB_JSON_NONE;

    if (!ngx_eb_route_explain_regex(ctx, route->source, &event->source,
                                    verdict))
    {
        verdict->failed = NGX_EB_ROUTE_SOURCE;
        return;
    }

    if (!ngx_eb_route_explain_regex(ctx, route->type, &event->type, verdict)) {
        verdict->failed = NGX_EB_ROUTE_TYPE;
        return;
    }

    metadata = route->metadata.elts;

    for (i = 0; i < route->metadata.nelts; i++) {

        if (!ngx_eb_event_metadata_eq(json, event, &metadata[i].name,
                                      &metadata[i].value))
        {
            verdict->failed = NGX_EB_ROUTE_METADATA;
            verdict->metadata = &metadata[i];
            verdict->node = ngx_eb_event_metadata(json, event,
                                                  &metadata[i].name);
            return;
        }
    }

    if (route->pattern == NULL) {
        return;
    }

    scratch = ngx_eb_route_scratch(memo);

    if (ngx_eb_pattern_collect(scratch, json, event->root) != NGX_OK) {
        verdict->failed = NGX_EB_ROUTE_PATTERN;
        verdict->given_up = 1;
        return;
    }

    ngx_eb_pattern_explain(scratch, route->pattern, &verdict->miss);

    if (verdict->miss.reason != NGX_EB_PATTERN_MATCHES) {
        verdict->failed = NGX_EB_ROUTE_PATTERN;
        verdict->given_up = (verdict->miss.reason == NGX_EB_PATTERN_GIVEN_UP);
        verdict->node = verdict->miss.node;
    }
}


static ngx_uint_t
ngx_eb_route_explain_regex(ngx_eb_regex_ctx_t *ctx, ngx_eb_regex_t *re,
    ngx_str_t *subject, ngx_eb_route_verdict_t *verdict)
{
    ngx_int_t  rc;
    ngx_str_t  empty;

    if (re == NULL) {
        return 1;
    }

    /* an absent string is matched as an empty one */

    ngx_str_set(&empty, "");

    rc = ngx_eb_regex_match(ctx, re, subject->data ? subject : &empty);

    verdict->given_up = (rc == NGX_ERROR);

    return rc == NGX_OK;
}
