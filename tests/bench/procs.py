"""Processes: starting and stopping them, and what /proc says of a process with its children. Knows no proxy."""
import os
import signal
import socket
import subprocess
import time

import peers

TICKS = os.sysconf('SC_CLK_TCK')


def clean_env(extra=None):
    """Without what would change a proxy's or a client's behaviour."""
    env = {k: v for k, v in os.environ.items() if not k.startswith('RUST') and not k.lower().endswith('_proxy')}
    env.update(extra or {})
    return env


def stat(pid):
    with open(f'/proc/{pid}/stat') as f:
        return f.read().rsplit(')', 1)[1].split()


def tree(root):
    """Process ids of root and all below it."""
    kids = {}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            kids.setdefault(int(stat(pid)[1]), []).append(int(pid))
        except OSError:
            continue
    out, todo = [], [root]
    while todo:
        out.append(todo.pop())
        todo += kids.get(out[-1], [])
    return out


def cpu(root):
    """CPU seconds of the tree so far: user, system."""
    user = system = 0
    for pid in tree(root):
        try:
            f = stat(pid)
        except OSError:
            continue
        user += int(f[11]) + int(f[13])
        system += int(f[12]) + int(f[14])
    return user / TICKS, system / TICKS


def machine_cpu():
    """CPU seconds of the whole machine so far: busy, stolen."""
    with open('/proc/stat') as f:
        v = [int(x) for x in f.readline().split()[1:9]]
    return sum(v[i] for i in (0, 1, 2, 5, 6)) / TICKS, v[7] / TICKS


def memory(root):
    """RSS and PSS of the tree, KiB."""
    rss = pss = 0
    for pid in tree(root):
        try:
            with open(f'/proc/{pid}/smaps_rollup') as f:
                for line in f:
                    if line.startswith('Rss:'):
                        rss += int(line.split()[1])
                    elif line.startswith('Pss:'):
                        pss += int(line.split()[1])
        except OSError:
            continue
    return rss, pss


def listening(port):
    try:
        socket.create_connection(('127.0.0.1', port), 0.3).close()
        return True
    except OSError:
        return False


def await_free(port, limit=5):
    end = time.time() + limit
    while listening(port):
        if time.time() > end:
            raise RuntimeError(f'port {port} is taken')
        time.sleep(0.02)


def get(port, path, tls=False, h2=False, host='localhost'):
    """One request by curl: status, bytes of the body, HTTP version."""
    url = f'{"https" if tls else "http"}://localhost:{port}{path}'
    r = subprocess.run(['curl', '-sk', '-4', '--max-time', '5', '-o', '/dev/null', '-w', '%{http_code} %{size_download} %{http_version}',
                        ('--http2' if tls else '--http2-prior-knowledge') if h2 else '--http1.1', '-H', f'Host: {host}', url], capture_output=True, text=True, env=clean_env())
    a = r.stdout.split()
    return (int(a[0]), int(float(a[1])), a[2]) if len(a) == 3 else (0, 0, '?')


class Process:
    """A command in the foreground; what it prints goes to run/<name>.log.

    Each has a session of its own, which Linux (autogroup) schedules as a whole, as it does each service of a machine. `among`: it
    has not, so that what runs at a low priority in one program gives way to the others, too.
    """

    def __init__(self, name, cmd, env=None, among=False):
        self.log = open(f'{peers.DIR}/run/{name}.log', 'ab')
        self.p = subprocess.Popen(cmd, cwd=f'{peers.DIR}/run', env=clean_env(env), stdin=subprocess.DEVNULL,
                                  stdout=self.log, stderr=self.log, start_new_session=not among)
        self.pid = self.p.pid

    def alive(self):
        return self.p.poll() is None

    def stop(self):
        """SIGTERM, then SIGKILL to what is left of its own tree; returns once all of it is gone."""
        pids = tree(self.pid)
        if self.alive():
            self.p.send_signal(signal.SIGTERM)
            try:
                self.p.wait(8)
            except subprocess.TimeoutExpired:
                pass
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.p.wait()
        self.log.close()
        end = time.time() + 3
        while time.time() < end and any(os.path.exists(f'/proc/{pid}') for pid in pids):
            time.sleep(0.02)


def start(name, spec, key, limit=15, among=False):
    """Starts a peer and waits until a request through port `key` is answered."""
    for port in spec.ports.values():
        await_free(port)
    process = Process(name, spec.cmd, spec.env, among)
    port, end = spec.ports[key], time.time() + limit
    while time.time() < end:
        if not process.alive():
            raise RuntimeError(f'{name} exited with {process.p.returncode}, see {peers.DIR}/run/{name}.log')
        if listening(port) and (get(port, '/1k', key == 'tls', key == 'h2c', spec.host)[0] == 200 or get(port, '/c/1k')[0] == 200):
            return process
        time.sleep(0.05)
    process.stop()
    raise RuntimeError(f'{name}: no 200 on port {port} within {limit} s')
