"""Write a checkpoint of the authors, or any other of VMINet, as one of an mmpretrain classifier."""

import argparse

from vminet_mm.engine import run_tool
from vminet_mm.engine.conversion import convert


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', help='checkpoint to read')
    parser.add_argument('dst', help='checkpoint to write, for tools/test.py')
    parser.add_argument('--ema', action='store_true', help='take the averaged weights')
    parser.add_argument('--force', action='store_true', help='overwrite DST if it exists')
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    print(convert(args.src, args.dst, args.ema, args.force))


if __name__ == '__main__':
    run_tool(main, parse_args())
