#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Tests for the mock of Genesys Cloud, and for the TLS side of mocks.  No
# module is loaded.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

BEGIN { $ENV{EB_MODULE} = ''; }

use JSON::PP ();
use MIME::Base64 qw/ encode_base64 /;
use POSIX qw/ WNOHANG /;
use Time::Local qw/ timegm /;

use Test::EventBridge;
use Test::EventBridge::Genesys;
use Test::EventBridge::Util qw/ now scaled /;

###############################################################################

my $t = Test::EventBridge->new(log_level => 'info', workers => 1)->plan(321);

my $g = $t->genesys(1);
my $plain = $g->plain_port();
my $json = JSON::PP->new()->utf8()->canonical();

$t->write_file('ca.pem', read_file($g->ca()));
$t->conf(<<'EOF2')->run();
    upstream genesys {
        server 127.0.0.1:%%PORT_1%%;
        keepalive 8;
    }

    server {
        listen 127.0.0.1:%%PORT_0%%;

        location / {
            proxy_pass https://genesys;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_ssl_server_name on;
            proxy_ssl_name localhost;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate %%TESTDIR%%/ca.pem;
        }
    }
EOF2

my ($r, $c, $token, $id, $begin, @all);

$g->client('app', 's3cret/+&=', lifetime => 86399);

###############################################################################

# tokens: row after row of the table

$r = login('app', 's3cret/+&=');
is($r->status(), 200, 'token');
is_deeply([ sort keys %{$r->json()} ],
    [ qw/ access_token expires_in token_type / ], 'token, members');
is($r->json()->{token_type}, 'bearer', 'token, type');
is($r->json()->{expires_in}, 86399, 'token, lifetime');
like($r->header('inin-correlation-id'), qr/^[0-9a-f-]{36}$/,
    'token, correlation id');
$token = $r->json()->{access_token};

$r = post($plain, '/oauth/token', 'grant_type=client_credentials'
    . '&client_id=app&client_secret=s3cret%2F%2B%26%3D', headers => form());
is($r->status(), 200, 'token, credentials in the body');
isnt($r->json()->{access_token}, $token, 'token, another');
is_deeply([ map { $_->{via} } $g->token_requests() ], [ qw/ basic body / ],
    'token, how');

token_error('unknown client', login('nobody', 'x'), 400, 'invalid_client',
    'client not found');
token_error('wrong secret', login('app', 'x'), 401, 'invalid_client',
    'authentication failed');

$g->client('nogrant', 'x', grant => 0);
token_error('wrong grant', login('nogrant', 'x'), 400, 'unauthorized_client',
    undef);
token_error('other grant', login('app', 's3cret/+&=', 'password'), 400,
    'unsupported_grant_type', undef);
token_error('no form', post($plain, '/oauth/token',
    '{"grant_type":"client_credentials"}'), 400, 'invalid_request', undef);
is(get($plain, '/oauth/token')->status(), 405, 'token, GET');

$g->fail(POST => '^/oauth/token', error => 'throttled', times => 2);
token_error('throttled', login('app', 's3cret/+&='), 400, 'invalid_request',
    undef);
like(login('app', 's3cret/+&=')->json()->{error_description},
    qr/^rate limit exceeded;/, 'throttled, description');
is(login('app', 's3cret/+&=')->status(), 200, 'throttled, over');

for my $name (qw/ unknown_client wrong_secret wrong_grant /) {
    $g->fail(POST => '^/oauth/token', error => $name);
    $r = login('app', 's3cret/+&=');
    ok($r->status() =~ /^40[01]$/ && $r->json()->{error}, "script: $name");
}

$g->fail(POST => '/oauth/', status => 503, html => 1);
$r = login('app', 's3cret/+&=');
is($r->status(), 503, 'token, 503');
like($r->body(), qr/^<html>/, 'token, HTML');

$g->option(login_limit => [ 1, 60 ]);
is(login('app', 's3cret/+&=')->status(), 200, 'login limit, within');
token_error('login limit', login('app', 's3cret/+&='), 400, 'invalid_request',
    undef);
$g->option(login_limit => undef);

@all = $g->token_requests();
is_deeply([ map { $_->{status} } @all[0 .. 3] ], [ 200, 200, 400, 401 ],
    'token requests, status');
is($all[3]{error}, 'wrong_secret', 'token requests, error');
is((grep { !$_->{time} || $_->{time} > now() } @all), 0,
    'token requests, time');

# rotation

$g->rotate('app', 'new', keep => 1);
is(login('app', 'new')->status(), 200, 'rotated, new secret');
is(login('app', 's3cret/+&=')->status(), 200, 'rotated, old one kept');
$g->rotate('app', 'newer');
is(login('app', 'newer')->status(), 200, 'rotated again');
is(login('app', 'new')->status(), 401, 'rotated again, old one');
is(api('GET', 'integrations')->status(), 200, 'tokens outlive the secret');

# bearers

my $path = '/api/v2/integrations';

api_error('no bearer', get($plain, $path), 401, 'authentication.required');
api_error('other scheme', get($plain, $path, headers =>
    { Authorization => "Basic $token" }), 401, 'bad.credentials');
api_error('unknown bearer', get($plain, $path, headers =>
    { Authorization => 'Bearer x' }), 401, 'bad.credentials');
