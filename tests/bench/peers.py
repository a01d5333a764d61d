"""The proxies that are measured: each writes its configuration under $BENCH_DIR/conf and says how it is started.

A peer is a function (role, workers) -> Spec. Role "l4" is a plain TCP relay, one service; role "http" is everything that
HTTP scenarios need (not every peer has it). All relay to one origin; none writes an access log.
"""
import os
import shutil
import tempfile
import textwrap
from dataclasses import dataclass, field

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
DIR = os.environ.get('BENCH_DIR') or os.path.join(tempfile.gettempdir(), 'proxy-bench')
WWW = '/dev/shm/peers_www'
ORIGIN = '127.0.0.1:19000'
PORTS = dict(l4=18001, l7=18000, tls=18443, cache=18002, static=18003, h2c=18004, all=18005)


class Absent(Exception):
    """The peer cannot be measured here, or not in this role; says why."""


@dataclass
class Spec:
    """How to start a peer in the foreground, on which ports it then listens, and how it is told to reload."""
    cmd: list
    ports: dict
    env: dict = field(default_factory=dict)
    reload: list = field(default_factory=list)  # says when it has reloaded, if the peer can
    host: str = 'localhost'


def write(path, text):
    path = f'{DIR}/conf/{path}'
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as f:
        f.write(textwrap.dedent(text).lstrip('\n'))
    return path


def installed(name):
    for path in (shutil.which(name), f'/usr/sbin/{name}'):
        if path and os.path.exists(path):
            return path
    raise Absent(f'{name} is not installed')


def origin():
    """nginx with files in memory; one worker, so that it stays the same whatever is measured."""
    conf = write('origin/nginx.conf', f'''
    user root; worker_processes 1; daemon off; pid {DIR}/run/origin.pid; error_log {DIR}/run/origin.err warn;
    events {{ worker_connections 19900; }}
    http {{
      access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; server_tokens off;
      keepalive_timeout 300s; keepalive_requests 1000000000;
      open_file_cache max=100 inactive=1h; open_file_cache_valid 1h; open_file_cache_min_uses 1;
      default_type application/octet-stream;
      server {{ listen {ORIGIN} backlog=8192; listen 127.0.0.1:19001 backlog=8192; root {WWW};
        location = /0b {{ return 200 ""; }}
        location = /stat {{ stub_status; }}
        location /c/ {{ alias {WWW}/; expires 1h; }}
      }}
    }}''')
    return [installed('nginx'), '-c', conf]


# ---------------------------------------------------------------- anyproxy
def anyproxy_binary():
    path = os.environ.get('ANYPROXY_BIN') or f'{ROOT}/target/dist/anyproxy'
    if not os.path.exists(path):
        raise Absent(f'{os.path.relpath(path, ROOT)} is not built')
    return path


def no_ring(workers):
    """callgrind, which asks for one worker, does not know io_uring."""
    return 'io_uring #false;' if workers == 1 else ''


def anyproxy(role, workers, port=PORTS['l4'], to=ORIGIN):
    if role != 'l4':
        ports = {key: PORTS[key] for key in ('l7', 'static', 'h2c')}
        conf = write('anyproxy/http.kdl', f'''
    load_module "tcp" "balancer" "http"
    common {{ worker_threads {workers}; {no_ring(workers)} }}
    net {{
        server {{
            port_listen_tcp "127.0.0.1:{ports['l7']}" "127.0.0.1:{ports['h2c']}"
            http
            http_upstream_keepalive 1024
            http_upstream_keepalive_timeout "300s"
            local {{ proxy_pass_tcp "{ORIGIN}"; }}
        }}
        server {{
            port_listen_tcp "127.0.0.1:{ports['static']}"
            http
            local {{ http_static "{WWW}"; }}
        }}
    }}
    ''')
        return Spec([anyproxy_binary(), '-c', conf], ports)
    conf = write(f'anyproxy/{role}-{port}.kdl', f'''
    load_module "tcp" "balancer"
    common {{ worker_threads {workers}; {no_ring(workers)} }}
    net {{
        server {{
            port_listen_tcp "127.0.0.1:{port}"
            local {{ proxy_pass_tcp "{to}"; }}
        }}
    }}
    ''')
    return Spec([anyproxy_binary(), '-c', conf], {'l4': port})


