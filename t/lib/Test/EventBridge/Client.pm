package Test::EventBridge::Client;

# Copyright (C) the ngx_http_eventbridge_module authors

# An HTTP/1.1 client on one connection.  Nothing dies: a response that did
# not come has status 0 and says why in error().
#
# Options of request(), start() and post():
#   method, path, body   POST when there is a body, else GET
#   headers              { name => value } or [ name => value, ... ]; a value
#                        of undef removes a default header
#   pieces               [ string | code, ... ]: the body, sent piece by piece;
#                        code is called between, and may wait on a condition
#   chunks               the same, but each string is one chunk of a chunked
#                        body
#   length               Content-Length, when it is to be another
#   gzip                 1: the body is compressed, Content-Encoding is set
#   expect               1: the body waits for "100 Continue"
#   close                1: Connection: close (post() and get() on a port)
#   timeout              seconds for the response, default 10

###############################################################################

use warnings;
use strict;

use Errno qw/ EAGAIN EINTR EWOULDBLOCK /;
use Exporter qw/ import /;
use IO::Socket::INET;
use Socket qw/ IPPROTO_TCP TCP_NODELAY SOL_SOCKET SO_LINGER SO_RCVBUF /;

use Test::EventBridge::Util qw/ now scaled wait_for /;

our @EXPORT_OK = qw/ post get raw client connection_of /;

###############################################################################

sub client {
    my ($port, %opt) = @_;
    return __PACKAGE__->new($port, %opt);
}

# A connection of one of these workers, where X-Pid of /health says whose it
# is.  To find one several come at once, for the first that sleeps takes one
# only.

sub connection_of {
    my ($port, @pids) = @_;

    my %pids = map { $_ => 1 } @pids;
    my $found;

    wait_for(sub {
        my @c = map { client($port) } 1 .. 16;
        $_->start(path => '/health') for @c;

        for my $c (@c) {
            my $pid = $c->response()->header('X-Pid') // 0;
            $found //= $c if $pids{$pid};
        }

        return $found;
    });

    return $found;
}

# on a port: one connection for one request; on a client: kept alive

sub _ask {
    my ($where, %opt) = @_;

    return $where->request(%opt) if ref $where;

    my $c = __PACKAGE__->new($where);
    my $r = $c->request(close => 1, %opt);

    $c->close();

    return $r;
}

sub post {
    my ($where, $path, $body, %opt) = @_;
    return _ask($where, method => 'POST', path => $path, body => $body, %opt);
}

sub get {
    my ($where, $path, %opt) = @_;
    return _ask($where, method => 'GET', path => $path, %opt);
}

# bytes as they are; the first response

sub raw {
    my ($where, $bytes, %opt) = @_;
    my ($c, $r);

    $c = ref $where ? $where : __PACKAGE__->new($where);

    $c->put($bytes);
    $r = $c->response($opt{timeout});

    $c->close() if !ref $where;

    return $r;
}

###############################################################################

sub new {
    my ($class, $port, %opt) = @_;

    local $SIG{PIPE} = 'IGNORE';

    my $s = IO::Socket::INET->new(
        Proto => 'tcp',
        PeerAddr => $opt{host} // '127.0.0.1',
        PeerPort => $port,
        Timeout => scaled(10)
    );

    my $self = bless { s => $s, in => '', out => '', heads => [] }, $class;

    if (!$s) {
        $self->{error} = "connect: $!";
        $self->{eof} = 1;
        return $self;
    }

    $s->blocking(0);
    $s->setsockopt(IPPROTO_TCP, TCP_NODELAY, 1);
    $s->setsockopt(SOL_SOCKET, SO_RCVBUF, $opt{rcvbuf}) if $opt{rcvbuf};
    binmode $s;

    return $self;
}

# the whole text of a request (pieces joined); for pipeline() and raw()

sub build {
    my (%opt) = @_;
    my ($head, $body) = _head(%opt);

    return $head . join('', grep { !ref } @$body);
}

