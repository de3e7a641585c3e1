#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# SIGKILL at random moments, while lifecycles are polled and pushed, and the
# bus fails now and then: nothing is missing, and what comes twice was on its
# way.  EB_FULL=1: 200 kills of each kind, 50000 events; EB_SEED.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::INET;
use JSON::PP ();
use POSIX qw/ WNOHANG /;

use Test::EventBridge;
use Test::EventBridge::Lifecycle qw/ plain /;
use Test::EventBridge::Util qw/ fork_each scaled now /;

###############################################################################

my $full = $ENV{EB_FULL};
my $kills = $full ? 200 : 10;
my $seed = $ENV{EB_SEED} // int rand 1_000_000;

my $t = Test::EventBridge->new(workers => 4, log_level => 'info')->plan(21);

diag("EB_SEED=$seed");
srand $seed;

my $api = Test::EventBridge::Lifecycle->add($t, 1);
my $bus = Test::EventBridge::Lifecycle->add($t, 2);
my $port = $t->port(0);

$t->write_file('secret', "the-client-secret\n", 0640);
$t->secret('the-client-secret', ok_in => qr/mock-\d+\.jsonl|secret$/);

$t->conf(<<'EOT');
http {
    eventbridge_stats_file %%TESTDIR%%/stats;

    eventbridge_genesys org {
        api_url http://127.0.0.1:%%PORT_1%%;
        login_url http://127.0.0.1:%%PORT_1%%;
        client_id client-1;
        client_secret_file %%TESTDIR%%/secret;
        breaker_failures 0;
    }

    eventbridge_lifecycle polled {
        genesys org;
        interval 100ms;
        overlap 200ms;
        state %%TESTDIR%%/polled;
        window 20ms;
        interactions 20000;
        bus http://127.0.0.1:%%PORT_2%%/bus;
    }

    eventbridge_lifecycle pushed {
        state %%TESTDIR%%/pushed;
        window 20ms;
        interactions 200000;
        bus http://127.0.0.1:%%PORT_2%%/bus;
    }

    server {
        listen 127.0.0.1:%%PORT_0%%;
        location /polled { eventbridge_lifecycle_status polled; }
        location /pushed { eventbridge_lifecycle_status pushed; }
        location = /in {
            eventbridge_ingest;
            eventbridge_route lifecycle:pushed;
        }
    }
}
EOT

$t->allow_error('error', qr/bus of lifecycle "p\w+" took none of/,
    maybe => 1);
$t->allow_error('error', qr/lifecycle "polled" could not poll/, maybe => 1);

$api->client('client-1', 'the-client-secret');
$bus->bus(calls => 0.05, entries => 0.05, quick => 1, seed => $seed);

# the connections of the bus that each life of nginx has had: the last number

my @lives;

sub life { push @lives, $bus->stats()->{connections} }

