package Test::EventBridge::Batches;

# Copyright (C) the ngx_http_eventbridge_module authors

# Batches that a test posts to /v1/events, and posts again: what was delivered
# must be known.

###############################################################################

use warnings;
use strict;

use Exporter qw/ import /;
use Test::More;

use Test::EventBridge::Client qw/ post /;

our @EXPORT_OK = qw/ events /;

###############################################################################

# the body of a batch of n events

sub events {
    my ($name, $n, $source) = @_;

    $source //= 'a:1';

    return '{"events":[' . join(',', map {
        qq!{"id":"$name-$_","source":"$source","data":{"n":$_}}! } 1 .. $n)
        . ']}';
}

sub new {
    my ($class, $port) = @_;
    return bless { port => $port, delivered => {} }, $class;
}

# batches that were delivered: name => number of events

sub add {
    my ($self, %batches) = @_;
    $self->{delivered}{$_} = $batches{$_} for keys %batches;
}

sub delivered { return %{$_[0]{delivered}} }

# events that nobody has seen

sub fresh {
    my ($self, $name, $n) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $res = post($self->{port}, '/v1/events', events($name, $n));

    is(($res->json() // {})->{forwarded} // $res->text(), $n,
        "$name: delivered");

    $self->add($name => $n);
}

# All that was delivered is posted again.  Quietly: it is not a test, and
# speaks only of what is wrong.

sub known {
    my ($self, $name, $quietly) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my %n = $self->delivered();
    my @bad;

    for my $batch (sort keys %n) {
        my $res = post($self->{port}, '/v1/events',
            events($batch, $n{$batch}));
        push @bad, "$batch: " . $res->text()
            if (($res->json() // {})->{duplicates} // -1) != $n{$batch};
    }

    diag("$name: @bad") if $quietly && @bad;

    is_deeply(\@bad, [], "$name: all are duplicates") if !$quietly;
}

###############################################################################

1;
