#!/bin/bash
# make dist: what is shipped and measured (fat LTO, a profile), as one archive: host, modules, configuration, licence.
set -eu
cd "$(dirname "$0")/.."
.ci/need.sh build binutils
target=${CARGO_TARGET_DIR:-target}
.ci/build-dist.sh
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
name=anyproxy-$version-$(rustc -vV | sed -n 's/^host: //p')
out=$target/archive/$name
rm -rf "$out"
mkdir -p "$out"
install "$target/dist/anyproxy" "$out/"
for module in "$target"/dist/libanyproxy_*.so; do [ ! -e "$module" ] || install -m 644 "$module" "$out/"; done
# Debug information only: the symbols that name a crashing module stay, and so does the header note.
strip --strip-debug "$out/anyproxy" "$out"/*.so
cp -r LICENSE CHANGELOG.md conf "$out/"
tar -C "$target/archive" -czf "$target/archive/$name.tar.gz" "$name"
ls -l "$target/archive/$name.tar.gz"
