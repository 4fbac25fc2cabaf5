"""Check the data of a config before training: files, labels, classes and the pipelines.

``check_config`` does all of it for detection, segmentation and classification. The data sets are
built through MMEngine's registry in the scope of the config, so that nothing of mmdet, mmseg or
mmpretrain is imported for a task that does not need it.
"""

import random
from collections.abc import Callable
from contextlib import redirect_stdout
from copy import deepcopy
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DATASETS, DefaultScope
from tqdm import tqdm

from ...compat.data_errors import FIX, why_unreadable
from ...errors import error_text
from ...tasks import CLASSIFICATION, DETECTION, SEGMENTATION, task_of
from ..config_parts import find_key, leaf_datasets, missing_paths
from ..pictures import to_picture
from .channels import check_channels
from .classes import check_classes_agree, check_model, is_text, note_classes, reads_masks
from .coco import check_coco
from .folders import check_folders
from .label_maps import check_label_maps
from .parsed import check_parsed
from .readers import reader_of
from .report import LAYOUTS_PAGE, Report, Sample, set_option, some

# what of a data set's config does not change which images it lists
SAME_IMAGES = ('pipeline', 'test_mode', 'filter_cfg', 'metainfo', 'backend_args', 'lazy_init')
MAX_REFETCH = 20  # images that are tried in place of one that the pipeline drops

# The check of one data set's files, by default_scope. Each takes the data set before that has read
# its files: what is wrong with them shall be named, and not end in the reader's traceback.
LAYOUT_CHECKS = {
    DETECTION.scope: check_coco,
    SEGMENTATION.scope: check_label_maps,
    CLASSIFICATION.scope: check_folders,
}


def check_config(
    cfg: Config,
    splits: tuple[str, ...] = ('train', 'val'),
    samples: int = 16,
    seed: int = 0,
    echo: Callable[[str], None] = print,
) -> Report:
    """Check the data of a config.

    Args:
        cfg: The config, as :func:`vminet_mm.engine.load_config` gives it; it is not changed.
        splits: Which of ``'train'``, ``'val'`` and ``'test'``.
        samples: How many images of each split go through its pipeline.
        seed: Of the choice of the samples and of their augmentation.
        echo: Called with each line that is found.

    Raises:
        ConfigError: If the config is not one of detection, segmentation or classification.
    """
    scope = task_of(cfg).scope
    report = Report(echo)
    for split in splits:
        report.split = split
        loader = cfg.get(f'{split}_dataloader')
        if not loader:
            report.note(f'the config has no {split}_dataloader')
            continue
        echo(f'{split}:')
        if reads_masks(cfg, split):
            report.masks.add(split)
        with DefaultScope.overwrite_default_scope(scope):
            _check_split(report, cfg, samples, seed)
    report.split = ''  # what follows is of all of them
    if {'train', 'val'} <= {*splits}:
        _note_same_images(report, cfg)
    check_classes_agree(report)
    if report.classes:
        check_model(report, cfg, len(next(iter(report.classes.values()))))
    elif report.least_classes:
        check_model(report, cfg, report.least_classes, more_is_wrong=False)
    return report


def _note_same_images(report: Report, cfg: Config) -> None:
    """Note that validation uses training images, so its metrics say nothing about new ones."""
    read = {}
    for split in ('train', 'val'):
        for leaf in leaf_datasets((cfg.get(f'{split}_dataloader') or {}).get('dataset')):
            choice = {key: value for key, value in leaf.items() if key not in SAME_IMAGES}
            read.setdefault(split, set()).add(repr(sorted(choice.items())))
    if read.get('train', set()) & read.get('val', set()):
        report.note('val: it reads the images of train: its metrics say nothing of others')


def _check_split(report: Report, cfg: Config, samples: int, seed: int) -> None:
    """Check the files of a split, then open samples through its pipeline."""
    split, before = report.split, len(report.problems)
    missing = missing_paths(cfg, split)
    for path in missing:
        report.problem(
            f'{path} is missing',
            f'put the data there (see {LAYOUTS_PAGE}), or give --data-root DIR',
        )
    if missing:
        return
    rng = np.random.default_rng(seed)
    whole = cfg[f'{split}_dataloader'].dataset
    for leaf in leaf_datasets(whole):
        # a first one that reads no file, for the checks that name what is wrong with the files
        dataset = build(report, leaf | dict(lazy_init=True, pipeline=[]))
        if dataset is None:
            return
        if is_text(report, dataset.metainfo.get('classes')):
            return
        try:
            check = LAYOUT_CHECKS[DefaultScope.get_current_instance().scope_name]
            if check is check_coco and reader_of(type(dataset)) != 'CocoDataset':
                check = check_parsed
            check(report, dataset, samples, rng)
        except Exception as error:  # the data sets' own checks: assertions and others
            cannot_read(report, error)
            return
        classes = tuple(dataset.metainfo.get('classes') or ())
        report.fact('classes', f'{len(classes)}')
        if classes:  # none of folders that are no classes, which is a problem already
            note_classes(report, leaf, classes)
        report.palettes.setdefault(split, dataset.metainfo.get('palette'))
    _check_evaluators(report, cfg)
    unreadable = len(report.problems) > before
    dataset = build(report, whole, quiet=unreadable)
    if dataset is not None and split not in report.unsafe:
        report.samples[split], channels = open_samples(report, dataset, samples, rng)
        check_channels(report, cfg, channels)


