
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * A checkpoint's file with damage of any kind, and operations on it: an
 * attachment may fail, but nothing may crash, and a mark that was just
 * committed is there.
 *
 *     flags, offset (2 bytes), length (2 bytes), that many bytes laid over a
 *     good file; then operations of 3 bytes each
 */

/* sources: src/checkpoint/ngx_eb_checkpoint.c src/checkpoint/ngx_eb_checkpoint_file.c src/checkpoint/ngx_eb_checkpoint_disk.c src/checkpoint/ngx_eb_checkpoint_next.c src/checkpoint/ngx_eb_checkpoint_move.c src/checkpoint/ngx_eb_table.c */
/* libs: -lpthread */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_checkpoint.h"

#define XXH_INLINE_ALL
#include <xxhash.h>


#define SIZE        65536
#define CHECK       504         /* of the header's checksum */
#define WINDOW      1000

#define FIX         0x01        /* make the checksum right again */
#define REFUSE      0x02        /* on_corrupt=refuse */
#define REJECT      0x04        /* full=reject */
#define CUT         0x08        /* the file ends where the overlay does */
#define DRY         0x10        /* -t first */
#define TWICE       0x20        /* a second generation */


int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const u_char *data, size_t size);

static void clean(void);
static void finish(void);
static void store(const u_char *bytes, size_t len);
static void operate(ngx_eb_checkpoint_t *cp, const u_char *op);


static char                       dir[256], path[300];
static u_char                     image[SIZE], good[SIZE], errstr[256];
static ngx_log_t                  quiet;
static ngx_time_t                 clock_now;
static ngx_eb_checkpoint_conf_t   conf;


/* removes all files of the directory */

static void
clean(void)
{
    DIR            *d;
    char            file[600];
    struct dirent  *de;

    d = opendir(dir);

    while (d && (de = readdir(d)) != NULL) {
        if (de->d_name[0] != '.') {
            (void) snprintf(file, sizeof(file), "%s/%s", dir, de->d_name);
            (void) unlink(file);
        }
    }

    if (d) {
        (void) closedir(d);
    }
}


static void
finish(void)
{
    clean();
    (void) rmdir(dir);
}


static void
store(const u_char *bytes, size_t len)
{
    int  fd;

    fd = open(path, O_RDWR|O_CREAT|O_TRUNC, 0600);

    if (fd == -1 || write(fd, bytes, len) != (ssize_t) len) {
        abort();
    }

    (void) close(fd);
}


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    int                   fd;
    ngx_pool_t           *pool;
    const char           *tmp;
    ngx_eb_checkpoint_t  *cp;

    clock_now.sec = 1800000000;
    ngx_cached_time = &clock_now;

    tmp = getenv("TMPDIR");

    if (tmp == NULL) {
        tmp = (access("/dev/shm", W_OK) == 0) ? "/dev/shm" : "/tmp";
    }

    (void) snprintf(dir, sizeof(dir), "%s/checkpoint.XXXXXX", tmp);

    if (mkdtemp(dir) == NULL) {
        abort();
    }

    (void) atexit(finish);

    (void) snprintf(path, sizeof(path), "%s/marks", dir);

    ngx_str_set(&conf.name, "fuzz");
    conf.path.data = (u_char *) path;
    conf.path.len = strlen(path);
    conf.size = SIZE;
    conf.window = WINDOW;
    conf.claim_timeout = 30000;
    conf.sync = 1;
    conf.user = (ngx_uid_t) -1;
    conf.group = (ngx_gid_t) -1;

    pool = ngx_create_pool(1024, &quiet);
    if (pool == NULL) {
        abort();
    }

    cp = ngx_eb_checkpoint_attach(pool, &conf, &quiet, errstr,
                                  sizeof(errstr), NULL);
    if (cp == NULL) {
        abort();
    }

    ngx_destroy_pool(pool);

    fd = open(path, O_RDONLY);

    if (fd == -1 || read(fd, good, SIZE) != SIZE) {
        abort();
    }

    (void) close(fd);
    clean();

    return 0;
}


