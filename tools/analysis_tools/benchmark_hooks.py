"""Time the hooks of a training, and MMEngine's own loop beside ours:

python tools/analysis_tools/benchmark_hooks.py CONFIG
"""

import argparse

from vminet_mm.analysis.hook_costs import measure
from vminet_mm.engine import add_cfg_options, load_config, require_data, run_tool
from vminet_mm.errors import ConfigError


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', metavar='CONFIG', help='of a training whose data are there')
    parser.add_argument('--data-root', help='folder that every data set of the config is read from')
    parser.add_argument(
        '--processes', type=int, default=1, help='that train together here; %(default)s'
    )
    parser.add_argument('--iterations', type=int, default=50, help='of a round; %(default)s')
    parser.add_argument('--rounds', type=int, default=3, help='of both loops; %(default)s')
    add_cfg_options(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    if min(args.processes, args.rounds) < 1 or args.iterations < 2:
        raise ConfigError('--processes and --rounds are at least 1, --iterations at least 2')
    cfg = load_config(args.config, args.cfg_options, args.data_root)
    require_data(cfg, ('train',))
    print(measure(cfg, args.processes, args.iterations, args.rounds).table())


if __name__ == '__main__':
    run_tool(main, parse_args())
