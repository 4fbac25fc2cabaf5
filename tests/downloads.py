"""Imitations of the public downloads that the converters take, a few images each."""

import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image


class _Python2Pickler(pickle._Pickler):
    """Writes text and bytes as the strings of Python 2, as the published files hold them."""

    dispatch = dict(pickle._Pickler.dispatch)

    def _save_string(self, value: str | bytes) -> None:
        data = value.encode() if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack('<i', len(data)) + data)

    dispatch[str] = dispatch[bytes] = _save_string


def python2_pickle(content: dict) -> bytes:
    """A pickle as Python 2 with its numpy wrote it."""
    file = io.BytesIO()
    _Python2Pickler(file, protocol=2).dump(content)
    return file.getvalue().replace(b'numpy._core.', b'numpy.core.')


def cifar10(folder: Path, write: Callable[[dict], bytes] = python2_pickle) -> np.ndarray:
    """Batches of two images each; returns the pixels of the first, (32, 32, 3) RGB."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    names = ['airplane', 'automobile']
    (folder / 'batches.meta').write_bytes(write({'label_names': names}))
    first = None
    for batch in [*(f'data_batch_{i}' for i in range(1, 6)), 'test_batch']:
        data = rng.integers(0, 256, (2, 3072), dtype=np.uint8)
        first = data[0] if first is None else first
        (folder / batch).write_bytes(write({'data': data, 'labels': [1, 0]}))
    # CIFAR-10: 1024 red values, then green, then blue, each row by row
    return np.stack([first[:1024], first[1024:2048], first[2048:]], axis=-1).reshape(32, 32, 3)


def nuclei(folder: Path, number: int = 4) -> None:
    """Images of 9 x 7 pixels with two rectangles and an empty mask."""
    for index in range(number):
        root = folder / f'id{index}'
        (root / 'images').mkdir(parents=True)
        (root / 'masks').mkdir()
        Image.new('RGBA', (9, 7), (index, 0, 0, 255)).save(root / f'images/id{index}.png')
        for k, area in enumerate([(1, 2, 4, 5), (5, 0, 9, 7), (0, 0, 0, 0)]):
            mask = np.zeros((7, 9), np.uint8)
            mask[area[1] : area[3], area[0] : area[2]] = 255
            Image.fromarray(mask).save(root / f'masks/{k}.png')


def camvid(folder: Path) -> None:
    """An image of 4 x 3 pixels a split, whose labels are 0 to 11."""
    for split in ('train', 'val', 'test'):
        (folder / split).mkdir(parents=True)
        (folder / f'{split}annot').mkdir()
        Image.new('RGB', (4, 3)).save(folder / split / 'a.png')
        labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
        Image.fromarray(labels).save(folder / f'{split}annot/a.png')


def xml(objects: str = '', filename: str = 'a.jpg', size: tuple[int, int] | None = (20, 10)) -> str:
    """An annotation file of VOC; a file name or a size may be left out."""
    told = f'<filename>{filename}</filename>' if filename else ''
    if size:
        told += f'<size><width>{size[0]}</width><height>{size[1]}</height></size>'
    return f'<annotation>{told}{objects}</annotation>'


def box(*sides: object, name: str = 'RBC', more: str = '') -> str:
    """An object of VOC; sides are left, top, right and bottom."""
    names = ('xmin', 'ymin', 'xmax', 'ymax')
    told = ''.join(f'<{n}>{side}</{n}>' for n, side in zip(names, sides, strict=True))
    return f'<object><name>{name}</name>{more}<bndbox>{told}</bndbox></object>'


def voc(folder: Path) -> None:
    """An image of 20 x 10 pixels with a box in each split, a.jpg and b.jpg."""
    for name in ('JPEGImages', 'Annotations', 'ImageSets/Main'):
        (folder / name).mkdir(parents=True)
    for name, split in (('a', 'train'), ('b', 'val')):
        Image.new('RGB', (20, 10)).save(folder / f'JPEGImages/{name}.jpg')
        (folder / f'ImageSets/Main/{split}.txt').write_text(f'{name}\n')
        annotation = folder / f'Annotations/{name}.xml'
        annotation.write_text(xml(box(1, 2, 10, 5), filename=f'{name}.jpg'))
