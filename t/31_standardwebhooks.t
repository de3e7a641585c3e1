#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Messages that the reference library of Standard Webhooks has signed, the
# package standardwebhooks of npm, and what it says of the same headers.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use JSON::PP ();
use MIME::Base64 qw/ encode_base64 /;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;
use Test::EventBridge::SDK qw/ npm_modules /;

###############################################################################

my $t = Test::EventBridge->new(log_level => 'info', auth => 1);
my $dir = $t->testdir();
my $modules = npm_modules($t, 'standardwebhooks');
my $script = $t->root() . '/t/npm/standardwebhooks.js';

my %secret = map { $_ => 'whsec_' . encode_base64("$_-" . join('',
    map { chr(33 + rand 90) } 1 .. 28), '') } qw/ old new none /;

$t->secret($_) for values %secret;
$t->secret_file('keys', "acme:$secret{old}\n");

$t->conf(<<'EOC');
    eventbridge_checkpoint_zone zone=z:1m path=%%TESTDIR%%/z.ckpt;
    client_max_body_size 4m;
    client_body_buffer_size 16k;

    server {
        listen 127.0.0.1:%%PORT_0%%;

        location = /hook {
            eventbridge_ingest;
            eventbridge_auth standard_webhooks %%TESTDIR%%/keys;
            eventbridge_checkpoint z;
            eventbridge_route /to/user type=^user[.];
            eventbridge_route /to/rest;
        }

        location /to/ {
            internal;
            client_max_body_size 0;
            proxy_pass http://127.0.0.1:%%PORT_dest%%;
        }
    }
EOC

my $m = $t->mock('dest');
my $p = $t->port(0);
my $now = time;
my $body = '{"type":"user.created","timestamp":"2026-03-19T22:04:48.130Z",'
    . '"data":{"name":"Zo\u00eb' . " \xc3\x9cber\",\"n\":1.0}}";
my $big = '{"type":"user.created","data":"' . 'x' x 200_000 . '"}';
my $n = 0;

# name, status, what the library says, what is signed, what is sent

my @cases = (
    [ 'signed', 200, 'ok' ],
    [ 'a large body', 200, 'ok', { body => $big } ],
    [ 'an empty object', 200, 'ok', { body => '{}' } ],
    [ '4 minutes ago', 200, 'ok', { at => $now - 240 } ],
    [ 'in 4 minutes', 200, 'ok', { at => $now + 240 } ],
    [ 'too old', 401, qr/too old/, { at => $now - 400 } ],
    [ 'too new', 401, qr/too new/, { at => $now + 400 } ],
    [ 'another secret', 401, qr/No matching/, { secret => 'none' } ],
    [ 'another body', 401, qr/No matching/, {}, { body => "$body " } ],
    [ 'a truncated body', 401, qr/No matching/, {},
        { body => substr $body, 0, -1 } ],
    [ 'another id', 401, qr/No matching/, {}, { id => 'msg_other' } ],
    [ 'another time', 401, qr/No matching/, {}, { at => $now + 1 } ],
    [ 'a truncated signature', 401, qr/No matching/, {}, { cut => 4 } ],
    [ 'two signatures', 200, 'ok', {}, { also => 'none' } ],
    [ 'two signatures, the other way', 200, 'ok', { secret => 'none' },
        { also => 'old' } ],
    [ 'two signatures, both wrong', 401, qr/No matching/,
        { secret => 'none' }, { also => 'none' } ],
);

$t->plan(@cases * 2 + 13);
$t->run();

###############################################################################

# each is signed by the library; and it, and nginx, look at what is sent

my (@to_sign, @sent);

for my $case (@cases) {
    my %m = (id => 'msg_' . ++$n, at => $now, body => $body,
        secret => 'old', %{$case->[3] // {}});

    push @to_sign, { %m }, { %m, secret => $case->[4]{also} // 'none' };
}

my @signatures = library(@to_sign);

for my $i (0 .. $#cases) {
    my %send = %{$cases[$i][4] // {}};
    my $signature = $signatures[$i * 2];

    substr $signature, -$send{cut}, $send{cut}, '' if $send{cut};
    $signature .= " $signatures[$i * 2 + 1]" if $send{also};

    delete @send{qw/ cut also /};
    push @sent, { %{$to_sign[$i * 2]}, %send, secret => 'old',
        signature => $signature };
}

my @verdicts = library(@sent);

for my $i (0 .. $#cases) {
    my ($name, $status, $verdict) = @{$cases[$i]};
    my $r = hook($sent[$i]);

    is($r->status(), $status, $name) or diag($r->text());
    like($verdicts[$i], ref $verdict ? $verdict : qr/^$verdict\z/,
        "$name, by the library");
}

# an event is known by its id, and routed by its type

$m->forget();

my %message = (id => 'msg_known', at => $now, body => $body, secret => 'old');
my %again = (%message, at => $now + 7);
my ($first, $second) = library(\%message, \%again);

is(hook({ %message, signature => $first })->json()->{forwarded}, 1,
    'a message');
is(hook({ %again, signature => $second })->json()->{duplicates}, 1,
    'sent again, at another time');
is(join('|', $m->bodies('/to/user')), $body, 'delivered once, as it was');

# Svix calls the headers differently; a body in chunks

is(hook({ %message, signature => $first }, family => 'svix')->json()
    ->{duplicates}, 1, 'headers of Svix');
is(hook({ %message, signature => $first }, chunks =>
    [ unpack '(a7)*', $body ])->json()->{duplicates}, 1, 'chunks');

# rotation: no reload, and at no time is anybody refused

my %new = (%message, id => 'msg_new', secret => 'new');
my ($signed) = library(\%new);

is(hook({ %new, signature => $signed })->status(), 401, 'a secret to come');

$t->secret_file('keys', "acme:$secret{old}\nacme:$secret{new}\n");
ok(wait_for(sub { hook({ %new, signature => $signed })->status() == 200 },
    10), 'both secrets');
is(hook({ %message, signature => $first })->status(), 200,
    'both secrets, the old one');
is(hook({ %message, signature => "$signed $first" })->status(), 200,
    'signed by both');

$t->secret_file('keys', "acme:$secret{new}\n");
ok(wait_for(sub { hook({ %message, signature => $first })->status() == 401 },
    10), 'the old one is withdrawn');
is(hook({ %new, signature => $signed })->json()->{duplicates}, 1,
    'the new one stays');

like($signed, qr/^v1,[A-Za-z0-9+\/]{43}=\z/, 'the form of a signature');
is(hook({ %new, signature => '' })->status(), 401, 'no signature');

$t->stop();

###############################################################################

# one line of the library for each message

sub library {
    my (@messages) = @_;

    local $ENV{NODE_PATH} = $modules;
    my $json = JSON::PP->new()->canonical();
    my $file = $t->write_file('messages', join '', map { $json->encode({ %$_,
        secret => $secret{$_->{secret}}, body => encode_base64($_->{body}, ''),
        }) . "\n" } @messages);

    my @lines = `node '$script' < '$file'`;

    die "node: $?\n" if $? || @lines != @messages;
    chomp @lines;
    unlink $file;

    return @lines;
}

sub hook {
    my ($message, %opt) = @_;

    my $family = delete $opt{family} // 'webhook';

    return post($p, '/hook', $opt{chunks} ? undef : $message->{body}, %opt,
        headers => [ "$family-id" => $message->{id},
            "$family-timestamp" => $message->{at},
            "$family-signature" => $message->{signature} ]);
}

###############################################################################
