"""Inputs of the selective scan, and its results with every gradient."""

from collections.abc import Callable

import torch
from torch import Tensor


def make_inputs(
    batch: int, channels: int, tokens: int, states: int, groups: int, dtype: torch.dtype
) -> dict[str, Tensor]:
    """What a model gives; groups of 0 means no dimension of groups."""
    x = {name: torch.randn(batch, channels, tokens) for name in ('u', 'delta')}
    size = (batch, *((groups,) if groups else ()), states, tokens)
    x |= dict(A=-8 * torch.rand(channels, states), B=torch.randn(size), C=torch.randn(size))
    x |= {name: torch.randn(channels) for name in ('D', 'delta_bias')}
    return {name: value.to(dtype) for name, value in x.items()}


def run(scan: Callable[..., Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The output and the gradients of a weighted sum of it."""
    leaves = {name: x.detach().requires_grad_() for name, x in inputs.items()}
    y = scan(**leaves, delta_softplus=True)
    weights = torch.linspace(-1, 2, y.numel(), dtype=torch.float64, device=y.device).view_as(y)
    grads = torch.autograd.grad((y * weights).sum(), list(leaves.values()))
    return {'y': y.detach()} | dict(zip(leaves, grads, strict=True))


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    """Differences relative to the largest value of each result."""
    for name, value in expected.items():
        error = (found[name].double() - value.double()).abs().max()
        assert error <= tolerance * value.abs().max().clamp(min=1e-9), (name, error)
