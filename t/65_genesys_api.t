#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Calls of the Genesys Cloud API: what is sent again and what is not, what
# callers hear, and what becomes of it when a client or a worker goes.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::INET;

use Test::EventBridge;
use Test::EventBridge::Util qw/ now scaled /;

###############################################################################

my $t = Test::EventBridge->new(workers => 1, log_level => 'debug')->plan(180);

my $g = $t->genesys(1);
my $port = $t->port(0);
my $ca = $g->ca();
my $plain = $g->plain_port();
my $dir = $t->testdir();

my $file = $t->write_file('secret', "the-client-secret\n", 0640);
chown -1, (getpwnam('nobody'))[3], $file if $> == 0;
$t->secret($_, ok_in => qr/mock-\d+\.jsonl|secret$/)
    for qw/ the-client-secret tok-0 /;

$t->conf(http(org('org', 'retry_cap 3s;', 'timeout 10s;')
    . org('short', 'timeout 1s;')
    . org('breaker', 'retries 0;', 'breaker_failures 4;', 'breaker_open 1s;')
    . org('never', 'retries 0;')))->run();
clients();

# a subscription from its beginning to its end

my $r = post($port, '/org/subscriptions', subscription('s1'));
is($r->status(), 201, 'a subscription is created');
my $id = $r->json()->{id};
ok($id, 'and has an id');

is(scalar @{get($port, '/org/subscriptions')->json()->{entities}}, 1,
    'it is listed');
is(get($port, "/org/subscriptions/$id")->json()->{name}, 's1', 'and shown');

$r = client($port)->request(method => 'PUT',
    path => "/org/subscriptions/$id", body => subscription('s1') =~ s/30/60/r);
is($r->status(), 200, 'it is changed');
is($g->object(subscriptions => $id)->{retentionPeriodDays}, 60,
    'at the API, too');

$r = client($port)->request(method => 'DELETE',
    path => "/org/subscriptions/$id");
is($r->status(), 204, 'and deleted');
is_deeply([ $g->objects('subscriptions') ], [], 'at the API, too');

my @tokens = $g->token_requests();
is(scalar @tokens, 1, 'one token was enough');
is($tokens[0]{via}, 'basic', 'by HTTP authentication');

ok(wait_for(sub { 5 == @{[ $t->audit_lines('audit.log') ]} }, 3),
    'each operation is audited');
is_deeply([ sort map { $_->{action} } $t->audit_lines('audit.log') ],
    [ qw/ subscription_created subscription_deleted subscription_read
        subscription_updated subscriptions_listed / ], 'as what it was');

###############################################################################

# a token that the API does not take

$g->put(subscriptions => object($_)) for qw/ a b /;
$g->revoke();
is(get($port, '/org/subscriptions/a')->status(), 200,
    'row 0.2: 401 is followed by a new token');
is(scalar(@{[ $g->token_requests() ]}), 2, 'row 0.2: by one request for it');

$g->revoke();
my @c = map { client($port)->start(path => '/org/subscriptions/a') } 1 .. 20;
is(scalar(grep { $_->response()->status() == 200 } @c), 20,
    'row 1.1: 20 at once with an old token');
is(scalar(@{[ $g->token_requests() ]}), 3,
    'row 0.4: one request for a new one');

$g->fail(GET => '/subscriptions/b$', status => 401, times => 0);
$r = get($port, '/org/subscriptions/b');
is($r->status(), 502, 'row 3.7: 401 again is 502');
like($r->json()->{detail}, qr/did not accept the token/, 'in words');
is($r->json()->{upstream}{code}, 'bad.credentials', 'and those of the API');
is(scalar(@{[ $g->calls(GET => qr{/subscriptions/b$}) ]}), 2,
    'row 0.2: one retry');
is(scalar(@{[ $g->token_requests() ]}), 4, 'row 0.2: with one more token');
$g->forgive();
is(get($port, '/org/subscriptions/b')->status(), 200, 'that one is good');
is(scalar(@{[ $g->token_requests() ]}), 4, 'and kept');

###############################################################################

# id, rule, status of the answer, number of calls, least and most seconds

