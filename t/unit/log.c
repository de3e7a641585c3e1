
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The append log's file: what its lines look like, what is left of them after
 * accidents, and many processes at once.
 */

/* sources: src/runtime/ngx_eb_log_file.c src/runtime/ngx_eb_log_read.c */
/* sources: src/runtime/ngx_eb_log_compact.c */


#include <ngx_config.h>
#include <ngx_core.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sched.h>
#include "shim.h"
#include "ngx_eb_log_file.h"


#define TAIL       29           /* ,"check":"0123456789abcdef"} and newline */
#define GROUP      10
#define MAX        20000        /* records of one test */
#define APPENDS    5000         /* of each of two processes */
#define KILLS      60
#define LARGE      20000        /* bytes of a large record */


typedef struct {
    ngx_eb_log_record_t   records[GROUP];
    char                  text[GROUP][96];
} group_t;


static void fresh(void);
static void store(const void *data, size_t len);
static size_t load(u_char **data);
static off_t size_of(const char *name);
static void chain(group_t *g, ngx_uint_t who, ngx_uint_t from, ngx_uint_t n);
static ngx_err_t append(ngx_eb_log_file_t *file, ngx_uint_t who,
    ngx_uint_t from, ngx_uint_t n);
static void fill(ngx_uint_t n);
static ngx_uint_t collect(const char *name, ngx_uint_t who, u_char *seen,
    ngx_uint_t *invalid);
static ngx_uint_t number(ngx_eb_log_line_t *line, ngx_uint_t who,
    ngx_uint_t *n);
static pid_t start(void (*run)(void *data), void *data);
static int finish(pid_t pid);
static ngx_uint_t keep_all(ngx_eb_log_line_t *line, void *data);
static ngx_uint_t keep_even(ngx_eb_log_line_t *line, void *data);
static ngx_uint_t keep_and_append(ngx_eb_log_line_t *line, void *data);
static ngx_uint_t keep_and_rename(ngx_eb_log_line_t *line, void *data);

static void format(void);
static void large_group(void);
static void torn(void);
static void flipped(void);
static void damaged_tail(void);
static void damaged_middle(void);
static void foreign(void);
static void short_write(void);
static void too_large(void *data);
static void full_disk(void);
static void on_full_disk(void *data);
static void two_processes(void);
static void appender(void *data);
static void killed_writer(void);
static void victim(void *data);
static void locked(void);
static void renamed(void);
static void compaction(void);
static void compaction_and_appends(void);
static void compaction_refused(void);
static void compaction_relic(void);
static void two_compactions(void);
static void rival(void *data);
static void killed_compaction(void);
static void compactor(void *data);
static void reader(void);
static void figures(void);
static void paths(void);
static void owner(void);
static void no_memory(void);


static char        dir[64];
static char        path[80], other[88], tmp[88];
static int         pipes[2];
static ngx_uint_t  offset;


/* an empty directory */

static void
fresh(void)
{
    (void) unlink(path);
    (void) unlink(other);
    (void) unlink(tmp);
}


static void
store(const void *data, size_t len)
{
    int  fd;

    fd = open(path, O_WRONLY|O_CREAT|O_TRUNC, 0640);

    if (fd == -1 || write(fd, data, len) != (ssize_t) len) {
        abort();
    }

    (void) close(fd);
}


static size_t
load(u_char **data)
{
    int          fd;
    struct stat  st;

    fd = open(path, O_RDONLY);

    if (fd == -1 || fstat(fd, &st) == -1) {
        abort();
    }

    *data = malloc(st.st_size + 1);

    if (*data == NULL || read(fd, *data, st.st_size) != st.st_size) {
        abort();
    }

    (*data)[st.st_size] = '\0';

    (void) close(fd);

    return st.st_size;
}


/* -1: it is not there */

static off_t
size_of(const char *name)
{
    struct stat  st;

    return lstat(name, &st) == -1 ? -1 : st.st_size;
}


static void
chain(group_t *g, ngx_uint_t who, ngx_uint_t from, ngx_uint_t n)
{
    ngx_uint_t  i;

    memset(g, 0, sizeof(group_t));

    for (i = 0; i < n; i++) {
        g->records[i].payload.len =
            snprintf(g->text[i], sizeof(g->text[i]),
                     "{\"v\":1,\"who\":%lu,\"n\":%lu,\"text\":\"%.*s\"",
                     (u_long) who, (u_long) (from + i), (int) ((from + i) % 9),
                     "abcdefghi");
        g->records[i].payload.data = (u_char *) g->text[i];
        g->records[i].next = (i + 1 < n) ? &g->records[i + 1] : NULL;
    }
}


static ngx_err_t
append(ngx_eb_log_file_t *file, ngx_uint_t who, ngx_uint_t from, ngx_uint_t n)
{
    group_t  g;

    chain(&g, who, from, n);

    return ngx_eb_log_file_append(file, g.records);
}


/* a new file with records 0 to n - 1 */

static void
fill(ngx_uint_t n)
{
    ngx_uint_t         i;
    ngx_eb_log_file_t  file;

    fresh();

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

    for (i = 0; i < n; i++) {
        if (append(&file, 1, i, 1) != 0) {
            abort();
        }
    }

    ngx_eb_log_file_close(&file);
}


static ngx_uint_t
number(ngx_eb_log_line_t *line, ngx_uint_t who, ngx_uint_t *n)
{
    char    text[256];
    size_t  len;
    u_long  w, v;

    if (line->start == NULL) {
        return 0;
    }

    len = ngx_min(line->len, sizeof(text) - 1);
    memcpy(text, line->start, len);
    text[len] = '\0';

    if (sscanf(text, "{\"v\":1,\"who\":%lu,\"n\":%lu", &w, &v) != 2
        || w != who || v >= MAX)
    {
        return 0;
    }

    *n = v;

    return 1;
}


/*
 * How many valid records of this writer there are; MAX when one is there twice
 * or out of order.
 */

