#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Endpoints: an integration is validated, each of its endpoints is probed, and
# only then the API hears of it; its state goes to the audit log, to a webhook,
# and to who asks for it.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::INET;
use JSON::PP ();

use Test::EventBridge;
use Test::EventBridge::Client qw/ connection_of /;
use Test::EventBridge::DNS;
use Test::EventBridge::Util qw/ now scaled /;
###############################################################################

my $t = Test::EventBridge->new(workers => 2, log_level => 'info')->plan(163);

my $secret = 'the-client&secret=+%20';
my $query = 'k=s3cret-in-a-query';

my $g = $t->genesys(1, tls => 0);
my $good = $t->mock(2, tls => 1, names => [ 'localhost', '127.0.0.1',
    'a.test' ]);
my $expired = $t->mock(3, tls => 1, kind => 'expired');
my $hook = $t->mock(4);
my $port = $t->port(0);
my $ca = $good->ca();

# a listener that nobody may reach, one that never answers, and one that sees
# who comes

my $forbidden = IO::Socket::INET->new(Listen => 5,
    LocalAddr => '127.0.0.1:0');
my $silent = IO::Socket::INET->new(Listen => 50, LocalAddr => '127.0.0.1:0');
my $dead = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1:0');

my $dns = Test::EventBridge::DNS->new($t->testdir() . '/names', {
    'localhost' => [ '127.0.0.1' ],
    'a.test' => [ '127.0.0.1' ],
    'inside.test' => [ '127.0.0.1' ],
    'turn.test' => { turns => [ [ '192.0.2.1' ], [ '127.0.0.1' ] ] }
});

$t->write_file('secret', "$secret\n", 0640);
$t->write_file('keys', "operator:the-operators-key\n", 0640);
$t->secret($secret, ok_in => qr/secret$/);
$t->secret('s3cret-in-a-query', ok_in => qr/mock-\d+\.jsonl/);
$t->secret('s3cret-in-a-header', ok_in => qr/mock-\d+\.jsonl/);

my $names = $dns->port();
my $servers = join ' ', map { '127.0.0.1:' . $_ } ($dead->sockport()) x 2,
    $names;

my %in = (CERTIFICATE => $ca, SERVERS => $servers, NAMES => $names);

my $conf = <<'EOT' =~ s/\b(CERTIFICATE|SERVERS|NAMES)\b/$in{$1}/gr;
http {
    eventbridge_stats_file %%TESTDIR%%/stats;
    eventbridge_outbox path=%%TESTDIR%%/outbox;
    eventbridge_webhook mesh http://127.0.0.1:%%PORT_4%%/mesh;

    eventbridge_genesys org {
        api_url http://127.0.0.1:%%PORT_1%%;
        login_url http://127.0.0.1:%%PORT_1%%;
        client_id client&1;
        client_secret_file %%TESTDIR%%/secret;
        retries 2;
        retry_cap 2s;
        timeout 20s;
    }

    eventbridge_audit_log %%TESTDIR%%/audit.log flush=100ms;
    client_max_body_size 1m;

    server {
        listen 127.0.0.1:%%PORT_0%%;

        eventbridge_genesys_pass org /_genesys/;
        resolver 127.0.0.1:NAMES ipv6=off;

        location /resolve {
            eventbridge_genesys_endpoints org callback=mesh timeout=9s
                trusted_certificate=CERTIFICATE;
            eventbridge_probe_allow 127.0.0.0/8;
        }

        location /closed {
            eventbridge_genesys_endpoints org timeout=4s
                trusted_certificate=CERTIFICATE;
        }

        location /fallback {
            eventbridge_genesys_endpoints org timeout=4s
                trusted_certificate=CERTIFICATE;
            eventbridge_probe_allow 127.0.0.0/8;
            resolver SERVERS ipv6=off;
        }

        location /short {
            eventbridge_genesys_endpoints org timeout=1s
                trusted_certificate=CERTIFICATE;
            eventbridge_probe_allow 127.0.0.0/8;
        }

        location /other {
            eventbridge_genesys_endpoints org timeout=4s method=HEAD
                path=/health?deep=1 expect=204,301-302
                trusted_certificate=CERTIFICATE;
            eventbridge_probe_allow 127.0.0.0/8;
        }

        location /keyed {
            eventbridge_genesys_endpoints org;
            eventbridge_auth key X-Api-Key %%TESTDIR%%/keys;
        }

        location = /metrics { eventbridge_metrics; }

        location = /health {
            eventbridge_health;
            add_header X-Pid $pid;
        }

        location /_genesys/ {
            internal;
            client_max_body_size 0;
            proxy_pass http://127.0.0.1:%%PORT_1%%/;
            proxy_set_header Authorization $eventbridge_bearer;
            proxy_read_timeout 500ms;
        }
    }
}
EOT

