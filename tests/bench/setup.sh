#!/bin/bash
# Once a machine, quick afterwards: peers and tools from Debian, files to serve, a P-256 certificate, the small C programs.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=${BENCH_DIR:-${TMPDIR:-/tmp}/proxy-bench}
www=/dev/shm/peers_www # in memory: no disk in what is measured
"$here/../../.ci/need.sh" bench

mkdir -p "$dir/run" "$dir/conf" "$dir/results" "$dir/peers.d" "$dir/bin" $www
if [ ! -f "$dir/conf/both.pem" ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$dir/conf/key.pem" -out "$dir/conf/cert.pem" 2>/dev/null
    cat "$dir/conf/cert.pem" "$dir/conf/key.pem" >"$dir/conf/both.pem"
fi
for file in 0b:0 1k:1024 100k:102400 1m:1048576 10m:10485760 100m:104857600; do
    name=$www/${file%:*}
    [ -f "$name" ] || { head -c "${file#*:}" /dev/urandom >"$name.new" && mv "$name.new" "$name"; }
done
for program in cload floor hclient horigin; do
    source=$here/tools/$program.c
    [ "$dir/bin/$program" -nt "$source" ] || gcc -O2 -Wall -o "$dir/bin/$program" "$source" -lssl -lcrypto
done
python3 "$here/many.py" | cmp -s - "$here/many.kdl" || echo "many.kdl is not what many.py writes: many.py > many.kdl"
