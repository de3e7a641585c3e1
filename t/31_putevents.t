#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# PutEvents as clients of AWS call it: by the AWS SDK, the package
# @aws-sdk/client-eventbridge of npm, and by hand.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use IPC::Open2 qw/ open2 /;
use JSON::PP ();
use lib "$FindBin::Bin/lib";

use Test::EventBridge;
use Test::EventBridge::SDK qw/ aws_sdk /;
use Test::EventBridge::SigV4 qw/ sigv4 /;

###############################################################################

use constant TYPE => 'application/x-amz-json-1.1';

my $t = Test::EventBridge->new(auth => 1);
my $secret = aws_sdk($t);

$t->secret_file('token', "bearer:$secret\n");

$t->conf(<<'EOC');
    eventbridge_checkpoint_zone zone=z:4m path=%%TESTDIR%%/z.ckpt window=1h;
    eventbridge_stats_file %%TESTDIR%%/stats;

    log_format result '$request_uri $eventbridge_result $eventbridge_received '
                      '$eventbridge_forwarded';
    access_log %%TESTDIR%%/result.log result;

    server {
        listen 127.0.0.1:%%PORT_0%%;
        server_name front.example;

        client_max_body_size 4m;
        proxy_http_version 1.1;
        proxy_set_header Connection "";

        eventbridge_checkpoint z;
        eventbridge_audit_log %%TESTDIR%%/audit.log;

        location /aws {
            eventbridge_ingest;
            eventbridge_auth sigv4 %%TESTDIR%%/aws;
            eventbridge_route /to/b source=^b;
            eventbridge_route /to/a;
        }

        location = /plain {
            eventbridge_ingest;
            eventbridge_route /to/b source=^b;
            eventbridge_route /to/a source=^a;
            eventbridge_unrouted reject;
        }

        location = /drop {
            eventbridge_ingest;
            eventbridge_route /to/a source=^a;
        }

        location = /dead {
            eventbridge_ingest;
            eventbridge_dead_letter %%TESTDIR%%/dead.jsonl;
            eventbridge_route /to/dead;
        }

        location = /replay { eventbridge_replay; }

        location = /explain { eventbridge_explain; }

        location = /events {
            eventbridge_ingest;
            eventbridge_forward_as events;
            eventbridge_route /to/a;
        }

        location = /single {
            eventbridge_ingest;
            eventbridge_forward_as single;
            eventbridge_route /to/a;
        }

        location = /ce {
            eventbridge_ingest;
            eventbridge_forward_as cloudevents;
            eventbridge_route /to/a;
        }

        location = /structured {
            eventbridge_ingest;
            eventbridge_forward_as cloudevents_structured;
            eventbridge_route /to/a;
        }

        location = /binary {
            eventbridge_ingest;
            eventbridge_forward_as cloudevents_binary;
            eventbridge_route /to/a;
        }

        location /rate {
            eventbridge_ingest;
            eventbridge_rate 2r/m burst=1;
            eventbridge_route /to/a;
        }

        location = /slow {
            eventbridge_ingest;
            eventbridge_forward_timeout 1s;
            eventbridge_route /to/slow;
        }

        location = /small {
            eventbridge_ingest;
            client_max_body_size 1k;
            eventbridge_max_events 2;
            eventbridge_route /to/a;
        }

        location = /token {
            eventbridge_ingest;
            eventbridge_auth bearer %%TESTDIR%%/token;
            eventbridge_route /to/a;
        }

        location = /path {
            eventbridge_ingest;
            eventbridge_checkpoint z key=path:/detail/order no_id=reject;
            eventbridge_route /to/a;
        }

        location = /denied {
            eventbridge_ingest;
            eventbridge_route /to/a;
            deny all;
        }

        location = /body {
            eventbridge_event id=$http_x_id type=$http_x_amz_target;
            eventbridge_route /to/a;
        }

        location ~ ^/to/(a|dead|slow)$ {
            internal;
            client_max_body_size 0;
            proxy_pass http://127.0.0.1:%%PORT_a%%;
        }

        location = /to/b {
            internal;
            client_max_body_size 0;
            proxy_pass http://127.0.0.1:%%PORT_b%%;
        }

        location = /metrics { eventbridge_metrics; }
    }
