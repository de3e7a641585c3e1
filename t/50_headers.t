#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Headers of the client that reach destinations, and its trace in the audit
# log.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;

###############################################################################

my $trace = '4bf92f3577b34da6a3ce929d0e0e4736';
my $parent = "00-$trace-00f067aa0ba902b7-01";

my @traces = (
    [ $parent, $trace, 'valid' ],
    [ "00-$trace-00f067aa0ba902b7-00", $trace, 'not sampled' ],
    [ "cc-$trace-00f067aa0ba902b7-01", $trace, 'later version' ],
    [ "cc-$trace-00f067aa0ba902b7-01-more", $trace, 'later version, longer' ],
    [ "00-$trace-00f067aa0ba902b7-01-more", undef, 'version 00, longer' ],
    [ "cc-$trace-00f067aa0ba902b7-01more", undef, 'later, no dash' ],
    [ "ff-$trace-00f067aa0ba902b7-01", undef, 'version ff' ],
    [ '00-' . uc($trace) . '-00f067aa0ba902b7-01', undef, 'upper case' ],
    [ '00-' . '0' x 32 . '-00f067aa0ba902b7-01', undef, 'zero trace' ],
    [ "00-$trace-" . '0' x 16 . '-01', undef, 'zero parent' ],
    [ "00-$trace-00f067aa0ba902b7", undef, 'no flags' ],
    [ "00-$trace-00f067aa0ba902b7-0", undef, 'short' ],
    [ "00-$trace-00f067aa0ba902b7-0g", undef, 'no digit' ],
    [ "0_-$trace-00f067aa0ba902b7-01", undef, 'no version' ],
    [ "00_${trace}_00f067aa0ba902b7_01", undef, 'no dashes' ],
    [ '', undef, 'empty' ],
    [ 'x' x 300, undef, 'junk' ]
);

my $t = Test::EventBridge->new()->plan(41 + @traces * 2);
my $m = $t->mock(1);

$t->conf(<<'EOF')->run();
    eventbridge_checkpoint_zone zone=z:1m path=%%TESTDIR%%/z.ckpt;
    eventbridge_stats_file %%TESTDIR%%/stats;

    upstream m { server 127.0.0.1:%%PORT_1%%; keepalive 32; }

    proxy_http_version 1.1;
    proxy_set_header Connection "";
    client_max_body_size 4m;

    server {
        listen 127.0.0.1:%%PORT_0%%;
        listen 127.0.0.1:%%PORT_2%% http2;

        eventbridge_checkpoint z;
        eventbridge_audit_log %%TESTDIR%%/audit.jsonl flush=1ms;

        location = /default { eventbridge_ingest; eventbridge_route /to/m; }

        location = /off {
            eventbridge_pass_request_header off;
            eventbridge_ingest;
            eventbridge_route /to/m;
        }

        location = /some {
            eventbridge_pass_request_header X-Tenant Authorization Cookie;
            eventbridge_pass_request_header x-a-name-that-is-longer-than-most;
            eventbridge_ingest;
            eventbridge_route_policy all;
            eventbridge_route /to/m;
            eventbridge_route /to/other;
        }

        location = /single {
            eventbridge_pass_request_header X-Tenant;
            eventbridge_forward_as single;
            eventbridge_ingest;
            eventbridge_route /to/m;
        }

        location = /quick {
            eventbridge_pass_request_header X-Tenant;
            eventbridge_forward_timeout 200ms;
            eventbridge_forward_as single;
            eventbridge_ingest;
            eventbridge_route /to/m;
        }

        location = /vars {
            eventbridge_pass_request_header X-Tenant;
            eventbridge_ingest;
            eventbridge_route /to/vars;
        }

        location /to/ {
            internal;
            client_max_body_size 0;
            proxy_pass http://m;
        }

        location = /to/vars {
            internal;
            client_max_body_size 0;
            proxy_set_header X-Seen "$http_x_tenant,$http_x_other";
            proxy_pass http://m;
        }

        location = /metrics { eventbridge_metrics; }
    }

    server {
        listen 127.0.0.1:%%PORT_3%%;
        eventbridge_pass_request_header X-Server;
        eventbridge_checkpoint off;

        location = /inherits { eventbridge_ingest; eventbridge_route /to/m; }

        location /nested/ {
            eventbridge_pass_request_header X-Nested;
            location = /nested/in {
                eventbridge_ingest;
                eventbridge_route /to/m;
                if ($arg_x) { set $y 1; }
            }
        }

        location /to/ {
            internal;
            client_max_body_size 0;
            proxy_pass http://m;
        }
    }
