#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Source-side filters: what is sent, what is refused before that, and what the
# caller and the audit log hear of it.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();

use Test::EventBridge;
###############################################################################

my $t = Test::EventBridge->new(workers => 1, log_level => 'info')->plan(196);

my $g = $t->genesys(1);
my $port = $t->port(0);
my $ca = $g->ca();

$t->write_file('secret', "the-client-secret\n", 0640);
$t->secret('the-client-secret', ok_in => qr/mock-\d+\.jsonl|secret$/);

sub organisation {
    my ($name, $client, $more) = @_;

    return <<"EOF";
    eventbridge_genesys $name {
        api_url https://localhost:%%PORT_1%%;
        login_url https://localhost:%%PORT_1%%;
        client_id $client;
        client_secret_file %%TESTDIR%%/secret;
        trusted_certificate $ca;
        $more
    }
EOF
}

$t->conf(<<'EOF' =~ s/CERTIFICATE/$ca/gr =~ s/ORGANISATIONS/
http {
    eventbridge_stats_file %%TESTDIR%%/stats;

ORGANISATIONS
    eventbridge_audit_log %%TESTDIR%%/audit.log flush=100ms;
    client_max_body_size 8m;
    large_client_header_buffers 4 32k;

    server {
        listen 127.0.0.1:%%PORT_0%%;

        eventbridge_genesys_pass ref /_genesys/;
        eventbridge_genesys_pass int /_genesys/;
        eventbridge_genesys_pass none /_genesys/;

        location /filters { eventbridge_genesys_filters ref; }
        location /topics { eventbridge_genesys_filters int; }
        location /none { eventbridge_genesys_filters none; }
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
    organisation('ref', 'client-1', 'retries 1; retry_cap 2s;')
    . organisation('none', 'nobody', '')
    . organisation('int', 'client-2',
        'retries 1; retry_cap 2s; api integrations;') /er);

$t->run();

$g->client('client-1', 'the-client-secret');
$g->client('client-2', 'the-client-secret');

my $json = JSON::PP->new()->utf8();
my $gold = '{"matchType":"regex","values":["^gold"]}';

###############################################################################

# a document as no encoder would write it

my $unknown = join ",\n", map { qq/  "unknown$_": / . ('1.0', '1e2',
    '12345678901234567890', '-0.0', 'true', 'null', '"\\u00e9\\/"', '[]',
    '{"b":1,"a":2}', '[1,{"z":[]}]')[$_ % 10] } 1 .. 40;

my $odd = <<"EOF";
{ "version":1.0, "twice":1,
$unknown,
  "twice" :2,
  "subscriptions":[ {"filterCriteria":{"unknown":1E+2,"attributes":[
     {"values":[ "^silver" ], "key":"tier", "matchType":"regex"},
     {"key":"lang","values":["en"],"matchType":"exact", "weight":0.10}
  ]}, "events":["a"], "name":"calls", "events":["b"] },
  {"name":"other","events":[]}],
  "awsAccount":"123456789012", "id":"i1" }
EOF

$g->document('i1', $odd);

my $r = get($port, '/filters/i1/calls/tier');
is($r->status(), 200, 'a filter is shown');
is_deeply($r->json()->{filter}, { key => 'tier', matchType => 'regex',
    values => [ '^silver' ] }, 'as it is');

$r = get($port, '/filters/i1/calls');
is($r->status(), 200, 'a subscription is shown');
is(scalar @{$r->json()->{subscriptions}[0]{attributes}}, 2, 'its filters');

$r = get($port, '/filters/i1');
is($r->status(), 200, 'an integration is shown');
is_deeply([ map { $_->{name} } @{$r->json()->{subscriptions}} ],
    [ qw/ calls other / ], 'its subscriptions');

is(scalar $g->calls('PUT'), 0, 'nothing was written');

# a dry run

$r = put('/filters/i1/calls/tier?dry_run=1', $gold);
is($r->status(), 200, 'dry run');
my $dry = $r->json();
ok($dry->{dryRun} && $dry->{wouldChange}, 'dry run: it would change');
is($dry->{request}{method}, 'PUT', 'dry run: method');
is($dry->{request}{uri}, '/api/v2/integrations/eventbridge/i1',
    'dry run: uri');
ok(@{$dry->{difference}}, 'dry run: a difference');
is(scalar $g->calls('PUT'), 0, 'dry run: nothing is written');

my $would = $odd;
substr($would, $_->{offset}, length $_->{removed}, $_->{inserted})
    for sort { $b->{offset} <=> $a->{offset} } @{$dry->{difference}};

# whoever asks for one in other words means no change, either

for my $args ('dry_run', 'dry_run=true', 'a=b&dry_run=yes', 'dry_run=',
    'DRY_RUN=1')
{
    $r = put("/filters/i1/calls/tier?$args", $gold);
    ok($r->status() == 200 && $r->json()->{dryRun}, "dry run: ?$args");
}

is(scalar $g->calls('PUT'), 0, 'dry run: still nothing');

$r = put('/filters/i1/calls/tier?dry_run=0', $gold);
is($r->status(), 200, 'row 3.1: a filter is set at the host of the region');
ok($r->json()->{changed} && $r->json()->{verified}, 'changed and verified');
is($r->json()->{previous}[0]{values}[0], '^silver', 'and what it was');

my ($sent) = $g->puts('i1');
is($sent, $odd =~ s/\[ "\^silver" \]/["^gold"]/r,
    'row 3.2: the bytes differ in exactly the filter');
is($sent, $would, 'and the dry run said so');
is($dry->{request}{length}, length $sent, 'and how long it is');

like((audit())[-1]{correlationId} // '', qr/^[0-9a-f-]{36}$/,
    'audit: correlation id');
is_deeply({ map { $_ => (audit())[-1]{$_} } qw/ action id subscription
    attribute method status apiStatus changed organisation / },
    { action => 'filter_set', id => 'i1', subscription => 'calls',
    attribute => 'tier', method => 'PUT', status => 200, apiStatus => 200,
    changed => JSON::PP::true, organisation => 'ref' },
    'audit: what was changed');

my $calls = $g->calls('*');
$r = put('/filters/i1/calls/tier', $gold);
is($r->status(), 200, 'row 3.8: the same again');
ok(!$r->json()->{changed}, 'row 3.8: nothing has changed');
is(scalar($g->puts('i1')), 1, 'row 3.8: nothing is written');
is(scalar($g->calls('*')), $calls + 1, 'row 3.8: it was only read');
is((audit())[-1]{action}, 'filter_unchanged', 'row 3.8: audit');

$r = put('/filters/i1/calls/tier?dry_run=1', $gold);
ok(!$r->json()->{wouldChange}, 'dry run of the same');

# row 3.5

for my $case ([ exact => '["a","b"]' ], [ regex => '["(?=a)b"]' ],
    [ exists => '[]' ], [ notexists => undef ])
{
    my ($type, $values) = @$case;

    $r = put("/filters/i1/other/$type", qq/{"matchType":"$type"/
        . (defined $values ? qq/,"values":$values/ : '') . '}');
    is($r->status(), 200, "row 3.5: $type");
    is(get($port, "/filters/i1/other/$type")->json()->{filter}{matchType},
        $type, "row 3.5: $type is stored");
}

for my $case ([ 'exists with values', '{"matchType":"exists","values":["a"]}' ],
    [ 'exact without', '{"matchType":"exact","values":[]}' ],
    [ 'regex without', '{"matchType":"regex"}' ],
    [ 'another type', '{"matchType":"glob","values":["a"]}' ],
    [ 'a type that is no string', '{"matchType":1,"values":["a"]}' ],
    [ 'twice', '{"matchType":"exact","matchType":"regex","values":["a"]}' ])
{
    $calls = $g->calls('*');
    bad($case->[1], 400, "row 3.5: $case->[0]");
    is(scalar($g->calls('*')), $calls, "row 3.5: $case->[0]: nothing is sent");
}

$g->document('dup', '{"id":"dup","subscriptions":[{"name":"s",'
    . '"filterCriteria":{"attributes":[{"key":"k","matchType":"exact",'
    . '"values":["1"]},{"key":"x","matchType":"exists","values":[]},'
    . '{"key":"k","matchType":"exact","values":["2"]}]}}]}');

is(put('/filters/dup/s/k', $gold)->status(), 200, 'row 3.5: duplicates');
is_deeply([ map { $_->{key} } @{$json->decode($g->document('dup'))
    ->{subscriptions}[0]{filterCriteria}{attributes}} ], [ qw/ k x / ],
    'row 3.5: duplicates are one');

$r = ask(DELETE => '/filters/dup/s/k');
is($r->status(), 200, 'row 3.5: a filter is removed');
is((audit())[-1]{action}, 'filter_removed', 'row 3.5: removal is audited');
unlike($g->document('dup'), qr/"k"/, 'row 3.5: at the API, too');
is(get($port, '/filters/dup/s/k')->status(), 404, 'row 3.5: it is gone');
$r = ask(DELETE => '/filters/dup/s/k');
is($r->status(), 200, 'row 3.5: removed twice');
ok(!$r->json()->{changed}, 'row 3.5: nothing has changed');

# row 3.4

$calls = $g->calls('*');
$r = bad('{"matchType":"regex","values":["ok","(?<n>a("]}', 422,
    'row 3.4: a bad regex');
is(scalar($g->calls('*')), $calls, 'row 3.4: no call of the API');
is($r->{errors}[0]{field}, 'values[1]', 'row 3.4: which');
is($r->{errors}[0]{offset}, 7, 'row 3.4: offset');
is($r->{errors}[0]{message}, 'missing closing parenthesis',
    'row 3.4: the text of PCRE2');
bad('{"matchType":"regex","values":["' . 'a' x 1025 . '"]}', 400,
    'row 3.4: a long regex');
is((audit())[-1]{action}, 'filter_refused', 'row 3.4: audit');
ok(!exists +(audit())[-1]{apiStatus}, 'row 3.4: audit, no status of the API');

# all violations at once

$r = put('/filters/a%20b/s/k', '{"matchType":"x","more":1,"values":[1]}');
is($r->status(), 400, 'violations');
is_deeply([ sort map { $_->{field} } @{$r->json()->{errors}} ],
    [ qw/ integration matchType more values[0] / ], 'all of them');

# row 3.3

for my $how (qw/ version etag /) {
    for my $conflict (409, 412, 400) {
        my $id = "$how$conflict";
        my $doc = qq/{"id":"$id","version":7,"note":"old",/
            . '"subscriptions":[{"name":"s"}]}';

        $g->option(conflict => $conflict);
        $g->document($id, $doc, $how eq 'etag' ? (etag => 1)
            : (versions => 1));

        # somebody else is faster
        $g->fail(PUT => "/eventbridge/$id", headers => [], do => [ [
            document => $id, $doc =~ s/old/new/r =~ s/7/8/r,
            $how eq 'etag' ? (etag => 1) : (versions => 1) ] ]);

        $r = put("/filters/$id/s/k", $gold);
        is($r->status(), 200, "row 3.3: conflict $id");
        like($g->document($id), qr/"note":"new".*\^gold/s,
            "row 3.3: conflict $id, both changes are there");
    }
}

is(($g->calls(PUT => qr/etag409/))[0]->header('If-Match') // '',
    '"' . do { require Digest::MD5; Digest::MD5::md5_hex(
        '{"id":"etag409","version":7,"note":"old",'
        . '"subscriptions":[{"name":"s"}]}') } . '"', 'row 3.3: If-Match');

$g->option(conflict => 409);
$g->fail(PUT => 'i1', times => 0, status => 409);
$r = put('/filters/i1/calls/tier', '{"matchType":"exists"}');
is($r->status(), 409, 'row 3.3: conflicts without end');
problem($r, 'row 3.3: conflicts without end');
$g->forgive();

$g->document('i9', '{"id":"i8","subscriptions":[{"name":"s"}]}');
is(put('/filters/i9/s/k', $gold)->status(), 502,
    'row 3.3: the document of another id is not used');

for my $id ('%2e%2e%2f', 'a%0d%0ab', 'a%20b', '%e2%82%ac', 'x' x 129,
    'x' x 10_000)
{
    $calls = $g->calls('*');
    my $status = ask(PUT => "/filters/$id/s/k", $gold)->status();
    ok($status == 400 || $status == 404 || $status == 405,
        'row 3.3: id ' . substr($id, 0, 20)) or diag($status);
    is(scalar($g->calls('*')), $calls, 'row 3.3: id ' . substr($id, 0, 20)
        . ', nothing is sent');
}

# names that are long once they are escaped: the line is complete all the same

my $long = '%01' x 300;
is(ask(DELETE => "/filters/$long/$long/$long")->status(), 400, 'long names');
is((audit())[-1]{method}, 'DELETE', 'long names: audit');

# row 3.6

$g->fail(GET => 'i1', status => 429, retry_after => 1);
my $time = Test::EventBridge::Util::now();
is(get($port, '/filters/i1')->status(), 200, 'row 3.6: 429, and then not');
cmp_ok(Test::EventBridge::Util::now() - $time, '>=', 1,
    'row 3.6: Retry-After is kept');

$g->fail(GET => 'i1', status => 429, retry_after => 3600);
$time = Test::EventBridge::Util::now();
$r = get($port, '/filters/i1');
is($r->status(), 503, 'row 3.6: 429 for an hour');
is($r->header('Retry-After'), 3600, 'row 3.6: Retry-After is passed on');
cmp_ok(Test::EventBridge::Util::now() - $time, '<', 2,
    'row 3.6: nobody waits');
problem($r, 'row 3.6: 429 for an hour');
upstream($r, 429, 'too.many.requests.retry.after', 'row 3.6');

$g->fail(GET => 'i1', status => 429, retry_date => 3600);
$r = get($port, '/filters/i1');
is($r->status(), 503, 'row 3.6: 429 with a date');
cmp_ok($r->header('Retry-After') // 0, '>=', 3590,
    'row 3.6: what the date says is passed on');
cmp_ok($r->header('Retry-After') // 0, '<=', 3601,
    'row 3.6: and not more than that');

# row 3.7

$g->fail(PUT => 'i1', status => 202, apply => 1, empty => 1);
is(put('/filters/i1/calls/tier', '{"matchType":"exists"}')->status(), 200,
    'row 3.7: any 2xx');

$g->fail(PUT => 'i1', status => 503);
is(put('/filters/i1/calls/tier', $gold)->status(), 200,
    'row 3.7: PUT after 503 is sent again');

$g->revoke();
is(put('/filters/i1/calls/tier', '{"matchType":"exists"}')->status(), 200,
    'row 3.7: 401 is followed by another token');

$g->fail(GET => 'i1', times => 2, huge => 9_000_000);
is(get($port, '/filters/i1')->status(), 502, 'row 3.7: a huge answer');

# row 3.8, a store that forgets

$g->fail(PUT => 'i1', status => 200, body => '{}');
$r = put('/filters/i1/calls/tier', $gold);
is($r->status(), 502, 'row 3.8: what is read back is something else');
is((audit())[-1]{action}, 'filter_mismatch', 'row 3.8: audit of that');
is($r->json()->{correlationId} // '', $r->header('ININ-Correlation-Id'),
    'row 3.8: correlation id');

# the change fails, and what is there can be read: the answer, the header and
# the audit log are about the failure

$g->fail(PUT => 'i1', times => 2, status => 500, code => 'broken');
$r = put('/filters/i1/calls/tier', $gold);
is($r->status(), 502, 'row 3.7: a PUT that failed for good');
upstream($r, 500, 'broken', 'row 3.7: a PUT that failed for good');
is((audit())[-1]{apiStatus}, 500, 'row 3.7: a PUT that failed: audit');

# what the API refuses

for my $case ([ 400, 422 ], [ 403, 502 ], [ 404, 404 ], [ 409, 409 ],
    [ 413, 422 ], [ 500, 502 ], [ 502, 502 ], [ 503, 502 ], [ 504, 504 ])
{
    my ($status, $ours) = @$case;

    $g->fail(GET => 'i1', times => 2, status => $status, code => "c.$status",
        message => "m $status", details => [ { errorCode => 'e' } ]);

    $r = get($port, '/filters/i1');
    is($r->status(), $ours, "the API's $status is $ours");
    upstream($r, $status, "c.$status", "the API's $status");
    is((audit())[-1]{apiStatus}, $status, "the API's $status: audit");
    $g->forgive();
}

$g->fail(GET => 'i1', times => 2, hang => 1);
$r = get($port, '/filters/i1');
is($r->status(), 504, 'the API does not answer in time');
problem($r, 'the API does not answer in time');
$g->forgive();

$g->fail(GET => 'i1', times => 2, reset => 1);
is(get($port, '/filters/i1')->status(), 502, 'the API resets');
$g->forgive();

$g->fail(GET => 'i1', times => 2, status => 503, html => 1);
problem(get($port, '/filters/i1'), 'the API has a page for people');
$g->forgive();

$r = get($port, '/none/i1');
is($r->status(), 502, 'there is no token');
is($r->json()->{upstream}{status}, 0, 'there is no token: no answer');
like($r->json()->{upstream}{message},
    qr/^there is no token: the OAuth client is unknown/,
    'there is no token: why');

$g->down();
$r = get($port, '/filters/i1');
is($r->status(), 502, 'the API is down');
problem($r, 'the API is down');
$g->up();

$r = get($port, '/filters/i1/nosuch/tier');
is($r->status(), 404, 'no such subscription');
is_deeply($r->json()->{subscriptions}, [ qw/ calls other / ],
    'those that there are');

$g->option(live => 1);
$r = put('/filters/i1/calls/tier', $gold);
is($r->status(), 404, 'row 3.1: a live organisation');
like($r->json()->{detail}, qr{api\ integrations.*config/current}x,
    'row 3.1: what it has instead');
$t->log_like(qr{Genesys Cloud.*404.*api integrations.*config/current},
    'row 3.1: log');
$g->option(live => 0);

###############################################################################

# topics of integrations

$g->put(integrations => { id => 'n1', name => 'n1', _config => {
    name => 'n1', version => 3, properties => {
    awsAccountId => '123456789012', awsAccountRegion => 'us-east-1',
    eventSourceSuffix => 'bus', eventFilter => [ 'v2.a' ] },
    advanced => {}, notes => 'ours', credentials => {} } });

my $topic = 'v2.detail.events.conversation.%7bid%7d.acw';

is_deeply(get($port, '/topics/n1')->json()->{topics}, [ 'v2.a' ],
    'topics are shown');
$r = put("/topics/n1/$topic", undef);
is($r->status(), 200, 'a topic is added');
is_deeply($g->object(integrations => 'n1')->{_config}{properties}{eventFilter},
    [ 'v2.a', 'v2.detail.events.conversation.{id}.acw' ], 'at the API, too');
is($g->object(integrations => 'n1')->{_config}{notes}, 'ours',
    'row 3.2: what is not ours is left');
is((audit())[-1]{attribute}, 'v2.detail.events.conversation.{id}.acw',
    'audit: the topic');
is(ask(DELETE => "/topics/n1/$topic")->status(), 200, 'a topic is removed');
is(put('/topics/n1', '{"topics":["v2.b","v2.c"]}')->status(), 200,
    'topics are replaced');
is_deeply($g->object(integrations => 'n1')->{_config}{properties}{eventFilter},
    [ 'v2.b', 'v2.c' ], 'at the API, too');
is(put('/topics/n1', '{"topics":[]}')->status(), 400, 'no topic at all');
is(get($port, '/topics/n2')->status(), 404, 'no such integration');

###############################################################################

$t->secret($_->{token}, ok_in => qr/mock-\d+\.jsonl/)
    for grep { $_->{token} } $g->token_requests();

###############################################################################

sub ask {
    my ($method, $path, $body) = @_;
    my $c = client($port);
    my $res = $c->request(method => $method, path => $path, close => 1,
        defined $body ? (body => $body) : ());
    $c->close();
    return $res;
}

sub put { return ask('PUT', @_) }

sub audit { return $t->audit_settled('audit.log') }

sub problem {
    my ($res, $name) = @_;

    is($res->header('Content-Type'), 'application/problem+json',
        "$name: type of the document");
    is((eval { $res->json() } // {})->{status}, $res->status(),
        "$name: document");
}

sub upstream {
    my ($res, $status, $code, $name) = @_;
    my $doc = $res->json();
    my ($context) = $doc->{upstream}{contextId} // '';

    is_deeply([ @{$doc->{upstream}}{qw/ status code /} ], [ $status, $code ],
        "$name: what the API says");
    is_deeply([ $doc->{correlationId}, $res->header('ININ-Correlation-Id') ],
        [ $context, $context ], "$name: correlation id");
}

sub bad {
    my ($body, $status, $name) = @_;

    my $res = put('/filters/i1/calls/tier', $body);
    my $doc = eval { $res->json() } // {};

    is($res->status(), $status, $name);
    ok(@{$doc->{errors} // []}, "$name: errors");

    return $doc;
}

###############################################################################
