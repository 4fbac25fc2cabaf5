"""The recurrent form of VMI-SA in operators that ONNX has, for images of any size.

The definition branches on the size of the image. Here the fields are always resized, which changes
nothing at the native size; the sum so far is an operator of ONNX.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .reference import resize_field


def recurrent_attention(
    query: Tensor,
    key: Tensor,
    alpha: Tensor,
    mask: Tensor,
    beta: Tensor,
    recurrent_mask: str = 'readout',
) -> Tensor:
    """As :func:`vminet_mm.ops.recurrent_reference.recurrent_attention`, but not for use under
    autocast.
    """
    dtype = torch.promote_types(query.dtype, torch.float32)
    size = query.shape[-2:]
    embedding = F.relu6(query.to(dtype)) * key.to(dtype)
    visible = _nearest(mask.t().unflatten(1, alpha.shape).to(dtype), size)
    state = embedding * resize_field(alpha.to(dtype), size)
    if recurrent_mask == 'inside':
        state = state * visible
    state = state.flatten(2).cumsum(2).view(embedding.shape)
    if recurrent_mask == 'readout':
        state = state * visible
    own = embedding * resize_field(beta.to(dtype), size, keep_sum=False)
    return F.relu6(state + own).to(query.dtype)


def _nearest(field: Tensor, size: tuple[int, int]) -> Tensor:
    """The nearest cell's values (D, H, W) of a field (D, H0, W0).

    ONNX resizes too, but divides where torch multiplies, and the two may round to another cell.
    """
    rows, columns = (
        _nearest_cells(cells, tokens, field)
        for cells, tokens in zip(field.shape[1:], size, strict=True)
    )
    return field[:, rows][:, :, columns]


def _nearest_cells(cells: int, tokens: int, like: Tensor) -> Tensor:
    """The cell (tokens) that torch takes for each token along one side."""
    token = torch.arange(tokens, dtype=torch.float32, device=like.device)
    scale = torch.full((1,), cells, dtype=torch.float32, device=like.device) / tokens
    return (token * scale).floor().clamp(max=cells - 1).long()
