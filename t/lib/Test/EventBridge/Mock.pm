package Test::EventBridge::Mock;

# Copyright (C) the ngx_http_eventbridge_module authors

# A scripted HTTP/1.1 destination in a child process.  One poll loop serves
# hundreds of connections; every complete request is a line in a file before
# its answer goes out, so that assertions survive the child.
#
# Behaviour (set(), queue()), for a path without its arguments or '*':
#   status, headers [ name => value ], body
#   delay        milliseconds before the answer
#   hang         1: no answer until release(path)
#   info         [ 102, ... ]: these interim answers first
#   reset        1: RST instead of an answer
#   close        1: the connection is closed, without an answer
#   truncate     n: Content-Length is that of the body, n bytes of it are sent
#   huge         n: a body of n bytes
#   half         1: with huge or a body: no Content-Length, ended by the close
#   last         1: Connection: close after this answer
#   early        1: answers when the head is there, the body is not waited for
#   match        only for requests whose body has this text
#   chunked      1: no Content-Length, the body in chunks
#   raw          these bytes are the whole answer, then the end
#
# With tls => 1 it is an HTTPS server: TLS ends in a process of its own, which
# hands on what happens to a connection as it is (see Test::EventBridge::TLS
# for its options); plain_port() is what is behind it.  A webhook's receiver,
# say, is
#
#   my $m = $t->mock(1, tls => 1);      # https://localhost:PORT, $m->ca()
#   $m->queue('/hook', ({ status => 503 }) x 3);
#   $m->wait_hits('/hook', 4);
#   ($m->requests('/hook'))[3]->header('webhook-id');
#
# A class that knows better than "200 ok" has a _default().

###############################################################################

use warnings;
use strict;

use Errno qw/ EAGAIN EINTR EWOULDBLOCK /;
use IO::Socket::INET;
use JSON::PP ();
use MIME::Base64 qw/ encode_base64 decode_base64 /;
use POSIX ();
use Socket qw/ AF_UNIX SOCK_STREAM PF_UNSPEC SOL_SOCKET SO_LINGER SO_RCVBUF
    IPPROTO_TCP TCP_NODELAY SOMAXCONN /;

use Test::EventBridge::TLS;
use Test::EventBridge::Util qw/ now scaled wait_for prctl /;

my $json = JSON::PP->new()->utf8()->canonical();

###############################################################################

# opt: rcvbuf of sockets; tls, names, kind, versions

sub new {
    my ($class, $port, $dir, %opt) = @_;

    my $tls = $opt{tls} ? Test::EventBridge::TLS->new($dir) : undef;

    return bless { port => $port, file => "$dir/mock-$port.jsonl", at => 0,
        tail => '', hits => {}, opt => \%opt, tls => $tls }, $class;
}

sub port { return $_[0]{port} }
sub plain_port { return $_[0]{plain} // $_[0]{port} }
sub file { return $_[0]{file} }
sub pid { return $_[0]{pid} }

# all processes of it

sub pids {
    my ($self) = @_;
    return grep { $_ } $self->{pid}, $self->{front} && $self->{front}->pid();
}

sub url {
    my ($self) = @_;
    return ($self->{tls} ? 'https' : 'http') . "://localhost:$self->{port}";
}

sub tls { return $_[0]{tls} }
sub ca { return $_[0]{tls}->ca() }

sub start {
    my ($self) = @_;

    die "mock is running\n" if $self->{pid};

    my $listen = $self->_listen() or die "mock: port $self->{port}: $!\n";

    $self->{plain} = $listen->sockport() if $self->{tls};

    socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC)
        or die "socketpair(): $!\n";

    $ours->autoflush(1);

    my $pid = fork() // die "fork(): $!\n";

    if ($pid == 0) {
        close $ours;
        $SIG{$_} = 'DEFAULT' for qw/ TERM INT HUP ALRM /;
        $SIG{PIPE} = 'IGNORE';
        prctl(1, 9);

        eval { $self->_serve($listen, $theirs) };

        print STDERR "# mock $self->{port}: $@" if $@;
        POSIX::_exit($@ ? 1 : 0);
    }

    $self->{pid} = $pid;
    $self->{control} = $ours;

    if ($self->{tls}) {
        $self->{front} = $self->{tls}->front($self->{port}, $self->{plain},
            %{$self->{opt}});
    }

    return $self;
}

