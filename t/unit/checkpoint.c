
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The checkpoint's file: creation, attachment, damage, owners that die, the
 * registry, and processes that are killed at any instruction.
 */

/* sources: src/checkpoint/ngx_eb_checkpoint.c src/checkpoint/ngx_eb_checkpoint_file.c src/checkpoint/ngx_eb_checkpoint_disk.c src/checkpoint/ngx_eb_checkpoint_next.c src/checkpoint/ngx_eb_checkpoint_move.c src/checkpoint/ngx_eb_table.c */
/* libs: -lpthread -ldl */


#include <ngx_config.h>
#include <ngx_core.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/mount.h>

#define XXH_INLINE_ALL
#include <xxhash.h>


#define LOCKS    8192       /* offset of the locks in a file of SIZE */
#define TAGS     12288      /* of the tags */
#define TABLE    16384      /* of the entries */

#define PROCS    4
#define KILLS    240
#define KEYS     600
#define BATCH    20

#include "checkpoint_common.h"


static void network(void);
static void put(off_t off, const void *data, size_t len);
static void creation(void);
static void configurations(void);
static void dry_run(void);
static void generations(void);
static void dead_owner(void);
static void stopped_owner(void);
static void locks(void);
static void moved(void);
static void slots(void);
static void tokens(void);
static void registry(void);
static void flushing(void);
static void layout(void);
static void damage(void);
static void bad_tags(void);
static void in_use(void);
static void race(void);
static void no_room(void);
static void chaos(void);
static void chaos_child(shared_t *shm, ngx_uint_t i, ngx_uint_t id);


static void
network(void)
{
    size_t                i;
    ngx_eb_checkpoint_t  *cp;

    for (i = 0; network_types[i]; i++) {

        magic = network_types[i];
        ok(attach() == NULL && strstr((char *) errstr, "network file system"),
           "rule 26: %s", errstr);

        magic = 0;
        cp = attach();
        ok(cp != NULL, "rule 26: a file of this host");

        magic = network_types[i];
        ok(ngx_eb_checkpoint_test(&conf, errstr, sizeof(errstr), &err)
           == NGX_ERROR && strstr((char *) errstr, "network file system"),
           "rule 26: -t: %s", errstr);

        magic = 0;

        if (cp) {
            detach(cp);
        }

        wipe();
    }
}


static void
put(off_t off, const void *data, size_t len)
{
    int  fd;

    fd = open(path, O_RDWR|O_CREAT, 0600);

    if (fd == -1 || pwrite(fd, data, len, off) != (ssize_t) len) {
        printf("Bail out! cannot write %s\n", path);
        exit(1);
    }

    (void) close(fd);
}


static void
creation(void)
{
    uint32_t              t;
    struct stat           st;
    ngx_eb_checkpoint_t  *cp;

    wipe();

    cp = attach();
    ok(cp != NULL, "created");

    if (cp == NULL) {
        printf("Bail out! %s\n", errstr);
        exit(1);
    }

    ok(stat(path, &st) == 0 && st.st_size == SIZE
       && (st.st_mode & 07777) == 0600, "size and mode");
    ok(st.st_blocks * 512 >= SIZE, "with all its blocks");
    ok(listed("") == 1, "nothing else is left");
    ok(claim(cp, 1, 1, 0) == 99, "no claim without an owner slot");
    ok(lookup(cp, 1, 1) == 99, "nor a look");
    ok(!ngx_eb_checkpoint_usable(cp), "not usable");

    ok(ngx_eb_checkpoint_open(cp, &sink) == NGX_OK
       && ngx_eb_checkpoint_open(cp, &sink) == NGX_OK, "opened, twice");
    ok(ngx_eb_checkpoint_usable(cp), "usable");
    ok(ngx_eb_checkpoint_claim_timeout(cp) == 30000, "claim timeout");

    t = token(cp);
    ok(claim(cp, 1, 1, t) == NGX_EB_KEY_CLAIMED, "claimed");
    (void) commit(cp, 1, 1, 1, t);
    (void) claim(cp, 2, 1, t);

    ok(lookup(cp, 1, 1) == NGX_EB_KEY_DUPLICATE
       && lookup(cp, 2, 1) == NGX_EB_KEY_BUSY
       && lookup(cp, 3, 1) == NGX_EB_KEY_NEW, "looked up");
    ok(claim(cp, 3, 1, t) == NGX_EB_KEY_CLAIMED, "and not claimed by that");
    (void) commit(cp, 3, 1, 0, t);

    ngx_eb_checkpoint_facts(cp, &facts);
    ok(facts.used == 2 && facts.claimed == 1 && facts.slots > 3000
       && facts.effective == WINDOW && !facts.corrupt_reset, "facts");

    detach(cp);

    cp = opened();
    t = token(cp);
    ok(claim(cp, 1, 1, t) == NGX_EB_KEY_DUPLICATE, "the mark outlives us");
    ok(claim(cp, 2, 1, t) == NGX_EB_KEY_CLAIMED, "the claim does not");
    detach(cp);

    conf.size = 2 * SIZE;
    cp = attach();
    ok(cp && stat(path, &st) == 0 && st.st_size == SIZE,
       "another size: the file keeps its own until that is accepted");
    detach(cp);

    wipe();
    conf.size = 65537;
    cp = attach();
    ok(cp && stat(path, &st) == 0 && st.st_size == 69632,
       "sizes are whole pages");
    conf.size = SIZE;

    wipe();
    put(0, "", 0);
    cp = attach();
    ok(cp && stat(path, &st) == 0 && st.st_size == SIZE,
       "an empty file is a new one");
    ngx_eb_checkpoint_facts(cp, &facts);
    ok(!facts.corrupt_reset, "not a damaged one");

    wipe();
    (void) snprintf((char *) errstr, sizeof(errstr), "%s.new", path);
    (void) close(open((char *) errstr, O_RDWR|O_CREAT, 0600));
    cp = attach();
    ok(cp && listed("") == 1, "a relic of a dead creator is removed");

    wipe();
    conf.size = 2 * 1024 * 1024;
    cp = opened();
    ngx_eb_checkpoint_facts(cp, &facts);
    ok(facts.slots > 60000, "a larger one");
    conf.size = SIZE;
    wipe();
}


