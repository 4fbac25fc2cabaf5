"""Images of several sizes in one batch: which cells of a map belong to an image or are padding.

A batch is padded at the right and at the bottom. The sizes of its images come with the tensor
itself (:func:`set_image_sizes`), so they cannot be those of another batch, and a tensor that was
computed from it has none. In a config the data preprocessor sets them (``SizedDataPreprocessor``).
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..errors import ConfigError

Size = tuple[int, int]
_ATTRIBUTE = 'vminet_mm_image_sizes'


def maps_by_size(
    function: Callable[[Tensor], Sequence[Tensor]],
    images: Tensor,
    sizes: Sequence[Size],
    strides: Sequence[int],
) -> list[Tensor]:
    """Maps of each image without its padding; images of one size are computed together.

    Args:
        function: From images (b, 3, h, w) to one map (b, C, ceil(h / stride), ceil(w / stride))
            per stride.
        images: (B, 3, H, W).
        sizes: Height and width of each image.
        strides: Of the maps.

    Returns:
        list[Tensor]: (B, C, ceil(H / stride), ceil(W / stride)) each, zero beyond an image.
    """
    members: dict[Size, list[int]] = {}
    for i, size in enumerate(sizes):
        members.setdefault(size, []).append(i)
    singles = images.split(1)
    found: dict[int, tuple[Tensor, ...]] = {}
    for size, indices in members.items():
        maps = function(resize(torch.cat([singles[i] for i in indices]), size))
        found.update(zip(indices, zip(*(y.split(1) for y in maps), strict=True), strict=True))
    ordered = zip(*(found[i] for i in range(len(sizes))), strict=True)
    return [
        torch.cat([resize(y, cells(images.shape[2:], stride)) for y in maps])
        for stride, maps in zip(strides, ordered, strict=True)
    ]


def zero_padding(maps: Tensor, sizes: Sequence[Size], stride: int) -> Tensor:
    """Maps (B, C, H, W) of a stride, with zeros beyond each image; sizes are in pixels."""
    whole = tuple(maps.shape[2:])
    parts = [resize(y, cells(s, stride)) for y, s in zip(maps.split(1), sizes, strict=True)]
    return torch.cat([resize(y, whole) for y in parts])


def cells(size: Size, stride: int) -> Size:
    """The size of a map of an image."""
    return -(-size[0] // stride), -(-size[1] // stride)


def resize(maps: Tensor, size: Size) -> Tensor:
    """Cut maps (B, C, H, W) off at the right and the bottom, or add zeros there."""
    height, width = maps.shape[2:]
    if size == (height, width):
        return maps
    # cuts off, too, with a backward pass that is one padding
    return F.pad(maps, (0, size[1] - width, 0, size[0] - height))


def set_image_sizes(images: Tensor, sizes: Sequence[Sequence[int]]) -> Tensor:
    """Set the size of each image of a padded batch, for a backbone with ``mask_padding=True``.

    Args:
        images: (B, 3, H, W). This very tensor must be given to the backbone.
        sizes: Height and width of each in pixels; what is right of and below them is padding.

    Returns:
        Tensor: The images.

    Raises:
        ValueError: If these cannot be the sizes of this batch.
    """
    sizes = tuple((int(size[0]), int(size[1])) for size in sizes)
    height, width = images.shape[-2:]
    fits = all(0 < h <= height and 0 < w <= width for h, w in sizes)
    if len(sizes) != len(images) or not fits:
        raise ValueError(
            f'the image sizes {sizes} are not those of a batch {tuple(images.shape)}: give one '
            '(height, width) for each image, from 1 to what the batch is padded to'
        )
    setattr(images, _ATTRIBUTE, sizes)
    return images


def copy_image_sizes(copy: Tensor, images: Tensor) -> Tensor:
    """Copy the sizes of images, if they carry any, to a copy of the images."""
    sizes = getattr(images, _ATTRIBUTE, None)
    return copy if sizes is None else set_image_sizes(copy, sizes)


def image_sizes(images: Tensor) -> tuple[Size, ...]:
    """The sizes that :func:`set_image_sizes` has set.

    Raises:
        ConfigError: If nothing was set on this very tensor.
    """
    sizes = getattr(images, _ATTRIBUTE, None)
    if sizes is None:
        raise ConfigError(
            'mask_padding=True needs the size of each image, and this batch does not carry them. '
            "Set model.data_preprocessor to dict(type='SizedDataPreprocessor', "
            "base='DetDataPreprocessor') (or the base of another package); without one call "
            'vminet_mm.models.set_image_sizes(images, sizes) on the very tensor that the backbone '
            'is given'
        )
    return sizes


@MODELS.register_module('SizedDataPreprocessor')
def sized_data_preprocessor(base: str, **kwargs: object) -> nn.Module:
    """A data preprocessor that sets the sizes of the images of each batch.

    In a config ``data_preprocessor=dict(type='SizedDataPreprocessor', base='DetDataPreprocessor')``
    with the other settings as they are.

    Args:
        base: The type of the preprocessor, such as ``'DetDataPreprocessor'`` or
            ``'SegDataPreProcessor'``.
        **kwargs: Its settings.

    Returns:
        nn.Module: The preprocessor, of its own type.
    """
    preprocessor = MODELS.build(dict(type=base, **kwargs))
    preprocessor.register_forward_hook(_hand_over_sizes, with_kwargs=True)
    return preprocessor


def _hand_over_sizes(preprocessor: nn.Module, args: tuple, kwargs: dict, batch: dict) -> None:
    """Set the sizes of the images as they were before they were padded."""
    data = args[0] if args else kwargs['data']
    training = args[1] if len(args) > 1 else kwargs.get('training', False)
    if training and getattr(preprocessor, 'batch_augments', None):  # they may resize
        sizes = [sample.img_shape[:2] for sample in batch['data_samples']]
    else:
        sizes = [image.shape[-2:] for image in data['inputs']]
    set_image_sizes(batch['inputs'], sizes)
