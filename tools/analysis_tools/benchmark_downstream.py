"""Time whole detectors, segmentors and classifiers, with random weights, in one run:

python tools/analysis_tools/benchmark_downstream.py CONFIG...
"""

import argparse
from pathlib import Path

from vminet_mm.analysis import downstream
from vminet_mm.analysis.benchmark import MODES
from vminet_mm.analysis.benchmark_switches import add_switches, make_settings, publish
from vminet_mm.engine import add_cfg_options, load_config, run_tool
from vminet_mm.errors import ConfigError
from vminet_mm.tasks import SIZES_TEXT, task_of


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=downstream.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('configs', nargs='+', metavar='CONFIG', help='config files')
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='of the images; by default ' + SIZES_TEXT,
    )
    parser.add_argument(
        '--mode', choices=MODES, default='infer', help='a test or a training step; %(default)s'
    )
    parser.add_argument('--batch', type=int, default=1, help='images in a batch; %(default)s')
    parser.add_argument(
        '--deploy',
        action='store_true',
        help='time models with our backbone a second time, with the backbone folded',
    )
    parser.add_argument(
        '--baseline', metavar='NAME', help='config name that ratios refer to; the first'
    )
    add_switches(parser)
    add_cfg_options(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    configs = {Path(path).stem: load_config(path, args.cfg_options) for path in args.configs}
    for name, cfg in configs.items():
        task_of(cfg, name)
    try:
        sizes = (tuple(args.size),) if args.size else ()
        settings = make_settings(
            args, batch=args.batch, sizes=sizes, memory_format='contiguous', modes=(args.mode,)
        )
        report = downstream.run_downstream(configs, settings, args.deploy, args.baseline)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    publish(report, args)


if __name__ == '__main__':
    run_tool(main, parse_args())