# the child is gone, its connections are reset or closed by the kernel, the
# port refuses; what was set is forgotten

sub stop {
    my ($self) = @_;

    my $pid = delete $self->{pid} or return $self;

    (delete $self->{front})->stop() if $self->{front};
    kill 'KILL', $pid;
    waitpid $pid, 0;
    close delete $self->{control};

    return $self;
}

# answers nothing, and accepts only what the kernel does by itself

sub freeze {
    my ($self) = @_;
    kill 'STOP', $self->pids();
    return $self;
}

sub thaw {
    my ($self) = @_;
    kill 'CONT', $self->pids();
    return $self;
}

###############################################################################

sub _control {
    my ($self, %command) = @_;

    my $s = $self->{control} or die "mock is not running\n";

    print $s $json->encode(\%command) . "\n" or die "mock: $!\n";

    my $line = '';
    my $until = now() + scaled(20);

    while ($line !~ /\n/) {
        my $set = '';
        vec($set, fileno $s, 1) = 1;
        my $left = $until - now();

        die "mock does not answer\n"
            if $left <= 0 || select($set, undef, undef, $left) < 1;

        sysread($s, $line, 65536, length $line) or die "mock is gone\n";
    }

    return $json->decode($line);
}

# the behaviour of a path until clear(); with match, beside the others

sub set {
    my ($self, $path, %rule) = @_;
    $self->_control(cmd => 'set', path => $path, rule => \%rule);
    return $self;
}

# behaviours for one request each, before what set() says

sub queue {
    my ($self, $path, @rules) = @_;
    $self->_control(cmd => 'queue', path => $path, rules => \@rules);
    return $self;
}

sub clear {
    my ($self, $path) = @_;
    $self->_control(cmd => 'clear', path => $path);
    return $self;
}

# Answers what hangs, n requests at most, with 200 or the given behaviour;
# returns how many.

sub release {
    my ($self, $path, $n, %rule) = @_;
    return $self->_control(cmd => 'release', path => $path // '*', n => $n,
        rule => \%rule)->{n};
}

# Closes the listening socket (open connections stay), and opens it again:
# accept(), or refuse() by itself after so many milliseconds.

sub refuse {
    my ($self, $ms) = @_;

    if ($self->{front}) {
        $self->{front}->refuse($ms);

    } else {
        $self->_control(cmd => 'refuse', ms => $ms);
    }

    return $self;
}

sub accept {
    my ($self) = @_;

    if ($self->{front}) {
        $self->{front}->accept();

    } else {
        my $r = $self->_control(cmd => 'accept');
        die "mock: $r->{error}\n" if $r->{error};
    }

    return $self;
}

# the same, and what is open is reset: as if the machine were switched off

sub down {
    my ($self, $ms) = @_;

    $self->refuse($ms);
    $self->{front}->drop() if $self->{front};
    $self->_control(cmd => 'drop', reset => 1, all => 1);

    return $self;
}

sub up {
    my ($self) = @_;
    return $self->accept();
}

# closes the open connections that have no request under way (reset: with RST)

sub drop_idle {
    my ($self, %opt) = @_;
    return $self->_control(cmd => 'drop', reset => $opt{reset} ? 1 : 0)->{n};
}

# connections (ever), open, held (hanging requests), most (most requests
# without an answer at any time), requests

sub stats {
    my ($self) = @_;
    return $self->_control(cmd => 'stats');
}