static ngx_uint_t
collect(const char *name, ngx_uint_t who, u_char *seen, ngx_uint_t *invalid)
{
    ngx_int_t            rc;
    ngx_uint_t           n, last, count;
    ngx_eb_log_line_t    line;
    ngx_eb_log_reader_t  r;

    memset(seen, 0, MAX);
    *invalid = 0;
    count = 0;
    last = 0;

    if (ngx_eb_log_reader_open(&r, (u_char *) name, 0, 0, &shim_log)
        != NGX_OK)
    {
        return 0;
    }

    while ((rc = ngx_eb_log_reader_next(&r, &line)) == NGX_OK) {

        if (line.state != NGX_EB_LOG_VALID) {
            (*invalid)++;
            continue;
        }

        if (!number(&line, who, &n)) {
            continue;
        }

        if (seen[n] || n + 1 < last) {
            count = MAX;
            break;
        }

        seen[n] = 1;
        last = n + 1;
        count++;
    }

    if (rc == NGX_ERROR) {
        count = MAX;
    }

    ngx_eb_log_reader_close(&r);

    return count;
}


static pid_t
start(void (*run)(void *data), void *data)
{
    pid_t  pid;

    fflush(stdout);

    pid = fork();

    if (pid == -1) {
        abort();
    }

    if (pid == 0) {
        run(data);
        _exit(0);
    }

    return pid;
}


static int
finish(pid_t pid)
{
    int  status;

    if (waitpid(pid, &status, 0) != pid) {
        return -1;
    }

    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}


static ngx_uint_t
keep_all(ngx_eb_log_line_t *line, void *data)
{
    return 1;
}


static ngx_uint_t
keep_even(ngx_eb_log_line_t *line, void *data)
{
    ngx_uint_t  n;

    return !number(line, 1, &n) || n % 2 == 0;
}


/* somebody appends meanwhile */

static ngx_uint_t
keep_and_append(ngx_eb_log_line_t *line, void *data)
{
    ngx_uint_t         n;
    ngx_eb_log_file_t  file;

    if (number(line, 1, &n) && n == 3) {
        ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

        if (append(&file, 1, 100, 2) != 0) {
            abort();
        }

        ngx_eb_log_file_close(&file);
    }

    return keep_even(line, data);
}


/* and somebody else renames it */

static ngx_uint_t
keep_and_rename(ngx_eb_log_line_t *line, void *data)
{
    (void) rename(path, other);

    return 1;
}


static void
format(void)
{
    size_t             len;
    u_char            *data;
    mode_t             mask;
    ngx_str_t          text;
    struct stat        st;
    ngx_eb_log_file_t  file;

    fresh();
    mask = umask(077);

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

    is_int(append(&file, 1, 1, 2), 0, "two records");
    is_int(file.before, 0, "size before");

    (void) umask(mask);

    len = load(&data);

    is_int(file.after, len, "size after");

    text.data = data;
    text.len = len;

    /* the format is for ever: what is written today is read by any version */

    is_str(&text,
           "{\"v\":1,\"who\":1,\"n\":1,\"text\":\"a\""
           ",\"check\":\"26dcff3906274e74\"}\n"
           "{\"v\":1,\"who\":1,\"n\":2,\"text\":\"ab\""
           ",\"check\":\"de95d54d20137912\"}\n", "the lines");

    free(data);

    ok(stat(path, &st) == 0 && (st.st_mode & 07777) == 0640, "the mode");
    ok(fcntl(file.fd, F_GETFD) & FD_CLOEXEC, "close on exec");

    is_int(append(&file, 1, 3, 1), 0, "one more");
    is_int(file.before, len, "is behind them");

    ngx_eb_log_file_close(&file);
}


/* more than one writev() */

static void
large_group(void)
{
    u_char               *seen;
    ngx_uint_t            i, invalid;
    ngx_eb_log_file_t     file;
    ngx_eb_log_record_t  *records;
    static char           text[1500][64];

    fresh();

    records = calloc(1500, sizeof(ngx_eb_log_record_t));
    seen = malloc(MAX);

    if (records == NULL || seen == NULL) {
        abort();
    }

    for (i = 0; i < 1500; i++) {
        records[i].payload.len =
            sprintf(text[i], "{\"v\":1,\"who\":1,\"n\":%lu", (u_long) i);
        records[i].payload.data = (u_char *) text[i];
        records[i].next = (i < 1499) ? &records[i + 1] : NULL;
    }

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

    is_int(ngx_eb_log_file_append(&file, records), 0, "a large group");
    is_int(collect(path, 1, seen, &invalid), 1500, "all are there");
    is_int(invalid, 0, "and whole");

    ngx_eb_log_file_close(&file);
    free(records);
    free(seen);
}


/* the last record ends at any byte */

static void
torn(void)
{
    size_t             len, two, cut;
    u_char            *data, *seen;
    ngx_uint_t         n, invalid, bad[2];
    ngx_eb_log_file_t  file;

    seen = malloc(MAX);
    if (seen == NULL) {
        abort();
    }

    fill(2);
    two = size_of(path);

    fill(3);
    len = load(&data);

    bad[0] = 0;
    bad[1] = 0;

    for (cut = two; cut < len; cut++) {

        /* at start */

        store(data, cut);
        ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

        if (ngx_eb_log_file_recover(&file) != 0
            || file.cut != (off_t) (cut - two)
            || size_of(path) != (off_t) two
            || append(&file, 1, 3, 1) != 0
            || collect(path, 1, seen, &n) != 3
            || n != 0 || seen[2] || !seen[3])
        {
            bad[0]++;
        }

        ngx_eb_log_file_close(&file);

        /* or while others go on */

        store(data, cut);
        ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

        if (append(&file, 1, 3, 1) != 0
            || file.cut != (off_t) (cut - two)
            || file.before != (off_t) two
            || collect(path, 1, seen, &n) != 3
            || n != 0 || seen[2] || !seen[3])
        {
            bad[1]++;
        }

        ngx_eb_log_file_close(&file);
    }

    is_int(bad[0], 0, "recovered at each of %d bytes", (int) (len - two));
    is_int(bad[1], 0, "or cut by the next append");

    /* of the very first record */

    for (n = 0, cut = 1; cut < two; cut++) {
        store(data, cut);
        ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

        if (ngx_eb_log_file_recover(&file) != 0
            || collect(path, 1, seen, &invalid) != (cut >= two / 2 ? 1u : 0u)
            || invalid != 0)
        {
            n++;
        }

        ngx_eb_log_file_close(&file);
    }

    is_int(n, 0, "also of the first ones");

    free(data);
    free(seen);
}


