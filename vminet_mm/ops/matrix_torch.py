"""The matrix form of VMI-SA in few passes over memory, in plain torch.

The result is that of :mod:`.reference`. Rows of the mask that are the same for all channels are
one matrix-vector product, and the backward pass computes E again instead of keeping it. See
README.md beside this file for the derivation. E and what is summed are float32 at least; half
precision is promoted and rounded within operations that do something else, and never copied.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from . import reference
from .context_weights import context_weights, spread
from .project import project_apart


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
    is_native = query.shape[-2:] == alpha.shape
    if is_native and query.is_cuda and torch.compiler.is_compiling():
        return plain_attention(query, key, alpha, mask, scale, beta)
    if context_resize == 'interpolate' and not is_native:
        return reference.separable_attention(
            query, key, alpha, mask, scale, beta, context_resize, spans
        )
    spans = spans or (len(mask), len(mask))
    tensors = (query, key, alpha, scale, beta)
    with torch.autocast(query.device.type, enabled=False):
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
            return _SeparableAttention.apply(*tensors, mask, spans)
        return _forward(*tensors, mask, spans)[0]


def attend(
    query_key: Tensor,
    alpha: Tensor,
    mask: Tensor,
    scale: Tensor,
    beta: Tensor,
    context_resize: str,
    spans: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """The output (B, D, H, W) and the context (B, D) of Q and K in one tensor, without gradients.

    Args:
        query_key: (B, 2D, H, W).
        alpha: As for :func:`separable_attention`, also the arguments that follow.
        mask: (H0 * W0, D), bool.
        scale: One element.
        beta: One element.
        context_resize: ``'pool'``; here ``'interpolate'`` at the native size alone.
        spans: Of the mask.
    """
    return _forward(*query_key.chunk(2, 1), alpha, scale, beta, mask, spans)


def attend_backward(
    grad: Tensor,
    query_key: Tensor,
    alpha: Tensor,
    mask: Tensor,
    scale: Tensor,
    beta: Tensor,
    context: Tensor,
    context_resize: str,
    spans: tuple[int, int],
) -> tuple[Tensor | None, ...]:
    """The gradients of :func:`attend`, and its output once more.

    Args:
        grad: Of the output (B, D, H, W); it may be overwritten.
        query_key: And what follows, as it was given to :func:`attend`.
        context: What that returned.

    Returns:
        tuple[Tensor | None, ...]: The gradient of Q and K (B, 2D, H, W); its sum for each channel
        (2D), or None where a convolution finds it as fast; the output; the gradients of alpha,
        scale and beta.
    """
    query, key = query_key.chunk(2, 1)
    grad_query_key = torch.empty_like(query_key)
    hidden, *grad_fields = _backward(
        grad_query_key.chunk(2, 1), grad, query, key, alpha, scale, beta, mask, context, spans, grad
    )
    return grad_query_key, None, hidden, *grad_fields


def project(
    x: Tensor,
    linears: tuple[Tensor, ...],
    fields: tuple[Tensor, Tensor, Tensor, Tensor],
    residual: Tensor | None,
    keep: Tensor | None,
    context_resize: str,
    spans: tuple[int, int],
) -> tuple[Tensor, Tensor, Tensor]:
    """``residual + keep (W3 attention + b3)`` of U, without gradients.

    Args:
        x: U (B, C, H, W).
        linears: Weight and bias of W1, W2 and W3, (D, C, 1, 1) and (D), and (C, D, 1, 1) and (C).
        fields: As for :func:`attend`, also the options.
        residual: (B, C, H, W), or None for none.
        keep: (B, 1, 1, 1), a factor for each image, or None for 1.

    Returns:
        tuple[Tensor, Tensor, Tensor]: The output (B, C, H, W), Q and K (B, 2D, H, W), the context
        (B, D).
    """
    return project_apart(attend, x, linears, fields, residual, keep, context_resize, spans)


# how the matrix form is computed from U to W3's output, and back, see :mod:`.matrix_project`; and
# whether that is as good without a backward pass
separable_attention.passes = (project, attend_backward, lambda x: False)


def plain_attention(
    query: Tensor, key: Tensor, alpha: Tensor, mask: Tensor, scale: Tensor, beta: Tensor
) -> Tensor:
    """At the native size, out of element-wise operations and one sum, which a compiler fuses."""
    dtype = torch.promote_types(query.dtype, torch.float32)
    with torch.autocast(query.device.type, enabled=False):
        embedding = F.relu6(query.to(dtype)) * key.to(dtype)
        field = mask.t().unflatten(1, alpha.shape) * alpha.to(dtype)
        summary = (embedding * field).sum((2, 3), keepdim=True)
        return F.relu6(scale * summary + beta * embedding).to(query.dtype)


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
    rectified = F.relu6(query)
    embedding = _embed(rectified, key, out=rectified)
    tokens = _native_tokens(embedding, alpha)
    summary = _context(tokens, alpha.flatten().to(tokens.dtype), mask, *spans)
    out = embedding if embedding.dtype == query.dtype else torch.empty_like(rectified)
    mixed = _mix(embedding, summary, scale, beta, out=out)
    return F.relu6(mixed, inplace=True), summary  # rounded before: 0 and 6 are exact


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
        query, key, *fields = ctx.saved_tensors
        grads = torch.empty_like(query), torch.empty_like(key)
        with torch.autocast(query.device.type, enabled=False):
            _, *grad_fields = _backward(grads, grad, query, key, *fields, ctx.spans)
        return *grads, *grad_fields, None, None


def _backward(
    grads: tuple[Tensor, Tensor],
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    alpha: Tensor,
    scale: Tensor,
    beta: Tensor,
    mask: Tensor,
    summary: Tensor,
    spans: tuple[int, int],
    scratch: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Write the gradients of query and key; the output and the gradients of alpha, scale, beta.

    ``scratch`` is overwritten where it is like the mixture.
    """
    dtype = summary.dtype
    weights = alpha.flatten().to(dtype)
    rectified = F.relu6(query)
    embedding = _embed(rectified, key)
    tokens = _native_tokens(embedding, alpha)

    # recomputed: an output that low precision rounds to 6 would wrongly stop the gradient
    mixed = _mix(embedding, summary, scale, beta)
    grad = grad.contiguous(memory_format=_memory_format(mixed))
    is_like = scratch is not None and scratch.dtype == dtype and scratch.stride() == mixed.stride()
    grad = _relu6_backward(grad, mixed, out=scratch if is_like else None)  # of the mixture
    total = grad.sum((2, 3))
    grad_summary = scale * total
    grad_alpha = _alpha_gradient(tokens, grad_summary, mask, *spans)
    grad_beta = _inner_product(grad, embedding)
    grad_scale = (total * summary).sum()

    grad = grad.mul_(beta)  # from here on, of E
    if embedding.shape[-2:] == alpha.shape:
        _add_context_gradient(grad.flatten(2), grad_summary, weights, mask, *spans)
    else:
        pooled = torch.zeros_like(tokens)
        _add_context_gradient(pooled, grad_summary, weights, mask, *spans)
        grad += _pool_backward(pooled.unflatten(2, alpha.shape), embedding)
    torch.mul(grad, rectified, out=grads[1])
    scratch = grad if grad.dtype == query.dtype else grads[0]
    _relu6_backward(torch.mul(grad, key, out=scratch), query, out=grads[0])
    return (
        F.relu6(mixed.to(query.dtype), inplace=True),
        grad_alpha.view_as(alpha).to(alpha.dtype),
        grad_scale.view_as(scale).to(scale.dtype),
        grad_beta.view_as(beta).to(beta.dtype),
    )


