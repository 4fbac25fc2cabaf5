"""PSANet's mask: a window of attention around each pixel, unrolled to the whole map.

The input (B, h_mask * w_mask, H, W) holds a window for each pixel p. The output (B, H * W, H, W)
has, for every pixel p and pixel q, the window's entry of p for q, or 0 if q is outside: at [q, p]
for "collect" (psa_type 0), at [p, q] for "distribute" (1). mmcv passes the sizes by keyword.
"""

import torch
from torch import Tensor

from .common import op

_COLLECT = 0


@op
def psamask_forward(input: Tensor, output: Tensor, psa_type: int, num_: int, **sizes: int) -> None:
    """Unroll the windows of input to output."""
    entry, inside = _window_entries(input.device, **sizes)
    # (B, q, p)
    unrolled = input.flatten(2).gather(1, entry.expand(num_, -1, -1))
    unrolled = torch.where(inside, unrolled, 0)
    if psa_type != _COLLECT:
        unrolled = unrolled.transpose(1, 2)
    output.copy_(unrolled.reshape(output.shape))


@op
def psamask_backward(
    grad_output: Tensor, grad_input: Tensor, psa_type: int, num_: int, **sizes: int
) -> None:
    """Roll the gradients up again, to grad_input."""
    entry, inside = _window_entries(grad_output.device, **sizes)
    grad = grad_output.flatten(2)
    if psa_type != _COLLECT:
        grad = grad.transpose(1, 2)
    # Pairs outside a window add 0; no two inside share an entry, so that no rounding adds up.
    total = grad.new_zeros(grad_input.shape).flatten(2)
    total.scatter_add_(1, entry.expand(num_, -1, -1), torch.where(inside, grad, 0))
    grad_input.copy_(total.view(grad_input.shape))


def _window_entries(
    device: torch.device,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> tuple[Tensor, Tensor]:
    """For pixels (q, p), (H*W, H*W): the entry for q in p's window, and whether there is one."""
    y = torch.arange(h_feature, device=device).repeat_interleave(w_feature)
    x = torch.arange(w_feature, device=device).repeat(h_feature)
    row = y[:, None] - y + half_h_mask
    col = x[:, None] - x + half_w_mask
    inside = (row >= 0) & (row < h_mask) & (col >= 0) & (col < w_mask)
    return torch.where(inside, row * w_mask + col, 0), inside
