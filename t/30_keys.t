#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# What makes an event the same event: rules 1 to 3 of identity.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;

###############################################################################

my $t = Test::EventBridge->new()->plan(136);
my $m = $t->mock(1);

$t->conf(<<'EOF')->run();
    eventbridge_checkpoint_zone zone=z:1m path=%%TESTDIR%%/z.ckpt;
    eventbridge_stats_file %%TESTDIR%%/stats;

    upstream m { server 127.0.0.1:%%PORT_1%%; keepalive 32; }

    client_max_body_size 4m;
    client_body_buffer_size 1m;
    proxy_http_version 1.1;
    proxy_set_header Connection "";

    server {
        listen 127.0.0.1:%%PORT_0%%;
        server_name one.example;

        eventbridge_checkpoint z;

        location = /in    { eventbridge_ingest; eventbridge_route /to/m; }
        location = /other { eventbridge_ingest; eventbridge_route /to/m; }
        location = /id {
            eventbridge_ingest;
            eventbridge_checkpoint z key=id;
            eventbridge_route /to/m;
        }
        location = /both {
            eventbridge_ingest;
            eventbridge_checkpoint z key=source+id;
            eventbridge_route /to/m;
        }
        location = /door1 {
            eventbridge_ingest;
            eventbridge_checkpoint z scope=door;
            eventbridge_route /to/m;
        }
        location = /door2 {
            eventbridge_ingest;
            eventbridge_checkpoint z scope=door;
            eventbridge_route /to/m;
        }
        location = /tenant {
            eventbridge_ingest;
            eventbridge_checkpoint z scope=t-$arg_tenant;
            eventbridge_route /to/m;
        }
        location = /nothing {
            eventbridge_ingest;
            eventbridge_checkpoint z scope=$arg_tenant;
            eventbridge_route /to/m;
        }
        location = /hash {
            eventbridge_ingest;
            eventbridge_checkpoint z no_id=hash;
            eventbridge_route /to/m;
        }
        location = /reject {
            eventbridge_ingest;
            eventbridge_checkpoint z no_id=reject;
            eventbridge_route /to/m;
        }
        location = /path {
            eventbridge_ingest;
            eventbridge_checkpoint z key=path:/detail/key;
            eventbridge_route /to/m;
        }
        location = /names {
            eventbridge_ingest;
            eventbridge_checkpoint z key=path:/a~1b/c~0d/1;
            eventbridge_route /to/m;
        }
        location = /two {
            eventbridge_ingest;
            eventbridge_checkpoint z key=path:/a key=path:/b;
            eventbridge_route /to/m;
        }
        location = /two/hash {
            eventbridge_ingest;
            eventbridge_checkpoint z key=path:/a key=path:/b no_id=hash;
            eventbridge_route /to/m;
        }
        location = /path/reject {
            eventbridge_ingest;
            eventbridge_checkpoint z key=path:/k no_id=reject;
            eventbridge_route /to/m;
        }
        location = /path/single {
            eventbridge_ingest;
            eventbridge_forward_as single;
            eventbridge_checkpoint z key=path:/k;
            eventbridge_route /to/m;
        }
        location = /off/single {
            eventbridge_ingest;
            eventbridge_forward_as single;
            eventbridge_checkpoint off;
            eventbridge_route /to/m;
        }
        location /inherited/ {
            eventbridge_checkpoint z key=path:/k scope=inherited;
            location = /inherited/in {
                eventbridge_ingest;
                eventbridge_route /to/m;
            }
            location = /inherited/if {
                eventbridge_ingest;
                eventbridge_route /to/m;
                if ($arg_x) { set $y 1; }
            }
        }

        location = /to/m {
            internal;
            client_max_body_size 0;
            proxy_pass http://m;
        }

        location = /metrics { eventbridge_metrics; }
    }

    server {
        listen 127.0.0.1:%%PORT_2%%;
        server_name two.example;

        eventbridge_checkpoint z;

        location = /in { eventbridge_ingest; eventbridge_route /to/m; }

        location = /to/m {
            internal;
            client_max_body_size 0;
            proxy_pass http://m;
        }
    }
