#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# The route condition lifecycle=NAME:STATE: events go where their interaction
# stands.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();

use Test::EventBridge;
use Test::EventBridge::Lifecycle qw/ plain steps detail /;

###############################################################################

my $t = Test::EventBridge->new(workers => 2, log_level => 'debug')->plan(25);

my $m = $t->mock(1);
my $port = $t->port(0);
my $json = JSON::PP->new()->utf8()->canonical();

my $many = join "\n", map { "            eventbridge_route /closed "
    . "lifecycle=calls:closed metadata.kind=n$_ name=m$_;" } 1 .. 40;

$t->conf(<<'EOT' =~ s/%%MANY%%/$many/r)->run();
http {
    eventbridge_stats_file %%TESTDIR%%/stats;

    server {
        listen 127.0.0.1:%%PORT_0%%;

        location = /in {
            eventbridge_ingest;
            eventbridge_route lifecycle:calls;
        }

        location = /events {
            eventbridge_ingest;
            eventbridge_route /connected name=connected
                lifecycle=calls:connected;
            eventbridge_route /closed name=closed type=^v2|^t$
                metadata.kind=x lifecycle=calls:closed;
            eventbridge_route /waiting lifecycle=calls:queued
                name=queued;
            eventbridge_unrouted /other;
        }

        # more conditions than are tested one by one, and each destination
        location = /many {
            eventbridge_ingest;
            eventbridge_route_policy all;
%%MANY%%
            eventbridge_route /connected lifecycle=calls:connected
                metadata.kind=x name=a;
            eventbridge_route /waiting lifecycle=calls:queued
                metadata.kind=x name=b;
            eventbridge_route /other name=c;
        }

        location = /explain { eventbridge_explain; }
        location = /metrics { eventbridge_metrics; }
        location /calls { eventbridge_lifecycle_status calls; }

        location ~ ^/(connected|closed|waiting|other)$ {
            internal;
            proxy_pass http://127.0.0.1:%%PORT_1%%;
        }
    }

    eventbridge_lifecycle calls {
        state %%TESTDIR%%/calls;
        window 0;
        interactions 1000;
    }
}
EOT

my $at = (int(time / 1000) * 1000 - 5000) * 1000;

sub in { return post($port, '/in', $json->encode({ events => \@_ })) }

sub stands {
    my ($i, $state) = @_;
    return wait_for(sub { ((get($port, "/calls/$i")->json() // {})->{state}
        // '') eq $state }, 10);
}

# where an event has gone

sub goes {
    my ($event, $path) = @_;

    my $body = $json->encode(ref $event eq 'ARRAY' ? $event : exists
        $event->{detail} ? $event : { events => [ $event ] });

    $m->forget();
    my $r = post($port, $path // '/events', $body);

    return $r->status() . ': ' . join ' ', sort map { $_->path() }
        $m->requests();
}

my $n = 0;

sub event {
    my ($i, %more) = @_;
    return { id => 'x' . ++$n, source => 's', type => 't',
        interactionId => $i, %more };
}

in(steps('i1', $at, qw/ queued ringing connected /));
in(steps('i2', $at, qw/ queued /));
in(steps('i3', $at, qw/ queued ringing connected wrapping closed /));
ok(stands(i1 => 'connected'), 'one is connected');
ok(stands(i2 => 'queued'), 'one is queued');
ok(stands(i3 => 'closed'), 'one is closed');

is(goes(event('i1')), '200: /connected', 'connected');
is(goes(event('i2')), '200: /waiting', 'queued');
is(goes(event('i3', metadata => { kind => 'x' })), '200: /closed',
    'closed, and all other conditions hold');
is(goes(event('i3', metadata => { kind => 'y' })), '200: /other',
    'closed, and another condition does not hold');
is(goes(event('i4')), '200: /other', 'an interaction that is not known');
is(goes({ id => 'x', source => 's', type => 't' }), '200: /other',
    'an event without an interaction');
is(goes({ id => 'y', source => 's', type => 't',
    data => { interactionId => 'i1' } }), '200: /connected',
    'an interaction in the data of an event');

# envelopes: by the conversation, whatever they tell of

is(goes(detail('i1', 'attributes', $at)), '200: /connected',
    'a detail event');
is(goes(detail('v2.conversations.i1.transcription',
    'v2.conversations.i1.transcription', $at, conversationId => 'i1')),
    '200: /connected', 'a transcription');
is(goes(detail('v2.conversations.i2.transcription',
    'v2.conversations.i2.transcription', $at, conversationId => undef)),
    '200: /waiting', 'a conversation that only the topic tells');
is(goes(detail('v2.users.U1.presence', 'v2.users.U1.presence', $at,
    conversationId => undef)), '200: /other', 'a topic without one');
is(goes([ detail('i1', 'attributes', $at), detail('i2', 'contact', $at),
    detail('i9', 'contact', $at) ]), '200: /connected /other /waiting',
    'each event of a batch');

# it is where it stands when the event comes

in(plain('i2', 'queued', 'ringing', $at + 1000),
    plain('i2', 'ringing', 'connected', $at + 2000));
ok(stands(i2 => 'connected'), 'it changes');
is(goes(event('i2')), '200: /connected', 'and so does the route');

# with policy all, and an index over metadata

is(goes(event('i1', metadata => { kind => 'x' }), '/many'),
    '200: /connected /other', 'policy all');
is(goes(event('i1', metadata => { kind => 'n7' }), '/many'),
    '200: /other', 'policy all: another state');
is(goes(event('i3', metadata => { kind => 'n7' }), '/many'),
    '200: /closed /other', 'policy all: this state');

# explain

my $r = post($port, '/explain?location=/events', $json->encode({
    events => [ event('i1'), event('i3'), event('i8') ] }));
is($r->status(), 200, 'explain') or diag($r->text());

my @routes = map { { map { $_->{route} => $_ } @{$_->{routes}} } }
    @{$r->json()->{events}};

ok($routes[0]{connected}{matched}, 'explain: it matches');
is($routes[0]{queued}{condition}, 'lifecycle', 'explain: it does not');
is($routes[0]{queued}{reason}, 'lifecycle calls: expected queued, got '
    . 'connected', 'explain: why');
is($routes[2]{connected}{reason}, 'lifecycle calls: expected connected, '
    . 'got nothing', 'explain: not known');

###############################################################################
