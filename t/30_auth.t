#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Tests for eventbridge_auth: who may post, and what becomes of those who may
# not; secrets that change; what nginx -t says.

###############################################################################

use warnings;
use strict;

use Test::More;

use Digest::SHA qw/ hmac_sha1_hex hmac_sha256 hmac_sha256_hex
    hmac_sha512_base64 /;
use FindBin;
use MIME::Base64 qw/ encode_base64 /;
use POSIX qw/ mkfifo /;
use Time::HiRes qw/ time /;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;
use Test::EventBridge::Util qw/ read_file /;

###############################################################################

# at the level debug nginx logs request headers

my $t = Test::EventBridge->new(log_level => 'info', auth => 1);
my $dir = $t->testdir();

# what must not be in any log

my %secret = map { $_ => "S3cret-$_-" . join '', map { chr(97 + rand 26) }
    1 .. 12 } qw/ a b c user token sign old new bad /;

$t->secret($_) for values %secret;
$t->secret(encode_base64("alice:$secret{user}:x", ''));

secrets('keys', "# keys\r\n\r\nalice:$secret{a}\r\nbob:$secret{b}\r\n"
    . "alice:$secret{c}\r\n");
secrets('more', "carol:$secret{old}\n");
secrets('users', "alice:$secret{user}:x\nbob:$secret{b}\n");
secrets('tokens', "svc:$secret{token}");
secrets('signs', "hook:$secret{b}\nhub:$secret{sign}\n");
secrets('rotated', "r:$secret{old}\n");

$t->conf(<<'EOC');
    log_format sender '$uri|$status|$eventbridge_sender|$eventbridge_result';

    eventbridge_audit_log %%TESTDIR%%/audit.jsonl flush=50ms;
    eventbridge_checkpoint_zone zone=z:1m path=%%TESTDIR%%/z.ckpt;
    client_max_body_size 2m;
    client_body_buffer_size 16k;
    large_client_header_buffers 4 16k;
    keepalive_requests 1000000;
    eventbridge_unrouted reject;

    server {
        listen 127.0.0.1:%%PORT_0%%;
        access_log %%TESTDIR%%/sender.log sender;

        location = /key {
            eventbridge_ingest;
            eventbridge_route /to/a;
            eventbridge_auth key X-Api-Key %%TESTDIR%%/keys;
            eventbridge_checkpoint z scope=$eventbridge_sender;
        }

        location = /two {
            eventbridge_ingest;
            eventbridge_route /to/a;
            eventbridge_auth key X-Api-Key %%TESTDIR%%/keys;
            eventbridge_auth key X-Other %%TESTDIR%%/more;
        }

        location = /basic {
            eventbridge_ingest;
            eventbridge_route /to/a;
            eventbridge_auth basic %%TESTDIR%%/users;
        }

        location = /bearer {
            eventbridge_ingest;
            eventbridge_route /to/a;
            eventbridge_auth bearer %%TESTDIR%%/tokens;
        }

        location = /hmac {
            eventbridge_ingest;
            eventbridge_route /to/a;
            eventbridge_auth hmac %%TESTDIR%%/signs header=X-Sign
                             prefix=sha256=;
        }

        location = /sha1 {
            eventbridge_ingest;
            eventbridge_route /to/a;
            eventbridge_auth hmac %%TESTDIR%%/signs header=X-Sign
                             algorithm=sha1;
        }

        location = /sha512 {
            eventbridge_ingest;
            eventbridge_route /to/a;
            eventbridge_auth hmac %%TESTDIR%%/signs header=X-Sign
                             algorithm=sha512 encoding=base64;
        }

        # every one of them

        location = /all {
            eventbridge_ingest;
            eventbridge_route /to/a;
            eventbridge_auth hmac %%TESTDIR%%/signs header=X-Sign;
            eventbridge_auth key X-Api-Key %%TESTDIR%%/keys;
            eventbridge_auth bearer %%TESTDIR%%/tokens;
        }

        location = /any/open {
            eventbridge_ingest;
            eventbridge_route /to/a;
            eventbridge_auth bearer %%TESTDIR%%/tokens;
            satisfy any;
            allow 127.0.0.1;
            deny all;
        }

        location = /any/closed {
            eventbridge_ingest;
            eventbridge_route /to/a;
            eventbridge_auth bearer %%TESTDIR%%/tokens;
            satisfy any;
            deny all;
        }

        location = /any/signed {
            eventbridge_ingest;
            eventbridge_route /to/a;
            eventbridge_auth hmac %%TESTDIR%%/signs header=X-Sign;
            satisfy any;
            allow 127.0.0.1;
            deny all;
        }

        location = /denied {
            eventbridge_ingest;
            eventbridge_route /to/a;
            eventbridge_auth key X-Api-Key %%TESTDIR%%/keys;
            deny all;
        }

        location = /rotate {
            eventbridge_ingest;
            eventbridge_route /to/a;
            eventbridge_auth key X-Api-Key %%TESTDIR%%/rotated;
        }

        location = /if {
            eventbridge_ingest;
            eventbridge_route /to/a;
            eventbridge_auth key X-Api-Key %%TESTDIR%%/keys;

            if ($arg_x) {
                set $x 1;
            }
        }

        # a way around

        location = /around {
            rewrite ^ /key last;
        }

        location = /around/named {
            error_page 404 = /key;
            return 404;
        }

        location = /page {
            eventbridge_ingest;
            eventbridge_route /to/a;
            eventbridge_auth key X-Api-Key %%TESTDIR%%/keys;
            error_page 401 /page.txt;
        }

        location = /page.txt {
            internal;
            return 401 "a page\n";
        }

        location = /metrics { eventbridge_metrics; }
        location = /pid { return 200 $pid; }

        location = /health {
            eventbridge_health;
            eventbridge_auth bearer %%TESTDIR%%/tokens;
        }

        location = /to/a {
            internal;
            client_max_body_size 0;
            proxy_pass http://127.0.0.1:%%PORT_dest%%;
            proxy_set_header X-Sender $eventbridge_sender;
        }
    }

    # inherited, replaced, switched off

    server {
        listen 127.0.0.1:%%PORT_1%%;
        listen 127.0.0.1:%%PORT_h2%% http2;
        eventbridge_auth key X-Api-Key %%TESTDIR%%/keys;

        location = /inherits {
            eventbridge_ingest;
        }

        location = /replaces {
            eventbridge_ingest;
            eventbridge_auth bearer %%TESTDIR%%/tokens;
        }

        location = /off {
            eventbridge_ingest;
            eventbridge_auth off;
        }

        location = /health { eventbridge_health; }
        location = /other { return 200; }
    }
