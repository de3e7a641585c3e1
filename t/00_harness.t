#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Tests for the harness: each detector can fail, each tool does what it says.
# No module is loaded.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

BEGIN { $ENV{EB_MODULE} = ''; }

use Test::EventBridge;
use Test::EventBridge::Check qw/ bad_lines missing_errors leak_lines
    sanitizer_reports decreased /;
use Test::EventBridge::Util qw/ now parse_metrics child_pids /;

###############################################################################

my $t = Test::EventBridge->new(log_level => 'info')->plan(133);

my $stamp = '2026/01/02 03:04:05';

# the detectors, on doctored logs

for my $level (qw/ alert crit emerg /) {
    is(scalar bad_lines("$stamp [$level] 1#1: x\n", []), 1, "$level is seen");
}

for my $level (qw/ error warn notice info debug /) {
    is(scalar bad_lines("$stamp [$level] 1#1: x\n", []), 0,
        "$level is none of them");
}

my $allow = [ { level => 'alert', re => qr/boom/ } ];

is(scalar bad_lines("$stamp [alert] 1#1: boom\n", $allow), 0, 'announced');
is($allow->[0]{seen}, 1, 'announced line counted');
is(scalar bad_lines("$stamp [crit] 1#1: boom\n", $allow), 1,
    'announced for another level');
is(scalar bad_lines("$stamp [alert] 1#1: bang\n", $allow), 1,
    'another line of an announced level');
is(scalar bad_lines("nginx: [emerg] bang\n", []), 1, 'on stderr');

$allow = [ { level => 'error', re => qr/boom/ } ];

is(join('', missing_errors("$stamp [error] 1#1: bang\n", $allow)),
    "[error] $allow->[0]{re}", 'announced but missing');
is(scalar missing_errors("$stamp [error] 1#1: boom\n", $allow), 0,
    'announced and there');
is(scalar missing_errors("$stamp [warn] 1#1: boom\n", $allow), 1,
    'announced, there with another level');

is(scalar leak_lines("$stamp [alert] 1#1: *3 open socket #12 left in "
    . "connection 4\n", []), 1, 'open socket');
is(scalar leak_lines("$stamp [notice] 1#1: worker process 7 exited on "
    . "signal 11\n", []), 1, 'exit on a signal, whatever the level');
is(scalar leak_lines("$stamp [notice] 1#1: worker process 7 exited with "
    . "code 0\n", []), 0, 'normal exit');

for my $line ('==7==ERROR: AddressSanitizer: heap-use-after-free on address',
    'a.c:1:2: runtime error: signed integer overflow',
    '==7== Invalid read of size 4',
    '==7== Conditional jump or move depends on uninitialised value(s)')
{
    is(scalar sanitizer_reports("x\n$line\ny\n"), 1, substr $line, 0, 40);
}

is(scalar sanitizer_reports("$stamp [debug] 1#1: body \"runtime error:\"\n"),
    0, 'a client that sends such a text is no report');

is(scalar decreased({ 'a_total{x="1"}' => 2 }, { 'a_total{x="1"}' => 1 },
    { a_total => 'counter' }), 1, 'counter goes down');
is(scalar decreased({ a_total => 2 }, {}, { a_total => 'counter' }), 1,
    'counter goes away');
is(scalar decreased({ a => 2 }, { a => 1 }, { a => 'gauge' }), 0,
    'gauge may go down');
is(scalar decreased({ 'h_bucket{le="1"}' => 2 }, { 'h_bucket{le="1"}' => 1 },
    { h => 'histogram' }), 1, 'bucket goes down');

###############################################################################

# the parser of expositions

my $head = "# HELP a_total A.\n# TYPE a_total counter\n";
my $hist = "# HELP h H.\n# TYPE h histogram\n";

my $good = $head . "a_total{b=\"c\\\"\\\\\\n\",d=\"e\"} 3\na_total 1e3\n"
    . $hist . "h_bucket{le=\"0.1\"} 1\nh_bucket{le=\"+Inf\"} 2\n"
    . "h_sum 1.5\nh_count 2\n";

my ($series, $type, $errors) = parse_metrics($good);

