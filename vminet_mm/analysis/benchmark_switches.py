"""Command-line switches and output that the benchmark tools share."""

import argparse
from pathlib import Path

import torch

from .benchmark import DTYPES, Settings
from .benchmark_report import Report, to_json, to_table


def add_switches(parser: argparse.ArgumentParser) -> None:
    """Add device, number format, rounds and outputs."""
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    parser.add_argument('--device', default=device, help='cpu, cuda or cuda:N; here %(default)s')
    parser.add_argument('--dtype', choices=DTYPES, default='fp32', help='of weights and images')
    parser.add_argument(
        '--amp', action='store_true', help='keep the weights in fp32 and autocast to --dtype'
    )
    parser.add_argument(
        '--threads',
        type=int,
        default=torch.get_num_threads(),
        help='of torch on the CPU; here %(default)s',
    )
    parser.add_argument(
        '--rounds', type=int, default=9, help='how often each model is timed; %(default)s'
    )
    parser.add_argument(
        '--seconds', type=float, default=0.2, help='how long a timing lasts at least; %(default)s'
    )
    parser.add_argument(
        '--cpu-time',
        action='store_true',
        help='count processor time, which other work on the machine changes less than the clock',
    )
    parser.add_argument('--format', choices=['text', 'md'], default='text', help='of the table')
    parser.add_argument('--json', metavar='FILE', help='write settings and raw timings there')


def make_settings(args: argparse.Namespace, **others: object) -> Settings:
    """The settings that the shared switches and ``others`` give.

    Raises:
        ValueError: If they are out of range.
    """
    shared = ('device', 'dtype', 'amp', 'threads', 'rounds', 'cpu_time')
    given = {name: getattr(args, name) for name in shared}
    return Settings(min_seconds=args.seconds, **given, **others)


def publish(report: Report, args: argparse.Namespace) -> None:
    """Print the table, and write the JSON where it was asked for."""
    print(to_table(report, args.format))
    if args.json:
        path = Path(args.json)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_json(report) + '\n')
        print(f'written: {path}')
