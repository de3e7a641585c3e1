
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The lines of an append log: their check, reading and counting them.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_log_file.h"

#define XXH_INLINE_ALL
#include <xxhash.h>


static ngx_int_t ngx_eb_log_fill(ngx_eb_log_reader_t *reader);


ngx_eb_log_state_e
ngx_eb_log_check(u_char *line, size_t len)
{
    u_char  *p, suffix[NGX_EB_LOG_SUFFIX];

    if (len < NGX_EB_LOG_SUFFIX) {
        return NGX_EB_LOG_BARE;
    }

    len -= NGX_EB_LOG_SUFFIX;
    p = line + len;

    if (ngx_memcmp(p, NGX_EB_LOG_MEMBER, NGX_EB_LOG_LEAD) != 0) {
        return NGX_EB_LOG_BARE;
    }

    (void) ngx_eb_log_suffix(suffix, XXH3_64bits(line, len));

    return ngx_memcmp(suffix, p, NGX_EB_LOG_SUFFIX) == 0 ? NGX_EB_LOG_VALID
                                                         : NGX_EB_LOG_WRONG;
}


u_char *
ngx_eb_log_suffix(u_char *p, uint64_t hash)
{
    ngx_int_t             i;
    static const u_char   hex[] = "0123456789abcdef";

    p = ngx_cpymem(p, NGX_EB_LOG_MEMBER, NGX_EB_LOG_LEAD);

    for (i = 60; i >= 0; i -= 4) {
        *p++ = hex[(hash >> i) & 0xf];
    }

    *p++ = '"';
    *p++ = '}';

    return p;
}


/* all of it, or NGX_ERROR and errno */

ngx_int_t
ngx_eb_log_pread(ngx_fd_t fd, u_char *buf, size_t size, off_t offset)
{
    ssize_t  n;

    while (size) {
        n = pread(fd, buf, size, offset);

        if (n == -1 && ngx_errno == NGX_EINTR) {
            continue;
        }

        if (n == 0) {
            /* somebody cut it, who does not care for locks */
            ngx_set_errno(EIO);
        }

        if (n <= 0) {
            return NGX_ERROR;
        }

        buf += n;
        size -= n;
        offset += n;
    }

    return NGX_OK;
}


ngx_int_t
ngx_eb_log_reader_open(ngx_eb_log_reader_t *reader, u_char *path,
    off_t offset, size_t max_line, ngx_log_t *log)
{
    struct stat  st;

    ngx_memzero(reader, sizeof(ngx_eb_log_reader_t));

    reader->offset = offset;
    reader->at = offset;
    reader->max_line = max_line ? max_line : NGX_EB_LOG_MAX_LINE;
    reader->log = log;

    reader->fd = open((char *) path,
                      O_RDONLY|O_CLOEXEC|O_NOFOLLOW|O_NONBLOCK|O_NOCTTY);

    if (reader->fd == NGX_INVALID_FILE) {
        reader->err = ngx_errno;
        return NGX_ERROR;
    }

    if (fstat(reader->fd, &st) == -1) {
        reader->err = ngx_errno;
        ngx_eb_log_reader_close(reader);
        return NGX_ERROR;
    }

    if (!S_ISREG(st.st_mode)) {
        reader->err = NGX_EINVAL;
        ngx_eb_log_reader_close(reader);
        return NGX_ERROR;
    }

    reader->dev = st.st_dev;
    reader->ino = st.st_ino;
    reader->end = st.st_size;

    return NGX_OK;
}


ngx_int_t
ngx_eb_log_reader_more(ngx_eb_log_reader_t *reader)
{
    struct stat  st;

    if (fstat(reader->fd, &st) == -1) {
        reader->err = ngx_errno;
        return NGX_ERROR;
    }

    reader->end = st.st_size;

    /* what is left may be of a torn tail that was cut since */

    reader->pos = reader->buf;
    reader->last = reader->buf;
    reader->at = reader->offset;

    return NGX_OK;
}


void
ngx_eb_log_reader_close(ngx_eb_log_reader_t *reader)
{
    if (reader->fd != NGX_INVALID_FILE) {
        (void) close(reader->fd);
        reader->fd = NGX_INVALID_FILE;
    }

    if (reader->buf) {
        ngx_free(reader->buf);
        reader->buf = NULL;
    }

    reader->pos = NULL;
    reader->last = NULL;
}


