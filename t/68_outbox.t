#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Callbacks: they are delivered, signed, with the same id every time, whatever
# happens to nginx or to the webhook.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Digest::SHA qw/ hmac_sha256_base64 /;
use JSON::PP ();
use MIME::Base64 qw/ decode_base64 encode_base64 /;

use Test::EventBridge;
###############################################################################

my $t = Test::EventBridge->new(workers => 2, log_level => 'debug')->plan(79);

my $g = $t->genesys(1, tls => 0);
my $hook = $t->mock(2);
my $tls = $t->mock(3, tls => 1);
my $slow = $t->mock(4);
my $port = $t->port(0);
my $dir = $t->testdir();

my $key = 'an outbox key of 32 bytes, or so';
my $whsec = 'whsec_' . encode_base64($key, '');

secrets('secret', 'the-client-secret');
secrets('keys', "first:$whsec");
$t->secret('the-client-secret', ok_in => qr/mock-\d+\.jsonl|secret$/);
$t->secret(encode_base64($key, ''), ok_in => qr/keys$/);

my $ca = $tls->ca();

$t->conf(<<'EOT' =~ s/CERTIFICATE/$ca/gr);
http {
    eventbridge_stats_file %%TESTDIR%%/stats;
    eventbridge_outbox path=%%TESTDIR%%/outbox;

    eventbridge_webhook hook http://127.0.0.1:%%PORT_2%%/hook
        secret_file=%%TESTDIR%%/keys;
    eventbridge_webhook tls https://localhost:%%PORT_3%%/tls
        secret_file=%%TESTDIR%%/keys trusted_certificate=CERTIFICATE;
    eventbridge_webhook distrust https://localhost:%%PORT_3%%/distrust
        tries=1;
    eventbridge_webhook slow http://127.0.0.1:%%PORT_4%%/slow timeout=60s;
    eventbridge_webhook gone http://127.0.0.1:%%PORT_4%%/gone tries=2;

    eventbridge_genesys org {
        api_url http://127.0.0.1:%%PORT_1%%;
        login_url http://127.0.0.1:%%PORT_1%%;
        client_id client-1;
        client_secret_file %%TESTDIR%%/secret;
    }

    eventbridge_audit_log %%TESTDIR%%/audit.log flush=100ms;

    server {
        listen 127.0.0.1:%%PORT_0%%;
        eventbridge_genesys_pass org /_genesys/;

        location /hook {
            eventbridge_genesys_retention org;
            eventbridge_retention_cost gb=10 price=0.5 callback=hook;
        }

        location /tls {
            eventbridge_genesys_retention org;
            eventbridge_retention_cost gb=10 price=0.5 callback=tls;
        }

        location /distrust {
            eventbridge_genesys_retention org;
            eventbridge_retention_cost gb=10 price=0.5 callback=distrust;
        }

        location /slow {
            eventbridge_genesys_retention org;
            eventbridge_retention_cost gb=10 price=0.5 callback=slow;
        }

        location /gone {
            eventbridge_genesys_retention org;
            eventbridge_retention_cost gb=10 price=0.5 callback=gone;
        }

        location = /metrics { eventbridge_metrics; }

        location /_genesys/ {
            internal;
            proxy_pass http://127.0.0.1:%%PORT_1%%/;
            proxy_set_header Authorization $eventbridge_bearer;
        }
    }
}
EOT
$t->run();
$g->client('client-1', 'the-client-secret');

my $n = 0;

# one callback, as it is to be

is(adjust('/hook')->status(), 200, 'a policy is adjusted');
ok($hook->wait_hits('/hook', 1), 'its webhook is called');

my $r = ($hook->requests('/hook'))[0];
my $record = $r->json();

is($r->method(), 'POST', 'by POST');
is($r->header('Content-Type'), 'application/json', 'with JSON');
is_deeply([ sort keys %$record ], [ qw/ action complianceVerified
    costEstimateUSD latencyMs migrationSuccess policyId timestamp / ],
    'the record of the adjustment');
is($record->{policyId}, "p$n", 'of this policy');
ok($record->{migrationSuccess} && $record->{complianceVerified},
    'which tells how it ended');
