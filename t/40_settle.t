#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Each event is settled once: many senders of the same batches, workers that
# die, senders that leave, destinations that are late, reload, binary upgrade,
# and the death of everything.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();

use Test::EventBridge;
use Test::EventBridge::Batches qw/ events /;
use Test::EventBridge::Util qw/ fork_each now reap_all scaled /;

###############################################################################

my $t = Test::EventBridge->new(workers => 2)->plan(46);

my $ma = $t->mock(1);
my $mb = $t->mock(2);

my $batches = $ENV{EB_FULL} ? 1000 : 250;

my $routes = <<'EOF2';
            eventbridge_route /to/a source=^a;
            eventbridge_route /to/b source=^b;
EOF2

sub configuration {
    my ($three) = @_;

    return <<"EOF2";
    eventbridge_checkpoint_zone zone=z:16m path=%%TESTDIR%%/z.ckpt
                                claim_timeout=1s;
    eventbridge_stats_file %%TESTDIR%%/stats;

    upstream a { server 127.0.0.1:%%PORT_1%%; keepalive 32; }
    upstream b { server 127.0.0.1:%%PORT_2%%; keepalive 32; }

    server {
        listen 127.0.0.1:%%PORT_0%%;
        listen 127.0.0.1:%%PORT_3%% http2;

        client_max_body_size 4m;
        proxy_http_version 1.1;
        proxy_set_header Connection "";

        eventbridge_checkpoint z;

        location = /v1/events {
            eventbridge_ingest;
$routes
        }

        location = /both {
            eventbridge_ingest;
            eventbridge_route_policy all;
            @{[ $three ? 'eventbridge_route /to/b; eventbridge_route /to/a;
                eventbridge_route /to/c;'
              : 'eventbridge_route /to/a; eventbridge_route /to/b;' ]}
        }

        location = /quick {
            eventbridge_ingest;
            eventbridge_forward_timeout 300ms;
            eventbridge_route /to/a;
        }

        location ~ ^/to/[ac]\$ {
            internal;
            client_max_body_size 0;
            proxy_pass http://a;
        }

        location = /to/b {
            internal;
            client_max_body_size 0;
            proxy_pass http://b;
        }

        location = /metrics { eventbridge_metrics; }
    }
EOF2
}

$t->conf(configuration())->run();

my $port = $t->port(0);

###############################################################################

# 8 senders, the same batches

my $answers = storm('x');

