
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Gives a plain mock of the tests a TLS side: accepts TLS on a port of
 * loopback, and carries the bytes to another one and back.  What happens to
 * one connection happens to the other: a reset, an end, a pause.
 *
 *     tls PORT PLAIN_PORT CERTIFICATE KEY [MINIMUM MAXIMUM [NAME]]
 *
 * The versions are 1.1, 1.2 or 1.3.  With a name, there is no certificate for
 * any other one.  Commands come as lines on standard input, and
 * each is answered by a line: "refuse" closes the listening socket, "refuse
 * 500" opens it again after so many milliseconds, "accept" opens it, "drop"
 * resets every connection, "stats" tells the handshakes that were completed,
 * failed and resumed, the open connections, and the last server name.  The
 * end of standard input is the end.
 */


#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>


#define TLS_BUFFER  16384


typedef struct {
    size_t         start;
    size_t         end;
    char           data[TLS_BUFFER];
} tls_buffer_t;


typedef struct tls_conn_s  tls_conn_t;

struct tls_conn_s {
    tls_conn_t    *next;
    SSL           *ssl;
    int            client;
    int            plain;
    nfds_t         slot;            /* of the client in the poll set */
    short          client_events;
    short          plain_events;
    unsigned       open:1;          /* the handshake is done */
    unsigned       client_eof:1;
    unsigned       plain_eof:1;
    unsigned       client_told:1;   /* that there is no more to come */
    unsigned       plain_told:1;
    unsigned       plain_lost:1;    /* nobody reads what the client sends */
    unsigned       dead:1;
    tls_buffer_t   in;              /* from the client */
    tls_buffer_t   out;             /* to the client */
};


static long long tls_now(void);
static int tls_listen(void);
static int tls_connect(void);
static void tls_accept(int listener);
static void tls_close(tls_conn_t *c, int reset);
static int tls_handshake(tls_conn_t *c);
static int tls_read_client(tls_conn_t *c);
static int tls_write_client(tls_conn_t *c);
static int tls_read_plain(tls_conn_t *c);
static int tls_write_plain(tls_conn_t *c);
static void tls_progress(tls_conn_t *c);
static void tls_sweep(void);
static void tls_refuse(void);
static void tls_command(const char *line);
static int tls_commands(void);
static int tls_alpn(SSL *ssl, const unsigned char **out, unsigned char *len,
    const unsigned char *in, unsigned int inlen, void *data);
static int tls_sni(SSL *ssl, int *alert, void *data);
static int tls_version(const char *text);
static SSL_CTX *tls_context(int argc, char **argv);


static SSL_CTX        *tls_ctx;
static tls_conn_t     *tls_conns;
static size_t          tls_n;
static int             tls_listener = -1;
static unsigned short  tls_port;
static unsigned short  tls_plain_port;
static long long       tls_reopen;      /* when, or 0 */
static unsigned long   tls_done;
static unsigned long   tls_failed;
static unsigned long   tls_resumed;
static char            tls_name[256] = "-";


static long long
tls_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (long long) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


static int
tls_listen(void)
{
    int                 fd, on;
    struct sockaddr_in  sin;

    fd = socket(AF_INET, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0);
    if (fd == -1) {
        return -1;
    }

    on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_port = htons(tls_port);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    if (bind(fd, (struct sockaddr *) &sin, sizeof(sin)) == -1
        || listen(fd, SOMAXCONN) == -1)
    {
        close(fd);
        return -1;
    }

    return fd;
}


/* on loopback, this does not wait: the kernel answers for the mock */

static int
tls_connect(void)
{
    int                 fd, on;
    struct sockaddr_in  sin;

    fd = socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, 0);
    if (fd == -1) {
        return -1;
    }

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_port = htons(tls_plain_port);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    if (connect(fd, (struct sockaddr *) &sin, sizeof(sin)) == -1
        || fcntl(fd, F_SETFL, O_NONBLOCK) == -1)
    {
        close(fd);
        return -1;
    }

    on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

    return fd;
}


static void
tls_accept(int listener)
{
    int          fd, on;
    tls_conn_t  *c;

    for ( ;; ) {
        fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK|SOCK_CLOEXEC);

        if (fd == -1) {
            if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) {
                return;
            }

            perror("tls: accept4()");
            exit(1);
        }

        on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

        c = calloc(1, sizeof(tls_conn_t));
        if (c == NULL) {
            perror("tls: calloc()");
            exit(1);
        }

        c->client = fd;
        c->plain = -1;
        c->client_events = POLLIN;

        c->ssl = SSL_new(tls_ctx);
        if (c->ssl == NULL || SSL_set_fd(c->ssl, fd) == 0) {
            fprintf(stderr, "tls: SSL_new() failed\n");
            exit(1);
        }

        SSL_set_accept_state(c->ssl);

        c->next = tls_conns;
        tls_conns = c;
        tls_n++;
    }
}


