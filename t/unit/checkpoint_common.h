
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What the tests of the checkpoint's file share: a directory with one file,
 * attachments to it, operations by the number of a key, and processes that
 * are killed at any instruction.  The includer says how many of them there
 * are:
 *
 *     PROCS    processes at a time
 *     KILLS    so many are killed
 *     KEYS     what they claim and commit,
 *     BATCH    and so many at once
 */


#ifndef _CHECKPOINT_COMMON_H_INCLUDED_
#define _CHECKPOINT_COMMON_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <dlfcn.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include "shim.h"
#include "ngx_eb_checkpoint.h"


#define SIZE     131072     /* of the file, after each wipe() */
#define WINDOW   93600


typedef struct {
    uint64_t   allowed[KEYS];       /* set before a commit */
    uint64_t   confirmed[KEYS];     /* set after it */
    uint32_t   holder[KEYS];
    uint32_t   doomed[PROCS + KILLS + 1];
    uint64_t   overlaps;
    uint64_t   errors;
    uint64_t   rounds;
    uint64_t   moves;
} shared_t;


typedef void (*chaos_pt)(shared_t *shm, ngx_uint_t i, ngx_uint_t id);


static void setup(const char *name);
static int finished(void);
static ngx_eb_checkpoint_t *attach(void);
static ngx_eb_checkpoint_t *opened(void);
static void detach(ngx_eb_checkpoint_t *cp);
static void wipe(void);
static ngx_uint_t listed(const char *part);
static uint32_t token(ngx_eb_checkpoint_t *cp);
static ngx_eb_store_t *keyed(ngx_eb_checkpoint_t *cp, uint64_t n,
    uint64_t want, ngx_uint_t status);
static ngx_uint_t lookup(ngx_eb_checkpoint_t *cp, uint64_t n, uint64_t want);
static ngx_uint_t claim(ngx_eb_checkpoint_t *cp, uint64_t n, uint64_t want,
    uint32_t t);
static ngx_int_t commit(ngx_eb_checkpoint_t *cp, uint64_t n, uint64_t want,
    uint64_t done, uint32_t t);
static uint64_t rnd(void);
static void *mapped(size_t len);
static pid_t spawn(void);
static ngx_uint_t chaos_kills(shared_t *shm, ngx_uint_t pace, chaos_pt child,
    ngx_eb_checkpoint_t *cp);
static void chaos_kill(shared_t *shm, pid_t pid, ngx_uint_t id);
static ngx_uint_t chaos_left(ngx_eb_checkpoint_t *cp, shared_t *shm,
    ngx_uint_t *wrong, ngx_uint_t *missing);
static void chaos_failed(shared_t *shm, const char *why)
    __attribute__((noreturn));
static ngx_eb_checkpoint_t *chaos_join(shared_t *shm, ngx_uint_t id);
static void chaos_round(ngx_eb_checkpoint_t *cp, shared_t *shm, ngx_uint_t id,
    ngx_uint_t patient);


static char                       dir[256], path[300];
static u_char                     errstr[512];
static uint64_t                   seed = 0x9e3779b97f4a7c15ull;
static ngx_err_t                  err;
static ngx_log_t                  sink;
static ngx_time_t                 clock_now;
static ngx_pool_t                *pools[64];
static ngx_eb_checkpoint_t       *cps[64];
static ngx_eb_store_key_t         k;
static ngx_eb_checkpoint_conf_t   conf;
static ngx_eb_checkpoint_facts_t  facts;


/* what the file system says to be; 0: what it is */

static unsigned long              magic;

/* NFS, SMB, SMB2, CIFS, 9p, FUSE, Ceph, AFS: of linux/magic.h and the like */

static const unsigned long        network_types[] = {
    0x6969, 0x517b, 0xfe534d42, 0xff534d42, 0x01021997, 0x65735546,
    0x00c36400, 0x5346414f, 0
};


int
fstatfs(int fd, struct statfs *buf)
{
    int  rc, (*next)(int, struct statfs *);

    *(void **) &next = dlsym(RTLD_NEXT, "fstatfs");

    rc = next(fd, buf);

    if (rc == 0 && magic) {
        buf->f_type = (__typeof__(buf->f_type)) magic;
    }

    return rc;
}