/* a bit of the last line is wrong: it is not valid any more, others are */

static void
flipped(void)
{
    off_t                 size;
    size_t                len, two, i;
    u_char               *data, *seen;
    ngx_uint_t            bit, bad, cut, n, invalid;
    ngx_eb_log_file_t     file;

    seen = malloc(MAX);
    if (seen == NULL) {
        abort();
    }

    fill(2);
    two = size_of(path);

    fill(3);
    len = load(&data);

    bad = 0;
    cut = 0;

    for (i = two; i < len; i++) {
        for (bit = 0; bit < 8; bit++) {

            data[i] ^= 1 << bit;
            store(data, len);
            data[i] ^= 1 << bit;

            ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

            if (ngx_eb_log_file_recover(&file) != 0) {
                bad++;
                continue;
            }

            size = size_of(path);
            n = collect(path, 1, seen, &invalid);

            if (size == (off_t) two && n == 2 && invalid == 0) {
                cut++;

            } else if (size != (off_t) len || n != 2 || invalid != 1) {
                bad++;
            }

            ngx_eb_log_file_close(&file);
        }
    }

    is_int(bad, 0, "no damaged line is valid, no other is lost");

    /* without the name of the check it may be anybody's */

    ok(cut >= 8 * (len - two - (sizeof(",\"check\":\"") - 1)),
       "most of them are cut");

    free(data);
    free(seen);
}


static void
damaged_tail(void)
{
    size_t              len;
    u_char             *data, *all;
    ngx_uint_t          i;
    ngx_eb_log_file_t   file;
    static const char  *tails[] = {
        "\n", "\n\n\n", "{", "garbage\n", "garbage", "{\"v\":1,\"n\n",
        "{\"a\":1,\"check\":\"0123456789abcdef\"}\n",
        "\"check\":\"0123456789abcdef\"}\n",
        ",\"check\":\"0123456789abcdef\"}\n", "x\n{\"v\":1",
        "{}\rx\n", "{\"v\":\n1}\n"
    };

    fill(3);
    len = load(&data);

    for (i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        all = malloc(len + strlen(tails[i]));
        if (all == NULL) {
            abort();
        }

        memcpy(all, data, len);
        memcpy(all + len, tails[i], strlen(tails[i]));
        store(all, len + strlen(tails[i]));
        free(all);

        ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

        ok(ngx_eb_log_file_recover(&file) == 0
           && file.cut == (off_t) strlen(tails[i])
           && size_of(path) == (off_t) len, "tail %d is cut", (int) i);

        ngx_eb_log_file_close(&file);
    }

    /* a power cut: zeros, more than one read of them, and lines in between */

    all = calloc(1, len + 100000);
    if (all == NULL) {
        abort();
    }

    memcpy(all, data, len);
    all[len + 50000] = LF;
    all[len + 99999] = LF;
    store(all, len + 100000);

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

    is_int(ngx_eb_log_file_recover(&file), 0, "zeros");
    is_int(size_of(path), len, "are cut");
    is_int(file.cut, 100000, "and counted");

    ngx_eb_log_file_close(&file);

    /* nothing else than that */

    memset(all, 0, len);
    store(all, len + 100000);

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

    is_int(ngx_eb_log_file_recover(&file), 0, "zeros alone");
    is_int(size_of(path), 0, "are cut, too");

    ngx_eb_log_file_close(&file);
    free(all);

    /* what somebody added by hand */

    store("{\"v\":1}\n", 8);

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

    is_int(ngx_eb_log_file_recover(&file), 0, "a line without a check");
    is_int(size_of(path), 8, "stays");

    ngx_eb_log_file_close(&file);
    free(data);
}


static void
damaged_middle(void)
{
    size_t                len;
    u_char               *data, *seen;
    ngx_uint_t            invalid;
    ngx_eb_log_file_t     file;
    ngx_eb_log_figures_t  f;

    seen = malloc(MAX);
    if (seen == NULL) {
        abort();
    }

    fill(5);
    len = load(&data);

    data[len / 2] ^= 1;
    store(data, len);
    free(data);

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

    is_int(ngx_eb_log_file_recover(&file), 0, "damage in the middle");
    is_int(file.cut, 0, "is left alone");
    is_int(collect(path, 1, seen, &invalid), 4, "the others are valid");
    is_int(invalid, 1, "it is not");

    memset(&f, 0, sizeof(f));

    is_int(ngx_eb_log_file_scan((u_char *) path, &f, &shim_log), 0, "scan");
    ok(f.records == 4 && f.invalid == 1, "says the same");

    ngx_eb_log_file_close(&file);
    free(seen);
}


/* not ours */

static void
foreign(void)
{
    ngx_eb_log_file_t  file;

    store("root:x:0:0:root:/root:/bin/sh\n", 30);

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

    is_int(ngx_eb_log_file_recover(&file), EINVAL, "a foreign file");
    is_int(size_of(path), 30, "is left alone");

    ngx_eb_log_file_close(&file);
}


static void
short_write(void)
{
    u_char      *seen;
    ngx_uint_t   invalid;

    seen = malloc(MAX);
    if (seen == NULL) {
        abort();
    }

    fill(4);

    is_int(finish(start(too_large, NULL)), 0, "a write that fails halfway");
    is_int(collect(path, 1, seen, &invalid), 5, "only that group is missing");
    ok(invalid == 0 && seen[4] && !seen[5], "and it all");

    free(seen);
}


static void
too_large(void *data)
{
    off_t              size;
    struct rlimit      limit;
    ngx_eb_log_file_t  file;

    (void) signal(SIGXFSZ, SIG_IGN);

    size = size_of(path);

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

    /* the second record of the group would go beyond it */

    limit.rlim_cur = size + 100;
    limit.rlim_max = RLIM_INFINITY;

    if (setrlimit(RLIMIT_FSIZE, &limit) == -1) {
        _exit(1);
    }

    if (append(&file, 1, 5, 4) != EFBIG) {
        _exit(2);
    }

    if (strcmp(file.failed, "writev()") != 0) {
        _exit(3);
    }

    if (size_of(path) != size) {
        _exit(4);
    }

    limit.rlim_cur = RLIM_INFINITY;

    if (setrlimit(RLIMIT_FSIZE, &limit) == -1) {
        _exit(5);
    }

    if (append(&file, 1, 4, 1) != 0) {
        _exit(6);
    }
}


