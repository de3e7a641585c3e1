#!/bin/bash

# Builds the Debian package in a copy, for dpkg-buildpackage writes next to
# the source: deb.sh DIR

set -eu

name=libnginx-mod-http-eventbridge
rm -rf "$1"
mkdir -p "$1/$name"

cp -R CHANGES LICENSE README.md conf.examples config debian docs src \
    "$1/$name/"

cd "$1/$name"
dpkg-buildpackage -us -uc -b

ls -l ../*.deb
