#!/usr/bin/env python3
"""Writes the configuration of 1,000 servers that `-t`, start and reload are measured on.

  many.py > many.kdl      KDL v2; each server has three locals and a pool of its own. The file is committed, so that
                          everyone measures the same bytes; setup.sh says when it is no longer what this script writes.

Listens on one address of 127.0.0.1 for all domains. Only layer 4 is used: tcp and balancer are the modules it needs.
"""
import sys

HEAD = '''load_module "tcp" "balancer"

common {
    worker_threads 2
    shutdown_timeout "30s"
}

net {
'''

SERVER = '''    // site %(n)d
    server {
        domain "s%(n)d.example.cn" "*.s%(n)d.example.cn"
        domain_listen_tcp "127.0.0.1:%(port)d"
        local {
            rule "${domain}" prefix="api.s%(n)d."
            proxy_pass_upstream "pool%(n)d"
        }
        local {
            rule "${client_addr}" prefix="127.0.0."
            rule "${domain}" regex=#"^img[0-9]+\\.s%(n)d\\."#
            proxy_pass_tcp "127.0.0.1:19000"
        }
        local {
            proxy_pass_upstream "pool%(n)d"
        }
    }
'''

POOL = '''upstream "pool%(n)d" {
    balancer "weight"
    proxy_pass_tcp "127.0.0.1:19000" weight=5 { heartbeat interval="10s" timeout="2s" fail=3; }
    proxy_pass_tcp "127.0.0.1:19001" weight=1 { heartbeat interval="10s" timeout="2s" fail=3; }
}
'''


def text(servers=1000, port=18100):
    numbers = [dict(n=n, port=port) for n in range(servers)]
    pools = ''.join(POOL % n for n in numbers)
    head, net = HEAD.split('net {')
    return head + pools + '\nnet {' + net + ''.join(SERVER % n for n in numbers) + '}\n'


if __name__ == '__main__':
    sys.stdout.write(text())
