#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Declared subscriptions: there is one, and it is as it is declared, whatever
# others do.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;
use Test::EventBridge::Util qw/ pause /;

###############################################################################

my $t = Test::EventBridge->new(workers => 4, log_level => 'info')->plan(110);

my $g = $t->genesys(1);
my $port = $t->port(0);
my $ca = $g->ca();

$t->write_file('secret', "the-client-secret\n", 0640);
$t->secret('the-client-secret', ok_in => qr/mock-\d+\.jsonl|secret$/);

sub configuration {
    my (%opt) = @_;

    my $block = $opt{block} // 'endpoint https://in.example.com/v1/events;
        sources conversation interaction; retention 30d; rate 50r/s;
        check 1s;';
    my $api = $opt{api} // 'reference';
    my $more = $opt{more} // '';

    return <<"EOF2";
http {
    eventbridge_stats_file %%TESTDIR%%/stats;
    eventbridge_audit_log %%TESTDIR%%/audit.log flush=100ms;

    eventbridge_genesys org {
        api_url https://localhost:%%PORT_1%%;
        login_url https://localhost:%%PORT_1%%;
        client_id client-1;
        client_secret_file %%TESTDIR%%/secret;
        trusted_certificate $ca;
        timeout 5s;
        retries 1;
        api $api;
    }

    eventbridge_genesys_subscription calls { genesys org; $block }
    $more

    server {
        listen 127.0.0.1:%%PORT_0%%;
        location = /health { eventbridge_health; }
        location = /status { eventbridge_status; }
        location = /metrics { eventbridge_metrics; }
        location = /v1/events {
            eventbridge_ingest;
            eventbridge_route /to/a;
        }
        location = /to/a { internal; return 200; }
    }
}
EOF2
}

sub health { return get($port, '/health')->json() }

sub subscription { return @{health()->{subscriptions}}[0] }

# until it is active under another id than before

