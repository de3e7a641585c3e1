#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Subscriptions and integrations at the API of Genesys Cloud, and what all
# control locations have in common: access, methods, paths and bodies.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::INET;
use JSON::PP ();

use Test::EventBridge;
use Test::EventBridge::Util qw/ now scaled /;
###############################################################################

my $t = Test::EventBridge->new(workers => 1, log_level => 'info')->plan(292);

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
        retries 1;
        retry_cap 2s;
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
        listen %%PORT_0%%;

        set_real_ip_from 127.0.0.1;
        real_ip_header X-Real-IP;

        eventbridge_genesys_pass ref /_genesys/;
        eventbridge_genesys_pass int /_genesys/;

        location /subscriptions { eventbridge_genesys_subscriptions ref; }
        location /slash/ { eventbridge_genesys_subscriptions ref; }
        location /integrations { eventbridge_genesys_subscriptions int; }
        location /retention { eventbridge_genesys_retention ref; }
        location /filters { eventbridge_genesys_filters ref; }
        location /topics { eventbridge_genesys_filters int; }
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
    organisation('ref', 'client-1', '')
    . organisation('int', 'client-2', 'api integrations;') /er);

$t->run();

$g->client('client-1', 'the-client-secret');
$g->client('client-2', 'the-client-secret');

my ($r, $calls, $id);

###############################################################################

# subscriptions

$r = ask(POST => '/subscriptions', subscription('s1'));
is($r->status(), 201, 'created');
$id = $r->json()->{id};
is($r->json()->{status}, 'active', 'and active');
is($r->header('Content-Type'), 'application/json', 'content type');
audited({ action => 'subscription_created', id => $id, method => 'POST',
    status => 201, apiStatus => 201, organisation => 'ref',
    location => '/subscriptions' }, 'created');
is((audit())[-1]{correlationId}, $r->header('ININ-Correlation-Id'),
    'audit: correlation id of the answer');

$r = ask(POST => '/subscriptions', subscription('s1'));
is($r->status(), 409, 'row 1.3: the name is taken');
problem($r, 'row 1.3: the name is taken');
like($r->json()->{detail}, qr/\Q$id\E/, 'row 1.3: by whom');
is(scalar $g->calls('POST', qr/subscriptions/), 1,
    'row 1.3: no POST without a look');

# an answer that is lost: it is looked up, not posted again

for my $how ([ 'hang', hang => 1 ], [ 'reset', reset => 1 ],
    [ '503', status => 503 ])
{
    my ($name, @rule) = @$how;

    $g->fail(POST => 'subscriptions', @rule, apply => 1);
    $calls = $g->calls('POST', qr/subscriptions/);
    is(ask(POST => '/subscriptions', subscription("lost-$name"))->status(),
        201, "row 1.3: the answer is lost, $name");
    is(scalar($g->calls('POST', qr/subscriptions/)), $calls + 1,
        "row 1.3: one POST, $name");
    is(scalar(grep { $_->{name} eq "lost-$name" }
        $g->objects('subscriptions')), 1, "row 1.3: one object, $name");
}

# the API says when it may be asked again, and that counts for a POST, too

$g->fail(POST => 'subscriptions', status => 503, retry_after => 2);
$calls = $g->calls('*', qr/subscriptions/);
is(ask(POST => '/subscriptions', subscription('rest'))->status(), 201,
    'row 1.4: a POST that is to wait');
my @rest = ($g->calls('*', qr/subscriptions/))[$calls .. $calls + 3];
is(join(' ', map { $_->method() } @rest), 'GET POST GET POST',
    'row 1.4: it is looked up before it is sent again');
cmp_ok($rest[2]->time() - $rest[1]->time(), '>=', 1.9,
    'row 1.4: not before Retry-After');

$g->fail(POST => 'subscriptions', status => 503, retry_after => 600);
$calls = $g->calls('*', qr/subscriptions/);
$r = ask(POST => '/subscriptions', subscription('longer'));
is($r->status(), 502, 'row 1.4: for longer than "retry_cap"');
is($r->json()->{upstream}{status}, 503, 'row 1.4: with what the API says');
is(scalar($g->calls('*', qr/subscriptions/)), $calls + 2,
    'row 1.4: nothing is sent meanwhile');

# many of them: the name is on the third page

