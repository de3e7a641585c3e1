#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Tests for nginx -t on wrong configurations: it fails with exit code 1, and
# the message names the directive, the value, the file and the line.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use POSIX qw/ mkfifo /;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;
use Test::EventBridge::Util qw/ read_file /;

###############################################################################

my $t = Test::EventBridge->new(workers => 1, log_level => 'info');
my $dir = $t->testdir();

# directive, context, a valid rest, arguments that it takes

my @directives = (
    [ 'eventbridge_checkpoint_zone', 'http',
        "zone=d:1m path=$dir/d.ckpt", '2-' ],
    [ 'eventbridge_stats_file', 'http', "$dir/d.stats", '1' ],
    [ 'eventbridge_ingest', 'location', '', '0' ],
    [ 'eventbridge_event', 'location', 'id=$arg_id', '1-3' ],
    [ 'eventbridge_checkpoint', 'any', 'z', '1-' ],
    [ 'eventbridge_route', 'location', '/to/b', '1-' ],
    [ 'eventbridge_route_policy', 'any', 'all', '1' ],
    [ 'eventbridge_unrouted', 'any', 'reject', '1' ],
    [ 'eventbridge_forward_as', 'any', 'array', '1' ],
    [ 'eventbridge_pass_request_header', 'any', 'X-A', '1-' ],
    [ 'eventbridge_forward_timeout', 'any', '3s', '1' ],
    [ 'eventbridge_inflight', 'any', '1m', '1-2' ],
    [ 'eventbridge_rate', 'any', '10r/s', '1-3' ],
    [ 'eventbridge_dead_letter', 'any', "$dir/d.dead", '1' ],
    [ 'eventbridge_permanent', 'any', '410', '1-' ],
    [ 'eventbridge_unavailable', 'any', 'retry', '1-2' ],
    [ 'eventbridge_replay', 'location', '', '0' ],
    [ 'eventbridge_max_events', 'any', '7', '1' ],
    [ 'eventbridge_max_depth', 'any', '8', '1' ],
    [ 'eventbridge_audit_log', 'any', "$dir/d.jsonl", '1-3' ],
    [ 'eventbridge_auth', 'any', 'off', '1-' ],
    [ 'eventbridge_control_access', 'any', 'protected', '1' ],
    [ 'eventbridge_metrics', 'location', '', '0' ],
    [ 'eventbridge_health', 'location', '', '0' ],
    [ 'eventbridge_status', 'location', '', '0' ],
    [ 'eventbridge_explain', 'location', '', '0' ],
    [ 'eventbridge_test_pattern', 'location', '', '0' ]
);

# place, text, value that the message shows, what else it says.  The line is
# the one with "##", or the last one.  The directive is the first word of that
# line, if the text does not say otherwise.

my @cases;

sub bad {
    my ($place, $text, $value, $re, $directive) = @_;
    push @cases, [ $place, $text, $value, $re, $directive ];
}

###############################################################################

# every directive: where it may not stand, what it does not take, twice

for my $d (@directives) {
    my ($name, $context, $rest, $n) = @$d;
    my ($least, $most) = $n =~ /^(\d)(-?\d?)$/;
    my $text = $rest eq '' ? "$name;" : "$name $rest;";

    # nginx itself says these, and shows no value

    bad('main', $text, undef, qr/is not allowed here/);
    bad('http', $text, undef, qr/is not allowed here/)
        if $context eq 'location';
    bad('server', $text, undef, qr/is not allowed here/) if $context ne 'any';
    bad('location', $text, undef, qr/is not allowed here/)
        if $context eq 'http';
    bad('location', "if (\$arg_x) {\n$text ##\n}", undef,
        qr/is not allowed here/);

    my $place = $context eq 'http' ? 'http' : 'observe';

    bad($place, "$name;", undef, qr/invalid number of arguments/)
        if $least > 0;
    bad($place, "$name " . 'one ' x (($most =~ /(\d)/ ? $1 : $least) + 1)
        . ';', undef, qr/invalid number of arguments/) if $n !~ /-$/;

    next if $name =~ /_(?:checkpoint_zone|route|ingest|auth|metrics|health
        |status|replay|explain|test_pattern)$/x;

    bad($place, "$text\n$text", $rest, qr/duplicate/);
    bad('server', "$text\n$text", $rest, qr/duplicate/) if $context eq 'any';
}

bad('location', 'eventbridge_ingest;', undef, qr/duplicate/);
bad('observe', "eventbridge_$_;\neventbridge_$_;", undef, qr/duplicate/),
    bad('location', "eventbridge_$_;", undef, qr/conflicts/)
    for qw/ metrics health status replay /;
bad('observe', "eventbridge_metrics;\neventbridge_health;", undef,
    qr/conflicts/);
