"""Mixed precision on the CPU: upstream asserts an accelerator, ``--amp`` means float16.

CPU autocast is bfloat16, whose range needs no loss scaling.
"""

from functools import partial
from types import ModuleType
from typing import Any

import torch

from .patching import temporarily, wrap


def fix(module: ModuleType) -> None:
    """Let ``AmpOptimWrapper`` work without an accelerator."""

    from mmengine.device import get_device

    if get_device() != 'cpu':
        return

    def init(original: Any, self: Any, loss_scale: Any = 'dynamic', dtype: Any = None, **kw: Any):
        """``AmpOptimWrapper.__init__`` with bfloat16 for float16."""
        if dtype in (None, 'float16', torch.float16):
            dtype = 'bfloat16'
        # The scaler stays, switched off: upstream's methods go through it.
        scaler = partial(torch.amp.GradScaler, 'cpu', enabled=False)
        with temporarily(module, is_cuda_available=lambda: True, GradScaler=scaler):
            return original(self, loss_scale, dtype, **kw)

    wrap(module.AmpOptimWrapper, '__init__', init, __name__)
