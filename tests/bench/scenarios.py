"""What is measured, and how one measurement of one peer is taken. Every load is bounded in time and count."""
import json
import os
import re
import resource
import select
import signal
import socket
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import peers
from procs import Process, await_free, clean_env, cpu, get, machine_cpu, memory, start

HERE = os.path.dirname(os.path.abspath(__file__))
SIZES = {'0b': 0, '1k': 1 << 10, '100k': 100 << 10, '1m': 1 << 20, '10m': 10 << 20, '100m': 100 << 20}


@dataclass
class Scenario:
    """kind: req (CPU a request), gib (CPU a GiB), idle, startup, check, reload. port: key of the peer's ports, its role too."""
    title: str
    kind: str
    port: str = 'l4'
    tool: str = ''
    connections: int = 0
    path: str = '/1k'

    def role(self):
        return 'l4' if self.port == 'l4' else 'http'


ALL = {
    'l4_1k': Scenario('small requests (1 KiB, keep-alive)', 'req', 'l4', 'wrk', 64, '/1k'),
    'l4_100k': Scenario('100 KiB responses', 'req', 'l4', 'wrk', 64, '/100k'),
    'l4_new': Scenario('new connections', 'req', 'l4', 'new', 64, '/1k'),
    'l4_bulk': Scenario('long transfers (100 MiB)', 'gib', 'l4', 'keep', 4, '/100m'),
    'idle_l4': Scenario('idle connection pairs', 'idle', 'l4', 'hold', 10000),
    'startup': Scenario('start to first answer', 'startup'),
    'check1000': Scenario('check of 1,000 servers', 'check'),
    'reload_new': Scenario('reload of 1,000 servers, new connections meanwhile', 'reload', 'many', 'new', 64, '/1k'),
    'reload_kept': Scenario('reload of 1,000 servers, kept connections meanwhile', 'reload', 'many', 'keep', 64, '/1k'),
    'h1_1k': Scenario('HTTP/1.1, 1 KiB', 'req', 'l7', 'wrk', 64, '/1k'),
    'h1_100k': Scenario('HTTP/1.1, 100 KiB', 'req', 'l7', 'wrk', 64, '/100k'),
    'h1_new': Scenario('HTTP/1.1, new connections', 'req', 'l7', 'new', 64, '/1k'),
    'h1_all': Scenario('HTTP/1.1, 1 KiB, everything on', 'req', 'all', 'wrk', 64, '/1k'),
    'tls_1k': Scenario('HTTPS, 1 KiB', 'req', 'tls', 'wrk', 64, '/1k'),
    'tls_new': Scenario('TLS handshakes', 'req', 'tls', 'new', 32, '/1k'),
    'h2c_1k': Scenario('HTTP/2 without TLS, 1 KiB', 'req', 'h2c', 'h2load', 16, '/1k'),
    'h2_1k': Scenario('HTTP/2, 1 KiB', 'req', 'tls', 'h2load', 16, '/1k'),
    'cache_1k': Scenario('cached, 1 KiB', 'req', 'cache', 'wrk', 64, '/c/1k'),
    'static_1k': Scenario('static files, 1 KiB', 'req', 'static', 'wrk', 64, '/1k'),
    'static_10m': Scenario('static files, 10 MiB', 'gib', 'static', 'keep', 8, '/10m'),
    'idle_l7': Scenario('idle HTTP connections', 'idle', 'l7', 'hold', 10000),
}
# What the project set itself figures for.
LAYER4 = ['l4_1k', 'l4_100k', 'l4_new', 'l4_bulk', 'idle_l4', 'startup', 'check1000', 'reload_new', 'reload_kept']
HTTP = ['h1_1k', 'h1_100k', 'h1_new', 'h1_all', 'h2c_1k', 'static_1k', 'static_10m', 'idle_l7']


def measure(scenario, name, spec, org, seconds):
    """Starts the peer, checks one answer, puts it under load; a dict of what was seen."""
    process = start(name, spec, scenario.port)
    try:
        port = spec.ports[scenario.port]
        status, size, version = get(port, scenario.path, scenario.port == 'tls', scenario.tool == 'h2load')
        if status != 200 or size != SIZES[scenario.path.rsplit('/', 1)[1]] or (scenario.tool == 'h2load' and version != '2'):
            raise RuntimeError(f'wrong answer: status {status}, {size} bytes, HTTP/{version}')
        if scenario.kind == 'idle':
            return idle(process, port, scenario)
        return loaded(process, port, scenario, org, seconds)
    finally:
        process.stop()


