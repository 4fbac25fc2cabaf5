"""mmengine's look-up of installed packages: no ``pkg_resources``, editable ones, OneDL's forks.

setuptools >= 82 has no ``pkg_resources``; ``mmdet::`` bases of a config need the look-up. Where it
is there, it takes an editable installation to lie beside its metadata, and warns of its end. For
``mmseg::`` it asks for mmsegmentation, and OneDL's fork of it does not find onedl-mmsegmentation.
"""

import importlib.util
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from .patching import wrap


def is_installed(package: str) -> bool:
    """Whether there is a distribution or a regular package of this name."""
    try:
        _distribution(package)
        return True
    except metadata.PackageNotFoundError:
        spec = importlib.util.find_spec(package)
        return spec is not None and spec.origin is not None


def get_installed_path(package: str) -> str:
    """Folder of the package which a distribution of this name, or itself, installs.

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
    """Name of the package which a distribution installs."""
    distribution = _distribution(package)
    names = (distribution.read_text('top_level.txt') or '').split()
    if package in names or (not names and importlib.util.find_spec(package)):
        return package
    if not names:
        raise ValueError(f'can not infer the module name of {package}')
    return names[0]


def _distribution(package: str) -> metadata.Distribution:
    """The distribution of this name, or OneDL's fork of it."""
    try:
        return metadata.distribution(package)
    except metadata.PackageNotFoundError as error:
        try:
            return metadata.distribution(f'onedl-{package}')
        except metadata.PackageNotFoundError:
            raise error from None


def is_onedl() -> bool:
    """Whether the installed mmengine is OneDL's fork."""
    return bool(list(metadata.distributions(name='onedl-mmengine')))


def fix(module: ModuleType) -> None:
    """Use importlib.metadata."""
    for function in (is_installed, get_installed_path, package2module):
        wrap(module, function.__name__, _instead(function), __name__)


def _instead(function: Any) -> Any:
    """A wrapper that calls our function and not the original."""
    return lambda original, *args, **kwargs: function(*args, **kwargs)
