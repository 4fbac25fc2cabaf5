"""What counts as a difference, by hand."""

import math

import pytest
import torch
from torch import Tensor, nn

from vminet_mm.errors import ConfigError
from vminet_mm.export import Difference, Outputs, require_small, verify
from vminet_mm.export.verify import sizes_to_verify


class Logits(Outputs):
    """Logits 0, 4 and -8 for every pixel of any image."""

    choices = ('logits', 'classes')

    def __init__(self) -> None:
        super().__init__(nn.Identity())

    def compute(self, image: Tensor) -> dict[str, Tensor]:
        logits = torch.tensor([0.0, 4.0, -8.0])[:, None, None].expand(len(image), 3, 2, 2)
        return dict(logits=logits, classes=logits.argmax(1))


def test_differences() -> None:
    outputs = Logits()

    def run(image: Tensor) -> list[Tensor]:
        logits, classes = (x.clone() for x in outputs(image))
        logits[0, 0, 0, 0] = 0.5
        classes[-1, 1, 1] = 0
        return [logits, classes]

    found = verify(run, outputs, [(5, 6), (7, 8)])
    assert found == [
        Difference('logits', (1, 3, 5, 6), 8.0, 0.5),
        Difference('classes', (1, 3, 5, 6), 8.0, 4.0),
        Difference('logits', (2, 3, 7, 8), 8.0, 0.5),
        Difference('classes', (2, 3, 7, 8), 8.0, 4.0),
    ]
    assert [row.relative for row in found] == [0.0625, 0.5, 0.0625, 0.5]
    with pytest.raises(ConfigError, match=r'classes differs by 0.5 of .* images \(1, 3, 5, 6\)'):
        require_small(found)
    require_small(verify(outputs, outputs, [(5, 6)]))


def test_limits() -> None:
    assert Difference('logits', (1, 3, 5, 6), 10.0, 1e-3).is_small
    assert not Difference('logits', (1, 3, 5, 6), 10.0, 1.1e-3).is_small
    assert not Difference('logits', (1, 3, 5, 6), 10.0, math.nan).is_small
    assert not Difference('logits', (1, 3, 5, 6), math.nan, math.nan).is_small
    assert Difference('logits', (1, 3, 5, 6), 0.0, 0.0).is_small
    assert not Difference('logits', (1, 3, 5, 6), 0.0, 1.0).is_small
    with pytest.raises(ConfigError, match='logits differs by nan'):
        require_small([Difference('logits', (1, 3, 5, 6), 1.0, math.nan)])


def test_sizes() -> None:
    assert sizes_to_verify((224, 224)) == [(224, 224), (169, 169), (224, 168)]
    assert sizes_to_verify((800, 1280)) == [(800, 1280), (601, 961), (800, 960)]