sub figures { return get($port, "/$_[0]")->json() // {} }

sub settled {
    my ($name) = @_;

    return wait_for(sub {
        my $f = figures($name);
        return $f->{ready} && !$f->{held} && !$f->{unpublished} ? $f : 0;
    }, 120);
}

# What the bus has heard of the interactions of a name: missing ones, other
# ids for the same, out of order at first, twice in one life; and how many of
# them came again after a kill at most, and in all.

sub heard {
    my ($re, $n) = @_;
    my (%id, %last, %life, %stage, %again, %bad);

    $bad{$_} = 0 for qw/ missing ids order twice /;

    for my $e ($bus->brief()) {
        my ($conn, $i, $id, $stage) = @$e;

        next if $i !~ $re;

        my $life = 0;
        $life++ while $life < @lives && $lives[$life] < $conn;

        if (!defined $id{"$i $stage"}) {
            $bad{order}++ if $stage != ++$stage{$i};
            $id{"$i $stage"} = $id;

        } else {
            $bad{ids}++ if $id{"$i $stage"} ne $id;

            # it was on its way when that life ended
            $again{$last{$id}}++ if defined $last{$id};
        }

        $last{$id} = $life;

        $bad{twice}++ if $life{"$id $life"}++;
    }

    $bad{missing} = $n - keys %id;

    my ($most, $all) = (0, 0);

    for my $again (values %again) {
        $most = $again if $again > $most;
        $all += $again;
    }

    return (\%bad, $most, $all);
}

my %none = map { $_ => 0 } qw/ missing ids order twice /;

# eight calls of up to 100 are under way at a time, those included whose end
# is not on the disk yet
my $limit = 800;

###############################################################################

# polled

my $interactions = $full ? 10_000 : 2_000;
my $events = 5 * $interactions;

$api->fill(f => $interactions, 1_000_000, 1);
$t->run();

for my $n (1 .. $kills) {
    my $target = rand() < 0.2 ? 0
        : $bus->count() + 1 + int rand(2 * $events / $kills);

    wait_for(sub { $bus->count() >= $target }, 3);
    $t->kill_all();
    life();
    $t->run();
}

ok(wait_for(sub { figures('polled')->{ready} }, 20),
    "polled: nginx runs after $kills kills");
cmp_ok($bus->count(), '>', $events / 10, 'polled: it came on meanwhile');
ok($bus->wait_taken($events, 120), 'polled: and comes to its end');
ok(wait_for(sub {
    my ($bad) = heard(qr/^f/, $events);
    return !$bad->{missing};
}, 60), 'polled: nothing is missing');
my $f = settled('polled');
ok($f, 'polled: nothing is left');

my ($bad, $most, $all) = heard(qr/^f/, $events);
is_deeply($bad, \%none, 'polled: each in order, by one id, once in a life');
cmp_ok($most, '<=', $limit, 'polled: what was on its way came again');
diag("polled: $all of $events came again, at most $most after a kill");

my $violations = 0;
$violations += $_ for values %{$f->{violations}};
is($violations, 0, 'polled: none was taken for a wrong one');
is(get($port, '/polled/f' . ($interactions - 1))->json()->{state}, 'closed',
    'polled: the last one is known');

###############################################################################

# pushed, to four workers; senders send again until they hear of success

my @states = qw/ queued ringing connected wrapping closed /;
my ($senders, $each) = (3, 10);
my $json = JSON::PP->new()->canonical();
my $until = now() + scaled($full ? 1200 : 120);
my $stop = $t->testdir() . '/stop';
my $before = $bus->count();

my @pids = fork_each($senders, sub {
    my ($sender) = @_;
    my $round = 0;

    while (!-e $stop) {

        # not more than the tables have room for, nor than the bus takes

        wait_for(sub {
            return -e $stop || $bus->count() - $before + 10_000
                >= $senders * $round * $each * 5;
        }, 30);

        $round++;

        for my $s (0 .. 4) {
            my $body = $json->encode({ events => [ map {
                plain("p$sender-$round-$_", $s ? $states[$s - 1] : undef,
                    $states[$s], 1_000_000_000 + $s) } 1 .. $each ] });

            while (1) {
                die "no answer\n" if now() > $until;

                my $r = post($port, '/in', $body);
                last if $r->status() == 200;

                die $r->text() . "\n"
                    if $r->status() && $r->status() != 503;

                # until there is somebody again
                wait_for(sub { IO::Socket::INET->new(Proto => 'tcp',
                    PeerAddr => "127.0.0.1:$port") }, 5);
            }
        }
    }

    append_file("$stop.$sender", $round);
});

for my $n (1 .. $kills) {
    my $target = $bus->count() + 1 + int rand 1000;

    wait_for(sub { $bus->count() >= $target }, 3);

    if (rand() < 0.5) {
        my @workers = $t->worker_pids();
        $t->kill_worker('KILL', $workers[rand @workers]);
        life();

    } else {
        $t->kill_all();
        life();
        $t->run();
    }
}

append_file($stop, 'stop');

# the harness has collected those that ended while it killed nginx

my %left = map { $_ => 1 } @pids;

ok(wait_for(sub {
    for my $pid (keys %left) {
        delete $left{$pid} if exists $t->{exit}{$pid}
            || waitpid($pid, WNOHANG) == $pid;
    }

    return !%left;
}, 60), 'pushed: all senders have ended');

my $sent = 0;
$sent += $_ for map { read_file("$stop.$_") // 0 } 1 .. $senders;
is(scalar(grep { -s "$stop.$_" } 1 .. $senders), $senders,
    'pushed: and heard of success each time');

my $pushed = $sent * $each * 5;
cmp_ok($pushed, '>=', 100 * $kills, 'pushed: there was traffic');
ok($bus->wait_taken($events + $pushed, 60), 'pushed: the bus has much');
ok(wait_for(sub { figures('pushed')->{ready} }, 20), 'pushed: nginx runs');
ok(wait_for(sub {
    my ($wrong) = heard(qr/^p/, $pushed);
    return !$wrong->{missing};
}, 60), 'pushed: nothing is missing');
$f = settled('pushed');
ok($f, 'pushed: nothing is left');

($bad, $most, $all) = heard(qr/^p/, $pushed);
is_deeply($bad, \%none, 'pushed: each in order, by one id, once in a life');
cmp_ok($most, '<=', $limit, 'pushed: what was on its way came again');
diag("pushed: $all of $pushed came again, at most $most after a kill");

$violations = 0;
$violations += $_ for values %{$f->{violations}};
is($violations, 0, 'pushed: none was taken for a wrong one');
is(get($port, "/pushed/p1-1-1")->json()->{state}, 'closed',
    'pushed: an old one is known');
is_deeply([ $bus->problems() ], [], 'the bus could read everything');

###############################################################################
