#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# What is not signed must not say what an event is, nor where a request goes:
# whoever has seen a signed request once could make others of it.

###############################################################################

use warnings;
use strict;

use Test::More;

use Digest::SHA qw/ hmac_sha256 hmac_sha256_hex /;
use FindBin;
use MIME::Base64 qw/ encode_base64 /;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;
use Test::EventBridge::SigV4 qw/ sigv4 /;

###############################################################################

my $t = Test::EventBridge->new(log_level => 'info', auth => 1)->plan(28);
my $m = $t->mock('dest');

my $key = 'twenty-four bytes of key';
my $hub = 'the secret of the hub, a long one';
my $aws = 'the secret access key, a long one too';

$t->secret(encode_base64($key, ''));
$t->secret($_) for $hub, $aws;

$t->secret_file('whsec', 'acme:whsec_' . encode_base64($key, '') . "\n");
$t->secret_file('hub', "hub:$hub\n");
$t->secret_file('aws', "AKIDEXAMPLE:$aws\n");

$t->conf(<<'EOC')->run();
    eventbridge_checkpoint_zone zone=z:1m path=%%TESTDIR%%/z.ckpt;

    server {
        listen 127.0.0.1:%%PORT_0%%;
        listen 127.0.0.1:%%PORT_h2%% http2;
        server_name one.example.com;

        location = /hook {
            eventbridge_ingest;
            eventbridge_auth standard_webhooks %%TESTDIR%%/whsec;
            eventbridge_checkpoint z;
            eventbridge_route /to/paid type=^invoice[.]paid$;
            eventbridge_route /to/rest;
        }

        location = /hub {
            eventbridge_ingest;
            eventbridge_auth github %%TESTDIR%%/hub;
            eventbridge_checkpoint z;
            eventbridge_route /to/rest;
        }

        location = /hmac {
            eventbridge_ingest;
            eventbridge_auth hmac %%TESTDIR%%/hub header=X-Signature;
            eventbridge_route /to/rest;
        }

        location = /aws {
            eventbridge_ingest;
            eventbridge_auth sigv4 %%TESTDIR%%/aws;
            eventbridge_route /to/rest;
        }

        location /to/ {
            internal;
            proxy_pass http://127.0.0.1:%%PORT_dest%%;
        }
    }

    server {
        listen 127.0.0.1:%%PORT_0%%;
        server_name two.example.com;

        location = /aws {
            eventbridge_ingest;
            eventbridge_auth sigv4 %%TESTDIR%%/aws;
            eventbridge_route /to/two;
        }

        location /to/ {
            internal;
            proxy_pass http://127.0.0.1:%%PORT_dest%%;
        }
    }
EOC

my $p = $t->port(0);
my $body = '{"n":1}';

# one of each that is required, and one of these alone makes it binary, too

my @ce = ('ce-specversion' => '1.0', 'ce-source' => '/anybody',
    'ce-type' => 'invoice.paid');

###############################################################################

# one message, sent again as others

my $now = time;
my @hook = ('webhook-id' => 'msg_1', 'webhook-timestamp' => $now,
    'webhook-signature' => 'v1,'
        . encode_base64(hmac_sha256("msg_1.$now.$body", $key), ''));

is(status('/hook', [ @hook ]), 200, 'webhook: as it is');
is($m->hits('/to/rest'), 1, 'webhook: delivered');
is(status('/hook', [ @hook ]), 200, 'webhook: again');
is($m->hits('/to/rest'), 1, 'webhook: known by its id');

is(status('/hook', [ @hook, @ce, 'ce-id' => $_ ]), 401,
    "webhook: attributes that are not signed, $_") for 1, 2;
is(status('/hook', [ @hook, 'ce-id' => 1 ]), 401, 'webhook: one of them');
is($m->hits('/to/paid'), 0, 'webhook: nothing made of it');

my @hub = ('X-Hub-Signature-256' => 'sha256=' . hmac_sha256_hex($body, $hub),
    'X-GitHub-Event' => 'push', 'X-GitHub-Delivery' => 'a');

