#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Tests for nginx -t on configurations that load: what it warns of, what it
# does not, and that neither it nor nginx -s writes anything.

###############################################################################

use warnings;
use strict;

use Test::More;

use Digest::MD5 qw/ md5_hex /;
use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;
use Test::EventBridge::Util qw/ read_file child_pids /;

###############################################################################

my $t = Test::EventBridge->new(workers => 1, log_level => 'info');
my $dir = $t->testdir();

my $to = "location = /to/a {\ninternal;\nclient_max_body_size 0;\n"
    . "proxy_pass http://127.0.0.1:9;\n}\n";
my $in = "client_max_body_size 2m;\nlocation = /in {\neventbridge_ingest;\n"
    . "eventbridge_route /to/a;\n}\n";

# a zone of 32768 marks, and two ingest locations with this rate

my $rated = "}\neventbridge_checkpoint_zone zone=w:1m "
    . "path=$dir/state/w.ckpt; ##\nserver {\n"
    . "listen 127.0.0.1:%%PORT_0%%;\nserver_name w;\n"
    . "eventbridge_checkpoint w;\neventbridge_rate RATE;\n$in$to"
    . $in =~ s/.*2m;\n//r =~ s/in \{/in2 {/r;

my $open = 'eventbridge_auth off;';

# what a server has, the line (with "##"), what is warned of

