"""MMEngine refuses ``vminet_mm::`` configs: it keeps a list of the packages that have some.

It would also build what such a config holds in a scope named like the package. The parts of ours
belong to the config's own ``default_scope``. Of another package it reads all metafiles,
some hundred, before it takes the file of that name.
"""

from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from .patching import mark_active, wrap

NAME = __name__.partition('.')[0]
PREFIX = f'{NAME}::'
_PACKAGE = Path(__file__).resolve().parents[1]


def shipped(name: str) -> Path:
    """Path of what comes with the package: below ``.mim`` if installed, else beside it in a clone.

    Args:
        name: Such as ``'tools/train.py'``.
    """
    installed = _PACKAGE / '.mim' / name
    return installed if installed.exists() else _PACKAGE.parent / name


def fix(module: ModuleType) -> None:
    """Let configs inherit from ``vminet_mm::``, and ``mmengine.hub`` find ours."""
    if hasattr(module, 'Config'):
        wrap(module.Config, '_get_cfg_path', _path_and_scope, __name__)
    else:
        module.MODULE2PACKAGE.setdefault(NAME, NAME)
        mark_active(__name__)


def _path_and_scope(original: Any, path: str, filename: str) -> tuple[str, str | None]:
    """The file of a base and the scope of what it holds, which is None for ours."""
    if path.startswith(PREFIX):
        return str(shipped(f'configs/{path.removeprefix(PREFIX)}')), None
    scope, _, name = path.partition('::')
    package = find_spec(scope) if name and scope.isidentifier() else None
    if package and package.origin:
        file = Path(package.origin).parent / '.mim/configs' / name
        if file.is_file():
            return str(file), scope
    return original(path, filename)
