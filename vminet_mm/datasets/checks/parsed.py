"""Check a detection set of any reader, such as XML files of Pascal VOC, by what the reader finds.

Nothing is known of the files themselves, so that what the reader passes over is not named, but for
the objects of XML files.
"""

from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from .report import Report, class_counts, some


def check_parsed(
    report: Report, split: str, dataset: Any, samples: int, rng: np.random.Generator
) -> None:
    """Check the images and objects that a data set's own reader finds."""
    entries = dataset.load_data_list()
    if not entries:
        report.problem(f'{split}: {dataset.ann_file} lists no image', 'write the images into it')
        return
    missing = [e['img_path'] for e in entries if not Path(e['img_path']).is_file()]
    report.fact('images', f'{len(entries)} listed, {len(entries) - len(missing)} found')
    if missing:
        report.problem(
            f'{split}: {len(missing)} of {len(entries)} listed images are missing '
            f'({some(missing)})',
            'unpack the images again, or take them out of the list; see the reader for the folder '
            'and the suffix that it expects',
        )
    _check_sizes(report, split, [e for e in entries if Path(e['img_path']).is_file()])
    _check_objects(report, split, dataset.metainfo.get('classes') or (), entries)
    _note_unknown_names(report, split, dataset.metainfo.get('classes') or (), entries)


def _check_sizes(report: Report, split: str, entries: list[dict]) -> None:
    """The listed size of an image is that of its file, in which boxes count."""
    wrong = []
    for entry in entries:
        try:
            with Image.open(entry['img_path']) as image:
                size = image.size
        except Exception:  # decoders raise all kinds of errors; opening the samples names them
            continue
        if size != (entry.get('width', size[0]), entry.get('height', size[1])):
            wrong.append(f'{entry["img_path"]}: {size[0]} x {size[1]}')
    if wrong:
        report.problem(
            f'{split}: {len(wrong)} images have another size than listed ({some(wrong)}); were '
            'they resized after labeling?',
            'use the original images, or scale sizes and boxes in the annotations',
        )


def _check_objects(report: Report, split: str, classes: tuple, entries: list[dict]) -> None:
    """Objects that can be learned, and boxes that are empty or beyond their image."""
    objects = [(entry, one) for entry in entries for one in entry.get('instances') or ()]
    usable = [one for _, one in objects if not one.get('ignore_flag')]
    counts = Counter(one['bbox_label'] for one in usable)
    report.fact('objects', f'{len(objects)}, {len(objects) - len(usable)} of them ignored')
    report.fact('objects of', class_counts(classes, [counts[k] for k in range(len(classes))]))
    if not usable:
        report.problem(
            f'{split}: none of the {len(objects)} objects can be learned or evaluated',
            'compare the names of the objects with metainfo.classes, upper and lower case alike; '
            'objects marked as difficult are left out',
        )
    bare = [name for k, name in enumerate(classes) if usable and not counts[k]]
    if bare:
        report.note(f'{split}: {len(bare)} classes are without an object ({some(bare)})')
    empty, beyond = [], []
    for entry, one in objects:
        left, top, right, bottom = one['bbox']
        if right <= left or bottom <= top:
            empty.append(entry['img_path'])
        elif 'width' in entry and (right > entry['width'] + 1 or bottom > entry['height'] + 1):
            beyond.append(entry['img_path'])
    if usable and len(empty) == len(objects):
        report.problem(
            f'{split}: all {len(objects)} boxes are empty once they are read',
            'write boxes in pixels, xmax and ymax above xmin and ymin',
        )
    elif empty:
        report.note(f'{split}: {len(empty)} boxes are empty ({some(empty)})')
    if beyond:
        report.note(f'{split}: {len(beyond)} boxes reach beyond their image ({some(beyond)})')


def _note_unknown_names(report: Report, split: str, classes: tuple, entries: list[dict]) -> None:
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
            f'{split}: {unknown.total()} objects have a name that is no class of the config, and '
            f'are left out ({text})'
        )
