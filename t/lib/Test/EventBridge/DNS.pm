package Test::EventBridge::DNS;

# Copyright (C) the ngx_http_eventbridge_module authors

# A name server in a child process, on a port of 127.0.0.1.
#
#   my $dns = Test::EventBridge::DNS->new($file, {
#       'a.test' => [ '127.0.0.1', '::1' ],     # its addresses
#       'b.test' => { delay => 10 },            # seconds, then no address
#       'c.test' => { silent => 1 },            # never
#       'd.test' => { code => 2 },              # SERVFAIL
#       'e.test' => { turns => [ [ '192.0.2.1' ], [ '127.0.0.1' ] ] },
#   });                                         # the last one stays
#   "resolver 127.0.0.1:" . $dns->port()
#   $dns->asked('a.test')                       # how often, A and AAAA
#
# Any other name does not exist.  Nothing may be kept: the TTL is 0.

###############################################################################

use warnings;
use strict;

use IO::Socket::INET;
use POSIX ();
use Socket qw/ AF_INET AF_INET6 inet_pton /;

use Test::EventBridge::Util qw/ now prctl append_file read_file /;

###############################################################################

sub new {
    my ($class, $file, $names) = @_;

    my $socket = IO::Socket::INET->new(Proto => 'udp',
        LocalAddr => '127.0.0.1:0') or die "name server: $!\n";

    my $self = bless { file => $file, names => $names, socket => $socket,
        port => $socket->sockport(), turn => {}, owner => $$ }, $class;

    my $pid = fork() // die "fork(): $!\n";

    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw/ TERM INT HUP ALRM /;
        prctl(1, 9);
        eval { $self->_serve() };
        print STDERR "# name server: $@";
        POSIX::_exit(1);
    }

    close delete $self->{socket};
    $self->{pid} = $pid;

    return $self;
}

sub port { return $_[0]{port} }

sub asked {
    my ($self, $name) = @_;
    return scalar grep { $_ eq $name } split /\n/,
        read_file($self->{file}) // '';
}

sub DESTROY {
    my ($self) = @_;

    my $pid = delete $self->{pid};

    return if !$pid || $self->{owner} != $$;

    local $?;
    kill 'KILL', $pid;
    waitpid $pid, 0;
}

###############################################################################

sub _serve {
    my ($self) = @_;

    my $s = $self->{socket};
    my @late;

    for ( ;; ) {
        my $set = '';
        vec($set, fileno $s, 1) = 1;

        @late = sort { $a->[0] <=> $b->[0] } @late;

        my $wait = @late ? $late[0][0] - now() : undef;
        $wait = 0 if defined $wait && $wait < 0;

        if (select($set, undef, undef, $wait) > 0) {
            my $peer = recv($s, my $query, 1500, 0) // next;
            my ($answer, $delay) = $self->_answer($query) or next;

            push @late, [ now() + $delay, $peer, $answer ]
                if defined $answer;
        }

        while (@late && $late[0][0] <= now()) {
            my (undef, $peer, $answer) = @{shift @late};
            send($s, $answer, 0, $peer);
        }
    }
}

sub _answer {
    my ($self, $query) = @_;

    my ($id, undef, $n) = unpack 'nnn', $query;
    my ($at, @labels) = (12);

    while (my $len = unpack "x$at C", $query) {
        push @labels, substr $query, $at + 1, $len;
        $at += 1 + $len;
    }

    my $name = lc join '.', @labels;
    my $type = unpack 'x' . ($at + 1) . 'n', $query;

    append_file($self->{file}, "$name\n");

    my $entry = $self->{names}{$name};
    my $what = ref $entry eq 'HASH' ? $entry : { addresses => $entry };

    return if $what->{silent};

    my @addresses = @{$what->{addresses} // []};

    # A and AAAA are one turn

    if (my $turns = $what->{turns}) {
        my $turn = int(($self->{turn}{"$name $type"}++));
        @addresses = @{$turns->[$turn < @$turns ? $turn : -1]};
    }

    my @data = grep { defined } map { inet_pton($type == 28 ? AF_INET6
        : AF_INET, $_) } grep { /:/ ? $type == 28 : $type == 1 } @addresses;

    my $code = $what->{code} // ($entry ? 0 : 3);

    return (pack('nnnnnn', $id, 0x8180 | $code, 1, scalar @data, 0, 0)
        . substr($query, 12, $at + 5 - 12)
        . join('', map { pack('nnnNn/a*', 0xc00c, $type, 1, 0, $_) } @data),
        $what->{delay} // 0);
}

###############################################################################

1;
