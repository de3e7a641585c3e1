package Test::EventBridge::Lifecycle;

# Copyright (C) the ngx_http_eventbridge_module authors

# What a lifecycle talks to: a Genesys Cloud (Test::EventBridge::Genesys, all
# of it works here too) with pages of lifecycle events, and an event bus, both
# generic and that of AWS, at every other path.
#
#   my $m = Test::EventBridge::Lifecycle->add($t, 1);   # http, at port(1)
#   $m->client('id', 'secret');
#   $m->events(steps('i1', 1000, qw/ queued ringing /));
#   $m->bus(calls => 0.05, entries => 0.05);
#   ... $m->taken() ...
#
# Events: events(EVENT, ...) adds some, by their timestamps; fill(NAME, N, FROM,
# STEP) adds N interactions NAME0, ... of five events each, FROM and STEP in
# ms: one begins every STEP, and each has an event every 100 STEP.  A cursor
# stands for the event that it follows, as where rows are asked for by a key, so
# that what appears late is on a page that was read already.
#
# The bus: bus(NAME => VALUE, ...)
#   calls, entries   how many of the calls, of the entries, fail (0 to 1)
#   seed             of these
#   code             ErrorCode of entries that fail (InternalFailure)
#   refuse           a regex: entries that match fail with refuse_code
#                    (MalformedDetail)
#   call             a regex: calls that match fail with 400 and refuse_code
#   quick            1: entries are not decoded as a whole
#   keys             { key_id, secret, token, region }: signatures are verified
# problems() are those of calls that no bus would take, in words.
#
# What it has taken survives it: taken() are { conn, id, i, stage, previous,
# current, entry } in order, since the file was removed; entry is the whole one
# unless quick.

###############################################################################

use warnings;
use strict;

use parent qw/ Test::EventBridge::Genesys /;

use Exporter qw/ import /;
use JSON::PP ();
use POSIX qw/ strftime /;

use Test::EventBridge::SigV4 qw/ sigv4_verify /;
use Test::EventBridge::Util qw/ append_file read_file
    wait_for /;

our @EXPORT_OK = qw/ plain steps detail stamp /;

my $json = JSON::PP->new()->utf8()->canonical()->allow_nonref();

my %bus = (calls => 0, entries => 0, seed => 1, code => 'InternalFailure',
    refuse => undef, refuse_code => 'MalformedDetail', call => undef,
    quick => 0, keys => undef);

###############################################################################

# what a test calls

sub add {
    my ($class, $t, $n, %opt) = @_;
    return $t->_mock($class, $n, tls => 0, %opt);
}

sub new {
    my ($class, $port, $dir, %opt) = @_;

    my $self = $class->SUPER::new($port, $dir, %opt);

    $self->{taken_file} = "$dir/taken-$port";

    return $self;
}

sub start {
    my ($self) = @_;

    $self->{lifecycle} = { events => [], made => 0, bus => { %bus },
        problems => [], calls => 0 };

    return $self->SUPER::start();
}

sub events {
    my ($self, @events) = @_;
    $self->_op(events => splice @events, 0, 100) while @events;
    return $self;
}

sub fill {
    my ($self, @args) = @_;
    $self->_op(fill => @args);
    return $self;
}

sub bus {
    my ($self, %opt) = @_;
    $self->_op(bus => %opt);
    return $self;
}

sub problems { return @{shift->_op('problems')} }

