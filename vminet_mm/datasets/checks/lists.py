"""Lists of images with or without labels, in text or JSON files, and what folders hold besides."""

import json
from codecs import BOM_UTF8
from collections import Counter
from pathlib import Path
from typing import Any

from ...errors import error_text
from .report import QUICK_FILES, Report, some

JUNK = ('Thumbs.db', 'desktop.ini')


def explain_absent(ann_file: str, suffix: str = '') -> str | None:
    """Why images of a list may be missing because of its format; None if there is no such reason.

    The reader adds the suffix to each line.
    """
    path = Path(ann_file or '')
    if path.suffix != '.txt' or not path.is_file():
        return None
    content = path.read_bytes()
    lines = content.decode('utf-8', 'replace').splitlines()
    if content.startswith(BOM_UTF8):
        return f'save {path} as UTF-8 without a byte-order mark'
    if not all(line.strip() for line in lines):
        return f'remove the blank lines of {path}'
    if suffix and all(line.strip().endswith(suffix) for line in lines):
        return f'write the names in {path} without {suffix}, which the reader adds'
    if any('\\' in line for line in lines):
        return f'write "/" for each backslash in {path}'
    return None


def unread_suffixes(folder: str | Path, suffixes: str | tuple[str, ...]) -> dict[str, int]:
    """Count the files in a folder and below that a reader skips, by suffix, but hidden ones.

    A single suffix is read as it is written, of several upper case, too.
    """
    counts: Counter[str] = Counter()
    for path in Path(folder).rglob('*'):
        name = path.name if isinstance(suffixes, str) else path.name.lower()
        is_hidden = path.name.startswith('.') or path.name in JUNK
        if path.is_file() and not is_hidden and not name.endswith(suffixes):
            counts[path.suffix or path.name] += 1
    return dict(counts.most_common())


