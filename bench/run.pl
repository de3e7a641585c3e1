#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# The module, plain proxying of the same bytes, and the same job in OpenResty
# Lua, side by side: docs/performance.md says what is measured and how to read
# it.

###############################################################################

use warnings;
use strict;

use Cwd qw/ abs_path /;
use File::Basename qw/ dirname /;
use File::Temp qw/ tempdir /;
use Getopt::Long;
use IO::Socket::INET;
use POSIX qw/ sysconf _SC_CLK_TCK WNOHANG /;
use Time::HiRes qw/ time usleep /;

###############################################################################

# what the END block needs, however early the end comes
my $owner = $$;
my ($dir, %masters);

my $bench = abs_path(dirname($0));
my $root = dirname($bench);

my %o = (
    nginx => $ENV{NGINX} || 'nginx',
    module => $ENV{EB_MODULE}
        || "$root/build/ngx_http_eventbridge_module.so",
    modules => '/usr/lib/nginx/modules',
    rounds => 5,
    seconds => 2,
    connections => 16,
    zone => '256m',
    sync => '1s',
    dir => '',
    cases => '1,100-1,100-4',
    audit => 'off,on',
    servers => 'module,proxy,lua',
);

GetOptions(\%o, 'nginx=s', 'module=s', 'modules=s', 'rounds=i', 'seconds=f',
    'connections=i', 'zone=s', 'sync=s', 'dir=s', 'cases=s', 'audit=s',
    'servers=s', 'keep', 'help')
    or exit 2;

if ($o{help}) {
    print <<'EOT';
usage: perl bench/run.pl [options]

    --rounds N        rounds of each figure (5)
    --seconds T       length of one round (2)
    --connections N   of the load client (16)
    --cases LIST      1,100-1,100-4
    --audit LIST      off,on
    --servers LIST    module,proxy,lua
    --zone SIZE       of the checkpoint (256m)
    --sync TIME|off   of the checkpoint (1s)
    --dir DIR         where files are put (/dev/shm, if there is one)
    --nginx FILE      the nginx to run
    --module FILE     the module
    --modules DIR     where the Lua module is
    --keep            keep the directory with configurations and logs
EOT
    exit 0;
}

die "run.pl: --rounds and --seconds must be positive\n"
    if $o{rounds} < 1 || $o{seconds} <= 0;

my %known = (
    '1' => { events => 1, spread => 1 },
    '100-1' => { events => 100, spread => 1 },
    '100-4' => { events => 100, spread => 4 },
);

my @cases = split /,/, $o{cases};
my @audits = split /,/, $o{audit};
my @servers = split /,/, $o{servers};

for (@cases) {
    die "run.pl: unknown case \"$_\"\n" unless $known{$_};
}

for (@audits) {
    die "run.pl: --audit takes \"on\" and \"off\"\n" unless /^(on|off)$/;
}

for (@servers) {
    die "run.pl: unknown server \"$_\"\n" unless /^(module|proxy|lua)$/;
}

###############################################################################

my @ports;

# a tmpfs takes the disk out of the figures
$o{dir} ||= '/dev/shm' if -w '/dev/shm';

$dir = tempdir('eb-bench-XXXXXX', $o{dir} ? (DIR => $o{dir}) : (TMPDIR => 1),
    CLEANUP => !$o{keep});

$SIG{INT} = $SIG{TERM} = sub { exit 1 };

# workers of a server that root starts are somebody else
chmod 0755, $dir or die "run.pl: chmod $dir: $!\n";

if (!-e $o{module} && grep { $_ eq 'module' } @servers) {
    die "run.pl: there is no $o{module}: run \"make\" first\n";
}

$o{module} = abs_path($o{module}) if -e $o{module};

if ((grep { $_ eq 'lua' } @servers) && !lua_works()) {
    print "Lua is left out: libnginx-mod-http-lua and lua-cjson are not "
        . "installed\n";
    @servers = grep { $_ ne 'lua' } @servers;
}

my $load = "$dir/load";

system($ENV{CC} || 'cc', '-O2', '-o', $load, "$bench/load.c") == 0
    or die "run.pl: $bench/load.c does not compile\n";

for my $case (@cases) {
    write_file("body-$case", body($known{$case}));
}

my $backend = free_port();
my %port = map { $_ => free_port() } @servers;

@ports = ();

start('destination', $backend, destination_conf());
start($_, $port{$_}, server_conf($_)) for @servers;

my %worker = map { $_ => worker($masters{$_}) } @servers;

printf "new events of %d bytes, %d connections, medians of %d rounds of %s s, "
    . "one worker a server\n\n",
    length(event(0, 1)), $o{connections}, $o{rounds}, $o{seconds};

