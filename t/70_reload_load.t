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

use POSIX ();

use Test::EventBridge;
use Test::EventBridge::Util qw/ now scaled pause /;

###############################################################################

my $reloads = $ENV{EB_FULL} ? 200 : 20;
my $restarts = $ENV{EB_FULL} ? 50 : 6;
my $senders = 4;

my $t = Test::EventBridge->new(workers => 2, log_level => 'notice')->plan(42);

my $m = $t->mock(1);

my $port = $t->port(0);

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

    my $load = load($name);
    my $n = 0;

    for my $i (1 .. $reloads / 2) {
        progress($load, 5);
        $t->conf(configuration($shutdown, $i));
        $n++ if $t->reload();
    }

    is($n, $reloads / 2, "$name: $n reloads");
    is_deeply([ lost($load) ], [], "$name: every connection was taken");

    $n = 0;

    for my $i (1 .. $restarts / 2) {
        progress($load, 5);
        $t->stop();
        $n++ if $t->run();
    }

    is($n, $restarts / 2, "$name: $n restarts");
    progress($load, 5);

    check($name, end($load));

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

# Starts the senders.  Each keeps one connection as long as it is kept, and
# writes a line for each try.

sub load {
    my ($name) = @_;

    my $dir = $t->testdir();
    my @names = map { "$dir/sender-" . ($name =~ s/\W/-/gr) . "-$_" }
        1 .. $senders;
    my $go = "$names[0].go";
    my @pids;

    append_file($go, '');

    for my $n (1 .. $senders) {
        my $pid = fork() // die "fork(): $!\n";

        if ($pid == 0) {
            eval { sender($names[$n - 1], "$n-" . length $name, $go); 1 }
                or print STDERR "# sender: $@";
            POSIX::_exit($@ ? 1 : 0);
        }

        push @pids, $pid;
    }

    return { names => \@names, go => $go, pids => \@pids };
}