static void
configurations(void)
{
    char                       file[300];
    ngx_str_t                  saved;
    ngx_eb_checkpoint_conf_t   c;

    c = conf;

    conf.size = 65535;
    ok(attach() == NULL && strstr((char *) errstr, "64k"),
       "too small: %s", errstr);
    conf.size = (size_t) 1 << 50;
    ok(attach() == NULL && strstr((char *) errstr, "too large"), "%s",
       errstr);
    conf = c;

    saved = conf.path;
    (void) snprintf(file, sizeof(file), "%s/no/such", dir);
    conf.path.data = (u_char *) file;
    conf.path.len = strlen(file);
    ok(attach() == NULL && err == ENOENT, "no directory: %s", errstr);
    ok(ngx_eb_checkpoint_test(&conf, errstr, sizeof(errstr), &err)
       == NGX_ERROR && err == ENOENT, "-t: %s", errstr);

    conf.path.len = 5000;
    ok(attach() == NULL && err == ENAMETOOLONG, "long path: %s", errstr);
    conf.path = saved;

    if (mkdir(path, 0700) != 0) {
        exit(1);
    }

    ok(attach() == NULL, "a directory: %s", errstr);
    wipe();

    if (mkfifo(path, 0600) != 0) {
        exit(1);
    }

    ok(attach() == NULL && strstr((char *) errstr, "not a file"),
       "a FIFO: %s", errstr);
    ok(ngx_eb_checkpoint_test(&conf, errstr, sizeof(errstr), &err)
       == NGX_ERROR, "-t: %s", errstr);
    wipe();

    if (symlink("target", path) != 0) {
        exit(1);
    }

    ok(attach() == NULL && err == ELOOP, "a symbolic link: %s", errstr);
    ok(ngx_eb_checkpoint_test(&conf, errstr, sizeof(errstr), &err)
       == NGX_ERROR && err == ELOOP, "-t: %s", errstr);
    wipe();

    network();

    put(0, "hello, I am a letter", 20);
    ok(attach() == NULL && strstr((char *) errstr, "not a checkpoint"),
       "a foreign file: %s", errstr);
    ok(ngx_eb_checkpoint_test(&conf, errstr, sizeof(errstr), &err)
       == NGX_ERROR, "-t: %s", errstr);
    ok(listed("") == 1, "it was left alone");
    ok(ngx_eb_checkpoint_test(&conf, errstr, 8, &err) == NGX_ERROR
       && strlen((char *) errstr) == 7, "a short reason: %s", errstr);
    wipe();
}


static void
dry_run(void)
{
    int          fd;
    u_char      *a, *b;
    struct stat  st, now;

    ok(ngx_eb_checkpoint_test(&conf, errstr, sizeof(errstr), &err) == NGX_OK
       && listed("") == 0, "-t: nothing is created");

    detach(attach());

    a = malloc(SIZE);
    b = malloc(SIZE);
    fd = open(path, O_RDONLY|O_NOATIME);

    if (a == NULL || b == NULL || fd == -1 || stat(path, &st) != 0
        || pread(fd, a, SIZE, 0) != SIZE)
    {
        exit(1);
    }

    ok(ngx_eb_checkpoint_test(&conf, errstr, sizeof(errstr), &err) == NGX_OK
       && stat(path, &now) == 0 && pread(fd, b, SIZE, 0) == SIZE,
       "-t: a good file");
    ok(st.st_ino == now.st_ino
       && st.st_mtim.tv_sec == now.st_mtim.tv_sec
       && st.st_mtim.tv_nsec == now.st_mtim.tv_nsec
       && st.st_ctim.tv_nsec == now.st_ctim.tv_nsec, "same inode and times");
    ok(memcmp(a, b, SIZE) == 0, "same bytes");
    ok(flock(fd, LOCK_EX|LOCK_NB) == 0
       && ngx_eb_checkpoint_test(&conf, errstr, sizeof(errstr), &err)
          == NGX_OK, "-t: locks nothing");

    (void) close(fd);

    put(40, "x", 1);
    (void) stat(path, &st);
    ok(ngx_eb_checkpoint_test(&conf, errstr, sizeof(errstr), &err) == NGX_OK,
       "-t: a damaged file will be set aside");
    conf.corrupt_refuse = 1;
    ok(ngx_eb_checkpoint_test(&conf, errstr, sizeof(errstr), &err)
       == NGX_ERROR, "-t: or refused: %s", errstr);
    conf.corrupt_refuse = 0;
    ok(stat(path, &now) == 0 && st.st_mtim.tv_nsec == now.st_mtim.tv_nsec
       && listed("") == 1, "and stays until then");

    wipe();
    conf.size = (size_t) 1 << 45;
    ok(ngx_eb_checkpoint_test(&conf, errstr, sizeof(errstr), &err)
       == NGX_ERROR && err == ENOSPC, "-t: no room: %s", errstr);
    conf.size = SIZE;

    free(a);
    free(b);
}