for my $case (@cases) {
    for my $audit (@audits) {
        my $rate = measure($case, $audit);
        half_load($case, $audit, $rate / 2) if $rate;
    }
}

###############################################################################

sub measure {
    my ($case, $audit) = @_;

    my (%figures, %us);

    # each server has to warm up: connections, JIT, pages
    run_load($_, $case, $audit, '-n', 200) for @servers;

    for my $round (0 .. $o{rounds} - 1) {

        # the order rotates, so that nobody always runs after another
        for my $n (0 .. $#servers) {
            my $server = $servers[($n + $round) % @servers];

            my $before = ticks($worker{$server});
            my ($requests, undef, $rate, $p50, $p99)
                = run_load($server, $case, $audit, '-t', $o{seconds});
            my $spent = ticks($worker{$server}) - $before;

            push @{$figures{$server}{us}},
                $spent / sysconf(_SC_CLK_TCK) * 1e6 / $requests;
            push @{$figures{$server}{rate}}, $rate;
            push @{$figures{$server}{p50}}, $p50;
            push @{$figures{$server}{p99}}, $p99;
        }
    }

    printf "%-19s %10s %10s %9s %9s %9s\n", "$case, audit $audit",
        'us/batch', 'req/s', 'p50 us', 'p99 us', 'x proxy';

    for my $server (@servers) {
        my $f = $figures{$server};

        $us{$server} = median(@{$f->{us}});

        printf "  %-17s %10.1f %10.0f %9.0f %9.0f", $server,
            $us{$server}, median(@{$f->{rate}}),
            median(@{$f->{p50}}), median(@{$f->{p99}});

        # rounds are paired: what disturbs one disturbs its neighbors
        printf " %9.2f", median(ratios($f->{us}, $figures{proxy}{us}))
            if $figures{proxy} && $server ne 'proxy';

        print "\n";
    }

    printf "  lua/module %.1f\n", median(ratios($figures{lua}{us},
        $figures{module}{us}))
        if $figures{lua} && $figures{module};

    print "\n";

    return $figures{module} && $figures{proxy}
        ? median(@{$figures{module}{rate}}) : 0;
}


# latency when the module has half of what it can bear, and of plain proxying
# at the same rate

sub half_load {
    my ($case, $audit, $rate) = @_;

    my %figures;

    printf "%-19s %10s %10s %9s %9s\n", "$case, audit $audit",
        'us/batch', 'at req/s', 'p50 us', 'p99 us';

    for my $round (0 .. $o{rounds} - 1) {
        for my $server ($round % 2 ? qw/ module proxy /
            : qw/ proxy module /)
        {
            my $before = ticks($worker{$server});
            my ($requests, undef, $got, $p50, $p99) = run_load($server,
                $case, $audit, '-t', $o{seconds}, '-r', $rate);

            push @{$figures{$server}{us}},
                (ticks($worker{$server}) - $before)
                / sysconf(_SC_CLK_TCK) * 1e6 / $requests;
            push @{$figures{$server}{rate}}, $got;
            push @{$figures{$server}{p50}}, $p50;
            push @{$figures{$server}{p99}}, $p99;
        }
    }

    for my $server (qw/ module proxy /) {
        my $f = $figures{$server};

        printf "  %-17s %10.1f %10.0f %9.0f %9.0f\n", $server,
            median(@{$f->{us}}), median(@{$f->{rate}}), median(@{$f->{p50}}),
            median(@{$f->{p99}});
    }

    printf "  x proxy: CPU %.2f, p99 %.1f\n\n",
        median(ratios($figures{module}{us}, $figures{proxy}{us})),
        median(ratios($figures{module}{p99}, $figures{proxy}{p99}));
}


sub run_load {
    my ($server, $case, $audit, @args) = @_;

    my @command = ($load, '-p', $port{$server}, '-b', "$dir/body-$case",
        '-u', $audit eq 'on' ? '/v1/audited' : '/v1/events',
        '-c', $o{connections}, @args);

    # whatever was not delivered was not measured either
    push @command, '-e', "\"forwarded\":$known{$case}{events}"
        unless $server eq 'proxy';

    open my $fh, '-|', @command or die "run.pl: $load: $!\n";
    my $line = <$fh>;
    close $fh or die "run.pl: the load on \"$server\" failed, case $case; "
        . "its log:\n" . tail("$dir/$server/error.log") . "\n";

    return split / /, $line;
}


sub ratios {
    my ($one, $two) = @_;

    return map { $two->[$_] > 0 ? $one->[$_] / $two->[$_] : 0 } 0 .. $#$one;
}


