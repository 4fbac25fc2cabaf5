"""Shared by the fixes: replace a function once, and record which fixes are active."""

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_MARK = '__vminet_mm_fix__'
_MM_PACKAGES = ('mmengine', 'mmcv', 'mmdet', 'mmseg', 'mmpretrain')

_active: set[str] = set()


def mark_active(piece: str) -> None:
    """Note that a fix is in effect, by ``__name__`` of its module."""
    _active.add(piece.rpartition('.')[2])


def is_active(piece: str) -> bool:
    """Whether a fix has found its target, and the target needed it."""
    return piece in _active


def wrap(owner: Any, name: str, wrapper: Callable[..., Any], piece: str) -> None:
    """Replace ``owner.name`` by ``wrapper(original, *args, **kwargs)``, once.

    Methods are wrapped on their class and keep their kind (plain, class or static method). A
    function is replaced wherever an mm module has already bound it by ``from ... import``. Where
    the attribute does not exist, as in another release of the library, nothing happens.

    Args:
        owner: A module or a class.
        name: The attribute to replace.
        wrapper: Called with the original callable first. For a class method the original is bound.
        piece: ``__name__`` of the module that holds the fix.
    """
    original = vars(owner).get(name)
    if original is None or getattr(original, _MARK, False):
        return
    function = getattr(original, '__func__', original)

    if isinstance(original, classmethod):

        @functools.wraps(function)
        def replacement(cls: type, *args: Any, **kwargs: Any) -> Any:
            return wrapper(functools.partial(function, cls), *args, **kwargs)
    else:

        @functools.wraps(function)
        def replacement(*args: Any, **kwargs: Any) -> Any:
            return wrapper(function, *args, **kwargs)

    setattr(replacement, _MARK, True)
    if isinstance(original, classmethod | staticmethod):
        replacement = type(original)(replacement)
        setattr(replacement, _MARK, True)
    setattr(owner, name, replacement)
    if isinstance(owner, ModuleType) and original.__module__ == owner.__name__:
        _rebind(original, replacement)
    mark_active(piece)


def _rebind(old: Any, new: Any) -> None:
    """Replace the copies of a function in the mm modules that imported it."""
    for name, module in list(sys.modules.items()):
        if name.partition('.')[0] in _MM_PACKAGES and isinstance(module, ModuleType):
            for key in [key for key, value in vars(module).items() if value is old]:
                setattr(module, key, new)


@contextmanager
def temporarily(owner: Any, **values: Any) -> Iterator[None]:
    """Set attributes of an object, which must exist, for the duration of a block."""
    before = {name: getattr(owner, name) for name in values}
    for name, value in values.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)