sub taken {
    my ($self) = @_;

    open my $fh, '<:raw', $self->{taken_file} or return;
    seek $fh, $self->{taken_at} // 0, 0;

    while (defined(my $line = <$fh>)) {
        last if $line !~ /\n\z/;
        $self->{taken_at} += length $line;
        push @{$self->{taken_list}}, $json->decode($line);
    }

    return @{$self->{taken_list} // []};
}

# how many

sub count {
    my ($self) = @_;

    open my $fh, '<:raw', $self->{taken_file} or return 0;
    seek $fh, $self->{counted_at} // 0, 0;

    while (my $n = read $fh, my $part, 1048576) {
        $self->{counted_at} += $n;
        $self->{counted} += $part =~ tr/\n//;
    }

    return $self->{counted} // 0;
}

# [ conn, id, i, stage ] of each, where there are many

sub brief {
    my ($self) = @_;

    return map { [ /"conn":(\d+).*?"i":"([^"]*)","id":"([^"]*)".*"stage":
        "?(\d+)/x ] } split /\n/, read_file($self->{taken_file}) // '';
}

sub wait_taken {
    my ($self, $n, $sec) = @_;
    return wait_for(sub { $self->count() >= $n }, $sec);
}

# the states of an interaction, in the order the bus has heard of them

sub heard {
    my ($self, $i) = @_;
    return join ' ', map { $_->{current} } grep { $_->{i} eq $i }
        $self->taken();
}

# cursors of the pages that were asked for; undef is the first one

sub cursors {
    my ($self) = @_;

    return map { $_->uri() =~ /[?&]cursor=([^&]*)/ ? $1 : undef }
        $self->calls(GET => qr{^/api/v2/events});
}

###############################################################################

# Events.

sub stamp {
    my ($ms) = @_;
    return strftime('%Y-%m-%dT%H:%M:%S', gmtime $ms / 1000)
        . sprintf '.%03dZ', $ms % 1000;
}

# of contracts.md 1.6

sub plain {
    my ($i, $previous, $current, $ms, %more) = @_;

    my %event = (id => "e-$i-$current-$ms", interactionId => $i,
        previousState => $previous, currentState => $current,
        timestamp => stamp($ms), %more);

    delete @event{grep { !defined $event{$_} && $_ ne 'previousState' }
        keys %event};

    return { source => 's', type => 't', %event };
}

# one after the other, a second between them

sub steps {
    my ($i, $ms, @states) = @_;
    my ($previous, @events);

    for my $state (@states) {
        push @events, plain($i, $previous, $state, $ms);
        $previous = $state;
        $ms += 1000;
    }

    return @events;
}

# an envelope around a detail event: of a conversation, or of an agent

my $envelopes = 0;

sub detail {
    my ($conversation, $what, $ms, %body) = @_;

    my $topic = 'v2.detail.events.conversation.%s.' . $what;
    $topic = 'v2.detail.events.agent.%s.state' if $what eq 'agent';
    $topic = $what if $what =~ /^v2/;

    return {
        version => '0', id => sprintf('env-%06d', ++$envelopes),
        'detail-type' => $topic =~ s/%s/{id}/r,
        source => 'aws.partner/genesys.com/cloud/o/bus',
        account => '123456789012', time => stamp($ms),
        region => 'us-east-1', resources => [], detail => {
            topicName => $topic =~ s/%s/$conversation/r, version => '2',
            eventBody => { eventTime => $ms, conversationId => $conversation,
                %body },
            metadata => { CorrelationId => "c-$envelopes" },
            timestamp => stamp($ms) }
    };
}

###############################################################################

# Below is the child.

sub _default {
    my ($self, $req) = @_;

    return $self->SUPER::_default($req)
        if $req->{path} eq '/oauth/token' || $req->{path} =~ m{^/api/};

    return $self->_bus($req);
}

sub _route {
    my ($self, $req, $path) = @_;

    return $self->_events($req) if $path eq 'events';
    return $self->SUPER::_route($req, $path);
}

# events are [ key, text ], by key

sub _events {
    my ($self, $req) = @_;

    my $events = $self->{lifecycle}{events};
    my $size = $req->{args}{pageSize} // 100;
    my $cursor = $req->{args}{cursor};
    my ($from, $to) = (0, scalar @$events);

    if (defined $cursor) {
        return $self->_error(400, message => 'The cursor is not valid.')
            if $cursor !~ /^after:([\d.]+)\z/;

        my $key = $1;

        while ($from < $to) {
            my $middle = int(($from + $to) / 2);

            if ($events->[$middle][0] <= $key) {
                $from = $middle + 1;

            } else {
                $to = $middle;
            }
        }
    }

    my $end = $from + $size;
    my $more = $end < @$events;
    $end = @$events if !$more;

    my $next = $more ? "\"after:$events->[$end - 1][0]\"" : 'null';

    return $self->_reply(200, '{"events":['
        . join(',', map { $_->[1] } @$events[$from .. $end - 1])
        . "],\"nextPage\":$next}");
}

sub _do_events {
    my ($self, $g, @new) = @_;

    my $l = $self->{lifecycle};

    for my $event (@new) {
        my $text = ref $event ? $json->encode($event) : $event;
        my ($h, $m, $s, $ms) = $text
            =~ /"timestamp":"[^"]*T(\d\d):(\d\d):(\d\d)\.(\d{3})/;

        # one day is enough for a test; then the order of their arrival
        my $key = defined $h ? (($h * 60 + $m) * 60 + $s) * 1000 + $ms
            : 86_400_000;

        push @{$l->{events}}, [ sprintf('%d.%07d', $key, ++$l->{made}),
            $text ];
    }

    @{$l->{events}} = sort { $a->[0] <=> $b->[0] } @{$l->{events}};

    return;
}

sub _do_fill {
    my ($self, $g, $name, $n, $from, $step) = @_;

    my $l = $self->{lifecycle};
    my @states = ('null', map { "\"$_\"" }
        qw/ queued ringing connected wrapping closed /);

    for my $i (0 .. $n - 1) {
        for my $s (1 .. 5) {
            my $ms = $from + $i * $step + ($s - 1) * 100 * $step;

            push @{$l->{events}}, [ sprintf('%d.%07d', $ms, ++$l->{made}),
                "{\"id\":\"$name-$i-$s\",\"interactionId\":\"$name$i\","
                . "\"previousState\":$states[$s - 1],"
                . "\"currentState\":$states[$s],\"timestamp\":\""
                . stamp($ms) . '"}' ];
        }
    }

    @{$l->{events}} = sort { $a->[0] <=> $b->[0] } @{$l->{events}};

    return;
}

sub _do_bus {
    my ($self, $g, %opt) = @_;

    Test::EventBridge::Genesys::_names('the bus', \%opt, keys %bus);

    my $b = $self->{lifecycle}{bus};
    @$b{keys %opt} = values %opt;
    srand $b->{seed} if exists $opt{seed};
    return;
}

sub _do_problems { return $_[0]{lifecycle}{problems} }

###############################################################################

# A call of the bus.

sub _bus {
    my ($self, $req) = @_;

    my $l = $self->{lifecycle};
    my $b = $l->{bus};
    my $aws = $req->{head} =~ /^X-Amz-Target:\s*AWSEvents\.PutEvents\r?$/mi;
    my (@entries, @results, $failed, $out);

    return { status => 503, body => 'not now' } if rand() < $b->{calls};

    if ($aws && $b->{keys}) {
        my @headers = map { split /:\s*/, $_, 2 }
            grep { /:/ } split /\r\n/, $req->{head};
        my ($host) = $req->{head} =~ /^Host:\s*(\S+)/mi;

        my $wrong = sigv4_verify(%{$b->{keys}}, headers => \@headers,
            method => $req->{method}, path => $req->{path}, host => $host,
            body => ${$req->{body}});

        $wrong = 'the token' if $wrong eq '' && defined $b->{keys}{token}
            && $req->{head}
            !~ /^X-Amz-Security-Token:\s*\Q$b->{keys}{token}\E\r?$/mi;

        if ($wrong ne '') {
            push @{$l->{problems}}, "call $req->{n}: $wrong";
            return _aws(400, 'com.amazon.coral.service#'
                . 'InvalidSignatureException');
        }
    }

    return $aws ? _aws(400, $b->{refuse_code}) : { status => 400,
        body => "{\"code\":\"$b->{refuse_code}\"}" }
        if defined $b->{call} && ${$req->{body}} =~ /$b->{call}/;

    @entries = $self->_entries($req, $aws, $b->{quick})
        or return { status => 400, body => '{"code":"ValidationException"}' };

    $failed = 0;
    $out = '';

    for my $e (@entries) {
        my $code = defined $b->{refuse} && $e->{text} =~ /$b->{refuse}/
            ? $b->{refuse_code} : rand() < $b->{entries} ? $b->{code} : undef;

        if (defined $code) {
            $failed++;
            push @results, $aws ? { ErrorCode => $code,
                ErrorMessage => 'said so' } : { errorCode => $code };
            next;
        }

        push @results, $aws ? { EventId => "ev-$l->{calls}-$failed" }
            : { id => $e->{id} };

        delete $e->{text};
        $out .= $json->encode({ %$e, conn => $req->{conn},
            call => $req->{n} }) . "\n";
    }

    $l->{calls}++;

    # first this, then the answer: it is what a bus does

    append_file($self->{taken_file}, $out)
        if $out ne '';

    return { status => 200, headers => [ 'Content-Type' =>
        $aws ? 'application/x-amz-json-1.1' : 'application/json' ],
        body => $json->encode($aws ? { FailedEntryCount => $failed,
            Entries => \@results } : { failedEntryCount => $failed,
            entries => \@results }) };
}

sub _aws {
    my ($status, $code) = @_;

    return { status => $status, headers => [ 'Content-Type' =>
        'application/x-amz-json-1.1' ], body => $json->encode({
        __type => $code, message => 'said so' }) };
}

# of a call, or none, and a problem is noted

sub _entries {
    my ($self, $req, $aws, $quick) = @_;
    my (@entries, @wrong, $doc, $list);

    if ($quick) {
        while (${$req->{body}} =~ /\{"id":"([0-9a-f]{32})",.*?
            "interactionId":"([^"]*)","previousState":(?:"([^"]*)"|null),
            "currentState":"([^"]*)".*?"lifecycleStage":(\d+)/xg)
        {
            push @entries, { id => $1, i => $2, previous => $3,
                current => $4, stage => $5, text => '' };
        }

        return @entries;
    }

    $doc = eval { $json->decode(${$req->{body}}) };
    $list = ref $doc eq 'HASH' ? $doc->{$aws ? 'Entries' : 'entries'} : undef;

    push @wrong, 'not entries' if ref $list ne 'ARRAY' || keys %$doc != 1;
    push @wrong, 'method' if $req->{method} ne 'POST';

    if (!@wrong) {
        push @wrong, 'too many entries' if @$list > ($aws ? 10 : 100);
        push @wrong, 'no entries' if !@$list;
    }

    for my $e (@wrong ? () : @$list) {
        # a text of characters already
        my $detail = $aws ? eval { JSON::PP->new()->decode($e->{Detail}) }
            : $e->{detail};

        if (ref $detail ne 'HASH' || ($aws
            ? $json->encode($e) !~ /"Time":\d+(?:\.\d+)?[,}]/ || exists $e->{Id}
            || grep { ref } values %$e
            : ($e->{id} // '') ne ($detail->{transitionId} // '-')))
        {
            push @wrong, 'an entry: ' . $json->encode($e);
            last;
        }

        push @entries, { id => $detail->{transitionId},
            i => $detail->{interactionId}, entry => $e,
            previous => $detail->{previousState}, detail => $detail,
            current => $detail->{currentState},
            stage => $detail->{lifecycleStage},
            text => $json->encode($detail) };
    }

    push @{$self->{lifecycle}{problems}}, map { "call $req->{n}: $_" } @wrong;

    return @wrong ? () : @entries;
}

###############################################################################

1;
