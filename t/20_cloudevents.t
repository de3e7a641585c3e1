#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# CloudEvents: every mode in, every form out, byte by byte; malformed ones; the
# handshake of webhooks; what an SDK really sends.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Digest::SHA qw/ hmac_sha256_hex /;
use JSON::PP ();
use MIME::Base64 qw/ decode_base64 encode_base64 /;

use Test::EventBridge;
use Test::EventBridge::HTTP2 qw/ h2_client /;
use Test::EventBridge::Util qw/ read_file /;

###############################################################################

use constant {
    ONE => 'application/cloudevents+json',
    MANY => 'application/cloudevents-batch+json'
};

my $t = Test::EventBridge->new()->plan(721);
my $m = $t->mock(1);

$t->write_file('keys', "app:correct-horse\n", 0600);

$t->conf(<<'EOF')->run();
    eventbridge_checkpoint_zone zone=z:1m path=%%TESTDIR%%/z.ckpt;
    eventbridge_stats_file %%TESTDIR%%/stats;

    upstream m { server 127.0.0.1:%%PORT_1%%; keepalive 32; }

    server {
        listen 127.0.0.1:%%PORT_0%%;
        listen 127.0.0.1:%%PORT_2%% http2;

        client_max_body_size 4m;
        client_body_buffer_size 64k;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        eventbridge_max_events 100;

        location = /same {
            eventbridge_ingest;
            eventbridge_route /to/same;
        }

        location = /batch {
            eventbridge_ingest;
            eventbridge_forward_as cloudevents;
            eventbridge_route /to/batch;
        }

        location = /structured {
            eventbridge_ingest;
            eventbridge_forward_as cloudevents_structured;
            eventbridge_route /to/structured;
        }

        location = /binary {
            eventbridge_ingest;
            eventbridge_forward_as cloudevents_binary;
            eventbridge_pass_request_header ce-id x-passed;
            eventbridge_route /to/binary;
        }

        location = /array {
            eventbridge_ingest;
            eventbridge_forward_as array;
            eventbridge_route /to/array;
        }

        location = /events {
            eventbridge_ingest;
            eventbridge_forward_as events;
            eventbridge_route /to/events;
        }

        location = /single {
            eventbridge_ingest;
            eventbridge_forward_as single;
            eventbridge_route /to/single;
        }

        location = /routes {
            eventbridge_ingest;
            eventbridge_forward_as cloudevents_structured;
            eventbridge_route /to/type type=^com\.example\.;
            eventbridge_route /to/source source=^/factory/;
            eventbridge_route /to/subject metadata.subject=wheel/1;
            eventbridge_route /to/extension metadata.region=eu
                              metadata.urgent=true metadata.retries=3;
            eventbridge_unrouted reject;
        }

        location = /dedup {
            eventbridge_ingest;
            eventbridge_checkpoint z;
            eventbridge_route /to/dedup;
        }

        location = /dead {
            eventbridge_ingest;
            eventbridge_checkpoint z;
            eventbridge_dead_letter %%TESTDIR%%/dead.jsonl;
            eventbridge_route /to/dead;
        }

        location = /hook {
            eventbridge_event id=$http_x_id source=hook type=$http_x_type;
            eventbridge_forward_as cloudevents_binary;
            eventbridge_route /to/hook;
        }

        location = /hook/dead {
            eventbridge_event id=$http_x_id source=hook type=$http_x_type;
            eventbridge_forward_as cloudevents_binary;
            eventbridge_dead_letter %%TESTDIR%%/dead.jsonl;
            eventbridge_route /to/hook;
        }

        location = /signed {
            eventbridge_ingest;
            eventbridge_auth hmac %%TESTDIR%%/keys header=X-Signature;
            eventbridge_route /to/same;
        }

        location = /rate {
            eventbridge_ingest;
            eventbridge_rate 50r/s;
            eventbridge_route /to/same;
        }

        location = /minute {
            eventbridge_ingest;
            eventbridge_rate 90r/m;
            eventbridge_route /to/same;
        }

        location = /auth {
            eventbridge_ingest;
            eventbridge_auth key X-Api-Key %%TESTDIR%%/keys;
            eventbridge_route /to/same;
        }

        location = /replay { eventbridge_replay; }
        location = /explain { eventbridge_explain; }
        location = /metrics { eventbridge_metrics; }

        location /to/ {
            internal;
            client_max_body_size 0;
            proxy_pass http://m;
        }
    }
EOF

my $p = $t->port(0);
my $n = 0;
my ($r, $q, @q);

###############################################################################

# what every event has; undef is for "not at all"

sub attributes {
    my (%change) = @_;
    my %all = (specversion => '1.0', id => 'e' . ++$n, source => '/factory/1',
        type => 'com.example.made', %change);

    delete @all{grep { !defined $all{$_} } keys %all};

    return %all;
}

