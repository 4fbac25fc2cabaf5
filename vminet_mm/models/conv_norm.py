"""A convolution and a batch norm that takes the statistics of the batch, without the bias.

Subtracting the mean takes a bias out again, so its gradient is 0. On CUDA, adding it is a pass of
its own over the output, and summing its gradient another over the gradient.
"""

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx


def drops_bias(x: Tensor, norm: nn.Module) -> bool:
    """Whether to compute with :func:`conv_without_bias`; a compiler fuses the bias."""
    takes_statistics = type(norm) is nn.BatchNorm2d and norm.training and norm.momentum is not None
    return takes_statistics and _on_cuda(x) and not torch.compiler.is_compiling()


def conv_without_bias(x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Tensor:
    """``norm(conv(x))`` of x (B, C, H, W), but for rounding, with its gradients and statistics.

    The norm is in training mode, and the bias of the convolution gets a gradient of 0.
    """
    y = norm(_WithGradient.apply(conv._conv_forward(x, conv.weight, None), conv.bias))
    if norm.track_running_stats:
        # the norm keeps this tensor, though its backward pass does not read it: no new version
        norm.running_mean.data.add_(conv.bias.detach(), alpha=norm.momentum)
    return y


class _WithGradient(torch.autograd.Function):
    """The first tensor. The second gets a gradient of 0: some expect one for each parameter."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(bias)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor]:
        return grad, torch.zeros_like(ctx.saved_tensors[0])


def _on_cuda(x: Tensor) -> bool:
    return x.is_cuda
