
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What is done with an entry of the outbox: a thread reads its line, and
 * writes its payload to the audit log if that is still to be done; then the
 * webhook gets it.
 */


#include "ngx_eb_outbox.h"
#include <openssl/crypto.h>


/* of an answer: nobody reads it */
#define NGX_EB_OUTBOX_ANSWER   (1024 * 1024)

/* when a disk or a thread pool refuses */
#define NGX_EB_OUTBOX_AGAIN    5000

/* what is signed by: more are of no use to anybody */
#define NGX_EB_OUTBOX_SECRETS  8


/* a line that a thread fetches */

typedef struct {
    ngx_eb_outbox_t          *ob;
    ngx_eb_outbox_entry_t    *entry;
    u_char                   *buf;
    off_t                     offset;
    size_t                    len;
    dev_t                     dev;
    ino_t                     ino;
    ngx_fd_t                  audit;        /* or NGX_INVALID_FILE */
    ngx_err_t                 err;          /* of the line */
    ngx_err_t                 audit_err;
    ngx_eb_outbox_line_t      line;
} ngx_eb_outbox_fetch_t;


static ngx_int_t ngx_eb_outbox_fetch(ngx_eb_outbox_entry_t *e);
static void ngx_eb_outbox_fetch_run(void *data);
static ngx_err_t ngx_eb_outbox_fetch_line(ngx_eb_outbox_fetch_t *f);
static ngx_err_t ngx_eb_outbox_fetch_audit(ngx_eb_outbox_fetch_t *f);
static void ngx_eb_outbox_fetched(void *data);
static void ngx_eb_outbox_audited(void *data, ngx_int_t rc);
static void ngx_eb_outbox_send(ngx_eb_outbox_entry_t *e, ngx_str_t *payload);
static ngx_int_t ngx_eb_outbox_request(ngx_eb_outbox_entry_t *e,
    ngx_str_t *payload, ngx_pool_t *pool);
static ngx_int_t ngx_eb_outbox_signatures(ngx_eb_outbox_entry_t *e,
    ngx_str_t *payload, time_t now, ngx_pool_t *pool, ngx_str_t *header);
static void ngx_eb_outbox_reply(void *data, ngx_eb_client_reply_t *reply);
static void ngx_eb_outbox_failed(ngx_eb_outbox_entry_t *e,
    ngx_str_t *retry_after, ngx_str_t *error);
static void ngx_eb_outbox_done(ngx_eb_outbox_entry_t *e, const char *reason);
static void ngx_eb_outbox_marked(void *data, ngx_int_t rc);
static void ngx_eb_outbox_end(ngx_eb_outbox_entry_t *e);


void
ngx_eb_outbox_pump(ngx_eb_outbox_t *ob)
{
    ngx_uint_t               i, n, idle;
    ngx_queue_t             *q;
    ngx_eb_webhook_t       **webhooks, *w;
    ngx_eb_outbox_entry_t   *e;

    if (ngx_exiting || ngx_terminate || !ob->holder || ob->anew) {
        return;
    }

    webhooks = ob->webhooks.elts;
    n = ob->webhooks.nelts + 1;

    /* one of each in turn, until there is nothing to do or no room */

    for (idle = 0; idle < n && ob->running < NGX_EB_OUTBOX_PARALLEL; ) {

        i = ob->next++ % n;
        w = (i == n - 1) ? &ob->none : webhooks[i];

        if (ngx_queue_empty(&w->ready) || w->running >= w->parallel) {
            idle++;
            continue;
        }

        idle = 0;

        q = ngx_queue_head(&w->ready);
        e = ngx_queue_data(q, ngx_eb_outbox_entry_t, ready);

        ngx_queue_remove(q);

        e->state = NGX_EB_OUTBOX_RUNNING;
        w->running++;
        ob->running++;

        /* that the webhook has it is known, and not on the disk yet */

        if (e->sent && !e->marked) {
            ngx_eb_outbox_done(e, NULL);
            continue;
        }

        if (ngx_eb_outbox_fetch(e) != NGX_OK) {
            ngx_eb_outbox_end(e);
            ngx_eb_outbox_later(e, NGX_EB_OUTBOX_AGAIN);
        }
    }
}


