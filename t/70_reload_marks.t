#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# What was delivered stays delivered: over reload, binary upgrade, the death
# of everything, locks that nobody will ever open, and as far as can be over
# damage to the checkpoint's file.  The figures go on as well.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Time::HiRes ();

use Test::EventBridge;
use Test::EventBridge::Batches qw/ events /;
use Test::EventBridge::Client qw/ connection_of /;
use Test::EventBridge::Disk qw/ disk undisk /;
use Test::EventBridge::Util qw/ child_pids now /;

###############################################################################

my $t = Test::EventBridge->new(workers => 2, log_level => 'info')
    ->plan($> == 0 ? 161 : 156);

my $ma = $t->mock(1);
my $mb = $t->mock(2);

my $port = $t->port(0);
my $file = $t->testdir() . '/z.ckpt';

sub configuration {
    my (%opt) = @_;

    $opt{zone} //= '';
    $opt{path} //= '%%TESTDIR%%/z.ckpt';
    $opt{both} //= 'eventbridge_route /to/a; eventbridge_route /to/b;';
    $opt{more} //= '';

    return <<"EOF2";
    eventbridge_checkpoint_zone zone=z:1m path=$opt{path} $opt{zone};
    eventbridge_stats_file %%TESTDIR%%/stats;

    upstream a { server 127.0.0.1:%%PORT_1%%; keepalive 8; }
    upstream b { server 127.0.0.1:%%PORT_2%%; keepalive 8; }

    server {
        listen 127.0.0.1:%%PORT_0%%;

        client_max_body_size 4m;
        proxy_http_version 1.1;
        proxy_set_header Connection "";

        add_header X-Pid \$pid always;

        eventbridge_checkpoint z;

        location = /v1/events {
            eventbridge_ingest;
            eventbridge_route /to/a;
        }

        location = /both {
            eventbridge_ingest;
            eventbridge_route_policy all;
            $opt{both}
        }

        location ~ ^/to/[ac]\$ {
            internal;
            client_max_body_size 0;
            proxy_pass http://a;
        }

        location = /to/b {
            internal;
            client_max_body_size 0;
            proxy_pass http://b;
        }

        location = /metrics { eventbridge_metrics; }
        location = /health { eventbridge_health; }

        $opt{more}
    }
EOF2
}

$t->conf(configuration())->run();

my $posted = Test::EventBridge::Batches->new($port);

###############################################################################

# reload

$posted->fresh('first', 5);
nothing_twice('at once');

ok($t->reload(), 'reload');
nothing_twice('reload');
$posted->fresh('reloaded', 3);

# a reload that fails

$t->allow_error('emerg', qr/unknown directive "nonsense"/);

$t->conf(configuration(more => 'nonsense;'));
ok(!$t->reload(), 'a bad configuration is refused');
nothing_twice('refused reload');
$posted->fresh('refused', 2);

$t->conf(configuration());
ok($t->reload(), 'reload after that');
nothing_twice('reload after a refused one');

# another size is another file, see 70_resize.t

$t->conf(configuration() =~ s/z:1m/z:2m/r);
ok($t->reload(), 'reload with another size');
nothing_twice('another size');
ok(wait_for(sub { !-e "$file.prev" }), 'all has moved');
$t->conf(configuration());
ok($t->reload(), 'and back');
ok(wait_for(sub { !-e "$file.prev" }), 'all has moved');

figures('reload');

# binary upgrade: both masters serve

my $c = client($port);
my $r = get($c, '/health');
my $old_pid = $r->header('X-Pid');

ok($t->upgrade(with => sub {
    my ($old, $new) = @_;

    my %old = map { $_ => 1 } child_pids($old);
    my %new = map { $_ => 1 } child_pids($new);

    # a kept connection is of the old one

    my $d = connection_of($port, keys %new);

    ok($old{$old_pid}, 'one connection is of the old master');
    ok($d, 'one connection is of the new master');

    is(post($c, '/v1/events', events('u1', 4))->json()->{forwarded}, 4,
        'the old one delivers');
    is(post($d, '/v1/events', events('u1', 4))->json()->{duplicates}, 4,
        'and the new one knows');
    $r = post($d, '/v1/events', events('u2', 4));
    is($r->json()->{forwarded}, 4, 'the new one delivers');
    ok($new{$r->header('X-Pid')}, 'by its own worker');
    $r = post($c, '/v1/events', events('u2', 4));
    is($r->json()->{duplicates}, 4, 'and the old one knows');
    ok($old{$r->header('X-Pid')}, 'by its own worker');

    # one event, of both at once: delivered once

    $ma->set('/to/a', delay => 100);
    $_->start(method => 'POST', path => '/v1/events', body => events('u3', 1))
        for $c, $d;
    my @both = map { $_->response()->json() } $c, $d;
    $ma->clear();

    is($both[0]{forwarded} + $both[1]{forwarded}, 1, 'from both at once');
    is($both[0]{duplicates} + $both[1]{duplicates}, 1, 'delivered once');

    $posted->add(u1 => 4, u2 => 4, u3 => 1);

    nothing_twice('two masters');
}), 'binary upgrade');

