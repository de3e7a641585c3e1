#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# eventbridge_status: the JSON document against what was sent, the page for
# people, which is made of it, and who may see them.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Digest::SHA qw/ sha256_base64 /;
use JSON::PP ();

use Test::EventBridge;
use Test::EventBridge::Util qw/ read_file wait_for /;

###############################################################################

# what is JSON, and what is the page

my @places = (
    [ '/status', undef, 'json' ],
    [ '/status', '*/*', 'json' ],
    [ '/status', 'text/html', 'html' ],
    [ '/status', 'TEXT/HTML, application/json', 'html' ],
    [ '/status', 'application/json, text/html;q=0.1', 'json' ],
    [ '/status/', undef, 'html' ],
    [ '/status/', '*/*', 'html' ],
    [ '/status/', 'application/json', 'json' ],
    [ '/status?x=/', undef, 'json' ],
    [ '/statuses', undef, 404 ],
    [ '/status/x', undef, 404 ],
    [ '/status/x/', 'text/html', 404 ],
    [ '/only', undef, 'json' ],
    [ '/only', 'text/html', 'html' ],
    [ '/re/any', undef, 'json' ],
    [ '/re/any/', undef, 'html' ],
    [ '/open/', undef, 'html' ],
    [ '/open/', 'application/json', 'json' ],
    [ '/open/x', undef, 404 ]
);

my $t = Test::EventBridge->new(workers => 1)->plan(118 + @places);
my $m = $t->mock(1);

$t->secret_file('secret', "s3cret-of-the-client\n");
$t->secret_file('keys', "someone:a-key-of-someone\n");

my $conf = <<'EOF';
    eventbridge_checkpoint_zone zone=z:1m path=%%TESTDIR%%/z.ckpt;
    eventbridge_stats_file %%TESTDIR%%/stats;
    eventbridge_outbox path=%%TESTDIR%%/outbox;

    eventbridge_genesys org {
        api_url http://127.0.0.1:%%PORT_2%%;
        login_url http://127.0.0.1:%%PORT_2%%;
        client_id somebody;
        client_secret_file %%TESTDIR%%/secret;
    }

    server {
        listen 127.0.0.1:%%PORT_0%%;
        server_name eb.test;

        set_real_ip_from 127.0.0.1;
        real_ip_header X-Real-IP;

        eventbridge_checkpoint z;
        proxy_http_version 1.1;
        proxy_set_header Connection "";

        location = /v1/events {
            eventbridge_ingest;
            eventbridge_route_policy all;
            eventbridge_dead_letter %%TESTDIR%%/dead.jsonl;
            eventbridge_permanent 422;
            eventbridge_route /to/a name=known source=^known;
            eventbridge_route /to/b name=high metadata.priority=high;
            eventbridge_unrouted /to/rest;
        }

        location = /drop {
            eventbridge_ingest;
            eventbridge_checkpoint off;
            eventbridge_route /to/a source=^never;
        }

        location ~ "^/<script>alert\\(1\\)&amp;'\"(x|y)$" {
            eventbridge_ingest;
            eventbridge_route "/to/<b>&\"'" "name=</td><script/src='//x'>";
        }

        location /to/ {
            internal;
            client_max_body_size 0;
            proxy_pass http://127.0.0.1:%%PORT_1%%;
        }

        location /status { eventbridge_status; }
        location = /only { eventbridge_status; }
        location ~ ^/re/ { eventbridge_status; }

        location /open/ {
            eventbridge_status;
            eventbridge_control_access protected;
        }

        location = /key {
            eventbridge_status;
            eventbridge_auth key X-Key %%TESTDIR%%/keys;
        }

        location = /health { eventbridge_health; }
        location = /metrics { eventbridge_metrics; }
    }
EOF

$t->conf($conf)->run();

my ($p, $html) = ($t->port(0), { Accept => 'text/html,*/*;q=0.8' });

###############################################################################

# before any traffic

my $r = get($p, '/status');
my $j = $r->json();