sub held {
    my ($self, $path) = @_;
    return $self->_control(cmd => 'held', path => $path // '*')->{n};
}

sub wait_held {
    my ($self, $path, $n, $sec) = @_;
    return wait_for(sub { $self->held($path) >= $n }, $sec);
}

###############################################################################

# Reads what was added to the record since the last time.

sub _tail {
    my ($self) = @_;

    open my $fh, '<:raw', $self->{file} or return;
    seek $fh, $self->{at}, 0;

    while (my $n = read $fh, my $part, 1048576) {
        $self->{at} += $n;
        $self->{tail} .= $part;

        my $end = rindex($self->{tail}, "\n");
        next if $end < 0;

        my $lines = substr($self->{tail}, 0, $end + 1, '');

        while ($lines =~ /^\{"n":\d+,[^{}]*?"path":"([^"?]*)/mg) {
            $self->{hits}{$1}++;
            $self->{hits}{'*'}++;
        }
    }

    close $fh;
}

sub hits {
    my ($self, $path) = @_;

    $self->_tail();

    return $self->{hits}{$path // '*'} // 0;
}

# true when at least n requests have come to a path

sub wait_hits {
    my ($self, $path, $n, $sec) = @_;
    return wait_for(sub { $self->hits($path) >= $n }, $sec);
}

# all requests (to a path), in the order in which they were complete

sub requests {
    my ($self, $path) = @_;
    my @requests;

    open my $fh, '<:raw', $self->{file} or return;

    while (my $line = <$fh>) {
        my $r = $self->_request($line) or last;
        push @requests, $r if !defined $path || $r->{path} eq $path;
    }

    close $fh;

    return @requests;
}

# those to a path that came since it was asked the last time

sub take {
    my ($self, $path) = @_;

    open my $fh, '<:raw', $self->{file} or return;
    seek $fh, $self->{taken} // 0, 0;

    while (my $line = <$fh>) {
        my $r = $self->_request($line) or last;

        push @{$self->{pending}{$r->{path}}}, $r;
        $self->{taken} = tell $fh;
    }

    close $fh;

    return @{delete $self->{pending}{$path} // []};
}

# a line of the record; undef when it is not complete yet

sub _request {
    my ($self, $line) = @_;

    return if $line !~ /\n\z/;

    my ($n, $time, $conn, $method, $uri, $head, $body) = $line =~
        m{^\{"n":(\d+),"t":([\d.]+),"conn":(\d+),"method":"([^"]*)",
        "path":"((?:[^"\\]|\\.)*)","head":"((?:[^"\\]|\\.)*)",
        "body":"([^"]*)"\}}x
        or die "$self->{file}: bad line: $line";

    $uri = _unquote($uri);

    my ($bare) = $uri =~ /^([^?]*)/;

    return bless { n => $n, time => $time, conn => $conn, method => $method,
        uri => $uri, path => $bare, head => $head, body64 => $body },
        'Test::EventBridge::Mock::Request';
}

sub bodies {
    my ($self, $path) = @_;
    return map { $_->body() } $self->requests($path);
}

# What a regex with one group finds in all bodies, in order: by default the
# ids of simple events.

sub ids {
    my ($self, $path, $re) = @_;

    $re //= qr/"id":\s*"([^"]*)"/;

    return map { my $b = $_->body(); $b =~ /$re/g } $self->requests($path);
}

# forgets the record (of a running mock too)

sub forget {
    my ($self) = @_;

    if ($self->{pid}) {
        $self->_control(cmd => 'forget');

    } else {
        unlink $self->{file};
    }

    $self->{at} = $self->{taken} = 0;
    $self->{tail} = '';
    $self->{hits} = {};
    $self->{pending} = {};

    return $self;
}

###############################################################################

my %escape = ("\n" => '\\n', "\r" => '\\r', "\t" => '\\t', '"' => '\\"',
    '\\' => '\\\\');

