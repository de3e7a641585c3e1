
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The checkpoint's file is replaced: by one of another size, or of a later
 * format, while it is in use, by processes that die at any store, and on a
 * disk that loses power.
 */

/* libs: -lpthread -ldl */


#include <ngx_config.h>
#include <ngx_core.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/resource.h>


/* the sources as the next version's, which may stop after each store */

static void step(void);
static int fake_fdatasync(int fd);

#define NGX_EB_STEP()                  step()
#define NGX_EB_CHECKPOINT_PATIENCE     200
#define NGX_EB_CHECKPOINT_VERSION      3
#define fdatasync                      fake_fdatasync

#include "../../src/checkpoint/ngx_eb_table.c"
#include "../../src/checkpoint/ngx_eb_checkpoint_disk.c"
#include "../../src/checkpoint/ngx_eb_checkpoint_file.c"
#include "../../src/checkpoint/ngx_eb_checkpoint_next.c"
#include "../../src/checkpoint/ngx_eb_checkpoint_move.c"
#include "../../src/checkpoint/ngx_eb_checkpoint.c"


#define SMALL    65536
#define MEDIUM   SIZE
#define LARGE    262144

#define STEPS    36         /* keys of the tests that stop */
#define SECTOR   512
#define CUT      48         /* keys of a power cut */
#define IMAGES   6

#define STOPPED  77

#define PROCS    5          /* a master, and workers */
#define KILLS    200
#define KEYS     500
#define BATCH    16

#include "checkpoint_common.h"


static ngx_uint_t deliver(ngx_eb_checkpoint_t *cp, uint64_t n, uint64_t want,
    uint64_t done);
static void drain(ngx_eb_checkpoint_t *cp);
static void flush(ngx_eb_checkpoint_t *cp);
static off_t length(const char *suffix);
static void set_version(uint32_t version);
static void under_way(size_t from, size_t to);
static void claims(void);
static void shrink(void);
static void crowded(void);
static void unchanged(void);
static void again(void);
static void late(void);
static void cannot_follow(void);
static void in_the_way(void);
static void lost(void);
static void scarce(void);
static void taken(void);
static void take(void);
static void halt(void);
static void halted(void);
static void ends_of_passes(void);
static void passes(void);
static void crowd(void);
static void both_synced(void);
static void names(void);
static void versions(void);
static void clocks(void);
static void networks(void);
static void op_child(shared_t *shm);
static void stops_of_operations(void);
static void move_child(shared_t *shm);
static void stops_of_moves(void);
static ngx_uint_t compare(ngx_eb_checkpoint_t *cp, shared_t *shm,
    ngx_uint_t n, ngx_uint_t *missing);
static u_char *snapshot(const char *suffix, size_t *len);
static void restore(const char *suffix, u_char **images, ngx_uint_t n,
    size_t len);
static void power_cut(void);
static void power_cut_full(void);
static void chaos(void);
static void chaos_child(shared_t *shm, ngx_uint_t i, ngx_uint_t id);
static void chaos_master(shared_t *shm);


static long        step_at = -1, steps;
static ino_t       synced[64];
static ngx_uint_t  nsynced;
static void      (*step_hook)(void);


/* the death of a process, which may hold any lock */

static void
step(void)
{
    if (steps++ == step_at) {
        _exit(STOPPED);
    }

    if (step_hook) {
        step_hook();
    }
}


static int
fake_fdatasync(int fd)
{
#undef fdatasync

    struct stat  st;

    if (fstat(fd, &st) == 0 && nsynced < 64) {
        synced[nsynced++] = st.st_ino;
    }

    return fdatasync(fd);
}


static ngx_uint_t
deliver(ngx_eb_checkpoint_t *cp, uint64_t n, uint64_t want, uint64_t done)
{
    uint32_t    t;
    ngx_uint_t  status;

    t = token(cp);
    status = claim(cp, n, want, t);

    if (status == NGX_EB_KEY_CLAIMED) {
        (void) commit(cp, n, want, done, t);
    }

    return status;
}


/* until all has moved, or a pass has left something */

static void
drain(ngx_eb_checkpoint_t *cp)
{
    ngx_uint_t  i;

    for (i = 0; i < 10000; i++) {
        if (ngx_eb_checkpoint_tick(cp) != NGX_AGAIN) {
            break;
        }
    }
}


static void
flush(ngx_eb_checkpoint_t *cp)
{
    cp->header->sync_started = 0;

    if (ngx_eb_checkpoint_flush_due(cp)) {
        ngx_eb_checkpoint_flushed(cp, ngx_eb_checkpoint_flush(cp), 1);
    }
}


static off_t
length(const char *suffix)
{
    char         file[600];
    struct stat  st;

    (void) snprintf(file, sizeof(file), "%s%s", path, suffix);

    return (stat(file, &st) == 0) ? st.st_size : -1;
}


static void
set_version(uint32_t version)
{
    int                           fd;
    ngx_eb_checkpoint_constant_t  c;

    fd = open(path, O_RDWR);

    if (fd == -1 || pread(fd, &c, sizeof(c), 0) != sizeof(c)) {
        exit(1);
    }

    c.version = version;
    c.check = XXH3_64bits(&c, offsetof(ngx_eb_checkpoint_constant_t, check));

    if (pwrite(fd, &c, sizeof(c), 0) != sizeof(c)) {
        exit(1);
    }

    (void) close(fd);
}


/* marks and claims of two generations while one file replaces the other */

