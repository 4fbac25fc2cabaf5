"""Masks of a COCO annotation file: polygons and run-length codes, by pycocotools' own rules."""

import math
from itertools import chain
from typing import Any

import numpy as np
from pycocotools import mask as masks
from tqdm import tqdm

from .coco_codes import code_runs
from .report import FIX, Report

MIN_POLYGON = 6  # numbers: three points
FAR = 100  # sides of the image from its corner, beyond which no polygon is meant
QUICK_MASKS = 500  # decoded and compared with their box before every training
SAME_BOX = 0.5  # IoU with the box of its mask, below which a box belongs to something else


def check_masks(
    report: Report,
    images: list[dict],
    objects: list[dict],
    is_needed: bool,
    number: int | None = None,
) -> None:
    """Check that each object has a mask that mmdet and pycocotools can read, and that fits its box.

    So many masks are decoded, or all; none where the config needs none.
    """
    before = len(report.problems)
    sizes = {image['id']: (image['height'], image['width']) for image in images}
    known = [entry for entry in objects if entry['image_id'] in sizes]
    _check_code_sizes(report, sizes, known)
    if not is_needed:
        return
    _check_form(report, sizes, known)
    if len(report.problems) == before:
        step = max(len(known) // number, 1) if number else 1
        _check_contents(report, sizes, known[::step])


def polygon_fault(code: Any) -> str | None:
    """Why a segmentation that is a list is not valid polygons; None if it is valid."""
    if any(isinstance(polygon, dict) for polygon in code):
        return 'listed'
    if not all(isinstance(polygon, list) for polygon in code):
        return 'flat'
    if are_pairs(code) or any(isinstance(value, list) for polygon in code for value in polygon):
        return 'deep'
    if not all(is_number(value) for polygon in code for value in polygon):
        return 'text'
    is_sound = all(len(p) >= MIN_POLYGON and len(p) % 2 == 0 for p in code)
    return None if is_sound else 'thin'


def are_pairs(polygon: list) -> bool:
    """Whether a polygon is written as a list of points."""
    return len(polygon) >= MIN_POLYGON / 2 and all(
        isinstance(part, list) and len(part) == 2 for part in polygon
    )


def _check_form(report: Report, sizes: dict, objects: list[dict]) -> None:
    """Check that each object has a mask, and that polygons have at least three points.

    pycocotools walks along the edges of a polygon: NaN or a point far away takes all memory.
    """
    found: dict[str, list] = {}
    for entry in objects:
        fault = _fault(entry.get('segmentation'), FAR * max(sizes[entry['image_id']]))
        if fault:
            found.setdefault(fault, []).append(entry['id'])
    report.problem_of(
        found.get('empty', ()),
        f'of {len(objects)} objects have no segmentation, and masks are read',
        f'add the masks, or {FIX}, which draws the box as a polygon; a detector without masks '
        'does not need them',
    )
    for fault, text, way in (
        ('flat', 'segmentations are polygons that are not nested', 'write'),
        ('deep', 'segmentations are nested too deep, or pairs of numbers', 'write'),
        ('text', 'segmentations hold what is no number, or NaN', 'write numbers:'),
        ('far', 'segmentations reach far beyond their image', 'write pixels:'),
    ):
        fix = f'{way} segmentation as [[x1, y1, x2, y2, ...]], a list of polygons, or {FIX}'
        report.problem_of(found.get(fault, ()), text, fix)
    for fault, text, fix in (
        (
            'listed',
            'segmentations are run-length codes in a list',
            f'write each as one code, not in a list, or {FIX}',
        ),
        (
            'other',
            'segmentations are a text or a number',
            'write them as lists of polygons, or as {"size": [height, width], "counts": ...}',
        ),
        (
            'code',
            'masks (run-length codes) cannot be decoded',
            'code these masks again, with pycocotools.mask.encode',
        ),
    ):
        report.problem_of(found.get(fault, ()), text, fix)
    if found.keys() & {'text', 'far', 'code'}:
        report.unsafe.add(report.split)
    report.problem_of(
        found.get('thin', ()),
        f'objects have a polygon with fewer than {MIN_POLYGON} numbers or an odd number of them',
        f'remove these polygons, or {FIX}',
    )


def _fault(code: Any, reach: float) -> str | None:
    """Why a segmentation is not a valid mask within ``reach`` pixels; None if it is valid."""
    if not code:
        return 'empty'
    if isinstance(code, dict):
        return 'code' if code_runs(code) is None else None
    if not isinstance(code, list):
        return 'other'
    fault = polygon_fault(code)
    is_far = fault in (None, 'thin') and any(abs(x) > reach for polygon in code for x in polygon)
    return 'far' if is_far else fault


def _check_code_sizes(report: Report, sizes: dict, objects: list[dict]) -> None:
    """Check that run-length codes have the size of their image."""
    wrong = []
    for entry in objects:
        code, size = entry.get('segmentation'), sizes[entry['image_id']]
        if not isinstance(code, dict):
            continue
        runs, listed = code_runs(code), code.get('size')
        is_whole = runs is None or runs.sum() == size[0] * size[1]  # invalid: reported separately
        if listed != list(size) or not is_whole:
            wrong.append(entry['id'])
    report.problem_of(
        wrong,
        'masks (run-length codes) are not of the size of their image',
        'write size as [height, width] of the image, and code the mask at that size',
    )


def _check_contents(report: Report, sizes: dict, objects: list[dict]) -> None:
    """Check that codes can be decoded, and that masks lie within their boxes."""
    broken, apart, bare = [], [], []
    for entry in tqdm(objects, desc='reading masks', disable=None, leave=False):
        code = entry['segmentation']
        try:
            box = _box_of(code, sizes[entry['image_id']])
        except Exception:  # pycocotools raises all kinds of errors on odd codes
            broken.append(entry['id'])
            continue
        if box[2] <= 0 or box[3] <= 0:
            bare.append(entry['id'])
        elif _iou(box, entry['bbox']) < SAME_BOX:
            apart.append(entry['id'])
    report.problem_of(
        broken,
        'masks (run-length codes) cannot be decoded',
        'code these masks again, with pycocotools.mask.encode',
    )
    if bare and len(bare) == len(objects):
        report.problem(
            f'none of the {len(bare)} masks holds a pixel',
            'draw polygons around the objects; a detector without masks does not need them',
        )
    else:
        report.note_of(bare, 'masks hold no pixel')
    text = f'of {len(objects)} masks do not lie in their box'
    if len(apart) > len(objects) / 2:
        report.problem_of(
            apart,
            text,
            'write bbox as [left, top, width, height] in pixels, and boxes and masks in the size '
            'that the image has; was one of them scaled?',
        )
    else:
        report.note_of(apart, text)


def _box_of(code: Any, size: tuple[int, int]) -> tuple[float, ...]:
    """Left, top, width and height of a mask; 0 if it holds no pixel."""
    if isinstance(code, list):
        if not any(map(_has_area, code)):
            return (0.0,) * 4
        points = np.array(list(chain.from_iterable(code)), dtype=float).reshape(-1, 2)
        low, high = points.min(axis=0), points.max(axis=0)
        return (*low, *(high - low))
    if isinstance(code.get('counts'), list):
        code = masks.frPyObjects(code, *size)
    masks.decode(code)
    return tuple(masks.toBbox(code))


def _has_area(polygon: list[float]) -> bool:
    """Whether a polygon is more than a point or a line, by the shoelace formula."""
    x, y = (np.array(polygon[side::2], dtype=float) for side in (0, 1))
    return abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) > 1e-6


def _iou(box: tuple[float, ...], other: list[float]) -> float:
    """Intersection over union of boxes (left, top, width, height) with sides of a pixel or more."""
    (a, b, c, d), (e, f, g, h) = box, other
    c, d, g, h = (max(side, 1) for side in (c, d, g, h))
    shared = max(min(a + c, e + g) - max(a, e), 0) * max(min(b + d, f + h) - max(b, f), 0)
    return shared / (c * d + g * h - shared)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, (int, float)) and math.isfinite(value)
