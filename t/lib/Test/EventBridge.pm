package Test::EventBridge;

# Copyright (C) the ngx_http_eventbridge_module authors

# The harness of the prove tests: runs nginx with the module in a directory of
# its own, and at the end, always, checks what must be true of every run.
#
#   use FindBin;
#   use lib "$FindBin::Bin/lib";
#   use Test::EventBridge;
#
#   my $t = Test::EventBridge->new()->plan(1);
#   $t->conf(<<'EOF')->run();      # what is inside http { }, or a whole file
#   ...
#   EOF
#   is(post($t->port(0), '/', '[]')->status(), 200, 'empty batch');
#
# Environment: EB_NGINX, EB_MODULE (empty: none), EB_PRELOAD, EB_VALGRIND
# (1, or options), EB_KEEP, EB_TIMEOUT_SCALE, EB_SHARED_DATA; ASAN_OPTIONS and
# UBSAN_OPTIONS are kept and extended.

###############################################################################

use warnings;
use strict;

use Exporter qw/ import /;
use Cwd qw/ abs_path /;
use Errno qw/ EINTR /;
use File::Basename qw/ dirname basename /;
use File::Path qw/ remove_tree /;
use File::Temp qw/ tempdir /;
use IO::Socket::INET;
use JSON::PP ();
use POSIX qw/ WNOHANG :sys_wait_h /;
use Test::More ();

use Test::EventBridge::Check qw/ bad_lines missing_errors leak_lines
    sanitizer_reports secret_places decreased /;
use Test::EventBridge::Client qw/ post get raw client /;
use Test::EventBridge::HTTP2 qw/ h2_client /;
use Test::EventBridge::Mock;
use Test::EventBridge::Util qw/ now scaled wait_for read_file append_file
    parse_metrics child_pids process_title prctl /;

our @EXPORT = qw/ post get raw client h2_client wait_for read_file
    append_file /;

# the tests that finish() adds to the plan
use constant CHECKS => 8;

my $root = abs_path(dirname(__FILE__) . '/../../..');
my @live;

$SIG{INT} = $SIG{TERM} = $SIG{HUP} = sub { die "interrupted\n" };
$SIG{PIPE} = 'IGNORE';

###############################################################################

# workers (2), log_level (debug; info for many requests), connections (1024),
# auth (0; 1: the test is about it, nothing is added to configurations)

sub new {
    my ($class, %opt) = @_;

    my $name = basename($0);
    $name =~ s/\.t$//;

    my $self = bless {
        workers => 2, log_level => 'debug', connections => 1024, %opt,
        owner => $$, allow => [], secrets => [], input => {}, mocks => [],
        ports => {}, locks => [], problems => [], metrics_problems => [],
        nginx => $ENV{EB_NGINX} || '/usr/sbin/nginx'
    }, $class;

    $self->{dir} = tempdir("eb-$name-XXXX", TMPDIR => 1);

    # workers run as another user when we are root, and write here
    $self->{user} = $> == 0 ? (getpwnam('nobody'))[0] : undef;
    chmod 0755, $self->{dir};
    chown +(getpwnam('nobody'))[2, 3], $self->{dir} if $self->{user};

    # orphans of nginx become our children: a master that was upgraded can be
    # waited for, and nothing that is left over escapes
    $self->{subreaper} = prctl(36, 1)
        or die "cannot become a subreaper: $!\n";

    my $module = $ENV{EB_MODULE} // 'build/ngx_http_eventbridge_module.so';
    $module = "$root/$module" if $module ne '' && $module !~ m{^/};
    $self->{module} = $module;

    push @live, $self;

    return $self;
}

sub testdir { return $_[0]{dir} }
sub root { return $root }

# announces n tests, and those of finish()

sub plan {
    my ($self, $n) = @_;

    Test::More::plan(tests => $n + CHECKS);

    return $self;
}

# the files of other people's data, or none where they are not

sub shared_data {
    my ($self, $glob) = @_;

    my $dir = $ENV{EB_SHARED_DATA} // "$root/../shared/data";

    return sort glob "$dir/$glob";
}

###############################################################################

# A free port, the same for the same number.  It lies below the range of
# ephemeral ports; a socket of the other protocol keeps it from other tests.

