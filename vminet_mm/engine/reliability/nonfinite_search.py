"""Where a forward pass becomes non-finite: the layer, the images, the terms of the loss."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.structures import BaseDataElement
from torch import Tensor, nn


@dataclass
class Finding:
    """What the forward pass of one process shows.

    Attributes:
        layer: The first layer whose output is not finite, as a sentence says it.
        terms: Names and values of the terms of the loss that are not finite.
        images: The images of the batch.
        suspects: Those of them at which the layer's output is not finite, where it tells them
            apart.
        weights: The parameters that are not finite.
        error: Of the forward pass, if it failed.
    """

    layer: str = ''
    terms: dict[str, float] = field(default_factory=dict)
    images: list[str] = field(default_factory=list)
    suspects: list[str] = field(default_factory=list)
    weights: list[str] = field(default_factory=list)
    error: str = ''

    def lines(self) -> list[str]:
        """The finding in words; nothing where all is finite."""
        if self.error:
            return [f'the forward pass, computed once more, failed: {self.error}']
        if not self.terms:
            return []
        lines = ['terms: ' + ', '.join(f'{name} {value}' for name, value in self.terms.items())]
        if self.weights:
            lines.append(
                f'{len(self.weights)} weights are not finite since the update before, the first '
                f'{self.weights[0]}'
            )
        lines.append(f'first layer with an output that is not finite: {self.layer or "none"}')
        if self.suspects and self.suspects != self.images:
            lines.append('images at which it is not: ' + ', '.join(self.suspects))
        lines.append('images of the batch: ' + ', '.join(self.images))
        return lines


def search(model: nn.Module, batch: Any, optim_wrapper: OptimWrapper) -> Finding:
    """Compute the loss of a batch as a training step does, and look at the output of every layer.

    The model is without wrapper; that of the optimizer knows the precision of the forward pass.
    """
    found = Finding(images=image_names(batch), weights=non_finite_weights(model))
    try:
        with torch.no_grad(), optim_wrapper.optim_context(model), _watched(model, found):
            data = model.data_preprocessor(batch, True)
            losses = model._run_forward(data, mode='loss')
        terms = model.parse_losses(losses)[1]
    except Exception as error:  # whatever a model does with such numbers, the run is to be ended
        found.error = f'{type(error).__name__}: {error}'
        return found
    found.terms = {
        name: value.item() for name, value in terms.items() if not torch.isfinite(value).all()
    }
    return found


def non_finite_weights(model: nn.Module) -> list[str]:
    """The names of the parameters with a value that is not finite."""
    return [name for name, weight in model.named_parameters() if not weight.isfinite().all()]


def image_names(batch: Any) -> list[str]:
    """The paths of the images of a batch, or else what their data samples hold."""
    names = []
    for i, sample in enumerate(_samples(batch)):
        known = [sample.metainfo.get(key) for key in ('img_path', 'sample_idx', 'img_id')]
        names.append(next((str(name) for name in known if name is not None), f'number {i}'))
    return names


def _samples(batch: Any) -> Iterator[BaseDataElement]:
    if isinstance(batch, BaseDataElement):
        yield batch
    elif isinstance(batch, (Mapping, list, tuple)):
        for part in batch.values() if isinstance(batch, Mapping) else batch:
            yield from _samples(part)


def _watched(model: nn.Module, found: Finding) -> ExitStack:
    """Context manager that records in ``found`` the first layer with a non-finite output."""
    hooks = ExitStack()
    for name, layer in model.named_modules():
        look = partial(_look, model, name, found)
        hooks.enter_context(layer.register_forward_hook(look, with_kwargs=True))
    return hooks


def _look(
    model: nn.Module,
    name: str,
    found: Finding,
    layer: nn.Module,
    args: tuple,
    kwargs: dict,
    output: Any,
) -> None:
    """Note the layer, if it is the first. Parts come before the whole that they make."""
    if found.layer or _is_finite(output):
        return
    found.layer = f'{name or "the model"} ({type(layer).__name__})'
    if name != 'data_preprocessor' and not _is_finite((args, kwargs)):
        parent = name.rpartition('.')[0]
        while parent and isinstance(model.get_submodule(parent), nn.Sequential):
            parent = parent.rpartition('.')[0]  # which computes nothing of its own
        owner = type(model.get_submodule(parent)).__name__
        found.layer += (
            '; its input is not finite either and no layer gave it, so it is what '
            f'{parent or "the model"} ({owner}) computes before it'
        )
    found.suspects = [found.images[i] for i in sorted(_non_finite(output, len(found.images)))]


def _is_finite(value: Any) -> bool:
    return all(x.isfinite().all() for x in _tensors(value))


def _non_finite(value: Any, images: int) -> set[int]:
    """Indices of the images with non-finite values, where dimension 0 is the batch."""
    if isinstance(value, Tensor):
        by_image = value.is_floating_point() and value.ndim > 0 and len(value) == images
        return {i for i in range(images) if not value[i].isfinite().all()} if by_image else set()
    if isinstance(value, Mapping):
        value = list(value.values())
    if not isinstance(value, (list, tuple)):
        return set()
    if len(value) == images and all(map(_is_of_one_image, value)):
        return {i for i, part in enumerate(value) if not _is_finite(part)}
    return set().union(*(_non_finite(part, images) for part in value))


def _is_of_one_image(value: Any) -> bool:
    return isinstance(value, BaseDataElement) or (isinstance(value, Tensor) and value.ndim == 3)


def _tensors(value: Any) -> Iterator[Tensor]:
    """The floating-point tensors in what a layer takes or gives."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, (Mapping, BaseDataElement)):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _tensors(part)
    elif hasattr(value, 'tensor'):  # boxes of mmdet
        yield from _tensors(value.tensor)
