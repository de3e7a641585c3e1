#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Tests for what others may see: metrics, to the last event, health, the audit
# log, and the variables.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Time::HiRes qw/ time /;

use Test::EventBridge;
use Test::EventBridge::Util qw/ read_file scaled /;

###############################################################################

# what docs/metrics.md promises

my $doc = read_file("$FindBin::Bin/../docs/metrics.md");
my @documented = $doc =~ /^\| `(eventbridge_\w+)` \| (\w+) \|/mg;
my %documented = @documented;

my $t = Test::EventBridge->new(workers => 1, log_level => 'info');

# those of Genesys Cloud need an organisation, and have t/66 and t/67

delete $documented{$_} for grep { /^eventbridge_genesys_/ } keys %documented;

# and those of destinations that are watched one that is, and have t/69

delete $documented{$_} for grep {
    /^eventbridge_(?:probe_|destination_(?:up|downs_total)$)/ }
    keys %documented;

$t->plan(2 * keys(%documented) + 263);

my $m = $t->mock(1);
my $dir = $t->testdir();
my $port = $t->port(0);

# the same with other numbers of workers, and with on_corrupt

my $conf = <<'EOF';
http {
    eventbridge_checkpoint_zone zone=z:1m path=%%TESTDIR%%/z.ckpt;
    eventbridge_checkpoint_zone zone=tiny:64k path=%%TESTDIR%%/tiny.ckpt;
    eventbridge_stats_file %%TESTDIR%%/stats;
    eventbridge_outbox path=%%TESTDIR%%/outbox;

    eventbridge_lifecycle calls {
        state %%TESTDIR%%/lifecycle;
        interactions 1000;
    }

    log_format eb '$pid $status $eventbridge_result $eventbridge_received '
                  '$eventbridge_forwarded $eventbridge_duplicates '
                  '$eventbridge_dropped $request_id';

    client_max_body_size 2m;
    keepalive_requests 1000000;

    server {
        # the kernel spreads the connections
        listen 127.0.0.1:%%PORT_0%% reuseport;

        server_name eb.test other.test;

        eventbridge_checkpoint z;
        eventbridge_audit_log %%TESTDIR%%/audit.jsonl flush=20ms;

        location = /v1/events {
            eventbridge_ingest;
            eventbridge_route_policy all;
            eventbridge_max_events 5;
            eventbridge_route /to/a name=known source=^known;
            eventbridge_route /to/b name=high metadata.priority=high;
            access_log %%TESTDIR%%/ingest.log eb;
        }

        location = /strict {
            eventbridge_ingest;
            eventbridge_unrouted reject;
            eventbridge_route /to/a source=^yes$;
            access_log %%TESTDIR%%/ingest.log eb;
        }

        location = /rest {
            eventbridge_ingest;
            eventbridge_unrouted /to/b;
            eventbridge_route /to/a source=^(a+)+$;
        }

        location = /slow {
            eventbridge_ingest;
            eventbridge_checkpoint z scope=slow;
            eventbridge_forward_timeout 200ms;
            eventbridge_route /to/slow;
        }

        location = /slow2 {
            eventbridge_ingest;
            eventbridge_checkpoint z scope=slow;
            eventbridge_forward_timeout 200ms;
            eventbridge_inflight 1m deliveries=1;
            eventbridge_route /to/slow;
        }

        location = /half {
            eventbridge_ingest;
            eventbridge_checkpoint off;
            eventbridge_forward_timeout 200ms;
            eventbridge_inflight 1m deliveries=2;
            eventbridge_route /to/slow;
        }

        location = /off {
            eventbridge_ingest;
            eventbridge_checkpoint off;
            eventbridge_audit_log off;
            eventbridge_route /to/a;

            # these change over to another configuration
            limit_except POST { deny all; }

            if ($arg_block) {
                set $block 1;
            }
        }

        location = /lag {
            eventbridge_ingest;
            eventbridge_checkpoint off;
            eventbridge_audit_log off;
            eventbridge_route /to/a;
        }

        location = /tiny {
            eventbridge_ingest;
            eventbridge_checkpoint tiny;
            eventbridge_audit_log off;
            eventbridge_route /to/a;
        }

        location = /load {
            eventbridge_ingest;
            eventbridge_checkpoint z;
            eventbridge_audit_log %%TESTDIR%%/load.jsonl flush=20ms;
            eventbridge_route /to/a;
            access_log %%TESTDIR%%/load.log eb;
        }

        location /to/ {
            internal;
            client_max_body_size 0;
            proxy_pass http://127.0.0.1:%%PORT_1%%;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header X-Destination $eventbridge_destination;
            proxy_set_header X-Route $eventbridge_route;
            proxy_set_header X-Count $eventbridge_count;
            proxy_set_header X-Client $eventbridge_client_addr;
            proxy_set_header X-Result "($eventbridge_result)";
        }

        location = /dead {
            eventbridge_ingest;
            eventbridge_dead_letter %%TESTDIR%%/dead.jsonl;
            eventbridge_unrouted reject;
        }

        location = /metrics { eventbridge_metrics; }
        location = /health { eventbridge_health; }

        location = /plain {
            set $of_ingest "$eventbridge_result,$eventbridge_received";
            set $of_delivery "$eventbridge_destination,$eventbridge_route";
            set $of_delivery "$of_delivery,$eventbridge_client_addr";
            return 200 "$of_ingest,$of_delivery,$eventbridge_count";
        }
    }

    server {
        listen 127.0.0.1:%%PORT_3%%;
        server_name "a\"b\\c";

        location ~ "^/re\"(x|\\d+)$" {
            eventbridge_ingest;
            eventbridge_checkpoint z;
            eventbridge_audit_log %%TESTDIR%%/audit.jsonl flush=20ms;
            eventbridge_route "/to\"a" "name=q\"\\";
        }

        location = "/to\"a" {
            internal;
            client_max_body_size 0;
            proxy_pass http://127.0.0.1:%%PORT_1%%/to/quoted;
        }
    }
}
EOF

