"""Check a segmentation set in the layout of ADE20K and a classification set in that of ImageNet."""

import os
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from ...errors import error_text
from .report import Report, class_counts, name_classes, some

QUICK_LABEL_MAPS = 16  # read before every training
MAX_LABEL_MAPS = 500  # read for the pixel counts, or as many as there are samples to open


def check_label_maps(
    report: Report, split: str, dataset: Any, samples: int, rng: np.random.Generator
) -> None:
    """Check images and label maps of a segmentation set."""
    pairs = [
        (Path(info['img_path']), Path(info['seg_map_path'])) for info in dataset.load_data_list()
    ]
    folder = dataset.data_prefix['img_path']
    if not pairs:
        report.problem(
            f'{split}: no *{dataset.img_suffix} in {folder}',
            f'put the images there, or set {split}_dataloader.dataset.img_suffix',
        )
        return
    absent = [str(image) for image, _ in pairs if not image.is_file()]
    report.fact('images', f'{len(pairs)} listed, {len(pairs) - len(absent)} found in {folder}')
    if absent:
        report.problem(
            f'{split}: {len(absent)} listed images are missing ({some(absent)})',
            'unpack the images again, or take them out of the list',
        )
    bare = [str(labels) for _, labels in pairs if not labels.is_file()]
    folder = Path(dataset.data_prefix['seg_map_path'])
    report.fact('label maps', f'{len(pairs) - len(bare)} found in {folder}')
    if bare:
        report.problem(
            f'{split}: {len(bare)} of {len(pairs)} images have no label map ({some(bare)})',
            'add the label maps, or move these images away',
        )
    used = {labels for _, labels in pairs}
    others = sum(path not in used for path in folder.rglob(f'*{dataset.seg_map_suffix}'))
    if others:
        report.note(f'{split}: {others} label maps in {folder} have no image, and are not used')
    whole = [pair for pair in pairs if pair[0].is_file() and pair[1].is_file()]
    number = min(len(whole), max(samples, MAX_LABEL_MAPS))
    chosen = sorted(rng.choice(len(whole), number, replace=False)) if whole else []
    _check_labels(report, split, dataset, [whole[index] for index in chosen])


def _check_labels(report: Report, split: str, dataset: Any, pairs: list[tuple[Path, Path]]) -> None:
    """Count the pixels of the label maps; name values out of range and files of a wrong kind."""
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
        found = np.bincount(values.ravel(), minlength=256)
        pixels += np.bincount(labels_of, found, minlength=256).astype(np.int64)
        for value in np.flatnonzero(found):
            if len(classes) <= labels_of[value] != dataset.ignore_index:
                outside.setdefault(int(value), []).append(str(path))
        size = _size(image_path)
        if size and size != values.shape[::-1]:
            sizes.append(f'{path} is {values.shape[::-1]}, its image {size}')
    total = max(int(pixels.sum()), 1)
    _check_learnable(report, split, classes, pixels, len(pairs) if not outside else 0)
    bare = [name for name, n in zip(classes, pixels, strict=False) if not n]
    if 0 < len(bare) < len(classes):
        report.note(f'{split}: {len(bare)} classes are without a pixel ({some(bare)})')
    ignored = 100 * pixels[dataset.ignore_index] / total
    report.fact('pixels of', f'{class_counts(classes, pixels[: len(classes)])}')
    report.fact('', f'{ignored:.1f}% ignored, in {len(pairs)} label maps')
    first = 1 if dataset.reduce_zero_label else 0
    for value, files in sorted(outside.items()):
        report.problem(
            f'{split}: label {value} is out of range in {len(files)} label maps ({some(files)}); '
            f'with {len(classes)} classes the labels are {first} to {len(classes) - 1 + first}, '
            f'ignored are {"0 and 255" if first else dataset.ignore_index}',
            'correct the label maps, or the list metainfo.classes and num_classes of the heads',
        )
    for found, fix in (
        (unreadable, 'write these label maps again'),
        (kinds, 'a label map is a PNG with one channel of 8 bits, its values are the labels'),
        (sizes, 'a label map must have the size of its image'),
    ):
        if found:
            report.problem(f'{split}: {len(found)} unusable label maps ({some(found)})', fix)


def _check_learnable(
    report: Report, split: str, classes: tuple, pixels: np.ndarray, number: int
) -> None:
    """Pixels of at least one class, and of two where there are two, must be left to learn from."""
    found = np.count_nonzero(pixels[: len(classes)])
    if not number or found > 1 or found == len(classes):
        return
    what = (
        'every pixel is ignored' if not found else 'every pixel that is not ignored is of one class'
    )
    report.problem(
        f'{split}: {what} in {number} label maps: nothing can be learned',
        'write labels from 0 (background 0, object 1), not 0 and 255, and set '
        'reduce_zero_label=False where label 0 is a class',
    )


