"""The EfficientVMamba backbone, from "EfficientVMamba: Atrous Selective Scan for Light Weight
Visual Mamba" (arXiv 2403.09977, AAAI 2025).

Two stages of blocks that scan every second pixel in either direction beside a convolution, then
two of inverted residuals. The authors' code and paper do not agree on the widths of the sizes: its
YAML files and detection configs have 96 channels for S as for B, which would be 25 M parameters.
The printed 11 M and 1.3 G are those of ``mobile_vssm_fusion_micro`` in the same code, 64 channels,
which are also those of the released weights.
"""

from collections.abc import Sequence

import torch
from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn

from ..models.options import check_count
from ..models.simple_fpn import LayerNorm2d
from .backbone import Linear2d, Recomputable, pad_to_multiple
from .hierarchical import HierarchicalPeer
from .ss2d import SS2D

SCAN_RATIO, STATE_SIZE = 2, 16
ORDERS = ('atrous2_00_row', 'atrous2_10_column', 'atrous2_01_row', 'atrous2_11_column')
EXPANSION = 4  # of the inverted residuals
SQUEEZE = 8  # channels by those between the two layers of a channel attention
NUM_SCANNING = 2  # stages of scanning blocks


class EVSSBlock(Recomputable):
    """An efficient visual state space block: x + A(SS2D(LN(x))) + A(conv(LN(x))).

    The scan reads each of the four quarters of the pixels once (ES2D, Section 4.1 of the paper). A,
    an attention to channels, is one module for both branches.

    Args:
        channels (int): C of the input.
        drop_path (float): Probability to drop the two branches.
        with_cp (bool): Recompute in the backward pass.
        impl (str): Of the scan.
    """

    def __init__(self, channels: int, drop_path: float, with_cp: bool, impl: str) -> None:
        super().__init__(with_cp)
        self.norm = LayerNorm2d(channels)
        self.op = SS2D(
            channels,
            SCAN_RATIO * channels,
            STATE_SIZE,
            ORDERS,
            multiple=2,
            gated=True,
            conv_bias=True,
            impl=impl,
        )
        self.conv_branch = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
            nn.BatchNorm2d(channels),
            nn.GELU(),
            nn.Conv2d(channels, channels, 1),
        )
        self.se = ChannelAttention(channels)
        self.drop_path = DropPath(drop_path)

    def compute(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        y = self.norm(x)
        return x + self.drop_path(self.se(self.op(y)) + self.se(self.conv_branch(y)))


class ChannelAttention(nn.Module):
    """Channels weighted by their means after a layer norm (``BiAttn`` in the authors' code).

    Args:
        channels (int): C of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = LayerNorm2d(channels)
        self.global_reduce = nn.Linear(channels, channels // SQUEEZE)
        self.act = nn.GELU()
        self.channel_select = nn.Linear(channels // SQUEEZE, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        weights = self.act(self.global_reduce(self.norm(x).mean((2, 3))))
        return x * self.channel_select(weights).sigmoid()[:, :, None, None]


class InvertedResidual(Recomputable):
    """MobileNetV2's block with squeeze and excitation: expand, convolve depth-wise, project.

    Args:
        channels (int): C of the input.
        drop_path (float): Probability to drop the branch.
        with_cp (bool): Recompute in the backward pass.
    """

    def __init__(self, channels: int, drop_path: float, with_cp: bool) -> None:
        super().__init__(with_cp)
        inner = EXPANSION * channels
        self.conv_pw = nn.Sequential(
            nn.Conv2d(channels, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU(inplace=True)
        )
        self.conv_dw = nn.Sequential(
            nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
        )
        self.se = SqueezeExcite(inner)
        self.conv_pw2 = nn.Sequential(
            nn.Conv2d(inner, channels, 1, bias=False), nn.BatchNorm2d(channels)
        )
        self.drop_path = DropPath(drop_path)

    def compute(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        y = self.conv_pw2(self.se(self.conv_dw(self.conv_pw(x))))
        return x + self.drop_path(y)


class SqueezeExcite(nn.Module):
    """Channels weighted by their means.

    Args:
        channels (int): C of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, channels // SQUEEZE, 1)
        self.conv_expand = nn.Conv2d(channels // SQUEEZE, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        weights = self.conv_reduce(x.mean((2, 3), keepdim=True)).relu()
        return x * self.conv_expand(weights).sigmoid()


class PatchMerging(nn.Module):
    """Down-sampling by 2: the four pixels of a square one after the other, norm, linear layer.

    Args:
        channels (int): C of the input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = LayerNorm2d(4 * channels)
        self.reduction = Linear2d(4 * channels, 2 * channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, 2C, ceil(H / 2), ceil(W / 2)); beyond the edges are zeros."""
        x = pad_to_multiple(x, 2)
        pixels = [x[..., row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(pixels, dim=1)))


class EfficientVMamba(HierarchicalPeer):
    """EfficientVMamba, a hierarchical backbone with output strides 4, 8, 16 and 32.

    The parts, their names and their initialization are those of the authors' ``EfficientVSSM``.
    Each returned map has a layer norm of its own, as there in dense tasks; the last one takes the
    classifier's from a checkpoint. Images are padded at bottom and right to a multiple of 4.

    Args:
        arch (str | dict): ``'s'``, or a dict with ``base_channels`` and ``depths`` (four numbers).
            Defaults to ``'s'``.
        in_channels (int): Channels of the input image. Defaults to 3.
        out_indices (int | Sequence[int]): Stages whose outputs are returned, from 0; negative ones
            count from the end. Defaults to ``(3,)``.
        drop_path_rate (float): Stochastic depth of the last block; it grows linearly from 0 at the
            first. Defaults to 0.0.
        norm_eval (bool | str): Keep batch norms in evaluation mode while training. ``'auto'`` does
            so where the backbone starts from a checkpoint. Defaults to False.
        frozen_stages (int): -1 freezes nothing, 0 the stem, i the stem and the first i stages.
            Defaults to -1.
        with_cp (bool): Recompute blocks in the backward pass to save memory. Defaults to False.
        impl (str): What computes the scan: ``'auto'``, ``'torch'``, ``'mamba_ssm'`` or
            ``'reference'``, see :func:`vminet_mm.ops.selective_scan.choose_scan`. Defaults to
            ``'auto'``.
        init_cfg (dict | list[dict] | None): See :class:`.backbone.PeerBackbone`. Defaults to None.
    """

    arch_settings = {'s': dict(base_channels=64, depths=(2, 2, 4, 2))}

    def __init__(
        self,
        arch: str | dict = 's',
        in_channels: int = 3,
        out_indices: int | Sequence[int] = (3,),
        drop_path_rate: float = 0.0,
        norm_eval: bool | str = False,
        frozen_stages: int = -1,
        with_cp: bool = False,
        impl: str = 'auto',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        options = dict(frozen_stages=frozen_stages, norm_eval=norm_eval, init_cfg=init_cfg)
        super().__init__(arch, in_channels, out_indices, drop_path_rate, with_cp, impl, **options)
        check_count('base_channels of the arch', self.arch['base_channels'], SQUEEZE)

    def make_stem(self, in_channels: int) -> nn.Module:
        """Squares of 4 x 4 pixels. The identity keeps the authors' numbers of the layers."""
        channels = self.out_channels[0]
        return nn.Sequential(
            nn.Conv2d(in_channels, channels, 4, stride=4),
            nn.Identity(),
            LayerNorm2d(channels),
        )

    def make_block(self, stage: int, drop_path: float) -> nn.Module:
        """A block that scans, of the first two stages, or an inverted residual."""
        options = self.out_channels[stage], drop_path, self.with_cp
        if stage < NUM_SCANNING:
            return EVSSBlock(*options, self.impl)
        return InvertedResidual(*options)

    def make_downsample(self, stage: int) -> nn.Module:
        """What stands between a stage and the next one."""
        return PatchMerging(self.out_channels[stage])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map images (B, 3, H, W) to one map (B, C_i, ceil(H / s_i), ceil(W / s_i)) per output."""
        return super().forward(pad_to_multiple(x, 4))
