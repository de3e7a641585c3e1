#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Retention policies: validated and estimated, changed without touching what
# is not ours, followed until the migration is over, and audited.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();

use Test::EventBridge;
use Test::EventBridge::Util qw/ now /;
###############################################################################

my $t = Test::EventBridge->new(workers => 1, log_level => 'info')->plan(164);

my $g = $t->genesys(1);
my $port = $t->port(0);
my $ca = $g->ca();

$t->write_file('secret', "the-client-secret\n", 0640);
$t->secret('the-client-secret', ok_in => qr/mock-\d+\.jsonl|secret$/);

$t->conf(<<'EOF' =~ s/CERTIFICATE/$ca/gr);
http {
    eventbridge_stats_file %%TESTDIR%%/stats;

    eventbridge_genesys org {
        api_url https://localhost:%%PORT_1%%;
        login_url https://localhost:%%PORT_1%%;
        client_id client-1;
        client_secret_file %%TESTDIR%%/secret;
        trusted_certificate CERTIFICATE;
        retries 1;
        retry_cap 2s;
    }

    eventbridge_audit_log %%TESTDIR%%/audit.log flush=100ms;
    client_max_body_size 8m;
    eventbridge_retention_cost gb=150 price=0.0023;

    server {
        listen 127.0.0.1:%%PORT_0%%;

        eventbridge_genesys_pass org /_genesys/;

        location /retention { eventbridge_genesys_retention org; }
        location /costly {
            eventbridge_genesys_retention org;
            eventbridge_retention_cost gb=2000.5 price=0.01;
        }
        location /strict {
            eventbridge_genesys_retention org tags=SOX,GDPR send_cost=on;
        }
        location = /metrics { eventbridge_metrics; }

        location /_genesys/ {
            internal;
            client_max_body_size 0;
            proxy_pass https://127.0.0.1:%%PORT_1%%/;
            proxy_set_header Authorization $eventbridge_bearer;
            proxy_read_timeout 500ms;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate CERTIFICATE;
            proxy_ssl_name localhost;
            proxy_ssl_server_name on;
        }
    }
}
EOF
$t->run();

$g->client('client-1', 'the-client-secret');

my ($r, $calls);

my %policy = (name => 'calls', description => 'd', eventTypes => [ 'a', 'b' ],
    tiering => { hotDays => 7, warmDays => 30, coldDays => 60 },
    complianceTags => [ 'gdpr' ]);

my $json = JSON::PP->new()->utf8()->canonical();

###############################################################################

# durations

for my $case ([ P90D => 90 ], [ P2W => 14, 14 ], [ P3M => 90 ],
    [ P1D => 1, 1 ], [ P365D => 365 ])
{
    my ($period, $days, $cold) = @$case;

    $r = validate(retentionPeriod => $period,
        $cold ? (tiering => { hotDays => 0, warmDays => $cold > 2 ? 1 : 0,
            coldDays => $cold }) : ());

    if ($period eq 'P1D') {
        is_deeply([ fields($r) ], [ 'tiering.warmDays' ],
            'row 0.6: there is no room for three tiers in a day');
        next;
    }

    is($r->status(), 200, "row 0.5: $period is valid");
    is($r->json()->{retentionDays}, $days, "row 0.5: $period in days");
}

for my $period ('P', 'PT24H', 'P1DT1H', '90D', 'P-1D', 'P1.5D', 'P90d ', '',
    'P99999999999999999999D', 'P1D1D', 'R/P90D', 90)
{
    $r = validate(retentionPeriod => $period, tiering => { hotDays => 1,
        warmDays => 2, coldDays => 3 });
    is($r->status(), 400, "row 0.5: \"$period\" is not valid");
    is_deeply([ fields($r) ], [ 'retentionPeriod' ], "row 0.5: \"$period\"");
}

