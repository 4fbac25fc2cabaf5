"""Blocks that are computed again in the backward pass instead of kept."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recompute(module: nn.Module, function: Callable, *inputs: Any) -> Any:
    """Call a function without keeping what is inside; the backward pass calls it once more.

    Args:
        module: What holds the function's batch norms, which count the batch once.
        function: Of ``inputs``.
        *inputs: Tensors and others.
    """
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        return checkpoint(function, *inputs, use_reentrant=False)
    contexts = nullcontext(), _FrozenRunningStats(norms)
    return checkpoint(function, *inputs, use_reentrant=False, context_fn=lambda: contexts)


class _FrozenRunningStats:
    """A context, of one or several backward passes, that leaves running statistics as they are.

    Batch norms save the statistics for their backward pass, so that they must go on tracking them
    inside.
    """

    def __init__(self, norms: Sequence[_BatchNorm]) -> None:
        self.buffers = [buffer for norm in norms for buffer in norm.buffers()]

    def __enter__(self) -> None:
        self.before = [buffer.clone() for buffer in self.buffers]

    def __exit__(self, *error: object) -> None:
        with torch.no_grad():
            for buffer, value in zip(self.buffers, self.before, strict=True):
                buffer.copy_(value)