EOC

my $mock = $t->mock('dest');
my ($p, $p1) = ($t->port(0), $t->port(1));
my ($n, $event) = (0, '{"events":[]}');

# place, what is wrong or right, the status, headers, other options

my @keys = map { [ '/key', @$_ ] } (
    [ 'the key', 200, [ 'X-Api-Key' => $secret{a} ] ],
    [ 'the key of another', 200, [ 'X-Api-Key' => $secret{b} ] ],
    [ 'a second key of a name', 200, [ 'X-Api-Key' => $secret{c} ] ],
    [ 'another case of the header', 200, [ 'x-api-KEY' => $secret{a} ] ],
    [ 'spaces around', 200, [ 'X-Api-Key' => "  $secret{a}  " ] ],
    [ 'nothing', 401, [] ],
    [ 'an empty key', 401, [ 'X-Api-Key' => '' ] ],
    [ 'a wrong key', 401, [ 'X-Api-Key' => 'nonsense' ] ],
    [ 'a truncated key', 401, [ 'X-Api-Key' => substr $secret{a}, 0, -1 ] ],
    [ 'a longer key', 401, [ 'X-Api-Key' => "$secret{a}x" ] ],
    [ 'another case of the key', 401, [ 'X-Api-Key' => lc $secret{a} ] ],
    [ 'name and key', 401, [ 'X-Api-Key' => "alice:$secret{a}" ] ],
    [ 'a very long key', 401, [ 'X-Api-Key' => $secret{a} . 'x' x 8000 ] ],
    [ 'a key twice', 401, [ 'X-Api-Key' => $secret{a},
        'X-Api-Key' => $secret{a} ] ],
    [ 'a key and another', 401, [ 'X-Api-Key' => 'x',
        'X-Api-Key' => $secret{a} ] ],
    [ 'the secret of another file', 401, [ 'X-Api-Key' => $secret{token} ] ],
    [ 'the key in another header', 401, [ 'X-Key' => $secret{a} ] ],
    [ 'the key in the URI', 401, [], path => "/key?X-Api-Key=x" ],
);

my @two = map { [ '/two', @$_ ] } (
    [ 'the first line', 200, [ 'X-Api-Key' => $secret{a} ] ],
    [ 'the second line', 200, [ 'X-Other' => $secret{old} ] ],
    [ 'one right, one wrong', 200, [ 'X-Other' => $secret{old},
        'X-Api-Key' => 'x' ] ],
    [ 'the secret of the other line', 401, [ 'X-Other' => $secret{a} ] ],
    [ 'none', 401, [] ],
);