static void
generations(void)
{
    uint32_t              ta, tb;
    ngx_eb_checkpoint_t  *a, *b;

    wipe();

    a = opened();
    ta = token(a);
    ok(claim(a, 1, 3, ta) == NGX_EB_KEY_CLAIMED, "old generation claims");

    b = opened();
    tb = token(b);
    ok(claim(b, 1, 3, tb) == NGX_EB_KEY_BUSY, "the new one sees it");
    (void) commit(a, 1, 3, 1, ta);
    ok(claim(b, 1, 1, tb) == NGX_EB_KEY_DUPLICATE, "and its marks");

    ok(claim(a, 2, 1, ta) == NGX_EB_KEY_CLAIMED, "another one");
    ngx_eb_checkpoint_close(a);
    ok(claim(b, 2, 1, tb) == NGX_EB_KEY_CLAIMED,
       "claims of who left are free at once");
    ok(claim(a, 3, 1, ta) == 99, "who left cannot claim");

    detach(a);
    ok(claim(b, 3, 1, tb) == NGX_EB_KEY_CLAIMED, "the new one stays");
    a = opened();
    ta = token(a);
    ok(claim(a, 3, 1, ta) == NGX_EB_KEY_BUSY,
       "a later attachment ends nobody's claims");
    wipe();
}


static void
dead_owner(void)
{
    int                   fds[2];
    char                  c;
    pid_t                 pid;
    uint32_t              t;
    ngx_eb_checkpoint_t  *cp;

    wipe();
    cp = attach();

    if (pipe(fds) != 0) {
        exit(1);
    }

    pid = spawn();

    if (pid == 0) {
        (void) ngx_eb_checkpoint_open(cp, &sink);
        t = token(cp);
        c = (char) ('0' + claim(cp, 1, 1, t));
        (void) !write(fds[1], &c, 1);
        (void) pause();
        _exit(0);
    }

    (void) !read(fds[0], &c, 1);
    ok(c == '0' + NGX_EB_KEY_CLAIMED, "a child claims");

    (void) ngx_eb_checkpoint_open(cp, &sink);
    t = token(cp);
    ok(claim(cp, 1, 1, t) == NGX_EB_KEY_BUSY, "busy while it lives");

    (void) kill(pid, SIGKILL);
    (void) waitpid(pid, NULL, 0);

    ok(claim(cp, 1, 1, t) == NGX_EB_KEY_CLAIMED, "free when it was killed");

    ngx_eb_checkpoint_facts(cp, &facts);
    ok(facts.recovered == 1, "and counted");

    (void) close(fds[0]);
    (void) close(fds[1]);
    wipe();
}


static void
stopped_owner(void)
{
    int                   fds[2], status;
    char                  c;
    pid_t                 pid;
    uint32_t              t;
    ngx_uint_t            i, rc;
    ngx_eb_checkpoint_t  *cp;

    wipe();
    conf.claim_timeout = 100;
    cp = attach();

    if (pipe(fds) != 0) {
        exit(1);
    }

    pid = spawn();

    if (pid == 0) {
        (void) ngx_eb_checkpoint_open(cp, &sink);
        t = token(cp);
        c = (char) ('0' + claim(cp, 1, 3, t));
        (void) !write(fds[1], &c, 1);
        (void) raise(SIGSTOP);
        (void) commit(cp, 1, 3, 1, t);
        (void) !write(fds[1], &c, 1);
        (void) pause();
        _exit(0);
    }

    (void) !read(fds[0], &c, 1);
    (void) waitpid(pid, &status, WUNTRACED);
    ok(WIFSTOPPED(status), "a stopped owner");

    (void) ngx_eb_checkpoint_open(cp, &sink);
    t = token(cp);

    rc = NGX_EB_KEY_BUSY;

    for (i = 0; i < 5000 && rc == NGX_EB_KEY_BUSY; i++) {
        rc = claim(cp, 1, 3, t);
        ngx_msleep(1);
    }

    ok(rc == NGX_EB_KEY_CLAIMED && i > 10,
       "its claims run out after the timeout, %d ms", (int) i);

    (void) kill(pid, SIGCONT);
    (void) !read(fds[0], &c, 1);

    ok(claim(cp, 1, 1, t) == NGX_EB_KEY_CLAIMED && k.done == 1,
       "and its late commit counts");
    (void) commit(cp, 1, 3, 2, t);
    ok(claim(cp, 1, 3, t) == NGX_EB_KEY_DUPLICATE, "beside ours");

    (void) kill(pid, SIGKILL);
    (void) waitpid(pid, NULL, 0);
    (void) close(fds[0]);
    (void) close(fds[1]);
    conf.claim_timeout = 30000;
    wipe();
}


