"""Predicting for one's own images and videos, see docs/inference.md."""

from .loading import load_model
from .predictions import Classification, Detection, Prediction, Segmentation
from .predictor import Predictor
from .shipped import shipped_names
from .sources import Frame, Video, VideoWriter

__all__ = [
    'Classification',
    'Detection',
    'Frame',
    'Prediction',
    'Predictor',
    'Segmentation',
    'Video',
    'VideoWriter',
    'load_model',
    'shipped_names',
]
