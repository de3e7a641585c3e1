package Test::EventBridge::HTTP2;

# Copyright (C) the ngx_http_eventbridge_module authors

# A small cleartext HTTP/2 client (prior knowledge): several streams, bodies
# in any DATA frames, resets.
#
#   my $h = h2_client($port);
#   my $sid = $h->request(path => '/', body => $body);
#   my $r = $h->response($sid);
#
# Options of request(): method, path, headers [ name => value, ... ], body, or
# frames [ string | code, ... ] for one DATA frame each, open => 1 to leave
# the stream open for data().

###############################################################################

use warnings;
use strict;

use Errno qw/ EAGAIN EINTR EWOULDBLOCK /;
use Exporter qw/ import /;
use IO::Socket::INET;
use Socket qw/ IPPROTO_TCP TCP_NODELAY SOL_SOCKET SO_LINGER /;

use Test::EventBridge::Client;
use Test::EventBridge::Util qw/ now scaled /;

our @EXPORT_OK = qw/ h2_client /;

use constant {
    DATA => 0, HEADERS => 1, RST_STREAM => 3, SETTINGS => 4, PING => 6,
    GOAWAY => 7, WINDOW_UPDATE => 8, CONTINUATION => 9,
    END_STREAM => 1, ACK => 1, END_HEADERS => 4, PADDED => 8, PRIORITY => 32
};

###############################################################################

# RFC 7541, appendix A

my @static = ([ '', '' ], map { [ /^([^=]+)=?(.*)/ ] } qw{
    :authority :method=GET :method=POST :path=/ :path=/index.html
    :scheme=http :scheme=https :status=200 :status=204 :status=206 :status=304
    :status=400 :status=404 :status=500 accept-charset
    accept-encoding accept-language accept-ranges accept
    access-control-allow-origin age allow authorization cache-control
    content-disposition content-encoding content-language content-length
    content-location content-range content-type cookie date etag expect expires
    from host if-match if-modified-since if-none-match if-range
    if-unmodified-since last-modified link location max-forwards
    proxy-authenticate proxy-authorization range referer refresh retry-after
    server set-cookie strict-transport-security transfer-encoding user-agent
    vary via www-authenticate });

# RFC 7541, appendix B: the lengths of the code words of all 257 symbols; the
# code is canonical, so they are enough

my %huffman = do {
    my @lens = map { /^(\d+)x(\d+)$/ ? ($1) x $2 : $_ } qw/
        13 23 28x7 24 30 28x2 30 28x8 30 28x9 6 10x2 12 13 6 8 11 10x2 8 11 8
        6x3 5x3 6x7 7 8 15 6 12 10 13 6 7x22 8 7 8 13 19 13 14 6 15 5 6 5 6 5
        6x3 5 7x2 6x3 5 6 7 6 5x2 6 7x5 15 11 14 13 28 20 22 20x2 22x3 23 22
        23x5 24 23 24x2 22 23 24 23x4 21 22 23 22 23x2 24 22 21 20 22x2 23x2
        21 23 22x2 24 21 22 23x2 21x2 22 21 23 22 23x2 20 22x3 23 22x2 23 26x2
        20 19 22 23 22 25 26x3 27x2 26 24 25 19 21 26 27x2 26 27 24 21x2 26x2
        28 27x3 20 24 20 21 22 21x2 23 22x2 25x2 24x2 26 23 26 27 26x2 27x5 28
        27x5 26 30 /;
    my ($code, $len, %table) = (0, 5);

    for my $sym (sort { $lens[$a] <=> $lens[$b] || $a <=> $b } 0 .. 256) {
        $code <<= $lens[$sym] - $len;
        $len = $lens[$sym];
        $table{sprintf '%0*b', $len, $code++} = $sym;
    }

    %table;
};

