#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# What bench/patterns.c measures with, the same each time:
#
#     bench/patterns.pl DIR [EVENTS]
#
# DIR/events.jsonl has EVENTS (200,000) events of about 900 bytes, 100 in an
# array on each line; DIR/CLASS.jsonl has 1,000 patterns of a class, one a
# line.  Half of the events match one of the first 5 patterns, 9 of 10 in
# class anything-but, and none matches any of the others: what these cost is
# what is measured.

###############################################################################

use warnings;
use strict;

###############################################################################

use constant RULES => 1000;
use constant BATCH => 100;

# values that occur: the first 5 of them are asked for by 5 rules
use constant VALUES => 10;

my ($dir, $events) = @ARGV;

die "usage: $0 DIR [EVENTS]\n" if !defined $dir;

$events //= 200_000;

# a generator of its own: that of Perl differs from one build to the next

my $seed = 20_240_229;

my %classes = (
    'exact' => sub {
        return sprintf '{"detail":{"order":["order-%06d"]}}', $_[0];
    },

    'prefix' => sub {
        return sprintf '{"detail":{"path":[{"prefix":"/srv/shop-%06d/"}]}}',
            $_[0];
    },

    'suffix' => sub {
        return sprintf '{"detail":{"host":[{"suffix":"-%06d.example.com"}]}}',
            $_[0];
    },

    'equals-ignore-case' => sub {
        return sprintf '{"detail":{"customer":[{"equals-ignore-case":'
            . '"CUSTOMER-%06d"}]}}', $_[0];
    },

    'wildcard' => sub {
        my @forms = ('/srv/*-%06d/*.json', '*-%06d/*', '*p-%06d*n');
        return sprintf "{\"detail\":{\"path\":[{\"wildcard\":\"$forms[
            $_[0] % 3]\"}]}}", $_[0];
    },

    # the first leave one value out, the others all that occur

    'anything-but' => sub {
        my @out = $_[0] < VALUES ? $_[0] : (0 .. VALUES - 1, $_[0]);
        return '{"detail":{"state":[{"anything-but":['
            . join(',', map { sprintf '"state-%06d"', $_ } @out) . ']}]}}';
    },

    'numeric' => sub {
        return sprintf '{"detail":{"amount":[{"numeric":[">=",%d,"<",%d]}]}}',
            $_[0], $_[0] + 1;
    },

    'complex-arrays' => sub {
        return sprintf '{"detail":{"items":{"sku":["sku-%06d"],"quantity":'
            . '[{"numeric":[">",0]}],"tags":[{"prefix":"tag-%06d"}]}}}',
            $_[0], $_[0];
    },
);

for my $class (sort keys %classes) {
    open my $fh, '>', "$dir/$class.jsonl" or die "$dir/$class.jsonl: $!\n";

    for my $i (0 .. RULES - 1) {
        my $n = $i < 5 ? $i : VALUES + $i;
        print {$fh} $classes{$class}->($n), "\n";
    }

    close $fh or die "$dir/$class.jsonl: $!\n";
}

open my $fh, '>', "$dir/events.jsonl" or die "$dir/events.jsonl: $!\n";

for (my $n = 0; $n < $events; $n += BATCH) {
    my $last = $n + BATCH < $events ? $n + BATCH : $events;
    print {$fh} '[', join(',', map { event($_) } $n .. $last - 1), "]\n";
}

close $fh or die "$dir/events.jsonl: $!\n";

###############################################################################

sub rnd {
    my ($n) = @_;

    $seed = ($seed * 1_103_515_245 + 12_345) & 0x7fffffff;

    return ($seed >> 12) % $n;
}

sub event {
    my ($n) = @_;
    my $v = rnd(VALUES);
    my @items;

    # one of three items is the one that is looked for

    for my $i (0 .. 2) {
        my $sku = $i == 1 ? $v : 2 * RULES + rnd(RULES);
        push @items, sprintf '{"sku":"sku-%06d","quantity":%d,"tags":'
            . '["tag-%06d","blue"]}', $sku, 1 + rnd(9), $sku;
    }

    return sprintf '{"version":"0","id":"00000000-0000-4000-8000-%012d",'
        . '"detail-type":"Order Placed","source":"com.example.shop",'
        . '"account":"123456789012","time":"2024-02-29T12:%02d:%02dZ",'
        . '"region":"eu-central-1","resources":["arn:aws:shop:eu-central-1:'
        . '123456789012:order/%06d"],"detail":{"order":"order-%06d",'
        . '"path":"/srv/shop-%06d/in/%06d.json","host":"front-%06d.'
        . 'example.com","customer":"Customer-%06d","state":"state-%06d",'
        . '"amount":%d.5,"currency":"EUR","express":%s,"note":null,'
        . '"address":{"street":"Marktplatz %d","city":"Example","zip":"%05d",'
        . '"country":"DE"},"text":"%s",'
        . '"items":[%s]}}',
        $n, rnd(60), rnd(60), rnd(1_000_000), $v, $v, rnd(1_000_000), $v, $v,
        $v, $v, rnd(2) ? 'true' : 'false', 1 + rnd(99), rnd(100_000),
        'as the customer said, ' x 6, join ',', @items;
}

###############################################################################
