"""Comparing an exported file with the model it was made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..models.channels import input_channels
from .outputs import Outputs
from .session import open_session

TOLERANCE = 1e-4  # relative to the largest value


@dataclass(frozen=True)
class Difference:
    """How far an output is from what torch computes for the same images.

    Attributes:
        output: Its name.
        images: Shape of the batch of images, (B, C, H, W).
        largest: The largest absolute value that torch computes; of ``classes``, of their logits.
        difference: The largest absolute difference; of ``classes`` by how much the logit of the
            chosen class is below the largest one, so that a tie may be resolved either way; of
            ``objects`` the number of those that only one of the two has.
        limit: The largest relative difference that is rounding.
    """

    output: str
    images: tuple[int, ...]
    largest: float
    difference: float
    limit: float = TOLERANCE

    @property
    def relative(self) -> float:
        """The difference relative to the largest value."""
        return self.difference / self.largest if self.largest else self.difference

    @property
    def is_small(self) -> bool:
        """Whether it is rounding; False for numbers that are not finite."""
        return self.relative <= self.limit


def sizes_to_verify(size: tuple[int, int]) -> list[tuple[int, int]]:
    """Three sizes: the given one, one with odd edges, and one of another aspect ratio."""
    height, width = size
    return [size, (3 * height // 4 | 1, 3 * width // 4 | 1), (height, 3 * width // 4)]


def verify(
    run: Callable[[Tensor], Sequence[Tensor]], outputs: Outputs, sizes: Sequence[tuple[int, int]]
) -> list[Difference]:
    """Compare a file with its model in torch on random images, in batches of 1, 2, 3, ...

    ``outputs`` is the model as it was before it was made exportable.
    """
    differences = []
    channels = input_channels(outputs.model)
    for batch, size in enumerate(sizes, 1):
        image = torch.randn(batch, channels, *size)
        with torch.no_grad():
            expected = outputs.compute(image)
        for name, actual in zip(outputs.names, run(image), strict=True):
            values = expected[name]
            if name == 'classes':
                values = expected['logits']
                chosen = values.gather(1, actual[:, None])
                apart = values.max(1, keepdim=True).values - chosen
            else:
                apart = (values - actual).abs()
            largest, difference = float(values.abs().max()), float(apart.max())
            differences.append(Difference(name, tuple(image.shape), largest, difference))
    return differences


def onnx_runner(path: Path) -> Callable[[Tensor], list[Tensor]]:
    """An ONNX file as a function of a batch of images, on the CPU.

    Raises:
        ConfigError: If onnxruntime is missing.
    """
    session = open_session(path)
    return lambda image: [torch.from_numpy(x) for x in session.run(None, {'image': image.numpy()})]


def pt2_runner(path: Path) -> Callable[[Tensor], Sequence[Tensor]]:
    """A program of torch.export as a function of a batch of images."""
    module = torch.export.load(path).module()

    def run(image: Tensor) -> Sequence[Tensor]:
        """Map images (B, 3, H, W) to the outputs."""
        with torch.no_grad():
            return module(image)

    return run
