
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What a line of the outbox says, when a callback is tried again, and how it
 * is signed (Standard Webhooks).  No I/O.
 */


#ifndef _NGX_EB_OUTBOX_LINE_H_INCLUDED_
#define _NGX_EB_OUTBOX_LINE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* "msg_" and 32 hexadecimal digits */
#define NGX_EB_OUTBOX_ID          36

/* of a webhook: letters, digits, and "_-." */
#define NGX_EB_OUTBOX_NAME        64

/* of a payload */
#define NGX_EB_OUTBOX_MAX         (1024 * 1024)

/* waits, ms: the bound of the first, of any, and of what Retry-After says */
#define NGX_EB_OUTBOX_BASE        1000
#define NGX_EB_OUTBOX_CAP         (300 * 1000)
#define NGX_EB_OUTBOX_LONG        (3600 * 1000)

/* "v1," and a digest of SHA-256 in base64; and a key, decoded */
#define NGX_EB_OUTBOX_SIGNATURE   47
#define NGX_EB_OUTBOX_KEY         4096


typedef enum {
    NGX_EB_OUTBOX_INTENT = 0,   /* something is about to be done */
    NGX_EB_OUTBOX_CALLBACK,     /* it was done: the webhook is to hear of it */
    NGX_EB_OUTBOX_UNKNOWN,      /* who intended it is gone: the payload of the
                                   intent is what the webhook hears */
    NGX_EB_OUTBOX_AUDITED,      /* the payload is in the audit log */
    NGX_EB_OUTBOX_DONE,         /* the webhook has it */
    NGX_EB_OUTBOX_DEAD,         /* it will not be tried again */
    NGX_EB_OUTBOX_KINDS
} ngx_eb_outbox_kind_e;


/* a line; only the first two have what follows created */

typedef struct {
    ngx_eb_outbox_kind_e      kind;
    ngx_str_t                 id;
    int64_t                   created;      /* ms since the epoch; of a mark:
                                               when it was made */
    ngx_str_t                 webhook;      /* or empty: only audited */
    ngx_str_t                 audit;        /* file, a quoted JSON string */
    ngx_str_t                 payload;      /* JSON object on one line */

    /* of a mark */
    ngx_uint_t                status;       /* 0: there was no answer */
    ngx_uint_t                tries;
    const char               *reason;       /* or NULL */
} ngx_eb_outbox_line_t;


/* room for what ngx_eb_outbox_format() writes */
size_t ngx_eb_outbox_size(ngx_eb_outbox_line_t *line);

/* a record for the append log, without its closing brace; its end */
u_char *ngx_eb_outbox_format(u_char *p, ngx_eb_outbox_line_t *line);

/*
 * The same backwards, of what the log says is the payload of a line of its
 * own.  All texts are slices of it; status, tries and reason are not set.
 * NGX_OK; NGX_DECLINED: it is no line of an outbox that this version knows.
 */
ngx_int_t ngx_eb_outbox_parse(u_char *p, size_t len,
    ngx_eb_outbox_line_t *line);

/* is it a name of a webhook? */
ngx_uint_t ngx_eb_outbox_named(ngx_str_t *name);

/* id: NGX_EB_OUTBOX_ID bytes, of 16 random ones */
void ngx_eb_outbox_id(u_char *id, u_char *random);


/*
 * How long to wait after so many attempts (1 at least) that failed: random up
 * to the base, doubled for each, up to the cap; or what Retry-After says (a
 * number or a date, empty: nothing), up to its own cap, and up to a second
 * more, so that those who were told the same do not return together.
 */
ngx_msec_t ngx_eb_outbox_wait(ngx_uint_t attempts, ngx_str_t *retry_after,
    time_t now, ngx_uint_t random);

/*
 * Is the budget used up, if the next attempt comes after wait?  Why, or NULL.
 * tries: 0 is any number.  max_age is in seconds, now in ms.
 */
const char *ngx_eb_outbox_over(ngx_uint_t attempts, ngx_uint_t tries,
    int64_t created, int64_t now, time_t max_age, ngx_msec_t wait);


/*
 * The key that a secret stands for: after "whsec_" it is base64, else it is
 * the bytes of the secret.  buf: NGX_EB_OUTBOX_KEY bytes.  NGX_OK, NGX_ERROR:
 * no base64, empty, or too long.
 */
ngx_int_t ngx_eb_outbox_key(ngx_str_t *secret, u_char *buf, ngx_str_t *key);

/*
 * out: NGX_EB_OUTBOX_SIGNATURE bytes.  content: ID.SECONDS.BODY.  NGX_OK,
 * NGX_ERROR: the crypto library failed.
 */
ngx_int_t ngx_eb_outbox_sign(ngx_str_t *key, ngx_str_t *content, u_char *out);


#endif /* _NGX_EB_OUTBOX_LINE_H_INCLUDED_ */
