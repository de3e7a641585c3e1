#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# A worker that is killed at each step of a dead letter's way: before its line
# is written, before it is on the disk, before its mark, before the answer.
# Whatever step it is, the sender's next try settles all.  Rule 13 of the
# design.

###############################################################################

use warnings;
use strict;

use JSON::PP ();
use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;
use Test::EventBridge::Util qw/ read_file wait_for /;

###############################################################################

plan(skip_all => 'another library is preloaded') if $ENV{EB_PRELOAD}
    || $ENV{EB_VALGRIND} || $ENV{ASAN_OPTIONS};

my $t = Test::EventBridge->new(workers => 1);
my $m = $t->mock(1);

# Kills its process at the step that a file names.  The name goes first, so
# that the next worker lives.

my $so = $t->testdir() . '/kill.so';
my $step = $t->testdir() . '/step';

$t->write_file('kill.c', <<'EOF2');
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static void
at(const char *step)
{
    int      fd;
    char     text[32];
    ssize_t  n;

    fd = open(getenv("EB_STEP"), O_RDONLY);
    if (fd == -1) {
        return;
    }

    n = read(fd, text, sizeof(text) - 1);
    close(fd);

    if (n > 0 && (size_t) n == strlen(step) && !memcmp(text, step, n)) {
        unlink(getenv("EB_STEP"));
        kill(getpid(), SIGKILL);
    }
}

static int
is_file(int fd)
{
    struct stat  st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

ssize_t
writev(int fd, const struct iovec *iov, int n)
{
    ssize_t  (*next)(int, const struct iovec *, int);

    *(void **) &next = dlsym(RTLD_NEXT, "writev");

    if (is_file(fd)) {
        at("write");

    } else if (n && iov[0].iov_len > 12
               && !memcmp(iov[0].iov_base, "HTTP/1.1 200", 12))
    {
        at("answer");
    }

    return next(fd, iov, n);
}

int
fdatasync(int fd)
{
    int  rc, (*next)(int);

    *(void **) &next = dlsym(RTLD_NEXT, "fdatasync");

    at("sync");
    rc = next(fd);
    at("mark");

    return rc;
}
EOF2

my @cc = ($ENV{CC} || 'cc', qw/ -shared -fPIC -o /, $so,
    $t->testdir() . '/kill.c', '-ldl');
my $built = system(@cc) == 0;

plan(skip_all => 'no compiler') if !$built;

$t->plan(4 * 6 + 1);

$ENV{EB_STEP} = $step;
$ENV{LD_PRELOAD} = $so;

$t->conf(<<'EOF2')->run();
env EB_STEP;

http {
    # without sync=, no other thread calls fdatasync()
    eventbridge_checkpoint_zone zone=z:1m path=%%TESTDIR%%/z.ckpt sync=off;
    eventbridge_stats_file %%TESTDIR%%/stats;

    server {
        listen 127.0.0.1:%%PORT_0%%;

        client_max_body_size 4m;

        location = /v1/events {
            eventbridge_ingest;
            eventbridge_checkpoint z;
            eventbridge_dead_letter %%TESTDIR%%/dead.jsonl;
            eventbridge_route /to/m;
        }

        location = /to/m {
            internal;
            client_max_body_size 0;
            proxy_pass http://127.0.0.1:%%PORT_1%%;
        }
    }
}
EOF2

delete $ENV{LD_PRELOAD};

my $port = $t->port(0);
my $json = JSON::PP->new();

$t->allow_error('alert', qr/exited on signal 9/);
$m->set('/to/m', status => 422, match => 'poison');

for my $at (qw/ write sync mark answer /) {

    my $body = '{"events":[' . join(',', map {
        sprintf '{"id":"%s-%s","kind":"%s","source":"s"}', $at, $_,
        $_ == 2 ? 'poison' : 'fine' } 0 .. 4) . ']}';

    $m->forget();
    my ($old) = $t->worker_pids();
    my $lines = () = dead();

    $t->write_file('step', $at);

    my $res = post($port, '/v1/events', $body);
    ok(!$res->status(), "rule 13: killed before $at: no answer");
    ok(wait_for(sub { my ($now) = $t->worker_pids();
        return $now && $now != $old && !-e $step }), "rule 13: $at: died");

    $res = post($port, '/v1/events', $body);
    is($res->status(), 200, "rule 13: $at: the next try is accepted");
    is($res->json()->{forwarded} + $res->json()->{dead}
        + $res->json()->{duplicates}, 5, "rule 13: $at: all is settled");

    my %taken;
    $taken{$_->{id}}++ for grep { $_->{kind} eq 'fine' }
        map { @$_ } grep { !grep { $_->{kind} eq 'poison' } @$_ }
        map { $_->json()->{events} } $m->requests();

    # what was in flight beside it may come twice: rule 21

    is(join(',', grep { $taken{$_} <= 2 } sort keys %taken),
        join(',', map { "$at-$_" } 0, 1, 3, 4),
        "rule 13: $at: the others are delivered");

    my @dead = grep { $_->{eventId} eq "$at-2" } dead();
    cmp_ok(scalar @dead, '>=', 1, "rule 13: $at: it is in the dead letter");
}

is(scalar(grep { !defined $_ } map { eval { $json->decode($_) } }
    split /\n/, read_file($t->testdir() . '/dead.jsonl')), 0,
    'rule 13: all lines are whole');

###############################################################################

sub dead {
    my $text = read_file($t->testdir() . '/dead.jsonl') // '';
    return map { $json->decode($_) } split /\n/, $text;
}

###############################################################################