static ngx_int_t
ngx_eb_outbox_fetch(ngx_eb_outbox_entry_t *e)
{
    ngx_eb_outbox_t        *ob;
    ngx_eb_outbox_audit_t  *audit;
    ngx_eb_outbox_fetch_t  *f;

    ob = e->ob;

    f = ngx_calloc(sizeof(ngx_eb_outbox_fetch_t) + e->len, ob->errlog);
    if (f == NULL) {
        return NGX_ERROR;
    }

    f->ob = ob;
    f->entry = e;
    f->buf = (u_char *) (f + 1);
    f->offset = e->offset;
    f->len = e->len;
    f->dev = ob->dev;
    f->ino = ob->ino;
    f->audit = NGX_INVALID_FILE;

    /* the audit log may be reopened while the thread writes to it */

    if (!e->audited) {
        audit = ob->audits.elts;
        audit += e->audit;

        f->audit = audit->dup(audit->data);
        f->audit_err = NGX_EAGAIN;
    }

    if (ngx_eb_log_run(ob->log, ngx_eb_outbox_fetch_run, ngx_eb_outbox_fetched,
                       f)
        != NGX_OK)
    {
        if (f->audit != NGX_INVALID_FILE) {
            (void) close(f->audit);
        }

        ngx_free(f);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* in a thread */

static void
ngx_eb_outbox_fetch_run(void *data)
{
    ngx_eb_outbox_fetch_t *f = data;

    f->err = ngx_eb_outbox_fetch_line(f);

    if (f->audit == NGX_INVALID_FILE) {
        return;
    }

    if (f->err == 0) {
        f->audit_err = ngx_eb_outbox_fetch_audit(f);
    }

    (void) close(f->audit);
}


/* ESTALE: the file is another one by now, or the line is not where it was */

static ngx_err_t
ngx_eb_outbox_fetch_line(ngx_eb_outbox_fetch_t *f)
{
    ngx_fd_t     fd;
    ngx_err_t    err;
    ngx_int_t    rc;
    struct stat  st;

    fd = open((char *) ngx_eb_log_path(f->ob->log)->data,
              O_RDONLY|O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK);

    if (fd == NGX_INVALID_FILE) {
        return ngx_errno;
    }

    err = 0;

    if (fstat(fd, &st) == -1) {
        err = ngx_errno;

    } else if (st.st_dev != f->dev || st.st_ino != f->ino) {
        err = ESTALE;

    } else {
        rc = ngx_eb_log_pread(fd, f->buf, f->len, f->offset);

        if (rc != NGX_OK) {
            err = ngx_errno;

        } else if (ngx_eb_log_check(f->buf, f->len) != NGX_EB_LOG_VALID
                   || ngx_eb_outbox_parse(f->buf, f->len - NGX_EB_LOG_SUFFIX,
                                          &f->line)
                      != NGX_OK
                   || f->line.kind > NGX_EB_OUTBOX_CALLBACK)
        {
            err = ESTALE;
        }
    }

    (void) close(fd);

    return err;
}


static ngx_err_t
ngx_eb_outbox_fetch_audit(ngx_eb_outbox_fetch_t *f)
{
    u_char   *p;
    size_t    len;
    ssize_t   n;

    /* what follows the payload in the buffer is not needed any more */

    p = f->line.payload.data;
    len = f->line.payload.len;
    p[len++] = LF;

    while (len) {
        n = write(f->audit, p, len);

        if (n == -1) {

            if (ngx_errno == NGX_EINTR) {
                continue;
            }

            return ngx_errno;
        }

        p += n;
        len -= n;
    }

    /* a pipe or a device is not flushed */

    if (fdatasync(f->audit) == -1 && ngx_errno != NGX_EINVAL) {
        return ngx_errno;
    }

    return 0;
}


/* and back in the event loop */

static void
ngx_eb_outbox_fetched(void *data)
{
    ngx_eb_outbox_fetch_t *f = data;

    ngx_eb_outbox_t        *ob;
    ngx_eb_outbox_entry_t  *e;

    e = f->entry;
    ob = f->ob;

    if (f->err) {

        if (f->err != ESTALE) {
            ngx_log_error(NGX_LOG_ERR, ob->errlog, f->err,
                          "eventbridge: outbox \"%V\" cannot be read",
                          ngx_eb_log_path(ob->log));
        }

        ngx_free(f);

        ngx_eb_outbox_end(e);
        ngx_eb_outbox_later(e, 1000);
        return;
    }

    if (!e->audited) {

        if (f->audit_err == 0) {
            e->audited = 1;

            (void) __sync_fetch_and_add(ob->figures.audited, 1);

            /* if this line is lost the record is written once more */

            (void) ngx_eb_outbox_mark(ob, e->id, NGX_EB_OUTBOX_AUDITED, 0, 0,
                                      NULL, ngx_eb_outbox_audited, ob);

        } else if (!e->audit_failed) {
            e->audit_failed = 1;
            ngx_log_error(NGX_LOG_ERR, ob->errlog, f->audit_err,
                          "eventbridge: a record of the outbox could not be "
                          "written to the audit log, it will be tried again");
        }
    }

    if (e->callback && !e->sent) {
        ngx_eb_outbox_send(e, &f->line.payload);

    } else {
        ngx_eb_outbox_end(e);
        ngx_eb_outbox_settle(e);

        if (!e->closed) {
            ngx_eb_outbox_later(e, NGX_EB_OUTBOX_AGAIN);
        }
    }

    ngx_free(f);

    ngx_eb_outbox_pump(ob);
}


static void
ngx_eb_outbox_audited(void *data, ngx_int_t rc)
{
    ngx_eb_outbox_t *ob = data;

    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_WARN, ob->errlog, 0,
                      "eventbridge: an audit record of outbox \"%V\" may be "
                      "written twice", ngx_eb_log_path(ob->log));
    }
}


