"""Files in COCO's format of results, and its numbers for images and classes."""

import json
import os
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import InputError

NUM_COCO = 80  # classes, whose numbers leave these out of 1 to 90
COCO_GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)


def coco_ids(
    classes: Sequence[str], files: Sequence[Path], ann_file: str | PathLike | None = None
) -> tuple[dict[str, int], list[int]]:
    """The numbers of images and classes.

    Those of an annotation file, by the names of files and classes, if there is one. Otherwise an
    image has the number that its name is, as in COCO, if every name is another one; else its index,
    from 1. Classes are numbered from 1; if there are 80, as COCO numbers its own.

    Args:
        classes: The names of the model's classes.
        files: The images, in order.
        ann_file: An annotation file in COCO's format; its ``annotations`` are not needed.

    Returns:
        The number of each image by its path, and of each class.

    Raises:
        InputError: If the annotation file cannot be read, or lacks a class or an image.
    """
    if ann_file is None:
        is_coco = len(classes) == NUM_COCO
        gaps = COCO_GAPS if is_coco else ()
        numbers = range(1, len(classes) + len(gaps) + 1)
        return _numbers(files), [k for k in numbers if k not in gaps]
    images, categories = _read(ann_file)
    for name in classes:
        if name not in categories:
            raise InputError(f'{ann_file} has no category {name!r}, a class of the model')
    for file in files:
        if file.name not in images:
            raise InputError(f'{ann_file} has no image {file.name}')
    return {str(file): images[file.name] for file in files}, [categories[c] for c in classes]


def write_results(path: str | PathLike, results: list[dict], category_ids: list[int]) -> None:
    """Write objects in COCO's format of results, boxes and masks in one file.

    Args:
        path: The file; its folder exists.
        results: The objects of each image, see :meth:`.Detection.coco`.
        category_ids: COCO's number of each class.
    """
    from mmdet.evaluation import CocoMetric  # no other task needs it

    if not results:
        Path(path).write_text('[]')
        return
    with TemporaryDirectory(dir=Path(path).parent) as folder:
        metric = CocoMetric(format_only=True, outfile_prefix=f'{folder}/results')
        metric.cat_ids = category_ids
        files = metric.results2json(results, metric.outfile_prefix)
        os.replace(files.get('segm', files['bbox']), path)  # the one with masks has boxes, too


def _numbers(files: Sequence[Path]) -> dict[str, int]:
    """A number for each file."""
    told = [int(file.stem) if file.stem.isdecimal() else None for file in files]
    if None in told or len(set(told)) < len(told):
        told = range(1, len(files) + 1)
    return {str(file): number for file, number in zip(files, told, strict=True)}


def _read(ann_file: str | PathLike) -> tuple[dict[str, int], dict[str, int]]:
    """The numbers of images by file name, and of categories by name."""
    try:
        content = json.loads(Path(ann_file).read_text())
        images = {Path(image['file_name']).name: image['id'] for image in content['images']}
        return images, {category['name']: category['id'] for category in content['categories']}
    except OSError as error:
        raise InputError(f'{ann_file} cannot be opened ({error.strerror})') from None
    except (KeyError, TypeError, ValueError):
        raise InputError(f'{ann_file} is not an annotation file in the format of COCO') from None