my @rows = (
    [ 'wait', { status => 429, retry_after => 2 }, 200, 2, 2, 3.2,
        'row 0.9: 429 with Retry-After: 2' ],
    [ 'date', { status => 429, retry_date => 1 }, 200, 2, 1, 3,
        'row 2.9: 429 with a date' ],
    [ 'text', { status => 429, body => '{"message":"Rate limit exceeded the '
        . 'maximum. Retry the request in [1] seconds"}' }, 200, 2, 1, 2.2,
        'row 2.9: 429 with words' ],
    [ 'long', { status => 429, retry_after => 3600 }, 503, 1, 0, 1,
        'row 3.6: 429 with Retry-After: 3600', 3600 ],
    [ 'far', { status => 429, retry_date => 3600 }, 503, 1, 0, 1,
        'row 3.6: 429 with a date in an hour', 3600 ],
    [ 'burst', { status => 503, times => 3 }, 200, 4, 0, 3,
        'row 0.9: three times 503' ],
    [ 'page', { html => 1, times => 2 }, 200, 3, 0, 2,
        'row 1.4: 503 of a CDN, in HTML' ],
    [ 'down', { status => 503, times => 0 }, 502, 5, 0, 5,
        'row 3.6: 503 for ever' ],
    [ 'e500', { status => 500 }, 200, 2, 0, 1, 'row 3.7: 500' ],
    [ 'e502', { status => 502 }, 200, 2, 0, 1, 'row 1.4: 502' ],
    [ 'e504', { status => 504 }, 200, 2, 0, 1, 'row 1.4: 504' ],
    [ 'e408', { status => 408 }, 200, 2, 0, 1, 'row 1.4: 408' ],
    [ 'reset', { reset => 1, times => 2 }, 200, 3, 0, 2,
        'row 0.9: connections that are reset' ],
    [ 'close', { close => 1 }, 200, 2, 0, 1,
        'row 0.9: a connection that is closed' ],
    [ 'cut', { truncate => 20 }, 200, 2, 0, 1,
        'row 1.4: an answer that is cut' ],
    [ 'huge', { huge => 5000000 }, 200, 2, 0, 5,
        'row 3.7: an answer that is too long' ],
    [ 'e400', { status => 400 }, 422, 1, 0, 1, 'row 0.9: 400 is final' ],
    [ 'e403', { status => 403 }, 502, 1, 0, 1, 'row 0.9: 403 is final' ],
    [ 'e404', { status => 404 }, 404, 1, 0, 1, 'row 0.9: 404 is final' ],
    [ 'e415', { status => 415 }, 422, 1, 0, 1, 'row 0.9: 415 is final' ],
    [ 'e501', { status => 501 }, 502, 1, 0, 1, 'row 0.9: 501 is final' ]
);

for my $row (@rows) {
    $g->put(subscriptions => object($row->[0]));
    $g->fail(GET => "/subscriptions/$row->[0]\$", %{$row->[1]});
}

my $start = now();
my %client = map { $_->[0] => client($port)
    ->start(path => "/org/subscriptions/$_->[0]") } @rows;

# in the order of their ends

my %done;
wait_for(sub {
    for my $name (grep { !$done{$_} && $client{$_}->answered() } keys %client)
    {
        $done{$name} = [ $client{$name}->response(), now() - $start ];
    }

    return keys %done == @rows;
}, 12);

