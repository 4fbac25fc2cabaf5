"""Write a classifier that the authors of another backbone released as one of mmpretrain."""

import argparse

from vminet_mm.engine import load_config, run_tool
from vminet_mm.engine.peer_conversion import convert_peer


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of the classifier, in configs/peers')
    parser.add_argument('src', help='checkpoint to read')
    parser.add_argument('dst', help='checkpoint to write, for tools/test.py CONFIG')
    parser.add_argument('--ema', action='store_true', help='take the averaged weights')
    parser.add_argument('--force', action='store_true', help='overwrite DST if it exists')
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    print(convert_peer(load_config(args.config), args.src, args.dst, args.ema, args.force))


if __name__ == '__main__':
    run_tool(main, parse_args())
