"""Resuming must not run the configuration text of a checkpoint.

mmengine runs ``meta['config']`` as Python, to compare a number of GPUs which only checkpoints of
mmcv 1 hold, and those cannot be resumed. Its own checkpoints store the text as ``meta['cfg']``,
which is never run. So the entry is left out of what resuming sees.
"""

from types import ModuleType
from typing import Any

from .import_hook import when_imported
from .patching import wrap


def apply() -> None:
    """Drop ``meta['config']`` from checkpoints which a runner loads."""
    when_imported('mmengine.runner.runner', lambda module: _fix(module.Runner))
    when_imported('mmengine._strategy.single_device', _fix_strategy)


def _fix_strategy(module: ModuleType) -> None:
    _fix(module.SingleDeviceStrategy)


def _fix(loader: type) -> None:
    def load_checkpoint(original: Any, *args: Any, **kwargs: Any) -> Any:
        checkpoint = original(*args, **kwargs)
        if isinstance(checkpoint.get('meta'), dict):
            checkpoint['meta'].pop('config', None)
        return checkpoint

    wrap(loader, 'load_checkpoint', load_checkpoint, __name__)