EOF

my $p = $t->port(0);
my $n = 0;

###############################################################################

# the default: what distributed tracing needs

my @all = ('X-Tenant' => 'blue', 'X-Other' => 'no', Authorization => 'Bearer x',
    Cookie => 'a=b', traceparent => $parent, tracestate => 'a=1',
    tracestate => 'b=2', 'X-A-Name-That-Is-Longer-Than-Most' => 'long');

my $q = sent('/default', @all);
is($q->header('traceparent'), $parent, 'traceparent');
is_deeply([ $q->header('tracestate') ], [ 'a=1', 'b=2' ],
    'tracestate, both of them, in order');
is_deeply([ grep { defined $q->header($_) } qw/ X-Tenant X-Other Authorization
    Cookie X-A-Name-That-Is-Longer-Than-Most / ], [], 'and nothing else');

$q = sent('/default', TraceParent => $parent);
is($q->header('traceparent'), $parent, 'in whatever case');
like($q->head(), qr/^TraceParent: /m, 'which is kept');

$q = sent('/default', traceparent => '!junk', tracestate => '');
is($q->header('traceparent'), '!junk', 'as it came, even if it is invalid');
is($q->header('tracestate'), '', 'an empty one');
is(scalar(grep { /^trace/i } $q->header_names()), 2, 'each once');

$q = sent('/default');
is(scalar(grep { /^trace/i } $q->header_names()), 0, 'none is made up');

# off, and names

$q = sent('/off', @all);
is_deeply([ grep { defined $q->header($_) } qw/ traceparent tracestate
    X-Tenant / ], [], 'off');

$q = sent('/some', @all);
is($q->header('X-Tenant'), 'blue', 'by name');
is($q->header('Authorization'), 'Bearer x', 'Authorization');
is($q->header('Cookie'), 'a=b', 'Cookie');
is($q->header('X-A-Name-That-Is-Longer-Than-Most'), 'long', 'a long name');
is_deeply([ grep { defined $q->header($_) } qw/ traceparent tracestate
    X-Other / ], [], 'the default is replaced');
is(($m->requests('/to/other'))[-1]->header('X-Tenant'), 'blue',
    'to each destination');

$q = sent('/some', 'X-Tenant' => 'one', 'X-Tenant' => 'two, three',
    'X-Tenant' => 'four');
is_deeply([ $q->header('X-Tenant') ], [ 'one', 'two, three', 'four' ],
    'three of one name');

my $odd = "\xc3\xa9\xff \"quoted\";=";
is(sent('/some', 'X-Tenant' => $odd)->header('X-Tenant'), $odd,
    'bytes of a value');
is(sent('/some', 'X-Tenant' => 'y' x 3000)->header('X-Tenant'), 'y' x 3000,
    'a long value');

# what the module itself says is not overruled

$q = sent('/default', @all, 'Content-Type' => 'text/x', 'X-Request-Id' => 'me',
    'X-EventBridge-Count' => 77, 'X-EventBridge-Route' => 'mine');
is_deeply([ map { $q->header($_) } qw/ Content-Type X-EventBridge-Count
    X-EventBridge-Route / ], [ 'application/json', 1, '/to/m' ],
    'own headers are as before');
like($q->header('X-Request-Id'), qr/^[0-9a-f]{32}$/, 'and the request id');

# single: on each request

$m->forget();
post($p, '/single', '[{"id":"s1","source":"s"},{"id":"s2","source":"s"}]',
    headers => [ 'X-Tenant' => 'each' ]);
is_deeply([ map { scalar $_->header('X-Tenant') } $m->requests('/to/m') ],
    [ 'each', 'each' ], 'single');

# more headers than one list part has

$q = sent('/some', (map { ("X-Filler-$_" => $_) } 1 .. 45),
    'X-Tenant' => 'last');
is($q->header('X-Tenant'), 'last', 'after many headers');

# the client is gone when the last of them begin

$m->forget();
$m->set('/to/m', hang => 1);
my $c = client($p);
$c->start(path => '/quick', body => '[' . join(',', map { event() } 1 .. 20)
    . ']', headers => [ 'X-Tenant' => 'left' ]);
