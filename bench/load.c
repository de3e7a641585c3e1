
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * A load client: keeps a number of connections busy with POST requests whose
 * body is the same but for the ids, and measures rate and latency.
 *
 * Every run of 16 "%" in the body is replaced, in each request, by 16 hex
 * digits that never come again.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>


#define LOAD_MARK        "%%%%%%%%%%%%%%%%"
#define LOAD_MARK_LEN    (sizeof(LOAD_MARK) - 1)
#define LOAD_ANSWER_SIZE 65536

/* an answer that does not come is a failed run, not one that never ends */
#define LOAD_GRACE       10000000000ULL
#define LOAD_LONGEST     600000000000ULL


typedef struct {
    int        fd;
    char      *request;         /* headers and body, ids patched in place */
    size_t     sent;
    char      *answer;
    size_t     received;
    uint64_t   start;
    int        writing;         /* EPOLLOUT is asked for */
} load_connection_t;


typedef struct {
    int                  port;
    const char          *path;
    const char          *file;
    const char          *expect;
    int                  nconnections;
    double               seconds;
    double               rate;
    uint64_t             nrequests;
} load_options_t;


typedef struct {
    char                *request;
    size_t               len;
    size_t              *marks;
    size_t               nmarks;
    uint64_t             next_id;
    uint64_t             started;
    uint64_t             finished;
    uint64_t             failed;
    uint32_t            *latencies;     /* microseconds */
    size_t               nlatencies;
    size_t               allocated;
    char                 first_failure[512];
    const char          *expect;
    int                  epoll;

    /* with a rate: requests are due at fixed times, whoever waits for what */
    int                  timer;
    double               interval;      /* nanoseconds, 0: no rate */
    uint64_t             begin;
    uint64_t             ndue;          /* number of the next request */
    load_connection_t  **idle;
    int                  nidle;
} load_t;


static void load_usage(void);
static void load_options(load_options_t *o, int argc, char **argv);
static void load_template(load_t *load, load_options_t *o);
static void load_connect(load_t *load, load_options_t *o,
    load_connection_t *c);
static int load_next(load_t *load, load_options_t *o, uint64_t end);
static void load_timer(load_t *load);
static void load_begin(load_t *load, load_connection_t *c);
static void load_write(load_t *load, load_connection_t *c);
static int load_read(load_connection_t *c);
static int load_answer(load_connection_t *c);
static void load_record(load_t *load, load_connection_t *c);
static int load_compare(const void *one, const void *two);
static void load_report(load_t *load, double seconds);
static uint64_t load_now(void);
static void *load_alloc(size_t size);
static void load_die(const char *what);


