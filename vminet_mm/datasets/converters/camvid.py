"""CamVid with 11 classes, as SegNet's authors share it, to the layout of ADE20K."""

from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from ...errors import ConfigError
from ...tasks import SEGMENTATION
from .files import new_folder, require_folder

CLASSES = (
    *('sky', 'building', 'pole', 'road', 'pavement', 'tree', 'sign', 'fence', 'car'),
    *('pedestrian', 'bicyclist'),
)
VOID = len(CLASSES)  # the label of pixels without a class
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
        ConfigError: If a folder or a label map is missing, or a label is out of range.
    """
    source, counts = require_folder(Path(source), 'CamVid'), {}
    folders = {'train': 'train', 'val': val}
    for name in folders.values():
        require_folder(source / name, f"CamVid's split {name}")
        require_folder(source / f'{name}annot', f"CamVid's labels of {name}")
    target = new_folder(Path(target))
    for split, name in folders.items():
        pictures, labels = SEGMENTATION.layout.folders(target, split)
        pictures.mkdir(parents=True)
        labels.mkdir(parents=True)
        paths = sorted((source / name).glob('*.png'))
        for path in tqdm(paths, desc=split, disable=None, leave=False):
            with Image.open(path) as file:
                file.convert('RGB').save(pictures / f'{path.stem}.jpg', quality=JPEG_QUALITY)
            _labels(source / f'{name}annot' / path.name).save(labels / path.name)
        counts[split] = len(paths)
    return counts


def _labels(path: Path) -> Image.Image:
    """The label map with classes from 1 and 0 for void."""
    if not path.is_file():
        raise ConfigError(f'{path} is missing: every image needs its label map')
    with Image.open(path) as file:
        values = np.asarray(file)
    if values.ndim != 2 or values.max(initial=0) > VOID:
        raise ConfigError(f'{path} is not a label map of 11 classes: values must be 0 to {VOID}')
    return Image.fromarray(((values + 1) % (VOID + 1)).astype(np.uint8))