int
LLVMFuzzerTestOneInput(const u_char *data, size_t size)
{
    u_char                     flags;
    size_t                     off, len;
    uint64_t                   sum;
    ngx_err_t                  err;
    ngx_uint_t                 i;
    ngx_pool_t                *pool[2];
    ngx_eb_checkpoint_t       *cp[2];

    if (size < 5) {
        return 0;
    }

    flags = data[0];
    off = data[1] | (size_t) data[2] << 8;
    len = data[3] | (size_t) data[4] << 8;

    data += 5;
    size -= 5;

    len = ngx_min(len, size);
    len = ngx_min(len, SIZE - off);

    ngx_memcpy(image, good, SIZE);
    ngx_memcpy(image + off, data, len);

    data += len;
    size -= len;

    if (flags & FIX) {
        sum = XXH3_64bits(image, CHECK);
        ngx_memcpy(image + CHECK, &sum, sizeof(uint64_t));
    }

    store(image, (flags & CUT) ? off + len : SIZE);

    clock_now.sec = 1800000000;
    conf.corrupt_refuse = (flags & REFUSE) != 0;
    conf.full_reject = (flags & REJECT) != 0;

    if (flags & DRY) {
        (void) ngx_eb_checkpoint_test(&conf, errstr, sizeof(errstr), &err);
    }

    for (i = 0; i < 2; i++) {

        pool[i] = NULL;
        cp[i] = NULL;

        if (i == 1 && !(flags & TWICE)) {
            break;
        }

        pool[i] = ngx_create_pool(1024, &quiet);
        if (pool[i] == NULL) {
            abort();
        }

        cp[i] = ngx_eb_checkpoint_attach(pool[i], &conf, &quiet, errstr,
                                         sizeof(errstr), &err);

        if (cp[i] && ngx_eb_checkpoint_open(cp[i], &quiet) != NGX_OK) {
            abort();
        }
    }

    for (i = 0; size >= 3; data += 3, size -= 3) {

        i = (data[0] & 0x80) && cp[1];

        if (cp[i] == NULL) {
            break;
        }

        operate(cp[i], data);
    }

    for (i = 0; i < 2; i++) {
        if (pool[i]) {
            ngx_destroy_pool(pool[i]);
        }
    }

    clean();

    return 0;
}


static void
operate(ngx_eb_checkpoint_t *cp, const u_char *op)
{
    uint32_t                    token;
    ngx_str_t                   uri;
    ngx_uint_t                  i;
    ngx_eb_store_t             *s;
    ngx_eb_store_key_t          keys[4];
    ngx_eb_checkpoint_facts_t   facts;

    s = ngx_eb_checkpoint_store(cp);

    switch (op[0] & 7) {

    case 0:
        clock_now.sec += (int8_t) op[1] * (op[2] + 1);
        break;

    case 1:
        uri.data = (u_char *) op;
        uri.len = 3;
        (void) ngx_eb_checkpoint_destination(cp, &uri, &quiet);
        ngx_eb_checkpoint_renew(cp, (uint64_t) op[1] << (op[2] & 31));
        break;

    case 2:
        ngx_eb_checkpoint_facts(cp, &facts);
        (void) ngx_eb_checkpoint_flush_due(cp);
        ngx_eb_checkpoint_heartbeat(cp);
        break;

    default:
        token = s->token(s);

        for (i = 0; i < 4; i++) {
            ngx_memzero(&keys[i], sizeof(ngx_eb_store_key_t));
            s->hash(s, (u_char *) op + 1, 1 + (i & 1), &keys[i]);
            keys[i].want = op[2] | 1;
            keys[i].status = (i < 2) ? NGX_EB_KEY_NEW : NGX_EB_KEY_SKIP;
        }

        if (s->claim(s, token, keys, 4, NULL, NULL) != NGX_OK) {
            break;
        }

        for (i = 0; i < 2; i++) {

            if (keys[i].status != NGX_EB_KEY_CLAIMED) {
                continue;
            }

            if ((keys[i].want & ~keys[i].done) == 0) {
                abort();
            }

            keys[i].done = (op[0] & 8) ? keys[i].want : op[0] >> 5;
            keys[i].final = (op[0] >> 4) & 1;
        }

        if (s->commit(s, token, keys, 4, NULL, NULL) != NGX_OK) {
            abort();
        }

        for (i = 0; i < 2; i++) {

            if (keys[i].status == NGX_EB_KEY_SKIP && (op[0] & 8)) {

                /* it was claimed, so it had room, and it is in the window */

                keys[i].status = NGX_EB_KEY_NEW;

                if (s->claim(s, s->token(s), &keys[i], 1, NULL, NULL)
                    != NGX_OK
                    || keys[i].status != NGX_EB_KEY_DUPLICATE)
                {
                    abort();
                }
            }
        }

        break;
    }
}
