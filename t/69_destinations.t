#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Destinations that are known to be down: their events are answered at once,
# and nothing is claimed, marked or lost by it.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;
use Test::EventBridge::Util qw/ now scaled /;

###############################################################################

my $t = Test::EventBridge->new(workers => 2, log_level => 'notice')->plan(106);

my $m = $t->mock(1);
my $n = $t->mock(2);
my $port = $t->port(0);
my $number = 0;

sub configuration {
    my (%opt) = @_;

    my $probe = $opt{probe} // 'eventbridge_probe /to/m'
        . ' http://127.0.0.1:%%PORT_1%%/health interval=500ms'
        . ' expect=200-299,429;';
    my $more = $opt{more} // '';
    my $http = $opt{http} // '';
    my $routes = $opt{routes} // 'eventbridge_route /to/m source=^m;
        eventbridge_route /to/n source=^n;';

    return <<"EOF2";
http {
    eventbridge_checkpoint_zone zone=z:1m path=%%TESTDIR%%/z.ckpt;
    eventbridge_stats_file %%TESTDIR%%/stats;
    $http

    server {
        listen 127.0.0.1:%%PORT_0%%;
        client_max_body_size 2m;

        eventbridge_checkpoint z;
        eventbridge_forward_timeout 2s;
        eventbridge_audit_log %%TESTDIR%%/audit.log flush=100ms;
        $probe

        location = /v1/events {
            eventbridge_ingest;
            $more
            $routes
        }

        location = /to/m {
            internal;
            client_max_body_size 0;
            proxy_pass http://127.0.0.1:%%PORT_1%%;
            proxy_read_timeout 5s;
        }

        location = /to/n {
            internal;
            client_max_body_size 0;
            proxy_pass http://127.0.0.1:%%PORT_2%%;
            proxy_read_timeout 5s;
        }

        location = /metrics { eventbridge_metrics; }
        location = /health { eventbridge_health; }
    }
}
EOF2
}

###############################################################################

# what cannot be is an error of nginx -t

for my $case (
    [ 'eventbridge_probe /to/m;', qr/number of arguments/ ],
    [ 'eventbridge_probe m http://127.0.0.1/;', qr/destination is expected/ ],
    [ 'eventbridge_probe /to/x http://127.0.0.1/;',
        qr/unknown destination "\/to\/x" of "eventbridge_probe"/ ],
    [ 'eventbridge_probe /to/m ftp://127.0.0.1/;', qr/invalid/ ],
    [ 'eventbridge_probe /to/m http://127.1/;', qr/invalid/ ],
    [ 'eventbridge_probe /to/m http://u:p@127.0.0.1/;', qr/invalid/ ],
    [ 'eventbridge_probe /to/m "";', qr/invalid/ ],
    [ 'eventbridge_probe /to/m http://127.0.0.1/ interval=0s;',
        qr/from 100ms/ ],
    [ 'eventbridge_probe /to/m http://127.0.0.1/ interval=2d;',
        qr/from 100ms/ ],
    [ 'eventbridge_probe /to/m http://127.0.0.1/ timeout=x;',
        qr/from 100ms/ ],
    [ 'eventbridge_probe /to/m http://127.0.0.1/ timeout=11s;',
        qr/"timeout" of "eventbridge_probe \/to\/m" is longer/ ],
    [ 'eventbridge_probe /to/m http://127.0.0.1/ rise=0;',
        qr/from 1 to 1000/ ],
    [ 'eventbridge_probe /to/m http://127.0.0.1/ fall=1001;',
        qr/from 1 to 1000/ ],
    [ 'eventbridge_probe /to/m http://127.0.0.1/ rise=1 rise=2;', qr/twice/ ],
    [ 'eventbridge_probe /to/m http://127.0.0.1/ expect=;', qr/statuses/ ],
    [ 'eventbridge_probe /to/m http://127.0.0.1/ expect=199;', qr/statuses/ ],
    [ 'eventbridge_probe /to/m http://127.0.0.1/ expect=300-200;',
        qr/statuses/ ],
    [ 'eventbridge_probe /to/m http://127.0.0.1/ expect=200,;',
        qr/statuses/ ],
    [ 'eventbridge_probe /to/m http://127.0.0.1/ expect=200-;',
        qr/statuses/ ],
    [ 'eventbridge_probe /to/m http://127.0.0.1/ expect='
        . join(',', 200 .. 208) . ';', qr/statuses/ ],
    [ 'eventbridge_probe /to/m https://localhost/ trusted_certificate=;',
        qr/a file is expected/ ],
    [ 'eventbridge_probe /to/m https://localhost/ trusted_certificate=/none;',
        qr/"trusted_certificate=\/none" .* there is no such file/ ],
    [ 'eventbridge_probe /to/m https://localhost/ nonsense=1;',
        qr/"nonsense=1"/ ],
    [ 'eventbridge_probe /to/m off timeout=1s;', qr/"timeout=1s"/ ],
    [ 'eventbridge_probe /to/m off; eventbridge_probe /to/m off;',
        qr/probed already/ ])
{
    my ($probe, $message) = @$case;
    my ($rc, $out) = $t->test_config(configuration(probe => $probe));

    ok($rc != 0 && $out =~ $message && $out =~ /nginx\.conf\S*:\d+/,
        "nginx -t: $probe") or diag($out);
}