nothing_twice('binary upgrade');
$posted->fresh('upgraded', 3);
figures('binary upgrade');

# all killed

$t->allow_error('alert', qr/exited on signal 9/, maybe => 1);

$t->kill_all()->run();
nothing_twice('kill -9 of all');
$posted->fresh('killed', 3);
figures('kill -9 of all');

# one killed while it delivers: its claims are free for the others

$ma->set('/to/a', hang => 1);
$c = client($port);
$c->start(method => 'POST', path => '/v1/events', body => events('k', 2));
ok($ma->wait_held('/to/a', 1), 'delivery is under way');
$ma->clear();

my ($claimant) = grep { owns($_, $c->port()) } $t->worker_pids();
ok($claimant, 'who delivers');
$t->kill_worker('KILL', $claimant);
$ma->release('/to/a');

my $start = now();
is(post($port, '/v1/events', events('k', 2))->json()->{forwarded}, 2,
    'after the death of the claimant');
cmp_ok(now() - $start, '<', Test::EventBridge::Util::scaled(3),
    'without waiting for claim_timeout');

# that one was delivered twice, for one was cut: begin anew

$posted->add(k => 2);
$ma->forget();

# locks that a former run left: they name a thread that lives and will never
# unlock them

$t->kill_all();
ok(lock_everything() > 10, 'all locks are locked');

$t->run();
$start = now();
$posted->known('locks of a former run');
is(post($port, '/v1/events', events('locked', 2))->json()->{forwarded}, 2,
    'locks of a former run: delivers');
$posted->add(locked => 2);
cmp_ok(now() - $start, '<', Test::EventBridge::Util::scaled(5),
    'nobody waits for them');
is(health()->{status}, 'healthy', 'and health is well');
$t->reload();
$posted->known('reload after that');

# one entry is damaged: that event alone comes again

$t->stop();
flip_entry();
$t->run();

my ($again, $kept) = (0, 0);
my %delivered = $posted->delivered();

for my $name (sort keys %delivered) {
    $r = post($port, '/v1/events', events($name, $delivered{$name}))->json();
    $again += $r->{forwarded};
    $kept += $r->{duplicates};
}

is($again, 1, 'a damaged mark costs a duplicate of its event');
my $all = 0;
$all += $_ for values %delivered;
is($kept, $all - 1, 'and no other');

# nginx -t leaves the file alone

$t->stop();

my @before = facts();
my ($code, $out) = $t->test_config(configuration());
is($code, 0, 'nginx -t');
is_deeply([ facts() ], \@before,
    'rule 24: nginx -t: same file, times and bytes');
is_deeply([ grep { !/z\.ckpt$/ } glob "$file*" ], [], 'and no other file');

# on_corrupt=reset

my $n = 0;

