
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The only user of libcurl.  Its "multi socket" interface says which sockets
 * and which timer it waits for, and nginx's event loop does the waiting.
 *
 *   - Nothing of libcurl is called back into from its own callbacks.
 *   - Events are level-triggered, as libcurl expects.
 *   - A connection that is kept open for reuse has no connection of nginx.
 *   - libcurl leaves errors in the thread's queue of OpenSSL, which nginx
 *     would take for its own.
 */


#include "ngx_eb_client_transfer.h"
#include <openssl/crypto.h>
#include <openssl/err.h>


/* of the worker */

typedef struct {
    CURLM                    *multi;
    ngx_queue_t               waiting[2];   /* for their turn; [1]: those with
                                               a watch, here and below */
    ngx_queue_t               running;
    ngx_queue_t               ended;        /* without libcurl */
    ngx_uint_t                nrunning[2];
    ngx_event_t               timer;        /* that libcurl wants */
    ngx_event_t               post;         /* to start and end some */
    ngx_connection_t          dummy;
} ngx_eb_client_t;


static ngx_int_t ngx_eb_client_init(void);
static void ngx_eb_client_post(ngx_event_t *ev);
static void ngx_eb_client_start(ngx_eb_client_transfer_t *t);
static void ngx_eb_client_add(ngx_eb_client_transfer_t *t);
static void ngx_eb_client_resolved(ngx_resolver_ctx_t *ctx);
static ngx_uint_t ngx_eb_client_forbidden(ngx_eb_client_transfer_t *t,
    ngx_resolver_ctx_t *ctx);
static void ngx_eb_client_fail(ngx_eb_client_transfer_t *t,
    ngx_eb_client_cause_e cause, const char *why);
static void ngx_eb_client_action(curl_socket_t s, int events);
static void ngx_eb_client_ended(ngx_eb_client_transfer_t *t, CURLcode code);
static void ngx_eb_client_finish(ngx_eb_client_transfer_t *t);
static void ngx_eb_client_free(ngx_eb_client_transfer_t *t);
static void ngx_eb_client_timer(ngx_event_t *ev);
static void ngx_eb_client_event(ngx_event_t *ev);
static int ngx_eb_client_on_socket(CURL *easy, curl_socket_t s, int what,
    void *data, void *socket);
static void ngx_eb_client_forget(ngx_connection_t *c);
static void ngx_eb_client_same_socket(ngx_connection_t *c);
static void ngx_eb_client_starved(void);
static ngx_int_t ngx_eb_client_watch(ngx_event_t *ev, ngx_int_t event,
    ngx_uint_t on);
static int ngx_eb_client_on_timer(CURLM *multi, long msec, void *data);


static ngx_eb_client_t  *ngx_eb_client;


static ngx_int_t
ngx_eb_client_init(void)
{
    ngx_eb_client_t  *client;

    static ngx_uint_t  refused;

    if (ngx_eb_client) {
        return NGX_OK;
    }

    if (refused) {
        return NGX_ERROR;
    }

    if (ngx_eb_client_same_openssl() != NGX_OK
        || curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
    {
        refused = 1;
        return NGX_ERROR;
    }

    client = ngx_calloc(sizeof(ngx_eb_client_t), ngx_cycle->log);
    if (client == NULL) {
        return NGX_ERROR;
    }

    client->multi = curl_multi_init();

    if (client->multi == NULL) {
        ngx_free(client);
        return NGX_ERROR;
    }

    ngx_queue_init(&client->waiting[0]);
    ngx_queue_init(&client->waiting[1]);
    ngx_queue_init(&client->running);
    ngx_queue_init(&client->ended);

    client->dummy.fd = (ngx_socket_t) -1;

    client->timer.handler = ngx_eb_client_timer;
    client->timer.data = &client->dummy;
    client->timer.log = ngx_cycle->log;

    client->post.handler = ngx_eb_client_post;
    client->post.data = &client->dummy;
    client->post.log = ngx_cycle->log;

    (void) curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION,
                             ngx_eb_client_on_socket);
    (void) curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION,
                             ngx_eb_client_on_timer);
    (void) curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, 16L);

    ngx_eb_client = client;

    return NGX_OK;
}


