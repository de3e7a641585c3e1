#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Tests for the methods of eventbridge_auth that check a signature of the
# sender's own kind: Standard Webhooks, GitHub, and AWS Signature Version 4.

###############################################################################

use warnings;
use strict;

use Test::More;

use Digest::SHA qw/ hmac_sha256 hmac_sha256_hex sha256_hex /;
use FindBin;
use IO::Compress::Gzip qw/ gzip /;
use MIME::Base64 qw/ encode_base64 /;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;
use Test::EventBridge::SigV4 qw/ sigv4 sigv4_verify /;

###############################################################################

# at the level debug nginx logs request headers

my $t = Test::EventBridge->new(log_level => 'info', auth => 1);
my $dir = $t->testdir();
my $m = $t->mock('dest');

# keys of Standard Webhooks as bytes, those of others as text

my %key = map { $_ => "$_-" . join '', map { chr(33 + rand 90) } 1 .. 22 }
    qw/ old new else none /;
my %secret = (hub => "It's a Secret to Everybody " . random(12),
    other => random(20), aws => random(40), aws2 => random(40));

$t->secret(encode_base64($key{$_}, '')) for qw/ old new else /;
$t->secret($_) for values %secret;

my %ed = map { $_ => ed25519($_) } qw/ one two /;

$t->secret_file('whsec', "# keys of acme\nacme:" . whsec('old')
    . "\nacme:" . whsec('else') . "\n");
$t->secret_file('whpk', "signed:$ed{one}{public}\n");
$t->secret_file('both', "hash:" . whsec('old') . "\nsigned:$ed{one}{public}\n");
$t->secret_file('rotated', "r:" . whsec('old') . "\n");
$t->secret_file('hub', "hub:$secret{hub}\nfork:$secret{other}\n");
$t->secret_file('aws', "AKIDEXAMPLE:$secret{aws}\nAKIDOTHER:$secret{other}\n"
    . "AKIDEXAMPLE:$secret{aws2}\n");

$t->conf(<<'EOC');
    eventbridge_checkpoint_zone zone=z:1m path=%%TESTDIR%%/z.ckpt;
    eventbridge_audit_log %%TESTDIR%%/audit.jsonl flush=1ms;
    client_max_body_size 4m;
    client_body_buffer_size 16k;
    large_client_header_buffers 4 32k;

    server {
        listen 127.0.0.1:%%PORT_0%%;
        listen 127.0.0.1:%%PORT_h2%% http2;

        location = /hook {
            eventbridge_ingest;
            eventbridge_auth standard_webhooks %%TESTDIR%%/whsec;
            eventbridge_checkpoint z;
            eventbridge_route /to/paid type=^invoice[.]paid$;
            eventbridge_route /to/rest;
        }

        location = /signed {
            eventbridge_ingest;
            eventbridge_auth standard_webhooks %%TESTDIR%%/whpk;
            eventbridge_route /to/rest;
        }

        location = /both {
            eventbridge_ingest;
            eventbridge_auth standard_webhooks %%TESTDIR%%/both;
            eventbridge_route /to/rest;
        }

        location = /wide {
            eventbridge_ingest;
            eventbridge_auth standard_webhooks %%TESTDIR%%/whsec tolerance=1h;
            eventbridge_route /to/rest;
        }

        location = /rotate {
            eventbridge_ingest;
            eventbridge_auth standard_webhooks %%TESTDIR%%/rotated;
            eventbridge_route /to/rest;
        }

        location = /named {
            eventbridge_event id=$http_x_id type=$http_x_type;
            eventbridge_auth standard_webhooks %%TESTDIR%%/whsec;
            eventbridge_checkpoint z;
            eventbridge_route /to/paid type=^mine$;
            eventbridge_route /to/rest;
        }

        location = /hub {
            eventbridge_ingest;
            eventbridge_auth github %%TESTDIR%%/hub;
            eventbridge_checkpoint z no_id=reject;
            eventbridge_route_policy all;
            eventbridge_route /to/push type=^push$ source=^github$;
            eventbridge_route /to/rest;
        }

        location = /aws {
            eventbridge_ingest;
            eventbridge_auth sigv4 %%TESTDIR%%/aws;
            eventbridge_route /to/rest;
        }

        location /aws/path {
            eventbridge_ingest;
            eventbridge_auth sigv4 %%TESTDIR%%/aws;
            eventbridge_route /to/rest;
        }

        location = /two {
            eventbridge_ingest;
            eventbridge_auth github %%TESTDIR%%/hub;
            eventbridge_auth standard_webhooks %%TESTDIR%%/whsec;
            eventbridge_route /to/rest;
        }

        location = /explain {
            eventbridge_explain;
            eventbridge_auth off;
        }

        location = /metrics { eventbridge_metrics; }
        location = /pid { return 200 $pid; }

        location /to/ {
            internal;
            client_max_body_size 0;
            proxy_pass http://127.0.0.1:%%PORT_dest%%;
            proxy_set_header X-Sender $eventbridge_sender;
        }
    }
EOC

my $p = $t->port(0);
my $n = 0;
my $event = '{"events":[]}';
my $large = '{"events":[]' . ' ' x 300_000 . '}';

gzip(\$event, \my $packed) or die "gzip\n";

###############################################################################

