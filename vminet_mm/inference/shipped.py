"""Trained models that are shipped with the project, by name."""

from pathlib import Path

from ..errors import ConfigError
from ..files import shipped

WEIGHTS = shipped('weights')


def shipped_names() -> list[str]:
    """The names of the models under ``weights/``; none where there is no such folder."""
    return sorted(path.parent.name for path in WEIGHTS.glob('*/weights.pth'))


def find_shipped(name: str) -> tuple[Path, Path]:
    """The config and the weights of a shipped model.

    Raises:
        ConfigError: If there is no such model.
    """
    if name not in shipped_names():
        names = ', '.join(shipped_names()) or 'none'
        raise ConfigError(
            f'there is no shipped model {name!r} (shipped are {names}); '
            'of any other model give the config file and the checkpoint'
        )
    return WEIGHTS / name / 'config.py', WEIGHTS / name / 'weights.pth'