static void
locks(void)
{
    int                   fd, rc;
    pid_t                 pid;
    u_char               *p, junk[4096];
    uint32_t              t;
    uint64_t              n;
    ngx_uint_t            i;
    ngx_eb_store_t       *s;
    pthread_mutex_t      *lock;
    ngx_eb_store_key_t    keys[40];
    ngx_eb_checkpoint_t  *cp;

    wipe();
    cp = opened();
    s = ngx_eb_checkpoint_store(cp);
    t = s->token(s);

    fd = open(path, O_RDWR);
    p = mmap(NULL, SIZE, PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0);

    if (p == MAP_FAILED) {
        exit(1);
    }

    (void) close(fd);

    pid = spawn();

    if (pid == 0) {
        (void) pthread_mutex_lock((pthread_mutex_t *) (p + LOCKS));
        (void) pthread_mutex_lock((pthread_mutex_t *) (p + LOCKS + 64));
        _exit(0);
    }

    (void) waitpid(pid, NULL, 0);

    for (i = 0; i < 40; i++) {
        n = i;
        ngx_memzero(&keys[i], sizeof(ngx_eb_store_key_t));
        s->hash(s, (u_char *) &n, sizeof(uint64_t), &keys[i]);
        keys[i].want = 1;
        keys[i].status = NGX_EB_KEY_NEW;
    }

    ok(s->claim(s, t, keys, 40, NULL, NULL) == NGX_OK,
       "locks of the dead are recovered");
    ngx_eb_checkpoint_facts(cp, &facts);
    ok(facts.recovered == 2 && facts.claimed == 40, "all of them");

    for (i = 0; i < 40; i++) {
        keys[i].done = i % 2;
        keys[i].final = 1;
    }

    ok(s->commit(s, t, keys, 40, NULL, NULL) == NGX_OK
       && keys[39].status == NGX_EB_KEY_SKIP, "and commits go on");

    /* one of them is lost for good */

    pid = spawn();

    if (pid == 0) {
        (void) pthread_mutex_lock((pthread_mutex_t *) (p + LOCKS));
        _exit(0);
    }

    (void) waitpid(pid, NULL, 0);

    lock = (pthread_mutex_t *) (p + LOCKS);
    rc = pthread_mutex_lock(lock);
    (void) pthread_mutex_unlock(lock);
    ok(rc == EOWNERDEAD && pthread_mutex_lock(lock) == ENOTRECOVERABLE,
       "a lock that nobody can have");

    for (i = 0; i < 40; i++) {
        keys[i].want = 2;
        keys[i].status = NGX_EB_KEY_NEW;
        keys[i].final = 0;
    }

    ok(s->claim(s, t, keys, 40, NULL, NULL) == NGX_ERROR, "is an error");
    ngx_eb_checkpoint_facts(cp, &facts);
    ok(facts.claimed == 0 && facts.used == 20, "and nothing is claimed");

    detach(cp);

    /* nobody has it: what is in the locks does not matter */

    ngx_memset(junk, 0xff, sizeof(junk));
    put(LOCKS, junk, 4096);
    put(4096, junk, 4096);
    put(768, junk, 40);

    cp = opened();
    s = ngx_eb_checkpoint_store(cp);
    t = s->token(s);

    for (i = 0; i < 40; i++) {
        keys[i].want = 1;
        keys[i].status = NGX_EB_KEY_NEW;
        keys[i].final = 0;
    }

    ok(s->claim(s, t, keys, 40, NULL, NULL) == NGX_OK
       && keys[38].status == NGX_EB_KEY_CLAIMED
       && keys[39].status == NGX_EB_KEY_DUPLICATE,
       "the first one makes all locks anew");

    (void) munmap(p, SIZE);
    wipe();
}


static void
moved(void)
{
    uint32_t              t;
    uint64_t              one;
    ngx_str_t             uri;
    ngx_eb_checkpoint_t  *cp;

    one = 1;

    cp = opened();
    t = token(cp);
    put(512, &one, 8);

    ok(!ngx_eb_checkpoint_usable(cp), "moved: not usable");
    ok(claim(cp, 1, 1, t) == 99, "claims fail");

    ngx_str_set(&uri, "/a");
    ok(ngx_eb_checkpoint_destination(cp, &uri, &sink) == -1,
       "destinations, too");
    ok(attach() == NULL, "shared: %s", errstr);
    detach(cp);
    cp = attach();
    ok(cp && listed("") == 1, "exclusive: the name counts");
    wipe();
}


