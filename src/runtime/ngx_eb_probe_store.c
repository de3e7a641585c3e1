
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Whom probes trust: certificates of authorities, by file, kept until the file
 * is another one.
 *
 * Those of a system take OpenSSL 3 a tenth of a second.  Nobody waits for that
 * at once: a few are read in each turn of the event loop.
 */


#include "ngx_eb_probe_tls.h"
#include "ngx_eb_client.h"
#include <openssl/err.h>
#include <openssl/pem.h>


/* of a turn, ms */
#define NGX_EB_PROBE_SLICE  2

/* of a file, bytes */
#define NGX_EB_PROBE_FILE   (8 * 1024 * 1024)


typedef struct ngx_eb_probe_store_s  ngx_eb_probe_store_t;

struct ngx_eb_probe_store_s {
    ngx_eb_probe_store_t     *other;
    X509_STORE               *store;        /* NULL: none yet */

    X509_STORE               *next;         /* while it is read, or NULL */
    BIO                      *bio;
    u_char                   *text;
    ngx_uint_t                n;            /* certificates so far */
    ngx_msec_t                turn;         /* ngx_current_msec of the last */

    ngx_file_uniq_t           uniq;
    time_t                    mtime;
    off_t                     size;
    unsigned                  refused:1;    /* the file, as it is */

    size_t                    len;
    u_char                    file[1];
};


static ngx_eb_probe_store_t *ngx_eb_probe_store_find(ngx_str_t *trusted,
    ngx_uint_t create);
static ngx_int_t ngx_eb_probe_store_open(ngx_eb_probe_store_t *s);
static ngx_int_t ngx_eb_probe_store_read(ngx_eb_probe_store_t *s);
static void ngx_eb_probe_store_close(ngx_eb_probe_store_t *s);


static ngx_eb_probe_store_t  *ngx_eb_probe_stores;


ngx_int_t
ngx_eb_probe_store_ready(ngx_str_t *trusted)
{
    ngx_int_t              rc;
    ngx_file_info_t        fi;
    ngx_eb_probe_store_t  *s;

    s = ngx_eb_probe_store_find(trusted, 1);

    if (s == NULL) {
        return NGX_ERROR;
    }

    if (ngx_file_info(s->file, &fi) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, ngx_errno,
                      ngx_file_info_n " \"%s\" failed", s->file);
        return s->store ? NGX_OK : NGX_ERROR;
    }

    if (s->next == NULL
        && (s->uniq != ngx_file_uniq(&fi) || s->mtime != ngx_file_mtime(&fi)
            || s->size != ngx_file_size(&fi)))
    {
        s->uniq = ngx_file_uniq(&fi);
        s->mtime = ngx_file_mtime(&fi);
        s->size = ngx_file_size(&fi);

        s->refused = (ngx_eb_probe_store_open(s) != NGX_OK);
    }

    if (s->next && s->turn != ngx_current_msec) {

        s->turn = ngx_current_msec;

        rc = ngx_eb_probe_store_read(s);

        ERR_clear_error();

        if (rc == NGX_OK) {
            X509_STORE_free(s->store);
            s->store = s->next;
            s->next = NULL;

            ngx_eb_probe_store_close(s);

        } else if (rc == NGX_ERROR) {
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "eventbridge: the trusted certificates in \"%s\" "
                          "cannot be read", s->file);

            ngx_eb_probe_store_close(s);
            s->refused = 1;
        }
    }

    if (s->store) {
        return NGX_OK;
    }

    return s->refused ? NGX_ERROR : NGX_AGAIN;
}


X509_STORE *
ngx_eb_probe_store(ngx_str_t *trusted)
{
    ngx_eb_probe_store_t  *s;

    s = ngx_eb_probe_store_find(trusted, 0);

    return s ? s->store : NULL;
}


void
ngx_eb_probe_store_exit(void)
{
    ngx_eb_probe_store_t  *s;

    while (ngx_eb_probe_stores) {
        s = ngx_eb_probe_stores;
        ngx_eb_probe_stores = s->other;

        ngx_eb_probe_store_close(s);
        X509_STORE_free(s->store);
        ngx_free(s);
    }
}