def loaded(process, port, scenario, org, seconds):
    load(scenario, port, 1)  # warms up
    time.sleep(0.2)
    peer0, org0, machine0 = cpu(process.pid), cpu(org.pid), machine_cpu()
    client0 = resource.getrusage(resource.RUSAGE_CHILDREN)
    seen = load(scenario, port, seconds)
    client1 = resource.getrusage(resource.RUSAGE_CHILDREN)
    peer1, org1, machine1 = cpu(process.pid), cpu(org.pid), machine_cpu()
    peer, origin = sum(peer1) - sum(peer0), sum(org1) - sum(org0)
    client = client1.ru_utime + client1.ru_stime - client0.ru_utime - client0.ru_stime
    work = seen['requests'] / 1000 if scenario.kind == 'req' else seen['bytes'] / (1 << 30)
    seen.update(cpu=round(peer, 3), cpu_user=round(peer1[0] - peer0[0], 3), rss_kib=memory(process.pid)[0], alive=process.alive(),
                foreign=round(max(0, machine1[0] - machine0[0] - peer - origin - client) + machine1[1] - machine0[1], 3),
                rate=(seen['requests'] if scenario.kind == 'req' else work) / seen['secs'],
                cpu_per=peer / work if work else None)
    return seen


def load_command(scenario, port, seconds):
    tls = scenario.port == 'tls'
    url = f'http{"s" if tls else ""}://localhost:{port}{scenario.path}'
    if scenario.tool == 'wrk':
        return ['wrk', '-t1', f'-c{scenario.connections}', f'-d{seconds}s', '--timeout', '10s', '-s', f'{HERE}/tools/wrk.lua', url]
    if scenario.tool == 'h2load':
        return ['h2load', '-t1', f'-c{scenario.connections}', '-m32', '-D', str(seconds), url]
    return [f'{peers.DIR}/bin/cload', '-m', scenario.tool, '-c', str(scenario.connections), '-d', str(seconds), '-p', str(port),
            '-u', scenario.path, '-n', '3000000'] + (['-t'] if tls else [])


