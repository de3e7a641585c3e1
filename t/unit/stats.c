
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The metrics file under many processes, after accidents, and its text, which
 * a strict reader of the exposition format checks.
 */

/* sources: src/observe/ngx_eb_stats.c src/observe/ngx_eb_metrics.c */
/* sources: src/wire/ngx_eb_out.c */
/* libs: -lpthread -lm */


#include <ngx_config.h>
#include <ngx_core.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sys/resource.h>
#include <pthread.h>
#include <math.h>
#include "shim.h"
#include "ngx_eb_stats.h"


/* what the file looks like, on purpose not taken from the source */

#define FILE_SIZE     (4096 + 4096 * 1536)
#define VERSION_AT    8
#define USED_AT       48
#define MUTEX_AT      256
#define SLOT_AT(n)    (4096 + (n) * 1536)
#define STATE_AT(n)   (SLOT_AT(n) + 4)
#define CHECK_AT(n)   (SLOT_AT(n) + 8)
#define LEN_AT(n)     (SLOT_AT(n) + 16)
#define LABELS_AT(n)  (SLOT_AT(n) + 18)
#define READY         0x52454459
#define ROOM          (4096 - NGX_EB_STATS_KINDS)

#define PROCESSES     4
#define ADDS          100000
#define SAMPLES       300000
#define SCRAPES       2000

#define series(s, kind, text)                                                 \
    series_of(s, NGX_EB_STATS_ ## kind, text, sizeof(text) - 1)

#define is(text, key, expected, name)                                         \
    ok(sample_is(text, key, expected), "%s", name)


typedef struct {
    const char     *pos;        /* of the line that is at fault */
    const char     *why;
    ngx_uint_t      families;
    ngx_uint_t      samples;
} report_t;


typedef struct {
    char            name[128];
    char            type[16];
    char            labels[2048];       /* without le, of the histogram */
    double          le;
    double          count;
    ngx_uint_t      stage;              /* 0: none, 1: buckets, 2: sum */
} family_t;


static ngx_eb_stats_t *attach(ngx_pool_t **pool);
static ngx_eb_stats_cell_t *series_of(ngx_eb_stats_t *stats,
    ngx_eb_stats_kind_e kind, const char *text, size_t len);
static char *render(ngx_eb_stats_t *stats, ngx_pool_t *pool,
    ngx_eb_stats_extra_t *extra, ngx_uint_t n);
static ngx_uint_t sample_is(const char *text, const char *key,
    const char *expected);
static pid_t start(void (*run)(void *data), void *data);
static int finish(pid_t pid);
static void poke(off_t off, const void *data, size_t len);
static void peek(off_t off, void *data, size_t len);
static void plant(ngx_uint_t slot, uint32_t kind, const char *labels,
    size_t len);
static ngx_uint_t strict(const char *text, report_t *report);
static const char *strict_comment(const char *p, const char *end,
    family_t *family, char names[][128], ngx_uint_t *nnames);
static const char *strict_sample(const char *p, const char *end,
    family_t *family);
static const char *strict_histogram(family_t *family, const char *suffix,
    const char *labels, const char *le, double value);
static int compare(const void *one, const void *two);
static void well_formed(const char *text, const char *name);

static void reader(void);
static void fresh(void);
static void concurrent_adds(void);
static void adder(void *data);
static void concurrent_series(void);
static void appender(void *data);
static void generations(void);
static void killed_owner(void);
static void holder(void *data);
static void latecomer(void *data);
static void power_cut(void);
static void damaged(void);
static void in_use(void);
static void keeper(void *data);
static void foreign(void);
static void refused(void);
static void no_room_on_disk(void *data);
static void not_ours(void);
static void locked(void);
static void astray(void);
static void scraper(void *data);
static void vandal(void *data);
static void planted(void);
static void controls(void);
static void histograms(void);
static void text(void);
static void long_labels(void);
static void extras(void);
static void overflow(void);
static void nobody(void);
static void hostile(void);
static void no_memory(void);
static ngx_int_t descriptors(void);


static char  dir[] = "/tmp/eb-stats-XXXXXX";
static char  path[64];
static char  old[80];
static int   pipes[2];
static int   lock = -1;         /* of who holds the file, until it was tried */
static int   tries;             /* so often more */
static int   slept = -1;        /* ms, or -1: really */


static ngx_eb_stats_t *
attach(ngx_pool_t **pool)
{
    u_char           errstr[512];
    ngx_err_t        err;
    ngx_str_t        file;
    ngx_eb_stats_t  *stats;

    *pool = ngx_create_pool(4096, &shim_log);
    if (*pool == NULL) {
        exit(1);
    }

    file.data = (u_char *) path;
    file.len = strlen(path);

    errstr[0] = '\0';

    stats = ngx_eb_stats_attach(*pool, &file, &shim_log, errstr,
                                sizeof(errstr), &err);
    if (stats == NULL) {
        printf("# attach: %s: %d\n", errstr, err);
    }

    return stats;
}


static ngx_eb_stats_cell_t *
series_of(ngx_eb_stats_t *stats, ngx_eb_stats_kind_e kind, const char *labels,
    size_t len)
{
    ngx_str_t  str;

    str.data = (u_char *) labels;
    str.len = len;

    return ngx_eb_stats_series(stats, kind, &str);
}


static char *
render(ngx_eb_stats_t *stats, ngx_pool_t *pool, ngx_eb_stats_extra_t *extra,
    ngx_uint_t n)
{
    char       *copy;
    ngx_str_t   out;

    if (ngx_eb_stats_render(stats, pool, extra, n, &out) != NGX_OK) {
        exit(1);
    }

    copy = malloc(out.len + 1);
    if (copy == NULL) {
        exit(1);
    }

    memcpy(copy, out.data, out.len);
    copy[out.len] = '\0';

    return copy;
}


/* the whole line must be there: name, labels, value */

static ngx_uint_t
sample_is(const char *all, const char *key, const char *expected)
{
    size_t       len;
    const char  *p, *e;

    len = strlen(key);

    for (p = all; p && *p; p = e ? e + 1 : NULL) {
        e = strchr(p, '\n');

        if (strncmp(p, key, len) != 0 || p[len] != ' ') {
            continue;
        }

        p += len + 1;

        if (e && (size_t) (e - p) == strlen(expected)
            && strncmp(p, expected, e - p) == 0)
        {
            return 1;
        }

        printf("# %s is %.*s, not %s\n", key, e ? (int) (e - p) : 0, p,
               expected);
        return 0;
    }

    printf("# no %s\n", key);

    return 0;
}


static pid_t
start(void (*run)(void *data), void *data)
{
    pid_t  pid;

    fflush(stdout);

    pid = fork();

    if (pid == -1) {
        exit(1);
    }

    if (pid == 0) {
        alarm(30);
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

    return status;
}


static void
poke(off_t off, const void *data, size_t len)
{
    int  fd;

    fd = open(path, O_WRONLY);

    if (fd == -1 || pwrite(fd, data, len, off) != (ssize_t) len) {
        exit(1);
    }

    close(fd);
}


static void
peek(off_t off, void *data, size_t len)
{
    int  fd;

    fd = open(path, O_RDONLY);

    if (fd == -1 || pread(fd, data, len, off) != (ssize_t) len) {
        exit(1);
    }

    close(fd);
}


/* a slot as a process may write it that means harm */

static void
plant(ngx_uint_t slot, uint32_t kind, const char *labels, size_t len)
{
    size_t    i;
    u_char   *p;
    uint16_t  n;
    uint32_t  state;
    uint64_t  check;

    check = UINT64_C(0xcbf29ce484222325);
    p = (u_char *) &kind;

    for (i = 0; i < sizeof(uint32_t) + len; i++) {
        check ^= (i < sizeof(uint32_t)) ? p[i]
                                        : (u_char) labels[i - sizeof(uint32_t)];
        check *= UINT64_C(0x00000100000001b3);
    }

    n = (uint16_t) len;
    state = READY;

    poke(SLOT_AT(slot), &kind, sizeof(uint32_t));
    poke(CHECK_AT(slot), &check, sizeof(uint64_t));
    poke(LEN_AT(slot), &n, sizeof(uint16_t));
    poke(LABELS_AT(slot), labels, len);
    poke(STATE_AT(slot), &state, sizeof(uint32_t));
}


/* instead of the library's: who is to wait for a minute does so in no time */

int
usleep(useconds_t usec)
{
    struct timespec  ts;

    if (slept == -1) {
        ts.tv_sec = usec / 1000000;
        ts.tv_nsec = usec % 1000000 * 1000;

        return nanosleep(&ts, NULL);
    }

    slept += usec / 1000;

    if (lock != -1 && tries-- == 0) {
        close(lock);
        lock = -1;
    }

    return 0;
}


/*
 * The text format 0.0.4, without the liberties that it leaves to writers: a
 * family is HELP, TYPE, samples, and stands in one place.
 */

static ngx_uint_t
strict(const char *all, report_t *report)
{
    char         **keys;
    size_t         len;
    const char    *p, *e, *v, *why;
    family_t       family;
    ngx_uint_t     i, nnames;
    static char    names[256][128];

    memset(report, 0, sizeof(report_t));
    memset(&family, 0, sizeof(family_t));

    nnames = 0;
    keys = malloc(SAMPLES * sizeof(char *));
    if (keys == NULL) {
        exit(1);
    }

    for (p = all; *p; p = e + 1) {
        why = NULL;

        e = strchr(p, '\n');

        if (e == NULL) {
            why = "no newline at the end";

        } else if (*p == '#') {
            why = strict_comment(p, e, &family, names, &nnames);

        } else {
            why = strict_sample(p, e, &family);

            /* values have no spaces */

            for (v = e; v > p && *v != ' '; v--) { /* void */ }

            if (why == NULL && report->samples == SAMPLES) {
                why = "too many samples for this reader";
            }

            if (why == NULL) {
                len = v - p;

                keys[report->samples] = malloc(len + 1);
                if (keys[report->samples] == NULL) {
                    exit(1);
                }

                memcpy(keys[report->samples], p, len);
                keys[report->samples++][len] = '\0';
            }
        }

        if (why) {
            report->pos = p;
            report->why = why;
            break;
        }
    }

    if (report->why == NULL && family.stage != 0) {
        report->pos = p;
        report->why = "a histogram is not complete";
    }

    if (report->samples) {
        qsort(keys, report->samples, sizeof(char *), compare);
    }

    for (i = 1; report->why == NULL && i < report->samples; i++) {
        if (strcmp(keys[i - 1], keys[i]) == 0) {
            report->pos = strstr(all, keys[i]);
            report->why = "a series is there twice";
        }
    }

    for (i = 0; i < report->samples; i++) {
        free(keys[i]);
    }

    free(keys);

    report->families = nnames;

    return report->why == NULL;
}


static const char *
strict_comment(const char *p, const char *end, family_t *family,
    char names[][128], ngx_uint_t *nnames)
{
    int          n;
    char         name[128], type[16], word[8];
    const char  *h;
    ngx_uint_t   i;

    if (family->stage != 0) {
        return "a histogram is not complete";
    }

    n = 0;

    if (sscanf(p, "# %7s %127[a-zA-Z0-9_:]%n", word, name, &n) != 2
        || p + n >= end || p[n] != ' ')
    {
        return "a comment that is neither HELP nor TYPE";
    }

    if (strcmp(word, "HELP") == 0) {

        if (family->name[0] && family->type[0] == '\0') {
            return "HELP without TYPE";
        }

        for (i = 0; i < *nnames; i++) {
            if (strcmp(names[i], name) == 0) {
                return "HELP twice";
            }
        }

        if (*nnames == 256) {
            return "too many families for this reader";
        }

        for (h = p + n; h < end; h++) {
            if (*h == '\\' && (++h == end || (*h != '\\' && *h != 'n'))) {
                return "bad escape in HELP";
            }
        }

        strcpy(names[(*nnames)++], name);
        strcpy(family->name, name);
        family->type[0] = '\0';

        return NULL;
    }

    if (strcmp(word, "TYPE") != 0) {
        return "a comment that is neither HELP nor TYPE";
    }

    if (strcmp(name, family->name) != 0 || family->type[0]) {
        return "TYPE without HELP, or twice";
    }

    if (sscanf(p + n, " %15[a-z]", type) != 1
        || strlen(type) + 1 != (size_t) (end - p - n)
        || (strcmp(type, "counter") != 0
            && strcmp(type, "gauge") != 0
            && strcmp(type, "histogram") != 0))
    {
        return "unknown TYPE";
    }

    if (strcmp(type, "counter") == 0
        && (strlen(name) < 6
            || strcmp(name + strlen(name) - 6, "_total") != 0))
    {
        return "a counter that is not called _total";
    }

    strcpy(family->type, type);

    return NULL;
}


static const char *
strict_sample(const char *p, const char *end, family_t *family)
{
    char         *stop, le[32], labels[2048], seen[16][64];
    size_t        len, nlabels;
    double        value;
    const char   *s, *n, *suffix;
    ngx_uint_t    i, nseen;

    if (family->type[0] == '\0') {
        return "a sample without HELP and TYPE";
    }

    len = strspn(p, "abcdefghijklmnopqrstuvwxyz"
                    "ABCDEFGHIJKLMNOPQRSTUVWXYZ_:0123456789");

    if (len < strlen(family->name)
        || strncmp(p, family->name, strlen(family->name)) != 0)
    {
        return "a sample of another name";
    }

    suffix = p + strlen(family->name);
    s = p + len;

    le[0] = '\0';
    nlabels = 0;
    nseen = 0;

    if (*s == '{') {

        do {
            s++;
            n = s;

            if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z')
                  || *s == '_'))
            {
                return "bad label name";
            }

            s += strspn(s, "abcdefghijklmnopqrstuvwxyz"
                           "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");

            if (s[0] != '=' || s[1] != '"' || s - n > 63 || nseen == 16) {
                return "bad label";
            }

            snprintf(seen[nseen], 64, "%.*s", (int) (s - n), n);

            for (i = 0; i < nseen; i++) {
                if (strcmp(seen[i], seen[nseen]) == 0) {
                    return "a label twice";
                }
            }

            for (s += 2; s < end && *s != '"'; s++) {
                if (*s == '\\') {
                    s++;

                    if (*s != '\\' && *s != '"' && *s != 'n') {
                        return "bad escape in a label";
                    }

                } else if ((u_char) *s < 0x20) {
                    return "control character in a label";
                }
            }

            if (s >= end) {
                return "a label does not end";
            }

            s++;

            if (strcmp(seen[nseen], "le") == 0) {
                snprintf(le, sizeof(le), "%.*s", (int) (s - n - 5), n + 4);

            } else if (nlabels + (s - n) + 1 < sizeof(labels)) {
                memcpy(labels + nlabels, n, s - n);
                nlabels += s - n;

            } else {
                return "labels too long for this reader";
            }

            nseen++;

        } while (*s == ',');

        if (*s++ != '}') {
            return "labels do not end";
        }
    }

    labels[nlabels] = '\0';

    if (*s++ != ' ' || *s == ' ' || *s == '\n') {
        return "no value";
    }

    value = strtod(s, &stop);

    if (stop != end) {
        return "bad value";
    }

    if (strcmp(family->type, "gauge") != 0 && !(value >= 0)) {
        return "a negative counter";
    }

    if (strcmp(family->type, "histogram") == 0) {
        return strict_histogram(family, suffix, labels, le, value);
    }

    if (le[0]) {
        return "le where there is no histogram";
    }

    return (suffix == p + len) ? NULL : "a sample of another name";
}


