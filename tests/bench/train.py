#!/usr/bin/env python3
"""Puts loads on an instrumented anyproxy, whose runs are the profile that what is shipped is built with (.ci/build-dist.sh).

  train.py path/anyproxy        each process writes what it counted at its end

Those that are measured, and then a bit of all that a request may meet: code that no load runs is taken for rare, and is
made small instead of fast. Needs what setup.sh installed and built.
"""
import base64
import os
import signal
import socket
import struct
import subprocess
import sys

import instr
from peers import DIR, Spec
from procs import start

HERE = os.path.dirname(os.path.abspath(__file__))
WIDE, BEHIND = 18090, 18091
# Text, so that there is something to compress.
TEXT = f'{DIR}/run/train'

CONF = f'''
load_module "tcp" "balancer" "http" "websocket"
common {{ worker_threads 2; }}
upstream "a" {{ balancer "weight"; heartbeat interval="1s" timeout="1s" fail=3; http_heartbeat "/one" status="200"
    proxy_pass_tcp "127.0.0.1:{BEHIND}" weight=2; proxy_pass_tcp "127.0.0.2:{BEHIND}"; }}
upstream "b" {{ balancer "ip_hash_active"; proxy_pass_tcp "127.0.0.1:{BEHIND}"; proxy_pass_tcp "127.0.0.2:{BEHIND}"; }}
upstream "c" {{ balancer "fair"; proxy_pass_tcp "127.0.0.1:{BEHIND}"; proxy_pass_tcp "127.0.0.2:{BEHIND}"; }}
net {{
    access_log "{TEXT}/access.log" format="json" {{ field "time" "${{local_time}}"; field "client" "${{client_addr}}"; field "uri" "${{http_request_uri}}"; field "agent" "${{http_request_user-agent}}"; field "status" "${{status}}"; field "took" "${{session_time}}"; }}
    http_trusted "127.0.0.0/8"
    ip_deny "192.0.2.0/24"
    server {{
        port_listen_tcp "127.0.0.1:{WIDE}"
        http
        http_via "a"
        http_forwarded "x"
        local {{ rule "${{path}}" regex="^/user/(?<id>[0-9]+)$"; http_request_header "set" "X-User" "${{re.id}}"; proxy_pass_upstream "b"; }}
        local {{ rule "${{path}}" prefix="/text/"; http_static "{TEXT}"; http_compress "zstd" "gzip" "br"; expires "10m"; }}
        local {{ rule "${{path}}" prefix="/two/"; http_proxy version="2"; proxy_pass_upstream "c"; }}
        local {{ rule "${{path}}" prefix="/kept/"; http_request_buffering #true; http_response_buffering #true; proxy_pass_upstream "a"; }}
        local {{ rule "${{path}}" prefix="/limit/"; http_limit_requests "1000000/s" burst=1000; http_response_header "set" "X-A" "b"; http_cors "*"; proxy_pass_upstream "a"; }}
        local {{ rule "${{path}}" text="/echo"; websocket_echo; }}
        local {{ rule "${{path}}" text="/through"; websocket_proxy; proxy_pass_upstream "a"; }}
        local {{ proxy_pass_upstream "a"; }}
    }}
    server {{
        port_listen_tcp "127.0.0.1:{BEHIND}" "127.0.0.2:{BEHIND}"
        http
        access_log "off"
        local {{ rule "${{path}}" text="/through"; websocket_echo; }}
        local {{ rule "${{path}}" regex="/body$"; http_echo; }}
        local {{ rule "${{path}}" prefix="/user/"; return 204; }}
        local {{ http_echo body="{'hello ' * 100}\\n"; }}
    }}
}}
'''


def ask(path, *lines, count=1000, body=None, two=False):
    """Requests over HTTP/1.1, or `two`: HTTP/2."""
    more = [part for line in lines for part in ('-H', line)] + (['-d', body] if body else [])
    how = ['-m16'] if two else ['-m1', '--h1']
    said = run('h2load', '-t1', '-c8', *how, f'-n{count}', *more, f'http://127.0.0.1:{WIDE}{path}')
    if f'{count} succeeded, 0 failed' not in said:
        raise RuntimeError(f'{path}: {said}')


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=60, text=True).stdout


def websocket(path, messages, size):
    """A client of RFC 6455: masked messages, each of which comes back."""
    with socket.create_connection(('127.0.0.1', WIDE), 10) as s:
        s.settimeout(10)
        key = base64.b64encode(os.urandom(16)).decode()
        s.sendall(f'GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n'
                  'Sec-WebSocket-Version: 13\r\n\r\n'.encode())
        f = s.makefile('rb')
        if b' 101 ' not in f.readline():
            raise RuntimeError('no WebSocket')
        while f.readline() != b'\r\n':
            pass
        head = struct.pack('!BBHI', 0x82, 0x80 | 126, size, 0)
        for _ in range(messages):
            s.sendall(head + b'x' * size)
            if len(f.read(4 + size)) != 4 + size:
                raise RuntimeError('the echo ended')


def wide(binary):
    os.makedirs(f'{TEXT}/text', exist_ok=True)
    small, large = f'{TEXT}/text/a.html', f'{TEXT}/text/b.txt'
    for name, size in (small, 3000), (large, 40_000):
        with open(name, 'w') as f:
            f.write(('<p>some text that is like most, and its number: ' + str(size) + '</p>\n') * (size // 60))
    conf = f'{TEXT}/wide.kdl'
    with open(conf, 'w') as f:
        f.write(CONF)
    process = start('anyproxy', Spec([binary, '-c', conf], {'wide': WIDE}), 'wide')
    try:
        ask('/one', 'X-Forwarded-For: 203.0.113.9, 127.0.0.1', 'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01')
        ask('/user/17?a=b%20c')
        for coding in 'gzip', 'br', 'zstd':
            # Few: its loops would outweigh all else.
            ask('/text/a.html', f'Accept-Encoding: {coding}', count=100)
        ask('/text/b.txt', 'Range: bytes=100-2000')
        ask('/text/b.txt', 'If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT')
        ask('/body', body=small)
        ask('/kept/body', body=large)
        ask('/limit/x', 'Origin: https://a.example')
        ask('/two/x')
        ask('/two/body', body=large)
        ask('/one', two=True)
        ask('/two/body', body=small, two=True)
        for path in '/echo', '/through':
            for size in 200, 20_000:
                websocket(path, 2000, size)
    finally:
        process.stop()


def main():
    binary = os.path.abspath(sys.argv[1])
    os.environ['ANYPROXY_BIN'] = binary
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    run(f'{HERE}/bench.py', '-p', 'anyproxy', '-r', '1', '-d', '1', '-s', 'h1_1k,h1_100k,h1_new,h2c_1k,static_1k,static_10m,l4_1k,l4_100k,l4_new,l4_bulk')
    instr.unmeasured('anyproxy', instr.OPERATIONS)
    if os.path.exists(f'{os.path.dirname(binary)}/anyproxy-static'):
        instr.unmeasured('anyproxy-static', ['request', 'connection'])
    wide(binary)


if __name__ == '__main__':
    main()
