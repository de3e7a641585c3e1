#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Dead letters that are sent again: to their own destination, once.  Rule 15 of
# the design.

###############################################################################

use warnings;
use strict;

use JSON::PP ();
use MIME::Base64 qw/ encode_base64 /;
use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;
use Test::EventBridge::Util qw/ read_file wait_for /;

###############################################################################

my $lines = $ENV{EB_FULL} ? 10000 : 2000;

my $t = Test::EventBridge->new(workers => 2)->plan(41);
my $m = $t->mock(1);
my $n = $t->mock(2);

$t->conf(<<'EOF2')->run();
    eventbridge_checkpoint_zone zone=z:4m path=%%TESTDIR%%/z.ckpt window=1h;
    eventbridge_stats_file %%TESTDIR%%/stats;

    upstream m { server 127.0.0.1:%%PORT_1%%; keepalive 32; }
    upstream n { server 127.0.0.1:%%PORT_2%%; keepalive 32; }

    server {
        listen 127.0.0.1:%%PORT_0%%;
        server_name front.example;

        client_max_body_size 64m;
        proxy_http_version 1.1;
        proxy_set_header Connection "";

        eventbridge_checkpoint z;
        eventbridge_dead_letter %%TESTDIR%%/dead.jsonl;
        eventbridge_audit_log %%TESTDIR%%/audit.log;
        eventbridge_forward_timeout 30s;

        location = /v1/events {
            eventbridge_ingest;
            eventbridge_route_policy all;
            eventbridge_route /to/m;
            eventbridge_route /to/n;
        }

        location = /single {
            eventbridge_ingest;
            eventbridge_forward_as single;
            eventbridge_route /to/m;
        }

        location = /unmarked {
            eventbridge_ingest;
            eventbridge_checkpoint off;
            eventbridge_route /to/m;
        }

        location = /replay { eventbridge_replay; }

        location = /to/m {
            internal;
            client_max_body_size 0;
            proxy_pass http://m;
        }

        location = /to/n {
            internal;
            client_max_body_size 0;
            proxy_pass http://n;
        }

        location = /metrics { eventbridge_metrics; }
    }
EOF2

my $port = $t->port(0);
my $json = JSON::PP->new()->utf8()->canonical();
my $number = 0;
my ($res, @got, @dead, %taken, $sum);

# a few, of several kinds

$m->set('/to/m', status => 422);
post($port, '/v1/events', batch(map { event() } 1 .. 3));
post($port, '/v1/events', '[' . join(',', map { event() } 1 .. 2) . ']');
post($port, '/v1/events', event());
my $key = event();
post($port, '/single', batch($key));
my ($first) = map { $_->header('Idempotency-Key') }
    grep { $_->body() eq $key } $m->requests();
post($port, '/unmarked', batch(event()));
post($port, '/v1/events', '[{"id":{},"source":"s"}]');
$m->clear();
$_->forget() for $m, $n;

@dead = dead();
is(@dead, 9, 'rule 15: nine dead letters');

$res = replay(raw_lines());
is($res->status(), 200, 'rule 15: replayed');
is($res->header('Content-Type'), 'application/x-ndjson', 'rule 15: lines');
@got = results($res);
$sum = pop @got;
is_deeply($sum, { lines => 9, delivered => 8, duplicate => 0, busy => 0,
    failed => 0, invalid => 1 }, 'rule 15: the sum');
is_deeply([ map { $_->{line} } sort { $a->{line} <=> $b->{line} } @got ],
    [ 1 .. 9 ], 'rule 15: a result for each line');
is_deeply([ map { $_->{reason} } grep { $_->{result} eq 'invalid' } @got ],
    [ 'it names no destination' ],
    'rule 15: a malformed event has no destination');
is_deeply([ map { $_->{status} } grep { $_->{result} eq 'delivered' } @got ],
    [ (200) x 8 ], 'rule 15: with the status of the destination');

my %bodies = map { $_->body() => 1 } $m->requests();
is_deeply([ sort keys %bodies ], [ sort
    '{"events":[' . join(',', map { $_->{raw} } @dead[0 .. 2]) . ']}',
    '[' . join(',', map { $_->{raw} } @dead[3 .. 4]) . ']',
    $dead[5]{raw}, $key, '{"events":[' . $dead[7]{raw} . ']}' ],
    'rule 15: each in the form that it had');
is($n->hits(), 0, 'rule 15: the other destination gets nothing');
is((grep { $_->body() eq $key } $m->requests())[0]->header('Idempotency-Key'),
    $first, 'rule 22: the key is what it was');

$m->forget();
@got = results(replay(raw_lines()));
is_deeply(pop @got, { lines => 9, delivered => 1, duplicate => 7, busy => 0,
    failed => 0, invalid => 1 }, 'rule 15: again: only what has no marks');
is($m->hits(), 1, 'rule 15: one request');

is($t->metric('eventbridge_events_replayed_total', location => '/v1/events'),
    6, 'counted');