def anyproxy_static(role, workers, port=PORTS['l4'], to=ORIGIN):
    """The same host, modules and configuration in one binary (static/): the baseline of what the ABI costs."""
    path = os.environ.get('ANYPROXY_STATIC_BIN') or os.path.join(os.path.dirname(anyproxy_binary()), 'anyproxy-static')
    if not os.path.exists(path):
        raise Absent(f'{os.path.relpath(path, ROOT)} is not built')
    spec = anyproxy(role, workers, port, to)
    return Spec([path, *spec.cmd[1:]], spec.ports)


def anyproxy_many():
    return [anyproxy_binary(), '-t', '-c', f'{HERE}/many.kdl']


def anyproxy_reloaded():
    conf = f'{HERE}/many.kdl'
    return Spec([anyproxy_binary(), '-c', conf], {'many': 18100}, reload=[anyproxy_binary(), '-s', 'reload', '-c', conf], host='s500.example.cn')


# ---------------------------------------------------------------- nginx
def nginx(role, workers, port=PORTS['l4'], to=ORIGIN):
    # callgrind, which asks for one worker, cannot be switched on in a forked process.
    master = 'off' if workers == 1 else 'on'
    head = f'''
    user root; worker_processes {workers}; master_process {master}; daemon off; pid {DIR}/run/nginx.pid; error_log {DIR}/run/nginx.err warn;
    events {{ worker_connections 19500; }}'''
    if role == 'l4':
        module = '/usr/lib/nginx/modules/ngx_stream_module.so'
        if not os.path.exists(module):
            raise Absent('nginx without its stream module')
        conf = write(f'nginx/l4-{port}.conf', f'load_module {module};' + head + f'''
    stream {{ server {{ listen 127.0.0.1:{port} reuseport backlog=4096; proxy_pass {to}; }} }}
    ''')
        return Spec([installed('nginx'), '-c', conf], {'l4': port})
    ports = {key: PORTS[key] for key in ('l7', 'tls', 'cache', 'static', 'h2c')}
    shutil.rmtree(f'{DIR}/run/nginx_cache', ignore_errors=True)
    conf = write('nginx/http.conf', head + f'''
    http {{
      access_log off; sendfile on; tcp_nopush on; server_tokens off; default_type application/octet-stream;
      keepalive_timeout 300s; keepalive_requests 1000000000; http2_max_concurrent_streams 128;
      open_file_cache max=1000 inactive=1h; open_file_cache_valid 1h; open_file_cache_min_uses 1;
      upstream o {{ server {ORIGIN}; keepalive 1024; keepalive_requests 1000000000; keepalive_timeout 300s; }}
      proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffers 16 16k; proxy_buffer_size 16k; proxy_busy_buffers_size 64k;
      proxy_cache_path {DIR}/run/nginx_cache levels=1:2 keys_zone=c:16m max_size=4g inactive=1h use_temp_path=off;
      ssl_certificate {DIR}/conf/cert.pem; ssl_certificate_key {DIR}/conf/key.pem; ssl_protocols TLSv1.2 TLSv1.3;
      ssl_session_cache shared:s:10m;
      server {{ listen 127.0.0.1:{ports['l7']} reuseport backlog=4096;
               listen 127.0.0.1:{ports['h2c']} http2 reuseport backlog=4096;
               listen 127.0.0.1:{ports['tls']} ssl http2 reuseport backlog=4096; location / {{ proxy_pass http://o; }} }}
      server {{ listen 127.0.0.1:{ports['cache']} reuseport backlog=4096; location / {{ proxy_cache c; proxy_pass http://o; }} }}
      server {{ listen 127.0.0.1:{ports['static']} reuseport backlog=4096; root {WWW}; }}
    }}
    ''')
    return Spec([installed('nginx'), '-c', conf], ports)


def nginx_many():
    """Three locations and a pool a server, as in many.kdl; by HTTP, as its stream module has no locations."""
    def server(n):
        return (f'upstream u{n} {{ server {ORIGIN} weight=5; server 127.0.0.1:19001; }}\n'
                f'server {{ listen 127.0.0.1:18100; server_name s{n}.example.cn *.s{n}.example.cn;\n'
                f' location /api/ {{ proxy_pass http://u{n}; }}\n'
                f' location ~ ^/img[0-9]+/ {{ proxy_pass http://{ORIGIN}; }}\n location / {{ proxy_pass http://u{n}; }} }}\n')
    conf = write('nginx/many.conf', f'pid {DIR}/run/nginx_many.pid; error_log {DIR}/run/nginx.err warn;\nevents {{}}\n'
                 'http { access_log off; server_names_hash_max_size 8192; server_names_hash_bucket_size 128;\n'
                 + ''.join(map(server, range(1000))) + '}\n')
    return [installed('nginx'), '-t', '-q', '-c', conf]


