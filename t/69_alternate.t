#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# An alternate takes the events of a destination that is down, and hands back:
# nobody gets an event twice, whatever the reasons that it has to go there.

###############################################################################

use warnings;
use strict;

use JSON::PP ();
use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;
use Test::EventBridge::Util qw/ now /;

###############################################################################

my $t = Test::EventBridge->new(workers => 2, log_level => 'info')
    ->plan(75);

my %mock = (a => $t->mock(1), b => $t->mock(2), c => $t->mock(3));
my ($ma, $mb) = @mock{qw/ a b /};
my $port = $t->port(0);
my $number = 0;
my $dead = $t->testdir() . '/dead';

mkdir $dead;
chmod 0777, $dead;

my $settings = 'interval=200ms rise=1 fall=2';

$t->conf(<<"EOF2")->run();
http {
    eventbridge_checkpoint_zone zone=z:1m path=%%TESTDIR%%/z.ckpt;
    eventbridge_stats_file %%TESTDIR%%/stats;

    # the ports have one host for all servers
    eventbridge_probe /to/a http://127.0.0.1:%%PORT_1%%/health $settings;
    eventbridge_probe /to/b http://127.0.0.1:%%PORT_2%%/health $settings;
    eventbridge_probe /to/c http://127.0.0.1:%%PORT_3%%/health $settings;

    server {
        listen 127.0.0.1:%%PORT_0%%;
        client_max_body_size 2m;

        eventbridge_checkpoint z scope=all;
        eventbridge_dead_letter $dead/d.jsonl;
        eventbridge_audit_log %%TESTDIR%%/audit.log flush=100ms;

        location = /v1/one {
            eventbridge_ingest;
            eventbridge_route /to/a alternate=/to/b;
        }

        location = /v1/all {
            eventbridge_ingest;
            eventbridge_route_policy all;
            eventbridge_route /to/a alternate=/to/b name=first;
            eventbridge_route /to/b name=second;
            eventbridge_route /to/c alternate=/to/b name=third;
        }

        location = /v1/single {
            eventbridge_ingest;
            eventbridge_route_policy all;
            eventbridge_forward_as single;
            eventbridge_route /to/b;
            eventbridge_route /to/a alternate=/to/b;
        }

        location = /v1/structured {
            eventbridge_ingest;
            eventbridge_route_policy all;
            eventbridge_forward_as cloudevents_structured;
            eventbridge_route /to/a alternate=/to/b;
            eventbridge_route /to/b;
        }

        location = /v1/cloudevents {
            eventbridge_ingest;
            eventbridge_route_policy all;
            eventbridge_forward_as cloudevents;
            eventbridge_route /to/a alternate=/to/b;
            eventbridge_route /to/b;
        }

        location = /v1/none {
            eventbridge_ingest;
            eventbridge_checkpoint off;
            eventbridge_route_policy all;
            eventbridge_route /to/a alternate=/to/b;
            eventbridge_route /to/b;
        }

        location = /to/a {
            internal;
            client_max_body_size 0;
            proxy_pass http://127.0.0.1:%%PORT_1%%;
        }

        location = /to/b {
            internal;
            client_max_body_size 0;
            proxy_pass http://127.0.0.1:%%PORT_2%%;
            proxy_set_header X-Destination \$eventbridge_destination;
            proxy_set_header X-Count \$eventbridge_count;
        }

        location = /to/c {
            internal;
            client_max_body_size 0;
            proxy_pass http://127.0.0.1:%%PORT_3%%;
        }

        location = /explain { eventbridge_explain; }
        location = /replay { eventbridge_replay; }
        location = /metrics { eventbridge_metrics; }
        location = /health { eventbridge_health; }
    }
}
EOF2

$t->allow_error('error', qr/destination "\/to\/[abc]" is down/);

###############################################################################

# up: nothing goes to the alternate

my $first = batch(3);
is(send_to('one', $first)->json()->{forwarded}, 3, 'up: to the destination');
is(got(), 'a:0,1,2 b: c:', 'up: and to nobody else');

# down: it takes over

down('a');

my $second = batch(3);
my $start = now();
my $r = send_to('one', $second);
is($r->status() . ' ' . $r->json()->{forwarded}, '200 3', 'down: accepted');
is(($mb->requests('/to/b'))[-1]->header('X-Destination'), '/to/b',
    'down: a variable says so');
is(got(), 'a: b:3,4,5 c:', 'down: the alternate has them');
is(send_to('one', $second)->json()->{duplicates}, 3,
    'down: again: they are duplicates');
is(send_to('one', $first)->json()->{duplicates}, 3,
    'down: what the destination has is one, too');
is(got(), 'a: b: c:', 'down: nobody gets them twice');
is($t->metric('eventbridge_destination_alternate_events_total',
    destination => '/to/a'), 3, 'down: a metric');
