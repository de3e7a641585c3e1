#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Tests for nginx -t on wrong configurations of Genesys Cloud: it fails with
# exit code 1, and the message names the directive, the value, the file and
# the line.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;
use Test::EventBridge::Util qw/ read_file /;

###############################################################################

my $t = Test::EventBridge->new(workers => 1, log_level => 'info');
my $dir = $t->testdir();

$t->write_file('secret', "the-client-secret\n", 0640);
$t->write_file('open', "the-client-secret\n", 0644);
$t->write_file('empty', " \n", 0640);
$t->write_file('long', 'x' x 4097, 0640);
$t->write_file('control', "the-client\tsecret\n", 0640);
$t->write_file('large', "x\n" x 600000, 0640);
$t->secret('the-client-secret', ok_in => qr/nothing/);

# place, text, value that the message shows, what else it says.  The line is
# the one with "##", or the last one.  Where a whole block is wrong there is
# no directive: it is said which one should be there.

my @cases;

sub bad {
    my ($place, $text, $value, $re, $directive) = @_;
    push @cases, [ $place, $text, $value, $re, $directive ];
}

###############################################################################

# in the block: what each line does not take

my %good = (
    region => 'eu-west-1', api_url => 'https://api.example.com',
    login_url => 'https://login.example.com', client_id => 'c',
    client_secret_file => "$dir/secret", credentials => 'body', scope => 's',
    trusted_certificate => "$dir/secret", api => 'integrations',
    retries => '3', retry_cap => '1m', timeout => '10s',
    connect_timeout => '1s', refresh_margin => '10s',
    breaker_failures => '5', breaker_open => '1s',
    map { $_ => '"/api/v2/x/{id}"' } qw/ subscriptions_path subscription_path
        subscription_config_path retention_path filters_path endpoints_path
        endpoint_path /
);

