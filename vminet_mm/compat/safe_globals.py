"""The names a checkpoint of the mm and timm trainers may use, in torch's restricted unpickler.

``torch.load(weights_only=True)`` knows tensors and plain containers. mmengine's checkpoints also
hold ``HistoryBuffer`` objects, numpy arrays and scalars, timm's an ``argparse.Namespace``.

Nothing that a file could abuse is allowed as it is:

- ``getattr``: HistoryBuffer pickles ``getattr(HistoryBuffer, 'min')``; the real one reaches ``os``.
- ``numpy.ndarray``: called with ``dtype='O'`` and a buffer it makes object pointers out of bytes.
- ``numpy.dtype``: a fresh copy takes any flags from the file, which corrupts memory; numpy's own
  instances are immutable.

Stand-ins take their places. They carry the module and name they stand for rather than being
registered as ``(object, name)`` pairs, which torch knows only since 2.6.
"""

import _codecs
import argparse
import pickle
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn

import numpy as np

from .patching import mark_active

# Booleans, integers, floats and complex numbers: types of fixed size that own nothing.
_NUMERIC_CODES = '?bBhHiIlLqQefdgFDG'
_STATISTICS = ('min', 'max', 'mean', 'current')

try:
    from numpy._core import multiarray
except ImportError:  # numpy 1
    from numpy.core import multiarray


def _refuse(what: str) -> NoReturn:
    """Raise as torch does for what a file must not ask for."""
    # torch's own wording: `GLOBAL <name>` is what the loaders read the refused name from.
    raise pickle.UnpicklingError(f'Unsupported global: GLOBAL {what} was not an allowed global.')


def _stand_in(module: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function which torch's unpickler finds as ``module.name``."""

    def stand_in(*args: Any) -> Any:
        """Call the function."""
        return function(*args)

    stand_in.__module__ = module
    stand_in.__name__ = stand_in.__qualname__ = name
    return stand_in


def _getattr(owner: Any, name: Any = None, *default: Any) -> Any:
    """``getattr`` for the statistics of a history buffer alone."""
    from mmengine.logging.history_buffer import HistoryBuffer

    if owner is not HistoryBuffer or name not in _STATISTICS or default:
        owner_name = getattr(owner, '__name__', type(owner).__name__)
        _refuse(f'builtins.getattr({owner_name}, {name!r})')
    return getattr(HistoryBuffer, name)


class _NdarrayName:
    """What ``numpy.ndarray`` means in a file: the type of an array, not a way to make one.

    It compares equal to the real type, which is how torch decides whether an array's state may be
    set, and can be neither called nor instantiated.
    """

    def __init__(self) -> None:
        self.__module__ = 'numpy'
        self.__name__ = self.__qualname__ = 'ndarray'
        self.__new__ = self.__call__  # the unpickler looks it up on the instance

    def __call__(self, *args: Any) -> NoReturn:
        _refuse('numpy.ndarray(...)')

    def __eq__(self, other: object) -> bool:
        return other is self or other is np.ndarray

    def __hash__(self) -> int:
        return id(self)


_NDARRAY = _NdarrayName()


def _reconstruct(array_type: Any, *_: Any) -> np.ndarray:
    """An empty array, whose state the file sets."""
    if array_type is not _NDARRAY:
        _refuse('numpy._core.multiarray._reconstruct(...)')
    return multiarray._reconstruct(np.ndarray, (0,), b'b')  # as numpy itself pickles an array


def _dtype(code: Any, *_: Any) -> np.dtype:
    """A dtype of numbers in this machine's byte order."""
    # The immutable instance, on which a file's state has no effect; see `safe_load` for arrays in
    # the other byte order, whose state would be needed.
    # Bytes are what a text of Python 2 becomes under ``encoding='bytes'``.
    dtype = np.dtype(code) if isinstance(code, (str, bytes)) else None
    if dtype is None or dtype.char not in _NUMERIC_CODES or not dtype.isnative:
        _refuse(f'numpy.dtype({code!r})')
    return np.dtype(dtype.type)


def _scalar(dtype: Any, *value: Any) -> Any:
    """A numpy scalar from its bytes."""
    if not isinstance(dtype, np.dtype) or len(value) != 1 or not isinstance(value[0], bytes):
        _refuse('numpy._core.multiarray.scalar(...)')
    return multiarray.scalar(dtype, *value)


def _encode(text: Any, encoding: Any = None) -> bytes:
    """Bytes as protocol 2 writes them, as text."""
    if encoding != 'latin1':  # how pickle protocol 2 writes bytes
        _refuse(f'_codecs.encode({encoding!r})')
    return _codecs.encode(text, encoding)


def _bytes(*args: Any) -> bytes:
    """The empty bytes."""
    if args:  # protocol 2 calls it for the empty ones, such as the data of an empty array
        _refuse('builtins.bytes(...)')
    return b''


# what a pickle of arrays asks for
ARRAY_PARTS = [
    _NDARRAY,
    _stand_in('numpy', 'dtype', _dtype),
    _stand_in('_codecs', 'encode', _encode),  # torch >= 2.5 allows the real one by itself
    *(
        _stand_in(f'numpy.{core}.multiarray', name, function)
        for core in ('core', '_core')
        for name, function in (('_reconstruct', _reconstruct), ('scalar', _scalar))
    ),
]
_ALLOWED = [
    *ARRAY_PARTS,
    argparse.Namespace,
    *(
        _stand_in(builtins, name, function)
        for builtins in ('builtins', '__builtin__')  # the second is how protocol 2 spells it
        for name, function in (('getattr', _getattr), ('bytes', _bytes))
    ),
    *dict.fromkeys(type(np.dtype(code)) for code in _NUMERIC_CODES),
]


def allow() -> None:
    """Allow the names, HistoryBuffer among them; imports torch and mmengine."""
    import torch
    from mmengine.logging.history_buffer import HistoryBuffer

    names = [*_ALLOWED, HistoryBuffer]
    known = {id(name) for name in torch.serialization.get_safe_globals()}
    torch.serialization.add_safe_globals([name for name in names if id(name) not in known])
    mark_active(__name__)


def fix(module: ModuleType) -> None:
    """Allow the names as soon as both torch and mmengine are imported."""
    if {'torch', 'mmengine.logging.history_buffer'} <= set(sys.modules):
        allow()
