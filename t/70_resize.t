#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# The checkpoint gets another size while events come in and come again, and
# another format: nothing is delivered twice, and nothing is lost.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Basename qw/ dirname /;
use Time::HiRes ();

use Test::EventBridge;
use Test::EventBridge::Batches qw/ events /;
use Test::EventBridge::Client qw/ connection_of /;
use Test::EventBridge::Load;
use Test::EventBridge::Util qw/ child_pids pause /;

###############################################################################

my $t = Test::EventBridge->new(workers => 2, log_level => 'info')->plan(87);

my $m = $t->mock(1);

my $port = $t->port(0);
my $file = $t->testdir() . '/z.ckpt';

sub configuration {
    my ($size, %opt) = @_;

    $opt{$_} //= '' for qw/ zone more main /;

    return <<"EOF2";
$opt{main}

http {
    eventbridge_checkpoint_zone zone=z:$size path=%%TESTDIR%%/z.ckpt $opt{zone};
    eventbridge_stats_file %%TESTDIR%%/stats;

    upstream a { server 127.0.0.1:%%PORT_1%%; keepalive 8; }

    server {
        listen 127.0.0.1:%%PORT_0%%;

        client_max_body_size 4m;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        add_header X-Pid \$pid always;

        location = /v1/events {
            eventbridge_ingest;
            eventbridge_checkpoint z;
            eventbridge_route_policy all;
            eventbridge_route /to/a;
            eventbridge_route /to/slow source=^slow;
        }

        location ~ ^/to/ {
            internal;
            client_max_body_size 0;
            proxy_pass http://a;
        }

        location = /metrics { eventbridge_metrics; }
        location = /health { eventbridge_health; }

        $opt{more}
    }
}
EOF2
}

my $posted = Test::EventBridge::Batches->new($port);

$m->set('/to/slow', delay => 40);

###############################################################################

# what changes nothing

# without a flush, which changes the time of the file
$t->conf(configuration('8m', zone => 'sync=off'))->run();
is(-s $file, 8388608, 'the size that was configured');
$posted->fresh('first', 20);

my @was = facts();

is(($t->test_config(configuration('4m')))[0], 0, 'nginx -t: another size');
is_deeply([ facts() ], \@was, 'rule 24: nginx -t leaves inode and mtime');

$t->allow_error('emerg', qr/unknown directive "nonsense"/);
$t->conf(configuration('4m', more => 'nonsense;'));
ok(!$t->reload(), 'a reload that fails');
is_deeply([ facts() ], \@was,
    'rule 24: a failed reload leaves inode and mtime');
is_deeply([ glob "$file.*" ], [], 'rule 24: and makes no other file');
$posted->known('a failed reload');

# up and down, while events come in and come again; there is room for all

my $load = load('rule 25: resize under load');
my ($sizes, $moved) = (0, 0);

for my $size (qw/ 32m 8m 16m 8m 64m 8m /) {
    $load->progress(3);

    my $inode = (stat $file)[1];

    $t->conf(configuration($size));
    $t->reload(keep_old => 1) or last;

    my $bytes = $size =~ s/m$//r * 1048576;

    $sizes++ if -s $file == $bytes && (stat $file)[1] != $inode;
    $moved++ if moved();

    $posted->known("rule 25: $size", 'quietly');
}

is($sizes, 6, 'rule 25: six sizes by reload');
is($moved, 6, 'rule 25: each time the old file went when all had moved');

ok($t->reload(), 'old workers are gone');
$load->progress(3);
$load->end()->check($m);
$posted->known('rule 25: six sizes');
$m->forget();

# a claim of an old worker holds in the new file: who asks meanwhile waits

$m->set('/to/a', hang => 1);

my $c = client($port);
$c->start(method => 'POST', path => '/v1/events', body => events('held', 3));
ok($m->wait_held('/to/a', 1), 'a delivery is under way');

my %before = map { $_ => 1 } $t->worker_pids();

$t->conf(configuration('2m'));
ok($t->reload(keep_old => 1), 'reload with another size');

# a worker that exits does not wait