static const char *
strict_histogram(family_t *family, const char *suffix, const char *labels,
    const char *le, double value)
{
    char    *stop;
    double   bound;

    if (family->stage != 0 && strcmp(labels, family->labels) != 0) {
        return "a histogram is not complete";
    }

    if (strncmp(suffix, "_bucket{", 8) == 0) {

        if (family->stage == 2
            || (family->stage == 1 && family->le == INFINITY))
        {
            return "a bucket after +Inf";
        }

        bound = (strcmp(le, "+Inf") == 0) ? INFINITY : strtod(le, &stop);

        if (le[0] == '\0' || (bound != INFINITY && *stop)) {
            return "bad le";
        }

        if (family->stage == 1
            && (bound <= family->le || value < family->count))
        {
            return "buckets do not grow";
        }

        snprintf(family->labels, sizeof(family->labels), "%s", labels);
        family->stage = 1;
        family->le = bound;
        family->count = value;

        return NULL;
    }

    if (le[0]) {
        return "le where there is no bucket";
    }

    if (strncmp(suffix, "_sum", 4) == 0 && (suffix[4] == '{'
                                            || suffix[4] == ' '))
    {
        if (family->stage != 1 || family->le != INFINITY) {
            return "a sum without +Inf";
        }

        family->stage = 2;

        return NULL;
    }

    if (strncmp(suffix, "_count", 6) == 0 && (suffix[6] == '{'
                                              || suffix[6] == ' '))
    {
        if (family->stage != 2 || value != family->count) {
            return "the count is not that of +Inf";
        }

        family->stage = 0;

        return NULL;
    }

    return "a sample of another name";
}


static int
compare(const void *one, const void *two)
{
    const char *const  *a, *const  *b;

    a = one;
    b = two;

    return strcmp(*a, *b);
}


static void
well_formed(const char *all, const char *name)
{
    report_t  report;

    (void) strict(all, &report);

    if (report.why) {
        printf("# %s: %.200s\n", report.why, report.pos);
    }

    ok(report.why == NULL && report.samples > 0, "%s: well-formed", name);
}


/* a reader that finds no fault with anything would prove nothing */