EOF

my ($p, $q) = ($t->port(0), $t->port(2));
my $n = 0;

###############################################################################

# rule 1: the key is scope, source, id and replay-name, length-prefixed

delivered('/in', '{"id":"bc","source":"a"}', 'rule 1: source a, id bc');
delivered('/in', '{"id":"c","source":"ab"}', 'rule 1: source ab, id c');
delivered('/in', '{"id":"abc","source":""}', 'rule 1: no source, id abc');
duplicate('/in', '{"id":"bc","source":"a"}', 'rule 1: the first again');
delivered('/in', envelope('s', 'xr', undef), 'rule 1: id xr');
delivered('/in', envelope('s', 'x', 'r'), 'rule 1: id x, replay-name r');
delivered('/in', '{"id":"b","source":"a\u0001\u0000\u0000\u0000"}',
    'rule 1: a source with a prefix in it');
delivered('/in', '{"id":"\u0001\u0000\u0000\u0000b","source":"a"}',
    'rule 1: an id with a prefix in it');

delivered('/tenant?tenant=x', '{"id":"1","source":"yz"}',
    'rule 1: scope t-x, source yz');
delivered('/tenant?tenant=xy', '{"id":"1","source":"z"}',
    'rule 1: scope t-xy, source z');

# the same bytes, seen anew each time they differ in one part

delivered('/in', '{"id":"same","source":"s"}', 'rule 1: first location');
delivered('/other', '{"id":"same","source":"s"}', 'rule 1: second location');
duplicate('/in', '{"id":"same","source":"s"}', 'rule 1: first, again');
duplicate('/other', '{"id":"same","source":"s"}', 'rule 1: second, again');
is(post($q, '/in', '{"id":"same","source":"s"}')->json()->{forwarded}, 1,
    'rule 1: another server');
is(post($q, '/in', '{"id":"same","source":"s"}')->json()->{duplicates}, 1,
    'rule 1: another server, again');

delivered('/door1', '{"id":"d","source":"s"}', 'rule 1: shared scope');
duplicate('/door2', '{"id":"d","source":"s"}', 'rule 1: its other door');
delivered('/door2', '{"id":"e","source":"s"}', 'rule 1: by the other door');
duplicate('/door1', '{"id":"e","source":"s"}', 'rule 1: and by the first');

delivered('/tenant?tenant=a', '{"id":"t","source":"s"}', 'rule 1: tenant a');
delivered('/tenant?tenant=b', '{"id":"t","source":"s"}', 'rule 1: tenant b');
duplicate('/tenant?tenant=a', '{"id":"t","source":"s"}', 'rule 1: a again');
duplicate('/tenant?tenant=b', '{"id":"t","source":"s"}', 'rule 1: b again');
delivered('/nothing', '{"id":"t","source":"s"}', 'rule 1: an empty scope');
duplicate('/nothing?tenant=', '{"id":"t","source":"s"}',
    'rule 1: an empty scope, again');

# key=source+id and key=id

delivered('/both', '{"id":"k","source":"s1"}', 'rule 1: source+id');
delivered('/both', '{"id":"k","source":"s2"}', 'rule 1: another source');
duplicate('/both', '{"source":"s2","id":"k","more":[]}',
    'rule 1: only source and id count');
delivered('/id', '{"id":"k","source":"s1"}', 'rule 1: key=id');
duplicate('/id', '{"id":"k","source":"s2"}', 'rule 1: whatever its source');
delivered('/id', '{"id":"l","source":"s1"}', 'rule 1: another id');

# replay-name: a deliberate replay is a new delivery

