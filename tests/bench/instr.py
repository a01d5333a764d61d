#!/usr/bin/env python3
"""Counts a proxy's user-space instructions an operation by callgrind: repeatable where time is not.

  instr.py [--operations request,connection,http,http_all] nginx haproxy anyproxy   peers of bench.py, one worker
  instr.py anyproxy anyproxy-static                                     what the ABI costs: see static/
  instr.py mine 28009 -- path/proxy -c x.kdl                            any proxy in the foreground, from TCP port 28009 to
                                                                       127.0.0.1:19100

request: GET of 64 bytes on one of 32 kept connections, by layer 4. connection: connect, the same request, close; 8 at a
time. http: the request by a bare HTTP proxy. http_all: a browser's request with everything on, see features.py.
The dumps stay in $BENCH_DIR/instr for callgrind_annotate. Needs what setup.sh installed and built.
"""
import argparse
import glob
import json
import os
import re
import signal
import subprocess
import sys
import time

import features
import peers
from procs import Process, listening, tree

OUT = f'{peers.DIR}/instr'
ORIGIN_PORT = 19100
PORTS = {'nginx': 28001, 'haproxy': 28002, 'anyproxy': 28003, 'anyproxy-static': 28004}
PEERS = {**peers.PEERS, **peers.BASELINES}
# The most instructions that the same code may take behind the ABI, linked into one binary = 1.00.
ABI_GOAL = 1.05
# The most instructions that anyproxy may take.
GOALS = {'http': 8000, 'http_all': 9000}


def control(pids, *what):
    subprocess.run(['callgrind_control', *what, *map(str, pids)], capture_output=True, timeout=60)


