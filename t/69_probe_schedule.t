#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Two hundred destinations, each probed once a second: in time, and at next to
# no cost.  EB_FULL=1: for a minute.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;
use Test::EventBridge::Util qw/ cpu_time now scaled /;

###############################################################################

my $destinations = 200;
my $seconds = $ENV{EB_FULL} ? 60 : 12;

my $t = Test::EventBridge->new(workers => 2, connections => 1024)->plan(12);
my $m = $t->mock(1);

my ($locations, $probes, $ingests) = ('', '', '');

for my $n (1 .. $destinations) {
    $locations .= "location = /to/$n { internal; return 200; }\n";
    $probes .= "eventbridge_probe /to/$n http://127.0.0.1:%%PORT_1%%/p/$n"
        . " interval=1s;\n";
}

for my $n (0 .. $destinations / 50 - 1) {
    $ingests .= "location = /in/$n { eventbridge_ingest;\n"
        . join('', map { 'eventbridge_route /to/' . ($n * 50 + $_)
            . " source=^$_\$;\n" } 1 .. 50) . "}\n";
}

$t->conf(<<"EOF2")->run();
http {
    eventbridge_stats_file %%TESTDIR%%/stats;

    server {
        listen 127.0.0.1:%%PORT_0%%;
        client_max_body_size 2m;
        $probes
        $locations
        $ingests
        location = /metrics { eventbridge_metrics; }
        location = /health { eventbridge_health; }
    }
}
EOF2

my $port = $t->port(0);

# when it has begun, nothing is to grow any more

ok(wait_for(sub { $m->hits() >= 4 * $destinations }, 30), 'they are probed');

my ($prober) = sort { cpu_time($b) <=> cpu_time($a) } $t->worker_pids();
my $before = { cpu => cpu_time($prober), fds => fds($prober), time => now(),
    memory => $t->worker_memory($prober), hits => $m->hits() };

ok(wait_for(sub { now() - $before->{time} >= $seconds }, $seconds + 5),
    "$seconds seconds");

my $after = { cpu => cpu_time($prober), time => now(), hits => $m->hits() };
my $span = $after->{time} - $before->{time};

# a probe may be under way
ok(wait_for(sub { fds($prober) <= $before->{fds} }), 'no descriptor is left')
    or diag(fds($prober) . " of $before->{fds}");

SKIP: {
    # freed memory waits in quarantine there
    skip('sanitizers and Valgrind', 1) if scaled(1) != 1;
    cmp_ok($t->worker_memory($prober) - $before->{memory}, '<', 1024 * 1024,
        'no memory is left');
}

my $cpu = ($after->{cpu} - $before->{cpu}) / $span;

SKIP: {
    skip('sanitizers and Valgrind cost more', 1) if scaled(1) != 1;
    cmp_ok($cpu, '<', 0.1, sprintf 'CPU of the worker: %.1f %% of a core',
        $cpu * 100);
}

my $rate = ($after->{hits} - $before->{hits}) / $span / $destinations;
cmp_ok(abs($rate - 1), '<', 0.1, sprintf 'each %.3f times a second', $rate);

# what the destination saw

my %times;
push @{$times{$_->path()}}, $_->time() for $m->requests();
$m->stop();

is(scalar keys %times, $destinations, 'all of them');

my (@off, @gaps, %busy);
my $all = 0;

for my $path (sort keys %times) {
    my @at = @{$times{$path}};

    # the first second is the start of 200 lookups and of the test itself

    for my $i (2 .. $#at) {
        my $gap = $at[$i] - $at[$i - 1];
        push @gaps, $gap;
        push @off, sprintf('%s: %.3f s', $path, $gap)
            if $gap < 0.9 || $gap > 1.1;
        $busy{int($at[$i] * 20)}++;
    }

    $all += @at;
}

@gaps = sort { $a <=> $b } @gaps;

# a machine with more to do than it has processors is late now and then, be it
# the worker or the destination, which has the times

my ($load) = read_file('/proc/loadavg') =~ /^([\d.]+)/;
my $cores = () = read_file('/proc/cpuinfo') =~ /^processor\s/mg;

cmp_ok(scalar @off, '<=', @gaps * ($load > $cores ? 0.05 : 0.001),
    sprintf 'on schedule within 10 %%: %.3f to %.3f s, %d of %d are not,'
        . ' load %.1f', $gaps[0], $gaps[-1], scalar @off, scalar @gaps, $load)
    or diag(join "\n", @off[0 .. ($#off < 20 ? $#off : 20)]);

# ten in a twentieth of a second, if they were spread without any chance

my ($most) = sort { $b <=> $a } values %busy;
cmp_ok($most, '<', 40, "never together: $most in 50 ms at most");

my $metrics = 0;
$metrics += $t->metric('eventbridge_probe_total', destination => "/to/$_") // 0
    for 1, 100, 200;
cmp_ok($metrics, '>=', 3 * ($seconds - 1), 'they are counted');
is(get($port, '/health')->json()->{status}, 'healthy', 'all of them are up');
is(scalar @{get($port, '/health')->json()->{destinations}}, $destinations,
    'and listed');

###############################################################################

sub fds {
    my ($pid) = @_;
    return scalar(() = glob "/proc/$pid/fd/*");
}

###############################################################################
