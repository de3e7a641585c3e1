package Test::EventBridge::Load;

# Copyright (C) the ngx_http_eventbridge_module authors

# Senders that post batches to /v1/events while a test does something to
# nginx, and what they and the mock then know of it.
#
#   my $load = Test::EventBridge::Load->start($t, 'resize', again => 0.5);
#   $load->progress(3);
#   $load->end()->check($mock);
#
# The source of the events is "slow" or "quick"; all go to /to/a, and the slow
# ones to /to/slow as well.
#
#   senders   how many, default 4
#   slow      one batch in so many is slow, default 3
#   pad       bytes for each event of one batch in five; all bodies then come
#             in two pieces
#   again     the part of the batches that are such as were acknowledged
#   pace      seconds after each answer

###############################################################################

use warnings;
use strict;

use Test::More;

use Test::EventBridge::Client qw/ client /;
use Test::EventBridge::Util qw/ append_file fork_each pause read_file reap_all
    wait_for /;

###############################################################################

sub start {
    my ($class, $t, $name, %opt) = @_;

    my $id = $name =~ s/\W+/-/gr;

    my $self = bless {
        name => $name, id => $id, port => $t->port(0), senders => 4, slow => 3,
        pad => 0, again => 0, pace => 0, %opt
    }, $class;

    $self->{files} = [ map { $t->testdir() . "/sender-$id-$_" }
        1 .. $self->{senders} ];
    $self->{go} = "$self->{files}[0].go";

    append_file($self->{go}, '');
    append_file($_, '') for @{$self->{files}};

    $self->{pids} = [ fork_each($self->{senders}, sub { $self->_send(@_) }) ];

    return $self;
}

sub name { return $_[0]{name} }

# Each keeps one connection as long as it is kept, and writes a line for each
# try.

sub _send {
    my ($self, $n) = @_;

    my ($c, $used, $batch, $try, @known) = (undef, 0, 0, 0);
    my $prefix = "$self->{id}-$n";

    open my $log, '>>:raw', $self->{files}[$n - 1] or die "open: $!\n";
    srand $$;

    while (-e $self->{go}) {
        my $again = @known && rand() < $self->{again}
            ? $known[rand @known] : undef;
        my $id = $again // ++$batch;

        my $source = $id % $self->{slow} ? 'quick' : 'slow';
        my $events = 1 + $id % 4;
        my $pad = $id % 5 ? '' : 'x' x $self->{pad};

        my $body = '{"events":[' . join(',', map { qq!{"id":"$prefix-$id-$_",!
            . qq!"source":"$source","data":{"pad":"$pad"}}! } 1 .. $events)
            . ']}';

        my $half = int(length($body) / 2);
        my @body = $self->{pad} ? (pieces => [ substr($body, 0, $half),
            substr($body, $half) ]) : (body => $body);

        while (1) {
            $try++;

            if (!$c) {
                $c = client($self->{port});
                $used = 0;
            }

            my $r = $c->request(method => 'POST', path => '/v1/events',
                headers => { 'X-Try' => "$prefix-$try" }, @body,
                timeout => 30);

            my $kind = $r->status() == 0 ? 'none'
                : $r->error() ? 'cut' : 'whole';
            my $known = ($r->json() // {})->{duplicates} // -1;

            syswrite $log, "$prefix-$try $kind " . $r->status()
                . " $events $used " . ($r->error() =~ s/\W+/_/gr || '-')
                . ($r->body() eq '' ? ' empty' : ' body') . "\n";

            syswrite $log, "again $prefix-$id: $known of $events\n"
                if defined $again && $r->status() == 200 && $known != $events;

            $used++;

            if ($r->status() == 0 || $r->error()
                || ($r->header('Connection') // '') eq 'close')
            {
                $c->close();
                undef $c;
            }

            pause($self->{pace}) if $self->{pace};
            last if $r->status() == 200;

            # nobody listens: not as fast as can be
            pause(0.005) if $r->status() == 0;

            return if !-e $self->{go};
        }

        next if defined $again;

        push @known, $id if $self->{again};
        syswrite $log, "acknowledged $prefix-$id $events $source\n";
    }
}

###############################################################################

# waits until every sender has had n more answers to new batches

sub progress {
    my ($self, $n) = @_;

    my @before = $self->_acknowledged();

    wait_for(sub {
        my @now = $self->_acknowledged();
        return !grep { $now[$_] < $before[$_] + $n } 0 .. $#now;
    }, 30) or diag('senders make no progress');
}

sub _acknowledged {
    my ($self) = @_;
    return map { my $n = () = read_file($_) =~ /^acknowledged/mg; $n }
        @{$self->{files}};
}

sub _text {
    my ($self) = @_;
    return join '', map { read_file($_) } @{$self->{files}};
}

# what became of each request so far: kind (none: no answer, cut, whole),
# status, number of events, how often the connection was used before, error,
# and whether there was a body

sub tries {
    my ($self) = @_;
    my @tries;

    for my $line (split /\n/, $self->_text()) {
        my %try;

        @try{qw/ id kind status events used error body /} = $line
            =~ /^(\S+) (none|cut|whole) (\d+) (\d+) (\d+) (\S+) (\w+)$/
            or next;

        push @tries, { %try, line => $line };
    }

    return @tries;
}

sub end {
    my ($self) = @_;

    unlink $self->{go};
    $self->{bad} = reap_all($self->{pids}, 40);

    return $self;
}

# Tests that every answer was 200, or another one of more, and that the mock
# has what was acknowledged, once.

sub check {
    my ($self, $m, @more) = @_;
    my (%status, %may, %want, $batches);

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $name = $self->{name};
    my $text = $self->_text();

    is($self->{bad}, 0, "$name: senders ended by themselves");

    is_deeply([ $text =~ /^(again .*)$/mg ], [],
        "$name: what comes again is a duplicate") if $self->{again};

    $status{$_->{status}}++ for $self->tries();

    # a connection that nobody has read is no answer

    $may{$_} = 1 for 0, 200, @more;

    is_deeply([ grep { !$may{$_} } sort keys %status ], [],
        "$name: every answer is @{[ join ' or ', 200, @more ]}");
    cmp_ok($status{200} // 0, '>', 100, "$name: there was load");

    while ($text =~ /^acknowledged (\S+) (\d+) (\S+)$/mg) {
        my ($id, $n, $source) = ($1, $2, $3);
        $want{"$id-$_"} = $source for 1 .. $n;
        $batches++;
    }

    note("$name: $batches batches, statuses ", join ' ',
        map { "$_:$status{$_}" } sort keys %status);

    for my $dest ('/to/a', '/to/slow') {
        my %n;
        $n{$_}++ for $m->ids($dest);

        my @want = grep { $dest eq '/to/a' || $want{$_} eq 'slow' }
            sort keys %want;

        is_deeply([ grep { !$n{$_} } @want ], [],
            "$name: $dest has what was acknowledged");
        is_deeply([ grep { $n{$_} != 1 } sort keys %n ], [],
            "$name: $dest has it once");
    }
}

###############################################################################

1;
