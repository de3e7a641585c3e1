#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# What can never be delivered: permanent answers, the search for culprits, the
# dead letter.  Rules 12 to 14 and 16 of the design.

###############################################################################

use warnings;
use strict;

use JSON::PP ();
use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;
use Test::EventBridge::Disk qw/ disk undisk /;
use Test::EventBridge::Util qw/ read_file /;

###############################################################################

my $t = Test::EventBridge->new(workers => 2)->plan(67);
my $m = $t->mock(1);
my $n = $t->mock(2);

my $full = $t->testdir() . '/full';
my $why = disk($full, 'size=64k,mode=777');
mkdir $full;
chmod 0777, $full;

$t->conf(<<'EOF2')->run();
    eventbridge_checkpoint_zone zone=z:1m path=%%TESTDIR%%/z.ckpt;
    eventbridge_stats_file %%TESTDIR%%/stats;

    log_format dead '$eventbridge_result $eventbridge_dead';

    upstream m { server 127.0.0.1:%%PORT_1%%; keepalive 32; }
    upstream n { server 127.0.0.1:%%PORT_2%%; keepalive 32; }

    server {
        listen 127.0.0.1:%%PORT_0%%;
        server_name front.example;

        client_max_body_size 4m;
        proxy_http_version 1.1;
        proxy_set_header Connection "";

        eventbridge_checkpoint z;
        eventbridge_dead_letter %%TESTDIR%%/dead.jsonl;

        location = /v1/events {
            eventbridge_ingest;
            access_log %%TESTDIR%%/dead.log dead;
            eventbridge_audit_log %%TESTDIR%%/audit.log;
            eventbridge_route /to/m;
        }

        location = /both {
            eventbridge_ingest;
            eventbridge_route_policy all;
            eventbridge_route /to/m;
            eventbridge_route /to/n;
        }

        location = /kept {
            eventbridge_ingest;
            eventbridge_dead_letter off;
            eventbridge_route /to/m;
        }

        location = /gone {
            eventbridge_ingest;
            eventbridge_permanent 410;
            eventbridge_route /to/m;
        }

        location = /none {
            eventbridge_ingest;
            eventbridge_permanent none;
            eventbridge_route /to/m;
        }

        location = /full {
            eventbridge_ingest;
            eventbridge_dead_letter %%TESTDIR%%/full/dead.jsonl;
            eventbridge_route /to/m;
        }

        location = /down {
            eventbridge_ingest;
            eventbridge_unavailable dead_letter after=0s;
            eventbridge_route /to/n;
        }

        location = /later {
            eventbridge_ingest;
            eventbridge_unavailable dead_letter;
            eventbridge_route /to/later;
        }

        location ~ ^/to/[m]$ {
            internal;
            client_max_body_size 0;
            proxy_pass http://m;
        }

        location ~ ^/to/(n|later)$ {
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
my ($res, $body, @dead, %count);

# rule 12

poison(400);
$body = batch(map { event($_ == 37 ? 'poison' : 'fine') } 0 .. 99);
$res = post($port, '/v1/events', $body);

is($res->status(), 200, 'rule 12: one poison event of 100: accepted');
is_deeply([ @{$res->json()}{qw/ received forwarded dead duplicates /} ],
    [ 100, 99, 1, 0 ], 'rule 12: 99 forwarded, one dead');

%count = taken($m);
is(keys %count, 99, 'rule 12: 99 are delivered');
is_deeply([ grep { $count{$_} != 1 } keys %count ], [], 'rule 12: once');

@dead = dead();
is(@dead, 1, 'rule 13: one line');
is($dead[0]{raw}, $json->encode($json->decode($body)->{events}[37]),
    'rule 13: the event as it came');
is_deeply({ %{$dead[0]}{qw/ v server location scope destination status reason
    index form source /} }, { v => 1, server => 'front.example',
    location => '/v1/events', scope => 'front.example /v1/events',
    destination => '/to/m', status => 400, reason => 'permanent',
    index => 37, form => 'events', source => 's' }, 'rule 13: its facts');
like($dead[0]{time}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
    'rule 13: time');
like($dead[0]{key}, qr/^[0-9a-f]{32}$/, 'rule 13: key');

$res = post($port, '/v1/events', $body);
is_deeply([ @{$res->json()}{qw/ received forwarded dead duplicates /} ],
    [ 100, 0, 0, 100 ], 'rule 13: a dead event has its mark');
is($m->hits(), 0, 'rule 13: and is not sent again');

for my $status (415, 422) {
    poison($status);
    $res = post($port, '/v1/events',
        batch(event('poison'), event('fine'), event('poison')));
    is_deeply([ $res->status(), @{$res->json()}{qw/ forwarded dead /} ],
        [ 200, 1, 2 ], "rule 12: $status is permanent");
}

# more than one event may be too large, one alone is a poison event

poison(413);
$res = post($port, '/v1/events', batch(event('fine'), event('poison')));
is_deeply([ $res->status(), @{$res->json()}{qw/ forwarded dead /} ],
    [ 200, 1, 1 ], 'rule 12: 413 of one event');

$m->clear();
forget();

for my $status (401, 403, 404, 408, 410, 429, 500, 502, 503, 504) {
    $m->set('/to/m', status => $status);
    $body = batch(event('fine'), event('fine'));
    $res = post($port, '/v1/events', $body);
    is($res->status(), 503, "rule 12: $status: the sender keeps it");
    $m->clear();
    is(post($port, '/v1/events', $body)->json()->{forwarded}, 2,
        "rule 12: $status: and delivers it later");
}

is_deeply([ dead() ], [], 'rule 12: a deployment buries nothing');

poison(410);
is(post($port, '/gone', batch(event('poison')))->json()->{dead}, 1,
    'rule 12: eventbridge_permanent');
poison(400);
is(post($port, '/gone', batch(event('poison')))->status(), 503,
    'rule 12: and nothing else');
is(post($port, '/none', batch(event('poison')))->status(), 503,
    'rule 12: eventbridge_permanent none');
$m->forget();
is(post($port, '/kept', batch(event('poison'), event('fine')))->status(), 503,
    'rule 13: without a dead letter the sender keeps it');
%count = taken($m);
is(keys %count, 1, 'rule 12: while the rest is delivered');

# a fan-out: dead for one destination only

forget();
$res = post($port, '/both', $body = batch(event('poison'), event('fine')));
is_deeply([ $res->status(), @{$res->json()}{qw/ forwarded dead /} ],
    [ 200, 1, 1 ], 'rule 13: dead at one of two destinations');
is_deeply([ map { $_->{destination} } dead() ], [ '/to/m' ],
    'rule 13: its line names that one');
%count = taken($n);
is(keys %count, 2, 'rule 13: the other one has both');
is(post($port, '/both', $body)->json()->{duplicates}, 2,
    'rule 13: both are settled');

# all of them, in a large batch

forget();
$body = batch(map { event('poison') } 1 .. 500);
$res = post($port, '/v1/events', $body);
is_deeply([ $res->status(), @{$res->json()}{qw/ forwarded dead /} ],
    [ 200, 0, 500 ], 'rule 12: every event of a batch fails');
is(scalar(dead()), 500, 'rule 13: 500 lines');
$m->clear();
$_->forget() for $m, $n;

# rule 14

forget();
$body = '{"events":[' . join(',', event('fine'), '"text"', event('fine'),
    '{"id":[1],"source":"s"}') . ']}';
$res = post($port, '/v1/events', $body);
is_deeply([ $res->status(), @{$res->json()}{qw/ received forwarded dead /} ],
    [ 200, 4, 2, 2 ], 'rule 14: invalid events are dead, the others live');
@dead = dead();
is_deeply([ map { $_->{raw} } @dead ],
    [ '"text"', '{"id":[1],"source":"s"}' ], 'rule 14: as they came');
is_deeply([ map { $_->{destination} } @dead ], [ undef, undef ],
    'rule 14: for no destination');
is($dead[0]{reason}, 'not an object', 'rule 14: the reason');

$m->set('/to/m', status => 500);
$res = post($port, '/v1/events', $body =~ s/"id":"/"id":"again-/gr);
is($res->status(), 503, 'rule 14: when others fail, all is sent again');
is(scalar(dead()), 2, 'rule 14: and nothing is written yet');
$m->clear();

is(post($port, '/v1/events', '{"events":[1]}')->json()->{dead}, 1,
    'rule 14: an invalid event alone');

# rule 16

forget();
$n->refuse();
$n->drop_idle();

$res = post($port, '/down', $body = batch(map { event('fine') } 1 .. 3));
is_deeply([ $res->status(), @{$res->json()}{qw/ dead forwarded /} ],
    [ 200, 3, 0 ], 'rule 16: a destination that is down');
is_deeply([ map { @{$_}{qw/ reason destination /} } dead() ],
    [ ('unavailable', '/to/n') x 3 ], 'rule 16: its lines');
is(post($port, '/later', batch(event('fine')))->status(), 503,
    'rule 16: not before it was down for so long');
cmp_ok($t->metric('eventbridge_destination_down_since_seconds',
    location => '/later', destination => '/to/later'), '>', 1e9,
    'rule 16: down since');

$n->accept();
is(post($port, '/later', batch(event('fine')))->status(), 200,
    'rule 16: it is up again');
is($t->metric('eventbridge_destination_down_since_seconds',
    location => '/later', destination => '/to/later'), 0, 'rule 16: up');

# a full disk

SKIP: {
    skip $why, 5 if defined $why;

    forget();
    1 while fill();

    poison(400);
    $body = batch(event('poison', 9000), event('fine'));
    $res = post($port, '/full', $body);
    is($res->status(), 503, 'rule 13: a full disk: the sender keeps it');
    is($res->json()->{error}, 'dead_letter_unavailable', 'rule 13: why');

    unlink "$full/filler";

    $res = post($port, '/full', $body);
    is_deeply([ $res->status(), @{$res->json()}{qw/ dead duplicates /} ],
        [ 200, 1, 1 ], 'rule 13: when there is room again it is dead');
    is(() = read_file("$full/dead.jsonl") =~ /\n/g, 1,
        'rule 13: once, and whole');
    $m->clear();
    is(post($port, '/full', batch(event('fine')))->status(), 200,
        'rule 13: and life goes on');
}

is($t->metric('eventbridge_events_dead_total', location => '/v1/events'),
    1 + 2 + 2 + 1 + 500 + 2 + 1, 'counted');

$t->stop();
undisk($full) if !defined $why;

like(read_file($t->testdir() . '/dead.log'), qr/\Aaccepted 1\n/,
    'a variable of the access log');

my %actions;
$actions{$_->{action}}++ for @{[ $t->audit_lines('audit.log') ]};
is($actions{dead}, 509, 'audited');

###############################################################################

sub event {
    my ($kind, $size) = @_;

    return sprintf '{"id":"%d","kind":"%s","pad":"%s","source":"s"}', $number++,
        $kind, 'x' x ($size // 1);
}

sub batch { return '{"events":[' . join(',', @_) . ']}' }

# m refuses what has a poison event in it

sub poison {
    my ($status) = @_;
    $m->clear();
    $m->set('/to/m', status => $status, match => '"poison"');
}

# how often a destination took each event

sub taken {
    my ($mock) = @_;
    my %taken;

    for my $r ($mock->requests()) {
        my @events = @{$r->json()->{events}};
        next if $mock == $m && grep { $_->{kind} eq 'poison' } @events;
        $taken{$_->{id}}++ for @events;
    }

    $mock->forget();
    return %taken;
}

my $seen;

sub forget { $seen = dead_lines(); $_->forget() for $m, $n; }

sub dead_lines {
    my $file = $t->testdir() . '/dead.jsonl';
    return -e $file ? scalar(() = read_file($file) =~ /\n/g) : 0;
}

sub dead {
    my @lines = split /\n/, read_file($t->testdir() . '/dead.jsonl');
    return map { $json->decode($_) } @lines[($seen // 0) .. $#lines];
}

# as much as the disk takes

sub fill {
    open my $f, '>>', "$full/filler" or die "filler: $!\n";
    my $done = syswrite($f, 'x' x 4096);
    return defined $done && $done == 4096;
}

###############################################################################
