"""The 2018 Data Science Bowl's ``stage1_train`` to the layout of COCO."""

from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from ...errors import ConfigError
from ...tasks import DETECTION
from ..layouts import annotation
from .files import (
    image_files,
    new_data_root,
    read_rgb,
    read_values,
    require_folder,
    split,
    visible,
    write_coco,
)

CLASSES = ('nucleus',)


def convert_nuclei(
    source: str | Path, target: str | Path, val_fraction: float = 0.15, seed: int = 0
) -> dict[str, int]:
    """Write the images and one run-length mask for each nucleus in the layout of COCO.

    An image whose folder of masks is empty has no nuclei; a mask without a pixel is left out.
    Masks may overlap.

    Args:
        source: The unpacked folder with ``ID/images/ID.png`` and ``ID/masks/*.png``.
        target: The new data root.
        val_fraction: Fraction of the images that become the validation split.
        seed: Of the choice of these images.

    Returns:
        dict[str, int]: The number of images of each split.

    Raises:
        ConfigError: If the folder has another layout, a file is broken, or a mask has another size
            than its image or is no mask of one nucleus.
    """
    source = require_folder(Path(source), 'stage1_train.zip')
    splits = split(_folders(source), val_fraction, seed)
    with new_data_root(Path(target)) as root:
        for side, folders in splits.items():
            pictures, ann_file = DETECTION.layout.folders(root, side)
            pictures.mkdir()
            images, objects = [], []
            for image_id, folder in enumerate(tqdm(folders, desc=side, disable=None), 1):
                pixels, name = read_rgb(_picture(folder)), f'{folder.name}.png'
                Image.fromarray(pixels).save(pictures / name)
                height, width = pixels.shape[:2]
                images.append(dict(id=image_id, file_name=name, width=width, height=height))
                for path in image_files(folder / 'masks'):
                    mask = _mask(path, (height, width))
                    if mask.any():
                        objects.append(annotation(mask, label=0) | dict(image_id=image_id))
            write_coco(ann_file, images, objects, CLASSES)
    return {side: len(folders) for side, folders in splits.items()}


def _folders(source: Path) -> list[Path]:
    """The folders of images, each with one image and a folder of masks."""
    folders = [path for path in visible(source) if (path / 'images').is_dir()]
    if not folders:
        inner = source / 'stage1_train'
        hint = inner if inner.is_dir() else 'the folder stage1_train'
        raise ConfigError(f'{source} holds no ID/images/*.png: give {hint}')
    if not any(image_files(folder / 'masks') for folder in folders):
        raise ConfigError(
            f'{source} holds no ID/masks/*.png, as stage1_test does: give the folder stage1_train'
        )
    for folder in folders:
        _picture(folder)
        if not (folder / 'masks').is_dir():
            raise ConfigError(
                f'{folder} has no folder masks: get the download again, or make an empty one if '
                'the image has no nuclei'
            )
    return folders


def _picture(folder: Path) -> Path:
    """The one image of a folder ``ID``."""
    found = image_files(folder / 'images')
    if len(found) != 1:
        raise ConfigError(f'{folder / "images"} holds {len(found)} images: there must be one')
    return found[0]


def _mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    """The pixels of a nucleus, (H, W) bool."""
    values = read_values(path)
    if values.shape[:2] != size:
        raise ConfigError(f'{path} is {values.shape[:2]}, its image {size}: get the download again')
    if values.ndim == 3:  # transparency, where there is any, is the last of 2 or 4 channels
        values = values[..., : values.shape[2] - 1 + values.shape[2] % 2].max(axis=2)
    numbers = np.unique(values[values > 0])
    if len(numbers) > 1 and np.array_equal(numbers, np.arange(1, len(numbers) + 1)):
        raise ConfigError(
            f'{path} holds {len(numbers)} numbered nuclei: write a mask of 0 and 255 for each'
        )
    return values > 0
