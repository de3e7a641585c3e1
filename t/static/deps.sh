#!/bin/bash

# Installs the Debian packages that are missing, and only those, and for tests
# the packages of t/npm:
#
#     deps.sh run|test|check|asan|valgrind|bench ...

set -eu

run="gcc g++ make curl nginx nginx-dev libpcre2-dev libssl-dev zlib1g-dev
     libsimdjson-dev libxxhash-dev libcurl4-openssl-dev"

# libclang-rt-dev has the run time of the sanitizers and of libFuzzer
test="$run perl openssl clang libclang-rt-dev"

# some packages of Node.js bring their own npm
command -v npm >/dev/null || test="$test nodejs npm"

check="$test clang-tidy cppcheck"

asan="$test dpkg-dev patch"

valgrind="$test valgrind"

bench="$test libnginx-mod-http-lua lua-cjson"

deb="$run dpkg-dev debhelper"

missing=

for list in "$@"; do
    for package in ${!list}; do
        status=$(dpkg-query -W -f '${db:Status-Status}' "$package" \
                     2>/dev/null || true)

        case " $missing " in
            *" $package "*) continue ;;
        esac

        test "$status" = installed || missing="$missing $package"
    done
done

# clients that others have written, for the tests that they take part in
clients() {
    for list in "$@"; do
        case "$list" in
            test|asan|valgrind) t/static/npm.sh && return ;;
        esac
    done
}

if test -z "$missing"; then
    clients "$@"
    exit
fi

if ! command -v apt-get >/dev/null; then
    echo "no apt-get here; of these Debian packages the equivalent is" \
         "needed:$missing" >&2
    exit 1
fi

sudo=
test "$(id -u)" -eq 0 || sudo="sudo"

apt() {
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get -y -q \
        --no-install-recommends "$@"
}

echo "installing:$missing"

# the lists of packages may be missing or old: only then they are fetched

if ! apt install $missing; then
    apt update
    apt install $missing
fi

clients "$@"