bad('observe', "eventbridge_health;\neventbridge_ingest;", undef,
    qr/conflicts/);
bad('observe', "eventbridge_explain;\neventbridge_explain;", undef,
    qr/duplicate/);
bad('observe', "eventbridge_explain;\neventbridge_health;", undef,
    qr/conflicts/);
bad('location', 'eventbridge_explain;', undef, qr/conflicts/);
bad('observe', "eventbridge_test_pattern;\neventbridge_test_pattern;", undef,
    qr/duplicate/);
bad('location', 'eventbridge_test_pattern;', undef, qr/conflicts/);
bad('observe', "eventbridge_health;\neventbridge_event id=1;", undef,
    qr/conflicts/);
bad('observe', "eventbridge_event id=1;\neventbridge_health;", undef,
    qr/conflicts/);
bad('location', "eventbridge_event id=1;\neventbridge_ingest;", undef,
    qr/duplicate/);
bad('observe', "eventbridge_ingest; ##\nproxy_pass http://127.0.0.1:9;",
    '/observe', qr/another directive handles its requests/);
bad('upstream', 'eventbridge_checkpoint z;', undef, qr/is not allowed here/);
bad('upstream', 'eventbridge_route /to/a;', undef, qr/is not allowed here/);

###############################################################################

# eventbridge_checkpoint_zone

my $zone = sub {
    my ($args, $value, $re) = @_;
    bad('http', "eventbridge_checkpoint_zone $args;", $value, $re);
};

my $file = "path=$dir/e.ckpt";

$zone->("zone=e:1m $file size=3", 'size=3');
$zone->("zone=e:1m $file windows=1h", 'windows=1h');
$zone->("zone=e:1m $file full", 'full');
$zone->("zone=e:1m $file full=", 'full=');
$zone->("zone=e:1m $file full=both", 'full=both');
$zone->("zone=e:1m $file full=evicts", 'full=evicts');
$zone->("zone=e:1m $file on_corrupt=ignore", 'on_corrupt=ignore');
$zone->("zone=e:1m $file ''", '');
$zone->("zone=e:1m $file path2", 'path2');
$zone->("$file window=1h", $file, qr/"zone" parameter is missing/);
$zone->('zone=e:1m window=1h', 'e', qr/"path" parameter is missing/);
$zone->("zone= $file", '', qr/NAME:SIZE/);
$zone->("zone=e $file", 'e', qr/NAME:SIZE/);
$zone->("zone=:1m $file", ':1m', qr/NAME:SIZE/);
$zone->("zone=off:1m $file", 'off:1m', qr/cannot be called "off"/);
$zone->("zone=e: $file", 'e:', qr/size/);
$zone->("zone=e:$_ $file", "e:$_", qr/size/) for qw/ 0 -1 -1m 1 65535 63k
    1mm 1x 10mx 1.5m 1e6 0x100000 m 18446744073709551616
    9223372036854775808k 9223372036854775808 17592186044416m k1 /;
$zone->("zone=e:70368744177665 $file", "$dir/e.ckpt", qr/too large/);
$zone->("zone=e:60000g $file", "$dir/e.ckpt", qr/no room/);
$zone->("zone=e:1m zone=f:1m $file", 'zone=f:1m', qr/twice/);
$zone->("zone=e:1m $file path=$dir/f.ckpt", "path=$dir/f.ckpt", qr/twice/);
$zone->("zone=e:1m $file window=1h window=2h", 'window=2h', qr/twice/);
$zone->("zone=e:1m $file sync=1s sync=off", 'sync=off', qr/twice/);
$zone->("zone=e:1m $file full=evict full=reject", 'full=reject', qr/twice/);
$zone->("zone=e:1m $file on_corrupt=reset on_corrupt=reset",
    'on_corrupt=reset', qr/twice/);
$zone->("zone=e:1m $file claim_timeout=2s claim_timeout=3s",
    'claim_timeout=3s', qr/twice/);
$zone->("zone=e:1m $file window=$_", "window=$_", qr/from 1s to 366d/)
    for '', qw/ 0 -1 -1h 1x 1s5q 1hh 367d 1.5h 9223372036854775807d
    18446744073709551616 99999999999999999999 h 500ms /;
$zone->("zone=e:1m $file claim_timeout=$_", "claim_timeout=$_",
    qr/from 1s to 1h/) for '', qw/ 0 -1 999ms 61m 2h 10x 1s5q
    18446744073709551616 off /;
$zone->("zone=e:1m $file sync=$_", "sync=$_", qr/"off" or from 10ms to 1h/)
    for '', qw/ 0 -1 9ms 2h 1y on OFF offf 10x /;