static void
full_disk(void)
{
    int  rc;

    fresh();

    rc = finish(start(on_full_disk, NULL));

    if (rc == 77) {
        ok(1, "a full disk # SKIP no mount of a small tmpfs here");
        return;
    }

    is_int(rc, 0, "a full disk");
}


/* in a mount name space of its own, which ends with the process */

static void
on_full_disk(void *data)
{
    u_char      *seen;
    ngx_uint_t   n, count, invalid;

    ngx_eb_log_file_t  file;

    if (unshare(CLONE_NEWNS) == -1
        || mount(NULL, "/", NULL, MS_REC|MS_PRIVATE, NULL) == -1
        || mount("none", dir, "tmpfs", 0, "size=64k") == -1)
    {
        _exit(77);
    }

    seen = malloc(MAX);
    if (seen == NULL) {
        _exit(1);
    }

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

    for (n = 0; append(&file, 1, n, GROUP) == 0; n += GROUP) {
        if (n > MAX) {
            _exit(2);
        }
    }

    count = collect(path, 1, seen, &invalid);
    free(seen);

    if (count != n || invalid || size_of(path) != file.before) {
        _exit(3);
    }

    /* one that fits still goes */

    ngx_eb_log_file_close(&file);
}


static void
two_processes(void)
{
    u_char      *seen;
    pid_t        pids[2];
    ngx_uint_t   i, who[2], invalid;

    seen = malloc(MAX);
    if (seen == NULL) {
        abort();
    }

    fresh();

    for (i = 0; i < 2; i++) {
        who[i] = i + 1;
        pids[i] = start(appender, &who[i]);
    }

    for (i = 0; i < 2; i++) {
        is_int(finish(pids[i]), 0, "process %d appends", (int) i);
    }

    for (i = 0; i < 2; i++) {
        is_int(collect(path, who[i], seen, &invalid), APPENDS,
               "its records are there");
        is_int(invalid, 0, "and whole");
    }

    free(seen);
}


static void
appender(void *data)
{
    ngx_uint_t *who = data;

    ngx_uint_t         n, size;
    ngx_eb_log_file_t  file;

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

    for (n = 0; n < APPENDS; n += size) {
        size = ngx_min(n % 7 + 1, APPENDS - n);

        if (append(&file, *who, offset + n, size) != 0) {
            _exit(1);
        }
    }
}


/* what was said to be durable is there, whenever its writer is killed */

static void
killed_writer(void)
{
    u_char      *seen, *acked;
    pid_t        pid;
    ssize_t      size;
    uint32_t     n;
    ngx_uint_t   i, k, want, got, lost, bad, cuts, total, invalid;

    ngx_eb_log_file_t  file;

    seen = malloc(MAX);
    acked = calloc(1, MAX);

    if (seen == NULL || acked == NULL) {
        abort();
    }

    fresh();
    srandom(1);

    bad = 0;
    cuts = 0;
    total = 0;

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

    for (k = 0; k < KILLS; k++) {

        if (pipe(pipes) == -1) {
            abort();
        }

        offset = k * 300;
        pid = start(victim, NULL);
        (void) close(pipes[1]);

        want = (ngx_uint_t) random() % 25 + 1;
        got = 0;

        while ((size = read(pipes[0], &n, sizeof(n))) == sizeof(n)) {
            acked[n] = 1;

            if (++got == want) {

                /* at any moment of what it does next */

                for (i = (ngx_uint_t) random() % 300000; i; i--) {
                    ngx_memory_barrier();
                }

                (void) kill(pid, SIGKILL);
            }
        }

        (void) close(pipes[0]);

        if (finish(pid) != 256 + SIGKILL || got < want) {
            bad++;
        }

        /* half of the times the next writer finds what it left */

        if (k % 2) {
            if (ngx_eb_log_file_recover(&file) != 0) {
                bad++;
            }

            cuts += (file.cut != 0);
        }
    }

    if (ngx_eb_log_file_recover(&file) != 0) {
        bad++;
    }

    is_int(bad, 0, "%d writers are killed", KILLS);

    got = collect(path, 1, seen, &invalid);
    ok(got < MAX, "no record is there twice");
    is_int(invalid, 0, "or damaged");

    for (i = 0, lost = 0; i < MAX; i++) {
        total += acked[i];
        lost += (acked[i] && !seen[i]);
    }

    is_int(lost, 0, "none that was durable is lost");
    ok(total >= KILLS, "%d of them were", (int) total);
    diag("%d tails were torn", (int) cuts);

    ngx_eb_log_file_close(&file);
    free(seen);
    free(acked);
}


static void
victim(void *data)
{
    group_t            g;
    uint32_t           n, ack, last;
    ngx_uint_t         i, len;
    ngx_eb_log_file_t  file;
    static char        text[GROUP][LARGE];

    (void) close(pipes[0]);

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

    for (n = offset; n < offset + 300; n += GROUP) {

        chain(&g, 1, n, GROUP);

        /* large ones, for a chance to be killed inside write() */

        for (i = 0; i < GROUP; i++) {
            len = g.records[i].payload.len;

            memset(text[i], 'x', LARGE);
            memcpy(text[i], g.text[i], len - 1);
            text[i][LARGE - 1] = '"';

            g.records[i].payload.data = (u_char *) text[i];
            g.records[i].payload.len = LARGE;
        }

        if (ngx_eb_log_file_append(&file, g.records) != 0) {
            _exit(1);
        }

        last = n + GROUP;

        for (ack = n; ack < last; ack++) {
            if (write(pipes[1], &ack, sizeof(ack)) != sizeof(ack)) {
                _exit(2);
            }
        }
    }

    /* to be killed, not to leave */

    for ( ;; ) {
        (void) pause();
    }
}


/* somebody was stopped with the lock */

