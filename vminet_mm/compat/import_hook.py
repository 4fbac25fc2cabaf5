"""Run a callback when a module is imported, without importing it.

``import vminet_mm`` must neither import mmdet, mmseg or mmpretrain nor fail without them, so a fix
for one of their modules waits here until somebody imports that module.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

Callback = Callable[[ModuleType], None]

_callbacks: dict[str, list[Callback]] = {}


class _Finder(MetaPathFinder):
    """Finds a watched module with the other finders and attaches the callbacks to its loader."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a watched module, None for others."""
        if name not in _callbacks:
            return None
        for finder in sys.meta_path:
            find_spec = None if finder is self else getattr(finder, 'find_spec', None)
            spec = find_spec(name, path, target) if find_spec else None
            if spec is not None:
                _attach(spec)
                return spec
        return None


_finder = _Finder()


def _attach(spec: ModuleSpec) -> None:
    """Make the loader of ``spec`` call the callbacks after the module's body.

    The method of this one loader instance is replaced, not the loader: ``inspect`` and ``pkgutil``
    go on seeing the type they know.
    """
    loader = spec.loader
    if loader is None or isinstance(loader, type):  # a namespace package, a built-in module
        return
    exec_module = loader.exec_module

    def exec_and_call(module: ModuleType) -> None:
        """Run the module's body, then the callbacks."""
        exec_module(module)
        for callback in _callbacks.get(spec.name, ()):
            callback(module)

    loader.exec_module = exec_and_call  # type: ignore[method-assign]


def _is_executing(module: ModuleType) -> bool:
    """Whether the module is still being imported (a circular import)."""
    return bool(getattr(getattr(module, '__spec__', None), '_initializing', False))


def when_imported(module_name: str, callback: Callback) -> None:
    """Call ``callback(module)`` after each import of a module, at once if it is already imported.

    The callback runs before the module's importer sees it, and again after a reload, so it must be
    idempotent. The same callback is registered once. The module need not exist.
    """
    callbacks = _callbacks.setdefault(module_name, [])
    if callback not in callbacks:
        callbacks.append(callback)
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    module = sys.modules.get(module_name)
    if module is not None and not _is_executing(module):
        callback(module)
