"""CamVid with 11 classes, as SegNet's authors share it, to the layout of ADE20K."""

from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from ...errors import ConfigError
from ...tasks import SEGMENTATION
from .files import by_stem, image_files, new_data_root, read_rgb, read_values, require_folder

CLASSES = (
    *('sky', 'building', 'pole', 'road', 'pavement', 'tree', 'sign', 'fence', 'car'),
    *('pedestrian', 'bicyclist'),
)
VOID = len(CLASSES)  # the label of pixels without a class
ALSO_VOID = 255  # in some copies
JPEG_QUALITY = 95


def convert_camvid(source: str | Path, target: str | Path, val: str = 'val') -> dict[str, int]:
    """Write images as JPEG and labels from 1, with 0 for pixels without a class.

    Args:
        source: The folder with ``train/``, ``trainannot/``, ``val/``, ``valannot/`` and so on.
        target: The new data root.
        val: The split that becomes the validation split: ``'val'`` or ``'test'``.

    Returns:
        dict[str, int]: The number of images of each split.

    Raises:
        ConfigError: If a folder, an image or a label map is missing or broken, a label map has
            another size than its image, or a label is out of range.
    """
    source = require_folder(Path(source), 'CamVid')
    pairs = {side: _pairs(source, name) for side, name in (('train', 'train'), ('val', val))}
    with new_data_root(Path(target)) as root:
        for side, files in pairs.items():
            pictures, labels = SEGMENTATION.layout.folders(root, side)
            pictures.mkdir(parents=True)
            labels.mkdir(parents=True)
            for picture, label_map in tqdm(files, desc=side, disable=None, leave=False):
                pixels = read_rgb(picture)
                values = _labels(label_map, pixels.shape[:2])
                Image.fromarray(pixels).save(pictures / f'{picture.stem}.jpg', quality=JPEG_QUALITY)
                Image.fromarray(values).save(labels / f'{picture.stem}.png')
    return {side: len(files) for side, files in pairs.items()}


def _pairs(source: Path, name: str) -> list[tuple[Path, Path]]:
    """The images of a split, each with its label map of the same name."""
    folders = source / name, source / f'{name}annot'
    if (source / f'{name}_labels').is_dir() and not folders[1].is_dir():
        raise ConfigError(
            f'{source} is CamVid with labels in colors, {name}_labels; get the copy of the '
            f'authors of SegNet, whose {name}annot holds numbers of 11 classes'
        )
    require_folder(folders[0], f"CamVid's split {name}")
    require_folder(folders[1], f"CamVid's labels of {name}")
    pictures, labels = (by_stem(image_files(folder), 'of one name') for folder in folders)
    if not pictures:
        raise ConfigError(f'{folders[0]} holds no images: unpack CamVid again')
    for stem in sorted(set(pictures) ^ set(labels)):
        lacking, there = folders if stem in labels else folders[::-1]
        raise ConfigError(
            f'{lacking} has no {stem} as {there} has: each image needs its label map of the same '
            'name'
        )
    return [(pictures[stem], labels[stem]) for stem in sorted(pictures)]


def _labels(path: Path, size: tuple[int, int]) -> np.ndarray:
    """The label map with classes from 1 and 0 for void, (H, W) uint8."""
    values = read_values(path)
    if values.ndim != 2:
        raise ConfigError(f'{path} is in colors, not a label map of numbers from 0 to {VOID}')
    if values.shape != size:
        raise ConfigError(f'{path} is {values.shape}, its image {size}: get the download again')
    values = np.where(values == ALSO_VOID, VOID, values)
    if values.min() < 0 or values.max() > VOID:
        raise ConfigError(
            f'{path} is not a label map of 11 classes: values must be 0 to {VOID}, or {ALSO_VOID}'
        )
    return ((values + 1) % (VOID + 1)).astype(np.uint8)
