
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Keys and signatures of Standard Webhooks 1.0.0
 * (https://www.standardwebhooks.com).
 */


#ifndef _NGX_EB_WEBHOOK_H_INCLUDED_
#define _NGX_EB_WEBHOOK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* how a key begins: of HMACs (v1), and the public one of Ed25519 (v1a) */
#define NGX_EB_WEBHOOK_SECRET     "whsec_"
#define NGX_EB_WEBHOOK_PUBLIC     "whpk_"

/* Ed25519, RFC 8032: bytes of a public key and of a signature */
#define NGX_EB_WEBHOOK_KEY        32
#define NGX_EB_WEBHOOK_SIGNATURE  64


/*
 * The key behind prefix, which is base64 in text and bytes in buf, of size.
 * NGX_OK; NGX_DECLINED: text begins with something else; NGX_ERROR: no
 * base64, empty, or longer than size.
 */
ngx_int_t ngx_eb_webhook_key(ngx_str_t *text, const char *prefix, u_char *buf,
    size_t size, ngx_str_t *key);

/* is signature that of content, made with the private part of key? */
ngx_uint_t ngx_eb_webhook_verify(u_char key[NGX_EB_WEBHOOK_KEY],
    ngx_str_t *content, u_char signature[NGX_EB_WEBHOOK_SIGNATURE]);


#endif /* _NGX_EB_WEBHOOK_H_INCLUDED_ */
