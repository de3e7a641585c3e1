#!/bin/bash

# Runs each fuzz target with the given options of libFuzzer, from the seeds
# in t/fuzz/NAME.seeds (if any) and the corpus that grows in build/corpus.
# What is found lands in build/fuzz as NAME-crash-...

set -eu

count=0

for file in t/fuzz/*.c; do
    test -f "$file" || continue
    name=$(basename "$file" .c)
    dirs=("build/corpus/$name")
    mkdir -p "${dirs[0]}"

    if test -d "t/fuzz/$name.seeds"; then
        dirs+=("t/fuzz/$name.seeds")
    fi

    options=(-timeout=10 -rss_limit_mb=2048 -print_final_stats=1
             "-artifact_prefix=build/fuzz/$name-")

    if test -f "t/fuzz/$name.dict"; then
        options+=("-dict=t/fuzz/$name.dict")
    fi

    echo "fuzzing $name"
    "build/fuzz/$name" "${options[@]}" "$@" "${dirs[@]}"
    count=$((count + 1))
done

# a run without targets must not look like a success
test "$count" -gt 0 || { echo "no fuzz targets" >&2; exit 1; }