$t->conf($conf)->run();

$g->client('client&1', $secret);

my $json = JSON::PP->new()->utf8()->canonical();
my $base = 'https://localhost:' . $t->port(2);
my $api = '/api/v2/outbound/integrations';
my ($r, $doc, $calls, @lines);

###############################################################################

# nothing yet

$r = get($port, '/resolve/');
is_deeply([ $r->status(), $r->json() ], [ 200, { integrations => [],
    total => 0, metrics => { reachability_rate => undef,
    total_resolves => 0, successful_resolves => 0,
    avg_latency_ms => undef } } ], 'row 2.12: without data there is no rate');
is($t->metric('eventbridge_genesys_reachability_rate'), undef,
    'row 2.12: nor in the metrics');
is(get($port, '/resolve/x')->status(), 404, 'no other path');
$r = ask(PUT => '/resolve', '{}');
is_deeply([ $r->status(), $r->header('Allow') ], [ 405, 'GET, POST' ],
    'no other method');

# validation: all at once, and nothing is sent anywhere

$r = resolve('/resolve', type => '', uri => 'http://a/', uris => [ '' ],
    retryPolicy => { maxRetries => 6, retryInterval => 0,
    backoffFactor => 0.9 }, eventFilters => [ {} ],
    headers => { 'X-A' => "a\r\nX-B: b" }, other => 1);
is_deeply([ $r->status(), fields($r) ], [ 400, 'eventFilters[0].eventType',
    'headers.X-A', 'other', 'retryPolicy.backoffFactor',
    'retryPolicy.maxRetries', 'retryPolicy.retryInterval', 'type', 'uri',
    'uris[0]' ], 'row 2.3: every violation at once');
ok($r->is_problem(), 'row 2.3: every violation at once');

for my $body ('', '{', '[]', '{"a":' x 20_000) {
    $r = ask(POST => '/resolve', $body);
    is($r->status(), 400, 'row 2.3: no integration: ' . substr $body, 0, 10);
    ok($r->is_problem(), 'row 2.3: no integration: ' . substr $body, 0, 10);
}

for my $uri ('https://user:pass@localhost/', 'https:///', 'https://a:0/',
    'https://a/#x', "https://a/\x{7f}", 'https://0x7f.0.0.1/',
    'https://2130706433/', 'https://017700000001/', 'https://a:25/')
{
    $r = resolve('/resolve', uri => $uri);
    is_deeply([ $r->status(), fields($r) ], [ 400, 'uri' ],
        'row 2.3: ' . $uri =~ s/[^ -~]/?/gr);
}

$r = resolve('/resolve', uris => [ map { "$base/$_" } 0 .. 10 ]);
is_deeply([ $r->status(), fields($r) ], [ 400, 'uris' ],
    'row 2.4: eleven are too many');
is(scalar $g->calls('*'), 0, 'nothing was sent to the API so far');
is(scalar $good->requests(), 0, 'nor to an endpoint');

# one that is new

