package Test::EventBridge::Check;

# Copyright (C) the ngx_http_eventbridge_module authors

# The detectors that run at the end of each test.  They take text and return
# what is wrong with it, so that t/00_harness.t can show that each one fires.

###############################################################################

use warnings;
use strict;

use Exporter qw/ import /;
use File::Find;

use Test::EventBridge::Util qw/ read_file /;

our @EXPORT_OK = qw/ bad_lines missing_errors leak_lines sanitizer_reports
    secret_places decreased /;

###############################################################################

# allow: [ { level, re, maybe, seen } ]; a line that matches one is announced

sub _announced {
    my ($line, $allow) = @_;

    my ($level) = $line =~ /^[^\[]*\[(\w+)\] /;

    for my $a (@$allow) {
        next if defined $level && $a->{level} ne $level;
        next if $line !~ $a->{re};

        $a->{seen}++;
        return 1;
    }

    return 0;
}

# lines of level alert, crit and emerg that nobody announced

sub bad_lines {
    my ($log, $allow) = @_;

    return grep { !_announced($_, $allow) }
        $log =~ m{^([^\n]* \[(?:alert|crit|emerg)\] [^\n]*)$}mg;
}

# announced errors that did not appear; looks at every level

sub missing_errors {
    my ($log, $allow) = @_;
    my @missing;

    for my $a (@$allow) {
        next if $a->{maybe} || $a->{seen};

        next if grep { $_ =~ $a->{re} }
            $log =~ m{^([^\n]* \[\Q$a->{level}\E\] [^\n]*)$}mg;

        push @missing, "[$a->{level}] $a->{re}";
    }

    return @missing;
}

sub leak_lines {
    my ($log, $allow) = @_;

    return grep { !_announced($_, $allow) }
        grep { !/ \[debug\] / }
        $log =~ m{^([^\n]*(?:open\ socket\ \#|exited\ on\ signal)[^\n]*)$}mgx;
}

# reports of sanitizers and Valgrind in a text; debug lines quote what clients
# send, and are no evidence

sub sanitizer_reports {
    my ($text) = @_;

    return grep { !/ \[debug\] / }
        $text =~ m{^([^\n]*(?:Sanitizer|runtime\ error:
            |==\d+==\ +(?:Invalid|Conditional|Use\ of|Syscall\ param
            |Process\ terminating|Source\ and\ destination\ overlap
            |Mismatched|Argument))[^\n]*)$}mgx;
}

# Files under dir in which a secret occurs.  secrets: [ { text, ok_in } ];
# skip: { file => 1 } are what the test itself wrote as input.

sub secret_places {
    my ($dir, $secrets, $skip) = @_;
    my @places;

    return if !@$secrets;

    find({ no_chdir => 1, wanted => sub {
        my $file = $File::Find::name;
        return if -l $file || !-f _ || $skip->{$file};

        my $text = read_file($file) // return;

        # nginx itself shows headers at this level
        $text =~ s/^[^\n]* \[debug\] [^\n]*\n//mg if $file =~ /error\.log/;

        for my $s (@$secrets) {
            next if $s->{ok_in} && $file =~ $s->{ok_in};
            push @places, "secret number $s->{n} in $file"
                if index($text, $s->{text}) >= 0;
        }
    } }, $dir);

    return @places;
}

# counters of a scrape that are lower than, or missing after, an earlier one

sub decreased {
    my ($before, $after, $type) = @_;
    my @problems;

    for my $key (sort keys %$before) {
        my ($name) = $key =~ /^([^{]*)/;
        my $family = $name;

        $family =~ s/_(?:bucket|count)\z//
            if ($type->{$name} // '') eq '';

        next if ($type->{$family} // '') !~ /^(?:counter|histogram)\z/;

        if (!exists $after->{$key}) {
            push @problems, "$key has gone";

        } elsif ($after->{$key} < $before->{$key}) {
            push @problems, "$key went from $before->{$key} to $after->{$key}";
        }
    }

    return @problems;
}

###############################################################################

1;
