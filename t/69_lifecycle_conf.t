#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Tests for nginx -t on wrong configurations of lifecycles: it fails with exit
# code 1, and the message names the line, the value, the file and the place.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;

###############################################################################

my $t = Test::EventBridge->new(workers => 1, log_level => 'info');
my $dir = $t->testdir();

delete @ENV{grep { /^AWS_/ } keys %ENV};

$t->write_file('keys', "ID:SECRET-of-aws\n", 0640);
$t->write_file('half', "ID\n", 0640);
$t->write_file('open', "ID:SECRET-of-aws\n", 0644);
$t->write_file('secret', "the-client-secret\n", 0640);
$t->secret($_) for 'SECRET-of-aws', 'the-client-secret';

# place, text, and what the message says.  The line is that of the text, or
# the one with "##".

my (@bad, @good);

sub bad { push @bad, [ @_ ] }
sub good { push @good, [ @_ ] }

my %value = (genesys => 'org', events_path => '/x', interval => '1s',
    overlap => '1s', bus => 'https://a', bus_format => 'generic',
    bus_region => 'r', bus_name => 'n', bus_source => 's',
    bus_timeout => '1s', bus_max_age => '1s',
    aws_credentials_file => "$dir/keys", trusted_certificate => "$dir/keys",
    window => '1s', grace => '1h', idle => '1d', stages => '8',
    interactions => '1000', retention_days => '30', adopt => 'on');

for my $name (sort keys %value) {
    bad(block => "$name;", qr/invalid number of arguments in "$name" of/);
    bad(block => "$name $value{$name} b;",
        qr/invalid number of arguments in "$name" of/);
    bad(block => "$name $value{$name};\n$name $value{$name};",
        qr/"\Q$value{$name}\E" in "$name" .* it is given twice/);
}

bad(block => "initial queued;\ninitial queued;", qr/it is given twice/);
bad(block => "state $dir/b;", qr/"state" .* it is given twice/);
bad(block => "$_;", qr/invalid number of arguments in "$_"/)
    for qw/ initial transition callback /;