sub sender {
    my ($name, $prefix, $go) = @_;

    my ($c, $used, $batch, $try) = (undef, 0, 0, 0);

    open my $log, '>>:raw', $name or die "$name: $!\n";

    while (-e $go) {
        $batch++;

        my $source = $batch % 3 ? 'quick' : 'slow';
        my $events = 1 + $batch % 4;

        # the body of some is longer than its buffer, and comes in two pieces
        my $pad = $batch % 5 ? '' : 'x' x 20000;

        my $body = '{"events":[' . join(',', map { qq!{"id":"$prefix-$batch-$_"!
            . qq!,"source":"$source","data":{"pad":"$pad"}}! } 1 .. $events)
            . ']}';

        my $half = int(length($body) / 2);

        while (1) {
            $try++;

            if (!$c) {
                $c = client($port);
                $used = 0;
            }

            my $id = "$prefix-$try";
            my $r = $c->request(method => 'POST', path => '/v1/events',
                headers => { 'X-Try' => $id },
                pieces => [ substr($body, 0, $half), substr($body, $half) ],
                timeout => 30);

            my $kind = $r->status() == 0 ? 'none'
                : $r->error() ? 'cut' : 'whole';

            syswrite $log, "$id $kind " . $r->status() . " $events $used "
                . ($r->error() =~ s/\W+/_/gr || '-')
                . ($r->body() eq '' ? ' empty' : ' body') . "\n";

            $used++;

            if ($r->status() == 0 || $r->error()
                || ($r->header('Connection') // '') eq 'close')
            {
                $c->close();
                undef $c;
            }

            last if $r->status() == 200;

            # nobody listens: not as fast as can be
            pause(0.005) if $r->status() == 0;

            return if !-e $go;
        }

        syswrite $log, "acknowledged $prefix-$batch $events $source\n";
    }
}

# waits until every sender has had n more answers

sub progress {
    my ($load, $n) = @_;

    my @before = map { acknowledged($_) } @{$load->{names}};

    wait_for(sub {
        my @now = map { acknowledged($_) } @{$load->{names}};
        return !grep { $now[$_] < $before[$_] + $n } 0 .. $#now;
    }, 30) or diag('senders make no progress');
}

# tries on a new connection that no worker has read

sub lost {
    my ($load) = @_;

    my @tries = map { split /\n/, read_file($_) } @{$load->{names}};
    my %logged = map { (split)[0] => 1 }
        split /\n/, read_file($t->testdir() . '/tries.log');

    return grep { !$logged{(split)[0]} }
        grep { /^\S+ none 0 \d+ 0 (?!connect)/ } @tries;
}

sub acknowledged {
    my ($name) = @_;
    my $n = () = (read_file($name) // '') =~ /^acknowledged/mg;
    return $n;
}

sub end {
    my ($load) = @_;

    unlink $load->{go};

    my %left = map { $_ => 1 } @{$load->{pids}};
    my $bad = 0;

    wait_for(sub {
        for my $pid (keys %left) {
            next if waitpid($pid, POSIX::WNOHANG()) != $pid;
            $bad++ if $?;
            delete $left{$pid};
        }

        return !%left;
    }, 40);

    kill 'KILL', keys %left if %left;

    return { bad => $bad + keys %left,
        text => join '', map { read_file($_) } @{$load->{names}} };
}

my ($received, $refused);

sub check {
    my ($name, $result) = @_;
    my (%status, %logged, @cut, @none, @fresh, %tries, $acks, %want);

    is($result->{bad}, 0, "$name: senders ended by themselves");

    # a line is written after its answer

    my @whole = $result->{text} =~ /^(\S+) whole/mg;

    wait_for(sub {
        %logged = map { (split)[0] => $_ }
            split /\n/, read_file($t->testdir() . '/tries.log');
        return !grep { !$logged{$_} } @whole;
    });

    for (split /\n/, $result->{text}) {
        if (/^acknowledged (\S+) (\d+) (\S+)/) {
            $acks++;
            $want{"$1-$_"} = $3 for 1 .. $2;
            next;
        }

        my ($id, $kind, $status, $n, $used, $error, $body) = split;

        $tries{$id} = 1;
        $status{$status}++;

        if ($kind eq 'whole') {
            push @cut, "$id: answered, but not logged" if !$logged{$id};
            $received += $n if $status == 200 || $status == 503;

        } elsif ($kind eq 'cut' || $body eq 'body') {
            push @cut, "$id: $_";

        } elsif ($logged{$id}) {
            push @none, "$id: $error, but $logged{$id}";

        } else {
            push @fresh, $id if !$used && $error !~ /^connect/;
        }
    }

    cmp_ok($acks, '>', 100, "$name: there was load");
    is_deeply(\@cut, [], "$name: no answer is cut");
    is_deeply(\@none, [], "$name: what was read is answered");
    is_deeply([ grep { !/^(?:0|200)$/ } sort keys %status ], [],
        "$name: every answer is 200");

    # what was never read: the connection was in the queue of a listening
    # socket that was closed; only a stop does that

    cmp_ok(scalar @fresh, '<=', $senders * $restarts / 2,
        "$name: connections that nobody took");

    note("$name: $acks batches, statuses ", join ' ',
        map { "$_:$status{$_}" } sort keys %status);

    # each event at each of its destinations

    for my $dest ('/to/a', '/to/slow') {
        my %n;
        $n{$_}++ for $m->ids($dest);

        my @want = grep { $dest eq '/to/a' || $want{$_} eq 'slow' }
            sort keys %want;

        is_deeply([ grep { !$n{$_} } @want ], [],
            "$name: $dest has what was acknowledged");
        is_deeply([ grep { $n{$_} != 1 } sort keys %n ], [],
            "$name: $dest has it once");
    }

    # the figures are of all runs so far

    my %total;

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