$zone->('zone=e:1m path=', 'path=', qr/file name/);
$zone->("zone=e:1m path=$dir/", "path=$dir/", qr/file name/);
$zone->("zone=e:1m path=$dir/dir", "$dir/dir", qr/is not a file/);
$zone->("zone=e:1m path=$dir/fifo", "$dir/fifo", qr/is not a file/);
$zone->("zone=e:1m path=$dir/none/e.ckpt", "$dir/none/e.ckpt",
    qr/No such file or directory/);
$zone->("zone=e:1m path=$dir/foreign/e.ckpt", "$dir/foreign/e.ckpt",
    qr/Not a directory/);
$zone->("zone=e:1m path=$dir/link", "$dir/link", qr/cannot open/);
$zone->("zone=e:1m path=$dir/dangling", "$dir/dangling", qr/cannot open/);
$zone->("zone=e:1m path=$dir/" . 'x' x 300, "$dir/" . 'x' x 300,
    qr/File name too long/);
$zone->("zone=e:1m path=$dir/foreign", "$dir/foreign",
    qr/is not a checkpoint/);
$zone->("zone=e:1m path=$dir/newer", "$dir/newer",
    qr/has format version \d+, newer than \d+/);
$zone->("zone=e:1m path=$dir/damaged on_corrupt=refuse", "$dir/damaged",
    qr/is damaged/);
$zone->("zone=e:1m path=$dir/cut on_corrupt=refuse", "$dir/cut",
    qr/is damaged/);

bad('http', "eventbridge_checkpoint_zone zone=e:1m $file;\n"
    . "eventbridge_checkpoint_zone zone=e:2m path=$dir/f.ckpt;", 'e',
    qr/declared twice/);
bad('http', "eventbridge_checkpoint_zone zone=z:1m $file;", 'z',
    qr/declared twice/);
bad('http', "eventbridge_checkpoint_zone zone=e:1m $file;\n"
    . "eventbridge_checkpoint_zone zone=f:1m $file;", 'f',
    qr/"e" and "f" .* have the same path "\Q$dir\E\/e\.ckpt"/);
bad('http', "eventbridge_checkpoint_zone zone=e:1m $file;\n"
    . "eventbridge_checkpoint f;\n"
    . "eventbridge_checkpoint_zone zone=f:1m path=e.ckpt;", 'f',
    qr/have the same path/);

###############################################################################

# eventbridge_stats_file

bad('http', "eventbridge_stats_file $_->[0];", $_->[1], $_->[2]) for
    [ "''", '', qr/file name/ ],
    [ "$dir/", "$dir/", qr/file name/ ],
    [ "$dir/dir", "$dir/dir", qr/is not a regular file/ ],
    [ "$dir/fifo", "$dir/fifo", qr/is not a regular file/ ],
    [ "$dir/link", "$dir/link", qr/is not a regular file/ ],
    [ "$dir/none/stats", "$dir/none/stats", qr/No such file or directory/ ],
    [ "$dir/foreign/stats", "$dir/foreign/stats", qr/Not a directory/ ];

# eventbridge_checkpoint

bad('location', "eventbridge_checkpoint $_->[0];", $_->[1], $_->[2]) for
    [ "''", '', qr/name of a zone/ ],
    [ 'y', 'y', qr/unknown zone .* no "eventbridge_checkpoint_zone"/ ],
    [ 'Z', 'Z', qr/unknown zone/ ],
    [ 'z:1m', 'z:1m', qr/unknown zone/ ],
    [ 'off scope=x', 'scope=x' ],
    [ 'off off', 'off' ],
    [ 'z scop=x', 'scop=x' ],
    [ 'z scope', 'scope' ],
    [ 'z scope=', 'scope=', qr/a scope is expected/ ],
    [ 'z scope=a scope=b', 'scope=b', qr/twice/ ],
    [ 'z key=', 'key=' ],
    [ 'z key=source', 'key=source' ],
    [ 'z key=id+source', 'key=id+source' ],
    [ 'z key=id key=id', 'key=id', qr/twice/ ],
    [ 'z key=path', 'key=path' ],
    [ 'z key=path:', 'key=path:', qr/JSON pointer/ ],
    [ 'z key=path:a', 'key=path:a', qr/JSON pointer/ ],
    [ 'z key=path:/a~', 'key=path:/a~', qr/JSON pointer/ ],
    [ 'z key=path:/a~2b', 'key=path:/a~2b', qr/JSON pointer/ ],
    [ 'z key=path:/a key=path:/a', 'key=path:/a', qr/twice/ ],
    [ 'z key=id key=path:/a', 'key=path:/a', qr/another "key"/ ],
    [ 'z key=path:/a key=id', 'key=id', qr/twice/ ],
    [ 'z ' . join(' ', map { "key=path:/$_" } 1 .. 9), 'key=path:/9',
        qr/more than 8/ ],
    [ 'z no_id=', 'no_id=' ],
    [ 'z no_id=drop', 'no_id=drop' ],
    [ 'z no_id=hash no_id=pass', 'no_id=pass', qr/twice/ ],
    [ "z ''", '' ];