static void
tls_close(tls_conn_t *c, int reset)
{
    struct linger  linger;

    if (c->dead) {
        return;
    }

    if (reset) {
        linger.l_onoff = 1;
        linger.l_linger = 0;

        setsockopt(c->client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));

        if (c->plain != -1) {
            setsockopt(c->plain, SOL_SOCKET, SO_LINGER, &linger,
                       sizeof(linger));
        }
    }

    SSL_free(c->ssl);
    close(c->client);

    if (c->plain != -1) {
        close(c->plain);
    }

    c->dead = 1;
}


/* the functions below return whether anything went on */

static int
tls_handshake(tls_conn_t *c)
{
    int          rc;
    size_t       i;
    const char  *name;

    ERR_clear_error();

    rc = SSL_do_handshake(c->ssl);

    if (rc == 1) {
        c->open = 1;
        tls_done++;
        tls_resumed += SSL_session_reused(c->ssl) ? 1 : 0;

        name = SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name);
        snprintf(tls_name, sizeof(tls_name), "%s", name ? name : "-");

        for (i = 0; tls_name[i]; i++) {
            if (tls_name[i] <= ' ' || tls_name[i] > '~') {
                tls_name[i] = '?';
            }
        }

        c->plain = tls_connect();
        if (c->plain == -1) {
            tls_close(c, 1);
        }

        return 1;
    }

    switch (SSL_get_error(c->ssl, rc)) {

    case SSL_ERROR_WANT_READ:
        c->client_events |= POLLIN;
        return 0;

    case SSL_ERROR_WANT_WRITE:
        c->client_events |= POLLOUT;
        return 0;
    }

    /* the alert, if there is one, is on its way */

    tls_failed++;
    tls_close(c, 0);

    return 0;
}


static int
tls_read_client(tls_conn_t *c)
{
    int  n;

    if (c->client_eof || c->in.start != c->in.end) {
        return 0;
    }

    ERR_clear_error();

    n = SSL_read(c->ssl, c->in.data, TLS_BUFFER);

    if (n > 0) {
        c->in.start = 0;
        c->in.end = (size_t) n;
        return 1;
    }

    switch (SSL_get_error(c->ssl, n)) {

    case SSL_ERROR_WANT_READ:
        c->client_events |= POLLIN;
        return 0;

    case SSL_ERROR_WANT_WRITE:
        c->client_events |= POLLOUT;
        return 0;

    case SSL_ERROR_SYSCALL:
        if (errno == ECONNRESET) {
            tls_close(c, 1);
            return 0;
        }
    }

    /* with or without a notification: that is its business */

    c->client_eof = 1;

    return 1;
}


static int
tls_write_client(tls_conn_t *c)
{
    int  n;

    if (c->out.start == c->out.end) {

        if (c->plain_eof && !c->client_told) {
            ERR_clear_error();
            SSL_shutdown(c->ssl);
            shutdown(c->client, SHUT_WR);
            c->client_told = 1;
            return 1;
        }

        return 0;
    }

    ERR_clear_error();

    n = SSL_write(c->ssl, c->out.data + c->out.start,
                  (int) (c->out.end - c->out.start));

    if (n > 0) {
        c->out.start += (size_t) n;
        return 1;
    }

    switch (SSL_get_error(c->ssl, n)) {

    case SSL_ERROR_WANT_READ:
        c->client_events |= POLLIN;
        return 0;

    case SSL_ERROR_WANT_WRITE:
        c->client_events |= POLLOUT;
        return 0;
    }

    tls_close(c, 1);

    return 0;
}


static int
tls_read_plain(tls_conn_t *c)
{
    ssize_t  n;

    if (c->plain_eof || c->out.start != c->out.end) {
        return 0;
    }

    n = recv(c->plain, c->out.data, TLS_BUFFER, 0);

    if (n > 0) {
        c->out.start = 0;
        c->out.end = (size_t) n;
        return 1;
    }

    if (n == 0) {
        c->plain_eof = 1;
        return 1;
    }

    if (errno == EAGAIN || errno == EINTR) {
        c->plain_events |= POLLIN;
        return 0;
    }

    tls_close(c, 1);

    return 0;
}


