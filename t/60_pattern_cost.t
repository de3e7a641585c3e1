#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# What an event, or a pattern that is asked for, may cost at most: limits of
# all regexes of an event, and of wildcards without case.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();

use Test::EventBridge;

###############################################################################

my $t = Test::EventBridge->new()->plan(15);
my $m = $t->mock(1);

$t->conf(<<'EOF')->run();
    client_max_body_size 4m;

    server {
        listen 127.0.0.1:%%PORT_0%%;

        location = /test { eventbridge_test_pattern; }

        location = /events {
            eventbridge_ingest;
            eventbridge_unrouted /to/rest;
            eventbridge_route /to/hard
                'pattern={"text":[{"regex":"^(a+)+[bc]"}]}';
        }

        location /to/ {
            internal;
            client_max_body_size 0;
            proxy_pass http://127.0.0.1:%%PORT_1%%;
        }
    }
EOF

my $p = $t->port(0);
my $json = JSON::PP->new()->canonical();

###############################################################################

# one that goes back and forth, and one that does not

my $hard = 'a' x 30;
my $hard_long = 'a' x 300;

like(asked('{"x":[{"regex":"^(a+)+[bc]"}]}', ($hard) x 10, 'ab', ($hard) x 10),
    qr/true/, 'some that are hard');
like(asked('{"x":[{"regex":"^(a+)+[bc]"}]}', ($hard_long) x 10, 'ab',
    ($hard_long) x 10), qr/true/, 'some that are hard and long');
like(asked('{"x":[{"regex":"^(a+)+[bc]"}]}', ($hard) x 600, 'ab',
    ($hard) x 600), qr/false/, 'too many that are hard');
like(asked('{"x":[{"regex":"^(a+)+[bc]"}]}', ($hard_long) x 600, 'ab',
    ($hard_long) x 600), qr/false/, 'too many that are hard and long');
like(asked('{"x":[{"regex":"^a+[bc]$"}]}', ($hard) x 30000, 'ab',
    ($hard) x 30000), qr/true/, 'many that are easy');
like(asked('{"x":[{"regex":"^(a+)+[bc]"}]}', 'ab'), qr/true/,
    'the next event begins anew');

# the same for senders

is(post($p, '/events', event(1, ($hard) x 600, 'ab', ($hard) x 600))->status(),
    200, 'an event with many that are hard');
is($m->hits('/to/rest'), 1, 'is given up');
is(post($p, '/events', '[' . event(2, ($hard) x 600, 'ab', ($hard) x 600) . ','
    . event(3, 'ab') . ']')->status(), 200, 'with another one');
is($m->hits('/to/hard'), 1, 'which is not');

# runs that differ in case only

for my $case (
    [ '*A' . 'a' x 3000 . 'b*', 400 ],
    [ '*' . "\x{e4}" . "\x{c4}" x 20 . 'b*', 400 ],
    [ '*' . "\x{df}" . 's' x 40 . 'b*', 400 ],
    [ '*AbCdEfGhIjKlMnOpQrStUvWxYz*' , 200 ],
    [ "*\x{c4}\x{d6}\x{dc}\x{df}*x", 200 ])
{
    is(test($json->utf8(1)->encode({ x =>
        [ { 'wildcard-ignore-case' => $case->[0] } ] }), 'a')->status(),
        $case->[1], 'wildcard ' . $json->ascii(1)->allow_nonref()
            ->encode(substr $case->[0], 0, 8));
}

###############################################################################

sub test {
    my ($pattern, @values) = @_;

    return post($p, '/test', JSON::PP->new()->utf8()->encode({
        Event => $json->ascii(1)->encode({ x => \@values }) })
        =~ s/^\{/{"EventPattern":$pattern,/r);
}

sub asked { return test(@_)->body() }

sub event {
    my ($id, @values) = @_;

    return $json->ascii(1)->encode({ id => "$id", source => 's', type => 't',
        text => \@values });
}

###############################################################################
