#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# What runs out: connections, disks, the patience of destinations and of those
# who stop nginx, memory.  Senders are told, nothing is lost, and it recovers.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();

use Test::EventBridge;
use Test::EventBridge::Client ();
use Test::EventBridge::Disk qw/ disk undisk /;
use Test::EventBridge::Util qw/ child_pids now scaled /;

###############################################################################

my $t = Test::EventBridge->new(log_level => 'info')->plan(95);

my $m = $t->mock(1);
my $port = $t->port(0);

my @members = qw/ timestamp requestId traceId location eventId source type
    action route destination status region lagMs reason /;

# one worker, so that its limits are those of all

sub configuration {
    my (%opt) = @_;

    $opt{connections} //= 512;
    $opt{$_} //= '' for qw/ main http ingest server /;
    $opt{zone} //= 'zone=z:16m path=%%TESTDIR%%/z.ckpt';

    return <<"EOF2";
worker_processes 1;
$opt{main}

events {
    worker_connections $opt{connections};
}

http {
    eventbridge_checkpoint_zone $opt{zone};
    eventbridge_stats_file %%TESTDIR%%/stats;

    upstream a { server 127.0.0.1:%%PORT_1%%; keepalive 4; }

    keepalive_requests 1000000;
    $opt{http}

    server {
        listen 127.0.0.1:%%PORT_0%%;

        client_max_body_size 8m;
        proxy_http_version 1.1;
        proxy_set_header Connection "";

        location = /v1/events {
            eventbridge_ingest;
            eventbridge_checkpoint z;
            eventbridge_route /to/hang source=^hang;
            eventbridge_route /to/hang2 source=^2hang;
            eventbridge_route /to/ok name=ok source=^ok;
            $opt{ingest}
        }

        location ~ ^/to/ {
            internal;
            client_max_body_size 0;
            proxy_pass http://a;
        }

        location = /metrics { eventbridge_metrics; }
        location = /health { eventbridge_health; }
        location = /stub { stub_status; }

        $opt{server}
    }
}
EOF2
}

###############################################################################

# connections: each delivery takes one of the client, one of the carrier, and
# one of the destination

$t->allow_error('alert', qr/32 worker_connections are not enough/);

$t->conf(configuration(connections => 32,
    ingest => 'eventbridge_inflight 64m deliveries=100;'))->run();

my ($idle) = get($port, '/stub')->body() =~ /^Active connections: (\d+)/;

$m->set('/to/ok', delay => 50);

my %status;
my $bad = 0;

