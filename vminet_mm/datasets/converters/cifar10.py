"""CIFAR-10's python version to one folder a class."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from ...compat.safe_globals import ARRAY_PARTS
from ...errors import ConfigError, error_text
from .files import new_data_root, require_folder

META = 'batches.meta'
BATCHES = {'train': [f'data_batch_{i}' for i in range(1, 6)], 'test': ['test_batch']}
SIDE = 32  # pixels
INNER = 'cifar-10-batches-py'  # the folder in the archive
# what other downloads hold instead: a file of theirs, and what they are
OTHERS = {
    'meta': 'CIFAR-100',
    'batches.meta.txt': 'the binary version of CIFAR-10',
    'batches.meta.mat': 'the Matlab version of CIFAR-10',
}


def convert_cifar10(source: str | Path, target: str | Path) -> dict[str, int]:
    """Write CIFAR-10 as ``train/CLASS/*.png`` and ``test/CLASS/*.png``, without loss.

    Args:
        source: The unpacked folder ``cifar-10-batches-py``.
        target: The new data root.

    Returns:
        dict[str, int]: The number of images of each split.

    Raises:
        ConfigError: If a file is missing or is no batch of CIFAR-10.
    """
    source = require_folder(Path(source), 'cifar-10-python.tar.gz')
    _require_files(source)
    names, counts = _names(source / META), {}
    with new_data_root(Path(target)) as root:
        for split, batches in BATCHES.items():
            for name in names:
                (root / split / name).mkdir(parents=True)
            counts[split] = 0
            for batch in tqdm(batches, desc=split, disable=None, leave=False):
                for picture, label in _images(source / batch, len(names)):
                    path = root / split / names[label] / f'{counts[split]:05}.png'
                    Image.fromarray(picture).save(path)
                    counts[split] += 1
    return counts


def _require_files(source: Path) -> None:
    """Raise if a file is missing."""
    missing = [name for name in (META, *sum(BATCHES.values(), [])) if not (source / name).is_file()]
    if not missing:
        return
    if (source / INNER).is_dir():
        raise ConfigError(f'{source} is the folder around the batches: give {source / INNER}')
    for file, what in OTHERS.items():
        if (source / file).is_file():
            raise ConfigError(f'{source} is {what}: get the python version of CIFAR-10')
    raise ConfigError(f'{source / missing[0]} is missing: unpack cifar-10-python.tar.gz again')


def _names(path: Path) -> list[str]:
    """The names of the classes, which become those of folders."""
    names = _load(path).get('label_names')
    names = [_text(name) for name in names] if isinstance(names, list) else []
    if not names or not all(isinstance(n, str) and n and n == Path(n).name for n in names):
        raise _broken(path, 'it names no classes')
    return names


def _images(path: Path, classes: int) -> list[tuple[np.ndarray, int]]:
    """The images of a batch, (32, 32, 3) RGB uint8, with their labels."""
    content = _load(path)
    if 'fine_labels' in content:
        raise ConfigError(f'{path} is of CIFAR-100: get the python version of CIFAR-10')
    data, labels = content.get('data'), content.get('labels')
    if not isinstance(data, np.ndarray) or not isinstance(labels, list):
        raise _broken(path, 'it has no data with labels')
    if data.dtype != np.uint8 or data.shape != (len(labels), 3 * SIDE * SIDE):
        raise _broken(path, f'{data.shape} {data.dtype} for {len(labels)} labels')
    if not all(label in range(classes) for label in labels):
        raise _broken(path, f'its labels are not 0 to {classes - 1}')
    # each row holds the three channels one after the other
    pictures = data.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return list(zip(np.ascontiguousarray(pictures), labels, strict=True))


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles arrays of numbers and plain values, and runs no other code."""

    _PARTS = {(part.__module__, part.__name__): part for part in ARRAY_PARTS}

    def find_class(self, module: str, name: str) -> Any:
        """Allow what the archive's pickles need and nothing else."""
        if (module, name) not in self._PARTS:
            raise pickle.UnpicklingError(f'{module}.{name} is not part of an array')
        return self._PARTS[module, name]


def _load(path: Path) -> dict[str, Any]:
    """The dict of a batch file; Python 2 wrote its keys as bytes."""
    try:
        with path.open('rb') as file:
            content = _ArrayUnpickler(file, encoding='bytes').load()
    except Exception as error:  # a damaged pickle may raise anything
        raise _broken(path, error_text(error, 120)) from error
    if not isinstance(content, dict):
        raise _broken(path, 'it holds no dict')
    return {_text(key): value for key, value in content.items()}


def _text(value: Any) -> Any:
    return value.decode(errors='replace') if isinstance(value, bytes) else value


def _broken(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        f'{path} is not a batch of the python version of CIFAR-10 ({reason}); unpack '
        'cifar-10-python.tar.gz again'
    )