for my $name (sort keys %good) {
    bad('org', "$name;", 'eventbridge_genesys org',
        qr/invalid number of arguments/, $name);
    bad('org', "$name $good{$name} b;", 'eventbridge_genesys org',
        qr/invalid number of arguments/, $name);
    bad('org', "$name $good{$name};\n$name $good{$name};",
        $good{$name} =~ tr/"//dr, qr/given twice/);
}

for my $name (qw/ region client_id scope /) {
    bad('org', "$name \"\";", '', qr/1 to 1024 bytes/);
    bad('org', "$name \"a\tb\";", "a\tb", qr/control character/);
    bad('org', "$name " . 'x' x 1025 . ';', undef, qr/1 to 1024 bytes/);
}

for my $name (qw/ api_url login_url /) {
    bad('org', "$name $_;", $_, qr/https:\/\/HOST is expected/)
        for 'api.example.com', 'ftp://a', 'unix:/a', '/a';
    bad('org', "$name $_;", $_, qr/no valid host/)
        for 'https://', 'https://a:0', 'https://a:x', 'https://:1';
    bad('org', "$name $_;", $_, qr/only a host/)
        for 'https://a/b', 'https://a?b', 'https://u:p@a',
        'https://a/b/';
}

bad('org', "$_ a;", 'a', qr/a path is expected/)
    for qw/ subscriptions_path subscription_path subscription_config_path
        retention_path filters_path /;
bad('org', "trusted_certificate $dir/none;", "$dir/none",
    qr/there is no such file/);
bad('org', "credentials $_;", $_, qr/"basic" or "body"/)
    for qw/ Basic header none /;
bad('org', "api $_;", $_, qr/"reference" or "integrations"/)
    for qw/ real Reference /;
bad('org', "retries $_;", $_, qr/from 0 to 20/) for qw/ -1 21 x 1.5 /;
bad('org', "$_ /a/{i};" =~ s/(\/.*);/"$1";/r, '/a/{i}', qr/"\{id\}" or/)
    for qw/ subscription_path subscription_config_path retention_path
        filters_path endpoint_path /;
bad('org', "breaker_failures $_;", $_, qr/from 0 to 1000000/)
    for qw/ -1 1000001 x 1.5 /;

for my $name (qw/ retry_cap timeout connect_timeout refresh_margin
    breaker_open /)
{
    bad('org', "$name $_;", $_, qr/from 1ms to 1h/)
        for qw/ 0 61m -1 x 1y /;
}

bad('org', 'nothing 1;', 'eventbridge_genesys org', qr/unknown directive/,
    'nothing');

# what is missing, or does not go together

bad('http', "eventbridge_genesys a {\nclient_secret_file $dir/secret;\n"
    . "region eu-west-1;\n} ##", 'client_id', qr/has no/, undef);
bad('http', "eventbridge_genesys a {\nclient_id c;\nregion eu-west-1;\n} ##",
    'client_secret_file', qr/has no/, undef);
bad('http', "eventbridge_genesys a {\nclient_id c;\n"
    . "client_secret_file $dir/secret;\napi_url https://a;\n} ##", 'region',
    qr/has no/, undef);
bad('http', "eventbridge_genesys a {\nclient_id c;\n"
    . "client_secret_file $dir/secret;\nregion mars-1;\n} ##", 'mars-1',
    qr/unknown region .* AWS region or a domain/, undef);
bad('http', "eventbridge_genesys a {\nclient_id c:d;\n"
    . "client_secret_file $dir/secret;\nregion eu-west-1;\n} ##", 'c:d',
    qr/"client_id" .* "credentials body"/, undef);

for my $case ([ 'open', 'it is readable by everybody, chmod o-r' ],
    [ 'none', 'it cannot be opened' ], [ 'empty', 'it is empty' ],
    [ 'long', 'the secret is longer than 4096 bytes' ],
    [ 'control', 'the secret has a control character' ],
    [ 'large', 'it is larger than 1 MB' ],
    [ '', 'it is not a regular file' ])
{
    bad('http', "eventbridge_genesys a {\nclient_id c;\n"
        . "client_secret_file $dir/$case->[0];\nregion eu-west-1;\n} ##",
        'client_secret_file', qr/\Q$case->[1]\E/, undef);
}

# the block itself

bad('http', 'eventbridge_genesys { ##' . "\n}", undef,
    qr/invalid number of arguments/, 'eventbridge_genesys');
bad('http', 'eventbridge_genesys "" { ##' . "\n}", '',
    qr/a name of 1 to 64 bytes/, 'eventbridge_genesys');
bad('http', 'eventbridge_genesys ' . 'x' x 65 . " { ##\n}", 'x' x 65,
    qr/a name of 1 to 64 bytes/, 'eventbridge_genesys');
bad('http', "eventbridge_genesys org { ##\n}", 'org',
    qr/the name is used already/, 'eventbridge_genesys');
bad('http', 'eventbridge_genesys a;', undef, qr/has no opening/,
    'eventbridge_genesys');
bad('server', "eventbridge_genesys a { ##\n}", undef, qr/is not allowed here/,
    'eventbridge_genesys');

###############################################################################

# the way to the API

bad('server', "eventbridge_genesys_pass $_;", undef,
    qr/invalid number of arguments/) for '', 'org', 'org /_genesys/ b';
bad('server', "eventbridge_genesys_pass org $_;", $_ =~ tr/"//dr,
    qr/the URI of a location of this server/)
    for '_genesys/', '""', 'https://a/';
bad($_, 'eventbridge_genesys_pass nobody /_genesys/;', 'nobody',
    qr/unknown organisation/) for qw/ http server location /;
bad('server', "eventbridge_genesys_pass org /_genesys/;", 'org',
    qr/given twice/);
bad('location', 'eventbridge_genesys_pass org /nowhere/;', '/nowhere/',
    qr/unknown location .* proxy_pass/, undef);
bad('location', 'eventbridge_genesys_pass org /control;', '/control',
    qr/unknown location/, undef);
bad('main', 'eventbridge_genesys_pass org /_genesys/;', undef,
    qr/is not allowed here/);

# the locations

for my $name (qw/ eventbridge_genesys_subscriptions
    eventbridge_genesys_retention eventbridge_genesys_filters
    eventbridge_genesys_endpoints /)
{
    bad('empty', "$name;", undef, qr/invalid number of arguments/);

    if ($name =~ /endpoints|retention/) {
        bad('empty', "$name org b;", 'b');

    } else {
        bad('empty', "$name a b;", undef, qr/invalid number of arguments/);
    }

    bad('empty', "$name nobody;", 'nobody',
        qr/unknown organisation .* add "eventbridge_genesys nobody/, '/empty');
    bad('empty', "$name other;", 'eventbridge_genesys_pass other URI',
        qr/has no/, '/empty');
    bad('empty', "$name org;\n$name org;", undef, qr/is duplicate/);
    bad('empty', "eventbridge_health;\n$name org;", undef, qr/conflicts with/);
    bad('server', "$name org;", undef, qr/is not allowed here/);
}

bad('empty', "eventbridge_genesys_filters org;\n"
    . 'eventbridge_genesys_retention org;', undef, qr/is duplicate/);

# how endpoints are probed

for my $case ([ 'callback=a/b', qr/the name of an "eventbridge_webhook"/ ],
    [ 'callback=', qr/the name of an "eventbridge_webhook"/ ],
    (map { [ "timeout=$_", qr/from 1ms to 60s/ ] } '', 0, '61s', -1, 'x'),
    (map { [ "method=$_", qr/GET, HEAD or OPTIONS/ ] } '', 'POST', 'get'),
    (map { [ "path=$_", qr/a path is expected/ ] } '', 'x'),
    (map { [ "path=$_", qr/has to be encoded/ ] } '/#', "/\x{7f}"),
    (map { [ "expect=$_", qr/statuses as/ ] } '', 'x', '99', '600', '200-',
    '-200', '300-200', '200,', ',200', join(',', 100 .. 116)),
    [ 'trusted_certificate=', qr/a file is expected/ ],
    [ "trusted_certificate=$dir/none", qr/there is no such file/ ])
{
    bad('empty', "eventbridge_genesys_endpoints org $case->[0];", $case->[0],
        $case->[1]);
}

bad('empty', "eventbridge_genesys_endpoints org $_ $_;", $_)
    for qw/ timeout=1s method=GET path=\/ expect=200 /;
bad('empty', 'eventbridge_genesys_endpoints org timeout=30s;',
    'eventbridge_genesys org', qr/leaves no time for the API/, 'timeout');
bad('empty', 'eventbridge_genesys_endpoints org callback=none;', 'none',
    qr/unknown webhook/, 'callback=none');

# what policies must have, and what is sent of their cost

for my $case ((map { [ $_, qr/it is empty/ ] } 'tags=', 'tags=a,,b',
    'tags=a,', 'tags=,a'), [ 'tags=' . 'x' x 129, qr/it is too long/ ],
    [ 'tags=' . join(',', 1 .. 65), qr/64 tags at most/ ],
    (map { [ "send_cost=$_", qr/"on" or "off"/ ] } '', 'yes', 'ON'),
    [ 'cost=on' ])
{
    bad('empty', "eventbridge_genesys_retention org $case->[0];", $case->[0],
        $case->[1]);
}

bad('empty', "eventbridge_genesys_retention org $_ $_;", $_)
    for qw/ tags=a send_cost=on /;

# what retention costs

bad('server', 'eventbridge_retention_cost;', undef,
    qr/invalid number of arguments/);
bad('server', 'eventbridge_retention_cost gb=1;', undef,
    qr/invalid number of arguments/);
bad('server', 'eventbridge_retention_cost gb=1 price=1 x=1;', 'x=1');
bad('server', 'eventbridge_retention_cost gb=1 callback=hook;', 'gb=1',
    qr/both "gb" and "price" are needed/);
bad('server', "eventbridge_retention_cost price=1 $_;", $_,
    qr/a number is expected/) for 'gb=', 'gb=x', 'gb=-1', 'gb=1,5', 'gb=1e400';
bad('server', "eventbridge_retention_cost gb=1 price=x;", 'price=x',
    qr/a number is expected/);
bad('server', "eventbridge_retention_cost price=1 $_;", $_)
    for 'gigabytes=1', 'gb', 'x=2';
bad('server', "eventbridge_retention_cost gb=1 price=1;\n"
    . 'eventbridge_retention_cost gb=1 price=1;', undef, qr/is duplicate/);
bad('server', 'eventbridge_retention_cost gb=1 gb=2;', 'gb=2', undef);

###############################################################################

my @good = (
    [ 'org', '', 'nothing more' ],
    [ 'org', "api_url https://[::1]:8443/;\nretries 0;\ntimeout 1ms;",
        'overrides' ],
    [ 'org', join('', map { "$_ $good{$_};\n" } grep { !/^(?:client|region)/ }
        sort keys %good), 'every line' ],
    [ 'http', "eventbridge_genesys a {\nclient_id c:d;\ncredentials body;\n"
        . "client_secret_file $dir/secret;\nregion eu-west-1;\n}",
        'an id with a colon in the body' ],
    [ 'server', 'eventbridge_retention_cost gb=1.5 price=0;', 'a cost' ],
    [ 'empty', 'eventbridge_genesys_retention org send_cost=off tags='
        . join(',', 1 .. 64) . ';', 'tags' ],
    [ 'empty', 'eventbridge_genesys_endpoints org timeout=29s method=HEAD '
        . 'path=/a?b expect=200-299,404 trusted_certificate=secret;',
        'endpoints' ]
);

# directive may be undef, and so may the value

$t->plan(@cases * 3 + grep({ defined $_->[4] || $_->[1] !~ /##/ } @cases)
    + grep({ defined $_->[2] } @cases) + @good + 4);

for my $case (@cases) {
    my ($place, $text, $value, $re, $directive) = @$case;
    my $block = !defined $directive && $text =~ /##/;

    my ($at) = $text =~ /([^\n]*) ##/;
    ($at) = $text =~ /([^\n]*)\z/ if !defined $at;

    $text .= ' ##' if $text !~ /##/;
    $directive //= ($at =~ /^(\w+)/)[0] if !$block;

    my ($rc, $out) = $t->test_config(whole($place, $text));
    my $conf = "$dir/nginx.conf.t$t->{tests}";
    my ($before) = read_file($conf) =~ /^(.*?)##/s;
    my $line = 1 + ($before =~ tr/\n//);
    my ($message) = $out =~ /^nginx: \[emerg\] (.*)$/m;
    my $name = substr "$place: " . ($text =~ s/ ?##//r =~ s/\n/ /gr), 0, 100;

    $name =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
    $message //= "no message:\n$out";

    is($rc, 1, "$name, exit code");
    like($message, qr/"\Q$directive\E"|^\Q$directive\E /, "$name, directive")
        if !$block;
    like($message, qr/"\Q$value\E"/, "$name, value") if defined $value;
    like($message, qr/ in \Q$conf:$line\E\b/, "$name, file and line");
    like($message, $re // qr/invalid/, "$name, reason");
}

for my $case (@good) {
    my ($place, $text, $name) = @$case;
    my ($rc, $out) = $t->test_config(whole($place, $text));

    is($rc, 0, $name) or diag($out);
}

# what is allowed, but hardly meant

my ($rc, $out) = $t->test_config(whole('org',
    'login_url http://login.example.com;'));
is($rc, 0, 'http is allowed');
like($out, qr/\[warn\]\ "login_url"\ of\ "eventbridge_genesys\ org"\ is\ not
    \ https:\ whoever\ listens\ gets\ the\ secret/x, 'with a warning');
($rc, $out) = $t->test_config(whole('org', 'login_url http://127.0.0.1:1;'));
is($rc, 0, 'and on this machine');
unlike($out, qr/\[warn\]/, 'without one');

###############################################################################

# A configuration that is right, with a text in one of its places.

sub whole {
    my ($place, $text) = @_;
    my %in = (main => '', http => '', org => '', server => '', location => '',
        empty => '');

    $in{$place} = $text;

    # the organisation has what the text does not give
    my $has = join '', map { $in{org} =~ /^$_\b/m ? '' : "$_ $good{$_};\n" }
        qw/ region client_id client_secret_file /;

    return <<"EOF";
$in{main}
http {
    eventbridge_stats_file $dir/stats;

    eventbridge_genesys org {
        $has
        $in{org}
    }

    eventbridge_genesys other {
        region us-east-1;
        client_id c;
        client_secret_file $dir/secret;
    }

    $in{http}

    server {
        listen 127.0.0.1:%%PORT_0%%;
        eventbridge_genesys_pass org /_genesys/;
        $in{server}

        location /control {
            eventbridge_genesys_subscriptions org;
            $in{location}
        }

        location /empty {
            $in{empty}
        }

        location /_genesys/ {
            internal;
            proxy_pass http://127.0.0.1:9/;
        }
    }
}
EOF
}

###############################################################################