sub ensured {
    my ($not) = @_;
    my $id;

    return wait_for(sub {
        my $s = subscription();
        $id = $s->{id} // '';
        return $s->{active} && $id ne ($not // '');
    }, 15) ? $id : undef;
}

sub declared {
    my ($name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @all = grep { $_->{name} eq 'calls' } $g->objects('subscriptions');

    is(scalar @all, 1, "$name: there is one");
    is($all[0]{destination}{endpoint}, 'https://in.example.com/v1/events',
        "$name: its endpoint");
    is_deeply([ sort @{$all[0]{filter}{eventSources}} ],
        [ qw/ conversation interaction / ], "$name: its sources");
    is($all[0]{retentionPeriodDays}, 30, "$name: its retention");
}

###############################################################################

# what cannot be is an error of nginx -t

for my $case (
    [ 'endpoint http://in.example.com/; sources a;', qr/endpoint: / ],
    [ 'endpoint https://in.example.com/; sources a; retention 366d;',
        qr/retentionPeriodDays: |retention: / ],
    [ 'endpoint https://in.example.com/; sources a; rate 1001r/s;',
        qr/rate|maxEventsPerSecond/ ],
    [ 'endpoint https://in.example.com/; sources a; check 1ms;',
        qr/invalid value "1ms" in "check" of "eventbridge_genesys_sub/ ],
    [ 'endpoint https://in.example.com/; sources a; nonsense b;',
        qr/unknown directive "nonsense" in "eventbridge_genesys_subscrip/ ],
    [ 'endpoint https://in.example.com/; endpoint https://b/; sources a;',
        qr/"endpoint" of .*given twice/ ],
    [ 'sources a;', qr/endpoint/ ])
{
    my ($block, $message) = @$case;
    my ($rc, $out) = $t->test_config(configuration(block => $block));

    ok($rc != 0 && $out =~ $message && $out =~ /nginx\.conf\S*:\d+/,
        "nginx -t: $block") or diag($out);
}

my ($rc, $out) = $t->test_config(configuration()
    =~ s/subscription calls \{ genesys org;/subscription calls { genesys x;/r);
like($out, qr/unknown organisation "x" of "eventbridge_genesys_sub.* calls"/,
    'nginx -t: unknown organisation');

# the API has none

$t->conf(configuration());
$t->run();
is(health()->{status}, 'degraded', 'before: degraded');

$t->allow_error('error', qr/subscription "calls" cannot be ensured|no token/);
$g->client('client-1', 'the-client-secret');

my $id = ensured();
ok($id, 'row 1.3: an empty API: it is created');
declared('empty');
is(health()->{status}, 'healthy', 'health');
is(health()->{subscription}, $id, 'row 1.17: its id is on health');

my $status = get($port, '/status')->json();
my ($of) = @{$status->{subscriptions}};

is("$of->{id} $of->{created} $of->{drifted} $of->{failedChecks}",
    "$id 1 0 0", 'and on the status, with figures');
is($status->{organisations}[0]{tokensIssued}, 1, 'so is the token');
cmp_ok($status->{organisations}[0]{tokenLifetime}, '>', 0, 'its lifetime');
is(scalar $g->calls(POST => 'subscriptions'), 1,
    'row 1.3: four workers, one POST');

# at the next checks nothing is written

my $calls = () = $g->calls(GET => 'subscriptions');
ok(wait_for(sub { my $n = () = $g->calls(GET => 'subscriptions');
    return $n > $calls + 3 }, 15), 'it is checked again and again');
is(scalar $g->calls(PUT => 'subscriptions'), 0, 'equal: no PUT');

# somebody changes it

$g->put(subscriptions => { id => $id, retentionPeriodDays => 7 });
ok(wait_for(sub { $g->object(subscriptions => $id)->{retentionPeriodDays}
    == 30 }, 15), 'drift: it is changed back');
declared('drift');
ok($t->wait_log(qr/was different \(\S+\) and was changed back/),
    'drift: and that is said');

# somebody deletes it

$g->remove(subscriptions => $id);
my $other = ensured($id);
ok($other, 'row 1.3: deleted: it is created anew');
declared('deleted');
is(health()->{subscription}, $other, 'deleted: the new id is on health');

# somebody else creates it at the same moment

$g->fail(POST => 'subscriptions', do => [ [ put => 'subscriptions',
    { id => 'theirs', name => 'calls', status => 'active',
        destination => { type => 'http',
            endpoint => 'https://in.example.com/v1/events' },
        filter => { eventSources => [ qw/ conversation interaction / ] },
        retentionPeriodDays => 30 } ] ], status => 409);
$g->remove(subscriptions => $other);
is(ensured($other), 'theirs', 'row 1.3: a name that was just taken is theirs');
declared('taken');

# a POST whose answer is lost

$g->fail(POST => 'subscriptions', apply => 1, reset => 1);
$g->remove(subscriptions => 'theirs');
ok(ensured('theirs'), 'row 1.3: an answer that is lost');
declared('lost');

# the API is down for a while

my $before = subscription()->{id};
$g->down();
ok(wait_for(sub { health()->{status} eq 'degraded' }, 20),
    'down: health is degraded');
is(get($port, '/health')->status(), 200, 'down: with 200');
pause(30) if $ENV{EB_FULL};
$g->up();
ok(wait_for(sub { health()->{status} eq 'healthy' }, 20),
    'down: and healthy when it is up');
is(subscription()->{id}, $before, 'down: it is the same');

# the worker that is at it is killed

$t->allow_error('alert', qr/exited on signal 9/);
$g->fail(GET => 'subscriptions', hang => 1);
ok(wait_for(sub { !@{[ grep { $_->{left} } @{[ $g->rules() ]} ]} }, 15),
    'a check is under way');
kill 'KILL', $_ for $t->worker_pids();
$calls = () = $g->calls(GET => 'subscriptions');
ok(wait_for(sub { my $n = () = $g->calls(GET => 'subscriptions');
    return $n > $calls }, 10), 'killed: another worker goes on');
$g->forgive();
declared('killed');

ok($t->reload(), 'reload');
ok(ensured(), 'reload: it is known');

# what was done is audited, but not that there was nothing to do

my @audit = grep { ($_->{declared} // '') eq 'calls' }
    $t->audit_lines('audit.log');
my %actions = map { $_->{action} => 1 } @audit;
ok($actions{$_}, "audited: $_")
    for qw/ subscription_created subscription_updated /;
ok(scalar(grep { $_->{status} >= 502 } @audit), 'audited: a failure');
is_deeply([ grep { $_->{status} < 300 && !$_->{changed} } @audit ], [],
    'audited: changes and failures only');
is($audit[0]{organisation}, 'org', 'audited: the organisation');
ok($audit[0]{id}, 'audited: the id');

my ($org) = @{health()->{organisations}};
ok($org->{name} eq 'org' && $org->{token} && $org->{answers}
    && $org->{tokenFailures} == 0, 'the organisation is on health');

# figures

my $metrics = get($port, '/metrics')->body();

for my $case (
    [ 'token_age_seconds{organisation="org"}', qr/\d+\.?\d*/ ],
    [ 'token_lifetime_seconds{organisation="org"}', qr/86399/ ],
    [ 'token_refreshes_total{organisation="org"}', qr/1/ ],
    [ 'token_refused_total{organisation="org"}', qr/0/ ],
    [ 'token_failures{organisation="org"}', qr/0/ ],
    [ 'subscription_active{subscription="calls"}', qr/1/ ],
    [ 'subscription_created_total{subscription="calls"}', qr/[1-9]/ ],
    [ 'subscription_drift_total{subscription="calls"}', qr/[1-9]/ ],
    [ 'subscription_failures_total{subscription="calls"}', qr/[1-9]\d*/ ])
{
    my ($series, $value) = @$case;
    like($metrics, qr/^eventbridge_genesys_\Q$series\E $value$/m, $series);
}

# its rate bounds what comes in

is(post($port, '/v1/events', '{"events":[' . join(',', map {
    qq!{"id":"$_","source":"s","data":{}}! } 1 .. 200) . ']}')->status(), 200,
    'rate: a batch');
is(post($port, '/v1/events', '{"events":[{"id":"x","source":"s"}]}')->status(),
    429, 'rate: that of the subscription is the default');

$t->stop();

###############################################################################

# what nginx -t says of other declarations

my $good = 'endpoint https://in.example.com/v1/events; sources a;';
my $real = 'account 123456789012; region us-east-1; suffix s; topics '
    . 'v2.users.{id}.presence;' =~ s/(v2\S+);/"$1";/r;

for my $case (
    [ 'sources a;', qr/"eventbridge_genesys_subscription calls": .*endpoint/ ],
    [ 'endpoint http://in.example.com/; sources a;', qr/endpoint.*https/ ],
    [ 'endpoint https://; sources a;', qr/endpoint/ ],
    [ 'endpoint https://in.example.com/;', qr/eventSources/ ],
    [ "$good retention 0d;", qr/"0d" in "retention".*not zero/ ],
    [ "$good retention 366d;", qr/retentionPeriodDays.*from 1 to 365/ ],
    [ "$good retention 30;", qr/"30" in "retention".*days is expected/ ],
    [ "$good rate 1001r/s;", qr/maxEventsPerSecond.*from 1 to 1000/ ],
    [ "$good rate 10r/m;", qr{"10r/m" in "rate".*a rate is expected} ],
    [ "$good check 10ms;", qr/"10ms" in "check".*from 1s to 1d/ ],
    [ "$good check 10s; check 10s;", qr/"10s" in "check".*given twice/ ],
    [ "$good nothing 1;", qr/unknown directive "nothing"/ ],
    [ "$good genesys org;", qr/"org" in "genesys".*given twice/ ],
    [ "$good account 123456789012;",
        qr/"account" of .* has no meaning with "api reference"/ ],
    [ "$good topics a;", qr/"topics" of .* no meaning with "api reference"/ ],
    [ $real, qr/successful/, 'integrations' ],
    [ "$real sources a;", qr/"sources" .* no meaning with "api integrations"/,
        'integrations' ],
    [ "$real retention 30d;",
        qr/"retention" .* no meaning with "api integrations"/,
        'integrations' ])
{
    my ($block, $re, $api) = @$case;
    my ($rc, $out) = $t->test_config(configuration(block => $block,
        api => $api));

    like($out, $re, $block);
    is($rc, $re =~ /successful/ ? 0 : 1, "$block exit code");
}

###############################################################################
