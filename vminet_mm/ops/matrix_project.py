"""From the input of the matrix form to the output of the block, as one node of autograd.

By itself every part of it keeps its input and computes its own gradients. Together they keep U, Q
and K; the backward pass of the attention writes the gradient of Q and K as one tensor, computes the
input of W3 on its way, and sums the gradient of the biases while it has it at hand.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from .pointwise import pointwise_conv, pointwise_gradients
from .project import keeps_inputs


def can_project_matrix(
    op: Callable[..., Tensor], x: Tensor, alpha: Tensor, mask: Tensor, context_resize: str
) -> bool:
    """Whether :func:`project_matrix` stands for an operator and an input (B, C, H, W).

    With gradients not where a compiler decides what to keep, and not for small inputs, which are
    kept; without them where the operator has kernels for it; and for no operator without a backward
    pass of its own.
    """
    if not hasattr(op, 'passes') or (x.shape[2:] != alpha.shape and context_resize != 'pool'):
        return False
    if not torch.is_grad_enabled():
        return op.passes[2](x)
    return keeps_inputs(2 * mask.shape[1] * x[:, 0].numel())  # of Q and K


def project_matrix(
    op: Callable[..., Tensor],
    x: Tensor,
    linears: tuple[Tensor, ...],
    fields: tuple[Tensor, Tensor, Tensor, Tensor],
    context_resize: str,
    spans: tuple[int, int],
    residual: Tensor | None = None,
    keep: Tensor | None = None,
) -> Tensor:
    """``residual + keep conv(op(query(x), key(x), *fields))``, with 1x1 convolutions.

    Args:
        op: The attention, with ``op.passes``.
        x: U (B, C, H, W).
        linears: Weight and bias of W1, of W2, and of W3.
        fields: alpha, mask, scale and beta.
        context_resize: See :func:`vminet_mm.ops.context`.
        spans: See :func:`vminet_mm.ops.mask_spans`.
        residual: (B, C, H, W), or None for none.
        keep: (B, 1, 1, 1), a factor without a gradient, or None for 1.
    """
    options = context_resize, spans
    if not torch.is_grad_enabled():
        return op.passes[0](x, linears, fields, residual, keep, *options)[0]
    return _ProjectMatrix.apply(op.passes, options, keep, x, residual, *linears, *fields)


class _ProjectMatrix(torch.autograd.Function):
    """Keeps U, Q and K in one tensor, the context and the parameters."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        passes: tuple[Callable, ...],
        options: tuple[str, tuple[int, int]],
        keep: Tensor | None,
        x: Tensor,
        residual: Tensor | None,
        *parameters: Tensor,
    ) -> Tensor:
        project, ctx.attend_backward, _ = passes
        ctx.options = options
        linears, fields = parameters[:6], parameters[6:]
        out, query_key, context = project(x, linears, fields, residual, keep, *options)
        ctx.save_for_backward(x, query_key, context, keep, *parameters)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, query_key, context, keep, *parameters = ctx.saved_tensors
        needs_x, needs_residual, *needed = ctx.needs_input_grad[3:]
        with torch.autocast(x.device.type, enabled=False):
            branch = (grad if keep is None else grad * keep).to(query_key.dtype)
            grads, of_projection, of_fields, grad_bias = _attention_gradients(
                ctx, branch, query_key, context, parameters, needed
            )
            weight = torch.cat([parameters[0], parameters[2]]).to(query_key.dtype)
            grad_x = pointwise_conv(grads, weight.transpose(0, 1)) if needs_x else None
            has_bias = grad_bias is not None
            wanted = needed[0] or needed[2], (needed[1] or needed[3]) and not has_bias
            grad_weight, bias_of_conv = pointwise_gradients(
                grads, x.to(query_key.dtype), weight, wanted
            )
        grad_bias = grad_bias if has_bias else bias_of_conv
        of_inputs = _halves(grad_weight, parameters[0]), _halves(grad_bias, parameters[1])
        found = (
            *(x for pair in zip(*of_inputs, strict=True) for x in pair),
            *of_projection,
            *of_fields,
        )
        grad_parameters = (
            value.to(like.dtype) if need and value is not None else None
            for need, value, like in zip(needed, found, parameters, strict=True)
        )
        return (
            *(None, None, None),
            grad_x.to(x.dtype) if needs_x else None,
            grad if needs_residual else None,
            *grad_parameters,
        )


def _attention_gradients(
    ctx: FunctionCtx,
    grad: Tensor,
    query_key: Tensor,
    context: Tensor,
    parameters: list[Tensor],
    needed: list[bool],
) -> tuple[Tensor, tuple, tuple, Tensor | None]:
    """The gradients of Q and K, of W3 and its bias, of the fields, and of the biases of Q and K."""
    *_, proj_weight, _ = linears = parameters[:6]
    fields = parameters[6:]
    by_output = proj_weight.to(query_key.dtype)  # as autocast had it
    grad_hidden = pointwise_conv(grad, by_output.transpose(0, 1))
    grads, grad_bias, hidden, grad_alpha, grad_scale, grad_beta = ctx.attend_backward(
        grad_hidden, query_key, *fields, context, *ctx.options
    )
    del grad_hidden
    of_projection = pointwise_gradients(grad, hidden, by_output, needed[4 : len(linears)])
    return grads, of_projection, (grad_alpha, None, grad_scale, grad_beta), grad_bias


def _halves(grad: Tensor | None, like: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of W1 and of W2, or of their biases, of the dtype of these."""
    return (None, None) if grad is None else grad.to(like.dtype).chunk(2)