static void
setup(const char *name)
{
    const char  *tmp;

    clock_now.sec = time(NULL);
    ngx_cached_time = &clock_now;
    sink.log_level = NGX_LOG_WARN;

    tmp = getenv("TMPDIR");

    (void) snprintf(dir, sizeof(dir), "%s/%s.XXXXXX", tmp ? tmp : "/tmp",
                    name);

    if (mkdtemp(dir) == NULL) {
        printf("Bail out! cannot create %s\n", dir);
        exit(1);
    }

    (void) snprintf(path, sizeof(path), "%s/marks", dir);

    ngx_str_set(&conf.name, "test");
    conf.path.data = (u_char *) path;
    conf.path.len = strlen(path);
    conf.size = SIZE;
    conf.window = WINDOW;
    conf.claim_timeout = 30000;
    conf.sync = 1000;
    conf.user = (ngx_uid_t) -1;
    conf.group = (ngx_gid_t) -1;
}


/* the exit code of main() */

static int
finished(void)
{
    wipe();
    (void) rmdir(dir);

    return done_testing();
}


/* with a copy of conf, which may be another one for the next */

static ngx_eb_checkpoint_t *
attach(void)
{
    ngx_uint_t                 i;
    ngx_eb_checkpoint_conf_t  *copy;

    for (i = 0; i < 64; i++) {

        if (cps[i]) {
            continue;
        }

        pools[i] = ngx_create_pool(1024, &sink);
        copy = pools[i] ? ngx_palloc(pools[i], sizeof(conf)) : NULL;

        if (copy == NULL) {
            exit(1);
        }

        *copy = conf;
        errstr[0] = '\0';

        cps[i] = ngx_eb_checkpoint_attach(pools[i], copy, &sink, errstr,
                                          sizeof(errstr), &err);
        if (cps[i] == NULL) {
            ngx_destroy_pool(pools[i]);
        }

        return cps[i];
    }

    return NULL;
}


/* a generation: its configuration is accepted, its worker starts */

static ngx_eb_checkpoint_t *
opened(void)
{
    ngx_eb_checkpoint_t  *cp;

    cp = attach();

    if (cp) {
        ngx_eb_checkpoint_settle(cp, &sink);
    }

    if (cp == NULL || ngx_eb_checkpoint_open(cp, &sink) != NGX_OK) {
        printf("Bail out! cannot open: %s\n", errstr);
        exit(1);
    }

    return cp;
}


/* NULL: all of them */

static void
detach(ngx_eb_checkpoint_t *cp)
{
    ngx_uint_t  i;

    for (i = 0; i < 64; i++) {

        if (cps[i] && (cp == NULL || cps[i] == cp)) {
            cps[i] = NULL;
            ngx_destroy_pool(pools[i]);
        }
    }
}


/* empties the directory */

static void
wipe(void)
{
    DIR            *d;
    char            file[600];
    struct dirent  *de;

    detach(NULL);

    d = opendir(dir);
    if (d == NULL) {
        exit(1);
    }

    while ((de = readdir(d)) != NULL) {

        if (de->d_name[0] != '.') {
            (void) snprintf(file, sizeof(file), "%s/%s", dir, de->d_name);

            if (unlink(file) == -1) {
                (void) rmdir(file);
            }
        }
    }

    (void) closedir(d);

    conf.size = SIZE;
}


static ngx_uint_t
listed(const char *part)
{
    DIR            *d;
    ngx_uint_t      n;
    struct dirent  *de;

    n = 0;
    d = opendir(dir);

    while (d && (de = readdir(d)) != NULL) {
        if (de->d_name[0] != '.' && strstr(de->d_name, part)) {
            n++;
        }
    }

    (void) closedir(d);

    return n;
}


static uint32_t
token(ngx_eb_checkpoint_t *cp)
{
    return ngx_eb_checkpoint_store(cp)->token(ngx_eb_checkpoint_store(cp));
}


/* makes k the key of number n */

static ngx_eb_store_t *
keyed(ngx_eb_checkpoint_t *cp, uint64_t n, uint64_t want, ngx_uint_t status)
{
    ngx_eb_store_t  *s;

    s = ngx_eb_checkpoint_store(cp);

    ngx_memzero(&k, sizeof(ngx_eb_store_key_t));

    s->hash(s, (u_char *) &n, sizeof(uint64_t), &k);

    k.want = want;
    k.status = status;

    return s;
}


/* the status of key n, or 99; what else is known of it is in k */