# Standard Webhooks

my $id = 'msg_2KWPBgLlAfxdpx2AI54pPJ85f4W';
my $now = time;
my $mac = signed('old', $id, $now, $event);
my $bad = signed('none', $id, $now, $event);

my @hook = map { [ '/hook', @$_ ] } (
    [ 'signed', 200, hook() ],
    [ 'by the second secret', 200, hook(key => 'else') ],
    [ 'as Svix calls it', 200, hook(family => 'svix') ],
    [ 'another case of the headers', 200, hook(family => 'WEBHOOK') ],
    [ 'by a secret of nobody', 401, hook(key => 'none') ],
    [ 'the first of two', 200, hook(signature => "$mac $bad") ],
    [ 'the second of two', 200, hook(signature => "$bad $mac") ],
    [ 'the last of 16', 200, hook(signature => "$bad " x 15 . $mac) ],
    [ 'the 17th', 401, hook(signature => "$bad " x 16 . $mac) ],
    [ 'after other versions', 200,
        hook(signature => "v2,AAAA v1a,AAAA v1 v1, , v3, x $mac") ],
    [ 'many spaces', 200, hook(signature => "  $bad   $mac  ") ],
    [ 'two headers of signatures', 200,
        [ @{hook(signature => $bad)}, 'webhook-signature' => $mac ] ],
    [ 'another body', 401, hook(), body => '{"events":[ ]}' ],
    [ 'a longer body', 401, hook(), body => "$event " ],
    [ 'a truncated body', 401, hook(), body => substr $event, 0, -1 ],
    [ 'no body', 401, hook(), body => '' ],
    [ 'another id', 401, hook(id => 'msg_x', signature => $mac) ],
    [ 'a truncated id', 401, hook(id => substr($id, 0, -1),
        signature => $mac) ],
    [ 'another time', 401, hook(at => $now + 1, signature => $mac) ],
    [ 'a truncated signature', 401, hook(signature => substr $mac, 0, -5) ],
    [ 'a shorter signature', 401, hook(signature => substr $mac, 0, -2) ],
    [ 'a longer signature', 401, hook(signature => "v1,AAAA"
        . substr $mac, 3) ],
    [ 'no version', 401, hook(signature => substr $mac, 3) ],
    [ 'another version', 401, hook(signature => $mac =~ s/v1/v2/r) ],
    [ 'Ed25519 by name', 401, hook(signature => $mac =~ s/v1/v1a/r) ],
    [ 'hex', 401, hook(signature => 'v1,'
        . hmac_sha256_hex("$id.$now.$event", $key{old})) ],
    [ 'commas between', 401, hook(signature => "$bad,$mac") ],
    [ 'an empty signature', 401, hook(signature => '') ],
    [ 'a version only', 401, hook(signature => 'v1,') ],
    [ 'no signature', 401, hook(signature => undef) ],
    [ 'no id', 401, hook(id => undef, signature => $mac) ],
    [ 'an empty id', 401, hook(id => '') ],
    [ 'an id with a dot', 401, hook(id => 'a.b') ],
    [ 'an id with a space', 401, hook(id => 'a b') ],
    [ 'two ids', 401, [ @{hook()}, 'webhook-id' => $id ] ],
    [ 'no time', 401, hook(at => undef, signature => $mac) ],
    [ 'two times', 401, [ @{hook()}, 'webhook-timestamp' => $now ] ],
    [ 'headers of both families', 200, [ @{hook()}, 'svix-id' => 'x',
        'svix-timestamp' => 1, 'svix-signature' => 'v1,x' ] ],
    [ 'headers of both families, mixed', 401, [ 'webhook-id' => $id,
        'svix-timestamp' => $now, 'svix-signature' => $mac ] ],
    (map { [ "a time that is none: \"$_\"", 401, hook(at => $_) ] } '', 'x',
        "$now.5", "+$now", "-$now", "${now}s", '9' x 40, '0x10',
        '2026-01-01T00:00:00Z', ' '),
    [ '200 s ago', 200, hook(at => -200) ],
    [ '305 s ago', 401, hook(at => -305) ],
    [ 'in 295 s', 200, hook(at => +295) ],
    [ 'in 400 s', 401, hook(at => +400) ],
    [ 'a day ago', 401, hook(at => -86400) ],
    [ 'long ago', 401, hook(at => '0') ],
    [ 'in milliseconds', 401, hook(at => $now . '000') ],
    [ 'chunks', 200, hook(), body => undef, chunks => [ split //, $event ] ],
    [ 'a body in a file', 200, hook(body => $large), body => $large ],
    [ 'a body in a file, changed', 401, hook(body => $large),
        body => $large =~ s/ }/}/r ],
    [ 'chunks in a file', 200, hook(body => $large), body => undef,
        chunks => [ unpack '(a5000)*', $large ] ],
    [ 'gzip, the bytes as sent', 200, [ @{hook(body => $packed)},
        'Content-Encoding' => 'gzip' ], body => $packed ],
    [ 'gzip, the bytes as unpacked', 401, [ @{hook()},
        'Content-Encoding' => 'gzip' ], body => $packed ],
    [ 'no gzip, not signed', 401, [ @{hook()}, 'Content-Encoding' => 'gzip' ],
        body => 'x' ],
    [ 'no gzip, signed', 400, [ @{hook(body => 'x')},
        'Content-Encoding' => 'gzip' ], body => 'x' ],
    [ 'no JSON, not signed', 401, hook(), body => '{' ],
    [ 'no JSON, signed', 400, hook(body => '{'), body => '{' ],
    [ 'nothing', 401, [] ],
);