def check_some_listed(report: Report, dataset: Any) -> None:
    """Check the labels of a list of images, and look for some of the images."""
    if not check_listed_labels(report, dataset) or not dataset.ann_file:
        return
    paths = [entry['img_path'] for entry in dataset.load_data_list()]
    say_missing(report, dataset, paths[:: max(len(paths) // QUICK_FILES, 1)])


def say_missing(report: Report, dataset: Any, paths: list[str]) -> int:
    """Report listed images that do not exist; returns their number."""
    missing = [path for path in paths if '://' not in path and not Path(path).is_file()]
    if missing:
        report.problem(
            f'{len(missing)} of {len(paths)} listed images are missing ({some(missing)})',
            explain_absent(dataset.ann_file)
            or f'unpack the images again, or take them out of {dataset.ann_file}',
        )
    return len(missing)


def check_listed_labels(report: Report, dataset: Any) -> bool:
    """Check the labels of a list, not its images; returns whether it can be read."""
    if not dataset.ann_file or not getattr(dataset, 'with_label', True):
        return True
    is_json = Path(dataset.ann_file).suffix == '.json'
    return (_check_entries if is_json else _check_lines)(report, dataset)


def _check_lines(report: Report, dataset: Any) -> bool:
    """Each line of a text file is a name, a blank and a label."""
    path, classes = dataset.ann_file, dataset.metainfo.get('classes')
    try:
        lines = Path(path).read_text('utf-8').splitlines()
    except UnicodeDecodeError as error:
        report.problem(f'{path} is not UTF-8 ({error_text(error)})', 'save it as UTF-8')
        return False
    if lines and lines[0].startswith('\ufeff'):
        report.problem(
            f'{path} starts with a byte-order mark, which is read as part of a name',
            'save it as UTF-8 without one',
        )
    parts = [(number, *line.strip().rpartition(' ')) for number, line in enumerate(lines, 1)]
    odd = [f'line {number}' for number, name, _, label in parts if not (name and is_label(label))]
    if odd:
        first = lines[int(odd[0].removeprefix('line ')) - 1]
        report.problem(
            f'{len(odd)} of {len(lines)} lines of {path} are no name, a blank and a '
            f'label ({some(odd)}: {first[:80]!r}); labels are numbers from 0',
            'write each line as "folder/image.jpg 3", without a heading, commas, tabs or blank '
            'lines',
        )
        return False
    if not lines:
        report.problem(f'{path} lists no image', 'write the images into it')
        return False
    labels = {int(label) for *_, label in parts}
    report.least_classes = max(report.least_classes, max(labels) + 1)
    twice = len(parts) - len({name for _, name, *_ in parts})
    if twice:
        report.note(f'{twice} images are listed more than once in {path}')
    outside = sorted(label for label in labels if classes and label >= len(classes))
    if outside:
        report.problem(
            f'labels {some(outside)} in {path} are out of range; there are '
            f'{len(classes)} classes, counted from 0',
            'correct the list, or list all classes in metainfo.classes',
        )
    elif report.split == 'train' and len(labels) == 1:
        say_one_class(report)
    return True


def say_one_class(report: Report) -> None:
    """Report images that all have the same class."""
    report.problem(
        'all images are of one class or of none: nothing can be learned',
        'add images of the other classes; one class alone needs a second, such as "other"',
    )


def is_label(text: str) -> bool:
    """Whether a text is a number from 0."""
    return text.isascii() and text.isdecimal()


def _check_entries(report: Report, dataset: Any) -> bool:
    """Each entry of MMEngine's format has an image and a list of labels."""
    path = dataset.ann_file
    try:
        text = Path(path).read_bytes().decode('utf-8')
        content = json.loads(text)
        entries, metainfo = content['data_list'], content['metainfo']
        labels = [entry.get('gt_label') for entry in entries]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        report.problem(
            f'{path} is no list of images with labels ({error_text(error)})',
            'it must be JSON in UTF-8 without a byte-order mark, with metainfo and data_list, '
            'whose entries have img_path and gt_label',
        )
        return False
    if not entries:
        report.problem(f'{path} lists no image', 'write the images into its data_list')
        return False
    if all(label is None for label in labels):
        return True  # images without labels
    classes = dataset.metainfo.get('classes') or metainfo.get('classes') or ()
    odd = [
        str(entry.get('img_path'))
        for entry, label in zip(entries, labels, strict=True)
        if not all(type(one) is int for one in (label if isinstance(label, list) else [label]))
    ]
    if odd:
        report.problem(
            f'gt_label of {len(odd)} entries of {path} is no list of numbers ({some(odd)})',
            'write the numbers of the classes, from 0: [0, 3]',
        )
        return False
    _check_label_lists(report, dataset, classes, labels)
    return True


def _check_label_lists(report: Report, dataset: Any, classes: tuple, labels: list) -> None:
    """Labels are numbers of classes, not one flag for each class, and not all absent."""
    lists = [label if isinstance(label, list) else [label] for label in labels]
    values = {label for one in lists for label in one}
    outside = sorted(label for label in values if not 0 <= label < len(classes))
    if classes and outside:
        report.problem(
            f'labels {some(outside)} in {dataset.ann_file} are out of range; there are '
            f'{len(classes)} classes, counted from 0',
            'correct the list, or list all classes in metainfo.classes',
        )
    are_flags = len(classes) > 2 and all(len(one) == len(classes) for one in lists)
    if lists and are_flags and values <= {0, 1}:
        report.problem(
            f'each gt_label in {dataset.ann_file} is {len(classes)} flags of 0 and 1',
            'write the numbers of the classes that are in the image: [0, 3], not [1, 0, 0, 1]',
        )
    if lists and not values:
        report.problem(
            f'no image in {dataset.ann_file} has a label: nothing can be learned',
            'write the numbers of the classes into gt_label',
        )
    report.least_classes = max(report.least_classes, len(classes))
    report.has_label_lists |= any(len(one) != 1 for one in lists)