sub median {
    my @sorted = sort { $a <=> $b } @_;

    return @sorted % 2 ? $sorted[$#sorted / 2]
        : ($sorted[@sorted / 2 - 1] + $sorted[@sorted / 2]) / 2;
}

###############################################################################

# utime and stime of all threads of a process

sub ticks {
    my ($pid) = @_;

    my $stat = read_file("/proc/$pid/stat");
    $stat =~ s/.*\)\s//s or die "run.pl: process $pid has gone\n";

    my @fields = split / /, $stat;

    return $fields[11] + $fields[12];
}


sub worker {
    my ($master) = @_;

    for my $file (glob '/proc/[0-9]*/stat') {
        my $stat = eval { read_file($file) } or next;

        return $1 if $stat =~ /^(\d+) \(.*\) \S $master /s;
    }

    die "run.pl: nginx $master has no worker\n";
}

###############################################################################

sub event {
    my ($i, $spread) = @_;

    # source, region and priority of an event for each of the routes
    my @kinds = (
        [ 'interaction:chat', 'eu-central-1', 'high' ],
        [ 'conversation:voice', 'us-east-1', 'normal' ],
        [ 'routing:queue', 'eu-west-1', 'normal' ],
        [ 'analytics:queue:summary', 'us-east-1', 'low' ],
    );

    my ($source, $region, $priority) = @{$kinds[$i % $spread]};

    my $text = sprintf '{"id":"%s-%04d","source":"%s",'
        . '"timestamp":"2026-03-19T22:04:48.128Z","data":{'
        . '"conversationId":"5e2c0b1a-7f6e-4d3c-9b8a-%012d",'
        . '"participantId":"0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d",'
        . '"mediaType":"VOICE","direction":"INBOUND","durationMs":%d,'
        . '"score":0.9375,"flags":[true,false,null],'
        . '"note":"caller said \"hello\" \u2013 transferred"},'
        . '"metadata":{"region":"%s","priority":"%s",'
        . '"CorrelationId":"8f72aa10-%04d"},"padding":"',
        '%' x 16, $i, $source, $i, 1000 + $i, $region, $priority, $i;

    return $text . 'x' x (510 - length($text) - 2) . '"}';
}


sub body {
    my ($case) = @_;

    return '{"events":[' . join(',', map { event($_, $case->{spread}) }
        0 .. $case->{events} - 1) . ']}';
}

###############################################################################

sub common_conf {
    my ($name) = @_;

    my $user = $> == 0 ? 'user root;' : '';

    return <<"EOT";
$user
daemon off;
worker_processes 1;
pid $dir/$name/nginx.pid;
error_log $dir/$name/error.log notice;
worker_rlimit_nofile 4096;
events { worker_connections 2048; }
EOT
}


sub http_conf {
    my ($name) = @_;

    return <<"EOT";
    access_log off;
    keepalive_requests 100000000;
    client_max_body_size 8m;
    client_body_buffer_size 256k;
    client_body_temp_path $dir/$name/body;
    proxy_temp_path $dir/$name/proxy;
    fastcgi_temp_path $dir/$name/fastcgi;
    uwsgi_temp_path $dir/$name/uwsgi;
    scgi_temp_path $dir/$name/scgi;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
EOT
}


sub upstream_conf {
    return <<"EOT";
    upstream destination {
        server 127.0.0.1:$backend;
        keepalive 256;
        keepalive_requests 100000000;
    }
EOT
}


sub to_conf {
    return join '', map { <<"EOT" } qw/ a b c d /;
        location = /to/$_ {
            internal;
            client_max_body_size 0;
            proxy_pass http://destination;
        }
EOT
}


sub destination_conf {
    my $common = common_conf('destination');
    my $http = http_conf('destination');

    return <<"EOT";
$common
http {
$http
    server {
        listen 127.0.0.1:$backend;
        location / { return 200; }
    }
}
EOT
}


sub server_conf {
    my ($name) = @_;

    my $http = http_conf($name) . upstream_conf();
    my $common = common_conf($name);

    return proxy_conf($common, $http) if $name eq 'proxy';
    return lua_conf($common, $http) if $name eq 'lua';
    return module_conf($common, $http);
}


