#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# A long outage, a sender that never sends anything twice, and nothing is lost:
# what went to the dead letter is delivered by itself.  Rule 16 of the design.

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

my $batches = $ENV{EB_FULL} ? 600 : 60;

my $t = Test::EventBridge->new(workers => 2)->plan(19);
my $m = $t->mock(1);
my $n = $t->mock(2);

my $dir = $t->testdir() . '/dead';
mkdir $dir;
chmod 0777, $dir;

$t->conf(<<'EOF2')->run();
    eventbridge_checkpoint_zone zone=z:1m path=%%TESTDIR%%/z.ckpt;
    eventbridge_stats_file %%TESTDIR%%/stats;

    upstream m { server 127.0.0.1:%%PORT_1%%; keepalive 32; }
    upstream n { server 127.0.0.1:%%PORT_2%%; keepalive 32; }

    server {
        listen 127.0.0.1:%%PORT_0%%;
        client_max_body_size 4m;
        proxy_http_version 1.1;
        proxy_set_header Connection "";

        eventbridge_checkpoint z;
        eventbridge_dead_letter %%TESTDIR%%/dead/dead.jsonl;
        eventbridge_unavailable dead_letter after=0s;

        location = /v1/events {
            eventbridge_ingest;
            eventbridge_route_policy all;
            eventbridge_route /to/m;
            eventbridge_route /to/n;
        }

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
        location = /health { eventbridge_health; }
    }
EOF2

my $port = $t->port(0);
my $json = JSON::PP->new();
my $number = 0;
my %answers;

# a poison event, which nobody replays by himself

$m->queue('/to/m', { status => 400 });
post($port, '/v1/events', batch(1));

# both destinations are down, and one of them recovers

$_->refuse(), $_->drop_idle() for $m, $n;

for my $i (1 .. $batches) {
    $answers{post($port, '/v1/events', batch(5))->status()}++;
}

is_deeply(\%answers, { 200 => $batches }, 'rule 16: every batch is accepted');
is(lines(), 1 + $batches * 10, 'rule 16: all of it is in the dead letter');

my $health = get($port, '/health');
is($health->status() . ' ' . $health->json()->{status}, '200 degraded',
    'a destination that is down is a matter of degree');
is(join(',', map { $_->{destination} } @{$health->json()->{down}}),
    '/to/m,/to/n', 'and is named');

$_->forget() for $m, $n;
$m->accept();

ok(wait_for(sub { distinct($m) == $batches * 5 }, 60),
    'rule 16: one destination is up again, and gets all');
ok(wait_for(sub { lines() == 1 + $batches * 5 }, 60),
    'rule 16: what was delivered leaves the file');
is($n->hits(), 0, 'rule 16: the other one has nothing');
ok(wait_for(sub { ($t->metric('eventbridge_dead_letter_waiting') // 0)
    == $batches * 5 }, 30), 'rule 16: what is left is a metric');
ok(wait_for(sub { ($t->metric('eventbridge_dead_letter_records',
    file => "$dir/dead.jsonl") // 0) == 1 + $batches * 5 }, 30),
    'lines of the file');
ok(wait_for(sub { ($t->metric('eventbridge_dead_letter_bytes',
    file => "$dir/dead.jsonl") // 0) > 1000 }), 'bytes of the file');
ok(wait_for(sub { ($t->metric('eventbridge_dead_letter_oldest_age_seconds',
    file => "$dir/dead.jsonl") // 0) > 0 }), 'age of the file');

# the worker that does it dies, and another one takes over

$t->allow_error('alert', qr/exited on signal 9/);
my @old = $t->worker_pids();
kill 'KILL', @old;
wait_for(sub { my @now = $t->worker_pids();
    @now == 2 && !grep { my $p = $_; grep { $p == $_ } @old } @now });

$n->accept();

ok(wait_for(sub { distinct($n) == $batches * 5 }, 90),
    'rule 16: the second one is up again, and gets all');
ok(wait_for(sub { lines() == 1 }, 60), 'rule 16: one line stays');
is($json->decode(read_file("$dir/dead.jsonl"))->{reason}, 'permanent',
    'rule 16: that which nobody will ever take');

my %seen;

for my $mock ($m, $n) {
    my %taken;
    $taken{$_->{id}}++ for map { @{$_->json()->{events}} } $mock->requests();
    $seen{$_}++ for values %taken;
}

is_deeply(\%seen, { 1 => $batches * 10 }, 'rule 16: each event once');

$_->forget() for $m, $n;
is(post($port, '/v1/events', batch(2))->json()->{forwarded}, 2,
    'rule 16: life goes on');

# an event of the outage that its destination refuses for good

$n->refuse();
$n->drop_idle();
my $first = $number;
post($port, '/v1/events', batch(9));
$n->set('/to/n', status => 400, match => sprintf '"id":"%d"', $first + 3);
$n->forget();
$n->accept();

ok(wait_for(sub { lines() == 2 }, 60), 'rule 16: the others are delivered');
is_deeply([ map { $_->{eventId} } grep { $_->{reason} eq 'unavailable' }
    map { $json->decode($_) } split /\n/, read_file("$dir/dead.jsonl") ],
    [ $first + 3 ], 'rule 16: that one stays');

my $before = $t->metric('eventbridge_destination_events_failed_total',
    destination => '/to/m');
$m->set('/to/m', status => 422, match => sprintf '"id":"%d"', $number + 1);
post($port, '/v1/events', batch(8));
is($t->metric('eventbridge_destination_events_failed_total',
    destination => '/to/m') - $before, 1, 'a search counts one failure');

###############################################################################

sub batch {
    my ($events) = @_;
    return '{"events":[' . join(',', map {
        sprintf '{"id":"%d","source":"s"}', $number++ } 1 .. $events) . ']}';
}

sub lines {
    return scalar(() = read_file("$dir/dead.jsonl") =~ /\n/g);
}

sub distinct {
    my ($mock) = @_;
    my %ids = map { $_->{id} => 1 } map { @{$_->json()->{events}} }
        $mock->requests();
    return scalar keys %ids;
}

###############################################################################
