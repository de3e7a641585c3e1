package Test::EventBridge::TLS;

# Copyright (C) the ngx_http_eventbridge_module authors

# Certificates of a private CA, made by openssl when they are asked for, and
# a TLS side for a mock that speaks plain HTTP (t/lib/tls.c, compiled when it
# is needed).  All files are in the directory "tls" of the test directory.
#
#   my $tls = Test::EventBridge::TLS->new($dir);
#   $tls->ca()                  file of the CA, for a trusted certificate
#   $tls->certificate(%opt)     { crt, key }: files of a server's certificate
#       names     [ DNS names and addresses ], default localhost, 127.0.0.1
#       kind      'good', 'expired', 'early' (not valid yet), 'self' (signed),
#                 'other' (a CA that nobody trusts), or 'chain' (of an authority
#                 between the CA and it, whose certificate is not sent)
#       sent      1: the certificate of its authority is sent, too
#   $tls->front($port, $plain, %opt)    starts; the options above, and
#       versions  '1.1', '1.2' or '1.3': that alone
#       only      a name: there is no certificate for others
#
# Of a front: pid(), refuse($ms), accept(), drop() and stats(), a hash of
# handshakes, failed, resumed, open and name, that of the last SNI ("-": none).

###############################################################################

use warnings;
use strict;

use Cwd qw/ abs_path /;
use File::Basename qw/ dirname /;
use POSIX ();

use Test::EventBridge::Util qw/ now scaled prctl read_file /;

my $source = abs_path(dirname(__FILE__) . '/../../tls.c');

###############################################################################

sub new {
    my ($class, $dir) = @_;

    mkdir "$dir/tls";

    return bless { dir => "$dir/tls", n => 0 }, $class;
}

sub _run {
    my ($self, @command) = @_;

    my $log = "$self->{dir}/log";
    my $pid = fork() // die "fork(): $!\n";

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', $log;
        open STDERR, '>&', \*STDOUT;
        delete @ENV{qw/ LD_PRELOAD OPENSSL_CONF /};
        no warnings;
        exec @command;
        POSIX::_exit(127);
    }

    waitpid $pid, 0;

    die "@command: " . (read_file($log) // '') . "\n" if $?;
}

sub _write {
    my ($self, $name, $text) = @_;

    open my $fh, '>', "$self->{dir}/$name" or die "$name: $!\n";
    print $fh $text or die "$name: $!\n";
    close $fh or die "$name: $!\n";

    return "$self->{dir}/$name";
}

# name.crt and name.key; extensions, and the CA that signs (none: itself)

sub _make {
    my ($self, $name, $subject, $extensions, $ca, @more) = @_;

    my $base = "$self->{dir}/$name";

    my $conf = $self->_write("$name.conf", "[req]\ndistinguished_name = dn\n"
        . "prompt = no\n[dn]\nCN = $subject\n[ext]\n$extensions");

    $self->_run(qw/ openssl req -new -newkey ec -pkeyopt
        ec_paramgen_curve:prime256v1 -nodes -config /, $conf, '-keyout',
        "$base.key", '-out', "$base.csr");

    my @sign = $ca ? ('-CA', "$ca.crt", '-CAkey', "$ca.key",
        '-set_serial', 1000 + ++$self->{n}) : ('-signkey', "$base.key");

    $self->_run(qw/ openssl x509 -req -sha256 -in /, "$base.csr", '-out',
        "$base.crt", '-extfile', $conf, qw/ -extensions ext /, @sign,
        @more ? @more : qw/ -days 2 /);

    return $base;
}

sub _ca {
    my ($self, $name) = @_;

    my $base = "$self->{dir}/$name";

    return -f "$base.crt" ? $base : $self->_make($name, "Test CA $name",
        "basicConstraints = critical, CA:TRUE\n"
        . "keyUsage = critical, keyCertSign, cRLSign\n"
        . "subjectKeyIdentifier = hash\n",
        $name eq 'between' ? $self->_ca('ca') : undef);
}

# who signs this kind

