#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Senders without an envelope: the whole body is one event, whose fields come
# from variables.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;

###############################################################################

my $t = Test::EventBridge->new()->plan(74);
my $m = $t->mock(1);

$t->conf(<<'EOF')->run();
    eventbridge_checkpoint_zone zone=z:1m path=%%TESTDIR%%/z.ckpt;
    eventbridge_stats_file %%TESTDIR%%/stats;

    upstream m { server 127.0.0.1:%%PORT_1%%; keepalive 32; }

    underscores_in_headers on;

    server {
        listen 127.0.0.1:%%PORT_0%%;

        client_max_body_size 4m;
        client_body_buffer_size 64k;
        proxy_http_version 1.1;
        proxy_set_header Connection "";

        eventbridge_checkpoint z;
        eventbridge_audit_log %%TESTDIR%%/audit.jsonl flush=1ms;

        location = /hook {
            eventbridge_event id=$http_x_github_delivery
                              type=$http_x_github_event
                              source=github/$arg_org;
            eventbridge_route /to/push type=^push$;
            eventbridge_route /to/acme source=^github/acme$
                              metadata.team=red;
            eventbridge_route /to/rest;
        }

        location = /id {
            eventbridge_ingest;
            eventbridge_event id=$http_x_id;
            eventbridge_checkpoint z no_id=reject;
            eventbridge_route /to/rest;
        }

        location = /hash {
            eventbridge_event id=$http_x_id;
            eventbridge_ingest;
            eventbridge_checkpoint z no_id=hash;
            eventbridge_route /to/rest;
        }

        location = /path {
            eventbridge_event id=$http_x_id;
            eventbridge_checkpoint z key=path:/order/0;
            eventbridge_route /to/rest;
        }

        location = /array {
            eventbridge_event id=$http_x_id;
            eventbridge_forward_as array;
            eventbridge_route /to/rest;
        }

        location = /events {
            eventbridge_event id=$http_x_id;
            eventbridge_forward_as events;
            eventbridge_route /to/rest;
        }

        location = /single {
            eventbridge_event id=$http_x_id source=s;
            eventbridge_forward_as single;
            eventbridge_route /to/rest;
        }

        location = /if {
            eventbridge_event id=$http_x_id;
            eventbridge_route /to/rest;
            if ($arg_x) { set $y 1; }
        }

        location = /limit {
            eventbridge_event id=$http_x_id;
            eventbridge_route /to/rest;
            limit_except GET { allow all; }
        }

        location = /depth {
            eventbridge_event id=$http_x_id;
            eventbridge_max_depth 2;
            eventbridge_route /to/rest;
        }

        location = /dead {
            eventbridge_event id=$http_x_id type=$http_x_type;
            eventbridge_dead_letter %%TESTDIR%%/dead.jsonl;
            eventbridge_route /to/dead;
        }

        location = /replay { eventbridge_replay; }

        location /to/ {
            internal;
            client_max_body_size 0;
            proxy_pass http://m;
        }

        location = /metrics { eventbridge_metrics; }
    }
EOF

my $p = $t->port(0);
my $n = 0;

###############################################################################

# any JSON value is an event, and arrives byte by byte

