"""Convolution and norm without the bias, as on CUDA, against the plain ones."""

import copy

import pytest
import torch
from torch import Tensor, nn

from vminet_mm.models import conv_norm
from vminet_mm.models.block import ConvBN


@pytest.fixture(autouse=True)
def as_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conv_norm, '_on_cuda', lambda x: True)


def layers(**options: object) -> nn.Sequential:
    made = ConvBN(3, 6, 3, dict(type='BN', **options), stride=2).double()
    nn.init.normal_(made.conv.bias, std=3.0)
    nn.init.normal_(made.bn.weight)
    return made


def step(parts: nn.Sequential, x: Tensor, without: bool) -> tuple[Tensor, dict]:
    assert conv_norm.drops_bias(x, parts.bn)
    for parameter in parts.parameters():
        parameter.grad = None
    y = parts(x) if without else parts.bn(parts.conv(x))
    (y * torch.arange(y.numel()).view_as(y).cos()).sum().backward()
    return y, {name: p.grad for name, p in parts.named_parameters()}


@pytest.mark.parametrize('options', [{}, dict(momentum=0.3), dict(track_running_stats=False)])
def test_against_the_plain_layers(options: dict) -> None:
    ours = layers(**options)
    plain = copy.deepcopy(ours)
    for size in ((5, 8), (9, 4)):
        x = torch.randn(2, 3, *size, dtype=torch.float64) + 4
        (y, found), (expected, grads) = step(ours, x, True), step(plain, x, False)
        torch.testing.assert_close(y, expected)
        assert torch.equal(found['conv.bias'], torch.zeros(6, dtype=torch.float64))
        torch.testing.assert_close(found, grads, rtol=1e-6, atol=1e-10)
        torch.testing.assert_close(ours.state_dict(), plain.state_dict())


def test_where_the_bias_matters() -> None:
    x = torch.randn(2, 3, 4, 4).double()
    assert not conv_norm.drops_bias(x, layers().eval().bn)
    assert not conv_norm.drops_bias(x, layers(momentum=None).bn)
    assert not conv_norm.drops_bias(x, nn.GroupNorm(2, 6))
    evaluated = layers().eval()
    torch.testing.assert_close(evaluated(x), evaluated.bn(evaluated.conv(x)))