for my $case ([ 'P0D', 7, 30, 60, 'retentionPeriod' ],
    [ 'P366D', 7, 30, 60, 'retentionPeriod' ],
    [ 'P90D', -1, 30, 60, 'tiering.hotDays' ],
    [ 'P90D', 30, 30, 60, 'tiering.warmDays' ],
    [ 'P90D', 7, 60, 60, 'tiering.coldDays' ],
    [ 'P90D', 7, 30, 366, 'tiering.coldDays' ],
    [ 'P90D', 7, 30, undef, 'tiering.coldDays' ],
    [ 'P90D', 7, 30.5, 60, 'tiering.warmDays' ])
{
    my ($period, $hot, $warm, $cold, @fields) = @$case;

    $r = validate(retentionPeriod => $period, tiering => { hotDays => $hot,
        warmDays => $warm, coldDays => $cold });
    is_deeply([ $r->status(), fields($r) ], [ 400, @fields ],
        join ' ', "row 0.6: $period", map { $_ // 'null' } $hot, $warm, $cold);
}

$r = validate(retentionPeriod => 'P59D');
is_deeply([ $r->status(), fields($r) ], [ 400, 'tiering.coldDays' ],
    'row 0.7: cold days are more than the retention');
is(validate(retentionPeriod => 'P60D')->status(), 200,
    'row 0.7: as many are allowed');

$r = ask(POST => '/retention/validate', $json->encode({ more => 1,
    retentionPeriod => 'x', tiering => { hotDays => 9, warmDays => 8 },
    eventTypes => [], complianceTags => 'a' }));
is_deeply([ $r->status(), fields($r) ], [ 400, qw/ complianceTags eventTypes
    more retentionPeriod tiering.coldDays tiering.warmDays / ],
    'all violations');
problem($r, 'all violations');

for my $body ('', '{', '[]', '"P90D"', 'x' x 1000, '{"a":' x 20_000) {
    $r = ask(POST => '/retention/validate', $body);
    is($r->status(), 400, 'no policy: ' . substr $body, 0, 10);
    problem($r, 'no policy: ' . substr $body, 0, 10);
}

# cost

$r = validate(retentionPeriod => 'P90D');
is($r->json()->{costEstimateUSD}, 31.05, 'row 0.8: 150 GB for 90 days');
$r = ask(POST => '/costly/validate', policy('P90D'));
is($r->json()->{costEstimateUSD}, 1800.45, 'row 0.8: another volume and price');
ok(!exists $r->json()->{policy}{costEstimateUSD}, 'row 0.8: is not sent');
is((audit())[-1]{action}, 'retention_policy_validated', 'audit: validated');

is(scalar $g->calls('*'), 0, 'nothing was sent so far');

for my $id ('a%20b', 'x' x 129) {
    $r = ask(PUT => "/retention/$id", policy('P90D'));
    is_deeply([ $r->status(), fields($r) ], [ 400, 'id' ],
        'row 0.10: id ' . substr $id, 0, 10);
}

$r = ask(PUT => '/retention/p1', policy('P90D') =~ s/^\{/{"id":"p2",/r);
is_deeply([ $r->status(), fields($r) ], [ 400, 'id' ],
    'row 0.10: the path names another id');
is(scalar $g->calls('*'), 0, 'row 0.10: nothing was sent');

###############################################################################

# adjustments

my %theirs = (id => 'p1', name => 'old', description => 'd',
    eventTypes => [ 'b', 'a' ], retentionPeriod => 'P30D',
    unknown => { a => 1 },
    tiering => { hotDays => 1, warmDays => 2, coldDays => 3, ice => 9 },
    complianceTags => [], status => 'active');

$g->put(policies => { %theirs });

$r = get($port, '/retention/p1');
is($r->status(), 200, 'a policy is shown');
is($r->json()->{retentionPeriod}, 'P30D', 'as it is');

my $n = audit();
$r = ask(PUT => '/costly/p1', policy('P90D'));
is($r->status(), 200, 'adjusted');
my $doc = $r->json();
is_deeply({ map { $_ => $doc->{$_} } qw/ policyId status retentionDays
    costEstimateUSD changed migrationSuccess complianceVerified / },
    { policyId => 'p1', status => 'active', retentionDays => 90,
    costEstimateUSD => 1800.45, changed => JSON::PP::true,
    migrationSuccess => JSON::PP::true,
    complianceVerified => JSON::PP::true }, 'adjusted: the reply');

my $object = $g->object(policies => 'p1');
is_deeply([ @$object{qw/ name retentionPeriod unknown /},
    $object->{tiering}{ice} ], [ 'calls', 'P90D', { a => 1 }, 9 ],
    'adjusted: at the API, and the rest is left');
ok(!exists $object->{costEstimateUSD}, 'row 0.8: the cost is not sent');

my @lines = audit();
@lines = @lines[$n .. $#lines];
is(scalar @lines, 2, 'row 0.13: two records');
is_deeply({ map { $_ => $lines[0]{$_} } qw/ action id status apiStatus changed
    correlationId / }, { action => 'retention_policy_update', id => 'p1',
    status => 200, apiStatus => 200, changed => JSON::PP::true,
    correlationId => $r->header('ININ-Correlation-Id') },
    'row 0.12: the operation, and what the API said');
like(delete $lines[1]{timestamp}, qr/^\d{4}-\d\d-\d\dT[\d:.]+Z$/,
    'row 0.13: time of the record');
like(delete $lines[1]{latencyMs}, qr/^\d+$/, 'row 0.13: latency');
is_deeply($lines[1], { policyId => 'p1', action => 'retention_policy_update',
    migrationSuccess => JSON::PP::true, costEstimateUSD => 1800.45,
    complianceVerified => JSON::PP::true }, 'row 0.13: record');

$calls = $g->calls('PUT');
$r = ask(PUT => '/retention/p1', policy('P90D'));
is($r->status(), 200, 'the same again');
ok(!$r->json()->{changed}, 'nothing has changed');
is(scalar($g->calls('PUT')), $calls, 'and nothing was written');

# versions

my $days = 100;

for my $versions (qw/ body etag both none /) {
    for my $conflict (409, 412, 400) {
        my $name = "row 0.10: $versions, $conflict";

        $g->option(versions => $versions, conflict => $conflict,
            strict => $versions ne 'none');
        $g->put(policies => { id => 'p1', note => 'old' });
        $g->fail(PUT => 'retentionpolicies', headers => [], do => [ [ put =>
            'policies', { id => 'p1', note => 'new' } ] ]);

        $days++;
        $r = ask(PUT => '/retention/p1', policy("P${days}D"));
        is($r->status(), 200, $name);

        my $is = $g->object(policies => 'p1');
        is_deeply([ @$is{qw/ retentionPeriod note /} ], [ "P${days}D",
            $versions eq 'none' ? 'old' : 'new' ], "$name, both changes");
    }
}

$g->option(versions => 'body', conflict => 409, strict => 0);

my $version = $g->object(policies => 'p1')->{version};
$r = ask(PUT => '/retention/p1', policy('P90D')
    =~ s/^\{/'{"version":' . ($version - 1) . ','/er);
is($r->status(), 409, 'row 0.10: an old version is named');
problem($r, 'row 0.10: an old version is named');

$g->fail(PUT => 'retentionpolicies', times => 0, status => 409);
$r = ask(PUT => '/retention/p1', policy('P91D'));
is($r->status(), 409, 'row 0.10: conflicts without end');
problem($r, 'row 0.10: conflicts without end');
ok(!(audit())[-1]{migrationSuccess}, 'row 0.13: and a record of that');
$g->forgive();

# the migration

$g->option(policy_polls => 2);
$r = ask(PUT => '/retention/p1', policy('P92D'));
is($r->status(), 200, 'row 0.11: pending, and then active');
is($r->json()->{status}, 'active', 'row 0.11: in the end');
cmp_ok($r->json()->{latencyMs}, '>=', 900, 'row 0.11: it was waited for');

$g->option(policy_polls => 100);
$r = ask(PUT => '/retention/p1', policy('P93D'));
is($r->status(), 202, 'row 0.11: still pending at the bound');
$doc = $r->json();
is($doc->{status}, 'pending', 'row 0.11: and said so');
ok($doc->{changed} && !$doc->{migrationSuccess}, 'row 0.12: no success yet');
ok($doc->{complianceVerified}, 'row 0.12: though it was read back');

$g->option(policy_polls => 1, policy_end => 'migration_failed');
$r = ask(PUT => '/retention/p1', policy('P94D'));
is($r->status(), 200, 'row 0.11: the migration failed');
is($r->json()->{status}, 'migration_failed', 'row 0.11: final state');
ok(!$r->json()->{migrationSuccess}, 'row 0.12: no success');
ok(!(audit())[-1]{migrationSuccess}, 'row 0.12: nor in the record');
$g->option(policy_polls => 0, policy_end => 'active');

# 5xx: the PUT is tried again, then the policy is read and it is tried once
# more, on schedule

$g->fail(PUT => 'retentionpolicies', times => 3, status => 503);
$calls = $g->calls('PUT');
$r = ask(PUT => '/retention/p1', policy('P95D'));
is($r->status(), 200, 'row 0.9: 503 during the migration');
is($g->object(policies => 'p1')->{retentionPeriod}, 'P95D',
    'row 0.9: it is done in the end');
is(scalar($g->calls('PUT')), $calls + 4, 'row 0.9: four tries');

$g->fail(PUT => 'retentionpolicies', times => 2, reset => 1, apply => 1);
$r = ask(PUT => '/retention/p1', policy('P96D'));
is($r->status(), 200, 'row 0.9: the answers are lost');
ok($r->json()->{changed}, 'row 0.12: and yet it has changed');

$g->fail(PUT => 'retentionpolicies', status => 429, retry_after => 1);
is(ask(PUT => '/retention/p1', policy('P97D'))->status(), 200,
    'row 0.9: 429, and then not');

$g->fail(PUT => 'retentionpolicies', status => 429, retry_after => 3600);
$r = ask(PUT => '/retention/p1', policy('P98D'));
is($r->status(), 503, 'row 0.9: 429 for an hour');
is($r->header('Retry-After'), 3600, 'row 0.9: Retry-After');

$g->fail(PUT => 'retentionpolicies', times => 0, status => 503,
    retry_after => 600);
$calls = $g->calls('PUT');
$r = ask(PUT => '/retention/p1', policy('P98D'));
is($r->status(), 502, 'row 0.9: 503 for longer than "retry_cap"');
is(scalar($g->calls('PUT')), $calls + 1, 'row 0.9: one try of it');
$g->forgive();

for my $status (400, 403, 404, 422) {
    $g->fail(PUT => 'retentionpolicies', status => $status, code => 'c',
        message => 'm', details => [ { errorCode => 'e' } ]);
    $calls = $g->calls('PUT');
    $n = audit();
    $r = ask(PUT => '/retention/p1', policy('P99D'));
    is($r->status(), { 400 => 422, 403 => 502 }->{$status} // $status,
        "row 0.9: $status is final");
    is(scalar($g->calls('PUT')), $calls + 1, "row 0.9: $status, one try");
    is_deeply([ @{$r->json()->{upstream}}{qw/ status code message details /} ],
        [ $status, 'c', 'm', [ { errorCode => 'e' } ] ],
        "row 0.9: $status, what the API says");

    @lines = audit();
    @lines = @lines[$n .. $#lines];
    is_deeply([ $lines[0]{apiStatus}, $lines[0]{correlationId},
        $lines[1]{action}, $lines[1]{migrationSuccess} ], [ $status,
        $r->json()->{correlationId}, 'retention_policy_update',
        JSON::PP::false ], "row 0.13: $status is audited");
}

# tags that a policy must have, and a cost that is asked for

$g->put(policies => { %theirs, id => 's1' });
$r = ask(PUT => '/strict/s1', policy('P40D', tiering => { hotDays => 1,
    warmDays => 2, coldDays => 3 }, complianceTags => [ 'GDPR', 'more' ]));
is($r->status(), 200, 'row 0.12: a tag is missing');
ok($r->json()->{changed} && !$r->json()->{complianceVerified},
    'row 0.12: so it does not comply');
is((audit())[-1]{complianceVerified}, JSON::PP::false,
    'row 0.13: which is audited');

$r = ask(PUT => '/strict/s1', policy('P41D', tiering => { hotDays => 1,
    warmDays => 2, coldDays => 3 }, complianceTags => [ 'GDPR', 'SOX' ]));
ok($r->json()->{complianceVerified}, 'row 0.12: all tags are there');
is($g->object(policies => 's1')->{costEstimateUSD}, 14.145,
    'row 0.8: the cost is sent where it is asked for');
is($r->json()->{costEstimateUSD}, 14.145, 'row 0.8: and told');
$r = ask(POST => '/strict/validate', policy('P90D'));
is($r->json()->{policy}{costEstimateUSD}, 31.05,
    'row 0.8: what would be sent is shown');
$g->remove(policies => 's1');

# an API that does not keep what it was told

$g->fail(PUT => 'retentionpolicies', status => 200,
    body => '{"status":"active"}');
$r = ask(PUT => '/retention/p1', policy('P101D'));
ok(!$r->json()->{complianceVerified}, 'row 0.12: not verified');
is($r->json()->{differs}, 'retentionPeriod', 'row 0.12: what differs');

$g->fail(GET => 'retentionpolicies', times => 0, hang => 1);
$r = get($port, '/retention/p1');
is($r->status(), 504, 'no answer in time');
problem($r, 'no answer in time');
$g->forgive();

$r = get($port, '/retention/nosuch');
is($r->status(), 404, 'no such policy');
is((audit())[-1]{action}, 'retention_policy_read', 'audit of that');

$g->option(live => 1);
$r = ask(PUT => '/retention/p1', policy('P90D'));
is($r->status(), 404, 'a live organisation');
like($r->json()->{detail}, qr{/api/v2/recording/mediaretentionpolicies},
    'what it has instead');
$t->log_like(qr{Genesys Cloud.*404.*mediaretentionpolicies}, 'and in the log');
$g->option(live => 0);

my $done = $t->metric('eventbridge_genesys_adjustments_total');
my $migrated = $t->metric('eventbridge_genesys_migrations_total');
ok($done && $migrated && $migrated < $done, 'adjustments are counted');
cmp_ok($t->metric('eventbridge_genesys_adjustment_cost_usd_total'), '>=',
    150 * 0.0023 * 90 - 0.001, 'and what they cost');

$t->secret($_->{token}, ok_in => qr/mock-\d+\.jsonl/)
    for grep { $_->{token} } $g->token_requests();

###############################################################################

sub policy {
    my ($period, %other) = @_;
    return $json->encode({ %policy, retentionPeriod => $period, %other });
}

sub validate {
    my (%other) = @_;
    return ask(POST => '/retention/validate',
        $json->encode({ %policy, %other }));
}

sub fields {
    my ($res) = @_;
    return sort map { $_->{field} } @{$res->json()->{errors} // []};
}

sub ask {
    my ($method, $path, $body) = @_;
    my $client = client($port);
    my $res = $client->request(method => $method, path => $path, close => 1,
        defined $body ? (body => $body) : ());
    $client->close();
    return $res;
}

sub audit { return $t->audit_settled('audit.log') }

sub problem {
    my ($res, $name) = @_;

    is_deeply([ $res->header('Content-Type'),
        (eval { $res->json() } // {})->{status} ],
        [ 'application/problem+json', $res->status() ], "$name: document");
}

###############################################################################