like($r->header('webhook-id'), qr/^msg_[0-9a-f]{32}$/, 'its id');
ok(abs($r->header('webhook-timestamp') - time) < 10, 'its time');
is($r->header('webhook-signature'), sign($r, $key), 'its signature');

ok(audited("p$n"), 'row 0.13: the record is in the audit log');
ok(marked('done', id($r)), 'row 0.14: that it was delivered is in the file');
ok(wait_for(sub { metric('depth') == 0 }, 5), 'nothing is left to be done');
is(metric('delivered_total'), 1, 'it is counted');

# by TLS, and only to whom is trusted

is(adjust('/tls')->status(), 200, 'HTTPS');
ok($tls->wait_hits('/tls', 1), 'HTTPS: called');
is(($tls->requests('/tls'))[0]->header('webhook-signature'),
    sign(($tls->requests('/tls'))[0], $key), 'HTTPS: signature');

adjust('/distrust');
ok(wait_for(sub { metric('dead_total') == 1 }, 10),
    'a certificate that is not trusted');
is(scalar $tls->requests('/distrust'), 0, 'gets nothing');

# another secret beside the first one, without a reload

my $raw = 'a raw secret';
secrets('keys', "first:$whsec\nsecond:$raw");
$t->secret($raw, ok_in => qr/keys$/);
my $hits = $hook->requests('/hook');

ok(wait_for(sub {
    adjust('/hook');
    $hook->wait_hits('/hook', ++$hits);
    ($hook->requests('/hook'))[-1]->header('webhook-signature') =~ / /;
}, 10), 'a secret is added');

$r = ($hook->requests('/hook'))[-1];
is($r->header('webhook-signature'), sign($r, $key, $raw), 'two signatures');

# what is refused comes again, by the same id

$hook->queue('/hook', { status => 500 }, { status => 429,
    headers => [ 'Retry-After' => 2 ] });
$hits = $hook->requests('/hook');
adjust('/hook');
ok($hook->wait_hits('/hook', $hits + 3, 20),
    'row 0.14: 500 and 429 are tried again');

my @r = ($hook->requests('/hook'))[$hits .. $hits + 2];
is_deeply([ map { id($_) } @r ], [ (id($r[0])) x 3 ], 'by the same id');
cmp_ok($r[2]->time() - $r[1]->time(), '>=', 1.9, 'Retry-After counts');
is($r[2]->header('webhook-signature'), sign($r[2], $key, $raw),
    'signed anew');
cmp_ok(metric('failed_total'), '>=', 2, 'attempts that failed are counted');

# one that hangs is in nobody's way

$slow->set('/slow', hang => 1);
adjust('/slow') for 1 .. 6;
ok($slow->wait_hits('/slow', 4), 'four hang');
$hits = $hook->requests('/hook');
adjust('/hook');
ok($hook->wait_hits('/hook', $hits + 1), 'another one is served');
is(scalar $slow->requests('/slow'), 4, 'and there are no more than four');
my @first = map { id($_) } $slow->requests('/slow');

# kill -9 while they hang: the same ids come again

$t->kill_all();
$slow->set('/slow');
$slow->release('/slow');
$hits = $slow->requests('/slow');
ok($t->run(), 'another start');
ok($slow->wait_hits('/slow', $hits + 6, 20),
    'row 0.14: after kill -9 all are delivered');

my %id = map { id($_) => 1 } ($slow->requests('/slow'))[$hits .. $hits + 5];
is(scalar keys %id, 6, 'six ids');
is(scalar(grep { $id{$_} } @first), 4, 'four of which are known');
ok(wait_for(sub { metric('depth') == 0 }, 5), 'and nothing is left');

# given up

$slow->set('/gone', status => 503);
adjust('/gone');
ok(wait_for(sub { metric('dead_total') >= 2 }, 20), 'the budget ends');
is(scalar $slow->requests('/gone'), 2, 'after two attempts');
ok(marked('dead', id(($slow->requests('/gone'))[0])), 'the file knows');
is(metric('dead'), 2, 'and the metrics');

# kill -9 at the steps of an adjustment

