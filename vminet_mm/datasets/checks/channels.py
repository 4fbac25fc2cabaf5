"""The channels that a pipeline gives, against those that the model takes."""

from typing import Any

from mmengine.config import Config

from ...tasks import model_config
from ..config_parts import type_name
from .report import Report, some


def check_channels(report: Report, cfg: Config, channels: set[int]) -> None:
    """Check that all opened images have the channels that backbone and normalization take."""
    if len(channels) > 1:
        report.problem(
            f'images of {" and ".join(map(str, sorted(channels)))} channels in one set',
            "read all alike: color_type='color' or 'grayscale' in LoadImageFromFile",
        )
    if len(channels) != 1:
        return
    (number,) = channels
    model = model_config(cfg)
    wanted = _channels_of(model.get('backbone') or {})
    if wanted and wanted != number:
        report.problem(
            f'the pipeline gives {number} channels, model.backbone takes {wanted}',
            f"set color_type in LoadImageFromFile ('color' gives 3, 'grayscale' 1), or "
            f'--cfg-options model.backbone.in_channels={number}',
        )
    means = (model.get('data_preprocessor') or {}).get('mean')
    if means and len(means) not in (1, number):
        report.problem(
            f'the pipeline gives {number} channels, data_preprocessor.mean has '
            f'{len(means)} ({some(means)})',
            'give mean and std one value, or one of each channel; bgr_to_rgb=False unless 3',
        )


def _channels_of(backbone: dict[str, Any]) -> int | None:
    """What a backbone takes; None of one that does not say it."""
    if type_name(backbone) == 'VMINet':
        return backbone.get('in_channels', 3)
    return backbone.get('in_channels') if type_name(backbone) == 'ResNet' else None