EOC

my $m = $t->mock('a');
my $n = $t->mock('b');

my $json = JSON::PP->new()->utf8()->canonical();
my $hex = qr/[0-9a-f]/;
my $uuid = qr/^$hex{8}-$hex{4}-8$hex{3}-[89ab]$hex{3}-$hex{12}$/;
my $number = 0;
my ($port, $res, $got, @got, @ids, $body, $line, @lines, %sdk);

# what is no request at all: body and exception

my $ok = $json->encode(entry());
my @bad = (
    [ '', 'SerializationException' ],
    [ ' ', 'SerializationException' ],
    [ 'x', 'SerializationException' ],
    [ '{', 'SerializationException' ],
    [ '{"Entries":[', 'SerializationException' ],
    [ qq({"Entries":[$ok]}x), 'SerializationException' ],
    [ qq({"Entries":[$ok,]}), 'SerializationException' ],
    [ "{\"Entries\":[$ok],\"a\":\"\xff\"}", 'SerializationException' ],
    [ "\0{\"Entries\":[$ok]}", 'SerializationException' ],
    [ '[' x 100, 'SerializationException' ],
    [ '{"Entries":' . '[' x 65 . ']' x 65 . '}', 'SerializationException' ],
    [ 'null', 'SerializationException' ],
    [ '"x"', 'SerializationException' ],
    [ '1', 'SerializationException' ],
    [ "[$ok]", 'SerializationException' ],
    [ '{}', 'ValidationException' ],
    [ '{"Entries":null}', 'ValidationException' ],
    [ '{"entries":[]}', 'ValidationException' ],
    [ '{"Entries":[]}', 'ValidationException' ],
    [ '{"Entries":{}}', 'SerializationException' ],
    [ '{"Entries":"x"}', 'SerializationException' ],
    [ '{"Entries":1}', 'SerializationException' ],
    [ '{"Entries":[null]}', 'SerializationException' ],
    [ '{"Entries":[1]}', 'SerializationException' ],
    [ '{"Entries":["x"]}', 'SerializationException' ],
    [ '{"Entries":[[]]}', 'SerializationException' ],
    [ qq({"Entries":[$ok,null]}), 'SerializationException' ],
    [ request((entry()) x 11), 'ValidationException', qr/or equal to 10$/ ],
    [ request(({}) x 1000), 'ValidationException', qr/or equal to 10$/ ],
    [ request(entry(Source => 1)), 'SerializationException' ],
    [ request(entry(Source => [])), 'SerializationException' ],
    [ request(entry(DetailType => {})), 'SerializationException' ],
    [ request(entry(Detail => {})), 'SerializationException' ],
    [ request(entry(Detail => JSON::PP::true())), 'SerializationException' ],
    [ request(entry(Resources => 'x')), 'SerializationException' ],
    [ request(entry(Resources => {})), 'SerializationException' ],
    [ request(entry(Resources => [ 'x', 1 ])), 'SerializationException' ],
    [ request(entry(Resources => [ undef ])), 'SerializationException' ],
    [ request(entry(Time => [])), 'SerializationException' ],
    [ request(entry(Time => JSON::PP::true())), 'SerializationException' ],
    [ request(entry(EventBusName => 1)), 'SerializationException' ],
    [ request(entry(TraceHeader => {})), 'SerializationException' ],
    [ request(entry(Detail => detail('x' x 1048576))), 'ValidationException',
        qr/^Total size of the entries/ ],
    [ request(map { entry(Detail => detail('x' x 105000)) } 1 .. 10),
        'ValidationException', qr/^Total size of the entries/ ],
    [ request(entry(Resources => [ ('x' x 1024) x 1024 ])),
        'ValidationException', qr/^Total size of the entries/ ],
);

# entries that are no events: members and ErrorCode

