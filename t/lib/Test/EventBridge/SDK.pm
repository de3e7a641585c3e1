package Test::EventBridge::SDK;

# Copyright (C) the ngx_http_eventbridge_module authors

# What tests need that run the packages of t/npm; of the AWS SDK, an access key
# with a secret of its own, too.

###############################################################################

use warnings;
use strict;

use Exporter qw/ import /;

use Test::More;

our @EXPORT_OK = qw/ aws_sdk npm_modules /;

###############################################################################

# The directory of the packages; without this one the test is skipped.

sub npm_modules {
    my ($t, $package) = @_;

    my $modules = $t->root() . '/build/npm/node_modules';

    plan(skip_all => "npm could not install $package")
        if !-d "$modules/$package";

    return $modules;
}

# The secret of the key AKIDEXAMPLE, which is the only one in the file "aws" of
# the test's directory.

sub aws_sdk {
    my ($t) = @_;

    $ENV{NODE_PATH} = npm_modules($t, '@aws-sdk/client-eventbridge');
    $ENV{AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE} = 1;

    my @chars = ('a' .. 'z', 'A' .. 'Z', 0 .. 9, '/', '+');
    my $secret = join '', map { $chars[rand @chars] } 1 .. 40;

    $t->secret($secret);
    $t->secret_file('aws', "AKIDEXAMPLE:$secret\n");

    return $secret;
}

###############################################################################

1;
