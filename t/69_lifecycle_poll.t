#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# The poller of lifecycles: no page is left out, none is read for ever, and
# what it has learned survives a kill.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Temp qw/ tempdir /;
use JSON::PP ();

use Test::EventBridge;
use Test::EventBridge::Lifecycle qw/ plain steps stamp /;

###############################################################################

my $t = Test::EventBridge->new(workers => 2, log_level => 'info')->plan(67);

my $api = Test::EventBridge::Lifecycle->add($t, 1);
my $bus = Test::EventBridge::Lifecycle->add($t, 2);
my $port = $t->port(0);
my $dir = $t->testdir();

# another file system than that of temporary files, where there is one

my $shm = -d '/dev/shm' ? tempdir('eb-lifecycle-XXXX', DIR => '/dev/shm',
    CLEANUP => 1) : $dir;

chmod 0777, $shm;

$t->write_file('secret', "the-client-secret\n", 0640);
$t->secret('the-client-secret', ok_in => qr/mock-\d+\.jsonl|secret$/);

$t->conf(<<'EOT' =~ s/SHM/$shm/gr);
http {
    eventbridge_stats_file %%TESTDIR%%/stats;
    eventbridge_audit_log %%TESTDIR%%/audit.log flush=100ms;

    eventbridge_genesys org {
        api_url http://127.0.0.1:%%PORT_1%%;
        login_url http://127.0.0.1:%%PORT_1%%;
        client_id client-1;
        client_secret_file %%TESTDIR%%/secret;
        timeout 5s;
        retries 0;
        breaker_failures 0;
    }

    eventbridge_lifecycle calls {
        genesys org;
        interval 1s;
        overlap 3s;
        state SHM/calls;
        window 50ms;
        interactions 10000;
        bus http://127.0.0.1:%%PORT_2%%/bus;
    }

    server {
        listen 127.0.0.1:%%PORT_0%%;
        location /calls { eventbridge_lifecycle_status calls; }
        location = /metrics { eventbridge_metrics; }
        location = /in {
            eventbridge_ingest;
            eventbridge_route lifecycle:calls;
        }
    }
}
EOT

$api->client('client-1', 'the-client-secret');