api_error('no endpoint, but a bearer', api('GET', 'nothing'), 404,
    'not.found');
is(get($plain, '/other')->status(), 404, 'outside the API');

$g->client('short', 'x', lifetime => 0.05);
my $short = login('short', 'x')->json()->{access_token};
ok(wait_for(sub { get($plain, $path, headers => { Authorization =>
    "Bearer $short" })->status() == 401 }), 'a short life');
api_error('after a short life', get($plain, $path, headers =>
    { Authorization => "Bearer $short" }), 401, 'credentials.expired');

$g->expire();
api_error('expired', api('GET', 'integrations'), 401, 'credentials.expired');
$token = login('app', 'newer')->json()->{access_token};
is(api('GET', 'integrations')->status(), 200, 'after a new login');
$g->revoke($token);
api_error('revoked', api('GET', 'integrations'), 401, 'bad.credentials');
$token = login('app', 'newer')->json()->{access_token};
$g->revoke();
is(api('GET', 'integrations')->status(), 401, 'all revoked');
$token = login('app', 'newer')->json()->{access_token};

###############################################################################

# subscriptions

my %sub = (name => 'a', destination => { type => 'http', endpoint =>
    'https://events.example.com/' }, filter => { eventSources => [ 'x' ] },
    retentionPeriodDays => 7, extra => { kept => 1 });

my $base = 'eventbridge/subscriptions';

$r = api('POST', $base, \%sub);
is($r->status(), 201, 'subscription');
$id = $r->json()->{id};
like($id, qr/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 'subscription, id');
is($r->json()->{status}, 'active', 'subscription, status');
like($r->json()->{createdDate}, qr/^\d{4}-\d\d-\d\dT[\d:.]+Z$/,
    'subscription, date');
is($r->json()->{version}, 1, 'subscription, version');
is_deeply($r->json()->{extra}, { kept => 1 }, 'subscription, unknown field');

$r = api('POST', $base, \%sub);
api_error('taken name', $r, 409, 'general.conflict');
is($r->json()->{details}[0]{entityId}, $id, 'taken name, whose');
is(scalar $g->objects('subscriptions'), 1, 'taken name, none made');