$g->put(subscriptions => { name => "many-$_" }) for 1 .. 230;
is(ask(POST => '/subscriptions', subscription('many-230'))->status(), 409,
    'row 1.3: a name on the third page');
$r = get($port, '/subscriptions');
is($r->status(), 200, 'listed');
is(scalar @{$r->json()->{entities}}, 235, 'all pages');
audited({ action => 'subscriptions_listed', status => 200 }, 'listed');

# an answer that is larger than all buffers of sockets

$g->put(subscriptions => { name => "many-large-$_", note => 'x' x 15_000 })
    for 1 .. 200;
my $slow = client($port, rcvbuf => 65536);
$r = $slow->request(path => '/subscriptions', timeout => 30);
$slow->close();
is($r->status(), 200, 'listed, 3 MB');
is(scalar @{$r->json()->{entities}}, 435, 'all of them');

$g->remove(subscriptions => $_->{id})
    for grep { $_->{name} =~ /^many/ } $g->objects('subscriptions');

is(get($port, "/slash/$id")->json()->{name}, 's1', 'shown');
audited({ action => 'subscription_read', id => $id,
    location => '/slash/' }, 'shown');

# replaced: what is not ours is left, and somebody else may be faster

$g->put(subscriptions => { id => $id, theirs => { a => [ 1 ] } });

for my $versions (qw/ body etag both none /) {
    for my $conflict (409, 412, 400) {
        $g->option(versions => $versions, conflict => $conflict,
            strict => $versions ne 'none');

        $g->fail(PUT => 'subscriptions', headers => [], do => [ [ put =>
            'subscriptions', { id => $id, note => "$versions$conflict" } ] ]);

        my $days = 10 + $conflict % 100 + length $versions;
        my $name = "$versions, $conflict";

        $r = ask(PUT => "/subscriptions/$id", subscription('s1', $days));
        is($r->status(), 200, "replaced: $name");

        my $doc = $g->object(subscriptions => $id);
        is($doc->{retentionPeriodDays}, $days, "replaced: $name, at the API");
        is_deeply($doc->{theirs}, { a => [ 1 ] }, "replaced: $name, the rest");
        is($doc->{note}, $versions eq 'none' ? 'both400' : "$versions$conflict",
            "replaced: $name, what somebody else did");
    }
}

$g->option(versions => 'body', conflict => 409, strict => 0);
audited({ action => 'subscription_updated', id => $id }, 'replaced');

$calls = $g->calls('PUT');
$r = ask(PUT => "/subscriptions/$id", subscription('s1', 10 + 0 + 4));
is($r->status(), 200, 'replaced by the same');
is(scalar($g->calls('PUT')), $calls, 'nothing is written');
audited({ action => 'subscription_unchanged' }, 'replaced by the same');

