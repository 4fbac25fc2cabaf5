"""1x1 convolutions, as matrix products where CUDA then adds the bias in the same pass."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def pointwise_conv(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 1x1 convolution.

    Args:
        x: (B, C, H, W).
        weight: (D, C, 1, 1).
        bias: (D).

    Returns:
        Tensor: (B, D, H, W), in memory as x is.
    """
    if not is_product(x):
        return F.conv2d(x, weight, bias)
    return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


def apply_pointwise(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """As :func:`pointwise_conv`, by the module itself where it is one: hooks see it."""
    return pointwise_conv(x, conv.weight, conv.bias) if is_product(x) else conv(x)


def pointwise_gradients(
    grad: Tensor, x: Tensor, weight: Tensor, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of weight and bias.

    Args:
        grad: Of the output (B, D, H, W).
        x: (B, C, H, W).
        weight: (D, C, 1, 1), of the dtype of x.
        wanted: Which of the two are wanted.
    """
    if not is_product(x):
        return torch.ops.aten.convolution_backward(
            grad,
            x,
            weight,
            [len(weight)],
            *([1, 1], [0, 0], [1, 1]),  # stride, padding, dilation
            False,
            [0, 0],
            1,
            [False, *wanted],
        )[1:]
    rows = grad.permute(0, 2, 3, 1).flatten(0, 2)
    found = rows.t() @ x.permute(0, 2, 3, 1).flatten(0, 2) if wanted[0] else None
    return (
        None if found is None else found.view_as(weight),
        rows.sum(0) if wanted[1] else None,
    )


def pointwise_dtype(x: Tensor) -> torch.dtype:
    """The dtype that a 1x1 convolution of x is computed in."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def is_product(x: Tensor) -> bool:
    """Whether a convolution of x is computed as a matrix product."""
    return x.is_cuda and is_last(x)


def is_last(x: Tensor) -> bool:
    """Whether channels lie next to one another."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