$t->conf($conf)->run();

###############################################################################

# before any traffic: health, and what is configured has series

my $r = get($port, '/health');

is($r->status(), 200, 'health');
is($r->header('Content-Type'), 'application/json', 'health, type');
is($r->json()->{status}, 'healthy', 'health, healthy');
is(join(',', map { $_->{zone} } @{$r->json()->{checkpoints}}), 'z,tiny',
    'health, zones');
is(join(',', sort keys %{$r->json()->{checkpoints}[0]}), 'claimed,'
    . 'effectiveWindow,evictions,slots,startedEmptyAfterDamage,usable,used,'
    . 'window,zone', 'health, members');
is($r->json()->{checkpoints}[0]{window}, 93600, 'health, window');
is($r->json()->{checkpoints}[0]{usable}, JSON::PP::true, 'health, usable');

for my $at ('/health', '/metrics') {
    my $get = get($port, $at);
    my $head = get($port, $at, method => 'HEAD');

    is($head->status() . $head->body(), '200', "HEAD $at");
    is($head->header('Content-Type'), $get->header('Content-Type'),
        "HEAD $at, type");
    cmp_ok($head->header('Content-Length'), '>', 50, "HEAD $at, length");

    for my $method (qw/ POST PUT DELETE /) {
        is(get($port, $at, method => $method)->status(), 405, "$method $at");
    }

    is(post($port, $at, 'x' x 100_000)->status(), 405, "POST $at, body");
    is(get($port, "$at?a=b")->status(), 200, "GET $at?a=b");
}

$r = get($port, '/metrics');
is($r->header('Content-Type'), 'text/plain; version=0.0.4; charset=utf-8',
    'metrics, type');

my ($text, %type) = ($r->body());