my $d = connection_of($port, grep { !$before{$_} } $t->worker_pids());
ok($d, 'a connection of a new worker');
$d->start(method => 'POST', path => '/v1/events', body => events('held', 3));
ok(wait_for(sub { $t->log() =~ /moves to a file of 2097152 bytes/ }),
    'the file is replaced');

pause(0.5);
is($m->hits('/to/a'), 1, 'rule 6: the claim holds');
ok(-e "$file.prev", 'rule 6: and the old file stays as long');

$m->clear();
$m->release('/to/a');

is($c->response()->json()->{forwarded}, 3,
    'rule 6: the old worker settles it');
my $r = $d->response();
is($r->json()->{duplicates}, 3, 'rule 6: and the new one knows')
    or diag($r->text());
$posted->add(held => 3);
is($m->hits('/to/a'), 1, 'rule 7: it was delivered once');
ok(moved(), 'rule 25: then the old file goes');

# another change while one is under way

$m->set('/to/a', hang => 1);
$c = client($port);
$c->start(method => 'POST', path => '/v1/events', body => events('hold', 1));
ok($m->wait_held('/to/a', 1), 'another delivery is under way');

$t->conf(configuration('4m'));
ok($t->reload(keep_old => 1), 'reload with another size');
$t->conf(configuration('1m'));
ok($t->reload(keep_old => 1), 'and with yet another one');
is(-s $file, 4194304, 'rule 25: the second one waits');
ok($t->log() =~ /\[warn\].*keeps the size.*still move.*reload later again/,
    'rule 25: and that is said');

$m->clear();
$m->release('/to/a');
is($c->response()->json()->{forwarded}, 1, 'the delivery ends');
$posted->add(hold => 1);
ok(moved(), 'the first one ends');
ok($t->reload(), 'reload again');
is(-s $file, 1048576, 'rule 25: now it is done');
$posted->known('rule 25: two changes');

# two masters

$t->conf(configuration('8m'));
$c = client($port);
my $old_pid = get($c, '/health')->header('X-Pid');

ok($t->upgrade(with => sub {
    my ($old, $new) = @_;

    my %old = map { $_ => 1 } child_pids($old);

    is(-s $file, 8388608, 'rule 25: a binary upgrade with another size');
    ok($old{$old_pid}, 'one connection is of the old master');

    my $n = connection_of($port, child_pids($new));
    ok($n, 'and one of the new master');

    is(post($c, '/v1/events', events('u1', 4))->json()->{forwarded}, 4,
        'rule 25: the old one delivers');
    is(post($n, '/v1/events', events('u1', 4))->json()->{duplicates}, 4,
        'rule 25: the new one knows');
    is(post($n, '/v1/events', events('u2', 4))->json()->{forwarded}, 4,
        'rule 25: the new one delivers');
    is(post($c, '/v1/events', events('u2', 4))->json()->{duplicates}, 4,
        'rule 25: the old one knows');
    is(post($c, '/v1/events', events('first', 20))->json()->{duplicates}, 20,
        'rule 25: and what was delivered before');

    $posted->add(u1 => 4, u2 => 4);
}), 'binary upgrade');

$posted->known('rule 25: two masters');
ok(moved(), 'the move ends');

# everything is killed in the middle of it

$t->allow_error('alert', qr/exited on signal 9/, maybe => 1);

for my $size (qw/ 32m 1m /) {

    $posted->fresh("kill-$size", 500);

    $t->conf(configuration($size));
    $t->signal('HUP');

    ok(wait_for(sub { -e "$file.prev" }), "$size: a move begins");
    $t->kill_all();
    $t->run();

    $posted->known("rule 25: $size: kill -9 of all");
    ok(moved(), "rule 25: $size: the move goes on and ends");
    $posted->known("rule 25: $size: after it");
    is_deeply([ glob "$file.*" ], [], "rule 25: $size: nothing is left");
}

# another format

