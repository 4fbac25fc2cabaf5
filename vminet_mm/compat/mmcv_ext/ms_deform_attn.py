"""Multi-scale deformable attention (Deformable DETR).

mmcv itself uses its Python version on the CPU; these serve tensors on a GPU. Letters: B images, S
positions of all levels together, M heads, D channels a head, Q queries, L levels, P points.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from .common import op, upcast


@op
def ms_deform_attn_forward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_loc: Tensor,
    attn_weight: Tensor,
    im2col_step: int,
) -> Tensor:
    """Weighted sum of bilinear samples, (B, Q, M * D).

    Args:
        value: (B, S, M, D).
        spatial_shapes: (L, 2), height and width of each level.
        level_start_index: (L,), the first of each level's positions.
        sampling_loc: (B, Q, M, L, P, 2), x and y from 0 to 1.
        attn_weight: (B, Q, M, L, P).
        im2col_step: Batch size of the compiled operator.
    """
    dtype = value.dtype
    value, sampling_loc, attn_weight = upcast(value, sampling_loc, attn_weight)
    total = 0
    for level, span, shape in _levels(spatial_shapes, level_start_index):
        total = total + _attend(
            value[:, span], shape, sampling_loc[:, :, :, level], attn_weight[:, :, :, level]
        )
    return total.to(dtype)


@op
def ms_deform_attn_backward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_loc: Tensor,
    attn_weight: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Gradients of `ms_deform_attn_forward`, each written to its tensor."""
    value, sampling_loc, attn_weight, grad_output = upcast(
        value, sampling_loc, attn_weight, grad_output
    )
    # Level by level, so that the samples of one level only are in memory.
    for level, span, shape in _levels(spatial_shapes, level_start_index):
        parts = value[:, span], sampling_loc[:, :, :, level], attn_weight[:, :, :, level]
        parts = [part.detach().requires_grad_() for part in parts]
        with torch.enable_grad():
            output = _attend(parts[0], shape, parts[1], parts[2])
        grads = torch.autograd.grad(output, parts, grad_output)
        grad_value[:, span] = grads[0].to(grad_value)
        grad_sampling_loc[:, :, :, level] = grads[1].to(grad_sampling_loc)
        grad_attn_weight[:, :, :, level] = grads[2].to(grad_attn_weight)


def _levels(
    spatial_shapes: Tensor, level_start_index: Tensor
) -> Iterator[tuple[int, slice, tuple[int, int]]]:
    starts = level_start_index.tolist()
    for level, (start, shape) in enumerate(zip(starts, spatial_shapes.tolist(), strict=True)):
        yield level, slice(start, start + shape[0] * shape[1]), tuple(shape)


def _attend(value: Tensor, shape: tuple[int, int], loc: Tensor, weight: Tensor) -> Tensor:
    """One level: value (B, H*W, M, D), loc (B, Q, M, P, 2), weight (B, Q, M, P)."""
    batch, _, heads, depth = value.shape
    queries = loc.shape[1]
    maps = value.permute(0, 2, 3, 1).reshape(batch * heads, depth, *shape)
    grid = (2 * loc - 1).transpose(1, 2).flatten(0, 1)
    # (B*M, D, Q, P)
    samples = F.grid_sample(maps, grid, mode='bilinear', padding_mode='zeros', align_corners=False)
    weight = weight.transpose(1, 2).flatten(0, 1)[:, None]
    output = (samples * weight).sum(-1)
    return output.view(batch, heads * depth, queries).transpose(1, 2).contiguous()
