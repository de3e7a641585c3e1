package Test::EventBridge::SDK;

# Copyright (C) the ngx_http_eventbridge_module authors

# What tests that run the AWS SDK need: the packages of t/npm, and an access
# key with a secret of its own.

###############################################################################

use warnings;
use strict;

use Exporter qw/ import /;

our @EXPORT_OK = qw/ aws_sdk /;

###############################################################################

# The secret of the key AKIDEXAMPLE, which is the only one in the file "aws" of
# the test's directory.

sub aws_sdk {
    my ($t) = @_;

    my $modules = $t->root() . '/build/npm/node_modules';

    -d "$modules/\@aws-sdk/client-eventbridge"
        or die "no AWS SDK in $modules: make deps-test\n";

    $ENV{NODE_PATH} = $modules;
    $ENV{AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE} = 1;

    my @chars = ('a' .. 'z', 'A' .. 'Z', 0 .. 9, '/', '+');
    my $secret = join '', map { $chars[rand @chars] } 1 .. 40;

    $t->secret($secret);
    $t->secret_file('aws', "AKIDEXAMPLE:$secret\n");

    return $secret;
}

###############################################################################

1;