static void
reader(void)
{
    report_t     report;
    ngx_uint_t   i;

    static const char  *good =
        "# HELP a_total A \\\\ \\n.\n"
        "# TYPE a_total counter\n"
        "a_total 1\n"
        "a_total{x=\"\\\\\\\"\\n\",y=\"\"} 2.5\n"
        "# HELP h H.\n"
        "# TYPE h histogram\n"
        "h_bucket{x=\"1\",le=\"0.5\"} 1\n"
        "h_bucket{x=\"1\",le=\"+Inf\"} 2\n"
        "h_sum{x=\"1\"} 3.25\n"
        "h_count{x=\"1\"} 2\n";

    static const char  *bad[] = {
        "a_total 1\n",
        "# HELP a_total A.\na_total 1\n",
        "# TYPE a_total counter\na_total 1\n",
        "# HELP a A.\n# TYPE a counter\na 1\n",
        "# HELP a A.\n# TYPE a gaugee\na 1\n",
        "# HELP a A.\n# TYPE a gauge\na 1",
        "# HELP a A.\n# TYPE a gauge\na 1\n\n",
        "# HELP a A.\n# TYPE a gauge\na  1\n",
        "# HELP a A.\n# TYPE a gauge\na 1x\n",
        "# HELP a A.\n# TYPE a gauge\na\n",
        "# HELP a A.\n# TYPE a gauge\na 1\na 1\n",
        "# HELP a A.\n# TYPE a gauge\na{x=\"1\"} 1\na{x=\"1\"} 2\n",
        "# HELP a A.\n# TYPE a gauge\na{x=\"1\",x=\"2\"} 1\n",
        "# HELP a A.\n# TYPE a gauge\na{x=\"\\t\"} 1\n",
        "# HELP a A.\n# TYPE a gauge\na{x=\"a} 1\n",
        "# HELP a A.\n# TYPE a gauge\na{x=\"a\"b\"} 1\n",
        "# HELP a A.\n# TYPE a gauge\na{} 1\n",
        "# HELP a A.\n# TYPE a gauge\na{1=\"a\"} 1\n",
        "# HELP a A.\n# TYPE a gauge\nb 1\n",
        "# HELP a A.\n# TYPE a gauge\nab 1\n",
        "# HELP a A.\n# TYPE a gauge\na 1\n# HELP a A.\n# TYPE a gauge\n",
        "# HELP a A \\x.\n# TYPE a gauge\na 1\n",
        "# HELP a_total A.\n# TYPE a_total counter\na_total -1\n",
        "# HELP h H.\n# TYPE h histogram\n"
            "h_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n",
        "# HELP h H.\n# TYPE h histogram\n"
            "h_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\n"
            "h_sum 1\nh_count 1\n",
        "# HELP h H.\n# TYPE h histogram\n"
            "h_bucket{le=\"2\"} 1\nh_bucket{le=\"1\"} 1\n"
            "h_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        "# HELP h H.\n# TYPE h histogram\n"
            "h_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 2\n",
        "# HELP h H.\n# TYPE h histogram\n"
            "h_bucket{le=\"+Inf\"} 1\nh_sum 1\n",
        "# HELP h H.\n# TYPE h histogram\n"
            "h_bucket{x=\"1\",le=\"+Inf\"} 1\nh_sum{x=\"2\"} 1\n"
            "h_count{x=\"1\"} 1\n"
    };

    (void) strict(good, &report);

    ok(report.why == NULL && report.samples == 6 && report.families == 2,
       "reader: takes what is right");

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ok(!strict(bad[i], &report), "reader: finds fault %d: %s", (int) i,
           report.why ? report.why : "none");
    }
}


static void
fresh(void)
{
    char                 *all;
    ngx_pool_t           *pool, *second;
    struct stat           st;
    ngx_eb_stats_t       *stats, *other;
    ngx_eb_stats_cell_t  *a, *b, *c, *d;

    stats = attach(&pool);

    ok(stats != NULL, "fresh: attached");

    if (stats == NULL) {
        exit(1);
    }

    ok(stat(path, &st) == 0 && st.st_size == FILE_SIZE
       && (st.st_mode & 07777) == 0640, "fresh: size and mode of the file");
    ok((off_t) st.st_blocks * 512 >= FILE_SIZE, "fresh: allocated on disk");

    a = series(stats, LOCATION, "server=\"a\",location=\"/b\"");
    b = series(stats, LOCATION, "server=\"a\",location=\"/c\"");
    c = series(stats, ROUTE, "server=\"a\",location=\"/b\"");
    d = series(stats, LOCATION, "server=\"a\",location=\"/b\"");

    ok(a == d, "fresh: same labels, same cells");
    ok(a != b && a != c && b != c, "fresh: other labels or kind, others");

    all = render(stats, pool, NULL, 0);
    well_formed(all, "fresh");
    is(all, "eventbridge_requests_total{server=\"a\",location=\"/b\","
            "code=\"2xx\"}", "0", "fresh: printed though nothing happened");
    ok(strstr(all, "eventbridge_destination_") == NULL,
       "fresh: no destination, no word of them");
    free(all);

    other = attach(&second);

    ok(other != NULL, "fresh: a second generation attaches");

    ngx_eb_stats_add(a, NGX_EB_STATS_L_RECEIVED, 7);

    if (other) {
        b = series(other, LOCATION, "server=\"a\",location=\"/b\"");

        ok(b != a && b[NGX_EB_STATS_L_RECEIVED] == 7,
           "fresh: it sees the same counts");

        /* one adds, the other has to learn of it */

        b = series(other, LOCATION, "server=\"late\"");
        ngx_eb_stats_add(b, NGX_EB_STATS_L_RECEIVED, 3);

        all = render(stats, pool, NULL, 0);
        well_formed(all, "fresh: with the other's series");
        is(all, "eventbridge_events_received_total{server=\"late\"}", "3",
           "fresh: a series of the other is printed");
        free(all);
    }

    ngx_destroy_pool(second);
    ngx_destroy_pool(pool);
}


static void
concurrent_adds(void)
{
    char                 *all, number[32];
    pid_t                 pids[PROCESSES];
    ngx_int_t             i, failed;
    ngx_pool_t           *pool;
    ngx_eb_stats_t       *stats;
    ngx_eb_stats_cell_t  *cells;

    unlink(path);

    stats = attach(&pool);
    cells = series(stats, LOCATION, "server=\"add\"");

    for (i = 0; i < PROCESSES; i++) {

        /* half of them inherit the mapping, half have their own */

        pids[i] = start(adder, (i % 2) ? (void *) cells : NULL);
    }

    failed = 0;

    for (i = 0; i < PROCESSES; i++) {
        failed += (finish(pids[i]) != 0);
    }

    ok(failed == 0, "adds: all processes succeed");
    ok(cells[NGX_EB_STATS_L_RECEIVED] == PROCESSES * ADDS,
       "adds: the sum is exact");

    all = render(stats, pool, NULL, 0);
    well_formed(all, "adds");

    snprintf(number, sizeof(number), "%d", PROCESSES * ADDS);

    is(all, "eventbridge_batch_events_count{server=\"add\"}", number,
       "adds: the count of a histogram is exact");
    is(all, "eventbridge_batch_events_bucket{server=\"add\",le=\"2\"}",
       number, "adds: and so is a bucket");
    free(all);

    ngx_destroy_pool(pool);
}


static void
adder(void *data)
{
    ngx_int_t             i;
    ngx_pool_t           *pool;
    ngx_eb_stats_t       *stats;
    ngx_eb_stats_cell_t  *cells;

    cells = data;

    if (cells == NULL) {
        stats = attach(&pool);

        if (stats == NULL) {
            _exit(1);
        }

        cells = series(stats, LOCATION, "server=\"add\"");
    }

    for (i = 0; i < ADDS; i++) {
        ngx_eb_stats_add(cells, NGX_EB_STATS_L_RECEIVED, 1);
        ngx_eb_stats_observe_batch(cells, 2);
    }
}


static void
concurrent_series(void)
{
    char                  labels[64];
    pid_t                 pids[PROCESSES];
    ngx_int_t             i, failed, wrong;
    ngx_pool_t           *pool;
    ngx_eb_stats_t       *stats;
    ngx_eb_stats_cell_t  *cells;

    /* none of them finds a file; they make it at once */

    unlink(path);

    for (i = 0; i < PROCESSES; i++) {
        pids[i] = start(appender, NULL);
    }

    failed = 0;

    for (i = 0; i < PROCESSES; i++) {
        failed += (finish(pids[i]) != 0);
    }

    ok(failed == 0, "series: all processes succeed");

    stats = attach(&pool);

    wrong = 0;

    for (i = 0; i < 500; i++) {
        snprintf(labels, sizeof(labels), "server=\"%d\"", (int) i);

        cells = series_of(stats, NGX_EB_STATS_ROUTE, labels, strlen(labels));

        wrong += (cells[NGX_EB_STATS_R_MATCHED] != PROCESSES);
    }

    ok(wrong == 0, "series: each was made once and used by all");

    ngx_destroy_pool(pool);
}


static void
appender(void *data)
{
    char                  labels[64];
    ngx_int_t             i;
    ngx_pool_t           *pool;
    ngx_eb_stats_t       *stats;
    ngx_eb_stats_cell_t  *cells;

    stats = attach(&pool);

    if (stats == NULL) {
        _exit(1);
    }

    for (i = 0; i < 500; i++) {
        snprintf(labels, sizeof(labels), "server=\"%d\"", (int) i);

        cells = series_of(stats, NGX_EB_STATS_ROUTE, labels, strlen(labels));

        ngx_eb_stats_add(cells, NGX_EB_STATS_R_MATCHED, 1);
    }
}


static void
generations(void)
{
    char                 *all;
    ngx_int_t             i;
    ngx_pool_t           *pool;
    ngx_eb_stats_t       *stats;
    ngx_eb_stats_cell_t  *cells;

    unlink(path);

    for (i = 1; i <= 3; i++) {
        stats = attach(&pool);
        cells = series(stats, LOCATION, "server=\"g\"");

        ngx_eb_stats_add(cells, NGX_EB_STATS_L_BYTES, 100);

        ok(cells[NGX_EB_STATS_L_BYTES] == 100 * i,
           "generations: start %d goes on counting", (int) i);

        if (i == 3) {
            all = render(stats, pool, NULL, 0);
            is(all, "eventbridge_received_bytes_total{server=\"g\"}", "300",
               "generations: and says so");
            free(all);
        }

        ngx_destroy_pool(pool);
    }
}