bad(block => 'nothing 1;', qr/unknown directive "nothing" in "event/);

for my $name (qw/ genesys bus bus_region bus_name bus_source /) {
    bad(block => "$name \"\";", qr/invalid value "" in "$name" .* 1 to 2048/);
    bad(block => "$name \"a b\";", qr/"a b" .* space or a control/);
    bad(block => "$name " . 'x' x 2049 . ';', qr/1 to 2048 bytes/);
}

bad(block => "events_path $_;", qr/ in "events_path" .* a path is expected/)
    for 'a', 'https://a/b', '/' . 'x' x 1024;
bad(block => "aws_credentials_file $_;", qr/a file is expected/)
    for '""', '/a/';
bad(block => "trusted_certificate /none;",
    qr/"\/none" in "trusted_certificate" .* there is no such file/);
bad(block => "bus_format $_;", qr/"$_" .*"generic" or "aws" is expected/)
    for qw/ Generic json /;
bad(block => "adopt $_;", qr/"$_" .*"on" or "off"/) for qw/ yes 1 /;

for my $name (qw/ interval bus_timeout bus_max_age grace /) {
    bad(block => "$name $_;", qr/"$_" in "$name" .* 1ms to 366d/)
        for qw/ 0 -1 x 367d /;
}

for my $name (qw/ overlap window idle /) {
    bad(block => "$name $_;", qr/"$_" in "$name" .* 366d at most/)
        for qw/ -1 x 367d /;
    good(block => "$name 0;");
}

bad(block => "interactions $_;", qr/"$_" .* from 1000 to 50000000/)
    for qw/ 999 0 -1 x 50000001 /;
bad(block => "stages $_;", qr/"$_" .* from 1 to 255/) for qw/ 0 256 x /;
bad(block => "retention_days $_;", qr/"$_" .* from 1 to 3650/)
    for qw/ 0 3651 x /;

bad(block => "transition $_;", qr/invalid value .* in "transition"/)
    for '"a b" c', 'queued "x y"', 'x' x 33 . ' queued';
bad(block => 'initial "a b";', qr/invalid value .* in "initial"/);
bad(block => join("\n", map { "transition s$_ closed;" } 1 .. 40),
    qr/invalid value .* in "transition"/, 0);
bad(end => join("\n", map { "transition $_ queued;" }
    qw/ queued ringing connected wrapping transferred closed abandoned /),
    qr/the states of "eventbridge_lifecycle calls": /, 0);
bad(block => 'transition queued +abandoned parked;',
    qr/either all or none/);
good(block => 'transition queued +abandoned +parked;');
good(block => "transition parked;\ntransition queued parked;");

bad(block => 'callback nobody closed;', qr/"?nobody"?/);
bad(block => 'callback hook;', qr/a webhook and at least one state/);
bad(block => 'callback hook nowhere;',
    qr/unknown state "nowhere" in "callback" of/);
good(block => 'callback hook closed abandoned;');

bad(block => "bus $_;", qr/"\Q$_\E" in "bus" .* https:\/\/HOST\/PATH/,
    0)
    for 'a', 'ftp://a', 'unix:/a', '/a';
bad(block => "bus $_;", qr/"\Q$_\E" in "bus" .* valid host/, 0)
    for 'https://', 'https:///x', 'https://a:0', 'https://a:x';
bad(block => 'bus https://u:p@a/;', qr/"bus" of .* valid host/, 0);
bad(block => "bus https://a/?b=c;\nbus_format aws;\nbus_region r;",
    qr/"https:\/\/a\/\?b=c" in "bus" .* a query is not expected/, 0);

bad(block => 'bus_format aws;', qr/neither "bus" nor "bus_region"/, 0);
bad(block => "bus_format aws;\nbus https://a;", qr/has no "bus_region"/, 0);
bad(block => "bus_format aws;\nbus_region r;",
    qr/AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not in/, 0);
bad(block => "bus_format aws;\nbus_region r;\n"
    . "aws_credentials_file $dir/half;", qr/ACCESS_KEY_ID:SECRET_ACCESS_KEY/,
    0);
bad(block => "bus_format aws;\nbus_region r;\n"
    . "aws_credentials_file $dir/none;",
    qr/"aws_credentials_file" of .*(?:No such file|2:)/, 0);
bad(block => "bus_format aws;\nbus_region r;\n"
    . "aws_credentials_file $dir/open;", qr/"aws_credentials_file" of/, 0);
good(block => "bus_format aws;\nbus_region r;\n"
    . "aws_credentials_file $dir/keys;");
good(block => "bus_format aws;\nbus_region cn-north-1;\nbus_name n;\n"
    . "aws_credentials_file $dir/keys;");

bad(block => "genesys org;\noverlap 1h;\ngrace 1h;",
    qr/"grace" .* has to be longer than "overlap"/, 0);
bad(block => 'genesys nobody;', qr/unknown organisation "nobody"/, 0);
good(block => "genesys org;\noverlap 1m;\ngrace 2m;");

bad(http => "eventbridge_lifecycle $_ { state $dir/x; }",
    qr/1 to 64 letters/) for '""', '"a b"', 'a.b', 'x' x 65;
bad(http => "eventbridge_lifecycle calls { state $dir/x; }",
    qr/"calls" .* used already/);
bad(http => 'eventbridge_lifecycle a;', qr/has no opening "\{"/);
bad(http => 'eventbridge_lifecycle a { window 1s; }', qr/has no "state"/);
bad(server => "eventbridge_lifecycle a { state $dir/x; }",
    qr/directive is not allowed here/);

# who names one

bad(location => 'eventbridge_lifecycle_status nobody;',
    qr/unknown \w+ "nobody" of "eventbridge_lifecycle_status"/);
bad(location => 'eventbridge_lifecycle_status;', qr/number of arguments/);
bad(location => "eventbridge_lifecycle_status calls;\n"
    . 'eventbridge_lifecycle_status calls;', qr/is duplicate/);
bad(location => "eventbridge_metrics;\neventbridge_lifecycle_status calls;",
    qr/conflicts with another directive/);
bad(server => 'eventbridge_lifecycle_status calls;',
    qr/directive is not allowed here/);
good(location => 'eventbridge_lifecycle_status calls;');

bad(location => "eventbridge_ingest;\neventbridge_route lifecycle:nobody;",
    qr/unknown \w+ in "lifecycle:nobody" of "eventbridge_route"/);
bad(location => "eventbridge_ingest;\neventbridge_route lifecycle:;",
    qr/"lifecycle:" .* URI of a location/);
bad(location => "eventbridge_ingest;\neventbridge_route /to $_;",
    qr/lifecycle=NAME:STATE is expected/) for qw/ lifecycle=calls
    lifecycle=:queued lifecycle=calls: lifecycle= /;
bad(location => "eventbridge_ingest;\neventbridge_route /to "
    . 'lifecycle=nobody:queued;', qr/unknown lifecycle "nobody"/);
bad(location => "eventbridge_ingest;\neventbridge_route /to "
    . 'lifecycle=calls:nowhere;',
    qr/unknown state "nowhere" of lifecycle "calls"/);
good(location => "eventbridge_ingest;\neventbridge_route /to "
    . "lifecycle=calls:queued;\neventbridge_route lifecycle:calls;");

$t->plan(3 * @bad + @good + 6);

###############################################################################

for my $case (@bad) {
    my ($place, $text, $re, $exact) = @$case;
    my ($rc, $out) = $t->test_config(whole($place, $text));
    my $conf = "$dir/nginx.conf.t$t->{tests}";
    my ($message) = $out =~ /^nginx: \[emerg\] (.*)$/m;
    my $name = substr "$place: " . ($text =~ s/\n/ /gr), 0, 100;

    # the last line of the text, unless the whole block is meant
    my ($before) = Test::EventBridge::read_file($conf) =~ /^(.*?)##/s;
    my $line = 1 + ($before =~ tr/\n//);
    my $at = $exact // 1 ? qr/ in \Q$conf:$line\E\b/ : qr/ in \Q$conf:\E\d+/;

    is($rc, 1, "$name, exit code");
    like($message // "no message:\n$out", $re, "$name, reason");
    like($message // '', $at, "$name, file and line");
}

for my $case (@good) {
    my ($place, $text) = @$case;
    my ($rc, $out) = $t->test_config(whole($place, $text));

    is($rc, 0, "$place: " . ($text =~ s/\n/ /gr)) or diag($out);
}

# row 4.12: not without a word

my ($rc, $out) = $t->test_config(whole('block', 'bus http://a.example.com;'));
is($rc, 0, 'row 4.12: http is allowed');
like($out, qr/\[warn\] "bus" of "eventbridge_lifecycle calls" is not https/,
    'row 4.12: with a warning');
($rc, $out) = $t->test_config(whole('block', 'bus http://127.0.0.1:1;'));
is($rc, 0, 'row 4.12: and on this machine');
unlike($out, qr/"bus" of/, 'row 4.12: without one');

# a test of the configuration makes no files

ok(!-e "$dir/calls", 'there is no journal');
ok(!-e "$dir/calls.dead", 'nor dead letters');

###############################################################################

sub whole {
    my ($place, $text) = @_;
    my %in = map { $_ => '' } qw/ block end http server location /;

    $in{$place} = "$text ##";

    return <<"EOT";
http {
    eventbridge_stats_file $dir/stats;
    eventbridge_outbox path=$dir/outbox;
    eventbridge_webhook hook http://127.0.0.1:9/hook;

    eventbridge_genesys org {
        region eu-west-1;
        client_id c;
        client_secret_file $dir/secret;
    }

    eventbridge_lifecycle calls {
        state $dir/calls;
        $in{block}
        $in{end}
    }

    $in{http}

    server {
        listen 127.0.0.1:%%PORT_0%%;
        eventbridge_genesys_pass org /_genesys/;
        $in{server}

        location = /a {
            $in{location}
        }

        location = /to { internal; proxy_pass http://127.0.0.1:9; }

        location /_genesys/ {
            internal;
            proxy_pass http://127.0.0.1:9/;
            proxy_set_header Authorization \$eventbridge_bearer;
        }
    }
}
EOT
}