is($c->response()->status(), 503, 'the sender is told to come back');
$c->abort();
is($m->hits('/to/m'), 16, 'some have not begun');
$m->clear();
$m->release('/to/m');
ok($m->wait_hits('/to/m', 20), 'they are delivered later');
is(join(' ', map { $_->header('X-Tenant') } $m->requests('/to/m')),
    join(' ', ('left') x 20), 'and have the header');

# variables of the destination

is(sent('/vars', @all)->header('X-Seen'), 'blue,', 'variables');

# HTTP/2

$m->forget();
my $h2 = h2_client($t->port(2));
is($h2->response($h2->request(path => '/some', method => 'POST',
    body => event(), headers => [ 'x-tenant' => 'h2', 'x-other' => 'no' ]))
    ->status(), 200, 'HTTP/2');
$h2->close();
($q) = $m->requests('/to/m');
is($q->header('X-Tenant'), 'h2', 'HTTP/2: by name');
is($q->header('X-Other'), undef, 'HTTP/2: and nothing else');

# inheritance

my @levels = ('X-Server' => 1, 'X-Nested' => 2, traceparent => $parent);
is(names(sent([ $t->port(3), '/inherits' ], @levels)), 'X-Server', 'server');
is(names(sent([ $t->port(3), '/nested/in' ], @levels)), 'X-Nested',
    'location');
is(names(sent([ $t->port(3), '/nested/in?x=1' ], @levels)), 'X-Nested',
    'inside of "if"');

###############################################################################

# traceId

for (@traces) {
    my ($value, $id, $name) = @$_;
    my $line = audited('/default', traceparent => $value);
    is($line->{traceId}, $id, "traceId: $name");
    is(exists $line->{traceId} ? 1 : 0, defined $id ? 1 : 0,
        "traceId: $name: member");
}

is(audited('/off', traceparent => $parent)->{traceId}, $trace,
    'traceId: also with "off"');
is(audited('/some', traceparent => $parent)->{traceId}, $trace,
    'traceId: also with other names');
is(audited('/default', traceparent => $parent, traceparent => $parent)
    ->{traceId}, undef, 'traceId: two of them are none');
is(audited('/default')->{traceId}, undef, 'traceId: none');

###############################################################################

# which names are refused

my $good = join ' ', 'X-A', 'authorization', 'Cookie', 'b3', 'x_y', "a!#%&'*+",
    'User-Agent', 'X-EventBridg', 'x-request-id2';
is(($t->test_config(test_conf($good)))[0], 0, 'names') or
    diag(($t->test_config(test_conf($good)))[1]);

my @refused = qw/ Content-Type content-length Content-Encoding Host
    X-Request-Id X-EventBridge-Route x-eventbridge-anything Transfer-Encoding
    Connection Keep-Alive TE Trailer Upgrade Expect Proxy-Connection
    Proxy-Authorization Idempotency-Key /;
my @wrong = map { [ $_, $t->test_config(test_conf("X-A $_")) ] } @refused;

is(join(' ', map { $_->[0] } grep { $_->[1] != 1 } @wrong), '',
    'these are refused');
is(join(' ', map { $_->[0] } grep { $_->[2] !~ /invalid\ value\ "\Q$_->[0]\E"
    \ of\ "eventbridge_pass_request_header":\ this\ header\ is\ not\ passed
    .*\ in\ \S+:\d+/x } @wrong), '', 'and it is said why, and where');

$t->stop();

###############################################################################

sub event {
    return sprintf '{"id":"h%d","source":"s"}', ++$n;
}

# the request that /to/m gets

sub sent {
    my ($to, @headers) = @_;
    my ($port, $uri) = ref $to ? @$to : ($p, $to);

    $m->forget();
    my $r = post($port, $uri, event(), headers => \@headers);
    diag($r->text()) if $r->status() != 200;

    return ($m->requests())[0];
}

sub names {
    my ($q) = @_;
    return join ' ', grep { defined $q->header($_) } qw/ X-Server X-Nested
        traceparent /;
}

sub audited {
    my ($uri, @headers) = @_;
    my $line;

    sent($uri, @headers);
    wait_for(sub {
        ($line) = grep { ($_->{eventId} // '') eq "h$n" }
            $t->audit_lines('audit.jsonl');
    });

    return $line // {};
}

sub test_conf {
    my ($names) = @_;

    return <<"EOF";
    server {
        listen 127.0.0.1:%%PORT_0%%;
        eventbridge_pass_request_header $names;
    }
EOF
}

###############################################################################