ngx_eb_client_transfer_t *
ngx_eb_client_send(ngx_eb_client_request_t *request)
{
    ngx_pool_t                *pool;
    ngx_eb_client_transfer_t  *t;

    if (ngx_eb_client_init() != NGX_OK) {
        return NULL;
    }

    pool = ngx_create_pool(1024, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    t = ngx_pcalloc(pool, sizeof(ngx_eb_client_transfer_t));
    if (t == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    t->pool = pool;

    if (ngx_eb_client_setup(t, request) != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "eventbridge: a request could not be set up");
        ngx_eb_client_free(t);
        return NULL;
    }

    ngx_queue_insert_tail(&ngx_eb_client->waiting[t->watch != NULL],
                          &t->queue);

    ngx_post_event(&ngx_eb_client->post, &ngx_posted_events);

    return t;
}


void
ngx_eb_client_cancel(ngx_eb_client_transfer_t *t)
{
    if (t->resolving) {
        ngx_resolve_name_done(t->resolving);
        t->resolving = NULL;
    }

    ngx_queue_remove(&t->queue);

    if (t->added) {
        ngx_eb_client->nrunning[t->watch != NULL]--;
        t->added = 0;

        (void) curl_multi_remove_handle(ngx_eb_client->multi, t->easy);

        ERR_clear_error();

        ngx_post_event(&ngx_eb_client->post, &ngx_posted_events);
    }

    ngx_eb_client_free(t);
}


void
ngx_eb_client_exit(void)
{
    ngx_queue_t               *q, *queues[4];
    ngx_uint_t                 i;
    ngx_eb_client_t           *client;
    ngx_eb_client_transfer_t  *t;

    client = ngx_eb_client;

    if (client == NULL) {
        return;
    }

    queues[0] = &client->waiting[0];
    queues[1] = &client->waiting[1];
    queues[2] = &client->running;
    queues[3] = &client->ended;

    for (i = 0; i < 4; i++) {
        while (!ngx_queue_empty(queues[i])) {
            q = ngx_queue_head(queues[i]);
            t = ngx_queue_data(q, ngx_eb_client_transfer_t, queue);
            ngx_eb_client_cancel(t);
        }
    }

    /* closes what is kept open, and takes leave of its sockets */

    (void) curl_multi_cleanup(client->multi);
    curl_global_cleanup();

    ERR_clear_error();

    if (client->timer.timer_set) {
        ngx_del_timer(&client->timer);
    }

    if (client->post.posted) {
        ngx_delete_posted_event(&client->post);
    }

    ngx_free(client);
    ngx_eb_client = NULL;
}


/* starts what may start, and tells of what has ended */

static void
ngx_eb_client_post(ngx_event_t *ev)
{
    ngx_uint_t                 i;
    ngx_queue_t               *q;
    ngx_eb_client_t           *client;
    ngx_eb_client_transfer_t  *t;

    static const ngx_uint_t  parallel[2] = {
        NGX_EB_CLIENT_PARALLEL, NGX_EB_CLIENT_WATCHED
    };

    client = ngx_eb_client;

    ngx_eb_client_starved();

    while (!ngx_queue_empty(&client->ended)) {
        q = ngx_queue_head(&client->ended);
        t = ngx_queue_data(q, ngx_eb_client_transfer_t, queue);

        ngx_queue_remove(q);
        ngx_eb_client_finish(t);
    }

    for (i = 0; i < 2; i++) {

        while (!ngx_queue_empty(&client->waiting[i])
               && client->nrunning[i] < parallel[i])
        {
            q = ngx_queue_head(&client->waiting[i]);
            t = ngx_queue_data(q, ngx_eb_client_transfer_t, queue);

            ngx_queue_remove(q);
            ngx_queue_insert_tail(&client->running, q);

            ngx_eb_client_start(t);
        }
    }

    /* what was added begins by the timer that libcurl has asked for */
}


/* those that got no connection of nginx end here */

static void
ngx_eb_client_starved(void)
{
    ngx_queue_t               *q, *next;
    ngx_eb_client_transfer_t  *t;

    for (q = ngx_queue_head(&ngx_eb_client->running);
         q != ngx_queue_sentinel(&ngx_eb_client->running);
         q = next)
    {
        next = ngx_queue_next(q);
        t = ngx_queue_data(q, ngx_eb_client_transfer_t, queue);

        if (!t->starved) {
            continue;
        }

        if (t->added) {
            t->added = 0;
            ngx_eb_client->nrunning[t->watch != NULL]--;

            (void) curl_multi_remove_handle(ngx_eb_client->multi, t->easy);

            ERR_clear_error();
        }

        t->reply.unsent = 1;
        ngx_eb_client_fail(t, NGX_EB_CLIENT_SELF,
                           "no connection is left in this worker");
    }
}


static void
ngx_eb_client_start(ngx_eb_client_transfer_t *t)
{
    ngx_resolver_ctx_t  *ctx;

    if (t->host.len == 0 || t->resolver == NULL) {
        ngx_eb_client_add(t);
        return;
    }

    ctx = ngx_resolve_start(t->resolver, NULL);

    if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
        ngx_eb_client_fail(t, NGX_EB_CLIENT_NAME,
                           "the name could not be looked up");
        return;
    }

    ctx->name = t->host;
    ctx->handler = ngx_eb_client_resolved;
    ctx->data = t;
    ctx->timeout = t->resolver_timeout;

    if (t->timeout && (ctx->timeout == 0 || t->timeout < ctx->timeout)) {
        ctx->timeout = t->timeout;
    }

    t->resolving = ctx;

    if (ngx_resolve_name(ctx) != NGX_OK) {
        t->resolving = NULL;
        ngx_eb_client_fail(t, NGX_EB_CLIENT_NAME,
                           "the name could not be looked up");
    }
}