my $version = $g->object(subscriptions => $id)->{version};
$r = ask(PUT => "/subscriptions/$id", subscription('s1', 3)
    =~ s/^\{/'{"version":' . ($version - 1) . ','/er);
is($r->status(), 409, 'an old version is named');
problem($r, 'an old version is named');
is(ask(PUT => "/subscriptions/$id", subscription('s1', 3)
    =~ s/^\{/{"version":$version,/r)->status(), 200, 'the version is named');

$g->fail(PUT => 'subscriptions', times => 0, status => 409);
$r = ask(PUT => "/subscriptions/$id", subscription('s1', 4));
is($r->status(), 409, 'conflicts without end');
problem($r, 'conflicts without end');
$g->forgive();

$r = ask(DELETE => "/subscriptions/$id");
is($r->status(), 204, 'deleted');
is($r->body(), '', 'without a body');
audited({ action => 'subscription_deleted', id => $id,
    changed => JSON::PP::true },
    'deleted');
is(get($port, "/subscriptions/$id")->status(), 404, 'it is gone');
is(ask(DELETE => "/subscriptions/$id")->status(), 404, 'deleted twice');
audited({ action => 'subscription_delete', status => 404, apiStatus => 404,
    id => $id }, 'deleted twice');

# violations, all of them, and nothing is sent

for my $case (
    [ 'empty', '{}', qw/ destination filter name retentionPeriodDays / ],
    [ 'wrong', '{"name":"","destination":{"type":"ftp","endpoint":"http://a/",'
        . '"maxEventsPerSecond":1001},"filter":{"eventSources":[]},'
        . '"retentionPeriodDays":366,"more":1}', qw/ destination.endpoint
        destination.maxEventsPerSecond destination.type filter.eventSources
        more name retentionPeriodDays / ],
    [ 'zero days', subscription('x', 0), 'retentionPeriodDays' ],
    [ 'no JSON', 'name=x', '' ],
    [ 'nothing', undef, '' ],
    [ 'an array', '[]', '' ],
    [ 'deep', '{"name":' . '[' x 50_000 . ']' x 50_000 . '}', '' ],
    [ 'NUL', "{\"name\":\"\0\"}", '' ],
    [ 'no UTF-8', "{\"name\":\"\xff\"}", '' ],
    [ 'twice', subscription('x') =~ s/^\{/{"name":"y",/r, 'name' ])
{
    my ($name, $body, @fields) = @$case;

    $calls = $g->calls('*');
    $r = ask(POST => '/subscriptions', $body);
    is($r->status(), 400, "violations: $name");
    problem($r, "violations: $name");
    is_deeply([ sort map { $_->{field} } @{$r->json()->{errors}} ],
        [ @fields ], "violations: $name, all");
    is(scalar($g->calls('*')), $calls, "violations: $name, nothing is sent");
}

# what the API says

for my $case ([ 401, 502 ], [ 403, 502 ], [ 409, 409 ], [ 415, 422 ],
    [ 429, 503 ], [ 500, 502 ], [ 502, 502 ], [ 503, 502 ], [ 504, 504 ])
{
    my ($status, $ours) = @$case;

    $g->fail(GET => 'subscriptions', times => 0, status => $status,
        code => "c.$status", message => "m $status",
        $status == 429 ? (retry_after => 7) : ());

    $r = get($port, '/subscriptions/x');
    my $doc = $r->json();

    is($r->status(), $ours, "the API's $status is $ours");
    is_deeply([ @{$doc->{upstream}}{qw/ status code message contextId /} ],
        [ $status, "c.$status", "m $status", $doc->{correlationId} ],
        "the API's $status: its words");
    is($r->header('Retry-After'), $status == 429 ? 7 : undef,
        "the API's $status: Retry-After");
    audited({ status => $ours, apiStatus => $status,
        correlationId => $doc->{correlationId} }, "the API's $status");
    $g->forgive();
}

$g->fail(GET => 'subscriptions', times => 0, status => 429, retry_date => 600);
$r = get($port, '/subscriptions/x');
is($r->status(), 503, '429 with a date');
cmp_ok($r->header('Retry-After') // 0, '>=', 590, 'row 1.4: Retry-After');
cmp_ok($r->header('Retry-After') // 0, '<=', 601, 'row 1.4: not longer');
$g->forgive();

$g->fail(GET => 'subscriptions', times => 0, hang => 1);
$r = get($port, '/subscriptions/x');
is($r->status(), 504, 'no answer in time');
problem($r, 'no answer in time');
$g->forgive();

for my $case ([ 'truncated', truncate => 10 ], [ 'HTML', html => 1,
    status => 200 ], [ 'empty', empty => 1 ], [ 'an array', body => '[]' ])
{
    my ($name, @rule) = @$case;

    $g->put(subscriptions => { id => 'y', name => 'y' });
    $g->fail(GET => 'subscriptions', times => 0, @rule);
    $r = ask(PUT => '/subscriptions/y', subscription('y'));
    is($r->status(), 502, "an answer that is $name");
    problem($r, "an answer that is $name");
    $g->forgive();
}

$g->option(live => 1);
$r = get($port, '/subscriptions');
is($r->status(), 404, 'a live organisation');
like($r->json()->{detail}, qr{api integrations.*notifications/channels},
    'what it has instead');
$t->log_like(qr{Genesys Cloud.*404.*api integrations}, 'and in the log');
$g->option(live => 0);

###############################################################################

# integrations

my $integration = '{"name":"bus","properties":{"awsAccountId":"123456789012",'
    . '"awsAccountRegion":"us-east-1","eventSourceSuffix":"my-bus",'
    . '"eventFilter":["v2.detail.events.conversation.{id}.acw"]}}';

$g->option(live => 1);
$r = ask(POST => '/integrations', $integration);
is($r->status(), 201, 'an integration is created');
$id = $r->json()->{id};
my $object = $g->object(integrations => $id);
is($object->{intendedState}, 'ENABLED', 'and enabled');
is($object->{_config}{properties}{eventSourceSuffix}, 'my-bus',
    'and configured');
audited({ action => 'subscription_created', id => $id,
    organisation => 'int' }, 'integration');
is(get($port, "/integrations/$id")->json()->{config}{properties}{awsAccountId},
    '123456789012', 'shown');
is(scalar @{get($port, '/integrations')->json()->{entities}}, 1, 'listed');
$r = ask(PUT => "/integrations/$id", $integration =~ s/acw/wrapup/r);
is($r->status(), 200, 'replaced');
is_deeply($g->object(integrations => $id)->{_config}{properties}{eventFilter},
    [ 'v2.detail.events.conversation.{id}.wrapup' ], 'at the API, too');
is(ask(POST => '/integrations', $integration)->status(), 409,
    'row 1.3: the name of an integration is taken');

$r = ask(POST => '/integrations', '{"name":"b2","properties":{"awsAccountId":'
    . '"12","awsAccountRegion":"x y","eventSourceSuffix":"a/b",'
    . '"eventFilter":[]}}');
is_deeply([ $r->status(), sort map { $_->{field} } @{$r->json()->{errors}} ],
    [ 400, map { "properties.$_" } qw/ awsAccountId awsAccountRegion
    eventFilter eventSourceSuffix / ], 'violations of an integration');

$g->put(integrations => { id => 'foreign', name => 'f',
    integrationType => { id => 'webhook' } });
is(ask(DELETE => '/integrations/foreign')->status(), 404,
    'an integration of another kind');
ok($g->object(integrations => 'foreign'), 'is not ours to delete');
is(ask(DELETE => "/integrations/$id")->status(), 204, 'deleted');
$g->option(live => 0);

###############################################################################

# methods and paths

for my $case (
    [ '/subscriptions', 'GET, POST', qw/ PUT DELETE PATCH HEAD OPTIONS / ],
    [ '/subscriptions/x', 'GET, PUT, DELETE', qw/ POST PATCH HEAD OPTIONS / ],
    [ '/retention/x', 'GET, PUT', qw/ POST DELETE HEAD OPTIONS / ],
    [ '/retention/validate', 'POST', qw/ GET PUT DELETE HEAD OPTIONS / ],
    [ '/filters/x', 'GET', qw/ PUT POST DELETE HEAD OPTIONS / ],
    [ '/filters/x/y/z', 'GET, PUT, DELETE', qw/ POST PATCH HEAD OPTIONS / ],
    [ '/topics/x', 'GET, PUT, DELETE', qw/ POST PATCH HEAD OPTIONS / ])
{
    my ($path, $allow, @methods) = @$case;

    is_deeply([ map { [ $_->status(), $_->header('Allow'),
        $_->header('Content-Type') ] } map { ask($_ => $path) } @methods ],
        [ map { [ 405, $allow, 'application/problem+json' ] } @methods ],
        "$path: other methods");
}

$calls = $g->calls('*');

for my $path ('/retention', '/filters', '/topics', '/filters/a/b/c/d',
    '/filters/a/b/c/d/e/f', '/retention/a/b', '/subscriptions/a%2fb',
    '/subscriptionsx', '/retentionx', '/filtersx', '/topicsx')
{
    $r = get($port, $path);
    is($r->status(), 404, "$path: there is nothing");
    problem($r, "$path: there is nothing");
}

for my $path ('a%20b', 'a%0d%0aX:%20y', '%e2%82%ac', '%2e%2e%2e%20', 'a%25b',
    'x' x 129, 'y' x 10_000)
{
    for my $where (qw/ subscriptions integrations retention filters topics /) {
        $r = get($port, "/$where/$path");
        is($r->status(), 400, "$where: id " . substr $path, 0, 20);
    }
}

is(get($port, '/subscriptions/a%00b')->status(), 400, 'NUL');
is(get($port, '/subscriptions/%2e%2e/_genesys/x')->status(), 404,
    'two dots, and the internal location');
is(get($port, '/_genesys/api/v2/integrations')->status(), 404,
    'the internal location itself');

for my $path ('/subscriptions', '/integrations') {
    is(ask(POST => $path, 'x' x 600_000)->status(), 413, "$path: 600 KB");
}

for my $path ('/retention/x', '/filters/x/y/z', '/topics/x') {
    $r = ask(PUT => $path, 'x' x 600_000);
    is($r->status(), 413, "$path: 600 KB");
    problem($r, "$path: 600 KB");
}

is(scalar($g->calls('*')), $calls, 'nothing of it was sent');

# access: the peer is local, and so is who it speaks for

for my $path (qw{ /subscriptions /retention/x /filters/x }) {
    $calls = $g->calls('*');
    $r = client($port)->request(path => $path,
        headers => [ 'X-Real-IP' => '192.0.2.1' ]);
    is($r->status(), 403, "$path: not for who is elsewhere");
    problem($r, "$path: not for who is elsewhere");
    is(scalar($g->calls('*')), $calls, "$path: nothing is sent");
}

SKIP: {
    my $s = IO::Socket::INET->new(Proto => 'udp', PeerAddr => '192.0.2.1',
        PeerPort => 9);
    my $host = $s ? $s->sockhost() : '127.0.0.1';

    skip('no address but loopback', 1) if $host =~ /^127\./;
    is(client($port, host => $host)->request(path => '/subscriptions')
        ->status(), 403, 'a peer that is not loopback');
}

###############################################################################

# the client goes; what it asked for is done all the same

$g->fail(POST => 'subscriptions', delay => 0.3);
$calls = $g->calls('POST', qr/subscriptions/);
my $c = client($port);
$c->start(method => 'POST', path => '/subscriptions',
    body => subscription('alone'));
$g->wait_calls('POST', qr/subscriptions/, $calls + 1, 10);
$c->close();
ok(wait_for(sub { $g->named(subscriptions => 'alone') }, 10),
    'the client left: it is done');
ok(wait_for(sub { (audit())[-1]{action} eq 'subscription_created' }, 10),
    'the client left: it is audited');

# memory

my @bad = (
    sub { ask(POST => '/subscriptions', '{"name":' . '[' x 3000) },
    sub { ask(PUT => '/filters/a/b/c',
        '{"matchType":"regex","values":["("]}') },
    sub { ask(PUT => '/retention/x', 'x' x 100_000) },
    sub { ask(PUT => '/subscriptions/a%20b', subscription('x')) },
    sub { get($port, '/subscriptions/' . 'z' x 5000) },
    sub { ask(PATCH => '/subscriptions') },
    sub { get($port, '/filters/a/b/c/d') },
    sub { ask(POST => '/retention/validate', '{}') });

my ($pid) = $t->worker_pids();

$bad[$_ % @bad]->() for 1 .. 800;
my $before = $t->worker_memory($pid);
my @status = map { $bad[$_ % @bad]->()->status() } 1 .. 2000;
my $after = $t->worker_memory($pid);

is(scalar(grep { $_ < 400 || $_ > 422 } @status), 0, '2,000 bad requests');
SKIP: {
    # freed memory waits in quarantine there
    skip('sanitizers and Valgrind', 1) if scaled(1) != 1;
    cmp_ok($after - $before, '<', 1_000_000, 'memory of the worker');
}
is_deeply([ $t->worker_pids() ], [ $pid ], 'the same worker');
is(get($port, '/subscriptions')->status(), 200, 'and all is well');

$t->secret($_->{token}, ok_in => qr/mock-\d+\.jsonl/)
    for grep { $_->{token} } $g->token_requests();

###############################################################################

sub subscription {
    my ($name, $days) = @_;

    return qq/{"name":"$name","destination":{"type":"http","endpoint":/
        . '"https://in.example.com/v1/events"},"filter":{"eventSources":["a"]},'
        . '"retentionPeriodDays":' . ($days // 30) . '}';
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

sub audited {
    my ($want, $name) = @_;
    my $line = (audit())[-1];
    is_deeply({ map { $_ => $line->{$_} } keys %$want }, $want,
        "audit: $name");
}

sub problem {
    my ($res, $name) = @_;

    is_deeply([ $res->header('Content-Type'),
        (eval { $res->json() } // {})->{status} ],
        [ 'application/problem+json', $res->status() ], "$name: document");
}

###############################################################################
