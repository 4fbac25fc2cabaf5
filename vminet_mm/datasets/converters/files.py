"""What the converters share: folders that must be there, new ones, and annotation files."""

import json
from collections.abc import Iterable
from pathlib import Path

from ...errors import ConfigError


def require_folder(folder: Path, what: str) -> Path:
    """Raise unless a folder is there; ``what`` says which part of a download it is."""
    if not folder.is_dir():
        raise ConfigError(f'there is no folder {folder}: unpack {what} there')
    return folder


def new_folder(folder: Path) -> Path:
    """Make a folder; one that holds files is refused, so that nothing is overwritten."""
    if folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(f'{folder} is not empty: give another output folder or remove it')
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_coco(path: Path, images: list[dict], objects: list[dict], classes: Iterable[str]) -> None:
    """Write an annotation file of COCO; objects are numbered from 1 and are no crowds.

    Images need no more than ``id``, ``file_name``, ``width`` and ``height``; objects ``image_id``,
    ``category_id``, ``bbox``, ``area`` and ``segmentation``. Classes are numbered from 1.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content = dict(
        images=images,
        annotations=[dict(e, id=number, iscrowd=0) for number, e in enumerate(objects, 1)],
        categories=[dict(id=number, name=name) for number, name in enumerate(classes, 1)],
    )
    path.write_text(json.dumps(content), encoding='utf-8')
