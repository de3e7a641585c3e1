#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# eventbridge_test_pattern: the operation TestEventPattern, its errors, and what
# it says of a miss; and patterns in routes beside other conditions.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();

use Test::EventBridge;

###############################################################################

my $t = Test::EventBridge->new()->plan(70);
my $m = $t->mock(1);

$t->write_file('keys', "tester:one-key-of-32-characters-12345678\n", 0640);
$t->write_file('order.json', "{ \"detail\": {\n  \"state\": [ \"paid\" ],\n"
    . "  \"amount\": [ { \"numeric\": [ \">\", 100 ] } ] } }\n");

$t->conf(<<'EOF')->run();
    eventbridge_stats_file %%TESTDIR%%/stats;

    upstream m { server 127.0.0.1:%%PORT_1%%; keepalive 32; }

    client_body_buffer_size 16k;
    proxy_http_version 1.1;
    proxy_set_header Connection "";

    server {
        listen 127.0.0.1:%%PORT_0%%;

        set_real_ip_from 127.0.0.1;
        real_ip_header X-Real-IP;

        location = /test  { eventbridge_test_pattern; }
        location = /small { client_max_body_size 10; eventbridge_test_pattern; }

        location = /flat {
            eventbridge_max_depth 2;
            eventbridge_test_pattern;
        }

        location = /keyed {
            eventbridge_auth key X-API-Key %%TESTDIR%%/keys;
            eventbridge_test_pattern;
        }

        location /first {
            eventbridge_ingest;
            eventbridge_unrouted /to/rest;
            eventbridge_route /to/a name=big
                pattern_file=%%TESTDIR%%/order.json;
            eventbridge_route /to/b name=paid
                'pattern={"detail":{"state":["paid"]}}';
            eventbridge_route /to/c name=rest source=^shop$ metadata.k=v
                'pattern={"detail":{"state":[{"anything-but":"paid"}]}}';
            eventbridge_route /to/d name=type type=^o
                'pattern={"source":[{"exists":true}]}';

            location = /first/inside {
                eventbridge_ingest;
                eventbridge_route_policy all;
            }
        }

        location = /all {
            eventbridge_ingest;
            eventbridge_route_policy all;
            eventbridge_unrouted /to/rest;
            eventbridge_route /to/a 'pattern={"source":[{"prefix":"sh"}]}';
            eventbridge_route /to/b 'pattern={"source":[{"prefix":"x"}]}';
            eventbridge_route /to/a name=again
                'pattern={"detail":{"state":["paid"]}}';
            eventbridge_route /to/c name=or 'pattern={"$or":[{"source":
                [{"suffix":"op"}]},{"detail":{"amount":[3]}}]}';
            eventbridge_route /to/d name=regex
                'pattern={"detail":{"text":[{"regex":"^(a+)+$"}]}}';
        }

        location /to/ {
            internal;
            client_max_body_size 0;
            proxy_pass http://m;
        }

        location = /explain { eventbridge_explain; }
        location = /metrics { eventbridge_metrics; }
    }
EOF

my $json = JSON::PP->new()->utf8()->canonical();
my $p = $t->port(0);
my ($r, $e);
my $ids = 0;

###############################################################################

# strings and objects

my $pattern = '{"detail":{"state":["paid",{"prefix":"pre"}]}}';
my $paid = '{"source":"shop","detail":{"state":"paid"}}';

for my $q ([ 's', 's' ], [ 's', 'o' ], [ 'o', 's' ], [ 'o', 'o' ]) {
    is_deeply(result(body($pattern, $paid, @$q)), { Result =>
        JSON::PP::true }, "match, @$q");
    is_deeply(result(body($pattern, '{"detail":{"state":"new"}}', @$q)),
        { Result => JSON::PP::false }, "no match, @$q");
}

$r = post($p, '/test', body($pattern, $paid, 's', 's'));
is($r->status(), 200, 'status');
is($r->header('Content-Type'), 'application/json', 'type');

# as the SDKs ask

my @amz = ('Content-Type' => 'application/x-amz-json-1.1',
    'X-Amz-Target' => 'AWSEvents.TestEventPattern');

$r = post($p, '/test', body($pattern, $paid, 's', 's'), headers => [ @amz ]);
is($r->status(), 200, 'amz: status');
is($r->header('Content-Type'), 'application/x-amz-json-1.1', 'amz: type');
is($r->body(), "{\"Result\":true}\n", 'amz: body');

