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
# One page for each first-level heading: "# tcp" becomes tcp.md.
"$target/release/anyproxy" directives --markdown | awk -v dir="$pages" '
    /^```/ { code = !code }
    /^# / && !code { name = tolower(substr($0, 3)); gsub(/[^a-z0-9]+/, "-", name); gsub(/^-|-$/, "", name); if (page) close(page); page = dir "/" name ".md"; printf "" > page }
    page { print > page }
    !page && NF { print "directives --markdown: text before the first heading: " $0 > "/dev/stderr" }'
ls "$pages"

echo "== book"
if command -v mdbook >/dev/null; then
    mdbook build doc
else
    echo "skipped: mdbook is not installed (cargo install mdbook --locked); the pages in doc/src read as they are"
fi

echo "== rustdoc of module-api"
RUSTDOCFLAGS="-D warnings" cargo doc -p anyproxy-module-api --no-deps