static void
locked(void)
{
    int                fd;
    ngx_eb_log_file_t  file;

    fill(1);

    fd = open(path, O_RDONLY);

    if (fd == -1 || flock(fd, LOCK_EX) == -1) {
        abort();
    }

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);
    file.wait = 30;

    is_int(ngx_eb_log_file_recover(&file), ETIMEDOUT, "no lock");
    is_int(append(&file, 1, 1, 1), ETIMEDOUT, "no append");

    (void) close(fd);

    is_int(append(&file, 1, 1, 1), 0, "until it is free");

    ngx_eb_log_file_close(&file);
}


static void
renamed(void)
{
    u_char             *seen;
    ngx_uint_t          invalid;
    ngx_eb_log_file_t   file;

    seen = malloc(MAX);
    if (seen == NULL) {
        abort();
    }

    fill(2);

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

    is_int(append(&file, 1, 2, 1), 0, "before");

    if (rename(path, other) == -1) {
        abort();
    }

    is_int(append(&file, 1, 3, 1), 0, "after it was renamed");
    is_int(collect(other, 1, seen, &invalid), 3, "the old file");
    is_int(collect(path, 1, seen, &invalid), 1, "the new file");
    ok(seen[3], "has the record");

    /* somebody puts another one there, and removes it */

    if (rename(other, path) == -1) {
        abort();
    }

    is_int(append(&file, 1, 4, 1), 0, "after it was replaced");
    is_int(collect(path, 1, seen, &invalid), 4, "it goes to that one");

    (void) unlink(path);

    is_int(append(&file, 1, 5, 1), 0, "after it was removed");
    is_int(collect(path, 1, seen, &invalid), 1, "there is a new one");

    /* emptied by copytruncate */

    if (truncate(path, 0) == -1) {
        abort();
    }

    is_int(append(&file, 1, 6, 1), 0, "after it was emptied");
    is_int(collect(path, 1, seen, &invalid), 1, "it is at the start");

    ngx_eb_log_file_close(&file);
    free(seen);
}


static void
compaction(void)
{
    size_t                   i, len;
    u_char                  *data, *seen, *big;
    ngx_uint_t               invalid;
    struct stat              st;
    ngx_eb_log_file_t        file, writer;
    ngx_eb_log_record_t      record;
    ngx_eb_log_compacted_t   result;

    seen = malloc(MAX);
    if (seen == NULL) {
        abort();
    }

    fill(10);

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);
    ngx_eb_log_file_init(&writer, (u_char *) path, -1, -1, &shim_log);

    is_int(append(&writer, 1, 10, 1), 0, "a writer holds the file");

    if (chmod(path, 0604) == -1) {
        abort();
    }

    is_int(ngx_eb_log_file_compact(&file, keep_and_append, NULL, &result), 0,
           "compaction");
    ok(result.kept == 7 && result.dropped == 6 && result.invalid == 0,
       "what was appended meanwhile is asked for, too");
    is_int(result.after, size_of(path), "the size");
    is_int(size_of(tmp), -1, "nothing is left over");
    ok(stat(path, &st) == 0 && (st.st_mode & 07777) == 0604, "the mode");

    is_int(append(&writer, 1, 200, 1), 0, "the writer goes on");
    is_int(collect(path, 1, seen, &invalid), 8, "in the new file");
    ok(seen[0] && !seen[1] && seen[8] && seen[100] && !seen[101] && seen[200],
       "with the right ones");

    ngx_eb_log_file_close(&file);

    /* a line that nobody can read stays as it is */

    len = NGX_EB_LOG_MAX_LINE + 1000;
    big = malloc(len);
    if (big == NULL) {
        abort();
    }

    memset(big, 'x', len);
    big[len - 1] = LF;

    memset(&record, 0, sizeof(record));
    record.payload.data = big;
    record.payload.len = len;

    is_int(ngx_eb_log_file_append(&writer, &record), 0, "a long line");

    i = size_of(path);

    is_int(ngx_eb_log_file_compact(&file, keep_all, NULL, &result), 0,
           "compaction");
    is_int(result.invalid, 2, "it is not valid");
    is_int(size_of(path), i, "and is kept");

    i = load(&data);
    ok(memcmp(data + i - TAIL - len, big, len) == 0, "byte by byte");

    free(data);
    free(big);

    ngx_eb_log_file_close(&file);
    ngx_eb_log_file_close(&writer);
    free(seen);
}


static void
compaction_and_appends(void)
{
    u_char                  *seen;
    pid_t                    pids[2];
    ngx_err_t                err;
    siginfo_t                info;
    ngx_uint_t               i, n, bad, runs, who[2], invalid;
    ngx_eb_log_file_t        file;
    ngx_eb_log_compacted_t   result;

    seen = malloc(MAX);
    if (seen == NULL) {
        abort();
    }

    fresh();
    offset = 0;

    for (i = 0; i < 2; i++) {
        who[i] = i + 1;
        pids[i] = start(appender, &who[i]);
    }

    bad = 0;
    runs = 0;

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

    do {
        err = ngx_eb_log_file_compact(&file, keep_even, NULL, &result);
        bad += (err != 0);
        runs++;

        info.si_pid = 0;

    } while (waitid(P_PID, pids[0], &info, WEXITED|WNOHANG|WNOWAIT) == 0
             && info.si_pid == 0);

    for (i = 0; i < 2; i++) {
        is_int(finish(pids[i]), 0, "process %d appends", (int) i);
    }

    bad += (ngx_eb_log_file_compact(&file, keep_even, NULL, &result) != 0);

    is_int(bad, 0, "%d compactions meanwhile", (int) runs);
    is_int(collect(path, 1, seen, &invalid), APPENDS / 2, "half of the first");

    for (i = 0, n = 0; i < APPENDS; i++) {
        n += (seen[i] != (i % 2 == 0));
    }

    is_int(n, 0, "are the right ones");
    is_int(collect(path, 2, seen, &invalid), APPENDS, "all of the second");
    is_int(invalid, 0, "and whole");

    ngx_eb_log_file_close(&file);
    free(seen);
}


