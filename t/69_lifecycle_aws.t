#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Lifecycles that are published to AWS: bodies of PutEvents, their limits,
# errors of entries and of calls, and signatures, which the mock verifies.

###############################################################################

use warnings;
use strict;

use utf8;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();

use Test::EventBridge;
use Test::EventBridge::Lifecycle qw/ plain steps stamp /;
use Test::EventBridge::SigV4 qw/ sigv4_verify /;

###############################################################################

my $t = Test::EventBridge->new(workers => 2, log_level => 'info')->plan(40);

my $bus = Test::EventBridge::Lifecycle->add($t, 1);
my $tls = Test::EventBridge::Lifecycle->add($t, 2, tls => 1);
my $env = Test::EventBridge::Lifecycle->add($t, 3);
my $port = $t->port(0);
my $dir = $t->testdir();
my $json = JSON::PP->new()->utf8()->canonical();

my %keys = (key_id => 'AKIDEXAMPLE', secret => 'wJalrXUtnFEMI/K7MDENG+bPx',
    token => 'AQoDYXdzEJr//////////wEaoAK1wvxJY12r2IrDFT2==',
    region => 'eu-central-1');
my %env = (key_id => 'AKIDENV', secret => 'a secret of the environment',
    token => 'environment-token', region => 'us-east-1');

secrets(\%keys);
$t->secret($_->{secret}, ok_in => qr/keys$/) for \%keys, \%env;
$t->secret($_, ok_in => qr/keys$|mock-\d+\.jsonl$/)
    for $keys{token}, $env{token};

@ENV{qw/ AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN /} =
    @env{qw/ key_id secret token /};

my $ca = $tls->ca();
my $arn = 'arn:aws:events:eu-central-1:123456789012:event-bus/calls';

$t->conf(<<'EOT' =~ s/CERTIFICATE/$ca/gr =~ s/ARN/$arn/gr)->run();
http {
    eventbridge_stats_file %%TESTDIR%%/stats;

    eventbridge_lifecycle calls {
        state %%TESTDIR%%/calls;
        window 20ms;
        interactions 1000;
        bus http://127.0.0.1:%%PORT_1%%/;
        bus_format aws;
        bus_region eu-central-1;
        bus_name ARN;
        bus_source com.example.calls;
        retention_days 90;
        aws_credentials_file %%TESTDIR%%/keys;
    }

    eventbridge_lifecycle tls {
        state %%TESTDIR%%/over-tls;
        window 0;
        interactions 1000;
        bus https://localhost:%%PORT_2%%/put/events;
        bus_format aws;
        bus_region eu-central-1;
        trusted_certificate CERTIFICATE;
        aws_credentials_file %%TESTDIR%%/keys;
    }

    eventbridge_lifecycle env {
        state %%TESTDIR%%/env;
        window 0;
        interactions 1000;
        bus http://127.0.0.1:%%PORT_3%%;
        bus_format aws;
        bus_region us-east-1;
    }

    server {
        listen 127.0.0.1:%%PORT_0%%;

        location /calls { eventbridge_lifecycle_status calls; }
        location = /metrics { eventbridge_metrics; }

        location = /in/calls {
            eventbridge_ingest;
            eventbridge_route lifecycle:calls;
        }

        location = /in/tls {
            eventbridge_ingest;
            eventbridge_route lifecycle:tls;
        }

        location = /in/env {
            eventbridge_ingest;
            eventbridge_route lifecycle:env;
        }
    }
}
EOT