static void
killed_owner(void)
{
    char                  byte;
    pid_t                 owner, late;
    int                   status;
    uint32_t              word;
    ngx_int_t             i;
    ngx_pool_t           *pool;
    struct timespec       ts;
    ngx_eb_stats_t       *stats;
    ngx_eb_stats_cell_t  *cells;

    unlink(path);

    stats = attach(&pool);

    if (pipe(pipes) == -1) {
        exit(1);
    }

    owner = start(holder, NULL);

    if (read(pipes[0], &byte, 1) != 1) {
        exit(1);
    }

    late = start(latecomer, stats);

    /* the lock word says when somebody waits */

    ts.tv_sec = 0;
    ts.tv_nsec = 1000000;

    for (i = 0; i < 20000; i++) {
        peek(MUTEX_AT, &word, sizeof(uint32_t));

        if ((word & 0x80000000) || waitpid(late, &status, WNOHANG) != 0) {
            break;
        }

        nanosleep(&ts, NULL);
    }

    ok(word & 0x80000000, "killed: another waits while the owner lives");

    kill(owner, SIGKILL);

    status = finish(owner);
    ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
       "killed: the owner died with the mutex");

    ok(finish(late) == 0, "killed: the other goes on");

    cells = series(stats, LOCATION, "server=\"late\"");

    ok(cells[NGX_EB_STATS_L_RECEIVED] == 1, "killed: and appended its series");

    cells = series(stats, LOCATION, "server=\"later\"");
    ngx_eb_stats_add(cells, NGX_EB_STATS_L_RECEIVED, 1);

    ok(series(stats, LOCATION, "server=\"later\"") == cells,
       "killed: and so can all");

    close(pipes[0]);
    close(pipes[1]);

    ngx_destroy_pool(pool);
}


static void
holder(void *data)
{
    int       fd;
    u_char   *map;

    fd = open(path, O_RDWR);
    if (fd == -1) {
        _exit(1);
    }

    map = mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0);

    if (map == MAP_FAILED
        || pthread_mutex_lock((pthread_mutex_t *) (map + MUTEX_AT)) != 0
        || write(pipes[1], "x", 1) != 1)
    {
        _exit(1);
    }

    for ( ;; ) {
        pause();
    }
}


static void
latecomer(void *data)
{
    ngx_eb_stats_cell_t  *cells;

    cells = series((ngx_eb_stats_t *) data, LOCATION, "server=\"late\"");

    ngx_eb_stats_add(cells, NGX_EB_STATS_L_RECEIVED, 1);
}


/* the file as a power cut can leave it: any mixture of old and new pages */

static void
power_cut(void)
{
    char                 *all;
    u_char                junk[sizeof(pthread_mutex_t)], zero[1536];
    uint32_t              used;
    ngx_int_t             i;
    ngx_pool_t           *pool;
    ngx_eb_stats_t       *stats;
    ngx_eb_stats_cell_t  *cells;

    unlink(path);

    stats = attach(&pool);

    for (i = 0; i < 5; i++) {
        char  labels[32];

        snprintf(labels, sizeof(labels), "server=\"%d\"", (int) i);

        cells = series_of(stats, NGX_EB_STATS_LOCATION, labels,
                          strlen(labels));
        ngx_eb_stats_add(cells, NGX_EB_STATS_L_RECEIVED, 10 + i);
    }

    ngx_destroy_pool(pool);

    peek(USED_AT, &used, sizeof(uint32_t));
    ok(used == 6, "power: the count is where this test believes");

    /* a lock word that names a thread of another boot */

    memset(junk, 0, sizeof(junk));
    peek(MUTEX_AT, junk, sizeof(junk));
    junk[0] = 0x11;
    junk[1] = 0x22;
    junk[2] = 0x33;
    poke(MUTEX_AT, junk, sizeof(junk));

    /* slot 0 is the node's */

    memset(zero, 0, sizeof(zero));
    poke(SLOT_AT(2), zero, sizeof(zero));
    poke(LABELS_AT(3) + 8, "X", 1);

    used = 1;
    poke(USED_AT, &used, sizeof(uint32_t));

    alarm(30);

    stats = attach(&pool);

    ok(stats != NULL, "power: attached");

    cells = series(stats, LOCATION, "server=\"0\"");
    ok(cells[NGX_EB_STATS_L_RECEIVED] == 10, "power: the first is there");

    cells = series(stats, LOCATION, "server=\"4\"");
    ok(cells[NGX_EB_STATS_L_RECEIVED] == 14, "power: the last is there");

    cells = series(stats, LOCATION, "server=\"1\"");
    ok(cells[NGX_EB_STATS_L_RECEIVED] == 0, "power: the lost one starts anew");

    cells = series(stats, LOCATION, "server=\"2\"");
    ok(cells[NGX_EB_STATS_L_RECEIVED] == 0, "power: so does the torn one");

    alarm(0);

    all = render(stats, pool, NULL, 0);
    well_formed(all, "power");
    ok(strstr(all, "server=\"X\"") == NULL, "power: torn labels are not shown");
    free(all);

    ngx_destroy_pool(pool);

    /* a count beyond the end must not lead readers there */

    used = 0x7fffffff;
    poke(USED_AT, &used, sizeof(uint32_t));

    stats = attach(&pool);

    all = render(stats, pool, NULL, 0);
    well_formed(all, "power: count beyond the end");
    is(all, "eventbridge_events_received_total{server=\"4\"}", "14",
       "power: and nothing is lost");
    free(all);

    ngx_destroy_pool(pool);
}


static void
damaged(void)
{
    uint32_t              n;
    ngx_int_t             i;
    ngx_uint_t            lines;
    ngx_pool_t           *pool;
    struct stat           before, after;
    ngx_eb_stats_t       *stats;
    ngx_eb_stats_cell_t  *cells;

    static const char  *names[] = {
        "another version", "another slot size", "short", "long",
        "only a header", "empty", "not finished"
    };

    for (i = 0; i < 7; i++) {
        unlink(path);
        unlink(old);

        stats = attach(&pool);
        cells = series(stats, LOCATION, "server=\"d\"");
        ngx_eb_stats_add(cells, NGX_EB_STATS_L_RECEIVED, 1);
        ngx_destroy_pool(pool);

        n = 999;

        switch (i) {

        case 0:
            poke(VERSION_AT, &n, sizeof(uint32_t));
            break;

        case 1:
            poke(VERSION_AT + 12, &n, sizeof(uint32_t));
            break;

        case 2:
            ok(truncate(path, FILE_SIZE - 1) == 0, "damaged: made short");
            break;

        case 3:
            ok(truncate(path, FILE_SIZE + 1) == 0, "damaged: made long");
            break;

        case 4:
            ok(truncate(path, 20) == 0, "damaged: cut in the header");
            break;

        case 5:
            ok(truncate(path, 0) == 0, "damaged: emptied");
            break;

        default:
            poke(0, "\0\0\0\0\0\0\0\0", 8);
            break;
        }

        if (stat(path, &before) == -1) {
            exit(1);
        }

        lines = shim_log_lines;

        stats = attach(&pool);

        ok(stats != NULL, "damaged: %s: attached", names[i]);

        /* a file that never counted is nothing to warn of */

        ok(shim_log_lines - lines == (i < 5), "damaged: %s: %s", names[i],
           i < 5 ? "with a warning" : "without a word");

        if (stats == NULL) {
            continue;
        }

        ok(stat(path, &after) == 0 && after.st_size == FILE_SIZE
           && after.st_ino == before.st_ino,
           "damaged: %s: made anew in place", names[i]);

        ok(access(old, F_OK) == -1, "damaged: %s: nothing to keep", names[i]);

        cells = series(stats, LOCATION, "server=\"d\"");
        ok(cells[NGX_EB_STATS_L_RECEIVED] == 0, "damaged: %s: counts anew",
           names[i]);
        ngx_eb_stats_add(cells, NGX_EB_STATS_L_RECEIVED, 1);

        ngx_destroy_pool(pool);

        stats = attach(&pool);
        cells = series(stats, LOCATION, "server=\"d\"");
        ok(cells[NGX_EB_STATS_L_RECEIVED] == 1, "damaged: %s: and keeps it",
           names[i]);

        ngx_destroy_pool(pool);
    }
}


/* another version, as at a binary upgrade: the old workers count in theirs */

static void
in_use(void)
{
    char             byte;
    pid_t            pid;
    uint32_t         n;
    ngx_pool_t      *pool;
    struct stat      before, kept, now;
    ngx_eb_stats_t  *stats;

    unlink(path);
    unlink(old);

    if (pipe(pipes) == -1) {
        exit(1);
    }

    pid = start(keeper, NULL);

    if (read(pipes[0], &byte, 1) != 1 || stat(path, &before) == -1) {
        exit(1);
    }

    n = 999;
    poke(VERSION_AT, &n, sizeof(uint32_t));

    stats = attach(&pool);

    ok(stats != NULL, "in use: the new version attaches");
    ok(stat(old, &kept) == 0 && kept.st_ino == before.st_ino
       && kept.st_size == FILE_SIZE, "in use: the old file is kept");
    ok(stat(path, &now) == 0 && now.st_ino != before.st_ino,
       "in use: the new one is another");

    kill(pid, SIGUSR1);

    ok(finish(pid) == 0, "in use: who had it goes on counting");

    close(pipes[0]);
    close(pipes[1]);

    ngx_destroy_pool(pool);

    unlink(old);
}


static void
keeper(void *data)
{
    int                   sig;
    sigset_t              set;
    ngx_int_t             i;
    ngx_pool_t           *pool;
    ngx_eb_stats_t       *stats;
    ngx_eb_stats_cell_t  *cells;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);

    stats = attach(&pool);

    if (stats == NULL || write(pipes[1], "x", 1) != 1) {
        _exit(1);
    }

    if (sigwait(&set, &sig) != 0) {
        _exit(1);
    }

    /* pages that nobody has touched yet */

    for (i = 0; i < 1000; i++) {
        char  labels[32];

        snprintf(labels, sizeof(labels), "server=\"%d\"", (int) i);

        cells = series_of(stats, NGX_EB_STATS_LOCATION, labels,
                          strlen(labels));
        ngx_eb_stats_add(cells, NGX_EB_STATS_L_END - 1, 1);

        if (cells[NGX_EB_STATS_L_END - 1] != 1) {
            _exit(1);
        }
    }
}


