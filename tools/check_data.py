"""Check the data of a config and draw a page of its samples: python tools/check_data.py CONFIG"""

import argparse
from pathlib import Path

from vminet_mm.engine import add_cfg_options, load_config, run_tool
from vminet_mm.engine.data_check import check_config
from vminet_mm.visualization.samples import save_page

PAGE_SAMPLES = 16


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--data-root', help='folder that every data set of the config is read from')
    add_cfg_options(parser)
    parser.add_argument(
        '--split', nargs='+', choices=['train', 'val', 'test'], default=['train', 'val']
    )
    parser.add_argument(
        '--samples',
        type=int,
        default=16,
        help='how many images of each split to open; a large number opens all',
    )
    parser.add_argument('--seed', type=int, default=0, help='of the choice and the augmentation')
    parser.add_argument(
        '--page',
        metavar='FILE.png',
        help='where the page of samples goes, by default work_dirs/<config>/data_<split>.png; '
        'with several splits the second and later ones add _<split> to the name',
    )
    args = parser.parse_args()
    if args.samples < 1:
        parser.error('--samples takes a positive number')
    return args


def main(args: argparse.Namespace) -> None:
    cfg = load_config(args.config, args.cfg_options, args.data_root)
    report = check_config(cfg, tuple(args.split), args.samples, args.seed)
    for number, (split, samples) in enumerate(report.samples.items()):
        if not samples:
            continue
        if args.page:
            page = Path(args.page)
            page = page.with_stem(f'{page.stem}_{split}') if number else page
        else:
            page = Path(cfg.work_dir) / f'data_{split}.png'
        title = f'{Path(args.config).stem}: {split}, through its pipeline'
        classes, palette = report.classes[split], report.palettes[split]
        print(
            f'page of {split}: {save_page(page, samples[:PAGE_SAMPLES], classes, palette, title)}'
        )
    report.say_findings()
    raise SystemExit(1 if report.problems else 0)


if __name__ == '__main__':
    run_tool(main, parse_args())