def check_some_label_maps(report: Report, split: str, dataset: Any) -> None:
    """Check the labels of a few maps, which takes no time worth mentioning."""
    pairs = [
        (Path(info['img_path']), Path(info['seg_map_path']))
        for info in dataset.load_data_list()
        if 'seg_map_path' in info
    ]
    pairs = [pair for pair in pairs if pair[0].is_file() and pair[1].is_file()]
    _check_labels(report, split, dataset, pairs[:: max(len(pairs) // QUICK_LABEL_MAPS, 1)])


def _label_table(dataset: Any) -> np.ndarray:
    """(256,) label which mmseg makes of each value in a file."""
    labels = np.arange(256)
    if dataset.reduce_zero_label:
        labels = np.where((labels == 0) | (labels == 255), 255, labels - 1)
    table = labels.copy()
    for old, new in (dataset.label_map or {}).items():
        table[labels == old] = new
    return table


def _size(path: Path) -> tuple[int, int] | None:
    """Width and height of an image; None if it cannot be read, which is found elsewhere."""
    try:
        with Image.open(path) as image:
            return image.size
    except Exception:  # decoders raise all kinds of errors on broken files
        return None


def check_folders(
    report: Report, split: str, dataset: Any, samples: int, rng: np.random.Generator
) -> None:
    """Check a classification set: a folder a class, or a list of files with labels."""
    listed = bool(dataset.ann_file)
    prefix = getattr(dataset, 'img_prefix', '')
    if not listed and not _folders_match(report, split, dataset):
        return
    dataset.full_init()
    classes = dataset.metainfo.get('classes') or ()
    labels, paths, missing = [], [], []
    for index in tqdm(range(len(dataset)), desc='counting images', disable=None, leave=False):
        info = dataset.get_data_info(index)
        labels += np.atleast_1d(info.get('gt_label', -1)).tolist()  # several of a multi-label set
        paths.append(info['img_path'])
        if listed and not Path(info['img_path']).is_file():
            missing.append(info['img_path'])
    found = len(paths) - len(missing)
    report.fact('images', f'{len(paths)} listed, {found} found in {prefix}')
    if missing:
        report.problem(
            f'{split}: {len(missing)} of {len(paths)} listed images are missing ({some(missing)})',
            f'unpack the images again, or take them out of {dataset.ann_file}',
        )
    outside = sorted({label for label in labels if not 0 <= label < len(classes)})
    if outside:
        report.problem(
            f'{split}: labels {some(outside)} are out of range; there are {len(classes)} classes',
            f'correct {dataset.ann_file or "the folders"}, or list all classes in metainfo.classes',
        )
        return
    counts = np.bincount(labels, minlength=len(classes))
    report.fact('images of', class_counts(classes, counts))
    if not listed:
        _note_unread(report, split, dataset)
    empty = [name for name, count in zip(classes, counts, strict=True) if not count]
    if empty:
        report.note(f'{split}: {len(empty)} classes are without an image ({some(empty)})')


def _note_unread(report: Report, split: str, dataset: Any) -> None:
    """Count the files in the folders that the reader skips, by suffix."""
    skipped = Counter(
        path.suffix or path.name
        for path in Path(dataset.img_prefix).rglob('*')
        if path.is_file() and not dataset.is_valid_file(str(path))
    )
    if skipped:
        text = ', '.join(f'{number} {suffix}' for suffix, number in skipped.most_common())
        example = next(iter(skipped))
        report.note(
            f'{split}: {skipped.total()} files in {dataset.img_prefix} are not read ({text}); if '
            f'they are images, add {example} to {split}_dataloader.dataset.extensions'
        )


def check_listed_labels(report: Report, split: str, dataset: Any) -> None:
    """Check the labels of a list of images without a look at the images."""
    classes = dataset.metainfo.get('classes')
    if not dataset.ann_file or classes is None or not dataset.with_label:
        return
    lines = Path(dataset.ann_file).read_text('utf-8').splitlines()
    labels = {line.strip().rpartition(' ')[2] for line in lines if line.strip()}
    outside = sorted(
        label for label in labels if not label.isdecimal() or int(label) >= len(classes)
    )
    if outside:
        report.problem(
            f'{split}: labels {some(outside)} in {dataset.ann_file} are out of range; there are '
            f'{len(classes)} classes, counted from 0',
            'correct the list, or list all classes in metainfo.classes',
        )


def folder_names(report: Report, split: str, dataset: Any) -> list[str]:
    """The folders of a classification set, which are its classes; none is a problem."""
    names = sorted(entry.name for entry in os.scandir(dataset.img_prefix) if entry.is_dir())
    if not names:
        report.problem(
            f'{split}: there is no folder in {dataset.img_prefix}',
            'put the images of each class into a folder of its own (docs/data.md)',
        )
    return names


def _folders_match(report: Report, split: str, dataset: Any) -> bool:
    """Whether there are as many folders as the config has classes, if it names them."""
    names = folder_names(report, split, dataset)
    classes = dataset.metainfo.get('classes')
    hidden = [name for name in names if name.startswith('.')]
    if hidden:
        report.problem(
            f'{split}: {some(hidden)} in {dataset.img_prefix} would be counted as a class',
            'remove hidden folders: '
            + ' '.join(['rm -r', *(shlex.quote(f'{dataset.img_prefix}/{n}') for n in hidden)]),
        )
        return False
    if names and classes is not None and sorted(classes) == names and list(classes) != names:
        report.problem(
            f'{split}: the config names the folders in another order ({some(classes)}) than they '
            f'are numbered in ({some(names)}), so the classes would get the wrong names',
            f'name them in alphabetical order: {name_classes(split, names)}',
        )
    if names and classes is not None and len(classes) != len(names):
        report.problem(
            f'{split}: {dataset.img_prefix} holds {len(names)} folders ({some(names)}), '
            f'the config names {len(classes)} classes',
            'add the folders that are missing, or name the classes of the folders: '
            f'{name_classes(split, names)}',
        )
    return bool(names) and (classes is None or len(classes) == len(names))
