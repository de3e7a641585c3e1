
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What libcurl is told of a transfer, and what it tells of the answer.
 */


#include "ngx_eb_client_transfer.h"
#include <openssl/crypto.h>


static ngx_int_t ngx_eb_client_text(ngx_pool_t *pool, char **dst,
    ngx_str_t *src);
static ngx_int_t ngx_eb_client_host(ngx_eb_client_transfer_t *t,
    ngx_str_t *url);
static size_t ngx_eb_client_on_body(char *p, size_t size, size_t n,
    void *data);
static size_t ngx_eb_client_on_header(char *p, size_t size, size_t n,
    void *data);


/*
 * Two OpenSSLs in one process mix up their symbols: an nginx that was built
 * with one of its own cannot use the system's libcurl.
 */

ngx_int_t
ngx_eb_client_same_openssl(void)
{
    const char              *ours, *p;
    size_t                   len;
    curl_version_info_data  *info;

    info = curl_version_info(CURLVERSION_NOW);
    ours = (const char *) ngx_ssl_version();

    /* "OpenSSL/3.0.11" and "OpenSSL 3.0.11 19 Sep 2023" */

    if (info->ssl_version
        && ngx_strncmp(info->ssl_version, "OpenSSL/", 8) == 0
        && ngx_strncmp(ours, "OpenSSL ", 8) == 0)
    {
        p = ours + 8;
        len = strcspn(p, " ");

        if (ngx_strlen(info->ssl_version + 8) == len
            && ngx_strncmp(info->ssl_version + 8, p, len) == 0)
        {
            return NGX_OK;
        }
    }

    ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                  "eventbridge: libcurl uses \"%s\" and nginx \"%s\": requests "
                  "to Genesys Cloud and webhooks need the same OpenSSL",
                  info->ssl_version ? info->ssl_version : "no TLS", ours);

    return NGX_ERROR;
}


ngx_int_t
ngx_eb_client_setup(ngx_eb_client_transfer_t *t,
    ngx_eb_client_request_t *request)
{
    char               *text;
    CURL               *easy;
    CURLcode            rc;
    ngx_uint_t          i;
    struct curl_slist  *list;

    t->watch = request->watch;
    t->handler = request->handler;
    t->data = request->data;
    t->max_body = request->max_body;
    t->resolver = request->resolver;
    t->resolver_timeout = request->resolver_timeout;
    t->timeout = request->timeout;
    t->start = ngx_current_msec;

    easy = curl_easy_init();
    if (easy == NULL) {
        return NGX_ERROR;
    }

    t->easy = easy;

    /* the lists copy their lines, and so do options with texts */

    for (i = 0; i < request->nheaders; i++) {

        if (ngx_eb_client_text(t->pool, &text, &request->headers[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        list = curl_slist_append(t->headers, text);
        OPENSSL_cleanse(text, request->headers[i].len);

        if (list == NULL) {
            return NGX_ERROR;
        }

        t->headers = list;
    }

    /* libcurl would ask first whether a longer body is welcome */

    list = curl_slist_append(t->headers, "Expect:");
    if (list == NULL) {
        return NGX_ERROR;
    }

    t->headers = list;

    if (ngx_eb_client_host(t, &request->url) != NGX_OK
        || ngx_eb_client_text(t->pool, &text, &request->url) != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = curl_easy_setopt(easy, CURLOPT_URL, text);

    if (ngx_eb_client_text(t->pool, &text, &request->method) != NGX_OK) {
        return NGX_ERROR;
    }

    rc |= curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, text);

    /*
     * When a kept connection is closed libcurl sends the request again by
     * itself, which is not for all requests.
     */

    if ((request->method.len == 4 || request->method.len == 5)
        && !request->repeatable)
    {
        /* POST, PATCH */
        rc |= curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    }

    if (request->body.len) {
        t->body = ngx_pnalloc(t->pool, request->body.len);
        if (t->body == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(t->body, request->body.data, request->body.len);
        t->body_len = request->body.len;

        rc |= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                               (curl_off_t) t->body_len);
        rc |= curl_easy_setopt(easy, CURLOPT_POSTFIELDS, (char *) t->body);
    }

    if (request->trusted_certificate.len) {
        rc |= curl_easy_setopt(easy, CURLOPT_CAINFO,
                               (char *) request->trusted_certificate.data);
    }

    /*
     * Debian's libcurl would trust those of this directory besides, and with
     * one it reads all of the file again for each connection, which stops the
     * worker for a twentieth of a second; without, it does so once a day.
     */

    rc |= curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);

    rc |= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->headers);
    rc |= curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
    rc |= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->words);
    rc |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ngx_eb_client_on_body);
    rc |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    rc |= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION,
                           ngx_eb_client_on_header);
    rc |= curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
    rc |= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    rc |= curl_easy_setopt(easy, CURLOPT_PROXY, "");
    rc |= curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    rc |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    rc |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    rc |= curl_easy_setopt(easy, CURLOPT_SSLVERSION,
                           (long) CURL_SSLVERSION_TLSv1_2);
    rc |= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                           (long) request->connect_timeout);

#if (LIBCURL_VERSION_NUM >= 0x075500)
    rc |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    rc |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS,
                           (long) (CURLPROTO_HTTP|CURLPROTO_HTTPS));
