"""The definition of VMI-SA's recurrent form, eq. (9) of the paper: a loop over the tokens.

Shapes as in :mod:`.reference`: B images, D hidden channels, H x W tokens of the input, H0 x W0
tokens of the block's native grid, on which alpha, beta and the mask live.
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
    """ReLU6 of the mixture of each token with those up to it, in row-major order.

    ``E = ReLU6(Q) * K``, ``h_i = h_{i-1} + alpha_i E_i``, ``Y_i = M_i h_i + beta_i E_i``,
    ``output = ReLU6(Y)``. All of it is computed in float32 at least, also under autocast.

    Args:
        query: Q (B, D, H, W).
        key: K (B, D, H, W).
        alpha: Token weights (H0, W0).
        mask: Context mask (H0 * W0, D), bool.
        beta: Weight of each token itself (H0, W0).
        recurrent_mask: Where the mask acts. ``'readout'``: as above, on the state that a token
            reads. ``'inside'``: on what it adds, ``h_i = h_{i-1} + M_i alpha_i E_i`` and
            ``Y_i = h_i + beta_i E_i``.

    Returns:
        Tensor: (B, D, H, W) in the dtype of the query.
    """
    alpha, mask, beta = fit_fields(alpha, mask, beta, query.shape[-2:])
    dtype = torch.promote_types(query.dtype, torch.float32)
    with torch.autocast(query.device.type, enabled=False):
        embedding = (F.relu6(query.to(dtype)) * key.to(dtype)).flatten(2)
        state = torch.zeros_like(embedding[..., 0])
        mixed = []
        for token, weight, own, visible in zip(
            embedding.unbind(2), alpha.flatten(), beta.flatten(), mask, strict=True
        ):
            if recurrent_mask == 'inside':
                state = state + visible * weight * token
                mixed.append(state + own * token)
            else:
                state = state + weight * token
                mixed.append(visible * state + own * token)
        out = torch.stack(mixed, 2).view(query.shape)
        return F.relu6(out).to(query.dtype)


def fit_fields(
    alpha: Tensor, mask: Tensor, beta: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Token weights and mask on the grid of the input.

    Args:
        alpha: (H0, W0); interpolated (bicubic) and multiplied by H0 * W0 / (H * W), so that the
            magnitude of the sum does not grow with the image.
        mask: (H0 * W0, D), bool; the nearest token's.
        beta: (H0, W0); interpolated (bicubic).
        size: (H, W).

    Returns:
        tuple[Tensor, Tensor, Tensor]: alpha (H, W), mask (H * W, D) and beta (H, W).
    """
    native = alpha.shape
    if size == native:
        return alpha, mask, beta
    planes = mask.t().unflatten(1, native)[None]  # (1, D, H0, W0)
    planes = F.interpolate(planes.to(torch.uint8), size=tuple(size), mode='nearest')
    return (
        resize_field(alpha, size),
        planes[0].flatten(1).t().bool(),
        resize_field(beta, size, keep_sum=False),
    )