is($r->status(), 200, 'status');
is($r->header('Content-Type'), 'application/json', 'type');
is($r->header('Cache-Control'), 'no-store', 'not to be stored');
is($r->header('Vary'), 'Accept', 'varies');
like($r->body(), qr/^\{"status":"healthy","node":\{/, 'the verdict is first');

is(join(',', sort keys %$j), 'checkpoints,deadLetters,down,locations,node,'
    . 'organisations,outbox,status', 'members');

my $node = $j->{node};

is(join(',', sort keys %$node), 'auditDropped,auditErrors,auditLines,'
    . 'configured,deadLettersWaiting,deliveries,deliveryBytes,exiting,'
    . 'generation,host,module,nginx,pid,seriesOverflow,started,time,up,uptime,'
    . 'workers', 'node, members');
ok($node->{up} && !$node->{exiting}, 'node, up');
is($node->{pid}, ($t->worker_pids())[0], 'node, pid');
is($node->{workers}, 1, 'node, workers');
is($node->{generation}, 1, 'node, generation');
like($node->{nginx}, qr/^\d+\.\d+\.\d+$/, 'node, version of nginx');
like($node->{$_}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, "node, $_")
    for qw/ time started configured /;
cmp_ok($node->{uptime}, '<', 300, 'node, uptime');

my ($version) = read_file("$FindBin::Bin/../CHANGES")
    =~ /^Changes with ngx_http_eventbridge_module (\S+)/m;

is($node->{module}, $version, 'node, version of the module');

is_deeply($j->{checkpoints}, get($p, '/health')->json()->{checkpoints},
    'checkpoints as in health');
is(join(',', map { "$_->{server} $_->{location}" } @{$j->{locations}}[0, 1]),
    'eb.test /v1/events,eb.test /drop', 'locations');

my $new = location('/v1/events');

is($new->{checkpoint}, 'z', 'the checkpoint of a location');
ok(!exists location('/drop')->{checkpoint}, 'a location without one');
is(join(',', map { "$_->{route} $_->{destination}" } @{$new->{routes}}),
    'known /to/a,high /to/b,unrouted /to/rest', 'routes');
is(join(',', map { $_->{destination} } @{$new->{destinations}}),
    '/to/a,/to/b,/to/rest', 'destinations');
is($new->{received} + $new->{destinations}[0]{forwarded}, 0, 'nothing yet');
ok(!exists $new->{destinations}[0]{lastFailure}, 'no failure yet');

my ($org) = @{$j->{organisations}};

is(join(',', sort keys %$org), 'answers,name,token,tokenAge,tokenFailures,'
    . 'tokenLifetime,tokensIssued,tokensRefused', 'organisation, members');
is($org->{name}, 'org', 'organisation, name');
ok($org->{answers}, 'organisation, its breaker is closed');
is(join(',', sort keys %{get($p, '/health')->json()->{organisations}[0]}),
    'answers,name,token,tokenFailures', 'without figures on health');

is(join(',', sort keys %{$j->{outbox}}),
    'buried,dead,delivered,depth,failed,oldestAge', 'outbox, members');
is($j->{outbox}{depth} + $j->{outbox}{oldestAge}, 0, 'outbox, empty');

# traffic: two by one route, one by two, one by none, and duplicates

send_events(200, '/v1/events', { id => 'a', source => 'known:1' },
    { id => 'b', source => 'known:2' },
    { id => 'c', source => 'known:3', metadata => { priority => 'high' } },
    { id => 'd', source => 'other' });
send_events(200, '/v1/events', { id => 'a', source => 'known:1' },
    { id => 'd', source => 'other' });
send_events(200, '/drop', { id => 'a', source => 'x' },
    { id => 'b', source => 'x' });

my $l = location('/v1/events');

is(figures($l, qw/ received forwarded duplicates dropped dead failed /),
    '6 4 2 0 0 0', 'events of a location');
is($l->{requests}{'2xx'}, 2, 'requests of a location');
cmp_ok($l->{bytes}, '>', 100, 'bytes of a location');
is(join(',', map { figures($_, qw/ matched forwarded duplicates failed /) }
    @{$l->{routes}}), '4 3 1 0,1 1 0 0,2 1 1 0', 'events of routes');
is(join(',', map { figures($_, qw/ forwarded failed /) }
    @{$l->{destinations}}), '3 0,1 0,1 0', 'events of destinations');
is($l->{destinations}[0]{statuses}{'2xx'}, 1, 'requests to a destination');
is(location('/drop')->{dropped}, 2, 'dropped events');

my $metrics = get($p, '/metrics')->body();

for my $name (qw/ received forwarded duplicates dropped dead failed /) {
    my ($value) = $metrics
        =~ m!^eventbridge_events_${name}_total\{.*"/v1/events"\} (\d+)!m;

    is($l->{$name}, $value, "$name is as in metrics");
}

# a destination that is down

$m->set('/to/a', status => 500);

send_events(503, '/v1/events', { id => 'e', source => 'known:1' });

$j = get($p, '/status')->json();

my ($x, $y) = @{location('/v1/events')->{destinations}};

is($j->{status}, 'degraded', 'down: degraded');
is($j->{down}[0]{destination}, '/to/a', 'down: which one');
is($x->{statuses}{'5xx'}, 1, 'down: its answers');
is($x->{lastFailureStatus}, 500, 'down: the last one');
is($x->{downSince}, $j->{down}[0]{since}, 'down: since when');
cmp_ok($x->{lastFailure}, 'ge', $x->{downSince}, 'down: the last failure');
ok(!exists $y->{downSince} && !exists $y->{lastFailure}, 'down: not another');
is(location('/v1/events')->{failed}, 1, 'down: failed events');

my $bad = get($p, '/status/')->body();

like($bad, qr!<span class="degraded">degraded</span>!, 'down: on the page');
like($bad, qr!data-label="Down since" class="bad"><strong>\xe2\x9a\xa0!,
    'down: is marked, not by a color alone');

# one that refuses an event, and is there again

$m->set('/to/a', status => 422);

send_events(200, '/v1/events', { id => 'f', source => 'known:1' });

$x = location('/v1/events')->{destinations}[0];

is(location('/v1/events')->{dead}, 1, 'dead: events');
is($x->{lastFailureStatus}, 422, 'dead: the last failure');
ok(!exists $x->{downSince}, 'dead: it is up');

ok(wait_for(sub {
    $j = get($p, '/status')->json();
    return ($j->{deadLetters}[0]{records} // 0) == 1;
}, 20), 'dead: the letter');

my ($letter, $file) = ($j->{deadLetters}[0], $t->testdir() . '/dead.jsonl');

is($letter->{file}, $file, 'dead: its file');
is($letter->{bytes}, -s $file, 'dead: its size');
cmp_ok($letter->{oldestAge}, '<', 300, 'dead: its age');

###############################################################################

for my $place (@places) {
    my ($uri, $accept, $is) = @$place;

    $r = get($p, $uri, headers => defined $accept ? { Accept => $accept }
                                                  : {});

    is($r->status() != 200 ? $r->status()
        : $r->header('Content-Type') =~ m!^text/html! ? 'html' : 'json', $is,
        "$uri, Accept " . ($accept // 'none'));
}

###############################################################################

# the page

$r = get($p, '/status', headers => $html);

my $page = $r->body();

is($r->header('Content-Type'), 'text/html; charset=utf-8', 'page, type');
is($r->header('X-Content-Type-Options'), 'nosniff', 'page, no sniffing');
is(well_formed($page), '', 'page, every element ends');
is(well_formed('<p><b>x</p></b>'), '</p> ends <b>', 'the check can fail');
is(well_formed('<p>a & b</p>'), 'text "& b"', 'it can fail for a text');

my ($style) = $page =~ m!<style>(.*?)</style>!s;
my $digest = sha256_base64($style);

$digest .= '=' while length($digest) % 4;

is($r->header('Content-Security-Policy'), "default-src 'none'; style-src "
    . "'sha256-$digest'; base-uri 'none'; form-action 'none'; "
    . "frame-ancestors 'none'", 'page, its own style sheet alone');
unlike($page, qr/<(?:script|link|img|iframe)|\son\w+=|\sstyle=|url\(/i,
    'page, nothing from elsewhere');
like($style, qr/prefers-color-scheme:dark/, 'page, dark mode');
like($page, qr/<meta name="viewport" content="width=device-width/,
    'page, phones');

like($page, qr!<h1><bdi>\Q$node->{host}\E</bdi>: <span class="healthy">!,
    'page, the verdict');
like($page, qr!<dt>Generation</dt><dd>1</dd>!, 'page, a fact of the node');
like($page, qr!data-label="Window">1 d 2 h<!, 'page, a length of time');
like($page, qr!data-label="Slots">\d{1,3}(?:,\d{3})+<!, 'page, a number');
like($page, qr!data-label="Usable">yes<!, 'page, a truth');
like($page, qr!<bdi>eb.test</bdi> <bdi>/v1/events</bdi> </h3>!,
    'page, a location');
like($page, qr!data-label="Statuses">2xx: 1, 4xx: 1, 5xx: 1<!,
    'page, answers of a destination');
like($page, qr!data-label="File"><bdi>\S+/dead.jsonl</bdi><!,
    'page, a dead letter');
like($page, qr!<h2>Destinations that are down</h2>\n<p class="none">None!,
    'page, an empty list');

unlike($page, qr/http-equiv="refresh"/, 'page, stays as it is');
unlike(get($p, '/status/?refresh=1')->body(), qr/http-equiv="refresh"/,
    'page, by another number too');
like(get($p, '/status/?refresh=5')->body(),
    qr!<meta http-equiv="refresh" content="5"/>!, 'page, refreshed');

# names that are not meant well

unlike($page, qr!<script|<b>|</td><script!, 'hostile names');
like($page, qr!<bdi>\Q&lt;/td&gt;&lt;script/src=&#39;//x&#39;&gt;\E</bdi>!,
    'a hostile route');
like($page, qr!<bdi>\Q/to/&lt;b&gt;&amp;&quot;&#39;\E</bdi>!,
    'a hostile destination');
like($page, qr!\Q&lt;script&gt;alert\E\S*\Q&amp;amp;&#39;&quot;(x|y)\E!,
    'a hostile location');
is(scalar(grep { $_->{route} eq "</td><script/src='//x'>" }
    map { @{$_->{routes}} } @{$j->{locations}}), 1, 'as it is in JSON');

###############################################################################

# methods

for my $uri ('/status', '/status/') {
    my $c = client($p);

    $r = $c->request(method => 'HEAD', path => $uri);

    is($r->status(), 200, "HEAD $uri");
    cmp_ok($r->header('Content-Length'), '>', 1000, "HEAD $uri, length");
    is($c->request(method => 'GET', path => '/only')->json()->{status},
        'healthy', "HEAD $uri, no body");

    $r = post($p, $uri, '{}');

    is($r->status(), 405, "POST $uri");
    is($r->header('Allow'), 'GET, HEAD', "POST $uri, what is allowed");
}

# access

my %far = ('X-Real-IP' => '192.0.2.1');

is(get($p, $_, headers => \%far)->status(), 403, "$_, from elsewhere")
    for '/status', '/status/', '/status/x';
is(get($p, '/open/', headers => \%far)->status(), 200, 'protected');
is(get($p, '/key', headers => \%far)->status(), 401, 'without the key');
is(get($p, '/key', headers => { %far, 'X-Key' => 'a-key-of-someone' })
    ->status(), 200, 'with the key');

unlike(get($p, $_)->body(), qr/s3cret|a-key-of|somebody/, "$_, no secrets")
    for '/status', '/status/';

# a reload: another generation, and the figures go on

# with much more in it, and of the worst kind

my $worst = '"/to/' . '<&' x 100 . '%d"';

$conf .= "    server {\n        listen 127.0.0.1:%%PORT_3%%;\n"
    . "        eventbridge_checkpoint off;\n"
    . "        location /to/ { internal; return 200; }\n"
    . join('', map {
        my $n = $_;

        "        location \"/$n" . '<&' x 120 . "\" {\n"
        . "            eventbridge_ingest;\n"
        . join('', map { '            eventbridge_route '
            . sprintf($worst, $n * 8 + $_) . " name=n$_;\n" } 1 .. 8)
        . "        }\n" } 1 .. 40)
    . "    }\n";

$t->conf($conf)->reload();

$j = get($p, '/status')->json();

is($j->{node}{generation}, 2, 'reload, generation');
is($j->{node}{started}, $node->{started}, 'reload, started');
cmp_ok($j->{node}{configured}, 'ge', $node->{configured},
    'reload, configured');
is(location('/v1/events')->{received}, 8, 'reload, figures go on');
is(scalar(map { @{$_->{destinations}} } @{$j->{locations}}), 3 + 1 + 1 + 320,
    'reload, many destinations');

$page = get($p, '/status/')->body();

is(well_formed($page), '', 'reload, a large page');
is(scalar(() = $page =~ m!<article>!g), 43, 'reload, all locations');
cmp_ok(length($page), '>', 500_000, 'reload, its size');

$t->stop();

###############################################################################

sub location {
    my ($name) = @_;

    my ($found) = grep { $_->{location} eq $name }
        @{get($p, '/status')->json()->{locations}};

    return $found;
}


sub figures {
    my ($of, @names) = @_;

    return join(' ', map { $of->{$_} } @names);
}


sub send_events {
    my ($status, $uri, @events) = @_;

    my $got = post($p, $uri, JSON::PP::encode_json({ events => [
        map { { type => 't', %$_ } } @events ] }));

    is($got->status(), $status, "$uri, sent " . @events);
}


# what is wrong with a text as XML, or nothing

sub well_formed {
    my ($text) = @_;

    my @open;

    $text =~ s/^<!DOCTYPE html>\n//;

    while ($text =~ m/\G(?:<([^<>]*)>|([^<]+))/gc) {
        my ($tag, $chars) = ($1, $2);

        if (defined $chars) {
            return "text \"$1\""
                if $chars =~ /([>].*|&(?!(?:lt|gt|amp|quot|\#39);).{0,2})/;
            next;
        }

        if ($tag =~ m!^/(\w+)$!) {
            my ($name, $last) = ($1, pop @open // '');

            return "</$name> ends <$last>" if $last ne $name;
            next;
        }

        return "tag <$tag>"
            if $tag !~ m!^(\w+)(?:\s[\w-]+="[^"<>]*")*(/?)$!;

        push @open, $1 if $2 eq '';
    }

    return 'rest ' . substr($text, pos($text) // 0, 20)
        if (pos($text) // 0) < length($text);

    return join(',', @open);
}
