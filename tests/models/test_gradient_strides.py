"""Gradients of several processes have the strides of their weights."""

import pytest
import torch
from torch import nn

from vminet_mm import VMINet
from vminet_mm.models import vminet

ARCH = dict(base_channels=4, expansion=2, depths=(1, 1, 1, 1))


def gradients(monkeypatch: pytest.MonkeyPatch, distributed: bool) -> dict[str, torch.Tensor]:
    monkeypatch.setattr(vminet, 'is_distributed', lambda: distributed)
    torch.manual_seed(0)
    model = VMINet(ARCH, img_size=64, channels_last=True)
    model(torch.rand(2, 3, 65, 97))[0].square().mean().backward()
    return {name: (p.grad, p) for name, p in model.named_parameters()}


def test_strides_are_those_of_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    one, several = gradients(monkeypatch, False), gradients(monkeypatch, True)
    assert any(g.stride() != p.stride() for g, p in one.values() if 1 in p.shape)
    assert all(g.stride() == p.stride() for g, p in several.values() if 1 in p.shape)
    for name, (gradient, _) in one.items():
        torch.testing.assert_close(several[name][0], gradient, rtol=0, atol=0)


def test_other_layouts_are_left_as_they_are() -> None:
    weight = nn.Parameter(torch.zeros(4, 3, 1, 1))
    gradient = torch.rand(3, 4, 1, 1).transpose(0, 1)
    assert vminet._as_strided(weight.stride(), gradient) is gradient
