"""mmseg's cross entropy with class weights crashes on ignored pixels.

It looks up the weight of each label, so also of 255, to average the loss. Here, as in torch's own
loss, pixels that are ignored do not count.
"""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from .patching import wrap


def fix(module: ModuleType) -> None:
    """Let class weights and ignored pixels go together."""

    def cross_entropy(
        original: Any,
        pred: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        class_weight: Tensor | None = None,
        reduction: str = 'mean',
        avg_factor: float | None = None,
        ignore_index: int = -100,
        avg_non_ignore: bool = False,
    ) -> Tensor:
        """Average over the class weights of the pixels that count, as PyTorch does."""
        if class_weight is not None and avg_factor is None and reduction == 'mean':
            counts = label != ignore_index
            avg_factor = class_weight[torch.where(counts, label, 0)].mul(counts).sum()
        return original(
            pred, label, weight, class_weight, reduction, avg_factor, ignore_index, avg_non_ignore
        )

    wrap(module, 'cross_entropy', cross_entropy, __name__)
