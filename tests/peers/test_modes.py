"""What a model computes depends on no mode in which another one ran before at the same size."""

import pytest
import torch
from tiny_peers import tiny
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from vminet_mm import peers
from vminet_mm.ops.selective_scan import orders

SIZE = (20, 36)
COLUMNAR = dict(embed_dims=16, num_layers=1)
ARCHS = {
    'EfficientVMamba': dict(base_channels=16, depths=(1, 0, 0, 0)),
    'LocalVim': COLUMNAR,  # the first searched orders: rows, columns and windows
    'PlainMamba': dict(COLUMNAR, num_convs=0, conv_layers=(0,)),
    'VMamba': dict(base_channels=8, depths=(1, 0, 0, 0), state_size=1, scan_ratio=1.0),
    'Vim': COLUMNAR,
}
every_peer = pytest.mark.parametrize('name', ARCHS)


@pytest.fixture(autouse=True)
def forget() -> None:
    """Begin as a new process does."""
    orders.scan_order.cache_clear()
    orders.scan_steps.cache_clear()


def build(name: str) -> nn.Module:
    torch.manual_seed(0)
    size = dict(img_size=SIZE) if 'num_layers' in ARCHS[name] else {}
    return getattr(peers, name)(ARCHS[name], **size).eval()


def image(**options: object) -> Tensor:
    return torch.linspace(-1, 1, 2 * 3 * SIZE[0] * SIZE[1], **options).view(2, 3, *SIZE)


def assert_learns(model: nn.Module) -> None:
    model.train()(image())[0].square().mean().backward()
    assert all(p.grad is not None and type(p.grad) is Tensor for p in model.parameters())


@every_peer
def test_inference_then_training(name: str) -> None:
    model = build(name)
    with torch.inference_mode():
        model(image())
    assert_learns(model)


@pytest.mark.parametrize('name', ['LocalVim', 'VMamba'])
def test_export_then_training(name: str) -> None:
    model = build(name)
    with torch.no_grad():
        program = torch.export.export(model, (image(),))
        (expected,) = model(image())
        (found,) = program.module()(image())
    assert not isinstance(expected, FakeTensor)
    torch.testing.assert_close(found, expected)
    assert_learns(model)


@every_peer
def test_fake_tensors_then_training(name: str) -> None:
    model = build(name)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        (fake,) = model(image())
    assert isinstance(fake, FakeTensor)
    assert fake.shape == model(image())[0].shape
    assert_learns(model)


@every_peer
def test_meta_device_then_training(name: str) -> None:
    model = build(name)
    with torch.device('meta'), torch.no_grad():
        (y,) = model(image(device='cpu'))
        assert build(name)(image())[0].is_meta
    assert y.device.type == 'cpu'
    assert_learns(model)


@pytest.mark.parametrize('name', sorted(ARCHS.keys() | {'LVT'}))
def test_an_empty_batch(name: str) -> None:
    model = tiny('LVT').eval() if name == 'LVT' else build(name)
    with torch.no_grad():
        (one,), (none,) = model(image()), model(image()[:0])
    assert none.shape == (0, *one.shape[1:])