sub huffman_decode {
    my ($bytes) = @_;
    my ($out, $word) = ('', '');

    for my $bit (split //, unpack 'B*', $bytes) {
        $word .= $bit;

        if (defined(my $sym = $huffman{$word})) {
            return undef if $sym == 256;
            $out .= chr $sym;
            $word = '';
        }
    }

    # at most seven bits of padding, all of them set
    return $word =~ /^1{0,7}\z/ ? $out : undef;
}

###############################################################################

sub h2_client {
    my ($port, %opt) = @_;
    return __PACKAGE__->new($port, %opt);
}

sub new {
    my ($class, $port, %opt) = @_;

    my $s = IO::Socket::INET->new(Proto => 'tcp', PeerAddr => '127.0.0.1',
        PeerPort => $port, Timeout => scaled(10));

    my $self = bless { s => $s, in => '', out => '', window => 65535,
        initial => 65535, next => 1, streams => {}, table => [],
        table_max => 4096 }, $class;

    if (!$s) {
        $self->{error} = "connect: $!";
        $self->{eof} = 1;
        return $self;
    }

    $s->blocking(0);
    $s->setsockopt(IPPROTO_TCP, TCP_NODELAY, 1);
    binmode $s;

    # the largest windows, so that nothing has to be given back later

    $self->{out} = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    $self->_frame(SETTINGS, 0, 0, pack('nN', 4, 0x7fffffff));
    $self->_frame(WINDOW_UPDATE, 0, 0, pack('N', 0x7fffffff - 65535));

    my $until = now() + scaled(10);
    $self->_pump($until) or last until $self->{settings} || $self->{eof};

    return $self;
}

sub _frame {
    my ($self, $type, $flags, $sid, $payload) = @_;

    $self->{out} .= pack('CnCCN', length($payload) >> 16,
        length($payload) & 0xffff, $type, $flags, $sid) . $payload;
}

sub _string {
    my ($text) = @_;

    my $len = length $text;
    return pack('C', $len) . $text if $len < 127;

    my $out = pack('C', 127);
    $len -= 127;

    while ($len >= 128) {
        $out .= pack('C', $len & 127 | 128);
        $len >>= 7;
    }

    return $out . pack('C', $len) . $text;
}

