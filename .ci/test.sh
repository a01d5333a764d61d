#!/bin/bash
# make test: installs what the tests use, builds what they start, runs all of them and ends with one clear line.
set -eu -o pipefail
cd "$(dirname "$0")/.."
.ci/need.sh build
.ci/need.sh test || echo "going on without: tests that need them say \"skipped\""
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
mkdir -p "$target"
log=$target/test.log
# Cargo hides what passing tests print; the harness also writes each skip here.
export ANYPROXY_SKIPPED=$target/test.skipped
: >"$ANYPROXY_SKIPPED"
began=$SECONDS

echo "== build: host and modules"
cargo build
if [ -f tests/third-party/Cargo.toml ]; then
    # Outsiders do not have the host's compiler. Another one is used where there is one.
    toolchain=
    if command -v rustup >/dev/null && rustup toolchain list | grep -q '^nightly'; then toolchain=+nightly; fi
    echo "== build: tests/third-party with ${toolchain:-the default toolchain}"
    # Its own target directory, whatever the main one is: the tests look for it there.
    third_party() { (cd tests/third-party && env -u RUSTFLAGS CARGO_TARGET_DIR=target cargo $toolchain "$@"); }
    third_party build --workspace
fi

echo "== test"
status=0
cargo test --workspace --no-fail-fast "$@" 2>&1 | tee "$log" || status=$?
if [ -f tests/third-party/Cargo.toml ]; then
    echo "== test: tests/third-party"
    third_party test --workspace --no-fail-fast "$@" 2>&1 | tee -a "$log" || status=$?
fi

echo
awk '/^test result:/ { passed += $4; failed += $6; ignored += $8 }
     END { printf "tests: %d passed, %d failed, %d ignored", passed, failed, ignored }' "$log"
echo " in $((SECONDS - began)) s"
if [ -s "$ANYPROXY_SKIPPED" ]; then sort -u "$ANYPROXY_SKIPPED"; fi
if [ $status = 0 ]; then
    echo "make test: PASSED"
else
    sed -n 's/^test \(.*\) \.\.\. FAILED.*/failed: \1/p' "$log" | sort -u
    grep -E '^error(\[|:)' "$log" | sort -u | head -n 20 || true
    echo "make test: FAILED (all output: $log)"
fi
exit $status
