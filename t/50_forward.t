#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# What a destination gets, and what its answers mean, however it behaves.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;
use Test::EventBridge::Util qw/ now http_date /;

###############################################################################

my @good = (200, 201, 202, 203, 204, 205);
my @bad = (206, 207, 300, 301, 302, 304, 307, 400, 401, 403, 404, 408, 410,
    413, 415, 422, 429, 500, 502, 503, 504);

my $t = Test::EventBridge->new()->plan(@good * 2 + @bad * 2 + 54);
my $m = $t->mock(1);

$t->write_file('secret.txt', "internal file\n");

$t->conf(<<'EOF2')->run();
    eventbridge_checkpoint_zone zone=z:1m path=%%TESTDIR%%/z.ckpt;
    eventbridge_stats_file %%TESTDIR%%/stats;

    upstream m { server 127.0.0.1:%%PORT_1%%; keepalive 32; }

    server {
        listen 127.0.0.1:%%PORT_0%%;
        server_name front.example;

        client_max_body_size 4m;
        proxy_http_version 1.1;
        proxy_set_header Connection "";

        # meant for clients: a destination is not reached through it
        if ($uri ~ ^/to/) {
            return 301 https://elsewhere.example/;
        }

        eventbridge_checkpoint z;

        location = /v1/events {
            eventbridge_ingest;
            eventbridge_route /to/m name=first type=^t;
            eventbridge_route /to/m name=second;
        }

        location = /single {
            eventbridge_ingest;
            eventbridge_forward_as single;
            eventbridge_route /to/m;
        }

        location = /named  { eventbridge_ingest; eventbridge_route @m; }
        location = /prefix { eventbridge_ingest; eventbridge_route /any/x; }
        location = /here   { eventbridge_ingest; eventbridge_route /to/204; }
        location = /page   { eventbridge_ingest; eventbridge_route /to/page; }
        location = /vars   { eventbridge_ingest; eventbridge_route /to/vars; }
        location = /unrouted {
            eventbridge_ingest;
            eventbridge_route /to/m type=^a;
            eventbridge_unrouted /to/m;
        }

        location = /to/m {
            internal;
            client_max_body_size 0;
            proxy_pass http://m;
        }

        location @m {
            client_max_body_size 0;
            proxy_pass http://m;
        }

        location /any/ {
            internal;
            client_max_body_size 0;
            proxy_pass http://m;
        }

        location = /to/204 {
            internal;
            client_max_body_size 0;
            return 204;
        }

        location = /to/page {
            internal;
            client_max_body_size 0;
            proxy_intercept_errors on;
            error_page 502 503 =200 /secret.txt;
            proxy_pass http://m;
        }

        location = /to/vars {
            internal;
            client_max_body_size 0;
            set $a "$eventbridge_destination $eventbridge_route";
            set $b "$eventbridge_count $eventbridge_client_addr $remote_addr";
            set $c "$scheme $host $request_id $request_method";
            proxy_set_header X-Vars "$a $b $c";
            proxy_pass http://m;
        }

        location = /secret.txt {
            internal;
            root %%TESTDIR%%;
        }

        location = /metrics { eventbridge_metrics; }
    }
EOF2

my $port = $t->port(0);
my ($r, $n) = (undef, 0);

# statuses

for my $status (@good) {
    $m->queue('/to/m', { status => $status });
    my $body = event();
    is(post($port, '/v1/events', $body)->status(), 200,
        "rule 11: $status: delivered");
    is(post($port, '/v1/events', $body)->json()->{duplicates}, 1,
        "$status: marked");
}

for my $status (@bad) {
    $m->queue('/to/m', { status => $status });
    my $body = event();
    is(post($port, '/v1/events', $body)->status(), 503, "$status: 503");
    is(post($port, '/v1/events', $body)->json()->{forwarded}, 1,
        "$status: no mark");
}

$m->queue('/to/m', { status => 429, headers => [ 'Retry-After' => 77 ] });
$r = post($port, '/v1/events', event());
is($r->status(), 503, 'Retry-After');
is($r->header('Retry-After'), 77, 'its Retry-After is passed on');
is($r->json()->{destinations}{'/to/m'}{status}, 429, 'and its status told');

$m->queue('/to/m', { status => 503, headers => [ 'Retry-After' => 86400 ] });
is(post($port, '/v1/events', event())->header('Retry-After'), 300,
    'but not for ever');

$m->queue('/to/m', { status => 503, headers => [ 'Retry-After' => -1 ] });
like(post($port, '/v1/events', event())->header('Retry-After'), qr/^[1-5]$/,
    'and never less than none');

$m->queue('/to/m', { status => 503,
    headers => [ 'Retry-After' => http_date(time() + 60) ] });
like(post($port, '/v1/events', event())->header('Retry-After'),
    qr/^(?:59|60)$/, 'row 2.9: a date is understood');

$m->queue('/to/m', { status => 503,
    headers => [ 'Retry-After' => http_date(time() - 60) ] });
like(post($port, '/v1/events', event())->header('Retry-After'), qr/^[1-5]$/,
    'row 2.9: and one that is over');

# misbehavior

for (
    [ 'truncated', { truncate => 3, body => 'x' x 100 }, 200 ],
    [ 'reset', { reset => 1 }, 503 ],
    [ 'closed', { close => 1, last => 1 }, 503 ],
    [ 'no length', { half => 1, body => 'x' x 100 }, 200 ],
    [ 'interim answers', { info => [ 102, 103 ] }, 503 ],
    [ 'early answer', { early => 1 }, 200 ])
{
    my ($name, $how, $status) = @$_;
    my $body = event();

    $m->set('/to/m', %$how);
    is(post($port, '/v1/events', $body)->status(), $status, $name);
    $m->clear();
    is(post($port, '/v1/events', $body)->json()->{duplicates},
        $status == 200 ? 1 : 0, "$name: mark");
}