def build(report: Report, config: dict, quiet: bool = False) -> Any:
    """Build a data set; None if its reader raises, which is reported unless ``quiet``."""
    try:
        MMLogger.get_current_instance()  # a logger created under redirect_stdout would stay silent
        with redirect_stdout(StringIO()):  # pycocotools prints its progress
            return DATASETS.build(deepcopy(config))
    except Exception as error:  # whatever a data set's reader raises
        if not quiet:
            cannot_read(report, error)
        return None


def cannot_read(report: Report, error: Exception) -> None:
    """Report the error of a data set's reader."""
    report.problem(
        f'the data set cannot be read: {error_text(error)}',
        f'see {LAYOUTS_PAGE}, and {report.split}_dataloader.dataset in the config',
    )


def open_samples(
    report: Report, dataset: Any, number: int, rng: np.random.Generator
) -> tuple[list[Sample], set[int]]:
    """Open random images through a pipeline, say shapes and values; returns them and channels."""
    if len(dataset) == 0:
        report.problem('no image is left to train on', 'see the notes above, and filter_cfg')
        return [], set()
    report.lengths[report.split] = len(dataset)
    _limit_search(dataset)
    report.fact('used', f'{len(dataset)} images, after filter_cfg where there is one')
    chosen = sorted(rng.choice(len(dataset), min(number, len(dataset)), replace=False))
    seed = int(rng.integers(2**31))  # mmcv draws augmentations from the global generators
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    samples, inputs, broken, failed = [], [], [], {}
    for index in tqdm(chosen, desc='opening samples', disable=None, leave=False):
        info = dataset.get_data_info(index)
        path = Path(info['img_path'])
        if not path.is_file():
            continue  # reported already, with all others
        reason = why_unreadable(path)
        if reason:
            broken.append(f'{path}: {reason}')
            continue
        try:
            item = dataset[index]
        except Exception as error:  # any transform may raise anything
            failed.setdefault(_reason(error, info), []).append(str(path))
            continue
        inputs.append(item['inputs'])
        picture, labels = as_rgb(item['inputs']), item['data_samples']
        size = labels.ori_shape if _labels_come_last(dataset) else picture.shape[:2]
        samples.append(Sample(path.name, picture, labels, tuple(size)))
    if broken:
        report.problem(
            f'{len(broken)} of {len(chosen)} opened images are broken ({some(broken)})',
            'get these files again; --samples with a large number opens all',
        )
    for error, paths in failed.items():
        report.problem(
            f'the pipeline fails on {len(paths)} of {len(chosen)} opened images '
            f'({some(paths)}): {error}',
            f'fix these files or their labels, or {report.option("pipeline")}',
        )
    if inputs:
        _say_inputs(report, inputs)
    return samples, {tensor.shape[0] for tensor in inputs}


def _limit_search(dataset: Any) -> None:
    """Lower ``max_refetch`` of a data set, so that a dropped image is not replaced 1000 times."""
    for part in (dataset, getattr(dataset, 'dataset', None), *getattr(dataset, 'datasets', ())):
        if hasattr(part, 'max_refetch'):
            part.max_refetch = min(part.max_refetch, MAX_REFETCH)


def _reason(error: Exception, info: dict) -> str:
    """The message of a pipeline's error without file names, so that equal errors are grouped."""
    text = error_text(error).removeprefix('DataError: ').partition(f'; {FIX}')[0]
    for path in filter(None, (info.get('seg_map_path'), info.get('img_path'))):
        text = text.replace(f'{path}: ', '').replace(str(path), 'the file')
    return text


def _labels_come_last(dataset: Any) -> bool:
    """Whether a pipeline loads the labels after it has resized the image."""
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    names = [type(transform).__name__ for transform in transforms]
    resizes = [index for index, name in enumerate(names) if 'Resize' in name]
    return bool(resizes) and 'LoadAnnotations' in names[resizes[0] :]


def _say_inputs(report: Report, inputs: list[torch.Tensor]) -> None:
    """Report shape, dtype and values of the pipeline's output."""
    sizes = [
        f'{min(sides)}' if min(sides) == max(sides) else f'{min(sides)}-{max(sides)}'
        for sides in zip(*(tensor.shape for tensor in inputs), strict=True)
    ]
    low = min(tensor.min().item() for tensor in inputs)
    high = max(tensor.max().item() for tensor in inputs)
    kind = str(inputs[0].dtype).removeprefix('torch.')
    report.fact(
        'opened', f'{len(inputs)}: inputs {" x ".join(sizes)} {kind}, values {low:g} to {high:g}'
    )


def as_rgb(inputs: torch.Tensor) -> np.ndarray:
    """A pipeline's image, (C, H, W) and BGR if it has colors, as a picture (H, W, 3) RGB uint8."""
    return np.ascontiguousarray(to_picture(inputs.permute(1, 2, 0).numpy())[..., ::-1])


def _check_evaluators(report: Report, cfg: Config) -> None:
    """An evaluator's own annotation file must be the one that the images come with."""
    split = report.split
    if split == 'train':
        return
    files = [
        Path(leaf.get('data_root') or '') / leaf['ann_file']
        for leaf in leaf_datasets(cfg[f'{split}_dataloader'].dataset)
        if leaf.get('ann_file')
    ]
    read = [file.absolute() for file in files]
    for path, name in find_key(cfg.get(f'{split}_evaluator'), 'ann_file', f'{split}_evaluator'):
        if name and Path(name).absolute() not in read:
            report.problem(
                f'{path} is {name}, the data set reads {some(files) or "no such file"}',
                set_option(path, files[0] if files else 'FILE'),
            )