/* there are as many as the configuration names */

static ngx_eb_probe_store_t *
ngx_eb_probe_store_find(ngx_str_t *trusted, ngx_uint_t create)
{
    size_t                 len;
    const char            *file;
    ngx_eb_probe_store_t  *s;

    file = trusted->len ? (const char *) trusted->data
                        : ngx_eb_client_authorities();
    len = ngx_strlen(file);

    for (s = ngx_eb_probe_stores; s; s = s->other) {
        if (s->len == len && ngx_memcmp(s->file, file, len) == 0) {
            return s;
        }
    }

    if (!create) {
        return NULL;
    }

    s = ngx_calloc(sizeof(ngx_eb_probe_store_t) + len, ngx_cycle->log);
    if (s == NULL) {
        return NULL;
    }

    s->len = len;
    ngx_memcpy(s->file, file, len + 1);
    s->other = ngx_eb_probe_stores;
    ngx_eb_probe_stores = s;

    return s;
}


static ngx_int_t
ngx_eb_probe_store_open(ngx_eb_probe_store_t *s)
{
    size_t    size;
    ssize_t   n;
    ngx_fd_t  fd;

    if (s->size <= 0 || s->size > NGX_EB_PROBE_FILE) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "eventbridge: \"%s\" is empty or too long", s->file);
        return NGX_ERROR;
    }

    size = (size_t) s->size;

    fd = ngx_open_file(s->file, NGX_FILE_RDONLY|O_CLOEXEC, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, ngx_errno,
                      ngx_open_file_n " \"%s\" failed", s->file);
        return NGX_ERROR;
    }

    s->text = ngx_alloc(size, ngx_cycle->log);
    n = s->text ? ngx_read_fd(fd, s->text, size) : -1;

    if (n != s->size) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, n < 0 ? ngx_errno : 0,
                      ngx_read_fd_n " \"%s\" failed", s->file);
    }

    (void) ngx_close_file(fd);

    if (n == s->size) {
        s->n = 0;
        s->next = X509_STORE_new();
        s->bio = BIO_new_mem_buf(s->text, (int) size);

        /* as libcurl does: who is in the file is trusted, be it no root */

        if (s->next && s->bio
            && X509_STORE_set_flags(s->next, X509_V_FLAG_TRUSTED_FIRST
                                             |X509_V_FLAG_PARTIAL_CHAIN)
               == 1)
        {
            return NGX_OK;
        }
    }

    ngx_eb_probe_store_close(s);

    return NGX_ERROR;
}


/* NGX_AGAIN: there is more in the file */

static ngx_int_t
ngx_eb_probe_store_read(ngx_eb_probe_store_t *s)
{
    int          rc;
    X509        *cert;
    ngx_msec_t   start;

    start = ngx_eb_probe_clock();

    do {
        cert = PEM_read_bio_X509_AUX(s->bio, NULL, NULL, NULL);

        if (cert == NULL) {
            return (s->n && ERR_GET_REASON(ERR_peek_last_error())
                            == PEM_R_NO_START_LINE)
                   ? NGX_OK : NGX_ERROR;
        }

        rc = X509_STORE_add_cert(s->next, cert);
        X509_free(cert);

        if (rc != 1) {
            return NGX_ERROR;
        }

        s->n++;

    } while (ngx_eb_probe_clock() - start < NGX_EB_PROBE_SLICE);

    return NGX_AGAIN;
}


static void
ngx_eb_probe_store_close(ngx_eb_probe_store_t *s)
{
    X509_STORE_free(s->next);
    s->next = NULL;

    BIO_free(s->bio);
    s->bio = NULL;

    if (s->text) {
        ngx_free(s->text);
        s->text = NULL;
    }
}


/* in the middle of a turn of the event loop, ngx_current_msec stands still */

ngx_msec_t
ngx_eb_probe_clock(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (ngx_msec_t) ts.tv_sec * 1000 + (ngx_msec_t) ts.tv_nsec / 1000000;
}