is_deeply($errors, [], 'good exposition');
is($series->{'a_total{b="c\\"\\\\\\n",d="e"}'}, 3, 'value with labels');
is($series->{a_total}, 1000, 'value without labels');
is($type->{h}, 'histogram', 'type');

my @bad = (
    [ 'HELP twice', "# HELP a_total A.\n$head", 'again' ],
    [ 'TYPE twice', "${head}# TYPE a_total counter\n", 'again' ],
    [ 'no TYPE', "# HELP a_total A.\na_total 1\n", 'no TYPE' ],
    [ 'no HELP', "# TYPE a_total counter\na_total 1\n", 'no HELP' ],
    [ 'HELP after samples', "# TYPE a_total counter\na_total 1\n"
        . "# HELP a_total A.\n", 'after its samples' ],
    [ 'duplicate series', "${head}a_total{x=\"1\",y=\"2\"} 1\n"
        . "a_total{y=\"2\",x=\"1\"} 2\n", 'again' ],
    [ 'family in two places', "$head# HELP b B.\n# TYPE b gauge\n"
        . "a_total{x=\"1\"} 1\nb 1\na_total{x=\"2\"} 1\n", 'not together' ],
    [ 'bad value', "${head}a_total x\n", 'cannot be read' ],
    [ 'bad label value', "${head}a_total{b=\"\\x\"} 1\n", 'bad labels' ],
    [ 'label twice', "${head}a_total{b=\"1\",b=\"2\"} 1\n", 'label b again' ],
    [ 'unquoted label', "${head}a_total{b=1} 1\n", 'bad labels' ],
    [ 'negative counter', "${head}a_total -1\n", 'negative' ],
    [ 'counter without _total', "# HELP a A.\n# TYPE a counter\na 1\n",
        '_total' ],
    [ 'no newline at the end', "${head}a_total 1", 'newline' ],
    [ 'unknown type', "# HELP a A.\n# TYPE a thing\na 1\n", 'unknown type' ],
    [ 'buckets not cumulative', $hist . "h_bucket{le=\"1\"} 3\n"
        . "h_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 2\n", 'less than' ],
    [ 'no +Inf', $hist . "h_bucket{le=\"1\"} 3\nh_sum 1\nh_count 3\n",
        'no \\+Inf' ],
    [ 'count is not +Inf', $hist . "h_bucket{le=\"+Inf\"} 2\nh_sum 1\n"
        . "h_count 3\n", 'count is not' ],
    [ 'no sum', $hist . "h_bucket{le=\"+Inf\"} 2\nh_count 2\n", 'no sum' ],
    [ 'le out of order', $hist . "h_bucket{le=\"2\"} 1\n"
        . "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\n"
        . "h_count 1\n", 'out of order' ]
);

for my $case (@bad) {
    my ($name, $text, $re) = @$case;
    (undef, undef, $errors) = parse_metrics($text);
    like(join('; ', @$errors), qr/$re/, "exposition: $name");
}

###############################################################################

# nginx, the client, the mock

my $begin;
my $m = $t->mock(1);

