#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# The rules of the house that a program can check.  Each check takes a tree,
# a hash of file names and contents, and returns what it found, one line for
# each; t/00_static.t runs them on the real tree and on trees that break the
# rules, to see that they can fail.

###############################################################################

package Checks;

use warnings;
use strict;

use Cwd qw/ getcwd /;
use File::Find qw/ find /;

###############################################################################

our @TOP = qw{ config src t bench conf.examples docs debian Makefile README.md
    CHANGES LICENSE .ci .gitignore };

# what a layer may include, besides nginx's and the system's headers

our %LAYERS = (
    wire => [ qw/ wire / ],
    route => [ qw/ wire route / ],
    genesys => [ qw/ wire route genesys / ],
    checkpoint => [ qw/ wire checkpoint / ],
    runtime => [ qw/ wire genesys checkpoint runtime / ],
    observe => [ qw/ wire observe / ],
    http => [ qw/ wire route genesys checkpoint runtime observe http / ],
);

our %CHECKS = (
    text => \&text,
    columns => \&columns,
    comments => \&comments,
    size => \&size,
    copyright => \&copyright,
    guards => \&guards,
    layers => \&layers,
    language => \&language,
    config => \&config,
    directives => \&directives,
    metrics => \&metrics,
    variables => \&variables,
    links => \&links,
    paths => \&paths,
    words => \&words,
    sleeps => \&sleeps,
    rules => \&rules,
    rows => \&rows,
);

# the rules of delivery: what "nothing is lost" means, by number

our @RULES = (1 .. 19, '19a', 20 .. 26);

# the rows of what others got wrong with Genesys Cloud: retention, and what is
# common (0.x), subscriptions (1.x), endpoints (2.x), filters (3.x), lifecycles
# (4.x)

our @ROWS = ((map { "0.$_" } 1 .. 15), (map { "1.$_" } 1 .. 5),
    (map { "2.$_" } 1 .. 13), (map { "3.$_" } 1 .. 9),
    (map { "4.$_" } 1 .. 16));

###############################################################################

# The files of the project: what git knows of or would take up, or else
# everything outside build/.

sub tree {
    my (%tree, @names);

    @names = split /\0/,
        `git ls-files -z --cached --others --exclude-standard 2>/dev/null`;

    if (!@names) {
        find({ no_chdir => 1, wanted => sub {
            $File::Find::prune = 1 if m,/(?:\.git|build)$,;
            push @names, s,^\./,,r if -f;
        } }, grep { -e } map { "./$_" } @TOP);
    }

    for my $name (@names) {
        open my $fh, '<:raw', $name or next;
        local $/;
        $tree{$name} = <$fh> // '';
        close $fh;
    }

    return \%tree;
}

sub c_files { return grep { m,^(?:src|t|bench)/.+\.(?:c|cc|h)$, }
    sort keys %{$_[0]} }

sub sources { return grep { m,^src/.+\.(?:c|cc|h)$, } sort keys %{$_[0]} }

# The lines that match, as findings.

sub lines {
    my ($name, $text, $re, $what) = @_;
    my ($n, @found) = (0);

    for my $line (split /\n/, $text) {
        $n++;
        push @found, "$name:$n: $what" if $line =~ $re;
    }

    return @found;
}

# A C text with comments and string literals blanked, lines kept.

