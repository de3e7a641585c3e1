
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Probes: one request of the background client each, whose connection is
 * watched while it is made.
 */


#include "ngx_eb_probe_tls.h"
#include "ngx_eb_address.h"
#include "ngx_eb_client.h"
#include "ngx_eb_url.h"


/* the client ends what takes too long; this much later it is ended here, ms */
#define NGX_EB_PROBE_LATE  50

/* begun in one turn of the event loop: each takes OpenSSL about a ms */
#define NGX_EB_PROBE_TURN  2


struct ngx_eb_probe_s {
    ngx_queue_t               queue;        /* of all in the worker */
    ngx_pool_t               *pool;
    ngx_eb_client_transfer_t *transfer;     /* NULL: not begun, or ended */
    ngx_event_t               event;        /* begins, then has the deadline */
    ngx_connection_t          dummy;        /* what its data must be */

    ngx_eb_probe_spec_t       spec;
    ngx_eb_url_t              url;
    ngx_str_t                 target;       /* with the spec's path */
    ngx_eb_probe_tls_t        tls;
    ngx_eb_probe_result_t     result;

    ngx_msec_t                start;        /* ngx_eb_probe_clock() */
    ngx_msec_t                sent;         /* to the client */
    ngx_msec_t                looked_up;
    ngx_msec_t                answered;
    ngx_str_t                 addresses[NGX_EB_PROBE_ADDRESSES];
    ngx_str_t                 forbidden;    /* the first one */
    const char               *kind;         /* of it */

    unsigned                  connecting:1;
    unsigned                  late:1;       /* ended by the deadline here */
    unsigned                  parsed:1;     /* the URL */

    u_char                    words[NGX_EB_PROBE_WORDS];
    u_char                    peer[NGX_SOCKADDR_STRLEN];
};


static ngx_int_t ngx_eb_probe_copy(ngx_eb_probe_t *p,
    ngx_eb_probe_spec_t *spec);
static ngx_int_t ngx_eb_probe_string(ngx_pool_t *pool, ngx_str_t *dst,
    ngx_str_t *src);
static const char *ngx_eb_probe_target(ngx_eb_probe_t *p);
static void ngx_eb_probe_event(ngx_event_t *ev);
static void ngx_eb_probe_begin(ngx_eb_probe_t *p);
static ngx_uint_t ngx_eb_probe_crowded(void);
static ngx_int_t ngx_eb_probe_on_address(void *data, struct sockaddr *sa,
    ngx_uint_t connecting);
static socklen_t ngx_eb_probe_socklen(struct sockaddr *sa);
static ngx_int_t ngx_eb_probe_on_tls(void *data, SSL_CTX *ctx);
static void ngx_eb_probe_on_answer(void *data);
static void ngx_eb_probe_on_reply(void *data, ngx_eb_client_reply_t *reply);
static void ngx_eb_probe_phases(ngx_eb_probe_t *p,
    ngx_eb_client_reply_t *reply);
static void ngx_eb_probe_dns_error(ngx_eb_probe_t *p,
    ngx_eb_client_reply_t *reply);
static void ngx_eb_probe_tcp_error(ngx_eb_probe_t *p,
    ngx_eb_client_reply_t *reply);
static void ngx_eb_probe_secure_error(ngx_eb_probe_t *p,
    ngx_eb_client_reply_t *reply);
static void ngx_eb_probe_http_error(ngx_eb_probe_t *p,
    ngx_eb_client_reply_t *reply);
static ngx_uint_t ngx_eb_probe_expected(ngx_eb_probe_spec_t *spec,
    ngx_uint_t status);
static void ngx_eb_probe_error(ngx_eb_probe_t *p, ngx_eb_probe_class_e error,
    const char *fmt, ...);
static void ngx_eb_probe_tls_facts(ngx_eb_probe_t *p);
static void ngx_eb_probe_end(ngx_eb_probe_t *p);
static void ngx_eb_probe_free(ngx_eb_probe_t *p);