static void
ngx_eb_client_resolved(ngx_resolver_ctx_t *ctx)
{
    ngx_eb_client_transfer_t *t = ctx->data;

    size_t       size;
    u_char      *p, *text;
    ngx_uint_t   i;
    u_char       words[NGX_EB_CLIENT_HOST + 128];

    t->looked_up = ngx_current_msec;

    if (ctx->state) {
        (void) ngx_snprintf(words, sizeof(words),
                            "the name \"%V\" could not be looked up: %s%Z",
                            &t->host, ngx_resolver_strerror(ctx->state));
        t->reply.lookup = ctx->state;
        t->resolving = NULL;
        ngx_resolve_name_done(ctx);
        ngx_eb_client_fail(t, NGX_EB_CLIENT_NAME, (char *) words);
        return;
    }

    if (t->watch && ngx_eb_client_forbidden(t, ctx)) {
        t->resolving = NULL;
        ngx_resolve_name_done(ctx);
        ngx_eb_client_fail(t, NGX_EB_CLIENT_FORBIDDEN,
                           "an address of the name is forbidden");
        return;
    }

    /* HOST:PORT:ADDRESS,ADDRESS... */

    size = t->host.len + sizeof("+:65535:") + ctx->naddrs
           * (NGX_SOCKADDR_STRLEN + 3);

    text = ngx_pnalloc(t->pool, size);

    if (text) {
        p = text;

#if (LIBCURL_VERSION_NUM >= 0x074b00)

        /* else libcurl keeps it for good, and there may be many names */

        if (t->watch) {
            *p++ = '+';
        }

#endif

        p = ngx_sprintf(p, "%V:%ui:", &t->host, (ngx_uint_t) t->port);

        for (i = 0; i < ctx->naddrs; i++) {

            if (i) {
                *p++ = ',';
            }

            if (ctx->addrs[i].sockaddr->sa_family == AF_INET6) {
                *p++ = '[';
            }

            p += ngx_sock_ntop(ctx->addrs[i].sockaddr, ctx->addrs[i].socklen,
                               p, NGX_SOCKADDR_STRLEN, 0);

            if (ctx->addrs[i].sockaddr->sa_family == AF_INET6) {
                *p++ = ']';
            }
        }

        *p = '\0';

        t->resolve = curl_slist_append(NULL, (char *) text);
    }

    t->resolving = NULL;
    ngx_resolve_name_done(ctx);

    if (t->resolve == NULL
        || curl_easy_setopt(t->easy, CURLOPT_RESOLVE, t->resolve) != CURLE_OK)
    {
        ngx_eb_client_fail(t, NGX_EB_CLIENT_SELF, "out of memory");
        return;
    }

    ngx_eb_client_add(t);
}


