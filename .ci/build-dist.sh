#!/bin/bash
# build-dist.sh [CARGO'S OPTIONS]: builds what is shipped and measured (profile dist) to target/dist, laid out by the profile of
# a running proxy: it is built with counters, put under the loads of tests/bench/train.py, and built again (decision 0021).
# Where that is not possible it says why and builds without. With PROFILE=0 too: half the time, for trying something out.
set -eu
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
host=$(rustc -vV | sed -n 's/^host: //p')
merge=$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata
counted=$target/profile/$host/dist

plain() {
    echo "built without a profile: $1"
    shift
    exec cargo build --profile dist "$@"
}

[ "${PROFILE:-1}" != 0 ] || plain "as was asked" "$@"
[ -x "$merge" ] || rustup component add llvm-tools >/dev/null 2>&1 || true
[ -x "$merge" ] || plain "there is no llvm-profdata (rustup component add llvm-tools)" "$@"
tests/bench/setup.sh || plain "what the loads need is not there" "$@"

# With --target both times, so that the flags are not those of build scripts and macros, and the names are the same.
raw=$target/profile/raw
# One of an earlier build, where it is not built now, would be put under the loads with configurations that it does not know.
rm -f "$counted/anyproxy-static"
RUSTFLAGS="-Cprofile-generate=$raw" cargo build --profile dist --target "$host" --target-dir "$target/profile" "$@"
used=$target/profile/used.profdata
if [ ! -e "$used" ] || [ -n "$(find "$counted" -maxdepth 1 -type f -newer "$used" -perm -u+x)" ]; then
    rm -rf "$raw"
    tests/bench/train.py "$counted/anyproxy" || plain "the loads failed" "$@"
    "$merge" merge -o "$used.new" "$raw"/*.profraw
    mv "$used.new" "$used"
fi
# By its content, so that cargo sees when it is another.
named=$target/profile/used/$(sha256sum "$used" | cut -c1-16).profdata
if [ ! -e "$named" ]; then
    rm -rf "$target/profile/used"
    mkdir "$target/profile/used"
    cp "$used" "$named"
fi
RUSTFLAGS="-Cprofile-use=$named" cargo build --profile dist --target "$host" "$@"
mkdir -p "$target/dist"
find "$target/$host/dist" -maxdepth 1 -type f -perm -u+x -exec install -t "$target/dist" {} +
