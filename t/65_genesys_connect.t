#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# A login host that does not take the connection, and one that is trusted by
# others than it should be.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::INET;

use Test::EventBridge;

###############################################################################

my $t = Test::EventBridge->new(workers => 1, log_level => 'info')->plan(4);

my $port = $t->port(0);

# nobody accepts, and the queue is full: what comes then gets no answer

my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1,
    Proto => 'tcp') or die "listen: $!\n";
my @full = map { IO::Socket::INET->new(Proto => 'tcp', Blocking => 0,
    PeerAddr => '127.0.0.1', PeerPort => $listener->sockport()) } 1 .. 8;

$t->write_file('secret', "the-client-secret\n", 0640);

$t->conf(<<"EOF2")->run();
http {
    eventbridge_stats_file %%TESTDIR%%/stats;

    eventbridge_genesys org {
        api_url http://127.0.0.1:%%PORT_1%%;
        login_url http://127.0.0.1:@{[ $listener->sockport() ]};
        client_id client-1;
        client_secret_file %%TESTDIR%%/secret;
        connect_timeout 200ms;
        timeout 1s;
    }

    server {
        listen 127.0.0.1:%%PORT_0%%;
        eventbridge_genesys_pass org /_genesys/;
        location /subscriptions { eventbridge_genesys_subscriptions org; }
        location /_genesys/ {
            internal;
            proxy_pass http://127.0.0.1:%%PORT_1%%/;
            proxy_set_header Authorization \$eventbridge_bearer;
        }
    }
}
EOF2

my $r = get($port, '/subscriptions');
is($r->status(), 504, 'no connection: 504');
like($r->json()->{upstream}{message}, qr/token/, 'and words for it');
is(get($port, '/subscriptions')->status(), 504, 'again');
ok($t->reload(), 'reload');

# the harness looks for alerts: an event of a closed descriptor is one

$t->stop();

###############################################################################