for my $name (sort keys %documented) {
    is(() = $text =~ /^# HELP $name \S.*$/mg, 1, "HELP of $name");
    is(join(',', $text =~ /^# TYPE $name (\w+)$/mg), $documented{$name},
        "TYPE of $name");
}

is(join(',', sort grep { !$documented{$_} } $text =~ /^# TYPE (\w+) /mg), '',
    'no metric that is not documented');
is(join(',', sort grep { my $n = $_; $text !~ /^$n(?:_count)?(?:\{|\ )/m }
    keys %documented), '', 'each has a series before any traffic');

###############################################################################

# A scripted sequence, each answer, and then each figure.

my $n = 0;
my %e = (
    both => '{"id":"k1","source":"known:1","metadata":{"priority":"high"}}',
    a => '{"id":"k2","source":"known:2","type":"t.2"}',
    none => '{"id":"x1","source":"other"}',
    b => '{"id":"k3","source":"other","metadata":{"priority":"high"}}'
);

sub events {
    my ($want, $body, $at, %opt) = @_;

    my $r = post($port, $at // '/v1/events', $body, %opt);
    my $json = $r->json() // {};

    $n++;
    is(join(' ', $r->status(), map { $json->{$_} // '-' } qw/ received
        forwarded duplicates dropped failed busy invalid unrouted /), $want,
        "answer $n: " . substr($body // '', 0, 40));

    return $r;
}

events('200 3 2 0 1 - - - -', "[$e{both},$e{a},$e{none}]");
events('200 3 0 2 1 - - - -', "[$e{both},$e{a},$e{none}]");
events('422 2 1 0 0 0 0 1 0', '[5,{"id":"k4","source":"known"}]');
events('200 2 1 1 0 - - - -',
    '[{"id":"k5","source":"known"},{"id":"k5","source":"known"}]');
events('200 1 1 0 0 - - - -', '[{"source":"known"}]');
events('200 0 0 0 0 - - - -', '[]');

$m->set('/to/b', status => 500);
events('503 2 1 0 0 1 0 0 0', "[$e{both},$e{a}]" =~ s/"k(\d)/"l$1/gr);
events('503 1 0 0 0 1 0 0 0', $e{b});
$m->set('/to/b', status => 404);
events('503 1 0 0 0 1 0 0 0', $e{b});
$m->set('/to/b', status => 302, headers => [ Location => '/' ]);
events('503 1 0 0 0 1 0 0 0', $e{b});
$m->set('/to/b', reset => 1);
events('503 1 0 0 0 1 0 0 0', $e{b});
$m->clear('/to/b');
events('200 2 1 1 0 - - - -', "[$e{both},$e{a}]" =~ s/"k(\d)/"l$1/gr);

# refused

is(get($port, '/v1/events')->status(), 405, 'GET');
events('415 - - - - - - - -', '[]', undef,
    headers => { 'Content-Encoding' => 'br' });
events('400 - - - - - - - -', '[1,');
events('413 - - - - - - - -', '[{},{},{},{},{},{}]');
events('413 - - - - - - - -', '[' . ' ' x 2_100_000 . ']');
events('400 1 0 0 0 0 0 1 0', '[7]');
events('422 2 1 0 0 0 0 0 1',
    '[{"id":"1","source":"no"},{"id":"2","source":"yes"}]', '/strict');
events('422 1 0 0 0 0 0 0 1', '[{"id":"1","source":"no"}]', '/strict');
events('200 2 2 0 0 - - - -',
    '[{"id":"1","source":"aaa"},{"id":"2","source":"bbb"}]', '/rest');
events('200 1 1 0 0 - - - -', '{"id":"3","source":"' . 'a' x 64 . 'b"}',
    '/rest');

# what another delivery holds, what has no room

$m->set('/to/slow', hang => 1);
events('503 1 0 0 0 1 0 0 0', '{"id":"s1","source":"s"}', '/slow');
events('503 1 0 0 0 0 1 0 0', '{"id":"s1","source":"s"}', '/slow');
events('503 - - - - - - - -', '{"id":"s1","source":"s"}', '/slow2');
events('503 1 0 0 0 1 0 0 0', '{"id":"h1","source":"s"}', '/half');
$m->clear('/to/slow');
is($m->release('/to/slow'), 1, 'one request was sent there');

# figures of a delivery reach the shared cells when it has ended

ok(wait_for(sub { ($t->metric('eventbridge_events_forwarded_total',
    location => '/slow') // 0) == 1 }), 'what was held is counted at last');

my $s = settled();

sub settled {
    my $s;

    # answers leave before the figures of their last request are there
    wait_for(sub {
        $s = $t->metrics();
        return ($s->{'eventbridge_events_processed_total{location="/v1/events"'
            . ',server="eb.test"}'} // 0) >= 13;
    });

    return $s;
}

sub figure {
    my ($name, $want, %labels) = @_;
    my $labels = join ',', map { qq/$_="$labels{$_}"/ } sort keys %labels;

    is($s->{"eventbridge_$name\{$labels}"}, $want, "$name\{$labels}");
}

my %at = (server => 'eb.test', location => '/v1/events');

my %requests = ('2xx' => 6, 400 => 2, 401 => 0, 405 => 1, 413 => 2, 415 => 1,
    422 => 1, 429 => 0, 500 => 0, 503 => 5);

figure('requests_total', $requests{$_}, %at, code => $_)
    for sort keys %requests;
figure('requests_total', 2, %at, location => '/strict', code => 422);
figure('requests_total', 2, %at, location => '/slow', code => 503);
figure('requests_total', 1, %at, location => '/slow2', code => 503);

figure('events_received_total', 20, %at);
figure('events_forwarded_total', 7, %at);
figure('events_duplicates_total', 4, %at);
figure('events_dropped_total', 2, %at);
figure('events_processed_total', 13, %at);
figure('events_invalid_total', 2, %at);
figure('events_unrouted_total', 0, %at);
figure('events_failed_total', 5, %at);
figure('events_busy_total', 0, %at);
figure('events_without_id_total', 1, %at);
figure('overload_total', 0, %at);
figure('route_regex_errors_total', 0, %at);

figure('events_unrouted_total', 2, %at, location => '/strict');
figure('events_forwarded_total', 3, %at, location => '/rest');
figure('route_regex_errors_total', 1, %at, location => '/rest');
figure('events_busy_total', 1, %at, location => '/slow');
figure('events_failed_total', 0, %at, location => '/slow');
figure('events_forwarded_total', 1, %at, location => '/slow');
figure('overload_total', 1, %at, location => '/slow2');
figure('events_received_total', 0, %at, location => '/slow2');
figure('events_failed_total', 1, %at, location => '/half');

# of a destination

my %to = (%at, destination => '/to/b');

figure('destination_events_forwarded_total', 2, %to);
figure('destination_events_failed_total', 5, %to);
figure('destination_requests_total', 2, %to, result => '2xx');
figure('destination_requests_total', 1, %to, result => '3xx');
figure('destination_requests_total', 1, %to, result => '4xx');
figure('destination_requests_total', 2, %to, result => '5xx');
figure('destination_requests_total', 1, %to, result => 'none');
figure('destination_saturated_events_total', 0, %to);
figure('destination_bytes_total', 3 * length($e{both}) + 4 * length($e{b}),
    %to);
figure('destination_events_forwarded_total', 7, %at, destination => '/to/a');
figure('destination_events_failed_total', 0, %at, destination => '/to/a');
figure('destination_saturated_events_total', 1, %at, location => '/half',
    destination => '/to/slow');
figure('destination_requests_total', 0, %at, location => '/half',
    destination => '/to/slow', result => 'none');
figure('delivery_duration_seconds_count', 7, %to);
figure('delivery_duration_seconds_bucket', 7, %to, le => '+Inf');

# of a route

my %route = (%at, route => 'high', destination => '/to/b');

figure('route_events_matched_total', 8, %route);
figure('route_events_forwarded_total', 2, %route);
figure('route_events_failed_total', 5, %route);
figure('route_events_duplicates_total', 1, %route);

%route = (%at, route => 'known', destination => '/to/a');

figure('route_events_matched_total', 12, %route);
figure('route_events_forwarded_total', 7, %route);
figure('route_events_failed_total', 0, %route);
figure('route_events_duplicates_total', 5, %route);

%route = (%at, location => '/rest');

figure('route_events_matched_total', 1, %route, route => '/to/a',
    destination => '/to/a');
figure('route_events_forwarded_total', 2, %route, route => 'unrouted',
    destination => '/to/b');

# events in a request: 3 3 2 2 1 0 2 1 1 1 1 2 1

my %batch = (1 => 7, 2 => 11, 5 => 13, 10 => 13, 5000 => 13, '+Inf' => 13);

figure('batch_events_bucket', $batch{$_}, %at, le => $_)
    for sort keys %batch;
figure('batch_events_sum', 20, %at);
figure('batch_events_count', 13, %at);

# of the node, of a checkpoint

is($s->{eventbridge_up}, 1, 'up');
is($s->{eventbridge_series_overflow_total}, 0, 'series_overflow_total');
is($s->{eventbridge_audit_dropped_total}, 0, 'audit_dropped_total');
is($s->{eventbridge_audit_errors_total}, 0, 'audit_errors_total');
figure('checkpoint_usable', 1, zone => 'z');
figure('checkpoint_claimed', 0, zone => 'z');
figure('checkpoint_evictions_total', 0, zone => 'z');
figure('checkpoint_full_total', 0, zone => 'z');
figure('checkpoint_effective_window_seconds', 93600, zone => 'z');
figure('checkpoint_destinations', 4, zone => 'z');
cmp_ok($s->{'eventbridge_checkpoint_slots{zone="z"}'}, '>', 20_000,
    'checkpoint_slots');
cmp_ok($s->{'eventbridge_checkpoint_used{zone="z"}'}, '>=', 10,
    'checkpoint_used');
ok(wait_for(sub { $t->metric('eventbridge_checkpoint_sync_total',
    zone => 'z') > 0 }), 'checkpoint_sync_total');

###############################################################################

# The lag: three ways to write a time that has passed, and the future.

my $now = time();

sub lag {
    my ($time) = @_;
    return events('200 1 1 0 0 - - - -',
        qq/{"id":"1","source":"s","timestamp":$time}/, '/lag');
}

sub rfc3339 {
    my ($sec, $zone) = @_;
    my @tm = gmtime $sec + $zone * 3600;
    return sprintf '"%04d-%02d-%02dT%02d:%02d:%02d.5%s"', $tm[5] + 1900,
        $tm[4] + 1, @tm[3, 2, 1, 0], $zone ? sprintf '%+03d:00', $zone : 'Z';
}

my %lag = (location => '/lag', server => 'eb.test');
my @lag;

# seconds ago, the stamp, the next bound

for my $case ([ 12, rfc3339($now - 12, 0), 30 ],
    [ 40, rfc3339($now - 40, -7), 60 ],
    [ 100, sprintf('%d', ($now - 100) * 1000), 300 ],
    [ 400, sprintf('%.3f', $now - 400), 900 ],
    [ 7200, '"' . int($now - 7200) . '"', 86400 ],
    [ 200_000, sprintf('%d', $now - 200_000), '+Inf' ])
{
    my ($ago, $stamp, $le) = @$case;

    lag($stamp);
    push @lag, $le;

    my $lag;
    ok(wait_for(sub {
        $lag = $t->metric('eventbridge_message_lag_seconds', %lag);
        return $lag >= $ago - 1 && $lag < $ago + 5 + scaled(10);
    }), "lag of $stamp") or diag("it is $lag");
}

lag(rfc3339($now + 3600, 0));
is($t->metric('eventbridge_message_lag_seconds', %lag), 0,
    'lag of the future');

# no time, or none that can be read, changes nothing
lag('"soon"');

ok(wait_for(sub { $t->metric('eventbridge_events_forwarded_total', %lag) == 8
    }), 'lag, all events');
$s = $t->metrics();
figure('event_lag_seconds_count', 7, %lag);

my $count = 1;

for my $le (qw/ 0.1 0.5 1 2.5 5 10 30 60 300 900 3600 86400 +Inf /) {
    $count += grep { $_ eq $le } @lag;
    figure('event_lag_seconds_bucket', $count, %lag, le => $le);
}

cmp_ok($s->{'eventbridge_event_lag_seconds_sum{location="/lag",'
    . 'server="eb.test"}'}, '>=', 207_751, 'event_lag_seconds_sum');

###############################################################################

# Variables of the ingest location, and of the destination

my @log;
wait_for(sub { (@log = split /\n/, read_file("$dir/ingest.log") // '') >= 20
});

# a refused body is read to its end before its line is written

is(join(', ', sort map { join ' ', (split)[1 .. 6] } @log), join(', ', sort
    '200 accepted 3 2 0 1', '200 accepted 3 0 2 1', '422 partial 2 1 0 0',
    '200 accepted 2 1 1 0', '200 accepted 1 1 0 0', '200 accepted 0 0 0 0',
    '503 partial 2 1 0 0', ('503 failed 1 0 0 0') x 4,
    '200 accepted 2 1 1 0', '405 refused 0 0 0 0', '415 refused 0 0 0 0',
    '400 refused 0 0 0 0', '413 refused 0 0 0 0', '413 refused 0 0 0 0',
    '400 refused 1 0 0 0', '422 partial 2 1 0 0', '422 refused 1 0 0 0'),
    'variables in the access log');

is(get($port, '/plain')->body(), ',,,,,', 'variables elsewhere are empty');

my ($first) = $m->requests('/to/a');

is($first->header('X-Destination'), '/to/a', '$eventbridge_destination');
is($first->header('X-Route'), 'known', '$eventbridge_route');
is($first->header('X-Count'), '2', '$eventbridge_count');
is($first->header('X-Client'), '127.0.0.1', '$eventbridge_client_addr');
is($first->header('X-Result'), '()', '$eventbridge_result of a delivery');
is($first->header('X-EventBridge-Route'), 'known', 'the same in a header');

###############################################################################

# The audit log

my @fields = qw/ timestamp requestId traceId location eventId source type
    action route destination status sender region lagMs reason /;

my @audit;
wait_for(sub { (@audit = $t->audit_lines('audit.jsonl', \@fields)) >= 29 });

sub lines {
    my ($location, $action) = @_;
    return grep { $_->{location} eq $location && $_->{action} eq $action }
        @audit;
}

my %lines = (
    '/v1/events' => { forwarded => 7, duplicate => 4, dropped => 2,
        invalid => 2, failed => 5 },
    '/strict' => { forwarded => 1, unrouted => 2 },
    '/rest' => { forwarded => 3 },
    '/slow' => { forwarded => 1, busy => 1 },
    '/half' => { failed => 1 }
);

for my $at (sort keys %lines) {
    my %got;
    $got{$_->{action}}++ for grep { $_->{location} eq $at } @audit;
    is_deeply(\%got, $lines{$at}, "audit, $at");
}

is(scalar @audit, 29, 'audit, no other line');

my ($line) = lines('/v1/events', 'forwarded');

like($line->{timestamp}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\z/,
    'audit, timestamp');
is($line->{requestId}, $first->header('X-Request-Id'),
    'audit, requestId is X-Request-Id');
is($line->{requestId}, (split ' ', $log[0])[7],
    'audit, requestId is $request_id');

my ($fan) = grep { ($_->{eventId} // '') eq 'k1' } @audit;

is("$fan->{route} $fan->{destination} $fan->{status}",
    'known,high /to/a,/to/b 200', 'audit, names are joined');
is($fan->{source}, 'known:1', 'audit, source');

my ($typed) = grep { ($_->{eventId} // '') eq 'k2' } @audit;
is("$typed->{type} $typed->{route}", 't.2 known', 'audit, type and route');

my ($dropped) = lines('/v1/events', 'dropped');
is(join(',', sort keys %$dropped), 'action,eventId,location,requestId,source,'
    . 'timestamp', 'audit, members of a dropped event');

my @failed = lines('/v1/events', 'failed');
is(join(',', map { $_->{status} // '-' } @failed), '500,500,404,302,-',
    'audit, status of failed events');
is($failed[0]{destination}, '/to/a,/to/b', 'audit, a part of it failed');

my ($invalid) = lines('/v1/events', 'invalid');
like($invalid->{reason}, qr/^[a-z][^.]+\z/, 'audit, reason');
is($invalid->{eventId}, undef, 'audit, an invalid event has no id');

my ($anonymous) = grep { !defined $_->{eventId} } lines('/v1/events',
    'forwarded');
ok($anonymous, 'audit, an event without an id');

ok(wait_for(sub { $t->metric('eventbridge_audit_lines_total') == 29 }),
    'audit_lines_total');

# ids that no line of JSON may have as they are

my @ids = (
    [ 'q\\"uo\\\\te', 'q"uo\\te' ],
    [ 'a\\u0001\\n\\u007fb', "a\x01\n\x7fb" ],
    [ "\xc3\xa9\xf0\x9f\x98\x80", "\x{e9}\x{1f600}" ],
    [ '\\u00e9\\ud83d\\ude00', "\x{e9}\x{1f600}" ],
    [ 'half\\ud83d', undef ],
    [ '\\udc00\\ud800x', undef ],
    [ 'l' x 3000, undef ],
    [ '</script>', '</script>' ]
);

for my $i (0 .. $#ids) {
    my ($raw, $id) = @{$ids[$i]};
    my ($n, $got) = (scalar @audit);

    is(post($port, '/strict', qq/{"id":"$raw","source":"yes","type":"n$i"}/)
        ->status(), 200, "audit, id number $i, answer");

    wait_for(sub { @audit = $t->audit_lines('audit.jsonl', \@fields);
        return @audit > $n });

    ($got) = map { $_->{eventId} } grep { ($_->{type} // '') eq "n$i" }
        @audit;

    if (defined $id) {
        is($got, $id, "audit, id number $i");

    } else {
        cmp_ok(length($got // ''), '>', 0, "audit, id number $i");
    }
}

cmp_ok(length((grep { ($_->{type} // '') eq 'n6' } @audit)[0]{eventId}), '<',
    300, 'audit, a long id is cut');

# it went one way, and the other way had no answer

$m->set('/to/a', reset => 1);
is(post($port, '/v1/events', $e{both} =~ s/"k1"/"m1"/r)->status(), 503,
    'half of a fan-out');
$m->clear('/to/a');

my ($half);
ok(wait_for(sub { ($half) = grep { ($_->{eventId} // '') eq 'm1' }
    @audit = $t->audit_lines('audit.jsonl', \@fields) }), 'audit, its line');
is("$half->{action} $half->{destination} " . ($half->{status} // '-'),
    'failed /to/a,/to/b -', 'audit, the status is not that of the other way');

# off, and blocks inside of an ingest location

my $lines = @audit;

is(post($port, '/off', '{"id":"1","source":"s"}')->status(), 200, 'off');
is(post($port, '/off?block=1', '{"id":"1","source":"s"}')->json()->{forwarded},
    1, 'in an if block');
is(get($port, '/off')->status(), 403, 'in limit_except');
ok(wait_for(sub { $t->metric('eventbridge_events_forwarded_total',
    location => '/off') == 2 }), 'in blocks, figures');
is($t->metric('eventbridge_requests_total', location => '/off',
    code => '2xx'), 2, 'in blocks, requests');
is($t->metric('eventbridge_requests_total', location => '/off',
    code => '401'), 1, 'what nginx forbids is counted');

# labels, and two servers that share the log

my $re = '^/re\\"(x|\\\\d+)$';

is(post($t->port(3), '/re"12', '{"id":"1","source":"s"}')->json()->{forwarded},
    1, 'a regex location');
ok(wait_for(sub { @audit = $t->audit_lines('audit.jsonl', \@fields);
    return @audit > $lines }), 'audit, the other server');
is($audit[-1]{location} . ' ' . $audit[-1]{destination} . ' '
    . $audit[-1]{route}, '^/re"(x|\d+)$ /to"a q"\\',
    'audit, a regex location');
is(scalar @audit, $lines + 1, 'audit, off is off');

ok(wait_for(sub { $s = $t->metrics(); $s->{'eventbridge_route_events_forwarded'
    . "_total{destination=\"/to\\\"a\",location=\"$re\",route=\"q\\\"\\\\\","
    . 'server="a\\"b\\\\c"}'} }), 'labels are escaped')
    or diag(join "\n", grep { /a\\"b/ } sort keys %$s);

###############################################################################

# A reload goes on counting; four workers, their sums.

my %was = %$s;

$t->{workers} = 4;
$t->conf($conf);
ok($t->reload(), 'reload, four workers');

$s = $t->metrics();
is(join(',', grep { /^eventbridge_(?!checkpoint|delivery)/
    && $s->{$_} != $was{$_} } sort keys %was), '', 'figures outlive a reload');

my (@clients, %sum);

for my $i (0 .. 39) {
    my $c = client($port);

    # 5 new ones, one of them twice, and one that all have
    for my $k (1 .. 5) {
        my $body = '[' . join(',', map { qq/{"id":"$_","source":"s"}/ }
            map({ "$i.$k.$_" } 1 .. 5), "$i.$k.1", "all.$k") . ']';

        $c->start(method => 'POST', path => '/load', body => $body);
        push @{$clients[$i]}, $c;
    }
}

for my $i (0 .. 39) {
    for my $c (@{$clients[$i]}) {
        my $r = $c->response();

        $sum{status}{$r->status()}++;
        $sum{$_} += $r->json()->{$_} for qw/ received forwarded duplicates /;
    }
}

is_deeply(\%sum, { status => { 200 => 200 }, received => 1400,
    forwarded => 1005, duplicates => 395 }, 'four workers, answers');

ok(wait_for(sub { $t->metric('eventbridge_events_processed_total',
    location => '/load') == 1400 }), 'four workers, processed');

$s = $t->metrics();
%at = (server => 'eb.test', location => '/load');

figure('requests_total', 200, %at, code => '2xx');
figure('events_received_total', 1400, %at);
figure('events_forwarded_total', 1005, %at);
figure('events_duplicates_total', 395, %at);
figure('batch_events_count', 200, %at);
figure('batch_events_bucket', 200, %at, le => 10);
figure('batch_events_bucket', 0, %at, le => 5);
figure('route_events_matched_total', 1400, %at, route => '/to/a',
    destination => '/to/a');
figure('destination_events_forwarded_total', 1005, %at,
    destination => '/to/a');
is(scalar(() = map { /"(all\.\d)"/g } $m->bodies('/to/a')), 5,
    'four workers, each event was delivered once');

my @load;
ok(wait_for(sub { (@load = $t->audit_lines('load.jsonl', \@fields)) == 1400
    }), 'four workers, audit');

# the lines of a batch come at once, too fast for any disk

is(post($port, '/load', '[' . join(',', map {
    qq/{"id":"batch.$_","source":"s"}/ } 1 .. 10_000) . ']')
    ->json()->{forwarded}, 10_000, 'the largest batch');
ok(wait_for(sub { (@load = $t->audit_lines('load.jsonl', \@fields)) == 11_400
    }), 'the largest batch, audit');
is($t->metric('eventbridge_audit_dropped_total'), 0, 'no line is lost');

my %pids = map { (split)[0] => 1 } split /\n/, read_file("$dir/load.log");
cmp_ok(scalar keys %pids, '>', 1, 'several workers took part');

###############################################################################

# Health: a zone that forgets too early, one that takes no claims, a worker
# that exits, a file that was damaged.

for my $i (1 .. 4) {
    post($port, '/tiny', '[' . join(',', map {
        qq/{"id":"$i.$_","source":"s"}/ } 1 .. 1000) . ']');
}

$r = get($port, '/health');
my ($tiny) = grep { $_->{zone} eq 'tiny' } @{$r->json()->{checkpoints}};

is($r->status() . $r->json()->{status}, '200degraded',
    'health, a zone that is too small');
cmp_ok($tiny->{evictions}, '>', 1000, 'health, evictions');
cmp_ok($tiny->{effectiveWindow}, '<', scaled(60), 'health, effective window');
is($t->metric('eventbridge_checkpoint_effective_window_seconds',
    zone => 'tiny'), $tiny->{effectiveWindow}, 'the same in metrics');
is($t->metric('eventbridge_checkpoint_evictions_total', zone => 'tiny'),
    $tiny->{evictions}, 'evictions in metrics');

# the mark of a file that has a successor

$t->allow_error('error', qr/checkpoint/, maybe => 1);
$t->allow_error('alert', qr/checkpoint/, maybe => 1);

poke("$dir/tiny.ckpt", 512, pack 'Q', 1);
$r = get($port, '/health');
is($r->status() . $r->json()->{status}, '503unhealthy',
    'health, a zone that takes no claims');
is(join(',', map { "$_->{zone}:$_->{usable}" } @{$r->json()->{checkpoints}}),
    'z:1,tiny:0', 'health, which one');
is($t->metric('eventbridge_checkpoint_usable', zone => 'tiny'), 0,
    'the same in metrics');
is(post($port, '/tiny', '{"id":"new","source":"s"}')->json()->{error},
    'checkpoint_unavailable', 'its location says so');
poke("$dir/tiny.ckpt", 512, pack 'Q', 0);
is(get($port, '/health')->status(), 200, 'health, usable again');

# requests that came to a worker before it was told to go

my @late = map { client($port)->put("GET /$_ HTTP/1.1\r\nHost: localhost\r\n")
} 'health', 'metrics';

my %old = map { $_ => 1 } $t->worker_pids();

ok(wait_for(sub { taken() >= 2 }), 'two requests have begun');
ok($t->reload(keep_old => 1), 'reload, with an old worker');
ok(wait_for(sub { $t->old_workers() >= 1
    && !grep { $old{$_} } $t->worker_pids() }), 'an old worker drains');
$_->put("\r\n") for @late;

my ($health, $metrics) = map { $_->response() } @late;

is($health->status() . ($health->json() // {})->{status}, '503unhealthy',
    'health, a worker that exits');
like($metrics->body(), qr/^eventbridge_up 0$/m, 'metrics, the same');
is(get($port, '/health')->json()->{status}, 'degraded',
    'health, the new workers');
ok(wait_for(sub { !$t->old_workers() }), 'the old worker has gone');

$t->stop();

# damage

poke("$dir/z.ckpt", 100, 'damage');
unlink "$dir/tiny.ckpt";
$t->allow_error('alert', qr/z\.ckpt/);
$t->metrics_forget();
$t->run();

$r = get($port, '/health');
is($r->status() . $r->json()->{status}, '200degraded', 'health, damage');
is(join(',', map { "$_->{zone}:$_->{startedEmptyAfterDamage}" }
    @{$r->json()->{checkpoints}}), 'z:1,tiny:0', 'health, which one');
is(scalar(glob "$dir/z.ckpt.corrupt-*") ? 1 : 0, 1,
    'the damaged file is set aside');

$s = $t->metrics();
figure('requests_total', 201, %at, code => '2xx');

###############################################################################

sub poke {
    my ($file, $at, $bytes) = @_;

    open my $fh, '+<:raw', $file or die "open $file: $!\n";
    seek $fh, $at, 0 or die "seek $file: $!\n";
    print $fh $bytes or die "write $file: $!\n";
    close $fh or die "close $file: $!\n";
}

# connections of clients of ours whose bytes nginx has read

sub taken {
    my %wait;

    for (split /\n/, read_file('/proc/net/tcp')) {
        my (undef, $local, undef, $state, $queue) = split;

        next if $local !~ /:(\w+)$/ || hex $1 != $port || $state ne '01';
        $wait{$queue =~ /:0+$/ ? 'read' : 'unread'}++;
    }

    return $wait{unread} ? 0 : $wait{read} // 0;
}

###############################################################################