ngx_int_t
ngx_eb_log_reader_next(ngx_eb_log_reader_t *reader, ngx_eb_log_line_t *line)
{
    u_char     *p;
    size_t      seen, dropped;
    ngx_int_t   rc;

    p = NULL;
    seen = 0;
    dropped = 0;

    for ( ;; ) {

        if ((size_t) (reader->last - reader->pos) > seen) {
            p = memchr(reader->pos + seen, LF,
                       (size_t) (reader->last - reader->pos) - seen);
            if (p) {
                break;
            }

            seen = (size_t) (reader->last - reader->pos);
        }

        if (seen >= reader->max_line) {

            /* too long: only its end is of interest */

            dropped += seen;
            seen = 0;

            reader->pos = reader->buf;
            reader->last = reader->buf;
        }

        rc = ngx_eb_log_fill(reader);

        if (rc == NGX_OK) {
            continue;
        }

        if (dropped) {

            /* another try begins where this one did */

            reader->pos = reader->buf;
            reader->last = reader->buf;
            reader->at = reader->offset;
        }

        return rc;
    }

    line->start = reader->pos;
    line->len = dropped + (size_t) (p - reader->pos);
    line->payload = line->len;
    line->offset = reader->offset;
    line->next = reader->offset + (off_t) line->len + 1;

    if (line->len >= reader->max_line) {
        line->start = NULL;
        line->state = NGX_EB_LOG_LONG;

    } else {
        line->state = ngx_eb_log_check(line->start, line->len);

        if (line->state == NGX_EB_LOG_VALID) {
            line->payload -= NGX_EB_LOG_SUFFIX;
        }
    }

    reader->pos = p + 1;
    reader->offset = line->next;

    return NGX_OK;
}


static ngx_int_t
ngx_eb_log_fill(ngx_eb_log_reader_t *reader)
{
    size_t    used, size;
    u_char   *buf;
    ssize_t   n;

    if (reader->at >= reader->end) {
        return NGX_DONE;
    }

    used = (size_t) (reader->last - reader->pos);

    if (used == reader->size || reader->buf == NULL) {

        size = reader->buf ? reader->size * 2 : NGX_EB_LOG_READ;

        buf = ngx_alloc(size, reader->log);
        if (buf == NULL) {
            reader->err = NGX_ENOMEM;
            return NGX_ERROR;
        }

        if (reader->buf) {
            ngx_memcpy(buf, reader->pos, used);
            ngx_free(reader->buf);
        }

        reader->buf = buf;
        reader->size = size;

    } else if (used) {
        ngx_memmove(reader->buf, reader->pos, used);
    }

    reader->pos = reader->buf;
    reader->last = reader->buf + used;

    do {
        n = pread(reader->fd, reader->last,
                  (size_t) ngx_min((off_t) (reader->size - used),
                                   reader->end - reader->at),
                  reader->at);
    } while (n == -1 && ngx_errno == NGX_EINTR);

    if (n == -1) {
        reader->err = ngx_errno;
        return NGX_ERROR;
    }

    if (n == 0) {
        /* a torn tail was cut meanwhile */
        return NGX_DONE;
    }

    reader->last += n;
    reader->at += n;

    return NGX_OK;
}


ngx_err_t
ngx_eb_log_file_scan(u_char *path, ngx_eb_log_figures_t *figures,
    ngx_log_t *log)
{
    ngx_int_t            rc;
    ngx_err_t            err;
    ngx_eb_log_line_t    line;
    ngx_eb_log_reader_t  reader;

    if (ngx_eb_log_reader_open(&reader, path, figures->scanned, 0, log)
        != NGX_OK)
    {
        return reader.err;
    }

    if (reader.dev != figures->dev
        || reader.ino != figures->ino
        || reader.end < figures->scanned)
    {
        ngx_memzero(figures, sizeof(ngx_eb_log_figures_t));

        figures->dev = reader.dev;
        figures->ino = reader.ino;

        reader.offset = 0;
        reader.at = 0;
    }

    figures->size = reader.end;

    for ( ;; ) {
        rc = ngx_eb_log_reader_next(&reader, &line);

        if (rc != NGX_OK) {
            break;
        }

        figures->scanned = line.next;

        if (line.state != NGX_EB_LOG_VALID) {
            figures->invalid++;
            continue;
        }

        if (figures->records++ == 0) {
            figures->first_len = ngx_min(line.len, NGX_EB_LOG_FIRST);
            ngx_memcpy(figures->first, line.start, figures->first_len);
        }
    }

    err = (rc == NGX_ERROR) ? reader.err : 0;

    ngx_eb_log_reader_close(&reader);

    return err;
}
