#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# A short run of each fuzz target over its seeds, as a regression test; "make
# fuzz" searches longer.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge::Util qw/ read_file /;

chdir "$FindBin::Bin/.." or die "chdir: $!\n";

###############################################################################

use constant RUNS => 20000;
use constant SECONDS => 10;

my @names = map { m,^t/fuzz/(.+)\.c$, } sort glob 't/fuzz/*.c';

my $runtime = `clang -print-file-name=libclang_rt.fuzzer-x86_64.a 2>/dev/null`;
chomp $runtime;

if (!-f $runtime && `uname -m` =~ /x86_64/) {
    plan skip_all => 'clang with libFuzzer is not installed';
}

plan tests => 1 + 2 * @names;

cmp_ok(scalar @names, '>', 0, 'there are fuzz targets');

my $built = system('make', '-s', '-f', 't/unit/Makefile', 'fuzz') == 0;

for my $name (@names) {
    my ($log, @dirs, @dict, $text, $rc);

    $log = "build/fuzz/$name.log";

    # what it finds interesting is thrown away: a test begins anew each time

    @dirs = ("build/fuzz/$name.new", grep { -d } "t/fuzz/$name.seeds");
    @dict = map { "-dict=$_" } grep { -f } "t/fuzz/$name.dict";

    system('rm', '-rf', $dirs[0]);
    mkdir $dirs[0];

    $rc = !$built || system("build/fuzz/$name -seed=1 -runs=@{[ RUNS ]}"
        . " -max_total_time=@{[ SECONDS ]} -timeout=10 -rss_limit_mb=2048"
        . " -artifact_prefix=build/fuzz/$name- @dict @dirs > $log 2>&1");

    $text = read_file($log) // '';

    is($rc, 0, "$name finds nothing") or diag(substr $text, -4000);

    # a target that is never called finds nothing either
    my ($done) = $text =~ /^Done (\d+) runs/m;
    cmp_ok($done // 0, '>', 100, "$name ran");
}

###############################################################################