for my $step ([ PUT => 0, 'before the change' ], [ PUT => 1, 'after it' ],
    [ GET => 1, 'while it is read back' ])
{
    my ($method, $apply, $name) = @$step;

    my $id = policy();
    $g->fail($method => "/retentionpolicies/$id", hang => 1,
        $method eq 'GET' ? (skip => 1) : (), $apply ? (apply => 1) : ());

    my $c = client($port);
    $c->start(method => 'PUT', path => "/hook/$id", body => body($id));
    $g->wait_calls($method => "/retentionpolicies/$id",
        $method eq 'GET' ? 2 : 1, 10);

    my ($intent) = grep { $_->{payload} && $_->{payload}{policyId} eq $id }
        lines();
    is($intent && $intent->{kind}, 'intent', "$name: the intent is there");

    $hits = $hook->requests('/hook');
    $t->kill_all();
    $g->forgive();
    $t->run();
    ok($hook->wait_hits('/hook', $hits + 1, 20), "$name: the callback comes");

    $r = ($hook->requests('/hook'))[-1];
    my $told = $r->json();
    is_deeply([ id($r), $told->{policyId}, !!$told->{migrationSuccess},
        !!$told->{complianceVerified}, audited($id) ],
        [ $intent->{id}, $id, !!0, !!0, 1 ], "$name: and tells what is known");
}

# kill -9 of the worker that has it, and of the others

$slow->set('/slow', hang => 1);
$hits = $slow->requests('/slow');
adjust('/slow');
$slow->wait_hits('/slow', $hits + 1);
my $id = id(($slow->requests('/slow'))[-1]);
$t->kill_worker('KILL', $_) for $t->worker_pids();
ok($slow->wait_hits('/slow', $hits + 2), 'another worker takes over');
is(id(($slow->requests('/slow'))[-1]), $id, 'with the same id');
$slow->set('/slow');
$slow->release('/slow');
ok(marked('done', $id), 'and is heard');

# the file does not grow for ever, and the dead are kept

adjust('/hook') for 1 .. 40;
ok(wait_for(sub { metric('depth') == 0 && lines() < 120 }, 20),
    'what is over is removed from the file');
is(scalar(grep { $_->{kind} eq 'dead' } lines()), 2, 'but what is dead');

# what cannot be remembered is not done

my $policy = policy();
rename "$dir/outbox", "$dir/away" or die "rename: $!\n";
mkdir "$dir/outbox" or die "mkdir: $!\n";
is(client($port)->request(method => 'PUT', path => "/hook/$policy",
    body => body($policy))->status(), 502, 'without the file');
is(scalar $g->calls(PUT => "/retentionpolicies/$policy"), 0,
    'nothing is changed');
rmdir "$dir/outbox" or die "rmdir: $!\n";
rename "$dir/away", "$dir/outbox" or die "rename: $!\n";
$hits = $hook->requests('/hook');
adjust('/hook');
ok($hook->wait_hits('/hook', $hits + 1), 'with it again all is well');

# reload and a quiet end while one is under way

$slow->set('/slow', hang => 1);
$hits = $slow->requests('/slow');
adjust('/slow');
$slow->wait_hits('/slow', $hits + 1);
ok($t->reload(keep_old => 1), 'reload with a callback under way');
$slow->set('/slow');
$slow->release('/slow');
ok(marked('done', id(($slow->requests('/slow'))[-1])), 'which is delivered');
is(scalar $slow->requests('/slow'), $hits + 1, 'once');

$t->stop();

# what is no configuration

my $outbox = 'eventbridge_outbox path=%%TESTDIR%%/other;';

