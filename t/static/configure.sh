#!/bin/bash

# Configures the module against an nginx source tree, out of that tree:
#
#     configure.sh SOURCE DIR [CC_OPT [LD_OPT]]
#
# DIR/tree becomes a tree of links to SOURCE, for nginx's scripts write into
# the current directory, and DIR/objs what auto/configure makes.  All names
# are relative: nginx's own scripts take neither spaces nor ".c" in a path.
#
# nginx-dev of Debian comes with the flags that its nginx was configured
# with, in conf_flags; any other tree gets NGINX_FLAGS.

set -eu

src=$(cd "$1" && pwd)
cc_opt=${3:-}
ld_opt=${4:-}

if ! test -f "$src/src/core/nginx.h"; then
    echo "$src is no nginx source tree" >&2
    exit 1
fi

# the way back from DIR/tree to the module
module=$PWD
mkdir -p "$2/tree" "$2/objs"
cd "$2/tree"
up=$(realpath --relative-to=. "$module")

find . -maxdepth 1 -type l -delete

for name in "$src"/*; do
    case ${name##*/} in
        Makefile | objs) ;;
        *) ln -s "$name" . ;;
    esac
done

# a checkout of nginx keeps the script in auto/
configure=./configure
test -f $configure || configure=auto/configure

declare -a NGX_CONF_FLAGS

if test -f conf_flags; then
    . ./conf_flags
else
    read -r -a NGX_CONF_FLAGS <<< "${NGINX_FLAGS:-}"
fi

# configure runs small programs of its own; some of them leak
export ASAN_OPTIONS=detect_leaks=0

log=../configure.log

if ! $configure "${NGX_CONF_FLAGS[@]}" \
                --with-cc="${CC:-cc}" \
                --with-cc-opt="$cc_opt" \
                --with-ld-opt="$ld_opt" \
                --builddir=../objs \
                --add-dynamic-module="$up" \
                > $log 2>&1
then
    # the reason is at the end; what was tried is in autoconf.err
    tail -n 20 $log >&2
    rm -f ../objs/Makefile
    exit 1
fi

# an unchanged file keeps its time, and what depends on it stays as it is
touch ../objs/Makefile