@lines = audit();
my $n = @lines;
my %whole = (uri => "$base/a?$query", uris => [ "$base/b" ],
    retryPolicy => { maxRetries => 3, retryInterval => 5,
    backoffFactor => 1.5 }, eventFilters => [ { eventType => 'v2.x',
    fields => [ 'a' ] } ], headers => { 'X-Key' => 's3cret-in-a-header' });

$r = resolve('/resolve', %whole);
$doc = $r->json();
is($r->status(), 201, 'row 2.11: 201');
my $id = $doc->{id};
my $object = $g->object(outbound => $id // '');
is_deeply({ map { $_ => $object->{$_} } qw/ name type /, keys %whole },
    { name => 'hook', type => 'webhook', %whole },
    'row 2.11: with the id, as it is at the API');
is_deeply([ map { [ @$_{qw/ uri ok phase status /} ] }
    @{$doc->{endpoints}} ], [ [ "$base/a?$query", JSON::PP::true, 'http',
    200 ], [ "$base/b", JSON::PP::true, 'http', 200 ] ],
    'row 2.5: a result for each URI');
ok(!(grep { ref $_->{tls} ne 'HASH' || !defined $_->{tls}{days_left}
    || $_->{tls}{version} !~ /^TLSv1\.[23]$/ } @{$doc->{endpoints}}),
    'row 2.7: with TLS 1.2 at least, and a certificate');
is($good->requests('/a') + $good->requests('/b'), 2, 'both were asked');
is(($good->requests('/a'))[0]->method(), 'GET', 'row 2.8: by GET');

my @requests = $g->calls('*');
is_deeply([ map { $_->method() } @requests ], [ 'GET', 'POST' ],
    'row 2.10: it is looked for first');

# the audit records, one of which takes its way through the outbox

wait_for(sub { $n + 2 <= (@lines = audit()) }, 20);
@lines = sort { exists $b->{method} <=> exists $a->{method} }
    @lines[$n .. $#lines];
is(scalar @lines, 2, 'two records');
is_deeply({ map { $_ => $lines[0]{$_} } qw/ action id status apiStatus
    changed correlationId / }, { action => 'endpoint_created', id => $id,
    status => 201, apiStatus => 201, changed => JSON::PP::true,
    correlationId => $r->header('ININ-Correlation-Id') },
    'row 2.11: the operation, and its correlation id');
like($lines[1]{timestamp}, qr/^\d{4}-\d\d-\d\dT[\d:.]+Z$/,
    'record: its time');
like($lines[1]{latency_ms}, qr/^\d{1,4}$/,
    'row 2.13: record: latency in milliseconds');
is_deeply({ map { $_ => $lines[1]{$_} } qw/ action integration_name uri
    success endpoint_count error id state / }, { action =>
    'endpoint_resolve', integration_name => 'hook', uri => "$base/a",
    success => JSON::PP::true, endpoint_count => 2, error => undef,
    id => $id, state => 'deployed' },
    'row 2.13: record: its fields, and no query');

# and the mesh

ok($hook->wait_hits('/mesh', 1), 'mesh: it hears of the first state');
my $mesh = ($hook->requests('/mesh'))[0]->json();
is_deeply($mesh, $lines[1], 'mesh: the record');
ok(!exists $mesh->{previous_state}, 'mesh: there was none before');

# the same again, changed, and changed by others

$r = resolve('/resolve', %whole);
is_deeply([ $r->status(), $r->json()->{id}, $r->json()->{changed} ],
    [ 200, $id, JSON::PP::false ], 'row 2.10: the same again');
is(scalar($g->calls('POST')), 1, 'row 2.10: there is no other');
is(scalar($g->calls('PUT')), 0, 'row 2.10: nothing is written');

$g->put(outbound => { id => $id, note => 'theirs' });
$r = resolve('/resolve', uri => "$base/c", headers => {});
is($r->status(), 200, 'row 2.10: another one of this name');
$object = $g->object(outbound => $id);
is_deeply([ @$object{qw/ uri uris headers note retryPolicy /} ],
    [ "$base/c", [], {}, 'theirs', $whole{retryPolicy} ],
    'row 2.10: is put over it; what was not probed is gone');
ok($hook->wait_hits('/mesh', 2), 'mesh: it hears of another configuration');
is((mesh(2))[-1]{previous_state}, 'deployed', 'mesh: and of the state before');

$r = resolve('/resolve', id => $id, uri => "$base/d");
is_deeply([ $r->status(), $g->object(outbound => $id)->{uri} ],
    [ 200, "$base/d" ], 'row 2.10: by id');
is(resolve('/resolve', id => 'nosuch', uri => "$base/d")->status(), 404,
    'row 2.10: by an id that is none');
$g->option(conflict => 412);
$g->fail(PUT => 'outbound', do => [ [ put => 'outbound', { id => $id,
    note => 'newer' } ] ], headers => []);
$r = resolve('/resolve', uri => "$base/e");
is_deeply([ $r->status(), @{$g->object(outbound => $id)}{qw/ uri note /} ],
    [ 200, "$base/e", 'newer' ], 'row 2.10: both changes are kept');
$g->option(conflict => 409);

# a dry run

$calls = $g->calls('*');
$r = ask(POST => '/resolve?dry_run=1', integration(uri => "$base/dry"));
is_deeply([ $r->status(), $r->json()->{valid},
    $r->json()->{endpoints}[0]{ok} ], [ 200, JSON::PP::true,
    JSON::PP::true ], 'dry run: validates and probes');
is(scalar($g->calls('*')), $calls, 'dry run: the API hears nothing');
is($g->object(outbound => $id)->{uri}, "$base/e", 'dry run: nor changes');
ok((grep { $_->{action} eq 'endpoint_validated' } audit())
    && (grep { $_->{dry_run} } audit()), 'dry run: is audited');
is(ask(POST => '/resolve/?dry_run', integration(uri => 'x'))->status(), 400,
    'dry run: of what is wrong');

# endpoints that are not well

my $late = 'https://localhost:' . $t->port(3) . "/?$query";

$calls = $g->calls('*');
my $hits = $hook->requests('/mesh');
$r = resolve('/resolve', uri => "$base/a", uris => [ $late,
    'https://localhost:' . $t->port(9), "$base/500", 'https://nosuch.test/' ]);
is($r->status(), 502, 'row 2.5: some endpoints are not well');
ok($r->is_problem(), 'row 2.5: some endpoints are not well');
is_deeply([ map { [ @$_{qw/ ok phase error /} ] } @{$r->json()->{endpoints}} ],
    [ [ JSON::PP::true, 'http', undef ], [ JSON::PP::false, 'tls',
    'certificate_expired' ], [ JSON::PP::false, 'tcp', 'connect_refused' ],
    [ JSON::PP::true, 'http', undef ], [ JSON::PP::false, 'dns',
    'name_not_found' ] ], 'row 2.5: the failing phase of each URI')
    or diag($r->body());
like($r->json()->{detail}, qr/^3 of 5 .* tls: .*expired/,
    'row 2.5: and in words');
is(scalar($g->calls('*')), $calls, 'row 2.5: nothing is deployed');
ok($hook->wait_hits('/mesh', $hits + 1), 'mesh: it hears of that');
$mesh = (mesh($hits + 1))[-1];
is_deeply([ @$mesh{qw/ state previous_state success endpoint_count /} ],
    [ 'unreachable', 'deployed', JSON::PP::false, 5 ], 'mesh: what it is');
like($mesh->{error}, qr{^https://localhost:\d+/: tls: .*expired},
    'mesh: and why, without the query');
is(resolve('/resolve', uri => $late)->status(), 502, 'it is still down');
is(resolve('/resolve', uri => "$base/e")->status(), 200, 'and up again');
ok($hook->wait_hits('/mesh', $hits + 2), 'mesh: it hears of that');
is_deeply([ map { $_->{state} } (mesh($hits + 2))[$hits, $hits + 1] ],
    [ 'unreachable', 'deployed' ], 'mesh: of each state once');

# SSRF

for my $uri ('https://127.0.0.1:' . $forbidden->sockport() . '/',
    'https://localhost:' . $forbidden->sockport() . '/',
    'https://inside.test:' . $forbidden->sockport() . '/',
    'https://[::1]:' . $forbidden->sockport() . '/',
    'https://[::ffff:127.0.0.1]:' . $forbidden->sockport() . '/',
    'https://169.254.169.254/latest/meta-data/', 'https://10.0.0.1/',
    'https://100.64.0.1/', 'https://[fd00::1]/')
{
    $r = resolve('/closed', uri => $uri);
    is_deeply([ $r->status(), @{$r->json()->{endpoints}[0]}{qw/ ok phase
        error /} ], [ 502, JSON::PP::false, 'dns', 'address_forbidden' ],
        "row 2.6: $uri") or diag($r->body());
}

$forbidden->blocking(0);
ok(!$forbidden->accept(), 'row 2.6: nobody came to the listener');

$good->set('/moved', status => 302, headers => [ Location =>
    'https://127.0.0.1:' . $forbidden->sockport() . '/' ]);
$r = resolve('/resolve', uri => "$base/moved");
is_deeply([ $r->status(), $r->json()->{endpoints}[0]{error} ],
    [ 502, 'http_redirect' ], 'row 2.6: a redirect is not followed');
ok(!$forbidden->accept(), 'row 2.6: nobody came to the listener');

is(ask(POST => '/keyed', integration(uri => "$base/"))->status(), 401,
    'row 2.6: without a key');
$r = client($port)->request(method => 'POST', path => '/keyed',
    body => integration(uri => "$base/"), headers => { 'X-Api-Key' =>
    'the-operators-key' });
is($r->status(), 502, 'row 2.6: with it');

# time

my $start = now();
$r = resolve('/short', uris => [ 'https://127.0.0.1:'
    . $silent->sockport() . '/', "$base/f" ]);
my $sec = now() - $start;
is_deeply([ $r->status(), map { [ @$_{qw/ ok phase error /} ] }
    @{$r->json()->{endpoints}} ], [ 502, [ JSON::PP::false, 'tls',
    'tls_timeout' ], [ JSON::PP::true, 'http', undef ] ],
    'row 2.7: one that never answers');
cmp_ok($sec, '<', scaled(1.5), 'row 2.7: ends at the deadline');

# health

for my $case ([ 404, 200 ], [ 401, 200 ], [ 499, 200 ], [ 500, 502 ],
    [ 503, 502 ])
{
    my ($status, $expected) = @$case;

    $good->set('/status', status => $status);
    is(resolve('/resolve', uri => "$base/status")->status(), $expected,
        "row 2.8: status $status");
}

for my $case ([ 204, 200 ], [ 302, 200 ], [ 200, 502 ]) {
    my ($status, $expected) = @$case;

    $good->set('/health', status => $status);
    is(resolve('/other', uri => "$base/live")->status(), $expected,
        "row 2.8: status $status, others are expected");
}

is($good->requests('/live'), 0, 'row 2.8: the URL itself is left alone');
is_deeply([ map { $_->method() . ' ' . $_->uri() }
    ($good->requests('/health'))[0] ], [ 'HEAD /health?deep=1' ],
    'row 2.8: another method and path');

# name servers: the first does not answer

$r = resolve('/fallback', uri => 'https://a.test:' . $t->port(2) . '/');
is($r->status(), 200, 'fallback name servers: the second is asked')
    or diag($r->body());
is_deeply($r->json()->{endpoints}[0]{addresses}, [ '127.0.0.1' ],
    'fallback name servers: its answer counts');
cmp_ok($dns->asked('a.test'), '>', 0, 'fallback name servers: it was asked');

# retries, and the API's answers

$n = $g->calls('POST');
$g->fail(POST => 'outbound', status => 429, retry_after => 1);
$r = resolve('/resolve', name => 'r1', uri => "$base/a");
is($r->status(), 201, 'row 2.9: 429, and then not');
@requests = ($g->calls('POST'))[$n .. $n + 1];
is(scalar(grep { defined } @requests), 2, 'row 2.9: two tries');
is($requests[0]->body(), $requests[1]->body(), 'row 2.9: of the same body');
cmp_ok($requests[1]->time() - $requests[0]->time(), '>=', 0.95,
    'row 2.9: Retry-After is obeyed');

$n = $g->calls('POST');
$g->fail(POST => 'outbound', status => 429, retry_date => 1);
$r = resolve('/resolve', name => 'r2', uri => "$base/a");
is($r->status(), 201, 'row 2.9: a date');

$start = now();
$g->fail(POST => 'outbound', status => 429, retry_after => 3600);
$r = resolve('/resolve', name => 'r3', uri => "$base/a");
is_deeply([ $r->status(), $r->header('Retry-After') ], [ 503, 3600 ],
    'row 2.11: 429 for an hour');
cmp_ok(now() - $start, '<', scaled(2), 'row 2.9: which is not waited for');
ok($r->is_problem(), 'row 2.11: 429 for an hour');

for my $how ({ reset => 1 }, { hang => 1 }, { status => 503 }) {
    my ($what) = keys %$how;

    $g->fail(POST => 'outbound', apply => 1, %$how);
    $r = resolve('/resolve', name => "a $what", uri => "$base/a");
    is($r->status(), 201, "row 2.10: the answer is lost, $what");
    is(scalar(grep { $_->{name} eq "a $what" } $g->objects('outbound')), 1,
        "row 2.10: there is one, $what");
    $g->release();
}

$g->fail(POST => 'outbound', reset => 1);
$r = resolve('/resolve', name => 'again', uri => "$base/a");
is($r->status(), 201, 'row 2.10: lost before it had an effect');

$g->fail(POST => 'outbound', do => [ [ put => 'outbound', { id => 'fast',
    name => 'race', uri => "$base/z", type => 'webhook' } ] ],
    headers => []);
$r = resolve('/resolve', name => 'race', uri => "$base/a");
is_deeply([ $r->status(), $r->json()->{id},
    $g->object(outbound => 'fast')->{uri} ], [ 200, 'fast', "$base/a" ],
    'row 2.10: someone was faster');

for my $case ([ 400, 422 ], [ 403, 502 ], [ 404, 404 ], [ 409, 409 ],
    [ 413, 422 ], [ 422, 422 ], [ 500, 502 ], [ 503, 502 ], [ 504, 504 ])
{
    my ($status, $expected) = @$case;

    $g->fail(GET => 'outbound', times => 0, status => $status, code => 'c',
        message => 'm');
    $r = resolve('/resolve', uri => "$base/a");
    is_deeply([ $r->status(), @{$r->json()->{upstream}}{qw/ status code /},
        $r->json()->{correlationId} ], [ $expected, $status, 'c',
        $r->header('ININ-Correlation-Id') ], "row 2.11: $status")
        or diag($r->body());
    is($r->json()->{endpoints}[0]{ok}, JSON::PP::true,
        "row 2.11: $status, the endpoints were well");
    $g->forgive();
}

$g->fail(GET => 'outbound', times => 0, hang => 1);
$r = resolve('/resolve', uri => "$base/a");
is($r->status(), 504, 'row 2.11: no answer');
$g->forgive();
$g->release();

$g->option(live => 1);
$r = resolve('/resolve', uri => "$base/a");
is($r->status(), 404, 'a live organisation');
like($r->json()->{detail}, qr{/api/v2/processautomation/triggers},
    'what it has instead');
$g->option(live => 0);

# tokens

is($_->{via}, 'basic', 'row 2.2: credentials') for ($g->token_requests())[0];
is(scalar($g->token_requests()), 1, 'row 2.1: one token so far');
$g->expire();
is(resolve('/resolve', uri => "$base/a")->status(), 200,
    'row 2.1: it has expired');
is(scalar($g->token_requests()), 2, 'row 2.1: there is another');
ok(!(grep { $_->{status} != 200 } $g->token_requests()),
    'row 2.2: none was refused');
$t->secret($_->{token}, ok_in => qr/mock-\d+\.jsonl/)
    for $g->token_requests();

###############################################################################

# what all workers know

my @pids = $t->worker_pids();

for my $pid (@pids) {
    my $c = connection_of($port, $pid);
    $doc = $c->request(path => '/closed/')->json();
    is_deeply([ map { @$_{qw/ integration_name state /} }
        @{$doc->{integrations}}[0, 1] ], [ 'hook', 'deployed', 'race',
        'deployed' ], 'the list, of any worker');
}

is($doc->{total}, scalar @{$doc->{integrations}}, 'the list: its length');
unlike($json->encode($doc), qr/s3cret/, 'the list: no secrets');

my $m = $doc->{metrics};

is($m->{total_resolves}, $t->metric('eventbridge_genesys_resolves_total'),
    'row 2.12: resolves');
is($m->{successful_resolves},
    $t->metric('eventbridge_genesys_resolves_successful_total'),
    'row 2.12: successful ones');
cmp_ok($m->{successful_resolves}, '<', $m->{total_resolves},
    'row 2.12: early failures count');
ok($m->{reachability_rate} > 0.3 && $m->{reachability_rate} < 1,
    'row 2.12: reachability');
cmp_ok(abs($m->{reachability_rate}
    - $t->metric('eventbridge_genesys_reachability_rate')), '<', 0.001,
    'row 2.12: in the metrics');
cmp_ok(abs($m->{avg_latency_ms} - 1000
    * $t->metric('eventbridge_genesys_resolve_latency_average_seconds')), '<',
    1, 'row 2.12: average latency');
is($t->metric('eventbridge_genesys_resolve_duration_seconds_count'),
    $m->{total_resolves}, 'row 2.12: histogram');
is($t->metric('eventbridge_genesys_endpoints_reachable_total')
    / $t->metric('eventbridge_genesys_endpoints_probed_total') <=> 1, -1,
    'row 2.12: endpoints');

$t->reload();
is_deeply([ map { $_->{integration_name} }
    @{get($port, '/resolve/')->json()->{integrations}} ],
    [ map { $_->{integration_name} } @{$doc->{integrations}} ],
    'the list: after a reload');

# as many as there is room for: the oldest ones go

my @long = map { "https://127.0.0.1/$_" . 'x' x 300 } 0 .. 9;

resolve('/closed', name => "many $_", uris => [ @long ]) for 1 .. 300;

$doc = get($port, '/resolve/')->json();
is($doc->{integrations}[0]{integration_name}, 'many 300',
    'the list: the last one comes first');
ok($doc->{total} > 200 && $doc->{total} < 300, 'the list: it is bounded');

###############################################################################

# many at a time: ten integrations of ten URIs, one of which is slow

my @uris = map { "/slow/$_" } 0 .. 9;
my $delay = 4;
my ($least, $took, $failed) = (9e9, 9e9, 0);

for (1 .. 3) {
    $good->set($uris[-1]);
    $sec = parallel();
    $least = $sec if $sec < $least;

    $good->set($uris[-1], delay => $delay * 1000);
    $sec = parallel();
    $took = $sec if $sec < $took;
    last if $took < 1.2 * $delay;
}

is($failed, 0, 'in parallel: all succeed');
cmp_ok($took, '>=', $delay, 'in parallel: the slowest URI is waited for');

# what the machine has no time for is no fault of the worker's: that much it
# takes without the slow one, too

$took -= $least if $took > 1.2 * $delay;
cmp_ok($took, '<', scaled(1.2 * $delay),
    'in parallel: in the time of the slowest URI plus 20 %');
note(sprintf '%.3f s for %d s, %.3f s without it', $took, $delay, $least);

# the client leaves: what was begun is done

$good->set('/left', delay => 300);
my $c = client($port)->start(method => 'POST', path => '/resolve',
    body => integration(name => 'left', uri => "$base/left"));
$good->wait_hits('/left', 1);
$c->abort();
ok(wait_for(sub { $g->named(outbound => 'left') }, 10),
    'the client leaves, and it is deployed all the same');

# a worker dies while the API is at it

$hits = $hook->requests('/mesh');
$g->fail(POST => 'outbound', hang => 1, apply => 1);
$calls = $g->calls('POST');
$c = client($port)->start(method => 'POST', path => '/resolve',
    body => integration(name => 'killed', uri => "$base/a"));
$g->wait_calls(POST => 'outbound', $calls + 1);
$t->kill_worker('KILL', $_) for $t->worker_pids();
ok(wait_for(sub { grep { $_->{integration_name} eq 'killed' }
    mesh($hits) }, 20), 'killed: the mesh hears of it all the same');
my ($killed) = grep { $_->{integration_name} eq 'killed' } mesh($hits);
is_deeply([ @$killed{qw/ state success endpoint_count /} ],
    [ 'unknown', JSON::PP::false, 1 ], 'killed: that nothing is known');
$c->close();
$g->release();

# QUIT waits for what was begun

$good->set('/quit', delay => 500);
$c = client($port)->start(method => 'POST', path => '/resolve',
    body => integration(name => 'quit', uri => "$base/quit"));
$good->wait_hits('/quit', 1);
$t->stop();
is($c->response()->status(), 201, 'QUIT waits for probes');

# but no longer than it may

$t->metrics_forget();
$t->conf("worker_shutdown_timeout 500ms;\n$conf")->run();
$hits = $good->requests('/a');
$c = client($port)->start(method => 'POST', path => '/resolve',
    body => integration(name => 'cut', uris => [ "$base/a",
    'https://127.0.0.1:' . $silent->sockport() . '/' ]));
$good->wait_hits('/a', 1 + $hits);
$start = now();
$t->stop();
cmp_ok(now() - $start, '<', scaled(3), 'worker_shutdown_timeout ends probes');
my ($cut) = grep { ($_->{integration_name} // '') eq 'cut' } audit();
is_deeply([ @$cut{qw/ state success /}, map { [ @$_{qw/ ok message /} ] }
    @{$cut->{endpoints}} ], [ 'unreachable', JSON::PP::false,
    [ JSON::PP::true, undef ], [ undef, 'the server is shutting down' ] ],
    'worker_shutdown_timeout: which is audited');

###############################################################################

sub integration {
    my (%other) = @_;
    return $json->encode({ name => 'hook', type => 'webhook', %other });
}

sub resolve {
    my ($path, %other) = @_;
    return ask(POST => $path, integration(%other));
}

sub fields {
    my ($res) = @_;
    return sort map { $_->{field} } @{$res->json()->{errors} // []};
}

sub ask {
    my ($method, $path, $body) = @_;
    return client($port)->request(method => $method, path => $path,
        close => 1, body => $body, timeout => 20);
}

# seconds of ten resolves at a time

sub parallel {
    my $from = now();

    my @clients = map { client($port)->start(method => 'POST',
        path => '/resolve', timeout => 30, body => integration(
        name => "parallel $_", uris => [ map { "$base$_" } @uris ])) } 0 .. 9;

    for my $client (@clients) {
        my $res = $client->response();
        $failed++ if $res->status() !~ /^20[01]\z/;
        $client->close();
    }

    return now() - $from;
}

# what the mesh has heard, n records at least

sub mesh {
    my ($many) = @_;
    $hook->wait_hits('/mesh', $many);
    return map { $_->json() } $hook->requests('/mesh');
}

sub audit { return $t->audit_settled('audit.log') }

###############################################################################
