"""What Vim and LocalVim share: tokens of one size throughout, and layers that add, norm and mix."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn

from ..models.options import check_choice, check_count, parse_size
from ..models.recompute import recompute
from .backbone import PeerBackbone, drop_path_rates, pad_to_multiple

Size = tuple[int, int]


class PatchEmbed(nn.Module):
    """A convolution over patches; edges that the patch does not divide are padded with zeros.

    Args:
        in_channels (int): Channels of the image.
        channels (int): C of the tokens.
        patch_size (int): Edge of a patch, and the stride.
    """

    def __init__(self, in_channels: int, channels: int, patch_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, channels, patch_size, stride=patch_size)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, C, H / patch_size, W / patch_size), rounded up."""
        return self.proj(pad_to_multiple(x, self.proj.stride[0]))


class AddNormMix(nn.Module):
    """A layer of Mamba: add what the one before it has mixed, norm, and mix.

    Args:
        norm (nn.Module): Of tokens (B, L, C).
        mixer (nn.Module): Maps tokens (B, L, C), and the height and width of their map.
        drop_path (float): Probability to drop what the layer before has mixed.
        with_cp (bool): Recompute in the backward pass.
    """

    def __init__(self, norm: nn.Module, mixer: nn.Module, drop_path: float, with_cp: bool) -> None:
        super().__init__()
        self.mixer = mixer
        self.norm = norm
        self.drop_path = DropPath(drop_path)
        self.with_cp = with_cp

    def forward(self, mixed: Tensor, total: Tensor | None, size: Size) -> tuple[Tensor, Tensor]:
        """What this layer mixes, and the sum so far in float32 at least, both (B, L, C)."""
        total = add(mixed, total, self.drop_path)
        if self.with_cp and torch.is_grad_enabled():
            return recompute(self, self.mix, total, size), total
        return self.mix(total, size), total

    def mix(self, total: Tensor, size: Size) -> Tensor:
        """What the layer adds to the sum."""
        return self.mixer(self.norm(total.to(self.norm.weight.dtype)), size)


def add(mixed: Tensor, total: Tensor | None, drop_path: nn.Module) -> Tensor:
    """The sum over layers, in float32 at least as the authors have it (``residual_in_fp32``)."""
    mixed = mixed if total is None else drop_path(mixed)
    mixed = mixed.to(torch.promote_types(mixed.dtype, torch.float32))
    return mixed if total is None else total + mixed


def resize_positions(values: Tensor, before: Size, after: Size) -> Tensor:
    """Resize what a map of tokens holds, (..., H W, C), by bicubic interpolation."""
    if tuple(before) == tuple(after):
        return values
    field = values.reshape(-1, *before, values.shape[-1]).permute(0, 3, 1, 2)
    field = F.interpolate(field, size=tuple(after), mode='bicubic', align_corners=False)
    return field.flatten(2).transpose(1, 2).reshape(*values.shape[:-2], -1, values.shape[-1])


def resize_square(values: Tensor, after: Size) -> Tensor:
    """Resize what the tokens of a square image hold, (..., T, C), as checkpoints have it.

    Where T is no square the values are returned as they are, since their grid is not known.
    """
    edge = math.isqrt(values.shape[-2])
    return resize_positions(values, (edge, edge), after) if edge**2 == values.shape[-2] else values


def number_of_layers(arch: Any, known: Mapping[str, dict]) -> int:
    """Layers of an arch given by name or as a dict; 1 where it is neither, to be found out later.

    Raises:
        ValueError: If a dict has no whole numbers of layers and channels.
    """
    arch = known.get(arch) if isinstance(arch, str) else arch
    if not isinstance(arch, Mapping):
        return 1
    for name in ('num_layers', 'embed_dims'):
        check_count(f'{name} of the arch', arch.get(name))
    return int(arch['num_layers'])


