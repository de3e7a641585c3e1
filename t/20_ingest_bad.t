#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Tests for ingest: what is no batch is refused with the right status, the
# right code and the right offset, and costs nothing that stays.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Compress::Zlib ();

use Test::EventBridge;
use Test::EventBridge::Client;
use Test::EventBridge::Util qw/ now scaled /;

###############################################################################

my $bare = '{"id":"1","source":"s"}';
my $gz = Compress::Zlib::memGzip($bare);

# body, status, error, offset (undef: none)

my @bad = (
    # nothing
    [ '', 400, 'empty_body' ],
    [ ' ', 400, 'empty_body' ],
    [ " \r\n\t ", 400, 'empty_body' ],

    # out of place
    [ 'x', 400, 'invalid_json', 0 ],
    [ '  x', 400, 'invalid_json', 2 ],
    [ ']', 400, 'invalid_json', 0 ],
    [ '}', 400, 'invalid_json', 0 ],
    [ ',', 400, 'invalid_json', 0 ],
    [ ':', 400, 'invalid_json', 0 ],
    [ '[1,]', 400, 'invalid_json', 3 ],
    [ '[,1]', 400, 'invalid_json', 1 ],
    [ '[,]', 400, 'invalid_json', 1 ],
    [ '[1,,2]', 400, 'invalid_json', 3 ],
    [ '[1 2]', 400, 'invalid_json', 3 ],
    [ '[1:2]', 400, 'invalid_json', 2 ],
    [ '[1}', 400, 'invalid_json', 2 ],
    [ '{,}', 400, 'invalid_json', 1 ],
    [ '{"a"}', 400, 'invalid_json', 4 ],
    [ '{"a":}', 400, 'invalid_json', 5 ],
    [ '{"a":1,}', 400, 'invalid_json', 7 ],
    [ '{"a":1,,"b":2}', 400, 'invalid_json', 7 ],
    [ '{"a" 1}', 400, 'invalid_json', 5 ],
    [ '{"a"::1}', 400, 'invalid_json', 5 ],
    [ '{"a":1 "b":2}', 400, 'invalid_json', 7 ],
    [ '{"a":1]', 400, 'invalid_json', 6 ],
    [ '{1:2}', 400, 'invalid_json', 1 ],
    [ '{null:2}', 400, 'invalid_json', 1 ],
    [ '{[]:2}', 400, 'invalid_json', 1 ],
    [ '{a:1}', 400, 'invalid_json', 1 ],
    [ "{'a':1}", 400, 'invalid_json', 1 ],
    [ '{"events":[}', 400, 'invalid_json', 11 ],
    [ '{"events":[{]}', 400, 'invalid_json', 12 ],
    [ "[1,\n/* no */ 2]", 400, 'invalid_json', 4 ],
    [ "[1] // no", 400, 'invalid_json', 4 ],
    [ "[\f1]", 400, 'invalid_json', 1 ],
    [ "[\x0b1]", 400, 'invalid_json', 1 ],
    [ "[\xc2\xa01]", 400, 'invalid_json', 1 ],
    [ "\xef\xbb\xbf[]", 400, 'invalid_json', 0 ],
    [ "\0[]", 400, 'invalid_json', 0 ],
    [ "[]\0", 400, 'invalid_json', 2 ],
    [ "[1\0]", 400, 'invalid_json', 2 ],
    [ "[\x1f]", 400, 'invalid_json', 1 ],
    [ "[\x7f]", 400, 'invalid_json', 1 ],

    # the end comes too early
    [ '{', 400, 'invalid_json', 1 ],
    [ '[', 400, 'invalid_json', 1 ],
    [ '[1', 400, 'invalid_json', 2 ],
    [ '[1,', 400, 'invalid_json', 3 ],
    [ '{"a"', 400, 'invalid_json', 4 ],
    [ '{"a":', 400, 'invalid_json', 5 ],
    [ '{"a":1', 400, 'invalid_json', 6 ],
    [ '{"a":1,', 400, 'invalid_json', 7 ],
    [ '{"events":[', 400, 'invalid_json', 11 ],
    [ '{"events":[]', 400, 'invalid_json', 12 ],
    [ '{"events":[' . "$bare,", 400, 'invalid_json', 12 + length $bare ],

    # and too late
    [ '[]]', 400, 'invalid_json', 2 ],
    [ '{}}', 400, 'invalid_json', 2 ],
    [ '[][]', 400, 'invalid_json', 2 ],
    [ '[] x', 400, 'invalid_json', 3 ],
    [ "$bare\n$bare", 400, 'invalid_json', 1 + length $bare ],
    [ '"a""b"', 400, 'invalid_json', 3 ],
    [ '1 2', 400, 'invalid_json', 2 ],

    # literals and numbers
    (map { [ "[$_]", 400, 'invalid_json', [ 1 .. 1 + length ] ] }
        qw/ tru nul fals truee True TRUE NaN Infinity -Infinity undefined
        01 00 -01 1. .5 -.5 1.e5 1e 1e+ 1E- - -- -a +1 0x10 1.2.3 1e1.5 1_000
        1a 0a true1 nullnull /),

    # strings
    [ '["', 400, 'invalid_json', [ 1, 2 ] ],
    [ '["a', 400, 'invalid_json', [ 1, 3 ] ],
    [ '["a\\', 400, 'invalid_json', [ 1, 3, 4 ] ],
    [ '["a\\"', 400, 'invalid_json', [ 1, 5 ] ],
    [ '["a]', 400, 'invalid_json', [ 1, 4 ] ],
    [ '{"a":"b}', 400, 'invalid_json', [ 5, 8 ] ],
    [ "[\"\0\"]", 400, 'invalid_json', 2 ],
    [ "[\"a\x01\"]", 400, 'invalid_json', 3 ],
    [ "[\"a\x1f\"]", 400, 'invalid_json', 3 ],
    [ "[\"a\n\"]", 400, 'invalid_json', 3 ],
    [ "[\"a\r\"]", 400, 'invalid_json', 3 ],
    [ "[\"a\t\"]", 400, 'invalid_json', 3 ],
    [ "{\"a\0\":1}", 400, 'invalid_json', 3 ],
    (map { [ "[\"a$_\"]", 400, 'invalid_json', [ 3 .. 3 + length ] ] }
        '\\x', '\\a', '\\0', "\\'", '\\U0041', '\\u', '\\u1', '\\u12',
        '\\u123', '\\u12G4', '\\u 123', "\\\n", "\\\0", "\\\xc3\xa9"),

    # UTF-8
    (map { [ "[\"a$_\"]", 400, 'invalid_json', [ 3 .. 3 + length ] ] }
        "\xff", "\xfe", "\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80",
        "\xe0\x9f\xbf", "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xc3", "\xe2\x82",
        "\xf0\x9f\x98", "\xc3(", "\xf8\x88\x80\x80\x80"),
    [ "[\"a\xe2\x82", 400, 'invalid_json', [ 1 .. 5 ] ],
    [ "[\xff]", 400, 'invalid_json', 1 ],

    # JSON, and no batch
    (map { [ $_, 400, 'not_a_batch', 0 ] }
        '1', '-0.5e3', '"x"', '""', 'null', 'true', 'false', '{}', '{"a":1}',
        '{"id":"1"}', '{"source":"s"}', '{"detail":{}}', '{"detail-type":"x"}',
        '{"Data":{}}', '{"Metadata":{}}', '{"event":[]}', '{"Events":[]}'),
    [ ' "x"', 400, 'not_a_batch', 1 ],
    [ '{"events":1}', 400, 'not_a_batch', 10 ],
    [ '{"events":{}}', 400, 'not_a_batch', 10 ],
    [ '{"events":null}', 400, 'not_a_batch', 10 ],
    [ '{"events":"[]"}', 400, 'not_a_batch', 10 ],
    [ '{"events":[],"events":5}', 400, 'not_a_batch', 22 ],

    # a batch of what is no event
    (map { [ $_, 400, 'invalid_event' ] }
        '[1]', '[null]', '["x"]', '[[]]', '[true]', '{"events":[5]}',
        '{"id":[],"source":"s"}', '{"id":{},"source":"s"}',
        '{"id":true,"source":"s"}', '{"id":"1","source":5}',
        '{"id":"1","source":[]}', '{"id":"1","source":{}}',
        '{"id":"1","source":false}', '[{"id":[]}]', '[{"source":1}]',
        '{"detail-type":"x","detail":{},"id":false}',
        '{"detail-type":"x","detail":{},"source":7}',
        '{"Data":{"id":[]},"Metadata":{}}'),
    [ '[1,2]', 422, 'invalid_event' ],
    [ '{"events":[null,{"id":{}}]}', 422, 'invalid_event' ],

    # too deep
    [ '[' x 65, 400, 'too_deep', 64 ],
    [ '[' x 100_000, 400, 'too_deep', 64 ],
    [ '[' x 65 . ']' x 65, 400, 'too_deep', 64 ],
    [ '{"a":' x 65 . '1' . '}' x 65, 400, 'too_deep', 320 ],
    [ '{"a":' x 50_000, 400, 'too_deep', 320 ],
    [ '[{"a":' x 33, 400, 'too_deep', 192 ],

    # gzip
    [ 'plain', 400, 'bad_gzip', undef, 'Content-Encoding' => 'gzip' ],
    [ $bare, 400, 'bad_gzip', undef, 'Content-Encoding' => 'gzip' ],
    [ "\x1f", 400, 'bad_gzip', undef, 'Content-Encoding' => 'gzip' ],
    [ "\x1f\x8b", 400, 'bad_gzip', undef, 'Content-Encoding' => 'gzip' ],
    (map { [ substr($gz, 0, $_), 400, 'bad_gzip', undef,
        'Content-Encoding' => 'gzip' ] } 10, 15, length($gz) - 9,
        length($gz) - 8, length($gz) - 4, length($gz) - 1),
    [ "${gz}x", 400, 'bad_gzip', undef, 'Content-Encoding' => 'gzip' ],
    [ "$gz\0\0\0\0", 400, 'bad_gzip', undef, 'Content-Encoding' => 'gzip' ],
    [ "$gz$gz", 400, 'bad_gzip', undef, 'Content-Encoding' => 'gzip' ],
    [ substr($gz, 0, -8) . "\0" x 8, 400, 'bad_gzip', undef,
        'Content-Encoding' => 'gzip' ],
    [ substr($gz, 0, -4) . "\0\0\0\0", 400, 'bad_gzip', undef,
        'Content-Encoding' => 'gzip' ],
    [ Compress::Zlib::compress($bare), 400, 'bad_gzip', undef,
        'Content-Encoding' => 'gzip' ],
    [ Compress::Zlib::memGzip(''), 400, 'empty_body', undef,
        'Content-Encoding' => 'gzip' ],
    [ Compress::Zlib::memGzip('[1,]'), 400, 'invalid_json', 3,
        'Content-Encoding' => 'gzip' ],
    [ Compress::Zlib::memGzip($gz), 400, 'invalid_json', 0,
        'Content-Encoding' => 'gzip' ],
    [ Compress::Zlib::memGzip('[' . ' ' x 900_000 . ']'), 413,
        'body_too_large', undef, 'Content-Encoding' => 'gzip' ],

    # other encodings
    (map { [ $bare, 415, 'unsupported_encoding', undef,
        'Content-Encoding' => $_ ] }
        'br', 'deflate', 'zstd', 'compress', 'gzip, gzip', 'gzip, br', 'gzi',
        'gzipp', '*', 'identity, gzip')
);

