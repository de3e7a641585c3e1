
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * An append log that holds any bytes: recovery keeps each valid line up to
 * the last one, does the same the second time, and the file can be read,
 * appended to and compacted afterwards.
 *
 *     mode (1 byte), bytes; with mode & 1, each line of these that begins with
 *     a brace gets a right check
 */

/* sources: src/runtime/ngx_eb_log_file.c src/runtime/ngx_eb_log_read.c */
/* sources: src/runtime/ngx_eb_log_compact.c */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_log_file.h"


#define TAIL      29
#define MAX_SIZE  (256 * 1024)

#define check(cond)                                                           \
    if (!(cond)) {                                                            \
        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);            \
        abort();                                                              \
    }


int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const u_char *data, size_t size);

static void clean(void);
static size_t prepare(const u_char *data, size_t size, u_char *out);
static size_t load(u_char *out);
static void lines_check(u_char *data, size_t size, size_t max_line);
static ngx_uint_t keep(ngx_eb_log_line_t *line, void *data);


static char    dir[64], path[80], tmp[88];
static u_char  image[MAX_SIZE], copy[MAX_SIZE], after[MAX_SIZE];


static void
clean(void)
{
    (void) unlink(path);
    (void) unlink(tmp);
    (void) rmdir(dir);
}


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    strcpy(dir, "/dev/shm/eb-fuzz-log-XXXXXX");

    if (mkdtemp(dir) == NULL) {
        strcpy(dir, "/tmp/eb-fuzz-log-XXXXXX");
        check(mkdtemp(dir) != NULL);
    }

    (void) snprintf(path, sizeof(path), "%s/log", dir);
    (void) snprintf(tmp, sizeof(tmp), "%s.tmp", path);

    (void) atexit(clean);

    return 0;
}


static size_t
prepare(const u_char *data, size_t size, u_char *out)
{
    u_char                *p;
    const u_char          *nl, *end;
    ngx_uint_t             fix;
    ngx_eb_log_file_t      file;
    ngx_eb_log_record_t    record;

    fix = size && (data[0] & 1);

    if (size) {
        data++;
        size--;
    }

    end = data + size;
    p = out;

    while (data < end) {
        nl = memchr(data, LF, end - data);
        nl = nl ? nl : end;

        p = ngx_cpymem(p, data, nl - data);

        if (fix && nl < end && nl > data + 1 && data[0] == '{') {

            /* by the log itself, and taken from there */

            (void) unlink(path);

            memset(&record, 0, sizeof(record));
            record.payload.data = (u_char *) data;
            record.payload.len = nl - data;

            ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);
            check(ngx_eb_log_file_append(&file, &record) == 0);
            ngx_eb_log_file_close(&file);

            p = ngx_cpymem(p, record.tail, TAIL);

        } else if (nl < end) {
            *p++ = LF;
        }

        data = nl + 1;
    }

    return p - out;
}


static size_t
load(u_char *out)
{
    int      fd;
    ssize_t  n;

    fd = open(path, O_RDONLY);
    check(fd != -1);

    n = read(fd, out, MAX_SIZE);
    check(n >= 0);

    (void) close(fd);

    return n;
}


/* the reader sees what a plain loop sees */

static void
lines_check(u_char *data, size_t size, size_t max_line)
{
    u_char               *p, *nl, *end;
    ngx_eb_log_line_t     line;
    ngx_eb_log_reader_t   r;

    check(ngx_eb_log_reader_open(&r, (u_char *) path, 0, max_line, &shim_log)
          == NGX_OK);

    p = data;
    end = data + size;

    while (p < end && (nl = memchr(p, LF, end - p)) != NULL) {

        check(ngx_eb_log_reader_next(&r, &line) == NGX_OK);
        check(line.offset == p - data);
        check(line.len == (size_t) (nl - p));
        check(line.next == nl + 1 - data);

        if (max_line && line.len >= max_line) {
            check(line.state == NGX_EB_LOG_LONG && line.start == NULL);

        } else {
            check(memcmp(line.start, p, line.len) == 0);
            check(line.state == ngx_eb_log_check(p, nl - p));
        }

        p = nl + 1;
    }

    check(ngx_eb_log_reader_next(&r, &line) == NGX_DONE);

    ngx_eb_log_reader_close(&r);
}


static ngx_uint_t
keep(ngx_eb_log_line_t *line, void *data)
{
    return line->state == NGX_EB_LOG_VALID;
}


int
LLVMFuzzerTestOneInput(const u_char *data, size_t size)
{
    int                      fd;
    u_char                  *p, *nl;
    size_t                   len, left, last, valid;
    ngx_err_t                err;
    ngx_eb_log_file_t        file;
    ngx_eb_log_record_t      record;
    ngx_eb_log_figures_t     f;
    ngx_eb_log_compacted_t   result;

    if (size > MAX_SIZE / 64) {
        return 0;
    }

    len = prepare(data, size, image);

    fd = open(path, O_WRONLY|O_CREAT|O_TRUNC, 0640);
    check(fd != -1);
    check(write(fd, image, len) == (ssize_t) len);
    (void) close(fd);

    lines_check(image, len, 0);
    lines_check(image, len, 40);

    /* where the last valid line ends */

    last = 0;
    valid = 0;

    for (p = image; p < image + len; p = nl + 1) {
        nl = memchr(p, LF, image + len - p);
        if (nl == NULL) {
            break;
        }

        if (ngx_eb_log_check(p, nl - p) == NGX_EB_LOG_VALID) {
            last = nl + 1 - image;
            valid++;
        }
    }

    ngx_eb_log_file_init(&file, (u_char *) path, -1, -1, &shim_log);

    err = ngx_eb_log_file_recover(&file);
    left = load(copy);

    check(left <= len && memcmp(copy, image, left) == 0);
    check(left >= last);
    check(left == 0 || err || copy[left - 1] == LF);

    if (err) {
        check(err == EINVAL && left == len && last == 0);
        ngx_eb_log_file_close(&file);
        return 0;
    }

    check(file.cut == (off_t) (len - left));

    check(ngx_eb_log_file_recover(&file) == 0);
    check(file.cut == 0 && load(after) == left);

    memset(&f, 0, sizeof(f));
    check(ngx_eb_log_file_scan((u_char *) path, &f, &shim_log) == 0);
    check(f.records == valid && f.scanned == (off_t) left);

    memset(&record, 0, sizeof(record));
    record.payload.data = (u_char *) "{\"v\":1";
    record.payload.len = 6;

    check(ngx_eb_log_file_append(&file, &record) == 0);
    check(file.before == (off_t) left);
    check(load(after) == left + 6 + TAIL);
    check(memcmp(after, copy, left) == 0);

    check(ngx_eb_log_file_compact(&file, keep, NULL, &result) == 0);
    check(result.kept == valid + 1);

    memset(&f, 0, sizeof(f));
    check(ngx_eb_log_file_scan((u_char *) path, &f, &shim_log) == 0);
    check(f.records == valid + 1 && f.invalid == 0);

    ngx_eb_log_file_close(&file);

    return 0;
}