static void
under_way(size_t from, size_t to)
{
    uint32_t              ta, tb;
    uint64_t              n;
    ngx_str_t             uri;
    ngx_int_t             bit[3];
    ngx_uint_t            bad;
    const char           *way;
    ngx_eb_checkpoint_t  *a, *b;

    way = (from < to) ? "up" : "down";

    wipe();
    conf.size = from;
    a = opened();

    ngx_str_set(&uri, "/a");
    bit[0] = ngx_eb_checkpoint_destination(a, &uri, &sink);
    ngx_str_set(&uri, "/b");
    bit[1] = ngx_eb_checkpoint_destination(a, &uri, &sink);

    for (n = 0; n < 300; n++) {
        (void) deliver(a, n, 3, (n % 3 == 0) ? 1 : 3);
    }

    ta = token(a);

    for (n = 300; n < 310; n++) {
        (void) claim(a, n, 3, ta);
    }

    conf.size = to;
    b = attach();
    ok(b && length("") == (off_t) from, "rule 25: %s: not before the "
       "configuration is accepted", way);

    ngx_eb_checkpoint_settle(b, &sink);
    ok(length("") == (off_t) to && length(".prev") == (off_t) from
       && listed("") == 2, "rule 25: %s: a new file is in place", way);

    ok(ngx_eb_checkpoint_open(b, &sink) == NGX_OK
       && ngx_eb_checkpoint_usable(b) && ngx_eb_checkpoint_usable(a),
       "rule 25: %s: old and new workers can use it", way);

    ngx_str_set(&uri, "/b");
    bit[2] = ngx_eb_checkpoint_destination(b, &uri, &sink);
    ok(bit[0] == 0 && bit[1] == 1 && bit[2] == 1
       && ngx_eb_checkpoint_destination(a, &uri, &sink) == 1,
       "rule 5: %s: destinations keep their bits", way);
    ngx_str_set(&uri, "/c");
    ok(ngx_eb_checkpoint_destination(a, &uri, &sink) == 2
       && ngx_eb_checkpoint_destination(b, &uri, &sink) == 2,
       "rule 5: %s: and a new one has one for both", way);

    tb = token(b);
    bad = 0;

    for (n = 0; n < 150; n++) {

        if (lookup((n & 1) ? a : b, n, 3)
            != ((n % 3 == 0) ? NGX_EB_KEY_NEW : NGX_EB_KEY_DUPLICATE))
        {
            bad++;
        }

        if (claim((n & 1) ? a : b, n, 3, (n & 1) ? ta : tb)
            != ((n % 3 == 0) ? NGX_EB_KEY_CLAIMED : NGX_EB_KEY_DUPLICATE))
        {
            bad++;
        }

        if (k.done != ((n % 3 == 0) ? 1 : 3)) {
            bad++;
        }
    }

    for (n = 0; n < 150; n += 3) {

        /* the other one sees who has it now */

        if (claim((n & 1) ? b : a, n, 3, (n & 1) ? tb : ta)
            != NGX_EB_KEY_BUSY)
        {
            bad++;
        }

        (void) commit((n & 1) ? a : b, n, 3, 2, (n & 1) ? ta : tb);

        if (claim((n & 1) ? b : a, n, 3, (n & 1) ? tb : ta)
            != NGX_EB_KEY_DUPLICATE)
        {
            bad++;
        }
    }

    ok(bad == 0, "rule 25: %s: marks move on first touch", way);

    bad = 0;

    for (n = 300; n < 310; n++) {
        bad += (claim(b, n, 3, tb) != NGX_EB_KEY_BUSY);
        bad += (lookup(b, n, 3) != NGX_EB_KEY_BUSY);
        bad += (claim(a, n, 3, ta) != NGX_EB_KEY_CLAIMED);
        bad += (claim(a, n, 3, token(a)) != NGX_EB_KEY_BUSY);
    }

    ok(bad == 0, "rule 6: %s: claims of a living delivery hold", way);

    drain(b);
    drain(a);
    ok(b->header->drained == NGX_EB_CHECKPOINT_MOVING && b->prev && a->prev,
       "rule 6: %s: the old file stays as long as there is one", way);

    ngx_eb_checkpoint_facts(b, &facts);
    ok(facts.moving, "facts: %s: moving", way);

    for (n = 300; n < 310; n++) {
        (void) commit(a, n, 3, (n & 1) ? 3 : 1, ta);
    }

    bad = 0;

    for (n = 300; n < 310; n++) {
        bad += (claim(b, n, 3, tb)
                != ((n & 1) ? NGX_EB_KEY_DUPLICATE : NGX_EB_KEY_CLAIMED));
        bad += (k.done != ((n & 1) ? 3 : 1));
        (void) commit(b, n, 3, 0, tb);
    }

    ok(bad == 0, "rule 6: %s: and are settled where they were made", way);

    b->header->resume = 0;
    drain(a);
    ok(b->header->drained == NGX_EB_CHECKPOINT_DRAINED && length(".prev") > 0,
       "rule 25: %s: the rest moves in the background", way);

    flush(b);
    drain(a);
    drain(b);
    ok(listed("") == 1 && a->prev == NULL && b->prev == NULL,
       "rule 25: %s: the old file goes when the new one is on the disk", way);

    bad = 0;

    for (n = 0; n < 300; n++) {
        bad += (claim((n & 1) ? b : a, n, 1, 0) != NGX_EB_KEY_DUPLICATE);
        bad += (claim((n & 1) ? a : b, n, 1, 0) != NGX_EB_KEY_DUPLICATE);
        bad += (k.done != ((n % 3 == 0 && n >= 150) ? 1 : 3));
    }

    ok(bad == 0, "rule 25: %s: all marks are there", way);

    ngx_eb_checkpoint_facts(a, &facts);
    ok(facts.used == 310 && facts.claimed == 0 && facts.evictions == 0
       && !facts.moving && facts.destinations == 3, "facts: %s", way);

    detach(NULL);
    a = opened();
    bad = 0;

    for (n = 0; n < 300; n++) {
        bad += (claim(a, n, 1, 0) != NGX_EB_KEY_DUPLICATE);
    }

    ok(bad == 0 && a->header->drained == NGX_EB_CHECKPOINT_FINISHED,
       "rule 25: %s: and after a restart", way);
}


/* owners and tokens of a worker that goes over with deliveries in flight */

static void
claims(void)
{
    pid_t                 pid;
    uint32_t              ta, tb, t;
    uint64_t              n;
    ngx_uint_t            bad;
    ngx_eb_checkpoint_t  *a, *b, *c;

    wipe();
    a = opened();

    for (n = 0; n < 1000; n++) {
        (void) token(a);
    }

    ta = token(a);
    (void) claim(a, 1, 3, ta);

    conf.size = LARGE;
    b = opened();
    tb = token(b);

    bad = 0;
    bad += (claim(b, 1, 3, tb) != NGX_EB_KEY_BUSY);

    /* a delivery that began in the old file claims in the new one */

    bad += (claim(a, 2, 3, ta) != NGX_EB_KEY_CLAIMED);
    bad += (claim(b, 2, 3, tb) != NGX_EB_KEY_BUSY);

    t = token(a);
    bad += (t != ta + 1);
    bad += (claim(a, 2, 3, t) != NGX_EB_KEY_BUSY);
    bad += (claim(a, 3, 3, t) != NGX_EB_KEY_CLAIMED);
    bad += (claim(b, 3, 3, tb) != NGX_EB_KEY_BUSY);

    (void) commit(a, 2, 3, 3, ta);
    (void) commit(a, 3, 3, 0, t);
    bad += (claim(b, 2, 3, tb) != NGX_EB_KEY_DUPLICATE);
    bad += (claim(b, 3, 3, tb) != NGX_EB_KEY_CLAIMED);
    (void) commit(a, 3, 3, 2, ta);
    bad += (claim(a, 3, 3, ta) != NGX_EB_KEY_BUSY || k.done != 2);
    (void) commit(b, 3, 3, 0, tb);
    (void) commit(a, 1, 3, 0, ta);
    bad += (claim(b, 1, 3, tb) != NGX_EB_KEY_CLAIMED);
    (void) commit(b, 1, 3, 3, tb);

    ok(bad == 0, "rule 6: owner and token go on in the new file");

    drain(b);
    flush(b);
    drain(b);

    /* and once more, with a token of the first file */

    (void) claim(a, 4, 3, ta);
    conf.size = SMALL;
    c = opened();
    bad = 0;
    bad += (claim(c, 4, 3, token(c)) != NGX_EB_KEY_BUSY);
    bad += (claim(a, 4, 3, ta) != NGX_EB_KEY_CLAIMED);
    (void) commit(a, 4, 3, 3, ta);
    bad += (claim(c, 4, 3, token(c)) != NGX_EB_KEY_DUPLICATE);
    ok(bad == 0, "rule 6: over two files");
    wipe();

    /* an owner that dies: its claims in the old file are free at once */

    a = attach();
    pid = spawn();

    if (pid == 0) {
        (void) ngx_eb_checkpoint_open(a, &sink);
        t = token(a);
        (void) claim(a, 1, 3, t);
        (void) claim(a, 2, 3, t);
        (void) commit(a, 2, 3, 1, token(a));
        (void) raise(SIGSTOP);
        _exit(0);
    }

    (void) waitpid(pid, NULL, WUNTRACED);
    conf.size = LARGE;
    b = opened();
    bad = 0;
    bad += (claim(b, 1, 3, token(b)) != NGX_EB_KEY_BUSY);
    (void) kill(pid, SIGKILL);
    (void) waitpid(pid, NULL, 0);
    bad += (claim(b, 1, 3, token(b)) != NGX_EB_KEY_CLAIMED || k.done != 0);
    bad += (claim(b, 2, 3, token(b)) != NGX_EB_KEY_CLAIMED || k.done != 1);
    ok(bad == 0, "rule 6: claims of the dead do not hold the move up");
    drain(b);
    ok(b->header->drained == NGX_EB_CHECKPOINT_DRAINED, "rule 6: which ends");
    wipe();
}


