"""mmdet's pasting of masks on the CPU crashes on a box outside of the image.

It pastes into the part of the image around the boxes, whose end is then before its start. Heads
that do not clip their boxes to the image, such as QueryInst's, find such boxes early in training.
"""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ..patching import wrap


def fix(module: ModuleType) -> None:
    """Paste nothing where there is nothing of the image."""

    def paste(
        original: Any, masks: Tensor, boxes: Tensor, img_h: int, img_w: int, skip_empty: bool = True
    ) -> tuple:
        """Return masks of no pixels where no box meets the image."""
        if skip_empty and _lie_outside(boxes, img_h, img_w):
            return masks.new_zeros(len(masks), 0, 0, dtype=torch.float32), (slice(0, 0),) * 2
        return original(masks, boxes, img_h, img_w, skip_empty)

    wrap(module, '_do_paste_mask', paste, __name__)


def _lie_outside(boxes: Tensor, height: int, width: int) -> bool:
    """Whether boxes (N, 4) are all beyond one side of the image, with a pixel to spare."""
    x1, y1 = boxes[:, :2].amin(0).tolist()
    x2, y2 = boxes[:, 2:].amax(0).tolist()
    return x1 - 1 > width or y1 - 1 > height or x2 + 1 < 0 or y2 + 1 < 0
