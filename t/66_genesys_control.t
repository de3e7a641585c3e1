#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Control locations: a subscription from its beginning to its end, and what is
# counted, audited and refused.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();

use Test::EventBridge;
###############################################################################

my $t = Test::EventBridge->new(workers => 2, log_level => 'debug')->plan(21);

my $g = $t->genesys(1);
my $port = $t->port(0);

$t->write_file('secret', "the-client-secret\n", 0640);
$t->secret('the-client-secret', ok_in => qr/mock-\d+\.jsonl|secret$/);

my $ca = $g->ca();

$t->conf(<<'EOF' =~ s/CERTIFICATE/$ca/gr);
http {
    eventbridge_stats_file %%TESTDIR%%/stats;

    eventbridge_genesys org {
        api_url https://localhost:%%PORT_1%%;
        login_url https://localhost:%%PORT_1%%;
        client_id client-1;
        client_secret_file %%TESTDIR%%/secret;
        trusted_certificate CERTIFICATE;
    }

    eventbridge_audit_log %%TESTDIR%%/audit.log flush=100ms;

    server {
        listen 127.0.0.1:%%PORT_0%%;
        eventbridge_genesys_pass org /_genesys/;

        location /subscriptions { eventbridge_genesys_subscriptions org; }
        location /retention { eventbridge_genesys_retention org; }
        location /filters { eventbridge_genesys_filters org; }
        location = /metrics { eventbridge_metrics; }

        location /_genesys/ {
            internal;
            proxy_pass https://127.0.0.1:%%PORT_1%%/;
            proxy_set_header Authorization $eventbridge_bearer;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate CERTIFICATE;
            proxy_ssl_name localhost;
            proxy_ssl_server_name on;
        }
    }
}
EOF
$t->run();
$g->client('client-1', 'the-client-secret');

# a subscription from its beginning to its end

my $body = '{"name":"s1","destination":{"type":"http",'
    . '"endpoint":"https://events.example.com/v1/events"},'
    . '"filter":{"eventSources":["a"]},"retentionPeriodDays":30}';

my $r = post($port, '/subscriptions', $body);
is($r->status(), 201, 'a subscription is created');
my $id = $r->json()->{id};
ok($id, 'and has an id');

is(scalar @{get($port, '/subscriptions')->json()->{entities}}, 1,
    'it is listed');
is(get($port, "/subscriptions/$id")->json()->{name}, 's1', 'and shown');

$r = client($port)->request(method => 'PUT', path => "/subscriptions/$id",
    body => $body =~ s/30/60/r);
is($r->status(), 200, 'it is changed');
is($g->object(subscriptions => $id)->{retentionPeriodDays}, 60,
    'at the API, too');

$r = client($port)->request(method => 'DELETE', path => "/subscriptions/$id");
is($r->status(), 204, 'and deleted');
is_deeply([ $g->objects('subscriptions') ], [], 'at the API, too');

# what nginx itself refuses is a problem document, too

for my $case ([ GET => '/subscriptions/a/b', 404 ],
    [ PATCH => '/subscriptions', 405 ],
    [ PUT => '/subscriptions/x', 413, 'x' x 600_000 ])
{
    my ($method, $path, $status, $content) = @$case;

    my $res = client($port)->request(method => $method, path => $path,
        defined $content ? (body => $content) : ());

    is($res->status(), $status, "$method $path: $status");
    is($res->header('Content-Type'), 'application/problem+json',
        "$method $path: type");
    is($res->json()->{status}, $status, "$method $path: document");
}

my $metrics = get($port, '/metrics')->body();
like($metrics, qr/^eventbridge_genesys_requests_total\{organisation="org",
    operation="subscription_create",result="2xx"\}\ 1$/mx,
    'requests are counted');

my @tokens = $g->token_requests();
is(scalar @tokens, 1, 'one token was enough');
is($tokens[0]{via}, 'basic', 'by HTTP authentication');

$t->secret($tokens[0]{token}, ok_in => qr/mock-\d+\.jsonl/);

$t->stop();

my @lines = map { JSON::PP::decode_json($_) }
    split /\n/, read_file($t->testdir() . '/audit.log');
is_deeply([ sort map { $_->{action} } @lines ],
    [ qw/ subscription_created subscription_deleted subscription_read
        subscription_updated subscriptions_listed / ],
    'each operation is audited');

###############################################################################