static void
ngx_eb_outbox_send(ngx_eb_outbox_entry_t *e, ngx_str_t *payload)
{
    ngx_int_t    rc;
    ngx_str_t    none, error;
    ngx_pool_t  *pool;

    ngx_str_null(&none);

    e->attempts++;
    e->status = 0;

    if (e->webhook == &e->ob->none) {
        ngx_str_set(&error, "the configuration has no such webhook");
        ngx_eb_outbox_failed(e, &none, &error);
        return;
    }

    rc = NGX_ERROR;
    pool = ngx_create_pool(4096, e->ob->errlog);

    if (pool) {
        rc = ngx_eb_outbox_request(e, payload, pool);
        ngx_destroy_pool(pool);
    }

    if (rc != NGX_OK) {
        ngx_str_set(&error, "the request could not be made");
        ngx_eb_outbox_failed(e, &none, &error);
    }
}


static ngx_int_t
ngx_eb_outbox_request(ngx_eb_outbox_entry_t *e, ngx_str_t *payload,
    ngx_pool_t *pool)
{
    u_char                   *p;
    time_t                    now;
    ngx_str_t                 lines[4];
    ngx_eb_webhook_t         *w;
    ngx_eb_client_request_t   request;

    w = e->webhook;
    now = ngx_time();

    ngx_memzero(&request, sizeof(ngx_eb_client_request_t));

    ngx_str_set(&lines[0], "Content-Type: application/json");

    p = ngx_pnalloc(pool, sizeof("webhook-id: ") - 1 + NGX_EB_OUTBOX_ID
                          + sizeof("webhook-timestamp: ") - 1
                          + NGX_TIME_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    lines[1].data = p;
    p = ngx_cpymem(p, "webhook-id: ", sizeof("webhook-id: ") - 1);
    p = ngx_cpymem(p, e->id, NGX_EB_OUTBOX_ID);
    lines[1].len = p - lines[1].data;

    lines[2].data = p;
    p = ngx_sprintf(p, "webhook-timestamp: %T", now);
    lines[2].len = p - lines[2].data;

    request.headers = lines;
    request.nheaders = 3;

    if (w->secrets) {

        if (ngx_eb_outbox_signatures(e, payload, now, pool, &lines[3])
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        request.nheaders = 4;
    }

    ngx_str_set(&request.method, "POST");
    request.url = w->url;
    request.body = *payload;
    request.trusted_certificate = w->trusted_certificate;
    request.connect_timeout = w->connect_timeout;
    request.timeout = w->timeout;
    request.max_body = NGX_EB_OUTBOX_ANSWER;
    request.resolver = w->resolver;
    request.resolver_timeout = w->resolver_timeout;
    request.handler = ngx_eb_outbox_reply;
    request.data = e;

    e->transfer = ngx_eb_client_send(&request);

    return e->transfer ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_eb_outbox_signatures(ngx_eb_outbox_entry_t *e, ngx_str_t *payload,
    time_t now, ngx_pool_t *pool, ngx_str_t *header)
{
    u_char      *p, buf[NGX_EB_OUTBOX_KEY];
    ngx_str_t    content, key, *secret;
    ngx_uint_t   i, n;

    ngx_eb_secrets_refresh(e->webhook->secrets, e->ob->errlog);

    content.data = ngx_pnalloc(pool, NGX_EB_OUTBOX_ID + 1 + NGX_TIME_T_LEN + 1
                                     + payload->len);

    header->data = ngx_pnalloc(pool, sizeof("webhook-signature:") - 1
                                     + NGX_EB_OUTBOX_SECRETS
                                       * (1 + NGX_EB_OUTBOX_SIGNATURE));

    if (content.data == NULL || header->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(content.data, e->id, NGX_EB_OUTBOX_ID);
    p = ngx_sprintf(p, ".%T.", now);
    p = ngx_cpymem(p, payload->data, payload->len);
    content.len = p - content.data;

    p = ngx_cpymem(header->data, "webhook-signature:",
                   sizeof("webhook-signature:") - 1);
    n = 0;

    for (i = 0; n < NGX_EB_OUTBOX_SECRETS; i++) {

        secret = ngx_eb_secrets_key(e->webhook->secrets, i);
        if (secret == NULL) {
            break;
        }

        if (ngx_eb_outbox_key(secret, buf, &key) != NGX_OK) {
            continue;
        }

        *p++ = ' ';

        if (ngx_eb_outbox_sign(&key, &content, p) != NGX_OK) {
            OPENSSL_cleanse(buf, sizeof(buf));
            return NGX_ERROR;
        }

        p += NGX_EB_OUTBOX_SIGNATURE;
        n++;
    }

    OPENSSL_cleanse(buf, sizeof(buf));

    header->len = p - header->data;

    /* without a valid secret it would be taken for somebody else's */

    return n ? NGX_OK : NGX_ERROR;
}


static void
ngx_eb_outbox_reply(void *data, ngx_eb_client_reply_t *reply)
{
    ngx_eb_outbox_entry_t *e = data;

    ngx_eb_webhook_t  *w;

    w = e->webhook;
    e->transfer = NULL;
    e->status = reply->status;

    if (reply->status / 100 != 2) {
        ngx_eb_outbox_failed(e, &reply->retry_after, &reply->error);
        return;
    }

    if (w->failing) {
        w->failing = 0;
        ngx_log_error(NGX_LOG_NOTICE, e->ob->errlog, 0,
                      "eventbridge: webhook \"%V\" takes callbacks again",
                      &w->name);
    }

    e->sent = 1;

    (void) __sync_fetch_and_add(e->ob->figures.delivered, 1);

    ngx_eb_outbox_done(e, NULL);
}


static void
ngx_eb_outbox_failed(ngx_eb_outbox_entry_t *e, ngx_str_t *retry_after,
    ngx_str_t *error)
{
    int64_t            now;
    ngx_msec_t         wait;
    const char        *reason;
    ngx_eb_outbox_t   *ob;
    ngx_eb_webhook_t  *w;

    w = e->webhook;
    ob = e->ob;
    now = ngx_eb_outbox_now();

    (void) __sync_fetch_and_add(ob->figures.failed, 1);

    if (!w->failing) {
        w->failing = 1;
        ngx_log_error(NGX_LOG_WARN, ob->errlog, 0,
                      "eventbridge: webhook \"%V\" did not take a callback, "
                      "which is tried again: status %ui %V", &w->name,
                      e->status, error);
    }

    wait = ngx_eb_outbox_wait(e->attempts, retry_after, ngx_time(),
                              (ngx_uint_t) ngx_random());

    reason = ngx_eb_outbox_over(e->attempts, w->tries, e->created, now,
                                w->max_age, wait);

    if (reason) {
        ngx_log_error(NGX_LOG_ERR, ob->errlog, 0,
                      "eventbridge: callback %*s to webhook \"%V\" is given "
                      "up after %ui attempts (%s), status %ui",
                      (size_t) NGX_EB_OUTBOX_ID, e->id, &w->name, e->attempts,
                      reason, e->status);

        e->sent = 1;
        e->buried = 1;
        ob->nburied++;

        (void) __sync_fetch_and_add(ob->figures.dead, 1);

        ngx_eb_outbox_done(e, reason);
        return;
    }

    ngx_eb_outbox_end(e);
    ngx_eb_outbox_later(e, wait);
    ngx_eb_outbox_pump(ob);
}


/* remembers that this entry needs no further attempt */

static void
ngx_eb_outbox_done(ngx_eb_outbox_entry_t *e, const char *reason)
{
    if (ngx_eb_outbox_mark(e->ob, e->id,
                           e->buried ? NGX_EB_OUTBOX_DEAD : NGX_EB_OUTBOX_DONE,
                           e->status, e->attempts, reason,
                           ngx_eb_outbox_marked, e)
        != NGX_AGAIN)
    {
        ngx_eb_outbox_end(e);
        ngx_eb_outbox_later(e, NGX_EB_OUTBOX_AGAIN);
    }
}


static void
ngx_eb_outbox_marked(void *data, ngx_int_t rc)
{
    ngx_eb_outbox_entry_t *e = data;

    ngx_eb_outbox_t  *ob;

    ob = e->ob;

    ngx_eb_outbox_end(e);

    /* not on the disk: only that is tried again, the webhook has it */

    if (rc == NGX_OK) {
        e->marked = 1;
        ngx_eb_outbox_settle(e);
    }

    if (!e->closed) {
        ngx_eb_outbox_later(e, NGX_EB_OUTBOX_AGAIN);
    }

    ngx_eb_outbox_pump(ob);
}


static void
ngx_eb_outbox_end(ngx_eb_outbox_entry_t *e)
{
    e->state = NGX_EB_OUTBOX_WAITING;
    e->webhook->running--;
    e->ob->running--;
}
