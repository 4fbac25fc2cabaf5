"""CIFAR-10's python version to one folder a class."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from ...errors import ConfigError
from .files import new_folder, require_folder

BATCHES = {'train': [f'data_batch_{i}' for i in range(1, 6)], 'test': ['test_batch']}
SIDE = 32  # pixels
# what the pickles of Python 2 ask for to hold an array
_ARRAY_NAMES = {
    ('numpy.core.multiarray', '_reconstruct'),
    ('numpy._core.multiarray', '_reconstruct'),
    ('numpy', 'ndarray'),
    ('numpy', 'dtype'),
    ('_codecs', 'encode'),
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
    names = _load(source / 'batches.meta')[b'label_names']
    names = [name.decode() for name in names]
    target, counts = new_folder(Path(target)), {}
    for split, batches in BATCHES.items():
        for name in names:
            (target / split / name).mkdir(parents=True)
        counts[split] = 0
        for batch in tqdm(batches, desc=split, disable=None, leave=False):
            content = _load(source / batch)
            # each row holds the three channels one after the other
            pictures = np.asarray(content[b'data']).reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
            for picture, label in zip(pictures, content[b'labels'], strict=True):
                path = target / split / names[label] / f'{counts[split]:05}.png'
                Image.fromarray(np.ascontiguousarray(picture)).save(path)
                counts[split] += 1
    return counts


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles arrays and plain values, and no other code."""

    def find_class(self, module: str, name: str) -> Any:
        """Allow what the archive's pickles need and nothing else."""
        if (module, name) not in _ARRAY_NAMES:
            raise pickle.UnpicklingError(f'{module}.{name} is not part of an array')
        return super().find_class(module, name)


def _load(path: Path) -> dict[bytes, Any]:
    """The dict of a batch file."""
    try:
        with path.open('rb') as file:
            content = _ArrayUnpickler(file, encoding='bytes').load()
        if not isinstance(content, dict):
            raise TypeError('it holds no dict')
        return content
    except (OSError, pickle.UnpicklingError, EOFError, TypeError) as error:
        raise ConfigError(
            f'{path} is not a batch of the python version of CIFAR-10 ({error}); unpack '
            'cifar-10-python.tar.gz again'
        ) from error
