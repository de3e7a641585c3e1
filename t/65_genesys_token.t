#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Tokens of Genesys Cloud: one for all workers, renewed by one of them; what
# callers hear when there is none; what is kept out of logs.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use MIME::Base64 qw/ encode_base64 /;

use Test::EventBridge;
use Test::EventBridge::Util qw/ now /;

###############################################################################

# Many requests, short tokens.

{
    my $t = Test::EventBridge->new(workers => 4, log_level => 'info')
        ->plan(108 + Test::EventBridge::CHECKS);
    my $g = $t->genesys(1);
    my $port = $t->port(0);

    $t->secret($_, ok_in => qr/mock-\d+\.jsonl|secret$/)
        for qw/ the-first-secret the-second-secret tok-0 /;
    secret($t, "the-first-secret");

    $t->conf(http($t, $g, org($g, 'org', 'client-1'), location($g, 'org')))
        ->run();
    $g->client('client-1', 'the-first-secret', lifetime => 2);

    my @pids = $t->worker_pids();
    my @c = map { client($port) } 1 .. 16;
    my $id = post($port, '/org/subscriptions', subscription('s'))->json()
        ->{id};

    # connections go to whom the kernel likes: there are more until each
    # worker has one

    my %of;
    wait_for(sub {
        $of{$_->request(path => "/org/subscriptions/$id")
            ->header('X-Pid')} //= $_ for client($port);
        return keys %of == 4;
    }, 10);

    splice @c, 0, scalar keys %of, values %of;

    # 1,000 requests in some 6 seconds, by all workers

    my $load = load($t, $id, \@c, 63, 6.2);
    my @tokens = $g->token_requests();
    my @gaps = map { $tokens[$_]{time} - $tokens[$_ - 1]{time} } 1 .. $#tokens;

    is_deeply($load->{statuses}, { 200 => 1008 }, 'row 0.2: 1,008 requests '
        . 'with tokens of 2 seconds, none fails');
    is(scalar keys %{$load->{pids}}, 4, 'all workers had some');
    cmp_ok(scalar @tokens, '>=', 3, 'row 2.1: the token does not live for '
        . 'ever');
    is_deeply([ grep { $_ < 1.6 } @gaps ], [],
        'row 0.4: one request for a token in each lifetime');
    is_deeply([ grep { $_->{status} != 200 } @tokens ], [],
        'and each was answered');
    is_deeply([ grep { $_->[3] != 200 && $_->[3] != 201 } $g->answers() ], [],
        'no 401 from the API');

    # the worker that refreshes dies, and the endpoint hangs

    my %by = map { my $r = $_->request(path => "/org/subscriptions/$id");
        $r->header('X-Pid') => $_ } @c;
    my $n = @{[ $g->token_requests() ]};
    my $calls = () = $g->calls(POST => qr{^/oauth/token});

    $g->fail(POST => '^/oauth/token', hang => 1);
    $g->expire();

    my ($first, @others) = sort keys %by;

    $by{$first}->start(path => "/org/subscriptions/$id");
    ok($g->wait_calls(POST => qr{^/oauth/token}, $calls + 1, 5),
        'a worker asks for a token');
    $by{$_}->start(path => "/org/subscriptions/$id") for @others;

    # it is the only one at it

    is(wait_for(sub { $g->held() > 1 }, 0.3) ? 1 : 0, 0,
        'row 0.4: no other worker asks meanwhile');

    my $killed = now();
    $t->allow_error('alert', qr/worker process $first exited on signal 9/);
    kill 'KILL', $first;

    my @r = map { $by{$_}->response(5) } @others;
    my $took = now() - $killed;

    is_deeply([ map { $_->status() } @r ], [ (200) x @others ],
        'SIGKILL of the worker that refreshes: the others go on');
    cmp_ok($took, '<', 2, 'another one took over within 2 seconds');
    is(scalar(@{[ $g->calls(POST => qr{^/oauth/token}) ]}), $calls + 2,
        'by one request');
    ok(wait_for(sub { $t->worker_pids() == 4 }, 10), 'four workers again');
    $g->release();

    # another secret, first there and then here

    @pids = $t->worker_pids();
    @c = map { client($port) } 1 .. 8;
    $g->rotate('client-1', 'the-second-secret');

    my $rotated = now();
    my $written;

    $load = load($t, $id, \@c, 50, 5, sub {
        return if $written || now() - $rotated < 0.5;
        secret($t, 'the-second-secret');
        $written = 1;
    });

    is_deeply($load->{statuses}, { 200 => 400 },
        'rotation of the secret: no request fails');
    cmp_ok(scalar(grep { $_->{time} > $rotated && $_->{status} == 200 }
        $g->token_requests()), '>=', 2, 'and tokens came by the new one');
    is_deeply([ $t->worker_pids() ], \@pids, 'without a reload');

    $t->stop();
}