/* the oldest go, partly delivered ones do not */

static void
shrink(void)
{
    uint64_t              n;
    ngx_uint_t            partial, old, new;
    ngx_eb_checkpoint_t  *a;

    wipe();
    conf.size = LARGE;
    a = opened();

    for (n = 0; n < 4000; n++) {
        clock_now.sec++;
        (void) deliver(a, n, 3, (n % 40 == 0) ? 1 : 3);
    }

    detach(NULL);
    conf.size = SMALL;
    a = opened();
    drain(a);
    ok(a->header->drained == NGX_EB_CHECKPOINT_DRAINED,
       "rule 25: shrunk to less than there is");

    partial = 0;
    old = 0;
    new = 0;

    for (n = 0; n < 4000; n++) {

        if (lookup(a, n, 1) != NGX_EB_KEY_DUPLICATE) {
            continue;
        }

        if (n % 40 == 0) {
            partial++;

        } else if (n < 1500) {
            old++;

        } else if (n >= 3000) {
            new++;
        }
    }

    ok(partial == 100, "rule 8: all partly delivered ones are there");
    ok(new > 950 && old < 50, "rule 25: %d of the newest, %d of the oldest",
       (int) new, (int) old);

    ngx_eb_checkpoint_facts(a, &facts);
    ok(facts.evictions > 2000 && facts.effective < WINDOW,
       "rule 8: and that shows");

    clock_now.sec = time(NULL);
    wipe();
}


/* more that must be kept than there is room for */

static void
crowded(void)
{
    uint64_t              n;
    ngx_uint_t            bad;
    ngx_eb_checkpoint_t  *a;

    wipe();
    conf.size = LARGE;
    a = opened();

    for (n = 0; n < 3000; n++) {
        (void) deliver(a, n, 3, 1);
    }

    conf.size = SMALL;
    (void) opened();
    drain(a);
    ok(a->header->drained == NGX_EB_CHECKPOINT_MOVING
       && strstr((char *) shim_log_line, "have no room"),
       "rule 25: no room for what must stay: %s", shim_log_line);

    bad = 0;

    for (n = 0; n < 3000; n++) {
        bad += (claim(a, n, 1, 1) != NGX_EB_KEY_DUPLICATE || k.done != 1);
        bad += (lookup(a, n, 1) != NGX_EB_KEY_DUPLICATE);
    }

    ok(bad == 0, "rule 8: all are known nevertheless");

    bad = 0;

    for (n = 0; n < 3000; n++) {

        switch (claim(a, n, 3, token(a))) {

        case NGX_EB_KEY_CLAIMED:
            (void) commit(a, n, 3, 2, (uint32_t) (a->owners[a->owner].next
                                                  - 1 - a->shift));
            bad += (claim(a, n, 3, 1) != NGX_EB_KEY_DUPLICATE);
            break;

        case NGX_EB_KEY_FULL:

            /* nobody has claimed it, but a former owner knows better */

            (void) commit(a, n, 3, (n & 1) ? 2 : 0, 7);

            if ((n & 1) && claim(a, n, 3, 1) != NGX_EB_KEY_DUPLICATE) {
                bad++;
            }

            break;

        default:
            bad++;
        }
    }

    ok(bad == 0, "rule 8: and are settled or refused");

    clock_now.sec += WINDOW + 1;
    a->header->resume = 0;
    drain(a);
    ok(a->header->drained == NGX_EB_CHECKPOINT_DRAINED,
       "rule 25: until they expire");
    clock_now.sec = time(NULL);
    wipe();
}


static void
unchanged(void)
{
    struct stat           was, st;
    ngx_eb_checkpoint_t  *a, *b;

    wipe();
    a = opened();
    (void) deliver(a, 1, 1, 1);

    conf.size = LARGE;

    if (stat(path, &was) != 0) {
        exit(1);
    }

    ok(ngx_eb_checkpoint_test(&conf, errstr, sizeof(errstr), &err) == NGX_OK
       && stat(path, &st) == 0 && st.st_ino == was.st_ino
       && st.st_mtim.tv_nsec == was.st_mtim.tv_nsec && listed("") == 1,
       "rule 24: -t with another size leaves inode and mtime");

    b = attach();
    detach(b);
    ok(stat(path, &st) == 0 && st.st_ino == was.st_ino
       && st.st_mtim.tv_sec == was.st_mtim.tv_sec
       && st.st_mtim.tv_nsec == was.st_mtim.tv_nsec && listed("") == 1,
       "rule 24: so does a configuration that is not accepted");

    conf.size = (size_t) 1 << 45;
    ok(ngx_eb_checkpoint_test(&conf, errstr, sizeof(errstr), &err)
       == NGX_ERROR && err == ENOSPC, "rule 24: -t: no room: %s", errstr);

    b = attach();
    ngx_eb_checkpoint_settle(b, &sink);
    ok(strstr((char *) shim_log_line, "keeps the size")
       && strstr((char *) shim_log_line, "no room in")
       && stat(path, &st) == 0 && st.st_ino == was.st_ino && listed("") == 1
       && lookup(a, 1, 1) == NGX_EB_KEY_DUPLICATE,
       "rule 25: no room: %s", shim_log_line);

    wipe();
}


/* a second change before the first one has ended */

static void
again(void)
{
    uint32_t              t;
    ngx_eb_checkpoint_t  *a, *b, *c;

    wipe();
    a = opened();
    (void) deliver(a, 1, 1, 1);
    t = token(a);
    (void) claim(a, 2, 1, t);

    conf.size = LARGE;
    b = attach();
    conf.size = SMALL;
    c = attach();
    ngx_eb_checkpoint_settle(b, &sink);
    ngx_eb_checkpoint_settle(c, &sink);
    (void) ngx_eb_checkpoint_open(b, &sink);
    (void) ngx_eb_checkpoint_open(c, &sink);

    ok(length("") == LARGE && strstr((char *) shim_log_line, "still move"),
       "rule 25: a second change waits: %s", shim_log_line);
    ok(lookup(c, 1, 1) == NGX_EB_KEY_DUPLICATE
       && claim(c, 2, 1, token(c)) == NGX_EB_KEY_BUSY,
       "rule 25: another master goes over as well");

    (void) commit(a, 2, 1, 1, t);
    drain(c);
    detach(c);

    /* not flushed: the master does it itself */

    c = opened();
    ok(length("") == SMALL && length(".prev") == LARGE,
       "rule 25: and is done when all has moved");
    drain(c);
    flush(c);
    ok(listed("") == 1 && lookup(a, 1, 1) == NGX_EB_KEY_DUPLICATE
       && lookup(b, 2, 1) == NGX_EB_KEY_DUPLICATE, "rule 25: nothing is lost");

    conf.sync = 0;
    conf.size = MEDIUM;
    a = opened();
    drain(a);
    ok(listed("") == 2,
       "rule 25: with sync=off the event loop removes nothing");
    flush(a);
    ok(listed("") == 1 && lookup(a, 1, 1) == NGX_EB_KEY_DUPLICATE,
       "rule 25: a thread does, and all is there");
    conf.sync = 1000;
    wipe();
}