static void
foreign(void)
{
    int              fd;
    char             buf[32];
    ssize_t          n;
    ngx_pool_t      *pool;
    struct stat      st;
    ngx_eb_stats_t  *stats;

    unlink(path);
    unlink(old);

    fd = open(path, O_WRONLY|O_CREAT, 0600);

    if (fd == -1 || write(fd, "somebody's data\n", 16) != 16) {
        exit(1);
    }

    close(fd);

    stats = attach(&pool);

    ok(stats != NULL && stat(path, &st) == 0 && st.st_size == FILE_SIZE,
       "foreign: attached");

    fd = open(old, O_RDONLY);
    n = read(fd, buf, sizeof(buf));
    close(fd);

    ok(n == 16 && memcmp(buf, "somebody's data\n", 16) == 0,
       "foreign: what was there is kept");

    ngx_destroy_pool(pool);
    unlink(old);
}


static void
refused(void)
{
    char             target[80];
    u_char           errstr[512];
    ngx_err_t        err;
    ngx_str_t        file;
    ngx_pool_t      *pool;
    struct stat      st;

    pool = ngx_create_pool(4096, &shim_log);
    file.data = (u_char *) path;
    file.len = strlen(path);

    unlink(path);
    snprintf(target, sizeof(target), "%s/target", dir);

    if (symlink(target, path) == -1) {
        exit(1);
    }

    ok(ngx_eb_stats_attach(pool, &file, &shim_log, errstr, sizeof(errstr),
                           &err) == NULL && err == ELOOP,
       "refused: a symbolic link");
    ok(strstr((char *) errstr, path) != NULL, "refused: the reason names it");
    ok(stat(target, &st) == -1, "refused: and it was not followed");

    unlink(path);

    if (mkdir(path, 0700) == -1) {
        exit(1);
    }

    ok(ngx_eb_stats_attach(pool, &file, &shim_log, errstr, sizeof(errstr),
                           &err) == NULL && err == EISDIR,
       "refused: a directory");

    rmdir(path);

    if (mkfifo(path, 0600) == -1) {
        exit(1);
    }

    alarm(30);

    ok(ngx_eb_stats_attach(pool, &file, &shim_log, errstr, sizeof(errstr),
                           &err) == NULL && err == 0,
       "refused: a pipe, without waiting");

    alarm(0);

    unlink(path);

    file.data = (u_char *) "/nonexistent/dir/stats";
    file.len = sizeof("/nonexistent/dir/stats") - 1;

    ok(ngx_eb_stats_attach(pool, &file, &shim_log, errstr, sizeof(errstr),
                           &err) == NULL && err == ENOENT,
       "refused: no such directory");

    ok(finish(start(no_room_on_disk, NULL)) == 0, "refused: no room for it");
    ok(stat(path, &st) == -1 || st.st_size == 0,
       "refused: and no half of it stays");

    ngx_destroy_pool(pool);
}


static void
no_room_on_disk(void *data)
{
    u_char         errstr[512];
    ngx_err_t      err;
    ngx_str_t      file;
    ngx_pool_t    *pool;
    struct rlimit  limit;

    signal(SIGXFSZ, SIG_IGN);

    limit.rlim_cur = 1024 * 1024;
    limit.rlim_max = 1024 * 1024;

    if (setrlimit(RLIMIT_FSIZE, &limit) == -1) {
        _exit(1);
    }

    pool = ngx_create_pool(4096, &shim_log);
    file.data = (u_char *) path;
    file.len = strlen(path);

    if (ngx_eb_stats_attach(pool, &file, &shim_log, errstr, sizeof(errstr),
                            &err) != NULL
        || err != EFBIG)
    {
        _exit(2);
    }
}


static void
not_ours(void)
{
    u_char            errstr[512];
    ngx_err_t         err;
    ngx_int_t         i;
    ngx_str_t         file;
    ngx_pool_t       *pool;
    struct stat       st;
    ngx_eb_stats_t   *stats;

    static struct {
        mode_t        mode;
        mode_t        expected;
    } modes[] = {
        { 0666, 0640 },
        { 0777, 0640 },
        { 0660, 0640 },
        { 0644, 0640 },
        { 04640, 0640 },
        { 0640, 0640 },
        { 0600, 0600 }
    };

    file.data = (u_char *) path;
    file.len = strlen(path);

    unlink(path);

    for (i = 0; i < 7; i++) {
        stats = attach(&pool);
        ngx_destroy_pool(pool);

        if (stats == NULL || chmod(path, modes[i].mode) == -1) {
            exit(1);
        }

        stats = attach(&pool);

        if (stat(path, &st) == -1) {
            exit(1);
        }

        is_int(st.st_mode & 07777, modes[i].expected,
               "not ours: mode %o is tightened", (unsigned) modes[i].mode);

        ngx_destroy_pool(pool);
    }

    pool = ngx_create_pool(4096, &shim_log);

    if (link(path, old) == -1) {
        exit(1);
    }

    ok(ngx_eb_stats_test(&file, errstr, sizeof(errstr), &err) == NGX_ERROR
       && err == 0 && strstr((char *) errstr, "another name") != NULL,
       "not ours: another name, says the test");
    ok(ngx_eb_stats_attach(pool, &file, &shim_log, errstr, sizeof(errstr),
                           &err) == NULL
       && err == 0 && strstr((char *) errstr, "another name") != NULL,
       "not ours: another name");

    unlink(old);

    ok(ngx_eb_stats_test(&file, errstr, sizeof(errstr), &err) == NGX_OK,
       "not ours: without it all is well");

    if (geteuid() == 0) {

        if (chown(path, 65534, -1) == -1) {
            exit(1);
        }

        ok(ngx_eb_stats_test(&file, errstr, sizeof(errstr), &err) == NGX_ERROR
           && err == 0 && strstr((char *) errstr, "another user") != NULL,
           "not ours: another user, says the test");
        ok(ngx_eb_stats_attach(pool, &file, &shim_log, errstr, sizeof(errstr),
                               &err) == NULL
           && err == 0 && strstr((char *) errstr, "another user") != NULL,
           "not ours: another user");
    }

    ngx_destroy_pool(pool);
    unlink(path);
}


/* whoever can read the file can lock it */

static void
locked(void)
{
    u_char           errstr[512];
    ngx_err_t        err;
    ngx_int_t        before;
    ngx_str_t        file;
    ngx_pool_t      *pool;
    ngx_eb_stats_t  *stats;

    file.data = (u_char *) path;
    file.len = strlen(path);

    stats = attach(&pool);
    ngx_destroy_pool(pool);

    before = descriptors();
    pool = ngx_create_pool(4096, &shim_log);
    lock = open(path, O_RDONLY);

    if (stats == NULL || lock == -1 || flock(lock, LOCK_EX) == -1) {
        exit(1);
    }

    alarm(30);

    /* never given back */

    tries = -1;
    slept = 0;
    stats = ngx_eb_stats_attach(pool, &file, &shim_log, errstr,
                                sizeof(errstr), &err);

    ok(stats == NULL && err == ETIMEDOUT, "locked: there is an end to it");
    ok(strstr((char *) errstr, path) != NULL, "locked: the reason names it");
    is_int(slept, 60000, "locked: after a minute");

    tries = 5;
    slept = 0;
    stats = ngx_eb_stats_attach(pool, &file, &shim_log, errstr,
                                sizeof(errstr), &err);

    ok(stats != NULL, "locked: for a moment");
    is_int(slept, 60, "locked: so long");

    alarm(0);
    slept = -1;

    ngx_destroy_pool(pool);
    is_int(descriptors(), before, "locked: no descriptor is left");
}


/* while the file is printed, a process writes to it what it likes */

static void
astray(void)
{
    int              status;
    char             labels[900];
    pid_t            harm, scrape;
    ngx_pool_t      *pool;
    ngx_eb_stats_t  *stats;

    unlink(path);

    (void) attach(&pool);
    ngx_destroy_pool(pool);

    plant(1, NGX_EB_STATS_LOCATION, "server=\"kind\"", 13);
    plant(2, NGX_EB_STATS_LOCATION, "server=\"text\"", 13);
    plant(3, NGX_EB_STATS_DESTINATION, "server=\"len\"", 12);

    memset(labels, 'x', sizeof(labels));
    memcpy(labels, "server=\"", 8);
    labels[877] = '"';

    /* the last that are printed: what is behind them is not mapped */

    plant(ROOM + NGX_EB_STATS_ROUTE, NGX_EB_STATS_ROUTE, labels, 878);
    plant(ROOM + NGX_EB_STATS_ZONE, NGX_EB_STATS_ZONE, labels, 878);

    /* others are never alone with the file, and do not repair it */

    stats = attach(&pool);

    ok(stats != NULL, "astray: attached");

    harm = start(vandal, NULL);
    scrape = start(scraper, NULL);

    status = finish(scrape);

    ok(status == 0, "astray: %d scrapes, and each is well formed (%d)",
       SCRAPES, status);

    kill(harm, SIGKILL);
    status = finish(harm);

    ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
       "astray: while it was written to");

    ngx_destroy_pool(pool);
}


