package Test::EventBridge::Util;

# Copyright (C) the ngx_http_eventbridge_module authors

# What all parts of the harness use: waiting on conditions, files, and the
# parser of the Prometheus text format.

###############################################################################

use warnings;
use strict;

use Exporter qw/ import /;
use POSIX qw/ ceil sysconf uname _SC_CLK_TCK /;
use Time::HiRes qw/ clock_gettime CLOCK_MONOTONIC /;

our @EXPORT_OK = qw/ now scaled pause wait_for read_file append_file
    parse_metrics child_pids cpu_time process_title prctl fork_each reap_all
    http_date /;

###############################################################################

sub now {
    return clock_gettime(CLOCK_MONOTONIC);
}

# A header's date of a time (seconds since the epoch, rounded up); the names do
# not depend on the locale.

sub http_date {
    my @t = gmtime ceil($_[0]);

    return sprintf '%s, %02d %s %d %02d:%02d:%02d GMT',
        (qw/ Sun Mon Tue Wed Thu Fri Sat /)[$t[6]], $t[3],
        (qw/ Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec /)[$t[4]],
        $t[5] + 1900, @t[2, 1, 0];
}

# Sanitizers and Valgrind make everything slower; EB_TIMEOUT_SCALE too.

sub scaled {
    my ($sec) = @_;

    my $scale = $ENV{EB_TIMEOUT_SCALE}
        || ($ENV{EB_VALGRIND} ? 10 : $ENV{EB_PRELOAD} ? 4 : 1);

    return $sec * $scale;
}

# The only wait without a condition, and only wait_for() may call it: a
# bounded poll of a pipe that nobody writes to.

my @never;

sub pause {
    my ($sec) = @_;

    if (!@never) {
        pipe(my $rd, my $wr) or die "pipe(): $!\n";
        @never = ($rd, $wr);
    }

    my $set = '';
    vec($set, fileno($never[0]), 1) = 1;

    select($set, undef, undef, $sec);
}

# The value of the condition as soon as it is true, or false after sec
# seconds.  The condition is asked once more at the end.

sub wait_for {
    my ($cond, $sec) = @_;
    my ($until, $step, $value);

    $until = now() + scaled($sec // 10);
    $step = 0.001;

    while (1) {
        $value = $cond->();
        return $value if $value;

        my $left = $until - now();
        last if $left <= 0;

        pause($step < $left ? $step : $left);
        $step *= 1.5 if $step < 0.02;
    }

    return $cond->();
}

sub read_file {
    my ($name) = @_;

    open my $fh, '<:raw', $name or return undef;
    local $/;
    my $text = <$fh>;
    close $fh;

    return $text // '';
}

sub append_file {
    my ($name, $text) = @_;

    open my $fh, '>>:raw', $name or die "open $name: $!\n";
    print $fh $text or die "write $name: $!\n";
    close $fh or die "close $name: $!\n";
}

###############################################################################

# Live children of a process; zombies are not counted.

sub child_pids {
    my ($parent) = @_;
    my @pids;

    opendir my $dh, '/proc' or die "opendir /proc: $!\n";

    for my $pid (grep { /^\d+$/ } readdir $dh) {
        my $stat = read_file("/proc/$pid/stat") // next;

        # the name in parentheses may hold anything
        next unless $stat =~ /\) (\S) (\d+) [^)]*\z/s;
        push @pids, $pid if $2 == $parent && $1 ne 'Z' && $1 ne 'X';
    }

    closedir $dh;

    # their number, where a scalar is wanted
    @pids = sort { $a <=> $b } @pids;

    return @pids;
}

# user and system seconds of a process

sub cpu_time {
    my ($pid) = @_;
    my @stat = split ' ', (read_file("/proc/$pid/stat") =~ /\) (.*)/s)[0];
    return ($stat[11] + $stat[12]) / sysconf(_SC_CLK_TCK);
}

sub process_title {
    my ($pid) = @_;

    my $title = read_file("/proc/$pid/cmdline") // '';
    $title =~ s/\0.*//s;

    return $title;
}

# n processes that each run a code with its number from 1, and end

sub fork_each {
    my ($n, $code) = @_;
    my @pids;

    for my $i (1 .. $n) {
        my $pid = fork() // die "fork(): $!\n";

        if ($pid == 0) {
            eval { $code->($i); 1 } or print STDERR "# process $i: $@";
            POSIX::_exit($@ ? 1 : 0);
        }

        push @pids, $pid;
    }

    return @pids;
}

# Waits until they have ended, and does something meanwhile.  Returns how many
# have failed, or had to be killed after sec seconds.

sub reap_all {
    my ($pids, $sec, $meanwhile) = @_;

    my %left = map { $_ => 1 } @$pids;
    my $bad = 0;

    wait_for(sub {
        $meanwhile->() if $meanwhile;

        for my $pid (keys %left) {
            next if waitpid($pid, POSIX::WNOHANG()) != $pid;
            $bad++ if $?;
            delete $left{$pid};
        }

        return !%left;
    }, $sec);

    kill 'KILL', keys %left if %left;

    return $bad + keys %left;
}

# prctl(2) has no core module; its number differs between machines

sub prctl {
    my ($option, $value) = @_;

    my %nr = (x86_64 => 157, aarch64 => 167, riscv64 => 167, i686 => 172,
        i586 => 172, armv7l => 172, ppc64le => 171, s390x => 172);

    my $nr = $nr{(uname())[4]} or return 0;

    return syscall($nr, $option, $value, 0, 0, 0) == 0;
}