my @invalid = (
    [ { Source => undef }, 'InvalidArgument', qr/Source is a required/ ],
    [ { Source => '' }, 'InvalidArgument', qr/Source is a required/ ],
    [ { DetailType => undef }, 'InvalidArgument', qr/DetailType is a requ/ ],
    [ { DetailType => '' }, 'InvalidArgument', qr/DetailType is a required/ ],
    [ { DetailType => 'x' x 129 }, 'InvalidArgument', qr/128 characters/ ],
    [ { Detail => undef }, 'InvalidArgument', qr/Detail is a required/ ],
    [ { Source => 'aws.ec2' }, 'NotAuthorizedForSourceException' ],
    [ { Source => 'aws.' }, 'NotAuthorizedForSourceException' ],
    [ { Time => -1 }, 'InvalidArgument', qr/Time is not in seconds/ ],
    [ { Time => 1e17 }, 'InvalidArgument', qr/Time is not in seconds/ ],
    [ { Time => 'now' }, 'InvalidArgument', qr/Time is not in seconds/ ],
    map { [ { Detail => $_ }, 'MalformedDetail', qr/^Detail is malformed\.$/ ] }
        '', ' ', 'x', '[]', '"x"', '1', 'null', 'true', '{', '{"a":1',
        '{"a":1}}', '{}{}', '{},', '{"a":1,}', "{'a':1}", "{}\0", '{"a":01}',
        '{}},{"version":"0","id":"1","detail-type":"t","source":"s",'
            . '"detail":{}',
        '{}}] [', "{\"a\":\"\n\"}", '{"\u12"}', '{"a":' x 63 . '1' . '}' x 63,
        '[' x 1000, "\x{feff}{}",
);

# entries that are good, and what becomes of them

my @good = (
    [ { Detail => '{}' }, { detail => {} } ],
    [ { Detail => " {\"a\" : \"b\\n\\u00e4\"}\n" },
        { detail => { a => "b\n\xe4" } } ],
    [ { Detail => '{"a":' x 60 . '1' . '}' x 60 }, {} ],
    [ { Detail => '{"a":"\\ud83d\\ude00"}' },
        { detail => { a => "\x{1f600}" } } ],
    [ { Source => "a \"\\\x01\x7f\xe4\x{1f600}" },
        { source => "a \"\\\x01\x7f\xe4\x{1f600}" } ],
    [ { Source => 'a.aws.' }, { source => 'a.aws.' } ],
    [ { DetailType => "\xe4" x 128 }, { 'detail-type' => "\xe4" x 128 } ],
    [ { Time => 1700000000 }, { time => '2023-11-14T22:13:20Z' } ],
    [ { Time => 1700000000.75 }, { time => '2023-11-14T22:13:20Z' } ],
    [ { Time => '2023-11-14T23:13:20+01:00' },
        { time => '2023-11-14T22:13:20Z' } ],
    [ { Time => 0 }, { time => '1970-01-01T00:00:00Z' } ],
    [ { Resources => [] }, { resources => [] } ],
    [ { Resources => undef, Time => undef, TraceHeader => undef,
        EventBusName => undef }, { resources => [] } ],
    [ { Resources => [ 'arn:aws:x', "\"\xe4", '' ] },
        { resources => [ 'arn:aws:x', "\"\xe4", '' ] } ],
    [ { EventBusName => 'any', TraceHeader => 'Root=1', Other => [ 1 ] }, {} ],
);

$t->plan(331);
$t->run();

$port = $t->port(0);

my ($from, $to);

my $pid = open2($from, $to, 'node', '--no-warnings',
    $t->root() . '/t/npm/sigv4.js');

%sdk = (port => $port + 0, path => '/aws', key_id => 'AKIDEXAMPLE',
    secret => $secret, attempts => 1);

###############################################################################

# the SDK, with signatures: one entry, and ten

$got = sdk(entries => [ entry(Time => 1700000000, Resources => [ 'arn:x' ]) ]);
is($got->{FailedEntryCount}, 0, 'SDK: an entry');
like($got->{Entries}[0]{EventId}, $uuid, 'SDK: its id');

@got = events($m);
is(@got, 1, 'SDK: it has come');
is_deeply($got[0], { version => '0', id => $got->{Entries}[0]{EventId},
    'detail-type' => 'order', source => 'a', account => '000000000000',
    time => '2023-11-14T22:13:20Z', region => 'us-east-1',
    resources => [ 'arn:x' ], detail => { n => $number } },
    'SDK: the envelope');

