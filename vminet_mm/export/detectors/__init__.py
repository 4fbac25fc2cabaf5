"""Whole detectors of mmdet from an image to its objects, in operators that ONNX has."""

from .dense import DenseHead, Found
from .nms import onnx_translation
from .regions import RegionHead, paste

__all__ = ['DenseHead', 'Found', 'RegionHead', 'onnx_translation', 'paste']