static void
scraper(void *data)
{
    char            *all;
    report_t         report;
    ngx_int_t        i;
    ngx_uint_t       seen;
    ngx_pool_t      *pool;
    ngx_eb_stats_t  *stats;

    alarm(120);

    seen = 0;

    stats = attach(&pool);

    if (stats == NULL) {
        _exit(1);
    }

    ngx_destroy_pool(pool);

    for (i = 0; i < SCRAPES; i++) {

        /* what is astray once shall not be left out for good */

        if (i % 100 == 0) {

            if (i) {
                ngx_destroy_pool(pool);
            }

            stats = attach(&pool);

            if (stats == NULL) {
                _exit(1);
            }
        }

        all = render(stats, pool, NULL, 0);

        if (!strict(all, &report)) {
            printf("# %s: %.60s\n", report.why, report.pos);
            _exit(2);
        }

        seen |= (strstr(all, "server=\"kind\"") != NULL);
        seen |= (strstr(all, "server=\"text\"") != NULL) << 1;
        seen |= (strstr(all, "server=\"len\"") != NULL) << 2;
        seen |= (strstr(all, "xxxxx\"} ") != NULL) << 3;

        free(all);
    }

    ngx_destroy_pool(pool);

    if (seen != 15) {
        _exit(3);
    }
}


static void
vandal(void *data)
{
    int                 fd;
    u_char             *map;
    ngx_uint_t          i;
    volatile u_char    *text;
    volatile uint16_t  *lens[3];
    volatile uint32_t  *kind;

    alarm(150);

    fd = open(path, O_RDWR);
    if (fd == -1) {
        _exit(1);
    }

    map = mmap(NULL, FILE_SIZE, PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        _exit(1);
    }

    kind = (uint32_t *) (map + SLOT_AT(1));
    text = map + LABELS_AT(2) + 9;
    lens[0] = (uint16_t *) (map + LEN_AT(3));
    lens[1] = (uint16_t *) (map + LEN_AT(ROOM + NGX_EB_STATS_ROUTE));
    lens[2] = (uint16_t *) (map + LEN_AT(ROOM + NGX_EB_STATS_ZONE));

    for (i = 0; /* void */ ; i++) {
        *kind = (i & 1) ? 0x7ffffff0 : NGX_EB_STATS_LOCATION;
        *text = (i & 1) ? LF : 'e';
        *lens[0] = (i & 1) ? 65535 : 12;
        *lens[1] = (i & 1) ? 65535 : 878;
        *lens[2] = (i & 1) ? 65535 : 878;
    }
}


/* all is right about these slots but their labels */

static void
planted(void)
{
    char             *all, name[64];
    ngx_uint_t        i, n;
    ngx_pool_t       *pool;
    ngx_eb_stats_t   *stats;

    static struct {
        const char   *labels;
        ngx_uint_t    printed;
    } slots[] = {
        { "s=\"ok\",good=\"1\"", 1 },
        { "s=\"\\\\ \\\" \\n \xc3\xa4 \xf0\x9f\x98\x80\",good=\"2\"", 1 },
        { "good=\"\"", 1 },
        { "_good9=\"x\"", 1 },
        { "bad=\"\n\"", 0 },
        { "bad=\"\"} 1\nforged_total{a=\"b\"", 0 },
        { "bad=\"\x1b[2J\"", 0 },
        { "bad=\"\x7f\"", 0 },
        { "bad=\"\r\"", 0 },
        { "bad=\"\t\"", 0 },
        { "bad=\"a\"b\"", 0 },
        { "bad=\"\\t\"", 0 },
        { "bad=\"\\\"", 0 },
        { "bad=\"\\", 0 },
        { "bad=\"", 0 },
        { "bad=", 0 },
        { "bad", 0 },
        { "bad=\"a\",", 0 },
        { "bad=\"a\",,b=\"c\"", 0 },
        { "bad=\"a\";b=\"c\"", 0 },
        { "bad=\"a\"} 7 #\"", 0 },
        { "=\"bad\"", 0 },
        { "9=\"bad\"", 0 },
        { "b-d=\"bad\"", 0 },
        { "bad=\"\xff\"", 0 },
        { "bad=\"\xc0\xaf\"", 0 },
        { "bad=\"\xe2\x82\"", 0 },
        { "bad=\"\xed\xa0\x80\"", 0 },
        { "bad=x", 0 },
        { ",bad=\"x\"", 0 }
    };

    n = sizeof(slots) / sizeof(slots[0]);

    unlink(path);

    (void) attach(&pool);
    ngx_destroy_pool(pool);

    for (i = 0; i < n; i++) {
        plant(1 + i, NGX_EB_STATS_LOCATION, slots[i].labels,
              strlen(slots[i].labels));
    }

    plant(1 + n, NGX_EB_STATS_LOCATION, "bad=\"\0\"", 7);
    plant(ROOM + NGX_EB_STATS_LOCATION, NGX_EB_STATS_LOCATION,
          "bad=\"\n\"", 7);

    stats = attach(&pool);
    all = render(stats, pool, NULL, 0);

    well_formed(all, "planted");
    ok(strstr(all, "bad") == NULL, "planted: nothing bad is printed");

    for (i = 0; i < n; i++) {

        if (slots[i].printed) {
            snprintf(name, sizeof(name), "{%.60s}", slots[i].labels);
            ok(strstr(all, name) != NULL, "planted: %d is printed", (int) i);
        }
    }

    free(all);
    ngx_destroy_pool(pool);
}


/* what would not be printed is not written either, and counts all the same */

static void
controls(void)
{
    char                 *all, long_one[1000];
    ngx_pool_t           *pool;
    ngx_eb_stats_t       *stats;
    ngx_eb_stats_cell_t  *a, *b, *c;

    unlink(path);

    stats = attach(&pool);

    a = series(stats, LOCATION, "server=\"a\x01\"");
    b = series(stats, LOCATION, "server=\"a\x02\"");

    ok(a != b, "controls: they stay apart");
    ok(a == series(stats, LOCATION, "server=\"a\x01\""),
       "controls: and are found again");

    ngx_eb_stats_add(a, NGX_EB_STATS_L_RECEIVED, 11);
    ngx_eb_stats_add(b, NGX_EB_STATS_L_RECEIVED, 12);

    memset(long_one, 'x', sizeof(long_one));
    memcpy(long_one, "server=\"\x03", 9);
    long_one[999] = '"';

    c = series_of(stats, NGX_EB_STATS_LOCATION, long_one, 1000);
    ngx_eb_stats_add(c, NGX_EB_STATS_L_RECEIVED, 13);

    all = render(stats, pool, NULL, 0);
    well_formed(all, "controls");

#define RECEIVED  "eventbridge_events_received_total{series=\""

    ok(strstr(all, RECEIVED) != NULL, "controls: printed as a hash");
    ok(strstr(all, "\"} 11\n") != NULL, "controls: the first");
    ok(strstr(all, "\"} 12\n") != NULL, "controls: the second");
    ok(strstr(all, "\"} 13\n") != NULL, "controls: the long one");

    free(all);
    ngx_destroy_pool(pool);
}


static void
histograms(void)
{
    char                 *all;
    ngx_int_t             i, others;
    ngx_pool_t           *pool;
    ngx_eb_stats_t       *stats;
    ngx_eb_stats_cell_t  *cells, counts[NGX_EB_STATS_L_END];

    unlink(path);

    stats = attach(&pool);
    cells = series(stats, LOCATION, "l=\"1\"");

    ngx_memzero((void *) counts, sizeof(counts));

    ngx_eb_stats_count_lag(counts, -5000);
    ngx_eb_stats_count_lag(counts, 100);
    ngx_eb_stats_count_lag(counts, 101);
    ngx_eb_stats_count_lag(counts, 86400000);
    ngx_eb_stats_count_lag(counts, 86400001);

    others = 0;

    for (i = 0; i < NGX_EB_STATS_L_END; i++) {
        if (i < NGX_EB_STATS_L_LAG_HIST || i >= NGX_EB_STATS_L_BATCH_HIST) {
            others += counts[i] != 0;
        }

        ngx_eb_stats_add(cells, i, counts[i]);
    }

    ok(others == 0, "lag: only its own cells are counted in");

    ngx_eb_stats_observe_batch(cells, 0);
    ngx_eb_stats_observe_batch(cells, 1);
    ngx_eb_stats_observe_batch(cells, 2);
    ngx_eb_stats_observe_batch(cells, 5000);
    ngx_eb_stats_observe_batch(cells, 5001);

    cells = series(stats, DESTINATION, "d=\"1\"");

    ngx_eb_stats_observe_latency(cells, 0);
    ngx_eb_stats_observe_latency(cells, 1);
    ngx_eb_stats_observe_latency(cells, 2);
    ngx_eb_stats_observe_latency(cells, 3);
    ngx_eb_stats_observe_latency(cells, 30000);
    ngx_eb_stats_observe_latency(cells, 30001);

    all = render(stats, pool, NULL, 0);
    well_formed(all, "histograms");

#define lag       "eventbridge_event_lag_seconds"
#define batch     "eventbridge_batch_events"
#define duration  "eventbridge_delivery_duration_seconds"

    is(all, lag "_bucket{l=\"1\",le=\"0.1\"}", "2", "lag: up to 0.1");
    is(all, lag "_bucket{l=\"1\",le=\"0.5\"}", "3", "lag: up to 0.5");
    is(all, lag "_bucket{l=\"1\",le=\"3600\"}", "3", "lag: up to 3600");
    is(all, lag "_bucket{l=\"1\",le=\"86400\"}", "4", "lag: up to 86400");
    is(all, lag "_bucket{l=\"1\",le=\"+Inf\"}", "5", "lag: all");
    is(all, lag "_count{l=\"1\"}", "5", "lag: count");
    is(all, lag "_sum{l=\"1\"}", "172800.202", "lag: an exact sum");

    is(all, batch "_bucket{l=\"1\",le=\"1\"}", "2", "batch: up to 1");
    is(all, batch "_bucket{l=\"1\",le=\"2\"}", "3", "batch: up to 2");
    is(all, batch "_bucket{l=\"1\",le=\"1000\"}", "3", "batch: up to 1000");
    is(all, batch "_bucket{l=\"1\",le=\"5000\"}", "4", "batch: up to 5000");
    is(all, batch "_bucket{l=\"1\",le=\"+Inf\"}", "5", "batch: all");
    is(all, batch "_sum{l=\"1\"}", "10004", "batch: sum");

    is(all, duration "_bucket{d=\"1\",le=\"0.001\"}", "2", "latency: 0.001");
    is(all, duration "_bucket{d=\"1\",le=\"0.0025\"}", "3", "latency: 0.0025");
    is(all, duration "_bucket{d=\"1\",le=\"0.005\"}", "4", "latency: 0.005");
    is(all, duration "_bucket{d=\"1\",le=\"10\"}", "4", "latency: 10");
    is(all, duration "_bucket{d=\"1\",le=\"30\"}", "5", "latency: 30");
    is(all, duration "_bucket{d=\"1\",le=\"+Inf\"}", "6", "latency: all");
    is(all, duration "_sum{d=\"1\"}", "60.007", "latency: an exact sum");

    free(all);
    ngx_destroy_pool(pool);
}