int
main(int argc, char **argv)
{
    int                 i, n;
    load_t              load;
    uint64_t            end, limit, expired;
    load_options_t      o;
    load_connection_t  *connections, *c;
    struct timespec     ts;
    struct epoll_event  events[256], ee;

    load_options(&o, argc, argv);

    memset(&load, 0, sizeof(load_t));

    load.expect = o.expect;
    load.interval = o.rate > 0 ? 1e9 / o.rate : 0;

    /*
     * nanoseconds since the epoch: fewer events than that are sent in any
     * time, so that no two runs have an id in common
     */
    clock_gettime(CLOCK_REALTIME, &ts);
    load.next_id = (uint64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;

    load_template(&load, &o);

    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    load.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK|TFD_CLOEXEC);

    if (load.epoll == -1 || load.timer == -1) {
        load_die("epoll_create1()");
    }

    memset(&ee, 0, sizeof(struct epoll_event));

    ee.events = EPOLLIN;

    if (epoll_ctl(load.epoll, EPOLL_CTL_ADD, load.timer, &ee) == -1) {
        load_die("epoll_ctl()");
    }

    connections = load_alloc(o.nconnections * sizeof(load_connection_t));
    memset(connections, 0, o.nconnections * sizeof(load_connection_t));

    load.idle = load_alloc(o.nconnections * sizeof(load_connection_t *));

    for (i = 0; i < o.nconnections; i++) {
        load_connect(&load, &o, &connections[i]);
        load.idle[load.nidle++] = &connections[i];
    }

    load.begin = load_now();
    end = o.nrequests ? 0 : load.begin + (uint64_t) (o.seconds * 1e9);
    limit = (end ? end : load.begin + LOAD_LONGEST) + LOAD_GRACE;

    while (load_next(&load, &o, end) || load.nidle < o.nconnections) {

        n = epoll_wait(load.epoll, events, 256, 1000);

        if (n == -1 && errno != EINTR) {
            load_die("epoll_wait()");
        }

        if (load_now() > limit) {
            fprintf(stderr, "load: %d connections wait for an answer\n",
                    o.nconnections - load.nidle);
            return 1;
        }

        for (i = 0; i < n; i++) {
            c = events[i].data.ptr;

            if (c == NULL) {
                if (read(load.timer, &expired, sizeof(uint64_t)) == -1
                    && errno != EAGAIN)
                {
                    load_die("read() of a timer");
                }

                continue;
            }

            if (events[i].events & EPOLLOUT) {
                load_write(&load, c);
            }

            if ((events[i].events & (EPOLLIN|EPOLLHUP|EPOLLERR))
                && load_read(c))
            {
                load_record(&load, c);
                load.idle[load.nidle++] = c;
            }
        }
    }

    load_report(&load, (double) (load_now() - load.begin) / 1e9);

    if (load.failed) {
        fprintf(stderr, "load: %llu of %llu requests failed, the first with "
                "\"%s\"\n", (unsigned long long) load.failed,
                (unsigned long long) load.finished, load.first_failure);
        return 1;
    }

    return 0;
}


static void
load_usage(void)
{
    fprintf(stderr,
            "usage: load -p PORT -u PATH -b FILE [-c CONNECTIONS]\n"
            "            [-t SECONDS | -n REQUESTS] [-r RATE] [-e TEXT]\n"
            "posts the body in FILE to 127.0.0.1, as fast as it can or RATE "
            "times a second;\nanswers other than 200, or without TEXT, are "
            "failures\n");
    exit(2);
}


static void
load_options(load_options_t *o, int argc, char **argv)
{
    int  ch;

    memset(o, 0, sizeof(load_options_t));

    o->nconnections = 16;
    o->seconds = 1;

    while ((ch = getopt(argc, argv, "p:u:b:c:t:n:r:e:")) != -1) {

        switch (ch) {

        case 'p':
            o->port = atoi(optarg);
            break;

        case 'u':
            o->path = optarg;
            break;

        case 'b':
            o->file = optarg;
            break;

        case 'c':
            o->nconnections = atoi(optarg);
            break;

        case 't':
            o->seconds = atof(optarg);
            break;

        case 'n':
            o->nrequests = strtoull(optarg, NULL, 10);
            break;

        case 'r':
            o->rate = atof(optarg);
            break;

        case 'e':
            o->expect = optarg;
            break;

        default:
            load_usage();
        }
    }

    if (o->port < 1 || o->port > 65535 || o->path == NULL || o->file == NULL
        || o->nconnections < 1 || o->seconds <= 0 || o->rate < 0
        || optind != argc)
    {
        load_usage();
    }
}


static void
load_template(load_t *load, load_options_t *o)
{
    int          fd, n;
    char        *p, header[1024];
    size_t       size, got;
    ssize_t      rc;
    struct stat  st;

    fd = open(o->file, O_RDONLY|O_CLOEXEC);

    if (fd == -1 || fstat(fd, &st) == -1) {
        load_die(o->file);
    }

    size = st.st_size;

    n = snprintf(header, sizeof(header),
                 "POST %s HTTP/1.1\r\n"
                 "Host: bench\r\n"
                 "Content-Type: application/json\r\n"
                 "Content-Length: %zu\r\n"
                 "\r\n", o->path, size);

    if (n < 0 || (size_t) n >= sizeof(header)) {
        fprintf(stderr, "load: the path is too long\n");
        exit(2);
    }

    load->len = n + size;
    load->request = load_alloc(load->len + 1);
    memcpy(load->request, header, n);

    for (got = 0; got < size; got += rc) {
        rc = read(fd, load->request + n + got, size - got);

        if (rc <= 0) {
            load_die(o->file);
        }
    }

    close(fd);

    load->request[load->len] = '\0';
    load->marks = load_alloc((size / LOAD_MARK_LEN + 1) * sizeof(size_t));

    p = load->request;

    while ((p = strstr(p, LOAD_MARK)) != NULL) {
        load->marks[load->nmarks++] = p - load->request;
        p += LOAD_MARK_LEN;
    }
}


