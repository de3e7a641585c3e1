
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Requests to the event bus that transitions are published to, and what its
 * answers mean for each of them.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_out.h"
#include "ngx_eb_genesys_bus.h"


/* an answer of 100 entries is nowhere near as deep */
#define NGX_EB_BUS_DEPTH  16


static void ngx_eb_bus_entry(ngx_eb_out_t *out, ngx_eb_bus_conf_t *conf,
    ngx_eb_lifecycle_decision_t *transition);
static void ngx_eb_bus_state(ngx_eb_out_t *out, ngx_eb_bus_conf_t *conf,
    ngx_uint_t state);
static void ngx_eb_bus_all(ngx_uint_t n, ngx_eb_bus_verdict_e *verdicts,
    ngx_eb_bus_verdict_e verdict);
static ngx_eb_json_node_t ngx_eb_bus_member(ngx_eb_json_t *json,
    ngx_eb_json_node_t object, const char *name, const char *other);
static ngx_uint_t ngx_eb_bus_passing(ngx_str_t *code);
static void ngx_eb_bus_entries(ngx_eb_json_t *json, ngx_uint_t n,
    ngx_eb_bus_verdict_e *verdicts, ngx_str_t *why);


/*
 * AWS says of these that the same call may be taken later.  Those of whole
 * calls are there since keys can be exchanged, and clocks be set.
 */

static const char  *ngx_eb_bus_passing_codes[] = {
    "InternalFailure",
    "InternalException",
    "InternalServiceError",
    "ServiceUnavailable",
    "ThrottlingException",
    "Throttling",
    "ThrottledException",
    "RequestExpired",
    "ExpiredTokenException",
    "ExpiredToken",
    "InvalidSignatureException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "MissingAuthenticationTokenException",
    "AccessDeniedException",
    "ResourceNotFoundException",
    NULL
};


u_char *
ngx_eb_bus_detail(u_char *p, ngx_eb_bus_conf_t *conf,
    ngx_eb_lifecycle_decision_t *transition)
{
    u_char        hex[2 * NGX_EB_LIFECYCLE_DIGEST];
    ngx_str_t     s;
    ngx_eb_out_t  out;

    ngx_eb_out_init(&out, p, NGX_EB_BUS_ENTRY);

    s.data = transition->interaction;
    s.len = transition->interaction_len;

    ngx_eb_out_lit(&out, "{\"interactionId\":");
    ngx_eb_out_string(&out, &s, NGX_EB_LIFECYCLE_ID);
    ngx_eb_out_lit(&out, ",\"previousState\":");
    ngx_eb_bus_state(&out, conf, transition->previous);
    ngx_eb_out_lit(&out, ",\"currentState\":");
    ngx_eb_bus_state(&out, conf, transition->current);
    ngx_eb_out_lit(&out, ",\"timestamp\":");
    ngx_eb_out_time(&out, transition->time);
    ngx_eb_out_lit(&out, ",\"retentionDays\":");
    ngx_eb_out_int(&out, conf->retention_days);
    ngx_eb_out_lit(&out, ",\"lifecycleStage\":");
    ngx_eb_out_int(&out, transition->stage);
    ngx_eb_out_lit(&out, ",\"eventBusSource\":");
    ngx_eb_out_string(&out, &conf->source, 256);

    s.data = hex;
    s.len = ngx_hex_dump(hex, transition->id, NGX_EB_LIFECYCLE_DIGEST) - hex;

    ngx_eb_out_lit(&out, ",\"transitionId\":");
    ngx_eb_out_string(&out, &s, s.len);

    if (transition->flags & NGX_EB_LIFECYCLE_F_NOTIME) {
        ngx_eb_out_lit(&out, ",\"timestampMissing\":true");
    }

    if (transition->flags & NGX_EB_LIFECYCLE_F_GAP) {
        ngx_eb_out_lit(&out, ",\"gap\":true");
    }

    ngx_eb_out_lit(&out, "}");

    return out.pos;
}


static void
ngx_eb_bus_state(ngx_eb_out_t *out, ngx_eb_bus_conf_t *conf, ngx_uint_t state)
{
    ngx_str_t  *name;

    name = ngx_eb_lifecycle_states_name(conf->states, state);

    if (name) {
        ngx_eb_out_string(out, name, NGX_EB_LIFECYCLE_NAME);

    } else {
        ngx_eb_out_lit(out, "null");
    }
}


