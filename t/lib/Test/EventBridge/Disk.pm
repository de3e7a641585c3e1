package Test::EventBridge::Disk;

# Copyright (C) the ngx_http_eventbridge_module authors

# A disk of a given size for a test, in a mount namespace of its own: nobody
# else sees it, and it goes with the test.

###############################################################################

use warnings;
use strict;

use Exporter qw/ import /;
use POSIX qw/ uname /;

our @EXPORT_OK = qw/ disk remount undisk /;

my $private;

###############################################################################

# Mounts a tmpfs at dir.  Returns why it cannot, or nothing.  To be called
# before nginx starts: a process sees the mounts of its parent.

sub disk {
    my ($dir, $options) = @_;

    return 'only root may mount' if $> != 0;

    if (!$private) {
        my %nr = (x86_64 => 272, aarch64 => 97, riscv64 => 97, i686 => 310,
            i586 => 310, armv7l => 337, ppc64le => 282, s390x => 303);

        my $nr = $nr{(uname())[4]} or return 'unshare() has no known number';

        # CLONE_NEWNS
        return "unshare() failed: $!" if syscall($nr, 0x00020000) != 0;

        my $why = _run('mount', '--make-rprivate', '/');
        return $why if defined $why;

        $private = 1;
    }

    mkdir $dir or die "mkdir $dir: $!\n" if !-d $dir;

    return _run('mount', '-t', 'tmpfs', '-o', $options, 'tmpfs', $dir);
}

sub remount {
    my ($dir, $options) = @_;
    return _run('mount', '-o', "remount,$options", $dir);
}

sub undisk {
    my ($dir) = @_;
    return _run('umount', $dir);
}

sub _run {
    my (@command) = @_;

    my $pid = fork() // die "fork(): $!\n";

    if ($pid == 0) {
        open STDOUT, '>', '/dev/null';
        open STDERR, '>', '/dev/null';
        no warnings;
        exec @command;
        POSIX::_exit(127);
    }

    waitpid $pid, 0;

    return $? == 0 ? undef : "\"@command\" failed";
}

###############################################################################

1;
