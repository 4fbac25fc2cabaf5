"""Count parameters and MACs of a config's model: python tools/analysis_tools/get_flops.py CONFIG"""

import argparse

from vminet_mm.analysis.complexity import count_complexity, to_json, to_table
from vminet_mm.engine import add_cfg_options, load_config, run_tool
from vminet_mm.errors import ConfigError
from vminet_mm.tasks import SIZES_TEXT


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='size of the image; by default ' + SIZES_TEXT,
    )
    parser.add_argument('--format', choices=['table', 'json'], default='table', help='output')
    add_cfg_options(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    cfg = load_config(args.config, args.cfg_options)
    if args.shape and min(args.shape) < 1:
        raise ConfigError(f'--shape takes two positive numbers, not {args.shape}')
    counts = count_complexity(cfg, args.shape)
    print(to_json(counts) if args.format == 'json' else to_table(counts))


if __name__ == '__main__':
    run_tool(main, parse_args())
