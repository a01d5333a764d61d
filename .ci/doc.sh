#!/bin/bash
# make doc: the reference pages out of the directive tables, the book around them, and rustdoc of module-api.
set -eu
cd "$(dirname "$0")/.."
.ci/need.sh build
target=${CARGO_TARGET_DIR:-target}
pages=doc/src/directives

cargo build --release
echo "== $pages"
mkdir -p "$pages"
# One page for each module, the host's own as host.md; the names of the pages are printed.
written=$("$target/release/anyproxy" directives --markdown "$pages")
echo "$written"
for page in $written; do
    grep -q "(directives/$page)" doc/src/SUMMARY.md || { echo "doc/src/SUMMARY.md does not link directives/$page" >&2; exit 1; }
done

echo "== book"
if command -v mdbook >/dev/null; then
    mdbook build doc
else
    echo "skipped: mdbook is not installed (cargo install mdbook --locked); the pages in doc/src read as they are"
fi

echo "== rustdoc of module-api"
RUSTDOCFLAGS="-D warnings" cargo doc -p anyproxy-module-api --no-deps
