"""The matrix form of VMI-SA in operators that ONNX has, for images of any size.

The definition branches on the size of the image and pools adaptively, and neither can be exported
with a height and a width that stay open. Here the resizing is two small matrices Ph (H0, H) and
Pw (W0, W), which are the identity at the native size:

    c[n] = sum_g alpha[g] M[g, n] (Ph E[n] Pw^T)[g]

Rows of the mask that are whole go as ``Ph^T alpha Pw`` in one product over all tokens, so that only
the leading rows of cells, in which the mask differs between channels, are pooled.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def separable_attention(
    query: Tensor,
    key: Tensor,
    alpha: Tensor,
    mask: Tensor,
    scale: Tensor,
    beta: Tensor,
    context_resize: str = 'pool',
    spans: tuple[int, int] | None = None,
) -> Tensor:
    """As :func:`vminet_mm.ops.reference.separable_attention`, but not for use under autocast."""
    dtype = torch.promote_types(query.dtype, torch.float32)
    embedding = F.relu6(query.to(dtype)) * key.to(dtype)
    spans = spans or (len(mask), len(mask))
    summary = context(embedding, alpha.to(dtype), mask, context_resize, *spans)
    return F.relu6(scale * summary[:, :, None, None] + beta * embedding).to(query.dtype)


def context(
    embedding: Tensor, alpha: Tensor, mask: Tensor, context_resize: str, mixed: int, whole: int
) -> Tensor:
    """The context c of each channel, (B, D).

    Args:
        embedding: E, (B, D, H, W).
        alpha: (H0, W0).
        mask: M, (L, D).
        context_resize: ``'pool'`` or ``'interpolate'``.
        mixed: The number of rows of the mask up to the last that differs between channels.
        whole: The number of rows up to the last that is not 0.
    """
    height, width = embedding.shape[-2:]
    to_rows = _matrix(alpha.shape[0], height, context_resize, alpha)
    to_columns = _matrix(alpha.shape[1], width, context_resize, alpha)

    is_common = torch.arange(len(mask), device=mask.device).view(alpha.shape)
    is_common = (is_common >= mixed) & (is_common < whole)
    weights = to_rows.t() @ (alpha * is_common) @ to_columns  # (H, W)
    summary = (embedding.flatten(2) @ weights.flatten()[:, None]).squeeze(2)

    cell_rows = math.ceil(mixed / alpha.shape[1])
    if cell_rows:
        own = mask.t().unflatten(1, alpha.shape) & ~is_common
        own = (own * alpha)[:, :cell_rows]  # (D, cell_rows, W0)
        pooled = to_rows[:cell_rows] @ embedding @ to_columns.t()
        summary = summary + (pooled * own).sum((2, 3))
    return summary


def adaptive_average(x: Tensor, cells: tuple[int, int]) -> Tensor:
    """Adaptive average pooling of (..., H, W) to (..., *cells)."""
    to_rows = _matrix(cells[0], x.shape[-2], 'pool', x)
    to_columns = _matrix(cells[1], x.shape[-1], 'pool', x)
    return to_rows @ x @ to_columns.t()


def _matrix(cells: int, tokens: int, context_resize: str, like: Tensor) -> Tensor:
    """The weights (cells, tokens) with which tokens along one side go into each cell.

    ``'pool'``: the mean of the tokens that a cell overlaps, as adaptive average pooling takes it.
    ``'interpolate'``: the adjoint of bicubic interpolation, times cells / tokens.
    """
    if context_resize == 'interpolate':
        unit = torch.eye(cells, dtype=like.dtype, device=like.device)[None, None]
        resized = F.interpolate(unit, size=(cells, tokens), mode='bicubic', align_corners=False)
        return resized[0, 0] * cells / tokens
    cell = torch.arange(cells, device=like.device)[:, None]
    token = torch.arange(tokens, device=like.device)
    # of what is not negative, a division that cuts off is one operator, // is ten
    start = (cell * tokens).div(cells, rounding_mode='trunc')
    end = ((cell + 1) * tokens + cells - 1).div(cells, rounding_mode='trunc')
    return ((token >= start) & (token < end)).to(like.dtype) / (end - start)