static void
compaction_refused(void)
{
    int                      fd;
    u_char                  *seen;
    ngx_uint_t               invalid;
    ngx_eb_log_file_t        file;
    ngx_eb_log_compacted_t   result;

    seen = malloc(MAX);
    if (seen == NULL) {
        abort();
    }

    fill(10);

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

    /* another one is running */

    fd = open(tmp, O_RDWR|O_CREAT, 0640);

    if (fd == -1 || flock(fd, LOCK_EX) == -1 || write(fd, "left", 4) != 4) {
        abort();
    }

    is_int(ngx_eb_log_file_compact(&file, keep_even, NULL, &result), EBUSY,
           "another compaction is running");
    is_int(size_of(tmp), 4, "its file is left alone");

    /* it died */

    (void) close(fd);

    is_int(ngx_eb_log_file_compact(&file, keep_even, NULL, &result), 0,
           "it has died");
    is_int(collect(path, 1, seen, &invalid), 5, "nothing of it is seen");
    is_int(invalid, 0, "at all");

    /* no place for a trap */

    if (symlink("/dev/null", tmp) == -1) {
        abort();
    }

    is_int(ngx_eb_log_file_compact(&file, keep_even, NULL, &result), ELOOP,
           "a symbolic link");

    (void) unlink(tmp);

    is_int(ngx_eb_log_file_compact(&file, keep_and_rename, NULL, &result),
           EAGAIN, "the file is renamed meanwhile");
    is_int(size_of(tmp), -1, "nothing is left over");
    is_int(collect(other, 1, seen, &invalid), 5, "nothing is lost");

    ngx_eb_log_file_close(&file);
    free(seen);
}


/* who made PATH.tmp has it open, and must not see what the log becomes */

static void
compaction_relic(void)
{
    int                      fd;
    u_char                  *seen;
    ngx_uint_t               invalid;
    struct stat              st, now;
    ngx_eb_log_file_t        file;
    ngx_eb_log_compacted_t   result;

    seen = malloc(MAX);
    if (seen == NULL) {
        abort();
    }

    fill(10);

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

    fd = open(tmp, O_RDWR|O_CREAT|O_EXCL, 0666);

    if (fd == -1 || write(fd, "left", 4) != 4) {
        abort();
    }

    is_int(ngx_eb_log_file_compact(&file, keep_even, NULL, &result), 0,
           "somebody else made the successor");
    is_int(collect(path, 1, seen, &invalid), 5, "compaction");
    is_int(invalid, 0, "nothing of the other's is in it");

    if (fstat(fd, &st) == -1 || stat(path, &now) == -1) {
        abort();
    }

    ok(st.st_ino != now.st_ino, "the log is not what the other has open");
    is_int(st.st_nlink, 0, "which has no name any more");
    is_int(st.st_size, 4, "and got nothing");
    is_int(now.st_mode & 07777, 0640, "the mode is that of the log");
    is_int(size_of(tmp), -1, "nothing is left over");

    (void) close(fd);

    /* another name of the log itself: only the name goes */

    if (link(path, tmp) == -1) {
        abort();
    }

    is_int(ngx_eb_log_file_compact(&file, keep_all, NULL, &result), 0,
           "the name of the successor is the log's");
    is_int(collect(path, 1, seen, &invalid), 5, "nothing is lost");

    if (mkfifo(tmp, 0600) == -1) {
        abort();
    }

    is_int(ngx_eb_log_file_compact(&file, keep_all, NULL, &result), EINVAL,
           "a pipe is not ours to remove");
    is_int(size_of(tmp), 0, "it is still there");

    (void) unlink(tmp);

    ngx_eb_log_file_close(&file);
    free(seen);
}


/* several at once, of which some are killed: one works, and nothing is lost */

static void
two_compactions(void)
{
    u_char                  *seen;
    pid_t                    pids[3], killed;
    ngx_err_t                err;
    ngx_uint_t               i, bad, who, invalid;
    struct stat              st;
    ngx_eb_log_file_t        file;
    ngx_eb_log_compacted_t   result;

    seen = malloc(MAX);
    if (seen == NULL) {
        abort();
    }

    fresh();
    offset = 0;
    who = 1;

    pids[0] = start(appender, &who);
    pids[1] = start(rival, NULL);
    pids[2] = start(rival, NULL);

    bad = 0;

    for (i = 0; i < KILLS; i++) {
        killed = start(rival, NULL);

        ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

        err = ngx_eb_log_file_compact(&file, keep_all, NULL, &result);
        bad += (err != 0 && err != EBUSY && err != EAGAIN);

        ngx_eb_log_file_close(&file);

        (void) kill(killed, SIGKILL);
        (void) finish(killed);
    }

    is_int(bad, 0, "several compactions: none fails");

    for (i = 0; i < 3; i++) {
        is_int(finish(pids[i]), 0, "process %d ends well", (int) i);
    }

    is_int(collect(path, 1, seen, &invalid), APPENDS, "all records are there");
    is_int(invalid, 0, "and whole");

    is_int(ngx_eb_log_file_compact(&file, keep_all, NULL, &result), 0,
           "what they left is in nobody's way");
    is_int(size_of(tmp), -1, "and is gone");
    ok(stat(path, &st) == 0 && (st.st_mode & 07777) == 0640, "the mode");

    ngx_eb_log_file_close(&file);
    free(seen);
}


static void
rival(void *data)
{
    ngx_err_t               err;
    ngx_uint_t              i;
    ngx_eb_log_file_t       file;
    ngx_eb_log_compacted_t  result;

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

    for (i = 0; i < 300; i++) {
        err = ngx_eb_log_file_compact(&file, keep_all, NULL, &result);

        if (err != 0 && err != EBUSY && err != EAGAIN) {
            _exit(1);
        }
    }
}


static void
killed_compaction(void)
{
    char         ch;
    u_char      *seen;
    pid_t        pid;
    ngx_uint_t   i, k, bad, invalid;

    seen = malloc(MAX);
    if (seen == NULL) {
        abort();
    }

    fill(200);
    srandom(2);
    bad = 0;

    for (k = 0; k < KILLS; k++) {

        if (pipe(pipes) == -1) {
            abort();
        }

        pid = start(compactor, NULL);
        (void) close(pipes[1]);

        if (read(pipes[0], &ch, 1) != 1) {
            bad++;
        }

        for (i = (ngx_uint_t) random() % 200000; i; i--) {
            ngx_memory_barrier();
        }

        (void) kill(pid, SIGKILL);
        (void) close(pipes[0]);

        if (finish(pid) != 256 + SIGKILL) {
            bad++;
        }

        if (collect(path, 1, seen, &invalid) != 200 || invalid) {
            bad++;
        }
    }

    is_int(bad, 0, "%d compactions are killed", KILLS);

    free(seen);
}