delivered('/in', envelope('s', 'rep', undef), 'rule 1: an envelope');
delivered('/in', envelope('s', 'rep', 'mon'), 'rule 1: its replay');
duplicate('/in', envelope('s', 'rep', 'mon'), 'rule 1: that replay again');
delivered('/in', envelope('s', 'rep', 'tue'), 'rule 1: another replay');
duplicate('/in', envelope('s', 'rep', undef), 'rule 1: the first again');
delivered('/id', envelope('s', 'rep', undef), 'rule 1: key=id');
delivered('/id', envelope('s', 'rep', 'mon'), 'rule 1: key=id, replay');

# key=path:

delivered('/path', path('"one"'), 'rule 1: path: a string');
duplicate('/path', path('"one"'), 'rule 1: path: again');
duplicate('/path', path('"o\u006ee"'), 'rule 1: path: escaped');
delivered('/path', path('"two"'), 'rule 1: path: another');
delivered('/path', path('17'), 'rule 1: path: a number');
duplicate('/path', path('"17"'), 'rule 1: path: its text');
delivered('/path', path('17.0'), 'rule 1: path: another text');
delivered('/path', path('true'), 'rule 1: path: true');
delivered('/path', path('false'), 'rule 1: path: false');
duplicate('/path', path('"true"'), 'rule 1: path: its text');
delivered('/path', path('{"a":1}'), 'rule 1: path: an object');
duplicate('/path', path('{"a":1}'), 'rule 1: path: its bytes again');
delivered('/path', path('{"a": 1}'), 'rule 1: path: other bytes');
delivered('/path', path('[]'), 'rule 1: path: an array');
duplicate('/path', path('[]'), 'rule 1: path: that again');
delivered('/path', '{"id":"p1","source":"s","detail":{"key":1,"key":"z"}}',
    'rule 1: path: the last of two');
duplicate('/path', path('"z"'), 'rule 1: path: it was the last');
duplicate('/path', '{"Data":{"id":"i"},"SystemMetadata":{},'
    . '"detail":{"key":"z"}}', 'rule 1: path: begins at the event itself');
delivered('/path', envelope('s', 'i', 'r', '{"key":"z"}'),
    'rule 1: path: a replay is a new delivery');

for my $value ('null', '""') {
    delivered('/path', path($value), "rule 1: path: $value is no id");
    delivered('/path', path($value), "rule 1: path: $value again");
}

delivered('/path', '{"id":"p2","source":"s"}', 'rule 1: path: missing')
    for 1 .. 2;

delivered('/names', '{"id":"1","source":"s","a/b":{"c~d":[0,"x"]}}',
    'rule 1: path: escapes and an index');
duplicate('/names', '{"id":"2","source":"s","a/b":{"c~d":[1,"x",2]}}',
    'rule 1: path: the same element');
delivered('/names', '{"id":"2","source":"s","a/b":{"c~d":["x"]}}',
    'rule 1: path: no such element') for 1 .. 2;

delivered('/two', two('ab', 'c'), 'rule 1: two paths: ab, c');
delivered('/two', two('a', 'bc'), 'rule 1: two paths: a, bc');
delivered('/two', two('c', 'ab'), 'rule 1: two paths: c, ab');
duplicate('/two', two('ab', 'c'), 'rule 1: two paths: again');
delivered('/two', '{"id":"1","source":"s","a":"q"}',
    'rule 1: two paths: one is missing') for 1 .. 2;
delivered('/two/hash', '{"id":"1","source":"s","a":"q"}',
    'rule 1: two paths: one is missing, hash');
duplicate('/two/hash', '{"id":"1","source":"s","a":"q"}',
    'rule 1: two paths: the same bytes');

is(post($p, '/path/reject', '{"id":"1","source":"s"}')->status(), 400,
    'rule 1: path: missing, rejected');
delivered('/path/reject', '{"id":"","source":"s","k":1}',
    'rule 1: path: an event without an id has a key');

