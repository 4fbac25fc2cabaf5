"""The weights of the context sum, against the gradient of its definition."""

from itertools import product

import pytest
import torch
from torch import Tensor

from vminet_mm.ops import context, make_mask
from vminet_mm.ops.context_weights import ContextWeights, context_weights, tap_counts

NATIVE = (3, 5)
SIZES = [(3, 5), (7, 4), (2, 3), (1, 1), (12, 31), (3, 9)]
MASKS = ['tril', 'band', 'block', 'none']


def weights_of_definition(alpha: Tensor, mask: Tensor, size: tuple, resize: str) -> Tensor:
    """d c[n] / d E[n, i] (D, L): c is linear in E."""
    embedding = torch.zeros(1, mask.shape[1], *size, dtype=alpha.dtype, requires_grad=True)
    (weights,) = torch.autograd.grad(context(embedding, alpha, mask, resize).sum(), embedding)
    return weights[0].flatten(1)


def weights_of(size: tuple[int, int], resize: str) -> ContextWeights:
    return context_weights(NATIVE, size, resize, torch.device('cpu'), torch.float64)


@pytest.mark.parametrize('resize', ['pool', 'interpolate'])
@pytest.mark.parametrize('mask', MASKS)
@pytest.mark.parametrize('size', SIZES, ids=str)
def test_build(size: tuple[int, int], mask: str, resize: str) -> None:
    alpha, mask = torch.randn(NATIVE).double(), make_mask(mask, 15, 7)
    weights = weights_of(size, resize).build(alpha, mask)
    torch.testing.assert_close(weights.flatten(1), weights_of_definition(alpha, mask, size, resize))


@pytest.mark.parametrize('resize', ['pool', 'interpolate'])
@pytest.mark.parametrize('mask', MASKS)
@pytest.mark.parametrize('size', SIZES, ids=str)
def test_alpha_gradient_is_the_adjoint(size: tuple[int, int], mask: str, resize: str) -> None:
    alpha, mask = torch.randn(NATIVE).double(), make_mask(mask, 15, 7)
    weights = weights_of(size, resize)
    grad = torch.randn(7, *size).double()
    grad_alpha = weights.alpha_gradient(by_tap(weights, mask, grad))
    expected = (weights.build(alpha, mask) * grad).sum()
    torch.testing.assert_close((grad_alpha * alpha).sum(), expected)


def by_tap(weights: ContextWeights, mask: Tensor, grad: Tensor) -> Tensor:
    """``sum_n M[g, n] grad[n, i]`` for each tap g of each token i, as a kernel finds it."""
    rows, columns = weights.rows, weights.columns
    field = mask.t().unflatten(1, weights.native).to(grad.dtype)
    found = grad.new_zeros(weights.size[0], rows.count, weights.size[1], columns.count)
    for r, c in product(range(rows.count), range(columns.count)):
        cells = field.index_select(1, rows.first + r).index_select(2, columns.first + c)
        found[:, r, :, c] = (cells * grad).sum(0)
    return found.view(weights.gradient_shape)


def test_taps_by_hand() -> None:
    # 3 cells over 4 tokens: cells 0, 1 and 2 average tokens 0-1, 1-2 and 2-3
    rows = context_weights((3, 1), (4, 1), 'pool', torch.device('cpu'), torch.float32).rows
    assert rows.first.tolist() == [0, 0, 1, 1]
    assert rows.values.t().tolist() == [[0.5, 0], [0.5, 0.5], [0.5, 0.5], [0, 0.5]]


def test_taps_are_few() -> None:
    assert tap_counts((56, 56), (200, 320), 'pool') == (2, 2)
    assert tap_counts((56, 56), (200, 320), 'interpolate') == (4, 4)
    assert tap_counts((56, 56), (56, 56), 'pool') == (1, 1)


def test_matrices_are_shared() -> None:
    assert weights_of((7, 4), 'pool') is weights_of((7, 4), 'pool')
