#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Reloads, and stops with new starts, while several senders post: no request
# that a worker has begun to read is cut, every event that was acknowledged is
# at its destination, and the figures are those of the destination.
#
# EB_FULL=1: ten times as many.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;
use Test::EventBridge::Load;

###############################################################################

my $reloads = $ENV{EB_FULL} ? 200 : 20;
my $restarts = $ENV{EB_FULL} ? 50 : 6;
my $senders = 4;

my $t = Test::EventBridge->new(workers => 2, log_level => 'notice')->plan(42);

my $m = $t->mock(1);

# the access log tells which tries a worker has read

sub configuration {
    my ($shutdown, $n) = @_;

    return <<"EOF2";
worker_shutdown_timeout $shutdown;

http {
    eventbridge_checkpoint_zone zone=z:16m path=%%TESTDIR%%/z.ckpt;
    eventbridge_stats_file %%TESTDIR%%/stats;

    log_format tries '\$http_x_try \$status \$eventbridge_received';

    upstream a { server 127.0.0.1:%%PORT_1%%; keepalive 8; }

    # generation $n

    server {
        listen 127.0.0.1:%%PORT_0%%;

        client_max_body_size 4m;
        client_body_buffer_size 4k;
        proxy_http_version 1.1;
        proxy_set_header Connection "";

        location = /v1/events {
            eventbridge_ingest;
            eventbridge_checkpoint z;
            eventbridge_route_policy all;
            eventbridge_route /to/a;
            eventbridge_route /to/slow source=^slow;
            eventbridge_audit_log %%TESTDIR%%/audit.jsonl;
            access_log %%TESTDIR%%/tries.log tries;
        }

        location ~ ^/to/ {
            internal;
            client_max_body_size 0;
            proxy_pass http://a;
        }

        location = /metrics { eventbridge_metrics; }
        location = /health { eventbridge_health; }
    }
}
EOF2
}

$m->set('/to/slow', delay => 30);

# 0: none; a worker that shuts down has no limit

for my $case ([ 'without worker_shutdown_timeout', '0' ],
    [ 'with worker_shutdown_timeout', '5s' ])
{
    my ($name, $shutdown) = @$case;

    $t->conf(configuration($shutdown, 0))->run();

    my $load = Test::EventBridge::Load->start($t, $name, pad => 20000,
        senders => $senders);
    my $n = 0;

    for my $i (1 .. $reloads / 2) {
        $load->progress(5);
        $t->conf(configuration($shutdown, $i));
        $n++ if $t->reload();
    }

    is($n, $reloads / 2, "$name: $n reloads");
    is_deeply([ lost($load) ], [], "$name: every connection was taken");

    $n = 0;

    for my $i (1 .. $restarts / 2) {
        $load->progress(5);
        $t->stop();
        $n++ if $t->run();
    }

    is($n, $restarts / 2, "$name: $n restarts");
    $load->progress(5);

    check($load->end());

    $t->stop();
}

is_deeply([ $t->log() =~ /^([^\n]*\[(?:alert|crit|emerg|error)\][^\n]*)$/mg ],
    [], 'nothing in the log');

# the audit log is complete, too: one line for each event of an answer

my @lines = $t->audit_lines('audit.jsonl');
my %settled;
$settled{$_->{eventId}}++ for grep { $_->{action} eq 'forwarded' } @lines;
my %seen = map { $_ => 1 } $m->ids('/to/a');

is(scalar(grep { !$settled{$_} } keys %seen), 0, 'audited: every event');
is(scalar(grep { $settled{$_} != 1 } keys %settled), 0, 'audited: once');
is(scalar(grep { !$seen{$_} } keys %settled), 0, 'audited: no other');

###############################################################################

# tries on a new connection that no worker has read

sub lost {
    my ($load) = @_;

    my @tries = $load->tries();
    my %logged = map { (split)[0] => 1 }
        split /\n/, read_file($t->testdir() . '/tries.log');

    return map { $_->{line} } grep { $_->{kind} eq 'none' && !$_->{used}
        && $_->{error} !~ /^connect/ && !$logged{$_->{id}} } @tries;
}

my $received;

sub check {
    my ($load) = @_;
    my (%logged, @cut, @none, @fresh);
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $name = $load->name();
    my @tries = $load->tries();

    $load->check($m);

    # a line is written after its answer

    wait_for(sub {
        %logged = map { (split)[0] => $_ }
            split /\n/, read_file($t->testdir() . '/tries.log');
        return !grep { $_->{kind} eq 'whole' && !$logged{$_->{id}} } @tries;
    });

    for my $try (@tries) {
        my ($id, $kind, $error) = @$try{qw/ id kind error /};

        if ($kind eq 'whole') {
            push @cut, "$id: answered, but not logged" if !$logged{$id};
            $received += $try->{events} if $try->{status} =~ /^(?:200|503)$/;

        } elsif ($kind eq 'cut' || $try->{body} eq 'body') {
            push @cut, "$id: $try->{line}";

        } elsif ($logged{$id}) {
            push @none, "$id: $error, but $logged{$id}";

        } else {
            push @fresh, $id if !$try->{used} && $error !~ /^connect/;
        }
    }

    is_deeply(\@cut, [], "$name: no answer is cut");
    is_deeply(\@none, [], "$name: what was read is answered");

    # what was never read: the connection was in the queue of a listening
    # socket that was closed; only a stop does that

    cmp_ok(scalar @fresh, '<=', $senders * $restarts / 2,
        "$name: connections that nobody took");

    # the figures are of all runs so far

    for my $dest ('/to/a', '/to/slow') {
        my $ids = () = $m->ids($dest);
        is($t->metric('eventbridge_destination_events_forwarded_total',
            destination => $dest), $ids, "$name: figure of $dest");
        is($t->metric('eventbridge_destination_requests_total',
            destination => $dest), $m->hits($dest),
            "$name: requests of $dest");
    }

    my $events = () = $m->ids('/to/a');

    is($t->metric('eventbridge_events_received_total'), $received,
        "$name: received");
    is($t->metric('eventbridge_events_processed_total'), $received,
        "$name: processed");
}

###############################################################################