###############################################################################

# Parses the Prometheus text format 0.0.4, strictly.  Returns a hash of
# { 'name{a="b",c="d"}' => value } (labels sorted, escaped as they came), a
# hash of { name => type }, and a list of what is wrong.

sub parse_metrics {
    my ($text) = @_;
    my (%series, %type, %help, %seen, %hist, @errors, $current, $n);

    push @errors, 'does not end with a newline' if $text !~ /\n\z/;
    push @errors, 'carriage return' if $text =~ /\r/;

    my $name_re = qr/[a-zA-Z_:][a-zA-Z0-9_:]*/;
    my $value_re = qr/[+-]?(?:\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|Inf)|NaN/;

    $current = '';
    $n = 0;

    for my $line (split /\n/, $text) {
        $n++;

        next if $line eq '';

        if ($line =~ /^# (HELP|TYPE) ($name_re)(?: (.*))?\z/) {
            my ($what, $name, $rest) = ($1, $2, $3 // '');
            my $table = $what eq 'HELP' ? \%help : \%type;

            push @errors, "line $n: $what of $name again" if $table->{$name};
            push @errors, "line $n: $what of $name after its samples"
                if $seen{$name};
            push @errors, "line $n: empty $what of $name" if $rest eq '';
            push @errors, "line $n: unknown type \"$rest\" of $name"
                if $what eq 'TYPE'
                && $rest !~ /^(?:counter|gauge|histogram|summary|untyped)\z/;
            push @errors, "line $n: counter $name does not end with _total"
                if $what eq 'TYPE' && $rest eq 'counter'
                && $name !~ /_total\z/;

            $table->{$name} = $rest;
            next;
        }

        next if $line =~ /^#/ && $line !~ /^#\s*(?:HELP|TYPE)\b/;

        if ($line !~ /^($name_re)(?:\{(.*)\})?\ ($value_re)(?:\ (-?\d+))?\z/x)
        {
            push @errors, "line $n: cannot be read: " . substr($line, 0, 100);
            next;
        }

        my ($name, $labels, $value) = ($1, $2 // '', $3);
        my (%labels, $family, $part);

        while ($labels =~ /\G([a-zA-Z_]\w*)="((?:[^"\\]|\\[\\n"])*)"(?:,|\z)/gc)
        {
            push @errors, "line $n: label $1 again" if exists $labels{$1};
            $labels{$1} = $2;
        }

        push @errors, "line $n: bad labels"
            if (pos($labels) // 0) != length $labels;

        ($family, $part) = ($name, '');

        if ($name =~ /^(.*)_(bucket|sum|count)\z/
            && ($type{$1} // '') eq 'histogram')
        {
            ($family, $part) = ($1, $2);
        }

        push @errors, "line $n: $family has no TYPE" if !exists $type{$family};
        push @errors, "line $n: $family has no HELP" if !exists $help{$family};
        push @errors, "line $n: samples of $family are not together"
            if $current ne $family && $seen{$family};

        $current = $family;
        $seen{$family} = 1;

        my $key = $name . (%labels ? '{' . join(',',
            map { qq/$_="$labels{$_}"/ } sort keys %labels) . '}' : '');

        push @errors, "line $n: $key again" if exists $series{$key};

        $value = 9**9**9 if $value =~ /^\+?Inf/;

        $series{$key} = $value eq 'NaN' ? $value : $value + 0;

        next if $value eq 'NaN';

        push @errors, "line $n: $key is negative"
            if $value < 0
            && (($type{$family} // '') eq 'counter' || $part eq 'bucket'
                || $part eq 'count');

        if ($part ne '') {
            my $le = delete $labels{le};
            my $set = join ',', map { "$_=$labels{$_}" } sort keys %labels;
            my $h = $hist{$family}{$set} //= { buckets => [] };

            if ($part eq 'bucket') {
                push @errors, "line $n: bucket without le" if !defined $le;
                push @{$h->{buckets}}, [ $le // '', $value ];

            } else {
                $h->{$part} = $value;
            }
        }
    }

    for my $family (sort keys %hist) {
        for my $set (sort keys %{$hist{$family}}) {
            my $h = $hist{$family}{$set};
            my $at = "histogram $family\{$set}";
            my ($bound, $count) = (-9**9**9, 0);

            for my $b (@{$h->{buckets}}) {
                my $le = $b->[0] eq '+Inf' ? 9**9**9 : $b->[0];

                if ($le !~ /^(?:$value_re)\z/i) {
                    push @errors, "$at: bad le \"$b->[0]\"";
                    next;
                }

                push @errors, "$at: le \"$b->[0]\" out of order"
                    if $le <= $bound;
                push @errors, "$at: bucket \"$b->[0]\" is less than the last"
                    if $b->[1] < $count;

                ($bound, $count) = ($le, $b->[1]);
            }

            push @errors, "$at: no +Inf bucket" if $bound != 9**9**9;
            push @errors, "$at: no sum" if !defined $h->{sum};
            push @errors, "$at: count is not the +Inf bucket"
                if !defined $h->{count} || $h->{count} != $count;
        }
    }

    for my $name (sort keys %type) {
        push @errors, "TYPE of $name without HELP" if !exists $help{$name};
    }

    return (\%series, \%type, \@errors);
}

###############################################################################

1;
