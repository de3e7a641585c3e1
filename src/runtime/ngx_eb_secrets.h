
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Files of secrets, lines NAME:SECRET or a single secret, that workers read
 * again when they change.  What is kept in memory is compared in constant
 * time, and wiped.
 */


#ifndef _NGX_EB_SECRETS_H_INCLUDED_
#define _NGX_EB_SECRETS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <openssl/evp.h>


/* of the file, and of a name in it */
#define NGX_EB_SECRETS_MAX_SIZE  (1024 * 1024)
#define NGX_EB_SECRETS_MAX_NAME  128


/* what a presented text is compared with */

typedef enum {
    NGX_EB_SECRETS_SECRET = 0,  /* SECRET; a digest of it is kept */
    NGX_EB_SECRETS_PAIR,        /* NAME:SECRET; a digest of it is kept */
    NGX_EB_SECRETS_KEY,         /* SECRET is a key of HMACs, and kept itself */
    NGX_EB_SECRETS_WEBHOOK,     /* SECRET is a key of Standard Webhooks: whsec_
                                   for HMACs, whpk_ for Ed25519; it is kept
                                   decoded */
    NGX_EB_SECRETS_VALUE        /* all of the file is one secret, without a
                                   name, which is kept itself */
} ngx_eb_secrets_form_e;


typedef struct ngx_eb_secrets_s  ngx_eb_secrets_t;


/*
 * Configuration: reads the file at path (absolute, NUL-terminated, lives as
 * long as pool).  NULL: failed; the reason, with the line of the file, is in
 * errstr (never the content), errno or 0 in *err.  Wiped with pool.
 */
ngx_eb_secrets_t *ngx_eb_secrets_open(ngx_pool_t *pool, ngx_str_t *path,
    ngx_eb_secrets_form_e form, ngx_log_t *log, u_char *errstr,
    size_t errlen, ngx_err_t *err);

/*
 * Worker, before each use: looks at the file at most once a second, and reads
 * it again when it has changed.  What cannot be used is logged once, and
 * the secrets stay as they were.
 */
void ngx_eb_secrets_refresh(ngx_eb_secrets_t *s, ngx_log_t *log);

/*
 * The NAME whose secret (or pair) text is, or NULL.  The time it takes depends
 * on the length of text and the number of secrets, and on nothing else.  The
 * name is valid until the next ngx_eb_secrets_refresh().
 */
ngx_str_t *ngx_eb_secrets_match(ngx_eb_secrets_t *s, ngx_str_t *text);

/*
 * The NAME one of whose keys gives one of n signatures (each of the digest's
 * length, one after another) as HMAC of data, or NULL; as above.
 */
ngx_str_t *ngx_eb_secrets_verify(ngx_eb_secrets_t *s, const EVP_MD *md,
    ngx_str_t *data, u_char *signatures, ngx_uint_t n);

/*
 * The NAME one of whose public keys has signed data with one of n signatures
 * of NGX_EB_WEBHOOK_SIGNATURE bytes, or NULL.  Nothing of it is secret.
 */
ngx_str_t *ngx_eb_secrets_verify_public(ngx_eb_secrets_t *s, ngx_str_t *data,
    u_char *signatures, ngx_uint_t n);

/* the secret of a file that is one, valid until the next refresh */
ngx_str_t *ngx_eb_secrets_value(ngx_eb_secrets_t *s);

/* key number i of the form KEY, as above, or NULL: there are not so many */
ngx_str_t *ngx_eb_secrets_key(ngx_eb_secrets_t *s, ngx_uint_t i);

/* the name of that key */
ngx_str_t *ngx_eb_secrets_name(ngx_eb_secrets_t *s, ngx_uint_t i);

/* can this process open the file?  0 or errno */
ngx_err_t ngx_eb_secrets_access(ngx_eb_secrets_t *s);

/* could a user in these groups open it, as far as modes say? */
ngx_uint_t ngx_eb_secrets_permitted(ngx_eb_secrets_t *s, uid_t user,
    gid_t *groups, ngx_uint_t ngroups);

ngx_str_t *ngx_eb_secrets_path(ngx_eb_secrets_t *s);


#endif /* _NGX_EB_SECRETS_H_INCLUDED_ */