for my $case (
    [ 'truncated', sub { truncate $file, 524288 or die "truncate: $!\n" } ],
    [ 'truncated to a piece of the header', sub {
        truncate $file, 100 or die "truncate: $!\n" } ],
    [ 'a flipped bit in the header', sub { patch(30, chr 1, 1) } ],
    [ 'a flipped bit in the secret', sub { patch(100, chr 8, 1) } ],
    [ 'a flipped bit in the check', sub { patch(504, chr 128, 1) } ])
{
    my ($name, $damage) = @$case;

    $damage->();

    @before = facts();

    ($code, $out) = $t->test_config(configuration());
    is($code, 0, "$name: nginx -t");

    ($code, $out) = $t->test_config(configuration(zone => 'on_corrupt=refuse'));
    is($code, 1, "$name: refuse: nginx -t");
    like($out, qr/\[emerg\].*z\.ckpt" is damaged/, "$name: which file");
    is_deeply([ facts() ], \@before, "$name: nginx -t leaves it");

    if ($n++ == 0) {
        $t->allow_error('emerg', qr/z\.ckpt" is damaged/);
        $t->conf(configuration(zone => 'on_corrupt=refuse'));
        ok(!$t->try_run(), "$name: refuse: no start");
        is_deeply([ (facts())[0, 3, 4] ], [ @before[0, 3, 4] ],
            'and the file is as it was');
        $t->conf(configuration());
    }

    my $from = -s $t->testdir() . '/error.log';

    $t->allow_error('alert', qr/"\S+z\.ckpt" is damaged and was renamed/);
    $t->metrics_forget()->run();

    ok(wait_for(sub { glob "$file.corrupt-*" }), "rule 25: $name: set aside");

    my ($aside) = glob "$file.corrupt-*";
    is((stat $aside)[1], $before[0], "$name: it is the damaged one");
    is(read_file($aside), $before[4], "$name: with its bytes");
    like($t->log($from), qr/\[alert\].*starts empty/, "$name: announced");

    my $h = health();
    is($h->{status}, 'degraded', "$name: health is degraded");
    ok($h->{checkpoints}[0]{startedEmptyAfterDamage}, "$name: and says why");

    is(post($port, '/v1/events', events("after-$n", 2))->json()->{forwarded},
        2, "$name: delivers");
    is(post($port, '/v1/events', events("after-$n", 2))->json()->{duplicates},
        2, "$name: and remembers");

    $t->stop();
    unlink $aside;
}

# other people's files, and those of a later version

my $good = read_file($file);

for my $case (
    [ 'foreign', sub { spew("%PDF-1.4\n" . 'x' x 100000) },
        qr/z\.ckpt" is not a checkpoint/ ],
    [ 'newer', sub { spew($good); patch(8, pack 'L', 1000) },
        qr/z\.ckpt" has format version 1000, newer/ ],
    [ 'shared', sub { spew($good); link $file, "$file-too" },
        qr/z\.ckpt" has another name/ ],
    $> == 0 ? [ 'planted', sub { unlink "$file-too"; spew($good);
        chown 4711, -1, $file }, qr/z\.ckpt" belongs to another user/ ] : ())
{
    my ($name, $make, $re) = @$case;

    $make->();
    @before = facts();

    ($code, $out) = $t->test_config(configuration());
    is($code, 1, "$name: nginx -t");
    like($out, $re, "$name: says so");

    $t->allow_error('emerg', $re);
    ok(!$t->try_run(), "$name: no start");
    is_deeply([ (facts())[0, 1, 3, 4] ], [ @before[0, 1, 3, 4] ],
        "$name: is left alone");
    is_deeply([ glob "$file.*" ], [], "$name: and nothing beside it");
}

unlink "$file-too", $file;

# directories

spew($good);

($code, $out) = $t->test_config(configuration(
    path => '%%TESTDIR%%/none/z.ckpt'));
is($code, 1, 'no directory: nginx -t');
like($out, qr!\[emerg\].*cannot open directory "\S+/none/"!,
    'no directory: which one');

($code, $out) = $t->test_config(configuration(
    path => '%%TESTDIR%%/z.ckpt/y.ckpt'));
is($code, 1, 'a file as directory: nginx -t');
like($out, qr!\[emerg\].*z\.ckpt/y\.ckpt!, 'a file as directory: which one');

$t->allow_error('emerg', qr!/none/z\.ckpt!);
$t->conf(configuration(path => '%%TESTDIR%%/none/z.ckpt'));
ok(!$t->try_run(), 'no directory: no start');
ok(!-e $t->testdir() . '/none', 'no directory: none is made');

SKIP: {
    my $dir = $t->testdir() . '/ro';
    my $why = disk($dir, 'size=4m,ro');
    skip $why, 3 if defined $why;

    ($code, $out) = $t->test_config(configuration(
        path => '%%TESTDIR%%/ro/z.ckpt'));
    is($code, 1, 'read-only: nginx -t');
    like($out, qr!\[emerg\].*cannot create files in "\S+/ro/"!,
        'read-only: which one');

    $t->allow_error('emerg', qr!cannot create "\S+/ro/z\.ckpt!);
    $t->conf(configuration(path => '%%TESTDIR%%/ro/z.ckpt'));
    ok(!$t->try_run(), 'read-only: no start');

    undisk($dir);
}

# one of two destinations is down; then the routes change places, and a third
# one comes

unlink $file;
$t->conf(configuration())->metrics_forget()->run();
$_->forget() for $ma, $mb;

$mb->set('/to/b', status => 503);

is(post($port, '/both', events('two', 7))->status(), 503, 'one is down');
is($ma->hits('/to/a'), 1, 'the other has them');

$t->conf(configuration(both => 'eventbridge_route /to/c;
    eventbridge_route /to/b; eventbridge_route /to/a;'));
ok($t->reload(), 'rule 5: reload with the routes swapped');

$mb->clear();
$_->forget() for $ma, $mb;

is(post($port, '/both', events('two', 7))->status(), 200, 'again');
is_deeply([ map { scalar $_->[0]->ids($_->[1]) }
    [ $ma, '/to/a' ], [ $mb, '/to/b' ], [ $ma, '/to/c' ] ], [ 0, 7, 7 ],
    'exactly what was missing');

$t->kill_all()->run();
$_->forget() for $ma, $mb;

is(post($port, '/both', events('two', 7))->json()->{duplicates}, 7,
    'and nothing after a kill');
is($ma->hits() + $mb->hits(), 0, 'to nobody');

$t->stop();

###############################################################################

sub nothing_twice {
    my ($name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $posted->known($name);

    my %n;
    $n{$_}++ for $ma->ids('/to/a');

    is_deeply([ grep { $n{$_} != 1 } sort keys %n ], [],
        "$name: each was delivered once");
}

# the counters are what the destination has

sub figures {
    my ($name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $ids = () = $ma->ids('/to/a');

    is($t->metric('eventbridge_events_forwarded_total',
        location => '/v1/events'), $ids, "$name: forwarded");
    is($t->metric('eventbridge_destination_events_forwarded_total',
        destination => '/to/a', location => '/v1/events'), $ids,
        "$name: forwarded to the destination");
    is($t->metric('eventbridge_destination_requests_total',
        destination => '/to/a', location => '/v1/events'),
        $ma->hits('/to/a'), "$name: requests");
}

sub health {
    my $res = get($port, '/health');
    return $res->json() // { status => $res->text() };
}

# does a process have the other end of a connection from this port?

sub owns {
    my ($pid, $from) = @_;

    my %inode;

    for (split /\n/, read_file('/proc/net/tcp')) {
        my @f = split;
        next if $f[1] !~ /:/;
        my ($local) = $f[1] =~ /:(\w+)$/;
        my ($remote) = $f[2] =~ /:(\w+)$/;
        $inode{"socket:[$f[9]]"} = 1
            if hex $local == $port && hex $remote == $from;
    }

    return grep { $inode{readlink($_) // ''} } glob "/proc/$pid/fd/*";
}

sub facts {
    my @st = Time::HiRes::stat($file);
    return (@st[1, 9, 10, 7], read_file($file));
}

sub spew {
    my ($bytes) = @_;
    open my $fh, '>:raw', $file or die "open $file: $!\n";
    print $fh $bytes or die "write $file: $!\n";
    close $fh or die "close $file: $!\n";
}

# new bytes at an offset, or bits that are turned

sub patch {
    my ($at, $bytes, $flip) = @_;

    open my $fh, '+<:raw', $file or die "open $file: $!\n";

    if ($flip) {
        seek $fh, $at, 0;
        read $fh, my $was, length $bytes;
        $bytes = $was ^ $bytes;
    }

    seek $fh, $at, 0;
    print $fh $bytes or die "write $file: $!\n";
    close $fh or die "close $file: $!\n";
}

# of the header: owners, regions, offsets of owner slots, locks and table

sub layout {
    open my $fh, '<:raw', $file or die "open $file: $!\n";
    read $fh, my $head, 72;
    close $fh;

    my %l;
    @l{qw/ owners regions /} = unpack 'x20 L L', $head;
    @l{qw/ size at_owners at_locks at_tags at_table /} =
        unpack 'x32 Q5', $head;

    return %l;
}

# lock word and owner of every mutex: this process, which never unlocks

sub lock_everything {
    my %l = layout();
    my @at = (768, (map { $l{at_owners} + 64 * $_ } 0 .. $l{owners} - 1),
        map { $l{at_locks} + 64 * $_ } 0 .. $l{regions} - 1);

    open my $fh, '+<:raw', $file or die "open $file: $!\n";

    for my $at (@at) {
        seek $fh, $at, 0;
        print $fh pack 'L4', $$, 0, $$, 1;
    }

    close $fh or die "close $file: $!\n";

    return scalar @at;
}

# one bit of the first entry that is in use

sub flip_entry {
    my %l = layout();

    my $bytes = read_file($file);

    for (my $at = $l{at_table}; $at < $l{size}; $at += 32) {
        next if substr($bytes, $at, 32) eq "\0" x 32;
        patch($at + 3, chr 16, 1);
        return;
    }

    die "no mark in $file\n";
}

###############################################################################
