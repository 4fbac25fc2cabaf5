"""BoxInst's colors without scikit-image: mmdet takes one function from it, which OpenCV has."""

from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import numpy as np

from .import_hook import when_imported
from .patching import mark_active


def rgb2lab(image: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of an sRGB image under D65, like ``skimage.color.rgb2lab``.

    Args:
        image: (H, W, 3), from 0 to 255 if of integers and to 1 otherwise.
    """
    import cv2

    scale = 255 if np.issubdtype(image.dtype, np.integer) else 1
    return cv2.cvtColor(image.astype(np.float32) / scale, cv2.COLOR_RGB2LAB)


def apply() -> None:
    """Let ``BoxInstDataPreprocessor`` work where scikit-image is missing."""
    if find_spec('skimage') is None:
        when_imported('mmdet.models.data_preprocessors.data_preprocessor', _fix)


def _fix(module: ModuleType) -> None:
    if getattr(module, 'skimage', None) is None:
        module.skimage = SimpleNamespace(color=SimpleNamespace(rgb2lab=rgb2lab))
        mark_active(__name__)