my ($worker) = sort $t->worker_pids();
my $before = $t->worker_memory($worker);

$m->queue('/to/m', { huge => 1024 * 1024 * 1024 });
my $start = now();
is(post($port, '/v1/events', event())->status(), 200, '1 GB of answer');
cmp_ok(now() - $start, '<', 10, 'is not read to its end');
cmp_ok($t->worker_memory($worker) - $before, '<', 16 * 1024 * 1024,
    'nor kept');

# X-Accel-* of a destination steer nothing

for my $header ([ 'X-Accel-Redirect' => '/secret.txt' ],
    [ 'X-Accel-Redirect' => '@m' ], [ 'X-Accel-Buffering' => 'yes' ],
    [ 'X-Accel-Limit-Rate' => '1' ])
{
    my $hits = $m->hits('/to/m');

    $m->queue('/to/m', { headers => $header, body => 'y' x 5000 });
    is(post($port, '/v1/events', event())->status(), 200, "@$header");
    is($m->hits('/to/m'), $hits + 1, "@$header: one request");
}

# a page of nginx is no answer of a destination

$m->queue('/to/page', { status => 503 });
my $body = event();
is(post($port, '/page', $body)->status(), 503, 'error_page is no delivery');
is(post($port, '/page', $body)->json()->{forwarded}, 1, 'delivered later');

# kinds of destination locations

is(post($port, '/named', event())->json()->{forwarded}, 1, 'named location');
is($m->hits('/m'), 1, 'its URI is one');
is(post($port, '/prefix', event())->json()->{forwarded}, 1, 'prefix');
is($m->hits('/any/x'), 1, 'its URI');
is(post($port, '/here', event())->json()->{forwarded}, 1, 'return 204');

# headers

$m->forget();
post($port, '/v1/events', '{"events":[{"id":"h1","source":"s","type":"t"},'
    . '{"id":"h2","source":"s"},{"id":"h3","source":"s","type":"t"}]}',
    headers => [ Authorization => 'Basic c2VjcmV0', Cookie => 'a=b',
        Range => 'bytes=0-1', 'X-Custom' => 'leak', Accept => 'x/y',
        'If-None-Match' => '"e"', 'Accept-Encoding' => 'gzip' ]);

my ($q) = $m->requests('/to/m');

is($q->method(), 'POST', 'method');
is($q->header('Content-Type'), 'application/json', 'Content-Type');
is($q->header('X-EventBridge-Route'), 'first,second', 'routes');
is($q->header('X-EventBridge-Count'), 3, 'count');
like($q->header('X-Request-Id'), qr/^[0-9a-f]{32}$/, 'request id');
is_deeply([ grep { defined $q->header($_) } qw/ Authorization Cookie Range
    X-Custom Accept If-None-Match Accept-Encoding Content-Encoding
    Idempotency-Key Transfer-Encoding / ], [], 'nothing leaks');

$m->forget();
post($port, '/vars', event(), headers => [ Host => 'client.example' ]);
($q) = $m->requests('/to/vars');
like($q->header('X-Vars'), qr!^/to/vars\ /to/vars\ 1\ 127\.0\.0\.1
    \ 127\.0\.0\.1\ http\ client\.example\ [0-9a-f]{32}\ POST$!x, 'variables');
($r) = $q->header('X-Vars') =~ /([0-9a-f]{32})/;
is($q->header('X-Request-Id'), $r, 'one request id');

# single

$m->forget();
$m->set('/to/m', delay => 5);
$r = post($port, '/single', '[' . join(',', map {
    qq!{"id":"many-$_","source":"s"}! } 1 .. 600) . ']');
is($r->json()->{forwarded}, 600, 'single: all');
is($m->hits('/to/m'), 600, 'single: one request each');
cmp_ok($m->stats()->{most}, '<=', 16, 'single: not too many at a time');
$m->clear();

my %keys = map { $_->header('Idempotency-Key') => 1 } $m->requests('/to/m');
is(scalar(keys %keys), 600, 'Idempotency-Key: each its own');

$m->forget();
$m->queue('/to/m', { status => 500 });
$body = event();
post($port, '/single', $body) for 1 .. 2;
my @q = $m->requests('/to/m');
is(scalar(@q), 2, 'single: sent again');
is($q[0]->header('Idempotency-Key'), $q[1]->header('Idempotency-Key'),
    'Idempotency-Key: the same for the same event');

# order, with the unrouted between the routed

$m->forget();
post($port, '/unrouted', '[' . join(',', map {
    qq!{"id":"o$_","source":"s","type":"@{[ $_ % 3 ? 'a' : 'z' ]}"}! } 1 .. 9)
    . ']');
is_deeply([ $m->ids() ], [ map { "o$_" } 1 .. 9 ], 'order is kept');

# connections are kept, and one that the destination closes is no failure

my $connections = $m->stats()->{connections};
post($port, '/v1/events', event()) for 1 .. 10;
cmp_ok($m->stats()->{connections} - $connections, '<=', 2,
    'connections are kept');

$n = 0;

for (1 .. 20) {
    $m->drop_idle();
    $n++ if post($port, '/v1/events', event())->status() == 200;
}

is($n, 20, 'closed connections are replaced');

$t->stop();

###############################################################################

my $last;

sub event {
    $last = ($last // 0) + 1;
    return qq!{"id":"e$last","source":"s","data":{"n":$last}}!;
}

###############################################################################