/* one that has slept over two changes */

static void
late(void)
{
    ngx_uint_t            i;
    ngx_eb_checkpoint_t  *a, *b, *c;

    for (i = 0; i < 2; i++) {

        wipe();
        a = opened();
        (void) deliver(a, 1, 1, 1);

        conf.size = LARGE;
        b = opened();
        drain(b);
        flush(b);
        (void) deliver(b, 2, 1, 1);

        conf.size = SMALL;
        c = opened();
        (void) deliver(c, 3, 1, 1);

        if (i) {
            drain(c);
            flush(c);
        }

        ok(lookup(a, 1, 1) == NGX_EB_KEY_DUPLICATE
           && lookup(a, 2, 1) == NGX_EB_KEY_DUPLICATE
           && lookup(a, 3, 1) == NGX_EB_KEY_DUPLICATE
           && (a->prev != NULL) == (i == 0),
           "rule 25: two changes at once");

        ok(deliver(a, 4, 1, 1) == NGX_EB_KEY_CLAIMED
           && deliver(c, 4, 1, 1) == NGX_EB_KEY_DUPLICATE
           && deliver(b, 4, 1, 1) == NGX_EB_KEY_DUPLICATE,
           "rule 25: and all work on one file");
    }

    wipe();
}


static void
cannot_follow(void)
{
    char                  aside[400];
    uint32_t              t;
    ngx_eb_checkpoint_t  *a, *b;

    wipe();
    a = opened();
    t = token(a);
    (void) claim(a, 1, 3, t);
    conf.size = LARGE;
    b = opened();

    (void) snprintf(aside, sizeof(aside), "%s.away", path);
    (void) rename(path, aside);

    ok(claim(a, 2, 3, t) == 99 && !ngx_eb_checkpoint_usable(a)
       && strstr((char *) shim_log_line, "cannot go over"),
       "rule 25: a successor out of reach: %s", shim_log_line);
    ok(commit(a, 1, 3, 3, t) == NGX_OK
       && commit(a, 2, 3, 3, t) == NGX_ERROR,
       "rule 6: what is claimed is settled even then");
    ok(claim(b, 1, 3, token(b)) == NGX_EB_KEY_DUPLICATE,
       "rule 6: and known to who has the successor");

    (void) rename(aside, path);
    ok(claim(a, 2, 3, t) == NGX_EB_KEY_CLAIMED, "rule 25: it goes on when "
       "it can be reached");
    wipe();
}


static void
in_the_way(void)
{
    int                   fd;
    char                  file[400];
    ngx_eb_checkpoint_t  *a;

    wipe();
    a = opened();
    (void) deliver(a, 1, 1, 1);
    (void) snprintf(file, sizeof(file), "%s.prev", path);
    fd = open(file, O_RDWR|O_CREAT, 0600);
    (void) !write(fd, "a letter", 8);
    (void) close(fd);

    conf.size = LARGE;
    a = opened();
    ok(length("") == MEDIUM && length(".prev") == 8
       && strstr((char *) shim_log_line, "in the way"),
       "rule 25: a foreign file is left alone: %s", shim_log_line);

    (void) unlink(file);
    (void) link(path, file);
    a = opened();
    ok(length("") == LARGE && lookup(a, 1, 1) == NGX_EB_KEY_DUPLICATE,
       "rule 25: a second name that somebody left is not");
    wipe();

    /* damaged while marks move to it */

    a = opened();
    conf.size = LARGE;
    a = opened();
    detach(NULL);

    fd = open(path, O_RDWR);
    (void) !pwrite(fd, "damage", 6, 100);
    (void) close(fd);

    a = opened();
    ok(length("") == LARGE && listed(".corrupt-") == 1 && a->prev == NULL,
       "rule 25: a damaged successor starts empty");
    conf.size = MEDIUM;
    a = opened();
    ok(length("") == MEDIUM && length(".prev") == LARGE
       && listed(".corrupt-") == 2,
       "rule 25: and is not held up by its predecessor");
    wipe();
}


/* the predecessor is gone when it is needed */

static void
lost(void)
{
    char                  file[400];
    ngx_eb_checkpoint_t  *a;

    wipe();
    a = opened();
    (void) deliver(a, 1, 1, 1);
    conf.size = LARGE;
    a = opened();
    detach(NULL);

    (void) snprintf(file, sizeof(file), "%s.prev", path);
    (void) unlink(file);

    conf.corrupt_refuse = 1;
    ok(attach() == NULL && strstr((char *) errstr, ".prev"),
       "rule 25: refuse: the predecessor is missing: %s", errstr);
    conf.corrupt_refuse = 0;
    a = attach();
    ok(a && strstr((char *) shim_log_line, "has lost the marks"),
       "rule 25: reset: %s", shim_log_line);
    wipe();
}


/* a process that cannot open the predecessor must not end the move of others */

static void
scarce(void)
{
    int                   fd;
    uint32_t              t;
    uint64_t              n;
    ngx_uint_t            bad;
    struct rlimit         was, few;
    ngx_eb_checkpoint_t  *a, *b, *c;

    wipe();
    a = opened();

    for (n = 0; n < 100; n++) {
        (void) deliver(a, n, 3, 3);
    }

    t = token(a);
    (void) claim(a, 100, 3, t);

    conf.size = LARGE;
    b = opened();

    /* of descriptors there are two: the checkpoint's, and one more */

    fd = dup(0);
    (void) close(fd);

    (void) getrlimit(RLIMIT_NOFILE, &was);
    few = was;
    few.rlim_cur = (rlim_t) fd + 2;
    (void) setrlimit(RLIMIT_NOFILE, &few);

    c = attach();

    (void) setrlimit(RLIMIT_NOFILE, &was);

    ok(c == NULL && b->header->drained == NGX_EB_CHECKPOINT_MOVING,
       "rule 24: a reload without descriptors changes nothing: %s", errstr);

    drain(b);
    bad = 0;

    for (n = 0; n < 100; n++) {
        bad += (claim(b, n, 3, token(b)) != NGX_EB_KEY_DUPLICATE);
    }

    bad += (claim(b, 100, 3, token(b)) != NGX_EB_KEY_BUSY);

    ok(bad == 0 && length(".prev") == MEDIUM, "rule 25: and the move goes on");
    (void) commit(a, 100, 3, 3, t);
    wipe();
}


static void
take(void)
{
    int   fd;
    char  file[400];

    if (length(".next") <= 0 || length(".prev") != -1) {
        return;
    }

    (void) snprintf(file, sizeof(file), "%s.prev", path);
    fd = open(file, O_RDWR|O_CREAT|O_EXCL, 0600);
    (void) !write(fd, "a letter", 8);
    (void) close(fd);
}


/* PATH.prev appears in the middle of it: the old file must keep a name */

