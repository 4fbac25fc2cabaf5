"""Multi-scale deformable attention (Deformable DETR).

mmcv itself uses its Python version on the CPU; these serve tensors on a GPU, by that version level
by level, so that the samples of one level only are in memory. Letters: B images, S positions of all
levels together, M heads, D channels a head, Q queries, L levels, P points.
"""

from collections.abc import Iterator

import torch
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

    Of value (B, S, M, D), height and width of each level (L, 2), the first of its positions (L,),
    sampling_loc (B, Q, M, L, P, 2) with x and y from 0 to 1, and attn_weight (B, Q, M, L, P).
    """
    dtype = value.dtype
    value, sampling_loc, attn_weight = upcast(value, sampling_loc, attn_weight)
    levels = _levels(value, spatial_shapes, level_start_index, sampling_loc, attn_weight)
    return sum(_attend(shape, *parts) for shape, *parts in levels).to(dtype)


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
    starts = (spatial_shapes, level_start_index)
    levels = _levels(value, *starts, sampling_loc, attn_weight)
    targets = _levels(grad_value, *starts, grad_sampling_loc, grad_attn_weight)
    for (shape, *parts), (_, *grads) in zip(levels, targets, strict=True):
        parts = [part.detach().requires_grad_() for part in parts]
        with torch.enable_grad():
            output = _attend(shape, *parts)
        for grad, found in zip(grads, torch.autograd.grad(output, parts, grad_output), strict=True):
            grad.copy_(found)


def _levels(
    value: Tensor, shapes: Tensor, starts: Tensor, loc: Tensor, weight: Tensor
) -> Iterator[tuple[list[int], Tensor, Tensor, Tensor]]:
    """Height and width of each level, and views of its part of the tensors."""
    for k, (start, shape) in enumerate(zip(starts.tolist(), shapes.tolist(), strict=True)):
        span = slice(start, start + shape[0] * shape[1])
        yield shape, value[:, span], loc[:, :, :, k : k + 1], weight[:, :, :, k : k + 1]


def _attend(shape: list[int], value: Tensor, loc: Tensor, weight: Tensor) -> Tensor:
    """One level: value (B, H*W, M, D), loc (B, Q, M, 1, P, 2), weight (B, Q, M, 1, P)."""
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch  # needs _ext

    return multi_scale_deformable_attn_pytorch(value, [shape], loc, weight)
