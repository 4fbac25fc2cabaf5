"""Load checkpoints without running code from them, with a clear error for an invalid file.

Everything that reads weights through mmengine (``load_from``, ``--resume``, ``init_cfg``, test and
inferencers) passes ``CheckpointLoader.load_checkpoint``, which is wrapped here. In upstream, files
from a URL are loaded with ``weights_only=False`` on every release of torch, because
``torch.hub.load_state_dict_from_url`` passes it explicitly. OneDL's fork of mmengine allows the
real ``getattr``, which reaches any function, and loads what torch refuses with
``weights_only=False``.
"""

import _compat_pickle
import os
import pickle
import re
import sys
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ..errors import CheckpointError, UnsafeCheckpointError
from . import safe_globals
from .patching import wrap

_FORCE, _FORCE_NOT = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD', 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
_ENCRYPTED = 0x1  # flag of an entry of a zip archive
# what torch raises for an invalid file
_DAMAGE = (EOFError, AttributeError, IndexError, KeyError, TypeError, ValueError)
_environment_lock = threading.RLock()


def safe_load(path: str | os.PathLike, map_location: Any = 'cpu') -> Any:
    """Load a local checkpoint of torch, timm or an mm trainer without running code from it.

    Raises:
        FileNotFoundError: There is no such file.
        UnsafeCheckpointError: The file asks for something that could run code.
        CheckpointError: The file is empty, truncated or no checkpoint.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        kind = 'is a folder, not a checkpoint file' if path.is_dir() else 'does not exist'
        raise FileNotFoundError(f'Checkpoint {path} {kind}.')
    safe_globals.allow()
    with weights_only(), explained(path):
        return torch.load(path, map_location=map_location, weights_only=True)


@contextmanager
def weights_only() -> Iterator[None]:
    """Make every ``torch.load`` inside the block safe, whatever its arguments and defaults are."""
    with _environment_lock:
        before = {name: os.environ.pop(name, None) for name in (_FORCE, _FORCE_NOT)}
        os.environ[_FORCE] = '1'
        try:
            yield
        finally:
            del os.environ[_FORCE]
            os.environ.update({name: value for name, value in before.items() if value is not None})


@contextmanager
def explained(source: str | os.PathLike) -> Iterator[None]:
    """Turn the errors of ``torch.load`` of a file or URL inside the block into clear ones."""
    path = os.path.expanduser(source)
    path = Path(path) if os.path.isfile(path) else None  # os.path bears a URL of any length
    if path is not None:
        _check_content(path)
    try:
        yield
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise _unsafe(source, str(error)) from None
    except RuntimeError as error:
        if 'TorchScript' in str(error) and 'weights_only' in str(error):
            raise UnsafeCheckpointError(
                f'{source} was refused: it is a TorchScript archive, which contains code, not a '
                'checkpoint of weights. Nothing of it was run.'
            ) from None
        is_archive = path is None or zipfile.is_zipfile(path)
        if is_archive and 'PytorchStreamReader' not in str(error):
            raise  # such as: saved on a GPU, there is none here
        raise CheckpointError(_damaged(source, error)) from error
    except Exception as error:
        is_damage = isinstance(error, _DAMAGE) or type(error).__name__ == 'SafetensorError'
        if path is None or not is_damage:
            raise
        raise CheckpointError(_damaged(source, error)) from error


def _damaged(source: str | os.PathLike, error: Exception) -> str:
    """The error for a file that is not a complete checkpoint."""
    return (
        f'{source} could not be read as a checkpoint: it is truncated or damaged '
        f'({type(error).__name__}: {str(error).strip()[:200]}). Get the file again.'
    )


def _check_content(path: Path) -> None:
    """Refuse files whose first bytes show that they are not a checkpoint."""
    with path.open('rb') as file:
        head = file.read(256)
    text = head.lstrip().lower()
    reason = None
    if not head:
        reason = 'the file is empty'
    elif text.startswith((b'<!doctype', b'<html', b'<?xml', b'<head')):
        reason = 'the file is a web page: the download gave a login or error page instead'
    elif text.startswith(b'version https://git-lfs'):
        reason = 'the file is a Git LFS pointer: fetch the real file with `git lfs pull`'
    elif path.suffix == '.safetensors':  # which torch reads, too
        return
    elif head.startswith(b'PK\x03\x04'):
        if not zipfile.is_zipfile(path):
            reason = 'the file is truncated: its table of contents is missing. Get the file again'
        else:
            _check_archive(path)
    elif not head.startswith(b'\x80'):
        reason = 'the file does not begin as torch.save writes it'
    if reason:
        raise CheckpointError(f'{path} is not a checkpoint: {reason}.')


def _check_archive(path: Path) -> None:
    """Refuse archives that torch.save did not write, and arrays in the other byte order, which
    `safe_globals` would misread."""
    try:
        with zipfile.ZipFile(path) as archive:
            if any(entry.flag_bits & _ENCRYPTED for entry in archive.infolist()):
                raise CheckpointError(
                    f'{path} is not a checkpoint: the file is a zip archive with a password. '
                    'Unpack it, and load what is in it.'
                )
            names = [name for name in archive.namelist() if name.endswith('data.pkl')]
            pickles = b'.'.join(archive.read(name) for name in names)
            if not names:
                inside = ', '.join(archive.namelist()[:3]) or 'nothing'
                raise CheckpointError(
                    f'{path} is not a checkpoint: the file is a zip archive of other files '
                    f'({inside}). Unpack it, and load the checkpoint that is in it.'
                )
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as error:
        raise CheckpointError(_damaged(path, error)) from error
    # A dtype's state: the byte order as a one-letter string, memoised or not, then Nones.
    foreign = b'>' if sys.byteorder == 'little' else b'<'
    if re.search(rb'X\x01\x00\x00\x00' + foreign + rb'(?:q.|r....|)NNN', pickles, re.DOTALL):
        raise CheckpointError(
            f'{path} holds numpy arrays in the byte order of another kind of computer. Re-save '
            'them there as torch tensors.'
        )


def _unsafe(source: str | os.PathLike, message: str) -> UnsafeCheckpointError:
    """The error for a refused file, with the name that it asks for."""
    found = re.search(r'GLOBAL (\w[\w.<>]*(?:\([^\n]*?\)(?= was))?)', message)
    if found:
        name = found.group(1).rstrip('.')
        module, dot, rest = name.partition('.')
        # The pickle spells standard modules as Python 2 did; torch drops `builtins.`.
        module = _compat_pickle.IMPORT_MAPPING.get(module, module)
        name = f'{module}.{rest}' if dot else f'builtins.{name}'
        what = f'it asks for `{name}`, which is not among the plain data a checkpoint needs'
    else:
        # torch wraps the one line that matters in advice about weights_only.
        detail = message.partition('Check the documentation')[0].strip().splitlines() or ['?']
        what = f'its content cannot be checked ({detail[-1].strip()})'
    return UnsafeCheckpointError(
        f"{source} was refused: {what}. Loading it could run code of the file's author on this "
        'computer; nothing of it was run. Only if you trust its source: where it was made, re-save '
        "it as plain tensors, torch.save({'state_dict': model.state_dict()}, 'weights.pth'), "
        'and load that file.'
    )


def fix(module: ModuleType) -> None:
    """Make mmengine load checkpoints safely, wherever they come from."""

    def load_checkpoint(original: Any, filename: Any, *args: Any, **kwargs: Any) -> Any:
        """MMEngine's function, without running code of the file."""
        with weights_only(), explained(filename):
            return original(filename, *args, **kwargs)

    def safe_torch_load(original: Any, file: Any, map_location: Any = None, **kwargs: Any) -> Any:
        """``torch.load`` without running code of the file."""
        with weights_only():
            return torch.load(file, map_location=map_location, weights_only=True)

    wrap(module.CheckpointLoader, 'load_checkpoint', load_checkpoint, __name__)
    wrap(module, '_safe_torch_load', safe_torch_load, __name__)  # OneDL's fork only