def _embed(rectified: Tensor, key: Tensor, out: Tensor | None = None) -> Tensor:
    """E = ReLU6(Q) * K (B, D, H, W) in float32 at least; in ``out``, if that is of this dtype."""
    dtype = torch.promote_types(rectified.dtype, torch.float32)
    if rectified.dtype == dtype:
        return torch.mul(rectified, key, out=out)
    # a product of two halves would be rounded to one
    return torch.addcmul(rectified.new_zeros((1, 1, 1, 1), dtype=dtype), rectified, key)


def _inner_product(x: Tensor, y: Tensor) -> Tensor:
    """The sum of all products, in one pass, which TF32 does not shorten."""
    if x.numel() < 2**31:  # more BLAS does not count
        is_last = _memory_format(x) == torch.channels_last
        x, y = (t.permute(0, 2, 3, 1) if is_last else t for t in (x, y))
        return torch.dot(x.flatten(), y.flatten())
    return (x * y).sum()


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
        summary += _weighted_sum(tokens[..., mixed:whole], weights[mixed:whole])
    return summary


def _weighted_sum(tokens: Tensor, weights: Tensor) -> Tensor:
    """``sum_i tokens[..., i] weights[i]``; on CUDA not as a product, which TF32 could shorten."""
    if _on_cuda(tokens):
        return (tokens * weights).sum(-1)
    return torch.matmul(weights[None], tokens.transpose(1, 2)).squeeze(1)


def _alpha_gradient(
    tokens: Tensor, grad_summary: Tensor, mask: Tensor, mixed: int, whole: int
) -> Tensor:
    """Gradient of the flattened alpha (L): ``sum_{b,n} dc[b, n] M[i, n] E[b, i, n]``."""
    by_channel = (tokens[..., :mixed] * grad_summary[..., None]).sum(0)
    grad = tokens.new_zeros(tokens.shape[-1])
    grad[:mixed] = (by_channel * mask[:mixed].t()).sum(0)
    if whole > mixed:
        rows = tokens[..., mixed:whole]
        if _on_cuda(rows):  # as in _weighted_sum
            grad[mixed:whole] = (rows * grad_summary[..., None]).sum((0, 1))
        else:
            grad[mixed:whole] = torch.matmul(grad_summary[:, None], rows).sum((0, 1))
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


def _pool_backward(grad: Tensor, x: Tensor) -> Tensor:
    """The gradient of x under average pooling to the grid of grad, both (B, D, ...)."""
    if _on_cuda(x) and torch.are_deterministic_algorithms_enabled():
        # the kernel of CUDA adds in any order, and raises
        weights = context_weights(grad.shape[2:], x.shape[2:], 'pool', x.device, x.dtype)
        return spread(grad, weights.rows, weights.columns)
    return torch.ops.aten._adaptive_avg_pool2d_backward(grad, x)


def _relu6_backward(grad: Tensor, x: Tensor, out: Tensor | None = None) -> Tensor:
    """The gradient where 0 < x < 6, else 0; x is the input of ReLU6 or its output."""
    if out is None:
        return torch.ops.aten.hardtanh_backward(grad, x, 0.0, 6.0)
    return torch.ops.aten.hardtanh_backward.grad_input(grad, x, 0.0, 6.0, grad_input=out)


def _on_cuda(x: Tensor) -> bool:
    return x.is_cuda


def _memory_format(x: Tensor) -> torch.memory_format:
    is_last = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if is_last else torch.contiguous_format
