"""Checks of the data before every training and test: the lists, and a few label maps.

It costs as much as reading the annotation files once. tools/check_data.py checks all files.
"""

import os
from collections.abc import Callable
from typing import Any

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, DefaultScope

from ...errors import ConfigError
from ..config_parts import leaf_datasets
from .check import build, cannot_read
from .classes import check_classes_agree, check_model, is_text, note_classes, reads_masks
from .coco import check_annotations
from .folders import check_some_folders
from .label_maps import check_some_label_maps
from .lists import check_some_listed
from .parsed import check_some_parsed
from .readers import reader_of
from .report import Report

# by the data set's class that defines how the annotations are read and parsed
LIST_CHECKS: dict[str, Callable[[Report, Any], None]] = {
    'CocoDataset': check_annotations,
    'CustomDataset': check_some_listed,
    'MultiLabelDataset': check_some_listed,
    'BaseSegDataset': check_some_label_maps,
    'XMLDataset': check_some_parsed,
}


def require_sound_lists(cfg: Config, splits: tuple[str, ...]) -> None:
    """Raise ConfigError for annotations that would stop a run, or teach it something wrong."""
    report = Report(echo=lambda line: None)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        for split in splits:
            report.split = split
            loader = cfg.get(f'{split}_dataloader') or {}
            if reads_masks(cfg, split):
                report.masks.add(split)
            for leaf in leaf_datasets(loader.get('dataset')):
                _check_lists(report, leaf)
    report.split = ''  # what follows is of all of them
    check_classes_agree(report)
    if report.classes:
        number = len(next(iter(report.classes.values())))
        check_model(report, cfg, number, more_is_wrong=False)
    elif report.least_classes:
        check_model(report, cfg, report.least_classes, more_is_wrong=False)
    if report.problems:
        raise ConfigError('\n'.join(report.problems))


def _check_lists(report: Report, leaf: dict) -> None:
    """Check the annotations of one data set, if their format is known."""
    kind = leaf.get('type')
    with DATASETS.switch_scope_and_registry(leaf.get('_scope_')) as registry:
        kind = registry.get(kind) if isinstance(kind, str) else kind
    if not isinstance(kind, type) or not issubclass(kind, BaseDataset):
        return
    # quiet: a user's own class may take no lazy_init, and the run's own build reports the rest
    dataset = build(report, leaf | dict(lazy_init=True, pipeline=[]), quiet=True)
    if dataset is None:
        named = (leaf.get('metainfo') or {}).get('classes') or kind.METAINFO.get('classes')
        if isinstance(named, (list, tuple)):
            note_classes(report, leaf, tuple(named))
        return
    if is_text(report, dataset.metainfo.get('classes')):
        return
    reader = reader_of(kind)
    if reader in LIST_CHECKS and '://' not in str(dataset.ann_file):
        try:
            LIST_CHECKS[reader](report, dataset)
        except Exception as error:  # of entries that no check has thought of
            cannot_read(report, error)
            return
    classes = dataset.metainfo.get('classes')
    if reader == 'CustomDataset' and not dataset.ann_file and dataset.with_label:
        is_remote = '://' in dataset.img_prefix
        if not is_remote and check_some_folders(report, dataset):
            classes = classes or sorted(
                e.name for e in os.scandir(dataset.img_prefix) if e.is_dir()
            )
    if classes:
        note_classes(report, leaf, tuple(classes))