is(status('/hub', [ @hub ]), 200, 'github: as it is');
is(status('/hub', [ @hub, @ce, 'ce-id' => 1 ]), 401,
    'github: attributes that are not signed');

# of hmac nobody expects more than the body

is(status('/hmac', [ 'X-Signature' => hmac_sha256_hex($body, $hub), @ce,
    'ce-id' => 1 ]), 200, 'hmac: headers are not signed');

# in AWS signatures they can be

$body = '{"events":[{"id":"1","source":"s","type":"t"}]}';

my %signed = (path => '/aws', body => $body, key_id => 'AKIDEXAMPLE',
    secret => $aws, host => 'one.example.com');

is(status('/aws', sigv4(%signed, headers => [ @ce, 'ce-id' => 1,
    'Content-Type' => 'application/json' ])), 200, 'sigv4: all are signed');
is(status('/aws', sigv4(%signed, unsigned => [ @ce, 'ce-id' => 1 ])), 401,
    'sigv4: none is signed');
is(status('/aws', sigv4(%signed, headers => [ @ce ],
    unsigned => [ 'ce-id' => 1 ])), 401, 'sigv4: one is not signed');
is(status('/aws', sigv4(%signed, headers => [ @ce, 'ce-id' => 1 ],
    unsigned => [ 'CE-Extra' => 1 ])), 401, 'sigv4: an extension is not');
is(status('/aws', sigv4(%signed, headers => [ @ce, 'ce-id' => 1 ],
    unsigned => [ 'Content-Type' => 'application/json' ])), 401,
    'sigv4: the type of the data is not');
is(status('/aws', sigv4(%signed,
    unsigned => [ 'Content-Type' => 'application/json' ])), 200,
    'sigv4: the type does not matter without them');

###############################################################################

# Host is signed, but a request line may name another one

$m->forget();

is(line("http://one.example.com/aws"), 200, 'sigv4: an absolute URI');
is(line("http://ONE.example.com:$p/aws", host => "one.example.com:$p"), 200,
    'sigv4: an absolute URI with a port');
is(line("http://two.example.com/aws"), 401,
    'sigv4: another host in the request line');
is(line("http://two.example.com/aws", host => ''), 400,
    'sigv4: no host but that in the request line');
is($m->hits('/to/two'), 0, 'sigv4: nothing for the other host');

is(line('http://one.example.com?x', path => '/', query => 'x'), 404,
    'sigv4: an absolute URI without a path');
is($m->hits('/to/rest'), 2, 'sigv4: those that are right');

$t->allow_error('error', qr/unauthorized/);

###############################################################################

# locations that take no events do not look at bodies, and nginx -t says so

for my $case ([ 'eventbridge_metrics', 'sigv4', 'aws', 1 ],
    [ 'eventbridge_test_pattern', 'sigv4', 'aws', 0 ],
    [ 'eventbridge_health', 'github', 'hub', 1 ],
    [ 'eventbridge_ingest', 'sigv4', 'aws', 0 ])
{
    my ($directive, $method, $file, $warned) = @$case;
    my ($rc, $out) = $t->test_config("server {
        listen 127.0.0.1:%%PORT_0%%;
        location = /x {
            $directive;
            eventbridge_auth $method %%TESTDIR%%/$file;
            " . ($directive =~ /ingest/ ? 'eventbridge_unrouted drop;' : '')
        . '} }');

    is($rc . ($out =~ /"eventbridge_auth $method" has no effect/ ? 1 : 0),
        "0$warned", "$method in a location with $directive");
}

###############################################################################

sub status {
    my ($uri, $headers) = @_;
    return post($p, $uri, $body, headers => $headers)->status();
}

sub line {
    my ($target, %opt) = @_;
    my @headers = @{sigv4(%signed, %opt)};
    my $text = '';

    while (my ($name, $value) = splice @headers, 0, 2) {
        $text .= "$name: $value\r\n";
    }

    return raw($p, "POST $target HTTP/1.1\r\n$text"
        . 'Content-Length: ' . length($body)
        . "\r\nConnection: close\r\n\r\n$body")->status();
}

###############################################################################
