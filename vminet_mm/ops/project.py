"""W3 after the attention, without keeping its input for the backward pass."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from .pointwise import apply_pointwise, pointwise_conv, pointwise_gradients

# smaller tensors, together, are kept: little memory, and operations that take a constant time
MIN_ELEMENTS = 2**20


def attend_and_project(attend: Callable[..., Tensor], conv: nn.Conv2d, *inputs: Tensor) -> Tensor:
    """``conv(attend(*inputs))``, which keeps the inputs and computes ``attend`` twice.

    The output of the attention is as large as Q or K and costs two passes over memory to compute,
    little beside the matrix products around it. Below :data:`MIN_ELEMENTS` it is kept. A compiler
    decides for itself what to keep.

    Args:
        attend: A differentiable function of the inputs, (B, D, H, W).
        conv: A 1x1 convolution with bias.
        *inputs: All tensors that ``attend`` depends on.
    """
    if not keeps_inputs(sum(x.numel() for x in inputs)):
        return apply_pointwise(conv, attend(*inputs))
    return _AttendAndProject.apply(attend, conv.weight, conv.bias, *inputs)


def project_apart(
    attend: Callable[..., tuple[Tensor, Tensor]],
    x: Tensor,
    linears: tuple[Tensor, ...],
    fields: tuple[Tensor, ...],
    residual: Tensor | None,
    keep: Tensor | None,
    *options: object,
) -> tuple[Tensor, Tensor, Tensor]:
    """:func:`vminet_mm.ops.matrix_torch.project` by one operation for each of its parts."""
    query_weight, query_bias, key_weight, key_bias, weight, bias = linears
    weights, biases = torch.cat([query_weight, key_weight]), torch.cat([query_bias, key_bias])
    query_key = pointwise_conv(x, weights, biases)
    with torch.autocast(x.device.type, enabled=False):
        hidden, context = attend(query_key, *fields, *options)
    branch = pointwise_conv(hidden, weight, bias)
    return branch if residual is None else add_branch(residual, branch, keep), query_key, context


def add_branch(x: Tensor, branch: Tensor, keep: Tensor | None = None) -> Tensor:
    """``x + keep branch`` in one pass.

    Args:
        x: (B, C, H, W).
        branch: Of the same shape.
        keep: (B, 1, 1, 1), or None for 1.
    """
    return x + branch if keep is None else torch.addcmul(x, branch, keep)


def keeps_inputs(elements: int) -> bool:
    """Whether to keep inputs of so many elements and compute what follows from them twice."""
    is_small = elements < MIN_ELEMENTS
    return torch.is_grad_enabled() and not is_small and not torch.compiler.is_compiling()


class _AttendAndProject(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        attend: Callable[..., Tensor],
        weight: Tensor,
        bias: Tensor,
        *inputs: Tensor,
    ) -> Tensor:
        ctx.attend = attend
        ctx.save_for_backward(weight, *inputs)
        return pointwise_conv(attend(*inputs), weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        weight, *saved = ctx.saved_tensors
        needed = ctx.needs_input_grad[3:]
        with torch.enable_grad():
            inputs = [
                x.detach().requires_grad_(need) for x, need in zip(saved, needed, strict=True)
            ]
            hidden = ctx.attend(*inputs)
        by_output = weight.to(hidden.dtype)  # as autocast had it
        grad_hidden = pointwise_conv(grad, by_output.transpose(0, 1)) if any(needed) else None
        grad_weight, grad_bias = pointwise_gradients(
            grad, hidden.detach(), by_output, ctx.needs_input_grad[1:3]
        )
        wanted = [x for x in inputs if x.requires_grad]
        found = iter(torch.autograd.grad(hidden, wanted, grad_hidden) if wanted else ())
        return (
            None,
            None if grad_weight is None else grad_weight.to(weight.dtype),
            None if grad_bias is None else grad_bias.to(weight.dtype),
            *(next(found) if x.requires_grad else None for x in inputs),
        )