static void
slots(void)
{
    ngx_int_t             rc;
    ngx_uint_t            i;
    ngx_eb_checkpoint_t  *cp;

    for (i = 0; i < 32; i++) {
        (void) opened();
    }

    cp = attach();
    ok(cp && ngx_eb_checkpoint_open(cp, &sink) == NGX_ERROR,
       "no owner slot is left");
    ok(!ngx_eb_checkpoint_usable(cp) && claim(cp, 1, 1, 1) == 99,
       "claims then fail");

    ngx_eb_checkpoint_close(cps[7]);
    rc = ngx_eb_checkpoint_open(cp, &sink);
    ok(rc == NGX_OK && ngx_eb_checkpoint_usable(cp), "one was given back");
    wipe();
}


static void
tokens(void)
{
    uint32_t              first, last, t;
    ngx_uint_t            i, bad;
    ngx_eb_store_t       *s;
    ngx_eb_checkpoint_t  *a, *b;

    a = opened();
    b = opened();

    s = ngx_eb_checkpoint_store(a);
    t = token(b);

    bad = 0;
    first = s->token(s);
    last = first;
    (void) claim(a, 1, 1, first);

    ok(claim(b, 1, 1, t) == NGX_EB_KEY_BUSY, "the first token is alive");

    for (i = 0; i < 3 * 1024 * 1024; i++) {

        t = s->token(s);

        if (t != ((last + 1) & 0xfffff)) {
            bad++;
        }

        last = t;

        if (i % 100000 == 0) {
            (void) claim(a, i + 10, 1, t);

            if (claim(b, i + 10, 1, 0) != NGX_EB_KEY_BUSY) {
                bad++;
            }
        }
    }

    ok(bad == 0, "tokens go round, and the newest is alive");

    /* a claim with a token that was not issued is nobody's */

    t = (last + 5) & 0xfffff;
    (void) claim(a, 2, 1, t);
    t = token(b);
    ok(claim(b, 2, 1, t) == NGX_EB_KEY_CLAIMED,
       "a token that was not issued is not alive");
    wipe();
}


static void
registry(void)
{
    u_char                uri[32];
    uint32_t              t;
    ngx_int_t             bit;
    ngx_str_t             s;
    ngx_uint_t            i, bad;
    ngx_eb_checkpoint_t  *cp, *other;

    cp = opened();
    other = attach();
    s.data = uri;
    bad = 0;

    for (i = 0; i < 64; i++) {
        s.len = ngx_sprintf(uri, "/destination/%ui", i) - uri;

        bit = ngx_eb_checkpoint_destination(cp, &s, &sink);

        if (bit != (ngx_int_t) i
            || ngx_eb_checkpoint_destination(other, &s, &sink) != bit)
        {
            bad++;
        }
    }

    ok(bad == 0, "64 destinations, the same for all");

    ngx_str_set(&s, "/more");
    ok(ngx_eb_checkpoint_destination(cp, &s, &sink) == -1, "no room for 65");

    ngx_eb_checkpoint_facts(cp, &facts);
    ok(facts.destinations == 64, "all are live");

    t = token(cp);

    clock_now.sec += WINDOW / 2;
    (void) claim(cp, 1, ~0ull, t);
    (void) commit(cp, 1, ~0ull, ~0ull, t);
    ngx_eb_checkpoint_renew(cp, ~(1ull << 17));

    clock_now.sec += WINDOW / 2;
    ok(ngx_eb_checkpoint_destination(cp, &s, &sink) == -1,
       "a whole window must pass");

    clock_now.sec += 1;
    ok(ngx_eb_checkpoint_destination(cp, &s, &sink) == 17,
       "the one that nobody named for a window is used anew");
    ok(claim(cp, 1, ~0ull, t) == NGX_EB_KEY_CLAIMED
       && k.done == ~(1ull << 17), "its bit is in no mark any more");
    (void) commit(cp, 1, ~0ull, 0, t);

    ngx_str_set(&s, "/destination/17");
    ok(ngx_eb_checkpoint_destination(cp, &s, &sink) == -1, "the old one is "
       "a new one");
    ngx_str_set(&s, "/destination/63");
    ok(ngx_eb_checkpoint_destination(cp, &s, &sink) == 63, "others stay");

    detach(NULL);

    /* a damaged identity keeps its bit for a window */

    put(2048 + 32 * 5, "xxxxxxxx", 8);
    cp = attach();
    ngx_str_set(&s, "/destination/5");
    ok(cp && ngx_eb_checkpoint_destination(cp, &s, &sink) == -1,
       "a damaged identity is not found");
    clock_now.sec += 2 * WINDOW;
    ngx_eb_checkpoint_renew(cp, ~(1ull << 5));
    ok(ngx_eb_checkpoint_destination(cp, &s, &sink) == 5,
       "and used anew after a window");

    /* a clock that was ahead */

    clock_now.sec += 100 * WINDOW;
    ngx_eb_checkpoint_renew(cp, ~0ull);
    clock_now.sec -= 100 * WINDOW;
    ngx_str_set(&s, "/again");
    ok(ngx_eb_checkpoint_destination(cp, &s, &sink) == -1, "the future");
    clock_now.sec += WINDOW + 1;
    ok(ngx_eb_checkpoint_destination(cp, &s, &sink) != -1,
       "does not hold a bit for ever");

    clock_now.sec = time(NULL);
    wipe();
}