static ngx_uint_t
lookup(ngx_eb_checkpoint_t *cp, uint64_t n, uint64_t want)
{
    ngx_int_t            rc;
    ngx_eb_store_t      *s;
    ngx_eb_store_key_t   keys[2];

    s = keyed(cp, n, want, NGX_EB_KEY_NEW);

    keys[0] = k;
    keys[0].want = 0;
    keys[0].status = NGX_EB_KEY_SKIP;
    keys[1] = k;

    rc = s->lookup(s, keys, 2);
    k = keys[1];

    if (rc != NGX_OK) {
        return 99;
    }

    return (keys[0].status == NGX_EB_KEY_SKIP) ? k.status : 98;
}


static ngx_uint_t
claim(ngx_eb_checkpoint_t *cp, uint64_t n, uint64_t want, uint32_t t)
{
    ngx_eb_store_t  *s;

    s = keyed(cp, n, want, NGX_EB_KEY_NEW);

    return (s->claim(s, t, &k, 1, NULL, NULL) == NGX_OK) ? k.status : 99;
}


static ngx_int_t
commit(ngx_eb_checkpoint_t *cp, uint64_t n, uint64_t want, uint64_t done,
    uint32_t t)
{
    ngx_int_t        rc;
    ngx_eb_store_t  *s;

    s = keyed(cp, n, want, NGX_EB_KEY_CLAIMED);

    k.done = done;
    k.final = 1;

    rc = s->commit(s, t, &k, 1, NULL, NULL);

    if (rc != NGX_OK) {
        printf("# commit failed\n");
    }

    return rc;
}


static uint64_t
rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;

    return seed;
}


/* memory that processes share */

static void *
mapped(size_t len)
{
    void  *p;

    p = mmap(NULL, len, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1,
             0);

    if (p == MAP_FAILED) {
        exit(1);
    }

    return p;
}


static pid_t
spawn(void)
{
    pid_t  pid;

    (void) fflush(stdout);

    pid = fork();

    /* kill(-1) would be everybody's end */

    if (pid == -1) {
        printf("Bail out! cannot fork\n");
        exit(1);
    }

    return pid;
}


/*
 * Keeps the processes running, and kills one after another when all of them
 * together have got on by up to pace rounds.  Returns how many it has killed:
 * less than KILLS if nobody gets on, that is, a lock is stuck.
 */

static ngx_uint_t
chaos_kills(shared_t *shm, ngx_uint_t pace, chaos_pt child,
    ngx_eb_checkpoint_t *cp)
{
    pid_t       pid[PROCS];
    uint64_t    rounds;
    ngx_uint_t  i, j, n, id[PROCS], next, spins;

    ngx_memzero(pid, sizeof(pid));
    next = 1;

    for (n = 0; n < KILLS; n++) {

        for (i = 0; i < PROCS; i++) {

            if (pid[i]) {
                continue;
            }

            id[i] = next++;
            pid[i] = spawn();

            if (pid[i] == 0) {
                seed ^= id[i] * 0x9e3779b97f4a7c15ull;

                for (j = 0; j < 20; j++) {
                    (void) rnd();
                }

                child(shm, i, id[i]);
                _exit(1);
            }
        }

        rounds = __atomic_load_n(&shm->rounds, __ATOMIC_RELAXED)
                 + rnd() % pace;

        for (spins = 0;
             __atomic_load_n(&shm->rounds, __ATOMIC_RELAXED) <= rounds
             && spins <= 20000;
             spins++)
        {
            (void) usleep(rnd() % 1000);

            if (cp) {
                (void) ngx_eb_checkpoint_tick(cp);
            }
        }

        if (spins > 20000) {
            break;
        }

        i = rnd() % PROCS;

        chaos_kill(shm, pid[i], id[i]);
        pid[i] = 0;
    }

    for (i = 0; i < PROCS; i++) {
        if (pid[i]) {
            chaos_kill(shm, pid[i], id[i]);
        }
    }

    return n;
}


static void
chaos_kill(shared_t *shm, pid_t pid, ngx_uint_t id)
{
    __atomic_store_n(&shm->doomed[id], 1, __ATOMIC_SEQ_CST);

    (void) kill(pid, SIGKILL);
    (void) waitpid(pid, NULL, 0);
}


/*
 * When all are dead: keys that have bits that nobody has committed, keys
 * without bits that were, and as the result those that cannot be claimed.
 */