def nginx_reloaded():
    """It answers before it has reloaded: its time says nothing."""
    conf = nginx_many()[-1]
    with open(conf) as f:
        text = f.read()
    conf = write('nginx/reloaded.conf', 'user root; worker_processes 2; daemon off;\n' + text)
    return Spec([installed('nginx'), '-c', conf], {'many': 18100}, reload=[installed('nginx'), '-s', 'reload', '-c', conf], host='s500.example.cn')


# ---------------------------------------------------------------- HAProxy
def haproxy(role, workers, port=PORTS['l4'], to=ORIGIN):
    head = f'''
    global
      nbthread {workers}
      maxconn 12000
      no strict-limits
      ssl-default-bind-options ssl-min-ver TLSv1.2
      tune.h2.max-concurrent-streams 128
    defaults
      timeout connect 5s
      timeout client 300s
      timeout server 300s
      timeout http-keep-alive 300s'''
    if role == 'l4':
        conf = write(f'haproxy/l4-{port}.cfg', head + f'''
    frontend l4
      mode tcp
      bind 127.0.0.1:{port} backlog 4096
      default_backend o
    backend o
      mode tcp
      server o {to}
    ''')
        return Spec([installed('haproxy'), '-db', '-f', conf], {'l4': port})
    conf = write('haproxy/http.cfg', head + f'''
      mode http
      http-reuse always
    frontend l7
      bind 127.0.0.1:{PORTS['l7']} backlog 4096
      bind 127.0.0.1:{PORTS['h2c']} proto h2 backlog 4096
      bind 127.0.0.1:{PORTS['tls']} ssl crt {DIR}/conf/both.pem alpn h2,http/1.1 backlog 4096
      default_backend o
    backend o
      server o {ORIGIN}
    ''')
    return Spec([installed('haproxy'), '-db', '-f', conf], {key: PORTS[key] for key in ('l7', 'tls', 'h2c')})


def haproxy_many():
    numbers = range(1000)
    conf = write('haproxy/many.cfg', 'defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n'
                 'frontend f\n  bind 127.0.0.1:18100\n'
                 + ''.join(f'  use_backend b{n} if {{ hdr(host) -i s{n}.example.cn }} {{ path_beg /api/ }}\n'
                           f'  use_backend b{n} if {{ hdr(host) -i s{n}.example.cn }} {{ path_reg ^/img[0-9]+/ }}\n'
                           f'  use_backend b{n} if {{ hdr(host) -i s{n}.example.cn }}\n' for n in numbers)
                 + ''.join(f'backend b{n}\n  server o {ORIGIN} weight 5\n  server p 127.0.0.1:19001 weight 1\n' for n in numbers))
    return [installed('haproxy'), '-c', '-q', '-f', conf]


# ---------------------------------------------------------------- the system calls alone
def floor_command(how, port, to, workers):
    """No proxy: what the system takes for the calls that every one makes. Whoever does something is above it."""
    program = f'{DIR}/bin/floor'
    if not os.path.exists(program):
        raise Absent('tools/floor.c is not built')
    return [program, str(port), to.rsplit(':', 1)[1], str(workers), how]


def floor(role, workers, port=PORTS['l4'], to=ORIGIN):
    key, how = ('l4', 'paired') if role == 'l4' else ('l7', 'pooled')
    port = port if role == 'l4' else PORTS['l7']
    return Spec(floor_command(how, port, to, workers), {key: port})


PEERS = dict(nginx=nginx, haproxy=haproxy, anyproxy=anyproxy, floor=floor)
# Measured by callgrind alone: time cannot tell so small a difference.
BASELINES = {'anyproxy-static': anyproxy_static}
MANY = dict(nginx=nginx_many, haproxy=haproxy_many, anyproxy=anyproxy_many)
RELOADED = dict(nginx=nginx_reloaded, anyproxy=anyproxy_reloaded)
