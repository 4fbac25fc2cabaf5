"""What is recomputed has the same gradients, and counts a batch once."""

import copy

import pytest
import torch
from torch import nn

from vminet_mm.models.recompute import recompute


@pytest.mark.parametrize('backward_passes', [1, 2])
def test_norms_count_a_batch_once(backward_passes: int) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.BatchNorm2d(3))
    recomputed, x = copy.deepcopy(plain), torch.randn(2, 2, 5, 4)
    outputs = plain(x), recompute(recomputed, recomputed, x)
    for y in outputs:
        for _ in range(backward_passes):
            y.square().sum().backward(retain_graph=True)
    assert recomputed[1].num_batches_tracked == 1
    torch.testing.assert_close(recomputed.state_dict(), plain.state_dict())
    for one, other in zip(recomputed.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_without_norms() -> None:
    layer, x, calls = nn.Linear(3, 2), torch.randn(4, 3), []
    recompute(layer, lambda x, factor: calls.append(x) or factor * layer(x), x, 2).sum().backward()
    assert len(calls) == 2
    torch.testing.assert_close(layer.weight.grad, 2 * x.sum(0).expand(2, 3))
