"""The recurrent form of VMI-SA as a cumulative sum, in plain torch.

The result is that of :mod:`.recurrent_reference`. The mask is not expanded over the images, and
the backward pass computes E again instead of keeping it. It needs no state either: with G the
gradient of Y, ``R_j = sum_{i >= j} M_i G_i`` (the mask ``'inside'`` acts on R_j instead of G_i),

    dE_j = alpha_j R_j + beta_j G_j,  dalpha_j = sum_{b,n} E_j R_j,  dbeta_j = sum_{b,n} E_j G_j
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from .recurrent_reference import fit_fields


def recurrent_attention(
    query: Tensor,
    key: Tensor,
    alpha: Tensor,
    mask: Tensor,
    beta: Tensor,
    recurrent_mask: str = 'readout',
) -> Tensor:
    """As :func:`vminet_mm.ops.recurrent_reference.recurrent_attention`.

    In low precision a result below 6 is not rounded up to 6, so that the output tells where the
    gradient of ReLU6 stops.
    """
    # in-place sums and products of float32 are not what autocast changes: nothing to switch off
    size = query.shape[-2:]
    alpha, mask, beta = fit_fields(alpha, mask, beta, size)
    query, key, alpha, beta, mask = (
        query.flatten(2), key.flatten(2), alpha.flatten(), beta.flatten(), mask.t()
    )  # fmt: skip
    # dimensions in the order of memory, as compilers expect them: tokens first in channels_last
    tokens = 1 if query.stride(1) == 1 else 2
    if tokens == 1:
        query, key, mask = query.transpose(1, 2), key.transpose(1, 2), mask.t()
        alpha, beta = alpha[:, None], beta[:, None]
    inputs = (query, key, alpha, beta, mask, recurrent_mask == 'inside', tokens)
    if torch.is_grad_enabled() and any(x.requires_grad for x in (query, key, alpha, beta)):
        out = _RecurrentAttention.apply(*inputs)
    else:
        out = _forward(*inputs)
    return out.movedim(tokens, 2).unflatten(2, size)


def _forward(
    query: Tensor,
    key: Tensor,
    alpha: Tensor,
    beta: Tensor,
    mask: Tensor,
    inside: bool,
    tokens: int,
) -> Tensor:
    """The output, with the shape of the query.

    Args:
        query, key: (B, D, L) or (B, L, D).
        alpha, beta: (L) or (L, 1).
        mask: (D, L) or (L, D).
        tokens: The dimension of the tokens in query and key.
    """
    embedding = _embed(query, key)
    state = embedding * alpha.to(embedding.dtype)
    if inside:
        state.mul_(_numbers(mask, state))
    state = _cumsum(state, tokens)
    if not inside:
        state.mul_(_numbers(mask, state))
    out = F.relu6(state.addcmul_(embedding, beta.to(state.dtype)), inplace=True)
    if out.dtype != query.dtype:
        out = torch.where(out < 6, out.clamp(max=below_six(query.dtype)), out).to(query.dtype)
    return out


def below_six(dtype: torch.dtype) -> float:
    """The largest number below 6."""
    return 6 - 4 * torch.finfo(dtype).eps  # numbers from 4 to 8 are 4 eps apart


class _RecurrentAttention(torch.autograd.Function):
    """Keeps Q, K, the token weights and the output, which the next layer keeps anyway."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        query: Tensor,
        key: Tensor,
        alpha: Tensor,
        beta: Tensor,
        mask: Tensor,
        inside: bool,
        tokens: int,
    ) -> Tensor:
        out = _forward(query, key, alpha, beta, mask, inside, tokens)
        ctx.save_for_backward(query, key, alpha, beta, mask, out)
        ctx.inside, ctx.tokens = inside, tokens
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, alpha, beta, mask, out = ctx.saved_tensors
        embedding = _embed(query, key)
        dtype = embedding.dtype
        grad = _relu6_backward(grad, out).to(dtype)  # of Y
        # of alpha E: what all later tokens return to the state. As flips, not as the total minus
        # the sum so far, which would cancel at the last tokens
        grad_state = grad if ctx.inside else grad * _numbers(mask, grad)
        grad_state = _cumsum(grad_state.flip(ctx.tokens), ctx.tokens).flip(ctx.tokens)
        if ctx.inside:
            grad_state.mul_(_numbers(mask, grad))
        grad_alpha = (embedding * grad_state).sum_to_size(alpha.shape).to(alpha.dtype)
        grad_beta = embedding.mul_(grad).sum_to_size(beta.shape).to(beta.dtype)

        grad = grad_state.mul_(alpha.to(dtype)).addcmul_(grad, beta.to(dtype))  # of E
        grad_key = (grad * F.relu6(query)).to(key.dtype)
        grad_query = _relu6_backward(grad.mul_(key), query.to(dtype)).to(query.dtype)
        return grad_query, grad_key, grad_alpha, grad_beta, None, None, None


def _embed(query: Tensor, key: Tensor) -> Tensor:
    """E = ReLU6(Q) * K, a new tensor in float32 at least."""
    dtype = torch.promote_types(query.dtype, torch.float32)
    return F.relu6(query).to(dtype).mul_(key)


def _cumsum(x: Tensor, tokens: int) -> Tensor:
    """For each token the sum of all up to it, in place."""
    chunk = next((size for size in (8, 7, 6, 5, 4) if x.shape[1] % size == 0), 1)
    if tokens == 2 or x.device.type != 'cpu' or chunk == 1:
        return cumsum_(x, tokens)
    # cumsum goes through memory channel by channel: first sum chunks, with all channels at once
    chunks = x.unflatten(1, (-1, chunk))
    for k in range(1, chunk):
        chunks[:, :, k] += chunks[:, :, k - 1]
    chunks[:, 1:] += chunks[:, :-1, -1:].cumsum(1)
    return x


def cumsum_(x: Tensor, dim: int) -> Tensor:
    """``x.cumsum_(dim)``, also under ``torch.use_deterministic_algorithms(True)`` on CUDA."""
    if x.is_cuda and torch.are_deterministic_algorithms_enabled():
        return sum_by_doubling_(x, dim)
    return x.cumsum_(dim)


def sum_by_doubling_(x: Tensor, dim: int) -> Tensor:
    """The cumulative sum in place, in a fixed order: by one pass for each doubling of its reach."""
    reach, length = 1, x.shape[dim]
    while reach < length:
        before = x.narrow(dim, 0, length - reach).clone()
        x.narrow(dim, reach, length - reach).add_(before)
        reach *= 2
    return x


def _numbers(mask: Tensor, like: Tensor) -> Tensor:
    """The mask as numbers in the order of its dimensions."""
    # products with a bool, or with numbers in another order, take several times as long
    return mask.to(like.dtype, memory_format=torch.contiguous_format)


def _relu6_backward(grad: Tensor, x: Tensor) -> Tensor:
    """The gradient where 0 < x < 6, else 0; x is the input of ReLU6 or its output."""
    return torch.ops.aten.hardtanh_backward(grad, x, 0.0, 6.0)