static ngx_uint_t
ngx_eb_client_forbidden(ngx_eb_client_transfer_t *t, ngx_resolver_ctx_t *ctx)
{
    ngx_uint_t  i, forbidden;

    forbidden = 0;

    for (i = 0; i < ctx->naddrs; i++) {
        if (t->watch->address(t->data, ctx->addrs[i].sockaddr, 0) != NGX_OK) {
            forbidden = 1;
        }
    }

    return forbidden;
}


static void
ngx_eb_client_add(ngx_eb_client_transfer_t *t)
{
    CURLMcode   rc;
    ngx_msec_t  spent;

    spent = ngx_current_msec - t->start;

    if (t->timeout) {
        if (spent >= t->timeout) {
            t->reply.timed_out = 1;
            ngx_eb_client_fail(t, NGX_EB_CLIENT_TIMEOUT,
                               "no answer came in time");
            return;
        }

        (void) curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS,
                                (long) (t->timeout - spent));
    }

    rc = curl_multi_add_handle(ngx_eb_client->multi, t->easy);

    if (rc != CURLM_OK) {
        ngx_eb_client_fail(t, NGX_EB_CLIENT_SELF, "out of memory");
        return;
    }

    t->added = 1;
    ngx_eb_client->nrunning[t->watch != NULL]++;
}


/* it ends without libcurl; why is copied */

static void
ngx_eb_client_fail(ngx_eb_client_transfer_t *t, ngx_eb_client_cause_e cause,
    const char *why)
{
    t->failed = 1;
    t->reply.cause = cause;
    (void) ngx_cpystrn((u_char *) t->words, (u_char *) why,
                       sizeof(t->words));

    ngx_queue_remove(&t->queue);
    ngx_queue_insert_tail(&ngx_eb_client->ended, &t->queue);

    ngx_post_event(&ngx_eb_client->post, &ngx_posted_events);
}


/* the one place from which libcurl works */

static void
ngx_eb_client_action(curl_socket_t s, int events)
{
    int                        n;
    CURLMsg                   *msg;
    ngx_eb_client_t           *client;
    ngx_eb_client_transfer_t  *t;

    client = ngx_eb_client;

    (void) curl_multi_socket_action(client->multi, s, events, &n);

    ERR_clear_error();

    /* a handler may cancel others, and send more */

    while (ngx_eb_client) {
        msg = curl_multi_info_read(client->multi, &n);

        if (msg == NULL) {
            break;
        }

        if (msg->msg != CURLMSG_DONE) {
            continue;
        }

        t = NULL;
        (void) curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE,
                                 (char **) &t);

        ngx_eb_client_ended(t, msg->data.result);
    }
}


