"""What the tests of the data check share: a check of damaged copies of the built-in data."""

import json
from collections.abc import Callable
from pathlib import Path

from vminet_mm.datasets import SEG_CLASSES
from vminet_mm.datasets.checks import check_config
from vminet_mm.datasets.checks.report import Report
from vminet_mm.engine import load_config

ROOT = Path(__file__).resolve().parents[1]
SPLITS = ('train', 'val', 'test')
CONFIGS = {
    'coco': 'configs/mask_rcnn/mask-rcnn_vminet-ti_fpn_mini.py',
    'ade': 'configs/upernet/upernet_vminet-xs_8xb2-160k_ade20k-512x512.py',
    'imagenet': 'configs/cls/vminet-ti_mini.py',
}
OPTIONS = {
    'coco': {},
    'imagenet': {},
    'ade': {
        'model.decode_head.num_classes': 6,
        'model.auxiliary_head.num_classes': 6,
        **{f'{split}_dataloader.dataset.metainfo.classes': list(SEG_CLASSES) for split in SPLITS},
    },
}


def check(root: Path, splits: tuple = ('train', 'val'), samples: int = 100, **options) -> Report:
    """Check a folder named like its layout; dots of options are written as two underscores."""
    dotted = {key.replace('__', '.'): value for key, value in options.items()}
    cfg = load_config(ROOT / CONFIGS[root.name], OPTIONS[root.name] | dotted, str(root))
    lines = []
    report = check_config(cfg, splits, samples, echo=lines.append)
    report.lines = lines
    return report


def only_problem(report: Report) -> str:
    assert len(report.problems) == 1, report.problems
    return report.problems[0]


def edit_json(path: Path, change: Callable[[dict], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def truncate(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