static void
compactor(void *data)
{
    ngx_eb_log_file_t       file;
    ngx_eb_log_compacted_t  result;

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

    if (write(pipes[1], "x", 1) != 1) {
        _exit(1);
    }

    for ( ;; ) {
        if (ngx_eb_log_file_compact(&file, keep_all, NULL, &result) != 0) {
            _exit(1);
        }
    }
}


static void
reader(void)
{
    off_t                 next;
    u_char               *big;
    ngx_eb_log_line_t     line;
    ngx_eb_log_file_t     file;
    ngx_eb_log_reader_t   r;
    ngx_eb_log_record_t   record;

    fresh();

    big = malloc(300000);
    if (big == NULL) {
        abort();
    }

    memset(big, 'x', 300000);
    memcpy(big, "{\"x\":\"", 6);
    big[299999] = '"';

    memset(&record, 0, sizeof(record));
    record.payload.data = big;
    record.payload.len = 300000;

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

    is_int(ngx_eb_log_reader_open(&r, (u_char *) path, 0, 0, &shim_log),
           NGX_ERROR, "no file to read");
    is_int(r.err, NGX_ENOENT, "it says so");

    is_int(append(&file, 1, 0, 2), 0, "two records");
    is_int(ngx_eb_log_file_append(&file, &record), 0, "a large one");

    is_int(ngx_eb_log_reader_open(&r, (u_char *) path, 0, 0, &shim_log),
           NGX_OK, "reader");
    is_int(ngx_eb_log_reader_next(&r, &line), NGX_OK, "line 1");
    ok(line.state == NGX_EB_LOG_VALID && line.offset == 0
       && line.payload == line.len - (TAIL - 1)
       && line.next == (off_t) line.len + 1, "is described");

    next = line.next;

    is_int(ngx_eb_log_reader_next(&r, &line), NGX_OK, "line 2");
    is_int(ngx_eb_log_reader_next(&r, &line), NGX_OK, "line 3");
    ok(line.state == NGX_EB_LOG_VALID && line.payload == 300000
       && memcmp(line.start, big, 300000) == 0, "is large");
    is_int(ngx_eb_log_reader_next(&r, &line), NGX_DONE, "the end");

    /* more, and a part of a line */

    is_int(append(&file, 1, 3, 1), 0, "more is appended");
    is_int(ngx_eb_log_reader_next(&r, &line), NGX_DONE, "not read yet");
    is_int(ngx_eb_log_reader_more(&r), NGX_OK, "more");
    is_int(ngx_eb_log_reader_next(&r, &line), NGX_OK, "is read");

    if (write(file.fd, "{\"torn", 6) != 6) {
        abort();
    }

    is_int(ngx_eb_log_reader_more(&r), NGX_OK, "a part of a line");
    is_int(ngx_eb_log_reader_next(&r, &line), NGX_DONE, "is not given");

    is_int(append(&file, 1, 4, 1), 0, "it is cut");
    is_int(file.cut, 6, "by who appends");
    is_int(ngx_eb_log_reader_next(&r, &line), NGX_DONE, "it is not seen");
    is_int(ngx_eb_log_reader_more(&r), NGX_OK, "and then");
    is_int(ngx_eb_log_reader_next(&r, &line), NGX_OK, "there is another one");
    is_int(line.state, NGX_EB_LOG_VALID, "that is whole");

    ngx_eb_log_reader_close(&r);

    /* from a place in the middle, with a limit */

    is_int(ngx_eb_log_reader_open(&r, (u_char *) path, next, 70000,
                                  &shim_log),
           NGX_OK, "from the second line on");
    is_int(ngx_eb_log_reader_next(&r, &line), NGX_OK, "line 2");
    is_int(line.offset, next, "is there");
    is_int(ngx_eb_log_reader_next(&r, &line), NGX_OK, "line 3");
    ok(line.state == NGX_EB_LOG_LONG && line.start == NULL
       && line.len == 300000 + TAIL - 1, "is too long");
    is_int(ngx_eb_log_reader_next(&r, &line), NGX_OK, "line 4");
    is_int(line.state, NGX_EB_LOG_VALID, "is not");

    ngx_eb_log_reader_close(&r);

    /* exactly the limit */

    is_int(ngx_eb_log_reader_open(&r, (u_char *) path, next,
                                  300000 + TAIL, &shim_log),
           NGX_OK, "with just enough room");
    is_int(ngx_eb_log_reader_next(&r, &line), NGX_OK, "line 2");
    is_int(ngx_eb_log_reader_next(&r, &line), NGX_OK, "line 3");
    is_int(line.state, NGX_EB_LOG_VALID, "is not too long");

    ngx_eb_log_reader_close(&r);
    ngx_eb_log_file_close(&file);
    free(big);
}


static void
figures(void)
{
    ngx_eb_log_file_t     file;
    ngx_eb_log_figures_t  f;

    fill(3);
    memset(&f, 0, sizeof(f));

    is_int(ngx_eb_log_file_scan((u_char *) path, &f, &shim_log), 0, "scan");
    ok(f.records == 3 && f.invalid == 0 && f.size == size_of(path)
       && f.scanned == f.size, "of all");
    ok(f.first_len > 20 && memcmp(f.first, "{\"v\":1,\"who\":1,\"n\":0,", 21)
       == 0, "the oldest one");

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

    is_int(append(&file, 1, 3, 2), 0, "two more");

    if (write(file.fd, "{\"torn", 6) != 6) {
        abort();
    }

    is_int(ngx_eb_log_file_scan((u_char *) path, &f, &shim_log), 0, "scan");
    ok(f.records == 5 && f.invalid == 0 && f.size == size_of(path)
       && f.scanned == f.size - 6, "goes on");

    is_int(append(&file, 1, 5, 1), 0, "one more");
    is_int(ngx_eb_log_file_scan((u_char *) path, &f, &shim_log), 0, "scan");
    ok(f.records == 6 && f.invalid == 0 && f.scanned == size_of(path),
       "after a torn tail");

    if (rename(path, other) == -1) {
        abort();
    }

    is_int(ngx_eb_log_file_scan((u_char *) path, &f, &shim_log), ENOENT,
           "it is gone");
    is_int(append(&file, 1, 6, 1), 0, "there is another one");
    is_int(ngx_eb_log_file_scan((u_char *) path, &f, &shim_log), 0, "scan");
    ok(f.records == 1 && f.size == size_of(path)
       && memcmp(f.first, "{\"v\":1,\"who\":1,\"n\":6,", 21) == 0, "anew");

    ngx_eb_log_file_close(&file);
}