delivered('/inherited/in', '{"id":"1","source":"s","k":"v"}',
    'rule 1: path: inherited');
duplicate('/inherited/if?x=1', '{"id":"2","source":"s","k":"v"}',
    'rule 1: path: inherited by an "if"');

# the key that a destination gets is made of the same

$m->forget();
$m->queue('/to/m', { status => 500 });
post($p, '/path/single', qq!{"id":"$_","source":"s","k":"v"}!) for 1 .. 2;
my @q = map { $_->header('Idempotency-Key') } $m->requests('/to/m');
is(scalar(@q), 2, 'rule 1: Idempotency-Key: sent again');
is($q[0], $q[1], 'rule 1: Idempotency-Key: by the same key');

$m->forget();
post($p, '/off/single', $_) for '{"id":"1","source":"s"}',
    '{"id":"1","source":"t"}', '{"id":"1","source":"s","x":1}';
@q = map { $_->header('Idempotency-Key') } $m->requests('/to/m');
isnt($q[0], $q[1], 'rule 1: Idempotency-Key: another source');
is($q[0], $q[2], 'rule 1: Idempotency-Key: without a checkpoint');

###############################################################################

# rule 2: numeric ids, and no id

delivered('/in', '{"id":1,"source":"n"}', 'rule 2: 1');
duplicate('/in', '{"id":"1","source":"n"}', 'rule 2: "1" is the same');
delivered('/in', '{"id":1.0,"source":"n"}', 'rule 2: 1.0 is another');
duplicate('/in', '{"id":"1.0","source":"n"}', 'rule 2: "1.0" is that');
delivered('/in', '{"id":1e0,"source":"n"}', 'rule 2: 1e0 is another');
delivered('/in', '{"id":-0,"source":"n"}', 'rule 2: -0');
delivered('/in', '{"id":0,"source":"n"}', 'rule 2: 0');
delivered('/in', '{"id":12345678901234567890,"source":"n"}',
    'rule 2: 12345678901234567890');
delivered('/in', '{"id":12345678901234567891,"source":"n"}',
    'rule 2: 12345678901234567891');

for my $id ('true', '[]', '{}') {
    is(post($p, '/in', qq!{"id":$id,"source":"n"}!)->status(), 400,
        "rule 2: $id is invalid");
}

my @none = ('{"id":"","source":"s"}', '{"id":null,"source":"s"}',
    '{"source":"s","events":1,"detail":{},"detail-type":"t"}');
my $before = $t->metric('eventbridge_events_without_id_total',
    location => '/in') // 0;

for (@none) {
    delivered('/in', $_, "rule 2: pass: $_");
    delivered('/in', $_, "rule 2: pass again: $_");
}

is($t->metric('eventbridge_events_without_id_total', location => '/in')
    - $before, 6, 'rule 2: pass: counted');

for (@none) {
    delivered('/hash', $_, "rule 2: hash: $_");
    duplicate('/hash', $_, "rule 2: hash again: $_");
}

delivered('/hash', '{"id":"", "source":"s"}', 'rule 2: hash: other bytes');
duplicate('/hash', '[{"id":"","source":"s"}]',
    'rule 2: hash: equal bytes in an array');
duplicate('/hash', ' {"id":"","source":"s"} ',
    'rule 2: hash: space around an event is none of it');
delivered('/hash', '{"id":"{\"id\":\"\",\"source\":\"s\"}","source":""}',
    'rule 2: hash: an id of such bytes is another key');

is(post($p, '/reject', $_)->status(), 400, "rule 2: reject: $_") for @none;
my $r = post($p, '/reject', '[{"id":"","source":"s"},{"id":1,"source":"s"}]');
is($r->status(), 422, 'rule 2: reject: one of two');
is_deeply($r->json()->{events}, [ { index => 0, reason => 'no id' } ],
    'rule 2: reject: which and why') or diag($r->body());
