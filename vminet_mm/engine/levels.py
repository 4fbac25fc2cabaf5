"""The strides that a detector's heads are told, beside those of the maps that they are given.

With others anchors and regions lie beside their objects, and nothing but the accuracy shows it.
"""

from collections.abc import Iterator, Sequence

import torch
from mmengine.model import is_model_wrapper
from torch import nn

from ..errors import ConfigError
from ..models import VMINet
from ..models.padding import cells

EDGE = 256  # pixels of an image, of whose maps the sizes are looked at
ROUNDING = 1.25  # that much more or fewer cells, where the edge is no multiple of a stride
GENERATORS = ('AnchorGenerator', 'MlvlPointGenerator')  # SSD and YOLO have maps of other rules


def require_strides_of_maps(model: nn.Module) -> None:
    """Raise ConfigError if a head of a detector with a VMINet has other strides than its maps."""
    model = model.module if is_model_wrapper(model) else model
    told = list(_told_strides(model))
    if not told or not isinstance(getattr(model, 'backbone', None), VMINet):
        return
    maps = _cells(model)
    for name, strides in told:
        given = maps[: len(strides)]
        if not all(map(_fits, given, strides)) or len(given) < len(strides):
            found = [round(EDGE / number) for number in maps]
            raise ConfigError(
                f'{name} has the strides {strides}, but the maps of backbone and neck have '
                f'{found}: set the strides of {name} to these'
            )


def _told_strides(model: nn.Module) -> Iterator[tuple[str, list[int]]]:
    """The parts that are told strides, by name: generators of anchors or points, RoI extractors.

    Those of a semantic branch are given a map of its own.
    """
    for name, module in model.named_modules():
        generator = getattr(module, 'prior_generator', None)
        if type(generator).__name__ in GENERATORS:
            yield f'{name}.prior_generator', [stride[0] for stride in generator.strides]
        if hasattr(module, 'featmap_strides') and 'semantic' not in name:
            yield name, list(module.featmap_strides)


def _cells(model: nn.Module) -> Sequence[int]:
    """How many cells wide the maps are that the neck makes of those of the backbone."""
    backbone, neck = model.backbone, getattr(model, 'neck', None)
    sizes = {i: cells((EDGE, EDGE), backbone.out_strides[i]) for i in backbone.out_indices}
    new = next(model.parameters()).new_zeros
    maps = tuple(new(1, backbone.out_channels[i], *size) for i, size in sizes.items())
    if neck is not None:
        was_training = neck.training
        with torch.no_grad():
            maps = neck.eval()(maps)
        neck.train(was_training)
    return [found.shape[-1] for found in maps]


def _fits(number: int, stride: int) -> bool:
    """Whether a map of so many cells may have a stride, rounded up or made of one that was."""
    expected = EDGE / stride
    return abs(number - expected) < 1 or 1 / ROUNDING < number / expected < ROUNDING