static void
taken(void)
{
    ngx_eb_checkpoint_t  *a, *b;

    wipe();
    a = opened();
    (void) deliver(a, 1, 1, 1);
    conf.size = LARGE;

    b = attach();
    step_hook = take;
    ngx_eb_checkpoint_settle(b, &sink);
    step_hook = NULL;

    ok(length(".prev") == 8 && length("") == MEDIUM,
       "rule 25: a name that is taken meanwhile: %s", shim_log_line);

    detach(NULL);
    a = opened();
    ok(lookup(a, 1, 1) == NGX_EB_KEY_DUPLICATE, "rule 25: costs no mark");
    wipe();
}


static void
halt(void)
{
    (void) raise(SIGSTOP);
}


/* a worker is stopped while it moves marks */

static void
halted(void)
{
    int                   status;
    pid_t                 pid, master;
    uint32_t              t;
    ngx_eb_checkpoint_t  *a;

    wipe();
    a = opened();
    t = token(a);
    (void) claim(a, 1, 3, t);
    conf.size = LARGE;
    (void) opened();

    pid = spawn();

    if (pid == 0) {
        a = opened();
        step_hook = halt;
        drain(a);
        _exit(1);
    }

    (void) waitpid(pid, &status, WUNTRACED);

    master = spawn();

    if (master == 0) {
        (void) alarm(10);
        conf.size = SMALL;
        _exit(opened() ? 0 : 1);
    }

    (void) waitpid(master, &status, 0);

    ok(WIFEXITED(status) && WEXITSTATUS(status) == 0,
       "a reload does not wait for a worker that is stopped: %d", status);

    (void) kill(pid, SIGKILL);
    (void) waitpid(pid, NULL, 0);
    (void) commit(a, 1, 3, 3, t);
    wipe();
}


/* a pass that has ended with something left, and whose worker dies then */

static void
ends_of_passes(void)
{
    int                   status;
    long                  at;
    pid_t                 pid;
    uint32_t              t;
    uint64_t              n;
    ngx_uint_t            early, busy;
    ngx_eb_checkpoint_t  *a, *b, *c;

    wipe();
    a = opened();
    t = token(a);

    for (n = 0; n < 4; n++) {
        (void) claim(a, n, 3, t);
    }

    conf.size = LARGE;
    b = opened();
    early = 0;
    busy = 0;

    for (at = 0; ; at++) {

        pid = spawn();

        if (pid == 0) {
            c = attach();
            (void) ngx_eb_checkpoint_open(c, &sink);
            c->header->resume = 0;
            steps = 0;
            step_at = at;
            drain(c);
            _exit(0);
        }

        (void) waitpid(pid, &status, 0);

        if (!WIFEXITED(status) || WEXITSTATUS(status) != STOPPED) {
            break;
        }

        /* the next one who locks it is a master */

        c = attach();
        ngx_eb_checkpoint_settle(c, &sink);
        detach(c);

        b->header->resume = 0;
        drain(b);
        early += (b->header->drained != NGX_EB_CHECKPOINT_MOVING);
        busy += (claim(b, 1, 3, token(b)) == NGX_EB_KEY_BUSY);
    }

    ok(WIFEXITED(status) && WEXITSTATUS(status) == 0 && at > 4
       && early == 0 && busy == (ngx_uint_t) at,
       "rule 6: claims outlive a mover that dies at any of %d steps: "
       "%d ended early", (int) at, (int) early);
    wipe();
}


/* what is dropped is counted once, however often the rest is looked at */

static void
passes(void)
{
    uint32_t              t;
    uint64_t              n, evictions;
    ngx_uint_t            i;
    ngx_eb_checkpoint_t  *a;

    wipe();
    conf.size = LARGE;
    a = opened();

    for (n = 0; n < 4000; n++) {
        clock_now.sec++;
        (void) deliver(a, n, 3, 3);
    }

    t = token(a);
    (void) claim(a, 4001, 3, t);

    conf.size = SMALL;
    (void) opened();
    drain(a);
    ngx_eb_checkpoint_facts(a, &facts);
    evictions = facts.evictions;

    for (i = 0; i < 5; i++) {
        a->header->resume = 0;
        drain(a);
    }

    ngx_eb_checkpoint_facts(a, &facts);

    /* some come back once for older ones of their other bucket */

    ok(evictions > 2000 && facts.evictions - evictions < evictions / 20,
       "rule 8: %d evictions do not grow with each pass: %d",
       (int) evictions, (int) facts.evictions);

    (void) commit(a, 4001, 3, 3, t);
    clock_now.sec = time(NULL);
    wipe();
}


/* more workers than a small file has slots for: each says so once */

static void
crowd(void)
{
    ngx_uint_t            i, lines;
    ngx_eb_checkpoint_t  *a;

    wipe();
    conf.size = 2 * 1024 * 1024;

    for (i = 0; i < 34; i++) {
        (void) opened();
    }

    a = cps[33];
    conf.size = SMALL;
    ngx_eb_checkpoint_settle(attach(), &sink);

    for (i = 0; i < 33; i++) {
        (void) ngx_eb_checkpoint_tick(cps[i]);
    }

    (void) ngx_eb_checkpoint_tick(a);
    lines = shim_log_lines;

    for (i = 0; i < 10; i++) {
        (void) ngx_eb_checkpoint_tick(a);
        (void) claim(a, 1, 3, 1);
    }

    ok(shim_log_lines == lines, "a worker without a slot logs %d lines more",
       (int) (shim_log_lines - lines));
    wipe();
}


/* marks that have not moved yet are flushed as often as all others */

static void
both_synced(void)
{
    char                  file[400];
    uint32_t              t;
    ngx_uint_t            i, found;
    struct stat           st;
    ngx_eb_checkpoint_t  *a;

    wipe();
    a = opened();
    t = token(a);
    (void) claim(a, 1, 3, t);
    conf.size = LARGE;
    (void) opened();
    (void) commit(a, 1, 3, 3, t);

    (void) snprintf(file, sizeof(file), "%s.prev", path);
    (void) stat(file, &st);

    nsynced = 0;
    flush(a);
    found = 0;

    for (i = 0; i < nsynced; i++) {
        found += (synced[i] == st.st_ino);
    }

    ok(found == 1 && nsynced == 2, "both files are flushed");
    wipe();
}


/* bits that are used anew are stripped from both files */

static void
names(void)
{
    u_char                uri[32];
    ngx_str_t             s;
    ngx_uint_t            i;
    ngx_eb_checkpoint_t  *a, *b;

    wipe();
    a = opened();
    s.data = uri;

    for (i = 0; i < 64; i++) {
        s.len = ngx_sprintf(uri, "/destination/%ui", i) - uri;
        (void) ngx_eb_checkpoint_destination(a, &s, &sink);
    }

    clock_now.sec += WINDOW / 2;
    (void) deliver(a, 1, ~0ull, ~0ull);
    ngx_eb_checkpoint_renew(a, ~(1ull << 17));
    clock_now.sec += WINDOW / 2 + 1;

    conf.size = LARGE;
    b = opened();
    ngx_str_set(&s, "/more");
    ok(ngx_eb_checkpoint_destination(b, &s, &sink) == 17,
       "rule 5: what was not named for a window is known");
    ok(claim(b, 1, ~0ull, token(b)) == NGX_EB_KEY_CLAIMED
       && k.done == ~(1ull << 17), "rule 5: its bit is taken from both");

    clock_now.sec = time(NULL);
    wipe();
}


