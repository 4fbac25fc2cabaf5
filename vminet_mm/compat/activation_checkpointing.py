"""``activation_checkpointing=['backbone']``: the reentrant variant drops all gradients, silently.

An image does not require a gradient, so the reentrant variant returns outputs without one.
"""

from types import ModuleType
from typing import Any

from .import_hook import when_imported
from .patching import wrap


def apply() -> None:
    """Use the non-reentrant variant in ``turn_on_activation_checkpointing``."""
    when_imported('mmengine.runner.activation_checkpointing', _fix)


def _fix(module: ModuleType) -> None:
    def checkpoint(original: Any, *args: Any, **kwargs: Any) -> Any:
        return original(*args, **{'use_reentrant': False, **kwargs})

    wrap(module, 'checkpoint', checkpoint, __name__)
