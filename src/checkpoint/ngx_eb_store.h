
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The store of delivered marks, as its users see it: batches of keys are
 * claimed, committed and released.  Implementations: the local mapped file
 * (ngx_eb_checkpoint), Redis later.
 */


#ifndef _NGX_EB_STORE_H_INCLUDED_
#define _NGX_EB_STORE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef enum {
    NGX_EB_KEY_SKIP = 0,    /* in, out: not this store's business */
    NGX_EB_KEY_NEW,         /* in: asked for */
    NGX_EB_KEY_CLAIMED,     /* out: ours; deliver want & ~done */
    NGX_EB_KEY_DUPLICATE,   /* out: every wanted bit was there before */
    NGX_EB_KEY_BUSY,        /* out: another live delivery holds it */
    NGX_EB_KEY_FULL         /* out: no room, and nothing may be evicted */
} ngx_eb_key_status_e;


typedef struct {
    uint64_t                  hi;       /* set by the hash operation */
    uint64_t                  lo;
    uint64_t                  want;     /* bits of all present destinations */
    uint64_t                  done;     /* claim: out, bits already there;
                                           commit: in, bits to set */
    uint64_t                  slot;     /* the store's own */
    unsigned                  status:8; /* ngx_eb_key_status_e */
    unsigned                  final:1;  /* commit: nothing is pending for this
                                           key any more, give the claim up */
} ngx_eb_store_key_t;


typedef struct ngx_eb_store_s  ngx_eb_store_t;

/* called once when an operation that returned NGX_AGAIN has ended */
typedef void (*ngx_eb_store_handler_pt)(void *data, ngx_int_t rc);


/*
 * Each operation works on n keys, and skips those whose status does not
 * concern it (claim: all but NGX_EB_KEY_NEW; commit: all but
 * NGX_EB_KEY_CLAIMED).  keys stay the caller's and must live until the
 * operation has ended.
 *
 * NGX_OK: done, the handler is not called.  NGX_AGAIN: the handler will be
 * called.  NGX_ERROR: the store cannot serve (logged), nothing is claimed.
 */

struct ngx_eb_store_s {
    /* keyed hash of len bytes into key->hi and key->lo; does not fail */
    void        (*hash)(ngx_eb_store_t *store, u_char *data, size_t len,
                    ngx_eb_store_key_t *key);

    /* a number for one delivery, unique among those that live */
    uint32_t    (*token)(ngx_eb_store_t *store);

    ngx_int_t   (*claim)(ngx_eb_store_t *store, uint32_t token,
                    ngx_eb_store_key_t *keys, ngx_uint_t n,
                    ngx_eb_store_handler_pt handler, void *data);

    /*
     * Sets key->done bits.  With final, the mark becomes delivered (all of
     * want is there), partly delivered, or vanishes when it has no bit; and
     * the key's status becomes NGX_EB_KEY_SKIP.  final with done = 0 is a
     * release.  The bits are set even if the claim was lost to another owner;
     * a lost claim is not given up.
     */
    ngx_int_t   (*commit)(ngx_eb_store_t *store, uint32_t token,
                    ngx_eb_store_key_t *keys, ngx_uint_t n,
                    ngx_eb_store_handler_pt handler, void *data);

    /*
     * What a claim of these keys (status NGX_EB_KEY_NEW) would find now, for
     * whoever is curious: sets key->done, and the status to DUPLICATE or BUSY;
     * NEW stays where it would be claimed.  Changes no mark, does not wait.
     * NGX_OK, NGX_ERROR.
     */
    ngx_int_t   (*lookup)(ngx_eb_store_t *store, ngx_eb_store_key_t *keys,
                    ngx_uint_t n);

    void                     *data;     /* the implementation's */
};


#endif /* _NGX_EB_STORE_H_INCLUDED_ */
