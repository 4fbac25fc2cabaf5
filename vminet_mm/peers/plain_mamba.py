"""The PlainMamba backbone, from "PlainMamba: Improving Non-Hierarchical Mamba in Visual
Recognition" (arXiv 2403.17695, BMVC 2024)."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn

from ..models.options import check_count, parse_size
from ..ops.selective_scan import scan_order, scan_steps
from .backbone import PeerBackbone, Recomputable, drop_path_rates, pad_to_multiple
from .columnar import Size, layer_of, number_of_layers, resize_positions, resize_square
from .mamba import MambaMixer

ORDERS = ('zigzag_row', 'zigzag_row_reversed', 'zigzag_column', 'zigzag_column_reversed')
STEPS = 5  # from one token to the next: none, right, left, up, down
STEM_CHANNELS = 64


class PlainMixer(MambaMixer):
    """Scans in four orders that never jump, all with the same parameters.

    As in the authors' code, and not in their paper:

    - An order changes what is scanned and not what it is scanned with: the t-th token of the order
      goes with step size, B and C of token t of the rows.
    - The bias of the step size is added twice, by the linear layer and by the scan. Released
      weights were trained so.

    Args:
        channels (int): C of the tokens.
        impl (str): Of the scan.
    """

    def __init__(self, channels: int, impl: str) -> None:
        super().__init__(channels, bias=True, impl=impl)
        self.conv2d = nn.Conv2d(self.inner, self.inner, 7, padding=3, groups=self.inner)
        self.add_scan('', 'A_log')
        self.direction_Bs = nn.Parameter(torch.empty(STEPS, self.sizes[1]))
        nn.init.trunc_normal_(self.direction_Bs, std=0.02)

    def forward(self, x: Tensor, size: Size) -> Tensor:
        """Map tokens (B, L, C) to the same shape."""
        x, gate = self.in_proj(x).chunk(2, -1)
        x = F.silu(self.conv2d(x.transpose(1, 2).unflatten(2, size))).flatten(2)
        step, B, C = self.scan_parameters(x.transpose(1, 2), '')
        step = step + self.dt_proj.bias[:, None]  # the scan adds it again
        y = 0
        for name in ORDERS:
            order = scan_order(name, size)
            own = self.direction_Bs[scan_steps(name, size).beside(x)].t()
            found = self.scan(order.take(x), (step, B + own.to(B.dtype), C), '', 'A_log')
            y = y + order.put(found)
        return self.out_proj(y.transpose(1, 2) * F.silu(gate))


class PlainMambaLayer(Recomputable):
    """x + mixer(norm(x)), and in some layers a depth-wise convolution behind it.

    Args:
        channels (int): C of the tokens.
        with_convolution (bool): Have that convolution.
        drop_path (float): Probability to drop the mixer.
        with_cp (bool): Recompute in the backward pass.
        impl (str): Of the scan.
    """

    def __init__(
        self, channels: int, with_convolution: bool, drop_path: float, with_cp: bool, impl: str
    ) -> None:
        super().__init__(with_cp)
        self.norm = nn.LayerNorm(channels)
        self.mamba = PlainMixer(channels, impl)
        self.drop_path = DropPath(drop_path)
        if with_convolution:
            conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
            self.dw = nn.Sequential(conv, nn.BatchNorm2d(channels), nn.GELU())

    def compute(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        size = tuple(x.shape[-2:])
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        mixed = self.mamba(tokens, size).transpose(1, 2).unflatten(2, size)
        x = x + self.drop_path(mixed)
        return self.dw(x) if hasattr(self, 'dw') else x


class ConvPatchEmbed(nn.Module):
    """Convolutions at half the size of the image, then patches.

    Args:
        in_channels (int): Channels of the image.
        channels (int): C of the tokens.
        number (int): Of convolutions behind the first one.
        patch_size (int): Edge of a patch in pixels, an even number.
    """

    def __init__(self, in_channels: int, channels: int, number: int, patch_size: int) -> None:
        super().__init__()
        self.stem = _conv_norm(in_channels, 7, stride=2)
        layers = [layer for _ in range(number) for layer in _conv_norm(STEM_CHANNELS, 3)]
        self.convs = nn.Sequential(*layers)
        edge = patch_size // 2
        self.projection = nn.Conv2d(STEM_CHANNELS, channels, edge, stride=edge)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, C, H / patch_size, W / patch_size), rounded up."""
        x = self.convs(self.stem(x))
        return self.projection(pad_to_multiple(x, self.projection.stride[0]))