$got = sdk(entries => [ map { entry() } 1 .. 10 ]);
@got = events($m);
is($got->{FailedEntryCount}, 0, 'SDK: ten entries');
is_deeply([ map { $_->{EventId} } @{$got->{Entries}} ],
    [ map { $_->{id} } @got ], 'SDK: all have come, in order');
is(keys %{{ map { $_->{id} => 1 } @got }}, 10, 'SDK: and are different');

like(sdk(entries => [ map { entry() } 1 .. 11 ])->{error},
    qr/^ValidationException 400 1$/, 'SDK: eleven entries');

# the same, twice: nothing but an invocation says that they are the same

@got = map { sdk(entries => [ { %{entry()}, Detail => '{"n":"same"}' } ]) }
    1 .. 2;
isnt($got[0]{Entries}[0]{EventId}, $got[1]{Entries}[0]{EventId},
    'SDK: two calls are two events');
is(scalar events($m), 2, 'SDK: both have come');

$got = sdk(entries => [ ({ %{entry()}, Detail => '{"n":"same"}' }) x 2 ]);
isnt($got->{Entries}[0]{EventId}, $got->{Entries}[1]{EventId},
    'SDK: two equal entries are two events');
is(scalar events($m), 2, 'SDK: both of them have come');

# refused

like(sdk(secret => 'x' x 40, entries => [ entry() ])->{error},
    qr/^InvalidSignatureException 401 1$/, 'SDK: another secret');
like(sdk(change => [ 'order', 'other' ], entries => [ entry() ])->{error},
    qr/^InvalidSignatureException 401 1$/, 'SDK: another body');
like(sdk(path => '/aws', skew => -3600,
    entries => [ entry() ])->{error},
    qr/^InvalidSignatureException 401 1$/, 'SDK: an hour late');
is(scalar events($m), 0, 'SDK: none of it has come');

$got = sdk(entries => [ entry(Detail => '{'), entry(), entry(Source => ''),
    entry(Source => 'aws.x') ]);
