"""What an exported file says of itself, for a program that has nothing but the file."""

import json
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from ..datasets.config_parts import leaf_datasets
from ..inference import Predictor
from ..models import VMINet
from ..version import __version__
from .outputs import Outputs


def make_metadata(
    predictor: Predictor, outputs: Outputs, checkpoint: str | PathLike
) -> dict[str, str]:
    """The metadata of a model, see docs/export.md for the keys.

    Args:
        predictor: The model with its config and classes.
        outputs: What is exported of it.
        checkpoint: Where its weights are from.

    Returns:
        dict: Texts by name; what is no plain text is JSON.
    """
    preprocessor = predictor.cfg.model.get('data_preprocessor') or {}
    backbone = predictor.model.backbone
    swaps = any(preprocessor.get(key) for key in ('bgr_to_rgb', 'rgb_to_bgr', 'to_rgb'))
    content = dict(
        task=predictor.task,
        outputs=outputs.names,
        classes=predictor.classes,
        palette=predictor.colors.tolist() if predictor.task == 'segmentation' else [],
        mean=preprocessor.get('mean') or [0.0] * 3,
        std=preprocessor.get('std') or [1.0] * 3,
        color_order='rgb' if swaps else 'bgr',  # mmcv reads BGR
        pad_size_divisor=preprocessor.get('pad_size_divisor', 1),
        resize=resize_steps(next(leaf_datasets(predictor.cfg.test_dataloader.dataset)).pipeline),
        backbone=type(backbone).__name__,
        arch=_arch(backbone) if isinstance(backbone, VMINet) else '',
        config=Path(predictor.cfg.filename or '').name,
        checkpoint=Path(checkpoint).name,
        version=f'vminet_mm {__version__}, torch {torch.__version__}',
    )
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in content.items()
    }


def resize_steps(pipeline: list[dict]) -> list[dict[str, Any]]:
    """The steps of a test pipeline that change an image's size.

    Returns:
        list: Of ``dict(crop=[height, width])``, and of ``dict(interpolation=...)`` with one of
        ``short_edge``, ``short_edge`` and ``long_edge`` (upper bounds), ``height`` and ``width``.
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
            steps.append(edges | dict(interpolation=step.get('interpolation', 'bilinear')))
    return steps


def _arch(backbone: VMINet) -> str | dict:
    """The name of the arch, or its dict."""
    names = [name for name, known in backbone.arch_settings.items() if known == backbone.arch]
    return names[0] if names else backbone.arch
