"""``activation_checkpointing=['backbone']``: the reentrant variant drops all gradients, silently.

An image does not require a gradient, so the reentrant variant returns outputs without one.
"""

from types import ModuleType
from typing import Any

from .patching import wrap


def fix(module: ModuleType) -> None:
    """Use the non-reentrant variant in ``turn_on_activation_checkpointing``."""

    def checkpoint(original: Any, *args: Any, **kwargs: Any) -> Any:
        """Recompute by hooks unless ``use_reentrant`` is given."""
        return original(*args, **{'use_reentrant': False, **kwargs})

    wrap(module, 'checkpoint', checkpoint, __name__)
