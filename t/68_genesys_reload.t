#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Reloads that change a declared subscription: each is written at once, though
# workers of the old cycle may look at it meanwhile, with old settings.

###############################################################################

use warnings;
use strict;

use Test::More;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;

###############################################################################

my $t = Test::EventBridge->new(workers => 8, log_level => 'debug')->plan(4);

my $g = $t->genesys(1);
my $port = $t->port(0);
my $lines = "endpoint https://in.example.com/v1/events;\nsources a;";

$t->write_file('secret', "the-client-secret\n", 0640);
$g->client('client-1', 'the-client-secret');

conf("$lines\nretention 30d;");
$t->run();

ok(wait_for(sub { health()->{status} eq 'healthy' }, 20), 'it is made');

# none of many reloads is lost on a worker of the old cycle

my @lost;

for my $days (31 .. 110) {
    conf("$lines\nretention ${days}d;");
    $t->reload(keep_old => 1) or last;

    wait_for(sub {
        $g->named(subscriptions => 'events')->{retentionPeriodDays} == $days
    }, 3) or push @lost, $days;
}

is("@lost", '', 'each change is written at once');
is($g->named(subscriptions => 'events')->{retentionPeriodDays}, 110,
    'and so is the last one');
is(scalar(() = $g->objects('subscriptions')), 1, 'there is one');

###############################################################################

sub text {
    my ($text, $more) = @_;
    my $ca = $g->ca();

    return <<"EOF";
http {
    eventbridge_stats_file %%TESTDIR%%/stats;

    eventbridge_genesys_subscription events {
        genesys org;
        $text
    }

    eventbridge_genesys org {
        api_url https://localhost:%%PORT_1%%;
        login_url https://localhost:%%PORT_1%%;
        client_id client-1;
        client_secret_file %%TESTDIR%%/secret;
        trusted_certificate $ca;
        timeout 20s;
        retries 1;
        $more
    }

    server {
        listen 127.0.0.1:%%PORT_0%%;
        client_max_body_size 2m;

        location = /health { eventbridge_health; }
        location = /metrics { eventbridge_metrics; }

        location = /in {
            eventbridge_ingest;
            eventbridge_unrouted drop;
            eventbridge_route /to/a source=^none;
        }

        location = /off {
            eventbridge_ingest;
            eventbridge_rate off;
            eventbridge_route /to/a source=^none;
        }

        location = /own {
            eventbridge_ingest;
            eventbridge_rate 10000r/s;
            eventbridge_route /to/a source=^none;
        }

        location /to/ { internal; return 204; }
    }
}
EOF
}

sub conf {
    my ($text, $more) = @_;
    return $t->conf(text("check 1h;\n$text", $more // ''));
}

sub health {
    my $r = get($port, '/health');
    return $r->json() // {};
}

###############################################################################
