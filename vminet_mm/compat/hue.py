"""mmcv's hue shift on numpy 2: ``np.uint8(-2.5)`` raises instead of wrapping around."""

from types import ModuleType
from typing import Any

import numpy as np

from .patching import wrap


class _CyclicHue(float):
    """A shift whose product with 255 is already taken modulo 256, the period of an 8-bit hue."""

    def __mul__(self, factor: float) -> int:
        return int(float(self) * factor) & 255


def _numpy_wraps_around() -> bool:
    """Whether numpy makes a byte of a number below 0."""
    try:
        return np.uint8(-1.5) == 255
    except OverflowError:
        return False


def fix(module: ModuleType) -> None:
    """Let ``mmcv.adjust_hue`` shift by a negative hue."""
    if _numpy_wraps_around():
        return

    def adjust_hue(original: Any, img: Any, hue_factor: Any, *args: Any, **kwargs: Any) -> Any:
        """Shift by a hue that wraps around."""
        return original(img, _CyclicHue(hue_factor), *args, **kwargs)

    wrap(module, 'adjust_hue', adjust_hue, __name__)
