"""Check a detection set of any reader, such as XML files of Pascal VOC, by what the reader finds.

Nothing is known of the files themselves, so that what the reader passes over is not named, but for
the objects of XML files.
"""

from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from ...errors import error_text
from .coco_files import QUICK_SIZES, check_sizes_of
from .lists import explain_absent
from .report import QUICK_FILES, Report, class_counts, some

SIDES = ('xmin', 'ymin', 'xmax', 'ymax')


def check_parsed(report: Report, dataset: Any, samples: int, rng: np.random.Generator) -> None:
    """Check the images and objects that a data set's own reader finds."""
    if not check_entries(report, dataset):
        return
    entries = dataset.load_data_list()
    _note_unknown_names(report, dataset.metainfo.get('classes') or (), entries)
    missing = _check_there(report, entries)
    report.fact('images', f'{len(entries)} listed, {len(entries) - len(missing)} found')
    _check_sizes(report, [e for e in entries if Path(e['img_path']).is_file()])


def check_some_parsed(report: Report, dataset: Any) -> None:
    """The same before a training: all annotations, some files and the size of a few."""
    if check_entries(report, dataset):
        entries = dataset.load_data_list()
        if not _check_there(report, entries[:: max(len(entries) // QUICK_FILES, 1)]):
            _check_sizes(report, entries[:: max(len(entries) // QUICK_SIZES, 1)])


def check_entries(report: Report, dataset: Any) -> bool:
    """Check the annotations; returns whether the reader can read them."""
    if hasattr(dataset, 'ann_subdir') and not _check_xml(report, dataset):
        return False
    entries = dataset.load_data_list()
    if not entries:
        report.problem(f'{dataset.ann_file} lists no image', 'write the images into it')
        return False
    _check_objects(report, dataset.metainfo.get('classes') or (), entries)
    return True


def _check_xml(report: Report, dataset: Any) -> bool:
    """Whether the XML files that a list names are there and hold what mmdet's reader asks for."""
    names = Path(dataset.ann_file).read_text('utf-8').splitlines()
    folder = Path(dataset.sub_data_root) / dataset.ann_subdir
    absent, broken = [], []
    for name in names:
        path = folder / f'{name}.xml'
        if not path.is_file():
            absent.append(str(path))
        elif fault := xml_fault(path):
            broken.append(f'{path}: {fault}')
    if absent:
        report.problem(
            f'{len(absent)} of {len(names)} annotation files are missing ({some(absent)})',
            explain_absent(dataset.ann_file, '.jpg')
            or f'a line of {dataset.ann_file} is a name without folder and suffix',
        )
    if broken:
        report.problem(
            f'{len(broken)} of {len(names)} annotation files cannot be read ({some(broken)})',
            'write these files again: XML with size (width, height) and objects with name and '
            'bndbox (xmin, ymin, xmax, ymax)',
        )
    return not (absent or broken)


def xml_fault(path: Path) -> str | None:
    """What keeps mmdet from reading an annotation file of Pascal VOC, with its line; or None."""
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, ValueError) as error:  # says line and column
        return error_text(error)
    size = root.find('size')
    for side in ('width', 'height') if size is not None else ():
        text = size.findtext(side)
        if not (text and text.strip().isdecimal() and int(text) > 0):
            return f'size has the {side} {text!r}'
    for number, one in enumerate(root.findall('object'), 1):
        if not one.findtext('name'):
            return f'object {number} has no name'
        difficult = one.findtext('difficult', '0').strip()
        if not difficult.isdecimal():
            return f'difficult of object {number} is {difficult!r}'
        for side in SIDES:
            text = one.findtext(f'bndbox/{side}')
            try:
                int(float(text or ''))
            except (ValueError, OverflowError):
                return f'{side} of object {number} is {text!r}'
    return None


def _check_there(report: Report, entries: list[dict]) -> list[str]:
    """Report listed images that do not exist; returns them."""
    missing = [e['img_path'] for e in entries if not Path(e['img_path']).is_file()]
    if missing:
        path = Path(missing[0])
        others = sorted(path.parent.glob(f'{path.stem}.*')) if path.parent.is_dir() else []
        report.problem(
            f'{len(missing)} of {len(entries)} listed images are missing ({some(missing)})',
            f'the suffix differs: the folder has {others[0].name}, the reader takes {path.suffix}'
            if others
            else 'unpack the images again, or take them out of the list; see the reader for the '
            'folder and the suffix that it expects',
        )
    return missing


def _check_sizes(report: Report, entries: list[dict]) -> None:
    """Check that listed sizes are those in which images are loaded, and boxes are given."""
    images = [entry | dict(file_name=entry['img_path']) for entry in entries]
    check_sizes_of(report, Path(), images)


def _check_objects(report: Report, classes: tuple, entries: list[dict]) -> None:
    """Check for objects to learn from, and for boxes that are empty or beyond their image."""
    objects = [(entry, one) for entry in entries for one in entry.get('instances') or ()]
    usable = [one for _, one in objects if not one.get('ignore_flag')]
    counts = Counter(one['bbox_label'] for one in usable)
    report.fact('objects', f'{len(objects)}, {len(objects) - len(usable)} of them ignored')
    report.fact('objects of', class_counts(classes, [counts[k] for k in range(len(classes))]))
    if not usable:
        report.problem(
            f'none of the {len(objects)} objects can be learned or evaluated',
            'compare the names of the objects with metainfo.classes, upper and lower case alike; '
            'objects marked as difficult are left out',
        )
    bare = [name for k, name in enumerate(classes) if usable and not counts[k]]
    if bare:
        report.note(f'{len(bare)} classes are without an object ({some(bare)})')
    empty, beyond = [], []
    for entry, one in objects:
        left, top, right, bottom = one['bbox']
        if right <= left or bottom <= top:
            empty.append(entry['img_path'])
        elif 'width' in entry and (right > entry['width'] + 1 or bottom > entry['height'] + 1):
            beyond.append(entry['img_path'])
    if usable and len(empty) == len(objects):
        report.problem(
            f'all {len(objects)} boxes are empty once they are read',
            'write boxes in pixels, xmax and ymax above xmin and ymin',
        )
    elif empty:
        report.note(f'{len(empty)} boxes are empty ({some(empty)})')
    if beyond:
        report.note(f'{len(beyond)} boxes reach beyond their image ({some(beyond)})')


def _note_unknown_names(report: Report, classes: tuple, entries: list[dict]) -> None:
    """Objects of XML files whose name is no class of the config; the reader leaves them out."""
    unknown: Counter[str] = Counter()
    for entry in entries:
        if entry.get('xml_path') and Path(entry['xml_path']).is_file():
            root = ElementTree.parse(entry['xml_path']).getroot()
            names = [one.findtext('name') or '' for one in root.findall('object')]
            unknown.update(name for name in names if name not in classes)
    if unknown:
        text = ', '.join(f'{name} {number}' for name, number in unknown.most_common(5))
        report.note(
            f'{unknown.total()} objects have a name that is no class of the config, and '
            f'are left out ({text})'
        )
