"""Tables out of measurements. Ratios are taken within a round (nginx = 1.00), then their median with minimum and maximum:
what disturbs a round disturbs all peers in it."""
import json
import statistics

from scenarios import ALL

# What the project set itself, per figure: scenario, field, what it is divided by (nginx in the same round or nothing), bound.
GOALS = [
    ('CPU a small request', 'l4_1k', 'cpu_per', True, 0.90),
    ('CPU a new connection', 'l4_new', 'cpu_per', True, 0.92),
    ('CPU a GiB of long transfers', 'l4_bulk', 'cpu_per', True, 0.35),
    ('CPU a 100 KiB response', 'l4_100k', 'cpu_per', True, 0.60),
    ('p99 of small requests', 'l4_1k', 'p99_us', True, 1.00),
    ('p99 of new connections', 'l4_new', 'p99_us', True, 1.00),
    ('PSS an idle pair, bytes', 'idle_l4', 'pss_per', False, 2048),
    ('CPU an HTTP/1.1 request of 1 KiB', 'h1_1k', 'cpu_per', True, 0.72),
    ('CPU an HTTP/1.1 request of 100 KiB', 'h1_100k', 'cpu_per', True, 0.78),
    ('CPU an HTTP/1.1 connection', 'h1_new', 'cpu_per', True, 0.70),
    ('CPU an HTTP/2 request', 'h2c_1k', 'cpu_per', True, 0.85),
    ('CPU a static file of 1 KiB', 'static_1k', 'cpu_per', True, 0.80),
    ('CPU a GiB of static files of 10 MiB', 'static_10m', 'cpu_per', True, 0.86),
    ('PSS an idle HTTP connection, bytes', 'idle_l7', 'pss_per', False, 1331),
    ('start to first answer, ms', 'startup', 'ms', False, 100),
    ('check of 1,000 servers, ms', 'check1000', 'ms', False, 300),
    ('reload of 1,000 servers, ms', 'reload_new', 'ms', False, 1000),
    ('p99 of new connections during reloads, times', 'reload_new', 'p99_times', False, 3),
    ('p99 of kept connections during reloads, times', 'reload_kept', 'p99_times', False, 3),
]


def load(files):
    rows = {}
    for name in files:
        with open(name) as f:
            for line in f:
                row = json.loads(line)
                rows.setdefault(row['scenario'], {}).setdefault(row['peer'], []).append(row)
    return rows


def number(v):
    if v is None:
        return '-'
    return f'{v:.3g}' if abs(v) < 1000 else f'{v:,.0f}'


def median(rows, key):
    values = [row[key] for row in rows if row.get(key) is not None]
    return statistics.median(values) if values else None


def ratios(rows, base, key):
    """Per round, this peer's value over nginx's."""
    other = {row['round']: row[key] for row in base if row.get(key)}
    return [row[key] / other[row['round']] for row in rows if row.get(key) and row['round'] in other]


def ratio(rows, base, key):
    values = ratios(rows, base, key)
    return f'{statistics.median(values):.2f} [{min(values):.2f}–{max(values):.2f}]' if values else '-'


def table(head, lines):
    widths = [max(len(str(line[i])) for line in [head, *lines]) for i in range(len(head))]
    for n, line in enumerate([head, *lines]):
        print('| ' + ' | '.join(str(cell).ljust(width) for cell, width in zip(line, widths)) + ' |')
        if n == 0:
            print('|' + '|'.join('-' * (width + 2) for width in widths) + '|')


COLUMNS = {
    'req': lambda m, r: {'req/s': m('rate'), 'ratio': r('rate'), 'p50 ms': m('p50_us', 1e-3), 'p50 ratio': r('p50_us'),
                         'p99 ms': m('p99_us', 1e-3), 'p99 ratio': r('p99_us'), 'CPU ms/1,000': m('cpu_per', 1e3), 'CPU ratio': r('cpu_per'),
                         'foreign CPU s': m('foreign')},
    'gib': lambda m, r: {'GiB/s': m('rate'), 'ratio': r('rate'), 'CPU s/GiB': m('cpu_per'), 'CPU ratio': r('cpu_per'), 'foreign CPU s': m('foreign')},
    'idle': lambda m, r: {'held': m('requests'), 'still open': m('still_open'), 'RSS before KiB': m('rss0'), 'held KiB': m('rss1'), 'after KiB': m('rss2'),
                          'RSS B/pair': m('rss_per'), 'PSS B/pair': m('pss_per'), 'PSS ratio': r('pss_per'), 'CPU s/s': m('idle_cpu')},
    'startup': lambda m, r: {'median ms': m('ms'), 'worst ms': m('worst'), 'ratio': r('ms'), 'RSS KiB': m('rss_kib')},
    'reload': lambda m, r: {'p99 alone ms': m('quiet_p99_us', 1e-3), 'p99 ms': m('p99_us', 1e-3), 'times': m('p99_times'), 'greatest ms': m('max_us', 1e-3),
                            'p50 ms': m('p50_us', 1e-3), 'reload ms': m('ms'), 'worst reload ms': m('worst'), 'RSS KiB': m('rss_kib')},
    'check': lambda m, r: {'median ms': m('ms'), 'worst ms': m('worst'), 'ratio': r('ms'), 'CPU ms': m('cpu_ms')},
}


def tables(rows):
    for name, scenario in ALL.items():
        if name not in rows:
            continue
        where = f'{scenario.tool}, {scenario.connections} connections, {scenario.path}' if scenario.tool else scenario.kind
        print(f'\n### {name}: {scenario.title} ({where})')
        base, lines, head = rows[name].get('nginx', []), [], None
        for peer, all_rows in rows[name].items():
            good = [row for row in all_rows if 'error' not in row]
            notes = '; '.join(sorted({row.get('error') or row.get('err') or '' for row in all_rows} - {''}))[:100]
            failed = sum(row.get('errors', 0) + row.get('non2xx', 0) for row in good)
            cells = COLUMNS[scenario.kind](lambda key, scale=1: number(v * scale) if (v := median(good, key)) is not None else '-',
                                           lambda key: ratio(good, base, key))
            head = ['peer', *cells, 'errors', 'note']
            lines.append([peer, *cells.values(), failed, notes])
        table(head, lines)


def goals(rows, peer='anyproxy'):
    lines = []
    for title, name, key, relative, bound in GOALS:
        mine = [row for row in rows.get(name, {}).get(peer, []) if 'error' not in row]
        if not mine:
            continue
        values = ratios(mine, rows[name].get('nginx', []), key) if relative else [row[key] for row in mine]
        if values:
            value = statistics.median(values)
            lines.append([title, number(value), f'≤ {bound:g}', 'reached' if value <= bound else 'NOT reached'])
    if lines:
        print('\n### figures to reach')
        table(['figure', peer + (', nginx = 1.00 where a ratio'), 'goal', ''], lines)


def report(files):
    rows = load(files)
    tables(rows)
    goals(rows)
