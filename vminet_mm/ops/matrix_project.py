"""From the input of the matrix form to the output of W3, as one node of autograd.

By itself every part of it keeps its input and computes its own gradients. Together they keep U, Q
and K; the backward pass of the attention writes the gradient of Q and K as one tensor, computes the
input of W3 on its way, and sums the gradient of the biases while it has it at hand.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from .pointwise import pointwise_conv, pointwise_gradients
from .project import keeps_inputs


def can_project_matrix(
    op: Callable[..., Tensor], x: Tensor, alpha: Tensor, mask: Tensor, context_resize: str
) -> bool:
    """Whether :func:`project_matrix` stands for an operator and an input (B, C, H, W).

    Not where a compiler decides what to keep, for small inputs, which are kept, and for what has
    no backward pass of its own.
    """
    passes = getattr(op, 'passes', None)
    is_native = x.shape[2:] == alpha.shape
    elements = 2 * mask.shape[1] * x[:, 0].numel()  # of Q and K
    return passes is not None and (is_native or context_resize == 'pool') and keeps_inputs(elements)


def project_matrix(
    op: Callable[..., Tensor],
    x: Tensor,
    query: nn.Conv2d,
    key: nn.Conv2d,
    fields: tuple[Tensor, Tensor, Tensor, Tensor],
    conv: nn.Conv2d,
    context_resize: str,
    spans: tuple[int, int],
) -> Tensor:
    """``conv(op(query(x), key(x), *fields))``.

    Args:
        op: The attention, with ``op.passes``.
        x: U (B, C, H, W).
        query: A 1x1 convolution to D channels, W1.
        key: Another, W2.
        fields: alpha, mask, scale and beta.
        conv: A 1x1 convolution, W3.
        context_resize: See :func:`vminet_mm.ops.context`.
        spans: See :func:`vminet_mm.ops.mask_spans`.
    """
    weight = torch.cat([query.weight, key.weight])
    bias = torch.cat([query.bias, key.bias])
    return _ProjectMatrix.apply(
        op.passes, (context_resize, spans), x, weight, bias, *fields, conv.weight, conv.bias
    )


class _ProjectMatrix(torch.autograd.Function):
    """Keeps U, Q and K in one tensor, the context and the parameters."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        passes: tuple[Callable, Callable],
        options: tuple[str, tuple[int, int]],
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        alpha: Tensor,
        mask: Tensor,
        scale: Tensor,
        beta: Tensor,
        proj_weight: Tensor,
        proj_bias: Tensor,
    ) -> Tensor:
        attend, ctx.attend_backward = passes
        ctx.options = options
        fields = alpha, mask, scale, beta
        query_key = pointwise_conv(x, weight, bias)
        with torch.autocast(x.device.type, enabled=False):
            hidden, context = attend(query_key, *fields, *options)
        ctx.save_for_backward(x, query_key, weight, *fields, proj_weight, context)
        return pointwise_conv(hidden, proj_weight, proj_bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, query_key, weight, *fields, proj_weight, context = ctx.saved_tensors
        needed = ctx.needs_input_grad[2:]
        dtype = query_key.dtype  # as autocast had it
        with torch.autocast(x.device.type, enabled=False):
            by_output = proj_weight.to(dtype)
            grad_hidden = pointwise_conv(grad, by_output.transpose(0, 1))
            grads, grad_bias, hidden, grad_alpha, grad_scale, grad_beta = ctx.attend_backward(
                grad_hidden, query_key, *fields, context, *ctx.options
            )
            del grad_hidden
            of_projection = pointwise_gradients(grad, hidden, by_output, needed[7:])
            del hidden
            by_input = weight.to(dtype)
            grad_x = pointwise_conv(grads, by_input.transpose(0, 1)) if needed[0] else None
            has_bias = grad_bias is not None
            grad_weight, bias_of_conv = pointwise_gradients(
                grads, x.to(dtype), by_input, (needed[1], needed[2] and not has_bias)
            )
        found = (
            (grad_x, x),
            (grad_weight, weight),
            (grad_bias if has_bias else bias_of_conv, weight),
            (grad_alpha, fields[0]),
            (None, None),  # the mask
            (grad_scale, fields[2]),
            (grad_beta, fields[3]),
            (of_projection[0], proj_weight),
            (of_projection[1], proj_weight),
        )
        return (
            None,
            None,
            *(
                value.to(like.dtype) if need and value is not None else None
                for need, (value, like) in zip(needed, found, strict=True)
            ),
        )
