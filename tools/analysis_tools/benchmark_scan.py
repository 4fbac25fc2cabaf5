"""Time the selective scan beside a layer without a recurrence, and how it grows with tokens:

python tools/analysis_tools/benchmark_scan.py
"""

import argparse

import torch

from vminet_mm.analysis import scan_benchmark
from vminet_mm.analysis.benchmark import DTYPES, Settings
from vminet_mm.engine import run_tool
from vminet_mm.errors import ConfigError
from vminet_mm.ops.selective_scan import SCAN_IMPLS


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=scan_benchmark.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    parser.add_argument(
        '--tokens', type=int, nargs='+', default=[197, 1024, 4096, 16384], help='%(default)s'
    )
    parser.add_argument('--channels', type=int, default=384, help='D; %(default)s, as of Vim-Ti')
    parser.add_argument('--states', type=int, default=16, help='N; %(default)s')
    parser.add_argument('--batch', type=int, default=1, help='images; %(default)s')
    parser.add_argument('--impl', choices=SCAN_IMPLS, default='auto', help='%(default)s')
    parser.add_argument(
        '--mode', choices=[*scan_benchmark.MODES, 'both'], default='infer', help='%(default)s'
    )
    parser.add_argument('--device', default=device, help='cpu, cuda or cuda:N; here %(default)s')
    parser.add_argument('--amp', choices=list(DTYPES)[1:], help='run under autocast')
    parser.add_argument('--threads', type=int, default=1, help='of torch on the CPU; %(default)s')
    parser.add_argument('--rounds', type=int, default=9, help='%(default)s')
    parser.add_argument(
        '--seconds', type=float, default=0.2, help='how long a timing lasts at least; %(default)s'
    )
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    modes = scan_benchmark.MODES if args.mode == 'both' else (args.mode,)
    try:
        settings = Settings(
            device=args.device,
            dtype=args.amp or 'fp32',
            amp=bool(args.amp),
            batch=args.batch,
            modes=modes,
            rounds=args.rounds,
            min_seconds=args.seconds,
            threads=args.threads,
        )
        report = scan_benchmark.measure_scan(
            settings, args.tokens, args.channels, args.states, args.impl
        )
    except (ValueError, ImportError) as error:
        raise ConfigError(str(error)) from error
    print(report.table())


if __name__ == '__main__':
    run_tool(main, parse_args())
