"""Errors of data pipelines name the image, and the reason why it cannot be read.

Upstream raises whatever a transform raises: an assertion of OpenCV's C++ for an empty file, a bare
AssertionError for a mask of a wrong size; from a worker of a data loader inside of a whole stack.
"""

import io
import os
from pathlib import Path
from types import ModuleType
from typing import Any

from PIL import Image, UnidentifiedImageError

from ..errors import DataError, InputError, error_text
from .patching import wrap

FIX = 'fix or remove it; vminet_mm check-data CONFIG finds all such'


def fix(module: ModuleType) -> None:
    """Name the image in errors of pipelines."""
    if hasattr(module, 'BaseDataset'):
        _fix_pipeline(module.Compose)
        _fix_dataset(module.BaseDataset)
    else:
        _fix_loading(module.LoadImageFromFile)


def _fix_pipeline(compose: type) -> None:
    """Make errors of transforms name the image and the step."""

    def call(original: Any, self: Any, data: Any) -> Any:
        """``Compose.__call__`` whose errors name the image and the step."""
        results = data
        for transform in self.transforms:  # the original loop, but the failing step is known
            try:
                results = transform(results)
            except (DataError, MemoryError):
                raise
            except Exception as error:  # any transform may raise anything
                step = type(transform).__name__
                name = _name(data, step)
                raise DataError(f'{name}{step} fails, {error_text(error)}; {FIX}') from error
            if results is None:
                return None
        return results

    wrap(compose, '__call__', call, __name__)


def _fix_loading(loading: type) -> None:
    """Make errors of reading an image say what is wrong with the file."""

    def transform(original: Any, self: Any, results: dict) -> Any:
        """``LoadImageFromFile.transform`` whose errors say what is wrong with the file."""
        try:
            return original(self, results)
        except MemoryError:
            raise
        except Exception as error:
            path = results['img_path']
            if '://' in str(path):  # on remote storage
                raise
            reason = why_unreadable(path)
            if reason is None and isinstance(error, AssertionError):  # no pixels, as OpenCV does
                reason = 'OpenCV cannot decode it, but Pillow can; write it with 8 bits a channel'
            if reason is None:  # the image is not to blame
                step = f'{type(self).__name__} with imdecode_backend={self.imdecode_backend!r}'
                raise DataError(f'{path}: {step} fails, {error_text(error)}') from error
            raise DataError(f'{path}: {reason}; {FIX}') from error

    wrap(loading, 'transform', transform, __name__)


def _fix_dataset(dataset: type) -> None:
    """Refuse a list of images that is empty after filtering."""

    def serialize(original: Any, self: Any) -> Any:
        """``_serialize_data``, which refuses a list that filtering has emptied."""
        if not self.data_list:
            file = self.ann_file or self.data_root or ', '.join(self.data_prefix.values())
            given = dict(filter_cfg=self.filter_cfg, indices=self._indices)
            names = ' and '.join(f'{k}={v}' for k, v in given.items() if v is not None)
            raise DataError(
                f'{file}: no image is left{names and f" by {names}"}; see what vminet_mm '
                'check-data CONFIG says'
            )
        return original(self)

    wrap(dataset, '_serialize_data', serialize, __name__)


def _name(data: Any, step: str) -> str:
    """The image that went into a pipeline, or its label map if that is what the step reads."""
    files = data if isinstance(data, dict) else {}
    labels = files.get('seg_map_path') if step == 'LoadAnnotations' else None
    path = labels or files.get('img_path')
    return f'{path}: ' if path else ''


def why_unreadable(path: str | Path) -> str | None:
    """Why an image cannot be read; None if Pillow reads it or it is not on this machine."""
    if '://' in str(path):
        return None
    try:
        read_whole(path)
    except InputError as error:
        return str(error)
    return None


def read_whole(path: str | os.PathLike, any_kind: bool = False) -> bytes:
    """The content of an image file that Pillow can decode to its end.

    OpenCV fills the missing part of a truncated file with gray and warns on stderr alone.

    Args:
        path: The file.
        any_kind: Accept a file of a kind that Pillow does not know.

    Raises:
        InputError: With the reason, if the file cannot be read, or not to its end.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError('there is no such file') from None
    except IsADirectoryError:
        raise InputError('it is a folder') from None
    except OSError as error:
        raise InputError(f'it cannot be opened ({error.strerror or error})') from None
    if not content:
        raise InputError('the file is empty')
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
    except UnidentifiedImageError:
        if not any_kind:
            raise InputError('it is no image, or of a kind that is not read') from None
    except Exception as error:  # decoders raise errors of many kinds on damaged files
        reason = error_text(error, 120)
        raise InputError(f'it is truncated, damaged or too large ({reason})') from None
    return content
