"""Metadata of an exported file, for a program that has only the file."""

import json
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..datasets.config_parts import leaf_datasets
from ..inference import Predictor
from ..inference.heads import tells_many_classes
from ..models import VMINet
from ..models.channels import COLORS, input_channels
from ..tasks import CLASSIFICATION, SEGMENTATION
from ..version import __version__
from .outputs import Outputs


def describe(predictor: Predictor, outputs: Outputs, checkpoint: str | PathLike) -> dict[str, Any]:
    """The metadata of a model and what is exported of it, see docs/export.md for the keys.

    Plain values by name, of a file that takes images ready for the network.
    """
    preprocessor = predictor.cfg.model.get('data_preprocessor') or {}
    backbone, colors = predictor.model.backbone, predictor.colors
    channels = input_channels(predictor.model)
    swaps = any(preprocessor.get(key) for key in ('bgr_to_rgb', 'rgb_to_bgr', 'to_rgb'))
    order = 'rgb' if swaps else 'bgr'  # mmcv reads BGR
    return dict(
        task=predictor.task,
        outputs=outputs.names,
        classes=predictor.classes,
        palette=[]
        if predictor.task == CLASSIFICATION.name
        else colors.round().astype(int).tolist(),
        # of one value for all channels, or one for each
        mean=(list(preprocessor.get('mean') or [0.0]) * channels)[:channels],
        std=(list(preprocessor.get('std') or [1.0]) * channels)[:channels],
        color_order=order if channels == COLORS else 'as read',
        color_type=predictor.loading.get('color_type', 'color'),
        multi_label=tells_many_classes(predictor.model),
        pad_size_divisor=preprocessor.get('pad_size_divisor', 1),
        input='float32',
        resize=resize_steps(next(leaf_datasets(predictor.cfg.test_dataloader.dataset)).pipeline),
        pad_value=preprocessor.get('pad_value', 0),
        mask_threshold=_mask_threshold(predictor.model),
        backbone=type(backbone).__name__,
        arch=_arch(backbone) if isinstance(backbone, VMINet) else '',
        config=Path(predictor.cfg.filename or '').name,
        checkpoint=Path(checkpoint).name,
        version=f'vminet_mm {__version__}, torch {torch.__version__}',
    )


def as_texts(about: dict[str, Any]) -> dict[str, str]:
    """Metadata as the strings of an ONNX file; values other than text are JSON."""
    return {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in about.items()
    }


def ready(about: dict[str, Any], takes_uint8: bool) -> dict[str, Any]:
    """The metadata of a file that includes padding, or all of the preprocessing."""
    done = dict(pad_size_divisor=1)
    if takes_uint8:
        outputs = ['classes'] if about['task'] == SEGMENTATION.name else about['outputs']
        channels = len(about['mean'])
        done |= dict(input='uint8', resize=[], mean=[0.0] * channels, std=[1.0] * channels)
        done |= dict(outputs=outputs, color_order='rgb' if channels == COLORS else 'as read')
    return about | done


def resize_steps(pipeline: list[dict]) -> list[dict[str, Any]]:
    """The steps of a test pipeline that change an image's size.

    Returns:
        list: Of ``dict(crop=[height, width])``, and of ``dict(interpolation=..., antialias=...)``
        with one of ``short_edge``, ``short_edge`` and ``long_edge`` (upper bounds), ``height`` and
        ``width``.
    """
    steps = []
    for step in pipeline:
        kind, scale = str(step['type']).rpartition('.')[2], step.get('scale')
        if kind == 'CenterCrop':
            size = step['crop_size']
            steps.append(dict(crop=[size, size] if isinstance(size, int) else list(size)[::-1]))
        elif kind in ('Resize', 'ResizeEdge') and scale:
            if kind == 'ResizeEdge':  # the shorter one is what configs ask for
                edges = dict(short_edge=scale)
            elif isinstance(scale, int):
                edges = dict(height=scale, width=scale)
            elif step.get('keep_ratio'):
                edges = dict(short_edge=min(scale), long_edge=max(scale))
            else:
                edges = dict(height=scale[1], width=scale[0])
            # OpenCV skips pixels where Pillow averages them
            is_smooth = step.get('backend', 'cv2') == 'pillow'
            way = dict(interpolation=step.get('interpolation', 'bilinear'), antialias=is_smooth)
            steps.append(edges | way)
    return steps


def _mask_threshold(model: nn.Module) -> float:
    """The minimum probability of a pixel of a mask."""
    head = getattr(model, 'roi_head', None)
    return float((getattr(head, 'test_cfg', None) or {}).get('mask_thr_binary', 0.5))


def _arch(backbone: VMINet) -> str | dict:
    """The name of the arch, or its dict."""
    names = [name for name, known in backbone.arch_settings.items() if known == backbone.arch]
    return names[0] if names else backbone.arch
