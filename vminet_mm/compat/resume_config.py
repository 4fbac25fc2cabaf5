"""Resuming must not run the configuration text of a checkpoint.

mmengine runs ``meta['config']`` as Python, to compare a number of GPUs which only checkpoints of
mmcv 1 hold, and those cannot be resumed. Its own checkpoints store the text as ``meta['cfg']``,
which is never run. So the entry is left out of what resuming sees.
"""

from types import ModuleType
from typing import Any

from .patching import wrap


def fix(module: ModuleType) -> None:
    """Drop ``meta['config']`` from checkpoints which a runner, or its strategy, loads."""
    loader = getattr(module, 'Runner', None) or module.SingleDeviceStrategy

    def load_checkpoint(original: Any, *args: Any, **kwargs: Any) -> Any:
        """Load a checkpoint without the config in it."""
        checkpoint = original(*args, **kwargs)
        if isinstance(checkpoint.get('meta'), dict):
            checkpoint['meta'].pop('config', None)
        return checkpoint

    wrap(loader, 'load_checkpoint', load_checkpoint, __name__)