for my $case ([ name => '', 'name' ], [ destination => { type => 'sqs',
    endpoint => 'https://x/' }, 'destination.type' ],
    [ destination => { type => 'http', endpoint => 'x' },
    'destination.endpoint' ], [ retentionPeriodDays => 0,
    'retentionPeriodDays' ], [ retentionPeriodDays => 366,
    'retentionPeriodDays' ], [ filter => [], 'filter.eventSources' ])
{
    $r = api('POST', $base, { %sub, name => 'bad', $case->[0], $case->[1] });
    is($r->status() . ' ' . ($r->json()->{details}[0]{fieldName} // ''),
        "400 $case->[2]", "subscription, bad $case->[2]");
}

is(api('GET', "$base/$id")->json()->{name}, 'a', 'subscription, GET');
api_error('subscription, unknown', api('GET', "$base/x"), 404, 'not.found');

$r = api('PUT', "$base/$id", { %sub, retentionPeriodDays => 8, version => 1 });
is($r->status(), 200, 'subscription, PUT');
is($r->json()->{version}, 2, 'subscription, PUT, version');
is($g->object(subscriptions => $id)->{retentionPeriodDays}, 8,
    'subscription, PUT, state');
$r = api('PUT', "$base/$id", { %sub, version => 1 });
api_error('subscription, old version', $r, 409, 'general.conflict');
is(api('PUT', "$base/$id", \%sub)->status(), 200,
    'subscription, no version');

$g->put(subscriptions => { name => 'b' });
api_error('subscription, PUT, taken name', api('PUT', "$base/$id",
    { %sub, name => 'b' }), 409, 'general.conflict');
is($g->named(subscriptions => 'b')->{status}, 'active', 'put by others');

is(api('DELETE', "$base/$id")->status(), 204, 'subscription, DELETE');
is(api('DELETE', "$base/$id")->status(), 404, 'subscription, DELETE again');
is(api('PATCH', $base, {})->status(), 405, 'subscription, PATCH');

ok($g->remove(subscriptions => $g->named(subscriptions => 'b')->{id}),
    'removed by others');
is(scalar $g->objects('subscriptions'), 0, 'nothing left');

# ids in paths are encoded

$g->put(subscriptions => { id => 'a/b c', name => 'odd' });
is(api('GET', "$base/a%2Fb%20c")->json()->{name}, 'odd', 'encoded id');
$g->remove(subscriptions => 'a/b c');

# paging

$g->put(subscriptions => { name => "n$_" }) for 1 .. 57;
my ($next, @names) = ("/api/v2/$base?pageSize=20&x=%20y");

while (defined $next) {
    $r = get($plain, $next, headers => { Authorization => "Bearer $token" });
    push @names, map { $_->{name} } @{$r->json()->{entities}};
    $next = $r->json()->{nextUri};
    push @all, $next;
}

is(join(' ', @names), join(' ', map { "n$_" } 1 .. 57), 'pages, all of them');
is_deeply([ map { $r->json()->{$_} } qw/ total pageCount pageNumber / ],
    [ 57, 3, 3 ], 'pages, totals');
is($all[-2], "/api/v2/$base?pageNumber=3&pageSize=20&x=%20y",
    'pages, next URI');
is(scalar @{api('GET', $base)->json()->{entities}}, 25, 'page, default size');
is(scalar @{api('GET', "$base?pageNumber=9")->json()->{entities}}, 0,
    'page, beyond the end');
api_error('page, too large', api('GET', "$base?pageSize=101"), 400,
    'invalid.value');
api_error('page, no number', api('GET', "$base?pageNumber=0"), 400,
    'invalid.value');
is(api('GET', "$base?name=n7")->json()->{total}, 57, 'name is ignored');
$g->option(name_filter => 1);
is(api('GET', "$base?name=n7")->json()->{total}, 1, 'name is obeyed');
$g->option(name_filter => 0);

###############################################################################

# retention policies

my %policy = (name => 'p', description => 'd', eventTypes => [ 'x' ],
    retentionPeriod => 'P90D', tiering => { hotDays => 7, warmDays => 30,
    coldDays => 90 }, complianceTags => [ 'gdpr' ]);

$base = 'eventbridge/retentionpolicies/p1';

is(api('GET', $base)->status(), 404, 'policy, none');
$g->option(upsert => 0);
is(api('PUT', $base, \%policy)->status(), 404, 'policy, PUT makes none');
$g->option(upsert => 1);
$r = api('PUT', $base, { %policy, id => 'p1' });
is($r->status() . $r->json()->{status}, '200active', 'policy, made');
is($r->json()->{version}, 1, 'policy, version');
is(api('PUT', $base, { %policy, version => 1 })->json()->{version}, 2,
    'policy, new version');
api_error('policy, old version', api('PUT', $base,
    { %policy, version => 1 }), 409, 'general.conflict');

$g->option(conflict => 400);
$r = api('PUT', $base, { %policy, version => 1 });
is($r->status(), 400, 'policy, old version, 400');
like($r->json()->{message}, qr/does not match the current version/,
    'policy, old version, 400, message');
$g->option(conflict => 409);

$g->option(versions => 'etag');
$r = api('GET', $base);
is($r->header('ETag'), '"v2"', 'policy, ETag');
ok(!exists $r->json()->{version}, 'policy, ETag, no version');
is(api('PUT', $base, \%policy, 'If-Match' => '"v1"')->status(), 409,
    'policy, If-Match, another');
is(api('PUT', $base, \%policy, 'If-Match' => '"v2"')->status(), 200,
    'policy, If-Match');
is(api('PUT', $base, \%policy)->status(), 200, 'policy, no If-Match');
$g->option(strict => 1);
is(api('PUT', $base, \%policy)->status(), 400, 'policy, strict, no If-Match');
$g->option(versions => 'body');
is(api('PUT', $base, \%policy)->json()->{details}[0]{fieldName}, 'version',
    'policy, strict, no version');
$g->option(strict => 0, versions => 'none');
$r = api('GET', $base);
ok(!exists $r->json()->{version} && !defined $r->header('ETag'),
    'policy, nothing offered');
$g->option(versions => 'both');
$r = api('GET', $base);
ok($r->json()->{version} && $r->header('ETag'), 'policy, both offered');
$g->option(versions => 'body');

for my $case ([ retentionPeriod => '90', 'retentionPeriod' ],
    [ retentionPeriod => 'P', 'retentionPeriod' ],
    [ tiering => { hotDays => 1, warmDays => 2, coldDays => 999 },
    'tiering.coldDays' ], [ eventTypes => 1, 'eventTypes' ],
    [ id => 'p2', 'id' ])
{
    $r = api('PUT', $base, { %policy, $case->[0], $case->[1] });
    is($r->status() . ' ' . ($r->json()->{details}[0]{fieldName} // ''),
        "400 $case->[2]", "policy, bad $case->[0]");
}

$g->option(policy_polls => 2);
is(api('PUT', $base, \%policy)->json()->{status}, 'pending',
    'policy, pending');
is(join(' ', map { api('GET', $base)->json()->{status} } 1 .. 4),
    'pending pending active active', 'policy, after two polls');
$g->option(policy_end => 'failed');
api('PUT', $base, \%policy);
is(join(' ', map { api('GET', $base)->json()->{status} } 1 .. 3),
    'pending pending failed', 'policy, migration fails');
$g->option(policy_polls => 0, policy_end => 'active');

$g->fail(PUT => '/retentionpolicies/', status => 500, code =>
    'migration.failed', message => 'tier is full', times => 2);
$r = api('PUT', $base, \%policy);
api_error('policy, 5xx', $r, 500, 'migration.failed');
is($r->json()->{message}, 'tier is full', 'policy, 5xx, message');
is($g->object(policies => 'p1')->{status}, 'failed', 'policy, 5xx, unchanged');
ok(!$g->spent(), 'policy, 5xx, one more');
api('PUT', $base, \%policy);
ok($g->spent(), 'policy, 5xx, used up');
is(api('PUT', $base, \%policy)->json()->{status}, 'active',
    'policy, then it works');

# someone else is faster

my $before = $g->object(policies => 'p1')->{version};
$g->fail(PUT => '/retentionpolicies/', do => [ [ put => 'policies',
    { id => 'p1', description => 'theirs' } ] ]);
$r = api('PUT', $base, { %policy, version => $before });
is($r->status(), 409, 'policy, someone else is faster');
is($g->object(policies => 'p1')->{description}, 'theirs',
    'policy, theirs stays');

###############################################################################

# documents with source-side filters: bytes

my $bytes = '{"zz":1.0,"a":1e2,"version":7,"n":12345678901234567890,'
    . "\n\t\"subscriptions\" : [{\"name\":\"s\",\"version\":\"no\"}],"
    . '"u":"\\u00e9' . "\xc3\xa9" . '","a":2}';

$base = 'integrations/eventbridge/e1';

is(api('GET', $base)->status(), 404, 'document, none');
$g->document(e1 => $bytes);
$r = api('GET', $base);
is($r->body(), $bytes, 'document, as it was given');
is($r->header('Content-Type'), 'application/json', 'document, type');

my $put = $bytes =~ s/"s"/"t"/r;
$r = api('PUT', $base, $put);
is($r->status(), 200, 'document, PUT');
is($r->body(), $put, 'document, PUT, answer');
is($g->document('e1'), $put, 'document, PUT, state');
is(($g->puts('e1'))[0], $put, 'document, PUT, bytes');
is(($g->served('e1'))[0], $bytes, 'document, served');
is(($g->calls(PUT => $base))[0]->body(), $put, 'document, in the record');
is(api('PUT', $base, '{"id":"e2"}')->status(), 400, 'document, other id');
is(api('PUT', $base, '{"id":')->status(), 400, 'document, no JSON');
is(api('PUT', $base, '[]')->status(), 400, 'document, no object');
is(scalar(@{[ $g->puts('e1') ]}), 1, 'document, what was refused');

$g->document(e1 => $bytes, versions => 1);
is(api('PUT', $base, '{"x":1}')->status(), 400, 'document, no version');
is(api('PUT', $base, $bytes =~ s/:7/:6/r)->status(), 409,
    'document, old version');
$r = api('PUT', $base, $put);
is($r->status(), 200, 'document, version');
is($g->document('e1'), $put =~ s/"version":7/"version":8/r,
    'document, nothing but the version');
is(($g->puts('e1'))[-1], $put, 'document, version, bytes');

$g->document(e1 => $bytes, etag => 1);
$r = api('GET', $base);
like($r->header('ETag'), qr/^"[0-9a-f]{32}"$/, 'document, ETag');
is(api('PUT', $base, $put, 'If-Match' => '"x"')->status(), 409,
    'document, If-Match, another');
is(api('PUT', $base, $put, 'If-Match' => $r->header('ETag'))->status(), 200,
    'document, If-Match');

ok($g->remove(documents => 'e1'), 'document, removed');
is(api('GET', $base)->status(), 404, 'document, gone');

###############################################################################

# integrations, as they are

is(api('POST', 'integrations', { name => 'x', integrationType =>
    { id => 'other' } })->status(), 400, 'integration, other type');
$r = api('POST', 'integrations', { name => 'x', integrationType =>
    { id => 'amazon-eventbridge-source' } });
is($r->status(), 200, 'integration');
$id = $r->json()->{id};
is($r->json()->{intendedState}, 'DISABLED', 'integration, disabled');
is($r->json()->{reportedState}{code}, 'INACTIVE', 'integration, inactive');

my %config = (name => 'x', version => 1, properties => {
    awsAccountId => '123456789012', awsAccountRegion => 'us-east-1',
    eventSourceSuffix => 'my-bus', eventFilter => [ 'v2.x' ] },
    advanced => {}, notes => 'n', credentials => {});

$base = "integrations/$id/config/current";
is(api('GET', $base)->json()->{version}, 1, 'config');
$r = api('PUT', $base, \%config);
is($r->status() . $r->json()->{version}, '2002', 'config, PUT');
is(api('GET', $base)->json()->{properties}{eventSourceSuffix}, 'my-bus',
    'config, GET');
api_error('config, old version', api('PUT', $base, \%config), 409,
    'general.conflict');
$g->option(conflict => 400);
like(api('PUT', $base, \%config)->json()->{message},
    qr/does not match the current version/, 'config, old version, 400');
$g->option(conflict => 409);

for my $case ([ awsAccountId => '12' ], [ eventSourceSuffix => 'a b' ],
    [ eventFilter => 'x' ], [ awsAccountRegion => '' ])
{
    $r = api('PUT', $base, { %config, version => 2, properties =>
        { %{$config{properties}}, @$case } });
    is($r->json()->{details}[0]{fieldName}, "properties.$case->[0]",
        "config, bad $case->[0]");
}

$g->put(integrations => { id => 'other', name => 'other', _config =>
    { version => 1, properties => { eventSourceSuffix => 'theirs' } } });
$r = api('PUT', $base, { %config, version => 2, properties =>
    { %{$config{properties}}, eventSourceSuffix => 'theirs' } });
is($r->json()->{details}[0]{errorCode}, 'duplicate', 'config, taken suffix');

$g->option(integration_polls => 1);
$r = api('PATCH', "integrations/$id", { intendedState => 'ENABLED' });
is($r->json()->{reportedState}{code}, 'ACTIVATING', 'integration, enabled');
is(join(' ', map { api('GET', "integrations/$id")->json()->{reportedState}
    {code} } 1 .. 3), 'ACTIVATING ACTIVE ACTIVE', 'integration, active');
is(api('PATCH', "integrations/$id", { intendedState => 'ON' })->status(), 400,
    'integration, bad state');
is(api('PATCH', 'integrations/other', { intendedState => 'DISABLED' })
    ->json()->{reportedState}{code}, 'INACTIVE', 'integration, disabled');

$r = api('GET', 'integrations?expand=config.current'
    . '&integrationType=amazon-eventbridge-source&pageSize=1');
is($r->json()->{entities}[0]{config}{current}{version}, 2, 'expanded');
like($r->json()->{nextUri}, qr/expand=config\.current.*pageNumber=2/,
    'integrations, next URI');
ok(!exists api('GET', 'integrations')->json()->{entities}[0]{config},
    'not expanded');
is(api('GET', 'integrations?integrationType=x')->json()->{total}, 0,
    'integrations of another type');
is(api('GET', "integrations/$id?expand=config.current")->json()
    ->{config}{current}{notes}, 'n', 'integration, expanded');
is(api('PATCH', "integrations/$id", { intendedState => 'DELETED' })
    ->status(), 200, 'integration, deleted');
is(api('GET', "integrations/$id")->status(), 404, 'integration, gone');
is(api('DELETE', 'integrations/other')->status(), 200,
    'integration, DELETE');

###############################################################################

# outbound integrations

my %out = (name => 'o', type => 'webhook', uri => 'https://a.example/',
    uris => [ 'https://b.example/' ], retryPolicy => { maxRetries => 5 });

$base = 'outbound/integrations';
$r = api('POST', $base, \%out);
is($r->status(), 201, 'outbound');
$id = $r->json()->{id};
is(api('POST', $base, \%out)->status(), 409, 'outbound, taken name');
is(api('GET', "$base/$id")->json()->{uri}, 'https://a.example/',
    'outbound, GET');
is(api('GET', $base)->json()->{total}, 1, 'outbound, list');
is(api('PUT', "$base/$id", { %out, type => 'w' })->json()->{version}, 2,
    'outbound, PUT');
is(api('POST', $base, { %out, name => 'p', uri => 'http://x/' })->json()
    ->{details}[0]{fieldName}, 'uri', 'outbound, no https');
is(api('POST', $base, { %out, name => 'p', retryPolicy => { maxRetries =>
    6 } })->status(), 400, 'outbound, too many tries');
$g->option(created => 200);
is(api('POST', $base, { %out, name => 'p' })->status(), 200,
    'outbound, 200 for a POST');
$g->option(created => 201);

# what a live organisation knows

$g->option(live => 1);
for my $p (qw{ eventbridge/subscriptions eventbridge/retentionpolicies/p1
    integrations/eventbridge/e1 outbound/integrations })
{
    api_error("live, $p", api('GET', $p), 404, 'not.found');
}
is(api('GET', 'integrations')->status(), 200, 'live, integrations');
$g->option(live => 0);

# what is refused before it is looked at

is(api('POST', $base, 'x' x 512001)->status(), 413, 'too large');
is(api('POST', $base, '{}', 'Content-Type' => 'text/plain')->status(), 415,
    'no JSON');
is(api('PUT', 'integrations', {})->status(), 405, 'other method');

###############################################################################

# failures

$path = 'eventbridge/subscriptions';

$g->fail(GET => '/subscriptions', status => 429, retry_after => 2, times => 3);
$r = api('GET', $path);
api_error('throttled, 429', $r, 429, 'too.many.requests.retry.after');
is($r->header('Retry-After'), 2, '429, Retry-After');
like($r->json()->{message}, qr/ in \[2\] seconds$/, '429, message');
is($r->json()->{contextId}, $r->header('ININ-Correlation-Id'),
    '429, correlation id');
is(api('GET', 'outbound/integrations')->status(), 200, '429, others not');
is(api('DELETE', "$path/x")->status(), 404, '429, other method');
is(join(' ', map { api('GET', $path)->status() } 1 .. 3), '429 429 200',
    '429, three times');
is(($g->rules())[-1]{used}, 3, '429, told');

$g->fail(GET => '/subscriptions', status => 429, retry_date => 2);
$r = api('GET', $path);
my ($day, $mon, $year, $h, $m, $s) = $r->header('Retry-After') =~
    /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),\ (\d\d)\ ([A-Z][a-z]{2})
    \ (\d{4})\ (\d\d):(\d\d):(\d\d)\ GMT$/x;
my $ahead = timegm($s, $m, $h, $day,
    index('JanFebMarAprMayJunJulAugSepOctNovDec', $mon) / 3, $year) - time;
ok($ahead >= 0 && $ahead <= 3, '429, date') or diag($ahead);

$g->fail(GET => '/subscriptions', status => 503, times => 4, skip => 1);
is(join(' ', map { api('GET', $path)->status() } 1 .. 6),
    '200 503 503 503 503 200', 'a burst of 503, after one');

$g->fail(GET => '/subscriptions', html => 1);
$r = api('GET', $path);
is($r->status() . $r->header('Content-Type'), '503text/html', 'HTML');
ok(!defined $r->header('ININ-Correlation-Id'), 'HTML, not from the API');
$g->fail(GET => '/subscriptions', status => 500, empty => 1);
is(api('GET', $path)->text(), '500 ', 'no body');
$g->fail(GET => '/subscriptions', status => 418, body => 'tea', headers =>
    [ 'X-Y' => 'z' ]);
$r = api('GET', $path);
is($r->text() . $r->header('X-Y'), '418 teaz', 'own answer');
$g->fail('*' => '/subscriptions', reset => 1);
is(api('GET', $path)->error(), 'reset', 'reset');
$g->fail('*' => '/subscriptions', close => 1);
is(api('GET', $path)->error(), 'eof', 'closed');
$g->fail(GET => '/subscriptions', truncate => 10);
$r = api('GET', $path);
is($r->error() . length $r->body(), 'truncated10', 'a cut body');
$g->fail(GET => '/subscriptions', raw => "HTTP/1.1 oops\r\n\r\n");
is(api('GET', $path)->error(), 'garbage', 'garbage');
$g->fail(GET => '/subscriptions', chunked => 1);
$r = api('GET', $path);
is($r->status() . $r->header('Transfer-Encoding'), '200chunked', 'chunked');
is($r->json()->{total}, 57, 'chunked, body');
ok(!defined $r->header('Content-Length'), 'chunked, no length');

$begin = now();
$g->fail(GET => '/subscriptions', delay => 80);
$r = api('GET', $path);
is($r->json()->{total}, 57, 'late, the real answer');
cmp_ok(now() - $begin, '>=', 0.08, 'late');

# without effect, and with

$g->fail(POST => '/subscriptions', reset => 1, match => '"lost"');
is(api('POST', $path, { %sub, name => 'found' })->status(), 201,
    'another body');
is(api('POST', $path, { %sub, name => 'lost' })->error(), 'reset',
    'POST, reset');
ok(!$g->named(subscriptions => 'lost'), 'POST, reset, not made');
$g->fail(POST => '/subscriptions', reset => 1, apply => 1);
is(api('POST', $path, { %sub, name => 'lost' })->error(), 'reset',
    'POST, reset after it took effect');
ok($g->named(subscriptions => 'lost'), 'POST, reset, made');
$g->fail(POST => '/subscriptions', status => 504, apply => 1);
is(api('POST', $path, { %sub, name => 'slow' })->status(), 504, 'POST, 504');
ok($g->named(subscriptions => 'slow'), 'POST, 504, made');

$g->fail(POST => '/subscriptions', hang => 1, apply => 1);
$c = begin('POST', $path, { %sub, name => 'late' });
ok($g->wait_held("/api/v2/$path", 1), 'hangs');
ok($g->named(subscriptions => 'late'), 'hangs, made');
is($g->release(), 1, 'released');
is($c->response()->json()->{name}, 'late', 'released, the real answer');
$g->fail(POST => '/subscriptions', hang => 1);
$c = begin('POST', $path, { %sub, name => 'later' });
$g->wait_held("/api/v2/$path", 1);
ok(!$g->named(subscriptions => 'later'), 'hangs, not made');
$g->release();
is($c->response()->status(), 201, 'released, only now');
ok($g->named(subscriptions => 'later'), 'released, made');
$g->fail(POST => '/subscriptions', hang => 1);
$c = begin('POST', $path, { %sub, name => 'never' });
$g->wait_held("/api/v2/$path", 1);
$g->release(undef, undef, status => 502);
is($c->response()->status(), 502, 'released with another answer');

$g->fail(POST => '/subscriptions', times => 0, status => 503);
is(join(' ', map { api('POST', $path, \%sub)->status() } 1 .. 4),
    '503 503 503 503', 'for good');
ok($g->spent(), 'for good, none to wait for');
$g->forgive();
is(api('POST', $path, \%sub)->status(), 201, 'forgiven');

$g->option(limit => [ 2, 60 ]);
is(join(' ', map { api('GET', $path)->status() } 1 .. 3), '200 200 429',
    'limit');
like(api('GET', $path)->header('Retry-After'), qr/^(?:[1-9]|[1-5]\d|60)$/,
    'limit, Retry-After');
$g->option(limit => undef);

$g->fail(GET => '/api/', do => [ [ revoke => ], [ rotate => 'app', 'last' ] ]);
is(api('GET', $path)->status(), 401, 'revoked before the answer');
is(login('app', 'newer')->status(), 401, 'rotated before the answer');
$token = login('app', 'last')->json()->{access_token};

is((grep { $_->[3] == 503 } $g->answers()), 10, 'answers, by status');
is((grep { $_->[3] == 0 } $g->answers()), 8, 'answers that were none');

for my $wrong ([ 'x', stauts => 500 ], [ 'x', error => 'none' ],
    [ '(', status => 500 ], [ 'x', do => [ [ 'nothing' ] ] ])
{
    ok(!eval { $g->fail(GET => @$wrong); 1 }, "no such rule: $wrong->[1]");
}

ok(!eval { $g->option(nothing => 1); 1 }, 'no such option');
ok(!eval { $g->client('x', 'y', life => 1); 1 }, 'no such thing of a client');
ok(!eval { $g->document('x', '{}', tag => 1); 1 },
    'no such thing of a document');

###############################################################################

# the record

$g->forget();
api('PUT', 'eventbridge/retentionpolicies/p%201', \%policy, 'X-A' => "b\xff");
login('app', 'last');
@all = $g->calls();
is(@all, 1, 'calls, without those for tokens');
is($all[0]->method() . ' ' . $all[0]->uri(),
    'PUT /api/v2/eventbridge/retentionpolicies/p%201', 'call');
is($all[0]->header('x-a'), "b\xff", 'call, header');
is($all[0]->body(), $json->encode(\%policy), 'call, body');
ok($all[0]->time() <= now() && $all[0]->time() > now() - scaled(60),
    'call, time');
is($g->calls('*', qr{^/oauth/}), 1, 'calls for tokens');
ok($g->wait_calls(PUT => qr{/p%201$}, 1), 'calls, waited for');
ok($g->object(policies => 'p 1'), 'the id of an encoded path');

###############################################################################

# TLS

my $url = $g->url();
my @curl = ('--cacert', $g->ca());
my ($code, $out);

like($url, qr{^https://localhost:\d+$}, 'url');
is(get($t->port(0), '/api/v2/integrations')->status(), 401,
    'nginx trusts the certificate');
is(get($t->port(0), '/api/v2/integrations', headers =>
    { Authorization => "Bearer $token" })->status(), 200, 'over nginx');

($code, $out) = curl(@curl, "$url/api/v2/x");
is($code, 0, 'curl trusts the certificate');
like($out, qr/"authentication\.required"/, 'curl, answer');
is((curl("$url/api/v2/x"))[0], 60, 'who does not know the CA does not');
is((curl(@curl, '--connect-to', "other:$1:localhost:$1", "https://other:$1/"))
    [0], 60, 'nor under another name') if $url =~ /(\d+)$/;
is((curl(@curl, '--resolve', "localhost:$1:127.0.0.1", '--tls-max', '1.2',
    $url))[0], 0, 'TLS 1.2') if $url =~ /(\d+)$/;
is($g->{front}->stats()->{name}, 'localhost', 'SNI');
is((curl('--cacert', $g->ca(), '--http2', "$url/"))[0], 0,
    'HTTP/2 is not agreed upon');

my %kind = (expired => 60, self => 60, other => 60);
$id = 20;

for my $kind (sort keys %kind) {
    my $m = $t->mock($id++, tls => 1, kind => $kind);
    is((curl('--cacert', $m->ca(), $m->url()))[0], $kind{$kind},
        "certificate: $kind");
    $m->stop();
}

my $m13 = $t->mock($id, tls => 1, versions => '1.3');
is((curl('--cacert', $m13->ca(), '--tls-max', '1.2', $m13->url()))[0], 35,
    'TLS 1.3 only');
is((curl('--cacert', $m13->ca(), $m13->url()))[0], 0, 'TLS 1.3');
is($m13->{front}->stats()->{failed}, 1, 'handshakes that failed');
$m13->stop();

# faults arrive as they are

$g->fail(GET => '/reset', reset => 1);
is((curl(@curl, "$url/reset"))[0], 56, 'reset');
$g->fail(GET => '/close', close => 1);
is((curl(@curl, "$url/close"))[0], 52, 'closed');
$g->fail(GET => '/cut', truncate => 5);
is((curl(@curl, "$url/cut"))[0], 18, 'a cut body');
$g->fail(GET => '/huge', huge => 3_000_000);
is(length((curl(@curl, "$url/huge"))[1]), 3_000_000, 'huge');
$t->write_file('body', 'x' x 3_000_000);
($code, $out) = curl(@curl, '--data-binary', '@' . $t->testdir() . '/body',
    "$url/large");
is($code, 0, 'a large body');
is(length(($g->calls(POST => '/large'))[0]->body()), 3_000_000,
    'a large body, recorded');

# a connection that is kept, and closed by the server

is(get($t->port(0), '/api/v2/x')->status(), 401, 'kept alive');
cmp_ok($g->drop_idle(), '>=', 1, 'closed while it was idle');
ok(wait_for(sub { !$g->{front}->stats()->{open} }), 'the other side closes');
is(get($t->port(0), '/api/v2/x')->status(), 401, 'on a new connection');

# down and up

$g->down();
is((curl(@curl, $url))[0], 7, 'down');
$g->up();
is((curl(@curl, $url))[0], 0, 'up again');
is($g->object(policies => 'p1')->{description}, 'theirs',
    'up again, nothing forgotten');
$begin = now();
$g->down(1000);
is((curl(@curl, $url))[0], 7, 'down for a while');
ok(wait_for(sub { (curl(@curl, $url))[0] == 0 }), 'up by itself');
cmp_ok(now() - $begin, '>=', 1, 'not too early');

$g->fail(GET => '/hang', hang => 1);
my $hanging = client($t->port(0))->start(path => '/hang');
$g->wait_held('/hang', 1);
$g->down();
is($hanging->response()->status(), 502, 'down, what was open is reset');
$g->up();

$g->freeze();
is((curl(@curl, '--max-time', '0.3', $url))[0], 28, 'frozen');
$g->thaw();
is((curl(@curl, $url))[0], 0, 'thawed');

###############################################################################

# many at once

$g->forget();
$begin = now();
my @clients = map { client($plain) } 1 .. 20;
my @requests = map { Test::EventBridge::Client::build(path =>
    "/api/v2/eventbridge/subscriptions/$_", headers => { Authorization =>
    "Bearer $token" }) } 1 .. 50;
$_->{out} .= join '', @requests for @clients;
$_->put('') for @clients;
my $n = 0;
for my $client (@clients) {
    $n += grep { $client->response()->status() == 404 } @requests;
}
is($n, 1000, '1,000 requests, plain');
cmp_ok(now() - $begin, '<', scaled(10), '1,000 requests, plain, in time');

$begin = now();
my $handshakes = $g->{front}->stats()->{handshakes};
($code, $out) = curl(@curl, '-Z', '--parallel-max', 50, '-H',
    "Authorization: Bearer $token", '-w', '%{http_code}\n', '-o', '/dev/null',
    "$url/api/v2/integrations?n=[1-1000]");
is(scalar(() = $out =~ /^200$/mg), 1000, '1,000 requests, TLS');
cmp_ok(now() - $begin, '<', scaled(20), '1,000 requests, TLS, in time');
cmp_ok($g->{front}->stats()->{handshakes} - $handshakes, '<', 200,
    '1,000 requests, connections are kept');
is($g->calls(), 2000, 'all in the record');

@clients = map { client($t->port(0)) } 1 .. 8;
$_->start(path => '/api/v2/integrations') for @clients;
is((grep { $_->response()->status() == 401 } @clients), 8,
    'parallel, over nginx');

###############################################################################

# the receiver of webhooks is a mock

my $hook = $t->mock(2, tls => 1);
$hook->queue('/hook', ({ status => 503, headers => [ 'Retry-After' => 1 ] })
    x 2);
@all = map { (curl('--cacert', $hook->ca(), '-w', '%{http_code}', '-H',
    'webhook-id: msg_1', '-d', "{\"n\":$_}\xff", $hook->url() . '/hook'))[1]
    } 1 .. 3;
is("@all", 'ok503 ok503 ok200', 'webhook, statuses');
ok($hook->wait_hits('/hook', 3), 'webhook, hits');
is(join(' ', map { $_->header('Webhook-Id') } $hook->requests('/hook')),
    'msg_1 msg_1 msg_1', 'webhook, header');
is(($hook->bodies('/hook'))[2], "{\"n\":3}\xff", 'webhook, raw body');

###############################################################################

# ends with its parent

my $port = $t->port(3);
pipe(my $rd, my $wr) or die "pipe(): $!\n";
my $pid = fork() // die "fork(): $!\n";

if ($pid == 0) {
    my $child = Test::EventBridge::Genesys->new($port, $t->testdir())
        ->start();
    syswrite $wr, join(' ', $child->pids()) . "\n";
    kill 'KILL', $$;
    POSIX::_exit(1);
}

close $wr;
my @pids = split ' ', <$rd>;
waitpid $pid, 0;
is(@pids, 2, 'processes of a mock');
ok(wait_for(sub { @pids = grep { !waitpid $_, WNOHANG } @pids; !@pids }),
    'they end with their parent') or kill 'KILL', @pids;

$g->stop();
is((curl(@curl, $url))[0], 7, 'stopped');
$g->start();
is((curl(@curl, $url))[0], 0, 'started on the same port');
is(scalar $g->objects('subscriptions'), 0, 'and new');

###############################################################################

sub form { return { 'Content-Type' => 'application/x-www-form-urlencoded' } }

sub login {
    my ($client, $secret, $grant) = @_;

    return post($plain, '/oauth/token', 'grant_type='
        . ($grant // 'client_credentials'), headers => { %{form()},
        Authorization => 'Basic ' . encode_base64("$client:$secret", '') });
}

sub _request {
    my ($method, $what, $body, %headers) = @_;

    return (method => $method, path => "/api/v2/$what", headers =>
        { Authorization => "Bearer $token", %headers },
        defined $body ? (body => ref $body ? $json->encode($body) : $body)
            : ());
}

sub api {
    my $c = client($plain);
    my $r = $c->request(_request(@_));

    $c->close();

    return $r;
}

sub begin { return client($plain)->start(_request(@_)) }

sub token_error {
    my ($name, $r, $status, $error, $text) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $body = $r->json() // {};

    is($r->status() . ' ' . ($body->{error} // ''), "$status $error", $name);
    ok(defined $text ? $body->{description} eq $text
        && $body->{error_description} eq $text
        : length $body->{error_description}, "$name, description");
}

sub api_error {
    my ($name, $r, $status, $code) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $body = $r->json() // {};

    is(join(' ', $r->status(), $body->{status} // '', $body->{code} // ''),
        "$status $status $code", $name);
    ok(length $body->{message} && ref $body->{details} eq 'ARRAY'
        && ref $body->{errors} eq 'ARRAY'
        && $body->{contextId} eq $r->header('ININ-Correlation-Id'),
        "$name, body");
}

# exit code and output

sub curl {
    my (@args) = @_;

    open my $fh, '-|', 'curl', '-sS', '--stderr', '/dev/null', '--max-time',
        scaled(20), @args or die "curl: $!\n";
    binmode $fh;
    local $/;
    my $out = <$fh>;
    close $fh;

    return ($? >> 8, $out // '');
}

###############################################################################