sub bare {
    my ($text) = @_;

    $text =~ s{(/\*.*?\*/)|("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')}
              { defined $1 ? $1 =~ s/[^\n]/ /gr : '""' }gse;

    return $text;
}

###############################################################################

sub text {
    my ($tree) = @_;
    my @found;

    for my $name (sort keys %$tree) {
        my $text = $tree->{$name};

        # seeds of a fuzz target are bytes
        next if $name =~ m,^t/fuzz/.+\.seeds/,;

        push @found, lines($name, $text, qr/\r/, 'carriage return');
        push @found, lines($name, $text, qr/[ \t]+$/, 'trailing space');

        push @found, "$name: no newline at the end" if $text !~ /\n\z/;
        push @found, "$name: empty lines at the end" if $text =~ /\n\n\z/;
        push @found, "$name: not UTF-8" if !utf8::decode(my $copy = $text);

        if ($name !~ m,(?:^|/)Makefile$|^debian/rules$,) {
            push @found, lines($name, $text, qr/\t/, 'tab');
        }

        my ($top) = split m,/,, $name;
        push @found, "$name: unexpected at the top"
            if !grep { $_ eq $top } @TOP;
    }

    return @found;
}

# Tables and links of Markdown have no line breaks, everything else has.

sub columns {
    my ($tree) = @_;
    my @found;

    for my $name (sort keys %$tree) {
        next if $name =~ m,\.(?:md|json|jsonl)$|^debian/,
            || $name =~ m,^t/fuzz/.+\.(?:seeds/|dict$),;

        utf8::decode(my $text = $tree->{$name});

        # gcc's and make's own syntax of these comments is one line
        $text =~ s,^/\* (?:sources|libs): .* \*/$,,mg
            if $name =~ m,^(?:t|bench)/,;

        push @found, lines($name, $text, qr/^.{81}/, 'over 80 columns');
    }

    return @found;
}

sub comments {
    my ($tree) = @_;

    return map { lines($_, bare($tree->{$_}), qr{//}, 'a // comment') }
        c_files($tree);
}

sub size {
    my ($tree) = @_;
    my @found;

    for my $name (sources($tree)) {
        my $lines = () = $tree->{$name} =~ /\n/g;
        push @found, "$name: $lines lines, 1199 are allowed" if $lines >= 1200;
    }

    return @found;
}

sub copyright {
    my ($tree) = @_;

    return map { "$_: no copyright line" } grep {
        $tree->{$_} !~ /^\W*Copyright \(C\) the ngx_http_eventbridge_module /m
        } c_files($tree), grep { m,\.(?:t|pm|pl)$, } sort keys %$tree;
}

sub guards {
    my ($tree) = @_;
    my @found;

    for my $name (grep { /\.h$/ } sources($tree)) {
        my ($base) = $name =~ m,([^/]+)\.h$,;
        my $guard = '_' . uc($base) . '_H_INCLUDED_';

        push @found, "$name: no guard $guard" if $tree->{$name}
            !~ /^#ifndef \Q$guard\E\n#define \Q$guard\E$/m;
    }

    return @found;
}

###############################################################################

# Includes go downward only, and HTTP is known in one layer.

sub layers {
    my ($tree) = @_;
    my (%layer, @found);

    for my $name (sources($tree)) {
        my ($layer, $base) = $name =~ m,^src/(\w+)/([^/]+)$, or next;
        $layer{$base} = $layer;

        push @found, "$name: unknown layer $layer" if !$LAYERS{$layer};
    }

    for my $name (sources($tree)) {
        my ($layer) = $name =~ m,^src/(\w+)/, or next;
        my $text = $tree->{$name};

        for my $header ($text =~ /^\s*#\s*include\s*[<"]([^>"]+)[>"]/mg) {
            my ($base) = $header =~ m,([^/]+)$,;
            my $of = $layer{$base};

            push @found, "$name: $header belongs to $of, which is above"
                if $of && !grep { $_ eq $of } @{$LAYERS{$layer} || []};

            push @found, "$name: $header outside src/http"
                if $layer ne 'http' && $base =~ /^ngx_http(?!_eventbridge)/;
        }

        push @found, lines($name, bare($text), qr/\bngx_http_/,
            'a name of nginx\'s HTTP outside src/http') if $layer ne 'http';

        # the prefix says the layer
        my $prefix = $layer eq 'http' ? 'ngx_http_eventbridge_' : 'ngx_eb_';
        push @found, "$name: is not named $prefix..."
            if $name !~ m,/$prefix[^/]*$,;
    }

    return @found;
}

sub language {
    my ($tree) = @_;

    return map { "$_: C++ is for src/wire/ngx_eb_json.cc only" } grep {
        m,^src/.+\.(?:cc|cpp|cxx|hpp|hh)$, && $_ ne 'src/wire/ngx_eb_json.cc'
        } sort keys %$tree;
}

# What is not in the build script is not built, or not rebuilt.

sub config {
    my ($tree) = @_;
    my (%listed, %there);

    $listed{$_}++ for $tree->{config} =~ m,\$eb_src/(\w+/[\w.]+),g;
    $there{s,^src/,,r}++ for sources($tree);

    return (
        (map { "src/$_ is not in config" }
            grep { !$listed{$_} } sort keys %there),
        (map { "config names src/$_, which does not exist" }
            grep { !$there{$_} } sort keys %listed),
        (map { "config names src/$_ twice" }
            grep { $listed{$_} > 1 } sort keys %listed));
}

###############################################################################

# Findings for what is in one set and not in the other.

sub compare {
    my ($code, $docs, $what, $doc) = @_;

    return (
        (map { "$what $_ is not in $doc" }
            grep { !$docs->{$_} } sort keys %$code),
        (map { "$doc describes $_, which the module does not have" }
            grep { !$code->{$_} } sort keys %$docs));
}

# The names in the tables of ngx_command_t.

sub command_names {
    my ($tree) = @_;
    my %names;

    for my $name (grep { m,^src/http/.+\.c$, } sort keys %$tree) {
        while ($tree->{$name} =~ /\bngx_command_t\s+\w+\[\]\s*=(.*?)^};/msg) {
            $names{$_} = 1 for "$1" =~ /ngx_string\("(\w+)"\)/g;
        }
    }

    return \%names;
}

sub directives {
    my ($tree) = @_;
    my ($text, @found, %docs);

    my $code = command_names($tree);
    $text = $tree->{'docs/directives.md'} // '';
    $docs{$_} = 1 for $text =~ /^### `?(\w+)`?$/mg;

    @found = compare($code, \%docs, 'directive', 'docs/directives.md');
    push @found, 'no directives found in src/http' if !%$code;

    for my $name (sort keys %docs) {
        my ($section) = $text =~ /^### `?$name`?\n(.*?)(?=^##|\z)/ms;

        for my $word (qw/ Syntax Default Context /) {
            push @found, "docs/directives.md: $name has no \"$word:\""
                if $section !~ /\b$word:/;
        }
    }

    return @found;
}

sub variables {
    my ($tree) = @_;
    my (%code, %docs);

    for my $name (grep { m,^src/http/.+\.c$, } sort keys %$tree) {
        while ($tree->{$name}
            =~ /\bngx_http_variable_t\s+\w+\[\]\s*=(.*?)^};/msg)
        {
            $code{"\$$_"} = 1 for "$1" =~ /ngx_string\("(\w+)"\)/g;
        }
    }

    my ($section) = ($tree->{'docs/directives.md'} // '')
        =~ /^## Variables\n(.*?)(?=^## |\z)/ms;
    $docs{$_} = 1 for ($section // '') =~ /(\$eventbridge_\w+)/g;

    return compare(\%code, \%docs, 'variable', 'docs/directives.md');
}

sub metrics {
    my ($tree) = @_;
    my ($text, %code, %docs, @found);

    for my $name ('src/observe/ngx_eb_metrics.c',
        'src/http/ngx_http_eventbridge_lifecycle_status.c',
        'src/http/ngx_http_eventbridge_observe.c',
        'src/http/ngx_http_eventbridge_outbox.c',
        'src/http/ngx_http_eventbridge_figures.c',
        'src/http/ngx_http_eventbridge_destination_figures.c')
    {
        $text = $tree->{$name} // '';
        $code{$_} = 1 for $text
            =~ /"(eventbridge_\w+)",\s*"(?:counter|gauge|histogram)"/g;
        $code{$_} = 1 for $text =~ /# TYPE (eventbridge_\w+)/g;
        $code{$_} = 1 for $text =~ /->name = "(eventbridge_\w+)";/g;
    }

    # a query in the text may name a directive, or a series of a histogram

    my $directives = command_names($tree);
    $text = $tree->{'docs/metrics.md'} // '';

    for my $name ($text =~ /(?<![\$\w])(eventbridge_[a-z0-9_]+)/g) {
        my $family = $name =~ s/_(?:bucket|sum|count)$//r;

        next if $directives->{$name};
        $docs{$code{$name} ? $name : $code{$family} ? $family : $name} = 1;
    }

    @found = compare(\%code, \%docs, 'metric', 'docs/metrics.md');
    push @found, 'no metrics found in src' if !%code;

    return @found;
}

# Links between the files of the project, and to headings in them.

sub links {
    my ($tree) = @_;
    my (%dirs, @found);

    for my $name (keys %$tree) {
        my $dir = $name;
        $dirs{$dir} = 1 while $dir =~ s,/[^/]+$,,;
    }

    for my $name (grep { /\.md$/ } sort keys %$tree) {
        my $text = $tree->{$name} =~ s/^```.*?^```$//msgr;
        my ($dir) = $name =~ m,^(.*/), ? $1 : '';

        for my $link ($text =~ /\]\(([^)\s]+)\)/g) {
            next if $link =~ /^[a-z]+:/;

            my ($to, $anchor) = split /#/, $link, 2;
            $to = $to eq '' ? $name : "$dir$to";
            1 while $to =~ s,[^/]+/\.\./,,;
            $to =~ s,/$,,;

            if (!exists $tree->{$to} && !$dirs{$to}) {
                push @found, "$name: $link leads nowhere";
                next;
            }

            next if !defined $anchor;

            my %anchors = map { anchor($_) => 1 }
                ($tree->{$to} // '') =~ /^#+ +(.+?) *$/mg;
            push @found, "$name: no heading for $link" if !$anchors{$anchor};
        }
    }

    return @found;
}

# As the usual renderers derive it.

sub anchor {
    utf8::decode(my $heading = shift);

    $heading = lc $heading;
    $heading =~ s/[^\w\- ]//g;
    $heading =~ s/ /-/g;

    return $heading;
}

###############################################################################

# Nothing depends on where somebody's copy of the project is.

sub paths {
    my ($tree, $cwd) = @_;
    my @found;

    $cwd //= getcwd();

    for my $name (sort keys %$tree) {
        push @found, lines($name, $tree->{$name}, qr/\Q$cwd\E/,
            'the path of this copy') if $cwd =~ m,^/[^/]+/,;

        push @found, lines($name, $tree->{$name},
            qr{(?<![\w.\-)\}/])/(?:home|root|Users)/\w},
            'a path of one machine');
    }

    return @found;
}

sub words {
    my ($tree) = @_;

    # put together, so that they are not found here
    my $words = join '|', 'TO' . 'DO', 'FIX' . 'ME', 'X' . 'XX', 'HA' . 'CK',
        'not ' . 'implemented', 'placeh' . 'older';

    return map { lines($_, $tree->{$_}, qr/\b(?:$words)\b/, 'unfinished?') }
        grep { !m,^t/fuzz/.+seeds, } sort keys %$tree;
}

# A test waits for a condition, never for time.  (In C, a pause is what a
# loop with a condition and an end needs.)

sub sleeps {
    my ($tree) = @_;
    my @found;

    for my $name (grep { m,^t/.+\.(?:t|pm)$, } sort keys %$tree) {
        my $text = $tree->{$name} =~ s/(?:^|(?<=\s))#.*$//mgr;

        push @found, lines($name, $text,
            qr/(?<![\w\$@%\-'"])u?sleep\s*(?:\(|\s[\d\$])/, 'sleeps');
        push @found, lines($name, $text,
            qr/\bselect\s*\(?\s*undef,\s*undef,\s*undef/, 'sleeps');
    }

    return @found;
}

# Each rule of delivery is in the name of a test, as "rule 12: what it says".

sub rules {
    my ($tree) = @_;

    return _unnamed($tree, 'rule', @RULES);
}

# And each row of the defects, as "row 0.12: what it says".

sub rows {
    my ($tree) = @_;

    return _unnamed($tree, 'row', @ROWS);
}

sub _unnamed {
    my ($tree, $what, @numbers) = @_;

    my $text = join "\n", map { $tree->{$_} }
        grep { m,^t/(?:[^/]+\.t|unit/.+\.c)$, && $_ ne 't/00_static.t' }
        sort keys %$tree;

    return map { "no test is named after $what $_" }
        grep { $text !~ /["']$what \Q$_\E: / } @numbers;
}

###############################################################################

# What the module shows to nginx: the output of nm -D --defined-only.

sub symbols {
    my ($nm) = @_;
    my (%names);

    $names{$_} = 1 for $nm =~ /^[0-9a-f]* ?\w (\S+)$/mg;

    my %want = map { $_ => 1 }
        qw/ ngx_modules ngx_module_names ngx_module_order /;

    return (
        (map { "$_ is exported" } grep { !$want{$_} } sort keys %names),
        (map { "$_ is not exported" } grep { !$names{$_} } sort keys %want));
}

###############################################################################

# As a program: all findings, exit code 1 if there are any.

if (!caller) {
    my ($tree, $count) = (tree(), 0);

    for my $check (sort keys %CHECKS) {
        for my $finding ($CHECKS{$check}->($tree)) {
            print "$check: $finding\n";
            $count++;
        }
    }

    exit($count ? 1 : 0);
}

1;

###############################################################################