# what is a reference to a scalar stands there as it is

sub json {
    my ($value) = @_;

    return $$value if ref $value eq 'SCALAR';
    return '{' . join(',', map { json("$_") . ':' . json($value->{$_}) }
        sort keys %$value) . '}' if ref $value eq 'HASH';

    return JSON::PP->new()->allow_nonref()->canonical()->encode($value);
}

sub event { return json({ attributes(@_) }) }

sub structured {
    my ($path, $body, @headers) = @_;
    return post($p, $path, $body, headers => [ 'Content-Type' => ONE,
        @headers ]);
}

sub many {
    my ($path, @events) = @_;
    return post($p, $path, '[' . join(',', @events) . ']',
        headers => [ 'Content-Type' => MANY ]);
}

sub binary {
    my ($path, $body, $type, @headers) = @_;
    return post($p, $path, $body, headers => [ 'Content-Type' => $type,
        @headers ]);
}

sub ce { my %a = attributes(@_); return map { ("ce-$_", $a{$_}) } sort keys %a }

sub took { my ($path) = @_; return $m->take("/to/$path") }
sub one { return (took(@_))[0] }

# the ce- headers of a request, and its Content-Type

sub headers {
    my ($q) = @_;
    return join "\n", sort grep { /^(ce-|content-type)/i } split /\r?\n/,
        $q ? $q->head() : '';
}

sub lines {
    my (@h) = @_;
    my @lines;

    while (my ($name, $value) = splice @h, 0, 2) {
        push @lines, "$name: $value";
    }

    return join "\n", sort @lines;
}

sub refused {
    my ($name, $attribute, $r) = @_;
    my $answer = $r->json() // {};

    is($r->status(), 400, "$name: 400") or diag $r->text();
    is($answer->{error}, 'invalid_cloudevent', "$name: error");
    like($answer->{message} // '', qr/^attribute "\Q$attribute\E" /,
        "$name: \"$attribute\" is named");
}

###############################################################################

# structured: the bytes go on as they came

my $text = ' {"specversion" : "1.0", "id":"s-1", "source":"/factory/1",'
    . '"type":"com.example.made", "time":"2026-05-04T03:02:01.5+02:00",'
    . '"\u0073ubject":"wheel\/1","dataschema":"urn:x:y", "region":"eu",'
    . '"data" : { "a":[1, 2.50,"\u00e9"] } , "nothing":null}' . "\n";

