"""The import machinery: who provides the module `mmcv._ext`. Standard library only."""

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

NAME = 'mmcv._ext'
ORIGIN = 'vminet_mm.compat.mmcv_ext'


class StandInLoader(Loader):
    """Fills an empty module with the operators of this package."""

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave the creation of the module to Python."""

    def exec_module(self, module: ModuleType) -> None:
        """Put the offered operators, and an answer for all others, into `module`."""
        from . import table  # only now: this imports torch and torchvision

        module.__doc__ = table.__doc__
        module.__dict__.update(table.OFFERED)
        module.__getattr__ = table.missing


class CompiledLoader(Loader):
    """Loads the compiled extension; if that fails with ImportError, the stand-in instead.

    Args:
        real (Loader): Of the compiled extension.
    """

    def __init__(self, real: Loader) -> None:
        self.real = real
        self.error: ImportError | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Open the shared library, which is where a mismatch with torch shows."""
        # The extension links against torch's libraries without knowing where they are. mmcv always
        # imports torch first; a direct import of mmcv._ext must not report it as broken.
        importlib.import_module('torch')
        try:
            return self.real.create_module(spec)
        except ImportError as error:
            self.error = error
            return None

    def exec_module(self, module: ModuleType) -> None:
        """Initialize the extension, or become the stand-in and say so once."""
        if self.error is None:
            try:
                self.real.exec_module(module)
            except ImportError as error:
                self.error = error
        if self.error is None:
            module.__loader__ = module.__spec__.loader = self.real
            return
        warnings.warn(
            f'The compiled mmcv._ext does not load ({self.error}). Most likely it was built for '
            'another version of torch. vminet_mm stands in for it with operators on torchvision. '
            'To fix it, install the mmcv that matches your torch (pip install -U openmim && mim '
            'install mmcv, or build mmcv from source), or replace it by mmcv-lite.',
            RuntimeWarning,
            stacklevel=2,
        )
        for name in set(module.__dict__) - {'__name__', '__package__', '__builtins__'}:
            del module.__dict__[name]  # the broken file's path, and what it got done
        module.__spec__ = _stand_in_spec()
        module.__loader__ = module.__spec__.loader
        module.__loader__.exec_module(module)


class Finder(MetaPathFinder):
    """Answers for `mmcv._ext` only."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The compiled extension where one is installed, else the stand-in."""
        if name != NAME:
            return None
        spec = _find_compiled(path, target)
        if spec is None:
            return _stand_in_spec()
        spec.loader = CompiledLoader(spec.loader)
        return spec


def install() -> None:
    """Make `mmcv._ext` importable. Calling it again changes nothing."""
    if not any(_is_ours(finder) for finder in sys.meta_path):
        # In front: behind the others it would never see a compiled extension that fails to load.
        sys.meta_path.insert(0, Finder())


def is_compiled() -> bool:
    """Whether mmcv's real compiled extension is in use, or would be on import."""
    module = sys.modules.get(NAME)
    if module is None:
        try:
            parent = importlib.import_module('mmcv')
            if _find_compiled(parent.__path__) is None:
                return False
            importlib.import_module('torch')  # as in CompiledLoader
            module = importlib.import_module(NAME)
        except ImportError:
            return False
    return not isinstance(getattr(module.__spec__, 'loader', None), StandInLoader)


def _stand_in_spec() -> ModuleSpec:
    return ModuleSpec(NAME, StandInLoader(), origin=ORIGIN)


def _is_ours(finder: object) -> bool:
    # By name: after a reload of this module the class is another one.
    kind = finder if isinstance(finder, type) else type(finder)
    return (kind.__module__, kind.__qualname__) == (__name__, Finder.__qualname__)


def _find_compiled(
    path: Sequence[str] | None, target: ModuleType | None = None
) -> ModuleSpec | None:
    for finder in sys.meta_path:
        find_spec = getattr(finder, 'find_spec', None)
        if find_spec is None or _is_ours(finder):
            continue
        spec = find_spec(NAME, path, target)
        # A namespace package (a left-over folder `_ext`) has no loader and no operators.
        if spec is not None and spec.loader is not None:
            return spec
    return None