static void
load_connect(load_t *load, load_options_t *o, load_connection_t *c)
{
    int                 on;
    struct epoll_event  ee;
    struct sockaddr_in  sin;

    c->fd = socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, 0);
    if (c->fd == -1) {
        load_die("socket()");
    }

    memset(&sin, 0, sizeof(struct sockaddr_in));

    sin.sin_family = AF_INET;
    sin.sin_port = htons(o->port);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    if (connect(c->fd, (struct sockaddr *) &sin, sizeof(sin)) == -1) {
        load_die("connect()");
    }

    on = 1;

    if (setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(int)) == -1
        || fcntl(c->fd, F_SETFL, O_NONBLOCK) == -1)
    {
        load_die("setsockopt()");
    }

    c->request = load_alloc(load->len);
    c->answer = load_alloc(LOAD_ANSWER_SIZE + 1);

    memcpy(c->request, load->request, load->len);

    memset(&ee, 0, sizeof(struct epoll_event));

    ee.events = EPOLLIN;
    ee.data.ptr = c;

    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, c->fd, &ee) == -1) {
        load_die("epoll_ctl()");
    }
}


/*
 * Begins what is due, as far as there are idle connections.  False: there is
 * nothing more to begin.
 */

static int
load_next(load_t *load, load_options_t *o, uint64_t end)
{
    uint64_t            now, due;
    load_connection_t  *c;

    for ( ;; ) {

        now = load_now();

        if (end ? now >= end : load->started == o->nrequests) {
            return 0;
        }

        if (load->nidle == 0) {
            return 1;
        }

        if (load->interval > 0) {
            due = load->begin + (uint64_t) (load->ndue * load->interval);

            if (due > now) {
                load_timer(load);
                return 1;
            }

            /* a request that had to wait for a connection is late */
            load->ndue++;

        } else {
            due = now;
        }

        c = load->idle[--load->nidle];
        c->start = due;

        load_begin(load, c);
    }
}


static void
load_timer(load_t *load)
{
    uint64_t           due;
    struct itimerspec  its;

    due = load->begin + (uint64_t) (load->ndue * load->interval);

    memset(&its, 0, sizeof(struct itimerspec));

    its.it_value.tv_sec = due / 1000000000;
    its.it_value.tv_nsec = due % 1000000000;

    if (timerfd_settime(load->timer, TFD_TIMER_ABSTIME, &its, NULL) == -1) {
        load_die("timerfd_settime()");
    }
}


static void
load_begin(load_t *load, load_connection_t *c)
{
    static const char  hex[] = "0123456789abcdef";

    char      *p;
    size_t     i, k;
    uint64_t   id;

    for (i = 0; i < load->nmarks; i++) {
        p = c->request + load->marks[i];
        id = load->next_id++;

        for (k = LOAD_MARK_LEN; k > 0; k--) {
            p[k - 1] = hex[id & 0xf];
            id >>= 4;
        }
    }

    load->started++;

    c->sent = 0;
    c->received = 0;

    load_write(load, c);
}


