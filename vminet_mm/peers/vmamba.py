"""The VMamba backbone, from "VMamba: Visual State Space Model" (arXiv 2401.10166v3, NeurIPS 2024).

Of its several generations this is the one that papers list as VMamba-T with 30 M parameters and
4.9 G: ``VMamba-T[s1l8]`` of the authors' results, released as ``vssm1_tiny_0230s``. The first
arXiv version's VMamba-T (22 M, 82.2 top-1) is another model: a state of 16, a gate, and no MLP.
"""

from collections.abc import Sequence

from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn

from ..models.simple_fpn import LayerNorm2d
from .backbone import Linear2d, Recomputable
from .hierarchical import HierarchicalPeer
from .ss2d import SS2D

MLP_RATIO = 4
ORDERS = ('row', 'column', 'row_reversed', 'column_reversed')


class VSSBlock(Recomputable):
    """A visual state space block: x + SS2D(LN(x)), then x + MLP(LN(x)).

    Args:
        channels (int): C of the input.
        state_size (int): N of the scan's state.
        scan_ratio (float): Channels of the scan by those of the input.
        drop_path (float): Probability to drop a branch.
        with_cp (bool): Recompute in the backward pass.
        impl (str): Of the scan.
    """

    def __init__(
        self,
        channels: int,
        state_size: int,
        scan_ratio: float,
        drop_path: float,
        with_cp: bool,
        impl: str,
    ) -> None:
        super().__init__(with_cp)
        self.norm = LayerNorm2d(channels)
        self.op = SS2D(
            channels,
            int(scan_ratio * channels),
            state_size,
            ORDERS,
            multiple=1,
            gated=False,
            conv_bias=False,
            impl=impl,
        )
        self.drop_path = DropPath(drop_path)
        self.norm2 = LayerNorm2d(channels)
        self.mlp = Mlp(channels)

    def compute(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        x = x + self.drop_path(self.op(self.norm(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class Mlp(nn.Module):
    """Two linear layers over the channels with a GELU between them.

    Args:
        channels (int): C of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = Linear2d(channels, MLP_RATIO * channels)
        self.act = nn.GELU()
        self.fc2 = Linear2d(MLP_RATIO * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return self.fc2(self.act(self.fc1(x)))


class VMamba(HierarchicalPeer):
    """VMamba, a hierarchical backbone with output strides 4, 8, 16 and 32.

    The parts, their names and their initialization are those of the authors' code with
    ``forward_type='v05_noz'``, ``patchembed_version='v2'``, ``downsample_version='v3'`` and
    ``norm_layer='ln2d'``. Each returned map has a layer norm of its own, as there in dense tasks;
    the last one takes the classifier's from a checkpoint.

    Args:
        arch (str | dict): ``'t'``, or a dict with ``base_channels``, ``depths`` (four numbers),
            ``state_size`` and ``scan_ratio``. Defaults to ``'t'``.
        in_channels (int): Channels of the input image. Defaults to 3.
        out_indices (int | Sequence[int]): Stages whose outputs are returned, from 0; negative ones
            count from the end. Defaults to ``(3,)``.
        drop_path_rate (float): Stochastic depth of the last block; it grows linearly from 0 at the
            first. Defaults to 0.0.
        frozen_stages (int): -1 freezes nothing, 0 the stem, i the stem and the first i stages.
            Defaults to -1.
        with_cp (bool): Recompute blocks in the backward pass to save memory. Defaults to False.
        impl (str): What computes the scan: ``'auto'``, ``'torch'``, ``'mamba_ssm'`` or
            ``'reference'``, see :func:`vminet_mm.ops.selective_scan.choose_scan`. Defaults to
            ``'auto'``.
        init_cfg (dict | list[dict] | None): See :class:`.backbone.PeerBackbone`. Defaults to None.
    """

    arch_settings = {
        't': dict(base_channels=96, depths=(2, 2, 8, 2), state_size=1, scan_ratio=1.0),
    }

    def __init__(
        self,
        arch: str | dict = 't',
        in_channels: int = 3,
        out_indices: int | Sequence[int] = (3,),
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        with_cp: bool = False,
        impl: str = 'auto',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        options = dict(frozen_stages=frozen_stages, init_cfg=init_cfg)
        super().__init__(arch, in_channels, out_indices, drop_path_rate, with_cp, impl, **options)

    def make_stem(self, in_channels: int) -> nn.Module:
        """Two convolutions of stride 2. Identities keep the authors' numbers of the layers."""
        channels = self.out_channels[0]
        return nn.Sequential(
            nn.Conv2d(in_channels, channels // 2, 3, stride=2, padding=1),
            nn.Identity(),
            LayerNorm2d(channels // 2),
            nn.Identity(),
            nn.GELU(),
            nn.Conv2d(channels // 2, channels, 3, stride=2, padding=1),
            nn.Identity(),
            LayerNorm2d(channels),
        )

    def make_block(self, stage: int, drop_path: float) -> nn.Module:
        """A block of a stage."""
        options = self.arch['state_size'], self.arch['scan_ratio']
        return VSSBlock(self.out_channels[stage], *options, drop_path, self.with_cp, self.impl)

    def make_downsample(self, stage: int) -> nn.Module:
        """A convolution of stride 2. Identities keep the authors' numbers of the layers."""
        channels, wider = self.out_channels[stage : stage + 2]
        return nn.Sequential(
            nn.Identity(),
            nn.Conv2d(channels, wider, 3, stride=2, padding=1),
            nn.Identity(),
            LayerNorm2d(wider),
        )