/* every cell has a number of its own, so that no line can show another's */

static void
text(void)
{
    char                 *all;
    ngx_int_t             i;
    ngx_pool_t           *pool;
    ngx_eb_stats_t       *stats;
    ngx_eb_stats_cell_t  *l, *d, *r, *n;

    unlink(path);

    stats = attach(&pool);

    l = series(stats, LOCATION, "s=\"a\\\\b\\\"c\\nd\"");
    d = series(stats, DESTINATION, "s=\"d\"");
    r = series(stats, ROUTE, "s=\"r\"");
    n = series(stats, NODE, "");

    (void) series(stats, ZONE, "zone=\"z\"");

    for (i = 0; i < NGX_EB_STATS_L_LAG_HIST; i++) {
        ngx_eb_stats_add(l, i, 1000 + i);
    }

    l[NGX_EB_STATS_L_LAG] = 61005;
    l[NGX_EB_STATS_L_UNAUTHORIZED] = 1036;

    for (i = 0; i < NGX_EB_STATS_D_LATENCY_HIST; i++) {
        ngx_eb_stats_add(d, i, 2000 + i);
    }

    for (i = 0; i < NGX_EB_STATS_R_END; i++) {
        ngx_eb_stats_add(r, i, 3000 + i);
    }

    for (i = 0; i < NGX_EB_STATS_N_END; i++) {
        ngx_eb_stats_add(n, i, 4000 + i);
    }

    d[NGX_EB_STATS_D_BYTES] = INT64_C(9007199254740993);

    all = render(stats, pool, NULL, 0);
    well_formed(all, "text");

#define L      "{s=\"a\\\\b\\\"c\\nd\""
#define R(c)   "eventbridge_requests_total" L ",code=\"" c "\"}"
#define E(e)   "eventbridge_events_" e "_total" L "}"
#define D(e)   "eventbridge_destination_" e "_total{s=\"d\"}"
#define DR(c)  "eventbridge_destination_requests_total{s=\"d\",result=\"" c   \
               "\"}"
#define RT(e)  "eventbridge_route_events_" e "_total{s=\"r\"}"

    is(all, R("2xx"), "1000", "text: 2xx");
    is(all, R("400"), "1001", "text: 400");
    is(all, R("401"), "1002", "text: 401");
    is(all, R("405"), "1003", "text: 405");
    is(all, R("413"), "1004", "text: 413");
    is(all, R("415"), "1005", "text: 415");
    is(all, R("422"), "1006", "text: 422");
    is(all, R("429"), "1007", "text: 429");
    is(all, R("500"), "1008", "text: 500");
    is(all, R("503"), "1009", "text: 503");
    is(all, E("received"), "1010", "text: received");
    is(all, E("processed"), "1011", "text: processed");
    is(all, E("forwarded"), "1012", "text: forwarded");
    is(all, E("duplicates"), "1013", "text: duplicates");
    is(all, E("dropped"), "1014", "text: dropped");
    is(all, E("invalid"), "1015", "text: invalid");
    is(all, E("unrouted"), "1016", "text: unrouted");
    is(all, E("failed"), "1017", "text: failed");
    is(all, E("busy"), "1018", "text: busy");
    is(all, E("without_id"), "1019", "text: without id");
    is(all, "eventbridge_received_bytes_total" L "}", "1020", "text: bytes");
    is(all, "eventbridge_message_lag_seconds" L "}", "61.005", "text: lag");
    is(all, "eventbridge_route_regex_errors_total" L "}", "1022",
       "text: regex errors");
    is(all, "eventbridge_rate_limited_events_total" L "}", "1023",
       "text: rate limited");
    is(all, "eventbridge_overload_total" L "}", "1024", "text: overload");
    is(all, "eventbridge_unauthorized_total" L "}", "1036",
       "text: unauthorized");

    is(all, D("events_forwarded"), "2000", "text: destination: forwarded");
    is(all, D("events_failed"), "2001", "text: destination: failed");
    is(all, DR("2xx"), "2002", "text: destination: 2xx");
    is(all, DR("3xx"), "2003", "text: destination: 3xx");
    is(all, DR("4xx"), "2004", "text: destination: 4xx");
    is(all, DR("5xx"), "2005", "text: destination: 5xx");
    is(all, DR("none"), "2006", "text: destination: none");
    is(all, D("saturated_events"), "2007", "text: destination: saturated");
    is(all, D("bytes"), "9007199254740993", "text: destination: bytes");

    is(all, RT("matched"), "3000", "text: route: matched");
    is(all, RT("forwarded"), "3001", "text: route: forwarded");
    is(all, RT("failed"), "3002", "text: route: failed");
    is(all, RT("duplicates"), "3003", "text: route: duplicates");

    is(all, "eventbridge_audit_lines_total", "4000", "text: audit lines");
    is(all, "eventbridge_audit_dropped_total", "4001", "text: audit dropped");
    is(all, "eventbridge_audit_errors_total", "4002", "text: audit errors");
    is(all, "eventbridge_series_overflow_total", "4003", "text: overflow");

    free(all);
    ngx_destroy_pool(pool);
}


static void
long_labels(void)
{
    char                 *all, *labels, *p;
    size_t                len;
    ngx_int_t             i;
    ngx_pool_t           *pool;
    ngx_eb_stats_t       *stats;
    ngx_eb_stats_cell_t  *a, *b, *c, *d, *e;

    unlink(path);

    stats = attach(&pool);

    labels = malloc(20000);
    if (labels == NULL) {
        exit(1);
    }

    /* escapes and characters of several bytes at every offset of the cut */

    for (i = 0; i < 8; i++) {
        p = labels + sprintf(labels, "server=\"%.*s", (int) i, "xxxxxxxx");

        while (p - labels < 900) {
            p += sprintf(p, "%s", (i % 2) ? "\\\\\\\"" : "\xe2\x82\xac");
        }

        len = p + sprintf(p, "\",location=\"/short\"") - labels;

        a = series_of(stats, NGX_EB_STATS_LOCATION, labels, len);
        ngx_eb_stats_add(a, NGX_EB_STATS_L_RECEIVED, 1);

        labels[7 + 1 + i / 2] = 'y';

        b = series_of(stats, NGX_EB_STATS_LOCATION, labels, len);

        ok(b == series_of(stats, NGX_EB_STATS_LOCATION, labels, len),
           "long %d: found again", (int) i);

        if (i >= 1) {
            ok(a != b, "long %d: and not taken for another", (int) i);
        }
    }

    /* they differ only far behind the cut */

    memset(labels, 'z', 20000);
    memcpy(labels, "server=\"", 8);
    labels[2000] = '"';

    c = series_of(stats, NGX_EB_STATS_LOCATION, labels, 2001);
    labels[1999] = 'y';
    d = series_of(stats, NGX_EB_STATS_LOCATION, labels, 2001);

    ok(c != d, "long: a difference behind the cut counts");

    /* what cannot be cut, for many reasons */

    labels[2000] = 'z';
    e = series_of(stats, NGX_EB_STATS_LOCATION, labels, 20000);
    ok(e != c && e != d, "long: no end of a value");

    labels[1500] = '"';
    (void) series_of(stats, NGX_EB_STATS_LOCATION, labels, 2000);

    labels[1999] = '\\';
    labels[1500] = 'z';
    (void) series_of(stats, NGX_EB_STATS_LOCATION, labels, 2000);

    p = labels;

    for (i = 0; i < 100; i++) {
        p += sprintf(p, "%slabel%d=\"0123456789\"", i ? "," : "", (int) i);
    }

    (void) series_of(stats, NGX_EB_STATS_LOCATION, labels, p - labels);

    /* the longest that is taken as it is, and the shortest that is not */

    memset(labels, 'm', 20000);
    memcpy(labels, "server=\"", 8);
    labels[877] = '"';

    a = series_of(stats, NGX_EB_STATS_LOCATION, labels, 878);
    ngx_eb_stats_add(a, NGX_EB_STATS_L_DROPPED, 5);

    labels[877] = 'm';
    labels[878] = '"';
    (void) series_of(stats, NGX_EB_STATS_LOCATION, labels, 879);

    all = render(stats, pool, NULL, 0);
    well_formed(all, "long");

    memcpy(labels + 2000, "eventbridge_events_dropped_total{", 33);
    memset(labels + 2033, 'm', 878);
    memcpy(labels + 2033, "server=\"", 8);
    memcpy(labels + 2033 + 877, "\"}", 3);

    is(all, labels + 2000, "5", "long: what fits is left as it is");
    ok(strstr(all, ",location=\"/short\"} 1\n") != NULL,
       "long: short values next to it stay");

    free(all);
    free(labels);
    ngx_destroy_pool(pool);
}


