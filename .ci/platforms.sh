#!/bin/bash
# make check-platforms: type-checks the Rust of everything but eBPF for other systems, as far as this machine can.
set -eu
cd "$(dirname "$0")/.."
.ci/need.sh build
status=0
for triple in x86_64-pc-windows-gnu aarch64-apple-darwin; do
    echo "== $triple"
    # Dependencies with C code want a compiler for that system, though nothing is linked.
    name=${triple//-/_}
    for tool in CC AR; do
        declare -x "${tool}_$name=$(printenv "${tool}_$name" || echo "$PWD/.ci/no-compiler")"
    done
    if ! command -v rustup >/dev/null; then
        echo "skipped: no rustup on this machine"
    elif ! timeout 300 rustup target add "$triple" >/dev/null 2>&1; then
        echo "skipped: rustup target add $triple does not work on this machine"
    elif cargo check --target "$triple" --workspace --exclude anyproxy-tests --exclude anyproxy-ebpf --exclude anyproxy-ebpf-dylib; then
        echo "$triple: checked"
    else
        status=1
    fi
done
if [ $status = 0 ]; then echo "make check-platforms: PASSED"; else echo "make check-platforms: FAILED"; fi
exit $status
