#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# The rules of t/static/checks.pl, on the project, and on trees that break
# each of them.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;

chdir "$FindBin::Bin/.." or die "chdir: $!\n";

require './t/static/checks.pl';

###############################################################################

my $owner = "\n/*\n * Copyright (C) the ngx_http_eventbridge_module authors\n"
    . " */\n\n\n";

# a tree in which nothing is wrong

my %good = (
    'config' => "eb_srcs=\"\$eb_src/wire/ngx_eb_a.c "
        . "\$eb_src/wire/ngx_eb_a.h\n"
        . "\$eb_src/http/ngx_http_eventbridge_m.c\n"
        . "\$eb_src/http/ngx_http_eventbridge_observe.c\"\n",
    'src/wire/ngx_eb_a.h' => "$owner#ifndef _NGX_EB_A_H_INCLUDED_\n"
        . "#define _NGX_EB_A_H_INCLUDED_\n\n#endif\n",
    'src/wire/ngx_eb_a.c' => "$owner#include <ngx_core.h>\n"
        . "#include \"ngx_eb_a.h\"\n",
    'src/http/ngx_http_eventbridge_m.c' => "$owner#include <ngx_http.h>\n"
        . "#include \"ngx_eb_a.h\"\n"
        . "static ngx_command_t  t[] = {\n"
        . "    { ngx_string(\"eventbridge_one\"),\n};\n"
        . "static ngx_http_variable_t  v[] = {\n"
        . "    { ngx_string(\"eventbridge_sum\"),\n};\n",
    'src/http/ngx_http_eventbridge_observe.c' => "$owner"
        . "    { \"eventbridge_lag_seconds\", \"histogram\",\n",
    'docs/directives.md' => "## Of all\n\n### eventbridge_one\n\n"
        . "Syntax: Default: Context:\n\n## Variables\n\n`\$eventbridge_sum`\n",
    'docs/metrics.md' => "`eventbridge_lag_seconds_bucket{le=\"1\"}`, see\n"
        . "eventbridge_one in [all](directives.md#of-all)\n",
    't/a.t' => "# Copyright (C) the ngx_http_eventbridge_module authors\n"
        . "wait_for(sub { 1 }); # no sleep(1) here\n",
    't/b.t' => "# Copyright (C) the ngx_http_eventbridge_module authors\n"
        . join('', map { "'rule $_: x'\n" } 1 .. 19, '19a', 20 .. 26)
        . join('', map { "'row $_: x'\n" } do { no warnings 'once';
            @Checks::ROWS }),
);

# check, finding, file, what becomes of it: a text to append, or a sub

my $c = 'src/wire/ngx_eb_a.c';
my $h = 'src/wire/ngx_eb_a.h';
my $http = 'src/http/ngx_http_eventbridge_m.c';