$t->conf(<<'EOF')->run();
    upstream u {
        server 127.0.0.1:%%PORT_1%%;
        keepalive 400;
    }

    client_max_body_size 1m;

    server {
        listen 127.0.0.1:%%PORT_0%%;
        listen 127.0.0.1:%%PORT_2%% http2;

        location / {
            proxy_pass http://u;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }

        location = /teapot { return 418 "short and stout"; }
    }
EOF

my $port = $t->port(0);
my ($r, $c, $h, $s1, $s2);

$r = post($port, '/a?x=1', "{\"id\":\"1\xff\"}", headers => { 'X-Y' => 'z' });
is($r->text(), '200 ok', 'post');
is(($m->requests('/a'))[0]->body(), "{\"id\":\"1\xff\"}", 'recorded body');
is(($m->requests('/a'))[0]->uri(), '/a?x=1', 'recorded uri');
is(($m->requests('/a'))[0]->header('x-y'), 'z', 'recorded header');
is(scalar(my @taken = $m->take('/a')), 1, 'taken');
is(scalar(@taken = $m->take('/a')), 0, 'taken once');

my $seen = 0;
post($port, '/chunked', undef, chunks => [ 'ab', sub { $seen = 1 },
    'c' x 70000 ]);
is(($m->bodies('/chunked'))[0], 'ab' . 'c' x 70000, 'chunked body');
ok($seen, 'code between chunks');

is(join(',', @{post($port, '/e', 'x' x 9, expect => 1)->informational()}),
    '100', 'expect');
$r = post($port, '/e', 'x' x 2_000_000, expect => 1);
is($r->status(), 413, 'expect, refused');
is(post($port, '/big', 'x' x 5_000_000)->status(), 413, 'an early answer');

$m->queue('/q', { status => 503, headers => [ 'Retry-After' => 3 ] },
    { status => 500 });
is(get($port, '/q')->header('retry-after'), 3, 'first of a queue');
is(get($port, '/q')->status(), 500, 'second of a queue');
is(get($port, '/q')->status(), 200, 'after a queue');

$m->set('/m', status => 400, match => 'poison');
is(post($port, '/m', 'fine')->status(), 200, 'behaviour that does not match');
is(post($port, '/m', 'some poison')->status(), 400, 'behaviour that matches');
$m->clear('/m');
is(post($port, '/m', 'some poison')->status(), 200, 'behaviour cleared');

$m->set('/truncate', truncate => 3, body => 'abcdef');
is(get($port, '/truncate')->error(), 'truncated', 'truncated answer');
$m->set('/reset', reset => 1);
is(get($port, '/reset')->status(), 502, 'reset instead of an answer');
$m->set('/close', close => 1);
is(get($port, '/close')->status(), 502, 'close instead of an answer');
$m->set('/huge', huge => 3_000_000);
is(length get($port, '/huge')->body(), 3_000_000, 'huge answer');
$m->set('/info', info => [ 102, 103 ], body => 'x');
is(get($t->port(1), '/info')->text(), '200 x', 'interim answers');
$m->set('/early', early => 1, status => 403);
is(post($t->port(1), '/early', 'x' x 3_000_000)->status(), 403,
    'answer before the body');

$begin = now();
$m->set('/delay', delay => 60);
is(get($port, '/delay')->status(), 200, 'delayed answer');
cmp_ok(now() - $begin, '>=', 0.06, 'delay');

$m->refuse()->drop_idle();
is(get($port, '/x')->status(), 502, 'refusing');
$m->accept();
is(get($port, '/x')->status(), 200, 'accepting again');
$m->stop();
is(get($port, '/x')->status(), 502, 'stopped');
$m->start();
is(get($port, '/x')->status(), 200, 'started on the same port');
is($m->hits('/x'), 2, 'the record survives');

# many at once, and what a client that goes away does

$m->set('/hang', hang => 1);
my @clients = map { client($port)->start(path => '/hang') } 1 .. 300;
ok($m->wait_held('/hang', 300), 'requests held');
is($m->release('/hang', undef, body => 'late'), 300, 'requests released');
is((scalar grep { $_->response()->body() eq 'late' } @clients), 300,
    'hundreds at once');

$c = client($t->port(1))->start(path => '/hang');
$m->wait_held('/hang', 1);
$c->abort();
ok(wait_for(sub { !$m->held('/hang') }), 'the mock sees a reset');

# keepalive and pipelining

$c = client($port);
is((scalar grep { $_->status() == 200 } $c->pipeline([ map {
    Test::EventBridge::Client::build(path => '/p', body => "{\"id\":\"$_\"}")
    } 1 .. 500 ])), 500, 'pipeline');
is(join(',', $m->ids('/p')), join(',', 1 .. 500), 'ids, in order');
is(post($c, '/p', 'x')->status(), 200, 'kept alive');
is(post($c, '/p', 'x', gzip => 1)->status(), 200, 'gzip');
is(substr(($m->bodies('/p'))[-1], 0, 2), "\x1f\x8b", 'is gzip');

# HTTP/2

is(Test::EventBridge::HTTP2::huffman_decode(
    pack 'H*', 'f1e3c2e5f23a6ba0ab90f4ff'), 'www.example.com',
    'RFC 7541, C.4.1');
is(Test::EventBridge::HTTP2::huffman_decode(pack 'H*', '6402'), '302',
    'RFC 7541, C.6.1');

$h = h2_client($t->port(2));
$s1 = $h->request(path => '/h2', frames => [ 'abc', sub { $h->ping() },
    'd' x 90000 ]);
$s2 = $h->request(path => '/teapot');
is($h->response($s2)->text(), '418 short and stout', 'HTTP/2, literal status');
is($h->response($s1)->text(), '200 ok', 'HTTP/2, indexed status');
is(($m->bodies('/h2'))[0], 'abc' . 'd' x 90000, 'HTTP/2, body in frames');

$s1 = $h->request(path => '/hang');
$m->wait_held('/hang', 1);
$h->reset($s1);
ok(wait_for(sub { !$m->held('/hang') }), 'HTTP/2, reset');
$h->close();

# signals

my ($rc, $out, $dir) = $t->test_config("server {\n    listn 80;\n}\n");
is($rc, 1, 'bad configuration');
like($out, qr/unknown directive "listn" in .*:\d+/, 'message');
($rc, $out) = $t->test_config("# nothing\n");
is($rc, 0, 'good configuration');

my @before = $t->worker_pids();
ok($t->reload(), 'reload');
is((scalar grep { my $p = $_; grep { $_ == $p } @before } $t->worker_pids()),
    0, 'new workers');
cmp_ok($t->worker_memory(($t->worker_pids())[0]), '>', 1_000_000, 'memory');

$t->write_file('nginx.conf', 'garbage');
$t->allow_error('emerg', qr/unexpected end of file/);
ok(!$t->reload(), 'reload of a bad configuration');
$t->write_file('nginx.conf', $t->{conf});

ok($t->reopen('error.log', 'access.log'), 'reopen');
get($port, '/reopened');
ok(wait_for(sub { read_file($t->testdir() . '/access.log')
    =~ m{GET /reopened} }), 'reopened log');

my $master = $t->pid();
ok($t->upgrade(), 'upgrade');
isnt($t->pid(), $master, 'new master');
is(get($port, '/x')->status(), 200, 'the new master answers');

$t->kill_all()->run();
is(get($port, '/x')->status(), 200, 'run after kill_all');

###############################################################################

# waiting

my $n = 0;
is(wait_for(sub { ++$n == 3 && 'yes' }), 'yes', 'wait_for, true later');

$begin = now();
ok(!wait_for(sub { 0 }, 0.1), 'wait_for, never true');
cmp_ok(now() - $begin, '>=', 0.1, 'wait_for waits as long as it says');

is(join(' ', sleeps("wait_for(sub { 1 });\n")), '', 'no sleep');
is(join(' ', sleeps("x();\nsleep 1;\nselect(undef, undef, undef, 1);\n"
    . "usleep(5);\n")), '2 3 4', 'sleeps are found');
is(join(' ', map { my $f = $_; map { "$f:$_" } sleeps(read_file($f)) }
    grep { !m{/00_} } glob("$FindBin::Bin/*.t $FindBin::Bin/lib/Test/*.pm "
    . "$FindBin::Bin/lib/Test/*/*.pm")), '', 'no test sleeps');

###############################################################################

# whole scripts that must fail, and where

my @name = ('QUIT was enough, exit code 0', 'no alert, crit or emerg',
    'announced errors appeared', 'no open socket, no exit on a signal',
    'no report of a sanitizer', 'no process left', 'no secret in any file',
    'metrics are valid');

is(failed('pass("x")'), '', 'a clean run passes');
is(failed('$t->allow_error("alert", qr/never/); pass("x")'), $name[2],
    'an announced error does not come');
is(failed('kill "KILL", ($t->worker_pids())[0];
    $t->wait_log(qr/exited on signal 9/); pass("x")'), "$name[1],$name[3]",
    'a worker crashes');
is(failed('ok($t->kill_worker("ABRT"), "x")'), '', 'a worker is crashed');
is(failed('my $m = $t->mock(1); $m->set("/p", hang => 1);
    my $c = client($t->port(0)); $c->start(path => "/p");
    $m->wait_held("/p", 1); $t->stop(timeout => 0.5); pass("x")'),
    "$name[0],$name[1],$name[3]",
    'QUIT is not enough');
is(failed('my $pid = $t->pid(); kill "KILL", $pid;
    wait_for(sub { !grep { $_ == $pid }
        Test::EventBridge::Util::child_pids($$) });
    $t->stop(); pass("x")'), "$name[0],$name[5]",
    'the master is killed, workers are left');
is(failed('$t->secret("hunter2"); get($t->port(0), "/?hunter2"); pass("x")'),
    $name[6], 'a secret in the access log');
is(failed('$t->secret("hunter2"); $t->write_file("key", "hunter2");
    get($t->port(0), "/", headers => { X => "hunter2" }); pass("x")'), '',
    'a secret where it belongs, and in lines of level debug');
is(failed('our ($r, $w); pipe $r, $w; if (!fork()) { close $w;
    sysread $r, my $b, 1; POSIX::_exit(0) } pass("x")'), $name[5],
    'a process is left');
is(failed('append_file($t->testdir() . "/asan.7", "report\n"); pass("x")'),
    $name[4], 'a file of a sanitizer');
is(failed('append_file($t->testdir() . "/stderr",
    "a.c:1:1: runtime error: shift\n"); pass("x")'), $name[4],
    'a report on stderr');
is(failed('$t->metrics_at($t->port(0), "/m"); pass("x")'), $name[7],
    'a bad exposition');
is(failed('append_file($t->testdir() . "/audit", "{\"a\":1}\n{\n");
    is(scalar(my @l = $t->audit_lines("audit")), 1, "x")'), $name[0],
    'an audit line that is no JSON');

($out, $rc, $dir) = script('die "on purpose\n"');

like($out, qr/on purpose/, 'a script that dies');
isnt($rc, 0, 'a script that dies fails');
ok(-d $dir, 'the directory of a failure is kept');
my $old = read_file("$dir/pid");
ok(!-e "/proc/$old", 'nginx of a script that died is gone');
File::Path::remove_tree($dir);

###############################################################################

# Runs a script with a harness of its own; its output, exit code, directory.

sub script {
    my ($code) = @_;
    my $name = $t->testdir() . '/child' . ++$n . '.t';

    append_file($name, <<'EOF' . "$code;\n");
use warnings;
use strict;
use Test::More;
use Test::EventBridge;
my $t = Test::EventBridge->new()->plan(1);
print "# directory ", $t->testdir(), "\n";
$t->conf(<<'CONF')->run();
    server {
        listen 127.0.0.1:%%PORT_0%%;
        location / { return 204; }
        location /m { return 200 "a_total x\n"; }
        location /p { proxy_pass http://127.0.0.1:%%PORT_1%%; }
    }
CONF
append_file($t->testdir() . '/pid', $t->pid());
EOF

    my $lib = "$FindBin::Bin/lib";
    my $text = `$^X -I"$lib" "$name" 2>&1`;
    my $status = $?;
    my ($where) = $text =~ /^# directory (\S+)/m;

    return ($text, $status, $where);
}

# the names of the tests that failed in such a script

sub failed {
    my ($code) = @_;
    my ($text, $status, $where) = script($code);

    my @failed = $text =~ /^not ok \d+ - (.*)$/mg;

    File::Path::remove_tree($where);

    return join(',', @failed)
        . ($text =~ /^ok 1 - x$/m ? '' : " (broken $text)")
        . (!$status != !@failed ? " (exit $status)" : '');
}

# the lines of a text on which something sleeps

sub sleeps {
    my @lines = split /\n/, $_[0];

    return map { $_ + 1 } grep {
        $lines[$_] !~ /^\s*#/
        && $lines[$_] =~ /\b(?:u|nano)?sleep\b\s*[\d(\$]
            |select\s*\(\s*undef|\bpoll\s*\(\s*undef/x
    } 0 .. $#lines;
}

###############################################################################