sub figures { return get($port, '/calls')->json() // {} }
sub shown { return get($port, "/calls/$_[0]")->json() // {} }

sub reaches {
    my ($i, $state) = @_;
    return wait_for(sub { (shown($i)->{state} // '') eq $state }, 20);
}

# all that was captured is published

sub settled {
    return wait_for(sub {
        my $f = figures();
        return $f->{ready} && !$f->{held} && !$f->{unpublished} ? $f : 0;
    }, 20);
}

# how many of such interactions' transitions were published twice

sub again {
    my ($re) = @_;
    my (%n);
    $n{$_->{id}}++ for grep { $_->{i} =~ $re } $bus->taken();
    return scalar grep { $_ > 1 } values %n;
}

sub asked { return scalar $api->cursors() }

# only the last page is read

sub at_end {
    return wait_for(sub {
        my @c = $api->cursors();
        return @c > 3 && !grep { ($_ // '') ne ($c[-1] // '') } @c[-3 .. -1];
    }, 20);
}

# one round of requests has begun and ended

sub round {
    my $n = asked();
    return wait_for(sub { asked() > $n }, 10);
}

# a backlog of 10 pages and a bit

my $from = 36_000_000;          # 10 o'clock
$api->fill(f => 201, $from, 10);
$t->run();

ok($bus->wait_taken(1005, 30), 'row 4.15: a backlog is read')
    or diag($bus->count());

my @requests = $api->calls(GET => qr{^/api/v2/events});
my @first = grep { ($_->uri() =~ /cursor=/ ? 0 : 1) } @requests;
cmp_ok($requests[10]->time() - $requests[0]->time(), '<', 5,
    'row 4.15: without a wait between its pages');
is($requests[0]->uri(), '/api/v2/events?eventType=interaction.lifecycle.*'
    . '&pageSize=100&sortBy=timestamp', 'the first request');
like($requests[1]->uri(), qr{^/api/v2/events\?eventType=interaction\.
    lifecycle\.\*&pageSize=100&sortBy=timestamp&cursor=after(?::|%3A)\d+}x,
    'the next one');
like($requests[0]->header('Authorization'), qr/^bearer tok-/i,
    'row 4.16: a token without a scope is enough');
my @seen = $api->cursors();
is(scalar(grep { !defined } @seen[0 .. 10]), 1,
    'row 4.8: the first page is read once');
my %times;
$times{$_ // ''}++ for @seen[0 .. 10];
is(scalar keys %times, 11, 'each page, without gaps');
is(again(qr/^/), 0, 'nothing is published twice');
is((grep { $bus->heard("f$_") ne 'queued ringing connected wrapping closed' }
    0, 100, 200), 0, 'in order');

# what appears late, on a page that was read

my $late = plain('late', undef, 'queued', $from + 500);
$api->events($late);
ok(reaches('late', 'queued'), 'row 4.15: within the overlap pages are read '
    . 'again');
ok($bus->wait_taken(1006), 'row 4.15: what appeared late is published');

my @again = map { $_->time() } ($api->calls(GET => qr{^/api/v2/events}))
    [12 .. 15];
cmp_ok($again[$_] - $again[$_ - 1], '>=', 0.02,
    'row 4.16: one after the other') for 1 .. 3;

# the end: the last page, not the first one, and what is new on it

ok(at_end(), 'row 4.8: after the overlap only the last page is read');
ok(defined +($api->cursors())[-1], 'row 4.8: which is not the first one');
is(settled()->{duplicates}, 0, 'row 4.8: what is read again is not counted');

my $last = $from + 700_000;
$api->events(steps('new1', $last, qw/ queued ringing /));
ok(reaches('new1', 'ringing'), 'row 4.15: new events are found');
ok($bus->wait_taken(1008), 'and published');
is(figures()->{pollFailures}, 0, 'no poll has failed');
is($t->metric('eventbridge_lifecycle_poll_failures_total'), 0,
    'metrics: polls that failed');
cmp_ok(figures()->{pollLagMs}, '>', 0, 'poll lag');
cmp_ok($t->metric('eventbridge_lifecycle_poll_lag_seconds'), '>', 0,
    'metrics: poll lag');

# another start reads on from there

settled();
my $n = asked();
$t->kill_all();
$t->run();
ok(wait_for(sub { asked() > $n + 1 }, 15), 'row 4.9: after a kill');
ok(defined +($api->cursors())[$n],
    'row 4.9: it is read on from where it was');
is(settled()->{captured}, 0 + $t->metric(
    'eventbridge_lifecycle_captured_total'), 'figures and metrics agree');
is(shown('f7')->{state}, 'closed', 'row 4.9: states are known');
is($bus->count(), 1008, 'row 4.9: nothing is published again');

# a kill in the middle of pages

$api->fail(GET => 'api/v2/events', hang => 1, skip => 3);
$n = asked();
$api->fill(g => 200, $from + 1_000_000, 10);
ok($api->wait_held('*', 1, 15), 'row 4.7: a page does not come');
$t->kill_all();
$api->forgive();
$t->run();
ok(wait_for(sub {
    my %g = map { $_->{id} => 1 } grep { $_->{i} =~ /^g/ } $bus->taken();
    return keys %g == 1000;
}, 30), 'row 4.7: a kill between pages loses nothing') or diag($bus->count());
settled();
is((grep { $bus->heard("g$_") !~ /closed\z/ } 0 .. 199), 0,
    'row 4.7: every interaction comes to its end');

# what was received is on the disk when the sender hears of it

my $line = JSON::PP->new()->canonical()->encode({ events => [
    plain('disk', undef, 'queued', $last) ] });
is(post($port, '/in', $line)->status(), 200, 'row 4.11: an event is taken');
like(read_file("$shm/calls"), qr/"disk"/, 'row 4.11: it is in the file');
$t->kill_all();
$t->run();
ok(reaches('disk', 'queued'), 'row 4.11: after a kill it is known');
is_deeply([ sort map { s,.*/,,r } glob "$shm/*" ], $shm eq $dir
    ? [ sort map { s,.*/,,r } glob "$dir/*" ] : [ qw/ calls calls.dead / ],
    'row 4.11: there are no other files');
settled();

# an API that wants some rest

$t->allow_error('error', qr/lifecycle "calls" could not poll/);
$api->fail(GET => 'api/v2/events', status => 429, retry_after => 3);
round();
ok(wait_for(sub { $api->spent() }, 10), 'row 4.15: 429');
my ($refused) = map { $_->[0] } grep { $_->[3] == 429 } $api->answers();
ok(wait_for(sub { grep { $_->{n} > $refused } $api->calls(GET =>
    qr{^/api/v2/events}) }, 15), 'row 4.15: it goes on');
my %at = map { $_->{n} => $_->time() } $api->calls(GET =>
    qr{^/api/v2/events});
my ($next) = sort { $a <=> $b } grep { $_ > $refused } keys %at;
cmp_ok($at{$next} - $at{$refused}, '>=', 2.9, 'row 4.15: Retry-After counts');
cmp_ok($at{$next} - $at{$refused}, '<', 5, 'row 4.15: and is not exceeded');
$api->forgive();

# answers of other kinds, and events that cannot be used

for my $answer ([ status => 500 ], [ html => 1 ],
    [ status => 200, body => '{"events":' ],
    [ status => 200, body => '[]' ],
    [ status => 200, body => '{"events":{}}' ],
    [ status => 200, body => '{"events":[],"nextPage":"' . 'x' x 5000
        . '"}' ], [ truncate => 20 ])
{
    my $failures = figures()->{pollFailures};

    $api->fail(GET => 'api/v2/events', @$answer);
    ok(wait_for(sub { figures()->{pollFailures} == $failures + 1 }, 15),
        'an answer that is none: ' . substr "@$answer", 0, 50);
    ok(wait_for(sub { $api->spent() }, 1) && round(),
        'it is asked for again');
    $api->forgive();
}

$t->allow_error('error', qr/lifecycle "calls" leaves out an event/);
my $invalid = figures()->{invalid};
$api->events('{"interactionId":7}', '"x"', plain('after', undef, 'queued',
    $last + 3_000_000));
ok(reaches('after', 'queued'), 'beside events that cannot be used');
is(figures()->{invalid}, $invalid + 2, 'which are counted');
round();
is(figures()->{invalid}, $invalid + 2, 'once');

# a cursor that is not known any more

$t->allow_error('warn', qr/the API does not know the cursor/);
settled();
my ($count, $flagged) = ($bus->count(), figures()->{violations});
$n = asked();
$api->fail(GET => 'cursor=', status => 410);
ok(wait_for(sub { my @c = $api->cursors(); grep { !defined }
    @c[$n .. $#c] }, 15), 'a cursor that is not known: the first page');
ok(wait_for(sub {
    my @c = $api->cursors();
    return @c > $n + 20 && defined $c[-1];
}, 20), 'and all that follow');
settled();
is($bus->count(), $count, 'nothing is published again');
is_deeply(figures()->{violations}, $flagged, 'nothing is flagged');
is(again(qr/^[^g]/), 0, 'nothing was published twice');
cmp_ok(again(qr/^g/), '<=', 800,
    'row 4.7: but what was on its way to the bus at the kill');

# an API that always has a next page, though there is nothing on it; when only
# the last page is read again

ok(at_end(), 'pages that are older than the overlap are not read again');
$api->fail(GET => 'api/v2/events', status => 200,
    body => qq({"events":[],"nextPage":"empty-$_"})) for 1 .. 5;
ok(wait_for(sub { grep { /empty-4/ } map { $_ // '' } $api->cursors() }, 30),
    'row 4.15: empty pages');
my %empty = map { $_->uri() =~ /cursor=(empty-\d)$/ ? ($1 => $_->time()) : () }
    $api->calls(GET => qr{^/api/v2/events});
cmp_ok($empty{'empty-4'} - $empty{'empty-1'}, '>=', 2.7,
    'row 4.15: are no backlog: each is waited for');
$api->forgive();

# an organisation that has no such page, as none has today

$api->fail(GET => 'api/v2/events', status => 404, times => 0);
ok($t->wait_log(qr/could not poll, .* no events to poll: .*EventBridge/, 20),
    'a path that is not known: the log names the alternative');
$api->forgive();

my @tokens = $api->token_requests();
cmp_ok(scalar @tokens, '<=', 8, 'a token for each worker is enough');

###############################################################################