static void
flushing(void)
{
    ngx_uint_t            i, won;
    ngx_eb_checkpoint_t  *a, *b;

    conf.sync = 60000;
    a = attach();
    b = attach();
    won = 0;

    for (i = 0; i < 100; i++) {
        won += ngx_eb_checkpoint_flush_due(a);
        won += ngx_eb_checkpoint_flush_due(b);
    }

    ok(won == 1, "one flush in an interval");
    ok(ngx_eb_checkpoint_flush(b) == 0, "flushed");
    ngx_eb_checkpoint_flushed(b, 0, 7);
    ngx_eb_checkpoint_flushed(b, EIO, 9);
    ngx_eb_checkpoint_facts(a, &facts);
    ok(facts.syncs == 1 && facts.sync_errors == 1 && facts.sync_last == 7,
       "and counted");

    conf.sync = 1;
    a = attach();
    won = 0;

    for (i = 0; i < 2000 && won < 3; i++) {
        won += ngx_eb_checkpoint_flush_due(a);
        ngx_msleep(1);
    }

    ok(won == 3, "and again in the next");

    conf.sync = 0;
    a = attach();
    ok(!ngx_eb_checkpoint_flush_due(a), "sync=off: never");
    conf.sync = 1000;
    wipe();
}


static void
damage(void)
{
    int                   fd;
    char                  was[1000];
    u_char                head[4096], byte;
    uint32_t              t, version;
    uint64_t              sum;
    ngx_uint_t            i, n, bad, resets, refused;
    ngx_eb_checkpoint_t  *cp;

    /* cut */

    bad = 0;

    for (n = 1; n < SIZE; n += (n < 520) ? 7 : 3001) {

        wipe();
        detach(attach());

        if (truncate(path, (off_t) n) != 0) {
            exit(1);
        }

        conf.corrupt_refuse = 1;

        if (attach() != NULL || listed("") != 1) {
            bad++;
        }

        conf.corrupt_refuse = 0;
        cp = attach();

        if (cp == NULL || listed(".corrupt-") != 1 || listed("") != 2) {
            bad++;
            printf("# cut to %d: %s\n", (int) n, errstr);
            continue;
        }

        ngx_eb_checkpoint_facts(cp, &facts);

        if (!facts.corrupt_reset) {
            bad++;
        }
    }

    ok(bad == 0, "a file cut anywhere is refused or set aside");

    /* longer than it says */

    wipe();
    detach(attach());

    if (truncate(path, SIZE + 4096) != 0) {
        exit(1);
    }

    cp = attach();
    ok(cp && listed(".corrupt-") == 1, "a longer one is set aside");
    (void) snprintf(was, sizeof(was), "\"%s\" is damaged and was renamed "
                    "to \"%s.corrupt-%ld\"", path, path,
                    (long) clock_now.sec);
    ok(strstr((char *) shim_log_line, was) != NULL,
       "the log names both files");
    ngx_eb_checkpoint_facts(cp, &facts);
    ok(facts.corrupt_reset && facts.used == 0, "reset");
    detach(cp);
    cp = attach();
    ngx_eb_checkpoint_facts(cp, &facts);
    ok(facts.corrupt_reset && listed(".corrupt-") == 1,
       "still told after a restart");
    clock_now.sec += WINDOW + 1;
    ngx_eb_checkpoint_facts(cp, &facts);
    ok(!facts.corrupt_reset, "until a window has passed");
    clock_now.sec = time(NULL);

    /* a flipped bit in each byte of the header */

    wipe();
    detach(attach());
    fd = open(path, O_RDONLY);

    if (fd == -1 || pread(fd, head, sizeof(head), 0) != sizeof(head)) {
        exit(1);
    }

    (void) close(fd);

    bad = 0;
    resets = 0;
    refused = 0;

    for (i = 0; i < sizeof(head); i += (i < 512) ? 1 : 13) {

        wipe();
        detach(attach());
        put(0, head, sizeof(head));
        byte = head[i] ^ (1 << (rnd() % 8));
        put((off_t) i, &byte, 1);

        conf.corrupt_refuse = 1;

        if (attach() != NULL && i < 512) {
            bad++;
            printf("# byte %d passes\n", (int) i);
        }

        detach(NULL);
        put(0, head, sizeof(head));
        put((off_t) i, &byte, 1);

        conf.corrupt_refuse = 0;
        cp = attach();

        if (cp == NULL) {
            refused++;
            continue;
        }

        resets += listed(".corrupt-");

        if (ngx_eb_checkpoint_open(cp, &sink) != NGX_OK) {
            bad++;
            continue;
        }

        t = token(cp);

        if (claim(cp, i, 1, t) != NGX_EB_KEY_CLAIMED) {
            bad++;
        }

        (void) commit(cp, i, 1, 1, t);

        if (claim(cp, i, 1, t) != NGX_EB_KEY_DUPLICATE) {
            bad++;
        }

        ngx_eb_checkpoint_facts(cp, &facts);
        (void) ngx_eb_checkpoint_destination(cp, &conf.name, &sink);
        (void) ngx_eb_checkpoint_flush_due(cp);
    }

    ok(bad == 0 && resets + refused >= 512,
       "a flipped bit in the header: %d resets, %d refused", (int) resets,
       (int) refused);

    /* newer */

    wipe();
    detach(attach());
    version = 3;
    put(8, &version, 4);
    ok(attach() == NULL && strstr((char *) errstr, "newer"), "%s", errstr);
    ok(listed("") == 1, "it is left alone");
    ok(ngx_eb_checkpoint_test(&conf, errstr, sizeof(errstr), &err)
       == NGX_ERROR, "-t: %s", errstr);

    /* older */

    wipe();
    version = 1;
    ngx_memcpy(head + 8, &version, 4);
    sum = XXH3_64bits(head, 504);
    ngx_memcpy(head + 504, &sum, 8);
    put(0, head, sizeof(head));

    conf.corrupt_refuse = 1;
    ok(attach() == NULL && strstr((char *) errstr, "older")
       && listed("") == 1, "%s", errstr);
    conf.corrupt_refuse = 0;
    cp = attach();
    ok(cp && listed(".corrupt-") == 1, "or set aside");
    wipe();
}


