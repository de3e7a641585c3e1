#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Lifecycles: events that are received, plain ones and detail events, become
# states that can be asked for, transitions on the bus, callbacks, metrics and
# lines of the audit log.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Digest::SHA qw/ sha256_hex /;
use JSON::PP ();

use Test::EventBridge;
use Test::EventBridge::Lifecycle qw/ plain steps detail stamp /;

###############################################################################

my $t = Test::EventBridge->new(workers => 2, log_level => 'info')->plan(153);

$t->secret('the-status-key');
$t->secret_file('keys', "who:the-status-key\n");

my $bus = Test::EventBridge::Lifecycle->add($t, 1);
my $hook = $t->mock(2);
my $port = $t->port(0);
my $dir = $t->testdir();
my $json = JSON::PP->new()->utf8()->canonical();

$t->conf(<<'EOT')->run();
http {
    eventbridge_stats_file %%TESTDIR%%/stats;
    eventbridge_audit_log %%TESTDIR%%/audit.log flush=100ms;
    eventbridge_outbox path=%%TESTDIR%%/outbox;
    eventbridge_webhook ended http://127.0.0.1:%%PORT_2%%/ended;

    eventbridge_lifecycle calls {
        state %%TESTDIR%%/calls;
        window 300ms;
        interactions 1000;
        bus http://127.0.0.1:%%PORT_1%%/bus;
        bus_source our.calls;
        callback ended closed abandoned;
    }

    # as real contact centers need it

    eventbridge_lifecycle real {
        state %%TESTDIR%%/real;
        window 100ms;
        grace 2s;
        stages 5;
        interactions 1000;
        transition queued +abandoned;
        transition ringing +queued;
        transition connected +closed;
        transition transferred +queued +abandoned;
    }

    eventbridge_lifecycle gaps {
        state %%TESTDIR%%/gaps;
        window 0;
        adopt on;
        interactions 1000;
        transition parked;
        transition queued parked;
    }

    server {
        listen 127.0.0.1:%%PORT_0%%;

        location /calls { eventbridge_lifecycle_status calls; }
        location /real { eventbridge_lifecycle_status real; }
        location /gaps { eventbridge_lifecycle_status gaps; }
        location /keyed {
            eventbridge_lifecycle_status calls;
            eventbridge_auth key X-Key %%TESTDIR%%/keys;
        }

        location = /metrics { eventbridge_metrics; }
        location = /where { return 200 "<$eventbridge_lifecycle_state>"; }

        location = /in/calls {
            eventbridge_ingest;
            eventbridge_route lifecycle:calls;
        }

        location = /in/real {
            eventbridge_ingest;
            eventbridge_route lifecycle:real;
        }

        location = /in/gaps {
            eventbridge_ingest;
            eventbridge_route lifecycle:gaps;
        }
    }
}
EOT

# to an ingest location, a list of events or envelopes; its status

sub in {
    my ($name, @events) = @_;

    my $doc = exists $events[0]{detail} ? \@events : { events => \@events };

    return post($port, "/in/$name", $json->encode($doc))->status();
}

