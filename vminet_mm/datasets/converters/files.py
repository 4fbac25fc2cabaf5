"""What the converters share: the files of a download, and the data root that is written."""

import io
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import mmcv
import numpy as np
from PIL import Image

from ...compat.data_errors import read_whole
from ...errors import ConfigError, InputError
from ..pictures import IMAGE_NAME, loaded_size

Item = TypeVar('Item')


def require_folder(folder: Path, what: str) -> Path:
    """Raise unless a folder is there; ``what`` says which part of a download it is."""
    if folder.is_file():
        raise ConfigError(f'{folder} is a file: unpack {what} and give the folder')
    if not folder.is_dir():
        raise ConfigError(f'there is no folder {folder}: unpack {what} there')
    return folder


@contextmanager
def new_data_root(target: Path) -> Iterator[Path]:
    """A folder whose content moves to ``target`` at the end; after an error nothing is left.

    Raises:
        ConfigError: If ``target`` holds files, so that nothing is overwritten, or cannot be made.
    """
    is_new = not target.exists()
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f'{target} cannot be made ({error.strerror})') from error
    if any(target.iterdir()):
        raise ConfigError(f'{target} is not empty: give another output folder or remove it')
    try:
        with TemporaryDirectory(prefix='unfinished-', dir=target) as folder:
            yield Path(folder)
            for path in Path(folder).iterdir():
                path.rename(target / path.name)
    except BaseException:
        if is_new:
            target.rmdir()
        raise


def visible(folder: Path) -> list[Path]:
    """What a folder holds, sorted, without the hidden files that file managers leave."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith('.'))


def image_files(folder: Path) -> list[Path]:
    """The image files of a folder by their names, sorted; none if there is no folder."""
    paths = visible(folder) if folder.is_dir() else []
    return [path for path in paths if IMAGE_NAME.fullmatch(path.name)]


def by_stem(files: Iterable[Path], what: str) -> dict[str, Path]:
    """Files by their names without suffix.

    Raises:
        ConfigError: If two of them share a name.
    """
    found: dict[str, Path] = {}
    for path in files:
        if path.stem in found:
            raise ConfigError(f'{found[path.stem]} and {path.name} are both {what}: remove one')
        found[path.stem] = path
    return found


def read_rgb(path: Path) -> np.ndarray:
    """An image file as a training reads it: (H, W, 3) RGB uint8.

    Raises:
        ConfigError: If it cannot be read to its end.
    """
    pixels = mmcv.imfrombytes(_content(path), channel_order='rgb')
    if pixels is None:
        raise ConfigError(f'{path} is of a kind that OpenCV does not read')
    return pixels


def read_values(path: Path) -> np.ndarray:
    """An image file with the values that it holds: (H, W), indices of a palette, or (H, W, C).

    Raises:
        ConfigError: If it cannot be read to its end.
    """
    with Image.open(io.BytesIO(_content(path))) as image:
        return np.asarray(image)


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of an image file as a training reads it.

    Raises:
        ConfigError: If it cannot be read to its end.
    """
    _content(path)
    size, _ = loaded_size(path)
    return size


def _content(path: Path) -> bytes:
    try:
        return read_whole(path)
    except InputError as error:
        raise ConfigError(f'{path}: {error}; get the download again') from error


def split(items: Sequence[Item], val_fraction: float, seed: int) -> dict[str, list[Item]]:
    """Items in a random split, at least one on each side; each side keeps their order.

    Raises:
        ConfigError: If the fraction is none, or there are fewer than two items.
    """
    if not 0 < val_fraction < 1:
        raise ConfigError(f'val_fraction is {val_fraction}: give a number between 0 and 1')
    if len(items) < 2:
        raise ConfigError(f'{len(items)} image cannot be split into train and val: give more')
    order = list(range(len(items)))
    random.Random(seed).shuffle(order)
    number = min(max(round(val_fraction * len(items)), 1), len(items) - 1)
    sides = dict(val=order[:number], train=order[number:])
    return {side: [items[index] for index in sorted(chosen)] for side, chosen in sides.items()}


def write_coco(path: Path, images: list[dict], objects: list[dict], classes: Iterable[str]) -> None:
    """Write an annotation file of COCO; objects are numbered from 1.

    Images need no more than ``id``, ``file_name``, ``width`` and ``height``; objects ``image_id``,
    ``category_id``, ``bbox``, ``area``, ``iscrowd`` and ``segmentation``. Classes are numbered
    from 1.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content = dict(
        images=images,
        annotations=[dict(e, id=number) for number, e in enumerate(objects, 1)],
        categories=[dict(id=number, name=name) for number, name in enumerate(classes, 1)],
    )
    path.write_text(json.dumps(content), encoding='utf-8')
