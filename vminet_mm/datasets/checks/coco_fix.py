"""A corrected copy of a COCO annotation file; the source file stays untouched."""

import json
import math
from itertools import chain
from pathlib import Path
from typing import Any

from pycocotools import mask as masks

from ...errors import ConfigError, error_text
from .coco_entries import is_object_id
from .coco_masks import MIN_POLYGON, are_pairs, polygon_fault


def fix_annotations(source: str | Path, target: str | Path) -> dict[str, int]:
    """Write a copy of an annotation file with what can be corrected without a person.

    ``iscrowd`` is added as 0, or written as 0 or 1, and ``area`` from the mask, else from the box.
    Annotations are numbered from 1 where an id is 0, no number, missing or given twice. A polygon
    that is not nested becomes a list, one nested too deep and pairs of numbers are made flat, one
    with fewer than 6 numbers or an odd number is removed, a run-length code is taken out of its
    list, and the box takes the place of an absent segmentation. Backslashes in ``file_name`` become
    slashes. Of categories of one name those without objects are removed.

    Returns:
        dict[str, int]: How many entries each correction changed.

    Raises:
        ConfigError: If the source is no annotation file or both are one file.
    """
    source, target = Path(source), Path(target)
    if source.resolve() == target.resolve():
        raise ConfigError(f'--fix must not overwrite {source}: give another file')
    try:
        content = json.loads(source.read_text('utf-8-sig'))
        images = {image['id']: image for image in content['images']}
        objects = content['annotations']
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f'{source} cannot be corrected: {error_text(error)}') from error
    changes = dict.fromkeys(('file_name', 'id', 'iscrowd', 'segmentation', 'area', 'category'), 0)
    for image in images.values():
        if '\\' in str(image['file_name']):
            image['file_name'] = image['file_name'].replace('\\', '/')
            changes['file_name'] += 1
    ids = [entry.get('id') for entry in objects]
    if not all(map(is_object_id, ids)) or 0 in ids or len(set(ids)) < len(ids):
        for number, entry in enumerate(objects, 1):
            changes['id'] += entry.get('id') != number
            entry['id'] = number
    for entry in objects:
        if entry.get('iscrowd') not in (0, 1):
            entry['iscrowd'] = int(str(entry.get('iscrowd')).lower() in ('1', 'true'))
            changes['iscrowd'] += 1
        code = _fixed_segmentation(entry)
        if code != entry.get('segmentation'):
            entry['segmentation'] = code
            changes['segmentation'] += 1
        if not _number(entry.get('area')) > 0:
            entry['area'] = _area(entry, images.get(entry['image_id']))
            changes['area'] += 1
    changes['category'] = _remove_doubles(content)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(content, ensure_ascii=False), encoding='utf-8')
    return changes


def _fixed_segmentation(entry: dict) -> Any:
    """Nested polygons of at least three points; the box where there are none."""
    code = entry.get('segmentation')
    if isinstance(code, (dict, str)):
        return code
    polygons = code or []
    fault = polygon_fault(polygons)
    if fault == 'listed':
        return polygons[0] if len(polygons) == 1 else polygons
    if fault == 'flat':
        polygons = [[value for value in polygons if not isinstance(value, list)]]
    if fault == 'deep':
        nested = [polygons] if are_pairs(polygons) else polygons
        polygons = list(chain.from_iterable(map(_flat, nested)))
    if fault == 'text':
        polygons = [[_number(value) for value in polygon] for polygon in polygons]
    polygons = [p for p in polygons if len(p) >= MIN_POLYGON and not polygon_fault([p])]
    if not polygons and 'bbox' in entry:
        left, top, width, height = entry['bbox']
        right, bottom = left + width, top + height
        polygons = [[left, top, right, top, right, bottom, left, bottom]]
    return polygons


def _flat(polygon: list) -> list[list]:
    """The polygons in one that is nested too deep; pairs of numbers are one polygon."""
    if are_pairs(polygon):
        return [list(chain.from_iterable(polygon))]
    return [part for part in polygon if isinstance(part, list)] or [polygon]


def _number(value: Any) -> float:
    """A number that may be written as a text; NaN if it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _remove_doubles(content: dict) -> int:
    """Remove categories without objects whose name another one has; returns how many."""
    used = [entry.get('category_id') for entry in content['annotations']]
    kept = content.get('categories') or []
    number = len(kept)
    for category in list(kept):
        names = [one['name'] for one in kept]
        if category['id'] not in used and names.count(category['name']) > 1:
            kept.remove(category)
    return number - len(kept)


def _area(entry: dict, image: dict | None) -> float:
    """Pixels of the mask, or of the box without one."""
    code = entry['segmentation']
    if image and isinstance(code, list) and code:
        runs = masks.frPyObjects(code, image['height'], image['width'])
        return float(masks.area(masks.merge(runs)))
    if isinstance(code, dict) and isinstance(code.get('counts'), list):
        return float(sum(code['counts'][1::2]))
    if isinstance(code, dict) and code.get('counts'):
        return float(masks.area(code))
    _, _, width, height = entry['bbox']
    return float(width * height)
