"""The 2018 Data Science Bowl's ``stage1_train`` to the layout of COCO."""

import random
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from ...errors import ConfigError
from ...tasks import DETECTION
from ..layouts import annotation
from .files import new_folder, require_folder, write_coco

CLASSES = ('nucleus',)


def convert_nuclei(
    source: str | Path, target: str | Path, val_fraction: float = 0.15, seed: int = 0
) -> dict[str, int]:
    """Write the images and one run-length mask for each nucleus in the layout of COCO.

    Args:
        source: The unpacked folder with ``ID/images/ID.png`` and ``ID/masks/*.png``.
        target: The new data root.
        val_fraction: Fraction of the images that become the validation split.
        seed: Of the choice of these images.

    Returns:
        dict[str, int]: The number of images of each split.

    Raises:
        ConfigError: If the folder has another layout, or a mask another size than its image.
    """
    source = require_folder(Path(source), 'stage1_train.zip')
    if not 0 < val_fraction < 1:
        raise ConfigError(f'val_fraction is {val_fraction}: give a number between 0 and 1')
    pictures = sorted(source.glob('*/images/*.png'))
    if len(pictures) < 2:
        raise ConfigError(f'{source} holds no ID/images/*.png: give the folder stage1_train')
    random.Random(seed).shuffle(pictures)
    number = min(max(round(val_fraction * len(pictures)), 1), len(pictures) - 1)
    target, counts = new_folder(Path(target)), {}
    for split, chosen in (('val', pictures[:number]), ('train', pictures[number:])):
        folder, ann_file = DETECTION.layout.folders(target, split)
        folder.mkdir()
        images, objects = [], []
        for image_id, path in enumerate(tqdm(sorted(chosen), desc=split, disable=None), 1):
            with Image.open(path) as file:
                picture = file.convert('RGB')  # an opaque alpha channel in the originals
            picture.save(folder / path.name)
            width, height = picture.size
            images.append(dict(id=image_id, file_name=path.name, width=width, height=height))
            for mask in sorted((path.parents[1] / 'masks').glob('*.png')):
                objects += _object(mask, image_id, picture.size)
        write_coco(ann_file, images, objects, CLASSES)
        counts[split] = len(images)
    return counts


def _object(path: Path, image_id: int, size: tuple[int, int]) -> list[dict]:
    """The annotation of a mask's file; none for an empty mask."""
    with Image.open(path) as file:
        if file.size != size:
            raise ConfigError(f'{path} is {file.size}, its image {size}: get the download again')
        mask = np.asarray(file.convert('L')) > 0
    if not mask.any():
        return []
    return [annotation(mask, label=0) | dict(image_id=image_id)]