#endif

#if (LIBCURL_VERSION_NUM >= 0x075700)
    /* without it, giving up a name waits for the thread that looks it up */
    rc |= curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif

    if (request->method.len == 4
        && ngx_strncmp(request->method.data, "HEAD", 4) == 0)
    {
        /* else a body would be waited for */
        rc |= curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    }

    if (rc != CURLE_OK) {
        return NGX_ERROR;
    }

    return t->watch ? ngx_eb_client_watched(t) : NGX_OK;
}


static ngx_int_t
ngx_eb_client_text(ngx_pool_t *pool, char **dst, ngx_str_t *src)
{
    u_char  *p;

    if (ngx_strlchr(src->data, src->data + src->len, '\0')
        || ngx_strlchr(src->data, src->data + src->len, '\n')
        || ngx_strlchr(src->data, src->data + src->len, '\r'))
    {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(pool, src->len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_cpystrn(p, src->data, src->len + 1);
    *dst = (char *) p;

    return NGX_OK;
}


/* the name to be looked up; none where the URL has an address */

static ngx_int_t
ngx_eb_client_host(ngx_eb_client_transfer_t *t, ngx_str_t *url)
{
    u_char  *p, *last, *colon;

    if (url->len > 8 && ngx_strncasecmp(url->data, (u_char *) "https://", 8)
        == 0)
    {
        p = url->data + 8;
        t->port = 443;

    } else if (url->len > 7
               && ngx_strncasecmp(url->data, (u_char *) "http://", 7) == 0)
    {
        p = url->data + 7;
        t->port = 80;

    } else {
        return NGX_ERROR;
    }

    last = p;

    while (last < url->data + url->len && *last != '/' && *last != '?'
           && *last != '#')
    {
        if (*last++ == '@') {
            return NGX_ERROR;
        }
    }

    if (p == last) {
        return NGX_ERROR;
    }

    if (*p == '[') {
        return NGX_OK;
    }

    colon = ngx_strlchr(p, last, ':');

    if (colon) {
        t->port = (in_port_t) ngx_atoi(colon + 1, last - colon - 1);
        last = colon;
    }

    /* for nginx, that of all hosts is none */

    if (ngx_inet_addr(p, last - p) != INADDR_NONE
        || (last - p == 15 && ngx_strncmp(p, "255.255.255.255", 15) == 0))
    {
        return NGX_OK;
    }

    t->host.len = last - p;

    if (t->host.len == 0 || t->host.len > NGX_EB_CLIENT_HOST) {
        return NGX_ERROR;
    }

    t->host.data = ngx_pnalloc(t->pool, t->host.len);
    if (t->host.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(t->host.data, p, t->host.len);

    return NGX_OK;
}


static size_t
ngx_eb_client_on_body(char *p, size_t size, size_t n, void *data)
{
    ngx_eb_client_transfer_t *t = data;

    u_char     *q;
    size_t      len, room;
    ngx_str_t  *body;

    body = &t->reply.body;
    len = size * n;

    if (len > t->max_body - body->len) {
        t->large = 1;
        return 0;
    }

    if (t->watch) {
        body->len += len;
        return len;
    }

    if (body->len + len > t->room) {

        room = ngx_max(2 * t->room, body->len + len);
        room = ngx_max(room, 4096);

        q = ngx_alloc(room, ngx_cycle->log);
        if (q == NULL) {
            return 0;
        }

        if (body->len) {
            ngx_memcpy(q, body->data, body->len);
            OPENSSL_cleanse(body->data, body->len);
        }

        if (body->data) {
            ngx_free(body->data);
        }

        body->data = q;
        t->room = room;
    }

    ngx_memcpy(body->data + body->len, p, len);
    body->len += len;

    return len;
}


static size_t
ngx_eb_client_on_header(char *p, size_t size, size_t n, void *data)
{
    ngx_eb_client_transfer_t *t = data;

    u_char      *line, *last;
    size_t       len;
    ngx_str_t   *value;
    ngx_uint_t   i;

    struct {
        ngx_str_t                name;
        ngx_str_t               *value;
    } wanted[] = {
        { ngx_string("Retry-After:"), &t->reply.retry_after },
        { ngx_string("ETag:"), &t->reply.etag },
        { ngx_string("ININ-Correlation-Id:"), &t->reply.correlation_id }
    };

    line = (u_char *) p;
    len = size * n;
    last = line + len;

    if (t->watch && t->head == 0) {
        t->watch->answer(t->data);
    }

    t->head += len;

    if (t->head > NGX_EB_CLIENT_HEADERS * 1024) {
        t->large = 1;
        return 0;
    }

    for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {

        if (len <= wanted[i].name.len
            || ngx_strncasecmp(line, wanted[i].name.data, wanted[i].name.len)
               != 0)
        {
            continue;
        }

        line += wanted[i].name.len;

        while (line < last && (*line == ' ' || *line == '\t')) {
            line++;
        }

        while (last > line && last[-1] <= ' ') {
            last--;
        }

        value = wanted[i].value;
        value->len = last - line;
        value->data = ngx_pnalloc(t->pool, value->len + 1);

        if (value->data == NULL) {
            value->len = 0;
            return 0;
        }

        ngx_memcpy(value->data, line, value->len);
        break;
    }

    return len;
}
