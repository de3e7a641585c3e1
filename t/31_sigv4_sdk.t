#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Requests that the AWS SDK has signed, the package @aws-sdk/client-eventbridge
# of npm, and what it makes of refusals.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use JSON::PP ();
use lib "$FindBin::Bin/lib";

use Test::EventBridge;
use Test::EventBridge::SDK qw/ aws_sdk /;

###############################################################################

my $t = Test::EventBridge->new(log_level => 'info', auth => 1);
my $script = $t->root() . '/t/npm/sigv4.js';
my $secret = aws_sdk($t);

$t->conf(<<'EOC');
    client_max_body_size 4m;

    server {
        listen 127.0.0.1:%%PORT_0%%;

        location /v1/events {
            eventbridge_ingest;
            eventbridge_auth sigv4 %%TESTDIR%%/aws;
            eventbridge_route /to/a;
        }

        location /test {
            eventbridge_test_pattern;
            eventbridge_auth sigv4 %%TESTDIR%%/aws;
        }

        location /to/ {
            internal;
            client_max_body_size 0;
            proxy_pass http://127.0.0.1:%%PORT_dest%%;
        }
    }
EOC

$t->mock('dest');

my $good = qr/^ok$/;
my $bad = qr/^InvalidSignatureException 401 1$/;

my @cases = (
    [ 'signed', $good ],
    [ 'another region', $good, region => 'eu-central-1' ],
    [ 'a session', $good, token => 'IQoJb3JpZ2luX2Vj+/==' ],
    [ 'a path with escapes', $good, path => '/v1/events/a%20b' ],
    [ 'another secret', $bad, secret => 'x' x 40 ],
    [ 'another key id', $bad, key_id => 'AKIDOTHER' ],
    [ 'another body', $bad, change => [ 'order', 'other' ] ],
    [ 'a longer body', $bad, change => [ '}]', '} ]' ] ],
    [ '4 minutes late', $good, skew => -240 ],
    [ '4 minutes early', $good, skew => 240 ],
    [ 'an hour late', $bad, skew => -3600 ],
    [ 'an hour early', $bad, skew => 3600 ],
    [ 'an hour late, tried again with our time', $good, skew => -3600,
        attempts => 2 ],
    [ 'an hour early, tried again with our time', $good, skew => 3600,
        attempts => 2 ],
);

# the other operation

my %event = (id => '1', 'detail-type' => 'order', source => 'app',
    account => '123456789012', time => '2026-11-21T10:00:00Z',
    region => 'eu-west-1', resources => [], detail => { n => 5 });
my @test = (path => '/test',
    event => JSON::PP->new()->canonical()->encode(\%event));

push @cases,
    [ 'TestEventPattern, a match', qr/^true$/, @test,
        pattern => '{"source":["app"],"detail":{"n":[{"numeric":[">",4]}]}}' ],
    [ 'TestEventPattern, none', qr/^false$/, @test,
        pattern => '{"source":["other"]}' ],
    [ 'TestEventPattern, an invalid pattern',
        qr/^InvalidEventPatternException 400 1$/, @test,
        pattern => '{"source":"app"}' ],
    [ 'TestEventPattern, another secret', $bad, @test, secret => 'x' x 40,
        pattern => '{"source":["app"]}' ],
    [ 'TestEventPattern, another body', $bad, @test,
        change => [ 'order', 'other' ], pattern => '{"source":["app"]}' ];

$t->plan(@cases + 2);
$t->run();

###############################################################################

my $file = $t->write_file('calls', join '', map {
    my ($name, $re, %opt) = @$_;
    JSON::PP->new()->encode({ port => $t->port(0) + 0, path => '/v1/events',
        key_id => 'AKIDEXAMPLE', secret => $secret, %opt }) . "\n" } @cases);

my @got = `node --no-warnings '$script' < '$file'`;

is($?, 0, 'the SDK has run');
is(scalar @got, scalar @cases, 'all calls were made');

for my $i (0 .. $#cases) {
    chomp(my $answer = $got[$i] // '');
    like($answer, $cases[$i][1], $cases[$i][0]);
}

$t->stop();

###############################################################################
