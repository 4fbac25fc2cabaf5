"""The two attentions of LVT (arXiv 2112.10809), on maps (B, H, W, C)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WINDOW, STRIDE = 3, 2  # of the convolutional self-attention
DILATIONS = (1, 3, 5)  # of the queries in atrous self-attention
RECURSIONS = 2


class ConvolutionalSelfAttention(nn.Module):
    """Self-attention within windows of 3 x 3 tokens, a stride of 2 apart (CSA, Section 3.2).

    The attention of a window is made of the mean of 2 x 2 tokens, and each of its nine positions
    has a matrix of its own for the values. Overlapping windows add up.

    Args:
        channels (int): C of the input and the output.
        num_heads (int): Heads of the attention.
    """

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale = (channels // num_heads) ** -0.5
        positions = WINDOW**2
        self.attn = nn.Linear(channels, positions**2 * num_heads)
        self.weight = nn.Conv2d(
            positions * channels, positions * channels, 1, groups=positions, bias=False
        )
        self.proj = nn.Linear(channels, channels)
        nn.init.normal_(self.weight.weight, std=math.sqrt(2 / (positions * channels)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to the same shape."""
        (_, *size, channels), positions = x.shape, WINDOW**2
        x = x.permute(0, 3, 1, 2)
        centers = F.avg_pool2d(x, STRIDE, ceil_mode=True).permute(0, 2, 3, 1)
        # (B, windows, heads, 9, 9)
        logits = self.attn(centers).flatten(1, 2).unflatten(2, (self.num_heads, positions, -1))
        weights = (logits * self.scale).softmax(dim=-1)
        windows = F.unfold(x, WINDOW, padding=WINDOW // 2, stride=STRIDE)
        values = windows.unflatten(1, (channels, positions)).transpose(1, 2)
        values = self.weight(values.flatten(1, 2).unsqueeze(-1)).squeeze(-1)  # (B, 9 C, windows)
        values = values.unflatten(1, (positions, self.num_heads, -1)).permute(0, 4, 2, 1, 3)
        y = (weights @ values).permute(0, 2, 4, 3, 1).flatten(1, 3)  # (B, C 9, windows)
        y = F.fold(y, size, WINDOW, padding=WINDOW // 2, stride=STRIDE)
        return self.proj(y.permute(0, 2, 3, 1))


class AtrousQuery(nn.Module):
    """The sum of one depth-wise 3 x 3 convolution at three dilations, a SiLU after each.

    Args:
        channels (int): C of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, 1, 3, 3))
        nn.init.kaiming_uniform_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        maps = [F.conv2d(x, self.weight, None, 1, d, d, x.shape[1]) for d in DILATIONS]
        return sum(map(F.silu, maps))


class RecursiveAtrousAttention(nn.Module):
    """Self-attention with queries of several scales, applied twice (RASA, Section 3.3).

    Keys and values are of a map that is reduced by ``reduction``, as in PVT.

    Args:
        channels (int): C of the input and the output.
        num_heads (int): Heads of the attention.
        reduction (int): Stride of the convolution that makes the map of keys and values.
    """

    def __init__(self, channels: int, num_heads: int, reduction: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.reduction = reduction
        self.q = nn.Linear(channels, channels, bias=False)
        self.ds = AtrousQuery(channels)
        self.kv = nn.Linear(channels, 2 * channels, bias=False)
        self.proj = nn.Linear(channels, channels)
        if reduction > 1:
            self.sr = nn.Conv2d(channels, channels, reduction, stride=reduction)
            self.norm = nn.LayerNorm(channels)
            init_convolution(self.sr)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to the same shape."""
        y = F.silu(self._attend(x))
        for _ in range(RECURSIONS - 1):
            x = x + y
            y = F.silu(self._attend(x))
        return y

    def _attend(self, x: Tensor) -> Tensor:
        queries = self.ds(self.q(x).permute(0, 3, 1, 2)).flatten(2)  # (B, C, tokens)
        queries = queries.unflatten(1, (self.num_heads, -1)).transpose(2, 3)
        keys, values = self.kv(self._reduced(x)).chunk(2, dim=-1)
        keys, values = (
            part.flatten(1, 2).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for part in (keys, values)
        )
        y = F.scaled_dot_product_attention(queries, keys, values)
        return self.proj(y.transpose(1, 2).flatten(2).reshape(x.shape))

    def _reduced(self, x: Tensor) -> Tensor:
        """The map of keys and values; a map smaller than the stride becomes one token."""
        if self.reduction == 1:
            return x
        x = x.permute(0, 3, 1, 2)
        height, width = (max(self.reduction - n, 0) for n in x.shape[-2:])
        return self.norm(self.sr(F.pad(x, (0, width, 0, height))).permute(0, 2, 3, 1))


def init_convolution(layer: nn.Conv2d) -> None:
    """Weights from a normal distribution by the fan-out of the layer, bias 0."""
    fan_out = math.prod(layer.kernel_size) * layer.out_channels // layer.groups
    nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_out))
    nn.init.zeros_(layer.bias)