ngx_int_t
ngx_eb_bus_body(ngx_pool_t *pool, ngx_eb_bus_conf_t *conf,
    ngx_eb_lifecycle_decision_t **transitions, ngx_uint_t n, ngx_str_t *body)
{
    size_t        size;
    ngx_uint_t    i;
    ngx_eb_out_t  out;

    size = 64 + n * NGX_EB_BUS_ENTRY;

    body->data = ngx_palloc(pool, size);
    if (body->data == NULL) {
        return NGX_ERROR;
    }

    ngx_eb_out_init(&out, body->data, size);

    if (conf->aws) {
        ngx_eb_out_lit(&out, "{\"Entries\":[");

    } else {
        ngx_eb_out_lit(&out, "{\"entries\":[");
    }

    for (i = 0; i < n; i++) {
        ngx_eb_out_raw(&out, ",", i ? 1 : 0);
        ngx_eb_bus_entry(&out, conf, transitions[i]);
    }

    ngx_eb_out_lit(&out, "]}");

    body->len = out.pos - body->data;

    return out.truncated ? NGX_ERROR : NGX_OK;
}


static void
ngx_eb_bus_entry(ngx_eb_out_t *out, ngx_eb_bus_conf_t *conf,
    ngx_eb_lifecycle_decision_t *transition)
{
    u_char     detail[NGX_EB_BUS_ENTRY], hex[2 * NGX_EB_LIFECYCLE_DIGEST];
    ngx_str_t  s;

    s.data = detail;
    s.len = ngx_eb_bus_detail(detail, conf, transition) - detail;

    if (conf->aws) {
        ngx_eb_out_lit(out, "{\"Source\":");
        ngx_eb_out_string(out, &conf->source, 256);
        ngx_eb_out_lit(out, ",\"DetailType\":"
                            "\"interaction.lifecycle.transition\","
                            "\"Detail\":");
        ngx_eb_out_string(out, &s, s.len);

        if (conf->bus_name.len) {
            ngx_eb_out_lit(out, ",\"EventBusName\":");
            ngx_eb_out_string(out, &conf->bus_name, conf->bus_name.len);
        }

        ngx_eb_out_lit(out, ",\"Time\":");
        ngx_eb_out_ms(out, transition->time);
        ngx_eb_out_lit(out, "}");

        return;
    }

    ngx_eb_out_lit(out, "{\"id\":\"");
    ngx_eb_out_raw(out, hex, ngx_hex_dump(hex, transition->id,
                                          NGX_EB_LIFECYCLE_DIGEST) - hex);
    ngx_eb_out_lit(out, "\",\"source\":");
    ngx_eb_out_string(out, &conf->source, 256);
    ngx_eb_out_lit(out, ",\"detailType\":\"interaction.lifecycle.transition\","
                        "\"detail\":");
    ngx_eb_out_raw(out, s.data, s.len);
    ngx_eb_out_lit(out, ",\"time\":");
    ngx_eb_out_time(out, transition->time);
    ngx_eb_out_lit(out, "}");
}


void
ngx_eb_bus_answer(ngx_eb_json_parser_t *parser, ngx_uint_t status,
    ngx_str_t *body, ngx_uint_t n, ngx_eb_bus_verdict_e *verdicts,
    ngx_str_t *why)
{
    ngx_int_t            rc;
    ngx_str_t            code;
    ngx_eb_json_t        json;
    ngx_eb_json_node_t   node;
    ngx_eb_json_error_t  err;

    static const char  *names[] = { "__type", "code", "Code", NULL };

    const char         **name;

    ngx_str_null(why);

    rc = body->len ? ngx_eb_json_parse(parser, body->data, body->len,
                                       NGX_EB_BUS_DEPTH, &json, &err)
                   : NGX_DECLINED;

    if (rc == NGX_OK && ngx_eb_json_type(&json, 0) != '{') {
        rc = NGX_DECLINED;
    }

    if (status >= 200 && status < 300) {
        ngx_eb_bus_all(n, verdicts, NGX_EB_BUS_TAKEN);

        if (rc == NGX_OK) {
            ngx_eb_bus_entries(&json, n, verdicts, why);
        }

        return;
    }

    ngx_str_set(why, "the call failed");

    /* of calls: no answer, and what may be otherwise later */

    if (status < 400 || status >= 500 || status == 401 || status == 403
        || status == 404 || status == 405 || status == 408 || status == 409
        || status == 425 || status == 429)
    {
        ngx_eb_bus_all(n, verdicts, NGX_EB_BUS_AGAIN);
        return;
    }

    for (name = names; rc == NGX_OK && *name; name++) {

        node = ngx_eb_bus_member(&json, 0, *name, NULL);

        if (node != NGX_EB_JSON_NONE && ngx_eb_json_type(&json, node) == '"') {
            (void) ngx_eb_json_string_raw(&json, node, &code);
            *why = code;

            if (ngx_eb_bus_passing(&code)) {
                ngx_eb_bus_all(n, verdicts, NGX_EB_BUS_AGAIN);
                return;
            }

            break;
        }
    }

    ngx_eb_bus_all(n, verdicts, (n == 1) ? NGX_EB_BUS_REFUSED
                                         : NGX_EB_BUS_ALONE);
}