for my $case (
    [ 'eventbridge_route /to/m alternate=/to/x;',
        qr/unknown destination "\/to\/x" of "alternate"/ ],
    [ 'eventbridge_route /to/m alternate=x;', qr/URI of a location/ ],
    [ 'eventbridge_route /to/m alternate=/to/m;', qr/destination itself/ ],
    [ 'eventbridge_route /to/m alternate=/v1/events;', qr/ingest location/ ])
{
    my ($routes, $message) = @$case;
    my ($rc, $out) = $t->test_config(configuration(routes => $routes));

    ok($rc != 0 && $out =~ $message && $out =~ /nginx\.conf\S*:\d+/,
        "nginx -t: $routes") or diag($out);
}

my ($rc, $out) = $t->test_config(configuration(
    http => 'eventbridge_probe /to/n http://127.0.0.1/ interval=1d;',
    probe => 'eventbridge_probe /to/m off;
        eventbridge_probe /to/n off interval=1s rise=1 fall=1 expect=200;'));
is($rc, 0, 'a server has its own, and http one for the others') or diag($out);

# probes and deliveries, and it is up

$t->conf(configuration());
$t->run();

ok(wait_for(sub { $m->hits('/health') >= 2 }), 'it is probed');
is(($m->requests('/health'))[0]->method(), 'GET', 'by GET');
is(answer(batch('m', 3))->status(), 200, 'up: events pass');
is(state(), 'up', 'up: health');
is($t->metric('eventbridge_destination_up', destination => '/to/m'), 1,
    'up: metric');
cmp_ok($t->metric('eventbridge_probe_phase_seconds', phase => 'total'), '>',
    0, 'a phase has its time');

# the probes fail: it is down, without a single event

$t->allow_error('error', qr/destination "\/to\/m" is down/);
$m->set('/health', status => 500);

ok(down(), 'down: three probes failed');

my $health = get($port, '/health');
is($health->status() . ' ' . $health->json()->{status}, '200 degraded',
    'down: health is degraded, with 200');
my ($d) = grep { $_->{destination} eq '/to/m' }
    @{$health->json()->{destinations}};
is("$d->{status} $d->{phase} $d->{error}", '500 http http_status',
    'down: and says why');
is($t->metric('eventbridge_destination_up', destination => '/to/m'), 0,
    'down: metric');
is($t->metric('eventbridge_destination_downs_total',
    destination => '/to/m'), 1, 'down: how often');
cmp_ok($t->metric('eventbridge_probe_failed_total'), '>=', 3,
    'down: probes that failed');

# its events are answered at once, those of others are not touched

my $old = $number;
my $events = batch('m', 3);
my $hits = $m->hits('/to/m');
my $start = now();
my $r = answer($events);

cmp_ok(now() - $start, '<', scaled(0.3), 'down: an answer at once');
is($r->status(), 503, 'down: 503');
like($r->header('Retry-After'), qr/^[1-5]$/,
    'down: Retry-After fits the schedule');
is($r->json()->{error}, 'delivery_failed', 'down: what it says');
is_deeply($r->json()->{destinations}{'/to/m'},
    { failed => 3, pending => 0, down => JSON::PP::true() },
    'down: of which destination');
is($m->hits('/to/m'), $hits, 'down: nothing was sent');
is(answer(batch('n', 2))->status(), 200, 'down: others go on');

$r = answer(mixed());
is($r->status(), 503, 'down: a mixed batch');
is($r->json()->{forwarded}, 2, 'down: of which the other gets its events');

$r = answer(sprintf '{"events":[{"id":"%d","source":"m"}]}', 0);
is($r->status() . ' ' . $r->json()->{duplicates}, '200 1',
    'down: what was delivered before is a duplicate');
is($t->metric('eventbridge_destination_refused_events_total',
    destination => '/to/m'), 5, 'down: events that were refused');
ok(wait_for(sub { ($t->metric('eventbridge_checkpoint_claimed') // 1) == 0 },
    20), 'down: no claim is left');

# it is up within rise * interval (and a probe that may be under way)

$m->set('/health', status => 204);
$start = now();
ok(up(), 'up again');
cmp_ok(now() - $start, '<', scaled(2 * 0.5 + 0.5),
    'up again: within rise * interval, and the time of a probe');

$m->forget();
is(answer($events)->json()->{forwarded}, 3, 'up again: the sender sends again');
is_deeply([ $m->ids('/to/m') ], [ $old .. $old + 2 ],
    'up again: each event once');

# both changes are in the audit log

ok(wait_for(sub { 2 == grep { ($_->{action} // '') =~ /^destination_/ }
    $t->audit_lines('audit.log') }), 'audit: two changes, two lines');

my @changes = grep { ($_->{action} // '') =~ /^destination_/ }
    $t->audit_lines('audit.log');

is(join(' ', map { "$_->{action} $_->{destination}" } @changes),
    'destination_down /to/m destination_up /to/m', 'audit: which');
like($changes[0]{reason}, qr/^a probe failed: .*500/, 'audit: why');
like($changes[0]{timestamp}, qr/^\d{4}-\d\d-\d\dT/, 'audit: when');

# deliveries count as well, while probes are fine

$m->set('/to/m', status => 500);
$m->set('/health', status => 200, delay => 300);
answer(batch('m', 1)) for 1 .. 8;
is(scalar(grep { ($_->{action} // '') eq 'destination_down'
    && $_->{reason} =~ /^a delivery was answered with 500/ }
    wait_audit(3)), 1, 'passive: failed deliveries take it down');
$m->set('/to/m', status => 429);
ok(up(), 'passive: probes bring it up');
answer(batch('m', 1)) for 1 .. 8;
is(state(), 'up', 'passive: who says 429 is there');
$m->clear('/to/m');
$m->clear('/health');

###############################################################################

# reload and SIGKILL: state and schedule stay

$m->set('/health', status => 500);
ok(down(), 'reload: down');

$t->conf(configuration(more => 'eventbridge_route_policy all;'));
ok($t->reload(), 'reload');
is(state(), 'down', 'reload: it is down in the new generation');
is(answer(batch('m', 1))->status(), 503, 'reload: and events are refused');
cmp_ok($t->metric('eventbridge_probe_failed_total'), '>=', 3,
    'reload: figures go on');

$m->forget();
ok(wait_for(sub { $m->hits('/health') >= 6 }), 'reload: probes go on');
is(off_schedule(), '', 'reload: on schedule');

# each of the workers, one of which probes

for my $i (1, 2) {
    my $downs = $t->metric('eventbridge_destination_downs_total');

    $m->forget();
    ok(wait_for(sub { $m->hits('/health') >= 3 }), "SIGKILL $i: probes");

    my ($pid) = (sort { $a <=> $b } $t->worker_pids())[0];
    ok($t->kill_worker('KILL', $pid), "SIGKILL $i: another worker");
    is(state(), 'down', "SIGKILL $i: still down");

    my $seen = $m->hits('/health');
    ok(wait_for(sub { $m->hits('/health') >= $seen + 4 }),
        "SIGKILL $i: probes go on");
    is(off_schedule(), '', "SIGKILL $i: on schedule");
    is($t->metric('eventbridge_destination_downs_total'), $downs,
        "SIGKILL $i: it did not go down again");
}

$m->clear('/health');
ok(up(), 'SIGKILL: up again');

###############################################################################

# without probes: a trial from time to time

$t->conf(configuration(probe =>
    'eventbridge_probe /to/m off interval=1s fall=2 rise=1;'));
ok($t->reload(), 'breaker: reload');
ok(!grep({ $_->{checked} } @{get($port, '/health')->json()->{destinations}}),
    'breaker: nothing is known of another endpoint');

$m->set('/to/m', status => 503);
answer(batch('m', 1)) for 1 .. 2;
is(state(), 'down', 'breaker: down');

$m->forget();
$start = now();

my %statuses;
while (now() - $start < 3) {
    my $status = answer(batch('m', 1))->status();
    $statuses{$status}++;
}

is(join(',', keys %statuses), '503', 'breaker: every event is refused');
cmp_ok($statuses{503}, '>', 20, 'breaker: at once');
cmp_ok($m->hits('/to/m'), '>=', 1, 'breaker: some try it');
cmp_ok($m->hits('/to/m'), '<=', 4, 'breaker: one in an interval');

$m->clear('/to/m');
ok(wait_for(sub { answer(batch('m', 1))->status() == 200 }, 5),
    'breaker: a trial succeeds');
is(state(), 'up', 'breaker: up');

# a destination that hangs: the deadline counts, too

$m->set('/to/m', hang => 1);
answer(batch('m', 1)) for 1 .. 2;
is(state(), 'down', 'breaker: two senders had to wait');
$start = now();
is(answer(batch('m', 1))->status(), 503, 'breaker: the next one');
cmp_ok(now() - $start, '<', scaled(0.3), 'breaker: need not wait');
$m->clear('/to/m');
$m->release('/to/m');
ok(wait_for(sub { answer(batch('m', 1))->status() == 200 }, 5),
    'breaker: up again');

###############################################################################

# a long outage: the rule of eventbridge_unavailable

mkdir $t->testdir() . '/dead';
chmod 0777, $t->testdir() . '/dead';

$t->conf(configuration(more => 'eventbridge_dead_letter'
    . ' %%TESTDIR%%/dead/d.jsonl; eventbridge_unavailable dead_letter'
    . ' after=1s;'));
ok($t->reload(), 'unavailable: reload');

$m->set('/health', status => 500);
ok(down(), 'unavailable: down');
$m->forget();

my $kept = batch('m', 4);
ok(wait_for(sub { answer($kept)->status() == 200 }, 10),
    'unavailable: after a while events are kept');
is($m->hits('/to/m'), 0, 'unavailable: without a try');
is(scalar(() = read_file($t->testdir() . '/dead/d.jsonl')
    =~ /"destination":"\/to\/m".*"reason":"unavailable"/g), 4,
    'unavailable: in the dead letter');

$m->clear('/health');
ok(up(), 'unavailable: up again');
ok(wait_for(sub { $m->ids('/to/m') >= 4 }, 30),
    'unavailable: they are delivered by themselves');
is(answer($kept)->json()->{duplicates}, 4, 'unavailable: and are marked');

###############################################################################

sub batch {
    my ($source, $events) = @_;
    return '{"events":[' . join(',', map {
        sprintf '{"id":"%d","source":"%s"}', $number++, $source }
        1 .. $events) . ']}';
}

sub mixed {
    return '{"events":[' . join(',', map {
        sprintf '{"id":"%d","source":"%s"}', $number++, $_ } qw/ m n m n /)
        . ']}';
}

sub answer {
    my ($body) = @_;
    return post($port, '/v1/events', $body, timeout => 10);
}

sub state {
    my ($item) = grep { $_->{destination} eq '/to/m' }
        @{get($port, '/health')->json()->{destinations}};
    return $item->{state};
}

sub down { return wait_for(sub { state() eq 'down' }, 10) }
sub up { return wait_for(sub { state() eq 'up' }, 10) }

# changes so far, when there are n

sub wait_audit {
    my ($n) = @_;
    my @lines;

    wait_for(sub {
        @lines = grep { ($_->{action} // '') =~ /^destination_/ }
            $t->audit_lines('audit.log');
        return @lines >= $n;
    });

    return @lines;
}

# Probes of 500 ms that are not between 450 and 550 ms apart, or twice that
# where one was under way, or due, when the worker died.

sub off_schedule {
    my @at = map { $_->time() } $m->requests('/health');
    my ($left_out, @off) = 0;

    return '' if scaled(1) != 1;

    for my $i (1 .. $#at) {
        my $gap = $at[$i] - $at[$i - 1];

        next if $gap > 0.45 && $gap < 0.55;
        next if $gap > 0.9 && $gap < 1.1 && !$left_out++;

        push @off, sprintf '%.3f', $gap;
    }

    return "@off";
}

###############################################################################
