"""Shared fixtures."""

import gc
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from global_state import unchanged_globals
from mmengine.config import config
from mmengine.logging import MMLogger

from vminet_mm.compat.import_hook import when_imported
from vminet_mm.datasets import make_mini_data

# the kernels of Triton run interpreted where there is no GPU; read when triton is imported
os.environ.setdefault('TRITON_INTERPRET', '0' if torch.cuda.is_available() else '1')

# configs in logs and files are left unformatted: formatting takes most of a short run's time
config.FormatCode = lambda text, **style: (text, True)


def _patch_once(interpreter: ModuleType) -> None:
    """Have each function of interpreted kernels patch triton at its first call, not at each one."""
    kind, patched = interpreter.InterpretedFunction, set()
    first_call = kind.__call__

    def call(function: object, *args: object, **options: object) -> object:
        """As it was, or the function alone."""
        if function.fn in patched:
            return function.rewrite()(*args, **options)
        patched.add(function.fn)
        return first_call(function, *args, **options)

    kind.__call__ = call


when_imported('triton.runtime.interpreter', _patch_once)

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
