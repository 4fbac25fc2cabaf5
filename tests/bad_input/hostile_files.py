"""Checkpoints that run code where they are unpickled without care.

Each is made for a marker: the file that its code would make.
"""

import builtins
import functools
import io
import operator
import os
import pickle
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer


class Calls:
    """Pickles as a call of ``function(*args)``, and ``state`` is set on its result."""

    def __init__(self, function: Callable, *args: Any, state: Any = None) -> None:
        self.reduced = (function, args) if state is None else (function, args, state)

    def __reduce__(self) -> tuple:
        return self.reduced

    def __call__(self) -> None:
        """So that it may stand for a function that is called in its turn."""


class WithState:
    """Runs code when its state is set: BUILD calls ``__setstate__``."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple:
        return object.__new__, (WithState,), {'marker': self.marker}

    def __setstate__(self, state: dict) -> None:
        Path(state['marker']).touch()


def opens(marker: Path) -> Calls:
    return Calls(open, str(marker), 'w')


def by_name(marker: Path) -> bytes:
    """``os.system`` under a name that the unpickler takes apart: ``getattr`` by a dotted name."""
    command = f'touch {marker}'.encode()
    return b'\x80\x02ctorch\n_utils.os.system\n(X' + _length(command) + command + b'tR.'


def _length(text: bytes) -> bytes:
    return len(text).to_bytes(4, 'little')


# what the file is, and the object in it or the bytes of its pickle
GADGETS: dict[str, Callable[[Path], Any]] = {
    'os.system': lambda m: Calls(os.system, f'touch {m}'),
    'subprocess.Popen': lambda m: Calls(subprocess.Popen, ['touch', str(m)]),
    'builtins.eval': lambda m: Calls(eval, f'open({str(m)!r}, "w")'),
    'builtins.exec': lambda m: Calls(exec, f'open({str(m)!r}, "w")'),
    'builtins.open': opens,
    'eval by way of getattr': lambda m: Calls(
        Calls(getattr, Calls(builtins.__import__, 'builtins'), 'eval'), f'open({str(m)!r}, "w")'
    ),
    'getattr of an allowed class': lambda m: Calls(
        Calls(getattr, HistoryBuffer, '__init__.__globals__'), str(m)
    ),
    'functools.partial': lambda m: Calls(functools.partial, open, str(m), 'w'),
    'map over operator.methodcaller': lambda m: Calls(
        list, Calls(map, Calls(operator.methodcaller, 'touch'), [Path(m)])
    ),
    'operator.attrgetter': lambda m: Calls(
        Calls(operator.attrgetter, 'path.os.mkdir'), Calls(builtins.__import__, 'os')
    ),
    'state that is set': WithState,
    'state set by torch': lambda m: Calls(
        torch._tensor._rebuild_from_type_v2, Calls, torch.Tensor, (), dict(x=opens(m))
    ),
    'numpy array of objects': lambda m: np.array([opens(m)], dtype=object),
    'numpy array over bytes': lambda m: Calls(np.ndarray, (1,), 'O', b'\x01' * 8),
    'torch.load of other bytes': lambda m: Calls(
        torch.load, Calls(io.BytesIO, pickle.dumps(opens(m)))
    ),
    'pickle in a storage': lambda m: Calls(torch.storage._load_from_bytes, pickle.dumps(opens(m))),
    'pickle in a pickle': lambda m: Calls(pickle.loads, pickle.dumps(opens(m))),
    'config that is run': lambda m: Calls(
        Config.fromstring, f'x = bool(open({str(m)!r}, "w"))', '.py'
    ),
    'torch.hub': lambda m: Calls(torch.hub.load, str(m), 'x'),
    'dotted name': by_name,
}


def write_hostile(path: Path, name: str, marker: Path, zipped: bool = True) -> Path:
    """Write a checkpoint with a gadget in its ``meta``, or as its pickle."""
    gadget = GADGETS[name](marker)
    if isinstance(gadget, bytes):
        with zipfile.ZipFile(path, 'w') as archive:
            archive.writestr('archive/data.pkl', gadget)
            archive.writestr('archive/version', '3')
        return path
    content = dict(state_dict=dict(w=torch.zeros(2)), meta=dict(epoch=1, iter=1, x=gadget))
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def write_tar(path: Path, marker: Path) -> Path:
    """Write the oldest kind of file that torch reads, a tar of pickles."""
    with tarfile.open(path, 'w') as archive:
        for name in ('storages', 'tensors', 'pickle'):
            content = pickle.dumps(opens(marker), protocol=2)
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path
