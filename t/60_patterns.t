#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# The language of event patterns: each case of t/data/patterns.jsonl, and of
# the recorded ones where they are, by eventbridge_test_pattern, by a route
# among others, and by what eventbridge_explain says of that route.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();

use Test::EventBridge;

###############################################################################

# destinations, and with them routes that can be told apart, of a location
use constant ROUTES => 64;

# what nginx.conf takes as one parameter, with room for its quotes
use constant INLINE => 2000;

my $t = Test::EventBridge->new(workers => 1);
my $json = JSON::PP->new()->utf8()->canonical();

my @cases = cases("$FindBin::Bin/data/patterns.jsonl");
my $own = @cases;

push @cases, map { cases($_) } $t->shared_data('patterns/*.jsonl');

note(sprintf '%d cases of our own, %d recorded', $own, @cases - $own);

# one route for each text of a pattern that is one

my (%routes, @patterns);

for my $case (grep { $_->{expected} ne 'invalid' } @cases) {
    $routes{$case->{pattern}} //= do {
        push @patterns, $case->{pattern};
        $#patterns;
    };
}

my $locations = int((@patterns + ROUTES - 1) / ROUTES);

$t->plan(8 + (@cases > $own ? 4 : 1));

###############################################################################

my $conf = '';

for my $n (0 .. $locations - 1) {
    $conf .= "        location = /in/$n {\n"
        . "            eventbridge_event id=\$http_x_id;\n"
        . "            eventbridge_route_policy all;\n";

    for my $i (0 .. ROUTES - 1) {
        my $pattern = $patterns[$n * ROUTES + $i] // last;

        $conf .= sprintf "            eventbridge_route /to/%d name=%02d %s;\n",
            $i, $i, parameter($n * ROUTES + $i, $pattern);
    }

    $conf .= "        }\n";
}

