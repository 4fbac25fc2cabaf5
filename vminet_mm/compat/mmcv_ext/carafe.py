"""CARAFE: upsampling by a kernel of its own for every output pixel.

k is the kernel size, G the number of groups, s the scale. Features are (B, C, H, W), masks
(B, G * k * k, s * H, s * W), the output (B, C, s * H, s * W). mmcv passes ``kernel_size``,
``group_size`` and ``scale_factor`` by keyword, here ``setting``.
"""

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor

from .common import op, upcast


@op
def carafe_forward(
    features: Tensor,
    masks: Tensor,
    rfeatures: Tensor,
    routput: Tensor,
    rmasks: Tensor,
    output: Tensor,
    **setting: int,
) -> None:
    """Write the upsampled features to output.

    rfeatures, routput and rmasks are work space. mmcv keeps rfeatures for the backward pass.
    """
    rfeatures.copy_(features)
    output.copy_(_reassemble(features, masks, **setting))


@op
def carafe_backward(
    grad_output: Tensor,
    rfeatures: Tensor,
    masks: Tensor,
    rgrad_output: Tensor,
    rgrad_input_hs: Tensor,
    rgrad_input: Tensor,
    rgrad_masks: Tensor,
    grad_input: Tensor,
    grad_masks: Tensor,
    **setting: int,
) -> None:
    """Write the gradients to grad_input and grad_masks; the other four are work space."""
    carafe_naive_backward(grad_output, rfeatures, masks, grad_input, grad_masks, **setting)


@op
def carafe_naive_forward(features: Tensor, masks: Tensor, output: Tensor, **setting: int) -> None:
    """As `carafe_forward`, without work space."""
    output.copy_(_reassemble(features, masks, **setting))


@op
def carafe_naive_backward(
    grad_output: Tensor,
    features: Tensor,
    masks: Tensor,
    grad_input: Tensor,
    grad_masks: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """As `carafe_backward`, without work space."""
    grad_output, features, masks = upcast(grad_output, features, masks)
    split_masks = _split(masks, group_size, scale_factor)
    # (B, G, C/G, H, s, W, s)
    grad = _split(grad_output, group_size, scale_factor)
    grad_split_masks = split_masks.new_empty(split_masks.shape)
    padded = _pad(features, kernel_size)
    grad_padded = padded.new_zeros(padded.shape)
    both = (_shifts(x, group_size, kernel_size) for x in (padded, grad_padded))
    for k, (shifted, grad_shifted) in enumerate(zip(*both, strict=True)):
        grad_split_masks[:, :, k] = (grad * shifted[..., None, :, None]).sum(dim=2)
        grad_shifted += (grad * split_masks[:, :, k, None]).sum(dim=(4, 6))
    grad_input.copy_(F.pad(grad_padded, [-(kernel_size // 2)] * 4))
    grad_masks.copy_(grad_split_masks.reshape(masks.shape))


def _reassemble(
    features: Tensor, masks: Tensor, kernel_size: int, group_size: int, scale_factor: int
) -> Tensor:
    features, masks = upcast(features, masks)
    masks = _split(masks, group_size, scale_factor)
    channels = features.shape[1] // group_size
    output = masks.new_zeros(masks.shape[0], group_size, channels, *masks.shape[3:])
    # A loop over the kernel: unfolding would need kernel * kernel times the features' memory.
    padded = _pad(features, kernel_size)
    for k, shifted in enumerate(_shifts(padded, group_size, kernel_size)):
        output.addcmul_(shifted[..., None, :, None], masks[:, :, k, None])
    return output.reshape(*features.shape[:2], *(scale_factor * n for n in features.shape[2:]))


def _pad(features: Tensor, kernel: int) -> Tensor:
    return F.pad(features, [kernel // 2] * 4)


def _shifts(padded: Tensor, groups: int, kernel: int) -> Iterator[Tensor]:
    """Views (B, G, C/G, H, W) of the padded features, one for each kernel position."""
    padded = padded.unflatten(1, (groups, -1))
    height, width = (n - kernel + 1 for n in padded.shape[3:])
    for y in range(kernel):
        for x in range(kernel):
            yield padded[..., y : y + height, x : x + width]


def _split(tensor: Tensor, groups: int, scale: int) -> Tensor:
    """(B, G * n, s * H, s * W) as (B, G, n, H, s, W, s)."""
    return tensor.unflatten(3, (-1, scale)).unflatten(2, (-1, scale)).unflatten(1, (groups, -1))
