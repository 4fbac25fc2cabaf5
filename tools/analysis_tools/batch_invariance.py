"""Measure what padding does to features and accuracy, without and with mask_padding:

python tools/analysis_tools/batch_invariance.py CONFIG [CHECKPOINT]
"""

import argparse

from vminet_mm.analysis import batch_invariance
from vminet_mm.engine import add_cfg_options, load_config, require_data, run_tool
from vminet_mm.errors import ConfigError
from vminet_mm.inference.loading import add_device


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=batch_invariance.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file; without it random weights')
    parser.add_argument(
        '--padding',
        type=int,
        nargs='+',
        default=[0, 32, 64, 128],
        metavar='PIXELS',
        help='at the right and at the bottom; by default 0 32 64 128',
    )
    parser.add_argument('--images', type=int, default=8, help='whose features are compared; 8')
    parser.add_argument('--evaluate', action='store_true', help='measure the accuracy, too')
    parser.add_argument('--time', action='store_true', help='measure what mask_padding costs')
    parser.add_argument('--data-root', help='folder that every data set of the config is read from')
    add_device(parser)
    add_cfg_options(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    if min(args.padding) < 0 or args.images < 1:
        raise ConfigError('--padding takes numbers from 0, and --images one from 1')
    cfg = load_config(args.config, args.cfg_options, args.data_root)
    require_data(cfg, ('test',))
    study = batch_invariance.Study(cfg, args.checkpoint, args.device)
    print(batch_invariance.to_table(list(study.rows(args.padding, args.images, args.evaluate))))
    for t in study.times(max(args.padding)) if args.time else ():
        print(f'{t.kind}: {t.plain:.4f} s, with mask_padding {t.masked:.4f} s, ratio {t.ratio:.2f}')


if __name__ == '__main__':
    run_tool(main, parse_args())
