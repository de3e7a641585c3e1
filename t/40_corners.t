#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Ways to lose, repeat or hold up an event that a review has found once.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;
use Test::EventBridge::Util qw/ now scaled wait_for /;

###############################################################################

my $t = Test::EventBridge->new(workers => 1)->plan(31);
my $m = $t->mock(1);
my $n = $t->mock(2);

my $number = 0;

sub configuration {
    my ($first, $last) = @_;

    my $destinations = join '', map {
        "location = /to/$_ { internal; client_max_body_size 0; return 204; }\n"
    } 1 .. 70;

    my $proxies = join '', map {
        "location = /to/$_ { internal; client_max_body_size 0;"
        . " proxy_pass http://$_; }\n" } qw/ m n none /;

    my $routes = join '', map { "eventbridge_route /to/$_;\n" }
        $first .. $last;

    return <<"EOF2";
worker_shutdown_timeout 1s;

http {
    eventbridge_checkpoint_zone zone=z:1m path=%%TESTDIR%%/z.ckpt;
    eventbridge_checkpoint_zone zone=many:1m path=%%TESTDIR%%/many.ckpt;
    eventbridge_stats_file %%TESTDIR%%/stats;
    limit_req_zone \$binary_remote_addr zone=rate:1m rate=10r/s;
    limit_conn_zone \$binary_remote_addr zone=conn:1m;

    upstream m { server 127.0.0.1:%%PORT_1%%; keepalive 32; }
    upstream n { server 127.0.0.1:%%PORT_2%%; keepalive 32; }
    upstream none { server 127.0.0.1:%%PORT_1%% down; }

    server {
        listen 127.0.0.1:%%PORT_0%%;
        client_max_body_size 4m;
        proxy_http_version 1.1;
        proxy_set_header Connection "";

        location = /many {
            eventbridge_ingest;
            eventbridge_checkpoint many;
            eventbridge_route_policy all;
            $routes
        }

        location = /hash {
            eventbridge_ingest;
            eventbridge_checkpoint z no_id=hash;
            eventbridge_route_policy all;
            eventbridge_route /to/m;
            eventbridge_route /to/n;
        }

        location = /none {
            eventbridge_ingest;
            eventbridge_forward_as single;
            eventbridge_route /to/none;
        }

        location = /single {
            eventbridge_ingest;
            eventbridge_forward_as single;
            eventbridge_route /to/m;
        }

        location = /regex {
            eventbridge_ingest;
            eventbridge_route /to/m
                              type=^aws\\.partner/.*/.*/order.*created\$;
        }

        location = /tenants {
            eventbridge_ingest;
            eventbridge_checkpoint z scope=\$http_x_tenant;
            eventbridge_forward_as single;
            eventbridge_route /to/n;
        }

        location = /busy {
            eventbridge_ingest;
            eventbridge_checkpoint z;
            eventbridge_inflight 1m deliveries=4;
            eventbridge_forward_timeout 20s;
            eventbridge_route /to/n;
        }

        location = /ready { return 200 ready; }

        $destinations

        $proxies
    }

    server {
        listen 127.0.0.1:%%PORT_3%%;
        client_max_body_size 4m;
        limit_req zone=rate burst=20;
        limit_conn conn 1;

        location = /limited {
            eventbridge_ingest;
            eventbridge_checkpoint z;
            eventbridge_route /to/m;
        }

        location = /small {
            eventbridge_ingest;
            eventbridge_forward_timeout 300ms;
            client_max_body_size 1k;
            error_page 413 \@slow;
            eventbridge_route /to/m;
        }

        location = /to/m {
            internal;
            client_max_body_size 0;
            proxy_pass http://m;
        }

        location \@slow { proxy_pass http://n; }
    }
}
EOF2
}

$t->conf(configuration(1, 64))->run();

my ($port, $limited) = map { $t->port($_) } 0, 3;
my ($res, $body);

# a destination that found no bit in the checkpoint

is(post($port, '/many', event())->json()->{forwarded}, 1, '64 destinations');

$t->allow_error('alert', qr/has no free bit/);
$t->conf(configuration(2, 65))->reload();

$body = event();
is(post($port, '/many', $body)->status(), 503, 'a 65th one has no bit');
$res = post($port, '/many', $body);
is($res->status(), 503, 'and its events are never called duplicates');
is($res->json()->{error}, 'checkpoint_unavailable', 'which is why');

# no_id=hash, and one of two destinations fails

$n->set('/to/n', status => 500);
$body = '{"source":"s","detail":{"x":1},"detail-type":"t"}';
is(post($port, '/hash', $body)->status(), 503, 'no_id=hash, half a delivery')
    for 1 .. 3;
$n->clear();
is(post($port, '/hash', $body)->status(), 200, 'no_id=hash, the other half');
is($m->hits(), 1, 'no_id=hash, the first half came once');

# nginx's own limits are for clients, not for what we send on

$_->forget() for $m, $n;
is(post($limited, '/limited', event())->status(), 200, "limit_req, $_")
    for 1 .. 2;
is($m->hits(), 2, 'limit_req delays no delivery');

# the deadline of a request that nginx has answered, and sent elsewhere

$n->set('*', delay => 800, body => 'from n');
my $c = client($limited);
$c->put("POST /small HTTP/1.1\r\nHost: localhost\r\n"
    . "Transfer-Encoding: chunked\r\n\r\n");
$c->put(sprintf "%x\r\n%s\r\n0\r\n\r\n", 2000, 'x' x 2000);
$res = $c->response();
is($res->body(), 'from n', 'error_page is served to its end');
$n->clear();

# many deliveries that fail at once

$t->allow_error('error', qr/no live upstreams/);
$c = client($port);
$body = join ',', map { event() } 1 .. 5000;
$c->put("POST /none HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
    . (length($body) + 2) . "\r\n\r\n[$body]");

my $before = now();
is(get($port, '/ready')->status(), 200, 'another request meanwhile');
cmp_ok(now() - $before, '<', scaled(1), 'does not wait for all of them');
is($c->response()->json()->{failed}, 5000, 'none is delivered');

# many events with gaps between them, in the order of the batch

$m->forget();
my @order = map { $number++ } 1 .. 50;
post($port, '/hash', '[' . join(',', map {
    sprintf '{"id":"%d","source":"s"}', $_ } @order[grep { $_ % 3 } 0 .. 49])
    . ']');
$m->forget();
post($port, '/hash', '[' . join(',', map {
    sprintf '{"id":"%d","source":"s"}', $_ } @order) . ']');
is_deeply([ $m->ids('/to/m') ], [ @order[grep { $_ % 3 == 0 } 0 .. 49] ],
    'rule 17: order of the batch');

# strings that are made to keep an expression busy

$before = now();
$res = post($port, '/regex', '[' . join(',', map {
    sprintf '{"id":"%d","source":"s","type":"aws.partner/%d%s"}', $number++,
    $_, 'a/order' x 280 } 1 .. 1000) . ']');
cmp_ok(now() - $before, '<', scaled(2), 'long types are no work for long');
is($res->json()->{error}, 'too_complex', 'and are refused');
is(post($port, '/regex', '{"id":"r","source":"s","type":'
    . '"aws.partner/x/y/order was created"}')->json()->{forwarded}, 1,
    'others match as ever');

# events that two tenants give the same id

$n->forget();
$c = client($port);
post($port, '/tenants', '{"id":"1","source":"s"}',
    headers => [ 'X-Tenant' => $_ ]) for 'a', 'b';
my %keys = map { $_->header('Idempotency-Key') => 1 } $n->requests();
is(keys %keys, 2, 'tenants have keys of their own');

# what waits for another delivery is held here, too

$n->set('/to/n', hang => 1);
$body = event();
my @held = map { client($port)->put("POST /busy HTTP/1.1\r\nHost: localhost"
    . "\r\nContent-Length: " . length($body) . "\r\n\r\n$body") } 1 .. 4;
ok(wait_for(sub { (post($port, '/busy', event())->json()->{error} // '')
    eq 'overloaded' }), 'deliveries that are busy count');
$n->clear();
$n->release('/to/n');
is(join(',', map { $_->response()->status() } @held), '200,200,200,200',
    'and end with the one they wait for');

# worker_shutdown_timeout ends a batch that goes one by one

$m->set('/to/m', hang => 1);
$c = client($port);
$body = join ',', map { event() } 1 .. 200;
$c->put("POST /single HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
    . (length($body) + 2) . "\r\n\r\n[$body]");
ok($m->wait_held('/to/m', 16), '16 at a time');

$before = now();
$t->stop();
cmp_ok(now() - $before, '<', scaled(10), 'what is cut starts nothing more');
is($m->hits() - 2, 16, 'no further request');

# files that would destroy one another

for my $case ([ 'z.ckpt', 'eventbridge_audit_log' ],
    [ './z.ckpt', 'eventbridge_audit_log' ], [ 'stats', 'access_log' ],
    [ 'z.ckpt', 'eventbridge_dead_letter' ],
    [ 'stats', 'eventbridge_dead_letter' ])
{
    my ($file, $directive) = @$case;
    my ($status, $out) = $t->test_config(configuration(2, 64)
        =~ s/(?=limit_req_zone)/$directive %%TESTDIR%%\/$file;\n/r);
    like($out, qr/"\S+$file" is (the file of|to be two of)/,
        "$directive $file");
}

###############################################################################

sub event { return sprintf '{"id":"%d","source":"s"}', $number++ }

###############################################################################
