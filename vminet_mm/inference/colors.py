"""Colors of classes."""

import colorsys
from collections.abc import Sequence

import numpy as np


def class_colors(number: int, palette: Sequence[Sequence[int]] | None = None) -> np.ndarray:
    """(number, 3) RGB from 0 to 255: the palette's, or hues which are far apart for neighbors."""
    if palette is not None and len(palette) == number:
        return np.array(palette, dtype=np.float32).reshape(number, 3)
    golden = 0.618034
    hues = [colorsys.hsv_to_rgb(k * golden % 1, 0.85, 0.95) for k in range(number)]
    return 255 * np.array(hues, dtype=np.float32).reshape(number, 3)