static ngx_uint_t
chaos_left(ngx_eb_checkpoint_t *cp, shared_t *shm, ngx_uint_t *wrong,
    ngx_uint_t *missing)
{
    uint32_t    t;
    ngx_uint_t  i, held;

    t = token(cp);
    *wrong = 0;
    *missing = 0;
    held = 0;

    for (i = 0; i < KEYS; i++) {

        if (claim(cp, i, ~0ull, t) != NGX_EB_KEY_CLAIMED) {
            held++;
            continue;
        }

        if (k.done & ~shm->allowed[i]) {
            (*wrong)++;
        }

        if (shm->confirmed[i] & ~k.done) {
            (*missing)++;
        }
    }

    return held;
}


static void
chaos_failed(shared_t *shm, const char *why)
{
    (void) __sync_fetch_and_add(&shm->errors, 1);

    printf("# %s\n", why);
    (void) fflush(stdout);

    _exit(1);
}


/* some of the processes as another generation */

static ngx_eb_checkpoint_t *
chaos_join(shared_t *shm, ngx_uint_t id)
{
    ngx_eb_checkpoint_t  *cp;

    cp = (id % 3) ? cps[0] : attach();

    if (cp == NULL || ngx_eb_checkpoint_open(cp, &sink) != NGX_OK) {
        chaos_failed(shm, (char *) errstr);
    }

    return cp;
}


/*
 * Claims and commits.  What is about to be committed is noted before, what
 * has been committed afterwards.
 */

static void
chaos_round(ngx_eb_checkpoint_t *cp, shared_t *shm, ngx_uint_t id,
    ngx_uint_t patient)
{
    uint32_t             t, none;
    uint64_t             bits[BATCH], n[BATCH];
    ngx_uint_t           i, j;
    ngx_eb_store_t      *s;
    ngx_eb_store_key_t   keys[BATCH];

    s = ngx_eb_checkpoint_store(cp);
    t = s->token(s);

    for (i = 0; i < BATCH; i++) {

again:

        n[i] = rnd() % KEYS;

        for (j = 0; j < i; j++) {
            if (n[j] == n[i]) {
                goto again;
            }
        }

        ngx_memzero(&keys[i], sizeof(ngx_eb_store_key_t));
        s->hash(s, (u_char *) &n[i], sizeof(uint64_t), &keys[i]);
        keys[i].want = ~0ull;
        keys[i].status = NGX_EB_KEY_NEW;
    }

    while (s->claim(s, t, keys, BATCH, NULL, NULL) != NGX_OK) {

        /* the lock of a file may be on its way to another process */

        if (!patient) {
            chaos_failed(shm, "a claim failed");
        }

        for (i = 0; i < BATCH; i++) {
            keys[i].status = NGX_EB_KEY_NEW;
            keys[i].final = 0;
        }

        (void) sched_yield();
    }

    for (i = 0; i < BATCH; i++) {

        bits[i] = (rnd() % 3) ? 1ull << (rnd() % 63) : 0;

        if (keys[i].status != NGX_EB_KEY_CLAIMED) {
            continue;
        }

        none = __atomic_exchange_n(&shm->holder[n[i]], (uint32_t) id,
                                   __ATOMIC_SEQ_CST);

        if (none != 0 && !__atomic_load_n(&shm->doomed[none],
                                          __ATOMIC_SEQ_CST))
        {
            (void) __sync_fetch_and_add(&shm->overlaps, 1);
        }

        (void) __sync_fetch_and_or(&shm->allowed[n[i]], bits[i]);

        keys[i].done = bits[i];
        keys[i].final = 1;
    }

    for (i = 0; i < BATCH; i++) {

        if (keys[i].status == NGX_EB_KEY_CLAIMED) {
            none = (uint32_t) id;
            (void) __atomic_compare_exchange_n(&shm->holder[n[i]], &none, 0,
                       0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
        }
    }

    if (s->commit(s, t, keys, BATCH, NULL, NULL) != NGX_OK) {
        chaos_failed(shm, "a commit failed");
    }

    for (i = 0; i < BATCH; i++) {

        if (keys[i].status == NGX_EB_KEY_SKIP) {
            (void) __sync_fetch_and_or(&shm->confirmed[n[i]], bits[i]);
        }
    }

    (void) __sync_fetch_and_add(&shm->rounds, 1);
}


#endif /* _CHECKPOINT_COMMON_H_INCLUDED_ */
