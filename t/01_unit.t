#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# The unit tests: each t/unit/*.c is a program that prints TAP, built under
# AddressSanitizer and UndefinedBehaviorSanitizer.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge::Util qw/ read_file /;

chdir "$FindBin::Bin/.." or die "chdir: $!\n";

###############################################################################

my @names = map { m,^t/unit/(.+)\.c$, } grep { !m,/shim\.c$, }
    sort glob 't/unit/*.c';

plan tests => 6 + @names;

# a program that says less than it promised has not passed

is(verdict("1..2\nok 1\nok 2\n", 0), '', 'self-test: pass');
isnt(verdict("1..2\nok 1\n", 0), '', 'self-test: one is missing');
isnt(verdict("1..2\nok 1\nnot ok 2 - x\n", 0), '', 'self-test: one fails');
isnt(verdict("1..1\nok 1\n", 256), '', 'self-test: exit code');
isnt(verdict('', 0), '', 'self-test: nothing at all');

cmp_ok(scalar @names, '>', 0, 'there are unit tests');

for my $name (@names) {
    my ($out, $rc, $why);

    if (system('make', '-s', '-f', 't/unit/Makefile', "build/unit/$name")) {
        fail("$name is built");
        next;
    }

    $out = "build/unit/$name.tap";
    $rc = system("build/unit/$name > $out 2> build/unit/$name.err");
    $why = verdict(read_file($out), $rc);

    if (!is($why, '', $name)) {
        diag(grep { !/^ok / } split /^/, read_file($out));
        diag(read_file("build/unit/$name.err"));
    }
}

###############################################################################

# Empty, or what is wrong.

sub verdict {
    my ($out, $rc) = @_;
    my ($plan, $ok, @bad);

    ($plan) = $out =~ /^1\.\.(\d+)$/m;
    @bad = $out =~ /^(not ok.*)$/mg;
    $ok = () = $out =~ /^ok\b/mg;

    return sprintf 'killed by signal %d', $rc & 127 if $rc & 127;
    return sprintf '%d failed: %s', scalar @bad, $bad[0] if @bad;
    return sprintf 'exit code %d', $rc >> 8 if $rc;
    return 'no plan' if !$plan;
    return "$ok of $plan ran" if $ok != $plan;
    return '';
}

###############################################################################
