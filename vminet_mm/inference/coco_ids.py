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

# name of a file: parts of a path that is listed, the name first: number of the image
_Listed = dict[str, dict[tuple[str, ...], int]]


def coco_ids(
    classes: Sequence[str], files: Sequence[Path], ann_file: str | PathLike | None = None
) -> tuple[dict[str, int], list[int]]:
    """The numbers of images and classes.

    Those of an annotation file, if there is one: by the names of classes and files, and by their
    folders where files share a name. Otherwise an image has the number that its name is, as in
    COCO, if every name is another one; else its index, from 1. Classes are numbered from 1; if
    there are 80, as COCO numbers its own.

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
    numbers = {str(file): _listed(file, images, ann_file) for file in files}
    return numbers, [categories[c] for c in classes]


def _listed(file: Path, images: _Listed, ann_file: str | PathLike) -> int:
    """The number of the image whose listed path agrees best with a file's, from the name up.

    Raises:
        InputError: If none has the file's name, or several agree as well.
    """
    parts = file.absolute().parts[::-1]
    near = images.get(file.name)
    if near is None:
        raise InputError(f'{ann_file} has no image {file.name}')
    agree = {listed: len(os.path.commonprefix((listed, parts))) for listed in near}
    ranks = {listed: (count, count == len(listed)) for listed, count in agree.items()}
    best = [listed for listed in near if ranks[listed] == max(ranks.values())]
    if len(best) > 1:
        raise InputError(f'{ann_file} has {len(best)} images {file.name}, none of them at {file}')
    return near[best[0]]


def write_results(path: str | PathLike, results: list[dict], category_ids: list[int]) -> None:
    """Write the objects of images, see :meth:`.Detection.coco`, in COCO's format of results.

    Boxes and masks go to one file, whose folder exists; ``category_ids`` are COCO's numbers.
    """
    from mmdet.evaluation import CocoMetric  # no other task needs it

    if not results:
        Path(path).write_text('[]', encoding='utf-8')
        return
    with TemporaryDirectory(dir=Path(path).parent) as folder:
        metric = CocoMetric(format_only=True, outfile_prefix=f'{folder}/results')
        metric.cat_ids = category_ids
        files = metric.results2json(results, metric.outfile_prefix)
        os.replace(files.get('segm', files['bbox']), path)  # the one with masks has boxes, too


def _numbers(files: Sequence[Path]) -> dict[str, int]:
    """A number for each file."""
    numbers = [int(file.stem) if file.stem.isdecimal() else None for file in files]
    if None in numbers or len(set(numbers)) < len(numbers):
        numbers = range(1, len(files) + 1)
    return {str(file): number for file, number in zip(files, numbers, strict=True)}


def _read(ann_file: str | PathLike) -> tuple[_Listed, dict[str, int]]:
    """The numbers of images, and of categories by name."""
    try:
        content = json.loads(Path(ann_file).read_text('utf-8-sig'))
        images: _Listed = {}
        for image in content['images']:
            path = Path(image['file_name'])
            images.setdefault(path.name, {})[path.parts[::-1]] = image['id']
        return images, {category['name']: category['id'] for category in content['categories']}
    except OSError as error:
        raise InputError(f'{ann_file} cannot be opened ({error.strerror})') from None
    except (KeyError, TypeError, ValueError):
        raise InputError(f'{ann_file} is not an annotation file in the format of COCO') from None