is($t->metric('eventbridge_destination_events_forwarded_total',
    location => '/v1/one', destination => '/to/b'), 3,
    'down: events of the alternate');
ok(wait_for(sub { 3 == grep { ($_->{destination} // '') eq '/to/b'
    && ($_->{action} // '') eq 'forwarded' } $t->audit_lines('audit.log') }),
    'down: the audit log says who has them');

$r = post($port, '/explain?location=/v1/one', batch(1))->json();
is_deeply($r->{events}[0]{destinations}, [ { destination => '/to/a',
    route => '/to/a', mark => 'none', state => 'down',
    alternate => '/to/b' } ], 'down: what eventbridge_explain says');

# both are down

down('b');
is(send_to('one', batch(2))->status(), 503, 'both down: refused');
is(got(), 'a: b: c:', 'both down: nobody has them');
up('b');

# it hands back

up('a');
$number = 20;
is(send_to('one', $second)->json()->{duplicates}, 3,
    'back: what the alternate took is a duplicate');
is(send_to('one', batch(2))->json()->{forwarded}, 2, 'back: new ones');
is(got(), 'a:20,21 b: c:', 'back: go to the destination');

###############################################################################

# the alternate gets the event anyway, and is the alternate of two

$number = 30;
is(send_to('all', batch(2))->json()->{forwarded}, 2, 'all up');
is(got(), 'a:30,31 b:30,31 c:30,31', 'all up: each has them');

down('a');
down('c');

my $shared = batch(3);
$r = send_to('all', $shared);
is($r->status() . ' ' . $r->json()->{forwarded}, '200 3', 'shared: accepted');
my ($request) = $mb->requests('/to/b');
is($request->header('X-Count') . ' '
    . $request->header('X-EventBridge-Count'), '3 3', 'shared: three events');
is($request->header('X-EventBridge-Route'), 'first,second,third',
    'shared: for three reasons');
is_deeply([ map { $_->{id} } @{$request->json()->{events}} ],
    [ qw/ 32 33 34 / ], 'shared: each once in the body');
is(got(), 'a: b:32,33,34 c:', 'shared: and in one request');
is(send_to('all', $shared)->json()->{duplicates}, 3, 'shared: again');

up('a');
up('c');
is(send_to('all', $shared)->json()->{duplicates}, 3, 'shared: all are up');
is(got(), 'a: b: c:', 'shared: nobody gets them twice');

# the alternate has it already, for its own route

$ma->set('/to/a', status => 500);
$number = 40;
my $half = batch(2);
is(send_to('all', $half)->status(), 503, 'half: the destination fails');
got();
down('a');
$r = send_to('all', $half);
is($r->status(), 200, 'half: it is down');
is(got(), 'a: b: c:', 'half: the alternate has them, and gets nothing');
$ma->clear('/to/a');
up('a');
is(send_to('all', $half)->json()->{duplicates}, 2, 'half: up again');
is(got(), 'a: b: c:', 'half: nobody gets them twice');

# what it took in place of another it has for a route of its own

down('a');
my $other = batch(2);
is(send_to('one', $other)->status(), 200, 'other route: it takes over');
is(got(), 'a: b:42,43 c:', 'other route: the alternate');
up('a');
is(send_to('all', $other)->json()->{forwarded}, 2,
    'other route: the same events go to all');
is(got(), 'a: b: c:42,43', 'other route: which is only one more');

# a request for each event, and without marks

down('a');
$number = 50;
is(send_to('single', batch(3))->json()->{forwarded}, 3, 'single');
is(scalar $mb->requests('/to/b'), 3, 'single: three requests');
is(got(), 'a: b:50,51,52 c:', 'single: one for each');
is(send_to('none', batch(3))->json()->{forwarded}, 3, 'no checkpoint');
is(got(), 'a: b:53,54,55 c:', 'no checkpoint: each once');

# as CloudEvents: what has two reasons to go there is in the body once

is(send_to('structured', batch(2))->json()->{forwarded}, 2, 'structured');
is(scalar $mb->requests('/to/b'), 2, 'structured: two requests');
is(join(' ', sort map { (eval { $_->json() } // {})->{id} // 'none' }
    $mb->requests('/to/b')), '56 57', 'structured: each is one event');
got();
is(send_to('cloudevents', batch(2))->json()->{forwarded}, 2, 'cloudevents');
my @parts = $mb->requests('/to/b');
is(scalar @parts, 1, 'cloudevents: one request');
is($parts[0]->header('X-EventBridge-Count'), 2, 'cloudevents: of two');
is(join(' ', map { $_->{id} } @{$parts[0]->json()}), '58 59',
    'cloudevents: each is in it once');
is(scalar($ma->requests('/to/a')), 0, 'cloudevents: nobody else has them');
got();

# an event that the alternate refuses: halves, with the hits of one event
# together

$number = 60;
$mb->set('/to/b', status => 400, match => '"id":"63"');
$r = send_to('all', batch(7));
is($r->status() . ' ' . $r->json()->{dead}, '200 1', 'refused: one is dead');
is(join(' ', sort map { $_->{destination} } grep { $_->{eventId} eq 63 }
    dead_lines()), '/to/a /to/b', 'refused: for both destinations');
$mb->clear('/to/b');

my %taken;
for my $request ($mb->requests('/to/b')) {
    my @ids = map { $_->{id} } @{$request->json()->{events}};
    next if grep { $_ eq 63 } @ids;
    $taken{$_}++ for @ids;
}
is_deeply(\%taken, { map { $_ => 1 } 60, 61, 62, 64, 65, 66 },
    'refused: the others once');
got();

# a replay goes where the line says, or nowhere

my ($line) = grep { /"destination":"\/to\/a"/ && /"eventId":"63"/ }
    split /\n/, read_file("$dead/d.jsonl");
$r = post($port, '/replay', "$line\n");
is(scalar $mb->requests('/to/b'), 0, 'replay: not to the alternate');
up('a');
$r = post($port, '/replay', "$line\n");
is(got(), 'a:63 b: c:', 'replay: to the destination, when it is up');

###############################################################################

# under load, up and down: each event once, at one of the two

$_->forget() for values %mock;
$number = 1000;

my $rounds = $ENV{EB_FULL} ? 30 : 6;

for my $round (1 .. $rounds) {
    my $want = $round % 2 ? 'down' : 'up';

    $ma->set($_, $want eq 'down' ? (status => 503) : (status => 200))
        for '/to/a', '/health';

    # until it is so, and a while longer

    my $after = 0;

    while ($after < 10) {
        my $body = batch(4);

        $after++ if state('a') eq $want;

        wait_for(sub { send_to('one', $body)->status() == 200 }, 30)
            or die "an event is not taken\n";
    }
}

my %at;
for my $name (qw/ a b /) {
    for my $request ($mock{$name}->requests("/to/$name")) {
        for my $event (@{$request->json()->{events}}) {
            push @{$at{$event->{id}}}, $name;
        }
    }
}

# of a the attempts that it answered with 503 are in its record, too
my %a_took = map { $_ => 1 } grep { !grep { $_ eq 'b' } @{$at{$_}} } keys %at;
my %b_took = map { $_ => scalar grep { $_ eq 'b' } @{$at{$_}} }
    grep { !$a_took{$_} } keys %at;

is(scalar keys %at, $number - 1000, 'load: all events arrived');
is(scalar(grep { $_ > 1 } values %b_took), 0,
    'load: the alternate has none twice');
cmp_ok(scalar keys %a_took, '>', 0, 'load: the destination has some');
cmp_ok(scalar keys %b_took, '>', 0, 'load: the alternate has others');
is($t->metric('eventbridge_events_forwarded_total', location => '/v1/one')
    - $t->metric('eventbridge_destination_events_forwarded_total',
        location => '/v1/one', destination => '/to/a')
    - $t->metric('eventbridge_destination_events_forwarded_total',
        location => '/v1/one', destination => '/to/b'), 0,
    'load: what was taken was taken once');
is($t->metric('eventbridge_destination_alternate_events_total',
    location => '/v1/one'), $t->metric(
    'eventbridge_destination_events_forwarded_total', location => '/v1/one',
    destination => '/to/b'), 'load: the alternate took it for the other');
$ma->clear($_) for '/to/a', '/health';
up('a');

###############################################################################

sub batch {
    my ($events) = @_;
    return '{"events":[' . join(',', map {
        sprintf '{"id":"%d","source":"s"}', $number++ } 1 .. $events) . ']}';
}

sub send_to {
    my ($location, $body) = @_;
    return post($port, "/v1/$location", $body, timeout => 10);
}

# what each has got since the last time

sub got {
    my @all = map { "$_:" . join(',', sort { $a <=> $b }
        $mock{$_}->ids("/to/$_")) } qw/ a b c /;
    $_->forget() for values %mock;
    return "@all";
}

sub state {
    my ($name) = @_;
    my ($item) = grep { $_->{destination} eq "/to/$name" }
        @{get($port, '/health')->json()->{destinations}};
    return $item->{state};
}

sub down {
    my ($name) = @_;
    $mock{$name}->set('/health', status => 500);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok(wait_for(sub { state($name) eq 'down' }), "$name goes down");
}

sub up {
    my ($name) = @_;
    $mock{$name}->clear('/health');
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok(wait_for(sub { state($name) eq 'up' }), "$name goes up");
}

sub dead_lines {
    return map { JSON::PP->new()->utf8()->decode($_) }
        split /\n/, read_file("$dead/d.jsonl");
}

###############################################################################