for my $case (
    [ 'needs an "eventbridge_outbox', 'eventbridge_webhook a https://a/;' ],
    [ 'a name of 1 to 64', "$outbox eventbridge_webhook 'a b' https://a/;" ],
    [ 'is expected', "$outbox eventbridge_webhook a ftp://a/;" ],
    [ 'no valid host', "$outbox eventbridge_webhook a https:///x;" ],
    [ 'credentials', "$outbox eventbridge_webhook a https://b:c\@d/;" ],
    [ 'has to be encoded', "$outbox eventbridge_webhook a 'https://a/ b';" ],
    [ 'used already', "$outbox eventbridge_webhook a https://a/; "
        . 'eventbridge_webhook a https://b/;' ],
    [ 'from 1 to 4', "$outbox eventbridge_webhook a https://a/ parallel=5;" ],
    [ 'from 1 to 10000', "$outbox eventbridge_webhook a https://a/ tries=0;" ],
    [ 'from 1s', "$outbox eventbridge_webhook a https://a/ max_age=0;" ],
    [ 'from 1ms', "$outbox eventbridge_webhook a https://a/ timeout=x;" ],
    [ 'invalid value', "$outbox eventbridge_webhook a https://a/ other=1;" ],
    [ 'there is no such file', "$outbox eventbridge_webhook a https://a/ "
        . 'trusted_certificate=/none;' ],
    [ 'no base64', "$outbox eventbridge_webhook a https://a/ "
        . 'secret_file=%%TESTDIR%%/bad;' ],
    [ 'unknown webhook "b"', "$outbox eventbridge_webhook a https://a/; "
        . 'eventbridge_retention_cost gb=1 price=1 callback=b;' ],
    [ 'a file is expected', 'eventbridge_outbox path=;' ],
    [ 'invalid value', 'eventbridge_outbox file=a;' ],
    [ 'duplicate', "$outbox $outbox" ])
{
    my ($message, $conf) = @$case;

    $t->write_file('bad', "a:whsec_!\n", 0640);

    my ($code, $out) = $t->test_config(
        "eventbridge_stats_file %%TESTDIR%%/stats-t; $conf");
    ok($code && $out =~ /\Q$message/, "$conf: $message") or diag($out);
}

for my $case ([ 'http://127.0.0.1:1/', 0 ], [ 'http://192.0.2.1/', 1 ],
    [ 'https://192.0.2.1/a?b=c', 0 ])
{
    my ($url, $warning) = @$case;
    my ($code, $out) = $t->test_config("eventbridge_stats_file "
        . "%%TESTDIR%%/stats-t; $outbox eventbridge_webhook a $url;");

    is_deeply([ $code, $out =~ /is not https/ ? 1 : 0 ], [ 0, $warning ], $url)
        or diag($out);
}

###############################################################################

# as an administrator does it: workers may read it, and see all of it

sub secrets {
    my ($name, $text) = @_;
    $t->secret_file($name, "$text\n");
}

sub policy {
    my $id = 'p' . ++$n;

    $g->put(policies => { id => $id, name => $id, status => 'active',
        retentionPeriod => 'P30D', eventTypes => [ 'a' ], complianceTags => [],
        tiering => { hotDays => 1, warmDays => 2, coldDays => 3 } });

    return $id;
}

sub body {
    my ($id) = @_;

    return JSON::PP::encode_json({ id => $id, name => $id,
        eventTypes => [ 'a' ], retentionPeriod => 'P90D', complianceTags => [],
        tiering => { hotDays => 7, warmDays => 30, coldDays => 90 } });
}

sub adjust {
    my ($path) = @_;

    my $id = policy();

    return client($port)->request(method => 'PUT', path => "$path/$id",
        body => body($id));
}

sub id { return $_[0]->header('webhook-id') }

sub sign {
    my ($request, @keys) = @_;

    my $text = join '.', id($request), $request->header('webhook-timestamp'),
        $request->body();

    return join ' ', map {
        my $s = hmac_sha256_base64($text, $_);
        'v1,' . $s . '=' x (-length($s) % 4)
    } @keys;
}

# the lines of the outbox

sub lines {
    return map { JSON::PP::decode_json($_) }
        split /\n/, read_file("$dir/outbox") // '';
}

# what is done may be removed from the file at once, with all of its lines

sub marked {
    my ($kind, $id) = @_;

    return wait_for(sub {
        my @of = grep { $_->{id} eq $id } lines();

        return $kind eq 'done' && !@of
            || grep { $_->{kind} eq $kind } @of;
    }, 10);
}

# once, at least

sub audited {
    my ($id) = @_;

    return wait_for(sub {
        (read_file("$dir/audit.log") // '') =~ /^\{"timestamp":"[^"]+",
            "policyId":"$id","action":"retention_policy_update"/mx;
    }, 10) ? 1 : 0;
}

sub metric {
    my ($name) = @_;

    my ($value) = get($port, '/metrics')->body()
        =~ /^eventbridge_outbox_$name (\S+)$/m;

    return $value // -1;
}

###############################################################################