sub port {
    my ($self, $n) = @_;

    return $self->{ports}{$n} if $self->{ports}{$n};

    for (1 .. 1000) {
        my $port = 12000 + int rand 20000;

        my $lock = IO::Socket::INET->new(Proto => 'udp',
            LocalAddr => "127.0.0.1:$port") or next;

        my $s = IO::Socket::INET->new(Proto => 'tcp', Listen => 1,
            LocalAddr => "127.0.0.1:$port", ReuseAddr => 1) or next;
        close $s;

        push @{$self->{locks}}, $lock;
        return $self->{ports}{$n} = $port;
    }

    die "no free port\n";
}

sub expand {
    my ($self, $text) = @_;

    $text =~ s/%%TESTDIR%%/$self->{dir}/g;
    $text =~ s/%%PORT_(\w+?)%%/$self->port($1)/ge;

    die "unknown macro $1\n" if $text =~ /(%%[A-Z]\w*%%)/;

    return $text;
}

sub write_file {
    my ($self, $name, $text, $mode) = @_;

    my $file = "$self->{dir}/$name";

    open my $fh, '>:raw', $file or die "open $file: $!\n";
    print $fh $self->expand($text) or die "write $file: $!\n";
    close $fh or die "close $file: $!\n";
    chmod $mode, $file if defined $mode;

    $self->{input}{$file} = 1;

    return $file;
}

# A file of secrets, that the group of the workers may read, put in its place
# by a rename; texts in it may be secret().

