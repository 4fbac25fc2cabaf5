"""Deformable convolution, version 1 and the modulated version 2.

G is the number of deformable groups and K = kernel height * width. Offsets are (B, 2GK, H', W'),
y before x for each kernel position; masks (B, GK, H', W'). mmcv passes kernel size, stride,
padding, dilation and groups by keyword, here ``geometry``. columns and ones are work space of the
compiled operator, im2col_step its batch size.
"""

import math
import weakref
from collections.abc import Mapping

import torch
import torchvision  # noqa: F401  registers torch.ops.torchvision
from torch import Tensor

from .common import op, upcast

# the names that mmcv has in both versions, in the order of torchvision
_FIRST = ('dH', 'dW', 'padH', 'padW', 'dilationH', 'dilationW', 'group', 'deformable_group')
_SECOND = (
    *('stride_h', 'stride_w', 'pad_h', 'pad_w', 'dilation_h', 'dilation_w'),
    *('group', 'deformable_group'),
)


@op
def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    **geometry: int,
) -> None:
    """Deformable convolution of input (B, C, H, W) by weight (O, C/group, kH, kW) to output."""
    tensors = _without_mask(input, weight, offset)
    output.copy_(_convolve(tensors, _values(geometry, _FIRST), use_mask=False))


@op
def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **geometry: int,
) -> None:
    """Gradients of `deform_conv_forward` by input and offset."""
    tensors = _without_mask(input, weight, offset)
    grads = _gradients(grad_output, tensors, _values(geometry, _FIRST), use_mask=False)
    grad_input.copy_(grads[0])
    grad_offset.copy_(grads[2])
    # torchvision computes all gradients together. mmcv hands the same work space to
    # deform_conv_backward_parameters next: leave the weight's there, to do the work once.
    columns.weight_grad = weakref.ref(grad_output), grad_output._version, grads[1]


@op
def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    scale: float,
    **geometry: int,
) -> None:
    """Add scale times the gradient by the weight to grad_weight (O, C/group, kH, kW)."""
    of, version, grad = getattr(columns, 'weight_grad', None) or (lambda: None, 0, None)
    columns.weight_grad = None
    if of() is not grad_output or version != grad_output._version:  # not from this backward pass
        tensors = _without_mask(input, torch.zeros_like(grad_weight), offset)
        grad = _gradients(grad_output, tensors, _values(geometry, _FIRST), use_mask=False)[1]
    grad_weight.add_(grad.to(grad_weight), alpha=scale)


@op
def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    with_bias: bool,
    **geometry: int,
) -> None:
    """Deformable convolution with a factor for each sample, mask; as `deform_conv_forward`."""
    groups = geometry['deformable_group']
    tensors = _with_mask(input, weight, bias, offset, mask, output.shape[2:], groups)
    output.copy_(_convolve(tensors, _values(geometry, _SECOND), use_mask=True))


@op
def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    with_bias: bool,
    **geometry: int,
) -> None:
    """Gradients of `modulated_deform_conv_forward`, each written to its tensor."""
    size, groups = grad_output.shape[2:], geometry['deformable_group']
    tensors = _with_mask(input, weight, bias, offset, mask, size, groups)
    grads = _gradients(grad_output, tensors, _values(geometry, _SECOND), use_mask=True)
    grad_input.copy_(grads[0])
    grad_weight.copy_(grads[1])
    for whole, used in ((grad_offset, grads[2]), (grad_mask, grads[3])):
        used = used.flatten(1)
        flat = torch.zeros_like(whole, memory_format=torch.contiguous_format).flatten(1)
        flat[:, : used.shape[1]] = used.to(whole)
        whole.copy_(flat.view(whole.shape))
    if with_bias:
        grad_bias.copy_(grads[4])


def _without_mask(input: Tensor, weight: Tensor, offset: Tensor) -> tuple[Tensor, ...]:
    input, weight, offset = upcast(input, weight, offset)
    return input, weight, offset, input.new_zeros(len(input), 1), input.new_zeros(len(weight))


def _with_mask(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    offset: Tensor,
    mask: Tensor,
    size: torch.Size,
    deformable_group: int,
) -> tuple[Tensor, ...]:
    input, weight, offset, mask, bias = upcast(input, weight, offset, mask, bias)
    samples = deformable_group * math.prod(weight.shape[2:])
    offset = _reinterpret(offset, (2 * samples, *size), 'offset')
    mask = _reinterpret(mask, (samples, *size), 'mask')
    return input, weight, offset, mask, bias if bias.numel() else input.new_zeros(len(weight))


def _reinterpret(tensor: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
    """The first values of each sample, read as `shape`.

    mmcv's kernels take offset and mask as bare memory. DyHead relies on it: it passes those of one
    pyramid level with the features of the next, whose output is smaller.
    """
    if tensor.shape[1:] == shape:
        return tensor
    needed = math.prod(shape)
    if tensor[0].numel() < needed:  # mmcv would read beyond the sample
        raise ValueError(
            f'{name} of shape {tuple(tensor.shape)} is too small: the output needs {shape} a sample'
        )
    return tensor.flatten(1)[:, :needed].reshape(-1, *shape)


def _values(geometry: Mapping[str, int], names: tuple[str, ...]) -> list[int]:
    return [geometry[name] for name in names]


def _convolve(tensors: tuple[Tensor, ...], geometry: list[int], use_mask: bool) -> Tensor:
    return torch.ops.torchvision.deform_conv2d(*tensors, *geometry, use_mask)


def _gradients(
    grad_output: Tensor, tensors: tuple[Tensor, ...], geometry: list[int], use_mask: bool
) -> tuple[Tensor, ...]:
    """Gradients by input, weight, offset, mask and bias."""
    return torch.ops.torchvision._deform_conv2d_backward(
        grad_output.to(tensors[0]), *tensors, *geometry, use_mask
    )
