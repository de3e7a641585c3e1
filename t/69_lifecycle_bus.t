#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# The publisher of lifecycles: whatever the bus does, each interaction's
# transitions come to it in order, and what it never takes is a dead letter.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();

use Test::EventBridge;
use Test::EventBridge::Lifecycle qw/ plain steps /;
use Test::EventBridge::Util qw/ http_date /;

###############################################################################

my $t = Test::EventBridge->new(workers => 2, log_level => 'info')->plan(62);

my $bus = Test::EventBridge::Lifecycle->add($t, 1);
my $old = Test::EventBridge::Lifecycle->add($t, 2);
my $hook = $t->mock(3);
my $port = $t->port(0);
my $dir = $t->testdir();
my $json = JSON::PP->new()->utf8()->canonical();

$t->conf(<<'EOT')->run();
http {
    eventbridge_stats_file %%TESTDIR%%/stats;
    eventbridge_audit_log %%TESTDIR%%/audit.log flush=100ms;
    eventbridge_outbox path=%%TESTDIR%%/outbox;
    eventbridge_webhook done http://127.0.0.1:%%PORT_3%%/done;

    eventbridge_lifecycle calls {
        state %%TESTDIR%%/calls;
        window 20ms;
        interactions 1000;
        bus http://127.0.0.1:%%PORT_1%%/bus;
        callback done closed;
    }

    eventbridge_lifecycle old {
        state %%TESTDIR%%/old;
        window 0;
        interactions 1000;
        bus http://127.0.0.1:%%PORT_2%%/bus;
        bus_max_age 500ms;
        bus_timeout 200ms;
    }

    server {
        listen 127.0.0.1:%%PORT_0%%;

        location /calls { eventbridge_lifecycle_status calls; }
        location /old { eventbridge_lifecycle_status old; }
        location = /metrics { eventbridge_metrics; }

        location = /in/calls {
            eventbridge_ingest;
            eventbridge_route lifecycle:calls;
        }

        location = /in/old {
            eventbridge_ingest;
            eventbridge_route lifecycle:old;
        }
    }
}
EOT

my $at = (int(time / 1000) * 1000 - 5000) * 1000;
my @life = qw/ queued ringing connected wrapping closed /;

sub in {
    my ($name, @events) = @_;
    return post($port, "/in/$name", $json->encode({ events => \@events }))
        ->status();
}

