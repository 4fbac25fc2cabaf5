"""The LocalVim backbone, from "LocalMamba: Visual State Space Model with Windowed Selective Scan"
(arXiv 2403.09338)."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops.selective_scan import scan_order
from .columnar import ColumnarPeer, Size, resize_positions, resize_square
from .mamba import MambaMixer

# of each layer the four orders that the authors' search chose, by the names in their code
SEARCHED = (
    'h v_flip w7 w7_flip', 'h_flip w2_flip w7 w7_flip', 'h h_flip v w7', 'h h_flip v v_flip',
    'h h_flip v v_flip', 'h h_flip v v_flip', 'h_flip v v_flip w7', 'h_flip v v_flip w2_flip',
    'h h_flip v v_flip', 'h h_flip v v_flip', 'h v v_flip w2', 'h v v_flip w2_flip',
    'h h_flip v_flip w7', 'h_flip v v_flip w2', 'h h_flip v v_flip', 'h v w2 w2_flip',
    'v v_flip w2 w7', 'h h_flip v w2', 'h h_flip w2_flip w7', 'v v_flip w2 w2_flip',
)  # fmt: skip
ORDERS = {'h': 'row', 'v': 'column', 'w2': 'window2', 'w7': 'window7'}
ROTATION_GRID = 14  # positions of an image, of whatever size, go from 0 to 14 along an edge


class LocalMixer(MambaMixer):
    """Scans in several orders, each with parameters of its own, gated by channel and added up.

    Args:
        channels (int): C of the tokens.
        orders (Sequence[str]): See :func:`vminet_mm.ops.selective_scan.scan_order`.
        impl (str): Of the scan.
    """

    def __init__(self, channels: int, orders: Sequence[str], impl: str) -> None:
        super().__init__(channels, impl=impl)
        self.orders = tuple(orders)
        for i in range(len(orders)):
            self.add_convolution(f'_{i}')
            self.add_scan(f'_{i}', f'A_log_{i}')
        self.attn = ChannelGate(self.inner)

    def forward(self, x: Tensor, size: Size) -> Tensor:
        """Map tokens (B, L, C) to the same shape."""
        both = self.in_proj(x).transpose(1, 2)
        total = 0
        for i, name in enumerate(self.orders):
            order = scan_order(name, size)
            u, gate = order.take(both).chunk(2, 1)
            u = self.convolve(u, f'_{i}')
            parameters = self.scan_parameters(u.transpose(1, 2), f'_{i}')
            y = self.scan(u, parameters, f'_{i}', f'A_log_{i}') * F.silu(gate)
            total = total + self.attn(order.put(y).transpose(1, 2))
        return self.out_proj(total)


class ChannelGate(nn.Module):
    """Multiply channels with what two linear layers make of their means (``BiAttn``).

    Args:
        channels (int): D of the tokens; the layers meet in an eighth of them.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.global_reduce = nn.Linear(channels, channels // 8)
        self.channel_select = nn.Linear(channels // 8, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, L, D) to the same shape."""
        mean = F.gelu(self.global_reduce(self.norm(x).mean(1, keepdim=True)))
        return x * self.channel_select(mean).sigmoid()


class Rotation(nn.Module):
    """Rotary position embedding on a grid: pairs of channels turn, half by row, half by column.

    Args:
        channels (int): C of the tokens.
        grid (tuple[int, int]): Height and width of the map of tokens.
    """

    def __init__(self, channels: int, grid: Size) -> None:
        super().__init__()
        self.grid = grid
        speeds = 10000 ** -(torch.arange(0, channels // 2, 2) / (channels // 2))
        rows, columns = (
            (torch.arange(edge) / edge * ROTATION_GRID)[:, None] * speeds for edge in grid
        )
        angles = torch.cat(
            [rows[:, None].expand(-1, grid[1], -1), columns[None].expand(grid[0], -1, -1)], -1
        )
        angles = angles.flatten(0, 1).repeat_interleave(2, -1)
        self.register_buffer('freqs_cos', angles.cos())
        self.register_buffer('freqs_sin', angles.sin())

    def forward(self, x: Tensor, size: Size) -> Tensor:
        """Turn tokens (B, L, C); for another size than the grid's the table is resized."""
        cos, sin = (
            resize_positions(table, self.grid, size).to(x.dtype)
            for table in (self.freqs_cos, self.freqs_sin)
        )
        first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
        return x * cos + torch.stack([-second, first], -1).flatten(-2) * sin


class LocalVim(ColumnarPeer):
    """LocalVim, a columnar backbone of stride 16: Vim with four scans, some of them in windows.

    Parts, names and initialization are those of the authors' code for ``local_vim_tiny`` and
    ``local_vim_small``; the latter is defined there twice, the second time with the orders of
    ``local_vim_tiny_wo_search``. Taken are the searched ones, which the paper describes;
    ``directions`` can be others. There is no class token: classifiers have the mean of all tokens.
    Dense models take what a layer mixes, with a norm of their own: layers 4, 9, 14 and 19 for
    segmentation, the last one and ViTDet's pyramid for detection. As in the authors' configs, and
    not in the paper, the layers of dense models have layer norms, which take their weights from a
    classifier's RMS norms.

    Args:
        arch (str | dict): ``'t'``, ``'s'``, or a dict with ``embed_dims`` and ``num_layers``.
            Defaults to ``'t'``.
        img_size (int | tuple[int, int]): Size in pixels, one number or (height, width), whose
            positions are learned. At any other size they are resized. Defaults to 224.
        patch_size (int): Edge of a patch in pixels. Defaults to 16.
        in_channels (int): Channels of the input image. Defaults to 3.
        directions (Sequence[str] | None): Of each layer the orders of its scans with a space
            between them, each ``'h'``, ``'v'``, ``'w2'`` or ``'w7'``, also with ``'_flip'`` behind
            it. By default those of the authors' search, from the first on again in deeper models.
        out_type (str): ``'avg_featmap'`` returns one mean of all tokens (B, C) for classifiers,
            ``'featmap'`` one map (B, C, H / 16, W / 16) for each of ``out_indices``. Defaults to
            ``'featmap'``.
        out_indices (int | Sequence[int]): Layers whose maps are returned, from 0; negative ones
            count from the end. Defaults to -1.
        drop_path_rate (float): Stochastic depth of the last layer; it grows linearly from 0.
            Defaults to 0.0.
        frozen_stages (int): -1 freezes nothing, 0 the patch embedding and the positions, i these
            and the first i layers. Defaults to -1.
        with_cp (bool): Recompute layers in the backward pass to save memory. Defaults to False.
        impl (str): What computes the scan: ``'auto'``, ``'torch'``, ``'mamba_ssm'`` or
            ``'reference'``, see :func:`vminet_mm.ops.selective_scan.choose_scan`. Defaults to
            ``'auto'``.
        init_cfg (dict | list[dict] | None): See :class:`.backbone.PeerBackbone`. Defaults to None.

    Raises:
        ValueError: If there are not as many ``directions`` as layers, or one is unknown.
    """

    arch_settings = {
        't': dict(embed_dims=192, num_layers=20),
        's': dict(embed_dims=384, num_layers=20),
    }
    out_types = ('avg_featmap', 'featmap')

    def __init__(
        self,
        arch: str | dict = 't',
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        in_channels: int = 3,
        directions: Sequence[str] | None = None,
        out_type: str = 'featmap',
        out_indices: int | Sequence[int] = -1,
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        with_cp: bool = False,
        impl: str = 'auto',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        self._given_directions = directions
        super().__init__(
            arch, img_size, patch_size, in_channels, out_type, out_indices, drop_path_rate, with_cp,
            impl, frozen_stages=frozen_stages, init_cfg=init_cfg,
        )  # fmt: skip
        if self.embed_dims % 4:  # sines and cosines of rows and of columns
            raise ValueError(
                f'embed_dims of the arch must be divisible by 4, not {self.embed_dims}'
            )
        if directions is not None and len(directions) != len(self.layers):
            raise ValueError(f'directions are {len(directions)} for {len(self.layers)} layers')
        self.pos_embed = nn.Parameter(torch.empty(1, math.prod(self.grid), self.embed_dims))
        self.rope = Rotation(self.embed_dims, self.grid)
        if out_type == 'avg_featmap':
            self.norm_f = self.make_norm()
        else:
            for k in range(len(self.out_indices)):
                self.add_module(f'outnorm_{k}', nn.LayerNorm(self.embed_dims))
        self.reset_parameters()
        self.freeze_stages()

    def make_mixer(self, layer: int) -> nn.Module:
        """The mixer of a layer, with the scans of its directions."""
        directions = self._given_directions or SEARCHED
        return LocalMixer(self.embed_dims, _orders(directions[layer % len(directions)]), self.impl)

    def make_norm(self) -> nn.Module:
        """The norm of a layer: of dense models a layer norm."""
        return nn.LayerNorm(self.embed_dims) if self.out_type == 'featmap' else super().make_norm()

    def reset_parameters(self) -> None:
        """Initialize as the authors do: all linear layers alike, also those of step sizes."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.rescale_out_proj()

    def before_layer(
        self, mixed: Tensor, total: Tensor | None, size: Size
    ) -> tuple[Tensor, Tensor | None]:
        """Turn the tokens (B, L, C), and again before each layer (``if_rope_residual``)."""
        return self.rope(mixed, size), None if total is None else self.rope(total, size)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map images (B, 3, H, W) to the mean of tokens (B, C), or to maps of stride 16."""
        x = self.patch_embed(x)
        size = tuple(x.shape[-2:])
        x = x.flatten(2).transpose(1, 2) + resize_positions(self.pos_embed, self.grid, size)
        maps = []
        for i, mixed, total in self.run_layers(x, size):  # noqa: B007
            if self.out_type == 'featmap' and i in self.out_indices:
                y = getattr(self, f'outnorm_{len(maps)}')(mixed)
                maps.append(y.transpose(1, 2).unflatten(2, size))
        return tuple(maps) if maps else (self.classify(mixed, total).mean(1),)

    def resize(self, name: str, value: Tensor) -> Tensor:
        """Bring the positions of a checkpoint, of a square image, to this model's size."""
        if name not in ('pos_embed', 'rope.freqs_cos', 'rope.freqs_sin'):
            return value
        return resize_square(value, self.grid)


def _orders(directions: str) -> list[str]:
    """Our names of the orders of a layer."""
    names = []
    for direction in directions.split():
        start = direction.removesuffix('_flip')
        if start not in ORDERS:
            raise ValueError(
                f'unknown direction {direction!r}; choose of {", ".join(ORDERS)}, also with _flip'
            )
        names.append(ORDERS[start] + ('' if start == direction else '_reversed'))
    if not names:
        raise ValueError('directions must name at least one direction for each layer')
    return names
