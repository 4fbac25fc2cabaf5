"""W3 after the attention, without keeping its input for the backward pass."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

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
    is_small = sum(x.numel() for x in inputs) < MIN_ELEMENTS
    if is_small or torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return conv(attend(*inputs))
    return _AttendAndProject.apply(attend, conv.weight, conv.bias, *inputs)


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
        return F.conv2d(attend(*inputs), weight, bias)

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
        gradients = torch.ops.aten.convolution_backward(
            grad,
            hidden.detach(),
            weight.to(hidden.dtype),  # as autocast had it
            [len(weight)],
            *([1, 1], [0, 0], [1, 1]),  # stride, padding, dilation
            False,
            [0, 0],
            1,
            [any(needed), *ctx.needs_input_grad[1:3]],
        )
        grad_hidden, grad_weight, grad_bias = gradients
        wanted = [x for x in inputs if x.requires_grad]
        found = iter(torch.autograd.grad(hidden, wanted, grad_hidden) if wanted else ())
        return (
            None,
            None if grad_weight is None else grad_weight.to(weight.dtype),
            None if grad_bias is None else grad_bias.to(weight.dtype),
            *(next(found) if x.requires_grad else None for x in inputs),
        )