static void
ngx_eb_client_ended(ngx_eb_client_transfer_t *t, CURLcode code)
{
    long        sent, value;
    char       *address;
    curl_off_t  usec;

    t->added = 0;
    ngx_eb_client->nrunning[t->watch != NULL]--;
    ngx_queue_remove(&t->queue);

    value = 0;
    (void) curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &value);
    t->reply.seen = (ngx_uint_t) value;

    if (code == CURLE_OK) {
        t->reply.status = t->reply.seen;

    } else {
        value = 0;
        (void) curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &value);

        t->failed = 1;
        t->reply.err = (ngx_err_t) value;
        t->reply.cause = ngx_eb_client_cause(t, code);
        t->reply.timed_out = (code == CURLE_OPERATION_TIMEDOUT);

        if (t->large) {
            (void) ngx_cpystrn((u_char *) t->words,
                               (u_char *) "the answer is too long",
                               sizeof(t->words));

        } else if (t->words[0] == '\0') {
            (void) ngx_cpystrn((u_char *) t->words,
                               (u_char *) curl_easy_strerror(code),
                               sizeof(t->words));
        }

        sent = 0;
        (void) curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &sent);
        t->reply.unsent = (sent == 0);
    }

    address = NULL;

    if (curl_easy_getinfo(t->easy, CURLINFO_PRIMARY_IP, &address) == CURLE_OK
        && address)
    {
        t->reply.address.len = ngx_strlen(address);
        t->reply.address.data = ngx_pnalloc(t->pool, t->reply.address.len);

        if (t->reply.address.data) {
            ngx_memcpy(t->reply.address.data, address, t->reply.address.len);

        } else {
            t->reply.address.len = 0;
        }
    }

#define ngx_eb_client_time(info, msec)                                        \
    usec = 0;                                                                 \
    (void) curl_easy_getinfo(t->easy, info, &usec);                           \
    (msec) = (ngx_msec_t) ((usec + 999) / 1000)

    ngx_eb_client_time(CURLINFO_NAMELOOKUP_TIME_T, t->reply.resolved);
    ngx_eb_client_time(CURLINFO_CONNECT_TIME_T, t->reply.connected);
    ngx_eb_client_time(CURLINFO_APPCONNECT_TIME_T, t->reply.secured);
    ngx_eb_client_time(CURLINFO_STARTTRANSFER_TIME_T, t->reply.first_byte);

    (void) curl_multi_remove_handle(ngx_eb_client->multi, t->easy);

    ngx_eb_client_finish(t);

    if (ngx_eb_client && (!ngx_queue_empty(&ngx_eb_client->waiting[0])
                          || !ngx_queue_empty(&ngx_eb_client->waiting[1])))
    {
        ngx_post_event(&ngx_eb_client->post, &ngx_posted_events);
    }
}


static void
ngx_eb_client_finish(ngx_eb_client_transfer_t *t)
{
    ngx_msec_t  lookup;

    if (t->failed) {
        t->reply.status = 0;
        t->reply.error.data = (u_char *) t->words;
        t->reply.error.len = ngx_strlen(t->words);

        if (t->reply.first_byte == 0 && t->reply.connected == 0) {
            t->reply.unsent = 1;
        }
    }

    /* libcurl did not do all of it */

    lookup = t->looked_up ? t->looked_up - t->start : 0;

    if (lookup) {
        t->reply.resolved = lookup;

        if (t->reply.connected) {
            t->reply.connected += lookup;
        }

        if (t->reply.secured) {
            t->reply.secured += lookup;
        }

        if (t->reply.first_byte) {
            t->reply.first_byte += lookup;
        }
    }

    t->reply.total = ngx_current_msec - t->start;

    t->handler(t->data, &t->reply);

    ngx_eb_client_free(t);
}


static void
ngx_eb_client_free(ngx_eb_client_transfer_t *t)
{
    struct curl_slist  *list;

    if (t->easy) {
        curl_easy_cleanup(t->easy);
    }

    /* credentials may be in either */

    for (list = t->headers; list; list = list->next) {
        OPENSSL_cleanse(list->data, ngx_strlen(list->data));
    }

    if (t->body) {
        OPENSSL_cleanse(t->body, t->body_len);
    }

    if (t->reply.body.data) {
        OPENSSL_cleanse(t->reply.body.data, t->reply.body.len);
        ngx_free(t->reply.body.data);
    }

    curl_slist_free_all(t->headers);
    curl_slist_free_all(t->resolve);

    ngx_destroy_pool(t->pool);
}


static void
ngx_eb_client_timer(ngx_event_t *ev)
{
    ngx_eb_client_action(CURL_SOCKET_TIMEOUT, 0);
}


