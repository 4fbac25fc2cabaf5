"""Global state of Python, torch and MMEngine that a test must not leave to the next."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.registry import DefaultScope

SIGNALS = (signal.SIGINT, signal.SIGTERM)
CUDNN = torch.backends.cudnn
# what reads a setting of torch, and what sets it
SETTINGS = (
    (torch.get_num_threads, torch.set_num_threads),
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    (lambda: CUDNN.benchmark, lambda value: setattr(CUDNN, 'benchmark', value)),
    (lambda: CUDNN.deterministic, lambda value: setattr(CUDNN, 'deterministic', value)),
)


@contextmanager
def unchanged_globals() -> Iterator[None]:
    """Restore what a run changes for its whole process.

    That is MMEngine's default scope, the environment, the working directory, the handlers of
    signals, and torch's threads, default dtype, gradient mode and deterministic algorithms.
    """
    scopes, environment, folder = dict(DefaultScope._instance_dict), _environment(), os.getcwd()
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    settings = [read() for read, _ in SETTINGS]
    try:
        yield
    finally:
        DefaultScope._instance_dict = scopes
        for name in _environment().keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        os.chdir(folder)
        for number, handler in handlers.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        for (read, write), value in zip(SETTINGS, settings, strict=True):
            if read() != value:
                write(value)


def _environment() -> dict[str, str]:
    """Without the variable that pytest itself changes."""
    return {name: value for name, value in os.environ.items() if name != 'PYTEST_CURRENT_TEST'}
