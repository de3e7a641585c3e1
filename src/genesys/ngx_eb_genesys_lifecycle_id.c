
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Ids of transitions: they depend on nothing but the transition.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <openssl/evp.h>
#include "ngx_eb_genesys_lifecycle.h"


#define NGX_EB_LIFECYCLE_SHA256  32


ngx_int_t
ngx_eb_lifecycle_id(ngx_eb_lifecycle_states_t *states,
    ngx_eb_lifecycle_decision_t *decision)
{
    u_char     *p, digest[NGX_EB_LIFECYCLE_SHA256],
                text[2 * NGX_EB_LIFECYCLE_ID + 2 * NGX_EB_LIFECYCLE_NAME
                     + NGX_INT64_LEN + 4];
    ngx_str_t  *name;

    p = ngx_cpymem(text, decision->interaction, decision->interaction_len);
    *p++ = LF;

    name = ngx_eb_lifecycle_states_name(states, decision->previous);

    if (name) {
        p = ngx_cpymem(p, name->data, name->len);
    }

    *p++ = LF;

    name = ngx_eb_lifecycle_states_name(states, decision->current);

    if (name) {
        p = ngx_cpymem(p, name->data, name->len);
    }

    p = ngx_sprintf(p, "\n%L\n", decision->time);
    p = ngx_cpymem(p, decision->event, decision->event_len);

    if (EVP_Digest(text, p - text, digest, NULL, EVP_sha256(), NULL) != 1) {
        return NGX_ERROR;
    }

    ngx_memcpy(decision->id, digest, NGX_EB_LIFECYCLE_DIGEST);

    return NGX_OK;
}


u_char *
ngx_eb_lifecycle_id_hex(u_char *out, u_char *id)
{
    return ngx_hex_dump(out, id, NGX_EB_LIFECYCLE_DIGEST);
}


ngx_int_t
ngx_eb_lifecycle_fit(ngx_str_t *id, u_char *buf)
{
    u_char  digest[NGX_EB_LIFECYCLE_SHA256];

    if (id->len <= NGX_EB_LIFECYCLE_ID) {
        return NGX_OK;
    }

    if (EVP_Digest(id->data, id->len, digest, NULL, EVP_sha256(), NULL) != 1) {
        return NGX_ERROR;
    }

    (void) ngx_hex_dump(buf, digest, NGX_EB_LIFECYCLE_SHA256);

    id->data = buf;
    id->len = NGX_EB_LIFECYCLE_ID;

    return NGX_OK;
}