sub request {
    my ($self, %opt) = @_;
    my ($block, @headers, @frames, $sid);

    @frames = @{$opt{frames} // []};
    @frames = ($opt{body}) if defined $opt{body};

    my $more = @frames || $opt{open};

    @headers = (':method' => $opt{method} // ($more ? 'POST' : 'GET'),
        ':scheme' => 'http', ':path' => $opt{path},
        ':authority' => 'localhost');
    push @headers, 'content-type' => 'application/json'
        if $more && !grep { $_ eq 'content-type' } @{$opt{headers} // []};
    push @headers, @{$opt{headers} // []};

    # literals without indexing and without Huffman

    while (my ($name, $value) = splice @headers, 0, 2) {
        $block .= "\0" . _string($name) . _string($value);
    }

    $sid = $self->{next};
    $self->{next} += 2;
    $self->{streams}{$sid} = { window => $self->{initial}, body => '',
        headers => {} };

    $self->_frame(HEADERS, END_HEADERS | ($more ? 0 : END_STREAM), $sid,
        $block);
    $self->_flush();

    while (@frames) {
        my $frame = shift @frames;

        if (ref $frame) {
            $frame->($self, $sid);
            $self->data($sid, '', 1) if !@frames && !$opt{open};
            next;
        }

        $self->data($sid, $frame, !@frames && !$opt{open});
    }

    return $sid;
}

# One DATA frame, or as many as the windows and the frame size make necessary;
# false when the peer did not let it go out.

sub data {
    my ($self, $sid, $bytes, $end) = @_;
    my $until = now() + scaled(10);
    my $st = $self->{streams}{$sid};

    while (1) {
        my $n = length $bytes;

        for my $max ($self->{window}, $st->{window}, 16384) {
            $n = $max if $n > $max;
        }

        if ($n > 0 || $bytes eq '') {
            my $part = substr($bytes, 0, $n, '');
            my $last = $end && $bytes eq '';

            $self->{window} -= $n;
            $st->{window} -= $n;
            $self->_frame(DATA, $last ? END_STREAM : 0, $sid, $part);
            $self->_flush();

            return 1 if $bytes eq '';
            next;
        }

        return 0 if $st->{done} || !$self->_pump($until);
    }
}

sub reset {
    my ($self, $sid, $code) = @_;

    $self->_frame(RST_STREAM, 0, $sid, pack('N', $code // 8));
    $self->_flush();
}

sub ping {
    my ($self, $timeout) = @_;
    my $until = now() + scaled($timeout // 10);

    $self->{pong} = 0;
    $self->_frame(PING, 0, 0, 'harness!');
    $self->_pump($until) or last until $self->{pong} || $self->{eof};

    return $self->{pong};
}

# waits for the end of a stream

sub response {
    my ($self, $sid, $timeout) = @_;
    my $until = now() + scaled($timeout // 10);
    my $st = $self->{streams}{$sid};

    $self->_pump($until) or last until $st->{done} || $self->{eof};

    my $error = $st->{error}
        // ($st->{done} ? undef : $self->{error}
        // ($self->{eof} ? 'eof' : 'timeout'));

    return Test::EventBridge::Response->new(
        status => $st->{headers}{':status'}[0] // 0,
        headers => $st->{headers}, body => $st->{body}, error => $error);
}

sub close {
    my ($self) = @_;
    CORE::close($self->{s}) if $self->{s};
    delete $self->{s};
    $self->{eof} = 1;
}

sub abort {
    my ($self) = @_;
    setsockopt($self->{s}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0))
        or die "SO_LINGER: $!\n";
    $self->close();
}

###############################################################################

sub _flush {
    my ($self) = @_;
    my $until = now() + scaled(10);

    while (length $self->{out}) {
        last if !$self->_pump($until);
    }
}

sub _pump {
    my ($self, $until) = @_;
    my ($r, $w, $left, $n, $fd);

    return 0 if !$self->{s} || $self->{eof};

    $left = $until - now();
    return 0 if $left <= 0;

    $fd = fileno $self->{s};
    ($r, $w) = ('', '');
    vec($r, $fd, 1) = 1;
    vec($w, $fd, 1) = 1 if length $self->{out};

    $n = select($r, $w, undef, $left);

    return $!{EINTR} ? 1 : 0 if $n < 0;
    return 0 if $n == 0;

    if (vec($r, $fd, 1)) {
        $n = sysread($self->{s}, $self->{in}, 262144, length $self->{in});

        if (!defined $n) {
            if ($! != EAGAIN && $! != EWOULDBLOCK && $! != EINTR) {
                $self->{error} = $!{ECONNRESET} ? 'reset' : "read: $!";
                $self->{eof} = 1;
            }

        } elsif ($n == 0) {
            $self->{eof} = 1;
        }

        $self->_frames();
    }

    if (vec($w, $fd, 1) && length $self->{out}) {
        local $SIG{PIPE} = 'IGNORE';

        $n = syswrite($self->{s}, $self->{out}, 1048576);

        if (defined $n) {
            substr($self->{out}, 0, $n, '');

        } elsif ($! != EAGAIN && $! != EWOULDBLOCK && $! != EINTR) {
            $self->{out} = '';
        }
    }

    return 1;
}

sub _frames {
    my ($self) = @_;

    while (length $self->{in} >= 9) {
        my ($h, $l, $type, $flags, $sid) = unpack 'CnCCN', $self->{in};
        my $len = $h << 16 | $l;

        last if length $self->{in} < 9 + $len;

        my $p = substr($self->{in}, 9, $len);
        substr($self->{in}, 0, 9 + $len, '');

        $sid &= 0x7fffffff;
        my $st = $self->{streams}{$sid} // {};

        if (($type == DATA || $type == HEADERS) && $flags & PADDED) {
            my $pad = unpack 'C', $p;
            $p = substr($p, 1, length($p) - 1 - $pad);
        }

        if ($type == DATA) {
            $st->{body} .= $p;
            $st->{done} = 1 if $flags & END_STREAM;

        } elsif ($type == HEADERS || $type == CONTINUATION) {
            $p = substr($p, 5) if $type == HEADERS && $flags & PRIORITY;
            $self->{block} = ($type == HEADERS ? '' : $self->{block}) . $p;
            $self->{end} = $flags & END_STREAM if $type == HEADERS;

            if ($flags & END_HEADERS) {
                for my $f ($self->_hpack($self->{block})) {
                    push @{$st->{headers}{$f->[0]}}, $f->[1];
                }

                $st->{done} = 1 if $self->{end};
            }

        } elsif ($type == RST_STREAM) {
            $st->{error} = 'rst:' . unpack('N', $p);
            $st->{done} = 1;

        } elsif ($type == SETTINGS) {
            next if $flags & ACK;

            while (length $p >= 6) {
                my ($id, $value) = unpack 'nN', substr($p, 0, 6, '');
                next if $id != 4;

                $_->{window} += $value - $self->{initial}
                    for values %{$self->{streams}};
                $self->{initial} = $value;
            }

            $self->{settings} = 1;
            $self->_frame(SETTINGS, ACK, 0, '');

        } elsif ($type == PING) {
            if ($flags & ACK) {
                $self->{pong} = 1;

            } else {
                $self->_frame(PING, ACK, 0, $p);
            }

        } elsif ($type == GOAWAY) {
            my ($last, $code) = unpack 'NN', $p;
            $self->{error} = "goaway:$code";

        } elsif ($type == WINDOW_UPDATE) {
            my $n = unpack('N', $p) & 0x7fffffff;

            if ($sid) {
                $st->{window} += $n;

            } else {
                $self->{window} += $n;
            }
        }
    }
}

###############################################################################

sub _int {
    my ($in, $bits) = @_;

    my $max = (1 << $bits) - 1;
    my $n = ord(substr($$in, 0, 1, '')) & $max;

    return $n if $n < $max;

    for (my $shift = 0; length $$in; $shift += 7) {
        my $c = ord substr($$in, 0, 1, '');
        $n += ($c & 127) << $shift;
        last if $c < 128;
    }

    return $n;
}

sub _text {
    my ($in) = @_;

    my $huff = ord($$in) & 128;
    my $len = _int($in, 7);
    my $text = substr($$in, 0, $len, '');

    return $huff ? huffman_decode($text) // '(bad huffman)' : $text;
}

sub _hpack {
    my ($self, $in) = @_;
    my @fields;

    while (length $in) {
        my $c = ord $in;
        my ($index, $add, $name);

        if ($c & 128) {
            push @fields, $self->_entry(_int(\$in, 7));
            next;
        }

        if (($c & 0xe0) == 0x20) {
            $self->{table_max} = _int(\$in, 5);
            $self->_evict();
            next;
        }

        $add = $c & 64;
        $index = _int(\$in, $add ? 6 : 4);
        $name = $index ? $self->_entry($index)->[0] : _text(\$in);

        push @fields, [ $name, _text(\$in) ];

        if ($add) {
            unshift @{$self->{table}}, $fields[-1];
            $self->_evict();
        }
    }

    return @fields;
}

sub _entry {
    my ($self, $index) = @_;

    return ($index < @static ? $static[$index]
        : $self->{table}[$index - @static]) // [ '(bad index)', '' ];
}

sub _evict {
    my ($self) = @_;
    my $size = 0;

    $size += 32 + length($_->[0]) + length($_->[1]) for @{$self->{table}};

    while (@{$self->{table}} && $size > $self->{table_max}) {
        my $old = pop @{$self->{table}};
        $size -= 32 + length($old->[0]) + length($old->[1]);
    }
}

###############################################################################

1;