$r = structured('/same', $text);
is($r->status(), 200, 'structured') or diag $r->text();
is($r->json()->{forwarded}, 1, 'structured: one event');
$q = one('same');
is($q->body(), $text =~ s/^\s+|\s+$//gr, 'structured: as it came');
is($q->header('Content-Type'), ONE, 'structured: and called so');
like($q->header('Idempotency-Key'), qr/^[0-9a-f]{32}$/, 'structured: its key');

for my $type ('application/CloudEvents+JSON', ONE . '; charset=utf-8',
    ONE . ' ;charset=UTF-8')
{
    is(binary('/same', $text, $type)->status(), 200, $type);
}

took('same');

structured('/binary', $text, 'X-Passed' => 'yes', 'ce-id' => 'not this');
$q = one('binary');
is(headers($q), lines('ce-specversion' => '1.0', 'ce-id' => 's-1',
    'ce-source' => '/factory/1', 'ce-type' => 'com.example.made',
    'ce-time' => '2026-05-04T03:02:01.5+02:00', 'ce-subject' => 'wheel/1',
    'ce-dataschema' => 'urn:x:y', 'ce-region' => 'eu',
    'Content-Type' => 'application/json'), 'structured to binary: headers');
is($q->body(), '{ "a":[1, 2.50,"\u00e9"] }', 'structured to binary: data');
is($q->header('X-Passed'), 'yes', 'structured to binary: other headers');

# batch

my @events = map { event(data => { n => $_ }) } 1 .. 5;

is(many('/same')->json()->{received}, 0, 'an empty batch');

$text = "[ $events[0],\n $events[1] ]";
is(binary('/same', $text, MANY)->json()->{forwarded}, 2, 'batch');
$q = one('same');
is($q->body(), $text, 'batch: as it came');
is($q->header('Content-Type'), MANY, 'batch: and called so');

binary('/batch', $text, MANY);
is(one('batch')->body(), $text, 'batch to batch: as it came');

structured('/batch', $events[2]);
$q = one('batch');
is($q->body(), "[$events[2]]", 'structured to batch');
is($q->header('Content-Type'), MANY, 'structured to batch: its type');

many('/structured', @events[0, 1]);
@q = took('structured');
is(join('|', sort map { $_->body() } @q), join('|', sort @events[0, 1]),
    'batch to structured: one request each');
is($q[0]->header('Content-Type'), ONE, 'batch to structured: its type');

for my $as (qw/ array events single /) {
    many("/$as", $events[3]);
    $q = one($as);
    is($q->body(), { array => "[$events[3]]", single => $events[3],
        events => "{\"events\":[$events[3]]}" }->{$as}, "batch to $as");
    is($q->header('Content-Type'), 'application/json', "batch to $as: type");
}

is(many('/same', ('{}') x 101)->status(), 413, 'batch: too many');
is(binary('/same', $events[0], MANY)->json()->{error}, 'not_a_batch',
    'batch: no array');

# binary: what data are as JSON, and how they go on

my @data = (
    [ 'application/json', "{\"a\" : [1]}\n", '{"a" : [1]}' ],
    [ 'application/json', ' "text" ', '"text"' ],
    [ 'application/json', 'null', 'null' ],
    [ 'application/vnd.x+json; charset=utf-8', '[1]', '[1]' ],
    [ 'text/json', '17', '17' ],
    [ undef, '{"a":1}', '{"a":1}' ],
    [ undef, "\x{1}\x{ff}" ],
    [ 'text/plain', "a \"line\"\\\n\x{7f}\tand \xc3\xa9\x00",
        '"a \"line\"\\\\\n\u007f\tand ' . "\xc3\xa9" . '\u0000"' ],
    [ 'text/plain', "not \xe9 UTF-8" ],
    [ 'text/plain', "half \xed\xa0\x80 of a pair" ],
    [ 'application/xml', '<a b="c"/>', '"<a b=\"c\"/>"' ],
    [ 'image/svg+xml', '<svg/>', '"<svg/>"' ],
    [ 'image/png', "\x89PNG\r\n\x00" ],
    [ 'application/octet-stream', '{"a":1}' ],
    [ 'application/json', '', '' ],
    [ undef, '', '' ],
    [ 'application/octet-stream', join('', map { chr } 0 .. 255) x 400 ]);

for my $case (@data) {
    my ($type, $body, $value) = @$case;
    my $name = 'binary, ' . ($type // 'no type') . ', ' . length($body)
        . ' bytes';
    my @ce = ce(subject => 'x');
    my %ce = @ce;
    my $inside = !defined $value || $value !~ /^"/ || $body =~ /^ "/;
    my $out = $type // ($value ? 'application/json' : undef);
    my @members;

    $r = binary('/same', $body, $type, @ce);
    is($r->status(), 200, $name) or diag $r->text();
    $q = one('same');
    ok(($q ? $q->body() : 'nothing') eq $body, "$name: as it came");
    is(headers($q), lines(@ce, $out ? ('Content-Type' => $out) : ()),
        "$name: its headers");

    # in JSON, where white space around JSON stays

    push @members, "\"datacontenttype\":\"$type\"" if $type;
    push @members, map { "\"$_\":\"$ce{\"ce-$_\"}\"" }
        qw/ id source specversion subject type /;
    push @members, !defined $value
        ? '"data_base64":"' . encode_base64($body, '') . '"'
        : '"data":' . ($inside ? $body : $value) if length $body;

    binary('/structured', $body, $type, @ce);
    $q = one('structured');
    is($q->body(), '{' . join(',', @members) . '}', "$name: in JSON");

    # out of a batch it is only its JSON, and comes back all the same

    many('/binary', $q->body());
    $q = one('binary');
    ok($q && $q->body() eq ($inside && defined $value ? $value : $body),
        "$name: and back") or diag $q ? $q->head() : 'nothing';
}

# the body is elsewhere: in a file, in chunks, compressed

for my $how ([ 'in a file', body => '"' . 'x' x 200000 . '"' ],
    [ 'compressed', body => '{"a":"' . 'y' x 1000 . '"}', gzip => 1 ],
    [ 'in chunks', chunks => [ '{"a"', ':1', '}' ] ])
{
    my ($name, %opt) = @$how;
    my $body = $opt{body} // join '', @{$opt{chunks}};

    $r = client($p)->request(path => '/same', method => 'POST', %opt,
        headers => [ 'Content-Type' => 'application/json', ce() ]);
    is($r->status(), 200, "binary, $name") or diag $r->text();
    $q = one('same');
    ok($q && $q->body() eq $body, "binary, $name: as it came");
}

# percent-encoding, both ways

for my $case (
    [ 'Euro%20%E2%82%AC%20%F0%9F%98%80', "Euro \xe2\x82\xac \xf0\x9f\x98\x80",
        'Euro%20%E2%82%AC%20%F0%9F%98%80' ],
    [ '%e2%82%ac', "\xe2\x82\xac", '%E2%82%AC' ],
    [ 'a b', 'a b', 'a%20b' ],
    [ '100%25', '100%', '100%25' ],
    [ '%2541', '%41', '%2541' ],
    [ '"quoted \\"text\\" \\\\ %20"', 'quoted "text" \\  ',
        'quoted%20%22text%22%20\\%20%20' ],
    [ 'mid"quote', 'mid"quote', 'mid%22quote' ],
    [ "\xc3\xa9", "\xc3\xa9", '%C3%A9' ],
    [ '!#$&\'()*+,-./:;<=>?@[\\]^_`{|}~', '!#$&\'()*+,-./:;<=>?@[\\]^_`{|}~',
        '!#$&\'()*+,-./:;<=>?@[\\]^_`{|}~' ])
{
    my ($in, $value, $out) = @$case;

    $r = binary('/structured', '1', 'application/json',
        ce(subject => $in, ext => $in));
    is($r->status(), 200, "decoding $in") or diag $r->text();
    $q = one('structured');

    my $event = JSON::PP->new()->latin1()->decode($q->body());

    is($event->{subject}, $value, "$in: subject");
    is($event->{ext}, $value, "$in: extension");

    structured('/binary', $q->body());
    is(one('binary')->header('ce-subject'), $out, "$in: encoded");
}

# a URI is taken as it stands when it is none once it is decoded

for my $case ([ '/a%20b', '/a%20b' ], [ '/a%2520b', '/a%20b' ],
    [ 'urn:x%2fy', 'urn:x/y' ])
{
    binary('/structured', '1', 'application/json', ce(source => $case->[0]));
    is(one('structured')->json()->{source}, $case->[1], "source $case->[0]");
}

# what headers have as text, JSON may have as what it is

structured('/binary', event(yes => \'true', no => \'false',
    int => -2147483648, text => ''));
$q = one('binary');
is(join(' ', map { $q->header("ce-$_") } qw/ yes no int text /),
    'true false -2147483648 ', 'types of extensions');
is($q->body() . ($q->header('Content-Type') // ''), '', 'no data, no type');
is($q->header('Content-Length'), '0', 'no data: no length');

# HTTP/2

my $h = h2_client($t->port(2));

for my $case ([ 'binary', 'text/plain', 'two', ce(subject => '%C3%A9') ],
    [ 'structured', ONE, event() ],
    [ 'batch', MANY, '[' . event() . ']' ])
{
    my ($name, $type, $body, @ce) = @$case;

    my $sid = $h->request(path => '/same', body => $body, headers =>
        [ 'content-type' => $type, @ce ]);

    $r = $h->response($sid);
    is($r->status(), 200, "HTTP/2, $name") or diag $r->text();
    $q = one('same');
    is($q && $q->body(), $body, "HTTP/2, $name: as it came");
}

###############################################################################

# malformed ones: 400, and the attribute is named

my @bad = (
    (map { ([ "no $_", $_, { $_ => undef } ], [ "empty $_", $_, { $_ => '' } ])
        } qw/ id source specversion type /),
    [ 'another version', 'specversion', { specversion => '0.3' } ],
    [ 'a longer version', 'specversion', { specversion => '1.0.2' } ],
    [ 'empty subject', 'subject', { subject => '' } ],
    [ 'empty time', 'time', { time => '' } ],
    [ 'a day', 'time', { time => '2026-05-04' } ],
    [ 'no zone', 'time', { time => '2026-05-04T03:02:01' } ],
    [ 'no such day', 'time', { time => '2026-02-30T03:02:01Z' } ],
    [ 'a number as time', 'time', { time => '1714567800' } ],
    [ 'no such day long ago', 'time', { time => '1900-02-29T03:02:01Z' } ],
    [ 'empty dataschema', 'dataschema', { dataschema => '' } ],
    [ 'relative dataschema', 'dataschema', { dataschema => '/schema' } ],
    [ 'dataschema with a space', 'dataschema',
        { dataschema => 'http://a b/' } ],
    [ 'source with a space', 'source', { source => '/a b' } ],
    [ 'source with two fragments', 'source', { source => '/a#b#c' } ],
    [ 'source in angles', 'source', { source => '<x>' } ]);

my @bad_headers = (
    [ 'no UTF-8', 'subject', { subject => '%C0%A0' } ],
    [ 'no UTF-8 either', 'subject', { subject => "\xe9" } ],
    [ 'half a pair', 'ext', { ext => '%ED%A0%80' } ],
    [ 'cut sequence', 'ext', { ext => 'a%E2%82' } ],
    [ 'control character', 'id', { id => 'a%0Ab' } ],
    [ 'C1 control character', 'ext', { ext => '%C2%85' } ],
    [ 'noncharacter', 'ext', { ext => '%EF%BF%BE' } ],
    [ 'lone percent sign', 'subject', { subject => '100%' } ],
    [ 'no hexadecimal digits', 'subject', { subject => '%zz' } ],
    [ 'cut quoted string', 'subject', { subject => '"a" b"' } ],
    [ 'datacontenttype', 'datacontenttype',
        { datacontenttype => 'text/plain' } ],
    [ 'data', 'data', { data => 'x' } ],
    [ 'a hyphen', 'my-ext', { 'my-ext' => 'x' } ]);

my @bad_json = (
    [ 'id a number', 'id', { id => 17 } ],
    [ 'id an object', 'id', { id => {} } ],
    [ 'type null', 'type', { type => \'null' } ],
    [ 'version a number', 'specversion', { specversion => \'1.0' } ],
    [ 'source an array', 'source', { source => [ '/a' ] } ],
    [ 'subject a boolean', 'subject', { subject => \'true' } ],
    [ 'time a number', 'time', { time => 1714567800 } ],
    [ 'no media type', 'datacontenttype', { datacontenttype => 'text' } ],
    [ 'a media type cut', 'datacontenttype',
        { datacontenttype => 'text/ ; x=y' } ],
    [ 'upper case', 'myExt', { myExt => 'x' } ],
    [ 'an underscore', 'my_ext', { my_ext => 'x' } ],
    [ 'no name', '', { '' => 'x' } ],
    [ 'an object', 'ext', { ext => { a => 1 } } ],
    [ 'a list', 'ext', { ext => [] } ],
    [ 'a fraction', 'ext', { ext => \'1.5' } ],
    [ 'a large number', 'ext', { ext => \'2147483648' } ],
    [ 'half a surrogate pair', 'ext', { ext => \'"\ud800"' } ],
    [ 'control character', 'id', { id => "a\tb" } ],
    [ 'both kinds of data', 'data_base64',
        { data => 1, data_base64 => 'AA==' } ],
    [ 'no Base64', 'data_base64', { data_base64 => 'A?==' } ],
    [ 'cut Base64', 'data_base64', { data_base64 => 'AAA' } ],
    [ 'too much padding', 'data_base64', { data_base64 => 'A===' } ],
    [ 'Base64 a number', 'data_base64', { data_base64 => 1 } ],
    [ 'twice', 'id', { id => \'"x","id":"y"' } ],
    [ 'twice, escaped', 'id', { id => \'"x","\u0069d":"y"' } ],
    [ 'an extension twice', 'ext', { ext => \'1,"ext":2' } ],
    [ 'too many', 'x999', { map { ("x$_" => 1) } 871 .. 999 } ]);

for my $case (@bad, @bad_json) {
    my ($name, $attribute, $change) = @$case;

    refused("structured, $name", $attribute,
        structured('/same', event(%$change)));

    # a batch of it alone

    $r = many('/same', event(%$change));
    is($r->status(), 400, "batch, $name");
    like($r->body(), qr/attribute \\"\Q$attribute\E\\" /, "batch, $name: named")
        or diag $r->text();
}

for my $case (@bad, @bad_headers) {
    my ($name, $attribute, $change) = @$case;

    refused("binary, $name", $attribute,
        binary('/same', '{}', 'application/json', ce(%$change)));
}

refused('binary, twice', 'id', binary('/same', '{}', 'application/json',
    ce(), 'CE-Id' => 'x'));
refused('binary, no media type', 'datacontenttype',
    binary('/same', '{}', 'garbage', ce()));

$r = structured('/same', '[1]');
is($r->status(), 400, 'structured, no object');
like($r->json()->{message}, qr/not an object/, 'structured, no object: why');

for my $body ('{"a":', '{} {}', '1,"id":"evil"', '1}', '1},{"a":1', ' ',
    '{}}', '"x', "\xff", ',"x":1', '"x","data":1')
{
    $r = binary('/same', $body, 'application/json', ce());
    is($r->status(), 400, "binary, data that are not JSON: $body");
    is($r->json()->{error}, 'invalid_json', "$body: error");
}

$r = binary('/same', '{"a":]', 'application/json', ce());
is($r->json()->{offset}, 5, 'the offset is one in the body');

is(structured('/same', '{"specversion":')->json()->{error}, 'invalid_json',
    'structured, no JSON');

for my $type (qw{ application/cloudevents+avro application/cloudevents
    application/cloudevents+xml application/cloudevents-batch
    application/cloudevents-batch+protobuf application/cloudevents+jsonx })
{
    $r = binary('/same', 'x', $type, ce());
    is($r->status(), 415, "415: $type");
    is($r->json()->{error}, 'unsupported_format', "$type: error");
}

is(scalar(my @none = took('same')), 0, 'none of them went on');

# good ones beside bad ones

my @mixed = (event(), event(id => undef), event(), '17');

$r = many('/same', @mixed);
is($r->status(), 422, 'a batch with malformed ones');
is($r->json()->{invalid}, 2, 'so many');
is(one('same')->body(), "[$mixed[0],$mixed[2]]", 'the others go on');

$r = many('/dead', @mixed);
is($r->status(), 200, 'with a dead letter they are kept') or diag $r->text();
is($r->json()->{dead}, 2, 'in it');
like(read_file($t->testdir() . '/dead.jsonl'),
    qr/attribute \\"id\\" is missing/, 'and why');
took('dead');

###############################################################################

# times: all that RFC 3339 allows

for my $time ('1969-12-31T23:59:59Z', '0001-01-01T00:00:00Z',
    '9999-12-31T23:59:59.999999999Z', '2016-12-31T23:59:60Z',
    '2024-02-29t12:00:00.5z', '2026-05-04T03:02:01-12:30')
{
    $r = structured('/structured', event(time => $time));
    is($r->status(), 200, "time $time") or diag $r->text();
}

took('structured');

# attributes that are null are not there; nor are data, beside Base64

structured('/binary', '{"specversion":"1.0","id":"n","source":"s","type":"t",'
    . '"time":null,"subject":null,"x":null,"data":null,'
    . '"data_base64":"AAE="}');
$q = one('binary');
is(headers($q), lines('ce-id' => 'n', 'ce-source' => 's',
    'ce-specversion' => '1.0', 'ce-type' => 't'), 'null attributes');
is($q->body(), "\0\1", 'null data');

structured('/binary', event(data => \'null'));
is(one('binary')->body(), 'null', 'null alone is data');

# routes

for my $case ([ type => {} ], [ source => { type => 'x' } ],
    [ subject => { type => 'x', source => 'x', subject => 'wheel/1' } ],
    [ extension => { type => 'x', source => 'x', region => 'eu',
        urgent => \'true', retries => 3 } ])
{
    my ($to, $change) = @$case;

    is(structured('/routes', event(%$change))->status(), 200, "route by $to");
    is(scalar(my @a = took($to)), 1, "route by $to: there");

    is(binary('/routes', '{}', 'application/json', ce(map { ref ? $$_ : $_ }
        %$change))->status(), 200, "binary, route by $to");
    is(scalar(my @b = took($to)), 1, "binary, route by $to: there");
}

is(structured('/routes', event(type => 'x', source => 'x',
    data => { region => 'eu' }))->status(), 422, 'no route');

# identity: source and id, however they come

my %one = attributes(id => 'same', source => '/one');
my %two = attributes(id => 'same', source => '/two');

is(structured('/dedup', json(\%one))->json()->{forwarded}, 1, 'new');
is(structured('/dedup', json(\%two))->json()->{forwarded}, 1,
    'another source is another event');
is(structured('/dedup', json({ %one, type => 'other' }))->json()
    ->{duplicates}, 1, 'the same source and id');
is(binary('/dedup', '{}', 'application/json', map { ("ce-$_", $one{$_}) }
    sort keys %one)->json()->{duplicates}, 1, 'as headers, too');
is(many('/dedup', json(\%one), json(\%two), event())->json()->{duplicates}, 2,
    'in a batch, too');
is($m->hits('/to/dedup'), 3, 'each was delivered once');

###############################################################################

# other events become CloudEvents

my $aws = '{"version":"0","id":"a-1","detail-type":"Order \u00e9 made",'
    . '"source":"my.app","account":"123456789012",'
    . '"time":"2026-05-04T03:02:01Z","region":"us-east-1",'
    . '"resources":["arn:aws:x:1"],"replay-name":"again",'
    . '"detail":{ "k" : 1 }}';

post($p, '/binary', $aws);
$q = one('binary');
is(headers($q), lines('ce-specversion' => '1.0', 'ce-id' => 'a-1',
    'ce-source' => 'my.app', 'ce-type' => 'Order%20%C3%A9%20made',
    'ce-time' => '2026-05-04T03:02:01.000Z', 'ce-subject' => 'arn:aws:x:1',
    'ce-awsaccount' => '123456789012', 'ce-awsregion' => 'us-east-1',
    'ce-awsreplayname' => 'again', 'Content-Type' => 'application/json'),
    'envelope: headers');
is($q->body(), '{ "k" : 1 }', 'envelope: detail');

post($p, '/batch', "[$aws,"
    . '{"Data":' . ($aws =~ s/,"replay-name":"again"//r
        =~ s/\["arn[^]]*\]/["a","b"]/r) . ',"Metadata":{},'
        . '"SystemMetadata":{"aws:EventId":"w-1"}}]');
$q = one('batch');
is($q->header('Content-Type'), MANY, 'envelopes: a batch');
is($q->body(), '[{"specversion":"1.0","id":"a-1","source":"my.app",'
    . "\"type\":\"Order \xc3\xa9 made\",\"time\":\"2026-05-04T03:02:01.000Z\","
    . '"subject":"arn:aws:x:1","awsaccount":"123456789012",'
    . '"awsregion":"us-east-1","awsreplayname":"again",'
    . '"datacontenttype":"application/json","data":{ "k" : 1 }},'
    . '{"specversion":"1.0","id":"w-1","source":"my.app",'
    . "\"type\":\"Order \xc3\xa9 made\",\"time\":\"2026-05-04T03:02:01.000Z\","
    . '"awsresources":"a,b","awsaccount":"123456789012",'
    . '"awsregion":"us-east-1",'
    . '"datacontenttype":"application/json","data":{ "k" : 1 }}]',
    'envelopes: byte by byte');

post($p, '/structured', '{"events":[{"id":17,"source":"conversation: 1",'
    . '"type":"call","timestamp":1714567800.25,"subject":"s","metadata":'
    . '{"Region-Name":"eu","id":"no","n":5,"big":1.5,"yes":true,"o":{},'
    . '"regionname":"twice","ctl":"\u0007","e":"\u00e9"},'
    . '"data":[ 1 ],"more":1}]}');
is(one('structured')->body(), '{"specversion":"1.0","id":"17",'
    . '"source":"conversation:%201",'
    . '"type":"call","time":"2024-05-01T12:50:00.250Z","subject":"s",'
    . '"regionname":"eu","n":5,"big":"1.5","yes":true,"e":"\u00e9",'
    . '"datacontenttype":"application/json","data":[ 1 ]}',
    'bare event: byte by byte');

# without an id it is the same one whenever it comes

post($p, '/structured', '[{"x": 1}]') for 1, 2;

@q = took('structured');
is(scalar @q, 2, 'an event with nothing');
like($q[0]->body(), qr{^\{"specversion":"1\.0","id":"[0-9a-f]{32}",
    "source":"/structured","type":"event","datacontenttype":
    "application/json","data":\{"x":\ 1\}\}$}x, 'its bytes are data');
is($q[0]->body(), $q[1]->body(), 'its id stays');

# one that is a CloudEvent although nobody says so

post($p, '/structured', $events[0]);
is(one('structured')->body(), $events[0], 'a CloudEvent as plain JSON');

post($p, '/hook', '{"data":1,"metadata":{"a":"b"}}', headers =>
    [ 'X-Id' => 'h-1', 'X-Type' => 'push' ]);
$q = one('hook');
is(headers($q), lines('ce-specversion' => '1.0', 'ce-id' => 'h-1',
    'ce-source' => 'hook', 'ce-type' => 'push',
    'Content-Type' => 'application/json'), 'eventbridge_event: headers');
is($q->body(), '{"data":1,"metadata":{"a":"b"}}', 'eventbridge_event: body');

# with eventbridge_event the configuration says what an event is

is(binary('/hook', '{}', ONE, ce(), 'X-Id' => 'h-2')->status(), 200,
    'eventbridge_event: nothing else counts');
is(one('hook')->header('ce-id'), 'h-2', 'eventbridge_event: its id');

# dead letters come back in the form in which they were sent

$m->queue('/to/dead', { status => 400 });
is(binary('/dead', '<x/>', 'text/xml', ce(id => 'late'))->json()->{dead}, 1,
    'a dead CloudEvent');
took('dead');

my ($line) = grep { /late/ } split /\n/,
    read_file($t->testdir() . '/dead.jsonl');

like($line // '', qr/"form":"cloudevents_binary"/, 'its form is written down');

is(post($p, '/replay', "$line\n")->status(), 200, 'replayed');
$q = one('dead');
is($q && $q->header('ce-id'), 'late', 'replayed: its headers');
is($q && $q->body(), '<x/>', 'replayed: its data');
is($q && $q->header('Content-Type'), 'text/xml', 'replayed: its type');

$m->queue('/to/hook', { status => 400 });
post($p, '/hook/dead', '{"id":"inner","source":"no","time":1}', headers =>
    [ 'X-Id' => 'h-3', 'X-Type' => 'pull' ]);
my $first = one('hook');

($line) = grep { /h-3/ } split /\n/, read_file($t->testdir() . '/dead.jsonl');
is(post($p, '/replay', "$line\n")->status(), 200, 'eventbridge_event replayed');
$q = one('hook');
is(headers($q), headers($first), 'replayed: the same headers');
like(headers($q), qr/^ce-id: h-3$/m, 'replayed: its own id');
is($q->header('Idempotency-Key'), $first->header('Idempotency-Key'),
    'replayed: the same key');
is($q->body(), $first->body(), 'replayed: the same data');

# signatures are those of the body alone

$r = binary('/signed', '{"a":1}', 'application/json', ce(), 'X-Signature' =>
    hmac_sha256_hex('{"a":1}', 'correct-horse'));
is($r->status(), 200, 'signed data') or diag $r->text();
is(one('same')->body(), '{"a":1}', 'signed data: as they came');
is(binary('/signed', '{"a":2}', 'application/json', ce(id => undef),
    'X-Signature' => hmac_sha256_hex('{"a":1}', 'correct-horse'))->status(),
    401, 'what is signed wrongly is not even looked at');

# explained like any other

$r = post($p, '/explain?location=/routes', '{}', headers => [ ce(),
    'Content-Type' => 'application/json' ]);
is($r->status(), 200, 'explain') or diag $r->text();
is($r->json()->{shape}, 'cloudevents_binary', 'explain: shape');
is($r->json()->{events}[0]{kind}, 'cloudevent', 'explain: kind');

refused('explain', 'id', post($p, '/explain?location=/routes', '{}',
    headers => [ ce(id => undef), 'Content-Type' => 'application/json' ]));

###############################################################################

# the handshake of webhooks

sub handshake {
    my ($path, @headers) = @_;
    return client($p)->request(path => $path, method => 'OPTIONS',
        headers => [ @headers ]);
}

for my $case ([ '/same', '*' ], [ '/rate', '3000' ], [ '/minute', '90' ]) {
    my ($path, $rate) = @$case;

    for my $asked (undef, 120) {
        $r = handshake($path, 'WebHook-Request-Origin' => 'emitter.example',
            'WebHook-Request-Rate' => $asked);
        is($r->status(), 200, "handshake $path");
        is($r->header('WebHook-Allowed-Origin'), 'emitter.example',
            "handshake $path: origin");
        is($r->header('WebHook-Allowed-Rate'), $rate, "handshake $path: rate");
        is($r->header('Allow'), 'POST', "handshake $path: method");
        is($r->body(), '', "handshake $path: no body");
    }
}

$r = handshake('/same', 'WebHook-Request-Rate' => 120);
is($r->status(), 405, 'no origin: no handshake');
is($r->header('WebHook-Allowed-Origin'), undef, 'no origin: no permission');

for my $bad ([ '', 10 ], [ 'a b', 10 ], [ "caf\xc3\xa9", 10 ],
    [ 'x' x 256, 10 ], [ 'ok.example', 0 ], [ 'ok.example', 'many' ])
{
    $r = handshake('/same', 'WebHook-Request-Origin' => $bad->[0],
        'WebHook-Request-Rate' => $bad->[1]);
    is($r->status(), 400, 'a malformed handshake');
    is($r->header('WebHook-Allowed-Origin'), undef, 'gets no permission');
}

is(handshake('/auth', 'WebHook-Request-Origin' => 'a.example')->status(), 401,
    'a handshake shows its key, too');
is(handshake('/auth', 'WebHook-Request-Origin' => 'a.example',
    'X-Api-Key' => 'correct-horse')->header('WebHook-Allowed-Origin'),
    'a.example', 'with a key it is granted');

my $sid = $h->request(path => '/rate', method => 'OPTIONS', headers =>
    [ 'webhook-request-origin' => 'two.example' ]);
is($h->response($sid)->header('webhook-allowed-rate'), '3000',
    'HTTP/2: a handshake');

###############################################################################

# what the SDK for JavaScript sends: see t/cloudevents/sdk.js

my @sdk = @{JSON::PP->new()->decode(read_file(
    "$FindBin::Bin/cloudevents/sdk-10.0.0.json"))};
my %seen;

for my $sent (@sdk) {
    my $name = "SDK, $sent->{mode}, " . ($sent->{id} // 'a batch');
    my $body = decode_base64($sent->{body_base64});
    my %h = @{$sent->{headers}};
    my $chunked = delete $h{'Transfer-Encoding'};

    delete $h{'content-length'};
    $seen{$sent->{mode}}++;

    $r = client($p)->request(path => '/same', method => 'POST',
        headers => { %h }, $chunked ? (chunks => [ $body ])
        : (body => $body));
    is($r->status(), 200, $name) or diag $r->text();
    is($r->json()->{forwarded}, $sent->{id} ? 1 : 4, "$name: forwarded");

    $q = one('same');
    is($q->body(), $body, "$name: as it came");
    is($q->header('ce-id'), $sent->{mode} eq 'binary' ? $sent->{id} : undef,
        "$name: its id");
}

is(join(' ', map { "$_ $seen{$_}" } sort keys %seen),
    'batch 1 binary 3 structured 4', 'all of them');

$h->close();

###############################################################################
