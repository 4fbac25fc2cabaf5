"""The 2D selective scan beside its definition, and how it starts."""

import pytest
import torch
import torch.nn.functional as F
from literal_ss2d import literal_ss2d
from tiny_peers import shake

from vminet_mm.peers import efficient_vmamba, vmamba
from vminet_mm.peers.ss2d import SS2D


def cross_paths(height: int, width: int) -> list:
    rows = [(i, j) for i in range(height) for j in range(width)]
    columns = [(i, j) for j in range(width) for i in range(height)]
    return [rows, columns, rows[::-1], columns[::-1]]


def atrous_paths(height: int, width: int) -> list:
    up, left = range(0, height + height % 2, 2), range(0, width + width % 2, 2)
    return [
        [(i, j) for i in up for j in left],
        [(i + 1, j) for j in left for i in up],
        [(i, j + 1) for i in up for j in left],
        [(i + 1, j + 1) for j in left for i in up],
    ]


KINDS = {
    'VMamba': (
        dict(orders=vmamba.ORDERS, multiple=1, gated=False, conv_bias=False, state_size=1),
        cross_paths,
    ),
    'EfficientVMamba': (
        dict(orders=efficient_vmamba.ORDERS, multiple=2, gated=True, conv_bias=True, state_size=3),
        atrous_paths,
    ),
}


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('size', [(1, 1), (3, 5), (4, 2)])
def test_is_the_definition(kind: str, size: tuple[int, int]) -> None:
    options, paths = KINDS[kind]
    torch.manual_seed(0)
    module = SS2D(20, 24, impl='torch', **options).double()
    shake(module)
    x = torch.randn(2, 20, *size, dtype=torch.double)
    with torch.no_grad():
        expected = torch.stack([literal_ss2d(module, image, paths(*size)) for image in x])
        torch.testing.assert_close(module(x), expected, rtol=1e-9, atol=1e-9)


def test_starts_as_mamba_does() -> None:
    torch.manual_seed(0)
    options, _ = KINDS['EfficientVMamba']
    module = SS2D(64, 128, impl='torch', **options)
    steps = F.softplus(module.dt_projs_bias)
    assert 1e-3 <= steps.min() < 2e-3 and 0.05 < steps.max() <= 0.1 + 1e-6
    torch.testing.assert_close(module.A_logs.exp(), torch.tensor([1.0, 2, 3]).expand(512, 3))
    assert (module.Ds == 1).all()
    assert module.dt_projs_weight.shape == (4, 128, 4)
    assert 0.45 < module.dt_projs_weight.abs().max() <= 0.5  # 4 ** -0.5
    assert module.x_proj_weight.shape == (4, 4 + 3 + 3, 128)


def test_an_unknown_implementation_is_an_error() -> None:
    with pytest.raises(ValueError, match='unknown impl'):
        SS2D(16, 16, impl='cuda', **KINDS['VMamba'][0])
