"""A corrected copy of a COCO annotation file; the source file stays untouched."""

import json
from pathlib import Path
from typing import Any

from pycocotools import mask as masks

from ...errors import ConfigError, error_text
from .coco_objects import MIN_POLYGON


def fix_annotations(source: str | Path, target: str | Path) -> dict[str, int]:
    """Write a copy of an annotation file with what can be corrected without a person.

    ``iscrowd`` is added as 0 and ``area`` from the mask, else from the box. Annotations are
    numbered from 1 where an id is 0, missing or given twice. A polygon that is not nested becomes
    a list, one with fewer than 6 numbers or an odd number is removed, and the box takes the place
    of an absent segmentation. Backslashes in ``file_name`` become slashes.

    Args:
        source: The annotation file.
        target: The copy. It must not be the source.

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
    changes = dict.fromkeys(('file_name', 'id', 'iscrowd', 'segmentation', 'area'), 0)
    for image in images.values():
        if '\\' in image['file_name']:
            image['file_name'] = image['file_name'].replace('\\', '/')
            changes['file_name'] += 1
    ids = [entry.get('id') for entry in objects]
    if None in ids or 0 in ids or len(set(ids)) < len(ids):
        for number, entry in enumerate(objects, 1):
            changes['id'] += entry.get('id') != number
            entry['id'] = number
    for entry in objects:
        if 'iscrowd' not in entry:
            entry['iscrowd'] = 0
            changes['iscrowd'] += 1
        code = _fixed_segmentation(entry)
        if code != entry.get('segmentation'):
            entry['segmentation'] = code
            changes['segmentation'] += 1
        if not entry.get('area'):
            entry['area'] = _area(entry, images.get(entry['image_id']))
            changes['area'] += 1
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(content, ensure_ascii=False), encoding='utf-8')
    return changes


def _fixed_segmentation(entry: dict) -> Any:
    """Nested polygons of at least three points; the box where there are none."""
    code = entry.get('segmentation')
    if isinstance(code, dict):
        return code
    polygons = code or []
    if polygons and not any(isinstance(polygon, list) for polygon in polygons):
        polygons = [polygons]
    polygons = [p for p in polygons if len(p) >= MIN_POLYGON and len(p) % 2 == 0]
    if not polygons and 'bbox' in entry:
        left, top, width, height = entry['bbox']
        right, bottom = left + width, top + height
        polygons = [[left, top, right, top, right, bottom, left, bottom]]
    return polygons


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