duplicate('/reject', '{"id":1,"source":"s"}',
    'rule 2: reject: the other was delivered');

my $long = 'x' x 100_000;
delivered('/in', qq!{"id":"$long","source":"s"}!, 'rule 2: 100 kB of id');
duplicate('/in', qq!{"id":"$long","source":"s"}!, 'rule 2: 100 kB, again');
delivered('/in', qq!{"id":"${long}y","source":"s"}!,
    'rule 2: 100 kB, another end');
delivered('/path', path(qq!"$long"!), 'rule 2: 100 kB of path');
duplicate('/path', path(qq!"$long"!), 'rule 2: 100 kB of path, again');

###############################################################################

# rule 3: a repeat inside a batch

batch('/in', [ map { qq!{"id":"b$_","source":"s"}! } 1, 2, 1, 1, 2 ],
    2, 3, 'rule 3: repeats are sent once');
is_deeply([ $m->ids() ], [ qw/ b1 b2 / ], 'rule 3: the first of each');
batch('/in', [ map { qq!{"id":"b$_","source":"s"}! } 3, 1, 3 ],
    1, 2, 'rule 3: beside an older one');
batch('/in', [ '{"id":5,"source":"s"}', '{"id":"5","source":"s"}',
    '{"id":5.0,"source":"s"}' ], 2, 1, 'rule 3: by the key, not the bytes');
batch('/in', [ ('{"id":"","source":"s"}') x 3 ], 3, 0,
    'rule 3: pass: nothing repeats');
batch('/hash', [ ('{"id":"","source":"h"}') x 3 ], 1, 2,
    'rule 3: hash: equal bytes repeat');
batch('/path', [ path('"b1"'), path('"b2"'), path('"b1"') ], 2, 1,
    'rule 3: path');
batch('/in', [ map { envelope('s', 'b9', $_) } undef, 'r', undef, 'r' ], 2, 2,
    'rule 3: replay-name');

# they share the outcome of the first

$m->queue('/to/m', { status => 503 });
my $body = '[' . join(',', ('{"id":"f","source":"s"}') x 4) . ']';
$r = post($p, '/in', $body);
is($r->status(), 503, 'rule 3: the first fails');
is($r->json()->{failed}, 4, 'rule 3: and with it all repeats');
$r = post($p, '/in', $body);
is($r->json()->{forwarded}, 1, 'rule 3: sent again, once');
is($r->json()->{duplicates}, 3, 'rule 3: the others are duplicates');

$t->stop();

###############################################################################

sub delivered {
    my ($uri, $event, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $r = post($p, $uri, $event);
    is(($r->json() // {})->{forwarded}, 1, $name) or diag($r->text());
}

sub duplicate {
    my ($uri, $event, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $r = post($p, $uri, $event);
    is(($r->json() // {})->{duplicates}, 1, $name) or diag($r->text());
}

sub batch {
    my ($uri, $events, $forwarded, $duplicates, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $m->forget();
    my $r = post($p, $uri, '{"events":[' . join(',', @$events) . ']}');
    is_deeply([ @{$r->json() // {}}{qw/ received forwarded duplicates /} ],
        [ scalar @$events, $forwarded, $duplicates ], $name)
        or diag($r->text());
}

sub envelope {
    my ($source, $id, $replay, $detail) = @_;

    return qq!{"id":"$id","source":"$source","detail-type":"t",!
        . (defined $replay ? qq!"replay-name":"$replay",! : '')
        . '"detail":' . ($detail // '{}') . '}';
}

sub path {
    my ($value) = @_;
    return sprintf '{"id":"u%d","source":"s","detail":{"key":%s}}', ++$n,
        $value;
}

sub two {
    my ($one, $other) = @_;
    return sprintf '{"id":"u%d","source":"s","a":"%s","b":"%s"}', ++$n, $one,
        $other;
}

###############################################################################