def load(scenario, port, seconds, *more):
    p = subprocess.Popen([*load_command(scenario, port, seconds), *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=clean_env())
    try:
        out = p.communicate(timeout=seconds * 3 + 20)[0]
    except subprocess.TimeoutExpired:
        p.kill()
        raise RuntimeError('the client hung: ' + p.communicate()[0][-200:])
    if scenario.tool == 'h2load':
        done = re.search(r'(\d+) succeeded, (\d+) failed', out)
        size = re.search(r'traffic: \S+ \((\d+)\) total', out)
        if not done or not size:
            raise RuntimeError(out[-300:])
        return dict(requests=int(done[1]), errors=int(done[2]), bytes=int(size[1]), secs=float(seconds), non2xx=0)
    line = next((line for line in out.splitlines() if line.startswith('JSON ')), None)
    if not line:
        raise RuntimeError(out[-300:])
    return json.loads(line[5:])


def pairs_possible(wanted):
    """A peer of one process holds two descriptors a pair: with a hard limit of 20,000 that is 9,900 pairs, not 10,000."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return min(wanted, (hard - 200) // 2)


def idle(process, port, scenario):
    """Opens connections that made one request each, and holds them: memory before, meanwhile and after."""
    client = [f'{peers.DIR}/bin/cload', '-p', str(port), '-u', scenario.path] + (['-t'] if scenario.port == 'tls' else [])
    for _ in range(3):
        subprocess.run([*client, '-m', 'new', '-c', '16', '-d', '0.5', '-n', '500'], capture_output=True)
    time.sleep(0.5)
    rss0, pss0 = memory(process.pid)
    count = pairs_possible(scenario.connections)
    holder = subprocess.Popen([*client, '-m', 'hold', '-c', str(count), '-d', '120'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        ready = select.select([holder.stdout], [], [], 60)[0] and re.match(r'READY (\d+) errs=(\d+)', holder.stdout.readline())
        if not ready:
            raise RuntimeError('connections were not open within 60 s')
        time.sleep(3)  # what is freed late is not what an idle connection costs
        rss1, pss1 = memory(process.pid)
        cpu0 = cpu(process.pid)
        time.sleep(2)
        cpu1 = cpu(process.pid)
        out = holder.communicate('\n', timeout=20)[0]
    finally:
        if holder.poll() is None:
            holder.kill()
            holder.wait()
    line = next((line for line in out.splitlines() if line.startswith('JSON ')), 'JSON {}')
    end = json.loads(line[5:])
    time.sleep(2)
    held = int(ready[1])
    if not held:
        raise RuntimeError('no connection was held: ' + end.get('err', ''))
    return dict(requests=held, errors=int(ready[2]), still_open=end.get('holding', 0), rss0=rss0, rss1=rss1, rss2=memory(process.pid)[0],
                rss_per=(rss1 - rss0) * 1024 / held, pss_per=(pss1 - pss0) * 1024 / held, idle_cpu=(sum(cpu1) - sum(cpu0)) / 2, err=end.get('err', ''))


def startup(name, make):
    """From exec to the first answered request, five times."""
    times, rss = [], 0
    for _ in range(5):
        spec = make()
        port = spec.ports['l4']
        await_free(port)
        began = time.time()
        process = Process(name, spec.cmd, spec.env)
        try:
            while time.time() < began + 20 and process.alive():
                try:
                    with socket.create_connection(('127.0.0.1', port), 1) as s:
                        s.settimeout(2)
                        s.sendall(b'GET /0b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
                        if s.recv(64).startswith(b'HTTP/1.1 200'):
                            times.append((time.time() - began) * 1000)
                            rss = memory(process.pid)[0]
                            break
                except OSError:
                    pass
                time.sleep(0.0005)
        finally:
            process.stop()
    if not times:
        raise RuntimeError(f'{name} never answered, see {peers.DIR}/run/{name}.log')
    return dict(ms=statistics.median(times), worst=max(times), requests=len(times), errors=5 - len(times), rss_kib=rss)


def check(cmd):
    """Runs a configuration check five times: wall clock and CPU."""
    times, cpus, code, out = [], [], 0, b''
    for _ in range(5):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
        r = subprocess.run(cmd, env=clean_env(), cwd=f'{peers.DIR}/run', capture_output=True, timeout=60)
        times.append((time.time() - began) * 1000)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpus.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000)
        if r.returncode:
            code, out = r.returncode, r.stderr or r.stdout
    if code:
        raise RuntimeError(f'exit code {code}: ' + out[-200:].decode(errors='replace'))
    return dict(ms=statistics.median(times), worst=max(times), cpu_ms=statistics.median(cpus), requests=len(times), errors=0)


RELOADS, EACH = 6, 0.9  # seconds from one reload to the next


def reload(scenario, name, spec):
    """500 requests a second: first left alone, then while the peer reloads again and again. A request counts from when it was
    due, so one that a reload holds up delays those behind it. What is measured is what the peer does to its clients' requests, not what
    its threads take away from the client and the origin, which are elsewhere than on its machine: see `Process`."""
    process = start(name, spec, 'many', among=True)
    port, paced = spec.ports['many'], ('-r', '500', '-h', spec.host)
    try:
        load(scenario, port, 2, *paced)
        quiet = load(scenario, port, RELOADS * EACH, *paced)
        times = []

        def reloads():
            # By a signal: the program that asks would take time of the processors for itself.
            for _ in range(RELOADS):
                os.kill(process.pid, signal.SIGHUP)
                time.sleep(EACH)

        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(reloads)
            seen = load(scenario, port, RELOADS * EACH, *paced)
            done.result()
        for _ in range(3):
            began = time.time()
            subprocess.run(spec.reload, env=clean_env(), capture_output=True, check=True, timeout=20)
            times.append((time.time() - began) * 1000)
        seen['errors'] += quiet['errors']
        seen.update(quiet_p99_us=quiet['p99_us'], p99_times=seen['p99_us'] / quiet['p99_us'], ms=statistics.median(times), worst=max(times),
                    rss_kib=memory(process.pid)[0], alive=process.alive())
        return seen
    finally:
        process.stop()