static void
extras(void)
{
    char                  *all;
    ngx_pool_t            *pool;
    ngx_eb_stats_t        *stats;
    ngx_eb_stats_extra_t   extra[] = {
        { "x_bytes", NULL, "gauge", "Back\\slash\nand newline.",
          ngx_string("zone=\"a\""), 1.5 },
        { "x_bytes", NULL, "gauge", "Back\\slash\nand newline.",
          ngx_string("zone=\"b\""), -0.001 },
        { "x_total", NULL, "counter", "A counter.", ngx_null_string,
          4294967296.0 },
        { "x_time", NULL, "gauge", "A time.", ngx_null_string,
          1763700000.123 },
        { "x_nan", NULL, "gauge", "No number.", ngx_null_string, 0 },
        { "x_inf", NULL, "gauge", "No end.", ngx_null_string, 0 },
        { "x_less", NULL, "gauge", "No beginning.", ngx_null_string, 0 }
    };

    extra[4].value = NAN;
    extra[5].value = INFINITY;
    extra[6].value = -INFINITY;

    stats = attach(&pool);

    all = render(stats, pool, extra, sizeof(extra) / sizeof(extra[0]));

    well_formed(all, "extra");
    is(all, "x_bytes{zone=\"a\"}", "1.5", "extra: a fraction");
    is(all, "x_bytes{zone=\"b\"}", "-0.001", "extra: below zero");
    is(all, "x_total", "4294967296", "extra: large");
    is(all, "x_time", "1763700000.123", "extra: a time");
    is(all, "x_nan", "NaN", "extra: no number");
    is(all, "x_inf", "+Inf", "extra: no end");
    is(all, "x_less", "-Inf", "extra: no beginning");
    ok(strstr(all, "# HELP x_bytes Back\\\\slash\\nand newline.\n") != NULL,
       "extra: HELP is escaped");
    free(all);

    all = render(NULL, pool, extra, 1);
    well_formed(all, "extra: without a file");
    free(all);

    ngx_destroy_pool(pool);
}


static void
overflow(void)
{
    char                 *all, labels[64];
    report_t              report;
    ngx_int_t             i, room;
    ngx_pool_t           *pool;
    ngx_eb_stats_t       *stats;
    ngx_eb_stats_cell_t  *l, *r, *n, *cells;

    unlink(path);

    stats = attach(&pool);
    n = series(stats, NODE, "");

    room = 0;

    for (i = 0; i < 4500; i++) {
        snprintf(labels, sizeof(labels), "server=\"%d\"", (int) i);

        cells = series_of(stats, NGX_EB_STATS_LOCATION, labels,
                          strlen(labels));
        ngx_eb_stats_add(cells, NGX_EB_STATS_L_RECEIVED, 1);

        if (n[NGX_EB_STATS_N_SERIES_FULL] == 0) {
            room++;
        }
    }

    ok(room == 4096 - NGX_EB_STATS_KINDS - 1, "overflow: %d found room",
       (int) room);
    ok(n[NGX_EB_STATS_N_SERIES_FULL] == 4500 - room,
       "overflow: the others are counted");

    l = series(stats, LOCATION, "server=\"5000\"");
    r = series(stats, ROUTE, "server=\"5000\"");

    ok(l == cells, "overflow: they share their cells");
    ok(r != l, "overflow: each kind its own");
    ok(l[NGX_EB_STATS_L_RECEIVED] == 4500 - room,
       "overflow: that count together");

    cells = series(stats, LOCATION, "server=\"17\"");
    ok(cells != l && cells[NGX_EB_STATS_L_RECEIVED] == 1,
       "overflow: those that are there are found");

    all = render(stats, pool, NULL, 0);
    (void) strict(all, &report);
    well_formed(all, "overflow");

    ok(report.samples > 4000 * 50, "overflow: %d samples, %d bytes",
       (int) report.samples, (int) strlen(all));

    snprintf(labels, sizeof(labels), "%d", (int) (4500 - room));
    is(all, "eventbridge_events_received_total{overflow=\"true\"}", labels,
       "overflow: printed as such");
    is(all, "eventbridge_events_received_total{server=\"0\"}", "1",
       "overflow: and the first");
    free(all);

    ngx_destroy_pool(pool);

    stats = attach(&pool);
    l = series(stats, LOCATION, "server=\"5001\"");

    ok(l[NGX_EB_STATS_L_RECEIVED] == 4500 - room,
       "overflow: the same after a restart");

    ngx_destroy_pool(pool);
}


static void
nobody(void)
{
    ngx_eb_stats_cell_t  *cells;

    cells = series(NULL, LOCATION, "server=\"a\"");

    ok(cells != NULL, "nobody: cells without a file");

    ngx_eb_stats_add(cells, NGX_EB_STATS_CELLS - 1, 1);
    ngx_eb_stats_observe_batch(cells, 1);

    ok(cells[NGX_EB_STATS_L_BATCH_HIST] == 1, "nobody: that can be added to");
}


/* somebody who writes into a series while it is printed */

static void
hostile(void)
{
    int              status;
    pid_t            pid;
    u_char          *p, errstr[512];
    uint32_t         i, missing;
    ngx_err_t        err;
    ngx_int_t        rc;
    ngx_str_t        file, out;
    ngx_pool_t      *pool, *temp;
    ngx_eb_stats_t  *stats;

    volatile uint16_t  *len;
    volatile uint32_t  *kind;

    unlink(path);

    file.data = (u_char *) path;
    file.len = strlen(path);

    pool = ngx_create_pool(4096, &shim_log);
    stats = ngx_eb_stats_attach(pool, &file, &shim_log, errstr,
                                sizeof(errstr), &err);
    ok(stats != NULL, "hostile: attached");

    (void) series(stats, LOCATION, "server=\"a\"");
    (void) series(stats, LOCATION, "server=\"b\"");

    pid = fork();

    if (pid == 0) {

        p = mmap(NULL, LABELS_AT(2), PROT_READ|PROT_WRITE, MAP_SHARED,
                 open(path, O_RDWR), 0);
        if (p == MAP_FAILED) {
            _exit(1);
        }

        kind = (volatile uint32_t *) (p + SLOT_AT(1));
        len = (volatile uint16_t *) (p + LABELS_AT(1) - 2);

        for (i = 0; /* until it is killed */ ; i++) {
            *kind = (i & 1) ? 0x7fffffff : NGX_EB_STATS_LOCATION;
            *len = (i & 2) ? 65535 : sizeof("server=\"a\"") - 1;
        }
    }

    rc = NGX_OK;
    missing = 0;

    for (i = 0; i < 3000; i++) {
        temp = ngx_create_pool(4096, &shim_log);
        rc |= ngx_eb_stats_render(stats, temp, NULL, 0, &out);
        missing += memmem(out.data, out.len, "\"a\"", 3) == NULL;
        ngx_destroy_pool(temp);
    }

    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);

    ok(rc == NGX_OK && missing != 0 && missing != 3000,
       "hostile: printed all the same, %d times less", (int) missing);

    ngx_destroy_pool(pool);
    unlink(path);
}


/* each allocation fails once, and nothing stays behind */

static void
no_memory(void)
{
    u_char           errstr[512];
    ngx_int_t        before, i, n;
    ngx_err_t        err;
    ngx_str_t        file, out;
    ngx_pool_t      *pool;
    ngx_eb_stats_t  *stats;

    unlink(path);

    file.data = (u_char *) path;
    file.len = strlen(path);

    before = descriptors();
    stats = NULL;

    for (i = 0; stats == NULL && i < 20; i++) {
        pool = ngx_create_pool(4096, &shim_log);

        shim_allocs = i;
        stats = ngx_eb_stats_attach(pool, &file, &shim_log, errstr,
                                    sizeof(errstr), &err);
        shim_allocs = -1;

        if (stats == NULL) {
            ok(strcmp((char *) errstr, "no memory") == 0 && err == 0,
               "memory: attach says what is missing");
            ngx_destroy_pool(pool);
        }
    }

    ok(stats != NULL && i > 3, "memory: attached at last");

    (void) series(stats, LOCATION, "server=\"a\"");

    n = NGX_ERROR;

    for (i = 0; n != NGX_OK && i < 20; i++) {
        shim_allocs = i;
        n = ngx_eb_stats_render(stats, pool, NULL, 0, &out);
        shim_allocs = -1;
    }

    ok(n == NGX_OK && i == 4, "memory: rendered at last");

    ngx_destroy_pool(pool);

    ok(shim_blocks == 0, "memory: nothing of the pools is left");
    ok(descriptors() == before, "memory: no descriptor is left");
}


static ngx_int_t
descriptors(void)
{
    int        fd;
    ngx_int_t  n;

    n = 0;

    for (fd = 0; fd < 256; fd++) {
        n += (fcntl(fd, F_GETFD) != -1);
    }

    return n;
}


int
main(void)
{
    if (mkdtemp(dir) == NULL) {
        return 1;
    }

    snprintf(path, sizeof(path), "%s/stats", dir);
    snprintf(old, sizeof(old), "%s.old", path);

    umask(022);

    reader();
    fresh();
    concurrent_adds();
    concurrent_series();
    generations();
    killed_owner();
    power_cut();
    damaged();
    in_use();
    foreign();
    refused();
    not_ours();
    locked();
    astray();
    planted();
    controls();
    histograms();
    text();
    long_labels();
    extras();
    overflow();
    nobody();
    hostile();
    no_memory();

    unlink(path);
    unlink(old);
    rmdir(dir);

    return done_testing();
}