static void
versions(void)
{
    struct stat           was, st;
    ngx_eb_checkpoint_t  *a, *b;

    wipe();
    a = opened();
    (void) deliver(a, 1, 3, 3);
    (void) deliver(a, 2, 3, 1);
    detach(NULL);
    set_version(2);
    (void) stat(path, &was);

    ok(ngx_eb_checkpoint_test(&conf, errstr, sizeof(errstr), &err) == NGX_OK,
       "rule 25: version N reads N - 1: -t");

    a = attach();
    (void) ngx_eb_checkpoint_open(a, &sink);
    ok(a && lookup(a, 1, 3) == NGX_EB_KEY_DUPLICATE && stat(path, &st) == 0
       && st.st_ino == was.st_ino && a->header->constant.version == 2,
       "rule 25: version N works with N - 1 until that is accepted");

    b = opened();
    ok(b->header->constant.version == 3 && length(".prev") == MEDIUM,
       "rule 25: version N - 1 becomes N by the same path");
    ok(lookup(a, 1, 3) == NGX_EB_KEY_DUPLICATE
       && claim(b, 2, 3, token(b)) == NGX_EB_KEY_CLAIMED && k.done == 1,
       "rule 25: with its marks");
    (void) commit(b, 2, 3, 0, 1);
    drain(b);
    flush(b);
    ok(listed("") == 1, "rule 25: and nothing is left of it");

    detach(NULL);
    set_version(4);
    (void) stat(path, &was);
    ok(attach() == NULL && strstr((char *) errstr, "newer"),
       "rule 25: version N refuses N + 1: %s", errstr);
    ok(stat(path, &st) == 0 && st.st_ino == was.st_ino
       && st.st_mtim.tv_nsec == was.st_mtim.tv_nsec && listed("") == 1,
       "rule 25: and leaves it alone");
    set_version(3);
    a = opened();
    ok(lookup(a, 1, 3) == NGX_EB_KEY_DUPLICATE, "rule 25: whoever can read "
       "it finds all");
    detach(NULL);
    set_version(1);
    conf.corrupt_refuse = 1;
    ok(attach() == NULL && strstr((char *) errstr, "older"),
       "rule 25: version N refuses N - 2: %s", errstr);
    conf.corrupt_refuse = 0;
    wipe();
}


static void
clocks(void)
{
    uint64_t              n;
    ngx_uint_t            lines;
    ngx_eb_checkpoint_t  *a;

    wipe();
    a = opened();
    clock_now.sec += 86400;

    for (n = 0; n < 10; n++) {
        (void) deliver(a, n, 3, 3);
    }

    clock_now.sec -= 86400;
    (void) ngx_eb_checkpoint_tick(a);
    lines = shim_log_lines;

    for (n = 0; n < 3; n++) {
        (void) claim(a, n, 3, 1);
    }

    (void) ngx_eb_checkpoint_tick(a);
    ngx_eb_checkpoint_facts(a, &facts);
    ok(facts.clock_fixes == 3 && shim_log_lines == lines + 1
       && strstr((char *) shim_log_line, "3 marks were in the future"),
       "rule 9: a jump is counted and logged: %s", shim_log_line);

    (void) claim(a, 3, 3, 1);
    (void) ngx_eb_checkpoint_tick(a);
    ok(shim_log_lines == lines + 1, "rule 9: but not all the time");

    /* marks that move are stamped anew as well */

    conf.size = LARGE;
    a = opened();
    drain(a);
    ngx_eb_checkpoint_facts(a, &facts);
    ok(facts.clock_fixes == 10 && a->header->drained,
       "rule 9: a mark that moves is stamped, too");
    clock_now.sec += WINDOW + 1;
    ok(lookup(a, 9, 3) == NGX_EB_KEY_NEW, "rule 9: and expires from now on");
    clock_now.sec = time(NULL);
    wipe();
}


static void
networks(void)
{
    ngx_uint_t  i, bad;

    wipe();
    detach(opened());

    bad = 0;

    for (i = 0; network_types[i]; i++) {
        magic = network_types[i];

        bad += (attach() != NULL);
        bad += (strstr((char *) errstr, "network file system") == NULL);
        bad += (ngx_eb_checkpoint_test(&conf, errstr, sizeof(errstr), &err)
                != NGX_ERROR);
        bad += (listed("") != 1);
        (void) rename(path, "/dev/null/none");
    }

    magic = 0xef53;
    bad += (attach() == NULL);
    wipe();

    magic = 0x6969;
    bad += (attach() != NULL);
    bad += (listed("") != 0);
    ok(bad == 0, "rule 26: a network file system is refused: %s", errstr);
    magic = 0;
    wipe();
}


/* claims, commits and evictions in a small file, in a fixed order */

static void
op_child(shared_t *shm)
{
    uint32_t              t;
    uint64_t              n, bits;
    ngx_eb_checkpoint_t  *cp;

    cp = cps[0];
    (void) ngx_eb_checkpoint_open(cp, &sink);
    t = token(cp);
    steps = 0;

    for (n = 0; n < STEPS; n++) {

        if (claim(cp, n, 0xff, t) != NGX_EB_KEY_CLAIMED) {
            continue;
        }

        bits = 1ull << (n % 7);

        if (n % 5 == 4) {
            bits = 0;
        }

        if (n % 3 == 0) {
            bits = 0xff;
        }

        shm->allowed[n] |= bits;

        if (commit(cp, n, 0xff, bits, t) == NGX_OK) {
            shm->confirmed[n] |= bits;
        }
    }

    /* a bit is used anew */

    (void) ngx_eb_checkpoint_strip(cp, 1ull << 6);

    for (n = 0; n < STEPS; n++) {
        shm->allowed[n] &= ~(1ull << 6);
    }

    _exit(0);
}


/* one at least as good as each kill: after each store */

static void
stops_of_operations(void)
{
    int                   status;
    long                  at;
    pid_t                 pid;
    shared_t             *shm;
    uint64_t              n;
    ngx_uint_t            wrong, recovered, round, stopped;
    ngx_eb_checkpoint_t  *cp;

    shm = mapped(sizeof(shared_t));
    wrong = 0;
    recovered = 0;
    stopped = 0;

    for (round = 0; round < 2; round++) {
        for (at = 0; ; at++) {

            wipe();
            ngx_memzero(shm, sizeof(shared_t));
            conf.size = SMALL;
            cp = opened();

            /* the second time there is no room left */

            for (n = 0; round && n < 3000; n++) {
                (void) deliver(cp, 100000 + n, 1, 1);
            }

            pid = spawn();

            if (pid == 0) {
                step_at = at;
                op_child(shm);
            }

            (void) waitpid(pid, &status, 0);

            ngx_eb_checkpoint_facts(cp, &facts);
            recovered += facts.recovered;

            wrong += compare(cp, shm, STEPS, NULL);

            if (at % 7 == 0) {
                detach(NULL);
                cp = opened();
                wrong += compare(cp, shm, STEPS, NULL);
            }

            if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
                break;
            }

            if (!WIFEXITED(status) || WEXITSTATUS(status) != STOPPED) {
                wrong++;
                break;
            }

            stopped++;
        }

        ok(wrong == 0 && stopped > 300,
           "rule 10: stopped after %d stores: no bit that was not committed",
           (int) stopped);

        /* those that died with a key's lock, or left a claim */

        ok(recovered > 50, "rule 24: %d locks were recovered",
           (int) recovered);
    }

    (void) munmap(shm, sizeof(shared_t));
    wipe();
}


/* wrong ones; and adds those of which something is missing, if asked */