sub _head {
    my (%opt) = @_;
    my (@body, @headers, %given, $length);

    if (defined $opt{chunks}) {
        @body = map { ref ? $_ : sprintf("%x\r\n%s\r\n", length, $_) }
            grep { ref || length } @{$opt{chunks}};
        push @body, "0\r\n\r\n";

    } elsif (defined $opt{pieces}) {
        @body = @{$opt{pieces}};

    } elsif (defined $opt{body}) {
        @body = ($opt{body});

        if ($opt{gzip}) {
            require IO::Compress::Gzip;
            IO::Compress::Gzip::gzip(\$opt{body}, \$body[0]) or die "gzip\n";
        }
    }

    for my $piece (@body) {
        next if ref $piece || !utf8::is_utf8($piece);
        utf8::encode($piece);
    }

    if (@body && !defined $opt{chunks}) {
        $length = 0;
        $length += length for grep { !ref } @body;
    }

    $length = $opt{length} if defined $opt{length};

    @headers = ref $opt{headers} eq 'HASH'
        ? map { $_ => $opt{headers}{$_} } sort keys %{$opt{headers}}
        : @{$opt{headers} // []};

    for (my $i = 0; $i < @headers; $i += 2) {
        $given{lc $headers[$i]} = 1;
    }

    my @default = (Host => 'localhost');
    push @default, 'Content-Type' => 'application/json' if @body;
    push @default, 'Content-Encoding' => 'gzip' if $opt{gzip};
    push @default, 'Content-Length' => $length if defined $length;
    push @default, 'Transfer-Encoding' => 'chunked' if defined $opt{chunks};
    push @default, 'Expect' => '100-continue' if $opt{expect};
    push @default, 'Connection' => 'close' if $opt{close};

    while (my ($name, $value) = splice @default, 0, 2) {
        unshift @headers, $name => $value if !$given{lc $name};
    }

    my $method = $opt{method} // (@body ? 'POST' : 'GET');
    my $head = "$method $opt{path} HTTP/1.1\r\n";

    while (my ($name, $value) = splice @headers, 0, 2) {
        $head .= "$name: $value\r\n" if defined $value;
    }

    return ("$head\r\n", \@body);
}

# Sends a request, all of it unless the peer answers or goes first.

sub start {
    my ($self, %opt) = @_;
    my ($head, $body) = _head(%opt);

    push @{$self->{heads}}, ($opt{method} // '') eq 'HEAD' ? 1 : 0;

    if ($opt{expect}) {
        $self->put($head);

        my $until = now() + scaled($opt{timeout} // 10);

        while ($self->{in} !~ /^HTTP\/1\.1 \d{3}/) {
            last if !$self->_pump($until);
        }

        # a final answer instead: the body stays here
        return $self if $self->{in} !~ /^HTTP\/1\.1 100/;

    } elsif (@$body && !ref $body->[0]) {
        $head .= shift @$body;
        $self->put($head);

    } else {
        $self->put($head);
    }

    for my $piece (@$body) {
        if (ref $piece) {
            $piece->($self);

        } else {
            $self->put($piece);
        }
    }

    return $self;
}

sub request {
    my ($self, %opt) = @_;

    $self->start(%opt);

    return $self->response($opt{timeout});
}

# many requests in flight at once on this connection, as build() made them

sub pipeline {
    my ($self, $requests, $timeout) = @_;

    $self->{out} .= join '', @$requests;

    return map { $self->response($timeout) } @$requests;
}

# queues bytes, and sends until they are all out or the peer has answered

sub put {
    my ($self, $bytes, $timeout) = @_;
    my $until = now() + scaled($timeout // 10);

    $self->{out} .= $bytes;

    while (length $self->{out}) {
        last if !$self->_pump($until);
        last if $self->{in} =~ /^HTTP\/1\.1 [2-5]\d\d/;
    }

    return $self;
}

# true once at least one byte of a response, or the end, is there

sub answered {
    my ($self) = @_;

    $self->_pump();

    return length $self->{in} || $self->{eof};
}

sub eof {
    my ($self) = @_;

    $self->_pump();

    return $self->{eof};
}

# the next response; 1xx are collected in informational()

sub response {
    my ($self, $timeout) = @_;
    my (@info, $r);
    my $until = now() + scaled($timeout // 10);
    my $head_only = shift @{$self->{heads}};

    while (1) {
        $r = $self->_parse($head_only);

        if ($r) {
            if ($r->{status} >= 100 && $r->{status} < 200) {
                push @info, $r->{status};
                next;
            }

            last;
        }

        if (!$self->_pump($until)) {
            my $error = $self->{error} // ($self->{eof} ? 'eof' : 'timeout');

            $r = Test::EventBridge::Response->new(status => 0,
                error => $error, body => $self->{in});
            last;
        }
    }

    $r->{informational} = \@info;

    return $r;
}

sub _parse {
    my ($self, $head_only) = @_;
    my (%headers, @lines, $body);

    my $end = index($self->{in}, "\r\n\r\n");
    return if $end < 0;

    my $text = substr($self->{in}, 0, $end);

    my ($line, @rest) = split /\r\n/, $text;
    my ($status) = $line =~ m{^HTTP/1\.[01] (\d{3})};

    if (!defined $status) {
        $self->{error} = 'garbage';
        $self->{eof} = 1;
        return;
    }

    for my $h (@rest) {
        my ($name, $value) = split /:\s*/, $h, 2;
        push @{$headers{lc $name}}, $value;
    }

    $end += 4;

    if ($head_only || $status < 200 || $status == 204 || $status == 304) {
        $body = '';

    } elsif (($headers{'transfer-encoding'}[0] // '') eq 'chunked') {
        my $pos = $end;
        $body = '';

        while (1) {
            pos($self->{in}) = $pos;
            return $self->_cut(\%headers, $status, $body)
                if $self->{in} !~ /\G([0-9a-fA-F]+)[^\r\n]*\r\n/g;

            my ($len, $at) = (hex $1, pos $self->{in});

            return $self->_cut(\%headers, $status, $body)
                if length($self->{in}) < $at + $len + 2;

            $body .= substr($self->{in}, $at, $len);
            $pos = $at + $len + 2;

            last if $len == 0;
        }

        $end = $pos;

    } elsif (defined(my $len = $headers{'content-length'}[0])) {
        return $self->_cut(\%headers, $status, substr($self->{in}, $end))
            if length($self->{in}) < $end + $len;

        $body = substr($self->{in}, $end, $len);
        $end += $len;

    } else {
        return if !$self->{eof};

        $body = substr($self->{in}, $end);
        $end = length $self->{in};
    }

    substr($self->{in}, 0, $end, '');

    return Test::EventBridge::Response->new(status => $status,
        headers => \%headers, body => $body, head => $text);
}

# a response that ends too early is one with an error, once the end is there

sub _cut {
    my ($self, $headers, $status, $body) = @_;

    return if !$self->{eof};

    $self->{in} = '';

    return Test::EventBridge::Response->new(status => $status,
        headers => $headers, body => $body, error => 'truncated');
}

# One round of reading and writing, without a deadline of what is ready; false
# at the deadline or the end.

sub _pump {
    my ($self, $until) = @_;
    my ($r, $w, $left, $n, $fd);

    my $want = length $self->{out};

    return 0 if !$self->{s} || ($self->{eof} && !$want);

    $left = 0;

    if (defined $until) {
        $left = $until - now();
        return 0 if $left <= 0;
    }

    $fd = fileno $self->{s};
    ($r, $w) = ('', '');
    vec($r, $fd, 1) = 1 if !$self->{eof};
    vec($w, $fd, 1) = 1 if $want;

    $n = select($r, $w, undef, $left);

    return $!{EINTR} ? 1 : 0 if $n < 0;
    return 0 if $n == 0;

    if (vec($r, $fd, 1)) {
        $n = sysread($self->{s}, $self->{in}, 262144, length $self->{in});

        if (!defined $n) {
            if ($! != EAGAIN && $! != EWOULDBLOCK && $! != EINTR) {
                $self->{error} = $!{ECONNRESET} ? 'reset' : "read: $!";
                $self->{eof} = 1;
                $self->{out} = '';
            }

        } elsif ($n == 0) {
            $self->{eof} = 1;
        }
    }

    if (vec($w, $fd, 1) && length $self->{out}) {
        local $SIG{PIPE} = 'IGNORE';

        $n = syswrite($self->{s}, $self->{out}, 1048576);

        if (defined $n) {
            substr($self->{out}, 0, $n, '');

        } elsif ($! != EAGAIN && $! != EWOULDBLOCK && $! != EINTR) {
            # what the peer said before it left is still to be read
            $self->{out} = '';
        }
    }

    return 1;
}

sub port {
    my ($self) = @_;
    return $self->{s}->sockport();
}

# sends FIN, and goes on reading

sub shutdown {
    my ($self) = @_;
    CORE::shutdown($self->{s}, 1) if $self->{s};
}

sub close {
    my ($self) = @_;
    CORE::close($self->{s}) if $self->{s};
    delete $self->{s};
    $self->{eof} = 1;
}

# the peer gets a RST

sub abort {
    my ($self) = @_;

    return if !$self->{s};

    setsockopt($self->{s}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0))
        or die "SO_LINGER: $!\n";
    $self->close();
}

###############################################################################

package Test::EventBridge::Response;

use JSON::PP ();

sub new {
    my ($class, %self) = @_;
    return bless { headers => {}, body => '', %self }, $class;
}

sub status { return $_[0]{status} }
sub body { return $_[0]{body} }
sub error { return $_[0]{error} // '' }
sub informational { return $_[0]{informational} // [] }

# the value of a header, or all of them; undef when there is none

sub header {
    my ($self, $name) = @_;
    my $values = $self->{headers}{lc $name} // [];

    return wantarray ? @$values : $values->[0];
}

# the decoded body, or undef

my $json = JSON::PP->new()->utf8()->allow_nonref();

# a problem document (RFC 9457) that says the same status

sub is_problem {
    my ($self) = @_;
    my $doc = eval { $self->json() };

    return ($self->header('Content-Type') // '') eq 'application/problem+json'
        && ref $doc eq 'HASH' && ($doc->{status} // 0) == $self->status();
}

sub json {
    my ($self) = @_;
    return eval { $json->decode($self->{body}) };
}

# one line for the name of a test or a diagnostic

sub text {
    my ($self) = @_;

    return $self->{status} . ($self->{error} ? " ($self->{error})" : '')
        . ' ' . substr($self->{body}, 0, 300);
}

###############################################################################

1;