static int
tls_write_plain(tls_conn_t *c)
{
    ssize_t  n;

    if (c->in.start == c->in.end) {

        if (c->client_eof && !c->plain_told) {
            shutdown(c->plain, SHUT_WR);
            c->plain_told = 1;
            return 1;
        }

        return 0;
    }

    if (c->plain_lost) {
        c->in.start = c->in.end;
        return 1;
    }

    n = send(c->plain, c->in.data + c->in.start, c->in.end - c->in.start,
             MSG_NOSIGNAL);

    if (n >= 0) {
        c->in.start += (size_t) n;
        return 1;
    }

    if (errno == EAGAIN || errno == EINTR) {
        c->plain_events |= POLLOUT;
        return 0;
    }

    /* what the mock said before it left is still to be told */

    if (c->client_told) {
        tls_close(c, 1);
        return 0;
    }

    c->plain_lost = 1;

    return 1;
}


static void
tls_progress(tls_conn_t *c)
{
    int  moved;

    if (c->dead) {
        return;
    }

    c->client_events = 0;
    c->plain_events = 0;

    do {
        if (!c->open) {
            moved = tls_handshake(c);
            continue;
        }

        moved = tls_read_client(c);

        if (!c->dead) {
            moved |= tls_write_plain(c);
        }

        if (!c->dead) {
            moved |= tls_read_plain(c);
        }

        if (!c->dead) {
            moved |= tls_write_client(c);
        }

    } while (moved && !c->dead);

    if (!c->dead && c->client_told && c->plain_told) {
        tls_close(c, 0);
    }
}


static void
tls_sweep(void)
{
    tls_conn_t  *c, **p;

    p = &tls_conns;

    while (*p) {
        c = *p;

        if (!c->dead) {
            p = &c->next;
            continue;
        }

        *p = c->next;
        free(c);
        tls_n--;
    }
}


static void
tls_refuse(void)
{
    if (tls_listener != -1) {
        close(tls_listener);
        tls_listener = -1;
    }
}


static void
tls_command(const char *line)
{
    tls_conn_t  *c;

    if (strncmp(line, "refuse", 6) == 0) {
        tls_refuse();
        tls_reopen = line[6] ? tls_now() + atoll(line + 7) : 0;

    } else if (strcmp(line, "accept") == 0) {
        tls_reopen = 0;

        if (tls_listener == -1) {
            tls_listener = tls_listen();
        }

        if (tls_listener == -1) {
            printf("error port %u: %s\n", tls_port, strerror(errno));
            return;
        }

    } else if (strcmp(line, "drop") == 0) {
        for (c = tls_conns; c; c = c->next) {
            tls_close(c, 1);
        }

        tls_sweep();

    } else if (strcmp(line, "stats") == 0) {
        printf("ok %lu %lu %lu %zu %s\n", tls_done, tls_failed, tls_resumed,
               tls_n, tls_name);
        return;

    } else {
        printf("error unknown command\n");
        return;
    }

    printf("ok\n");
}


/* returns 0 at the end of standard input */

static int
tls_commands(void)
{
    char            *end;
    ssize_t          n;
    static char      buf[256];
    static size_t    len;

    n = read(STDIN_FILENO, buf + len, sizeof(buf) - 1 - len);
    if (n <= 0) {
        return n == -1 && errno == EINTR;
    }

    len += (size_t) n;
    buf[len] = '\0';

    while ((end = strchr(buf, '\n')) != NULL) {
        *end++ = '\0';

        tls_command(buf);
        fflush(stdout);

        len -= (size_t) (end - buf);
        memmove(buf, end, len + 1);
    }

    return len < sizeof(buf) - 1;
}


/* HTTP/1.1 is what the mocks speak */

static int
tls_alpn(SSL *ssl, const unsigned char **out, unsigned char *len,
    const unsigned char *in, unsigned int inlen, void *data)
{
    static const unsigned char  http[] = "\x08http/1.1";

    (void) ssl;
    (void) data;

    if (SSL_select_next_proto((unsigned char **) out, len, http,
                              sizeof(http) - 1, in, inlen)
        != OPENSSL_NPN_NEGOTIATED)
    {
        return SSL_TLSEXT_ERR_NOACK;
    }

    return SSL_TLSEXT_ERR_OK;
}


/* as servers do whose default refuses handshakes */

static int
tls_sni(SSL *ssl, int *alert, void *data)
{
    const char  *name;

    name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    if (name && strcmp(name, data) == 0) {
        return SSL_TLSEXT_ERR_OK;
    }

    *alert = SSL_AD_UNRECOGNIZED_NAME;

    return SSL_TLSEXT_ERR_ALERT_FATAL;
}


