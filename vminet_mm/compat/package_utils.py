"""mmengine's look-up of installed packages without ``pkg_resources``.

setuptools >= 82 has no ``pkg_resources``; ``mmdet::`` bases of a config need the look-up.
"""

import importlib.util
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from .import_hook import when_imported
from .patching import wrap


def is_installed(package: str) -> bool:
    """Whether there is a distribution or a regular package of this name."""
    try:
        metadata.distribution(package)
        return True
    except metadata.PackageNotFoundError:
        spec = importlib.util.find_spec(package)
        return spec is not None and spec.origin is not None


def get_installed_path(package: str) -> str:
    """Folder of the package which a distribution installs, such as mmseg for mmsegmentation.

    Args:
        package: Name of a distribution or a package.

    Raises:
        PackageNotFoundError: Nothing of this name is installed.
    """
    try:
        module_name = package2module(package)
    except metadata.PackageNotFoundError:
        module_name = package
    # An editable install lies elsewhere than its metadata: ask the import system.
    spec = importlib.util.find_spec(module_name)
    if spec is None:
        raise metadata.PackageNotFoundError(package)
    if spec.origin is None:
        raise RuntimeError(f'{package} is a namespace package, it has no folder of its own.')
    return str(Path(spec.origin).parent)


def package2module(package: str) -> str:
    """Name of the package which a distribution installs.

    Args:
        package: Name of the distribution.
    """
    distribution = metadata.distribution(package)
    names = (distribution.read_text('top_level.txt') or '').split()
    if package in names or (not names and importlib.util.find_spec(package)):
        return package
    if not names:
        raise ValueError(f'can not infer the module name of {package}')
    return names[0]


def apply() -> None:
    """Use importlib.metadata where ``pkg_resources`` is missing."""
    if importlib.util.find_spec('pkg_resources') is None:
        when_imported('mmengine.utils.package_utils', _mend)


def _mend(module: ModuleType) -> None:
    for function in (is_installed, get_installed_path, package2module):
        wrap(module, function.__name__, _instead(function), __name__)


def _instead(function: Any) -> Any:
    return lambda original, *args, **kwargs: function(*args, **kwargs)