sub secret_file {
    my ($self, $name, $text, $mode) = @_;

    my $file = $self->write_file("$name.new", $text, $mode // 0640);

    chown 0, (getpwnam('nobody'))[3], $file if $> == 0;
    rename $file, "$self->{dir}/$name" or die "rename: $!\n";

    # the test has put the secrets there itself
    delete $self->{input}{$file};
    $self->{input}{"$self->{dir}/$name"} = 1;

    return "$self->{dir}/$name";
}

# The configuration for run() and reload(): the content of the http block, or
# a whole file when it has a line "http {".

sub conf {
    my ($self, $text) = @_;

    $self->{conf} = $self->_whole($self->expand($text), '');
    $self->write_file('nginx.conf', $self->{conf});

    return $self;
}

sub _whole {
    my ($self, $text, $name) = @_;
    my ($main, $http);

    my $dir = $self->{dir};

    $main = "daemon off;\n"
        . "pid $dir/nginx.pid$name;\n"
        . "error_log $dir/error.log$name $self->{log_level};\n";
    $main .= "worker_processes $self->{workers};\n"
        if $text !~ /^\s*worker_processes\s/m;
    $main .= "load_module $self->{module};\n"
        if $self->{module} ne '' && $text !~ /^\s*load_module\s/m;
    # without it, each ingest location is warned of
    my $open = $self->{module} ne '' && !$self->{auth}
        && $text =~ /\beventbridge_ingest\b/
        && $text !~ /\beventbridge_auth\b/;

    $main .= "env $_;\n" for qw/ ASAN_OPTIONS UBSAN_OPTIONS LD_PRELOAD /;
    $main .= "events {\n    worker_connections $self->{connections};\n}\n"
        if $text !~ /^\s*events\s*\{/m;

    $http = "    access_log $dir/access.log$name;\n";
    $http .= "    eventbridge_auth off;\n" if $open;
    $http .= "    ${_}_temp_path $dir/${_}_temp;\n"
        for qw/ client_body proxy fastcgi uwsgi scgi /;

    return $main . $text if $text =~ s/^(\s*http\s*\{[ \t]*\n)/$1$http/m;

    return "${main}http {\n$http$text\n}\n";
}

###############################################################################

sub _environment {
    my ($self) = @_;

    my $dir = $self->{dir};

    $ENV{$_} = join ':', grep { defined && $_ ne '' } $ENV{$_}, @{{
        ASAN_OPTIONS => [ 'detect_leaks=0', 'abort_on_error=0',
            "log_path=$dir/asan" ],
        UBSAN_OPTIONS => [ 'print_stacktrace=1', "log_path=$dir/ubsan" ]
    }->{$_}} for qw/ ASAN_OPTIONS UBSAN_OPTIONS /;

    if ($ENV{EB_PRELOAD}) {
        $ENV{LD_PRELOAD} = $ENV{EB_PRELOAD};
    }
}

sub _command {
    my ($self, $conf, $log) = @_;
    my @valgrind;

    if ($ENV{EB_VALGRIND}) {
        @valgrind = ('valgrind', '-q', '--trace-children=yes',
            "--log-file=$self->{dir}/valgrind.%p",
            grep { $_ ne '1' } split ' ', $ENV{EB_VALGRIND});
    }

    return (@valgrind, $self->{nginx}, '-p', "$self->{dir}/", '-c', $conf,
        '-e', "$self->{dir}/$log");
}

# Starts nginx; false, with the reason in the log, when it does not come up.

sub try_run {
    my ($self) = @_;

    die "nginx is running\n" if $self->{pid};
    die "no configuration\n" if !defined $self->{conf};

    my $dir = $self->{dir};
    unlink "$dir/nginx.pid";

    pipe(my $pid_rd, my $pid_wr) or die "pipe(): $!\n";
    pipe(my $go_rd, my $go_wr) or die "pipe(): $!\n";

    # nginx ignores USR2 as long as the process that started it lives: so one
    # in between starts it and goes

    my $between = fork() // die "fork(): $!\n";

    if ($between == 0) {
        my $pid = fork() // POSIX::_exit(1);

        if ($pid == 0) {
            POSIX::setpgid(0, 0);
            close $_ for $pid_rd, $pid_wr, $go_rd, $go_wr;
            open STDIN, '<', '/dev/null';
            open STDOUT, '>>', "$dir/stdout";
            open STDERR, '>>', "$dir/stderr";
            $SIG{$_} = 'DEFAULT' for qw/ INT TERM HUP PIPE /;
            $self->_environment();
            no warnings;
            exec $self->_command("$dir/nginx.conf", 'error.log');
            POSIX::_exit(127);
        }

        close $go_wr;
        syswrite $pid_wr, "$pid\n";
        close $pid_wr;
        sysread $go_rd, my $byte, 1;
        POSIX::_exit(0);
    }

    close $pid_wr;
    close $go_rd;
    my $pid = <$pid_rd>;
    chomp $pid;

    my $up = wait_for(sub {
        return 'dead' if !_alive($pid);
        return (read_file("$dir/nginx.pid") // '') =~ /^\Q$pid\E\n/;
    }, 20);

    close $go_wr;
    waitpid $between, 0;

    $self->{pid} = $self->{group} = $pid;

    # of another process that had this number
    delete $self->{exit}{$pid};

    if ($up && $up ne 'dead') {
        $up = wait_for(sub {
            return 'dead' if !_alive($pid);
            return $self->worker_pids() >= $self->_workers();
        }, 20);
    }

    if (!$up || $up eq 'dead') {
        delete $self->{pid};
        $self->_kill_group($pid);
        return 0;
    }

    return 1;
}

sub run {
    my ($self) = @_;

    return $self if $self->try_run();

    my $log = join '', grep { !/ \[(?:debug|info)\] / }
        split /^/, $self->log() . (read_file("$self->{dir}/stderr") // '');

    die "nginx does not start:\n$log";
}

# exists and is no zombie

sub _alive {
    my ($pid) = @_;

    my $stat = read_file("/proc/$pid/stat") // return 0;

    return $stat =~ /\) ([^ZX]) [^)]*\z/s;
}

sub _kill_group {
    my ($self, $group) = @_;

    kill 'KILL', -$group;

    # They are our children, or become so when their parents die.  One that
    # looks dead and cannot be collected has a thread that is still dying, and
    # its sockets are still open.
    wait_for(sub {
        return !$self->_reap($group)
            && !grep { getpgrp($_) == $group } _zombies($$);
    }, 10);
}

# Collects the dead; returns those of a process group that still run.

sub _reap {
    my ($self, $group) = @_;

    my %mock = map { $_ => 1 } map { $_->pids() } @{$self->{mocks}};

    for my $pid (child_pids($$), _zombies($$)) {
        next if $mock{$pid};

        if (waitpid($pid, WNOHANG) == $pid) {
            $self->{exit}{$pid} = $?;
        }
    }

    return grep { getpgrp($_) == $group } grep { _alive($_) }
        _descendants($$);
}

sub _zombies {
    my ($parent) = @_;
    my @pids;

    opendir my $dh, '/proc' or return;

    for my $pid (grep { /^\d+$/ } readdir $dh) {
        my $stat = read_file("/proc/$pid/stat") // next;
        push @pids, $pid if $stat =~ /\) Z (\d+) [^)]*\z/s && $1 == $parent;
    }

    return @pids;
}

sub _descendants {
    my ($pid) = @_;
    return map { ($_, _descendants($_)) } child_pids($pid);
}

sub _workers {
    my ($self) = @_;
    my ($n) = $self->{conf} =~ /^\s*worker_processes\s+(\d+)/m;
    return $n;
}

###############################################################################

sub pid { return $_[0]{pid} }

# workers of the present master that are ready (not those that shut down)

sub worker_pids {
    my ($self, $master) = @_;

    my @pids = child_pids($master // $self->{pid});

    if ($ENV{EB_VALGRIND}) {
        my %old = map { $_ => 1 } $self->old_workers();
        return grep { !$old{$_} } @pids;
    }

    return grep { process_title($_) =~ /worker process$/ } @pids;
}

# those that are on their way out

sub old_workers {
    my ($self) = @_;

    my @pids = _descendants($self->{pid});

    # Valgrind's own command line does not change

    if ($ENV{EB_VALGRIND}) {
        my %told = map { $_ => 1 }
            $self->log() =~ / (\d+)#\d+: gracefully shutting down/g;
        return grep { $told{$_} } @pids;
    }

    return grep { process_title($_) =~ /is shutting down$/ } @pids;
}

# resident bytes

sub worker_memory {
    my ($self, $pid) = @_;

    my ($kb) = (read_file("/proc/$pid/status") // '')
        =~ /^VmRSS:\s+(\d+) kB/m;

    return ($kb // 0) * 1024;
}

sub signal {
    my ($self, $signal) = @_;
    kill $signal, $self->{pid} or die "kill $signal: $!\n";
    return $self;
}

# New configuration (conf() before it), new workers.  Returns when they run
# and the old ones are gone; keep_old => 1 does not wait for the latter.
# False when nginx refused, which it logs.

sub reload {
    my ($self, %opt) = @_;

    my %old = map { $_ => 1 } child_pids($self->{pid});
    my $start = -s "$self->{dir}/error.log";

    $self->signal('HUP');

    my $new = wait_for(sub {
        return 'refused' if $self->log($start) =~ / \[emerg\] /;
        return $self->_workers()
            == grep { !$old{$_} } $self->worker_pids();
    }, 20);

    return 0 if !$new || $new eq 'refused';
    return 1 if $opt{keep_old};

    return wait_for(sub { !grep { $old{$_} } child_pids($self->{pid}) },
        $opt{timeout} // 20);
}

# A new master of the same binary takes over; the old one must exit with 0.
# with => sub { }: called while both generations run.

sub upgrade {
    my ($self, %opt) = @_;

    my $file = "$self->{dir}/nginx.pid";
    my $old = $self->{pid};

    $self->signal('USR2');

    my $new = wait_for(sub {
        my ($pid) = (read_file($file) // '') =~ /^(\d+)\n/;
        return defined $pid && $pid != $old
            && $self->worker_pids($pid) >= $self->_workers() ? $pid : 0;
    }, 20);

    return 0 if !$new;

    $opt{with}->($old, $new) if $opt{with};

    kill 'QUIT', $old;
    $self->{pid} = $new;
    delete $self->{exit}{$new};

    if (!defined $self->_wait_master($old, $opt{timeout} // 20)) {
        push @{$self->{problems}}, "old master $old ignored QUIT";
        kill 'KILL', $old;
        return 0;
    }

    return 1;
}

# waits for the exit of a master, and records it; undef when it stays

sub _wait_master {
    my ($self, $pid, $sec) = @_;

    my $gone = wait_for(sub {
        my $rc = waitpid $pid, WNOHANG;
        $self->{exit}{$pid} = $? if $rc == $pid;
        return exists $self->{exit}{$pid} || $rc == -1;
    }, $sec);

    return undef if !$gone;

    my $status = $self->{exit}{$pid} // 0;

    push @{$self->{problems}}, sprintf 'master %d exited with %s', $pid,
        $status & 127 ? 'signal ' . ($status & 127) : 'code ' . ($status >> 8)
        if $status;

    return $status;
}

# Kills a worker (the first, or this pid), and waits for its successor.

sub kill_worker {
    my ($self, $signal, $pid) = @_;

    my %old = map { $_ => 1 } $self->worker_pids();
    $pid //= (sort { $a <=> $b } keys %old)[0];

    $self->allow_error('alert',
        qr/worker process $pid exited on signal \d+/);

    kill $signal // 'KILL', $pid;

    return wait_for(sub {
        my @now = $self->worker_pids();
        return @now == $self->_workers() && !grep { $_ == $pid } @now;
    }, 10);
}

# everything at once, as a power cut does; run() starts it again

sub kill_all {
    my ($self) = @_;

    delete $self->{pid};
    $self->_kill_group($self->{group});

    return $self;
}

# Renames files in the test directory (by default the error log), then USR1;
# true when no process of this master has the old ones open any more.

sub reopen {
    my ($self, @names) = @_;

    my $n = ++$self->{reopens};
    my %old;

    @names = ('error.log') if !@names;

    for my $name (@names) {
        my $file = "$self->{dir}/$name";
        rename $file, "$file.reopen$n" or die "rename $file: $!\n";
        $old{"$file.reopen$n"} = 1;
    }

    $self->signal('USR1');

    return wait_for(sub {
        for my $pid ($self->{pid}, child_pids($self->{pid})) {
            return 0 if grep { $old{readlink($_) // ''} }
                glob "/proc/$pid/fd/*";
        }

        return !grep { !-e "$self->{dir}/$_" } @names;
    }, 10);
}

# QUIT, as an administrator stops it; what that leaves is finish()'s business.
# signal => 'TERM' does not wait for anything.

sub stop {
    my ($self, %opt) = @_;

    return $self if !$self->{pid};

    $self->_last_scrape();

    my $pid = delete $self->{pid};

    kill $opt{signal} // 'QUIT', $pid;

    if (!defined $self->_wait_master($pid, $opt{timeout} // 20)) {
        push @{$self->{problems}}, 'QUIT did not stop nginx';
        kill 'TERM', $pid;

        if (!defined $self->_wait_master($pid, 5)) {
            push @{$self->{problems}}, 'TERM did not stop nginx';
        }
    }

    # what is just about to end is none of these
    my @left;
    wait_for(sub { !(@left = $self->_reap($self->{group})) }, 2);

    if (@left) {
        push @{$self->{left}}, map { "$_ " . process_title($_) } @left;
        $self->_kill_group($self->{group});
    }

    return $self;
}

# nginx -t with another configuration: exit code, what it printed

sub test_config {
    my ($self, $text) = @_;

    my $n = ++$self->{tests};
    my $name = ".t$n";
    my $conf = $self->write_file("nginx.conf$name",
        $self->_whole($self->expand($text), $name));
    my $out = "$self->{dir}/out$name";

    my $pid = fork() // die "fork(): $!\n";

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', $out;
        open STDERR, '>&', \*STDOUT;
        $self->_environment();
        no warnings;
        exec $self->_command($conf, "error.log$name"), '-t';
        POSIX::_exit(127);
    }

    if (!wait_for(sub { waitpid($pid, WNOHANG) == $pid }, 20)) {
        kill 'KILL', $pid;
        waitpid $pid, 0;
        return (-1, "nginx -t hangs\n");
    }

    my $status = $?;

    return ($status & 127 ? 128 + ($status & 127) : $status >> 8,
        read_file($out) // '');
}

###############################################################################

# a running mock at port(n), or a Genesys Cloud

sub mock {
    my ($self, $n, %opt) = @_;
    return $self->_mock('Test::EventBridge::Mock', $n, %opt);
}

sub genesys {
    my ($self, $n, %opt) = @_;
    require Test::EventBridge::Genesys;
    return $self->_mock('Test::EventBridge::Genesys', $n, %opt);
}

sub _mock {
    my ($self, $class, $n, %opt) = @_;

    my $mock = $class->new($self->port($n), $self->{dir}, %opt);

    push @{$self->{mocks}}, $mock;

    return $mock->start();
}

###############################################################################

# the error log (from an offset)

sub log {
    my ($self, $from) = @_;

    open my $fh, '<:raw', "$self->{dir}/error.log" or return '';
    seek $fh, $from, 0 if $from;
    local $/;

    return <$fh> // '';
}

sub log_like {
    my ($self, $re, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    Test::More::ok($self->log() =~ $re, $name // "log has $re");
}

sub log_unlike {
    my ($self, $re, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($line) = $self->log() =~ /^([^\n]*$re[^\n]*)/m;

    Test::More::ok(!defined $line, $name // "log has no $re")
        or Test::More::diag($line);
}

# true as soon as the log (from an offset) matches

sub wait_log {
    my ($self, $re, $sec, $from) = @_;
    return wait_for(sub { $self->log($from) =~ $re }, $sec);
}

# Announces a line of this level.  It must appear, unless maybe => 1.

sub allow_error {
    my ($self, $level, $re, %opt) = @_;

    push @{$self->{allow}}, { level => $level, re => $re, %opt };

    return $self;
}

# A text that must not occur in any file of the test directory, except those
# that the test wrote with write_file(), and those that match ok_in.

sub secret {
    my ($self, $text, %opt) = @_;

    push @{$self->{secrets}}, { text => $text, ok_in => $opt{ok_in},
        n => @{$self->{secrets}} + 1 };

    return $self;
}

###############################################################################

# Lines of an audit log, decoded; those that are no JSON object, and names
# that are not in the list (when one is given), fail a test of that name.

sub audit_lines {
    my ($self, $file, $fields) = @_;
    my (@lines, @bad);
    my $json = JSON::PP->new()->utf8();

    $file = "$self->{dir}/$file" if $file !~ m{^/};

    my $text = read_file($file) // '';
    push @bad, 'no newline at the end' if $text ne '' && $text !~ /\n\z/;

    for my $line (split /\n/, $text) {
        my $value = eval { $json->decode($line) };

        if (ref $value ne 'HASH') {
            push @bad, $line;
            next;
        }

        if ($fields) {
            my %known = map { $_ => 1 } @$fields;
            push @bad, map { "unknown \"$_\" in $line" }
                grep { !$known{$_} } sort keys %$value;
        }

        push @lines, $value;
    }

    if (@bad) {
        push @{$self->{problems}}, map { "audit: $_" } @bad;
    }

    return @lines;
}

###############################################################################

# The same of a log that is written within 100 ms of what it tells: when it has
# stayed as it is.

sub audit_settled {
    my ($self, $file) = @_;
    my ($size, $since) = (-1, 0);

    wait_for(sub {
        my $is = -s "$self->{dir}/$file" // 0;
        ($size, $since) = ($is, now()) if $is != $size;
        return now() - $since > 0.25;
    }, 10);

    return $self->audit_lines($file);
}

###############################################################################

# where the exposition is; found in the configuration when not said

sub metrics_at {
    my ($self, $port, $path) = @_;
    $self->{metrics_at} = [ $port, $path ];
    return $self;
}

sub _metrics_at {
    my ($self) = @_;
    my ($port, $path);

    return $self->{metrics_at} if $self->{metrics_at};

    my $conf = ($self->{conf} // '') =~ s/^\s*#.*\n//mgr;
    my ($before) = $conf =~ /^(.*?)\beventbridge_metrics\s*;/s or return;

    my ($server) = $before =~ /.*\bserver\s*\{(.*)/s;

    for ($server =~ /\blisten\s+([^;]*);/g) {
        next if /\b(?:http2|ssl)\b/;
        ($port) = /^(?:127\.0\.0\.1:)?(\d+)/ if !defined $port;
    }

    ($path) = $before =~ /.*\blocation\s+(?:=\s+)?(\/\S*)\s*\{/s;

    return defined $port && defined $path ? [ $port, $path ] : undef;
}

# A scrape: { 'name{label="value"}' => value }.  What is wrong with it fails
# the test that finish() adds.

sub metrics {
    my ($self) = @_;

    my $at = $self->_metrics_at() or die "no location with metrics\n";
    my $r = get(@$at);
    my $problems = $self->{metrics_problems};

    $self->{scrapes}++;

    if ($r->status() != 200) {
        push @$problems, 'metrics: ' . $r->text();
        return {};
    }

    push @$problems, 'content type ' . ($r->header('Content-Type') // 'none')
        if ($r->header('Content-Type') // '') !~ m{^text/plain; version=0\.0\.4}
        ;

    my ($series, $type, $errors) = parse_metrics($r->body());

    push @$problems, @$errors;
    push @$problems, decreased($self->{last_scrape}, $series, $type)
        if $self->{last_scrape};

    $self->{last_scrape} = $series;

    return $series;
}

# Counters may start again: the test removed their file.

sub metrics_forget {
    my ($self) = @_;
    delete $self->{last_scrape};
    return $self;
}

# the sum of the series of one name that have these labels; undef when there
# is none

sub metric {
    my ($self, $name, %labels) = @_;
    my ($sum, $series);

    $series = $self->metrics();

    for my $key (keys %$series) {
        my ($n, $l) = $key =~ /^([^{]*)(?:\{(.*)\})?$/s;

        next if $n ne $name;
        next if grep { index(",$l,", qq/,$_="$labels{$_}",/) < 0 }
            keys %labels;

        $sum += $series->{$key};
    }

    return $sum;
}

# the first scrape must not be the last: one before QUIT

sub _last_scrape {
    my ($self) = @_;

    return if !$self->_metrics_at() || !$self->worker_pids();

    $self->metrics();
}

###############################################################################

# The checks of every run, as tests.  Called at the end of the script by
# itself; more than one object: each has its own.

sub finish {
    my ($self, $status) = @_;

    return if $self->{finished}++;

    $self->stop();
    $_->stop() for @{$self->{mocks}};

    my ($log, $stderr, @reports, $file);

    $log = '';
    $log .= read_file($_) // '' for glob "$self->{dir}/error.log "
        . "$self->{dir}/error.log.reopen*";
    $stderr = read_file("$self->{dir}/stderr") // '';

    $self->_result('QUIT was enough, exit code 0', @{$self->{problems}});
    $self->_result('no alert, crit or emerg',
        bad_lines("$log$stderr", $self->{allow}));
    $self->_result('announced errors appeared',
        missing_errors("$log$stderr", $self->{allow}));
    $self->_result('no open socket, no exit on a signal',
        leak_lines($log, $self->{allow}));

    @reports = sanitizer_reports("$log$stderr");

    for $file (glob "$self->{dir}/asan.* $self->{dir}/ubsan.* "
        . "$self->{dir}/valgrind.*")
    {
        push @reports, $file, grep { $_ ne '' }
            (split /\n/, read_file($file))[0 .. 15]
            if -s $file
            && ($file !~ /valgrind/ || sanitizer_reports(read_file($file)));
    }

    $self->_result('no report of a sanitizer', grep { defined } @reports);

    # what other objects of this script still run is not left over
    my %known = map { $_ => 1 } map { ($_->{pid} // 0,
        map { $_->pids() } @{$_->{mocks}}) } grep { !$_->{finished} } @live;
    my @left;

    wait_for(sub {
        $self->_reap(0);
        return !(@left = grep { !$known{$_} } child_pids($$));
    }, 2);

    $self->_result('no process left', @{$self->{left} // []},
        map { "$_ " . process_title($_) } @left);

    if (@left) {
        kill 'KILL', @left;
        $self->_reap(0);
    }

    $self->_result('no secret in any file',
        secret_places($self->{dir}, $self->{secrets}, $self->{input}));

  SKIP: {
        Test::More::skip('no metrics', 1) if !$self->{scrapes};
        $self->_result('metrics are valid', @{$self->{metrics_problems}});
    }

    if (Test::More->builder()->is_passing() && !$status && !$ENV{EB_KEEP}) {
        remove_tree($self->{dir});

    } else {
        Test::More::diag("kept $self->{dir}");
    }
}

sub _result {
    my ($self, $name, @problems) = @_;

    Test::More::ok(!@problems, $name);

    return if !@problems;

    my $n = @problems;
    splice @problems, 12;
    chomp @problems;

    Test::More::diag("$n: " . join "\n   ", map { substr $_, 0, 500 }
        @problems);
}

# Runs before the END of Test::Builder, which was compiled earlier.

END {
    my $status = $?;

    for my $t (@live) {
        next if $t->{owner} != $$;

        # a test that skipped everything has no plan to add to
        if ((Test::More->builder()->has_plan() // '') eq ''
            && !Test::More->builder()->current_test())
        {
            $t->stop();
            $_->stop() for @{$t->{mocks}};
            remove_tree($t->{dir});
            next;
        }

        eval { $t->finish($status); 1 } or Test::More::diag("finish: $@");
    }

    $? = $status;
}

###############################################################################

1;