my @bad = (
    [ text => 'carriage return', $c, "a\r\n" ],
    [ text => 'trailing space', $c, "a \n" ],
    [ text => 'trailing space', 'docs/metrics.md', "a \n" ],
    [ text => 'no newline', $c, "a" ],
    [ text => 'empty lines', $c, "\n" ],
    [ text => 'tab', $c, "\ta\n" ],
    [ text => 'not UTF-8', $c, "\xff\n" ],
    [ text => 'at the top', 'helper.mk', "a\n" ],
    [ columns => 'over 80', $c, ('a' x 81) . "\n" ],
    [ columns => 'over 80', 't/a.t', ('a' x 81) . "\n" ],
    [ comments => '// comment', $c, "a = b; // c\n" ],
    [ size => '1199', $c, "a\n" x 1195 ],
    [ copyright => 'no copyright', $c, sub { "a\n" } ],
    [ copyright => 'no copyright', 't/a.t', sub { "a\n" } ],
    [ guards => 'no guard', $h, sub { s/_H_/_/gr } ],
    [ layers => 'above', $c, "#include \"ngx_eb_b.h\"\n",
        'src/route/ngx_eb_b.h' ],
    [ layers => 'above', 'src/observe/ngx_eb_c.c', "#include \"ngx_eb_b.h\"\n",
        'src/checkpoint/ngx_eb_b.h' ],
    [ layers => 'outside src/http', $c, "#  include <ngx_http.h>\n" ],
    [ layers => 'outside src/http', $c, "ngx_http_request_t  *r;\n" ],
    [ layers => 'unknown layer', 'src/misc/ngx_eb_x.c', "a\n" ],
    [ layers => 'not named', 'src/wire/ngx_http_eventbridge_x.c', "a\n" ],
    [ language => 'C++', 'src/wire/ngx_eb_b.cc', "a\n" ],
    [ config => 'not in config', 'src/wire/ngx_eb_b.c', "a\n" ],
    [ config => 'not exist', 'config', "\$eb_src/wire/ngx_eb_b.h\n" ],
    [ config => 'twice', 'config', "\$eb_src/wire/ngx_eb_a.h\n" ],
    [ directives => 'directive eventbridge_two', $http,
        "ngx_command_t  x[] = {\n ngx_string(\"eventbridge_two\")\n};\n" ],
    [ directives => 'does not have', 'docs/directives.md',
        "\n### eventbridge_two\n\nSyntax: Default: Context:\n" ],
    [ directives => 'no "Context:"', 'docs/directives.md',
        sub { s/Context//r } ],
    [ directives => 'no directives', $http, sub { '' } ],
    [ variables => 'variable $eventbridge_b', $http,
        "ngx_http_variable_t  x[] = {\n ngx_string(\"eventbridge_b\")\n};\n" ],
    [ variables => 'does not have', 'docs/directives.md',
        "\$eventbridge_b\n" ],
    [ metrics => 'metric eventbridge_b', 'src/observe/ngx_eb_metrics.c',
        "\"eventbridge_b\", \"counter\",\n" ],
    [ metrics => 'does not have', 'docs/metrics.md', "eventbridge_b\n" ],
    [ links => 'nowhere', 'docs/metrics.md', "[a](b.md)\n" ],
    [ links => 'no heading', 'docs/metrics.md', "[a](directives.md#b)\n" ],
    [ paths => 'this copy', 'README.md', "see /some/where/t\n" ],
    [ paths => 'one machine', 'README.md', 'see /' . "home/me/t\n" ],
    [ words => 'unfinished', $c, '/* TO' . "DO: all */\n" ],
    [ sleeps => 'sleeps', 't/a.t', 'sle' . "ep 1;\n" ],
    [ sleeps => 'sleeps', 't/lib/a.pm', 'usle' . "ep(10);\n" ],
    [ rules => 'rule 19a', 't/b.t', sub { s/19a/19b/gr } ],
    [ rows => 'row 3.9', 't/b.t', sub { s/3\.9/3.0/gr } ],
    [ sleeps => 'sleeps', 't/a.t', 'select un' . "def, undef, undef, 1;\n" ],
);

my %checks = do { no warnings 'once'; %Checks::CHECKS };
my %module = map { $_ => 1 } qw/ ngx_modules ngx_module_names
    ngx_module_order /;

plan tests => 2 * keys(%checks) + @bad + 1 + 4;

###############################################################################

# the checks can pass, and can fail

is_deeply([ $checks{$_}->({ %good }, '/some/where') ], [],
    "self-test: $_ passes") for sort keys %checks;

for my $case (@bad) {
    my ($check, $finding, $name, $change, $more) = @$case;
    my %tree = %good;

    $tree{$more} = $owner if $more;

    local $_ = $tree{$name} // '';
    $tree{$name} = ref $change ? $change->() : $_ . $change;

    my @found = $checks{$check}->(\%tree, '/some/where');

    ok(scalar(grep { /\Q$finding\E/ } @found),
        "self-test: $check, $finding") or diag("found: @found");
}

my %tried = map { $_->[0] => 1 } @bad;
is_deeply([ grep { !$tried{$_} } sort keys %checks ], [],
    'self-test: every check has been seen to fail');

# the project

my $tree = Checks::tree();

for my $check (sort keys %checks) {
    my @found = $checks{$check}->($tree);

    is(scalar @found, 0, $check)
        or diag(join "\n", @found > 40
            ? (@found[0 .. 39], "... and more: perl t/static/checks.pl")
            : @found);
}

# the table of the module, and nothing of its own

my $nm = join '', map { "0000000000012340 D $_\n" } sort keys %module;

is_deeply([ Checks::symbols($nm) ], [], 'self-test: symbols passes');
is_deeply([ Checks::symbols("${nm}0000000000012340 T ngx_eb_x\n") ],
    [ 'ngx_eb_x is exported' ], 'self-test: symbols, one too many');
is_deeply([ Checks::symbols($nm =~ s/.*_order\n//r) ],
    [ 'ngx_module_order is not exported' ], 'self-test: symbols, one missing');

SKIP: {
    my $so = $ENV{EB_MODULE} || 'build/ngx_http_eventbridge_module.so';

    skip 'the module is not built', 1 if !-f $so;

    is_deeply([ Checks::symbols(scalar `nm -D --defined-only '$so'`) ], [],
        'symbols of the module');
}

###############################################################################
