"""Tiny models as files, and the images of the built-in data."""

from pathlib import Path

import pytest
from tiny_configs import SETTINGS, write_model

from vminet_mm.inference import Predictor, load_model


@pytest.fixture(scope='session')
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """Task: (config, checkpoint)."""
    folder = tmp_path_factory.mktemp('models')
    return {task: write_model(folder, task) for task in SETTINGS}


@pytest.fixture(scope='session')
def models(files: dict[str, tuple[str, str]]) -> dict[str, Predictor]:
    """Task: model, on the CPU."""
    return {task: load_model(*paths, device='cpu') for task, paths in files.items()}


@pytest.fixture(scope='session')
def images(mini_root: Path) -> list[Path]:
    """Scenes of 128 x 160 pixels."""
    return sorted((mini_root / 'coco/val2017').glob('*.jpg'))