static ngx_eb_client_watch_t  ngx_eb_probe_watch = {
    ngx_eb_probe_on_address,
    ngx_eb_probe_on_tls,
    ngx_eb_probe_on_answer
};


static ngx_queue_t  ngx_eb_probes;


ngx_eb_probe_t *
ngx_eb_probe_start(ngx_eb_probe_spec_t *spec)
{
    ngx_pool_t      *pool;
    ngx_eb_probe_t  *p;

    pool = ngx_create_pool(sizeof(ngx_eb_probe_t) + 1024, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    p = ngx_pcalloc(pool, sizeof(ngx_eb_probe_t));

    if (p == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    p->pool = pool;

    if (ngx_eb_probe_copy(p, spec) != NGX_OK) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    if (ngx_eb_probes.next == NULL) {
        ngx_queue_init(&ngx_eb_probes);
    }

    ngx_queue_insert_tail(&ngx_eb_probes, &p->queue);

    p->start = ngx_eb_probe_clock();
    p->tls.alert = -1;

    p->dummy.fd = (ngx_socket_t) -1;

    p->event.handler = ngx_eb_probe_event;
    p->event.data = &p->dummy;
    p->event.log = ngx_cycle->log;
    p->dummy.data = p;

    ngx_post_event(&p->event, &ngx_posted_events);

    return p;
}


static ngx_int_t
ngx_eb_probe_copy(ngx_eb_probe_t *p, ngx_eb_probe_spec_t *spec)
{
    ngx_uint_t  i;

    p->spec = *spec;

    if (spec->from_request) {
        p->spec.nheaders = 0;
    }

    if (spec->max_body == 0) {
        p->spec.max_body = NGX_EB_PROBE_BODY;
    }

    p->spec.headers = ngx_palloc(p->pool, (p->spec.nheaders + 1)
                                          * sizeof(ngx_str_t));
    if (p->spec.headers == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < p->spec.nheaders; i++) {
        if (ngx_eb_probe_string(p->pool, &p->spec.headers[i],
                                &spec->headers[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ngx_eb_probe_string(p->pool, &p->spec.url, &spec->url) != NGX_OK
        || ngx_eb_probe_string(p->pool, &p->spec.method, &spec->method)
           != NGX_OK
        || ngx_eb_probe_string(p->pool, &p->spec.path, &spec->path) != NGX_OK
        || ngx_eb_probe_string(p->pool, &p->spec.trusted_certificate,
                               &spec->trusted_certificate)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (p->spec.method.len == 0) {
        ngx_str_set(&p->spec.method, "GET");
    }

    ngx_str_set(&p->spec.headers[p->spec.nheaders],
                "User-Agent: nginx-eventbridge (probe)");
    p->spec.nheaders++;

    return NGX_OK;
}


/* with a NUL after its end */

static ngx_int_t
ngx_eb_probe_string(ngx_pool_t *pool, ngx_str_t *dst, ngx_str_t *src)
{
    ngx_str_t  copy;

    copy.len = src->len;
    copy.data = ngx_pnalloc(pool, src->len + 1);

    if (copy.data == NULL) {
        return NGX_ERROR;
    }

    if (src->len) {
        ngx_memcpy(copy.data, src->data, src->len);
    }

    copy.data[src->len] = '\0';
    *dst = copy;

    return NGX_OK;
}


void
ngx_eb_probe_cancel(ngx_eb_probe_t *p)
{
    if (p->transfer) {
        ngx_eb_client_cancel(p->transfer);
        p->transfer = NULL;
    }

    ngx_eb_probe_free(p);
}


void
ngx_eb_probe_exit(void)
{
    ngx_queue_t  *q;

    while (ngx_eb_probes.next && !ngx_queue_empty(&ngx_eb_probes)) {
        q = ngx_queue_head(&ngx_eb_probes);
        ngx_eb_probe_cancel(ngx_queue_data(q, ngx_eb_probe_t, queue));
    }

    ngx_eb_probe_store_exit();
}


/* posted, or as a timer, it begins; later, the time is over */

static void
ngx_eb_probe_event(ngx_event_t *ev)
{
    ngx_connection_t *dummy = ev->data;

    ngx_eb_probe_t         *p;
    ngx_eb_client_reply_t   reply;

    p = dummy->data;

    if (p->transfer == NULL) {
        ngx_eb_probe_begin(p);
        return;
    }

    ngx_eb_client_cancel(p->transfer);

    ngx_memzero(&reply, sizeof(ngx_eb_client_reply_t));
    reply.cause = NGX_EB_CLIENT_TIMEOUT;
    p->late = 1;

    ngx_eb_probe_on_reply(p, &reply);
}


static void
ngx_eb_probe_begin(ngx_eb_probe_t *p)
{
    ngx_int_t                 rc;
    const char               *why;
    ngx_msec_t                spent;
    ngx_eb_client_request_t   request;

    if (!p->parsed) {
        why = ngx_eb_probe_target(p);

        if (why) {
            ngx_eb_probe_error(p, NGX_EB_PROBE_BAD_URL, "invalid URL: %s",
                               why);
            ngx_eb_probe_end(p);
            return;
        }

        p->parsed = 1;
    }

    p->sent = ngx_eb_probe_clock();
    spent = p->sent - p->start;

    rc = p->url.tls ? ngx_eb_probe_store_ready(&p->spec.trusted_certificate)
                    : NGX_OK;

    if ((rc == NGX_AGAIN || (rc == NGX_OK && ngx_eb_probe_crowded()))
        && spent < p->spec.timeout)
    {
        ngx_add_timer(&p->event, 1);
        return;
    }

    if (rc != NGX_OK) {
        ngx_eb_probe_error(p, NGX_EB_PROBE_INTERNAL, "trusted certificates "
                           "cannot be read%s", rc == NGX_AGAIN ? " in time"
                           : ", see the error log");
        ngx_eb_probe_end(p);
        return;
    }

    if (spent >= p->spec.timeout) {
        spent = p->spec.timeout - 1;
    }

    ngx_memzero(&request, sizeof(ngx_eb_client_request_t));

    request.method = p->spec.method;
    request.url = p->target;
    request.headers = p->spec.headers;
    request.nheaders = p->spec.nheaders;
    request.connect_timeout = p->spec.timeout - spent;
    request.timeout = p->spec.timeout - spent;
    request.max_body = p->spec.max_body;
    request.resolver = p->spec.resolver;
    request.resolver_timeout = p->spec.timeout;
    request.watch = &ngx_eb_probe_watch;
    request.handler = ngx_eb_probe_on_reply;
    request.data = p;

    p->transfer = ngx_eb_client_send(&request);

    if (p->transfer == NULL) {
        ngx_eb_probe_error(p, NGX_EB_PROBE_INTERNAL, "no request can be made, "
                           "see the error log");
        ngx_eb_probe_end(p);
        return;
    }

    ngx_add_timer(&p->event, request.timeout + NGX_EB_PROBE_LATE);
}


/* many at a time would keep others waiting */

static ngx_uint_t
ngx_eb_probe_crowded(void)
{
    static ngx_msec_t  turn;
    static ngx_uint_t  begun;

    if (turn != ngx_current_msec) {
        turn = ngx_current_msec;
        begun = 0;
    }

    if (begun == NGX_EB_PROBE_TURN) {
        return 1;
    }

    begun++;

    return 0;
}


/* NULL, or what is wrong with the URL or the path */

static const char *
ngx_eb_probe_target(ngx_eb_probe_t *p)
{
    u_char        *last;
    const char    *why;
    ngx_eb_url_t   url;

    p->target = p->spec.url;

    why = ngx_eb_url_parse(&p->target, &p->url);

    if (why == NULL && p->spec.from_request) {
        why = ngx_eb_url_foreign(&p->url);
    }

    if (why || p->spec.path.len == 0) {
        return why;
    }

    if (p->spec.path.data[0] != '/') {
        return "the path does not begin with \"/\"";
    }

    p->target.data = ngx_pnalloc(p->pool, sizeof("https://")
                                          + p->url.authority.len
                                          + p->spec.path.len);
    if (p->target.data == NULL) {
        return "out of memory";
    }

    last = ngx_sprintf(p->target.data, "http%s://%V%V", p->url.tls ? "s" : "",
                       &p->url.authority, &p->spec.path);
    p->target.len = last - p->target.data;

    return ngx_eb_url_parse(&p->target, &url);
}


/*
 * All addresses of a name are judged before one of them is used, so that a
 * name with a forbidden one among them does not get another chance; and the
 * one that is used is judged once more.
 */

static ngx_int_t
ngx_eb_probe_on_address(void *data, struct sockaddr *sa,
    ngx_uint_t connecting)
{
    ngx_eb_probe_t *p = data;

    u_char      *text;
    ngx_str_t   *address;
    ngx_uint_t   n;
    const char  *kind;

    if (!connecting || p->looked_up == 0) {
        p->looked_up = ngx_eb_probe_clock();
    }

    n = p->result.naddresses;

    /* one that was looked up elsewhere, or was no name at all */

    address = NULL;

    if ((!connecting || p->spec.resolver == NULL || n == 0)
        && n < NGX_EB_PROBE_ADDRESSES)
    {
        text = ngx_pnalloc(p->pool, NGX_SOCKADDR_STRLEN);

        if (text == NULL) {
            return NGX_ERROR;
        }

        address = &p->addresses[n];
        address->data = text;
        address->len = ngx_sock_ntop(sa, ngx_eb_probe_socklen(sa), text,
                                     NGX_SOCKADDR_STRLEN, 0);

        p->result.naddresses++;
    }

    if (p->spec.from_request) {

        kind = ngx_eb_address_special(sa);

        if (kind && (p->spec.allow == NULL
                     || ngx_cidr_match(sa, p->spec.allow) != NGX_OK))
        {
            if (p->kind == NULL) {
                p->kind = kind;

                if (address) {
                    p->forbidden = *address;
                }
            }

            return NGX_DECLINED;
        }
    }

    if (connecting) {
        p->connecting = 1;
        p->result.address.data = p->peer;
        p->result.address.len = ngx_sock_ntop(sa, ngx_eb_probe_socklen(sa),
                                              p->peer, NGX_SOCKADDR_STRLEN, 0);
    }

    return NGX_OK;
}


static socklen_t
ngx_eb_probe_socklen(struct sockaddr *sa)
{
#if (NGX_HAVE_INET6)
    if (sa->sa_family == AF_INET6) {
        return sizeof(struct sockaddr_in6);
    }
#endif

    return sizeof(struct sockaddr_in);
}


static ngx_int_t
ngx_eb_probe_on_tls(void *data, SSL_CTX *ctx)
{
    ngx_eb_probe_t *p = data;

    return ngx_eb_probe_tls_attach(&p->tls, ctx,
                                   &p->spec.trusted_certificate);
}


static void
ngx_eb_probe_on_answer(void *data)
{
    ngx_eb_probe_t *p = data;

    p->answered = ngx_eb_probe_clock();
}


static void
ngx_eb_probe_on_reply(void *data, ngx_eb_client_reply_t *reply)
{
    ngx_eb_probe_t *p = data;

    p->transfer = NULL;
    p->result.status = reply->seen;

    /* of two that were tried at a time, the one that was faster */

    if (reply->address.len) {
        p->result.address = reply->address;
    }

    ngx_eb_probe_phases(p, reply);

    if (p->late && !p->connecting) {
        ngx_eb_probe_error(p, NGX_EB_PROBE_INTERNAL, "too many probes are "
                           "under way, it did not get its turn within %M ms",
                           p->spec.timeout);
        ngx_eb_probe_end(p);
        return;
    }

    if (reply->cause == NGX_EB_CLIENT_SELF) {
        ngx_eb_probe_error(p, NGX_EB_PROBE_INTERNAL, "%V", &reply->error);
        ngx_eb_probe_end(p);
        return;
    }

    switch (p->result.phase) {

    case NGX_EB_PROBE_DNS:
        ngx_eb_probe_dns_error(p, reply);
        break;

    case NGX_EB_PROBE_TCP:
        ngx_eb_probe_tcp_error(p, reply);
        break;

    case NGX_EB_PROBE_TLS:
        ngx_eb_probe_secure_error(p, reply);
        break;

    default: /* NGX_EB_PROBE_HTTP */
        ngx_eb_probe_http_error(p, reply);
        break;
    }

    ngx_eb_probe_end(p);
}


/* the last phase that was begun, and the time of each */

static void
ngx_eb_probe_phases(ngx_eb_probe_t *p, ngx_eb_client_reply_t *reply)
{
    ngx_msec_t             at[NGX_EB_PROBE_PHASES + 1];
    ngx_uint_t             i, n;
    ngx_eb_probe_phase_e   phases[NGX_EB_PROBE_PHASES];

    n = 0;

    /* at[i]: when phases[i] was begun */

    phases[n] = NGX_EB_PROBE_DNS;
    at[n++] = p->sent;

    if (p->connecting) {
        phases[n] = NGX_EB_PROBE_TCP;
        at[n++] = p->looked_up;
    }

    if (p->tls.started) {
        phases[n] = NGX_EB_PROBE_TLS;
        at[n++] = p->tls.begun;

        if (p->tls.done && reply->cause != NGX_EB_CLIENT_TLS) {
            phases[n] = NGX_EB_PROBE_HTTP;
            at[n++] = p->tls.finished;
        }

    } else if (p->connecting && !p->url.tls
               && (reply->connected || reply->seen))
    {
        phases[n] = NGX_EB_PROBE_HTTP;
        at[n++] = p->looked_up + (reply->connected - reply->resolved);
    }

    p->result.phase = phases[n - 1];

    if (p->result.phase == NGX_EB_PROBE_HTTP && p->answered) {
        at[n] = p->answered;

    } else if (p->result.phase == NGX_EB_PROBE_TLS && p->tls.done) {
        at[n] = p->tls.finished;

    } else {
        at[n] = ngx_eb_probe_clock();
    }

    /* libcurl has a clock of its own */

    for (i = 0; i < n; i++) {
        p->result.msec[phases[i]] =
            ((ngx_msec_int_t) (at[i + 1] - at[i]) > 0) ? at[i + 1] - at[i] : 0;
    }
}


static void
ngx_eb_probe_dns_error(ngx_eb_probe_t *p, ngx_eb_client_reply_t *reply)
{
    if (p->kind) {

        if (p->url.ipv4 || p->url.ipv6) {
            ngx_eb_probe_error(p, NGX_EB_PROBE_FORBIDDEN, "address %V is not "
                               "public (%s), and not in "
                               "\"eventbridge_probe_allow\"", &p->url.host,
                               p->kind);

        } else {
            ngx_eb_probe_error(p, NGX_EB_PROBE_FORBIDDEN, "address %V of %V is "
                               "not public (%s), and not in "
                               "\"eventbridge_probe_allow\"", &p->forbidden,
                               &p->url.host, p->kind);
        }

        return;
    }

    switch (reply->cause) {

    case NGX_EB_CLIENT_NAME:

        if (reply->lookup == NGX_RESOLVE_NXDOMAIN || reply->lookup == 0) {
            ngx_eb_probe_error(p, NGX_EB_PROBE_NO_NAME, "host name %V is not "
                               "known, or has no address", &p->url.host);
            return;
        }

        if (reply->lookup != NGX_RESOLVE_TIMEDOUT) {
            ngx_eb_probe_error(p, NGX_EB_PROBE_DNS_FAILED, "host name %V "
                               "cannot be looked up: %s", &p->url.host,
                               ngx_resolver_strerror(reply->lookup));
            return;
        }

        /* fall through */

    case NGX_EB_CLIENT_TIMEOUT:
        ngx_eb_probe_error(p, NGX_EB_PROBE_DNS_TIMEOUT, "no name server "
                           "answered for host name %V within %M ms",
                           &p->url.host, p->spec.timeout);
        return;

    default:
        ngx_eb_probe_error(p, NGX_EB_PROBE_DNS_FAILED, "host name %V "
                           "cannot be looked up: %V", &p->url.host,
                           &reply->error);
    }
}


static void
ngx_eb_probe_tcp_error(ngx_eb_probe_t *p, ngx_eb_client_reply_t *reply)
{
    u_char      errstr[NGX_MAX_ERROR_STR];
    u_char     *last;
    ngx_uint_t  port;

    port = p->url.port;

    if (p->kind) {
        p->result.phase = NGX_EB_PROBE_DNS;
        ngx_eb_probe_dns_error(p, reply);
        return;
    }

    if (reply->cause == NGX_EB_CLIENT_TIMEOUT || reply->err == NGX_ETIMEDOUT) {
        ngx_eb_probe_error(p, NGX_EB_PROBE_CONNECT_TIMEOUT, "%V port %ui did "
                           "not accept a connection within %M ms",
                           &p->result.address, port, p->spec.timeout);
        return;
    }

    if (reply->err == NGX_ECONNREFUSED) {
        ngx_eb_probe_error(p, NGX_EB_PROBE_CONNECT_REFUSED, "%V port %ui "
                           "refused the connection", &p->result.address, port);
        return;
    }

    if (reply->err == 0) {
        ngx_eb_probe_error(p, NGX_EB_PROBE_CONNECT_FAILED, "no connection to "
                           "%V port %ui: %V", &p->result.address, port,
                           &reply->error);
        return;
    }

    last = ngx_strerror(reply->err, errstr, sizeof(errstr));

    ngx_eb_probe_error(p, NGX_EB_PROBE_CONNECT_FAILED, "no connection to %V "
                       "port %ui: %*s", &p->result.address, port,
                       (size_t) (last - errstr), errstr);
}


static void
ngx_eb_probe_secure_error(ngx_eb_probe_t *p, ngx_eb_client_reply_t *reply)
{
    u_char  *last;

    if (reply->cause == NGX_EB_CLIENT_TIMEOUT) {
        ngx_eb_probe_error(p, NGX_EB_PROBE_TLS_TIMEOUT, "server accepted the "
                           "connection, but did not finish the TLS handshake "
                           "within %M ms", p->spec.timeout);
        return;
    }

    last = p->words + NGX_EB_PROBE_WORDS;

    p->result.error = ngx_eb_probe_tls_error(&p->tls, &p->url.host,
                                             &reply->error, ngx_time(),
                                             p->words, &last);
    p->result.words.data = p->words;
    p->result.words.len = last - p->words;
}


static void
ngx_eb_probe_http_error(ngx_eb_probe_t *p, ngx_eb_client_reply_t *reply)
{
    u_char       *last;
    u_char        ranges[128];
    ngx_uint_t    i, status;
    const char   *alert;

    status = reply->seen;

    if (status && !ngx_eb_probe_expected(&p->spec, status)) {

        if (status >= 300 && status < 400) {
            ngx_eb_probe_error(p, NGX_EB_PROBE_REDIRECT, "status %ui: "
                               "redirects are not followed", status);
            return;
        }

        last = ranges;

        for (i = 0; i < p->spec.nexpect; i++) {
            last = ngx_slprintf(last, ranges + sizeof(ranges), "%s%ui-%ui",
                                i ? ", " : "", p->spec.expect[i].from,
                                p->spec.expect[i].to);
        }

        if (p->spec.nexpect == 0) {
            last = ngx_slprintf(last, ranges + sizeof(ranges), "200-299, "
                                "400-499");
        }

        ngx_eb_probe_error(p, NGX_EB_PROBE_STATUS, "status %ui, expected was "
                           "%*s", status, (size_t) (last - ranges), ranges);
        return;
    }

    switch (reply->cause) {

    case NGX_EB_CLIENT_OK:
        return;

    case NGX_EB_CLIENT_TIMEOUT:
        ngx_eb_probe_error(p, NGX_EB_PROBE_HTTP_TIMEOUT, status
                           ? "server did not finish its answer within %M ms"
                           : "server did not answer the request within %M ms",
                           p->spec.timeout);
        return;

    case NGX_EB_CLIENT_LARGE:
        ngx_eb_probe_error(p, NGX_EB_PROBE_BODY_LARGE, "answer is longer than "
                           "%uz bytes", p->spec.max_body);
        return;

    case NGX_EB_CLIENT_CLOSED:
        alert = ngx_eb_probe_tls_alert(&p->tls);

        ngx_eb_probe_error(p, NGX_EB_PROBE_HTTP_CLOSED, "connection was "
                           "closed by the server %s its answer%s%s",
                           status ? "in" : "without", alert ? ": " : "",
                           alert ? alert : "");
        return;

    default:
        ngx_eb_probe_error(p, NGX_EB_PROBE_HTTP_FAILED, "server did not answer "
                           "with HTTP: %V", &reply->error);
    }
}


static ngx_uint_t
ngx_eb_probe_expected(ngx_eb_probe_spec_t *spec, ngx_uint_t status)
{
    ngx_uint_t  i;

    if (spec->nexpect == 0) {
        return (status >= 200 && status < 300)
               || (status >= 400 && status < 500);
    }

    for (i = 0; i < spec->nexpect; i++) {
        if (status >= spec->expect[i].from && status <= spec->expect[i].to) {
            return 1;
        }
    }

    return 0;
}


/* libcurl's words, and so those of others, may be among them */

static void
ngx_eb_probe_error(ngx_eb_probe_t *p, ngx_eb_probe_class_e error,
    const char *fmt, ...)
{
    u_char   *q, *last;
    va_list   args;

    p->result.error = error;

    va_start(args, fmt);
    last = ngx_vslprintf(p->words, p->words + NGX_EB_PROBE_WORDS, fmt, args);
    va_end(args);

    for (q = p->words; q < last; q++) {
        if (*q < ' ' || *q == 0x7f) {
            *q = '?';
        }
    }

    p->result.words.data = p->words;
    p->result.words.len = last - p->words;
}


#define ngx_eb_probe_fact(name)                                               \
    p->result.name.data = p->tls.name.data;                                   \
    p->result.name.len = p->tls.name.len


static void
ngx_eb_probe_tls_facts(ngx_eb_probe_t *p)
{
    time_t  left;

    p->result.tls_version.data = p->tls.version.data;
    p->result.tls_version.len = p->tls.version.len;

    ngx_eb_probe_fact(cipher);
    ngx_eb_probe_fact(alpn);

    if (!p->tls.certificate) {
        return;
    }

    ngx_eb_probe_fact(subject);
    ngx_eb_probe_fact(issuer);
    ngx_eb_probe_fact(names);

    p->result.certificate = 1;
    p->result.not_before = p->tls.not_before;
    p->result.not_after = p->tls.not_after;

    /* a part of a day is none that is left, and one that it is too late */

    left = p->tls.not_after - ngx_time();

    p->result.days_left = (ngx_int_t) (left / 86400);

    if (left < 0 && p->result.days_left == 0) {
        p->result.days_left = -1;
    }
}


static void
ngx_eb_probe_end(ngx_eb_probe_t *p)
{
    ngx_eb_probe_tls_facts(p);

    p->result.addresses = p->addresses;
    p->result.total = ngx_eb_probe_clock() - p->start;

    /* the handler may start others, and end the worker's work */

    ngx_queue_remove(&p->queue);
    ngx_queue_init(&p->queue);

    p->spec.handler(p->spec.data, &p->result);

    ngx_eb_probe_free(p);
}


static void
ngx_eb_probe_free(ngx_eb_probe_t *p)
{
    if (p->event.timer_set) {
        ngx_del_timer(&p->event);
    }

    if (p->event.posted) {
        ngx_delete_posted_event(&p->event);
    }

    ngx_queue_remove(&p->queue);
    ngx_eb_probe_tls_detach(&p->tls);

    ngx_destroy_pool(p->pool);
}
