"""Shared fixtures."""

import gc
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from global_state import unchanged_globals
from mmengine.logging import MMLogger

from vminet_mm.datasets import make_mini_data

# the kernels of Triton run interpreted where there is no GPU; read when triton is imported
os.environ.setdefault('TRITON_INTERPRET', '0' if torch.cuda.is_available() else '1')

DEVICES = ['cpu', *(['cuda'] if torch.cuda.is_available() else [])]


def pytest_collection_finish() -> None:
    """Spare the collector what is imported by now: MMEngine calls it for every data set."""
    gc.collect()
    gc.freeze()


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    """Every kind of device there is."""
    return torch.device(request.param)


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """Each test starts from the same seed of torch and leaves no global state to the next."""
    with unchanged_globals():
        torch.manual_seed(0)
        yield


@pytest.fixture
def write(tmp_path: Path) -> Callable[[object], str]:
    """Save a checkpoint; returns its path."""

    def save(content: object) -> str:
        torch.save(content, tmp_path / 'checkpoint.pth.tar')
        return str(tmp_path / 'checkpoint.pth.tar')

    return save


@pytest.fixture
def log() -> Iterator[list[str]]:
    """The lines that are logged."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


@pytest.fixture(scope='session')
def parameters() -> dict:
    """How the small built-in data set of the tests is made."""
    return {'num_train': 16, 'num_val': 6, 'seed': 3}


@pytest.fixture(scope='session')
def mini(parameters: dict, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """(root, summary) of a small made set; tests must not write into it."""
    root = tmp_path_factory.mktemp('data') / 'mini'
    return root, make_mini_data(root, **parameters)


@pytest.fixture(scope='session')
def mini_root(mini: tuple[Path, dict]) -> Path:
    """The folder of the small built-in data set; tests must not write into it."""
    return mini[0]