static void
ngx_eb_client_event(ngx_event_t *ev)
{
    int                events;
    ngx_socket_t       fd;
    ngx_connection_t  *c;

    c = ev->data;
    fd = c->fd;

    /*
     * worker_shutdown_timeout: there is no time left.  Taking the socket for
     * broken ends its transfer.
     */

    if (c->close) {
        ngx_eb_client_action(fd, CURL_CSELECT_ERR);
        return;
    }

    events = ev->write ? CURL_CSELECT_OUT : CURL_CSELECT_IN;

    /* c may be gone when this returns */

    ngx_eb_client_action(fd, events);
}


static int
ngx_eb_client_on_socket(CURL *easy, curl_socket_t s, int what, void *data,
    void *socket)
{
    ngx_connection_t *c = socket;

    ngx_eb_client_transfer_t  *t;

    if (what == CURL_POLL_REMOVE) {

        if (c) {
            ngx_eb_client_forget(c);
            (void) curl_multi_assign(ngx_eb_client->multi, s, NULL);
        }

        return 0;
    }

    if (c == NULL) {
        c = ngx_get_connection(s, ngx_cycle->log);

        if (c == NULL) {

            /* -1 would end all transfers; this one ends from the event loop */

            (void) curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &t);

            if (t) {
                t->starved = 1;
            }

            ngx_post_event(&ngx_eb_client->post, &ngx_posted_events);

            return 0;
        }

        c->number = 0;

        c->log = ngx_cycle->log;
        c->read->log = c->log;
        c->write->log = c->log;
        c->read->handler = ngx_eb_client_event;
        c->write->handler = ngx_eb_client_event;

        (void) curl_multi_assign(ngx_eb_client->multi, s, c);
    }

    ngx_eb_client_same_socket(c);

    if (ngx_eb_client_watch(c->read, NGX_READ_EVENT, what & CURL_POLL_IN)
        != NGX_OK
        || ngx_eb_client_watch(c->write, NGX_WRITE_EVENT, what & CURL_POLL_OUT)
           != NGX_OK)
    {
        return -1;
    }

    return 0;
}


/* the descriptor is libcurl's, who may go on with it or close it */

static void
ngx_eb_client_forget(ngx_connection_t *c)
{
    ngx_eb_client_same_socket(c);

    (void) ngx_eb_client_watch(c->read, NGX_READ_EVENT, 0);
    (void) ngx_eb_client_watch(c->write, NGX_WRITE_EVENT, 0);

    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }

    if (c->write->posted) {
        ngx_delete_posted_event(c->write);
    }

    ngx_free_connection(c);

    c->fd = (ngx_socket_t) -1;
}


/*
 * libcurl closes some sockets before it says that they need not be watched any
 * more, and another one may have the number by then.  A socket is known by its
 * inode, for which c->number has room.
 */

static void
ngx_eb_client_same_socket(ngx_connection_t *c)
{
    struct stat  st;

    if (fstat(c->fd, &st) == -1) {
        st.st_ino = 0;
    }

    if ((ngx_atomic_uint_t) st.st_ino != c->number) {

        /* closed: the kernel has forgotten its events */

        c->number = (ngx_atomic_uint_t) st.st_ino;
        c->read->active = 0;
        c->write->active = 0;
    }
}


static ngx_int_t
ngx_eb_client_watch(ngx_event_t *ev, ngx_int_t event, ngx_uint_t on)
{
    if (on) {
        return ev->active ? NGX_OK
                          : ngx_add_event(ev, event, NGX_LEVEL_EVENT);
    }

    return ev->active ? ngx_del_event(ev, event, 0) : NGX_OK;
}


static int
ngx_eb_client_on_timer(CURLM *multi, long msec, void *data)
{
    ngx_event_t  *timer;

    timer = &ngx_eb_client->timer;

    if (timer->timer_set) {
        ngx_del_timer(timer);
    }

    if (msec < 0) {
        return 0;
    }

    /* while nobody waits it is about what is kept open only */

    timer->cancelable = (ngx_eb_client->nrunning[0] == 0
                         && ngx_eb_client->nrunning[1] == 0
                         && ngx_queue_empty(&ngx_eb_client->running));

    ngx_add_timer(timer, msec ? (ngx_msec_t) msec : 1);

    return 0;
}
