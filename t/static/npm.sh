#!/bin/bash

# Installs what t/npm/package.json names into build/npm, where tests look for
# it, unless it is there.

set -eu

dir=build/npm

if cmp -s t/npm/package.json $dir/installed.json; then
    exit 0
fi

mkdir -p $dir
cp t/npm/package.json $dir/package.json

echo "installing packages of t/npm/package.json into $dir"

# versions are exact there, and nothing of a package is run; where there is no
# registry in reach, tests that need them say so, and are skipped
if ! npm install --prefix $dir --no-package-lock --no-audit --no-fund \
    --ignore-scripts --omit=dev --loglevel=error
then
    echo "packages of t/npm/package.json could not be installed: tests of" \
         "senders that others have written are left out" >&2
    rm -rf $dir
    exit
fi

cp t/npm/package.json $dir/installed.json