my @warn = (
    [ 'destination that is not internal',
        $in =~ s/a;\K/ ##/r . $to =~ s/internal;\n//r,
        qr/destination "\/to\/a" .* add "internal;" to location "\/to\/a"/ ],

    [ 'prefix location that is not internal',
        $in =~ s/a;\K/ ##/r . $to =~ s/internal;\n//r =~ s/= //r,
        qr/add "internal;" to location "\/to\/a"/ ],

    [ 'destination with the default client_max_body_size',
        $in =~ s/a;\K/ ##/r =~ s/.*2m;\n//r
            =~ s/ingest;\K/client_max_body_size 2m;/r
            . $to =~ s/client_max_body_size 0;\n//r,
        qr/"eventbridge_route" may .* add "client_max_body_size 0;" to .*a"/ ],

    [ 'destination with a limit, ingest location without one',
        $in =~ s/2m/0/r =~ s/a;\K/ ##/r
            . $to =~ s/client_max_body_size 0;/client_max_body_size 64m;/r,
        qr/add "client_max_body_size 0;" to location "\/to\/a"/ ],

    [ 'destination of the unrouted that is not internal',
        $in =~ s/eventbridge_route/eventbridge_unrouted/r =~ s/a;\K/ ##/r
            . $to =~ s/internal;\n//r,
        qr/"eventbridge_unrouted" can be .* add "internal;"/ ],

    [ 'ingest location with the default client_max_body_size',
        $in =~ s/client_max_body_size 2m;\n//r =~ s/ingest;\K/ ##/r . $to,
        qr/of ingest location "\/in" is 1048576 .* "client_max_body_size 2m;"/
    ],

    [ 'ingest location with a client_max_body_size just too small',
        $in =~ s/2m/2097151/r =~ s/ingest;\K/ ##/r . $to,
        qr/is 2097151 bytes: .* add "client_max_body_size 2m;"/ ],

    [ 'no routes, and the unrouted are dropped',
        $in =~ s/eventbridge_route .*\n//r =~ s/ingest;\K/ ##/r . $to,
        qr/of location "\/in" drops every event: .* "eventbridge_route"/ ],

    [ 'rule 1: an id that is that of each event',
        $in =~ s/eventbridge_ingest;/eventbridge_event id=1; ##\n$open/r . $to,
        qr/the id "1" of "eventbridge_event" .* add a variable/ ],

    [ 'rule 1: two servers without a name, one scope',
        twice('', '') =~ s/.*\Kingest;/ingest; ##/sr,
        qr/"\/in" of server "" has .*:\d+: what one has delivered is a dupl/ ],

    [ 'one dead letter for two locations of one name',
        twice("eventbridge_dead_letter $dir/dead;\n", 'scope=$server_port')
            =~ s/.*\Kingest;/ingest; ##/sr,
        qr/ has the names of .* replayed by the other; give them "server_n/ ],

    [ 'rule 8: rates whose events do not fit in the zone',
        $rated =~ s/RATE/1r\/s/r,
        qr/zone "w" .* 32768 events, .* 187200 of .* 93600 seconds: .* 6m / ],

    [ 'rule 8: a rate, shared, whose events just do not fit',
        $rated =~ s/RATE/22r\/m zone=w/r,
        qr/ lets in 34320 of them in its window of 93600 seconds: it needs 2m/ ]
);

# all directives with all parameters, and what is no reason for a warning

my $zone = "eventbridge_checkpoint_zone zone=a:1m path=$dir/state/a.ckpt";
my @quiet = (
    [ 'a destination', 'server', $in . $to ],
    [ 'the same limit for both', 'server', $in
        . $to =~ s/client_max_body_size 0;/client_max_body_size 2m;/r ],
    [ 'no limits', 'server', $in =~ s/2m/0/r . $to ],
    [ 'no routes, and the unrouted are refused', 'server', $in
        =~ s/eventbridge_route .*\n/eventbridge_unrouted reject;\n/r . $to ],
    [ 'no routes, and a destination of the unrouted', 'server', $in
        =~ s/eventbridge_route .*\n/eventbridge_unrouted \/to\/a;\n/r . $to ],
    [ 'an id with a variable', 'server',
        $in =~ s/eventbridge_ingest;/eventbridge_event id=\$request_id;\n$open/r
            . $to ],
    [ 'a named location', 'server', $in =~ s/\/to\/a/\@a/r
        . $to =~ s/= \/to\/a/\@a/r =~ s/internal;\n//r ],
    [ 'a regex location', 'server', $in . $to =~ s/= \S+/~ "^\/to\/."/r ],
    [ 'a nested location', 'server', $in
        . "location /to/ {\ninternal;\n$to\n}" ],
    [ 'every way of delivery', 'server', $in =~ s/\/in/\/f/r
        . "location = /to/a {\ninternal;\nclient_max_body_size 0;\n"
        . "fastcgi_pass 127.0.0.1:9;\n}\n" ],
    [ 'metrics and health', 'server', "location = /m { eventbridge_metrics; }\n"
        . "location = /h { eventbridge_health; }\n" ],
    [ 'a zone that nobody uses', 'http', "$zone;" ],
    [ 'a rate, shared, whose events just fit', 'server', $rated
        =~ s/RATE/21r\/m zone=w/r ],
    [ 'rates whose events just fit', 'server', $rated =~ s/RATE/10r\/m/r ],
    [ 'two servers of one name, scopes of their own', 'server',
        twice('', 'scope=$server_port') ],
    [ 'two servers with names', 'server',
        twice('', '') =~ s/(.*)server \{/$1server {\nserver_name x;/sr ],
    [ 'rates without a checkpoint', 'server', $rated
        =~ s/RATE/1000r\/s;\neventbridge_checkpoint off/r
        =~ s/eventbridge_checkpoint w;//r ],
    (map { [ "zone, $_", 'http', "$zone $_;" ] } 'window=1h',
        'claim_timeout=5s', 'sync=off', 'sync=100ms', 'full=evict',
        'full=reject', 'on_corrupt=reset', 'on_corrupt=refuse'),
    [ 'everything', 'http', <<"EOF" ]
    eventbridge_checkpoint_zone zone=a:1m path=$dir/state/a.ckpt window=26h
                                claim_timeout=30s sync=1s full=evict
                                on_corrupt=reset;
    eventbridge_checkpoint_zone on_corrupt=refuse full=reject sync=off
                                claim_timeout=1s window=1s
                                path=state/b.ckpt zone=b:64k;
    eventbridge_stats_file $dir/state/stats;

    eventbridge_checkpoint a scope=\$host\$uri key=source+id no_id=pass;
    eventbridge_route_policy first;
    eventbridge_unrouted drop;
    eventbridge_forward_as same;
    eventbridge_forward_timeout 4s;
    eventbridge_inflight 64m deliveries=10;
    eventbridge_rate 1r/m burst=10 zone=r;
    eventbridge_max_events 10000;
    eventbridge_max_depth 64;
    eventbridge_audit_log off;
    client_max_body_size 2m;

    server {
        listen 127.0.0.1:%%PORT_0%%;

        eventbridge_checkpoint b scope=x key=id no_id=hash;
        eventbridge_route_policy all;
        eventbridge_unrouted reject;
        eventbridge_forward_as events;
        eventbridge_forward_timeout 1h;
        eventbridge_inflight 1;
        eventbridge_rate off;
        eventbridge_max_events 1;
        eventbridge_max_depth 1;
        eventbridge_audit_log $dir/audit.jsonl;

        location = /in {
            eventbridge_ingest;
            eventbridge_checkpoint b no_id=reject;
            eventbridge_route /to/a name=one source=^a type=b\$
                              metadata.region=x 'metadata.a b={"c"}';
            eventbridge_route /to/a;
            eventbridge_route_policy first;
            eventbridge_unrouted /to/a;
            eventbridge_forward_as array;
            eventbridge_forward_timeout 1ms;
            eventbridge_inflight 1g deliveries=1;
            eventbridge_rate 1000r/s burst=1000000000;
            eventbridge_max_events 1000000;
            eventbridge_max_depth 1024;
            eventbridge_audit_log $dir/audit2.jsonl buffer=8k flush=1h;

        }

        location /up {
            eventbridge_checkpoint a;
            eventbridge_route /to/a;

            location = /up/in {
                eventbridge_ingest;
                eventbridge_checkpoint off;
                eventbridge_unrouted drop;
                eventbridge_forward_as single;
                eventbridge_audit_log $dir/audit2.jsonl buffer=8k flush=1h;
            }
        }

        $to
        location = /m { eventbridge_metrics; }
        location = /h { eventbridge_health; }
    }
EOF
);

my $conf = <<"EOF";
    eventbridge_checkpoint_zone zone=a:1m path=$dir/state/a.ckpt;
    eventbridge_checkpoint_zone zone=b:64k path=$dir/state/b.ckpt sync=off;
    eventbridge_stats_file $dir/state/stats;
    eventbridge_checkpoint a;

    server {
        listen 127.0.0.1:%%PORT_0%%;
        $in
        $to
        location = /h { eventbridge_health; }
    }
EOF

$t->plan(@warn * 4 + @quiet * 2 + 18);

mkdir "$dir/state" or die "mkdir: $!\n";
chown +(getpwnam('nobody'))[2, 3], "$dir/state" if $> == 0;

###############################################################################

for my $case (@warn) {
    my ($name, $text, $re) = @$case;

    my ($rc, $out) = $t->test_config(
        "server {\nlisten 127.0.0.1:%%PORT_0%%;\n$text\n}");
    my $file = "$dir/nginx.conf.t$t->{tests}";
    my ($before) = read_file($file) =~ /^(.*?)##/s;
    my $line = 1 + ($before =~ tr/\n//);
    my @lines = $out =~ /^nginx: \[warn\] (.*)$/mg;

    is($rc, 0, $name) or diag($out);
    is(scalar @lines, 1, "$name, warnings") or diag($out);
    like($lines[0] // '', $re, "$name, warning");
    like($lines[0] // '', qr/ in \Q$file:$line\E$/, "$name, file and line");
}

for my $case (@quiet) {
    my ($name, $place, $text) = @$case;

    $text = "server {\nlisten 127.0.0.1:%%PORT_0%%;\n$text\n}"
        if $place eq 'server';

    my ($rc, $out) = $t->test_config($text);

    is($rc, 0, $name) or diag($out);
    unlike($out, qr/\[\w+\]/, "$name, not a word");
}

###############################################################################

# nginx -t makes no file

is(files(), '', 'nginx -t makes no file');

my ($rc, $out) = $t->test_config($conf);

is($rc . files(), '0', 'nginx -t again');

# of those that are there it changes nothing: when nobody uses them, and when
# nginx does

$t->conf($conf)->run();
is(files(), 'a.ckpt,b.ckpt,stats', 'nginx makes its files');
$t->stop();

# as an old file, so that a touch would show

utime 1e9, 1e9, glob "$dir/state/*";

my $before = state();

($rc, $out) = $t->test_config($conf);
is($rc, 0, 'nginx -t with files') or diag($out);
is(state(), $before, 'nginx -t does not touch files');

($rc, $out) = $t->test_config($conf
    =~ s/path=\S*b.ckpt/path=$dir\/state\/c.ckpt/r);
is($rc, 0, 'nginx -t with another file') or diag($out);
is(state(), $before, 'nginx -t does not make another file');

$t->run();

($rc, $out) = $t->test_config($conf);
is($rc, 0, 'nginx -t beside nginx') or diag($out);
is(get($t->port(0), '/h')->json()->{status}, 'healthy',
    'nginx does not mind nginx -t');

###############################################################################

# nginx -s reads a configuration, and touches nothing of it

my $pid = $t->pid();
my $other = $conf =~ s/state\///gr;

$t->write_file('none', "no checkpoint\n" x 10_000);
$other =~ s/(zone=a:1m path=)\S*/$1$dir\/none;/;
$other = $t->write_file('other.conf', $t->_whole($t->expand($other), ''));

my %old = map { $_ => 1 } child_pids($pid);

is(nginx_s($other, 'reload'), 0, 'nginx -s reload with another configuration');
ok(reloaded(), 'nginx -s reload, another configuration, new workers');
is(join(',', grep { -e "$dir/$_" } qw/ a.ckpt b.ckpt stats /), '',
    'nginx -s reload makes no file');

%old = map { $_ => 1 } child_pids($pid);

is(nginx_s("$dir/nginx.conf", 'reload'), 0, 'nginx -s reload');
ok(reloaded(), 'nginx -s reload, new workers');
is(files(), 'a.ckpt,b.ckpt,stats', 'nginx -s reload, files');

is(nginx_s("$dir/nginx.conf", 'quit'), 0, 'nginx -s quit');
ok(wait_for(sub { !child_pids($pid)
    && (read_file("/proc/$pid/stat") // ') Z') =~ /\) Z/ }),
    'nginx -s quit, nginx quits');
$t->stop();
is(files(), 'a.ckpt,b.ckpt,stats', 'nginx -s quit, files');

###############################################################################

# two servers without a name, each with one ingest location of one name

sub twice {
    my ($more, $scope) = @_;
    my $server = "listen 127.0.0.1:%%PORT_1%%;\neventbridge_checkpoint w "
        . "$scope;\n$more$in$to";

    return "}\neventbridge_checkpoint_zone zone=w:1m path=$dir/state/w.ckpt;\n"
        . "server {\n$server}\nserver {\n"
        . $server =~ s/PORT_1/PORT_2/r;
}

sub files {
    return join ',', map { s/.*\///r } sort glob "$dir/state/*";
}

sub state {
    my @state;

    for my $file (sort glob "$dir/state/*") {
        my @st = stat $file;

        # device, inode, mode, links, owner, size, times
        push @state, join ' ', $file, @st[0 .. 5, 7, 9, 10],
            md5_hex(read_file($file));
    }

    return join "\n", @state;
}

sub nginx_s {
    my ($conf, $signal) = @_;

    local %ENV = %ENV;
    $t->_environment();

    return system($t->_command($conf, 'error.log'), '-s', $signal);
}

sub reloaded {
    return wait_for(sub {
        my @now = $t->worker_pids();
        return @now && !grep { $old{$_} } child_pids($pid);
    }, 20);
}

###############################################################################