###############################################################################

# What the token endpoint may say.

{
    my $t = Test::EventBridge->new(workers => 1, log_level => 'debug');
    my $g = $t->genesys(1);
    my $good = $g->ca();
    my $port = $t->port(0);
    my (%conf, %client);

    my $other = $t->genesys(2, kind => 'other');
    my $named = $t->genesys(3, names => [ 'elsewhere.example.com' ]);

    # name, rule of the mock, attempts, status and words of the answer

    my @rows = (
        [ 'unknown', undef, 4, 502, 'the OAuth client is unknown in this '
            . 'region', 'row 2.1.2: an unknown client' ],
        [ 'secret', undef, 4, 502, 'the secret of the OAuth client is wrong',
            'row 2.1.2: a wrong secret' ],
        [ 'grant', undef, 4, 502, 'the OAuth client is not of the grant type '
            . 'client credentials', 'row 2.1.2: a wrong grant type' ],
        [ 'throttled', { error => 'throttled' }, 2, 200, undef,
            'row 2.1.2: a throttled login is tried again' ],
        [ 'limit', { status => 429, retry_after => 1 }, 2, 200, undef,
            'row 2.1.2: 429 is waited for' ],
        [ 'date', { status => 429, retry_date => 1 }, 2, 200, undef,
            'row 2.1.2: also until a date' ],
        [ 'down', { status => 503, html => 1 }, 2, 200, undef,
            'row 2.1.2: 503 is tried again' ],
        [ 'reset', { reset => 1 }, 2, 200, undef,
            'row 2.1.2: a reset is tried again' ],
        [ 'cut', { truncate => 20 }, 2, 200, undef,
            'row 2.1.2: a cut answer is tried again' ],
        [ 'text', { status => 200, body => 'tok-0000-x', times => 0 }, 4, 502,
            'the answer of the token endpoint is not a JSON object',
            'row 0.4: no JSON' ],
        [ 'none', { status => 200, body => '{"expires_in":300}', times => 0 },
            4, 502, 'the answer of the token endpoint has no "access_token"',
            'row 0.4: no token' ],
        [ 'life', { status => 200, times => 0,
            body => '{"access_token":"tok-0000-x","expires_in":0}' },
            4, 502, q(the token's "expires_in" is not a positive number of )
            . 'seconds', 'row 2.1: no lifetime' ],
        [ 'type', { status => 200, times => 0, body =>
            '{"access_token":"tok-0000-x","expires_in":9,"token_type":"mac"}'
            }, 4, 502, 'the token is not of type "bearer"',
            'row 2.1: another type' ],
        [ 'long', { status => 200, times => 0, huge => 100000 }, undef, 504,
            'the answer is too long', 'row 3.7: bounded reads' ],
        [ 'forbidden', { status => 403, times => 0 }, 4, 502,
            'the token endpoint answered 403', 'row 2.1.2: 403 is final' ],
        [ 'ca', undef, undef, 504, 'unable to get local issuer certificate',
            'an unknown CA' ],
        [ 'name', undef, undef, 504, 'no alternative certificate subject '
            . q(name matches target host name 'localhost'), 'a wrong name' ]
    );

    my ($orgs, $locations) = ('', '');

    for my $row (@rows) {
        my $name = $row->[0];
        my $mock = $name eq 'ca' ? $other : $name eq 'name' ? $named : $g;

        # told apart by their bodies
        $orgs .= org($g, $name, $name, "scope x-$name;",
            'credentials body;', 'timeout 3s;',
            'login_url ' . $mock->url() . ';');
        $locations .= location($g, $name);
    }

    # a secret with characters that forms and base64 change
    my $secret = 'the+secret/&=% of:everybody';
    secret($t, $secret);
    $t->secret($secret, ok_in => qr/mock-\d+\.jsonl|secret$/);

    $t->conf(http($t, $g, $orgs . org($g, 'first', 'client-1',
        'scope y;'), $locations . location($g, 'first')))->run();

    for my $row (@rows) {
        my ($name, $rule) = @$row;

        $g->client($name, $name eq 'secret' ? 'another' : $secret,
            grant => $name ne 'grant') if $name ne 'unknown';
        $g->fail(POST => '^/oauth/token', match => "client_id=$name&",
            %$rule) if $rule;
    }

    $g->client('client-1', $secret)->client('client-2', $secret);

    # all at once

    for my $row (@rows) {
        my $name = $row->[0];
        $client{$name} = client($port)->start(path => "/$name/subscriptions");
    }

    for my $row (@rows) {
        my ($name, undef, $attempts, $status, $words, $what) = @$row;
        my $r = $client{$name}->response(8);
        my @calls = grep { $_->body() =~ /client_id=\Q$name\E&/ }
            $g->calls(POST => qr{^/oauth/token});

        is($r->status(), $status, $what) or diag($r->text());
        is(scalar @calls, $attempts, "$what: attempts") if $attempts;
        next if !defined $words;

        is($r->header('Content-Type'), 'application/problem+json',
            "$what: a problem");
        like($r->json()->{upstream}{message},
            qr/\Q$words\E/, "$what: words");
        $t->log_like(qr/\[error\][^\n]*"$name"\ got\ no\ token[^\n]*\Q$words\E/,
            "$what: in the log");
    }

    my @wait = map { $_->[0]->time() < $_->[1]->time() ?
        $_->[1]->time() - $_->[0]->time() : 0 }
        map { my $name = $_; [ (grep { $_->body() =~ /client_id=$name&/ }
            $g->calls(POST => qr{^/oauth/token}))[0, 1] ] } qw/ limit date /;

    cmp_ok($wait[0], '>=', 0.99, 'row 0.9: Retry-After of a login is kept');
    cmp_ok($wait[1], '>=', 0.95, 'row 0.9: also as a date');

    # the next one hears it at once

    my $start = now();
    is(get($port, '/unknown/subscriptions')->status(), 502,
        'an unknown client again');
    cmp_ok(now() - $start, '<', 0.3, 'is answered at once');
    is(scalar(grep { $_->body() =~ /client_id=unknown&/ }
        $g->calls(POST => qr{^/oauth/token})), 4, 'without a request');

    # credentials that change

    is(get($port, '/first/subscriptions')->status(), 200, 'the first client');

    my @tokens = $g->token_requests();
    is($tokens[-1]{client}, 'client-1', 'has its token');
    is($tokens[-1]{via}, 'basic', 'row 2.2: by HTTP authentication');
    is((grep { ($_->{client} // '') eq 'reset' } @tokens)[-1]{status}, 200,
        'row 2.2: a secret in the body is encoded');

    my $n = @tokens;
    ok($t->reload(), 'a reload');
    is(get($port, '/first/subscriptions')->status(), 200, 'after it');
    is(scalar(@{[ $g->token_requests() ]}), $n, 'the token is used still');

    $t->conf(http($t, $g, $orgs . org($g, 'first', 'client-2',
        'scope y;'), $locations . location($g, 'first')));
    ok($t->reload(), 'a reload with another client');
    is(get($port, '/first/subscriptions')->status(), 200, 'after that');
    @tokens = $g->token_requests();
    is(scalar @tokens, $n + 1, 'another token was fetched');
    is($tokens[-1]{client}, 'client-2', 'of that client');
    is(($g->calls(GET => qr{^/api/}))[-1]->header('Authorization'),
        "Bearer $tokens[-1]{token}", 'and used');

    # a reload while the old client's token is on its way: it is not ours

    $g->fail(POST => '^/oauth/token', hang => 1, apply => 1);
    $g->revoke();
    my $slow = client($port)->start(path => '/first/subscriptions');
    ok(wait_for(sub { $g->held() == 1 }, 5), 'a request for a token hangs');
    $t->conf(http($t, $g, $orgs . org($g, 'first', 'client-1',
        'scope y;'), $locations . location($g, 'first')));
    ok($t->reload(keep_old => 1), 'a reload with another client meanwhile');
    ok(wait_for(sub { $t->old_workers() == 1 }, 5), 'the old worker goes');
    is(get($port, '/first/subscriptions')->status(), 200,
        'the new one does not wait for it');
    $g->release();
    is($slow->response(5)->status(), 200, 'the old worker has its token');
    is(get($port, '/first/subscriptions')->status(), 200, 'and once more');
    my ($token) = map { $_->{token} }
        grep { ($_->{client} // '') eq 'client-1' }
        reverse $g->token_requests();
    is(($g->calls(GET => qr{^/api/}))[-1]->header('Authorization'),
        "Bearer $token", 'one of its own client');
    ok(wait_for(sub { !$t->old_workers() }, 5), 'old workers are gone');

    # at debug level, where nginx shows nearly everything

    $t->stop();

    my $escaped = $secret =~ s/([^\w.~-])/sprintf '%%%02X', ord $1/ger;
    my $log = $t->log();

    is(() = $log =~ /tok-\d{4}-/g, 0, 'no token in the debug log');
    is(index($log, $_), -1, 'no secret in the debug log')
        for $secret, $escaped, encode_base64("client-1:$secret", '');
    $t->secret($_, ok_in => qr/mock-\d+\.jsonl/) for $escaped,
        encode_base64("client-1:$secret", ''), 'tok-0';
}

###############################################################################

sub http {
    my ($t, $g, $orgs, $locations) = @_;
    my $dir = $t->testdir();

    return <<"EOF";
http {
    eventbridge_stats_file $dir/stats;
    eventbridge_audit_log $dir/audit.log flush=100ms;

$orgs
    server {
        listen 127.0.0.1:%%PORT_0%% reuseport;
        keepalive_requests 100000;
        add_header X-Pid \$pid always;

$locations
    }
}
EOF
}

# the lines given come first, and so win over nothing: each stands once

sub org {
    my ($g, $name, $client, @lines) = @_;
    my $url = $g->url();
    my $ca = $g->ca();

    push @lines, "login_url $url;" if !grep { /^login_url/ } @lines;

    return "    eventbridge_genesys $name {\n" . join('', map { "        $_\n" }
        "api_url $url;", "client_id $client;",
        'client_secret_file %%TESTDIR%%/secret;',
        "trusted_certificate $ca;", @lines) . "    }\n";
}

# TLS of the API is the business of another test

sub location {
    my ($g, $name) = @_;
    my $plain = $g->plain_port();

    return <<"EOF";
        location /$name/subscriptions {
            eventbridge_genesys_pass $name /_$name/;
            eventbridge_genesys_subscriptions $name;
        }

        location /_$name/ {
            internal;
            proxy_pass http://127.0.0.1:$plain/;
            proxy_set_header Authorization \$eventbridge_bearer;
        }

EOF
}

# a file of it that workers can read, and nobody sees half of

sub secret {
    my ($t, $secret) = @_;

    my $file = $t->write_file('secret.new', "$secret\n", 0640);
    my $group = (getpwnam('nobody'))[3];

    chown -1, $group, $file if $> == 0;
    rename $file, $t->testdir() . '/secret';
}

sub subscription {
    my ($name) = @_;

    return qq/{"name":"$name","destination":{"type":"http",/
        . '"endpoint":"https://events.example.com/v1/events"},'
        . '"filter":{"eventSources":["a"]},"retentionPeriodDays":30}';
}

# rounds of one request on each connection, spread over so many seconds

sub load {
    my ($t, $id, $clients, $rounds, $sec, $between) = @_;
    my (%statuses, %pids);
    my $start = now();

    for my $i (1 .. $rounds) {
        $_->start(path => "/org/subscriptions/$id") for @$clients;

        for my $c (@$clients) {
            my $r = $c->response();

            $statuses{$r->status()}++;
            $pids{$r->header('X-Pid') // ''}++;
        }

        $between->() if $between;
        wait_for(sub { now() >= $start + $i * $sec / $rounds }, $sec);
    }

    return { statuses => \%statuses, pids => \%pids };
}

###############################################################################
