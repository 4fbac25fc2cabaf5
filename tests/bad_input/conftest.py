"""A tiny model of each task as files, and damaged copies of the built-in data."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_configs import SETTINGS, write_model


@pytest.fixture(scope='session')
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """Task: (config, checkpoint)."""
    folder = tmp_path_factory.mktemp('models')
    return {task: write_model(folder, task) for task in SETTINGS}


@pytest.fixture
def copy_of(mini_root: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Function that copies a layout of the built-in data to where it may be damaged."""

    def copy(layout: str) -> Path:
        return Path(shutil.copytree(mini_root / layout, tmp_path / layout))

    return copy
