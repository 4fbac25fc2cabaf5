"""Check the data of a config and draw a page of its samples: python tools/check_data.py CONFIG"""

import argparse
from pathlib import Path

from mmengine.config import Config

from vminet_mm.datasets.checks import check_config, fix_annotations
from vminet_mm.datasets.config_parts import leaf_datasets
from vminet_mm.engine import add_cfg_options, load_config, run_tool
from vminet_mm.engine.batches import require_norms_fed_by
from vminet_mm.errors import ConfigError, error_text
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
    parser.add_argument('--work-dir', help='folder of the pages, by default work_dirs/<config>')
    parser.add_argument(
        '--fix',
        metavar='OUT.json',
        help='write a corrected copy of the annotation file in the layout of COCO; with several '
        'splits the second and later ones add _<split> to the name',
    )
    args = parser.parse_args()
    if args.samples < 1:
        parser.error('--samples takes a positive number')
    return args


def main(args: argparse.Namespace) -> None:
    cfg = load_config(args.config, args.cfg_options, args.data_root, args.work_dir)
    report = check_config(cfg, tuple(args.split), args.samples, args.seed)
    try:
        require_norms_fed_by(cfg, report.lengths.get('train', 0))
    except ConfigError as error:
        report.problems.append(str(error))
    report.say_findings()
    if args.fix:
        fix(cfg, args.split, Path(args.fix))
    for number, (split, samples) in enumerate(report.samples.items()):
        if not samples or split not in report.classes:
            continue
        default = Path(cfg.work_dir) / f'data_{split}.png'
        page = numbered(Path(args.page), split, number) if args.page else default
        title = f'{Path(args.config).stem}: {split}, through its pipeline'
        classes, palette = report.classes[split], report.palettes[split]
        try:
            said = save_page(page, samples[:PAGE_SAMPLES], classes, palette, title)
        except Exception as error:  # a picture less; what was found is what counts
            said = f'not drawn, {error_text(error)}'
        print(f'page of {split}: {said}')
    raise SystemExit(1 if report.problems else 0)


def fix(cfg: Config, splits: list[str], target: Path) -> None:
    """Write a corrected copy of each split's annotation file."""
    files = {}
    for split in splits:
        for leaf in leaf_datasets((cfg.get(f'{split}_dataloader') or {}).get('dataset')):
            path = Path(leaf.get('data_root') or '') / (leaf.get('ann_file') or '')
            if path.suffix == '.json':
                files.setdefault(path, split)
    if not files:
        raise ConfigError('--fix corrects annotation files of COCO, and the config reads none')
    for number, (source, split) in enumerate(files.items()):
        copy = numbered(target, split, number)
        changes = fix_annotations(source, copy)
        text = ', '.join(f'{count} x {key}' for key, count in changes.items() if count)
        print(f'{copy}: {source} with {text or "nothing"} corrected')


def numbered(path: Path, split: str, number: int) -> Path:
    """A file for a split; the first one has the name as it was given."""
    return path.with_stem(f'{path.stem}_{split}') if number else path


if __name__ == '__main__':
    run_tool(main, parse_args())
