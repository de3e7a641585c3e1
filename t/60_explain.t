#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# eventbridge_explain: what would become of an event, and why; and that asking
# changes nothing.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;

###############################################################################

my $t = Test::EventBridge->new()->plan(106);
my $m = $t->mock(1);

$t->conf(<<'EOF')->run();
    eventbridge_checkpoint_zone zone=z:1m path=%%TESTDIR%%/z.ckpt;
    eventbridge_stats_file %%TESTDIR%%/stats;

    upstream m { server 127.0.0.1:%%PORT_1%%; keepalive 32; }

    client_max_body_size 4m;
    client_body_buffer_size 16k;
    proxy_http_version 1.1;
    proxy_set_header Connection "";

    server {
        listen 127.0.0.1:%%PORT_0%%;
        server_name front.example;

        set_real_ip_from 127.0.0.1;
        real_ip_header X-Real-IP;

        eventbridge_checkpoint z;

        location = /v1/events {
            eventbridge_ingest;
            eventbridge_route /to/a name=urgent source=^conversation:
                              metadata.priority=high metadata.region=eu;
            eventbridge_route /to/b name=ended type=\.end$;
            eventbridge_route /to/a name=number metadata.n=1;
            eventbridge_route /to/c name=slow type=^(a+)+$;
        }

        location = /all {
            eventbridge_ingest;
            eventbridge_route_policy all;
            eventbridge_route /to/a;
            eventbridge_route /to/b;
            eventbridge_route /to/a name=again;
            eventbridge_unrouted reject;
        }

        location = /reject {
            eventbridge_ingest;
            eventbridge_unrouted reject;
            eventbridge_route /to/a source=^x;
        }

        location = /rest {
            eventbridge_ingest;
            eventbridge_unrouted /to/rest;
            eventbridge_route /to/a source=^x;
        }

        location = /off {
            eventbridge_ingest;
            eventbridge_checkpoint off;
            eventbridge_route /to/a;
        }

        location = /hash {
            eventbridge_ingest;
            eventbridge_checkpoint z no_id=hash;
            eventbridge_route /to/a;
        }

        location = /id {
            eventbridge_ingest;
            eventbridge_checkpoint z key=id no_id=reject;
            eventbridge_route /to/a;
        }

        location = /path {
            eventbridge_ingest;
            eventbridge_checkpoint z key=path:/k scope=tenant-$http_x_tenant;
            eventbridge_route /to/a;
        }

        location = /hook {
            eventbridge_event id=$http_x_id type=$http_x_type;
            eventbridge_route /to/a type=^push$ metadata.team=red;
        }

        location = /none { eventbridge_ingest; }

        location = /rate {
            eventbridge_rate 1r/s burst=1;
            eventbridge_ingest;
            eventbridge_route /to/a;
        }

        location = "/a b" { eventbridge_ingest; eventbridge_route /to/a; }

        location /to/ {
            internal;
            client_max_body_size 0;
            proxy_pass http://m;
        }

        location = /explain { eventbridge_explain; }
        location = /small   { client_max_body_size 10; eventbridge_explain; }
        location = /metrics { eventbridge_metrics; }
    }

    server {
        listen 127.0.0.1:%%PORT_2%%;

        location = /only { eventbridge_ingest; eventbridge_route /to/a; }

        location /to/ {
            internal;
            client_max_body_size 0;
            proxy_pass http://m;
        }

        location = /explain { eventbridge_explain; }
    }

    server {
        listen 127.0.0.1:%%PORT_3%%;

        location = /explain { eventbridge_explain; }
    }
EOF

