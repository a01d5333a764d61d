#!/bin/bash
# make lint: rustfmt, clippy over everything, each module by itself, cargo deny where it is installed.
set -eu
cd "$(dirname "$0")/.."
.ci/need.sh build

echo "== rustfmt"
cargo fmt --all --check
if [ -f tests/third-party/Cargo.toml ]; then (cd tests/third-party && cargo fmt --all --check); fi

echo "== clippy"
cargo clippy --workspace --all-targets -- -D warnings
# What the modules of others test theirs with.
cargo clippy -p anyproxy-http-contract --all-targets --features testing -- -D warnings

# Features unify over what is built together: a module may compile only because the host turned something on.
for manifest in modules/*/Cargo.toml; do
    id=$(basename "$(dirname "$manifest")")
    echo "== clippy: $id by itself"
    cargo clippy -p "anyproxy-$id" -- -D warnings
    if [ -d "modules/$id/dylib" ]; then cargo clippy -p "anyproxy-$id-dylib" -- -D warnings; fi
done

echo "== cargo deny"
if cargo deny --version >/dev/null 2>&1; then
    cargo deny --all-features check
else
    echo "skipped: cargo-deny is not installed (cargo install cargo-deny --locked)"
fi
echo "make lint: PASSED"