SKIP: {
    my $newer = version_module(3);

    skip 'the module was not built here', 24 if !defined $newer;

    my $load_module = "load_module $newer;\n"
        . "events { worker_connections 1024; }";

    $t->conf(configuration('1m', main => $load_module));

    is(($t->test_config(configuration('1m', main => $load_module)))[0], 0,
        'rule 25: version N + 1 reads N: nginx -t');
    is(version(), 2, 'rule 24: and leaves it');

    # a worker of version N does not understand what N + 1 has made

    $t->allow_error('alert',
        qr/cannot go over to its successor: .* format version 3, newer/);
    $c = client($port);
    $old_pid = get($c, '/health')->header('X-Pid');

    $m->forget();
    $load = load('rule 25: versions under load');
    $load->progress(3);

    ok($t->upgrade(with => sub {
        my ($old, $new) = @_;

        my $n = connection_of($port, child_pids($new));

        is(post($n, '/v1/events', events('first', 20))->json()->{duplicates},
            20, 'rule 25: version N + 1 has the marks');
        is(post($n, '/v1/events', events('v1', 4))->json()->{forwarded}, 4,
            'rule 25: and delivers');
        is(post($c, '/v1/events', events('v2', 4))->status(), 503,
            'rule 25: an old worker of version N refuses');
        $posted->add(v1 => 4);
    }), 'binary upgrade to version N + 1');

    is(version(), 3, 'rule 25: the file is of version N + 1');
    $load->progress(3);

    # back: nobody can read it, so the running one goes on

    $t->allow_error('emerg', qr/format version 3, newer than 2/);
    $t->conf(configuration('1m'));
    my $master = $t->pid();
    my $refused = () = $t->log() =~ /newer than 2/g;
    kill 'USR2', $master;
    ok(wait_for(sub { my $n = () = $t->log() =~ /newer than 2/g;
        return $n > $refused }), 'rule 25: binary upgrade back to version N');
    ok(wait_for(sub {
        return (read_file($t->testdir() . '/nginx.pid') // '') =~ /^$master$/m
            && child_pids($master) >= 2;
    }), 'rule 25: is refused, and the master is the same');
    $load->progress(3);
    $load->end()->check($m, 503);

    $posted->fresh('v2', 4);
    $posted->known('rule 25: version N + 1');
    ok(moved(), 'rule 25: version N + 1: all has moved');

    $t->stop();

    # back: somebody must decide, for nobody can read it

    $t->conf(configuration('1m'));
    @was = facts();
    my ($code, $out) = $t->test_config(configuration('1m'));
    is($code, 1, 'rule 25: back to version N: nginx -t');
    like($out, qr/format version 3, newer than 2/, 'rule 25: says why');
    $t->allow_error('emerg', qr/format version 3, newer than 2/);
    ok(!$t->try_run(), 'rule 25: no start');
    is_deeply([ facts() ], \@was, 'rule 25: and the file is left alone');
}

$t->stop();

###############################################################################

# not more than there is room for, nor as fast as can be

sub load {
    my ($name) = @_;

    return Test::EventBridge::Load->start($t, $name, slow => 4,
        again => 0.5, pace => 0.003);
}

# until the old file is gone

sub moved {
    return wait_for(sub { !-e "$file.prev" }, 30);
}

sub facts {
    my @st = Time::HiRes::stat($file);
    return @st[1, 7, 9];
}

sub version {
    return unpack 'x8 L', read_file($file);
}

# The module as it would be with another number of the format: two of its
# files are compiled anew, and it is linked, by the commands of its own build.

sub version_module {
    my ($version) = @_;

    my $dir = $t->testdir();
    my $out = dirname($t->{module});
    my $make = read_file("$out/objs/Makefile") // return undef;

    my @sources = $make =~ m{^\t(\S+/ngx_eb_checkpoint_(?:file|next)\.c)$}mg;
    return undef if @sources != 2;

    my $commands = qx{make -n -C $out/tree -f ../objs/Makefile \\
        -W $sources[0] -W $sources[1] modules};

    $commands =~ s/^make.*\n//mg;
    $commands =~ s{\S+/ngx_eb_checkpoint_(file|next)\.o}{$dir/$1.o}g;
    $commands =~ s{-o \S+\.so}{-o $dir/newer.so};
    $commands =~ s{ -c }{ -c -DNGX_EB_CHECKPOINT_VERSION=$version }g;

    $t->write_file('build.sh', "set -e\ncd $out/tree\n$commands");

    return undef if system("sh $dir/build.sh > $dir/build.log 2>&1");

    return "$dir/newer.so";
}

###############################################################################
