#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Certificates of the system's authorities are not read for each connection:
# that stops a worker for a twentieth of a second.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;
use Test::EventBridge::Util qw/ cpu_time scaled /;

###############################################################################

my $t = Test::EventBridge->new(workers => 1, log_level => 'info')->plan(4);

my $port = $t->port(0);

$t->allow_error('error', qr/organisation "org" got no token/);
$t->mock(1, tls => 1);
$t->write_file('secret', "the-client-secret\n", 0640);

$t->conf(<<'EOF2')->run();
http {
    eventbridge_stats_file %%TESTDIR%%/stats;

    eventbridge_genesys org {
        api_url https://127.0.0.1:%%PORT_1%%;
        login_url https://127.0.0.1:%%PORT_1%%;
        client_id client-1;
        client_secret_file %%TESTDIR%%/secret;
        timeout 4s;
    }

    server {
        listen 127.0.0.1:%%PORT_0%%;
        eventbridge_genesys_pass org /_genesys/;
        location /subscriptions { eventbridge_genesys_subscriptions org; }
        location /_genesys/ {
            internal;
            proxy_pass https://127.0.0.1:%%PORT_1%%/;
            proxy_set_header Authorization $eventbridge_bearer;
        }
    }
}
EOF2

my ($worker) = $t->worker_pids();
my $client = client($port)->start(path => '/subscriptions');

sub attempt {
    my ($n) = @_;
    return $t->wait_log(qr/got no token, attempt $n: .* SSL certificate /);
}

ok(attempt(2), 'nobody trusts it');
my $before = cpu_time($worker);
ok(attempt(5), 'three more attempts');
my $each = (cpu_time($worker) - $before) / 3;

cmp_ok($each, '<', scaled(0.02), sprintf 'CPU of each: %.1f ms',
    $each * 1000);
cmp_ok($client->response()->status(), '>=', 500, 'and an answer');

###############################################################################