def _conv_norm(in_channels: int, kernel_size: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(
        in_channels, STEM_CHANNELS, kernel_size, stride, padding=kernel_size // 2, bias=False
    )
    return nn.Sequential(conv, nn.BatchNorm2d(STEM_CHANNELS), nn.ReLU())


class PlainMamba(PeerBackbone):
    """PlainMamba, a columnar backbone of stride 16: all maps have the size of the tokens.

    Parts and names are those of the authors' code. Classifiers average the last map. Segmentors
    take layers 5, 11, 17 and 23 as they are, without a pyramid. For detection the authors put their
    backbone into ViT-Adapter, which is not here; a simple pyramid of the last map does without.

    Args:
        arch (str | dict): ``'l1'``, ``'l2'``, or a dict with ``embed_dims``, ``num_layers``,
            ``num_convs`` (convolutions behind the first one) and ``conv_layers`` (numbers of the
            layers with a depth-wise convolution). Defaults to ``'l1'``.
        img_size (int | tuple[int, int]): Size in pixels, one number or (height, width), whose
            positions are learned. At any other size they are resized. Defaults to 224.
        patch_size (int): Edge of a patch in pixels, an even number. Defaults to 16.
        in_channels (int): Channels of the input image. Defaults to 3.
        out_indices (int | Sequence[int]): Layers whose maps are returned, from 0; negative ones
            count from the end. Each has a norm. Defaults to -1.
        drop_path_rate (float): Stochastic depth of the last layer; it grows linearly from 0.
            Defaults to 0.0.
        frozen_stages (int): -1 freezes nothing, 0 the patch embedding and the positions, i these
            and the first i layers. Defaults to -1.
        norm_eval (bool | str): Keep batch norms in evaluation mode while training. ``'auto'`` does
            so where the backbone starts from a checkpoint. Defaults to False.
        with_cp (bool): Recompute layers in the backward pass to save memory. Defaults to False.
        impl (str): What computes the scan: ``'auto'``, ``'torch'``, ``'mamba_ssm'`` or
            ``'reference'``, see :func:`vminet_mm.ops.selective_scan.choose_scan`. Defaults to
            ``'auto'``.
        init_cfg (dict | list[dict] | None): See :class:`.backbone.PeerBackbone`. By default linear
            layers, also those of step sizes, start as the authors' classifier lets them.

    Raises:
        ValueError: If an option is out of range.
    """

    arch_settings = {
        'l1': dict(embed_dims=192, num_layers=24, num_convs=1, conv_layers=(0,)),
        'l2': dict(embed_dims=384, num_layers=24, num_convs=2, conv_layers=()),
    }

    def __init__(
        self,
        arch: str | dict = 'l1',
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        in_channels: int = 3,
        out_indices: int | Sequence[int] = -1,
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        norm_eval: bool | str = False,
        with_cp: bool = False,
        impl: str = 'auto',
        init_cfg: dict | list[dict] | None = dict(type='TruncNormal', layer='Linear', std=0.02),
    ) -> None:
        number = number_of_layers(arch, self.arch_settings)
        super().__init__(arch, out_indices, number, frozen_stages, norm_eval, init_cfg)
        unknown = [i for i in self.arch['conv_layers'] if i >= number]
        if unknown:
            raise ValueError(f'conv_layers of the arch must be below {number}, not {unknown}')
        check_count('in_channels', in_channels)
        check_count('patch_size', patch_size, 2)
        if patch_size % 2:
            raise ValueError(f'patch_size must be even, not {patch_size}')
        self.embed_dims = channels = self.arch['embed_dims']
        self.out_channels = [channels] * number
        self.grid = tuple(-(-edge // patch_size) for edge in parse_size('img_size', img_size))
        self.patch_embed = ConvPatchEmbed(in_channels, channels, self.arch['num_convs'], patch_size)
        self.pos_embed = nn.Parameter(torch.empty(1, math.prod(self.grid), channels))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        rates = drop_path_rates(drop_path_rate, number)
        self.layers = nn.ModuleList(
            PlainMambaLayer(channels, i in self.arch['conv_layers'], rate, with_cp, impl)
            for i, rate in enumerate(rates)
        )
        for i in self.out_indices:
            self.add_module(self._norm_name(i), nn.LayerNorm(channels, eps=1e-6))
        self.freeze_stages()

    def stages_from_stem(self) -> list[nn.Module]:
        """The patch embedding and the layers."""
        return [self.patch_embed, *self.layers]

    def freeze_stages(self) -> None:
        """Take the gradients of the frozen layers away, and of the positions with them."""
        super().freeze_stages()
        if self.frozen_stages >= 0:
            self.pos_embed.requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map images (B, 3, H, W) to one map (B, C, H / 16, W / 16) for each output."""
        x = self.patch_embed(x)
        positions = resize_positions(self.pos_embed, self.grid, tuple(x.shape[-2:]))
        x = x + positions.transpose(1, 2).unflatten(2, x.shape[-2:])
        maps = []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i in self.out_indices:
                norm = getattr(self, self._norm_name(i))
                maps.append(norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        return tuple(maps)

    def resize(self, name: str, value: Tensor) -> Tensor:
        """Bring the positions of a checkpoint, of a square image, to this model's size."""
        return resize_square(value, self.grid) if name == 'pos_embed' else value

    def layers_to_explain(self) -> list[str]:
        """The last layer."""
        return [f'layers.{len(self.layers) - 1}']

    def block_of(self, name: str) -> int | None:
        """See :meth:`.backbone.PeerBackbone.get_layer_depth`."""
        return layer_of(name)

    def _norm_name(self, layer: int) -> str:
        return 'ln1' if layer == len(self.layers) - 1 else f'norm_layer{layer}'