push @hook, (
    [ '/wide', '50 minutes ago', 200, hook(at => -3000) ],
    [ '/wide', 'in 50 minutes', 200, hook(at => +3000) ],
    [ '/wide', '61 minutes ago', 401, hook(at => -3660) ],
    [ '/wide', 'in 63 minutes', 401, hook(at => +3780) ],
);

# Ed25519

my $sig = signed_public('one', $id, $now, $event);
my $wrong = signed_public('two', $id, $now, $event);

push @hook, map { [ '/signed', @$_ ] } (
    [ 'signed', 200, hook(signature => $sig) ],
    [ 'by another key', 401, hook(signature => $wrong) ],
    [ 'the second of two', 200, hook(signature => "$wrong $sig") ],
    [ 'the 4th', 200, hook(signature => "$wrong " x 3 . $sig) ],
    [ 'the 5th', 401, hook(signature => "$wrong " x 4 . $sig) ],
    [ 'after an HMAC', 200, hook(signature => "$mac $sig") ],
    [ 'an HMAC with the public key', 401, hook(signature => 'v1,'
        . encode_base64(hmac_sha256("$id.$now.$event", $ed{one}{raw}), '')) ],
    [ 'another body', 401, hook(signature => $sig), body => "$event " ],
    [ 'another id', 401, hook(id => 'x', signature => $sig) ],
    [ 'another time', 401, hook(at => $now - 1, signature => $sig) ],
    [ 'too late', 401, hook(at => $now - 400,
        signature => signed_public('one', $id, $now - 400, $event)) ],
    [ 'truncated', 401, hook(signature => substr $sig, 0, -4) ],
    [ 'as an HMAC', 401, hook(signature => $sig =~ s/v1a/v1/r) ],
    [ 'a body in a file', 200, hook(signature =>
        signed_public('one', $id, $now, $large)), body => $large ],
);

push @hook, (
    [ '/both', 'an HMAC', 200, hook() ],
    [ '/both', 'Ed25519', 200, hook(signature => $sig) ],
    [ '/both', 'a wrong HMAC, a right Ed25519', 200,
        hook(signature => "$bad $sig") ],
    [ '/both', 'both wrong', 401, hook(signature => "$bad $wrong") ],
    [ '/both', 'nothing', 401, [] ],
);

###############################################################################

# GitHub

my $push = <<'EOF' =~ s/\n\s*//gr;
{"ref":"refs/heads/main",
 "before":"6113728f27ae82c7b1a177c8d03f9e96e0adf246",
 "after":"0d1a26e67d8f5eaf1f6ba5c57fc3c7d91ac0fd1c",
 "repository":{"id":186853002,"name":"Hello-World","private":false,
  "full_name":"Codertocat/Hello-World","owner":{"name":"Codertocat",
  "id":21031067},"description":null,"fork":false,"created_at":1557933565},
 "pusher":{"name":"Codertocat","email":"21031067+x@users.example.com"},
 "sender":{"login":"Codertocat","id":21031067,"type":"User"},
 "created":false,"deleted":false,"forced":false,"base_ref":null,
 "compare":"https://github.example.com/a/b/compare/6113728f27ae...0d1a26e67d8f",
 "commits":[{"id":"0d1a26e67d8f5eaf1f6ba5c57fc3c7d91ac0fd1c",
  "message":"Update \u00dcber README","added":[],"modified":["README.md"]}],
 "head_commit":null}
EOF

my $hub = 'sha256=' . hmac_sha256_hex($event, $secret{hub});
my @hub_cases = map { [ '/hub', @$_ ] } (
    [ 'signed', 200, hub($event) ],
    [ 'by the second secret', 200, hub($event, 'other') ],
    [ 'by another secret', 401, hub($event, 'aws') ],
    [ 'another body', 401, hub($event), body => "$event\n" ],
    [ 'truncated', 401, [ 'X-Hub-Signature-256' => substr $hub, 0, -1 ] ],
    [ 'no prefix', 401, [ 'X-Hub-Signature-256' => substr $hub, 7 ] ],
    [ 'SHA-1', 401, [ 'X-Hub-Signature' => 'sha1=' . 'a' x 40 ] ],
    [ 'an empty one', 401, [ 'X-Hub-Signature-256' => '' ] ],
    [ 'nothing', 401, [] ],
    [ 'chunks', 200, hub($event), body => undef,
        chunks => [ $event =~ /(.{1,5})/g ] ],
    [ 'a body in a file', 200, hub($large), body => $large ],
    [ 'gzip', 200, [ @{hub($packed)}, 'Content-Encoding' => 'gzip' ],
        body => $packed ],
    [ 'a form', 400, hub('payload=%7B%7D'), body => 'payload=%7B%7D' ],
);

push @hub_cases, (
    [ '/two', 'both methods', 200, [ @{hub($event)}, @{hook()} ] ],
    [ '/two', 'the first method', 401, hub($event) ],
    [ '/two', 'the second method', 401, hook() ],
);

