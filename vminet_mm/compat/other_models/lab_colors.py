"""BoxInst's colors without scikit-image: mmdet takes one function from it, which OpenCV has."""

from types import ModuleType, SimpleNamespace

import numpy as np

from ..patching import mark_active


def rgb2lab(image: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of an sRGB image (H, W, 3) under D65, like ``skimage.color.rgb2lab``.

    Integers are from 0 to 255, other values to 1.
    """
    import cv2

    scale = 255 if np.issubdtype(image.dtype, np.integer) else 1
    return cv2.cvtColor(image.astype(np.float32) / scale, cv2.COLOR_RGB2LAB)


def fix(module: ModuleType) -> None:
    """Let ``BoxInstDataPreprocessor`` work where scikit-image is missing."""
    if getattr(module, 'skimage', None) is None:
        module.skimage = SimpleNamespace(color=SimpleNamespace(rgb2lab=rgb2lab))
        mark_active(__name__)