class ColumnarPeer(PeerBackbone):
    """A backbone of layers :class:`AddNormMix` on the tokens of an image.

    Args:
        arch (str | dict): See :class:`.backbone.PeerBackbone`; with ``embed_dims`` and
            ``num_layers``.
        img_size (int | tuple[int, int]): Size in pixels, one number or (height, width), whose
            positions are learned. At any other size they are resized.
        patch_size (int): Edge of a patch in pixels.
        in_channels (int): Channels of the input image.
        out_type (str): One of :attr:`out_types`.
        out_indices (int | Sequence[int]): Layers whose outputs are returned as maps, from 0;
            negative ones count from the end.
        drop_path_rate (float): Stochastic depth of the last layer; it grows linearly from 0.
        with_cp (bool): Recompute layers in the backward pass to save memory.
        impl (str): What computes the scan, see :func:`vminet_mm.ops.selective_scan.choose_scan`.
        **options: The others of :class:`.backbone.PeerBackbone`.
    """

    out_types: tuple[str, ...]

    def __init__(
        self,
        arch: str | dict,
        img_size: int | tuple[int, int],
        patch_size: int,
        in_channels: int,
        out_type: str,
        out_indices: int | Sequence[int],
        drop_path_rate: float,
        with_cp: bool,
        impl: str,
        **options: Any,
    ) -> None:
        number = number_of_layers(arch, self.arch_settings)
        super().__init__(arch, out_indices, number, **options)
        check_choice('out_type', out_type, self.out_types)
        check_choice('with_cp', with_cp, (True, False))
        for name, value in (('in_channels', in_channels), ('patch_size', patch_size)):
            check_count(name, value)
        self.out_type, self.with_cp, self.impl = out_type, with_cp, impl
        self.embed_dims = channels = self.arch['embed_dims']
        self.out_channels = [channels] * number
        height, width = parse_size('img_size', img_size)
        self.grid = (-(-height // patch_size), -(-width // patch_size))
        self.patch_embed = PatchEmbed(in_channels, channels, patch_size)
        rates = [0.0, *drop_path_rates(drop_path_rate, number)]  # a layer drops the one before
        self.layers = nn.ModuleList(
            AddNormMix(self.make_norm(), self.make_mixer(i), rates[i], with_cp)
            for i in range(number)
        )
        self.drop_path = DropPath(drop_path_rate)

    def make_mixer(self, layer: int) -> nn.Module:
        """The mixer of a layer."""
        raise NotImplementedError

    def make_norm(self) -> nn.Module:
        """The norm of a layer, and of a classifier's sum."""
        return nn.RMSNorm(self.embed_dims, eps=1e-5)

    def before_layer(
        self, mixed: Tensor, total: Tensor | None, size: Size
    ) -> tuple[Tensor, Tensor | None]:
        """What happens to tokens (B, L, C) before each layer: nothing."""
        return mixed, total

    def run_layers(self, tokens: Tensor, size: Size) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Run tokens (B, L, C) through the layers.

        Args:
            tokens: Patches with their positions.
            size: Height and width of the map.

        Yields:
            tuple: The number of a layer, what it mixes, and the sum of all before it.
        """
        mixed, total = tokens, None
        for i, layer in enumerate(self.layers):
            mixed, total = layer(*self.before_layer(mixed, total, size), size)
            yield i, mixed, total

    def classify(self, mixed: Tensor, total: Tensor) -> Tensor:
        """The normed sum over all layers (B, L, C), which a classifier is given."""
        total = add(mixed, total, self.drop_path)
        return self.norm_f(total.to(self.norm_f.weight.dtype))

    def rescale_out_proj(self) -> None:
        """Start with smaller steps in deeper models, by 1 / sqrt(layers), as GPT-2 does."""
        for layer in self.layers:
            layer.mixer.out_proj.reset_parameters()
            layer.mixer.out_proj.weight.data.div_(math.sqrt(len(self.layers)))

    def freeze_stages(self) -> None:
        """Take the gradients of the frozen layers away, and of the positions with them."""
        super().freeze_stages()
        for name in ('pos_embed', 'cls_token'):
            if self.frozen_stages >= 0 and hasattr(self, name):
                getattr(self, name).requires_grad_(False)

    def stages_from_stem(self) -> list[nn.Module]:
        """The patch embedding and the layers."""
        return [self.patch_embed, *self.layers]

    def layers_to_explain(self) -> list[str]:
        """What the last layer mixes: behind it a class token alone has gradients."""
        return [f'layers.{len(self.layers) - 1}.norm']

    def block_of(self, name: str) -> int | None:
        """See :meth:`.backbone.PeerBackbone.get_layer_depth`."""
        return layer_of(name)


def layer_of(name: str) -> int | None:
    """The layer of a parameter, from 1; 0 for patches and positions, None behind the layers."""
    part, *rest = name.split('.')
    if part in ('patch_embed', 'pos_embed', 'cls_token'):
        return 0
    return int(rest[0]) + 1 if part == 'layers' else None