sub secrets {
    my ($keys) = @_;

    # in place of the old file, at once
    $t->write_file('keys.new', join(':', @$keys{qw/ key_id secret /},
        $keys->{token} // ()) . "\n", 0640);
    chown +(getpwnam('nobody'))[2, 3], $t->testdir() . '/keys.new'
        if $> == 0;
    rename $t->testdir() . '/keys.new', $t->testdir() . '/keys'
        or die "rename: $!\n";
}

sub in {
    my ($name, @events) = @_;
    return post($port, "/in/$name", $json->encode({ events => \@events }))
        ->status();
}

sub figures { return get($port, "/$_[0]")->json() // {} }

my $at = (int(time / 1000) * 1000 - 5000) * 1000;

# the body and its signature

$bus->bus(keys => \%keys);

my $i = "Größe \"1\" \\ 客戶 \x{1F4DE}";
is(in(calls => plain($i, undef, 'queued', $at + 789),
    plain($i, 'queued', 'ringing', $at + 1000)), 200, 'events are received');
ok($bus->wait_taken(2), 'and published') or diag($bus->problems());

my @taken = $bus->taken();
my $r = ($bus->requests('/'))[0];
my $body = $json->decode($r->body());

is($taken[0]{i}, $i, 'UTF-8 of an id');
is($r->method(), 'POST', 'POST');
is($r->header('Content-Type'), 'application/x-amz-json-1.1', 'type');
is($r->header('X-Amz-Target'), 'AWSEvents.PutEvents', 'operation');
is($r->header('X-Amz-Security-Token'), $keys{token}, 'session token');
is_deeply([ keys %$body ], [ 'Entries' ], 'a body of entries');

my $e = $body->{Entries}[0];
is_deeply([ sort keys %$e ], [ qw/ Detail DetailType EventBusName Source
    Time / ], 'members of an entry, without an id');
is($e->{Source}, 'com.example.calls', 'Source');
is($e->{DetailType}, 'interaction.lifecycle.transition', 'DetailType');
is($e->{EventBusName}, $arn, 'EventBusName');
my $time = int($at / 1000) . '.789';
like($r->body(), qr/"Time":\Q$time\E\}/, 'Time: a number of seconds');
like($r->body(), qr/"Detail":"\{\\"interactionId\\":/, 'Detail: a string');
is_deeply(JSON::PP->new()->decode($e->{Detail}), { interactionId => $i,
    previousState => undef, currentState => 'queued', lifecycleStage => 1,
    timestamp => stamp($at + 789), retentionDays => 90,
    eventBusSource => 'com.example.calls', transitionId => $taken[0]{id} },
    'Detail: what it says');

my @headers = map { ($_ => $r->header($_)) } qw/ Host Content-Type
    X-Amz-Target X-Amz-Date X-Amz-Security-Token Authorization /;
my %verify = (%keys, headers => \@headers, body => $r->body(), path => '/',
    method => 'POST');

is(sigv4_verify(%verify), '', 'the signature is that of another '
    . 'implementation');
isnt(sigv4_verify(%verify, body => $r->body() . ' '), '',
    'which covers the body');
isnt(sigv4_verify(%verify, secret => 'x'), '', 'the secret');
isnt(sigv4_verify(%verify, path => '/x'), '', 'the path');
isnt(sigv4_verify(%verify, method => 'PUT'), '', 'the method');
like($r->header('Authorization'), qr/SignedHeaders=[^,]*x-amz-security-token/,
    'and the token');

# no more than ten entries, others in other calls

in(calls => map { plain("ten$_", undef, 'queued', $at) } 1 .. 35);
ok($bus->wait_taken(37), 'many transitions');
my @sizes = map { scalar @{$json->decode($_)->{Entries}} } $bus->bodies('/');
is((grep { $_ > 10 } @sizes), 0, 'ten entries in a call at most');
cmp_ok(@sizes, '<', 20, 'but not one by one');

# errors of entries

$t->allow_error('error', qr/bus of lifecycle "calls" took none of/,
    maybe => 1);
$bus->bus(entries => 0.3, code => 'ThrottlingException', seed => 3);
in(calls => map { steps("throttled$_", $at, qw/ queued ringing connected /) }
    1 .. 10);
ok($bus->wait_taken(67, 30), 'row 4.12: entries that fail are sent again');
is($bus->heard("throttled$_"), 'queued ringing connected',
    "row 4.12: in order ($_)") for 1, 10;
$bus->bus(entries => 0);

$t->allow_error('error', qr/"calls" does not take a transition/);
$bus->bus(refuse => 'wrong1', refuse_code => 'NotAuthorizedForSourceException');
in(calls => plain('wrong1', undef, 'queued', $at),
    plain('right1', undef, 'queued', $at));
ok($bus->wait_taken(68), 'row 4.10: one is refused, the other one is not');
ok(wait_for(sub { figures('calls')->{failed} == 1 }, 10),
    'row 4.10: it is a dead letter');
like(read_file("$dir/calls.dead"), qr/NotAuthorizedForSourceException/,
    'row 4.10: with the words of AWS');
$bus->bus(refuse => undef);

# errors of calls: keys that are exchanged without a reload

my %new = (key_id => 'AKIDNEW', secret => 'another secret',
    region => 'eu-central-1');
$t->secret($new{secret}, ok_in => qr/keys$/);
$bus->bus(keys => { %new, token => undef });
in(calls => plain('keys', undef, 'queued', $at));
ok(wait_for(sub { scalar $bus->problems() }, 10), 'old keys are refused');
is($bus->count(), 68, 'a call is not a dead letter for that');
secrets(\%new);
ok($bus->wait_taken(69, 60), 'new keys are taken');
is(($bus->requests('/'))[-1]->header('X-Amz-Security-Token'), undef,
    'without a token');
is(figures('calls')->{failed}, 1, 'and nothing has failed for good');

# by TLS, another path; and keys of the environment

$tls->bus(keys => { %new, token => undef });
in(tls => plain('tls1', undef, 'queued', $at));
ok($tls->wait_taken(1), 'HTTPS') or diag($tls->problems());
is(($tls->requests('/put/events'))[0]->method(), 'POST', 'HTTPS: its path');
is(scalar $tls->problems(), 0, 'HTTPS: the signature');

$env->bus(keys => \%env);
in(env => plain('env1', undef, 'queued', $at));
ok($env->wait_taken(1), 'keys of the environment') or diag($env->problems());
is(scalar $env->problems(), 0, 'keys of the environment: the signature');

###############################################################################
