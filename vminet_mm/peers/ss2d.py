"""The 2D selective scan of VMamba and EfficientVMamba: one scan over four sequences of a map."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..models.simple_fpn import LayerNorm2d
from ..ops.selective_scan import choose_scan, scan_order
from .backbone import Linear2d, pad_to_multiple
from .mamba import SMALLEST_STEP, TIME_STEPS

DIRECTIONS = 4


class SS2D(nn.Module):
    """Project, convolve depth-wise, scan four sequences, norm, and project back.

    The names of the parameters are those of VMamba's code (``SS2D``); A_logs and Ds of the four
    sequences stand one below the other.

    Args:
        channels (int): C of the input and the output.
        inner_channels (int): D of what is scanned.
        state_size (int): N of the scan's state.
        orders (Sequence[str]): Of the four sequences, see
            :func:`vminet_mm.ops.selective_scan.scan_order`.
        multiple (int): Pad the map with zeros, at bottom and right, to multiples of this before it
            is taken apart.
        gated (bool): Multiply the result with a second projection of the input.
        conv_bias (bool): Whether the depth-wise convolution has a bias.
        impl (str): Of the scan, see :func:`vminet_mm.ops.selective_scan.choose_scan`.
    """

    def __init__(
        self,
        channels: int,
        inner_channels: int,
        state_size: int,
        orders: Sequence[str],
        multiple: int,
        gated: bool,
        conv_bias: bool,
        impl: str,
    ) -> None:
        super().__init__()
        inner, rank = inner_channels, math.ceil(channels / 16)
        self.sizes = (rank, state_size, state_size)
        self.orders, self.multiple = tuple(orders), multiple
        self.selective_scan = choose_scan(impl)
        self.gated = gated
        self.in_proj = Linear2d(channels, inner * (2 if gated else 1), bias=False)
        self.conv2d = nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=conv_bias)
        self.act = nn.SiLU()
        self.x_proj_weight = nn.Parameter(torch.empty(DIRECTIONS, sum(self.sizes), inner))
        self.dt_projs_weight = nn.Parameter(torch.empty(DIRECTIONS, inner, rank))
        self.dt_projs_bias = nn.Parameter(torch.empty(DIRECTIONS, inner))
        self.A_logs = nn.Parameter(torch.empty(DIRECTIONS * inner, state_size))
        self.Ds = nn.Parameter(torch.empty(DIRECTIONS * inner))
        self.out_norm = LayerNorm2d(inner)
        self.out_proj = Linear2d(inner, channels, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize what is scanned with as Mamba does: A = -1, ..., -N; D = 1; delta spread."""
        nn.init.uniform_(self.x_proj_weight, -1, 1).data.mul_(self.x_proj_weight.shape[-1] ** -0.5)
        nn.init.uniform_(self.dt_projs_weight, -1, 1).data.mul_(self.sizes[0] ** -0.5)
        low, high = map(math.log, TIME_STEPS)
        delta = torch.rand_like(self.dt_projs_bias).mul(high - low).add(low).exp()
        delta = delta.clamp(min=SMALLEST_STEP)
        self.dt_projs_bias.data = delta + torch.log(-torch.expm1(-delta))  # softplus inverted
        self.A_logs.data.copy_(torch.arange(1, self.sizes[1] + 1).log())
        nn.init.ones_(self.Ds)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        x = self.in_proj(x)
        if self.gated:
            x, gate = x.chunk(2, dim=1)
        y = self.out_norm(self.scan(self.act(self.conv2d(x))))
        if self.gated:
            y = y * self.act(gate)
        return self.out_proj(y)

    def scan(self, x: Tensor) -> Tensor:
        """Scan a map (B, D, H, W) in four orders, each with parameters of its own, and add up."""
        height, width = x.shape[-2:]
        x = pad_to_multiple(x, self.multiple)
        orders = [scan_order(name, tuple(x.shape[-2:])) for name in self.orders]
        sequences = torch.stack([order.take(x.flatten(2)) for order in orders], 1)  # (B, 4, D, L)
        step, b, c = (self.x_proj_weight @ sequences).split(self.sizes, dim=2)
        delta = self.dt_projs_weight @ step  # (B, 4, D, L)
        y = self.selective_scan(
            sequences.flatten(1, 2),
            delta.flatten(1, 2),
            -self.A_logs.to(torch.promote_types(self.A_logs.dtype, torch.float32)).exp(),
            b,
            c,
            self.Ds,
            self.dt_projs_bias.flatten(),
            delta_softplus=True,
        )
        parts = y.unflatten(1, (DIRECTIONS, -1)).unbind(1)
        y = sum(order.put(part) for order, part in zip(orders, parts, strict=True))
        return y.unflatten(2, x.shape[-2:])[..., :height, :width]