sub shown { return get($port, "/$_[0]/$_[1]")->json() // {} }

sub reaches {
    my ($name, $i, $state) = @_;

    return wait_for(sub { (shown($name, $i)->{state} // '') eq $state }, 10);
}

sub figures { return get($port, "/$_[0]")->json() }

# none is held or to be published

sub quiet {
    my ($name) = @_;

    return wait_for(sub {
        my $f = figures($name);
        return $f->{ready} && !$f->{held} && !$f->{unpublished} ? $f : 0;
    }, 10);
}

my $at = (int(time / 1000) * 1000 - 5000) * 1000;

# a life from its beginning to its end

my @life = qw/ queued ringing connected wrapping closed /;

ok(wait_for(sub { figures('calls')->{ready} }, 5), 'the lifecycle is ready');
is(figures('calls')->{averageLatencyMs}, undef,
    'row 4.14: there is no average of nothing');
is(in(calls => steps('i1', $at, @life[0 .. 2])), 200, 'events are received');
ok(reaches(calls => 'i1', 'connected'), 'status: connected');

my $s = shown(calls => 'i1');
is_deeply($s, { interactionId => 'i1', state => 'connected', stage => 3,
    final => JSON::PP::false, since => stamp($at + 2000), flags => [],
    unpublished => $s->{unpublished}, history => [
        map { { state => $life[$_], since => stamp($at + $_ * 1000) } } 0 .. 2
    ] }, 'status: all of it');

in(calls => plain('i1', 'connected', 'wrapping', $at + 3000),
    plain('i1', 'wrapping', 'closed', $at + 4000));
ok(reaches(calls => 'i1', 'closed'), 'status: closed');
ok(shown(calls => 'i1')->{final}, 'status: final');

# what the bus hears of it

ok($bus->wait_taken(5), 'all of it is published');
is($bus->heard('i1'), "@life", 'in order');

my @taken = $bus->taken();

is_deeply($taken[1]{entry}, { id => $taken[1]{id}, source => 'our.calls',
    detailType => 'interaction.lifecycle.transition',
    time => stamp($at + 1000), detail => { interactionId => 'i1',
        previousState => 'queued', currentState => 'ringing',
        timestamp => stamp($at + 1000), retentionDays => 30,
        lifecycleStage => 2, eventBusSource => 'our.calls',
        transitionId => $taken[1]{id} } }, 'an entry');
is($taken[0]{previous}, undef, 'the first has no previous state');
is_deeply([ map { $_->{stage} } @taken ], [ 1 .. 5 ], 'stages');

sub id {
    my ($i, $previous, $current, $ms, $event) = @_;
    return substr sha256_hex(join "\n", $i, $previous // '', $current, $ms,
        $event // "e-$i-$current-$ms"), 0, 32;
}

is_deeply([ map { $_->{id} } @taken ], [ id('i1', undef, 'queued', $at),
    map { id('i1', $life[$_ - 1], $life[$_], $at + 1000 * $_) } 1 .. 4 ],
    'row 4.6: ids are those of the documents');

# callbacks on chosen states

ok($hook->wait_hits('/ended', 1), 'callback: called');
my $call = ($hook->requests('/ended'))[0];
is_deeply($json->decode($call->body()), $taken[4]{entry}{detail},
    'callback: what the bus hears');
like($call->header('webhook-id'), qr/^msg_[0-9a-f]{32}\z/, 'callback: id');

# rows

in(calls => map { steps("many$_", $at, @life) } 1 .. 4);
ok(reaches(calls => "many$_", 'closed'), "row 4.1: interaction $_ of several")
    for 1 .. 4;
is(shown(calls => 'many4')->{stage}, 5,
    'row 4.1: stages are counted for each interaction');

in(calls => plain('first1', undef, 'queued', $at),
    plain('first2', '', 'queued', $at),
    { %{plain('first3', undef, 'queued', $at)}, previousState => undef },
    do { my $e = plain('first4', undef, 'queued', $at);
        delete $e->{previousState}; $e });
ok(reaches(calls => "first$_", 'queued'),
    "row 4.2: the first event, none before it ($_)") for 1 .. 4;
in(calls => plain('first5', undef, 'connected', $at));
ok(wait_for(sub { figures('calls')->{violations}{initial} == 1 }, 5),
    'row 4.2: no interaction begins otherwise');
is_deeply(shown(calls => 'first5')->{flags}, [ 'initial' ],
    'row 4.2: which is marked');
is(shown(calls => 'first5')->{state}, undef, 'row 4.2: it is in no state');
in(calls => plain('first6', 'queued', 'ringing', $at));
ok(reaches(calls => 'first6', 'ringing'),
    'row 4.2: who leaves queued was there');
is_deeply(shown(calls => 'first6')->{flags}, [ 'gap' ],
    'row 4.2: which is marked, too');
ok(wait_for(sub { grep { $_->{i} eq 'first6'
    && $_->{detail}{previousState} eq 'queued' } $bus->taken() }, 10),
    'row 4.2: and published');

in(calls => plain('first1', 'connected', 'wrapping', $at + 9000));
ok(wait_for(sub { figures('calls')->{violations}{mismatch} == 1 }, 5),
    'row 4.3: an event that tells a wrong previous state');
is(shown(calls => 'first1')->{state}, 'queued',
    'row 4.3: the interaction stays where it is');
is_deeply(shown(calls => 'first1')->{flags}, [ 'mismatch' ],
    'row 4.3: which is marked');

in(calls => plain('first2', 'queued', 'abandoned', $at + 1000));
ok(wait_for(sub { figures('calls')->{violations}{transition} == 1 }, 5),
    'row 4.4: the default matrix');
in(real => plain('edge1', undef, 'queued', $at),
    plain('edge1', 'queued', 'abandoned', $at + 1000),
    steps('edge2', $at, qw/ queued ringing queued ringing connected closed /),
    steps('edge3', $at, qw/ queued ringing connected closed /));
ok(reaches(real => 'edge1', 'abandoned'), 'row 4.4: another edge');
ok(reaches(real => 'edge3', 'closed'), 'row 4.4: and another one');
ok(reaches(real => 'edge2', 'connected'), 'row 4.4: an agent does not answer');
ok(wait_for(sub { "@{shown(real => 'edge2')->{flags}}" eq 'stages' }, 5),
    'row 4.4: over the limit of stages an event is flagged');

# out of order, within the window

for my $e (reverse steps('late1', $at, @life[0 .. 3])) {
    in(calls => $e);
}

ok(reaches(calls => 'late1', 'wrapping'), 'row 4.5: order by time');
is_deeply([ map { $_->{state} } @{shown(calls => 'late1')->{history}} ],
    [ @life[0 .. 3] ], 'row 4.5: history');

in(calls => plain('late1', 'connected', 'abandoned', $at + 2500));
ok(wait_for(sub { figures('calls')->{late} == 1 }, 5),
    'row 4.5: what comes after the window is late');

in(calls => plain('notime', undef, 'queued', $at, timestamp => undef));
ok(reaches(calls => 'notime', 'queued'), 'row 4.5: without a time');
is_deeply(shown(calls => 'notime')->{flags}, [ 'timestamp_missing' ],
    'row 4.5: which is marked');

in(calls => plain('now', undef, 'queued', $at),
    plain('now', 'queued', 'ringing', $at + 1),
    plain('now', 'ringing', 'connected', $at + 2));
ok($bus->wait_taken(5 + 20 + 4 + 4 + 1 + 3), 'the bus hears of all');
quiet('calls');
my %ids = map { $_->{id} => 1 } grep { $_->{i} eq 'now' } $bus->taken();
is(scalar keys %ids, 3, 'row 4.6: three within a second have three ids');

my $dup = figures('calls')->{duplicates};
in(calls => steps('i1', $at, @life));
ok(wait_for(sub { figures('calls')->{duplicates} == $dup + 5 }, 5),
    'duplicates are counted');
is(scalar(grep { $_->{i} eq 'i1' } $bus->taken()), 5, 'and not published');

# an event that is missing

in(gaps => plain('g1', 'ringing', 'connected', $at));
ok(reaches(gaps => 'g1', 'connected'), 'adopt: a beginning is missing');
is_deeply(shown(gaps => 'g1')->{flags}, [ 'gap' ], 'adopt: which is marked');
in(gaps => plain('p1', undef, 'queued', $at),
    plain('p1', 'queued', 'parked', $at + 1));
ok(reaches(gaps => 'p1', 'parked'), 'a state of our own');
ok(shown(gaps => 'p1')->{final}, 'that nothing follows');

# detail events: a conversation, as it is delivered

my $c = '2f7bf00a-0fc2-4d6a-9b56-92238191433e';
my $ms = 1649237504949;

my @conversation = (
    [ detail($c, 'customer.start', $ms - 90000, mediaType => 'CHAT'),
        undef, 'customer.start: no state' ],
    [ detail($c, 'acd.start', $ms - 80000, queueId => 'Q1'), 'queued',
        'acd.start' ],
    [ detail('U1', 'agent', $ms - 70000, userId => 'U1',
        conversationId => $c, state => 'ALERT'), 'ringing', 'agent: ALERT' ],
    [ detail($c, 'user.start', $ms - 69000, userId => 'U1'), 'ringing',
        'user.start: known already' ],
    [ detail($c, 'acd.end', $ms - 65000, acdOutcome => 'ANSWERED',
        answeredUserId => 'U1'), 'connected', 'acd.end: ANSWERED' ],
    [ detail('U1', 'agent', $ms - 64000, userId => 'U1',
        conversationId => $c, segmentType => 'INTERACT'), 'connected',
        'agent: INTERACT, known already' ],
    [ detail("v2.conversations.$c.transcription", "v2.conversations.$c."
        . 'transcription', $ms - 60000, transcripts => []), 'connected',
        'a transcription: no state' ],
    [ $json->decode(read_file(($t->shared_data('events/genesys-aws-event'
        . '-bridge-conversation-end-event.json'))[0]
        // "$FindBin::Bin/none") // 'null'), 'closed',
        'a real customer.end' ]
);

for my $case (@conversation) {
    my ($event, $state, $name) = @$case;

  SKIP: {
        skip "$name: no data", 2 if !$event;

        is(in(real => $event), 200, "detail events: $name");
        ok($state ? reaches(real => $c, $state)
            : get($port, "/real/$c")->status() == 404,
            "detail events: $name: " . ($state // 'none'))
            or diag(get($port, "/real/$c")->text());
    }
}

my %walk = (
    abandons => [ [ 'acd.start' ], [ 'acd.end', acdOutcome => 'ABANDON' ] ],
    transfers => [ [ 'acd.start' ], [ 'user.start' ],
        [ 'acd.end', acdOutcome => 'ANSWERED' ],
        [ 'user.end', disconnectType => 'CONSULT_TRANSFER' ] ],
    wraps => [ [ 'acd.start' ], [ 'user.start' ],
        [ 'acd.end', acdOutcome => 'ANSWERED' ], [ 'user.end' ],
        [ 'acw', durationMs => 3 ] ],
    wrapup => [ [ 'acd.start' ], [ 'agent', state => 'ALERT' ],
        [ 'agent', state => 'INTERACT' ], [ 'agent', state => 'WRAPUP' ],
        [ 'wrapup', wrapupCode => 'W1' ] ],
    customers => [ [ 'acd.start' ], [ 'user.start' ],
        [ 'acd.end', acdOutcome => 'ANSWERED' ],
        [ 'customer.end', disconnectType => 'TRANSFER' ] ]
);
my %end = (abandons => 'abandoned', transfers => 'transferred',
    wraps => 'closed', wrapup => 'closed', customers => 'transferred');

for my $name (sort keys %walk) {
    my $n = 0;

    is(in(real => map { my ($what, %body) = @$_;
        detail($name, $what, $ms + 1000 * $n++, conversationId => $name,
            %body) } @{$walk{$name}}), 200, "detail events: $name");
    ok(reaches(real => $name, $end{$name}),
        "detail events: $name: $end{$name}")
        or diag(get($port, "/real/$name")->text());
}

my $ignored = figures('real')->{ignored};

for my $name (qw/ aws-autoscaling-event-launch-successful
    aws-codebuild-phase-change aws-ecr-image-push-event
    aws-ecs-container-instance-state-change genesys-OAuthClientDelete
    genesys-UserPresenceChange /)
{
    my ($file) = grep { -e } $t->shared_data("events/$name.json");

  SKIP: {
        skip "$name: no data", 2 if !defined $file;

        is(post($port, '/in/real', read_file($file))->status(), 200,
            "a real event about no interaction: $name");
        is(figures('real')->{ignored}, ++$ignored, 'is counted');
    }
}

# what cannot be used is not thrown away in silence

$t->allow_error('error', qr/lifecycle "calls" cannot use an event: the inter/);
$t->allow_error('error', qr/lifecycle "calls" cannot use an event: a state/);
cmp_ok(in(calls => plain('', undef, 'queued', $at)), '>=', 400,
    'an interaction without an id is refused');
cmp_ok(in(calls => plain('bad', undef, 'nowhere', $at)), '>=', 400,
    'a state that is not known is refused');
is(figures('calls')->{invalid}, 2, 'and counted');

# questions

my $r = get($port, '/calls/nobody');
is($r->status(), 404, 'status: an unknown interaction');
is($r->header('Content-Type'), 'application/problem+json', '404: in JSON');

$t->allow_error('error', qr/unauthorized/);
is(get($port, '/keyed/')->status(), 401, 'status: not without the key');
is(client($port)->request(path => '/keyed/',
    headers => [ 'X-Key' => 'the-status-key' ])->status(), 200,
    'status: with the key');
is($r->json()->{status}, 404, '404: its document');

in(calls => plain('a b/c?d=%C3%A9', undef, 'queued', $at));
ok(reaches(calls => 'a%20b/c%3fd=%25C3%25A9', 'queued'),
    'status: an id is unescaped');

$r = get($port, '/calls?state=queued')->json();
is_deeply([ sort map { $_->{interactionId} } @{$r->{interactions}} ],
    [ 'a b/c?d=%C3%A9', 'first1', 'first2', 'first3', 'first4', 'notime' ],
    'listing: by state');
is($r->{interactions}[0]{history}, undef, 'listing: without their histories');

my (%listed, $cursor, $pages);

do {
    $r = get($port, '/calls?state=queued&limit=4'
        . (defined $cursor ? "&cursor=$cursor" : ''))->json();
    cmp_ok(@{$r->{interactions}}, '<=', 4, 'listing: a limit');
    $listed{$_->{interactionId}}++ for @{$r->{interactions}};
    $cursor = $r->{nextCursor};
} while (defined $cursor && ++$pages < 10);

is(scalar keys %listed, 6, 'listing: a cursor leads to all of them');
is((grep { $_ > 1 } values %listed), 0, 'listing: each once');
is(@{get($port, '/calls?limit=1000')->json()->{interactions}},
    figures('calls')->{interactions}, 'listing: of any state');

for my $bad (qw/ state=nowhere limit=0 limit=1001 limit=x cursor=x
    cursor=-1 /)
{
    is(get($port, "/calls?$bad")->status(), 400, "listing: $bad");
}

is(post($port, '/calls', '{}')->status(), 405, 'status: only GET');

is(get($port, '/where?interaction=i1')->body(), '<closed>', 'variable');
is(get($port, '/where?interaction=now')->body(), '<connected>',
    'variable: another one');
is(get($port, '/where?interaction=a%20b%2Fc%3Fd%3D%25C3%25A9')->body(),
    '<queued>', 'variable: unescaped');
is(get($port, '/where?interaction=nobody')->body(), '<>',
    'variable: not known');
is(get($port, '/where')->body(), '<>', 'variable: nobody asked for');

# figures and metrics are the same

my $f = quiet('calls');
is($f->{captured}, $f->{validated} + $f->{unchanged}
    + eval { my $n = 0; $n += $_ for values %{$f->{violations}}; $n },
    'row 4.14: what was captured was accepted or flagged');
is($f->{propagated}, $f->{validated}, 'row 4.14: what was accepted');
is($f->{failed}, 0, 'row 4.14: none failed');
is($f->{propagated}, $bus->count(), 'is what the bus has');
is($f->{standing}{queued}, 6, 'figures: interactions by state');
is($f->{open}, eval { my $n = 0; $n += $f->{standing}{$_}
    for qw/ queued ringing connected wrapping transferred /; $n },
    'figures: open ones');
cmp_ok($f->{averageLatencyMs}, '>=', 1, 'average latency');
cmp_ok($f->{averageLatencyMs}, '<', 5000, 'average latency: plausible');

for my $name (qw/ captured duplicates validated propagated failed /) {
    is($t->metric("eventbridge_lifecycle_${name}_total",
        lifecycle => 'calls'), $f->{$name}, "metrics: $name");
}

for my $name (qw/ interactions open held unpublished /) {
    is($t->metric("eventbridge_lifecycle_$name", lifecycle => 'calls'),
        $f->{$name}, "metrics: $name");
}

is($t->metric('eventbridge_lifecycle_violations_total',
    lifecycle => 'calls', kind => $_), $f->{violations}{$_},
    "metrics: violations, $_") for sort keys %{$f->{violations}};
is($t->metric('eventbridge_lifecycle_standing', lifecycle => 'calls',
    state => 'closed'), $f->{standing}{closed}, 'metrics: by state');

my $sum = $t->metric('eventbridge_lifecycle_latency_seconds_sum',
    lifecycle => 'calls');
my $count = $t->metric('eventbridge_lifecycle_latency_seconds_count',
    lifecycle => 'calls');
is($count, $f->{propagated}, 'row 4.14: latency is that of successes');
is(int(1000 * $sum / $count + 0.0001), $f->{averageLatencyMs},
    'row 4.14: and the average is that of the histogram');

# what has ended is forgotten, after its grace

ok(wait_for(sub { get($port, '/real/edge1')->status() == 404 }, 10),
    'row 4.13: an interaction is forgotten after its end');
is(get($port, '/calls/i1')->status(), 200, 'row 4.13: not before');
is(shown(real => 'edge2')->{state}, 'connected', 'row 4.13: nor an open one');

# audit

ok(wait_for(sub {
    my $n = () = (read_file("$dir/audit.log") // '')
        =~ /"lifecycle":"calls".*"status":"propagated"/g;
    return $n == $f->{propagated};
}, 5), 'audit: every transition');

my @audit = grep { $_->{lifecycle} } $t->audit_lines('audit.log');
my ($line) = grep { $_->{interactionId} eq 'i1'
    && $_->{currentState} eq 'ringing' } @audit;
cmp_ok(delete $line->{latencyMs}, '>=', 0, 'audit: latency');
like(delete $line->{timestamp}, qr/^\d{4}-.*Z\z/, 'audit: time');
is_deeply($line, { lifecycle => 'calls', interactionId => 'i1', stage => 2,
    eventId => 'e-i1-ringing-' . ($at + 1000), previousState => 'queued',
    currentState => 'ringing', eventTime => stamp($at + 1000),
    transitionId => $taken[1]{id}, status => 'propagated' }, 'audit: a line');
is_deeply([ sort map { $_->{flag} } grep { $_->{lifecycle} eq 'calls'
    && $_->{status} eq 'flagged' } @audit ],
    [ qw/ initial late mismatch transition / ], 'audit: what is flagged');

is_deeply([ $bus->problems() ], [], 'the bus can read everything');

###############################################################################
