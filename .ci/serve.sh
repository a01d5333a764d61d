#!/bin/bash
# make run: builds the host and only the modules that conf/main.kdl loads, then serves in the foreground.
set -eu
cd "$(dirname "$0")/.."
.ci/need.sh run
conf=${CONF:-conf/main.kdl}
target=${CARGO_TARGET_DIR:-target}
[ -r "$conf" ] || { echo "no such file: $conf" >&2; exit 1; }

# The ids named by load_module; a name with a slash is a file that somebody else builds.
packages=(-p anyproxy-host)
for id in $(sed -n 's|//.*||; s/^[[:space:]]*load_module[[:space:]]//p' "$conf" | tr -s ' \t;' '\n' | sed -n 's|^"\([^"/]*\)"$|\1|p' | sort -u); do
    [ -d "modules/$id/dylib" ] || { echo "$conf loads \"$id\", but modules/$id is not there" >&2; exit 1; }
    packages+=(-p "anyproxy-$id-dylib")
done
cargo build --release "${packages[@]}"

try=$(sed -n 's|^[[:space:]]*//[[:space:]]*try:[[:space:]]*||p' "$conf" | head -n 1)
if [ -z "$try" ]; then
    port=$(sed -n 's|^[^/]*port_listen_tcp[^"]*"[^"]*:\([0-9]*\)".*|\1|p' "$conf" | head -n 1)
    try="curl -s http://127.0.0.1:${port:-8080}/"
fi
echo "try in another terminal:  $try"
exec "$target/release/anyproxy" -c "$conf"
