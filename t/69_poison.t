#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# One request whose events a destination cannot bear is one failure: it must
# not take the destination away from all other senders.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;

###############################################################################

my $t = Test::EventBridge->new(workers => 1, log_level => 'notice')->plan(12);
my $m = $t->mock(1);

$t->conf(<<'EOF')->run();
    server {
        listen 127.0.0.1:%%PORT_0%%;

        eventbridge_probe /to/m off interval=1h fall=3;
        eventbridge_forward_timeout 5s;

        location = /events {
            eventbridge_ingest;
            eventbridge_forward_as single;
            eventbridge_route /to/m;
        }

        location = /to/m {
            internal;
            proxy_pass http://127.0.0.1:%%PORT_1%%;
        }

        location = /health { eventbridge_health; }
    }
EOF

my $p = $t->port(0);
my $id = 0;

sub events {
    my ($n) = @_;
    return '[' . join(',', map { '{"id":"' . ++$id
        . '","source":"s","type":"t"}' } 1 .. $n) . ']';
}

sub state_of { return get($p, '/health')->json()->{destinations}[0]{state} }

###############################################################################

$m->set('/to/m', status => 500);

is(post($p, '/events', events(20))->status(), 503, 'one sender, many failures');
is($m->hits('/to/m'), 20, 'each event was tried');
is(state_of(), 'up', 'they count once');

$m->set('/to/m', status => 200);
is(post($p, '/events', events(1))->status(), 200, 'another sender');
is(state_of(), 'up', 'a success');

$m->set('/to/m', status => 500);

for my $n (1 .. 3) {
    is(post($p, '/events', events(5))->status(), 503, "request $n that fails");
    is(state_of(), $n < 3 ? 'up' : 'down', "after request $n");
}

$m->forget();
is(post($p, '/events', events(1))->status(), 503, 'it is down');

$t->allow_error('error', qr/destination "\/to\/m" is down/);

###############################################################################
