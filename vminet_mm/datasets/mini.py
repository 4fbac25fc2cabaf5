"""Built-in data: one set of generated scenes for detection, segmentation and classification.

``make_mini_data`` writes, under one root::

    coco/annotations/instances_{train,val}2017.json    boxes and exact masks of visible parts
    coco/{train,val}2017/*.jpg
    ade/images/{training,validation}/*.jpg              the same images
    ade/annotations/{training,validation}/*.png         1 background, 2 to 6 the shapes
    imagenet/{train,val}/<class>/*.jpg                  crops of single objects
    mini_data.json                                      what was made; written last
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np
from mmengine.logging import print_log
from tqdm import tqdm

from ..tasks import TASKS
from .layouts import AdeWriter, CocoWriter, ImageNetWriter, encode
from .shapes import MIN_SIDE, draw_scene

GENERATOR_VERSION = 1  # raise it with any change that changes a byte of the output
MARKER = 'mini_data.json'
UNFINISHED = 'mini_data.unfinished'  # stands in for the marker while the files are being written
LAYOUTS = tuple(task.layout.mini for task in TASKS)
SPLITS = ('train', 'val')
MIN_CROP = 16  # pixels


def make_mini_data(
    root: str | os.PathLike,
    num_train: int = 2000,
    num_val: int = 150,
    seed: int = 0,
    size: tuple[int, int] = (128, 160),
    crop_size: int = 64,
    force: bool = False,
) -> dict:
    """Write the built-in data sets, or do nothing if they are there with the same parameters.

    The same parameters give the same bytes. Scene k of a split depends on the seed, the size, the
    split and k alone, so a larger set begins with the smaller one.

    Args:
        root (str | os.PathLike): Folder to write into: new, empty, or made by this function
            before (other parameters or an interrupted run: it is made again).
        num_train (int): Number of training scenes, at least 1.
        num_val (int): Number of validation scenes, at least 1.
        seed (int): Seed, at least 0.
        size (tuple[int, int]): Height and width of a scene in pixels.
        crop_size (int): Side of a classification image in pixels.
        force (bool): Make the data again even if they are there.

    Returns:
        dict: ``root``, ``made`` (False if nothing was done) and the content of the marker file:
        the parameters and, a split, ``counts`` of objects, pixels and crops by class, and
        ``files`` by folder.
    """
    size = _check_arguments(num_train, num_val, seed, size, crop_size)
    root = Path(root)
    parameters = {
        'generator_version': GENERATOR_VERSION,
        'seed': int(seed),
        'num_train': int(num_train),
        'num_val': int(num_val),
        'size': list(size),
        'crop_size': int(crop_size),
    }
    _check_folder(root)
    found = _read_finished(root)
    if not force and found is not None and found.items() >= parameters.items():
        print_log(f'{root} already holds these data: nothing to do', logger='current')
        return {'root': str(root), 'made': False, **found}

    _clear(root)
    counts = {
        split: _write_split(root, split, number, seed, size, crop_size)
        for split, number in zip(SPLITS, (num_train, num_val), strict=True)
    }
    content = parameters | {'counts': counts, 'files': _count_files(root)}
    # First under the other name, then renamed: a marker is never half written.
    (root / UNFINISHED).write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
    os.replace(root / UNFINISHED, root / MARKER)
    print_log(f'{root}: made {num_train} + {num_val} scenes', logger='current')
    return {'root': str(root), 'made': True, **content}


def _check_arguments(
    num_train: int, num_val: int, seed: int, size: tuple[int, int], crop_size: int
) -> tuple[int, int]:
    """Refuse arguments that cannot work, by name and with what to pass instead."""
    for name, value in (('num_train', num_train), ('num_val', num_val)):
        if value < 1:
            raise ValueError(f'{name} is {value}; ask for at least 1 scene a split')
    if seed < 0:
        raise ValueError(f'seed is {seed}; pass 0 or a positive integer')
    if len(size) != 2 or min(size) < MIN_SIDE:
        raise ValueError(
            f'size is {tuple(size)}; pass (height, width), both at least {MIN_SIDE} pixels, '
            'or small shapes cannot be distinguished'
        )
    if crop_size < MIN_CROP:
        raise ValueError(f'crop_size is {crop_size}; pass at least {MIN_CROP} pixels')
    return int(size[0]), int(size[1])


def _check_folder(root: Path) -> None:
    """Refuse a root with content that this module did not write."""
    if not root.exists():
        return
    if not root.is_dir():
        raise NotADirectoryError(f'{root} is a file; pass a folder to write the data into')
    names = {path.name for path in root.iterdir()}
    is_own = bool(names & {MARKER, UNFINISHED})
    foreign = sorted(names - ({MARKER, UNFINISHED, *LAYOUTS} if is_own else set()))
    if foreign:
        raise FileExistsError(
            f'{root} holds content that is not part of the built-in data '
            f'({", ".join(foreign[:5])}); pass a new or empty folder, or move that content away'
        )


def _read_finished(root: Path) -> dict | None:
    """Content of the marker, or None if the data are unfinished or files have gone since."""
    path = root / MARKER
    if not path.is_file() or (root / UNFINISHED).exists():
        return None
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except ValueError:
        return None
    if not isinstance(content, dict) or content.get('files') != _count_files(root):
        return None
    return content


def _count_files(root: Path) -> dict[str, int]:
    """Number of files in each lowest folder of the three layouts."""
    counts = {}
    for layout in LAYOUTS:
        for folder, subfolders, files in os.walk(root / layout):
            if not subfolders:
                counts[Path(folder).relative_to(root).as_posix()] = len(files)
    return dict(sorted(counts.items()))


def _clear(root: Path) -> None:
    """Empty an own or new folder and mark it as unfinished."""
    root.mkdir(parents=True, exist_ok=True)
    # The new mark comes before the old one goes: at no time is the folder without an owner.
    (root / UNFINISHED).touch()
    (root / MARKER).unlink(missing_ok=True)
    for layout in LAYOUTS:
        if (root / layout).exists():
            shutil.rmtree(root / layout)


def _write_split(
    root: Path, split: str, number: int, seed: int, size: tuple[int, int], crop_size: int
) -> dict:
    """Write ``number`` scenes of a split in all layouts; returns the counts by class."""
    coco = CocoWriter(root, split)
    ade = AdeWriter(root, split)
    imagenet = ImageNetWriter(root, split, crop_size)
    for index in tqdm(range(number), desc=split, disable=None):  # no bar unless on a terminal
        rng = np.random.default_rng([seed, SPLITS.index(split), index])
        scene = draw_scene(rng, *size)
        jpeg = encode('.jpg', scene.image)
        coco.add(index, scene, jpeg)
        ade.add(index, scene, jpeg)
        imagenet.add(index, scene, rng)
    return {'objects': coco.finish(), 'pixels': ade.finish(), 'crops': imagenet.finish()}
