"""Print the paper's Tables 1 to 6 beside ours: python tools/analysis_tools/paper_tables.py"""

import argparse
import sys
from pathlib import Path

from vminet_mm.analysis.our_numbers import (
    fill_accuracy,
    fill_counts,
    fill_facts,
    fill_latency,
    read_benchmark,
)
from vminet_mm.analysis.paper_formats import to_csv, to_json, to_markdown
from vminet_mm.analysis.paper_tables import read_tables
from vminet_mm.analysis.run_results import find_runs
from vminet_mm.engine import run_tool
from vminet_mm.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / 'configs'
FORMATS = {'md': to_markdown, 'csv': to_csv, 'json': to_json}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--tables', type=int, nargs='+', choices=range(1, 7), metavar='N', help='1 to 6; all'
    )
    parser.add_argument(
        '--work-dirs', default='work_dirs', help='read accuracy from the runs below this folder'
    )
    parser.add_argument(
        '--measure',
        choices=['none', 'ours', 'all'],
        default='none',
        help='count parameters and MACs of no model, of ours, or of the peers as well',
    )
    parser.add_argument('--benchmark-json', help='read latency from what benchmark.py wrote')
    parser.add_argument('--format', choices=FORMATS, default='md', help='output')
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    tables = read_tables(args.tables)
    fill_facts(tables, CONFIGS)
    if args.measure != 'none':
        fill_counts(tables, CONFIGS, args.measure == 'all', lambda s: print(s, file=sys.stderr))
    if args.benchmark_json:
        if not Path(args.benchmark_json).is_file():
            raise ConfigError(f'there is no file {args.benchmark_json} for --benchmark-json')
        try:
            fill_latency(tables, read_benchmark(args.benchmark_json))
        except ValueError as error:
            raise ConfigError(str(error)) from error
    fill_accuracy(tables, find_runs(args.work_dirs), CONFIGS)
    print(FORMATS[args.format](tables))


if __name__ == '__main__':
    run_tool(main, parse_args())
