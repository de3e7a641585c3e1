package Test::EventBridge::SigV4;

# Copyright (C) the ngx_http_eventbridge_module authors

# AWS Signature Version 4, written from its documentation and from nothing of
# the module's, so that each tells of errors in the other.

###############################################################################

use warnings;
use strict;

use Digest::SHA qw/ hmac_sha256 hmac_sha256_hex sha256_hex /;
use Exporter qw/ import /;
use POSIX qw/ strftime /;

our @EXPORT_OK = qw/ sigv4 sigv4_canonical sigv4_signature sigv4_verify /;

###############################################################################

# Headers of a signed request, [ name => value, ... ].  Options:
#
#   method, path, query, body    path and query as in the first line
#   host                         value of Host
#   headers                      [ name => value, ... ]: all of them are signed
#   key_id, secret, token
#   region, service              us-east-1, events
#   time                         now
#   unsigned                     headers that are sent and not signed
#   hash                         in place of the body's, in what is signed

sub sigv4 {
    my (%opt) = @_;

    my $stamp = strftime('%Y%m%dT%H%M%SZ', gmtime($opt{time} // time));
    my $date = substr $stamp, 0, 8;

    my @headers = (@{$opt{headers} // []}, Host => $opt{host} // 'localhost',
        'X-Amz-Date' => $stamp,
        defined $opt{token} ? ('X-Amz-Security-Token' => $opt{token}) : ());

    my $scope = join '/', $date, $opt{region} // 'us-east-1',
        $opt{service} // 'events', 'aws4_request';
    my ($canonical, $names) = sigv4_canonical(%opt, headers => \@headers);

    return [ @headers, @{$opt{unsigned} // []},
        Authorization => "AWS4-HMAC-SHA256 Credential=$opt{key_id}/$scope, "
            . "SignedHeaders=$names, Signature="
            . sigv4_signature($opt{secret}, $stamp, $scope, $canonical) ];
}

# The canonical request, and the list of its headers; names: only of these.

sub sigv4_canonical {
    my (%opt) = @_;
    my (%values, @path, @args);

    my @headers = @{$opt{headers}};

    while (my ($name, $value) = splice @headers, 0, 2) {
        push @{$values{lc $name}}, join ' ', split ' ', $value;
    }

    my @names = sort $opt{names} ? @{$opt{names}} : keys %values;

    for my $segment (split m,/,, $opt{path} // '/') {
        if ($segment eq '..') {
            pop @path;

        } elsif ($segment ne '' && $segment ne '.') {
            push @path, $segment;
        }
    }

    my $path = join '', map { '/' . escape($_) } @path;
    $path .= '/' if !@path || $opt{path} =~ m,/$,;

    for my $arg (grep { length } split /&/, $opt{query} // '') {
        my ($name, $value) = split /=/, $arg, 2;
        push @args, [ map { s/%([0-9a-fA-F]{2})/chr hex $1/ger } $name,
            $value // '' ];
    }

    @args = sort { $a->[0] cmp $b->[0] || $a->[1] cmp $b->[1] } @args;

    return (join("\n", $opt{method} // 'POST', $path,
        join('&', map { escape($_->[0]) . '=' . escape($_->[1]) } @args),
        (map { "$_:" . join ',', @{$values{$_} // []} } @names), '',
        join(';', @names), $opt{hash} // sha256_hex($opt{body} // '')),
        join ';', @names);
}

sub sigv4_signature {
    my ($secret, $stamp, $scope, $canonical) = @_;

    my $key = "AWS4$secret";
    $key = hmac_sha256($_, $key) for split m,/,, $scope;

    return hmac_sha256_hex(join("\n", 'AWS4-HMAC-SHA256', $stamp, $scope,
        sha256_hex($canonical)), $key);
}

# Empty, or what is wrong with a request that somebody else has signed: for
# mocks of AWS.  Options as above, headers being all that came.

sub sigv4_verify {
    my (%opt) = @_;
    my (%value, @headers);

    @headers = @{$opt{headers}};

    while (my ($name, $value) = splice @headers, 0, 2) {
        $value{lc $name} = $value;
    }

    my ($id, $scope, $names, $signature) = ($value{authorization} // '')
        =~ m!^AWS4-HMAC-SHA256\ Credential=([^/,]+)/([^,]+),\ ?
            SignedHeaders=([^,]+),\ ?Signature=([0-9a-f]{64})$!x
        or return 'no signature';

    my $stamp = $value{'x-amz-date'} // '';
    my ($date, $region, $service, $end) = split m,/,, $scope;

    return "key id $id" if $id ne $opt{key_id};
    return "region $region" if $region ne ($opt{region} // 'us-east-1');
    return "service $service" if $service ne ($opt{service} // 'events');
    return "scope $scope" if ($end // '') ne 'aws4_request';
    return "date $stamp" if $stamp !~ /^${date}T\d{6}Z$/;

    for my $name (grep { /^(?:host|x-amz-.*)$/ } sort keys %value) {
        return "$name is not signed" if ";$names;" !~ /;\Q$name\E;/;
    }

    my ($canonical, $list) = sigv4_canonical(%opt,
        names => [ split /;/, $names ]);

    return "list $names" if $list ne $names;
    return 'signature' if $signature
        ne sigv4_signature($opt{secret}, $stamp, $scope, $canonical);
    return '';
}

sub escape {
    my ($text) = @_;
    return $text =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ger;
}

###############################################################################

1;