def requests(port, count, switch, kind='bare'):
    """Kept connections: warmed up before the counting starts."""
    client = subprocess.Popen([f'{peers.DIR}/bin/hclient', str(port), '32', '640', str(count), kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if not client.stdout.readline().startswith('READY'):
            raise RuntimeError('the client got no good answer')
        switch('on')
        client.stdin.write('\n')
        client.stdin.flush()
        if not client.stdout.readline().startswith('DONE'):
            raise RuntimeError('the client did not finish')
        switch('off')
        client.communicate('\n', timeout=10)
        return count
    finally:
        client.kill()
        client.wait()


def connections(port, count, switch):
    def load(n):
        r = subprocess.run([f'{peers.DIR}/bin/cload', '-m', 'new', '-c', '8', '-d', '120', '-n', str(n), '-p', str(port), '-u', '/x'],
                           capture_output=True, text=True, timeout=180)
        seen = json.loads(next(line for line in r.stdout.splitlines() if line.startswith('JSON '))[5:])
        if seen['errors']:
            raise RuntimeError(f'{seen["errors"]} failed connections: {seen["err"]}')
        return seen['requests']
    load(300)
    switch('on')
    done = load(count)
    switch('off')
    return done


OPERATIONS = dict(request=requests, connection=connections, http=requests, http_all=lambda *how: requests(*how, kind='browser'))
HTTP = dict(http='bare', http_all='all')


def command(label, operation):
    port, to, kind = PORTS[label], f'127.0.0.1:{ORIGIN_PORT}', HTTP.get(operation)
    return features.command(label, kind, port, to) if kind else PEERS[label]('l4', 1, port=port, to=to).cmd


def unmeasured(label, operations, count=200_000):
    """The same loads on a peer as it is."""
    for operation in operations:
        origin = subprocess.Popen([f'{peers.DIR}/bin/horigin', str(ORIGIN_PORT)])
        proxy = Process(label, command(label, operation))
        try:
            end = time.time() + 10
            while not (listening(PORTS[label]) and listening(ORIGIN_PORT)):
                if time.time() > end or not proxy.alive():
                    raise RuntimeError(f'{label} did not start')
                time.sleep(0.02)
            OPERATIONS[operation](PORTS[label], count, lambda _: None)
        finally:
            proxy.stop()
            origin.kill()
            origin.wait()


def measure(label, port, cmd, operation, count):
    """Instructions an operation of the process of the tree that worked most; the others are its parents."""
    tag = f'{label}-{operation}'
    for old in glob.glob(f'{OUT}/{tag}.cg*'):
        os.unlink(old)
    if listening(port) or listening(ORIGIN_PORT):
        raise RuntimeError(f'port {port} or {ORIGIN_PORT} is taken')
    origin = subprocess.Popen([f'{peers.DIR}/bin/horigin', str(ORIGIN_PORT)])
    with open(f'{OUT}/{tag}.log', 'w') as log:
        proxy = subprocess.Popen(['valgrind', '--tool=callgrind', '--instr-atstart=no', f'--callgrind-out-file={OUT}/{tag}.cg.%p', *cmd],
                                 cwd=OUT, stdout=log, stderr=subprocess.STDOUT)
    try:
        end = time.time() + 60
        while not listening(port):
            if time.time() > end or proxy.poll() is not None:
                raise RuntimeError(f'did not start, see {OUT}/{tag}.log')
            time.sleep(0.1)
        pids = tree(proxy.pid)
        done = OPERATIONS[operation](port, count, lambda state: control(pids, '-i', state))
        control(pids, '-d')
        proxy.send_signal(signal.SIGTERM)
        try:
            proxy.wait(10)
        except subprocess.TimeoutExpired:
            pass
        return max(map(total, glob.glob(f'{OUT}/{tag}.cg*')), default=0) / done
    finally:
        for process in (proxy, origin):
            left = tree(process.pid) if process.poll() is None else []
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            process.wait()


def total(dump):
    with open(dump) as f:
        return max(map(int, re.findall(r'^(?:summary|totals): (\d+)', f.read(), re.M)), default=0)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--operations', default=','.join(OPERATIONS))
    a.add_argument('-n', type=int, default=2000, help='operations counted')
    a.add_argument('what', nargs='+')
    argv = sys.argv[1:]
    own = argv[argv.index('--') + 1:] if '--' in argv else []
    args = a.parse_args(argv[:argv.index('--')] if own else argv)
    os.makedirs(OUT, exist_ok=True)
    print('\n### user-space instructions an operation (one worker, callgrind)')
    print('| peer | operation | instructions | nginx = 1.00 |\n|---|---|---|---|')
    seen = {}
    for operation in args.operations.split(','):
        base = None
        for label in [args.what[0]] if own else args.what:
            try:
                if own:
                    port, cmd = int(args.what[1]), own
                else:
                    port, cmd = PORTS[label], command(label, operation)
                count = measure(label, port, cmd, operation, args.n)
            except (peers.Absent, RuntimeError, subprocess.TimeoutExpired) as why:
                print(f'| {label} | {operation} | skipped: {why} | |', flush=True)
                continue
            base = count if label == 'nginx' else base
            seen[label, operation] = count
            print(f'| {label} | {operation} | {count:,.0f} | {f"{count / base:.2f}" if base else "-"} |', flush=True)
    abi(seen)
    goals(seen)


def abi(seen):
    """What the ABI costs, where both sides were measured."""
    both = [(o, seen['anyproxy', o], seen['anyproxy-static', o]) for o in OPERATIONS if {('anyproxy', o), ('anyproxy-static', o)} <= seen.keys()]
    if both:
        print('\n### the ABI: instructions of anyproxy, linked statically = 1.00\n| operation | ratio | goal | |\n|---|---|---|---|')
    for operation, behind, static in both:
        ratio = behind / static
        print(f'| {operation} | {ratio:.3f} | ≤ {ABI_GOAL:g} | {"reached" if ratio <= ABI_GOAL else "NOT reached"} |')


def goals(seen):
    mine = [(o, seen['anyproxy', o], bound) for o, bound in GOALS.items() if ('anyproxy', o) in seen]
    if mine:
        print('\n### instructions to reach\n| operation | anyproxy | goal | |\n|---|---|---|---|')
    for operation, count, bound in mine:
        print(f'| {operation} | {count:,.0f} | ≤ {bound:,} | {"reached" if count <= bound else "NOT reached"} |')


if __name__ == '__main__':
    main()