$r = post($p, '/test', body($pattern, $paid, 's', 's'), headers => [
    $amz[0], $amz[1], 'X-Amz-Target' => 'AWSEvents.PutEvents' ]);
refused('another operation', 'UnknownOperationException',
    qr/TestEventPattern/);
is($r->header('Content-Type'), 'application/x-amz-json-1.1',
    'amz: type of an error');

# what would keep a worker busy for seconds

my $many = '{"$or":[' . join(',', map { "{\"a\":[{\"wildcard\":\"*x$_*y\"}]}" }
    1 .. 500) . ']}';
my $long = '{"a":[' . join(',', ('"zz"') x 120000) . ']}';

$r = post($p, '/test', body($many, $long, 'o', 'o'));
is($r->status(), 400, 'a long pattern and a long event');
is_deeply(result(body('{"a":[{"wildcard":"*z"}]}', $long, 'o', 'o')),
    { Result => JSON::PP::true }, 'a long event');
is_deeply(result(body($many, '{"a":"xx500yy"}', 'o', 'o')),
    { Result => JSON::PP::true }, 'a long pattern');

# what is wrong

for my $case (
    [ '{"a":["x"', qr/at offset 9$/ ],
    [ '{}', qr/./ ],
    [ '{"a":[]}', qr/at offset \d+$/ ],
    [ '{"a":"x"}', qr/at offset \d+$/ ],
    [ '{"a":[{"prefix":1}]}', qr/prefix.* at offset \d+$/ ],
    [ '{"a":[{"none":1}]}', qr/none.* at offset \d+$/ ],
    [ '', qr/at offset 0$/ ],
    [ "\x00", qr/at offset \d+$/ ],
    [ '[' x 1000, qr/at offset \d+$/ ],
    [ '{"a":[{"regex":"("}]}', qr/at offset \d+$/ ])
{
    my $name = substr $case->[0] =~ s/\0/0/r, 0, 20;

    $r = post($p, '/test', body($case->[0], $paid, 's', 's'));
    refused("pattern $name", 'InvalidEventPatternException',
        qr/^Event pattern is not valid\. Reason: .*$case->[1]/);
}

for my $case (
    [ '', 'SerializationException', qr/at offset 0$/ ],
    [ '{"EventPattern":', 'SerializationException', qr/at offset \d+$/ ],
    [ '[]', 'SerializationException', qr/not an object/ ],
    [ '{}', 'ValidationException', qr/^"EventPattern" is/ ],
    [ '{"EventPattern":"{}"}', 'ValidationException', qr/^"Event" is/ ],
    [ '{"EventPattern":[],"Event":"{}"}', 'ValidationException',
        qr/^"EventPattern" is/ ],
    [ '{"EventPattern":{"a":[1]},"Event":5}', 'ValidationException',
        qr/^"Event" is/ ],
    [ '{"EventPattern":{"a":[1]},"Event":"{"}', 'ValidationException',
        qr/^Parameter Event is not valid: .* at offset 1$/ ],
    [ '{"EventPattern":{"a":[1]},"Event":"[]"}', 'ValidationException',
        qr/^Parameter Event is not valid: it is no object$/ ])
{
    $r = post($p, '/test', $case->[0]);
    refused("body $case->[0]", $case->[1], $case->[2]);
}

is(post($p, '/flat', '{"EventPattern":{"a":[1]},"Event":{"a":[1]}}')->status(),
    200, 'depth');
is(post($p, '/flat', '{"EventPattern":{"a":[1]},"Event":{"a":[[1]]}}')
    ->status(), 400, 'too deep');
is(post($p, '/small', body($pattern, $paid, 's', 's'))->status(), 413,
    'too large');

$r = get($p, '/test');
is($r->status(), 405, 'GET');
is($r->header('Allow'), 'POST', 'what is allowed');

# why not

$e = result(body($pattern, '{"detail":{"state":"new"}}', 's', 'o'),
    '?explain=1');
is($e->{Result}, JSON::PP::false, 'explain: no match');
is($e->{Field}, 'detail.state', 'explain: field');
is($e->{Condition}, '["paid",{"prefix":"pre"}]', 'explain: condition');
like($e->{Reason}, qr/detail\.state.*new/s, 'explain: reason');

$e = result(body($pattern, '{"detail":{}}', 's', 'o'), '?explain=1');
is($e->{Field}, 'detail.state', 'explain: missing field');
like($e->{Reason}, qr/detail\.state/, 'explain: reason of that');

