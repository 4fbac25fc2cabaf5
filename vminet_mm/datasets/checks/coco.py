"""Check a detection set in the layout of COCO: the annotation file and the images it lists."""

import json
from codecs import BOM_UTF8
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import error_text
from .coco_entries import check_entries
from .coco_files import check_files, check_sizes, check_some_files
from .coco_masks import QUICK_MASKS, check_masks, is_number
from .coco_objects import check_boxes, check_evaluation, check_self_evaluation, check_usable
from .report import FIX, LAYOUTS_PAGE, Report, class_counts, name_classes, repeated, some

LISTS = ('images', 'annotations', 'categories')
IGNORED_NAMES = 5  # categories in one line


def check_coco(report: Report, dataset: Any, samples: int, rng: np.random.Generator) -> None:
    """Check an annotation file of COCO's format and the folder of its images."""
    content = _read(report, dataset)
    if content is not None:
        folder = Path(dataset.data_prefix.get('img') or '')
        before = len(report.problems)
        check_files(report, folder, [image['file_name'] for image in content['images']])
        check_sizes(report, folder, content['images'], samples, rng)
        _check_lists(report, dataset, content)
        if report.split != 'train' and len(report.problems) == before:
            metrics = ('bbox', 'segm') if report.split in report.masks else ('bbox',)
            for metric in metrics:
                check_self_evaluation(report, content, metric)


def check_annotations(report: Report, dataset: Any) -> None:
    """Check an annotation file of COCO's format, with a look at a few images."""
    content = _read(report, dataset)
    if content is not None:
        _check_lists(report, dataset, content, QUICK_MASKS)
        folder = dataset.data_prefix.get('img') or ''
        if '://' not in folder:
            check_some_files(report, Path(folder), content['images'])


def _read(report: Report, dataset: Any) -> dict[str, list[dict]] | None:
    """The lists of an annotation file; None, and a problem, if it is none."""
    path = Path(dataset.ann_file)
    report.fact('annotations', str(path))
    if path.stat().st_size > 50e6:
        report.echo('  (a large file, reading it takes a while)')
    try:
        text = path.read_bytes()
        if text.startswith(BOM_UTF8):
            report.problem(
                f'{path} starts with a byte-order mark, which pycocotools cannot read',
                f'save it as UTF-8 without one, or {FIX}',
            )
        content = json.loads(text.decode('utf-8-sig'))  # pycocotools reads no other encoding
        if 'annotations' not in content and not _needs_objects(report.split, dataset):
            content['annotations'] = []
        for key in LISTS:
            if not all(isinstance(entry, dict) for entry in [*content[key]]):
                raise TypeError(f'{key} is no list of objects')
    except (ValueError, KeyError, TypeError) as error:
        report.problem(
            f'{path} is not an annotation file of COCO ({error_text(error)})',
            'it must be JSON in UTF-8 with the lists images, annotations and categories '
            f'(see {LAYOUTS_PAGE})',
        )
        return None
    is_whole = check_entries(report, path, content)
    for key, one in (('images', 'image'), ('categories', 'category')):
        if not content[key]:
            report.problem(f'{path} lists no {one}', f'write the {key} into its list')
            is_whole = False
    return content if is_whole else None


def _needs_objects(split: str, dataset: Any) -> bool:
    """Whether a split needs annotations; images for testing or without labels do not."""
    if split != 'train':
        return split == 'val'
    # the unlabeled part of semi-supervised training keeps images without objects
    keeps_bare = (dataset.filter_cfg or {}).get('filter_empty_gt') is False
    return not (dataset.test_mode or keeps_bare)


def _check_lists(report: Report, dataset: Any, content: dict, masks: int | None = None) -> None:
    """Check what an annotation file says, some of its masks or all, and if it fits the config."""
    images, objects, categories = (content[key] for key in LISTS)
    have_sizes = _check_images(report, images)
    classes = dataset.metainfo['classes']
    check_evaluation(report, objects)
    usable = _check_objects(report, images, objects) if have_sizes else None
    if usable is not None:
        check_boxes(report, images, objects)
        check_usable(report, classes, content, usable, _needs_objects(report.split, dataset))
        check_masks(report, images, objects, report.split in report.masks, masks)
    _check_categories(report, classes, objects, categories)


def _check_images(report: Report, images: list[dict]) -> bool:
    """Check for repeated ids and invalid sizes; returns whether all sizes are valid."""
    twice = repeated(image['id'] for image in images)
    if twice:
        report.problem(
            f'{len(twice)} image ids are given more than once ({some(twice)}), and all '
            'but one of their images would be left out',
            'number the images anew, each with an id of its own',
        )
    wrong = [
        image['id']
        for image in images
        if not all(is_number(image[side]) and image[side] > 0 for side in ('height', 'width'))
    ]
    return not report.problem_of(
        wrong,
        'images have a height or width that is no size',
        'write height and width in pixels, as numbers',
        kind='image',
    )


