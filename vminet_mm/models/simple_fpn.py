"""The simple feature pyramid of ViTDet (Li et al., "Exploring Plain Vision Transformer Backbones
for Object Detection", Section 3), which makes all levels from one map."""

import math
from collections.abc import Sequence

import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from .options import check_count, check_norm


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """Pyramid levels from a single map, one branch a level.

    A branch changes the resolution (2x2 deconvolutions of stride 2, each but the last followed by
    norm and GELU and each halving the channels; or a max pool), then applies conv 1x1, norm,
    conv 3x3, norm. Levels beyond the branches are max-pooled from the last one.

    The defaults fit VMINet's last map (stride 32) and give strides 4 to 64. ViTDet's own are
    ``scale_factors=(4, 2, 1, 0.5)`` on a map of stride 16.

    Args:
        in_channels (int | Sequence[int]): Channels of the map, or of every input map as necks are
            usually configured.
        out_channels (int): Channels of every level. Defaults to 256.
        scale_factors (Sequence[float]): Resolution of each branch relative to the map, powers of
            two. Defaults to ``(8, 4, 2, 1)``.
        in_index (int): Which of the input maps is used. Defaults to -1.
        num_outs (int): Number of levels, at least one a branch. Defaults to 5.
        norm_cfg (dict): Config of the norms; ``dict(type='LN')`` normalizes over the channels.
            Defaults to ``dict(type='LN')``.
        init_cfg (dict | list[dict] | None): As of any module of MMEngine. Defaults to None.

    Raises:
        ValueError: If an option is out of range or a map has too few channels to be halved.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        out_channels: int = 256,
        scale_factors: Sequence[float] = (8, 4, 2, 1),
        in_index: int = -1,
        num_outs: int = 5,
        norm_cfg: dict = dict(type='LN'),
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        check_norm(norm_cfg)
        if not scale_factors:
            raise ValueError('scale_factors must name at least one level')
        if num_outs < len(scale_factors):
            raise ValueError(
                f'num_outs={num_outs} is less than the {len(scale_factors)} scale_factors'
            )
        if not isinstance(in_channels, int):
            if not -len(in_channels) <= in_index < len(in_channels):
                raise ValueError(f'in_index={in_index} is none of {len(in_channels)} in_channels')
            in_channels = in_channels[in_index]
        check_count('in_channels', in_channels)
        self.in_index = in_index
        self.num_outs = num_outs
        self.branches = nn.ModuleList()
        for scale in scale_factors:
            layers, channels = _resampling(scale, in_channels, norm_cfg)
            layers += [
                nn.Conv2d(channels, out_channels, 1, bias=False),
                _build_norm(norm_cfg, out_channels),
                nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
                _build_norm(norm_cfg, out_channels),
            ]
            self.branches.append(nn.Sequential(*layers))

    def forward(self, inputs: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Map (B, C, H, W), or a sequence of maps of which ``in_index`` is taken, to the levels."""
        x = inputs if isinstance(inputs, Tensor) else inputs[self.in_index]
        levels = [branch(x) for branch in self.branches]
        while len(levels) < self.num_outs:
            levels.append(F.max_pool2d(levels[-1], kernel_size=1, stride=2))
        return tuple(levels)


def _resampling(scale: float, channels: int, norm_cfg: dict) -> tuple[list[nn.Module], int]:
    """Layers that change the resolution by a power of two, and the channels they end with."""
    if scale <= 0 or not (steps := math.log2(scale)).is_integer():
        raise ValueError(f'scale_factors must be powers of two, not {scale}')
    if channels % 2 ** max(steps, 0):
        raise ValueError(f'{channels} channels cannot be halved {steps:.0f} times for x{scale}')
    layers: list[nn.Module] = []
    for step in range(int(steps)):
        if step > 0:
            layers += [_build_norm(norm_cfg, channels), nn.GELU()]
        layers.append(nn.ConvTranspose2d(channels, channels // 2, 2, stride=2))
        channels //= 2
    layers += [nn.MaxPool2d(2, stride=2, ceil_mode=True) for _ in range(-int(steps))]
    return layers, channels


def _build_norm(norm_cfg: dict, channels: int) -> nn.Module:
    """A norm for (B, C, H, W); of type ``LN`` over the channels."""
    if norm_cfg['type'] == 'LN':
        kwargs = {k: v for k, v in norm_cfg.items() if k not in ('type', 'requires_grad')}
        return LayerNorm2d(channels, **kwargs).requires_grad_(norm_cfg.get('requires_grad', True))
    return build_norm_layer(norm_cfg, channels)[1]