static void
paths(void)
{
    char               name[160];
    struct stat        one, two;
    ngx_eb_log_file_t  file;

    fresh();

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

    is_int(ngx_eb_log_file_test(&file), 0, "test of a path");
    is_int(size_of(path), -1, "creates nothing");

    fill(1);
    (void) stat(path, &one);

    is_int(ngx_eb_log_file_test(&file), 0, "test of a file");
    ok(stat(path, &two) == 0 && one.st_ino == two.st_ino
       && one.st_mtim.tv_nsec == two.st_mtim.tv_nsec
       && one.st_ctim.tv_nsec == two.st_ctim.tv_nsec, "changes nothing");

    (void) snprintf(name, sizeof(name), "%s/nowhere/log", dir);
    ngx_eb_log_file_init(&file, (u_char *) name, -1, -1, &shim_log);

    is_int(ngx_eb_log_file_test(&file), ENOENT, "test: no directory");
    is_int(ngx_eb_log_file_open(&file), ENOENT, "open: no directory");
    is_int(append(&file, 1, 1, 1), ENOENT, "append: no directory");

    ngx_eb_log_file_init(&file, (u_char *) dir, -1, -1, &shim_log);

    is_int(ngx_eb_log_file_test(&file), EINVAL, "test: a directory");
    is_int(ngx_eb_log_file_open(&file), EISDIR, "open: a directory");

    ngx_eb_log_file_init(&file, (u_char *) other, -1, -1, &shim_log);

    if (symlink(path, other) == -1) {
        abort();
    }

    is_int(ngx_eb_log_file_test(&file), EINVAL, "test: a symbolic link");
    is_int(ngx_eb_log_file_open(&file), ELOOP, "open: a symbolic link");

    (void) unlink(other);

    if (mkfifo(other, 0600) == -1) {
        abort();
    }

    is_int(ngx_eb_log_file_test(&file), EINVAL, "test: a FIFO");
    is_int(ngx_eb_log_file_open(&file), EINVAL, "open: a FIFO");
    is_int(file.fd, NGX_INVALID_FILE, "it is closed again");

    (void) unlink(other);
}


static void
owner(void)
{
    struct stat        st;
    ngx_eb_log_file_t  file;

    if (geteuid() != 0) {
        ok(1, "the owner # SKIP only root can change it");
        return;
    }

    fresh();

    ngx_eb_log_file_init(&file, (u_char *) path, 12345, 54321, &shim_log);

    is_int(ngx_eb_log_file_recover(&file), 0, "a new file");
    ok(stat(path, &st) == 0 && st.st_uid == 12345 && st.st_gid == 54321
       && (st.st_mode & 07777) == 0640, "has its owner");

    ngx_eb_log_file_close(&file);

    /* of root, as another tool created it */

    if (chown(path, 0, 0) == -1 || chmod(path, 0040) == -1) {
        abort();
    }

    is_int(ngx_eb_log_file_open(&file), 0, "an old one");
    ok(stat(path, &st) == 0 && st.st_uid == 12345
       && (st.st_mode & 07777) == 0640, "gets it");

    ngx_eb_log_file_close(&file);

    /* root gives nothing away that has another name */

    if (chown(path, 0, 0) == -1 || link(path, other) == -1) {
        abort();
    }

    is_int(ngx_eb_log_file_open(&file), EMLINK, "a hard link");
    ok(stat(path, &st) == 0 && st.st_uid == 0, "does not");
}


static void
no_memory(void)
{
    off_t                    size;
    ngx_int_t                i;
    ngx_eb_log_file_t        file;
    ngx_eb_log_line_t        line;
    ngx_eb_log_reader_t      r;
    ngx_eb_log_compacted_t   result;

    fill(3);
    size = size_of(path);

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

    /* the buffer of the copy, and that of the reader */

    for (i = 0; i < 2; i++) {
        shim_allocs = i;

        is_int(ngx_eb_log_file_compact(&file, keep_even, NULL, &result),
               ENOMEM, "compaction without memory");
        is_int(size_of(path), size, "changes nothing");
        is_int(size_of(tmp), -1, "and leaves nothing");
    }

    shim_allocs = 0;

    is_int(ngx_eb_log_reader_open(&r, (u_char *) path, 0, 0, &shim_log),
           NGX_OK, "reader without memory");
    is_int(ngx_eb_log_reader_next(&r, &line), NGX_ERROR, "fails");
    is_int(r.err, ENOMEM, "and says why");

    ngx_eb_log_reader_close(&r);

    shim_allocs = -1;

    ngx_eb_log_file_close(&file);
}


int
main(void)
{
    /* tmpfs, where fdatasync() costs nothing */

    strcpy(dir, "/dev/shm/eb-log-XXXXXX");

    if (mkdtemp(dir) == NULL) {
        strcpy(dir, "/tmp/eb-log-XXXXXX");

        if (mkdtemp(dir) == NULL) {
            return 1;
        }
    }

    (void) snprintf(path, sizeof(path), "%s/log", dir);
    (void) snprintf(other, sizeof(other), "%s.1", path);
    (void) snprintf(tmp, sizeof(tmp), "%s.tmp", path);

    format();
    large_group();
    torn();
    flipped();
    damaged_tail();
    damaged_middle();
    foreign();
    short_write();
    full_disk();
    two_processes();
    killed_writer();
    locked();
    renamed();
    compaction();
    compaction_and_appends();
    compaction_refused();
    compaction_relic();
    two_compactions();
    killed_compaction();
    reader();
    figures();
    paths();
    owner();
    no_memory();

    fresh();
    (void) rmdir(dir);

    return done_testing();
}