for my $row (@rows) {
    my ($name, undef, $status, $calls, $least, $most, $what, $after) = @$row;
    my ($answer, $sec) = @{$done{$name} // [ $client{$name}->response(0), 99 ]};

    is($answer->status(), $status, $what) or diag($answer->text());
    is(scalar(@{[ $g->calls(GET => qr{/subscriptions/$name$}) ]}), $calls,
        "$what, calls");
    ok($sec >= $least && $sec <= scaled($most), "$what, time") or diag($sec);

    if ($status == 200) {
        is($answer->json()->{id}, $name, "$what, the right answer");
        next;
    }

    is($answer->json()->{upstream}{status}, $row->[1]{status},
        "$what, the status of the API");
    like($answer->json()->{correlationId}, qr/^[0-9a-f-]{36}$/,
        "$what, its correlation id");

    next if !$after;
    ok(abs($answer->header('Retry-After') - $after) <= 2,
        "$what, the caller's Retry-After") or diag($answer->text());
}

$t->log_like(qr/\[notice\][^\n]*GET\ \S+burst\ of\ organisation\ "org"
    \ is\ sent\ again/x, 'a request that is sent again is in the log');
$g->forgive();

###############################################################################

# what may have had an effect

$g->fail(POST => '/subscriptions$', match => '"applied"', reset => 1,
    apply => 1);
$r = post($port, '/org/subscriptions', subscription('applied'));
is($r->status(), 201, 'row 1.3: a POST that broke, but took place');
is(posts('applied'), 1, 'row 1.3: is not sent again');
is(scalar(grep { $_->{name} eq 'applied' } $g->objects('subscriptions')), 1,
    'row 1.3: there is one');
is($r->json()->{id}, $g->named(subscriptions => 'applied')->{id},
    'row 1.3: and it is found');

$g->fail(POST => '/subscriptions$', match => '"lost"', reset => 1);
$r = post($port, '/org/subscriptions', subscription('lost'));
is($r->status(), 201, 'row 1.3: a POST that broke, and did not take place');
my @calls = map { $_->method() } grep { $_->uri() =~ /subscriptions/ }
    $g->calls();
is_deeply([ @calls[-3 .. -1] ], [ qw/ POST GET POST / ],
    'row 1.3: is looked for before it is sent again');
is(scalar(grep { $_->{name} eq 'lost' } $g->objects('subscriptions')),
    1, 'row 1.3: and there is one');

$g->fail(POST => '/subscriptions$', match => '"later"', status => 429,
    retry_after => 1);
$r = post($port, '/org/subscriptions', subscription('later'));
is($r->status(), 201, 'row 0.9: a POST that got 429');
is(posts('later'), 2, 'row 0.9: is sent again');

$g->refuse(300);
$r = post($port, '/org/subscriptions', subscription('refused'));
$g->accept();
is($r->status(), 201, 'row 1.3: a POST that found nobody');
is(posts('refused'), 1, 'row 1.3: is sent again');

$g->fail(PUT => '/subscriptions/a$', status => 503, apply => 1);
$r = client($port)->request(method => 'PUT', path => '/org/subscriptions/a',
    body => subscription('a') =~ s/30/90/r);
is($r->status(), 200, 'row 3.7: a PUT that got 503');
is(scalar(@{[ $g->calls(PUT => qr{/subscriptions/a$}) ]}), 2,
    'row 3.7: is sent again');

# time is up

for my $case ([ 'an answer that does not come', GET => '/subscriptions/a$',
    { hang => 1 } ], [ 'a token that does not come', POST => '^/oauth/token',
    { hang => 1, match => 'scope=short' } ], [ 'answers that are of no use',
    GET => '/subscriptions/a$', { status => 503, times => 0 } ])
{
    my ($what, $method, $uri, $rule) = @$case;

    $g->revoke() if $uri =~ /oauth/;
    $g->fail($method => $uri, %$rule);

    $start = now();
    $r = get($port, '/short/subscriptions/a');
    my $sec = now() - $start;

    is($r->status(), $rule->{status} ? 502 : 504, $what) or diag($r->text());
    cmp_ok($sec, '<', scaled(1.5), "row 3.9: $what: after a second");
    $g->forgive();
    $g->release();
}

get($port, '/never/subscriptions/a');
$g->fail(GET => '/subscriptions/a$', status => 503);
$r = get($port, '/never/subscriptions/a');
is($r->status(), 502, 'without retries');
ok($g->spent(), 'the first answer is the last');

###############################################################################

# an API that is down is not asked for some time, and then by one

$g->put(subscriptions => object('down1'));
$g->fail(GET => '/subscriptions/down1$', status => 503, times => 0);
is(get($port, '/breaker/subscriptions/down1')->status(), 502,
    "row 3.6: failure $_ in a row") for 1 .. 4;
$start = now();
$r = get($port, '/breaker/subscriptions/down1');
is($r->status(), 503, 'row 3.6: then the circuit breaker is open');
is($r->header('Retry-After'), 1, 'row 3.6: and says for how long');
like($r->json()->{detail}, qr/not answered for some time/,
    'row 3.6: in words');
is(calls_of('down1'), 4, 'row 3.6: no request was sent');
is(get($port, '/org/subscriptions/a')->status(), 200,
    'row 3.6: another organisation is served');
ok(wait_for(sub { calls_of('down1') == 5
    || !get($port, '/breaker/subscriptions/down1') }, 5), 'row 3.6: a trial');
cmp_ok(now() - $start, '>', 0.8, 'row 3.6: not sooner');
is(get($port, '/breaker/subscriptions/down1')->status(), 503,
    'row 3.6: that has failed');
$g->forgive();
ok(wait_for(sub {
    get($port, '/breaker/subscriptions/down1')->status() == 200 }, 5),
    'row 3.6: until a trial does not fail');
is(calls_of('down1'), 6, 'row 3.6: which was one request');
is(get($port, '/breaker/subscriptions/down1')->status(), 200,
    'row 3.6: and all is as before');
$t->log_like(qr/\[warn\].*4 requests in a row .* "breaker" have failed/,
    'row 3.6: it is in the log');

###############################################################################

# the client leaves

$g->fail(POST => '/subscriptions$', match => '"left"', status => 429,
    retry_after => 1);
my $c = client($port)->start(method => 'POST', path => '/org/subscriptions',
    body => subscription('left'));
ok(wait_for(sub { posts('left') == 1 }, 5), 'a POST gets 429');
$c->close();
ok(wait_for(sub { $g->named(subscriptions => 'left') }, 5),
    'the client has left: the operation goes on');
my $left;
ok(wait_for(sub {
    ($left) = grep { $_->{action} eq 'subscription_created'
        && $_->{id} eq $g->named(subscriptions => 'left')->{id} }
        $t->audit_lines('audit.log');
    return $left;
}, 3), 'and is audited');
is($left->{status}, 201, 'as done');

# a worker that takes leave goes on with what it has: a reload

$g->put(subscriptions => object($_)) for qw/ r1 r2 /;
$g->fail(GET => '/subscriptions/r1$', status => 429, retry_after => 2);
$g->fail(POST => '^/oauth/token', hang => 1, match => 'scope=never');
my $retry = client($port)->start(path => '/org/subscriptions/r1');
ok($g->wait_calls(GET => qr{/subscriptions/r1$}, 1, 5), 'a retry is due');
$g->revoke();
my $token = client($port)->start(path => '/never/subscriptions/r2');
ok(wait_for(sub { $g->held() == 1 }, 5), 'a token is waited for');
ok($t->reload(keep_old => 1), 'a reload meanwhile');
$g->release();
is($token->response()->status(), 200, 'who waited for a token is served');
is($retry->response()->status(), 200, 'and who waited for a retry');
ok(wait_for(sub { !$t->old_workers() }, 5), 'the old worker is gone');

# the same, when all of it stops

$g->fail(GET => '/subscriptions/r1$', status => 429, retry_after => 1);
my $n = () = $g->calls(GET => qr{/subscriptions/r1$});
$retry = client($port)->start(path => '/org/subscriptions/r1');
ok($g->wait_calls(GET => qr{/subscriptions/r1$}, $n + 1, 5),
    'a retry is due once more');
$t->stop();
is($retry->response()->status(), 200, 'QUIT waits for it');

###############################################################################

# worker_shutdown_timeout

$t->conf("worker_shutdown_timeout 500ms;\n" . http(org('org')
    . org('short') . org('never')))->run();
$g->put(subscriptions => object($_)) for qw/ q1 q2 q3 /;

is(get($port, '/org/subscriptions/a')->status(), 200, 'it runs again');
$g->fail(GET => '/subscriptions/q1$', status => 429, retry_after => 20);
$g->fail(GET => '/subscriptions/q2$', hang => 1);
$g->fail(POST => '^/oauth/token', hang => 1, match => 'scope=never');
@c = (client($port)->start(path => '/org/subscriptions/q1'),
    client($port)->start(path => '/org/subscriptions/q2'),
    client($port)->start(path => '/never/subscriptions/q3'));
ok(wait_for(sub { $g->held() == 2 && $g->spent() }, 5),
    'an answer, a token and a retry are waited for');

$start = now();
$t->stop();
cmp_ok(now() - $start, '<', scaled(3),
    'row 0.15: worker_shutdown_timeout ends it');
my @lines = grep { ($_->{id} // '') =~ /^q[123]$/ }
    $t->audit_lines('audit.log');
is_deeply([ sort map { "$_->{id} $_->{status}" } @lines ],
    [ 'q1 502', 'q2 502', 'q3 502' ], 'and each of them is audited');
$g->forgive();
$g->release();

###############################################################################

# a name server that nobody reads

my $dns = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1:0');
my $login = 'https://login.example.test:' . $t->port(1);

$t->conf(http('resolver 127.0.0.1:' . $dns->sockport() . " ipv6=off;\n"
    . "    resolver_timeout 30s;\n" . org('org') . org('short',
    "login_url $login;", 'timeout 4s;')))->run();
is(get($port, '/org/subscriptions/a')->status(), 200, 'an address is used');

$start = now();
$c = client($port)->start(path => '/short/subscriptions/a');
ok(wait_for(sub { my $set = ''; vec($set, fileno $dns, 1) = 1;
    return select($set, undef, undef, 0) }, 5), 'a name is asked for');

my ($worst, $many);
my $other = client($port);

# what else happens on this machine is no fault of the worker's

for (1 .. 3) {
    my $until = now() + 0.7;
    ($worst, $many) = (0, 0);

    while (now() < $until) {
        my $from = now();
        my $ok = $other->request(path => '/ok')->status() == 204;
        my $sec = now() - $from;

        $sec = 9 if !$ok;
        $worst = $sec if $sec > $worst;
        $many++;
    }

    last if $worst < 0.02;
}

ok(!$c->answered(), 'nobody answers');
cmp_ok($many, '>', 100, 'meanwhile others are served');
cmp_ok($worst, '<', scaled(0.02), 'none is delayed by 20 ms');
note(sprintf '%d requests, worst %.1f ms', $many, $worst * 1000);
$r = $c->response();
is($r->status(), 504, 'after the time of an operation');
cmp_ok(now() - $start, '<', scaled(5), 'not after that of the resolver');
close $dns;
$t->stop();

# at debug level, where nginx shows nearly everything

my $log = $t->log();
is(() = $log =~ /tok-\d{4}-/g, 0, 'no token in the debug log');
is(index($log, 'the-client-secret'), -1, 'no secret in the debug log');

###############################################################################

sub http {
    my ($orgs) = @_;
    my $locations = '';

    for my $name ($orgs =~ /eventbridge_genesys (\w+)/g) {
        my $to = $name eq 'org' ? 'https://127.0.0.1:' . $t->port(1)
            : "http://127.0.0.1:$plain";

        $locations .= <<"EOF";
        location /$name/subscriptions {
            eventbridge_genesys_pass $name /_$name/;
            eventbridge_genesys_subscriptions $name;
        }

        location /_$name/ {
            internal;
            proxy_pass $to/;
            proxy_set_header Authorization \$eventbridge_bearer;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate $ca;
            proxy_ssl_name localhost;
            proxy_ssl_server_name on;
        }

EOF
    }

    return <<"EOF";
http {
    eventbridge_stats_file $dir/stats;
    eventbridge_audit_log $dir/audit.log flush=100ms;

$orgs
    server {
        listen 127.0.0.1:$port;
        keepalive_requests 100000;

        location = /ok {
            return 204;
        }

$locations
    }
}
EOF
}

# scopes tell requests for tokens apart

sub org {
    my ($name, @lines) = @_;
    my $url = 'https://127.0.0.1:' . $t->port(1);

    push @lines, "login_url $url;" if !grep { /^login_url/ } @lines;

    return "    eventbridge_genesys $name {\n" . join('', map { "        $_\n" }
        "api_url $url;", 'client_id client-1;', "scope $name;",
        "client_secret_file $dir/secret;", "trusted_certificate $ca;", @lines)
        . "    }\n";
}

sub clients {
    $g->client('client-1', 'the-client-secret');
}

sub subscription {
    my ($name) = @_;

    return qq/{"name":"$name","destination":{"type":"http",/
        . '"endpoint":"https://events.example.com/v1/events"},'
        . '"filter":{"eventSources":["a"]},"retentionPeriodDays":30}';
}

sub object {
    my ($id) = @_;

    return { id => $id, name => $id, retentionPeriodDays => 30,
        destination => { type => 'http',
            endpoint => 'https://events.example.com/v1/events' },
        filter => { eventSources => [ 'a' ] } };
}

# POSTs of a subscription of this name

sub calls_of {
    my ($id) = @_;

    return scalar @{[ $g->calls(GET => qr{/subscriptions/$id$}) ]};
}

sub posts {
    my ($name) = @_;

    return scalar grep { !defined $name || $_->body() =~ /"\Q$name\E"/ }
        $g->calls(POST => qr{/subscriptions$});
}

###############################################################################
