#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Dead letters of senders that say by a header what an event is called: when
# they are sent again, the event is called the same.

###############################################################################

use warnings;
use strict;

use Digest::SHA qw/ hmac_sha256_hex /;
use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;
use Test::EventBridge::Util qw/ read_file /;

###############################################################################

my $t = Test::EventBridge->new()->plan(8);
my $m = $t->mock(1);
my $port = $t->port(0);
my $dir = $t->testdir();
my $secret = join '', map { chr(97 + rand 26) } 1 .. 24;

$t->secret($secret);
$t->secret_file('hub', "hub:$secret\n");

$t->conf(<<'EOF2')->run();
    eventbridge_checkpoint_zone zone=z:1m path=%%TESTDIR%%/z.ckpt;

    server {
        listen 127.0.0.1:%%PORT_0%%;

        eventbridge_checkpoint z;
        eventbridge_dead_letter %%TESTDIR%%/dead.jsonl;

        location = /hub {
            eventbridge_ingest;
            eventbridge_auth github %%TESTDIR%%/hub;
            eventbridge_forward_as single;
            eventbridge_route /to/m type=^status$;
        }

        location = /replay { eventbridge_replay; }

        location = /to/m {
            internal;
            client_max_body_size 0;
            proxy_pass http://127.0.0.1:%%PORT_1%%;
        }
    }
EOF2

# an id of its own, which is that of a commit's status and not of the event

for my $body ('{"zen":"Design for failure."}',
    '{"id":214015194,"state":"success","name":"a/b"}')
{
    $m->forget();
    $m->set('/to/m', status => 400);

    my $r = post($port, '/hub', $body, headers => [
        'X-Hub-Signature-256' => 'sha256=' . hmac_sha256_hex($body, $secret),
        'X-GitHub-Delivery' => 'd-' . length $body,
        'X-GitHub-Event' => 'status' ]);
    is($r->json()->{dead}, 1, 'refused by the destination');

    $m->clear('/to/m');

    my ($line) = grep { /"eventId":"d-@{[ length $body ]}"/ }
        split /\n/, read_file("$dir/dead.jsonl");
    is(post($port, '/replay', "$line\n")->status(), 200, 'sent again');

    my @all = $m->requests('/to/m');
    is(join("\n", map { $_->body() } @all), "$body\n$body", 'the same event');
    is($all[1]->header('Idempotency-Key'), $all[0]->header('Idempotency-Key'),
        'of the same key');
}

###############################################################################