my @methods = qw/ GET PUT DELETE PATCH OPTIONS PROPFIND LOCK /;

my $t = Test::EventBridge->new(workers => 1, log_level => 'info')
    ->plan(@bad + @methods * 3 + 50);

my $m = $t->mock(1);

$t->conf(<<'EOF')->run();
    eventbridge_checkpoint_zone zone=z:1m path=%%TESTDIR%%/z.ckpt;
    eventbridge_checkpoint_zone zone=big:16m path=%%TESTDIR%%/big.ckpt;
    eventbridge_stats_file %%TESTDIR%%/stats;

    access_log off;
    keepalive_requests 10000000;

    server {
        listen 127.0.0.1:%%PORT_0%%;
        listen 127.0.0.1:%%PORT_2%% http2;

        client_max_body_size 1m;
        client_body_buffer_size 128k;

        eventbridge_checkpoint z;
        eventbridge_route_policy first;

        location = /v1/events {
            eventbridge_ingest;
            eventbridge_route /to/a;
        }

        location = /slow {
            eventbridge_ingest;
            eventbridge_forward_timeout 300ms;
            eventbridge_route /to/a;
        }

        location = /many {
            client_max_body_size 16m;
            eventbridge_ingest;
            eventbridge_checkpoint big;
            eventbridge_max_events 100000;
            eventbridge_forward_timeout 60s;
            eventbridge_route /to/many;
        }

        location = /few {
            eventbridge_ingest;
            eventbridge_max_events 3;
            eventbridge_max_depth 4;
            eventbridge_route /to/few;
        }

        location = /strict {
            eventbridge_ingest;
            eventbridge_unrouted reject;
            eventbridge_route /to/strict source=^yes$;
        }

        location = /no_id {
            eventbridge_ingest;
            eventbridge_checkpoint z no_id=reject;
            eventbridge_route /to/a;
        }

        location /to/ {
            internal;
            client_max_body_size 0;
            proxy_pass http://127.0.0.1:%%PORT_1%%;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }

        location = /metrics { eventbridge_metrics; }
    }
EOF

###############################################################################

my $port = $t->port(0);
my ($r, $c, $h);

# each one by itself

for my $case (@bad) {
    my ($body, $status, $error, $offset, @headers) = @$case;

    $r = post($port, '/v1/events', $body, headers => \@headers);

    my $json = $r->json() // {};
    my $got = $r->status() . ' ' . ($json->{error} // '?') . ' '
        . ($json->{offset} // '-');
    my $want = "$status $error ";

    if (ref $offset) {
        # the first byte of what is wrong, or where it shows
        my ($near) = grep { ($json->{offset} // -1) == $_ } @$offset;
        $want .= $near // "in $offset->[0]-$offset->[-1]";

    } else {
        $want .= $offset // '-';
    }

    my $name = substr($body, 0, 30) =~ s/([^!-~])/sprintf '\\x%02x', ord $1/ger;

    is($got, $want, "bad: $name @headers");
}

is($m->hits(), 0, 'nothing of it was delivered');

$r = post($port, '/v1/events', '[1,]');
is($r->header('Content-Type'), 'application/json', 'type of the answer');
like($r->json()->{message}, qr/^[a-z][^.]+\z/, 'message');
is($r->header('Retry-After'), undef, 'no Retry-After with 400');

# methods

for my $method (@methods) {
    $r = get($port, '/v1/events', method => $method);
    is($r->status(), 405, $method);
    is($r->header('Allow'), 'POST', "$method, Allow");
    is($r->json()->{error}, 'method_not_allowed', "$method, error");
}

$r = get($port, '/v1/events', method => 'HEAD');
is($r->status() . $r->body(), '405', 'HEAD');
is($r->header('Allow'), 'POST', 'HEAD, Allow');

$c = client($port);
is($c->request(method => 'PUT', path => '/v1/events', body => 'x' x 100_000)
    ->status(), 405, 'PUT with a body');
is(post($c, '/v1/events', '[]')->status(), 200, 'next request after it');
is($c->request(method => 'POST', path => '/v1/events', body => 'x' x 100_000,
    headers => { 'Content-Encoding' => 'br' })->status(), 415,
    'encoding, with a long body');
is(post($c, '/v1/events', '[]')->status(), 200, 'next request after it');

# the other events of a batch with bad ones

$r = post($port, '/v1/events', '[{"id":"m1","source":"s"},5,'
    . '{"id":"m2","source":[]},{"id":{},"source":"s"},{"id":"m3"}]');
is($r->status(), 422, 'some invalid');
is(join(',', map { $_->{index} } @{$r->json()->{events}}), '1,2,3',
    'indexes of the invalid');
like($r->json()->{events}[1]{reason}, qr/source/, 'reason, source');
like($r->json()->{events}[2]{reason}, qr/id/, 'reason, id');
is($r->json()->{forwarded}, 2, 'the valid are forwarded');
is(($m->bodies('/to/a'))[-1], '[{"id":"m1","source":"s"},{"id":"m3"}]',
    'bytes of the valid');

$r = post($port, '/no_id', '[{"source":"s"},{"id":"n1"},{"id":""}]');
is($r->status(), 422, 'no id, rejected');
is(join(',', map { $_->{index} } @{$r->json()->{events}}), '0,2',
    'no id, indexes');

$r = post($port, '/strict', '[{"id":"1","source":"no"},'
    . '{"id":"2","source":"yes"}]');
is($r->status(), 422, 'unrouted');
is($r->json()->{error}, 'unrouted', 'unrouted, error');
is(($m->bodies('/to/strict'))[0], '[{"id":"2","source":"yes"}]',
    'the routed one is forwarded');

# limits

$r = post($port, '/few', '[{"id":"1"},{"id":"2"},{"id":"3"},{"id":"4"}]');
is($r->status() . $r->json()->{error}, '413too_many_events', 'too many');
is(post($port, '/few', '[{"id":"1"},{"id":"2"},{"id":"3"}]')->status(), 200,
    'just as many as may be');
is(post($port, '/few', '{"events":[{"a":[1]}]}')->status(), 200,
    'just as deep as may be');
$r = post($port, '/few', '{"events":[{"a":[{}]}]}');
is($r->json()->{error} . $r->json()->{offset}, 'too_deep17', 'too deep');

my $big = '[' . ' ' x 1_100_000 . ']';

$r = post($port, '/v1/events', $big);
is($r->status(), 413, 'over client_max_body_size');
is(($r->json() // {})->{error}, 'body_too_large',
    'over client_max_body_size, error');
$r = post($port, '/v1/events', undef, chunks => [ $big =~ /(.{1,32000})/sg ]);
is($r->status(), 413, 'over client_max_body_size, chunked');
is(($r->json() // {})->{error}, 'body_too_large',
    'over client_max_body_size, chunked, error');

$h = h2_client($t->port(2));
$r = $h->response($h->request(path => '/v1/events', method => 'POST',
    frames => [ $big =~ /(.{1,32000})/sg ]));
is($r->status(), 413, 'over client_max_body_size, HTTP/2');
$h->close();

$r = post($port, '/many', '[' . ' ' x 100_000_000 . ']', gzip => 1);
is($r->status() . $r->json()->{error}, '413body_too_large', 'gzip bomb');
is(post($port, '/v1/events', '[' . ' ' x 60_000 . ']', gzip => 1)->status(),
    200, 'a small body may inflate well');

# large, and right

my $id = 'a' x 1_048_576;
my $one = "{\"id\":\"$id\",\"source\":\"s\"}";

is(post($port, '/many', $one)->json()->{forwarded}, 1, 'an id of 1 MB');
is(post($port, '/many', $one)->json()->{duplicates}, 1,
    'an id of 1 MB, again');
is(($m->bodies('/to/many'))[0], $one, 'an id of 1 MB, bytes');

my $many = '[' . join(',', map { "{\"id\":\"$_\",\"source\":\"s\"}" }
    1 .. 100_000) . ']';

is(post($port, '/many', $many, timeout => 60)->json()->{forwarded}, 100_000,
    '100,000 events');
ok(($m->bodies('/to/many'))[-1] eq $many, '100,000 events, bytes');
is(post($port, '/many', $many, timeout => 60)->json()->{duplicates}, 100_000,
    '100,000 events, again');
substr($many, -1, 1, ',{"id":"x"}]');
is(post($port, '/many', $many)->json()->{error}, 'too_many_events',
    '100,001 events');

###############################################################################

# a body that does not come

my $begin = now();

$c = client($port)->start(path => '/slow', method => 'POST', body => '[',
    length => 100);
$r = $c->response();
is($r->status() . ' ' . ($r->json() // {})->{error}, '503 timeout',
    'slow body');
like($r->header('Retry-After') // '', qr/^[1-5]\z/, 'slow body, Retry-After');
is($r->header('Connection'), 'close', 'slow body, its rest is no request');
cmp_ok(now() - $begin, '<', scaled(3), 'slow body, in time');

# the deadline is for the whole, however often a byte comes

$begin = now();
$c = client($port)->start(path => '/slow', method => 'POST', body => '[',
    length => 100_000);
my $sent = 0;

while (!wait_for(sub { $c->answered() }, 0.02) && $sent < 2000) {
    $c->put(' ');
    $sent++;
}

is($c->response()->status(), 503, 'trickling body');

$h = h2_client($t->port(2));
my $sid = $h->request(path => '/slow', method => 'POST', open => 1);
$h->data($sid, '[', 0);
is($h->response($sid)->status(), 503, 'slow body, HTTP/2');
$h->close();

# a client that leaves before its body is complete

client($port)->start(path => '/v1/events', body => '[', length => 100)
    ->abort();
client($port)->start(path => '/v1/events', chunks => [ '[', sub {
    $_[0]->abort() } ]);
is(post($port, '/v1/events', '[]')->status(), 200, 'after clients that left');

###############################################################################

# 100,000 of them on connections that stay

my $total = $ENV{EB_VALGRIND} ? 2000 : 100_000;
my @requests = map {
    my ($body, $status, $error, undef, @headers) = @$_;
    [ Test::EventBridge::Client::build(method => 'POST', path => '/v1/events',
        body => $body, headers => \@headers), $status, $error ]
} grep { length $_->[0] < 10_000 } @bad;

my @clients = map { client($port) } 1 .. 4;
my ($worker) = $t->worker_pids();
my ($wrong, $n, $before) = (0, 0);

flood($total / 10);
$before = $t->worker_memory($worker);
flood($total);

my $grown = $t->worker_memory($worker) - $before;

is($wrong, 0, "$n bad requests, all refused as before");
is((scalar grep { $_->eof() } @clients), 0, 'connections are kept alive');
is(join(',', $t->worker_pids()), $worker, 'the same worker');

SKIP: {
    # freed memory waits in quarantine there
    skip 'sanitizer', 1 if $ENV{EB_VALGRIND}
        || read_file("/proc/$worker/maps") =~ /libasan/;

    cmp_ok($grown, '<', 1_048_576, 'memory of the worker');
}

###############################################################################

sub flood {
    my ($count) = @_;

    while ($count > 0) {
        my $c = shift @clients;
        push @clients, $c;

        my @part = map { $requests[$n++ % @requests] } 1 .. 100;
        my @r = $c->pipeline([ map { $_->[0] } @part ]);
        $count -= 100;

        for my $i (0 .. $#part) {
            next if $r[$i]->status() == $part[$i][1]
                && index($r[$i]->body(), "\"error\":\"$part[$i][2]\"") >= 0;

            diag('for ' . substr($part[$i][0], -60) . ': ' . $r[$i]->text())
                if ++$wrong < 5;
        }
    }
}

###############################################################################
