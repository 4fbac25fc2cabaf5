"""The LVT backbone, from "Lite Vision Transformer with Enhanced Self-Attention" (Yang et al.,
CVPR 2022, arXiv 2112.10809).

No state space model, but the one transformer among the paper's small baselines. The printed 5.5 M
parameters are those of the classifier, whose head (:mod:`.lvt_head`) has 2.1 M of them; the
authors give 3.4 M for the backbone. In detectors and segmentors their code returns the maps of the
stages without any norm, and so does this.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn

from ..models.options import check_count
from .backbone import PeerBackbone, Recomputable, drop_path_rates, init_linear_layers
from .lvt_attention import (
    ConvolutionalSelfAttention,
    RecursiveAtrousAttention,
    init_convolution,
)


class LinearMlp(nn.Module):
    """Two linear layers with a GELU between them.

    Args:
        channels (int): C of input and output.
        ratio (int): Inner channels over C.
    """

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, ratio * channels)
        self.fc2 = nn.Linear(ratio * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., C) to the same shape."""
        return self.fc2(F.gelu(self.fc1(x)))


class ConvolutionalMlp(nn.Module):
    """Two linear layers with a depth-wise 3 x 3 convolution and a GELU between them.

    Args:
        channels (int): C of input and output.
        ratio (int): Inner channels over C.
    """

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        inner = ratio * channels
        self.fc1 = nn.Conv2d(channels, inner, 1)
        self.depconv = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.fc2 = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to the same shape."""
        x = self.depconv(self.fc1(x.permute(0, 3, 1, 2)))
        return self.fc2(F.gelu(x)).permute(0, 2, 3, 1)


class Block(Recomputable):
    """A transformer block on (B, H, W, C): x + attention(LN(x)), then x + MLP(LN(x)).

    Args:
        channels (int): C of input and output.
        attention (nn.Module): Maps (B, H, W, C) to the same shape.
        mlp (nn.Module): Maps (B, H, W, C) to the same shape.
        drop_path (float): Probability to drop a branch.
        with_cp (bool): Recompute in the backward pass.
    """

    def __init__(
        self, channels: int, attention: nn.Module, mlp: nn.Module, drop_path: float, with_cp: bool
    ) -> None:
        super().__init__(with_cp)
        self.norm1 = nn.LayerNorm(channels)
        self.attn = attention
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = mlp
        self.drop_path = DropPath(drop_path)

    def compute(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to the same shape."""
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class PatchEmbed(nn.Module):
    """A convolution whose patches overlap, and a layer norm.

    Args:
        in_channels (int): C of the input.
        channels (int): C' of the output.
        stride (int): Stride of the convolution, whose kernel has 2 * stride - 1 pixels.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        edge = 2 * stride - 1
        self.proj = nn.Conv2d(in_channels, channels, edge, stride=stride, padding=edge // 2)
        self.norm = nn.LayerNorm(channels)
        init_convolution(self.proj)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, H', W', C')."""
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


class LVT(PeerBackbone):
    """Lite Vision Transformer, a hierarchical backbone with output strides 4, 8, 16 and 32.

    The first stage has convolutional self-attention, the others recursive atrous self-attention.

    Args:
        arch (str | dict): ``'base'``, or a dict with ``channels``, ``depths``, ``num_heads``,
            ``mlp_ratios`` and ``reductions`` (four numbers each; the first reduction is not read).
            Defaults to ``'base'``.
        in_channels (int): Channels of the input image. Defaults to 3.
        out_indices (int | Sequence[int]): Stages whose outputs are returned, from 0; negative ones
            count from the end. Defaults to ``(3,)``.
        drop_path_rate (float): Stochastic depth of the last block; it grows linearly from 0 at the
            first. Defaults to 0.0.
        frozen_stages (int): -1 freezes nothing, 0 what embeds the image, i the first i stages.
            Defaults to -1.
        with_cp (bool): Recompute blocks in the backward pass to save memory. Defaults to False.
        init_cfg (dict | list[dict] | None): See :class:`.backbone.PeerBackbone`. Defaults to None.
    """

    arch_settings = {
        'base': dict(
            channels=(64, 64, 160, 256),
            depths=(2, 2, 2, 2),
            num_heads=(2, 2, 5, 8),
            mlp_ratios=(4, 8, 4, 4),
            reductions=(8, 4, 2, 1),
        )
    }

    def __init__(
        self,
        arch: str | dict = 'base',
        in_channels: int = 3,
        out_indices: int | Sequence[int] = (3,),
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(arch, out_indices, 4, frozen_stages, init_cfg=init_cfg)
        check_count('in_channels', in_channels)
        for channels, heads in zip(self.arch['channels'], self.arch['num_heads'], strict=True):
            if channels % heads:
                raise ValueError(f'channels of the arch: {heads} heads do not divide {channels}')
        self.out_channels = list(self.arch['channels'])
        depths = self.arch['depths']
        rates = drop_path_rates(drop_path_rate, sum(depths))
        self.stages = nn.ModuleList()
        for i, (channels, depth) in enumerate(zip(self.out_channels, depths, strict=True)):
            embed = PatchEmbed(in_channels, channels, stride=2 if i else 4)
            blocks = [self._block(i, next(rates), with_cp) for _ in range(depth)]
            self.stages.append(nn.Sequential(embed, nn.Sequential(*blocks)))
            in_channels = channels
        init_linear_layers(self)
        self.freeze_stages()

    def _block(self, stage: int, drop_path: float, with_cp: bool) -> Block:
        channels, heads, ratio, reduction = (
            self.arch[name][stage] for name in ('channels', 'num_heads', 'mlp_ratios', 'reductions')
        )
        if stage == 0:
            attention, mlp = ConvolutionalSelfAttention(channels, heads), LinearMlp(channels, ratio)
        else:
            attention = RecursiveAtrousAttention(channels, heads, reduction)
            mlp = ConvolutionalMlp(channels, ratio)
        return Block(channels, attention, mlp, drop_path, with_cp)

    def stages_from_stem(self) -> list[nn.Module]:
        """What embeds the image, and the stages; the first one holds it."""
        return [self.stages[0][0], *self.stages]

    def block_of(self, name: str) -> int | None:
        """See :meth:`.backbone.PeerBackbone.get_layer_depth`; an embedding is before its stage."""
        _, stage, part, *rest = name.split('.')
        before = sum(self.arch['depths'][: int(stage)])
        return before if part == '0' else before + int(rest[0]) + 1

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map images (B, 3, H, W) to one map (B, C_i, ceil(H / s_i), ceil(W / s_i)) per output."""
        outputs = []
        for i, stage in enumerate(self.stages):
            x = stage(x).permute(0, 3, 1, 2)
            if i in self.out_indices:
                outputs.append(x.contiguous())
        return tuple(outputs)
