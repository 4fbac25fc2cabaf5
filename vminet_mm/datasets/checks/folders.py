"""Check a classification set: a folder for each class, or a list of images with labels."""

import os
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from .lists import check_listed_labels, say_missing, say_one_class, unread_suffixes
from .report import LAYOUTS_PAGE, Report, class_counts, name_classes, some

# what other programs leave in a folder; names that begin with a dot are no classes either
LEFT_BEHIND = ('__MACOSX', '@eaDir', '__pycache__', 'lost+found')


def check_folders(report: Report, dataset: Any, samples: int, rng: np.random.Generator) -> None:
    """Check a classification set: a folder a class, or a list of files with labels."""
    listed = bool(dataset.ann_file)
    prefix = getattr(dataset, 'img_prefix', '')
    if listed:
        if not check_listed_labels(report, dataset):
            return
    elif not folders_match(report, dataset) or not _has_images(report, dataset):
        return
    dataset.full_init()
    classes = dataset.metainfo.get('classes') or ()
    labels, paths = [], []
    for index in tqdm(range(len(dataset)), desc='counting images', disable=None, leave=False):
        info = dataset.get_data_info(index)
        labels += np.atleast_1d(info.get('gt_label', -1)).tolist()  # several of a multi-label set
        paths.append(info['img_path'])
    missing = say_missing(report, dataset, paths) if listed else 0
    report.fact('images', f'{len(paths)} listed, {len(paths) - missing} found in {prefix}')
    _check_counts(report, dataset, classes, labels)
    if not listed:
        _note_unread(report, dataset)


def _check_counts(report: Report, dataset: Any, classes: tuple, labels: list[int]) -> None:
    """Check that labels are classes, and that there are at least two of them."""
    if not classes and labels and min(labels) >= 0:
        report.note('the config names no classes; list them in metainfo.classes')
        return
    outside = sorted({label for label in labels if not 0 <= label < len(classes)})
    if outside:
        if not dataset.ann_file:  # of a list it is said already
            report.problem(
                f'labels {some(outside)} are out of range; there are {len(classes)} '
                'classes, counted from 0',
                'correct the folders, or list all classes in metainfo.classes',
            )
        return
    counts = np.bincount(labels, minlength=len(classes))
    report.fact('images of', class_counts(classes, counts))
    empty = [name for name, count in zip(classes, counts, strict=True) if not count]
    if report.split == 'train' and len(classes) - len(empty) < 2:
        if not dataset.ann_file:  # of a list it is said already
            say_one_class(report)
    elif empty:
        report.note(f'{len(empty)} classes are without an image ({some(empty)})')


def check_some_folders(report: Report, dataset: Any) -> bool:
    """Whether the folders are the classes; before a training, two of them must hold images."""
    if not folders_match(report, dataset):
        return False
    if _has_images(report, dataset) and report.split == 'train':
        filled = 0
        for entry in os.scandir(dataset.img_prefix):
            files = (str(path) for path in Path(entry.path).rglob('*')) if entry.is_dir() else ()
            filled += any(dataset.is_valid_file(file) for file in files)
            if filled > 1:
                break
        else:
            say_one_class(report)
    return True


def _has_images(report: Report, dataset: Any) -> bool:
    """Whether a folder of classes holds an image that is read; none is a problem."""
    folder = Path(dataset.img_prefix)
    if any(dataset.is_valid_file(str(path)) for path in folder.rglob('*') if path.is_file()):
        return True
    unread = unread_suffixes(folder, dataset.extensions)
    text = ', '.join(f'{number} {suffix}' for suffix, number in unread.items())
    report.problem(
        f'no image is read in {folder}{f", but there are {text}" if text else ""}',
        f'put the images there, or add their suffix to {report.option("extensions")}',
    )
    return False


def _note_unread(report: Report, dataset: Any) -> None:
    """Count the files in the folders that the reader skips, by suffix."""
    skipped = Counter(unread_suffixes(dataset.img_prefix, dataset.extensions))
    if skipped:
        text = ', '.join(f'{number} {suffix}' for suffix, number in skipped.most_common())
        example = next(iter(skipped))
        report.note(
            f'{skipped.total()} files in {dataset.img_prefix} are not read ({text}); if '
            f'they are images, add {example} to {report.option("extensions")}'
        )


def folder_names(report: Report, dataset: Any) -> list[str]:
    """The folders of a classification set, which are its classes; none is a problem, and so is
    one that is no class."""
    names = sorted(entry.name for entry in os.scandir(dataset.img_prefix) if entry.is_dir())
    if not names:
        report.problem(
            f'there is no folder in {dataset.img_prefix}',
            f'put the images of each class into a folder of its own (see {LAYOUTS_PAGE})',
        )
    others = [name for name in names if name.startswith('.') or name in LEFT_BEHIND]
    if others:
        paths = (shlex.quote(os.path.join(dataset.img_prefix, name)) for name in others)
        report.problem(
            f'{some(others)} in {dataset.img_prefix} would be counted as a class',
            'remove hidden folders: ' + ' '.join(['rm -r', *paths]),
        )
    return [] if others else names


def folders_match(report: Report, dataset: Any) -> bool:
    """Whether there are as many folders as the config has classes, if it names them."""
    names = folder_names(report, dataset)
    classes = dataset.metainfo.get('classes')
    if names and classes is not None and _are_other_order(list(classes), names):
        report.problem(
            f'the config names the folders in another order ({some(classes)}) than they '
            f'are numbered in ({some(names)}), so the classes would get the wrong names',
            f'name them in alphabetical order: {name_classes(report.split, names)}',
        )
    if names and classes is not None and len(classes) != len(names):
        report.problem(
            f'{dataset.img_prefix} holds {len(names)} folders ({some(names)}), '
            f'the config names {len(classes)} classes',
            'add the folders that are missing, or name the classes of the folders: '
            f'{name_classes(report.split, names)}',
        )
    return bool(names) and (classes is None or len(classes) == len(names))


def _are_other_order(classes: list[str], folders: list[str]) -> bool:
    """Whether the classes are the folders, up to upper case, blanks and dashes, but in another
    order."""
    plain = [''.join(filter(str.isalnum, str(name).lower())) for name in classes]
    sorted_as = [''.join(filter(str.isalnum, name.lower())) for name in folders]
    return sorted(plain) == sorted(sorted_as) and plain != sorted_as
