"""The Vim backbone, from "Vision Mamba: Efficient Visual Representation Learning with Bidirectional
State Space Model" (arXiv 2401.09417v3, ICML 2024)."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .columnar import ColumnarPeer, Size, add, resize_positions, resize_square
from .mamba import MambaMixer


class BidirectionalMixer(MambaMixer):
    """Scans forward and backward, each with parameters of its own (``bimamba_type='v2'``).

    The mean of both is gated. The authors gate each, which is the same. Their code spreads the bias
    of the forward scan's step size, as Mamba does, and starts that of the backward scan at 0: of
    the two linear layers, only the first is marked as one that is not to be initialized again.

    Args:
        channels (int): C of the tokens.
        impl (str): Of the scan.
    """

    def __init__(self, channels: int, impl: str) -> None:
        super().__init__(channels, impl=impl)
        for ending, matrix in (('', 'A_log'), ('_b', 'A_b_log')):
            self.add_convolution(ending)
            self.add_scan(ending, matrix)
        nn.init.zeros_(self.dt_proj_b.bias)

    def forward(self, x: Tensor, size: Size) -> Tensor:
        """Map tokens (B, L, C) to the same shape."""
        x, gate = self.in_proj(x).chunk(2, -1)
        x = x.transpose(1, 2)
        y = self._scan(x, '', 'A_log') + self._scan(x.flip(-1), '_b', 'A_b_log').flip(-1)
        return self.out_proj(y.transpose(1, 2) * F.silu(gate) / 2)

    def _scan(self, x: Tensor, ending: str, matrix: str) -> Tensor:
        x = self.convolve(x, ending)
        return self.scan(x, self.scan_parameters(x.transpose(1, 2), ending), ending, matrix)


class Vim(ColumnarPeer):
    """Vim, a columnar backbone of stride 16: all maps have the size and channels of the tokens.

    Parts, names and initialization are those of the authors' code for
    ``vim_tiny_patch16_224_bimambav2_final_pool_mean_abs_pos_embed_with_midclstok_div2``, where
    the class token stands in the middle of the patches. A classifier has this token. Dense models
    have none, as theirs: for detection they take what all layers add up to (``add=True``) and make
    ViTDet's pyramid of it, :class:`vminet_mm.models.SimpleFeaturePyramid` with the factors
    (4, 2, 1, 0.5). For segmentation they take what layers 5, 11, 17 and 23 mix, without the sum,
    and make the pyramid of BEiT, in mmseg ``Feature2Pyramid`` with the same factors.

    Args:
        arch (str | dict): ``'ti'``, ``'s'``, or a dict with ``embed_dims`` and ``num_layers``.
            Defaults to ``'ti'``.
        img_size (int | tuple[int, int]): Size in pixels, one number or (height, width), whose
            positions are learned. At any other size they are resized. Defaults to 224.
        patch_size (int): Edge of a patch in pixels. Defaults to 16.
        in_channels (int): Channels of the input image. Defaults to 3.
        out_type (str): ``'cls_token'`` returns one (B, C) for classifiers, ``'featmap'`` one map
            (B, C, H / 16, W / 16) for each of ``out_indices``. Defaults to ``'featmap'``.
        out_indices (int | Sequence[int]): Layers whose maps are returned, from 0; negative ones
            count from the end. Defaults to -1.
        add (bool): Maps are the sum over all layers so far, as the next layer is given it (under
            ``drop_path_rate`` without what is dropped; the last map has all), not what one layer
            adds to it. Defaults to False.
        drop_path_rate (float): Stochastic depth of the last layer; it grows linearly from 0.
            Defaults to 0.0.
        frozen_stages (int): -1 freezes nothing, 0 the patch embedding and the positions, i these
            and the first i layers. Defaults to -1.
        with_cp (bool): Recompute layers in the backward pass to save memory. Defaults to False.
        impl (str): What computes the scan: ``'auto'``, ``'torch'``, ``'mamba_ssm'`` or
            ``'reference'``, see :func:`vminet_mm.ops.selective_scan.choose_scan`. Defaults to
            ``'auto'``.
        init_cfg (dict | list[dict] | None): See :class:`.backbone.PeerBackbone`. Defaults to None.
    """

    arch_settings = {
        'ti': dict(embed_dims=192, num_layers=24),
        's': dict(embed_dims=384, num_layers=24),
    }
    out_types = ('cls_token', 'featmap')
    class_token_in_middle = True

    def __init__(
        self,
        arch: str | dict = 'ti',
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        in_channels: int = 3,
        out_type: str = 'featmap',
        out_indices: int | Sequence[int] = -1,
        add: bool = False,
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        with_cp: bool = False,
        impl: str = 'auto',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(
            arch, img_size, patch_size, in_channels, out_type, out_indices, drop_path_rate, with_cp,
            impl, frozen_stages=frozen_stages, init_cfg=init_cfg,
        )  # fmt: skip
        self.add = add
        tokens = math.prod(self.grid)
        if out_type == 'cls_token':
            tokens += 1
            self.cls_token = nn.Parameter(torch.empty(1, 1, self.embed_dims))
            self.norm_f = self.make_norm()
        self.pos_embed = nn.Parameter(torch.empty(1, tokens, self.embed_dims))
        self.reset_parameters()
        self.freeze_stages()

    def make_mixer(self, layer: int) -> nn.Module:
        """The mixer of a layer; all are alike."""
        return BidirectionalMixer(self.embed_dims, self.impl)

    def reset_parameters(self) -> None:
        """Initialize as the authors do; what is not named here is torch's and Mamba's default."""
        conv = self.patch_embed.proj
        # LeCun's as in timm 0.4.12, which they pin: it makes up for a cut at 2 std, and cuts at 2
        std = conv.weight[0].numel() ** -0.5 / 0.87962566
        nn.init.trunc_normal_(conv.weight, std=std)
        nn.init.zeros_(conv.bias)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        if self.out_type == 'cls_token':
            nn.init.trunc_normal_(self.cls_token, std=0.02)
        self.rescale_out_proj()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map images (B, 3, H, W) to the class token (B, C), or to maps of stride 16."""
        x = self.patch_embed(x)
        size = tuple(x.shape[-2:])
        maps = []
        for i, mixed, total in self.run_layers(self._with_positions(x, size), size):
            if self.add and i - 1 in self.out_indices:  # as this layer has it, under drop path
                maps.append(total)
            if not self.add and i in self.out_indices:
                maps.append(mixed)
        if self.out_type == 'cls_token':
            return (self.classify(mixed, total)[:, math.prod(size) // 2],)
        if self.add and i in self.out_indices:
            maps.append(add(mixed, total, nn.Identity()))
        return tuple(y.transpose(1, 2).unflatten(2, size) for y in maps)

    def _with_positions(self, x: Tensor, size: Size) -> Tensor:
        """The tokens (B, L, C) of a map of patches (B, C, H, W), the class token in the middle."""
        x = x.flatten(2).transpose(1, 2)
        if self.out_type == 'featmap':
            return x + resize_positions(self.pos_embed, self.grid, size)
        middle = x.shape[1] // 2
        token = self.cls_token.expand(len(x), -1, -1)
        x = torch.cat([x[:, :middle], token, x[:, middle:]], 1)
        patches, own = _without_class(self.pos_embed)
        patches = resize_positions(patches, self.grid, size)
        return x + torch.cat([patches[:, :middle], own, patches[:, middle:]], 1)

    def resize(self, name: str, value: Tensor) -> Tensor:
        """Bring the positions of a checkpoint to this model's size and tokens.

        Those of a classifier, square and with a class token, fit a dense model, which has no use
        for the middle one.
        """
        if name != 'pos_embed':
            return value
        tokens = value.shape[1]
        # of this model's own size that may be a square number of tokens, too
        has_class = tokens == math.prod(self.grid) + 1 or math.isqrt(tokens) ** 2 != tokens
        own = value[:, :0]
        if has_class:
            value, own = _without_class(value)
        value = resize_square(value, self.grid)
        middle = value.shape[1] // 2
        own = own if self.out_type == 'cls_token' else own[:, :0]
        return torch.cat([value[:, :middle], own, value[:, middle:]], 1)


def _without_class(positions: Tensor) -> tuple[Tensor, Tensor]:
    """Positions of the patches, and that of the class token in their middle."""
    middle = (positions.shape[1] - 1) // 2
    patches = torch.cat([positions[:, :middle], positions[:, middle + 1 :]], 1)
    return patches, positions[:, middle : middle + 1]