sub _authority {
    my ($self, $kind) = @_;
    return $self->_ca({ other => 'other', chain => 'between' }->{$kind}
        // 'ca');
}

# A certificate for tomorrow: of the commands of openssl, "ca" takes a start in
# all versions.

sub _early {
    my ($self, $base, $ca) = @_;

    $self->_write('ca.index', '');
    $self->_write('ca.index.attr', "unique_subject = no\n");
    $self->_write('ca.serial', sprintf "%04X\n", 5000 + ++$self->{n});

    my $conf = $self->_write('ca-early.conf', "[ca]\ndefault_ca = d\n[d]\n"
        . "new_certs_dir = $self->{dir}\ndatabase = $self->{dir}/ca.index\n"
        . "serial = $self->{dir}/ca.serial\ndefault_md = sha256\n"
        . "policy = p\n[p]\ncommonName = supplied\n");

    my ($from, $to) = map { POSIX::strftime('%Y%m%d%H%M%SZ',
        gmtime(time + $_ * 86400)) } 1.5, 9;

    $self->_run(qw/ openssl ca -batch -notext -config /, $conf, '-startdate',
        $from, '-enddate', $to, '-cert', "$ca.crt", '-keyfile', "$ca.key",
        '-in', "$base.csr", '-out', "$base.crt", '-extfile', "$base.conf",
        qw/ -extensions ext /);
}

sub ca {
    my ($self) = @_;
    return $self->_ca('ca') . '.crt';
}

sub certificate {
    my ($self, %opt) = @_;

    my $kind = $opt{kind} // 'good';
    my @names = @{$opt{names} // [ 'localhost', '127.0.0.1' ]};
    my $base = "server-$kind-" . join '-', map { s/[^\w.]/_/gr } @names;

    if (!-f "$self->{dir}/$base.crt") {
        my $san = join ', ', map { /^[\d.]+\z|:/ ? "IP:$_" : "DNS:$_" }
            @names;

        my $ca = $kind eq 'self' ? undef : $self->_authority($kind);

        $self->_make($base, $names[0], "basicConstraints = CA:FALSE\n"
            . "subjectAltName = $san\nextendedKeyUsage = serverAuth\n", $ca,
            $kind eq 'expired' ? qw/ -days -1 / : ());

        $self->_early("$self->{dir}/$base", $ca) if $kind eq 'early';
    }

    if ($opt{sent}) {
        my $ca = $self->_authority($kind);

        return { key => "$self->{dir}/$base.key", crt => $self->_write(
            "$base.sent.crt", join '', map { read_file($_) }
            "$self->{dir}/$base.crt", "$ca.crt") };
    }

    return { crt => "$self->{dir}/$base.crt",
        key => "$self->{dir}/$base.key" };
}

###############################################################################

# the program, compiled once for each test directory

sub _program {
    my ($self) = @_;

    my $file = "$self->{dir}/front";

    $self->_run($ENV{CC} || 'cc', '-O1', '-o', $file, $source, '-lssl',
        '-lcrypto') if !-x $file;

    return $file;
}

sub front {
    my ($self, $port, $plain, %opt) = @_;

    my $program = $self->_program();
    my $cert = $self->certificate(%opt);

    pipe(my $in_rd, my $in_wr) or die "pipe(): $!\n";
    pipe(my $out_rd, my $out_wr) or die "pipe(): $!\n";

    my $parent = $$;
    my $pid = fork() // die "fork(): $!\n";

    if ($pid == 0) {
        prctl(1, 9);
        POSIX::_exit(1) if getppid() != $parent;
        open STDIN, '<&', $in_rd;
        open STDOUT, '>&', $out_wr;
        delete $ENV{LD_PRELOAD};
        $SIG{$_} = 'DEFAULT' for qw/ TERM INT HUP ALRM PIPE /;
        no warnings;
        exec $program, $port, $plain, $cert->{crt}, $cert->{key},
            $opt{versions} || $opt{only} ? ($opt{versions} // '1.2',
            $opt{versions} // '1.3', $opt{only} // ()) : ();
        POSIX::_exit(127);
    }

    my $front = bless { pid => $pid, in => $in_wr, out => $out_rd },
        'Test::EventBridge::TLS::Front';

    $in_wr->autoflush(1);
    $front->_answer();

    return $front;
}

###############################################################################

package Test::EventBridge::TLS::Front;

use Test::EventBridge::Util qw/ now scaled /;

sub pid { return $_[0]{pid} }

sub _answer {
    my ($self) = @_;

    my $line = '';
    my $until = now() + scaled(20);

    while ($line !~ /\n/) {
        my $set = '';
        vec($set, fileno $self->{out}, 1) = 1;
        my $left = $until - now();

        die "TLS front does not answer\n"
            if $left <= 0 || select($set, undef, undef, $left) < 1;

        sysread($self->{out}, $line, 1024, length $line)
            or die "TLS front is gone\n";
    }

    die "TLS front: $1\n" if $line =~ /^error (.*)/;

    return $line;
}

sub _command {
    my ($self, $line) = @_;

    local $SIG{PIPE} = 'IGNORE';

    print {$self->{in}} "$line\n" or die "TLS front is gone\n";

    return $self->_answer();
}

# closes the listening socket, until accept() or for so many milliseconds

sub refuse {
    my ($self, $ms) = @_;
    $self->_command($ms ? 'refuse ' . int $ms : 'refuse');
    return $self;
}

sub accept {
    my ($self) = @_;
    $self->_command('accept');
    return $self;
}

# resets all connections

sub drop {
    my ($self) = @_;
    $self->_command('drop');
    return $self;
}

sub stats {
    my ($self) = @_;
    my %stats;

    @stats{qw/ handshakes failed resumed open name /} =
        $self->_command('stats') =~ /^ok (\d+) (\d+) (\d+) (\d+) (.*)/;

    return \%stats;
}

sub signal {
    my ($self, $signal) = @_;
    kill $signal, $self->{pid};
}

sub stop {
    my ($self) = @_;

    my $pid = delete $self->{pid} or return;

    kill 'KILL', $pid;
    waitpid $pid, 0;
}

###############################################################################

1;
