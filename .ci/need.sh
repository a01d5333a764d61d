#!/bin/bash
# need.sh WHAT... : sees to it that what is named can be used. WHAT is a group (build, run, test, bench, windows) or one
# Debian package of the table below. As root it installs what is missing; otherwise it prints the one command that does
# and exits 1. Quick when nothing is missing: it only looks for one file a package.
set -eu

# package  file or command that proves it is there
probe() {
    case $1 in
        nginx | haproxy | curl | openssl | valgrind | socat | wrk | gcc | python3 | binutils) echo "$1" ;;
        libnginx-mod-stream) echo /usr/lib/nginx/modules/ngx_stream_module.so ;;
        nghttp2-client) echo h2load ;;
        iproute2) echo ip ;;
        libssl-dev) echo /usr/include/openssl/ssl.h ;;
        libc6-dev) echo /usr/include/stdio.h ;;
        gcc-mingw-w64-x86-64) echo x86_64-w64-mingw32-gcc ;;
        wine) echo wine ;;
        cargo) echo cargo ;;
        *) echo "need.sh: no such package in its table: $1" >&2; exit 2 ;;
    esac
}

members() {
    case $1 in
        build | run) echo cargo gcc libc6-dev ;;
        test) echo curl openssl socat nginx libnginx-mod-stream haproxy wrk nghttp2-client valgrind iproute2 python3 ;;
        bench) echo nginx libnginx-mod-stream haproxy wrk nghttp2-client curl openssl valgrind gcc libc6-dev libssl-dev python3 ;;
        windows) echo gcc-mingw-w64-x86-64 wine ;;
        *) echo "$1" ;;
    esac
}

have() {
    case $1 in
        /*) [ -e "$1" ] ;;
        *) command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "$HOME/.cargo/bin/$1" ] ;;
    esac
}

missing=() rust=
for what; do
    for package in $(members "$what"); do
        proof=$(probe "$package")
        have "$proof" && continue
        if [ "$package" = cargo ]; then rust=missing; else missing+=("$package"); fi
    done
done

if [ -n "$rust" ]; then
    # Debian's own rustc is older than this project needs; its rustup package, where a release has it, brings a new one.
    rustup="apt-get install -y -q --no-install-recommends rustup && rustup default stable"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -q >/dev/null && eval "$rustup" >/dev/null 2>&1; then
        echo "installed: $(rustc --version)"
    else
        echo "Rust 1.88 or newer is needed. Run: $rustup (or see https://rustup.rs)" >&2
        exit 1
    fi
fi
[ ${#missing[@]} -gt 0 ] || exit 0

install="apt-get install -y -q --no-install-recommends ${missing[*]}"
if ! command -v apt-get >/dev/null; then
    echo "missing (by their names in Debian): ${missing[*]}" >&2
    exit 1
elif [ "$(id -u)" != 0 ]; then
    echo "missing: ${missing[*]}. Run: sudo $install" >&2
    exit 1
fi

echo "installing: ${missing[*]}"
# The programs are wanted, not the services that their packages start.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
    trap 'rm -f $policy' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q >/dev/null || echo "apt-get update failed; going on with the lists that are there" >&2
$install >/dev/null || { echo "could not install. Run: $install" >&2; exit 1; }