for my $round (1 .. 5) {
    my %todo = map { $_ => 1 } map { "c$round-$_" } 1 .. 40;

    wait_for(sub {
        my %c;

        for my $name (sort keys %todo) {
            $c{$name} = client($port);
            $c{$name}->start(method => 'POST', path => '/v1/events',
                body => events($name, 3), headers => { Connection => 'close' });
        }

        for my $name (sort keys %c) {
            my $r = $c{$name}->response();

            $status{$r->status()}++;
            $bad++ if $r->status() && $r->error();
            $bad++ if $r->status() == 503
                && ($r->header('Retry-After') // '') !~ /^[1-5]$/;
            delete $todo{$name} if $r->status() == 200;
            $c{$name}->close();
        }

        return !%todo;
    }, 60);

    is(scalar keys %todo, 0, "connections: round $round is delivered");
}

# senders that have their connections, and whose deliveries get none

{
    my %todo = map { $_ => 1 } map { "d-$_" } 1 .. 24;
    my $told = 0;

    wait_for(sub {
        my %c;

        for my $name (sort keys %todo) {
            my $body = events($name, 3);

            $c{$name} = client($port);
            $c{$name}->start(method => 'POST', path => '/v1/events',
                pieces => [ substr $body, 0, 10 ], length => length $body);
        }

        # all are taken, and none of them is idle

        wait_for(sub {
            my ($n) = get($port, '/stub')->body() =~ /Writing: (\d+)/;
            return defined $n && $n > keys %c;
        }, 2);

        $m->set('/to/ok', hang => 1);
        $c{$_}->put(substr events($_, 3), 10) for sort keys %todo;

        wait_for(sub {
            return $m->held('/to/ok') + (grep { $_->answered() } values %c)
                >= keys %c;
        }, 3);

        $m->clear();
        $m->release('/to/ok');

        for my $name (sort keys %c) {
            my $r = $c{$name}->response();

            $status{$r->status()}++;
            $told++ if $r->status() == 503
                && ($r->header('Retry-After') // '') =~ /^[1-5]$/
                && $r->json()->{error} eq 'delivery_failed';
            delete $todo{$name} if $r->status() == 200;
            $c{$name}->close();
        }

        return !%todo;
    }, 60);

    is(scalar keys %todo, 0, 'connections: of deliveries: all is delivered');
    cmp_ok($told, '>', 0, 'connections: of deliveries: 503 and Retry-After');
}

is_deeply([ grep { !/^(0|200|503)$/ } sort keys %status ], [],
    'connections: 200, 503, or refused');
cmp_ok($status{0} // 0, '>', 0, 'connections: there were too few');
is($bad, 0, 'connections: each answer is whole, with Retry-After');

my %logged;
delete $status{0};

# a line is written after its answer

wait_for(sub {
    %logged = ();
    $logged{$_}++ for read_file($t->testdir() . '/access.log')
        =~ m{"POST /v1/events HTTP/1\.1" (\d+)}g;
    return ($logged{200} // 0) == $status{200};
});

is_deeply(\%logged, \%status, 'connections: what was read is answered');

$m->clear();

my @ids = $m->ids('/to/ok');
my %n;
$n{$_}++ for @ids;
is(keys %n, 672, 'connections: nothing is lost');
is(@ids, 672, 'connections: nothing comes twice');
is(post($port, '/v1/events', events('c', 3))->status(), 200,
    'connections: recovered');

my $active;

ok(wait_for(sub {
    ($active) = get($port, '/stub')->body() =~ /^Active connections: (\d+)/;
    return $active <= $idle + 4;
}), 'connections: all are given back') or diag("$idle, now $active");

$t->stop();

# a disk that is too small for the checkpoint

SKIP: {
    my $dir = $t->testdir() . '/small';
    my $why = disk($dir, 'size=512k');
    skip $why, 20 if defined $why;

    my $zone = 'zone=z:1m path=%%TESTDIR%%/small/z.ckpt';

    my ($code, $out) = $t->test_config(configuration(zone => $zone));
    is($code, 1, 'full disk: nginx -t');
    like($out, qr!\[emerg\].*no room in "\S+/small/" for 1048576!,
        'full disk: which one');

    $t->allow_error('emerg', qr!cannot allocate \d+ bytes for "\S+/small/z!);
    $t->conf(configuration(zone => $zone));
    ok(!$t->try_run(), 'full disk: no start');
    is_deeply([ glob "$dir/*" ], [], 'full disk: nothing is left there');

    # a reload to it fails, and the old configuration goes on

    $t->conf(configuration())->run();
    $t->conf(configuration(zone => $zone));
    ok(!$t->reload(), 'full disk: no reload');
    is(post($port, '/v1/events', events('disk', 2))->status(), 200,
        'full disk: the old configuration delivers');
    $t->stop();

    # and one for the figures

    eval { append_file("$dir/filler", 'x' x 4096) while 1; };
    $t->allow_error('emerg', qr!stats file "\S+/small/stats"!);
    $t->conf(configuration() =~ s!TESTDIR%%/stats!TESTDIR%%/small/stats!r);
    ok(!$t->try_run(), 'full disk for figures: no start');
    unlink glob "$dir/*";

    # the audit log: lines are lost and counted, events are delivered

    $t->conf(configuration(ingest =>
        'eventbridge_audit_log %%TESTDIR%%/small/audit.jsonl buffer=8k'
        . ' flush=20ms;'))->run();

    my ($lines, $dropped, $errors) = audit_figures();
    my $from = $m->hits('/to/ok');
    my $events = 0;
    my $long = 'l' x 200;
    my $c = client($port);
    $bad = 0;

    ok(wait_for(sub {
        my $batch = $events / 20;
        my $r = post($c, '/v1/events', events("full-$long-$batch", 20));
        $bad++ if $r->status() != 200;
        $events += 20;
        my @now = audit_figures();
        return $now[1] > $dropped + 100 && $now[2] > $errors;
    }, 60), 'audit: the disk is full');

    is($bad, 0, 'audit: every batch is delivered');
    is($m->hits('/to/ok') - $from, $events / 20, 'audit: at its destination');
    like($t->log(), qr/\[error\].*of audit log "\S+" failed \(28: No space/,
        'audit: it is in the log');
    my $complaints = () = $t->log() =~ /of audit log/g;
    is($complaints, 1, 'audit: once a minute');

    ok(wait_for(sub {
        my @now = audit_figures();
        return $now[0] - $lines + $now[1] - $dropped == $events;
    }), 'audit: each line is written or counted as lost');

    # room again

    my @before = audit_figures();
    my $size = -s "$dir/audit.jsonl";
    ok(rename("$dir/audit.jsonl", $t->testdir() . '/audit.full')
        || move("$dir/audit.jsonl", $t->testdir() . '/audit.full'),
        'audit: makes room');
    $t->signal('USR1');
    ok(wait_for(sub { -e "$dir/audit.jsonl" }), 'audit: reopened');

    ok(wait_for(sub {
        post($c, '/v1/events', events("room-$events", 20));
        $events += 20;
        return -s "$dir/audit.jsonl";
    }), 'audit: lines again');

    $c->close();
    $t->stop();

    my ($good, $torn) = (0, 0);

    for my $name ($t->testdir() . '/audit.full', "$dir/audit.jsonl") {
        for my $line (split /\n/, read_file($name)) {
            my $value = eval { JSON::PP::decode_json($line) };
            ref $value eq 'HASH' ? $good++ : $torn++;
        }
    }

    $t->run();
    my @now = audit_figures();
    is($now[0] - $lines, $good, 'audit: the figure is that of the lines');
    is($now[0] + $now[1] - $lines - $dropped, $events,
        'audit: none is unknown');
    cmp_ok($torn, '<=', $now[2] - $errors, 'audit: one torn line an error');
    is($before[0] <= $now[0] ? 1 : 0, 1, 'audit: figures grow');
    $t->stop();

    undisk($dir);
}

# a destination that hangs: it may use half of what may be in flight

my $inflight = configuration(http => 'proxy_read_timeout 60s;',
    ingest => 'eventbridge_inflight 64m deliveries=8;
               eventbridge_forward_timeout 1s;');

$t->conf($inflight)->run();
$m->set($_, hang => 1) for '/to/hang', '/to/hang2';

my $overload = $t->metric('eventbridge_overload_total') // 0;
my $saturated = $t->metric('eventbridge_destination_saturated_events_total',
    destination => '/to/hang') // 0;

my @held = map { hold('/to/hang', "hang-$_", 'hang') } 1 .. 4;
is($m->held('/to/hang'), 4, 'inflight: half of it hangs');

my @answers = map { post($port, '/v1/events', events("hang-x$_", 2, 'hang')) }
    1 .. 6;
is_deeply([ map { $_->status() } @answers ], [ (503) x 6 ],
    'inflight: more for it is refused');
is_deeply([ grep { $_->header('Retry-After') !~ /^[1-5]$/ } @answers ], [],
    'inflight: with Retry-After');
is_deeply([ map { $_->json()->{error} } @answers ],
    [ ('overloaded') x 6 ], 'inflight: says what');
is($t->metric('eventbridge_destination_saturated_events_total',
    destination => '/to/hang') - $saturated, 12, 'inflight: counted');

is_deeply([ grep { $_ != 200 } map { post($port, '/v1/events',
    events("ok-$_", 2))->status() } 1 .. 20 ], [],
    'inflight: others are delivered');

# a batch for both: what can be delivered is

my $r = post($port, '/v1/events', '{"events":['
    . '{"id":"mix-1","source":"hang"},{"id":"mix-2","source":"ok"}]}');
is($r->status(), 503, 'inflight: a mixed batch');
is_deeply([ map { $r->json()->{$_} } qw/ forwarded failed / ], [ 1, 1 ],
    'inflight: in part');

push @held, map { hold('/to/hang2', "2hang-$_", '2hang') } 1 .. 4;
is($m->held(), 8, 'inflight: all of it hangs');

@answers = map { post($port, '/v1/events', events("over-$_", 2)) } 1 .. 5;
is_deeply([ map { $_->status() } @answers ], [ (503) x 5 ],
    'inflight: nothing more');
is_deeply([ map { $_->json()->{error} } @answers ], [ ('overloaded') x 5 ],
    'inflight: overloaded');
is_deeply([ grep { $_->header('Retry-After') !~ /^[1-5]$/ } @answers ], [],
    'inflight: with Retry-After');
is($t->metric('eventbridge_overload_total') - $overload, 5,
    'inflight: counted');

is_deeply([ map { $_->response()->status() } @held ], [ (503) x 8 ],
    'inflight: those who wait hear in time');

$m->clear();
is($m->release(), 8, 'inflight: they are answered');
ok(wait_for(sub { post($port, '/v1/events', events('over-1', 2))->status()
    == 200 }), 'inflight: recovered');
is_deeply([ map { post($port, '/v1/events', events("hang-$_", 2, 'hang'))
    ->json()->{duplicates} } 1 .. 4 ], [ (2) x 4 ],
    'inflight: late deliveries are marked');

# bytes, too: memory is bounded

$t->conf($inflight =~ s/64m deliveries=8/4m deliveries=100/r);
$t->reload();
$m->set('/to/hang', hang => 1);

my ($worker) = $t->worker_pids();
my $before = private_memory($worker);
my $pad = 'p' x 1000000;
my @clients = map { client($port) } 1 .. 30;

$_->start(method => 'POST', path => '/v1/events',
    body => qq!{"events":[{"id":"big-! . $_->port()
        . qq!","source":"hang","data":"$pad"}]}!) for @clients;

%status = ();
$status{$_->response()->status()}++ for @clients;
is_deeply(\%status, { 503 => 30 }, 'bytes: nobody hears 200');
is($m->held('/to/hang'), 2, 'bytes: at most half of the bound');

 SKIP: {
    skip 'not under Valgrind or a sanitizer', 1 if !measurable($worker);
    cmp_ok(private_memory($worker) - $before, '<', 16 * 1048576,
        'bytes: memory is bounded');
}

$m->clear();
$m->release();
ok(wait_for(sub { post($port, '/v1/events', events('ok-b', 2, 'hang'))
    ->status() == 200 }), 'bytes: recovered');
$_->close() for @clients;
$t->stop();

# the audit log

$t->conf(configuration(ingest => 'eventbridge_audit_log
    %%TESTDIR%%/audit.jsonl buffer=8k flush=1h; eventbridge_unrouted reject;',
    server => 'location = /drop {
        eventbridge_ingest; eventbridge_checkpoint z; eventbridge_route /to/ok
        name=r source=^ok; eventbridge_audit_log %%TESTDIR%%/audit.jsonl
        buffer=8k flush=1h; }'))->run();

my $now = time();

is(post($port, '/v1/events', '{"events":[{"id":"a1","source":"ok","timestamp":"'
    . '2026-01-02T03:04:05Z","metadata":{"region":"us-east-1"}}]}')->status(),
    200, 'audit: forwarded');
post($port, '/v1/events', '{"events":[{"id":"a1","source":"ok"}]}');
post($port, '/drop', '{"events":[{"id":"a2","source":"none"}]}');
post($port, '/v1/events', '{"events":[{"id":"a3","source":"none"}]}');
post($port, '/v1/events', '{"events":[{"id":{},"source":"ok"}]}');
$m->queue('/to/ok', { status => 500 });
post($port, '/v1/events', '{"events":[{"id":"a4","source":"ok"}]}');
post($port, '/drop', qq!{"events":[{"id":"a5\\"\\n\\u0000\xc3\xa4","source":!
    . '"ok:<\\/script>"}]}');

is(-s $t->testdir() . '/audit.jsonl', 0, 'audit: still in the buffer');
ok($t->reopen('audit.jsonl'), 'audit: USR1');

ok(wait_for(sub {
    return 7 == (() = (read_file($t->testdir() . '/audit.jsonl.reopen1') // '')
        =~ /\n/g) }), 'audit: flushed to the old file');

my @lines = $t->audit_lines('audit.jsonl.reopen1', \@members);

is_deeply([ map { $_->{action} } @lines ], [ qw/ forwarded duplicate dropped
    unrouted invalid failed forwarded / ], 'audit: actions');

my ($first) = @lines;

is_deeply([ @$first{qw/ location eventId source route destination status
    region /} ], [ '/v1/events', 'a1', 'ok', 'ok', '/to/ok', 200,
    'us-east-1' ], 'audit: members');
like($first->{timestamp}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
    'audit: timestamp');
like($first->{requestId}, qr/^[0-9a-f]{32}$/, 'audit: request id');
cmp_ok($first->{lagMs}, '>=', 0, 'audit: lag');
is($lines[4]{reason} // '', 'id is neither a string nor a number',
    'audit: reason');
is($lines[5]{status}, 500, 'audit: status');

# what is in the buffer at the end is written

post($port, '/v1/events', events('exit', 5));
is(-s $t->testdir() . '/audit.jsonl', 0, 'audit: new file, and a new buffer');
$t->stop();
@lines = $t->audit_lines('audit.jsonl', \@members);
is_deeply([ map { $_->{eventId} } @lines ], [ map { "exit-$_" } 1 .. 5 ],
    'audit: flushed at the end');

# memory: 20,000 batches

SKIP: {
    my $conf = configuration(http => 'access_log off;',
        ingest => 'eventbridge_audit_log %%TESTDIR%%/audit2.jsonl;',
        server => '} server { listen 127.0.0.1:%%PORT_2%%; location / {
            return 200; }')
        =~ s/server 127\.0\.0\.1:%%PORT_1%%/server 127.0.0.1:%%PORT_2%%/r
        =~ s/zone=z:16m/zone=z:1m/r
        =~ s/z\.ckpt/memory.ckpt/r;

    $t->metrics_forget();
    $t->{log_level} = 'error';
    $t->conf($conf)->run();

    ($worker) = $t->worker_pids();

    if (!measurable($worker)) {
        $t->stop();
        $t->metrics_forget();
        $t->{log_level} = 'info';
        skip 'not under Valgrind or a sanitizer', 3;
    }

    $bad = batches(1, 4000);
    $before = private_memory($worker);
    $bad += batches(4001, 24000);
    my $after = private_memory($worker);

    is($bad, 0, 'memory: every batch is delivered');
    cmp_ok($before, '>', 0, 'memory: is known');
    cmp_ok($after - $before, '<', 1048576, 'memory: does not grow')
        or diag("$before, $after");
    note("memory $before, $after");

    $t->stop();
    $t->metrics_forget();
    $t->{log_level} = 'info';
}

# QUIT in the middle of a delivery: it is finished

$t->conf(configuration())->run();
$m->set('/to/hang', hang => 1);

my $c = hold('/to/hang', 'quit', 'hang');
$t->signal('QUIT');
ok(wait_for(sub {
    my $new = client($port);
    my $refused = ($new->{error} // '') =~ /refused/;
    $new->close();
    return $refused;
}), 'QUIT: nobody listens');
$m->clear();
$m->release();
$r = $c->response();
is($r->status(), 200, 'QUIT: answered');
is($r->json()->{forwarded}, 2, 'QUIT: delivered');
ok(wait_for(sub { !child_pids($t->pid()) }), 'QUIT: the worker is gone');
$t->stop();

# TERM: nobody waits, and the claims are free at once

$t->run();
is(post($port, '/v1/events', events('quit', 2, 'hang'))->json()->{duplicates},
    2, 'QUIT: marked');

$m->set('/to/hang', hang => 1);
$c = hold('/to/hang', 'term', 'hang');
my $start = now();
$t->stop(signal => 'TERM');
cmp_ok(now() - $start, '<', scaled(3), 'TERM: at once');
is($c->response()->status(), 0, 'TERM: no answer');
$m->clear();
$m->release();

$t->run();
$start = now();
is(post($port, '/v1/events', events('term', 2, 'hang'))->json()->{forwarded},
    2, 'TERM: delivered after the start');
cmp_ok(now() - $start, '<', scaled(2), 'TERM: claims were free');
$t->stop();

# worker_shutdown_timeout

$t->conf(configuration(main => 'worker_shutdown_timeout 1s;',
    http => 'proxy_read_timeout 60s;'))->run();

for my $how ('reload', 'restart') {
    $m->set('/to/hang', hang => 1);
    $c = hold('/to/hang', "cut-$how", 'hang');
    my $d = hold('/to/hang', "cut2-$how", 'hang');
    $d->abort();

    # those who die: one whose sender waits, and one whose sender has left

    $start = now();

    if ($how eq 'reload') {
        ok($t->reload(), "$how: the old worker is gone");

    } else {
        ok($t->stop(), "$how: nginx is gone");
        $t->run();
    }

    my $took = now() - $start;
    cmp_ok($took, '>', 0.9, "$how: not before the timeout");
    cmp_ok($took, '<', 1 + scaled(2), "$how: soon after it");
    is($c->response()->status(), 0, "$how: no answer");
    $m->clear();
    $m->release();

    $start = now();
    is(post($port, '/v1/events', events("cut-$how", 2, 'hang'))->json()
        ->{forwarded}, 2, "$how: delivered again");
    is(post($port, '/v1/events', events("cut2-$how", 2, 'hang'))->json()
        ->{forwarded}, 2, "$how: the other one, too");
    cmp_ok(now() - $start, '<', scaled(2), "$how: claims were free");
}

$t->stop();

###############################################################################

sub events {
    my ($name, $count, $source) = @_;

    $source //= 'ok';

    return '{"events":[' . join(',', map {
        qq!{"id":"$name-$_","source":"$source","data":{"n":$_}}! } 1 .. $count)
        . ']}';
}

# a request whose delivery hangs

sub hold {
    my ($path, $name, $source) = @_;

    my $held = $m->held($path);
    my $client = client($port);

    $client->start(method => 'POST', path => '/v1/events',
        body => events($name, 2, $source));
    $m->wait_held($path, $held + 1) or diag("$name does not come");

    return $client;
}

sub audit_figures {
    my $series = $t->metrics();

    return map { $series->{"eventbridge_audit_${_}_total"} // 0 }
        qw/ lines dropped errors /;
}

# what is not shared with others: the mapped files are

sub private_memory {
    my ($pid) = @_;

    my ($kb) = read_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB/m;

    return ($kb // 0) * 1024;
}

# Valgrind and the sanitizers keep what was freed

sub measurable {
    my ($pid) = @_;
    return !$ENV{EB_VALGRIND} && read_file("/proc/$pid/maps") !~ /asan/;
}

# batches of new events, many in flight; how many were not 200

sub batches {
    my ($from, $to) = @_;

    my $client = client($port);
    my $others = 0;

    for (my $i = $from; $i <= $to; $i += 20) {
        my @requests = map { Test::EventBridge::Client::build(method => 'POST',
            path => '/v1/events', body => events("m$_", 1 + $_ % 9)) }
            $i .. $i + 19;

        $others += grep { $_->status() != 200 } $client->pipeline(\@requests);
    }

    $client->close();

    return $others;
}

# rename() between file systems

sub move {
    my ($from, $to) = @_;

    append_file($to, read_file($from));

    return unlink $from;
}

###############################################################################