sub _quote {
    my ($text) = @_;
    $text =~ s/([\x00-\x1f"\\\x7f-\xff])/$escape{$1}
        || sprintf '\\u%04x', ord $1/ge;
    return $text;
}

my %plain = reverse %escape;

sub _unquote {
    my ($text) = @_;
    $text =~ s/\\u([0-9a-f]{4})|(\\.)/defined $1 ? chr hex $1 : $plain{$2}/ge;
    return $text;
}

sub _listen {
    my ($self) = @_;

    # behind a TLS side, any port will do
    my $port = $self->{tls} ? 0 : $self->{port};

    return IO::Socket::INET->new(Proto => 'tcp', LocalAddr => '127.0.0.1',
        LocalPort => $port, Listen => SOMAXCONN, ReuseAddr => 1,
        Blocking => 0);
}

# For other classes: the behaviour for a request that nothing was said about
# (n, conn, method, uri, path, head, and a reference to the body), and commands.

sub _default { return {} }

sub _command {
    my ($self, $cmd) = @_;
    die "unknown command $cmd->{cmd}\n";
}

###############################################################################

# The child.

sub _serve {
    my ($self, $listen, $control) = @_;
    my (%conn, %set, %queue, @timers, @held, $rset, $wset, $record, $log, $cin,
        $total, $seq, $most, $active, $reopen, $reopens);

    open $log, '>>:raw', $self->{file} or die "$self->{file}: $!\n";

    ($rset, $wset, $record, $cin) = ('', '', '', '');
    ($total, $seq, $most, $active, $reopen, $reopens) = (0) x 6;

    $control->blocking(0);
    vec($rset, fileno $control, 1) = 1;
    vec($rset, fileno $listen, 1) = 1;

    my $flush = sub {
        return if $record eq '';
        syswrite($log, $record) == length $record
            or die "$self->{file}: $!\n";
        $record = '';
    };

    my $after = sub {
        my ($ms, $code) = @_;

        push @timers, [ now() + $ms / 1000, $code ];
        @timers = sort { $a->[0] <=> $b->[0] } @timers;
    };

    my $drop = sub {
        my ($c, $reset) = @_;

        $flush->();

        setsockopt($c->{s}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0))
            if $reset;
        vec($rset, $c->{fd}, 1) = 0;
        vec($wset, $c->{fd}, 1) = 0;
        delete $conn{$c->{fd}};
        $active-- if delete $c->{active};
        $c->{gone} = 1;
        close $c->{s};
    };

    my $answer = sub {
        my ($c, $rule) = @_;

        return if $c->{gone};

        $rule = $rule->() if ref $rule eq 'CODE';

        $active-- if delete $c->{active};

        if ($rule->{reset} || $rule->{close}) {
            $drop->($c, $rule->{reset});
            return;
        }

        if (defined $rule->{raw}) {
            $c->{out} .= $rule->{raw};
            $c->{closing} = 1;
            $c->{busy} = 0;
            vec($wset, $c->{fd}, 1) = 1;
            return;
        }

        my $status = $rule->{status} // 200;
        my $body = $rule->{body} // 'ok';
        my $out = join '', map { "HTTP/1.1 $_ Interim\r\n\r\n" }
            @{$rule->{info} // []};

        my $len = $rule->{huge} // length $body;
        my @h = @{$rule->{headers} // []};

        $out .= "HTTP/1.1 $status Mock\r\n";
        $out .= 'Content-Type: text/plain' . "\r\n"
            if !grep { lc eq 'content-type' } @h;

        while (my ($name, $value) = splice @h, 0, 2) {
            $out .= "$name: $value\r\n";
        }

        my $last = $rule->{last} || $rule->{half} || defined $rule->{truncate}
            || $rule->{early} || $c->{last};

        if ($status == 204 || $status == 304) {
            $len = 0;
            $body = '';

        } elsif ($rule->{chunked}) {
            $out .= "Transfer-Encoding: chunked\r\n";
            $body = join '', map { sprintf "%x\r\n%s\r\n", length, $_ }
                unpack('(a997)*', $body), '';

        } elsif (!$rule->{half}) {
            $out .= "Content-Length: $len\r\n";
        }

        $out .= "Connection: close\r\n" if $last;

        if (defined $rule->{huge}) {
            $body = '';
            $c->{huge} = defined $rule->{truncate} ? $rule->{truncate} : $len;

        } elsif (defined $rule->{truncate}) {
            $body = substr($body, 0, $rule->{truncate});
        }

        $c->{out} .= "$out\r\n$body";
        $c->{closing} = 1 if $last;
        $c->{linger} = 1 if $rule->{early};
        $c->{busy} = 0;
        vec($wset, $c->{fd}, 1) = 1;
    };

    my $pick = sub {
        my ($path, $body) = @_;

        for my $p ($path, '*') {
            if ($queue{$p} && @{$queue{$p}}) {
                my $rule = $queue{$p}[0];

                if (!defined $rule->{match}
                    || index($$body, $rule->{match}) >= 0)
                {
                    return shift @{$queue{$p}};
                }
            }

            next if !$set{$p};

            for my $rule (@{$set{$p}}) {
                return $rule if !defined $rule->{match}
                    || index($$body, $rule->{match}) >= 0;
            }
        }

        return;
    };

    my $complete = sub {
        my ($c, $body) = @_;

        $seq++;
        $c->{busy} = 1;

        my $head = _quote($c->{head});

        $record .= sprintf '{"n":%d,"t":%.6f,"conn":%d,"method":"%s",'
            . '"path":"%s","head":"%s","body":"%s"}' . "\n", $seq, now(),
            $c->{n}, $c->{method}, _quote($c->{uri}), $head,
            encode_base64($$body, '');

        my ($path) = $c->{uri} =~ /^([^?]*)/;
        my $rule = $c->{rule} // $pick->($path, $body)
            // $self->_default({ n => $seq, conn => $c->{n},
                method => $c->{method}, uri => $c->{uri}, path => $path,
                head => $c->{head}, body => $body });

        delete @$c{qw/ head rule need chunked sent100 /};

        if (!$c->{active}) {
            $c->{active} = 1;
            $active++;
            $most = $active if $active > $most;
        }

        if ($rule->{hang}) {
            push @held, [ $c, $path, $rule->{late} ];

        } elsif ($rule->{delay}) {
            $after->($rule->{delay}, sub { $answer->($c, $rule) });

        } else {
            $answer->($c, $rule);
        }
    };

    # takes as many requests out of the input as there are

    my $parse = sub {
        my ($c) = @_;

        while (!$c->{gone} && !$c->{busy} && !$c->{closing}) {
            if (!defined $c->{head}) {
                my $end = index($c->{in}, "\r\n\r\n");
                return if $end < 0;

                $c->{head} = substr($c->{in}, 0, $end);
                substr($c->{in}, 0, $end + 4, '');

                @$c{qw/ method uri minor /} = $c->{head} =~
                    m{^([A-Z]+) (\S+) HTTP/1\.([01])(?:\r|\z)};

                if (!defined $c->{minor}) {
                    $c->{method} = 'BAD';
                    $c->{uri} = '/bad-request-line';
                    $c->{last} = 1;
                }

                $c->{need} = $c->{head} =~ /^content-length:\s*(\d+)/mi
                    ? $1 : 0;
                $c->{chunked} = $c->{head} =~ /^transfer-encoding:/mi;
                $c->{last} = 1 if !$c->{minor}
                    || $c->{head} =~ /^connection:\s*close/mi;

                my ($path) = $c->{uri} =~ /^([^?]*)/;

                for my $p ($path, '*') {
                    my $rule = $queue{$p} && $queue{$p}[0] ? $queue{$p}[0]
                        : $set{$p} && $set{$p}[0];
                    next if !$rule || !$rule->{early};

                    shift @{$queue{$p}} if $queue{$p} && $queue{$p}[0];
                    $c->{rule} = $rule;
                    $complete->($c, \'');
                    return;
                }

                if ($c->{head} =~ /^expect:\s*100-continue/mi) {
                    $c->{out} .= "HTTP/1.1 100 Continue\r\n\r\n";
                    vec($wset, $c->{fd}, 1) = 1;
                }
            }

            my $body = '';

            if ($c->{chunked}) {
                my $pos = 0;

                while (1) {
                    pos($c->{in}) = $pos;
                    return if $c->{in} !~ /\G([0-9a-fA-F]+)[^\r\n]*\r\n/g;

                    my ($len, $at) = (hex $1, pos $c->{in});
                    return if length($c->{in}) < $at + $len + 2;

                    $body .= substr($c->{in}, $at, $len);
                    $pos = $at + $len + 2;
                    last if $len == 0;
                }

                substr($c->{in}, 0, $pos, '');

            } else {
                return if length $c->{in} < $c->{need};
                $body = substr($c->{in}, 0, $c->{need}, '');
            }

            $complete->($c, \$body);
        }
    };

    my $command = sub {
        my ($cmd) = @_;
        my $p = $cmd->{path};

        if ($cmd->{cmd} eq 'set') {
            my $rule = $cmd->{rule};

            if (defined $rule->{match}) {
                @{$set{$p}} = ($rule, grep { ($_->{match} // '')
                    ne $rule->{match} } @{$set{$p} // []});

            } else {
                @{$set{$p}} = ((grep { defined $_->{match} }
                    @{$set{$p} // []}), $rule);
            }

            return {};
        }

        if ($cmd->{cmd} eq 'queue') {
            push @{$queue{$p}}, @{$cmd->{rules}};
            return {};
        }

        if ($cmd->{cmd} eq 'clear') {
            if (defined $p) {
                delete $set{$p};
                delete $queue{$p};

            } else {
                %set = ();
                %queue = ();
            }

            return {};
        }

        if ($cmd->{cmd} eq 'release') {
            my ($n, @rest) = (0);

            for my $h (@held) {
                next if $h->[0]{gone};

                if (($p eq '*' || $h->[1] eq $p)
                    && (!defined $cmd->{n} || $n < $cmd->{n}))
                {
                    $n++;
                    $answer->($h->[0], %{$cmd->{rule}} ? $cmd->{rule}
                        : $h->[2] // {});
                    next;
                }

                push @rest, $h;
            }

            @held = @rest;
            return { n => $n };
        }

        if ($cmd->{cmd} eq 'held') {
            @held = grep { !$_->[0]{gone} } @held;
            return { n => scalar grep { $p eq '*' || $_->[1] eq $p } @held };
        }

        if ($cmd->{cmd} eq 'refuse') {
            if ($listen) {
                vec($rset, fileno $listen, 1) = 0;
                close $listen;
                undef $listen;
            }

            $reopen = defined $cmd->{ms} ? ++$reopens : 0;
            my $this = $reopen;

            $after->($cmd->{ms}, sub {
                return if $reopen != $this;
                $listen = $self->_listen() or die "port $self->{port}: $!\n";
                vec($rset, fileno $listen, 1) = 1;
                $reopen = 0;
            }) if $this;

            return {};
        }

        if ($cmd->{cmd} eq 'accept') {
            $reopen = 0;

            if (!$listen) {
                $listen = $self->_listen() or return { error => "$!" };
                vec($rset, fileno $listen, 1) = 1;
            }

            return {};
        }

        if ($cmd->{cmd} eq 'drop') {
            my @idle = grep { $cmd->{all} || !$_->{busy} && $_->{in} eq ''
                && $_->{out} eq '' && !defined $_->{head} } values %conn;
            $drop->($_, $cmd->{reset}) for @idle;
            return { n => scalar @idle };
        }

        if ($cmd->{cmd} eq 'forget') {
            truncate $log, 0;
            return {};
        }

        if ($cmd->{cmd} eq 'stats') {
            @held = grep { !$_->[0]{gone} } @held;
            return { connections => $total, open => scalar keys %conn,
                held => scalar @held, most => $most, requests => $seq };
        }

        return $self->_command($cmd);
    };

    while (1) {
        my ($r, $w) = ($rset, $wset);
        my $wait;

        if (@timers) {
            $wait = $timers[0][0] - now();
            $wait = 0 if $wait < 0;
        }

        my $n = select($r, $w, undef, $wait);

        if ($n < 0) {
            next if $! == EINTR;
            die "select(): $!\n";
        }

        while (@timers && $timers[0][0] <= now()) {
            my $t = shift @timers;
            $t->[1]->();
        }

        if ($listen && vec($r, fileno $listen, 1)) {
            while (my $s = $listen->accept()) {
                $s->blocking(0);
                $s->setsockopt(IPPROTO_TCP, TCP_NODELAY, 1);
                $s->setsockopt(SOL_SOCKET, SO_RCVBUF, $self->{opt}{rcvbuf})
                    if $self->{opt}{rcvbuf};

                my $fd = fileno $s;
                $conn{$fd} = { s => $s, fd => $fd, n => ++$total, in => '',
                    out => '', busy => 0 };
                vec($rset, $fd, 1) = 1;
            }
        }

        for my $c (values %conn) {
            next if !vec($r, $c->{fd}, 1);

            my $got = sysread($c->{s}, $c->{in}, 262144, length $c->{in});

            if (!defined $got) {
                next if $! == EAGAIN || $! == EINTR;
                $drop->($c);
                next;
            }

            if ($got == 0) {
                $drop->($c);
                next;
            }

            # what comes after the last answer is thrown away
            $c->{in} = '' if $c->{closing};
            $parse->($c);
        }

        if (vec($r, fileno $control, 1)) {
            my $got = sysread($control, $cin, 65536, length $cin);

            return if defined $got && $got == 0;

            while ($cin =~ s/^([^\n]*)\n//) {
                my $reply = $command->($json->decode($1));

                $flush->();

                my $line = $json->encode($reply) . "\n";

                # the other side is reading, it asked
                $control->blocking(1);

                while (length $line) {
                    my $sent = syswrite($control, $line)
                        or die "control: $!\n";
                    substr($line, 0, $sent, '');
                }

                $control->blocking(0);
            }
        }

        $flush->();

        for my $c (values %conn) {
            next if !vec($wset, $c->{fd}, 1);

            if ($c->{huge} && length $c->{out} < 65536) {
                my $part = $c->{huge} > 131072 ? 131072 : $c->{huge};
                $c->{out} .= 'x' x $part;
                $c->{huge} -= $part;
            }

            my $sent = syswrite($c->{s}, $c->{out});

            if (!defined $sent) {
                next if $! == EAGAIN || $! == EINTR;
                $drop->($c);
                next;
            }

            substr($c->{out}, 0, $sent, '');

            next if length $c->{out} || $c->{huge};

            vec($wset, $c->{fd}, 1) = 0;

            # a peer that is still sending must not lose the answer to a RST

            if ($c->{linger}) {
                shutdown $c->{s}, 1;
                next;
            }

            if ($c->{closing}) {
                $drop->($c);
                next;
            }

            $parse->($c) if length $c->{in};
        }
    }
}

###############################################################################

package Test::EventBridge::Mock::Request;

use JSON::PP ();
use MIME::Base64 qw/ decode_base64 /;

sub method { return $_[0]{method} }
sub path { return $_[0]{path} }
sub uri { return $_[0]{uri} }
sub conn { return $_[0]{conn} }
sub time { return $_[0]{time} }

sub body {
    my ($self) = @_;
    return decode_base64($self->{body64});
}

sub json {
    my ($self) = @_;
    return eval { JSON::PP->new()->utf8()->allow_nonref()
        ->decode($self->body()) };
}

# the head as it came, without the empty line

sub head {
    my ($self) = @_;
    return Test::EventBridge::Mock::_unquote($self->{head});
}

# the value of a header, or all of them; undef when there is none

sub header {
    my ($self, $name) = @_;
    my @values = $self->head() =~ /^\Q$name\E:[ \t]*([^\r\n]*)/mig;

    return wantarray ? @values : $values[0];
}

sub header_names {
    my ($self) = @_;
    return map { lc } $self->head() =~ /^([^:\s]+):/mg;
}

###############################################################################

1;
