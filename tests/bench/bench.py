#!/usr/bin/env python3
"""Measures proxies side by side on 127.0.0.1 and prints tables of ratios. tests/bench/run prepares and calls it.

One origin (nginx), the same number of workers for all, peers in turn within each round. CPU is that of a peer's whole
process tree. Without -s: those that the project set itself figures for. Peers that are not there are named and left out.
"""
import argparse
import json
import os
import resource
import signal
import sys
import time

import features
import peers
import scenarios
from procs import Process, listening, start
from report import report


def arguments():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('-p', '--peers', default=','.join(peers.PEERS), help='comma separated; default all')
    a.add_argument('-s', '--scenarios', default=','.join(scenarios.LAYER4 + scenarios.HTTP), help='comma separated; see --list')
    a.add_argument('-r', '--rounds', type=int, default=5)
    a.add_argument('-d', '--duration', type=int, default=3, help='seconds of each load, 1 to 8')
    a.add_argument('--workers', type=int, default=2)
    a.add_argument('-l', '--list', action='store_true', help='names of peers and scenarios')
    a.add_argument('-o', '--out', help='file for the measurements, a JSON object a line')
    a.add_argument('--report', nargs='+', metavar='FILE', help='only print the tables of earlier measurements')
    a.add_argument('--up', metavar='PEER', help='start one peer and the origin, and wait for Enter')
    a.add_argument('--role', default='l4', choices=['l4', 'http'], help='role for --up')
    return a.parse_args()


def measure(name, scenario, peer, args, org):
    if scenario.kind == 'check':
        if peer not in peers.MANY:
            raise peers.Absent(f'{peer} has no configuration of 1,000 servers')
        return scenarios.check(peers.MANY[peer]())
    if scenario.kind == 'reload':
        if peer not in peers.RELOADED:
            raise peers.Absent(f'{peer} does not reload within its process')
        return scenarios.reload(scenario, peer, peers.RELOADED[peer]())
    if scenario.kind == 'startup':
        return scenarios.startup(peer, lambda: peers.PEERS[peer](scenario.role(), args.workers))
    if scenario.port == 'all':
        port = peers.PORTS['all']
        spec = peers.Spec(features.command(peer, 'all', port, peers.ORIGIN, args.workers), {'all': port})
    else:
        spec = peers.PEERS[peer](scenario.role(), args.workers)
    if scenario.port not in spec.ports:
        raise peers.Absent(f'{peer} has no {scenario.port}')
    return scenarios.measure(scenario, peer, spec, org, args.duration)


class Origin:
    """The one that all peers ask."""

    def __init__(self):
        self.process, self.among = None, None

    def run(self, among):
        """Has it run as `Process` says, if it does not."""
        if self.among == among:
            return
        self.stop()
        self.process, self.among = Process('origin', peers.origin(), among=among), among
        while not listening(19000):
            if not self.process.alive():
                sys.exit(f'the origin did not start, see {peers.DIR}/run/origin.log')
            time.sleep(0.02)

    def stop(self):
        if self.process:
            self.process.stop()
        self.process, self.among = None, None


def run(args, org, out):
    told = set()
    for name in args.scenarios.split(','):
        scenario = scenarios.ALL[name]
        org.run(among=scenario.kind == 'reload')
        once = scenario.kind in ('startup', 'check', 'idle')  # these repeat by themselves, or vary little
        for round_ in range(1 if once else args.rounds):
            for peer in args.peers.split(','):
                row = dict(scenario=name, peer=peer, round=round_, workers=args.workers, at=time.strftime('%H:%M:%S'))
                try:
                    row.update(measure(name, scenario, peer, args, org.process))
                except peers.Absent as why:
                    if (peer, str(why)) not in told:
                        print(f'skipped: {peer}: {why}', flush=True)
                        told.add((peer, str(why)))
                    continue
                except (RuntimeError, OSError) as error:
                    row['error'] = str(error)[:300]
                out.write(json.dumps(row) + '\n')
                out.flush()
                shown = ('p99_times', 'rate', 'cpu_per', 'p50_us', 'p99_us', 'requests', 'pss_per', 'ms', 'errors', 'error')
                print(row['at'], name, peer, round_, ' '.join(f'{k}={row[k]:.4g}' if isinstance(row[k], float) else f'{k}={row[k]}'
                                                              for k in shown if row.get(k) is not None), flush=True)


def main():
    args = arguments()
    if args.report:
        return report(args.report)
    if args.list:
        print('peers:    ', *peers.PEERS)
        print('scenarios:')
        for name, scenario in scenarios.ALL.items():
            print(f'  {name:10} {scenario.title}' + ('' if name in scenarios.LAYER4 else '   (not by default)'))
        return None
    unknown = [n for n in args.scenarios.split(',') if n not in scenarios.ALL] + [n for n in args.peers.split(',') if n not in peers.PEERS]
    if unknown:
        sys.exit(f'unknown: {" ".join(unknown)}; see --list')
    args.duration = max(1, min(args.duration, 8))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if scenarios.pairs_possible(10000) < 10000:
        print(f'descriptors are limited to {hard} here: idle scenarios hold {scenarios.pairs_possible(10000)} connections')
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('terminated'))  # so that what was started is stopped
    if listening(19000):
        sys.exit('port 19000 is taken: is another bench running?')
    org = Origin()
    try:
        org.run(among=False)
        if args.up:
            spec = peers.PEERS[args.up](args.role, args.workers)
            process = start(args.up, spec, next(iter(spec.ports)))
            try:
                input(f'{args.up} is up, pid {process.pid}, ports {spec.ports}; Enter ends it ')
            except EOFError:
                pass
            finally:
                process.stop()
            return None
        name = args.out or f'{peers.DIR}/results/{time.strftime("%m%d-%H%M%S")}.jsonl'
        with open(name, 'a') as out:
            run(args, org, out)
    finally:
        org.stop()
    report([name])
    print(f'\nmeasurements: {name} (bench.py --report prints these tables again)')
    return None


if __name__ == '__main__':
    main()