is($got->{FailedEntryCount}, 3, 'SDK: entries that are no events');
is_deeply([ map { $_->{ErrorCode} // 'ok' } @{$got->{Entries}} ],
    [ 'MalformedDetail', 'ok', 'InvalidArgument',
        'NotAuthorizedForSourceException' ], 'SDK: each has its code');
is_deeply([ map { $_->{id} } events($m) ], [ $got->{Entries}[1]{EventId} ],
    'SDK: the other one has come');

# a destination that is down: the failed ones again, and only these

$n->set('/to/b', status => 503);
my @entries = map { entry(Source => $_ % 3 ? 'a' : 'b') } 1 .. 10;
$got = sdk(entries => \@entries);

is($got->{FailedEntryCount}, 3, 'down: some have failed');
is_deeply([ grep { $got->{Entries}[$_]{ErrorCode} } 0 .. 9 ], [ 2, 5, 8 ],
    'down: those of its destination');
is_deeply([ map { $_->{ErrorCode} } @{$got->{Entries}}[2, 5, 8] ],
    [ ('InternalFailure') x 3 ], 'down: ErrorCode');
is(scalar events($m), 7, 'down: the others have come');

$n->clear();
$n->forget();
$got = sdk(entries => [ map { $entries[$_] }
    grep { $got->{Entries}[$_]{ErrorCode} } 0 .. 9 ]);
is($got->{FailedEntryCount}, 0, 'down: it is up again');
is_deeply([ map { $_->{detail}{n} } events($n) ],
    [ map { $json->decode($_->{Detail})->{n} } @entries[2, 5, 8] ],
    'down: what failed has come');
is(scalar events($m), 0, 'down: and nothing twice');

$n->refuse();
$got = sdk(entries => [ entry(Source => 'b') ]);
is($got->{Entries}[0]{ErrorCode}, 'InternalFailure', 'down: no connection');
$n->accept();

# answers that do not arrive: the SDK tries again, with the same invocation

for my $case ([ 'none', cut => 1 ], [ 'a half', cut => 1, half => 1 ],
    [ 'none, twice', cut => 2 ])
{
    my ($name, %opt) = @$case;

    $got = sdk(entries => [ map { entry() } 1 .. 10 ], attempts => 4, %opt);
    is($got->{attempts}, 1 + $opt{cut}, "cut: $name: attempts")
        or diag($got->{error});
    is($got->{FailedEntryCount}, 0, "cut: $name: success");
    is_deeply([ map { $_->{id} } events($m) ],
        [ map { $_->{EventId} } @{$got->{Entries} // []} ],
        "cut: $name: each has come once");
}

# and the client that calls again what it has called: without the SDK

my $again = request(entry(), entry(), entry(Detail => 'x'));
my @same = ('amz-sdk-invocation-id' => '6e4a5b37-dd0e-4be0-8b0a-0e2ab1b1b1e5');

$got = put('/plain', $again, @same)->json();
is(scalar events($m), 2, 'invocation: events');
is_deeply(put('/plain', $again, @same)->json(), $got,
    'invocation: again, the same answer');
is(scalar events($m), 0, 'invocation: again, no events');
put('/plain', $again, @same, Authorization => 'AWS4-HMAC-SHA256 '
    . 'Credential=ID/20150830/us-east-1/events/aws4_request, '
    . 'SignedHeaders=host, Signature=' . '0' x 64);
is(scalar events($m), 2, 'invocation: another access key');
put('/plain', request(entry(), entry()), @same);
is(scalar events($m), 2, 'invocation: other entries');
put('/plain', $again, 'amz-sdk-invocation-id' => 'x');
is(scalar events($m), 2, 'invocation: another one');

for my $headers ([], [ 'amz-sdk-invocation-id' => '' ], [ @same, @same ]) {
    put('/plain', $again, @$headers) for 1 .. 2;
    is(scalar events($m), 4, 'invocation: none that counts: '
        . @$headers / 2 . ' headers');
}

###############################################################################

# by hand: bodies that are no request

for my $case (@bad) {
    my ($text, $type, $message) = @$case;

    my $name = substr($text, 0, 60) =~ s/[^ -~]/?/gr;

    $res = put('/plain', $text);
    $got = $res->json() // {};
    is_deeply([ $res->status(), $got->{__type}, $res->header('Content-Type') ],
        [ 400, $type, TYPE ], "refused: '$name'") or diag($res->text());
    like($got->{message}, $message // qr/./, "refused: '$name', message");
}

is(scalar events($m), 0, 'refused: nothing has come');

# as many as may come

is(count(put('/plain', request((entry()) x 10))), 0, '10 entries');
is(scalar events($m), 10, '10 entries have come');
$body = request(map { entry(Detail => detail('x' x 104800)) } 1 .. 10);
is(count(put('/plain', $body)), 0, '1 MB of entries');
is(scalar events($m), 10, '1 MB has come');

# entries

for my $case (@invalid) {
    my ($members, $code, $message) = @$case;

    my $text = join ' ', map { "$_ " . ($members->{$_} // 'null') }
        keys %$members;
    my $name = substr($text, 0, 60) =~ s/[^ -~]/?/gr;

    $res = put('/plain', request(entry(), entry(%$members), entry()));
    $got = $res->json();
    is_deeply([ $res->status(), $got->{FailedEntryCount},
        map { $_->{ErrorCode} // 'ok' } @{$got->{Entries}} ],
        [ 200, 1, 'ok', $code, 'ok' ], "invalid: $name")
        or diag($res->text());
    like($got->{Entries}[1]{ErrorMessage}, $message // qr/./,
        "invalid: $name, message");
    is_deeply([ map { $_->{id} } events($m) ],
        [ map { $_->{EventId} } @{$got->{Entries}}[0, 2] ],
        "invalid: $name, its neighbors have come");
}

for my $case (@good) {
    my ($members, $expected) = @$case;

    $res = put('/plain', request(entry(%$members)));
    my ($event) = events($m);
    is_deeply([ count($res), map { $event->{$_} } sort keys %$expected ],
        [ 0, map { $expected->{$_} } sort keys %$expected ],
        'good: ' . join ' ', sort keys %$members) or diag($res->text());
}

# what a Detail was written like is what it is

put('/plain', request(entry(
    Detail => qq( {"a" : 1.50,"b":"\\u00e4" ,\n"a":2}))));
($got) = $m->take('/to/a');
like($got->body(), qr/"detail":\{"a" : 1\.50,"b":"\\u00e4" ,\n"a":2\}\}\]$/,
    'Detail is kept byte by byte');

# the last of equal members counts, to us as to its reader

put('/plain', '{"Entries":[],"Entries":[{"Source":"b","Source":"a",'
    . '"DetailType":"t","Detail":"{}"}]}');
is_deeply([ map { $_->{source} } events($m) ], [ 'a' ], 'equal members');

# time that nobody said is now

put('/plain', request(entry()));
($got) = events($m);
like($got->{time}, qr/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'time');
is($got->{region}, '', 'without a signature there is no region');

# members whose names are escaped, gzip, any Content-Type

is(count(put('/plain', '{"Entrie\u0073":[{"Sourc\u0065":"a","DetailType":"t",'
    . '"Detail":"\u007b\u007d"}]}')), 0, 'escaped names');
is(count(post($port, '/plain', request(entry()), gzip => 1,
    headers => [ 'X-Amz-Target' => 'AWSEvents.PutEvents' ])), 0, 'gzip');
is(count(post($port, '/plain', request(entry()), headers => [
    'X-Amz-Target' => 'AWSEvents.PutEvents', 'ce-id' => 1,
    'Content-Type' => 'application/cloudevents+avro' ])), 0,
    'the target says what it is, whatever other headers do');
is(scalar events($m), 3, 'all of them have come');

# routes

$got = put('/plain', request(entry(Source => 'c'), entry()))->json();
is_deeply([ map { $_->{ErrorCode} // 'ok' } @{$got->{Entries}} ],
    [ 'InvalidArgument', 'ok' ], 'rejected: matches no route');
is($got->{Entries}[0]{ErrorMessage}, 'The event matches no route.',
    'rejected: why');
is(count(put('/drop', request(entry(Source => 'c')))), 0, 'dropped');
events($m);

###############################################################################

# operations that there are not, and other refusals in the form of AWS

for my $target ('AWSEvents.PutRule', 'AWSEvents.', '', 'PutEvents',
    'awsevents.putevents', 'AWSEvents.PutEvents ' x 2, 'x' x 1000,
    'DynamoDB_20120810.PutItem')
{
    $res = post($port, '/plain', request(entry()),
        headers => [ 'X-Amz-Target' => $target, 'Content-Type' => TYPE ]);
    is_deeply([ $res->status(), ($res->json() // {})->{__type} ],
        [ 400, 'UnknownOperationException' ],
        'operation ' . substr $target, 0, 40);
}

$res = put('/plain', request(entry()), 'X-Amz-Target' => 'AWSEvents.PutEvents');
is($res->json()->{__type}, 'UnknownOperationException', 'two targets');

$res = post($port, '/plain', undef, method => 'GET',
    headers => [ 'X-Amz-Target' => 'AWSEvents.PutEvents' ]);
is_deeply([ $res->status(), $res->json()->{__type} ],
    [ 405, 'UnknownOperationException' ], 'GET');

$res = put('/plain', 'x', 'Content-Encoding' => 'br');
is_deeply([ $res->status(), $res->json()->{__type} ],
    [ 415, 'SerializationException' ], 'an unknown encoding');
$res = put('/plain', 'x', 'Content-Encoding' => 'gzip');
is_deeply([ $res->status(), $res->json()->{__type} ],
    [ 400, 'ValidationException' ], 'no gzip');
$res = put('/small', request(entry(Detail => detail('x' x 2000))));
is_deeply([ $res->status(), $res->json()->{__type},
    $res->header('Content-Type') ],
    [ 413, 'RequestEntityTooLargeException', TYPE ], 'a large body');
$res = put('/small', request((entry()) x 3));
is_deeply([ $res->status(), $res->json()->{__type} ],
    [ 413, 'RequestEntityTooLargeException' ], 'eventbridge_max_events');
$res = put('/token', request(entry()));
is_deeply([ $res->status(), $res->json()->{__type} ],
    [ 401, 'UnrecognizedClientException' ], 'another method of authentication');
$res = put('/denied', request(entry()));
is_deeply([ $res->status(), $res->json()->{__type},
    $res->header('Content-Type') ], [ 403, 'AccessDeniedException', TYPE ],
    'denied');
is(count(put('/token', request(entry()), Authorization => "Bearer $secret")), 0,
    'and it is obeyed');
$res = put('/aws', request(entry()));
is_deeply([ $res->status(), $res->json()->{__type} ],
    [ 401, 'MissingAuthenticationTokenException' ], 'no signature');
$body = request(entry());
is(count(post($port, '/aws', $body, headers => sigv4(path => '/aws',
    key_id => 'AKIDEXAMPLE', secret => $secret, body => $body,
    region => 'eu-central-1',
    headers => [ 'X-Amz-Target' => 'AWSEvents.PutEvents' ]))), 0,
    'a signature by hand');
@got = events($m);
is($got[-1]{region}, 'eu-central-1', 'the region is that of the signature');

# where variables say what a body is, a target is nothing but a header

$res = post($port, '/body', request(entry()), headers => [ 'X-Id' => 1,
    'X-Amz-Target' => 'AWSEvents.PutRule' ]);
is($res->json()->{forwarded}, 1, 'eventbridge_event');
$m->take('/to/a');

###############################################################################

# forms of delivery

for my $case ([ '/plain', sub { $_[0][0] } ],
    [ '/events', sub { $_[0]{events}[0] } ], [ '/single', sub { $_[0] } ])
{
    my ($path, $find) = @$case;

    $got = put($path, request(entry()))->json();
    ($res) = $m->take('/to/a');
    is($find->($res->json())->{id}, $got->{Entries}[0]{EventId},
        "$path: the envelope");
}

for my $case ([ '/ce', sub { $_[0]->json()->[0] } ],
    [ '/structured', sub { $_[0]->json() } ],
    [ '/binary', sub { return { id => $_[0]->header('ce-id'),
        data => $_[0]->json() } } ])
{
    my ($path, $find) = @$case;

    $got = put($path, request(entry(Detail => '{"a":"b"}')))->json();
    ($res) = $m->take('/to/a');
    my $event = $find->($res);
    is($event->{id}, $got->{Entries}[0]{EventId}, "$path: id");
    is_deeply($event->{data}, { a => 'b' }, "$path: data");
}

# a key of its own

$body = request(map { entry(Detail => qq({"order":$_})) } 1, 2, 1);
is(count(put('/path', $body)), 0, 'key=path: accepted');
is(scalar events($m), 2, 'key=path: repeated orders are duplicates');

$got = put('/path', request(entry(), entry(Detail => '{"order":3}')))->json();
is_deeply([ map { $_->{ErrorCode} // 'ok' } @{$got->{Entries}} ],
    [ 'InvalidArgument', 'ok' ], 'key=path: an entry without an order');
events($m);

# explain

$res = post($port, '/explain?location=/plain', request(entry(),
    entry(Detail => 'x')), headers => [
    'X-Amz-Target' => 'AWSEvents.PutEvents' ]);
$got = $res->json();
is($got->{received}, 2, 'explain: entries') or diag($res->text());

# more than eventbridge_rate

is(count(put('/rate', request(entry(), entry()))), 0, 'rate: within');
$res = put('/rate', request(entry(), entry(Detail => 'x')));
is_deeply([ $res->status(), map { $_->{ErrorCode} }
    @{$res->json()->{Entries}} ],
    [ 200, 'ThrottlingException', 'MalformedDetail' ], 'rate: over');
is($res->json()->{FailedEntryCount}, 2, 'rate: over, all have failed');
cmp_ok($res->header('Retry-After') // 0, '>', 0, 'rate: when to come back');
is(scalar events($m), 2, 'rate: over, nothing has come');
$got = sdk(path => '/rate', entries => [ entry() ]);
is($got->{Entries}[0]{ErrorCode}, 'ThrottlingException', 'rate: the SDK');

# a destination that takes its time

$m->set('/to/slow', hang => 1);
$got = put('/slow', request(entry()))->json();
is($got->{Entries}[0]{ErrorCode}, 'InternalFailure', 'slow: not yet');
like($got->{Entries}[0]{ErrorMessage}, qr/longer than the sender may wait/,
    'slow: why');
$m->release('/to/slow');
$m->clear();

###############################################################################

# dead letters, and their replay

$m->set('/to/dead', status => 400);
$got = put('/dead', request(entry(), entry(Detail => 'x')), @same)->json();
is_deeply([ map { $_->{ErrorCode} // 'ok' } @{$got->{Entries}} ],
    [ 'ok', 'MalformedDetail' ], 'dead: what is kept is accepted');
@lines = split /\n/, read_file($t->testdir() . '/dead.jsonl');
is(@lines, 1, 'dead: what the sender is told of is not kept');
$line = $json->decode($lines[0]);
is_deeply([ @{$line}{qw/ eventId source type destination reason form /} ],
    [ $got->{Entries}[0]{EventId}, 'a', 'order', '/to/dead', 'permanent',
        'array' ], 'dead: its facts');
is($json->decode($line->{raw})->{id}, $got->{Entries}[0]{EventId},
    'dead: the envelope');

$m->clear();
$m->forget();
$res = post($port, '/replay', "$lines[0]\n");
like($res->body(), qr/"delivered":1\b/, 'replay: delivered')
    or diag($res->text());
($res) = $m->take('/to/dead');
is_deeply($res->json(), [ $json->decode($line->{raw}) ],
    'replay: the envelope');

# each entry is settled, and in the audit log

ok(wait_for(sub { grep { ($_->{eventId} // '') eq $line->{eventId}
    && $_->{action} eq 'dead' } $t->audit_lines('audit.log') }),
    'audit: an entry');
ok(wait_for(sub { grep { ($_->{source} // '') eq 'aws.ec2'
    && $_->{action} eq 'invalid' } $t->audit_lines('audit.log') }),
    'audit: an entry that is no event');
is($t->metric('eventbridge_events_invalid_total', location => '/dead'), 1,
    'metrics: an entry that is no event');
is($t->metric('eventbridge_events_received_total', location => '/dead'), 2,
    'metrics: all entries are received');

###############################################################################

my $results = read_file($t->testdir() . '/result.log');

for my $line ('/plain accepted 1 1', '/plain partial 3 2', '/aws/ partial 10 7',
    '/drop accepted 1 0', '/slow failed 1 0', '/plain refused 0 0',
    '/rate refused 0 0')
{
    like($results, qr/^\Q$line\E$/m, "variables: $line");
}

close $to;
waitpid $pid, 0;
is($?, 0, 'the SDK has ended');

$t->stop();

###############################################################################

sub detail { return $json->encode({ n => @_ }) }

sub entry {
    return { Source => 'a', DetailType => 'order',
        Detail => '{"n":' . ++$number . '}', @_ };
}

sub request { return $json->encode({ Entries => [ @_ ] }) }

sub put {
    my ($path, $text, @headers) = @_;
    return post($port, $path, $text, headers => [
        'X-Amz-Target' => 'AWSEvents.PutEvents', 'Content-Type' => TYPE,
        @headers ]);
}

sub count { return ($_[0]->json() // {})->{FailedEntryCount} }

# what has come to a destination since it was asked the last time

sub events {
    my ($mock) = @_;
    return map { @{$_->json()} } $mock->take($mock == $n ? '/to/b' : '/to/a');
}

# a line for the SDK, and what it has made of the answer

sub sdk {
    my (%opt) = @_;

    print $to $json->encode({ %sdk, %opt }), "\n";
    $to->flush();

    my $answer = <$from> // 'nothing';
    chomp $answer;

    return $answer =~ /^\{/ ? $json->decode($answer) : { error => $answer };
}

###############################################################################