my ($p, $r, $e) = ($t->port(0));
my $before = counters();
my ($total) = grep { /^eventbridge_events_received_total\{.*"\/all"/ }
    keys %$before;

###############################################################################

# conditions, each of them the first that fails

my @routes = routes(envelope(source => 'interaction:x', type => 'a.b'));
is_deeply($routes[0], { route => 'urgent', destination => '/to/a',
    matched => JSON::PP::false, condition => 'source',
    reason => 'source "interaction:x" does not match "^conversation:"' },
    'source');
is($routes[1]{reason}, 'type "a.b" does not match "\.end$"', 'type');
is($routes[2]{reason}, 'metadata.n: expected 1, got nothing',
    'metadata: missing');
is(scalar(@routes), 4, 'each route is there');
is(join(' ', map { $_->{route} } @routes), 'urgent ended number slow',
    'in their order');

@routes = routes(envelope(source => 'conversation:x', metadata => '{}'));
is($routes[0]{condition}, 'metadata.priority', 'the first of two conditions');
is($routes[0]{reason}, 'metadata.priority: expected high, got nothing',
    'and what it says');
@routes = routes(envelope(source => 'conversation:x',
    metadata => '{"priority":"low","region":"us"}'));
is($routes[0]{reason}, 'metadata.priority: expected high, got low',
    'metadata: another value');
@routes = routes(envelope(source => 'conversation:x',
    metadata => '{"priority":"high","region":"us"}'));
is($routes[0]{reason}, 'metadata.region: expected eu, got us',
    'metadata: the second of two');

for ([ '2', '2' ], [ '1.0', '1.0' ], [ 'true', 'true' ], [ 'null', 'null' ],
    [ '[1]', '[1]' ], [ '{"a":1}', '{"a":1}' ], [ '"\u0032"', '2' ],
    [ '"\u00e9"', "\x{e9}" ], [ '""', '' ])
{
    my ($value, $got) = @$_;
    @routes = routes(envelope(metadata => qq!{"n":$value}!));
    is($routes[2]{reason}, "metadata.n: expected 1, got $got",
        "metadata: $value");
}

for ('1', '"1"', '"\u0031"') {
    @routes = routes(envelope(metadata => qq!{"n":$_}!));
    is($routes[2]{matched}, JSON::PP::true, "metadata: $_ is it");
    ok(!exists $routes[2]{reason}, "metadata: $_ needs no reason");
}

@routes = routes(envelope(type => 'a' x 40 . 'b'));
is($routes[3]{reason}, 'type "' . 'a' x 40 . 'b" took too long to match "'
    . '^(a+)+$"', 'a regex that is given up');

@routes = routes('{"id":"1","source":"s"}');
is($routes[1]{reason}, 'type "" does not match "\.end$"', 'no type at all');

# what is long is cut

@routes = routes(envelope(source => 'x' x 1000));
like($routes[0]{reason}, qr/^source "x{128}" does not match/, 'long source');
@routes = routes(envelope(metadata => '{"n":"' . "\xc3\xa9" x 1000 . '"}'));
like($routes[2]{reason}, qr/expected 1, got \x{e9}{64}$/, 'long value');

###############################################################################

# destinations, policy, unrouted

$e = event('/v1/events', envelope(type => 'x.end', metadata => '{"n":1}'));
is_deeply([ map { $_->{matched} ? 1 : 0 } @{$e->{routes}} ], [ 0, 1, 1, 0 ],
    'two of the routes match');
is_deeply($e->{destinations}, [ { destination => '/to/b', route => 'ended',
    mark => 'none' } ], 'first: one destination');
is($e->{action}, 'deliver', 'first: it would be delivered');

$e = event('/all', envelope());
is_deeply([ map { "$_->{route} $_->{destination}" } @{$e->{destinations}} ],
    [ '/to/a /to/a', '/to/b /to/b' ], 'all: each destination once');
is(scalar(grep { $_->{matched} } @{$e->{routes}}), 3, 'all: three match');

$e = event('/v1/events', envelope(source => 'none'));
is_deeply([ @{$e}{qw/ action key /}, scalar @{$e->{destinations}} ],
    [ 'drop', undef, 0 ], 'unrouted: drop');
is(event('/reject', envelope())->{action}, 'reject', 'unrouted: reject');
$e = event('/rest', envelope());
is($e->{action}, 'deliver', 'unrouted: a destination');
is_deeply($e->{destinations}, [ { destination => '/to/rest',
    route => 'unrouted', mark => 'none' } ], 'unrouted: which');
is(event('/none', envelope())->{action}, 'drop', 'no routes');

$r = ask('/v1/events', envelope());
is_deeply([ @{$r->json()}{qw/ server location shape policy unrouted checkpoint
    scope received explained /} ], [ 'front.example', '/v1/events', 'single',
    'first', 'drop', 'z', 'front.example /v1/events', 1, 1 ], 'the location');
is($r->header('Content-Type'), 'application/json', 'Content-Type');
is(ask('/all', envelope())->json()->{policy}, 'all', 'policy: all');
is(ask('/rest', envelope())->json()->{unrouted}, '/to/rest',
    'unrouted: its destination');

###############################################################################

# kinds and fields

$e = event('/all', '{"id":7,"source":"s","type":"t"}');
is_deeply([ @{$e}{qw/ index kind id source type /} ],
    [ 0, 'bare', '7', 's', 't' ], 'bare');
$e = event('/all', envelope(id => 'e1', source => 's', type => 'dt'));
is_deeply([ @{$e}{qw/ kind id source type /} ],
    [ 'envelope', 'e1', 's', 'dt' ], 'envelope');
$e = event('/all', '{"Data":{"source":"s"},"SystemMetadata":'
    . '{"aws:EventId":"w"}}');
is_deeply([ @{$e}{qw/ kind id source type /} ], [ 'wrapped', 'w', 's', undef ],
    'wrapped');

$r = ask('/hook', '["metadata"]', 'X-Id' => 'h1', 'X-Type' => 'push');
$e = $r->json()->{events}[0];
is_deeply([ @{$e}{qw/ kind id source type /} ], [ 'body', 'h1', undef,
    'push' ], 'eventbridge_event: fields');
is($e->{routes}[0]{reason}, 'metadata.team: expected red, got nothing',
    'eventbridge_event: metadata');
is(ask('/hook', '{"metadata":{"team":"red"}}', 'X-Type' => 'push')
    ->json()->{events}[0]{action}, 'deliver', 'eventbridge_event: a match');

$r = ask('/id', '{"events":[{"id":"1","source":"s"},7,{"id":[]},'
    . '{"source":"s","id":""}]}')->json();
is($r->{shape}, 'events', 'a batch');
is($r->{received}, 4, 'a batch: all');
is_deeply([ map { $_->{action} } @{$r->{events}} ],
    [ qw/ deliver invalid invalid invalid / ], 'a batch: actions');
is_deeply([ map { $_->{reason} } @{$r->{events}} ], [ undef, 'not an object',
    'id is neither a string nor a number', 'no id' ], 'a batch: reasons');
is(ask('/id', '[]')->json()->{received}, 0, 'an empty batch');

###############################################################################

# keys

my $one = event('/all', '{"id":"1","source":"s"}');
like($one->{key}, qr/^[0-9a-f]{32}$/, 'key');
is($one->{keyOf}, 'source+id', 'key: of source and id');
is(event('/all', '{"id":1,"source":"s","x":1}')->{key}, $one->{key},
    'key: the same event');
isnt(event('/all', '{"id":"1","source":"t"}')->{key}, $one->{key},
    'key: another source');
isnt(event('/rest', '{"id":"1","source":"s"}')->{key}, $one->{key},
    'key: another location');
is(event('/id', '{"id":"1","source":"s"}')->{keyOf}, 'id', 'key: of the id');
$e = event('/all', '{"id":"","source":"s"}');
is_deeply([ exists $e->{keyOf} ? 1 : 0, $e->{key}, $e->{action} ],
    [ 0, undef, 'deliver' ], 'key: none without an id');
$e = event('/hash', '{"id":"","source":"s"}');
is($e->{keyOf}, 'hash', 'key: of the bytes');
is(event('/off', '{"id":"1","source":"s"}')->{key}, undef, 'no checkpoint');
ok(!exists event('/off', '{"id":"1","source":"s"}')->{destinations}[0]{mark},
    'no checkpoint: no marks');

$r = ask('/path', '{"id":"1","source":"s","k":5}', 'X-Tenant' => 'a')
    ->json();
is($r->{scope}, 'tenant-a', 'scope, of this request');
is($r->{events}[0]{keyOf}, 'path', 'key: of a path');
isnt(ask('/path', '{"id":"1","source":"s","k":5}', 'X-Tenant' => 'b')
    ->json()->{events}[0]{key}, $r->{events}[0]{key}, 'key: another scope');

$r = ask('/all', '[{"id":"1","source":"s"},{"id":"2","source":"s"},'
    . '{"id":1,"source":"s"}]')->json();
is_deeply([ map { $_->{action} } @{$r->{events}} ],
    [ qw/ deliver deliver repeat / ], 'repeat');
is($r->{events}[2]{repeats}, 0, 'repeat: of which');

###############################################################################

# asking has changed nothing

is_deeply(counters(), $before, 'nothing is counted');
is($m->hits('/to/a') + $m->hits('/to/b') + $m->hits('/to/rest'), 0,
    'nothing is delivered');
is(post($p, '/all', '{"id":"1","source":"s"}')->json()->{forwarded}, 1,
    'nothing was claimed');
cmp_ok(counters()->{$total}, '==', $before->{$total} + 1,
    'the figures are those that count');

is(join(' ', map { ask('/rate', '[{"id":1,"source":"s"},'
    . '{"id":2,"source":"s"}]')->status() } 1 .. 4), '200 200 200 200',
    'no rate');
is(post($p, '/rate', '[{"id":1,"source":"s"}]')->status(), 200,
    'nothing was charged');

# marks

$e = event('/all', '{"id":"1","source":"s"}');
is($e->{action}, 'duplicate', 'delivered: a duplicate');
is(marks($e), '/to/a delivered, /to/b delivered', 'delivered: marks');

$m->queue('/to/b', { status => 500 });
post($p, '/all', '{"id":"p","source":"s"}');
$e = event('/all', '{"id":"p","source":"s"}');
is($e->{action}, 'deliver', 'one failed: would be delivered');
is(marks($e), '/to/a delivered, /to/b none', 'one failed: marks');
is(marks($e = event('/all', '[{"id":"p","source":"s"},{"id":"p","source":"s"}'
    . ']', 1)), '/to/a delivered, /to/b none', 'marks of a repeat');
is($e->{action}, 'repeat', 'which it is');

$m->set('/to/a', hang => 1);
my $c = client($p);
$c->start(path => '/all', body => '{"id":"q","source":"s"}');
ok($m->wait_held('/to/a', 1), 'a delivery is under way');
ok(wait_for(sub { marks(event('/all', '{"id":"q","source":"s"}'))
    eq '/to/a claimed, /to/b delivered' }), 'claimed: marks');
is(event('/all', '{"id":"q","source":"s"}')->{action}, 'busy',
    'claimed: busy');
$m->clear();
$m->release('/to/a');
is($c->response()->json()->{forwarded}, 1, 'claimed: it goes on');
is(event('/all', '{"id":"q","source":"s"}')->{action}, 'duplicate',
    'claimed: and is done');

post($p, '/hash', '{"id":"","source":"s"}');
is(event('/hash', '{"id":"","source":"s"}')->{action}, 'duplicate',
    'hash: a duplicate');
is(marks(event('/all', '{"id":"","source":"s"}')), '/to/a none, /to/b none',
    'no id: no marks');

###############################################################################

# which location

is(post($t->port(2), '/explain', '{"id":1,"source":"s"}')->json()->{location},
    '/only', 'the only one of its server');
$r = post($p, '/explain', '{"id":1,"source":"s"}');
is($r->status(), 400, 'several');
is_deeply($r->json()->{locations}, [ qw! /v1/events /all /reject /rest /off
    /hash /id /path /hook /none /rate !, '/a b' ], 'several: which');
$r = ask('/to/a', '{"id":1,"source":"s"}');
is($r->status(), 404, 'unknown');
is($r->json()->{error}, 'unknown_location', 'unknown: JSON');
is(scalar(@{$r->json()->{locations}}), 12, 'unknown: names of those there are');
is(ask('/only', '{"id":1,"source":"s"}')->status(), 404,
    'that of another server');
is(ask('%2Fa%20b', '{"id":1,"source":"s"}')->json()->{location}, '/a b',
    'escaped');
is_deeply(post($t->port(3), '/explain', '[]')->json()->{locations}, [],
    'a server without any');

# bodies that are none, and other requests

is_deeply([ @{ask('/all', '{"id":')->json()}{qw/ error offset /} ],
    [ 'invalid_json', 6 ], 'invalid JSON');
is(ask('/all', '17')->json()->{error}, 'not_a_batch', 'no batch');
is(ask('/all', '')->status(), 400, 'empty');
is(get($p, '/explain')->header('Allow'), 'POST', 'GET');
is(post($p, '/explain?location=/all', '{"id":1,"source":"s"}', gzip => 1)
    ->status(), 200, 'gzip');
is(post($p, '/explain?location=/all', 'x', headers => [
    'Content-Encoding' => 'br' ])->status(), 415, 'another encoding');
is(post($p, '/small?location=/all', '{"id":"12345678"}')->status(), 413,
    'too large');
is(post($p, '/explain?location=/all', '{"id":1,"source":"s"}',
    headers => [ 'X-Real-IP' => '192.0.2.1' ])->status(), 403,
    'not from elsewhere');

# many events: an answer in several buffers, and an end

$r = ask('/v1/events', '[' . join(',', map {
    qq!{"id":"m$_","source":"s"}! } 0 .. 1499) . ']')->json();
is_deeply([ @{$r}{qw/ received explained /}, scalar @{$r->{events}} ],
    [ 1500, 1000, 1000 ], 'many');
is(join(' ', map { $_->{id} } @{$r->{events}}),
    join(' ', map { "m$_" } 0 .. 999), 'many: in order');

$t->stop();

###############################################################################

sub ask {
    my ($location, $body, @headers) = @_;
    return post($p, "/explain?location=$location", $body,
        headers => \@headers);
}

sub event {
    my ($location, $body, $n) = @_;
    my $r = ask($location, $body);
    diag($r->text()) if $r->status() != 200;
    return ($r->json() // {})->{events}[$n // 0] // {};
}

sub routes {
    my ($body) = @_;
    return @{event('/v1/events', $body)->{routes}};
}

sub marks {
    my ($e) = @_;
    return join ', ', map { "$_->{destination} $_->{mark}" }
        @{$e->{destinations}};
}

sub envelope {
    my (%field) = @_;

    return sprintf '{"id":"%s","source":"%s","detail-type":"%s","detail":'
        . '{"metadata":%s}}', $field{id} // 'x', $field{source} // 's',
        $field{type} // 't', $field{metadata} // '{}';
}

# all figures of events, routes and destinations

sub counters {
    my $series = $t->metrics();
    return { map { $_ => $series->{$_} } grep { /^eventbridge_\w+\{.*location=/
        && !/_age_|oldest/ } keys %$series };
}

###############################################################################