is($t->metric('eventbridge_events_forwarded_total', location => '/v1/events'),
    0, 'but not as events that came in');

# lines that are changed, made by hand, or hostile

my %line = %{$dead[0]};
delete $line{check};

result({ %line, requestId => 'other' }, 'delivered', undef, 'an edited line');
result({ %line, raw => '{"id":"x"}' }, 'delivered', undef, 'another event');
result({ %line, location => '/gone' }, 'duplicate', undef,
    'of a location that is gone');
result({ destination => '/to/n', raw => '{"id":"y"}' }, 'delivered', undef,
    'with the least');
result({ %line, destination => '/to/x' }, 'invalid',
    'no location has its destination', 'an unknown destination');
result({ %line, server => 'else.example' }, 'invalid',
    'no location has its destination', 'another server');
result({ %line, form => 'xml' }, 'invalid', 'its form is unknown', 'a form');
result({ %line, raw => '{"id":"x"},{"id":"z"}' }, 'invalid',
    'its event is not JSON', 'two events');
result({ %line, raw => '' }, 'invalid', 'its event is not JSON', 'no bytes');
result({ %line, raw => [] }, 'invalid', 'it has no event', 'no string');
result({ %line, raw_base64 => '???' }, 'invalid', 'raw_base64 is not valid',
    'bad base64');
result('[]', 'invalid', 'not a JSON object', 'an array');
result('{"destination":"/to/m",', 'invalid', 'not a JSON object', 'half');
result(raw_line(0) =~ s/"status":422/"status":423/r, 'invalid',
    'the line is damaged', 'a changed line that kept its check');

is_deeply([ map { $_->{result} // () } results(replay(
    $json->encode({ %line, requestId => 'deep',
        raw => '[' x 1024 . ']' x 1024 }),
    $json->encode({ %line, requestId => 'flat' }))) ],
    [ 'delivered', 'delivered' ], 'rule 15: as deep as can be');

$m->forget();
result({ %line, raw_base64 => encode_base64("\0\x01\xff binary", '') },
    'delivered', undef, 'binary');
is(($m->requests())[0]->body(), "\0\x01\xff binary", 'rule 15: as it was');

$m->set('/to/m', status => 500);
result({ %line, requestId => 'f' }, 'failed', undef, 'a failure');
$m->set('/to/m', status => 400);
result({ %line, requestId => 'f' }, 'failed', undef, 'a permanent one');
is(scalar(dead()), 9, 'rule 15: it is not buried twice');
$m->clear();

is(get($port, '/replay')->status(), 405, 'GET');
is_deeply([ results(post($port, '/replay', '')) ], [ { lines => 0,
    map { $_ => 0 } qw/ delivered duplicate busy failed invalid / } ],
    'nothing');

# many of them, and a crash in the middle

$m->set('/to/m', status => 400);

for (my $i = 0; $i < $lines; $i += 500) {
    post($port, '/v1/events', batch(map { event() } 1 .. 500));
}

$m->clear();
$_->forget() for $m, $n;

my @many = (raw_lines())[9 .. $lines + 8];
is(@many, $lines, "rule 15: $lines dead letters");

$m->set('/to/m', delay => 5);

my $pid = fork() // die "fork(): $!\n";

if ($pid == 0) {
    eval { replay(@many) };
    POSIX::_exit(0);
}

wait_for(sub { $m->hits() >= $lines / 400 }) or die "nothing is replayed\n";
$t->kill_all();
waitpid $pid, 0;
$m->clear();
$t->run();

$sum = (results(replay(@many)))[-1];
is($sum->{delivered} + $sum->{duplicate}, $lines,
    'rule 15: after a crash the rest follows');

for my $r ($m->requests()) {
    $taken{$_->{id}}++ for @{$r->json()->{events}};
}

is(keys %taken, $lines, 'rule 15: each is delivered');
cmp_ok(scalar(grep { $_ > 1 } values %taken), '<=', 100,
    'rule 15: repeats are of what was in flight');
is($n->hits(), 0, 'rule 15: other destinations get nothing');

$t->stop();

###############################################################################

sub event { return sprintf '{"id":"%d","source":"s"}', $number++ }

sub batch { return '{"events":[' . join(',', @_) . ']}' }

sub raw_lines {
    return split /\n/, read_file($t->testdir() . '/dead.jsonl');
}

sub raw_line { return (raw_lines())[$_[0]] }

sub dead { return map { $json->decode($_) } raw_lines() }

sub replay { return post($port, '/replay', join("\n", @_) . "\n") }

sub results {
    my ($r) = @_;
    return map { $json->decode($_) } split /\n/, $r->body();
}

sub result {
    my ($line, $result, $reason, $name) = @_;

    my ($got) = results(replay(ref $line ? $json->encode($line) : $line));

    is_deeply([ @{$got}{qw/ result reason /} ], [ $result, $reason ],
        "rule 15: $name");
}

###############################################################################
