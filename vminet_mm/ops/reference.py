"""The definition of VMI-SA in plain torch: matrix form, eq. (10) of the paper.

Shapes: B images, D hidden channels, H x W tokens of the input, H0 x W0 tokens of the block's
native grid, on which alpha and the mask live. Tokens are in row-major order.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

CONTEXT_RESIZES = ('pool', 'interpolate')


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
    """ReLU6 of the mixture of each token with the context of all tokens.

    ``E = ReLU6(Q) * K``, ``Y = scale * c + beta * E``, ``output = ReLU6(Y)``, where the context c
    is the same for every token (:func:`context`). All of it is computed in float32 at least, also
    under autocast: the sum runs over up to 10^5 tokens, and E can leave the range of float16
    where Q and K do not.

    Args:
        query: Q (B, D, H, W).
        key: K (B, D, H, W).
        alpha: Token weights (H0, W0).
        mask: Context mask (H0 * W0, D), bool.
        scale: s0, one element.
        beta: Weight of the token itself, one element.
        context_resize: See :func:`context`.
        spans: What :func:`vminet_mm.ops.mask_spans` says of the mask. It helps other
            implementations and changes no result; here it is not used.

    Returns:
        Tensor: (B, D, H, W) in the dtype of the query.
    """
    dtype = torch.promote_types(query.dtype, torch.float32)
    with torch.autocast(query.device.type, enabled=False):
        embedding = F.relu6(query.to(dtype)) * key.to(dtype)
        summary = context(embedding, alpha, mask, context_resize)
        mixed = scale * summary[:, :, None, None] + beta * embedding
        return F.relu6(mixed).to(query.dtype)


def context(embedding: Tensor, alpha: Tensor, mask: Tensor, context_resize: str = 'pool') -> Tensor:
    """The masked weighted sum of all tokens, ``c[n] = sum_i alpha[i] M[i, n] E[i, n]``.

    Args:
        embedding: E (B, D, H, W).
        alpha: Token weights (H0, W0).
        mask: Context mask (H0 * W0, D), bool.
        context_resize: What to do where (H, W) is not the native (H0, W0). ``'pool'`` averages E
            over the cells of the native grid. ``'interpolate'`` resizes the field alpha * M to
            (H, W), bicubic, and multiplies it by H0 * W0 / (H * W), so that the magnitude of the
            sum does not grow with the image.

    Returns:
        Tensor: c (B, D) in the dtype of E.
    """
    size, native = embedding.shape[-2:], alpha.shape
    field = mask.t().unflatten(1, native) * alpha.to(embedding.dtype)  # (D, H0, W0)
    if size != native and context_resize == 'pool':
        embedding = F.adaptive_avg_pool2d(embedding, native)
    elif size != native:
        field = resize_field(field, size)
    return (embedding * field).sum((2, 3))  # not as a product, which TF32 could shorten


def resize_field(
    field: Tensor, size: tuple[int, int], mode: str = 'bicubic', keep_sum: bool = True
) -> Tensor:
    """Resize numbers per token to another grid.

    Args:
        field: (..., H0, W0).
        size: (H, W).
        mode: A mode of :func:`torch.nn.functional.interpolate` with corners.
        keep_sum: Multiply by H0 * W0 / (H * W), as weights of a sum over tokens need it for the
            magnitude of the sum to stay.

    Returns:
        Tensor: (..., H, W).
    """
    height, width = field.shape[-2:]
    planes = field.reshape(1, -1, height, width)
    planes = F.interpolate(planes, size=tuple(size), mode=mode, align_corners=False)
    fraction = (height * width) / (size[0] * size[1]) if keep_sum else 1
    return planes.reshape(*field.shape[:-2], *size) * fraction