###############################################################################

# Signature Version 4

my @target = ('X-Amz-Target' => 'AWSEvents.PutEvents',
    'Content-Type' => 'application/x-amz-json-1.1');
my $put = '{"Entries":[{"Source":"s","DetailType":"t","Detail":"{}"}]}';
my $hash = sha256_hex($event);

my @aws = map { [ '/aws', @$_ ] } (
    [ 'signed', 200, aws() ],
    [ 'by a second secret of the id', 200, aws(secret => $secret{aws2}) ],
    [ 'by another id', 200, aws(key_id => 'AKIDOTHER',
        secret => $secret{other}) ],
    [ 'by the secret of another id', 401, aws(secret => $secret{other}) ],
    [ 'by a secret of nobody', 401, aws(secret => 'x') ],
    [ 'by an unknown id', 401, aws(key_id => 'AKIDNOBODY') ],
    [ 'by a part of an id', 401, aws(key_id => 'AKIDEXAMPL') ],
    [ 'for another region', 200, aws(region => 'eu-central-1') ],
    [ 'for another service', 401, aws(service => 's3') ],
    [ 'for a longer service', 401, aws(service => 'events2') ],
    [ 'another body', 401, aws(), body => "$event " ],
    [ 'a truncated body', 401, aws(), body => substr $event, 1 ],
    [ 'with the hash of the body', 200,
        aws(headers => [ 'X-Amz-Content-Sha256' => $hash ]) ],
    [ 'with the hash of another body', 401,
        aws(headers => [ 'X-Amz-Content-Sha256' => sha256_hex('') ],
            hash => sha256_hex('')) ],
    [ 'another body and the old hash', 401,
        aws(headers => [ 'X-Amz-Content-Sha256' => $hash ]),
        body => "$event " ],
    [ 'the body is not signed', 401,
        aws(headers => [ 'X-Amz-Content-Sha256' => 'UNSIGNED-PAYLOAD' ],
            hash => 'UNSIGNED-PAYLOAD') ],
    [ 'the body is not signed, silently', 401,
        aws(hash => 'UNSIGNED-PAYLOAD') ],
    [ 'in pieces', 401, aws(headers => [ 'X-Amz-Content-Sha256' =>
        'STREAMING-AWS4-HMAC-SHA256-PAYLOAD' ],
        hash => 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD') ],
    [ 'a session', 200, aws(token => 'a+session/token==') ],
    [ 'a session that is not signed', 401,
        aws(unsigned => [ 'X-Amz-Security-Token' => 'x' ]) ],
    [ 'a target', 200, aws(headers => [ @target ], body => $put),
        body => $put ],
    [ 'a target that is not signed', 401, aws(unsigned => [ @target ]) ],
    [ 'another header that is not signed', 200,
        aws(unsigned => [ 'User-Agent' => 'x', 'X-Amzn-Trace-Id' => 'y' ]) ],
    [ 'another path', 401, aws(), path => '/aws/path' ],
    [ 'another query', 401, aws(), path => '/aws?a=b' ],
    [ 'a query', 200, aws(query => 'b=2&a=%20x&a'),
        path => '/aws?b=2&a=%20x&a' ],
    [ 'a query, in another order', 200, aws(query => 'b=2&a=1'),
        path => '/aws?a=1&b=2' ],
    [ 'another host', 401, [ Host => 'a', but('Host', aws()) ] ],
    [ 'of that host', 200, aws(host => 'a:80') ],
    [ '200 s ago', 200, aws(time => $now - 200) ],
    [ '305 s ago', 401, aws(time => $now - 305) ],
    [ 'in 295 s', 200, aws(time => $now + 295) ],
    [ 'in 400 s', 401, aws(time => $now + 400) ],
    [ 'a year ago', 401, aws(time => $now - 86400 * 365) ],
    [ 'several spaces in a header', 200, aws(headers =>
        [ 'X-A' => '  a   b  ', 'X-B' => '', 'X-A' => 'c' ]) ],
    [ 'no date', 401, [ but('X-Amz-Date', aws()) ] ],
    [ 'two dates', 401, [ @{aws()}, 'X-Amz-Date' => '20260101T000000Z' ] ],
    [ 'basic', 401, [ Authorization => 'Basic YTpi' ] ],
    [ 'nothing', 401, [] ],
    [ 'chunks', 200, aws(), body => undef, chunks => [ split //, $event ] ],
    [ 'a body in a file', 200, aws(body => $large), body => $large ],
    [ 'a body in a file, changed', 401, aws(body => $large),
        body => $large =~ s/ }/}/r ],
    [ 'gzip', 200, aws(body => $packed, headers =>
        [ 'Content-Encoding' => 'gzip' ]), body => $packed ],
    [ 'gzip, the bytes as unpacked', 401, aws(headers =>
        [ 'Content-Encoding' => 'gzip' ]), body => $packed ],
);

for my $path ('/aws/path/a%20b/%e2%82%ac', '/aws/path/x/../y//z/') {
    push @aws, [ '/aws/path', $path, 200, aws(path => $path), path => $path ];
}

push @aws, [ '/aws/path', 'another path below', 401,
    aws(path => '/aws/path/x'), path => '/aws/path/y' ];

# nginx -t

my @errors = (
    [ 'standard_webhooks', 'standard_webhooks', qr/a file is expected/ ],
    [ 'standard_webhooks whsec more', 'more' ],
    [ 'standard_webhooks whsec tolerance=', 'tolerance=', qr/1s to 1d/ ],
    [ 'standard_webhooks whsec tolerance=0', 'tolerance=0', qr/1s to 1d/ ],
    [ 'standard_webhooks whsec tolerance=2d', 'tolerance=2d', qr/1s to 1d/ ],
    [ 'standard_webhooks whsec tolerance=1s tolerance=2s', 'tolerance=2s',
        qr/twice/ ],
    [ 'standard_webhooks hub', 'hub',
        qr/neither "whsec_" nor "whpk_" in \S+\/hub:1 / ],
    [ 'standard_webhooks bad1', 'bad1',
        qr/"whsec_" is no base64 in \S+\/bad1:2 / ],
    [ 'standard_webhooks bad2', 'bad2',
        qr/"whsec_" is no base64 in \S+\/bad2:1 / ],
    [ 'standard_webhooks bad3', 'bad3',
        qr/"whpk_" is no base64 of 32 bytes in \S+\/bad3:1 / ],
    [ 'standard_webhooks bad4', 'bad4',
        qr/"whpk_" is no base64 of 32 bytes in \S+\/bad4:1 / ],
    [ 'github', 'github', qr/a file is expected/ ],
    [ 'github hub header=X', 'header=X' ],
    [ 'sigv4', 'sigv4', qr/a file is expected/ ],
    [ 'sigv4 aws tolerance=1s', 'tolerance=1s' ],
    [ 'sigv4 aws', 'sigv4', qr/exclude each other/, 'bearer aws' ],
    [ 'basic aws', 'basic', qr/exclude each other/, 'sigv4 aws' ],
);

$t->secret_file('bad1', 'a:' . whsec('old') . "\nb:whsec_~\n");
$t->secret_file('bad2', "b:whsec_\n");
$t->secret_file('bad3', 'b:whpk_' . encode_base64('x' x 31, '') . "\n");
$t->secret_file('bad4', 'b:whpk_' . encode_base64('x' x 33, '') . "\n");

# what no sender would send, to each method

my $scope = 'Credential=a/20260101/r/events/aws4_request';
my @fan = ('', ' ', ',', ';', '=', '/', ', ,', 'v1', 'v1,', 'v1,=', 'v1,====',
    'v1a,', 'sha256=', 'sha256==', "\xff\xfe", "\x01\x02", '%00', '%s%n%s%n',
    '"', '\\', '{}', '-1', '0', '18446744073709551616', 'v1,' . 'A' x 30_000,
    'v1a,' . 'A' x 30_000, 'v1,A ' x 6000, 'v1a,' . 'A' x 86 . ' ' x 20_000,
    'sha256=' . 'a' x 30_000, 'sha256=' . "\x80" x 64, 'AWS4-HMAC-SHA256',
    'AWS4-HMAC-SHA256 ', 'AWS4-HMAC-SHA256 ' . ',' x 30_000,
    'AWS4-HMAC-SHA256 Credential=' . 'a/' x 10_000,
    "AWS4-HMAC-SHA256 $scope, SignedHeaders=" . join(';', map {
        sprintf 'h%05d', $_ } 1 .. 3000) . ', Signature=' . 'a' x 64,
    "AWS4-HMAC-SHA256 $scope, SignedHeaders=host;x-amz-date, Signature="
        . 'a' x 64);

my @verified = (@hook, @hub_cases, @aws);

$t->plan(@verified * 2 + @errors * 3 + 94);

###############################################################################

# our own implementation of Signature Version 4, by what AWS has published

my @suite = (host => 'example.amazonaws.com', key_id => 'AKIDEXAMPLE',
    secret => 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', time => 1440938160,
    service => 'service');

for my $case (
    [ 'get-vanilla', '5fa00fa31553b73e', method => 'GET' ],
    [ 'get-slashes', '9a624bd73a37c9a3', method => 'GET',
        path => '//example//' ],
    [ 'get-utf8', '8318018e0b0f223a', method => 'GET',
        path => "/\xe1\x88\xb4" ],
    [ 'get-vanilla-query-order-key-case', 'b97d918cfa904a5b', method => 'GET',
        query => 'Param2=value2&Param1=value1' ],
    [ 'get-header-value-trim', 'acc3ed3afb60bb29', method => 'GET',
        headers => [ 'My-Header1' => ' value1',
            'My-Header2' => ' "a   b   c"' ] ],
    [ 'post-x-www-form-urlencoded', 'ff11897932ad3f4e', method => 'POST',
        body => 'Param1=value1', headers => [ 'Content-Type' =>
            'application/x-www-form-urlencoded' ] ])
{
    my ($name, $signature, %opt) = @$case;
    my $headers = sigv4(@suite, %opt);

    like($headers->[-1], qr/Signature=$signature/, "self-test: $name");
    is(sigv4_verify(@suite, %opt, headers => $headers), '',
        "self-test: $name, verified");
}

is(sigv4_verify(@suite, headers => sigv4(@suite, body => 'a'), body => 'b'),
    'signature', 'self-test: a wrong one');

###############################################################################

# what is right and what is wrong

$t->run();

for my $case (@verified) {
    my ($place, $name, $status, $headers, %opt) = @$case;

    my $path = delete $opt{path} // $place;
    my $body = exists $opt{body} ? delete $opt{body} : $event;
    my $r = post($p, $path, $body, %opt, headers => $headers);

    is($r->status(), $status, "$place: $name") or diag($r->text());

    if ($status == 401) {
        my $json = $r->json() // {};

        ok(grep({ ($_ // '') eq 'X-Amz-Target' } @$headers) ? $json->{__type}
            : ($json->{error} // '') eq 'unauthorized',
            "$place: $name, answer");

    } else {
        is($r->header('WWW-Authenticate'), undef,
            "$place: $name, no challenge");
    }
}

###############################################################################

# what clients of AWS are told

for my $case (
    [ 'nothing', 'MissingAuthenticationTokenException', [ @target ] ],
    [ 'malformed', 'IncompleteSignatureException',
        [ @target, Authorization => 'AWS4-HMAC-SHA256 x' ] ],
    [ 'wrong', 'InvalidSignatureException',
        aws(secret => 'x', headers => [ @target ]) ],
    [ 'expired', 'InvalidSignatureException',
        aws(time => $now - 1000, headers => [ @target ]) ],
    [ 'unknown', 'InvalidSignatureException',
        aws(key_id => 'x', headers => [ @target ]) ])
{
    my ($what, $type, $headers) = @$case;
    my $r = post($p, '/aws', $event, headers => $headers);

    is($r->status(), 401, "AWS: $what");
    is($r->json()->{__type}, $type, "AWS: $what, type");
    is($r->header('Content-Type'), 'application/x-amz-json-1.1',
        "AWS: $what, content type");
}

my $r = post($p, '/aws', $event);
is($r->header('WWW-Authenticate'), 'AWS4-HMAC-SHA256', 'AWS: challenge');
is($r->header('Content-Type'), 'application/json', 'no client of AWS');

# HTTP/2: the host is that of :authority

my $h = h2_client($t->port('h2'));

for my $case ([ 200, 'signed', aws() ],
    [ 401, 'another secret', aws(secret => 'x') ])
{
    my ($status, $name, $headers) = @$case;
    my @list = but('Host', $headers);

    $list[$_] = lc $list[$_] for grep { $_ % 2 == 0 } 0 .. $#list;

    my $sid = $h->request(path => '/aws', method => 'POST',
        headers => \@list, body => $event);
    is($h->response($sid)->status(), $status, "HTTP/2: $name");
}

$h->close();

###############################################################################

# the edges of the window, while they are there

for my $case ([ 200, -297 ], [ 401, -303 ], [ 200, 299 ], [ 401, 304 ]) {
    my ($status, $at) = @$case;

    is(post($p, '/hook', $event, headers => hook(at => $at))->status(),
        $status, "Standard Webhooks: $at s from now");
    is(post($p, '/aws', $event, headers => aws(time => time + $at))->status(),
        $status, "AWS: $at s from now");
}

# whose event it is, and what it is called: an envelope of Standard Webhooks

my $paid = '{"type":"invoice.paid","timestamp":"2026-03-19T22:04:48.130Z",'
    . '"data":{"id":"in_1","events":[1]}}';

$m->forget();
$r = post($p, '/hook', $paid, headers => hook(id => 'evt_1', body => $paid));
is($r->json()->{forwarded}, 1, 'Standard Webhooks: a body without an id');
is(($m->bodies('/to/paid'))[0], $paid, 'Standard Webhooks: routed by type');
is(($m->requests('/to/paid'))[0]->header('X-Sender'), 'acme',
    'Standard Webhooks: sender');

for my $case ([ 'sent again', at => $now + 5 ],
    [ 'sent again, by another secret', key => 'else' ],
    [ 'sent again, as Svix calls it', family => 'svix' ])
{
    my ($name, %opt) = @$case;

    is(post($p, '/hook', $paid, headers => hook(id => 'evt_1', body => $paid,
        %opt))->json()->{duplicates}, 1, "Standard Webhooks: $name");
}

is(post($p, '/hook', $paid, headers => hook(id => 'evt_2', body => $paid))
    ->json()->{forwarded}, 1, 'Standard Webhooks: another id');

for my $body ('{}', '{"type":5}', '"text"', '{"events":5}', '17',
    '{"type":null,"timestamp":7}', '{"id":"x"}')
{
    is(post($p, '/hook', $body, headers => hook(body => $body,
        id => 'any_' . ++$n))->json()->{forwarded}, 1,
        "Standard Webhooks: $body");
}

# known shapes keep their own id

my $bare = '{"id":"own-1","source":"s","type":"t"}';

is(post($p, '/hook', $bare, headers => hook(body => $bare, id => 'x1'))
    ->json()->{forwarded}, 1, 'an event with an id of its own');
is(post($p, '/hook', $bare, headers => hook(body => $bare, id => 'x2'))
    ->json()->{duplicates}, 1, 'an event with an id of its own, again');

# eventbridge_event says more

$m->forget();
is(post($p, '/named', $paid, headers => [ 'X-Id' => 'n1', 'X-Type' => 'mine',
    @{hook(body => $paid, id => 'evt_9')} ])->json()->{forwarded}, 1,
    'eventbridge_event beside it');
is($m->hits('/to/paid'), 1, 'eventbridge_event beside it, type');
is(post($p, '/named', $paid, headers => [ 'X-Id' => 'n1', 'X-Type' => 'mine',
    @{hook(body => $paid, id => 'evt_10')} ])->json()->{duplicates}, 1,
    'eventbridge_event beside it, id');

# GitHub

my @delivery = ('X-GitHub-Delivery' => '72d3162e-cc78-11e3-81ab-4c9367dc0958');
my @pushed = (@{hub($push)}, @delivery, 'X-GitHub-Event' => 'push');

$m->forget();
$r = post($p, '/hub', $push, headers => [ @pushed ]);
is($r->json()->{forwarded}, 1, 'GitHub: a push') or diag($r->text());
is(($m->bodies('/to/push'))[0], $push, 'GitHub: routed by type');
is(($m->requests('/to/push'))[0]->header('X-Sender'), 'hub',
    'GitHub: sender');

$r = post($p, '/hub', $push, headers => [ @pushed ]);
is($r->json()->{duplicates}, 1, 'GitHub: a redelivery is a duplicate');
is($m->hits('/to/push'), 1, 'GitHub: it was delivered once');

$r = post($p, '/hub', $push, headers => [ @{hub($push)},
    'X-GitHub-Delivery' => 'another', 'X-GitHub-Event' => 'issues' ]);
is($r->json()->{forwarded}, 1, 'GitHub: another delivery');
is($m->hits('/to/push'), 1, 'GitHub: of another type');
is($m->hits('/to/rest'), 2, 'GitHub: to a route for all types');

$r = post($p, '/hub', $push, headers => hub($push));
is($r->status(), 400, 'GitHub: no id');
is($r->json()->{events}[0]{reason}, 'no id', 'GitHub: no id, reason');

my $told = post($p, '/explain?location=/hub', $push, headers => [ @pushed ])
    ->json()->{events}[0];

is_deeply([ @{$told}{qw/ kind id source type /} ],
    [ 'body', $delivery[1], 'github', 'push' ], 'GitHub: explained');

my $line;

wait_for(sub {
    ($line) = grep { ($_->{eventId} // '') eq $delivery[1] }
        $t->audit_lines('audit.jsonl');
});

is_deeply([ @{$line}{qw/ source type sender action /} ],
    [ qw/ github push hub forwarded /], 'GitHub: audit log');

###############################################################################

# malformed headers

my @pids = sort $t->worker_pids();
my $c = client($p);
my @odd;

for my $value (@fan) {
    for my $case ([ '/hook', 'webhook-signature' => $value,
            'webhook-id' => $id, 'webhook-timestamp' => $now ],
        [ '/hook', 'webhook-signature' => $mac, 'webhook-id' => $id,
            'webhook-timestamp' => $value ],
        [ '/hook', 'webhook-signature' => $bad, 'webhook-id' => $value,
            'webhook-timestamp' => $now ],
        [ '/signed', 'svix-signature' => $value, 'svix-id' => $id,
            'svix-timestamp' => $now ],
        [ '/hub', 'X-Hub-Signature-256' => $value ],
        [ '/aws', Authorization => $value,
            'X-Amz-Date' => '20260101T000000Z' ],
        [ '/aws', 'X-Amz-Date' => $value, but('X-Amz-Date', aws()) ],
        [ '/aws', 'X-Amz-Content-Sha256' => $value, @{aws()} ])
    {
        my ($path, @headers) = @$case;
        my $status = post($c, $path, $event, headers => \@headers)->status();

        push @odd, "$path $status " . substr $value, 0, 50 if $status != 401;
    }
}

$c->close();

is(join("\n", @odd), '', 'malformed headers');
is(join(',', sort $t->worker_pids()), join(',', @pids), 'nobody died of them');

# the log: a line a second and worker

my %seen;

$seen{join ' ', /^(\S+ \S+) \[error\] (\d+)#/}++
    for $t->log() =~ /^(.*eventbridge: unauthorized.*)$/mg;

cmp_ok(scalar keys %seen, '>', 0, 'refusals are logged');
is(join(',', grep { $seen{$_} > 1 } keys %seen), '',
    'once a second in each worker');

for my $case ([ 'no', 'standard_webhooks', '/hook', [] ],
    [ 'repeated', 'standard_webhooks', '/hook',
        [ @{hook()}, 'webhook-id' => 'x' ] ],
    [ 'malformed', 'standard_webhooks', '/hook', hook(signature => 'x') ],
    [ 'expired', 'standard_webhooks', '/hook', hook(at => -1000) ],
    [ 'wrong', 'standard_webhooks', '/hook', hook(key => 'none') ],
    [ 'wrong', 'github', '/hub', [ 'X-Hub-Signature-256' => 'sha256='
        . 'a' x 64 ] ],
    [ 'expired', 'sigv4', '/aws', aws(time => $now - 1000) ],
    [ 'wrong', 'sigv4', '/aws', aws(secret => 'x') ])
{
    my ($what, $method, $path, $headers) = @$case;
    my $at = -s "$dir/error.log";

    ok(wait_for(sub {
        post($p, $path, $event, headers => $headers);
        return $t->log($at) =~ /unauthorized, $what credentials for "$method"/;
    }, 10), "$method, $what credentials, by the log");
}

cmp_ok($t->metric('eventbridge_unauthorized_total', location => '/aws'), '>',
    10, 'figures');

###############################################################################

# secrets are replaced without a reload

is(rotation('old'), 200, 'the old secret');
is(rotation('new'), 401, 'not yet the new one');

$t->secret_file('rotated', 'r:' . whsec('old') . "\nr:" . whsec('new') . "\n");
ok(in_all_workers('new', 200), 'the new one');

my %status;
$status{rotation($_)}++ for ('old', 'new') x 20;
is(join(',', keys %status), '200', 'both');

$t->secret_file('rotated', "r:$ed{one}{public}\nr:" . whsec('new') . "\n");
ok(in_all_workers('old', 401), 'the old one is gone');
is(rotation('new'), 200, 'the new one stays');
is(post($p, '/rotate', $event, headers => hook(signature => $sig))->status(),
    200, 'a public key beside it');

my $at = -s "$dir/error.log";

$t->secret_file('rotated', "r:whsec_~\n");
ok(wait_for(sub {
    rotation('new');
    return $t->log($at) =~ /rotated" cannot be used.*"whsec_" is no base64/;
}, 10), 'a bad file is logged');
is(rotation('new'), 200, 'a bad file, the secrets stay');
is(join(',', sort $t->worker_pids()), join(',', @pids), 'no reload');

###############################################################################

# nginx -t

for my $case (@errors) {
    my ($args, $value, $re, $before) = @$case;

    $before = $before ? "eventbridge_auth $before;" : '';

    my ($rc, $out) = $t->test_config(<<"EOC");
    server {
        listen 127.0.0.1:%%PORT_9%%;
        location = /in {
            eventbridge_ingest;
            $before
            eventbridge_auth $args;
        }
    }
EOC

    is($rc, 1, "-t: $args");
    like($out, qr/invalid value "\Q$value\E" of "eventbridge_auth"/,
        "-t: $args, value");
    like($out, $re // qr/invalid value/, "-t: $args, reason");
}

$t->stop();

###############################################################################

sub random { return join '', map { chr(97 + rand 26) } 1 .. $_[0] }

sub whsec { return 'whsec_' . encode_base64($key{$_[0]}, '') }

sub signed {
    my ($key, $msg, $at, $body) = @_;
    return 'v1,' . encode_base64(hmac_sha256("$msg.$at.$body", $key{$key}),
        '');
}

# Headers of a message; at: a time, or seconds from now.

sub hook {
    my (%opt) = @_;

    my $family = $opt{family} // 'webhook';
    my $msg = exists $opt{id} ? $opt{id} : $id;
    my $at = exists $opt{at} ? $opt{at} : exists $opt{signature} ? $now : time;

    $at += time if defined $at && $at =~ /^-?[1-9]\d{0,4}\z/;

    my $signature = exists $opt{signature} ? $opt{signature}
        : signed($opt{key} // 'old', $msg, $at, $opt{body} // $event);

    return [ "$family-id" => $msg, "$family-timestamp" => $at,
        "$family-signature" => $signature ];
}

sub hub {
    my ($body, $which) = @_;
    return [ 'X-Hub-Signature-256' => 'sha256='
        . hmac_sha256_hex($body, $secret{$which // 'hub'}) ];
}

sub aws {
    my (%opt) = @_;
    return sigv4(path => '/aws', key_id => 'AKIDEXAMPLE', body => $event,
        secret => $secret{aws}, %opt);
}

# a list of headers without those of a name

sub but {
    my ($name, $headers) = @_;
    return map { @$headers[$_, $_ + 1] }
        grep { $_ % 2 == 0 && $headers->[$_] ne $name } 0 .. $#$headers;
}

sub rotation {
    my ($which) = @_;
    return post($p, '/rotate', $event, headers => hook(key => $which))
        ->status();
}

# many times in a row: each worker has looked at the file

sub in_all_workers {
    my ($which, $status) = @_;
    my %pids;

    return wait_for(sub {
        my $c = client($p);
        my $pid = get($c, '/pid')->body();
        my $got = post($c, '/rotate', $event, headers => hook(key => $which))
            ->status();

        $c->close();
        $pids{$pid} = 1 if $got == $status;
        delete $pids{$pid} if $got != $status;

        return keys %pids == @pids;
    }, 20);
}

sub ed25519 {
    my ($name) = @_;
    my $file = "$dir/ed25519-$name.pem";

    system("openssl genpkey -algorithm ed25519 -out $file 2>/dev/null") == 0
        or die "openssl genpkey\n";

    my $raw = substr `openssl pkey -in $file -pubout -outform DER`, -32;

    return { file => $file, raw => $raw,
        public => 'whpk_' . encode_base64($raw, '') };
}

sub signed_public {
    my ($name, $msg, $at, $body) = @_;
    my $file = $t->write_file('to-sign', "$msg.$at.$body");

    my $out = `openssl pkeyutl -sign -rawin -inkey $ed{$name}{file} -in $file`;
    die "openssl pkeyutl\n" if length $out != 64;

    return 'v1a,' . encode_base64($out, '');
}

###############################################################################
