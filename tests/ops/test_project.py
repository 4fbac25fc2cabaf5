"""The projection that does not keep its input, against the plain composition."""

import pytest
import torch
from torch import Tensor, nn

from vminet_mm.ops import attend_and_project, project


@pytest.fixture(autouse=True)
def _small_ones_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, 'MIN_ELEMENTS', 0)


def attend(x: Tensor, gain: Tensor) -> Tensor:
    """Any function of two tensors."""
    return (x * gain).clamp(0, 1)


@pytest.mark.parametrize('frozen', ['nothing', 'gain', 'conv', 'x'])
@pytest.mark.parametrize('size', [(1, 1), (3, 5)], ids=str)
def test_output_and_gradients(size: tuple[int, int], frozen: str) -> None:
    x, gain = torch.randn(2, 6, *size), torch.randn(6, 1, 1)
    conv = nn.Conv2d(6, 4, 1)
    tensors = dict(x=[x], gain=[gain], conv=[*conv.parameters()])
    for name, group in tensors.items():
        for tensor in group:
            tensor.requires_grad_(name != frozen)
    wanted = [t for name, group in tensors.items() if name != frozen for t in group]
    weights = torch.randn(2, 4, *size)
    results = []
    for out in (conv(attend(x, gain)), attend_and_project(attend, conv, x, gain)):
        results.append([out, *torch.autograd.grad((out * weights).sum(), wanted)])
    for expected, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected)


def test_autocast() -> None:
    x, gain, conv = torch.randn(2, 6, 3, 5), torch.randn(6, 1, 1), nn.Conv2d(6, 4, 1)
    x.requires_grad_()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = attend_and_project(lambda x, g: attend(x, g).bfloat16(), conv, x, gain)
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert x.grad.dtype == conv.weight.grad.dtype == torch.float32
    expected, x.grad = x.grad, None
    conv(attend(x, gain)).sum().backward()
    torch.testing.assert_close(x.grad, expected, rtol=2e-2, atol=2e-2)


def test_keeps_the_inputs_alone() -> None:
    kept: list[Tensor] = []
    x = torch.randn(2, 6, 3, 5, requires_grad=True)
    conv = nn.Conv2d(6, 4, 1)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        attend_and_project(attend, conv, x, torch.ones(6, 1, 1))
    assert [t.shape for t in kept if t.numel() >= x.numel()] == [x.shape]


def test_small_inputs_are_left_to_autograd(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(1, 6, 2, 2, requires_grad=True)
    conv = nn.Conv2d(6, 4, 1)
    assert 'AttendAndProject' in attend_and_project(attend, conv, x, torch.ones(1)).grad_fn.name()
    monkeypatch.setattr(project, 'MIN_ELEMENTS', 26)
    assert 'Convolution' in attend_and_project(attend, conv, x, torch.ones(1)).grad_fn.name()