/* all parts are in the file, side by side, whatever its size is */

static void
layout(void)
{
    int          fd;
    u_char       head[512];
    uint32_t     regions, width;
    uint64_t     buckets, tags, table;
    ngx_uint_t   i, bad;

    bad = 0;

    for (i = 0; i < 400; i++) {

        wipe();
        conf.size = 65536 + 4096 * ((i < 64) ? i : i * 5 + rnd() % 5);
        detach(attach());

        fd = open(path, O_RDONLY);

        if (fd == -1 || pread(fd, head, sizeof(head), 0) != sizeof(head)) {
            exit(1);
        }

        (void) close(fd);

        ngx_memcpy(&regions, head + 24, 4);
        ngx_memcpy(&width, head + 28, 4);
        ngx_memcpy(&tags, head + 56, 8);
        ngx_memcpy(&table, head + 64, 8);

        buckets = (uint64_t) regions * width;

        if (tags % 4096 || table % 4096
            || tags + buckets * 16 > table
            || table + buckets * 512 > conf.size
            || tags + (buckets + regions) * 528 + 8192 < conf.size)
        {
            bad++;
            printf("# %d bytes: %d buckets, tags at %d, entries at %d\n",
                   (int) conf.size, (int) buckets, (int) tags, (int) table);
        }
    }

    ok(bad == 0, "tags and entries have their room, and little is left");
    conf.size = SIZE;
    wipe();
}


/* whatever is in the tags: marks may be missing, but none is wrong */

static void
bad_tags(void)
{
    u_char                junk[TABLE - TAGS];
    uint32_t              t;
    ngx_uint_t            i, n, wrong, found, round;
    ngx_eb_checkpoint_t  *cp;

    wrong = 0;
    found = 0;

    for (round = 0; round < 60; round++) {

        wipe();
        cp = opened();
        t = token(cp);

        for (i = 0; i < 2000; i++) {
            (void) claim(cp, i, 7, t);
            (void) commit(cp, i, 7, i % 8, t);
        }

        detach(cp);

        switch (round % 3) {

        case 0:
            ngx_memset(junk, (int) (round / 3 * 13), sizeof(junk));
            put(TAGS, junk, sizeof(junk));
            break;

        case 1:
            for (i = 0; i < sizeof(junk); i++) {
                junk[i] = (u_char) rnd();
            }

            put(TAGS, junk, sizeof(junk));
            break;

        default:

            /* a sector of another place, or of before */

            n = rnd() % 8;
            ngx_memzero(junk, sizeof(junk));
            put((off_t) (TAGS + n * 512), junk, 512);
            break;
        }

        cp = opened();
        t = token(cp);

        for (i = 0; i < 2000; i++) {

            n = claim(cp, i, 8, t);

            if ((n != NGX_EB_KEY_CLAIMED && n != NGX_EB_KEY_FULL)
                || (k.done & ~(uint64_t) (i % 8)))
            {
                wrong++;
            }

            if (k.done) {
                found++;
            }

            if (n == NGX_EB_KEY_CLAIMED) {
                (void) commit(cp, i, 8, 8, t);

                if (claim(cp, i, 8, t) != NGX_EB_KEY_DUPLICATE) {
                    wrong++;
                }
            }
        }
    }

    ok(wrong == 0 && found > 1000, "damaged tags: no mark is wrong, %d are "
       "found", (int) found);
    wipe();
}


static void
in_use(void)
{
    int                   fd;
    ngx_eb_checkpoint_t  *cp;

    detach(attach());

    fd = open(path, O_RDWR);

    if (fd == -1 || flock(fd, LOCK_SH) != 0) {
        exit(1);
    }

    cp = attach();
    ok(cp != NULL, "shared");
    detach(cp);

    put(520, "another-host", 12);
    ok(attach() == NULL && strstr((char *) errstr, "another host"), "%s",
       errstr);

    put(100, "damage", 6);
    ok(attach() == NULL && strstr((char *) errstr, "in use"), "%s", errstr);
    ok(listed("") == 1, "nothing was touched");

    (void) close(fd);

    cp = attach();
    ok(cp && listed(".corrupt-") == 1, "and when nobody uses it: reset");
    detach(cp);
    put(520, "another-host", 12);
    cp = attach();
    ok(cp != NULL, "a host that is gone does not matter");
    wipe();
}


