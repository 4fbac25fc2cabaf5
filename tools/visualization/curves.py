"""Draw loss and metrics of training runs: python tools/visualization/curves.py WORK_DIR..."""

import argparse

from vminet_mm.engine import run_tool
from vminet_mm.errors import ConfigError
from vminet_mm.visualization.curves import choose_keys, read_curves, save_curves


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'runs', nargs='+', metavar='WORK_DIR', help='work dirs, finished or not, or JSON logs'
    )
    parser.add_argument(
        '--keys',
        nargs='+',
        metavar='NAME',
        help="names as logged, or patterns such as 'loss*'; by default the loss and the main "
        'metrics of the task',
    )
    parser.add_argument('--log-y', action='store_true', help='logarithmic scale for the training')
    parser.add_argument(
        '--out', default='work_dirs/curves.png', metavar='FILE.png', help='%(default)s'
    )
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    try:
        runs = [read_curves(path) for path in args.runs]
        keys = choose_keys(runs, args.keys)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    print(f'written: {save_curves(args.out, runs, keys, args.log_y)}')


if __name__ == '__main__':
    run_tool(main, parse_args())