/* HTTP 200 can mean that some entries, or all, have failed */

static void
ngx_eb_bus_entries(ngx_eb_json_t *json, ngx_uint_t n,
    ngx_eb_bus_verdict_e *verdicts, ngx_str_t *why)
{
    ngx_str_t            code;
    ngx_uint_t           i;
    ngx_eb_json_node_t   failed, entries, e, error;

    failed = ngx_eb_bus_member(json, 0, "FailedEntryCount",
                               "failedEntryCount");
    entries = ngx_eb_bus_member(json, 0, "Entries", "entries");

    if (failed == NGX_EB_JSON_NONE
        || ngx_eb_json_type(json, failed) != '0'
        || json->data[json->pos[failed]] == '0')
    {
        return;
    }

    if (entries == NGX_EB_JSON_NONE || ngx_eb_json_type(json, entries) != '[')
    {
        /* some have failed, and it does not say which: their ids are the same
           when all of them come again */

        ngx_eb_bus_all(n, verdicts, NGX_EB_BUS_AGAIN);
        ngx_str_set(why, "entries failed, it is not said which");
        return;
    }

    i = 0;

    for (e = ngx_eb_json_first(json, entries);
         e != NGX_EB_JSON_NONE && i < n;
         e = ngx_eb_json_after(json, e), i++)
    {
        if (ngx_eb_json_type(json, e) != '{') {
            verdicts[i] = NGX_EB_BUS_AGAIN;
            continue;
        }

        error = ngx_eb_bus_member(json, e, "ErrorCode", "errorCode");

        if (error == NGX_EB_JSON_NONE || ngx_eb_json_type(json, error) != '"')
        {
            continue;
        }

        (void) ngx_eb_json_string_raw(json, error, &code);

        if (why->len == 0) {
            *why = code;
        }

        /* that of an entry is about its source or its bus: a passing one is
           named, all others are not */

        verdicts[i] = (ngx_eb_bus_passing(&code)
                       && ngx_strncmp(code.data, "AccessDenied",
                                      ngx_min(code.len, 12)) != 0)
                      ? NGX_EB_BUS_AGAIN : NGX_EB_BUS_REFUSED;
    }

    /* of those it says nothing of */

    for ( /* void */ ; i < n; i++) {
        verdicts[i] = NGX_EB_BUS_AGAIN;
    }
}


static void
ngx_eb_bus_all(ngx_uint_t n, ngx_eb_bus_verdict_e *verdicts,
    ngx_eb_bus_verdict_e verdict)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        verdicts[i] = verdict;
    }
}


static ngx_eb_json_node_t
ngx_eb_bus_member(ngx_eb_json_t *json, ngx_eb_json_node_t object,
    const char *name, const char *other)
{
    ngx_str_t           s;
    ngx_eb_json_node_t  node;

    s.data = (u_char *) name;
    s.len = ngx_strlen(name);

    node = ngx_eb_json_member(json, object, &s);

    if (node != NGX_EB_JSON_NONE || other == NULL) {
        return node;
    }

    s.data = (u_char *) other;
    s.len = ngx_strlen(other);

    return ngx_eb_json_member(json, object, &s);
}


/* it may have a name space in front: "com.amazon.coral.service#Name" */

static ngx_uint_t
ngx_eb_bus_passing(ngx_str_t *code)
{
    u_char      *p, *last;
    size_t       len;
    const char **name;

    last = code->data + code->len;

    for (p = last; p > code->data && p[-1] != '#'; p--) { /* void */ }

    len = last - p;

    for (name = ngx_eb_bus_passing_codes; *name; name++) {
        if (len == ngx_strlen(*name) && ngx_memcmp(p, *name, len) == 0) {
            return 1;
        }
    }

    return 0;
}