/* many that come at once for a file that is not there */

static void
race(void)
{
    pid_t                 pid[8];
    uint32_t             *shm, t;
    ngx_uint_t            i, round, bad;
    ngx_eb_checkpoint_t  *cp;

    shm = mapped(4096);
    bad = 0;

    for (round = 0; round < 40; round++) {

        wipe();
        ngx_memzero(shm, 4096);

        if (round % 4 == 1) {
            put(0, "", 0);

        } else if (round % 4 == 2) {
            detach(attach());
            put(40, "damage", 6);

        } else if (round % 4 == 3) {
            detach(attach());
        }

        for (i = 0; i < 8; i++) {

            pid[i] = spawn();

            if (pid[i] == 0) {
                sink.log_level = 0;
                cp = attach();

                if (cp && ngx_eb_checkpoint_open(cp, &sink) == NGX_OK) {
                    t = token(cp);
                    (void) __sync_fetch_and_add(&shm[claim(cp, 1, 1, t)], 1);

                } else {
                    printf("# %s\n", errstr);
                    (void) __sync_fetch_and_add(&shm[100], 1);
                }

                (void) __sync_fetch_and_add(&shm[101], 1);

                while (__atomic_load_n(&shm[101], __ATOMIC_RELAXED) < 8) {
                    (void) sched_yield();
                }

                _exit(0);
            }
        }

        for (i = 0; i < 8; i++) {
            (void) waitpid(pid[i], NULL, 0);
        }

        if (shm[NGX_EB_KEY_CLAIMED] != 1 || shm[NGX_EB_KEY_BUSY] != 7
            || shm[100] || listed(".new") || listed(".corrupt-") > 1)
        {
            bad++;
            printf("# round %d: %d claimed, %d busy, %d failed\n",
                   (int) round, (int) shm[NGX_EB_KEY_CLAIMED],
                   (int) shm[NGX_EB_KEY_BUSY], (int) shm[100]);
        }
    }

    ok(bad == 0, "of those that come at once one claims, all share a file");

    (void) munmap(shm, 4096);
    wipe();
}


static void
no_room(void)
{
    wipe();

    if (mount("none", dir, "tmpfs", 0, "size=256k") != 0) {
        ok(1, "ENOSPC # SKIP cannot mount a tmpfs");
        return;
    }

    conf.size = 512 * 1024;
    ok(attach() == NULL && err == ENOSPC, "%s", errstr);
    ok(listed("") == 0, "nothing is left of it");
    ok(ngx_eb_checkpoint_test(&conf, errstr, sizeof(errstr), &err)
       == NGX_ERROR && err == ENOSPC, "-t: %s", errstr);
    conf.size = SIZE;
    ok(attach() != NULL, "a smaller one has room");
    wipe();

    (void) umount(dir);
}


/*
 * Processes that claim and commit are killed at any instruction.  What they
 * are about to commit is noted before, what they have committed afterwards:
 * the marks must be between the two, but for at most one mark a kill, which
 * may have been half written.
 */

static void
chaos(void)
{
    shared_t             *shm;
    ngx_uint_t            n, wrong, missing, held;
    ngx_eb_checkpoint_t  *cp;

    wipe();
    cp = attach();
    shm = mapped(sizeof(shared_t));

    n = chaos_kills(shm, 200, chaos_child, NULL);

    ok(n == KILLS, "%d kills, %d rounds, no lock is stuck", (int) n,
       (int) shm->rounds);
    ok(shm->errors == 0, "no operation failed");
    ok(shm->overlaps == 0, "no claim was held by two");

    (void) ngx_eb_checkpoint_open(cp, &sink);
    held = chaos_left(cp, shm, &wrong, &missing);
    ngx_eb_checkpoint_facts(cp, &facts);

    ok(held == 0, "claims of the dead are free at once");
    ok(wrong == 0, "no bit that was not committed");
    ok(missing <= KILLS + PROCS && facts.evictions == 0,
       "%d marks are missing, %d locks were recovered", (int) missing,
       (int) facts.recovered);
    ok(facts.recovered >= 200, "the dead were seen");

    (void) munmap(shm, sizeof(shared_t));
    wipe();
}


static void
chaos_child(shared_t *shm, ngx_uint_t i, ngx_uint_t id)
{
    ngx_eb_checkpoint_t  *cp;

    cp = chaos_join(shm, id);

    for ( ;; ) {
        chaos_round(cp, shm, id, 0);
    }
}


int
main(void)
{
    setup("checkpoint");

    creation();
    configurations();
    dry_run();
    generations();
    dead_owner();
    stopped_owner();
    locks();
    moved();
    slots();
    tokens();
    registry();
    flushing();
    layout();
    damage();
    bad_tags();
    in_use();
    race();
    no_room();
    chaos();

    return finished();
}
