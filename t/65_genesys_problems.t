#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# What a caller is told when the API refuses, fails, or does not answer.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;

###############################################################################

my $t = Test::EventBridge->new(workers => 1);

my $g = $t->genesys(1);
my $port = $t->port(0);
my $ca = $g->ca();

$t->write_file('secret', "the-client-secret\n", 0640);

$t->conf(<<'EOF' =~ s/CERTIFICATE/$ca/gr);
http {
    eventbridge_genesys org {
        api_url https://localhost:%%PORT_1%%;
        login_url https://localhost:%%PORT_1%%;
        client_id client-1;
        client_secret_file %%TESTDIR%%/secret;
        trusted_certificate CERTIFICATE;
        retries 0;
    }

    server {
        listen 127.0.0.1:%%PORT_0%%;
        eventbridge_genesys_pass org /_genesys/;

        location /subscriptions { eventbridge_genesys_subscriptions org; }
        location /retention { eventbridge_genesys_retention org; }
        location /filters { eventbridge_genesys_filters org; }

        location /_genesys/ {
            internal;
            proxy_pass https://127.0.0.1:%%PORT_1%%/;
            proxy_set_header Authorization $eventbridge_bearer;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate CERTIFICATE;
            proxy_ssl_name localhost;
            proxy_ssl_server_name on;
            proxy_read_timeout 500ms;
        }
    }
}
EOF

# each way to the API, and what in its path is told to fail

my @ways = (
    [ '/subscriptions/s1', '/subscriptions/s1' ],
    [ '/retention/p1', '/retentionpolicies/p1' ],
    [ '/filters/i1/calls/queue', '/eventbridge/i1' ]
);

my @rows = (
    [ '429 with seconds', 503,
        { status => 429, retry_after => 3600, code => 'too.many' },
        after => 3600 ],
    [ '429 with a date', 503,
        { status => 429, retry_date => 3600, code => 'too.many' },
        after => 3600 ],
    [ '429 that says so in its message', 503,
        { status => 429, code => 'too.many',
            message => 'Retry the request in [90] seconds' },
        after => 90 ],
    [ '429 that does not say when', 503,
        { status => 429, code => 'too.many', message => 'Slower.' },
        after => 60 ],
    [ '403', 502, { status => 403, code => 'missing.permissions' } ],
    [ '400', 422, { status => 400, code => 'bad.request' } ],
    [ '500', 502, { status => 500, code => 'internal' } ],
    [ '503 in HTML', 502, { status => 503, html => 1 } ],
    [ '502 without a body', 502, { status => 502, empty => 1 } ],
    [ '504', 504, { status => 504, code => 'late' } ],
    [ 'a reset', 502, { reset => 1 } ],
    [ 'no answer', 504, { hang => 1 } ]
);

$t->plan(7 * @ways * @rows)->run();
$g->client('client-1', 'the-client-secret');

for my $way (@ways) {
    my ($path, $api) = @$way;

    for my $row (@rows) {
        my ($what, $status, $rule, %expected) = @$row;

        my $name = "row 2.11: $path: $what";
        my $own = $rule->{hang} || $rule->{reset};

        $g->fail(GET => qr/\Q$api\E/, %$rule);

        my $r = get($port, $path);
        my $doc = $r->json();
        my $upstream = $doc->{upstream};

        is($r->status(), $status, "$name, status");
        is($r->header('Content-Type'), 'application/problem+json',
            "$name, a problem");
        is($doc->{status}, $status, "$name, status in the document");

        # a date is a fixed time, of which some is over

        my $after = $r->header('Retry-After') // 0;
        cmp_ok(abs($after - ($expected{after} // 0)), '<=',
            $rule->{retry_date} ? 30 : 0, "$name, Retry-After");

        is($upstream->{status}, $rule->{status} // 0,
            "$name, the API's status");

        if ($own) {
            ok($upstream->{message}, "$name, words for it");

        } else {
            is($upstream->{code}, $rule->{code}, "$name, the API's code");
        }

        ok($g->spent(), "$name, the API was asked");

        $g->release() if $rule->{hang};
    }
}

###############################################################################