static void
load_write(load_t *load, load_connection_t *c)
{
    int                 again;
    ssize_t             n;
    struct epoll_event  ee;

    again = 0;

    while (c->sent < load->len) {
        n = send(c->fd, c->request + c->sent, load->len - c->sent,
                 MSG_NOSIGNAL);

        if (n == -1) {
            if (errno == EINTR) {
                continue;
            }

            if (errno == EAGAIN) {
                again = 1;
                break;
            }

            load_die("send()");
        }

        c->sent += n;
    }

    if (again == c->writing) {
        return;
    }

    c->writing = again;

    memset(&ee, 0, sizeof(struct epoll_event));

    ee.events = again ? EPOLLIN|EPOLLOUT : EPOLLIN;
    ee.data.ptr = c;

    if (epoll_ctl(load->epoll, EPOLL_CTL_MOD, c->fd, &ee) == -1) {
        load_die("epoll_ctl()");
    }
}


/* is the answer complete? */

static int
load_read(load_connection_t *c)
{
    ssize_t  n;

    for ( ;; ) {

        if (c->received == LOAD_ANSWER_SIZE) {
            fprintf(stderr, "load: an answer is too long\n");
            exit(1);
        }

        n = recv(c->fd, c->answer + c->received,
                 LOAD_ANSWER_SIZE - c->received, 0);

        if (n == -1) {
            if (errno == EINTR) {
                continue;
            }

            if (errno == EAGAIN) {
                return 0;
            }

            load_die("recv()");
        }

        if (n == 0) {
            fprintf(stderr, "load: the server closed a connection\n");
            exit(1);
        }

        c->received += n;
        c->answer[c->received] = '\0';

        if (load_answer(c)) {
            return 1;
        }
    }
}


static int
load_answer(load_connection_t *c)
{
    char    *end, *p;
    size_t   header, length;

    end = strstr(c->answer, "\r\n\r\n");
    if (end == NULL) {
        return 0;
    }

    header = end + 4 - c->answer;

    p = strcasestr(c->answer, "\r\nContent-Length:");

    if (p == NULL || p > end) {
        fprintf(stderr, "load: an answer has no Content-Length\n");
        exit(1);
    }

    length = strtoul(p + sizeof("\r\nContent-Length:") - 1, NULL, 10);

    return c->received >= header + length;
}


static void
load_record(load_t *load, load_connection_t *c)
{
    uint64_t  nsec;

    nsec = load_now() - c->start;

    if (load->nlatencies == load->allocated) {
        load->allocated = load->allocated ? load->allocated * 2 : 65536;
        load->latencies = realloc(load->latencies,
                                  load->allocated * sizeof(uint32_t));
        if (load->latencies == NULL) {
            load_die("realloc()");
        }
    }

    load->latencies[load->nlatencies++] = (uint32_t) (nsec / 1000);
    load->finished++;

    if (strncmp(c->answer, "HTTP/1.1 200 ", sizeof("HTTP/1.1 200 ") - 1) != 0
        || (load->expect && strstr(c->answer, load->expect) == NULL))
    {
        if (load->failed++ == 0) {
            snprintf(load->first_failure, sizeof(load->first_failure), "%s",
                     c->answer);
        }
    }
}


static int
load_compare(const void *one, const void *two)
{
    uint32_t  a, b;

    a = *(const uint32_t *) one;
    b = *(const uint32_t *) two;

    return (a > b) - (a < b);
}


/* one line: requests, seconds, requests a second, p50 and p99 in us */

static void
load_report(load_t *load, double seconds)
{
    size_t  n;

    n = load->nlatencies;

    if (n == 0) {
        fprintf(stderr, "load: no request was finished\n");
        exit(1);
    }

    qsort(load->latencies, n, sizeof(uint32_t), load_compare);

    printf("%llu %.6f %.1f %u %u\n", (unsigned long long) load->finished,
           seconds, load->finished / seconds, load->latencies[n / 2],
           load->latencies[n - 1 - n / 100]);
}


static uint64_t
load_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}


static void *
load_alloc(size_t size)
{
    void  *p;

    p = malloc(size);
    if (p == NULL) {
        load_die("malloc()");
    }

    return p;
}


static void
load_die(const char *what)
{
    fprintf(stderr, "load: %s failed: %s\n", what, strerror(errno));
    exit(1);
}