sub basic {
    return Authorization => ($_[1] // 'Basic ') . encode_base64($_[0], '');
}

my @basic = map { [ '/basic', @$_ ] } (
    [ 'user and password with a colon', 200,
        [ basic("alice:$secret{user}:x") ] ],
    [ 'another user', 200, [ basic("bob:$secret{b}") ] ],
    [ 'another case of the scheme', 200,
        [ basic("bob:$secret{b}", 'bAsIc  ') ] ],
    [ 'a part of the password', 401, [ basic("alice:$secret{user}") ] ],
    [ 'a password of another', 401, [ basic("alice:$secret{b}") ] ],
    [ 'no password', 401, [ basic('alice:') ] ],
    [ 'no colon', 401, [ basic('alice') ] ],
    [ 'no user', 401, [ basic(":$secret{b}") ] ],
    [ 'no base64', 401, [ Authorization => 'Basic ~~~~' ] ],
    [ 'nothing behind the scheme', 401, [ Authorization => 'Basic' ] ],
    [ 'another scheme', 401, [ Authorization => "Bearer $secret{b}" ] ],
    [ 'nothing', 401, [] ],
    [ 'a very long password', 401, [ basic('alice:' . 'x' x 6000) ] ],
    [ 'the credentials of another location', 401,
        [ basic("svc:$secret{token}") ] ],
);

my @bearer = map { [ '/bearer', @$_ ] } (
    [ 'the token', 200, [ Authorization => "Bearer $secret{token}" ] ],
    [ 'another case of the scheme', 200,
        [ Authorization => "bEARER   $secret{token}" ] ],
    [ 'a wrong token', 401, [ Authorization => 'Bearer x' ] ],
    [ 'a truncated token', 401,
        [ Authorization => 'Bearer ' . substr $secret{token}, 1 ] ],
    [ 'no token', 401, [ Authorization => 'Bearer' ] ],
    [ 'no scheme', 401, [ Authorization => $secret{token} ] ],
    [ 'no space', 401, [ Authorization => "Bearer$secret{token}" ] ],
    [ 'nothing', 401, [] ],
    [ 'a very long token', 401, [ Authorization => 'Bearer ' . 'x' x 8000 ] ],
    [ 'the secret of another location', 401,
        [ Authorization => "Bearer $secret{a}" ] ],
);

my $sign = hmac_sha256_hex($event, $secret{sign});
my $wrong = hmac_sha256_hex($event, 'x');
my $packed = gzipped($event);
my $large = '{"events":[]' . ' ' x 100_000 . '}';

my @hmac = map { [ '/hmac', @$_ ] } (
    [ 'the signature', 200, [ 'X-Sign' => "sha256=$sign" ] ],
    [ 'upper case', 200, [ 'X-Sign' => 'sha256=' . uc $sign ] ],
    [ 'by another secret', 200, [ 'X-Sign' => 'sha256='
        . hmac_sha256_hex($event, $secret{b}) ] ],
    [ 'several, commas', 200, [ 'X-Sign' => "sha256=$wrong,sha256=$sign" ] ],
    [ 'several, spaces', 200, [ 'X-Sign' => "sha256=$sign  v0=1 sha256=1" ] ],
    [ 'several headers', 200, [ 'X-Sign' => "sha256=$wrong",
        'X-Sign' => "sha256=$sign" ] ],
    [ 'the last of 16', 200, [ 'X-Sign' => "sha256=$wrong," x 15
        . "sha256=$sign" ] ],
    [ 'the 17th', 401, [ 'X-Sign' => "sha256=$wrong," x 16
        . "sha256=$sign" ] ],
    [ 'no prefix', 401, [ 'X-Sign' => $sign ] ],
    [ 'another prefix', 401, [ 'X-Sign' => "sha512=$sign" ] ],
    [ 'only the prefix', 401, [ 'X-Sign' => 'sha256=' ] ],
    [ 'truncated', 401, [ 'X-Sign' => 'sha256=' . substr $sign, 0, -2 ] ],
    [ 'an odd digit', 401, [ 'X-Sign' => "sha256=${sign}0" ] ],
    [ 'no hex', 401, [ 'X-Sign' => 'sha256=' . 'g' x 64 ] ],
    [ 'base64', 401, [ 'X-Sign' => 'sha256='
        . encode_base64(hmac_sha256($event, $secret{sign}), '') ] ],
    [ 'a wrong one', 401, [ 'X-Sign' => "sha256=$wrong" ] ],
    [ 'an empty one', 401, [ 'X-Sign' => '' ] ],
    [ 'nothing', 401, [] ],
    [ 'very long', 401, [ 'X-Sign' => 'sha256=' . 'a' x 8000 ] ],
    [ 'another body', 401, [ 'X-Sign' => "sha256=$sign" ],
        body => "$event " ],
    [ 'a large body, in a file', 200, [ 'X-Sign' => 'sha256='
        . hmac_sha256_hex($large, $secret{sign}) ], body => $large ],
    [ 'gzip, the bytes as sent', 200, [ 'X-Sign' => 'sha256='
        . hmac_sha256_hex($packed, $secret{sign}),
        'Content-Encoding' => 'gzip' ], body => $packed ],
    [ 'gzip, the bytes as unpacked', 401, [ 'X-Sign' => "sha256=$sign",
        'Content-Encoding' => 'gzip' ], body => $packed ],
    [ 'chunks', 200, [ 'X-Sign' => "sha256=$sign" ], body => undef,
        chunks => [ map { substr $event, $_, 1 } 0 .. length($event) - 1 ] ],
    [ 'not JSON, signed', 400, [ 'X-Sign' => 'sha256='
        . hmac_sha256_hex('x', $secret{sign}) ], body => 'x' ],
    [ 'not JSON, not signed', 401, [ 'X-Sign' => "sha256=$sign" ],
        body => 'x' ],
    [ 'no body, signed', 400, [ 'X-Sign' => 'sha256='
        . hmac_sha256_hex('', $secret{sign}) ], body => '' ],
    [ 'no body, not signed', 401, [ 'X-Sign' => "sha256=$sign" ],
        body => '' ],
);

my $sha512 = hmac_sha512_base64($event, $secret{sign});

push @hmac, (
    [ '/sha1', 'SHA-1', 200,
        [ 'X-Sign' => hmac_sha1_hex($event, $secret{sign}) ] ],
    [ '/sha1', 'SHA-1, another length', 401, [ 'X-Sign' => $sign ] ],
    [ '/sha512', 'SHA-512, base64', 200, [ 'X-Sign' => "$sha512==" ] ],
    [ '/sha512', 'SHA-512, base64 without padding', 200,
        [ 'X-Sign' => $sha512 ] ],
    [ '/sha512', 'SHA-512, truncated', 401,
        [ 'X-Sign' => substr $sha512, 0, 84 ] ],
    [ '/sha512', 'SHA-512, longer', 401, [ 'X-Sign' => "${sha512}AAAA" ] ],
    [ '/sha512', 'SHA-512, no base64', 401, [ 'X-Sign' => '*' x 86 ] ],
);

my @key = ('X-Api-Key' => $secret{a});
my @token = (Authorization => "Bearer $secret{token}");
my @sign = ('X-Sign' => $sign);

my @mixed = (
    [ '/all', 'all methods', 200, [ @key, @token, @sign ] ],
    [ '/all', 'no key', 401, [ @token, @sign ] ],
    [ '/all', 'no token', 401, [ @key, @sign ] ],
    [ '/all', 'no signature', 401, [ @key, @token ] ],
    [ '/any/open', 'satisfy any, an address', 200, [] ],
    [ '/any/open', 'satisfy any, both', 200, [ @token ] ],
    [ '/any/closed', 'satisfy any, credentials', 200, [ @token ] ],
    [ '/any/closed', 'satisfy any, neither', 401, [] ],
    [ '/any/signed', 'satisfy any, a signature', 200, [ @sign ] ],
    [ '/any/signed', 'satisfy any, no signature', 401, [] ],
    [ '/denied', 'satisfy all, denied', 403, [ @key ] ],
    [ '/if', 'a block inside', 401, [], path => '/if?x=1' ],
    [ '/if', 'a block inside, a key', 200, [ @key ], path => '/if?x=1' ],
    [ '/around', 'rewritten', 401, [] ],
    [ '/around', 'rewritten, a key', 200, [ @key ] ],
    [ '/around/named', 'an internal redirect', 401, [], answer => 'json' ],
);

my @cases = (@keys, @two, @basic, @bearer, @hmac, @mixed);

# nginx -t

my @errors = (
    [ 'nobody', 'nobody', qr/"sigv4" or "off"/ ],
    [ 'Key X-A keys', 'Key' ],
    [ "''", '' ],
    [ 'off on', 'on' ],
    [ 'key', 'key', qr/a header and a file/ ],
    [ 'key X-A', 'X-A', qr/a header and a file/ ],
    [ 'key X-A keys more', 'more' ],
    [ "key '' keys", '', qr/name of a header/ ],
    [ "key 'X A' keys", 'X A', qr/name of a header/ ],
    [ 'key X-A: keys', 'X-A:', qr/name of a header/ ],
    [ "key X-A ''", '', qr/file name/ ],
    [ "key X-A $dir/", "$dir/", qr/file name/ ],
    [ 'key X-A none', 'none', qr/cannot be opened .*No such file/ ],
    [ 'basic', 'basic', qr/a file is expected/ ],
    [ 'basic users more', 'more' ],
    [ 'bearer', 'bearer', qr/a file is expected/ ],
    [ 'bearer users header=X', 'header=X' ],
    [ 'hmac', 'hmac', qr/a file is expected/ ],
    [ 'hmac signs', 'hmac', qr/"header" parameter is missing/ ],
    [ 'hmac signs algorithm=sha1', 'hmac', qr/"header" parameter/ ],
    [ 'hmac signs header=', 'header=', qr/name of a header/ ],
    [ 'hmac signs header=a header=b', 'header=b', qr/twice/ ],
    [ 'hmac signs header=a algorithm=md5', 'algorithm=md5', qr/"sha256"/ ],
    [ 'hmac signs header=a algorithm=', 'algorithm=', qr/"sha256"/ ],
    [ 'hmac signs header=a encoding=base32', 'encoding=base32', qr/"hex"/ ],
    [ 'hmac signs header=a prefix=', 'prefix=', qr/printable/ ],
    [ 'hmac signs header=a prefix=a,b', 'prefix=a,b', qr/printable/ ],
    [ "hmac signs header=a 'prefix=a b'", 'prefix=a b', qr/printable/ ],
    [ 'hmac signs header=a tolerance=1s', 'tolerance=1s' ],
    [ 'bearer users', 'bearer', qr/exclude/, 'basic users' ],
    [ 'off', 'off', qr/another line/, 'basic users' ],
    [ 'basic users', 'basic', qr/"off" beside it/, 'off' ],
    [ 'basic world', 'world', qr/readable by everybody/ ],
    [ 'basic fifo', 'fifo', qr/not a regular file/ ],
    [ 'basic folder', 'folder', qr/not a regular file/ ],
    [ 'basic empty', 'empty', qr/has no line NAME:SECRET/ ],
    [ 'basic large', 'large', qr/larger than 1 MB/ ],
    [ 'basic colon', 'colon', qr/has no colon in \Q$dir\E\/colon:3 / ],
    [ 'basic noname', 'noname', qr/name is empty in \Q$dir\E\/noname:1 / ],
    [ 'basic nosecret', 'nosecret',
        qr/secret is empty in \Q$dir\E\/nosecret:2 / ],
    [ 'basic control', 'control',
        qr/control characters in \Q$dir\E\/control:1 / ],
);

secrets('world', "a:$secret{bad}\n", 0644);
secrets('empty', "# nothing\n");
secrets('large', "a:$secret{bad}\n" x 60_000);
secrets('colon', "a:b\n\n$secret{bad}\n");
secrets('noname', ":$secret{bad}\n");
secrets('nosecret', "a:b\na:\n");
secrets('control', "a\tb:$secret{bad}\n");
mkfifo("$dir/fifo", 0600) or die "mkfifo: $!\n";
mkdir "$dir/folder" or die "mkdir: $!\n";

my @control = map { [ "eventbridge_control_access $_;", $_ ] }
    qw/ on Local remote /;

$t->plan(@cases * 2 + @errors * 4 + @control * 2 + 99);

###############################################################################

# what is right and what is wrong

$t->run();

for my $case (@cases) {
    my ($place, $name, $status, $headers, %opt) = @$case;

    my $json = delete $opt{answer};
    my $path = delete $opt{path} // $place;
    my $body = exists $opt{body} ? delete $opt{body} : $event;
    my $r = post($p, $path, $body, headers => $headers, %opt);

    is($r->status(), $status, "$place: $name");

    if ($status == 401) {
        is((eval { $r->json() } // {})->{error}, 'unauthorized',
            "$place: $name, answer");
    } else {
        is($r->header('WWW-Authenticate'), undef,
            "$place: $name, no challenge");
    }
}

# the answer

my $r = post($p, '/key', $event);

is($r->header('Content-Type'), 'application/json', 'type of the answer');
like($r->json()->{message}, qr/valid credentials/, 'message of the answer');
is($r->header('WWW-Authenticate'), undef, 'key: no challenge');

$r = post($p, '/basic', $event);
is($r->header('WWW-Authenticate'), 'Basic realm="eventbridge"',
    'basic: challenge');

$r = post($p, '/bearer', $event);
is($r->header('WWW-Authenticate'), 'Bearer', 'bearer: challenge');

$r = post($p, '/all', $event, headers => [ @key ]);
is($r->header('WWW-Authenticate'), 'Bearer', 'several methods: challenge');

$r = post($p, '/page', $event);
is($r->status(), 401, 'error_page');
is($r->body(), "a page\n", 'error_page, answer');

is(get($p, '/key')->status(), 401, 'GET without a key');
is(get($p, '/key', headers => [ @key ])->status(), 405, 'GET with a key');

# the body is not read: the answer comes before it is there, and the
# connection is good for another request

$r = raw($p, "POST /key HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
is($r->status(), 401, 'the body is not waited for');

my $c = client($p);
is(post($c, '/key', $event)->status(), 401, 'keep-alive, no key');
is(post($c, '/key', $event, headers => [ @key ])->status(), 200,
    'keep-alive, a key');
$c->close();

###############################################################################

# levels

is(post($p1, '/inherits', $event)->status(), 401, 'inherited');
is(post($p1, '/inherits', $event, headers => [ @key ])->status(), 200,
    'inherited, a key');
is(post($p1, '/replaces', $event, headers => [ @key ])->status(), 401,
    'replaced, a key');
is(post($p1, '/replaces', $event, headers => [ @token ])->status(), 200,
    'replaced, a token');
is(post($p1, '/off', $event)->status(), 200, 'off');
is(get($p1, '/other')->status(), 200, 'a location of another module');
is(get($p1, '/health')->status(), 401, 'health, inherited');
is(get($p1, '/health', headers => [ @key ])->status(), 200,
    'health, inherited, a key');

$r = get($p, '/health');
is($r->status(), 401, 'health');
is($r->json()->{error}, 'unauthorized', 'health, answer');
is(get($p, '/health', headers => [ @token ])->json()->{status}, 'healthy',
    'health, a token');

###############################################################################

# HTTP/2

my $h = h2_client($t->port('h2'));

for my $case ([ 401, 'no key' ], [ 401, 'a wrong key', 'x-api-key' => 'x' ],
    [ 200, 'a key', 'x-api-key' => $secret{a} ],
    [ 401, 'a long key', 'x-api-key' => 'x' x 8000 ])
{
    my ($status, $name, @headers) = @$case;
    my $sid = $h->request(path => '/inherits', method => 'POST',
        headers => \@headers, body => $event);
    is($h->response($sid)->status(), $status, "HTTP/2, $name");
}

$h->close();

###############################################################################

# the sender: in the request to the destination, in both logs, in the scope

$r = post($p, '/key', events('s1'), headers => [ 'X-Api-Key' => $secret{c} ]);
is($r->json()->{forwarded}, 1, 'sender, an event');

my ($hit) = grep { $_->body() =~ /"s1"/ } $mock->requests();
is($hit->header('X-Sender'), 'alice', 'sender, to the destination');

is(post($p, '/key', events('s1'), headers => [ @key ])->json()->{duplicates},
    1, 'sender, a scope');
is(post($p, '/key', events('s1'), headers => [ 'X-Api-Key' => $secret{b} ])
    ->json()->{forwarded}, 1, 'sender, the scope of another');

post($p, '/all', events('s2'), headers => [ @key, @token,
    'X-Sign' => hmac_sha256_hex(events('s2'), $secret{b}) ]);
post($p, '/any/open', events('s3'));

ok(wait_for(sub { (() = (read_file("$dir/audit.jsonl") // '') =~ /"s[123]"/g)
    == 5 }, 10), 'audit lines');

my %audit;
push @{$audit{$_->{eventId}}}, $_->{sender} // '-'
    for $t->audit_lines('audit.jsonl');

is("@{$audit{s1}}", 'alice alice bob', 'sender, audit log');
is("@{$audit{s2}}", 'hook', 'sender, the first method counts');
is("@{$audit{s3}}", '-', 'sender, nobody');

my $log = read_file("$dir/sender.log");

like($log, qr{^/key\|200\|bob\|accepted$}m, 'sender, access log');
like($log, qr{^/basic\|200\|alice\|accepted$}m, 'sender, basic');
like($log, qr{^/bearer\|200\|svc\|accepted$}m, 'sender, bearer');
like($log, qr{^/hmac\|200\|hub\|accepted$}m, 'sender, hmac');
like($log, qr{^/two\|200\|carol\|accepted$}m, 'sender, the second line');
unlike($log, qr{\|401\|(?!-\|)}, 'sender, none with 401');
like($log, qr{^/key\|401\|-\|refused$}m, 'the result is refused');

###############################################################################

# figures

my $count = $t->metric('eventbridge_unauthorized_total', location => '/key');
my $all = $t->metric('eventbridge_requests_total', location => '/key',
    code => '401');

is($count, $all, 'unauthorized, by figures');
cmp_ok($count, '>', 10, 'unauthorized, many');
is($t->metric('eventbridge_unauthorized_total', location => '/denied'), 0,
    'denied is not unauthorized');
is($t->metric('eventbridge_unauthorized_total', location => '/any/open'), 0,
    'what another rule allows is not unauthorized');
cmp_ok($t->metric('eventbridge_unauthorized_total', location => '/hmac'),
    '>', 10, 'unauthorized, signatures');

###############################################################################

# the log: a line a second and worker, the reason, the client, nothing else

my @lines = $t->log() =~ /^(.*eventbridge: unauthorized.*)$/mg;
my %seen;

$seen{join ' ', /^(\S+ \S+) \[error\] (\d+)#/}++ for @lines;

cmp_ok(scalar @lines, '>', 0, 'refusals are logged');
is(join(',', grep { $seen{$_} > 1 } keys %seen), '',
    'once a second in each worker');

my $at = -s "$dir/error.log";
my $until = time + 30;
my $text = '';

# until a line says how many there were

while (time < $until) {
    post($p, '/key', $event, headers => [ 'X-Api-Key' => 'x' ]);
    $text = $t->log($at);
    last if $text =~ /wrong credentials for "key" .* and \d+ more/;
}

like($text, qr/wrong credentials for "key" in location "\/key", and \d+ more/,
    'what was not logged is counted');
like($text, qr/unauthorized, .*, client: 127\.0\.0\.1, /,
    'the client is logged');

$at = -s "$dir/error.log";
my $since = time;

wait_for(sub { post($p, '/any/open', $event); return time > $since + 1.5 }, 10);
unlike($t->log($at), qr/unauthorized/, 'allowed by another rule, not logged');

for my $case ([ 'no', '/key' ],
    [ 'wrong', '/bearer', Authorization => 'Bearer x' ],
    [ 'malformed', '/hmac', 'X-Sign' => 'x' ],
    [ 'repeated', '/key', @key, @key ])
{
    my ($what, $path, @headers) = @$case;

    $at = -s "$dir/error.log";

    ok(wait_for(sub {
        post($p, $path, $event, headers => \@headers);
        return $t->log($at) =~ /unauthorized, $what credentials/;
    }, 10), "$what credentials, by the log");
}

###############################################################################

# rotation under load: a rename, no reload, and nobody is refused who has a
# secret that was valid all the time

my @pids = sort $t->worker_pids();
my %got = (new => [], both => []);

# a connection to each worker: the others sleep while it is made

my @each;

for my $pid (@pids) {
    my @others = grep { $_ != $pid } @pids;

    kill 'STOP', @others;
    wait_for(sub { !grep { read_file("/proc/$_/stat") !~ /\) T / } @others },
        10);
    push @each, client($p);
    is(get($each[-1], '/pid')->body(), $pid, 'a connection to a worker');
    kill 'CONT', @others;
}

rotate("r:$secret{old}\nr:$secret{new}\n");
ok(wait_for(sub { all_workers('new', 200) }, 10), 'a second secret');

# the old one goes on in use while the file is replaced again and again

for my $i (1 .. 200) {
    rotate("r:$secret{old}\n# $i\nr:$secret{new}\n") if $i % 10 == 0;
    push @{$got{both}}, map { ask($_, $i % 2 ? 'old' : 'new') } @each;
}

is(join(',', grep { $_ != 200 } @{$got{both}}), '', 'both while it changes');

rotate("r:$secret{new}\n");
$until = time + 10;

while (time < $until) {
    push @{$got{new}}, map { ask($_, 'new') } @each;
    last if all_workers('old', 401);
}

is(join(',', grep { $_ != 200 } @{$got{new}}), '', 'the new one all the time');
ok(all_workers('old', 401), 'the old one is withdrawn');
is(join(',', sort $t->worker_pids()), join(',', @pids), 'no reload');
$t->log_like(qr/\[notice\] .*secrets file "\S+rotated" was read again/,
    'it is logged');

# bad files

for my $case ([ 'no colon', "r:$secret{old}\n$secret{bad}\n", 0640 ],
    [ 'readable by everybody', "r:$secret{old}\n", 0644 ],
    [ 'no line', '', 0640 ])
{
    my ($what, $content, $mode) = @$case;

    $at = -s "$dir/error.log";
    rotate($content, $mode);

    my @status;

    ok(wait_for(sub {
        push @status, map { ask($_, 'new') } @each;
        return @each == (() = $t->log($at)
            =~ /rotated" cannot be used.*$what/g);
    }, 10), "$what, each worker logs it");

    is(join(',', grep { $_ != 200 } @status), '', "$what, the new one stays");
    ok(all_workers('old', 401), "$what, the old one does not come back");
}

$at = -s "$dir/error.log";
unlink "$dir/rotated";
ok(wait_for(sub {
    all_workers('new', 200);
    return @each == (() = $t->log($at)
        =~ /rotated" cannot be used.*No such file/g);
}, 10), 'no file, each worker logs it');
ok(all_workers('new', 200), 'no file, the new one stays');

# once for each worker and state, however long it lasts

$since = time;
wait_for(sub { all_workers('new', 200); return time > $since + 2.5 }, 10);

is(scalar(() = $t->log($at) =~ /rotated" cannot be used/g), @each,
    'no file, logged once in each worker');

rotate("r:$secret{old}\n");
ok(wait_for(sub { all_workers('old', 200) }, 10), 'a good file again');
ok(all_workers('new', 401), 'a good file again, what it does not have');

$t->log_unlike(qr/\[warn\] .*workers cannot read/, 'workers can read');
$_->close() for @each;

###############################################################################

# a new configuration, with a file that workers cannot read

SKIP: {
    skip('needs root', 4) if $> != 0;

    secrets('root', "r:$secret{old}\n");
    chown 0, 0, "$dir/root";

    $t->conf(simple('eventbridge_auth key X-Api-Key root;'));
    $at = -s "$dir/error.log";
    ok($t->reload(), 'a file of root');
    is(post($p, '/in', $event, headers => [ 'X-Api-Key' => $secret{old} ])
        ->status(), 200, 'a file of root is read by the master');
    ok($t->wait_log(qr/\[warn\] .*workers cannot read secrets file/, 10, $at),
        'it is warned of at the start');

    my ($rc, $out) = $t->test_config(
        simple('eventbridge_auth key X-Api-Key root;'));
    like($out, qr/\[warn\] workers will not be able to read "\S+root" .* in /,
        'nginx -t warns of it');
}

###############################################################################

# nginx -t

for my $case (@errors) {
    my ($args, $value, $re, $before) = @$case;

    $before = $before ? "eventbridge_auth $before;\n" : '';

    my ($rc, $out) = $t->test_config(simple(
        "${before}eventbridge_auth $args; ##"));
    my $conf = "$dir/nginx.conf.t$t->{tests}";
    my ($above) = read_file($conf) =~ /^(.*?)##/s;
    my $line = 1 + ($above =~ tr/\n//);

    is($rc, 1, "-t: $args");
    like($out, qr/invalid value "\Q$value\E" of "eventbridge_auth"/,
        "-t: $args, value");
    like($out, qr/ in \Q$conf:$line\E$/m, "-t: $args, file and line");
    like($out, $re // qr/invalid value/, "-t: $args, reason");
}

for my $case (@control) {
    my ($rc, $out) = $t->test_config(
        simple("$case->[0] eventbridge_auth off;"));
    is($rc, 1, "-t: $case->[0]");
    like($out, qr/value "$case->[1]" of "eventbridge_control_access"/,
        "-t: $case->[0], value");
}

for my $case ([ '', qr/location "\/in" has no "eventbridge_auth": .* in \S+:/,
        'nothing is said' ],
    [ 'eventbridge_auth off;', undef, 'off' ],
    [ "eventbridge_auth key X-Api-Key keys;\n"
        . "eventbridge_control_access protected;", undef, 'a key' ],
    [ "eventbridge_auth off;\n}\nlocation = /x {\n"
        . 'eventbridge_auth key X-Api-Key keys;', qr/has no effect: .* in \S+:/,
        'a location of another module' ],
    [ "eventbridge_auth off;\n}\nlocation /x {\n"
        . "eventbridge_auth key X-Api-Key keys;\n"
        . 'location = /x/m { eventbridge_metrics; }', undef,
        'a location inside' ])
{
    my ($text, $re, $name) = @$case;
    my ($rc, $out) = $t->test_config(simple($text));
    my @warnings = $out =~ /^nginx: \[warn\] (.*)$/mg;

    is($rc, 0, "-t: $name") or diag($out);
    is(scalar @warnings, $re ? 1 : 0, "-t: $name, warnings") or diag($out);
    like($warnings[0] // '', $re // qr/^$/, "-t: $name, warning");
}

###############################################################################

sub secrets { $t->secret_file(@_) }

sub rotate { secrets('rotated', @_) }

sub ask {
    my ($where, $which) = @_;
    return post($where, '/rotate', $event,
        headers => [ 'X-Api-Key' => $secret{$which} ])->status();
}

sub all_workers {
    my ($which, $status) = @_;
    return !grep { ask($_, $which) != $status } @each;
}

sub gzipped {
    my ($text) = @_;
    my $out;

    require IO::Compress::Gzip;
    IO::Compress::Gzip::gzip(\$text, \$out) or die "gzip\n";

    return $out;
}

sub events {
    my ($id) = @_;
    return qq/{"events":[{"id":"$id","source":"t"}]}/;
}

sub simple {
    my ($text) = @_;

    return <<"EOC";
    client_max_body_size 2m;

    server {
        listen 127.0.0.1:%%PORT_0%%;

        location = /in {
            eventbridge_ingest;
            eventbridge_unrouted reject;
            $text
        }
    }
EOC
}

###############################################################################
