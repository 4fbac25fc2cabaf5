"""Where the configs, tools, weights and documents lie that come with the package."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """Path of a file, as ``'tools/train.py'``: below ``.mim`` if installed, else a clone's."""
    installed = _PACKAGE / '.mim' / name
    return installed if installed.exists() else _PACKAGE.parent / name