def _check_objects(report: Report, images: list[dict], objects: list[dict]) -> list[dict] | None:
    """Check ids and boxes; returns the objects that mmdet keeps, None if a box is invalid."""
    sizes = {image['id']: (image['width'], image['height']) for image in images}
    crowd = sum(bool(entry.get('iscrowd')) for entry in objects)
    report.fact('objects', f'{len(objects)}, {crowd} of them crowds')
    bare = len(sizes.keys() - {entry['image_id'] for entry in objects})
    if bare:
        report.note(f'{bare} of {len(sizes)} images are without annotation')
    twice = repeated(entry['id'] for entry in objects)
    if twice:
        report.problem(
            f'{len(twice)} annotation ids are given more than once ({some(twice)})',
            'number the annotations anew, each with an id of its own',
        )
    strays = [entry['id'] for entry in objects if entry['image_id'] not in sizes]
    if strays and {str(entry['image_id']) for entry in objects} <= set(map(str, sizes)):
        report.problem(
            f'image_id is a number in one list and a text in the other '
            f'(annotation ids {some(strays)})',
            'write the ids of images and annotations alike, as numbers',
        )
    else:
        report.note_of(strays, 'annotations belong to no listed image')
    wrong = [entry['id'] for entry in objects if not _is_box(entry)]
    if report.problem_of(
        wrong,
        'boxes are not four numbers, or NaN or infinite',
        'write bbox as [left, top, width, height] in pixels',
    ):
        return None
    wrong = [entry['id'] for entry in objects if not is_number(entry['area'])]
    if report.problem_of(
        wrong, 'areas are no number, or NaN or infinite', f'write area in pixels, or {FIX}'
    ):
        return None
    empty = [entry['id'] for entry in objects if _is_empty(entry, sizes.get(entry['image_id']))]
    report.note_of(
        empty, 'boxes are empty, under 1 pixel or outside of their image, and are left out'
    )
    lost = {*empty, *strays}
    return [entry for entry in objects if entry['id'] not in lost]


def _is_box(entry: dict) -> bool:
    """Whether a box is four numbers."""
    box = entry['bbox']
    return isinstance(box, list) and len(box) == 4 and all(map(is_number, box))


def _is_empty(entry: dict, size: tuple[int, int] | None) -> bool:
    """Whether mmdet leaves a box out."""
    left, top, width, height = entry['bbox']
    if entry['area'] <= 0 or width < 1 or height < 1:
        return True
    if size is None:
        return False
    return min(left + width, size[0]) <= max(left, 0) or min(top + height, size[1]) <= max(top, 0)


def _check_categories(
    report: Report, classes: tuple, objects: list[dict], categories: list[dict]
) -> None:
    """Compare the categories of the annotation file with the classes of the config."""
    names = {category['id']: category['name'] for category in categories}
    number = Counter(names.get(entry['category_id']) for entry in objects)
    report.fact('objects of', class_counts(classes, [number[name] for name in classes]))
    fix = (
        f'name the classes of the file, in its order: {name_classes(report.split, names.values())}'
    )
    absent = [name for name in classes if name not in names.values()]
    if absent:
        report.problem(
            f'{len(absent)} of {len(classes)} classes of the config are not in the '
            f'annotation file ({some(absent)}); the labels of the others would shift',
            fix,
        )
    # mmdet numbers the classes as the file orders them, whatever the config's order
    order = [name for name in names.values() if name in classes]
    twice = repeated(names.values())
    if not absent and not twice and order != list(classes):
        report.problem(
            f'the annotation file orders the classes otherwise than the config '
            f'({some(order)} against {some(classes)}), so they would get the wrong names',
            fix,
        )
    if twice:
        report.problem(
            f'several categories of the annotation file have the same name '
            f'({some(twice)}), so the labels of the others would shift',
            f'give each category a name of its own; one without objects is removed when you {FIX}',
        )
    unknown = {name: number[name] for name in names.values() if name not in classes}
    if unknown:
        text = ', '.join(f'{name} {count}' for name, count in list(unknown.items())[:IGNORED_NAMES])
        report.note(
            f'{len(unknown)} categories of the annotation file are not among the classes '
            f'of the config; their {sum(unknown.values())} annotations are left out ({text})'
        )
    if number[None]:
        ids = sorted({e['category_id'] for e in objects if e['category_id'] not in names})
        report.problem(
            f'{number[None]} annotations have a category_id which the file does not '
            f'define ({some(ids)})',
            'add these categories to the file, or correct the ids',
        )
