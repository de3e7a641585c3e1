
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include "ngx_eb_webhook.h"


ngx_int_t
ngx_eb_webhook_key(ngx_str_t *text, const char *prefix, u_char *buf,
    size_t size, ngx_str_t *key)
{
    size_t     len;
    ngx_str_t  encoded;

    len = ngx_strlen(prefix);

    if (text->len < len || ngx_memcmp(text->data, prefix, len) != 0) {
        return NGX_DECLINED;
    }

    encoded.data = text->data + len;
    encoded.len = text->len - len;

    /* the padding is worth nothing, and four digits are three bytes */

    while (encoded.len && encoded.data[encoded.len - 1] == '='
           && text->len - len - encoded.len < 2)
    {
        encoded.len--;
    }

    key->data = buf;

    if (encoded.len > size * 4 / 3 + 1
        || encoded.len * 3 / 4 > size
        || ngx_decode_base64(key, &encoded) != NGX_OK
        || key->len == 0)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_uint_t
ngx_eb_webhook_verify(u_char key[NGX_EB_WEBHOOK_KEY], ngx_str_t *content,
    u_char signature[NGX_EB_WEBHOOK_SIGNATURE])
{
    int          ok;
    EVP_PKEY    *pkey;
    EVP_MD_CTX  *ctx;

    pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key,
                                       NGX_EB_WEBHOOK_KEY);
    ctx = EVP_MD_CTX_new();

    ok = pkey && ctx
         && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1
         && EVP_DigestVerify(ctx, signature, NGX_EB_WEBHOOK_SIGNATURE,
                             content->data, content->len)
            == 1;

    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);

    /* a wrong signature leaves errors, which nginx would log as its own */
    ERR_clear_error();

    return ok;
}
