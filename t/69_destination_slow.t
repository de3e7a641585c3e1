#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# A batch that takes longer than its sender waits, one request for each event,
# says nothing against a destination that answers each of them soon.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;
use Test::EventBridge::Util qw/ scaled /;

###############################################################################

my $t = Test::EventBridge->new(workers => 1, log_level => 'notice')->plan(10);
my $m = $t->mock(1);
my $port = $t->port(0);
my $number = 0;

$t->conf(<<'EOF2')->run();
http {
    eventbridge_checkpoint_zone zone=z:1m path=%%TESTDIR%%/z.ckpt;
    eventbridge_stats_file %%TESTDIR%%/stats;

    server {
        listen 127.0.0.1:%%PORT_0%%;
        client_max_body_size 2m;

        eventbridge_checkpoint z;
        eventbridge_forward_timeout 1s;
        eventbridge_probe /to/m off interval=500ms fall=3;

        location = /v1/events {
            eventbridge_ingest;
            eventbridge_forward_as single;
            eventbridge_route /to/m;
        }

        location = /to/m {
            internal;
            client_max_body_size 0;
            proxy_pass http://127.0.0.1:%%PORT_1%%;
            proxy_read_timeout 5s;
        }

        location = /metrics { eventbridge_metrics; }
        location = /health { eventbridge_health; }
    }
}
EOF2

# 16 at a time: the sender has its answer before the last of them is begun

$m->set('/to/m', delay => 100);

my $body = batch(320);
is(post($port, '/v1/events', $body, timeout => 10)->status(), 503,
    'the sender cannot wait for all of them');

my $begun = $m->hits('/to/m');
cmp_ok($begun, '<', 320, 'some were to be sent still');
is($t->metric('eventbridge_destination_downs_total', destination => '/to/m'),
    0, 'the destination did not go down');
is(state(), 'up', 'it is up');
ok(wait_for(sub { $m->hits('/to/m') == 320 }, 10), 'it gets the others');

my $r = post($port, '/v1/events', $body, timeout => 10);
is($r->status(), 200, 'sent again');
is($r->json()->{duplicates}, 320, 'they are duplicates');
my %ids = map { $_ => 1 } my @ids = $m->ids('/to/m');
is(scalar @ids, scalar keys %ids, 'nobody got one twice');

# one that hangs is found out by three senders

$t->allow_error('error', qr/destination "\/to\/m" is down/);
$m->clear('/to/m');
$m->set('/to/m', hang => 1);
my @c = map { client($port)->start(method => 'POST', path => '/v1/events',
    body => batch(16)) } 1 .. 3;
is_deeply([ map { $_->response()->status() } @c ], [ 503, 503, 503 ],
    'a destination that hangs');
ok(wait_for(sub { state() eq 'down' }), 'is down');
$m->clear('/to/m');
$m->release('/to/m');

###############################################################################

sub batch {
    my ($events) = @_;
    return '{"events":[' . join(',', map {
        sprintf '{"id":"%d","source":"s"}', $number++ } 1 .. $events) . ']}';
}

sub state {
    return get($port, '/health')->json()->{destinations}[0]{state};
}

###############################################################################