static ngx_uint_t
compare(ngx_eb_checkpoint_t *cp, shared_t *shm, ngx_uint_t n,
    ngx_uint_t *missing)
{
    ngx_uint_t  i, wrong;

    wrong = 0;

    for (i = 0; i < n; i++) {

        k.done = 0;

        if (lookup(cp, i, ~0ull) != NGX_EB_KEY_NEW) {
            wrong++;
            printf("# key %d: status %d\n", (int) i, (int) k.status);
        }

        if (k.done & ~shm->allowed[i]) {
            wrong++;
            printf("# key %d has %lx, allowed %lx\n", (int) i,
                   (long) k.done, (long) shm->allowed[i]);
        }

        if (missing && (shm->confirmed[i] & ~k.done)) {
            (*missing)++;
            printf("# key %d has %lx, confirmed %lx\n", (int) i,
                   (long) k.done, (long) shm->confirmed[i]);
        }
    }

    return wrong;
}


/* a new generation: makes the successor, moves, delivers, and cleans up */

static void
move_child(shared_t *shm)
{
    uint32_t              t;
    uint64_t              n;
    ngx_eb_checkpoint_t  *cp;

    sink.log_level = 0;
    cp = attach();

    if (cp == NULL) {
        _exit(1);
    }

    steps = 0;

    ngx_eb_checkpoint_settle(cp, &sink);
    (void) ngx_eb_checkpoint_open(cp, &sink);
    t = token(cp);

    for (n = 0; n < STEPS; n += 4) {

        if (claim(cp, n, 0xff, t) == NGX_EB_KEY_CLAIMED) {
            shm->allowed[n] |= 0x40;

            if (commit(cp, n, 0xff, 0x40, t) == NGX_OK) {
                shm->confirmed[n] |= 0x40;
            }
        }
    }

    drain(cp);
    flush(cp);

    cp->header->resume = 0;
    drain(cp);
    flush(cp);

    _exit(0);
}


static void
stops_of_moves(void)
{
    int                   status;
    long                  at;
    pid_t                 pid;
    size_t                to;
    uint32_t              t;
    uint64_t              n, bits;
    ngx_int_t             bit, other;
    ngx_str_t             uri;
    shared_t             *shm;
    ngx_uint_t            wrong, missing, left, stopped, published, end;
    ngx_eb_checkpoint_t  *a, *b;

    shm = mapped(sizeof(shared_t));
    wrong = 0;
    missing = 0;
    left = 0;
    stopped = 0;
    published = 0;
    end = 0;

    for (at = 0; !end; at++) {

        wipe();
        ngx_memzero(shm, sizeof(shared_t));
        to = (at & 1) ? LARGE : SMALL;

        a = opened();

        for (n = 0; n < STEPS; n++) {
            bits = (n % 3) ? 0x3f : 3;
            shm->allowed[n] = bits;
            shm->confirmed[n] = bits;
            (void) deliver(a, n, 0x3f, bits);
        }

        t = token(a);
        (void) claim(a, 1, 0xff, t);
        (void) claim(a, 2, 0xff, t);

        conf.size = to;
        pid = spawn();

        if (pid == 0) {
            step_at = at;
            move_child(shm);
        }

        (void) waitpid(pid, &status, 0);

        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
            end = 1;

        } else if (!WIFEXITED(status) || WEXITSTATUS(status) != STOPPED) {
            wrong++;
            break;
        }

        stopped++;

        /* who lives goes on, wherever that is */

        published += (a->header->moved != 0);

        /* the present generation names a destination, the next one another */

        ngx_str_set(&uri, "/a");
        bit = (at & 2) ? ngx_eb_checkpoint_destination(a, &uri, &sink) : -1;

        shm->allowed[1] |= 0x80;
        (void) commit(a, 1, 0xff, 0x80, t);
        shm->confirmed[1] |= 0x80;
        (void) commit(a, 2, 0xff, 0, t);

        wrong += compare(a, shm, STEPS, &missing);

        /* sometimes nobody lives */

        if (at % 3 == 0) {
            detach(NULL);
            a = NULL;
        }

        b = opened();
        wrong += compare(b, shm, STEPS, &missing);

        ngx_str_set(&uri, "/b");
        other = ngx_eb_checkpoint_destination(b, &uri, &sink);
        ngx_str_set(&uri, "/a");

        if (other == bit || other == -1
            || (bit != -1
                && ngx_eb_checkpoint_destination(b, &uri, &sink) != bit))
        {
            wrong++;
            printf("# step %d: bits %d and %d\n", (int) at, (int) bit,
                   (int) other);
        }

        if (a) {
            shm->allowed[5] |= 0x80;
            (void) deliver(a, 5, 0xff, 0x80);
            shm->confirmed[5] |= 0x80;
        }

        wrong += compare(b, shm, STEPS, &missing);

        drain(b);
        b->header->resume = 0;
        drain(b);
        flush(b);

        wrong += compare(b, shm, STEPS, &missing);

        /* relics of the dead go with the next reload at the latest */

        detach(b);
        b = opened();
        wrong += compare(b, shm, STEPS, &missing);

        if (listed("") != 1 || length("") != (off_t) to) {
            left++;
            printf("# step %d: %d files, %d bytes\n", (int) at,
                   (int) listed(""), (int) length(""));
        }
    }

    ok(wrong == 0 && stopped > 300 && end,
       "rule 25: a move was stopped at %d steps: no bit that was not "
       "committed", (int) stopped);
    ok(missing == 0, "rule 25: and none is missing");
    ok(left == 0 && published > 100 && published < stopped,
       "rule 25: one file remains, %d notices were seen", (int) published);

    (void) munmap(shm, sizeof(shared_t));
    wipe();
}


static u_char *
snapshot(const char *suffix, size_t *len)
{
    int          fd;
    char         file[400];
    u_char      *p;
    struct stat  st;

    (void) snprintf(file, sizeof(file), "%s%s", path, suffix);

    fd = open(file, O_RDONLY);

    if (fd == -1) {
        return NULL;
    }

    if (fstat(fd, &st) == -1 || (p = malloc((size_t) st.st_size)) == NULL
        || pread(fd, p, (size_t) st.st_size, 0) != st.st_size)
    {
        exit(1);
    }

    (void) close(fd);

    *len = (size_t) st.st_size;

    return p;
}


/* each sector is that of one of the images */

static void
restore(const char *suffix, u_char **images, ngx_uint_t n, size_t len)
{
    int     fd;
    char    file[400];
    size_t  off;

    (void) snprintf(file, sizeof(file), "%s%s", path, suffix);

    fd = open(file, O_RDWR);

    if (fd == -1) {
        exit(1);
    }

    for (off = 0; off < len; off += SECTOR) {
        if (pwrite(fd, images[rnd() % n] + off, SECTOR, (off_t) off)
            != SECTOR)
        {
            exit(1);
        }
    }

    (void) close(fd);
}


/*
 * What was synced is on the disk, and of what was stored later any sectors.
 * The names are as they were, for the directory is synced at each step.
 */

