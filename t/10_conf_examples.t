#!/usr/bin/perl

# Copyright (C) the ngx_http_eventbridge_module authors

# Every file of conf.examples, and every block of nginx configuration in the
# documents, is loaded by nginx -t.
#
# A block is a whole file, or its first line says where it belongs: "# main",
# "# http", "# server" or "# location"; without such a line, the places are
# tried in turn.  What a fragment refers to without declaring it (a checkpoint
# zone, an upstream, a destination) is added around it.  Paths, privileged
# ports and big zones become ones that a test may have.

###############################################################################

use warnings;
use strict;

use Test::More;

use File::Basename qw/ dirname /;
use File::Path qw/ make_path /;
use FindBin;
use lib "$FindBin::Bin/lib";

use Test::EventBridge;
use Test::EventBridge::Util qw/ read_file /;

###############################################################################

my $t = Test::EventBridge->new();
my $root = "$FindBin::Bin/..";
my $dir = $t->testdir();

# of any method of eventbridge_auth
my $secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

my @blocks;

for my $file (sort glob "$root/conf.examples/*.conf") {
    push @blocks, [ $file =~ s/^\Q$root\E\///r, read_file($file) ];
}

my $files = @blocks;

for my $file ("$root/README.md", sort glob "$root/docs/*.md") {
    my $name = $file =~ s/^\Q$root\E\///r;
    my $text = read_file($file);

    while ($text =~ /^```nginx\n(.*?)^```$/msg) {
        my ($block, $before) = ($1, substr($text, 0, $-[1]));
        push @blocks, [ "$name:" . ($before =~ tr/\n// + 1), $block ];
    }
}

$t->plan(6 + @blocks);

###############################################################################

# what is wrong is found, wherever it stands

for my $bad ("# http\n\neventbridge_nothing on;\n",
    "# location\n\neventbridge_route_policy some;\n",
    "# server\n\nlocation = /a { eventbridge_ingest on; }\n",
    "eventbridge_nothing on;\n")
{
    my ($rc, $out) = load($bad);
    my ($name) = $bad =~ /(eventbridge_\w+)/;

    # for that reason, and not for another
    ok($rc > 0 && $out =~ /"$name"/, 'self-test: ' . $bad =~ s/\n+/ /gr)
        or diag($out);
}

cmp_ok($files, '>', 0, 'there are examples');
cmp_ok(@blocks - $files, '>', 10, 'there are blocks in the documents');

for my $block (@blocks) {
    my ($name, $text) = @$block;
    my ($rc, $out) = $text =~ /;/ ? load($text) : (-1, 'an empty block');

    is($rc, 0, $name) or diag($out);
}

###############################################################################

# Exit code and output of nginx -t.

sub load {
    my ($text) = @_;
    my ($rc, $out, @places);

    @places = $text =~ /^# (main|http|server|location)\n/ ? $1
        : $text =~ /^\s*http\s*\{/m ? 'main'
        : qw/ http server location main /;

    for my $place (@places) {
        ($rc, $out) = $t->test_config(whole(local_names($text), $place));
        last if $rc == 0;
    }

    return ($rc, $out);
}

# A configuration around a fragment.

sub whole {
    my ($text, $place) = @_;

    if ($place eq 'main') {
        $text = "$text\nhttp {\n}\n" if $text !~ /^\s*http\s*\{/m;
        return $text;
    }

    if ($place eq 'location') {
        my $ingest = $text =~ /^\s*eventbridge_(?:ingest|metrics|health)\b/m
            ? '' : "eventbridge_ingest;\n";
        my $route = $text =~ /^\s*eventbridge_(?:route|metrics|health)\s/m
            ? '' : "eventbridge_route /to/a;\n";

        $text = "location = /v1/events {\n$ingest$route$text\n}\n";
        $place = 'server';
    }

    if ($place eq 'server') {
        $text = "server {\nlisten 127.0.0.1:8080;\n$text\n"
            . destinations($text) . "}\n";
    }

    return missing($text) . $text;
}

# Locations of the destinations that a server names and does not have.

sub destinations {
    my ($text) = @_;
    my (%to, $out);

    $to{$_} = 1 for $text =~ m,^\s*eventbridge_route\s+(/[\w/.-]+),mg;
    $to{$_} = 1 for $text =~ m,\balternate=(/[\w/.-]+),g;
    $to{$_} = 1 for $text =~ m,^\s*eventbridge_unrouted\s+(/[\w/.-]+),mg;
    $out = '';

    for my $uri (sort keys %to) {
        next if grep { index($uri, $_) == 0 }
            $text =~ m,\blocation\s+(?:\^~\s+|=\s+)?(/[\w/.-]+),g;
        $out .= "location = $uri { internal; proxy_pass http://dest; }\n";
    }

    return $out;
}

# Zones and upstreams that are named and not declared.

sub missing {
    my ($text) = @_;
    my (%zones, %names, $out);

    $text =~ s/#.*$//mg;
    $out = '';

    $zones{$_} = 1 for $text =~ /\beventbridge_checkpoint\s+(\w+)/g;
    delete $zones{off};
    delete $zones{$_} for $text =~ /\bzone=(\w+):/g;

    $out .= "eventbridge_checkpoint_zone zone=$_:1m path=$dir/$_.ckpt;\n"
        for sort keys %zones;

    $names{$_} = 1 for "$text proxy_pass http://dest;"
        =~ m,\bproxy_pass\s+https?://([a-z][\w.-]*)[/;],g;
    delete $names{$_} for $text =~ /\bupstream\s+([\w.-]+)/g;

    $out .= "upstream $_ { server 127.0.0.1:9; }\n" for sort keys %names;

    return $out;
}

# What a test may not have, or what the harness sets itself.

sub local_names {
    my ($text) = @_;

    $text =~ s/^\s*load_module\s[^;]*;//mg;
    $text =~ s/^\s*(?:user|pid|daemon|error_log)\s[^;]*;//mg;
    $text =~ s/^\s*\w+_temp_path\s[^;]*;//mg;

    $text =~ s/^(\s*listen\s+)(?:\[::\]:|\*:)?(443|80)\b/${1}127.0.0.1:8$2/mg;
    $text =~ s/^\s*listen\s+\[[^;]*;//mg;

    # a host name would be resolved; within an upstream nothing is connected
    $text =~ s/^(\s*server\s+)[a-z][\w-]*\.[\w.-]+/${1}127.0.0.1/mg;

    $text =~ s/\b(zone=\w+):\d+[mg]/$1:1m/g;

    $text =~ s{(?<=[\s=])(/(?:etc|run|srv|usr|var)/[\w./-]+)}{place($1)}ge;
    $text =~ s{^(\s*\w*ssl_\w*certificate(_key)?\s+)[^;]+;}
              {$1 . certificate($2) . ';'}gme;

    return $text;
}

sub place {
    my ($path) = @_;
    my $file = "$dir/root$path";

    make_path($file =~ m,/$, ? $file : dirname($file));

    if ($path =~ m,^/etc/, && !-e $file) {
        open my $fh, '>', $file or die "open $file: $!\n";
        print $fh "sender:$secret\n" if $path =~ m,/(?:keys|secrets|aws)\b,;
        print $fh "secret\n" if $path =~ m,[-.]secret$,;
        close $fh;
        chmod 0640, $file;
    }

    return $file;
}

sub certificate {
    my ($key) = @_;

    if (!-f "$dir/localhost.key") {
        my $out = `openssl req -x509 -newkey rsa:2048 -nodes -days 2 \\
            -subj /CN=localhost -keyout '$dir/localhost.key' \\
            -out '$dir/localhost.crt' 2>&1`;
        die "openssl: $out\n" if $?;
    }

    return $key ? "$dir/localhost.key" : "$dir/localhost.crt";
}

###############################################################################
