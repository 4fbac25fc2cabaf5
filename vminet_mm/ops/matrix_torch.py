"""The matrix form of VMI-SA in few passes over memory, in plain torch.

The result is that of :mod:`.reference`. Rows of the mask that are the same for all channels are
one matrix-vector product, and the backward pass computes E again instead of keeping it. See
README.md beside this file for the derivation.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from . import reference


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
    """As :func:`vminet_mm.ops.reference.separable_attention`, to which it leaves the option
    ``'interpolate'`` at other sizes than the native one.
    """
    if context_resize == 'interpolate' and query.shape[-2:] != alpha.shape:
        return reference.separable_attention(
            query, key, alpha, mask, scale, beta, context_resize, spans
        )
    spans = spans or (len(mask), len(mask))
    tensors = (query, key, alpha, scale, beta)
    with torch.autocast(query.device.type, enabled=False):
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
            return _SeparableAttention.apply(*tensors, mask, spans)
        return _forward(*tensors, mask, spans)[0]


def _forward(
    query: Tensor,
    key: Tensor,
    alpha: Tensor,
    scale: Tensor,
    beta: Tensor,
    mask: Tensor,
    spans: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """The output (B, D, H, W) and the context (B, D)."""
    embedding = _embed(query, key)
    tokens = _native_tokens(embedding, alpha)
    summary = _context(tokens, alpha.flatten().to(tokens.dtype), mask, *spans)
    mixed = _mix(embedding, summary, scale, beta, out=embedding)
    return F.relu6(mixed, inplace=True).to(query.dtype), summary


class _SeparableAttention(torch.autograd.Function):
    """Keeps Q, K and vectors."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        query: Tensor,
        key: Tensor,
        alpha: Tensor,
        scale: Tensor,
        beta: Tensor,
        mask: Tensor,
        spans: tuple[int, int],
    ) -> Tensor:
        out, summary = _forward(query, key, alpha, scale, beta, mask, spans)
        ctx.save_for_backward(query, key, alpha, scale, beta, mask, summary)
        ctx.spans = spans
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, alpha, scale, beta, mask, summary = ctx.saved_tensors
        dtype = summary.dtype
        with torch.autocast(query.device.type, enabled=False):
            weights = alpha.flatten().to(dtype)
            rectified = F.relu6(query.to(dtype))
            embedding = rectified * key
            tokens = _native_tokens(embedding, alpha)

            # not told from the output: rounded to 6 in low precision, it would stop gradients
            mixed = _mix(embedding, summary, scale, beta)
            grad = grad.contiguous(memory_format=_memory_format(mixed)).to(dtype)
            grad = _relu6_backward(grad, mixed)  # of the mixture
            total = grad.sum((2, 3))
            grad_summary = scale * total
            grad_alpha = _alpha_gradient(tokens, grad_summary, mask, *ctx.spans)
            grad_beta = (grad * embedding).sum()
            grad_scale = (total * summary).sum()

            grad = grad.mul_(beta)  # from here on, of E
            if embedding.shape[-2:] == alpha.shape:
                _add_context_gradient(grad.flatten(2), grad_summary, weights, mask, *ctx.spans)
            else:
                pooled = torch.zeros_like(tokens)
                _add_context_gradient(pooled, grad_summary, weights, mask, *ctx.spans)
                pooled = pooled.unflatten(2, alpha.shape)
                grad += torch.ops.aten._adaptive_avg_pool2d_backward(pooled, embedding)
            grad_key = (grad * rectified).to(key.dtype)
            grad_query = _relu6_backward(grad.mul_(key), query.to(dtype)).to(query.dtype)
        return (
            grad_query,
            grad_key,
            grad_alpha.view_as(alpha).to(alpha.dtype),
            grad_scale.view_as(scale).to(scale.dtype),
            grad_beta.view_as(beta).to(beta.dtype),
            None,
            None,
        )


def _embed(query: Tensor, key: Tensor) -> Tensor:
    """E = ReLU6(Q) * K, a new tensor (B, D, H, W) in float32 at least."""
    dtype = torch.promote_types(query.dtype, torch.float32)
    return F.relu6(query.to(dtype)).mul_(key)


def _mix(
    embedding: Tensor, summary: Tensor, scale: Tensor, beta: Tensor, out: Tensor | None = None
) -> Tensor:
    """s0 c + beta E (B, D, H, W), in one pass."""
    return torch.addcmul((scale * summary)[:, :, None, None], embedding, beta, out=out)


def _native_tokens(embedding: Tensor, alpha: Tensor) -> Tensor:
    """E (B, D, L), averaged over the cells of the native grid where it is of another size."""
    if embedding.shape[-2:] != alpha.shape:
        embedding = F.adaptive_avg_pool2d(embedding, alpha.shape)
    return embedding.flatten(2)


def _context(tokens: Tensor, weights: Tensor, mask: Tensor, mixed: int, whole: int) -> Tensor:
    """c (B, D): masked rows token by token, whole ones as a matrix-vector product."""
    field = _masked_rows(weights, mask, mixed, tokens)
    summary = (tokens[..., :mixed] * field).sum(-1)
    if whole > mixed:
        rows = tokens[..., mixed:whole].transpose(1, 2)
        summary += torch.matmul(weights[None, mixed:whole], rows).squeeze(1)
    return summary


def _alpha_gradient(
    tokens: Tensor, grad_summary: Tensor, mask: Tensor, mixed: int, whole: int
) -> Tensor:
    """Gradient of the flattened alpha (L): ``sum_{b,n} dc[b, n] M[i, n] E[b, i, n]``."""
    by_channel = (tokens[..., :mixed] * grad_summary[..., None]).sum(0)
    grad = tokens.new_zeros(tokens.shape[-1])
    grad[:mixed] = (by_channel * mask[:mixed].t()).sum(0)
    if whole > mixed:
        grad[mixed:whole] = torch.matmul(grad_summary[:, None], tokens[..., mixed:whole]).sum(
            (0, 1)
        )
    return grad


def _add_context_gradient(
    grad: Tensor, grad_summary: Tensor, weights: Tensor, mask: Tensor, mixed: int, whole: int
) -> None:
    """Add ``dc[b, n] alpha[i] M[i, n]`` to the gradient of the tokens (B, D, L), in place."""
    grad_summary = grad_summary[..., None]
    grad[..., :mixed].addcmul_(_masked_rows(weights, mask, mixed, grad), grad_summary)
    grad[..., mixed:whole].addcmul_(weights[mixed:whole], grad_summary)


def _masked_rows(weights: Tensor, mask: Tensor, mixed: int, like: Tensor) -> Tensor:
    """alpha * M of the leading rows (D, mixed), in memory as ``like`` (B, D, L) is."""
    field = (weights[:mixed, None] * mask[:mixed]).t()
    return field if like.stride(1) == 1 else field.contiguous()


def _relu6_backward(grad: Tensor, x: Tensor) -> Tensor:
    """The gradient where 0 < x < 6, else 0; x is the input of ReLU6 or its output."""
    return torch.ops.aten.hardtanh_backward(grad, x, 0.0, 6.0)


def _memory_format(x: Tensor) -> torch.memory_format:
    is_last = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if is_last else torch.contiguous_format