static int
tls_version(const char *text)
{
    if (strcmp(text, "1.1") == 0) {
        return TLS1_1_VERSION;
    }

    return strcmp(text, "1.3") == 0 ? TLS1_3_VERSION : TLS1_2_VERSION;
}


static SSL_CTX *
tls_context(int argc, char **argv)
{
    SSL_CTX  *ctx;

    ctx = SSL_CTX_new(TLS_server_method());

    if (ctx == NULL
        || SSL_CTX_use_certificate_chain_file(ctx, argv[3]) != 1
        || SSL_CTX_use_PrivateKey_file(ctx, argv[4], SSL_FILETYPE_PEM) != 1
        || SSL_CTX_check_private_key(ctx) != 1
        || (argc > 6
            && (!SSL_CTX_set_min_proto_version(ctx, tls_version(argv[5]))
                || !SSL_CTX_set_max_proto_version(ctx, tls_version(argv[6])))))
    {
        ERR_print_errors_fp(stderr);
        return NULL;
    }

    /* OpenSSL takes TLS 1.1 for too weak by itself */

    if (argc > 6 && tls_version(argv[5]) == TLS1_1_VERSION) {
        SSL_CTX_set_security_level(ctx, 0);
    }

    if (argc > 7) {
        SSL_CTX_set_tlsext_servername_callback(ctx, tls_sni);
        SSL_CTX_set_tlsext_servername_arg(ctx, argv[7]);
    }

    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE
                          |SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *) "mock", 4);
    SSL_CTX_set_alpn_select_cb(ctx, tls_alpn, NULL);

    return ctx;
}


int
main(int argc, char **argv)
{
    int             wait;
    nfds_t          n, size;
    long long       now;
    tls_conn_t     *c, *next;
    struct rlimit   limit;
    struct pollfd  *set, *more;

    if (argc != 5 && argc != 7 && argc != 8) {
        fprintf(stderr, "usage: tls PORT PLAIN_PORT CERTIFICATE KEY "
                        "[MINIMUM MAXIMUM [NAME]]\n");
        return 2;
    }

    signal(SIGPIPE, SIG_IGN);

    tls_port = (unsigned short) atoi(argv[1]);
    tls_plain_port = (unsigned short) atoi(argv[2]);

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }

    tls_ctx = tls_context(argc, argv);
    if (tls_ctx == NULL) {
        return 1;
    }

    tls_listener = tls_listen();
    if (tls_listener == -1) {
        fprintf(stderr, "tls: port %u: %s\n", tls_port, strerror(errno));
        return 1;
    }

    printf("ok\n");
    fflush(stdout);

    set = NULL;
    size = 0;

    for ( ;; ) {

        if (size < 2 + 2 * tls_n) {
            size = 2 + 4 * tls_n;

            more = realloc(set, size * sizeof(struct pollfd));
            if (more == NULL) {
                perror("tls: realloc()");
                return 1;
            }

            set = more;
        }

        memset(set, 0, size * sizeof(struct pollfd));

        set[0].fd = STDIN_FILENO;
        set[0].events = POLLIN;
        set[1].fd = tls_listener;
        set[1].events = POLLIN;
        n = 2;

        /* a socket that nothing is wanted of would report its end forever */

        for (c = tls_conns; c; c = c->next) {
            c->slot = n;

            set[n].fd = c->client_events ? c->client : -1;
            set[n++].events = c->client_events;

            set[n].fd = c->plain_events ? c->plain : -1;
            set[n++].events = c->plain_events;
        }

        wait = -1;

        if (tls_reopen) {
            now = tls_now();
            wait = tls_reopen > now ? (int) (tls_reopen - now) : 0;
        }

        if (poll(set, n, wait) == -1) {
            if (errno == EINTR) {
                continue;
            }

            perror("tls: poll()");
            return 1;
        }

        for (c = tls_conns; c; c = next) {
            next = c->next;

            if (set[c->slot].revents || set[c->slot + 1].revents) {
                tls_progress(c);
            }
        }

        tls_sweep();

        if (tls_reopen && tls_now() >= tls_reopen) {
            tls_reopen = 0;
            tls_listener = tls_listen();

            if (tls_listener == -1) {
                perror("tls: listen()");
                return 1;
            }

            continue;
        }

        if (set[1].fd != -1 && set[1].revents) {
            tls_accept(tls_listener);
        }

        if (set[0].revents && !tls_commands()) {
            return 0;
        }
    }
}
