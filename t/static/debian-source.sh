#!/bin/bash

# Fetches the source of Debian's nginx package, as it is installed here, or of
# another release of its version when the archive has that one no longer:
#
#     debian-source.sh DIR
#
# gives DIR/nginx.  apt reads a list of sources of its own, made from the
# system's entries, and keeps its state in DIR: nothing in /etc or /var is
# changed, and no privileges are needed.

set -eu

mkdir -p "$1"
dir=$(cd "$1" && pwd)

version=$(dpkg-query -W -f '${Version}' nginx)

if test -f "$dir/version" && test "$(<"$dir/version")" = "$version"; then
    exit 0
fi

rm -rf "$dir"
mkdir -p "$dir/sources.d" "$dir/lists/partial"

# an entry of either format that mentions Debian's own archive, with "deb"
# replaced by "deb-src"; entries of other vendors do not have nginx

for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
    test -f "$file" || continue

    case $file in
        *.list)
            sed -n '/debian\.org\|\/debian/s/^deb /deb-src /p' "$file" \
                > "$dir/sources.d/${file##*/}"
            ;;

        *.sources)
            grep -q '^URIs:.*/debian' "$file" || continue
            sed 's/^Types:.*/Types: deb-src/' "$file" \
                > "$dir/sources.d/${file##*/}"
            ;;
    esac
done

options=(
    -q
    -o Dir::Etc::sourcelist=/dev/null
    -o Dir::Etc::sourceparts="$dir/sources.d"
    -o Dir::State::lists="$dir/lists"
    -o Dir::Cache="$dir"
    -o APT::Sandbox::User="$(id -un)"
)

apt-get "${options[@]}" update

cd "$dir"

others=$(apt-cache "${options[@]:1}" showsrc nginx \
    | sed -n 's/^Version: //p' | sort -Vru)

for release in "$version" $others; do
    if apt-get "${options[@]}" source "nginx=$release"; then
        break
    fi
done

# modules are loaded by an nginx of the very version

mv "nginx-${version%%-*}/" nginx
echo "$version" > version