for my $body ('{}', '{"a":1}', '[]', '[1,2]', '"text"', '17', '-1.50e+3',
    'true', 'false', 'null', " {\"a\" : [ 1 ] }\r\n", "\n\t[ ]\n",
    '{"events":[{"id":"1","source":"s"},{"id":"2","source":"s"}]}',
    '[{"id":"1","source":"s"},{"id":1,"source":2}]',
    '{"id":{},"source":[],"detail-type":"t","detail":null}')
{
    my $name = $body =~ s/\s/_/gr;

    $m->forget();
    my $r = hook($body, 'push');
    is(($r->json() // {})->{forwarded}, 1, "$name: one event")
        or diag($r->text());
    is(join('|', $m->bodies('/to/push')), $body, "$name: as it came");
}

my ($q) = $m->requests('/to/push');
is($q->header('X-EventBridge-Count'), 1, 'its count');
is($q->header('Content-Type'), 'application/json', 'its type');

# what is no JSON is none

for my $body ('', ' ', '{', '{"a":1}x', '[1,]', "\xff") {
    is(hook($body, 'push')->status(), 400, 'invalid: ' . unpack('H*', $body));
}

# in containers

$m->forget();
post($p, "/$_", qq! {"k":1}\n!, headers => [ 'X-Id' => "c-$_" ])
    for qw/ array events single /;
is_deeply([ $m->bodies('/to/rest') ], [ "[ {\"k\":1}\n]",
    "{\"events\":[ {\"k\":1}\n]}", " {\"k\":1}\n" ], 'containers');
like(($m->requests('/to/rest'))[2]->header('Idempotency-Key'),
    qr/^[0-9a-f]{32}$/, 'single: Idempotency-Key');

# however the body comes in

$m->forget();
my $large = '{"a":"' . 'x' x 300_000 . '"}';
is(hook($large, 'push')->json()->{forwarded}, 1, 'a body in a file');
is(($m->bodies('/to/push'))[0], $large, 'a body in a file, as it came');
$m->forget();
is(hook('{"z":0} ', 'push', gzip => 1)->json()->{forwarded}, 1, 'gzip');
is(($m->bodies('/to/push'))[0], '{"z":0} ', 'gzip, inflated');

###############################################################################

# routes

$m->forget();
hook('{"metadata":{"team":"red"}}', 'push', uri => '/hook?org=acme');
is($m->hits('/to/push'), 1, 'by type');
hook('{"metadata":{"team":"red"}}', 'issues', uri => '/hook?org=acme');
is($m->hits('/to/acme'), 1, 'by source and metadata');
hook('{"metadata":{"team":"blue"}}', 'issues', uri => '/hook?org=acme');
hook('{"team":"red"}', 'issues', uri => '/hook?org=acme');
hook('{"metadata":"team"}', 'issues', uri => '/hook?org=acme');
hook('[{"metadata":{"team":"red"}}]', 'issues', uri => '/hook?org=acme');
hook('{"metadata":{"team":"red"}}', 'issues', uri => '/hook?org=other');
hook('{"metadata":{"team":"red"},"source":"github/acme","type":"push"}',
    undef);
is($m->hits('/to/acme'), 1, 'fields of the body do not count');
is($m->hits('/to/rest'), 6, 'the others');

###############################################################################

# identity

my @id = (headers => [ 'X-GitHub-Delivery' => 'again',
    'X-GitHub-Event' => 'push' ]);
is(post($p, '/hook', '{"a":1}', @id)->json()->{forwarded}, 1, 'an id');
is(post($p, '/hook', '{"b":2}', @id)->json()->{duplicates}, 1,
    'that id again, whatever the body');
is(post($p, '/hook?org=x', '{}', @id)->json()->{forwarded}, 1,
    'another source');

is(post($p, '/hook', '{"id":"x"}')->json()->{forwarded}, 1,
    'no id: delivered each time') for 1 .. 2;
is(post($p, '/hook', '{}', headers => [ 'X-GitHub-Delivery' => '' ])
    ->json()->{forwarded}, 1, 'empty id: delivered each time') for 1 .. 2;

is(post($p, '/id', '{}')->status(), 400, 'no_id=reject');
is(post($p, '/id', '{}', headers => [ 'X-Id' => 1 ])->json()->{forwarded}, 1,
    'no_id=reject, with an id');

is(post($p, '/hash', '{"h":1}')->json()->{forwarded}, 1, 'no_id=hash');
is(post($p, '/hash', '{"h":1}')->json()->{duplicates}, 1,
    'no_id=hash, the same bytes');
is(post($p, '/hash', '{"h":1} ')->json()->{forwarded}, 1,
    'no_id=hash, other bytes');

is(post($p, '/path', '{"order":[7]}')->json()->{forwarded}, 1, 'key=path');
is(post($p, '/path', '{"order":["7"]}', headers => [ 'X-Id' => 1 ])
    ->json()->{duplicates}, 1, 'key=path, again');

is(post($p, '/if?x=1', '1', headers => [ 'X-Id' => 1 ])->json()->{forwarded},
    1, 'inside of "if"');
is(post($p, '/if', '1', headers => [ 'X-Id' => 1 ])->json()->{duplicates}, 1,
    'and outside of it');

is(post($p, '/limit', '1', headers => [ 'X-Id' => 1 ])->json()->{forwarded},
    1, 'inside of "limit_except"');

is(post($p, '/depth', '[[1]]')->json()->{forwarded}, 1, 'depth');
is(post($p, '/depth', '[[[1]]]')->status(), 400, 'too deep');
is(get($p, '/hook')->status(), 405, 'GET');

# one that is refused for good is kept, and can be delivered again

for my $body ('17', '{"events":[{"id":"1"}]}') {
    my $id = 'dead-' . length $body;

    $m->queue('/to/dead', { status => 400 });
    is(post($p, '/dead', $body, headers => [ 'X-Id' => $id,
        'X-Type' => 'push' ])->json()->{dead}, 1, "dead: $body");
}

my @dead = split /^/, read_file($t->testdir() . '/dead.jsonl');
like($dead[0], qr/"eventId":"dead-2",.*"type":"push",.*"form":"single",
    .*"raw":"17"/x, 'dead: fields');

$m->forget();
like(post($p, '/replay', join '', @dead)->body(), qr/"delivered":2,/,
    'dead: delivered again');
is_deeply([ $m->bodies('/to/dead') ], [ '17', '{"events":[{"id":"1"}]}' ],
    'dead: as they were');

# the audit log has the fields

hook('{"metadata":{"region":"eu"}}', 'audited', id => 'audit-1',
    uri => '/hook?org=o');

my $line;
wait_for(sub {
    ($line) = grep { ($_->{eventId} // '') eq 'audit-1' }
        $t->audit_lines('audit.jsonl');
});

is_deeply([ @{$line}{qw/ source type region action route /} ],
    [ qw! github/o audited eu forwarded /to/rest ! ], 'audit log');

$t->stop();

###############################################################################

sub hook {
    my ($body, $type, %opt) = @_;

    my $id = delete $opt{id} // 'hook-' . ++$n;
    my $uri = delete $opt{uri} // '/hook';

    return post($p, $uri, $body, %opt, headers => [
        'X-GitHub-Delivery' => $id,
        defined $type ? ('X-GitHub-Event' => $type) : () ]);
}

###############################################################################
