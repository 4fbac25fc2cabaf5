"""Make the built-in data sets: the same scenes for detection, segmentation, classification."""

import argparse

from vminet_mm.datasets import make_mini_data


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('root', nargs='?', default='data/mini', help='folder to write into')
    parser.add_argument('--train', type=int, default=2000, help='training scenes')
    parser.add_argument('--val', type=int, default=150, help='validation scenes')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--size', type=int, nargs=2, default=(128, 160), metavar=('H', 'W'), help='of a scene'
    )
    parser.add_argument('--crop-size', type=int, default=64, help='side of a classification image')
    parser.add_argument('--force', action='store_true', help='make the data again if they exist')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        summary = make_mini_data(
            args.root, args.train, args.val, args.seed, args.size, args.crop_size, args.force
        )
    except (ValueError, OSError) as error:
        raise SystemExit(f'error: {error}') from error
    print(f'{"made" if summary["made"] else "found"} in {summary["root"]}:')
    for folder, number in summary['files'].items():
        print(f'  {folder}: {number}')
    for split, counts in summary['counts'].items():
        print(f'{split} objects: {counts["objects"]}')


if __name__ == '__main__':
    main()