is_deeply([ keys %{result(body($pattern, $paid, 's', 's'), '?explain=1')} ],
    [ 'Result' ], 'explain: a match');
is_deeply([ keys %{result(body($pattern, '{}', 's', 's'), '?explain=0')} ],
    [ 'Result' ], 'explain: not asked for');

# who may ask

is(post($p, '/test', body($pattern, $paid, 's', 's'), headers => [
    'X-Real-IP' => '192.0.2.1' ])->status(), 403, 'access: from elsewhere');
is(post($p, '/keyed', body($pattern, $paid, 's', 's'))->status(), 401,
    'access: without a key');
is(post($p, '/keyed', body($pattern, $paid, 's', 's'), headers => [
    'X-API-Key' => 'one-key-of-32-characters-12345678',
    'X-Real-IP' => '192.0.2.1' ])->status(), 200, 'access: with a key');

$t->allow_error('error', qr/unauthorized/);

###############################################################################

# routes

is(to('/first', event(state => 'paid', amount => 101)), 'a', 'file');
is(to('/first', event(state => 'paid', amount => 100)), 'b', 'the next');
is(to('/first', event(state => 'new')), 'c', 'source, metadata and pattern');
is(to('/first', event(state => 'new'), k => 'w'), 'd', 'another metadata');
is(to('/first', event(state => 'new'), source => 'x', type => 'p'), 'rest',
    'none');
is(to('/first/inside', event(state => 'paid', amount => 101)), 'a b d',
    'inherited, all');

is(to('/all', event(state => 'paid')), 'a c', 'policy all');
is(to('/all', event(state => 'paid'), source => 'x'), 'a b',
    'a destination by its second route');
is(to('/all', event(amount => 3.0), source => 'y'), 'c', '$or');
is(to('/all', event(text => 'aaaa'), source => 'y'), 'd', 'regex');
is(to('/all', event(text => 'a' x 40 . 'b'), source => 'y'), 'rest',
    'regex that is given up');
is(metric('eventbridge_route_regex_errors_total', '/all'), 1, 'and counted');

# explained

$r = explained('/first', event(state => 'new'), source => 'x', type => 'p');
is($r->[0]{condition}, 'pattern detail.amount', 'condition');
like($r->[0]{reason}, qr/detail\.amount/, 'reason');
is($r->[1]{condition}, 'pattern detail.state', 'condition of the next');
like($r->[1]{reason}, qr/new/, 'what it is instead');
is($r->[2]{condition}, 'source', 'other conditions first');

###############################################################################

sub body {
    my ($ptn, $event, $as, $is) = @_;

    $ptn = $json->encode([ $ptn ]) =~ s/^\[|\]$//gr if $as eq 's';
    $event = $json->encode([ $event ]) =~ s/^\[|\]$//gr if $is eq 's';

    return "{\"EventPattern\": $ptn , \"Event\" :$event}";
}

sub result {
    my ($body, $query) = @_;

    my $got = post($p, '/test' . ($query // ''), $body);

    return $json->decode($got->body());
}

# the last response

sub refused {
    my ($name, $type, $message) = @_;

    my $got = eval { $json->decode($r->body()) } // {};
    my $said = $got->{message} // '';

    is(join(' ', $r->status(), $got->{__type} // '', $said =~ $message),
        "400 $type 1", $name) or diag($r->body());
}

sub event {
    my (%detail) = @_;
    return { %detail };
}

sub envelope {
    my ($detail, %with) = @_;

    return $json->encode({ id => 'id-' . ++$ids, version => '0', account => '1',
        source => $with{source} // 'shop', region => 'eu', resources => [],
        time => '2024-02-29T12:00:00Z', 'detail-type' => $with{type} // 'order',
        detail => { %$detail, metadata => { k => $with{k} // 'v' } } });
}

# the destinations that an event goes to

sub to {
    my ($path, @event) = @_;

    $m->forget();

    my $got = post($p, $path, envelope(@event));
    return 'status ' . $got->status() if $got->status() !~ /^20/;

    return join ' ', sort map { $_->path() =~ m,^/to/(\w+)$, } $m->requests();
}

sub explained {
    my ($path, @event) = @_;

    my $got = post($p, "/explain?location=$path", envelope(@event));

    return $json->decode($got->body())->{events}[0]{routes};
}

sub metric {
    my ($name, $location) = @_;

    my $all = $t->metrics();
    my ($key) = grep { /^\Q$name\E\{.*location="\Q$location\E"/ } keys %$all;

    return defined $key ? $all->{$key} : undef;
}

###############################################################################