cmp_ok($answers->{503} // 0, '<=', 0.05 * $answers->{all}, 'rule 7: few 503');
is_deeply([ grep { !/^(200|503|all|cut)$/ } keys %$answers ], [],
    'no other answer');
is($answers->{cut} // 0, 0, 'no answer is cut');

my %seen = counts();
is(keys %seen, $batches * 5, 'every event is delivered');
is_deeply([ grep { $seen{$_} != 1 } keys %seen ], [], 'rule 6: exactly once');

# again, and every 200 ms a worker dies

$t->allow_error('alert', qr/exited on signal 9/);
$_->forget() for $ma, $mb;

my @kills;
my $storms = 0;

# a fast machine is done before there are enough of them

while (@kills < 4) {
    storm('y' . $storms++ . '-', sub {
        return if @kills && now() - $kills[-1] < scaled(0.2);
        my ($pid) = sort { rand() <=> 0.5 } $t->worker_pids() or return;
        push @kills, now();
        kill 'KILL', $pid;
    });
}

%seen = counts();
is(keys %seen, $storms * $batches * 5, 'rule 6: with kills: none is missing');

# a repeat is of an event that was in flight when a worker died

my %times;

for my $m ($ma, $mb) {
    for my $r ($m->requests()) {
        push @{$times{$_->{id}}}, $r->time() for @{$r->json()->{events}};
    }
}

my @unlabelled;

for my $id (grep { @{$times{$_}} > 1 } keys %times) {
    my @at = sort { $a <=> $b } @{$times{$id}};

    for my $i (1 .. $#at) {
        push @unlabelled, $id unless grep { $_ > $at[$i - 1] - 0.5
            && $_ < $at[$i] + 0.5 } @kills;
    }
}

is_deeply(\@unlabelled, [], 'rule 21: repeats are of what a kill hit');

# two destinations, one is down

$_->forget() for $ma, $mb;
$mb->refuse();
$mb->drop_idle();

my $r = post($port, '/both', events('two', 3));

is($r->status(), 503, 'rule 18: one destination down');
like($r->header('Retry-After'), qr/^[1-5]$/, 'Retry-After');
is($r->json()->{error}, 'delivery_failed', 'error');
is($r->json()->{destinations}{'/to/b'}{failed}, 3, 'which one');
is($ma->hits('/to/a'), 1, 'the other has them');

$mb->accept();

$r = post($port, '/both', events('two', 3));

is($r->status(), 200, 'up again');
is($r->json()->{forwarded}, 3, 'forwarded');
is($ma->hits('/to/a'), 1, 'nothing twice');
is($mb->hits('/to/b'), 1, 'the missing one has them');

# routes swapped and a third one added

$mb->refuse();
$mb->drop_idle();
is(post($port, '/both', events('three', 2))->status(), 503, 'down again');
$mb->accept();

$t->conf(configuration(1))->reload();

$_->forget() for $ma, $mb;
is(post($port, '/both', events('three', 2))->status(), 200, 'after the reload');
is($ma->hits('/to/a'), 0, 'the first has its mark');
is($ma->hits('/to/c'), 1, 'the new one gets them');
is($mb->hits('/to/b'), 1, 'the missing one gets them');

is(post($port, '/both', events('two', 3))->json()->{forwarded}, 3,
    'rule 4: an old one goes to the new destination');
is_deeply([ map { $_->[0]->hits($_->[1]) }
    [ $ma, '/to/a' ], [ $mb, '/to/b' ], [ $ma, '/to/c' ] ], [ 0, 1, 2 ],
    'and only there');

# each three times

$_->forget() for $ma, $mb;
my $three = events('thrice', 4);
$three =~ s/\[(.*)\]/[$1,$1,$1]/;
$r = post($port, '/v1/events', $three);
is($r->json()->{forwarded}, 4, 'each three times: forwarded');
is($r->json()->{duplicates}, 8, 'each three times: duplicates');
is(scalar($ma->ids()), 4, 'each three times: delivered once');

# later than the sender waits

$_->forget() for $ma, $mb;
$ma->set('/to/a', hang => 1);
my $start = now();
$r = post($port, '/quick', events('late', 2));
is($r->status(), 503, 'slow delivery');
is($r->json()->{error}, 'timeout', 'timeout');
cmp_ok(now() - $start, '<', 2, 'in time');
$ma->wait_held('/to/a', 1);
$ma->release('/to/a');
$ma->clear();
ok(wait_for(sub {
    $r = post($port, '/quick', events('late', 2));
    return $r->status() == 200;
}), 'rule 20: settled later');
is($r->json()->{duplicates}, 2, 'all duplicates');
is($ma->hits('/to/a'), 1, 'one delivery');

# senders that leave

for my $protocol ('HTTP/1.1', 'HTTP/2') {
    $ma->forget();
    $ma->set('/to/a', hang => 1);

    my $body = events("leave-$protocol", 3);
    my $c;

    if ($protocol eq 'HTTP/2') {
        $c = h2_client($t->port(3));
        $c->request(method => 'POST', path => '/v1/events', body => $body);

    } else {
        $c = client($port);
        $c->start(method => 'POST', path => '/v1/events', body => $body);
    }

    ok($ma->wait_hits('/to/a', 1), "$protocol: delivery began");
    $c->abort();
    $ma->release('/to/a');
    $ma->clear();

    ok(wait_for(sub {
        $r = post($port, '/v1/events', $body);
        return $r->status() == 200;
    }), "$protocol: settled");
    is($r->json()->{duplicates}, 3, "$protocol: all duplicates");
    is($ma->hits('/to/a'), 1, "rule 20: $protocol: one delivery");
}

# a destination that takes three times claim_timeout

$ma->forget();
$ma->set('/to/a', delay => 3000);

my $slow = events('slow', 1);
my $tries = 0;

ok(wait_for(sub {
    $tries++;
    $r = post($port, '/quick', $slow);
    return $r->status() == 200;
}, 20), 'slow destination: settled');
cmp_ok($tries, '>', 2, 'the sender tried several times');
is($ma->hits('/to/a'), 1, 'one delivery');
$ma->clear();

# binary upgrade, and the death of everything

$t->upgrade();
is(post($port, '/v1/events', $three)->json()->{duplicates}, 12,
    'binary upgrade: marks are kept');

$t->allow_error('alert', qr/exited on signal 9/, maybe => 1);
$t->kill_all();
$t->run();
is(post($port, '/v1/events', $three)->json()->{duplicates}, 12,
    'rule 24: kill -9 of all: marks are kept');
is(post($port, '/both', events('two', 3))->json()->{duplicates}, 3,
    'of all destinations');

$t->stop();

###############################################################################

# what both destinations have got: id => times

sub counts {
    my %n;
    $n{$_}++ for map { $_->ids() } $ma, $mb;
    return %n;
}

# 8 processes post the same batches, and repeat what is not accepted

sub storm {
    my ($name, $meanwhile) = @_;

    my @pids = fork_each(8, sub {
        my ($n) = @_;
        my %got;

        my @todo = map { ($_ * 7 * $n) % $batches } 0 .. $batches - 1;
        my %todo = map { $_ => 1 } 0 .. $batches - 1;

        while (%todo) {
            for my $i (grep { $todo{$_} } @todo, keys %todo) {
                my $res = eval { post($port, '/v1/events',
                    events("$name$i", 5, $i % 2 ? 'a:1' : 'b:1')) };
                my $status = $res ? $res->status() : undef;

                $got{$status || 'cut'}++;
                $got{all}++;
                delete $todo{$i} if ($status // 0) == 200;
            }
        }

        $t->write_file("storm-$n", JSON::PP::encode_json(\%got));
    });

    die "senders failed\n" if reap_all(\@pids, 120, $meanwhile);

    my %sum;

    for my $n (1 .. 8) {
        open my $f, '<', $t->testdir() . "/storm-$n" or die "storm-$n: $!\n";
        my $got = JSON::PP::decode_json(do { local $/; <$f> });
        $sum{$_} += $got->{$_} for keys %$got;
    }

    return \%sum;
}

###############################################################################