$t->conf(<<'EOF' =~ s/LOCATIONS\n/$conf/r)->run();
    eventbridge_stats_file %%TESTDIR%%/stats;
    eventbridge_audit_log %%TESTDIR%%/audit.log flush=10ms;

    upstream sink { server 127.0.0.1:%%PORT_1%%; keepalive 128; }

    client_max_body_size 4m;
    client_body_buffer_size 1m;
    keepalive_requests 100000;

    server {
        listen 127.0.0.1:%%PORT_0%%;

LOCATIONS
        location /to/ {
            internal;
            client_max_body_size 0;
            proxy_pass http://sink;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }

        location = /test { eventbridge_test_pattern; }
        location = /explain { eventbridge_explain; }
        location = /metrics { eventbridge_metrics; }
    }

    server {
        listen 127.0.0.1:%%PORT_1%%;
        location / { return 200; }
    }
EOF

my $c = client($t->port(0));

###############################################################################

# asked as the API of AWS is: texts as strings, then as what they are

my (@wrong, @messages, $objects);

for my $case (@cases) {
    my $got = ask($case->{pattern}, $case->{event});

    if ($case->{expected} eq 'invalid') {
        push @messages, "$case->{name}: $got->{message}"
            if defined $case->{message}
            && index($got->{message} // '', $case->{message}) < 0;

        $got = $got->{__type} // '';
        push @wrong, "$case->{name}: $got"
            if $got ne 'InvalidEventPatternException';
        next;
    }

    push @wrong, "$case->{name}: " . $json->encode($got)
        if answer($got) ne $case->{expected};

    # bytes of an object are cut out of the body as they are

    next if $case->{pattern} !~ /^\s*\{/ || $case->{event} !~ /^\s*\{/;

    my $r = post($c, '/test', "{\"Event\":$case->{event},"
        . "\"EventPattern\":$case->{pattern}}");

    push @wrong, "$case->{name}, as objects: " . $r->body()
        if answer($json->decode($r->body())) ne $case->{expected};
    $objects++;
}

results('tested', @wrong);
results('messages', @messages);
cmp_ok($objects, '>', 400, 'cases as objects');

###############################################################################

# by routes: each event goes to the location that has the route of its pattern,
# and what is right for the other routes there is not known

my (%asked, %ids, $id, @explained);

$id = 0;

for my $case (grep { $_->{expected} ne 'invalid' } @cases) {
    my $route = $routes{$case->{pattern}};
    my $n = int($route / ROUTES);
    my $event = $ids{"$n $case->{event}"} //= do {
        $id++;
        my $r = post($c, "/in/$n", $case->{event}, headers => [
            'X-Id' => "id-$id", 'Content-Type' => 'application/json' ]);

        { id => "id-$id", status => $r->status(), n => $n,
            explain => said_of($n, $case->{event}) };
    };

    push @{$asked{$event->{id}}}, [ $case, $event, $route % ROUTES ];

    my $said = $event->{explain}{routes}[$route % ROUTES];
    my $matched = $said->{matched} ? 'match' : 'nomatch';

    push @explained, "$case->{name}: " . $json->encode($said)
        if $matched ne $case->{expected}
        || ($matched eq 'nomatch' && ($said->{condition} !~ /^pattern ./
            || $said->{reason} !~ /\S \S/));
}

my %audit;

wait_for(sub {
    %audit = map { $_->{eventId} => $_ } $t->audit_lines('audit.log');
    return keys %audit == $id;
});

is(scalar keys %audit, $id, 'events settled');

my (@routed, $taken, $left);

for my $event (sort keys %asked) {
    my %names = map { $_ => 1 } split /,/, $audit{$event}{route} // '';

    for my $asked (@{$asked{$event}}) {
        my ($case, $e, $i) = @$asked;
        my $got = $names{sprintf '%02d', $i} ? 'match' : 'nomatch';

        push @routed, "$case->{name}: $got by status $e->{status}"
            if $got ne $case->{expected} || $e->{status} != 200;

        $got eq 'match' ? $taken++ : $left++;
    }
}

results('routed', @routed);
results('explained', @explained);
cmp_ok($taken, '>', 200, 'routes that took their event');
cmp_ok($left, '>', 200, 'routes that did not');

# the recorded cases are those of Event Ruler

SKIP: {
    skip 'the recorded cases are not here', 1 if @cases == $own;

    is(@cases - $own, 2067, 'recorded cases');

    for my $expected (qw/ match nomatch invalid /) {
        cmp_ok(scalar(grep { $_->{expected} eq $expected }
            @cases[$own .. $#cases]), '>', 30, "recorded: $expected");
    }
}

###############################################################################

sub cases {
    my ($file) = @_;
    my @found;

    open my $fh, '<:raw', $file or die "$file: $!\n";

    while (my $line = <$fh>) {
        my $case = $json->decode($line);

        for my $key (qw/ pattern event /) {
            $case->{$key} //= $case->{"${key}_raw"};
            utf8::encode($case->{$key});
        }

        $case->{expected} =~ s/-pattern$//;
        push @found, $case;
    }

    return @found;
}

# as nginx.conf has it: the shorter ones, every other of them

sub parameter {
    my ($n, $pattern) = @_;

    if ($n % 2 || length $pattern > INLINE) {
        $t->write_file("p$n.json", $pattern);
        return 'pattern_file=' . $t->testdir() . "/p$n.json";
    }

    $pattern =~ s/([\\'])/\\$1/g;

    return "'pattern=$pattern'";
}

sub ask {
    my ($pattern, $event) = @_;

    utf8::decode($pattern);
    utf8::decode($event);

    my $r = post($c, '/test', $json->encode({ EventPattern => $pattern,
        Event => $event }));

    return $json->decode($r->body());
}

sub answer {
    my ($got) = @_;

    return 'neither' if !exists $got->{Result};
    return $got->{Result} ? 'match' : 'nomatch';
}

# of the only event in it

sub said_of {
    my ($n, $event) = @_;

    my $r = post($c, "/explain?location=/in/$n", $event);

    return $json->decode($r->body())->{events}[0];
}

sub results {
    my ($name, @bad) = @_;

    is(scalar @bad, 0, $name) or diag(join "\n",
        @bad[0 .. ($#bad < 20 ? $#bad : 20)]);
}

###############################################################################
