"""Check a segmentation set: images, and label maps whose values are classes."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from ...errors import error_text
from ..pictures import loaded_size
from .lists import explain_absent, unread_suffixes
from .report import QUICK_FILES, Report, class_counts, set_option, some

QUICK_LABEL_MAPS = 16  # read before every training, or more if they have one class alone
MAX_LABEL_MAPS = 500  # read for the pixel counts, or as many as there are samples to open


def check_label_maps(report: Report, dataset: Any, samples: int, rng: np.random.Generator) -> None:
    """Check images and label maps of a segmentation set."""
    pairs = [
        (Path(info['img_path']), Path(info['seg_map_path'])) for info in dataset.load_data_list()
    ]
    folder = dataset.data_prefix['img_path']
    unread = {} if dataset.ann_file else unread_suffixes(folder, dataset.img_suffix)
    text = ', '.join(f'{number} {suffix}' for suffix, number in unread.items())
    if not pairs:
        _say_none(report, dataset)
        return
    if unread:
        report.note(
            f'{sum(unread.values())} files in {folder} are not read ({text}); if they are '
            f'images, give them the suffix {dataset.img_suffix}'
        )
    absent, bare = _check_there(report, dataset, pairs)
    report.fact('images', f'{len(pairs)} listed, {len(pairs) - absent} found in {folder}')
    folder = Path(dataset.data_prefix['seg_map_path'])
    report.fact('label maps', f'{len(pairs) - bare} found in {folder}')
    used = {labels for _, labels in pairs}
    others = sum(path not in used for path in folder.rglob(f'*{dataset.seg_map_suffix}'))
    if others:
        report.note(f'{others} label maps in {folder} have no image, and are not used')
    whole = [pair for pair in pairs if pair[0].is_file() and pair[1].is_file()]
    number = min(len(whole), max(samples, MAX_LABEL_MAPS))
    chosen = sorted(rng.choice(len(whole), number, replace=False)) if whole else []
    _check_labels(report, dataset, [whole[index] for index in chosen], len(whole))


def _say_none(report: Report, dataset: Any) -> None:
    """Report a list or a folder without an image that the reader takes."""
    if dataset.ann_file and Path(dataset.ann_file).is_file():
        report.problem(f'{dataset.ann_file} lists no image', 'write the images into it')
        return
    folder = dataset.data_prefix['img_path']
    unread = unread_suffixes(folder, dataset.img_suffix)
    text = ', '.join(f'{number} {suffix}' for suffix, number in unread.items())
    report.problem(
        f'no *{dataset.img_suffix} in {folder}{f", but {text}" if text else ""}',
        'put the images there, or set --cfg-options '
        f'{report.option("img_suffix")}={next(iter(unread), ".png")}',
    )


def _check_there(report: Report, dataset: Any, pairs: list[tuple[Path, Path]]) -> tuple[int, int]:
    """Report images and label maps that do not exist; returns their numbers."""
    absent = [str(image) for image, _ in pairs if not image.is_file()]
    bare = [str(labels) for _, labels in pairs if not labels.is_file()]
    if absent:
        report.problem(
            f'{len(absent)} listed images are missing ({some(absent)})',
            explain_absent(dataset.ann_file, dataset.img_suffix)
            or 'unpack the images again, or take them out of the list',
        )
    alone = set(bare) if not absent else {str(m) for i, m in pairs if i.is_file()} & set(bare)
    if alone:
        report.problem(
            f'{len(alone)} of {len(pairs)} images have no label map ({some(sorted(alone))})',
            _fix_of_bare(report, dataset, min(alone))
            or 'add the label maps, or move these images away',
        )
    return len(absent), len(bare)


def _fix_of_bare(report: Report, dataset: Any, path: str) -> str | None:
    """The setting for label maps whose names continue differently after that of the image."""
    stem = Path(path.removesuffix(dataset.seg_map_suffix))
    if stem.parent.is_dir():
        for entry in sorted(os.scandir(stem.parent), key=lambda entry: entry.name):
            rest = entry.name.removeprefix(stem.name)
            if rest != entry.name and rest[:1] in '._-':
                option = set_option(report.option('seg_map_suffix'), rest)
                return f'the folder has {entry.name}: set {option}'
    return None


def _check_labels(report: Report, dataset: Any, pairs: list[tuple[Path, Path]], total: int) -> int:
    """Count the classes that have pixels; name values out of range and files of a wrong kind."""
    classes = dataset.metainfo['classes']
    labels_of = _label_table(dataset)
    pixels = np.zeros(256, dtype=np.int64)
    outside, unreadable, kinds, sizes = {}, [], [], []
    for image_path, path in tqdm(pairs, desc='reading label maps', disable=None, leave=False):
        try:
            with Image.open(path) as file:
                mode, values = file.mode, np.asarray(file)
        except Exception as error:  # decoders raise all kinds of errors on broken files
            unreadable.append(f'{path}: {error_text(error)}')
            continue
        if mode not in ('L', 'P'):
            kinds.append(f'{path} is {mode}')
            continue
        if min(values.shape) < 2:
            kinds.append(f'{path} has a single row or column, which mmseg does not read')
            continue
        found = np.bincount(values.ravel(), minlength=256)
        pixels += np.bincount(labels_of, found, minlength=256).astype(np.int64)
        for value in np.flatnonzero(found):
            if len(classes) <= labels_of[value] != dataset.ignore_index:
                outside.setdefault(int(value), []).append(str(path))
        size = loaded_size(image_path)
        if size and size[0] != values.shape[::-1]:
            turned = ', turned by its EXIF orientation' if size[1] else ''
            sizes.append(f'{path} is {values.shape[::-1]}, its image {size[0]}{turned}')
    read = len(pairs) - len(unreadable) - len(kinds)
    if not outside:
        _check_learnable(report, classes, pixels, read, total)
    bare = [name for name, n in zip(classes, pixels, strict=False) if not n]
    if 0 < len(bare) < len(classes):
        report.note(f'{len(bare)} classes are without a pixel ({some(bare)})')
    ignored = 100 * pixels[dataset.ignore_index] / max(int(pixels.sum()), 1)
    report.fact('pixels of', f'{class_counts(classes, pixels[: len(classes)])}')
    report.fact('', f'{ignored:.1f}% ignored, in {len(pairs)} label maps')
    _tell_outside(report, dataset, outside)
    for found, fix in (
        (unreadable, 'write these label maps again'),
        (kinds, 'a label map is a PNG with one channel of 8 bits, its values are the labels'),
        (sizes, 'a label map must have the size of its image'),
    ):
        if found:
            report.problem(f'{len(found)} unusable label maps ({some(found)})', fix)
    return np.count_nonzero(pixels[: len(classes)])


def _tell_outside(report: Report, dataset: Any, outside: dict[int, list[str]]) -> None:
    """Report values that are not those of a class."""
    if not outside:
        return
    classes = dataset.metainfo['classes']
    first = 1 if dataset.reduce_zero_label else 0
    files = list(dict.fromkeys(path for paths in outside.values() for path in paths))
    values = sorted(outside)
    several = len(values) > 1
    is_lossy = any(path.lower().endswith(('.jpg', '.jpeg')) for path in files)
    report.problem(
        f'label{"s" if several else ""} {some(values)} {"are" if several else "is"} out '
        f'of range in {len(files)} label maps ({some(files)}); with {len(classes)} classes the '
        f'labels are {first} to {len(classes) - 1 + first}, ignored are '
        f'{"0 and 255" if first else dataset.ignore_index}',
        'write label maps as PNG: JPEG changes their values'
        if is_lossy
        else 'correct the label maps, or the list metainfo.classes and num_classes of the heads',
    )


def _check_learnable(
    report: Report, classes: tuple, pixels: np.ndarray, read: int, total: int
) -> None:
    """Check that pixels of at least two classes exist."""
    found = np.count_nonzero(pixels[: len(classes)])
    if not read or found > 1:
        return
    what = (
        'every pixel is ignored' if not found else 'every pixel that is not ignored is of one class'
    )
    if found and read < total:  # objects may be rare
        report.note(f'{what} in {read} of {total} label maps')
        return
    report.problem(
        f'{what} in {read} label maps: nothing can be learned',
        'write labels from 0 (background 0, object 1), not 0 and 255, name both classes, and set '
        'reduce_zero_label=False in the data sets and in LoadAnnotations where label 0 is a class',
    )


def check_some_label_maps(report: Report, dataset: Any) -> None:
    """Look for the label maps, and check the labels of a few, which takes no time worth mentioning.

    More are read while those have pixels of no two classes.
    """
    entries = dataset.load_data_list()
    if not entries:
        _say_none(report, dataset)
    if any('seg_map_path' not in info for info in entries):
        return
    pairs = [(Path(info['img_path']), Path(info['seg_map_path'])) for info in entries]
    _check_there(report, dataset, pairs[:: max(len(pairs) // QUICK_FILES, 1)])
    pairs = [pair for pair in pairs if pair[0].is_file() and pair[1].is_file()]
    for number in (QUICK_LABEL_MAPS, MAX_LABEL_MAPS):
        trial = Report(report.echo, report.split)
        few = pairs[:: max(len(pairs) // number, 1)]
        if _check_labels(trial, dataset, few, len(pairs)) > 1 or len(few) == len(pairs):
            break
    report.notes += trial.notes
    report.problems += trial.problems


def _label_table(dataset: Any) -> np.ndarray:
    """The label that mmseg gives to each value in a file, (256,)."""
    labels = np.arange(256)
    if dataset.reduce_zero_label:
        labels = np.where((labels == 0) | (labels == 255), 255, labels - 1)
    table = labels.copy()
    for old, new in (dataset.label_map or {}).items():
        table[labels == old] = new
    return table