sub proxy_conf {
    my ($common, $http) = @_;

    return <<"EOT";
$common
http {
$http
    server {
        listen 127.0.0.1:$port{proxy};
        location / { proxy_pass http://destination; }
    }
}
EOT
}


sub module_conf {
    my ($common, $http) = @_;

    my $to = to_conf();

    my $routes = <<'EOT';
            eventbridge_ingest;
            eventbridge_checkpoint bench;
            eventbridge_route /to/a source=^conversation:
                metadata.region=us-east-1;
            eventbridge_route /to/b source=^interaction:
                metadata.priority=high;
            eventbridge_route /to/c source=^(presence|routing):
                metadata.region=eu-west-1;
            eventbridge_route /to/d source=^analytics:[a-z]+:summary$
                metadata.priority=low;
EOT

    return <<"EOT";
load_module $o{module};
$common
http {
$http
    eventbridge_checkpoint_zone zone=bench:$o{zone} sync=$o{sync}
        path=$dir/module/checkpoint;

    server {
        listen 127.0.0.1:$port{module};

        location = /v1/events {
$routes
        }

        location = /v1/audited {
$routes
            eventbridge_audit_log $dir/module/audit.jsonl;
        }

        location = /metrics { eventbridge_metrics; }
$to
    }
}
EOT
}


sub lua_conf {
    my ($common, $http) = @_;

    my $to = to_conf();

    return <<"EOT";
load_module $o{modules}/ndk_http_module.so;
load_module $o{modules}/ngx_http_lua_module.so;
$common
http {
$http
    lua_shared_dict seen 1024m;
    lua_shared_dict counters 1m;
    lua_package_path '$bench/?.lua;;';
    init_by_lua_block { require "ingest" }
    init_worker_by_lua_block {
        require("ingest").open_audit("$dir/lua/audit.jsonl")
    }

    server {
        listen 127.0.0.1:$port{lua};

        location = /v1/events {
            set \$audited 0;
            content_by_lua_block { require("ingest").ingest() }
        }

        location = /v1/audited {
            set \$audited 1;
            content_by_lua_block { require("ingest").ingest() }
        }
$to
    }
}
EOT
}


sub lua_works {
    return 0 unless -e "$o{modules}/ngx_http_lua_module.so"
        && -e "$o{modules}/ndk_http_module.so";

    mkdir "$dir/probe";
    write_file('probe/nginx.conf', <<"EOT");
load_module $o{modules}/ndk_http_module.so;
load_module $o{modules}/ngx_http_lua_module.so;
pid $dir/probe/nginx.pid;
error_log $dir/probe/error.log;
events { }
http {
@{[ http_conf('probe') ]}
    lua_package_path '$bench/?.lua;;';
    init_by_lua_block { require "ingest" }
}
EOT

    return system("\Q$o{nginx}\E -t -q -p \Q$dir/probe\E "
        . "-c \Q$dir/probe/nginx.conf\E >\Q$dir/probe/out\E 2>&1") == 0;
}

###############################################################################

sub start {
    my ($name, $port, $conf) = @_;

    mkdir "$dir/$name" unless -d "$dir/$name";
    write_file("$name/nginx.conf", $conf);

    my $pid = fork();
    die "run.pl: fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        open STDERR, '>', "$dir/$name/stderr";
        exec $o{nginx}, '-p', "$dir/$name", '-c', "$dir/$name/nginx.conf"
            or POSIX::_exit(127);
    }

    $masters{$name} = $pid;

    my $deadline = time() + 30;

    while (time() < $deadline) {

        if (waitpid($pid, WNOHANG) == $pid) {
            delete $masters{$name};
            last;
        }

        return if IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port",
            Timeout => 1) && -s "$dir/$name/nginx.pid";

        usleep(20_000);
    }

    die "run.pl: the server \"$name\" does not start:\n"
        . tail("$dir/$name/stderr") . tail("$dir/$name/error.log");
}


END {
    # a child that could not exec() has nothing to end
    if ($owner == $$) {
        my $status = $?;

        for my $pid (values %masters) {
            kill 'TERM', $pid;
        }

        for my $pid (values %masters) {
            waitpid($pid, 0);
        }

        print "kept: $dir\n" if $o{keep} && $dir;

        $? = $status;
    }
}


sub free_port {
    # bound until all ports are known, so that none comes twice
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
        Proto => 'tcp') or die "run.pl: no free port: $@\n";

    push @ports, $socket;

    return $socket->sockport();
}

###############################################################################

sub read_file {
    my ($name) = @_;

    open my $fh, '<', $name or die "run.pl: $name: $!\n";
    local $/;

    return scalar <$fh>;
}


sub write_file {
    my ($name, $content) = @_;

    open my $fh, '>', "$dir/$name" or die "run.pl: $dir/$name: $!\n";
    print $fh $content;
    close $fh or die "run.pl: $dir/$name: $!\n";
}


sub tail {
    my ($name) = @_;

    return '' unless -s $name;

    my @lines = split /^/, read_file($name);
    @lines = @lines[-10 .. -1] if @lines > 10;

    return join '', @lines;
}

###############################################################################
