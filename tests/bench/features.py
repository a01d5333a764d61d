"""HTTP proxies, bare and with what a real one has switched on: one worker, whose instructions are counted, or more.

`all`: ten locals chosen by prefix, a denied network, X-Forwarded-For, Via, one buffered line of an access log, and
counters (of anyproxy: a local's). From a port to an origin with kept connections.
"""
from peers import DIR, Absent, anyproxy_binary, floor_command, installed, no_ring, write

LOCALS = [f'/l{n}/' for n in range(9)]
LOG = f'{DIR}/run/access.log'


def anyproxy(kind, port, to, workers):
    locals_ = ''.join(f'local {{ rule "${{path}}" prefix="{path}"; return 204; }}\n' for path in LOCALS)
    every = f'''
        access_log "{LOG}" format="${{local_time}} ${{client_addr}} ${{http_request_method}} ${{http_request_uri}} ${{status}} ${{upstream_addr}} ${{session_time}}"
        ip_deny "192.0.2.0/24"''' if kind == 'all' else ''
    server = f'http_via "a"\nhttp_forwarded "x"\n{locals_}' if kind == 'all' else ''
    conf = write(f'anyproxy/{kind}.kdl', f'''
    load_module "tcp" "balancer" "http"
    common {{ worker_threads {workers}; {no_ring(workers)} metrics_per_local #{'true' if kind == 'all' else 'false'}; }}
    net {{{every}
        server {{
            port_listen_tcp "127.0.0.1:{port}"
            http
            http_upstream_keepalive 1024
            http_upstream_keepalive_timeout "300s"
            {server}
            local {{ proxy_pass_tcp "{to}"; }}
        }}
    }}
    ''')
    return [anyproxy_binary(), '-c', conf]


def nginx(kind, port, to, workers):
    every = kind == 'all'
    locations = ''.join(f'location {path} {{ return 204; }}\n' for path in LOCALS)
    log = f'''log_format a '$time_local $remote_addr:$remote_port $request_method $request_uri $status $upstream_addr $request_time';
      access_log {LOG} a buffer=64k flush=5s;''' if every else 'access_log off;'
    # callgrind, which asks for one worker, cannot be switched on in a forked process.
    master = 'off' if workers == 1 else 'on'
    conf = write(f'nginx/{kind}.conf', f'''
    user root; worker_processes {workers}; master_process {master}; daemon off; pid {DIR}/run/nginx.pid; error_log {DIR}/run/nginx.err warn;
    events {{ worker_connections 2000; }}
    http {{
      {log}
      keepalive_timeout 300s; keepalive_requests 1000000000;
      upstream o {{ server {to}; keepalive 1024; keepalive_requests 1000000000; keepalive_timeout 300s; }}
      proxy_http_version 1.1; proxy_set_header Connection "";
      server {{
        listen 127.0.0.1:{port} reuseport backlog=4096;
        {'deny 192.0.2.0/24;' if every else ''}
        {locations if every else ''}
        location / {{
          proxy_pass http://o;
          {'proxy_set_header Connection ""; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header Via "1.1 a"; add_header Via "1.1 a";' if every else ''}
        }}
      }}
    }}
    ''')
    return [installed('nginx'), '-c', conf]


def haproxy(kind, port, to, workers):
    every = kind == 'all'
    front = '\n      '.join(['option httplog', 'option forwardfor', 'http-request deny if { src 192.0.2.0/24 }',
                             *(f'http-request return status 204 if {{ path_beg {path} }}' for path in LOCALS),
                             'http-request add-header Via "1.1 a"', 'http-response add-header Via "1.1 a"'] if every else [])
    conf = write(f'haproxy/{kind}.cfg', f'''
    global
      nbthread {workers}
      maxconn 2000
      no strict-limits
      {'log stdout format raw local0' if every else ''}
    defaults
      mode http
      timeout connect 5s
      timeout client 300s
      timeout server 300s
      http-reuse always
      {'log global' if every else ''}
    frontend f
      bind 127.0.0.1:{port} backlog 4096
      {front}
      default_backend o
    backend o
      server o {to}
    ''')
    return [installed('haproxy'), '-db', '-f', conf]


def floor(kind, port, to, workers):
    return floor_command('pooled', port, to, workers)


PEERS = dict(nginx=nginx, haproxy=haproxy, anyproxy=anyproxy, floor=floor)


def command(label, kind, port, to, workers=1):
    if label not in PEERS:
        raise Absent(f'{label} has no HTTP')
    return PEERS[label](kind, port, to, workers)