sub figures { return get($port, "/$_[0]")->json() // {} }
sub shown { return get($port, "/$_[0]/$_[1]")->json() // {} }

sub quiet {
    my ($name, $sec) = @_;

    return wait_for(sub {
        my $f = figures($name);
        return $f->{ready} && !$f->{held} && !$f->{unpublished} ? $f : 0;
    }, $sec // 20);
}

# what is wrong with what a bus has taken: order, and ids that came again

sub wrong {
    my ($mock) = @_;
    my (%stage, %id, @wrong);

    for my $e ($mock->taken()) {
        push @wrong, "$e->{i}: $e->{stage} after " . ($stage{$e->{i}} // 0)
            if $e->{stage} != ($stage{$e->{i}} // 0) + 1;
        push @wrong, "$e->{i}: $e->{stage} again" if $id{$e->{id}}++;
        $stage{$e->{i}} = $e->{stage};
    }

    return \@wrong;
}

ok(quiet('calls'), 'the lifecycle is ready');

# a bus that fails now and then

$t->allow_error('error', qr/bus of lifecycle "calls" took none of/,
    maybe => 1);
$bus->bus(calls => 0.1, entries => 0.2, seed => 7);

my @names = map { "i$_" } 1 .. 60;

for my $n (0 .. 4) {
    in(calls => map { (steps($_, $at, @life))[$n] } @names);
}

ok($bus->wait_taken(300, 30), 'row 4.12: everything is published')
    or diag($bus->count());
ok(quiet('calls'), 'and known to be');
is_deeply(wrong($bus), [], 'row 4.12: in order, entries that failed once more');
is(figures('calls')->{propagated}, 300, 'all of it is counted');
is(figures('calls')->{failed}, 0, 'row 4.14: attempts are no failures');

my @calls = $bus->requests('/bus');
my $stats = $bus->stats();
cmp_ok(scalar @calls, '<', 150, 'interactions share calls');
cmp_ok($stats->{connections}, '<=', 16, 'row 4.12: connections are kept')
    or diag("$stats->{connections} of " . @calls);
cmp_ok($stats->{most}, '<=', 8, 'some calls at a time');
ok($hook->wait_hits('/done', 60), 'callbacks of all of them');
$bus->bus(calls => 0, entries => 0);

# a bus that wants some rest

for my $form (qw/ seconds date /) {
    my $calls = $bus->requests('/bus');
    my $after = $form eq 'date' ? http_date(time() + 2) : 2;

    $bus->queue('/bus', { status => 429,
        headers => [ 'Retry-After' => $after ] });
    in(calls => plain("slow-$form", undef, 'queued', $at));
    ok($bus->wait_taken($form eq 'date' ? 302 : 301, 10),
        "row 4.12: 429 is tried again, $form");
    @calls = ($bus->requests('/bus'))[$calls .. $calls + 1];
    cmp_ok($calls[1]->time() - $calls[0]->time(), '>=',
        $form eq 'date' ? 0.9 : 1.9, "row 4.12: Retry-After counts, $form");
    is($calls[0]->body(), $calls[1]->body(), 'the same body, the same id');
}

for my $how ({ status => 500 }, { reset => 1 }, { close => 1 },
    { truncate => 1 }, { status => 200, body => '{"failedEntryCount":1}' })
{
    my $n = $bus->count();
    my $name = join ' ', map { "$_ $how->{$_}" } sort keys %$how;

    $bus->queue('/bus', $how);
    in(calls => plain("x-$name", undef, 'queued', $at));
    ok($bus->wait_taken($n + 1, 10), "after $name: once more");
}

# what it never takes

$t->allow_error('error',
    qr/"calls" does not take a transition of interaction "dead\d"/);
$bus->bus(refuse => 'dead1');
my $n = $bus->count();
is(in(calls => steps('dead1', $at, @life[0 .. 1]),
    steps('good1', $at, @life[0 .. 1])), 200, 'one that is refused');
ok($bus->wait_taken($n + 2), 'row 4.10: others are published');
ok(wait_for(sub { figures('calls')->{failed} == 2 }, 10),
    'row 4.10: it is counted');
is_deeply(shown(calls => 'dead1')->{flags}, [ 'failed' ],
    'row 4.10: and marked');
is(shown(calls => 'dead1')->{state}, 'ringing',
    'row 4.14: it stands where it stands');

my @dead = map { $json->decode($_) } split /\n/, read_file("$dir/calls.dead");
is(scalar @dead, 2, 'row 4.10: dead letters');
is($dead[0]{detail}{interactionId}, 'dead1', 'row 4.10: whose');
is($dead[0]{reason}, 'MalformedDetail', 'row 4.10: and why');
is($dead[0]{kind}, 'transition', 'row 4.10: what');
is(length $dead[1]{detail}{transitionId}, 32, 'row 4.10: by its id');

# a call that is refused as a whole: it is found out which one it is

$n = $bus->count();
$bus->bus(call => 'dead2');
in(calls => map { plain($_, undef, 'queued', $at) } 'good2', 'dead2',
    'good3');
ok($bus->wait_taken($n + 2, 10), 'a call is refused: others are published');
ok(wait_for(sub { figures('calls')->{failed} == 3 }, 10),
    'the one is a dead letter');
$bus->bus(call => undef, refuse => undef);
is_deeply([ grep { !/^dead/ } @{wrong($bus)} ], [], 'still in order');

my @audit = grep { ($_->{status} // '') eq 'failed' }
    $t->audit_lines('audit.log');
ok(wait_for(sub { 3 == grep { ($_->{status} // '') eq 'failed' }
    $t->audit_lines('audit.log') }, 5), 'audit: those that failed');

# a bus that is not there

$bus->down();
$n = $bus->count();
my $before = figures('calls')->{propagated};
is(in(calls => map { steps("down$_", $at, @life) } 1 .. 20), 200,
    'the bus is down: events are taken');
ok(wait_for(sub { figures('calls')->{unpublished} == 100 }, 10),
    'the bus is down: they are kept');
is(shown(calls => 'down7')->{state}, 'closed',
    'the bus is down: states are known');
ok($t->wait_log(qr/bus of lifecycle "calls" took none of/), 'it is said');
$bus->up();
ok($bus->wait_taken($n + 100, 40), 'the bus is back: all is published');
ok(quiet('calls'), 'the bus is back: nothing is left');
is(figures('calls')->{propagated}, $before + 100, 'and counted');
ok($t->wait_log(qr/bus of lifecycle "calls" takes entries again/),
    'it is said, too');

# too long

$t->allow_error('error', qr/bus of lifecycle "old" took none of/);
$t->allow_error('error', qr/"old" does not take a transition of interaction/);
$old->set('/bus', hang => 1);
in(old => plain('o1', undef, 'queued', $at));
ok(wait_for(sub { figures('old')->{failed} == 1 }, 15),
    'after bus_max_age it is given up');
like(read_file("$dir/old.dead"), qr/"interactionId":"o1"/,
    'and a dead letter');

# calls under way when nginx gets another configuration, or ends

sub held {
    my ($i) = @_;
    $bus->set('/bus', hang => 1);
    in(calls => plain($i, undef, 'queued', $at));
    return $bus->wait_held('/bus', 1);
}

ok(held('reload1'), 'reload: a call is under way');
$n = $bus->count();
ok($t->reload(keep_old => 1), 'reload: it is done');
ok(wait_for(sub { scalar $t->old_workers() }, 5),
    'reload: the old worker ends');
is($bus->held('/bus'), 1, 'reload: not before the call does');
$bus->set('/bus', status => 200, body => '{}');
$bus->release('/bus');
ok(wait_for(sub { !$t->old_workers() }, 15), 'reload: then it ends');
$bus->clear('/bus');
ok(quiet('calls'), 'reload: all is published');
is($bus->count(), $n, 'reload: and none twice');
in(calls => plain('reload2', undef, 'queued', $at));
ok($bus->wait_taken($n + 1), 'reload: new workers publish');

ok(held('quit1'), 'QUIT: a call is under way');
$n = $bus->count();
$bus->set('/bus', status => 200, body => '{}');
$bus->release('/bus');
$t->stop();
$bus->down();
$t->run();
ok(wait_for(sub { figures('calls')->{ready} }, 10), 'QUIT: and a start');
is(shown(calls => 'quit1')->{state}, 'queued', 'QUIT: states are kept');
is(shown(calls => 'i1')->{state}, 'closed', 'QUIT: old ones, too');
in(calls => steps('quit2', $at, @life));
ok(wait_for(sub { figures('calls')->{unpublished} }, 10),
    'QUIT: nothing can be published');
$t->stop();
$bus->up();
$bus->clear('/bus');
$n = $bus->count();
$t->run();
ok($bus->wait_taken($n + 5), 'QUIT: it is published after a start');
ok(quiet('calls'), 'QUIT: nothing is left');
is($bus->heard('quit2'), "@life", 'QUIT: in order');
is_deeply([ $bus->problems() ], [], 'the bus can read everything');

###############################################################################