static void
power_cut(void)
{
    size_t                size, prevsize;
    u_char               *new[IMAGES], *old[IMAGES];
    uint32_t              t;
    uint64_t              n, bits;
    shared_t             *shm;
    ngx_uint_t            i, j, round, wrong, missing, finished, gone;
    ngx_eb_checkpoint_t  *a;

    shm = mapped(sizeof(shared_t));
    wrong = 0;
    missing = 0;
    gone = 0;
    size = 0;
    prevsize = 0;

    for (round = 0; round < 400; round++) {

        wipe();
        ngx_memzero(shm, sizeof(shared_t));

        conf.size = (round & 1) ? MEDIUM : LARGE;
        a = opened();

        /* these were delivered long ago */

        for (n = 0; n < CUT; n++) {
            bits = rnd() & 0x3f;
            shm->allowed[n] = bits;
            shm->confirmed[n] = bits;
            (void) deliver(a, n, 0x3f, bits);
        }

        conf.size = (round & 2) ? SMALL : 2 * LARGE;
        a = opened();

        finished = rnd() % (IMAGES + 3);

        for (i = 0; i < IMAGES; i++) {

            if (i) {
                for (j = 0; j < 6; j++) {

                    n = rnd() % (CUT + 20);
                    t = token(a);

                    if (claim(a, n, 0xff, t) == NGX_EB_KEY_CLAIMED
                        && rnd() % 3)
                    {
                        bits = rnd() & 0xff;
                        shm->allowed[n] |= bits;
                        (void) commit(a, n, 0xff, bits, t);
                    }
                }

                for (j = rnd() % 4; j > 0; j--) {
                    (void) ngx_eb_checkpoint_tick(a);
                }
            }

            if (i == finished) {

                /* claims that nobody settles hold it up */

                detach(NULL);
                a = opened();
                drain(a);
                flush(a);

                /* all before that is on the disk */

                for (j = 0; j < i; j++) {
                    free(new[j]);
                    free(old[j]);
                    new[j] = snapshot("", &size);
                    old[j] = snapshot(".prev", &prevsize);
                }
            }

            new[i] = snapshot("", &size);
            old[i] = snapshot(".prev", &prevsize);
        }

        detach(NULL);

        restore("", new, IMAGES, size);

        if (old[IMAGES - 1]) {
            restore(".prev", old, IMAGES, prevsize);

        } else {
            gone++;
        }

        for (i = 0; i < IMAGES; i++) {
            free(new[i]);
            free(old[i]);
        }

        a = opened();
        wrong += compare(a, shm, CUT + 20, &missing);
        drain(a);
        flush(a);
        wrong += compare(a, shm, CUT + 20, &missing);

        if (listed("") != 1) {
            wrong++;
        }
    }

    ok(wrong == 0 && gone > 20 && gone < 380,
       "rule 10: %d power cuts, %d after the end of the move: no bit that "
       "was not committed", (int) round, (int) gone);

    ok(missing == 0, "rule 25: and no mark is missing that was on the disk "
       "before the move");

    (void) munmap(shm, sizeof(shared_t));
    wipe();
}


/* the same with one file, whose slots are taken from one key for another */

static void
power_cut_full(void)
{
    size_t                size;
    u_char               *images[IMAGES];
    uint32_t              t;
    uint64_t              n, bits, filler, evictions;
    shared_t             *shm;
    ngx_uint_t            i, j, round, wrong;
    ngx_eb_checkpoint_t  *a;

    shm = mapped(sizeof(shared_t));
    wrong = 0;
    size = 0;
    evictions = 0;

    for (round = 0; round < 100; round++) {

        wipe();
        ngx_memzero(shm, sizeof(shared_t));

        conf.size = SMALL;
        a = opened();

        for (filler = 0; filler < 2500; filler++) {
            (void) deliver(a, 100000 + filler, 1, 1);
        }

        for (i = 0; i < IMAGES; i++) {

            for (j = 0; i && j < 40; j++) {

                n = rnd() % (CUT + 20);
                t = token(a);

                if (claim(a, n, 0xff, t) == NGX_EB_KEY_CLAIMED
                    && rnd() % 4)
                {
                    bits = (rnd() % 2) ? 0xff : rnd() & 0xff;
                    shm->allowed[n] |= bits;
                    (void) commit(a, n, 0xff, bits, t);
                }

                (void) deliver(a, 100000 + filler++, 1, 1);
            }

            images[i] = snapshot("", &size);
        }

        ngx_eb_checkpoint_facts(a, &facts);
        evictions += facts.evictions;

        detach(NULL);
        restore("", images, IMAGES, size);

        for (i = 0; i < IMAGES; i++) {
            free(images[i]);
        }

        a = opened();
        wrong += compare(a, shm, CUT + 20, NULL);
    }

    ok(wrong == 0 && evictions > 1000,
       "rule 10: %d power cuts, %d evictions: no bit that was not committed",
       (int) round, (int) evictions);
}


/*
 * Workers claim and commit while masters change the size, and each of them is
 * killed at any instruction.
 */

static void
chaos(void)
{
    shared_t             *shm;
    ngx_uint_t            n, wrong, missing, held;
    ngx_eb_checkpoint_t  *cp;

    wipe();
    cp = opened();
    shm = mapped(sizeof(shared_t));

    n = chaos_kills(shm, 100, chaos_child, cp);

    ok(n == KILLS && shm->moves > 5, "rule 25: %d kills, %d rounds, %d moves",
       (int) n, (int) shm->rounds, (int) shm->moves);
    ok(shm->errors == 0, "rule 25: no operation failed");
    ok(shm->overlaps == 0, "rule 6: no claim was held by two");

    held = chaos_left(cp, shm, &wrong, &missing);

    ok(wrong == 0 && held == 0, "rule 10: no bit that was not committed");
    ok(missing <= KILLS + PROCS - 1, "rule 25: %d marks are missing",
       (int) missing);

    (void) munmap(shm, sizeof(shared_t));
    wipe();
}


static void
chaos_child(shared_t *shm, ngx_uint_t i, ngx_uint_t id)
{
    ngx_eb_checkpoint_t  *cp;

    sink.log_level = 0;

    if (i == 0) {
        chaos_master(shm);
    }

    cp = chaos_join(shm, id);

    for ( ;; ) {
        chaos_round(cp, shm, id, 1);
        (void) ngx_eb_checkpoint_tick(cp);
        flush(cp);
    }
}


/* a generation whose workers are others */

static void
chaos_master(shared_t *shm)
{
    size_t                was;
    ngx_eb_checkpoint_t  *cp;

    for ( ;; ) {

        detach(NULL);
        conf.size = SMALL * (1 + rnd() % 5);
        cp = attach();

        if (cp == NULL) {
            chaos_failed(shm, (char *) errstr);
        }

        was = cp->size;

        ngx_eb_checkpoint_settle(cp, &sink);

        if (cp->size != was) {
            (void) __sync_fetch_and_add(&shm->moves, 1);
        }

        if (ngx_eb_checkpoint_open(cp, &sink) != NGX_OK) {
            chaos_failed(shm, "cannot open");
        }

        drain(cp);
        cp->header->resume = 0;
        drain(cp);
        flush(cp);
    }
}


int
main(void)
{
    setup("resize");

    under_way(MEDIUM, LARGE);
    under_way(LARGE, SMALL);
    under_way(SMALL, 2 * 1024 * 1024);
    claims();
    shrink();
    crowded();
    unchanged();
    again();
    late();
    cannot_follow();
    in_the_way();
    lost();
    scarce();
    taken();
    halted();
    ends_of_passes();
    passes();
    crowd();
    both_synced();
    names();
    versions();
    clocks();
    networks();
    stops_of_operations();
    stops_of_moves();
    power_cut();
    power_cut_full();
    chaos();

    return finished();
}