# eventbridge_pass_request_header

bad('location', "eventbridge_pass_request_header $_->[0];", $_->[1], $_->[2])
    for
    [ "''", '', qr/name of a header/ ],
    [ "'X A'", 'X A', qr/name of a header/ ],
    [ 'X-A:', 'X-A:', qr/name of a header/ ],
    [ 'X-(', 'X-(', qr/name of a header/ ],
    [ "X-Ã©", "X-Ã©", qr/name of a header/ ],
    [ 'off off', 'off' ],
    [ 'off X-A', 'X-A' ],
    [ 'X-A off', 'off', qr/stands alone/ ],
    [ 'OFF', 'OFF', qr/stands alone/ ],
    [ 'X-A x-a', 'x-a', qr/duplicate/ ],
    [ 'X-A Host', 'Host', qr/is not passed on/ ],
    [ 'X-EVENTBRIDGE-', 'X-EVENTBRIDGE-', qr/is not passed on/ ];

for (qw/ off:X-A:X-A X-A:off:off off:off:off X-A:x-a:x-a /) {
    my ($one, $other, $value) = split /:/;
    bad('location', "eventbridge_pass_request_header $one;\n"
        . "eventbridge_pass_request_header $other;", $value, qr/duplicate/);
}

# eventbridge_event

bad('observe', "eventbridge_event $_->[0];", $_->[1], $_->[2]) for
    [ "''", '' ],
    [ 'id', 'id' ],
    [ 'id=', 'id=', qr/a value is expected/ ],
    [ 'id=1 source=', 'source=', qr/a value is expected/ ],
    [ 'id=1 type=', 'type=', qr/a value is expected/ ],
    [ 'id=1 id=2', 'id=2', qr/twice/ ],
    [ 'id=1 kind=2', 'kind=2' ],
    [ 'source=1 type=1', 'source=1', qr/"id" parameter is missing/ ];

bad('server', 'eventbridge_checkpoint nobody;', 'nobody', qr/unknown zone/);
bad('http', 'eventbridge_checkpoint nobody;', 'nobody', qr/unknown zone/);

###############################################################################

# eventbridge_route

my $long = 'n' x 65;

