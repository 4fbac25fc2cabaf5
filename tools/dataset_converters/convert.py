"""Bring a public download into the layout that the configs read: convert.py NAME SOURCE TARGET"""

import argparse

from vminet_mm.datasets import converters
from vminet_mm.engine import run_tool


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    names = parser.add_subparsers(dest='name', required=True, metavar='NAME')
    for name, source in (
        ('cifar10', 'the unpacked folder cifar-10-batches-py'),
        ('nuclei', 'stage1_train of the 2018 Data Science Bowl'),
        ('camvid', 'the folder with train/, trainannot/, val/, valannot/'),
        ('voc', 'the folder with JPEGImages/, Annotations/, ImageSets/Main/'),
    ):
        one = names.add_parser(name, help=source)
        one.add_argument('source', help=source)
        one.add_argument('target', help='the new data root, which must be empty or absent')
        if name == 'nuclei':
            one.add_argument('--val-fraction', type=float, default=0.15, help='of the images')
            one.add_argument('--seed', type=int, default=0, help='of the choice of the split')
        elif name == 'camvid':
            one.add_argument('--val', choices=['val', 'test'], default='val')
        elif name == 'voc':
            one.add_argument('--classes', nargs='+', help='names in the order of their numbers')
            one.add_argument('--val-fraction', type=float, help='split by chance, without lists')
            one.add_argument('--seed', type=int, default=0, help='of the choice of the split')
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    options = dict(vars(args))
    convert = getattr(converters, f'convert_{options.pop("name")}')
    counts = convert(**options)
    print(f'{args.target}: ' + ', '.join(f'{count} {split}' for split, count in counts.items()))


if __name__ == '__main__':
    run_tool(main, parse_args())
