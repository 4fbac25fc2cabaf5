"""What VMamba and EfficientVMamba share: four stages, and a norm for each map that is returned."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ..models.options import check_count
from ..models.simple_fpn import LayerNorm2d
from .backbone import PeerBackbone, drop_path_rates, init_linear_layers


class HierarchicalPeer(PeerBackbone):
    """A backbone of four stages with a layer norm for each returned map.

    Its parts are named as in VMamba's code: ``patch_embed``; ``layers.i`` with ``blocks`` and the
    ``downsample`` behind them; and ``outnorm{i}``, of which the last one takes the classifier's
    from a checkpoint.

    Args:
        arch (str | dict): See :class:`PeerBackbone`; with ``base_channels`` and ``depths``.
        in_channels (int): Channels of the input image.
        out_indices (int | Sequence[int]): See :class:`PeerBackbone`.
        drop_path_rate (float): Stochastic depth of the last block; it grows linearly from 0 at the
            first.
        with_cp (bool): Recompute blocks in the backward pass to save memory.
        impl (str): Of the scan, see :func:`vminet_mm.ops.selective_scan.choose_scan`.
        **options: The others of :class:`PeerBackbone`.
    """

    def __init__(
        self,
        arch: str | dict,
        in_channels: int,
        out_indices: int | Sequence[int],
        drop_path_rate: float,
        with_cp: bool,
        impl: str,
        **options: Any,
    ) -> None:
        super().__init__(arch, out_indices, 4, **options)
        check_count('in_channels', in_channels)
        depths = self.arch['depths']
        self.out_channels = [self.arch['base_channels'] * 2**i for i in range(len(depths))]
        rates = drop_path_rates(drop_path_rate, sum(depths))
        self.with_cp, self.impl = with_cp, impl
        self.patch_embed = self.make_stem(in_channels)
        self.layers = nn.ModuleList()
        for i, depth in enumerate(depths):
            blocks = [self.make_block(i, next(rates)) for _ in range(depth)]
            is_last = i == len(depths) - 1
            downsample = nn.Identity() if is_last else self.make_downsample(i)
            layer = dict(blocks=nn.Sequential(*blocks), downsample=downsample)
            self.layers.append(nn.ModuleDict(layer))
        for i in self.out_indices:
            self.add_module(f'outnorm{i}', LayerNorm2d(self.out_channels[i]))
        init_linear_layers(self)
        self.freeze_stages()

    def make_stem(self, in_channels: int) -> nn.Module:
        """What makes the first stage's input (B, C_0, H / 4, W / 4) of the image."""
        raise NotImplementedError

    def make_block(self, stage: int, drop_path: float) -> nn.Module:
        """A block of a stage."""
        raise NotImplementedError

    def make_downsample(self, stage: int) -> nn.Module:
        """What stands between a stage and the next one."""
        raise NotImplementedError

    def stages_from_stem(self) -> list[nn.Module]:
        """The stem and the stages, each with the down-sampling behind it."""
        return [self.patch_embed, *self.layers]

    def block_of(self, name: str) -> int | None:
        """See :meth:`.backbone.PeerBackbone.get_layer_depth`."""
        part, *rest = name.split('.')
        if part != 'layers':
            return 0 if part == 'patch_embed' else None
        stage, depths = int(rest[0]), self.arch['depths']
        if rest[1] == 'downsample':
            return sum(depths[: stage + 1])
        return sum(depths[:stage]) + int(rest[2]) + 1

    def layers_to_explain(self) -> list[str]:
        """The last block of each stage."""
        return [f'layers.{i}.blocks.{n - 1}' for i, n in enumerate(self.arch['depths'])]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map images (B, 3, H, W) to one map (B, C_i, ceil(H / s_i), ceil(W / s_i)) per output."""
        x = self.patch_embed(x)
        outputs = []
        for i, layer in enumerate(self.layers):
            x = layer['blocks'](x)
            if i in self.out_indices:
                outputs.append(getattr(self, f'outnorm{i}')(x))
            x = layer['downsample'](x)
        return tuple(outputs)