bad('location', "eventbridge_route $_->[0];", $_->[1], $_->[2]) for
    [ "''", '', qr/URI of a location/ ],
    [ 'to/a', 'to/a', qr/URI of a location/ ],
    [ 'http://127.0.0.1/', 'http://127.0.0.1/', qr/URI of a location/ ],
    [ 'source=x', 'source=x', qr/URI of a location/ ],
    [ '/nowhere', '/nowhere', qr/unknown .* "location = \/nowhere \{/ ],
    [ '/TO/a', '/TO/a', qr/unknown destination/ ],
    [ '/t', '/t', qr/unknown destination/ ],
    [ '@nowhere', '@nowhere', qr/unknown destination/ ],
    [ '/in', '/in', qr/its own ingest location/ ],
    [ '/other', '/other', qr/another ingest location/ ],
    [ '/to/a name=', 'name=', qr/a name/ ],
    [ "/to/a name=$long", "name=$long", qr/a name of up to 64/ ],
    [ '/to/a name=a,b', 'a,b', qr/printable ASCII/ ],
    [ "/to/a 'name=a b'", 'a b', qr/printable ASCII/ ],
    [ "/to/a name=\xc3\xa9", "\xc3\xa9", qr/printable ASCII/ ],
    [ "/to/a name=a\x7f", "a\x7f", qr/printable ASCII/ ],
    [ '/to/a name=a name=b', 'name=b', qr/twice/ ],
    [ '/to/a source=', 'source=', qr/regular expression/ ],
    [ '/to/a type=', 'type=', qr/regular expression/ ],
    [ '/to/a source=a source=b', 'source=b', qr/twice/ ],
    [ '/to/a type=a type=a', 'type=a', qr/twice/ ],
    [ '/to/a sources=x', 'sources=x' ],
    [ '/to/a detail-type=x', 'detail-type=x' ],
    [ '/to/a x', 'x' ],
    [ "/to/a ''", '' ],
    [ '/to/a =x', '=x' ],
    [ '/to/a metadata=x', 'metadata=x' ],
    [ '/to/a metadata.=x', 'metadata.=x', qr/metadata\.KEY=VALUE/ ],
    [ '/to/a metadata.key', 'metadata.key', qr/metadata\.KEY=VALUE/ ],
    [ '/to/a metadata.', 'metadata.', qr/metadata\.KEY=VALUE/ ],
    [ '/to/a source=^a(b', 'source=^a(b', qr/at offset 4\b/ ],
    [ '/to/a source=[', 'source=[', qr/at offset 1\b/ ],
    [ '/to/a source=a**', 'source=a**', qr/nothing to repeat at offset|quant/ ],
    [ '/to/a source=ab)c', 'source=ab)c', qr/at offset 2\b/ ],
    [ '/to/a type=*x', 'type=*x', qr/at offset 0\b/ ],
    [ '/to/a source=x type=(?<n', 'type=(?<n', qr/at offset 4\b/ ],
    [ "/to/a 'type=x{2,1}'", 'type=x{2,1}', qr/at offset \d+\b/ ],
    [ "/to/a source=a\xff", "source=a\xff", qr/at offset 1\b/ ],
    [ '/to/a source=a\Cb', 'source=a\Cb', qr/at offset \d+\b/ ];

bad('location', "eventbridge_route /to/a name=n;\n"
    . "eventbridge_route /to/b name=n;", 'n', qr/another route/);

# a misspelled destination that "location /" would take, and one that is only
# the beginning of a location's name

bad('server', "location / { proxy_pass http://127.0.0.1:9; }\n"
    . "location = /x {\neventbridge_ingest;\neventbridge_route /too/a; ##\n}",
    '/too/a', qr/unknown destination/);
bad('server', "location /top { proxy_pass http://127.0.0.1:9; }\n"
    . "location = /x {\neventbridge_ingest;\neventbridge_route /top/a; ##\n}",
    '/top/a', qr/unknown destination/);
bad('server', "location ~ ^/re { proxy_pass http://127.0.0.1:9; }\n"
    . "location = /x {\neventbridge_ingest;\neventbridge_route /re/a; ##\n}",
    '/re/a', qr/unknown destination/);
bad('server', "location /p/ {\ninternal;\neventbridge_ingest;\n"
    . "eventbridge_route /p/q; ##\n}", '/p/q', qr/its own ingest location/);

# destinations: at most 64

sub routes {
    my ($from, $to) = @_;
    return join "\n", map { "eventbridge_route /to/$_;" } $from .. $to;
}

bad('server', "location = /x {\neventbridge_ingest;\n" . routes(1, 65)
    . " ##\n}", '/to/65', qr/too many destinations in location "\/x"/,
    'eventbridge_route');
bad('server', "location = /x {\neventbridge_ingest;\n" . routes(1, 64)
    . "\neventbridge_unrouted /to/65; ##\n}", '/to/65',
    qr/too many destinations/);
bad('http', "eventbridge_checkpoint_zone zone=e:1m $file; ##\n"
    . "server {\nlisten 127.0.0.1:1;\n"
    . "client_max_body_size 2m;\neventbridge_checkpoint e;\n"
    . "location = /x {\neventbridge_ingest;\n" . routes(1, 33) . "\n}\n"
    . "location = /y {\neventbridge_ingest;\n" . routes(33, 65) . "\n}\n"
    . "location /to/ { internal; client_max_body_size 0;\n"
    . "proxy_pass http://127.0.0.1:9; }\n}", 'e', qr/65 destinations/,
    'eventbridge_checkpoint');

# nginx's own tokens

bad('location', 'eventbridge_route /to/a source=^a{2}$;', undef,
    qr/not terminated by ";"/);
bad('location', "eventbridge_route /to/a source='a b';", "b'");

###############################################################################

# the others

bad('location', "eventbridge_route_policy $_->[0];", $_->[1]) for
    map { [ $_, $_ eq "''" ? '' : $_ ] } qw/ some FIRST alll 0 /, "''";
bad('location', "eventbridge_forward_as $_->[0];", $_->[1]) for
    map { [ $_, $_ eq "''" ? '' : $_ ] } qw/ sames cloudevent 1 /, "''";
bad('location', "eventbridge_unrouted $_->[0];", $_->[1], $_->[2]) for
    [ 'drops', 'drops', qr/"drop", "reject" or a destination/ ],
    [ "''", '', qr/"drop", "reject" or a destination/ ],
    [ 'off', 'off', qr/"drop", "reject" or a destination/ ],
    [ '/nowhere', '/nowhere', qr/unknown destination/ ],
    [ '/in', '/in', qr/its own ingest location/ ];

bad('location', "eventbridge_forward_timeout $_->[0];", $_->[1],
    qr/from 1ms to 1h/) for map { [ $_, $_ eq "''" ? '' : $_ ] }
    qw/ 0 0s -1 -4s 4x 1s5q 61m 3601s 1s1m s 18446744073709551616
    9223372036854775807 /, "''";
bad('location', "eventbridge_inflight $_;", $_, qr/a size/) for
    qw/ 0 -1 -1m 1mm 10x m 18446744073709551616 9223372036854775808k /;
bad('location', "eventbridge_inflight '';", '', qr/a size/);
bad('location', "eventbridge_inflight 1m $_;", $_) for 'x', 'delivery=5',
    'deliveries', 'deliveries:5';
bad('location', "eventbridge_inflight 1m deliveries=$_;", "deliveries=$_",
    qr/a number/) for '', qw/ 0 -1 1k 5x 1.5 18446744073709551616 /;
bad('location', "eventbridge_max_events $_->[0];", $_->[1],
    qr/from 1 to 1000000/) for map { [ $_, $_ eq "''" ? '' : $_ ] }
    qw/ 0 -1 1000001 10k 10x 1.5 18446744073709551616 off /, "''";
bad('location', "eventbridge_max_depth $_->[0];", $_->[1],
    qr/from 1 to 1024/) for map { [ $_, $_ eq "''" ? '' : $_ ] }
    qw/ 0 -1 1025 64k 10x 18446744073709551616 /, "''";

# patterns of eventbridge_route

bad('location', "eventbridge_route /to/a 'pattern=$_->[0]';",
    "pattern=$_->[0]", qr/$_->[1] at offset $_->[2] of the pattern/) for
    [ '', '', 0 ], [ '{', '', 1 ], [ '{"a":[1]}x', '', 9 ], [ '[]', '', 0 ],
    [ '{"a":[]}', 'field "a"', 5 ],
    [ '{"a":{"b":[{"Prefix":"x"}]}}', 'Prefix.*field "a\.b"', 12 ],
    [ '{"a":[{"numeric":["<",1,">",2]}]}', 'numeric.*field "a"',
        '\\d+' ];
bad('location', "eventbridge_route /to/a 'pattern={\"a\":[\"" . 'x' x 1000
    . "\"}';", 'pattern={"a":["' . 'x' x 241 . '...',
    qr/at offset 1008 of the pattern/);
bad('location', "eventbridge_route /to/a 'pattern={\"a\":[1]}' "
    . "'pattern={\"a\":[1]}';", 'pattern={"a":[1]}', qr/twice/);
bad('location', "eventbridge_route /to/a 'pattern={\"a\":[1]}' "
    . "pattern_file=$dir/pattern;", "pattern_file=$dir/pattern",
    qr/one pattern/);
bad('location', "eventbridge_route /to/a pattern_file=$_->[0];",
    "pattern_file=$_->[0]", $_->[1]) for
    [ '', qr/a file name/ ], [ "$dir/none", qr/No such file or directory/ ],
    [ "$dir/dir", qr/not a file/ ], [ "$dir/fifo", qr/not a file/ ],
    [ "$dir/pattern.large", qr/more than 64k/ ],
    [ "$dir/pattern.bad", qr/at offset 7 of the pattern/ ];

# eventbridge_rate

bad('location', "eventbridge_rate $_;", $_, qr/"off" or from 1 to 1000000000/)
    for 'on', 'r/s', '10', '10r', '10r/h', '10r/s/', '0r/s',
    '-1r/s', '1.5r/s', '1kr/s', 'xr/m', '1000000001r/s',
    '1000000001r/m', '99999999999999999999r/s', 'offr/s', 'Off';
bad('location', "eventbridge_rate '';", '', qr/"off" or from 1/);
bad('location', "eventbridge_rate 10r/s $_;", $_) for 'x', 'nodelay',
    'burst', 'bursts=1', 'rate=5r/s', 'zone';
bad('location', "eventbridge_rate 10r/s $_;", $_, qr/from 1 to 1000000000/)
    for 'burst=', 'burst=0', 'burst=-1', 'burst=1.5', 'burst=1k', 'burst=1x',
    'burst=1000000001',
    'burst=99999999999999999999';
bad('location', 'eventbridge_rate 10r/s zone=;', 'zone=', qr/a name/);
bad('location', 'eventbridge_rate 10r/s burst=5 burst=5;', 'burst=5',
    qr/twice/);
bad('location', 'eventbridge_rate 10r/s zone=a zone=b;', 'zone=b', qr/twice/);
bad('location', 'eventbridge_rate off burst=5;', 'burst=5');
bad('location', "eventbridge_rate $_->[0];\n}\nlocation = /more {\n"
    . "eventbridge_rate $_->[1];", $_->[1] =~ /^(\S+)/,
    qr/zone "a" has another rate or burst in .*nginx\.conf\.t\d+:\d+/)
    for [ '10r/s zone=a', '11r/s zone=a' ],
    [ '60r/s zone=a burst=1', '60r/m zone=a burst=1' ],
    [ '10r/s burst=5 zone=a', '10r/s zone=a burst=6' ],
    [ '10r/s zone=a', '10r/s burst=11 zone=a' ];

bad('location', "eventbridge_dead_letter '';", '', qr/a file or "off"/);
bad('location', "eventbridge_dead_letter $_->[0];", $_->[0], $_->[1]) for
    [ "$dir/none/dead", qr/No such file or directory/ ],
    [ "$dir/dir", qr/check for a regular file/ ],
    [ "$dir/foreign/dead", qr/Not a directory/ ];
bad('http', "eventbridge_outbox path=$dir/none/outbox;", "$dir/none/outbox",
    qr/No such file or directory/);
bad('http', "eventbridge_webhook a https://a/;", 'eventbridge_webhook a',
    qr/needs an "eventbridge_outbox/, 'eventbridge_outbox path=FILE');
bad('http', "eventbridge_lifecycle a {\nstate $dir/none/journal;\n} ##",
    "$dir/none/journal", qr/No such file or directory/,
    'eventbridge_lifecycle');
bad('location', "eventbridge_permanent $_->[0];", $_->[1]) for
    map { [ $_, $_ eq "''" ? '' : $_ ] } qw/ 200 299 600 -400 4xx off
    18446744073709551616 /, "''";
bad('location', "eventbridge_permanent 400 $_;", $_) for qw/ 400 none /;
bad('location', "eventbridge_unavailable $_;", $_,
    qr/"retry" or "dead_letter"/) for qw/ drop dead-letter off /;
bad('location', "eventbridge_unavailable retry $_;", $_) for
    qw/ after=1s x /;
bad('location', "eventbridge_unavailable dead_letter $_;", $_) for
    qw/ after= after=1x after=-1 after=500ms 60s before=1s /;

my $log = "$dir/e.jsonl";

bad('location', "eventbridge_audit_log $_->[0];", $_->[1], $_->[2]) for
    [ "''", '', qr/file name/ ],
    [ "$dir/", "$dir/", qr/file name/ ],
    [ "$dir/dir", "$dir/dir", qr/Is a directory/ ],
    [ "$dir/none/e.jsonl", "$dir/none/e.jsonl",
        qr/No such file or directory/ ],
    [ "$dir/foreign/e.jsonl", "$dir/foreign/e.jsonl", qr/Not a directory/ ],
    [ 'off buffer=64k', 'buffer=64k' ],
    [ "$log gzip", 'gzip' ],
    [ "$log buffers=64k", 'buffers=64k' ],
    [ "$log buffer=64k buffer=32k", 'buffer=32k', qr/twice/ ],
    [ "$log flush=1s flush=2s", 'flush=2s', qr/twice/ ],
    map({ [ "$log buffer=$_", "buffer=$_", qr/from 8k to 64m/ ] }
        '', qw/ 0 -1 8191 7k 65m 64kk 10x 9223372036854775808k /),
    map({ [ "$log flush=$_", "flush=$_", qr/from 1ms to 1h/ ] }
        '', qw/ 0 -1 61m 10x 1s5q 18446744073709551616 /);

bad('server', "eventbridge_audit_log $log;\nlocation /x {\n"
    . "eventbridge_audit_log $log buffer=128k; ##\n}", $log,
    qr/other parameters/);
bad('server', "access_log $log combined buffer=64k;\nlocation /x {\n"
    . "eventbridge_audit_log $log; ##\n}", $log, qr/log of another module/);

###############################################################################

# what is right beside what is wrong

my @good = (
    [ 'location', "eventbridge_route /to/a 'source=^a{2}\$';",
        'quoted braces' ],
    [ 'location', 'eventbridge_route /to/a "source=^a{2};x y$";',
        'quoted semicolon and space' ],
    [ 'location', 'eventbridge_route /to/a metadata.k= metadata.k=v;',
        'empty and repeated metadata' ],
    [ 'location', "eventbridge_route /to/a name=" . 'n' x 64 . ';',
        'longest name' ],
    [ 'location', "eventbridge_route /to/a 'pattern={\"a\":[1]}' name=x\n"
        . "metadata.k=v type=x;", 'a pattern beside conditions' ],
    [ 'location', "eventbridge_route /to/b;\neventbridge_route /to/b;",
        'a destination twice' ],
    [ 'location', 'eventbridge_route @named;', 'a named location' ],
    [ 'location', "limit_except POST { deny all; }\n"
        . 'if ($http_x) { set $y 1; }', 'blocks inside' ],
    [ 'http', "eventbridge_checkpoint_zone zone=e:64k $file window=366d "
        . 'claim_timeout=1s sync=10ms;', 'lower bounds of a zone' ],
    [ 'http', "eventbridge_checkpoint_zone zone=e:1m $file window=1s "
        . 'claim_timeout=1h sync=1h;', 'upper bounds of a zone' ],
    [ 'http', "eventbridge_checkpoint_zone zone=e:1m path=$dir/damaged;",
        'a damaged file, with on_corrupt=reset' ],
    [ 'server', "location = /x {\neventbridge_ingest;\n" . routes(1, 64)
        . "\neventbridge_unrouted /to/1;\n}", '64 destinations' ]
);

###############################################################################

$t->plan(@cases * 4 + grep({ defined $_->[2] } @cases) + @good + 3);

# files to stumble over, and a checkpoint that is right

$t->write_file('pattern', "{ \"a\": [1] }\n");
$t->write_file('pattern.bad', "{ \"a\":\n1 }\n");
$t->write_file('pattern.large', ' ' x 65537);
mkdir "$dir/dir" or die "mkdir: $!\n";
mkfifo("$dir/fifo", 0600) or die "mkfifo: $!\n";
symlink 'z.ckpt', "$dir/link" or die "symlink: $!\n";
symlink 'none', "$dir/dangling" or die "symlink: $!\n";

$t->write_file('foreign', "#!/bin/sh\n" x 10_000);

$t->conf(<<'EOF')->run();
    eventbridge_checkpoint_zone zone=z:1m path=%%TESTDIR%%/z.ckpt;

    server {
        listen 127.0.0.1:%%PORT_0%%;
        location / { eventbridge_health; }
    }
EOF

is(get($t->port(0), '/')->json()->{status}, 'healthy', 'a checkpoint');
$t->stop();

my $ckpt = read_file("$dir/z.ckpt");
my $version = unpack 'L', substr $ckpt, 8, 4;

cmp_ok($version, '<', 1000, 'version of the format');

my $other = $ckpt;
substr($other, 8, 4) = pack 'L', $version + 1;
append_file("$dir/newer", $other);
$other = $ckpt;
substr($other, 100, 1) ^= "\x01";
append_file("$dir/damaged", $other);
append_file("$dir/cut", substr $ckpt, 0, 8192);

for my $case (@cases) {
    my ($place, $text, $value, $re, $directive) = @$case;

    # the first word of the line in question
    my ($at) = $text =~ /([^\n]*) ##/;
    ($at) = $text =~ /([^\n]*)\z/ if !defined $at;

    $text .= ' ##' if $text !~ /##/;
    $directive //= ($at =~ /^(\w+)/)[0];

    my ($rc, $out) = $t->test_config(whole($place, $text));
    my $conf = "$dir/nginx.conf.t$t->{tests}";
    my ($before) = read_file($conf) =~ /^(.*?)##/s;
    my $line = 1 + ($before =~ tr/\n//);
    my ($message) = $out =~ /^nginx: \[emerg\] (.*)$/m;
    my $name = substr "$place: $at", 0, 100;

    $name =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
    $message //= "no message:\n$out";

    is($rc, 1, "$name, exit code");
    like($message, qr/"\Q$directive\E"|^\Q$directive\E /, "$name, directive");
    like($message, qr/"\Q$value\E"/, "$name, value") if defined $value;
    like($message, qr/ in \Q$conf:$line\E\b/, "$name, file and line");
    like($message, $re // qr/invalid value/, "$name, reason");
}

for my $case (@good) {
    my ($place, $text, $name) = @$case;
    my ($rc, $out) = $t->test_config(whole($place, $text));

    is($rc, 0, $name) or diag($out);
}

is(join(',', grep { -e "$dir/$_" } qw/ d.ckpt e.ckpt f.ckpt d.stats none /),
    '', 'nothing was made');

###############################################################################

# A configuration that is right, with a text in one of its places.

sub whole {
    my ($place, $text) = @_;
    my %in = (main => '', http => '', server => '', location => '',
        observe => '', upstream => '');

    $in{$place} = $text;

    return <<"EOF";
$in{main}
http {
    eventbridge_checkpoint_zone zone=z:1m path=$dir/z.ckpt;
    $in{http}

    upstream u {
        server 127.0.0.1:9;
        $in{upstream}
    }

    server {
        listen 127.0.0.1:%%PORT_0%%;
        client_max_body_size 2m;
        $in{server}

        location = /in {
            eventbridge_ingest;
            eventbridge_route /to/a;
            $in{location}
        }

        location = /other {
            eventbridge_ingest;
            eventbridge_route /to/a;
        }

        location = /observe {
            $in{observe}
        }

        location /to/ {
            internal;
            client_max_body_size 0;
            proxy_pass http://u;
        }

        location \@named {
            client_max_body_size 0;
            proxy_pass http://u;
        }
    }
}
EOF
}

###############################################################################
