#!/bin/bash

# Starts and stops the example that "make run" shows: run.sh start MODULE,
# run.sh stop.

set -eu

prefix=$PWD/build/run
url=http://127.0.0.1:8080

stop() {
    local pid

    test -f "$prefix/nginx.pid" || return 0
    pid=$(<"$prefix/nginx.pid")

    # the number may belong to somebody else by now
    if ! grep -qz -- "$prefix" "/proc/$pid/cmdline" 2>/dev/null; then
        rm -f "$prefix/nginx.pid"
        return 0
    fi

    kill -QUIT "$pid"

    if ! timeout 10 tail --pid="$pid" -f /dev/null; then
        kill -TERM "$pid"
        timeout 10 tail --pid="$pid" -f /dev/null
    fi

    echo "stopped"
}

start() {
    local module=$PWD/$1

    stop
    mkdir -p "$prefix"

    PATH=$PATH:/usr/sbin nginx -p "$prefix" -e error.log \
        -c "$PWD/conf.examples/quickstart.conf" \
        -g "load_module '$module';"

    if ! timeout 20 curl -sf -o /dev/null --retry 20 --retry-delay 1 \
              --retry-connrefused --max-time 5 "$url/health"
    then
        tail -n 20 "$prefix/error.log" >&2
        stop
        echo "nginx does not answer at $url/health" >&2
        exit 1
    fi

    cat <<END
nginx runs with conf.examples/quickstart.conf. Post a batch, twice:

    curl -sS -H 'Content-Type: application/json' \\
         --data-binary @conf.examples/batch.json $url/v1/events

build/run/delivered.jsonl   what the destination received
build/run/audit.jsonl       what became of each event
build/run/error.log         nginx's log
$url/metrics
$url/health

"make stop" stops it.
END
}

case ${1:-} in
    start) start "$2" ;;
    stop)  stop ;;
    *)     echo "usage: run.sh start MODULE | stop" >&2; exit 2 ;;
esac
