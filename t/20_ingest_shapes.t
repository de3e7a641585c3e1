#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Tests for ingest: every shape of a body, in every way that a body can come
# in, forwarded in every form; the bytes of each event stay as they were.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();

use Test::EventBridge;

###############################################################################

my $t = Test::EventBridge->new();

my @forms = qw/ memory buffers file chunked gzip http2 /;
my @kinds = qw/ same events array single /;
my @shapes = qw/ events spaced siblings array one bare envelope wrapped
    wrapped_array mixed /;
my @files = grep { -f } $t->shared_data('events/*.json');

$t->plan(@forms * @kinds * @shapes * 3 + 13
    + (@files ? @files * 7 + 6 : 1));

my $m = $t->mock(1);

my $id = 'b61df0b3-9e33-444b-a455-1c92a33ef4e2-archival';

$t->conf(<<'EOF' =~ s/%%ID%%/$id/r)->run();
    eventbridge_checkpoint_zone zone=z:1m path=%%TESTDIR%%/z.ckpt;
    eventbridge_stats_file %%TESTDIR%%/stats;

    upstream mock {
        server 127.0.0.1:%%PORT_1%%;
        keepalive 32;
    }

    server {
        listen 127.0.0.1:%%PORT_0%%;
        listen 127.0.0.1:%%PORT_2%% http2;

        client_max_body_size 4m;
        client_body_buffer_size 64k;

        eventbridge_checkpoint z;

        location = /same {
            eventbridge_ingest;
            eventbridge_route /to/same;
        }

        location = /events {
            eventbridge_ingest;
            eventbridge_route /to/events;
            eventbridge_forward_as events;
        }

        location = /array {
            eventbridge_ingest;
            eventbridge_route /to/array;
            eventbridge_forward_as array;
        }

        location = /single {
            eventbridge_ingest;
            eventbridge_route /to/single;
            eventbridge_forward_as single;
        }

        location /file/ {
            client_body_buffer_size 1k;

            location = /file/same {
                eventbridge_ingest;
                eventbridge_route /to/same;
            }

            location = /file/events {
                eventbridge_ingest;
                eventbridge_route /to/events;
                eventbridge_forward_as events;
            }

            location = /file/array {
                eventbridge_ingest;
                eventbridge_route /to/array;
                eventbridge_forward_as array;
            }

            location = /file/single {
                eventbridge_ingest;
                eventbridge_route /to/single;
                eventbridge_forward_as single;
            }
        }

        location = /split {
            eventbridge_ingest;
            eventbridge_route /to/red metadata.color=red;
            eventbridge_route /to/blue metadata.color=blue;
        }

        location = /shared {
            eventbridge_ingest;
            eventbridge_checkpoint off;
            eventbridge_route /to/end type=^v2\.detail\..*\.end$
                              metadata.region=us-east-1;
            eventbridge_route /to/presence metadata.CorrelationId=%%ID%%;
            eventbridge_route /to/audits type=^v2\.audits\.
                              metadata.region=us-east-1;
            eventbridge_route /to/ecs source=^aws\.ecs$
                              type=^ECS metadata.account=111122223333;
            eventbridge_route /to/aws source=^aws\.;
        }

        location /to/ {
            internal;
            client_max_body_size 0;
            proxy_pass http://mock;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }

        location = /metrics { eventbridge_metrics; }
    }
EOF

###############################################################################

my ($seq, $h2, %taken);

for my $kind (@kinds) {
    for my $form (@forms) {
        for my $shape (@shapes) {
            check($kind, $form, $shape);
        }
    }
}

like($t->log(), qr/a client request body is buffered to a temporary file/,
    'bodies were in files');
like($t->log(), qr/eventbridge/, 'debug log of the module');

# what differs between events of one batch

my @e = map { event($_ % 3 ? 'red' : 'blue') } 0 .. 6;
my @red = grep { /"color":"red"/ } @e;
my @blue = grep { /"color":"blue"/ } @e;

my $r = post($t->port(0), '/split', '{"events":[' . join(',', @e) . ']}');
is($r->status(), 200, 'two destinations');
is($r->json()->{forwarded}, 7, 'two destinations, forwarded');
is((got('red'))[0], '{"events":[' . join(',', @red) . ']}',
    'the part of one destination');
is((got('blue'))[0], '{"events":[' . join(',', @blue) . ']}',
    'the part of the other');

@e = map { event($_ % 2 ? 'red' : 'blue') } 0 .. 3;
post($t->port(0), '/split', '[' . join(" ,\n ", @e) . ']');
is((got('red'))[0], "[$e[1],$e[3]]", 'part of an array');
is((got('blue'))[0], "[$e[0],$e[2]]", 'other part of an array');

# empty containers are no events

for my $body ('[]', '{"events":[]}', " [ \n] ", "{\"x\":1,\"events\":[ ]}") {
    $r = post($t->port(0), '/same', $body);
    is($r->text() =~ /^200 .*"received":0,/ ? 200 : $r->text(), 200,
        'empty batch');
}

is($m->hits('/to/same'), $taken{same}, 'an empty batch goes nowhere');

###############################################################################

# other people's events, alone and in containers

SKIP: {
    skip 'no shared data', 1 if !@files;

    my $json = JSON::PP->new()->utf8();
    my (@all, %expect);

    for my $file (@files) {
        my $text = read_file($file);
        my $e = $json->decode($text);
        my $name = $file =~ s{.*/}{}r;
        my $to = destination($e);

        $text =~ s/^\s+|\s+\z//g;

        push @all, $text;
        push @{$expect{$to}}, $text;

        for my $body ($text, "[$text]", "{\"events\":[$text]}") {
            $r = post($t->port(0), '/shared', $body);
            is($r->text() =~ /^200 .*"forwarded":1,/ ? 200 : $r->text(), 200,
                "$name forwarded");
            is((got($to))[-1], $body, "$name at $to");
        }

        $r = post($t->port(0), '/shared', $text, gzip => 1);
        is((got($to))[-1], $text, "$name, gzip");
    }

    $r = post($t->port(0), '/shared', '{"events":[' . join(',', @all) . ']}');
    is($r->json()->{forwarded}, scalar @all, 'all of them');

    for my $to (qw/ end presence audits ecs aws /) {
        is((got($to))[-1] // '', $expect{$to} ? '{"events":['
            . join(',', @{$expect{$to}}) . ']}' : '', "all of them, $to");
    }
}

$h2->close();

###############################################################################

# one shape, one way in, one form out

sub check {
    my ($kind, $form, $shape) = @_;
    my ($body, @events, $path, $r, @bodies, @expect, $port);

    ($body, @events) = make($shape);

    my $name = "$shape, $form, as $kind";
    $path = $form eq 'file' ? "/file/$kind" : "/$kind";
    $port = $t->port(0);

    my $half = length($body) >> 1;
    my @parts = (substr($body, 0, $half), substr($body, $half));

    if ($form eq 'memory' || $form eq 'file') {
        $r = post($port, $path, $body);

    } elsif ($form eq 'buffers') {
        my $from = -s $t->testdir() . '/error.log';

        # the first half comes with the headers, the second one in a buffer of
        # its own

        $r = post($port, $path, undef, pieces => [ $parts[0], sub {
            $t->wait_log(qr/http client request body preread \d/, 2, $from)
        }, $parts[1] ]);

    } elsif ($form eq 'chunked') {
        $r = post($port, $path, undef, chunks => [ $body =~ /(.{1,700})/sg ]);

    } elsif ($form eq 'gzip') {
        $r = post($port, $path, $body, gzip => 1);

    } else {
        $h2 //= h2_client($t->port(2));
        $r = $h2->response($h2->request(path => $path, method => 'POST',
            frames => \@parts));
    }

    my $n = @events;

    is($r->status(), 200, $name) or diag $r->text();
    is($r->body() =~ /"received":$n,"forwarded":$n,/ ? $n : $r->body(), $n,
        "$name, forwarded");

    @bodies = got($kind);

    my $inside = join ',', @events;
    my $in = $body =~ /^\s*\[/ ? 'array'
        : $body =~ /^\s*\{[^{]*"events"/ || $shape eq 'siblings' ? 'events'
        : 'single';
    my $out = $kind eq 'same' ? $in : $kind;

    if ($out eq 'single') {
        # several requests are under way at once: their order is open
        @bodies = sort @bodies;
        @expect = sort @events;

    } else {
        @expect = ($out eq 'array' ? "[$inside]" : "{\"events\":[$inside]}");

        # white space around events may stay
        @bodies = map { squeeze($_, @events) } @bodies;
    }

    ok(join("\n", @bodies) eq join("\n", @expect), "$name, bytes")
        or diag(map { "$_\n" =~ s/(x|y)\1{9,}/$1*/gr } 'got:', @bodies,
        'expected:', @expect);
}

# takes the white space outside of these events out of a body

sub squeeze {
    my ($body, @e) = @_;
    my $text = '';

    for my $e (@e) {
        my $at = index $body, $e;
        return "$body (lacks $e)" if $at < 0;

        $text .= (substr($body, 0, $at) =~ s/\s+//gr) . $e;
        $body = substr($body, $at + length $e);
    }

    return $text . ($body =~ s/\s+//gr);
}

# what the mock got for a destination since the last time

sub got {
    my ($to) = @_;
    my @bodies = map { $_->body() } $m->take("/to/$to");

    $taken{$to} += @bodies;

    return @bodies;
}

sub event {
    my ($color) = @_;
    my $n = ++$seq;

    # escapes, numbers that no double holds, spaces, duplicate names: all of
    # it must come out as it went in

    return "{\"id\": \"id-$n\" ,\"source\":\"conversation:voice\", \"n\" :"
        . "[1e400,-0.0,12345678901234567890123456789],\"s\":\"\\u00e9\\/"
        . "\xc3\xa9\\ud800\",\n\t\"metadata\":{\"color\":\"$color\","
        . "\"color\":\"$color\"},\"data\":{\"pad\":\"" . 'x' x 500 . "\"}}";
}

sub envelope {
    my $n = ++$seq;

    return "{\"version\":\"0\",\"id\":\"id-$n\",\"detail-type\":"
        . "\"v2.detail.events.conversation.{id}.customer.end\",\"source\":"
        . "\"aws.partner/genesys.com/cloud/1/bus\",\"account\":\"1\","
        . "\"time\":\"2026-03-19T22:04:48Z\",\"region\":\"us-east-1\","
        . "\"resources\":[],\"detail\":{\"topicName\":\"v2.x\",\"version\":"
        . "\"2\",\"eventBody\":{\"eventTime\":1649237504949,\"p\":\""
        . 'y' x 900 . "\"},\"metadata\":{\"CorrelationId\":\"c\"}}}";
}

sub wrapped {
    my $n = ++$seq;

    return '{"Data": ' . envelope() . ",\"Metadata\":{\"a\":\"b\"},"
        . "\"SystemMetadata\":{\"aws:EventId\":\"w-$n\"}}";
}

# the body of a shape, and the events in it

sub make {
    my ($shape) = @_;
    my @e;

    if ($shape eq 'events') {
        @e = map { event('red') } 1 .. 3;
        return ('{"events":[' . join(',', @e) . ']}', @e);
    }

    if ($shape eq 'spaced') {
        @e = map { event('red') } 1 .. 3;
        return ("\r\n{ \"events\" : [\n" . join(" ,\t", @e) . "\n] }\n ", @e);
    }

    if ($shape eq 'siblings') {
        @e = map { event('red') } 1 .. 3;
        return ('{"a":{"events":[1]},"events":[' . join(',', @e)
            . '],"z":[{"id":"no","source":"no"}]}', @e);
    }

    if ($shape eq 'array') {
        @e = map { event('red') } 1 .. 3;
        return ('[' . join(',', @e) . ']', @e);
    }

    if ($shape eq 'one') {
        @e = event('red') . '';
        return ("{\"events\":[$e[0]]}", @e);
    }

    if ($shape eq 'bare') {
        @e = (event('red') =~ s/x{500}/'x' x 2000/er);
        return ($e[0], @e);
    }

    if ($shape eq 'envelope') {
        @e = envelope();
        return ($e[0], @e);
    }

    if ($shape eq 'wrapped') {
        @e = wrapped();
        return ($e[0], @e);
    }

    if ($shape eq 'wrapped_array') {
        @e = map { wrapped() } 1 .. 3;
        return ('[' . join(',', @e) . ']', @e);
    }

    @e = (event('red'), envelope(), wrapped(), "{\"x\":[]}");
    return ('[' . join(',', @e) . ']', @e);
}

# where the routes of /shared send an event, worked out another way

sub destination {
    my ($e) = @_;
    my $type = $e->{'detail-type'};
    my $meta = ref $e->{detail} eq 'HASH' && $e->{detail}{metadata} || {};

    return 'end' if $type =~ /^v2\.detail\..*\.end$/
        && $e->{region} eq 'us-east-1';
    return 'presence' if ($meta->{CorrelationId} // '') eq $id;
    return 'audits' if $type =~ /^v2\.audits\./ && $e->{region} eq 'us-east-1';
    return 'ecs' if $e->{source} eq 'aws.ecs' && $type =~ /^ECS/
        && $e->{account} eq '111122223333';
    return 'aws';
}

###############################################################################
